//! Kinds of dials that never succeed here: UDP or IPv6 that some network swallows.
//!
//! ```text
//!              the window is full, with too few successes
//!   allowed -----------------------------------------------> blocked: only probes pass
//!      ^                                                        |
//!      +--------------------------------------------------------+
//!              a success, or the network changed: begin anew
//! ```
//! go-libp2p's documented behaviour: of the last 100 dials at least 5 must succeed, else only each 100th is made. A black hole
//! is there or it isn't, so one success is enough to open again.
//!
//! Only direct dials beyond this site count, and only they are held back: nothing on the way to a private address is a
//! provider's, and a relayed one says something about the relay.

use super::DialConfig;
use super::rank::{is_local, is_udp, is_v6};
use alloc::collections::VecDeque;
use tidewire_core::Multiaddr;

/// Watches dials over UDP and to IPv6, each by itself.
#[derive(Clone, Debug)]
pub(crate) struct BlackHoles {
    udp: Watch,
    ipv6: Watch,
}

/// The last outcomes of one kind of dial.
#[derive(Clone, Debug)]
struct Watch {
    /// How many outcomes make a judgement. None: this kind is never blocked.
    window: usize,
    needed: usize,
    probe: u32,
    outcomes: VecDeque<bool>,
    successes: usize,
    /// Dials held back since the last outcome.
    held_back: u32,
}

impl BlackHoles {
    /// Nothing is known.
    pub(crate) fn new(config: &DialConfig) -> Self {
        BlackHoles { udp: Watch::new(config), ipv6: Watch::new(config) }
    }

    /// Whether to dial this address; else, the kind that fails here: `"UDP"` or `"IPv6"`.
    ///
    /// Of those held back, one in so many passes as a probe, and then all until an outcome comes: a probe that another
    /// dial overtakes tells nothing. A probe of either kind passes though the other is blocked.
    ///
    /// # Errors
    /// The kind.
    pub(crate) fn allows(&mut self, address: &Multiaddr) -> Result<(), &'static str> {
        if !counts(address) {
            return Ok(());
        }
        let udp = is_udp(address).then(|| self.udp.ask());
        let ipv6 = is_v6(address).then(|| self.ipv6.ask());
        match (udp, ipv6) {
            (Some(Verdict::Probe), _) | (_, Some(Verdict::Probe)) => Ok(()),
            (Some(Verdict::Blocked), _) => Err("UDP"),
            (_, Some(Verdict::Blocked)) => Err("IPv6"),
            _ => Ok(()),
        }
    }

    /// A dial of this address succeeded or failed, forced ones included. One that was aborted says nothing.
    pub(crate) fn outcome(&mut self, address: &Multiaddr, success: bool) {
        if !counts(address) {
            return;
        }
        if is_udp(address) {
            self.udp.record(success);
        }
        if is_v6(address) {
            self.ipv6.record(success);
        }
    }

    /// The network changed: what swallowed them may be gone.
    pub(crate) fn reset(&mut self) {
        self.udp.reset();
        self.ipv6.reset();
    }

    /// Heap bytes.
    pub(crate) fn memory_used(&self) -> usize {
        self.udp.outcomes.capacity() + self.ipv6.outcomes.capacity()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Allowed,
    Probe,
    Blocked,
}

impl Watch {
    fn new(config: &DialConfig) -> Self {
        let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Watch {
            window: size(config.black_hole_window),
            needed: size(config.black_hole_successes),
            probe: config.black_hole_probe,
            outcomes: VecDeque::new(),
            successes: 0,
            held_back: 0,
        }
    }

    /// More successes than the window holds can't be asked for.
    fn is_blocked(&self) -> bool {
        self.window > 0 && self.outcomes.len() >= self.window && self.successes < self.needed.min(self.window)
    }

    fn ask(&mut self) -> Verdict {
        if !self.is_blocked() {
            return Verdict::Allowed;
        }
        if self.held_back.saturating_add(1) >= self.probe {
            return Verdict::Probe;
        }
        self.held_back += 1;
        Verdict::Blocked
    }

    fn record(&mut self, success: bool) {
        if self.window == 0 {
            return;
        }
        if success && self.is_blocked() {
            self.reset();
            return;
        }
        self.held_back = 0;
        if self.outcomes.len() >= self.window && self.outcomes.pop_front() == Some(true) {
            self.successes = self.successes.saturating_sub(1);
        }
        self.outcomes.push_back(success);
        self.successes += usize::from(success);
    }

    fn reset(&mut self) {
        self.outcomes.clear();
        self.successes = 0;
        self.held_back = 0;
    }
}

fn counts(address: &Multiaddr) -> bool {
    !address.is_relayed() && !is_local(address)
}

#[cfg(test)]
mod tests;
