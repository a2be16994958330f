//! A small world: a few peers, addresses, names and configurations, and what can happen in it.
//!
//! Bytes become operations ([`Op::decode`]), most of them about things that are there. An operation names what it is about, so
//! that it stays what it is when others before it are left out. The property test and the fuzz target share this file.

use core::net::IpAddr;
use core::time::Duration;
use tidewire_connmgr::dial::{DialFault, DialOptions, GateRule};
use tidewire_connmgr::metadata::Source;
use tidewire_connmgr::worth::{Bump, Decay, DecayingTag, TagChange};
use tidewire_connmgr::{
    By, ConnectionId, ConnectionManager, DialId, Direction, Input, MemoryScope, Misuse, Origin, RequestId, StreamId,
    limits::LimitExceeded,
};
use tidewire_core::{EventMachine, Multiaddr, PeerId, Role, Time};

/// Peers of the world. Number 0 is ourselves.
pub(crate) const PEERS: usize = 7;
/// Connections that may be there at one time.
pub(crate) const CONNECTIONS: u64 = 10;
/// Remote addresses. The last two are circuits.
pub(crate) const ADDRESSES: usize = 8;
/// Protocols, tags, and reasons. The last two are names that nothing takes, or only few things.
pub(crate) const NAMES: [&str; 5] =
    ["alpha", "beta", "gamma", "", "a-name-that-is-longer-than-the-sixteen-bytes-allowed"];
/// Bytes of a name that are allowed, of whatever.
pub(crate) const MAX_NAME: u32 = 16;

const IPS: [&str; 6] = [
    "/ip4/11.0.0.1",
    "/ip4/11.0.0.2",
    "/ip6/2a00:1:0:1::1",
    "/ip6/2a00:1:0:101::1",
    "/ip4/127.0.0.1",
    "/ip6/::ffff:11.0.0.2",
];

pub(crate) fn peer(n: usize) -> PeerId {
    let mut bytes = [0; 38];
    bytes[..6].copy_from_slice(&[0x00, 0x24, 0x08, 0x01, 0x12, 0x20]);
    bytes[37] = u8::try_from(n).unwrap_or(u8::MAX);
    PeerId::from_bytes(&bytes).unwrap()
}

/// The address of this number.
pub(crate) fn address(n: usize) -> Multiaddr {
    let text = match n {
        0..6 => format!("{}/tcp/4001", IPS[n]),
        n => format!("{}/tcp/4001/p2p/{}/p2p-circuit", IPS[n - 6], peer(9)),
    };
    text.parse().unwrap()
}

/// The one address at which a peer can be dialed.
pub(crate) fn home(peer: usize) -> Multiaddr {
    address(peer % 5)
}

/// How long an address of this peer may take.
pub(crate) fn dial_limit(peer: usize) -> Duration {
    Duration::from_secs(if peer % 5 == 4 { 5 } else { 15 })
}

/// What is kept of a rule of the gate, or asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Peer(usize),
    Subnet(&'static str, u8),
    /// By its number.
    Address(usize),
}

const SUBNETS: [(&str, u8); 5] =
    [("11.0.0.1", 32), ("11.0.0.0", 24), ("2a00:1::", 48), ("2a00:1:0:100::", 56), ("11.0.0.0", 33)];

impl Rule {
    fn decode(a: u8, b: u8) -> Rule {
        match a % 4 {
            0 | 1 => Rule::Peer(usize::from(b) % PEERS),
            2 => {
                let (ip, prefix) = SUBNETS[usize::from(b) % SUBNETS.len()];
                Rule::Subnet(ip, prefix)
            }
            _ => Rule::Address(usize::from(b) % 5),
        }
    }

    pub(crate) fn get(self) -> GateRule {
        match self {
            Rule::Peer(n) => GateRule::Peer(peer(n)),
            Rule::Subnet(ip, prefix) => GateRule::Subnet(ip.parse().unwrap(), prefix),
            Rule::Address(n) => GateRule::Address(address(n)),
        }
    }
}

/// What memory is reserved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    System,
    Peer(usize),
    Connection(u64),
}

impl Scope {
    pub(crate) fn get(self) -> MemoryScope {
        match self {
            Scope::System => MemoryScope::System,
            Scope::Peer(n) => MemoryScope::Peer(peer(n)),
            Scope::Connection(n) => MemoryScope::Connection(ConnectionId(n)),
        }
    }
}

/// One thing that happens. Peers, addresses and names by their numbers; `c` a connection, `s` a stream, `d` a dial, `r` a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Incoming {
        c: u64,
        at: usize,
    },
    Upgraded {
        c: u64,
        peer: usize,
    },
    Opened {
        c: u64,
        peer: usize,
        direction: Direction,
        at: usize,
        limited: bool,
    },
    Dialed {
        c: u64,
        peer: usize,
        d: u64,
    },
    Closed {
        c: u64,
        by: By,
    },
    StreamOpened {
        c: u64,
        s: u64,
        direction: Direction,
        protocol: Option<usize>,
    },
    StreamProtocol {
        c: u64,
        s: u64,
        protocol: usize,
    },
    StreamClosed {
        c: u64,
        s: u64,
    },
    Used {
        c: u64,
    },
    Pong {
        c: u64,
    },
    PingUnsupported {
        c: u64,
    },
    Dial {
        r: u64,
        peer: usize,
        told: bool,
        direct_only: bool,
        forced: bool,
        new: bool,
    },
    Cancel {
        r: u64,
    },
    Progress {
        d: u64,
    },
    DialFailed {
        d: u64,
        fault: u8,
    },
    NetworkChanged,
    Addresses {
        peer: usize,
        ttl: Duration,
    },
    Identified {
        peer: usize,
    },
    Protect {
        peer: usize,
        name: usize,
    },
    Unprotect {
        peer: usize,
        name: usize,
    },
    Tag {
        peer: usize,
        name: usize,
        change: TagChange,
    },
    Define {
        name: usize,
        decay: DecayingTag,
    },
    RemoveDecaying {
        name: usize,
    },
    Bump {
        peer: usize,
        name: usize,
        bump: Bump,
    },
    Unbump {
        peer: usize,
        name: usize,
    },
    KeepAlive {
        peer: usize,
        on: bool,
    },
    Deny {
        rule: Rule,
    },
    Allow {
        rule: Rule,
    },
    Close {
        c: u64,
    },
    Disconnect {
        peer: usize,
    },
    TrimNow,
    Emergency,
    Shutdown,
    Reserve {
        scope: Scope,
        bytes: u64,
    },
    Release {
        scope: Scope,
        bytes: u64,
    },
    /// A call with an earlier moment than the last.
    Back,
    /// Time passes, with a call at each deadline.
    Wait {
        time: Duration,
    },
    /// Time passes, with one call at its end.
    Sleep {
        time: Duration,
    },
}

/// Why things are done, in words.
pub(crate) const WHY: &str = "for a reason";

/// What there is, so that operations can be about it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lookup {
    pub(crate) pending: Vec<u64>,
    pub(crate) open: Vec<u64>,
    pub(crate) closing: Vec<u64>,
    pub(crate) streams: Vec<(u64, u64)>,
    pub(crate) dials: Vec<(u64, usize)>,
    pub(crate) requests: Vec<u64>,
}

/// One of some in most cases, and any other now and then.
fn one<T: Copy>(of: &[T], by: u8, or: T) -> T {
    if of.is_empty() || by >= 242 { or } else { of[usize::from(by) % of.len()] }
}

impl Op {
    /// What four bytes mean, as things stand. `quiet`: nothing that begins redials, or that metadata are made of.
    pub(crate) fn decode([what, a, b, c]: [u8; 4], look: &Lookup, quiet: bool) -> Op {
        let any = u64::from(a) % (CONNECTIONS + 1) + 1;
        let free: Vec<u64> = (1..=CONNECTIONS).filter(|id| !look.has(*id)).collect();
        let direction = if b & 0x80 == 0 { Direction::Inbound } else { Direction::Outbound };
        // Mostly somebody else than ourselves.
        let who = |by: u8| if by >= 250 { 0 } else { usize::from(by) % (PEERS - 1) + 1 };
        let name = |by: u8| usize::from(by) % if by >= 240 { NAMES.len() } else { 3 };
        let open = one(&look.open, a, any);
        let stream = u64::from(c) % 6;
        let (known_c, known_s) = one(&look.streams, a, (any, stream));
        match what {
            0..14 => Op::Incoming { c: one(&free, a, any), at: usize::from(b) % ADDRESSES },
            14..36 => Op::Upgraded { c: one(&look.pending, a, any), peer: who(b) },
            36..58 => {
                let at = usize::from(c) % ADDRESSES;
                Op::Opened {
                    c: one(&free, a, any),
                    peer: who(b & 0x7f),
                    direction,
                    at,
                    limited: at >= 6 && c & 0x80 != 0,
                }
            }
            58..74 => {
                let (d, peer) = one(&look.dials, b, (u64::from(b) % 16, who(c)));
                Op::Dialed { c: one(&free, a, any), peer: if c < 225 { peer } else { who(c) }, d }
            }
            74..90 => {
                let c = match b % 4 {
                    0 => one(&look.pending, a, any),
                    1 => one(&look.closing, a, any),
                    _ => open,
                };
                Op::Closed { c, by: if b & 0x80 == 0 { By::Remote } else { By::Network } }
            }
            90..116 => {
                let protocol = (c & 0xc0 != 0).then(|| name(c));
                let c = if a & 0x0f == 0x0f { one(&look.closing, a, any) } else { open };
                Op::StreamOpened { c, s: stream, direction, protocol }
            }
            116..124 => Op::StreamProtocol { c: known_c, s: known_s, protocol: name(b) },
            124..134 => Op::StreamClosed { c: known_c, s: known_s },
            134..137 => Op::Used { c: open },
            137 => Op::Pong { c: open },
            138 => Op::PingUnsupported { c: open },
            139..158 => {
                let r = if c == 255 { 1 << 63 } else { u64::from(a) % 8 };
                let flag = |bit: u8| c & bit == bit;
                let told = !flag(0x03);
                Op::Dial { r, peer: who(b), told, direct_only: flag(0x0c), forced: flag(0x30), new: flag(0x40) }
            }
            158..163 => Op::Cancel { r: one(&look.requests, a, if b == 255 { u64::MAX } else { u64::from(b) % 8 }) },
            163..167 => Op::Progress { d: one(&look.dials, a, (u64::from(b) % 16, 0)).0 },
            167..174 => Op::DialFailed { d: one(&look.dials, a, (u64::from(b) % 16, 0)).0, fault: c % 8 },
            174 => Op::NetworkChanged,
            175..178 => Op::Addresses { peer: who(a), ttl: Duration::from_secs(u64::from(b) * 20) },
            178 if !quiet => Op::Identified { peer: who(a) },
            178..183 => Op::Protect { peer: who(a), name: name(b) },
            183..187 => Op::Unprotect { peer: who(a), name: name(b) },
            187..197 => {
                let value = i32::from(c.cast_signed()) / 16;
                let change = match b % 8 {
                    0..3 => TagChange::Set(if c == 0x7f { i32::MAX } else { value }),
                    3..6 => TagChange::Add(value),
                    6 => TagChange::Upsert { absent: 3, add: value },
                    _ => TagChange::Remove,
                };
                Op::Tag { peer: who(a), name: name(b), change }
            }
            197..201 => Op::Define { name: name(a), decay: decay(b, c) },
            201 => Op::RemoveDecaying { name: name(a) },
            202..209 => {
                let value = i32::from(b.cast_signed()) / 8;
                let bump = match c % 8 {
                    0..4 => Bump::Unbounded(value),
                    4 | 5 => Bump::Bounded { add: value, min: 0, max: 10 },
                    6 => Bump::Overwrite(value),
                    _ => Bump::Bounded { add: value, min: value, max: 3 },
                };
                Op::Bump { peer: who(a), name: name(c >> 2), bump }
            }
            209 => Op::Unbump { peer: who(a), name: name(b) },
            210 if !quiet => Op::KeepAlive { peer: who(a), on: b & 3 != 0 },
            210..213 => Op::Deny { rule: Rule::decode(a, b) },
            213..218 => Op::Allow { rule: Rule::decode(a, b) },
            218..222 => {
                let c = match b % 8 {
                    0 => one(&look.pending, a, any),
                    1 => one(&look.closing, a, any),
                    _ => open,
                };
                Op::Close { c }
            }
            222 => Op::Disconnect { peer: who(a) },
            223 => Op::TrimNow,
            224 => Op::Emergency,
            225 if a >= 224 => Op::Shutdown,
            225..230 => Op::Reserve { scope: scope(a, b, open), bytes: u64::from(c) % 48 },
            230..233 => {
                Op::Release { scope: scope(a, b, open), bytes: if c >= 200 { u64::MAX } else { u64::from(c) % 48 } }
            }
            233 => Op::Back,
            234..237 => Op::Sleep { time: time(a, b) },
            237.. => Op::Wait { time: time(a, b) },
        }
    }
}

impl Lookup {
    fn has(&self, id: u64) -> bool {
        [&self.pending, &self.open, &self.closing].iter().any(|ids| ids.contains(&id))
    }
}

fn scope(a: u8, b: u8, open: u64) -> Scope {
    match b % 8 {
        0 => Scope::System,
        1..4 => Scope::Peer(usize::from(a) % (PEERS - 1) + 1),
        _ => Scope::Connection(open),
    }
}

/// From a nanosecond to half an hour, sometimes exactly what the configurations name.
fn time(a: u8, b: u8) -> Duration {
    let second = Duration::from_secs(1);
    match a % 16 {
        0 => Duration::from_nanos(b.into()),
        1 | 2 => Duration::from_millis(b.into()),
        3 | 4 => second,
        5 | 6 => 5 * second,
        7 | 8 => 10 * second,
        9 | 10 => 15 * second,
        11 | 12 => 21 * second,
        13 => 60 * second,
        14 => 300 * second,
        _ => 1801 * second,
    }
}

fn decay(b: u8, c: u8) -> DecayingTag {
    let (numerator, denominator) = (u32::from(c) % 5, u32::from(c) % 7);
    let decay = match b % 5 {
        0 => Decay::None,
        1 => Decay::Fixed(if c == 255 { -1 } else { i32::from(c) % 4 }),
        2 | 3 => Decay::Linear { numerator, denominator },
        _ => Decay::ExpireWhenInactive(Duration::from_secs(u64::from(c) % 50)),
    };
    let interval = if b >= 250 { Duration::ZERO } else { Duration::from_secs(u64::from(b) % 30 + 1) };
    DecayingTag { interval, decay }
}

/// The fault of this number.
pub(crate) fn fault(n: u8) -> DialFault {
    match n {
        0 | 1 => DialFault::Transport("refused".into()),
        2 => DialFault::Upgrade("no muxer".into()),
        3 => DialFault::WrongPeer(peer(6)),
        4 => DialFault::Gated("not this one".into()),
        5 => DialFault::NoTransport,
        6 => DialFault::Timeout(Duration::from_secs(3)),
        _ => DialFault::Local("no ports".into()),
    }
}

/// What the machine said to an operation, before it was polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Told(Result<(), Misuse>),
    Reserved(Result<Result<(), LimitExceeded>, Misuse>),
    Released(Result<u64, Misuse>),
    /// Nothing is said of time.
    Waited,
}

/// Does it to the real machine.
pub(crate) fn carry_out(manager: &mut ConnectionManager, now: Time, op: Op) -> Answer {
    let (c, s) = (ConnectionId, StreamId);
    let none = DialOptions::default();
    let input = match op {
        Op::Reserve { scope, bytes } => return Answer::Reserved(manager.reserve(scope.get(), bytes)),
        Op::Release { scope, bytes } => return Answer::Released(manager.release(scope.get(), bytes)),
        Op::Wait { .. } | Op::Sleep { .. } => return Answer::Waited,
        Op::Incoming { c: id, at } => {
            let remote = &address(at);
            return Answer::Told(manager.handle(now, Input::Incoming { connection: c(id), remote }));
        }
        Op::Opened { c: id, peer: n, direction, at, limited } => {
            let origin = Origin::Other { direction, remote: &address(at) };
            let (connection, peer, role) = (c(id), peer(n), role(direction));
            return Answer::Told(manager.handle(now, Input::Established { connection, peer, origin, role, limited }));
        }
        Op::Dial { r, peer: n, told, direct_only, forced, new } => {
            let mut options = none;
            (options.direct_only, options.forced, options.new) = (direct_only, forced, new);
            let all = [home(n)];
            let addresses = if told { &all[..] } else { &[] };
            let input = Input::Dial { request: RequestId(r), peer: peer(n), addresses, options };
            return Answer::Told(manager.handle(now, input));
        }
        Op::Addresses { peer: n, ttl } => {
            let (addresses, source) = ([home(n)], Source::Identify);
            let input = Input::Addresses { peer: peer(n), addresses: &addresses, source, ttl };
            return Answer::Told(manager.handle(now, input));
        }
        Op::Upgraded { c: id, peer: n } => {
            let (connection, origin) = (c(id), Origin::Incoming);
            Input::Established { connection, peer: peer(n), origin, role: Role::Responder, limited: false }
        }
        Op::Dialed { c: id, peer: n, d } => {
            let (connection, origin) = (c(id), Origin::Dial(DialId(d)));
            Input::Established { connection, peer: peer(n), origin, role: Role::Initiator, limited: false }
        }
        Op::Closed { c: id, by } => Input::Closed { connection: c(id), by, why: WHY },
        Op::StreamOpened { c: id, s: stream, direction, protocol } => {
            let protocol = protocol.map(|n| NAMES[n]);
            Input::StreamOpened { connection: c(id), stream: s(stream), direction, protocol }
        }
        Op::StreamProtocol { c: id, s: stream, protocol } => {
            Input::StreamProtocol { connection: c(id), stream: s(stream), protocol: NAMES[protocol] }
        }
        Op::StreamClosed { c: id, s: stream } => Input::StreamClosed { connection: c(id), stream: s(stream) },
        Op::Used { c: id } => Input::Used { connection: c(id) },
        Op::Pong { c: id } => Input::Pong { connection: c(id), rtt: Duration::from_millis(40) },
        Op::PingUnsupported { c: id } => Input::PingUnsupported { connection: c(id) },
        Op::Cancel { r } => Input::Cancel { request: RequestId(r) },
        Op::Progress { d } => Input::DialProgress { dial: DialId(d) },
        Op::DialFailed { d, fault: n } => Input::DialFailed { dial: DialId(d), fault: fault(n) },
        Op::NetworkChanged => Input::NetworkChanged,
        Op::Identified { peer: n } => {
            Input::Identified { peer: peer(n), protocols: &["/ipfs/id/1.0.0", "/ping"], agent: Some("tidewire") }
        }
        Op::Protect { peer: n, name } => Input::Protect { peer: peer(n), reason: NAMES[name] },
        Op::Unprotect { peer: n, name } => Input::Unprotect { peer: peer(n), reason: NAMES[name] },
        Op::Tag { peer: n, name, change } => Input::Tag { peer: peer(n), tag: NAMES[name], change },
        Op::Define { name, decay } => Input::DefineDecaying { tag: NAMES[name], decay },
        Op::RemoveDecaying { name } => Input::RemoveDecaying { tag: NAMES[name] },
        Op::Bump { peer: n, name, bump } => Input::Bump { peer: peer(n), tag: NAMES[name], bump },
        Op::Unbump { peer: n, name } => Input::Unbump { peer: peer(n), tag: NAMES[name] },
        Op::KeepAlive { peer: n, on } => Input::KeepAlive { peer: peer(n), on },
        Op::Deny { rule } => Input::Deny { rule: rule.get(), why: WHY },
        Op::Allow { rule } => Input::Allow { rule: rule.get() },
        Op::Close { c: id } => Input::Close { connection: c(id), why: WHY },
        Op::Disconnect { peer: n } => Input::Disconnect { peer: peer(n), why: WHY },
        Op::TrimNow | Op::Back => Input::TrimNow,
        Op::Emergency => Input::Emergency,
        Op::Shutdown => Input::Shutdown,
    };
    Answer::Told(manager.handle(now, input))
}

/// Who dials begins the handshake, in this world.
pub(crate) fn role(direction: Direction) -> Role {
    if direction == Direction::Outbound { Role::Initiator } else { Role::Responder }
}

/// The address that counts: none of a circuit, the IPv4 one of a mapped one.
pub(crate) fn ip_of(at: usize) -> Option<IpAddr> {
    if at >= 6 { None } else { address(at).ip().map(|ip| ip.to_canonical()) }
}
