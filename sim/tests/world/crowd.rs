//! A thousand nodes in one thread.

use crate::support::*;
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tidewire_core::Time;
use tidewire_sim::{HostId, Input, Link, Node, Os, SocketId, World, ipv4};

const NODES: u32 = 1_000;
/// Each dials ten others, and is dialed by ten: twenty connections each.
const DIALS: u32 = 10;
const ROUNDS: u32 = 5;
const MESSAGE: usize = 100;

/// Dials its neighbours, and once a second sends a message to each of its connections, which is sent back.
struct Peer {
    number: u32,
    dialed: BTreeMap<SocketId, bool>,
    next: Time,
    rounds: u32,
    echoed: usize,
    served: usize,
}

impl Peer {
    fn new(number: u32) -> Self {
        Peer { number, dialed: BTreeMap::new(), next: Time::NEVER, rounds: 0, echoed: 0, served: 0 }
    }
}

impl Node for Peer {
    fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
        match input {
            Input::Started => {
                os.listen(any(PORT), true).unwrap();
                for step in 1..=DIALS {
                    // Neighbours far and near: 1, 4, 9, 16 .. further on.
                    let other = (self.number + step * step) % NODES;
                    os.connect(SocketAddr::new(ipv4(other), PORT)).unwrap();
                }
                self.next = now + Duration::from_millis(1_000 + u64::from(self.number));
            }
            Input::Connected { socket, .. } => drop(self.dialed.insert(socket, true)),
            Input::Accepted { socket, .. } => drop(self.dialed.insert(socket, false)),
            Input::Received { socket } => {
                while let Some(mut bytes) = os.read_bytes(socket, usize::MAX) {
                    if self.dialed[&socket] {
                        self.echoed += bytes.len();
                    } else {
                        self.served += bytes.len();
                        os.send(socket, &mut bytes);
                    }
                }
            }
            Input::Timeout => {
                self.rounds += 1;
                self.next = if self.rounds == ROUNDS { Time::NEVER } else { now + SECOND };
                for (socket, _) in self.dialed.iter().filter(|(_, dialed)| **dialed) {
                    os.send(*socket, &mut &[7; MESSAGE][..]);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn deadline(&self) -> Time {
        self.next
    }
}

fn crowd() -> (World, Vec<HostId>) {
    let mut world = World::new(1);
    world.default_link(Link::new(40 * MS).jitter(20 * MS));
    let all: Vec<HostId> = (0..NODES).map(|n| world.add(Peer::new(n), [ipv4(n)])).collect();
    (world, all)
}

#[test]
fn a_thousand_nodes_with_twenty_connections_each_talk_in_one_thread() {
    let (mut world, all) = crowd();
    assert!(world.run_to_rest(60 * SECOND).unwrap());
    for id in &all {
        let peer: &Peer = world.node(*id);
        assert_eq!(peer.dialed.len(), 2 * DIALS as usize);
        assert_eq!(peer.echoed, (DIALS * ROUNDS) as usize * MESSAGE);
        assert_eq!(peer.served, peer.echoed);
        assert_eq!(world.open_files(*id), 1 + 2 * DIALS as usize);
    }
}

/// `cargo test --release -p tidewire-sim --test world speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let start = std::time::Instant::now();
    let (mut world, _) = crowd();
    world.run_to_rest(60 * SECOND).unwrap();
    let (took, stats) = (start.elapsed(), world.stats());
    println!("{stats:?} in {took:?}: {:.0} events a second", stats.events as f64 / took.as_secs_f64());

    let start = std::time::Instant::now();
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::default());
    let before = world.stats();
    act(&mut world, a, |app, os| app.send(left, &pattern(100_000_000), os));
    world.run_while(600 * SECOND, |world| app(world, b).bytes(right).len() == 100_000_000).unwrap();
    let (took, events) = (start.elapsed(), world.stats().events - before.events);
    println!(
        "100 MB over one connection: {events} events in {took:?}: {:.0} a second",
        events as f64 / took.as_secs_f64()
    );
}
