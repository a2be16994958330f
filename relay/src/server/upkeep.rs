//! Time, the wall clock, our own addresses, rules, and shutting down.

use super::{Acl, Action, Drain, Event, Misuse, Offer, Refusal, ReservationEnd, Server};
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{Multiaddr, Time, UnixTime};

impl Server {
    /// Does what was due by now.
    pub(super) fn let_time_pass(&mut self) {
        let now = self.now;
        let due = |at: Time| at <= now && !at.is_never();
        while due(self.reservations.next()) {
            let Some(slot) = self.reservations.first() else { break };
            self.end_reservation(slot, ReservationEnd::Expired);
        }
        while let Some((_, stream)) = self.questions.next().filter(|(at, _)| due(*at)) {
            let Some(question) = self.questions.remove(stream) else { break };
            self.question_over(question.peer);
            if let Some(id) = self.book.peer(question.peer).map(|peer| peer.id) {
                self.refuse(stream, id, question.asked, Refusal::Undecided { after: self.config.acl_timeout });
            }
        }
        while let Some(id) = self.circuits.take_due(now) {
            self.circuit_due(id);
        }
        if let Drain::Until(until) = self.drain
            && due(until)
        {
            self.drain = Drain::Ending;
            self.close_all();
        }
    }

    /// What follows from all that was told: whether to serve, whether the shutdown is done, when to be called again.
    pub(super) fn settle(&mut self) {
        if self.drain != Drain::No && self.drain != Drain::Done && self.circuits.len() == 0 {
            self.drain = Drain::Done;
            self.end_all();
        }
        let serving = self.is_offered();
        if serving != self.serving {
            self.serving = serving;
            self.act(Action::Serve(serving));
        }
        let drain = if let Drain::Until(until) = self.drain { until } else { Time::NEVER };
        let question = self.questions.next().map_or(Time::NEVER, |(at, _)| at);
        let circuit = self.circuits.next().map_or(Time::NEVER, |(at, _)| at);
        self.next = self.reservations.next().min(question).min(circuit).min(drain);
    }

    /// Whether the service is there, as things stand.
    pub(super) fn is_offered(&self) -> bool {
        let wanted = match self.config.offer {
            Offer::WhilePublic => self.public,
            Offer::Always => true,
            Offer::Never => false,
        };
        wanted && self.clock.is_some() && self.drain == Drain::No
    }

    /// What the wall clock says now.
    pub(super) fn unix(&self) -> Option<UnixTime> {
        let (unix, at) = self.clock?;
        Some(UnixTime::from_secs(unix.as_secs().saturating_add(self.now.since(at).as_secs())))
    }

    /// Keeps the addresses that holders are told: each once, with our id, public, no circuits (circuit-v2.md, "Reservation":
    /// "all the public relay addrs, including the peer ID of the relay node").
    pub(super) fn set_addresses(&mut self, addresses: &[Multiaddr]) {
        let mut kept: Vec<Multiaddr> = Vec::new();
        let mut bytes = 0usize;
        for address in addresses {
            let reachable = address.is_public() || (self.config.announce_private && !address.is_unspecified());
            if address.is_relayed() || !reachable || address.without_peer_id().is_empty() {
                continue;
            }
            let Ok(whole) = address.with_peer_id(self.local) else { continue };
            let room = u32::try_from(kept.len()).is_ok_and(|len| len < self.config.addresses);
            let after = bytes.saturating_add(whole.as_bytes().len());
            let fits = u32::try_from(after).is_ok_and(|after| after <= self.config.address_bytes);
            if room && fits && !kept.contains(&whole) {
                bytes = after;
                kept.push(whole);
            }
        }
        kept.shrink_to_fit();
        self.addresses = kept;
    }

    pub(super) fn set_acl(&mut self, acl: &Acl) -> Result<(), Misuse> {
        let (got, cap) = (acl.rules.len(), self.config.acl_rules);
        if u32::try_from(got).map_or(true, |got| got > cap) {
            return Err(Misuse::TooManyRules { got, cap });
        }
        self.config.acl = acl.clone();
        Ok(())
    }

    pub(super) fn start_drain(&mut self, grace: Duration) {
        let until = self.now + grace;
        match self.drain {
            Drain::No => self.drain = Drain::Until(until),
            Drain::Until(before) => self.drain = Drain::Until(before.min(until)),
            Drain::Ending | Drain::Done => return,
        }
        for stream in self.questions.streams() {
            let Some(question) = self.questions.remove(stream) else { continue };
            self.question_over(question.peer);
            if let Some(id) = self.book.peer(question.peer).map(|peer| peer.id) {
                self.refuse(stream, id, question.asked, Refusal::Draining);
            }
        }
        self.let_time_pass();
    }

    fn end_all(&mut self) {
        while let Some(slot) = self.reservations.first() {
            self.end_reservation(slot, ReservationEnd::Drained);
        }
        self.tell(Event::Drained);
    }
}
