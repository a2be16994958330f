//! Running byte machines through the laws.

use super::{Limits, Report, Step, Transcript, Violation, broken, difference, places};
use crate::{Machine, Time};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use bytes::BytesMut;
use core::fmt::Debug;
use core::ops::ControlFlow;
use core::time::Duration;

/// Where the application acts on a machine: its calls may append to `tx`, and what it sees goes to `seen`.
#[derive(Debug)]
pub struct App<'a, M> {
    /// The machine.
    pub machine: &'a mut M,
    /// The present.
    pub now: Time,
    /// What goes to the remote.
    pub tx: &'a mut BytesMut,
    /// What must be the same in every run.
    pub seen: &'a mut Transcript,
}

/// Makes fresh machines, and plays the application that sits on them.
pub trait ByteSubject {
    /// The machine under test.
    type Machine: Machine<Output: Debug, Error: Debug + PartialEq>;

    /// A fresh machine: always the same one.
    fn machine(&self) -> Self::Machine;

    /// What the application does before anything arrives.
    fn start(&self, app: App<'_, Self::Machine>) {
        let _ = app;
    }

    /// What the application does with an output. `Break`: the machine is done, and is not called again.
    fn on_output(&self, app: App<'_, Self::Machine>, output: <Self::Machine as Machine>::Output) -> ControlFlow<()> {
        app.seen.note(output);
        ControlFlow::Continue(())
    }

    /// What the application does at the end of the script: read what is still unread, say.
    fn settle(&self, app: App<'_, Self::Machine>) {
        let _ = app;
    }
}

/// The subject of a machine that gives one output and is done: a negotiation, a handshake.
#[derive(Clone, Copy, Debug)]
pub struct Once<F>(
    /// Makes a fresh machine.
    pub F,
);

impl<F, M> ByteSubject for Once<F>
where
    F: Fn() -> M,
    M: Machine<Output: Debug, Error: Debug + PartialEq>,
{
    type Machine = M;

    fn machine(&self) -> M {
        (self.0)()
    }

    fn on_output(&self, app: App<'_, M>, output: M::Output) -> ControlFlow<()> {
        app.seen.note(output);
        ControlFlow::Break(())
    }
}

/// Runs a byte machine through the laws, with `script` as what it meets.
///
/// # Errors
/// The first law that was broken, and how. A panic inside the machine (law 4) is not caught.
pub fn check_bytes<S: ByteSubject>(subject: &S, script: &[Step], limits: Limits) -> Result<Report, Violation> {
    let checker = Checker { subject, limits };
    let mut report = Report::default();
    let reference = checker.run(script, &mut report, &Manner::default())?;

    let same = |law: u8, how: &str, got: &Outcome<S>| compare::<S>(law, how, &reference, got);
    same(1, "run a second time", &checker.run(script, &mut report, &Manner::default())?)?;
    for size in [1, 2, 3, 5, 7, 11, 13, 64, 1000] {
        let cut = chunked(script, size);
        let got = checker.run(&cut, &mut report, &Manner::default())?;
        same(7, &format!("cut into pieces of {size} bytes"), &got)?;
    }
    let total: usize = script.iter().map(input_len).sum();
    for at in places(total.saturating_sub(1), limits.places) {
        let got = checker.run(&cut_at(script, at + 1), &mut report, &Manner::default())?;
        same(7, &format!("cut before byte {}", at + 1), &got)?;
    }
    let got = checker.run(script, &mut report, &Manner { nudge: true, ..Manner::default() })?;
    same(3, "called early and twice", &got)?;
    let got = checker.run(script, &mut report, &Manner { unsent: true, ..Manner::default() })?;
    same(6, "with nothing sent until the end", &got)?;
    checker.run(script, &mut report, &Manner { late: true, ..Manner::default() })?;

    for at in places(total + 1, limits.places) {
        checker.run(&prefix(script, at), &mut report, &Manner { end: true, ..Manner::default() })?;
    }
    for at in places(total, limits.places) {
        for flip in [0x01, 0x80, 0xff] {
            let mutant = flipped(script, at, flip);
            let whole = checker.run(&mutant, &mut report, &Manner { end: true, ..Manner::default() })?;
            let single = checker.run(&chunked(&mutant, 1), &mut report, &Manner { end: true, ..Manner::default() })?;
            compare::<S>(7, &format!("with byte {at} changed by {flip:#04x}, byte by byte"), &whole, &single)?;
        }
    }
    for i in 0..script.len() {
        let mut doubled = script.to_vec();
        doubled.insert(i, script[i].clone());
        checker.run(&doubled, &mut report, &Manner { end: true, ..Manner::default() })?;
        let mut dropped = script.to_vec();
        dropped.remove(i);
        checker.run(&dropped, &mut report, &Manner { end: true, ..Manner::default() })?;
        if i + 1 < script.len() {
            let mut swapped = script.to_vec();
            swapped.swap(i, i + 1);
            checker.run(&swapped, &mut report, &Manner { end: true, ..Manner::default() })?;
        }
    }
    Ok(report)
}

/// How a script is run.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// Call at the same time again, just before each deadline, and twice at it; none of these may do anything.
    nudge: bool,
    /// Leave what is in `tx` where it is until the script is over.
    unsent: bool,
    /// Pass over the deadlines inside a wait, and call at its end only.
    late: bool,
    /// End the input after the script.
    end: bool,
}

/// What a run came to.
struct Outcome<S: ByteSubject> {
    sent: Vec<u8>,
    seen: Transcript,
    error: Option<<S::Machine as Machine>::Error>,
    /// What the machine left for the next stage, undelivered input included.
    left: Vec<u8>,
}

struct Checker<'s, S> {
    subject: &'s S,
    limits: Limits,
}

/// A run in progress.
struct Run<S: ByteSubject> {
    machine: S::Machine,
    now: Time,
    rx: BytesMut,
    tx: BytesMut,
    manner: Manner,
    out: Outcome<S>,
    done: bool,
    ended: bool,
    /// Calls that may still return an output: linear in what was delivered, so that an endless machine is found.
    budget: usize,
    calls: usize,
}

impl<S: ByteSubject> Checker<'_, S> {
    fn run(&self, script: &[Step], report: &mut Report, manner: &Manner) -> Result<Outcome<S>, Violation> {
        let mut run = Run::<S> {
            machine: self.subject.machine(),
            now: Time::ZERO,
            rx: BytesMut::new(),
            tx: BytesMut::new(),
            manner: *manner,
            out: Outcome { sent: Vec::new(), seen: Transcript::default(), error: None, left: Vec::new() },
            done: false,
            ended: false,
            budget: 1024,
            calls: 0,
        };
        self.subject.start(run.app());
        self.settle_calls(&mut run)?;
        for step in script {
            match step {
                Step::Input(bytes) if run.over() => run.out.left.extend_from_slice(bytes),
                Step::Input(bytes) => {
                    run.rx.extend_from_slice(bytes);
                    run.budget += bytes.len() * 8;
                    self.settle_calls(&mut run)?;
                }
                Step::Wait(time) if !run.over() => self.wait(&mut run, *time)?,
                Step::Wait(_) => {}
            }
        }
        while !run.over() && !run.tx.is_empty() {
            run.send();
            self.settle_calls(&mut run)?;
        }
        run.send();
        if run.manner.end && !run.over() {
            run.ended = true;
            self.settle_calls(&mut run)?;
        }
        if run.out.error.is_none() && !run.done {
            self.subject.settle(run.app());
        }
        if run.out.error.is_some() {
            self.check_sticky(&mut run)?;
        }
        run.send();
        report.runs += 1;
        report.calls += run.calls;
        let mut left = run.rx.to_vec();
        left.append(&mut run.out.left);
        run.out.left = left;
        Ok(run.out)
    }

    /// Calls the machine until it wants more, and checks what holds after every call. A machine that fell silent because
    /// `tx` was full goes on once that was sent, so it is called again until it adds nothing.
    fn settle_calls(&self, run: &mut Run<S>) -> Result<(), Violation> {
        while !run.over() {
            let before = run.rx.len();
            let output = match run.call() {
                Ok(output) => output,
                Err(error) => {
                    run.out.error = Some(error);
                    None
                }
            };
            if run.rx.len() > before {
                return broken(2, format!("rx grew from {before} to {} bytes within a call", run.rx.len()));
            }
            let silent = output.is_none();
            if let Some(output) = output
                && self.subject.on_output(run.app(), output).is_break()
            {
                run.done = true;
            }
            self.check_caps(run)?;
            let drained = !run.manner.unsent && !run.tx.is_empty();
            if drained {
                run.send();
            }
            if silent && !drained {
                break;
            }
            run.budget = run.budget.saturating_sub(1);
            if run.budget == 0 && silent && run.machine.deadline() <= run.now {
                let deadline = run.machine.deadline();
                return broken(
                    3,
                    format!("at {:?} it speaks without end, as the deadline stays {deadline:?}", run.now),
                );
            }
            if run.budget == 0 {
                return broken(6, format!("the machine gives outputs or bytes without end ({} calls)", run.calls));
            }
        }
        if !run.over() && !run.ended {
            if run.manner.nudge {
                self.check_silent(run, "called again with nothing new")?;
            }
            let deadline = run.machine.deadline();
            if deadline <= run.now && run.tx.is_empty() {
                return broken(3, format!("at {:?} the deadline is still {deadline:?} after the call", run.now));
            }
        }
        Ok(())
    }

    fn wait(&self, run: &mut Run<S>, time: Duration) -> Result<(), Violation> {
        let target = run.now + time;
        if run.manner.late {
            run.now = target;
            return self.settle_calls(run);
        }
        while !run.over() && run.machine.deadline() <= target {
            let deadline = run.machine.deadline();
            if run.manner.nudge && deadline.as_nanos() > run.now.as_nanos() + 1 {
                run.now = Time::from_nanos(deadline.as_nanos() - 1);
                self.check_silent(run, "called just before its deadline")?;
            }
            run.now = run.now.max(deadline);
            self.settle_calls(run)?;
        }
        if !run.over() && target > run.now {
            run.now = target;
            if run.tx.is_empty() {
                self.check_silent(run, "called before its deadline")?;
            }
        }
        Ok(())
    }

    /// A call that must do nothing, because the deadline is later and nothing is new.
    fn check_silent(&self, run: &mut Run<S>, how: &str) -> Result<(), Violation> {
        let (rx, tx, now, deadline) = (run.rx.len(), run.tx.len(), run.now, run.machine.deadline());
        let result = run.call();
        if !matches!(result, Ok(None)) || run.rx.len() != rx || run.tx.len() != tx {
            return broken(
                3,
                format!(
                    "{how}, at {now:?} with deadline {deadline:?}, the machine returned {result:?}, consumed {} and \
                     wrote {} bytes; it should have done nothing",
                    rx.saturating_sub(run.rx.len()),
                    run.tx.len().saturating_sub(tx)
                ),
            );
        }
        Ok(())
    }

    fn check_caps(&self, run: &Run<S>) -> Result<(), Violation> {
        let used = run.machine.memory_used();
        if used > self.limits.memory {
            return broken(6, format!("{used} bytes in use, over the stated {}", self.limits.memory));
        }
        if run.tx.len() > self.limits.tx {
            return broken(6, format!("{} bytes wait in tx, over the stated {}", run.tx.len(), self.limits.tx));
        }
        Ok(())
    }

    /// After a fault: the same fault again, whatever arrives, and nothing else.
    fn check_sticky(&self, run: &mut Run<S>) -> Result<(), Violation> {
        run.send();
        for more in [&b""[..], b"x", b"\x00\x00\x00\x00"] {
            run.rx.extend_from_slice(more);
            let rx = run.rx.len();
            let result = run.call();
            if result.as_ref().err() != run.out.error.as_ref() {
                return broken(5, format!("after {:?} a further call returned {result:?}", run.out.error));
            }
            if run.rx.len() != rx || !run.tx.is_empty() {
                return broken(5, format!("after {:?} a further call still moved bytes", run.out.error));
            }
            let keep = run.rx.len() - more.len();
            run.rx.truncate(keep);
        }
        Ok(())
    }
}

impl<S: ByteSubject> Run<S> {
    fn over(&self) -> bool {
        self.done || self.out.error.is_some()
    }

    fn call(&mut self) -> Result<Option<<S::Machine as Machine>::Output>, <S::Machine as Machine>::Error> {
        self.calls += 1;
        self.machine.advance_or_end(self.now, &mut self.rx, &mut self.tx, self.ended)
    }

    fn send(&mut self) {
        self.out.sent.extend_from_slice(&self.tx);
        self.tx.clear();
    }

    fn app(&mut self) -> App<'_, S::Machine> {
        App { machine: &mut self.machine, now: self.now, tx: &mut self.tx, seen: &mut self.out.seen }
    }
}

fn compare<S: ByteSubject>(law: u8, how: &str, expected: &Outcome<S>, got: &Outcome<S>) -> Result<(), Violation> {
    if let Some(difference) = difference(&expected.seen, &got.seen) {
        return broken(law, format!("{how}: {difference}"));
    }
    if expected.error != got.error {
        return broken(law, format!("{how}: the error was {:?}, now {:?}", expected.error, got.error));
    }
    if expected.sent != got.sent {
        let at = expected.sent.iter().zip(&got.sent).position(|(a, b)| a != b);
        return broken(
            law,
            format!(
                "{how}: {} bytes were sent, now {}, and they differ from byte {} on",
                expected.sent.len(),
                got.sent.len(),
                at.unwrap_or(expected.sent.len().min(got.sent.len()))
            ),
        );
    }
    if expected.error.is_none() && expected.left != got.left {
        return broken(law, format!("{how}: {} bytes were left in rx, now {}", expected.left.len(), got.left.len()));
    }
    Ok(())
}

fn input_len(step: &Step) -> usize {
    match step {
        Step::Input(bytes) => bytes.len(),
        Step::Wait(_) => 0,
    }
}

fn chunked(script: &[Step], size: usize) -> Vec<Step> {
    script
        .iter()
        .flat_map(|step| match step {
            Step::Input(bytes) => bytes.chunks(size).map(Step::bytes).collect(),
            Step::Wait(time) => vec![Step::Wait(*time)],
        })
        .collect()
}

/// Applies `change` to the step that holds byte `at` of all input, given the place inside it.
fn at_byte(script: &[Step], at: usize, mut change: impl FnMut(&[u8], usize) -> Vec<Step>) -> Vec<Step> {
    let mut before = 0;
    let mut out = Vec::new();
    for step in script {
        match step {
            Step::Input(bytes) if (before..before + bytes.len()).contains(&at) => {
                out.extend(change(bytes, at - before));
                before += bytes.len();
            }
            other => {
                before += input_len(other);
                out.push(other.clone());
            }
        }
    }
    out
}

fn cut_at(script: &[Step], at: usize) -> Vec<Step> {
    at_byte(script, at, |bytes, inside| {
        let (left, right) = bytes.split_at(inside);
        [left, right].into_iter().filter(|part| !part.is_empty()).map(Step::bytes).collect()
    })
}

fn flipped(script: &[Step], at: usize, flip: u8) -> Vec<Step> {
    at_byte(script, at, |bytes, inside| {
        let mut bytes = bytes.to_vec();
        bytes[inside] ^= flip;
        vec![Step::Input(bytes)]
    })
}

/// The script until `len` bytes have arrived.
fn prefix(script: &[Step], len: usize) -> Vec<Step> {
    let mut left = len;
    let mut out = Vec::new();
    for step in script {
        match step {
            Step::Input(bytes) => {
                let take = left.min(bytes.len());
                out.push(Step::bytes(&bytes[..take]));
                left -= take;
                if left == 0 {
                    break;
                }
            }
            Step::Wait(time) => out.push(Step::Wait(*time)),
        }
    }
    out
}
