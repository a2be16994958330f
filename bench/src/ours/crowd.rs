//! `tidewire-connmgr` with a crowd of peers around it: one connection each, and all of them answer their pings.
//!
//! The crowd is made up. The number of a newcomer is its connection's id, and gives its peer id and its address; so whoever
//! drives the manager keeps no table that would take memory or cache from it. Time is virtual, and passes evenly: pings
//! are spread as they would be.

use crate::harness::Watch;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tidewire_connmgr::{Action, By, Config, ConnectionId, ConnectionManager, Input, Misuse, Origin, Resources};
use tidewire_core::{EventMachine, Multiaddr, PeerId, Role, Seed, Time};

/// The time in which a whole crowd comes in; pings follow each other at the same rate.
const ARRIVAL: Duration = Duration::from_secs(30);
/// Newcomers whose names are made at a time, outside of the time that is measured.
const BATCH: usize = 10_000;

/// A manager and its crowd.
pub struct Crowd {
    /// What is measured.
    pub manager: ConnectionManager,
    /// The virtual moment.
    pub now: Time,
    size: usize,
    members: Vec<u64>,
    next: u64,
    chance: Chance,
}

/// Who comes, and from where.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// The connection.
    pub connection: ConnectionId,
    /// Who.
    pub peer: PeerId,
    /// From where.
    pub remote: Multiaddr,
}

impl Newcomer {
    /// The one with this number.
    pub fn new(number: u64) -> Self {
        Newcomer { connection: ConnectionId(number), peer: peer(number), remote: address(number) }
    }
}

/// Room for so many connections, so that nothing is refused before; pings and all else as by default.
pub fn config(size: usize) -> Config {
    let mut config = Config::for_resources(Resources { memory: 1 << 40, file_descriptors: 1 << 22 });
    config.limits.established = size as u32;
    // A whole turn of newcomers is pending at one time.
    config.limits.pending_inbound = size as u32;
    config.worth.low = size as u32;
    config.worth.high = u32::MAX;
    config
}

impl Crowd {
    /// A manager without anybody yet.
    pub fn new(config: Config, size: usize) -> Self {
        let manager = ConnectionManager::new(config, peer(u64::MAX), &Seed::new([7; 32]));
        let members = Vec::with_capacity(size);
        Crowd { manager, now: Time::ZERO, size, members, next: 0, chance: Chance(1) }
    }

    /// Everybody is there.
    pub fn full(config: Config, size: usize) -> Self {
        let mut crowd = Crowd::new(config, size);
        crowd.fill(&mut Watch::new(crate::harness::Clock::Thread));
        crowd
    }

    /// Lets them come until all are there: `Incoming`, `Accept`, `Established` and its two events, and the pings that become due.
    pub fn fill(&mut self, watch: &mut Watch) {
        while self.members.len() < self.size {
            let step = self.spacing();
            let newcomers = self.newcomers(BATCH.min(self.size - self.members.len()));
            watch.time(2 * newcomers.len(), || {
                for newcomer in &newcomers {
                    self.now = self.now + step;
                    self.incoming(newcomer);
                    self.established(newcomer);
                }
            });
            self.pass(Duration::ZERO);
        }
    }

    /// Time between two arrivals.
    pub fn spacing(&self) -> Duration {
        ARRIVAL / self.size as u32
    }

    /// The next ones who come; they count as members from here on.
    pub fn newcomers(&mut self, count: usize) -> Vec<Newcomer> {
        let from = self.next;
        self.next += count as u64;
        self.members.extend(from..self.next);
        (from..self.next).map(Newcomer::new).collect()
    }

    /// The numbers of some members, by chance; a few may be there twice.
    pub fn pick(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.members[self.chance.below(self.members.len())]).collect()
    }

    /// Takes members out by chance: for those whose connections are to be closed.
    pub fn take(&mut self, count: usize) -> Vec<u64> {
        (0..count)
            .map(|_| {
                let at = self.chance.below(self.members.len());
                self.members.swap_remove(at)
            })
            .collect()
    }

    /// Takes these members out, who were evicted or trimmed.
    pub fn take_these(&mut self, gone: &[u64]) {
        let gone: std::collections::HashSet<u64> = gone.iter().copied().collect();
        self.members.retain(|member| !gone.contains(member));
    }

    /// All members, by number.
    pub fn members(&self) -> &[u64] {
        &self.members
    }

    /// Something random.
    pub fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    /// Tells the manager something that it must take.
    pub fn tell(&mut self, input: Input<'_>) {
        let done: Result<(), Misuse> = self.manager.handle(self.now, input);
        done.expect("the crowd behaves");
    }

    /// Polls until nothing is left. There must have been so many actions.
    pub fn polled(&mut self, expected: usize) {
        let mut count = 0;
        while let Some(action) = self.manager.poll() {
            black_box(&action);
            count += 1;
        }
        assert_eq!(count, expected, "actions");
    }

    /// It comes in, and is accepted.
    pub fn incoming(&mut self, newcomer: &Newcomer) {
        self.tell(Input::Incoming { connection: newcomer.connection, remote: &newcomer.remote });
        assert!(matches!(self.manager.poll(), Some(Action::Accept { .. })));
    }

    /// It is upgraded: two events, and nobody goes for it.
    pub fn established(&mut self, newcomer: &Newcomer) {
        self.upgrade(newcomer, Origin::Incoming);
        self.polled(2);
    }

    /// It is upgraded.
    pub fn upgrade(&mut self, newcomer: &Newcomer, origin: Origin<'_>) {
        let Newcomer { connection, peer, .. } = *newcomer;
        let role = if matches!(origin, Origin::Dial(_)) { Role::Initiator } else { Role::Responder };
        self.tell(Input::Established { connection, peer, origin, role, limited: false });
    }

    /// A connection is gone: two events.
    pub fn closed(&mut self, number: u64) {
        self.tell(Input::Closed { connection: ConnectionId(number), by: By::Remote, why: "" });
        self.polled(2);
    }

    /// Lets time pass, from deadline to deadline. All pings are answered.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let mut pings = Vec::new();
        while self.next_timer(until) {
            self.pings(&mut pings);
            pings.drain(..).for_each(|connection| self.pong(connection));
        }
        self.now = until;
    }

    /// Goes to the next deadline, if it comes in time, and lets the manager know.
    pub fn next_timer(&mut self, until: Time) -> bool {
        let deadline = self.manager.deadline();
        if deadline > until {
            return false;
        }
        self.now = self.now.max(deadline);
        self.manager.on_timeout(self.now);
        true
    }

    /// Polls, and notes which connections are to be pinged.
    pub fn pings(&mut self, pings: &mut Vec<ConnectionId>) {
        while let Some(action) = self.manager.poll() {
            match action {
                Action::Ping { connection, .. } => pings.push(connection),
                other => panic!("only pings become due, not {other:?}"),
            }
        }
    }

    /// The answer to a ping came.
    pub fn pong(&mut self, connection: ConnectionId) {
        self.tell(Input::Pong { connection, rtt: Duration::from_millis(80) });
        self.polled(0);
    }
}

/// A peer id like that of an Ed25519 key.
pub fn peer(number: u64) -> PeerId {
    // An identity multihash of 36 bytes: key type Ed25519, 32 bytes of key.
    let mut bytes = [0, 36, 8, 1, 18, 32].to_vec();
    let mut chance = Chance(number);
    (0..4).for_each(|_| bytes.extend(chance.next().to_be_bytes()));
    PeerId::from_bytes(&bytes).expect("the form of an Ed25519 key")
}

/// A public IPv4 address of its own, over TCP.
pub fn address(number: u64) -> Multiaddr {
    let ip = Ipv4Addr::from_bits(Ipv4Addr::new(11, 0, 0, 0).to_bits() + number as u32);
    Multiaddr::tcp(SocketAddr::from((ip, 4001)))
}

/// splitmix64: the same numbers in every run.
#[derive(Clone, Copy, Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below this.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
