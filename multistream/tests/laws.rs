//! Every machine, through the checker of the laws.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::std_instead_of_alloc, clippy::std_instead_of_core, clippy::cast_possible_truncation)]

mod common;

use common::*;
use core::time::Duration;
use std::sync::Arc;
use tidewire_core::laws::{Limits, Once, Step, check_bytes};
use tidewire_core::{Machine, Seed, Time};
use tidewire_multistream::{
    Config, Dialer, Error, List, ListenFirst, Listener, Matcher, RouteId, Router, SimultaneousOpen,
};

/// What a machine of this crate may hold: two excerpts in an error, and `max_tx` and one answer in `tx`.
const LIMITS: Limits = Limits { memory: 1024, tx: 16 * 1024 + 16_383 + 3, places: 256, may_merge: false };

fn keeps<M: Machine<Error = Error, Output: core::fmt::Debug>>(make: impl Fn() -> M, script: &[Step]) {
    let report = check_bytes(&Once(make), script, LIMITS).unwrap_or_else(|broken| panic!("{broken}"));
    assert!(report.runs > 20);
}

/// A machine whose last output is the second: the role is told before.
struct Twice<F>(F);

impl<F, M> tidewire_core::laws::ByteSubject for Twice<F>
where
    F: Fn() -> M,
    M: Machine<Error = Error, Output = tidewire_multistream::RoleEvent>,
{
    type Machine = M;

    fn machine(&self) -> M {
        (self.0)()
    }

    fn on_output(
        &self,
        app: tidewire_core::laws::App<'_, M>,
        output: tidewire_multistream::RoleEvent,
    ) -> core::ops::ControlFlow<()> {
        let last = matches!(output, tidewire_multistream::RoleEvent::Agreed { .. });
        app.seen.note(output);
        if last { core::ops::ControlFlow::Break(()) } else { core::ops::ControlFlow::Continue(()) }
    }
}

fn keeps_with_roles<M>(make: impl Fn() -> M, script: &[Step])
where
    M: Machine<Error = Error, Output = tidewire_multistream::RoleEvent>,
{
    check_bytes(&Twice(make), script, LIMITS).unwrap_or_else(|broken| panic!("{broken}"));
}

fn waits(script: &[Step], time: Duration) -> Vec<Step> {
    script.iter().cloned().chain([Step::Wait(time)]).collect()
}

#[test]
fn the_dialer_keeps_the_laws() {
    let script = [
        Step::bytes(HEADER),
        Step::Wait(Duration::from_secs(1)),
        Step::bytes(frame(b"na")),
        Step::Wait(Duration::from_secs(1)),
        Step::bytes([frame(b"/b"), b"what follows".to_vec()].concat()),
    ];
    keeps(|| dialer(&["/a", "/b"]), &script);
    keeps(|| Dialer::lazy(name("/b"), Config::default()), &[Step::bytes(flight(&["/b"]))]);
    keeps(|| dialer(&["/a", "/b"]), &waits(&script[..3], Duration::from_secs(20)));
    keeps(|| Dialer::resume(names(&["/a", "/b"]), Config::default()), &[Step::bytes(frame(b"/a"))]);
}

#[test]
fn the_listener_keeps_the_laws() {
    let script = [
        Step::bytes(flight(&["/x"])),
        Step::Wait(Duration::from_secs(1)),
        Step::bytes(frame(b"ls")),
        Step::bytes([frame(b"/b"), b"what follows".to_vec()].concat()),
    ];
    keeps(|| listener(&["/a", "/b"]), &script);
    keeps(|| listener(&["/a", "/b"]), &waits(&script[..2], Duration::from_secs(20)));
    let eager = Config { eager_header: true, max_tx: 8, ..Config::default() };
    keeps(|| Listener::new(names(&["/b"]), eager), &script);

    let mut router = Router::new();
    router.add(name("/b"), Matcher::Prefix, RouteId::new(1)).unwrap();
    let router = Arc::new(router);
    keeps(|| Listener::routed(router.clone(), Config::default()), &script);
}

#[test]
fn the_list_keeps_the_laws() {
    let answer = [HEADER, b"\x0a\x03/a\n\x04/bc\n\n and more"].concat();
    keeps(|| List::new(Config::default()), &[Step::bytes(answer), Step::Wait(Duration::from_secs(20))]);
}

#[test]
fn simultaneous_open_keeps_the_laws() {
    let make = || SimultaneousOpen::new(names(&["/a", "/b"]), &Seed::new([3; 32]), Config::default());
    let both = "/libp2p/simultaneous-connect";
    let plain = flight(&["na", "na", "/b"]);
    let lower = flight(&[both, "/a", "select:0", "responder", "na", "/b"]);
    let higher = flight(&[both, "/b", "select:18446744073709551615", "initiator", "/x", "/b"]);
    for bytes in [plain, lower, higher] {
        keeps_with_roles(make, &[Step::bytes([bytes, b"what follows".to_vec()].concat())]);
    }
    keeps_with_roles(make, &[Step::bytes(flight(&[both])), Step::Wait(Duration::from_secs(20))]);
}

#[test]
fn listening_first_keeps_the_laws() {
    let until = Time::from_millis(300);
    let plain = || ListenFirst::new(names(&["/a", "/b"]), until, Config::default());
    let lots = || ListenFirst::with_tie_break(names(&["/a", "/b"]), until, &Seed::new([3; 32]), Config::default());
    let (short, long) = (Step::Wait(Duration::from_millis(100)), Step::Wait(Duration::from_secs(1)));
    let both = "/libp2p/simultaneous-connect";

    let proposed_to = [short.clone(), Step::bytes(flight(&["/x", "/b"])), Step::bytes(b"what follows")];
    keeps_with_roles(plain, &proposed_to);
    keeps_with_roles(lots, &proposed_to);
    let proposing = [Step::bytes(HEADER), long.clone(), Step::bytes([frame(b"na"), frame(b"/b")].concat())];
    keeps_with_roles(plain, &proposing);
    let late_header = [long.clone(), Step::bytes(flight(&["/a"]))];
    keeps_with_roles(plain, &late_header);
    let crossing = [long.clone(), Step::bytes(flight(&[both, "/a", "select:0", "responder", "/a"]))];
    keeps_with_roles(lots, &crossing);
    keeps_with_roles(lots, &[Step::bytes(HEADER), long.clone(), Step::bytes(frame(b"na")), Step::bytes(frame(b"/a"))]);
    keeps_with_roles(plain, &[Step::bytes([HEADER, b"\x03"].concat()), long, Step::Wait(Duration::from_secs(20))]);
}
