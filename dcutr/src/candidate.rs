//! Addresses that a punch may use: ours to tell, theirs to dial, and from which port of ours.
//!
//! ```text
//! ours    what the host knows of us --[offer]----> CONNECT      fit? ranked by source, capped
//! theirs  CONNECT, or identify ------[targets]---> dials        fit? not ours? ranked by what we can pair them with, capped
//!         one of those --------------[local_for]-> Local        same transport, same family
//! ```
//! Pure functions. An address is fit if it is TCP or QUIC to a public IP address and a port, without a relay (relay/DCUtR.md,
//! step 2: "observed (and possibly predicted) addresses"; the filters are go-libp2p's). What is kept is written anew, as `/ip4`
//! or `/ip6`, port, and nothing else, so that no two spellings of an address are dialed twice.
//!
//! ```
//! use tidewire_core::{Keypair, Multiaddr, Seed};
//! use tidewire_dcutr::candidate::{Candidate, Config, Source, Unfit, local_for, offer, targets};
//! use tidewire_dcutr::Local;
//!
//! let listener: Multiaddr = "/ip4/10.0.0.2/tcp/4001".parse()?;
//! let ours = [
//!     Candidate::new(listener.clone(), Source::Listened),
//!     Candidate { address: "/ip4/8.8.4.4/tcp/4001".parse()?, source: Source::Observed, local: Some(listener.clone()) },
//! ];
//! let offered = offer(&ours, &Config::default());
//! assert_eq!(offered.kept[0].address.to_string(), "/ip4/8.8.4.4/tcp/4001");
//! assert_eq!(offered.dropped[0].why, Unfit::NotPublic);
//!
//! let them = Keypair::from_seed(&Seed::new([1; 32])).peer_id();
//! let told = ["/ip4/1.1.1.1/tcp/4001".parse()?, "/ip4/1.1.1.1/tcp/0".parse()?];
//! let chosen = targets(&told, Source::Told, &them, &ours, &Config::default());
//! assert_eq!((chosen.kept.len(), chosen.dropped[0].why), (1, Unfit::NoPort));
//! assert_eq!(local_for(&chosen.kept[0].address, &ours), Local::Reuse(listener));
//! # Ok::<(), tidewire_core::MultiaddrError>(())
//! ```

#[cfg(test)]
mod tests;

use crate::Local;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::net::{IpAddr, SocketAddr};
use tidewire_core::{Component, Multiaddr, PeerId, Reach, Transport};

/// An address that a punch may use, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Candidate {
    /// Where.
    pub address: Multiaddr,
    /// Who says so.
    pub source: Source,
    /// Of ours: the listening address that it leads to; dials go out from that port. `None`: not known, or not ours.
    pub local: Option<Multiaddr>,
}

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Source {
    /// Ours: others have reached us there (AutoNAT, or an application that knows).
    Confirmed,
    /// Ours: a router was asked for it (NAT-PMP, PCP, UPnP).
    Mapped,
    /// Ours: others see us there.
    Observed,
    /// Ours: a socket listens there.
    Listened,
    /// Ours: the port that our NAT will probably give next.
    Predicted,
    /// The remote's: its `CONNECT` names it.
    Told,
    /// The remote's: its identify message names it.
    Identified,
}

/// The transport and the family of an address: only addresses of the same path can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Path {
    /// The transport.
    pub wire: Wire,
    /// The family.
    pub family: Family,
}

/// A transport that can be punched: relay/DCUtR.md, step 5, has a way for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Wire {
    /// `/udp/../quic-v1`
    Quic,
    /// `/tcp`, with nothing above it but a peer id.
    Tcp,
}

/// The family of an IP address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Family {
    /// IPv6.
    V6,
    /// IPv4.
    V4,
}

/// An address that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dropped {
    /// Which.
    pub address: Multiaddr,
    /// Who named it.
    pub source: Source,
    /// Why it is not used.
    pub why: Unfit,
}

/// Why an address is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Unfit {
    /// It goes through a relay: that is what the punch gets rid of.
    #[error("it goes through a relay")]
    Relayed,
    /// It names another peer.
    #[error("it names another peer")]
    OtherPeer,
    /// It begins with a name.
    #[error("it is a name, not an IP address")]
    Name,
    /// Neither TCP nor QUIC to an IP address, or one that is not used here.
    #[error("its transport can't be punched")]
    Transport,
    /// Its port is 0.
    #[error("its port is 0")]
    NoPort,
    /// It is not public.
    #[error("it is not public")]
    NotPublic,
    /// It is one of ours.
    #[error("it is our own address")]
    Ours,
    /// It was there before.
    #[error("it was named before")]
    Duplicate,
    /// There are enough better ones.
    #[error("there are enough better ones")]
    OverCap,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over {}", self.wire, self.family)
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wire::Tcp => "TCP",
            Wire::Quic => "QUIC",
        })
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Confirmed => "confirmed",
            Source::Mapped => "mapped",
            Source::Observed => "observed",
            Source::Listened => "listened",
            Source::Predicted => "predicted",
            Source::Told => "told",
            Source::Identified => "identified",
        })
    }
}

/// What is left of a list of addresses, best first, and what was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Selection {
    /// Usable, best first, at most [`Config::max`].
    pub kept: Vec<Candidate>,
    /// Not usable, at most [`Config::max_dropped`].
    pub dropped: Vec<Dropped>,
    /// How many more were dropped.
    pub further: usize,
}

/// Which addresses are used, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Config {
    /// Whether addresses that are not public are used as well, for peers in one network, and for laboratories. Never those that
    /// reach nobody: unspecified, multicast, link-local, reserved ones. Default no: a remote could have us dial around in our own network.
    pub allow_private: bool,
    /// Whether names are used as well; whoever dials resolves them. Default no.
    pub allow_names: bool,
    /// Whether TCP is punched. Default yes.
    pub tcp: bool,
    /// Whether QUIC is punched. Default yes.
    pub quic: bool,
    /// Most addresses that are kept. Default 8: each is a socket on a try, and go-libp2p dials 8 addresses of a peer at once.
    pub max: usize,
    /// Most ports of one IP address and transport that are kept, so that nobody has us scan another's ports. Default 4: an
    /// observed port, and three predicted ones.
    pub max_per_ip: usize,
    /// Most dropped addresses that are named; the others are counted. Default 16.
    pub max_dropped: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            allow_private: false,
            allow_names: false,
            tcp: true,
            quic: true,
            max: 8,
            max_per_ip: 4,
            max_dropped: 16,
        }
    }
}

/// What we tell the remote of ours, for one try.
///
/// The better source first: confirmed, mapped, observed, listened, predicted. Of each transport and family in turn, so that
/// many of one kind don't keep out the only one of another.
pub fn offer(ours: &[Candidate], config: &Config) -> Selection {
    let mut picked = Picked::default();
    for candidate in ours {
        match fit(&candidate.address, None, config) {
            Ok((address, end)) => {
                let candidate = Candidate { address, ..candidate.clone() };
                picked.fit.push(Fit { end, group: 0, rank: rank(candidate.source), candidate });
            }
            Err(why) => picked.drop(candidate.clone(), why),
        }
    }
    picked.into_selection(usize::MAX, config)
}

/// What we dial of theirs, for one try. `ours` is all that we know of us, offered or not.
///
/// First what has the transport and family of an address of ours: only such a pair can meet in the middle. Else in the remote's
/// order, of each transport and family in turn.
pub fn targets(theirs: &[Multiaddr], source: Source, them: &PeerId, ours: &[Candidate], config: &Config) -> Selection {
    let mine: Vec<End> = ours.iter().filter_map(|candidate| End::of(&candidate.address)).collect();
    let mut picked = Picked::default();
    for address in theirs {
        let fit = fit(address, Some(them), config).and_then(|(address, end)| {
            // A name that we have ourselves has no end to compare.
            let is_ours = match end {
                Some(end) => mine.contains(&end),
                None => ours.iter().any(|candidate| candidate.address.without_peer_id() == address),
            };
            if is_ours { Err(Unfit::Ours) } else { Ok((address, end)) }
        });
        match fit {
            Ok((address, end)) => {
                let paired = end.is_some_and(|end| mine.iter().any(|mine| mine.path == end.path));
                picked.fit.push(Fit {
                    candidate: Candidate::new(address, source),
                    end,
                    group: u8::from(!paired),
                    rank: 0,
                });
            }
            Err(why) => picked.drop(Candidate::new(address.clone(), source), why),
        }
    }
    picked.into_selection(config.max_per_ip, config)
}

/// From which port of ours to dial this: the listening address behind what we told of that transport and family, or any that
/// listens there; [`Local::Any`] if there is none.
pub fn local_for(target: &Multiaddr, ours: &[Candidate]) -> Local {
    let Some(path) = Path::of(target) else { return Local::Any };
    let reaches = |listener: &Multiaddr| {
        Path::of(listener) == Some(path)
            && port_of(listener).is_some()
            && (target.is_loopback() || !listener.is_loopback())
    };
    let told = ours.iter().filter(|candidate| Path::of(&candidate.address) == Some(path));
    let behind = told.filter_map(|candidate| Some((rank(candidate.source), candidate.local.as_ref()?)));
    let behind = behind.filter(|(_, listener)| reaches(listener)).min_by_key(|(rank, _)| *rank);
    let listened = || {
        ours.iter()
            .find(|candidate| candidate.source == Source::Listened && reaches(&candidate.address))
            .map(|candidate| &candidate.address)
    };
    match behind.map(|(_, listener)| listener).or_else(listened) {
        Some(listener) => Local::Reuse(listener.clone()),
        None => Local::Any,
    }
}

impl Candidate {
    /// Without a listening address behind it.
    pub const fn new(address: Multiaddr, source: Source) -> Candidate {
        Candidate { address, source, local: None }
    }

    /// Bytes on the heap.
    pub fn memory_used(&self) -> usize {
        self.address.memory_used() + self.local.as_ref().map_or(0, Multiaddr::memory_used)
    }
}

impl Path {
    /// The path of an address; `None` if it can't be punched. An IPv4 address in an IPv6 one (`::ffff:1.2.3.4`) is IPv4.
    pub fn of(address: &Multiaddr) -> Option<Path> {
        let family = if address.ip()?.to_canonical().is_ipv4() { Family::V4 } else { Family::V6 };
        Some(Path { wire: Wire::of(address)?, family })
    }
}

impl Wire {
    /// The transport of an address; `None` if it can't be punched.
    pub fn of(address: &Multiaddr) -> Option<Wire> {
        match address.transport() {
            Transport::Tcp => Some(Wire::Tcp),
            Transport::QuicV1 => Some(Wire::Quic),
            _ => None,
        }
    }
}

/// An IP address, a port and a transport: what makes two addresses the same.
#[derive(Clone, Copy, PartialEq, Eq)]
struct End {
    path: Path,
    socket: SocketAddr,
}

impl End {
    fn of(address: &Multiaddr) -> Option<End> {
        let path = Path::of(address)?;
        Some(End { path, socket: SocketAddr::new(address.ip()?.to_canonical(), port_of(address)?) })
    }
}

fn port_of(address: &Multiaddr) -> Option<u16> {
    address.port().filter(|port| *port != 0)
}

/// The smaller, the better.
const fn rank(source: Source) -> u8 {
    match source {
        Source::Confirmed => 0,
        Source::Mapped => 1,
        Source::Observed => 2,
        Source::Listened => 3,
        Source::Predicted => 4,
        Source::Told => 5,
        Source::Identified => 6,
    }
}

/// The address as it is used, or why it isn't. `peer`: whom it may name. `None` for the end: it begins with a name.
fn fit(address: &Multiaddr, peer: Option<&PeerId>, config: &Config) -> Result<(Multiaddr, Option<End>), Unfit> {
    if address.is_relayed() {
        return Err(Unfit::Relayed);
    }
    let names_another = |component| matches!((component, peer), (Component::P2p(named), Some(peer)) if named != *peer);
    if address.iter().any(names_another) {
        return Err(Unfit::OtherPeer);
    }
    let is_name = address.dns_name().is_some();
    if is_name && !config.allow_names {
        return Err(Unfit::Name);
    }
    let used = match Wire::of(address).ok_or(Unfit::Transport)? {
        Wire::Tcp => config.tcp,
        Wire::Quic => config.quic,
    };
    if !used {
        return Err(Unfit::Transport);
    }
    let port = address.port().ok_or(Unfit::Transport)?;
    if port == 0 {
        return Err(Unfit::NoPort);
    }
    let reached = match address.ip().map_or_else(|| address.reach(), |ip| Reach::of_ip(ip.to_canonical())) {
        Reach::Public => true,
        Reach::Private | Reach::Shared | Reach::Loopback | Reach::Documentation => config.allow_private,
        _ => false,
    };
    if !reached {
        return Err(Unfit::NotPublic);
    }
    match End::of(address) {
        Some(end) => Ok((end.to_address(), Some(end))),
        None if is_name => Ok((address.without_peer_id(), None)),
        None => Err(Unfit::Transport),
    }
}

impl End {
    fn to_address(self) -> Multiaddr {
        match self.path.wire {
            Wire::Tcp => Multiaddr::tcp(self.socket),
            Wire::Quic => Multiaddr::quic_v1(self.socket),
        }
    }
}

/// What was found fit, and what was not.
#[derive(Default)]
struct Picked {
    fit: Vec<Fit>,
    dropped: Vec<Dropped>,
}

struct Fit {
    candidate: Candidate,
    end: Option<End>,
    /// All of a group come before all of the next.
    group: u8,
    /// Within a path of a group, the smaller come first.
    rank: u8,
}

impl Picked {
    fn drop(&mut self, candidate: Candidate, why: Unfit) {
        let Candidate { address, source, .. } = candidate;
        self.dropped.push(Dropped { address, source, why });
    }

    /// Paths take turns within a group: first the best of each, then the second of each.
    fn into_selection(mut self, per_ip: usize, config: &Config) -> Selection {
        let mut fit = mem::take(&mut self.fit);
        fit.sort_by_key(|fit| (fit.group, fit.rank));
        let mut unique: Vec<(usize, Fit)> = Vec::new();
        for fit in fit {
            let others = || unique.iter().map(|(_, other)| other);
            let of_ip = others().filter(|other| fit.ip().is_some() && other.ip() == fit.ip()).count();
            let turn = others().filter(|other| other.path() == fit.path()).count();
            if others().any(|other| other.is_same(&fit)) {
                self.drop(fit.candidate, Unfit::Duplicate);
            } else if of_ip >= per_ip {
                self.drop(fit.candidate, Unfit::OverCap);
            } else {
                unique.push((turn, fit));
            }
        }
        unique.sort_by_key(|(turn, fit)| (fit.group, *turn, fit.rank));
        let mut kept = Vec::new();
        for (_, Fit { candidate, .. }) in unique {
            if kept.len() < config.max {
                kept.push(candidate);
            } else {
                self.drop(candidate, Unfit::OverCap);
            }
        }
        let further = self.dropped.len().saturating_sub(config.max_dropped);
        self.dropped.truncate(config.max_dropped);
        Selection { kept, dropped: self.dropped, further }
    }
}

impl Fit {
    fn path(&self) -> Option<Path> {
        self.end.map(|end| end.path)
    }

    fn ip(&self) -> Option<(Path, IpAddr)> {
        self.end.map(|end| (end.path, end.socket.ip()))
    }

    fn is_same(&self, other: &Fit) -> bool {
        match (self.end, other.end) {
            (Some(end), Some(other)) => end == other,
            _ => self.candidate.address == other.candidate.address,
        }
    }
}
