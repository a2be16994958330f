//! What a NAT or a firewall does: the behaviours that RFC 4787, RFC 5382 and RFC 7857 name, as plain values.

use crate::packet::Unreachable;
use core::time::Duration;
use std::net::IpAddr;

/// How a NAT behaves. Take a preset, and change what matters:
///
/// ```
/// use tidewire_sim::nat::{Filtering, Nat};
///
/// let nat = Nat { filtering: Filtering::AddressDependent, hairpin: false, ..Nat::home_router() };
/// # let _ = nat;
/// ```
///
/// The default is what the RFCs ask for, with the filtering that most devices have: see [`Nat::default`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nat {
    /// Whether two remotes see the same inside endpoint as the same outer one.
    pub mapping: Mapping,
    /// Whose packets come in through a mapping.
    pub filtering: Filtering,
    /// Which outer port a new mapping gets.
    pub ports: Ports,
    /// An even inside port gets an even outer one, an odd one an odd one (RFC 4787 section 4.2.2). Default true.
    pub parity: bool,
    /// Which of several outer addresses a new mapping gets.
    pub pooling: Pooling,
    /// Those inside reach each other by their outer addresses (RFC 4787 section 6). Default true.
    pub hairpin: bool,
    /// What a TCP segment gets that nobody inside has asked for.
    pub unsolicited: Unsolicited,
    /// How long things are remembered.
    pub lifetimes: Lifetimes,
    /// The inside host that gets all that is for no mapping, at the same port: the "DMZ host" or "exposed host" of home routers,
    /// a `dnat` of everything on Linux. What it gets is not filtered. Default none.
    pub exposed: Option<IpAddr>,
    /// What happens to IPv6, which is not translated.
    pub ipv6: Firewall,
    /// How much is remembered.
    pub caps: Caps,
}

/// A firewall that keeps state: answers to what went out come in, and whatever else [`Firewall::filtering`] lets in. It
/// translates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firewall {
    /// Whose packets come in to an inside endpoint that has sent something. Default [`Filtering::AddressAndPortDependent`].
    pub filtering: Filtering,
    /// What a TCP segment gets that nobody inside has asked for. Default [`Unsolicited::Drop`].
    pub unsolicited: Unsolicited,
    /// How long things are remembered.
    pub lifetimes: Lifetimes,
    /// How much is remembered.
    pub caps: Caps,
}

/// When a mapping serves for another remote too: RFC 4787 section 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mapping {
    /// For any remote.
    EndpointIndependent,
    /// For all ports of the same remote address.
    AddressDependent,
    /// For this remote address and port alone: with [`Filtering::AddressAndPortDependent`], a "symmetric" NAT.
    AddressAndPortDependent,
}

/// Whose packets come in through a mapping: RFC 4787 section 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Filtering {
    /// Anybody's.
    EndpointIndependent,
    /// Of addresses to which something went out through it.
    AddressDependent,
    /// Of addresses and ports to which something went out through it.
    AddressAndPortDependent,
}

/// Which outer port a new mapping gets: RFC 4787 section 4.2. All stay in the range of the inside port, below 1024 or not
/// (RFC 4787 REQ-3b), and are free of other mappings unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ports {
    /// The inside port; where another mapping has it, the next free one above.
    Preserving,
    /// The inside port, even where other mappings have it, as long as none of them speaks with the same remote; else any by
    /// chance. What Linux does ("port overloading", which RFC 4787 REQ-3 and RFC 5382 REQ-7 forbid). Together with
    /// [`Mapping::AddressAndPortDependent`] each remote sees the same port, as long as there is no clash.
    Overloading,
    /// The last one that was given, and this much more; the first by chance. 0 counts as 1.
    Sequential {
        /// How much more.
        delta: u16,
    },
    /// Any, by chance (RFC 6056), from the world's seed.
    Random,
}

/// Which of several outer addresses a new mapping gets: RFC 4787 section 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pooling {
    /// All mappings of an inside address get the same one, as long as it has any.
    Paired,
    /// One after the other.
    Arbitrary,
}

/// What a TCP segment gets that nobody inside has asked for. Datagrams get nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unsolicited {
    /// Nothing.
    Drop,
    /// A reset, as from a router whose own system answers.
    Reset,
    /// If it is a SYN, word that the destination can't be reached, so much later; none if a SYN has gone the other way by then.
    /// RFC 5382 REQ-4 asks for [`Unreachable::Port`], 6 s later at least.
    Unreachable {
        /// Which.
        code: Unreachable,
        /// When.
        after: Duration,
    },
}

/// How long mappings and sessions are remembered without a packet that refreshes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// UDP. Default 5 min, which RFC 4787 REQ-5c recommends; less than 2 min breaks REQ-5.
    pub udp: Duration,
    /// Packets from outside refresh a UDP mapping too, not only those from inside (RFC 4787 REQ-6a leaves it open). Default
    /// false.
    pub udp_refresh_inbound: bool,
    /// TCP, before both ends have acknowledged the other's SYN, and after both have sent a FIN. Default 4 min; less breaks
    /// RFC 5382 REQ-5.
    pub tcp_transitory: Duration,
    /// TCP in between. Default 2 h 4 min; less breaks RFC 5382 REQ-5.
    pub tcp_established: Duration,
    /// TCP, after a RST. Default 4 min (RFC 7857 section 2.2). Zero: forgotten at once, as Linux does with a connection whose
    /// only answer is a RST.
    pub tcp_reset: Duration,
}

/// How much a NAT or a firewall remembers. What would be more is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Mappings. Default 65,536.
    pub max_mappings: usize,
    /// Mappings of one inside address (RFC 6888 REQ-4). Default no limit of its own.
    pub max_mappings_per_host: usize,
    /// Pairs of an inside and a remote endpoint. Default 262,144.
    pub max_sessions: usize,
    /// SYNs that are to be answered later. Default 1,024.
    pub max_held: usize,
}

impl Default for Firewall {
    /// Answers of those who were asked come in; nothing else does, without a word.
    fn default() -> Self {
        Firewall {
            filtering: Filtering::AddressAndPortDependent,
            unsolicited: Unsolicited::Drop,
            lifetimes: Lifetimes::default(),
            caps: Caps::default(),
        }
    }
}

impl Unsolicited {
    /// What RFC 5382 REQ-4 asks for: ICMP "port unreachable" after 6 s, unless a SYN went out by then.
    pub const LATER: Unsolicited = Unsolicited::Unreachable { code: Unreachable::Port, after: Duration::from_secs(6) };
    /// ICMP "administratively prohibited" at once, as many firewalls are set to do.
    pub const PROHIBITED: Unsolicited =
        Unsolicited::Unreachable { code: Unreachable::Prohibited, after: Duration::ZERO };
}

impl Default for Lifetimes {
    fn default() -> Self {
        Lifetimes {
            udp: Duration::from_secs(5 * 60),
            udp_refresh_inbound: false,
            tcp_transitory: Duration::from_secs(4 * 60),
            tcp_established: Duration::from_secs(2 * 3_600 + 4 * 60),
            tcp_reset: Duration::from_secs(4 * 60),
        }
    }
}

impl Default for Caps {
    fn default() -> Self {
        Caps { max_mappings: 65_536, max_mappings_per_host: usize::MAX, max_sessions: 262_144, max_held: 1_024 }
    }
}
