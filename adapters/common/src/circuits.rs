//! Circuits in a driver with many threads: what runs them, and how the hub makes them.
//!
//! ```text
//!   Host: Carry  --> a line of its own, over a stream of another line --> Carrier --.
//!   Host: Splice --> two streams of two lines                         --> Pump -----+--> Task: a task or a thread of the driver's
//! ```

use crate::audience::Alive;
use crate::buffer::lock;
use crate::carrier::Carrier;
use crate::hub::{Hub, Inner, Job};
use crate::line::Line;
use crate::node::Works;
use crate::park::Parker;
use crate::pump::Pump;
use crate::stream::Stream;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Instant;
use tidewire_connmgr::dial::DialFault;
use tidewire_core::Time;
use tidewire_host::{Carry, ConnectionId, Input, Splice, StreamId};
use tidewire_multistream::Protocol;
use tidewire_relay::server::CircuitEnd;
use tidewire_relay::{CircuitId, Limit};
use tidewire_upgrade::pipeline::Plan;

#[cfg(test)]
mod tests;

/// What streams of circuits are called: they have no protocol of the application's.
const CIRCUIT: Protocol = Protocol::from_static("/libp2p/circuit/relay/0.2.0/hop");

/// A circuit that is there: [`Works::task`] makes of it what a driver runs.
#[derive(Debug)]
pub struct Circuit(Kind);

#[derive(Debug)]
enum Kind {
    Carry { line: Arc<Line>, stream: Stream },
    Splice { circuit: CircuitId, limit: Limit, source: Stream, destination: Stream, gate: Arc<Gate> },
}

/// What a driver runs in a task or a thread of its own, until it is over. Dropped before, what it carries breaks.
#[derive(Debug)]
pub struct Task {
    work: Work,
    _alive: Alive,
}

#[derive(Debug)]
enum Work {
    Carrier(Box<Carrier>),
    Pump(Box<Pump>),
}

/// Through which the host ends a circuit that a pump runs.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<(Option<CircuitEnd>, Option<Waker>)>);

impl Gate {
    fn close(&self, why: CircuitEnd) {
        let mut inner = lock(&self.0);
        inner.0.get_or_insert(why);
        let waker = inner.1.take();
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Why it is to end. If it isn't yet, `waker` is woken once it is.
    pub(crate) fn closed(&self, waker: &Waker) -> Option<CircuitEnd> {
        let mut inner = lock(&self.0);
        match &mut inner.1 {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        inner.0.take()
    }
}

/// What a hub knows of circuits.
#[derive(Debug, Default)]
pub(crate) struct Circuits {
    gates: BTreeMap<CircuitId, Arc<Gate>>,
}

impl Works {
    /// What there is to run of a circuit.
    pub fn task(&self, circuit: Circuit) -> Task {
        let hub = self.hub.clone();
        let work = match circuit.0 {
            Kind::Carry { line, stream } => {
                Work::Carrier(Box::new(Carrier::new(hub, line, stream, self.close_timeout)))
            }
            Kind::Splice { circuit, limit, source, destination, gate } => {
                Work::Pump(Box::new(Pump::new(hub, circuit, &limit, (source, destination), gate)))
            }
        };
        Task { work, _alive: self.alive.clone() }
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
        match &mut self.work {
            Work::Carrier(carrier) => carrier.poll(waker),
            Work::Pump(pump) => pump.poll(waker),
        }
    }

    /// When that is. `None`: no time is to be waited for.
    pub fn instant(&self, time: Time) -> Option<Instant> {
        let hub = match &self.work {
            Work::Carrier(carrier) => carrier.hub(),
            Work::Pump(pump) => pump.hub(),
        };
        (!time.is_never()).then(|| hub.clock().instant(time))
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
        let (peer, to) = (dial.map(|(_, peer)| peer), remote.clone());
        let line = self.begin_locked(inner, plan, peer, to, |connection| match dial {
            Some((dial, _)) => Input::Dialed { dial, connection, local, remote },
            None => Input::Incoming { connection, local, remote, over: Some(over), asn: None },
        });
        if let Some(line) = line {
            (self.jobs)(Job::Circuit(Circuit(Kind::Carry { line, stream })));
        }
    }

    /// Two streams are to be one circuit.
    pub(crate) fn splice(&self, inner: &mut Inner, splice: Splice) {
        let Splice { circuit: id, source, destination, limit } = splice;
        let streams = (circuit(inner, source), circuit(inner, destination));
        let (Some(source), Some(destination)) = streams else {
            let end = Some(CircuitEnd::Other { why: "one of its connections is over".into() });
            // The host knows it: it wanted it.
            let _ = self.handle(inner, Input::Spliced { circuit: id, end, forward: 0, backward: 0 });
            return;
        };
        let gate = Arc::<Gate>::default();
        inner.circuits.gates.insert(id, gate.clone());
        (self.jobs)(Job::Circuit(Circuit(Kind::Splice { circuit: id, limit, source, destination, gate })));
    }

    /// A circuit is to end.
    pub(crate) fn unsplice(inner: &Inner, circuit: CircuitId, why: CircuitEnd) {
        if let Some(gate) = inner.circuits.gates.get(&circuit) {
            gate.close(why);
        }
    }

    /// How far a circuit is.
    pub(crate) fn spliced(&self, circuit: CircuitId, end: Option<CircuitEnd>, forward: u64, backward: u64) {
        self.act(|hub, inner| {
            if end.is_some() {
                inner.circuits.gates.remove(&circuit);
            }
            // A circuit that the host has forgotten is of no matter to it.
            let _ = hub.handle(inner, Input::Spliced { circuit, end, forward, backward });
        });
    }
}

/// A stream that is a circuit. `None`: its connection is over.
fn circuit(inner: &Inner, (connection, stream): (ConnectionId, StreamId)) -> Option<Stream> {
    let line = inner.lines.get(&connection)?.upgrade()?;
    Some(Stream::new(line, stream, CIRCUIT))
}
