//! The listener: answers proposals until one is served.
//!
//! ```text
//!              header / header                 served name / echo
//!  Idle, Header ---------------> Proposal ---------------------> Done
//!                                |      ^
//!           unknown / na, ls / list     |
//!                                +------+
//! ```
//! Spec: `multiformats/multistream-select`, "Protocol", "Listing" and "Protocol Selection"; `libp2p/specs`
//! connections/README.md, "multistream-select" and "Opening New Streams Over a Connection".

use crate::config::Config;
use crate::dialer::starved;
use crate::error::{Awaited, Error, Fault};
use crate::list;
use crate::machine::machine;
use crate::protocol::{Protocol, Protocols};
use crate::router::{RouteId, Router};
use crate::wire::{self, Frame};
use alloc::sync::Arc;
use bytes::BytesMut;
use tidewire_core::{Machine, Time};

/// Negotiates a protocol as the side that answers.
///
/// Sends its header in answer to the remote's, unless [`Config::eager_header`] asks for it at once. A served proposal is
/// echoed, and [`Accepted`] ends the negotiation within the same call: the application may append to `tx` behind the answer,
/// and what follows in `rx` is its first data. Any other proposal gets `na`, `ls` gets the list of names.
///
/// A remote that finished its side gets its answer all the same: [`end`](Machine::end) serves what is complete in `rx`.
///
/// ```
/// use bytes::BytesMut;
/// use tidewire_core::{Machine, Time};
/// use tidewire_multistream::{Config, Listener, Protocols};
///
/// let mut rx = BytesMut::from(&b"\x13/multistream/1.0.0\n\x07/noise\n and what follows"[..]);
/// let mut tx = BytesMut::new();
/// let mut listener = Listener::new(Protocols::parse(&["/tls/1.0.0", "/noise"])?, Config::default());
/// let accepted = listener.advance(Time::ZERO, &mut rx, &mut tx)?.expect("all is there");
/// assert_eq!(accepted.protocol, "/noise");
/// assert_eq!(accepted.route.get(), 1); // its place in the list
/// assert_eq!(&tx[..], b"\x13/multistream/1.0.0\n\x07/noise\n");
/// assert_eq!(&rx[..], b" and what follows");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Listener {
    served: Served,
    state: State,
    fault: Fault,
    rounds: usize,
    deadline: Time,
    config: Config,
}

/// What a [`Listener`] agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The name as the remote proposed it: from here on both ends speak this.
    pub protocol: Protocol,
    /// Over a [`Router`]: the id of the route that took it. Over a fixed set: the place in the list.
    pub route: RouteId,
}

#[derive(Clone, Debug)]
enum Served {
    Set(Protocols),
    Router(Arc<Router>),
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Never called.
    Idle,
    /// Waits for the remote's header; whether ours was sent.
    Header {
        sent: bool,
    },
    Proposal,
    Done,
    Failed,
}

impl Listener {
    /// A listener that serves exactly these names.
    pub fn new(served: Protocols, config: Config) -> Listener {
        Listener {
            served: Served::Set(served),
            state: State::Idle,
            fault: Fault::default(),
            rounds: 0,
            deadline: Time::ZERO,
            config,
        }
    }

    /// A listener that serves what the router has routes for, as it is now: later changes need a new `Arc`.
    pub fn routed(router: Arc<Router>, config: Config) -> Listener {
        Listener {
            served: Served::Router(router),
            state: State::Idle,
            fault: Fault::default(),
            rounds: 0,
            deadline: Time::ZERO,
            config,
        }
    }

    /// A listener on a stream where both headers were exchanged already, and whose clock runs.
    pub(crate) fn resume(served: Protocols, config: Config, deadline: Time) -> Listener {
        Listener {
            served: Served::Set(served),
            state: State::Proposal,
            fault: Fault::default(),
            rounds: 0,
            deadline,
            config,
        }
    }

    #[inline]
    fn step(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        ended: bool,
    ) -> Result<Option<Accepted>, Error> {
        loop {
            match self.state {
                State::Idle => {
                    self.deadline = now + self.config.timeout;
                    if self.config.eager_header {
                        tx.extend_from_slice(wire::HEADER);
                    }
                    self.state = State::Header { sent: self.config.eager_header };
                }
                State::Header { sent } => {
                    if !sent && tx.len() > self.config.max_tx && !ended {
                        return self.starved(now, false, Awaited::Header);
                    }
                    if !wire::take_header(rx, self.config.max_frame)? {
                        return self.starved(now, ended, Awaited::Header);
                    }
                    if !sent {
                        tx.extend_from_slice(wire::HEADER);
                    }
                    self.state = State::Proposal;
                }
                State::Proposal => {
                    if tx.len() > self.config.max_tx && !ended {
                        return self.starved(now, false, Awaited::Proposal);
                    }
                    let Some(frame) = wire::frame(rx, self.config.max_frame)? else {
                        return self.starved(now, ended, Awaited::Proposal);
                    };
                    let len = frame.whole.len();
                    let accepted = match self.served.find(frame.name)? {
                        Some(accepted) => {
                            tx.extend_from_slice(frame.whole);
                            self.state = State::Done;
                            self.deadline = Time::NEVER;
                            Some(accepted)
                        }
                        None => {
                            self.decline(frame, tx)?;
                            None
                        }
                    };
                    wire::consume(rx, len);
                    if accepted.is_some() {
                        return Ok(accepted);
                    }
                }
                State::Done => return Ok(None),
                State::Failed => return Err(self.fault.get()),
            }
        }
    }

    /// Answers a frame that is no served name.
    fn decline(&mut self, frame: Frame<'_>, tx: &mut BytesMut) -> Result<(), Error> {
        if frame.name == wire::HEADER_NAME {
            return Err(Error::RepeatedHeader);
        }
        let limit = self.config.max_rounds;
        if self.rounds >= limit {
            return Err(Error::TooManyRounds { limit });
        }
        self.rounds += 1;
        if frame.name == wire::LS_NAME {
            let max = self.config.max_list;
            match &self.served {
                Served::Set(names) => list::put(tx, names.iter(), max),
                Served::Router(router) => list::put(tx, router.listed(), max),
            }
        } else {
            tx.extend_from_slice(wire::NA);
        }
        Ok(())
    }
}

machine!(Listener => Accepted, deadline: |machine| machine.deadline);

impl Served {
    /// Who serves this name, if anyone. Names that are equal to one of ours byte for byte are not decoded.
    #[inline]
    fn find(&self, name: &[u8]) -> Result<Option<Accepted>, Error> {
        match self {
            Served::Set(names) => match names.iter().position(|served| served.as_bytes() == name) {
                Some(index) => Ok(names
                    .get(index)
                    .map(|served| Accepted { protocol: served.clone(), route: RouteId::new(index as u64) })),
                None => wire::check_text(name).map(|()| None),
            },
            Served::Router(router) => router.find(name),
        }
    }
}
