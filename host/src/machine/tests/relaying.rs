//! Relays: what their machines want of links, of the driver and of the manager, and that nothing is left behind.

mod ends;
mod granted;
mod held;

use super::*;
use crate::link::AskFault;
use crate::{AskNumber, Carry, RelayCommand, Splice};
use tidewire_connmgr::CloseReason;
use tidewire_relay::client::{Ending, Event as ClientEvent, Lost};
use tidewire_relay::exchange::{Answer, Ask, Reply, Request, Service};
use tidewire_relay::server::{self, CircuitEnd, Offer, ReservationEnd, ServerConfig};
use tidewire_relay::{CircuitId, Limit, Reservation, Status, StreamKey};

const NOW: u64 = 1_800_000_000;
const HOUR: Duration = Duration::from_secs(3600);

/// A host that is a relay for others.
fn relay() -> World {
    World::with(|config| config.relay.server = Some(serving()))
}

fn serving() -> ServerConfig {
    let mut server = ServerConfig::default();
    server.offer = Offer::Always;
    server
}

fn s(stream: u64) -> StreamId {
    StreamId(stream)
}

fn key(connection: u64, stream: u64) -> StreamKey {
    StreamKey { connection: tidewire_relay::ConnectionId(connection), stream }
}

/// Where the `n`-th peer is reached through the relay.
pub(super) fn through(relay: u8, n: u8) -> Multiaddr {
    alloc::format!("{}/p2p/{}/p2p-circuit/p2p/{}", address(relay), peer(relay), peer(n)).parse().unwrap()
}

fn at_relay(relay: u8) -> Multiaddr {
    alloc::format!("{}/p2p/{}/p2p-circuit", address(relay), peer(relay)).parse().unwrap()
}

/// What the `n`-th peer gives us for an hour.
fn reservation(n: u8, now: u64) -> Answer {
    let mut reservation = Reservation::new(peer(n), UnixTime::from_secs(now + 3600));
    reservation.addresses = vec![address(n).with_peer_id(peer(n)).unwrap()];
    Answer::Reserved(Box::new(reservation))
}

/// The only question among these.
#[track_caller]
pub(super) fn question(actions: &[Action]) -> (ConnectionId, AskNumber, Ask) {
    let all: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Order { connection, order: Order::Ask { ask, what } } => Some((*connection, *ask, what.clone())),
            _ => None,
        })
        .collect();
    match &all[..] {
        [one] => one.clone(),
        _ => panic!("one question: {actions:?}"),
    }
}

#[track_caller]
fn dial_of(actions: &[Action]) -> DialId {
    let dial = actions.iter().find_map(|action| match action {
        Action::Dial { dial, .. } => Some(*dial),
        _ => None,
    });
    dial.unwrap_or_else(|| panic!("a dial: {actions:?}"))
}

#[track_caller]
fn splice_of(actions: &[Action]) -> Splice {
    let splice = actions.iter().find_map(|action| match action {
        Action::Splice(splice) => Some(*splice),
        _ => None,
    });
    splice.unwrap_or_else(|| panic!("a splice: {actions:?}"))
}

#[track_caller]
pub(super) fn carry_of(actions: &[Action]) -> Carry {
    let carry = actions.iter().find_map(|action| match action {
        Action::Carry(carry) => Some((**carry).clone()),
        _ => None,
    });
    carry.unwrap_or_else(|| panic!("a circuit: {actions:?}"))
}

fn client_events(actions: &[Action]) -> Vec<ClientEvent> {
    let event = |action: &Action| match action {
        Action::Event(Event::RelayClient(event)) => Some(event.clone()),
        _ => None,
    };
    actions.iter().filter_map(event).collect()
}

fn server_events(actions: &[Action]) -> Vec<server::Event> {
    let event = |action: &Action| match action {
        Action::Event(Event::Relay(event)) => Some(event.clone()),
        _ => None,
    };
    actions.iter().filter_map(event).collect()
}

impl World {
    /// The remote asks on a stream of its own.
    fn asked(&mut self, connection: u64, stream: u64, request: Request) -> Vec<Action> {
        let (protocol, request) = (Protocol::new(Service::Hop.name()).unwrap(), Box::new(request));
        let (stream, direction) = (s(stream), Direction::Inbound);
        self.report(connection, Report::StreamOpened { stream, direction, protocol, open: None });
        self.report(connection, Report::Asked { stream, request })
    }

    fn answer(&mut self, connection: u64, ask: AskNumber, stream: u64, answer: Answer) -> Vec<Action> {
        self.report(connection, Report::Answered { ask, stream: Some(s(stream)), answer: Ok(Box::new(answer)) })
    }

    fn unanswered(&mut self, connection: u64, ask: AskNumber, fault: OpenFault) -> Vec<Action> {
        let answer = Err(Box::new(AskFault::Open(fault)));
        self.report(connection, Report::Answered { ask, stream: None, answer })
    }

    fn command(&mut self, command: RelayCommand) -> Vec<Action> {
        self.tell(Input::Relay(command))
    }

    fn reserve(&mut self, relay: u8, addresses: &[Multiaddr]) -> Vec<Action> {
        self.command(RelayCommand::Reserve { relay: peer(relay), addresses: addresses.to_vec() })
    }

    /// Holds a reservation with the `n`-th peer, which is connected.
    fn held(&mut self, connection: u64, n: u8) -> Vec<Action> {
        let asked = self.reserve(n, &[]);
        let (_, ask, _) = question(&asked);
        self.answer(connection, ask, 90, reservation(n, NOW))
    }

    /// A circuit between the first peer, which has a reservation, and the second.
    fn spliced(&mut self) -> Splice {
        self.connected(1, 1);
        self.connected(2, 2);
        self.asked(1, 3, Request::Reserve);
        let asked = self.asked(2, 5, Request::Connect { destination: peer(1) });
        let (_, ask, _) = question(&asked);
        splice_of(&self.answer(1, ask, 7, Answer::Accepted))
    }

    fn ended(&mut self, circuit: CircuitId, end: CircuitEnd) -> Vec<Action> {
        self.tell(Input::Spliced { circuit, end: Some(end), forward: 10, backward: 20 })
    }

    fn circuits(&self) -> u32 {
        self.host.relay_server().unwrap().counts().circuits
    }
}

/// Whatever is done often must not cost more and more.
fn flat(mut world: World, round: impl Fn(&mut World, u64)) {
    let mut memory = 0;
    for n in 0..300 {
        round(&mut world, n);
        // No more come from one address at once than may.
        world.pass(HOUR);
        if n == 99 {
            memory = world.host.memory_used();
        }
    }
    let after = world.host.memory_used();
    assert!(after <= memory + 256, "{memory} bytes after 100 rounds, {after} after 300");
}

// Others relay for us.

#[test]
fn a_relay_that_cannot_be_reached_is_told_at_once() {
    let mut world = World::new();
    let dial = dial_of(&world.reserve(1, &[address(1)]));
    let fault = DialFault::Transport("refused".into());
    let actions = world.tell(Input::DialFailed { dial, fault });
    let told = client_events(&actions);
    assert!(matches!(&told[..], [ClientEvent::Failed { why, .. }] if why.contains("refused")), "{actions:?}");
}

#[test]
fn a_dial_through_a_relay_that_cannot_be_reached_fails_at_once() {
    let mut world = World::new();
    let (request, options) = (RequestId(1), DialOptions::default());
    let addresses = vec![through(2, 3)];
    let actions = world.tell(Input::Connect { request, peer: peer(3), addresses, options });
    let dial = dial_of(&actions);
    let actions = world.tell(Input::DialFailed { dial, fault: DialFault::Transport("refused".into()) });
    let failed = actions.iter().any(|action| {
        matches!(action, Action::Event(Event::Manager(connmgr::Event::DialFailed { request: RequestId(1), .. })))
    });
    assert!(failed, "{actions:?}");
}

#[test]
fn the_wall_clock_that_was_set_is_what_a_reservation_is_measured_by() {
    let mut world = World::new();
    world.connected(1, 1);
    world.tell(Input::WallClock(UnixTime::from_secs(NOW + 500_000)));
    let asked = world.reserve(1, &[]);
    let (_, ask, _) = question(&asked);
    let told = client_events(&world.answer(1, ask, 90, reservation(1, NOW + 500_000)));
    assert!(matches!(told[..], [ClientEvent::Reserved { ttl: HOUR, .. }]), "{told:?}");
}

#[test]
fn a_reservation_is_announced_its_relay_kept_and_both_end_with_the_connection() {
    let mut world = World::new();
    world.connected(1, 1);
    world.held(1, 1);
    let is_kept = |world: &World| world.host.manager().is_protected(&peer(1), Some("relays for us"));
    let announced = |world: &World| world.host.advertise_inputs().relayed;
    assert!(is_kept(&world));
    assert_eq!(announced(&world), [at_relay(1)]);
    let told = client_events(&world.report(1, gone()));
    assert!(told.contains(&ClientEvent::Lost { relay: peer(1), why: Lost::Disconnected }), "{told:?}");
    assert!(!is_kept(&world));
    assert!(announced(&world).is_empty());
}

#[test]
fn a_listener_at_a_relay_that_relays_for_us_already_listens_at_once() {
    let mut world = World::new();
    world.connected(1, 1);
    world.held(1, 1);
    let listener = ListenerId(9);
    let actions = world.tell(Input::Listen { listener, address: at_relay(1) });
    let address = through(1, 0);
    assert_eq!(actions, [Action::Event(Event::Listening { listener, address })]);
}

#[test]
fn a_reservation_is_held_as_long_as_anybody_wants_it() {
    let mut world = World::new();
    world.connected(1, 1);
    world.held(1, 1);
    let listener = ListenerId(9);
    world.tell(Input::Listen { listener, address: at_relay(1) });
    world.command(RelayCommand::Release { relay: peer(1) });
    assert!(world.host.relay_client().reservation(&peer(1)).is_some(), "the listener wants it");
    let again = world.host.handle(world.now, Input::Relay(RelayCommand::Release { relay: peer(1) }));
    assert!(matches!(again, Err(Misuse::Relay(_))), "{again:?}");
    let actions = world.tell(Input::Unlisten { listener });
    let address = through(1, 0);
    let why = "it was asked for".into();
    let told = [
        Action::Event(Event::NotListening { listener, address }),
        Action::Event(Event::ListenerClosed { listener, why }),
    ];
    assert!(told.iter().all(|it| actions.contains(it)), "{actions:?}");
    assert!(world.host.relay_client().reservation(&peer(1)).is_none());
}

#[test]
fn a_listener_that_is_closed_before_there_is_a_reservation_leaves_nothing_behind() {
    flat(World::new(), |world, _| {
        let listener = ListenerId(9);
        let dial = dial_of(&world.tell(Input::Listen { listener, address: at_relay(1) }));
        let actions = world.tell(Input::Unlisten { listener });
        assert!(actions.contains(&Action::Abort { dial }), "{actions:?}");
        let closed = |action: &&Action| matches!(action, Action::Event(Event::ListenerClosed { .. }));
        assert_eq!(actions.iter().filter(closed).count(), 1, "{actions:?}");
    });
}

#[test]
fn two_listeners_may_not_have_one_name_and_relays_count_as_listeners() {
    let mut world = World::with(|config| config.max_listeners = 1);
    world.tell(Input::Listen { listener: ListenerId(9), address: at_relay(1) });
    let again = world.host.handle(world.now, Input::Listen { listener: ListenerId(9), address: at_relay(2) });
    assert_eq!(again, Err(Misuse::ListenerExists(ListenerId(9))));
    let more = world.host.handle(world.now, Input::Listen { listener: ListenerId(8), address: address(0) });
    assert_eq!(more, Err(Misuse::TooMany { what: "listeners", limit: 1 }));
}

#[test]
fn a_listener_at_no_relay_is_closed_with_the_reason() {
    let mut world = World::new();
    let listener = ListenerId(9);
    let actions = world.tell(Input::Listen { listener, address: "/p2p-circuit".parse().unwrap() });
    assert!(
        matches!(&actions[..], [Action::Event(Event::ListenerClosed { why, .. })] if why.contains("at which relay")),
        "{actions:?}"
    );
}

#[test]
fn what_was_asked_on_a_connection_ends_with_it_and_leaves_nothing_behind() {
    flat(World::new(), |world, n| {
        world.connected(1, 1);
        let asked = world.reserve(1, &[]);
        let (_, ask, _) = question(&asked);
        world.report(1, gone());
        if n % 2 == 0 {
            // The link's own answer may come behind its end.
            assert_eq!(world.unanswered(1, ask, OpenFault::ConnectionEnded), []);
        }
        world.command(RelayCommand::Release { relay: peer(1) });
    });
}

/// Wants a connection to the third peer through the second one, which is dialed first.
fn wanted(world: &mut World) -> DialId {
    let (request, options) = (RequestId(1), DialOptions::default());
    let addresses = vec![through(2, 3)];
    dial_of(&world.tell(Input::Connect { request, peer: peer(3), addresses, options }))
}

/// The relay is connected, and is asked.
fn asking(world: &mut World) -> AskNumber {
    let dial = wanted(world);
    world.dialed(dial, 2, 2);
    let (connection, ask, what) = question(&world.report(2, established(2, Role::Initiator)));
    assert_eq!((connection, what), (c(2), Ask::Connect { destination: peer(3) }));
    ask
}

/// The relay connected us.
fn carried(world: &mut World) -> Carry {
    let ask = asking(world);
    carry_of(&world.answer(2, ask, 7, Answer::Connected { limit: Limit::UNLIMITED }))
}

fn cancel(world: &mut World) -> Vec<Action> {
    world.tell(Input::CancelConnect { request: RequestId(1) })
}

#[test]
fn a_dial_through_a_relay_becomes_a_connection_with_the_circuits_limits() {
    for (limit, limited) in [(Limit::UNLIMITED, false), (Limit { duration: None, data: Some(1 << 17) }, true)] {
        let mut world = World::new();
        let ask = asking(&mut world);
        let carry = carry_of(&world.answer(2, ask, 7, Answer::Connected { limit }));
        assert_eq!((carry.over, carry.remote.clone()), ((c(2), s(7)), through(2, 3)));
        let (dial, expected) = carry.dial.unwrap();
        assert_eq!(expected, peer(3));
        let (local, remote) = (carry.local, carry.remote);
        world.tell(Input::Dialed { dial, connection: c(8), local, remote });
        world.report(8, established(3, Role::Initiator));
        let view = world.host.manager().connection(c(8)).unwrap();
        assert_eq!((view.relayed, view.limited), (true, limited));
        assert!(world.host.manager().connection(c(2)).is_some_and(|view| !view.relayed));
    }
}

#[test]
fn a_dial_that_is_given_up_before_the_relay_is_connected_dials_the_relay_no_more() {
    let mut world = World::new();
    let dial = wanted(&mut world);
    assert!(cancel(&mut world).contains(&Action::Abort { dial }));
    assert_eq!(world.host.relay_client().counts().dials, 0);
}

#[test]
fn a_dial_that_is_given_up_while_the_relay_is_asked_takes_the_question_back() {
    let mut world = World::new();
    let ask = asking(&mut world);
    assert_eq!(cancel(&mut world), [order(2, Order::Unask { ask })]);
    // The answer crossed it.
    let actions = world.answer(2, ask, 7, Answer::Connected { limit: Limit::UNLIMITED });
    assert_eq!(actions, [order(2, Order::Reset { stream: s(7) })]);
}

#[test]
fn a_dial_that_is_given_up_while_its_circuit_is_carried_is_the_drivers_to_drop() {
    let mut world = World::new();
    let (dial, _) = carried(&mut world).dial.unwrap();
    assert_eq!(cancel(&mut world), [Action::Abort { dial }]);
    let late = Input::Dialed { dial, connection: c(8), local: address(0), remote: through(2, 3) };
    let reason = RefuseReason::DialOver;
    assert_eq!(world.tell(late), [Action::Refuse { connection: c(8), reason }]);
}

#[test]
fn a_dial_that_is_given_up_while_its_connection_is_upgraded_drops_it() {
    let mut world = World::new();
    let (dial, _) = carried(&mut world).dial.unwrap();
    world.tell(Input::Dialed { dial, connection: c(8), local: address(0), remote: through(2, 3) });
    let reason = RefuseReason::DialOver;
    assert_eq!(cancel(&mut world), [Action::Refuse { connection: c(8), reason }]);
}

#[test]
fn dials_through_relays_leave_nothing_behind_wherever_they_are_given_up() {
    flat(World::new(), |world, n| {
        let mut carry = None;
        match n % 5 {
            0 => drop(wanted(world)),
            1 => drop(asking(world)),
            2 => drop(carried(world)),
            3 | 4 => carry = Some(carried(world)),
            _ => {}
        }
        if let Some((dial, _)) = carry.and_then(|carry| carry.dial) {
            world.tell(match n % 5 {
                3 => Input::Dialed { dial, connection: c(8), local: address(0), remote: through(2, 3) },
                _ => Input::DialFailed { dial, fault: DialFault::Transport("its relay is gone".into()) },
            });
        }
        let _ = world.host.handle(world.now, Input::CancelConnect { request: RequestId(1) });
        world.actions();
        if n % 2 == 0 {
            let (stream, ending) = (s(7), Ending::Local);
            world.report(2, Report::CircuitEnded { stream, sent: 1, received: 1, ending });
        }
        world.report(2, gone());
        world.pass(Duration::from_secs(3600));
    });
}

#[test]
fn a_circuit_in_a_circuit_is_no_way_to_dial() {
    let mut world = World::new();
    let nested: Multiaddr =
        alloc::format!("{}/p2p/{}/p2p-circuit/p2p/{}", through(2, 3), peer(3), peer(4)).parse().unwrap_or_else(|_| {
            // The relay's own id stands once: `.../p2p-circuit/p2p/3/p2p-circuit/p2p/4`.
            alloc::format!("{}/p2p-circuit/p2p/{}", through(2, 3), peer(4)).parse().unwrap()
        });
    let (request, options) = (RequestId(1), DialOptions::default());
    let actions = world.tell(Input::Connect { request, peer: peer(4), addresses: vec![nested], options });
    assert!(matches!(&actions[..], [Action::Event(Event::Manager(connmgr::Event::DialFailed { .. }))]), "{actions:?}");
}

#[test]
fn a_circuit_that_comes_is_carried_and_its_limits_hold_for_its_connection() {
    let mut world = World::new();
    world.connected(1, 1);
    world.held(1, 1);
    let limit = Limit { duration: None, data: Some(1 << 17) };
    let actions = world.asked(1, 7, Request::Stop { source: peer(3), limit });
    assert!(actions.contains(&order(1, Order::Reply { stream: s(7), reply: Reply::Accepted })), "{actions:?}");
    let carry = carry_of(&actions);
    assert_eq!((carry.over, carry.dial), ((c(1), s(7)), None));
    let (connection, over) = (c(8), Some(carry.over));
    world.tell(Input::Incoming { connection, local: carry.local, remote: carry.remote, over, asn: None });
    world.report(8, established(3, Role::Responder));
    assert!(world.host.manager().connection(c(8)).is_some_and(|view| view.limited && view.relayed));
    // It ends with what it goes over.
    let told = client_events(&world.report(1, gone()));
    assert!(told.iter().any(|event| matches!(event, ClientEvent::CircuitEnded { .. })), "{told:?}");
}

#[test]
fn a_circuit_of_a_stranger_is_refused() {
    let mut world = World::new();
    world.connected(1, 1);
    let actions = world.asked(1, 7, Request::Stop { source: peer(3), limit: Limit::UNLIMITED });
    let refused = actions
        .iter()
        .any(|action| matches!(action, Action::Order { order: Order::Reply { reply: Reply::Refused { .. }, .. }, .. }));
    assert!(refused, "{actions:?}");
}

#[test]
fn another_network_ends_the_wait_for_the_next_try() {
    let mut world = World::new();
    let dial = dial_of(&world.reserve(1, &[address(1)]));
    world.tell(Input::DialFailed { dial, fault: DialFault::Transport("refused".into()) });
    let actions = world.tell(Input::NetworkChanged);
    dial_of(&actions);
}

// The end.

#[test]
fn a_shutdown_gives_back_what_is_held_and_ends_what_is_relayed() {
    let mut world = World::with(|config| config.relay.server = Some(serving()));
    let circuit = world.spliced().circuit;
    world.connected(3, 3);
    world.held(3, 3);
    let listener = ListenerId(9);
    world.tell(Input::Listen { listener, address: at_relay(3) });
    let dial = dial_of(&world.reserve(4, &[address(4)]));
    let actions = world.tell(Input::Shutdown);
    assert!(actions.contains(&Action::Unsplice { circuit, why: CircuitEnd::Drained }), "{actions:?}");
    assert!(actions.contains(&Action::Abort { dial }), "{actions:?}");
    assert!(actions.contains(&Action::Serve(world.host.services().to_vec())), "{actions:?}");
    assert!(!world.host.services().contains(&Service::Hop.into()));
    let closed = |action: &&Action| matches!(action, Action::Event(Event::ListenerClosed { .. }));
    assert_eq!(actions.iter().filter(closed).count(), 1, "{actions:?}");
    let closing = |action: &&Action| {
        matches!(action, Action::Order { order: Order::Close { reason: CloseReason::Shutdown }, .. })
    };
    assert_eq!(actions.iter().filter(closing).count(), 3, "{actions:?}");
    let mut actions = world.ended(circuit, CircuitEnd::SourceReset);
    for connection in 1..=3 {
        actions.extend(world.report(connection, gone()));
    }
    assert!(server_events(&actions).contains(&server::Event::Drained), "{actions:?}");
    let counts = world.host.relay_server().unwrap().counts();
    assert_eq!((counts.reservations, counts.circuits), (0, 0));
    assert_eq!(world.host.relay_client().counts().holds, 0);
    // Nothing begins again.
    let later = world.pass(24 * HOUR);
    assert!(later.iter().all(|action| matches!(action, Action::Event(_) | Action::Profile(_))), "{later:?}");
}

#[test]
fn after_a_shutdown_nothing_is_reserved() {
    let mut world = World::new();
    world.tell(Input::Shutdown);
    let command = RelayCommand::Reserve { relay: peer(1), addresses: vec![address(1)] };
    let refused = world.host.handle(world.now, Input::Relay(command));
    assert!(matches!(&refused, Err(Misuse::Relay(why)) if why.contains("shutting down")), "{refused:?}");
    assert_eq!(world.actions(), []);
}

#[test]
fn commands_that_have_nobody_to_take_them_are_misuse() {
    let mut world = World::new();
    for command in [
        RelayCommand::Acl(server::Acl::default()),
        RelayCommand::Drain { grace: HOUR },
        RelayCommand::Decide { stream: key(1, 3), allow: true },
    ] {
        assert_eq!(world.host.handle(world.now, Input::Relay(command)), Err(Misuse::NoRelay));
    }
    for command in [
        RelayCommand::Release { relay: peer(1) },
        RelayCommand::Accept { stream: key(1, 3), allow: true },
        RelayCommand::Reserve { relay: peer(0), addresses: vec![] },
    ] {
        let done = world.host.handle(world.now, Input::Relay(command.clone()));
        assert!(matches!(done, Err(Misuse::Relay(_))), "{command:?}: {done:?}");
    }
    for command in
        [RelayCommand::Candidates(vec![]), RelayCommand::Advertised { ttl: None }, RelayCommand::AdvertiseFailed]
    {
        assert_eq!(world.host.handle(world.now, Input::Relay(command)), Err(Misuse::NoAutoRelay));
    }
    assert_eq!(world.actions(), []);
}
