//! AutoNAT over real sockets: a node that asks whether it can be reached, and one that dials it back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

mod support;

use std::time::Duration;
use support::*;
use tidewire_connmgr::Event as Manager;
use tidewire_relay::autonat::{Reachability, v2};
use tidewire_tokio::{Event, NodeConfig, PeerId};

fn asks() -> NodeConfig {
    let mut config = NodeConfig::default();
    let client = config.host.relay.autonat_v2.get_or_insert_default();
    (client.agreeing, client.target, client.allow_private) = (1, 1, true);
    (client.backoff_first, client.server_pause) = (Duration::from_millis(50), Duration::from_millis(50));
    config
}

fn answers() -> NodeConfig {
    let mut config = NodeConfig::default();
    config.host.relay.autonat_v2_server.insert(v2::ServerConfig::default()).allow_private = true;
    config
}

#[tokio::test]
async fn who_dials_back_comes_as_a_stranger_and_proves_that_we_are_reached() {
    let server = node_with(1, answers());
    let (client, log) = watched(2, asks());
    listen(&client).await;
    let to = listen(&server).await;
    client.connect(&to).await.unwrap();
    until(|| client.host(|host| host.autonat_v2().unwrap().overall()) == Reachability::Public).await;
    let came = |closed: bool| -> Vec<PeerId> {
        let events = log.1.lock().unwrap();
        let peer = |event: &Event| match event {
            Event::Manager(Manager::ConnectionClosed { peer, .. }) if closed => Some(*peer),
            Event::Manager(Manager::ConnectionOpened { peer, .. }) if !closed => Some(*peer),
            _ => None,
        };
        events.iter().filter_map(peer).collect()
    };
    until(|| came(true).len() == 1).await;
    let (opened, closed) = (came(false), came(true));
    assert_eq!(opened, [server.peer(), closed[0]], "one connection to the server, and the stranger's");
    assert_ne!(closed[0], server.peer());
    let failed = |event: &Event| matches!(event, Event::IdentifyFailed { .. } | Event::OpenFailed { .. });
    assert!(!log.1.lock().unwrap().iter().any(failed));
    assert_eq!(server.counters().peers, 1, "the server's own dials are its own affair");
}
