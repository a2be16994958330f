//! B's end: every message in every slot.

use super::*;
use prost::Message;
use wire::only;

fn opener() -> Opener {
    Opener::new(ms(0), &[at_port(1)], &Config::default(), &mut BytesMut::new())
}

/// One that has heard A's `CONNECT`, 40 ms after its own.
fn asked() -> Opener {
    let mut opener = opener();
    assert!(hear(&mut opener, ms(40), &framed(&Punch::connect(&[at_port(2)]))).result.is_ok());
    opener
}

#[test]
fn connect_goes_out_at_once_with_our_addresses() {
    let mut tx = BytesMut::new();
    let opener = Opener::new(ms(0), &[at_port(1), at_port(2)], &Config::default(), &mut tx);
    assert_eq!(only(&tx), Punch::connect(&[at_port(1), at_port(2)]));
    assert_eq!(opener.told(), 2);
    assert!(tx.len() < 128 && tx[1..3] == [0x08, 100], "the type comes first: {tx:02x?}");
}

#[test]
fn the_answer_is_told_with_the_round_trip() {
    let said = hear(&mut opener(), ms(40), &framed(&Punch::connect(&[at_port(2), at_port(3)])));
    let rtt = Some(Duration::from_millis(40));
    let heard = Heard::Connect { addresses: vec![at_port(2), at_port(3)], skipped: 0, dropped: 0, rtt };
    assert_eq!((said.result, said.written.is_empty()), (Ok(Some(heard)), true));
}

#[test]
fn the_round_trip_is_counted_from_when_we_wrote() {
    let mut opener = Opener::new(ms(500), &[], &Config::default(), &mut BytesMut::new());
    let said = hear(&mut opener, ms(530), &framed(&Punch::of(Kind::Connect)));
    assert!(matches!(said.result, Ok(Some(Heard::Connect { rtt: Some(rtt), .. })) if rtt == Duration::from_millis(30)));
}

#[test]
fn sync_goes_out_once_the_answer_is_there_and_only_once() {
    let mut tx = BytesMut::new();
    let mut early = opener();
    assert_eq!(early.sync(ms(1), &mut tx), Err(TurnError::NotHeard));
    assert!(tx.is_empty());

    let mut opener = asked();
    assert_eq!(opener.sync(ms(40), &mut tx), Ok(()));
    assert_eq!((only(&tx), opener.is_over()), (Punch::of(Kind::Sync), true));
    assert_eq!(opener.sync(ms(40), &mut tx), Err(TurnError::Written));
    assert_eq!(only(&tx), Punch::of(Kind::Sync));

    let mut failed = asked();
    assert!(hear(&mut failed, ms(41), b"x").result.is_err());
    assert_eq!(failed.sync(ms(42), &mut tx), Err(TurnError::Failed));
}

#[test]
fn each_wrong_message_instead_of_the_answer_is_a_fault_for_good() {
    refuses(&opener(), "CONNECT");
}

#[test]
fn whatever_comes_before_our_sync_is_out_of_turn() {
    for bytes in [&framed(&Punch::of(Kind::Connect))[..], &framed(&Punch::of(Kind::Sync)), b"x", &[0]] {
        let mut opener = asked();
        let said = hear(&mut opener, ms(50), bytes);
        assert_eq!(said.result, Err(Fault::OutOfTurn { turn: MessageType::Sync }));
        assert_eq!(&said.left[..], bytes);
    }
}

#[test]
fn whatever_comes_after_our_sync_is_a_fault() {
    for bytes in [&framed(&Punch::of(Kind::Connect))[..], &framed(&Punch::of(Kind::Sync)), b"x", &[0]] {
        let mut opener = asked();
        opener.sync(ms(40), &mut BytesMut::new()).unwrap();
        assert_eq!(hear(&mut opener, ms(50), bytes).result, Err(Fault::Trailing));
        assert_eq!(hear(&mut opener, ms(60), b"").result, Err(Fault::Trailing));
    }
}

#[test]
fn the_remote_may_end_its_side_once_it_has_answered() {
    let mut opener = asked();
    assert_eq!(hear_last(&mut opener, ms(41), b"").result, Ok(None));
    opener.sync(ms(42), &mut BytesMut::new()).unwrap();
    assert_eq!(hear_last(&mut opener, ms(43), b"").result, Ok(None));
    // The answer and the end in one go.
    let mut opener = Opener::new(ms(0), &[], &Config::default(), &mut BytesMut::new());
    let said = hear_last(&mut opener, ms(40), &framed(&Punch::of(Kind::Connect)));
    assert!(matches!(said.result, Ok(Some(Heard::Connect { .. }))));
}

#[test]
fn an_answer_without_addresses_is_an_answer() {
    let said = hear(&mut opener(), ms(40), &framed(&Punch::of(Kind::Connect)));
    assert!(
        matches!(said.result, Ok(Some(Heard::Connect { addresses, skipped: 0, dropped: 0, .. })) if addresses.is_empty())
    );
}

#[test]
fn we_may_have_nothing_to_tell() {
    let mut tx = BytesMut::new();
    let opener = Opener::new(ms(0), &[], &Config::default(), &mut tx);
    assert_eq!((only(&tx), opener.told()), (Punch::of(Kind::Connect), 0));
}

#[test]
fn addresses_that_cannot_be_read_are_skipped_and_counted() {
    let mut message = Punch::connect(&[at_port(1), at_port(2)]);
    message.addrs.insert(1, vec![0xff; 3]);
    message.addrs.insert(0, vec![]);
    message.addrs.push(vec![4, 8, 8]);
    let said = hear(&mut opener(), ms(40), &framed(&message));
    let Ok(Some(Heard::Connect { addresses, skipped, dropped, .. })) = said.result else { panic!("{:?}", said.result) };
    assert_eq!((addresses, skipped, dropped), (vec![at_port(1), at_port(2)], 3, 0));
}

#[test]
fn a_flood_of_addresses_is_cut_and_counted() {
    let many: Vec<_> = (0..400).map(at_port).collect();
    let message = Punch::connect(&many);
    assert!(message.encoded_len() <= 4096);
    let mut opener = opener();
    let said = hear(&mut opener, ms(40), &framed(&message));
    let Ok(Some(Heard::Connect { addresses, skipped, dropped, .. })) = said.result else { panic!("{:?}", said.result) };
    assert_eq!((&addresses[..], skipped, dropped), (&many[..32], 0, 368));
    assert_eq!(opener.memory_used(), 0);
}

#[test]
fn a_flood_of_entries_that_are_no_address_is_counted() {
    let message = Punch { addrs: vec![vec![]; 2047], ..Punch::of(Kind::Connect) };
    let said = hear(&mut opener(), ms(40), &framed(&message));
    assert!(matches!(said.result, Ok(Some(Heard::Connect { skipped: 2047, .. }))), "{:?}", said.result);
}

#[test]
fn a_message_of_exactly_the_cap_is_read() {
    // 2 bytes of type, and one field of 4094: 3 bytes of header.
    let message = Punch { addrs: vec![vec![0xff; 4091]], ..Punch::of(Kind::Connect) };
    assert_eq!(message.encoded_len(), 4096);
    let said = hear(&mut opener(), ms(40), &framed(&message));
    assert!(matches!(said.result, Ok(Some(Heard::Connect { skipped: 1, .. }))), "{:?}", said.result);
}

#[test]
fn of_too_many_addresses_as_many_are_told_as_a_message_holds() {
    let many: Vec<_> = (0..1000).map(at_port).collect();
    let mut tx = BytesMut::new();
    let opener = Opener::new(ms(0), &many, &Config::default(), &mut tx);
    let told = only(&tx);
    assert!(told.encoded_len() <= 4096 && told.encoded_len() > 4096 - 16, "{}", told.encoded_len());
    assert_eq!((told, opener.told() > 300), (Punch::connect(&many[..opener.told()]), true));
}

#[test]
fn an_empty_address_of_ours_is_not_told() {
    let mut tx = BytesMut::new();
    Opener::new(ms(0), &[Multiaddr::empty(), at_port(1)], &Config::default(), &mut tx);
    assert_eq!(only(&tx), Punch::connect(&[at_port(1)]));
}

#[test]
fn unknown_fields_are_passed_over() {
    let mut body = Punch::connect(&[at_port(2)]).encode_to_vec();
    body.extend_from_slice(&[0x1a, 2, b'h', b'i', 0x20, 7]);
    let mut wire = BytesMut::new();
    tidewire_core::encode_frame(&body, &mut wire);
    let said = hear(&mut opener(), ms(40), &wire);
    assert!(matches!(said.result, Ok(Some(Heard::Connect { addresses, .. })) if addresses == [at_port(2)]));
}

#[test]
fn silence_is_a_fault_at_the_deadline_and_not_before() {
    let mut opener = opener();
    assert_eq!(opener.deadline(), ms(20_000));
    assert_eq!(hear(&mut opener, ms(19_999), &[5]).result, Ok(None));
    let fault = Fault::Timeout { expected: MessageType::Connect, after: Duration::from_secs(20) };
    assert_eq!(hear(&mut opener, ms(20_000), &[5]).result, Err(fault));
    assert!(opener.is_over());
}

#[test]
fn a_sync_that_nobody_orders_ends_the_stream_at_last() {
    let mut opener = asked();
    assert_eq!(opener.deadline(), ms(60_000));
    assert_eq!(hear(&mut opener, ms(59_999), b"").result, Ok(None));
    let fault = Fault::Undecided { turn: MessageType::Sync, after: Duration::from_secs(60) };
    assert_eq!(hear(&mut opener, ms(60_000), b"").result, Err(fault));
}

#[test]
fn the_whole_time_bounds_that_of_a_message() {
    let config = Config { whole: Duration::from_secs(5), ..Config::default() };
    let mut opener = Opener::new(ms(0), &[], &config, &mut BytesMut::new());
    assert_eq!(opener.deadline(), ms(5_000));
    let fault = Fault::Timeout { expected: MessageType::Connect, after: Duration::from_secs(5) };
    assert_eq!(hear(&mut opener, ms(5_000), b"").result, Err(fault));
}

#[test]
fn an_answer_that_is_there_at_the_deadline_counts() {
    let said = hear(&mut opener(), ms(20_001), &framed(&Punch::of(Kind::Connect)));
    assert!(matches!(said.result, Ok(Some(_))));
}
