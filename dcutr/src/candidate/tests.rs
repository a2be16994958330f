//! Which addresses are told, which are dialed, and from where.

use super::*;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use proptest::collection::vec as many;
use proptest::prelude::*;
use tidewire_core::{Keypair, Seed};

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn peer(number: u8) -> PeerId {
    Keypair::from_seed(&Seed::new([number; 32])).peer_id()
}

fn told(texts: &[&str], ours: &[Candidate], config: &Config) -> Selection {
    let theirs: Vec<_> = texts.iter().map(|text| address(text)).collect();
    targets(&theirs, Source::Told, &peer(2), ours, config)
}

fn kept(selection: &Selection) -> Vec<String> {
    selection.kept.iter().map(|candidate| candidate.address.to_string()).collect()
}

fn listener(text: &str) -> Candidate {
    Candidate::new(address(text), Source::Listened)
}

fn observed(text: &str, local: &str) -> Candidate {
    Candidate { address: address(text), source: Source::Observed, local: Some(address(local)) }
}

#[test]
fn each_unfit_address_has_its_reason() {
    let (them, other) = (peer(2), peer(3));
    let table = [
        (format!("/ip4/8.8.8.8/tcp/4001/p2p/{other}/p2p-circuit"), Unfit::Relayed),
        (format!("/ip4/8.8.8.8/tcp/4001/p2p/{other}/p2p-circuit/p2p/{them}"), Unfit::Relayed),
        (format!("/ip4/8.8.8.8/tcp/4001/p2p/{other}"), Unfit::OtherPeer),
        ("/dns4/peer.libp2p.io/tcp/4001".into(), Unfit::Name),
        ("/ip4/8.8.8.8/tcp/4001/ws".into(), Unfit::Transport),
        ("/ip4/8.8.8.8/udp/4001/quic".into(), Unfit::Transport),
        ("/ip4/8.8.8.8/udp/4001/quic-v1/webtransport".into(), Unfit::Transport),
        ("/ip4/8.8.8.8/udp/4001".into(), Unfit::Transport),
        ("/ip4/8.8.8.8".into(), Unfit::Transport),
        ("/tcp/4001".into(), Unfit::NotPublic),
        ("/unix/x".into(), Unfit::Transport),
        ("/ip4/8.8.8.8/tcp/0".into(), Unfit::NoPort),
        ("/ip6/2606::1/udp/0/quic-v1".into(), Unfit::NoPort),
        ("/ip4/10.0.0.1/tcp/4001".into(), Unfit::NotPublic),
        ("/ip4/100.64.0.1/tcp/4001".into(), Unfit::NotPublic),
        ("/ip4/127.0.0.1/tcp/4001".into(), Unfit::NotPublic),
        ("/ip4/0.0.0.0/tcp/4001".into(), Unfit::NotPublic),
        ("/ip4/169.254.1.1/tcp/4001".into(), Unfit::NotPublic),
        ("/ip4/224.0.0.1/udp/4001/quic-v1".into(), Unfit::NotPublic),
        ("/ip4/255.255.255.255/udp/4001/quic-v1".into(), Unfit::NotPublic),
        ("/ip4/192.0.2.1/tcp/4001".into(), Unfit::NotPublic),
        ("/ip6/::1/tcp/4001".into(), Unfit::NotPublic),
        ("/ip6/fe80::1/tcp/4001".into(), Unfit::NotPublic),
        ("/ip6/fd00::1/tcp/4001".into(), Unfit::NotPublic),
        ("/ip6/::ffff:10.0.0.1/tcp/4001".into(), Unfit::NotPublic),
        ("/ip4/1.1.1.1/tcp/9".into(), Unfit::Ours),
    ];
    let ours = [listener("/ip4/1.1.1.1/tcp/9")];
    for (text, why) in table {
        let selection = told(&[&text], &ours, &Config::default());
        assert_eq!(selection.kept, [], "{text}");
        let dropped = Dropped { address: address(&text), source: Source::Told, why };
        assert_eq!(selection.dropped, [dropped], "{text}");
    }
}

#[test]
fn fit_addresses_are_kept_in_one_spelling() {
    let them = peer(2);
    let table = [
        ("/ip4/8.8.8.8/tcp/4001".to_string(), "/ip4/8.8.8.8/tcp/4001"),
        (format!("/ip4/8.8.8.8/tcp/4001/p2p/{them}"), "/ip4/8.8.8.8/tcp/4001"),
        ("/ip6/2606::1/udp/4001/quic-v1".into(), "/ip6/2606::1/udp/4001/quic-v1"),
        ("/ip6/::ffff:8.8.8.8/tcp/4001".into(), "/ip4/8.8.8.8/tcp/4001"),
    ];
    for (text, expected) in table {
        let selection = told(&[&text], &[], &Config::default());
        assert_eq!((kept(&selection), selection.dropped), (vec![expected.to_string()], vec![]), "{text}");
    }
}

#[test]
fn private_addresses_are_used_where_that_is_allowed_but_never_those_of_nobody() {
    let config = Config { allow_private: true, ..Config::default() };
    for text in ["/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1", "/ip4/192.0.2.1/tcp/1", "/ip6/fd00::1/tcp/1"] {
        assert_eq!(kept(&told(&[text], &[], &config)), [text]);
    }
    for text in ["/ip4/0.0.0.0/tcp/1", "/ip4/224.0.0.1/tcp/1", "/ip4/255.255.255.255/tcp/1", "/ip6/fe80::1/tcp/1"] {
        assert_eq!(told(&[text], &[], &config).dropped[0].why, Unfit::NotPublic, "{text}");
    }
}

#[test]
fn names_are_used_where_that_is_allowed() {
    let config = Config { allow_names: true, ..Config::default() };
    let selection =
        told(&["/dns4/a.libp2p.io/tcp/1", "/dns4/a.libp2p.io/tcp/1", "/dns4/localhost/tcp/1"], &[], &config);
    assert_eq!(kept(&selection), ["/dns4/a.libp2p.io/tcp/1"]);
    let why: Vec<_> = selection.dropped.iter().map(|dropped| dropped.why).collect();
    assert_eq!(why, [Unfit::NotPublic, Unfit::Duplicate]);
}

#[test]
fn a_transport_that_is_switched_off_is_neither_told_nor_dialed() {
    let texts = ["/ip4/8.8.8.8/tcp/1", "/ip4/8.8.8.8/udp/1/quic-v1"];
    let no_tcp = Config { tcp: false, ..Config::default() };
    let no_quic = Config { quic: false, ..Config::default() };
    assert_eq!(kept(&told(&texts, &[], &no_tcp)), [texts[1]]);
    assert_eq!(kept(&told(&texts, &[], &no_quic)), [texts[0]]);
    assert_eq!(kept(&offer(&texts.map(listener), &no_quic)), [texts[0]]);
}

#[test]
fn a_private_listener_is_not_told_but_what_it_is_seen_as() {
    let ours = [listener("/ip4/10.0.0.2/tcp/4001"), observed("/ip4/8.8.4.4/tcp/4001", "/ip4/10.0.0.2/tcp/4001")];
    let selection = offer(&ours, &Config::default());
    assert_eq!(selection.kept, ours[1..]);
    assert_eq!(selection.dropped[0].why, Unfit::NotPublic);
}

#[test]
fn what_is_told_is_ordered_by_its_source_and_paths_take_turns() {
    let ours = [
        Candidate::new(address("/ip4/8.8.4.4/tcp/5"), Source::Predicted),
        listener("/ip4/8.8.4.4/tcp/4"),
        Candidate::new(address("/ip4/8.8.4.4/tcp/3"), Source::Observed),
        Candidate::new(address("/ip4/8.8.4.4/tcp/2"), Source::Mapped),
        Candidate::new(address("/ip4/8.8.4.4/tcp/1"), Source::Confirmed),
        Candidate::new(address("/ip6/2606::1/tcp/6"), Source::Observed),
    ];
    let expected = ["/ip4/8.8.4.4/tcp/1", "/ip6/2606::1/tcp/6", "/ip4/8.8.4.4/tcp/2", "/ip4/8.8.4.4/tcp/3"];
    let selection = offer(&ours, &Config { max: 4, ..Config::default() });
    assert_eq!(kept(&selection), expected);
    assert_eq!(selection.dropped.len(), 2);
}

#[test]
fn the_same_address_from_two_sources_is_told_once_by_the_better_one() {
    let twice = ["/ip4/8.8.4.4/tcp/1", "/ip4/8.8.4.4/tcp/1"].map(address);
    let [a, b] = twice;
    let ours = [Candidate::new(a, Source::Observed), Candidate::new(b, Source::Mapped)];
    let selection = offer(&ours, &Config::default());
    assert_eq!(selection.kept, ours[1..]);
    assert_eq!((selection.dropped[0].source, selection.dropped[0].why), (Source::Observed, Unfit::Duplicate));
}

#[test]
fn what_pairs_with_an_address_of_ours_is_dialed_first() {
    let theirs = ["/ip6/2606::1/tcp/1", "/ip4/8.8.8.8/udp/1/quic-v1", "/ip4/8.8.8.8/tcp/1"];
    let order = |ours: &[&str]| {
        let ours: Vec<_> = ours.iter().map(|text| listener(text)).collect();
        kept(&told(&theirs, &ours, &Config::default()))
    };
    assert_eq!(order(&[]), theirs);
    assert_eq!(order(&["/ip4/10.0.0.1/tcp/9"]), [theirs[2], theirs[0], theirs[1]]);
    assert_eq!(order(&["/ip6/fd00::1/tcp/9", "/ip4/10.0.0.1/udp/9/quic-v1"]), [theirs[0], theirs[1], theirs[2]]);
}

#[test]
fn many_of_one_kind_do_not_keep_out_the_only_one_of_another() {
    let mut theirs: Vec<_> = (1..30).map(|n| format!("/ip4/8.8.8.{n}/tcp/1")).collect();
    theirs.push("/ip4/9.9.9.9/udp/1/quic-v1".into());
    let theirs: Vec<_> = theirs.iter().map(String::as_str).collect();
    let selection = told(&theirs, &[], &Config::default());
    assert_eq!(selection.kept.len(), 8);
    assert_eq!(kept(&selection)[1], "/ip4/9.9.9.9/udp/1/quic-v1");
}

#[test]
fn nobody_has_us_scan_the_ports_of_another() {
    let theirs: Vec<_> = (1..200).map(|port| format!("/ip4/8.8.8.8/tcp/{port}")).collect();
    let theirs: Vec<_> = theirs.iter().map(String::as_str).collect();
    let selection = told(&theirs, &[], &Config::default());
    assert_eq!((selection.kept.len(), selection.dropped.len(), selection.further), (4, 16, 179));
    assert!(selection.dropped.iter().all(|dropped| dropped.why == Unfit::OverCap));
}

#[test]
fn empty_lists_are_no_fault() {
    assert_eq!(offer(&[], &Config::default()), Selection::default());
    assert_eq!(told(&[], &[], &Config::default()), Selection::default());
    assert_eq!(local_for(&address("/ip4/8.8.8.8/tcp/1"), &[]), Local::Any);
}

#[test]
fn a_dial_leaves_from_the_listener_behind_what_was_told() {
    let ours = [
        listener("/ip4/127.0.0.1/tcp/7"),
        listener("/ip4/10.0.0.2/tcp/8"),
        listener("/ip4/10.0.0.2/udp/9/quic-v1"),
        observed("/ip4/8.8.4.4/tcp/4001", "/ip4/10.0.0.2/tcp/4001"),
    ];
    let table = [
        ("/ip4/8.8.8.8/tcp/1", Local::Reuse(address("/ip4/10.0.0.2/tcp/4001"))),
        ("/ip4/8.8.8.8/udp/1/quic-v1", Local::Reuse(address("/ip4/10.0.0.2/udp/9/quic-v1"))),
        ("/ip6/2606::1/tcp/1", Local::Any),
        ("/ip4/8.8.8.8/tcp/1/ws", Local::Any),
        ("/dns4/a.libp2p.io/tcp/1", Local::Any),
    ];
    for (target, local) in table {
        assert_eq!(local_for(&address(target), &ours), local, "{target}");
    }
    assert_eq!(local_for(&address("/ip4/8.8.8.8/tcp/1"), &ours[..1]), Local::Any, "loopback reaches nobody else");
    assert_eq!(local_for(&address("/ip4/127.0.0.1/tcp/1"), &ours[..1]), Local::Reuse(address("/ip4/127.0.0.1/tcp/7")));
    assert_eq!(local_for(&address("/ip4/8.8.8.8/tcp/1"), &ours[..2]), Local::Reuse(address("/ip4/10.0.0.2/tcp/8")));
}

fn any_address() -> impl Strategy<Value = Multiaddr> {
    let ip4 = prop_oneof![Just("8.8.8.8"), Just("8.8.8.9"), Just("10.0.0.1"), Just("0.0.0.0"), Just("127.0.0.1")];
    let ip =
        prop_oneof![ip4.prop_map(|ip| format!("/ip4/{ip}")), Just("/ip6/2606::1".into()), Just("/dns/x.io".into())];
    let rest = prop_oneof![
        (0..6u16).prop_map(|port| format!("/tcp/{port}")),
        (0..6u16).prop_map(|port| format!("/udp/{port}/quic-v1")),
        Just("/tcp/1/ws".into()),
        (2..4u8).prop_map(|n| format!("/tcp/1/p2p/{}", peer(n))),
        (2..4u8).prop_map(|n| format!("/tcp/1/p2p/{}/p2p-circuit", peer(n))),
    ];
    (ip, rest).prop_map(|(ip, rest): (String, String)| address(&format!("{ip}{rest}")))
}

fn any_config() -> impl Strategy<Value = Config> {
    (any::<[bool; 4]>(), 0..10usize, 0..5usize, 0..20usize).prop_map(|(flags, max, max_per_ip, max_dropped)| {
        let [allow_private, allow_names, tcp, quic] = flags;
        Config { allow_private, allow_names, tcp, quic, max, max_per_ip, max_dropped }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn every_address_is_kept_dropped_or_counted_and_the_caps_hold(
        theirs in many(any_address(), 0..40),
        ours in many(any_address(), 0..4),
        config in any_config(),
    ) {
        let ours: Vec<_> = ours.into_iter().map(|address| Candidate::new(address, Source::Listened)).collect();
        let selection = targets(&theirs, Source::Told, &peer(2), &ours, &config);
        let Selection { kept, dropped, further } = &selection;
        prop_assert_eq!(kept.len() + dropped.len() + further, theirs.len());
        prop_assert!(kept.len() <= config.max && dropped.len() <= config.max_dropped);
        for (at, Candidate { address, .. }) in kept.iter().enumerate() {
            prop_assert!(!address.is_relayed() && address.port() != Some(0) && address.peer_id().is_none());
            prop_assert!(config.allow_private || address.is_public());
            prop_assert!(config.allow_names || address.dns_name().is_none());
            prop_assert!(ours.iter().all(|ours| ours.address != *address));
            prop_assert!(kept[..at].iter().all(|other| other.address != *address));
            let same_ip = kept.iter().filter(|other| {
                address.ip().is_some() && (other.address.ip(), Path::of(&other.address)) == (address.ip(), Path::of(address))
            });
            prop_assert!(same_ip.count() <= config.max_per_ip);
            if let Local::Reuse(listener) = local_for(address, &ours) {
                prop_assert_eq!(Path::of(&listener), Path::of(address));
            }
        }
        // What is chosen is chosen again, from itself.
        let again: Vec<_> = kept.iter().map(|candidate| candidate.address.clone()).collect();
        let again = targets(&again, Source::Told, &peer(2), &ours, &config);
        prop_assert_eq!(&again.kept, kept);
        prop_assert_eq!(again.dropped, []);
    }
}
