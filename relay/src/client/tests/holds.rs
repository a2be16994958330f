//! Reservations that go as they should: asked for, taken, renewed, given back.

use super::*;

#[test]
fn a_hold_connects_then_asks_then_has_a_reservation() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.hold(1);
    assert_eq!(desk.said(), [Action::Connect { relay: peer(1), addresses: vec![address(1)] }]);
    desk.connect(5, 1);
    let ask = AskId(0);
    assert_eq!(desk.said(), [Action::Ask { ask, connection: ConnectionId(5), what: Ask::Reserve }]);
    let mut given = reservation(peer(1), UNIX + HOUR);
    given.limit = Limit { duration: None, data: Some(1000) };
    desk.answer(ask, 5, &Answer::Reserved(Box::new(given.clone()))).unwrap();
    let circuits = given.circuit_addresses(peer(0));
    assert_eq!(
        desk.said(),
        [
            Action::Keep { peer: peer(1) },
            Action::Event(Event::Reserved { relay: peer(1), ttl: secs(HOUR), limit: given.limit }),
            Action::Circuits(circuits),
        ]
    );
    assert_eq!(desk.client.reservation(&peer(1)), Some(&given));
}

#[test]
fn only_a_direct_connection_counts() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.connect_over_relay(4, 1);
    desk.hold(1);
    assert!(matches!(desk.said()[..], [Action::Connect { .. }]));
    desk.connect_over_relay(5, 1);
    assert_eq!(desk.said(), []);
    desk.connect(6, 1);
    assert!(matches!(desk.said()[..], [Action::Ask { connection: ConnectionId(6), .. }]));
}

#[test]
fn addresses_behind_relays_are_not_used_to_reach_a_relay() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.tell(Input::Hold { relay: peer(1), addresses: &[circuit_of(2, 1), address(1), address(1)] });
    assert_eq!(desk.said(), [Action::Connect { relay: peer(1), addresses: vec![address(1)] }]);
}

#[test]
fn what_is_known_of_a_relay_stays_when_it_is_wanted_again() {
    let mut desk = Desk::new(ClientConfig { relay_addresses: 3, ..ClientConfig::default() });
    let relay = peer(1);
    desk.tell(Input::Hold { relay, addresses: &[address(1), address(2)] });
    desk.tell(Input::Hold { relay, addresses: &[] });
    desk.said();
    let mut dialed = |addresses: &[Multiaddr]| {
        desk.tell(Input::ConnectFailed { relay, why: "refused" });
        desk.tell(Input::Hold { relay, addresses });
        desk.said();
        desk.skip();
        let connect = |action| if let Action::Connect { addresses, .. } = action { Some(addresses) } else { None };
        desk.said().into_iter().find_map(connect).unwrap()
    };
    assert_eq!(dialed(&[]), [1, 2].map(address));
    assert_eq!(dialed(&[address(3), address(2)]), [3, 2, 1].map(address), "the new ones first");
    assert_eq!(dialed(&[address(4)]), [4, 3, 2].map(address), "as many as may be kept");
}

#[test]
fn a_reservation_is_renewed_well_before_its_end_and_stays_meanwhile() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    let renew = desk.next();
    assert!((secs(HOUR - 375)..=secs(HOUR - 300)).contains(&renew), "{renew:?}");
    desk.skip();
    assert!(matches!(desk.said.front(), Some(Action::Ask { what: Ask::Reserve, .. })));
    assert!(desk.client.reservation(&peer(1)).is_some());
    desk.grant(5, 1, UNIX + 2 * HOUR);
    let left = secs(2 * HOUR) - Duration::from_secs(renew.as_secs());
    assert_eq!(desk.said(), [Action::Event(Event::Renewed { relay: peer(1), ttl: left })], "nothing is announced anew");
}

#[test]
fn a_short_reservation_is_renewed_after_two_thirds() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.connect(5, 1);
    desk.hold(1);
    desk.grant(5, 1, UNIX + 12);
    let renew = desk.next();
    assert!(secs(7) <= renew && renew <= secs(8), "{renew:?}");
}

#[test]
fn reservations_of_no_length_are_not_asked_for_all_the_time() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.connect(5, 1);
    desk.hold(1);
    let mut asked = 0;
    for _ in 0..30 {
        desk.grant(5, 1, UNIX + desk.now.as_nanos() / 1_000_000_000 + 1);
        asked += 1;
        // It ends, and is asked for again.
        while desk.client.explain(desk.now, &peer(1)).unwrap().doing != Doing::Asking {
            desk.skip();
        }
    }
    assert!(desk.now.since(Time::ZERO) >= secs(116), "{asked} questions within {:?}", desk.now);
}

#[test]
fn a_relay_with_a_wrong_clock_is_believed_within_reason() {
    // Its end by the relay's clock, and the time until the renewal: between these.
    let table = [
        (UNIX - 10 * HOUR, 175, 200),
        (0, 175, 200),
        (UNIX, 175, 200),
        (UNIX + 2 * HOUR + 60, 6825, 6900),
        (u64::MAX, 175, 200),
        (UNIX + 90 * HOUR, 175, 200),
    ];
    for (expire, least, most) in table {
        let mut desk = Desk::new(ClientConfig::default());
        desk.connect(5, 1);
        desk.hold(1);
        desk.grant(5, 1, expire);
        let renew = desk.next();
        assert!((secs(least)..=secs(most)).contains(&renew), "until {expire}: {renew:?}");
    }
}

#[test]
fn without_a_clock_a_reservation_is_taken_to_be_short() {
    let mut client = Client::new(ClientConfig::default(), peer(0), &Seed::new([7; 32]));
    let (connection, relay) = (ConnectionId(5), peer(1));
    let remote = &address(1);
    client
        .handle(Time::ZERO, Input::Connected { connection, peer: relay, remote, relayed: false, dialed: true })
        .unwrap();
    client.handle(Time::ZERO, Input::Hold { relay, addresses: &[] }).unwrap();
    let answer = Answer::Reserved(Box::new(reservation(relay, UNIX + HOUR)));
    client.handle(Time::ZERO, Input::Answered { ask: AskId(0), stream: over(5, 1), answer: &answer }).unwrap();
    assert_eq!(client.explain(Time::ZERO, &relay).unwrap().left, Some(secs(300)));
}

#[test]
fn setting_the_clock_moves_no_reservation() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    let before = desk.client.deadline();
    for unix in [0, UNIX + 100 * HOUR, u64::MAX] {
        desk.tell(Input::Clock { unix: UnixTime::from_secs(unix) });
        desk.wait(secs(1));
        assert_eq!(desk.client.deadline(), before);
    }
    assert_eq!(desk.said(), []);
}

#[test]
fn the_clock_goes_on_by_itself() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.wait(secs(1000));
    desk.connect(5, 1);
    desk.hold(1);
    desk.grant(5, 1, UNIX + HOUR);
    assert_eq!(desk.client.explain(desk.now, &peer(1)).unwrap().left, Some(secs(HOUR - 1000)));
}

#[test]
fn giving_back_ends_everything_about_it() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    desk.tell(Input::Release { relay: peer(1) });
    assert_eq!(desk.said(), [Action::Release { peer: peer(1) }, Action::Circuits(vec![])]);
    assert!(desk.client.deadline().is_never());
    assert_eq!(desk.client.explain(desk.now, &peer(1)), None);
    assert_eq!(desk.give(Input::Release { relay: peer(1) }), Err(Misuse::NotHeld(peer(1))));
}

#[test]
fn giving_back_while_asking_or_connecting_takes_that_back() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.hold(1);
    desk.said();
    desk.tell(Input::Release { relay: peer(1) });
    assert_eq!(desk.said(), [Action::CancelConnect { relay: peer(1) }]);
    desk.connect(5, 1);
    desk.hold(1);
    let ask = desk.asked();
    desk.tell(Input::Release { relay: peer(1) });
    assert_eq!(desk.said(), [Action::CancelAsk { ask }]);
    let late = Answer::Reserved(Box::new(reservation(peer(1), UNIX + HOUR)));
    assert_eq!(desk.answer(ask, 5, &late), Err(Misuse::UnknownAsk(ask)), "news that crossed");
    assert_eq!(desk.said(), []);
}

#[test]
fn a_dial_keeps_the_connection_that_a_hold_gives_up() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.hold(1);
    desk.dial(1, 1, 2);
    assert!(matches!(desk.said()[..], [Action::Connect { .. }]), "one for both");
    desk.tell(Input::Release { relay: peer(1) });
    assert_eq!(desk.said(), []);
}

#[test]
fn our_addresses_are_the_relays_or_else_where_we_reached_it_or_else_where_we_were_told() {
    let circuits = |addresses: Vec<Multiaddr>, dialed: bool| {
        let mut desk = Desk::new(ClientConfig::default());
        let remote = "/ip4/8.8.8.8/tcp/5000".parse().unwrap();
        let connection = ConnectionId(5);
        desk.tell(Input::Connected { connection, peer: peer(1), remote: &remote, relayed: false, dialed });
        desk.hold(1);
        let ask = desk.asked();
        let mut given = reservation(peer(1), UNIX + HOUR);
        given.addresses = addresses;
        desk.answer(ask, 5, &Answer::Reserved(Box::new(given))).unwrap();
        let Some(Action::Circuits(circuits)) = desk.said.pop_back() else { panic!("no circuits") };
        circuits
    };
    let of = |text: &str| crate::circuit_address(&text.parse().unwrap(), peer(1), peer(0)).unwrap();
    assert_eq!(circuits(vec!["/ip4/9.9.9.9/tcp/1".parse().unwrap()], true), [of("/ip4/9.9.9.9/tcp/1")]);
    assert_eq!(circuits(vec![], true), [of("/ip4/8.8.8.8/tcp/5000")]);
    assert_eq!(
        circuits(vec![], false),
        [of("/ip4/8.1.0.1/tcp/4001")],
        "where an incoming one comes from, nobody listens"
    );
}

#[test]
fn a_hold_said_again_is_one_hold() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    desk.hold(1);
    assert_eq!(desk.said(), []);
    assert_eq!(desk.client.counts().holds, 1);
}

#[test]
fn holds_have_a_cap_and_we_are_no_relay_for_ourselves() {
    let config = ClientConfig { holds: 1, ..ClientConfig::default() };
    let mut desk = Desk::new(config);
    desk.hold(1);
    let addresses = &[];
    assert_eq!(desk.give(Input::Hold { relay: peer(2), addresses }), Err(Misuse::TooManyHolds(1)));
    assert_eq!(desk.give(Input::Hold { relay: peer(0), addresses }), Err(Misuse::Ourselves(peer(0))));
    assert_eq!(desk.give(Input::Hold { relay: peer(1), addresses }), Ok(()));
}

#[test]
fn a_view_says_what_is_being_done() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    desk.wait(secs(100));
    let view = desk.client.explain(desk.now, &peer(1)).unwrap();
    assert_eq!((view.doing, view.left, view.failures), (Doing::Holding, Some(secs(HOUR - 100)), 0));
    assert!(view.to_string().ends_with("holds for 3500 s more"), "{view}");
    desk.hold(2);
    let view = desk.client.explain(desk.now, &peer(2)).unwrap();
    assert!(view.to_string().ends_with("waits for a connection, 60 s at most"), "{view}");
    desk.tell(Input::ConnectFailed { relay: peer(2), why: "refused" });
    let view = desk.client.explain(desk.now, &peer(2)).unwrap();
    assert!(view.to_string().ends_with("tries again in 1 s; 1 times without success, last: refused"), "{view}");
    assert_eq!(desk.client.views(desk.now).count(), 2);
}
