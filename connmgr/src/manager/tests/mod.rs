//! The manager as a whole: what an application sees.

mod dials;
mod laws;
mod lifecycle;
mod limits;
mod memory;
mod misuse;
mod model;
mod peers;
mod watermarks;

use crate::{
    Action, By, CloseReason, Config, ConnectionId, ConnectionManager, Direction, Event, Input, Misuse, Origin, StreamId,
};
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{EventMachine, Multiaddr, PeerId, Role, Seed, Time};

/// The peer of this number. Ours is number 0; greater numbers are larger ids.
pub(super) fn peer(n: u32) -> PeerId {
    let mut bytes = [0; 38];
    bytes[..6].copy_from_slice(&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20]);
    bytes[6..10].copy_from_slice(&n.to_be_bytes());
    PeerId::from_bytes(&bytes).unwrap()
}

/// A public address of its own for each number.
pub(super) fn address(n: u32) -> Multiaddr {
    let [_, a, b, c] = (n + 1).to_be_bytes();
    format!("/ip4/11.{a}.{b}.{c}/tcp/4001").parse().unwrap()
}

pub(super) fn text(address: &str) -> Multiaddr {
    address.parse().unwrap()
}

/// Pings and limits off, so that a test speaks of one thing.
pub(super) fn quiet() -> Config {
    let mut config = Config::default();
    config.keep_alive.ping_interval = None;
    config.limits.inbound_interval = Duration::ZERO;
    config
}

pub(super) struct World {
    pub(super) manager: ConnectionManager,
    pub(super) now: Time,
}

impl World {
    pub(super) fn new(config: Config) -> World {
        World { manager: ConnectionManager::new(config, peer(0), &Seed::new([9; 32])), now: Time::ZERO }
    }

    /// Tells it, and gives what it wants done.
    pub(super) fn tell(&mut self, input: Input<'_>) -> Vec<Action> {
        self.manager.handle(self.now, input).unwrap();
        self.actions()
    }

    pub(super) fn misuse(&mut self, input: Input<'_>) -> Misuse {
        let misuse = self.manager.handle(self.now, input).unwrap_err();
        assert_eq!(self.actions(), [], "a misuse changes nothing");
        misuse
    }

    pub(super) fn actions(&mut self) -> Vec<Action> {
        core::iter::from_fn(|| self.manager.poll()).collect()
    }

    /// Time passes, from deadline to deadline.
    pub(super) fn wait(&mut self, time: Duration) -> Vec<Action> {
        let end = self.now + time;
        let mut all = Vec::new();
        while self.manager.deadline() <= end {
            self.now = self.now.max(self.manager.deadline());
            self.manager.on_timeout(self.now);
            all.extend(self.actions());
            assert!(self.manager.deadline() > self.now, "the deadline stands still");
        }
        self.now = end;
        all
    }

    /// A connection of ours is there, by whatever made it.
    pub(super) fn open(&mut self, connection: u64, with: u32, direction: Direction) -> Vec<Action> {
        let role = if direction == Direction::Outbound { Role::Initiator } else { Role::Responder };
        self.open_as(connection, with, direction, role, &address(with))
    }

    pub(super) fn open_as(
        &mut self,
        connection: u64,
        with: u32,
        direction: Direction,
        role: Role,
        remote: &Multiaddr,
    ) -> Vec<Action> {
        self.tell(Input::Established {
            connection: ConnectionId(connection),
            peer: peer(with),
            origin: Origin::Other { direction, remote },
            role,
            limited: false,
        })
    }

    pub(super) fn closed(&mut self, connection: u64) -> Vec<Action> {
        self.tell(Input::Closed { connection: ConnectionId(connection), by: By::Remote, why: "bye" })
    }

    pub(super) fn stream(&mut self, connection: u64, stream: u64) -> Vec<Action> {
        self.tell(Input::StreamOpened {
            connection: ConnectionId(connection),
            stream: StreamId(stream),
            direction: Direction::Outbound,
            protocol: Some("/app/1"),
        })
    }
}

/// The connections that are asked to close, with why.
pub(super) fn closes(actions: &[Action]) -> Vec<(u64, CloseReason)> {
    let close = |action: &Action| match action {
        Action::Close { connection, reason } => Some((connection.0, reason.clone())),
        _ => None,
    };
    actions.iter().filter_map(close).collect()
}

/// The events, in order.
pub(super) fn events(actions: &[Action]) -> Vec<Event> {
    let event = |action: &Action| match action {
        Action::Event(event) => Some(event.clone()),
        _ => None,
    };
    actions.iter().filter_map(event).collect()
}
