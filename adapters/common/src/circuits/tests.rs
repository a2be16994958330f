//! Circuits between nodes whose sockets are two buffers, all in one thread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{Circuit, Task};
use crate::buffer::{Buffer, lock};
use crate::config::NodeConfig;
use crate::hub::Job;
use crate::line::{Line, Turned};
use crate::node::{Node, Works};
use crate::pump::Pump;
use crate::stream::Stream;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;
use tidewire_core::{Keypair, Multiaddr, PeerId, Seed, Time};
use tidewire_host::{Command, Input, OpenOptions};
use tidewire_multistream::{Matcher, Protocol, Protocols};
use tidewire_relay::server::{CircuitEnd, Offer, ServerConfig};
use tidewire_relay::{CircuitId, Limit};
use tidewire_upgrade::pipeline::Plan;

const TALK: Protocol = Protocol::from_static("/talk/1.0.0");

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One end of a connection.
struct End {
    of: usize,
    line: Arc<Line>,
    rx: BytesMut,
    tx: Buffer,
    /// The other end sends no more.
    ended: bool,
    over: bool,
}

struct One {
    node: Node,
    works: Works,
    jobs: Arc<Mutex<VecDeque<Job>>>,
}

/// Node 0 relays, node 1 holds a reservation, node 2 dials it.
struct Town {
    all: Vec<One>,
    /// Both ends of each connection, one behind the other.
    ends: Vec<End>,
    tasks: Vec<(usize, Task)>,
    /// Connections have their turns from the last to the first.
    backwards: bool,
    /// Ends of circuits are not run any more, but kept here.
    idle: bool,
    kept: Vec<(usize, Circuit)>,
    bell: Arc<Bell>,
}

fn socket(of: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], u16::try_from(4000 + of).unwrap()))
}

fn key(of: usize) -> Keypair {
    Keypair::from_seed(&Seed::new([u8::try_from(of + 1).unwrap(); 32]))
}

fn id(of: usize) -> PeerId {
    key(of).peer_id()
}

fn relay_at() -> Multiaddr {
    Multiaddr::tcp(socket(0)).with_peer_id(id(0)).unwrap()
}

fn limited() -> OpenOptions {
    let mut options = OpenOptions::default();
    options.limited = true;
    options
}

impl Town {
    fn new(limit: Limit) -> Town {
        let all = (0..3).map(|of| {
            let mut config = NodeConfig { close_timeout: Duration::from_millis(50), ..NodeConfig::default() };
            if of == 0 {
                let mut server = ServerConfig::unlimited();
                (server.offer, server.announce_private, server.limit) = (Offer::Always, true, limit);
                config.host.relay.server = Some(server);
            }
            let jobs = Arc::<Mutex<VecDeque<Job>>>::default();
            let give = jobs.clone();
            let seed = Seed::new([u8::try_from(of + 101).unwrap(); 32]);
            let (node, works) = Node::new(config, key(of), &seed, None, move |job| lock(&give).push_back(job)).unwrap();
            One { node, works, jobs }
        });
        let (ends, tasks, kept) = (Vec::new(), Vec::new(), Vec::new());
        let mut town =
            Town { all: all.collect(), ends, tasks, backwards: false, idle: false, kept, bell: Arc::default() };
        let relay = town.all[0].node.clone();
        town.wait(relay.listen(&Multiaddr::tcp(socket(0)))).unwrap();
        town
    }

    /// With a circuit from node 2 to node 1.
    fn connected(limit: Limit) -> Town {
        let mut town = Town::new(limit);
        let (holder, dialer) = (town.all[1].node.clone(), town.all[2].node.clone());
        let at: Multiaddr = format!("{}/p2p-circuit", relay_at()).parse().unwrap();
        let listener = town.wait(holder.listen(&at)).unwrap();
        town.wait(dialer.connect(&listener.addresses()[0])).unwrap();
        town.until(|town| town.circuits() == 1 && town.all[1].node.counters().peers == 2);
        town
    }

    fn circuits(&self) -> u32 {
        self.all[0].node.host(|host| host.relay_server().unwrap().counts().circuits)
    }

    /// What pumps at the relay.
    fn pumps(&self) -> Vec<Arc<Pump>> {
        lock(&self.all[0].works.hub.inner).circuits.pumps.values().cloned().collect()
    }

    /// When the first pump is to be woken.
    fn timer(&self) -> Time {
        lock(&self.all[0].works.hub.inner).circuits.deadline()
    }

    /// What runs at a node.
    fn tasks_of(&self, of: usize) -> usize {
        self.tasks.iter().filter(|(at, _)| *at == of).count()
    }

    fn step(&mut self) {
        for of in 0..self.all.len() {
            self.all[of].works.hub.on_timeout();
            while let Some(job) = { lock(&self.all[of].jobs).pop_front() } {
                self.work(of, job);
            }
        }
        let count = self.ends.len();
        for turn in 0..count {
            let at = if self.backwards { count - 1 - turn } else { turn };
            let End { of, line, rx, tx, ended, over } = &mut self.ends[at];
            if *over {
                continue;
            }
            let turned = line.turn(&self.all[*of].works.hub, Waker::noop(), rx, *ended, tx);
            let (said, now_over) = (tx.unsent().to_vec(), !matches!(turned, Turned::Wait(_)));
            tx.advance(usize::MAX);
            *over = now_over;
            let other = &mut self.ends[at ^ 1];
            other.rx.extend_from_slice(&said);
            other.ended |= now_over;
        }
        let waker = self.bell.clone().into();
        if !self.idle {
            self.tasks.retain_mut(|(_, task)| task.poll(&waker).is_some());
        }
    }

    fn work(&mut self, of: usize, job: Job) {
        let hub = self.all[of].works.hub.clone();
        match job {
            Job::Listen { listener, address } => hub.listening(listener, vec![address]),
            Job::Dial { dial, peer, address, .. } => {
                let to = address.socket_addr().unwrap();
                let from = SocketAddr::from(([127, 0, 0, 1], u16::try_from(9000 + self.ends.len()).unwrap()));
                let far = self.all[0].works.hub.accepted(to, from);
                let near = hub.dialed(dial, peer, from, to);
                let (Some(far), Some(near)) = (far, near) else { panic!("not welcome") };
                for (of, line) in [(of, near), (0, far)] {
                    let (rx, tx) = (BytesMut::new(), Buffer::default());
                    self.ends.push(End { of, line, rx, tx, ended: false, over: false });
                }
            }
            Job::Circuit(circuit) if self.idle => self.kept.push((of, circuit)),
            Job::Circuit(circuit) => {
                let mut task = self.all[of].works.task(circuit);
                // At once, before any connection has its turn.
                if task.poll(&self.bell.clone().into()).is_some() {
                    self.tasks.push((of, task));
                }
            }
            _ => {}
        }
    }

    fn until(&mut self, holds: impl Fn(&Town) -> bool) {
        for _ in 0..5000 {
            self.step();
            if holds(self) {
                return;
            }
            thread::sleep(Duration::from_micros(200));
        }
        panic!("it never came to hold");
    }

    fn steps(&mut self) {
        for _ in 0..50 {
            self.step();
        }
    }

    /// Goes on until the future is ready.
    fn wait<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = pin!(what);
        for _ in 0..5000 {
            if let Poll::Ready(done) = what.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
            self.step();
            thread::sleep(Duration::from_micros(200));
        }
        panic!("it never came to an end");
    }

    /// A stream from the dialer to the holder, and its other end.
    fn talk(&mut self) -> (Stream, Stream) {
        let mut talks = self.all[1].node.handle(TALK, Matcher::Exact).unwrap();
        let dialer = self.all[2].node.clone();
        let protocols = Protocols::from(TALK);
        let mut stream = self.wait(dialer.open(id(1), &protocols, limited())).unwrap();
        self.wait(stream.write_all(b"hello")).unwrap();
        let mut inbound = self.wait(talks.next()).unwrap().stream;
        assert_eq!(self.wait(inbound.read_chunk()).unwrap(), Some(Bytes::from_static(b"hello")));
        (stream, inbound)
    }

    /// Neither end has the other any more, nor the relay the circuit; the relay itself is still there.
    fn circuit_is_gone(&mut self) {
        self.until(|town| {
            let peers = |of: usize| town.all[of].node.counters().peers;
            let gone = town.circuits() == 0 && town.pumps().is_empty();
            gone && peers(1) == 1 && peers(2) == 1 && town.tasks.is_empty()
        });
    }
}

#[test]
fn a_circuit_has_a_pump_at_the_relay_and_a_carrier_at_each_end() {
    let mut town = Town::connected(Limit::UNLIMITED);
    assert_eq!([0, 1, 2].map(|of| town.tasks_of(of)), [0, 1, 1]);
    assert_eq!(town.pumps().len(), 1);
    let (mut out, mut back) = town.talk();
    town.wait(back.write_all(b"and back")).unwrap();
    back.finish().unwrap();
    assert_eq!(town.wait(out.read_all(100)).unwrap(), "and back");
}

#[test]
fn a_connection_that_is_closed_ends_its_circuit_in_an_orderly_way() {
    let mut town = Town::connected(Limit::UNLIMITED);
    let connection = town.all[2].node.host(|host| host.manager().connections_of(&id(1)).next().unwrap().id);
    let why = "enough".into();
    town.all[2].node.command(Command::Close { connection: tidewire_host::ConnectionId(connection.0), why }).unwrap();
    town.circuit_is_gone();
}

#[test]
fn a_connection_that_breaks_ends_its_circuits_at_both_ends_and_that_is_said() {
    let mut town = Town::connected(Limit::UNLIMITED);
    let (mut out, _back) = town.talk();
    let mut events = town.all[0].node.events();
    // The relay's end of the connection to the holder.
    let at = town.ends.iter().position(|end| end.of == 1).unwrap() ^ 1;
    let hub = town.all[0].works.hub.clone();
    town.ends[at].line.broken(&hub, "its task was ended");
    assert!(town.pumps().is_empty(), "it ended with its connection");
    town.until(|town| town.circuits() == 0);
    assert!(town.wait(out.read_chunk()).is_err());
    let ended = loop {
        let notice = town.wait(events.next()).unwrap();
        if let crate::node::Notice::Event(tidewire_host::Event::Relay(tidewire_relay::server::Event::CircuitClosed {
            why,
            ..
        })) = notice
        {
            break why;
        }
    };
    assert!(matches!(ended, CircuitEnd::DestinationReset | CircuitEnd::DestinationDisconnected), "{ended:?}");
}

#[test]
fn a_carrier_that_is_dropped_breaks_its_connection() {
    for of in [1, 2] {
        let mut town = Town::connected(Limit::UNLIMITED);
        town.tasks.retain(|(at, _)| *at != of);
        town.circuit_is_gone();
    }
}

#[test]
fn the_host_ends_a_circuit() {
    let mut town = Town::connected(Limit { duration: Some(Duration::from_secs(100)), data: None });
    town.steps();
    let pump = town.pumps().pop().unwrap();
    pump.close(CircuitEnd::Drained);
    assert!(town.pumps().is_empty(), "it ended there and then");
    assert!(town.timer().is_never(), "no timer stays behind");
    // Nobody minds one who comes too late.
    pump.close(CircuitEnd::Closed);
    pump.wake_by_ref();
    town.circuit_is_gone();
    assert_eq!(Arc::strong_count(&pump), 1, "neither its streams nor the hub know it any more");
}

#[test]
fn time_is_a_limit_though_nothing_goes() {
    let mut town = Town::connected(Limit { duration: Some(Duration::from_millis(100)), data: None });
    assert!(!town.timer().is_never());
    town.circuit_is_gone();
    assert!(town.timer().is_never());
}

#[test]
fn a_pump_without_a_limit_in_time_waits_for_no_time_once_it_has_told_what_went() {
    let mut town = Town::connected(Limit::UNLIMITED);
    assert!(!town.timer().is_never(), "the handshake's bytes are to be told");
    let told = |town: &Town| town.all[0].node.host(|host| host.relay_server().unwrap().counters().forward);
    assert_eq!(told(&town), 0);
    thread::sleep(Duration::from_secs(1));
    town.until(|town| town.timer().is_never());
    assert!(told(&town) > 0);
}

#[test]
fn a_timer_that_is_asked_for_earlier_replaces_the_one_before() {
    let town = Town::new(Limit::UNLIMITED);
    let hub = &town.all[0].works.hub;
    hub.alarm(CircuitId(7), Time::NEVER, Time::from_millis(2_000_000));
    hub.alarm(CircuitId(7), Time::from_millis(2_000_000), Time::from_millis(1_000_000));
    assert_eq!(town.timer(), Time::from_millis(1_000_000));
    let mut inner = lock(&hub.inner);
    // Whose it was is gone.
    assert!(inner.circuits.due(Time::from_millis(1_000_000)).is_empty());
    assert!(inner.circuits.deadline().is_never());
}

#[test]
fn more_than_one_call_may_move_gets_through() {
    let mut town = Town::connected(Limit::UNLIMITED);
    let (mut out, mut back) = town.talk();
    let sent = vec![5; 4 << 20];
    let mut writing = Box::pin(out.write_all(&sent));
    let (mut read, mut done) = (0, false);
    for _ in 0..20_000 {
        done = done || writing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        town.step();
        while let Poll::Ready(Ok(Some(chunk))) = back.poll_chunk(Waker::noop()) {
            read += chunk.len();
        }
        if done && read == sent.len() {
            return;
        }
    }
    panic!("{read} bytes came");
}

/// The relay holds what one piece each way takes, however much comes.
#[test]
fn who_does_not_read_stops_who_writes() {
    let mut town = Town::connected(Limit::UNLIMITED);
    let (mut out, _back) = town.talk();
    let sent = vec![5; 16 << 20];
    let mut wrote = 0;
    for _ in 0..500 {
        while let Poll::Ready(Ok(count)) = out.poll_write(Waker::noop(), &sent[wrote..]) {
            wrote += count;
        }
        town.step();
    }
    assert!(wrote < 4 << 20, "{wrote} bytes went, though nobody reads");
    let lent = town.all[0].works.hub.pool().lent();
    assert!(lent <= 4, "the relay holds {lent} buffers");
}

#[test]
fn a_source_that_resets_is_noticed_though_the_destination_takes_nothing() {
    let mut town = Town::connected(Limit::UNLIMITED);
    let (mut one, _back) = town.talk();
    let (mut other, _also) = town.talk();
    // The holder's end stands still, so that the relay can't get rid of what comes.
    let holder = town.tasks.iter().position(|(of, _)| *of == 1).unwrap();
    let _stands_still = town.tasks.swap_remove(holder);
    let sent = vec![5; 64 * 1024];
    for _ in 0..500 {
        while one.poll_write(Waker::noop(), &sent).is_ready() || other.poll_write(Waker::noop(), &sent).is_ready() {}
        town.step();
    }
    // The dialer's end breaks; what it had sent is stuck at the relay.
    town.tasks.retain(|(of, _)| *of != 2);
    town.until(|town| town.circuits() == 0 && town.pumps().is_empty());
}

#[test]
fn a_side_that_finished_and_then_resets_is_noticed() {
    for of in [1, 2] {
        let mut town = Town::new(Limit::UNLIMITED);
        let (holder, dialer) = (town.all[1].node.clone(), town.all[2].node.clone());
        let at: Multiaddr = format!("{}/p2p-circuit", relay_at()).parse().unwrap();
        let listener = town.wait(holder.listen(&at)).unwrap();
        town.idle = true;
        let mut connecting = Box::pin(dialer.connect(&listener.addresses()[0]));
        while town.kept.len() < 2 {
            assert!(connecting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            town.step();
        }
        town.idle = false;
        // Bare streams at both ends, in place of connections.
        let (mut lines, mut ends) = (Vec::new(), Vec::new());
        for (at, Circuit { line, stream }) in std::mem::take(&mut town.kept) {
            lines.push(line);
            ends.push((at, stream));
        }
        town.steps();
        let at = ends.iter().position(|(at, _)| *at == of).unwrap();
        let (_, mut end) = ends.remove(at);
        end.finish().unwrap();
        town.steps();
        assert_eq!(town.circuits(), 1, "half of it is still open");
        end.reset(0);
        town.until(|town| town.circuits() == 0 && town.pumps().is_empty());
    }
}

#[test]
fn a_dial_whose_circuit_has_lost_its_connection_fails_at_once() {
    let mut town = Town::new(Limit::UNLIMITED);
    let (holder, dialer) = (town.all[1].node.clone(), town.all[2].node.clone());
    let at: Multiaddr = format!("{}/p2p-circuit", relay_at()).parse().unwrap();
    let listener = town.wait(holder.listen(&at)).unwrap();
    town.wait(dialer.connect(&relay_at())).unwrap();
    lock(&town.all[2].works.hub.inner).lines.clear();
    let failed = town.wait(dialer.connect(&listener.addresses()[0])).unwrap_err();
    assert!(failed.to_string().contains("the connection to the relay is over"), "{failed}");
}

#[test]
fn a_connection_that_begins_while_another_does_leaves_that_ones_panic_alone() {
    let town = Town::new(Limit::UNLIMITED);
    let hub = town.all[0].works.hub.clone();
    let (local, remote) = (Multiaddr::tcp(socket(0)), Multiaddr::tcp(socket(1)));
    for before in [false, true] {
        let mut inner = lock(&hub.inner);
        inner.panicked = before;
        let (local, remote) = (local.clone(), remote.clone());
        let line = hub.begin(&mut inner, Plan::Respond, None, remote.clone(), |connection| Input::Incoming {
            connection,
            local,
            remote,
            over: None,
            asn: None,
        });
        assert!(line.is_some(), "the panic was none of its own");
        assert_eq!(inner.panicked, before);
        drop(inner);
    }
}

/// The last message before a circuit goes out with its link's next turn; the pump may be there earlier.
#[test]
fn a_pump_that_comes_before_its_stream_is_a_circuit_waits() {
    let mut town = Town::new(Limit::UNLIMITED);
    let (holder, dialer) = (town.all[1].node.clone(), town.all[2].node.clone());
    let at: Multiaddr = format!("{}/p2p-circuit", relay_at()).parse().unwrap();
    let listener = town.wait(holder.listen(&at)).unwrap();
    // The link of the destination comes last, so that the source's has no turn before the pump is there.
    town.backwards = true;
    town.wait(dialer.connect(&listener.addresses()[0])).unwrap();
    town.talk();
}
