//! Whatever happens to hosts and links: the operating system keeps its books, says each thing once, and comes to rest.

use crate::support::*;
use bytes::Bytes;
use core::time::Duration;
use proptest::prelude::{ProptestConfig, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use std::collections::BTreeMap;
use tidewire_core::Time;
use tidewire_sim::packet::{Body, Flags, Segment};
use tidewire_sim::{HostId, Input, Link, Middlebox, Node, Os, OsError, Packet, Rng, SocketId, World, ipv4};

const HOSTS: u32 = 4;

/// Keeps its own books, and complains when it is told something that can't be.
#[derive(Default)]
struct Clerk {
    /// Sockets that we hold, and how far they are.
    sockets: BTreeMap<SocketId, State>,
    listening: usize,
    polite: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Dialing,
    Open,
    Ended,
}

impl Clerk {
    fn expect(&mut self, socket: SocketId, states: &[State], input: &Input) {
        let state = self.sockets.get(&socket);
        assert!(state.is_some_and(|state| states.contains(state)), "{input:?}, but it was {state:?}");
    }

    fn nth(&self, n: usize) -> Option<SocketId> {
        self.sockets.keys().nth(n.checked_rem(self.sockets.len())?).copied()
    }
}

impl Node for Clerk {
    fn handle(&mut self, _: Time, input: Input, os: &mut Os<'_>) {
        match input {
            Input::Started => {
                os.listen(any(PORT), true).unwrap();
                self.listening = 1;
            }
            Input::Accepted { socket, .. } => assert_eq!(self.sockets.insert(socket, State::Open), None),
            Input::Connected { socket, .. } => {
                self.expect(socket, &[State::Dialing], &input);
                self.sockets.insert(socket, State::Open);
            }
            Input::ConnectFailed { socket, .. } => {
                self.expect(socket, &[State::Dialing], &input);
                self.sockets.remove(&socket);
            }
            Input::Received { socket } => {
                self.expect(socket, &[State::Open], &input);
                while os.read_bytes(socket, 1_000).is_some() {}
            }
            Input::Writable { socket } => self.expect(socket, &[State::Open, State::Ended], &input),
            Input::Ended { socket } => {
                self.expect(socket, &[State::Open], &input);
                self.sockets.insert(socket, State::Ended);
                if self.polite {
                    os.close(socket);
                    self.sockets.remove(&socket);
                }
            }
            Input::Broken { socket, .. } => {
                self.expect(socket, &[State::Open, State::Ended], &input);
                self.sockets.remove(&socket);
            }
            Input::AcceptFailed { .. } | Input::AddressUp(_) | Input::AddressDown(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Dial { from: u32, to: u32, reuse: bool },
    Send { host: u32, socket: usize, len: usize },
    Finish { host: u32, socket: usize },
    Close { host: u32, socket: usize },
    Abort { host: u32, socket: usize },
    Cut { from: u32, to: u32, time: u64 },
    Kill(u32),
    Exit(u32),
    PowerOff(u32),
    Start(u32),
    Move(u32),
    Files(u32, usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let host = || 1..=HOSTS;
    let socket = || 0usize..8;
    prop_oneof![
        8 => (host(), host(), proptest::bool::ANY).prop_map(|(from, to, reuse)| Step::Dial { from, to, reuse }),
        6 => (host(), socket(), 0usize..400_000).prop_map(|(host, socket, len)| Step::Send { host, socket, len }),
        2 => (host(), socket()).prop_map(|(host, socket)| Step::Finish { host, socket }),
        2 => (host(), socket()).prop_map(|(host, socket)| Step::Close { host, socket }),
        2 => (host(), socket()).prop_map(|(host, socket)| Step::Abort { host, socket }),
        2 => (host(), host(), 0u64..5_000).prop_map(|(from, to, time)| Step::Cut { from, to, time }),
        1 => host().prop_map(Step::Kill),
        1 => host().prop_map(Step::Exit),
        1 => host().prop_map(Step::PowerOff),
        1 => host().prop_map(Step::Start),
        1 => host().prop_map(Step::Move),
        1 => (host(), 1usize..6).prop_map(|(host, files)| Step::Files(host, files)),
        8 => (0u64..200).prop_map(Step::Wait),
        1 => (0u64..200_000).prop_map(Step::Wait),
    ]
}

/// Whether the books of the node and of its operating system agree.
fn audit(world: &World, id: HostId) -> Result<(), String> {
    if !world.is_running(id) {
        return if world.open_files(id) == 0 { Ok(()) } else { Err(format!("{id} has sockets, and no node")) };
    }
    let clerk: &Clerk = world.node(id);
    let (ours, theirs) = (clerk.sockets.len() + clerk.listening, world.open_files(id));
    if ours == theirs { Ok(()) } else { Err(format!("{id} holds {ours}, its system says {theirs}")) }
}

struct Town {
    world: World,
    hosts: Vec<HostId>,
    moved: u32,
}

impl Town {
    fn new(seed: u64, link: Link, polite: bool) -> Town {
        let mut world = World::new(seed);
        world.trace_on(20);
        world.default_link(link);
        let hosts = (1..=HOSTS).map(|n| world.add(Clerk { polite, ..Clerk::default() }, [ipv4(n)])).collect();
        world.run_for(Duration::ZERO).unwrap();
        Town { world, hosts, moved: HOSTS }
    }

    fn act<R>(&mut self, n: u32, act: impl FnOnce(&mut Clerk, &mut Os<'_>) -> R) -> Option<R> {
        let id = self.hosts[n as usize - 1];
        // A node that was started a moment ago has not listened yet.
        self.world.run_for(Duration::ZERO).unwrap();
        self.world.is_running(id).then(|| self.world.with(id, act))
    }

    fn step(&mut self, step: &Step) {
        let id = |n: u32| HostId::clone(&self.hosts[n as usize - 1]);
        match *step {
            Step::Dial { from, to, reuse } => {
                self.act(from, |clerk, os| {
                    let dialed = if reuse { os.connect_from(any(PORT), at(to), true) } else { os.connect(at(to)) };
                    match dialed {
                        Ok(socket) => assert_eq!(clerk.sockets.insert(socket, State::Dialing), None),
                        Err(OsError::AddressNotAvailable | OsError::TooManyFiles | OsError::NetworkUnreachable) => {}
                        Err(error) => panic!("{error}"),
                    }
                });
            }
            Step::Send { host, socket, len } => {
                self.act(host, |clerk, os| {
                    let Some(socket) = clerk.nth(socket) else { return };
                    let room = os.room(socket);
                    assert_eq!(os.send(socket, &mut Bytes::from(vec![1; len])), len.min(room));
                });
            }
            Step::Finish { host, socket } => {
                self.act(host, |clerk, os| clerk.nth(socket).map(|socket| os.finish(socket)));
            }
            Step::Close { host, socket } => {
                self.act(host, |clerk, os| {
                    let Some(socket) = clerk.nth(socket) else { return };
                    os.close(socket);
                    clerk.sockets.remove(&socket);
                });
            }
            Step::Abort { host, socket } => {
                self.act(host, |clerk, os| {
                    let Some(socket) = clerk.nth(socket) else { return };
                    os.abort(socket);
                    clerk.sockets.remove(&socket);
                });
            }
            Step::Cut { from, to, time } => {
                let until = self.world.now() + Duration::from_millis(time);
                self.world.cut_one_way(id(from), id(to), until);
            }
            Step::Kill(n) => self.world.kill(id(n)),
            Step::Exit(n) => self.world.exit(id(n)),
            Step::PowerOff(n) => self.world.power_off(id(n)),
            Step::Start(n) => {
                self.world.file_limit(id(n), usize::MAX);
                self.world.start(id(n), Clerk::default());
            }
            Step::Move(n) => {
                self.world.remove_address(id(n), ipv4(n));
                self.moved += 1;
                let to = self.moved;
                self.world.add_address(id(n), ipv4(to));
            }
            Step::Files(n, files) => self.world.file_limit(id(n), files),
            Step::Wait(time) => self.world.run_for(Duration::from_millis(time)).unwrap(),
        }
    }

    fn audit(&self) -> Result<(), String> {
        self.hosts.iter().try_for_each(|id| audit(&self.world, *id))
    }
}

proptest! {
    #[test]
    fn the_books_agree_and_the_world_comes_to_rest_whatever_happens(
        seed in 0u64..1_000_000,
        loss in 0u32..30,
        polite in proptest::bool::ANY,
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let link = Link::new(20 * MS).jitter(10 * MS).loss(f64::from(loss) / 100.0);
        let run = || {
            let mut town = Town::new(seed, link.clone(), polite);
            for step in &steps {
                town.step(step);
                town.world.run_for(Duration::ZERO).unwrap();
                town.audit()?;
            }
            // Who is never accepted is never read from, and its sender asks for room for ever.
            for id in town.hosts.clone() {
                town.world.file_limit(id, usize::MAX);
            }
            // Twice over, what takes longest: 15 retries.
            let rests = town.world.run_to_rest(Duration::from_secs(4_000)).unwrap();
            town.audit()?;
            Ok::<_, String>((rests, town.world.trace().hash(), town.world.stats()))
        };
        let result = run();
        prop_assert!(result.as_ref().is_ok_and(|(rests, ..)| *rests), "{:?}", result);
        prop_assert_eq!(run(), result, "the same again");
    }
}

/// Changes packets as no network would.
struct Mangler(Rng);

impl Mangler {
    fn mangle(&mut self, mut packet: Packet) -> Packet {
        let Body::Tcp(segment) = &mut packet.body else { return packet };
        let rng = &mut self.0;
        let near = |rng: &mut Rng, number: u64| match rng.below(4) {
            0 => number.wrapping_add(rng.below(3_000)),
            1 => number.wrapping_sub(rng.below(3_000)),
            2 => rng.next_u64(),
            _ => *rng.pick(&[0, 1, u64::MAX, u64::MAX - 1, 1 << 40]).unwrap(),
        };
        match rng.below(6) {
            0 => segment.seq = near(rng, segment.seq),
            1 => segment.ack = near(rng, segment.ack),
            2 => segment.window = near(rng, segment.window),
            3 => segment.data = Bytes::from(vec![0; usize::try_from(rng.below(5_000)).unwrap()]),
            4 => segment.flags.fin = !segment.flags.fin,
            _ => {
                let mut bit = || rng.chance(0.5);
                let flags = Flags { syn: bit(), ack: bit(), fin: bit(), rst: bit() };
                *segment = Segment { flags, ..segment.clone() };
            }
        }
        packet
    }
}

impl Middlebox for Mangler {
    fn outbound(&mut self, _: Time, packet: Packet) -> Option<Packet> {
        Some(if self.0.chance(0.2) { self.mangle(packet) } else { packet })
    }

    fn inbound(&mut self, _: Time, packet: Packet) -> Option<Packet> {
        Some(packet)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 2, ..ProptestConfig::default() })]

    #[test]
    fn segments_that_make_no_sense_break_connections_at_most(
        seed in 0u64..1_000_000,
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut town = Town::new(seed, Link::new(20 * MS), true);
        for id in town.hosts.clone() {
            town.world.middlebox(id, Mangler(Rng::new(seed)));
        }
        for step in &steps {
            town.step(step);
        }
        town.world.run_for(Duration::from_secs(100)).unwrap();
        let audit = town.audit();
        prop_assert!(audit.is_ok(), "{:?}", audit);
    }
}
