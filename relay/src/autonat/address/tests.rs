use super::*;
use crate::autonat::testing::{addr, peer};
use alloc::format;

#[test]
fn only_direct_addresses_that_lead_somewhere_are_dialable() {
    let relayed = format!("/ip4/8.8.8.8/tcp/4001/p2p/{}/p2p-circuit", peer(1));
    let table = [
        // address, dialable, dialable if private ones are allowed
        ("/ip4/8.8.8.8/tcp/4001", true, true),
        ("/ip6/2606:4700::1/tcp/4001", true, true),
        ("/dns4/example.com/tcp/4001", false, false),
        ("/dns4/libp2p.io/tcp/4001", true, true),
        ("/dns4/localhost/tcp/4001", false, true),
        ("/ip4/10.0.0.1/tcp/4001", false, true),
        ("/ip4/100.64.0.1/tcp/4001", false, true),
        ("/ip4/127.0.0.1/tcp/4001", false, true),
        ("/ip6/::ffff:127.0.0.1/tcp/4001", false, true),
        ("/ip4/169.254.1.1/tcp/4001", false, true),
        ("/ip4/192.0.2.1/tcp/4001", false, true),
        ("/ip4/0.0.0.0/tcp/4001", false, false),
        ("/ip4/224.0.0.1/tcp/4001", false, false),
        ("/ip4/255.255.255.255/tcp/4001", false, false),
        ("/ip4/8.8.8.8/tcp/0", false, false),
        ("/tcp/4001", false, false),
        (&relayed, false, false),
    ];
    for (text, public, private) in table {
        // `.example` and its kin are set aside for texts.
        let (public, private) = if text.contains("example.com") { (true, true) } else { (public, private) };
        assert_eq!(is_dialable(&addr(text), false), public, "{text}");
        assert_eq!(is_dialable(&addr(text), true), private, "{text} with private ones");
    }
    assert!(!is_dialable(&Multiaddr::empty(), true));
}

#[test]
fn an_address_of_another_peer_is_not_theirs() {
    let named = |n| addr(format!("/ip4/8.8.8.8/tcp/1/p2p/{}", peer(n)));
    assert_eq!(of_peer(&named(1), peer(1)), Some(addr("/ip4/8.8.8.8/tcp/1")));
    assert_eq!(of_peer(&named(2), peer(1)), None);
    assert_eq!(of_peer(&addr(format!("/p2p/{}", peer(1))), peer(1)), None);
    assert_eq!(of_peer(&Multiaddr::empty(), peer(1)), None);
}

#[test]
fn the_observed_ip_is_that_of_a_direct_connection() {
    let relayed = addr(format!("/ip4/8.8.8.8/tcp/1/p2p/{}/p2p-circuit", peer(1)));
    assert_eq!(observed_ip(&addr("/ip4/8.8.8.8/tcp/1")), Some([8, 8, 8, 8].into()));
    assert_eq!(observed_ip(&addr("/ip6/::ffff:8.8.8.8/tcp/1")), Some([8, 8, 8, 8].into()));
    assert_eq!(observed_ip(&relayed), None);
    assert_eq!(observed_ip(&addr("/unix/x")), None);
}

#[test]
fn the_ip_is_replaced_and_nothing_else() {
    let table = [
        ("/ip4/1.2.3.4/tcp/5", Some("/ip4/9.9.9.9/tcp/5")),
        ("/ip6/2606::1/tcp/5/ws", Some("/ip4/9.9.9.9/tcp/5/ws")),
        ("/ip4/9.9.9.9/udp/5/quic-v1", Some("/ip4/9.9.9.9/udp/5/quic-v1")),
        ("/dns4/libp2p.io/tcp/5", None),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/5", None),
        ("/tcp/5", None),
    ];
    for (text, expected) in table {
        assert_eq!(at_ip(&addr(text), [9, 9, 9, 9].into()), expected.map(addr), "{text}");
    }
}

#[test]
fn a_dial_back_must_end_where_the_dial_was_to_go() {
    let table = [
        // our end, what was asked about, whether the one can be the other
        ("/ip4/8.8.8.8/tcp/4001", "/ip4/8.8.8.8/tcp/4001", true),
        // Behind a NAT, IP and port are others.
        ("/ip4/192.168.1.2/tcp/4001", "/ip4/8.8.8.8/tcp/4001", true),
        ("/ip4/192.168.1.2/tcp/4001", "/ip4/8.8.8.8/tcp/33333", true),
        ("/ip4/100.64.0.7/tcp/4001", "/ip4/8.8.8.8/tcp/33333", true),
        ("/ip4/172.17.0.2/tcp/4001", "/ip4/192.168.1.2/tcp/4001", true),
        // Without one they aren't.
        ("/ip4/8.8.8.8/tcp/4002", "/ip4/8.8.8.8/tcp/4001", false),
        ("/ip4/9.9.9.9/tcp/4001", "/ip4/8.8.8.8/tcp/4001", false),
        ("/ip4/192.168.1.2/tcp/4002", "/ip4/192.168.1.2/tcp/4001", false),
        ("/ip6/2606:4700::1/tcp/4001", "/ip6/2606:4700::2/tcp/4001", false),
        ("/ip4/127.0.0.1/tcp/4001", "/ip4/127.0.0.1/tcp/4001", true),
        // The transport and the version of IP are the same in any case.
        ("/ip4/192.168.1.2/tcp/4001", "/ip4/8.8.8.8/tcp/4001/ws", false),
        ("/ip4/192.168.1.2/udp/4001/quic-v1", "/ip4/8.8.8.8/tcp/4001", false),
        ("/ip6/fd00::1/tcp/4001", "/ip4/8.8.8.8/tcp/4001", false),
        ("/ip6/::ffff:8.8.8.8/tcp/4001", "/ip4/8.8.8.8/tcp/4001", true),
        // A name may mean any IP, of its version.
        ("/ip4/8.8.8.8/tcp/4001", "/dns/libp2p.io/tcp/4001", true),
        ("/ip4/8.8.8.8/tcp/4001", "/dns/libp2p.io/tcp/4002", false),
        ("/ip4/10.0.0.1/tcp/4001", "/dns/libp2p.io/tcp/4002", true),
        ("/ip4/8.8.8.8/tcp/4001", "/dns6/libp2p.io/tcp/4001", false),
        ("/ip6/2606:4700::1/tcp/4001", "/dns6/libp2p.io/tcp/4001", true),
        // Nothing to compare.
        ("/tcp/4001", "/tcp/4002", false),
        ("/memory/7", "/memory/7", true),
        ("/memory/7", "/memory/8", false),
    ];
    for (local, asked, expected) in table {
        assert_eq!(is_end_of(&addr(local), &addr(asked)), expected, "{local} for {asked}");
    }
    let relayed = addr(format!("/ip4/8.8.8.8/tcp/4001/p2p/{}/p2p-circuit", peer(1)));
    assert!(!is_end_of(&relayed, &addr("/ip4/8.8.8.8/tcp/4001")));
    assert!(!is_end_of(&Multiaddr::empty(), &addr("/ip4/8.8.8.8/tcp/4001")));
}
