//! Where we can be reached: where we listen, how others see us, what we announce.
//!
//! ```text
//!  Listening, NotListening -----> listeners ---.
//!  identify: "I see you at X" --> Observed ----+--> AdvertiseInputs --> Profile, a while after the first change
//!  AddExternal, PortMapping ----> Externals ---|
//!  Relayed, our reservations, NatStatus ---------'         at once when somebody asks who we are
//! ```

use super::{Host, Misuse};
use crate::addresses::{
    AdvertiseInputs, Change, Config, Decision, External, Externals, NatStatus, Observed, PortMapping, Reachability,
    Source, advertised, explain,
};
use crate::{Action, ConnectionId, Event, ListenerId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use smol_str::SmolStr;
use tidewire_core::{Multiaddr, Time};
use tidewire_dcutr::candidate::{Candidate, Source as From};
use tidewire_multistream::Protocol;

/// Listeners, and what is known of our addresses.
#[derive(Debug)]
pub(super) struct Reach {
    config: Config,
    listeners: BTreeMap<ListenerId, Listener>,
    observed: Observed,
    externals: Externals,
    /// Where the application says that relays lead to us.
    relayed_said: Vec<Multiaddr>,
    /// Where our own reservations do.
    relayed_held: Vec<Multiaddr>,
    /// AutoRelay says what is announced: these and no others.
    chosen: Option<Vec<Multiaddr>>,
    nat: NatStatus,
    protocols: Vec<Protocol>,
    /// Something changed that our profile doesn't say yet.
    stale: bool,
    /// When changes are pushed.
    due: Time,
}

#[derive(Debug, Default)]
struct Listener {
    addresses: Vec<Multiaddr>,
    closing: bool,
}

impl Reach {
    pub(super) fn new(config: &Config) -> Self {
        Reach {
            listeners: BTreeMap::new(),
            observed: Observed::new(config.observed.clone()),
            externals: Externals::new(config.max_external),
            relayed_said: Vec::new(),
            relayed_held: Vec::new(),
            chosen: None,
            nat: NatStatus::default(),
            protocols: Vec::new(),
            stale: true,
            // The first profile at once: nobody waits for changes then.
            due: Time::ZERO,
            config: config.clone(),
        }
    }

    /// All addresses of all listeners, each once.
    fn listening(&self) -> Vec<Multiaddr> {
        let mut all: Vec<Multiaddr> =
            self.listeners.values().flat_map(|listener| &listener.addresses).cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    /// Our addresses through relays, those first that we hold ourselves; each once.
    fn relayed(&self) -> Vec<Multiaddr> {
        let mut all = self.relayed_held.clone();
        for address in &self.relayed_said {
            if !all.contains(address) {
                all.push(address.clone());
            }
        }
        all
    }

    fn inputs(&self) -> AdvertiseInputs {
        AdvertiseInputs {
            listening: self.listening(),
            interfaces: Vec::new(),
            external: self.externals.as_slice().to_vec(),
            relayed: self.relayed(),
            nat: self.nat,
            policy: self.config.policy.clone(),
        }
    }

    /// Whether an address leads to ourselves.
    pub(super) fn is_ours(&self, address: &Multiaddr) -> bool {
        let bare = address.without_peer_id();
        // The loopback address of another machine looks like ours, and is of use to who shares the machine with us.
        let listens = |listener: &Listener| listener.addresses.contains(&bare);
        self.listeners.values().any(listens) || self.externals.get(&bare).is_some_and(External::is_claimed)
    }

    /// Addresses of ours that a hole punch may use, and the listeners that they lead to.
    pub(super) fn punch_candidates(&self) -> Vec<Candidate> {
        let observed = self.observed.candidates().into_iter().filter(|seen| seen.observers > 0);
        let observed =
            observed.map(|seen| Candidate { address: seen.external, source: From::Observed, local: Some(seen.listen) });
        let external = self.externals.as_slice().iter().filter_map(|external| {
            let source = match (external.reachability, external.manual, external.mapped) {
                (Reachability::Unreachable, ..) => return None,
                (Reachability::Reachable, ..) | (_, true, _) => From::Confirmed,
                (_, _, true) => From::Mapped,
                // Those that are observed, above.
                _ => return None,
            };
            Some(Candidate { address: external.address.clone(), source, local: self.dial_from(&external.address) })
        });
        let listening = self.listening().into_iter().map(|address| Candidate {
            local: Some(address.clone()),
            address,
            source: From::Listened,
        });
        observed.chain(external).chain(listening).collect()
    }

    /// The address of a listener from whose port to dial this address: the same transport, the same family, and the same
    /// reach where that makes a difference.
    pub(super) fn dial_from(&self, address: &Multiaddr) -> Option<Multiaddr> {
        let to = address.ip()?;
        if address.is_relayed() {
            return None;
        }
        let fits = |from: &&Multiaddr| {
            from.transport() == address.transport()
                && from.ip().is_some_and(|ip| {
                    ip.is_ipv4() == to.is_ipv4() && (ip.is_loopback() == to.is_loopback() || ip.is_unspecified())
                })
        };
        self.listeners.values().filter(|listener| !listener.closing).flat_map(|l| &l.addresses).find(fits).cloned()
    }

    pub(super) fn set_protocols(&mut self, now: Time, names: Vec<Protocol>) {
        if self.protocols != names {
            self.protocols = names;
            self.changed(now);
        }
    }

    pub(super) fn set_chosen(&mut self, now: Time, addresses: Vec<Multiaddr>) {
        if self.chosen.as_ref() != Some(&addresses) {
            self.chosen = Some(addresses);
            self.changed(now);
        }
    }

    /// The application says where relays lead to us.
    pub(super) fn set_relayed_said(&mut self, now: Time, addresses: Vec<Multiaddr>) {
        if self.relayed_said != addresses {
            self.relayed_said = addresses;
            self.changed(now);
        }
    }

    /// Our own reservations changed.
    pub(super) fn set_relayed_held(&mut self, now: Time, addresses: Vec<Multiaddr>) {
        if self.relayed_held != addresses {
            self.relayed_held = addresses;
            self.changed(now);
        }
    }

    /// A peer says where it sees us. Most of what is not counted is nobody's fault.
    pub(super) fn observed(
        &mut self,
        now: Time,
        connection: ConnectionId,
        remote: &Multiaddr,
        local: &Multiaddr,
        seen: &Multiaddr,
    ) {
        let _ = self.observed.observed(now, connection, remote, local, seen);
    }

    pub(super) fn closed(&mut self, now: Time, connection: ConnectionId) {
        self.observed.closed(now, connection);
    }

    /// Something changed of what we say of ourselves: it is pushed a while later, together with what changes until then. Whoever
    /// asks before hears of it.
    fn changed(&mut self, now: Time) {
        self.stale = true;
        if self.due.is_never() {
            self.due = now + self.config.delay;
        }
    }

    pub(super) fn on_timeout(&mut self, now: Time) {
        self.observed.on_timeout(now);
    }

    pub(super) fn deadline(&self) -> Time {
        self.observed.deadline().min(self.due)
    }

    pub(super) fn memory_used(&self) -> usize {
        let heap = Multiaddr::list_memory_used;
        let listeners =
            self.listeners.values().map(|listener| heap(&listener.addresses) + size_of::<(ListenerId, Listener)>());
        self.observed.memory_used()
            + self.externals.memory_used()
            + listeners.sum::<usize>()
            + heap(&self.relayed_said)
            + heap(&self.relayed_held)
            + self.chosen.as_ref().map_or(0, heap)
            + self.protocols.capacity() * size_of::<Protocol>()
    }
}

impl Host {
    /// All that the announced addresses depend on.
    pub fn advertise_inputs(&self) -> AdvertiseInputs {
        self.reach.inputs()
    }

    /// Each address that might be announced, and why it is, or why not.
    pub fn explain_addresses(&self) -> Vec<Decision> {
        explain(&self.reach.inputs())
    }

    /// Addresses at which others reach us beside our listeners', with how far each is believed.
    pub fn externals(&self) -> &[External] {
        self.reach.externals.as_slice()
    }

    pub(super) fn listen(&mut self, listener: ListenerId, address: Multiaddr) -> Result<(), Misuse> {
        if self.reach.listeners.contains_key(&listener) || self.is_circuit_listener(listener) {
            return Err(Misuse::ListenerExists(listener));
        }
        let (limit, listeners) = (self.config.max_listeners, self.reach.listeners.len() + self.circuit_listeners());
        if u32::try_from(listeners).unwrap_or(u32::MAX) >= limit {
            return Err(Misuse::TooMany { what: "listeners", limit });
        }
        if self.shut_down {
            let why = SmolStr::new_static("we are shutting down");
            self.tell(Event::ListenerClosed { listener, why });
            return Ok(());
        }
        if address.is_relayed() {
            self.listen_circuit(listener, &address);
            return Ok(());
        }
        self.reach.listeners.insert(listener, Listener::default());
        self.act(Action::Listen { listener, address });
        Ok(())
    }

    pub(super) fn unlisten(&mut self, listener: ListenerId) -> Result<(), Misuse> {
        if self.unlisten_circuit(listener) {
            return Ok(());
        }
        let entry = self.reach.listeners.get_mut(&listener).ok_or(Misuse::UnknownListener(listener))?;
        if !core::mem::replace(&mut entry.closing, true) {
            self.act(Action::Unlisten { listener });
        }
        Ok(())
    }

    pub(super) fn close_listeners(&mut self) {
        let all: Vec<ListenerId> = self.reach.listeners.keys().copied().collect();
        for listener in all {
            let _ = self.unlisten(listener);
        }
    }

    pub(super) fn listening(&mut self, listener: ListenerId, address: Multiaddr) -> Result<(), Misuse> {
        let limit = self.config.max_listen_addresses;
        let addresses = self.reach.listeners.values().map(|listener| listener.addresses.len()).sum::<usize>();
        let entry = self.reach.listeners.get_mut(&listener).ok_or(Misuse::UnknownListener(listener))?;
        if entry.addresses.contains(&address) {
            return Err(Misuse::AddressExists(listener, address));
        }
        if u32::try_from(addresses).unwrap_or(u32::MAX) >= limit {
            return Err(Misuse::TooMany { what: "addresses of listeners", limit });
        }
        entry.addresses.push(address.clone());
        // What can't be seen from outside is of no matter here.
        let _ = self.reach.observed.listening(self.now, &address);
        self.reach.changed(self.now);
        self.tell(Event::Listening { listener, address });
        Ok(())
    }

    pub(super) fn not_listening(&mut self, listener: ListenerId, address: Multiaddr) -> Result<(), Misuse> {
        let entry = self.reach.listeners.get_mut(&listener).ok_or(Misuse::UnknownListener(listener))?;
        let Some(at) = entry.addresses.iter().position(|known| *known == address) else {
            return Err(Misuse::UnknownAddress(listener, address));
        };
        entry.addresses.remove(at);
        self.address_gone(listener, address);
        Ok(())
    }

    fn address_gone(&mut self, listener: ListenerId, address: Multiaddr) {
        if !self.reach.listeners.values().any(|listener| listener.addresses.contains(&address)) {
            self.reach.observed.not_listening(self.now, &address);
        }
        self.reach.changed(self.now);
        self.tell(Event::NotListening { listener, address });
    }

    pub(super) fn listener_closed(&mut self, listener: ListenerId, why: SmolStr) -> Result<(), Misuse> {
        let entry = self.reach.listeners.remove(&listener).ok_or(Misuse::UnknownListener(listener))?;
        for address in entry.addresses {
            self.address_gone(listener, address);
        }
        self.tell(Event::ListenerClosed { listener, why });
        Ok(())
    }

    pub(super) fn add_external(&mut self, address: &Multiaddr) -> Result<(), Misuse> {
        if self.reach.externals.add(address, Source::Manual)? {
            self.reach.changed(self.now);
        }
        Ok(())
    }

    pub(super) fn remove_external(&mut self, address: &Multiaddr) {
        if self.reach.externals.remove(address, Source::Manual) {
            self.reach.changed(self.now);
        }
    }

    /// What came of having a port mapped at the router.
    pub(super) fn port_mapping(&mut self, mapping: PortMapping) -> Result<(), Misuse> {
        let changed = match &mapping {
            PortMapping::Mapped { external, .. } => self.reach.externals.add(external, Source::Mapped)?,
            PortMapping::Lost { external, .. } => self.reach.externals.remove(external, Source::Mapped),
            PortMapping::Failed { .. } => false,
        };
        if changed {
            self.reach.changed(self.now);
        }
        self.tell(Event::PortMapping(mapping));
        Ok(())
    }

    /// What came of having others dial an address.
    pub(super) fn address_dialed(&mut self, address: &Multiaddr, reachability: Reachability) {
        // One that can't be external, or is one too many, stays what it was.
        if self.reach.externals.dialed(address, reachability).unwrap_or(false) {
            self.reach.changed(self.now);
        }
    }

    /// Where we may be reached: what others see or the application says, then where we listen.
    pub(super) fn candidate_addresses(&self) -> Vec<Multiaddr> {
        let claimed = self.reach.externals.as_slice().iter().filter(|external| external.is_claimed());
        let mut all: Vec<Multiaddr> = claimed.map(|external| external.address.clone()).collect();
        for address in self.reach.listening() {
            if !all.contains(&address) {
                all.push(address);
            }
        }
        all
    }

    pub(super) fn set_nat_status(&mut self, status: NatStatus) {
        if self.reach.nat != status {
            self.reach.nat = status;
            self.reach.changed(self.now);
            self.relay_reachable(status == NatStatus::Public);
            self.auto_status(status);
            self.tell(Event::NatStatus(status));
        }
    }

    /// Whether a push is to come.
    pub(super) fn is_push_due(&self) -> bool {
        !self.reach.due.is_never()
    }

    /// Brings what we say of ourselves up to date: before somebody is told.
    pub(super) fn refresh(&mut self) {
        if core::mem::take(&mut self.reach.stale) {
            let addresses = self.reach.chosen.clone().unwrap_or_else(|| advertised(&self.reach.inputs()));
            let protocols = self.reach.protocols.clone();
            self.relay_addresses(&addresses);
            self.announce(addresses, protocols);
        }
    }

    /// What others see of us, and what we say of ourselves, once it is due.
    pub(super) fn drain_reach(&mut self) {
        while let Some(change) = self.reach.observed.poll() {
            let changed = match change {
                // An address that can't be external, or is one too many, stays what it was.
                Change::Confirmed { external, observers, .. } => {
                    self.reach.externals.add(&external, Source::Observed { by: observers }).unwrap_or(false)
                }
                Change::Expired { external, .. } => self.reach.externals.remove(&external, Source::Observed { by: 0 }),
            };
            if changed {
                self.reach.changed(self.now);
            }
        }
        if self.reach.due <= self.now {
            self.reach.due = Time::NEVER;
            self.nat_addresses();
            self.refresh();
            self.push_all();
        }
    }
}
