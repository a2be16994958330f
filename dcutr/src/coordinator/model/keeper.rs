//! Who decides at a side which of several connections stays: the rule of duplicates alone, or the real connection manager.
//!
//! ```text
//!   Keeper::Pair     a connection is there, or gone; pongs                                    small states, time stands still
//!   Keeper::Manager  incoming, established, closed; streams; pongs; time    <--- as a host tells it: small worlds, all of it
//! ```
//! The manager is told what a host tells it (host/src/machine/punching.rs), and what it wants is carried out as there: a pending
//! connection is let in, an established one is known to the coordinator once the manager says that it is open, a proof is its
//! `Drain`, and what it closes is gone a while later.
//!
//! What of it is off, and why: watermarks, rates, caps, memory, tags, metadata and redials, for there is one peer; idleness and
//! pings of its own, for they would close or prove what the rule says nothing about; the end of the time for an answer, for a
//! connection that is there answers sooner or later, and one that is gone ends; the budget of closes, but where a world has it, for
//! it keeps duplicates on purpose (`tidewire_connmgr::duplicates` is its model); its dialer: what the application dials comes to it
//! as punches do, and so is never given up for another connection. The round trips of its pings are not told on: all waits are of
//! one length here.

use super::copied::Copied;
use super::variants::Rule;
use super::world::{Q, World, ip, outside, peer};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use tidewire_connmgr::duplicates::{self, DuplicatesConfig, Initiator, Pair};
use tidewire_connmgr::{
    Action, By, CloseReason, Config, ConnectionId, ConnectionManager, Direction, Event, Input, Origin, StreamId,
};
use tidewire_core::{EventMachine, Multiaddr, Role, Seed, Time};

/// It decides.
#[derive(Clone, Hash)]
pub(super) enum Keeper {
    Pair { pair: Pair, opened: VecDeque<usize> },
    Manager(Copied<ConnectionManager>),
}

/// What it wants.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    /// It knows of it, and lets it be.
    Open(usize),
    Ping(usize),
    /// New streams go on this one, which is proven over another.
    Drain {
        onto: usize,
    },
    Close {
        wire: usize,
        kept: usize,
    },
}

/// How a connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// We accepted it, and the keeper let it in.
    Accepted,
    /// We dialed it, and the keeper did not know.
    Dialed,
}

/// The time for an answer: longer than all graces.
const ANSWER: Duration = Duration::from_secs(3600);
/// A grace is over at any moment: how long it is, is of no matter.
const GRACE: Duration = Duration::from_micros(1);
/// What happens at a side happens a moment later than what happened there before.
const NOW: Time = Time::from_nanos(ConnectionManager::PRESENT.as_nanos() + 1);

fn id(wire: usize) -> ConnectionId {
    ConnectionId(wire as u64)
}

fn wire(id: ConnectionId) -> usize {
    usize::try_from(id.0).unwrap()
}

fn duplicates_config(world: &World, rule: Rule) -> DuplicatesConfig {
    let grace = if world.grace { GRACE } else { Duration::ZERO };
    let mut config = DuplicatesConfig::default();
    (config.grace, config.long_grace) = (grace, Some(grace));
    if !world.budget {
        config.budget = u32::MAX;
    }
    if rule == Rule::KeepsAll {
        config.per_peer = u32::MAX;
    }
    config
}

fn manager_config(world: &World, rule: Rule) -> Config {
    let mut config = Config::default();
    config.duplicates = duplicates_config(world, rule);
    (config.worth.low, config.worth.high, config.worth.grace) = (0, 0, Duration::ZERO);
    config.limits.inbound_interval = Duration::ZERO;
    (config.limits.per_ip4, config.limits.established_per_peer) = (u32::MAX, u32::MAX);
    config.keep_alive.ping_interval = None;
    (config.keep_alive.ping_timeout_min, config.keep_alive.ping_timeout_max) = (ANSWER, ANSWER);
    config
}

fn remote(other: usize, relayed: bool) -> Multiaddr {
    if relayed { "/ip4/11.0.0.9/tcp/4001/p2p-circuit".parse().unwrap() } else { outside(other) }
}

impl Keeper {
    pub(super) fn new(world: &World, side: usize) -> Keeper {
        let rule = world.rules[side];
        if world.manager {
            let seed = Seed::new([0; 32]);
            Keeper::Manager(Copied::new(ConnectionManager::new(manager_config(world, rule), peer(side), &seed)))
        } else {
            Keeper::Pair { pair: Pair::new(duplicates_config(world, rule)), opened: VecDeque::new() }
        }
    }

    pub(super) fn is_manager(&self) -> bool {
        matches!(self, Keeper::Manager(_))
    }

    fn tell(&mut self, input: &Input<'_>) -> Result<(), String> {
        let Keeper::Manager(manager) = self else { return Ok(()) };
        manager.touch().handle(NOW, input.clone()).map_err(|misuse| format!("{input:?}: {misuse}"))
    }

    fn tell_pair(&mut self, input: duplicates::Input) -> Result<(), String> {
        let Keeper::Pair { pair, .. } = self else { return Ok(()) };
        pair.handle(Time::ZERO, input).map_err(|misuse| format!("{input:?}: {misuse}"))
    }

    /// A listener got a connection.
    pub(super) fn incoming(&mut self, wire: usize, from: usize, relayed: bool) -> Result<(), String> {
        let (connection, remote) = (id(wire), &remote(from, relayed));
        self.tell(&Input::Incoming { connection, remote })?;
        let Keeper::Manager(manager) = self else { return Ok(()) };
        match manager.touch().poll() {
            Some(Action::Accept { connection: accepted }) if accepted == connection => Ok(()),
            other => Err(format!("c{wire} is not let in from {}: {other:?}", ip(from))),
        }
    }

    /// A connection is upgraded. Who initiated its security handshake is of more matter than how it came about.
    pub(super) fn established(
        &mut self,
        wire: usize,
        (side, initiator): (usize, usize),
        relayed: bool,
        came: Came,
    ) -> Result<(), String> {
        let (connection, we) = (id(wire), initiator == side);
        if let Keeper::Pair { opened, .. } = self {
            opened.push_back(wire);
            let (initiator, larger) = (if we { Initiator::We } else { Initiator::They }, initiator == Q);
            return self.tell_pair(duplicates::Input::Opened { connection, relayed, initiator, larger, streams: 0 });
        }
        let (other, role) = (1 - side, if we { Role::Initiator } else { Role::Responder });
        let remote = &remote(other, relayed);
        let origin = match came {
            Came::Accepted => Origin::Incoming,
            Came::Dialed => Origin::Other { direction: Direction::Outbound, remote },
        };
        self.tell(&Input::Established { connection, peer: peer(other), origin, role, limited: relayed })
    }

    /// A connection is gone, established or not.
    pub(super) fn closed(&mut self, wire: usize, was_up: bool) -> Result<(), String> {
        let connection = id(wire);
        if was_up {
            self.tell_pair(duplicates::Input::Closed { connection })?;
        }
        self.tell(&Input::Closed { connection, by: By::Remote, why: "it ended" })
    }

    /// The answer to the ping under way came.
    pub(super) fn pong(&mut self, wire: usize) -> Result<(), String> {
        let connection = id(wire);
        self.tell_pair(duplicates::Input::Pong { connection, sent: Time::ZERO })?;
        self.tell(&Input::Pong { connection, rtt: Duration::from_millis(1) })
    }

    /// A stream of the punch was opened on it, or is gone.
    pub(super) fn stream(&mut self, wire: usize, number: u64, ours: bool, open: bool) -> Result<(), String> {
        let (connection, stream) = (id(wire), StreamId(number));
        if !open {
            return self.tell(&Input::StreamClosed { connection, stream });
        }
        let direction = if ours { Direction::Outbound } else { Direction::Inbound };
        self.tell(&Input::StreamOpened { connection, stream, direction, protocol: Some(crate::PROTOCOL) })
    }

    /// The application, or a broken rule, closes it.
    pub(super) fn close(&mut self, wire: usize) -> Result<(), String> {
        self.tell(&Input::Close { connection: id(wire), why: "a direct one is there" })
    }

    pub(super) fn poll(&mut self) -> Result<Option<Wish>, String> {
        let manager = match self {
            Keeper::Pair { pair, opened } => {
                let wish = opened.pop_front().map(Wish::Open);
                return wish.map_or_else(|| pair.poll().map(of_pair).transpose(), |wish| Ok(Some(wish)));
            }
            Keeper::Manager(manager) => manager,
        };
        let Some(manager) = manager.touched() else { return Ok(None) };
        while let Some(action) = manager.poll() {
            let wish = match action {
                Action::Event(Event::ConnectionOpened { connection, .. }) => Wish::Open(wire(connection)),
                Action::Ping { connection, .. } => Wish::Ping(wire(connection)),
                Action::Drain { onto, .. } => {
                    let view = manager.connection(onto).expect("what it names is there");
                    let next = view.peer.and_then(|peer| manager.best_connection(&peer, true));
                    if !view.relayed && next.and_then(|next| manager.connection(next)).is_none_or(|next| next.relayed) {
                        return Err(format!("new streams don't go on a direct connection, though {onto} is proven"));
                    }
                    Wish::Drain { onto: wire(onto) }
                }
                Action::Close { connection, reason: CloseReason::Superseded { kept } } => {
                    Wish::Close { wire: wire(connection), kept: wire(kept) }
                }
                Action::Close { reason: CloseReason::Asked { .. }, .. } | Action::Event(_) => continue,
                other => return Err(format!("{other:?}")),
            };
            return Ok(Some(wish));
        }
        Ok(None)
    }

    /// Whether a grace goes on, or a window of the budget. The end of the time for an answer is not reached.
    pub(super) fn waits(&self) -> bool {
        match self {
            Keeper::Pair { .. } => false,
            Keeper::Manager(manager) => manager.deadline().since(ConnectionManager::PRESENT) < ANSWER / 2,
        }
    }

    /// The next of them is over.
    pub(super) fn grace_over(&mut self) {
        if let Keeper::Manager(manager) = self {
            let now = manager.deadline();
            manager.touch().on_timeout(now);
        }
    }

    /// The present is what it was before.
    pub(super) fn rest(&mut self) {
        if let Keeper::Manager(manager) = self {
            manager.rest(ConnectionManager::rebase);
        }
    }

    /// How many connections it knows of; an error: it is not at rest.
    pub(super) fn at_rest(&self) -> Result<Option<u32>, String> {
        let Keeper::Manager(manager) = self else { return Ok(None) };
        let counts = manager.counts().limits;
        let under_way =
            counts.pending_inbound + counts.pending_outbound + counts.closing_inbound + counts.closing_outbound;
        if under_way + counts.streams_inbound + counts.streams_outbound > 0 {
            return Err(format!("the manager is not at rest: {counts:?}"));
        }
        Ok(Some(counts.established_inbound + counts.established_outbound))
    }
}

fn of_pair(action: duplicates::Action) -> Result<Wish, String> {
    use duplicates::Action::{Close, Drain, Ping};
    match action {
        Ping { connection } => Ok(Wish::Ping(wire(connection))),
        Drain { onto, .. } => Ok(Wish::Drain { onto: wire(onto) }),
        Close { connection, kept } => Ok(Wish::Close { wire: wire(connection), kept: wire(kept) }),
        other => Err(format!("{other:?}")),
    }
}
