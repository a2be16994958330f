use super::*;
use alloc::string::ToString;
use proptest::prelude::*;
use std::format;

const RELAY: &str = "12D3KooWHwXSqqkBuwUWM3zFkxWWBBHkPR2DHMfVwc2eFq4TUXBk";

fn gate(max_rules: u32) -> Gate {
    Gate::new(&DialConfig { max_rules, ..DialConfig::default() })
}

fn peer(number: u8) -> PeerId {
    // A SHA-256 multihash.
    let mut bytes = [number; 34];
    bytes[..2].copy_from_slice(&[0x12, 32]);
    PeerId::from_bytes(&bytes).unwrap()
}

fn at(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn subnet(text: &str) -> GateRule {
    let (network, prefix) = text.split_once('/').unwrap();
    GateRule::Subnet(ip(network), prefix.parse().unwrap())
}

#[test]
fn what_no_rule_forbids_is_allowed() {
    let gate = gate(8);
    assert!(gate.is_empty());
    assert_eq!(gate.peer(&peer(1)), None);
    assert_eq!(gate.ip(ip("1.2.3.4")), None);
    assert_eq!(gate.ip(ip("::1")), None);
    assert_eq!(gate.permits(&peer(1), &at("/ip4/1.2.3.4/tcp/1")), Ok(()));
}

#[test]
fn a_denied_peer_is_forbidden_with_the_reason_until_it_is_allowed() {
    let mut gate = gate(8);
    gate.deny(GateRule::Peer(peer(1)), "spam").unwrap();
    assert_eq!(gate.peer(&peer(1)).map(SmolStr::as_str), Some("spam"));
    assert_eq!(gate.peer(&peer(2)), None);
    assert_eq!(gate.permits(&peer(1), &at("/ip4/1.2.3.4/tcp/1")), Err("spam".into()));
    assert_eq!(gate.permits(&peer(2), &at("/ip4/1.2.3.4/tcp/1")), Ok(()));
    assert!(gate.allow(&GateRule::Peer(peer(1))));
    assert!(!gate.allow(&GateRule::Peer(peer(1))), "it is idempotent");
    assert_eq!(gate.peer(&peer(1)), None);
}

#[test]
fn a_subnet_forbids_the_addresses_within_it() {
    let table = [
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.9.9.9/8", "10.0.0.1", true),
        ("1.2.3.4/32", "1.2.3.4", true),
        ("1.2.3.4/32", "1.2.3.5", false),
        ("1.2.3.4/31", "1.2.3.5", true),
        ("0.0.0.0/0", "255.1.2.3", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("::/0", "2001:db8::1", true),
        ("::/0", "1.2.3.4", false),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("2001:db8::1/128", "2001:db8::1", true),
        ("2001:db8::1/128", "2001:db8::2", false),
        // An IPv4 network or address in IPv6 clothes.
        ("1.2.3.0/24", "::ffff:1.2.3.4", true),
        ("1.2.3.0/24", "64:ff9b::1.2.3.4", true),
        ("1.2.3.0/24", "2002:102:304::", true),
        ("1.2.3.0/24", "::1.2.3.4", false),
        ("::ffff:1.2.3.0/120", "1.2.3.4", true),
        ("::ffff:1.2.3.0/120", "::ffff:1.2.3.4", true),
        ("::ffff:1.2.3.0/120", "1.2.4.4", false),
        ("::ffff:0.0.0.0/96", "1.2.3.4", true),
        ("::/0", "::ffff:1.2.3.4", false),
        ("64:ff9b::/96", "64:ff9b::1.2.3.4", true),
        ("64:ff9b::/96", "1.2.3.4", false),
    ];
    for (rule, address, forbidden) in table {
        let mut gate = gate(8);
        gate.deny(subnet(rule), "why").unwrap();
        assert_eq!(gate.ip(ip(address)).is_some(), forbidden, "{rule} on {address}");
        assert!(gate.allow(&subnet(rule)));
        assert_eq!(gate.ip(ip(address)), None, "{rule} is gone");
        assert!(gate.is_empty());
    }
}

#[test]
fn of_several_subnets_the_longest_prefix_gives_the_reason() {
    let mut gate = gate(8);
    for (rule, why) in [("1.2.0.0/16", "site"), ("1.2.3.4/32", "host"), ("1.0.0.0/8", "provider"), ("9.9.9.0/24", "x")]
    {
        gate.deny(subnet(rule), why).unwrap();
    }
    let why = |gate: &Gate, address| gate.ip(ip(address)).map(SmolStr::to_string);
    assert_eq!(why(&gate, "1.2.3.4").as_deref(), Some("host"));
    assert_eq!(why(&gate, "1.2.3.5").as_deref(), Some("site"));
    assert_eq!(why(&gate, "1.3.3.5").as_deref(), Some("provider"));
    gate.allow(&subnet("1.2.0.0/16"));
    assert_eq!(why(&gate, "1.2.3.5").as_deref(), Some("provider"));
    assert_eq!(why(&gate, "2.2.3.5"), None);
}

#[test]
fn an_address_is_forbidden_by_itself_its_network_or_its_relay() {
    let mut gate = gate(8);
    gate.deny(GateRule::Address(at("/dns4/libp2p.io/tcp/443/wss")), "itself").unwrap();
    gate.deny(GateRule::Address(at("/ip4/9.9.9.9/tcp/1").with_peer_id(peer(1)).unwrap()), "named").unwrap();
    gate.deny(subnet("1.2.0.0/16"), "network").unwrap();
    gate.deny(GateRule::Peer(RELAY.parse().unwrap()), "relay").unwrap();
    let relayed = |host: &str| format!("/ip4/{host}/tcp/1/p2p/{RELAY}/p2p-circuit");
    let table = [
        ("/dns4/libp2p.io/tcp/443/wss", Some("itself")),
        ("/dns4/libp2p.io/tcp/444/wss", None),
        ("/ip4/9.9.9.9/tcp/1", Some("named")),
        ("/ip4/9.9.9.9/tcp/2", None),
        ("/ip4/1.2.3.4/udp/1/quic-v1", Some("network")),
        ("/ip6/::ffff:1.2.3.4/udp/1/quic-v1", Some("network")),
        (&relayed("5.5.5.5"), Some("relay")),
        (&relayed("1.2.5.5"), Some("network")),
    ];
    for (address, expected) in table {
        assert_eq!(gate.address(&at(address)).as_deref(), expected, "{address}");
        let named = at(address).with_peer_id(peer(2)).unwrap();
        assert_eq!(gate.address(&named).as_deref(), expected, "{named}");
        assert_eq!(gate.permits(&peer(2), &named), expected.map_or(Ok(()), |why| Err(why.into())), "{named}");
    }
}

#[test]
fn a_prefix_that_is_too_long_is_a_misuse_and_changes_nothing() {
    let mut gate = gate(8);
    for (address, prefix) in [("1.2.3.4", 33), ("1.2.3.4", 255), ("::1", 129)] {
        let rule = GateRule::Subnet(ip(address), prefix);
        assert_eq!(gate.deny(rule.clone(), "x"), Err(DialMisuse::Prefix(ip(address), prefix)));
        assert!(!gate.allow(&rule));
    }
    assert!(gate.is_empty());
}

#[test]
fn a_full_gate_takes_no_more_rules_but_other_reasons() {
    let mut gate = gate(3);
    let rules = [GateRule::Peer(peer(1)), subnet("1.0.0.0/8"), GateRule::Address(at("/memory/1"))];
    for rule in &rules {
        gate.deny(rule.clone(), "first").unwrap();
    }
    for rule in [GateRule::Peer(peer(2)), subnet("2.0.0.0/8"), subnet("::/1"), GateRule::Address(at("/memory/2"))] {
        assert_eq!(gate.deny(rule, "more"), Err(DialMisuse::TooManyRules(3)));
    }
    for rule in &rules {
        gate.deny(rule.clone(), "second").unwrap();
    }
    assert_eq!(gate.len(), 3);
    assert_eq!(gate.peer(&peer(1)).map(SmolStr::as_str), Some("second"));
    assert_eq!(gate.ip(ip("1.1.1.1")).map(SmolStr::as_str), Some("second"));
    assert_eq!(gate.address(&at("/memory/1")).as_deref(), Some("second"));
    gate.allow(&rules[1]);
    assert_eq!(gate.deny(subnet("2.0.0.0/8"), "more"), Ok(()));
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let mut gate = gate(8);
    gate.deny(GateRule::Peer(peer(1)), &"é".repeat(100)).unwrap();
    gate.deny(GateRule::Peer(peer(2)), &format!("x{}", "é".repeat(100))).unwrap();
    assert_eq!(gate.peer(&peer(1)).map(SmolStr::len), Some(128));
    assert_eq!(gate.peer(&peer(2)).map(SmolStr::len), Some(127));
}

#[test]
fn memory_comes_back_when_rules_go() {
    let mut gate = gate(100);
    let rules = [GateRule::Peer(peer(1)), GateRule::Address(at("/ip4/1.2.3.4/tcp/1"))];
    assert_eq!(gate.memory_used(), 0);
    for rule in &rules {
        gate.deny(rule.clone(), &"long ".repeat(20)).unwrap();
        gate.deny(rule.clone(), "short").unwrap();
    }
    let short = gate.memory_used();
    let long = "long ".repeat(20);
    gate.deny(rules[0].clone(), &long).unwrap();
    assert_eq!(gate.memory_used(), short + heap_bytes(&SmolStr::new(&long)));
    for rule in &rules {
        assert!(gate.allow(rule));
    }
    assert_eq!((gate.memory_used(), gate.boxed), (0, 0));
}

fn network() -> impl Strategy<Value = (IpAddr, u8)> {
    // Few bits vary, so that networks lie within each other.
    let v4 = (0u32..64, 24u8..=32).prop_map(|(low, prefix)| (IpAddr::V4(Ipv4Addr::from(0x0102_0300 | low)), prefix));
    let v6 =
        (0u128..64, 120u8..=128).prop_map(|(low, prefix)| (IpAddr::V6(Ipv6Addr::from((0x2001 << 112) | low)), prefix));
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn it_finds_what_trying_each_rule_finds(
        steps in proptest::collection::vec((proptest::bool::weighted(0.7), network()), 0..40),
        asked in proptest::collection::vec(network(), 1..20),
    ) {
        let mut gate = gate(4096);
        let mut rules: BTreeMap<(bool, u8, u128), SmolStr> = BTreeMap::new();
        let bits = |ip| match ip {
            IpAddr::V4(ip) => (true, u128::from(Ipv4Addr::to_bits(ip)), 32),
            IpAddr::V6(ip) => (false, Ipv6Addr::to_bits(ip), 128),
        };
        let within = |ip: u128, width: u8, prefix: u8| ip >> (width - prefix).min(127) >> u32::from(prefix == 0);
        for (number, (add, (network, prefix))) in steps.into_iter().enumerate() {
            let (v4, value, width) = bits(network);
            let key = (v4, prefix, within(value, width, prefix));
            if add {
                let why = SmolStr::from(format!("rule {number}"));
                gate.deny(GateRule::Subnet(network, prefix), &why).unwrap();
                rules.insert(key, why);
            } else {
                let was_there = gate.allow(&GateRule::Subnet(network, prefix));
                prop_assert_eq!(was_there, rules.remove(&key).is_some());
            }
            prop_assert_eq!(gate.len(), rules.len());
        }
        for (ip, _) in asked {
            let (v4, value, width) = bits(ip);
            let matching = rules.iter().filter(|((of, prefix, net), _)| *of == v4 && within(value, width, *prefix) == *net);
            let expected = matching.max_by_key(|((_, prefix, _), _)| *prefix).map(|(_, why)| why);
            prop_assert_eq!(gate.ip(ip), expected);
        }
    }
}
