//! Circuits that become direct connections, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

mod support;

use support::*;
use tidewire_relay::Limit;
use tidewire_std::{Multiaddr, OpenOptions, Protocols};

#[test]
fn a_circuit_is_upgraded_from_the_very_ports_that_were_told_and_streams_go_direct() {
    let relay = node_with(1, relay_of(Limit::UNLIMITED));
    let at = listen(&relay);
    let (holder, dialer) = (node_with(2, punching()), node_with(3, punching()));
    let (holder_at, dialer_at) = (listen(&holder), listen(&dialer));
    let reserved: Multiaddr = format!("{at}/p2p-circuit").parse().unwrap();
    holder.listen(&reserved).unwrap();
    let (mut told, mut told_too) = (holder.events(), dialer.events());
    dialer.connect(&circuit(&at, id(2))).unwrap();
    for report in [event(&mut told, of_punch), event(&mut told_too, of_punch)] {
        assert_punched(&report);
    }
    let bare = |at: &Multiaddr| at.without_peer_id();
    assert_eq!(holder.host(|host| direct_remotes(host, id(3))), [bare(&dialer_at)]);
    assert_eq!(dialer.host(|host| direct_remotes(host, id(2))), [bare(&holder_at)]);
    // A stream that may go over no circuit has another way now.
    let stream = dialer.open(id(2), &Protocols::from(ECHO), OpenOptions::default()).unwrap();
    round_trip(&stream, 100_000, 1);
    assert_eq!((holder.counters().punches_upgraded, dialer.counters().punches_upgraded), (1, 1));
}
