//! How long it takes until a circuit is a direct connection, counted in round trips, where machines take no time.
//!
//! ```text
//!  A                                   through the relay: R there and back                                     B
//!  circuit  0     --- the last of Noise, what A says of itself ------------------------------------->   R/2  circuit
//!           R     <-- CONNECT -----------------------------------------------------------------------   R/2  A is known
//!           R     --- CONNECT ---------------------------------------------------------------------->  3R/2
//!          2R     <-- SYNC --------------------------------------------------------------------------  3R/2
//!                                           directly: D there and back
//!          2R     --- SYN, crossed by the other's ---------------------------------------------------    2R  after R/2
//!       2R + D    --- proposals, the first of Noise -------------------------------------------------   2R + D
//!  direct 2R + 2D <-- the second of Noise ------------------------------------------------------------  2R + 3D/2
//!                 --- the last of Noise ------------------------------------------------------------->  2R + 5D/2 direct
//! ```
//! Each of these is one that the specs ask for: libp2p/specs relay/DCUtR.md, "The Protocol", and noise/README.md.

use crate::punching::{self, Place};
use crate::relays::{circuit, listen_at_relay};
use crate::town::{millis, of, peer, secs, tell};
use std::time::Duration;
use tidewire_core::Time;
use tidewire_host::Event;
use tidewire_host::solo::SoloConfig;
use tidewire_sim::nat::Nat;
use tidewire_sim::{HostId, Link, World, check};

/// The ways of one direction, in milliseconds: from A to the relay, from B to the relay, from A to B.
const WAYS: [[u64; 3]; 4] = [[50, 50, 40], [10, 90, 15], [120, 20, 100], [30, 30, 30]];

/// When the circuit to the `other` node stood at this one, and when the direct connection did.
fn stood(world: &World, id: HostId, other: u32) -> [Time; 2] {
    let upgraded = |(at, event): (Time, &Event)| match event {
        Event::Upgraded { peer: it, connection, .. } if *it == peer(other) => Some((at, *connection)),
        _ => None,
    };
    let all: Vec<_> = of(world, id).told().filter_map(upgraded).collect();
    let [(circuit, _), (direct, _)] = all[..] else { panic!("{id}: {all:?}") };
    [circuit, direct]
}

/// What passes between the circuit at A and the direct connection at A and at B, and the round trips R and D.
fn punched(world: &mut World, ways: [u64; 3], of_a: &Place, change: fn(&mut SoloConfig)) -> [Duration; 4] {
    let relay = punching::add_relay(world);
    let b = punching::add(world, 2, &home(), |_| {});
    let a = punching::add(world, 3, of_a, change);
    for ((one, other), way) in [(a, relay), (b, relay), (a, b)].into_iter().zip(ways) {
        world.link(one, other, Link::new(millis(way)));
    }
    for id in [a, b] {
        if let Some(gateway) = world.gateway_of(id) {
            world.lan(gateway, Link::new(Duration::ZERO));
        }
    }
    world.run_for(secs(2)).unwrap();
    listen_at_relay(world, b);
    tell(world, a, |node, now| node.connect(now, 7, peer(2), &[circuit(2)]));
    let direct = |world: &World| punching::directs(world, a, 2) == 1 && punching::directs(world, b, 3) == 1;
    assert!(world.run_while(secs(60), direct).unwrap(), "{:?}", punching::reports(world, b));
    let ([began, at_a], [_, at_b]) = (stood(world, a, 2), stood(world, b, 3));
    [at_a.since(began), at_b.since(began), millis(2 * (ways[0] + ways[1])), millis(2 * ways[2])]
}

fn home() -> Place {
    Place::Behind(Nat::home_router())
}

#[test]
fn a_circuit_becomes_direct_within_two_round_trips_of_the_relay_and_two_direct_ones() {
    for ways in WAYS {
        check(0..2, |world| {
            let [a, b, r, d] = punched(world, ways, &home(), |_| {});
            assert_eq!([a, b], [2 * r + 2 * d, 2 * r + 5 * d / 2], "{ways:?}");
            Ok(())
        });
    }
}

#[test]
fn with_a_dialer_that_has_to_be_asked_who_it_is_it_takes_one_more_of_the_relay() {
    for ways in WAYS {
        check(0..2, |world| {
            let [a, b, r, d] = punched(world, ways, &home(), |config| config.host.push = false);
            assert_eq!([a, b], [3 * r + 2 * d, 3 * r + 5 * d / 2], "{ways:?}");
            Ok(())
        });
    }
}

#[test]
fn a_public_dialer_is_dialed_as_soon_as_the_circuit_stands() {
    for ways in WAYS {
        check(0..2, |world| {
            let [a, b, r, d] = punched(world, ways, &Place::Open, |_| {});
            // Who was reached dials, and proposes: TCP, then Noise, whose last word goes to the other.
            assert_eq!([a, b], [r / 2 + 5 * d / 2, r / 2 + 2 * d], "{ways:?}");
            Ok(())
        });
    }
}
