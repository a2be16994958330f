//! The connection manager: what was told is handed to the part that it concerns, and what the parts decide comes out as actions.
//!
//! ```text
//!                 Book      who is connected, with which streams        no policy
//!                 Worth     tags, decay, protection; trims, evictions
//!   Input  --->   Limits    hard caps, rates, memory                    ---> Action
//!                 Pair      one connection between two peers (rule A)
//!                 Dialer    jobs, ranks, backoff, the gate
//!                 KeepAlive, Reconnect, Store
//! ```
//! The parts don't know each other. Peers and connections have small numbers (slots), and each part keeps a column of what
//! it knows of them; a peer's slot is free again when no part knows anything more.

mod commands;
mod connections;
mod dialing;
mod memory;
#[cfg(any(test, feature = "model"))]
mod model;
mod pairs;
mod streams;
#[cfg(test)]
mod tests;
mod upkeep;
mod view;

pub use view::{ConnectionView, Counts, Explanation, MemoryScope, PeerView};

use crate::alive::{KeepAlive, Reconnect};
use crate::book::{Book, Connection};
use crate::dial::Dialer;
use crate::duplicates::{DuplicatesConfig, Pair};
use crate::limits::Limits;
use crate::metadata::Store;
use crate::table::{ConnIx, Heap, PeerIx};
use crate::worth::Worth;
use crate::{Action, Config, DialId, Event, Input, Misuse};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use tidewire_core::{EventMachine, Multiaddr, PeerId, Seed, Time};

/// Decides which connections stay, which go, and which are made. An [`EventMachine`]; see the [crate](crate).
#[cfg_attr(any(test, feature = "model"), derive(Clone))]
pub struct ConnectionManager {
    local: PeerId,
    duplicates: DuplicatesConfig,
    /// The latest moment that was ever said.
    now: Time,
    shut_down: bool,
    book: Book,
    worth: Worth,
    limits: Limits,
    dialer: Dialer,
    alive: KeepAlive,
    reconnect: Reconnect,
    metadata: Store,
    /// Peers that have, or had a short time ago, more than one connection.
    pairs: BTreeMap<PeerIx, Pair>,
    /// When each of them wants to be called.
    pair_times: Heap<Time>,
    /// Pairs that were told something since they were asked last.
    touched_pairs: Vec<PeerIx>,
    /// The last trim found nobody whom it could close, and that was told.
    idle_trim: bool,
    /// Dials that count as pending.
    dials: BTreeMap<DialId, PendingDial>,
    /// What connections make us keep; of the memory that is reserved for them.
    held: BTreeMap<ConnIx, u64>,
    /// No dial of this number or above was made yet.
    next_dial: u64,
    next_own_request: u64,
    max_unpolled: u32,
    actions: VecDeque<Action>,
}

/// A dial that was asked for, until it is established, failed or aborted.
#[derive(Clone, Debug)]
struct PendingDial {
    peer: PeerId,
    address: Multiaddr,
}

/// Room for actions that is kept when none waits.
const KEPT_ACTIONS: usize = 1024;

/// Request ids from here on are our own: redials of peers marked keep-alive.
const OWN_REQUESTS: u64 = 1 << 63;

impl ConnectionManager {
    /// A manager for the peer `local`. The seed feeds the jitter of backoff and redials, and the keys of hash tables.
    pub fn new(config: Config, local: PeerId, seed: &Seed) -> Self {
        ConnectionManager {
            local,
            duplicates: config.duplicates,
            now: Time::ZERO,
            shut_down: false,
            book: Book::new(seed),
            worth: Worth::new(&config.worth),
            limits: Limits::new(config.limits, seed),
            dialer: Dialer::new(config.dial, local, &seed.derive("connmgr dialer", 0)),
            alive: KeepAlive::new(config.keep_alive),
            reconnect: Reconnect::new(config.reconnect, seed.derive("connmgr reconnect", 0)),
            metadata: Store::new(config.metadata),
            pairs: BTreeMap::new(),
            pair_times: Heap::new(),
            touched_pairs: Vec::new(),
            idle_trim: false,
            dials: BTreeMap::new(),
            held: BTreeMap::new(),
            next_dial: 0,
            next_own_request: OWN_REQUESTS,
            max_unpolled: config.max_unpolled,
            actions: VecDeque::new(),
        }
    }

    /// Whether as many actions wait as may.
    fn is_unpolled(&self) -> bool {
        u32::try_from(self.actions.len()).unwrap_or(u32::MAX) >= self.max_unpolled.max(1)
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn tell(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    /// Frees the peer's slot if nothing is known about it any more.
    fn forget_if_blank(&mut self, peer: PeerIx) {
        let Some(entry) = self.book.peer(peer) else { return };
        let blank = entry.established == 0
            && entry.scope.memory == 0
            && self.worth.is_blank(peer)
            && self.metadata.is_blank(peer)
            && !self.pairs.contains_key(&peer);
        if blank {
            self.book.forget(peer);
        }
    }

    /// The address whose subnets and rate a connection counts against. A circuit's address is the relay's, so it has none.
    fn counted_ip(remote: &Multiaddr) -> Option<IpAddr> {
        if remote.is_relayed() { None } else { remote.ip() }
    }

    /// [`ConnectionManager::counted_ip`] of a connection, which knows already whether it is relayed.
    fn counted_ip_of(entry: &Connection) -> Option<IpAddr> {
        if entry.relayed { None } else { entry.remote.ip() }
    }

    fn find_established(&self, connection: crate::ConnectionId) -> Result<ConnIx, Misuse> {
        let ix = self.book.find_connection(connection).ok_or(Misuse::UnknownConnection(connection))?;
        match self.book.connection(ix).and_then(|entry| entry.peer) {
            Some(_) => Ok(ix),
            None => Err(Misuse::NotEstablished(connection)),
        }
    }

    /// Carries out what the parts want now: dials, redials, trims.
    fn settle(&mut self) {
        self.drain_pairs();
        self.drain_alive();
        // A redial may fail at once, which reconnect must hear of; both are bounded by their caps.
        loop {
            self.drain_dialer();
            if !self.drain_reconnect() {
                break;
            }
        }
        self.trim();
        self.drain_blank();
    }
}

impl EventMachine for ConnectionManager {
    type Input<'a> = Input<'a>;
    type Action = Action;
    type Misuse = Misuse;

    fn handle(&mut self, now: Time, input: Input<'_>) -> Result<(), Misuse> {
        if now < self.now {
            return Err(Misuse::TimeWentBack { now, last: self.now });
        }
        if self.is_unpolled() {
            return Err(Misuse::Unpolled(self.max_unpolled));
        }
        let before = core::mem::replace(&mut self.now, now);
        let done = self.dispatch(input);
        match done {
            Ok(()) => self.settle(),
            Err(_) => self.now = before,
        }
        done
    }

    fn on_timeout(&mut self, now: Time) {
        if now < self.deadline() || now < self.now || self.is_unpolled() {
            return;
        }
        self.now = now;
        self.let_time_pass();
        self.settle();
    }

    fn poll(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        // Every connection may have been pinged at one moment; that isn't kept for the next such moment.
        if self.actions.is_empty() && self.actions.capacity() > KEPT_ACTIONS {
            self.actions.shrink_to(KEPT_ACTIONS);
        }
        action
    }

    fn deadline(&self) -> Time {
        let pairs = self.pair_times.peek().map_or(Time::NEVER, |(time, _)| time);
        self.worth
            .deadline()
            .min(self.dialer.deadline())
            .min(self.alive.deadline())
            .min(self.reconnect.deadline())
            .min(self.metadata.deadline())
            .min(pairs)
    }

    fn memory_used(&self) -> usize {
        self.book.memory_used()
            + self.worth.memory_used()
            + self.limits.memory_used()
            + self.dialer.memory_used()
            + self.alive.memory_used()
            + self.reconnect.memory_used()
            + self.metadata.memory_used()
            + self.pair_times.memory_used()
            + self.pairs.values().map(|pair| pair.memory_used() + size_of::<(PeerIx, Pair)>()).sum::<usize>()
            + self.dials.len() * size_of::<(DialId, PendingDial)>()
            + self.held.len() * size_of::<(ConnIx, u64)>()
            + self.actions.capacity() * size_of::<Action>()
    }
}

/// How much there is; a million connections are no use in a log.
impl fmt::Debug for ConnectionManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deadline = self.deadline();
        f.debug_struct("ConnectionManager").field("counts", &self.counts()).field("deadline", &deadline).finish()
    }
}

impl ConnectionManager {
    fn dispatch(&mut self, input: Input<'_>) -> Result<(), Misuse> {
        match input {
            Input::Incoming { connection, remote } => self.incoming(connection, remote),
            Input::Established { connection, peer, origin, role, limited } => {
                self.established(connection, peer, origin, role, limited)
            }
            Input::Closed { connection, by, why } => self.closed(connection, by, why),
            Input::StreamOpened { connection, stream, direction, protocol } => {
                self.stream_opened(connection, stream, direction, protocol)
            }
            Input::StreamProtocol { connection, stream, protocol } => {
                self.stream_protocol(connection, stream, protocol)
            }
            Input::StreamClosed { connection, stream } => self.stream_closed(connection, stream),
            Input::Holds { connection, bytes } => self.holds(connection, bytes),
            Input::Used { connection } => self.used(connection),
            Input::Pong { connection, rtt } => self.pong(connection, rtt),
            Input::PingUnsupported { connection } => self.ping_unsupported(connection),
            Input::Dial { request, peer, addresses, options } => self.dial(request, peer, addresses, options),
            Input::Cancel { request } => self.cancel(request),
            Input::DialProgress { dial } => self.dial_progress(dial),
            Input::DialFailed { dial, fault } => self.dial_failed(dial, fault),
            Input::NetworkChanged => self.network_changed(),
            Input::Addresses { peer, addresses, source, ttl } => self.addresses(peer, addresses, source, ttl),
            Input::Identified { peer, protocols, agent } => self.identified(peer, protocols, agent),
            Input::Protect { peer, reason } => self.protect(peer, reason),
            Input::Unprotect { peer, reason } => self.unprotect(peer, reason),
            Input::Tag { peer, tag, change } => self.tag(peer, tag, change),
            Input::DefineDecaying { tag, decay } => Ok(self.worth.define(self.now, tag, decay)?),
            Input::RemoveDecaying { tag } => Ok(self.worth.undefine(self.now, tag)?),
            Input::Bump { peer, tag, bump } => self.bump(peer, tag, bump),
            Input::Unbump { peer, tag } => self.unbump(peer, tag),
            Input::KeepAlive { peer, on } => self.keep_alive(peer, on),
            Input::Deny { rule, why } => self.deny(&rule, why),
            Input::Allow { rule } => self.allow(&rule),
            Input::Close { connection, why } => self.close(connection, why),
            Input::Disconnect { peer, why } => self.disconnect(peer, why),
            Input::TrimNow => self.trim_now(),
            Input::Emergency => self.emergency(),
            Input::Shutdown => self.shutdown(),
        }
    }
}
