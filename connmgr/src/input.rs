//! What happened: everything that the connection manager is told.

use crate::dial::{DialFault, DialOptions};
use crate::metadata::Source;
use crate::worth::{Bump, DecayingTag, TagChange};
use crate::{By, ConnectionId, DialId, Direction, RequestId, StreamId};
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Role};

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// A listener got a transport connection; nothing was sent on it yet. Answered by `Accept` or `Refuse`.
    Incoming {
        /// The caller's name for it from here on.
        connection: ConnectionId,
        /// Where it comes from.
        remote: &'a Multiaddr,
    },
    /// A connection is upgraded: we know who is at the other end, and that it is. Answered by `Refuse`, or else it is in
    /// the book: `ConnectionOpened`, after `Connected` if it is the first to this peer.
    Established {
        /// Of an incoming one the name that it has; of a dialed one the caller's name from here on.
        connection: ConnectionId,
        /// Who is at the other end, proven.
        peer: PeerId,
        /// Where it comes from.
        origin: Origin<'a>,
        /// Our role in the security handshake, which is not always who dialed: both dial in a simultaneous open.
        role: Role,
        /// Whether the relay between us limits bytes or time. Only for relayed ones.
        limited: bool,
    },
    /// A connection is gone, pending or established, whoever ended it. Its streams are gone with it.
    Closed {
        /// Which.
        connection: ConnectionId,
        /// Who ended it; of no matter if this machine asked for it.
        by: By,
        /// The error, or the remote's reason, in words. Cut to 128 bytes.
        why: &'a str,
    },
    /// A stream was opened. Answered by `RefuseStream`, or else it is in the book.
    StreamOpened {
        /// On which connection.
        connection: ConnectionId,
        /// The caller's name for it, unique on its connection.
        stream: StreamId,
        /// Who opened it.
        direction: Direction,
        /// What it speaks, if that is known.
        protocol: Option<&'a str>,
    },
    /// A stream's protocol was agreed on. At most once a stream. Answered by `RefuseStream` if the protocol has too many.
    StreamProtocol {
        /// On which connection.
        connection: ConnectionId,
        /// Which stream.
        stream: StreamId,
        /// What it speaks.
        protocol: &'a str,
    },
    /// A stream is gone.
    StreamClosed {
        /// On which connection.
        connection: ConnectionId,
        /// Which stream.
        stream: StreamId,
    },
    /// What a connection makes us keep now: what its remote sent and nobody has read, above all. Tell it when it has changed by
    /// a good deal, not for each byte. It is in use already, so it counts in any case; what is above a cap of memory, is
    /// closed ([`CloseReason::Limit`](crate::CloseReason::Limit)): of the connections that the cap is for, those that hold most.
    Holds {
        /// Which connection.
        connection: ConnectionId,
        /// How much.
        bytes: u64,
    },
    /// Application data passed on a connection. Tell it now and then (a second apart is plenty), not for each byte: it
    /// holds off the idle close.
    Used {
        /// On which connection.
        connection: ConnectionId,
    },
    /// The answer to the `Ping` under way came.
    Pong {
        /// On which connection.
        connection: ConnectionId,
        /// How long it took.
        rtt: Duration,
    },
    /// The `Ping` under way can't be answered: the peer doesn't speak ping. It counts as alive, and is not asked again.
    PingUnsupported {
        /// On which connection.
        connection: ConnectionId,
    },

    /// Connect to this peer, or answer at once with the connection that there is. Answered by `Dialed` or `DialFailed`.
    Dial {
        /// The caller's name for this wish.
        request: RequestId,
        /// To whom.
        peer: PeerId,
        /// Addresses beside those that the peer's metadata holds.
        addresses: &'a [Multiaddr],
        /// How.
        options: DialOptions,
    },
    /// The caller of `Dial` no longer wants it. The dial ends when all who asked for it left.
    Cancel {
        /// Which wish.
        request: RequestId,
    },
    /// A dial's transport is connected, and its upgrade begins: from here on it is not aborted in favour of another. Say it
    /// before the first byte of the upgrade is sent: if both ends of a simultaneous dial aborted a handshake, each in favour of
    /// the other's, none would be left.
    DialProgress {
        /// Which dial.
        dial: DialId,
    },
    /// A dial failed, or was refused by the caller's gate.
    DialFailed {
        /// Which dial.
        dial: DialId,
        /// Why.
        fault: DialFault,
    },
    /// Our network changed (another interface, address or route): what we learnt about reaching addresses is void.
    NetworkChanged,

    /// Addresses of a peer, to be remembered.
    Addresses {
        /// Whose.
        peer: PeerId,
        /// Where it may be.
        addresses: &'a [Multiaddr],
        /// Who says so.
        source: Source,
        /// How long this may be believed.
        ttl: Duration,
    },
    /// What a peer said about itself.
    Identified {
        /// Who.
        peer: PeerId,
        /// What it speaks. Replaces what was known.
        protocols: &'a [&'a str],
        /// Its agent, if it said one. Replaces what was known.
        agent: Option<&'a str>,
    },

    /// Keep this peer's connections from being trimmed or evicted, for one more named reason. Idempotent.
    Protect {
        /// Who.
        peer: PeerId,
        /// Why, and the key to take it back.
        reason: &'a str,
    },
    /// Take one reason back. Idempotent.
    Unprotect {
        /// Who.
        peer: PeerId,
        /// Which.
        reason: &'a str,
    },
    /// Change a tag of a peer. A peer without a connection gets a temporary entry.
    Tag {
        /// Whose.
        peer: PeerId,
        /// Which tag.
        tag: &'a str,
        /// To what.
        change: TagChange,
    },
    /// Define a tag that decays with time.
    DefineDecaying {
        /// Its name. Defining a name again replaces how it decays, and keeps the values.
        tag: &'a str,
        /// How.
        decay: DecayingTag,
    },
    /// Take a decaying tag away, from all peers.
    RemoveDecaying {
        /// Its name.
        tag: &'a str,
    },
    /// Bump a decaying tag of a peer.
    Bump {
        /// Whose.
        peer: PeerId,
        /// A tag that was defined.
        tag: &'a str,
        /// By how much, and within what.
        bump: Bump,
    },
    /// Remove a decaying tag from one peer.
    Unbump {
        /// Whose.
        peer: PeerId,
        /// A tag that was defined.
        tag: &'a str,
    },
    /// Redial this peer whenever its last connection is lost, or stop doing so. Its connections are never closed for being
    /// idle. A trim may close them: protect it too if none may. After one, it is redialed after the greatest delay.
    KeepAlive {
        /// Who.
        peer: PeerId,
        /// Whether.
        on: bool,
    },

    /// Add a rule of the gate. Connections that it forbids are closed.
    Deny {
        /// Who or what.
        rule: crate::dial::GateRule,
        /// Why, in words.
        why: &'a str,
    },
    /// Take a rule of the gate away. Idempotent.
    Allow {
        /// Which.
        rule: crate::dial::GateRule,
    },

    /// Close one connection.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why, in words.
        why: &'a str,
    },
    /// Close all connections to a peer, and end the dial to it.
    Disconnect {
        /// Who.
        peer: PeerId,
        /// Why, in words.
        why: &'a str,
    },
    /// Trim now, whatever the silence says.
    TrimNow,
    /// Memory or descriptors ran out: trim to the low watermark over grace, and over protection if nothing else is left. Without
    /// a low watermark it closes nothing: nothing says how many may stay.
    Emergency,
    /// Close everything, dial and let in nothing more.
    Shutdown,
}

/// Where an established connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// It was `Incoming`.
    Incoming,
    /// A dial of ours became it.
    Dial(DialId),
    /// Something else made it: a hole punch, a caller that dials by itself. It counts against the limits from here on.
    Other {
        /// Who opened it.
        direction: Direction,
        /// Where the other end is.
        remote: &'a Multiaddr,
    },
}
