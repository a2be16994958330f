//! Protection, with its reasons.

use super::*;

const PEER: PeerIx = PeerIx(0);

#[test]
fn a_peer_is_protected_until_the_last_reason_is_taken_back() {
    let mut worth = crowd(&watermarks(1, 1), 3);
    worth.protect(at(0), PEER, "relay").unwrap();
    worth.protect(at(0), PEER, "friend").unwrap();
    worth.protect(at(0), PEER, "friend").unwrap();
    assert_eq!(worth.protections(PEER).collect::<Vec<_>>(), ["relay", "friend"]);
    assert!(worth.is_protected(PEER, None) && worth.is_protected(PEER, Some("relay")));
    assert!(!worth.is_protected(PEER, Some("dht")));
    assert!(worth.unprotect(at(0), PEER, "dht"), "a reason that never was");
    assert!(worth.unprotect(at(0), PEER, "friend"));
    let trim = worth.trim_now(at(1));
    assert_eq!((victims(&trim), trim.protected), (vec![1], 1));
    assert!(!worth.unprotect(at(1), PEER, "relay"));
    assert!(!worth.unprotect(at(1), PEER, "relay"));
    assert_eq!(victims(&worth.trim_now(at(2))), [0]);
}

#[test]
fn a_peer_has_at_most_so_many_reasons() {
    let mut worth = crowd(&WorthConfig { max_protections: 2, ..quiet() }, 1);
    worth.protect(at(0), PEER, "a").unwrap();
    worth.protect(at(0), PEER, "b").unwrap();
    worth.protect(at(0), PEER, "b").unwrap();
    let full = TagError::Full { what: "reasons to protect this peer", cap: 2 };
    assert_eq!(worth.protect(at(0), PEER, "c"), Err(full));
    worth.unprotect(at(0), PEER, "a");
    worth.protect(at(0), PEER, "c").unwrap();
    assert_eq!(worth.protections(PEER).collect::<Vec<_>>(), ["b", "c"]);
}

#[test]
fn protection_survives_the_last_connection() {
    let mut worth = crowd(&watermarks(1, 1), 3);
    worth.protect(at(0), PEER, "friend").unwrap();
    worth.update(at(1), PEER, GONE);
    assert!(worth.is_protected(PEER, Some("friend")) && !worth.is_blank(PEER));
    connect(&mut worth, at(2), 0);
    assert_eq!(victims(&worth.trim_now(at(3))), [1]);
}

#[test]
fn the_protection_of_a_peer_that_is_in_its_grace_ends_in_its_grace() {
    let mut worth = crowd(&WorthConfig { grace: MINUTE, ..watermarks(1, 1) }, 2);
    worth.protect(at(0), PEER, "friend").unwrap();
    assert_eq!((worth.trim_now(at(1)).protected, worth.trim_now(at(1)).in_grace), (1, 1));
    worth.unprotect(at(1), PEER, "friend");
    assert_eq!((worth.trim_now(at(59)).protected, worth.trim_now(at(59)).in_grace), (0, 2));
    assert_eq!(victims(&worth.trim_now(at(60))), [0]);
}

#[test]
fn one_protected_peer_more_without_a_connection_than_there_may_be_is_an_error() {
    let mut worth = Worth::new(&WorthConfig { max_protected_absent: 2, ..quiet() });
    let full = Err(TagError::Full { what: "protected peers without a connection", cap: 2 });
    for peer in 0..2 {
        worth.protect(at(0), PeerIx(peer), "a").unwrap();
    }
    assert_eq!(worth.protect(at(0), PeerIx(2), "a"), full);
    assert!(worth.is_blank(PeerIx(2)));
    // Another reason for one of the two is another matter, and so is a peer with a connection.
    worth.protect(at(0), PEER, "b").unwrap();
    connect(&mut worth, at(0), 3);
    worth.protect(at(0), PeerIx(3), "a").unwrap();
    // One reason of two doesn't make room, the last one does.
    worth.unprotect(at(0), PEER, "a");
    assert_eq!(worth.protect(at(0), PeerIx(2), "a"), full);
    worth.unprotect(at(0), PEER, "b");
    worth.protect(at(0), PeerIx(2), "a").unwrap();
    // A connection makes room too.
    connect(&mut worth, at(0), 1);
    worth.protect(at(0), PeerIx(4), "a").unwrap();
}

#[test]
fn of_too_many_protected_peers_the_one_that_was_without_a_connection_for_the_longest_is_forgotten() {
    let mut worth = crowd(&WorthConfig { max_protected_absent: 2, ..quiet() }, 4);
    for peer in 0..4 {
        worth.protect(at(0), PeerIx(peer), "a").unwrap();
    }
    for (now, peer) in [(1, 2), (2, 0), (3, 3)] {
        worth.update(at(now), PeerIx(peer), GONE);
    }
    let left: Vec<u32> = (0..4).filter(|peer| worth.is_protected(PeerIx(*peer), None)).collect();
    assert_eq!((left, blank(&mut worth)), (vec![0, 1, 3], vec![2]));
    // Of a forgotten one with early tags these stay.
    set(&mut worth, at(3), 0, 5);
    worth.update(at(4), PeerIx(1), GONE);
    assert_eq!((worth.is_protected(PEER, None), worth.value(PEER), blank(&mut worth)), (false, 5, vec![]));
}
