//! Candidates that fail, grow old, or are too many.

use super::*;

fn pause_of(desk: &mut Desk, n: u8, expected: Dropped) -> Duration {
    let events = desk.events();
    let found = events.iter().find_map(|event| match event {
        Event::Dropped { relay, why, pause } if *relay == peer(n) && *why == expected => Some(*pause),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{events:?}"))
}

#[test]
fn who_refuses_or_is_no_relay_is_left_alone_for_an_hour() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    desk.fit(&[1]);
    desk.wait(secs(20));
    desk.tell(Input::ReserveFailed { relay: peer(1), refused: true });
    assert!((secs(3600)..secs(4500)).contains(&pause_of(&mut desk, 1, Dropped::Refused)));
    desk.wait(secs(3599));
    assert_eq!(desk.holds(), []);
    desk.found(&[2]);
    desk.connect(2, 2);
    desk.identify(2, false);
    assert!(pause_of(&mut desk, 2, Dropped::NoRelay) >= secs(3600));
}

#[test]
fn who_is_lost_or_unreachable_is_tried_again_soon_and_ever_more_slowly() {
    let mut desk = Desk::new(AutoRelayConfig { discover: false, ..AutoRelayConfig::classic() });
    desk.found(&[1]);
    let mut last = Duration::ZERO;
    for tries in 0..12 {
        assert!(desk.done().iter().any(|action| matches!(action, Action::Connect { .. })), "try {tries}");
        desk.tell(Input::ConnectFailed { peer: peer(1) });
        let pause = pause_of(&mut desk, 1, Dropped::Unreachable);
        assert!(pause >= secs(10) && pause < secs(4500));
        assert!(pause > last || pause >= secs(3600));
        last = pause;
        // The source still names it.
        desk.wait(pause * 3 / 4);
        desk.found(&[1]);
        desk.wait(pause - pause * 3 / 4);
    }
    assert!(last >= secs(3600));
}

#[test]
fn a_relay_that_was_held_for_long_begins_a_new_row_of_failures() {
    let pause_after = |held: u64| {
        let (mut desk, relays) = Desk::holding(&[1, 2, 3]);
        let relay = relays[0];
        let mut pause = Duration::ZERO;
        for _ in 0..3 {
            desk.wait(secs(held));
            desk.said();
            desk.tell(Input::Lost { relay });
            let events = desk.events();
            let [Event::Dropped { pause: is, .. }] = events[..] else { panic!("{events:?}") };
            pause = is;
            desk.wait(pause);
            desk.reserved(&[relay]);
        }
        pause
    };
    assert!(pause_after(100) < secs(13));
    assert!(pause_after(1) >= secs(40));
}

#[test]
fn a_static_relay_is_never_left_alone_for_long() {
    let mut config = AutoRelayConfig::classic();
    config.static_relays = vec![candidate(1)];
    let mut desk = Desk::new(config);
    desk.connect(1, 1);
    desk.identify(1, true);
    desk.tell(Input::ReserveFailed { relay: peer(1), refused: true });
    assert!((secs(300)..secs(375)).contains(&pause_of(&mut desk, 1, Dropped::Refused)));
    desk.wait(secs(36_000));
    assert!(desk.auto.stage_of(peer(1)).is_some(), "and never forgotten");
}

#[test]
fn another_network_forgives_everything() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    desk.fit(&[1]);
    desk.wait(secs(20));
    desk.tell(Input::ReserveFailed { relay: peer(1), refused: true });
    desk.said();
    desk.tell(Input::NetworkChanged);
    assert_eq!(desk.holds(), [peer(1)]);
}

#[test]
fn a_relay_that_does_not_answer_is_given_back() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    desk.fit(&[1]);
    desk.wait(secs(20));
    desk.said();
    desk.wait(secs(10));
    let said = desk.said();
    assert!(said.contains(&Action::Release { relay: peer(1) }) && said.contains(&Action::Unprotect { peer: peer(1) }));
    assert_eq!(desk.auto.explain(desk.now).backing_off, 1);
}

#[test]
fn a_failed_renewal_takes_nothing_away() {
    let (mut desk, held) = Desk::holding(&[1, 2, 3]);
    desk.tell(Input::ReserveFailed { relay: held[0], refused: true });
    assert_eq!(desk.said(), []);
    assert_eq!(desk.auto.explain(desk.now).held.len(), 3);
}

#[test]
fn candidates_grow_old_unless_they_are_named_again_or_in_use() {
    let (mut desk, held) = Desk::holding(&[1, 2, 3, 4, 5, 6]);
    let spare: Vec<u8> = [1, 2, 3, 4, 5, 6].into_iter().filter(|n| !held.contains(&peer(*n))).collect();
    desk.wait(secs(1700));
    desk.found(&spare[..1]);
    desk.wait(secs(200));
    let explained = desk.auto.explain(desk.now);
    assert_eq!((explained.held.len(), explained.candidates), (3, 1));
}

#[test]
fn no_more_candidates_are_remembered_than_may_be() {
    let mut config = AutoRelayConfig::classic();
    config.max_candidates = 4;
    let mut desk = Desk::new(config);
    desk.found(&[1, 2, 3, 4, 5, 6]);
    assert_eq!(desk.auto.explain(desk.now).candidates, 4);
    // One that is left alone makes room.
    desk.connect(1, 1);
    desk.identify(1, false);
    desk.found(&[7]);
    let explained = desk.auto.explain(desk.now);
    assert_eq!((explained.candidates, explained.backing_off), (4, 0));
}

#[test]
fn who_is_left_alone_is_so_even_if_it_made_room_for_another() {
    let mut desk = Desk::new(AutoRelayConfig { max_candidates: 1, max_left_alone: 1, ..AutoRelayConfig::classic() });
    let known = |desk: &mut Desk, n: u8| desk.auto.stage_of(peer(n)).is_some();
    for n in [1, 2] {
        desk.found(&[n]);
        desk.connect(n.into(), n);
        desk.identify(n, false);
        // Longer than the part of a pause that is chance.
        desk.wait(secs(1000));
    }
    desk.found(&[1]);
    assert!(!known(&mut desk, 1) && known(&mut desk, 2));
    desk.found(&[3]);
    assert!(known(&mut desk, 3));
    desk.wait(secs(1800));
    desk.found(&[2]);
    assert!(!known(&mut desk, 2));
    desk.found(&[1]);
    assert!(known(&mut desk, 1), "of one that was alone for longer nothing is remembered: there is a cap");
}

#[test]
fn only_so_many_are_connected_at_one_time() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    desk.found(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let connects =
        |desk: &mut Desk| desk.done().iter().filter(|action| matches!(action, Action::Connect { .. })).count();
    assert_eq!(connects(&mut desk), 4);
    let probing: Vec<PeerId> = desk
        .auto
        .candidates
        .all
        .iter()
        .filter(|(_, known)| matches!(known.stage, Stage::Probing { .. }))
        .map(|(peer, _)| *peer)
        .collect();
    desk.tell(Input::ConnectFailed { peer: probing[0] });
    assert_eq!(connects(&mut desk), 1, "one fails, the next is tried");
}

#[test]
fn we_are_no_candidate_and_neither_is_a_relay_behind_a_relay() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    let behind = text(&alloc::format!("/ip4/8.9.0.1/tcp/1/p2p/{}/p2p-circuit", peer(9)));
    let list = [
        candidate(0),
        Candidate { peer: peer(1), addresses: vec![behind] },
        Candidate { peer: peer(2), addresses: vec![] },
    ];
    desk.said();
    desk.tell(Input::Candidates(&list));
    assert_eq!(desk.done(), [Action::Connect { peer: peer(2), addresses: vec![] }]);
}

#[test]
fn empty_lists_and_unknown_peers_are_harmless() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    desk.said();
    desk.tell(Input::Candidates(&[]));
    desk.tell(Input::Circuits(&[]));
    desk.tell(Input::Addresses { own: &[], verified: &[] });
    desk.tell(Input::Identified { peer: peer(9), speaks_hop: true });
    desk.tell(Input::Rtt { peer: peer(9), rtt: Duration::MAX });
    desk.tell(Input::Lost { relay: peer(9) });
    desk.tell(Input::Reserved { relay: peer(9) });
    desk.tell(Input::ConnectFailed { peer: peer(9) });
    assert_eq!(desk.said(), []);
    let connection = ConnectionId(1);
    assert_eq!(
        desk.auto.handle(desk.now, Input::Disconnected { connection }),
        Err(Misuse::UnknownConnection(connection))
    );
}

#[test]
fn the_seed_decides_between_equals() {
    let chosen = |seed: u8| {
        let mut desk = Desk::new(AutoRelayConfig::classic());
        desk.auto = AutoRelay::new(AutoRelayConfig::classic(), peer(0), &Seed::new([seed; 32]), Time::ZERO);
        desk.fit(&[1, 2, 3, 4, 5, 6]);
        desk.wait(secs(20));
        desk.holds()
    };
    assert_eq!(chosen(1), chosen(1));
    let all: alloc::collections::BTreeSet<_> = (0..20).map(chosen).collect();
    assert!(all.len() > 5, "hosts do not all choose the same ones");
}
