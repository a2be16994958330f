//! How a connection comes about, or does not.

use crate::support::*;
use core::time::Duration;
use tidewire_core::Time;
use tidewire_sim::{ConnectFailure, Input, Link, Tcp, ipv4};

fn connected_at(world: &tidewire_sim::World, id: tidewire_sim::HostId) -> Option<Time> {
    app(world, id).when(|input| matches!(input, Input::Connected { .. }))
}

fn failed(world: &tidewire_sim::World, id: tidewire_sim::HostId) -> Option<(Time, ConnectFailure)> {
    app(world, id).log.iter().find_map(|(at, input)| match input {
        Input::ConnectFailed { error, .. } => Some((*at, *error)),
        _ => None,
    })
}

#[test]
fn connecting_takes_one_round_trip_and_accepting_half_of_another_to_the_nanosecond() {
    let (mut world, a, b) = two(Link::new(Duration::from_nanos(12_345_678)));
    let socket = dial(&mut world, a, 2);
    assert!(world.run_to_rest(SECOND).unwrap());
    let log = &app(&world, a).log;
    let Some((at_a, Input::Connected { socket: connected, local, remote })) = log.last() else { panic!("{log:?}") };
    assert_eq!((at_a.as_nanos(), *connected, *remote), (2 * 12_345_678, socket, at(2)));
    let log = &app(&world, b).log;
    let Some((at_b, Input::Accepted { local: to, remote: from, listener, .. })) = log.last() else { panic!("{log:?}") };
    assert_eq!((at_b.as_nanos(), *from, *to), (3 * 12_345_678, *local, at(2)));
    assert_eq!(Some(*listener), app(&world, b).listener);
    assert_eq!(world.stats().packets, 3, "SYN, SYN ACK, ACK");
}

#[test]
fn where_nobody_listens_the_answer_is_refused_after_a_round_trip() {
    let (mut world, a, _) = two(Link::new(7 * MS));
    act(&mut world, a, |_, os| os.connect((ipv4(2), 999).into())).unwrap();
    assert!(world.run_to_rest(SECOND).unwrap());
    assert_eq!(failed(&world, a), Some((ms(14), ConnectFailure::Refused)));
    assert_eq!(world.open_files(a), 1, "the listener alone");
}

#[test]
fn where_nobody_is_connecting_times_out_after_seven_syns() {
    let (mut world, a, _) = two(Link::new(10 * MS));
    dial(&mut world, a, 77);
    assert!(world.run_to_rest(300 * SECOND).unwrap());
    assert_eq!(failed(&world, a), Some((ms(127_000), ConnectFailure::TimedOut)), "1 + 2 + 4 + 8 + 16 + 32 + 64 s");
    assert_eq!(world.stats().packets, 7);
}

#[test]
fn a_lost_syn_is_sent_again_after_a_second() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    world.cut(a, b, ms(500));
    dial(&mut world, a, 2);
    world.run_for(10 * SECOND).unwrap();
    assert_eq!(connected_at(&world, a), Some(ms(1_020)));
}

#[test]
fn a_lost_answer_to_the_syn_is_sent_again() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    world.cut_one_way(b, a, ms(500));
    dial(&mut world, a, 2);
    world.run_for(10 * SECOND).unwrap();
    // Both ends send again after a second: the SYN reaches b at 1,010 ms, just when b repeats its answer by itself.
    assert_eq!(connected_at(&world, a), Some(ms(1_020)));
    assert_eq!(app(&world, b).sockets().count(), 1);
}

#[test]
fn a_lost_last_acknowledgement_delays_accepting_alone() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    dial(&mut world, a, 2);
    world.run_until(ms(15)).unwrap();
    world.cut_one_way(a, b, ms(25));
    world.run_for(10 * SECOND).unwrap();
    assert_eq!(connected_at(&world, a), Some(ms(20)));
    let accepted = app(&world, b).when(|input| matches!(input, Input::Accepted { .. }));
    assert_eq!(accepted, Some(ms(1_030)), "the repeated SYN ACK is acknowledged again");
}

#[test]
fn data_behind_a_lost_last_acknowledgement_opens_the_connection_too() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    let socket = dial(&mut world, a, 2);
    world.run_until(ms(15)).unwrap();
    world.cut_one_way(a, b, ms(25));
    world.run_until(ms(30)).unwrap();
    act(&mut world, a, |app, os| app.send(socket, b"hello", os));
    world.run_until(ms(40)).unwrap();
    assert_eq!(app(&world, b).bytes(app(&world, b).socket()), b"hello");
}

#[test]
fn two_that_dial_each_other_from_their_listening_ports_at_once_get_one_connection() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    act(&mut world, a, |_, os| os.connect_from(any(PORT), at(2), true)).unwrap();
    act(&mut world, b, |_, os| os.connect_from(any(PORT), at(1), true)).unwrap();
    assert!(world.run_to_rest(SECOND).unwrap());
    for (id, remote) in [(a, at(2)), (b, at(1))] {
        let told = app(&world, id).told();
        assert!(matches!(told[..], [Input::Connected { remote: to, .. }] if to == remote), "{told:?}");
        assert_eq!(connected_at(&world, id), Some(ms(20)));
        assert_eq!(world.open_files(id), 2, "the listener and one connection");
    }
    let socket = app(&world, a).socket();
    act(&mut world, a, |app, os| app.send(socket, b"both ways", os));
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, b).bytes(app(&world, b).socket()), b"both ways");
}

#[test]
fn a_simultaneous_open_survives_the_loss_of_one_syn() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    act(&mut world, a, |app, os| os.unlisten(app.listener.unwrap()));
    act(&mut world, b, |app, os| os.unlisten(app.listener.unwrap()));
    world.cut_one_way(a, b, ms(5));
    act(&mut world, a, |_, os| os.connect_from(at(1), at(2), true)).unwrap();
    act(&mut world, b, |_, os| os.connect_from(at(2), at(1), true)).unwrap();
    world.run_for(5 * SECOND).unwrap();
    assert_eq!(connected_at(&world, a), Some(ms(30)), "a answers b's SYN, b acknowledges");
    assert_eq!(connected_at(&world, b), Some(ms(20)));
}

#[test]
fn a_dial_that_is_given_up_leaves_nothing_behind() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    let socket = dial(&mut world, a, 2);
    world.run_until(ms(5)).unwrap();
    act(&mut world, a, |_, os| os.abort(socket));
    assert!(world.run_to_rest(60 * SECOND).unwrap());
    assert_eq!((world.open_files(a), world.open_files(b)), (1, 1));
    assert_eq!(app(&world, a).told(), []);
    assert_eq!(app(&world, b).told(), [], "the SYN ACK was answered with a reset before anything was accepted");
}

#[test]
fn a_full_backlog_does_not_answer_and_the_dialer_comes_again() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    world.tcp(b, Tcp { backlog: 1, ..Tcp::default() });
    dial(&mut world, a, 2);
    dial(&mut world, a, 2);
    world.run_until(ms(500)).unwrap();
    assert_eq!(app(&world, b).sockets().count(), 1);
    world.run_until(ms(1_500)).unwrap();
    assert_eq!(app(&world, b).sockets().count(), 2, "its second SYN found room");
}

#[test]
fn without_file_descriptors_a_connection_waits_to_be_accepted() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    world.file_limit(b, 2);
    let first = dial(&mut world, a, 2);
    let second = dial(&mut world, a, 2);
    world.run_for(SECOND).unwrap();
    let listener = app(&world, b).listener.unwrap();
    assert_eq!(app(&world, b).told().len(), 2);
    assert_eq!(app(&world, b).told()[1], Input::AcceptFailed { listener });
    act(&mut world, a, |app, os| {
        app.send(second, b"early", os);
        os.finish(second);
        os.close(first);
    });
    act(&mut world, b, |app, os| {
        let error = os.connect(at(1)).unwrap_err();
        assert_eq!(error.to_string(), "too many open files");
        app.polite = true;
    });
    world.run_for(SECOND).unwrap();
    let socket = app(&world, b).sockets().last().unwrap();
    assert_eq!(app(&world, b).bytes(socket), b"early");
    assert!(app(&world, b).told().contains(&Input::Ended { socket }));
}

#[test]
fn a_connection_to_itself_works_over_loopback_and_over_an_own_address() {
    let (mut world, a, _) = two(Link::new(10 * MS));
    let own = act(&mut world, a, |_, os| os.connect(at(1))).unwrap();
    act(&mut world, a, |_, os| os.connect(([127, 0, 0, 1], PORT).into())).unwrap();
    world.run_for(MS).unwrap();
    assert_eq!(app(&world, a).sockets().count(), 4, "two dialed, two accepted");
    act(&mut world, a, |app, os| app.send(own, b"me", os));
    world.run_for(MS).unwrap();
    assert_eq!(app(&world, a).got.values().filter(|got| &got[..] == b"me").count(), 1);
}
