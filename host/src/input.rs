//! What a host is told.

use crate::link::Report;
use crate::{ConnectionId, DialId, ListenerId, OpenId, RequestId, StreamId};
use alloc::vec::Vec;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_connmgr::dial::{DialFault, DialOptions, GateRule};
use tidewire_connmgr::worth::{Bump, DecayingTag, TagChange};
use tidewire_core::{Multiaddr, PeerId, UnixTime};
use tidewire_multistream::{Protocol, Protocols};
use tidewire_relay::autorelay::Candidate;
use tidewire_relay::server::{Acl, CircuitEnd};
use tidewire_relay::{CircuitId, StreamKey};
use tidewire_upgrade::connection::Selection;

/// What a host is told: by the driver, by its links, by the application. Owned, so that it can be sent to whoever has the
/// host, and recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Input {
    /// A listener has this address. One that listens on all interfaces has several; each is said once.
    Listening {
        /// Which.
        listener: ListenerId,
        /// Where, with the port that it got.
        address: Multiaddr,
    },
    /// A listener has this address no more: an interface is gone.
    NotListening {
        /// Which.
        listener: ListenerId,
        /// Where.
        address: Multiaddr,
    },
    /// A listener is gone, with all its addresses, or never came to be.
    ListenerClosed {
        /// Which.
        listener: ListenerId,
        /// Why, in words.
        why: SmolStr,
    },
    /// The machine's network changed: another interface, address or route.
    NetworkChanged,

    /// A listener got a transport connection. Answered by `Accept` or `Refuse`.
    Incoming {
        /// The driver's name for it from here on.
        connection: ConnectionId,
        /// Our end.
        local: Multiaddr,
        /// The remote's end.
        remote: Multiaddr,
        /// The stream that it is made of, if [`Action::Carry`](crate::Action::Carry) asked for it.
        over: Option<(ConnectionId, StreamId)>,
        /// The autonomous system of the remote's IP address, if it is known: a relay may limit those.
        asn: Option<u32>,
    },
    /// A dial's transport is connected, and its link is made.
    Dialed {
        /// Which dial.
        dial: DialId,
        /// The driver's name for it from here on.
        connection: ConnectionId,
        /// Our end.
        local: Multiaddr,
        /// The remote's end, its name resolved.
        remote: Multiaddr,
    },
    /// A dial's transport was not connected.
    DialFailed {
        /// Which dial.
        dial: DialId,
        /// Why.
        fault: DialFault,
    },
    /// What a link reports. From a link that the host knows no more it is of no matter: reports and orders may cross.
    Report {
        /// Whose.
        connection: ConnectionId,
        /// What.
        report: Report,
    },

    /// Listen on this address. `Listening` or `ListenerClosed` says what came of it.
    Listen {
        /// The application's name for it.
        listener: ListenerId,
        /// Where.
        address: Multiaddr,
    },
    /// Listen there no more.
    Unlisten {
        /// Which.
        listener: ListenerId,
    },
    /// Be connected to this peer. Answered by [`tidewire_connmgr::Event::Dialed`] or `DialFailed`.
    Connect {
        /// The application's name for this wish.
        request: RequestId,
        /// To whom.
        peer: PeerId,
        /// Addresses beside those that are known.
        addresses: Vec<Multiaddr>,
        /// How.
        options: DialOptions,
    },
    /// The caller of `Connect` no longer wants it.
    CancelConnect {
        /// Which wish.
        request: RequestId,
    },
    /// A stream to this peer. Answered by [`StreamEvent::Opened`](crate::link::StreamEvent::Opened) at a link, or by
    /// [`Event::OpenFailed`](crate::Event::OpenFailed).
    Open {
        /// The application's name for this wish.
        open: OpenId,
        /// With whom.
        peer: PeerId,
        /// What is proposed, the preferred first.
        protocols: Protocols,
        /// How.
        options: OpenOptions,
    },
    /// The caller of `Open` no longer wants it.
    CancelOpen {
        /// Which wish.
        open: OpenId,
    },
    /// The protocols that links serve from here on, for identify to announce.
    Protocols(Vec<Protocol>),
    /// An address at which others reach us, though no listener has it: behind a port that was forwarded by hand, say.
    AddExternal {
        /// Where.
        address: Multiaddr,
    },
    /// An address that was added is no more. Idempotent.
    RemoveExternal {
        /// Where.
        address: Multiaddr,
    },
    /// What is known of our being behind a NAT.
    NatStatus(crate::addresses::NatStatus),
    /// The addresses under which relays lead to us that this host doesn't hold a reservation with itself: all of them, in place of
    /// those that were said before. They are announced beside those of its own reservations
    /// ([`RelayCommand::Reserve`], listeners at relays, AutoRelay), which it knows.
    Relayed(Vec<Multiaddr>),
    /// A word about peers and connections.
    Manage(Command),
    /// How far a circuit is that [`Action::Splice`](crate::Action::Splice) asked for: now and then, and at its end.
    Spliced {
        /// Which.
        circuit: CircuitId,
        /// It is over, and why.
        end: Option<CircuitEnd>,
        /// Bytes from the source to the destination so far.
        forward: u64,
        /// Bytes from the destination to the source.
        backward: u64,
    },
    /// A word about relays.
    Relay(RelayCommand),
    /// A word about hole punches.
    Punch(PunchCommand),
    /// The time on the wall clock, whenever that clock was set.
    WallClock(UnixTime),
    /// Close everything, dial and let in nothing more.
    ///
    /// As a relay we give circuits of others no time: they are reset at once, and reservations end. To let them go on for a while
    /// say [`RelayCommand::Drain`] with a grace first, wait for
    /// [`Drained`](tidewire_relay::server::Event::Drained), and then this: so does `tidewire relay`. Of connections that are made of
    /// circuits the goodbye goes out before the connections to their relays are closed, for at most
    /// [`goodbye`](crate::Relaying::goodbye).
    Shutdown,
    /// What came of having a listener's port mapped at the router (PCP, NAT-PMP, UPnP). What is mapped is an external address
    /// until it is lost. The application hears of it: [`Event::PortMapping`](crate::Event::PortMapping).
    PortMapping(crate::addresses::PortMapping),
}

/// How a stream is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct OpenOptions {
    /// A connection that a relay limits in bytes or time will do. Default: no, the stream waits for another one.
    pub limited: bool,
    /// Dial if there is no connection. Default: yes.
    pub dial: bool,
    /// Whether to go ahead with a single protocol. Default [`Selection::Lazy`].
    pub selection: Selection,
    /// Time until the stream is there. Default 60 s.
    pub timeout: Duration,
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions { limited: false, dial: true, selection: Selection::Lazy, timeout: Duration::from_secs(60) }
    }
}

/// A word about relays: as in [`tidewire_relay::client::Input`] and [`tidewire_relay::server::Input`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum RelayCommand {
    /// Hold a reservation with this relay, and announce the addresses through it.
    Reserve {
        /// Which.
        relay: PeerId,
        /// Where it is reached, beside what is known. May be empty if it is connected.
        addresses: Vec<Multiaddr>,
    },
    /// Hold it no more, unless somebody else wants it: a listener, say.
    Release {
        /// Which.
        relay: PeerId,
    },
    /// The answer to [`Event::CircuitAsks`](crate::Event::CircuitAsks).
    Accept {
        /// The stream of the request.
        stream: StreamKey,
        /// Whether to accept.
        allow: bool,
    },
    /// Peers that may be relays: the answer to [`Event::RelaysWanted`](crate::Event::RelaysWanted), or found otherwise.
    Candidates(Vec<Candidate>),
    /// The answer to [`Event::Advertise`](crate::Event::Advertise).
    Advertised {
        /// For how long; `None`: as asked.
        ttl: Option<Duration>,
    },
    /// The other answer: it could not be done.
    AdvertiseFailed,
    /// The answer to [`Event::RelayAsks`](crate::Event::RelayAsks).
    Decide {
        /// The stream of the request.
        stream: StreamKey,
        /// Whether to go on.
        allow: bool,
    },
    /// New access rules.
    Acl(Acl),
    /// Take nothing new, wait for the circuits, then end all.
    Drain {
        /// How long circuits may go on.
        grace: Duration,
    },
}

/// A word about hole punches. Without one they begin by themselves, when a circuit comes to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum PunchCommand {
    /// A direct connection to this peer is wanted now, whatever failed before. There is to be a relayed one.
    Punch {
        /// To whom.
        peer: PeerId,
    },
    /// It is wanted no more.
    Cancel {
        /// To whom.
        peer: PeerId,
    },
}

/// A word about peers and connections, for the connection manager: as there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Command {
    /// [`tidewire_connmgr::Input::Addresses`], from the application.
    Addresses {
        /// Whose.
        peer: PeerId,
        /// Where it may be.
        addresses: Vec<Multiaddr>,
        /// How long this may be believed.
        ttl: Duration,
    },
    /// [`tidewire_connmgr::Input::Protect`].
    Protect {
        /// Who.
        peer: PeerId,
        /// Why, and the key to take it back.
        reason: SmolStr,
    },
    /// [`tidewire_connmgr::Input::Unprotect`].
    Unprotect {
        /// Who.
        peer: PeerId,
        /// Which reason.
        reason: SmolStr,
    },
    /// [`tidewire_connmgr::Input::Tag`].
    Tag {
        /// Whose.
        peer: PeerId,
        /// Which tag.
        tag: SmolStr,
        /// To what.
        change: TagChange,
    },
    /// [`tidewire_connmgr::Input::DefineDecaying`].
    DefineDecaying {
        /// Its name.
        tag: SmolStr,
        /// How it decays.
        decay: DecayingTag,
    },
    /// [`tidewire_connmgr::Input::RemoveDecaying`].
    RemoveDecaying {
        /// Its name.
        tag: SmolStr,
    },
    /// [`tidewire_connmgr::Input::Bump`].
    Bump {
        /// Whose.
        peer: PeerId,
        /// Which tag.
        tag: SmolStr,
        /// By how much.
        bump: Bump,
    },
    /// [`tidewire_connmgr::Input::Unbump`].
    Unbump {
        /// Whose.
        peer: PeerId,
        /// Which tag.
        tag: SmolStr,
    },
    /// [`tidewire_connmgr::Input::KeepAlive`].
    KeepAlive {
        /// Who.
        peer: PeerId,
        /// Whether.
        on: bool,
    },
    /// [`tidewire_connmgr::Input::Deny`].
    Deny {
        /// Who or what.
        rule: GateRule,
        /// Why, in words.
        why: SmolStr,
    },
    /// [`tidewire_connmgr::Input::Allow`].
    Allow {
        /// Which rule.
        rule: GateRule,
    },
    /// [`tidewire_connmgr::Input::Close`].
    Close {
        /// Which connection.
        connection: ConnectionId,
        /// Why, in words.
        why: SmolStr,
    },
    /// [`tidewire_connmgr::Input::Disconnect`].
    Disconnect {
        /// Who.
        peer: PeerId,
        /// Why, in words.
        why: SmolStr,
    },
    /// [`tidewire_connmgr::Input::TrimNow`].
    TrimNow,
    /// [`tidewire_connmgr::Input::Emergency`].
    Emergency,
}
