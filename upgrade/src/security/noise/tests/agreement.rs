//! What both sides agree on when nobody interferes.

use super::*;

#[test]
fn both_sides_learn_who_the_other_is() {
    let ((a_id, a), (b_id, b)) = (peer(1, &[]), peer(2, &[]));
    let (a, b) = talk(initiator(&a, Some(b_id)), responder(&b, Some(a_id)));
    let (a, b) = (a.secured(), b.secured());
    assert_eq!((a.peer, b.peer), (b_id, a_id));
    assert_eq!((a.key, b.key), (identity(2).public(), identity(1).public()));
}

#[test]
fn records_pass_both_ways() {
    let (a, b) = talk(initiator(&peer(1, &[]).1, None), responder(&peer(2, &[]).1, None));
    let (mut a, mut b) = (a.secured().session, b.secured().session);
    for (from_a, text) in [(true, "to b"), (false, "to a"), (true, "again"), (false, "and back")] {
        let (sender, receiver) = if from_a { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let mut wire = seal(sender, text.as_bytes());
        assert_eq!(receiver.open(&mut wire).unwrap().unwrap(), text.as_bytes());
        assert!(wire.is_empty());
    }
}

#[test]
fn every_implementation_of_the_cryptography_talks_to_every_other() {
    for &a in Crypto::ALL {
        for &b in Crypto::ALL {
            let (a, b) = (peer_with(1, a, Config::default()), peer_with(2, b, Config::default()));
            let (a, b) = talk(initiator(&a, None), responder(&b, None));
            let (mut a, mut b) = (a.secured().session, b.secured().session);
            let mut wire = seal(&mut a, b"hello");
            assert_eq!(b.open(&mut wire).unwrap().unwrap(), &b"hello"[..]);
        }
    }
}

#[test]
fn the_same_seeds_give_the_same_bytes_and_the_implementation_does_not_show() {
    let reference = messages(&peer(1, &[]).1, &peer(2, &[]).1);
    for &crypto in Crypto::ALL {
        let (a, b) = (peer_with(1, crypto, Config::default()), peer_with(2, crypto, Config::default()));
        assert_eq!(messages(&a, &b), reference, "{crypto:?}");
    }
}

#[test]
fn another_seed_gives_another_ephemeral_key() {
    let (_, noise) = peer(1, &[]);
    let first = |seed| Side::new(Handshake::new(&noise, Role::Initiator, None, &Seed::new([seed; 32]))).feed(&[]);
    assert_ne!(first(1), first(2));
}

#[test]
fn the_messages_have_the_lengths_that_the_spec_gives() {
    let [first, second, third] = messages(&peer(1, &[]).1, &peer(2, &[]).1);
    let payload = 2 + 36 + 2 + 64;
    assert_eq!((first.len(), second.len(), third.len()), (2 + 32, 2 + 32 + 48 + payload + 16, 2 + 48 + payload + 16));
}

#[test]
fn records_may_follow_message_3_in_the_same_flight() {
    let (mut a, mut b) = (Side::new(initiator(&peer(1, &[]).1, None)), Side::new(responder(&peer(2, &[]).1, None)));
    let second = b.feed(&a.feed(&[]));
    let third = a.feed(&second);
    let early = seal(&mut a.secured().session, b"early");
    b.feed(&[&third[..], &early[..]].concat());
    assert_eq!(b.rx, early, "what follows the handshake stays in rx");
    let mut rx = b.rx.split();
    assert_eq!(b.secured().session.open(&mut rx).unwrap().unwrap(), &b"early"[..]);
}

#[test]
fn a_handshake_that_is_done_leaves_everything_alone() {
    let (mut a, _) = talk(initiator(&peer(1, &[]).1, None), responder(&peer(2, &[]).1, None));
    assert!(a.feed(b"not its business").is_empty());
    assert_eq!(&a.rx[..], b"not its business");
    assert!(a.handshake.end(Time::ZERO, &mut a.rx, &mut a.tx).unwrap().is_none());
}

#[test]
fn both_sides_must_know_the_same_prologue() {
    let ((_, a), (_, b)) = (peer(1, &[]), peer(2, &[]));
    let seed = Seed::new([9; 32]);
    let with = |noise, role, prologue| Handshake::with_prologue(noise, role, None, &seed, prologue);
    let (left, right) = talk(with(&a, Role::Initiator, b"x"), with(&b, Role::Responder, b"x"));
    assert!(left.secured().peer == identity(2).peer_id() && right.secured().peer == identity(1).peer_id());
    let (left, _) = talk(with(&a, Role::Initiator, b"x"), with(&b, Role::Responder, b"y"));
    assert_eq!(left.error(), Error::NotAuthentic { message: 2 });
}

#[test]
fn the_static_key_is_the_seeds_and_not_the_identitys() {
    let identity = identity(1);
    let make = |seed| {
        *Noise::new(&identity, &Seed::new([seed; 32]), Crypto::default(), Config::default()).unwrap().static_key()
    };
    assert_eq!(make(1), make(1));
    assert_ne!(make(1), make(2));
}

/// What both sides choose, given their lists.
fn chosen(a: &[&str], b: &[&str]) -> Option<SmolStr> {
    let (a, b) = talk(initiator(&peer(1, a).1, None), responder(&peer(2, b).1, None));
    let (a, b) = (a.secured().muxer, b.secured().muxer);
    assert_eq!(a, b, "both must choose the same");
    a
}

#[test]
fn the_multiplexer_is_the_initiators_first_that_the_responder_has() {
    for (a, b, expected) in [
        (&[YAMUX, MPLEX][..], &[MPLEX, YAMUX][..], YAMUX),
        (&[MPLEX, YAMUX], &[YAMUX, MPLEX], MPLEX),
        (&["/other", MPLEX], &[YAMUX, MPLEX], MPLEX),
        (&[YAMUX], &[YAMUX], YAMUX),
    ] {
        assert_eq!(chosen(a, b).as_deref(), Some(expected), "{a:?} {b:?}");
    }
}

#[test]
fn nothing_is_chosen_when_one_side_announced_nothing() {
    assert_eq!(chosen(&[], &[YAMUX]), None);
    assert_eq!(chosen(&[YAMUX], &[]), None);
    assert_eq!(chosen(&[], &[]), None);
}

#[test]
fn without_a_multiplexer_in_common_the_handshake_fails() {
    let (a, b) = talk(initiator(&peer(1, &[YAMUX]).1, None), responder(&peer(2, &[MPLEX]).1, None));
    assert_eq!(a.error(), Error::NoCommonMuxer { ours: names(&[YAMUX]), theirs: names(&[MPLEX]) });
    assert!(b.result.is_none(), "message 3 was never sent");
}

#[test]
fn a_responder_too_fails_without_a_multiplexer_in_common() {
    let mut ours = Side::new(responder(&peer(2, &[MPLEX]).1, None));
    let mut foreign = Foreign::new(Role::Initiator, b"");
    let second = ours.feed(&foreign.write(b""));
    foreign.read(&second);
    let muxers = fields(&[(2, YAMUX.as_bytes())]);
    let payload = [honest_payload(&identity(1), &Foreign::public()), fields(&[(4, &muxers)])].concat();
    ours.feed(&foreign.write(&payload));
    assert_eq!(ours.error(), Error::NoCommonMuxer { ours: names(&[MPLEX]), theirs: names(&[YAMUX]) });
}

#[test]
fn a_list_of_more_than_100_multiplexers_counts_as_not_sent() {
    for (count, expected) in [(100, Some(SmolStr::new(YAMUX))), (101, None)] {
        let mut ours = Side::new(responder(&peer(2, &[YAMUX]).1, None));
        let mut foreign = Foreign::new(Role::Initiator, b"");
        let second = ours.feed(&foreign.write(b""));
        foreign.read(&second);
        let muxers = fields(&vec![(2, YAMUX.as_bytes()); count]);
        let payload = [honest_payload(&identity(1), &Foreign::public()), fields(&[(4, &muxers)])].concat();
        ours.feed(&foreign.write(&payload));
        assert_eq!(ours.secured().muxer, expected, "{count}");
    }
}

#[test]
fn certificate_hashes_reach_the_other_side() {
    let config = Config { certhashes: vec![vec![0x12; 34], vec![0x13; 34]], ..Config::default() };
    let server = peer_with(2, Crypto::default(), config);
    let (a, b) = talk(initiator(&peer(1, &[]).1, None), responder(&server, None));
    assert_eq!(a.secured().extensions.certhashes, [vec![0x12; 34], vec![0x13; 34]]);
    assert_eq!(b.secured().extensions, Extensions::default());
}

#[test]
fn unknown_fields_and_extensions_are_ignored() {
    let mut ours = Side::new(initiator(&peer(1, &[YAMUX]).1, None));
    let mut foreign = Foreign::new(Role::Responder, b"");
    foreign.read(&ours.feed(&[]));
    let extensions = [fields(&[(1024, b"?"), (2, YAMUX.as_bytes())]), vec![0x18, 0x07]].concat();
    let payload = [
        fields(&[(3, b"the data field of older versions"), (900, b"?")]),
        honest_payload(&identity(2), &Foreign::public()),
        vec![0x28, 0x96, 0x01, 0x31, 1, 2, 3, 4, 5, 6, 7, 8, 0x3d, 1, 2, 3, 4],
        fields(&[(4, &extensions)]),
    ];
    let second = foreign.write(&payload.concat());
    foreign.read(&ours.feed(&second));
    assert_eq!(ours.secured().muxer.as_deref(), Some(YAMUX));
}

#[test]
fn what_can_not_be_announced_is_refused_when_it_is_configured() {
    let make = |config| Noise::new(&identity(1), &Seed::new([1; 32]), Crypto::default(), config).unwrap_err();
    let config = Config { muxers: names(&[YAMUX; 101]), ..Config::default() };
    assert_eq!(make(config), ConfigError::TooManyMuxers { len: 101, max: 100 });
    let config = Config { certhashes: vec![vec![0; 65535]], ..Config::default() };
    assert!(matches!(make(config), ConfigError::PayloadTooLong { max: 65439, .. }));
}
