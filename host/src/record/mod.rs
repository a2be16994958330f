//! Recordings of a host: what it was told and when, so that it can be run again, step by step, and must do the same.
//!
//! ```text
//!  Host::recorded --> Recorder --bytes--> the driver --> file --> Replay --> Step, Step, ... Ending
//!
//!  file   = "tidewire-rec" version:u8 frame*
//!  frame  = length:varint kind:u8 body check:u32     check: of all bytes of the file before it
//!
//!  header   crate's version, seed, local peer, epoch, config      once, first
//!  input    nanoseconds since the step before, the input          \  a step
//!  timeout  nanoseconds since the step before                     /
//!  outcome  number of actions, hash of their Debug text           of the step before it; left out where nothing came of it
//!  state    hash of what the host counts, and of its deadline     of the step before it; every so many steps
//!  end      why                                                   once, last, unless the process was killed
//! ```
//! Numbers are varints and little-endian, bodies are postcard. A host is a pure function of its seed, configuration and inputs
//! (law 1), so this is all that is needed. [`poll`](tidewire_core::EventMachine::poll) only hands out what was decided before,
//! so it is not recorded; nor are calls that change nothing by contract: a timeout before the deadline, a clock that went back.
//!
//! ```
//! use tidewire_core::{EventMachine, Keypair, Seed, Time, UnixTime};
//! use tidewire_host::record::{Ending, RecordConfig, Replay};
//! use tidewire_host::{Config, Host, Input, ListenerId};
//!
//! let (local, seed) = (Keypair::from_seed(&Seed::new([1; 32])).peer_id(), Seed::new([2; 32]));
//! let epoch = UnixTime::from_secs(1_800_000_000);
//! let mut host = Host::recorded(Config::default(), local, &seed, epoch, RecordConfig::default());
//! host.handle(Time::ZERO, Input::Listen { listener: ListenerId(0), address: "/ip4/0.0.0.0/tcp/4001".parse()? })?;
//!
//! let mut file = Vec::new();
//! let Some(recorder) = host.recorder() else { return Ok(()) };
//! recorder.finish();
//! file.extend_from_slice(&recorder.bytes().split()); // a driver writes it, again and again while the host runs
//!
//! let mut replay = Replay::new(&file)?;
//! for step in &mut replay {
//!     assert!(step.identical(), "{step:?}");
//! }
//! assert_eq!(replay.ending(), Some(Ending::Finished));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is in a recording, and what is not
//! Keys, the bytes of connections and the data of applications never reach a host, so they can't be in a recording. The seed in
//! it is the host's own: it feeds jitter and the keys of hash tables. Give the host a seed that was derived for it alone
//! ([`Seed::derive`](tidewire_core::Seed::derive)), as [`Solo`](crate::solo::Solo) does; then nothing else can be computed from
//! it. Whoever reads the recording of a node that still runs could choose addresses that fall together in its hash tables.
//!
//! Peer ids, addresses and protocols **are** in it: it says who talked with whom. They are not masked, because the host decides
//! by them (subnets, ranks, order): a recording with other addresses would be one of another run.
//!
//! # How long a recording is good
//! A host that decides otherwise, or prints otherwise, does not do the same: a replay says at which step it first differs. The
//! shapes of inputs belong to the version of the crate that wrote them; [`ReplayError`] and [`Ending`] name it.

mod digest;
mod format;
mod recorder;
mod replay;
#[cfg(test)]
mod tests;

pub use digest::State;
pub use recorder::{RecordConfig, Recorder, Stop};
pub use replay::{Ending, Header, Replay, ReplayError, Step, Verdict, What};
