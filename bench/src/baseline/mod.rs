//! go-libp2p's connection manager as its documentation describes it, in plain Rust: the naive way to trim.
//!
//! Segments hold maps of peers, each with its tags and its connections in maps of its own. A trim visits all peers, collects
//! those that may be closed, sorts all of them, and takes the first. Nothing is slow on purpose: peers are boxed as go's
//! are behind pointers, values are kept summed up, there are no locks, and std's maps take no memory while they are empty.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tidewire_connmgr::ConnectionId;
use tidewire_core::{Multiaddr, PeerId, Time};

/// As many as go has.
const SEGMENTS: usize = 256;

/// Sorts everything.
pub struct Sorting {
    low: usize,
    grace: Duration,
    segments: Vec<HashMap<PeerId, Box<Peer>>>,
    protected: HashMap<PeerId, HashSet<String>>,
}

struct Peer {
    tags: HashMap<String, i32>,
    connections: HashMap<ConnectionId, Connection>,
    /// The sum of the tags.
    value: i32,
    /// It was tagged, and is not connected yet.
    temporary: bool,
    first_seen: Time,
}

struct Connection {
    opened: Time,
    outbound: bool,
    streams: u32,
    /// go asks the connection for it; without it the memory would not compare.
    _remote: Multiaddr,
}

/// What decides who goes, in this order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    lasting: bool,
    value: i32,
    has_streams: bool,
    outbound: bool,
    streams: u32,
    age: std::cmp::Reverse<Time>,
}

impl Sorting {
    /// Nobody is there. A trim leaves `low` connections, and spares whoever was first seen less than `grace` ago.
    pub fn new(low: usize, grace: Duration) -> Self {
        let segments = (0..SEGMENTS).map(|_| HashMap::new()).collect();
        Sorting { low, grace, segments, protected: HashMap::new() }
    }

    /// A connection is there.
    pub fn connected(&mut self, now: Time, peer: PeerId, id: ConnectionId, outbound: bool, remote: Multiaddr) {
        let peer = self.entry(now, peer);
        if peer.temporary {
            (peer.temporary, peer.first_seen) = (false, now);
        }
        peer.connections.insert(id, Connection { opened: now, outbound, streams: 0, _remote: remote });
    }

    /// A connection is gone, and with the last one its peer.
    pub fn disconnected(&mut self, peer: &PeerId, id: ConnectionId) {
        let segment = &mut self.segments[place(peer)];
        if let Some(known) = segment.get_mut(peer) {
            known.connections.remove(&id);
            if known.connections.is_empty() {
                segment.remove(peer);
            }
        }
    }

    /// So many streams are open on a connection.
    pub fn streams(&mut self, peer: &PeerId, id: ConnectionId, streams: u32) {
        if let Some(known) = self.segments[place(peer)].get_mut(peer)
            && let Some(connection) = known.connections.get_mut(&id)
        {
            connection.streams = streams;
        }
    }

    /// Sets a tag.
    pub fn tag(&mut self, now: Time, peer: PeerId, tag: &str, value: i32) {
        let peer = self.entry(now, peer);
        let before = peer.tags.insert(tag.to_owned(), value).unwrap_or(0);
        peer.value = peer.value.saturating_sub(before).saturating_add(value);
    }

    /// Who is to be closed, the first to go first. Each comparison looks at the peers, as go's does.
    pub fn trim(&self, now: Time) -> Vec<ConnectionId> {
        let (mut candidates, connections) = self.candidates(now);
        candidates.sort_by(|left, right| left.compare(right));
        self.first(candidates.into_iter(), connections)
    }

    /// The same, better than go: what decides is looked up once for each peer, and lies side by side.
    pub fn trim_by_keys(&self, now: Time) -> Vec<ConnectionId> {
        let (candidates, connections) = self.candidates(now);
        let mut ranked: Vec<_> = candidates.into_iter().map(|peer| (peer.rank(), peer)).collect();
        ranked.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        self.first(ranked.into_iter().map(|(_, peer)| peer), connections)
    }

    /// Who may be closed, and how many connections they have.
    fn candidates(&self, now: Time) -> (Vec<&Peer>, usize) {
        let (mut candidates, mut connections) = (Vec::new(), 0);
        for segment in &self.segments {
            for (id, peer) in segment {
                if self.protected.contains_key(id) || peer.first_seen + self.grace > now {
                    continue;
                }
                connections += peer.connections.len();
                candidates.push(&**peer);
            }
        }
        (candidates, connections)
    }

    fn first<'a>(&self, candidates: impl Iterator<Item = &'a Peer>, connections: usize) -> Vec<ConnectionId> {
        let mut target = connections.saturating_sub(self.low);
        let mut victims = Vec::with_capacity(target + 10);
        for peer in candidates {
            if target == 0 {
                break;
            }
            target = target.saturating_sub(peer.connections.len());
            victims.extend(peer.connections.keys());
        }
        victims
    }

    fn entry(&mut self, now: Time, peer: PeerId) -> &mut Peer {
        self.segments[place(&peer)].entry(peer).or_insert_with(|| {
            Box::new(Peer {
                tags: HashMap::new(),
                connections: HashMap::new(),
                value: 0,
                temporary: true,
                first_seen: now,
            })
        })
    }
}

impl Peer {
    fn compare(&self, other: &Peer) -> Ordering {
        (!self.temporary)
            .cmp(&!other.temporary)
            .then(self.value.cmp(&other.value))
            .then_with(|| self.rank().cmp(&other.rank()))
    }

    fn rank(&self) -> Rank {
        let connections = || self.connections.values();
        let streams = connections().map(|connection| connection.streams).sum();
        Rank {
            lasting: !self.temporary,
            value: self.value,
            has_streams: streams > 0,
            outbound: connections().any(|connection| connection.outbound),
            streams,
            age: std::cmp::Reverse(connections().map(|connection| connection.opened).max().unwrap_or(self.first_seen)),
        }
    }
}

/// By the id's last byte, as go does.
fn place(peer: &PeerId) -> usize {
    peer.as_bytes().last().map_or(0, |byte| usize::from(*byte) % SEGMENTS)
}
