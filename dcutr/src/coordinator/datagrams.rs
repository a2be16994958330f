//! QUIC at B: A dials, and B sends random datagrams, so that B's NAT lets A's packets in.
//!
//! ```text
//!   SYNC --- RTT/2 ---> one to each address --- 10 to 200 ms, drawn ---> one to each ... 5 s, or a connection ---> silent
//! ```
//! Spec: libp2p/specs relay/DCUtR.md, step 5. The QUIC connection's server is B, whoever's packet came first.

use super::action::Action;
use super::peer::{Attempt, Turn};
use super::record::Place;
use crate::Local;
use crate::candidate::{self, Candidate};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use tidewire_core::{Multiaddr, Time};

/// Where they go, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct Datagrams {
    to: Vec<Hole>,
    next: Time,
    until: Time,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
struct Hole {
    to: SocketAddr,
    from: Local,
    place: Place,
}

impl Datagrams {
    pub(super) fn deadline(&self) -> Time {
        if self.next > self.until { Time::NEVER } else { self.next }
    }

    pub(super) fn memory_used(&self) -> usize {
        let local = |hole: &Hole| match &hole.from {
            Local::Reuse(address) => Multiaddr::memory_used(address),
            Local::Any => 0,
        };
        self.to.capacity() * size_of::<Hole>() + self.to.iter().map(local).sum::<usize>()
    }
}

impl Turn<'_> {
    /// Begins to send to these QUIC addresses: now, then again and again.
    pub(super) fn send_datagrams(&mut self, targets: &[Candidate]) {
        let now = self.shared.now;
        let Some(attempt) = self.punch.attempt.as_mut().filter(|_| !targets.is_empty()) else { return };
        let hole = |target: &Candidate| {
            let from = candidate::local_for(&target.address, &self.shared.own);
            let place = attempt.record.datagrams(now, target, from.clone());
            Some(Hole { to: target.address.socket_addr()?, from, place })
        };
        let to: Vec<Hole> = targets.iter().filter_map(hole).collect();
        let until = now + self.shared.config.datagram_time;
        attempt.datagrams = Some(Datagrams { to, next: now, until });
        self.datagrams_timeout();
    }

    pub(super) fn datagrams_timeout(&mut self) {
        let (now, peer) = (self.shared.now, self.id);
        let Some(Attempt { datagrams: Some(datagrams), record, .. }) = self.punch.attempt.as_deref_mut() else {
            return;
        };
        if datagrams.deadline() > now {
            return;
        }
        for hole in &datagrams.to {
            record.sent(hole.place);
            let payload = Box::new(self.shared.draw.bytes());
            self.shared.actions.push_back(Action::Datagram { peer, to: hole.to, from: hole.from.clone(), payload });
        }
        let (min, max) = (self.shared.config.datagram_min, self.shared.config.datagram_max);
        // A pause of nothing would be a flood.
        datagrams.next = now + self.shared.draw.between(min, max).max(Duration::from_millis(1));
    }

    pub(super) fn stop_datagrams(&mut self) {
        let now = self.shared.now;
        let Some(Attempt { datagrams, record, .. }) = self.punch.attempt.as_deref_mut() else { return };
        for hole in datagrams.take().iter().flat_map(|datagrams| &datagrams.to) {
            record.stopped(hole.place, now);
        }
    }
}
