//! Simultaneous open: both ends believe that they dialed, and draw lots for the initiator.
//!
//! ```text
//!           header +                                             /libp2p/simultaneous-connect / select:<ours>
//!           /libp2p/simultaneous-connect +                    +------------------------------------------> Lot
//!           first proposal              header                |                                            |
//!  Opening ------------------> Header ---------------> Answer +                            select:<theirs> |
//!                                                             |                                            v
//!                                                             | na           responder        theirs lower / initiator
//!                              Settled (we initiate) <--------+----------------------------- Word
//!                              Settled (we respond)  <-------------------------------------- Word
//!                                                                            initiator        theirs higher / responder
//! ```
//! Spec: `libp2p/specs` connections/simopen.md. Deprecated there (libp2p/specs#573), and spoken by older go-libp2p nodes.

use crate::config::Config;
use crate::dialer::{self, Dialer, starved};
use crate::error::{Awaited, Error, Excerpt, Fault};
use crate::listener::Listener;
use crate::machine::machine;
use crate::protocol::Protocols;
use crate::roles::{RoleEvent, Settled};
use crate::wire;
use bytes::BytesMut;
use tidewire_core::{Machine, Role, Seed, Time};

const SELECT: &[u8] = b"select:";
const INITIATOR: &[u8] = b"initiator";
const RESPONDER: &[u8] = b"responder";

/// Negotiates a protocol on a connection that both ends may have dialed.
///
/// The first flight carries the header, `/libp2p/simultaneous-connect` and the first proposal. A plain listener answers `na`
/// to the second and goes on with the third: no round trip is lost. If the remote says `/libp2p/simultaneous-connect` too,
/// each end draws a number, the higher one initiates, and the list is proposed afresh.
///
/// The number comes from the seed, so both ends must have independent seeds, and a connection its own
/// ([`Seed::derive`]). Equal numbers are [`Error::Tie`].
///
/// Off unless you choose this machine: nothing else in this crate proposes `/libp2p/simultaneous-connect`, and a
/// [`Listener`] answers `na` to it.
///
/// ```
/// use bytes::BytesMut;
/// use tidewire_core::{Machine, Role, Seed, Time};
/// use tidewire_multistream::{Config, Protocols, RoleEvent, SimultaneousOpen};
///
/// let list = Protocols::parse(&["/noise"])?;
/// let mut ends = [1, 2].map(|byte| SimultaneousOpen::new(list.clone(), &Seed::new([byte; 32]), Config::default()));
/// let mut rx = [BytesMut::new(), BytesMut::new()];
/// let mut roles = Vec::new();
/// let mut agreed = 0;
/// for turn in (0..2).cycle() {
///     let mut tx = BytesMut::new();
///     while let Some(event) = ends[turn].advance(Time::ZERO, &mut rx[turn], &mut tx)? {
///         match event {
///             RoleEvent::Role(role) => roles.push(role),
///             RoleEvent::Agreed { .. } => agreed += 1,
///             _ => {}
///         }
///     }
///     rx[1 - turn].extend_from_slice(&tx);
///     if agreed == 2 {
///         break;
///     }
/// }
/// assert_eq!(roles[0], roles[1].opposite());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SimultaneousOpen {
    proposals: Protocols,
    nonce: u64,
    state: State,
    fault: Fault,
    deadline: Time,
    config: Config,
}

#[derive(Clone, Debug)]
enum State {
    Opening,
    Header,
    /// Waits for the answer to `/libp2p/simultaneous-connect`.
    Answer,
    /// Waits for the remote's number; `skipped`: the proposal that it sent along was passed over.
    Lot {
        skipped: bool,
    },
    /// We have the higher or the lower number; waits for the remote to say that it sees it the same way.
    Word(Role),
    Settled(Settled),
    Failed,
}

impl SimultaneousOpen {
    /// Proposes these names as initiator, serves the same as responder.
    pub fn new(protocols: Protocols, seed: &Seed, config: Config) -> SimultaneousOpen {
        SimultaneousOpen {
            proposals: protocols,
            nonce: nonce(seed),
            state: State::Opening,
            fault: Fault::default(),
            deadline: Time::ZERO,
            config,
        }
    }

    /// Says what comes behind the header, on a stream where ours was sent already and the clock runs.
    pub(crate) fn propose(
        protocols: Protocols,
        nonce: u64,
        config: Config,
        deadline: Time,
        header_came: bool,
        tx: &mut BytesMut,
    ) -> Result<SimultaneousOpen, Error> {
        let first = dialer::first(&protocols, &config)?;
        tx.extend_from_slice(wire::SIMULTANEOUS);
        wire::put(tx, first.as_bytes());
        let state = if header_came { State::Answer } else { State::Header };
        Ok(SimultaneousOpen { proposals: protocols, nonce, state, fault: Fault::default(), deadline, config })
    }

    pub(crate) fn step(
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
                    let first = dialer::first(&self.proposals, &self.config)?;
                    tx.extend_from_slice(wire::HEADER);
                    tx.extend_from_slice(wire::SIMULTANEOUS);
                    wire::put(tx, first.as_bytes());
                    self.deadline = now + self.config.timeout;
                    self.state = State::Header;
                }
                State::Header => {
                    if !wire::take_header(rx, max)? {
                        return self.starved(now, ended, Awaited::Header);
                    }
                    self.state = State::Answer;
                }
                State::Answer => {
                    let Some(frame) = wire::frame(rx, max)? else {
                        return self.starved(now, ended, Awaited::Answer);
                    };
                    if frame.name == wire::NA_NAME {
                        wire::consume(rx, wire::NA.len());
                        let list = self.proposals.clone();
                        let dialer = Dialer::proposed(list, self.config, self.deadline, true);
                        return Ok(Some(self.settle(Settled::Dialer(dialer), Role::Initiator)));
                    }
                    if frame.name != wire::SIMULTANEOUS_NAME {
                        return Err(not_an_answer(frame.name, wire::SIMULTANEOUS_NAME, &self.proposals));
                    }
                    wire::consume(rx, wire::SIMULTANEOUS.len());
                    put_number(tx, self.nonce);
                    self.state = State::Lot { skipped: false };
                }
                State::Lot { skipped } => {
                    let Some(frame) = wire::frame(rx, max)? else {
                        return self.starved(now, ended, Awaited::Selection);
                    };
                    let len = frame.whole.len();
                    let text = wire::text(frame.name)?;
                    // The remote's first proposal, which it sent along with its first flight, counts for nothing now. The
                    // prefix tells it from the number, so a remote that sent none is understood, too.
                    if !*skipped && !frame.name.starts_with(SELECT) {
                        *skipped = true;
                        wire::consume(rx, len);
                        continue;
                    }
                    let theirs = number(text).ok_or_else(|| Error::unexpected("select:<number>", frame.name))?;
                    wire::consume(rx, len);
                    self.state = match theirs.cmp(&self.nonce) {
                        core::cmp::Ordering::Equal => return Err(Error::Tie { nonce: theirs }),
                        core::cmp::Ordering::Less => {
                            wire::put(tx, INITIATOR);
                            State::Word(Role::Initiator)
                        }
                        core::cmp::Ordering::Greater => {
                            wire::put(tx, RESPONDER);
                            State::Word(Role::Responder)
                        }
                    };
                }
                State::Word(role) => {
                    let role = *role;
                    let (expected, shown) =
                        if role.is_initiator() { (RESPONDER, "responder") } else { (INITIATOR, "initiator") };
                    let Some(len) = wire::starts_with(rx, expected) else {
                        return match wire::frame(rx, max)? {
                            Some(frame) => {
                                wire::text(frame.name)?;
                                Err(Error::unexpected(shown, frame.name))
                            }
                            None => self.starved(now, ended, Awaited::Selection),
                        };
                    };
                    wire::consume(rx, len);
                    let list = self.proposals.clone();
                    let settled = if role.is_initiator() {
                        Settled::Dialer(Dialer::resume_by(list, self.config, self.deadline))
                    } else {
                        Settled::Listener(Listener::resume(list, self.config, self.deadline))
                    };
                    return Ok(Some(self.settle(settled, role)));
                }
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
            State::Settled(settled) => settled.deadline(),
            State::Failed => Time::NEVER,
            _ => self.deadline,
        }
    }
}

machine!(SimultaneousOpen => RoleEvent, deadline: SimultaneousOpen::due);

/// The number that a seed draws.
pub(crate) fn nonce(seed: &Seed) -> u64 {
    let derived = seed.derive("multistream simultaneous open", 0);
    let [a, b, c, d, e, f, g, h, ..] = *derived.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// The error for a frame that stands where an answer to `ours` was due: a crossing, if the remote proposes something that
/// only a dialer says.
pub(crate) fn not_an_answer(theirs: &[u8], ours: &[u8], proposals: &Protocols) -> Error {
    match wire::text(theirs) {
        Err(error) => error,
        Ok(_) if theirs == wire::SIMULTANEOUS_NAME || proposals.iter().any(|name| name.as_bytes() == theirs) => {
            Error::Crossed { ours: Excerpt::of(ours), theirs: Excerpt::of(theirs) }
        }
        Ok(_) => match core::str::from_utf8(ours) {
            Ok(ours) => Error::unexpected(ours, theirs),
            Err(_) => Error::unexpected("", theirs), // ours is a name of ours
        },
    }
}

/// Appends `select:<number>`.
fn put_number(tx: &mut BytesMut, number: u64) {
    let mut digits = [0u8; 20]; // u64::MAX has 20
    let mut at = digits.len();
    let mut rest = number;
    for (i, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        at = i;
        if rest == 0 {
            break;
        }
    }
    let digits = digits.get(at..).unwrap_or_default();
    wire::put_length(tx, SELECT.len() + digits.len() + 1);
    tx.extend_from_slice(SELECT);
    tx.extend_from_slice(digits);
    tx.extend_from_slice(b"\n");
}

/// Reads `select:<number>`.
fn number(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("select:")?;
    // Digits alone: `parse` by itself would take a sign.
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_wire_at_their_edges() {
        for n in [0, 9, 10, 12345, u64::MAX] {
            let mut tx = BytesMut::new();
            put_number(&mut tx, n);
            let frame = wire::frame(&tx, 1024).unwrap().unwrap();
            assert_eq!(number(core::str::from_utf8(frame.name).unwrap()), Some(n));
        }
        for bad in ["select:", "select:+1", "select:-1", "select: 1", "select:18446744073709551616", "1", "select:1x"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
