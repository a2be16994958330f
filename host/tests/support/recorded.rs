//! What is recorded: days of nodes that talk, have trouble, relay, and punch holes.

use crate::nodes::{ECHO, Nodes, address};
use std::time::Duration;
use tidewire_connmgr::dial::GateRule;
use tidewire_core::Multiaddr;
use tidewire_host::record::RecordConfig;
use tidewire_host::{Command, Input, ListenerId, OpenId, OpenOptions};
use tidewire_multistream::Protocols;
use tidewire_relay::Limit;
use tidewire_relay::server::{Offer, ServerConfig};

pub(crate) const PAYLOAD: &[u8] = b"we attack at dawn, and nobody but you may know it";

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A good day: a dial, identify, a stream there and back, pings, an incoming connection, an orderly end.
pub(crate) fn conversation() -> Nodes {
    let mut nodes = Nodes::new(3, &RecordConfig::default(), |_| {});
    nodes.know(0, 1);
    nodes.open(0, 1, 1, &[ECHO.as_str()]);
    nodes.pass(seconds(1));
    let (connection, _, stream) = *nodes.opened(0).first().expect("opened");
    nodes.write(0, connection, stream, PAYLOAD);
    nodes.pass(seconds(1));
    assert_eq!(nodes.echoed, PAYLOAD);
    nodes.connect(2, 1, 0, &[address(0)]);
    nodes.pass(seconds(40));
    let now = nodes.now;
    let peer = nodes.peer(1);
    nodes.solos[0].command(now, Command::Protect { peer, reason: "a friend".into() }).unwrap();
    nodes.solos[0].shutdown(now);
    nodes.pass(seconds(2));
    nodes
}

/// A bad one: nobody listens, a protocol that nobody speaks, misuse, denied peers, connections that break.
pub(crate) fn troubles() -> Nodes {
    let mut nodes = Nodes::new(3, &RecordConfig::default(), |_| {});
    nodes.connect(0, 1, 1, &["/ip4/11.0.9.9/tcp/1".parse().unwrap(), address(2)]);
    nodes.pass(seconds(3));
    nodes.connect(0, 2, 1, &[address(1)]);
    nodes.pass(seconds(8));
    nodes.open(0, 1, 1, &["/none/1", "/none/2"]);
    nodes.pass(seconds(1));
    let now = nodes.now;
    assert!(nodes.solos[0].tell_host(now, Input::CancelOpen { open: OpenId(77) }).is_err());
    let peer = nodes.peer(1);
    nodes.solos[0].command(now, Command::KeepAlive { peer, on: true }).unwrap();
    nodes.cut(1);
    nodes.pass(seconds(30));
    let rule = GateRule::Peer(nodes.peer(2));
    nodes.solos[0].command(nodes.now, Command::Deny { rule, why: "a bad day".into() }).unwrap();
    nodes.connect(2, 1, 0, &[address(0)]);
    nodes.pass(seconds(60));
    nodes
}

/// The third node dials the second one through the first one.
pub(crate) fn through_the_first(nodes: &mut Nodes) {
    nodes.pass(seconds(2));
    let relay: Multiaddr = format!("{}/p2p/{}/p2p-circuit", address(0), nodes.peer(0)).parse().unwrap();
    nodes.solos[1].listen(nodes.now, ListenerId(9), &relay).unwrap();
    nodes.pass(seconds(2));
    nodes.connect(2, 1, 1, &[relay.with_peer_id(nodes.peer(1)).unwrap()]);
}

/// What one of three nodes records of a relay's day: the first one relays, the second one holds a reservation with it, and is reached
/// through it by the third one.
pub(crate) fn relayed(recorded: usize) -> Nodes {
    let mut nodes = Nodes::recording(3, recorded, &RecordConfig::default(), |node, config| {
        // They can all be reached, and are to stay on their circuit.
        config.host.punching = None;
        if node == 0 {
            let mut server = ServerConfig::default();
            (server.offer, server.reservation_ttl) = (Offer::Always, seconds(120));
            server.limit = Limit { duration: Some(seconds(60)), data: Some(64 * 1024) };
            config.host.relay.server = Some(server);
        }
    });
    through_the_first(&mut nodes);
    nodes.pass(seconds(2));
    let (peer, protocols) = (nodes.peer(1), Protocols::from(ECHO));
    let mut options = OpenOptions::default();
    options.limited = true;
    nodes.solos[2].open(nodes.now, OpenId(1), peer, &protocols, options).unwrap();
    nodes.pass(seconds(1));
    let (connection, _, stream) = *nodes.opened(2).first().expect("opened");
    nodes.write(2, connection, stream, PAYLOAD);
    nodes.pass(seconds(1));
    assert_eq!(nodes.echoed, PAYLOAD);
    // The circuit's time is over, the reservation is renewed; then everybody leaves, the relay first.
    nodes.pass(seconds(180));
    for node in 0..3 {
        nodes.solos[node].shutdown(nodes.now);
        nodes.pass(seconds(2));
    }
    nodes
}

/// What the second or third of three nodes records of a hole punch: they tell nobody where they listen, so neither is dialed before.
pub(crate) fn punched(recorded: usize) -> Nodes {
    let mut nodes = Nodes::recording(3, recorded, &RecordConfig::default(), |node, config| {
        if node == 0 {
            let mut server = ServerConfig::default();
            server.offer = Offer::Always;
            config.host.relay.server = Some(server);
        } else {
            config.host.addresses.policy.max = 0;
        }
    });
    through_the_first(&mut nodes);
    nodes.pass(seconds(40));
    for node in [1, 2, 0] {
        nodes.solos[node].shutdown(nodes.now);
        nodes.pass(seconds(2));
    }
    nodes
}

/// As little as there can be of a connection.
pub(crate) fn short() -> Vec<u8> {
    let mut nodes = Nodes::new(2, &RecordConfig::default(), |_| {});
    nodes.connect(0, 1, 1, &[address(1)]);
    nodes.pass(Duration::from_millis(200));
    nodes.finish()
}
