//! Any sequence of calls on the machine that counts observers, beside a model that counts everything anew each time. For the
//! property test and the fuzz target.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use tidewire_connmgr::ConnectionId;
use tidewire_core::{Multiaddr, Time};
use tidewire_host::addresses::{Change, Ignored, Observed, ObservedConfig};

/// One call, from four bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) what: u8,
    pub(crate) a: u8,
    pub(crate) b: u8,
    pub(crate) c: u8,
}

/// The machine, and what a plain reading of its rules says.
pub(crate) struct World {
    config: ObservedConfig,
    machine: Observed,
    now: Time,
    listening: BTreeSet<Multiaddr>,
    /// Observer, listening address, and where it is seen, of each connection that counts.
    connections: BTreeMap<u64, (Ipv4Addr, Multiaddr, Multiaddr)>,
    told: BTreeSet<(Multiaddr, Multiaddr)>,
    /// When too few agreed on a confirmed address for the first time since enough did.
    lost: BTreeMap<(Multiaddr, Multiaddr), Time>,
}

/// Where we may listen; no two share a port.
const LISTEN: [&str; 3] = ["/ip4/192.168.1.7/tcp/4001", "/ip4/0.0.0.0/tcp/4002", "/ip4/192.168.1.7/tcp/4003/ws"];
/// The connections' own ends that belong to them.
const LOCAL: [&str; 4] =
    ["/ip4/192.168.1.7/tcp/4001", "/ip4/10.1.1.1/tcp/4002", "/ip4/192.168.1.7/tcp/4003", "/ip4/192.168.1.7/tcp/50000"];

impl World {
    pub(crate) fn new(tight: bool) -> Self {
        let mut config = ObservedConfig::default();
        config.activation = 3;
        config.max_externals = 2;
        if tight {
            config.max_observations = 12;
            config.max_per_observer = 2;
            config.max_listening = 2;
        }
        World {
            machine: Observed::new(config.clone()),
            config,
            now: Time::ZERO,
            listening: BTreeSet::new(),
            connections: BTreeMap::new(),
            told: BTreeSet::new(),
            lost: BTreeMap::new(),
        }
    }

    pub(crate) fn run(&mut self, Op { what, a, b, c }: Op) {
        match what % 16 {
            0 | 1 => self.listen(usize::from(a) % LISTEN.len()),
            2 => self.unlisten(usize::from(a) % LISTEN.len()),
            3..=5 => self.close(u64::from(a % 32)),
            6 => self.wait(Duration::from_secs(u64::from(a) * 8)),
            7 => self.poll(),
            _ => self.observe(u64::from(a % 32), b, c),
        }
        self.note();
        self.check();
    }

    /// All is told, and what is told is what is so.
    pub(crate) fn settle(&mut self) {
        self.poll();
        let confirmed: BTreeSet<_> = self
            .machine
            .candidates()
            .into_iter()
            .filter(|candidate| candidate.confirmed)
            .map(|candidate| (candidate.listen, candidate.external))
            .collect();
        assert_eq!(self.told, confirmed);
    }

    fn listen(&mut self, at: usize) {
        let address = address(LISTEN[at]);
        let full = self.listening.len() >= self.config.max_listening && !self.listening.contains(&address);
        let result = self.machine.listening(self.now, &address);
        assert_eq!(result, if full { Err(Ignored::Full { max: self.config.max_listening }) } else { Ok(()) });
        if !full {
            self.listening.insert(address);
        }
    }

    fn unlisten(&mut self, at: usize) {
        let address = address(LISTEN[at]);
        self.machine.not_listening(self.now, &address);
        self.listening.remove(&address);
        self.connections.retain(|_, (_, listen, _)| *listen != address);
        self.lost.retain(|(listen, _), _| *listen != address);
    }

    fn close(&mut self, connection: u64) {
        self.machine.closed(self.now, ConnectionId(connection));
        self.connections.remove(&connection);
    }

    fn wait(&mut self, time: Duration) {
        let target = self.now + time;
        while self.machine.deadline() <= target {
            self.now = self.now.max(self.machine.deadline());
            self.machine.on_timeout(self.now);
            assert!(self.machine.deadline() > self.now, "a deadline that is not moved");
            self.note();
        }
        self.now = target;
        self.machine.on_timeout(target);
    }

    fn observe(&mut self, connection: u64, b: u8, c: u8) {
        let observer = Ipv4Addr::new(90, 0, 0, b % 8);
        let local = usize::from(c) % LOCAL.len();
        let seen = address(&format!("/ip4/80.1.2.{}/tcp/{}", c >> 6, 1 + (c >> 4) % 4));
        let from = address(&format!("/ip4/{observer}/tcp/{}", 1 + u16::from(b)));
        let result = self.machine.observed(self.now, ConnectionId(connection), &from, &address(LOCAL[local]), &seen);

        let listen = LISTEN.get(local).map(|text| address(text)).filter(|listen| self.listening.contains(listen));
        let Some(listen) = listen else {
            return assert_eq!(result, Err(Ignored::NotListening { local: address(LOCAL[local]) }));
        };
        if !self.connections.contains_key(&connection) {
            let of_observer = self.connections.values().filter(|(known, ..)| *known == observer).count();
            if of_observer >= self.config.max_per_observer as usize {
                return assert_eq!(result, Err(Ignored::Full { max: self.config.max_per_observer as usize }));
            }
            if self.connections.len() >= self.config.max_observations {
                return assert_eq!(result, Err(Ignored::Full { max: self.config.max_observations }));
            }
        }
        assert_eq!(result, Ok(()));
        self.connections.insert(connection, (observer, listen, seen));
    }

    fn poll(&mut self) {
        while let Some(change) = self.machine.poll() {
            match change {
                Change::Confirmed { listen, external, .. } => {
                    assert!(self.told.insert((listen, external)), "confirmed twice");
                }
                Change::Expired { listen, external } => {
                    assert!(self.told.remove(&(listen, external)), "expired, and was never confirmed");
                }
                other => panic!("a change that the model does not know: {other:?}"),
            }
        }
    }

    /// Who sees us at each pair of listening and outer address.
    fn support(&self) -> BTreeMap<(Multiaddr, Multiaddr), BTreeSet<Ipv4Addr>> {
        let mut support = BTreeMap::<_, BTreeSet<Ipv4Addr>>::new();
        for (observer, listen, seen) in self.connections.values() {
            let rest = if listen.to_string().ends_with("/ws") { "/ws" } else { "" };
            let external = address(&format!("{seen}{rest}"));
            support.entry((listen.clone(), external)).or_default().insert(*observer);
        }
        support
    }

    /// Remembers since when confirmed addresses lack support.
    fn note(&mut self) {
        let support = self.support();
        let enough = |key: &(Multiaddr, Multiaddr)| {
            support.get(key).is_some_and(|by| by.len() >= self.config.activation as usize)
        };
        for candidate in self.machine.candidates() {
            let key = (candidate.listen, candidate.external);
            if candidate.confirmed && !enough(&key) {
                self.lost.entry(key).or_insert(self.now);
            } else {
                self.lost.remove(&key);
            }
        }
    }

    fn check(&self) {
        let support = self.support();
        let candidates = self.machine.candidates();
        for candidate in &candidates {
            let key = (candidate.listen.clone(), candidate.external.clone());
            let by = support.get(&key).map_or(0, BTreeSet::len);
            assert_eq!(candidate.observers as usize, by, "{key:?}");
            let lingering = self.lost.get(&key).is_some_and(|since| self.now < *since + self.config.linger);
            assert!(
                !candidate.confirmed || by >= self.config.activation as usize || lingering,
                "{key:?} has no support"
            );
        }
        assert!(support.keys().all(|key| candidates.iter().any(|at| (&at.listen, &at.external) == (&key.0, &key.1))));
        for listen in &self.listening {
            let of = || candidates.iter().filter(|candidate| candidate.listen == *listen);
            let confirmed = of().filter(|candidate| candidate.confirmed).count();
            assert!(confirmed <= self.config.max_externals);
            let worst = of().filter(|candidate| candidate.confirmed).map(|candidate| candidate.observers).min();
            let left = of()
                .filter(|candidate| !candidate.confirmed && candidate.observers >= self.config.activation)
                .map(|candidate| candidate.observers)
                .max();
            // Who has enough is left out only for others that have as many.
            assert!(left.is_none_or(|left| confirmed == self.config.max_externals && worst >= Some(left)));
        }
        assert!(self.machine.memory_used() < 64 * 1024);
    }
}

fn address(text: &str) -> Multiaddr {
    text.parse().expect("an address of the test")
}
