//! What the documentation promises of the book, the limits, keep-alive and what is remembered, through the public API alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::std_instead_of_alloc)]

use core::time::Duration;
use tidewire_connmgr::dial::{DialFault, DialOptions};
use tidewire_connmgr::limits::{Limit, LimitsConfig};
use tidewire_connmgr::metadata::{AddressOutcome, Source};
use tidewire_connmgr::{
    Action, By, CloseReason, Config, ConnectionId, ConnectionManager, DialId, Direction, Event, Input, MemoryScope,
    Origin, RefuseReason, RequestId, Resources, StreamId, StreamRefusal,
};
use tidewire_core::{EventMachine, Multiaddr, PeerId, Role, Seed, Time, Transport};

use Direction::{Inbound, Outbound};

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, n]).unwrap()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(secs: u64) -> Time {
    Time::from_millis(secs * 1_000)
}

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

/// A public address of its own for each number.
fn home(n: u8) -> Multiaddr {
    address(&format!("/ip4/11.0.0.{n}/tcp/4001"))
}

/// Several connections with a peer are left alone, so that a test speaks of one thing.
fn config() -> Config {
    let mut config = Config::default();
    config.duplicates.per_peer = u32::MAX;
    config
}

struct World {
    manager: ConnectionManager,
    now: Time,
}

impl World {
    fn new(config: Config) -> World {
        World { manager: ConnectionManager::new(config, peer(0), &Seed::new([5; 32])), now: Time::ZERO }
    }

    fn tell(&mut self, input: Input<'_>) -> Vec<Action> {
        self.manager.handle(self.now, input).unwrap();
        core::iter::from_fn(|| self.manager.poll()).collect()
    }

    /// Time passes, from deadline to deadline.
    fn wait(&mut self, time: Duration) -> Vec<Action> {
        let (end, mut all) = (self.now + time, Vec::new());
        while self.manager.deadline() <= end {
            self.now = self.manager.deadline().max(self.now);
            self.manager.on_timeout(self.now);
            all.extend(core::iter::from_fn(|| self.manager.poll()));
        }
        self.now = end;
        all
    }

    fn open(&mut self, connection: u64, with: u8, direction: Direction, remote: &Multiaddr) -> Vec<Action> {
        let role = if direction == Outbound { Role::Initiator } else { Role::Responder };
        let (connection, origin) = (ConnectionId(connection), Origin::Other { direction, remote });
        self.tell(Input::Established { connection, peer: peer(with), origin, role, limited: false })
    }

    fn stream(&mut self, connection: u64, stream: u64, direction: Direction, protocol: &str) -> Vec<Action> {
        let (connection, stream) = (ConnectionId(connection), StreamId(stream));
        self.tell(Input::StreamOpened { connection, stream, direction, protocol: Some(protocol) })
    }

    fn incoming(&mut self, connection: u64, remote: &Multiaddr) -> Vec<Action> {
        self.tell(Input::Incoming { connection: ConnectionId(connection), remote })
    }

    fn closed(&mut self, connection: u64, by: By, why: &str) -> Vec<Action> {
        self.tell(Input::Closed { connection: ConnectionId(connection), by, why })
    }

    /// Asks for a dial, and gives the first.
    fn dial(&mut self, request: u64, to: u8, addresses: &[Multiaddr]) -> DialId {
        let options = DialOptions::default();
        let actions = self.tell(Input::Dial { request: RequestId(request), peer: peer(to), addresses, options });
        dials(&actions)[0]
    }

    fn dialed(&mut self, dial: DialId, connection: u64, with: u8) -> Vec<Action> {
        let (connection, origin) = (ConnectionId(connection), Origin::Dial(dial));
        self.tell(Input::Established { connection, peer: peer(with), origin, role: Role::Initiator, limited: false })
    }
}

fn dials(actions: &[Action]) -> Vec<DialId> {
    let dial = |action: &Action| if let Action::Dial { dial, .. } = action { Some(*dial) } else { None };
    actions.iter().filter_map(dial).collect()
}

/// The limit for which something was refused.
fn refused(actions: &[Action]) -> Option<Limit> {
    actions.iter().find_map(|action| match action {
        Action::Refuse { reason: RefuseReason::Limit(exceeded), .. }
        | Action::RefuseStream { reason: StreamRefusal::Limit(exceeded), .. } => Some(exceeded.limit),
        _ => None,
    })
}

/// Who closed a connection, why, and how long it lived.
fn ended(actions: &[Action]) -> Vec<(By, CloseReason, Duration)> {
    let end = |action: &Action| match action {
        Action::Event(Event::ConnectionClosed { by, reason, lived, .. }) => Some((*by, reason.clone(), *lived)),
        _ => None,
    };
    actions.iter().filter_map(end).collect()
}

// The book.

#[test]
fn a_connection_is_shown_with_all_that_is_known_of_it() {
    let mut world = World::new(config());
    world.now = at(1);
    let circuit = address(&format!("/ip4/11.0.0.9/udp/4001/quic-v1/p2p/{}/p2p-circuit", peer(9)));
    let (connection, role) = (ConnectionId(7), Role::Responder);
    let origin = Origin::Other { direction: Outbound, remote: &circuit };
    world.tell(Input::Established { connection, peer: peer(1), origin, role, limited: true });
    world.now = at(3);
    world.stream(7, 1, Inbound, "/a");
    world.stream(7, 2, Outbound, "/a");
    world.stream(7, 3, Outbound, "/b");
    world.now = at(4);
    world.tell(Input::Used { connection });
    world.manager.reserve(MemoryScope::Connection(connection), 100).unwrap().unwrap();

    let view = world.manager.connection(connection).unwrap();
    assert_eq!((view.id, view.peer, view.direction, view.role), (connection, Some(peer(1)), Outbound, role));
    assert_eq!((view.remote, view.relayed, view.limited), (&circuit, true, true));
    assert_eq!((view.since, view.used, view.closing), (at(1), at(4), None));
    assert_eq!((view.inbound_streams, view.outbound_streams, view.memory), (1, 2, 100));
    assert_eq!(view.rtt, None);
    world.now = at(6);
    world.tell(Input::StreamClosed { connection, stream: StreamId(2) });
    let view = world.manager.connection(connection).unwrap();
    assert_eq!((view.used, view.outbound_streams), (at(6), 1), "a stream's end is use too");
    world.tell(Input::Close { connection, why: "enough" });
    let why = CloseReason::Asked { why: "enough".into() };
    assert_eq!(world.manager.connection(connection).unwrap().closing, Some(&why));
}

#[test]
fn the_transport_of_a_connection_is_that_of_its_address() {
    let table = [
        ("/ip4/11.0.0.1/tcp/1", Transport::Tcp),
        ("/ip4/11.0.0.1/udp/1/quic-v1", Transport::QuicV1),
        ("/ip6/2001:db8::1/tcp/443/tls/ws", Transport::Wss),
        ("/ip4/11.0.0.1/udp/1/quic-v1/webtransport", Transport::WebTransport),
        ("/memory/7", Transport::Memory),
    ];
    for (remote, transport) in table {
        let mut world = World::new(config());
        world.open(1, 1, Inbound, &address(remote));
        let view = world.manager.connection(ConnectionId(1)).unwrap();
        assert_eq!((view.transport, view.relayed), (transport, false), "{remote}");
    }
}

#[test]
fn connections_are_found_by_peer_the_oldest_first() {
    let mut world = World::new(config());
    for (connection, with) in [(5, 1), (3, 2), (4, 1), (1, 1)] {
        world.open(connection, with, Inbound, &home(with));
    }
    let of = |world: &World, n| -> Vec<u64> { world.manager.connections_of(&peer(n)).map(|view| view.id.0).collect() };
    assert_eq!((of(&world, 1), of(&world, 2), of(&world, 3)), (vec![5, 4, 1], vec![3], vec![]));
    assert_eq!(world.manager.connected_peers().collect::<Vec<_>>(), [peer(1), peer(2)]);
    world.closed(4, By::Remote, "");
    world.closed(3, By::Remote, "");
    assert_eq!((of(&world, 1), of(&world, 2)), (vec![5, 1], vec![]));
    assert_eq!(world.manager.connected_peers().collect::<Vec<_>>(), [peer(1)]);
    assert_eq!(world.manager.connections().count(), 2);
}

// What is remembered.

#[test]
fn an_address_is_remembered_with_its_source_age_and_outcome() {
    let mut world = World::new(config());
    world.now = at(3);
    let told = [home(1)];
    world.tell(Input::Addresses { peer: peer(1), addresses: &told, source: Source::Hearsay, ttl: secs(600) });
    world.now = at(5);
    let dial = world.dial(1, 1, &[]);
    world.tell(Input::DialFailed { dial, fault: DialFault::Transport("refused".into()) });
    let record = |world: &World| world.manager.addresses_of(&peer(1)).next().unwrap().clone();
    let found = record(&world);
    assert_eq!((found.address, found.source, found.since, found.until), (home(1), Source::Hearsay, at(3), at(603)));
    assert_eq!((found.last, found.failures), (Some((at(5), AddressOutcome::Failed)), 1));

    world.wait(secs(60));
    let dial = world.dial(2, 1, &[]);
    world.dialed(dial, 1, 1);
    let found = record(&world);
    assert_eq!((found.source, found.since), (Source::Connected, at(3)), "the strongest source, the first moment");
    assert_eq!((found.last, found.failures), (Some((at(65), AddressOutcome::Connected)), 0));
}

#[test]
fn what_a_peer_said_and_its_round_trip_time_outlive_the_connection() {
    let mut world = World::new(config());
    world.open(1, 1, Inbound, &home(1));
    world.tell(Input::Identified { peer: peer(1), protocols: &["/b", "/a"], agent: Some("kubo/0.35") });
    let pings = world.wait(secs(30));
    assert!(matches!(&pings[..], [Action::Ping { .. }]), "{pings:?}");
    world.tell(Input::Pong { connection: ConnectionId(1), rtt: Duration::from_millis(40) });
    world.closed(1, By::Remote, "");
    let view = world.manager.peer(&peer(1)).unwrap();
    assert_eq!((view.connections, view.rtt), (0, Some(Duration::from_millis(40))));
    let metadata = view.metadata.unwrap();
    assert_eq!((metadata.protocols(), metadata.agent()), (&["/a".into(), "/b".into()][..], Some("kubo/0.35")));
    world.wait(secs(3600));
    assert!(world.manager.peer(&peer(1)).is_none(), "for half an hour");
}

#[test]
fn strangers_told_by_others_are_capped_whatever_they_are_said_to_be() {
    let mut config = config();
    config.metadata.max_peers = 10;
    config.metadata.max_addresses = 4;
    let mut world = World::new(config);
    for n in 0..200 {
        let addresses: Vec<_> = (1..50).map(|port| address(&format!("/ip4/11.0.0.1/tcp/{port}"))).collect();
        let (source, ttl) = (Source::Signed, Duration::MAX);
        world.tell(Input::Addresses { peer: peer(n), addresses: &addresses, source, ttl });
        assert!(world.manager.addresses_of(&peer(n)).count() <= 4);
    }
    assert_eq!(world.manager.counts().known_peers, 10);
}

// Limits.

#[test]
fn established_connections_are_capped_by_direction_and_by_peer() {
    type Change = fn(&mut LimitsConfig);
    let table: [(Change, Direction, Limit); 4] = [
        (|limits| limits.established_inbound = 2, Inbound, Limit::EstablishedIn(Inbound)),
        (|limits| limits.established_outbound = 2, Outbound, Limit::EstablishedIn(Outbound)),
        (|limits| limits.established_per_peer = 2, Inbound, Limit::EstablishedPerPeer),
        (|limits| limits.established_per_peer = 2, Outbound, Limit::EstablishedPerPeer),
    ];
    for (change, direction, limit) in table {
        let mut config = config();
        change(&mut config.limits);
        let mut world = World::new(config);
        for connection in 1..=2 {
            assert_eq!(refused(&world.open(connection, 1, direction, &home(1))), None);
        }
        let before = world.manager.counts();
        assert_eq!(refused(&world.open(3, 1, direction, &home(1))), Some(limit));
        assert_eq!(world.manager.counts(), before);
        world.closed(1, By::Remote, "");
        assert_eq!(refused(&world.open(3, 1, direction, &home(1))), None, "{limit:?}: there is room again");
    }
}

#[test]
fn the_caps_are_on_by_default_and_follow_the_machine() {
    assert_eq!(Config::default(), Config::for_resources(Resources::default()));
    for (memory, file_descriptors, places) in [(16 << 20, 64, 32), (64 << 20, 1024, 128), (1 << 40, 256, 128)] {
        let mut world = World::new(Config::for_resources(Resources { memory, file_descriptors }));
        for n in 1..=places {
            let actions = world.open(n.into(), n, Inbound, &home(n));
            assert!(
                actions.contains(&Action::Event(Event::Connected { peer: peer(n) })),
                "{n} of {places}: {actions:?}"
            );
        }
        let actions = world.open(0, places + 1, Inbound, &home(places + 1));
        let [Action::Refuse { reason: RefuseReason::Full { cap, in_grace, .. }, .. }] = actions[..] else {
            panic!("{actions:?}")
        };
        assert_eq!((cap, in_grace), (places.into(), places.into()));
    }
}

#[test]
fn connections_are_capped_by_ipv4_address_and_by_ipv6_site() {
    // As many as the defaults allow, then one more: addresses by number, and which network is full.
    type Row = (u16, fn(u16) -> String, &'static str, u8);
    let table: [Row; 3] = [
        (8, |_| "/ip4/11.0.0.1/tcp/1".into(), "11.0.0.1", 32),
        (8, |n| format!("/ip6/2001:db8:0:{n:x}::1/tcp/1"), "2001:db8::", 56),
        (64, |n| format!("/ip6/2001:db8:0:{n:x}00::1/tcp/1"), "2001:db8::", 48),
    ];
    for (many, remote, network, prefix) in table {
        let mut config = config();
        config.limits.pending_inbound = u32::MAX;
        let mut world = World::new(config);
        for n in 0..many {
            assert_eq!(refused(&world.incoming(n.into(), &address(&remote(n)))), None, "{}", remote(n));
        }
        let network = network.parse().unwrap();
        let full = Some(Limit::Subnet { network, prefix });
        assert_eq!(refused(&world.incoming(1_000, &address(&remote(many)))), full);
        world.closed(0, By::Remote, "");
        assert_eq!(refused(&world.incoming(1_000, &address(&remote(many)))), None);
    }
}

#[test]
fn incoming_connections_of_one_ip_come_in_a_burst_and_then_at_a_rate_and_loopback_is_exempt() {
    let mut world = World::new(config());
    let (here, loopback) = (home(1), address("/ip4/127.0.0.1/tcp/1"));
    for n in 0..16 {
        assert_eq!(refused(&world.incoming(n, &here)), None, "the burst, number {n}");
        world.closed(n, By::Remote, "");
    }
    let Some(Limit::Rate { again_in, prefix: 32, .. }) = refused(&world.incoming(99, &here)) else { panic!("let in") };
    assert_eq!(again_in, Duration::from_millis(200));
    assert_eq!(refused(&world.incoming(20, &home(2))), None, "others are none the wiser");
    for n in 100..150 {
        assert_eq!(refused(&world.incoming(n, &loopback)), None);
    }
    world.wait(again_in);
    assert_eq!(refused(&world.incoming(99, &here)), None);
    world.closed(99, By::Remote, "");
    assert!(refused(&world.incoming(99, &here)).is_some());
}

#[test]
fn streams_are_capped_in_total_by_connection_by_peer_and_by_protocol() {
    type Change = fn(&mut LimitsConfig);
    let table: [(Change, Limit); 6] = [
        (|limits| limits.streams = 2, Limit::Streams),
        (|limits| limits.streams_inbound = 2, Limit::StreamsIn(Inbound)),
        (|limits| limits.streams_per_connection = 2, Limit::StreamsPerConnection(Inbound)),
        (|limits| limits.streams_per_peer = 2, Limit::StreamsPerPeer(Inbound)),
        (|limits| limits.streams_per_protocol = 2, Limit::StreamsPerProtocol(Inbound)),
        (|limits| limits.streams_per_protocol_peer = 2, Limit::StreamsPerProtocolPeer(Inbound)),
    ];
    for (change, limit) in table {
        let mut config = config();
        change(&mut config.limits);
        let mut world = World::new(config);
        world.open(1, 1, Inbound, &home(1));
        world.open(2, 1, Inbound, &home(1));
        world.stream(1, 1, Inbound, "/a");
        // A connection's own cap is reached on that connection, the others across both.
        let second = if matches!(limit, Limit::StreamsPerConnection(_)) { 1 } else { 2 };
        world.stream(second, 2, Inbound, "/a");
        let before = world.manager.counts();
        assert_eq!(refused(&world.stream(1, 3, Inbound, "/a")), Some(limit));
        assert_eq!(world.manager.counts(), before);
        world.closed(second, By::Remote, "");
        if second == 2 {
            assert_eq!(refused(&world.stream(1, 3, Inbound, "/a")), None, "{limit:?}: its streams went with it");
        }
    }
}

#[test]
fn no_more_connections_are_pending_than_the_caps_allow_in_either_direction() {
    let mut config = config();
    (config.limits.pending_inbound, config.limits.pending_outbound) = (1, 1);
    let mut world = World::new(config);
    assert_eq!(refused(&world.incoming(1, &home(1))), None);
    assert_eq!(refused(&world.incoming(2, &home(2))), Some(Limit::Pending(Inbound)));
    let dial = world.dial(1, 3, &[home(3)]);
    let options = DialOptions::default();
    let (request, addresses) = (RequestId(2), [home(4)]);
    let second = world.tell(Input::Dial { request, peer: peer(4), addresses: &addresses, options });
    assert_eq!(dials(&second), []);
    let counts = world.manager.counts().limits;
    assert_eq!((counts.pending_inbound, counts.pending_outbound), (1, 1));
    world.dialed(dial, 3, 3);
    let counts = world.manager.counts().limits;
    assert_eq!((counts.pending_outbound, counts.established_outbound), (0, 1));
}

// Keep-alive.

#[test]
fn the_time_for_a_pong_follows_the_round_trip_time() {
    let mut world = World::new(config());
    world.open(1, 1, Inbound, &home(1));
    let ask = |world: &mut World| match world.wait(secs(30))[..] {
        [Action::Ping { connection: ConnectionId(1), timeout }] => timeout,
        ref other => panic!("{other:?}"),
    };
    assert_eq!(ask(&mut world), secs(60), "nothing is known yet");
    world.tell(Input::Pong { connection: ConnectionId(1), rtt: secs(10) });
    assert_eq!(ask(&mut world), secs(12));
    world.tell(Input::Pong { connection: ConnectionId(1), rtt: secs(2) });
    assert_eq!(ask(&mut world), secs(9) * 12 / 10, "7 parts of the old, one of the new");
}

#[test]
fn every_close_event_says_who_closed_it_why_and_how_long_it_lived() {
    type Act = fn(&mut World) -> Vec<Action>;
    // What is done by 100 s; 5 s later the connection is gone.
    let unresponsive: Act = |world| {
        world.wait(secs(30));
        world.tell(Input::Pong { connection: ConnectionId(1), rtt: Duration::from_millis(1) });
        world.wait(secs(70))
    };
    let table: [(Act, CloseReason); 5] = [
        (
            |world| world.tell(Input::Close { connection: ConnectionId(1), why: "done" }),
            CloseReason::Asked { why: "done".into() },
        ),
        (
            |world| world.tell(Input::Disconnect { peer: peer(1), why: "rude" }),
            CloseReason::Asked { why: "rude".into() },
        ),
        (|world| world.tell(Input::Shutdown), CloseReason::Shutdown),
        (|world| world.tell(Input::Emergency), CloseReason::Emergency),
        (unresponsive, CloseReason::Unresponsive { waited: secs(5) }),
    ];
    for (act, reason) in table {
        let mut config = config();
        (config.worth.low, config.worth.high) = (1, 1_000);
        let pings = matches!(reason, CloseReason::Unresponsive { .. });
        config.keep_alive.ping_interval = pings.then_some(secs(30));
        let mut world = World::new(config);
        world.open(1, 1, Inbound, &home(1));
        world.open(2, 2, Outbound, &home(2));
        if !pings {
            world.wait(secs(100));
        }
        let actions = act(&mut world);
        let asked = Action::Close { connection: ConnectionId(1), reason: reason.clone() };
        assert!(actions.contains(&asked), "{actions:?}");
        world.now = at(105);
        let actions = world.closed(1, By::Remote, "we crossed");
        assert_eq!(ended(&actions), [(By::Local, reason, secs(105))]);
    }
    // And those that we did not ask for.
    for by in [By::Remote, By::Network, By::Local] {
        let mut world = World::new(config());
        world.open(1, 1, Outbound, &home(1));
        world.now = at(2);
        let reason = CloseReason::Reported { why: "yamux: go away".into() };
        assert_eq!(ended(&world.closed(1, by, "yamux: go away")), [(by, reason, secs(2))]);
    }
}

#[test]
fn a_kept_peer_that_hangs_up_at_once_is_given_up_with_an_event() {
    let mut config = config();
    config.keep_alive.ping_interval = None;
    let mut world = World::new(config);
    let addresses = [home(1)];
    world.tell(Input::Addresses { peer: peer(1), addresses: &addresses, source: Source::Application, ttl: secs(3600) });
    world.open(1, 1, Outbound, &home(1));
    world.tell(Input::KeepAlive { peer: peer(1), on: true });
    world.wait(secs(60));
    let mut actions = world.closed(1, By::Remote, "");
    let (mut connection, mut gave_up) = (1, Vec::new());
    for _ in 0..1_000 {
        for dial in dials(&actions) {
            connection += 1;
            world.dialed(dial, connection, 1);
            actions.extend(world.closed(connection, By::Remote, "too many connections"));
        }
        gave_up.extend(actions.into_iter().filter_map(|action| match action {
            Action::Event(Event::ReconnectFailed { tries, why, .. }) => Some((tries, why)),
            _ => None,
        }));
        actions = world.wait(Duration::from_millis(500));
    }
    assert_eq!(gave_up, [(5, "it was connected, and lost again after 0 ms".into())]);
    assert_eq!(connection, 6);
}

#[test]
fn every_try_at_a_kept_peer_that_refuses_is_a_dial() {
    let mut config = config();
    config.keep_alive.ping_interval = None;
    let mut world = World::new(config);
    let addresses = [home(1)];
    world.tell(Input::Addresses { peer: peer(1), addresses: &addresses, source: Source::Application, ttl: secs(3600) });
    world.tell(Input::KeepAlive { peer: peer(1), on: true });
    let (mut dialed, mut gave_up) = (0, None);
    for _ in 0..1_000 {
        let mut actions = world.wait(Duration::from_millis(500));
        for dial in dials(&actions) {
            dialed += 1;
            actions.extend(world.tell(Input::DialFailed { dial, fault: DialFault::Transport("refused".into()) }));
        }
        gave_up = gave_up.or(actions.iter().find_map(|action| match action {
            Action::Event(Event::ReconnectFailed { tries, why, .. }) => Some((*tries, why.clone())),
            _ => None,
        }));
    }
    let (tries, why) = gave_up.expect("given up");
    assert_eq!((dialed, tries), (5, 5));
    assert!(why.ends_with(&format!("{}: the transport failed: refused", home(1))), "{why}");
}
