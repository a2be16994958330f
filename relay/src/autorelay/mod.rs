//! AutoRelay: finds relays while others can't connect to us, keeps as many as are wanted, and says which addresses to
//! announce. An event machine.
//!
//! ```text
//!           private, or unknown                              candidates   connects, identifies, chooses   --> Hold, Release
//!   Off <------------------------> Running   ---- has --->                asks the source for more        --> Find
//!               public                |
//!                                     '--- our addresses and circuits, tamed ---> Announce
//!   a public relay ourselves ---> Advertise
//! ```
//! A candidate comes from the source that the caller has (a DHT, a rendezvous point, a list), or was named by the user. It must be
//! connected directly, identified, and speak hop, before it is asked for a reservation; the [client](crate::client) asks. Who
//! fails is left alone for a while. The relays in use are protected from the connection manager, and only as long as they are.
//!
//! ```
//! use core::time::Duration;
//! use tidewire_core::{EventMachine, Keypair, Multiaddr, Seed, Time};
//! use tidewire_relay::ConnectionId;
//! use tidewire_relay::autorelay::{Action, AutoRelay, AutoRelayConfig, Candidate, Event, Input};
//!
//! let [us, relay] = [1, 2].map(|seed| Keypair::from_seed(&Seed::new([seed; 32])).peer_id());
//! let mut now = Time::ZERO;
//! let mut autorelay = AutoRelay::new(AutoRelayConfig::classic(), us, &Seed::new([3; 32]), now);
//! assert_eq!(autorelay.poll(), Some(Action::Event(Event::Started)));
//! assert_eq!(autorelay.poll(), Some(Action::Find { count: 20 }));
//!
//! // The source names a peer, which is connected, and says that it is a relay.
//! let remote: Multiaddr = "/ip4/198.51.100.1/tcp/4001".parse()?;
//! let found = [Candidate { peer: relay, addresses: vec![remote.clone()] }];
//! autorelay.handle(now, Input::Candidates(&found))?;
//! assert_eq!(autorelay.poll(), Some(Action::Connect { peer: relay, addresses: vec![remote.clone()] }));
//! autorelay.handle(now, Input::Connected { connection: ConnectionId(1), peer: relay, remote: &remote, relayed: false })?;
//! autorelay.handle(now, Input::Identified { peer: relay, speaks_hop: true })?;
//! let why = autorelay.explain(now).to_string();
//! assert!(why.starts_with("0 of 3 relays held; 1 candidates (1 fit"), "{why}");
//! assert!(why.ends_with("waits 20 s for the boot delay"), "{why}");
//!
//! // After the boot delay it is used.
//! now = now + Duration::from_secs(20);
//! autorelay.on_timeout(now);
//! assert_eq!(autorelay.poll(), Some(Action::Protect { peer: relay }));
//! assert_eq!(autorelay.poll(), Some(Action::Hold { relay, addresses: vec![remote] }));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! No spec of libp2p describes AutoRelay. Where a number or a rule comes from stands with it: [`AutoRelayConfig`].

mod action;
mod advertise;
mod announce;
mod candidates;
mod config;
mod explain;
mod input;
#[cfg(test)]
mod tests;

pub use action::{Action, Dropped, Event};
pub use config::{AnnouncePublic, AutoRelayConfig};
pub use explain::{Explanation, Waiting};
pub use input::{Candidate, Input, Misuse};

use crate::ConnectionId;
use crate::autonat::Reachability;
use crate::client::config::at_least_a_millisecond;
use crate::client::direct_addresses;
use crate::client::links::Links;
use advertise::{Advertise, Advertiser};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use candidates::{Candidates, Peer, Stage, Subnet};
use core::fmt;
use tidewire_core::{Draw, EventMachine, Multiaddr, PeerId, Seed, Time};

/// Finds relays, keeps them, and says what to announce. An [`EventMachine`]; see the [module](self).
pub struct AutoRelay {
    local: PeerId,
    config: AutoRelayConfig,
    jitter: Draw,
    /// The latest moment that was ever said.
    now: Time,
    reachability: Reachability,
    running: bool,
    boot_until: Time,
    links: Links,
    /// Who is connected directly.
    peers: BTreeMap<PeerId, Peer>,
    candidates: Candidates,
    /// When the source was asked last.
    asked_source: Option<Time>,
    serving: bool,
    advertiser: Advertiser,
    known: announce::Known,
    /// What was said in the last [`Action::Announce`].
    announced: Vec<Multiaddr>,
    /// The deadline, kept so that asking for it costs nothing.
    wake: Time,
    actions: VecDeque<Action>,
}

/// Room for actions that is kept when none waits.
const KEPT_ACTIONS: usize = 64;

impl AutoRelay {
    /// It runs from the start, since nobody has said yet that we are public. The seed feeds the jitter of pauses, and the choice
    /// between candidates that are equally good.
    pub fn new(config: AutoRelayConfig, local: PeerId, seed: &Seed, now: Time) -> Self {
        let mut autorelay = AutoRelay {
            local,
            jitter: Draw::new(seed, "autorelay"),
            now,
            reachability: Reachability::Unknown,
            running: false,
            boot_until: Time::NEVER,
            links: Links::default(),
            peers: BTreeMap::new(),
            candidates: Candidates::default(),
            asked_source: None,
            serving: false,
            advertiser: Advertiser::new(),
            known: announce::Known::default(),
            announced: Vec::new(),
            wake: Time::NEVER,
            actions: VecDeque::new(),
            config,
        };
        for relay in autorelay.config.static_relays.clone() {
            let addresses = direct_addresses(&relay.addresses, autorelay.config.candidate_addresses);
            if relay.peer != local {
                let lot = autorelay.jitter.word();
                autorelay.candidates.insert(now, relay.peer, addresses, true, lot);
            }
        }
        autorelay.start();
        autorelay.go_on();
        autorelay
    }

    /// Whether others can connect to us, as it was told.
    pub fn reachability(&self) -> Reachability {
        self.reachability
    }

    /// What was last said to be announced.
    pub fn announced(&self) -> &[Multiaddr] {
        &self.announced
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn is_unpolled(&self) -> bool {
        u32::try_from(self.actions.len()).unwrap_or(u32::MAX) >= self.config.max_unpolled.max(1)
    }

    fn wanted(&self) -> usize {
        usize::try_from(self.config.relays).unwrap_or(usize::MAX)
    }

    /// Relays that are neither held nor asked.
    fn missing(&self) -> usize {
        self.wanted().saturating_sub(self.candidates.count(Stage::is_in_use))
    }

    fn start(&mut self) {
        self.running = true;
        self.boot_until = self.now + self.config.boot_delay;
        self.act(Action::Event(Event::Started));
    }

    fn stop(&mut self) {
        self.running = false;
        let peers: Vec<PeerId> = self.candidates.all.keys().copied().collect();
        for peer in peers {
            self.give_back(peer);
            if let Some(known) = self.candidates.all.get_mut(&peer)
                && known.stage.is_usable()
            {
                known.stage = Stage::Idle;
            }
        }
        self.act(Action::Event(Event::Stopped));
    }

    /// Ends the use of a relay, if it is in use.
    fn give_back(&mut self, relay: PeerId) {
        let now = self.now;
        let Some(known) = self.candidates.all.get_mut(&relay).filter(|known| known.stage.is_in_use()) else { return };
        known.stage = Stage::Idle;
        known.seen = now;
        known.reserved = false;
        self.act(Action::Release { relay });
        self.act(Action::Unprotect { peer: relay });
    }

    /// Leaves a candidate alone for a while.
    fn drop_candidate(&mut self, peer: PeerId, why: Dropped) {
        let Some(known) = self.candidates.all.get_mut(&peer) else { return };
        if let Stage::Held { since } = known.stage
            && self.now.since(since) >= self.config.settled
        {
            known.failures = 0;
        }
        known.failures = known.failures.saturating_add(1);
        let longest = if known.is_static { self.config.static_backoff } else { self.config.backoff };
        let first = match why {
            Dropped::Refused | Dropped::NoRelay => longest,
            Dropped::Unreachable | Dropped::NotIdentified | Dropped::NoAnswer | Dropped::Lost => {
                self.config.first_backoff
            }
        };
        let pause = self.jitter.backoff(first, longest, known.failures);
        self.give_back(peer);
        if let Some(known) = self.candidates.all.get_mut(&peer) {
            known.stage = Stage::Backoff { until: self.now + pause };
        }
        self.act(Action::Event(Event::Dropped { relay: peer, why, pause }));
    }

    /// Whatever is to be done now, and when the next thing is.
    fn go_on(&mut self) {
        if let Some(done) = self.advertiser.on_timeout(self.now, &self.config) {
            self.advertise(&done);
        }
        if self.running {
            self.let_time_pass();
            self.look_at_candidates();
            self.choose();
            self.probe();
            self.find();
        }
        self.wake = self.next_wake();
    }

    fn let_time_pass(&mut self) {
        let now = self.now;
        let age = at_least_a_millisecond(self.config.candidate_age);
        self.candidates.all.retain(|_, known| known.dies(age) > now);
        let due: Vec<(PeerId, Stage)> = self
            .candidates
            .all
            .iter()
            .filter(|(_, known)| known.stage.deadline() <= now)
            .map(|(peer, known)| (*peer, known.stage))
            .collect();
        for (peer, stage) in due {
            match stage {
                Stage::Probing { .. } if self.peers.contains_key(&peer) => {
                    self.drop_candidate(peer, Dropped::NotIdentified);
                }
                Stage::Probing { .. } => self.drop_candidate(peer, Dropped::Unreachable),
                Stage::Asking { .. } => self.drop_candidate(peer, Dropped::NoAnswer),
                Stage::Backoff { .. } => {
                    if let Some(known) = self.candidates.all.get_mut(&peer) {
                        known.stage = Stage::Idle;
                    }
                }
                Stage::Idle | Stage::Fit | Stage::Held { .. } => {}
            }
        }
    }

    /// Who of them is connected, and a relay?
    fn look_at_candidates(&mut self) {
        let mut none = Vec::new();
        for (peer, known) in self.candidates.all.iter_mut().filter(|(_, known)| known.stage.is_usable()) {
            match self.peers.get(peer).map(|peer| peer.speaks_hop) {
                Some(Some(true)) => known.stage = Stage::Fit,
                Some(Some(false)) => none.push(*peer),
                Some(None) | None if known.stage == Stage::Fit => known.stage = Stage::Idle,
                Some(None) | None => {}
            }
        }
        for peer in none {
            self.drop_candidate(peer, Dropped::NoRelay);
        }
    }

    /// Whether only static relays may be chosen as yet.
    fn is_booting(&self) -> bool {
        let enough = usize::try_from(self.config.min_candidates).unwrap_or(usize::MAX);
        let early = !self.config.whole_boot_delay && self.candidates.count(|stage| stage == Stage::Fit) >= enough;
        self.boot_until > self.now && !early
    }

    fn choose(&mut self) {
        let only_static = self.is_booting();
        while self.missing() > 0 {
            let Some(relay) = self.candidates.best(&self.peers, only_static) else { return };
            let until = self.now + at_least_a_millisecond(self.config.reserve_timeout);
            let Some(known) = self.candidates.all.get_mut(&relay) else { return };
            known.stage = if known.reserved { Stage::Held { since: self.now } } else { Stage::Asking { until } };
            let (addresses, reserved) = (known.addresses.clone(), known.reserved);
            self.act(Action::Protect { peer: relay });
            self.act(Action::Hold { relay, addresses });
            if reserved {
                self.act(Action::Event(Event::Held { relay }));
            }
        }
    }

    /// Connects to as many as to have enough that will do.
    fn probe(&mut self) {
        let spare = usize::try_from(self.config.min_candidates).unwrap_or(usize::MAX);
        let enough = self.missing().saturating_add(spare);
        loop {
            let probing = self.candidates.count(|stage| matches!(stage, Stage::Probing { .. }));
            let fit = self.candidates.count(|stage| stage == Stage::Fit);
            let at_once = usize::try_from(self.config.probes.max(1)).unwrap_or(usize::MAX);
            if probing >= at_once || probing.saturating_add(fit) >= enough {
                return;
            }
            let Some(peer) = self.candidates.next_probe(&self.peers) else { return };
            let until = self.now + at_least_a_millisecond(self.config.probe_timeout);
            let Some(known) = self.candidates.all.get_mut(&peer) else { return };
            known.stage = Stage::Probing { until };
            if !self.peers.contains_key(&peer) {
                let addresses = known.addresses.clone();
                self.act(Action::Connect { peer, addresses });
            }
        }
    }

    /// How many more candidates there is room for, if more are wanted.
    fn room(&self) -> Option<u32> {
        let spare = usize::try_from(self.config.min_candidates).unwrap_or(usize::MAX);
        if !self.config.discover || self.candidates.count(Stage::is_usable) >= spare.max(self.missing()) {
            return None;
        }
        // Those that are left alone make room for new ones.
        let alone = |known: &&candidates::Known| known.is_static || matches!(known.stage, Stage::Backoff { .. });
        let staying = self.candidates.all.values().filter(|known| !alone(known)).count();
        let staying = u32::try_from(staying).unwrap_or(u32::MAX);
        Some(self.config.max_candidates.saturating_sub(staying)).filter(|room| *room > 0)
    }

    /// When the source is asked next.
    fn find_due(&self) -> Option<Time> {
        self.room()?;
        let pause = if self.missing() > 0 { self.config.find_interval } else { self.config.find_spare_interval };
        Some(self.asked_source.map_or(self.now, |asked| asked + at_least_a_millisecond(pause)))
    }

    fn find(&mut self) {
        if let Some(count) = self.room()
            && self.find_due().is_some_and(|due| due <= self.now)
        {
            self.asked_source = Some(self.now);
            self.act(Action::Find { count });
        }
    }

    fn next_wake(&self) -> Time {
        let mut wake = self.advertiser.due();
        if !self.running {
            return wake;
        }
        let age = at_least_a_millisecond(self.config.candidate_age);
        for known in self.candidates.all.values() {
            wake = wake.min(known.stage.deadline()).min(known.dies(age));
        }
        if self.boot_until > self.now {
            wake = wake.min(self.boot_until);
        }
        wake.min(self.find_due().unwrap_or(Time::NEVER))
    }

    fn set_reachability(&mut self, reachability: Reachability) {
        self.reachability = reachability;
        match (reachability == Reachability::Public, self.running) {
            (true, true) => self.stop(),
            (false, false) => self.start(),
            _ => {}
        }
        self.set_advertiser();
        self.announce();
    }

    fn set_advertiser(&mut self) {
        let on = self.serving && self.reachability == Reachability::Public && self.config.advertise;
        if let Some(done) = self.advertiser.set(self.now, on, &self.config) {
            self.advertise(&done);
        }
    }

    fn advertise(&mut self, what: &Advertise) {
        let key = self.config.rendezvous.clone();
        self.act(match what {
            Advertise::Now => Action::Advertise { key, ttl: self.config.advertise_ttl },
            Advertise::Withdraw => Action::Withdraw { key },
        });
    }

    fn announce(&mut self) {
        let now = announce::announced(&self.known, self.reachability, &self.config);
        if now != self.announced {
            self.announced = now.clone();
            self.advertiser.addresses_changed(self.now, &self.config);
            self.act(Action::Announce(now));
        }
    }

    /// As many of a list that is told as are looked at.
    fn told(&self, addresses: &[Multiaddr]) -> Vec<Multiaddr> {
        addresses.iter().take(usize::try_from(self.config.max_told_addresses).unwrap_or(usize::MAX)).cloned().collect()
    }

    fn connected(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        relayed: bool,
    ) -> Result<bool, Misuse> {
        if self.links.get(connection).is_some() {
            return Err(Misuse::ConnectionExists(connection));
        }
        let cap = self.config.connections;
        if u32::try_from(self.links.len()).is_ok_and(|len| len >= cap) {
            return Err(Misuse::TooManyConnections(cap));
        }
        self.links.add(connection, peer, None, relayed);
        if !relayed {
            let subnet = remote.ip().map(Subnet::of);
            let known = self.peers.entry(peer).or_default();
            known.subnet = known.subnet.or(subnet);
        }
        Ok(!relayed && self.candidates.all.contains_key(&peer))
    }

    fn disconnected(&mut self, connection: ConnectionId) -> Result<bool, Misuse> {
        let link = self.links.remove(connection).ok_or(Misuse::UnknownConnection(connection))?;
        let last = self.links.direct(link.peer).is_none();
        Ok(last && self.peers.remove(&link.peer).is_some() && self.candidates.all.contains_key(&link.peer))
    }

    fn stage_of(&self, peer: PeerId) -> Option<Stage> {
        self.candidates.all.get(&peer).map(|known| known.stage)
    }

    /// Says whether there may be something to do now.
    fn dispatch(&mut self, input: Input<'_>) -> Result<bool, Misuse> {
        match input {
            Input::Connected { connection, peer, remote, relayed } => {
                return self.connected(connection, peer, remote, relayed);
            }
            Input::Disconnected { connection } => return self.disconnected(connection),
            Input::Identified { peer, speaks_hop } => {
                let Some(known) = self.peers.get_mut(&peer) else { return Ok(false) };
                known.speaks_hop = Some(speaks_hop);
                return Ok(self.candidates.all.contains_key(&peer));
            }
            Input::Rtt { peer, rtt } => {
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.rtt = Some(rtt);
                }
                return Ok(false);
            }
            Input::Reachability(reachability) => self.set_reachability(reachability),
            Input::Candidates(given) => {
                for candidate in given.iter().filter(|candidate| candidate.peer != self.local) {
                    self.candidates.add(self.now, candidate, &self.config, || self.jitter.word());
                }
            }
            Input::ConnectFailed { peer } => {
                if let Some(Stage::Probing { .. }) = self.stage_of(peer)
                    && !self.peers.contains_key(&peer)
                {
                    self.drop_candidate(peer, Dropped::Unreachable);
                }
            }
            Input::Reserved { relay } => {
                let now = self.now;
                let Some(known) = self.candidates.all.get_mut(&relay) else { return Ok(false) };
                known.reserved = true;
                if let Stage::Asking { .. } = known.stage {
                    known.stage = Stage::Held { since: now };
                    self.act(Action::Event(Event::Held { relay }));
                }
            }
            Input::ReserveFailed { relay, refused } => {
                if let Some(Stage::Asking { .. }) = self.stage_of(relay) {
                    self.drop_candidate(relay, if refused { Dropped::Refused } else { Dropped::NoAnswer });
                }
            }
            Input::Lost { relay } => {
                let Some(known) = self.candidates.all.get_mut(&relay) else { return Ok(false) };
                known.reserved = false;
                if known.stage.is_in_use() {
                    self.drop_candidate(relay, Dropped::Lost);
                }
            }
            Input::Circuits(circuits) => {
                self.known.circuits = self.told(circuits);
                self.announce();
            }
            Input::Addresses { own, verified } => {
                (self.known.own, self.known.verified) = (self.told(own), self.told(verified));
                self.announce();
            }
            Input::Serving(on) => {
                self.serving = on;
                self.set_advertiser();
            }
            Input::Advertised { ttl } => {
                let ttl = ttl.unwrap_or(self.config.advertise_ttl);
                self.advertiser.told(self.now, Some(ttl), &self.config);
            }
            Input::AdvertiseFailed => self.advertiser.told(self.now, None, &self.config),
            Input::NetworkChanged => {
                self.asked_source = None;
                self.candidates.forgive();
            }
        }
        Ok(true)
    }
}

impl EventMachine for AutoRelay {
    type Input<'a> = Input<'a>;
    type Action = Action;
    type Misuse = Misuse;

    fn handle(&mut self, now: Time, input: Input<'_>) -> Result<(), Misuse> {
        if self.is_unpolled() {
            return Err(Misuse::Unpolled(self.config.max_unpolled));
        }
        let before = self.now;
        self.now = now.max(before);
        match self.dispatch(input) {
            Ok(true) => self.go_on(),
            Ok(false) => {}
            Err(misuse) => {
                self.now = before;
                return Err(misuse);
            }
        }
        Ok(())
    }

    fn on_timeout(&mut self, now: Time) {
        if now < self.wake || self.is_unpolled() {
            return;
        }
        self.now = now.max(self.now);
        self.go_on();
    }

    fn poll(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if self.actions.is_empty() && self.actions.capacity() > KEPT_ACTIONS {
            self.actions.shrink_to(KEPT_ACTIONS);
        }
        action
    }

    fn deadline(&self) -> Time {
        self.wake
    }

    fn memory_used(&self) -> usize {
        let known = &self.known;
        let lists = [&known.own, &known.verified, &known.circuits, &self.announced];
        self.links.memory_used()
            + self.peers.len() * size_of::<(PeerId, Peer)>()
            + self.candidates.memory_used()
            + lists.map(Multiaddr::list_memory_used).iter().sum::<usize>()
            + self.actions.capacity() * size_of::<Action>()
    }
}

/// How much there is; many addresses are no use in a log.
impl fmt::Debug for AutoRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AutoRelay")
            .field("held", &self.candidates.count(|stage| matches!(stage, Stage::Held { .. })))
            .field("candidates", &self.candidates.all.len())
            .field("deadline", &self.wake)
            .finish_non_exhaustive()
    }
}
