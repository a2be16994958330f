//! A relay of `tidewire-tokio` without limits, as a process of its own; and its clients, to see how long they wait.

use super::node::{config, standing};
use crate::child::answer;
use crate::harness::Watch;
use tidewire_relay::server::{Offer, ServerConfig};
use tidewire_tokio::{Keypair, Listener, Multiaddr, Node, NodeConfig, Seed};
use tokio::runtime::{Builder, Runtime};

/// Connections for which it has room.
const ROOM: usize = 100_000;

/// Relays, and answers the bench until it is gone.
pub fn run() {
    runtime().block_on(async {
        let mut server = ServerConfig::unlimited();
        (server.offer, server.announce_private) = (Offer::Always, true);
        let mut config = config(ROOM, None);
        config.host.relay.server = Some(server);
        let node = Node::new(config, keypair(1)).expect("no contradiction");
        let listener = node.listen(&"/ip4/127.0.0.1/tcp/0".parse().expect("an address")).await.expect("a port");
        answer(listener.addresses()[0].to_string(), || standing(&node)).await;
    });
}

/// Nodes that use a relay, and one that can be reached through it.
pub struct Clients {
    runtime: Runtime,
    relay: Multiaddr,
    circuit: Multiaddr,
    _holder: (Node, Listener),
    next: u64,
}

impl Clients {
    /// The holder has its reservation.
    pub fn new(relay: &str) -> Clients {
        let runtime = runtime();
        let relay: Multiaddr = relay.parse().expect("an address");
        let (circuit, holder) = runtime.block_on(async {
            let holder = Node::new(NodeConfig::default(), keypair(2)).expect("the defaults");
            let listener = holder.listen(&circuit(&relay)).await.expect("a reservation");
            (listener.addresses()[0].clone(), (holder, listener))
        });
        Clients { runtime, relay, circuit, _holder: holder, next: 3 }
    }

    /// From nothing but a key to a reservation.
    pub fn reserve(&mut self, watch: &mut Watch) {
        let (key, at) = (self.key(), circuit(&self.relay));
        let (node, listener) = watch.time(1, || {
            self.runtime.block_on(async {
                let node = Node::new(NodeConfig::default(), key).expect("the defaults");
                let listener = node.listen(&at).await.expect("a reservation");
                (node, listener)
            })
        });
        drop(listener);
        self.runtime.block_on(node.shutdown());
    }

    /// From the dial to a connection with the holder. The relay may be connected before.
    pub fn dial(&mut self, watch: &mut Watch, connected: bool) {
        let key = self.key();
        let node = self.runtime.block_on(async {
            let node = Node::new(NodeConfig::default(), key).expect("the defaults");
            if connected {
                node.connect(&self.relay).await.expect("a connection");
            }
            node
        });
        watch.time(1, || self.runtime.block_on(node.connect(&self.circuit)).expect("a circuit"));
        self.runtime.block_on(node.shutdown());
    }

    fn key(&mut self) -> Keypair {
        self.next += 1;
        keypair(self.next)
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn keypair(number: u64) -> Keypair {
    Keypair::from_seed(&Seed::new([3; 32]).derive("relay", number))
}

fn circuit(relay: &Multiaddr) -> Multiaddr {
    format!("{relay}/p2p-circuit").parse().expect("an address")
}
