//! How fast connections come from each network: a token bucket for every IPv4 /32 and IPv6 /56.
//!
//! A bucket is one number, the moment when it will be full (GCRA: ITU-T I.371 annex A, the virtual scheduling form). A bucket
//! of B tokens, one refilled each interval T, that will be full at F holds B - (F - now) / T of them: one may be taken if
//! F - now <= (B - 1) T, and that moves F by T. All in whole nanoseconds, so that a refusal can say exactly when to come again.
//!
//! A full bucket is as good as none, and is forgotten. A heap finds the one that is full first:
//! ```text
//!   table: network -> F          the truth
//!   heap:  (F or an earlier F, network)     one for each in the table; brought up to date when it comes to the top
//! ```
//! Each token that is taken makes at most one place in the heap old, so all the bringing up to date is paid for by what was let in.

use super::exceeded::{Limit, LimitExceeded};
use super::subnets::Network;
use super::{LimitsConfig, shrink};
use alloc::collections::BinaryHeap;
use alloc::collections::binary_heap::PeekMut;
use core::cmp::Reverse;
use core::net::IpAddr;
use core::time::Duration;
use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use tidewire_core::Time;

/// Full buckets forgotten per call. A call makes one bucket, and one place in the heap old; so four keep up.
const FORGET: u32 = 4;

/// The buckets.
#[derive(Clone)]
pub(super) struct Rates {
    /// Nanoseconds a token takes. 0: off.
    interval: u64,
    burst: u32,
    /// Nanoseconds that all tokens of a bucket but one take.
    tolerance: u64,
    max: usize,
    key: SipHasher13,
    table: HashTable<Bucket>,
    heap: BinaryHeap<Reverse<(u64, Network)>>,
}

#[derive(Clone)]
struct Bucket {
    network: Network,
    /// When it will be full.
    full_at: u64,
}

impl Rates {
    pub(super) fn new(config: &LimitsConfig, key: SipHasher13) -> Self {
        let off = config.inbound_burst == u32::MAX || config.inbound_rate_entries == 0;
        let interval = if off { 0 } else { u64::try_from(config.inbound_interval.as_nanos()).unwrap_or(u64::MAX) };
        let burst = config.inbound_burst.max(1);
        Rates {
            interval,
            burst,
            tolerance: interval.saturating_mul(u64::from(burst) - 1),
            max: usize::try_from(config.inbound_rate_entries).unwrap_or(usize::MAX),
            key,
            table: HashTable::new(),
            heap: BinaryHeap::new(),
        }
    }

    /// Whether one may come from there now. Takes nothing.
    pub(super) fn room(&self, now: Time, ip: Option<IpAddr>) -> Result<(), LimitExceeded> {
        let Some(network) = self.limited(ip) else { return Ok(()) };
        let Some(bucket) = self.table.find(network.hash(&self.key), |at| at.network == network) else { return Ok(()) };
        let wait = bucket.full_at.saturating_sub(self.tolerance).saturating_sub(now.as_nanos());
        if wait == 0 {
            return Ok(());
        }
        let limit =
            Limit::Rate { network: network.address(), prefix: network.prefix(), again_in: Duration::from_nanos(wait) };
        Err(LimitExceeded { limit, cap: self.burst.into(), used: self.burst.into() })
    }

    /// Takes a token. The caller asked [`Rates::room`].
    pub(super) fn take(&mut self, now: Time, ip: Option<IpAddr>) {
        let Some(network) = self.limited(ip) else { return };
        let now = now.as_nanos();
        self.forget_full(now);
        if let Some(bucket) = self.table.find_mut(network.hash(&self.key), |at| at.network == network) {
            bucket.full_at = bucket.full_at.max(now).saturating_add(self.interval);
            return;
        }
        if self.table.len() >= self.max {
            self.forget_first();
        }
        let bucket = Bucket { network, full_at: now.saturating_add(self.interval) };
        self.heap.push(Reverse((bucket.full_at, network)));
        let key = &self.key;
        self.table.insert_unique(network.hash(key), bucket, |at| at.network.hash(key));
    }

    /// Buckets that are remembered.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn memory_used(&self) -> usize {
        self.table.allocation_size() + self.heap.capacity() * size_of::<Reverse<(u64, Network)>>()
    }

    fn limited(&self, ip: Option<IpAddr>) -> Option<Network> {
        if self.interval == 0 { None } else { ip.and_then(Network::of_rate) }
    }

    fn forget_full(&mut self, now: u64) {
        for _ in 0..FORGET {
            if self.heap.peek().is_none_or(|Reverse((full_at, _))| *full_at > now) {
                break;
            }
            self.step(now);
        }
        shrink(&mut self.table, |at| at.network.hash(&self.key));
        if self.heap.len() < self.heap.capacity() / 8 {
            self.heap.shrink_to(self.heap.len() * 2);
        }
    }

    /// Forgets the bucket that is full first.
    fn forget_first(&mut self) {
        while !self.heap.is_empty() && !self.step(u64::MAX) {}
    }

    /// Brings the top of the heap up to date, or, if it is and was full by then, forgets it: `true`.
    fn step(&mut self, by: u64) -> bool {
        let Some(mut top) = self.heap.peek_mut() else { return false };
        let Reverse((known, network)) = *top;
        let (key, table) = (&self.key, &mut self.table);
        let Ok(entry) = table.find_entry(network.hash(key), |at| at.network == network) else {
            PeekMut::pop(top);
            return false;
        };
        let full_at = entry.get().full_at;
        if full_at > known {
            *top = Reverse((full_at, network));
            return false;
        }
        if full_at > by {
            return false;
        }
        entry.remove();
        PeekMut::pop(top);
        true
    }
}
