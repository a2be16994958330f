//! What a NAT probably does, guessed from what others saw of us, and the port that it will probably give next.
//!
//! ```text
//! Sights --[guess]--> Guess, for one transport and family --[predict]--> Candidates, at most 3
//! told addresses --[TheirNat::of]--> TheirNat
//! ```
//! Pure functions. A guess is for people, for predictions, and for the port from which every other try of a punch goes; no safety
//! hangs on it, and no more than a try, since observers may lie. Two that agree
//! outweigh one that doesn't: a NAT with a new port per destination never shows the same one to two of them.
//!
//! Words: RFC 4787, section 4.1 (mapping), section 4.2.1 (ports).
//!
//! ```
//! use tidewire_dcutr::candidate::{Family, Path, Wire};
//! use tidewire_dcutr::nat::{Mapping, Ports, Sight, guess, predict};
//!
//! let sight = |seen: &str, observer: &str| -> Result<Sight, tidewire_core::MultiaddrError> {
//!     Ok(Sight { local: "/ip4/10.0.0.2/tcp/4001".parse()?, seen: seen.parse()?, observer: observer.parse()? })
//! };
//! let sights = [
//!     sight("/ip4/8.8.4.4/tcp/40020", "/ip4/1.1.1.1/tcp/4001")?,
//!     sight("/ip4/8.8.4.4/tcp/40022", "/ip4/1.1.1.2/tcp/4001")?,
//!     sight("/ip4/8.8.4.4/tcp/40024", "/ip4/1.1.1.3/tcp/4001")?,
//! ];
//! let guess = guess(&sights, Path { wire: Wire::Tcp, family: Family::V4 });
//! assert_eq!((guess.mapping, guess.ports), (Mapping::PortDependent, Ports::Step { delta: 2 }));
//! assert_eq!(predict(&guess)[0].address.to_string(), "/ip4/8.8.4.4/tcp/40026");
//! # Ok::<(), tidewire_core::MultiaddrError>(())
//! ```

#[cfg(test)]
mod tests;

use crate::candidate::{Candidate, Family, Path, Source, Wire};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use tidewire_core::{Multiaddr, Reach};

/// One observation: over a connection from `local` to `observer`, we were seen as `seen`. Of connections that we dialed only: who
/// dials us comes by a mapping that was made for somebody else, and says nothing of what a new destination sees.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Sight {
    /// Our end of the connection, as the socket has it.
    pub local: Multiaddr,
    /// Our end, as the observer saw it.
    pub seen: Multiaddr,
    /// The observer's end.
    pub observer: Multiaddr,
}

/// How a NAT chooses the outside of a mapping (RFC 4787, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Mapping {
    /// Not enough was seen.
    #[default]
    Unknown,
    /// There is no NAT: we are seen as what we are.
    None,
    /// The same for every destination. Punchable.
    EndpointIndependent,
    /// A new one for each address of a destination. Hardly punchable.
    AddressDependent,
    /// A new one for each destination: for each address, and for each port of it or, if nobody has two ports to see us from, maybe
    /// not. Hardly punchable.
    PortDependent,
}

/// Which port a NAT gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Ports {
    /// Not enough was seen.
    #[default]
    Unknown,
    /// The one that we have inside.
    Preserved,
    /// One of its own choice, the same for all destinations.
    Assigned,
    /// Each new one is so far from the one before. Predictable.
    Step {
        /// May be negative; never 0.
        delta: i32,
    },
    /// No order is seen in them.
    Random,
}

/// What the NAT on one [`Path`] probably does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Guess {
    /// For which transport and family.
    pub path: Path,
    /// How it maps.
    pub mapping: Mapping,
    /// Which ports it gives.
    pub ports: Ports,
    /// What says so: at most [`MAX_EVIDENCE`] observations, oldest first. Where ports were seen to follow each other, those.
    pub evidence: Vec<Sight>,
}

/// Most observations that a [`Guess`] keeps.
pub const MAX_EVIDENCE: usize = 3;

/// Most ports that [`TheirNat::SeveralPorts`] keeps.
pub const MAX_PORTS: usize = 8;

/// Most addresses that [`predict`] gives.
pub const MAX_PREDICTED: usize = 3;

/// Most observations that [`guess`] looks at, the youngest. More say nothing more.
pub const MAX_SIGHTS: usize = 64;

/// What the remote's NAT probably does, by what its candidates tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum TheirNat {
    /// It named nothing.
    #[default]
    Unknown,
    /// It named only addresses that can't be reached from outside.
    PrivateOnly,
    /// It named one public port for each address and transport: it may be public, or behind a NAT with one mapping for all.
    OnePort {
        /// The first of the addresses.
        ip: IpAddr,
    },
    /// It named several ports of one public address for one transport: its NAT probably gives a new port per destination.
    SeveralPorts {
        /// The address.
        ip: IpAddr,
        /// The ports, in its order; at most [`MAX_PORTS`].
        ports: Vec<u16>,
    },
}

/// What our NAT probably does on this path. `sights`: oldest first; those of other paths are passed over.
pub fn guess(sights: &[Sight], path: Path) -> Guess {
    let seen: Vec<Seen<'_>> = latest(sights, path);
    let changed: Vec<&Seen<'_>> = seen.iter().filter(|seen| seen.outside != seen.inside).collect();
    let made = |mapping, ports, evidence: &[&Seen<'_>]| {
        let from = evidence.len().saturating_sub(MAX_EVIDENCE);
        let evidence = evidence.iter().skip(from).map(|seen| seen.sight.clone()).collect();
        Guess { path, mapping, ports, evidence }
    };
    // Who is on our side of the NAT sees us unchanged, and says nothing of it.
    if changed.is_empty() {
        let unchanged: Vec<&Seen<'_>> = seen.iter().collect();
        return match unchanged.as_slice() {
            [] => made(Mapping::Unknown, Ports::Unknown, &[]),
            all => made(Mapping::None, Ports::Preserved, all),
        };
    }
    if let Some((first, second)) =
        pairs(&changed).find(|(a, b)| a.outside == b.outside && a.observer.ip() != b.observer.ip())
    {
        return made(Mapping::EndpointIndependent, kept_or_assigned(second), &[first, second]);
    }
    let differ = pairs(&changed).filter(|(a, b)| a.outside != b.outside);
    // The youngest pair: what a NAT does may change with the network.
    let Some((first, second)) = differ.last() else {
        let last: Vec<&Seen<'_>> = changed.last().copied().into_iter().collect();
        let kept = last.iter().all(|seen| seen.outside.port() == seen.inside.port());
        return made(Mapping::Unknown, if kept { Ports::Preserved } else { Ports::Unknown }, &last);
    };
    let one_address = |(a, b): &(&Seen<'_>, &Seen<'_>)| a.observer.ip() == b.observer.ip();
    let same_for_ports = pairs(&changed).filter(one_address).any(|(a, b)| a.outside == b.outside);
    let other_for_ports = pairs(&changed).filter(one_address).any(|(a, b)| a.outside != b.outside);
    let mapping = if same_for_ports && !other_for_ports { Mapping::AddressDependent } else { Mapping::PortDependent };
    // One of each mapping: several ports of one observer may share it.
    let mut mine: Vec<&Seen<'_>> = Vec::new();
    for seen in changed.iter().copied().filter(|seen| seen.inside == second.inside) {
        if mine.iter().all(|other| other.outside != seen.outside) {
            mine.push(seen);
        }
    }
    match steps(&mine) {
        Ports::Unknown => made(mapping, Ports::Unknown, &[first, second]),
        ports => made(mapping, ports, &mine),
    }
}

/// [`guess`] on each path that something was seen of.
pub fn guesses(sights: &[Sight]) -> Vec<Guess> {
    let paths = [Wire::Quic, Wire::Tcp]
        .into_iter()
        .flat_map(|wire| [Family::V6, Family::V4].into_iter().map(move |family| Path { wire, family }));
    paths.map(|path| guess(sights, path)).filter(|guess| !guess.evidence.is_empty()).collect()
}

/// The addresses that our NAT will probably give next, nearest first; at most [`MAX_PREDICTED`]. Empty unless its ports follow
/// each other ([`Ports::Step`]).
pub fn predict(guess: &Guess) -> Vec<Candidate> {
    let (Ports::Step { delta }, Some(last)) = (guess.ports, guess.evidence.last()) else { return Vec::new() };
    let Some(last_seen) = socket(&last.seen, guess.path) else { return Vec::new() };
    let mut port = i32::from(last_seen.port());
    let next = |_| {
        port = port.checked_add(delta)?;
        // NATs map to ports above the well-known ones (RFC 4787, section 4.2.2: the two ranges are kept apart).
        u16::try_from(port).ok().filter(|port| *port >= 1024)
    };
    let address = |port| match guess.path.wire {
        Wire::Tcp => Multiaddr::tcp(SocketAddr::new(last_seen.ip(), port)),
        Wire::Quic => Multiaddr::quic_v1(SocketAddr::new(last_seen.ip(), port)),
    };
    let candidate =
        |port| Candidate { address: address(port), source: Source::Predicted, local: Some(last.local.clone()) };
    (0..MAX_PREDICTED).map_while(next).map(candidate).collect()
}

impl Mapping {
    /// Whether a destination sees another port than the one before: then what others observed is of no use to the next.
    pub const fn depends_on_destination(self) -> bool {
        matches!(self, Mapping::AddressDependent | Mapping::PortDependent)
    }
}

impl TheirNat {
    /// What the remote's NAT probably does, by the addresses that it names. Relayed ones, and names, tell nothing.
    pub fn of(told: &[Multiaddr]) -> TheirNat {
        let mut ends: Vec<(Path, SocketAddr)> = Vec::new();
        let mut private = false;
        for address in told.iter().filter(|address| !address.is_relayed()) {
            let Some(path) = Path::of(address) else { continue };
            let Some(end) = socket(address, path).filter(|end| end.port() != 0) else { continue };
            if Reach::of_ip(end.ip()) != Reach::Public {
                private = true;
            } else if !ends.contains(&(path, end)) {
                ends.push((path, end));
            }
        }
        let Some(first) = ends.first() else { return if private { TheirNat::PrivateOnly } else { TheirNat::Unknown } };
        let ports = |(path, end): &(Path, SocketAddr)| {
            let same = ends.iter().filter(|(other, at)| other == path && at.ip() == end.ip());
            same.map(|(_, end)| end.port()).take(MAX_PORTS).collect::<Vec<u16>>()
        };
        let several = ends.iter().find(|end| ports(end).len() > 1);
        match several {
            Some(end) => TheirNat::SeveralPorts { ip: end.1.ip(), ports: ports(end) },
            None => TheirNat::OnePort { ip: first.1.ip() },
        }
    }

    /// Bytes on the heap.
    pub fn memory_used(&self) -> usize {
        if let TheirNat::SeveralPorts { ports, .. } = self { ports.capacity() * size_of::<u16>() } else { 0 }
    }
}

impl Guess {
    /// Not enough was seen to tell how it maps, but that it gives other ports than we have inside.
    pub fn changes_ports(&self) -> bool {
        let changed = |sight: &Sight| sight.local.port() != sight.seen.port();
        self.mapping == Mapping::Unknown && self.evidence.last().is_some_and(changed)
    }

    /// Bytes on the heap.
    pub fn memory_used(&self) -> usize {
        let each = |sight: &Sight| {
            sight.local.memory_used() + sight.seen.memory_used() + sight.observer.memory_used() + size_of::<Sight>()
        };
        self.evidence.iter().map(each).sum()
    }
}

/// A sight as numbers.
struct Seen<'a> {
    sight: &'a Sight,
    inside: SocketAddr,
    outside: SocketAddr,
    observer: SocketAddr,
}

/// The sights of this path, oldest first; of each observer and port of ours only the latest, since mappings end.
fn latest(sights: &[Sight], path: Path) -> Vec<Seen<'_>> {
    let mut latest: Vec<Seen<'_>> = Vec::new();
    for sight in sights.iter().rev() {
        let ends = (socket(&sight.local, path), socket(&sight.seen, path), socket(&sight.observer, path));
        let (Some(inside), Some(outside), Some(observer)) = ends else { continue };
        if latest.len() < MAX_SIGHTS && !latest.iter().any(|seen| (seen.inside, seen.observer) == (inside, observer)) {
            latest.push(Seen { sight, inside, outside, observer });
        }
    }
    latest.reverse();
    latest
}

/// The IP address and port, if it is of this path.
fn socket(address: &Multiaddr, path: Path) -> Option<SocketAddr> {
    let of_path = !address.is_relayed() && Path::of(address) == Some(path);
    of_path.then(|| Some(SocketAddr::new(address.ip()?.to_canonical(), address.port()?))).flatten()
}

/// All pairs of the same port of ours, the older one first.
fn pairs<'a, 'b>(seen: &'b [&'b Seen<'a>]) -> impl Iterator<Item = (&'b Seen<'a>, &'b Seen<'a>)> {
    seen.iter().enumerate().flat_map(move |(at, second)| {
        seen.iter().take(at).filter(|first| first.inside == second.inside).map(|first| (*first, *second))
    })
}

fn kept_or_assigned(seen: &Seen<'_>) -> Ports {
    if seen.outside.port() == seen.inside.port() { Ports::Preserved } else { Ports::Assigned }
}

/// How the ports that a NAT gave to one of ours follow each other. Two say nothing: any two have a difference.
fn steps(seen: &[&Seen<'_>]) -> Ports {
    let ports: Vec<i32> = seen.iter().map(|seen| i32::from(seen.outside.port())).collect();
    let mut deltas = ports.windows(2).filter_map(|pair| match pair {
        [before, after] => Some(after - before),
        _ => None,
    });
    let one_ip = seen.windows(2).all(|pair| match pair {
        [before, after] => before.outside.ip() == after.outside.ip(),
        _ => true,
    });
    let Some(delta) = deltas.next() else { return Ports::Unknown };
    if ports.len() < 3 {
        return Ports::Unknown;
    }
    if delta != 0 && one_ip && deltas.all(|other| other == delta) { Ports::Step { delta } } else { Ports::Random }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mapping::Unknown => "unknown",
            Mapping::None => "no NAT",
            Mapping::EndpointIndependent => "one port for all destinations",
            Mapping::AddressDependent => "a new port per address of a destination",
            Mapping::PortDependent => "a new port per destination",
        })
    }
}
