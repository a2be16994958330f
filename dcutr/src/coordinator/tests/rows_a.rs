//! The table of side A.

use super::super::Refusal;
use super::*;
use crate::exchange::Fault;
use crate::report::{How, Side};

#[test]
fn a_connect_is_answered_and_the_window_opens() {
    let mut lab = Lab::on_circuit(false);
    let actions = lab.asked(1);
    assert_eq!(actions[0], answer(1));
    let Action::Window { peer: of, ips, until, .. } = &actions[1] else { panic!("{actions:?}") };
    assert_eq!((*of, ips.as_slice(), *until), (peer(THEM), &[theirs().ip().unwrap()][..], Time::ZERO + secs(30)));
    lab.is_at("try 1: answered CONNECT, waits for SYNC");
    assert_eq!(lab.events[0], Event::Started { peer: peer(THEM), side: Side::A });
}

#[test]
fn on_sync_we_dial_at_once() {
    let mut lab = Lab::awaiting();
    assert_eq!(lab.synced(1), [dial(0, Plan::Initiate)]);
    lab.dialed(0);
    lab.tell(Input::Proven { connection: DIRECT });
    let report = lab.report();
    assert!(matches!(report.end, End::Upgraded { how: How::Dialed { number: 1 }, .. }));
    let one = &report.tries[0];
    assert_eq!((one.rtt, one.dialed, one.dialed_by_them), (Some(RTT), Some(Time::ZERO), Some(Time::ZERO)));
}

#[test]
fn a_connect_is_reset_when_a_direct_connection_is_proven() {
    let mut lab = Lab::on_circuit(false);
    lab.connect(DIRECT, false, true);
    lab.tell(Input::Proven { connection: DIRECT });
    assert_eq!(lab.asked(1), [reset(1, Refusal::Direct)]);
    assert!(lab.events.is_empty());
}

#[test]
fn a_proof_is_remembered_though_there_was_nothing_to_punch_then() {
    let mut lab = Lab::new(|_| ());
    lab.connect(DIRECT, false, true);
    lab.tell(Input::Proven { connection: DIRECT });
    lab.connect(CIRCUIT, true, false);
    assert_eq!(lab.asked(1), [reset(1, Refusal::Direct)]);
}

#[test]
fn a_connect_is_answered_while_a_direct_connection_is_not_proven() {
    let mut lab = Lab::on_circuit(false);
    lab.connect(DIRECT, false, true);
    assert_eq!(lab.asked(1)[0], answer(1));
    assert_eq!(lab.tell(Input::Proven { connection: DIRECT }), [reset(1, Refusal::Over)]);
    assert!(matches!(lab.report().end, End::Upgraded { how: How::Elsewhere, .. }));
}

#[test]
fn the_wrong_connection_and_the_wrong_side_are_reset() {
    let mut direct = Lab::on_circuit(false);
    direct.connect(DIRECT, false, true);
    let stream = StreamKey { connection: DIRECT, stream: 1 };
    let actions = direct.tell(Input::Asked { stream, addresses: &[], skipped: 0 });
    assert_eq!(actions, [Action::ResetStream { stream, why: Refusal::NotRelayed }]);

    let mut stranger = Lab::new(|_| ());
    stranger.connect(DIRECT, false, true);
    let actions = stranger.tell(Input::Asked { stream, addresses: &[], skipped: 0 });
    assert_eq!(actions, [Action::ResetStream { stream, why: Refusal::NotRelayed }]);

    assert_eq!(Lab::on_circuit(true).asked(1), [reset(1, Refusal::WrongSide)]);
    let unknown = Misuse::UnknownConnection(CIRCUIT);
    assert_eq!(Lab::new(|_| ()).try_tell(Input::Asked { stream: on(1), addresses: &[], skipped: 0 }), Err(unknown));
}

/// Old go-libp2p tries again at once when its own dial finds the pair of ports taken, which is by ours.
#[test]
fn another_connect_does_not_cancel_a_handshake_that_runs() {
    let mut lab = Lab::punching_as_a();
    lab.tell(Input::Upgrading { dial: DialId(0) });
    assert_eq!(lab.asked(2)[0], answer(2));
    lab.dialed(0);
    lab.tell(Input::Proven { connection: DIRECT });
    assert!(matches!(lab.report().end, End::Upgraded { how: How::Dialed { number: 1 }, .. }));
    lab.is_over();
}

#[test]
fn a_handshake_that_outlives_its_attempt_is_not_told_as_a_dial_of_the_next() {
    let mut lab = Lab::punching_as_a();
    lab.tell(Input::Upgrading { dial: DialId(0) });
    for stream in 2..=4 {
        lab.asked(stream);
    }
    assert_eq!(lab.reports().len(), 1, "three tries are enough for one report");
    lab.synced(4);
    lab.dialed(0);
    lab.tell(Input::Proven { connection: DIRECT });
    let last = lab.reports()[1];
    assert!(matches!(last.end, End::Upgraded { how: How::Elsewhere, .. }), "{last}");
    assert!(last.tries[0].dials.iter().all(|dial| dial.outcome != crate::report::Outcome::Connected(DIRECT)));
}

#[test]
fn a_second_connect_takes_the_place_of_the_first() {
    let mut lab = Lab::awaiting();
    let actions = lab.asked(2);
    assert_eq!(actions[..2], [reset(1, Refusal::Newer), answer(2)]);
    lab.is_at("try 2");
    assert_eq!(lab.synced(1), [], "a SYNC on the old stream");
    assert_eq!(lab.synced(2), [dial(0, listen_first(1))]);
}

#[test]
fn a_second_connect_is_a_second_one_however_late_it_comes() {
    let mut lab = Lab::punching_as_a();
    lab.failed(0, DialFault::Refused);
    lab.wait(secs(60));
    lab.failed_for(&Failure::NoFurtherTry);
    lab.asked(2);
    assert_eq!(lab.synced(2), [dial(1, listen_first(1))], "it may be the third one of a peer that flips then");
}

#[test]
fn a_connect_while_we_dial_aborts_our_dial_first() {
    let mut lab = Lab::punching_as_a();
    assert_eq!(lab.asked(2)[..2], [abort(0), answer(2)]);
    assert_eq!(lab.synced(2), [dial(1, listen_first(1))]);
}

#[test]
fn the_same_stream_can_t_ask_twice() {
    let mut lab = Lab::awaiting();
    let again = Input::Asked { stream: on(1), addresses: &[], skipped: 0 };
    assert_eq!(lab.try_tell(again), Err(Misuse::StreamExists(on(1))));
}

#[test]
fn a_sync_that_nobody_waits_for_is_ignored() {
    let mut lab = Lab::punching_as_a();
    assert_eq!(lab.synced(1), []);
    assert_eq!(Lab::on_circuit(false).synced(1), []);
    let unknown = StreamKey { connection: ConnectionId(77), stream: 1 };
    assert_eq!(lab.tell(Input::Synced { stream: unknown, rtt: RTT }), []);
}

#[test]
fn a_reset_a_timeout_and_a_lost_relay_leave_the_window_open() {
    let gone = |lab: &mut Lab| lab.tell(Input::StreamGone { stream: on(1), why: Fault::Reset });
    let late = |lab: &mut Lab| lab.wait(secs(20));
    let lost = |lab: &mut Lab| lab.disconnect(CIRCUIT);
    type What = fn(&mut Lab) -> Vec<Action>;
    let table: [(What, &[Action]); 3] = [(gone, &[]), (late, &[reset(1, Refusal::Late)]), (lost, &[])];
    for (what, expected) in table {
        let mut lab = Lab::awaiting();
        assert_eq!(what(&mut lab), expected);
        assert_eq!(lab.machine.accepts(theirs().ip().unwrap()), Some(listen_first(3)));
        lab.is_over();
        assert_eq!(lab.machine.accepts(theirs().ip().unwrap()), None);
    }
}

#[test]
fn a_remote_that_makes_no_further_try_is_waited_for_as_long_as_the_window_is_open() {
    let mut lab = Lab::punching_as_a();
    assert_eq!(lab.failed(0, DialFault::Refused), []);
    lab.wait(RTT);
    lab.is_at("try 1 failed, waits for the peer to try again");
    assert_eq!(lab.wait(secs(30)), [Action::CloseWindow { peer: peer(THEM) }]);
    lab.failed_for(&Failure::NoFurtherTry);
}

#[test]
fn when_the_others_syn_won_we_wait_too() {
    let mut lab = Lab::punching_as_a();
    assert_eq!(lab.failed(0, DialFault::AddressNotAvailable), []);
    lab.is_at("punches");
    lab.connect(DIRECT, false, true);
    lab.is_at("is direct");
}

#[test]
fn a_dial_that_does_not_end_is_aborted() {
    let mut lab = Lab::punching_as_a();
    assert_eq!(lab.wait(secs(10)), [abort(0)]);
    lab.is_at("waits for the peer to try again");
}

#[test]
fn a_direct_connection_ends_what_is_not_connected() {
    assert_eq!(Lab::awaiting().connect(DIRECT, false, true), [reset(1, Refusal::Over)]);
    assert_eq!(Lab::punching_as_a().connect(DIRECT, false, true), [abort(0)]);
}

#[test]
fn a_direct_connection_that_is_lost_before_it_is_proven_leaves_it_to_the_remote() {
    let mut lab = Lab::punching_as_a();
    lab.dialed(0);
    assert_eq!(lab.disconnect(DIRECT), []);
    lab.is_at("waits for the peer to try again");
    assert_eq!(lab.asked(2)[0], answer(2));
}

#[test]
fn the_third_try_that_fails_ends_the_report() {
    let mut lab = Lab::punching_as_a();
    lab.failed(0, DialFault::Refused);
    for number in 2..4 {
        lab.asked(number);
        lab.synced(number);
        lab.failed(number - 1, DialFault::Refused);
    }
    lab.wait(RTT);
    lab.failed_for(&Failure::NoAnswer);
    assert_eq!(lab.report().tries.len(), 3);
    assert_eq!(lab.asked(4)[0], answer(4), "who goes on trying begins another one");
    assert_eq!(lab.synced(4), [dial(3, listen_first(1))]);
}

#[test]
fn without_an_address_of_ours_the_answer_is_empty_and_we_dial() {
    let mut lab = Lab::on_circuit(false);
    lab.tell(Input::Own(&[]));
    assert_eq!(lab.asked(1)[0], Action::Answer { stream: on(1), addresses: Vec::new() });
    assert_eq!(lab.synced(1).len(), 1);
}

#[test]
fn an_empty_connect_falls_back_to_what_identify_named() {
    let mut lab = Lab::on_circuit(false);
    lab.identify(&[theirs()]);
    lab.tell(Input::Asked { stream: on(1), addresses: &[], skipped: 0 });
    assert_eq!(lab.synced(1), [dial(0, Plan::Initiate)]);
}

#[test]
fn the_application_can_only_dial_as_a() {
    let mut lab = Lab::on_circuit(false);
    lab.identify(&[theirs()]);
    assert_eq!(lab.tell(Input::Punch { peer: peer(THEM) }), [plain(0)]);
    assert_eq!(lab.asked(1)[..2], [abort(0), answer(1)], "the remote's turn comes first");
    assert!(lab.reports().is_empty(), "it is the same attempt");

    let mut lab = Lab::on_circuit(false);
    lab.identify(&[theirs()]);
    lab.tell(Input::Punch { peer: peer(THEM) });
    assert_eq!(lab.wait(secs(10)), [abort(0)]);
    lab.failed_for(&Failure::NoAnswer);
}

#[test]
fn losing_the_relay_while_punching_changes_nothing() {
    let mut lab = Lab::punching_as_a();
    assert_eq!(lab.disconnect(CIRCUIT), []);
    assert_eq!(lab.dialed(0), []);
    lab.is_over();
    lab.upgraded();

    let mut lab = Lab::punching_as_a();
    lab.disconnect(CIRCUIT);
    assert_eq!(lab.failed(0, DialFault::Refused), []);
    lab.wait(RTT);
    lab.failed_for(&Failure::RelayLost);

    let mut between = Lab::punching_as_a();
    between.failed(0, DialFault::Refused);
    between.wait(RTT);
    between.disconnect(CIRCUIT);
    between.failed_for(&Failure::RelayLost);
}
