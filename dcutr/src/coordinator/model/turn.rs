//! What a step does: at one side, and to the network.

use super::keeper::{Came, Keeper, Wish};
use super::properties;
use super::variants::Rule;
use super::world::{
    End, Message, P, Pending, Q, Said, State, Step, Stream, Tuple, WIRES, Wire, World, c, ip, outside, peer,
};
use crate::coordinator::{Action, Coordinator, Input, Stage, Waits};
use crate::exchange::Fault;
use crate::{AskId, DialFault, DialId, Local, Plan, StreamKey};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use tidewire_core::{EventMachine, Multiaddr, Role, Time};

/// What a SYN meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meets {
    Refusal,
    /// The other's dial: a simultaneous open.
    Dial(usize),
    Listener,
}

impl State {
    /// What becomes of the SYN of this dial, if anything does.
    pub(super) fn syn(&self, world: &World, side: usize, at: usize) -> Option<Meets> {
        let (other, dial) = (&self.sides[1 - side], &self.sides[side].dials[at]);
        let open = world.public[1 - side] || (other.open && dial.tuple == Tuple::Punch);
        if !open {
            return world.resets[1 - side].then_some(Meets::Refusal);
        }
        if dial.tuple == Tuple::Plain {
            return Some(Meets::Listener);
        }
        let there = |wire: &Wire| wire.tuple == Tuple::Punch && wire.ends[1 - side] != End::Gone;
        if self.wires.iter().flatten().any(there) {
            return None;
        }
        match other.dials.iter().position(|theirs| theirs.tuple == Tuple::Punch) {
            Some(theirs) => world.crossing.then_some(Meets::Dial(theirs)),
            None => Some(Meets::Listener),
        }
    }
}

/// One side, while something happens there.
pub(super) struct Turn<'a> {
    pub(super) world: &'a World,
    pub(super) state: &'a mut State,
    pub(super) side: usize,
    pub(super) log: &'a mut dyn FnMut(String),
}

impl Turn<'_> {
    pub(super) fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Identify(_) => {
                self.state.sides[self.side].unknown = false;
                let listens =
                    if self.world.named[1 - self.side] { Vec::from([outside(1 - self.side)]) } else { Vec::new() };
                let peer = peer(1 - self.side);
                self.tell(Input::Identified { peer, speaks_dcutr: true, listens: &listens })
            }
            Step::Hear(at, _) => self.hear(at),
            Step::Syn(at, _) => self.syn(at),
            Step::Rise(at, _) => self.rise(at),
            Step::Up(at, _) => self.up(at),
            Step::Fail(at, _) => {
                self.state.failures -= 1;
                self.send(at, Message::Fin);
                self.over(at)
            }
            Step::Deliver(at, _) => self.deliver(at),
            Step::Timer(_) => {
                let machine = self.state.sides[self.side].machine.touch();
                let now = machine.deadline();
                machine.on_timeout(now);
                if machine.deadline() <= now {
                    return Err(format!("the deadline {now:?} is over, and stays"));
                }
                self.carry_out()
            }
            Step::Grace(_) => {
                self.keeper().grace_over();
                self.carry_out()
            }
            Step::Over(at, _) => self.over(at),
            Step::Lose(at) => {
                if self.wire(at).tuple == Tuple::Circuit {
                    (self.state.losses, self.state.relay_lost) = (self.state.losses - 1, true);
                } else {
                    (self.state.breaks, self.state.broken) = (self.state.breaks - 1, true);
                }
                let wire = self.wire(at);
                wire.lost = true;
                wire.queues = [Vec::from([Message::Fin]), Vec::from([Message::Fin])];
                self.state
                    .streams
                    .iter_mut()
                    .filter(|stream| stream.wire == at)
                    .for_each(|stream| stream.said = Default::default());
                Ok(())
            }
            Step::Cut(at) => {
                self.state.cuts -= 1;
                let stream = &mut self.state.streams[at];
                for (said, open) in stream.said.iter_mut().zip(stream.open) {
                    *said = if open { Vec::from([Said::Reset]) } else { Vec::new() };
                }
                self.sweep();
                Ok(())
            }
            Step::Unsolicited(side) => {
                self.state.unsolicited[side] -= 1;
                self.join(Tuple::Plain, End::Waiting { dial: None }, Plan::Initiate)
            }
        }
    }

    fn wire(&mut self, at: usize) -> &mut Wire {
        self.state.wires[at].as_mut().expect("the step was possible")
    }

    /// News that crossed are refused, and nothing else is.
    fn tell(&mut self, input: Input<'_>) -> Result<(), String> {
        let told = self.state.sides[self.side].machine.touch().handle(Time::ZERO, input);
        if let Err(misuse) = told {
            (self.log)(format!("refused: {misuse}"));
        }
        self.carry_out()
    }

    fn keeper(&mut self) -> &mut Keeper {
        &mut self.state.sides[self.side].keeper
    }

    /// What the keeper wants comes first, as in a host.
    pub(super) fn carry_out(&mut self) -> Result<(), String> {
        for _ in 0..200 {
            if let Some(wish) = self.keeper().poll()? {
                if !matches!(wish, Wish::Open(_)) {
                    (self.log)(format!("{wish:?}"));
                }
                self.carry(wish)?;
            } else if let Some(action) = self.state.sides[self.side].machine.touched().and_then(Coordinator::poll) {
                if !matches!(action, Action::Event(_)) {
                    (self.log)(format!("{action:?}"));
                }
                self.act(action)?;
            } else {
                return Ok(());
            }
        }
        Err("actions without end".into())
    }

    fn act(&mut self, action: Action) -> Result<(), String> {
        let side = self.side;
        match action {
            Action::Open { ask, connection, .. } => {
                self.state.opened[side] += 1;
                let wire = usize::try_from(connection.0).unwrap();
                let there = self.state.wires[wire].as_ref().filter(|wire| wire.ends[side].is_up());
                // It was closed meanwhile; the coordinator hears of it, or did.
                let Some(there) = there else { return Ok(()) };
                let dead = there.is_dead();
                let other_is_up = there.ends[1 - side].is_up();
                let mut said: [Vec<Said>; 2] = Default::default();
                if other_is_up && !dead {
                    said[1 - side].push(Said::Connect);
                }
                let mut open = [true; 2];
                open[1 - side] = other_is_up;
                self.state.streams.push(Stream { wire, opener: side, ask, open, said });
                Ok(())
            }
            Action::Sync { ask } => self.say(side, ask, Said::Sync, true),
            Action::ResetAsk { ask } => self.say(side, ask, Said::Reset, true),
            Action::Answer { stream, .. } => self.say(1 - side, AskId(stream.stream), Said::Connect, false),
            Action::ResetStream { stream, .. } => self.say(1 - side, AskId(stream.stream), Said::Reset, true),
            Action::Dial { dial, local, plan, .. } => self.dial(dial, &local, plan),
            Action::Abort { dial } => self.abort(dial),
            Action::Window { .. } | Action::CloseWindow { .. } | Action::Datagram { .. } | Action::Event(_) => Ok(()),
        }
    }

    /// On the stream that `opener` opened under this number.
    fn say(&mut self, opener: usize, ask: AskId, said: Said, close: bool) -> Result<(), String> {
        let side = self.side;
        let ours = |stream: &&mut Stream| stream.opener == opener && stream.ask == ask && stream.open[side];
        if let Some(stream) = self.state.streams.iter_mut().find(ours) {
            if close {
                (stream.open[side], stream.said[side]) = (false, Vec::new());
            }
            let wire = self.state.wires[stream.wire].as_ref();
            let dead = wire.is_none_or(Wire::is_dead);
            if stream.open[1 - side] && !dead {
                stream.said[1 - side].push(said);
            }
            self.sweep();
            return Ok(());
        }
        let gone =
            said == Said::Reset || self.state.streams.iter().all(|stream| (stream.opener, stream.ask) != (opener, ask));
        if gone { Ok(()) } else { Err(format!("{said:?} on a stream that was closed here")) }
    }

    fn sweep(&mut self) {
        self.state.streams.retain(|stream| stream.open.contains(&true));
    }

    fn dial(&mut self, dial: DialId, local: &Local, plan: Plan) -> Result<(), String> {
        let side = self.side;
        let view = self.state.sides[side].machine.explain(Time::ZERO, &peer(1 - side));
        let plan = match view.map(|view| view.waits) {
            Some(Waits::Attempt(as_side, Stage::Punching { number, .. })) => {
                self.world.rules[side].dial(as_side, number, plan)
            }
            _ => plan,
        };
        let tuple = if *local == Local::Any { Tuple::Plain } else { Tuple::Punch };
        if tuple == Tuple::Punch {
            let ours = self.state.sides[side].dials.iter().any(|dial| dial.tuple == Tuple::Punch);
            if ours {
                return Err("an own earlier dial is in the way".into());
            }
            let taken = |wire: &Wire| wire.tuple == Tuple::Punch && wire.ends[side] != End::Gone;
            if self.state.wires.iter().flatten().any(taken) {
                return self.tell(Input::DialFailed { dial, why: DialFault::AddressNotAvailable });
            }
            self.state.sides[side].open = true;
        }
        self.state.sides[side].dials.push(Pending { dial, tuple, plan });
        Ok(())
    }

    fn abort(&mut self, dial: DialId) -> Result<(), String> {
        let (side, rule) = (self.side, self.world.rules[self.side]);
        if rule != Rule::DialsLeft {
            self.state.sides[side].dials.retain(|pending| pending.dial != dial);
        }
        let is_it = |wire: &Wire| match wire.ends[side] {
            End::Waiting { dial: this } | End::Upgrading { dial: this, .. } => this == Some(dial),
            End::Up | End::Closing | End::Gone => false,
        };
        let at = self.state.wires.iter().position(|wire| wire.as_ref().is_some_and(is_it));
        if let Some(at) = at {
            self.send(at, Message::Fin);
            self.gone(at);
        }
        Ok(())
    }

    fn syn(&mut self, at: usize) -> Result<(), String> {
        let (side, other) = (self.side, 1 - self.side);
        let meets = self.state.syn(self.world, side, at).expect("the step was possible");
        let Pending { dial, tuple, plan } = self.state.sides[side].dials.remove(at);
        let waiting = End::Waiting { dial: Some(dial) };
        match meets {
            Meets::Refusal => self.tell(Input::DialFailed { dial, why: DialFault::Refused }),
            Meets::Listener => self.join(tuple, waiting, plan),
            Meets::Dial(theirs) => {
                let theirs = self.state.sides[other].dials.remove(theirs);
                let mut plans = [plan; 2];
                plans[other] = theirs.plan;
                let mut ends = [waiting; 2];
                ends[other] = End::Waiting { dial: Some(theirs.dial) };
                self.connect(tuple, ends, plans).map(|_| ())
            }
        }
    }

    /// The other side accepts.
    fn join(&mut self, tuple: Tuple, end: End, plan: Plan) -> Result<(), String> {
        let (side, other) = (self.side, 1 - self.side);
        let machine = &self.state.sides[other].machine;
        let waits = machine.explain(Time::ZERO, &peer(side)).map(|view| view.waits);
        let in_stream = matches!(
            waits,
            Some(Waits::Attempt(_, Stage::WaitConnect { .. } | Stage::AwaitSync { .. } | Stage::Armed { .. }))
        );
        let accepted = self.world.rules[other].accepted(machine.accepts(ip(side)), in_stream);
        let mut plans = [plan; 2];
        plans[other] = accepted;
        let mut ends = [end; 2];
        ends[other] = End::Upgrading { dial: None, inbound: true };
        let Some(at) = self.connect(tuple, ends, plans)? else { return Ok(()) };
        self.at_other(|turn| {
            turn.keeper().incoming(at, side, false)?;
            turn.tell(Input::Arriving { ip: ip(side) })
        })
    }

    fn at_other(&mut self, does: impl FnOnce(&mut Turn<'_>) -> Result<(), String>) -> Result<(), String> {
        let (world, side) = (self.world, 1 - self.side);
        does(&mut Turn { world, state: self.state, side, log: self.log })
    }

    /// Which one it is; `None`: it came to nothing.
    fn connect(&mut self, tuple: Tuple, ends: [End; 2], plans: [Plan; 2]) -> Result<Option<usize>, String> {
        let initiator = match properties::initiator(plans) {
            Ok(initiator) => initiator,
            // Two peers that don't fit fail, and the next try may fit. Which pairs have to fit, the world says.
            Err(why) if self.world.mismatch.is_some_and(|known| why.contains(known)) => {
                return self.mismatch(ends).map(|()| None);
            }
            Err(why) => return Err(why),
        };
        let at =
            (0..WIRES).find(|at| self.state.wires[*at].is_none()).expect("more connections than a world has room for");
        self.state.wires[at] = Some(Wire { tuple, ends, initiator, lost: false, queues: Default::default() });
        if self.world.at_once {
            for side in [P, Q].into_iter().filter(|side| matches!(ends[*side], End::Waiting { .. })) {
                let (world, state) = (self.world, &mut *self.state);
                Turn { world, state, side, log: self.log }.rise(at)?;
            }
        }
        Ok(Some(at))
    }

    /// Neither speaks, or both do: it ends, and each dialer hears of it.
    fn mismatch(&mut self, ends: [End; 2]) -> Result<(), String> {
        for side in [P, Q] {
            if let End::Waiting { dial: Some(dial) } = ends[side] {
                let (world, state) = (self.world, &mut *self.state);
                let why = DialFault::upgrade("nobody leads");
                Turn { world, state, side, log: self.log }.tell(Input::DialFailed { dial, why })?;
            }
        }
        Ok(())
    }

    fn rise(&mut self, at: usize) -> Result<(), String> {
        let side = self.side;
        let wire = self.wire(at);
        let End::Waiting { dial } = wire.ends[side] else { return Err("it rose before".into()) };
        wire.ends[side] = End::Upgrading { dial, inbound: false };
        dial.map_or(Ok(()), |dial| self.tell(Input::Upgrading { dial }))
    }

    fn up(&mut self, at: usize) -> Result<(), String> {
        let side = self.side;
        let Wire { ends, mut initiator, .. } = *self.wire(at);
        if self.world.rules[side] == Rule::ClassByDialer && matches!(ends[side], End::Upgrading { dial: Some(_), .. }) {
            initiator = side;
        }
        let came = match ends[side] {
            End::Upgrading { dial: None, inbound: true } => Came::Accepted,
            End::Upgrading { .. } => Came::Dialed,
            _ => return Err("it was up before".into()),
        };
        self.keeper().established(at, (side, initiator), false, came)?;
        self.carry_out()
    }

    /// The keeper lets it be: now the coordinator hears of it.
    fn opened(&mut self, at: usize) -> Result<(), String> {
        let (side, rule) = (self.side, self.world.rules[self.side]);
        let wire = self.wire(at);
        let end = core::mem::replace(&mut wire.ends[side], End::Up);
        let (relayed, is_plain, initiator) = (wire.tuple == Tuple::Circuit, wire.tuple == Tuple::Plain, wire.initiator);
        let (connection, peer) = (c(at), peer(1 - side));
        let remote = &if relayed { Multiaddr::empty() } else { outside(1 - side) };
        match end {
            End::Upgrading { dial: Some(dial), .. } => {
                let role = if initiator == side { Role::Initiator } else { Role::Responder };
                let local = &outside(side);
                self.state.plain[side] += u8::from(is_plain);
                self.tell(Input::Dialed { dial, connection, local, remote, role })?;
            }
            End::Upgrading { dial: None, inbound } => {
                self.tell(Input::Connected { connection, peer, relayed, inbound, remote })?;
            }
            _ => return Err("it was up before".into()),
        }
        if rule == Rule::DoneAtOnce && !relayed {
            self.tell(Input::Proven { connection })?;
            self.tell(Input::Cancel { peer })?;
        }
        if rule == Rule::RelayDropped && !relayed {
            let circuit = |wire: &Option<Wire>| {
                wire.as_ref().is_some_and(|wire| wire.tuple == Tuple::Circuit && wire.ends[side].is_up())
            };
            if let Some(circuit) = self.state.wires.iter().position(circuit) {
                self.keeper().close(circuit)?;
                return self.close(circuit, None);
            }
        }
        Ok(())
    }

    fn carry(&mut self, wish: Wish) -> Result<(), String> {
        match wish {
            Wish::Open(at) => self.opened(at)?,
            Wish::Ping(at) if self.world.rules[self.side] == Rule::Unproven => {
                self.keeper().pong(at)?;
                return self.carry_out();
            }
            Wish::Ping(at) => self.send(at, Message::Ping),
            Wish::Drain { onto } => {
                if self.wire(onto).tuple != Tuple::Circuit {
                    return self.tell(Input::Proven { connection: c(onto) });
                }
            }
            Wish::Close { wire, kept } => return self.close(wire, Some(kept)),
        }
        Ok(())
    }

    /// The keeper closes it. If that is a manager, it hears of the end later.
    fn close(&mut self, at: usize, kept: Option<usize>) -> Result<(), String> {
        properties::on_close(self.state, self.side, at, kept)?;
        self.send(at, Message::Fin);
        if !self.keeper().is_manager() {
            return self.over(at);
        }
        let side = self.side;
        self.wire(at).ends[side] = End::Closing;
        self.silence(at);
        Ok(())
    }

    fn send(&mut self, at: usize, message: Message) {
        let other = 1 - self.side;
        let wire = self.wire(at);
        if !matches!(wire.ends[other], End::Closing | End::Gone) {
            wire.queues[other].push(message);
        }
    }

    /// This end hears nothing any more.
    fn silence(&mut self, at: usize) {
        let side = self.side;
        self.wire(at).queues[side] = Vec::new();
        for stream in self.state.streams.iter_mut().filter(|stream| stream.wire == at) {
            (stream.open[side], stream.said[side]) = (false, Vec::new());
        }
        self.sweep();
    }

    /// This end is no more; whoever looked after it knows.
    fn gone(&mut self, at: usize) {
        let side = self.side;
        self.silence(at);
        let wire = self.wire(at);
        wire.ends[side] = End::Gone;
        if wire.ends == [End::Gone; 2] {
            self.state.wires[at] = None;
        }
        self.state.sides[side].told.retain(|(wire, _)| *wire != at);
    }

    /// This end is over, and those who look after it are told.
    fn over(&mut self, at: usize) -> Result<(), String> {
        let side = self.side;
        let end = self.wire(at).ends[side];
        self.gone(at);
        match end {
            End::Waiting { dial: Some(dial) } | End::Upgrading { dial: Some(dial), .. } => {
                self.tell(Input::DialFailed { dial, why: DialFault::upgrade("it ended") })
            }
            End::Upgrading { dial: None, inbound: true } => {
                self.tell(Input::ArrivalFailed { ip: ip(1 - side) })?;
                self.keeper().closed(at, false)?;
                self.carry_out()
            }
            End::Up | End::Closing => {
                self.state.sides[side]
                    .machine
                    .touch()
                    .handle(Time::ZERO, Input::Disconnected { connection: c(at) })
                    .unwrap();
                self.keeper().closed(at, true)?;
                self.carry_out()
            }
            _ => Ok(()),
        }
    }

    /// The manager knows of the streams on what is up. It hears of one of the other's when that has said something.
    pub(super) fn tell_of_streams(&mut self) -> Result<(), String> {
        let side = self.side;
        if !self.keeper().is_manager() {
            return Ok(());
        }
        let is_there = |stream: &&Stream| {
            let up = self.state.wires[stream.wire].as_ref().is_some_and(|wire| wire.ends[side].is_up());
            up && stream.open[side] && (stream.opener == side || !stream.said[side].contains(&Said::Connect))
        };
        let there = self.state.streams.iter().filter(is_there);
        let mut there: Vec<(usize, u64)> =
            there.map(|stream| (stream.wire, 2 * stream.ask.0 + u64::from(stream.opener == side))).collect();
        there.sort_unstable();
        let before = core::mem::replace(&mut self.state.sides[side].told, there.clone());
        for (known, others, open) in [(&before, &there, false), (&there, &before, true)] {
            for (wire, number) in known.iter().filter(|stream| !others.contains(stream)) {
                self.keeper().stream(*wire, *number, number % 2 == 1, open)?;
            }
        }
        self.carry_out()
    }

    fn deliver(&mut self, at: usize) -> Result<(), String> {
        let side = self.side;
        match self.wire(at).queues[side].remove(0) {
            Message::Ping if self.world.pongs => {
                self.send(at, Message::Pong);
                Ok(())
            }
            Message::Ping => self.at_other(|turn| turn.pong(at)),
            Message::Pong => self.pong(at),
            Message::Fin => self.over(at),
        }
    }

    fn pong(&mut self, at: usize) -> Result<(), String> {
        let side = self.side;
        if !self.wire(at).ends[side].is_up() {
            return Ok(());
        }
        self.keeper().pong(at)?;
        self.carry_out()
    }

    fn hear(&mut self, at: usize) -> Result<(), String> {
        let (side, other) = (self.side, 1 - self.side);
        let stream = &mut self.state.streams[at];
        let said = stream.said[side].remove(0);
        let (ask, we_opened, key) =
            (stream.ask, stream.opener == side, StreamKey { connection: c(stream.wire), stream: stream.ask.0 });
        let (addresses, rtt): (&[Multiaddr], _) = (&[outside(other)], self.world.rtt());
        if said != Said::Connect {
            // SYNC is the end of it, as a reset is.
            (stream.open[side], stream.said[side]) = (false, Vec::new());
            if said == Said::Sync {
                (stream.open[other], stream.said[other]) = (false, Vec::new());
            }
        }
        self.sweep();
        match (said, we_opened) {
            (Said::Connect, true) => self.tell(Input::Connects { ask, addresses, skipped: 0, rtt }),
            (Said::Connect, false) => self.tell(Input::Asked { stream: key, addresses, skipped: 0 }),
            (Said::Sync, _) => self.tell(Input::Synced { stream: key, rtt }),
            (Said::Reset, true) => self.tell(Input::AskFailed { ask, why: Fault::Reset }),
            (Said::Reset, false) => self.tell(Input::StreamGone { stream: key, why: Fault::Reset }),
        }
    }
}
