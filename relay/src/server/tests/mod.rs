//! The server as a whole: what an operator and a remote see.

mod acl;
mod circuits;
mod costs;
mod laws;
mod misuse;
mod order;
mod reservations;
mod service;

use super::{Action, Event, Input, Misuse, Refusal, Server, ServerConfig, StopAnswer};
use crate::exchange::Reply;
use crate::{AskId, CircuitId, ConnectionId, RateConfig, Status, StreamKey};
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{EventMachine, Multiaddr, PeerId, Seed, Time, UnixTime};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// What the wall clock says when a test begins.
const UNIX: u64 = 1_800_000_000;

/// The peer of this number. We are number 0.
fn peer(n: u32) -> PeerId {
    let mut bytes = [0; 38];
    bytes[..6].copy_from_slice(&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20]);
    bytes[6..10].copy_from_slice(&n.to_be_bytes());
    PeerId::from_bytes(&bytes).unwrap()
}

/// A public address of its own for each number.
fn address(n: u32) -> Multiaddr {
    let [_, a, b, c] = (n + 1).to_be_bytes();
    text(&format!("/ip4/11.{a}.{b}.{c}/tcp/4001"))
}

fn text(address: &str) -> Multiaddr {
    address.parse().unwrap()
}

/// A stream on the connection of this number.
fn on(connection: u64, stream: u64) -> StreamKey {
    StreamKey { connection: ConnectionId(connection), stream }
}

/// No rates, so that a test speaks of one thing.
fn quiet() -> ServerConfig {
    ServerConfig {
        reserve_per_peer: RateConfig::OFF,
        reserve_per_network: RateConfig::OFF,
        connect_per_peer: RateConfig::OFF,
        connect_per_network: RateConfig::OFF,
        ..ServerConfig::default()
    }
}

struct World {
    server: Server,
    now: Time,
}

impl World {
    /// A relay that serves, known at 11.255.0.1.
    fn new(config: ServerConfig) -> World {
        let mut world = World::silent(config);
        world.tell(Input::Clock { unix: UnixTime::from_secs(UNIX) });
        world.tell(Input::Addresses { addresses: &[text("/ip4/11.255.0.1/tcp/4001")] });
        world.tell(Input::Reachable { public: true });
        world
    }

    /// A relay that was told nothing yet.
    fn silent(config: ServerConfig) -> World {
        World { server: Server::new(config, peer(0), &Seed::new([9; 32])), now: Time::ZERO }
    }

    /// Tells it, and gives what it wants done.
    fn tell(&mut self, input: Input<'_>) -> Vec<Action> {
        self.server.handle(self.now, input).unwrap();
        self.actions()
    }

    fn misuse(&mut self, input: Input<'_>) -> Misuse {
        let before = self.server.view();
        let misuse = self.server.handle(self.now, input).unwrap_err();
        assert_eq!(self.actions(), [], "a misuse changes nothing");
        assert_eq!(self.server.view(), before, "a misuse changes nothing");
        misuse
    }

    fn actions(&mut self) -> Vec<Action> {
        core::iter::from_fn(|| self.server.poll()).collect()
    }

    /// Time passes, from deadline to deadline.
    fn wait(&mut self, time: Duration) -> Vec<Action> {
        let end = self.now + time;
        let mut all = Vec::new();
        while self.server.deadline() <= end {
            self.now = self.now.max(self.server.deadline());
            self.server.on_timeout(self.now);
            all.extend(self.actions());
            assert!(self.server.deadline() > self.now, "the deadline stands still");
        }
        self.now = end;
        all
    }

    /// The peer of this number connects, over the connection of the same number, from an address of its own.
    fn connect(&mut self, n: u32) {
        self.connect_as(n.into(), n, &address(n), false, None);
    }

    fn connect_as(&mut self, connection: u64, n: u32, remote: &Multiaddr, relayed: bool, asn: Option<u32>) {
        let connection = ConnectionId(connection);
        let actions = self.tell(Input::Connected { connection, peer: peer(n), remote, relayed, asn });
        assert_eq!(actions, []);
    }

    fn disconnect(&mut self, connection: u64) -> Vec<Action> {
        self.tell(Input::Disconnected { connection: ConnectionId(connection) })
    }

    /// Connected, and with a reservation.
    fn holder(&mut self, n: u32) {
        self.connect(n);
        assert_eq!(self.reserve(n.into()), Ok(()));
    }

    fn reserve(&mut self, connection: u64) -> Result<(), Refusal> {
        outcome(&self.tell(Input::Reserve { stream: on(connection, 1) }))
    }

    /// Asks for a circuit. `Ok`: the destination is being asked.
    fn ask(&mut self, source: StreamKey, destination: u32) -> Result<(AskId, ConnectionId), Refusal> {
        let actions = self.tell(Input::Connect { stream: source, destination: peer(destination) });
        match actions[..] {
            [Action::OpenStop { ask, connection, .. }] => Ok((ask, connection)),
            _ => Err(outcome(&actions).unwrap_err()),
        }
    }

    /// A circuit from the connection of this number to the holder of that number, over streams that nobody has.
    fn circuit(&mut self, source: u64, destination: u32) -> CircuitId {
        let fresh = 1000 + self.server.counters().circuits;
        let (ask, connection) = self.ask(on(source, fresh), destination).unwrap();
        let stream = on(connection.0, fresh);
        let actions = self.tell(Input::StopAnswered { ask, answer: StopAnswer::Accepted(stream) });
        let splice = |action: &Action| if let Action::Splice { circuit, .. } = action { Some(*circuit) } else { None };
        actions.iter().find_map(splice).unwrap()
    }
}

/// What came of a request, from what it made the server do.
fn outcome(actions: &[Action]) -> Result<(), Refusal> {
    let refused = |action: &Action| match action {
        Action::Event(Event::Refused { why, .. }) => Some(why.clone()),
        _ => None,
    };
    match actions.iter().find_map(refused) {
        Some(why) => Err(why),
        None => Ok(()),
    }
}

/// The statuses that were replied, OK included.
fn statuses(actions: &[Action]) -> Vec<Status> {
    let status = |action: &Action| match action {
        Action::Reply { reply: Reply::Refused { status }, .. } => Some(*status),
        Action::Reply { .. } => Some(Status::OK),
        _ => None,
    };
    actions.iter().filter_map(status).collect()
}
