//! Circuits in a driver with many threads: what runs them, and how the hub makes them.
//!
//! ```text
//!   Host: Carry  --> a line of its own, over a stream of another line --> Carrier --> Task: a task or a thread of the driver's
//!   Host: Splice --> two streams of two lines                         --> Pump: run by the tasks of both lines
//! ```

use crate::audience::Alive;
use crate::carrier::Carrier;
use crate::hub::{Hub, Inner, Job};
use crate::line::Line;
use crate::node::Works;
use crate::park::Parker;
use crate::pump::Pump;
use crate::stream::Stream;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::Instant;
use tidewire_connmgr::dial::DialFault;
use tidewire_core::Time;
use tidewire_host::{Carry, ConnectionId, Input, Splice, StreamId};
use tidewire_multistream::Protocol;
use tidewire_relay::CircuitId;
use tidewire_relay::server::CircuitEnd;
use tidewire_upgrade::pipeline::Plan;

#[cfg(test)]
mod tests;

/// What streams of circuits are called: they have no protocol of the application's.
const CIRCUIT: Protocol = Protocol::from_static("/libp2p/circuit/relay/0.2.0/hop");

/// One end of a circuit: a connection, and the stream that carries it. [`Works::task`] makes of it what a driver runs.
#[derive(Debug)]
pub struct Circuit {
    line: Arc<Line>,
    stream: Stream,
}

/// What a driver runs in a task or a thread of its own, until it is over. Dropped before, what it carries breaks.
#[derive(Debug)]
pub struct Task {
    carrier: Box<Carrier>,
    _alive: Alive,
}

/// What a hub knows of the circuits that it relays.
#[derive(Debug, Default)]
pub(crate) struct Circuits {
    /// The hub itself, once it is a node's.
    hub: Weak<Hub>,
    pumps: BTreeMap<CircuitId, Arc<Pump>>,
    /// Those that are to be woken at a time.
    timers: BTreeSet<(Time, CircuitId)>,
}

impl Works {
    /// What there is to run of a circuit.
    pub fn task(&self, circuit: Circuit) -> Task {
        let Circuit { line, stream } = circuit;
        let carrier = Box::new(Carrier::new(self.hub.clone(), line, stream, self.close_timeout));
        Task { carrier, _alive: self.alive.clone() }
    }

    /// The same, for a thread that does nothing else. Dropped without being called, what it carries breaks.
    pub fn blocking(&self, circuit: Circuit) -> impl FnOnce() + Send + use<> {
        let task = self.task(circuit);
        || task.block()
    }
}

impl Task {
    /// Everything that can be done now. `None`: it is over. Else call again when `waker` was woken, and at this time.
    pub fn poll(&mut self, waker: &Waker) -> Option<Time> {
        self.carrier.poll(waker)
    }

    /// When that is. `None`: no time is to be waited for.
    pub fn instant(&self, time: Time) -> Option<Instant> {
        (!time.is_never()).then(|| self.carrier.hub().clock().instant(time))
    }

    /// Runs it in this thread until it is over.
    fn block(mut self) {
        let parker = Parker::new();
        let waker = parker.clone().into();
        while let Some(time) = self.poll(&waker) {
            parker.wait(self.instant(time));
        }
    }
}

impl Circuits {
    /// When one of them is to be woken.
    pub(crate) fn deadline(&self) -> Time {
        self.timers.first().map_or(Time::NEVER, |(time, _)| *time)
    }

    /// Takes those whose time has come.
    fn due(&mut self, now: Time) -> Vec<Arc<Pump>> {
        let mut due = Vec::new();
        while let Some((_, circuit)) = self.timers.first().filter(|(time, _)| *time <= now).copied() {
            self.timers.pop_first();
            due.extend(self.pumps.get(&circuit).cloned());
        }
        due
    }
}

impl Hub {
    /// A stream is to be a transport.
    pub(crate) fn carry(&self, inner: &mut Inner, carry: Carry) {
        let Carry { over, dial, local, remote } = carry;
        let Some(stream) = circuit(inner, over) else {
            // Who dials is not to wait for what can't come; an incoming one nobody waits for.
            if let Some((dial, _)) = dial {
                let fault = DialFault::Transport("the connection to the relay is over".into());
                // It may have been aborted meanwhile.
                let _ = self.handle(inner, Input::DialFailed { dial, fault });
            }
            return;
        };
        let plan = if dial.is_some() { Plan::Initiate } else { Plan::Respond };
        let to = remote.clone();
        let line = self.begin(inner, plan, dial, to, |connection| match dial {
            Some((dial, _)) => Input::Dialed { dial, connection, local, remote },
            None => Input::Incoming { connection, local, remote, over: Some(over), asn: None },
        });
        if let Some(line) = line {
            (self.jobs)(Job::Circuit(Circuit { line, stream }));
        }
    }

    /// Two streams are to be one circuit.
    pub(crate) fn splice(&self, inner: &mut Inner, splice: Splice) {
        let Splice { circuit, source, destination, limit } = splice;
        let ends = [source, destination].map(|(connection, stream)| Some((inner.line(connection)?, stream)));
        let [Some(source), Some(destination)] = ends else {
            let end = Some(CircuitEnd::Other { why: "one of its connections is over".into() });
            ends.into_iter().flatten().for_each(|(line, stream)| line.leave(stream, Some(0)));
            // The host knows it: it wanted it.
            let _ = self.handle(inner, Input::Spliced { circuit, end, forward: 0, backward: 0 });
            return;
        };
        let hub = inner.circuits.hub.clone();
        let pump = Pump::new(hub, circuit, &limit, self.clock().now(), [source, destination]);
        inner.circuits.pumps.insert(circuit, pump.clone());
        inner.calls.answers.push(Box::new(move || pump.wake()));
    }

    /// A circuit is to end.
    pub(crate) fn unsplice(inner: &mut Inner, circuit: CircuitId, why: CircuitEnd) {
        if let Some(pump) = inner.circuits.pumps.get(&circuit).cloned() {
            inner.calls.answers.push(Box::new(move || pump.close(why)));
        }
    }

    /// How far a circuit is.
    pub(crate) fn spliced(&self, circuit: CircuitId, end: Option<CircuitEnd>, forward: u64, backward: u64) {
        self.act(|hub, inner| {
            if end.is_some() {
                inner.circuits.pumps.remove(&circuit);
            }
            // A circuit that the host has forgotten is of no matter to it.
            let _ = hub.handle(inner, Input::Spliced { circuit, end, forward, backward });
        });
    }

    /// A circuit's pump is to be woken at this time, if it is one, and not at that which it asked for before.
    pub(crate) fn alarm(&self, circuit: CircuitId, before: Time, at: Time) {
        self.act(|_, inner| {
            inner.circuits.timers.remove(&(before, circuit));
            if !at.is_never() {
                inner.circuits.timers.insert((at, circuit));
            }
        });
    }

    /// Wakes the pumps whose time has come, once the lock is released.
    pub(crate) fn ring(inner: &mut Inner, now: Time) {
        for pump in inner.circuits.due(now) {
            inner.calls.answers.push(Box::new(move || pump.rang()));
        }
    }

    /// Now it is a node's.
    pub(crate) fn own(self: &Arc<Self>) {
        self.act(|_, inner| inner.circuits.hub = Arc::downgrade(self));
    }
}

/// A stream that is a circuit. `None`: its connection is over.
fn circuit(inner: &Inner, (connection, stream): (ConnectionId, StreamId)) -> Option<Stream> {
    Some(Stream::new(inner.line(connection)?, stream, CIRCUIT))
}
