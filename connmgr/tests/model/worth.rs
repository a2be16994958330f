//! What peers are worth in the reference: tags, protection, who may be closed, in which order, and when.

use crate::reference::Model;
use crate::world::{MAX_NAME, NAMES, Op, PEERS, peer};
use core::cmp::Reverse;
use core::time::Duration;
use tidewire_connmgr::worth::{Bump, Decay, DecayingTag, Fate, TagChange, TagError};
use tidewire_connmgr::{CloseReason, Direction, Event, Misuse, RefuseReason};
use tidewire_core::Time;

#[derive(Clone, Debug, Default)]
pub(crate) struct Worth {
    tags: Vec<Tag>,
    decaying: Vec<Decaying>,
    definitions: Vec<Definition>,
    /// Peer, and name of the reason.
    protections: Vec<(usize, usize)>,
    /// Peers without a connection that are protected, and since when.
    absent: Vec<(usize, Time)>,
    /// Somebody was forgotten where nothing says which of several.
    pub(crate) ambiguous: bool,
    /// Peers without a connection that have tags, and when these end.
    early: Vec<(usize, Time)>,
    silent_until: Time,
    /// The last trim closed nothing, and that was told.
    idle_trim: bool,
    /// All steps of decay up to here were done.
    decayed: Time,
}

#[derive(Clone, Copy, Debug)]
struct Tag {
    peer: usize,
    name: usize,
    value: i32,
}

#[derive(Clone, Copy, Debug)]
struct Decaying {
    peer: usize,
    name: usize,
    value: i32,
    bumped: Time,
}

#[derive(Clone, Copy, Debug)]
struct Definition {
    name: usize,
    decay: Decay,
    interval: Duration,
    since: Time,
}

/// Where a connected peer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Protected,
    Grace,
    MayBeClosed,
}

/// Lesser goes first: value, no streams, inbound only, fewer streams, younger.
type Order = (i32, bool, bool, usize, Reverse<Time>);

impl Worth {
    /// Whether a protected peer without a connection is remembered.
    pub(crate) fn has_absent(&self) -> bool {
        !self.absent.is_empty()
    }

    /// A peer has a connection: its tags stay for as long as that.
    pub(crate) fn has_connection(&mut self, peer: usize) {
        self.early.retain(|(other, _)| *other != peer);
        self.absent.retain(|(other, _)| *other != peer);
    }
}

impl Definition {
    /// Steps are at multiples of the interval since the definition. The first of them after this moment.
    fn next_step(&self, after: Time) -> Time {
        let done = after.since(self.since).as_nanos() / self.interval.as_nanos();
        self.since + self.interval * u32::try_from(done + 1).unwrap_or(u32::MAX)
    }
}

fn check_name(name: usize) -> Result<(), TagError> {
    let got = NAMES[name].len();
    let max = usize::try_from(MAX_NAME).unwrap_or(usize::MAX);
    if (1..=max).contains(&got) { Ok(()) } else { Err(TagError::Name { max: MAX_NAME, got }) }
}

fn full(what: &'static str, cap: u32, used: usize) -> Result<(), TagError> {
    if u64::try_from(used).is_ok_and(|used| used < cap.into()) { Ok(()) } else { Err(TagError::Full { what, cap }) }
}

/// A sum that stops at the ends of 32 bits.
fn sum(values: impl Iterator<Item = i32>) -> i32 {
    let exact: i64 = values.map(i64::from).sum();
    i32::try_from(exact.clamp(i32::MIN.into(), i32::MAX.into())).unwrap_or_default()
}

/// What is left of a value after one step at this moment.
fn step(tag: Decaying, decay: Decay, at: Time) -> Option<i32> {
    let left = match decay {
        Decay::None => return Some(tag.value),
        Decay::ExpireWhenInactive(after) => return (at.since(tag.bumped) < after).then_some(tag.value),
        Decay::Fixed(less) => i64::from(tag.value) - i64::from(less),
        Decay::Linear { numerator, denominator } => {
            (i64::from(tag.value) * i64::from(numerator)).div_euclid(i64::from(denominator))
        }
    };
    i32::try_from(left).ok().filter(|left| *left > 0)
}

impl Model {
    pub(crate) fn worth_input(&mut self, op: Op) -> Result<(), Misuse> {
        Ok(match op {
            Op::Tag { peer, name, change } => self.tag(peer, name, change),
            Op::Define { name, decay } => self.define(name, decay),
            Op::RemoveDecaying { name } => self.undefine(name),
            Op::Bump { peer, name, bump } => self.bump(peer, name, bump),
            Op::Unbump { peer, name } => self.unbump(peer, name),
            Op::Protect { peer, name } => self.protect(peer, name),
            Op::Unprotect { peer, name } => {
                self.worth.protections.retain(|known| *known != (peer, name));
                if !self.is_protected(peer) {
                    self.worth.absent.retain(|(other, _)| *other != peer);
                }
                Ok(())
            }
            _ => Ok(()),
        }?)
    }

    fn has_open(&self, peer: usize) -> bool {
        !self.open_of(peer).is_empty()
    }

    pub(crate) fn is_protected(&self, peer: usize) -> bool {
        self.worth.protections.iter().any(|(other, _)| *other == peer)
    }

    pub(crate) fn protections(&self, peer: usize) -> Vec<&'static str> {
        let of_peer = self.worth.protections.iter().filter(|(other, _)| *other == peer);
        of_peer.map(|(_, name)| NAMES[*name]).collect()
    }

    /// Names and values of a peer's tags.
    pub(crate) fn tags(&self, peer: usize) -> Vec<(&'static str, i32)> {
        let plain = self.worth.tags.iter().filter(|tag| tag.peer == peer).map(|tag| (NAMES[tag.name], tag.value));
        let decaying =
            self.worth.decaying.iter().filter(|tag| tag.peer == peer).map(|tag| (NAMES[tag.name], tag.value));
        plain.chain(decaying).collect()
    }

    pub(crate) fn value(&self, peer: usize) -> i32 {
        sum(self.tags(peer).into_iter().map(|(_, value)| value))
    }

    fn room_for_tag(&self, peer: usize) -> Result<(), TagError> {
        full("tags of this peer", self.config.worth.max_tags, self.tags(peer).len())
    }

    fn tag(&mut self, peer: usize, name: usize, change: TagChange) -> Result<(), TagError> {
        check_name(name)?;
        let known = self.worth.tags.iter().find(|tag| (tag.peer, tag.name) == (peer, name)).map(|tag| tag.value);
        if change != TagChange::Remove && known.is_none() {
            self.room_for_tag(peer)?;
        }
        let value = match (change, known) {
            (TagChange::Remove, _) => None,
            (TagChange::Set(value), _) | (TagChange::Add(value), None) => Some(value),
            (TagChange::Upsert { absent, .. }, None) => Some(absent),
            (TagChange::Add(add) | TagChange::Upsert { add, .. }, Some(value)) => Some(sum([value, add].into_iter())),
        };
        self.worth.tags.retain(|tag| (tag.peer, tag.name) != (peer, name));
        if let Some(value) = value {
            self.worth.tags.push(Tag { peer, name, value });
        }
        self.tags_changed(peer);
        Ok(())
    }

    fn definition(&self, name: usize) -> Result<Definition, TagError> {
        check_name(name)?;
        let found = self.worth.definitions.iter().find(|known| known.name == name);
        found.copied().ok_or_else(|| TagError::Undefined(NAMES[name].into()))
    }

    fn define(&mut self, name: usize, decay: DecayingTag) -> Result<(), TagError> {
        check_name(name)?;
        let wrong = match decay.decay {
            _ if decay.interval.is_zero() => Some("a decaying tag needs an interval above 0"),
            Decay::Linear { denominator: 0, .. } => Some("the denominator of a linear decay is 0"),
            Decay::Linear { numerator, denominator } if numerator > denominator => {
                Some("a linear decay whose numerator is above its denominator would grow")
            }
            Decay::Fixed(..=-1) => Some("a fixed decay by less than 0 would grow"),
            _ => None,
        };
        if let Some(wrong) = wrong {
            return Err(TagError::Nonsense(wrong));
        }
        if self.definition(name).is_err() {
            let known = self.worth.definitions.len();
            full("definitions of decaying tags", self.config.worth.max_decaying, known)?;
        }
        // Rounded up to a multiple of the resolution.
        let resolution = self.config.worth.resolution;
        let mut interval = resolution;
        while interval < decay.interval {
            interval += resolution;
        }
        self.worth.definitions.retain(|known| known.name != name);
        self.worth.definitions.push(Definition { name, decay: decay.decay, interval, since: self.now });
        Ok(())
    }

    fn undefine(&mut self, name: usize) -> Result<(), TagError> {
        self.definition(name)?;
        self.worth.definitions.retain(|known| known.name != name);
        self.worth.decaying.retain(|tag| tag.name != name);
        (0..PEERS).for_each(|peer| self.tags_changed(peer));
        Ok(())
    }

    fn bump(&mut self, peer: usize, name: usize, bump: Bump) -> Result<(), TagError> {
        self.definition(name)?;
        if let Bump::Bounded { min, max, .. } = bump
            && min > max
        {
            return Err(TagError::Nonsense("the least sum of a bounded bump is above its greatest"));
        }
        let known = self.worth.decaying.iter().find(|tag| (tag.peer, tag.name) == (peer, name)).map(|tag| tag.value);
        if known.is_none() {
            self.room_for_tag(peer)?;
        }
        let before = known.unwrap_or(0);
        let value = match bump {
            Bump::Unbounded(add) => sum([before, add].into_iter()),
            Bump::Bounded { add, min, max } => sum([before, add].into_iter()).max(min).min(max),
            Bump::Overwrite(value) => value,
        };
        self.worth.decaying.retain(|tag| (tag.peer, tag.name) != (peer, name));
        self.worth.decaying.push(Decaying { peer, name, value, bumped: self.now });
        self.tags_changed(peer);
        Ok(())
    }

    fn unbump(&mut self, peer: usize, name: usize) -> Result<(), TagError> {
        self.definition(name)?;
        self.worth.decaying.retain(|tag| (tag.peer, tag.name) != (peer, name));
        self.tags_changed(peer);
        Ok(())
    }

    /// The tags of a peer without a connection end by themselves, and only so many peers may have such.
    fn tags_changed(&mut self, peer: usize) {
        if self.has_open(peer) {
            return;
        }
        if self.tags(peer).is_empty() {
            self.worth.early.retain(|(other, _)| *other != peer);
        } else if !self.worth.early.iter().any(|(other, _)| *other == peer) {
            self.worth.early.push((peer, self.now + self.config.worth.early_tags_ttl));
        }
        while self.worth.early.len() > usize::try_from(self.config.worth.max_early).unwrap_or(usize::MAX) {
            let least = self.worth.early.iter().min_by_key(|(other, end)| (self.value(*other), *end));
            if let Some((least, _)) = least.copied() {
                self.drop_tags(least);
            }
        }
    }

    fn drop_tags(&mut self, peer: usize) {
        self.worth.tags.retain(|tag| tag.peer != peer);
        self.worth.decaying.retain(|tag| tag.peer != peer);
        self.worth.early.retain(|(other, _)| *other != peer);
    }

    fn protect(&mut self, peer: usize, name: usize) -> Result<(), TagError> {
        check_name(name)?;
        if self.worth.protections.contains(&(peer, name)) {
            return Ok(());
        }
        let config = &self.config.worth;
        full("reasons to protect this peer", config.max_protections, self.protections(peer).len())?;
        if !self.has_open(peer) && !self.is_protected(peer) {
            full("protected peers without a connection", config.max_protected_absent, self.worth.absent.len())?;
            self.worth.absent.push((peer, self.now));
        }
        self.worth.protections.push((peer, name));
        Ok(())
    }

    /// A connection to this peer is gone, or is closing. Its tags die with the last one, its protection stays.
    pub(crate) fn connection_ended(&mut self, peer: usize, was_open: bool) {
        if !was_open || self.has_open(peer) {
            return;
        }
        self.drop_tags(peer);
        if self.is_protected(peer) {
            self.worth.absent.push((peer, self.now));
        }
        while self.worth.absent.len() > usize::try_from(self.config.worth.max_protected_absent).unwrap_or(usize::MAX) {
            let (longest, since) = self.worth.absent.remove(0);
            self.worth.ambiguous |= self.worth.absent.iter().any(|(_, other)| *other == since);
            self.worth.protections.retain(|(other, _)| *other != longest);
        }
    }

    /// When values decay, early tags end, or a trim is to be tried.
    pub(crate) fn next_worth(&self) -> Time {
        let early = self.worth.early.iter().map(|(_, end)| *end);
        let fading = |known: &&Definition| {
            known.decay != Decay::None && self.worth.decaying.iter().any(|tag| tag.name == known.name)
        };
        let steps = self.worth.definitions.iter().filter(fading).map(|known| known.next_step(self.now));
        early.chain(steps).chain(self.next_trim()).min().unwrap_or(Time::NEVER)
    }

    /// Steps up to now were done, or concerned nobody. They are none of a later tag's.
    pub(crate) fn no_step_is_due(&mut self) {
        self.worth.decayed = self.now;
    }

    /// Values decay, early tags end.
    pub(crate) fn worth_passes(&mut self) {
        for known in self.worth.definitions.clone() {
            let mut at = known.next_step(self.worth.decayed);
            while at <= self.now {
                for mut tag in core::mem::take(&mut self.worth.decaying) {
                    if tag.name == known.name {
                        let Some(left) = step(tag, known.decay, at) else { continue };
                        tag.value = left;
                    }
                    self.worth.decaying.push(tag);
                }
                at = at + known.interval;
            }
        }
        self.worth.decayed = self.now;
        (0..PEERS).for_each(|peer| self.tags_changed(peer));
        for (peer, end) in self.worth.early.clone() {
            if end <= self.now {
                self.drop_tags(peer);
            }
        }
    }

    pub(crate) fn standing(&self, peer: usize) -> Option<Standing> {
        let youngest = self.open_of(peer).into_iter().map(|connection| connection.since).max()?;
        Some(if self.is_protected(peer) {
            Standing::Protected
        } else if youngest + self.config.worth.grace > self.now {
            Standing::Grace
        } else {
            Standing::MayBeClosed
        })
    }

    fn order(&self, peer: usize) -> Order {
        let open = self.open_of(peer);
        let streams = open.iter().map(|connection| self.streams_on(connection.id).len()).sum();
        let outbound = open.iter().any(|connection| connection.direction == Direction::Outbound);
        let youngest = open.iter().map(|connection| connection.since).max().unwrap_or(Time::ZERO);
        (self.value(peer), streams > 0, outbound, streams, Reverse(youngest))
    }

    /// Peers that stand like this, the first to go first.
    fn in_order(&self, which: &[Standing]) -> Vec<usize> {
        let mut found: Vec<usize> =
            (0..PEERS).filter(|peer| self.standing(*peer).is_some_and(|standing| which.contains(&standing))).collect();
        found.sort_by_key(|peer| self.order(*peer));
        found
    }

    /// Connections of peers that stand like this.
    fn connections_that(&self, which: &[Standing]) -> u32 {
        let open = self.in_order(which).into_iter().map(|peer| self.open_of(peer).len()).sum::<usize>();
        u32::try_from(open).unwrap_or(u32::MAX)
    }

    fn all_open(&self) -> u32 {
        self.connections_that(&[Standing::Protected, Standing::Grace, Standing::MayBeClosed])
    }

    fn trimming_is_off(&self) -> bool {
        self.config.worth.low == 0 || self.config.worth.high == 0
    }

    fn next_trim(&self) -> Option<Time> {
        (!self.trimming_is_off() && self.all_open() >= self.config.worth.high).then_some(self.worth.silent_until)
    }

    pub(crate) fn trim_if_due(&mut self) {
        if self.next_trim().is_some_and(|at| at <= self.now) {
            self.trim();
        }
    }

    /// "A trim leaves this many connections that may be closed."
    pub(crate) fn trim(&mut self) {
        let target = self.connections_that(&[Standing::MayBeClosed]).saturating_sub(self.config.worth.low);
        let target = if self.trimming_is_off() { 0 } else { target };
        let line = self.in_order(&[Standing::MayBeClosed]);
        self.trim_line(&line, target, false, |value| CloseReason::Trimmed { value });
    }

    /// Over grace, and over protection if nothing else is left; the tags of peers without a connection go.
    pub(crate) fn emergency(&mut self) {
        for (peer, _) in self.worth.early.clone() {
            self.drop_tags(peer);
        }
        // Without a low watermark nothing says how many may stay.
        let low = self.config.worth.low;
        let target = if low == 0 { 0 } else { self.all_open().saturating_sub(low) };
        let mut line = self.in_order(&[Standing::MayBeClosed, Standing::Grace]);
        line.extend(self.in_order(&[Standing::Protected]));
        self.trim_line(&line, target, true, |_| CloseReason::Emergency);
    }

    fn trim_line(&mut self, line: &[usize], target: u32, over_grace: bool, reason: impl Fn(i32) -> CloseReason) {
        let of = self.all_open();
        let mut closed = 0;
        for peer in line.iter().copied() {
            if closed < target {
                closed += u32::try_from(self.open_of(peer).len()).unwrap_or(u32::MAX);
                let reason = reason(self.value(peer));
                self.close_peer(peer, &reason);
            }
        }
        // Those that were passed over are still there. An emergency passes over nobody for being in grace.
        let protected = self.connections_that(&[Standing::Protected]);
        let in_grace = if over_grace { 0 } else { self.connections_that(&[Standing::Grace]) };
        self.worth.silent_until = self.now + self.config.worth.silence.max(Duration::from_millis(1));
        if closed > 0 || !self.worth.idle_trim {
            self.tell(Event::Trimmed { closed, of, protected, in_grace });
        }
        self.worth.idle_trim = closed == 0;
    }

    /// Who goes when all places are taken: only one who is worth less; at the same value one without streams whose
    /// connections are all inbound, for a newcomer that we dialed. For a protected newcomer anybody who may be closed.
    pub(crate) fn victim_for(&self, newcomer: usize, direction: Direction, cap: u32) -> Result<usize, RefuseReason> {
        let mut line = self.in_order(&[Standing::MayBeClosed]);
        line.retain(|peer| *peer != newcomer);
        let value = self.value(newcomer);
        let first = line.first().copied();
        if let Some(first) = first {
            let (least, streams, outbound, ..) = self.order(first);
            let dialed = direction == Direction::Outbound && !streams && !outbound;
            if self.is_protected(newcomer) || least < value || (least == value && dialed) {
                return Ok(first);
            }
        }
        let protected = self.connections_that(&[Standing::Protected]);
        let in_grace = self.connections_that(&[Standing::Grace]);
        Err(RefuseReason::Full { cap, protected, in_grace, value, least: first.map(|first| self.value(first)) })
    }

    /// Whether anything is known of the peer.
    pub(crate) fn is_known(&self, peer: usize) -> bool {
        !self.of(peer).is_empty()
            || self.peer_memory[peer] > 0
            || !self.tags(peer).is_empty()
            || self.is_protected(peer)
            || self.dials.remembers(peer)
    }

    /// What `explain` must say of a peer, in one line.
    pub(crate) fn explanation(&self, n: usize) -> String {
        let may_be_closed = self.connections_that(&[Standing::MayBeClosed]);
        let target = if self.trimming_is_off() { 0 } else { may_be_closed.saturating_sub(self.config.worth.low) };
        let line = self.in_order(&[Standing::MayBeClosed]);
        let before: Vec<usize> = line.iter().copied().take_while(|other| *other != n).collect();
        let connections: usize = before.iter().map(|other| self.open_of(*other).len()).sum();
        let streams: usize = self.open_of(n).iter().map(|connection| self.streams_on(connection.id).len()).sum();
        let rank = format!(
            "value {} of {} tags, {streams} streams, place {} of {}, {connections} before, {target} must go",
            self.value(n),
            self.tags(n).len(),
            before.len() + 1,
            line.len(),
        );
        let mut reasons = self.protections(n);
        reasons.sort_unstable();
        let fate = match self.standing(n) {
            None if !self.of(n).is_empty() => "closing".to_owned(),
            None => format!("not connected, {} tags, {reasons:?}", self.tags(n).len()),
            Some(Standing::Protected) => format!("protected, {reasons:?}"),
            Some(Standing::Grace) => {
                let youngest = self.open_of(n).into_iter().map(|connection| connection.since).max().unwrap_or_default();
                let left = (youngest + self.config.worth.grace).since(self.now);
                format!("in grace for {left:?}, value {}", self.value(n))
            }
            Some(Standing::MayBeClosed) if u32::try_from(connections).is_ok_and(|before| before < target) => {
                format!("would close: {rank}")
            }
            Some(Standing::MayBeClosed) => format!("kept: {rank}"),
        };
        let next = self.next_trim().map(|at| at.since(self.now));
        format!("{fate}; {} connections, {may_be_closed} may be closed, next trim {next:?}", self.all_open())
    }
}

/// What the machine's `explain` says, in the same words.
pub(crate) fn told(verdict: &tidewire_connmgr::worth::Verdict) -> String {
    let rank = |rank: &tidewire_connmgr::worth::Rank| {
        format!(
            "value {} of {} tags, {} streams, place {} of {}, {} before, {} must go",
            rank.value, rank.tags, rank.streams, rank.place, rank.of, rank.before, rank.must_go
        )
    };
    let sorted = |reasons: &[_]| {
        let mut reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect::<Vec<String>>();
        reasons.sort();
        reasons
    };
    let fate = match &verdict.fate {
        Fate::NotConnected { tags, reasons } => format!("not connected, {tags} tags, {:?}", sorted(reasons)),
        Fate::Protected { reasons } => format!("protected, {:?}", sorted(reasons)),
        Fate::InGrace { left, value } => format!("in grace for {left:?}, value {value}"),
        Fate::WouldClose { rank: place } => format!("would close: {}", rank(place)),
        Fate::Kept { rank: place } => format!("kept: {}", rank(place)),
        Fate::Closing => "closing".to_owned(),
        other => format!("{other:?}"),
    };
    let (all, may, next) = (verdict.connections, verdict.may_be_closed, verdict.next_trim);
    format!("{fate}; {all} connections, {may} may be closed, next trim {next:?}")
}

/// Whose value it is, for messages of failed comparisons.
pub(crate) fn name_of(n: usize) -> String {
    format!("peer {n} ({})", peer(n))
}
