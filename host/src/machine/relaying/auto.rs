//! AutoRelay: relays are found and held without being told, while others can't reach us.

use super::{Holder, Part, named};
use crate::addresses::{NatStatus, Reachability as Dialed};
use crate::identify::Identity;
use crate::machine::{Host, Misuse};
use crate::{Config, ConnectionId, Event};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_connmgr as connmgr;
use tidewire_core::{EventMachine, Multiaddr, PeerId, Seed, Time};
use tidewire_relay::autonat::Reachability;
use tidewire_relay::autorelay::{Action, AutoRelay, Input};
use tidewire_relay::exchange::Service;

/// Why the connection manager keeps a relay that is in use, or is to be.
const KEPT: &str = "chosen as a relay";

pub(super) fn autorelay(config: &Config, local: PeerId, seed: &Seed) -> Option<Box<AutoRelay>> {
    let config = config.relay.auto_relay.clone()?;
    Some(Box::new(AutoRelay::new(config, local, &seed.derive("host autorelay", 0), Time::ZERO)))
}

impl Host {
    /// Which relays are held without being told, and what is waited for; if `relay.auto_relay` is configured.
    pub fn autorelay(&self) -> Option<&AutoRelay> {
        self.relaying.auto.as_deref()
    }

    /// News that crossed on the way are of no matter to it.
    pub(super) fn tell_auto(&mut self, input: Input<'_>) {
        let now = self.now;
        if let Some(auto) = &mut self.relaying.auto {
            let _ = auto.handle(now, input);
        }
    }

    /// A word of the application's. An answer to what is not asked any more is of no matter.
    pub(super) fn auto_command(&mut self, input: Input<'_>) -> Result<(), Misuse> {
        if self.relaying.auto.is_none() {
            return Err(Misuse::NoAutoRelay);
        }
        self.tell_auto(input);
        Ok(())
    }

    pub(super) fn drain_auto(&mut self) -> bool {
        let mut any = false;
        while let Some(action) = self.relaying.auto.as_mut().and_then(|auto| auto.poll()) {
            any = true;
            self.on_auto(action);
        }
        any
    }

    fn on_auto(&mut self, action: Action) {
        match action {
            Action::Find { count } => self.tell(Event::RelaysWanted { count }),
            Action::Connect { peer, addresses } => self.connect_directly(Part::Auto, peer, &addresses, false),
            Action::Hold { relay, addresses } => {
                let held = self.hold(relay, &addresses, Holder::AutoRelay);
                // As many as may be are held: then it is as if this one refused.
                held.unwrap_or_else(|_| self.tell_auto(Input::ReserveFailed { relay, refused: true }));
            }
            Action::Release { relay } => drop(self.unhold(relay, Holder::AutoRelay)),
            Action::Protect { peer } => self.manage(connmgr::Input::Protect { peer, reason: KEPT }),
            Action::Unprotect { peer } => self.manage(connmgr::Input::Unprotect { peer, reason: KEPT }),
            Action::Announce(addresses) => {
                // Announced without our id, as listeners' addresses are.
                let addresses = addresses.iter().map(Multiaddr::without_peer_id).collect();
                self.reach.set_chosen(self.now, addresses);
            }
            Action::Advertise { key, ttl } => self.tell(Event::Advertise { key, ttl }),
            Action::Withdraw { key } => self.tell(Event::Withdraw { key }),
            Action::Event(event) => self.tell(Event::AutoRelay(event)),
            _ => {}
        }
    }

    pub(super) fn auto_connected(&mut self, connection: ConnectionId, peer: PeerId, remote: &Multiaddr) {
        let (connection, relayed) = (named(connection), remote.is_relayed());
        self.tell_auto(Input::Connected { connection, peer, remote, relayed });
    }

    pub(super) fn auto_identified(&mut self, peer: PeerId, identity: &Identity) {
        let speaks_hop = identity.protocols.iter().any(|protocol| protocol.as_str() == Service::Hop.name());
        self.tell_auto(Input::Identified { peer, speaks_hop });
    }

    /// A ping was answered.
    pub(in crate::machine) fn auto_rtt(&mut self, peer: PeerId, rtt: Duration) {
        self.tell_auto(Input::Rtt { peer, rtt });
    }

    /// What is known of our being behind a NAT changed.
    pub(in crate::machine) fn auto_status(&mut self, status: NatStatus) {
        self.tell_auto(Input::Reachability(match status {
            NatStatus::Unknown => Reachability::Unknown,
            NatStatus::Private => Reachability::Private,
            NatStatus::Public => Reachability::Public,
        }));
    }

    /// Our addresses without relays changed, perhaps.
    pub(super) fn auto_addresses(&mut self, own: &[Multiaddr]) {
        if self.relaying.auto.is_none() {
            return;
        }
        let verified = self.externals().iter().filter(|external| external.reachability == Dialed::Reachable);
        let verified: Vec<Multiaddr> = verified.map(|external| external.address.clone()).collect();
        self.tell_auto(Input::Addresses { own, verified: &verified });
    }
}
