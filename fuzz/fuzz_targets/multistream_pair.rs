//! Two of our ends and any schedule of calls, pieces, waits and half-closes between them: they agree as the lists say, on
//! complementary roles, and lose no byte.
#![no_main]

use arbitrary::Arbitrary;
use bytes::{Buf, BytesMut};
use libfuzzer_sys::fuzz_target;
use tidewire_core::{Machine, Role, Seed, Time};
use tidewire_multistream::{
    Config, Dialer, Error, ListenFirst, Listener, Protocol, Protocols, RoleEvent, SimultaneousOpen,
};

#[derive(Arbitrary, Debug)]
struct Plan {
    pair: Pair,
    proposals: Vec<u8>,
    served: Vec<u8>,
    data: [u8; 2],
    ops: Vec<Op>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Pair {
    Plain,
    Lazy,
    SimultaneousOpen,
    ListenFirst { until: [u8; 2] },
    ListenFirstMeetsListener { until: u8 },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Op {
    Call(bool),
    Deliver(bool, u8),
    Wait(u8),
    Finish(bool),
}

const POOL: [Protocol; 6] = [
    Protocol::from_static("/a"),
    Protocol::from_static("/b"),
    Protocol::from_static("/noise"),
    Protocol::from_static("/yamux/1.0.0"),
    Protocol::from_static("/a/name/of/more/than/twenty-three/bytes"),
    Protocol::from_static("plain words"),
];

enum Machines {
    Dialer(Dialer),
    Listener(Listener),
    Lot(SimultaneousOpen),
    First(ListenFirst),
}

struct End {
    machine: Machines,
    rx: BytesMut,
    tx: BytesMut,
    agreed: Option<(Role, Protocol)>,
    error: Option<Error>,
    data: Vec<u8>,
    wrote: bool,
    finish: bool,
    heard_end: bool,
}

impl End {
    fn call(&mut self, now: Time) {
        let (rx, tx, end) = (&mut self.rx, &mut self.tx, self.heard_end);
        while self.error.is_none() {
            let event = match &mut self.machine {
                Machines::Dialer(machine) => machine
                    .advance_or_end(now, rx, tx, end)
                    .map(|agreed| agreed.map(|agreed| Some((Role::Initiator, agreed.protocol)))),
                Machines::Listener(machine) => machine
                    .advance_or_end(now, rx, tx, end)
                    .map(|accepted| accepted.map(|accepted| Some((Role::Responder, accepted.protocol)))),
                Machines::Lot(machine) => machine.advance_or_end(now, rx, tx, end).map(|event| event.map(last)),
                Machines::First(machine) => machine.advance_or_end(now, rx, tx, end).map(|event| event.map(last)),
            };
            match event {
                Ok(Some(Some(agreed))) => assert_eq!(self.agreed.replace(agreed), None),
                Ok(Some(None)) => {}
                Ok(None) => break,
                Err(error) => self.error = Some(error),
            }
        }
        let lazily = matches!(&self.machine, Machines::Dialer(dialer) if dialer.may_write());
        if !self.wrote && self.error.is_none() && (self.agreed.is_some() || lazily) {
            self.tx.extend_from_slice(&self.data);
            self.wrote = true;
        }
    }

    fn due(&self) -> Time {
        match &self.machine {
            Machines::Dialer(machine) => machine.deadline(),
            Machines::Listener(machine) => machine.deadline(),
            Machines::Lot(machine) => machine.deadline(),
            Machines::First(machine) => machine.deadline(),
        }
    }

    /// Moves bytes, or the end, to the other side.
    fn deliver(&mut self, to: &mut End, len: usize) -> bool {
        if self.tx.is_empty() {
            // An end that failed, or that has said all, closes.
            let closes = self.error.is_some() || (self.finish && self.wrote);
            return closes && !core::mem::replace(&mut to.heard_end, true);
        }
        let len = len.min(self.tx.len());
        to.rx.extend_from_slice(&self.tx[..len]);
        self.tx.advance(len);
        len > 0
    }
}

fn last(event: RoleEvent) -> Option<(Role, Protocol)> {
    match event {
        RoleEvent::Agreed { role, protocol, .. } => Some((role, protocol)),
        _ => None,
    }
}

fn pick(places: &[u8]) -> Protocols {
    let mut names: Vec<Protocol> = Vec::new();
    for place in places {
        let name = &POOL[usize::from(*place) % POOL.len()];
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names.into()
}

fuzz_target!(|plan: Plan| {
    // Nobody waits longer than the schedule: this is about order, and timeouts have tests of their own.
    let config = Config { timeout: core::time::Duration::MAX, ..Config::default() };
    let (proposals, served) = (pick(&plan.proposals), pick(&plan.served));
    if proposals.is_empty() || served.is_empty() {
        return;
    }
    let seeds = [1, 2].map(|byte| Seed::new([byte; 32]));
    let first = |list: &Protocols, until: u8, i: usize| {
        let until = Time::from_millis(until.into());
        Machines::First(ListenFirst::with_tie_break(list.clone(), until, &seeds[i], config))
    };
    let listener = || Machines::Listener(Listener::new(served.clone(), config));
    let (a, b) = match plan.pair {
        Pair::Plain => (Machines::Dialer(Dialer::new(proposals.clone(), config)), listener()),
        Pair::Lazy => (Machines::Dialer(Dialer::lazy(proposals[0].clone(), config)), listener()),
        Pair::SimultaneousOpen => {
            let lot =
                |list: &Protocols, i: usize| Machines::Lot(SimultaneousOpen::new(list.clone(), &seeds[i], config));
            (lot(&proposals, 0), lot(&served, 1))
        }
        Pair::ListenFirst { until } => (first(&proposals, until[0], 0), first(&served, until[1], 1)),
        Pair::ListenFirstMeetsListener { until } => (first(&proposals, until, 0), listener()),
    };
    let common = match plan.pair {
        Pair::Lazy => served.contains(&proposals[0]),
        _ => proposals.iter().any(|name| served.contains(name)),
    };
    // Data behind a refused lazy proposal has no meaning to anyone.
    let data = |i: usize| if common { vec![b'a' + i as u8; usize::from(plan.data[i])] } else { Vec::new() };
    let end = |machine, i| End {
        machine,
        rx: BytesMut::new(),
        tx: BytesMut::new(),
        agreed: None,
        error: None,
        data: data(i),
        wrote: false,
        finish: false,
        heard_end: false,
    };
    let (mut a, mut b) = (end(a, 0), end(b, 1));
    let mut now = Time::ZERO;
    for op in &plan.ops {
        match *op {
            Op::Call(true) => a.call(now),
            Op::Call(false) => b.call(now),
            Op::Deliver(true, len) => drop(a.deliver(&mut b, len.into())),
            Op::Deliver(false, len) => drop(b.deliver(&mut a, len.into())),
            Op::Wait(ms) => now = now + core::time::Duration::from_millis(ms.into()),
            Op::Finish(true) => a.finish = true,
            Op::Finish(false) => b.finish = true,
        }
    }
    // Then the schedule is fair, and jumps to the next deadline when nothing moves.
    loop {
        a.call(now);
        b.call(now);
        let moved = a.deliver(&mut b, usize::MAX) | b.deliver(&mut a, usize::MAX);
        if moved {
            continue;
        }
        let due = a.due().min(b.due());
        if due.is_never() || due <= now {
            break;
        }
        now = due;
    }
    if !common {
        assert!(a.agreed.is_none() && b.agreed.is_none());
        assert!(a.error.is_some(), "the proposing end knows that it was refused");
        return;
    }
    assert_eq!((&a.error, &b.error), (&None, &None));
    let (Some((role_a, name_a)), Some((role_b, name_b))) = (&a.agreed, &b.agreed) else {
        panic!("no agreement: {:?} {:?}", a.agreed, b.agreed)
    };
    assert_eq!((role_a, name_a), (&role_b.opposite(), name_b));
    let (speaks, hears) = if role_a.is_initiator() { (&proposals, &served) } else { (&served, &proposals) };
    assert_eq!(speaks.iter().find(|name| hears.contains(name)), Some(name_a));
    assert_eq!((&a.rx[..], &b.rx[..]), (&b.data[..], &a.data[..]));
});
