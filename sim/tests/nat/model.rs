//! The NAT against a table that is searched from end to end: whatever is sent when, both say the same.

use crate::support::*;
use core::time::Duration;
use proptest::prelude::{ProptestConfig, Strategy, prop_assert_eq, prop_oneof, proptest};
use std::net::SocketAddr;
use tidewire_core::Time;
use tidewire_sim::ipv4;
use tidewire_sim::nat::{Filtering, Lifetimes, Mapping, Nat, Ports, Side, Translator, Verdict};

#[derive(Clone, Debug)]
enum Step {
    /// From an inside host and port to a remote.
    Out(u8, u16, SocketAddr),
    /// From a remote to the outer endpoint of one of the mappings that there were.
    In(SocketAddr, usize),
    /// Seconds.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let remote_end = || (8u32..11, 80u16..82).prop_map(|(n, port)| remote(n, port));
    prop_oneof![
        4 => (2u8..4, 5_000u16..5_003, remote_end()).prop_map(|(host, port, to)| Step::Out(host, port, to)),
        4 => (remote_end(), 0usize..8).prop_map(|(from, nth)| Step::In(from, nth)),
        2 => (0u64..200).prop_map(Step::Wait),
    ]
}

fn config() -> impl Strategy<Value = Nat> {
    let all: Vec<Nat> = Nat::all().collect();
    (0..all.len(), proptest::bool::ANY, proptest::bool::ANY).prop_map(move |(n, udp_refresh_inbound, parity)| Nat {
        lifetimes: Lifetimes { udp_refresh_inbound, ..Lifetimes::default() },
        parity,
        ..all[n].clone()
    })
}

/// One mapping: all in a row, forgotten by comparing.
struct Row {
    inside: SocketAddr,
    outer: SocketAddr,
    /// The remote that it was made for.
    made_for: SocketAddr,
    until: Time,
    met: Vec<Met>,
}

#[derive(Clone)]
struct Met {
    remote: SocketAddr,
    sent: bool,
    came_in: bool,
    until: Time,
    since: usize,
}

struct Model {
    nat: Nat,
    rows: Vec<Row>,
    now: Time,
    clock: usize,
}

impl Model {
    fn serves(&self, row: &Row, inside: SocketAddr, to: SocketAddr) -> bool {
        row.inside == inside
            && match self.nat.mapping {
                Mapping::EndpointIndependent => true,
                Mapping::AddressDependent => row.made_for.ip() == to.ip(),
                Mapping::AddressAndPortDependent => row.made_for == to,
            }
    }

    /// The row by which a packet leaves, if there is one.
    fn leaves_by(&self, inside: SocketAddr, to: SocketAddr) -> Option<usize> {
        let live = |row: &&usize| self.rows[**row].until > self.now;
        let all: Vec<usize> = (0..self.rows.len()).collect();
        let keyed = all.iter().filter(live).find(|n| self.serves(&self.rows[**n], inside, to));
        keyed.copied().or_else(|| {
            let came = all.iter().filter(live).filter(|n| self.rows[**n].inside == inside).filter_map(|n| {
                let met = self.rows[*n].met.iter().find(|met| met.remote == to && met.until > self.now)?;
                met.came_in.then_some((met.since, *n))
            });
            came.min().map(|(_, n)| n)
        })
    }

    /// The row by which a packet comes in, if one lets it.
    fn comes_by(&self, from: SocketAddr, outer: SocketAddr) -> Option<usize> {
        let live = |n: &usize| self.rows[*n].until > self.now && self.rows[*n].outer == outer;
        let known = |n: &usize| self.rows[*n].met.iter().any(|met| met.remote == from && met.until > self.now);
        let admits = |n: &usize| {
            let sent = || self.rows[*n].met.iter().filter(|met| met.sent && met.until > self.now);
            match self.nat.filtering {
                Filtering::EndpointIndependent => true,
                Filtering::AddressDependent => sent().any(|met| met.remote.ip() == from.ip()),
                Filtering::AddressAndPortDependent => sent().any(|met| met.remote == from),
            }
        };
        let rows = || (0..self.rows.len()).filter(live);
        rows().find(known).or_else(|| rows().find(admits))
    }

    fn passes(&mut self, n: usize, remote: SocketAddr, side: Side) {
        self.clock += 1;
        let (now, since) = (self.now, self.clock);
        let Lifetimes { udp, udp_refresh_inbound, .. } = self.nat.lifetimes;
        let row = &mut self.rows[n];
        let refreshes = side == Side::Inside || udp_refresh_inbound;
        if refreshes {
            row.until = now + udp;
        }
        row.met.retain(|met| met.until > now);
        if !row.met.iter().any(|met| met.remote == remote) {
            row.met.push(Met { remote, sent: false, came_in: side == Side::Outside, until: now + udp, since });
        }
        let met = row.met.iter_mut().find(|met| met.remote == remote).unwrap();
        met.sent |= side == Side::Inside;
        if refreshes {
            met.until = now + udp;
        }
    }

    /// Whether a new mapping may have this outer endpoint.
    fn may_have(&self, outer: SocketAddr, inside: SocketAddr, to: SocketAddr) -> bool {
        let mut holders = self.rows.iter().filter(|row| row.until > self.now && row.outer == outer);
        let clash = |row: &Row| row.met.iter().any(|met| met.remote == to && met.until > self.now);
        let free = match self.nat.ports {
            Ports::Overloading => !holders.any(clash),
            _ => holders.next().is_none(),
        };
        free && outer.port() >= 1_024 && (!self.nat.parity || outer.port() % 2 == inside.port() % 2)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 4, ..ProptestConfig::default() })]

    #[test]
    fn a_nat_is_its_table(nat in config(), seed in 0u64..1_000, steps in proptest::collection::vec(step(), 1..80)) {
        let mut translator = Translator::nat(nat.clone(), [ipv4(1)], seed);
        let mut model = Model { nat, rows: Vec::new(), now: T0, clock: 0 };
        for step in steps {
            match step {
                Step::Wait(seconds) => model.now = model.now + Duration::from_secs(seconds),
                Step::Out(host, port, to) => {
                    let inside = SocketAddr::new(private(host), port);
                    let outer = out(&mut translator, model.now, udp(inside, to));
                    let row = match model.leaves_by(inside, to) {
                        Some(row) => row,
                        None => {
                            assert!(model.may_have(outer, inside, to), "{outer} for {inside} to {to}");
                            let preserves = matches!(model.nat.ports, Ports::Preserving | Ports::Overloading);
                            let same = SocketAddr::new(ipv4(1), port);
                            if preserves && model.may_have(same, inside, to) {
                                prop_assert_eq!(outer, same);
                            }
                            let row = Row { inside, outer, made_for: to, until: model.now, met: Vec::new() };
                            model.rows.push(row);
                            model.rows.len() - 1
                        }
                    };
                    prop_assert_eq!(outer, model.rows[row].outer);
                    model.passes(row, to, Side::Inside);
                }
                Step::In(from, nth) => {
                    let Some(outer) = model.rows.iter().rev().nth(nth).map(|row| row.outer) else { continue };
                    let expected = model.comes_by(from, outer);
                    let found = match translator.inward(model.now, udp(from, outer)) {
                        Verdict::Passed(Side::Inside, packet) => Some(packet.to),
                        Verdict::Dropped { answer: None, .. } => None,
                        other => panic!("{other:?}"),
                    };
                    prop_assert_eq!(found, expected.map(|row| model.rows[row].inside));
                    if let Some(row) = expected {
                        model.passes(row, from, Side::Outside);
                    }
                }
            }
            let alive = model.rows.iter().filter(|row| row.until > model.now);
            let expected: Vec<_> = alive.map(|row| (row.inside, row.outer, row.until)).collect();
            let found: Vec<_> = translator.mappings(model.now).map(|m| (m.inside, m.outer, m.until)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
