//! The v2 server: dials one address of those that a peer names, and brings a nonce there.
//!
//! ```text
//!           Opened: within the limits      Requested: an address at the IP that the peer comes from
//!  (none) --------------------------> Reading ---------------------------------------> Dialing --> answered
//!     |                                 |  \                                             ^
//!     +-- else: E_REQUEST_REJECTED,     |   \ one at another IP, or a name               | 0 to 3 s
//!         nothing is read               |    +------------------------------> Paying --> Waiting
//!                                       +-- none: E_DIAL_REFUSED               30,000 to 100,000 bytes
//! ```
//! What is checked when a stream is opened, the first that matches refuses: the connection is relayed or comes from no IP address;
//! from a private one, unless that is allowed; too many requests at one time; too many of this peer at one time; too many from all
//! in a minute; too many from this peer.
//!
//! The first address of the list is taken that can be dialed: public, unless private ones are allowed; over a transport and a
//! version of IP that we have; direct; not of another peer; no name, unless [`names`](ServerConfig::names) are dialed. No other
//! one is dialed. A name counts as another IP: who asks could point it at a victim after we looked.
//!
//! Nothing of the data is kept: the stream counts it and tells [`Request::Paid`]. So the dial of another's address, which costs
//! less than 10 kB (the spec's figure for a handshake), is made only for three times as much from who asked.
//!
//! Spec: libp2p/specs autonat/autonat-v2.md. Limits and times are go-libp2p's.

mod config;
mod io;
#[cfg(test)]
mod tests;

pub use crate::autonat::requests::ServerMisuse;
pub use config::ServerConfig;
pub use io::{DialBackOutcome, ServerAction, ServerCounters, ServerExplanation, ServerInput, ServerStep};

use super::{DialStatus, Response, Status};
use crate::autonat::address::{self, IpVersion};
use crate::autonat::requests::{self, Requests, Serving, count};
use crate::exchange::{Reply, Request};
use crate::rate::RateLimiter;
use crate::{DialBackId, StreamKey};
use alloc::collections::VecDeque;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use tidewire_core::{Draw, EventMachine, Multiaddr, PeerId, Reach, Seed, Time};

/// Decides which address is dialed, and for what. An [`EventMachine`].
///
/// ```
/// use tidewire_core::{EventMachine, Keypair, Seed, Time};
/// use tidewire_relay::autonat::v2::{
///     DialBackOutcome, DialStatus, Response, Server, ServerAction, ServerConfig, ServerInput,
/// };
/// use tidewire_relay::exchange::{Reply, Request};
/// use tidewire_relay::{ConnectionId, StreamKey};
///
/// let mut server = Server::new(ServerConfig::default(), &Seed::new([1; 32]));
/// let peer = Keypair::from_seed(&Seed::new([2; 32])).peer_id();
/// let stream = StreamKey { connection: ConnectionId(1), stream: 4 };
///
/// let remote = "/ip4/8.8.4.4/tcp/50123".parse()?;
/// server.handle(Time::ZERO, ServerInput::Opened { stream, peer, remote: &remote })?;
/// assert_eq!(server.poll(), Some(ServerAction::Admit { stream }));
///
/// // A private address, which is passed over, and one at the IP that the peer comes from: dialed at once.
/// let addresses = vec!["/ip4/10.0.0.1/tcp/4001".parse()?, "/ip4/8.8.4.4/tcp/4001".parse()?];
/// let request = Request::Probe { nonce: 7, addresses };
/// server.handle(Time::ZERO, ServerInput::Requested { stream, request: &request })?;
/// let Some(ServerAction::DialBack { attempt, nonce: 7, .. }) = server.poll() else { panic!("no dial") };
///
/// let outcome = DialBackOutcome::Heard;
/// server.handle(Time::from_millis(80), ServerInput::DialedBack { attempt, outcome })?;
/// let reply = Reply::Probed(Response::dialed(1, DialStatus::OK));
/// assert_eq!(server.poll(), Some(ServerAction::Reply { stream, reply }));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Server {
    config: ServerConfig,
    draw: Draw,
    all: RateLimiter,
    peers: RateLimiter,
    requests: Requests<Step>,
    counters: ServerCounters,
    actions: VecDeque<ServerAction>,
}

enum Step {
    Reading,
    Paying { chosen: Chosen, bytes: u64 },
    Waiting { chosen: Chosen },
    Dialing { chosen: Chosen, attempt: DialBackId },
}

impl requests::Step for Step {
    fn attempt(&self) -> Option<DialBackId> {
        if let Step::Dialing { attempt, .. } = self { Some(*attempt) } else { None }
    }

    fn memory_used(&self) -> usize {
        match self {
            Step::Reading => 0,
            Step::Paying { chosen, .. } | Step::Waiting { chosen } | Step::Dialing { chosen, .. } => {
                chosen.address.memory_used()
            }
        }
    }
}

/// The one address of a request.
#[derive(Clone)]
struct Chosen {
    index: u32,
    address: Multiaddr,
    nonce: u64,
}

/// Beyond its times a dial-back gets so long to be reported. Then it is given up.
const REPORT: Duration = Duration::from_secs(1);

impl Server {
    /// A server that serves nobody yet.
    pub fn new(config: ServerConfig, seed: &Seed) -> Self {
        Server {
            draw: Draw::new(seed, "autonat v2 server"),
            all: RateLimiter::new(&config.rate, seed, "autonat v2 server, all"),
            peers: RateLimiter::new(&config.peer_rate, seed, "autonat v2 server, peers"),
            config,
            requests: Requests::new(),
            counters: ServerCounters::default(),
            actions: VecDeque::new(),
        }
    }

    /// What it did so far.
    pub fn counters(&self) -> ServerCounters {
        self.counters
    }

    /// What it is doing.
    pub fn explain(&self, now: Time) -> ServerExplanation {
        let requests = self.requests.iter().map(|(stream, serving)| {
            let left = serving.until.since(now);
            let step = match &serving.step {
                Step::Reading => ServerStep::Reading,
                Step::Paying { chosen, bytes } => ServerStep::Paying { address: chosen.address.clone(), bytes: *bytes },
                Step::Waiting { chosen } => ServerStep::Waiting { address: chosen.address.clone(), left },
                Step::Dialing { chosen, .. } => ServerStep::Dialing { address: chosen.address.clone() },
            };
            (stream, serving.peer, step)
        });
        ServerExplanation { counters: self.counters, requests: requests.collect() }
    }

    fn opened(&mut self, now: Time, stream: StreamKey, peer: PeerId, remote: &Multiaddr) -> Result<(), ServerMisuse> {
        self.requests.check_new(stream)?;
        if let Some(ip) = self.admissible(now, peer, remote) {
            self.all.take(now, &());
            self.peers.take(now, &peer);
            count(&mut self.counters.admitted);
            let until = now + self.config.stream_timeout;
            self.requests.insert(stream, Serving { peer, ip, step: Step::Reading, until });
            self.actions.push_back(ServerAction::Admit { stream });
        } else {
            count(&mut self.counters.rejected);
            self.reply(stream, Response::refused(Status::REQUEST_REJECTED));
        }
        Ok(())
    }

    /// The observed IP, if the peer may ask now.
    fn admissible(&self, now: Time, peer: PeerId, remote: &Multiaddr) -> Option<IpAddr> {
        let ip = address::observed_ip(remote)?;
        let served = self.requests.iter().filter(|(_, serving)| serving.peer == peer).count();
        let room = |used: usize, cap: u32| used < usize::try_from(cap).unwrap_or(usize::MAX);
        let admissible = (Reach::of_ip(ip) == Reach::Public || self.config.allow_private)
            && room(self.requests.len(), self.config.max_requests)
            && room(served, self.config.per_peer)
            && self.all.room(now, &()).is_ok()
            && self.peers.room(now, &peer).is_ok();
        admissible.then_some(ip)
    }

    fn requested(&mut self, now: Time, stream: StreamKey, request: &Request) -> Result<(), ServerMisuse> {
        let serving = self.requests.get(stream)?;
        match (&serving.step, request) {
            (Step::Reading, Request::Probe { nonce, addresses }) => {
                let (ip, peer) = (serving.ip, serving.peer);
                let dialable = |asked: &Multiaddr| self.dialable(asked, peer);
                let found = addresses.iter().enumerate().find_map(|(i, asked)| Some((i, dialable(asked)?)));
                let Some((i, address)) = found else {
                    self.requests.finish(stream);
                    count(&mut self.counters.refused);
                    self.reply(stream, Response::refused(Status::DIAL_REFUSED));
                    return Ok(());
                };
                let index = u32::try_from(i).unwrap_or(u32::MAX);
                let at_observed = address.ip().map(|asked| asked.to_canonical()) == Some(ip);
                let chosen = Chosen { index, address, nonce: *nonce };
                if at_observed {
                    self.dial(now, stream, chosen);
                } else {
                    self.charge(now, stream, chosen);
                }
                Ok(())
            }
            (Step::Paying { chosen, bytes }, Request::Paid { bytes: paid }) if paid >= bytes => {
                let chosen = chosen.clone();
                self.counters.paid = self.counters.paid.saturating_add(*paid);
                let until = self.draw.within(now, self.config.max_wait);
                self.requests.enter(stream, Step::Waiting { chosen }, until);
                self.let_pass(now);
                Ok(())
            }
            _ => Err(ServerMisuse::OtherRequest { stream }),
        }
    }

    /// The address as it would be dialed, if it can be.
    fn dialable(&self, asked: &Multiaddr, peer: PeerId) -> Option<Multiaddr> {
        let address = address::of_peer(asked, peer)?;
        let family = match address::family(&address) {
            Some(IpVersion::V4) => self.config.ipv4,
            Some(IpVersion::V6) => self.config.ipv6,
            None => self.config.ipv4 || self.config.ipv6,
        };
        let dialable = family
            && (self.config.names || address.ip().is_some())
            && address::is_dialable(&address, self.config.allow_private)
            && self.config.transports.contains(&address.transport());
        dialable.then_some(address)
    }

    fn charge(&mut self, now: Time, stream: StreamKey, chosen: Chosen) {
        let (index, bytes) = (chosen.index, self.draw.between(self.config.min_data, self.config.max_data));
        count(&mut self.counters.charged);
        self.requests.enter(stream, Step::Paying { chosen, bytes }, now + self.config.stream_timeout);
        self.actions.push_back(ServerAction::Reply { stream, reply: Reply::AskData { index, bytes } });
    }

    fn dial(&mut self, now: Time, stream: StreamKey, chosen: Chosen) {
        let Ok(peer) = self.requests.get(stream).map(|serving| serving.peer) else { return };
        let attempt = self.requests.attempt(stream);
        count(&mut self.counters.dials);
        let (dial_timeout, dial_back_timeout) = (self.config.dial_timeout, self.config.dial_back_timeout);
        let (address, nonce) = (chosen.address.clone(), chosen.nonce);
        self.requests.enter(stream, Step::Dialing { chosen, attempt }, now + dial_timeout + dial_back_timeout + REPORT);
        self.actions.push_back(ServerAction::DialBack {
            attempt,
            peer,
            address,
            nonce,
            dial_timeout,
            dial_back_timeout,
        });
    }

    fn dialed_back(&mut self, attempt: DialBackId, outcome: DialBackOutcome) -> Result<(), ServerMisuse> {
        let stream = self.requests.attempted(attempt)?;
        let Some(Serving { step: Step::Dialing { chosen, .. }, .. }) = self.requests.finish(stream) else {
            return Ok(());
        };
        let dialed = |status| Response::dialed(chosen.index, status);
        let response = match outcome {
            DialBackOutcome::Heard => {
                count(&mut self.counters.heard);
                dialed(DialStatus::OK)
            }
            DialBackOutcome::NotHeard => dialed(DialStatus::DIAL_BACK_ERROR),
            DialBackOutcome::NotReached => dialed(DialStatus::DIAL_ERROR),
            DialBackOutcome::NotTried => Response::refused(Status::INTERNAL_ERROR),
        };
        self.reply(stream, response);
        Ok(())
    }

    fn let_pass(&mut self, now: Time) {
        while let Some(stream) = self.requests.overdue(now) {
            if let Ok(Serving { step: Step::Waiting { chosen }, .. }) = self.requests.get(stream) {
                let chosen = chosen.clone();
                self.dial(now, stream, chosen);
                continue;
            }
            match self.requests.finish(stream).map(|serving| serving.step) {
                Some(Step::Dialing { attempt, .. }) => {
                    self.actions.push_back(ServerAction::CancelDialBack { attempt });
                    self.reply(stream, Response::refused(Status::INTERNAL_ERROR));
                }
                Some(Step::Reading | Step::Paying { .. } | Step::Waiting { .. }) => {
                    self.actions.push_back(ServerAction::Reset { stream });
                }
                None => {}
            }
        }
    }

    fn reply(&mut self, stream: StreamKey, response: Response) {
        self.actions.push_back(ServerAction::Reply { stream, reply: Reply::Probed(response) });
    }
}

impl EventMachine for Server {
    type Input<'a> = ServerInput<'a>;
    type Action = ServerAction;
    type Misuse = ServerMisuse;

    fn handle(&mut self, now: Time, input: ServerInput<'_>) -> Result<(), ServerMisuse> {
        if self.actions.len() >= usize::try_from(self.config.max_unpolled).unwrap_or(usize::MAX) {
            return Err(ServerMisuse::Unpolled { waiting: self.config.max_unpolled });
        }
        match input {
            ServerInput::Opened { stream, peer, remote } => self.opened(now, stream, peer, remote),
            ServerInput::Requested { stream, request } => self.requested(now, stream, request),
            ServerInput::Gone { stream } => {
                let serving = self.requests.finish(stream).ok_or(ServerMisuse::UnknownStream { stream })?;
                if let Step::Dialing { attempt, .. } = serving.step {
                    self.actions.push_back(ServerAction::CancelDialBack { attempt });
                }
                Ok(())
            }
            ServerInput::DialedBack { attempt, outcome } => self.dialed_back(attempt, outcome),
            ServerInput::Connectivity { ipv4, ipv6 } => {
                (self.config.ipv4, self.config.ipv6) = (ipv4, ipv6);
                Ok(())
            }
        }
    }

    fn on_timeout(&mut self, now: Time) {
        self.let_pass(now);
    }

    fn poll(&mut self) -> Option<ServerAction> {
        self.actions.pop_front()
    }

    fn deadline(&self) -> Time {
        self.requests.deadline()
    }

    fn memory_used(&self) -> usize {
        self.requests.memory_used()
            + self.actions.capacity() * size_of::<ServerAction>()
            + self.all.memory_used()
            + self.peers.memory_used()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({} requests, {:?})", self.requests.len(), self.counters)
    }
}
