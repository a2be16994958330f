//! What a v2 client is told, what it wants done, and what it explains.

use crate::autonat::Reachability;
use crate::exchange::{Answer, Ask, Reply};
use crate::{AskId, ConnectionId, StreamKey};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Time};

/// What a [`Client`](super::Client) is told.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ClientInput<'a> {
    /// There is a direct connection to a peer that speaks the protocol.
    Server {
        /// The connection.
        connection: ConnectionId,
        /// Who.
        peer: PeerId,
    },
    /// The connection is gone, or the peer doesn't speak the protocol any more. A question on it is still to be answered.
    ServerGone {
        /// The connection.
        connection: ConnectionId,
    },
    /// Where we think that we can be reached: all of it, best first. What is relayed, and what is private unless that is
    /// allowed, is passed over.
    Addresses(&'a [Multiaddr]),
    /// The answer to a [`ClientAction::Ask`]. After [`Answer::CostAsked`] another one is to come, if we pay.
    Answered {
        /// Which question.
        ask: AskId,
        /// An [`Answer::Probed`] or [`Answer::CostAsked`].
        answer: &'a Answer,
    },
    /// A question has no answer, and won't get one.
    Failed {
        /// Which question.
        ask: AskId,
    },
    /// Somebody brought a nonce, on a dial-back stream.
    DialBackHeard {
        /// The stream.
        stream: StreamKey,
        /// The connection that it came on.
        on: HeardOn<'a>,
        /// The nonce.
        nonce: u64,
    },
    /// We are on another network: ask about all addresses again. What was decided stays until votes overturn it.
    NetworkChanged,
}

/// The connection that a dial-back came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeardOn<'a> {
    /// Whether the other end made it.
    pub inbound: bool,
    /// When it was there: at or after the end of its handshake.
    pub since: Time,
    /// The address of our end: of the socket, not of the listener that stands for many.
    pub local: &'a Multiaddr,
}

/// What a [`Client`](super::Client) wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAction {
    /// Ask this on a new stream of this connection, and report [`ClientInput::Answered`] or [`ClientInput::Failed`].
    Ask {
        /// The question's number.
        ask: AskId,
        /// On which connection.
        connection: ConnectionId,
        /// An [`Ask::Probe`].
        what: Ask,
    },
    /// Send what the server wants for the dial: [`Asker::pay`](crate::exchange::Asker::pay).
    Pay {
        /// For which question.
        ask: AskId,
    },
    /// Reset the question's stream. An answer is not waited for any more.
    CancelAsk {
        /// Which question.
        ask: AskId,
    },
    /// Tell the server that the nonce came, and close the stream.
    Reply {
        /// The dial-back's stream.
        stream: StreamKey,
        /// A [`Reply::BackHeard`].
        reply: Reply,
    },
    /// Reset the dial-back's stream: its nonce is none of ours.
    Reset {
        /// The stream.
        stream: StreamKey,
    },
    /// What is known of an address changed. Not told of addresses that are given up.
    Address {
        /// Which.
        address: Multiaddr,
        /// Whether it can be reached.
        reachability: Reachability,
        /// By how many votes.
        confidence: u32,
    },
    /// [`Client::overall`](super::Client::overall) changed.
    Overall(Reachability),
}

/// What the caller did wrong. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientMisuse {
    /// The question was never asked, or is answered, failed or cancelled. Harmless where a cancellation crossed an answer.
    #[error("{ask} is not a question that waits for an answer")]
    UnknownAsk {
        /// The number given.
        ask: AskId,
    },
    /// It is the answer to another kind of question.
    #[error("{ask} asked for a dial of AutoNAT v2, and this is no answer to that")]
    OtherAnswer {
        /// The number given.
        ask: AskId,
    },
    /// So many actions wait to be polled.
    #[error("{waiting} actions wait to be polled; poll them first")]
    Unpolled {
        /// [`ClientConfig::max_unpolled`](super::ClientConfig::max_unpolled).
        waiting: u32,
    },
}

/// What a [`Client`](super::Client) knows and waits for, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientExplanation {
    /// All addresses together.
    pub overall: Reachability,
    /// Connections to servers.
    pub servers: usize,
    /// Each address, best first.
    pub addresses: Vec<AddressExplanation>,
}

/// What is known of one address, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressExplanation {
    /// Which.
    pub address: Multiaddr,
    /// Whether it can be reached.
    pub reachability: Reachability,
    /// By how many votes the greater side leads.
    pub confidence: u32,
    /// How many votes there are.
    pub votes: u32,
    /// What it waits for.
    pub waiting: ClientWaiting,
}

/// What an address waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientWaiting {
    /// The answers to so many questions.
    Answers(u32),
    /// A server: none is connected, or all were asked lately, or enough are being asked.
    Server,
    /// It is sure, and asked about again after so long.
    Recheck(Duration),
    /// The servers disagree; asked about again after so long.
    Contested(Duration),
    /// The last questions brought nothing; asked about again after so long.
    Backoff(Duration),
    /// Servers would not dial it; asked about again after so long.
    Refused(Duration),
}

impl fmt::Display for ClientExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} servers", self.overall, self.servers)?;
        for address in &self.addresses {
            write!(f, "\n{address}")?;
        }
        Ok(())
    }
}

impl fmt::Display for AddressExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AddressExplanation { address, reachability, confidence, votes, waiting } = self;
        write!(f, "{address}: {reachability} ({votes} votes, a lead of {confidence}); ")?;
        match waiting {
            ClientWaiting::Answers(count) => write!(f, "{count} servers are asked"),
            ClientWaiting::Server => f.write_str("waits for a server that can be asked"),
            ClientWaiting::Recheck(time) => write!(f, "sure, asked again in {} s", time.as_secs_f32()),
            ClientWaiting::Contested(time) => write!(f, "servers disagree, asked again in {} s", time.as_secs_f32()),
            ClientWaiting::Backoff(time) => write!(f, "no answer of use, asked again in {} s", time.as_secs_f32()),
            ClientWaiting::Refused(time) => write!(f, "servers won't dial it, asked again in {} s", time.as_secs_f32()),
        }
    }
}
