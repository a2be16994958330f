//! In which order the addresses of a peer are dialed, and when: a pure function.
//!
//! ```text
//! addresses -> no duplicates -> three groups -> in each, four classes by turns -> delays, all groups together
//!                               private          unix, memory
//!                               public           QUIC
//!                               relayed          TCP
//!                                                the others
//! ```
//! Rules and constants: go-libp2p's default dial ranker as documented; RFC 8305 section 5 ("Connection Attempt Delay",
//! 250 ms) and section 4 (IPv6 first, families alternate).

use super::{Delays, Outcome};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use tidewire_core::{Component, Multiaddr, PeerId, Reach, Transport};

/// An address, and when it is dialed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ranked {
    /// Where.
    pub address: Multiaddr,
    /// How long after the first one, whose delay is zero.
    pub delay: Duration,
}

/// Says when each address of one peer is dialed, if none before it succeeded. Sorted by delay, then by rank.
///
/// Duplicates are left out: the same bytes, and an address without `/p2p/<peer>` at its end beside the same one with it. All
/// others are there exactly once. The order of `addresses` is of no matter.
///
/// # Groups
/// They are ranked each by itself and start together:
///
/// | group | addresses | step (default) | others (default) | start |
/// |---|---|---|---|---|
/// | private | of this site, link or machine, and carrier-grade NAT (100.64/10) | 30 ms | 100 ms | 0 |
/// | public | the rest, names included | 250 ms | 1 s | 0 |
/// | relayed | with `p2p-circuit`, ranked by the way to the relay | 250 ms | 1 s | 500 ms if there are public ones, else 0 |
///
/// # Within a group
/// | what | when |
/// |---|---|
/// | `unix`, `memory` | 0 |
/// | QUIC: the first | 0 |
/// | QUIC: the second, the best IPv4 one if the first is IPv6 | 1 step |
/// | QUIC: the rest | 2 steps if these two differ in family, else 1 step |
/// | TCP: the first | 1 step after the last QUIC; 0 without QUIC |
/// | TCP: the second, the best IPv4 one if the first is IPv6 | 1 step after the first |
/// | TCP: the rest | 2 steps after the first if these two differ in family, else 1 step |
/// | the others | 1 s (private 100 ms) after the last QUIC or TCP of the group; 0 if no direct address is either (of relayed ones: no relayed one) |
///
/// QUIC is `quic-v1`, `quic` and `webtransport`; TCP is `tcp`, `ws` and `wss`. Both are ranked by, in this order:
/// WebTransport last; IPv6 first; QUIC draft 29 last; low port first (high ones tend to be a NAT's); plain TCP before
/// WebSocket. A tie goes by the bytes.
///
/// The others are WebRTC, `dnsaddr`, what we don't know, and second choices: `quic` and `webtransport` at the host and port of
/// a `quic-v1`, and `ws` and `wss` at the host and port of a plain `tcp`. (go-libp2p never dials second choices. Here
/// they come last, since what is in the way of one protocol may let the other pass.)
///
/// Names are not resolved here: `dns6` counts as IPv6, `dns`, `dns4` and `dnsaddr` as IPv4. An IPv4 address in IPv6 clothes
/// is one.
///
/// ```
/// use tidewire_connmgr::dial::{Delays, rank};
///
/// let at = |text: &str| text.parse().unwrap();
/// let addresses = [
///     at("/ip4/198.51.100.7/tcp/4001"),
///     at("/ip4/198.51.100.7/udp/4001/quic-v1"),
///     at("/ip6/2001:db8::7/udp/4001/quic-v1"),
/// ];
/// let ranked = rank(&addresses, &Delays::default());
/// let lines: Vec<_> = ranked.iter().map(|next| format!("{:?} {}", next.delay, next.address)).collect();
/// assert_eq!(lines, [
///     "0ns /ip6/2001:db8::7/udp/4001/quic-v1",
///     "250ms /ip4/198.51.100.7/udp/4001/quic-v1",
///     "500ms /ip4/198.51.100.7/tcp/4001",
/// ]);
/// ```
pub fn rank(addresses: &[Multiaddr], delays: &Delays) -> Vec<Ranked> {
    let mut entries: Vec<Entry<'_>> = without_duplicates(addresses).into_iter().map(Entry::new).collect();
    mark_second_choices(&mut entries);
    entries.sort_by(|left, right| left.rank().cmp(&right.rank()));

    let has_public = entries.iter().any(|entry| entry.group == Group::Public);
    let has_steps = |relayed: bool| {
        let mut alike = entries.iter().filter(|entry| (entry.group == Group::Relayed) == relayed);
        alike.any(|entry| matches!(entry.class, Class::Quic | Class::Tcp))
    };
    let (direct_steps, relayed_steps) = (has_steps(false), has_steps(true));
    let mut ranked = Vec::with_capacity(entries.len());
    for group in entries.chunk_by_mut(|left, right| left.group == right.group) {
        let Some(name) = group.first().map(|first| first.group) else { continue };
        let pace = Pace::new(name, has_public, delays);
        let has_steps = if name == Group::Relayed { relayed_steps } else { direct_steps };
        let mut last = None;
        for run in group.chunk_by_mut(|left, right| left.class == right.class) {
            let Some(class) = run.first().map(|first| first.class) else { continue };
            let (begin, step) = match class {
                Class::Machine => (Duration::ZERO, Duration::ZERO),
                Class::Quic => (Duration::ZERO, pace.quic),
                Class::Tcp => (last.map_or(Duration::ZERO, |last: Duration| last.saturating_add(pace.tcp)), pace.tcp),
                Class::Other if has_steps => (last.unwrap_or_default().saturating_add(pace.other), Duration::ZERO),
                Class::Other => (Duration::ZERO, Duration::ZERO),
            };
            let both = alternate(run);
            for (index, entry) in run.iter().enumerate() {
                let steps = if both { index.min(2) } else { index.min(1) };
                let delay = (0..steps).fold(begin, |delay, _| delay.saturating_add(step));
                ranked.push(Ranked { address: entry.address.clone(), delay: pace.start.saturating_add(delay) });
                if matches!(class, Class::Quic | Class::Tcp) {
                    last = Some(delay);
                }
            }
        }
    }
    ranked.sort_by_key(|ranked| ranked.delay);
    ranked
}

/// Whether an address of `peer` can be dialed at all, whatever is known about it.
///
/// | address | outcome |
/// |---|---|
/// | names another peer | [`Outcome::OtherPeer`] |
/// | unspecified or multicast; port 0; no host, where the transport needs one | [`Outcome::Undialable`] |
/// | no transport that makes connections: only a host, only `udp`, `http`, a protocol that we don't know | [`Outcome::Undialable`] |
/// | relayed, without the relay's peer id, through `peer` itself, or through two relays (a relay refuses relayed ones; circuit v2, "Hop protocol") | [`Outcome::Undialable`] |
/// | relayed, and `direct_only` | [`Outcome::Relayed`] |
///
/// A `dnsaddr` can be dialed: whoever dials resolves names, and this is one. So can `/p2p/<relay>/p2p-circuit`, without
/// saying where the relay is: we may be connected to it. Addresses for documentation can be dialed; they stand in tests.
///
/// # Errors
/// What to report for it, by the table.
pub fn usable(address: &Multiaddr, peer: PeerId, direct_only: bool) -> Result<(), Outcome> {
    match address.peer_id() {
        Some(named) if named != peer => return Err(Outcome::OtherPeer(named)),
        _ => {}
    }
    let relayed = address.is_relayed();
    if relayed && !can_be_relayed(address, peer) {
        return Err(Outcome::Undialable);
    }
    // A relay that is named needs no address: we may be connected to it.
    let named_only = relayed && first_hop(address).all(|component| matches!(component, Component::P2p(_)));
    if !named_only && !can_be_reached(address) {
        return Err(Outcome::Undialable);
    }
    if relayed && direct_only {
        return Err(Outcome::Relayed);
    }
    Ok(())
}

/// Whether a dial of it takes a file descriptor: all do but those over UDP, which share one socket, in memory, and relayed
/// ones, which take a stream of a connection that is counted by itself (as go-libp2p's limiter has it).
pub(crate) fn takes_descriptor(address: &Multiaddr) -> bool {
    !address.is_relayed() && !is_udp(address) && address.transport() != Transport::Memory
}

/// Whether it is on this machine, this link or this site, and direct, so that an answer comes soon or never.
pub(crate) fn is_local(address: &Multiaddr) -> bool {
    !address.is_relayed() && is_near(address)
}

/// Whether the first packet goes over UDP.
pub(super) fn is_udp(address: &Multiaddr) -> bool {
    matches!(
        address.transport(),
        Transport::Udp | Transport::Quic | Transport::QuicV1 | Transport::WebTransport | Transport::WebRtcDirect
    )
}

/// Whether the first packet goes over IPv6.
pub(super) fn is_v6(address: &Multiaddr) -> bool {
    match address.ip() {
        Some(ip) => ip.to_canonical().is_ipv6(),
        None => first_hop(address).any(|component| matches!(component, Component::Dns6(_))),
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, NAT64 (RFC 6052) or 6to4 (RFC 3056).
pub(super) fn embedded_v4(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let (high, low) = match (a, b, c) {
        (0, 0, 0) if (d, e, f) == (0, 0, 0xffff) => (g, h),
        (0x64, 0xff9b, 0) if (d, e, f) == (0, 0, 0) => (g, h),
        (0x2002, high, low) => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

/// In the order in which those of one delay are dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Private,
    Public,
    Relayed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Machine,
    Quic,
    Tcp,
    Other,
}

/// What ranks an address.
struct Entry<'a> {
    address: &'a Multiaddr,
    group: Group,
    class: Class,
    transport: Transport,
    v4: bool,
    port: u16,
}

/// The delays of one group.
struct Pace {
    start: Duration,
    quic: Duration,
    tcp: Duration,
    other: Duration,
}

/// Host, port, and the relay that lies behind them.
type Endpoint<'a> = (Option<IpAddr>, Option<&'a str>, Option<&'a str>, u16, bool, Option<PeerId>);

impl<'a> Entry<'a> {
    fn new(address: &'a Multiaddr) -> Self {
        let group = match () {
            () if address.is_relayed() => Group::Relayed,
            () if is_near(address) => Group::Private,
            () => Group::Public,
        };
        let transport = address.transport();
        let class = match transport {
            Transport::Unix | Transport::Memory => Class::Machine,
            Transport::Quic | Transport::QuicV1 | Transport::WebTransport => Class::Quic,
            Transport::Tcp | Transport::Ws | Transport::Wss => Class::Tcp,
            _ => Class::Other,
        };
        Entry { address, group, class, transport, v4: !is_v6(address), port: address.port().unwrap_or(0) }
    }

    fn rank(&self) -> impl Ord + 'a {
        let web = self.transport == Transport::WebTransport;
        let draft = self.transport == Transport::Quic;
        (self.group, self.class, web, self.v4, draft, self.port, self.transport, self.address)
    }

    fn endpoint(&self) -> Endpoint<'a> {
        let address = self.address;
        let relayed = self.group == Group::Relayed;
        (address.ip(), address.dns_name(), address.zone(), self.port, relayed, address.relay_peer_id())
    }
}

impl Pace {
    fn new(group: Group, has_public: bool, delays: &Delays) -> Self {
        let start = if group == Group::Relayed && has_public { delays.relayed } else { Duration::ZERO };
        match group {
            Group::Private => {
                Pace { start, quic: delays.private_quic, tcp: delays.private_tcp, other: delays.private_other }
            }
            Group::Public | Group::Relayed => {
                Pace { start, quic: delays.public_quic, tcp: delays.public_tcp, other: delays.other }
            }
        }
    }
}

/// Each once; one that doesn't name the peer goes if the same that does is there.
fn without_duplicates(addresses: &[Multiaddr]) -> Vec<&Multiaddr> {
    // Without its end an address is shorter, and so before the one with it.
    let mut sorted: Vec<_> = addresses.iter().map(|address| (address.without_peer_id(), address)).collect();
    sorted.sort_unstable();
    sorted.dedup_by(|later, kept| {
        let same = later.0 == kept.0 && (later.1 == kept.1 || *kept.1 == kept.0);
        if same {
            kept.1 = later.1;
        }
        same
    });
    sorted.into_iter().map(|(_, address)| address).collect()
}

/// Moves those that have a better way to the same host and port behind all others.
fn mark_second_choices(entries: &mut [Entry<'_>]) {
    let mut first: Vec<_> = entries
        .iter()
        .filter(|entry| matches!(entry.transport, Transport::QuicV1 | Transport::Tcp))
        .map(|entry| (entry.class, entry.endpoint()))
        .collect();
    first.sort_unstable();
    for entry in entries {
        let second =
            matches!(entry.transport, Transport::Quic | Transport::WebTransport | Transport::Ws | Transport::Wss);
        if second && first.binary_search(&(entry.class, entry.endpoint())).is_ok() {
            entry.class = Class::Other;
        }
    }
}

/// If the first is IPv6, makes the best IPv4 one the second. Whether it did: the two differ in family.
fn alternate(run: &mut [Entry<'_>]) -> bool {
    let Some(at) = run.iter().position(|entry| entry.v4) else { return false };
    if at == 0 {
        return false;
    }
    if let Some(between) = run.get_mut(1..=at) {
        between.rotate_right(1);
    }
    true
}

fn is_near(address: &Multiaddr) -> bool {
    matches!(address.reach(), Reach::Private | Reach::Shared | Reach::LinkLocal | Reach::Loopback)
}

fn first_hop(address: &Multiaddr) -> impl Iterator<Item = Component<'_>> {
    address.iter().take_while(|component| *component != Component::P2pCircuit)
}

fn can_be_relayed(address: &Multiaddr, peer: PeerId) -> bool {
    let circuits = address.iter().filter(|component| *component == Component::P2pCircuit).count();
    circuits == 1 && address.relay_peer_id().is_some_and(|relay| relay != peer)
}

/// Whether the first packet has somewhere to go.
fn can_be_reached(address: &Multiaddr) -> bool {
    if matches!(address.reach(), Reach::Unspecified | Reach::Multicast) || address.port() == Some(0) {
        return false;
    }
    match address.transport() {
        Transport::Tcp
        | Transport::Ws
        | Transport::Wss
        | Transport::Quic
        | Transport::QuicV1
        | Transport::WebTransport
        | Transport::WebRtcDirect => address.ip().is_some() || address.dns_name().is_some(),
        Transport::Unix | Transport::Memory => true,
        Transport::Unknown => {
            let mut hop = first_hop(address);
            matches!(hop.next(), Some(Component::DnsAddr(_))) && hop.all(|next| matches!(next, Component::P2p(_)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
