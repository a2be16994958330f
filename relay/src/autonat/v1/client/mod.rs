//! The v1 client: asks one server after the other whether we can be reached.
//!
//! ```text
//!                    boot delay over, a server is free
//!   waiting ------------------------------------------------> asking
//!      ^                                                         |
//!      +---- 90 s, or 15 min when sure ---- OK, an error, a refusal, or nothing in time
//! ```
//! | a server says | it counts as |
//! |---|---|
//! | `OK` | public |
//! | `E_DIAL_ERROR` | private |
//! | anything else, or nothing | unknown |
//!
//! A public vote makes us public at once: to be reached once is proof, to fail once isn't. But version 1 proves nothing to us, we
//! have only the server's word; so where two servers or more said that we are private, one that says otherwise takes all
//! confidence but 1 from that, and only the next one turns it (go-libp2p: one does always). A vote for something else costs one
//! of confidence first, and changes the answer only when there is none left; whoever agrees adds one, up to
//! [`confidence`](ClientConfig::confidence). An answer begins with a confidence of 1 (go-libp2p: 0). So no single vote turns what
//! several agreed on, nor Public into Private.
//!
//! Spec: libp2p/specs autonat/autonat-v1.md. What is not in it is go-libp2p's.

mod config;
#[cfg(test)]
mod tests;

pub use config::ClientConfig;

use super::Status;
use crate::autonat::Reachability;
use crate::autonat::servers::Servers;
use crate::exchange::{Answer, Ask};
use crate::{AskId, ConnectionId};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use tidewire_core::{Draw, EventMachine, Multiaddr, PeerId, Seed, Time};

/// Finds out whether the host can be reached. An [`EventMachine`].
///
/// ```
/// use core::time::Duration;
/// use tidewire_core::{EventMachine, Keypair, Seed, Time};
/// use tidewire_relay::ConnectionId;
/// use tidewire_relay::autonat::Reachability;
/// use tidewire_relay::autonat::v1::{Client, ClientAction, ClientConfig, ClientInput, Response};
/// use tidewire_relay::exchange::Answer;
///
/// let mut client = Client::new(ClientConfig::default(), &Seed::new([1; 32]), Time::ZERO);
/// let server = Keypair::from_seed(&Seed::new([2; 32])).peer_id();
/// let ours = ["/ip4/198.51.100.7/tcp/4001".parse()?];
/// client.handle(Time::ZERO, ClientInput::Addresses(&ours))?;
/// client.handle(Time::ZERO, ClientInput::Server { connection: ConnectionId(1), peer: server })?;
///
/// // After the boot delay it wants to ask...
/// let now = Time::ZERO + Duration::from_secs(15);
/// assert_eq!(client.deadline(), now);
/// client.on_timeout(now);
/// let Some(ClientAction::Ask { ask, .. }) = client.poll() else { panic!("no question") };
///
/// // ...and a good answer makes us public at once.
/// let answer = Answer::Dialed(Response::ok(None));
/// client.handle(now, ClientInput::Answered { ask, answer: &answer })?;
/// assert_eq!(client.poll(), Some(ClientAction::Reachability(Reachability::Public)));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Client {
    config: ClientConfig,
    draw: Draw,
    servers: Servers,
    addresses: Vec<Multiaddr>,
    reachability: Reachability,
    confidence: u32,
    /// When to ask next.
    due: Time,
    asking: Option<Asking>,
    next_ask: u64,
    /// The deadline, kept so that asking for it costs nothing.
    wake: Time,
    actions: VecDeque<ClientAction>,
}

struct Asking {
    ask: AskId,
    peer: PeerId,
    until: Time,
}

/// What a [`Client`] is told.
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
    /// Where we listen and think that we can be reached: all of it, best first. Private ones are of use, since a server puts the IP
    /// that it sees in their place; relayed ones are passed over. None: nothing is asked.
    Addresses(&'a [Multiaddr]),
    /// The answer to a [`ClientAction::Ask`].
    Answered {
        /// Which question.
        ask: AskId,
        /// An [`Answer::Dialed`].
        answer: &'a Answer,
    },
    /// A question has no answer, and won't get one.
    Failed {
        /// Which question.
        ask: AskId,
    },
    /// We are on another network: what was sure isn't.
    NetworkChanged,
}

/// What a [`Client`] wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAction {
    /// Ask this on a new stream of this connection, and report [`ClientInput::Answered`] or [`ClientInput::Failed`].
    Ask {
        /// The question's number.
        ask: AskId,
        /// On which connection.
        connection: ConnectionId,
        /// An [`Ask::DialMe`].
        what: Ask,
    },
    /// Reset the question's stream. An answer is not waited for any more.
    CancelAsk {
        /// Which question.
        ask: AskId,
    },
    /// The answer changed.
    Reachability(Reachability),
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
    #[error("{ask} asked for a dial of AutoNAT v1, and this is no answer to that")]
    OtherAnswer {
        /// The number given.
        ask: AskId,
    },
    /// So many actions wait to be polled.
    #[error("{waiting} actions wait to be polled; poll them first")]
    Unpolled {
        /// [`ClientConfig::max_unpolled`].
        waiting: u32,
    },
}

/// What a [`Client`] knows and waits for, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientExplanation {
    /// The answer.
    pub reachability: Reachability,
    /// So many answers against it, and then one more, change it. To Public one does, from Private with more than 1 two.
    pub confidence: u32,
    /// Connections to servers.
    pub servers: usize,
    /// What it waits for.
    pub waiting: ClientWaiting,
}

/// What a [`Client`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientWaiting {
    /// An address of ours.
    Addresses,
    /// A peer that speaks the protocol.
    Servers,
    /// This server's answer.
    Answer(PeerId),
    /// The next question is due in so long.
    Time(Duration),
}

impl Client {
    /// A client that has not asked anybody.
    pub fn new(config: ClientConfig, seed: &Seed, now: Time) -> Self {
        Client {
            due: now + config.boot_delay,
            config,
            draw: Draw::new(seed, "autonat v1 client"),
            servers: Servers::default(),
            addresses: Vec::new(),
            reachability: Reachability::Unknown,
            confidence: 0,
            asking: None,
            next_ask: 0,
            wake: Time::NEVER,
            actions: VecDeque::new(),
        }
    }

    /// Whether the host can be reached, as far as is known.
    pub fn reachability(&self) -> Reachability {
        self.reachability
    }

    /// What it knows and waits for.
    pub fn explain(&self, now: Time) -> ClientExplanation {
        let waiting = match &self.asking {
            Some(asking) => ClientWaiting::Answer(asking.peer),
            None if self.addresses.is_empty() => ClientWaiting::Addresses,
            None => match self.servers.next_free(|_| true) {
                None => ClientWaiting::Servers,
                Some(free) => ClientWaiting::Time(free.max(self.due).since(now)),
            },
        };
        ClientExplanation {
            reachability: self.reachability,
            confidence: self.confidence,
            servers: self.servers.len(),
            waiting,
        }
    }

    fn set_addresses(&mut self, now: Time, given: &[Multiaddr]) {
        let max = usize::try_from(self.config.max_addresses).unwrap_or(usize::MAX);
        let mut room = super::ADDRESS_BYTES;
        let mut addresses: Vec<Multiaddr> = Vec::new();
        for address in given.iter().filter(|address| !address.is_relayed()) {
            let address = address.without_peer_id();
            let len = address.as_bytes().len().saturating_add(super::PER_ADDRESS);
            if address.is_empty() || addresses.len() >= max || len > room || addresses.contains(&address) {
                continue;
            }
            room = room.saturating_sub(len);
            addresses.push(address);
        }
        if addresses != self.addresses {
            addresses.shrink_to_fit();
            self.addresses = addresses;
            self.unsure(now);
        }
    }

    /// What was sure is asked again soon.
    fn unsure(&mut self, now: Time) {
        let sure = self.config.confidence.max(1);
        if self.confidence >= sure {
            self.confidence = sure - 1;
            self.due = self.due.min(now + self.config.retry);
        }
    }

    /// Takes the question back if it is this one.
    fn answered(&mut self, ask: AskId) -> Result<(), ClientMisuse> {
        match &self.asking {
            Some(asking) if asking.ask == ask => {
                self.asking = None;
                Ok(())
            }
            _ => Err(ClientMisuse::UnknownAsk { ask }),
        }
    }

    fn vote(&mut self, now: Time, vote: Reachability) {
        let sure = self.config.confidence.max(1);
        if vote == self.reachability {
            if vote != Reachability::Unknown {
                self.confidence = self.confidence.saturating_add(1).min(sure);
            }
        } else if vote == Reachability::Public && self.reachability == Reachability::Private && self.confidence > 1 {
            self.confidence = 1;
        } else if vote == Reachability::Public || self.confidence == 0 {
            self.reachability = vote;
            self.confidence = u32::from(vote != Reachability::Unknown);
            self.actions.push_back(ClientAction::Reachability(vote));
        } else {
            self.confidence -= 1;
        }
        let sure = self.reachability != Reachability::Unknown && self.confidence >= sure;
        self.due = now + if sure { self.config.refresh } else { self.config.retry };
    }

    fn go_on(&mut self, now: Time) {
        self.ask(now);
        self.wake = match &self.asking {
            Some(asking) => asking.until,
            None if self.addresses.is_empty() => Time::NEVER,
            None => self.servers.next_free(|_| true).map_or(Time::NEVER, |free| free.max(self.due)),
        };
    }

    fn ask(&mut self, now: Time) {
        if let Some(asking) = self.asking.take_if(|asking| asking.until <= now) {
            self.actions.push_back(ClientAction::CancelAsk { ask: asking.ask });
            self.vote(now, Reachability::Unknown);
        }
        if self.asking.is_some() || self.addresses.is_empty() || self.due > now {
            return;
        }
        let free = self.servers.free(now);
        let picked = self.draw_one(free.len()).and_then(|at| free.get(at));
        let Some((peer, connection)) = picked.copied() else { return };
        let ask = AskId(self.next_ask);
        self.next_ask = self.next_ask.wrapping_add(1);
        self.servers.asked(now, peer, self.config.server_pause, self.config.max_servers);
        self.asking = Some(Asking { ask, peer, until: now + self.config.request_timeout });
        let what = Ask::DialMe { addresses: self.addresses.clone() };
        self.actions.push_back(ClientAction::Ask { ask, connection, what });
    }

    fn draw_one(&mut self, count: usize) -> Option<usize> {
        if count == 0 { None } else { usize::try_from(self.draw.below(u64::try_from(count).ok()?)).ok() }
    }
}

impl EventMachine for Client {
    type Input<'a> = ClientInput<'a>;
    type Action = ClientAction;
    type Misuse = ClientMisuse;

    fn handle(&mut self, now: Time, input: ClientInput<'_>) -> Result<(), ClientMisuse> {
        if self.actions.len() >= usize::try_from(self.config.max_unpolled).unwrap_or(usize::MAX) {
            return Err(ClientMisuse::Unpolled { waiting: self.config.max_unpolled });
        }
        match input {
            ClientInput::Server { connection, peer } => self.servers.add(connection, peer, self.config.max_servers),
            ClientInput::ServerGone { connection } => self.servers.remove(connection),
            ClientInput::Addresses(addresses) => self.set_addresses(now, addresses),
            ClientInput::Answered { ask, answer } => {
                let Answer::Dialed(response) = answer else { return Err(ClientMisuse::OtherAnswer { ask }) };
                self.answered(ask)?;
                self.vote(
                    now,
                    match response.status {
                        Status::OK => Reachability::Public,
                        Status::DIAL_ERROR => Reachability::Private,
                        _ => Reachability::Unknown,
                    },
                );
            }
            ClientInput::Failed { ask } => {
                self.answered(ask)?;
                self.vote(now, Reachability::Unknown);
            }
            ClientInput::NetworkChanged => {
                self.unsure(now);
                self.due = self.due.min(now + self.config.boot_delay);
            }
        }
        self.go_on(now);
        Ok(())
    }

    fn on_timeout(&mut self, now: Time) {
        self.go_on(now);
    }

    fn poll(&mut self) -> Option<ClientAction> {
        self.actions.pop_front()
    }

    fn deadline(&self) -> Time {
        self.wake
    }

    fn memory_used(&self) -> usize {
        Multiaddr::list_memory_used(&self.addresses)
            + self.servers.memory_used()
            + self.actions.capacity() * size_of::<ClientAction>()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}, confidence {}, {} servers)", self.reachability, self.confidence, self.servers.len())
    }
}

impl fmt::Display for ClientExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (confidence {}, {} servers); ", self.reachability, self.confidence, self.servers)?;
        match self.waiting {
            ClientWaiting::Addresses => f.write_str("we have no address that others could dial"),
            ClientWaiting::Servers => f.write_str("no connected peer speaks AutoNAT v1"),
            ClientWaiting::Answer(peer) => write!(f, "{peer} was asked"),
            ClientWaiting::Time(time) => write!(f, "the next question is due in {} s", time.as_secs_f32()),
        }
    }
}
