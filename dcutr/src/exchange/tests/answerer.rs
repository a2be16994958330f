//! A's end: every message in every slot.

use super::*;
use wire::only;

fn answerer() -> Answerer {
    Answerer::new(ms(0), &Config::default())
}

/// One that has heard B's `CONNECT`.
fn asked() -> Answerer {
    let mut answerer = answerer();
    assert!(hear(&mut answerer, ms(10), &framed(&Punch::connect(&[at_port(1)]))).result.is_ok());
    answerer
}

/// One that has answered it, at 20 ms.
fn answered() -> Answerer {
    let mut answerer = asked();
    assert_eq!(answerer.connect(ms(20), &[at_port(2)], &mut BytesMut::new()), Ok(1));
    answerer
}

#[test]
fn the_question_is_told_and_waits_for_us() {
    let mut answerer = answerer();
    let said = hear(&mut answerer, ms(10), &framed(&Punch::connect(&[at_port(1)])));
    let heard = Heard::Connect { addresses: vec![at_port(1)], skipped: 0, dropped: 0, rtt: None };
    assert_eq!((said.result, said.written.is_empty()), (Ok(Some(heard)), true));
    assert_eq!(hear(&mut answerer, ms(11), b"").result, Ok(None));
}

#[test]
fn our_answer_goes_out_once_asked_and_only_once() {
    let mut tx = BytesMut::new();
    assert_eq!(answerer().connect(ms(1), &[], &mut tx), Err(TurnError::NotHeard));
    assert!(tx.is_empty());

    let mut answerer = asked();
    assert_eq!(answerer.connect(ms(20), &[at_port(2), at_port(3)], &mut tx), Ok(2));
    assert_eq!(only(&tx), Punch::connect(&[at_port(2), at_port(3)]));
    assert_eq!(answerer.connect(ms(20), &[], &mut tx), Err(TurnError::Written));

    let mut failed = asked();
    assert!(hear(&mut failed, ms(11), b"x").result.is_err());
    assert_eq!(failed.connect(ms(12), &[], &mut tx), Err(TurnError::Failed));
    assert_eq!(only(&tx), Punch::connect(&[at_port(2), at_port(3)]));
}

#[test]
fn sync_is_told_with_our_round_trip_and_ends_the_exchange() {
    let mut answerer = answered();
    let said = hear(&mut answerer, ms(65), &framed(&Punch::of(Kind::Sync)));
    assert_eq!(said.result, Ok(Some(Heard::Sync { rtt: Duration::from_millis(45) })));
    assert!(said.written.is_empty() && answerer.is_over());
    assert_eq!(answerer.deadline(), Time::NEVER);
    assert_eq!(answerer.connect(ms(70), &[], &mut BytesMut::new()), Err(TurnError::Written));
}

#[test]
fn each_wrong_message_instead_of_the_question_is_a_fault_for_good() {
    refuses(&answerer(), "CONNECT");
}

#[test]
fn each_wrong_message_instead_of_sync_is_a_fault_for_good() {
    refuses(&answered(), "SYNC");
}

#[test]
fn sync_before_our_answer_is_out_of_turn() {
    for bytes in [&framed(&Punch::of(Kind::Sync))[..], &framed(&Punch::of(Kind::Connect)), b"x", &[0]] {
        let mut answerer = asked();
        let said = hear(&mut answerer, ms(11), bytes);
        assert_eq!(said.result, Err(Fault::OutOfTurn { turn: MessageType::Connect }));
        assert_eq!(&said.left[..], bytes);
    }
}

#[test]
fn a_sync_that_came_with_the_question_is_out_of_turn() {
    let mut wire = framed(&Punch::of(Kind::Connect));
    wire.extend_from_slice(&framed(&Punch::of(Kind::Sync)));
    let (mut answerer, mut tx) = (answerer(), BytesMut::new());
    assert!(matches!(answerer.advance(ms(10), &mut wire, &mut tx), Ok(Some(Heard::Connect { .. }))));
    let fault = Fault::OutOfTurn { turn: MessageType::Connect };
    assert_eq!(answerer.advance(ms(10), &mut wire, &mut tx), Err(fault));
}

#[test]
fn whatever_comes_after_sync_is_a_fault() {
    for bytes in [&framed(&Punch::of(Kind::Sync))[..], &framed(&Punch::of(Kind::Connect)), b"x", &[0]] {
        let mut answerer = answered();
        assert!(hear(&mut answerer, ms(65), &framed(&Punch::of(Kind::Sync))).result.is_ok());
        assert_eq!(hear(&mut answerer, ms(66), bytes).result, Err(Fault::Trailing));
    }
}

#[test]
fn the_remote_may_end_its_side_with_sync_and_not_before() {
    let ended = Err(Fault::Ended { expected: MessageType::Sync });
    assert_eq!(hear_last(&mut asked(), ms(11), b"").result, ended);
    assert_eq!(hear_last(&mut answered(), ms(21), b"").result, ended);

    let mut answerer = answered();
    let said = hear_last(&mut answerer, ms(65), &framed(&Punch::of(Kind::Sync)));
    assert!(matches!(said.result, Ok(Some(Heard::Sync { .. }))));
    assert_eq!(hear_last(&mut answerer, ms(65), b"").result, Ok(None));
}

#[test]
fn addresses_in_a_sync_are_not_looked_at() {
    let sync = Punch { addrs: vec![vec![0xff], vec![]], ..Punch::of(Kind::Sync) };
    assert!(matches!(hear(&mut answered(), ms(65), &framed(&sync)).result, Ok(Some(Heard::Sync { .. }))));
}

#[test]
fn empty_lists_are_asked_and_answered() {
    let mut answerer = answerer();
    let said = hear(&mut answerer, ms(10), &framed(&Punch::of(Kind::Connect)));
    assert!(matches!(said.result, Ok(Some(Heard::Connect { addresses, .. })) if addresses.is_empty()));
    let mut tx = BytesMut::new();
    assert_eq!(answerer.connect(ms(20), &[], &mut tx), Ok(0));
    assert_eq!(only(&tx), Punch::of(Kind::Connect));
}

#[test]
fn each_message_has_its_time_and_the_whole_has_one() {
    let timeout = |expected, secs| Err(Fault::Timeout { expected, after: Duration::from_secs(secs) });
    let mut silent = answerer();
    assert_eq!(silent.deadline(), ms(20_000));
    assert_eq!(hear(&mut silent, ms(19_999), b"").result, Ok(None));
    assert_eq!(hear(&mut silent, ms(20_000), b"").result, timeout(MessageType::Connect, 20));

    let mut half = answered();
    assert_eq!(half.deadline(), ms(20_020));
    assert_eq!(hear(&mut half, ms(20_020), b"").result, timeout(MessageType::Sync, 20));

    let mut undecided = asked();
    assert_eq!(undecided.deadline(), ms(60_000));
    let fault = Fault::Undecided { turn: MessageType::Connect, after: Duration::from_secs(60) };
    assert_eq!(hear(&mut undecided.clone(), ms(60_000), b"").result, Err(fault));
    undecided.connect(ms(55_000), &[], &mut BytesMut::new()).unwrap();
    assert_eq!(undecided.deadline(), ms(60_000), "the whole is over before the message");
    assert_eq!(hear(&mut undecided, ms(60_000), b"").result, timeout(MessageType::Sync, 60));
}
