//! Where we can be reached: what others see, what is known, and what we announce.
//!
//! ```text
//! identify: "I see you at X" --> Observed --4 networks agree--> Externals <-- manual, port mapping, AutoNAT
//!                                                                  |
//! listeners, interfaces, relays, NAT status, policy --> explain(AdvertiseInputs) --> a Decision for each address
//! ```
//!
//! - [`Observed`] counts who sees us where. It is an [`EventMachine`](tidewire_core::EventMachine).
//! - [`Externals`] is the table of addresses beyond our interfaces, each with where it is from and how far it is believed.
//! - [`advertised`] is what we announce: a pure function, all of whose inputs are the fields of one struct; [`explain`] is
//!   the same with the reason for each address, announced or not.
//!
//! The specs leave all of this open (identify/README.md says only that an observed address "can be used to infer the
//! existence of a NAT"); the numbers are those of go-libp2p.

mod advertise;
mod external;
mod mapping;
mod observed;
#[cfg(test)]
mod tests;
mod waist;

pub use advertise::{AdvertiseInputs, Decision, Filter, Loopback, Policy, Why, advertised, explain};
pub use external::{Confidence, External, ExternalError, Externals, NatStatus, Reachability, Source};
pub use mapping::PortMapping;
pub use observed::{Candidate, Change, Ignored, Input, Observed, ObservedConfig};

use core::time::Duration;

/// At which addresses others reach us, and which of them we announce.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Config {
    /// Who sees us where.
    pub observed: ObservedConfig,
    /// Addresses beyond our interfaces that are known. Default 256.
    pub max_external: usize,
    /// What is announced.
    pub policy: Policy,
    /// Changes within this time are told together. Default 1 s.
    pub delay: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            observed: ObservedConfig::default(),
            max_external: Externals::MAX,
            policy: Policy::default(),
            delay: Duration::from_secs(1),
        }
    }
}
