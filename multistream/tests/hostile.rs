//! Remotes that mean harm: everything they can make us hold, say or do has a bound.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::std_instead_of_alloc, clippy::std_instead_of_core, clippy::cast_possible_truncation)]

mod common;

use bytes::BytesMut;
use common::*;
use tidewire_core::{Machine, Seed, Time};
use tidewire_multistream::{Config, Dialer, Error, List, ListenFirst, Listener, Protocols, SimultaneousOpen};

#[test]
fn retries_are_limited() {
    let mut side = Side::new(listener(&["/noise"]));
    side.feed(HEADER, 100);
    for _ in 0..64 {
        side.feed(&frame(b"/guess"), 100);
        assert_eq!(side.error, None);
    }
    assert_eq!(side.sent.len(), HEADER.len() + 64 * 4);
    side.feed(&frame(b"/guess"), 100);
    assert_eq!(side.error, Some(Error::TooManyRounds { limit: 64 }));
    assert_eq!(side.sent.len(), HEADER.len() + 64 * 4);
}

#[test]
fn asking_for_lists_counts_as_a_round() {
    let mut side = Side::new(listener(&["/noise"]));
    side.feed(&[HEADER.to_vec(), frame(b"ls").repeat(65)].concat(), 100);
    assert_eq!(side.error, Some(Error::TooManyRounds { limit: 64 }));
}

#[test]
fn a_flood_of_empty_frames_ends_at_the_first() {
    let flood = [HEADER, &[0; 10_000]].concat();
    let mut side = Side::new(listener(&["/noise"]));
    side.feed(&flood, 10_000);
    assert_eq!(side.error, Some(Error::EmptyFrame));
    let mut side = Side::new(dialer(&["/noise"]));
    side.feed(&flood, 10_000);
    assert_eq!(side.error, Some(Error::EmptyFrame));
}

#[test]
fn a_repeated_header_is_an_error_on_both_sides() {
    let twice = HEADER.repeat(2);
    let mut side = Side::new(listener(&["/noise"]));
    side.feed(&twice, 7);
    assert_eq!(side.error, Some(Error::RepeatedHeader));
    let mut side = Side::new(dialer(&["/noise"]));
    side.feed(&twice, 7);
    assert!(matches!(side.error, Some(Error::Unexpected { .. })), "{:?}", side.error);
}

#[test]
fn a_remote_that_never_reads_can_not_make_our_output_grow() {
    let served: Protocols = (0..1000).map(|i| name(&format!("/protocol/{i}"))).collect();
    let config = Config { max_rounds: usize::MAX, ..Config::default() };
    let mut side = Side::new(Listener::new(served, config));
    side.turn(Time::ZERO);
    side.rx.extend_from_slice(HEADER);
    for _ in 0..10_000 {
        side.rx.extend_from_slice(&frame(b"ls"));
        side.turn(Time::ZERO);
    }
    assert_eq!(side.error, None);
    assert!(side.tx.len() <= config.max_tx + config.max_list + 3, "{}", side.tx.len());
    assert!(side.rx.len() > 30_000, "the rest is not consumed");
}

#[test]
fn what_is_left_unread_over_the_cap_is_served_once_output_was_sent() {
    let config = Config { max_tx: 16, ..Config::default() };
    let mut side = Side::new(Listener::new(names(&["/b"]), config));
    let mut sent = Vec::new();
    side.rx.extend_from_slice(&flight(&["/x", "/y", "/z", "/b"]));
    while side.outputs.is_empty() {
        side.turn(Time::ZERO);
        assert!(side.tx.len() <= config.max_tx + 20);
        sent.extend_from_slice(&side.tx.split());
    }
    assert_eq!(sent, flight(&["na", "na", "na", "/b"]));
}

#[test]
fn a_length_over_the_limit_is_refused_before_its_body() {
    let mut side = Side::new(listener(&["/noise"]));
    side.feed(&[HEADER, b"\xff\xff\xff\xff\x0f"].concat(), 1);
    assert_eq!(side.error, Some(Error::FrameTooLong { len: u64::from(u32::MAX), max: 1024 }));
}

#[test]
fn a_limit_without_bound_does_not_overflow() {
    let config = Config { max_frame: usize::MAX, ..Config::default() };
    let mut side = Side::new(Listener::new(names(&["/noise"]), config));
    side.feed(&[HEADER, &[0xff; 8], b"\x7f\n"].concat(), 1);
    assert_eq!(side.error, None, "it waits for the rest");
}

/// Errors of every machine, reached in the ways that remotes have.
fn each_failed_machine(check: impl Fn(&mut dyn Failing)) {
    let list = names(&["/noise"]);
    let config = Config::default();
    let junk: [&[u8]; 4] = [b"\x00", b"\xff\xff\xff\x7f", b"\x02/x", b"\x05/bad\n"];
    for junk in junk {
        for header in [b"".as_slice(), HEADER] {
            let bytes = [header, junk].concat();
            check(&mut fail(Dialer::new(list.clone(), config), &bytes));
            check(&mut fail(Dialer::lazy(name("/noise"), config), &bytes));
            check(&mut fail(List::new(config), &bytes));
            check(&mut fail(SimultaneousOpen::new(list.clone(), &Seed::new([1; 32]), config), &bytes));
            if junk[0] != 5 {
                check(&mut fail(Listener::new(list.clone(), config), &bytes));
                check(&mut fail(ListenFirst::new(list.clone(), Time::from_millis(9), config), &bytes));
            }
        }
    }
}

trait Failing {
    fn poll(&mut self, more: &[u8], end: bool) -> Option<Error>;
    fn tx(&self) -> usize;
    fn deadline(&self) -> Time;
    fn memory(&self) -> usize;
}

impl<M: Machine<Error = Error>> Failing for Side<M> {
    fn poll(&mut self, more: &[u8], end: bool) -> Option<Error> {
        self.rx = BytesMut::from(more);
        let now = Time::from_millis(1);
        let (rx, tx) = (&mut self.rx, &mut self.tx);
        let result = self.machine.advance_or_end(now, rx, tx, end);
        assert_eq!(self.rx.len(), more.len());
        result.err()
    }

    fn tx(&self) -> usize {
        self.tx.len()
    }

    fn deadline(&self) -> Time {
        self.machine.deadline()
    }

    fn memory(&self) -> usize {
        self.machine.memory_used()
    }
}

fn fail<M: Machine<Error = Error>>(machine: M, bytes: &[u8]) -> Side<M> {
    let mut side = Side::new(machine);
    side.turn(Time::ZERO);
    side.feed(bytes, 1000);
    assert!(side.error.is_some(), "{} did not fail", bytes.escape_ascii());
    side
}

#[test]
fn polling_after_an_error_gives_the_same_error_and_moves_nothing() {
    each_failed_machine(|side| {
        let first = side.poll(b"", false);
        assert!(first.is_some());
        for (more, end) in [(&b""[..], true), (HEADER, false), (b"\x07/noise\n", true), (b"\x03na\n", false)] {
            assert_eq!(side.poll(more, end), first);
        }
        assert_eq!(side.tx(), 0);
        assert_eq!(side.deadline(), Time::NEVER);
        assert!(side.memory() <= 1024, "an error quotes little: {}", side.memory());
    });
}

#[test]
fn at_the_end_of_the_input_everything_is_answered_however_full_the_output_is() {
    let config = Config { max_tx: 0, ..Config::default() };
    let mut b = Side::new(Listener::new(names(&["/b"]), config));
    b.tx.extend_from_slice(b"unsent");
    b.rx.extend_from_slice(&flight(&["/x", "/b"]));
    b.turn(Time::ZERO);
    assert!(b.outputs.is_empty(), "over the cap nothing is consumed");
    b.heard_end = true;
    b.turn(Time::ZERO);
    assert_eq!((b.outputs.len(), &b.tx[6..]), (1, &flight(&["na", "/b"])[..]));

    let mut a = Side::new(Dialer::new(names(&["/a", "/b"]), config));
    a.turn(Time::ZERO);
    a.rx.extend_from_slice(&flight(&["na", "/b"]));
    a.turn(Time::ZERO);
    assert_eq!((a.outputs.len(), a.rx.len()), (0, 8), "the next proposal waits for room");
    a.heard_end = true;
    a.turn(Time::ZERO);
    assert_eq!((a.outputs.len(), a.rx.len()), (1, 0));
}
