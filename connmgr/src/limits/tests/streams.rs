//! Streams, and the names of what they speak.

use super::*;

#[test]
fn each_cap_on_streams_refuses_the_one_too_many_in_its_own_name() {
    type Change = fn(&mut LimitsConfig);
    // What is capped at 2, whether both directions count, and whether another connection, peer or protocol has room.
    type Row = (Change, fn(Direction) -> Limit, bool, [bool; 3]);
    let table: [Row; 6] = [
        (|config| config.streams = 2, |_| Limit::Streams, true, [false; 3]),
        (|config| (config.streams_inbound, config.streams_outbound) = (2, 2), Limit::StreamsIn, false, [false; 3]),
        (|config| config.streams_per_connection = 2, Limit::StreamsPerConnection, false, [true, true, false]),
        (|config| config.streams_per_peer = 2, Limit::StreamsPerPeer, false, [false, true, false]),
        (|config| config.streams_per_protocol = 2, Limit::StreamsPerProtocol, false, [false, false, true]),
        (|config| config.streams_per_protocol_peer = 2, Limit::StreamsPerProtocolPeer, false, [false, true, true]),
    ];
    for (change, limit, both, elsewhere) in table {
        for (direction, opposite) in [(Inbound, Outbound), (Outbound, Inbound)] {
            let mut limits = with(change);
            let (mut connection, mut peer) = (Scope::default(), Scope::default());
            let mut numbers = Vec::new();
            for _ in 0..2 {
                numbers.push(limits.open_stream(direction, Some("/a"), 1, &mut connection, &mut peer).unwrap());
            }
            let (before, scopes) = (limits.counts(), (connection, peer));
            let full = Err(LimitExceeded { limit: limit(direction), cap: 2, used: 2 });
            assert_eq!(limits.open_stream(direction, Some("/a"), 1, &mut connection, &mut peer), full);
            assert_eq!((limits.counts(), (connection, peer)), (before, scopes), "a refusal changes nothing");

            // Another connection of the same peer; of another peer; another protocol.
            let found = [
                limits.open_stream(direction, Some("/a"), 1, &mut Scope::default(), &mut peer.clone()).is_ok(),
                with_two(change, direction)
                    .open_stream(direction, Some("/a"), 2, &mut Scope::default(), &mut Scope::default())
                    .is_ok(),
                with_two(change, direction)
                    .open_stream(direction, Some("/b"), 1, &mut connection.clone(), &mut peer.clone())
                    .is_ok(),
            ];
            assert_eq!(found, elsewhere, "{:?}", limit(direction));
            let other_way =
                with_two(change, direction).open_stream(opposite, Some("/a"), 1, &mut connection, &mut peer);
            assert_eq!(other_way.is_err(), both, "{:?}", limit(direction));

            let (mut limits, mut connection, mut peer) = (with_two(change, direction), scopes.0, scopes.1);
            limits.close_stream(direction, numbers[0], 1, &mut connection, &mut peer);
            assert!(limits.open_stream(direction, Some("/a"), 1, &mut connection, &mut peer).is_ok(), "room again");
        }
    }
}

/// With two streams of protocol `/a` with peer 1.
fn with_two(change: fn(&mut LimitsConfig), direction: Direction) -> Limits {
    let mut limits = with(change);
    let (mut connection, mut peer) = Default::default();
    for _ in 0..2 {
        limits.open_stream(direction, Some("/a"), 1, &mut connection, &mut peer).unwrap();
    }
    limits
}

#[test]
fn a_protocol_that_is_known_later_is_counted_from_then_on() {
    let mut limits = with(|config| config.streams_per_protocol_peer = 1);
    let (mut connection, mut peer) = Default::default();
    for _ in 0..2 {
        assert_eq!(limits.open_stream(Inbound, None, 1, &mut connection, &mut peer), Ok(None));
    }
    let number = limits.set_protocol(Inbound, "/a", 1).unwrap();
    let full = LimitExceeded { limit: Limit::StreamsPerProtocolPeer(Inbound), cap: 1, used: 1 };
    assert_eq!(limits.set_protocol(Inbound, "/a", 1), Err(full));
    assert_eq!(limits.counts().streams_inbound, 2, "it still counts as a stream");
    limits.close_stream(Inbound, Some(number), 1, &mut connection, &mut peer);
    assert_eq!(limits.set_protocol(Inbound, "/a", 1), Ok(number));
}

#[test]
fn names_that_came_and_went_take_no_room() {
    let mut limits = with(|config| config.streams_per_protocol_peer = 8);
    let (mut connection, mut peer) = Default::default();
    for number in 0..10_000 {
        let name = format!("/{number}");
        let protocol = limits.open_stream(Inbound, Some(&name), number, &mut connection, &mut peer).unwrap();
        limits.close_stream(Inbound, protocol, number, &mut connection, &mut peer);
    }
    assert!(limits.memory_used() < 1000, "{} bytes", limits.memory_used());
}

#[test]
fn protocols_beyond_the_cap_count_as_one_and_names_without_streams_are_forgotten() {
    let mut limits = with(|config| (config.protocols, config.protocol_name, config.streams_per_protocol) = (2, 8, 2));
    let (mut connection, mut peer) = Default::default();
    let mut open = |limits: &mut Limits, name: &str| {
        limits.open_stream(Inbound, Some(name), 1, &mut connection, &mut peer).map(Option::unwrap)
    };
    let a = open(&mut limits, "/a").unwrap();
    let b = open(&mut limits, "/b").unwrap();
    assert_eq!(open(&mut limits, "/a"), Ok(a));
    assert_eq!(open(&mut limits, "/c"), Ok(ProtocolIx::OTHERS));
    assert_eq!(open(&mut limits, "/too-long"), Ok(ProtocolIx::OTHERS));
    assert_eq!((limits.protocol_name(a), limits.protocol_name(b)), (Some("/a"), Some("/b")));
    assert_eq!(limits.protocol_name(ProtocolIx::OTHERS), None);
    assert_eq!(limits.counts().protocols, 2);

    let full = LimitExceeded { limit: Limit::StreamsPerProtocol(Inbound), cap: 2, used: 2 };
    for name in ["/a", "/d"] {
        assert_eq!(open(&mut limits, name), Err(full), "{name}");
    }
    limits.close_stream(Inbound, Some(b), 1, &mut connection, &mut peer);
    assert_eq!(limits.protocol_name(b), None);
    let d = limits.set_protocol(Inbound, "/d", 1).unwrap();
    assert_eq!(limits.protocol_name(d), Some("/d"));
    assert_eq!(limits.set_protocol(Inbound, "/e", 1), Err(full));
}

#[test]
fn long_names_are_in_the_memory_that_is_told_and_leave_it() {
    let mut limits = with(|_| ());
    let (mut connection, mut peer) = Default::default();
    let name = "/".repeat(10_000);
    let before = limits.memory_used();
    let number = limits.open_stream(Outbound, Some(&name), 1, &mut connection, &mut peer).unwrap();
    assert!(limits.memory_used() >= before + 10_000);
    limits.close_stream(Outbound, number, 1, &mut connection, &mut peer);
    assert!(limits.memory_used() < before + 1000);
}
