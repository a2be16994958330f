//! One job: everything about reaching one peer, for all who want it.
//!
//! ```text
//! an address:
//!
//!   New --usable, permitted, among the best--> Pending --delay over, or nothing else under way--> Ready
//!    |                                            |                                                 | its turn
//!    '--> Skipped <-------------------------------'                                                 v
//!         (looked at again when callers come      Ended <---established, failed, aborted--------- Live
//!          or go, or the network changes)
//! ```

use super::shared::Shared;
use super::{AddressReport, DialAction, DialFailure, DialFault, DialOptions, DialReport, Outcome};
use super::{rank, takes_descriptor, usable};
use crate::{ConnectionId, DialId, RequestId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem::{size_of, take};
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Time};

#[derive(Clone, Debug)]
pub(super) struct Job {
    peer: PeerId,
    /// In the order in which they came, and so in which their times end.
    callers: Vec<Caller>,
    entries: Vec<Entry>,
    /// Addresses that are no longer in `entries`, or never were.
    unlisted: usize,
    /// How many entries are live.
    live: u32,
    /// Callers, addresses or the network changed since the plan was made.
    stale: bool,
}

#[derive(Clone, Copy, Debug)]
struct Caller {
    request: RequestId,
    options: DialOptions,
    since: Time,
    /// When the peer has had its time with this caller.
    until: Time,
}

#[derive(Clone, Debug)]
struct Entry {
    /// As the caller wrote it.
    address: Multiaddr,
    /// Without the peer's own id at its end: what backoffs and black holes know it by.
    key: Multiaddr,
    relayed: bool,
    descriptor: bool,
    hole: Hole,
    /// Its place in the rank.
    order: usize,
    state: State,
}

/// What the black-hole detector said. It is asked once, because it counts how often it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hole {
    Unasked,
    Open,
    Closed(&'static str),
}

#[derive(Clone, Debug)]
enum State {
    New,
    /// Delays count from when it was first considered, so that those who come late are staggered too.
    Pending {
        since: Time,
        at: Time,
    },
    Ready,
    Live {
        dial: DialId,
        since: Time,
        limit: Duration,
        connected: bool,
    },
    Skipped(Outcome),
    Ended {
        outcome: Outcome,
        took: Duration,
    },
}

impl Job {
    pub(super) fn new(peer: PeerId) -> Self {
        Job { peer, callers: Vec::new(), entries: Vec::new(), unlisted: 0, live: 0, stale: false }
    }

    /// The report for a caller who is turned away at the door.
    pub(super) fn refused(
        shared: &Shared,
        peer: PeerId,
        addresses: &[Multiaddr],
        why: &DialFailure,
        outcome: &Outcome,
    ) -> Box<DialReport> {
        let mut job = Job::new(peer);
        job.add(addresses);
        for entry in &mut job.entries {
            entry.state = State::Skipped(outcome.clone());
        }
        job.forget_excess(usize::try_from(shared.config.max_listed).unwrap_or(usize::MAX));
        Box::new(job.report(shared, false, Some(why)))
    }

    /// Whether someone waits.
    pub(super) fn is_wanted(&self) -> bool {
        !self.callers.is_empty()
    }

    /// Whether nothing is left to do, so that it can be forgotten.
    pub(super) fn is_over(&self) -> bool {
        self.callers.is_empty() && self.live == 0
    }

    pub(super) fn callers(&self) -> usize {
        self.callers.len()
    }

    pub(super) fn live(&self) -> u32 {
        self.live
    }

    /// One more caller. The first one begins the job anew; handshakes that an earlier job left behind are part of it.
    pub(super) fn join(&mut self, shared: &Shared, request: RequestId, addresses: &[Multiaddr], options: DialOptions) {
        if self.callers.is_empty() {
            self.unlisted = 0;
        }
        let (since, until) = (shared.now, shared.now + shared.config.peer_timeout);
        self.callers.push(Caller { request, options, since, until });
        self.add(addresses);
        self.stale = true;
    }

    /// A caller leaves, unanswered. If it was the last, all dials end, handshakes too: they belong to nobody.
    pub(super) fn leave(&mut self, shared: &mut Shared, request: RequestId) {
        self.callers.retain(|caller| caller.request != request);
        self.stale = true;
        if self.callers.is_empty() {
            self.abort(shared, |_, _| true);
        }
    }

    /// A dial's transport is connected. Whether it was not before.
    pub(super) fn progress(&mut self, dial: DialId) -> bool {
        match self.find(dial).map(|entry| &mut entry.state) {
            Some(State::Live { connected, .. }) if !*connected => {
                *connected = true;
                true
            }
            _ => false,
        }
    }

    /// A dial became a connection.
    pub(super) fn established(&mut self, shared: &mut Shared, dial: DialId, connection: ConnectionId, direct: bool) {
        if let Some((key, _)) = self.ended(shared, dial, Outcome::Connected(connection)) {
            shared.holes.outcome(&key, true);
        }
        shared.backoffs.succeeded(self.peer);
        self.answer(shared, connection, |options| direct || !options.direct_only);
    }

    /// A dial failed.
    pub(super) fn failed(&mut self, shared: &mut Shared, dial: DialId, fault: &DialFault) {
        if let Some((key, connected)) = self.ended(shared, dial, Outcome::Failed(fault.clone())) {
            shared.learn(self.peer, &key, fault, connected);
        }
    }

    /// There is another connection.
    pub(super) fn connected(&mut self, shared: &mut Shared, connection: ConnectionId, direct: bool) {
        self.answer(shared, connection, |options| !options.new && (direct || !options.direct_only));
    }

    /// What was learnt about reaching addresses is void.
    pub(super) fn network_changed(&mut self) {
        for entry in &mut self.entries {
            entry.hole = Hole::Unasked;
        }
        self.stale = true;
    }

    /// Everything ends: dials are aborted, handshakes too, and the callers are told why.
    pub(super) fn end(&mut self, shared: &mut Shared, why: &DialFailure) {
        self.abort(shared, |_, _| true);
        let callers = take(&mut self.callers);
        self.fail(shared, &callers, Some(why));
        self.stale = true;
    }

    /// Time passed: dials that took too long are aborted, and callers whose time is over are told.
    pub(super) fn tick(&mut self, shared: &mut Shared) {
        for entry in &mut self.entries {
            let State::Live { since, limit, .. } = entry.state else { continue };
            if since + limit > shared.due {
                continue;
            }
            entry.time_out(shared, self.peer, limit);
            self.live = self.live.saturating_sub(1);
        }
        let late = self.callers.iter().take_while(|caller| caller.until <= shared.due).count();
        let late: Vec<_> = self.callers.drain(..late).collect();
        if late.is_empty() {
            return;
        }
        if self.callers.is_empty() {
            // What the addresses had was all the time that there was: they did not answer in it.
            for entry in &mut self.entries {
                let State::Live { since, .. } = entry.state else { continue };
                entry.time_out(shared, self.peer, shared.due.since(since));
                self.live = self.live.saturating_sub(1);
            }
        }
        let timeout = shared.config.peer_timeout;
        self.fail(shared, &late, Some(&DialFailure::Timeout(timeout)));
        self.stale = true;
    }

    /// Brings everything into line with what happened, up to the point where only a turn can begin a dial.
    pub(super) fn settle(&mut self, shared: &mut Shared) {
        while self.is_wanted() {
            if take(&mut self.stale) {
                self.plan(shared);
            }
            self.advance(shared.due);
            if !self.fail_hopeless(shared) {
                return;
            }
        }
        // Nobody waits any more. A handshake in progress is never cancelled because another connection was established: the
        // other side may be cancelling that one for the same reason.
        self.abort(shared, |_, connected| !connected);
        self.entries.retain(|entry| matches!(entry.state, State::Live { .. }));
        self.entries.shrink_to_fit();
        self.callers = Vec::new();
    }

    /// Whether an address waits for its turn; and whether one does that takes no file descriptor.
    pub(super) fn ready(&self, now: Time) -> (bool, bool) {
        if self.until() <= now {
            return (false, false);
        }
        let mut ready = self.entries.iter().filter(|entry| matches!(entry.state, State::Ready)).peekable();
        (ready.peek().is_some(), ready.any(|entry| !entry.descriptor))
    }

    /// Its turn: dials the best address that is ready, or finds that it may not be dialed any more.
    pub(super) fn start(&mut self, shared: &mut Shared, descriptors: bool) {
        let (peer, forced) = (self.peer, self.forced());
        if self.until() <= shared.now {
            return;
        }
        let ready = |entry: &&mut Entry| matches!(entry.state, State::Ready) && (descriptors || !entry.descriptor);
        let Some(entry) = self.entries.iter_mut().filter(ready).min_by_key(|entry| entry.order) else { return };
        // The gate, or an earlier job's dial to the same place, may have changed this since it was planned.
        if let Err(outcome) = shared.permits(peer, &entry.address, &entry.key, forced) {
            entry.state = State::Skipped(outcome);
            return;
        }
        let since = shared.now;
        let limit = shared.address_timeout(&entry.address);
        let dial = shared.dial(peer, entry.address.clone(), entry.descriptor, limit);
        entry.state = State::Live { dial, since, limit, connected: false };
        self.live = self.live.saturating_add(1);
    }

    /// When to `tick` or to `settle` again.
    pub(super) fn deadline(&self) -> Time {
        let whole = self.callers.first().map_or(Time::NEVER, |caller| caller.until);
        self.entries.iter().fold(whole, |soonest, entry| match entry.state {
            State::Pending { at, .. } => soonest.min(at),
            State::Live { since, limit, .. } => soonest.min(since + limit),
            _ => soonest,
        })
    }

    pub(super) fn memory_used(&self) -> usize {
        let addresses = |entry: &Entry| entry.address.memory_used() + entry.key.memory_used();
        self.callers.capacity() * size_of::<Caller>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.entries.iter().map(addresses).sum::<usize>()
    }

    /// When the peer has had its time with all callers.
    fn until(&self) -> Time {
        self.callers.last().map_or(Time::ZERO, |caller| caller.until)
    }

    fn forced(&self) -> bool {
        self.callers.iter().any(|caller| caller.options.forced)
    }

    /// Whether nobody accepts a relayed connection.
    fn direct_only(&self) -> bool {
        self.callers.iter().all(|caller| caller.options.direct_only)
    }

    fn find(&mut self, wanted: DialId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| matches!(entry.state, State::Live { dial, .. } if dial == wanted))
    }

    /// Takes in the addresses that are not there yet. Linear in theirs, times the logarithm of all.
    fn add(&mut self, addresses: &[Multiaddr]) {
        let mut known: Vec<Multiaddr> = self.entries.iter().map(|entry| entry.key.clone()).collect();
        known.sort_unstable();
        let mut fresh: Vec<(Multiaddr, usize)> =
            addresses.iter().enumerate().map(|(at, address)| (key(address, self.peer), at)).collect();
        fresh.sort_unstable();
        fresh.dedup_by(|later, earlier| later.0 == earlier.0);
        fresh.retain(|(key, _)| known.binary_search(key).is_err());
        fresh.sort_unstable_by_key(|(_, at)| *at);
        self.entries.reserve_exact(fresh.len());
        for (key, at) in fresh {
            let Some(address) = addresses.get(at) else { continue };
            self.entries.push(Entry {
                address: address.clone(),
                relayed: key.is_relayed(),
                descriptor: takes_descriptor(&key),
                key,
                hole: Hole::Unasked,
                order: usize::MAX,
                state: State::New,
            });
        }
    }

    /// Decides anew about each address that was not dialed: whether, and when.
    fn plan(&mut self, shared: &mut Shared) {
        let (peer, forced, direct_only) = (self.peer, self.forced(), self.direct_only());
        if direct_only {
            self.abort(shared, |entry, connected| entry.relayed && !connected);
        }
        let mut keys = Vec::with_capacity(self.entries.len());
        let mut started = 0_u32;
        for entry in &mut self.entries {
            match entry.state {
                State::Live { .. } | State::Ended { .. } => started = started.saturating_add(1),
                State::New | State::Pending { .. } | State::Ready | State::Skipped(_) => {
                    match entry.admit(shared, peer, direct_only, forced) {
                        Err(outcome) => {
                            entry.state = State::Skipped(outcome);
                            continue;
                        }
                        Ok(()) if matches!(entry.state, State::Ready | State::Pending { .. }) => {}
                        Ok(()) => entry.state = State::Pending { since: shared.now, at: shared.now },
                    }
                }
            }
            keys.push(entry.key.clone());
        }

        let mut room = shared.config.max_addresses.saturating_sub(started);
        let places = self.places();
        for (order, ranked) in rank(&keys, &shared.config.delays).into_iter().enumerate() {
            let Some(at) = place(&places, &ranked.address) else { continue };
            let Some(entry) = self.entries.get_mut(at) else { continue };
            entry.order = order;
            match &mut entry.state {
                State::Pending { .. } | State::Ready if room == 0 => entry.state = State::Skipped(Outcome::TooMany),
                State::Pending { since, at } => {
                    *at = *since + ranked.delay;
                    room -= 1;
                }
                State::Ready => room -= 1,
                _ => {}
            }
        }
        self.forget_excess(usize::try_from(shared.config.max_listed).unwrap_or(usize::MAX));
    }

    /// Holds the list to its cap. Only what won't be dialed goes, the last that came first.
    fn forget_excess(&mut self, cap: usize) {
        let mut excess = self.entries.len().saturating_sub(cap);
        if excess == 0 {
            return;
        }
        let mut skipped = self.entries.iter().filter(|entry| matches!(entry.state, State::Skipped(_))).count();
        let before = self.entries.len();
        excess = excess.min(skipped);
        self.entries.retain(|entry| {
            if !matches!(entry.state, State::Skipped(_)) {
                return true;
            }
            skipped -= 1;
            skipped >= excess
        });
        self.entries.shrink_to_fit();
        self.unlisted = self.unlisted.saturating_add(before - self.entries.len());
    }

    /// Makes those ready whose delay is over. With nothing under way, the delay of the next ones is cut short (go-libp2p).
    fn advance(&mut self, now: Time) {
        let soonest = |entries: &[Entry]| {
            let at = |entry: &Entry| if let State::Pending { at, .. } = entry.state { Some(at) } else { None };
            entries.iter().filter_map(at).min()
        };
        let idle = self.live == 0 && !self.entries.iter().any(|entry| matches!(entry.state, State::Ready));
        let Some(next) = soonest(&self.entries) else { return };
        let now = if idle { next.max(now) } else { now };
        for entry in &mut self.entries {
            if matches!(entry.state, State::Pending { at, .. } if at <= now) {
                entry.state = State::Ready;
            }
        }
    }

    /// Fails the callers whom no address can suit any more; whether there were any.
    fn fail_hopeless(&mut self, shared: &mut Shared) -> bool {
        let open = |entry: &&Entry| matches!(entry.state, State::Pending { .. } | State::Ready | State::Live { .. });
        let any = self.entries.iter().any(|entry| open(&entry));
        let direct = self.entries.iter().filter(open).any(|entry| !entry.relayed);
        let hope = |caller: &Caller| if caller.options.direct_only { direct } else { any };
        if self.callers.iter().all(hope) {
            return false;
        }
        let (stay, leave): (Vec<_>, Vec<_>) = take(&mut self.callers).into_iter().partition(hope);
        self.callers = stay;
        self.stale = true;
        self.fail(shared, &leave, None);
        true
    }

    /// Ends a live entry: its key, and whether its transport was connected.
    fn ended(&mut self, shared: &mut Shared, wanted: DialId, outcome: Outcome) -> Option<(Multiaddr, bool)> {
        let now = shared.now;
        shared.forget(wanted);
        let entry = self.find(wanted)?;
        let State::Live { since, connected, .. } = entry.state else { return None };
        entry.state = State::Ended { outcome, took: now.since(since) };
        let key = entry.key.clone();
        self.live = self.live.saturating_sub(1);
        Some((key, connected))
    }

    /// Aborts the dials that `which` names, given whether their transports are connected.
    fn abort(&mut self, shared: &mut Shared, which: impl Fn(&Entry, bool) -> bool) {
        for entry in &mut self.entries {
            let State::Live { dial, since, connected, .. } = entry.state else { continue };
            if which(entry, connected) {
                shared.abort(dial, false);
                self.live = self.live.saturating_sub(1);
                entry.state = State::Ended { outcome: Outcome::Aborted, took: shared.now.since(since) };
            }
        }
    }

    fn answer(&mut self, shared: &mut Shared, connection: ConnectionId, suits: impl Fn(&DialOptions) -> bool) {
        let peer = self.peer;
        self.callers.retain(|caller| {
            let suited = suits(&caller.options);
            if suited {
                let request = caller.request;
                shared.answer(request, DialAction::Answered { request, peer, connection });
            }
            !suited
        });
        self.stale = true;
    }

    /// Tells callers that it did not come true. Without a reason it is that all addresses are through.
    fn fail(&self, shared: &mut Shared, callers: &[Caller], why: Option<&DialFailure>) {
        let mut reports = [None, None];
        for Caller { request, options, since, .. } in callers.iter().copied() {
            let [any, direct] = &mut reports;
            let template = if options.direct_only { direct } else { any };
            let template = template.get_or_insert_with(|| self.report(shared, options.direct_only, why));
            let report = Box::new(DialReport { took: shared.now.since(since), ..template.clone() });
            shared.answer(request, DialAction::Failed { request, peer: self.peer, report });
        }
    }

    fn report(&self, shared: &Shared, direct_only: bool, why: Option<&DialFailure>) -> DialReport {
        let keys: Vec<Multiaddr> = self.entries.iter().map(|entry| entry.key.clone()).collect();
        let places = self.places();
        let mut order: Vec<usize> = Vec::with_capacity(keys.len());
        let mut listed = alloc::vec![false; keys.len()];
        let ranked = rank(&keys, &shared.config.delays);
        let ranked = ranked.iter().filter_map(|ranked| place(&places, &ranked.address));
        for at in ranked.chain(0..keys.len()) {
            match listed.get_mut(at) {
                Some(listed) if !*listed => *listed = true,
                _ => continue,
            }
            order.push(at);
        }
        let addresses: Vec<AddressReport> =
            order.into_iter().filter_map(|at| Some(self.entries.get(at)?.report(shared.now, direct_only))).collect();
        let failed = addresses.iter().filter(|row| matches!(row.outcome, Outcome::Failed(_))).count();
        let all = addresses.len().saturating_add(self.unlisted);
        let why = match why {
            Some(why) => why.clone(),
            None if all == 0 => DialFailure::NoAddresses,
            None if failed > 0 => DialFailure::AllFailed(failed),
            None if direct_only && self.entries.iter().any(|entry| entry.relayed) => DialFailure::NoneDirect(all),
            None => DialFailure::NoneDialable(all),
        };
        DialReport { peer: self.peer, why, addresses, unlisted: self.unlisted, took: Duration::ZERO }
    }

    /// The places of the entries, sorted by key: what [`place`] searches.
    fn places(&self) -> Vec<(Multiaddr, usize)> {
        let mut places: Vec<_> = self.entries.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at)).collect();
        places.sort_unstable();
        places
    }
}

impl Entry {
    /// Its dial is aborted, because it had this much time: a failure of the address.
    fn time_out(&mut self, shared: &mut Shared, peer: PeerId, after: Duration) {
        let State::Live { dial, since, connected, .. } = self.state else { return };
        let fault = DialFault::Timeout(after);
        shared.learn(peer, &self.key, &fault, connected);
        shared.abort(dial, true);
        self.state = State::Ended { outcome: Outcome::Failed(fault), took: shared.now.since(since) };
    }

    /// Whether it may be dialed, as things stand.
    fn admit(&mut self, shared: &mut Shared, peer: PeerId, direct_only: bool, forced: bool) -> Result<(), Outcome> {
        usable(&self.key, peer, direct_only)?;
        // One that names the peer twice would be the same place as one that names it once, and be dialed beside it.
        if self.key.peer_id().is_some() {
            return Err(Outcome::Undialable);
        }
        shared.permits(peer, &self.address, &self.key, forced)?;
        if forced {
            return Ok(());
        }
        if self.hole == Hole::Unasked {
            self.hole = shared.holes.allows(&self.key).map_or_else(Hole::Closed, |()| Hole::Open);
        }
        match self.hole {
            Hole::Closed(kind) => Err(Outcome::BlackHole { kind }),
            Hole::Open | Hole::Unasked => Ok(()),
        }
    }

    /// What came of it, for a caller who fails now.
    fn report(&self, now: Time, direct_only: bool) -> AddressReport {
        let (outcome, took) = match &self.state {
            State::Ended { outcome, took } => (outcome.clone(), *took),
            State::Skipped(outcome) => (outcome.clone(), Duration::ZERO),
            _ if direct_only && self.relayed => (Outcome::Relayed, Duration::ZERO),
            State::Live { since, .. } => (Outcome::Unfinished, now.since(*since)),
            State::New | State::Pending { .. } | State::Ready => (Outcome::NotTried, Duration::ZERO),
        };
        AddressReport { address: self.address.clone(), outcome, took }
    }
}

/// An address without this peer's own id at its end.
pub(super) fn key(address: &Multiaddr, peer: PeerId) -> Multiaddr {
    if address.peer_id() == Some(peer) { address.without_peer_id() } else { address.clone() }
}

fn place(places: &[(Multiaddr, usize)], key: &Multiaddr) -> Option<usize> {
    let at = places.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
    places.get(at).map(|(_, place)| *place)
}
