//! What the table of components is told and what it says: names, routes, caps, mistakes.

use core::fmt;
use smol_str::{SmolStr, format_smolstr};
use thiserror::Error;
use tidewire_core::PeerId;

/// A component of the application. The caller's number; free again once it was unregistered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId(pub u64);

/// A message, whose bytes the caller keeps. The caller's number, handed back and not looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

impl fmt::Debug for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "component {}", self.0)
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The caps of [`Components`](super::Components). Plain data: take the default and change what you need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComponentsConfig {
    /// Components at one time. Default 64.
    pub max_components: usize,
    /// Names of protocols that are registered at one time. Default 256.
    pub max_protocols: usize,
    /// Opcodes that are listed at one time, over all protocols. Default 4,096.
    pub max_opcodes: usize,
    /// Bytes of a protocol's name. Default 1,023, as multistream-select's frames of 1,024 have room for, with the newline.
    pub max_name: usize,
    /// Peers that are connected at one time, 45 to 90 bytes each. Default 65,536; more than the connection manager lets in
    /// by default, so that it is the one to say no.
    pub max_peers: usize,
    /// Actions that may wait because the caller did not poll. Default 65,536. Who polls until `None` after each input keeps
    /// none waiting, whatever the number of peers and components.
    pub max_actions: usize,
}

impl Default for ComponentsConfig {
    fn default() -> Self {
        ComponentsConfig {
            max_components: 64,
            max_protocols: 256,
            max_opcodes: 4096,
            max_name: 1023,
            max_peers: 65_536,
            max_actions: 65_536,
        }
    }
}

/// Messages that a component wants: of one protocol, all or some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// The protocol's name, byte for byte.
    pub protocol: &'a str,
    /// Which of its messages.
    pub opcodes: Opcodes<'a>,
}

/// Which messages of a protocol. What an opcode is, the protocol says; the caller reads it from the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcodes<'a> {
    /// Every message that has no opcode, or one that no component listed. One component a protocol.
    All,
    /// Messages with one of these opcodes. One component an opcode; at least one opcode.
    Listed(&'a [u64]),
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input<'a> {
    /// Add a component behind those that there are. While running it is started at once, and told of every connected peer.
    Register {
        /// The caller's name for it from here on.
        component: ComponentId,
        /// What it wants to receive. May be empty: it is told of peers alone.
        protocols: &'a [Route<'a>],
    },
    /// Take a component and its routes away. While running it is told that its peers are gone, and to stop.
    Unregister {
        /// Which.
        component: ComponentId,
    },
    /// The application starts.
    Start,
    /// A peer is connected: its first connection is there. Legal while stopped; told at the next start.
    Connected {
        /// Who.
        peer: PeerId,
    },
    /// A peer is no longer connected: its last connection is gone.
    Disconnected {
        /// Who.
        peer: PeerId,
    },
    /// A message came. Answered by exactly one `Deliver` or `Unrouted`.
    Message {
        /// The caller's name for it.
        message: MessageId,
        /// From whom.
        peer: PeerId,
        /// Of which protocol.
        protocol: &'a str,
        /// Its opcode, if the protocol has such.
        opcode: Option<u64>,
    },
    /// The application stops. Components and connected peers are kept, for another start.
    Stop,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Start this component.
    Start {
        /// Which.
        component: ComponentId,
    },
    /// Tell this component that a peer is connected.
    Connected {
        /// Whom to tell.
        component: ComponentId,
        /// Who is connected.
        peer: PeerId,
    },
    /// Tell this component that a peer is no longer connected, or, at its end, no longer its concern.
    Disconnected {
        /// Whom to tell.
        component: ComponentId,
        /// Who is gone.
        peer: PeerId,
    },
    /// Give a message to this component.
    Deliver {
        /// Whom to give it to.
        component: ComponentId,
        /// Which.
        message: MessageId,
        /// From whom.
        peer: PeerId,
        /// Of which protocol.
        protocol: SmolStr,
        /// Its opcode, as it came in.
        opcode: Option<u64>,
    },
    /// Nobody gets this message. Drop it, and log it or answer the peer, as the protocol has it.
    Unrouted {
        /// Which.
        message: MessageId,
        /// From whom.
        peer: PeerId,
        /// Of which protocol; cut to [`ComponentsConfig::max_name`] bytes.
        protocol: SmolStr,
        /// Its opcode, as it came in.
        opcode: Option<u64>,
        /// Why.
        why: Unrouted,
    },
    /// Stop this component. It is told nothing more, unless it is started again.
    Stop {
        /// Which.
        component: ComponentId,
    },
}

/// Why nobody gets a message. The first that holds, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Unrouted {
    /// The components are not started.
    NotRunning,
    /// Its peer is not connected: it came before `Connected`, or after `Disconnected`.
    NotConnected,
    /// No component wants anything of this protocol.
    NoProtocol,
    /// Some component wants other messages of this protocol, and none wants this.
    NoOpcode,
}

impl fmt::Display for Unrouted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unrouted::NotRunning => "the components are not started",
            Unrouted::NotConnected => "its peer is not connected",
            Unrouted::NoProtocol => "no component is registered for its protocol",
            Unrouted::NoOpcode => "no component is registered for its opcode, nor for all others of its protocol",
        })
    }
}

/// What the caller of [`Components`](super::Components) did wrong. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The id is in use.
    #[error("{0} is registered already")]
    ComponentExists(ComponentId),
    /// No such component: it was never registered, or was unregistered.
    #[error("there is no {0}: it was never registered, or was unregistered")]
    UnknownComponent(ComponentId),
    /// A route that another component has, or that stands twice in one registration.
    #[error("{} go to {owner} already", messages(protocol, *opcode))]
    Taken {
        /// Of which protocol.
        protocol: SmolStr,
        /// Which opcode; `None` for [`Opcodes::All`].
        opcode: Option<u64>,
        /// Who has it; the component itself, if it stands twice in its registration.
        owner: ComponentId,
    },
    /// [`Opcodes::Listed`] without any opcode.
    #[error("the route for {protocol} lists no opcode, so nothing would ever come by it")]
    NoOpcodes {
        /// Of which protocol.
        protocol: SmolStr,
    },
    /// A protocol's name is empty or too long.
    #[error("a protocol's name has 1 to {max} bytes, this one has {len}")]
    NameLength {
        /// Bytes of the name.
        len: usize,
        /// [`ComponentsConfig::max_name`].
        max: usize,
    },
    /// [`ComponentsConfig::max_components`].
    #[error("there are {max} components already, as many as the configuration allows")]
    TooManyComponents {
        /// The cap.
        max: usize,
    },
    /// [`ComponentsConfig::max_protocols`].
    #[error("there would be more than {max} protocols, which is the most that the configuration allows")]
    TooManyProtocols {
        /// The cap.
        max: usize,
    },
    /// [`ComponentsConfig::max_opcodes`].
    #[error("there would be more than {max} listed opcodes, which is the most that the configuration allows")]
    TooManyOpcodes {
        /// The cap.
        max: usize,
    },
    /// [`ComponentsConfig::max_peers`].
    #[error("{max} peers are connected already, as many as the configuration allows")]
    TooManyPeers {
        /// The cap.
        max: usize,
    },
    /// `Start` twice.
    #[error("the components are started already")]
    AlreadyRunning,
    /// `Stop` without `Start`.
    #[error("the components are not started")]
    NotRunning,
    /// `Connected` twice for one peer.
    #[error("peer {0} is connected already: tell of its first connection alone")]
    AlreadyConnected(PeerId),
    /// `Disconnected` for a peer that is not connected.
    #[error("peer {0} is not connected: tell of its last connection alone")]
    NotConnected(PeerId),
    /// Too many actions wait. Poll until `None`, and give the input again.
    #[error(
        "{waiting} actions wait to be polled, and at most {max} may: poll until there are none, then give the input again"
    )]
    NotPolled {
        /// How many wait.
        waiting: usize,
        /// [`ComponentsConfig::max_actions`].
        max: usize,
    },
}

fn messages(protocol: &str, opcode: Option<u64>) -> SmolStr {
    match opcode {
        Some(opcode) => format_smolstr!("messages of {protocol} with opcode {opcode}"),
        None => format_smolstr!("all other messages of {protocol}"),
    }
}
