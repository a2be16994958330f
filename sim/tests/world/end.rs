//! How a connection ends.

use crate::support::*;
use tidewire_sim::packet::Segment;
use tidewire_sim::{BrokenBy, Input, Link, OsError, Tcp};

#[test]
fn a_half_closed_connection_still_carries_the_other_direction() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::default());
    act(&mut world, a, |app, os| {
        app.send(left, b"question", os);
        os.finish(left);
    });
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, b).bytes(right), b"question");
    assert_eq!(app(&world, b).told().last(), Some(&Input::Ended { socket: right }));
    act(&mut world, b, |app, os| {
        app.send(right, b"answer", os);
        os.finish(right);
    });
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, a).bytes(left), b"answer");
    assert_eq!(app(&world, a).told().last(), Some(&Input::Ended { socket: left }));
}

#[test]
fn what_was_sent_before_close_is_delivered() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::polite());
    let data = pattern(100_000);
    act(&mut world, a, |app, os| {
        app.send(left, &data, os);
        os.close(left);
    });
    assert_eq!(world.open_files(a), 1, "the socket is free at once");
    assert!(world.run_to_rest(10 * SECOND).unwrap());
    assert!(app(&world, b).bytes(right) == data);
    assert_eq!(app(&world, b).told().last(), Some(&Input::Ended { socket: right }));
    assert_eq!(world.open_files(b), 1);
}

#[test]
fn what_was_sent_before_close_survives_loss() {
    let link = Link::new(10 * MS).loss(0.3);
    let (mut world, (a, left), (b, right)) = connected(link, App::default(), App::polite());
    let data = pattern(50_000);
    act(&mut world, a, |app, os| {
        app.send(left, &data, os);
        os.close(left);
    });
    assert!(
        world.run_while(600 * SECOND, |world| app(world, b).told().contains(&Input::Ended { socket: right })).unwrap()
    );
    assert!(app(&world, b).bytes(right) == data);
}

#[test]
fn an_abort_is_heard_after_the_latency() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::default());
    let now = world.now();
    act(&mut world, a, |_, os| os.abort(left));
    world.run_for(SECOND).unwrap();
    let broken = Input::Broken { socket: right, error: BrokenBy::Reset };
    assert_eq!(app(&world, b).log.last(), Some(&(now + 10 * MS, broken)));
    assert_eq!((world.open_files(a), world.open_files(b)), (1, 1));
    assert_eq!(app(&world, a).told().len(), 1, "who aborts is told nothing");
}

#[test]
fn closing_with_unread_bytes_resets() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::lazy());
    act(&mut world, a, |app, os| app.send(left, b"never read", os));
    world.run_for(SECOND).unwrap();
    act(&mut world, b, |_, os| os.close(right));
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, a).told().last(), Some(&Input::Broken { socket: left, error: BrokenBy::Reset }));
}

#[test]
fn bytes_for_a_program_that_has_closed_are_answered_with_a_reset() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::default());
    act(&mut world, b, |_, os| os.close(right));
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, a).told().last(), Some(&Input::Ended { socket: left }));
    act(&mut world, a, |app, os| app.send(left, b"too late", os));
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, a).told().last(), Some(&Input::Broken { socket: left, error: BrokenBy::Reset }));
}

#[test]
fn a_remote_that_never_closes_is_given_up_after_the_fin_timeout() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::default());
    act(&mut world, a, |_, os| os.close(left));
    world.run_for(61 * SECOND).unwrap();
    act(&mut world, b, |_, os| os.finish(right));
    world.run_for(SECOND).unwrap();
    let broken = Input::Broken { socket: right, error: BrokenBy::Reset };
    assert_eq!(app(&world, b).told().last(), Some(&broken), "a does not know it any more");
}

#[test]
fn both_closing_at_once_is_an_end_for_both() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::polite(), App::polite());
    act(&mut world, a, |_, os| os.finish(left));
    act(&mut world, b, |_, os| os.finish(right));
    assert!(world.run_to_rest(10 * SECOND).unwrap());
    assert_eq!(app(&world, a).told().last(), Some(&Input::Ended { socket: left }));
    assert_eq!(app(&world, b).told().last(), Some(&Input::Ended { socket: right }));
    assert_eq!((world.open_files(a), world.open_files(b)), (1, 1));
}

#[test]
fn who_gets_no_acknowledgement_times_out_and_an_idle_end_never_notices() {
    let (mut world, (a, left), (b, _)) = connected(Link::new(10 * MS), App::default(), App::default());
    world.power_off(b);
    world.run_for(3_600 * SECOND).unwrap();
    assert_eq!(app(&world, a).told().len(), 1, "half open, and nothing to tell");
    let now = world.now();
    act(&mut world, a, |app, os| app.send(left, b"anybody?", os));
    assert!(world.run_to_rest(3_600 * SECOND).unwrap());
    let (at, last) = app(&world, a).log.last().unwrap();
    assert_eq!(last, &Input::Broken { socket: left, error: BrokenBy::TimedOut });
    let took = at.since(now).as_secs();
    assert!((800..1_900).contains(&took), "13 to 30 minutes, as Linux: {took} s");
}

#[test]
fn retries_are_a_setting() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    world.tcp(a, Tcp { retries: 2, ..Tcp::default() });
    let socket = dial(&mut world, a, 2);
    world.run_for(SECOND).unwrap();
    world.power_off(b);
    let now = world.now();
    act(&mut world, a, |app, os| app.send(socket, b"x", os));
    assert!(world.run_to_rest(60 * SECOND).unwrap());
    // 20 ms of round trip and 200 ms of least variation, then twice and four times that.
    assert_eq!(app(&world, a).log.last().unwrap().0.since(now), (220 + 440 + 880) * MS);
}

#[test]
fn a_killed_node_says_nothing_and_the_next_packet_for_it_is_reset() {
    let (mut world, (a, left), (b, _)) = connected(Link::new(10 * MS), App::default(), App::default());
    world.kill(b);
    world.run_for(60 * SECOND).unwrap();
    assert_eq!(app(&world, a).told().len(), 1);
    let now = world.now();
    act(&mut world, a, |app, os| app.send(left, b"x", os));
    world.run_for(SECOND).unwrap();
    let broken = Input::Broken { socket: left, error: BrokenBy::Reset };
    assert_eq!(app(&world, a).log.last(), Some(&(now + 20 * MS, broken)));
}

#[test]
fn a_reset_from_outside_the_window_is_not_believed() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::default());
    world.middlebox(
        b,
        Tamper(
            |_, segment: &mut Segment| {
                segment.seq -= u64::from(segment.flags.rst);
                true
            },
            0,
        ),
    );
    act(&mut world, b, |_, os| os.abort(right));
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, a).told().len(), 1);
    assert!(act(&mut world, a, |_, os| os.room(left)) > 0);
}

#[test]
fn a_reset_that_gets_lost_leaves_the_connection_half_open_until_the_next_packet() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::default());
    let until = world.now() + SECOND;
    world.cut_one_way(b, a, until);
    act(&mut world, b, |_, os| os.abort(right));
    world.run_for(2 * SECOND).unwrap();
    assert_eq!(app(&world, a).told().len(), 1, "a has heard nothing");
    act(&mut world, a, |app, os| app.send(left, b"x", os));
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, a).told().last(), Some(&Input::Broken { socket: left, error: BrokenBy::Reset }));
}

#[test]
fn a_program_that_exits_has_its_sockets_closed_for_it() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::polite(), App::default());
    act(&mut world, b, |app, os| app.send(right, b"last words", os));
    world.exit(b);
    assert!(!world.is_running(b));
    assert!(world.run_to_rest(10 * SECOND).unwrap());
    assert_eq!(app(&world, a).bytes(left), b"last words");
    assert_eq!(app(&world, a).told().last(), Some(&Input::Ended { socket: left }));
    dial(&mut world, a, 2);
    world.run_for(SECOND).unwrap();
    assert!(matches!(app(&world, a).told().last(), Some(Input::ConnectFailed { .. })), "and nobody listens");
}

#[test]
fn a_restarted_host_resets_what_it_has_forgotten_and_can_be_reached_again_from_the_same_port() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    act(&mut world, a, |_, os| os.connect_from(any(PORT), at(2), true)).unwrap();
    world.run_for(SECOND).unwrap();
    let old = app(&world, b).socket();
    world.power_off(a);
    world.run_for(10 * SECOND).unwrap();
    world.start(a, App::default());
    world.run_for(SECOND).unwrap();
    act(&mut world, a, |_, os| os.connect_from(any(PORT), at(2), true)).unwrap();
    world.run_for(5 * SECOND).unwrap();
    // b acknowledges the SYN on the old connection, a resets that, and its second SYN opens a new one.
    let told = app(&world, b).told();
    assert_eq!(told[1], Input::Broken { socket: old, error: BrokenBy::Reset });
    assert!(matches!(told[2], Input::Accepted { socket, .. } if socket != old), "{told:?}");
    assert_eq!(app(&world, a).sockets().count(), 1);
}

#[test]
fn the_end_that_closed_first_waits_before_the_same_addresses_may_connect_again() {
    let (mut world, a, b) = two_with(1, Link::new(10 * MS), App::default(), App::polite());
    let again = |world: &mut tidewire_sim::World| act(world, a, |_, os| os.connect_from(any(PORT), at(2), true));
    let socket = again(&mut world).unwrap();
    world.run_for(SECOND).unwrap();
    act(&mut world, a, |_, os| os.close(socket));
    world.run_for(SECOND).unwrap();
    assert_eq!(again(&mut world), Err(OsError::AddressNotAvailable));
    world.run_for(59 * SECOND).unwrap();
    assert_eq!(again(&mut world), Err(OsError::AddressNotAvailable));
    world.run_for(SECOND).unwrap();
    assert!(again(&mut world).is_ok());
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, b).sockets().count(), 2);
}

#[test]
fn a_new_connection_from_the_other_end_may_take_the_place_of_one_that_waits() {
    let (mut world, a, b) = two_with(1, Link::new(10 * MS), App::polite(), App::polite());
    let socket = act(&mut world, a, |_, os| os.connect_from(any(PORT), at(2), true)).unwrap();
    world.run_for(SECOND).unwrap();
    act(&mut world, a, |_, os| os.close(socket));
    world.run_for(SECOND).unwrap();
    act(&mut world, b, |_, os| os.connect_from(any(PORT), at(1), true)).unwrap();
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, b).sockets().count(), 2);
    assert_eq!(app(&world, a).sockets().count(), 2);
}

#[test]
fn a_socket_that_is_no_more_takes_every_call_in_silence() {
    let (mut world, (a, left), (b, _)) = connected(Link::new(10 * MS), App::default(), App::default());
    act(&mut world, a, |app, os| {
        os.abort(left);
        os.abort(left);
        os.close(left);
        os.finish(left);
        assert_eq!(os.send(left, &mut &b"x"[..]), 0);
        assert_eq!(os.read_bytes(left, 1), None);
        assert_eq!((os.unread(left), os.room(left), app.read(left, 1, os)), (0, 0, 0));
    });
    world.run_for(SECOND).unwrap();
    assert_eq!((world.open_files(a), world.open_files(b)), (1, 1));
}
