//! What a node's connections and its host report, put together: who is there, over what, and what became of it.
//!
//! ```text
//!  Observer::event   sockets, upgrade, reports, bytes ---.
//!                                                        Watcher: one entry a connection --> Told, to whoever shows it
//!  Observer::host    opened, identified, closed ---------'
//! ```
//! A connection is told as closed once the host has said why and its socket has said how many bytes there were.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tidewire_connmgr::{self as connmgr, CloseReason, Direction, RefuseReason, StreamRefusal};
use tidewire_core::{Multiaddr, PeerId};
use tidewire_dcutr::coordinator;
use tidewire_host::StreamId;
use tidewire_host::addresses::PortMapping;
use tidewire_host::identify::{IDENTIFY, Identity, PUSH};
use tidewire_host::link::Report;
use tidewire_multistream::Protocol;
use tidewire_relay::{autorelay, client, server};
use tidewire_tokio::{Event, MuxerKind, Observed, Observer, Progress};
use tidewire_upgrade::pipeline::Stage;

/// Something to show.
#[derive(Debug)]
pub(crate) enum Told<'a> {
    Connected {
        peer: PeerId,
        address: &'a Multiaddr,
        direction: Direction,
        security: &'a str,
        muxer: Option<MuxerKind>,
    },
    Identified {
        peer: PeerId,
        identity: &'a Identity,
        pushed: bool,
    },
    Unidentified {
        peer: PeerId,
        why: &'a str,
    },
    Pong {
        peer: PeerId,
        rtt: Duration,
    },
    /// A stream that the remote opened is over. Those of identify are not told.
    Stream {
        peer: PeerId,
        protocol: &'a Protocol,
        took: Duration,
    },
    Closed {
        peer: PeerId,
        by: connmgr::By,
        reason: &'a CloseReason,
        lived: Duration,
        sent: u64,
        received: u64,
    },
    /// A socket that never became a connection.
    Failed {
        address: Option<&'a Multiaddr>,
        why: &'a str,
    },
    /// Others connected, and the host did not let them in; the address, the peer and the reason are those of the last.
    Refused {
        address: &'a Multiaddr,
        peer: Option<PeerId>,
        reason: &'a RefuseReason,
        count: u64,
    },
    /// A peer opened streams, and the host did not let them in; the protocol and the reason are those of the last.
    StreamsRefused {
        peer: PeerId,
        protocol: &'a Protocol,
        reason: &'a StreamRefusal,
        count: u64,
    },
    /// Of the relay that we are.
    Relay(&'a server::Event),
    /// Of relays that serve us.
    RelayClient(&'a client::Event),
    AutoRelay(&'a autorelay::Event),
    /// How a relayed connection becomes a direct one.
    Punch(&'a coordinator::Event),
    Announced {
        addresses: &'a [Multiaddr],
    },
    /// What came of having a port mapped at the router.
    PortMapping(&'a PortMapping),
}

type Show = Box<dyn Fn(&Told<'_>) + Send + Sync>;

/// An observer of a node.
pub(crate) struct Watcher {
    show: Show,
    /// Some remote was heard to agree on a security protocol.
    agreed: AtomicBool,
    book: Mutex<BTreeMap<u64, Seen>>,
}

/// What was seen of a connection.
#[derive(Default)]
struct Seen {
    address: Option<Multiaddr>,
    peer: Option<PeerId>,
    security: String,
    muxer: Option<MuxerKind>,
    /// The host let it in.
    opened: bool,
    streams: BTreeMap<StreamId, (Protocol, Instant)>,
    closed: Option<(connmgr::By, CloseReason, Duration)>,
    done: Option<(u64, u64)>,
}

impl Watcher {
    pub(crate) fn new(show: impl Fn(&Told<'_>) + Send + Sync + 'static) -> Self {
        Watcher { show: Box::new(show), agreed: AtomicBool::new(false), book: Mutex::default() }
    }

    /// Nothing is shown: it only remembers.
    pub(crate) fn quiet() -> Self {
        Watcher::new(|_| {})
    }

    /// The security protocol's name and the multiplexer, once the connection is upgraded.
    pub(crate) fn upgraded(&self, connection: u64) -> Option<(String, MuxerKind)> {
        self.lock().get(&connection).and_then(|seen| Some((seen.security.clone(), seen.muxer?)))
    }

    /// Whether any remote was heard to agree on a security protocol.
    pub(crate) fn agreed(&self) -> bool {
        self.agreed.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Seen>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watcher {
    fn event(&self, connection: u64, event: &Observed) {
        let mut book = self.lock();
        let seen = book.entry(connection).or_default();
        match event {
            Observed::Connected(address) => seen.address = Some(address.clone()),
            Observed::Progress(Progress::Agreed { stage: Stage::Security, .. }) => {
                self.agreed.store(true, Ordering::Relaxed);
            }
            Observed::Report(report) => self.report(seen, report),
            Observed::Done { sent, received } => seen.done = Some((*sent, *received)),
            _ => {}
        }
        if self.over(seen) {
            book.remove(&connection);
        }
    }

    fn host(&self, event: &Event) {
        let mut book = self.lock();
        match event {
            Event::Manager(connmgr::Event::ConnectionOpened { connection, peer, direction, remote, .. }) => {
                let seen = book.entry(connection.0).or_default();
                (seen.opened, seen.peer) = (true, Some(*peer));
                (self.show)(&Told::Connected {
                    peer: *peer,
                    address: remote,
                    direction: *direction,
                    security: &seen.security,
                    muxer: seen.muxer,
                });
            }
            Event::Manager(connmgr::Event::ConnectionClosed { connection, by, reason, lived, .. }) => {
                let Some(seen) = book.get_mut(&connection.0) else { return };
                seen.closed = Some((*by, reason.clone(), *lived));
                if self.over(seen) {
                    book.remove(&connection.0);
                }
            }
            Event::Identified { peer, identity, pushed, .. } => {
                (self.show)(&Told::Identified { peer: *peer, identity, pushed: *pushed });
            }
            Event::IdentifyFailed { peer, why, .. } => (self.show)(&Told::Unidentified { peer: *peer, why }),
            Event::ConnectionsRefused { remote, peer, reason, count, .. } => {
                (self.show)(&Told::Refused { address: remote, peer: *peer, reason, count: *count });
            }
            Event::StreamsRefused { peer, protocol, reason, count, .. } => {
                (self.show)(&Told::StreamsRefused { peer: *peer, protocol, reason, count: *count });
            }
            Event::Relay(event) => (self.show)(&Told::Relay(event)),
            Event::RelayClient(event) => (self.show)(&Told::RelayClient(event)),
            Event::AutoRelay(event) => (self.show)(&Told::AutoRelay(event)),
            Event::Punch(event) => (self.show)(&Told::Punch(event)),
            Event::Announced { addresses } => (self.show)(&Told::Announced { addresses }),
            Event::PortMapping(word) => (self.show)(&Told::PortMapping(word)),
            _ => {}
        }
    }
}

impl Watcher {
    fn report(&self, seen: &mut Seen, report: &Report) {
        match report {
            Report::Established { peer, security, muxer, .. } => {
                seen.peer = Some(*peer);
                seen.security = security.to_string();
                seen.muxer = Some(*muxer);
            }
            Report::StreamOpened { stream, direction: Direction::Inbound, protocol, .. }
                if *protocol != IDENTIFY && *protocol != PUSH =>
            {
                seen.streams.insert(*stream, (protocol.clone(), Instant::now()));
            }
            Report::StreamClosed { stream } => {
                if let (Some((protocol, began)), Some(peer)) = (seen.streams.remove(stream), seen.peer) {
                    (self.show)(&Told::Stream { peer, protocol: &protocol, took: began.elapsed() });
                }
            }
            Report::Pong { rtt } => {
                if let Some(peer) = seen.peer {
                    (self.show)(&Told::Pong { peer, rtt: *rtt });
                }
            }
            Report::Ended { why, .. } if !seen.opened => {
                (self.show)(&Told::Failed { address: seen.address.as_ref(), why });
            }
            _ => {}
        }
    }

    /// Tells that it is over, once both halves of it are known; whether nothing more will come.
    fn over(&self, seen: &Seen) -> bool {
        let Some((sent, received)) = seen.done else { return false };
        if let (Some((by, reason, lived)), Some(peer)) = (&seen.closed, seen.peer) {
            (self.show)(&Told::Closed { peer, by: *by, reason, lived: *lived, sent, received });
        }
        seen.closed.is_some() || !seen.opened
    }
}
