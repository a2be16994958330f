//! Redialing of peers that the application wants to stay connected to.
//!
//! ```text
//!                disconnected          delay over         a place is free
//!  Connected ----------------> Waiting ----------> Turn ------------------> Dialing
//!      ^  \                       ^                                          | |
//!      |   \ stopped,             +------- dial failed, tries are left ------+ |
//!      |    \ disconnected                                                     | no tries are left
//!      |     +-------------------> Quiet <-------------------------------------+ (and it is told; a new network: Turn)
//!      +--- connected, from anywhere
//!  Connected -- gave way to others --> Waiting, for the greatest delay
//! ```
//! The tries, the first delay, its doubling and the number at one time are js-libp2p's reconnect queue; the greatest delay,
//! the jitter, and that a connection must last to count, are ours. A new network makes the turn of every peer come at once that
//! waits or was given up, and counts its tries anew.

use super::ReconnectConfig;
use crate::table::{Heap, Index, NO_SLOT, Slab};
use crate::text::heap_bytes;
use alloc::vec::Vec;
use core::time::Duration;
use smol_str::{SmolStr, format_smolstr};
use tidewire_core::{PeerId, Seed, Time, cut};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReconnectAction {
    /// Dial this peer, for the `try_`th time, 1 the first. Report `connected` or `dial_failed`.
    Dial { peer: PeerId, try_: u32 },
    /// All tries failed. The peer is left alone until it is connected, or marked, once more, or the network changes.
    GaveUp { peer: PeerId, tries: u32, why: SmolStr },
}

/// So many peers are marked, and no more may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) u32);

/// The peers marked keep-alive. What is told of others is passed over.
#[derive(Clone)]
pub(crate) struct Reconnect {
    config: ReconnectConfig,
    seed: Seed,
    index: Index,
    peers: Slab<Kept>,
    /// When the next try of those in `Waiting` is; the count makes equal moments first come, first served.
    waiting: Heap<(Time, u64)>,
    /// Those in `Turn`, and of those in `Quiet` the ones that were given up and not told. First come, first served.
    turns: Heap<u64>,
    news: Heap<u64>,
    /// How many are in `Dialing`.
    dialing: u32,
    /// Heap bytes of all `why`.
    why_bytes: usize,
    /// Counts whatever needs a number of its own: places in the queues, draws of jitter.
    count: u64,
}

#[derive(Clone)]
struct Kept {
    peer: PeerId,
    state: State,
    /// Tries that failed, or were begun, since it was connected for long enough.
    tries: u32,
    /// What came of the last try. Cut to [`MAX_WHY`].
    why: SmolStr,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Connected {
        since: Time,
        /// The application asked for the end: it isn't dialed again.
        stopped: bool,
    },
    Waiting,
    Turn,
    Dialing,
    Quiet {
        /// All tries failed: another network is worth new ones. Else the application wants it left alone.
        gave_up: bool,
    },
}

/// Left alone, as the application wants it.
const STOPPED: State = State::Quiet { gave_up: false };

/// Bytes of what came of the last try.
const MAX_WHY: usize = 128;

impl Reconnect {
    /// Whether no peer is marked.
    #[cfg(any(test, feature = "model"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.peers.len() == 0
    }

    pub(crate) fn new(config: ReconnectConfig, seed: Seed) -> Self {
        Reconnect {
            config,
            index: Index::new(&seed, "peers kept"),
            seed,
            peers: Slab::new(),
            waiting: Heap::new(),
            turns: Heap::new(),
            news: Heap::new(),
            dialing: 0,
            why_bytes: 0,
            count: 0,
        }
    }

    /// Marks a peer, or takes its mark away. Marking one that was given up, or that the application disconnected, begins anew;
    /// marking one that is being redialed changes nothing.
    pub(crate) fn keep(&mut self, now: Time, peer: PeerId, on: bool, connected: bool) -> Result<(), Full> {
        let found = self.find(&peer);
        let slot = match (found, on) {
            (None, false) => return Ok(()),
            (Some(slot), false) => {
                self.leave(slot);
                self.explain(slot, "");
                self.index.remove(peer, slot);
                self.peers.remove(slot);
                return Ok(());
            }
            (Some(slot), true) => slot,
            (None, true) => {
                if self.peers.len() >= self.config.max_peers {
                    return Err(Full(self.config.max_peers));
                }
                let slot = self.peers.insert(Kept { peer, state: STOPPED, tries: 0, why: SmolStr::default() });
                if slot == NO_SLOT {
                    return Err(Full(NO_SLOT));
                }
                self.index.add(peer, slot);
                slot
            }
        };
        match self.peers.get(slot).map(|kept| kept.state) {
            _ if connected => self.arrive(now, slot),
            Some(State::Quiet { .. } | State::Connected { .. }) => self.begin(now, slot),
            _ => {}
        }
        Ok(())
    }

    /// Whether this peer is marked.
    pub(crate) fn is_kept(&self, peer: &PeerId) -> bool {
        self.find(peer).is_some()
    }

    /// A connection to this peer is there, whoever made it.
    pub(crate) fn connected(&mut self, now: Time, peer: &PeerId) {
        if let Some(slot) = self.find(peer) {
            self.arrive(now, slot);
        }
    }

    /// The application asked that this peer be disconnected, or that the dial to it end: it isn't dialed again.
    pub(crate) fn stopped(&mut self, peer: &PeerId) {
        if let Some(slot) = self.find(peer) {
            let next = match self.peers.get(slot).map(|kept| kept.state) {
                Some(State::Connected { since, .. }) => State::Connected { since, stopped: true },
                _ => STOPPED,
            };
            self.enter(slot, next);
        }
    }

    /// The last connection to this peer is gone.
    pub(crate) fn disconnected(&mut self, now: Time, peer: &PeerId) {
        let Some(slot) = self.find(peer) else { return };
        let Some(&Kept { state, tries, .. }) = self.peers.get(slot) else { return };
        match state {
            State::Connected { stopped: true, .. } => self.enter(slot, STOPPED),
            State::Connected { since, .. } if tries == 0 || now.since(since) >= self.config.settled => {
                self.begin(now, slot);
            }
            State::Connected { since, .. } => {
                let lived = now.since(since).as_millis();
                self.explain(slot, &format_smolstr!("it was connected, and lost again after {lived} ms"));
                self.wait(now, slot);
            }
            State::Waiting | State::Turn | State::Dialing | State::Quiet { .. } => {}
        }
    }

    /// The last connection to this peer is gone, because we closed it to make room. No try failed; it is dialed again after
    /// the greatest delay, since it would only be closed once more.
    pub(crate) fn gave_way(&mut self, now: Time, peer: &PeerId) {
        let Some(slot) = self.find(peer) else { return };
        let Some(State::Connected { stopped, .. }) = self.peers.get(slot).map(|kept| kept.state) else { return };
        if stopped || self.config.tries == 0 {
            return self.disconnected(now, peer);
        }
        self.enter(slot, State::Waiting);
        self.waiting.set(slot, (now + self.jittered(self.config.max_delay), self.count));
    }

    /// The dial that was asked for failed. `why` is cut to 128 bytes.
    pub(crate) fn dial_failed(&mut self, now: Time, peer: &PeerId, why: &str) {
        let Some(slot) = self.find(peer) else { return };
        if let Some(Kept { state: State::Dialing, .. }) = self.peers.get(slot) {
            self.explain(slot, cut(why, MAX_WHY));
            self.wait(now, slot);
        }
    }

    /// Addresses that could not be reached may be reachable now: all that wait, and all that were given up, are tried, and have all
    /// their tries again. Whom the application wants left alone is left alone.
    pub(crate) fn network_changed(&mut self) {
        while let Some((_, slot)) = self.waiting.peek() {
            self.enter(slot, State::Turn);
        }
        let slots: Vec<u32> = self.peers.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let Some(kept) = self.peers.get_mut(slot) else { continue };
            match kept.state {
                State::Quiet { gave_up: false } => {}
                State::Quiet { gave_up: true } => {
                    if self.config.tries > 0 {
                        kept.tries = 0;
                        self.enter(slot, State::Turn);
                    }
                }
                _ => kept.tries = 0,
            }
        }
    }

    /// Forgets all marks.
    pub(crate) fn clear(&mut self) {
        *self = Reconnect::new(self.config.clone(), self.seed.clone());
    }

    pub(crate) fn on_timeout(&mut self, now: Time) {
        while let Some(((at, _), slot)) = self.waiting.peek() {
            if at > now || at.is_never() {
                return;
            }
            self.enter(slot, State::Turn);
        }
    }

    pub(crate) fn poll(&mut self) -> Option<ReconnectAction> {
        if let Some((_, slot)) = self.news.pop() {
            let kept = self.peers.get(slot)?;
            return Some(ReconnectAction::GaveUp { peer: kept.peer, tries: kept.tries, why: kept.why.clone() });
        }
        if self.dialing >= self.config.at_once {
            return None;
        }
        let (_, slot) = self.turns.peek()?;
        self.enter(slot, State::Dialing);
        let kept = self.peers.get_mut(slot)?;
        kept.tries = kept.tries.saturating_add(1);
        Some(ReconnectAction::Dial { peer: kept.peer, try_: kept.tries })
    }

    /// When to call [`on_timeout`](Reconnect::on_timeout). O(1).
    pub(crate) fn deadline(&self) -> Time {
        self.waiting.peek().map_or(Time::NEVER, |((at, _), _)| at)
    }

    pub(crate) fn memory_used(&self) -> usize {
        let heaps = self.waiting.memory_used() + self.turns.memory_used() + self.news.memory_used();
        self.peers.memory_used() + self.index.memory_used() + heaps + self.why_bytes
    }

    fn find(&self, peer: &PeerId) -> Option<u32> {
        // Most applications mark nobody; then no peer's id need be hashed.
        if self.peers.len() == 0 {
            return None;
        }
        self.index.find(*peer, |slot| self.peers.get(slot).map(|kept| kept.peer))
    }

    /// It is connected: by the first connection, another one, or as the mark is set.
    fn arrive(&mut self, now: Time, slot: u32) {
        let Some(kept) = self.peers.get_mut(slot) else { return };
        let since = match kept.state {
            State::Connected { since, .. } => since,
            State::Quiet { .. } => {
                kept.tries = 0;
                now
            }
            State::Waiting | State::Turn | State::Dialing => now,
        };
        self.enter(slot, State::Connected { since, stopped: false });
    }

    /// It was lost just now, and all tries are left.
    fn begin(&mut self, now: Time, slot: u32) {
        if let Some(kept) = self.peers.get_mut(slot) {
            kept.tries = 0;
        }
        self.explain(slot, "no try is allowed");
        self.wait(now, slot);
    }

    /// Waits for the next try, or gives up.
    fn wait(&mut self, now: Time, slot: u32) {
        let Some(tries) = self.peers.get(slot).map(|kept| kept.tries) else { return };
        if tries >= self.config.tries {
            self.enter(slot, State::Quiet { gave_up: true });
            self.news.set(slot, self.count);
            return;
        }
        self.enter(slot, State::Waiting);
        let delay = self.delay(tries);
        self.waiting.set(slot, (now + delay, self.count));
    }

    /// The delay after this many tries failed.
    fn delay(&self, tries: u32) -> Duration {
        let doubled =
            1u32.checked_shl(tries).map_or(Duration::MAX, |times| self.config.first_delay.saturating_mul(times));
        self.jittered(doubled.min(self.config.max_delay))
    }

    /// A delay, longer by up to a quarter.
    fn jittered(&self, delay: Duration) -> Duration {
        let draw = self.seed.derive("reconnect", self.count);
        let [low, high, ..] = *draw.as_bytes();
        delay.saturating_add((delay / 4).saturating_mul(u32::from(u16::from_le_bytes([low, high]))) / 65_536)
    }

    fn enter(&mut self, slot: u32, state: State) {
        self.leave(slot);
        self.count = self.count.wrapping_add(1);
        let Some(kept) = self.peers.get_mut(slot) else { return };
        kept.state = state;
        match state {
            State::Turn => self.turns.set(slot, self.count),
            State::Dialing => self.dialing = self.dialing.saturating_add(1),
            State::Connected { .. } | State::Waiting | State::Quiet { .. } => {}
        }
    }

    fn explain(&mut self, slot: u32, why: &str) {
        let Some(kept) = self.peers.get_mut(slot) else { return };
        let before = heap_bytes(&kept.why);
        kept.why = SmolStr::new(why);
        self.why_bytes = self.why_bytes.saturating_sub(before).saturating_add(heap_bytes(&kept.why));
    }

    /// Takes it out of whatever its state has it in.
    fn leave(&mut self, slot: u32) {
        match self.peers.get(slot).map(|kept| kept.state) {
            Some(State::Waiting) => {
                self.waiting.remove(slot);
            }
            Some(State::Turn) => {
                self.turns.remove(slot);
            }
            Some(State::Dialing) => self.dialing = self.dialing.saturating_sub(1),
            Some(State::Quiet { .. }) => {
                self.news.remove(slot);
            }
            Some(State::Connected { .. }) | None => {}
        }
    }
}
