//! Datagrams.

use crate::support::*;
use bytes::Bytes;
use std::net::SocketAddr;
use tidewire_sim::{HostId, Input, Link, OsError, UdpId, World, ipv4};

const UDP: u16 = 5000;

fn bound(link: Link) -> (World, (HostId, UdpId), (HostId, UdpId)) {
    let (mut world, a, b) = two(link);
    let [left, right] = [a, b].map(|id| act(&mut world, id, |_, os| os.bind_udp(any(UDP)).unwrap().0));
    (world, (a, left), (b, right))
}

fn to(n: u32) -> SocketAddr {
    SocketAddr::new(ipv4(n), UDP)
}

fn datagrams(world: &World, id: HostId) -> Vec<(u64, SocketAddr, Bytes)> {
    let datagram = |(at, input): &(tidewire_core::Time, Input)| match input {
        Input::Datagram { from, bytes, .. } => Some((at.as_nanos(), *from, bytes.clone())),
        _ => None,
    };
    app(world, id).log.iter().filter_map(datagram).collect()
}

#[test]
fn a_datagram_arrives_whole_after_the_latency() {
    let (mut world, (a, left), (b, right)) = bound(Link::new(10 * MS));
    act(&mut world, a, |_, os| os.send_to(left, to(2), pattern(1_000)).unwrap());
    world.run_for(SECOND).unwrap();
    assert_eq!(datagrams(&world, b), [(10_000_000, to(1), pattern(1_000))]);
    let expected = Input::Datagram { socket: right, from: to(1), to: to(2), bytes: pattern(1_000) };
    assert_eq!(app(&world, b).told(), [expected]);
}

#[test]
fn jitter_lets_datagrams_overtake_each_other() {
    let (mut world, (a, left), (b, _)) = bound(Link::new(10 * MS).jitter(10 * MS));
    act(&mut world, a, |_, os| (0..50u8).for_each(|i| os.send_to(left, to(2), Bytes::from(vec![i])).unwrap()));
    world.run_for(SECOND).unwrap();
    let mut order: Vec<u8> = datagrams(&world, b).iter().map(|(_, _, bytes)| bytes[0]).collect();
    assert!(!order.is_sorted());
    order.sort_unstable();
    assert_eq!(order, (0..50).collect::<Vec<u8>>());
}

#[test]
fn loss_loses_its_part_and_nobody_is_told() {
    let (mut world, (a, left), (b, _)) = bound(Link::new(10 * MS).loss(0.25));
    for _ in 0..100 {
        act(&mut world, a, |_, os| (0..10u8).for_each(|i| os.send_to(left, to(2), Bytes::from(vec![i])).unwrap()));
        world.run_for(SECOND).unwrap();
    }
    let got = datagrams(&world, b).len();
    assert!((700..800).contains(&got), "{got}");
    assert_eq!(app(&world, a).told(), []);
    assert_eq!(world.stats().dropped, 1_000 - got as u64);
}

#[test]
fn what_is_larger_than_the_mtu_is_lost_and_what_no_datagram_can_hold_is_refused() {
    let (mut world, (a, left), (b, _)) = bound(Link::new(10 * MS).mtu(1_280));
    act(&mut world, a, |_, os| {
        os.send_to(left, to(2), pattern(1_252)).unwrap();
        os.send_to(left, to(2), pattern(1_253)).unwrap();
        assert_eq!(os.send_to(left, to(2), pattern(65_508)), Err(OsError::MessageTooLong));
    });
    world.run_for(SECOND).unwrap();
    assert_eq!(datagrams(&world, b).len(), 1);
}

#[test]
fn a_datagram_for_a_port_that_nobody_has_bound_is_lost() {
    let (mut world, (a, left), (b, right)) = bound(Link::new(10 * MS));
    act(&mut world, b, |_, os| os.unbind_udp(right));
    act(&mut world, a, |_, os| os.send_to(left, to(2), pattern(1)).unwrap());
    assert!(world.run_to_rest(SECOND).unwrap());
    assert_eq!((datagrams(&world, b).len(), world.stats().dropped), (0, 1));
    assert_eq!(act(&mut world, b, |_, os| os.send_to(right, to(1), pattern(1))), Err(OsError::NoSuchSocket));
}

#[test]
fn a_port_is_bound_once_and_port_zero_is_any_free_one() {
    let (mut world, (a, _), _) = bound(Link::default());
    act(&mut world, a, |_, os| {
        assert_eq!(os.bind_udp(to(1)), Err(OsError::AddressInUse));
        let (_, at) = os.bind_udp(any(0)).unwrap();
        assert!(at.port() >= 32_768);
        os.bind_udp((v6(1), 1).into()).unwrap_err();
    });
}

#[test]
fn a_socket_bound_to_one_address_is_preferred_and_families_do_not_mix() {
    let mut world = World::new(1);
    let a = world.add(App::default(), [ipv4(1), v6(1)]);
    world.run_for(MS).unwrap();
    act(&mut world, a, |_, os| {
        let (four, _) = os.bind_udp(any(UDP)).unwrap();
        let (six, _) = os.bind_udp("[::]:5000".parse().unwrap()).unwrap();
        assert_eq!(os.send_to(four, (v6(1), UDP).into(), pattern(1)), Err(OsError::InvalidAddress));
        os.send_to(six, (v6(1), UDP).into(), pattern(6)).unwrap();
        os.send_to(four, to(1), pattern(4)).unwrap();
    });
    world.run_for(MS).unwrap();
    let lens: Vec<usize> = datagrams(&world, a).iter().map(|(_, _, bytes)| bytes.len()).collect();
    assert_eq!(lens, [6, 4]);
}
