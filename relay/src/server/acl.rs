//! Who may do what: rules as data, the first that fits decides.

use super::Network;
use alloc::vec::Vec;
use core::fmt;
use tidewire_core::PeerId;

/// What a peer asks of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Asked {
    /// A reservation.
    Reserve,
    /// A circuit.
    Connect {
        /// To whom.
        destination: PeerId,
    },
}

/// What a rule says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Verdict {
    /// Go on with the other checks.
    #[default]
    Allow,
    /// Refused with PERMISSION_DENIED.
    Deny,
    /// The application decides: [`Action::AskAcl`](super::Action::AskAcl), answered by
    /// [`Input::Decide`](super::Input::Decide).
    Ask,
}

/// Which requests a rule speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Scope {
    /// Both.
    #[default]
    Any,
    /// Reservations.
    Reserve,
    /// Circuits.
    Connect,
}

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Who {
    /// Anybody.
    #[default]
    Anybody,
    /// One peer.
    Peer(PeerId),
    /// Whoever comes from a network, given as an address and the length of its prefix in bits. Each family for itself.
    Network {
        /// An address in it.
        address: core::net::IpAddr,
        /// How many of its leading bits count.
        prefix: u8,
    },
    /// Whoever comes from an autonomous system, as the caller said with the connection.
    Asn(u32),
}

/// One rule. The default one fits every request, and allows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct AclRule {
    /// Which requests.
    pub scope: Scope,
    /// Who asks.
    pub who: Who,
    /// For circuits: to whom; `None` for anybody. A rule with one fits no reservation.
    pub destination: Option<PeerId>,
    /// What follows.
    pub verdict: Verdict,
}

/// Rules in order. The default has none, and allows everything.
///
/// ```
/// use tidewire_core::{Keypair, Seed};
/// use tidewire_relay::server::{Acl, AclRule, Scope, Verdict, Who};
///
/// let friend = Keypair::from_seed(&Seed::new([1; 32])).peer_id();
/// // Only a friend may reserve; anybody may be connected to it.
/// let rules = [
///     AclRule { who: Who::Peer(friend), ..AclRule::default() },
///     AclRule { scope: Scope::Reserve, verdict: Verdict::Deny, ..AclRule::default() },
/// ];
/// let acl = Acl { rules: rules.to_vec(), otherwise: Verdict::Allow };
/// # let _ = acl;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Acl {
    /// The first that fits decides.
    pub rules: Vec<AclRule>,
    /// If none does.
    pub otherwise: Verdict,
}

/// Who asks, as far as rules can tell.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    pub(super) peer: PeerId,
    pub(super) ip: Option<core::net::IpAddr>,
    pub(super) asn: Option<u32>,
}

impl Acl {
    pub(super) fn verdict(&self, asker: &Asker, asked: Asked) -> Verdict {
        self.rules.iter().find(|rule| rule.fits(asker, asked)).map_or(self.otherwise, |rule| rule.verdict)
    }

    pub(super) fn memory_used(&self) -> usize {
        self.rules.capacity() * size_of::<AclRule>()
    }
}

impl AclRule {
    fn fits(&self, asker: &Asker, asked: Asked) -> bool {
        let scope = match (self.scope, asked) {
            (Scope::Any, _) | (Scope::Reserve, Asked::Reserve) | (Scope::Connect, Asked::Connect { .. }) => true,
            (Scope::Reserve | Scope::Connect, _) => false,
        };
        let destination = match (self.destination, asked) {
            (None, _) => true,
            (Some(_), Asked::Reserve) => false,
            (Some(wanted), Asked::Connect { destination }) => wanted == destination,
        };
        let who = match self.who {
            Who::Anybody => true,
            Who::Peer(peer) => peer == asker.peer,
            Who::Asn(asn) => asker.asn == Some(asn),
            Who::Network { address, prefix } => asker.ip.is_some_and(|ip| within(ip, address, prefix)),
        };
        scope && destination && who
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asked::Reserve => f.write_str("a reservation"),
            Asked::Connect { destination } => write!(f, "a circuit to {destination}"),
        }
    }
}

fn within(ip: core::net::IpAddr, network: core::net::IpAddr, prefix: u8) -> bool {
    use core::net::IpAddr::{V4, V6};
    match (ip.to_canonical(), network.to_canonical()) {
        (V4(ip), V4(network)) => {
            let free = 32u32.saturating_sub(prefix.into());
            let mask = u32::MAX.checked_shl(free).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        (V6(ip), V6(network)) => {
            let free = 128u32.saturating_sub(prefix.into());
            let mask = u128::MAX.checked_shl(free).unwrap_or(0);
            ip.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

impl From<Network> for Who {
    fn from(network: Network) -> Who {
        Who::Network { address: network.address(), prefix: network.prefix() }
    }
}
