//! Two peers, the network between them, and all that may happen.
//!
//! ```text
//!   P: Coordinator, Keeper  --- circuits: streams of dcutr, pings, fin, in order ------------  Q: Coordinator, Keeper
//!                           --- the punch's pair of ports: SYNs, at most one connection -----
//!                           --- plain dials, each from a port of its own --------------------     Q has the larger id
//! ```
//! Timers fire at any moment: two clocks say nothing about each other. (In a clean world only when nothing else can happen, and in
//! the order of one clock.) A SYN arrives at any moment as long as its dial runs, for it is sent again.

use super::copied::Copied;
use super::explorer::Model;
use super::keeper::{Came, Keeper};
use super::properties;
use super::variants::Rule;
use crate::coordinator::{Config, Coordinator, Input};
use crate::nat::{self, Guess, Sight};
use crate::{AskId, Candidate, ConnectionId, DialId, Plan, Source};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use tidewire_core::{EventMachine, Multiaddr, PeerId, Seed, Time};

pub(super) const P: usize = 0;
pub(super) const Q: usize = 1;
pub(super) const NAMES: [&str; 2] = ["P", "Q"];
/// Most connections at a time.
pub(super) const WIRES: usize = 8;

/// What there is, and how often what may go wrong does.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) rules: [Rule; 2],
    /// Whether each side has dialed a circuit to the other, which is B on it.
    pub(super) circuits: [bool; 2],
    /// Anybody can reach this side.
    pub(super) public: [bool; 2],
    /// This side's identify message names a public address.
    pub(super) named: [bool; 2],
    /// What this side's NAT does with a SYN that nobody waits for: it answers with a reset.
    pub(super) resets: [bool; 2],
    /// This side's NAT gives a new port per destination, and it knows: its punches go from any port.
    pub(super) any_port: [bool; 2],
    /// The NATs let a simultaneous open through.
    pub(super) crossing: bool,
    pub(super) tries: u32,
    /// Upgrades that may fail.
    pub(super) failures: u8,
    /// Circuits that may be lost.
    pub(super) losses: u8,
    /// Direct connections that may be lost.
    pub(super) breaks: u8,
    /// Streams that may be reset by the network.
    pub(super) cuts: u8,
    /// Dials of the application at each side, unasked for.
    pub(super) unsolicited: [u8; 2],
    /// Timers fire only when nothing else can happen, in the order of one clock; and it has to succeed.
    pub(super) clean: bool,
    /// Messages on streams come before any timer.
    pub(super) prompt: bool,
    /// Most tries that a success may take.
    pub(super) within: u8,
    /// The real connection managers decide about duplicates; else their rule alone does.
    pub(super) manager: bool,
    /// What is superseded drains for a while, of which nobody knows how long it is; else it is closed as soon as that is proven.
    pub(super) grace: bool,
    /// The managers tolerate duplicates after as many closes as they do by default.
    pub(super) budget: bool,
    /// Answers to pings take their time; else that the questions do is enough.
    pub(super) pongs: bool,
    /// A transport is there at both ends at once.
    pub(super) at_once: bool,
    /// Connections whose ends don't fit in this way come about, and fail. (All of them, if it is empty.)
    pub(super) mismatch: Option<&'static str>,
    /// How many ends there were with, and without, a direct connection.
    pub(super) ends: [Cell<u64>; 2],
}

impl World {
    /// P has dialed a circuit to Q, both behind NATs that drop what nobody asked for.
    pub(super) fn of(rules: [Rule; 2]) -> World {
        World {
            rules,
            circuits: [true, false],
            public: [false; 2],
            named: [false; 2],
            resets: [false; 2],
            any_port: [false; 2],
            crossing: true,
            tries: 2,
            failures: 0,
            losses: 0,
            breaks: 0,
            cuts: 0,
            unsolicited: [0; 2],
            manager: false,
            grace: false,
            budget: false,
            pongs: false,
            clean: false,
            prompt: false,
            within: u8::MAX,
            mismatch: None,
            at_once: true,
            ends: Default::default(),
        }
    }

    /// If any timer may fire at any moment, half of it is as long as all other times: moments that are apart for no reason make
    /// states that differ for none.
    pub(super) fn rtt(&self) -> Duration {
        Duration::from_nanos(if self.clean { 2 } else { 40 })
    }

    pub(super) fn saw(&self, direct: bool) {
        let ends = &self.ends[usize::from(!direct)];
        ends.set(ends.get() + 1);
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |side: usize| {
            let facts = [
                (self.circuits[side], " dialed"),
                (self.public[side], " public"),
                (self.named[side], " named"),
                (self.resets[side], " resetting"),
                (self.any_port[side], " any port"),
            ];
            let facts: String = facts.into_iter().filter(|(yes, _)| *yes).map(|(_, fact)| fact).collect();
            format!("{}:{facts} {:?}", NAMES[side], self.rules[side])
        };
        write!(f, "{}; {}; {} tries", side(P), side(Q), self.tries)?;
        let counts = [
            (u8::from(!self.crossing), "no simultaneous open"),
            (self.failures, "upgrades fail"),
            (self.losses, "circuits lost"),
            (self.breaks, "direct ones lost"),
            (self.cuts, "streams cut"),
            (self.unsolicited[P], "unsolicited by P"),
            (self.unsolicited[Q], "unsolicited by Q"),
            (u8::from(self.manager), "real managers"),
            (u8::from(self.grace), "grace"),
            (u8::from(self.budget), "budget"),
            (u8::from(self.pongs), "slow pongs"),
            (u8::from(self.clean), "clean"),
            (u8::from(self.prompt), "prompt streams"),
        ];
        counts.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

/// Which pair of addresses a connection is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Tuple {
    Circuit,
    Punch,
    /// One of the dialer has a port of its own.
    Plain,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    /// The other's SYN and ours crossed, or ours was answered; nobody was told yet.
    Waiting {
        dial: Option<DialId>,
    },
    /// The upgrade runs. `None`: accepted, or the application's.
    Upgrading {
        dial: Option<DialId>,
        inbound: bool,
    },
    Up,
    /// The manager closes it; its end is not there yet.
    Closing,
    Gone,
}

impl End {
    pub(super) fn is_up(self) -> bool {
        self == End::Up
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Message {
    Ping,
    Pong,
    Fin,
}

/// A connection, or one that is coming up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wire {
    pub(super) tuple: Tuple,
    pub(super) ends: [End; 2],
    pub(super) initiator: usize,
    /// It worked at both ends, and was lost.
    pub(super) lost: bool,
    /// What is on the way to each side.
    pub(super) queues: [Vec<Message>; 2],
}

impl Wire {
    /// Nothing that is said on it from here on is heard.
    pub(super) fn is_dead(&self) -> bool {
        self.queues.iter().all(|queue| queue.contains(&Message::Fin))
    }

    pub(super) fn is_whole(&self) -> bool {
        self.ends == [End::Up; 2] && self.queues.iter().all(|queue| !queue.contains(&Message::Fin))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Said {
    Connect,
    Sync,
    Reset,
}

/// A stream of the protocol. Who opened it is B.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stream {
    pub(super) wire: usize,
    pub(super) opener: usize,
    pub(super) ask: AskId,
    pub(super) open: [bool; 2],
    pub(super) said: [Vec<Said>; 2],
}

/// A dial that has not come through.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pending {
    pub(super) dial: DialId,
    pub(super) tuple: Tuple,
    pub(super) plan: Plan,
}

#[derive(Clone, Hash)]
pub(super) struct Side {
    pub(super) machine: Copied<Coordinator>,
    pub(super) keeper: Keeper,
    /// The streams that the manager knows: on which connection, and their numbers.
    pub(super) told: Vec<(usize, u64)>,
    pub(super) dials: Vec<Pending>,
    /// Our NAT lets in what comes on the punch's pair of addresses.
    pub(super) open: bool,
    /// Who is there was not told yet.
    pub(super) unknown: bool,
}

#[derive(Clone, Hash)]
pub(super) struct State {
    pub(super) sides: [Side; 2],
    pub(super) wires: [Option<Wire>; WIRES],
    pub(super) streams: Vec<Stream>,
    /// Streams that each side opened: its tries.
    pub(super) opened: [u8; 2],
    /// Plain dials before the first try that became connections: each counts as a try.
    pub(super) plain: [u8; 2],
    pub(super) relay_lost: bool,
    pub(super) broken: bool,
    pub(super) failures: u8,
    pub(super) losses: u8,
    pub(super) breaks: u8,
    pub(super) cuts: u8,
    pub(super) unsolicited: [u8; 2],
}

/// What may happen next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Identify(usize),
    Hear(usize, usize),
    Syn(usize, usize),
    Rise(usize, usize),
    Up(usize, usize),
    Fail(usize, usize),
    Deliver(usize, usize),
    Timer(usize),
    Grace(usize),
    Over(usize, usize),
    Lose(usize),
    Cut(usize),
    Unsolicited(usize),
}

impl Step {
    /// It happens sooner or later, if nothing else does.
    fn is_due(self) -> bool {
        !matches!(self, Step::Fail(..) | Step::Lose(_) | Step::Cut(_) | Step::Unsolicited(_))
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |side: &usize| NAMES[*side];
        match self {
            Step::Identify(s) => write!(f, "{}: the peer identifies itself", name(s)),
            Step::Hear(i, s) => write!(f, "{}: a message on stream {i}", name(s)),
            Step::Syn(i, s) => write!(f, "the SYN of dial {i} of {} arrives", name(s)),
            Step::Rise(i, s) => write!(f, "{}: the transport of c{i} is there", name(s)),
            Step::Up(i, s) => write!(f, "{}: c{i} is established", name(s)),
            Step::Fail(i, s) => write!(f, "{}: the upgrade of c{i} fails", name(s)),
            Step::Deliver(i, s) => write!(f, "{}: a message on c{i}", name(s)),
            Step::Timer(s) => write!(f, "{}: a timer", name(s)),
            Step::Grace(s) => write!(f, "{}: a grace is over", name(s)),
            Step::Over(i, s) => write!(f, "{}: c{i}, which was closed, is gone", name(s)),
            Step::Lose(i) => write!(f, "the connection c{i} is lost"),
            Step::Cut(i) => write!(f, "stream {i} is reset by the network"),
            Step::Unsolicited(s) => write!(f, "{}: the application dials", name(s)),
        }
    }
}

pub(super) fn c(wire: usize) -> ConnectionId {
    ConnectionId(wire as u64)
}

pub(super) fn ip(side: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(11, 0, 0, if side == P { 2 } else { 3 }))
}

pub(super) fn outside(side: usize) -> Multiaddr {
    Multiaddr::tcp((ip(side), 4001).into())
}

pub(super) fn peer(side: usize) -> PeerId {
    PeerId::from_bytes(&[0, 1, u8::from(side == Q)]).unwrap()
}

fn config(tries: u32) -> Config {
    let nanos = Duration::from_nanos;
    Config {
        tries,
        direct_timeout: nanos(20),
        stream_timeout: nanos(20),
        punch_timeout: nanos(20),
        settle_timeout: nanos(20),
        wait_floor: nanos(1),
        wait_cap: nanos(1),
        backoff: Duration::ZERO,
        connect_interval: Duration::ZERO,
        ..Config::default()
    }
}

impl World {
    fn side(&self, side: usize) -> Side {
        let mut machine = Coordinator::new(config(self.tries), peer(side), &Seed::new([0; 32]));
        let own = Candidate { address: outside(side), source: Source::Observed, local: Some(outside(side)) };
        machine.handle(Time::ZERO, Input::Own(&[own])).unwrap();
        if self.any_port[side] {
            machine.handle(Time::ZERO, Input::Nat(&new_port_each_time(side))).unwrap();
        }
        // Who dialed all circuits needs to know nobody's addresses: nothing it does depends on it.
        let unknown = self.circuits[1 - side];
        let (keeper, open) = (Keeper::new(self, side), self.public[side]);
        Side { machine: Copied::new(machine), keeper, told: Vec::new(), dials: Vec::new(), open, unknown }
    }

    pub(super) fn dialers(&self) -> impl Iterator<Item = (usize, usize)> {
        [P, Q].into_iter().filter(|side| self.circuits[*side]).enumerate()
    }
}

/// What is guessed of a NAT that three others saw at three ports.
fn new_port_each_time(side: usize) -> Vec<Guess> {
    let sight = |n: u16| Sight {
        local: Multiaddr::tcp((Ipv4Addr::new(10, 0, 0, 2), 4001).into()),
        seen: Multiaddr::tcp((ip(side), 40_000 + n * n).into()),
        observer: Multiaddr::tcp((Ipv4Addr::new(12, 0, 0, n.to_be_bytes()[1]), 4001).into()),
    };
    nat::guesses(&[sight(1), sight(2), sight(3)])
}

impl Model for World {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        let mut wires = [const { None }; WIRES];
        for (at, dialer) in self.dialers() {
            let ends = [P, Q].map(|side| End::Upgrading { dial: None, inbound: side != dialer });
            let (lost, queues) = (false, Default::default());
            wires[at] = Some(Wire { tuple: Tuple::Circuit, ends, initiator: dialer, lost, queues });
        }
        let mut state = State {
            sides: [self.side(P), self.side(Q)],
            wires,
            streams: Vec::new(),
            opened: [0; 2],
            plain: [0; 2],
            relay_lost: false,
            broken: false,
            failures: self.failures,
            losses: self.losses,
            breaks: self.breaks,
            cuts: self.cuts,
            unsolicited: self.unsolicited,
        };
        for side in [P, Q] {
            for (at, dialer) in self.dialers() {
                let keeper = &mut state.sides[side].keeper;
                if dialer != side {
                    keeper.incoming(at, dialer, true).unwrap();
                }
                let came = if dialer == side { Came::Dialed } else { Came::Accepted };
                keeper.established(at, (side, dialer), true, came).unwrap();
                super::turn::Turn { world: self, state: &mut state, side, log: &mut |_| () }.carry_out().unwrap();
            }
        }
        for side in &mut state.sides {
            side.keeper.rest();
            side.machine.rest(|machine| machine.rebase(Duration::ZERO));
        }
        state
    }

    fn steps(&self, state: &State, into: &mut Vec<Step>) {
        for (at, stream) in state.streams.iter().enumerate() {
            into.extend([P, Q].into_iter().filter(|s| !stream.said[*s].is_empty()).map(|s| Step::Hear(at, s)));
            if state.cuts > 0 {
                into.push(Step::Cut(at));
            }
        }
        for (at, wire) in state.wires.iter().enumerate().filter_map(|(at, wire)| Some((at, wire.as_ref()?))) {
            for s in [P, Q] {
                let (end, other) = (wire.ends[s], wire.ends[1 - s]);
                if matches!(end, End::Waiting { .. }) {
                    into.push(Step::Rise(at, s));
                }
                if matches!(end, End::Upgrading { .. }) && matches!(other, End::Upgrading { .. } | End::Up) {
                    into.push(Step::Up(at, s));
                    if state.failures > 0 {
                        into.push(Step::Fail(at, s));
                    }
                }
                if end == End::Closing {
                    into.push(Step::Over(at, s));
                }
                let first = wire.queues[s].first();
                if first.is_some_and(|first| end == End::Up || *first == Message::Fin) {
                    into.push(Step::Deliver(at, s));
                }
            }
            let may_be_lost = if wire.tuple == Tuple::Circuit { state.losses } else { state.breaks };
            if may_be_lost > 0 && wire.is_whole() {
                into.push(Step::Lose(at));
            }
        }
        for s in [P, Q] {
            let side = &state.sides[s];
            if side.unknown {
                into.push(Step::Identify(s));
            }
            let arrives = |at: &usize| state.syn(self, s, *at).is_some();
            into.extend((0..side.dials.len()).filter(arrives).map(|at| Step::Syn(at, s)));
            if state.unsolicited[s] > 0 && self.public[1 - s] {
                into.push(Step::Unsolicited(s));
            }
        }
        let spoken = |step: &Step| step.is_due() && (self.clean || matches!(step, Step::Hear(..)));
        let busy = (self.clean || self.prompt) && into.iter().any(spoken);
        let deadlines = [P, Q].map(|s| state.sides[s].machine.deadline());
        let due = |s: &usize| {
            let deadline = deadlines[*s];
            !deadline.is_never() && !busy && (!self.clean || deadlines.iter().all(|other| deadline <= *other))
        };
        into.extend([P, Q].into_iter().filter(due).map(Step::Timer));
        let waits = |s: &usize| state.sides[*s].keeper.waits() && !busy;
        into.extend([P, Q].into_iter().filter(waits).map(Step::Grace));
    }

    fn apply(&self, state: &mut State, step: Step, log: &mut dyn FnMut(String)) -> Result<(), String> {
        let side = match step {
            Step::Identify(s) | Step::Timer(s) | Step::Grace(s) | Step::Unsolicited(s) => s,
            Step::Hear(_, s) | Step::Syn(_, s) | Step::Rise(_, s) | Step::Up(_, s) => s,
            Step::Fail(_, s) | Step::Deliver(_, s) | Step::Over(_, s) => s,
            Step::Lose(_) | Step::Cut(_) => P,
        };
        let mut passed = Duration::ZERO;
        if step == Step::Timer(side) {
            passed = state.sides[side].machine.deadline().since(Time::ZERO);
        }
        super::turn::Turn { world: self, state, side, log }.step(step)?;
        for s in [P, Q] {
            super::turn::Turn { world: self, state, side: s, log }.tell_of_streams()?;
        }
        for s in [P, Q] {
            state.sides[s].keeper.rest();
            let passed = if s == side || self.clean { passed } else { Duration::ZERO };
            let machine = &mut state.sides[s].machine;
            if !passed.is_zero() {
                machine.touch();
            }
            machine.rest(|machine| machine.rebase(passed));
        }
        Ok(())
    }

    fn check(&self, state: &State, steps: &[Step]) -> Result<(), String> {
        if steps.iter().any(|step| step.is_due()) { Ok(()) } else { properties::at_rest(self, state) }
    }

    fn may_recur(&self, _: Step) -> bool {
        false
    }
}
