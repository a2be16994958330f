//! Roles by listening: say the header, wait a while for a proposal, and propose only if none came.
//!
//! ```text
//!            header               header, then a proposal
//!  Opening ---------> Listening ------------------------------------> Settled: we respond
//!                         |                       header, echo or na
//!                         | until / proposal ---> Proposed ---------> Settled: we initiate
//!                         |                           | a proposal
//!                         |                           +-------------> Crossed
//!                         | until / /libp2p/simultaneous-connect + proposal
//!                         +---------------------> TieBreak ---------> Settled: either
//! ```
//! For hole punching, where both ends dial, or a dial meets a listener, and neither can know what became of the other's
//! attempt. With the waiting times of the two ends further apart than the path's delay, exactly one proposes. multistream-select
//! allows the early header: `libp2p/specs` connections/README.md, "multistream-select" ("both sides may send the initial
//! multistream protocol id simultaneously").

use crate::config::Config;
use crate::dialer::{self, Dialer, starved};
use crate::error::{Awaited, Error, Fault};
use crate::listener::Listener;
use crate::machine::machine;
use crate::protocol::Protocols;
use crate::roles::{RoleEvent, Settled};
use crate::simopen::{SimultaneousOpen, nonce, not_an_answer};
use crate::wire;
use bytes::BytesMut;
use tidewire_core::{Machine, Role, Seed, Time};

/// Finds its role by listening first, then negotiates a protocol.
///
/// Says the header at once. A proposal that comes before `until` makes it the responder. When nothing was proposed until
/// then, it proposes and is the initiator. A proposal that has begun to arrive by then is waited for.
///
/// # When both propose
///
/// If the other end waits too, and both waits end within one path delay, the proposals cross on the way. What happens:
///
/// - With [`ListenFirst::with_tie_break`] on both ends, the crossing is seen and resolved as in
///   [`SimultaneousOpen`]. It costs nothing where nothing crosses: a plain listener answers `na` to one name more.
/// - Without it, or on one end alone: different names are [`Error::Crossed`] on both ends. Equal names can't be told from an
///   agreement, as an echo and a proposal are the same bytes. Both ends then tell [`Role::Initiator`], and the security
///   handshake fails on its first message, before anything is trusted.
/// - With a remote that proposes at once and never listens, a crossing fails in the same two ways, tie-break or not.
///
/// So choose the waits such that they differ by more than the path's delay: say 1, 3 and 6 times the round trip over the
/// relay for the three kinds of socket in a hole punch. A crossing is then impossible, and the tie-break a second belt.
///
/// ```
/// use bytes::BytesMut;
/// use tidewire_core::{Machine, Role, Time};
/// use tidewire_multistream::{Config, ListenFirst, Protocols, RoleEvent};
///
/// let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
/// let until = Time::from_millis(300);
/// let mut machine = ListenFirst::new(Protocols::parse(&["/noise"])?, until, Config::default());
/// assert_eq!(machine.advance(Time::ZERO, &mut rx, &mut tx), Ok(None));
/// assert_eq!(&tx[..], b"\x13/multistream/1.0.0\n"); // opens the path, promises nothing
/// assert_eq!(machine.deadline(), until);
///
/// rx.extend_from_slice(b"\x13/multistream/1.0.0\n\x07/noise\n");
/// let event = machine.advance(Time::from_millis(200), &mut rx, &mut tx)?;
/// assert_eq!(event, Some(RoleEvent::Role(Role::Responder)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ListenFirst {
    protocols: Protocols,
    until: Time,
    nonce: Option<u64>,
    state: State,
    fault: Fault,
    deadline: Time,
    config: Config,
}

#[derive(Clone, Debug)]
enum State {
    Opening,
    Listening {
        header_came: bool,
        /// The remote has begun to propose: we won't any more.
        hearing: bool,
    },
    Proposed {
        header_came: bool,
    },
    TieBreak(SimultaneousOpen),
    Settled(Settled),
    Failed,
}

impl ListenFirst {
    /// Serves these names until `until`, and proposes them afterwards.
    pub fn new(protocols: Protocols, until: Time, config: Config) -> ListenFirst {
        ListenFirst {
            protocols,
            until,
            nonce: None,
            state: State::Opening,
            fault: Fault::default(),
            deadline: Time::ZERO,
            config,
        }
    }

    /// As [`new`](ListenFirst::new), and a crossing with an end that does the same is resolved by lot. The seed must be
    /// this connection's own.
    pub fn with_tie_break(protocols: Protocols, until: Time, seed: &Seed, config: Config) -> ListenFirst {
        ListenFirst { nonce: Some(nonce(seed)), ..ListenFirst::new(protocols, until, config) }
    }

    fn step(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        ended: bool,
    ) -> Result<Option<RoleEvent>, Error> {
        let max = self.config.max_frame;
        loop {
            match &mut self.state {
                State::Opening => {
                    // Judged now, and not when it is too late to do something about it.
                    dialer::first(&self.protocols, &self.config)?;
                    tx.extend_from_slice(wire::HEADER);
                    self.deadline = now + self.config.timeout;
                    self.state = State::Listening { header_came: false, hearing: false };
                }
                State::Listening { header_came, hearing } => {
                    if !*header_came {
                        *header_came = wire::take_header(rx, max)?;
                    }
                    if *header_came {
                        if wire::frame(rx, max)?.is_some() {
                            let list = self.protocols.clone();
                            let listener = Listener::resume(list, self.config, self.deadline);
                            return Ok(Some(self.settle(Settled::Listener(listener), Role::Responder)));
                        }
                        *hearing = !rx.is_empty();
                    }
                    let (header_came, hearing) = (*header_came, *hearing);
                    let awaited = if header_came { Awaited::Proposal } else { Awaited::Header };
                    if ended || hearing || now < self.until {
                        return self.starved(now, ended, awaited);
                    }
                    self.state = if let Some(nonce) = self.nonce {
                        let list = self.protocols.clone();
                        let machine =
                            SimultaneousOpen::propose(list, nonce, self.config, self.deadline, header_came, tx)?;
                        State::TieBreak(machine)
                    } else {
                        wire::put(tx, dialer::first(&self.protocols, &self.config)?.as_bytes());
                        State::Proposed { header_came }
                    };
                }
                State::Proposed { header_came } => {
                    if !*header_came && !wire::take_header(rx, max)? {
                        return self.starved(now, ended, Awaited::Header);
                    }
                    *header_came = true;
                    let Some(frame) = wire::frame(rx, max)? else {
                        return self.starved(now, ended, Awaited::Answer);
                    };
                    let ours = dialer::first(&self.protocols, &self.config)?.as_bytes();
                    if frame.name != ours && frame.name != wire::NA_NAME {
                        return Err(not_an_answer(frame.name, ours, &self.protocols));
                    }
                    let list = self.protocols.clone();
                    let dialer = Dialer::proposed(list, self.config, self.deadline, true);
                    return Ok(Some(self.settle(Settled::Dialer(dialer), Role::Initiator)));
                }
                State::TieBreak(machine) => return machine.step(now, rx, tx, ended),
                State::Settled(settled) => return settled.step(now, rx, tx, ended),
                State::Failed => return Err(self.fault.get()),
            }
        }
    }

    fn settle(&mut self, settled: Settled, role: Role) -> RoleEvent {
        self.state = State::Settled(settled);
        RoleEvent::Role(role)
    }

    fn due(&self) -> Time {
        match &self.state {
            State::Opening => Time::ZERO,
            State::Listening { hearing: false, .. } => self.until.min(self.deadline),
            State::Listening { hearing: true, .. } | State::Proposed { .. } => self.deadline,
            State::TieBreak(machine) => machine.deadline(),
            State::Settled(settled) => settled.deadline(),
            State::Failed => Time::NEVER,
        }
    }
}

machine!(ListenFirst => RoleEvent, deadline: ListenFirst::due);
