//! Dials apart from all others: to find out whether somebody can be reached, for AutoNAT's servers.
//!
//! ```text
//!   DialBack --> Dialing, all addresses at once --connected--> Upgrading --established--> reached: it and the others are let go
//!                     |                                           |                        '--v2: asks DialBack --> heard, or not
//!                     '--failed-----------------------------------'--> the next one for which there was no room, or over
//! ```
//! At once, because one that is silent takes all the time there is.
//! The connection manager hears nothing of them: nobody is to keep such a connection. They leave from any port, because a NAT
//! would let one through that comes from where the peer was talking to (autonat-v2.md, "Implementation Suggestions"). And they
//! come from a peer of its own ([`LinkSetup::dial`](crate::link::LinkSetup::dial)): under our id the peer would have two
//! connections to us, and lose what it opens on the one that we hang up.

use super::{Part, Relaying};
use crate::identify::IDENTIFY;
use crate::ids::PROBES;
use crate::link::{Order, Report};
use crate::machine::{Host, Misuse};
use crate::{Action, ConnectionId, DialId, Direction};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_connmgr::{CloseReason, RefuseReason, StreamRefusal};
use tidewire_core::{Multiaddr, PeerId, Time};
use tidewire_relay::exchange::{Answer, Ask};
use tidewire_relay::{AskId, DialBackId};

/// For whom a probe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Errand {
    V1(DialBackId),
    V2(DialBackId),
}

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The peer is there. Of one with a nonce: but it didn't take it.
    Reached(Multiaddr),
    /// It took the nonce.
    Heard,
    NotReached,
    NotTried,
}

#[derive(Clone, Debug)]
struct Probe {
    errand: Errand,
    peer: PeerId,
    /// The one that is dialed, and those that come after it.
    address: Multiaddr,
    left: Vec<Multiaddr>,
    nonce: Option<u64>,
    until: Time,
    /// For the nonce, once the peer is reached.
    bring: Duration,
    connection: Option<ConnectionId>,
    established: bool,
}

/// All of a host.
#[derive(Debug, Default)]
pub(in crate::machine) struct Probes {
    next: u64,
    all: BTreeMap<DialId, Probe>,
    by_connection: BTreeMap<ConnectionId, DialId>,
    timers: BTreeSet<(Time, DialId)>,
    /// Their connections that are told to close, until they have.
    leaving: BTreeSet<ConnectionId>,
}

impl Probes {
    pub(super) fn deadline(&self) -> Time {
        self.timers.first().map_or(Time::NEVER, |(time, _)| *time)
    }

    pub(super) fn memory_used(&self) -> usize {
        let addresses = |probe: &Probe| probe.address.memory_used() + Multiaddr::list_memory_used(&probe.left);
        self.all.len() * (size_of::<(DialId, Probe)>() + 96)
            + self.all.values().map(addresses).sum::<usize>()
            + self.leaving.len() * size_of::<ConnectionId>()
    }

    /// One that is under way for this.
    fn of(&self, errand: Errand) -> Option<DialId> {
        self.all.iter().find(|(_, probe)| probe.errand == errand).map(|(dial, _)| *dial)
    }

    /// Those whose connections are not gone yet, included.
    fn len(&self) -> usize {
        self.all.len() + self.leaving.len()
    }

    /// Whether a dial was ever asked for.
    fn asked_for(&self, dial: DialId) -> bool {
        dial.0 < PROBES + self.next
    }

    fn insert(&mut self, probe: Probe) -> DialId {
        let dial = DialId(PROBES + self.next);
        self.next = (self.next + 1) % PROBES;
        self.timers.insert((probe.until, dial));
        self.all.insert(dial, probe);
        dial
    }

    fn remove(&mut self, dial: DialId) -> Option<Probe> {
        let probe = self.all.remove(&dial)?;
        self.timers.remove(&(probe.until, dial));
        if let Some(connection) = probe.connection {
            self.by_connection.remove(&connection);
        }
        Some(probe)
    }
}

impl Relaying {
    /// Whether a connection is a probe's.
    pub(in crate::machine) fn probes(&self, connection: ConnectionId) -> bool {
        self.probes.by_connection.contains_key(&connection) || self.probes.leaving.contains(&connection)
    }
}

impl Host {
    /// Dials a peer at these addresses, all at once, and brings it the nonce if there is one.
    pub(super) fn probe(
        &mut self,
        errand: Errand,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        nonce: Option<u64>,
        (dial, bring): (Duration, Duration),
    ) {
        // A name might lead to somebody who was not checked.
        let mut left: Vec<Multiaddr> = addresses.into_iter().filter(|address| address.ip().is_some()).collect();
        left.reverse();
        let limit = usize::try_from(self.config.relay.max_probes).unwrap_or(usize::MAX);
        let room = if self.shut_down { 0 } else { limit.saturating_sub(self.relaying.probes.len()) };
        if left.is_empty() || room == 0 {
            return self.probed(errand, &Outcome::NotTried);
        }
        let (until, established) = (self.now + dial, false);
        for place in (0..room).rev() {
            let Some(address) = left.pop() else { return };
            // Those for which there is no room wait for the last one.
            let left = if place == 0 { core::mem::take(&mut left) } else { Vec::new() };
            self.dial_probe(Probe { errand, peer, address, left, nonce, until, bring, connection: None, established });
        }
    }

    fn dial_probe(&mut self, probe: Probe) {
        let (peer, address, timeout) = (probe.peer, probe.address.clone(), probe.until.since(self.now));
        let dial = self.relaying.probes.insert(probe);
        self.act(Action::Dial { dial, peer, address, from: None, timeout });
    }

    pub(super) fn cancel_probe(&mut self, errand: Errand) {
        while let Some(dial) = self.relaying.probes.of(errand) {
            self.end_probe(dial);
        }
    }

    /// What came of one address. That one is enough; that it led nowhere is said of the last one.
    fn probe_over(&mut self, errand: Errand, outcome: &Outcome) {
        match outcome {
            Outcome::Reached(_) | Outcome::Heard => self.cancel_probe(errand),
            Outcome::NotReached | Outcome::NotTried if self.relaying.probes.of(errand).is_some() => return,
            Outcome::NotReached | Outcome::NotTried => {}
        }
        self.probed(errand, outcome);
    }

    /// Lets go of what a probe has.
    fn end_probe(&mut self, dial: DialId) -> Option<Probe> {
        let probe = self.relaying.probes.remove(dial)?;
        if let Some(ask) = self.relaying.asks.of_part(Part::Probe, AskId(dial.0)) {
            self.relaying.asks.remove(ask);
        }
        match probe.connection {
            None => self.act(Action::Abort { dial }),
            Some(connection) => {
                self.relaying.probes.leaving.insert(connection);
                self.act(Action::Order { connection, order: Order::Close { reason: CloseReason::Probed } });
            }
        }
        Some(probe)
    }

    /// It is known what came of a probe.
    fn finish_probe(&mut self, dial: DialId, outcome: &Outcome) {
        if let Some(probe) = self.end_probe(dial) {
            self.probe_over(probe.errand, outcome);
        }
    }

    /// We are shutting down.
    pub(super) fn end_probes(&mut self) {
        while let Some(dial) = self.relaying.probes.all.keys().next().copied() {
            self.finish_probe(dial, &Outcome::NotTried);
        }
    }

    pub(super) fn probes_timeout(&mut self) {
        while let Some((time, dial)) = self.relaying.probes.timers.first().copied()
            && time <= self.now
        {
            let reached = self.relaying.probes.all.get(&dial).filter(|probe| probe.established);
            let outcome = reached.map_or(Outcome::NotReached, |probe| Outcome::Reached(probe.address.clone()));
            self.finish_probe(dial, &outcome);
            self.relaying.probes.timers.remove(&(time, dial));
        }
    }

    /// A probe's transport is connected.
    pub(in crate::machine) fn probe_dialed(&mut self, dial: DialId, connection: ConnectionId) -> Result<(), Misuse> {
        let asked_for = self.relaying.probes.asked_for(dial);
        match self.relaying.probes.all.get_mut(&dial) {
            Some(Probe { connection: Some(_), .. }) => return Err(Misuse::UnknownDial(dial)),
            Some(probe) => {
                probe.connection = Some(connection);
                self.relaying.probes.by_connection.insert(connection, dial);
            }
            None if !asked_for => return Err(Misuse::UnknownDial(dial)),
            // It was cancelled meanwhile.
            None => self.act(Action::Refuse { connection, reason: RefuseReason::DialOver }),
        }
        Ok(())
    }

    /// A probe's transport could not be connected. If it was cancelled meanwhile, that is of no matter.
    pub(in crate::machine) fn probe_failed(&mut self, dial: DialId) -> Result<(), Misuse> {
        let connected = self.relaying.probes.all.get(&dial).is_some_and(|probe| probe.connection.is_some());
        if connected || !self.relaying.probes.asked_for(dial) {
            return Err(Misuse::UnknownDial(dial));
        }
        self.probe_next(dial);
        Ok(())
    }

    /// One address led nowhere: the next one.
    fn probe_next(&mut self, dial: DialId) {
        if let Some(mut probe) = self.relaying.probes.remove(dial) {
            match probe.left.pop().filter(|_| probe.until > self.now) {
                Some(address) => {
                    probe.address = address;
                    self.dial_probe(probe);
                }
                None => self.probe_over(probe.errand, &Outcome::NotReached),
            }
        }
    }

    /// What the link of a probe reports.
    pub(in crate::machine) fn probe_report(&mut self, connection: ConnectionId, report: &Report) {
        if let Report::Ended { .. } = report {
            self.relaying.asks.ended(connection);
            self.relaying.probes.leaving.remove(&connection);
        }
        // To be told who this is may be what the remote waits for. It gets nothing else.
        if let Report::StreamOpened { stream, direction, protocol, .. } = report {
            let stream = *stream;
            let order = match *direction == Direction::Outbound || *protocol == IDENTIFY {
                true => Order::Admit { stream },
                false => Order::Refuse { stream, reason: StreamRefusal::Closing },
            };
            self.act(Action::Order { connection, order });
        }
        let Some(dial) = self.relaying.probes.by_connection.get(&connection).copied() else { return };
        let Some(probe) = self.relaying.probes.all.get_mut(&dial) else { return };
        match report {
            Report::Established { .. } => {
                probe.established = true;
                match probe.nonce {
                    None => {
                        let outcome = Outcome::Reached(probe.address.clone());
                        self.finish_probe(dial, &outcome);
                    }
                    Some(nonce) => {
                        let until = self.now + probe.bring;
                        self.relaying.probes.timers.remove(&(probe.until, dial));
                        probe.until = until;
                        self.relaying.probes.timers.insert((until, dial));
                        self.ask(Part::Probe, AskId(dial.0), connection, Ask::DialBack { nonce });
                    }
                }
            }
            Report::Ended { .. } => {
                self.relaying.probes.by_connection.remove(&connection);
                probe.connection = None;
                if probe.established {
                    let outcome = Outcome::Reached(probe.address.clone());
                    if let Some(probe) = self.relaying.probes.remove(dial) {
                        self.probe_over(probe.errand, &outcome);
                    }
                } else {
                    self.probe_next(dial);
                }
            }
            _ => {}
        }
    }

    /// What came of bringing a nonce.
    pub(super) fn probe_answered(&mut self, ask: AskId, answer: Option<&Answer>) {
        let dial = DialId(ask.0);
        let Some(probe) = self.relaying.probes.all.get(&dial) else { return };
        let outcome = match answer {
            Some(Answer::BackHeard) => Outcome::Heard,
            _ => Outcome::Reached(probe.address.clone()),
        };
        self.finish_probe(dial, &outcome);
    }
}
