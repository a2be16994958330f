//! Reservations in trouble: refused, unanswered, lost.

use super::*;

fn retry_of(events: &[Event]) -> Option<Duration> {
    match events {
        [Event::Refused { retry, .. }] => *retry,
        [Event::Failed { retry, .. }] => Some(*retry),
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_a_restart_of_the_relay_there_is_a_reservation_again() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    desk.wait(secs(100));
    desk.disconnect(5);
    assert_eq!(
        desk.said(),
        [
            Action::Release { peer: peer(1) },
            Action::Event(Event::Lost { relay: peer(1), why: Lost::Disconnected }),
            Action::Circuits(vec![]),
        ]
    );
    let first = desk.next();
    assert!(first >= secs(1) && first < secs(2), "{first:?}");
    desk.skip();
    assert!(matches!(desk.said()[..], [Action::Connect { .. }]));
    // It is not up yet.
    desk.tell(Input::ConnectFailed { relay: peer(1), why: "refused" });
    let second = retry_of(&desk.events()).unwrap();
    assert!(second >= secs(2) && second < secs(3), "{second:?}");
    desk.skip();
    desk.connect(6, 1);
    desk.grant(6, 1, UNIX + HOUR);
    assert!(matches!(
        desk.said()[..],
        [Action::Keep { .. }, Action::Event(Event::Reserved { .. }), Action::Circuits(_)]
    ));
}

#[test]
fn holders_of_one_relay_do_not_come_back_at_one_moment() {
    let back = |seed: u8| {
        let mut desk = Desk::new(ClientConfig::default());
        desk.client = Client::new(ClientConfig::default(), peer(0), &Seed::new([seed; 32]));
        let mut desk = desk.held(5, 1);
        desk.wait(secs(100));
        desk.disconnect(5);
        desk.next()
    };
    let all: Vec<_> = (0..20).map(back).collect();
    let distinct: alloc::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn a_relay_that_gives_and_hangs_up_is_asked_ever_more_slowly() {
    let mut desk = Desk::new(ClientConfig::default()).held(1, 1);
    let mut last = Duration::ZERO;
    for connection in 2..8 {
        desk.disconnect(connection - 1);
        let pause = desk.next();
        assert!(pause > last, "{pause:?} after {last:?}");
        last = pause;
        desk.skip();
        desk.connect(connection, 1);
        desk.grant(connection, 1, UNIX + 10 * HOUR);
    }
}

#[test]
fn a_refusal_waits_longer_than_a_failure_of_transport() {
    // What came, and between which seconds it is tried again.
    let table = [
        (None, 1, 2),
        (Some(Status::RESERVATION_REFUSED), 60, 75),
        (Some(Status::RESOURCE_LIMIT_EXCEEDED), 60, 75),
        (Some(Status::from_code(777)), 60, 75),
        (Some(Status::PERMISSION_DENIED), 3600, 4500),
        (Some(Status::NO_RESERVATION), 3600, 4500),
        (Some(Status::CONNECTION_FAILED), 3600, 4500),
        (Some(Status::MALFORMED_MESSAGE), 3600, 4500),
        (Some(Status::UNEXPECTED_MESSAGE), 3600, 4500),
    ];
    for (status, least, most) in table {
        let mut desk = Desk::new(ClientConfig::default());
        desk.connect(5, 1);
        desk.hold(1);
        match status {
            Some(status) => desk.refuse(5, status),
            None => {
                let ask = desk.asked();
                desk.tell(Input::AskFailed { ask, fault: AskFault::Failed("reset") });
            }
        }
        let events = desk.events();
        if let (Some(status), Event::Refused { why, .. }) = (status, &events[0]) {
            assert_eq!(*why, Refusal::Status(status));
            assert!(why.advice().len() > 20 && why.to_string().contains(&status.to_string()));
        }
        let retry = retry_of(&events).unwrap();
        assert!(retry >= secs(least) && retry <= secs(most), "{status:?}: {retry:?}");
        assert_eq!(desk.next(), retry);
    }
}

#[test]
fn a_peer_that_is_no_relay_is_left_alone_for_long() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.connect(5, 1);
    desk.hold(1);
    let ask = desk.asked();
    desk.tell(Input::AskFailed { ask, fault: AskFault::Unsupported });
    let events = desk.events();
    assert!(matches!(&events[..], [Event::Refused { why: Refusal::Unsupported, .. }]));
    assert!(retry_of(&events).unwrap() >= secs(3600));
    // Another connection of it changes nothing.
    desk.connect(6, 1);
    assert_eq!(desk.said(), []);
}

#[test]
fn a_relay_that_is_away_for_a_day_is_held_again_when_it_is_back() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    desk.disconnect(5);
    let (gone, mut pauses) = (desk.now, Vec::new());
    while desk.now.since(gone) < secs(24 * 3600) {
        pauses.push(desk.next());
        desk.skip();
        desk.said();
        desk.tell(Input::ConnectFailed { relay: peer(1), why: "refused" });
        desk.said();
    }
    assert!(pauses.len() > 200 && pauses.iter().all(|pause| *pause <= secs(375)), "{pauses:?}");
    assert!(pauses.iter().skip(9).all(|pause| *pause >= secs(300)), "{pauses:?}");
    desk.skip();
    desk.connect(6, 1);
    desk.grant(6, 1, UNIX + 30 * HOUR);
    assert!(desk.client.reservation(&peer(1)).is_some());
}

#[test]
fn refusals_have_an_end_and_another_network_a_new_beginning() {
    let mut desk = Desk::new(ClientConfig { tries: 3, ..ClientConfig::default() });
    desk.hold(1);
    desk.said();
    for (n, expected) in [(1, true), (2, true), (3, false)] {
        // Failures of transport don't count.
        for _ in 0..5 {
            desk.tell(Input::ConnectFailed { relay: peer(1), why: "refused" });
            assert!(retry_of(&desk.events()).is_some());
            desk.skip();
            assert!(matches!(desk.said()[..], [Action::Connect { .. }]));
        }
        desk.connect(n, 1);
        desk.refuse(n, Status::RESERVATION_REFUSED);
        assert_eq!(retry_of(&desk.events()).is_some(), expected);
        desk.disconnect(n);
        if expected {
            desk.skip();
            assert!(matches!(desk.said()[..], [Action::Connect { .. }]));
        }
    }
    assert!(desk.client.deadline().is_never());
    assert_eq!(desk.client.explain(desk.now, &peer(1)).unwrap().doing, Doing::GaveUp);
    desk.tell(Input::NetworkChanged);
    assert!(matches!(desk.said()[..], [Action::Connect { .. }]));
    desk.tell(Input::ConnectFailed { relay: peer(1), why: "refused" });
    assert!(retry_of(&desk.events()).is_some(), "all tries are left");
}

#[test]
fn a_relay_that_was_given_up_is_asked_when_it_is_wanted_anew() {
    let mut desk = Desk::new(ClientConfig { tries: 1, ..ClientConfig::default() });
    desk.connect(5, 1);
    desk.hold(1);
    desk.refuse(5, Status::RESERVATION_REFUSED);
    desk.disconnect(5);
    desk.said();
    desk.connect(6, 1);
    desk.disconnect(6);
    assert_eq!(desk.said(), [], "that it connects changes nothing");
    desk.hold(1);
    assert!(matches!(desk.said()[..], [Action::Connect { .. }]));
}

#[test]
fn no_answer_in_time_is_a_failure() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.hold(1);
    assert_eq!(desk.next(), secs(60));
    desk.skip();
    let said = desk.said();
    assert!(matches!(said[1..], [Action::Event(Event::Failed { .. }), Action::CancelConnect { .. }]), "{said:?}");
    desk.connect(5, 1);
    let ask = desk.asked();
    assert_eq!(desk.next(), secs(60));
    desk.skip();
    let said = desk.said();
    assert!(
        matches!(said[..], [Action::CancelAsk { ask: cancelled }, Action::Event(Event::Failed { .. })] if cancelled == ask)
    );
}

#[test]
fn what_is_held_outlives_a_refused_renewal_until_its_end() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    desk.skip();
    desk.refuse(5, Status::RESERVATION_REFUSED);
    assert!(matches!(desk.events()[..], [Event::Refused { .. }]));
    assert!(desk.client.reservation(&peer(1)).is_some());
    let mut events = Vec::new();
    while desk.client.reservation(&peer(1)).is_some() {
        desk.skip();
        let asked =
            desk.said.iter().find_map(|action| if let Action::Ask { ask, .. } = action { Some(*ask) } else { None });
        if let Some(ask) = asked {
            desk.answer(ask, 5, &Answer::Refused { status: Status::RESERVATION_REFUSED }).unwrap();
        }
        events.extend(desk.events());
    }
    assert_eq!(desk.now.since(Time::ZERO), secs(HOUR), "to the second");
    assert_eq!(events.last(), Some(&Event::Lost { relay: peer(1), why: Lost::Expired }));
    assert!(events.len() > 1, "it was tried again before");
}

#[test]
fn a_second_connection_takes_the_reservation_over() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    desk.connect(6, 1);
    assert_eq!(desk.said(), []);
    desk.disconnect(5);
    // It is asked for again there, and announced meanwhile.
    assert!(matches!(desk.said.make_contiguous(), [Action::Ask { connection: ConnectionId(6), .. }]));
    desk.grant(6, 1, UNIX + HOUR);
    assert!(matches!(desk.said()[..], [Action::Event(Event::Renewed { .. })]));
}

#[test]
fn a_relay_that_does_not_move_the_reservation_ends_it() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    desk.connect(6, 1);
    desk.disconnect(5);
    desk.refuse(6, Status::RESERVATION_REFUSED);
    let events = desk.events();
    assert!(matches!(events[..], [Event::Refused { .. }, Event::Lost { why: Lost::NotMoved, .. }]), "{events:?}");
    assert_eq!(desk.client.reservation(&peer(1)), None);
}

#[test]
fn the_end_of_another_connection_is_no_matter() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    desk.connect(6, 1);
    desk.disconnect(6);
    desk.connect_over_relay(7, 1);
    desk.disconnect(7);
    assert_eq!(desk.said(), []);
}

#[test]
fn vouchers_are_judged_by_the_policy() {
    let [relay, other] = [1, 2].map(key);
    let voucher = Voucher { relay: relay.peer_id(), peer: peer(0), expiration: UnixTime::from_secs(UNIX + HOUR) };
    let envelope = voucher.seal(&relay).unwrap().as_bytes().clone();
    let good = Some(Ok(SignedVoucher { voucher, envelope }));
    let wrong = VoucherError::OtherRelay { expected: relay.peer_id(), got: other.peer_id() };
    let bad = Some(Err(wrong.clone()));
    let table = [
        (VoucherPolicy::Ignore, good.clone(), None),
        (VoucherPolicy::Ignore, bad.clone(), None),
        (VoucherPolicy::Ignore, None, None),
        (VoucherPolicy::RefuseWrong, good.clone(), None),
        (VoucherPolicy::RefuseWrong, bad.clone(), Some(Refusal::Voucher(wrong.clone()))),
        (VoucherPolicy::RefuseWrong, None, None),
        (VoucherPolicy::Require, good, None),
        (VoucherPolicy::Require, bad, Some(Refusal::Voucher(wrong))),
        (VoucherPolicy::Require, None, Some(Refusal::NoVoucher)),
    ];
    assert_eq!(ClientConfig::default().voucher, VoucherPolicy::RefuseWrong);
    for (policy, voucher, expected) in table {
        let mut desk = Desk::new(ClientConfig { voucher: policy, ..ClientConfig::default() });
        desk.connect(5, 1);
        desk.hold(1);
        let ask = desk.asked();
        let mut given = reservation(peer(1), UNIX + HOUR);
        given.voucher = voucher;
        desk.answer(ask, 5, &Answer::Reserved(Box::new(given))).unwrap();
        let refused = desk.events().into_iter().find_map(|event| match event {
            Event::Refused { why, .. } => Some(why),
            _ => None,
        });
        assert_eq!(refused, expected, "{policy:?}");
        assert_eq!(desk.client.reservation(&peer(1)).is_none(), expected.is_some());
    }
}

#[test]
fn a_voucher_that_turns_wrong_at_a_renewal_ends_nothing_before_its_time() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    desk.skip();
    let ask = desk.asked();
    let mut given = reservation(peer(1), UNIX + 2 * HOUR);
    given.voucher = Some(Err(VoucherError::Protobuf));
    desk.answer(ask, 5, &Answer::Reserved(Box::new(given))).unwrap();
    assert!(matches!(desk.events()[..], [Event::Refused { why: Refusal::Voucher(_), .. }]));
    assert_eq!(desk.client.reservation(&peer(1)).unwrap().expire.as_secs(), UNIX + HOUR);
}

#[test]
fn answers_that_do_not_fit_are_misuse_and_change_nothing() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.connect(5, 1);
    desk.connect(6, 1);
    desk.hold(1);
    let ask = desk.asked();
    let good = Answer::Reserved(Box::new(reservation(peer(1), UNIX + HOUR)));
    let foreign = Answer::Reserved(Box::new(reservation(peer(2), UNIX + HOUR)));
    let got = over(5, 100);
    assert_eq!(desk.answer(ask, 5, &good), Err(Misuse::OtherConnection { expected: ConnectionId(6), got }));
    assert_eq!(desk.answer(ask, 6, &foreign), Err(Misuse::OtherAnswer(ask)));
    assert_eq!(desk.answer(ask, 6, &Answer::Accepted), Err(Misuse::OtherAnswer(ask)));
    assert_eq!(desk.answer(ask, 6, &Answer::Connected { limit: Limit::UNLIMITED }), Err(Misuse::OtherAnswer(ask)));
    assert_eq!(desk.answer(AskId(99), 6, &good), Err(Misuse::UnknownAsk(AskId(99))));
    assert_eq!(desk.answer(ask, 6, &good), Ok(()));
    assert_eq!(desk.answer(ask, 6, &good), Err(Misuse::UnknownAsk(ask)));
}
