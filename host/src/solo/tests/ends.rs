//! How connections end, and what is left of them.

use super::*;

#[test]
fn an_idle_pair_pings_and_stays() {
    let mut pair = Pair::new();
    let connection = pair.connect();
    pair.pass(Duration::from_secs(300));
    let view = pair.nodes[0].host().manager().connection(connection).expect("still there");
    assert!(view.rtt.is_some());
}

#[test]
fn shutting_down_closes_everything() {
    let mut pair = Pair::new();
    pair.connect();
    pair.pass(Duration::from_secs(1));
    pair.nodes[0].shutdown(pair.now);
    pair.pass(Duration::from_secs(1));
    for node in 0..2 {
        assert_eq!(pair.nodes[node].host().connections().count(), 0, "node {node}");
        let gone = pair.host_events(node).into_iter().any(|event| {
            matches!(event, Event::Manager(connmgr::Event::Disconnected { peer }) if *peer == pair.peer(1 - node))
        });
        assert!(gone, "node {node}");
    }
    let by: BTreeMap<usize, _> = (0..2)
        .map(|node| {
            let closed = pair.host_events(node).into_iter().find_map(|event| match event {
                Event::Manager(connmgr::Event::ConnectionClosed { by, reason, .. }) => Some((*by, reason.clone())),
                _ => None,
            });
            (node, closed)
        })
        .collect();
    assert_eq!(by[&0], Some((crate::By::Local, connmgr::CloseReason::Shutdown)));
    assert!(matches!(&by[&1], Some((crate::By::Remote, _))), "{by:?}");
}

#[test]
fn a_socket_that_breaks_ends_its_streams_behind_what_they_had_received() {
    let mut pair = Pair::new();
    let connection = pair.connect();
    let peer = pair.peer(1);
    pair.nodes[0].open(pair.now, OpenId(1), peer, &Protocols::from(ECHO), OpenOptions::default()).unwrap();
    pair.run();
    let opened = pair.streams(0).into_iter().find_map(|(_, event)| match event {
        StreamEvent::Opened { stream, .. } => Some(stream),
        _ => None,
    });
    let stream = opened.expect("opened");
    pair.nodes[0].write(pair.now, connection, stream, b"?").unwrap();
    pair.run();
    let Some((theirs, StreamEvent::Incoming { stream: incoming, .. })) = pair.streams(1).first().cloned() else {
        panic!("no stream came");
    };
    pair.nodes[1].write(pair.now, theirs, incoming, b"!").unwrap();
    pair.run();
    let told = pair.streams(0).into_iter().any(|(_, event)| event == StreamEvent::Readable(stream));
    assert!(told, "what comes together with the agreement on a protocol is told too");
    pair.nodes[0].broken(pair.now, connection, "cut");
    assert_eq!(pair.nodes[0].read(pair.now, connection, stream).unwrap().as_deref(), Some(&b"!"[..]));
    let read = pair.nodes[0].read(pair.now, connection, stream);
    assert_eq!(read, Err(tidewire_upgrade::connection::ReadStreamError::Closed));
    assert!(pair.nodes[0].write(pair.now, connection, stream, b"?").is_err());
}

#[test]
fn a_connection_over_the_limit_is_closed_with_the_reason() {
    let mut pair = Pair::with(|config| {
        config.host.manager.limits.established = 1;
        config.host.manager.limits.established_inbound = 0;
    });
    let (to, addresses) = (pair.peer(1), [address(1)]);
    pair.nodes[0].connect(pair.now, RequestId(1), to, &addresses, DialOptions::default()).unwrap();
    pair.pass(Duration::from_secs(1));
    assert_eq!(pair.nodes[1].host().connections().count(), 0);
    assert!(!pair.nodes[1].host().manager().is_connected(&pair.peer(0)));
}

/// Node 0 sends a message on a stream, and hangs up at once; all of it arrives together.
fn one_way(pair: &mut Pair, open: u64) {
    let connection = pair.connect();
    let peer = pair.peer(1);
    pair.nodes[0].open(pair.now, OpenId(open), peer, &Protocols::from(ECHO), OpenOptions::default()).unwrap();
    let stream = core::iter::from_fn(|| pair.nodes[0].poll()).find_map(|action| match action {
        SoloAction::Event(SoloEvent::Stream { event: StreamEvent::Opened { stream, .. }, .. }) => Some(stream),
        _ => None,
    });
    let stream = stream.unwrap();
    pair.nodes[0].write(pair.now, connection, stream, b"one way").unwrap();
    pair.nodes[0].finish(pair.now, connection, stream).unwrap();
    let why = "done".into();
    pair.nodes[0].command(pair.now, crate::Command::Close { connection, why }).unwrap();
    pair.act(0, SoloAction::Close { connection, why: "done".into() });
    pair.pass(Duration::from_secs(1));
    pair.events[0].clear();
}

#[test]
fn a_message_whose_sender_hangs_up_at_once_is_read_and_nothing_is_left() {
    let mut pair = Pair::new();
    one_way(&mut pair, 1);
    let (there, stream) = match pair.streams(1)[..] {
        [(there, StreamEvent::Incoming { stream, .. }), ..] => (there, stream),
        ref other => panic!("{other:?}"),
    };
    assert_eq!(pair.nodes[1].host().connections().count(), 0);
    assert_eq!(pair.nodes[1].read(pair.now, there, stream).unwrap().as_deref(), Some(&b"one way"[..]));
    assert!(pair.nodes[1].link(there).is_some());
    assert_eq!(pair.nodes[1].read(pair.now, there, stream), Ok(None));
    assert!(pair.nodes[1].link(there).is_none(), "nothing is left to read");
}

#[test]
fn of_connections_that_nobody_reads_any_more_a_few_are_kept() {
    let mut pair = Pair::with(|config| config.max_unread = 2);
    for n in 1..=4 {
        one_way(&mut pair, n);
    }
    let unread: Vec<ConnectionId> = pair.streams(1).into_iter().map(|(connection, _)| connection).collect();
    let mut kept = unread.clone();
    kept.dedup();
    assert_eq!(kept.len(), 4);
    kept.retain(|connection| pair.nodes[1].link(*connection).is_some());
    assert_eq!(kept.len(), 2, "the newest");
    assert_eq!(kept.last(), unread.last());
}

#[test]
fn a_connection_with_more_streams_than_there_are_ids_for_a_ping_stays() {
    let mut pair = Pair::with(|config| config.upgrade.muxer.yamux.max_outbound_streams = 3);
    let connection = pair.connect();
    let peer = pair.peer(1);
    for open in 1..=3 {
        pair.nodes[0].open(pair.now, OpenId(open), peer, &Protocols::from(ECHO), OpenOptions::default()).unwrap();
    }
    pair.pass(Duration::from_secs(600));
    assert!(pair.nodes[0].host().manager().connection(connection).is_some(), "{:?}", pair.host_events(0));
}

#[test]
fn a_connection_that_is_closed_is_closed_now() {
    let mut pair = Pair::new();
    let connection = pair.connect();
    pair.stream(1);
    pair.nodes[0].close(pair.now, connection, false).unwrap();
    pair.run();
    assert!(matches!(pair.closed(0), Some((crate::By::Local, connmgr::CloseReason::Asked { .. }))));
    assert!(matches!(pair.closed(1), Some((crate::By::Remote, _))));
    assert!(pair.nodes[0].close(pair.now, connection, false).is_err());
}

#[test]
fn a_connection_that_is_closed_gracefully_waits_for_its_streams() {
    let mut pair = Pair::new();
    let connection = pair.connect();
    let [(_, stream), (there, incoming)] = pair.stream(1);
    pair.nodes[0].close(pair.now, connection, true).unwrap();
    pair.pass(Duration::from_secs(10));
    assert_eq!(pair.closed(0), None);
    pair.nodes[0].write(pair.now, connection, stream, b"still").unwrap();
    pair.nodes[0].finish(pair.now, connection, stream).unwrap();
    pair.run();
    while let Ok(Some(_)) = pair.nodes[1].read(pair.now, there, incoming) {}
    pair.nodes[1].finish(pair.now, there, incoming).unwrap();
    pair.run();
    assert_eq!(pair.closed(0), None, "its end is to be read");
    assert_eq!(pair.nodes[0].read(pair.now, connection, stream), Ok(None));
    pair.run();
    assert!(matches!(pair.closed(0), Some((crate::By::Local, connmgr::CloseReason::Asked { .. }))));
    assert!(matches!(pair.closed(1), Some((crate::By::Remote, _))));
}

#[test]
fn streams_that_never_end_are_waited_for_no_longer_than_the_time_for_it() {
    let mut pair = Pair::with(|config| config.close_timeout = Duration::from_secs(7));
    let connection = pair.connect();
    pair.stream(1);
    pair.nodes[0].close(pair.now, connection, true).unwrap();
    // A second time changes nothing.
    pair.pass(Duration::from_secs(3));
    pair.nodes[0].close(pair.now, connection, true).unwrap();
    pair.pass(Duration::from_millis(3_999));
    assert_eq!(pair.closed(0), None);
    pair.pass(Duration::from_millis(1));
    assert!(pair.closed(0).is_some());
    assert!(pair.nodes[0].deadline() > pair.now);
}

#[test]
fn a_connection_without_streams_is_closed_gracefully_at_once() {
    let mut pair = Pair::new();
    let connection = pair.connect();
    pair.nodes[0].close(pair.now, connection, true).unwrap();
    pair.run();
    assert!(pair.closed(0).is_some());
}

#[test]
fn what_nobody_reads_of_connections_that_are_over_is_bounded_in_bytes_too() {
    let mut pair = Pair::with(|config| config.max_unread_bytes = 1);
    one_way(&mut pair, 1);
    let (there, _) = pair.streams(1)[0].clone();
    assert!(pair.nodes[1].link(there).is_none());
}
