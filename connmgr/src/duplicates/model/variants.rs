//! The rule as it is, and simpler ones that are broken: each of them was somebody's rule once, and has to fail here.

use super::peers::{Foreign, Policy};
use crate::ConnectionId;
use crate::duplicates::pair::Moment;
use crate::duplicates::{Action, DuplicatesConfig, Initiator, Input, Pair};
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{EventMachine, Time};

/// What a side follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    /// [`Pair`], as it is.
    Ours,
    /// The newer of two is closed at once.
    CloseNewer,
    /// What the larger id initiated is closed at once.
    CloseLargers,
    /// The same, after a grace, without any proof.
    Unproven,
    /// With a proof, but each side keeps what it had first.
    OwnChoice,
    /// As ours, but an answer proves the keeper whenever it came.
    OldProof,
    /// [`Pair`], told that who dialed is the initiator. Both did, in a simultaneous open.
    ClassByDialer,
    /// [`Pair`], and what we dialed and is not established yet is given up when the first connection is.
    CancelHandshakes,
    /// Another implementation, which doesn't know of the rule.
    Foreign(Policy),
}

/// What decides at one side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Machine {
    Pair(Pair),
    Broken(Broken),
    Foreign(Foreign),
}

impl Machine {
    pub(super) fn new(rule: Rule, config: DuplicatesConfig) -> Machine {
        match rule {
            Rule::Ours | Rule::ClassByDialer | Rule::CancelHandshakes => Machine::Pair(Pair::new(config)),
            Rule::Foreign(policy) => Machine::Foreign(Foreign::new(policy)),
            rule => Machine::Broken(Broken { rule, grace: config.grace, now: Time::ZERO, connections: Vec::new() }),
        }
    }

    pub(super) fn tell(&mut self, now: Time, input: Input) {
        match self {
            Machine::Pair(pair) => pair.handle(now, input).unwrap(),
            Machine::Broken(broken) => broken.tell(now, input),
            Machine::Foreign(foreign) => foreign.tell(input),
        }
    }

    pub(super) fn on_timeout(&mut self, now: Time) {
        match self {
            Machine::Pair(pair) => pair.on_timeout(now),
            Machine::Broken(broken) => broken.now = now,
            Machine::Foreign(_) => {}
        }
    }

    pub(super) fn poll(&mut self) -> Option<Action> {
        match self {
            Machine::Pair(pair) => pair.poll(),
            Machine::Broken(broken) => broken.poll(),
            Machine::Foreign(foreign) => foreign.poll(),
        }
    }

    pub(super) fn deadline(&self) -> Time {
        match self {
            Machine::Pair(pair) => pair.deadline(),
            Machine::Broken(broken) => broken.deadline(),
            Machine::Foreign(_) => Time::NEVER,
        }
    }

    pub(super) fn rebase(&mut self, now: Time, map: &mut dyn FnMut(Moment, Time) -> Time) {
        match self {
            Machine::Pair(pair) => pair.rebase(now, map),
            Machine::Broken(broken) => broken.rebase(now, map),
            Machine::Foreign(_) => {}
        }
    }

    /// Where it opens new streams, if it says so.
    pub(super) fn preferred(&self) -> Option<Option<ConnectionId>> {
        match self {
            Machine::Pair(pair) => Some(pair.preferred(false)),
            Machine::Broken(_) | Machine::Foreign(_) => None,
        }
    }
}

/// A rule that is simpler than ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Broken {
    rule: Rule,
    grace: Duration,
    now: Time,
    /// In the order in which they were established.
    connections: Vec<Known>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Known {
    id: ConnectionId,
    class: (bool, bool),
    ours: bool,
    asked: bool,
    answered: Option<Time>,
    proof: Option<Time>,
    until: Option<Time>,
}

impl Broken {
    fn tell(&mut self, now: Time, input: Input) {
        self.now = now;
        match input {
            Input::Opened { connection: id, relayed, initiator, larger, .. } => {
                let (class, ours) = ((relayed, larger), initiator == Initiator::We);
                let (asked, answered, proof, until) = (false, None, None, None);
                self.connections.push(Known { id, class, ours, asked, answered, proof, until });
            }
            Input::Pong { connection, sent } => {
                if let Some(known) = self.connections.iter_mut().find(|known| known.id == connection) {
                    known.asked = false;
                    known.answered = known.answered.or(Some(now));
                    known.proof = known.proof.max(Some(sent));
                }
            }
            Input::Closed { connection } => self.connections.retain(|known| known.id != connection),
            Input::Streams { .. } | Input::Closing { .. } => {}
        }
    }

    /// For whom the one at `at` has to go.
    fn keeper(&self, at: usize) -> Option<usize> {
        let candidate = &self.connections[at];
        let others = 0..self.connections.len();
        match self.rule {
            Rule::CloseNewer | Rule::OwnChoice => (at > 0).then_some(0),
            _ => others
                .filter(|k| {
                    let class = self.connections[*k].class;
                    class < candidate.class || (class == candidate.class && candidate.ours && *k < at)
                })
                .min_by_key(|k| (self.connections[*k].class, *k)),
        }
    }

    fn poll(&mut self) -> Option<Action> {
        (0..self.connections.len()).find_map(|at| self.decide(at, self.keeper(at)?))
    }

    fn decide(&mut self, at: usize, keeper: usize) -> Option<Action> {
        let (candidate, kept) = (&self.connections[at], &self.connections[keeper]);
        let (now, connection, kept_id) = (self.now, candidate.id, kept.id);
        let proven = match self.rule {
            Rule::OwnChoice => candidate.answered.is_some() && kept.proof >= candidate.answered,
            Rule::OldProof => candidate.answered.is_some() && kept.proof.is_some(),
            _ => true,
        };
        if !proven {
            let asked = if candidate.answered.is_none() { at } else { keeper };
            let asked = &mut self.connections[asked];
            let ping = Action::Ping { connection: asked.id };
            return (!core::mem::replace(&mut asked.asked, true)).then_some(ping);
        }
        let grace = matches!(self.rule, Rule::Unproven | Rule::OldProof);
        let candidate = &mut self.connections[at];
        match candidate.until {
            None if grace => {
                candidate.until = Some(now + self.grace);
                Some(Action::Drain { connection, onto: kept_id })
            }
            Some(until) if until > now => None,
            _ => Some(Action::Close { connection, kept: kept_id }),
        }
    }

    fn deadline(&self) -> Time {
        let untils = self.connections.iter().filter_map(|known| known.until);
        untils.filter(|until| *until > self.now).min().unwrap_or(Time::NEVER)
    }

    fn rebase(&mut self, now: Time, map: &mut dyn FnMut(Moment, Time) -> Time) {
        self.now = now;
        for known in &mut self.connections {
            known.answered = known.answered.map(|at| map(Moment::Mark, at));
            known.proof = known.proof.map(|at| map(Moment::Sent, at));
            known.until = known.until.map(|at| map(Moment::Grace, at));
        }
    }
}
