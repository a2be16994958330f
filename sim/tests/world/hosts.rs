//! Addresses that come and go, names, and what a node can learn about its host.

use crate::support::*;
use core::time::Duration;
use tidewire_sim::{BrokenBy, ConnectFailure, Input, Link, OsError, Tcp, World, ipv4};

#[test]
fn a_new_address_is_told_and_can_be_reached() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    world.add_address(b, ipv4(9));
    dial(&mut world, a, 9);
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, b).told()[0], Input::AddressUp(ipv4(9)));
    assert_eq!(app(&world, a).sockets().count(), 1);
}

#[test]
fn connections_from_an_address_that_is_gone_hang_until_they_time_out() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    world.tcp(a, Tcp { retries: 3, ..Tcp::default() });
    let socket = dial(&mut world, a, 2);
    world.run_for(SECOND).unwrap();
    world.remove_address(a, ipv4(1));
    world.add_address(a, ipv4(3));
    act(&mut world, a, |app, os| app.send(socket, b"x", os));
    world.run_for(60 * SECOND).unwrap();
    let told = app(&world, a).told();
    assert_eq!(told[1..3], [Input::AddressDown(ipv4(1)), Input::AddressUp(ipv4(3))]);
    assert_eq!(told[3], Input::Broken { socket, error: BrokenBy::TimedOut });
    assert_eq!(app(&world, b).got.len(), 0);
    dial(&mut world, a, 2);
    world.run_for(SECOND).unwrap();
    let from = app(&world, b).log.iter().filter_map(|(_, input)| match input {
        Input::Accepted { remote, .. } => Some(remote.ip()),
        _ => None,
    });
    assert_eq!(from.collect::<Vec<_>>(), [ipv4(1), ipv4(3)]);
}

#[test]
fn an_address_that_is_gone_is_a_black_hole_and_may_move_to_another_host() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    let c = world.add(App::default(), [ipv4(3)]);
    world.remove_address(b, ipv4(2));
    dial(&mut world, a, 2);
    world.run_for(200 * SECOND).unwrap();
    assert!(matches!(app(&world, a).told()[..], [Input::ConnectFailed { error: ConnectFailure::TimedOut, .. }]));
    world.add_address(c, ipv4(2));
    dial(&mut world, a, 2);
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, c).sockets().count(), 1);
}

#[test]
#[should_panic(expected = "h1 can't have the address 11.0.0.1: Some(h0) has it")]
fn an_address_belongs_to_one_host() {
    let mut world = World::new(1);
    world.add(App::default(), [ipv4(1)]);
    world.add(App::default(), [ipv4(1)]);
}

#[test]
fn a_host_that_lost_all_addresses_can_not_reach_anyone() {
    let (mut world, a, _) = two(Link::default());
    world.remove_address(a, ipv4(1));
    assert_eq!(act(&mut world, a, |_, os| os.connect(at(2))), Err(OsError::NetworkUnreachable));
}

#[test]
fn names_are_data() {
    let (mut world, a, _) = two(Link::default());
    world.name("relay.example", [ipv4(2), v6(2)]);
    world.text("_dnsaddr.example", ["dnsaddr=/ip4/11.0.0.2/tcp/4001"]);
    act(&mut world, a, |_, os| {
        assert_eq!(os.resolve("relay.example"), [ipv4(2), v6(2)]);
        assert!(os.resolve("nobody.example").is_empty());
        assert_eq!(os.resolve_text("_dnsaddr.example"), ["dnsaddr=/ip4/11.0.0.2/tcp/4001"]);
        assert!(os.resolve_text("nobody.example").is_empty());
    });
}

#[test]
fn each_host_has_a_seed_of_its_own_which_follows_from_the_worlds() {
    let seeds = |world_seed| {
        let (mut world, a, b) = two_with(world_seed, Link::default(), App::default(), App::default());
        [a, b].map(|id| act(&mut world, id, |_, os| os.seed().clone()))
    };
    let (one, two) = (seeds(1), seeds(2));
    assert_eq!(one, seeds(1));
    assert_ne!(one[0], one[1]);
    assert_ne!(one[0], two[0]);
}

#[test]
fn each_start_has_a_seed_of_its_own() {
    let (mut world, a, _) = two(Link::default());
    let seed = |world: &mut World| act(world, a, |_, os| os.seed().clone());
    let first = seed(&mut world);
    world.start(a, App::default());
    assert_ne!(seed(&mut world), first);
}

#[test]
fn a_node_starts_when_the_world_runs_and_knows_its_host() {
    let mut world = World::new(1);
    world.run_for(5 * MS).unwrap();
    let a = world.add(App::default(), [ipv4(1), v6(1)]);
    assert!(app(&world, a).log.is_empty());
    world.run_for(Duration::ZERO).unwrap();
    assert_eq!(app(&world, a).log, [(ms(5), Input::Started)]);
    act(&mut world, a, |_, os| {
        assert_eq!((os.host(), os.now()), (a, ms(5)));
        assert_eq!(os.addresses(), [ipv4(1), v6(1)]);
    });
}

#[test]
fn another_node_takes_the_place_of_the_one_that_runs() {
    let (mut world, (a, left), (b, _)) = connected(Link::new(10 * MS), App::default(), App::default());
    world.start(b, App::default());
    world.run_for(Duration::ZERO).unwrap();
    assert_eq!(app(&world, b).log.len(), 1);
    act(&mut world, a, |app, os| app.send(left, b"x", os));
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, a).told().last(), Some(&Input::Broken { socket: left, error: BrokenBy::Reset }));
}

#[test]
#[should_panic(expected = "h0 has no node, or not a world::spin::Quiet")]
fn a_node_is_asked_for_by_its_type() {
    let (world, a, _) = two(Link::default());
    world.node::<crate::spin::Quiet>(a);
}
