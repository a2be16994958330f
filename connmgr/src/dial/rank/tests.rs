use super::*;
use alloc::string::String;
use proptest::prelude::*;
use std::format;

const PEER: &str = "12D3KooWGQmdpzHXCqLno4mMxWXKNFQHASBeF99gTm2JR8Vu5Bdc";
const OTHER: &str = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
const RELAY: &str = "12D3KooWHwXSqqkBuwUWM3zFkxWWBBHkPR2DHMfVwc2eFq4TUXBk";

fn at(text: &str) -> Multiaddr {
    text.replace("PEER", PEER).replace("OTHER", OTHER).replace("RELAY", RELAY).parse().unwrap()
}

/// The ranked addresses as lines `<ms> <address>`, of input in the given and in the reverse order.
fn ranked(addresses: &[&str]) -> Vec<String> {
    let mut addresses: Vec<_> = addresses.iter().map(|text| at(text)).collect();
    let lines = |addresses: &[Multiaddr]| {
        let ranked = rank(addresses, &Delays::default());
        ranked.iter().map(|next| format!("{} {}", next.delay.as_millis(), next.address)).collect::<Vec<_>>()
    };
    let forward = lines(&addresses);
    addresses.reverse();
    assert_eq!(forward, lines(&addresses), "the order of the input is of no matter");
    forward
}

/// A table: lines `<ms> <address>`, which are both the input and what is expected.
fn check(table: &[&str]) {
    let addresses: Vec<_> = table.iter().map(|line| line.split_once(' ').unwrap().1).collect();
    let expected: Vec<_> = table
        .iter()
        .map(|line| {
            let (delay, address) = line.split_once(' ').unwrap();
            format!("{delay} {}", at(address))
        })
        .collect();
    assert_eq!(ranked(&addresses), expected);
}

#[test]
fn nothing_gives_nothing() {
    check(&[]);
}

#[test]
fn quic_of_one_family_begins_with_one_and_goes_on_after_a_step() {
    check(&["0 /ip4/1.2.3.4/udp/1/quic-v1", "250 /ip4/1.2.3.4/udp/2/quic-v1", "250 /ip4/1.2.3.4/udp/3/quic-v1"]);
    check(&["0 /ip6/1::2/udp/1/quic-v1", "250 /ip6/1::2/udp/2/quic-v1", "250 /ip6/1::2/udp/3/quic-v1"]);
}

#[test]
fn quic_of_both_families_alternates_first() {
    check(&["0 /ip6/1::2/udp/1/quic-v1", "250 /ip4/1.2.3.4/udp/2/quic-v1"]);
    check(&[
        "0 /ip6/1::2/udp/1/quic-v1",
        "250 /ip4/1.2.3.4/udp/1/quic-v1",
        "500 /ip6/1::2/udp/2/quic-v1",
        "500 /ip4/1.2.3.4/udp/2/quic-v1",
    ]);
}

#[test]
fn webtransport_ranks_behind_quic() {
    check(&[
        "0 /ip6/1::2/udp/1/quic-v1",
        "250 /ip4/1.2.3.4/udp/2/quic-v1",
        "500 /ip4/1.2.3.4/udp/3/quic-v1",
        "500 /ip4/1.2.3.4/udp/1/quic-v1/webtransport",
    ]);
    check(&[
        "0 /ip6/1::2/udp/1/quic-v1",
        "250 /ip4/1.2.3.4/udp/1/quic-v1/webtransport",
        "500 /ip6/1::2/udp/2/quic-v1",
        "500 /ip6/1::2/udp/3/quic-v1",
    ]);
}

#[test]
fn tcp_alone_begins_at_once() {
    check(&["0 /ip4/1.2.3.4/tcp/1", "250 /ip4/1.2.3.4/tcp/2", "250 /ip4/1.2.3.4/tcp/3"]);
    check(&["0 /ip6/1::2/tcp/1", "250 /ip4/1.2.3.5/tcp/1", "500 /ip4/1.2.3.4/tcp/2", "500 /ip4/1.2.3.4/tcp/3"]);
}

#[test]
fn tcp_begins_a_step_after_the_last_quic() {
    check(&[
        "0 /ip6/1::2/udp/1/quic-v1",
        "250 /ip4/1.2.3.4/udp/1/quic-v1",
        "500 /ip6/1::2/udp/2/quic-v1",
        "500 /ip6/1::2/udp/3/quic-v1",
        "500 /ip4/1.2.3.4/udp/2/quic-v1",
        "750 /ip6/1::2/tcp/1",
        "1000 /ip4/1.2.3.5/tcp/1",
        "1250 /ip4/1.2.3.4/tcp/2",
        "1250 /ip4/1.2.3.4/tcp/3",
    ]);
    check(&["0 /ip4/1.2.3.4/udp/1/quic-v1", "250 /ip6/1::2/tcp/1", "500 /ip4/1.2.3.5/tcp/1", "750 /ip4/1.2.3.4/tcp/2"]);
    check(&[
        "0 /ip4/1.2.3.4/udp/1/quic-v1",
        "250 /ip4/1.2.3.5/tcp/1",
        "500 /ip4/1.2.3.4/tcp/2",
        "500 /ip4/1.2.3.4/tcp/3",
    ]);
}

#[test]
fn low_ports_come_first() {
    check(&[
        "0 /ip4/9.9.9.9/tcp/443",
        "250 /ip4/1.2.3.4/tcp/4001",
        "250 /ip4/1.2.3.4/tcp/50000",
        "250 /ip4/1.2.3.4/tcp/65535",
    ]);
}

#[test]
fn relayed_ones_wait_for_public_ones_and_are_ranked_by_the_way_to_the_relay() {
    check(&[
        "0 /ip4/1.2.3.4/udp/1/quic-v1",
        "250 /ip4/1.2.3.4/udp/2/quic-v1",
        "500 /ip4/1.2.3.4/udp/1/quic-v1/p2p/RELAY/p2p-circuit/p2p/PEER",
        "750 /ip4/1.2.3.4/tcp/1/p2p/RELAY/p2p-circuit/p2p/PEER",
    ]);
    check(&[
        "0 /ip6/1::2/tcp/1",
        "500 /ip6/1::3/tcp/1/p2p/RELAY/p2p-circuit/p2p/PEER",
        "750 /ip4/1.2.3.4/tcp/1/p2p/RELAY/p2p-circuit/p2p/PEER",
        "1000 /ip4/1.2.3.4/tcp/2/p2p/RELAY/p2p-circuit/p2p/PEER",
    ]);
}

#[test]
fn relayed_ones_begin_at_once_without_public_ones() {
    check(&[
        "0 /ip4/1.2.3.4/udp/1/quic-v1/p2p/RELAY/p2p-circuit/p2p/PEER",
        "250 /ip4/1.2.3.4/tcp/1/p2p/RELAY/p2p-circuit/p2p/PEER",
    ]);
    check(&["0 /ip4/192.168.1.9/tcp/1", "0 /ip4/1.2.3.4/tcp/1/p2p/RELAY/p2p-circuit/p2p/PEER"]);
}

#[test]
fn private_ones_begin_beside_public_ones_with_shorter_steps() {
    check(&[
        "0 /ip4/192.168.1.9/udp/1/quic-v1",
        "0 /ip4/1.2.3.4/udp/1/quic-v1",
        "30 /ip4/10.0.0.1/tcp/1",
        "60 /ip4/192.168.1.9/tcp/2",
        "250 /ip4/1.2.3.4/tcp/1",
    ]);
    check(&[
        "0 /ip6/fd00::1/udp/1/quic-v1",
        "30 /ip4/127.0.0.1/udp/1/quic-v1",
        "60 /ip6/fe80::1/udp/1/quic-v1/webtransport",
        "90 /ip6/::1/tcp/1",
        "120 /ip4/169.254.1.1/tcp/1",
        "150 /ip4/100.64.0.1/tcp/2",
    ]);
}

#[test]
fn the_others_come_after_all_else_in_their_group() {
    check(&[
        "0 /ip6/1::2/udp/1/quic-v1",
        "250 /ip4/1.2.3.4/udp/1/quic-v1",
        "1250 /ip6/1::2/udp/1/webrtc-direct",
        "1250 /ip4/1.2.3.4/udp/1/webrtc-direct",
    ]);
    check(&[
        "0 /ip4/1.2.3.4/udp/1/quic-v1",
        "250 /ip6/1::2/tcp/1",
        "500 /ip4/1.2.3.5/tcp/1",
        "1500 /dnsaddr/bootstrap.libp2p.io/p2p/PEER",
        "1500 /ip4/1.2.3.4/udp/1/webrtc-direct",
    ]);
    check(&["0 /ip4/10.0.0.1/tcp/1", "100 /ip4/10.0.0.1/udp/1/webrtc-direct"]);
}

#[test]
fn the_others_begin_at_once_when_there_is_nothing_else() {
    check(&["0 /ip4/1.2.3.4/udp/1/webrtc-direct"]);
    check(&["0 /dnsaddr/bootstrap.libp2p.io/p2p/PEER"]);
    check(&["0 /ip4/10.0.0.1/tcp/1", "1000 /ip4/1.2.3.4/udp/1/webrtc-direct"]);
    check(&["0 /ip4/1.2.3.4/udp/1/webrtc-direct", "500 /ip4/1.2.3.4/tcp/1/p2p/RELAY/p2p-circuit/p2p/PEER"]);
    check(&["0 /p2p/RELAY/p2p-circuit/p2p/PEER"]);
}

#[test]
fn a_second_choice_at_the_same_host_and_port_comes_last() {
    check(&[
        "0 /ip4/1.2.3.4/udp/1/quic-v1",
        "250 /ip4/1.2.3.4/tcp/1",
        "1250 /ip4/1.2.3.4/tcp/1/ws",
        "1250 /ip4/1.2.3.4/tcp/1/tls/ws",
        "1250 /ip4/1.2.3.4/udp/1/quic",
        "1250 /ip4/1.2.3.4/udp/1/quic-v1/webtransport",
    ]);
    // At another port, or at another host, it is no second choice.
    check(&["0 /ip4/1.2.3.4/tcp/1", "250 /ip4/1.2.3.4/tcp/2/ws", "250 /ip4/1.2.3.5/tcp/2/ws"]);
    check(&["0 /dns4/a.libp2p.io/tcp/1", "250 /dns4/b.libp2p.io/tcp/1/ws", "1250 /dns4/a.libp2p.io/tcp/1/ws"]);
}

#[test]
fn names_rank_with_the_public_ones_by_the_family_that_they_tell() {
    check(&[
        "0 /dns6/libp2p.io/tcp/443",
        "250 /dns4/libp2p.io/tcp/443",
        "500 /dns/libp2p.io/tcp/444/wss",
        "500 /ip4/1.2.3.4/tcp/4001",
        "500 /dns4/libp2p.io/tcp/443/p2p/RELAY/p2p-circuit/p2p/PEER",
    ]);
    check(&["0 /dns4/printer.local/tcp/1", "0 /dns4/libp2p.io/tcp/1", "30 /dns/localhost/tcp/2"]);
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_one() {
    check(&["0 /ip6/1::2/tcp/9", "250 /ip6/::ffff:1.2.3.4/tcp/1"]);
}

#[test]
fn sockets_of_this_machine_wait_for_nothing_and_hold_nothing_up() {
    check(&["0 /unix/tmp%2Fsock", "0 /memory/7", "0 /ip4/127.0.0.1/udp/1/quic-v1", "30 /ip4/127.0.0.1/tcp/1"]);
}

#[test]
fn duplicates_go_and_the_one_that_names_the_peer_stays() {
    assert_eq!(ranked(&["/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/1"]), ["0 /ip4/1.2.3.4/tcp/1"]);
    let named = format!("0 {}", at("/ip4/1.2.3.4/tcp/1/p2p/PEER"));
    assert_eq!(
        ranked(&[
            "/ip4/1.2.3.4/tcp/1",
            "/ip4/1.2.3.4/tcp/1/p2p/PEER",
            "/ip4/1.2.3.4/tcp/1",
            "/ip4/1.2.3.4/tcp/1/p2p/PEER"
        ]),
        [named]
    );
    let relayed = "/ip4/1.2.3.4/tcp/1/p2p/RELAY/p2p-circuit";
    assert_eq!(
        ranked(&[relayed, &format!("{relayed}/p2p/PEER")]),
        [format!("0 {}", at(&format!("{relayed}/p2p/PEER")))]
    );
    assert_eq!(ranked(&["/ip4/1.2.3.4/tcp/1/p2p/OTHER", "/ip4/1.2.3.4/tcp/1/p2p/PEER"]).len(), 2, "two peers");
}

#[test]
fn the_delays_are_the_callers() {
    let delays = Delays {
        public_quic: Duration::from_millis(1),
        public_tcp: Duration::from_millis(10),
        other: Duration::from_millis(100),
        relayed: Duration::from_millis(1000),
        ..Delays::default()
    };
    let addresses = [
        "/ip4/1.2.3.4/udp/1/quic-v1",
        "/ip4/1.2.3.4/udp/2/quic-v1",
        "/ip4/1.2.3.4/tcp/1",
        "/ip4/1.2.3.4/udp/1/webrtc-direct",
        "/ip4/1.2.3.4/tcp/1/p2p/RELAY/p2p-circuit/p2p/PEER",
    ];
    let delays: Vec<_> = rank(&addresses.map(at), &delays).iter().map(|next| next.delay.as_millis()).collect();
    assert_eq!(delays, [0, 1, 11, 111, 1000]);
}

#[test]
fn the_longest_delays_do_not_overflow() {
    let most = Duration::MAX;
    let delays = Delays { public_quic: most, public_tcp: most, other: most, relayed: most, ..Delays::default() };
    let addresses =
        ["/ip6/1::2/tcp/1", "/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/2", "/ip4/1.2.3.4/tcp/3/p2p/RELAY/p2p-circuit"];
    let ranked = rank(&addresses.map(at), &delays);
    assert_eq!(ranked.last().map(|last| last.delay), Some(Duration::MAX));
}

#[test]
fn what_can_be_dialed_is_told_by_table() {
    let other = Err(Outcome::OtherPeer(OTHER.parse().unwrap()));
    let undialable = Err(Outcome::Undialable);
    let table = [
        ("/ip4/1.2.3.4/tcp/1", Ok(())),
        ("/ip4/1.2.3.4/tcp/1/p2p/PEER", Ok(())),
        ("/ip4/1.2.3.4/tcp/1/p2p/OTHER", other.clone()),
        ("/ip6/2001:db8::1/udp/4001/quic-v1", Ok(())),
        ("/ip4/203.0.113.1/udp/4001/quic-v1/webtransport", Ok(())),
        ("/ip4/1.2.3.4/udp/1/webrtc-direct", Ok(())),
        ("/ip4/127.0.0.1/tcp/1/ws", Ok(())),
        ("/dns4/libp2p.io/tcp/443/wss", Ok(())),
        ("/dnsaddr/bootstrap.libp2p.io", Ok(())),
        ("/dnsaddr/bootstrap.libp2p.io/p2p/PEER", Ok(())),
        ("/dnsaddr/bootstrap.libp2p.io/p2p/OTHER", other.clone()),
        ("/unix/tmp%2Fsock", Ok(())),
        ("/memory/7", Ok(())),
        ("/ip4/0.0.0.0/tcp/1", undialable.clone()),
        ("/ip6/::/udp/1/quic-v1", undialable.clone()),
        ("/ip4/224.0.0.1/udp/1/quic-v1", undialable.clone()),
        ("/ip6/ff02::1/tcp/1", undialable.clone()),
        ("/ip4/1.2.3.4/tcp/0", undialable.clone()),
        ("/ip4/1.2.3.4/udp/0/quic-v1", undialable.clone()),
        ("/ip4/1.2.3.4", undialable.clone()),
        ("/ip4/1.2.3.4/udp/1", undialable.clone()),
        ("/ip4/1.2.3.4/tcp/443/https", undialable.clone()),
        ("/ip4/1.2.3.4/unknown/4000:00", undialable.clone()),
        ("/dns4/libp2p.io", undialable.clone()),
        ("/tcp/1", undialable.clone()),
        ("/p2p/PEER", undialable.clone()),
        ("/webrtc", undialable.clone()),
        // Through relays.
        ("/ip4/1.2.3.4/tcp/1/p2p/RELAY/p2p-circuit", Ok(())),
        ("/ip4/1.2.3.4/tcp/1/p2p/RELAY/p2p-circuit/p2p/PEER", Ok(())),
        ("/ip4/1.2.3.4/tcp/1/p2p/RELAY/p2p-circuit/webrtc/p2p/PEER", Ok(())),
        ("/p2p/RELAY/p2p-circuit/p2p/PEER", Ok(())),
        ("/ip4/1.2.3.4/tcp/1/p2p/RELAY/p2p-circuit/p2p/OTHER", other),
        ("/ip4/1.2.3.4/tcp/1/p2p-circuit/p2p/PEER", undialable.clone()),
        ("/p2p-circuit/p2p/PEER", undialable.clone()),
        ("/ip4/1.2.3.4/tcp/1/p2p/PEER/p2p-circuit/p2p/PEER", undialable.clone()),
        ("/ip4/0.0.0.0/tcp/1/p2p/RELAY/p2p-circuit/p2p/PEER", undialable.clone()),
        ("/ip4/1.2.3.4/tcp/1/p2p/OTHER/p2p-circuit/p2p/RELAY/p2p-circuit/p2p/PEER", undialable),
    ];
    let peer = PEER.parse().unwrap();
    for (address, expected) in table {
        assert_eq!(usable(&at(address), peer, false), expected, "{address}");
    }
}

#[test]
fn direct_only_leaves_relayed_ones_out() {
    let peer = PEER.parse().unwrap();
    let table = [
        ("/ip4/1.2.3.4/tcp/1", Ok(())),
        ("/ip4/1.2.3.4/tcp/1/p2p/RELAY/p2p-circuit/p2p/PEER", Err(Outcome::Relayed)),
        ("/ip4/1.2.3.4/tcp/1/p2p-circuit/p2p/PEER", Err(Outcome::Undialable)),
    ];
    for (address, expected) in table {
        assert_eq!(usable(&at(address), peer, true), expected, "{address}");
    }
}

#[test]
fn who_takes_a_descriptor_and_who_is_local() {
    let table = [
        ("/ip4/1.2.3.4/tcp/1", true, false),
        ("/ip4/1.2.3.4/tcp/1/ws", true, false),
        ("/dns4/libp2p.io/tcp/443/wss", true, false),
        ("/dnsaddr/libp2p.io", true, false),
        ("/unix/tmp%2Fsock", true, true),
        ("/memory/7", false, true),
        ("/ip4/1.2.3.4/udp/1/quic-v1", false, false),
        ("/ip4/1.2.3.4/udp/1/quic-v1/webtransport", false, false),
        ("/ip4/1.2.3.4/udp/1/webrtc-direct", false, false),
        ("/ip4/10.0.0.1/tcp/1", true, true),
        ("/ip4/100.64.0.1/tcp/1", true, true),
        ("/ip4/127.0.0.1/udp/1/quic-v1", false, true),
        ("/ip6/fe80::1/tcp/1", true, true),
        ("/ip6/fd00::1/tcp/1", true, true),
        ("/ip4/10.0.0.1/tcp/1/p2p/RELAY/p2p-circuit/p2p/PEER", false, false),
    ];
    for (address, descriptor, local) in table {
        assert_eq!((takes_descriptor(&at(address)), is_local(&at(address))), (descriptor, local), "{address}");
    }
}

#[test]
fn addresses_that_stand_for_an_ipv4_one_are_known() {
    let table = [
        ("1.2.3.4", None),
        ("::1.2.3.4", None),
        ("2001:db8::102:304", None),
        ("::ffff:1.2.3.4", Some("1.2.3.4")),
        ("64:ff9b::1.2.3.4", Some("1.2.3.4")),
        ("2002:102:304::", Some("1.2.3.4")),
    ];
    for (ip, v4) in table {
        assert_eq!(embedded_v4(ip.parse().unwrap()), v4.map(|v4| v4.parse().unwrap()), "{ip}");
    }
}

fn address() -> impl Strategy<Value = Multiaddr> {
    let host = prop_oneof![
        Just("/ip4/1.2.3.4"),
        Just("/ip4/5.6.7.8"),
        Just("/ip6/1::2"),
        Just("/ip4/10.0.0.1"),
        Just("/ip6/fd00::1"),
        Just("/dns6/libp2p.io"),
        Just("/dns/localhost"),
    ];
    let way = prop_oneof![
        Just(("/tcp", "")),
        Just(("/tcp", "/ws")),
        Just(("/udp", "/quic-v1")),
        Just(("/udp", "/quic")),
        Just(("/udp", "/quic-v1/webtransport")),
        Just(("/udp", "/webrtc-direct")),
    ];
    let end = prop_oneof![
        Just(""),
        Just("/p2p/PEER"),
        Just("/p2p/RELAY/p2p-circuit"),
        Just("/p2p/RELAY/p2p-circuit/p2p/PEER")
    ];
    (host, way, 1u16..4, end)
        .prop_map(|(host, (layer, above), port, end)| at(&format!("{host}{layer}/{port}{above}{end}")))
}

/// When `address` is due, worked out for it alone from the tables in the docs of [`rank`], by counting who comes before it.
fn due(address: &Multiaddr, all: &[Multiaddr]) -> u64 {
    let class = |of: &Multiaddr| {
        let beside = |transport| {
            all.iter().any(|other| {
                other.transport() == transport
                    && (other.ip(), other.dns_name(), other.port()) == (of.ip(), of.dns_name(), of.port())
                    && other.is_relayed() == of.is_relayed()
            })
        };
        match of.transport() {
            Transport::QuicV1 => "quic",
            Transport::Quic | Transport::WebTransport if !beside(Transport::QuicV1) => "quic",
            Transport::Tcp => "tcp",
            Transport::Ws if !beside(Transport::Tcp) => "tcp",
            _ => "other",
        }
    };
    let group = |of: &Multiaddr| match of.is_relayed() {
        true => "relayed",
        false if is_near(of) => "private",
        false => "public",
    };
    let members = |name: &'static str| all.iter().filter(move |of| group(of) == group(address) && class(of) == name);
    let (step, other) = if group(address) == "private" { (30, 100) } else { (250, 1000) };
    let start = if group(address) == "relayed" && all.iter().any(|of| group(of) == "public") { 500 } else { 0 };
    let key = |of: &Multiaddr| {
        let transport = of.transport();
        let (web, draft) = (transport == Transport::WebTransport, transport == Transport::Quic);
        (web, !is_v6(of), draft, of.port(), transport, of.clone())
    };
    let first = |name| members(name).min_by_key(|of| key(of));
    let first_v4 = |name| members(name).filter(|of| !is_v6(of)).min_by_key(|of| key(of));
    let alternates = |name| first(name).is_some_and(is_v6) && first_v4(name).is_some();
    let length = |name| match members(name).count() {
        0 => None,
        1 => Some(0),
        2 => Some(step),
        _ if alternates(name) => Some(2 * step),
        _ => Some(step),
    };
    let tcp_start = length("quic").map_or(0, |quic| quic + step);
    let end = match length("tcp") {
        Some(tcp) => Some(tcp_start + tcp),
        None => length("quic"),
    };
    let within = |name| match () {
        () if first(name) == Some(address) => 0,
        () if alternates(name) && first_v4(name) == Some(address) => step,
        () => length(name).unwrap(),
    };
    let none_anywhere = all.iter().all(|of| of.is_relayed() != address.is_relayed() || class(of) == "other");
    start
        + match class(address) {
            "quic" => within("quic"),
            "tcp" => tcp_start + within("tcp"),
            _ if none_anywhere => 0,
            _ => end.unwrap_or(0) + other,
        }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_set_is_ranked_as_the_tables_say(addresses in proptest::collection::vec(address(), 0..16)) {
        let ranked = rank(&addresses, &Delays::default());
        prop_assert!(ranked.is_sorted_by_key(|next| next.delay));
        prop_assert!(ranked.first().is_none_or(|first| first.delay.is_zero()));

        let mut expected = addresses.clone();
        expected.sort();
        expected.dedup();
        let all = expected.clone();
        expected.retain(|one| !all.iter().any(|other| other != one && other.without_peer_id() == *one));
        let mut found: Vec<_> = ranked.iter().map(|next| next.address.clone()).collect();
        found.sort();
        prop_assert_eq!(&found, &expected);

        for next in &ranked {
            prop_assert_eq!(next.delay, Duration::from_millis(due(&next.address, &expected)), "{}", next.address);
        }
        let again: Vec<_> = ranked.iter().rev().map(|next| next.address.clone()).collect();
        prop_assert_eq!(rank(&again, &Delays::default()), ranked);
    }
}
