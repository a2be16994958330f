//! Whom to dial, where, in which order, and what came of it.

use crate::limits::LimitExceeded;
use crate::{DialId, Resources};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::{Multiaddr, PeerId};

/// How peers are dialed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialConfig {
    /// The delays between addresses of one peer.
    pub delays: Delays,
    /// Time for one address. Default 15 s (go-libp2p).
    pub address_timeout: Duration,
    /// Time for one address that is private or on this machine. Default 5 s (go-libp2p).
    pub local_timeout: Duration,
    /// Time for a peer, all addresses together. Default 60 s (go-libp2p).
    pub peer_timeout: Duration,
    /// Dials at one time that take a file descriptor (all but QUIC and its kin). Default 160 (go-libp2p), at most a quarter of what there are.
    pub file_descriptors: u32,
    /// Dials at one time, all together. Default 640.
    pub at_once: u32,
    /// Dials at one time to one peer. Default 8 (go-libp2p).
    pub per_peer: u32,
    /// Addresses of one peer that are considered; the best ranked stay. Default 64.
    pub max_addresses: u32,
    /// Peers that are dialed or wait for it. Default 1,024.
    pub max_jobs: u32,
    /// Callers that wait for one peer. Default 256.
    pub max_requests: u32,
    /// Backoff after the first failure at an address. Default 5 s (go-libp2p).
    pub backoff_base: Duration,
    /// Backoff is the base plus this times the square of the failures before. Default 1 s (go-libp2p).
    pub backoff_coefficient: Duration,
    /// Greatest backoff. Default 5 min (go-libp2p).
    pub backoff_max: Duration,
    /// Each backoff is longer by up to this many percent, from the seed. Default 25.
    pub backoff_jitter: u32,
    /// Addresses in backoff that are remembered; the one that ends first goes. Default 8,192.
    pub max_backoffs: u32,
    /// Black holes: of the last so many dials over UDP, or to IPv6... Default 100 (go-libp2p).
    pub black_hole_window: u32,
    /// ...at least so many must succeed. Default 5 (go-libp2p).
    pub black_hole_successes: u32,
    /// In a black hole, one dial in so many is made all the same, to notice its end. Default 100 (go-libp2p).
    pub black_hole_probe: u32,
    /// Rules of the gate. Default 4,096.
    pub max_rules: u32,
}

impl DialConfig {
    /// Sized to the machine.
    pub fn for_resources(resources: Resources) -> Self {
        DialConfig { file_descriptors: (resources.file_descriptors / 4).clamp(1, 160), ..DialConfig::default() }
    }
}

impl Default for DialConfig {
    fn default() -> Self {
        DialConfig {
            delays: Delays::default(),
            address_timeout: Duration::from_secs(15),
            local_timeout: Duration::from_secs(5),
            peer_timeout: Duration::from_secs(60),
            file_descriptors: 160,
            at_once: 640,
            per_peer: 8,
            max_addresses: 64,
            max_jobs: 1024,
            max_requests: 256,
            backoff_base: Duration::from_secs(5),
            backoff_coefficient: Duration::from_secs(1),
            backoff_max: Duration::from_secs(300),
            backoff_jitter: 25,
            max_backoffs: 8192,
            black_hole_window: 100,
            black_hole_successes: 5,
            black_hole_probe: 100,
            max_rules: 4096,
        }
    }
}

/// Time between one address and the next (go-libp2p's dial ranker; RFC 8305 section 5 for the 250 ms).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delays {
    /// Between steps of public addresses over TCP. Default 250 ms.
    pub public_tcp: Duration,
    /// Between steps of public addresses over QUIC. Default 250 ms.
    pub public_quic: Duration,
    /// Between steps of private addresses over TCP. Default 30 ms.
    pub private_tcp: Duration,
    /// Between steps of private addresses over QUIC. Default 30 ms.
    pub private_quic: Duration,
    /// Before relayed addresses, if there are public ones. Default 500 ms.
    pub relayed: Duration,
    /// Before transports that are neither TCP nor QUIC. Default 1 s.
    pub other: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Delays {
            public_tcp: Duration::from_millis(250),
            public_quic: Duration::from_millis(250),
            private_tcp: Duration::from_millis(30),
            private_quic: Duration::from_millis(30),
            relayed: Duration::from_millis(500),
            other: Duration::from_secs(1),
        }
    }
}

/// How one wish to be connected is carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialOptions {
    /// Only a direct connection will do: relayed ones don't answer the wish, relayed addresses are not dialed.
    pub direct_only: bool,
    /// Pass over backoff and black holes.
    pub forced: bool,
    /// Dial even when there is a connection.
    pub new: bool,
}

/// Why a dial failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialFault {
    /// The transport could not be connected: refused, unreachable, reset.
    #[error("the transport failed: {0}")]
    Transport(SmolStr),
    /// The transport was connected, its upgrade failed.
    #[error("the upgrade failed: {0}")]
    Upgrade(SmolStr),
    /// Another peer than the expected one answered.
    #[error("another peer answered: {0}")]
    WrongPeer(PeerId),
    /// The caller's gate forbids it. Costs no backoff.
    #[error("forbidden: {0}")]
    Gated(SmolStr),
    /// The caller has no transport for this address. Costs no backoff.
    #[error("there is no transport for it")]
    NoTransport,
    /// It took longer than allowed.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// A limit of ours stands against it. Costs no backoff.
    #[error("{0}")]
    Limit(LimitExceeded),
    /// Resources of this machine ran out (descriptors, ports). Costs no backoff.
    #[error("this machine can't: {0}")]
    Local(SmolStr),
}

/// What came of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was dialed and failed.
    Failed(DialFault),
    /// It was dialed, and aborted: another was faster, all callers left, or the peer's time was over.
    Aborted,
    /// It was not dialed: the time was over, or another was faster, before its turn.
    NotTried,
    /// It was not dialed: a failure a short time ago.
    Backoff {
        /// How long it is still left alone.
        remaining: Duration,
    },
    /// It was not dialed: dials of its kind fail here.
    BlackHole {
        /// Which kind.
        kind: &'static str,
    },
    /// It was not dialed: a rule forbids it.
    Denied {
        /// The rule's reason.
        why: SmolStr,
    },
    /// It was not dialed: relayed, and only a direct one would do.
    Relayed,
    /// It was not dialed: it names another peer.
    OtherPeer(PeerId),
    /// It was not dialed: our own, or one that can't be dialed (unspecified, multicast, no transport that we know).
    Undialable,
    /// It was not dialed: there were too many, and this one ranked last.
    TooMany,
}

/// One address in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressReport {
    /// Where.
    pub address: Multiaddr,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took, from its dial to its end. Zero if it was not dialed.
    pub took: Duration,
}

/// Why a wish to be connected did not come true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialReport {
    /// With whom.
    pub peer: PeerId,
    /// In one clause.
    pub why: DialFailure,
    /// Each address that was considered, in the order of their rank.
    pub addresses: Vec<AddressReport>,
    /// How long it took.
    pub took: Duration,
}

/// Why a wish to be connected did not come true, in one clause.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialFailure {
    /// There is nothing to dial.
    #[error("no address of this peer is known")]
    NoAddresses,
    /// There are addresses, and none may be dialed.
    #[error("none of its {0} addresses may be dialed")]
    NoneDialable(usize),
    /// All that were dialed failed.
    #[error("all {0} addresses failed")]
    AllFailed(usize),
    /// The time for the peer was over.
    #[error("not connected within {0:?}")]
    Timeout(Duration),
    /// A rule forbids the peer.
    #[error("the peer is forbidden: {0}")]
    Denied(SmolStr),
    /// The peer is ourselves.
    #[error("the peer is ourselves")]
    Ourselves,
    /// Too many peers are being dialed, or too many callers wait for this one.
    #[error("there are {cap} {what} already, which is the most")]
    Full {
        /// Of what.
        what: &'static str,
        /// The cap.
        cap: u32,
    },
    /// The application disconnected from the peer meanwhile.
    #[error("the application disconnected from it: {0}")]
    Disconnected(SmolStr),
    /// We are shutting down.
    #[error("we are shutting down")]
    Shutdown,
}

/// What a rule of the gate is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GateRule {
    /// This peer, both ways.
    Peer(PeerId),
    /// This network, both ways. Bits beyond the prefix are ignored.
    Subnet(IpAddr, u8),
    /// This very address, outbound.
    Address(Multiaddr),
}

/// What the caller did wrong with a dial. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialMisuse {
    /// No such dial: it never was, ended, or was aborted.
    #[error("there is no dial {0}: it never was, ended, or was aborted")]
    UnknownDial(DialId),
    /// The dial's transport was reported as connected already.
    #[error("dial {0} was reported as connected already")]
    AlreadyConnected(DialId),
    /// The gate is full.
    #[error("the gate has {0} rules already, which is the most")]
    TooManyRules(u32),
    /// No network has such a prefix.
    #[error("{0} has no prefix of {1} bits")]
    Prefix(IpAddr, u8),
}
