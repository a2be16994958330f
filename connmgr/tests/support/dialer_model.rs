//! The dialer as lists: everything is found anew, each time. No black holes, no jitter.

use super::{key, kind, peer};
use core::time::Duration;
use tidewire_connmgr::dial::{
    AddressReport, DialAction, DialConfig, DialCounts, DialFailure, DialFault, DialInput, DialMisuse, DialOptions,
    DialReport, Outcome, rank, usable,
};
use tidewire_connmgr::{ConnectionId, DialId, RequestId};
use tidewire_core::{Multiaddr, PeerId, Time};

/// The dialer as lists.
#[derive(Default)]
pub(crate) struct Model {
    config: DialConfig,
    now: Time,
    due: Time,
    /// In the order of the peers.
    pub(crate) jobs: Vec<Job>,
    line: Vec<PeerId>,
    dials: u64,
    /// Until when, after how many failures.
    backoffs: Vec<(PeerId, Multiaddr, Time, u32)>,
    pub(crate) denied: Vec<Multiaddr>,
    shut_down: bool,
    pub(crate) actions: Vec<DialAction>,
}

pub(crate) struct Job {
    pub(crate) peer: PeerId,
    callers: Vec<(RequestId, DialOptions, Time)>,
    entries: Vec<Entry>,
    stale: bool,
}

struct Entry {
    address: Multiaddr,
    key: Multiaddr,
    order: usize,
    state: State,
}

#[derive(Clone)]
enum State {
    Waits { since: Time, at: Time },
    Ready,
    Live { dial: DialId, since: Time, connected: bool },
    Out(Outcome),
    Ended(Outcome, Duration),
}

impl Job {
    fn live(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.state, State::Live { .. })).count()
    }

    fn until(&self, config: &DialConfig) -> Time {
        self.callers.last().map_or(Time::ZERO, |last| last.2 + config.peer_timeout)
    }

    fn find(&mut self, wanted: DialId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| matches!(entry.state, State::Live { dial, .. } if dial == wanted))
    }

    fn report(&self, now: Time, direct_only: bool, why: Option<&DialFailure>) -> DialReport {
        let mut order: Vec<Multiaddr> = Vec::new();
        let keys: Vec<_> = self.entries.iter().map(|entry| entry.key.clone()).collect();
        let ranked = rank(&keys, &DialConfig::default().delays).into_iter().map(|ranked| ranked.address);
        for key in ranked.chain(keys.iter().cloned()) {
            if !order.contains(&key) {
                order.push(key);
            }
        }
        let row = |key: &Multiaddr| {
            let entry = self.entries.iter().find(|entry| entry.key == *key).unwrap();
            let (outcome, took) = match &entry.state {
                State::Ended(outcome, took) => (outcome.clone(), *took),
                State::Out(outcome) => (outcome.clone(), Duration::ZERO),
                _ if direct_only && key.is_relayed() => (Outcome::Relayed, Duration::ZERO),
                State::Live { since, .. } => (Outcome::Unfinished, now.since(*since)),
                _ => (Outcome::NotTried, Duration::ZERO),
            };
            AddressReport { address: entry.address.clone(), outcome, took }
        };
        let addresses: Vec<_> = order.iter().map(row).collect();
        let failed = addresses.iter().filter(|row| matches!(row.outcome, Outcome::Failed(_))).count();
        let relayed = keys.iter().any(Multiaddr::is_relayed);
        let why = match (why, keys.len(), failed) {
            (Some(why), ..) => why.clone(),
            (None, 0, _) => DialFailure::NoAddresses,
            (None, _, 1..) => DialFailure::AllFailed(failed),
            (None, all, 0) if direct_only && relayed => DialFailure::NoneDirect(all),
            (None, all, 0) => DialFailure::NoneDialable(all),
        };
        DialReport { peer: self.peer, why, addresses, unlisted: 0, took: Duration::ZERO }
    }

    fn add(&mut self, addresses: &[Multiaddr], state: &State) {
        for address in addresses {
            let key = key(address, self.peer);
            if self.entries.iter().all(|entry| entry.key != key) {
                self.entries.push(Entry { address: address.clone(), key, order: usize::MAX, state: state.clone() });
            }
        }
    }
}

impl Model {
    pub(crate) fn new(config: DialConfig) -> Self {
        Model { config, ..Model::default() }
    }

    pub(crate) fn handle(&mut self, now: Time, input: &DialInput<'_>) -> Result<(), DialMisuse> {
        (self.now, self.due) = (now, now);
        match *input {
            DialInput::Dial { request, peer, addresses, options } => self.dial(request, peer, addresses, options)?,
            DialInput::Cancel { request } => {
                let mut jobs = 0..self.jobs.len();
                let asked = |at: &usize| self.jobs[*at].callers.iter().any(|caller| caller.0 == request);
                let at = jobs.find(asked).ok_or(DialMisuse::UnknownRequest(request))?;
                let job = &mut self.jobs[at];
                job.callers.retain(|caller| caller.0 != request);
                job.stale = true;
                if job.callers.is_empty() {
                    self.abort(at, |_, _| true);
                }
                self.settle(at);
            }
            DialInput::Progress { dial } => {
                let at = self.job_of(dial)?;
                let entry = self.jobs[at].find(dial).unwrap();
                let State::Live { connected, .. } = &mut entry.state else { panic!() };
                if *connected {
                    return Err(DialMisuse::AlreadyConnected(dial));
                }
                *connected = true;
            }
            DialInput::Established { dial, connection, direct } => {
                let at = self.job_of(dial)?;
                self.ended(at, dial, Outcome::Connected(connection));
                let peer = self.jobs[at].peer;
                self.backoffs.retain(|backoff| backoff.0 != peer);
                self.answer(at, connection, |options| direct || !options.direct_only);
            }
            DialInput::Failed { dial, ref fault } => {
                let at = self.job_of(dial)?;
                let key = self.ended(at, dial, Outcome::Failed(fault.clone()));
                if !matches!(fault, DialFault::NoTransport | DialFault::Local(_)) {
                    self.back_off(self.jobs[at].peer, &key);
                }
                self.settle(at);
            }
            DialInput::Connected { peer, connection, direct } => {
                if let Some(at) = self.jobs.iter().position(|job| job.peer == peer) {
                    self.answer(at, connection, |options| !options.new && (direct || !options.direct_only));
                }
            }
            DialInput::EndPeer { peer, ref failure } => {
                if let Some(at) = self.jobs.iter().position(|job| job.peer == peer) {
                    self.end(at, failure);
                }
            }
            DialInput::NetworkChanged => {
                self.backoffs.clear();
                for peer in self.peers() {
                    let at = self.jobs.iter().position(|job| job.peer == peer).unwrap();
                    self.jobs[at].stale = true;
                    self.settle(at);
                }
            }
            DialInput::Shutdown => {
                self.shut_down = true;
                while !self.jobs.is_empty() {
                    self.end(0, &DialFailure::Shutdown);
                }
            }
            _ => panic!("unknown: {input:?}"),
        }
        self.turns();
        Ok(())
    }

    pub(crate) fn on_timeout(&mut self, now: Time) {
        self.now = now;
        while self.deadline() <= now {
            self.due = self.deadline();
            for peer in self.peers() {
                let at = self.jobs.iter().position(|job| job.peer == peer).unwrap();
                if self.deadline_of(&self.jobs[at]) <= self.due {
                    self.tick(at);
                }
            }
            self.turns();
        }
        self.due = now;
    }

    pub(crate) fn deadline(&self) -> Time {
        self.jobs.iter().map(|job| self.deadline_of(job)).min().unwrap_or(Time::NEVER)
    }

    pub(crate) fn counts(&self) -> DialCounts {
        let count = |len: usize| u32::try_from(len).unwrap();
        let heavy = |entry: &&Entry| matches!(entry.state, State::Live { .. }) && kind(&entry.key).1;
        let mut counts = DialCounts::default();
        for job in &self.jobs {
            counts.jobs += u32::from(!job.callers.is_empty());
            counts.requests += count(job.callers.len());
            counts.dials += count(job.live());
            counts.descriptors += count(job.entries.iter().filter(heavy).count());
        }
        counts
    }

    fn dial(
        &mut self,
        request: RequestId,
        to: PeerId,
        addresses: &[Multiaddr],
        options: DialOptions,
    ) -> Result<(), DialMisuse> {
        if self.jobs.iter().flat_map(|job| &job.callers).any(|caller| caller.0 == request) {
            return Err(DialMisuse::RequestExists(request));
        }
        let job = self.jobs.iter().position(|job| job.peer == to);
        let callers = job.map_or(0, |at| self.jobs[at].callers.len());
        let (cap, jobs) = (self.config.max_requests, self.config.max_jobs);
        let refused = match () {
            () if self.shut_down => Some((DialFailure::Shutdown, Outcome::NotTried)),
            () if to == peer(0) => Some((DialFailure::Ourselves, Outcome::Undialable)),
            () if callers >= cap as usize => {
                Some((DialFailure::Full { what: "callers waiting for this peer", cap }, Outcome::NotTried))
            }
            () if callers == 0 && self.counts().jobs >= jobs => {
                Some((DialFailure::Full { what: "peers being dialed", cap: jobs }, Outcome::NotTried))
            }
            () => None,
        };
        if let Some((why, outcome)) = refused {
            let mut job = Job { peer: to, callers: Vec::new(), entries: Vec::new(), stale: false };
            job.add(addresses, &State::Out(outcome));
            let report = Box::new(job.report(self.now, false, Some(&why)));
            self.actions.push(DialAction::Failed { request, peer: to, report });
            return Ok(());
        }
        let at = job.unwrap_or_else(|| {
            let at = self.jobs.iter().filter(|job| job.peer < to).count();
            self.jobs.insert(at, Job { peer: to, callers: Vec::new(), entries: Vec::new(), stale: true });
            at
        });
        let job = &mut self.jobs[at];
        job.callers.push((request, options, self.now));
        job.add(addresses, &State::Out(Outcome::NotTried));
        job.stale = true;
        self.settle(at);
        Ok(())
    }

    fn peers(&self) -> Vec<PeerId> {
        self.jobs.iter().map(|job| job.peer).collect()
    }

    fn job_of(&mut self, dial: DialId) -> Result<usize, DialMisuse> {
        self.jobs.iter_mut().position(|job| job.find(dial).is_some()).ok_or(DialMisuse::UnknownDial(dial))
    }

    fn limit(&self, key: &Multiaddr) -> Duration {
        if kind(key).0 { self.config.local_timeout } else { self.config.address_timeout }
    }

    fn deadline_of(&self, job: &Job) -> Time {
        let callers = job.callers.iter().map(|caller| caller.2 + self.config.peer_timeout);
        let entries = job.entries.iter().map(|entry| match entry.state {
            State::Waits { at, .. } => at,
            State::Live { since, .. } => since + self.limit(&entry.key),
            _ => Time::NEVER,
        });
        callers.chain(entries).min().unwrap_or(Time::NEVER)
    }

    fn back_off(&mut self, peer: PeerId, key: &Multiaddr) {
        let (now, max) = (self.now, self.config.backoff_max);
        self.backoffs.retain(|backoff| backoff.2 > now || now.since(backoff.2) < max);
        let before = self.backoffs.iter().position(|backoff| backoff.0 == peer && backoff.1 == *key);
        let failures = before.map_or(0, |at| self.backoffs.remove(at).3);
        let time = self.config.backoff_base + self.config.backoff_coefficient * (failures * failures);
        self.backoffs.push((peer, key.clone(), now + time.min(max), failures + 1));
    }

    fn permits(&self, peer: PeerId, entry: &Entry, forced: bool) -> Result<(), Outcome> {
        if self.denied.contains(&entry.address.without_peer_id()) {
            return Err(Outcome::Denied { why: "spam".into() });
        }
        let mut backoffs = self.backoffs.iter().filter(|one| one.0 == peer && one.1 == entry.key.without_peer_id());
        match backoffs.next() {
            Some(one) if one.2 > self.now && !forced => Err(Outcome::Backoff { remaining: one.2.since(self.now) }),
            _ => Ok(()),
        }
    }

    fn abort(&mut self, at: usize, which: impl Fn(&Entry, bool) -> bool) {
        for entry in &mut self.jobs[at].entries {
            if let State::Live { dial, since, connected } = entry.state
                && which(entry, connected)
            {
                self.actions.push(DialAction::Abort { dial, timed_out: false });
                entry.state = State::Ended(Outcome::Aborted, self.now.since(since));
            }
        }
    }

    /// The dials that `which` names had all their time: so much, if it is given.
    fn time_out(&mut self, at: usize, which: impl Fn(&Self, &Entry, Time) -> Option<Duration>) {
        for n in 0..self.jobs[at].entries.len() {
            let (peer, entry) = (self.jobs[at].peer, &self.jobs[at].entries[n]);
            if let State::Live { dial, since, .. } = entry.state
                && let Some(had) = which(self, entry, since)
            {
                self.back_off(peer, &entry.key.clone());
                self.actions.push(DialAction::Abort { dial, timed_out: true });
                let outcome = Outcome::Failed(DialFault::Timeout(had));
                self.jobs[at].entries[n].state = State::Ended(outcome, self.now.since(since));
            }
        }
    }

    fn ended(&mut self, at: usize, dial: DialId, outcome: Outcome) -> Multiaddr {
        let now = self.now;
        let entry = self.jobs[at].find(dial).unwrap();
        let State::Live { since, .. } = entry.state else { panic!() };
        entry.state = State::Ended(outcome, now.since(since));
        entry.key.clone()
    }

    fn answer(&mut self, at: usize, connection: ConnectionId, suits: impl Fn(&DialOptions) -> bool) {
        let job = &mut self.jobs[at];
        let (answered, stay): (Vec<_>, Vec<_>) = job.callers.drain(..).partition(|caller| suits(&caller.1));
        (job.callers, job.stale) = (stay, true);
        let peer = job.peer;
        let answers = answered.into_iter().map(|(request, ..)| DialAction::Answered { request, peer, connection });
        self.actions.extend(answers);
        self.settle(at);
    }

    fn fail(&mut self, at: usize, which: impl Fn(&(RequestId, DialOptions, Time)) -> bool, why: Option<&DialFailure>) {
        let job = &mut self.jobs[at];
        let (failed, stay): (Vec<_>, Vec<_>) = job.callers.drain(..).partition(which);
        (job.callers, job.stale) = (stay, true);
        if job.callers.is_empty() && why.is_some() {
            self.abort(at, |_, _| true);
        }
        let (job, now) = (&self.jobs[at], self.now);
        for (request, options, since) in failed {
            let took = now.since(since);
            let report = Box::new(DialReport { took, ..job.report(now, options.direct_only, why) });
            self.actions.push(DialAction::Failed { request, peer: job.peer, report });
        }
    }

    fn end(&mut self, at: usize, why: &DialFailure) {
        self.abort(at, |_, _| true);
        self.fail(at, |_| true, Some(why));
        self.settle(at);
    }

    fn tick(&mut self, at: usize) {
        self.time_out(at, |this, entry, since| {
            let limit = this.limit(&entry.key);
            (since + limit <= this.due).then_some(limit)
        });
        let (due, timeout) = (self.due, self.config.peer_timeout);
        let late = move |caller: &(RequestId, DialOptions, Time)| caller.2 + timeout <= due;
        if self.jobs[at].callers.iter().any(late) {
            if self.jobs[at].callers.iter().all(late) {
                self.time_out(at, |this, _, since| Some(this.due.since(since)));
            }
            self.fail(at, late, Some(&DialFailure::Timeout(timeout)));
        }
        self.settle(at);
    }

    fn settle(&mut self, at: usize) {
        loop {
            let job = &mut self.jobs[at];
            if job.callers.is_empty() {
                self.abort(at, |_, connected| !connected);
                let job = &mut self.jobs[at];
                job.entries.retain(|entry| matches!(entry.state, State::Live { .. }));
                self.line.retain(|peer| *peer != job.peer);
                if job.entries.is_empty() {
                    self.jobs.remove(at);
                }
                return;
            }
            if core::mem::take(&mut job.stale) {
                self.plan(at);
            }
            self.advance(at);
            let open = |entry: &&Entry| !matches!(entry.state, State::Out(_) | State::Ended(..));
            let open: Vec<_> = self.jobs[at].entries.iter().filter(open).map(|entry| entry.key.is_relayed()).collect();
            let any = !open.is_empty();
            let hopeless = |options: &DialOptions| if options.direct_only { !open.contains(&false) } else { !any };
            if !self.jobs[at].callers.iter().any(|caller| hopeless(&caller.1)) {
                break;
            }
            self.fail(at, |caller| hopeless(&caller.1), None);
        }
        let job = &self.jobs[at];
        let ready = job.entries.iter().any(|entry| matches!(entry.state, State::Ready));
        let spare = job.live() < self.config.per_peer as usize && job.until(&self.config) > self.now;
        if !(ready && spare) {
            self.line.retain(|peer| *peer != job.peer);
        } else if !self.line.contains(&job.peer) {
            self.line.push(job.peer);
        }
    }

    fn plan(&mut self, at: usize) {
        let options: Vec<_> = self.jobs[at].callers.iter().map(|caller| caller.1).collect();
        let (direct_only, forced) = (options.iter().all(|one| one.direct_only), options.iter().any(|one| one.forced));
        if direct_only {
            self.abort(at, |entry, connected| entry.key.is_relayed() && !connected);
        }
        let peer = self.jobs[at].peer;
        for n in 0..self.jobs[at].entries.len() {
            let entry = &self.jobs[at].entries[n];
            let verdict = usable(&entry.key, peer, direct_only)
                .and_then(|()| if entry.key.peer_id().is_some() { Err(Outcome::Undialable) } else { Ok(()) })
                .and_then(|()| self.permits(peer, entry, forced));
            let now = self.now;
            let state = &mut self.jobs[at].entries[n].state;
            match (&state, verdict) {
                (State::Live { .. } | State::Ended(..), _) | (State::Waits { .. } | State::Ready, Ok(())) => {}
                (State::Out(_), Ok(())) => *state = State::Waits { since: now, at: now },
                (_, Err(outcome)) => *state = State::Out(outcome),
            }
        }
        let job = &mut self.jobs[at];
        let kept = |entry: &&Entry| !matches!(entry.state, State::Out(_));
        let keys: Vec<_> = job.entries.iter().filter(kept).map(|entry| entry.key.clone()).collect();
        let begun = |entry: &&Entry| matches!(entry.state, State::Live { .. } | State::Ended(..));
        let mut room = (self.config.max_addresses as usize).saturating_sub(job.entries.iter().filter(begun).count());
        for (order, ranked) in rank(&keys, &self.config.delays).into_iter().enumerate() {
            let entry = job.entries.iter_mut().find(|entry| entry.key == ranked.address).unwrap();
            entry.order = order;
            let waits = matches!(entry.state, State::Waits { .. } | State::Ready);
            if waits && room == 0 {
                entry.state = State::Out(Outcome::TooMany);
            } else if waits {
                room -= 1;
            }
            if let State::Waits { since, at } = &mut entry.state {
                *at = *since + ranked.delay;
            }
        }
    }

    fn advance(&mut self, at: usize) {
        let due = self.due;
        let entries = &mut self.jobs[at].entries;
        let busy = entries.iter().any(|entry| matches!(entry.state, State::Live { .. } | State::Ready));
        let first =
            entries.iter().filter_map(|entry| if let State::Waits { at, .. } = entry.state { Some(at) } else { None });
        let Some(first) = first.min() else { return };
        let until = if busy { due } else { due.max(first) };
        for entry in entries {
            if matches!(entry.state, State::Waits { at, .. } if at <= until) {
                entry.state = State::Ready;
            }
        }
    }

    fn turns(&mut self) {
        while self.counts().dials < self.config.at_once {
            let heavy = self.counts().descriptors < self.config.file_descriptors;
            let may = |entry: &Entry| matches!(entry.state, State::Ready) && (heavy || !kind(&entry.key).1);
            let position = |peer: &PeerId| self.jobs.iter().position(|job| job.peer == *peer).unwrap();
            let Some(place) = self.line.iter().position(|peer| self.jobs[position(peer)].entries.iter().any(may))
            else {
                return;
            };
            let at = position(&self.line[place]);
            let peer = self.line.remove(place);
            if self.jobs[at].until(&self.config) <= self.now {
                continue;
            }
            let entries = &self.jobs[at].entries;
            let best = (0..entries.len()).filter(|n| may(&entries[*n])).min_by_key(|n| entries[*n].order).unwrap();
            let forced = self.jobs[at].callers.iter().any(|caller| caller.1.forced);
            let verdict = self.permits(peer, &entries[best], forced);
            let (timeout, dial) = (self.limit(&entries[best].key), DialId(self.dials));
            let entry = &mut self.jobs[at].entries[best];
            match verdict {
                Err(outcome) => entry.state = State::Out(outcome),
                Ok(()) => {
                    let address = entry.address.clone();
                    entry.state = State::Live { dial, since: self.now, connected: false };
                    self.dials += 1;
                    self.actions.push(DialAction::Dial { dial, peer, address, timeout });
                }
            }
            self.settle(at);
        }
    }
}
