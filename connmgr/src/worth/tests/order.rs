//! The order in which peers go, criterion by criterion.

use super::*;

/// What a peer is like.
#[derive(Clone, Copy)]
struct Like {
    value: i32,
    streams: u32,
    outbound: bool,
    /// When its youngest connection was established, in seconds.
    newest: u64,
}

const PLAIN: Like = Like { value: 0, streams: 1, outbound: false, newest: 10 };

/// The order in which a trim closes these, by their places in the list.
fn order(peers: &[Like]) -> Vec<u32> {
    let mut worth = Worth::new(&watermarks(1, 1));
    for (peer, like) in (0..).zip(peers) {
        let Like { value, streams, outbound, newest } = *like;
        worth.update(at(100), PeerIx(peer), Standing { connections: 1, streams, outbound, newest: at(newest) });
        set(&mut worth, at(100), peer, value);
    }
    // One may stay: somebody who is worth more than all.
    let best = u32::try_from(peers.len()).unwrap();
    connect(&mut worth, at(100), best);
    set(&mut worth, at(100), best, i32::MAX);
    victims(&worth.trim_now(at(100)))
}

/// The first goes before the second, whichever has the lower number.
fn before(first: Like, second: Like) {
    assert_eq!(order(&[first, second]), [0, 1]);
    assert_eq!(order(&[second, first]), [1, 0]);
}

#[test]
fn a_lower_value_goes_first_whatever_else_speaks_for_it() {
    let good = Like { streams: 9, outbound: true, newest: 1, ..PLAIN };
    let bad = Like { value: 1, streams: 0, outbound: false, newest: 99 };
    before(good, bad);
    before(Like { value: -1, ..good }, Like { value: 0, ..bad });
    before(Like { value: i32::MIN, ..good }, Like { value: -1, ..bad });
    before(Like { value: i32::MIN, ..good }, Like { value: i32::MAX - 1, ..bad });
}

#[test]
fn at_one_value_without_streams_goes_before_with_streams_even_if_we_dialed_it() {
    before(Like { streams: 0, outbound: true, newest: 1, ..PLAIN }, Like { streams: 1, newest: 99, ..PLAIN });
}

#[test]
fn then_all_inbound_goes_before_outbound_even_with_more_streams() {
    before(Like { streams: 9, newest: 1, ..PLAIN }, Like { streams: 1, outbound: true, newest: 99, ..PLAIN });
    before(Like { streams: 0, newest: 1, ..PLAIN }, Like { streams: 0, outbound: true, newest: 99, ..PLAIN });
}

#[test]
fn then_fewer_streams_go_first_even_if_older() {
    before(Like { streams: 2, newest: 1, ..PLAIN }, Like { streams: 3, newest: 99, ..PLAIN });
}

#[test]
fn more_streams_than_the_order_can_tell_apart_are_no_outbound_connection() {
    before(Like { streams: u32::MAX, ..PLAIN }, Like { streams: 1, outbound: true, ..PLAIN });
    before(Like { streams: u32::MAX, newest: 11, ..PLAIN }, Like { streams: u32::MAX - 1, newest: 10, ..PLAIN });
}

#[test]
fn then_the_younger_goes_first() {
    before(Like { newest: 11, ..PLAIN }, Like { newest: 10, ..PLAIN });
}

#[test]
fn at_last_the_lower_number_goes_first() {
    assert_eq!(order(&[PLAIN; 5]), [0, 1, 2, 3, 4]);
}

#[test]
fn each_change_moves_a_peer_to_its_new_place() {
    let first = |worth: &Worth| worth.candidates.peek().unwrap().1;
    let mut worth = crowd(&quiet(), 3);
    assert_eq!(first(&worth), 0);
    worth.update(at(1), PeerIx(0), Standing { streams: 1, ..inbound(at(0)) });
    assert_eq!(first(&worth), 1);
    worth.update(at(1), PeerIx(1), Standing { outbound: true, ..inbound(at(0)) });
    assert_eq!(first(&worth), 2);
    set(&mut worth, at(1), 1, -1);
    assert_eq!(first(&worth), 1);
    worth.tag(at(1), PeerIx(1), "v", TagChange::Remove).unwrap();
    assert_eq!(first(&worth), 2);
    worth.update(at(1), PeerIx(1), Standing { newest: at(1), ..inbound(at(0)) });
    assert_eq!(first(&worth), 1);
}

/// Temporary entries are the first to go, and closing them closes nothing.
#[test]
fn temporary_entries_go_before_all_and_take_no_connection_s_place() {
    let mut worth = crowd(&watermarks(2, 3), 3);
    for peer in 3..6 {
        set(&mut worth, at(0), peer, 100);
    }
    let trim = worth.emergency(at(1));
    assert_eq!((victims(&trim), trim.closed, trim.of), (vec![0], 1, 3));
    assert_eq!(blank(&mut worth), [3, 4, 5]);
}
