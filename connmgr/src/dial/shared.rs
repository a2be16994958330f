//! What all jobs of a dialer share: the rules, what was learnt of addresses, the dials under way, and the actions to be polled.

use super::{Backoffs, BlackHoles, DialAction, DialConfig, DialFault, DialReport, Gate, Outcome, is_local};
use crate::{DialId, RequestId};
use alloc::collections::{BTreeMap, VecDeque};
use core::mem::size_of;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Seed, Time};

/// Room for actions that is kept when the queue is empty.
const KEPT_ACTIONS: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) config: DialConfig,
    pub(super) gate: Gate,
    pub(super) backoffs: Backoffs,
    pub(super) holes: BlackHoles,
    /// The latest moment that we were told of.
    pub(super) now: Time,
    /// Up to when delays and timeouts were seen to: `now`, but while a late call catches up with them one after another.
    pub(super) due: Time,
    pub(super) dials: BTreeMap<DialId, Underway>,
    /// How many of `dials` take a file descriptor.
    pub(super) descriptors: u32,
    pub(super) requests: BTreeMap<RequestId, PeerId>,
    next_dial: u64,
    actions: VecDeque<DialAction>,
    /// Heap bytes of the addresses and reports in `actions`.
    action_bytes: usize,
}

/// A dial under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Underway {
    pub(super) peer: PeerId,
    descriptor: bool,
}

impl Shared {
    pub(super) fn new(config: DialConfig, seed: &Seed) -> Self {
        Shared {
            gate: Gate::new(&config),
            backoffs: Backoffs::new(&config, seed),
            holes: BlackHoles::new(&config),
            config,
            now: Time::ZERO,
            due: Time::ZERO,
            dials: BTreeMap::new(),
            descriptors: 0,
            requests: BTreeMap::new(),
            next_dial: 0,
            actions: VecDeque::new(),
            action_bytes: 0,
        }
    }

    /// It is later.
    pub(super) fn at(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.due = self.now;
    }

    /// Whether another dial may begin, and if so whether it may take a file descriptor.
    pub(super) fn room(&self) -> Option<bool> {
        let at_once = usize::try_from(self.config.at_once).unwrap_or(usize::MAX);
        (self.dials.len() < at_once).then_some(self.descriptors < self.config.file_descriptors)
    }

    /// How long an address may take by itself.
    pub(super) fn address_timeout(&self, address: &Multiaddr) -> Duration {
        if is_local(address) { self.config.local_timeout } else { self.config.address_timeout }
    }

    pub(super) fn dial(&mut self, peer: PeerId, address: Multiaddr, descriptor: bool, timeout: Duration) -> DialId {
        let dial = DialId(self.next_dial);
        self.next_dial = self.next_dial.saturating_add(1);
        self.dials.insert(dial, Underway { peer, descriptor });
        self.descriptors = self.descriptors.saturating_add(u32::from(descriptor));
        self.push(DialAction::Dial { dial, peer, address, timeout });
        dial
    }

    pub(super) fn abort(&mut self, dial: DialId, timed_out: bool) {
        self.forget(dial);
        self.push(DialAction::Abort { dial, timed_out });
    }

    /// A dial is over.
    pub(super) fn forget(&mut self, dial: DialId) {
        if let Some(underway) = self.dials.remove(&dial) {
            self.descriptors = self.descriptors.saturating_sub(u32::from(underway.descriptor));
        }
    }

    /// Learns from a dial that failed. `connected`: its transport was connected.
    pub(super) fn learn(&mut self, peer: PeerId, address: &Multiaddr, fault: &DialFault, connected: bool) {
        let reached = match fault {
            // These say nothing of the address: it was never asked.
            DialFault::Gated(_)
            | DialFault::NoTransport
            | DialFault::Limit(_)
            | DialFault::Local(_)
            | DialFault::NoPort(_) => return,
            // The network let us through; the fault lies behind it.
            DialFault::Upgrade(_) | DialFault::WrongPeer(_) => true,
            DialFault::Transport(_) | DialFault::Refused(_) | DialFault::Unreachable(_) | DialFault::Timeout(_) => {
                connected
            }
        };
        self.holes.outcome(address, reached);
        self.backoffs.failed(self.now, peer, address);
    }

    /// Whether an address may be dialed by the gate, and, unless forced, by its backoff.
    pub(super) fn permits(
        &self,
        peer: PeerId,
        address: &Multiaddr,
        key: &Multiaddr,
        forced: bool,
    ) -> Result<(), Outcome> {
        self.gate.permits(&peer, address).map_err(|why| Outcome::Denied { why })?;
        match self.backoffs.check(self.now, peer, key) {
            Some(remaining) if !forced => Err(Outcome::Backoff { remaining }),
            _ => Ok(()),
        }
    }

    /// Answers a request that is in `requests`, or that never came to be.
    pub(super) fn answer(&mut self, request: RequestId, action: DialAction) {
        self.requests.remove(&request);
        self.push(action);
    }

    pub(super) fn unpolled(&self) -> usize {
        self.actions.len()
    }

    pub(super) fn poll(&mut self) -> Option<DialAction> {
        let action = self.actions.pop_front()?;
        self.action_bytes = self.action_bytes.saturating_sub(bytes_of(&action));
        if self.actions.is_empty() && self.actions.capacity() > KEPT_ACTIONS {
            self.actions.shrink_to(KEPT_ACTIONS);
        }
        Some(action)
    }

    fn push(&mut self, action: DialAction) {
        self.action_bytes = self.action_bytes.saturating_add(bytes_of(&action));
        self.actions.push_back(action);
    }

    pub(super) fn memory_used(&self) -> usize {
        tree_bytes(self.dials.len(), size_of::<(DialId, Underway)>())
            + tree_bytes(self.requests.len(), size_of::<(RequestId, PeerId)>())
            + self.actions.capacity() * size_of::<DialAction>()
            + self.action_bytes
            + self.gate.memory_used()
            + self.backoffs.memory_used()
            + self.holes.memory_used()
    }
}

/// Heap bytes of a `BTreeMap`, from above: a node has 11 places, of which at least 5 are taken in all but the root, and few nodes have children.
pub(super) fn tree_bytes(len: usize, entry: usize) -> usize {
    const PLACES: usize = 11;
    const TAKEN: usize = 5;
    const HEADER: usize = 40;
    if len == 0 { 0 } else { (len / TAKEN + 1) * (PLACES * entry + HEADER) }
}

fn bytes_of(action: &DialAction) -> usize {
    match action {
        DialAction::Dial { address, .. } => address.memory_used(),
        DialAction::Failed { report, .. } => {
            let addresses = report.addresses.iter().map(|row| row.address.memory_used()).sum::<usize>();
            size_of::<DialReport>() + report.addresses.capacity() * size_of::<super::AddressReport>() + addresses
        }
        DialAction::Abort { .. } | DialAction::Answered { .. } => 0,
    }
}
