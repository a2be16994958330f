//! Two peers, the connections between them, and all that may happen.
//!
//! ```text
//!   P: Pair  <-- inputs --  end of c0  <==  pings, pongs, fin, in order  ==>  end of c0  -- inputs -->  Pair :Q
//!     clock  -- actions ->  end of c1  <==                               ==>  end of c1  <- actions --  clock
//!                                      ...                                                Q has the larger id
//! ```
//!
//! Each side of a connection goes Idle -> Shaking -> Up -> Gone by itself, in any order. Each side has its own clock, which
//! passes one nanosecond with everything that happens there; after each step the moments that are stored get new names that
//! keep what their comparisons say ([`World::rebase`]). So a grace may be as long or as short as anything else.

use super::explorer::Model;
use super::peers::Policy;
use super::properties;
use super::variants::{Machine, Rule};
use crate::ConnectionId;
use crate::duplicates::{Action, DuplicatesConfig, Initiator, Input};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use tidewire_core::Time;

/// Most connections of a world.
pub(super) const LINES: usize = 4;
pub(super) const P: usize = 0;
pub(super) const Q: usize = 1;

/// The present of each side between two steps. What is earlier has names below, what is later has names above.
pub(super) const NOW: u64 = 100;
pub(super) const GRACE: Duration = Duration::from_nanos(1000);
const LONG: Duration = Duration::from_nanos(1_000_000);
pub(super) const WINDOW: Duration = Duration::from_secs(1);

/// A connection that may come about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) initiator: usize,
    pub(super) relayed: bool,
    /// A simultaneous open: the other one dialed too.
    pub(super) both_dialed: bool,
    /// A redial: only once this one is gone at the initiator.
    pub(super) after: Option<usize>,
}

pub(super) fn by(initiator: usize) -> Line {
    Line { initiator, relayed: false, both_dialed: false, after: None }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.initiator == P { "P" } else { "Q" };
        let both = if self.both_dialed { "both dialed, " } else { "" };
        let relayed = if self.relayed { " relayed" } else { "" };
        let after = self.after.map_or(String::new(), |after| format!(" after c{after}"));
        write!(f, "{both}{side}{relayed}{after}")
    }
}

/// What there is, and how often what may go wrong does.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) lines: Vec<Line>,
    pub(super) rules: [Rule; 2],
    pub(super) per_peer: u32,
    pub(super) budget: u32,
    /// The long grace is much longer; else it is the short one.
    pub(super) long: bool,
    /// Handshakes that may fail.
    pub(super) failures: u8,
    /// Connections that may die without a word.
    pub(super) kills: u8,
    /// Connections that somebody else may close.
    pub(super) shuts: u8,
    /// Pings that nobody asked for.
    pub(super) pings: u8,
    /// Connections on which a stream may be opened and closed, once at each side: the first so many.
    pub(super) streams: usize,
    /// What is gone may be dialed again and again.
    pub(super) again: bool,
    /// The clocks stand still but for timers.
    pub(super) coarse: bool,
    /// All are dialed at the start. Nobody can tell when one was, before it is established: so this leaves out only what is
    /// never dialed, and is for worlds that are large otherwise. For those without failures and faults.
    pub(super) at_once: bool,
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.lines)?;
        match self.rules {
            [Rule::Ours, Rule::Ours] => {}
            [one, other] if one == other => write!(f, ", {one:?}")?,
            [one, other] => write!(f, ", P {one:?}, Q {other:?}")?,
        }
        let counts = [
            (self.per_peer.saturating_sub(1), "more wanted"),
            (self.failures.into(), "handshakes fail"),
            (self.kills.into(), "die"),
            (self.shuts.into(), "are closed by others"),
            (self.pings.into(), "pings of keep-alive"),
            (u32::try_from(self.streams).unwrap_or(u32::MAX), "with streams"),
            (self.long.into(), "long grace"),
            (self.again.into(), "redials without end"),
            (self.coarse.into(), "clock that stands still"),
            (self.at_once.into(), "dial for all"),
        ];
        counts.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))?;
        if self.budget == u32::MAX { Ok(()) } else { write!(f, ", budget {}", self.budget) }
    }
}

impl World {
    pub(super) fn of(lines: &[Line]) -> World {
        World {
            lines: lines.to_vec(),
            rules: [Rule::Ours; 2],
            per_peer: 1,
            budget: u32::MAX,
            long: false,
            failures: 0,
            kills: 0,
            shuts: 0,
            pings: 0,
            streams: 0,
            again: false,
            coarse: false,
            at_once: false,
        }
    }

    pub(super) fn under(self, rule: Rule) -> World {
        World { rules: [rule; 2], ..self }
    }

    pub(super) fn is_foreign(&self, side: usize) -> bool {
        matches!(self.rules[side], Rule::Foreign(_))
    }

    /// Whether both sides follow the rule, or the same variant of it.
    pub(super) fn is_equal(&self) -> bool {
        !self.is_foreign(P) && !self.is_foreign(Q)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum End {
    #[default]
    Idle,
    Shaking,
    Up,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Ping = 1,
    Pong,
    Fin,
}

/// At most four messages, the first one lowest. (A side has at most one ping under way on a connection.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Queue(u8);

impl Queue {
    fn push(&mut self, message: Message) {
        let at = (0..4).find(|at| self.0 >> (2 * at) == 0).expect("at most three messages are on the way");
        self.0 |= (message as u8) << (2 * at);
    }

    fn pop(&mut self) -> Option<Message> {
        let first = self.0 & 3;
        self.0 >>= 2;
        [Message::Ping, Message::Pong, Message::Fin].into_iter().find(|message| *message as u8 == first)
    }

    fn first(mut self) -> Option<Message> {
        self.pop()
    }
}

/// A connection, as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Wire {
    pub(super) ends: [End; 2],
    /// What is on the way to each side.
    queues: [Queue; 2],
    /// It died, and nobody was told.
    pub(super) dead: bool,
    /// Which ones were not working any more when this one came to be up at both sides.
    pub(super) past: u8,
    /// At each side: no stream yet, one, no more.
    streams: [u8; 2],
}

impl Wire {
    /// It works.
    pub(super) fn is_whole(&self) -> bool {
        self.ends == [End::Up; 2] && !self.dead
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Side {
    pub(super) machine: Machine,
    /// When the ping that is under way was sent.
    pub(super) sent: [Option<Time>; LINES],
    /// When its rule closed one that came after the close before, within the window.
    pub(super) closes: Vec<Time>,
    /// Which were there when it closed one.
    paid: [bool; LINES],
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) wires: [Wire; LINES],
    pub(super) sides: [Side; 2],
    /// What may still go wrong.
    failures: u8,
    kills: u8,
    shuts: u8,
    pings: u8,
    /// Something did that no rule can help.
    pub(super) harm: bool,
    /// Which ones were given up by the rule, were up at each side, were up at both.
    pub(super) given_up: u8,
    pub(super) was_up: [u8; 2],
    pub(super) was_whole: u8,
}

/// What may happen next: on which connection, at which side.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Dial(usize),
    Up(usize, usize),
    Fail(usize, usize),
    Deliver(usize, usize, Option<u8>),
    Kill(usize),
    Lost(usize, usize),
    Shut(usize, usize),
    Ping(usize, usize),
    Stream(usize, usize),
    Timer(usize),
}

impl Step {
    /// It happens sooner or later, if nothing else does.
    pub(super) fn is_due(self) -> bool {
        matches!(self, Step::Up(..) | Step::Deliver(..) | Step::Lost(..) | Step::Timer(_))
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |side: &usize| if *side == P { "P" } else { "Q" };
        match self {
            Step::Dial(i) => write!(f, "c{i} is dialed"),
            Step::Up(i, s) => write!(f, "{}: c{i} is established", name(s)),
            Step::Fail(i, s) => write!(f, "{}: the handshake of c{i} fails", name(s)),
            Step::Deliver(i, s, what) => {
                let what = ["nothing", "a ping", "a pong", "the end"][usize::from(what.unwrap_or(0))];
                write!(f, "{}: {what} arrives on c{i}", name(s))
            }
            Step::Kill(i) => write!(f, "c{i} dies, and nobody notices"),
            Step::Lost(i, s) => write!(f, "{}: keep-alive notices that c{i} is dead", name(s)),
            Step::Shut(i, s) => write!(f, "{}: the application closes c{i}", name(s)),
            Step::Ping(i, s) => write!(f, "{}: keep-alive pings c{i}", name(s)),
            Step::Stream(i, s) => write!(f, "{}: a stream opens or closes on c{i}", name(s)),
            Step::Timer(s) => write!(f, "{}: a timer", name(s)),
        }
    }
}

/// One side, while something happens there.
struct Turn<'a> {
    world: &'a World,
    state: &'a mut State,
    side: usize,
    now: Time,
    log: &'a mut dyn FnMut(String),
}

fn c(line: usize) -> ConnectionId {
    ConnectionId(line as u64)
}

fn line_of(connection: ConnectionId) -> usize {
    usize::try_from(connection.0).unwrap()
}

impl Turn<'_> {
    fn tell(&mut self, input: Input) -> Result<(), String> {
        self.state.sides[self.side].machine.tell(self.now, input);
        self.carry_out()
    }

    fn carry_out(&mut self) -> Result<(), String> {
        let mut budget = 100;
        while let Some(action) = self.state.sides[self.side].machine.poll() {
            (self.log)(format!("{action:?}"));
            match action {
                Action::Ping { connection } => self.ping(line_of(connection)),
                Action::Close { connection, kept } => {
                    let (line, kept) = (line_of(connection), line_of(kept));
                    let Side { closes, paid, .. } = &mut self.state.sides[self.side];
                    closes.retain(|at| self.now.since(*at) < WINDOW);
                    if self.world.budget != u32::MAX && !self.world.is_foreign(self.side) {
                        if !paid[line] {
                            closes.push(self.now);
                        }
                        *paid = [true; LINES];
                    }
                    properties::on_close(self.world, self.state, self.side, line, kept)?;
                    self.state.given_up |= 1 << line;
                    self.hang_up(line);
                    self.state.sides[self.side].machine.tell(self.now, Input::Closed { connection });
                }
                Action::Drain { connection, onto }
                    if [connection, onto].iter().any(|c| self.state.wires[line_of(*c)].ends[self.side] != End::Up) =>
                {
                    return Err(format!("{action:?} names what is gone"));
                }
                _ => {}
            }
            budget -= 1;
            if budget == 0 {
                return Err("actions without end".into());
            }
        }
        let deadline = self.state.sides[self.side].machine.deadline();
        if deadline > self.now { Ok(()) } else { Err(format!("the deadline {deadline:?} is over")) }
    }

    fn send(&mut self, line: usize, message: Message) {
        let wire = &mut self.state.wires[line];
        let to = 1 - self.side;
        if !wire.dead && wire.ends[to] != End::Gone {
            wire.queues[to].push(message);
        }
    }

    /// Unless one is under way.
    fn ping(&mut self, line: usize) {
        if self.state.sides[self.side].sent[line].is_none() {
            self.state.sides[self.side].sent[line] = Some(self.now);
            self.send(line, Message::Ping);
        }
    }

    /// Ends this side, and says so to the other.
    fn hang_up(&mut self, line: usize) {
        self.send(line, Message::Fin);
        self.gone(line);
    }

    fn gone(&mut self, line: usize) {
        self.state.sides[self.side].sent[line] = None;
        let wire = &mut self.state.wires[line];
        (wire.ends[self.side], wire.queues[self.side], wire.streams[self.side]) = (End::Gone, Queue::default(), 0);
        if wire.ends == [End::Gone; 2] {
            let past = if self.world.again { 0 } else { wire.past };
            *wire = Wire { ends: [if self.world.again { End::Idle } else { End::Gone }; 2], past, ..Wire::default() };
        }
    }

    /// Somebody else ended it.
    fn over(&mut self, line: usize) -> Result<(), String> {
        let was_up = self.state.wires[line].ends[self.side] == End::Up;
        self.gone(line);
        if was_up { self.tell(Input::Closed { connection: c(line) }) } else { Ok(()) }
    }

    fn up(&mut self, line: usize) -> Result<(), String> {
        let (side, of) = (self.side, self.world.lines[line]);
        let first = self.state.wires.iter().all(|wire| wire.ends[side] != End::Up);
        self.state.wires[line].ends[side] = End::Up;
        self.state.was_up[side] |= 1 << line;
        if self.state.wires[line].is_whole() {
            self.state.was_whole |= 1 << line;
            let working = |wire: &Wire| !wire.dead && wire.ends.iter().all(|end| matches!(end, End::Shaking | End::Up));
            let past = (0..LINES).filter(|i| !working(&self.state.wires[*i])).fold(0, |mask, i| mask | 1 << i);
            self.state.wires[line].past = past;
            // What is dialed once again is another one.
            self.state.wires.iter_mut().for_each(|wire| wire.past &= !(1 << line));
        }
        let rule = self.world.rules[side];
        let we = of.initiator == side || (of.both_dialed && rule == Rule::ClassByDialer);
        let initiator = if we { Initiator::We } else { Initiator::They };
        let (connection, relayed, larger) = (c(line), of.relayed, we == (side == Q));
        self.state.sides[self.side].paid[line] = false;
        self.tell(Input::Opened { connection, relayed, initiator, larger, streams: 0 })?;
        if rule == Rule::CancelHandshakes && first {
            for other in 0..self.world.lines.len() {
                let ours = self.world.lines[other].initiator == side;
                if ours && self.state.wires[other].ends[side] == End::Shaking {
                    (self.log)(format!("cancels the handshake of c{other}"));
                    self.state.given_up |= 1 << other;
                    self.hang_up(other);
                }
            }
        }
        Ok(())
    }

    fn deliver(&mut self, line: usize) -> Result<(), String> {
        match self.state.wires[line].queues[self.side].pop() {
            Some(Message::Ping) if self.world.rules[self.side] != Rule::Foreign(Policy::Mute) => {
                self.send(line, Message::Pong);
                Ok(())
            }
            Some(Message::Pong) => match self.state.sides[self.side].sent[line].take() {
                Some(sent) => self.tell(Input::Pong { connection: c(line), sent }),
                None => Err(format!("a pong on c{line} that nobody waits for")),
            },
            Some(Message::Fin) => self.over(line),
            _ => Ok(()),
        }
    }
}

impl Model for World {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        let config = DuplicatesConfig {
            per_peer: self.per_peer,
            budget: self.budget,
            grace: GRACE,
            long_grace: Some(if self.long { LONG } else { GRACE }),
            window: WINDOW,
            ..DuplicatesConfig::default()
        };
        let side = |rule| {
            let mut machine = Machine::new(rule, config.clone());
            machine.rebase(Time::from_nanos(NOW), &mut |_, at| at);
            Side { machine, sent: [None; LINES], closes: Vec::new(), paid: [false; LINES] }
        };
        let begins = |i| self.at_once && i < self.lines.len();
        let end = |i| if begins(i) { End::Shaking } else { End::Idle };
        State {
            wires: core::array::from_fn(|i| Wire { ends: [end(i); 2], ..Wire::default() }),
            sides: self.rules.map(side),
            failures: self.failures,
            kills: self.kills,
            shuts: self.shuts,
            pings: self.pings,
            harm: false,
            given_up: 0,
            was_up: [0; 2],
            was_whole: 0,
        }
    }

    fn steps(&self, state: &State, into: &mut Vec<Step>) {
        for (i, wire) in state.wires.iter().enumerate().take(self.lines.len()) {
            if wire.ends == [End::Idle; 2] {
                if self.may_dial(state, i) {
                    into.push(Step::Dial(i));
                }
                continue;
            }
            if state.kills > 0 && !wire.dead && wire.ends != [End::Gone; 2] {
                into.push(Step::Kill(i));
            }
            for s in [P, Q] {
                let (end, first) = (wire.ends[s], wire.queues[s].first());
                if end != End::Gone && wire.dead {
                    into.push(Step::Lost(i, s));
                } else if end == End::Shaking {
                    if self.may_rise(state, i, s) {
                        into.push(Step::Up(i, s));
                    }
                    if state.failures > 0 {
                        into.push(Step::Fail(i, s));
                    }
                }
                if first.is_some() && (end == End::Up || (end == End::Shaking && first == Some(Message::Fin))) {
                    into.push(Step::Deliver(i, s, first.map(|first| first as u8)));
                }
                if end == End::Up {
                    if state.shuts > 0 {
                        into.push(Step::Shut(i, s));
                    }
                    if state.pings > 0 && state.sides[s].sent[i].is_none() {
                        into.push(Step::Ping(i, s));
                    }
                    if i < self.streams && wire.streams[s] < 2 {
                        into.push(Step::Stream(i, s));
                    }
                }
            }
        }
        into.extend([P, Q].into_iter().filter(|s| !state.sides[*s].machine.deadline().is_never()).map(Step::Timer));
    }

    fn apply(&self, state: &mut State, step: Step, log: &mut dyn FnMut(String)) -> Result<(), String> {
        let side = match step {
            Step::Dial(line) => {
                state.wires[line].ends = [End::Shaking; 2];
                return Ok(());
            }
            Step::Kill(line) => {
                (state.kills, state.harm) = (state.kills - 1, true);
                (state.wires[line].dead, state.wires[line].queues) = (true, [Queue::default(); 2]);
                return Ok(());
            }
            Step::Up(_, s) | Step::Fail(_, s) | Step::Deliver(_, s, _) | Step::Lost(_, s) => s,
            Step::Shut(_, s) | Step::Ping(_, s) | Step::Stream(_, s) | Step::Timer(s) => s,
        };
        let now = match step {
            Step::Timer(_) => state.sides[side].machine.deadline(),
            _ => Time::from_nanos(NOW + u64::from(!self.coarse)),
        };
        let mut turn = Turn { world: self, state, side, now, log };
        match step {
            Step::Up(line, _) => turn.up(line)?,
            Step::Fail(line, _) => {
                turn.state.failures -= 1;
                turn.hang_up(line);
            }
            Step::Deliver(line, ..) => turn.deliver(line)?,
            Step::Lost(line, _) => turn.over(line)?,
            Step::Shut(line, _) => {
                (turn.state.shuts, turn.state.harm) = (turn.state.shuts - 1, true);
                turn.tell(Input::Closing { connection: c(line) })?;
                turn.send(line, Message::Fin);
                turn.over(line)?;
            }
            Step::Ping(line, _) => {
                turn.state.pings -= 1;
                turn.ping(line);
            }
            Step::Stream(line, _) => {
                let streams = &mut turn.state.wires[line].streams[side];
                *streams += 1;
                let open = u32::from(*streams == 1);
                turn.tell(Input::Streams { connection: c(line), open })?;
            }
            Step::Timer(_) => {
                turn.state.sides[side].machine.on_timeout(now);
                turn.carry_out()?;
            }
            Step::Dial(_) | Step::Kill(_) => {}
        }
        self.rebase(&mut state.sides[side], now);
        Ok(())
    }

    fn check(&self, state: &State, steps: &[Step]) -> Result<(), String> {
        properties::always(self, state)?;
        if steps.iter().any(|step| step.is_due()) { Ok(()) } else { properties::at_rest(self, state) }
    }

    fn may_recur(&self, step: Step) -> bool {
        self.again && matches!(step, Step::Dial(_))
    }
}

impl World {
    /// Lines that are alike are dialed in their order: which of them is which makes no difference.
    fn may_dial(&self, state: &State, line: usize) -> bool {
        let this = self.lines[line];
        let in_order = self.alike(line).is_none_or(|before| state.wires[before].ends != [End::Idle; 2]);
        in_order && this.after.is_none_or(|after| state.wires[after].ends[this.initiator] == End::Gone)
    }

    /// If they are all dialed at once, they are established in their order at their initiator.
    fn may_rise(&self, state: &State, line: usize, side: usize) -> bool {
        let before = self.alike(line).filter(|_| self.at_once && self.lines[line].initiator == side);
        before.is_none_or(|before| state.wires[before].ends[side] != End::Shaking)
    }

    /// The one before, if it is like this one.
    fn alike(&self, line: usize) -> Option<usize> {
        line.checked_sub(1).filter(|before| !self.again && self.lines[*before] == self.lines[line])
    }
}
