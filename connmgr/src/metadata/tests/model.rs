//! Random sequences, beside a model that keeps plain lists.

use super::*;
use alloc::collections::BTreeMap;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Add(u32, Vec<u16>, Source, u64),
    Identified(u32, Vec<u8>, Option<u8>),
    Rtt(u32, u64),
    Outcome(u32, u16, bool),
    Connected(u32, bool),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let peer = 0..6u32;
    let port = 0..7u16;
    let source = prop::sample::select(vec![Source::Hearsay, Source::Identify, Source::Signed, Source::Application]);
    prop_oneof![
        4 => (peer.clone(), prop::collection::vec(port.clone(), 0..5), source, 0..100u64)
            .prop_map(|(peer, ports, source, ttl)| Op::Add(peer, ports, source, ttl)),
        1 => (peer.clone(), prop::collection::vec(0..5u8, 0..6), prop::option::of(0..3u8))
            .prop_map(|(peer, names, agent)| Op::Identified(peer, names, agent)),
        1 => (peer.clone(), 1..1_000u64).prop_map(|(peer, rtt)| Op::Rtt(peer, rtt)),
        3 => (peer.clone(), port, any::<bool>()).prop_map(|(peer, port, ok)| Op::Outcome(peer, port, ok)),
        3 => (peer, any::<bool>()).prop_map(|(peer, connected)| Op::Connected(peer, connected)),
        3 => (0..60u64).prop_map(Op::Wait),
    ]
}

/// What a person would write down about one peer.
#[derive(Clone, Debug, Default)]
struct Noted {
    addresses: Vec<AddressRecord>,
    protocols: Vec<String>,
    agent: Option<String>,
    rtt: Option<Duration>,
    keep: Time,
}

#[derive(Default)]
struct Model {
    config: MetadataConfig,
    peers: BTreeMap<u32, Noted>,
    connected: Vec<u32>,
    /// Last touched last.
    order: Vec<u32>,
}

impl Model {
    fn touch(&mut self, peer: u32, now: Time, how: impl FnOnce(&MetadataConfig, &mut Noted)) {
        let config = self.config.clone();
        let noted = self.peers.entry(peer).or_default();
        how(&config, noted);
        while noted.addresses.len() > config.max_addresses as usize {
            let value = |record: &AddressRecord| {
                let failed = record.last.is_some_and(|(_, outcome)| outcome == AddressOutcome::Failed);
                (record.until > now, record.source, !failed, record.since)
            };
            let mut ranked = noted.addresses.clone();
            ranked.sort_by_key(value);
            // Of equals the one that came last is the newcomer, which is not taken.
            let newcomer = noted.addresses.last().unwrap().clone();
            let least = if value(&ranked[0]) == value(&newcomer) { newcomer } else { ranked[0].clone() };
            noted.addresses.retain(|record| record.address != least.address);
        }
        let empty =
            noted.addresses.is_empty() && noted.protocols.is_empty() && noted.agent.is_none() && noted.rtt.is_none();
        self.order.retain(|known| *known != peer);
        if empty {
            self.peers.remove(&peer);
        } else if !self.connected.contains(&peer) {
            self.order.push(peer);
        }
        while self.order.len() > config.max_peers as usize {
            let oldest = self.order.remove(0);
            self.peers.remove(&oldest);
        }
    }

    fn tell(noted: &mut Noted, now: Time, port: u16, source: Source, until: Time) {
        match noted.addresses.iter_mut().find(|record| record.address == place(port)) {
            Some(record) => {
                record.source = record.source.max(source);
                record.until = record.until.max(until);
            }
            None if until > now => {
                let new = AddressRecord { address: place(port), source, since: now, until, last: None, failures: 0 };
                noted.addresses.push(new);
            }
            None => {}
        }
    }

    fn until(noted: &Noted) -> Time {
        noted.addresses.iter().map(|record| record.until).fold(noted.keep, Time::max)
    }

    fn deadline(&self) -> Time {
        self.order.iter().map(|peer| Self::until(&self.peers[peer])).min().unwrap_or(Time::NEVER)
    }

    fn pass(&mut self, now: Time) {
        for peer in self.order.clone() {
            if Self::until(&self.peers[&peer]) <= now {
                self.peers.remove(&peer);
                self.order.retain(|known| *known != peer);
            }
        }
    }
}

fn compare(store: &Store, model: &Model) -> Result<(), TestCaseError> {
    for peer in 0..6 {
        let (got, expected) = (store.get(PeerIx(peer)), model.peers.get(&peer));
        prop_assert_eq!(got.is_some(), expected.is_some(), "peer {}", peer);
        if let (Some(got), Some(expected)) = (got, expected) {
            prop_assert_eq!(got.addresses(), &expected.addresses[..]);
            prop_assert_eq!(got.protocols(), &expected.protocols[..]);
            prop_assert_eq!(got.agent(), expected.agent.as_deref());
            prop_assert_eq!(got.rtt(), expected.rtt);
        }
    }
    prop_assert!(store.deadline() <= model.deadline());
    prop_assert_eq!(store.bytes, bytes_of_entries(store, 6));
    prop_assert_eq!(store.idle as usize, model.order.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn it_remembers_what_the_model_remembers(ops in prop::collection::vec(op(), 1..80)) {
        let config = MetadataConfig {
            max_peers: 3, max_addresses: 4, max_protocols: 3, max_ttl: secs(70), connected_ttl: secs(30),
            ..MetadataConfig::default()
        };
        let mut store = store(config.clone());
        let mut model = Model { config, ..Model::default() };
        let mut now = Time::ZERO;
        for op in ops {
            match op {
                Op::Add(peer, ports, source, ttl) => {
                    // One at a time: then the model need not know the order within a call.
                    for port in ports {
                        store.add_addresses(now, PeerIx(peer), &id(1), &[place(port)], source, secs(ttl));
                        model.touch(peer, now, |_, noted| {
                            Model::tell(noted, now, port, source, now + secs(ttl.min(70)));
                        });
                    }
                }
                Op::Identified(peer, names, agent) => {
                    let names: Vec<String> = names.iter().map(|name| format!("/{name}")).collect();
                    let agent = agent.map(|agent| format!("agent {agent}"));
                    let given: Vec<&str> = names.iter().map(String::as_str).collect();
                    store.identified(now, PeerIx(peer), &given, agent.as_deref());
                    model.touch(peer, now, |config, noted| {
                        noted.protocols.clear();
                        for name in names {
                            if noted.protocols.len() < config.max_protocols as usize && !noted.protocols.contains(&name) {
                                noted.protocols.push(name);
                            }
                        }
                        noted.protocols.sort();
                        noted.agent = agent;
                        noted.keep = now + config.connected_ttl;
                    });
                }
                Op::Rtt(peer, rtt) => {
                    let rtt = Duration::from_millis(rtt);
                    store.rtt(PeerIx(peer), rtt);
                    if model.connected.contains(&peer) || model.peers.contains_key(&peer) {
                        model.touch(peer, now, |_, noted| noted.rtt = Some(rtt));
                    }
                }
                Op::Outcome(peer, port, ok) => {
                    store.outcome(now, PeerIx(peer), &place(port), ok);
                    model.touch(peer, now, |config, noted| {
                        if ok {
                            Model::tell(noted, now, port, Source::Connected, now + config.connected_ttl);
                        }
                        if let Some(record) = noted.addresses.iter_mut().find(|record| record.address == place(port)) {
                            let outcome = if ok { AddressOutcome::Connected } else { AddressOutcome::Failed };
                            record.last = Some((now, outcome));
                            record.failures = if ok { 0 } else { record.failures + 1 };
                        }
                    });
                }
                Op::Connected(peer, connected) => {
                    store.set_connected(now, PeerIx(peer), connected);
                    let was = model.connected.contains(&peer);
                    model.connected.retain(|known| *known != peer);
                    if connected {
                        model.connected.push(peer);
                        model.order.retain(|known| *known != peer);
                    } else if was && model.peers.contains_key(&peer) {
                        model.touch(peer, now, |config, noted| {
                            noted.keep = now + config.connected_ttl;
                            let moment = |record: &AddressRecord| {
                                record.last.filter(|(_, outcome)| *outcome == AddressOutcome::Connected).map(|(at, _)| at)
                            };
                            let last = noted.addresses.iter().filter_map(moment).max();
                            for record in &mut noted.addresses {
                                if last.is_some() && moment(record) == last {
                                    record.until = record.until.max(now + config.connected_ttl);
                                }
                            }
                        });
                    }
                }
                Op::Wait(wait) => {
                    let until = now + secs(wait);
                    while store.deadline() <= until {
                        now = now.max(store.deadline());
                        store.on_timeout(now);
                        prop_assert!(store.deadline() > now);
                        model.pass(now);
                        compare(&store, &model)?;
                    }
                    now = until;
                }
            }
            compare(&store, &model)?;
        }
        let blank = blanks(&mut store);
        let unknown: Vec<u32> =
            (0..6).filter(|peer| !model.peers.contains_key(peer) && !model.connected.contains(peer)).collect();
        prop_assert!(blank.iter().all(|peer| unknown.contains(peer)));
    }
}
