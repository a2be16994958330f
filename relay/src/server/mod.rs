//! The relay: whom it gives a reservation, whom it connects, and when that ends (circuit-v2.md).
//!
//! An event machine. Links decode the hop and stop streams ([`exchange`](crate::exchange)) and tell what was asked; the server
//! answers. It sees no bytes: a pump of the caller's forwards them between the two streams of a circuit, and counts them.
//!
//! ```text
//!  Reserve --+                       +--> Reply: Reserved, Keep     till TTL, or the last direct connection ends: Release
//!            +--> the checks --> ok -+
//!  Connect --+        |              +--> OpenStop --accepted--> Reply: Connected, Splice --> .. --> CircuitEnded
//!                     |                       |
//!                     +----> Reply: Refused <-+ refused, 30 s, lost
//! ```
//!
//! # What is checked, in this order
//!
//! The first check that fails decides. The codes are those of circuit-v2.md, the order is go-libp2p's but for the rates: there
//! the destination is looked for first. Asking for ids without a reservation would so cost nothing, and tell who has one.
//!
//! | | RESERVE | CONNECT |
//! |---|---|---|
//! | it is no request that can be read (before this machine) | 400, 401 | 400, 401 |
//! | it came over a relayed connection | 202 | 202 |
//! | it names no destination (before this machine) | | 400 |
//! | the access rules forbid it | 202 | 202 |
//! | the rules leave it to the application: draining, not serving, a rate, too many questions; else it is asked | 200 | 201 |
//! | the application says no, or nothing in time | 202 | 202 |
//! | we are shutting down; the service is not offered | 200 | 201 |
//! | the peer, or its network, asks too often | 200 | 201 |
//! | the destination has no reservation | | 204 |
//! | this is a renewal | granted | |
//! | all reservations are taken; those of its network; those of its autonomous system | 200 | |
//! | the source has too many circuits; the destination has; there are too many | | 201 |
//! | the memory is used up | 200 | 201 |
//! | a circuit to itself | | 203 |
//! | the destination refuses, doesn't answer in time, can't be asked, is lost | | 203 |
//!
//! Only what says that it is a RESERVE or a CONNECT can come over the wrong connection: a message of another type, or of none, is
//! 400 or 401 over any, as in go-libp2p. circuit-v2.md has no order.
//!
//! The application is asked only what the rates let through: a question costs more than an answer. A request that was let
//! through is not counted again when the answer comes.
//!
//! # What holds
//!
//! - A peer has one reservation, however many connections it has and over whichever it asks. Asking again renews it: never
//!   refused because something is full, and refused for another reason the old one stays as it was.
//! - A reservation lasts as long as a direct connection to its holder does, at most its TTL, on the monotonic clock:
//!   setting the wall clock moves no end, only what is told from then on.
//! - A circuit counts for both its peers from the opening of the stop stream until the caller said that it is gone.
//! - Both streams of a circuit are closed when either of its connections ends, and reset when its time is over.
//! - When the service is switched off by [`Input::Reachable`], what was given stays until it ends by itself.
//!
//! ```
//! use tidewire_core::{EventMachine, Keypair, Multiaddr, Seed, Time, UnixTime};
//! use tidewire_relay::exchange::Reply;
//! use tidewire_relay::server::{Action, Input, Server, ServerConfig};
//! use tidewire_relay::{ConnectionId, StreamKey};
//!
//! let [relay, holder] = [1, 2].map(|seed| Keypair::from_seed(&Seed::new([seed; 32])).peer_id());
//! let mut server = Server::new(ServerConfig::default(), relay, &Seed::new([3; 32]));
//! let now = Time::ZERO;
//!
//! // We know what time it is, and that everybody can reach us: the service is offered.
//! server.handle(now, Input::Clock { unix: UnixTime::from_secs(1_800_000_000) })?;
//! server.handle(now, Input::Addresses { addresses: &["/ip4/11.0.0.1/tcp/4001".parse()?] })?;
//! server.handle(now, Input::Reachable { public: true })?;
//! assert_eq!(server.poll(), Some(Action::Serve(true)));
//!
//! // A peer connects, and asks for a reservation.
//! let (connection, remote) = (ConnectionId(1), "/ip4/12.0.0.2/tcp/9".parse::<Multiaddr>()?);
//! server.handle(now, Input::Connected { connection, peer: holder, remote: &remote, relayed: false, asn: None })?;
//! let stream = StreamKey { connection, stream: 4 };
//! server.handle(now, Input::Reserve { stream })?;
//!
//! assert_eq!(server.poll(), Some(Action::Keep { peer: holder }));
//! let Some(Action::Reply { reply: Reply::Reserved { expire, addresses, .. }, .. }) = server.poll() else { panic!() };
//! assert_eq!(expire, UnixTime::from_secs(1_800_003_600));
//! assert_eq!(addresses, [format!("/ip4/11.0.0.1/tcp/4001/p2p/{relay}").parse()?]);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod acl;
mod action;
mod asn;
mod book;
mod circuits;
mod config;
mod input;
mod network;
mod questions;
mod refusal;
mod relaying;
mod requests;
mod reservations;
mod table;
#[cfg(test)]
mod tests;
mod upkeep;
mod view;

pub use acl::{Acl, AclRule, Asked, Scope, Verdict, Who};
pub use action::{Action, CircuitEnd, Event, ReservationEnd, Way};
pub use asn::{AsnTable, AsnTableError};
pub use config::{Offer, ServerConfig};
pub use input::{Input, Misuse, StopAnswer};
pub use network::Network;
pub use refusal::Refusal;
pub use view::{
    CircuitState, CircuitView, Counters, Counts, Explanation, PeerExplanation, ReservationView, Standing, View,
};

use crate::rate::RateLimiter;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use book::Book;
use circuits::Circuits;
use core::fmt;
use questions::Questions;
use reservations::Reservations;
use tidewire_core::{EventMachine, Multiaddr, PeerId, Seed, Time, UnixTime};

/// A circuit relay. An [`EventMachine`]; see the [module](self).
pub struct Server {
    config: ServerConfig,
    local: PeerId,
    /// The latest moment that was ever said.
    now: Time,
    /// What the wall clock said, and when.
    clock: Option<(UnixTime, Time)>,
    public: bool,
    /// What was last said by `Serve`.
    serving: bool,
    drain: Drain,
    /// Those that holders are told.
    addresses: Vec<Multiaddr>,
    book: Book,
    reservations: Reservations,
    circuits: Circuits,
    questions: Questions,
    reserve_rates: Rates,
    connect_rates: Rates,
    counters: Counters,
    /// When to be called.
    next: Time,
    actions: VecDeque<Action>,
}

/// How far the shutdown is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    No,
    /// Waiting for circuits until then.
    Until(Time),
    /// They were told to end.
    Ending,
    Done,
}

/// How often each peer and each network may ask.
struct Rates {
    peers: RateLimiter,
    networks: RateLimiter,
}

/// Room for actions that is kept when none waits.
const KEPT_ACTIONS: usize = 1024;

/// Bytes that are kept of a text of the caller's.
const MAX_TEXT: usize = 128;

impl Server {
    /// A relay with the id `local`. The seed feeds the keys of hash tables.
    pub fn new(config: ServerConfig, local: PeerId, seed: &Seed) -> Self {
        let rates = |peer, network, label: &str| {
            let seed = seed.derive(label, 0);
            Rates {
                peers: RateLimiter::new(peer, &seed, "peers"),
                networks: RateLimiter::new(network, &seed, "networks"),
            }
        };
        Server {
            reserve_rates: rates(&config.reserve_per_peer, &config.reserve_per_network, "relay reserve"),
            connect_rates: rates(&config.connect_per_peer, &config.connect_per_network, "relay connect"),
            config,
            local,
            now: Time::ZERO,
            clock: None,
            public: false,
            serving: false,
            drain: Drain::No,
            addresses: Vec::new(),
            book: Book::new(seed),
            reservations: Reservations::new(),
            circuits: Circuits::new(),
            questions: Questions::new(),
            counters: Counters::default(),
            next: Time::NEVER,
            actions: VecDeque::new(),
        }
    }

    fn is_unpolled(&self) -> bool {
        u32::try_from(self.actions.len()).unwrap_or(u32::MAX) >= self.config.max_unpolled.max(1)
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn tell(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    /// What relaying may come to hold without giving anything more: its tables, and what waits in circuits at the caller's.
    fn may_hold(&self) -> u64 {
        let circuits = u64::from(self.circuits.len()) * u64::from(self.config.memory_of_circuit());
        u64::try_from(self.relaying_memory()).unwrap_or(u64::MAX).saturating_add(circuits)
    }

    /// What its tables hold: all but the book of connections and what waits to be polled.
    fn relaying_memory(&self) -> usize {
        let rates = [&self.reserve_rates, &self.connect_rates];
        let rates = rates.map(|rates| rates.peers.memory_used() + rates.networks.memory_used());
        self.reservations.memory_used()
            + self.circuits.memory_used()
            + self.questions.memory_used()
            + rates[0]
            + rates[1]
    }

    fn dispatch(&mut self, input: Input<'_>) -> Result<(), Misuse> {
        match input {
            Input::Connected { connection, peer, remote, relayed, asn } => {
                self.book.connect(connection, peer, remote, relayed, asn, self.config.connections)
            }
            Input::Disconnected { connection } => self.disconnected(connection),
            Input::Reserve { stream } => self.requested(stream, Asked::Reserve),
            Input::Connect { stream, destination } => self.requested(stream, Asked::Connect { destination }),
            Input::RequesterGone { stream } => self.requester_gone(stream),
            Input::StopAnswered { ask, answer } => self.stop_answered(ask, answer),
            Input::CircuitProgress { circuit, forward, backward } => self.circuit_progress(circuit, forward, backward),
            Input::CircuitEnded { circuit, end, forward, backward } => {
                self.circuit_ended(circuit, end, forward, backward)
            }
            Input::Addresses { addresses } => {
                self.set_addresses(addresses);
                Ok(())
            }
            Input::Reachable { public } => {
                self.public = public;
                Ok(())
            }
            Input::Clock { unix } => {
                self.clock = Some((unix, self.now));
                Ok(())
            }
            Input::Decide { stream, allow } => self.decided(stream, allow),
            Input::Acl { acl } => self.set_acl(acl),
            Input::Drain { grace } => {
                self.start_drain(grace);
                Ok(())
            }
        }
    }
}

/// Time passes with every call, also with one that is misuse: what was due is done first.
impl EventMachine for Server {
    type Input<'a> = Input<'a>;
    type Action = Action;
    type Misuse = Misuse;

    fn handle(&mut self, now: Time, input: Input<'_>) -> Result<(), Misuse> {
        if self.is_unpolled() {
            return Err(Misuse::Unpolled(self.config.max_unpolled));
        }
        self.now = self.now.max(now);
        self.let_time_pass();
        let done = self.dispatch(input);
        self.settle();
        done
    }

    fn on_timeout(&mut self, now: Time) {
        if now < self.next || self.is_unpolled() {
            return;
        }
        self.now = self.now.max(now);
        self.let_time_pass();
        self.settle();
    }

    fn poll(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        // A crowd may have been answered at one moment; that isn't kept for the next such moment.
        if self.actions.is_empty() && self.actions.capacity() > KEPT_ACTIONS {
            self.actions.shrink_to(KEPT_ACTIONS);
        }
        action
    }

    fn deadline(&self) -> Time {
        self.next
    }

    fn memory_used(&self) -> usize {
        self.relaying_memory()
            + self.book.memory_used()
            + self.config.acl.memory_used()
            + Multiaddr::list_memory_used(&self.addresses)
            + self.actions.capacity() * size_of::<Action>()
    }
}

/// How much there is; a million connections are no use in a log.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("counts", &self.counts()).field("deadline", &self.next).finish()
    }
}
