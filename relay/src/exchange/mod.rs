//! One question and its answer, on one stream: what a link needs to know of this crate.
//!
//! ```text
//! we ask         Ask ----> Asker --bytes--> remote --bytes--> Asker ----> Answer
//! a remote asks  remote --bytes--> Responder ----> Request .. decided elsewhere .. Reply ----> Responder --bytes--> remote
//! ```
//!
//! [`Asker`] and [`Responder`] are byte machines: they decode, check and encode, and decide nothing. [`Service`] says which
//! protocol a stream speaks. All that is told is plain data, so that it can be handed to a decider in another task.
//!
//! After [`Answer::Connected`], [`Answer::Accepted`], [`Reply::Connected`] and [`Reply::Accepted`] the stream is a circuit
//! ([`Asker::is_circuit`], [`Responder::is_circuit`]): what is in `rx` belongs to it and is never touched here.
//!
//! ```
//! use bytes::BytesMut;
//! use tidewire_core::{Keypair, Machine, Seed, Time, UnixTime};
//! use tidewire_relay::Limit;
//! use tidewire_relay::exchange::{Answer, Ask, Asker, Config, Context, Reply, Request, Responder, Service};
//!
//! let [relay, peer] = [1, 2].map(|seed| Keypair::from_seed(&Seed::new([seed; 32])));
//! let (config, now) = (Config::default(), Time::ZERO);
//! let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
//!
//! // The peer asks for a reservation.
//! let at_peer = Context { local: peer.peer_id(), remote: relay.peer_id(), relayed: false };
//! let mut asker = Asker::new(&Ask::Reserve, &at_peer, &config, now, &mut there);
//!
//! // The relay hears it, somebody decides, the relay answers.
//! let at_relay = Context { local: relay.peer_id(), remote: peer.peer_id(), relayed: false };
//! let mut responder = Responder::new(Service::Hop, &at_relay, &config, now);
//! assert_eq!(responder.advance(now, &mut there, &mut back)?, Some(Request::Reserve));
//! let reply = Reply::Reserved {
//!     expire: UnixTime::from_secs(1_900_000_000),
//!     addresses: vec!["/ip4/192.0.2.1/tcp/4001".parse()?],
//!     limit: Limit::UNLIMITED,
//! };
//! responder.reply(now, &reply, Some(&relay), &mut back)?;
//!
//! // The peer has it, with a voucher that proved right.
//! let Some(Answer::Reserved(reservation)) = asker.advance(now, &mut back, &mut there)? else { panic!("no answer") };
//! assert_eq!(reservation.expire, UnixTime::from_secs(1_900_000_000));
//! assert!(matches!(reservation.voucher, Some(Ok(_))));
//! assert_eq!(reservation.circuit_addresses(peer.peer_id()).len(), 1);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! Specs: libp2p/specs relay/circuit-v2.md; of the AutoNAT streams see [`autonat`](crate::autonat).

mod asker;
mod config;
mod error;
mod hop;
mod message;
mod responder;
mod stop;
#[cfg(test)]
mod tests;
pub(crate) mod wait;

pub use asker::Asker;
pub use config::Config;
pub use error::{AskError, Expected, Fault, Field, PayError, ReplyError, RequestError};
pub use responder::Responder;
pub(crate) use wait::{Input, Wait};

use crate::autonat::{v1, v2};
use crate::{Limit, Reservation, Status};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use tidewire_core::{Multiaddr, PeerId, UnixTime};

/// A protocol of this crate: what a stream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Service {
    /// A client asks a relay (circuit-v2.md, "Hop Protocol").
    Hop,
    /// A relay asks a destination (circuit-v2.md, "Stop Protocol").
    Stop,
    /// A client asks to be dialed (autonat-v1.md).
    AutonatV1,
    /// A client asks that one of its addresses be dialed (autonat-v2.md).
    AutonatV2Request,
    /// A server that dialed brings the nonce (autonat-v2.md).
    AutonatV2Back,
}

/// Whose connection a stream is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Us.
    pub local: PeerId,
    /// The peer at the other end, as the connection proved it.
    pub remote: PeerId,
    /// Whether the connection goes through a relay itself.
    pub relayed: bool,
}

/// What we ask, on a stream that we opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Ask {
    /// Hop: a relay is asked for a slot, or to renew it. [`Answer::Reserved`] or [`Answer::Refused`].
    Reserve,
    /// Hop: a relay is asked for a circuit. [`Answer::Connected`] or [`Answer::Refused`].
    Connect {
        /// To whom.
        destination: PeerId,
    },
    /// Stop: we are the relay, and ask a destination whether it takes a circuit. [`Answer::Accepted`] or
    /// [`Answer::Refused`].
    Stop {
        /// Who wants to reach it.
        source: PeerId,
        /// What we give the circuit.
        limit: Limit,
    },
    /// AutoNAT v1: a server is asked to dial us. [`Answer::Dialed`].
    DialMe {
        /// Where, best first. As many as the message holds are written.
        addresses: Vec<Multiaddr>,
    },
    /// AutoNAT v2: a server is asked to dial one of our addresses. [`Answer::Probed`], or [`Answer::CostAsked`] and, if that is
    /// paid, [`Answer::Probed`].
    Probe {
        /// What it is to bring there.
        nonce: u64,
        /// Which, best first. As many as the message holds are written, at most 50.
        addresses: Vec<Multiaddr>,
    },
    /// AutoNAT v2: we are the server, reached the client, and bring the nonce. [`Answer::BackHeard`].
    DialBack {
        /// The nonce of its request.
        nonce: u64,
    },
}

/// What came of an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Answer {
    /// We have a slot.
    Reserved(Box<Reservation>),
    /// The stream is a circuit to the destination now.
    Connected {
        /// What the relay gives it.
        limit: Limit,
    },
    /// The destination takes the circuit: the stream is its second half now.
    Accepted,
    /// No.
    Refused {
        /// Why; never [`Status::OK`].
        status: Status,
    },
    /// AutoNAT v1: what came of the dials.
    Dialed(v1::Response),
    /// AutoNAT v2: what came of the dial.
    Probed(v2::Response),
    /// AutoNAT v2: the server wants data before it dials. [`Asker::pay`], or reset the stream.
    CostAsked {
        /// The address that it would dial, by its number in the question.
        index: u32,
        /// How many bytes it wants.
        bytes: u64,
    },
    /// AutoNAT v2: the client has the nonce.
    BackHeard,
}

/// What a remote asks of us, on a stream that it opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Request {
    /// Hop: a slot with us, or to renew it. [`Reply::Reserved`] or [`Reply::Refused`].
    Reserve,
    /// Hop: a circuit through us. [`Reply::Connected`] or [`Reply::Refused`].
    Connect {
        /// To whom.
        destination: PeerId,
    },
    /// Stop: a relay brings a circuit to us. [`Reply::Accepted`] or [`Reply::Refused`].
    Stop {
        /// Who wants to reach us.
        source: PeerId,
        /// What the relay gives the circuit.
        limit: Limit,
    },
    /// AutoNAT v1: to be dialed. [`Reply::Dialed`].
    DialMe {
        /// Where. Those that can't be read are left out.
        addresses: Vec<Multiaddr>,
    },
    /// AutoNAT v2: that the first of these that we can dial be dialed. [`Reply::AskData`] or [`Reply::Probed`].
    Probe {
        /// What to bring there.
        nonce: u64,
        /// Which, at most 50. One that can't be read is empty here, so that the others keep their numbers.
        addresses: Vec<Multiaddr>,
    },
    /// AutoNAT v2: the data came that we asked for. [`Reply::Probed`].
    Paid {
        /// How many bytes of it.
        bytes: u64,
    },
    /// AutoNAT v2: somebody who dialed us brings a nonce. [`Reply::BackHeard`] if it is ours, else reset the stream.
    DialBack {
        /// The nonce.
        nonce: u64,
    },
}

/// What we answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Reply {
    /// The remote has a slot. The voucher is sealed where this is written.
    Reserved {
        /// Until when.
        expire: UnixTime,
        /// Where we are reached: public, without `/p2p-circuit`. Our id is put behind them if it is missing. As many as the
        /// message holds are written, in this order.
        addresses: Vec<Multiaddr>,
        /// What we give a circuit to the remote.
        limit: Limit,
    },
    /// The stream is a circuit to the destination from now on.
    Connected {
        /// What we give it.
        limit: Limit,
    },
    /// We take the circuit: the stream is one from now on.
    Accepted,
    /// No.
    Refused {
        /// Why; not [`Status::OK`].
        status: Status,
    },
    /// AutoNAT v1: what came of the dials. A refusal may be given before anything was read.
    Dialed(v1::Response),
    /// AutoNAT v2: what came of the dial. A refusal may be given before anything was read.
    Probed(v2::Response),
    /// AutoNAT v2: first send so much.
    AskData {
        /// The address that would be dialed, by its number in the request.
        index: u32,
        /// How many bytes.
        bytes: u64,
    },
    /// AutoNAT v2: the nonce came.
    BackHeard,
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 5] =
        [Service::Hop, Service::Stop, Service::AutonatV1, Service::AutonatV2Request, Service::AutonatV2Back];

    /// The protocol's name, to propose and to accept it by.
    pub const fn name(self) -> &'static str {
        match self {
            Service::Hop => "/libp2p/circuit/relay/0.2.0/hop",
            Service::Stop => "/libp2p/circuit/relay/0.2.0/stop",
            Service::AutonatV1 => "/libp2p/autonat/1.0.0",
            Service::AutonatV2Request => "/libp2p/autonat/2/dial-request",
            Service::AutonatV2Back => "/libp2p/autonat/2/dial-back",
        }
    }

    /// The service with this name.
    pub fn of_name(name: &str) -> Option<Service> {
        Service::ALL.into_iter().find(|service| service.name() == name)
    }

    /// The most bytes of one message. Hop, stop and AutoNAT v1: 4 KiB; AutoNAT v2: 8 KiB, and 1 KiB for a dial-back (go-libp2p;
    /// the specs have no limits).
    pub const fn max_message(self) -> usize {
        match self {
            Service::Hop | Service::Stop | Service::AutonatV1 => 4096,
            Service::AutonatV2Request => 8192,
            Service::AutonatV2Back => 1024,
        }
    }
}

impl Ask {
    /// The protocol of the stream that it is asked on.
    pub const fn service(&self) -> Service {
        match self {
            Ask::Reserve | Ask::Connect { .. } => Service::Hop,
            Ask::Stop { .. } => Service::Stop,
            Ask::DialMe { .. } => Service::AutonatV1,
            Ask::Probe { .. } => Service::AutonatV2Request,
            Ask::DialBack { .. } => Service::AutonatV2Back,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
