//! What the network does to packets.

use crate::support::*;
use core::time::Duration;
use tidewire_core::Time;
use tidewire_sim::{ConnectFailure, HostId, Input, Link, Middlebox, Packet, World, ipv4};

#[test]
fn each_direction_of_a_pair_may_have_its_own_link() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    world.link_one_way(a, b, Link::new(3 * MS));
    world.link_one_way(b, a, Link::new(4 * MS));
    dial(&mut world, a, 2);
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, a).log.last().unwrap().0, ms(7));
}

#[test]
fn a_pair_with_a_link_of_its_own_does_not_change_the_others() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    let c = world.add(App::default(), [ipv4(3)]);
    world.link(a, b, Link::new(MS));
    dial(&mut world, a, 2);
    dial(&mut world, c, 2);
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, a).log.last().unwrap().0, ms(2));
    assert_eq!(app(&world, c).log.last().unwrap().0, ms(20));
}

#[test]
fn an_access_link_adds_its_latency_and_is_shared_by_all_connections() {
    let mut world = World::new(1);
    world.default_link(Link::new(10 * MS));
    let (slow, a, b) = (
        world.add(App::default(), [ipv4(1)]),
        world.add(App::default(), [ipv4(2)]),
        world.add(App::default(), [ipv4(3)]),
    );
    world.access(slow, Link::new(5 * MS).bandwidth(100_000), Link::new(6 * MS));
    world.run_for(Duration::ZERO).unwrap();
    let (left, right) = (dial(&mut world, slow, 2), dial(&mut world, slow, 3));
    world.run_for(SECOND).unwrap();
    let connected = app(&world, slow).when(|input| matches!(input, Input::Connected { .. }));
    // The first SYN of 40 bytes takes 0.4 ms; then 5, 10, 10 and 6 ms.
    assert_eq!(connected, Some(Time::from_nanos(31_400_000)));

    let now = world.now();
    act(&mut world, slow, |app, os| {
        app.send(left, &pattern(1_440), os);
        app.send(right, &pattern(1_440), os);
    });
    world.run_for(SECOND).unwrap();
    let got = |id: HostId| app(&world, id).when(|input| matches!(input, Input::Received { .. })).unwrap().since(now);
    assert_eq!((got(a), got(b)), (Duration::from_micros(29_800), Duration::from_micros(44_600)), "one after the other");
}

#[test]
fn those_who_share_a_way_down_queue_in_the_order_in_which_they_reach_it() {
    let mut world = World::new(1);
    let all: Vec<HostId> = (1..=3).map(|n| world.add(App::default(), [ipv4(n)])).collect();
    world.access(all[0], Link::new(MS), Link::new(MS).bandwidth(100_000));
    world.link(all[1], all[0], Link::new(100 * MS));
    world.link(all[2], all[0], Link::new(10 * MS));
    world.run_for(Duration::ZERO).unwrap();
    let udp = (ipv4(1), 9).into();
    act(&mut world, all[0], |_, os| os.bind_udp(any(9)).unwrap());
    for id in [all[1], all[2]] {
        act(&mut world, id, |_, os| {
            let (socket, _) = os.bind_udp(any(9)).unwrap();
            os.send_to(socket, udp, pattern(972)).unwrap();
        });
    }
    world.run_for(SECOND).unwrap();
    let times: Vec<Time> = app(&world, all[0]).log[1..].iter().map(|(at, _)| *at).collect();
    // 1,000 bytes take 10 ms. The one that was sent first from afar keeps nobody waiting.
    assert_eq!(times, [ms(10 + 10 + 1), ms(100 + 10 + 1)]);
}

#[test]
fn a_cut_stops_both_directions_until_its_time() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    world.cut(a, b, ms(60_000));
    dial(&mut world, a, 2);
    dial(&mut world, b, 1);
    world.run_until(ms(59_999)).unwrap();
    assert_eq!((app(&world, a).told(), app(&world, b).told()), (vec![], vec![]));
    world.run_until(ms(130_000)).unwrap();
    assert_eq!((app(&world, a).sockets().count(), app(&world, b).sockets().count()), (2, 2));
}

#[test]
fn a_cut_without_an_end_is_healed_by_hand() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::default());
    world.cut(a, b, Time::NEVER);
    act(&mut world, a, |app, os| app.send(left, b"x", os));
    world.run_for(60 * SECOND).unwrap();
    assert_eq!(app(&world, b).bytes(right), b"");
    world.heal(a, b);
    world.run_for(60 * SECOND).unwrap();
    assert_eq!(app(&world, b).bytes(right), b"x");
}

#[test]
fn an_isolated_host_is_cut_off_from_all_and_the_others_are_not() {
    let mut world = World::new(1);
    let all: Vec<HostId> = (1..=3).map(|n| world.add(App::default(), [ipv4(n)])).collect();
    world.run_for(Duration::ZERO).unwrap();
    world.isolate(all[0], Time::NEVER);
    dial(&mut world, all[0], 2);
    dial(&mut world, all[1], 1);
    dial(&mut world, all[1], 3);
    world.run_for(SECOND).unwrap();
    let connections: Vec<usize> = all.iter().map(|id| app(&world, *id).sockets().count()).collect();
    assert_eq!(connections, [0, 1, 1]);
}

#[test]
fn a_split_world_goes_on_on_both_sides() {
    let mut world = World::new(1);
    let all: Vec<HostId> = (1..=4).map(|n| world.add(App::default(), [ipv4(n)])).collect();
    world.run_for(Duration::ZERO).unwrap();
    world.split(&all[..2], ms(500));
    for id in &all {
        for n in 1..=4 {
            dial(&mut world, *id, n);
        }
    }
    let count = |world: &World| all.iter().map(|id| app(world, *id).sockets().count()).collect::<Vec<_>>();
    world.run_until(ms(400)).unwrap();
    assert_eq!(count(&world), [4; 4], "itself and the other, from both ends");
    world.run_until(ms(2_000)).unwrap();
    assert_eq!(count(&world), [8; 4]);
}

#[test]
fn what_is_on_its_way_when_a_link_is_cut_or_changed_arrives() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::default());
    act(&mut world, a, |app, os| app.send(left, b"x", os));
    world.run_for(MS).unwrap();
    world.cut(a, b, Time::NEVER);
    world.link(a, b, Link::new(SECOND));
    world.run_for(9 * MS).unwrap();
    assert_eq!(app(&world, b).bytes(right), b"x");
}

#[test]
fn a_new_link_does_not_heal_a_cut_and_a_cut_does_not_keep_an_old_default() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    world.cut(a, b, ms(500));
    world.link_one_way(a, b, Link::new(20 * MS));
    world.default_link(Link::new(30 * MS));
    dial(&mut world, a, 2);
    world.run_for(10 * SECOND).unwrap();
    assert_eq!(app(&world, a).log.last().unwrap().0, ms(1_050));
}

/// Lets nothing in that was not asked for.
struct Firewall(Vec<(std::net::SocketAddr, std::net::SocketAddr)>);

impl Middlebox for Firewall {
    fn outbound(&mut self, _: Time, packet: Packet) -> Option<Packet> {
        self.0.push((packet.from, packet.to));
        Some(packet)
    }

    fn inbound(&mut self, _: Time, packet: Packet) -> Option<Packet> {
        self.0.contains(&(packet.to, packet.from)).then_some(packet)
    }
}

#[test]
fn a_middlebox_may_keep_packets() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    world.middlebox(b, Firewall(Vec::new()));
    dial(&mut world, a, 2);
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, a).told(), []);
    dial(&mut world, b, 1);
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, a).sockets().count(), 1, "answers come in");
}

/// Another address outside.
struct Translator {
    inside: std::net::IpAddr,
    outside: std::net::IpAddr,
}

impl Middlebox for Translator {
    fn outbound(&mut self, _: Time, mut packet: Packet) -> Option<Packet> {
        packet.from.set_ip(self.outside);
        Some(packet)
    }

    fn inbound(&mut self, _: Time, mut packet: Packet) -> Option<Packet> {
        packet.to.set_ip(self.inside);
        Some(packet)
    }
}

#[test]
fn a_middlebox_may_translate_addresses() {
    let mut world = World::new(1);
    let inside = "192.168.1.2".parse().unwrap();
    let a = world.add(App::default(), [inside]);
    let b = world.add(App::default(), [ipv4(2)]);
    world.middlebox(a, Translator { inside, outside: ipv4(1) });
    world.route(ipv4(1), a);
    world.run_for(Duration::ZERO).unwrap();
    dial(&mut world, a, 2);
    dial(&mut world, b, 1);
    world.run_for(SECOND).unwrap();
    let seen = app(&world, b).log.iter().find_map(|(_, input)| match input {
        Input::Accepted { remote, .. } => Some(remote.ip()),
        _ => None,
    });
    assert_eq!(seen, Some(ipv4(1)));
    assert_eq!((app(&world, a).sockets().count(), app(&world, b).sockets().count()), (2, 2));
}

#[test]
fn a_host_without_power_is_a_black_hole() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    world.power_off(b);
    dial(&mut world, a, 2);
    world.run_for(200 * SECOND).unwrap();
    assert!(matches!(app(&world, a).told()[..], [Input::ConnectFailed { error: ConnectFailure::TimedOut, .. }]));
}
