//! The v2 client: has each of our addresses tried, and believes that one can be reached only when it saw it happen.
//!
//! ```text
//!   Ask: nonce, up to 10 addresses
//!     |-- CostAsked --> Pay, if that address wants a vote and the price is fair; else cancelled, a refusal
//!     |-- the nonce comes, on a connection made since to one of those addresses --> heard
//!     v
//!   Probed
//! ```
//! | the server says | and the nonce was heard there | vote |
//! |---|---|---|
//! | `OK` | yes, or it is within 5 s | reachable |
//! | `OK` | no | none: it can't be true |
//! | `E_DIAL_BACK_ERROR` | yes | reachable: it was reached after all |
//! | `E_DIAL_BACK_ERROR` | no | none |
//! | `E_DIAL_ERROR` | no | not reachable |
//! | `E_DIAL_ERROR` | yes | none: it contradicts itself |
//! | `E_DIAL_REFUSED` | | none, a refusal of all addresses |
//! | `E_INTERNAL_ERROR` after we paid | | none, a refusal of the address that we paid for, and of those before it |
//! | `E_REQUEST_REJECTED`, `E_INTERNAL_ERROR`, what we don't know, nothing | | none |
//!
//! An answer about a later address of the list is a refusal of those before it. What follows from votes: see the machine's
//! [`ClientConfig`]; questions go first to servers that have no vote on the address yet.
//!
//! A dial-back counts if its connection is inbound, was made after the question, and its local end may be the address that was
//! asked about: same transport and IP version; and the same IP and port where no NAT can have changed them, that is if our
//! end has a public IP, or the IP asked about. Behind a NAT neither IP nor port can be compared. The peer that brings it doesn't
//! matter (autonat-v2.md, "Implementation Suggestions").
//!
//! Spec: libp2p/specs autonat/autonat-v2.md. Numbers are go-libp2p's.

mod config;
mod io;
#[cfg(test)]
mod tests;
mod tracked;

pub use config::ClientConfig;
pub use io::{AddressExplanation, ClientAction, ClientExplanation, ClientInput, ClientMisuse, ClientWaiting, HeardOn};

use super::stream::{ADDRESS_BYTES, PER_ADDRESS};
use super::{DialStatus, Response, Status};
use crate::autonat::Reachability;
use crate::autonat::address;
use crate::autonat::servers::Servers;
use crate::exchange::{Answer, Ask, Reply};
use crate::{AskId, ConnectionId, StreamKey};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::fmt;
use tidewire_core::{Draw, EventMachine, Multiaddr, PeerId, Seed, Time};
use tracked::{Rest, Tracked};

/// Finds out at which addresses the host can be reached. An [`EventMachine`].
///
/// ```
/// use tidewire_core::{EventMachine, Keypair, Seed, Time};
/// use tidewire_relay::autonat::v2::{Client, ClientAction, ClientConfig, ClientInput, DialStatus, HeardOn, Response};
/// use tidewire_relay::exchange::{Answer, Ask};
/// use tidewire_relay::{ConnectionId, StreamKey};
///
/// let mut client = Client::new(ClientConfig::default(), &Seed::new([1; 32]));
/// let server = Keypair::from_seed(&Seed::new([2; 32])).peer_id();
/// client.handle(Time::ZERO, ClientInput::Server { connection: ConnectionId(1), peer: server })?;
/// client.handle(Time::ZERO, ClientInput::Addresses(&["/ip4/8.8.4.4/tcp/4001".parse()?]))?;
/// let Some(ClientAction::Ask { ask, what: Ask::Probe { nonce, .. }, .. }) = client.poll() else { panic!("no question") };
///
/// // The nonce comes on a new connection to our end of that address...
/// let local = "/ip4/192.168.1.2/tcp/4001".parse()?;
/// let on = HeardOn { inbound: true, since: Time::from_millis(40), local: &local };
/// let stream = StreamKey { connection: ConnectionId(2), stream: 2 };
/// client.handle(Time::from_millis(60), ClientInput::DialBackHeard { stream, on, nonce })?;
/// assert!(matches!(client.poll(), Some(ClientAction::Reply { .. })));
///
/// // ...so what the server claims is true: one vote of the two that are needed.
/// let answer = Answer::Probed(Response::dialed(0, DialStatus::OK));
/// client.handle(Time::from_millis(80), ClientInput::Answered { ask, answer: &answer })?;
/// assert_eq!(client.explain(Time::from_millis(80)).addresses[0].votes, 1);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Client {
    config: ClientConfig,
    draw: Draw,
    servers: Servers,
    /// Best first.
    addresses: Vec<Tracked>,
    asks: BTreeMap<AskId, Asking>,
    next_ask: u64,
    overall: Reachability,
    /// The deadline, kept so that asking for it costs nothing.
    wake: Time,
    actions: VecDeque<ClientAction>,
}

struct Asking {
    peer: PeerId,
    nonce: u64,
    addresses: Vec<Multiaddr>,
    since: Time,
    until: Time,
    /// At which of the addresses the nonce was heard, as bits.
    heard: u64,
    /// For which of the addresses we paid.
    paid: Option<usize>,
    /// The answer, while its dial-back is still to be heard.
    claimed: Option<Response>,
}

/// The most addresses of one question: as many as a server reads, and as there are bits.
const MAX_ASKED: usize = 50;

impl Client {
    /// A client that has not asked anybody.
    pub fn new(config: ClientConfig, seed: &Seed) -> Self {
        Client {
            config,
            draw: Draw::new(seed, "autonat v2 client"),
            servers: Servers::default(),
            addresses: Vec::new(),
            asks: BTreeMap::new(),
            next_ask: 0,
            overall: Reachability::Unknown,
            wake: Time::NEVER,
            actions: VecDeque::new(),
        }
    }

    /// All addresses together: public if one of them is, private if all are and there is one, else unknown.
    pub fn overall(&self) -> Reachability {
        self.overall
    }

    /// What is known of an address; `None` if it is not followed.
    pub fn reachability(&self, address: &Multiaddr) -> Option<Reachability> {
        let address = address.without_peer_id();
        self.addresses.iter().find(|tracked| tracked.address == address).map(|tracked| tracked.told)
    }

    /// What it knows and waits for.
    pub fn explain(&self, now: Time) -> ClientExplanation {
        let addresses = self.addresses.iter().map(|tracked| {
            let (due, rest) = tracked.due(&self.config);
            let (left, asked) = (due.since(now), self.asked_about(&tracked.address));
            let waiting = match rest.filter(|_| due > now) {
                _ if asked > 0 => ClientWaiting::Answers(asked),
                None => ClientWaiting::Server,
                Some(Rest::Sure) => ClientWaiting::Recheck(left),
                Some(Rest::Contested) => ClientWaiting::Contested(left),
                Some(Rest::Backoff) => ClientWaiting::Backoff(left),
                Some(Rest::Paused) => ClientWaiting::Refused(left),
            };
            AddressExplanation {
                address: tracked.address.clone(),
                reachability: tracked.told,
                confidence: tracked.votes.confidence(),
                votes: tracked.votes.len(),
                waiting,
            }
        });
        ClientExplanation { overall: self.overall, servers: self.servers.len(), addresses: addresses.collect() }
    }

    fn set_addresses(&mut self, given: &[Multiaddr]) {
        let max = usize::try_from(self.config.max_addresses).unwrap_or(usize::MAX);
        let mut before = core::mem::take(&mut self.addresses);
        for address in given {
            let address = address.without_peer_id();
            if self.addresses.len() >= max {
                break;
            }
            let known = self.addresses.iter().any(|tracked| tracked.address == address);
            if known || !address::is_dialable(&address, self.config.allow_private) {
                continue;
            }
            let kept = before.iter().position(|tracked| tracked.address == address).map(|at| before.swap_remove(at));
            self.addresses.push(kept.unwrap_or_else(|| Tracked::new(address)));
        }
        self.addresses.shrink_to_fit();
    }

    fn answered(&mut self, now: Time, ask: AskId, answer: &Answer) -> Result<(), ClientMisuse> {
        let asking = self.asks.get_mut(&ask).filter(|asking| asking.claimed.is_none());
        let asking = asking.ok_or(ClientMisuse::UnknownAsk { ask })?;
        match answer {
            Answer::Probed(response) => {
                let claims = response.status == Status::OK && response.dial == DialStatus::OK;
                let dialed = usize::try_from(response.index).unwrap_or(usize::MAX);
                if claims && dialed < asking.addresses.len() && !asking.heard_at(dialed) {
                    asking.claimed = Some(*response);
                    asking.until = now + self.config.dial_back_timeout;
                } else {
                    self.conclude(now, ask, Some(*response));
                }
                Ok(())
            }
            Answer::CostAsked { index, bytes } if asking.paid.is_none() => {
                let dialed = usize::try_from(*index).unwrap_or(usize::MAX);
                let address = asking.addresses.get(dialed).cloned();
                let tracked = address.and_then(|address| self.addresses.iter_mut().find(|at| at.address == address));
                let worth = tracked.is_some_and(|tracked| {
                    let wanted = tracked.due(&self.config).0 <= now;
                    let fair = *bytes <= self.config.max_cost;
                    if wanted && !fair {
                        tracked.refused(&self.config, now);
                    }
                    wanted && fair
                });
                if worth {
                    asking.paid = Some(dialed);
                    asking.until = now + self.config.answer_timeout;
                    self.actions.push_back(ClientAction::Pay { ask });
                } else {
                    self.actions.push_back(ClientAction::CancelAsk { ask });
                    self.conclude(now, ask, None);
                }
                Ok(())
            }
            _ => Err(ClientMisuse::OtherAnswer { ask }),
        }
    }

    fn heard(&mut self, now: Time, stream: StreamKey, on: HeardOn<'_>, nonce: u64) {
        let Some((ask, asking)) = self.asks.iter_mut().find(|(_, asking)| asking.nonce == nonce) else {
            return self.actions.push_back(ClientAction::Reset { stream });
        };
        self.actions.push_back(ClientAction::Reply { stream, reply: Reply::BackHeard });
        if !on.inbound || on.since < asking.since {
            return;
        }
        for (at, asked) in asking.addresses.iter().enumerate() {
            if address::is_end_of(on.local, asked) {
                asking.heard |= bit(at);
            }
        }
        let ask = *ask;
        if let Some(claimed) = asking.claimed
            && asking.heard_at(usize::try_from(claimed.index).unwrap_or(usize::MAX))
        {
            self.conclude(now, ask, Some(claimed));
        }
    }

    /// The question is over: what it says of which addresses. `None`: no answer.
    fn conclude(&mut self, now: Time, ask: AskId, response: Option<Response>) {
        let Some(asking) = self.asks.remove(&ask) else { return };
        let config = &self.config;
        let mut tracked_of = |at: usize, act: &mut dyn FnMut(&mut Tracked)| {
            let address = asking.addresses.get(at);
            if let Some(tracked) = self.addresses.iter_mut().find(|tracked| Some(&tracked.address) == address) {
                act(tracked);
            }
        };
        let Some(response) = response.filter(|response| response.status == Status::OK) else {
            let refused = match (response.map(|response| response.status), asking.paid) {
                (Some(Status::DIAL_REFUSED), _) => asking.addresses.len(),
                // It took the data, and won't dial that address: to pay again would bring nothing, and keep others from being asked
                // about.
                (Some(Status::INTERNAL_ERROR), Some(dialed)) => dialed.saturating_add(1),
                _ => 0,
            };
            for at in 0..refused {
                tracked_of(at, &mut |tracked| tracked.refused(config, now));
            }
            if refused == 0 {
                tracked_of(0, &mut |tracked| tracked.failed(config, now));
            }
            return;
        };
        let dialed = usize::try_from(response.index).unwrap_or(usize::MAX);
        if dialed >= asking.addresses.len() {
            return tracked_of(0, &mut |tracked| tracked.failed(config, now));
        }
        for at in 0..dialed {
            tracked_of(at, &mut |tracked| tracked.refused(config, now));
        }
        let good = match (response.dial, asking.heard_at(dialed)) {
            (DialStatus::OK | DialStatus::DIAL_BACK_ERROR, true) => Some(true),
            (DialStatus::DIAL_ERROR, false) => Some(false),
            _ => None,
        };
        tracked_of(dialed, &mut |tracked| match good {
            Some(good) => tracked.vote(config, now, asking.peer, good),
            None => tracked.failed(config, now),
        });
    }

    fn go_on(&mut self, now: Time) {
        let over: Vec<AskId> =
            self.asks.iter().filter(|(_, asking)| asking.until <= now).map(|(ask, _)| *ask).collect();
        for ask in over {
            // Of a claim whose dial-back never came the stream is closed already.
            let claimed = self.asks.get(&ask).and_then(|asking| asking.claimed);
            if claimed.is_none() {
                self.actions.push_back(ClientAction::CancelAsk { ask });
            }
            self.conclude(now, ask, claimed);
        }
        for tracked in &mut self.addresses {
            tracked.votes.forget_old(&self.config, now);
        }
        self.tell();
        while self.ask(now) {}
        self.wake = self.next_moment(now);
    }

    /// Asks one server about the first address that wants it, and others on the way. `false`: there is nothing to ask, or
    /// nobody.
    fn ask(&mut self, now: Time) -> bool {
        let free = self.free(now);
        if free.is_empty() {
            return false;
        }
        let mut addresses: Vec<Multiaddr> = Vec::new();
        let mut known_to: Vec<PeerId> = Vec::new();
        let (mut room, max) = (ADDRESS_BYTES, self.config.max_asked.clamp(1, 50));
        for tracked in self.addresses.iter().filter(|tracked| self.wants(now, tracked)) {
            let len = tracked.address.as_bytes().len().saturating_add(PER_ADDRESS);
            if len > room || addresses.len() >= usize::try_from(max).unwrap_or(MAX_ASKED) {
                continue;
            }
            if addresses.is_empty() {
                known_to = free.iter().map(|(peer, _)| *peer).filter(|peer| tracked.votes.knows(peer)).collect();
            }
            room = room.saturating_sub(len);
            addresses.push(tracked.address.clone());
        }
        if addresses.is_empty() {
            return false;
        }
        let fresh: Vec<_> = free.iter().filter(|(peer, _)| !known_to.contains(peer)).copied().collect();
        let from = if fresh.is_empty() { free } else { fresh };
        let drawn = self.draw.below(u64::try_from(from.len()).unwrap_or(u64::MAX));
        let Some((peer, connection)) = usize::try_from(drawn).ok().and_then(|at| from.get(at).copied()) else {
            return false;
        };
        let nonce = self.fresh_nonce();
        let ask = AskId(self.next_ask);
        self.next_ask = self.next_ask.wrapping_add(1);
        self.servers.asked(now, peer, self.config.server_pause, self.config.max_servers);
        let what = Ask::Probe { nonce, addresses: addresses.clone() };
        let until = now + self.config.answer_timeout;
        let asking = Asking { peer, nonce, addresses, since: now, until, heard: 0, paid: None, claimed: None };
        self.asks.insert(ask, asking);
        self.actions.push_back(ClientAction::Ask { ask, connection, what });
        true
    }

    /// The servers that may be asked now.
    fn free(&self, now: Time) -> Vec<(PeerId, ConnectionId)> {
        if self.asks.len() >= usize::try_from(self.config.at_once).unwrap_or(usize::MAX) {
            return Vec::new();
        }
        let mut free = self.servers.free(now);
        free.retain(|(peer, _)| !self.is_asked(peer));
        free
    }

    fn is_asked(&self, peer: &PeerId) -> bool {
        self.asks.values().any(|asking| asking.peer == *peer)
    }

    fn wants(&self, now: Time, tracked: &Tracked) -> bool {
        tracked.due(&self.config).0 <= now && self.lacks(tracked)
    }

    fn lacks(&self, tracked: &Tracked) -> bool {
        self.asked_about(&tracked.address) < tracked.lacking(&self.config)
    }

    fn asked_about(&self, address: &Multiaddr) -> u32 {
        let about = self.asks.values().filter(|asking| asking.addresses.contains(address)).count();
        u32::try_from(about).unwrap_or(u32::MAX)
    }

    /// Unpredictable, so that only who was asked can bring it.
    fn fresh_nonce(&mut self) -> u64 {
        loop {
            let nonce = self.draw.word();
            if nonce != 0 && !self.asks.values().any(|asking| asking.nonce == nonce) {
                return nonce;
            }
        }
    }

    fn tell(&mut self) {
        for tracked in &mut self.addresses {
            let reachability = tracked.votes.reachability();
            if reachability != tracked.told {
                tracked.told = reachability;
                let (address, confidence) = (tracked.address.clone(), tracked.votes.confidence());
                self.actions.push_back(ClientAction::Address { address, reachability, confidence });
            }
        }
        let all = |wanted| self.addresses.iter().all(|tracked| tracked.told == wanted);
        let overall = if self.addresses.iter().any(|tracked| tracked.told == Reachability::Public) {
            Reachability::Public
        } else if !self.addresses.is_empty() && all(Reachability::Private) {
            Reachability::Private
        } else {
            Reachability::Unknown
        };
        if overall != self.overall {
            self.overall = overall;
            self.actions.push_back(ClientAction::Overall(overall));
        }
    }

    /// When something happens by time alone.
    fn next_moment(&self, now: Time) -> Time {
        let answers = self.asks.values().map(|asking| asking.until).min().unwrap_or(Time::NEVER);
        let votes = self.addresses.iter().map(|tracked| tracked.votes.oldest_until(&self.config)).min();
        let votes = votes.unwrap_or(Time::NEVER);
        let mut ask = Time::NEVER;
        if self.asks.len() < usize::try_from(self.config.at_once).unwrap_or(usize::MAX)
            && let Some(free) = self.servers.next_free(|peer| !self.is_asked(peer))
        {
            let lacking = self.addresses.iter().filter(|tracked| self.lacks(tracked));
            let due = lacking.map(|tracked| tracked.due(&self.config).0).min();
            // What is due now was just asked, unless no address fits: then there is nothing to wait for.
            ask = due.map_or(Time::NEVER, |due| due.max(free));
            if ask <= now {
                ask = Time::NEVER;
            }
        }
        answers.min(votes).min(ask)
    }
}

impl Asking {
    fn heard_at(&self, at: usize) -> bool {
        self.heard & bit(at) != 0
    }
}

fn bit(at: usize) -> u64 {
    u32::try_from(at).ok().and_then(|at| 1u64.checked_shl(at)).unwrap_or(0)
}

impl EventMachine for Client {
    type Input<'a> = ClientInput<'a>;
    type Action = ClientAction;
    type Misuse = ClientMisuse;

    fn handle(&mut self, now: Time, input: ClientInput<'_>) -> Result<(), ClientMisuse> {
        if self.actions.len() >= usize::try_from(self.config.max_unpolled).unwrap_or(usize::MAX) {
            return Err(ClientMisuse::Unpolled { waiting: self.config.max_unpolled });
        }
        match input {
            ClientInput::Server { connection, peer } => self.servers.add(connection, peer, self.config.max_servers),
            ClientInput::ServerGone { connection } => self.servers.remove(connection),
            ClientInput::Addresses(addresses) => self.set_addresses(addresses),
            ClientInput::Answered { ask, answer } => self.answered(now, ask, answer)?,
            ClientInput::Failed { ask } => {
                if self.asks.get(&ask).is_none_or(|asking| asking.claimed.is_some()) {
                    return Err(ClientMisuse::UnknownAsk { ask });
                }
                self.conclude(now, ask, None);
            }
            ClientInput::DialBackHeard { stream, on, nonce } => self.heard(now, stream, on, nonce),
            ClientInput::NetworkChanged => {
                for tracked in &mut self.addresses {
                    tracked.start_anew();
                }
            }
        }
        self.go_on(now);
        Ok(())
    }

    fn on_timeout(&mut self, now: Time) {
        self.go_on(now);
    }

    fn poll(&mut self) -> Option<ClientAction> {
        self.actions.pop_front()
    }

    fn deadline(&self) -> Time {
        self.wake
    }

    fn memory_used(&self) -> usize {
        let tracked: usize = self.addresses.iter().map(Tracked::memory_used).sum();
        let asked: usize = self.asks.values().map(|asking| asking.addresses.capacity() * size_of::<Multiaddr>()).sum();
        let asks = self.asks.len() * (size_of::<AskId>() + size_of::<Asking>()) / 2 * 3;
        self.addresses.capacity() * size_of::<Tracked>()
            + tracked
            + asked
            + asks
            + self.servers.memory_used()
            + self.actions.capacity() * size_of::<ClientAction>()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}, {} addresses, {} questions)", self.overall, self.addresses.len(), self.asks.len())
    }
}
