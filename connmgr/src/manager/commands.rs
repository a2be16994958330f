//! What the application says about peers, and what it commands.

use super::ConnectionManager;
use crate::dial::{DialFailure, DialInput, GateRule};
use crate::metadata::Source;
use crate::table::{ConnIx, PeerIx};
use crate::worth::{Bump, TagChange, TagError};
use crate::{CloseReason, Misuse, RefuseReason};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId};

impl ConnectionManager {
    pub(super) fn addresses(
        &mut self,
        peer: PeerId,
        addresses: &[Multiaddr],
        source: Source,
        ttl: Duration,
    ) -> Result<(), Misuse> {
        let ix = self.book.intern(peer);
        self.metadata.add_addresses(self.now, ix, &peer, addresses, source, ttl);
        self.forget_if_blank(ix);
        Ok(())
    }

    pub(super) fn identified(&mut self, peer: PeerId, protocols: &[&str], agent: Option<&str>) -> Result<(), Misuse> {
        let ix = self.book.intern(peer);
        self.metadata.identified(self.now, ix, protocols, agent);
        self.forget_if_blank(ix);
        Ok(())
    }

    /// Changes what a peer is worth; a peer that was unknown, and about whom nothing came of it, stays unknown.
    fn with_worth(
        &mut self,
        peer: PeerId,
        change: impl FnOnce(&mut Self, PeerIx) -> Result<(), TagError>,
    ) -> Result<(), Misuse> {
        let ix = self.book.intern(peer);
        let done = change(self, ix);
        self.forget_if_blank(ix);
        Ok(done?)
    }

    pub(super) fn protect(&mut self, peer: PeerId, reason: &str) -> Result<(), Misuse> {
        self.with_worth(peer, |this, ix| this.worth.protect(this.now, ix, reason))
    }

    pub(super) fn unprotect(&mut self, peer: PeerId, reason: &str) -> Result<(), Misuse> {
        self.with_worth(peer, |this, ix| {
            this.worth.unprotect(this.now, ix, reason);
            Ok(())
        })
    }

    pub(super) fn tag(&mut self, peer: PeerId, tag: &str, change: TagChange) -> Result<(), Misuse> {
        self.with_worth(peer, |this, ix| this.worth.tag(this.now, ix, tag, change))
    }

    pub(super) fn bump(&mut self, peer: PeerId, tag: &str, bump: Bump) -> Result<(), Misuse> {
        self.with_worth(peer, |this, ix| this.worth.bump(this.now, ix, tag, bump))
    }

    pub(super) fn unbump(&mut self, peer: PeerId, tag: &str) -> Result<(), Misuse> {
        self.with_worth(peer, |this, ix| this.worth.unbump(this.now, ix, tag))
    }

    pub(super) fn keep_alive(&mut self, peer: PeerId, on: bool) -> Result<(), Misuse> {
        let connected = self.is_connected(&peer);
        self.reconnect.keep(self.now, peer, on, connected).map_err(|full| Misuse::TooManyKept(full.0))
    }

    pub(super) fn deny(&mut self, rule: &GateRule, why: &str) -> Result<(), Misuse> {
        let why = super::connections::cut(why);
        self.dialer.gate_mut().deny(rule.clone(), &why)?;
        let forbidden = |remote: &Multiaddr, this: &Self| match rule {
            GateRule::Subnet(..) => remote.ip().is_some_and(|ip: IpAddr| this.dialer.gate().ip(ip).is_some()),
            _ => false,
        };
        if let GateRule::Peer(peer) = rule {
            self.end_job(*peer, DialFailure::Denied(why.clone()));
            self.reconnect.stopped(peer);
            if let Some(ix) = self.book.find(peer) {
                self.close_peer(ix, &CloseReason::Denied { why: why.clone() });
            }
            return Ok(());
        }
        let hit: Vec<(ConnIx, bool)> = self
            .book
            .connections()
            .filter(|(_, entry)| forbidden(&entry.remote, self))
            .map(|(ix, entry)| (ix, entry.peer.is_some()))
            .collect();
        for (ix, established) in hit {
            if established {
                self.begin_close(ix, CloseReason::Denied { why: why.clone() });
            } else {
                self.refuse_pending(ix, RefuseReason::Denied { why: why.clone() });
            }
        }
        Ok(())
    }

    pub(super) fn allow(&mut self, rule: &GateRule) -> Result<(), Misuse> {
        self.dialer.gate_mut().allow(rule);
        Ok(())
    }

    pub(super) fn shutdown(&mut self) -> Result<(), Misuse> {
        if self.shut_down {
            return Ok(());
        }
        self.shut_down = true;
        self.tell_dialer(DialInput::Shutdown);
        self.reconnect.clear();
        let all: Vec<(ConnIx, bool)> = self.book.connections().map(|(ix, entry)| (ix, entry.peer.is_some())).collect();
        for (ix, established) in all {
            if established {
                self.begin_close(ix, CloseReason::Shutdown);
            } else {
                self.refuse_pending(ix, RefuseReason::Shutdown);
            }
        }
        Ok(())
    }
}
