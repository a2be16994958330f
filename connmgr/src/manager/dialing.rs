//! Dials: wishes go to the dialer, its dials go through the limits, and its answers to the application.

use super::{ConnectionManager, OWN_REQUESTS, PendingDial};
use crate::dial::{DialAction, DialFailure, DialFault, DialInput, DialMisuse, DialOptions, DialReport};
use crate::{Action, CloseReason, DialId, Direction, Event, Misuse, RequestId};
use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;
use tidewire_core::{EventMachine, Multiaddr, PeerId};

impl ConnectionManager {
    pub(super) fn dial(
        &mut self,
        request: RequestId,
        peer: PeerId,
        addresses: &[Multiaddr],
        options: DialOptions,
    ) -> Result<(), Misuse> {
        if request.0 >= OWN_REQUESTS {
            return Err(Misuse::ReservedRequest(request));
        }
        if self.dialer.has_request(request) {
            return Err(Misuse::RequestExists(request));
        }
        if !options.new
            && let Some(connection) = self.best_connection(&peer, !options.direct_only)
        {
            self.tell(Event::Dialed { request, peer, connection });
            return Ok(());
        }
        self.start_dial(request, peer, addresses, options);
        Ok(())
    }

    fn start_dial(&mut self, request: RequestId, peer: PeerId, addresses: &[Multiaddr], options: DialOptions) {
        let mut all = addresses.to_vec();
        if let Some(ix) = self.book.find(&peer) {
            all.extend(self.metadata.addresses(self.now, ix).map(|record| record.address.clone()));
        }
        self.tell_dialer(DialInput::Dial { request, peer, addresses: &all, options });
    }

    pub(super) fn cancel(&mut self, request: RequestId) -> Result<(), Misuse> {
        if request.0 >= OWN_REQUESTS {
            return Err(Misuse::ReservedRequest(request));
        }
        if !self.dialer.has_request(request) {
            return Err(Misuse::UnknownRequest(request));
        }
        self.tell_dialer(DialInput::Cancel { request });
        Ok(())
    }

    pub(super) fn dial_progress(&mut self, dial: DialId) -> Result<(), Misuse> {
        self.dialer.handle(self.now, DialInput::Progress { dial }).map_err(Misuse::from)
    }

    pub(super) fn dial_failed(&mut self, dial: DialId, fault: DialFault) -> Result<(), Misuse> {
        let pending = self.dials.remove(&dial).ok_or(DialMisuse::UnknownDial(dial))?;
        self.limits.end_pending(Direction::Outbound, Self::counted_ip(&pending.address));
        if fault.is_of_transport() || matches!(fault, DialFault::Upgrade(_) | DialFault::WrongPeer(_)) {
            self.note_outcome(pending.peer, &pending.address, false);
        }
        self.tell_dialer(DialInput::Failed { dial, fault });
        Ok(())
    }

    /// Remembers what came of an address, if it is remembered.
    pub(super) fn note_outcome(&mut self, peer: PeerId, address: &Multiaddr, connected: bool) {
        if let Some(ix) = self.book.find(&peer) {
            self.metadata.outcome(self.now, ix, address, connected);
        }
    }

    /// What we tell the dialer is never a misuse: each id was checked before.
    pub(super) fn tell_dialer(&mut self, input: DialInput<'_>) {
        let _ = self.dialer.handle(self.now, input);
    }

    pub(super) fn drain_dialer(&mut self) {
        while let Some(action) = self.dialer.poll() {
            match action {
                DialAction::Dial { dial, peer, address, timeout } => self.start(dial, peer, address, timeout),
                DialAction::Abort { dial, timed_out } => {
                    if let Some(pending) = self.dials.remove(&dial) {
                        if timed_out {
                            self.note_outcome(pending.peer, &pending.address, false);
                        }
                        self.limits.end_pending(Direction::Outbound, Self::counted_ip(&pending.address));
                        self.act(Action::Abort { dial });
                    }
                }
                DialAction::Answered { request, peer, connection } => {
                    if request.0 < OWN_REQUESTS {
                        self.tell(Event::Dialed { request, peer, connection });
                    }
                }
                DialAction::Failed { request, peer, report } => {
                    if request.0 < OWN_REQUESTS {
                        self.tell(Event::DialFailed { request, peer, report });
                    } else {
                        self.reconnect.dial_failed(self.now, &peer, &outcome(&report));
                    }
                }
            }
        }
    }

    /// A dial begins, if the limits allow it.
    fn start(&mut self, dial: DialId, peer: PeerId, address: Multiaddr, timeout: Duration) {
        self.next_dial = self.next_dial.max(dial.0.saturating_add(1));
        match self.limits.dialing(Self::counted_ip(&address)) {
            Ok(()) => {
                self.dials.insert(dial, PendingDial { peer, address: address.clone() });
                self.act(Action::Dial { dial, peer, address, timeout });
            }
            Err(limit) => self.tell_dialer(DialInput::Failed { dial, fault: DialFault::Limit(limit) }),
        }
    }

    pub(super) fn drain_reconnect(&mut self) -> bool {
        let mut any = false;
        while let Some(action) = self.reconnect.poll() {
            any = true;
            match action {
                crate::alive::ReconnectAction::Dial { peer, .. } => {
                    let request = RequestId(self.next_own_request);
                    self.next_own_request = self.next_own_request.saturating_add(1);
                    // Its own doubling delays take the place of the addresses' backoff, which would use up tries unseen.
                    let options = DialOptions { forced: true, ..DialOptions::default() };
                    self.start_dial(request, peer, &[], options);
                }
                crate::alive::ReconnectAction::GaveUp { peer, tries, why } => {
                    self.tell(Event::ReconnectFailed { peer, tries, why });
                }
            }
        }
        any
    }

    pub(super) fn network_changed(&mut self) -> Result<(), Misuse> {
        self.tell_dialer(DialInput::NetworkChanged);
        self.reconnect.network_changed();
        Ok(())
    }

    pub(super) fn disconnect(&mut self, peer: PeerId, why: &str) -> Result<(), Misuse> {
        let why = super::connections::cut(why);
        self.end_job(peer, DialFailure::Disconnected(why.clone()));
        self.reconnect.stopped(&peer);
        if let Some(ix) = self.book.find(&peer) {
            self.close_peer(ix, &CloseReason::Asked { why });
        }
        Ok(())
    }

    pub(super) fn end_job(&mut self, peer: PeerId, failure: DialFailure) {
        if self.dialer.job(&peer) {
            self.tell_dialer(DialInput::EndPeer { peer, failure });
        }
    }
}

/// What came of a redial in one clause, with the last address that was dialed.
fn outcome(report: &DialReport) -> String {
    match report.addresses.iter().rev().find(|address| address.outcome.was_dialed()) {
        Some(last) => format!("{}; {}: {}", report.why, last.address, last.outcome),
        None => report.why.to_string(),
    }
}
