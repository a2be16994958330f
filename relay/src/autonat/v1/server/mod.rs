//! The v1 server: has peers dialed back, at the IP address that they come from and at no other.
//!
//! ```text
//!            Opened: within the limits      Requested: an address to dial          DialedBack: reached
//!   (none) -------------------------> Reading -------------------------> Dialing -------------------------> answered
//!      |                                 |                                |    \                              ^
//!      +-- else: refused, unread         +-- none: refused                |     +-- failed --> Failed --------+
//!                                                                         +--- 15 s over ------------- 15 s over
//! ```
//! What is checked when a stream is opened, the first that matches refuses, with `E_DIAL_REFUSED` and before a byte is read:
//! the connection is relayed (the spec: MUST NOT) or comes from no IP address; from a private one, unless that is allowed; too many
//! requests at one time; too many from all; too many from this peer.
//!
//! Of the addresses asked for, those are dialed whose transport can be, each with its IP replaced by the observed one: so the
//! server can be made to dial nobody but who asks (the spec: MUST NOT, after RFC 3489 section 12.1.1).
//!
//! Spec: libp2p/specs autonat/autonat-v1.md. Limits and the late answer are go-libp2p's.

mod config;
#[cfg(test)]
mod tests;

pub use crate::autonat::requests::ServerMisuse;
pub use config::ServerConfig;

use super::{Response, Status};
use crate::autonat::address;
use crate::autonat::requests::{self, Requests, Serving, count};
use crate::exchange::{Reply, Request};
use crate::rate::RateLimiter;
use crate::{DialBackId, StreamKey};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use tidewire_core::{EventMachine, Multiaddr, PeerId, Reach, Seed, Time};

/// Decides who is dialed back. An [`EventMachine`].
///
/// ```
/// use tidewire_core::{EventMachine, Keypair, Seed, Time};
/// use tidewire_relay::autonat::v1::{Server, ServerAction, ServerConfig, ServerInput};
/// use tidewire_relay::exchange::Request;
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
/// // It asks for a dial to another IP address, and gets one to its own.
/// let request = Request::DialMe { addresses: vec!["/ip4/1.1.1.1/tcp/4001".parse()?] };
/// server.handle(Time::ZERO, ServerInput::Requested { stream, request: &request })?;
/// let Some(ServerAction::DialBack { addresses, .. }) = server.poll() else { panic!("no dial") };
/// assert_eq!(addresses, [remote, "/ip4/8.8.4.4/tcp/4001".parse()?]);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Server {
    config: ServerConfig,
    all: RateLimiter,
    peers: RateLimiter,
    requests: Requests<Step>,
    counters: ServerCounters,
    actions: VecDeque<ServerAction>,
}

enum Step {
    /// Where the connection comes from may be dialed too.
    Reading {
        remote: Multiaddr,
    },
    Dialing(DialBackId),
    /// The answer is known, and is not told yet.
    Failed,
}

impl requests::Step for Step {
    fn attempt(&self) -> Option<DialBackId> {
        if let Step::Dialing(attempt) = self { Some(*attempt) } else { None }
    }

    fn memory_used(&self) -> usize {
        if let Step::Reading { remote } = self { remote.memory_used() } else { 0 }
    }
}

/// What a [`Server`] is told.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum ServerInput<'a> {
    /// A peer opened a stream. Nothing of it is read before [`ServerAction::Admit`].
    Opened {
        /// The stream.
        stream: StreamKey,
        /// Who.
        peer: PeerId,
        /// Where its connection comes from; with `/p2p-circuit` in it if it is relayed.
        remote: &'a Multiaddr,
    },
    /// What it asks.
    Requested {
        /// The stream.
        stream: StreamKey,
        /// A [`Request::DialMe`].
        request: &'a Request,
    },
    /// The stream ended, failed or was reset before we answered. To be told of streams that were let in.
    Gone {
        /// The stream.
        stream: StreamKey,
    },
    /// What came of a [`ServerAction::DialBack`].
    DialedBack {
        /// Which one.
        attempt: DialBackId,
        /// The first address at which the peer was reached, and proved to be who it is; `None`: at none.
        reached: Option<&'a Multiaddr>,
    },
    /// A [`ServerAction::DialBack`] was not tried: the host is at a limit. Nothing is said of the peer's being reached.
    NotDialed {
        /// Which one.
        attempt: DialBackId,
    },
}

/// What a [`Server`] wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerAction {
    /// Read the request.
    Admit {
        /// The stream.
        stream: StreamKey,
    },
    /// Give this answer and close the stream. It may come instead of [`ServerAction::Admit`]: then nothing is read.
    Reply {
        /// The stream.
        stream: StreamKey,
        /// A [`Reply::Dialed`].
        reply: Reply,
    },
    /// Reset the stream: the peer asked for nothing in time.
    Reset {
        /// The stream.
        stream: StreamKey,
    },
    /// Dial the peer at these addresses, all at once or one after the other, from a port that listens to nothing, apart from all
    /// other connections; report [`ServerInput::DialedBack`] and close what was made.
    DialBack {
        /// Its number, among those of this server.
        attempt: DialBackId,
        /// Who must be there.
        peer: PeerId,
        /// Where. All have the IP that the peer comes from.
        addresses: Vec<Multiaddr>,
        /// How long it may take.
        timeout: Duration,
    },
    /// The result is not waited for any more.
    CancelDialBack {
        /// Which one.
        attempt: DialBackId,
    },
}

/// What a [`Server`] did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerCounters {
    /// Streams that were let in.
    pub admitted: u64,
    /// Streams that were refused unread.
    pub refused: u64,
    /// Dials that were asked for.
    pub dials: u64,
    /// Those that reached the peer.
    pub reached: u64,
}

/// What a [`Server`] is doing, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerExplanation {
    /// What it did so far.
    pub counters: ServerCounters,
    /// Who is being served, and with what.
    pub requests: Vec<(StreamKey, PeerId, ServerStep)>,
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerStep {
    /// Waits for what the peer wants.
    Reading,
    /// The peer is being dialed.
    Dialing,
    /// It could not be reached; the answer goes out in so long.
    Failed(Duration),
}

impl Server {
    /// A server that serves nobody yet.
    pub fn new(config: ServerConfig, seed: &Seed) -> Self {
        Server {
            all: RateLimiter::new(&config.rate, seed, "autonat v1 server, all"),
            peers: RateLimiter::new(&config.peer_rate, seed, "autonat v1 server, peers"),
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
            let step = match serving.step {
                Step::Reading { .. } => ServerStep::Reading,
                Step::Dialing(_) => ServerStep::Dialing,
                Step::Failed => ServerStep::Failed(serving.until.since(now)),
            };
            (stream, serving.peer, step)
        });
        ServerExplanation { counters: self.counters, requests: requests.collect() }
    }

    fn opened(&mut self, now: Time, stream: StreamKey, peer: PeerId, remote: &Multiaddr) -> Result<(), ServerMisuse> {
        self.requests.check_new(stream)?;
        match self.check(now, peer, remote) {
            Ok(ip) => {
                self.all.take(now, &());
                self.peers.take(now, &peer);
                count(&mut self.counters.admitted);
                let until = now + self.config.request_timeout;
                let step = Step::Reading { remote: remote.without_peer_id() };
                self.requests.insert(stream, Serving { peer, ip, step, until });
                self.actions.push_back(ServerAction::Admit { stream });
            }
            Err(why) => {
                count(&mut self.counters.refused);
                self.reply(stream, Response::failed(Status::DIAL_REFUSED, why));
            }
        }
        Ok(())
    }

    fn check(&self, now: Time, peer: PeerId, remote: &Multiaddr) -> Result<IpAddr, &'static str> {
        let ip =
            address::observed_ip(remote).ok_or("your IP address is not known here: ask over a direct connection")?;
        if Reach::of_ip(ip) != Reach::Public && !self.config.allow_private {
            return Err("you come from a private address");
        }
        if self.requests.len() >= usize::try_from(self.config.max_requests).unwrap_or(usize::MAX) {
            return Err("too many requests at one time");
        }
        self.all.room(now, &()).map_err(|_| "too many requests")?;
        self.peers.room(now, &peer).map_err(|_| "too many requests from you")?;
        Ok(ip)
    }

    fn requested(&mut self, now: Time, stream: StreamKey, request: &Request) -> Result<(), ServerMisuse> {
        let serving = self.requests.get(stream)?;
        let (Step::Reading { remote }, Request::DialMe { addresses }) = (&serving.step, request) else {
            return Err(ServerMisuse::OtherRequest { stream });
        };
        let (peer, addresses) = (serving.peer, self.to_dial(serving, remote, addresses));
        if addresses.is_empty() {
            self.requests.finish(stream);
            self.reply(stream, Response::failed(Status::DIAL_REFUSED, "no address of yours can be dialed from here"));
            return Ok(());
        }
        let attempt = self.requests.attempt(stream);
        count(&mut self.counters.dials);
        let timeout = self.config.dial_timeout;
        self.requests.enter(stream, Step::Dialing(attempt), now + timeout);
        self.actions.push_back(ServerAction::DialBack { attempt, peer, addresses, timeout });
        Ok(())
    }

    /// The addresses, at the observed IP, each once.
    fn to_dial(&self, serving: &Serving<Step>, remote: &Multiaddr, asked: &[Multiaddr]) -> Vec<Multiaddr> {
        let max = usize::try_from(self.config.max_addresses).unwrap_or(usize::MAX);
        let observed = self.config.dial_observed.then(|| remote.clone());
        let asked = asked.iter().filter_map(|asked| address::of_peer(asked, serving.peer));
        let mut addresses = Vec::new();
        for asked in observed.into_iter().chain(asked) {
            if addresses.len() >= max {
                break;
            }
            let Some(asked) = address::at_ip(&asked, serving.ip) else { continue };
            let dialable = address::is_dialable(&asked, self.config.allow_private)
                && self.config.transports.contains(&asked.transport());
            if dialable && !addresses.contains(&asked) {
                addresses.push(asked);
            }
        }
        addresses
    }

    fn dialed_back(&mut self, now: Time, attempt: DialBackId, reached: Option<&Multiaddr>) -> Result<(), ServerMisuse> {
        let stream = self.requests.attempted(attempt)?;
        let until = self.requests.get(stream)?.until;
        match reached {
            Some(address) => {
                count(&mut self.counters.reached);
                self.requests.finish(stream);
                self.reply(stream, Response::ok(Some(address.without_peer_id())));
            }
            None => {
                self.requests.enter(stream, Step::Failed, until);
                self.let_pass(now);
            }
        }
        Ok(())
    }

    fn not_dialed(&mut self, attempt: DialBackId) -> Result<(), ServerMisuse> {
        let stream = self.requests.attempted(attempt)?;
        if self.requests.finish(stream).is_some() {
            self.reply(stream, Response::failed(Status::INTERNAL_ERROR, "this node can't dial you now"));
        }
        Ok(())
    }

    fn let_pass(&mut self, now: Time) {
        while let Some(stream) = self.requests.overdue(now)
            && let Some(serving) = self.requests.finish(stream)
        {
            match serving.step {
                Step::Reading { .. } => self.actions.push_back(ServerAction::Reset { stream }),
                Step::Dialing(attempt) => {
                    self.actions.push_back(ServerAction::CancelDialBack { attempt });
                    self.unreached(stream);
                }
                Step::Failed => self.unreached(stream),
            }
        }
    }

    fn unreached(&mut self, stream: StreamKey) {
        self.reply(stream, Response::failed(Status::DIAL_ERROR, "you could not be reached"));
    }

    fn reply(&mut self, stream: StreamKey, response: Response) {
        self.actions.push_back(ServerAction::Reply { stream, reply: Reply::Dialed(response) });
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
                if let Step::Dialing(attempt) = serving.step {
                    self.actions.push_back(ServerAction::CancelDialBack { attempt });
                }
                Ok(())
            }
            ServerInput::DialedBack { attempt, reached } => self.dialed_back(now, attempt, reached),
            ServerInput::NotDialed { attempt } => self.not_dialed(attempt),
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

impl fmt::Display for ServerExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServerCounters { admitted, refused, dials, reached } = self.counters;
        write!(f, "{admitted} let in, {refused} refused unread, {dials} dials, {reached} reached")?;
        for (stream, peer, step) in &self.requests {
            write!(f, "\n{stream} of {peer}: ")?;
            match step {
                ServerStep::Reading => f.write_str("waits for the request"),
                ServerStep::Dialing => f.write_str("is being dialed"),
                ServerStep::Failed(left) => {
                    write!(f, "was not reached; the answer goes out in {} s", left.as_secs_f32())
                }
            }?;
        }
        Ok(())
    }
}
