//! Windows: for a while, sockets that are accepted from a peer's addresses listen before they propose.
//!
//! ```text
//!   closed --- A answers CONNECT, or B sends SYNC ---> open (these IP addresses, T2) --- stream + dial timeout ---> closed
//!                                                        ^--- the next try ---'
//!                                                        ^--- A measured the round trip: T2 by it, the rest as before ---'
//! ```
//! Whom an accepted socket comes from isn't known before the handshake. So its remote IP decides: an unrelated dialer behind
//! the same address only waits for its own proposal, which it sends first anyway. A window outlives its stream, and the attempt:
//! the other one's SYN may be under way still.

use super::action::Action;
use super::config::length;
use super::peer::{State, Turn};
use crate::Plan;
use crate::candidate::Candidate;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use tidewire_core::{PeerId, Time};

/// One peer's window.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct Window {
    /// Sorted.
    pub(super) ips: Vec<IpAddr>,
    pub(super) plan: Plan,
    pub(super) until: Time,
    /// Accepted sockets from there whose upgrade runs.
    pub(super) arriving: u32,
    /// We are A, and have answered more than one `CONNECT` on circuits that stand.
    pub(super) again: bool,
}

impl Window {
    pub(super) fn memory_used(&self) -> usize {
        self.ips.capacity() * size_of::<IpAddr>()
    }
}

/// Whose windows an address is in.
#[derive(Clone, Debug, Default)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct Windows(BTreeMap<IpAddr, Vec<PeerId>>);

impl Windows {
    pub(super) fn of(&self, ip: IpAddr) -> &[PeerId] {
        self.0.get(&ip.to_canonical()).map(Vec::as_slice).unwrap_or_default()
    }

    fn add(&mut self, ip: IpAddr, peer: PeerId) {
        self.0.entry(ip).or_default().push(peer);
    }

    fn remove(&mut self, ip: IpAddr, peer: PeerId) {
        if let Some(peers) = self.0.get_mut(&ip) {
            peers.retain(|other| *other != peer);
            if peers.is_empty() {
                self.0.remove(&ip);
            }
        }
    }

    pub(super) fn memory_used(&self) -> usize {
        self.0.values().map(|peers| size_of::<(IpAddr, Vec<PeerId>)>() + peers.capacity() * size_of::<PeerId>()).sum()
    }
}

impl Turn<'_> {
    /// Opens the window anew, for those whom we are about to dial.
    pub(super) fn open_window(&mut self, targets: &[Candidate], again: bool, rtt: Option<Duration>) {
        let before = self.punch.window.take();
        for ip in before.iter().flat_map(|window| &window.ips) {
            self.shared.windows.remove(*ip, self.id);
        }
        let config = &self.shared.config;
        let (until, plan) = (self.shared.now + config.window(), config.accepted_plan(rtt));
        let mut ips: Vec<IpAddr> =
            targets.iter().filter_map(|target| Some(target.address.ip()?.to_canonical())).collect();
        ips.sort_unstable();
        ips.dedup();
        ips.truncate(length(config.max_window_ips));
        for ip in &ips {
            self.shared.windows.add(*ip, self.id);
        }
        // A socket that is being upgraded goes on being upgraded.
        let arriving = before.as_ref().map_or(0, |window| window.arriving);
        if !ips.is_empty() {
            self.shared.act(Action::Window { peer: self.id, ips: ips.clone(), plan, until });
        } else if before.is_some_and(|window| !window.ips.is_empty()) {
            self.shared.act(Action::CloseWindow { peer: self.id });
        }
        self.punch.window = Some(alloc::boxed::Box::new(Window { ips, plan, until, arriving, again }));
    }

    /// The round trip is known now. Sockets that were accepted before keep their plan.
    pub(super) fn time_window(&mut self, rtt: Duration) {
        let plan = self.shared.config.accepted_plan(Some(rtt));
        let Some(window) = self.punch.window.as_mut().filter(|window| window.plan != plan) else { return };
        window.plan = plan;
        let (ips, until) = (window.ips.clone(), window.until);
        if !ips.is_empty() {
            self.shared.act(Action::Window { peer: self.id, ips, plan, until });
        }
    }

    pub(super) fn close_window(&mut self) {
        let Some(window) = self.punch.window.take() else { return };
        for ip in &window.ips {
            self.shared.windows.remove(*ip, self.id);
        }
        if !window.ips.is_empty() {
            self.shared.act(Action::CloseWindow { peer: self.id });
        }
    }

    pub(super) fn window_timeout(&mut self) {
        let now = self.shared.now;
        if self.punch.window.as_ref().is_some_and(|window| window.until <= now) {
            self.close_window();
        }
    }

    /// A socket was accepted, or its upgrade ended.
    pub(super) fn arrives(&mut self, comes: bool) {
        if let Some(window) = &mut self.punch.window {
            window.arriving = if comes { window.arriving.saturating_add(1) } else { window.arriving.saturating_sub(1) };
        }
        if comes
            && self.punch.dials.is_empty()
            && let Some(attempt) = &mut self.punch.attempt
            && let State::Punching { until, excused, .. } = &mut attempt.state
            && !*excused
        {
            // Ours failed, and this is what was waited for: time for its upgrade.
            (*until, *excused) = (self.shared.now + self.shared.config.punch_timeout, true);
        }
    }
}
