//! A model as slow and obvious as can be: lists that are searched, counted and sorted anew each time, and decay that goes
//! step by step. Nothing of it is taken from the code, save the types that callers see.

use super::*;
use crate::worth::trimmer::Full;
use core::cmp::{Ordering, Reverse};

#[derive(Clone, Debug)]
pub(super) struct Fading {
    pub(super) name: &'static str,
    pub(super) value: i32,
    pub(super) bumped: Time,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    pub(super) connections: u32,
    pub(super) streams: u32,
    pub(super) outbound: bool,
    pub(super) newest: Time,
    pub(super) chosen: bool,
    pub(super) plain: Vec<(&'static str, i32)>,
    pub(super) fading: Vec<Fading>,
    pub(super) reasons: Vec<&'static str>,
    /// While it has tags and no connection.
    pub(super) tags_end: Option<Time>,
    /// While it is protected and has no connection.
    pub(super) absent_since: Time,
}

impl Peer {
    pub(super) fn tags(&self) -> usize {
        self.plain.len() + self.fading.len()
    }

    pub(super) fn value(&self) -> i32 {
        let plain: i64 = self.plain.iter().map(|tag| i64::from(tag.1)).sum();
        let fading: i64 = self.fading.iter().map(|tag| i64::from(tag.value)).sum();
        (plain + fading).clamp(i64::from(i32::MIN), i64::from(i32::MAX)).try_into().unwrap()
    }

    pub(super) fn is_blank(&self) -> bool {
        self.connections == 0 && self.tags() == 0 && self.reasons.is_empty()
    }

    pub(super) fn counts(&self) -> bool {
        self.connections > 0 && !self.chosen
    }

    pub(super) fn drop_tags(&mut self) {
        (self.plain, self.fading, self.tags_end) = (Vec::new(), Vec::new(), None);
    }
}

pub(super) struct Defined {
    pub(super) name: &'static str,
    pub(super) tag: DecayingTag,
    pub(super) next: Time,
}

pub(super) struct Model {
    pub(super) config: WorthConfig,
    pub(super) peers: Vec<Peer>,
    pub(super) defined: Vec<Defined>,
    pub(super) silent_until: Time,
}

impl Model {
    pub(super) fn new(config: &WorthConfig, peers: usize) -> Self {
        let peers = vec![Peer::default(); peers];
        Model { config: config.clone(), peers, defined: Vec::new(), silent_until: Time::ZERO }
    }

    /// Time goes by, one event after the other.
    pub(super) fn pass(&mut self, now: Time) {
        loop {
            let ends = self.peers.iter().filter_map(|peer| peer.tags_end).min().unwrap_or(Time::NEVER);
            let steps = self.defined.iter().map(|defined| defined.next).min().unwrap_or(Time::NEVER);
            let next = ends.min(steps);
            if next > now || next.is_never() {
                return;
            }
            for peer in &mut self.peers {
                if peer.tags_end == Some(next) {
                    peer.drop_tags();
                }
            }
            for defined in self.defined.iter_mut().filter(|defined| defined.next == next) {
                defined.next = next + defined.tag.interval;
                for peer in &mut self.peers {
                    step(peer, defined.name, defined.tag.decay, next);
                }
            }
        }
    }

    /// What follows from a change of a peer's tags.
    pub(super) fn retagged(&mut self, now: Time, peer: usize) {
        let ttl = self.config.early_tags_ttl;
        let one = &mut self.peers[peer];
        if one.connections == 0 {
            one.tags_end = if one.tags() == 0 { None } else { one.tags_end.or(Some(now + ttl)) };
        }
        loop {
            let early =
                (0..self.peers.len()).filter_map(|at| Some((self.peers[at].value(), self.peers[at].tags_end?, at)));
            let early: Vec<_> = early.collect();
            if early.len() <= self.config.max_early as usize {
                break;
            }
            self.peers[early.into_iter().min().unwrap().2].drop_tags();
        }
        self.pass(now);
    }

    pub(super) fn absent(&self) -> Vec<(Time, usize)> {
        let all = self.peers.iter().enumerate();
        all.filter(|(_, peer)| peer.connections == 0 && !peer.reasons.is_empty())
            .map(|(at, peer)| (peer.absent_since, at))
            .collect()
    }

    /// Connections that count, and are or are not of such peers.
    pub(super) fn connections(&self, such: impl Fn(&Peer) -> bool) -> u32 {
        self.peers.iter().filter(|peer| peer.counts() && such(peer)).map(|peer| peer.connections).sum()
    }

    pub(super) fn in_grace(&self, now: Time, peer: &Peer) -> bool {
        peer.reasons.is_empty() && peer.newest + self.config.grace > now
    }

    pub(super) fn may_go(&self, now: Time, peer: &Peer) -> bool {
        peer.counts() && peer.reasons.is_empty() && !self.in_grace(now, peer)
    }

    /// Such peers, the first to go first.
    pub(super) fn order(&self, such: impl Fn(&Peer) -> bool) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.peers.len()).filter(|at| such(&self.peers[*at])).collect();
        all.sort_by(|left, right| {
            let (one, other) = (&self.peers[*left], &self.peers[*right]);
            one.value()
                .cmp(&other.value())
                .then((one.streams > 0).cmp(&(other.streams > 0)))
                .then(one.outbound.cmp(&other.outbound))
                .then(one.streams.cmp(&other.streams))
                .then(Reverse(one.newest).cmp(&Reverse(other.newest)))
                .then(left.cmp(right))
        });
        all
    }

    pub(super) fn is_off(&self) -> bool {
        self.config.low == 0 || self.config.high == 0
    }

    pub(super) fn next_trim(&self) -> Time {
        if self.is_off() || self.connections(|_| true) < self.config.high { Time::NEVER } else { self.silent_until }
    }

    pub(super) fn deadline(&self) -> Time {
        let mut all = vec![self.next_trim()];
        all.extend(self.peers.iter().filter_map(|peer| peer.tags_end));
        for defined in self.defined.iter().filter(|defined| defined.tag.decay != Decay::None) {
            if self.peers.iter().any(|peer| peer.fading.iter().any(|tag| tag.name == defined.name)) {
                all.push(defined.next);
            }
        }
        all.into_iter().min().unwrap()
    }

    pub(super) fn begin(&mut self, now: Time) -> Trim {
        self.pass(now);
        self.silent_until = now + self.config.silence;
        Trim {
            of: self.connections(|_| true),
            protected: self.connections(|peer| !peer.reasons.is_empty()),
            in_grace: self.connections(|peer| self.in_grace(now, peer)),
            ..Trim::default()
        }
    }

    /// Chooses from these until so many connections are closed in all.
    pub(super) fn choose(&mut self, trim: &mut Trim, order: Vec<usize>, target: u32) {
        for at in order {
            if trim.closed < target {
                let peer = &mut self.peers[at];
                peer.chosen = true;
                trim.closed += peer.connections;
                trim.victims.push((PeerIx(at.try_into().unwrap()), peer.value()));
            }
        }
    }

    pub(super) fn trim_now(&mut self, now: Time) -> Trim {
        let mut trim = self.begin(now);
        if !self.is_off() {
            let target = self.connections(|peer| self.may_go(now, peer)).saturating_sub(self.config.low);
            let order = self.order(|peer| self.may_go(now, peer));
            self.choose(&mut trim, order, target);
        }
        trim
    }

    pub(super) fn emergency(&mut self, now: Time) -> Trim {
        let mut trim = self.begin(now);
        self.peers.iter_mut().filter(|peer| peer.tags_end.is_some()).for_each(Peer::drop_tags);
        if self.config.low > 0 {
            let target = trim.of.saturating_sub(self.config.low);
            let order = self.order(|peer| peer.counts() && peer.reasons.is_empty());
            self.choose(&mut trim, order, target);
            let order = self.order(|peer| peer.counts() && !peer.reasons.is_empty());
            self.choose(&mut trim, order, target);
        }
        trim.protected = self.connections(|peer| !peer.reasons.is_empty());
        trim.in_grace = 0;
        trim
    }

    pub(super) fn evict(&mut self, now: Time, newcomer: usize, outbound: bool) -> Result<PeerIx, Full> {
        self.pass(now);
        let mut order = self.order(|peer| self.may_go(now, peer));
        order.retain(|at| *at != newcomer);
        let value = self.peers[newcomer].value();
        let gives_way = |at: &&usize| {
            let peer = &self.peers[**at];
            match peer.value().cmp(&value) {
                _ if !self.peers[newcomer].reasons.is_empty() => true,
                Ordering::Less => true,
                Ordering::Equal => outbound && !peer.outbound && peer.streams == 0,
                Ordering::Greater => false,
            }
        };
        match order.first().filter(gives_way) {
            Some(at) => {
                self.peers[*at].chosen = true;
                Ok(PeerIx(u32::try_from(*at).unwrap()))
            }
            None => Err(Full {
                protected: self.connections(|peer| !peer.reasons.is_empty()),
                in_grace: self.connections(|peer| self.in_grace(now, peer)),
                value,
                least: order.first().map(|at| self.peers[*at].value()),
            }),
        }
    }

    pub(super) fn room_for_tag(&self, peer: usize) -> Result<(), TagError> {
        let cap = self.config.max_tags;
        if self.peers[peer].tags() >= cap as usize {
            return Err(TagError::Full { what: "tags of this peer", cap });
        }
        Ok(())
    }

    pub(super) fn defined(&self, name: &str) -> Result<(), TagError> {
        let known = self.defined.iter().any(|defined| defined.name == name);
        if known { Ok(()) } else { Err(TagError::Undefined(name.into())) }
    }

    pub(super) fn update(&mut self, now: Time, peer: usize, standing: Standing) {
        let one = &mut self.peers[peer];
        let before = one.connections;
        let Standing { connections, streams, outbound, newest } = standing;
        *one = Peer { connections, streams, outbound, newest, chosen: false, ..one.clone() };
        match (before, connections) {
            (0, 1..) => one.tags_end = None,
            (1.., 0) => {
                one.drop_tags();
                one.absent_since = now;
                while self.absent().len() > self.config.max_protected_absent as usize {
                    let (_, longest) = self.absent().into_iter().min().unwrap();
                    self.peers[longest].reasons.clear();
                }
            }
            _ => {}
        }
    }

    pub(super) fn tag(
        &mut self,
        now: Time,
        peer: usize,
        name: &'static str,
        change: TagChange,
    ) -> Result<(), TagError> {
        let known = self.peers[peer].plain.iter().position(|tag| tag.0 == name);
        let before = known.map(|at| self.peers[peer].plain[at].1);
        let value = match change {
            TagChange::Remove => None,
            TagChange::Set(value) => Some(value),
            TagChange::Add(add) => Some(before.map_or(add, |value| value.saturating_add(add))),
            TagChange::Upsert { absent, add } => Some(before.map_or(absent, |value| value.saturating_add(add))),
        };
        match (known, value) {
            (None, None) => return Ok(()),
            (None, Some(value)) => {
                self.room_for_tag(peer)?;
                self.peers[peer].plain.push((name, value));
            }
            (Some(at), Some(value)) => self.peers[peer].plain[at].1 = value,
            (Some(at), None) => _ = self.peers[peer].plain.remove(at),
        }
        self.retagged(now, peer);
        Ok(())
    }

    pub(super) fn bump(&mut self, now: Time, peer: usize, name: &'static str, bump: Bump) -> Result<(), TagError> {
        self.defined(name)?;
        let known = self.peers[peer].fading.iter().position(|tag| tag.name == name);
        let before = known.map_or(0, |at| self.peers[peer].fading[at].value);
        let value = match bump {
            Bump::Unbounded(add) => before.saturating_add(add),
            Bump::Bounded { add, min, max } => before.saturating_add(add).max(min).min(max),
            Bump::Overwrite(value) => value,
        };
        if known.is_none() {
            self.room_for_tag(peer)?;
        }
        let fresh = Fading { name, value, bumped: now };
        match known {
            Some(at) => self.peers[peer].fading[at] = fresh,
            None => self.peers[peer].fading.push(fresh),
        }
        self.retagged(now, peer);
        Ok(())
    }

    pub(super) fn unbump(&mut self, now: Time, peer: usize, name: &str) -> Result<(), TagError> {
        self.defined(name)?;
        self.peers[peer].fading.retain(|tag| tag.name != name);
        self.retagged(now, peer);
        Ok(())
    }

    pub(super) fn define(&mut self, now: Time, name: &'static str, tag: DecayingTag) -> Result<(), TagError> {
        let cap = self.config.max_decaying;
        if self.defined(name).is_err() && self.defined.len() >= cap as usize {
            return Err(TagError::Full { what: "definitions of decaying tags", cap });
        }
        self.defined.retain(|defined| defined.name != name);
        self.defined.push(Defined { name, tag, next: now + tag.interval });
        Ok(())
    }

    pub(super) fn undefine(&mut self, now: Time, name: &str) -> Result<(), TagError> {
        self.defined(name)?;
        self.defined.retain(|defined| defined.name != name);
        for peer in 0..self.peers.len() {
            self.peers[peer].fading.retain(|tag| tag.name != name);
            self.retagged(now, peer);
        }
        Ok(())
    }

    pub(super) fn protect(&mut self, now: Time, peer: usize, reason: &'static str) -> Result<(), TagError> {
        if self.peers[peer].reasons.contains(&reason) {
            return Ok(());
        }
        let cap = self.config.max_protections;
        if self.peers[peer].reasons.len() >= cap as usize {
            return Err(TagError::Full { what: "reasons to protect this peer", cap });
        }
        let cap = self.config.max_protected_absent;
        if self.peers[peer].connections == 0 && self.peers[peer].reasons.is_empty() {
            if self.absent().len() >= cap as usize {
                return Err(TagError::Full { what: "protected peers without a connection", cap });
            }
            self.peers[peer].absent_since = now;
        }
        self.peers[peer].reasons.push(reason);
        Ok(())
    }

    pub(super) fn unprotect(&mut self, peer: usize, reason: &str) -> bool {
        self.peers[peer].reasons.retain(|known| *known != reason);
        !self.peers[peer].reasons.is_empty()
    }
}

/// One step of decay of one tag of one peer.
fn step(peer: &mut Peer, name: &str, decay: Decay, now: Time) {
    let left = |tag: &Fading| match decay {
        Decay::None => Some(tag.value),
        Decay::Fixed(less) => Some(tag.value.saturating_sub(less)).filter(|value| *value > 0),
        Decay::Linear { numerator, denominator } => {
            let value = i64::from(tag.value) * i64::from(numerator) / i64::from(denominator);
            Some(i32::try_from(value).unwrap()).filter(|value| *value > 0)
        }
        Decay::ExpireWhenInactive(after) => Some(tag.value).filter(|_| now.since(tag.bumped) < after),
    };
    peer.fading.retain_mut(|tag| {
        let left = if tag.name == name { left(tag) } else { Some(tag.value) };
        tag.value = left.unwrap_or_default();
        left.is_some()
    });
    if peer.tags() == 0 {
        peer.tags_end = None;
    }
}
