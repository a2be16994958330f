//! AutoNAT: whom we ask, and the dials apart from all others that we make for who asks us.

use super::*;
use crate::AskNumber;
use crate::addresses::NatStatus;
use crate::link::AskFault;
use tidewire_connmgr::CloseReason;

use tidewire_relay::autonat::{v1, v2};
use tidewire_relay::exchange::{Answer, Ask, Reply, Request, Service};

const OWN_DIALS: u64 = crate::ids::PROBES;
const SECOND: Duration = Duration::from_secs(1);

/// A host that tells others whether they can be reached.
fn server() -> World {
    World::with(|config| {
        config.relay.autonat_v1_server = Some(v1::ServerConfig::default());
        config.relay.autonat_v2_server = Some(v2::ServerConfig::default());
    })
}

fn s(stream: u64) -> StreamId {
    StreamId(stream)
}

fn opened(stream: u64, direction: Direction, protocol: &str) -> Report {
    let (stream, protocol) = (StreamId(stream), Protocol::new(protocol).unwrap());
    Report::StreamOpened { stream, direction, protocol, open: None }
}

#[track_caller]
fn question(actions: &[Action]) -> (ConnectionId, AskNumber, Ask) {
    let found = actions.iter().find_map(|action| match action {
        Action::Order { connection, order: Order::Ask { ask, what } } => Some((*connection, *ask, what.clone())),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("a question: {actions:?}"))
}

fn questions(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Order { order: Order::Ask { .. }, .. })).count()
}

fn told(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Event(_))).count()
}

/// What was answered on a stream of the first connection.
fn replies(actions: &[Action]) -> Vec<Reply> {
    let reply = |action: &Action| match action {
        Action::Order { connection: ConnectionId(1), order: Order::Reply { reply, .. } } => Some(reply.clone()),
        _ => None,
    };
    actions.iter().filter_map(reply).collect()
}

/// What is dialed, and where.
fn dials(actions: &[Action]) -> Vec<(DialId, Multiaddr)> {
    let dial = |action: &Action| match action {
        Action::Dial { dial, address, .. } => Some((*dial, address.clone())),
        _ => None,
    };
    actions.iter().filter_map(dial).collect()
}

fn probed(status: v2::DialStatus) -> Vec<Reply> {
    vec![Reply::Probed(v2::Response::dialed(0, status))]
}

impl World {
    /// The first peer, on the first connection, wants to be dialed there.
    fn wants(&mut self, stream: u64, addresses: Vec<Multiaddr>) -> Vec<Action> {
        let actions = self.report(1, opened(stream, Direction::Inbound, Service::AutonatV2Request.name()));
        if !actions.contains(&order(1, Order::Admit { stream: s(stream) })) {
            return actions;
        }
        let request = Box::new(Request::Probe { nonce: 7, addresses });
        self.report(1, Report::Asked { stream: s(stream), request })
    }

    /// The same, and it is dialed.
    #[track_caller]
    fn probe(&mut self, stream: u64) -> DialId {
        let actions = self.wants(stream, vec![address(1)]);
        match &actions[..] {
            [Action::Dial { dial, peer: who, address: to, from: None, .. }] => {
                assert_eq!((*who, to.without_peer_id()), (peer(1), address(1)));
                assert!(dial.0 >= OWN_DIALS, "{dial}");
                *dial
            }
            _ => panic!("{actions:?}"),
        }
    }

    /// The probe is connected and asks: the question's number.
    fn reached(&mut self, dial: DialId, connection: u64) -> AskNumber {
        assert_eq!(self.dialed(dial, connection, 1), []);
        let actions = self.report(connection, established(1, Role::Initiator));
        let (on, ask, what) = question(&actions);
        assert_eq!((on, what), (c(connection), Ask::DialBack { nonce: 7 }));
        assert_eq!(actions.len(), 1, "{actions:?}");
        ask
    }

    fn heard(&mut self, connection: u64, ask: AskNumber) -> Vec<Action> {
        let answer = Ok(Box::new(Answer::BackHeard));
        self.report(connection, Report::Answered { ask, stream: Some(s(1)), answer })
    }

    /// A peer that serves AutoNAT.
    fn serves(&mut self, connection: u64, n: u8, service: Service) -> Vec<Action> {
        let mut actions = self.connected(connection, n);
        let protocols = [Protocol::new(service.name()).unwrap()];
        actions.extend(self.report(connection, Report::Identified(said(n, 1, &protocols, &[address(n)]))));
        actions
    }
}

fn closes(actions: &[Action], connection: u64) -> bool {
    let is = |action: &Action| matches!(action, Action::Order { connection: on, order: Order::Close { .. } } if *on == c(connection));
    actions.iter().any(is)
}

// We are the server.

#[test]
fn a_probe_brings_the_nonce_answers_and_closes_and_nobody_is_told_of_it() {
    let mut world = server();
    world.connected(1, 1);
    let dial = world.probe(3);
    let ask = world.reached(dial, 8);
    let actions = world.heard(8, ask);
    let close = order(8, Order::Close { reason: CloseReason::Probed });
    assert!(actions.contains(&close) && actions.len() == 2, "{actions:?}");
    assert_eq!(replies(&actions), probed(v2::DialStatus::OK));
    assert_eq!(world.report(8, gone()), []);
    assert_eq!(world.host.connections().count(), 1);
    assert_eq!(world.host.manager().connections_of(&peer(1)).count(), 1);
}

#[test]
fn what_becomes_of_a_probe_is_what_is_answered() {
    let (refused, fault) = (DialFault::Transport("refused".into()), Fault::Upgrade);
    let why = OpenFault::Unsupported;
    // The transport fails.
    let mut world = server();
    world.connected(1, 1);
    let dial = world.probe(3);
    let actions = world.tell(Input::DialFailed { dial, fault: refused });
    assert_eq!(replies(&actions), probed(v2::DialStatus::DIAL_ERROR));
    // The upgrade does.
    let mut world = server();
    world.connected(1, 1);
    let dial = world.probe(3);
    world.dialed(dial, 8, 1);
    let actions = world.report(8, Report::Ended { by: By::Remote, fault, why: "another peer".into() });
    assert_eq!(replies(&actions), probed(v2::DialStatus::DIAL_ERROR));
    // It is reached, and does not want the nonce.
    let mut world = server();
    world.connected(1, 1);
    let dial = world.probe(3);
    let ask = world.reached(dial, 8);
    let answer = Err(Box::new(AskFault::Open(why)));
    let actions = world.report(8, Report::Answered { ask, stream: Some(s(1)), answer });
    assert_eq!(replies(&actions), probed(v2::DialStatus::DIAL_BACK_ERROR));
    assert!(closes(&actions, 8), "{actions:?}");
    // It is reached, and goes.
    let mut world = server();
    world.connected(1, 1);
    let dial = world.probe(3);
    world.reached(dial, 8);
    let actions = world.report(8, gone());
    assert_eq!(replies(&actions), probed(v2::DialStatus::DIAL_BACK_ERROR));
}

#[test]
fn a_probe_takes_no_longer_than_it_may() {
    let mut world = server();
    world.connected(1, 1);
    let dial = world.probe(3);
    let actions = world.pass(60 * SECOND);
    assert!(actions.contains(&Action::Abort { dial }), "{actions:?}");
    assert_eq!(replies(&actions), probed(v2::DialStatus::DIAL_ERROR));
    let mut world = server();
    world.connected(1, 1);
    let dial = world.probe(3);
    world.reached(dial, 8);
    let actions = world.pass(60 * SECOND);
    assert_eq!(replies(&actions), probed(v2::DialStatus::DIAL_BACK_ERROR));
    assert!(closes(&actions, 8), "{actions:?}");
}

#[test]
fn who_asked_and_went_is_dialed_no_more() {
    let mut world = server();
    world.connected(1, 1);
    let dial = world.probe(3);
    let actions = world.report(1, Report::StreamClosed { stream: s(3) });
    assert_eq!(actions, [Action::Abort { dial }]);
    // It was connected meanwhile.
    let reason = RefuseReason::DialOver;
    assert_eq!(world.dialed(dial, 8, 1), [Action::Refuse { connection: c(8), reason }]);
}

#[test]
fn a_probe_ends_with_the_connection_on_which_it_was_asked_for() {
    let mut world = server();
    world.connected(1, 1);
    let dial = world.probe(3);
    let actions = world.report(1, gone());
    assert!(actions.contains(&Action::Abort { dial }), "{actions:?}");
}

#[test]
fn on_a_probe_a_peer_may_ask_who_we_are_and_nothing_else() {
    let mut world = server();
    world.connected(1, 1);
    let dial = world.probe(3);
    world.reached(dial, 8);
    let inbound = Direction::Inbound;
    let admit = |stream| vec![order(8, Order::Admit { stream: s(stream) })];
    assert_eq!(world.report(8, opened(2, inbound, "/ipfs/id/1.0.0")), admit(2));
    assert_eq!(world.report(8, opened(3, Direction::Outbound, Service::AutonatV2Back.name())), admit(3));
    for (stream, name) in
        [(4, "/echo/1.0.0"), (6, Service::AutonatV2Request.name()), (10, Service::AutonatV2Back.name())]
    {
        let actions = world.report(8, opened(stream, inbound, name));
        assert!(
            matches!(actions[..], [Action::Order { order: Order::Refuse { stream: it, .. }, .. }] if it == s(stream)),
            "{name}: {actions:?}"
        );
    }
}

#[test]
fn the_dials_of_probes_and_of_the_manager_are_never_mistaken_for_each_other() {
    let mut world = server();
    world.connected(1, 1);
    let probe = world.probe(3);
    let dial = world.dial(1, 2);
    assert!(dial.0 < OWN_DIALS);
    // Neither is known that was never asked for, or is connected.
    let unknown = DialId(probe.0 + 1);
    let fault = DialFault::Transport("refused".into());
    let failed = |dial| Input::DialFailed { dial, fault: fault.clone() };
    assert_eq!(world.host.handle(world.now, failed(unknown)), Err(Misuse::UnknownDial(unknown)));
    let dialed = Input::Dialed { dial: unknown, connection: c(9), local: address(0), remote: address(1) };
    assert_eq!(world.host.handle(world.now, dialed), Err(Misuse::UnknownDial(unknown)));
    world.dialed(probe, 8, 1);
    assert_eq!(world.host.handle(world.now, failed(probe)), Err(Misuse::UnknownDial(probe)));
    // The name of a probe's connection is in use.
    let (local, remote) = (address(0), address(5));
    let taken = Input::Incoming { connection: c(8), local, remote, over: None, asn: None };
    assert_eq!(world.host.handle(world.now, taken), Err(Misuse::ConnectionExists(c(8))));
    world.dialed(dial, 7, 2);
    let actions = world.report(7, established(2, Role::Initiator));
    assert!(told(&actions) > 0);
}

#[test]
fn there_are_no_more_probes_than_may_be_those_that_are_closing_included() {
    let mut world = World::with(|config| {
        let mut server = v2::ServerConfig::default();
        server.per_peer = 9;
        config.relay.autonat_v2_server = Some(server);
        config.relay.max_probes = 1;
    });
    world.connected(1, 1);
    let dial = world.probe(3);
    let busy = vec![Reply::Probed(v2::Response::refused(v2::Status::INTERNAL_ERROR))];
    assert_eq!(replies(&world.wants(5, vec![address(1)])), busy);
    let ask = world.reached(dial, 8);
    world.heard(8, ask);
    assert_eq!(replies(&world.wants(7, vec![address(1)])), busy, "its connection is there yet");
    world.report(8, gone());
    world.probe(9);
}

#[test]
fn who_was_not_dialed_is_not_told_that_it_could_not_be_reached() {
    let mut world = World::with(|config| {
        config.relay.autonat_v1_server = Some(v1::ServerConfig::default());
        config.relay.max_probes = 0;
    });
    world.connected(1, 1);
    world.report(1, opened(3, Direction::Inbound, Service::AutonatV1.name()));
    let request = Box::new(Request::DialMe { addresses: vec![address(1)] });
    let replied = replies(&world.report(1, Report::Asked { stream: s(3), request }));
    let [Reply::Dialed(response)] = &replied[..] else { panic!("{replied:?}") };
    assert_eq!(response.status, v1::Status::INTERNAL_ERROR);
}

#[test]
fn the_first_version_tries_all_addresses_at_once_and_one_that_is_silent_costs_the_others_no_time() {
    let mut world = server();
    world.connected(1, 1);
    let actions = world.report(1, opened(3, Direction::Inbound, Service::AutonatV1.name()));
    assert_eq!(actions, [order(1, Order::Admit { stream: s(3) })]);
    let addresses = vec!["/ip4/11.0.1.1/tcp/7".parse().unwrap(), "/ip4/11.0.9.9/tcp/8".parse().unwrap()];
    let request = Box::new(Request::DialMe { addresses });
    let actions = world.report(1, Report::Asked { stream: s(3), request });
    let dialed = dials(&actions);
    // Its own address as we see it, and those that it named, at that IP and no other.
    assert!(dialed.iter().all(|(_, address)| address.ip() == Some([11, 0, 1, 1].into())), "{dialed:?}");
    let [(silent, _), (broken, _), (good, _)] = dialed[..] else { panic!("{dialed:?}") };
    // One says nothing, one fails, and the third is still to come: nothing is known yet.
    let fault = DialFault::Transport("refused".into());
    assert_eq!(world.tell(Input::DialFailed { dial: broken, fault }), []);
    world.dialed(good, 8, 1);
    let actions = world.report(8, established(1, Role::Initiator));
    assert!(closes(&actions, 8) && actions.contains(&Action::Abort { dial: silent }), "{actions:?}");
    assert_eq!(world.report(8, gone()), []);
    let replies = replies(&actions);
    assert!(matches!(&replies[..], [Reply::Dialed(it)] if it.status == v1::Status::OK), "{replies:?}");
    let later = world.pass(60 * SECOND);
    assert!(dials(&later).is_empty() && self::replies(&later).is_empty(), "{later:?}");
}

#[test]
fn that_no_address_led_anywhere_is_said_once() {
    let mut world = server();
    world.connected(1, 1);
    world.report(1, opened(3, Direction::Inbound, Service::AutonatV1.name()));
    let request = Box::new(Request::DialMe { addresses: vec!["/ip4/11.0.1.1/tcp/7".parse().unwrap()] });
    let mut actions = world.report(1, Report::Asked { stream: s(3), request });
    let [(first, _), (second, _)] = dials(&actions)[..] else { panic!("{actions:?}") };
    actions.extend(world.tell(Input::DialFailed { dial: first, fault: DialFault::Transport("refused".into()) }));
    assert_eq!(replies(&actions), []);
    // Its transport is there, and then nothing.
    world.dialed(second, 8, 1);
    let replies = replies(&world.pass(60 * SECOND));
    assert!(matches!(&replies[..], [Reply::Dialed(it)] if it.status == v1::Status::DIAL_ERROR), "{replies:?}");
}

#[test]
fn addresses_for_which_there_is_no_room_wait_for_those_that_fail() {
    let mut world = World::with(|config| {
        config.relay.autonat_v1_server = Some(v1::ServerConfig::default());
        config.relay.max_probes = 2;
    });
    world.connected(1, 1);
    world.report(1, opened(3, Direction::Inbound, Service::AutonatV1.name()));
    let addresses = (5..8).map(|port| alloc::format!("/ip4/11.0.1.1/tcp/{port}").parse().unwrap()).collect();
    let mut actions = world.report(1, Report::Asked { stream: s(3), request: Box::new(Request::DialMe { addresses }) });
    let mut all = Vec::new();
    assert_eq!(dials(&actions).len(), 2);
    while let Some((dial, address)) = dials(&actions).pop() {
        all.push(address);
        if all.len() == 3 {
            break;
        }
        actions = world.tell(Input::DialFailed { dial, fault: DialFault::Transport("refused".into()) });
        assert!(dials(&actions).len() <= 1, "{actions:?}");
    }
    all.dedup();
    assert_eq!(all.len(), 3);
}

#[test]
fn over_ipv6_nobody_is_dialed_before_we_have_a_public_address_of_it() {
    let there: Multiaddr = "/ip6/2a00:1450:4001::1/tcp/4001".parse().unwrap();
    let ours: Multiaddr = "/ip6/2a00:1450:4002::2/tcp/4001".parse().unwrap();
    let mut world = server();
    let (connection, local, remote) = (c(1), ours.clone(), there.clone());
    world.tell(Input::Incoming { connection, local, remote, over: None, asn: None });
    world.report(1, established(1, Role::Responder));
    let refused = vec![Reply::Probed(v2::Response::refused(v2::Status::DIAL_REFUSED))];
    assert_eq!(replies(&world.wants(3, vec![there.clone()])), refused);
    world.tell(Input::AddExternal { address: ours });
    world.pass(60 * SECOND);
    let actions = world.wants(5, vec![there]);
    assert!(matches!(actions[..], [Action::Dial { .. }]), "{actions:?}");
}

#[test]
fn a_shutdown_ends_the_probes_and_no_other_begins() {
    let mut world = server();
    world.connected(1, 1);
    world.connected(2, 2);
    let (first, second) = (world.probe(3), world.probe(5));
    world.reached(second, 8);
    let actions = world.tell(Input::Shutdown);
    assert!(actions.contains(&Action::Abort { dial: first }), "{actions:?}");
    assert!(closes(&actions, 8), "{actions:?}");
    let later = world.wants(7, vec![address(1)]);
    assert!(!later.iter().any(|action| matches!(action, Action::Dial { .. })), "{later:?}");
    world.report(8, gone());
    for connection in [1, 2] {
        world.report(connection, gone());
    }
    let actions = world.pass(3600 * SECOND);
    assert!(actions.iter().all(|action| matches!(action, Action::Event(_) | Action::Profile(_))), "{actions:?}");
}

#[test]
fn probes_leave_nothing_behind() {
    let mut world = server();
    let mut memory = 0;
    for n in 0..300_u64 {
        world.connected(1, 1);
        let dial = world.probe(3);
        match n % 6 {
            0 => drop(world.tell(Input::DialFailed { dial, fault: DialFault::Transport("refused".into()) })),
            1 => drop(world.report(1, Report::StreamClosed { stream: s(3) })),
            2 => {
                world.reached(dial, 8);
                world.report(8, gone());
            }
            3 => {
                world.reached(dial, 8);
                world.pass(60 * SECOND);
                world.report(8, gone());
            }
            4 => {
                let ask = world.reached(dial, 8);
                world.heard(8, ask);
                world.report(8, gone());
            }
            _ => {
                world.reached(dial, 8);
                world.report(1, gone());
                world.report(8, gone());
            }
        }
        world.report(1, gone());
        world.pass(600 * SECOND);
        if n == 119 {
            memory = world.host.memory_used();
        }
    }
    let after = world.host.memory_used();
    assert!(after <= memory + 256, "{memory} bytes after 120 rounds, {after} after 300");
}

#[test]
fn a_stream_of_a_service_that_we_do_not_offer_is_ended_once_it_asks() {
    let mut world = World::new();
    world.connected(1, 1);
    let actions = world.report(1, opened(3, Direction::Inbound, Service::AutonatV1.name()));
    assert_eq!(actions, [order(1, Order::Admit { stream: s(3) })]);
    let request = Box::new(Request::DialMe { addresses: vec![address(1)] });
    let actions = world.report(1, Report::Asked { stream: s(3), request });
    assert_eq!(actions, [order(1, Order::Reset { stream: s(3) })]);
}

// We are the client.

#[test]
fn a_question_whose_connection_ends_is_asked_of_another_before_long() {
    let mut world = World::with(|config| config.relay.autonat_v2 = None);
    world.tell(Input::AddExternal { address: address(7) });
    world.serves(1, 1, Service::AutonatV1);
    world.serves(2, 2, Service::AutonatV1);
    let mut actions = Vec::new();
    while questions(&actions) == 0 {
        actions = world.pass(SECOND);
    }
    let (connection, ..) = question(&actions);
    // Its link says nothing of the question any more.
    let actions = world.report(connection.0, gone());
    let retry = v1::ClientConfig::default().retry;
    let again = questions(&actions) + questions(&world.pass(retry + SECOND));
    assert_eq!(again, 1, "within {retry:?}");
}

#[test]
fn a_vote_of_the_first_version_is_told_and_decides_whether_we_serve_as_a_relay() {
    let mut world = World::with(|config| {
        config.relay.autonat_v2 = None;
        config.relay.server = Some(tidewire_relay::server::ServerConfig::default());
    });
    assert!(!world.host.services().contains(&Service::Hop.into()));
    world.tell(Input::AddExternal { address: address(7) });
    world.serves(1, 1, Service::AutonatV1);
    let mut actions = Vec::new();
    while questions(&actions) == 0 {
        actions = world.pass(SECOND);
    }
    let (connection, ask, what) = question(&actions);
    assert!(matches!(&what, Ask::DialMe { addresses } if addresses.contains(&address(7))), "{what:?}");
    let answer = Ok(Box::new(Answer::Dialed(v1::Response::ok(Some(address(7))))));
    let actions = world.report(connection.0, Report::Answered { ask, stream: Some(s(1)), answer });
    assert!(actions.contains(&Action::Event(Event::NatStatus(NatStatus::Public))), "{actions:?}");
    assert!(world.host.services().contains(&Service::Hop.into()), "{actions:?}");
}

#[test]
fn a_nonce_that_nobody_waits_for_is_not_heard() {
    let mut world = World::new();
    world.connected(1, 1);
    world.report(1, opened(3, Direction::Inbound, Service::AutonatV2Back.name()));
    let actions = world.report(1, Report::Asked { stream: s(3), request: Box::new(Request::DialBack { nonce: 7 }) });
    let [Action::Order { order, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert!(matches!(order, Order::Reset { .. } | Order::Reply { reply: Reply::Refused { .. }, .. }), "{order:?}");
}
