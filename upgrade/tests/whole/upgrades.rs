//! Who agrees on what with whom, and what happens where they don't.

use crate::support::{Pair, node, start, upgrade};
use core::time::Duration;
use tidewire_core::{Machine, Role, Time};
use tidewire_multistream as multistream;
use tidewire_upgrade::connection::Selection;
use tidewire_upgrade::muxer::MuxerKind::{self, Mplex, Yamux};
use tidewire_upgrade::pipeline::SecurityKind::{self, Noise, Plaintext};
use tidewire_upgrade::pipeline::{ConfigError, How, Plan, Progress, Stage, UpgradeError, Upgrader};
use tidewire_upgrade::security::psk::PreSharedKey;
use tidewire_upgrade::security::{SecurityError, noise, plaintext};

fn offering(n: u8, securities: &[SecurityKind], muxers: &[MuxerKind], early: bool, selection: Selection) -> Upgrader {
    node(n, |config| {
        config.securities = securities.to_vec();
        config.muxers = muxers.to_vec();
        config.early_muxer = early;
        config.selection = selection;
    })
}

/// The initiator's order decides, with every way to select on either side.
#[test]
fn the_initiators_first_that_the_responder_has_wins() {
    let securities: [(&[_], &[_], _); 5] = [
        (&[Noise], &[Noise], Noise),
        (&[Noise, Plaintext], &[Plaintext, Noise], Noise),
        (&[Plaintext, Noise], &[Noise, Plaintext], Plaintext),
        (&[Plaintext, Noise], &[Noise], Noise),
        (&[Plaintext], &[Noise, Plaintext], Plaintext),
    ];
    let muxers: [(&[_], &[_], _); 5] = [
        (&[Yamux], &[Yamux], Yamux),
        (&[Yamux, Mplex], &[Mplex, Yamux], Yamux),
        (&[Mplex, Yamux], &[Yamux, Mplex], Mplex),
        (&[Mplex, Yamux], &[Yamux], Yamux),
        (&[Mplex], &[Yamux, Mplex], Mplex),
    ];
    for (our_securities, their_securities, security) in securities {
        for (our_muxers, their_muxers, muxer) in muxers {
            for way in 0..16 {
                let selection = |bit: u32| if way & bit == 0 { Selection::Lazy } else { Selection::Plain };
                let alice = offering(1, our_securities, our_muxers, way & 1 == 0, selection(2));
                let bob = offering(2, their_securities, their_muxers, way & 4 == 0, selection(8));
                let pair = Pair::of(&alice, &bob);
                for (end, peer, role) in
                    [(&pair.a, bob.peer(), Role::Initiator), (&pair.b, alice.peer(), Role::Responder)]
                {
                    let connection = &end.connection;
                    assert_eq!((connection.security(), connection.muxer()), (security.protocol(), muxer), "way {way}");
                    assert_eq!((connection.peer(), connection.role()), (peer, role));
                    assert_eq!(connection.public_key().peer_id(), peer);
                }
            }
        }
    }
}

#[test]
fn each_way_to_agree_is_told() {
    for (ours, theirs, selection, expected) in [
        (true, true, Selection::Lazy, How::Early),
        (true, false, Selection::Lazy, How::Assumed),
        (false, true, Selection::Lazy, How::Assumed),
        (false, false, Selection::Plain, How::Selected),
    ] {
        let alice = offering(1, &[Noise], &[Yamux], ours, selection);
        let bob = offering(2, &[Noise], &[Yamux], theirs, selection);
        let (a, b) = upgrade(start(&alice, Plan::Initiate, None, 3), start(&bob, Plan::Respond, None, 4));
        let muxer = |how| Progress::Agreed { stage: Stage::Muxer, protocol: Yamux.protocol(), how };
        assert!(a.told.contains(&muxer(expected)), "{:?}", a.told);
        let responder = if expected == How::Early { How::Early } else { How::Selected };
        assert!(b.told.contains(&muxer(responder)), "{:?}", b.told);
        assert_eq!(a.told.first().map(core::mem::discriminant), {
            let (stage, protocol) = (Stage::Security, multistream::Protocol::from_static("/noise"));
            Some(core::mem::discriminant(&Progress::Proposed { stage, protocol }))
        });
        assert_eq!(a.told.last(), Some(&Progress::Ready));
    }
}

#[test]
fn without_a_muxer_in_common_both_ends_fail_with_a_type() {
    for (early, selection) in [(true, Selection::Lazy), (false, Selection::Plain)] {
        let alice = offering(1, &[Noise], &[Yamux], early, selection);
        let bob = offering(2, &[Noise], &[Mplex], early, selection);
        let (a, b) = upgrade(start(&alice, Plan::Initiate, None, 3), start(&bob, Plan::Respond, None, 4));
        if early {
            let no_muxer = |error: &Option<UpgradeError>| {
                matches!(error, Some(UpgradeError::Handshake(SecurityError::Noise(noise::Error::NoCommonMuxer { .. }))))
            };
            assert!(no_muxer(&a.error) || no_muxer(&b.error), "{:?} {:?}", a.error, b.error);
        } else {
            let refused = multistream::Error::Refused { proposals: Yamux.protocol().into() };
            assert_eq!(a.error, Some(UpgradeError::SelectMuxer(refused)));
        }
        assert!(b.error.is_some());
    }
}

#[test]
fn an_assumed_muxer_that_the_remote_does_not_have_fails_the_connection() {
    let alice = offering(1, &[Noise], &[Yamux], false, Selection::Lazy);
    let bob = offering(2, &[Noise], &[Mplex], false, Selection::Lazy);
    let (a, mut b) = upgrade(start(&alice, Plan::Initiate, None, 3), start(&bob, Plan::Respond, None, 4));
    assert!(a.ready, "it goes ahead");
    let mut a = a.into_end();
    b.turn(Time::ZERO);
    crate::support::deliver(&mut b.tx, &mut a.rx);
    a.turn(Time::ZERO);
    let error = multistream::Error::Refused { proposals: Yamux.protocol().into() };
    let expected = tidewire_upgrade::connection::ConnectionError::MuxerRefused { muxer: Yamux, error };
    assert_eq!(a.error, Some(expected));
}

#[test]
fn an_unknown_security_protocol_is_a_typed_error() {
    for selection in [Selection::Lazy, Selection::Plain] {
        let alice = offering(1, &[Plaintext], &[Yamux], true, selection);
        let bob = offering(2, &[Noise], &[Yamux], true, selection);
        let (a, b) = upgrade(start(&alice, Plan::Initiate, None, 3), start(&bob, Plan::Respond, None, 4));
        let refused = multistream::Error::Refused { proposals: Plaintext.protocol().parse_one() };
        assert_eq!(a.error, Some(UpgradeError::SelectSecurity(refused)));
        assert!(matches!(b.error, Some(UpgradeError::SelectSecurity(_))), "{:?}", b.error);
    }
}

trait ParseOne {
    fn parse_one(&self) -> multistream::Protocols;
}

impl ParseOne for str {
    fn parse_one(&self) -> multistream::Protocols {
        multistream::Protocols::parse(&[self]).unwrap()
    }
}

/// GHSA-rch7-f4h5-x9rj: a pipeline that negotiated the multiplexer early did not check the peer.
#[test]
fn the_expected_peer_is_checked_before_the_muxer_in_every_pipeline() {
    let stranger = node(9, |_| {}).peer();
    for security in [Noise, Plaintext] {
        for early in [true, false] {
            for selection in [Selection::Lazy, Selection::Plain] {
                for dialer_responds in [false, true] {
                    let alice = offering(1, &[security], &[Yamux], early, selection);
                    let bob = offering(2, &[security], &[Yamux], early, selection);
                    let (ours, theirs) = match dialer_responds {
                        true => (Plan::Respond, Plan::Initiate),
                        false => (Plan::Initiate, Plan::Respond),
                    };
                    let dialer = start(&alice, ours, Some(stranger), 3);
                    let (dialer, listener) = upgrade(dialer, start(&bob, theirs, None, 4));
                    let (expected, got) = (stranger, bob.peer());
                    let error = match security {
                        Noise => SecurityError::Noise(noise::Error::PeerMismatch { expected, got }),
                        _ => SecurityError::Plaintext(plaintext::Error::PeerMismatch { expected, got }),
                    };
                    assert_eq!(dialer.error, Some(UpgradeError::Handshake(error)));
                    assert!(!dialer.peer_told() && !dialer.ready);
                    assert!(listener.ready || listener.error.is_some());
                }
            }
        }
    }
}

#[test]
fn the_expected_peer_passes_whoever_initiates() {
    let (alice, bob) = (node(1, |_| {}), node(2, |_| {}));
    for (ours, theirs) in [(Plan::Respond, Plan::Initiate), (Plan::Initiate, Plan::Respond)] {
        let (a, b) = upgrade(start(&alice, ours, Some(bob.peer()), 3), start(&bob, theirs, Some(alice.peer()), 4));
        assert!(a.ready && b.ready);
    }
}

#[test]
fn refusing_a_known_peer_says_nothing_more() {
    for role in [Role::Initiator, Role::Responder] {
        for early in [true, false] {
            let alice = offering(1, &[Noise], &[Yamux], early, Selection::Lazy);
            let bob = offering(2, &[Noise], &[Yamux], early, Selection::Lazy);
            let (ours, theirs) = match role {
                Role::Initiator => (Plan::Initiate, Plan::Respond),
                Role::Responder => (Plan::Respond, Plan::Initiate),
            };
            let mut a = crate::support::Upgrading::new(start(&alice, ours, None, 3));
            let mut b = crate::support::Upgrading::new(start(&bob, theirs, None, 4));
            let peer = loop {
                match a.machine.advance(Time::ZERO, &mut a.rx, &mut a.tx).unwrap() {
                    Some(Progress::Peer(peer)) => break peer,
                    Some(_) => {}
                    None => {
                        crate::support::deliver(&mut a.tx, &mut b.rx);
                        b.turn(Time::ZERO);
                        crate::support::deliver(&mut b.tx, &mut a.rx);
                    }
                }
            };
            assert_eq!(peer, bob.peer());
            a.machine.refuse("not on the list");
            let (left, said) = (a.rx.len(), a.tx.len());
            let refused = UpgradeError::Refused { reason: "not on the list".into() };
            for _ in 0..2 {
                assert_eq!(a.machine.advance(Time::ZERO, &mut a.rx, &mut a.tx), Err(refused.clone()));
            }
            assert_eq!((a.rx.len(), a.tx.len()), (left, said));
            assert_eq!(a.machine.deadline(), Time::NEVER);
            assert!(a.machine.into_connection().is_none());
        }
    }
}

#[test]
fn streams_of_both_ends_are_numbered_by_role() {
    let (alice, bob) = (node(1, |_| {}), node(2, |_| {}));
    for (ours, theirs, first) in [(Plan::Initiate, Plan::Respond, 1), (Plan::Respond, Plan::Initiate, 2)] {
        let (a, _) = upgrade(start(&alice, ours, None, 3), start(&bob, theirs, None, 4));
        let mut a = a.into_end();
        assert_eq!(a.connection.open_raw(&mut a.tx).unwrap().get(), first);
    }
}

#[test]
fn private_networks_let_members_in_and_nobody_else() {
    let (ours, theirs) = (PreSharedKey::new([1; 32]), PreSharedKey::new([2; 32]));
    for security in [Noise, Plaintext] {
        for (a_key, b_key, welcome) in [
            (Some(&ours), Some(&ours), true),
            (Some(&ours), Some(&theirs), false),
            (Some(&ours), None, false),
            (None, Some(&ours), false),
        ] {
            let make = |n, key: Option<&PreSharedKey>| {
                node(n, |config| {
                    config.psk = key.cloned();
                    config.securities = vec![security];
                })
            };
            let (alice, bob) = (make(1, a_key), make(2, b_key));
            if welcome {
                let mut pair = Pair::of(&alice, &bob);
                let id = pair.a.connection.open_raw(&mut pair.a.tx).unwrap();
                pair.a.write(id, b"for members");
                pair.settle();
                assert_eq!(pair.b.read_all(id).0, b"for members");
                continue;
            }
            let mut ends = upgrade(start(&alice, Plan::Initiate, None, 3), start(&bob, Plan::Respond, None, 4));
            for end in [&mut ends.0, &mut ends.1] {
                end.turn(Time::ZERO + Duration::from_secs(10));
                assert!(!end.ready && !end.peer_told());
                assert!(end.error.is_some());
            }
        }
    }
}

#[test]
fn who_listens_first_answers_a_proposal_and_proposes_without_one() {
    let until = Time::from_millis(100);
    let (alice, bob) = (node(1, |_| {}), node(2, |_| {}));
    let listen_first = || start(&alice, Plan::ListenFirst { until }, Some(bob.peer()), 3);

    let (a, b) = upgrade(listen_first(), start(&bob, Plan::Initiate, None, 4));
    assert!(a.ready && b.ready);
    assert_eq!(a.into_end().connection.role(), Role::Responder);

    let mut a = crate::support::Upgrading::new(listen_first());
    let mut b = crate::support::Upgrading::new(start(&bob, Plan::Respond, None, 4));
    a.turn(Time::ZERO);
    assert!(a.machine.deadline() <= until, "it says when it proposes");
    for now in [Time::ZERO, until] {
        for _ in 0..4 {
            a.turn(now);
            crate::support::deliver(&mut a.tx, &mut b.rx);
            b.turn(now);
            crate::support::deliver(&mut b.tx, &mut a.rx);
        }
        assert_eq!((a.ready, b.ready), (now == until, now == until));
    }
    assert!(a.told.contains(&Progress::Role(Role::Initiator)));
    assert_eq!(b.into_end().connection.role(), Role::Responder);
}

#[test]
fn ends_that_both_listen_first_settle_with_either_waiting_longer_and_when_they_cross() {
    for (a_until, b_until) in [(100, 200), (200, 100), (100, 100)] {
        for delayed in [false, true] {
            let (alice, bob) = (node(1, |_| {}), node(2, |_| {}));
            let plan = |ms| Plan::ListenFirst { until: Time::from_millis(ms) };
            let mut a = crate::support::Upgrading::new(start(&alice, plan(a_until), Some(bob.peer()), 3));
            let mut b = crate::support::Upgrading::new(start(&bob, plan(b_until), Some(alice.peer()), 4));
            for ms in 0..2000 {
                let now = Time::from_millis(ms);
                a.turn(now);
                b.turn(now);
                // One millisecond on the way, or none.
                let (mut to_a, mut to_b) = (b.tx.split(), a.tx.split());
                if delayed {
                    a.turn(now);
                    b.turn(now);
                }
                crate::support::deliver(&mut to_a, &mut a.rx);
                crate::support::deliver(&mut to_b, &mut b.rx);
            }
            assert_eq!((a.error.clone(), b.error.clone()), (None, None), "{a_until} {b_until}");
            assert!(a.ready && b.ready);
            let (a, b) = (a.into_end().connection, b.into_end().connection);
            assert_ne!(a.role(), b.role());
        }
    }
}

#[test]
fn a_simultaneous_open_ends_with_one_initiator() {
    let (alice, bob) = (node(1, |_| {}), node(2, |_| {}));
    for seed in 3..13 {
        let a = start(&alice, Plan::SimultaneousOpen, Some(bob.peer()), seed);
        let b = start(&bob, Plan::SimultaneousOpen, Some(alice.peer()), seed + 100);
        let (a, b) = upgrade(a, b);
        assert!(a.ready && b.ready, "{:?} {:?}", a.error, b.error);
        assert_ne!(a.into_end().connection.role(), b.into_end().connection.role());
    }
    // With an end that simply listens.
    let (a, b) = upgrade(start(&alice, Plan::SimultaneousOpen, None, 3), start(&bob, Plan::Respond, None, 4));
    assert!(a.ready && b.ready);
    assert_eq!(a.into_end().connection.role(), Role::Initiator);
}

#[test]
fn a_node_that_offers_nothing_or_something_twice_is_not_set_up() {
    use tidewire_core::{Keypair, Seed};
    use tidewire_upgrade::pipeline::Config;
    let seed = Seed::new([1; 32]);
    let make = |securities: &[SecurityKind], muxers: &[MuxerKind]| {
        let mut config = Config::default();
        (config.securities, config.muxers) = (securities.to_vec(), muxers.to_vec());
        Upgrader::new(&Keypair::from_seed(&seed), &seed, config).err()
    };
    assert_eq!(make(&[], &[Yamux]), Some(ConfigError::NoSecurity));
    assert_eq!(make(&[Noise], &[]), Some(ConfigError::NoMuxer));
    assert_eq!(make(&[Noise, Noise], &[Yamux]), Some(ConfigError::Twice("/noise")));
    assert_eq!(make(&[Noise], &[Yamux, Mplex, Yamux]), Some(ConfigError::Twice("/yamux/1.0.0")));
}

/// TCP makes one connection of two SYNs that cross between listening ports, and then nobody responds.
#[test]
fn two_that_both_initiate_are_told_so() {
    for selection in [Selection::Lazy, Selection::Plain] {
        let [alice, bob] = [1, 2].map(|n| offering(n, &[Noise], &[Yamux], true, selection));
        let one = start(&alice, Plan::Initiate, Some(bob.peer()), 3);
        let other = start(&bob, Plan::Initiate, Some(alice.peer()), 4);
        let (one, other) = upgrade(one, other);
        for error in [one.error, other.error] {
            assert!(error.as_ref().is_some_and(UpgradeError::is_crossed), "{selection:?}: {error:?}");
        }
    }
}
