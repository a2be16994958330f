//! What a host and its links say to each other, and what a link tells the application: small, plain, sendable.

use crate::identify::Identity;
use crate::{AskNumber, By, Direction, OpenId, StreamId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_connmgr::{CloseReason, StreamRefusal};
use tidewire_core::{Multiaddr, PeerId, Role};
use tidewire_dcutr::exchange::{Fault as PunchFault, Heard};
use tidewire_multistream::{Protocol, Protocols, RouteId};
use tidewire_relay::client::Ending;
use tidewire_relay::exchange::{Answer, Ask, AskError, Reply, Request};
use tidewire_upgrade::connection::Selection;
use tidewire_upgrade::muxer::{self, MuxerKind};
use tidewire_upgrade::pipeline::Progress;

/// What a link is to do: from the host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// The application may have this stream, or the remote's question who we are may be answered: the link is to have the latest
    /// [`Card`](crate::identify::Card) by then.
    Admit {
        /// Which.
        stream: StreamId,
    },
    /// Reset this stream: it is not to be. The host answers who asked for it.
    Refuse {
        /// Which.
        stream: StreamId,
        /// Why.
        reason: StreamRefusal,
    },
    /// Open a stream. Answered by [`Report::StreamOpened`] or [`Report::OpenFailed`].
    Open {
        /// The wish.
        open: OpenId,
        /// What is proposed on it.
        protocols: Protocols,
        /// How.
        selection: Selection,
    },
    /// The wish for this stream was given up.
    Forget {
        /// The wish.
        open: OpenId,
    },
    /// Ask the remote who it is. Answered by [`Report::Identified`] or [`Report::IdentifyFailed`].
    Identify,
    /// Tell the remote who we are now.
    Push,
    /// Ask this on a stream of our own. Answered by [`Report::Answered`], more than once where the protocol has it so.
    Ask {
        /// The question's number.
        ask: AskNumber,
        /// What.
        what: Ask,
    },
    /// Pay what [`Answer::CostAsked`] said.
    Pay {
        /// For which question.
        ask: AskNumber,
    },
    /// Nobody waits for the answer any more: reset the stream. Nothing is reported of it.
    Unask {
        /// Which question.
        ask: AskNumber,
    },
    /// Answer what the remote asked on this stream.
    Reply {
        /// Which.
        stream: StreamId,
        /// What.
        reply: Reply,
    },
    /// Open a stream for a hole punch, and say `CONNECT` with these addresses. Answered by [`Report::Heard`], or by
    /// [`Report::Answered`] if there is no stream. [`Order::Unask`] resets it.
    Punch {
        /// The question's number.
        ask: AskNumber,
        /// Ours.
        addresses: Vec<Multiaddr>,
    },
    /// Say `SYNC` on it, and end it. Nothing more is reported of it.
    Sync {
        /// Which question.
        ask: AskNumber,
    },
    /// Answer the `CONNECT` on this stream of the remote's with ours.
    Connect {
        /// Which.
        stream: StreamId,
        /// Our addresses.
        addresses: Vec<Multiaddr>,
    },
    /// Nobody wants this circuit, or answers this request: reset its stream.
    Reset {
        /// Which.
        stream: StreamId,
    },
    /// Ping the remote. Answered by [`Report::Pong`] or [`Report::PingUnsupported`], or by nothing. Where no stream is to be had
    /// for it, or the remote doesn't speak the protocol, the multiplexer pings, if it can.
    Ping,
    /// Close the connection. [`Report::Ended`] follows.
    Close {
        /// Why: for people. What the remote is told is a number.
        reason: CloseReason,
    },
}

/// What happened on a link: for the host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Report {
    /// The connection is upgraded.
    Established {
        /// Who is at the other end, proven.
        peer: PeerId,
        /// Our role in the security handshake.
        role: Role,
        /// The security protocol.
        security: SmolStr,
        /// The multiplexer.
        muxer: MuxerKind,
    },
    /// A stream is there, its protocol agreed on or assumed. [`Order::Admit`] or [`Order::Refuse`] answers it.
    StreamOpened {
        /// Which.
        stream: StreamId,
        /// Who opened it.
        direction: Direction,
        /// What it speaks.
        protocol: Protocol,
        /// The wish that it fulfils, if the application asked for it.
        open: Option<OpenId>,
    },
    /// A stream that was reported is gone. What it received may still be read.
    StreamClosed {
        /// Which.
        stream: StreamId,
    },
    /// A stream that was asked for will not be.
    OpenFailed {
        /// The wish.
        open: OpenId,
        /// Why.
        why: OpenFault,
    },
    /// The remote said who it is.
    Identified(Box<Identity>),
    /// The remote did not say who it is.
    IdentifyFailed {
        /// Why.
        why: SmolStr,
    },
    /// The remote said of its own accord who it is, or what changed about it.
    Pushed(Box<Identity>),
    /// What came of a question. After [`Answer::Connected`] and [`Answer::Accepted`] the stream is a circuit.
    Answered {
        /// Which.
        ask: AskNumber,
        /// Its stream, if there was one.
        stream: Option<StreamId>,
        /// What.
        answer: Result<Box<Answer>, Box<AskFault>>,
    },
    /// The remote asks something. Answered by [`Order::Reply`].
    Asked {
        /// On which stream.
        stream: StreamId,
        /// What.
        request: Box<Request>,
    },
    /// The remote said something about a hole punch: on a stream of ours, whose question is named, or on one of its own.
    Heard {
        /// The question of [`Order::Punch`].
        ask: Option<AskNumber>,
        /// Which stream.
        stream: StreamId,
        /// What; or what was wrong, and then the stream is over.
        heard: Result<Heard, Box<PunchFault>>,
    },
    /// A circuit's stream is over. [`Report::StreamClosed`] follows.
    CircuitEnded {
        /// Which.
        stream: StreamId,
        /// Bytes that we sent on it.
        sent: u64,
        /// Bytes that we received on it.
        received: u64,
        /// How.
        ending: Ending,
    },
    /// The answer to our ping.
    Pong {
        /// The round trip.
        rtt: Duration,
    },
    /// The remote doesn't speak ping, and the multiplexer can't either.
    PingUnsupported,
    /// Application data passed since the last report of this kind; at most once a second.
    Used,
    /// The link is over: the last report, but for the answers to wishes that come too late.
    Ended {
        /// Who ended it.
        by: By,
        /// What was wrong, if something was.
        fault: Fault,
        /// The same for people.
        why: SmolStr,
    },
    /// What the link keeps for its remote now, unread data above all: each time that it changed by about
    /// [`LinkConfig::memory_step`](super::LinkConfig::memory_step). How the input was cut shows in it, as it does in the
    /// memory.
    Holds {
        /// Bytes on the heap, a multiple of the step.
        bytes: u64,
    },
}

/// What was wrong when a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Fault {
    /// Nothing: one end closed it in an orderly way.
    None,
    /// The transport under it broke, or ended without a goodbye.
    Transport,
    /// The upgrade failed.
    Upgrade,
    /// Another peer than the expected one is at the other end.
    WrongPeer(PeerId),
    /// The remote broke a rule.
    Protocol,
    /// Both ends dialed from the ports on which they listen, and TCP made one connection of it, on which both initiate.
    Crossed,
}

/// Why a stream was not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum OpenFault {
    /// The remote speaks none of the protocols.
    Unsupported,
    /// The negotiation failed otherwise.
    Negotiation {
        /// How.
        why: SmolStr,
    },
    /// The remote reset the stream.
    Reset {
        /// Its reason, 0 if it gave none.
        code: u32,
    },
    /// The remote accepts no more streams on this connection, or as many wait to be opened as may.
    NoMore {
        /// Which of both.
        why: SmolStr,
    },
    /// Our limits forbid it.
    Refused(StreamRefusal),
    /// The connection ended before.
    ConnectionEnded,
}

impl fmt::Display for OpenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenFault::Unsupported => f.write_str("the remote speaks none of these protocols"),
            OpenFault::Negotiation { why } => write!(f, "no protocol was agreed on: {why}"),
            OpenFault::Reset { code: 0 } => f.write_str("the remote reset the stream"),
            OpenFault::Reset { code } => write!(f, "the remote reset the stream (code {code:#x})"),
            OpenFault::NoMore { why } => f.write_str(why),
            OpenFault::Refused(reason) => write!(f, "we refused it: {reason}"),
            OpenFault::ConnectionEnded => f.write_str("the connection ended before it was opened"),
        }
    }
}

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum AskFault {
    /// There was no stream for it, or it ended too early.
    Open(OpenFault),
    /// What the remote said is no answer, or it said nothing in time.
    Answer(AskError),
}

impl fmt::Display for AskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskFault::Open(fault) => fault.fmt(f),
            AskFault::Answer(error) => error.fmt(f),
        }
    }
}

/// What a link tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// For the host.
    Report(Report),
    /// For the application.
    Stream(StreamEvent),
    /// How the upgrade goes on: for a timeline, of no consequence.
    Progress(Progress),
}

/// What happened to the application's streams.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// The remote opened a stream: try to read and to write.
    Incoming {
        /// Which.
        stream: StreamId,
        /// Who opened it.
        peer: PeerId,
        /// What it speaks.
        protocol: Protocol,
        /// The route that took it.
        route: RouteId,
    },
    /// A stream that was asked for: try to write, and to read.
    Opened {
        /// The wish.
        open: OpenId,
        /// Which.
        stream: StreamId,
        /// What it speaks.
        protocol: Protocol,
    },
    /// There is something to read again: data, the end, a reset, or the connection's end.
    Readable(StreamId),
    /// There is room to write again, or never will be.
    Writable(StreamId),
    /// The stream ended at once; what was received before is still to be read.
    Reset {
        /// Which.
        stream: StreamId,
        /// Who ended it.
        by: muxer::By,
        /// Why; 0 where no reason was given.
        code: u32,
    },
}
