//! The calls of the application on the node, and what it hears.

use super::*;
use alloc::string::ToString;

#[test]
fn both_learn_who_the_other_is() {
    let mut pair = Pair::new();
    pair.connect();
    pair.pass(Duration::from_secs(1));
    for node in 0..2 {
        let other = pair.peer(1 - node);
        let identity = pair.nodes[node].host().identity(&other).expect("identified");
        assert_eq!(identity.agent.as_deref(), Some(concat!("tidewire/", env!("CARGO_PKG_VERSION"))));
        assert!(identity.protocols.contains(&ECHO), "{:?}", identity.protocols);
        let manager = pair.nodes[node].host().manager();
        assert!(manager.peer(&other).is_some());
    }
}

#[test]
fn what_is_served_is_what_is_announced() {
    let mut pair = Pair::new();
    pair.connect();
    pair.pass(Duration::from_secs(1));
    let other = pair.peer(1);
    let served = |pair: &Pair| pair.nodes[0].host().identity(&other).unwrap().protocols.contains(&ECHO);
    assert!(served(&pair));
    pair.nodes[1].unserve(pair.now, &ECHO);
    pair.pass(Duration::from_secs(10));
    assert!(!served(&pair), "pushed");
}

#[test]
fn a_misuse_changes_nothing() {
    let mut pair = Pair::new();
    pair.pass(Duration::from_secs(5));
    let (to, addresses) = (pair.peer(1), [address(1)]);
    pair.nodes[0].connect(pair.now, RequestId(1), to, &addresses, DialOptions::default()).unwrap();
    let dial = core::iter::from_fn(|| pair.nodes[0].poll()).find_map(|action| match action {
        SoloAction::Dial { dial, .. } => Some(dial),
        _ => None,
    });
    let dial = dial.unwrap();
    let went_back = |result| matches!(result, Err(crate::Misuse::TimeWentBack { .. }));
    let fault = || DialFault::Transport("refused".into());
    assert!(went_back(pair.nodes[0].dialed(Time::ZERO, dial, &address(0), &address(1)).map(drop)));
    assert!(went_back(pair.nodes[0].dial_failed(Time::ZERO, dial, fault())));
    assert!(went_back(pair.nodes[0].accepted(Time::ZERO, &address(0), &address(1)).map(drop)));
    let never = DialId(99);
    assert_eq!(pair.nodes[0].dial_failed(pair.now, never, fault()), Err(crate::Misuse::UnknownDial(never)));
    assert_eq!(pair.nodes[0].host().connections().count(), 0);
    // It is under way as before.
    pair.nodes[0].dial_failed(pair.now, dial, fault()).unwrap();
    let failed = |event: &SoloEvent| {
        matches!(event, SoloEvent::Host(Event::Manager(connmgr::Event::DialFailed { request: RequestId(1), .. })))
    };
    pair.run();
    assert!(pair.events[0].iter().any(failed));
}

#[test]
fn a_clock_that_goes_back_stops_neither_a_shutdown_nor_what_is_served() {
    let mut pair = Pair::new();
    pair.pass(Duration::from_secs(5));
    let chat = Protocol::from_static("/chat/1");
    pair.nodes[0].serve(Time::ZERO, chat.clone(), Matcher::Exact, RouteId::new(8)).unwrap();
    pair.pass(Duration::from_secs(10));
    assert!(pair.nodes[0].host().profile().unwrap().protocols.contains(&chat));
    pair.nodes[0].shutdown(Time::ZERO);
    pair.run();
    assert_eq!(pair.listening[0], None);
}

#[test]
fn a_text_that_no_message_could_hold_is_refused_at_the_beginning() {
    let mut config = SoloConfig::default();
    config.host.agent = "x".repeat(10_000).into();
    let keypair = Keypair::from_seed(&Seed::new([1; 32]));
    let solo = Solo::new(config, keypair, &Seed::new([2; 32]), UnixTime::from_secs(0));
    assert!(matches!(solo, Err(super::super::SoloError::Card(_))));
}

#[test]
fn a_number_of_our_own_routes_is_refused_and_says_so() {
    let mut pair = Pair::new();
    let route = RouteId::new(crate::link::OWN_ROUTES);
    let refused = pair.nodes[0].serve(pair.now, ECHO, Matcher::Exact, route);
    assert_eq!(refused, Err(ServeError::OwnRoute { name: ECHO, route }));
    assert!(refused.unwrap_err().to_string().contains("are the node's own"));
    // What was served before is served still.
    pair.connect();
    pair.stream(1);
    let last = RouteId::new(crate::link::OWN_ROUTES - 1);
    pair.nodes[0].serve(pair.now, ECHO, Matcher::Exact, last).unwrap();
}

#[test]
fn the_connections_are_seen_with_their_peers_and_what_was_agreed_on() {
    let mut pair = Pair::new();
    let connection = pair.connect();
    let views: Vec<_> = pair.nodes[0].connections().collect();
    let [view] = views[..] else { panic!("{views:?}") };
    assert_eq!(
        (view.connection, view.peer, view.direction),
        (connection, Some(pair.peer(1)), crate::Direction::Outbound)
    );
    assert_eq!(
        (view.remote, view.security, view.muxer.map(tidewire_upgrade::muxer::MuxerKind::name)),
        (&address(1), Some("/noise"), Some("/yamux/1.0.0"))
    );
}

#[test]
fn who_is_dialed_and_whose_stream_comes_is_said() {
    let mut pair = Pair::new();
    let (to, addresses) = (pair.peer(1), [address(1)]);
    pair.nodes[0].connect(pair.now, RequestId(1), to, &addresses, DialOptions::default()).unwrap();
    let actions: Vec<SoloAction> = core::iter::from_fn(|| pair.nodes[0].poll()).collect();
    assert!(actions.iter().any(|action| matches!(action, SoloAction::Dial { peer, .. } if *peer == to)));
    actions.into_iter().for_each(|action| pair.act(0, action));
    pair.run();
    pair.stream(1);
    let of = |event: &(ConnectionId, StreamEvent)| match &event.1 {
        StreamEvent::Incoming { peer, .. } => Some(*peer),
        _ => None,
    };
    assert_eq!(pair.streams(1).iter().find_map(of), Some(pair.peer(0)));
}

#[test]
fn who_asks_at_once_hears_of_what_was_served_just_before() {
    let mut pair = Pair::new();
    pair.pass(Duration::from_secs(10));
    let chat = Protocol::from_static("/chat/1");
    pair.nodes[1].serve(pair.now, chat.clone(), Matcher::Exact, RouteId::new(8)).unwrap();
    pair.connect();
    let identity = pair.nodes[0].host().identity(&pair.peer(1)).expect("in the same moment");
    assert!(identity.protocols.contains(&chat), "{:?}", identity.protocols);
    assert!(identity.listen_addresses().contains(&address(1)));
}

#[test]
fn actions_that_nobody_polls_stop_the_links_and_polling_lets_them_go_on() {
    let mut pair = Pair::with(|config| config.max_actions = 8);
    let connection = pair.connect();
    let [(_, stream), (there, incoming)] = pair.stream(1);
    pair.nodes[1].read(pair.now, there, incoming).unwrap();
    pair.run();
    // So many streams that each of them is told of.
    for open in 2..=60 {
        let peer = pair.peer(1);
        pair.nodes[0].open(pair.now, OpenId(open), peer, &Protocols::from(ECHO), OpenOptions::default()).unwrap();
        while let Some(action) = pair.nodes[0].poll() {
            if let SoloAction::Event(SoloEvent::Stream { event: StreamEvent::Opened { stream, .. }, .. }) = action {
                pair.nodes[0].write(pair.now, connection, stream, b"!").unwrap();
            }
        }
    }
    pair.nodes[0].write(pair.now, connection, stream, b"!").unwrap();
    let bytes = pair.nodes[0].tx(connection).map(core::mem::take).unwrap();
    pair.nodes[0].sent(pair.now, connection);
    pair.nodes[1].rx(there).unwrap().extend_from_slice(&bytes);
    pair.nodes[1].received(pair.now, there);
    let queued = pair.nodes[1].actions.len();
    assert!((8..12).contains(&queued), "{queued}");
    let refused = pair.nodes[1].listen(pair.now, ListenerId(9), &address(1));
    assert_eq!(refused, Err(crate::Misuse::Unpolled(8)));
    // What the driver says is heard.
    pair.nodes[1].listener_closed(pair.now, ListenerId(0), "the interface is gone").unwrap();
    let incoming = core::iter::from_fn(|| pair.nodes[1].poll()).filter(|action| {
        matches!(action, SoloAction::Event(SoloEvent::Stream { event: StreamEvent::Incoming { .. }, .. }))
    });
    assert_eq!(incoming.count(), 59);
    assert!(pair.nodes[1].rx(there).unwrap().is_empty());
}
