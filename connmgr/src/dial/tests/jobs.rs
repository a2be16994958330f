//! Callers come, join, leave, and get one answer each.

use super::*;

#[test]
fn later_callers_join_the_job_and_all_are_answered_by_one_dial() {
    let mut world = World::new(config());
    assert_eq!(shorts(&world.wish(1, 1, &[TCP], plain())), [format!("d0 {TCP}")]);
    assert_eq!(world.wish(2, 1, &[TCP], plain()), []);
    assert_eq!(world.dialer.counts(), DialCounts { jobs: 1, requests: 2, dials: 1, descriptors: 1 });
    assert_eq!(shorts(&world.established(DialId(0), 5, true)), ["r1 -> c5", "r2 -> c5"]);
    world.idle();
}

#[test]
fn what_a_later_caller_knows_is_dialed_for_all() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    assert_eq!(world.wish(2, 1, &[TCP_2], plain()), []);
    assert_eq!(timed(&world.wait(SECOND)), [format!("250 d1 {TCP_2}")]);
    assert_eq!(shorts(&world.established(DialId(1), 5, true)), ["r1 -> c5", "r2 -> c5", "abort d0"]);
}

#[test]
fn a_job_ends_when_its_last_caller_leaves_and_not_before() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    world.wish(2, 1, &[], plain());
    assert_eq!(world.cancel(1), []);
    assert_eq!(shorts(&world.cancel(2)), ["abort d0"]);
    world.idle();
}

#[test]
fn a_handshake_ends_too_when_all_callers_leave() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    world.tell(DialInput::Progress { dial: DialId(0) });
    assert_eq!(shorts(&world.cancel(1)), ["abort d0"]);
    world.idle();
}

#[test]
fn another_connection_ends_unconnected_dials_but_no_handshake() {
    let mut world = World::new(config());
    world.wish(1, 1, &[QUIC, TCP], plain());
    world.wait(SECOND);
    world.tell(DialInput::Progress { dial: DialId(0) });
    assert_eq!(shorts(&world.connected(1, 5, true)), ["r1 -> c5", "abort d1"]);
    assert_eq!(world.dialer.counts(), DialCounts { jobs: 0, requests: 0, dials: 1, descriptors: 0 });
    assert!(world.dialer.job(&peer(1)));
    // It may well become a connection too: which one stays is not for the dialer to say.
    assert_eq!(world.established(DialId(0), 6, true), []);
    world.idle();
}

#[test]
fn a_handshake_that_nobody_waits_for_still_has_its_time() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    world.tell(DialInput::Progress { dial: DialId(0) });
    world.connected(1, 5, true);
    assert_eq!(timed(&world.wait(HOUR)), ["15000 abort d0"]);
    world.idle();
}

#[test]
fn a_new_wish_takes_over_the_handshake_of_an_earlier_one() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    world.tell(DialInput::Progress { dial: DialId(0) });
    world.connected(1, 5, true);
    let same = format!("{TCP}/p2p/{}", peer(1));
    assert_eq!(world.wish(2, 1, &[&same], DialOptions { new: true, ..plain() }), [], "it is being dialed already");
    assert_eq!(shorts(&world.established(DialId(0), 6, true)), ["r2 -> c6"]);
    world.idle();
}

#[test]
fn a_caller_who_wants_a_new_connection_is_not_answered_with_another() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    world.wish(2, 1, &[], DialOptions { new: true, ..plain() });
    assert_eq!(shorts(&world.connected(1, 5, true)), ["r1 -> c5"]);
    assert_eq!(shorts(&world.established(DialId(0), 6, true)), ["r2 -> c6"]);
}

#[test]
fn a_relayed_connection_answers_those_whom_it_suits_and_the_others_go_on() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP, &relayed().to_string()], plain());
    world.wish(2, 1, &[], direct_only());
    assert_eq!(timed(&world.wait(SECOND)), [format!("500 d1 {}", relayed())]);
    assert_eq!(shorts(&world.established(DialId(1), 5, false)), ["r1 -> c5"]);
    let expected =
        [outcome(TCP, Outcome::Failed(refused())), (relayed().to_string(), Outcome::Connected(ConnectionId(5)))];
    assert_eq!(outcomes(&world.fail(DialId(0))), expected);
    world.idle();
}

#[test]
fn relayed_addresses_are_dialed_only_while_somebody_accepts_them() {
    let mut world = World::new(config());
    let addresses = [TCP, &relayed().to_string()];
    world.wish(1, 1, &addresses, direct_only());
    assert_eq!(timed(&world.wait(SECOND)), <Vec<String>>::new());
    world.wish(2, 1, &[], plain());
    assert_eq!(timed(&world.wait(SECOND)), [format!("1500 d1 {}", relayed())]);
    assert_eq!(shorts(&world.cancel(2)), ["abort d1"]);
    assert_eq!(shorts(&world.established(DialId(0), 5, true)), ["r1 -> c5"]);
}

#[test]
fn whom_only_a_direct_one_suits_fails_when_only_relayed_ones_are_left() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP, &relayed().to_string()], plain());
    world.wish(2, 1, &[], direct_only());
    world.wait(SECOND);
    let actions = world.fail(DialId(0));
    assert_eq!(shorts(&actions), ["r2 failed"]);
    let expected = [outcome(TCP, Outcome::Failed(refused())), (relayed().to_string(), Outcome::Relayed)];
    assert_eq!(outcomes(&actions), expected);
    assert_eq!(shorts(&world.established(DialId(1), 5, false)), ["r1 -> c5"]);
    world.idle();
}

#[test]
fn without_any_direct_address_the_report_says_so() {
    let mut world = World::new(config());
    let actions = world.wish(1, 1, &[&relayed().to_string()], direct_only());
    assert_eq!(report(&actions).why, DialFailure::NoneDirect(1));
    assert_eq!(outcomes(&actions), [(relayed().to_string(), Outcome::Relayed)]);
}

#[test]
fn ending_a_peer_aborts_all_and_tells_all_callers_why() {
    let mut world = World::new(config());
    world.wish(1, 1, &[QUIC, TCP], plain());
    world.wait(SECOND);
    world.tell(DialInput::Progress { dial: DialId(0) });
    let failure = DialFailure::Disconnected("asked".into());
    let actions = world.tell(DialInput::EndPeer { peer: peer(1), failure: failure.clone() });
    assert_eq!(shorts(&actions), ["abort d0", "abort d1", "r1 failed"]);
    assert_eq!(report(&actions).why, failure);
    assert_eq!(outcomes(&actions), [outcome(QUIC, Outcome::Aborted), outcome(TCP, Outcome::Aborted)]);
    world.idle();
}

#[test]
fn shutdown_ends_all_and_later_wishes_fail_at_once() {
    let mut world = World::new(config());
    world.wish(1, 1, &[TCP], plain());
    world.wish(2, 2, &[TCP], plain());
    let actions = world.tell(DialInput::Shutdown);
    assert_eq!(shorts(&actions), ["abort d0", "r1 failed", "abort d1", "r2 failed"]);
    let actions = world.wish(3, 3, &[TCP], plain());
    assert_eq!(report(&actions).why, DialFailure::Shutdown);
    assert_eq!(outcomes(&actions), [outcome(TCP, Outcome::NotTried)]);
    world.idle();
}

#[test]
fn ourselves_are_not_dialed() {
    let mut world = World::new(config());
    let actions = world.wish(1, 0, &[TCP], plain());
    assert_eq!(report(&actions).why, DialFailure::Ourselves);
    assert_eq!(outcomes(&actions), [outcome(TCP, Outcome::Undialable)]);
    world.idle();
}

#[test]
fn inputs_about_peers_without_a_job_do_nothing() {
    let mut world = World::new(config());
    assert_eq!(world.connected(1, 5, true), []);
    assert_eq!(world.tell(DialInput::EndPeer { peer: peer(1), failure: DialFailure::Shutdown }), []);
    world.idle();
}

#[test]
fn misuse_is_named_and_changes_nothing() {
    let mut world = World::new(DialConfig { max_unpolled: 1, ..config() });
    world.wish(1, 1, &[TCP], plain());
    world.tell(DialInput::Progress { dial: DialId(0) });
    let (dial, connection) = (DialId(7), ConnectionId(1));
    assert_eq!(world.misuse(DialInput::Progress { dial }), DialMisuse::UnknownDial(dial));
    assert_eq!(world.misuse(DialInput::Progress { dial: DialId(0) }), DialMisuse::AlreadyConnected(DialId(0)));
    assert_eq!(world.misuse(DialInput::Established { dial, connection, direct: true }), DialMisuse::UnknownDial(dial));
    assert_eq!(world.misuse(DialInput::Failed { dial, fault: refused() }), DialMisuse::UnknownDial(dial));
    let request = RequestId(9);
    assert_eq!(world.misuse(DialInput::Cancel { request }), DialMisuse::UnknownRequest(request));
    let request = RequestId(1);
    let (peer, addresses, options) = (peer(2), &[][..], plain());
    let again = DialInput::Dial { request, peer, addresses, options };
    assert_eq!(world.misuse(again), DialMisuse::RequestExists(request));
    // A dial that was aborted is forgotten.
    world.cancel(1);
    assert_eq!(
        world.misuse(DialInput::Failed { dial: DialId(0), fault: refused() }),
        DialMisuse::UnknownDial(DialId(0))
    );
}

#[test]
fn who_never_polls_may_not_ask_on() {
    let mut world = World::new(DialConfig { max_unpolled: 2, ..config() });
    let (addresses, options) = ([at(TCP)], plain());
    let mut ask = |request| {
        let request = RequestId(request);
        world.dialer.handle(Time::ZERO, DialInput::Dial { request, peer: peer(1), addresses: &addresses, options })
    };
    assert_eq!(ask(1), Ok(()));
    assert_eq!(ask(2), Ok(()), "it joins, and adds nothing to be polled");
    world.dialer.handle(Time::ZERO, DialInput::Cancel { request: RequestId(1) }).unwrap();
    world.dialer.handle(Time::ZERO, DialInput::Cancel { request: RequestId(2) }).unwrap();
    let (request, addresses) = (RequestId(3), &addresses[..]);
    let third = DialInput::Dial { request, peer: peer(1), addresses, options };
    assert_eq!(world.dialer.handle(Time::ZERO, third.clone()), Err(DialMisuse::Unpolled(2)));
    assert_eq!(shorts(&world.actions()), [format!("d0 {TCP}"), "abort d0".into()]);
    assert_eq!(shorts(&world.tell(third)), [format!("d1 {TCP}")]);
}
