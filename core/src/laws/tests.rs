//! The checker is worth something only if it finds what is wrong: one machine for each law, broken on purpose.

use super::*;
use crate::{EventMachine, Machine, Time};
use alloc::vec;
use bytes::{Buf, BufMut, BytesMut};
use core::cell::Cell;

/// What a [`Counter`] does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    HiddenState(u8),
    PeeksBehind,
    SpeaksEarly,
    StaleDeadline,
    ForgetsError,
    SwallowsAfterError,
    CountsCalls,
    Hoards,
    Floods,
    NeverEnds,
}

/// Sums pairs of bytes and answers each pair with its sum; `0xff` is forbidden; after 5 s of silence says `!`.
#[derive(Debug)]
struct Counter {
    fault: Fault,
    deadline: Time,
    failed: bool,
    calls: u8,
}

impl Machine for Counter {
    type Output = u16;
    type Error = &'static str;

    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<u16>, &'static str> {
        self.calls = self.calls.wrapping_add(1);
        if self.failed && self.fault != Fault::ForgetsError {
            if self.fault == Fault::SwallowsAfterError {
                rx.clear();
            }
            return Err("0xff is forbidden");
        }
        if self.deadline == Time::ZERO {
            self.deadline = now + Duration::from_secs(5);
        }
        let lead = Duration::from_secs(u64::from(self.fault == Fault::SpeaksEarly));
        if now + lead >= self.deadline {
            tx.put_u8(b'!');
            self.deadline = now + Duration::from_secs(5 * u64::from(self.fault != Fault::StaleDeadline));
        }
        if tx.len() > 8 && self.fault != Fault::Floods {
            return Ok(None);
        }
        if self.fault == Fault::NeverEnds {
            return Ok(Some(0));
        }
        if rx.len() < 2 {
            return Ok(None);
        }
        if rx[..2].contains(&0xff) {
            self.failed = true;
            return Err("0xff is forbidden");
        }
        let mut sum = u16::from(rx.get_u8()) + u16::from(rx.get_u8());
        match self.fault {
            Fault::HiddenState(extra) => sum += u16::from(extra),
            Fault::PeeksBehind => sum += u16::try_from(rx.len()).unwrap(),
            Fault::CountsCalls => sum += u16::from(self.calls),
            _ => {}
        }
        tx.put_u16(sum);
        Ok(Some(sum))
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<u16>, &'static str> {
        match self.advance(now, rx, tx)? {
            None if !rx.is_empty() => {
                self.failed = true;
                Err("0xff is forbidden")
            }
            other => Ok(other),
        }
    }

    fn deadline(&self) -> Time {
        self.deadline
    }

    fn memory_used(&self) -> usize {
        if self.fault == Fault::Hoards { 1 << 20 } else { 0 }
    }
}

fn verdict(fault: Fault) -> Option<u8> {
    let runs = Cell::new(0);
    let subject = Many(|| {
        runs.set(runs.get() + 1u8);
        let fault = if let Fault::HiddenState(_) = fault { Fault::HiddenState(runs.get()) } else { fault };
        let mut counter = Counter { fault, deadline: Time::ZERO, failed: false, calls: 0 };
        counter.deadline = Time::ZERO + Duration::from_secs(5);
        counter
    });
    let script = [Step::bytes([1, 2, 3, 4, 5]), Step::Wait(Duration::from_secs(7)), Step::bytes([6, 7, 8, 9, 10, 11])];
    let limits = Limits { tx: 10, ..Limits::default() };
    check_bytes(&subject, &script, limits).err().map(|violation| violation.law)
}

struct Many<F>(F);

impl<F: Fn() -> Counter> ByteSubject for Many<F> {
    type Machine = Counter;
    fn machine(&self) -> Counter {
        (self.0)()
    }
}

#[test]
fn a_lawful_byte_machine_passes() {
    assert_eq!(verdict(Fault::Nothing), None);
}

#[test]
fn each_broken_byte_machine_is_found_under_its_law() {
    let table = [
        (Fault::HiddenState(0), 1),
        (Fault::PeeksBehind, 7),
        (Fault::CountsCalls, 7),
        (Fault::SpeaksEarly, 3),
        (Fault::StaleDeadline, 3),
        (Fault::ForgetsError, 5),
        (Fault::SwallowsAfterError, 5),
        (Fault::Hoards, 6),
        (Fault::Floods, 6),
        (Fault::NeverEnds, 6),
    ];
    for (fault, law) in table {
        assert_eq!(verdict(fault), Some(law), "{fault:?}");
    }
}

/// Answers each byte with itself, tells nobody, and takes no more when `max_tx` bytes wait.
struct Echo {
    max_tx: usize,
    /// Never goes on after it once stopped.
    loses_wake_up: bool,
    stopped: bool,
}

impl Machine for Echo {
    type Output = ();
    type Error = &'static str;

    fn advance(&mut self, _: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<()>, &'static str> {
        if self.loses_wake_up && self.stopped {
            return Ok(None);
        }
        let len = rx.len().min(self.max_tx.saturating_sub(tx.len()));
        tx.put_slice(&rx.split_to(len));
        self.stopped = !rx.is_empty();
        Ok(None)
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<()>, &'static str> {
        self.advance(now, rx, tx)
    }

    fn memory_used(&self) -> usize {
        0
    }
}

fn flooded(loses_wake_up: bool) -> Option<u8> {
    let subject = Once(|| Echo { max_tx: 8, loses_wake_up, stopped: false });
    let limits = Limits { tx: 8, ..Limits::default() };
    check_bytes(&subject, &[Step::bytes([7; 100])], limits).err().map(|violation| violation.law)
}

#[test]
fn a_machine_that_stops_at_its_cap_and_goes_on_when_tx_was_sent_passes() {
    assert_eq!(flooded(false), None);
}

#[test]
fn a_machine_that_stops_at_its_cap_for_good_is_found() {
    assert_eq!(flooded(true), Some(7));
}

/// Echoes each number a second later; what it does wrong.
#[derive(Default)]
struct Delayed {
    fault: &'static str,
    waiting: Vec<(Time, u32)>,
    ready: Vec<u32>,
}

impl EventMachine for Delayed {
    type Input<'a> = u32;
    type Action = u32;
    type Misuse = &'static str;

    fn handle(&mut self, now: Time, input: u32) -> Result<(), &'static str> {
        if self.fault == "last wins" {
            self.ready.clear();
        }
        if self.fault == "at once" {
            self.ready.push(input);
            return Ok(());
        }
        self.waiting.push((now + Duration::from_secs(1), input));
        Ok(())
    }

    fn on_timeout(&mut self, now: Time) {
        let early = if self.fault == "early" { Duration::from_millis(1) } else { Duration::ZERO };
        while let Some((at, input)) = self.waiting.first().copied()
            && (at <= now + early || self.fault == "last wins")
        {
            self.waiting.remove(0);
            self.ready.push(input);
        }
    }

    fn poll(&mut self) -> Option<u32> {
        if self.fault == "endless" {
            return Some(1);
        }
        if self.ready.is_empty() { None } else { Some(self.ready.remove(0)) }
    }

    fn deadline(&self) -> Time {
        if self.fault == "stale" {
            return Time::from_millis(500);
        }
        self.waiting.first().map_or(Time::NEVER, |(at, _)| *at)
    }

    fn memory_used(&self) -> usize {
        self.waiting.capacity() * 16 + self.ready.capacity() * 4
    }
}

struct World(&'static str);

impl EventSubject for World {
    type Machine = Delayed;
    type Input = u32;
    fn machine(&self) -> Delayed {
        Delayed { fault: self.0, ..Delayed::default() }
    }
    fn apply(&self, machine: &mut Delayed, now: Time, input: &u32) -> Result<(), &'static str> {
        machine.handle(now, *input)
    }
}

fn event_verdict(fault: &'static str) -> Option<u8> {
    let script = vec![Step::Input(1), Step::Input(2), Step::Wait(Duration::from_secs(3)), Step::Input(3)];
    check_events(&World(fault), &script, Limits::default()).err().map(|violation| violation.law)
}

#[test]
fn a_lawful_event_machine_passes() {
    assert_eq!(event_verdict(""), None);
    assert_eq!(event_verdict("at once"), None);
}

#[test]
fn each_broken_event_machine_is_found_under_its_law() {
    for (fault, law) in [("early", 3), ("stale", 3), ("endless", 6), ("last wins", 3)] {
        assert_eq!(event_verdict(fault), Some(law), "{fault}");
    }
}

#[test]
fn places_cover_both_ends() {
    assert_eq!(places(0, 8).collect::<Vec<_>>(), []);
    assert_eq!(places(1, 8).collect::<Vec<_>>(), [0]);
    assert_eq!(places(3, 8).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(places(100, 3).collect::<Vec<_>>(), [0, 49, 99]);
}
