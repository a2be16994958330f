//! Plain tags, and the sum that they make.

use super::*;

/// A peer's one tag after these changes; `None` if it has none.
fn after(changes: &[TagChange]) -> Option<i32> {
    let mut worth = crowd(&quiet(), 1);
    for change in changes {
        worth.tag(at(1), PeerIx(0), "t", *change).unwrap();
    }
    let left = tags(&worth, 0);
    assert!(left.len() <= 1);
    assert_eq!(worth.value(PeerIx(0)), left.first().map_or(0, |tag| tag.1));
    left.first().map(|tag| tag.1)
}

#[test]
fn changes_of_a_tag() {
    use TagChange::{Add, Remove, Set, Upsert};
    let upsert = |absent, add| Upsert { absent, add };
    let table: [(&[TagChange], Option<i32>); 18] = [
        (&[], None),
        (&[Set(5)], Some(5)),
        (&[Set(5), Set(-7)], Some(-7)),
        (&[Set(0)], Some(0)),
        (&[Add(5)], Some(5)),
        (&[Add(5), Add(-8)], Some(-3)),
        (&[Set(i32::MAX), Add(1)], Some(i32::MAX)),
        (&[Set(i32::MIN), Add(-1)], Some(i32::MIN)),
        (&[Set(i32::MAX), Add(1), Add(-1)], Some(i32::MAX - 1)),
        (&[upsert(9, 2)], Some(9)),
        (&[upsert(9, 2), upsert(9, 2)], Some(11)),
        (&[Set(1), upsert(9, -4)], Some(-3)),
        (&[Set(i32::MAX), upsert(0, 1)], Some(i32::MAX)),
        (&[Set(i32::MIN), upsert(0, i32::MIN)], Some(i32::MIN)),
        (&[Remove], None),
        (&[Set(5), Remove], None),
        (&[Set(5), Remove, Add(2)], Some(2)),
        (&[Set(5), Remove, upsert(9, 2)], Some(9)),
    ];
    for (changes, value) in table {
        assert_eq!(after(changes), value, "{changes:?}");
    }
}

#[test]
fn a_value_is_the_sum_of_all_tags_cut_to_32_bits_only_at_the_end() {
    let mut worth = crowd(&quiet(), 1);
    let mut tag = |name, value| {
        worth.tag(at(1), PeerIx(0), name, TagChange::Set(value)).unwrap();
        worth.value(PeerIx(0))
    };
    assert_eq!(tag("a", i32::MAX), i32::MAX);
    assert_eq!(tag("b", i32::MAX), i32::MAX);
    assert_eq!(tag("c", -i32::MAX), i32::MAX);
    assert_eq!(tag("d", -5), i32::MAX - 5);
    assert_eq!(tag("a", i32::MIN), i32::MIN);
    assert_eq!(tag("c", 0), -6);
    assert_eq!(tag("a", i32::MAX), i32::MAX);
    worth.define(at(1), "d", DecayingTag { interval: MINUTE, decay: Decay::None }).unwrap();
    worth.bump(at(1), PeerIx(0), "d", Bump::Overwrite(-i32::MAX)).unwrap();
    assert_eq!(worth.value(PeerIx(0)), i32::MAX - 5);
}

#[test]
fn plain_and_decaying_tags_of_one_name_are_two() {
    let mut worth = crowd(&quiet(), 1);
    worth.define(at(0), "t", DecayingTag { interval: MINUTE, decay: Decay::None }).unwrap();
    worth.bump(at(0), PeerIx(0), "t", Bump::Unbounded(30)).unwrap();
    worth.tag(at(0), PeerIx(0), "t", TagChange::Set(4)).unwrap();
    assert_eq!(tags(&worth, 0), [("t".into(), 4, false), ("t".into(), 30, true)]);
    assert_eq!(worth.value(PeerIx(0)), 34);
    worth.tag(at(0), PeerIx(0), "t", TagChange::Remove).unwrap();
    assert_eq!(tags(&worth, 0), [("t".into(), 30, true)]);
}

#[test]
fn a_peer_has_at_most_so_many_tags_decaying_ones_included() {
    let mut worth = crowd(&WorthConfig { max_tags: 2, ..quiet() }, 1);
    worth.define(at(0), "d", DecayingTag { interval: MINUTE, decay: Decay::Fixed(1) }).unwrap();
    worth.bump(at(0), PeerIx(0), "d", Bump::Unbounded(30)).unwrap();
    set(&mut worth, at(0), 0, 1);
    let full = TagError::Full { what: "tags of this peer", cap: 2 };
    assert_eq!(worth.tag(at(0), PeerIx(0), "more", TagChange::Set(1)), Err(full.clone()));
    assert_eq!(full.to_string(), "there are 2 tags of this peer already, which is the most");
    // Those that are there may change.
    worth.tag(at(0), PeerIx(0), "v", TagChange::Add(1)).unwrap();
    worth.bump(at(0), PeerIx(0), "d", Bump::Unbounded(1)).unwrap();
    assert_eq!(worth.value(PeerIx(0)), 33);
    worth.define(at(0), "e", DecayingTag { interval: MINUTE, decay: Decay::None }).unwrap();
    assert_eq!(worth.bump(at(0), PeerIx(0), "e", Bump::Unbounded(1)), Err(full));
    worth.unbump(at(0), PeerIx(0), "d").unwrap();
    worth.bump(at(0), PeerIx(0), "e", Bump::Unbounded(1)).unwrap();
}

#[test]
fn a_tag_that_time_took_takes_no_room_however_late_the_call() {
    let mut worth = crowd(&WorthConfig { max_tags: 1, ..quiet() }, 1);
    worth.define(at(0), "d", DecayingTag { interval: MINUTE, decay: Decay::Fixed(1) }).unwrap();
    worth.bump(at(0), PeerIx(0), "d", Bump::Unbounded(2)).unwrap();
    worth.tag(at(119), PeerIx(0), "t", TagChange::Set(7)).unwrap_err();
    worth.tag(at(120), PeerIx(0), "t", TagChange::Set(7)).unwrap();
    assert_eq!(worth.value(PeerIx(0)), 7);
    // Of a peer without a connection all are gone by then.
    set(&mut worth, at(120), 1, 5);
    worth.tag(at(179), PeerIx(1), "t", TagChange::Set(7)).unwrap_err();
    worth.tag(at(180), PeerIx(1), "t", TagChange::Set(7)).unwrap();
    assert_eq!(worth.value(PeerIx(1)), 7);
}

#[test]
fn names_have_1_to_64_bytes() {
    let mut worth = crowd(&quiet(), 1);
    let (longest, longer) = ("x".repeat(64), "x".repeat(65));
    let error = |got| TagError::Name { max: 64, got };
    let peer = PeerIx(0);
    worth.tag(at(0), peer, &longest, TagChange::Set(1)).unwrap();
    assert_eq!(worth.tag(at(0), peer, &longer, TagChange::Set(1)), Err(error(65)));
    assert_eq!(worth.tag(at(0), peer, "", TagChange::Remove), Err(error(0)));
    assert_eq!(worth.protect(at(0), peer, ""), Err(error(0)));
    assert_eq!(worth.bump(at(0), peer, &longer, Bump::Unbounded(1)), Err(error(65)));
    assert_eq!(worth.define(at(0), "", DecayingTag { interval: MINUTE, decay: Decay::None }), Err(error(0)));
    assert_eq!(error(65).to_string(), "a name has 1 to 64 bytes, this one has 65");
}

#[test]
fn tags_go_with_the_last_connection() {
    let mut worth = crowd(&quiet(), 1);
    worth.define(at(0), "d", DecayingTag { interval: MINUTE, decay: Decay::Fixed(1) }).unwrap();
    worth.bump(at(0), PeerIx(0), "d", Bump::Unbounded(30)).unwrap();
    set(&mut worth, at(0), 0, 1);
    worth.update(at(1), PeerIx(0), Standing { connections: 2, ..inbound(at(0)) });
    worth.update(at(1), PeerIx(0), inbound(at(0)));
    assert_eq!(worth.value(PeerIx(0)), 31);
    worth.update(at(1), PeerIx(0), GONE);
    assert_eq!((worth.value(PeerIx(0)), worth.is_blank(PeerIx(0))), (0, true));
    connect(&mut worth, at(2), 0);
    assert_eq!(worth.value(PeerIx(0)), 0);
    // Nobody is left who decays.
    assert_eq!(worth.deadline(), Time::NEVER);
}
