//! Finding, choosing and keeping relays.

use super::*;

#[test]
fn the_presets_are_those_of_the_classic_and_of_go() {
    let classic = AutoRelayConfig::classic();
    assert_eq!((classic.relays, classic.boot_delay, classic.advertise_boot_delay), (3, secs(20), secs(30)));
    assert_eq!((classic.rendezvous.as_str(), classic.advertise_ttl), ("/libp2p/relay", secs(1800)));
    assert_eq!(classic.advertise_retry, secs(120));
    let go = AutoRelayConfig::go();
    assert_eq!((go.relays, go.min_candidates, go.max_candidates), (2, 4, 20));
    assert_eq!((go.boot_delay, go.backoff, go.candidate_age), (secs(180), secs(3600), secs(1800)));
    assert_eq!((go.probe_timeout, go.reserve_timeout), (secs(20), secs(10)));
    assert_eq!(AutoRelayConfig::default(), classic);
}

#[test]
fn it_runs_from_the_start_and_asks_the_source() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    assert_eq!(desk.said(), [Action::Event(Event::Started), Action::Find { count: 20 }]);
    assert_eq!(desk.why(), Waiting::Source(Some(secs(30))));
    desk.wait(secs(29));
    assert_eq!(desk.said(), []);
    desk.wait(secs(1));
    assert_eq!(desk.said(), [Action::Find { count: 20 }]);
}

#[test]
fn a_candidate_must_be_direct_identified_and_speak_hop() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    desk.found(&[1, 2, 3]);
    assert_eq!(desk.done().iter().filter(|action| matches!(action, Action::Connect { .. })).count(), 3);
    // One over a relay, one not identified, one that is no relay.
    let (connection, remote) =
        (ConnectionId(1), text(&alloc::format!("/ip4/8.9.0.1/tcp/1/p2p/{}/p2p-circuit", peer(9))));
    desk.tell(Input::Connected { connection, peer: peer(1), remote: &remote, relayed: true });
    desk.identify(1, true);
    desk.connect(2, 2);
    desk.connect(3, 3);
    desk.identify(3, false);
    desk.said();
    desk.wait(secs(25));
    let events = desk.events();
    let dropped = |n, why| {
        events
            .iter()
            .any(|event| matches!(event, Event::Dropped { relay, why: is, .. } if *relay == peer(n) && *is == why))
    };
    assert!(dropped(1, Dropped::Unreachable) && dropped(2, Dropped::NotIdentified));
    assert_eq!(desk.auto.explain(desk.now).held, []);
    assert_eq!(desk.auto.explain(desk.now).asked, []);
    desk.connect(11, 1);
    desk.identify(1, true);
    desk.wait(secs(30));
    assert_eq!(desk.holds(), [peer(1)], "connected directly it will do, once its pause is over");
}

#[test]
fn nothing_is_chosen_before_the_boot_delay_is_over() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    desk.fit(&[1, 2, 3, 4, 5]);
    desk.wait(Duration::from_millis(19_999));
    assert_eq!(desk.holds(), []);
    assert_eq!(desk.why(), Waiting::BootDelay(Duration::from_millis(1)));
    desk.wait(Duration::from_millis(1));
    assert_eq!(desk.holds().len(), 3);
    assert_eq!(desk.why(), Waiting::Reservation(secs(10)));
}

#[test]
fn with_gos_numbers_enough_candidates_end_the_boot_delay() {
    let mut desk = Desk::new(AutoRelayConfig::go());
    desk.fit(&[1, 2, 3]);
    assert_eq!(desk.holds(), []);
    desk.fit(&[4]);
    assert_eq!(desk.holds().len(), 2);
    let mut desk = Desk::new(AutoRelayConfig::go());
    desk.fit(&[1]);
    desk.wait(secs(179));
    assert_eq!(desk.holds(), []);
    desk.wait(secs(1));
    assert_eq!(desk.holds(), [peer(1)], "after three minutes one is better than none");
}

#[test]
fn static_relays_do_not_wait_and_come_first() {
    let mut config = AutoRelayConfig::classic();
    config.static_relays = vec![candidate(1), candidate(2)];
    let mut desk = Desk::new(config);
    let connects: Vec<Action> = [1, 2].map(|n| Action::Connect { peer: peer(n), addresses: vec![address(n)] }).into();
    let done = desk.done();
    assert!(connects.iter().all(|connect| done.contains(connect)), "{done:?}");
    desk.fit(&[3, 4, 5]);
    desk.said();
    desk.connect(11, 1);
    desk.identify(1, true);
    assert_eq!(desk.holds(), [peer(1)]);
    desk.connect(12, 2);
    desk.identify(2, true);
    assert_eq!(desk.holds(), [peer(2)]);
    desk.reserved(&[peer(1), peer(2)]);
    desk.wait(secs(20));
    assert_eq!(desk.holds().len(), 1, "the third is found");
}

#[test]
fn while_a_static_relay_is_connected_it_is_that_which_is_waited_for() {
    let mut config = AutoRelayConfig::classic();
    config.static_relays = vec![candidate(1)];
    let mut desk = Desk::new(config);
    assert_eq!(desk.why(), Waiting::Probes(secs(20)));
    desk.fit(&[3, 4, 5]);
    assert_eq!(desk.why(), Waiting::Probes(secs(20)), "the others wait for the boot delay");
    desk.tell(Input::ConnectFailed { peer: peer(1) });
    assert!(matches!(desk.why(), Waiting::BootDelay(_)), "now nothing else is left: {:?}", desk.why());
}

#[test]
fn a_used_relay_is_protected_first() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    desk.fit(&[1]);
    desk.said();
    desk.wait(secs(20));
    let done = desk.done();
    let (relay, addresses) = (peer(1), vec![address(1)]);
    assert_eq!(done[..2], [Action::Protect { peer: relay }, Action::Hold { relay, addresses }]);
    desk.reserved(&[relay]);
    assert_eq!(desk.events(), [Event::Held { relay }]);
}

#[test]
fn another_subnet_goes_before_a_lower_rtt_and_that_before_others() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    desk.found(&[1, 2, 3, 4, 5]);
    let remotes = [
        "/ip4/8.1.0.1/tcp/1",
        "/ip4/8.1.7.2/tcp/1",
        "/ip4/8.3.0.1/tcp/1",
        "/ip6/2a00:1::1/tcp/1",
        "/ip4/8.5.0.1/tcp/1",
    ];
    for (n, remote) in (1_u8..).zip(remotes) {
        let (connection, remote) = (ConnectionId(n.into()), text(remote));
        desk.tell(Input::Connected { connection, peer: peer(n), remote: &remote, relayed: false });
        desk.identify(n, true);
    }
    for (n, rtt) in [(1, 10), (2, 11), (3, 50), (4, 40)] {
        desk.tell(Input::Rtt { peer: peer(n), rtt: Duration::from_millis(rtt) });
    }
    desk.wait(secs(20));
    assert_eq!(desk.holds(), [1, 4, 3].map(peer), "2 is near, but beside 1; of 5 nothing is known");
}

#[test]
fn when_relays_vanish_others_are_held() {
    let (mut desk, held) = Desk::holding(&[1, 2, 3, 4, 5]);
    assert_eq!(desk.why(), Waiting::Complete);
    for gone in &held[..2] {
        desk.tell(Input::Lost { relay: *gone });
    }
    let said = desk.said();
    for gone in &held[..2] {
        assert!(said.contains(&Action::Release { relay: *gone }));
        assert!(said.contains(&Action::Unprotect { peer: *gone }), "go never does");
    }
    let new: Vec<_> = said
        .iter()
        .filter_map(|action| if let Action::Hold { relay, .. } = action { Some(*relay) } else { None })
        .collect();
    assert_eq!(new.len(), 2);
    assert!(new.iter().all(|relay| !held.contains(relay)));
    desk.reserved(&new);
    assert_eq!(desk.auto.explain(desk.now).held.len(), 3);
}

#[test]
fn whoever_is_protected_is_unprotected_however_it_ends() {
    let ends: [fn(&mut Desk, PeerId); 4] = [
        |desk, relay| desk.tell(Input::Lost { relay }),
        |desk, _| desk.tell(Input::Reachability(Reachability::Public)),
        |desk, relay| {
            desk.tell(Input::Lost { relay });
            desk.tell(Input::Lost { relay });
        },
        |desk, relay| {
            desk.tell(Input::ReserveFailed { relay, refused: true });
            desk.tell(Input::Reachability(Reachability::Public));
        },
    ];
    for end in ends {
        let mut desk = Desk::new(AutoRelayConfig::classic());
        desk.fit(&[1]);
        desk.wait(secs(20));
        desk.reserved(&[peer(1)]);
        end(&mut desk, peer(1));
        let said = desk.said();
        let count = |what: &Action| said.iter().filter(|action| *action == what).count();
        assert_eq!(count(&Action::Protect { peer: peer(1) }), 1);
        assert_eq!(count(&Action::Unprotect { peer: peer(1) }), 1);
        assert_eq!(count(&Action::Release { relay: peer(1) }), 1);
    }
}

#[test]
fn it_stops_when_public_and_starts_again_when_not() {
    let (mut desk, held) = Desk::holding(&[1, 2, 3, 4]);
    desk.tell(Input::Reachability(Reachability::Private));
    assert_eq!(desk.said(), [], "it runs already");
    desk.tell(Input::Reachability(Reachability::Public));
    let said = desk.said();
    assert!(held.iter().all(|relay| said.contains(&Action::Release { relay: *relay })));
    assert_eq!(said.last(), Some(&Action::Event(Event::Stopped)));
    assert_eq!(desk.why(), Waiting::NotNeeded);
    desk.wait(secs(7200));
    assert_eq!(desk.said(), []);
    desk.tell(Input::Reachability(Reachability::Unknown));
    assert_eq!(desk.said().first(), Some(&Action::Event(Event::Started)));
}

#[test]
fn a_reservation_that_there_is_already_is_taken_as_it_is() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    desk.fit(&[1]);
    desk.tell(Input::Reserved { relay: peer(1) });
    desk.said();
    desk.wait(secs(20));
    assert_eq!(desk.events(), [Event::Held { relay: peer(1) }]);
    assert_eq!(desk.auto.explain(desk.now).asked, []);
}

#[test]
fn what_the_client_says_is_passed_on() {
    use crate::client;
    let relay = peer(1);
    let event = client::Action::Event;
    let circuits = vec![address(1)];
    let why = client::Lost::Expired;
    let refusal = client::Refusal::Status(crate::Status::RESERVATION_REFUSED);
    let limit = crate::Limit::UNLIMITED;
    let table = [
        (event(client::Event::Reserved { relay, ttl: secs(1), limit }), Some(Input::Reserved { relay })),
        (event(client::Event::Renewed { relay, ttl: secs(1) }), None),
        (
            event(client::Event::Refused { relay, why: refusal, retry: None }),
            Some(Input::ReserveFailed { relay, refused: true }),
        ),
        (
            event(client::Event::Failed { relay, why: "x".into(), retry: Duration::from_secs(1) }),
            Some(Input::ReserveFailed { relay, refused: false }),
        ),
        (event(client::Event::Lost { relay, why }), Some(Input::Lost { relay })),
        (client::Action::Circuits(circuits.clone()), Some(Input::Circuits(&circuits))),
        (client::Action::Keep { peer: relay }, None),
    ];
    for (action, expected) in &table {
        assert_eq!(Input::of_client(action), *expected);
    }
}

#[test]
fn it_says_what_it_waits_for() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    let why = |desk: &Desk| desk.auto.explain(desk.now).to_string();
    assert!(why(&desk).ends_with("waits for the source, which is asked again in 30 s"), "{}", why(&desk));
    desk.wait(secs(20));
    desk.found(&[1]);
    assert!(why(&desk).ends_with("waits for candidates to identify themselves, 20 s at most"), "{}", why(&desk));
    desk.connect(1, 1);
    desk.identify(1, true);
    assert!(why(&desk).ends_with("waits for a relay's answer, 10 s at most"), "{}", why(&desk));
    desk.tell(Input::ReserveFailed { relay: peer(1), refused: false });
    assert!(why(&desk).ends_with("waits for the source, which is asked again in 10 s"), "{}", why(&desk));
    desk.wait(secs(10));
    assert!(why(&desk).contains("until a candidate that failed is tried again"), "{}", why(&desk));
    desk.tell(Input::Reachability(Reachability::Public));
    assert!(why(&desk).ends_with("reachability public; no relay is needed"), "{}", why(&desk));
}
