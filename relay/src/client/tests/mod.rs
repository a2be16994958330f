//! Tests of the relay client. Each drives one client by hand, and reads what it says.

mod accepting;
mod caps;
mod dials;
mod holds;
mod laws;
mod trouble;

use super::*;
use crate::exchange::Reply;
use crate::{CircuitDialId, DroppedAddresses, Limit, Reservation, SignedVoucher, Status, Voucher, VoucherError};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use core::time::Duration;
use tidewire_core::Keypair;

pub(super) const UNIX: u64 = 1_900_000_000;
const HOUR: u64 = 3600;

pub(super) fn key(n: u8) -> Keypair {
    Keypair::from_seed(&Seed::new([n; 32]))
}

pub(super) fn peer(n: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, n]).unwrap()
}

pub(super) fn address(n: u8) -> Multiaddr {
    alloc::format!("/ip4/8.{n}.0.1/tcp/4001").parse().unwrap()
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A reservation with this relay until then, at one address.
pub(super) fn reservation(relay: PeerId, expire: u64) -> Reservation {
    Reservation {
        relay,
        expire: UnixTime::from_secs(expire),
        addresses: vec!["/ip4/9.9.9.9/tcp/4001".parse().unwrap()],
        dropped: DroppedAddresses::default(),
        voucher: None,
        limit: Limit::UNLIMITED,
    }
}

/// A client, the time, and what the client said and nobody looked at yet.
pub(super) struct Desk {
    pub(super) client: Client,
    pub(super) now: Time,
    pub(super) said: VecDeque<Action>,
}

impl Desk {
    pub(super) fn new(config: ClientConfig) -> Self {
        let client = Client::new(config, peer(0), &Seed::new([7; 32]));
        let mut desk = Desk { client, now: Time::ZERO, said: VecDeque::new() };
        desk.tell(Input::Clock { unix: UnixTime::from_secs(UNIX) });
        desk
    }

    pub(super) fn give(&mut self, input: Input<'_>) -> Result<(), Misuse> {
        let done = self.client.handle(self.now, input);
        self.said.extend(core::iter::from_fn(|| self.client.poll()));
        done
    }

    pub(super) fn tell(&mut self, input: Input<'_>) {
        self.give(input).unwrap();
    }

    /// All that was said since the last look.
    pub(super) fn said(&mut self) -> Vec<Action> {
        self.said.drain(..).collect()
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        let event = |action| if let Action::Event(event) = action { Some(event) } else { None };
        self.said().into_iter().filter_map(event).collect()
    }

    /// The question that was asked last.
    pub(super) fn asked(&mut self) -> AskId {
        let asked = |action: &Action| if let Action::Ask { ask, .. } = action { Some(*ask) } else { None };
        self.said().iter().rev().find_map(asked).expect("a question")
    }

    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.client.deadline() <= end {
            self.now = self.now.max(self.client.deadline());
            self.client.on_timeout(self.now);
            self.said.extend(core::iter::from_fn(|| self.client.poll()));
        }
        self.now = end;
    }

    /// How long until the client wants to be called.
    pub(super) fn next(&self) -> Duration {
        self.client.deadline().since(self.now)
    }

    /// Waits until then.
    pub(super) fn skip(&mut self) {
        self.wait(self.next());
    }

    pub(super) fn connect(&mut self, connection: u64, n: u8) {
        let (connection, peer, remote) = (ConnectionId(connection), peer(n), &address(n));
        self.tell(Input::Connected { connection, peer, remote, relayed: false, dialed: true });
    }

    pub(super) fn connect_over_relay(&mut self, connection: u64, n: u8) {
        let remote = circuit_of(9, n);
        let (connection, peer) = (ConnectionId(connection), peer(n));
        self.tell(Input::Connected { connection, peer, remote: &remote, relayed: true, dialed: true });
    }

    pub(super) fn disconnect(&mut self, connection: u64) {
        self.tell(Input::Disconnected { connection: ConnectionId(connection) });
    }

    pub(super) fn hold(&mut self, n: u8) {
        self.tell(Input::Hold { relay: peer(n), addresses: &[address(n)] });
    }

    pub(super) fn dial(&mut self, dial: u64, relay: u8, destination: u8) {
        let (dial, relay, addresses) = (CircuitDialId(dial), peer(relay), [address(relay)]);
        self.tell(Input::Dial { dial, relay, addresses: &addresses, destination: peer(destination) });
    }

    pub(super) fn answer(&mut self, ask: AskId, connection: u64, answer: &Answer) -> Result<(), Misuse> {
        let stream = StreamKey { connection: ConnectionId(connection), stream: 100 + ask.0 };
        self.give(Input::Answered { ask, stream, answer })
    }

    /// Answers the question that was asked last with a reservation until then.
    pub(super) fn grant(&mut self, connection: u64, n: u8, expire: u64) {
        let ask = self.asked();
        self.answer(ask, connection, &Answer::Reserved(Box::new(reservation(peer(n), expire)))).unwrap();
    }

    pub(super) fn refuse(&mut self, connection: u64, status: Status) {
        let ask = self.asked();
        self.answer(ask, connection, &Answer::Refused { status }).unwrap();
    }

    /// A client that holds a reservation for an hour with this relay, on this connection; nothing of that is left to be looked at.
    pub(super) fn held(mut self, connection: u64, n: u8) -> Self {
        self.connect(connection, n);
        self.hold(n);
        self.grant(connection, n, UNIX + HOUR);
        self.said();
        self
    }
}

pub(super) fn circuit_of(relay: u8, to: u8) -> Multiaddr {
    crate::circuit_address(&address(relay), peer(relay), peer(to)).unwrap()
}

pub(super) fn over(connection: u64, stream: u64) -> StreamKey {
    StreamKey { connection: ConnectionId(connection), stream }
}
