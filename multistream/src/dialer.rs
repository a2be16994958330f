//! The dialer: proposes names, one after the other, until the remote agrees.
//!
//! ```text
//!            header + proposal                 header                       echo
//!  Opening ---------------------> Header --------------------> Answer ----------------> Done
//!                                                              |   ^
//!                                                          na  +---+ next proposal
//! ```
//! Spec: `multiformats/multistream-select`, "Protocol" and "Protocol Selection"; `libp2p/specs` connections/README.md,
//! "multistream-select".

use crate::config::Config;
use crate::error::{Awaited, Error, Fault};
use crate::machine::machine;
use crate::protocol::{Protocol, Protocols};
use crate::wire;
use bytes::BytesMut;
use tidewire_core::{Machine, Time};

/// Negotiates a protocol as the side that proposes.
///
/// The first call writes the header and the first proposal in one flight. Each `na` from the remote costs a round trip and
/// brings the next proposal. [`Agreed`] ends it: what follows in `rx` belongs to the agreed protocol and is left there, and
/// the machine does nothing any more.
///
/// A list that is empty, or longer than [`Config::max_proposals`], is an error of the first call.
///
/// ```
/// use bytes::BytesMut;
/// use tidewire_core::{Machine, Time};
/// use tidewire_multistream::{Config, Dialer, Protocols};
///
/// let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
/// let mut dialer = Dialer::new(Protocols::parse(&["/noise", "/plaintext/2.0.0"])?, Config::default());
/// assert_eq!(dialer.advance(Time::ZERO, &mut rx, &mut tx), Ok(None));
/// assert_eq!(&tx[..], b"\x13/multistream/1.0.0\n\x07/noise\n");
///
/// rx.extend_from_slice(b"\x13/multistream/1.0.0\n\x07/noise\n and what follows");
/// let agreed = dialer.advance(Time::ZERO, &mut rx, &mut tx)?.expect("all is there");
/// assert_eq!(agreed.protocol, "/noise");
/// assert_eq!(&rx[..], b" and what follows");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Lazy selection
///
/// [`Dialer::lazy`] proposes a single name and lets the application write at once behind it ([`Dialer::may_write`]), so that
/// header, proposal and data share a flight. The remote's answer is awaited on the reading side only: nothing that the
/// application reads comes before [`Agreed`], and a refusal is the error of the first read. Then the data that was sent is
/// lost, and so is the stream: the remote took it for proposals.
#[derive(Clone, Debug)]
pub struct Dialer {
    proposals: Protocols,
    index: usize,
    state: State,
    fault: Fault,
    lazy: bool,
    deadline: Time,
    config: Config,
}

/// What a [`Dialer`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The protocol that both ends speak from here on.
    pub protocol: Protocol,
    /// Its place in the list that the machine was given.
    pub index: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing was said.
    Opening,
    /// The header was exchanged by another machine; our first proposal was not.
    Resuming,
    Header,
    Answer,
    Done,
    Failed,
}

impl Dialer {
    /// A dialer that proposes these names in this order.
    pub fn new(proposals: Protocols, config: Config) -> Dialer {
        Dialer {
            proposals,
            index: 0,
            state: State::Opening,
            fault: Fault::default(),
            lazy: false,
            deadline: Time::ZERO,
            config,
        }
    }

    /// A dialer for lazy selection of the only protocol that comes into question.
    ///
    /// After the first call to [`advance`](Machine::advance) the application may append its data to the same `tx`.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use tidewire_core::{Machine, Time};
    /// use tidewire_multistream::{Config, Dialer, Error, Protocol, Protocols};
    ///
    /// let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    /// let mut dialer = Dialer::lazy(Protocol::from_static("/echo/1.0.0"), Config::default());
    /// assert_eq!(dialer.advance(Time::ZERO, &mut rx, &mut tx), Ok(None));
    /// assert!(dialer.may_write());
    /// tx.extend_from_slice(b"hello"); // one flight, and no round trip before it
    ///
    /// rx.extend_from_slice(b"\x13/multistream/1.0.0\n\x03na\n");
    /// let refused = Error::Refused { proposals: Protocol::from_static("/echo/1.0.0").into() };
    /// assert_eq!(dialer.advance(Time::ZERO, &mut rx, &mut tx), Err(refused));
    /// ```
    pub fn lazy(protocol: Protocol, config: Config) -> Dialer {
        Dialer { lazy: true, ..Dialer::new(protocol.into(), config) }
    }

    /// A dialer on a stream where both headers were exchanged already, such as after a [`List`](crate::List).
    pub fn resume(proposals: Protocols, config: Config) -> Dialer {
        Dialer { state: State::Resuming, ..Dialer::new(proposals, config) }
    }

    /// The same, with a clock that runs.
    pub(crate) fn resume_by(proposals: Protocols, config: Config, deadline: Time) -> Dialer {
        Dialer { deadline, ..Dialer::resume(proposals, config) }
    }

    /// A dialer whose first proposal is on its way, and whose clock runs.
    pub(crate) fn proposed(proposals: Protocols, config: Config, deadline: Time, header_came: bool) -> Dialer {
        let state = if header_came { State::Answer } else { State::Header };
        Dialer { state, deadline, ..Dialer::new(proposals, config) }
    }

    /// Whether the application may append to `tx`: once agreed, and before that after the first call to a
    /// [lazy](Dialer::lazy) dialer.
    pub fn may_write(&self) -> bool {
        match self.state {
            State::Done => true,
            State::Header | State::Answer => self.lazy,
            State::Opening | State::Resuming | State::Failed => false,
        }
    }

    #[inline]
    fn step(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut, ended: bool) -> Result<Option<Agreed>, Error> {
        loop {
            match self.state {
                State::Opening => {
                    let first = first(&self.proposals, &self.config)?;
                    wire::put_opening(tx, first);
                    self.deadline = now + self.config.timeout;
                    self.state = State::Header;
                }
                State::Resuming => {
                    let first = first(&self.proposals, &self.config)?;
                    wire::put(tx, first.as_bytes());
                    // Unless the clock runs already.
                    if self.deadline == Time::ZERO {
                        self.deadline = now + self.config.timeout;
                    }
                    self.state = State::Answer;
                }
                State::Header => {
                    if !wire::take_header(rx, self.config.max_frame)? {
                        return self.starved(now, ended, Awaited::Header);
                    }
                    self.state = State::Answer;
                }
                State::Answer => {
                    if rx.is_empty() {
                        return self.starved(now, ended, Awaited::Answer);
                    }
                    let Some(proposed) = self.proposals.get(self.index) else {
                        return Err(Error::NothingToPropose); // the index stays inside the list
                    };
                    if let Some(len) = wire::starts_with(rx, proposed.as_bytes()) {
                        wire::consume(rx, len);
                        self.state = State::Done;
                        self.deadline = Time::NEVER;
                        return Ok(Some(Agreed { protocol: proposed.clone(), index: self.index }));
                    }
                    if !wire::is_na(rx) {
                        return match wire::frame(rx, self.config.max_frame)? {
                            Some(frame) => {
                                wire::text(frame.name)?;
                                Err(Error::unexpected_reply(proposed, frame.name))
                            }
                            None => self.starved(now, ended, Awaited::Answer),
                        };
                    }
                    let Some(next) = self.proposals.get(self.index + 1) else {
                        wire::consume(rx, wire::NA.len());
                        return Err(Error::Refused { proposals: self.proposals.clone() });
                    };
                    if tx.len() > self.config.max_tx && !ended {
                        return self.starved(now, false, Awaited::Answer);
                    }
                    wire::consume(rx, wire::NA.len());
                    wire::put(tx, next.as_bytes());
                    self.index += 1;
                }
                State::Done => return Ok(None),
                State::Failed => return Err(self.fault.get()),
            }
        }
    }
}

machine!(Dialer => Agreed, deadline: |machine| machine.deadline);

/// The first name of a list that may be proposed.
pub(crate) fn first<'a>(proposals: &'a Protocols, config: &Config) -> Result<&'a Protocol, Error> {
    let (count, limit) = (proposals.len(), config.max_proposals);
    if count > limit {
        return Err(Error::TooManyProposals { count, limit });
    }
    proposals.first().ok_or(Error::NothingToPropose)
}

/// What it means that `rx` brings nothing more for now: patience, the remote's end, or the end of patience.
pub(crate) fn starved(now: Time, ended: bool, awaited: Awaited, deadline: Time, config: &Config) -> Result<(), Error> {
    if ended {
        return Err(Error::EndedEarly { awaited });
    }
    if now >= deadline && !deadline.is_never() {
        return Err(Error::TimedOut { timeout: config.timeout, awaited });
    }
    Ok(())
}
