//! What an attempt leaves behind: the report, as it grows.
//!
//! Nothing here is read by a decision. Its size is bounded by the caps of the addresses and by the number of tries.

use crate::candidate::{Candidate, Dropped, Selection};
use crate::exchange::Fault;
use crate::nat::{Guess, TheirNat};
use crate::report::{Dial, Direct, End, Failure, How, Outcome, Report, Side, Try};
use crate::{ConnectionId, Local, Plan};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Time};

#[derive(Clone, Debug)]
pub(super) struct Record {
    report: Box<Report>,
    /// Direct connections that came up, oldest first.
    ups: Vec<Up>,
    /// What the remote told of itself, for what its NAT probably is.
    told: Vec<Multiaddr>,
}

#[derive(Clone, Debug)]
struct Up {
    connection: ConnectionId,
    how: How,
    after: Duration,
}

/// Where in the report a dial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Direct {
        at: usize,
    },
    Try {
        number: u32,
        at: usize,
    },
    /// In one that was told already.
    Over,
}

/// Connections that are remembered; one attempt hardly makes more.
const MAX_UPS: usize = 4;

impl Record {
    pub(super) fn new(peer: PeerId, relay: Option<PeerId>, side: Side, now: Time) -> Record {
        let report = Box::new(Report {
            peer,
            relay,
            side,
            started: now,
            ended: now,
            direct: None,
            tries: Vec::new(),
            our_nat: Vec::new(),
            their_nat: TheirNat::default(),
            end: End::Failed(Failure::Cancelled),
        });
        Record { report, ups: Vec::new(), told: Vec::new() }
    }

    pub(super) fn direct(&mut self, direct: Direct) {
        self.report.direct = Some(direct);
    }

    /// A try begins, in which we tell this.
    pub(super) fn begin_try(&mut self, number: u32, now: Time, offer: Selection) {
        let Selection { kept, dropped, further } = offer;
        self.report.tries.push(Try {
            number,
            started: now,
            ours: kept,
            theirs: Vec::new(),
            ours_dropped: dropped,
            theirs_dropped: Vec::new(),
            further,
            rtt: None,
            synced: None,
            dialed: None,
            dialed_by_them: None,
            dials: Vec::new(),
            fault: None,
        });
    }

    /// The remote told this, and we dial so much of it.
    pub(super) fn told(
        &mut self,
        told: &[Multiaddr],
        skipped: usize,
        kept: &[Candidate],
        dropped: Vec<Dropped>,
        further: usize,
    ) {
        self.told = told.to_vec();
        if let Some(last) = self.report.tries.last_mut() {
            last.theirs = kept.to_vec();
            last.theirs_dropped = dropped;
            last.further = last.further.saturating_add(further).saturating_add(skipped);
        }
    }

    /// `SYNC` went out, or came in: when the other probably dials.
    pub(super) fn synced(&mut self, now: Time, rtt: Duration, side: Side) {
        let Some(last) = self.report.tries.last_mut() else { return };
        (last.rtt, last.synced) = (Some(rtt), Some(now));
        last.dialed_by_them = Some(match side {
            // Our SYNC takes half a round trip, and A dials at once.
            Side::B => now + rtt / 2,
            // B waits half a round trip from the moment when it sent SYNC: that is now.
            Side::A => now,
        });
    }

    pub(super) fn dialing(&mut self, now: Time) {
        if let Some(last) = self.report.tries.last_mut() {
            last.dialed = Some(now);
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        if let Some(last) = self.report.tries.last_mut() {
            last.fault = Some(fault);
        }
    }

    pub(super) fn dial(&mut self, now: Time, target: &Candidate, local: Local, plan: Plan) -> Place {
        self.add(now, target, local, plan, Outcome::Running)
    }

    pub(super) fn datagrams(&mut self, now: Time, target: &Candidate, local: Local) -> Place {
        self.add(now, target, local, Plan::Respond, Outcome::Datagrams { sent: 0 })
    }

    fn add(&mut self, now: Time, target: &Candidate, local: Local, plan: Plan, outcome: Outcome) -> Place {
        let dial = Dial {
            address: target.address.clone(),
            source: target.source,
            local,
            bound: None,
            plan,
            started: now,
            ended: None,
            outcome,
        };
        if let Some(last) = self.report.tries.last_mut() {
            last.dials.push(dial);
            return Place::Try { number: last.number, at: last.dials.len() - 1 };
        }
        let Some(direct) = &mut self.report.direct else { return Place::Direct { at: usize::MAX } };
        direct.dials.push(dial);
        Place::Direct { at: direct.dials.len() - 1 }
    }

    pub(super) fn outcome(&mut self, place: Place, now: Time, bound: Option<&Multiaddr>, outcome: Outcome) {
        if let Some(dial) = self.find(place) {
            (dial.bound, dial.ended, dial.outcome) = (bound.cloned(), Some(now), outcome);
        }
    }

    pub(super) fn sent(&mut self, place: Place) {
        if let Some(Dial { outcome: Outcome::Datagrams { sent }, .. }) = self.find(place) {
            *sent = sent.saturating_add(1);
        }
    }

    pub(super) fn stopped(&mut self, place: Place, now: Time) {
        if let Some(dial) = self.find(place) {
            dial.ended = Some(now);
        }
    }

    fn find(&mut self, place: Place) -> Option<&mut Dial> {
        match place {
            Place::Direct { at } => self.report.direct.as_mut()?.dials.get_mut(at),
            Place::Try { number, at } => {
                self.report.tries.iter_mut().find(|one| one.number == number)?.dials.get_mut(at)
            }
            Place::Over => None,
        }
    }

    pub(super) fn up(&mut self, now: Time, connection: ConnectionId, how: How) {
        if self.ups.len() < MAX_UPS {
            self.ups.push(Up { connection, how, after: now.since(self.report.started) });
        }
    }

    /// How a direct connection came to be, and how long after the start.
    pub(super) fn how(&self, connection: ConnectionId) -> (How, Duration) {
        let up = self.ups.iter().find(|up| up.connection == connection);
        up.map_or((How::Elsewhere, Duration::ZERO), |up| (up.how, up.after))
    }

    pub(super) fn finish(mut self, now: Time, end: End, nat: &[Guess]) -> Box<Report> {
        self.report.ended = now;
        self.report.end = end;
        self.report.our_nat = nat.to_vec();
        self.report.their_nat = TheirNat::of(&self.told);
        self.report
    }

    pub(super) fn memory_used(&self) -> usize {
        let told = Multiaddr::list_memory_used(&self.told);
        size_of::<Report>() + self.report.memory_used() + told + self.ups.capacity() * size_of::<Up>()
    }
}

/// History makes no difference to what is done, so it makes none between two states.
#[cfg(test)]
impl core::hash::Hash for Record {
    fn hash<H: core::hash::Hasher>(&self, _: &mut H) {}
}
