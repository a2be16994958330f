//! What a host says.

use crate::addresses::{NatStatus, PortMapping};
use crate::identify::{Identity, Profile};
use crate::link::{OpenFault, Order, Service};
use crate::{ConnectionId, DialId, ListenerId, OpenId, StreamId};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_connmgr::dial::DialReport;
use tidewire_connmgr::{RefuseReason, StreamRefusal};
use tidewire_core::{Multiaddr, PeerId, Role};
use tidewire_multistream::Protocol;
use tidewire_relay::server::{Asked, CircuitEnd};
use tidewire_relay::{CircuitId, Limit, StreamKey};
use tidewire_upgrade::muxer::MuxerKind;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Listen there; report `Listening` for each address that it has, or `ListenerClosed`.
    Listen {
        /// Which listener.
        listener: ListenerId,
        /// Where.
        address: Multiaddr,
    },
    /// Close this listener; report `ListenerClosed`. Its connections stay.
    Unlisten {
        /// Which.
        listener: ListenerId,
    },
    /// Make a link of this incoming connection, with the plan of [`Host::accept_plan`](crate::Host::accept_plan).
    Accept {
        /// Which.
        connection: ConnectionId,
    },
    /// Drop this connection, its link too if it has one. It is forgotten: what it reports yet is of no matter.
    Refuse {
        /// Which.
        connection: ConnectionId,
        /// Why.
        reason: RefuseReason,
    },
    /// Dial this address; make a link of it, which knows the dial, expects this peer, and has the plan of
    /// [`Host::dial_plan`](crate::Host::dial_plan); and report `Dialed`. Or report `DialFailed`.
    Dial {
        /// The host's name for the attempt. The same one comes again, without `from`, if the remote dialed us at the same time
        /// and TCP made one connection of both, on which both ends initiate.
        dial: DialId,
        /// Who is expected there.
        peer: PeerId,
        /// Where.
        address: Multiaddr,
        /// The local end to dial from.
        from: Option<LocalEnd>,
        /// After which time `Abort` will come.
        timeout: Duration,
    },
    /// Make a transport of this stream: its bytes are those of a connection. Report `Dialed` if it belongs to a dial, else
    /// `Incoming`, with the addresses given here. When the link that is made of it closes, end the stream.
    Carry(Box<Carry>),
    /// Pump bytes between these two streams, and report `Spliced` now and then and at the end.
    Splice(Splice),
    /// End a circuit: reset its streams, and report `Spliced`.
    Unsplice {
        /// Which.
        circuit: CircuitId,
        /// Why.
        why: CircuitEnd,
    },
    /// The services of relays and of AutoNAT that links serve from here on
    /// ([`Routes::new`](crate::link::Routes::new)); report `Protocols`.
    Serve(Vec<Service>),
    /// Drop this dial. It is forgotten: if it became a connection meanwhile, `Dialed` is answered by `Refuse`.
    Abort {
        /// Which.
        dial: DialId,
    },
    /// Hand this to a link. If the link is gone, it is of no matter.
    Order {
        /// Which link.
        connection: ConnectionId,
        /// What.
        order: Order,
    },
    /// What we say of ourselves changed: seal it ([`Card::new`](crate::identify::Card::new)), and give it to all links, and to
    /// those that are made from here on.
    Profile(Box<Profile>),
    /// Tell the application.
    Event(Event),
}

/// From where to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalEnd {
    /// A listener's address: the remote, and every NAT on the way, is to see the port on which we listen.
    pub address: Multiaddr,
    /// From that port or not at all, as a hole punch has it; a connection of the same two ports is told as
    /// [`DialFault::NoPort`](tidewire_connmgr::dial::DialFault::NoPort). Else, if it can't be had, any will do.
    pub exact: bool,
}

/// A stream that is to be a transport: the end of a circuit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carry {
    /// The stream, on its connection.
    pub over: (ConnectionId, StreamId),
    /// The dial that it fulfils, and who is expected: then the link initiates. Else it responds.
    pub dial: Option<(DialId, PeerId)>,
    /// Our end.
    pub local: Multiaddr,
    /// The remote's end.
    pub remote: Multiaddr,
}

/// A circuit between others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splice {
    /// Its number.
    pub circuit: CircuitId,
    /// The stream of who asked for it.
    pub source: (ConnectionId, StreamId),
    /// The stream of whom it leads to.
    pub destination: (ConnectionId, StreamId),
    /// What it may use.
    pub limit: Limit,
}

/// What an application may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Who came and went, what was dialed and trimmed, and why. (Streams are told by the links.)
    Manager(tidewire_connmgr::Event),
    /// A connection is upgraded; [`ConnectionOpened`](tidewire_connmgr::Event::ConnectionOpened) was told of it.
    Upgraded {
        /// Which.
        connection: ConnectionId,
        /// With whom.
        peer: PeerId,
        /// Our role in the security handshake.
        role: Role,
        /// The security protocol that was agreed on.
        security: SmolStr,
        /// The multiplexer that was agreed on.
        muxer: MuxerKind,
        /// How long that took, from when the transport was there.
        took: Duration,
    },
    /// A peer opened streams, and they were refused. The first is told at once; those that follow on the same connection within
    /// [`Config::refusals_interval`](crate::Config::refusals_interval) are told together, with what is said here of the last.
    StreamsRefused {
        /// On which connection.
        connection: ConnectionId,
        /// Who opened them.
        peer: PeerId,
        /// What the last was to speak.
        protocol: Protocol,
        /// Why the last was refused.
        reason: StreamRefusal,
        /// How many, since it was told last.
        count: u64,
    },
    /// Others connected, and were refused: before their upgrade, or after it. The first is told at once; those that follow within
    /// [`Config::refusals_interval`](crate::Config::refusals_interval) are told together, with what is said here of the last. (What
    /// becomes of our own dials, [`DialFailed`](tidewire_connmgr::Event::DialFailed) says.)
    ConnectionsRefused {
        /// The last.
        connection: ConnectionId,
        /// Where it came from.
        remote: Multiaddr,
        /// Who it was, if that was proven.
        peer: Option<PeerId>,
        /// Why it was refused.
        reason: RefuseReason,
        /// How many, since it was told last.
        count: u64,
    },
    /// A listener has this address.
    Listening {
        /// Which.
        listener: ListenerId,
        /// Where.
        address: Multiaddr,
    },
    /// A listener has this address no more.
    NotListening {
        /// Which.
        listener: ListenerId,
        /// Where.
        address: Multiaddr,
    },
    /// A listener is gone, or never came to be.
    ListenerClosed {
        /// Which.
        listener: ListenerId,
        /// Why.
        why: SmolStr,
    },
    /// A peer said who it is, when asked or of its own accord.
    Identified {
        /// On which connection.
        connection: ConnectionId,
        /// Who.
        peer: PeerId,
        /// What it said.
        identity: Box<Identity>,
        /// It told us unasked: of a change, or with its first words on a circuit that it made.
        pushed: bool,
    },
    /// A peer did not say who it is.
    IdentifyFailed {
        /// On which connection.
        connection: ConnectionId,
        /// Who.
        peer: PeerId,
        /// Why.
        why: SmolStr,
    },
    /// A wish for a stream did not come true.
    OpenFailed {
        /// Which.
        open: OpenId,
        /// With whom.
        peer: PeerId,
        /// Why.
        why: OpenFailure,
    },
    /// The addresses that we announce changed: all of them, the best first.
    Announced {
        /// Where we can be reached, as far as we know.
        addresses: Vec<Multiaddr>,
    },
    /// What is known of our being behind a NAT changed.
    NatStatus(NatStatus),
    /// What came of having a listener's port mapped at the router, as it was said.
    PortMapping(PortMapping),
    /// Of the relay that we are: reservations, circuits, refusals. Of those the first is told at once; those that follow on the same
    /// connection within [`Config::refusals_interval`](crate::Config::refusals_interval) are told together, with their `count`.
    Relay(tidewire_relay::server::Event),
    /// Of relays that serve us: reservations, circuits that ended or were refused. Refusals of circuits are told together as those of
    /// streams are.
    RelayClient(tidewire_relay::client::Event),
    /// Whether to accept a circuit, if `relay.client.ask_application` is set.
    /// [`RelayCommand::Accept`](crate::RelayCommand::Accept) answers it.
    CircuitAsks {
        /// The stream of the request.
        stream: StreamKey,
        /// Through whom.
        relay: PeerId,
        /// From whom.
        source: PeerId,
        /// What the relay gives it.
        limit: Limit,
    },
    /// Of hole punches: what is tried, and at the end what came of it.
    Punch(tidewire_dcutr::coordinator::Event),
    /// Of AutoRelay: relays that are held, and dropped.
    AutoRelay(tidewire_relay::autorelay::Event),
    /// AutoRelay wants to know peers that may be relays.
    /// [`RelayCommand::Candidates`](crate::RelayCommand::Candidates) answers it, if there is a source.
    RelaysWanted {
        /// How many there is room for.
        count: u32,
    },
    /// We are a public relay: let others find us, by a rendezvous point or a DHT, say.
    /// [`RelayCommand::Advertised`](crate::RelayCommand::Advertised) or `AdvertiseFailed` answers it.
    Advertise {
        /// Under this key.
        key: SmolStr,
        /// For so long.
        ttl: Duration,
    },
    /// Let others find us no more, as far as that can be taken back.
    Withdraw {
        /// Under this key.
        key: SmolStr,
    },
    /// The relay's rules leave this to the application. [`RelayCommand::Decide`](crate::RelayCommand::Decide) answers it.
    RelayAsks {
        /// The stream of the request.
        stream: StreamKey,
        /// Who asks.
        peer: PeerId,
        /// For what.
        asked: Asked,
    },
}

/// Why a wish for a stream did not come true.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenFailure {
    /// There is no connection, and the caller did not want to dial.
    NotConnected,
    /// There is no connection, and dialing failed.
    Dial(Box<DialReport>),
    /// It took too long.
    TimedOut {
        /// The limit.
        timeout: Duration,
        /// All the time there was only a connection that a relay limits.
        limited: bool,
    },
    /// The link could not open it.
    Link(OpenFault),
    /// As many wishes wait as may.
    TooMany {
        /// The limit.
        limit: u32,
    },
    /// We are shutting down.
    Shutdown,
}

impl fmt::Display for OpenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenFailure::NotConnected => f.write_str("there is no connection to this peer"),
            OpenFailure::Dial(report) => report.fmt(f),
            OpenFailure::TimedOut { timeout, limited: false } => write!(f, "it was not there within {timeout:?}"),
            OpenFailure::TimedOut { timeout, limited: true } => write!(
                f,
                "within {timeout:?} there was no connection to this peer but one that a relay limits (OpenOptions::limited allows it)"
            ),
            OpenFailure::Link(fault) => fault.fmt(f),
            OpenFailure::TooMany { limit } => write!(f, "{limit} streams wait to be opened already, as many as may"),
            OpenFailure::Shutdown => f.write_str("we are shutting down"),
        }
    }
}

impl core::error::Error for OpenFailure {}
