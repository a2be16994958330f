//! Dials through relays: one for each relay and destination, which all who want it share.
//!
//! ```text
//!          no connection to the relay              connected
//!   Dial --> Connecting -----------------------------> Asking --- yes ---> Circuit
//!                '--- failed, no time left ---.           '--- no, no answer, no time left ---> DialFailed
//!                                             '--------------------------------------------------^
//! ```
//! Nothing is tried twice: whether another relay is worth a try is for whoever knows them.

use super::action::{Action, DialError};
use super::config::at_least_a_millisecond;
use super::input::Misuse;
use super::{Client, Question, direct_addresses};
use crate::exchange::Ask;
use crate::{AskId, CircuitDialId, ConnectionId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use tidewire_core::{Multiaddr, PeerId, Time};

/// Through which relay to whom.
pub(super) type Way = (PeerId, PeerId);

/// All dials.
#[derive(Debug, Default)]
pub(super) struct Dials {
    pub(super) callers: BTreeMap<CircuitDialId, Way>,
    pub(super) jobs: BTreeMap<Way, Job>,
}

/// One dial.
#[derive(Debug)]
pub(super) struct Job {
    /// In the order in which they came.
    callers: Vec<CircuitDialId>,
    pub(super) addresses: Vec<Multiaddr>,
    pub(super) state: JobState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobState {
    Connecting { until: Time },
    Asking { ask: AskId, until: Time },
}

impl Job {
    pub(super) fn deadline(&self) -> Time {
        match self.state {
            JobState::Connecting { until } | JobState::Asking { until, .. } => until,
        }
    }
}

impl Dials {
    pub(super) fn deadline(&self) -> Time {
        self.jobs.values().map(Job::deadline).min().unwrap_or(Time::NEVER)
    }

    /// Those that wait for a connection to this relay.
    fn connecting(&self, relay: PeerId) -> Vec<Way> {
        let waits = |(way, job): &(&Way, &Job)| way.0 == relay && matches!(job.state, JobState::Connecting { .. });
        self.jobs.iter().filter(waits).map(|(way, _)| *way).collect()
    }

    pub(super) fn memory_used(&self) -> usize {
        let of = |job: &Job| {
            job.callers.capacity() * size_of::<CircuitDialId>()
                + Multiaddr::list_memory_used(&job.addresses)
                + size_of::<(Way, Job)>()
        };
        self.callers.len() * size_of::<(CircuitDialId, Way)>() + self.jobs.values().map(of).sum::<usize>()
    }
}

impl Client {
    pub(super) fn dial(
        &mut self,
        dial: CircuitDialId,
        relay: PeerId,
        addresses: &[Multiaddr],
        destination: PeerId,
    ) -> Result<(), Misuse> {
        if relay == self.local || destination == self.local {
            return Err(Misuse::Ourselves(self.local));
        }
        if relay == destination {
            return Err(Misuse::RelayIsDestination(relay));
        }
        if self.dials.callers.contains_key(&dial) {
            return Err(Misuse::DialExists(dial));
        }
        if let Err(why) = self.take_dial(dial, (relay, destination), addresses) {
            self.act(Action::DialFailed { dial, why });
        }
        Ok(())
    }

    fn take_dial(&mut self, dial: CircuitDialId, way: Way, addresses: &[Multiaddr]) -> Result<(), DialError> {
        let has_room = |len: usize, cap: u32| u32::try_from(len).is_ok_and(|len| cap == u32::MAX || len < cap);
        let (dials, circuits) = (self.config.dials, self.config.circuits_out);
        if !has_room(self.dials.callers.len(), dials) {
            return Err(DialError::TooManyDials(dials));
        }
        if let Some(job) = self.dials.jobs.get_mut(&way) {
            job.callers.push(dial);
            self.dials.callers.insert(dial, way);
            return Ok(());
        }
        if !has_room(self.circuits.outgoing().saturating_add(self.dials.jobs.len()), circuits) {
            return Err(DialError::TooManyCircuits(circuits));
        }
        let (relay, _) = way;
        let addresses = direct_addresses(addresses, self.config.relay_addresses);
        let direct = self.links.direct(relay);
        if direct.is_none() && addresses.is_empty() && !self.is_connecting(relay) {
            return Err(DialError::NoAddresses);
        }
        let until = self.now + at_least_a_millisecond(self.config.relay_dial_timeout);
        let job =
            Job { callers: Vec::from([dial]), addresses: addresses.clone(), state: JobState::Connecting { until } };
        self.dials.jobs.insert(way, job);
        self.dials.callers.insert(dial, way);
        match direct {
            Some(connection) => self.ask_connect(way, connection),
            None => self.want_connection(relay, addresses),
        }
        Ok(())
    }

    pub(super) fn cancel_dial(&mut self, dial: CircuitDialId) -> Result<(), Misuse> {
        let way = self.dials.callers.remove(&dial).ok_or(Misuse::UnknownDial(dial))?;
        let Some(job) = self.dials.jobs.get_mut(&way) else { return Ok(()) };
        job.callers.retain(|caller| *caller != dial);
        if job.callers.is_empty() {
            self.end_job(way);
        }
        Ok(())
    }

    fn ask_connect(&mut self, way: Way, connection: ConnectionId) {
        let (relay, destination) = way;
        let ask = self.ask(connection, Question::Connect { relay, destination }, Ask::Connect { destination });
        let until = self.now + at_least_a_millisecond(self.config.connect_timeout);
        if let Some(job) = self.dials.jobs.get_mut(&way) {
            job.state = JobState::Asking { ask, until };
        }
    }

    /// There is a direct connection to this relay.
    pub(super) fn dials_connected(&mut self, relay: PeerId, connection: ConnectionId) {
        for way in self.dials.connecting(relay) {
            self.ask_connect(way, connection);
        }
    }

    /// No connection to this relay is to be expected.
    pub(super) fn dials_unconnected(&mut self, relay: PeerId, why: &DialError) {
        for way in self.dials.connecting(relay) {
            self.fail_job(way, why);
        }
    }

    /// Takes a dial out, for those who wanted it to be answered.
    pub(super) fn take_job(&mut self, way: Way) -> Vec<CircuitDialId> {
        let Some(job) = self.dials.jobs.remove(&way) else { return Vec::new() };
        for caller in &job.callers {
            self.dials.callers.remove(caller);
        }
        job.callers
    }

    pub(super) fn fail_job(&mut self, way: Way, why: &DialError) {
        for dial in self.take_job(way) {
            self.act(Action::DialFailed { dial, why: why.clone() });
        }
    }

    /// Ends a dial that is still under way.
    fn end_job(&mut self, way: Way) -> Vec<CircuitDialId> {
        let state = self.dials.jobs.get(&way).map(|job| job.state);
        let callers = self.take_job(way);
        match state {
            Some(JobState::Asking { ask, .. }) => self.cancel_ask(ask),
            Some(JobState::Connecting { .. }) => self.stop_connecting(way.0),
            None => {}
        }
        callers
    }

    pub(super) fn dials_timeout(&mut self) {
        let now = self.now;
        let due: Vec<(Way, JobState)> = self
            .dials
            .jobs
            .iter()
            .filter(|(_, job)| job.deadline() <= now)
            .map(|(way, job)| (*way, job.state))
            .collect();
        for (way, state) in due {
            let why = match state {
                JobState::Connecting { .. } => DialError::RelayTimeout(self.config.relay_dial_timeout),
                JobState::Asking { .. } => DialError::Timeout(self.config.connect_timeout),
            };
            for dial in self.end_job(way) {
                self.act(Action::DialFailed { dial, why: why.clone() });
            }
        }
    }
}
