//! The table of side B.

use super::super::Refusal;
use super::*;
use crate::exchange::Fault;
use crate::report::{How, Outcome, Side};

#[test]
fn a_series_begins_when_a_circuit_came_to_us_and_its_peer_told_who_it_is() {
    let mut lab = Lab::on_circuit(true);
    lab.is_at("waits until the peer identifies itself");
    assert_eq!(lab.identify(&[]), [open(0)]);
    lab.is_at("try 1: sent CONNECT");
    assert_eq!(lab.events[0], Event::Started { peer: peer(THEM), side: Side::B });
}

#[test]
fn no_series_begins_without_its_reasons() {
    let mut outbound = Lab::on_circuit(false);
    assert_eq!(outbound.identify(&[]), []);
    outbound.is_at("waits for the peer, which opens the stream");

    let mut direct = Lab::on_circuit(true);
    assert_eq!(direct.connect(DIRECT, false, true), []);
    assert_eq!(direct.identify(&[]), []);
    direct.is_at("there is a direct connection");

    let mut silent = Lab::on_circuit(true);
    assert_eq!(silent.tell(Input::Identified { peer: peer(THEM), speaks_dcutr: false, listens: &[] }), []);
    assert!(silent.events.is_empty());

    let mut was_a = Lab::awaiting();
    let remote = &circuit(THEM);
    let connection = ConnectionId(2);
    assert_eq!(was_a.identify(&[]), []);
    let inbound = Input::Connected { connection, peer: peer(THEM), relayed: true, inbound: true, remote };
    assert_eq!(was_a.tell(inbound), [], "who answered as A is B no more");
}

#[test]
fn the_direct_dial_comes_first_from_a_port_of_its_own() {
    let mut lab = Lab::on_circuit(true);
    assert_eq!(lab.identify(&[theirs()]), [plain(0)]);
    lab.is_at("dials 1 of its addresses directly");
    assert_eq!(lab.failed(0, DialFault::Refused), [open(0)]);
}

#[test]
fn the_direct_dial_is_given_up_in_time() {
    let mut lab = Lab::on_circuit(true);
    assert_eq!(lab.identify(&[theirs()]), [plain(0)]);
    assert_eq!(lab.wait(millis(9_999)), []);
    assert_eq!(lab.wait(millis(1)), [abort(0), open(0)]);
    assert_eq!(lab.failed_dial(0), Outcome::Failed(DialFault::TimedOut));
}

#[test]
fn a_direct_dial_to_a_peer_that_does_not_speak_the_protocol_is_all_there_is() {
    let mut lab = Lab::on_circuit(true);
    let told = lab.tell(Input::Identified { peer: peer(THEM), speaks_dcutr: false, listens: &[theirs()] });
    assert_eq!(told, [plain(0)]);
    assert_eq!(lab.failed(0, DialFault::Unreachable), []);
    lab.failed_for(&Failure::NotSpoken);
}

#[test]
fn direct_fails_with_the_relay() {
    let mut lab = Lab::on_circuit(true);
    lab.identify(&[theirs()]);
    assert_eq!(lab.disconnect(CIRCUIT), []);
    assert_eq!(lab.failed(0, DialFault::Refused), []);
    lab.failed_for(&Failure::RelayLost);
    lab.is_over();
}

#[test]
fn a_connect_during_the_direct_dial_makes_us_a() {
    let mut lab = Lab::on_circuit(true);
    // A second circuit, which we made.
    let (relayed, inbound) = (true, false);
    let connection = ConnectionId(2);
    let remote = &circuit(THEM);
    lab.tell(Input::Connected { connection, peer: peer(THEM), relayed, inbound, remote });
    assert_eq!(lab.identify(&[theirs()]), [plain(0)]);
    let stream = StreamKey { connection, stream: 1 };
    let actions = lab.tell(Input::Asked { stream, addresses: &[theirs()], skipped: 0 });
    assert_eq!(actions[..2], [abort(0), Action::Answer { stream, addresses: Vec::from([ours()]) }]);
    lab.is_at("answered CONNECT");
    lab.failed_for(&Failure::TheirTurn);
}

#[test]
fn connect_is_followed_by_sync_and_half_a_round_trip_later_by_the_dial() {
    let mut lab = Lab::waiting();
    let actions = lab.connects(0);
    assert_eq!(actions[0], Action::Sync { ask: AskId(0) });
    assert!(matches!(&actions[1], Action::Window { plan, .. } if *plan == listen_first(3)));
    lab.is_at("sent SYNC, dials in 40ms");
    assert_eq!(lab.wait(millis(39)), []);
    assert_eq!(lab.wait(millis(1)), [dial(0, listen_first(6))]);
}

#[test]
fn the_timer_has_a_cap() {
    let mut lab = Lab::waiting();
    lab.tell(Input::Connects { ask: AskId(0), addresses: &[theirs()], skipped: 0, rtt: secs(19) });
    assert_eq!(lab.wait(millis(4_999)), []);
    assert_eq!(lab.wait(millis(1)).len(), 1);
}

#[test]
fn a_reset_and_a_timeout_lead_to_the_next_try_and_the_third_is_the_last() {
    let mut lab = Lab::waiting();
    assert_eq!(lab.ask_failed(0), [open(1)]);
    lab.is_at("try 2");
    assert_eq!(lab.wait(secs(20)), [Action::ResetAsk { ask: AskId(1) }, open(2)]);
    assert_eq!(lab.ask_failed(2), []);
    lab.failed_for(&Failure::Exchange(Fault::Reset));
    let tries: Vec<_> = lab.report().tries.iter().map(|one| (one.number, one.fault.is_some())).collect();
    assert_eq!(tries, [(1, true), (2, true), (3, true)]);
    lab.is_over();
}

#[test]
fn who_does_not_speak_it_after_all_is_not_asked_again() {
    let mut lab = Lab::waiting();
    assert_eq!(lab.tell(Input::AskFailed { ask: AskId(0), why: Fault::NotSpoken }), []);
    lab.failed_for(&Failure::NotSpoken);
}

#[test]
fn losing_the_relay_while_connect_is_awaited_is_the_end() {
    let mut lab = Lab::waiting();
    assert_eq!(lab.disconnect(CIRCUIT), []);
    lab.failed_for(&Failure::RelayLost);
    assert_eq!(lab.try_tell(Input::AskFailed { ask: AskId(0), why: Fault::Reset }), Err(Misuse::UnknownAsk(AskId(0))));
    lab.is_over();
}

#[test]
fn a_second_circuit_carries_the_next_try() {
    let mut lab = Lab::waiting();
    let connection = ConnectionId(2);
    lab.connect(connection, true, true);
    let addresses = Vec::from([ours()]);
    assert_eq!(lab.disconnect(CIRCUIT), [Action::Open { ask: AskId(1), connection, addresses }]);
}

#[test]
fn of_two_that_are_both_b_the_smaller_id_goes_on() {
    let second = |lab: &mut Lab| {
        let (connection, remote) = (ConnectionId(2), &circuit(lab.with));
        lab.tell(Input::Connected { connection, peer: peer(lab.with), relayed: true, inbound: false, remote });
        lab.tell(Input::Asked { stream: StreamKey { connection, stream: 1 }, addresses: &[theirs()], skipped: 0 })
    };
    let stream = StreamKey { connection: ConnectionId(2), stream: 1 };
    let mut smaller = Lab::waiting();
    assert_eq!(second(&mut smaller), [Action::ResetStream { stream, why: Refusal::Ours }]);
    smaller.is_at("sent CONNECT");

    let mut larger = Lab::new(|_| ());
    larger.with = US - 1;
    larger.connect(CIRCUIT, true, true);
    assert_eq!(larger.identify(&[]), [open(0)]);
    let actions = second(&mut larger);
    let answer = Action::Answer { stream, addresses: Vec::from([ours()]) };
    assert_eq!(actions[..2], [Action::ResetAsk { ask: AskId(0) }, answer]);
    larger.failed_for(&Failure::TheirTurn);
    larger.is_at("answered CONNECT");
}

#[test]
fn when_the_circuit_of_an_exchange_goes_the_other_one_of_the_two_is_used() {
    // Both have dialed a circuit; on ours the other one is B, and the rule of duplicates closes it.
    let mut lab = Lab::awaiting();
    let connection = ConnectionId(2);
    lab.connect(connection, true, true);
    lab.identify(&[]);
    let actions = lab.disconnect(CIRCUIT);
    assert_eq!(actions, [Action::Open { ask: AskId(0), connection, addresses: Vec::from([ours()]) }]);
    lab.failed_for(&Failure::RelayLost);
}

#[test]
fn armed_and_punching_carry_on_without_the_relay_but_not_for_long() {
    let mut lab = Lab::armed();
    assert_eq!(lab.disconnect(CIRCUIT), []);
    assert_eq!(lab.wait(RTT / 2), [dial(0, listen_first(6))]);
    assert_eq!(lab.failed(0, DialFault::TimedOut), []);
    lab.wait(RTT);
    lab.failed_for(&Failure::RelayLost);

    let mut lab = Lab::punching();
    assert_eq!(lab.disconnect(CIRCUIT), []);
    assert_eq!(lab.dialed(0), []);
    lab.is_at("is direct");
    lab.is_over();
    lab.upgraded();
}

#[test]
fn while_our_own_sync_is_out_a_connect_is_reset() {
    for mut lab in [Lab::armed(), Lab::punching()] {
        let (connection, remote) = (ConnectionId(2), &circuit(THEM));
        lab.tell(Input::Connected { connection, peer: peer(THEM), relayed: true, inbound: false, remote });
        let stream = StreamKey { connection, stream: 1 };
        let actions = lab.tell(Input::Asked { stream, addresses: &[theirs()], skipped: 0 });
        assert_eq!(actions, [Action::ResetStream { stream, why: Refusal::Ours }]);
        assert!(lab.reports().is_empty());
    }
}

#[test]
fn when_the_others_syn_won_we_wait_for_its_connection() {
    let mut lab = Lab::punching();
    assert_eq!(lab.failed(0, DialFault::AddressNotAvailable), []);
    lab.is_at("punches");
    assert_eq!(lab.connect(DIRECT, false, true), []);
    lab.is_at("is direct");
    assert_eq!(lab.tell(Input::Proven { connection: DIRECT }), []);
    let End::Upgraded { how, .. } = &lab.report().end else { panic!() };
    assert_eq!(*how, How::Accepted { number: 1 });
}

#[test]
fn when_that_does_not_come_the_next_try_does() {
    let mut lab = Lab::punching();
    assert_eq!(lab.failed(0, DialFault::AddressNotAvailable), []);
    assert_eq!(lab.wait(secs(10)), [open(1)]);
}

#[test]
fn a_failure_while_an_accepted_socket_is_upgraded_waits_for_it() {
    let ip = theirs().ip().unwrap();
    let mut lab = Lab::punching();
    assert_eq!(lab.tell(Input::Arriving { ip }), []);
    assert_eq!(lab.failed(0, DialFault::Refused), []);
    assert_eq!(lab.tell(Input::ArrivalFailed { ip }), []);
    assert_eq!(lab.wait(secs(10)), [open(1)]);

    let mut lab = Lab::punching();
    lab.tell(Input::Arriving { ip });
    lab.tell(Input::ArrivalFailed { ip });
    assert_eq!(lab.failed(0, DialFault::Refused), []);
    assert_eq!(lab.wait(RTT), [open(1)], "it was over before");
}

/// A NAT that answers at once refuses our SYN while theirs comes in: their handshake ends half a round trip of the path after the
/// refusal.
#[test]
fn a_dial_that_is_refused_leaves_time_for_theirs_to_arrive() {
    let (ip, took) = (theirs().ip().unwrap(), millis(300));
    let mut lab = Lab::punching();
    lab.wait(took);
    assert_eq!(lab.failed(0, DialFault::Refused), []);
    assert_eq!(lab.wait(took + RTT - millis(1)), []);
    assert_eq!(lab.tell(Input::Arriving { ip }), []);
    assert_eq!(lab.wait(secs(9)), [], "it is upgraded");

    let mut lab = Lab::punching();
    lab.wait(took);
    lab.failed(0, DialFault::Unreachable);
    assert_eq!(lab.wait(took + RTT - millis(1)), []);
    assert_eq!(lab.wait(millis(1)), [open(1)]);
}

#[test]
fn another_failure_leads_to_the_next_try_and_the_third_is_the_last() {
    let mut lab = Lab::punching();
    for number in 1..3 {
        assert_eq!(lab.failed(number - 1, DialFault::Refused), []);
        assert_eq!(lab.wait(RTT), [open(number)]);
        lab.connects(number);
        lab.wait(RTT / 2);
    }
    assert_eq!(lab.failed(2, DialFault::Refused), []);
    lab.wait(RTT);
    lab.failed_for(&Failure::NoAnswer);
    lab.is_at("1 series failed in a row");
    lab.is_over();
}

#[test]
fn a_dial_that_does_not_end_is_aborted_before_the_next_try() {
    let mut lab = Lab::punching();
    assert_eq!(lab.wait(secs(10)), [abort(0), open(1)]);
}

#[test]
fn a_direct_connection_ends_what_is_not_connected_in_every_state() {
    let mut direct = Lab::on_circuit(true);
    direct.identify(&[theirs()]);
    assert_eq!(direct.connect(DIRECT, false, true), [abort(0)]);
    assert_eq!(Lab::waiting().connect(DIRECT, false, true), [Action::ResetAsk { ask: AskId(0) }]);
    assert_eq!(Lab::armed().connect(DIRECT, false, true), []);
    assert_eq!(Lab::punching().connect(DIRECT, false, true), [abort(0)]);
    for mut lab in [direct, Lab::waiting(), Lab::armed(), Lab::punching()] {
        lab.machine
            .handle(
                lab.now,
                Input::Connected {
                    connection: ConnectionId(10),
                    peer: peer(THEM),
                    relayed: false,
                    inbound: true,
                    remote: &theirs(),
                },
            )
            .unwrap();
        lab.poll();
        lab.is_at("is direct");
        lab.is_over();
        lab.upgraded();
    }
}

#[test]
fn an_upgrade_is_not_cancelled_because_another_one_was_faster() {
    let mut lab = Lab::punching();
    assert_eq!(lab.tell(Input::Upgrading { dial: DialId(0) }), []);
    assert_eq!(lab.connect(ConnectionId(8), false, true), []);
    assert_eq!(lab.tell(Input::Proven { connection: ConnectionId(8) }), []);
    assert_eq!(lab.dialed(0), [], "it still counts when it comes");
    lab.is_over();
}

#[test]
fn an_upgrade_that_hangs_is_aborted_though_its_attempt_is_over() {
    let mut lab = Lab::punching();
    lab.tell(Input::Upgrading { dial: DialId(0) });
    lab.connect(ConnectionId(8), false, true);
    lab.tell(Input::Proven { connection: ConnectionId(8) });
    lab.upgraded();
    assert_eq!(lab.wait(secs(10)), [abort(0)]);
    assert_eq!(lab.try_dialed(0), Err(Misuse::UnknownDial(DialId(0))));
}

#[test]
fn a_proof_ends_it_well() {
    let mut lab = Lab::settling();
    lab.is_at("is direct, and has to be proven");
    assert_eq!(lab.tell(Input::Proven { connection: DIRECT }), []);
    let report = lab.report();
    let End::Upgraded { connection, address, how, after } = &report.end else { panic!() };
    assert_eq!((*connection, address, *how), (DIRECT, &theirs(), How::Dialed { number: 1 }));
    assert_eq!(*after, RTT / 2);
    assert_eq!(report.relay, Some(peer(99)));
    let one = &report.tries[0];
    assert_eq!((one.rtt, one.synced, one.dialed), (Some(RTT), Some(Time::ZERO), Some(Time::ZERO + RTT / 2)));
    assert_eq!(one.dialed_by_them, one.dialed, "A dials when SYNC is there");
    assert_eq!((&one.ours[0].address, &one.theirs[0].address), (&ours(), &theirs()));
    assert_eq!(one.dials[0].outcome, Outcome::Connected(DIRECT));
    assert_eq!(one.dials[0].bound, Some(inside()));
}

#[test]
fn when_the_other_end_closes_the_circuit_first_it_is_proven_too() {
    let mut lab = Lab::settling();
    assert_eq!(lab.disconnect(CIRCUIT), []);
    lab.upgraded();
}

#[test]
fn a_direct_connection_that_is_lost_before_it_is_proven_leads_to_the_next_try() {
    let mut lab = Lab::settling();
    assert_eq!(lab.disconnect(DIRECT), [open(1)]);
    lab.is_at("try 2");

    let mut last = Lab::settling();
    last.disconnect(DIRECT);
    last.ask_failed(1);
    last.connects(2);
    assert_eq!(last.wait(RTT / 2), [dial(1, listen_first(6))]);
    last.dialed(1);
    assert_eq!(last.disconnect(DIRECT), []);
    last.failed_for(&Failure::Lost);
}

#[test]
fn when_nobody_proves_it_is_done_for_now_and_a_loss_begins_a_new_series() {
    let mut lab = Lab::settling();
    assert_eq!(lab.wait(secs(30)), [Action::CloseWindow { peer: peer(THEM) }]);
    lab.upgraded();
    assert_eq!(lab.disconnect(DIRECT), []);
    assert_eq!(lab.wait(secs(60)), [open(1)]);
}

#[test]
fn without_an_address_of_ours_there_is_no_try_until_there_is_one() {
    let mut lab = Lab::on_circuit(true);
    lab.tell(Input::Own(&[]));
    assert_eq!(lab.identify(&[]), []);
    lab.failed_for(&Failure::NothingOfOurs);
    let own = [Candidate::new(ours(), Source::Observed)];
    assert_eq!(lab.tell(Input::Own(&own)), [open(0)]);
}

#[test]
fn each_try_tells_what_is_known_then() {
    let mut lab = Lab::waiting();
    let (other, connection) = (at("/ip4/11.0.0.7/tcp/7"), CIRCUIT);
    lab.tell(Input::Own(&[Candidate::new(other.clone(), Source::Mapped)]));
    assert_eq!(lab.ask_failed(0), [Action::Open { ask: AskId(1), connection, addresses: Vec::from([other]) }]);
}

#[test]
fn an_empty_connect_falls_back_to_what_identify_named() {
    let mut lab = Lab::on_circuit(true);
    lab.identify(&[theirs()]);
    lab.failed(0, DialFault::Refused);
    let actions = lab.tell(Input::Connects { ask: AskId(0), addresses: &[], skipped: 0, rtt: RTT });
    assert!(matches!(actions[1], Action::Window { .. }));
    assert_eq!(lab.wait(RTT / 2), [dial(1, listen_first(6))]);
}

#[test]
fn with_nothing_to_dial_the_others_dial_is_waited_for() {
    let mut lab = Lab::waiting();
    let told = [at("/ip4/192.168.1.1/tcp/1"), circuit(THEM)];
    let actions = lab.tell(Input::Connects { ask: AskId(0), addresses: &told, skipped: 2, rtt: RTT });
    assert_eq!(actions, [Action::Sync { ask: AskId(0) }]);
    assert_eq!(lab.wait(RTT / 2), []);
    lab.is_at("0 dials under way");
    assert_eq!(lab.wait(secs(10)), [open(1)]);
}

#[test]
fn what_is_not_worth_a_dial_is_in_the_report() {
    let mut lab = Lab::waiting();
    let told = [at("/ip4/192.168.1.1/tcp/1"), theirs(), ours()];
    lab.tell(Input::Connects { ask: AskId(0), addresses: &told, skipped: 2, rtt: RTT });
    lab.tell(Input::Cancel { peer: peer(THEM) });
    let one = &lab.report().tries[0];
    assert_eq!((one.theirs.len(), one.theirs_dropped.len(), one.further), (1, 2, 2));
}

#[test]
fn a_new_circuit_after_a_failed_series_waits_for_the_pause() {
    let mut lab = Lab::waiting();
    (0..3).for_each(|ask| drop(lab.ask_failed(ask)));
    assert_eq!(lab.reports().len(), 1);
    lab.disconnect(CIRCUIT);
    assert_eq!(lab.connect(CIRCUIT, true, true), []);
    lab.is_at("pauses for 60 s");
    assert_eq!(lab.wait(millis(59_999)), []);
    assert_eq!(lab.wait(millis(1)), [open(3)]);
    (3..6).for_each(|ask| drop(lab.ask_failed(ask)));
    lab.disconnect(CIRCUIT);
    lab.connect(CIRCUIT, true, true);
    lab.is_at("pauses for 120 s");
}

#[test]
fn another_network_ends_the_pause_and_begins_anew_what_runs() {
    let mut lab = Lab::waiting();
    (0..3).for_each(|ask| drop(lab.ask_failed(ask)));
    assert_eq!(lab.tell(Input::NetworkChanged), [open(3)]);
    assert_eq!(lab.tell(Input::NetworkChanged), [Action::ResetAsk { ask: AskId(3) }, open(4)]);
}

#[test]
fn the_application_asks_and_cancels() {
    let mut lab = Lab::waiting();
    (0..3).for_each(|ask| drop(lab.ask_failed(ask)));
    assert_eq!(lab.tell(Input::Punch { peer: peer(THEM) }), [open(3)]);
    assert_eq!(lab.tell(Input::Punch { peer: peer(THEM) }), [], "it runs already");
    assert_eq!(lab.tell(Input::Cancel { peer: peer(THEM) }), [Action::ResetAsk { ask: AskId(3) }]);
    assert_eq!(lab.reports()[1].end, End::Failed(Failure::Cancelled));
    assert_eq!(lab.try_tell(Input::Punch { peer: peer(77) }), Err(Misuse::NotRelayed));
}

#[test]
fn after_a_shutdown_nothing_is_begun() {
    let mut lab = Lab::punching();
    let gone = lab.tell(Input::Shutdown);
    assert_eq!(gone, [abort(0), Action::CloseWindow { peer: peer(THEM) }]);
    lab.failed_for(&Failure::Shutdown);
    lab.disconnect(CIRCUIT);
    lab.connect(CIRCUIT, true, true);
    assert_eq!(lab.identify(&[]), []);
    assert_eq!(lab.tell(Input::Punch { peer: peer(THEM) }), []);
    lab.is_over();
}

impl Lab {
    /// What became of a dial, as it was told.
    fn failed_dial(&self, dial: u64) -> Outcome {
        let told = self.events.iter().find_map(|event| match event {
            Event::Outcome { dial: this, outcome, .. } if *this == DialId(dial) => Some(outcome.clone()),
            _ => None,
        });
        told.unwrap()
    }
}
