//! Who sees us where: addresses that enough different networks agree on are ours.
//!
//! ```text
//!             observed, closed                                     support lost
//! Growing <---------------------> (4 observers or more) Supported ---------------> Lingering --10 min--> Growing
//!                                                            ^--------support back-----+
//!             of those Supported and Lingering, the best 3 per listening port are Confirmed; the others wait
//! ```
//!
//! What is counted are *observers*: an IPv4 address, or the /56 of an IPv6 address, however many peers and connections stand
//! behind it. A connection counts if it used a port that we listen on: it came in there, or was dialed from there. Only
//! then does the NAT's mapping that the remote saw lead to our listener. It counts while it lasts.

use super::waist::{Observer, Waist};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;
use tidewire_connmgr::ConnectionId;
use tidewire_core::{EventMachine, Multiaddr, Reach, Time};

/// Numbers and caps of [`Observed`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct ObservedConfig {
    /// Observers that must agree. Default 4 (go-libp2p).
    pub activation: u32,
    /// Addresses that are confirmed at one time for one listening port; those with most observers. Default 3 (go-libp2p).
    pub max_externals: usize,
    /// How long an address stays confirmed that too few see now. It spares the peers a push each time that a connection
    /// closes. Default 10 min.
    pub linger: Duration,
    /// Connections whose observation is remembered; further ones are ignored. Default 1,024.
    pub max_observations: usize,
    /// Of these, connections of one observer. Default 8, as many as one network may have.
    pub max_per_observer: u32,
    /// Listening addresses; further ones are ignored. Default 64.
    pub max_listening: usize,
}

impl Default for ObservedConfig {
    fn default() -> Self {
        ObservedConfig {
            activation: 4,
            max_externals: 3,
            linger: Duration::from_secs(600),
            max_observations: 1024,
            max_per_observer: 8,
            max_listening: 64,
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// We listen here. All interfaces (`0.0.0.0`, `::`) may be named by one address.
    Listening {
        /// The address, with its real port.
        address: &'a Multiaddr,
    },
    /// We no longer listen here.
    NotListening {
        /// The address.
        address: &'a Multiaddr,
    },
    /// A remote said where it sees us. A later word on the same connection replaces the earlier one.
    Observed {
        /// On which connection.
        connection: ConnectionId,
        /// The connection's other end, as its socket has it.
        observer: &'a Multiaddr,
        /// The connection's own end, as its socket has it.
        local: &'a Multiaddr,
        /// Where the remote sees us.
        seen: &'a Multiaddr,
    },
    /// A connection is closed. Unknown ones are fine.
    Closed {
        /// Which one.
        connection: ConnectionId,
    },
}

/// An address became ours, or is so no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Enough observers agree.
    Confirmed {
        /// Where we listen.
        listen: Multiaddr,
        /// Where that is seen from outside.
        external: Multiaddr,
        /// Observers that agree.
        observers: u32,
    },
    /// Too few agree, others have more, or we don't listen there any more.
    Expired {
        /// Where we listened.
        listen: Multiaddr,
        /// Where that was seen from outside.
        external: Multiaddr,
    },
}

/// Why something was not counted. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ignored {
    /// Through a relay one sees the relay.
    #[error("the connection, or what was seen, goes through a relay")]
    Relayed,
    /// There is no IP address with a port in what was seen, or in one end of the connection.
    #[error("{address} has no IP address and port in front")]
    NoSocket {
        /// Which address.
        address: Multiaddr,
    },
    /// Nobody outside could see us there.
    #[error("{seen} can't be where others see us: its reach is {reach:?}")]
    Reach {
        /// Where we are said to be seen.
        seen: Multiaddr,
        /// Its reach.
        reach: Reach,
    },
    /// An observer on the internet can't see a private address.
    #[error("{observer} is on the internet, and can't have seen the private address {seen}")]
    Impossible {
        /// The connection's other end.
        observer: Multiaddr,
        /// Where we are said to be seen.
        seen: Multiaddr,
    },
    /// It is of another IP version or transport than the connection: a translated address, or made up.
    #[error("{seen} is no address of a connection from {local}")]
    OtherKind {
        /// The connection's own end.
        local: Multiaddr,
        /// Where we are said to be seen.
        seen: Multiaddr,
    },
    /// The connection didn't use a port that we listen on.
    #[error("we don't listen at {local}, so what is seen of it leads nowhere")]
    NotListening {
        /// The connection's own end.
        local: Multiaddr,
    },
    /// [`ObservedConfig::max_observations`], [`ObservedConfig::max_per_observer`] or [`ObservedConfig::max_listening`].
    #[error("there is no room: the cap is {max}")]
    Full {
        /// The cap.
        max: usize,
    },
}

/// An address at which we are seen, and by how many.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// Where we listen.
    pub listen: Multiaddr,
    /// Where that is seen from outside.
    pub external: Multiaddr,
    /// Observers that agree now.
    pub observers: u32,
    /// Whether it is one of the confirmed.
    pub confirmed: bool,
}

/// Counts who sees us where: an [`EventMachine`]. See the module's head.
#[derive(Debug)]
pub struct Observed {
    config: ObservedConfig,
    now: Time,
    /// Sorted by address.
    listening: Vec<(Multiaddr, Waist)>,
    /// Sorted by connection.
    observations: Vec<(ConnectionId, Observation)>,
    /// Sorted by both ends. Each has an observation or is confirmed, so their number is bounded by those.
    seen: Vec<Seen>,
    /// What was told. Sorted.
    told: Vec<(Multiaddr, Multiaddr)>,
    /// Whether there may be something to tell.
    changed: bool,
    /// When the first of those lingering is over.
    next: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Observation {
    observer: Observer,
    /// Where we listen, and where the observer sees that.
    ends: Ends,
}

type Ends = (Waist, Waist);

/// What is known of one pair of ends.
#[derive(Debug)]
struct Seen {
    ends: Ends,
    /// Connections per observer. Sorted by observer.
    by: Vec<(Observer, u32)>,
    phase: Phase,
    /// One of the best.
    confirmed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Growing,
    Supported,
    Lingering { until: Time },
}

impl Observed {
    /// We listen nowhere, and nobody said anything.
    pub fn new(config: ObservedConfig) -> Self {
        Observed {
            config,
            now: Time::ZERO,
            listening: Vec::new(),
            observations: Vec::new(),
            seen: Vec::new(),
            told: Vec::new(),
            changed: false,
            next: Time::NEVER,
        }
    }

    /// We listen here. Twice is once.
    ///
    /// # Errors
    /// It has no IP address and port, or there is no room.
    pub fn listening(&mut self, now: Time, address: &Multiaddr) -> Result<(), Ignored> {
        self.on_timeout(now);
        let address = address.without_peer_id();
        if address.is_relayed() {
            return Err(Ignored::Relayed);
        }
        let waist = Waist::of(&address).ok_or_else(|| Ignored::NoSocket { address: address.clone() })?;
        let Err(at) = self.listening.binary_search_by(|(known, _)| known.cmp(&address)) else { return Ok(()) };
        if self.listening.len() >= self.config.max_listening {
            return Err(Ignored::Full { max: self.config.max_listening });
        }
        self.listening.insert(at, (address, waist));
        self.changed = true;
        Ok(())
    }

    /// We no longer listen here. What was seen of it is forgotten.
    pub fn not_listening(&mut self, now: Time, address: &Multiaddr) {
        self.on_timeout(now);
        let address = address.without_peer_id();
        let Ok(at) = self.listening.binary_search_by(|(known, _)| known.cmp(&address)) else { return };
        let (_, waist) = self.listening.remove(at);
        self.changed = true;
        if self.listening.iter().any(|(_, other)| *other == waist) {
            return;
        }
        self.observations.retain(|(_, observation)| observation.ends.0 != waist);
        self.seen.retain(|seen| seen.ends.0 != waist);
        self.find_next();
    }

    /// A remote said where it sees us.
    ///
    /// # Errors
    /// It doesn't count, and why. What the connection's remote said before still does.
    pub fn observed(
        &mut self,
        now: Time,
        connection: ConnectionId,
        observer: &Multiaddr,
        local: &Multiaddr,
        seen: &Multiaddr,
    ) -> Result<(), Ignored> {
        self.on_timeout(now);
        let observation = self.judge(observer, local, seen)?;
        let at = match self.observations.binary_search_by_key(&connection, |(id, _)| *id) {
            Ok(at) => {
                let Some((_, known)) = self.observations.get_mut(at) else { return Ok(()) };
                let before = core::mem::replace(known, observation);
                if before != observation {
                    self.take(before);
                    self.give(observation);
                }
                return Ok(());
            }
            Err(at) => at,
        };
        let of_observer = self.observations.iter().filter(|(_, known)| known.observer == observation.observer).count();
        if of_observer >= self.config.max_per_observer as usize {
            return Err(Ignored::Full { max: self.config.max_per_observer as usize });
        }
        if self.observations.len() >= self.config.max_observations {
            return Err(Ignored::Full { max: self.config.max_observations });
        }
        self.observations.insert(at, (connection, observation));
        self.give(observation);
        Ok(())
    }

    /// A connection is closed: what its remote said no longer counts. Unknown ones are fine.
    pub fn closed(&mut self, now: Time, connection: ConnectionId) {
        self.on_timeout(now);
        if let Ok(at) = self.observations.binary_search_by_key(&connection, |(id, _)| *id) {
            let (_, observation) = self.observations.remove(at);
            self.take(observation);
        }
    }

    /// Lets time pass.
    pub fn on_timeout(&mut self, now: Time) {
        self.now = self.now.max(now);
        if self.now < self.next {
            return;
        }
        let over = |seen: &Seen| matches!(seen.phase, Phase::Lingering { until } if until <= self.now);
        let waists: Vec<Waist> = self.seen.iter().filter(|seen| over(seen)).map(|seen| seen.ends.0).collect();
        for seen in &mut self.seen {
            if matches!(seen.phase, Phase::Lingering { until } if until <= self.now) {
                seen.phase = Phase::Growing;
            }
        }
        waists.into_iter().for_each(|waist| self.choose(waist));
        self.find_next();
    }

    /// The next address that became ours, or is so no longer. What came and went between two calls isn't told.
    pub fn poll(&mut self) -> Option<Change> {
        if !self.changed {
            return None;
        }
        let wanted = self.wanted();
        let is_wanted = |(listen, external): &(Multiaddr, Multiaddr)| {
            wanted.binary_search_by(|known| (&known.listen, &known.external).cmp(&(listen, external))).is_ok()
        };
        if let Some(at) = self.told.iter().position(|told| !is_wanted(told)) {
            let (listen, external) = self.told.remove(at);
            return Some(Change::Expired { listen, external });
        }
        for Candidate { listen, external, observers, .. } in wanted {
            let told = self.told.binary_search_by(|(l, e)| (l, e).cmp(&(&listen, &external)));
            if let Err(at) = told {
                self.told.insert(at, (listen.clone(), external.clone()));
                return Some(Change::Confirmed { listen, external, observers });
            }
        }
        self.changed = false;
        None
    }

    /// When to call [`on_timeout`](Observed::on_timeout).
    pub const fn deadline(&self) -> Time {
        self.next
    }

    /// All addresses at which we are seen, sorted by where we listen, then by where that is seen: for a person to look at.
    pub fn candidates(&self) -> Vec<Candidate> {
        let mut all = Vec::new();
        for (listen, waist) in &self.listening {
            for seen in self.of(*waist) {
                if let Some(external) = seen.ends.1.dressed_as(listen) {
                    let (observers, confirmed) = (seen.observers(), seen.confirmed);
                    all.push(Candidate { listen: listen.clone(), external, observers, confirmed });
                }
            }
        }
        all.sort_by(|a, b| (&a.listen, &a.external).cmp(&(&b.listen, &b.external)));
        all
    }

    /// Bytes on the heap. Addresses are counted though they may be shared.
    pub fn memory_used(&self) -> usize {
        self.listening.capacity() * size_of::<(Multiaddr, Waist)>()
            + self.listening.iter().map(|(address, _)| address.memory_used()).sum::<usize>()
            + self.observations.capacity() * size_of::<(ConnectionId, Observation)>()
            + self.seen.capacity() * size_of::<Seen>()
            + self.seen.iter().map(|seen| seen.by.capacity() * size_of::<(Observer, u32)>()).sum::<usize>()
            + self.told.capacity() * size_of::<(Multiaddr, Multiaddr)>()
            + self.told.iter().map(|(listen, external)| listen.memory_used() + external.memory_used()).sum::<usize>()
    }

    /// Whether it counts, and as what.
    fn judge(&self, observer: &Multiaddr, local: &Multiaddr, seen: &Multiaddr) -> Result<Observation, Ignored> {
        if observer.is_relayed() || local.is_relayed() || seen.is_relayed() {
            return Err(Ignored::Relayed);
        }
        let waist =
            |address: &Multiaddr| Waist::of(address).ok_or_else(|| Ignored::NoSocket { address: address.clone() });
        let (from, here, there) = (waist(observer)?, waist(local)?, waist(seen)?);
        let reach = Reach::of_ip(there.ip);
        let outside = !matches!(
            reach,
            Reach::Loopback
                | Reach::Unspecified
                | Reach::LinkLocal
                | Reach::Multicast
                | Reach::Reserved
                | Reach::Unknown
        );
        if !outside || is_translated(&there) {
            return Err(Ignored::Reach { seen: seen.clone(), reach });
        }
        if seen.is_private() && observer.is_public() {
            return Err(Ignored::Impossible { observer: observer.clone(), seen: seen.clone() });
        }
        if !here.is_like(&there) {
            return Err(Ignored::OtherKind { local: local.clone(), seen: seen.clone() });
        }
        let listen = self.listener_of(&here).ok_or_else(|| Ignored::NotListening { local: local.clone() })?;
        Ok(Observation { observer: Observer::of(from.ip), ends: (listen, there) })
    }

    /// The listening end that a connection's own end belongs to: the same, or all interfaces with this port.
    fn listener_of(&self, here: &Waist) -> Option<Waist> {
        let all = || self.listening.iter().map(|(_, waist)| *waist);
        all()
            .find(|waist| waist == here)
            .or_else(|| all().find(|waist| waist.ip.is_unspecified() && waist.port == here.port && waist.is_like(here)))
    }

    /// The observation counts from now on.
    fn give(&mut self, Observation { observer, ends }: Observation) {
        let at = match self.seen.binary_search_by_key(&ends, |seen| seen.ends) {
            Ok(at) => at,
            Err(at) => {
                let seen = Seen { ends, by: Vec::new(), phase: Phase::Growing, confirmed: false };
                self.seen.insert(at, seen);
                at
            }
        };
        let Some(seen) = self.seen.get_mut(at) else { return };
        match seen.by.binary_search_by_key(&observer, |(known, _)| *known) {
            Ok(at) => {
                if let Some((_, count)) = seen.by.get_mut(at) {
                    *count = count.saturating_add(1);
                }
                return;
            }
            Err(at) => seen.by.insert(at, (observer, 1)),
        }
        if seen.observers() >= self.config.activation {
            seen.phase = Phase::Supported;
        }
        self.choose(ends.0);
        self.find_next();
    }

    /// The observation counts no longer.
    fn take(&mut self, Observation { observer, ends }: Observation) {
        let Ok(at) = self.seen.binary_search_by_key(&ends, |seen| seen.ends) else { return };
        let Some(seen) = self.seen.get_mut(at) else { return };
        let Ok(place) = seen.by.binary_search_by_key(&observer, |(known, _)| *known) else { return };
        if let Some((_, count)) = seen.by.get_mut(place)
            && *count > 1
        {
            *count -= 1;
            return;
        }
        seen.by.remove(place);
        if seen.phase == Phase::Supported && seen.observers() < self.config.activation {
            let until = self.now + self.config.linger;
            let stays = seen.confirmed && until > self.now;
            seen.phase = if stays { Phase::Lingering { until } } else { Phase::Growing };
        }
        self.choose(ends.0);
        self.find_next();
    }

    /// Finds out which addresses of a listening end are confirmed, and forgets those that nobody sees.
    fn choose(&mut self, waist: Waist) {
        let from = self.seen.partition_point(|seen| seen.ends.0 < waist);
        let to = self.seen.partition_point(|seen| seen.ends.0 <= waist);
        let Some(group) = self.seen.get_mut(from..to) else { return };
        // Most observers first; then those that are confirmed, so that equals don't take turns; then a fixed order.
        let mut best: Vec<_> = group
            .iter()
            .enumerate()
            .filter(|(_, seen)| seen.phase != Phase::Growing)
            .map(|(at, seen)| (Reverse(seen.observers()), !seen.confirmed, at))
            .collect();
        best.sort_unstable();
        best.truncate(self.config.max_externals);
        let mut forget = false;
        for (at, seen) in group.iter_mut().enumerate() {
            let confirmed = best.iter().any(|(_, _, chosen)| *chosen == at);
            self.changed |= confirmed != seen.confirmed;
            seen.confirmed = confirmed;
            if !confirmed && seen.phase != Phase::Supported {
                seen.phase = Phase::Growing;
            }
            forget |= seen.is_forgotten();
        }
        if forget {
            self.seen.retain(|seen| !seen.is_forgotten());
        }
    }

    fn find_next(&mut self) {
        let until = |seen: &Seen| if let Phase::Lingering { until } = seen.phase { Some(until) } else { None };
        self.next = self.seen.iter().filter_map(until).min().unwrap_or(Time::NEVER);
    }

    /// What is to be known outside. Sorted by both addresses.
    fn wanted(&self) -> Vec<Candidate> {
        let mut wanted = self.candidates();
        wanted.retain(|candidate| candidate.confirmed);
        wanted
    }

    fn of(&self, waist: Waist) -> &[Seen] {
        let from = self.seen.partition_point(|seen| seen.ends.0 < waist);
        let to = self.seen.partition_point(|seen| seen.ends.0 <= waist);
        self.seen.get(from..to).unwrap_or_default()
    }
}

impl Seen {
    fn observers(&self) -> u32 {
        u32::try_from(self.by.len()).unwrap_or(u32::MAX)
    }

    fn is_forgotten(&self) -> bool {
        self.by.is_empty() && self.phase == Phase::Growing
    }
}

/// An IPv4 address in NAT64 clothes (RFC 6052) is one that only the observer's network knows.
fn is_translated(waist: &Waist) -> bool {
    matches!(waist.ip, core::net::IpAddr::V6(ip) if ip.segments()[..2] == [0x64, 0xff9b])
}

impl EventMachine for Observed {
    type Input<'a> = Input<'a>;
    type Action = Change;
    type Misuse = Ignored;

    fn handle(&mut self, now: Time, input: Input<'_>) -> Result<(), Ignored> {
        match input {
            Input::Listening { address } => self.listening(now, address)?,
            Input::NotListening { address } => self.not_listening(now, address),
            Input::Observed { connection, observer, local, seen } => {
                self.observed(now, connection, observer, local, seen)?;
            }
            Input::Closed { connection } => self.closed(now, connection),
        }
        Ok(())
    }

    fn on_timeout(&mut self, now: Time) {
        Observed::on_timeout(self, now);
    }

    fn poll(&mut self) -> Option<Change> {
        Observed::poll(self)
    }

    fn deadline(&self) -> Time {
        Observed::deadline(self)
    }

    fn memory_used(&self) -> usize {
        Observed::memory_used(self)
    }
}
