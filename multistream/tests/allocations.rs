//! A negotiation that succeeds allocates nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::std_instead_of_alloc, clippy::std_instead_of_core, clippy::cast_possible_truncation)]

mod common;

use bytes::BytesMut;
use common::*;
use std::sync::Arc;
use tidewire_core::{Machine, Role, Seed, Time};
use tidewire_multistream::{
    Config, Dialer, ListenFirst, Listener, Matcher, Protocol, Protocols, RoleEvent, RouteId, Router, SimultaneousOpen,
};

/// Allocations of a negotiation from the making of both machines on. The buffers are there before.
fn allocations<A: Machine, B: Machine>(
    a: impl Fn() -> A,
    b: impl Fn() -> B,
    last_of_a: impl Fn(&A::Output) -> bool,
    last_of_b: impl Fn(&B::Output) -> bool,
) -> u64 {
    let (mut to_a, mut to_b) = (BytesMut::with_capacity(4096), BytesMut::with_capacity(4096));
    let info = allocation_counter::measure(|| {
        let (mut a, mut b) = (a(), b());
        let (mut done_a, mut done_b) = (false, false);
        for _ in 0..100 {
            while let Some(output) = a.advance(Time::ZERO, &mut to_a, &mut to_b).unwrap_or_else(|_| panic!("a failed"))
            {
                done_a |= last_of_a(&output);
            }
            while let Some(output) = b.advance(Time::ZERO, &mut to_b, &mut to_a).unwrap_or_else(|_| panic!("b failed"))
            {
                done_b |= last_of_b(&output);
            }
        }
        assert!(done_a && done_b, "no agreement");
        assert!(to_a.is_empty() && to_b.is_empty());
    });
    info.count_total
}

fn ten() -> Protocols {
    (0..10).map(|i| name(&format!("/a/protocol/with/a/name/on/the/heap/{i}"))).collect()
}

#[test]
fn the_counter_counts() {
    let info = allocation_counter::measure(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(info.count_total, 1);
}

#[test]
fn the_first_proposal_allocates_nothing() {
    static NOISE: [Protocol; 1] = [Protocol::from_static("/noise")];
    let list = Protocols::from_static(&NOISE);
    let config = Config::default();
    let count =
        allocations(|| Dialer::new(list.clone(), config), || Listener::new(list.clone(), config), |_| true, |_| true);
    assert_eq!(count, 0);
}

#[test]
fn the_tenth_proposal_allocates_nothing() {
    let (proposals, served) = (ten(), Protocols::from(ten()[9].clone()));
    let config = Config::default();
    let count = allocations(
        || Dialer::new(proposals.clone(), config),
        || Listener::new(served.clone(), config),
        |agreed| agreed.index == 9,
        |_| true,
    );
    assert_eq!(count, 0);
}

#[test]
fn lazy_selection_over_a_router_allocates_nothing() {
    let list = ten();
    let mut router = Router::new();
    for (i, name) in (0..).zip(&list) {
        router.add(name.clone(), Matcher::Exact, RouteId::new(i)).unwrap();
    }
    let router = Arc::new(router);
    let config = Config::default();
    let count = allocations(
        || Dialer::lazy(list[7].clone(), config),
        || Listener::routed(router.clone(), config),
        |_| true,
        |accepted| accepted.route == RouteId::new(7),
    );
    assert_eq!(count, 0);
}

#[test]
fn finding_the_roles_allocates_nothing() {
    let list = ten();
    let config = Config::default();
    let [one, two] = [1, 2].map(|byte| Seed::new([byte; 32]));
    let agreed = |event: &RoleEvent| matches!(event, RoleEvent::Agreed { .. });
    let simultaneous = |seed: Seed| {
        let list = list.clone();
        move || SimultaneousOpen::new(list.clone(), &seed, config)
    };
    assert_eq!(allocations(simultaneous(one.clone()), simultaneous(two.clone()), agreed, agreed), 0);
    let first = |until: Time, seed: Seed| {
        let list = list.clone();
        move || ListenFirst::with_tie_break(list.clone(), until, &seed, config)
    };
    assert_eq!(allocations(first(Time::ZERO, one.clone()), first(Time::NEVER, two.clone()), agreed, agreed), 0);
    let initiates = |event: &RoleEvent| matches!(event, RoleEvent::Agreed { role: Role::Initiator, .. });
    let responds = |event: &RoleEvent| matches!(event, RoleEvent::Agreed { role: Role::Responder, .. });
    assert_eq!(allocations(first(Time::ZERO, one), first(Time::NEVER, two), initiates, responds), 0);
}
