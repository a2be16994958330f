//! What an upgrade costs: flights, allocations, and the memory of a connection that is idle.

use crate::support::{ECHO, End, Upgrading, deliver, node, router, start};
use bytes::BytesMut;
use tidewire_core::{Machine, Time};
use tidewire_multistream::Protocols;
use tidewire_upgrade::connection::{Connection, Event, Selection};
use tidewire_upgrade::pipeline::{Plan, Upgrader};

#[expect(clippy::large_enum_variant, reason = "two of them in a test")]
enum Phase {
    Upgrading(Upgrading),
    Up(End),
    Between,
}

impl Phase {
    fn turn(&mut self) {
        if let Phase::Upgrading(end) = self {
            end.turn(Time::ZERO);
            assert_eq!(end.error, None);
            if end.ready {
                let Phase::Upgrading(end) = core::mem::replace(self, Phase::Between) else { return };
                *self = Phase::Up(end.into_end());
            }
        }
        if let Phase::Up(end) = self {
            end.turn(Time::ZERO);
        }
    }

    fn pipes(&mut self) -> (&mut BytesMut, &mut BytesMut) {
        match self {
            Phase::Upgrading(end) => (&mut end.rx, &mut end.tx),
            Phase::Up(end) => (&mut end.rx, &mut end.tx),
            Phase::Between => unreachable!(),
        }
    }
}

/// Flights from the initiator, from its first byte on, until a byte that it wrote on a stream has come back.
fn flights(alice: &Upgrader, bob: &Upgrader) -> usize {
    let mut a = Phase::Upgrading(Upgrading::new(start(alice, Plan::Initiate, Some(bob.peer()), 3)));
    let mut b = Phase::Upgrading(Upgrading::new(start(bob, Plan::Respond, None, 4)));
    let mut stream = None;
    for flight in 1..20 {
        a.turn();
        if let Phase::Up(end) = &mut a {
            let id = *stream.get_or_insert_with(|| {
                let id = end.open(ECHO, Selection::Lazy);
                end.write(id, b"?");
                id
            });
            if end.read_all(id).0 == b"!" {
                return flight - 1;
            }
        }
        deliver(a.pipes().1, b.pipes().0);
        b.turn();
        if let Phase::Up(end) = &mut b {
            for id in end.accepted() {
                if end.read_all(id).0 == b"?" {
                    end.write(id, b"!");
                }
            }
        }
        deliver(b.pipes().1, a.pipes().0);
    }
    panic!("no answer");
}

fn ready(n: u8, early: bool, selection: Selection) -> Upgrader {
    node(n, |config| {
        config.early_muxer = early;
        config.selection = selection;
        config.connection.router = Some(router());
    })
}

/// With TCP's own round trip this makes 3, 3, 4 and 5.
#[test]
fn the_first_answered_byte_takes_two_flights_behind_tcps() {
    for (early, selection, expected) in [
        (true, Selection::Lazy, 2),
        (false, Selection::Lazy, 2),
        // The stream itself is opened lazily.
        (true, Selection::Plain, 3),
        (false, Selection::Plain, 4),
    ] {
        let got = flights(&ready(1, early, selection), &ready(2, early, selection));
        assert_eq!(got, expected, "early {early}, {selection:?}");
    }
    // One end alone is enough where there is nothing to choose.
    assert_eq!(flights(&ready(1, true, Selection::Lazy), &ready(2, false, Selection::Plain)), 2);
}

/// Both ends, from nothing to two connections; the buffers on the way are large enough from the beginning.
fn connect(alice: &Upgrader, bob: &Upgrader, to_a: &mut BytesMut, to_b: &mut BytesMut) -> [Connection; 2] {
    let mut a = start(alice, Plan::Initiate, Some(bob.peer()), 3);
    let mut b = start(bob, Plan::Respond, None, 4);
    for _ in 0..3 {
        while a.advance(Time::ZERO, to_a, to_b).unwrap().is_some() {}
        while b.advance(Time::ZERO, to_b, to_a).unwrap().is_some() {}
    }
    [a, b].map(|upgrade| upgrade.into_connection().unwrap())
}

#[test]
fn a_whole_upgrade_makes_at_most_50_allocations_on_both_ends() {
    let (alice, bob) = (ready(1, true, Selection::Lazy), ready(2, true, Selection::Lazy));
    let (mut to_a, mut to_b) = (BytesMut::with_capacity(4096), BytesMut::with_capacity(4096));
    connect(&alice, &bob, &mut to_a, &mut to_b); // what is set up once
    let (mut to_a, mut to_b) = (BytesMut::with_capacity(4096), BytesMut::with_capacity(4096));
    let mut connections = None;
    let info = allocation_counter::measure(|| connections = Some(connect(&alice, &bob, &mut to_a, &mut to_b)));
    println!("{} allocations, {} bytes at most", info.count_total, info.bytes_max);
    assert!(info.count_total <= 50, "{info:?}");
}

#[test]
fn an_idle_connection_holds_at_most_1_kib() {
    for early in [true, false] {
        let (alice, bob) = (ready(1, early, Selection::Lazy), ready(2, early, Selection::Lazy));
        let (mut to_a, mut to_b) = (BytesMut::with_capacity(4096), BytesMut::with_capacity(4096));
        connect(&alice, &bob, &mut to_a, &mut to_b);
        to_a.clear();
        to_b.clear();
        let mut kept = None;
        let info = allocation_counter::measure(|| {
            let mut connections = connect(&alice, &bob, &mut to_a, &mut to_b);
            for _ in 0..2 {
                let [a, b] = &mut connections;
                while a.advance(Time::ZERO, &mut to_a, &mut to_b).unwrap().is_some() {}
                while b.advance(Time::ZERO, &mut to_b, &mut to_a).unwrap().is_some() {}
            }
            kept = Some(connections);
        });
        let connections = kept.unwrap();
        let heap = u64::try_from(info.bytes_current).unwrap();
        let stated: usize = connections.iter().map(Machine::memory_used).sum();
        println!("early {early}: {} bytes of struct, {heap} of heap for two", size_of::<Connection>());
        // Names and keys that are shared with the node don't count; all that is one connection's own does.
        assert!(stated as u64 <= heap + 64, "{stated} stated, {heap} held");
        assert!(size_of::<Connection>() as u64 + heap / 2 <= 1024, "{} + {}", size_of::<Connection>(), heap / 2);
    }
}

#[test]
fn an_idle_connection_has_nothing_to_say_until_its_keep_alive() {
    let mut pair = crate::support::Pair::new(|_| {});
    let (id, remote) = pair.stream();
    pair.a.write(id, b"x");
    pair.settle();
    assert_eq!(pair.b.read_all(remote).0, b"x");
    pair.settle();
    for end in [&mut pair.a, &mut pair.b] {
        let deadline = end.connection.deadline();
        assert!(deadline > Time::from_millis(9_000) && !deadline.is_never(), "{deadline:?}");
        assert!(end.rx.is_empty() && end.tx.is_empty());
    }
}

#[test]
fn frames_that_are_read_at_once_cost_no_allocation() {
    let mut pair = crate::support::Pair::new(|_| {});
    let (id, remote) = pair.stream();
    let data = [7; 1024];
    let (mut wire, mut back) = (BytesMut::with_capacity(128 * 1024), BytesMut::with_capacity(4096));
    let mut turn = |pair: &mut crate::support::Pair| {
        pair.a.connection.write(id, &data, &mut wire).unwrap();
        while let Some(event) = pair.b.connection.advance(Time::ZERO, &mut wire, &mut back).unwrap() {
            assert!(matches!(event, Event::Readable(_)));
            while let Ok(Some(piece)) = pair.b.connection.read(remote, &mut back) {
                assert_eq!(piece.len(), data.len());
            }
        }
        while pair.a.connection.advance(Time::ZERO, &mut back, &mut wire).unwrap().is_some() {}
        wire.reserve(4096);
        back.reserve(4096);
    };
    while matches!(pair.b.read(remote), Ok(Some(_))) {}
    for _ in 0..10 {
        turn(&mut pair);
    }
    let info = allocation_counter::measure(|| {
        for _ in 0..1000 {
            turn(&mut pair);
        }
    });
    // A window's worth of frames begins a new buffer now and then; a frame does not.
    assert!(info.count_total < 100, "{info:?}");
}

#[test]
fn a_list_of_several_protocols_is_proposed_one_by_one() {
    let mut pair = crate::support::Pair::new(|_| {});
    let protocols = Protocols::parse(&["/none/1", "/none/2", "/echo/1.0.0"]).unwrap();
    let id = pair.a.open_any(&protocols, Selection::Lazy);
    assert!(pair.a.connection.write(id, b"early", &mut pair.a.tx).is_err());
    pair.settle();
    assert!(matches!(&pair.a.events[..], [Event::Negotiated { protocol, .. }] if *protocol == ECHO));
    pair.a.write(id, b"now");
}
