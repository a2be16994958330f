//! What a mapper is doing, for people.

use super::mapping::State;
use super::{Job, Mapper, MappingId};
use crate::{Protocol, Transport};
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use tidewire_core::Time;

/// One mapping, and what it is waiting for. Its [`Display`](fmt::Display) is a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MappingView {
    /// Which.
    pub mapping: MappingId,
    /// Of what.
    pub transport: Transport,
    /// Our port.
    pub port: u16,
    /// How it stands.
    pub state: MappingState,
    /// What the router speaks, if that is known.
    pub protocol: Option<Protocol>,
}

/// How a mapping stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum MappingState {
    /// There is no router.
    NoGateway,
    /// The router is asked, and has not answered yet.
    Asking {
        /// How often it was.
        tries: u32,
    },
    /// It waits for its turn, or until it is tried again.
    Waiting {
        /// So long.
        left: Duration,
        /// Tries in a row that came to nothing.
        failures: u32,
    },
    /// It is held.
    Held {
        /// Where it is reached.
        external: SocketAddr,
        /// It will be renewed in so long.
        renewal: Duration,
        /// It would be over in so long.
        left: Duration,
    },
    /// It is being given back.
    Leaving,
}

impl fmt::Display for MappingView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {} ", self.transport, self.port)?;
        match self.state {
            MappingState::NoGateway => f.write_str("waits for a router"),
            MappingState::Asking { tries } => write!(f, "is asked for, and the router has not answered (try {tries})"),
            MappingState::Waiting { left, failures: 0 } => write!(f, "is asked for in {} s", left.as_secs()),
            MappingState::Waiting { left, failures } => {
                write!(f, "is asked for again in {} s, after {failures} tries that came to nothing", left.as_secs())
            }
            MappingState::Held { external, renewal, .. } => {
                write!(f, "is {external} outside, to be renewed in {} s", renewal.as_secs())
            }
            MappingState::Leaving => f.write_str("is being given back"),
        }?;
        match self.protocol {
            Some(protocol) => write!(f, " ({protocol})"),
            None => Ok(()),
        }
    }
}

impl Mapper {
    /// What the router speaks, if that is known.
    pub const fn protocol(&self) -> Option<Protocol> {
        self.protocol
    }

    /// How a mapping stands.
    pub fn explain(&self, now: Time, mapping: MappingId) -> Option<MappingView> {
        let entry = self.mappings.get(&mapping)?;
        let asking = self.exchange.as_ref().filter(|exchange| match exchange.job {
            Job::Map(of) => of == mapping,
            Job::External => true,
        });
        let state = match (entry.state, asking) {
            (State::Unwanted { .. }, _) => MappingState::Leaving,
            (State::Held { external, until, renew, .. }, _) => {
                MappingState::Held { external, renewal: renew.since(now), left: until.since(now) }
            }
            (State::Wanted { .. }, _) if self.gateway.is_none() => MappingState::NoGateway,
            (State::Wanted { .. }, Some(exchange)) => MappingState::Asking { tries: exchange.tries },
            (State::Wanted { at }, None) => MappingState::Waiting { left: at.since(now), failures: entry.failures },
        };
        let (transport, port, protocol) = (entry.transport, entry.port, self.protocol);
        Some(MappingView { mapping, transport, port, state, protocol })
    }

    /// All mappings, by their names.
    pub fn view(&self, now: Time) -> impl Iterator<Item = MappingView> + '_ {
        self.mappings.keys().filter_map(move |mapping| self.explain(now, *mapping))
    }
}
