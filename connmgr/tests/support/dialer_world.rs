//! A dialer beside a model that is as plain as can be, and a watcher who knows only what any caller may rely on.
//!
//! The property test and the fuzz target both drive it with [`Op`]s. The model must say the same actions in the same order.

#[path = "dialer_model.rs"]
mod model;

use core::time::Duration;
use model::Model;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use tidewire_connmgr::dial::{
    DialAction, DialConfig, DialCounts, DialFailure, DialFault, DialInput, DialOptions, Dialer, GateRule,
};
use tidewire_connmgr::{ConnectionId, DialId, RequestId};
use tidewire_core::{EventMachine, Multiaddr, PeerId, Seed, Time};

/// One thing to do: what, with which peer, dial or request, and the addresses and options, or the time, as bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) what: u8,
    pub(crate) pick: u8,
    pub(crate) bits: u16,
}

/// Some addresses: its text, whether it is local, whether it takes a descriptor. `P` and `R` stand for peers 1 and 9.
const ADDRESSES: [(&str, bool, bool); 10] = [
    ("/ip4/11.0.0.1/tcp/4001", false, true),
    ("/ip4/11.0.0.1/tcp/4001/p2p/P", false, true),
    ("/ip4/11.0.0.2/tcp/4001", false, true),
    ("/ip6/2a00::1/tcp/4001", false, true),
    ("/ip4/11.0.0.1/udp/4001/quic-v1", false, false),
    ("/ip6/2a00::1/udp/4001/quic-v1", false, false),
    ("/ip4/192.168.1.7/tcp/4001", true, true),
    ("/ip4/192.168.1.7/udp/4001/quic-v1", true, false),
    ("/ip4/11.0.0.9/tcp/4001/p2p/R/p2p-circuit", false, false),
    ("/ip4/11.0.0.1/tcp/4001/p2p/P/p2p/P", false, true),
];

pub(crate) fn peer(n: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, n]).unwrap()
}

/// The same, read once: an address, what it is without a peer at its end, whether it is local, whether it takes a descriptor.
static TABLE: LazyLock<Vec<(Multiaddr, Multiaddr, bool, bool)>> = LazyLock::new(|| {
    let read = |(text, local, heavy): (&str, bool, bool)| {
        let text = text.replace('P', &peer(1).to_string()).replace('R', &peer(9).to_string());
        let address: Multiaddr = text.parse().unwrap();
        (address.clone(), address.without_peer_id(), local, heavy)
    };
    ADDRESSES.into_iter().map(read).collect()
});

fn address(n: usize) -> Multiaddr {
    TABLE[n].0.clone()
}

/// What the table says of an address: whether it is local, whether it takes a descriptor.
fn kind(key: &Multiaddr) -> (bool, bool) {
    let same = |row: &&(Multiaddr, Multiaddr, bool, bool)| row.0 == *key || row.1 == *key;
    let row = TABLE.iter().find(same).unwrap();
    (row.2, row.3)
}

fn key(address: &Multiaddr, peer: PeerId) -> Multiaddr {
    if address.peer_id() == Some(peer) { address.without_peer_id() } else { address.clone() }
}

/// The machines to try: the default one, and two with caps that are reached soon.
pub(crate) fn config(which: u8) -> DialConfig {
    let mut config = DialConfig::default();
    config.backoff_jitter = 0;
    config.black_hole_window = 0;
    match which % 3 {
        1 => (config.at_once, config.file_descriptors, config.per_peer) = (3, 2, 2),
        2 => {
            (config.at_once, config.file_descriptors, config.per_peer) = (2, 1, 1);
            (config.max_addresses, config.max_jobs, config.max_requests) = (3, 3, 2);
            config.peer_timeout = Duration::from_secs(20);
        }
        _ => {}
    }
    config
}

/// Everything at once.
pub(crate) struct World {
    machine: Dialer,
    model: Model,
    watch: Watch,
    now: Time,
    requests: u64,
    connections: u64,
}

impl World {
    pub(crate) fn new(config: DialConfig) -> Self {
        World {
            machine: Dialer::new(config.clone(), peer(0), &Seed::new([3; 32])),
            watch: Watch { config: config.clone(), ..Watch::default() },
            model: Model::new(config),
            now: Time::ZERO,
            requests: 0,
            connections: 0,
        }
    }

    pub(crate) fn run(&mut self, op: Op) {
        let Op { pick, bits, .. } = op;
        let to = peer(pick % 6);
        let dial = nth(&self.watch.dials.keys().copied().collect::<Vec<_>>(), pick).unwrap_or(DialId(u64::MAX));
        let direct = bits % 4 > 0;
        match op.what % 16 {
            0..=3 => {
                let addresses: Vec<_> = (0..ADDRESSES.len()).filter(|n| bits >> n & 1 == 1).map(address).collect();
                let mut options = DialOptions::default();
                (options.direct_only, options.forced, options.new) =
                    (bits >> 13 == 1, bits >> 13 & 6 == 2, bits >> 13 & 5 == 5);
                self.requests += 1;
                let request = RequestId(self.requests);
                self.give(&DialInput::Dial { request, peer: to, addresses: &addresses, options });
            }
            4 => {
                let requests: Vec<_> = self.watch.requests.keys().copied().collect();
                let request = nth(&requests, pick).unwrap_or(RequestId(u64::MAX));
                self.give(&DialInput::Cancel { request });
            }
            5 => self.give(&DialInput::Progress { dial }),
            6 => {
                self.connections += 1;
                let connection = ConnectionId(self.connections);
                self.give(&DialInput::Established { dial, connection, direct });
            }
            7 | 8 => self.give(&DialInput::Failed { dial, fault: fault(bits) }),
            9 => {
                self.connections += 1;
                self.give(&DialInput::Connected { peer: to, connection: ConnectionId(self.connections), direct });
            }
            10 => match bits % 16 {
                0..=3 => {
                    self.give(&DialInput::EndPeer { peer: to, failure: DialFailure::Disconnected("asked".into()) });
                }
                4..=7 => self.give(&DialInput::NetworkChanged),
                8..=11 => self.deny(usize::from(pick) % ADDRESSES.len(), true),
                12..=14 => self.deny(usize::from(pick) % ADDRESSES.len(), false),
                _ if pick == 255 => self.give(&DialInput::Shutdown),
                _ => {}
            },
            11 => {
                // Twice, or of what never was.
                let gone = DialId(u64::from(pick));
                let request = RequestId(u64::from(pick % 8));
                match bits % 3 {
                    0 => self.give(&DialInput::Failed { dial: gone, fault: fault(bits) }),
                    1 => self.give(&DialInput::Cancel { request }),
                    _ => self.give(&DialInput::Dial {
                        request,
                        peer: to,
                        addresses: &[],
                        options: DialOptions::default(),
                    }),
                }
            }
            12 => self.wait(self.machine.deadline().since(self.now).min(Duration::from_secs(1000))),
            13 => self.wait(Duration::from_millis(bits.into())),
            14 => {
                // Nobody called for long.
                self.now = self.now + Duration::from_millis(u64::from(bits) * u64::from(bits % 100));
                self.timeout();
            }
            // Time passes, and the next call is not for that.
            _ => self.now = self.now + Duration::from_millis(u64::from(bits % 1024)),
        }
    }

    /// All wishes end, and nothing is left in hand.
    pub(crate) fn end(&mut self) {
        self.wait(Duration::from_secs(1000));
        assert_eq!(self.machine.counts(), DialCounts::default(), "everything has an end");
        assert!(self.machine.deadline().is_never());
        self.give(&DialInput::Shutdown);
        let (request, addresses) = (RequestId(u64::MAX), [address(0)]);
        self.give(&DialInput::Dial { request, peer: peer(1), addresses: &addresses, options: DialOptions::default() });
        assert_eq!(self.machine.counts(), DialCounts::default());
    }

    fn give(&mut self, input: &DialInput<'_>) {
        let expected = self.model.handle(self.now, input);
        self.watch.told(input, expected.is_ok(), self.now);
        let got = self.machine.handle(self.now, input.clone());
        assert_eq!(got, expected, "{input:?}");
        self.compare(input);
    }

    fn deny(&mut self, n: usize, on: bool) {
        let rule = GateRule::Address(address(n));
        if on {
            self.machine.gate_mut().deny(rule, "spam").unwrap();
            self.model.denied.push(address(n).without_peer_id());
        } else {
            self.machine.gate_mut().allow(&rule);
            self.model.denied.retain(|denied| *denied != address(n).without_peer_id());
        }
    }

    /// Time passes, from deadline to deadline, and just before each nothing happens.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.machine.deadline() <= end {
            let deadline = self.machine.deadline();
            if deadline > self.now {
                self.now = Time::from_nanos(deadline.as_nanos() - 1).max(self.now);
                self.machine.on_timeout(self.now);
                assert_eq!(self.machine.poll(), None, "before its deadline it has nothing to say");
                self.now = deadline;
            }
            self.timeout();
        }
        self.now = end;
        self.timeout();
    }

    fn timeout(&mut self) {
        self.model.on_timeout(self.now);
        self.machine.on_timeout(self.now);
        self.compare(&self.now.clone());
        assert!(self.machine.deadline() > self.now);
    }

    fn compare(&mut self, after: &dyn core::fmt::Debug) {
        let actions: Vec<_> = core::iter::from_fn(|| self.machine.poll()).collect();
        for action in &actions {
            self.watch.said(action, self.now);
        }
        assert_eq!(actions, self.model.actions, "after {after:?} at {:?}", self.now);
        self.model.actions.clear();
        assert_eq!(self.machine.counts(), self.model.counts());
        assert_eq!(self.machine.deadline(), self.model.deadline());
        let (dials, requests) = (self.watch.dials.len(), self.watch.requests.len());
        let counts = self.machine.counts();
        assert_eq!((counts.dials as usize, counts.requests as usize), (dials, requests), "the counters are true");
        for request in self.watch.requests.keys() {
            assert!(self.machine.has_request(*request));
        }
        for n in 0..6 {
            assert_eq!(self.machine.job(&peer(n)), self.model.jobs.iter().any(|job| job.peer == peer(n)));
        }
    }
}

fn nth<T: Copy>(all: &[T], pick: u8) -> Option<T> {
    let at = usize::from(pick).checked_rem(all.len())?;
    all.get(at).copied()
}

fn fault(bits: u16) -> DialFault {
    match bits % 5 {
        0 => DialFault::NoTransport,
        1 => DialFault::Upgrade("bad".into()),
        2 => DialFault::Local("no ports".into()),
        _ => DialFault::Transport("refused".into()),
    }
}

/// What any caller may rely on.
#[derive(Default)]
struct Watch {
    config: DialConfig,
    /// Dials under way: to whom, where, since when.
    dials: BTreeMap<DialId, (PeerId, Multiaddr, Time)>,
    last: Option<DialId>,
    /// Wishes without an answer: to whom, how, since when.
    requests: BTreeMap<RequestId, (PeerId, DialOptions, Time)>,
    /// Addresses that failed within the shortest backoff, and when.
    failed: Vec<(PeerId, Multiaddr, Time)>,
    /// Connections without a relay; those of an input that only a new one was wanted from.
    direct: BTreeSet<ConnectionId>,
    others: BTreeSet<ConnectionId>,
}

impl Watch {
    fn told(&mut self, input: &DialInput<'_>, ok: bool, now: Time) {
        if !ok {
            return;
        }
        match *input {
            DialInput::Dial { request, peer, options, .. } => {
                self.requests.insert(request, (peer, options, now));
            }
            DialInput::Cancel { request } => assert!(self.requests.remove(&request).is_some()),
            DialInput::Established { dial, connection, direct } => {
                let (peer, ..) = self.dials.remove(&dial).unwrap();
                self.failed.retain(|(failed, ..)| *failed != peer);
                if direct {
                    self.direct.insert(connection);
                }
            }
            DialInput::Failed { dial, ref fault } => {
                let (peer, key, _) = self.dials.remove(&dial).unwrap();
                if matches!(fault, DialFault::Transport(_) | DialFault::Upgrade(_)) {
                    self.failed.push((peer, key, now));
                }
            }
            DialInput::Connected { connection, direct, .. } => {
                self.others.insert(connection);
                if direct {
                    self.direct.insert(connection);
                }
            }
            DialInput::NetworkChanged => self.failed.clear(),
            _ => {}
        }
    }

    fn said(&mut self, action: &DialAction, now: Time) {
        match action {
            DialAction::Dial { dial, peer, address, timeout } => {
                assert!(self.last < Some(*dial), "no dial has the id of another");
                self.last = Some(*dial);
                let key = key(address, *peer);
                let (local, _) = kind(&key);
                assert_eq!(*timeout, if local { self.config.local_timeout } else { self.config.address_timeout });
                let mine = self.dials.values().filter(|other| other.0 == *peer);
                assert!(mine.clone().all(|other| other.1 != key), "never two at once to one address");
                assert!(mine.count() < self.config.per_peer as usize);
                let mut wishes = self.requests.values().filter(|wish| wish.0 == *peer).peekable();
                assert!(wishes.peek().is_some(), "nobody asked for it");
                let forced = wishes.any(|wish| wish.1.forced);
                let base = self.config.backoff_base;
                let early = |failed: &(PeerId, Multiaddr, Time)| {
                    (failed.0, &failed.1) == (*peer, &key) && now.since(failed.2) < base
                };
                assert!(forced || !self.failed.iter().any(early), "in backoff");
                self.dials.insert(*dial, (*peer, key, now));
                let heavy = self.dials.values().filter(|(_, key, _)| kind(key).1).count();
                assert!(self.dials.len() <= self.config.at_once as usize);
                assert!(heavy <= self.config.file_descriptors as usize);
            }
            DialAction::Abort { dial, .. } => {
                assert!(self.dials.remove(dial).is_some(), "a dial ends once");
            }
            DialAction::Answered { request, connection, peer } => {
                let (to, options, _) = self.requests.remove(request).unwrap();
                assert_eq!(to, *peer);
                assert!(!options.direct_only || self.direct.contains(connection));
                assert!(!options.new || !self.others.contains(connection));
            }
            DialAction::Failed { request, peer, report } => {
                let (to, options, since) = self.requests.remove(request).unwrap();
                assert_eq!((to, to, now.since(since)), (*peer, report.peer, report.took));
                if !options.forced && self.config.peer_timeout == report.took {
                    assert!(!matches!(report.why, DialFailure::NoAddresses));
                }
            }
            other => panic!("unknown: {other:?}"),
        }
    }
}
