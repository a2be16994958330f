//! Tests of AutoRelay. Each drives one by hand, and reads what it says.

mod advertising;
mod announcing;
mod caps;
mod laws;
mod relays;
mod trouble;

use super::*;
use alloc::string::ToString;
use alloc::vec;
use core::time::Duration;

pub(super) fn peer(n: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, n]).unwrap()
}

pub(super) fn text(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

/// Each in a subnet of its own.
pub(super) fn address(n: u8) -> Multiaddr {
    text(&alloc::format!("/ip4/8.{n}.0.1/tcp/4001"))
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) fn candidate(n: u8) -> Candidate {
    Candidate { peer: peer(n), addresses: vec![address(n)] }
}

/// An AutoRelay, the time, and what was said and nobody looked at yet.
pub(super) struct Desk {
    pub(super) auto: AutoRelay,
    pub(super) now: Time,
    pub(super) said: VecDeque<Action>,
}

impl Desk {
    pub(super) fn new(config: AutoRelayConfig) -> Self {
        let auto = AutoRelay::new(config, peer(0), &Seed::new([7; 32]), Time::ZERO);
        let mut desk = Desk { auto, now: Time::ZERO, said: VecDeque::new() };
        desk.listen();
        desk
    }

    fn listen(&mut self) {
        self.said.extend(core::iter::from_fn(|| self.auto.poll()));
    }

    pub(super) fn tell(&mut self, input: Input<'_>) {
        self.auto.handle(self.now, input).unwrap();
        self.listen();
    }

    pub(super) fn said(&mut self) -> Vec<Action> {
        self.said.drain(..).collect()
    }

    /// All but the events.
    pub(super) fn done(&mut self) -> Vec<Action> {
        self.said().into_iter().filter(|action| !matches!(action, Action::Event(_))).collect()
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        let event = |action| if let Action::Event(event) = action { Some(event) } else { None };
        self.said().into_iter().filter_map(event).collect()
    }

    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.auto.deadline() <= end {
            self.now = self.now.max(self.auto.deadline());
            self.auto.on_timeout(self.now);
            self.listen();
        }
        self.now = end;
    }

    /// These are named by the source.
    pub(super) fn found(&mut self, peers: &[u8]) {
        let list: Vec<Candidate> = peers.iter().copied().map(candidate).collect();
        self.tell(Input::Candidates(&list));
    }

    pub(super) fn connect(&mut self, connection: u64, n: u8) {
        let connection = ConnectionId(connection);
        self.tell(Input::Connected { connection, peer: peer(n), remote: &address(n), relayed: false });
    }

    pub(super) fn identify(&mut self, n: u8, speaks_hop: bool) {
        self.tell(Input::Identified { peer: peer(n), speaks_hop });
    }

    /// These are named, connected, and relays.
    pub(super) fn fit(&mut self, peers: &[u8]) {
        self.found(peers);
        for n in peers {
            self.connect(u64::from(*n), *n);
            self.identify(*n, true);
        }
    }

    /// Those that a reservation was asked from since the last look.
    pub(super) fn holds(&mut self) -> Vec<PeerId> {
        let hold = |action| if let Action::Hold { relay, .. } = action { Some(relay) } else { None };
        self.said().into_iter().filter_map(hold).collect()
    }

    pub(super) fn reserved(&mut self, relays: &[PeerId]) {
        for relay in relays {
            self.tell(Input::Reserved { relay: *relay });
        }
    }

    /// Three relays are held out of these, which are more.
    pub(super) fn holding(peers: &[u8]) -> (Desk, Vec<PeerId>) {
        let mut desk = Desk::new(AutoRelayConfig::classic());
        desk.fit(peers);
        desk.wait(secs(20));
        let held = desk.holds();
        desk.reserved(&held);
        desk.said();
        (desk, held)
    }

    pub(super) fn why(&self) -> Waiting {
        self.auto.explain(self.now).waiting
    }
}
