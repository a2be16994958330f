//! Circuits over real sockets, each node in one thread.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

mod support;

use support::shared::{ECHO, circuit, id, limit, limited, of_circuit, relay_of};
use support::{Node, Other};
use tidewire_mio::{Event, ListenerId, Multiaddr, OpenId, Protocols, SoloConfig, SoloEvent, StreamEvent};
use tidewire_relay::Limit;
use tidewire_relay::client::CircuitEnd;
use tidewire_relay::splice::LimitReached;

fn relay(of: Limit) -> Other {
    Other::of(move || {
        let mut config = SoloConfig::default();
        config.host = relay_of(of).host;
        Node::with(1, config)
    })
}

/// Listens at the relay, and at a socket of its own, of which nobody is told.
fn holder(at: &Multiaddr) -> Other {
    let at: Multiaddr = format!("{at}/p2p-circuit").parse().unwrap();
    Other::of(move || {
        let mut node = Node::new(2);
        node.listen(&at).unwrap();
        node
    })
}

/// A stream over the circuit.
fn open(node: &mut Node) -> support::Stream {
    let open = OpenId(node.fresh());
    node.tell(|solo, now| solo.open(now, open, id(2), &Protocols::from(ECHO), limited()).unwrap());
    node.until("the stream", |event| match event {
        SoloEvent::Stream { connection, event: StreamEvent::Opened { stream, .. } } => Some((*connection, *stream)),
        _ => None,
    })
}

#[test]
fn a_circuit_carries_more_than_any_buffer_holds() {
    let relay = relay(Limit::UNLIMITED);
    let at = relay.address.with_peer_id(id(1)).unwrap();
    let holder = holder(&at);
    let mut dialer = Node::new(3);
    dialer.connect(id(2), &circuit(&at, id(2))).unwrap();
    for len in [16 * 1024, 3_000_000_u32] {
        let question: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        let stream = open(&mut dialer);
        assert!(dialer.ask(stream, &question) == question);
    }
    holder.end(true);
    relay.end(true);
    dialer.shut_down();
}

#[test]
fn a_limit_is_told() {
    let relay = relay(limit(None, Some(64 * 1024)));
    let at = relay.address.with_peer_id(id(1)).unwrap();
    let holder = holder(&at);
    let mut dialer = Node::new(3);
    dialer.connect(id(2), &circuit(&at, id(2))).unwrap();
    let (connection, stream) = open(&mut dialer);
    let _ = dialer.tell(|solo, now| solo.write(now, connection, stream, &[7; 100_000]));
    let why = dialer.until("the circuit's end", |event| match event {
        SoloEvent::Host(event) => of_circuit(event.clone()),
        _ => None,
    });
    assert!(matches!(why, CircuitEnd::LimitReached(LimitReached::Data { bytes: 65_536, .. })), "{why:?}");
    holder.end(true);
    relay.end(true);
    dialer.shut_down();
}

#[test]
fn a_listener_at_a_relay_that_is_closed_is_over() {
    let relay = relay(Limit::UNLIMITED);
    let at: Multiaddr = format!("{}/p2p-circuit", relay.address.with_peer_id(id(1)).unwrap()).parse().unwrap();
    let mut node = Node::new(2);
    let listener = ListenerId(77);
    node.tell(|solo, now| solo.listen(now, listener, &at).unwrap());
    node.until("an address", |event| matches!(event, SoloEvent::Host(Event::Listening { .. })).then_some(()));
    node.tell(|solo, now| solo.unlisten(now, listener).unwrap());
    node.until("its end", |event| matches!(event, SoloEvent::Host(Event::ListenerClosed { .. })).then_some(()));
    relay.end(true);
    node.wait("the end of the socket", |driver| driver.sockets() == 0);
}
