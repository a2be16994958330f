//! What the client wants done, and what it tells.

use crate::exchange::{Ask, Reply};
use crate::splice::LimitReached;
use crate::{AskId, CircuitDialId, ConnectionId, Limit, Status, StreamKey, VoucherError};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::{Multiaddr, PeerId};

/// What to do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Get a connection to this relay, a direct one. Answered by [`Input::Connected`](super::Input::Connected), or
    /// [`Input::ConnectFailed`](super::Input::ConnectFailed); not said again until then.
    Connect {
        /// To whom.
        relay: PeerId,
        /// Where: none of them through a relay. May be empty: where else it is known to be.
        addresses: Vec<Multiaddr>,
    },
    /// Nobody wants that connection any more. No answer is expected.
    CancelConnect {
        /// To whom.
        relay: PeerId,
    },
    /// Ask this on a new hop stream of this connection. Answered by [`Input::Answered`](super::Input::Answered) or
    /// [`Input::AskFailed`](super::Input::AskFailed).
    Ask {
        /// The question's number.
        ask: AskId,
        /// On which connection.
        connection: ConnectionId,
        /// [`Ask::Reserve`] or [`Ask::Connect`].
        what: Ask,
    },
    /// Reset the question's stream. No answer is expected any more.
    CancelAsk {
        /// Which.
        ask: AskId,
    },
    /// Answer the request on this stop stream. After a `Refused`, and once it is sent, the stream is to be closed.
    Reply {
        /// Which.
        stream: StreamKey,
        /// [`Reply::Accepted`] or [`Reply::Refused`].
        reply: Reply,
    },
    /// Dials are answered: make a connection to `destination` of this stream. We initiate.
    Circuit {
        /// All who wanted it, the first one first.
        dials: Vec<CircuitDialId>,
        /// The hop stream.
        over: StreamKey,
        /// Through whom.
        relay: PeerId,
        /// To whom.
        destination: PeerId,
        /// What the relay gives it.
        limit: Limit,
    },
    /// A circuit was accepted: make a connection to `source` of this stream. We respond. Its `Reply` stands before this action.
    CircuitIn {
        /// The stop stream.
        over: StreamKey,
        /// Through whom.
        relay: PeerId,
        /// From whom.
        source: PeerId,
        /// What the relay gives it.
        limit: Limit,
    },
    /// There is no circuit for this wish.
    DialFailed {
        /// Which.
        dial: CircuitDialId,
        /// Why. Nothing is tried again at this relay; whether elsewhere is the caller's to say.
        why: DialError,
    },
    /// Whether to accept a circuit. Answered by [`Input::Decide`](super::Input::Decide); a question that isn't answered in time is a
    /// no.
    AskAccept {
        /// The stream of the request.
        stream: StreamKey,
        /// Through whom.
        relay: PeerId,
        /// From whom.
        source: PeerId,
        /// What the relay gives it.
        limit: Limit,
    },
    /// Our addresses through relays, all of them, sorted: to be announced. Said when they are others than before.
    Circuits(
        /// Each with our peer id at its end.
        Vec<Multiaddr>,
    ),
    /// We have a reservation with this relay: keep its connections, the reservation ends with them.
    Keep {
        /// Which.
        peer: PeerId,
    },
    /// We have none any more.
    Release {
        /// Which.
        peer: PeerId,
    },
    /// Tell the application.
    Event(Event),
}

/// What the application may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// We have a reservation.
    Reserved {
        /// With whom.
        relay: PeerId,
        /// How long it is taken to last.
        ttl: Duration,
        /// What the relay gives a circuit to us.
        limit: Limit,
    },
    /// It was renewed.
    Renewed {
        /// With whom.
        relay: PeerId,
        /// How long it is taken to last from now on.
        ttl: Duration,
    },
    /// The relay gives none, or none that we take. What we have, we keep until its end.
    Refused {
        /// Which.
        relay: PeerId,
        /// Why, and what to do about it: [`Refusal::advice`].
        why: Refusal,
        /// When it is asked again; `None`: not before something changes.
        retry: Option<Duration>,
    },
    /// There was no answer.
    Failed {
        /// Of whom.
        relay: PeerId,
        /// Why.
        why: SmolStr,
        /// When it is tried again: who can't be reached is tried for ever.
        retry: Duration,
    },
    /// We have no reservation any more. It is asked for again, unless the event before says otherwise.
    Lost {
        /// With whom.
        relay: PeerId,
        /// Why.
        why: Lost,
    },
    /// A circuit was not accepted.
    CircuitRefused {
        /// On which connection.
        connection: ConnectionId,
        /// Through whom.
        relay: PeerId,
        /// From whom.
        source: PeerId,
        /// Why.
        why: StopRefusal,
        /// How many this stands for; the rest speaks of the last of them. The client itself tells of each: 1. Its caller may tell
        /// those that follow on one connection together, as `tidewire-host` does.
        count: u64,
    },
    /// A circuit is over.
    CircuitEnded {
        /// Its stream.
        over: StreamKey,
        /// The connection that was made of it, if one was. The client itself doesn't know of it, and says `None`; its caller may,
        /// as `tidewire-host` does.
        connection: Option<ConnectionId>,
        /// Through whom.
        relay: PeerId,
        /// To or from whom.
        peer: PeerId,
        /// Why.
        why: CircuitEnd,
        /// How long it was open.
        lasted: Duration,
    },
}

/// Why there is no reservation at a relay that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The relay says so.
    Status(Status),
    /// Its voucher is wrong ([`VoucherPolicy`](super::VoucherPolicy)).
    Voucher(VoucherError),
    /// It gave no voucher, and we want one.
    NoVoucher,
    /// It does not speak the hop protocol.
    Unsupported,
}

/// Why a reservation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// The last direct connection to the relay ended (circuit-v2.md, "Reservation": it is no longer valid then).
    Disconnected,
    /// It could not be renewed in time.
    Expired,
    /// Its connection ended, there is another one, and the relay gives none on that: rust-libp2p's tie it to the connection.
    NotMoved,
}

/// Why there is no circuit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The relay can't be reached.
    #[error("the relay can't be reached: {0}")]
    RelayUnreachable(SmolStr),
    /// There was no connection to it in time.
    #[error("there was no connection to the relay after {} s", .0.as_secs_f32())]
    RelayTimeout(Duration),
    /// No address of it is known, and there is no direct connection to it.
    #[error(
        "no direct address of the relay was given, and there is no direct connection to it; a circuit can't go over another one"
    )]
    NoAddresses,
    /// The connection to it ended before it answered.
    #[error("the connection to the relay ended before it answered")]
    RelayLost,
    /// The relay refuses.
    #[error("the relay refuses: {0}")]
    Refused(Status),
    /// It does not speak the hop protocol.
    #[error("the peer is no relay, or it is shutting down: it does not speak the hop protocol")]
    Unsupported,
    /// It gave no answer that can be used.
    #[error("the relay gave no answer: {0}")]
    NoAnswer(SmolStr),
    /// It gave none in time.
    #[error("the relay gave no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// As many dials wait as may.
    #[error("{0} dials wait already (`dials` allows more)")]
    TooManyDials(u32),
    /// There are as many circuits as may be.
    #[error("{0} circuits were dialed already (`circuits_out` allows more)")]
    TooManyCircuits(u32),
}

/// Why a circuit was not accepted. The first of these that holds.
///
/// | | status |
/// |---|---|
/// | [`Relayed`](StopRefusal::Relayed) | `PERMISSION_DENIED` |
/// | [`OwnPeer`](StopRefusal::OwnPeer) | `PERMISSION_DENIED` |
/// | [`NotHeld`](StopRefusal::NotHeld), [`Nobody`](StopRefusal::Nobody) | `NO_RESERVATION`, `PERMISSION_DENIED` |
/// | [`TooMany`](StopRefusal::TooMany), [`TooManyOfSource`](StopRefusal::TooManyOfSource) | `RESOURCE_LIMIT_EXCEEDED` |
/// | [`Denied`](StopRefusal::Denied) | `PERMISSION_DENIED` |
/// | [`Undecided`](StopRefusal::Undecided) | `CONNECTION_FAILED` |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopRefusal {
    /// It came over a circuit: a circuit inside a circuit.
    Relayed,
    /// Its source is ourselves.
    OwnPeer,
    /// We hold no reservation with this relay.
    NotHeld,
    /// We accept none from anybody.
    Nobody,
    /// There are as many as may be.
    TooMany,
    /// There are as many as may be of this source.
    TooManyOfSource,
    /// The application says no.
    Denied,
    /// The application said nothing in time.
    Undecided,
}

/// Why a circuit is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CircuitEnd {
    /// We ended it.
    Local,
    /// The other end, or the relay, closed it.
    Closed,
    /// The other end, or the relay, reset it, and no limit explains that.
    Reset,
    /// It used up what the relay gives.
    LimitReached(LimitReached),
    /// The connection to the relay ended.
    RelayLost,
}

impl Refusal {
    /// Whether asking again soon can't help: it needs another configuration, here or there.
    pub fn is_lasting(&self) -> bool {
        match self {
            Refusal::Status(Status::RESERVATION_REFUSED | Status::RESOURCE_LIMIT_EXCEEDED) => false,
            // Of codes that we don't know nothing can be said; the known others are no matter of time.
            Refusal::Status(status) => status.name().is_some(),
            Refusal::Voucher(_) | Refusal::NoVoucher | Refusal::Unsupported => true,
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Refusal::Status(Status::RESERVATION_REFUSED | Status::RESOURCE_LIMIT_EXCEEDED) => {
                "the relay is full, or was asked too often: it is asked again later; use another relay as well"
            }
            Refusal::Status(Status::PERMISSION_DENIED) => {
                "the relay's rules don't allow it: ask its operator, and connect to it directly"
            }
            Refusal::Status(Status::MALFORMED_MESSAGE | Status::UNEXPECTED_MESSAGE) => {
                "the relay didn't understand the request: it speaks another dialect; use another relay"
            }
            Refusal::Status(_) => "the relay doesn't say why in terms that are known: use another relay as well",
            Refusal::Voucher(_) => {
                "don't trust this relay; if it is yours, look at its key and its clock, or set `voucher` to `Ignore`"
            }
            Refusal::NoVoucher => "the relay gives no vouchers, and `voucher` is `Require`: use another relay",
            Refusal::Unsupported => "the peer is no relay, or serves none at present: use another one",
        }
    }
}

impl StopRefusal {
    /// What the relay is told.
    pub const fn status(self) -> Status {
        match self {
            StopRefusal::NotHeld => Status::NO_RESERVATION,
            StopRefusal::TooMany | StopRefusal::TooManyOfSource => Status::RESOURCE_LIMIT_EXCEEDED,
            StopRefusal::Undecided => Status::CONNECTION_FAILED,
            StopRefusal::Relayed | StopRefusal::OwnPeer | StopRefusal::Nobody | StopRefusal::Denied => {
                Status::PERMISSION_DENIED
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Status(status) => write!(f, "it answers {status}"),
            Refusal::Voucher(error) => fmt::Display::fmt(error, f),
            Refusal::NoVoucher => f.write_str("it gave no voucher"),
            Refusal::Unsupported => f.write_str("it does not speak the hop protocol"),
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lost::Disconnected => "the last direct connection to the relay ended",
            Lost::Expired => "it could not be renewed in time",
            Lost::NotMoved => "its connection ended, and the relay gives none on the other one",
        })
    }
}

impl fmt::Display for StopRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StopRefusal::Relayed => "it came over a circuit",
            StopRefusal::OwnPeer => "its source is ourselves",
            StopRefusal::NotHeld => "we hold no reservation with this relay",
            StopRefusal::Nobody => "we accept none",
            StopRefusal::TooMany => "there are as many as may be",
            StopRefusal::TooManyOfSource => "there are as many of this source as may be",
            StopRefusal::Denied => "the application says no",
            StopRefusal::Undecided => "the application said nothing in time",
        })
    }
}

impl fmt::Display for CircuitEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CircuitEnd::Local => f.write_str("we ended it"),
            CircuitEnd::Closed => f.write_str("it was closed at the other end"),
            CircuitEnd::Reset => f.write_str("it was reset at the other end"),
            CircuitEnd::LimitReached(limit) => fmt::Display::fmt(limit, f),
            CircuitEnd::RelayLost => f.write_str("the connection to the relay ended"),
        }
    }
}
