//! Streams from end to end.

use super::*;

#[test]
fn a_stream_is_opened_read_and_over() {
    let mut pair = Pair::new();
    let peer = pair.peer(1);
    let known = [address(1)];
    let ttl = Duration::from_secs(60);
    pair.nodes[0].command(pair.now, crate::Command::Addresses { peer, addresses: known.to_vec(), ttl }).unwrap();
    let protocols = Protocols::from(ECHO);
    pair.nodes[0].open(pair.now, OpenId(5), peer, &protocols, OpenOptions::default()).unwrap();
    pair.run();

    let (here, stream) = match pair.streams(0).first() {
        Some((connection, StreamEvent::Opened { open: OpenId(5), stream, .. })) => (*connection, *stream),
        other => panic!("{other:?}"),
    };
    assert_eq!(pair.nodes[0].write(pair.now, here, stream, b"hello"), Ok(5));
    pair.nodes[0].finish(pair.now, here, stream).unwrap();
    pair.run();
    let (there, incoming) = match pair.streams(1).first() {
        Some((connection, StreamEvent::Incoming { stream, route, .. })) => {
            assert_eq!(*route, RouteId::new(7));
            (*connection, *stream)
        }
        other => panic!("{other:?}"),
    };
    let piece = pair.nodes[1].read(pair.now, there, incoming).unwrap().unwrap();
    assert_eq!(&piece[..], b"hello");
    assert_eq!(pair.nodes[1].read(pair.now, there, incoming), Ok(None));
    pair.nodes[1].finish(pair.now, there, incoming).unwrap();
    pair.run();
    assert_eq!(pair.nodes[0].read(pair.now, here, stream), Ok(None));
    pair.pass(Duration::from_secs(2));
    for node in &pair.nodes {
        let limits = node.host().manager().counts().limits;
        assert_eq!((limits.streams_inbound, limits.streams_outbound), (0, 0));
    }
    // The application hears of the peer before it hears of the stream.
    let order: Vec<bool> = pair.events[1]
        .iter()
        .filter_map(|event| match event {
            SoloEvent::Host(Event::Manager(connmgr::Event::Connected { .. })) => Some(true),
            SoloEvent::Stream { event: StreamEvent::Incoming { .. }, .. } => Some(false),
            _ => None,
        })
        .collect();
    assert_eq!(order, vec![true, false]);
}

#[test]
fn a_wish_for_a_stream_that_nobody_serves_is_answered_with_the_reason() {
    let mut pair = Pair::new();
    pair.connect();
    let (peer, protocols) = (pair.peer(1), Protocols::parse(&["/none/1", "/none/2"]).unwrap());
    pair.nodes[0].open(pair.now, OpenId(1), peer, &protocols, OpenOptions::default()).unwrap();
    pair.run();
    let failed = pair.host_events(0).into_iter().find_map(|event| match event {
        Event::OpenFailed { open: OpenId(1), why, .. } => Some(why.clone()),
        _ => None,
    });
    assert_eq!(failed, Some(OpenFailure::Link(crate::link::OpenFault::Unsupported)));
}

#[test]
fn all_streams_of_a_connection_are_left_at_once() {
    let mut pair = Pair::new();
    let connection = pair.connect();
    let [_, (there, first)] = pair.stream(1);
    let [_, (_, second)] = pair.stream(2);
    pair.nodes[0].leave_all(pair.now, connection);
    pair.run();
    for incoming in [first, second] {
        assert_eq!(
            pair.nodes[1].read(pair.now, there, incoming).unwrap().as_deref(),
            Some(&b"?"[..]),
            "it still arrives"
        );
        assert_eq!(pair.nodes[1].read(pair.now, there, incoming), Ok(None));
        pair.nodes[1].finish(pair.now, there, incoming).unwrap();
    }
    pair.run();
    for node in 0..2 {
        let limits = pair.nodes[node].host().manager().counts().limits;
        assert_eq!((limits.streams_inbound, limits.streams_outbound), (0, 0), "node {node}");
    }
}
