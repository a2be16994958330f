//! Tables: texts and bytes, faults, reach, transports, and the parts of relayed addresses.

use super::*;
use alloc::format;
use alloc::string::{String, ToString};
use core::net::{Ipv4Addr, Ipv6Addr};

const R: &str = "QmdPU7PfRyKehdrP5A3WqmjyD6bhVpU1mLGKppa2FjGDjZ";
const D: &str = "QmVT6GYwjeeAF5TR485Yc58S3xRF5EFsZ5YAF4VcP3URHt";
const HASH: &str = "uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g";

fn ma(text: &str) -> Multiaddr {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn fault(text: &str) -> MultiaddrFault {
    text.parse::<Multiaddr>().unwrap_err().fault().clone()
}

#[test]
fn text_and_bytes_are_those_of_the_other_implementations() {
    let table = [
        ("/ip4/1.2.3.4", "0401020304"),
        ("/ip6/::1", "2900000000000000000000000000000001"),
        ("/ip6/2601:9:4f81:9700:803e:ca65:66e8:c21", "29260100094F819700803ECA6566E80C21"),
        ("/ip6zone/wlan0/ip6/fe80::1", "2a05776c616e3029fe800000000000000000000000000001"),
        ("/ip4/10.0.0.0/ipcidr/8", "040a0000002b08"),
        ("/udp/0", "91020000"),
        ("/tcp/65535", "06FFFF"),
        ("/udp/1234/sctp/1234", "910204D2840104D2"),
        ("/udp/1234/udt", "910204D2AD02"),
        ("/tcp/1234/tls/http", "0604D2C003E003"),
        ("/tcp/1234/http/http-path/api%2Fv0%2Flogin", "0604D2E003E1030C6170692F76302F6C6F67696E"),
        ("/tcp/1234/http/http-path/a%2520space", "0604D2E003E10309612532307370616365"),
        (
            "/p2p/QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC",
            "A503221220D52EBB89D85B02A284948203A62FF28389C57C9F42BEEC4EC20DB76A68911C0B",
        ),
        ("/ip4/127.0.0.1/tcp/127/wss", "047F00000106007FDE03"),
        ("/ip4/127.0.0.1/tcp/127/tls/sni/a.b/ws", "047F00000106007FC003C10303612e62DD03"),
        ("/ip4/127.0.0.1/tcp/127/noise", "047F00000106007FC603"),
        ("/ip4/127.0.0.1/udp/1234/quic-v1", "047F000001910204D2CD03"),
        ("/ip4/127.0.0.1/udp/1234/quic/webtransport", "047F000001910204D2CC03D103"),
        (
            "/ip4/127.0.0.1/udp/1234/webrtc-direct/certhash/uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g",
            "047F000001910204D29802D203221220C3AB8FF13720E8AD9047DD39466B3C8974E592C2FA383D4A3960714CAEF0C4F2",
        ),
        ("/p2p-circuit/webrtc", "a2029902"),
        ("/unix/stdio", "9003062F737464696F"),
        ("/memory/7", "89060000000000000007"),
        ("/onion/aaimaq4ygg2iegci:80", "bc030010c0439831b48218480050"),
    ];
    for (text, bytes) in table {
        let address = ma(text);
        assert_eq!(address.as_bytes(), hex(bytes), "{text}");
        assert_eq!(address.to_string(), text);
        assert_eq!(Multiaddr::from_bytes(&hex(bytes)).as_ref(), Ok(&address), "{text}");
    }
}

#[test]
fn other_spellings_are_read_and_written_in_one() {
    let cid = "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe";
    let table = [
        ("/ip4/1.2.3.4/tcp/80/", "/ip4/1.2.3.4/tcp/80"),
        ("/ip6/2001:0DB8:0:0::0001", "/ip6/2001:db8::1"),
        ("/tcp/00080", "/tcp/80"),
        ("/ipfs/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", "/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"),
        (&format!("/p2p/{cid}"), "/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"),
        ("/certhash/f1203010203", "/certhash/uEgMBAgM"),
        ("/http-path/%61%2f", "/http-path/a%2F"),
        ("/unix/%2Frun%2Fx%20y", "/unix/run/x y"),
        ("/onion/AAIMAQ4YGG2IEGCI:80", "/onion/aaimaq4ygg2iegci:80"),
        ("/unknown/9999:0A0b", "/unknown/9999:0a0b"),
    ];
    for (read, written) in table {
        assert_eq!(ma(read).to_string(), written);
    }
}

#[test]
fn a_unix_path_runs_to_the_end() {
    let address = ma("/unix/run/p2p/x.sock/");
    assert_eq!(address.iter().next(), Some(Component::Unix("/run/p2p/x.sock/")));
    assert_eq!(address.to_string(), "/unix/run/p2p/x.sock/");
}

#[test]
fn a_unix_path_before_another_component_is_one_encoded_segment() {
    let peer: PeerId = R.parse().unwrap();
    let address = ma("/unix/run/x.sock").with_peer_id(peer).unwrap();
    assert_eq!(address.to_string(), format!("/unix/%2Frun%2Fx.sock/p2p/{R}"));
    assert_eq!(ma(&address.to_string()), address);
    assert_eq!(address.peer_id(), Some(peer));

    // Found by fuzzing: an unknown code behind the path.
    let address = Multiaddr::from_bytes(&hex("9003022f7374 64696f".replace(' ', "").as_str())).unwrap();
    assert_eq!(ma(&address.to_string()), address);
}

#[test]
fn a_path_that_looks_encoded_survives_its_text() {
    let address = Multiaddr::from_components(&[Component::Unix("/%2Fx")]).unwrap();
    assert_eq!(address.to_string(), "/unix/%2F%252Fx");
    assert_eq!(ma(&address.to_string()), address);
}

#[test]
fn errors_speak_of_the_place_and_of_what_was_expected() {
    let table = [
        ("", ": an address needs at least one component, such as /ip4/192.0.2.1"),
        ("ip4/1.2.3.4", "ip4/1.2.3.4: an address begins with `/`, such as /ip4/192.0.2.1/tcp/4001"),
        ("/ip4/1.2.3/tcp/1", "/ip4/1.2.3/tcp/1: `1.2.3` is not an IPv4 address"),
        ("/ip4", "/ip4: `ip4` must be followed by an IPv4 address"),
        ("/ip4//tcp/1", "/ip4//tcp/1: `ip4` must be followed by an IPv4 address"),
        ("/tcp/65536", "/tcp/65536: `65536` is not a port from 0 to 65535"),
        ("/tcp/+80", "/tcp/+80: `+80` is not a port from 0 to 65535"),
        ("/tpc/80", "/tpc/80: `tpc` is not a protocol that we know"),
        ("/p2p-circuit/50", "/p2p-circuit/50: `50` is not a protocol that we know"),
        ("/tls//ws", "/tls//ws: there is nothing between two slashes, where a protocol's name should be"),
        ("/dns/a\u{1b}[2J", "/dns/a\\u{1b}[2J: `a\\u{1b}[2J` is not a name without `/` and control characters"),
        (
            "/unknown/9999:00/tls",
            "/unknown/9999:00/tls: nothing can follow a component with an unknown code, it runs to the end",
        ),
        ("/unknown/6:0050", "/unknown/6:0050: code 6 is not unknown, or too large for a varint of 9 bytes"),
    ];
    for (text, message) in table {
        assert_eq!(text.parse::<Multiaddr>().unwrap_err().to_string(), message);
    }
    let error = Multiaddr::from_bytes(&[4, 1, 2, 3, 4, 6, 0]).unwrap_err();
    assert_eq!(error.to_string(), "multiaddr, component 1, byte 5: `tcp` needs 2 bytes, 1 are left");
    assert_eq!((error.component(), error.offset()), (1, 5));
}

#[test]
fn text_that_is_no_address_is_refused() {
    for text in [
        "/",
        "//",
        "///",
        "/ip4/::1",
        "/ip4/01.2.3.4",
        "/ip6/fe80::1%eth0",
        "/ip6/fe80::1/ip6zone",
        "/udp/-1",
        "/tcp",
        "/onion/timaq4ygg2iegci:0",
        "/onion/timaq4ygg2iegci",
        "/onion/9imaq4ygg2iegci7:80",
        "/onion3/vww6:80",
        "/garlic64/jT~",
        "/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzu",
        "/udp/1234/udt/1234",
        "/p2p/tcp",
        "/certhash/b2uaraocy6yrdblb4sfptaddgimjmmp",
        "/certhash/",
        "/http-path/a/b",
        "/http-path/a%2",
        "/http-path/%zz",
        "/http-path/a b",
        "/http-path/ä",
        "/memory/18446744073709551616",
        "/memory/-1",
        "/ipcidr/256",
        "/tls/ /ws",
        "/TCP/80",
        "/unknown/9999:",
        "/unknown/9999:0",
        "/unknown/x",
        "/unknown/18446744073709551615",
        "/ip4/1.2.3.4//",
        "/unix",
        "/unix/%2Fa/b",
    ] {
        assert!(text.parse::<Multiaddr>().is_err(), "{text}");
    }
}

#[test]
fn bytes_that_are_no_address_are_refused() {
    let long = "a".repeat(20);
    for bytes in [
        "",
        "04",
        "04010203",
        "0600",
        "3600",
        "3605612e62",
        "3603612f62",
        "36020a0a",
        "3602c328",
        "9003017a",
        "a50300",
        "a503021200",
        "a5030200ff",
        "d203021220",
        "e10300",
        "bc0300000000000000000000 0000",
        "8084808000",
        "86000050",
        "80",
        "ffffffffffffffffff01",
        "3680808080808080808001",
    ] {
        let bytes = hex(&bytes.replace(' ', ""));
        assert!(Multiaddr::from_bytes(&bytes).is_err(), "{bytes:?}");
    }
    assert!(Multiaddr::from_components(&[Component::Dns(&long)]).is_ok());
}

#[test]
fn the_caps_hold_at_their_edges() {
    let bytes = |count| [0xc0, 0x03].repeat(count);
    assert!(Multiaddr::from_bytes(&bytes(Multiaddr::MAX_COMPONENTS)).is_ok());
    let many = Multiaddr::from_bytes(&bytes(Multiaddr::MAX_COMPONENTS + 1)).unwrap_err();
    assert_eq!(many.fault(), &MultiaddrFault::TooManyComponents { max: 32 });
    assert_eq!(fault(&"/tls".repeat(33)), MultiaddrFault::TooManyComponents { max: 32 });
    assert!(ma(&"/tls".repeat(32)).with(Component::Tls).is_err());

    let name = "a".repeat(Multiaddr::MAX_LEN - 3);
    let full = ma(&format!("/dns/{name}"));
    assert_eq!(full.as_bytes().len(), Multiaddr::MAX_LEN);
    assert_eq!(*full.with(Component::Tls).unwrap_err().fault(), MultiaddrFault::TooLong { len: 1026, max: 1024 });
    assert!(full.encapsulate(&ma("/tls")).is_err());
    assert!(matches!(fault(&format!("/dns/{name}a")), MultiaddrFault::TooLong { len: 1025, max: 1024 }));
    assert!(matches!(fault(&"/".repeat(5000)), MultiaddrFault::TooLong { len: 5000, max: 4096 }));
}

#[test]
fn the_longest_text_is_read_back() {
    let path = [0xff; 1000];
    let mut address = Multiaddr::from_components(&[Component::HttpPath(&path)]).unwrap();
    while let Ok(longer) = address.with(Component::P2pWebSocketStar) {
        address = longer;
    }
    assert!(address.to_string().len() > 3000);
    assert_eq!(ma(&address.to_string()), address);
}

#[test]
fn an_unknown_code_is_kept_with_all_that_follows() {
    let bytes = hex("047f000001 8f4e 06 0050".replace(' ', "").as_str());
    let mut address = Multiaddr::from_bytes(&bytes).unwrap();
    assert_eq!(address.as_bytes(), bytes);
    let components: Vec<_> = address.iter().collect();
    let unknown = Component::Unknown { code: 9999, rest: &[6, 0, 0x50] };
    assert_eq!(components, [Component::Ip4(Ipv4Addr::LOCALHOST), unknown]);
    assert_eq!(address.to_string(), "/ip4/127.0.0.1/unknown/9999:060050");
    assert_eq!(ma(&address.to_string()), address);
    assert!(address.is_loopback());
    assert_eq!((address.port(), address.transport()), (None, Transport::Unknown));

    let before = address.clone();
    assert_eq!(*address.push(Component::Tls).unwrap_err().fault(), MultiaddrFault::AfterUnknown);
    assert_eq!(*address.encapsulate(&ma("/tls")).unwrap_err().fault(), MultiaddrFault::AfterUnknown);
    assert_eq!(address, before);
    assert_eq!(address.pop().unwrap().to_string(), "/unknown/9999:060050");
    assert_eq!(address.to_string(), "/ip4/127.0.0.1");
}

#[test]
fn a_known_code_can_not_be_pushed_as_unknown() {
    let error = Multiaddr::empty().with(Component::Unknown { code: 6, rest: &[0, 80] }).unwrap_err();
    assert_eq!(*error.fault(), MultiaddrFault::NotUnknown { code: 6 });
}

#[test]
fn a_component_that_text_could_not_hold_is_not_pushed() {
    for component in [
        Component::Dns("a/b"),
        Component::Dns(""),
        Component::Sni("a\nb"),
        Component::Unix("relative"),
        Component::HttpPath(b""),
        Component::Onion(&[0; 10], 0),
        Component::Garlic32(&[0; 33]),
    ] {
        assert!(Multiaddr::empty().with(component).is_err(), "{component:?}");
    }
}

#[test]
fn the_empty_address_is_for_building_only() {
    let empty = Multiaddr::empty();
    assert!(empty.is_empty());
    assert_eq!(empty.to_string(), "/");
    assert_eq!(*Multiaddr::from_bytes(&[]).unwrap_err().fault(), MultiaddrFault::Empty);
    assert_eq!(fault("/"), MultiaddrFault::Empty);
    assert_eq!(empty.with(Component::Tls), Ok(ma("/tls")));
    assert_eq!(empty.clone().pop(), None);
}

#[test]
fn encapsulating_appends() {
    assert_eq!(ma("/ip4/198.51.100.0").encapsulate(&ma("/tcp/42")), Ok(ma("/ip4/198.51.100.0/tcp/42")));
}

#[test]
fn decapsulating_cuts_at_the_last_occurrence() {
    let address = ma("/ip4/198.51.100.0/tcp/1234/ws");
    assert_eq!(address.decapsulate(&ma("/ws")), Some(ma("/ip4/198.51.100.0/tcp/1234")));
    assert_eq!(address.decapsulate(&ma("/tcp/1234/ws")), Some(ma("/ip4/198.51.100.0")));
    assert_eq!(address.decapsulate(&ma("/tcp/1234")), Some(ma("/ip4/198.51.100.0")));
    assert_eq!(address.decapsulate(&ma("/tcp/1235")), None);
    assert_eq!(ma("/tcp/1/tls/tcp/1").decapsulate(&ma("/tcp/1")), Some(ma("/tcp/1/tls")));
    assert_eq!(address.decapsulate(&Multiaddr::empty()), None);
}

#[test]
fn parts_match_at_component_boundaries_only() {
    // The bytes of /tcp/80 within an IPv4 address.
    let address = ma("/ip4/6.0.80.1");
    assert_eq!(address.decapsulate(&ma("/tcp/80")), None);
    assert!(!ma("/memory/393296").ends_with(&ma("/tcp/80")));
    assert!(ma("/udp/1/quic-v1").ends_with(&ma("/quic-v1")));
    assert_eq!(ma("/tls/unknown/9999:0102").decapsulate(&ma("/unknown/9999:01")), None);
}

#[test]
fn a_peer_is_added_once_and_taken_off() {
    let address = ma("/ip4/192.0.2.1/tcp/1");
    let (r, d): (PeerId, PeerId) = (R.parse().unwrap(), D.parse().unwrap());
    let with = address.with_peer_id(r).unwrap();
    assert_eq!(with.to_string(), format!("/ip4/192.0.2.1/tcp/1/p2p/{R}"));
    assert_eq!(with.with_peer_id(r).as_ref(), Ok(&with));
    assert_eq!(
        *with.with_peer_id(d).unwrap_err().fault(),
        MultiaddrFault::OtherPeer { found: r.into(), wanted: d.into() }
    );
    assert_eq!(with.without_peer_id(), address);
    assert_eq!(address.without_peer_id(), address);
}

#[test]
fn destination_and_relay_are_never_mistaken_for_each_other() {
    let (r, d): (Option<PeerId>, Option<PeerId>) = (R.parse().ok(), D.parse().ok());
    let table = [
        (format!("/ip4/192.0.2.0/tcp/1/p2p/{D}"), d, None),
        (format!("/ip4/192.0.2.0/tcp/1/p2p/{R}/p2p-circuit/p2p/{D}"), d, r),
        (format!("/ip4/192.0.2.0/tcp/1/p2p/{R}/p2p-circuit"), None, r),
        (format!("/p2p-circuit/p2p/{D}"), d, None),
        (format!("/p2p/{R}/p2p-circuit/p2p-circuit/p2p/{D}"), d, None),
        (format!("/p2p/{D}/p2p-circuit/p2p/{R}/p2p-circuit/webrtc/p2p/{D}"), d, r),
        (format!("/p2p/{D}/http-path/x"), d, None),
        (String::from("/tls"), None, None),
    ];
    for (text, peer, relay) in table {
        assert_eq!((ma(&text).peer_id(), ma(&text).relay_peer_id()), (peer, relay), "{text}");
    }
}

#[test]
fn a_circuit_splits_into_relay_and_destination() {
    let address = ma(&format!("/ip4/192.0.2.0/tcp/5002/p2p/{R}/p2p-circuit/p2p/{D}"));
    let (relay, destination) = address.split_circuit().unwrap();
    assert_eq!(relay, ma(&format!("/ip4/192.0.2.0/tcp/5002/p2p/{R}")));
    assert_eq!(destination, ma(&format!("/p2p/{D}")));
    assert_eq!(relay.with(Component::P2pCircuit).unwrap().encapsulate(&destination), Ok(address));
    assert_eq!(relay.split_circuit(), None);
}

#[test]
fn a_relayed_address_speaks_of_the_relay() {
    let address = ma(&format!("/ip4/8.8.8.8/tcp/1/p2p/{R}/p2p-circuit/ip4/10.0.0.1/udp/2/p2p/{D}"));
    assert!(address.is_relayed() && address.is_public());
    assert_eq!(address.socket_addr(), "8.8.8.8:1".parse().ok());
    assert_eq!(address.transport(), Transport::Tcp);
    let bare = ma("/p2p-circuit/ip4/10.0.0.1/tcp/1");
    assert_eq!(
        (bare.reach(), bare.ip(), bare.port(), bare.transport()),
        (Reach::Unknown, None, None, Transport::Unknown)
    );
}

#[test]
fn the_transport_is_read_off_the_stack() {
    let table = [
        ("/ip4/1.1.1.1/tcp/1", Transport::Tcp),
        ("/ip4/1.1.1.1/tcp/1/tls/noise", Transport::Tcp),
        ("/dns4/a.b/tcp/1/ws", Transport::Ws),
        ("/dns4/a.b/tcp/1/wss", Transport::Wss),
        ("/dns4/a.b/tcp/1/tls/sni/a.b/ws", Transport::Wss),
        ("/dns4/a.b/tcp/1/http", Transport::Http),
        ("/dns4/a.b/tcp/1/tls/http/http-path/x", Transport::Https),
        ("/ip6zone/1/ip6/fe80::1/udp/1", Transport::Udp),
        ("/ip4/1.1.1.1/udp/1/quic", Transport::Quic),
        ("/ip4/1.1.1.1/udp/1/quic-v1", Transport::QuicV1),
        ("/ip4/1.1.1.1/udp/1/quic-v1/webtransport", Transport::WebTransport),
        ("/ip4/1.1.1.1/udp/1/webrtc-direct", Transport::WebRtcDirect),
        ("/webrtc", Transport::WebRtc),
        ("/unix/x", Transport::Unix),
        ("/memory/1", Transport::Memory),
        ("/ip4/1.1.1.1/tcp/1/quic-v1", Transport::Unknown),
        ("/ip4/1.1.1.1/udp/1/ws", Transport::Unknown),
        ("/ip4/1.1.1.1/utp", Transport::Unknown),
        ("/ip4/1.1.1.1", Transport::Unknown),
    ];
    for (text, transport) in table {
        assert_eq!(ma(text).transport(), transport, "{text}");
    }
    assert_eq!(ma(&format!("/ip4/1.1.1.1/udp/1/webrtc-direct/certhash/{HASH}")).transport(), Transport::WebRtcDirect);
}

#[test]
fn the_reach_of_an_ip_address_follows_the_registries() {
    let table = [
        ("8.8.8.8", Reach::Public),
        ("0.0.0.0", Reach::Unspecified),
        ("0.1.2.3", Reach::Reserved),
        ("9.255.255.255", Reach::Public),
        ("10.0.0.0", Reach::Private),
        ("11.0.0.10", Reach::Public),
        ("100.63.255.255", Reach::Public),
        ("100.64.0.0", Reach::Shared),
        ("100.127.255.255", Reach::Shared),
        ("100.128.0.0", Reach::Public),
        ("127.9.9.9", Reach::Loopback),
        ("169.254.1.1", Reach::LinkLocal),
        ("172.15.255.255", Reach::Public),
        ("172.16.0.0", Reach::Private),
        ("172.31.255.255", Reach::Private),
        ("172.32.0.0", Reach::Public),
        ("192.0.0.1", Reach::Reserved),
        ("192.0.0.9", Reach::Public),
        ("192.0.2.1", Reach::Documentation),
        ("192.88.99.1", Reach::Reserved),
        ("192.168.0.1", Reach::Private),
        ("198.17.0.0", Reach::Public),
        ("198.19.0.0", Reach::Reserved),
        ("198.51.100.1", Reach::Documentation),
        ("203.0.113.1", Reach::Documentation),
        ("223.255.255.255", Reach::Public),
        ("224.0.0.1", Reach::Multicast),
        ("240.0.0.1", Reach::Reserved),
        ("255.255.255.255", Reach::Reserved),
        ("::", Reach::Unspecified),
        ("::1", Reach::Loopback),
        ("::2", Reach::Reserved),
        ("::ffff:10.0.0.1", Reach::Private),
        ("::ffff:8.8.8.8", Reach::Public),
        ("::ffff:127.0.0.1", Reach::Loopback),
        ("64:ff9b::8.8.8.8", Reach::Public),
        ("64:ff9b::10.0.0.1", Reach::Private),
        ("64:ff9b:1::1", Reach::Private),
        ("100::1", Reach::Reserved),
        ("2001::1", Reach::Reserved),
        ("2001:200::1", Reach::Public),
        ("2001:db8::1", Reach::Documentation),
        ("2002:808:808::1", Reach::Public),
        ("2002:a00:1::1", Reach::Private),
        ("2600::1", Reach::Public),
        ("3fff::1", Reach::Documentation),
        ("3fff:1000::1", Reach::Public),
        ("4000::1", Reach::Reserved),
        ("fbff::1", Reach::Reserved),
        ("fc00::1", Reach::Private),
        ("fdff::1", Reach::Private),
        ("fe80::1", Reach::LinkLocal),
        ("febf::1", Reach::LinkLocal),
        ("fec0::1", Reach::Private),
        ("ff02::1", Reach::Multicast),
    ];
    for (ip, reach) in table {
        assert_eq!(Reach::of_ip(ip.parse().unwrap()), reach, "{ip}");
    }
}

#[test]
fn the_reach_of_a_name_follows_the_special_use_domains() {
    let table = [
        ("example.com", Reach::Public),
        ("localhost", Reach::Loopback),
        ("a.LocalHost.", Reach::Loopback),
        ("notlocalhost", Reach::Public),
        ("printer.local", Reach::Private),
        ("x.home.arpa", Reach::Private),
        ("a.test", Reach::Documentation),
        ("a.invalid", Reach::Reserved),
        ("local.example.com", Reach::Public),
    ];
    for (name, reach) in table {
        assert_eq!(Reach::of_name(name), reach, "{name}");
        assert_eq!(ma(&format!("/dns/{name}/tcp/1")).reach(), reach);
    }
    assert_eq!((ma("/unix/x").reach(), ma("/memory/1").reach()), (Reach::Loopback, Reach::Loopback));
    assert_eq!(ma("/tcp/1").reach(), Reach::Unknown);
    assert!(ma("/ip4/100.64.0.1/tcp/1").is_private() && ma("/ip6/fe80::1").is_link_local());
    assert!(ma("/ip4/0.0.0.0/tcp/0").is_unspecified());
}

#[test]
fn socket_addresses_go_both_ways() {
    for text in ["192.0.2.1:80", "[2001:db8::1]:443", "[fe80::1%7]:1", "[fe80::1%4294967295]:1", "[::]:0"] {
        let addr: SocketAddr = text.parse().unwrap();
        for address in [Multiaddr::tcp(addr), Multiaddr::udp(addr), Multiaddr::quic_v1(addr)] {
            assert_eq!(address.socket_addr(), Some(addr), "{address}");
            assert_eq!(ma(&address.to_string()), address);
        }
    }
    let mapped = "[::ffff:192.0.2.1]:80".parse().unwrap();
    assert_eq!(Multiaddr::tcp(mapped), ma("/ip4/192.0.2.1/tcp/80"));
    assert_eq!(Multiaddr::quic_v1("192.0.2.1:80".parse().unwrap()), ma("/ip4/192.0.2.1/udp/80/quic-v1"));
    assert_eq!(Multiaddr::from(IpAddr::V6(Ipv6Addr::LOCALHOST)), ma("/ip6/::1"));
    assert_eq!(ma("/ip6zone/eth0/ip6/fe80::1/tcp/1").zone(), Some("eth0"));
    assert_eq!(ma("/dns6/example.com/tcp/1").dns_name(), Some("example.com"));
    assert_eq!(ma("/dns6/example.com/tcp/1").socket_addr(), None);
}

#[test]
fn a_certificate_hash_gives_its_function_and_digest() {
    let address = ma(&format!("/certhash/{HASH}"));
    let Some(Component::CertHash(hash)) = address.iter().next() else { panic!("{address}") };
    assert_eq!((hash.code(), hash.digest().len(), hash.as_bytes().len()), (0x12, 32, 34));
    assert_eq!(Multihash::from_bytes(hash.as_bytes()), Ok(hash));
}

#[test]
fn the_memory_counted_is_the_memory_allocated() {
    for text in
        ["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/1/ws", "/ip6/::1/udp/4001/quic-v1", "/dns/a.example/tcp/443"]
    {
        let bytes = ma(text).as_bytes().to_vec();
        let mut address = Multiaddr::empty();
        let counted = allocation_counter::measure(|| address = Multiaddr::from_bytes(&bytes).unwrap());
        assert_eq!(u64::try_from(address.memory_used()).unwrap(), counted.bytes_total, "{text}");
    }
}

#[test]
fn a_clone_shares_the_bytes() {
    let address = ma("/ip4/192.0.2.1/tcp/1");
    assert_eq!(address.clone().as_bytes().as_ptr(), address.as_bytes().as_ptr());
    assert_eq!(size_of::<Multiaddr>(), 2 * size_of::<usize>());
}
