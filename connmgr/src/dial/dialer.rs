//! One job per peer: callers come and go, addresses are dialed one after another, and each caller gets one answer.
//!
//! ```text
//!            Dial                       a dial established, or another connection: callers whom it suits are answered
//!   (none) --------> wanted ------------------------------------------------------> (none), or
//!      ^               |  ^ ^                                                       left over: handshakes in progress go on
//!      |               |  | '--- Dial: joins ---.                                      |    |
//!      |               '--|---------------------'                                      |    |
//!      |                  '-------------------- Dial: takes them over -----------------'    |
//!      '--- all addresses through, peer's time over, all callers left, ended ---------------'
//! ```
//!
//! A job says which of its addresses are ready (`job.rs`). The dialer hands out turns, as far as the caps on dials allow: one dial a
//! turn, then the peer goes to the end of the line.
//!
//! Order, delays and timeouts are those of go-libp2p's dialer, and so is that a delay is cut short when nothing else is under way.
//! That handshakes in progress are not cancelled in favour of another connection is what keeps both sides of a
//! simultaneous dial from cancelling each the other's.

use super::job::{Job, key};
use super::shared::{Shared, tree_bytes};
use super::{DialAction, DialConfig, DialCounts, DialFailure, DialInput, DialMisuse, DialOptions, Gate, Outcome};
use crate::{DialId, RequestId};
use alloc::collections::{BTreeMap, BTreeSet};
use core::mem::size_of;
use core::ops::Bound;
use core::time::Duration;
use tidewire_core::{EventMachine, Multiaddr, PeerId, Seed, Time};

/// Dials peers: one job each, joined by all who want the same peer.
///
/// # How to drive one
///
/// As any [`EventMachine`]: tell it what happened, then carry out what [`poll`](EventMachine::poll) gives, and call
/// [`on_timeout`](EventMachine::on_timeout) at the deadline. Each [`DialAction::Dial`] ends in exactly one way: the caller reports
/// [`DialInput::Established`] or [`DialInput::Failed`], or the dialer says [`DialAction::Abort`]. Each
/// [`DialInput::Dial`] is answered exactly once, unless it is cancelled.
///
/// # What holds
///
/// - Addresses are asked about in this order: usable at all, [`Gate`], backoff, black holes; the rest is ranked
///   ([`rank`](super::rank)) with delays that count from when an address was first considered, and of them the best
///   [`DialConfig::max_addresses`] are dialed.
/// - The next address doesn't wait for its delay when nothing else is under way (go-libp2p).
/// - Each caller has [`DialConfig::peer_timeout`] from when it came. When the last one's time is over, its dials are aborted.
/// - When a connection answers all callers, dials whose transport is not connected are aborted; handshakes go on, and may become
///   connections too. When all callers leave, handshakes are aborted as well.
/// - Relayed addresses are dialed only while some caller accepts a relayed connection; one who doesn't goes on waiting for a direct one.
/// - Backoffs are counted for failures of the address, a time that is over among them; not for other aborts, gates, limits, missing transports or faults of this machine.
///
/// ```
/// use tidewire_connmgr::dial::{DialAction, DialConfig, DialInput, DialOptions, Dialer};
/// use tidewire_connmgr::{ConnectionId, RequestId};
/// use tidewire_core::{EventMachine, Keypair, Seed, Time};
///
/// let local = Keypair::from_seed(&Seed::new([1; 32])).public().peer_id();
/// let peer = Keypair::from_seed(&Seed::new([2; 32])).public().peer_id();
/// let mut dialer = Dialer::new(DialConfig::default(), local, &Seed::new([3; 32]));
///
/// let addresses = ["/ip4/192.0.2.7/tcp/4001".parse()?];
/// let request = RequestId(7);
/// let now = Time::ZERO;
/// dialer.handle(now, DialInput::Dial { request, peer, addresses: &addresses, options: DialOptions::default() })?;
///
/// let Some(DialAction::Dial { dial, address, .. }) = dialer.poll() else { panic!("it dials") };
/// assert_eq!(address, addresses[0]);
/// // Here the caller connects and upgrades; it worked.
/// let connection = ConnectionId(1);
/// dialer.handle(now, DialInput::Established { dial, connection, direct: true })?;
/// assert_eq!(dialer.poll(), Some(DialAction::Answered { request, peer, connection }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[cfg_attr(any(test, feature = "model"), derive(Clone))]
pub struct Dialer {
    local: PeerId,
    shared: Shared,
    jobs: BTreeMap<PeerId, Slot>,
    /// Jobs that someone waits for.
    wanted: u32,
    /// The line: jobs with an address that is ready, and a dial to spare.
    turns: BTreeMap<u64, PeerId>,
    /// Those of them with an address that takes no file descriptor.
    light_turns: BTreeMap<u64, PeerId>,
    next_ticket: u64,
    timers: BTreeSet<(Time, PeerId)>,
    /// The first of `timers`.
    deadline: Time,
    /// Heap bytes of all jobs.
    job_bytes: usize,
    shut_down: bool,
}

/// A job, and where it stands in the tables of the dialer.
#[derive(Clone, Debug)]
struct Slot {
    job: Job,
    ticket: Option<u64>,
    timer: Time,
    wanted: bool,
    bytes: usize,
}

impl Dialer {
    /// A dialer of the peer `local`, which it never dials. The seed gives the jitter of backoffs.
    pub fn new(config: DialConfig, local: PeerId, seed: &Seed) -> Self {
        Dialer {
            local,
            shared: Shared::new(config, seed),
            jobs: BTreeMap::new(),
            wanted: 0,
            turns: BTreeMap::new(),
            light_turns: BTreeMap::new(),
            next_ticket: 0,
            timers: BTreeSet::new(),
            deadline: Time::NEVER,
            job_bytes: 0,
            shut_down: false,
        }
    }

    /// What forbids.
    pub fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// What forbids, to change it. Each address is asked about again at its turn; what is under way goes on.
    pub fn gate_mut(&mut self) -> &mut Gate {
        &mut self.shared.gate
    }

    /// Whether there is a job for this peer: someone waits for a connection, or a handshake of an earlier wish still goes on.
    pub fn job(&self, peer: &PeerId) -> bool {
        self.jobs.contains_key(peer)
    }

    /// Whether this wish waits for its answer.
    pub fn has_request(&self, request: RequestId) -> bool {
        self.shared.requests.contains_key(&request)
    }

    /// How much is in hand.
    pub fn counts(&self) -> DialCounts {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        DialCounts {
            jobs: self.wanted,
            requests: count(self.shared.requests.len()),
            dials: count(self.shared.dials.len()),
            descriptors: self.shared.descriptors,
        }
    }

    /// How long this address of this peer is still left alone, if it is.
    pub fn backoff(&self, now: Time, peer: PeerId, address: &Multiaddr) -> Option<Duration> {
        self.shared.backoffs.check(now, peer, &key(address, peer))
    }

    fn dial(
        &mut self,
        request: RequestId,
        peer: PeerId,
        addresses: &[Multiaddr],
        options: DialOptions,
    ) -> Result<(), DialMisuse> {
        if self.has_request(request) {
            return Err(DialMisuse::RequestExists(request));
        }
        let max_unpolled = self.shared.config.max_unpolled;
        if self.shared.unpolled() >= usize::try_from(max_unpolled).unwrap_or(usize::MAX) {
            return Err(DialMisuse::Unpolled(max_unpolled));
        }
        if let Some((why, outcome)) = self.refuses(&peer) {
            let report = Job::refused(&self.shared, peer, addresses, &why, &outcome);
            self.shared.answer(request, DialAction::Failed { request, peer, report });
            return Ok(());
        }
        let slot = self.jobs.entry(peer).or_insert_with(|| Slot {
            job: Job::new(peer),
            ticket: None,
            timer: Time::NEVER,
            wanted: false,
            bytes: 0,
        });
        slot.job.join(&self.shared, request, addresses, options);
        self.shared.requests.insert(request, peer);
        self.settle(peer);
        Ok(())
    }

    /// Why nobody may wait for this peer, or no further one, and what that means for its addresses.
    fn refuses(&self, peer: &PeerId) -> Option<(DialFailure, Outcome)> {
        let Shared { config, gate, .. } = &self.shared;
        if self.shut_down {
            return Some((DialFailure::Shutdown, Outcome::NotTried));
        }
        if *peer == self.local {
            return Some((DialFailure::Ourselves, Outcome::Undialable));
        }
        if let Some(why) = gate.peer(peer) {
            return Some((DialFailure::Denied(why.clone()), Outcome::Denied { why: why.clone() }));
        }
        let (callers, wanted) = self.jobs.get(peer).map_or((0, false), |slot| (slot.job.callers(), slot.wanted));
        if callers >= usize::try_from(config.max_requests).unwrap_or(usize::MAX) {
            let full = DialFailure::Full { what: "callers waiting for this peer", cap: config.max_requests };
            return Some((full, Outcome::NotTried));
        }
        if !wanted && self.wanted >= config.max_jobs {
            return Some((DialFailure::Full { what: "peers being dialed", cap: config.max_jobs }, Outcome::NotTried));
        }
        None
    }

    /// Does something with a job, if there is one, and carries the consequences through its tables.
    fn with(&mut self, peer: PeerId, act: impl FnOnce(&mut Job, &mut Shared)) {
        if let Some(slot) = self.jobs.get_mut(&peer) {
            act(&mut slot.job, &mut self.shared);
            self.settle(peer);
        }
    }

    fn with_all(&mut self, mut act: impl FnMut(&mut Job, &mut Shared)) {
        let mut next = self.jobs.keys().next().copied();
        while let Some(peer) = next {
            self.with(peer, &mut act);
            next = self.jobs.range((Bound::Excluded(peer), Bound::Unbounded)).next().map(|(peer, _)| *peer);
        }
    }

    /// Brings a job, and what the tables say of it, into line with what happened.
    fn settle(&mut self, peer: PeerId) {
        let Some(slot) = self.jobs.get_mut(&peer) else { return };
        let job = &mut slot.job;
        job.settle(&mut self.shared);

        let over = job.is_over();
        let wanted = job.is_wanted();
        if wanted != slot.wanted {
            slot.wanted = wanted;
            self.wanted = if wanted { self.wanted.saturating_add(1) } else { self.wanted.saturating_sub(1) };
        }

        let spare = job.live() < self.shared.config.per_peer;
        let (any, light) = if spare { job.ready(self.shared.now) } else { (false, false) };
        match slot.ticket {
            Some(ticket) if !any => {
                self.turns.remove(&ticket);
                self.light_turns.remove(&ticket);
                slot.ticket = None;
            }
            None if !any => {}
            kept => {
                let ticket = kept.unwrap_or(self.next_ticket);
                if kept.is_none() {
                    self.next_ticket = self.next_ticket.saturating_add(1);
                    self.turns.insert(ticket, peer);
                    slot.ticket = Some(ticket);
                }
                if light {
                    self.light_turns.insert(ticket, peer);
                } else {
                    self.light_turns.remove(&ticket);
                }
            }
        }

        let timer = if over { Time::NEVER } else { job.deadline() };
        if timer != slot.timer {
            if !slot.timer.is_never() {
                self.timers.remove(&(slot.timer, peer));
            }
            if !timer.is_never() {
                self.timers.insert((timer, peer));
            }
            slot.timer = timer;
        }

        let bytes = if over { 0 } else { job.memory_used() };
        self.job_bytes = self.job_bytes.saturating_sub(slot.bytes).saturating_add(bytes);
        slot.bytes = bytes;
        if over {
            self.jobs.remove(&peer);
        }
    }

    /// Hands out turns while there is room.
    fn hand_out_turns(&mut self) {
        while let Some(descriptors) = self.shared.room() {
            let line = if descriptors { &self.turns } else { &self.light_turns };
            let Some((&ticket, &peer)) = line.first_key_value() else { break };
            self.turns.remove(&ticket);
            self.light_turns.remove(&ticket);
            if let Some(slot) = self.jobs.get_mut(&peer) {
                slot.ticket = None;
            }
            self.with(peer, |job, shared| job.start(shared, descriptors));
        }
        self.deadline = self.timers.first().map_or(Time::NEVER, |(time, _)| *time);
    }

    fn peer_of(&self, dial: DialId) -> Result<PeerId, DialMisuse> {
        self.shared.dials.get(&dial).map(|underway| underway.peer).ok_or(DialMisuse::UnknownDial(dial))
    }

    fn progress(&mut self, dial: DialId) -> Result<(), DialMisuse> {
        let peer = self.peer_of(dial)?;
        let new = self.jobs.get_mut(&peer).is_some_and(|slot| slot.job.progress(dial));
        if new { Ok(()) } else { Err(DialMisuse::AlreadyConnected(dial)) }
    }
}

impl EventMachine for Dialer {
    type Input<'a> = DialInput<'a>;
    type Action = DialAction;
    type Misuse = DialMisuse;

    fn handle(&mut self, now: Time, input: DialInput<'_>) -> Result<(), DialMisuse> {
        self.shared.at(now);
        match input {
            DialInput::Dial { request, peer, addresses, options } => self.dial(request, peer, addresses, options)?,
            DialInput::Cancel { request } => {
                let peer = self.shared.requests.remove(&request).ok_or(DialMisuse::UnknownRequest(request))?;
                self.with(peer, |job, shared| job.leave(shared, request));
            }
            DialInput::Progress { dial } => self.progress(dial)?,
            DialInput::Established { dial, connection, direct } => {
                let peer = self.peer_of(dial)?;
                self.with(peer, |job, shared| job.established(shared, dial, connection, direct));
            }
            DialInput::Failed { dial, fault } => {
                let peer = self.peer_of(dial)?;
                self.with(peer, |job, shared| job.failed(shared, dial, &fault));
            }
            DialInput::Connected { peer, connection, direct } => {
                self.with(peer, |job, shared| job.connected(shared, connection, direct));
            }
            DialInput::EndPeer { peer, failure } => self.with(peer, |job, shared| job.end(shared, &failure)),
            DialInput::NetworkChanged => {
                self.shared.backoffs.network_changed();
                self.shared.holes.reset();
                self.with_all(|job, _| job.network_changed());
            }
            DialInput::Shutdown => {
                self.shut_down = true;
                self.with_all(|job, shared| job.end(shared, &DialFailure::Shutdown));
            }
        }
        self.hand_out_turns();
        Ok(())
    }

    fn on_timeout(&mut self, now: Time) {
        self.shared.at(now);
        // A late call does what timely ones would have done, in their order; what begins, begins now.
        while !self.deadline.is_never() && self.deadline <= self.shared.now {
            self.shared.due = self.deadline;
            while let Some(&(time, peer)) = self.timers.first() {
                if time > self.shared.due {
                    break;
                }
                self.with(peer, Job::tick);
            }
            self.hand_out_turns();
        }
        self.shared.due = self.shared.now;
    }

    fn poll(&mut self) -> Option<DialAction> {
        self.shared.poll()
    }

    fn deadline(&self) -> Time {
        self.deadline
    }

    fn memory_used(&self) -> usize {
        let turns = self.turns.len() + self.light_turns.len();
        self.shared.memory_used()
            + self.job_bytes
            + tree_bytes(self.jobs.len(), size_of::<(PeerId, Slot)>())
            + tree_bytes(self.timers.len(), size_of::<(Time, PeerId)>())
            + tree_bytes(turns, size_of::<(u64, PeerId)>())
    }
}
