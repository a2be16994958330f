//! Running event machines through the laws.

use super::{Limits, Report, Step, Transcript, Violation, broken, difference};
use crate::{EventMachine, Time};
use alloc::format;
use core::fmt::Debug;
use core::time::Duration;

/// Makes fresh machines, and plays the world around them.
pub trait EventSubject {
    /// The machine under test.
    type Machine: EventMachine<Action: Debug, Misuse: Debug>;
    /// One input of the script, owned.
    type Input: Clone;

    /// A fresh machine: always the same one.
    fn machine(&self) -> Self::Machine;

    /// Gives one input of the script to the machine. A misuse is legal: it must change nothing.
    ///
    /// # Errors
    /// As [`EventMachine::handle`] says.
    fn apply(
        &self,
        machine: &mut Self::Machine,
        now: Time,
        input: &Self::Input,
    ) -> Result<(), <Self::Machine as EventMachine>::Misuse>;

    /// What the world does with an action: carries it out, and may report what came of it.
    fn on_action(
        &self,
        machine: &mut Self::Machine,
        now: Time,
        action: <Self::Machine as EventMachine>::Action,
        seen: &mut Transcript,
    ) {
        let _ = (machine, now);
        seen.note(action);
    }
}

/// Runs an event machine through the laws, with `script` as what happens.
///
/// # Errors
/// The first law that was broken, and how. A panic inside the machine (law 4) is not caught.
pub fn check_events<S: EventSubject>(
    subject: &S,
    script: &[Step<S::Input>],
    limits: Limits,
) -> Result<Report, Violation> {
    let checker = Checker { subject, limits };
    let mut report = Report::default();
    let reference = checker.run(script, &mut report, Manner::default())?;

    let same = |law, how: &str, got: &Transcript| match difference(&reference, got) {
        Some(difference) => broken(law, format!("{how}: {difference}")),
        None => Ok(()),
    };
    same(1, "run a second time", &checker.run(script, &mut report, Manner::default())?)?;
    same(3, "called early and twice", &checker.run(script, &mut report, Manner { nudge: true, ..Manner::default() })?)?;
    let forgetful = checker.run(script, &mut report, Manner { forget: true, ..Manner::default() })?;
    if !limits.may_merge {
        same(4, "polled only when time passes", &forgetful)?;
    }
    checker.run(script, &mut report, Manner { late: true, ..Manner::default() })?;

    for i in 0..script.len() {
        let mut doubled = script.to_vec();
        doubled.insert(i, script[i].clone());
        let mut dropped = script.to_vec();
        dropped.remove(i);
        let mut moved = script.to_vec();
        moved.rotate_left(i);
        let mut swapped = script.to_vec();
        swapped.swap(i, (i + 1) % script.len());
        for changed in [&doubled, &dropped, &moved, &swapped] {
            let first = checker.run(changed, &mut report, Manner::default())?;
            let again = checker.run(changed, &mut report, Manner { nudge: true, ..Manner::default() })?;
            if let Some(difference) = difference(&first, &again) {
                return broken(3, format!("with input {i} doubled, dropped or moved, called early: {difference}"));
            }
        }
    }
    Ok(report)
}

/// How a script is run.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// Call `on_timeout` just before each deadline, twice at it, and after each input; none of these may do anything.
    nudge: bool,
    /// Poll when time passes, not after each input.
    forget: bool,
    /// Pass over the deadlines inside a wait.
    late: bool,
}

struct Checker<'s, S> {
    subject: &'s S,
    limits: Limits,
}

struct Run<M> {
    machine: M,
    now: Time,
    seen: Transcript,
    calls: usize,
}

impl<S: EventSubject> Checker<'_, S> {
    fn run(&self, script: &[Step<S::Input>], report: &mut Report, manner: Manner) -> Result<Transcript, Violation> {
        let mut run = Run { machine: self.subject.machine(), now: Time::ZERO, seen: Transcript::default(), calls: 0 };
        self.drain(&mut run)?;
        for step in script {
            match step {
                Step::Input(input) => {
                    run.calls += 1;
                    if let Err(misuse) = self.subject.apply(&mut run.machine, run.now, input) {
                        run.seen.note(misuse);
                    }
                    self.check_caps(&run)?;
                    if !manner.forget {
                        self.drain(&mut run)?;
                    }
                    if manner.nudge {
                        self.check_silent(&mut run, "called again with nothing new")?;
                    }
                }
                Step::Wait(time) => {
                    self.drain(&mut run)?;
                    self.wait(&mut run, *time, manner)?;
                }
            }
        }
        self.drain(&mut run)?;
        report.runs += 1;
        report.calls += run.calls;
        Ok(run.seen)
    }

    fn wait(&self, run: &mut Run<S::Machine>, time: Duration, manner: Manner) -> Result<(), Violation> {
        let target = run.now + time;
        let mut budget = 100_000_u32;
        while !manner.late && run.machine.deadline() <= target {
            let deadline = run.machine.deadline();
            if manner.nudge && deadline.as_nanos() > run.now.as_nanos() + 1 {
                run.now = Time::from_nanos(deadline.as_nanos() - 1);
                self.check_silent(run, "called just before its deadline")?;
            }
            run.now = run.now.max(deadline);
            self.timeout(run)?;
            if manner.nudge {
                self.check_silent(run, "called twice at its deadline")?;
            }
            budget -= 1;
            if budget == 0 {
                return broken(3, format!("deadlines without end until {:?}", run.now));
            }
        }
        if target > run.now {
            run.now = target;
            if manner.late {
                return self.timeout(run);
            }
            return self.check_silent(run, "called before its deadline");
        }
        Ok(())
    }

    fn timeout(&self, run: &mut Run<S::Machine>) -> Result<(), Violation> {
        run.calls += 1;
        run.machine.on_timeout(run.now);
        self.drain(run)?;
        if run.machine.deadline() <= run.now {
            let deadline = run.machine.deadline();
            return broken(3, format!("at {:?} the deadline is still {deadline:?} after the call", run.now));
        }
        self.check_caps(run)
    }

    fn drain(&self, run: &mut Run<S::Machine>) -> Result<(), Violation> {
        let mut budget = 1_000_000_u32;
        while let Some(action) = run.machine.poll() {
            run.calls += 1;
            self.subject.on_action(&mut run.machine, run.now, action, &mut run.seen);
            self.check_caps(run)?;
            budget -= 1;
            if budget == 0 {
                return broken(6, format!("actions without end at {:?}", run.now));
            }
        }
        Ok(())
    }

    fn check_silent(&self, run: &mut Run<S::Machine>, how: &str) -> Result<(), Violation> {
        let deadline = run.machine.deadline();
        if deadline <= run.now {
            return Ok(());
        }
        run.calls += 1;
        run.machine.on_timeout(run.now);
        if let Some(action) = run.machine.poll() {
            return broken(
                3,
                format!("{how}, at {:?} with deadline {deadline:?}, the machine asked for {action:?}", run.now),
            );
        }
        Ok(())
    }

    fn check_caps(&self, run: &Run<S::Machine>) -> Result<(), Violation> {
        let used = run.machine.memory_used();
        if used > self.limits.memory {
            return broken(6, format!("{used} bytes in use, over the stated {}", self.limits.memory));
        }
        Ok(())
    }
}
