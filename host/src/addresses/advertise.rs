//! What we announce: a pure function of all that it depends on, with the reason for each address.
//!
//! ```text
//! extra | external, by confidence | listening, public | relayed | listening, private | loopback     in this order
//!    each: may it be announced by its kind, the NAT's status, the policy, the filters? was it there before? is there room?
//! ```

use super::external::{Confidence, External, NatStatus, Reachability};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;
use core::net::IpAddr;
use tidewire_core::{Component, Multiaddr, Reach, Transport};

/// All that the announced addresses depend on. The order within the lists doesn't matter, but for that of
/// [`Policy::extra`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdvertiseInputs {
    /// Where we listen, with real ports. `0.0.0.0` and `::` stand for the [`interfaces`](AdvertiseInputs::interfaces).
    pub listening: Vec<Multiaddr>,
    /// The IP addresses of this machine.
    pub interfaces: Vec<IpAddr>,
    /// What is known beyond that: [`Externals::as_slice`](super::Externals::as_slice).
    pub external: Vec<External>,
    /// Where relays hold a reservation for us, with `/p2p-circuit` at the end.
    pub relayed: Vec<Multiaddr>,
    /// Whether peers on the internet can dial us.
    pub nat: NatStatus,
    /// What the application wants.
    pub policy: Policy,
}

/// What the application wants to be announced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Policy {
    /// Announced in any case, first and in this order. No filter applies.
    pub extra: Vec<Multiaddr>,
    /// Not announced.
    pub deny: Vec<Filter>,
    /// Whether private addresses are announced: peers in the same network can use them. Default true (go-libp2p).
    pub private: bool,
    /// Whether link-local addresses are. They need a zone, which means nothing elsewhere. Default false.
    pub link_local: bool,
    /// Whether loopback addresses are. Default [`Loopback::Alone`].
    pub loopback: Loopback,
    /// Whether addresses that no router carries are: of documentation, reserved, multicast. For networks that are simulated.
    /// Default false.
    pub unroutable: bool,
    /// Most addresses that are announced. Default 100.
    pub max: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            extra: Vec::new(),
            deny: Vec::new(),
            private: true,
            link_local: false,
            loopback: Loopback::default(),
            unroutable: false,
            max: 100,
        }
    }
}

/// Whether loopback addresses are announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Loopback {
    /// Never.
    Never,
    /// If there is nothing else: such a node means its own machine.
    #[default]
    Alone,
    /// Like private ones.
    Always,
}

/// Addresses that are not announced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Filter {
    /// This one.
    Address(Multiaddr),
    /// Those with an IP address whose first `prefix` bits are those of `ip`.
    Network {
        /// Any address of the network.
        ip: IpAddr,
        /// Bits that are the same, up to 32 or 128.
        prefix: u8,
    },
    /// Those that are dialed this way.
    Transport(Transport),
    /// Those through a relay.
    Relayed,
}

/// An address, and whether it is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// Without our peer id at its end.
    pub address: Multiaddr,
    /// Why it is announced, or why not.
    pub why: Why,
}

/// Why an address is announced, or why not. `Display` gives a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// In: the policy's [`extra`](Policy::extra).
    Extra,
    /// In: others dialed it, and got through.
    Verified,
    /// In: the application says that it is ours.
    Manual,
    /// In: a router forwards it to us.
    Mapped,
    /// In: others see us there.
    Observed {
        /// Different networks of these.
        by: u32,
    },
    /// In: we listen there.
    Listening,
    /// In: a relay listens there for us.
    Relayed,
    /// Out: it stands for all interfaces.
    AllInterfaces,
    /// Out: nobody can dial it.
    Undialable,
    /// Out: others dialed it, and didn't get through.
    Unreachable,
    /// Out: we are behind a NAT, and a relay can be used instead.
    BehindNat,
    /// Out: we can be dialed directly.
    NoRelayNeeded,
    /// Out: the policy leaves out what is not to be reached from everywhere.
    Reach(
        /// From where it can be reached.
        Reach,
    ),
    /// Out: a filter of the policy.
    Denied {
        /// Its place in [`Policy::deny`].
        filter: usize,
    },
    /// Out: it is announced already.
    Duplicate,
    /// Out: there are more important ones.
    Surplus {
        /// [`Policy::max`].
        max: usize,
    },
}

/// The addresses to announce, the most important ones first.
///
/// ```
/// use tidewire_host::addresses::{AdvertiseInputs, advertised, explain};
///
/// let mut inputs = AdvertiseInputs::default();
/// inputs.listening = vec!["/ip4/0.0.0.0/tcp/4001".parse()?];
/// inputs.interfaces = vec!["127.0.0.1".parse()?, "192.168.1.7".parse()?];
/// assert_eq!(advertised(&inputs), ["/ip4/192.168.1.7/tcp/4001".parse()?]);
///
/// let why: Vec<_> = explain(&inputs).iter().map(|decision| decision.to_string()).collect();
/// assert_eq!(why, [
///     "+ /ip4/192.168.1.7/tcp/4001: we listen there",
///     "- /ip4/0.0.0.0/tcp/4001: it stands for all interfaces",
///     "- /ip4/127.0.0.1/tcp/4001: its reach is Loopback, and the policy leaves that out",
/// ]);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub fn advertised(inputs: &AdvertiseInputs) -> Vec<Multiaddr> {
    explain(inputs).into_iter().filter(Decision::is_announced).map(|decision| decision.address).collect()
}

/// A decision for each address: those that are announced first, in order of importance, then the others.
pub fn explain(inputs: &AdvertiseInputs) -> Vec<Decision> {
    let mut offers = Vec::new();
    for (at, address) in inputs.policy.extra.iter().enumerate() {
        offers.push(Offer { rank: Rank::Extra(at), why: Why::Extra, address: address.without_peer_id() });
    }
    inputs.external.iter().filter(|known| known.is_claimed()).for_each(|known| offers.push(Offer::external(known)));
    let mut unusable = Vec::new();
    inputs.listening.iter().for_each(|address| listening(inputs, address, &mut offers, &mut unusable));
    for address in &inputs.relayed {
        offers.push(Offer { rank: Rank::Relayed, why: Why::Relayed, address: address.without_peer_id() });
    }
    offers.sort_unstable_by(|a, b| (a.rank, &a.address).cmp(&(b.rank, &b.address)));

    let context = Context::of(inputs);
    let mut decided = Decided { announced: Vec::new(), others: unusable, known: BTreeSet::new() };
    let mut waiting = Vec::new();
    for offer in offers {
        let why = context.judge(&offer);
        // Whether a loopback address is alone is known when all others are decided.
        let alone = why == Why::Reach(Reach::Loopback) && inputs.policy.loopback == Loopback::Alone;
        if alone { waiting.push(offer) } else { decided.add(offer, why, inputs.policy.max) }
    }
    let alone = decided.announced.is_empty();
    for offer in waiting {
        let why = if alone { offer.why } else { Why::Reach(Reach::Loopback) };
        decided.add(offer, why, inputs.policy.max);
    }
    decided.others.sort_by(|a, b| a.address.cmp(&b.address));
    decided.announced.append(&mut decided.others);
    decided.announced
}

/// An address that might be announced.
struct Offer {
    rank: Rank,
    /// Why it would be.
    why: Why,
    address: Multiaddr,
}

/// What is more important comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Extra(usize),
    External(Reverse<Confidence>),
    Public,
    Relayed,
    Near,
}

/// What all addresses are judged by.
struct Context<'a> {
    inputs: &'a AdvertiseInputs,
    /// An address was dialed from outside: nobody needs a relay.
    verified: bool,
}

struct Decided {
    announced: Vec<Decision>,
    others: Vec<Decision>,
    /// All addresses that are in either.
    known: BTreeSet<Multiaddr>,
}

impl Offer {
    fn external(known: &External) -> Self {
        let confidence = known.confidence();
        let why = match confidence {
            Confidence::Verified => Why::Verified,
            Confidence::Manual => Why::Manual,
            Confidence::Mapped => Why::Mapped,
            Confidence::Observed { by } => Why::Observed { by },
            Confidence::Refuted | Confidence::Unclaimed => Why::Unreachable,
        };
        Offer { rank: Rank::External(Reverse(confidence)), why, address: known.address.without_peer_id() }
    }

    fn listening(address: Multiaddr) -> Self {
        let near = matches!(address.reach(), Reach::Private | Reach::Shared | Reach::LinkLocal | Reach::Loopback);
        Offer { rank: if near { Rank::Near } else { Rank::Public }, why: Why::Listening, address }
    }
}

/// The addresses of a listener.
fn listening(inputs: &AdvertiseInputs, address: &Multiaddr, offers: &mut Vec<Offer>, unusable: &mut Vec<Decision>) {
    let address = address.without_peer_id();
    let all = match address.ip() {
        Some(ip) if ip.is_unspecified() => ip,
        _ => return offers.push(Offer::listening(address)),
    };
    for ip in inputs.interfaces.iter().filter(|ip| ip.is_ipv4() == all.is_ipv4()) {
        if let Some(address) = on_interface(&address, *ip) {
            offers.push(Offer::listening(address));
        }
    }
    unusable.push(Decision { address, why: Why::AllInterfaces });
}

/// The address with another IP address in front.
fn on_interface(address: &Multiaddr, ip: IpAddr) -> Option<Multiaddr> {
    let rest: Vec<Component<'_>> = address.iter().skip(1).collect();
    Multiaddr::from(ip).encapsulate(&Multiaddr::from_components(&rest).ok()?).ok()
}

impl<'a> Context<'a> {
    fn of(inputs: &'a AdvertiseInputs) -> Self {
        let verified = inputs.external.iter().any(|known| known.reachability == Reachability::Reachable);
        Context { inputs, verified }
    }

    /// Whether an address may be announced, as far as it can be said without the others.
    fn judge(&self, offer: &Offer) -> Why {
        let Offer { rank, why, address } = offer;
        let policy = &self.inputs.policy;
        if address.is_empty() || address.is_unspecified() || address.port() == Some(0) {
            return Why::Undialable;
        }
        if let Rank::Extra(_) = rank {
            return Why::Extra;
        }
        if let Some(filter) = policy.deny.iter().position(|filter| filter.matches(address)) {
            return Why::Denied { filter };
        }
        if let Rank::Relayed = rank {
            let direct = self.verified || self.inputs.nat == NatStatus::Public;
            return if direct { Why::NoRelayNeeded } else { *why };
        }
        if *why == Why::Unreachable {
            return Why::Unreachable;
        }
        let reach = address.reach();
        let wanted = match reach {
            Reach::Public | Reach::Unknown => true,
            Reach::Private | Reach::Shared => policy.private,
            Reach::LinkLocal => policy.link_local,
            Reach::Loopback => policy.loopback == Loopback::Always,
            _ => policy.unroutable,
        };
        if !wanted {
            return Why::Reach(reach);
        }
        // What is known of it by other names than its own listener's.
        let dialed = self.inputs.external.iter().find(|known| known.address == *address);
        match dialed.map(External::confidence) {
            Some(Confidence::Verified) if *why == Why::Listening => Why::Verified,
            Some(Confidence::Refuted) => Why::Unreachable,
            _ if self.is_hidden(reach, why) => Why::BehindNat,
            _ => *why,
        }
    }

    /// Peers on the internet can't dial us, and have a relay instead: then only what is known better stays.
    fn is_hidden(&self, reach: Reach, why: &Why) -> bool {
        let elsewhere = !matches!(reach, Reach::Private | Reach::Shared | Reach::LinkLocal | Reach::Loopback);
        let guessed = matches!(why, Why::Listening | Why::Observed { .. } | Why::Mapped);
        self.inputs.nat == NatStatus::Private && !self.inputs.relayed.is_empty() && elsewhere && guessed
    }
}

impl Decided {
    fn add(&mut self, Offer { address, .. }: Offer, why: Why, max: usize) {
        let announced = self.announced.iter().any(|decision| decision.address == address);
        let why = if !why.is_announced() {
            why
        } else if announced {
            Why::Duplicate
        } else if self.announced.len() >= max {
            Why::Surplus { max }
        } else {
            why
        };
        if why.is_announced() {
            // What kept it out before was said of a weaker claim to the same address.
            self.others.retain(|decision| decision.address != address);
            self.known.insert(address.clone());
            self.announced.push(Decision { address, why });
        } else if announced || self.known.insert(address.clone()) {
            self.others.push(Decision { address, why });
        }
    }
}

impl Filter {
    /// Whether it is about this address.
    pub fn matches(&self, address: &Multiaddr) -> bool {
        match self {
            Filter::Address(denied) => denied.without_peer_id() == address.without_peer_id(),
            Filter::Network { ip, prefix } => address.ip().is_some_and(|found| shares_prefix(*ip, found, *prefix)),
            Filter::Transport(transport) => address.transport() == *transport,
            Filter::Relayed => address.is_relayed(),
        }
    }
}

fn shares_prefix(network: IpAddr, found: IpAddr, prefix: u8) -> bool {
    // The number of leading bits in which they are the same.
    let same = match (network.to_canonical(), found.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    same >= u32::from(prefix)
}

impl Decision {
    /// Whether the address is announced.
    pub const fn is_announced(&self) -> bool {
        self.why.is_announced()
    }
}

impl Why {
    /// Whether this is a reason to announce an address.
    pub const fn is_announced(&self) -> bool {
        match self {
            Why::Extra
            | Why::Verified
            | Why::Manual
            | Why::Mapped
            | Why::Observed { .. }
            | Why::Listening
            | Why::Relayed => true,
            Why::AllInterfaces
            | Why::Undialable
            | Why::Unreachable
            | Why::BehindNat
            | Why::NoRelayNeeded
            | Why::Reach(_)
            | Why::Denied { .. }
            | Why::Duplicate
            | Why::Surplus { .. } => false,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Extra => f.write_str("the policy adds it"),
            Why::Verified => f.write_str("others dialed it and got through"),
            Why::Manual => f.write_str("the application says that it is ours"),
            Why::Mapped => f.write_str("a router forwards it to us"),
            Why::Observed { by } => write!(f, "{by} networks see us there"),
            Why::Listening => f.write_str("we listen there"),
            Why::Relayed => f.write_str("a relay listens there for us"),
            Why::AllInterfaces => f.write_str("it stands for all interfaces"),
            Why::Undialable => f.write_str("nobody can dial it"),
            Why::Unreachable => f.write_str("others dialed it and didn't get through"),
            Why::BehindNat => f.write_str("we are behind a NAT, and a relay listens for us"),
            Why::NoRelayNeeded => f.write_str("we can be dialed without a relay"),
            Why::Reach(reach) => write!(f, "its reach is {reach:?}, and the policy leaves that out"),
            Why::Denied { filter } => write!(f, "filter number {filter} of the policy denies it"),
            Why::Duplicate => f.write_str("it is announced already"),
            Why::Surplus { max } => write!(f, "{max} more important ones are announced"),
        }
    }
}

/// `+` for what is announced, `-` for what is not.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_announced() { '+' } else { '-' };
        write!(f, "{sign} {}: {}", self.address, self.why)
    }
}
