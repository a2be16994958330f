//! How much a NAT remembers.

use crate::support::*;
use tidewire_core::Time;
use tidewire_sim::nat::{Caps, Filtering, Mapping, Nat, Ports, Translator, Verdict};
use tidewire_sim::packet::{Packet, Protocol};
use tidewire_sim::trace::DropReason;

fn outward(nat: &mut Translator, now: Time, packet: Packet) -> Option<DropReason> {
    match nat.outward(now, packet) {
        Verdict::Passed(..) => None,
        Verdict::Dropped { why, .. } => Some(why),
    }
}

#[test]
fn a_nat_has_no_more_mappings_than_it_may_until_one_ends() {
    let mut nat = at_1(Nat { caps: Caps { max_mappings: 3, ..Caps::default() }, ..Nat::default() });
    for port in 0..3 {
        assert_eq!(outward(&mut nat, T0, udp(inside(5_000 + port), remote(9, 80))), None);
    }
    assert_eq!(outward(&mut nat, T0, udp(inside(5_003), remote(9, 80))), Some(DropReason::NatFull));
    assert_eq!(outward(&mut nat, T0, udp(inside(5_001), remote(8, 80))), None, "an old one serves");
    assert_eq!(outward(&mut nat, T0 + 5 * MINUTE, udp(inside(5_003), remote(9, 80))), None);
}

/// RFC 6888 REQ-4: a limit for each subscriber.
#[test]
fn one_host_can_not_take_all() {
    let mut nat = at_1(Nat { caps: Caps { max_mappings_per_host: 2, ..Caps::default() }, ..Nat::default() });
    for port in 0..2 {
        assert_eq!(outward(&mut nat, T0, udp(inside(5_000 + port), remote(9, 80))), None);
    }
    assert_eq!(outward(&mut nat, T0, udp(inside(5_002), remote(9, 80))), Some(DropReason::NatFull));
    assert_eq!(outward(&mut nat, T0, udp((private(3), 5_002).into(), remote(9, 80))), None);
    let full = nat.forward(T0, Protocol::Tcp, inside(1), 1).unwrap_err();
    assert_eq!(full.to_string(), "the NAT has no room for another forward");
}

#[test]
fn a_session_too_many_is_dropped_and_leaves_no_mapping() {
    let caps = Caps { max_sessions: 2, ..Caps::default() };
    let mut nat = at_1(Nat { caps, filtering: Filtering::EndpointIndependent, ..Nat::default() });
    for n in 0..2 {
        assert_eq!(outward(&mut nat, T0, udp(inside(5_000), remote(9, 80 + n))), None);
    }
    assert_eq!(outward(&mut nat, T0, udp(inside(5_001), remote(9, 80))), Some(DropReason::NatFull));
    assert_eq!(into(&mut nat, T0, udp(remote(7, 7), remote(1, 5_000))), Err(DropReason::NatFull));
    assert_eq!(nat.mappings(T0).count(), 1);
    assert_eq!(outward(&mut nat, T0 + 5 * MINUTE, udp(inside(5_001), remote(9, 80))), None);
}

#[test]
fn syns_to_be_answered_later_are_held_up_to_a_number() {
    let mut nat = at_1(Nat { caps: Caps { max_held: 2, ..Caps::default() }, ..Nat::default() });
    for n in 0..5 {
        nat.inward(T0, tcp(remote(9, 80 + n), remote(1, 5_000), SYN));
    }
    assert_eq!(core::iter::from_fn(|| nat.on_timeout(T0 + 6 * SECOND)).count(), 2);
}

#[test]
fn a_nat_whose_ports_are_all_taken_says_so() {
    for ports in [Ports::Preserving, Ports::Random, Ports::Sequential { delta: 7 }, Ports::Overloading] {
        let mut nat = at_1(Nat { ports, parity: false, mapping: Mapping::AddressAndPortDependent, ..Nat::default() });
        for host in 2..=4u8 {
            for port in 1..=341 {
                assert_eq!(outward(&mut nat, T0, udp((private(host), port).into(), remote(9, 80))), None, "{ports:?}");
            }
        }
        let one_more = udp((private(9), 1).into(), remote(9, 80));
        assert_eq!(outward(&mut nat, T0, one_more), Some(DropReason::NoPortLeft), "{ports:?}");
        let elsewhere = outward(&mut nat, T0, udp((private(9), 1).into(), remote(8, 80)));
        assert_eq!(elsewhere, (ports != Ports::Overloading).then_some(DropReason::NoPortLeft));
    }
}

#[test]
fn a_mapping_that_is_kept_for_long_does_not_remember_all_whom_it_met() {
    let mut nat = at_1(Nat { caps: Caps { max_sessions: 100, ..Caps::default() }, ..Nat::default() });
    for n in 0..10_000u32 {
        let now = T0 + n * 10 * SECOND;
        assert_eq!(outward(&mut nat, now, udp(inside(5_000), remote(n + 10, 80))), None);
    }
    let now = T0 + 9_999 * 10 * SECOND;
    assert_eq!(nat.mappings(now).next().unwrap().remotes.len(), 30);
}
