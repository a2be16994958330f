//! Questions to an address are asked for every connection and every candidate: they allocate nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use allocation_counter::measure;
use core::hint::black_box;
use tidewire_core::{Component, Multiaddr, Transport};

const PEER: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";

fn addresses() -> Vec<Multiaddr> {
    [
        "/ip4/127.0.0.1/tcp/4001".to_owned(),
        format!("/ip6/2001:db8::1/udp/4001/quic-v1/p2p/{PEER}"),
        "/ip6zone/eth0/ip6/fe80::1/tcp/1".to_owned(),
        format!("/dns4/relay.example.org/tcp/443/tls/sni/relay.example.org/ws/p2p/{PEER}/p2p-circuit/p2p/{PEER}"),
        "/unix/%2Fvar%2Frun%2Fnode.sock".to_owned(),
        "/memory/7".to_owned(),
        "/ip4/10.0.0.1/udp/9/webrtc-direct/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ".to_owned(),
    ]
    .iter()
    .map(|text| text.parse().unwrap())
    .collect()
}

#[test]
fn questions_allocate_nothing() {
    for address in addresses() {
        let cost = measure(|| {
            let address = black_box(&address);
            black_box((address.is_relayed(), address.reach(), address.is_public(), address.is_private()));
            black_box((address.is_loopback(), address.is_link_local(), address.is_unspecified()));
            black_box((address.transport(), address.peer_id(), address.relay_peer_id(), address.zone()));
            black_box((address.ip(), address.port(), address.socket_addr(), address.dns_name()));
            black_box((address.is_empty(), address.as_bytes().len(), address.ends_with(address)));
        });
        assert_eq!(cost.count_total, 0, "{address}");
    }
}

#[test]
fn iterating_and_comparing_allocate_nothing() {
    for address in addresses() {
        let same = address.clone();
        let mut components = 0;
        let cost = measure(|| {
            for component in &address {
                black_box((component.code(), component.name(), component.ip()));
                components += 1;
            }
            for component in address.iter() {
                black_box(matches!(component, Component::P2p(_)));
            }
            black_box((address == same, address.cmp(&same)));
        });
        assert_eq!(cost.count_total, 0, "{address}");
        assert!(components > 0, "{address}");
    }
}

#[test]
fn the_counter_counts() {
    let address = Multiaddr::tcp("127.0.0.1:1".parse().unwrap());
    assert_eq!(address.transport(), Transport::Tcp);
    assert!(measure(|| drop(black_box(address.to_string()))).count_total > 0);
}
