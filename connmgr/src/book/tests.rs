//! The book beside a model that keeps everything in plain lists and counts anew each time.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use super::*;
use crate::limits::Scope;
use alloc::vec::Vec;
use proptest::prelude::*;
use smol_str::SmolStr;
use std::println;
use tidewire_core::Component;

const NOWHERE: ConnIx = ConnIx(1000);
const NOBODY: PeerIx = PeerIx(1000);

fn book() -> Book {
    Book::new(&Seed::new([7; 32]))
}

fn peer_id(number: u32) -> PeerId {
    let mut bytes = [0; 34];
    bytes[..2].copy_from_slice(&[0x12, 0x20]);
    bytes[2..6].copy_from_slice(&number.to_be_bytes());
    PeerId::from_bytes(&bytes).unwrap()
}

fn address(number: u32) -> Multiaddr {
    Multiaddr::tcp((core::net::Ipv4Addr::from(number), 4001).into())
}

fn remote(relayed: bool) -> Multiaddr {
    if relayed { address(1).with(Component::P2pCircuit).unwrap() } else { address(2) }
}

fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1000)
}

fn asked(why: &str) -> CloseReason {
    CloseReason::Asked { why: SmolStr::new(why) }
}

fn open(book: &mut Book, now: Time, id: u64, peer: PeerIx) -> ConnIx {
    book.open(now, ConnectionId(id), peer, Direction::Outbound, remote(false), Role::Initiator, false).unwrap()
}

#[test]
fn entries_are_compact_and_slots_take_no_more_than_they() {
    assert!(size_of::<Peer>() <= 96, "a peer takes {} bytes", size_of::<Peer>());
    assert!(size_of::<Connection>() <= 88, "a connection takes {} bytes", size_of::<Connection>());
    assert!(size_of::<Stream>() <= 40, "a stream takes {} bytes", size_of::<Stream>());
    assert_eq!(Slab::<Peer>::SLOT_BYTES, size_of::<Peer>());
    assert_eq!(Slab::<Connection>::SLOT_BYTES, size_of::<Connection>());
    assert_eq!(Slab::<Stream>::SLOT_BYTES, size_of::<Stream>());
}

#[test]
fn a_connection_with_its_peer_and_address_takes_less_than_260_bytes() {
    const CONNECTIONS: u32 = 100_000;
    let mut book = book();
    for number in 0..CONNECTIONS {
        let peer = book.intern(peer_id(number));
        let id = ConnectionId(u64::from(number));
        book.open(at(1), id, peer, Direction::Inbound, address(number), Role::Responder, false).unwrap();
    }
    let each = book.memory_used() / CONNECTIONS as usize;
    println!("{each} bytes a connection, at {CONNECTIONS}");
    assert!(each < 260, "{each} bytes a connection");

    for number in 0..CONNECTIONS {
        let ix = book.find_connection(ConnectionId(u64::from(number))).unwrap();
        let peer = book.find(&peer_id(number)).unwrap();
        assert_eq!(book.remove(ix).unwrap().peer, Some(peer));
        book.forget(peer);
    }
    assert_eq!(book.counts(), Counts::default());
    assert_eq!(book.address_bytes, 0);
}

#[test]
fn the_memory_counted_is_the_memory_allocated() {
    let mut book = book();
    let allocated = allocation_counter::measure(|| {
        for number in 0..3000 {
            let peer = book.intern(peer_id(number));
            let connection = open(&mut book, at(1), number.into(), peer);
            for stream in 0..2 {
                book.open_stream(at(1), connection, StreamId(stream), Direction::Inbound, None).unwrap();
            }
        }
    });
    assert_eq!(i64::try_from(book.memory_used()).unwrap(), allocated.bytes_current);
}

#[test]
fn a_peer_is_interned_once_and_forgotten_only_without_connections() {
    let mut book = book();
    let peer = book.intern(peer_id(1));
    assert_eq!(book.intern(peer_id(1)), peer);
    let connection = open(&mut book, at(1), 1, peer);
    book.set_closing(connection, asked("enough"));
    book.forget(peer);
    assert_eq!(book.find(&peer_id(1)), Some(peer), "a closing connection holds its peer");
    book.remove(connection);
    book.forget(peer);
    assert_eq!(book.find(&peer_id(1)), None);
    assert!(book.peer(peer).is_none());
}

#[test]
fn an_id_in_use_gives_the_connection_that_has_it() {
    let mut book = book();
    let first = book.incoming(at(1), ConnectionId(9), remote(false)).unwrap();
    let peer = book.intern(peer_id(1));
    assert_eq!(book.incoming(at(2), ConnectionId(9), remote(false)), Err(first));
    let again = book.open(at(2), ConnectionId(9), peer, Direction::Outbound, remote(false), Role::Initiator, false);
    assert_eq!(again, Err(first));
    assert_eq!(book.connection(first).unwrap().since, at(1));
    assert_eq!(book.counts().pending, 1);
}

#[test]
fn a_connection_without_a_known_peer_is_not_opened() {
    let mut book = book();
    let id = ConnectionId(1);
    let refused = book.open(at(1), id, NOBODY, Direction::Outbound, remote(false), Role::Initiator, false);
    assert!(book.connection(refused.unwrap_err()).is_none());
    assert_eq!(book.find_connection(id), None);
    assert_eq!(book.counts(), Counts::default());
}

#[test]
fn a_pending_connection_that_is_closing_cannot_be_established() {
    let mut book = book();
    let peer = book.intern(peer_id(1));
    let connection = book.incoming(at(1), ConnectionId(1), remote(false)).unwrap();
    assert!(book.set_closing(connection, CloseReason::Shutdown));
    book.establish(at(2), connection, peer, Role::Responder, false);
    assert_eq!(book.connection(connection).unwrap().state, State::Closing);
    assert_eq!(book.peer(peer).unwrap().established, 0);
    assert_eq!(book.counts(), Counts { closing: 1, peers: 1, ..Counts::default() });
}

#[test]
fn the_newest_is_the_youngest_that_is_open() {
    let mut book = book();
    let peer = book.intern(peer_id(1));
    let connections: Vec<ConnIx> = (1..=4).map(|n| open(&mut book, at(n), n, peer)).collect();
    let newest = |book: &Book| book.peer(peer).unwrap().newest;
    assert_eq!(newest(&book), at(4));
    book.set_closing(connections[2], asked("not the newest"));
    assert_eq!(newest(&book), at(4));
    book.set_closing(connections[3], asked("the newest, and the one before is closing"));
    assert_eq!(newest(&book), at(2));
    book.remove(connections[1]);
    assert_eq!(newest(&book), at(1));
    book.remove(connections[0]);
    assert_eq!(newest(&book), Time::ZERO);
}

#[test]
fn a_second_reason_for_closing_changes_nothing() {
    let mut book = book();
    let peer = book.intern(peer_id(1));
    let connection = open(&mut book, at(1), 1, peer);
    assert_eq!(book.closing_reason(connection), None);
    assert!(book.set_closing(connection, asked("first")));
    assert!(!book.set_closing(connection, CloseReason::Shutdown));
    assert_eq!(book.closing_reason(connection), Some(&asked("first")));
    assert_eq!(book.take_closing_reason(connection), Some(asked("first")));
    assert!(book.connection(connection).unwrap().is_closing());
    assert_eq!(book.counts().closing, 1);
}

#[test]
fn a_long_closing_reason_is_accounted_for_until_it_goes() {
    let mut book = book();
    let peer = book.intern(peer_id(1));
    let connection = open(&mut book, at(1), 1, peer);
    let before = book.memory_used();
    book.set_closing(connection, asked(&"long ".repeat(20)));
    assert!(book.memory_used() >= before + 100 + size_of::<CloseReason>());
    book.take_closing_reason(connection);
    assert_eq!(book.memory_used(), before);
}

#[test]
fn streams_come_out_oldest_first() {
    let mut book = book();
    let peer = book.intern(peer_id(1));
    let connection = open(&mut book, at(1), 1, peer);
    for id in [5, 3, 9, 1] {
        book.open_stream(at(2), connection, StreamId(id), Direction::Inbound, None).unwrap();
    }
    book.close_stream(at(3), connection, StreamId(3));
    let mut out = Vec::new();
    while let Some(stream) = book.next_stream(connection) {
        out.push(book.close_stream(at(4), connection, stream).unwrap().id.0);
    }
    assert_eq!(out, [5, 9, 1]);
}

#[test]
fn streams_of_two_connections_may_have_the_same_id() {
    let mut book = book();
    let peer = book.intern(peer_id(1));
    let (first, second) = (open(&mut book, at(1), 1, peer), open(&mut book, at(1), 2, peer));
    book.open_stream(at(2), first, StreamId(1), Direction::Inbound, Some(1)).unwrap();
    book.open_stream(at(2), second, StreamId(1), Direction::Outbound, Some(2)).unwrap();
    assert_eq!(book.open_stream(at(2), second, StreamId(1), Direction::Inbound, None), Err(StreamExists));
    assert_eq!(book.stream(first, StreamId(1)).unwrap().protocol, Some(1));
    assert_eq!(book.close_stream(at(3), second, StreamId(1)).unwrap().protocol, Some(2));
    assert_eq!(book.peer(peer).unwrap().streams, 1);
}

#[test]
fn removing_a_connection_takes_its_streams_along() {
    let mut book = book();
    let peer = book.intern(peer_id(1));
    let connection = open(&mut book, at(1), 1, peer);
    for id in 0..3 {
        book.open_stream(at(2), connection, StreamId(id), Direction::Inbound, None).unwrap();
    }
    assert_eq!(book.remove(connection).unwrap().used, at(2));
    assert_eq!(book.counts(), Counts { peers: 1, ..Counts::default() });
    let again = open(&mut book, at(3), 1, peer);
    assert!(book.stream(again, StreamId(0)).is_none(), "a slot that is used again brings no old streams");
}

#[test]
fn slots_that_hold_nothing_have_no_effect() {
    let mut book = book();
    let peer = book.intern(peer_id(1));
    book.forget(NOBODY);
    book.establish(at(1), NOWHERE, peer, Role::Responder, false);
    assert!(!book.set_closing(NOWHERE, CloseReason::Shutdown));
    assert!(book.remove(NOWHERE).is_none());
    assert!(book.open_stream(at(1), NOWHERE, StreamId(1), Direction::Inbound, None).is_err());
    assert!(book.close_stream(at(1), NOWHERE, StreamId(1)).is_none());
    assert!(book.next_stream(NOWHERE).is_none());
    assert!(book.peer_mut(NOBODY).is_none() && book.connection_mut(NOWHERE).is_none());
    assert_eq!(book.connections_of(NOBODY).count(), 0);
    assert_eq!(book.counts(), Counts { peers: 1, ..Counts::default() });
    let pending = book.incoming(at(1), ConnectionId(1), remote(false)).unwrap();
    book.establish(at(1), pending, NOBODY, Role::Responder, false);
    assert_eq!(book.connection(pending).unwrap().state, State::Pending);
}

// The model.

#[derive(Clone, Copy, Debug)]
enum Op {
    Intern(u32),
    Forget(u32),
    Incoming { id: u64, relayed: bool },
    Establish { id: u64, peer: u32, role: Role, limited: bool },
    Open { id: u64, peer: u32, direction: Direction, relayed: bool, role: Role, limited: bool },
    SetClosing { id: u64, long: bool },
    Remove(u64),
    OpenStream { id: u64, stream: u64, direction: Direction, protocol: Option<u32> },
    SetProtocol { id: u64, stream: u64, protocol: u32 },
    CloseStream { id: u64, stream: u64 },
}

const PEERS: u32 = 4;
const CONNECTIONS: u64 = 8;
const STREAMS: u64 = 5;

fn op() -> impl Strategy<Value = Op> {
    let id = 0..CONNECTIONS;
    let peer = 0..PEERS;
    let stream = 0..STREAMS;
    let direction = prop_oneof![Just(Direction::Inbound), Just(Direction::Outbound)];
    let role = prop_oneof![Just(Role::Initiator), Just(Role::Responder)];
    let flag = any::<bool>;
    prop_oneof![
        1 => peer.clone().prop_map(Op::Intern),
        1 => peer.clone().prop_map(Op::Forget),
        3 => (id.clone(), flag()).prop_map(|(id, relayed)| Op::Incoming { id, relayed }),
        4 => (id.clone(), peer.clone(), role.clone(), flag())
            .prop_map(|(id, peer, role, limited)| Op::Establish { id, peer, role, limited }),
        4 => (id.clone(), peer, direction.clone(), flag(), role, flag()).prop_map(
            |(id, peer, direction, relayed, role, limited)| Op::Open { id, peer, direction, relayed, role, limited }
        ),
        2 => (id.clone(), flag()).prop_map(|(id, long)| Op::SetClosing { id, long }),
        3 => id.clone().prop_map(Op::Remove),
        6 => (id.clone(), stream.clone(), direction, prop::option::of(0u32..3))
            .prop_map(|(id, stream, direction, protocol)| Op::OpenStream { id, stream, direction, protocol }),
        1 => (id.clone(), stream.clone(), 0u32..3)
            .prop_map(|(id, stream, protocol)| Op::SetProtocol { id, stream, protocol }),
        3 => (id, stream).prop_map(|(id, stream)| Op::CloseStream { id, stream }),
    ]
}

#[derive(Default)]
struct Model {
    peers: Vec<u32>,
    /// In order of establishment, pending ones somewhere between.
    connections: Vec<ModelConnection>,
}

struct ModelConnection {
    id: u64,
    peer: Option<u32>,
    reason: Option<CloseReason>,
    direction: Direction,
    role: Role,
    remote: Multiaddr,
    limited: bool,
    since: Time,
    used: Time,
    /// In order of opening.
    streams: Vec<(u64, Direction, Option<u32>)>,
}

impl ModelConnection {
    fn state(&self) -> State {
        match (&self.reason, self.peer) {
            (Some(_), _) => State::Closing,
            (None, Some(_)) => State::Established,
            (None, None) => State::Pending,
        }
    }
}

impl Model {
    fn position(&self, id: u64) -> Option<usize> {
        self.connections.iter().position(|connection| connection.id == id)
    }

    fn get(&mut self, id: u64) -> Option<&mut ModelConnection> {
        self.connections.iter_mut().find(|connection| connection.id == id)
    }
}

/// Does the same to both, and compares the answers.
fn step(book: &mut Book, model: &mut Model, now: Time, op: Op) {
    let ix_of = |book: &Book, id| book.find_connection(ConnectionId(id)).unwrap_or(NOWHERE);
    let peer_of = |book: &Book, peer| book.find(&peer_id(peer)).unwrap_or(NOBODY);
    match op {
        Op::Intern(peer) => {
            book.intern(peer_id(peer));
            if !model.peers.contains(&peer) {
                model.peers.push(peer);
            }
        }
        Op::Forget(peer) => {
            book.forget(peer_of(book, peer));
            if model.connections.iter().all(|connection| connection.peer != Some(peer)) {
                model.peers.retain(|known| *known != peer);
            }
        }
        Op::Incoming { id, relayed } => {
            let added = book.incoming(now, ConnectionId(id), remote(relayed));
            assert_eq!(added.is_ok(), model.position(id).is_none());
            if added.is_ok() {
                model.connections.push(ModelConnection {
                    id,
                    peer: None,
                    reason: None,
                    direction: Direction::Inbound,
                    role: Role::Responder,
                    remote: remote(relayed),
                    limited: false,
                    since: now,
                    used: now,
                    streams: Vec::new(),
                });
            }
        }
        Op::Establish { id, peer, role, limited } => {
            book.establish(now, ix_of(book, id), peer_of(book, peer), role, limited);
            if model.peers.contains(&peer)
                && let Some(position) = model.position(id)
                && model.connections[position].state() == State::Pending
            {
                let pending = model.connections.remove(position);
                let peer = Some(peer);
                model.connections.push(ModelConnection { peer, role, limited, since: now, used: now, ..pending });
            }
        }
        Op::Open { id, peer, direction, relayed, role, limited } => {
            let ix = peer_of(book, peer);
            let added = book.open(now, ConnectionId(id), ix, direction, remote(relayed), role, limited);
            assert_eq!(added.is_ok(), model.position(id).is_none() && model.peers.contains(&peer));
            if added.is_ok() {
                model.connections.push(ModelConnection {
                    id,
                    peer: Some(peer),
                    reason: None,
                    direction,
                    role,
                    remote: remote(relayed),
                    limited,
                    since: now,
                    used: now,
                    streams: Vec::new(),
                });
            }
        }
        Op::SetClosing { id, long } => {
            let reason = asked(if long { "for a reason that is too long to lie in the entry itself" } else { "so" });
            let set = book.set_closing(ix_of(book, id), reason.clone());
            let connection = model.get(id).filter(|connection| connection.reason.is_none());
            assert_eq!(set, connection.is_some());
            if let Some(connection) = connection {
                connection.reason = Some(reason);
            }
        }
        Op::Remove(id) => {
            let removed = book.remove(ix_of(book, id));
            assert_eq!(removed.map(|connection| connection.id.0), model.position(id).map(|_| id));
            model.connections.retain(|connection| connection.id != id);
        }
        Op::OpenStream { id, stream, direction, protocol } => {
            let opened = book.open_stream(now, ix_of(book, id), StreamId(stream), direction, protocol);
            let connection =
                model.get(id).filter(|connection| connection.streams.iter().all(|(known, ..)| *known != stream));
            assert_eq!(opened.is_ok(), connection.is_some());
            if let Some(connection) = connection {
                connection.used = now;
                connection.streams.push((stream, direction, protocol));
            }
        }
        Op::SetProtocol { id, stream, protocol } => {
            if let Some(entry) = book.stream_mut(ix_of(book, id), StreamId(stream)) {
                entry.protocol = Some(protocol);
            }
            let streams = model.get(id).into_iter().flat_map(|connection| &mut connection.streams);
            streams.filter(|(known, ..)| *known == stream).for_each(|(.., known)| *known = Some(protocol));
        }
        Op::CloseStream { id, stream } => {
            let closed = book.close_stream(now, ix_of(book, id), StreamId(stream));
            let connection = model.get(id);
            let at = connection.as_ref().and_then(|c| c.streams.iter().position(|(known, ..)| *known == stream));
            assert_eq!(closed.map(|stream| stream.id.0), at.map(|_| stream));
            if let (Some(connection), Some(at)) = (connection, at) {
                connection.used = now;
                connection.streams.remove(at);
            }
        }
    }
}

fn compare(book: &Book, model: &Model) {
    compare_counts(book, model);
    for peer in 0..PEERS {
        compare_peer(book, model, peer);
    }
    for id in 0..CONNECTIONS {
        let known = model.connections.iter().find(|connection| connection.id == id);
        let found = book.find_connection(ConnectionId(id));
        assert_eq!(found.is_some(), known.is_some(), "connection {id}");
        if let (Some(ix), Some(known)) = (found, known) {
            compare_connection(book, ix, known);
        }
    }
    let peers: Vec<PeerIx> = book.peers().collect();
    assert!(peers.is_sorted() && peers.len() == model.peers.len());
    let connections: Vec<ConnIx> = book.connections().map(|(ix, _)| ix).collect();
    assert!(connections.is_sorted() && connections.len() == model.connections.len());
}

fn compare_counts(book: &Book, model: &Model) {
    let count = |state| model.connections.iter().filter(|connection| connection.state() == state).count() as u32;
    let mut connected: Vec<u32> = model.connections.iter().filter_map(|connection| connection.peer).collect();
    connected.sort_unstable();
    connected.dedup();
    let expected = Counts {
        pending: count(State::Pending),
        established: count(State::Established),
        closing: count(State::Closing),
        streams: model.connections.iter().map(|connection| connection.streams.len()).sum::<usize>() as u32,
        peers: model.peers.len() as u32,
        connected_peers: connected.len() as u32,
    };
    assert_eq!(book.counts(), expected);
    let address_bytes: usize = model.connections.iter().map(|connection| connection.remote.memory_used()).sum();
    assert_eq!(book.address_bytes, address_bytes);
    let reasons: usize =
        model.connections.iter().filter_map(|connection| connection.reason.as_ref()).map(reason_bytes).sum();
    assert_eq!(book.reason_bytes, reasons);
}

fn compare_peer(book: &Book, model: &Model, peer: u32) {
    let Some(ix) = book.find(&peer_id(peer)) else {
        assert!(!model.peers.contains(&peer), "peer {peer} is gone");
        return;
    };
    assert!(model.peers.contains(&peer), "peer {peer} is still there");
    let entry = book.peer(ix).unwrap();
    let all: Vec<&ModelConnection> = model.connections.iter().filter(|c| c.peer == Some(peer)).collect();
    let open: Vec<&ModelConnection> = all.iter().copied().filter(|c| c.state() == State::Established).collect();
    let count = |predicate: &dyn Fn(&ModelConnection) -> bool| open.iter().filter(|c| predicate(c)).count() as u32;
    assert_eq!(entry.id, peer_id(peer));
    assert_eq!(entry.scope, Scope::default());
    assert_eq!(entry.open, open.len() as u32);
    assert_eq!(entry.outbound, count(&|c| c.direction == Direction::Outbound));
    assert_eq!(entry.direct, count(&|c| !c.remote.is_relayed()));
    assert_eq!(entry.streams, open.iter().map(|c| c.streams.len() as u32).sum::<u32>());
    assert_eq!(entry.established, all.len() as u32);
    assert_eq!(entry.newest, open.iter().map(|c| c.since).max().unwrap_or(Time::ZERO));

    let listed: Vec<u64> = book.connections_of(ix).map(|(_, connection)| connection.id.0).collect();
    assert_eq!(listed, all.iter().map(|c| c.id).collect::<Vec<_>>());
    let backward: Vec<u64> = entry.connections.iter_back(&book.connections).map(|(_, c)| c.id.0).collect();
    assert_eq!(backward, all.iter().rev().map(|c| c.id).collect::<Vec<_>>());
}

fn compare_connection(book: &Book, ix: ConnIx, known: &ModelConnection) {
    let entry = book.connection(ix).unwrap();
    assert_eq!(entry.id.0, known.id);
    assert_eq!(entry.peer.and_then(|peer| book.peer(peer)).map(|peer| peer.id), known.peer.map(peer_id));
    assert_eq!(entry.state, known.state());
    assert_eq!((entry.is_open(), entry.is_closing()), (entry.state == State::Established, known.reason.is_some()));
    assert_eq!(book.closing_reason(ix), known.reason.as_ref());
    assert_eq!((entry.direction, entry.role, entry.limited), (known.direction, known.role, known.limited));
    assert_eq!((&entry.remote, entry.relayed), (&known.remote, known.remote.is_relayed()));
    assert_eq!((entry.since, entry.used), (known.since, known.used));
    assert_eq!(entry.scope, Scope::default());
    assert_eq!(entry.streams, known.streams.len() as u32);
    assert_eq!(book.next_stream(ix), known.streams.first().map(|(id, ..)| StreamId(*id)));
    for id in 0..STREAMS {
        let found = book.stream(ix, StreamId(id)).map(|stream| (stream.id.0, stream.direction, stream.protocol));
        assert_eq!(found, known.streams.iter().copied().find(|(known, ..)| *known == id), "stream {id}");
    }
    let ring: Vec<u64> = entry.open_streams.iter(&book.streams).map(|(_, stream)| stream.id.0).collect();
    assert_eq!(ring, known.streams.iter().map(|(id, ..)| *id).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn the_book_equals_the_model_after_every_step(ops in prop::collection::vec(op(), 1..150)) {
        let (mut book, mut model) = (book(), Model::default());
        for (second, op) in (1..).zip(ops) {
            step(&mut book, &mut model, at(second), op);
            compare(&book, &model);
        }
    }
}
