//! Which local addresses may be had.

use crate::support::*;
use tidewire_sim::{Link, OsError, World, ipv4};

#[test]
fn a_dial_shares_the_listening_port_only_if_both_say_so() {
    let (mut world, a, _) = two(Link::default());
    act(&mut world, a, |app, os| {
        assert_eq!(os.connect_from(any(PORT), at(2), false), Err(OsError::AddressInUse));
        os.connect_from(any(PORT), at(2), true).unwrap();
        os.unlisten(app.listener.unwrap());
        os.listen(any(80), false).unwrap();
        assert_eq!(os.connect_from(any(80), at(2), true), Err(OsError::AddressInUse));
    });
}

#[test]
fn the_same_two_ends_can_not_be_connected_twice() {
    let (mut world, a, _) = two(Link::default());
    act(&mut world, a, |_, os| {
        os.connect_from(any(PORT), at(2), true).unwrap();
        assert_eq!(os.connect_from(any(PORT), at(2), true), Err(OsError::AddressNotAvailable));
        os.connect_from(any(PORT), (ipv4(2), 80).into(), true).unwrap();
    });
}

#[test]
fn a_syn_that_has_come_takes_the_two_ends_before_we_dial_them() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    act(&mut world, a, |_, os| os.connect_from(any(PORT), at(2), true)).unwrap();
    world.run_until(ms(15)).unwrap();
    let error = act(&mut world, b, |_, os| os.connect_from(any(PORT), at(1), true)).unwrap_err();
    assert_eq!(error, OsError::AddressNotAvailable);
}

#[test]
fn a_port_can_be_listened_on_once() {
    let (mut world, a, _) = two(Link::default());
    act(&mut world, a, |app, os| {
        assert_eq!(os.listen(any(PORT), true), Err(OsError::AddressInUse));
        assert_eq!(os.listen(at(1), true), Err(OsError::AddressInUse), "all addresses include this one");
        os.listen((ipv4(1), 80).into(), true).unwrap();
        assert_eq!(os.listen(any(80), true), Err(OsError::AddressInUse));
        os.unlisten(app.listener.unwrap());
        os.listen(any(PORT), true).unwrap();
    });
}

#[test]
fn port_zero_is_any_free_port_and_each_is_another() {
    let (mut world, a, _) = two(Link::default());
    act(&mut world, a, |_, os| {
        let (_, first) = os.listen(any(0), false).unwrap();
        let (_, second) = os.listen(any(0), false).unwrap();
        assert_ne!(first.port(), second.port());
        assert!((32_768..=60_999).contains(&first.port()));
    });
}

#[test]
fn a_dial_from_any_port_avoids_those_that_are_listened_on() {
    let (mut world, a, _) = two(Link::default());
    act(&mut world, a, |_, os| {
        let (listener, at_port) = os.listen(any(0), true).unwrap();
        os.unlisten(listener);
        let next = any(if at_port.port() == 60_999 { 32_768 } else { at_port.port() + 1 });
        os.listen(next, true).unwrap();
        os.connect(at(2)).unwrap();
        assert!(os.connect_from(next, at(2), true).is_ok(), "nobody has dialed from there");
    });
}

#[test]
fn an_address_of_another_host_can_not_be_had() {
    let (mut world, a, _) = two(Link::default());
    act(&mut world, a, |_, os| {
        assert_eq!(os.listen(at(2), true), Err(OsError::AddressNotAvailable));
        assert_eq!(os.bind_udp(at(2)), Err(OsError::AddressNotAvailable));
        assert_eq!(os.connect_from((ipv4(2), 0).into(), at(2), true), Err(OsError::AddressNotAvailable));
    });
}

#[test]
fn without_an_address_of_the_family_the_network_is_unreachable() {
    let (mut world, a, _) = two(Link::default());
    act(&mut world, a, |_, os| {
        assert_eq!(os.connect((v6(2), 1).into()), Err(OsError::NetworkUnreachable));
        assert_eq!(os.connect_from(any(0), (v6(2), 1).into(), false), Err(OsError::InvalidAddress));
    });
}

#[test]
fn nobody_can_be_reached_at_port_zero_or_at_no_address() {
    let (mut world, a, _) = two(Link::default());
    act(&mut world, a, |_, os| {
        assert_eq!(os.connect((ipv4(2), 0).into()), Err(OsError::InvalidAddress));
        assert_eq!(os.connect(any(80)), Err(OsError::InvalidAddress));
    });
}

#[test]
fn a_listener_for_one_address_does_not_answer_for_another() {
    let mut world = World::new(1);
    let a = world.add(App::default(), [ipv4(1)]);
    let b = world.add(App::default(), [ipv4(2), ipv4(3)]);
    world.run_for(MS).unwrap();
    act(&mut world, b, |_, os| os.listen((ipv4(2), 80).into(), true).unwrap());
    act(&mut world, a, |_, os| {
        os.connect((ipv4(2), 80).into()).unwrap();
        os.connect((ipv4(3), 80).into()).unwrap();
    });
    world.run_for(SECOND).unwrap();
    assert_eq!((app(&world, a).sockets().count(), app(&world, b).sockets().count()), (1, 1));
    assert_eq!(app(&world, a).told().len(), 2, "one connected, one refused");
}

#[test]
fn connections_over_both_families_live_side_by_side() {
    let mut world = World::new(1);
    let a = world.add(App::default(), [ipv4(1), v6(1)]);
    let b = world.add(App::default(), [ipv4(2), v6(2)]);
    world.run_for(MS).unwrap();
    act(&mut world, b, |_, os| os.listen("[::]:4001".parse().unwrap(), true).unwrap());
    act(&mut world, a, |_, os| {
        os.connect(at(2)).unwrap();
        os.connect((v6(2), PORT).into()).unwrap();
    });
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, a).sockets().count(), 2);
    for socket in app(&world, a).sockets().collect::<Vec<_>>() {
        act(&mut world, a, |app, os| app.send(socket, b"hi", os));
    }
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, b).got.len(), 2);
}

#[test]
fn the_limit_of_open_files_counts_listeners_connections_and_udp() {
    let (mut world, a, _) = two(Link::default());
    world.file_limit(a, 3);
    act(&mut world, a, |_, os| {
        let socket = os.connect(at(2)).unwrap();
        let (udp, _) = os.bind_udp(any(0)).unwrap();
        assert_eq!(os.connect(at(2)), Err(OsError::TooManyFiles));
        assert_eq!(os.listen(any(0), true), Err(OsError::TooManyFiles));
        assert_eq!(os.bind_udp(any(0)), Err(OsError::TooManyFiles));
        os.unbind_udp(udp);
        os.abort(socket);
        os.connect(at(2)).unwrap();
        os.listen(any(0), true).unwrap();
    });
    assert_eq!(world.open_files(a), 3);
}
