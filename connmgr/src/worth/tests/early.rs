//! Temporary entries: tags of peers without a connection.

use super::*;

#[test]
fn early_tags_wait_for_the_connection_and_stay_as_long_as_it_does() {
    let mut worth = Worth::new(&quiet());
    set(&mut worth, at(0), 0, 7);
    assert_eq!((worth.value(PeerIx(0)), worth.deadline()), (7, at(60)));
    connect(&mut worth, at(59), 0);
    assert_eq!(worth.deadline(), Time::NEVER);
    worth.on_timeout(at(3600));
    assert_eq!(worth.value(PeerIx(0)), 7);
    worth.update(at(3600), PeerIx(0), GONE);
    assert_eq!(worth.value(PeerIx(0)), 0);
}

#[test]
fn early_tags_end_a_minute_after_the_first_of_them() {
    let mut worth = Worth::new(&quiet());
    set(&mut worth, at(0), 0, 7);
    worth.tag(at(50), PeerIx(0), "other", TagChange::Set(1)).unwrap();
    assert_eq!(worth.deadline(), at(60));
    worth.on_timeout(Time::from_nanos(at(60).as_nanos() - 1));
    assert_eq!((worth.value(PeerIx(0)), blank(&mut worth)), (8, vec![]));
    worth.on_timeout(at(60));
    assert_eq!((worth.value(PeerIx(0)), blank(&mut worth)), (0, vec![0]));
    assert_eq!(worth.deadline(), Time::NEVER);
    // A connection that comes too late doesn't find them, though nobody called in time.
    set(&mut worth, at(60), 1, 7);
    connect(&mut worth, at(120), 1);
    assert_eq!(worth.value(PeerIx(1)), 0);
}

#[test]
fn a_peer_whose_early_tags_are_taken_back_is_no_temporary_entry() {
    let mut worth = Worth::new(&quiet());
    set(&mut worth, at(0), 0, 7);
    worth.tag(at(30), PeerIx(0), "v", TagChange::Remove).unwrap();
    assert_eq!((worth.deadline(), worth.is_blank(PeerIx(0))), (Time::NEVER, true));
    // The next first tag has a lifetime of its own.
    set(&mut worth, at(40), 0, 7);
    assert_eq!(worth.deadline(), at(100));
}

#[test]
fn with_too_many_temporary_entries_the_least_valuable_goes_and_the_oldest_among_equals() {
    let mut worth = Worth::new(&WorthConfig { max_early: 2, ..quiet() });
    let left = |worth: &Worth| (0..6).filter(|peer| worth.value(PeerIx(*peer)) != 0).collect::<Vec<u32>>();
    set(&mut worth, at(0), 0, 5);
    set(&mut worth, at(1), 1, 9);
    set(&mut worth, at(2), 2, 6);
    assert_eq!((left(&worth), blank(&mut worth)), (vec![1, 2], vec![0]));
    // The newcomer itself, if it is the least valuable.
    set(&mut worth, at(3), 3, -1);
    assert_eq!((left(&worth), blank(&mut worth)), (vec![1, 2], vec![3]));
    // Values change, and so does who is the least valuable.
    worth.tag(at(4), PeerIx(1), "v", TagChange::Set(1)).unwrap();
    set(&mut worth, at(4), 4, 6);
    assert_eq!((left(&worth), blank(&mut worth)), (vec![2, 4], vec![1]));
    set(&mut worth, at(5), 5, 6);
    assert_eq!((left(&worth), blank(&mut worth)), (vec![4, 5], vec![2]));
}

#[test]
fn a_decay_makes_an_early_peer_the_least_valuable() {
    let mut worth = Worth::new(&WorthConfig { max_early: 2, early_tags_ttl: 9 * MINUTE, ..quiet() });
    worth.define(at(0), "d", DecayingTag { interval: MINUTE, decay: Decay::Fixed(5) }).unwrap();
    worth.bump(at(0), PeerIx(0), "d", Bump::Unbounded(11)).unwrap();
    set(&mut worth, at(0), 1, 10);
    worth.on_timeout(at(60));
    set(&mut worth, at(61), 2, 10);
    assert_eq!(blank(&mut worth), [0]);
}

#[test]
fn connections_make_room_for_temporary_entries() {
    let mut worth = Worth::new(&WorthConfig { max_early: 1, ..quiet() });
    set(&mut worth, at(0), 0, 5);
    connect(&mut worth, at(1), 0);
    set(&mut worth, at(1), 1, 5);
    assert_eq!((worth.value(PeerIx(0)), worth.value(PeerIx(1))), (5, 5));
}

#[test]
fn with_no_room_or_no_lifetime_no_early_tag_is_kept() {
    let ttl = Duration::ZERO;
    for config in [WorthConfig { max_early: 0, ..quiet() }, WorthConfig { early_tags_ttl: ttl, ..quiet() }] {
        let mut worth = Worth::new(&config);
        set(&mut worth, at(1), 0, 5);
        assert_eq!((worth.value(PeerIx(0)), blank(&mut worth)), (0, vec![0]));
        assert_eq!(worth.deadline(), Time::NEVER);
    }
}

#[test]
fn a_lifetime_without_end_never_ends() {
    let mut worth = Worth::new(&WorthConfig { early_tags_ttl: Duration::MAX, ..quiet() });
    set(&mut worth, at(1), 0, 5);
    worth.on_timeout(Time::NEVER);
    assert_eq!((worth.value(PeerIx(0)), worth.deadline()), (5, Time::NEVER));
}

#[test]
fn early_tags_end_and_the_protection_stays() {
    let mut worth = Worth::new(&quiet());
    set(&mut worth, at(0), 0, 5);
    worth.protect(at(0), PeerIx(0), "friend").unwrap();
    worth.on_timeout(at(60));
    assert_eq!((worth.value(PeerIx(0)), blank(&mut worth)), (0, vec![]));
    assert!(worth.is_protected(PeerIx(0), Some("friend")));
}
