//! A node of `tidewire-tokio` with a crowd of clients, as a process of its own.

use crate::child::{Standing, answer};
use std::time::Duration;
use tidewire_connmgr::{Config, Resources};
use tidewire_tokio::{Keypair, Node, NodeConfig, Seed};
use tokio::runtime::Builder;

/// What the machine has to give: the manager sizes its limits to it.
const RESOURCES: Resources = Resources { memory: 16 << 30, file_descriptors: 1 << 16 };

/// Listens, and answers the bench until it is gone.
pub fn run(clients: usize, ping: Duration) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let keypair = Keypair::from_seed(&Seed::new([1; 32]));
        let node = Node::new(config(clients, Some(ping)), keypair).expect("no contradiction");
        let listener = node.listen(&"/ip4/127.0.0.1/tcp/0".parse().expect("an address")).await.expect("a port");
        answer(listener.addresses()[0].to_string(), || standing(&node)).await;
    });
}

/// Room for all of them; from one address, which loopback is exempt from. All else as by default.
pub(super) fn config(clients: usize, ping: Option<Duration>) -> NodeConfig {
    let mut manager = Config::for_resources(RESOURCES);
    manager.limits.established = manager.limits.established.max(clients as u32);
    // No watermarks: nobody is trimmed.
    (manager.worth.low, manager.worth.high) = (0, 0);
    manager.keep_alive.ping_interval = ping;
    let mut config = NodeConfig::default();
    config.host.manager = manager;
    config
}

pub(super) fn standing(node: &Node) -> Standing {
    let counters = node.counters();
    let wrong = [&counters.refused, &counters.closed, &counters.streams_refused];
    let errors = wrong.iter().flat_map(|table| table.values()).sum::<u64>() + counters.exhausted;
    let why = match errors {
        0 => String::new(),
        _ => format!("{wrong:?}, listeners without descriptors: {}", counters.exhausted),
    };
    Standing { connections: counters.connections_inbound.into(), errors, why }
}
