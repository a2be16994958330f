//! Caps, and what an adversary can have of us.

use super::super::Refusal;
use super::*;
use crate::exchange::Fault;
use alloc::format;

#[test]
fn a_peer_that_asks_all_the_time_is_answered_now_and_then() {
    let mut lab = Lab::on_circuit(false);
    let mut answered = 0;
    for stream in 0..1000 {
        let actions = lab.asked(stream);
        if actions.iter().any(|action| *action == answer(stream)) {
            answered += 1;
            lab.synced(stream);
        } else {
            assert_eq!(actions, [reset(stream, Refusal::TooOften)]);
        }
        lab.wait(millis(100));
    }
    // Six at once, then one each ten seconds of a hundred.
    assert!((15..=17).contains(&answered), "{answered}");
}

#[test]
fn asking_costs_no_memory() {
    let mut lab = Lab::on_circuit(false);
    let mut most = 0;
    let told: Vec<Multiaddr> = (1..200).map(|port| at(&format!("/ip4/11.0.{}.3/tcp/{port}", port % 50))).collect();
    for stream in 0..2000 {
        lab.tell(Input::Asked { stream: on(stream), addresses: &told, skipped: 9 });
        lab.synced(stream);
        lab.wait(secs(1));
        lab.events.clear();
        most = most.max(lab.machine.memory_used());
    }
    assert!(most < 32 * 1024, "{most} bytes");
    let dials = lab.machine.counts().dials;
    assert!(dials <= 8, "{dials}");
}

#[test]
fn attempts_have_a_cap_and_ours_wait_for_room() {
    let mut lab = Lab::new(|config| config.max_attempts = 2);
    let connection = |n: u8| ConnectionId(u64::from(n));
    for n in 10..15 {
        lab.with = n;
        lab.connect(connection(n), true, true);
        lab.identify(&[]);
    }
    let counts = lab.machine.counts();
    assert_eq!((counts.attempts, counts.queued, counts.asks), (2, 3, 2));
    lab.is_at("waits until fewer attempts are under way");

    // What others want is refused meanwhile.
    lab.with = 20;
    lab.connect(connection(20), true, false);
    let stream = StreamKey { connection: connection(20), stream: 1 };
    let actions = lab.tell(Input::Asked { stream, addresses: &[theirs()], skipped: 0 });
    assert_eq!(actions, [Action::ResetStream { stream, why: Refusal::TooMany }]);

    // The first one ends, the third begins.
    let actions = lab.tell(Input::Cancel { peer: peer(10) });
    let [Action::ResetAsk { .. }, Action::Open { connection: on, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(*on, connection(12));
    // Who went while it waited is passed over.
    lab.disconnect(connection(13));
    let actions = lab.tell(Input::Cancel { peer: peer(11) });
    let [Action::ResetAsk { .. }, Action::Open { connection: on, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(*on, connection(14));
    assert_eq!(lab.machine.counts().queued, 0);
}

#[test]
fn peers_and_connections_have_caps() {
    let mut lab = Lab::new(|config| (config.max_peers, config.max_connections) = (1, 2));
    lab.connect(CIRCUIT, true, true);
    lab.with = 7;
    lab.connect(ConnectionId(2), true, true);
    assert_eq!(lab.identify(&[]), [], "there is no room for this one");
    let remote = &circuit(8);
    let input = Input::Connected { connection: ConnectionId(3), peer: peer(8), relayed: true, inbound: true, remote };
    assert_eq!(lab.try_tell(input), Err(Misuse::TooManyConnections(2)));
    lab.disconnect(CIRCUIT);
    lab.disconnect(ConnectionId(2));
    lab.connect(ConnectionId(2), true, true);
    assert_eq!(lab.identify(&[]).len(), 1);
}

#[test]
fn with_too_many_actions_unpolled_nothing_more_is_taken() {
    let mut lab = Lab::new(|config| config.max_unpolled = 3);
    lab.connect(CIRCUIT, true, true);
    let identified = Input::Identified { peer: peer(THEM), speaks_dcutr: true, listens: &[] };
    lab.machine.handle(lab.now, identified.clone()).unwrap();
    let now = lab.now + secs(60);
    assert_eq!(lab.machine.handle(now, identified), Err(Misuse::Unpolled(3)));
    lab.machine.on_timeout(now);
    assert_eq!(lab.machine.counts().asks, 1, "time stands still");
    lab.poll();
    lab.machine.on_timeout(now);
    assert_eq!(lab.poll().len(), 2);
}

#[test]
fn misuse_changes_nothing() {
    let mut lab = Lab::punching();
    let before = lab.stage();
    let remote = &theirs();
    let c = ConnectionId;
    let twice = Input::Connected { connection: CIRCUIT, peer: peer(9), relayed: false, inbound: true, remote };
    let dial = DialId(77);
    let dialed = Input::Dialed { dial: DialId(0), connection: CIRCUIT, local: remote, remote, role: Role::Initiator };
    let table = [
        (twice, Misuse::ConnectionExists(CIRCUIT)),
        (Input::Disconnected { connection: c(77) }, Misuse::UnknownConnection(c(77))),
        (Input::Rtt { connection: c(77), rtt: RTT }, Misuse::UnknownConnection(c(77))),
        (Input::Proven { connection: c(77) }, Misuse::UnknownConnection(c(77))),
        (Input::Connects { ask: AskId(77), addresses: &[], skipped: 0, rtt: RTT }, Misuse::UnknownAsk(AskId(77))),
        (Input::AskFailed { ask: AskId(0), why: Fault::Reset }, Misuse::UnknownAsk(AskId(0))),
        (Input::Upgrading { dial }, Misuse::UnknownDial(dial)),
        (Input::DialFailed { dial, why: DialFault::Refused }, Misuse::UnknownDial(dial)),
        (dialed, Misuse::ConnectionExists(CIRCUIT)),
    ];
    for (input, misuse) in table {
        assert_eq!(lab.machine.handle(lab.now + secs(60), input), Err(misuse));
        assert_eq!(lab.stage(), before);
    }
    assert_eq!(lab.poll(), []);
}

#[test]
fn twenty_thousand_attempts_leave_nothing_behind() {
    let mut lab = Lab::new(|_| ());
    let mut after = Vec::new();
    for n in 0..20_000_u64 {
        let (connection, direct) = (ConnectionId(2 * n), ConnectionId(2 * n + 1));
        lab.with = u8::try_from(n % 50 + 10).unwrap();
        let inbound = n.is_multiple_of(2);
        lab.connect(connection, true, inbound);
        let ends =
            if inbound { series_as_b(&mut lab, direct, n) } else { series_as_a(&mut lab, connection, direct, n) };
        assert!(ends, "attempt {n}: {}", lab.stage());
        lab.disconnect(connection);
        if lab.machine.counts().connections > 0 {
            lab.disconnect(direct);
        }
        lab.events.clear();
        // So long that the pauses of those that failed are over.
        if n % 50 == 49 {
            lab.wait(secs(4000));
        }
        if n % 5_000 == 4_999 {
            after.push(lab.machine.memory_used());
        }
    }
    assert!(after.iter().all(|bytes| *bytes == after[0]), "{after:?}");
    assert!(after[0] < 16 * 1024, "{after:?}");
    let counts = lab.machine.counts();
    assert_eq!((counts.peers, counts.attempts, counts.dials, counts.asks, counts.windows), (0, 0, 0, 0, 0));
}

/// One that succeeds, or fails in one of several ways.
fn series_as_b(lab: &mut Lab, direct: ConnectionId, n: u64) -> bool {
    let actions = lab.identify(&[]);
    let Some(Action::Open { ask, .. }) = actions.first() else { return false };
    if n.is_multiple_of(6) {
        let fail = Input::AskFailed { ask: *ask, why: Fault::NotSpoken };
        return lab.tell(fail).is_empty() && lab.events.iter().any(|event| into_report(event.clone()).is_some());
    }
    lab.tell(Input::Connects { ask: *ask, addresses: &[theirs()], skipped: 0, rtt: RTT });
    let actions = lab.wait(RTT / 2);
    let Some(Action::Dial { dial, .. }) = actions.last() else { return false };
    if n % 6 == 2 {
        lab.tell(Input::Cancel { peer: peer(lab.with) });
    } else {
        let (local, remote, role) = (&inside(), &theirs(), Role::Responder);
        lab.tell(Input::Dialed { dial: *dial, connection: direct, local, remote, role });
        lab.tell(Input::Proven { connection: direct });
    }
    lab.events.iter().any(|event| into_report(event.clone()).is_some())
}

fn series_as_a(lab: &mut Lab, connection: ConnectionId, direct: ConnectionId, n: u64) -> bool {
    let stream = StreamKey { connection, stream: n };
    lab.tell(Input::Asked { stream, addresses: &[theirs()], skipped: 0 });
    let actions = lab.tell(Input::Synced { stream, rtt: RTT });
    let Some(Action::Dial { dial, .. }) = actions.last() else { return false };
    if n % 6 == 1 {
        lab.tell(Input::DialFailed { dial: *dial, why: DialFault::Refused });
        lab.tell(Input::Cancel { peer: peer(lab.with) });
    } else {
        let (local, remote, role) = (&inside(), &theirs(), Role::Initiator);
        lab.tell(Input::Dialed { dial: *dial, connection: direct, local, remote, role });
        lab.tell(Input::Proven { connection: direct });
    }
    lab.events.iter().any(|event| into_report(event.clone()).is_some())
}
