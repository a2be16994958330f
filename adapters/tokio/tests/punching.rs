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
use tidewire_tokio::{Multiaddr, NodeConfig, OpenOptions, Protocols};

#[tokio::test]
async fn a_circuit_is_upgraded_from_the_very_ports_that_were_told_and_streams_go_direct() {
    let relay = node_with(1, relay_of(Limit::UNLIMITED));
    let at = listen(&relay).await;
    let (holder, dialer) = (node_with(2, punching()), node_with(3, punching()));
    let (holder_at, dialer_at) = (listen(&holder).await, listen(&dialer).await);
    let reserved: Multiaddr = format!("{at}/p2p-circuit").parse().unwrap();
    holder.listen(&reserved).await.unwrap();
    let mut told = holder.events();
    let mut told_too = dialer.events();
    dialer.connect(&circuit(&at, id(2))).await.unwrap();
    for report in [event(&mut told, of_punch).await, event(&mut told_too, of_punch).await] {
        assert_punched(&report);
    }
    let bare = |at: &Multiaddr| at.without_peer_id();
    assert_eq!(holder.host(|host| direct_remotes(host, id(3))), [bare(&dialer_at)]);
    assert_eq!(dialer.host(|host| direct_remotes(host, id(2))), [bare(&holder_at)]);
    // A stream that may go over no circuit has another way now.
    let stream = dialer.open(id(2), &Protocols::from(ECHO), OpenOptions::default()).await.unwrap();
    round_trip(stream, 100_000, 1).await;
    assert_eq!((holder.counters().punches_upgraded, dialer.counters().punches_upgraded), (1, 1));
}

#[tokio::test]
async fn who_tells_where_it_listens_is_dialed_there_and_with_punching_off_nobody_is() {
    for on in [true, false] {
        let relay = node_with(1, relay_of(Limit::UNLIMITED));
        let at = listen(&relay).await;
        let config = || {
            let mut config = NodeConfig::default();
            match &mut config.host.punching {
                Some(punching) if on => punching.addresses.allow_private = true,
                _ => config.host.punching = None,
            }
            config
        };
        let (holder, dialer) = (node_with(2, config()), node_with(3, config()));
        let dialer_at = listen(&dialer).await;
        let reserved: Multiaddr = format!("{at}/p2p-circuit").parse().unwrap();
        holder.listen(&reserved).await.unwrap();
        let mut told = holder.events();
        dialer.connect(&circuit(&at, id(2))).await.unwrap();
        if on {
            assert!(event(&mut told, of_punch).await.is_upgraded());
            let direct = holder.host(|host| direct_remotes(host, id(3)));
            assert_eq!(direct, [dialer_at.without_peer_id()]);
        } else {
            until(|| holder.host(|host| host.identity(&id(3)).is_some())).await;
            assert!(holder.host(|host| direct_remotes(host, id(3))).is_empty());
            assert!(holder.punch(id(3)).is_err());
        }
    }
}
