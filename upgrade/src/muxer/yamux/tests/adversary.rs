//! A remote that means harm: each class of bug that a yamux implementation has had, and the rules at their edges.

use super::*;
use crate::muxer::WriteError;

fn fault(end: &mut End, bytes: &[u8]) -> Error {
    let error = end.hear(bytes).unwrap_err();
    let last = end.frames().pop();
    assert_eq!(last, Some((Kind::GoAway, 0, 0, 1, Vec::new())), "the remote must be told");
    error
}

/// Hears `bytes` as often as it takes any, never sends, and gives the most that `tx` came to.
fn flood(end: &mut End, bytes: &[u8], times: usize) -> usize {
    let mut rx = BytesMut::new();
    for _ in 0..times {
        if rx.len() < 64 * 1024 {
            rx.extend_from_slice(bytes);
        }
        end.hear_some(&mut rx).unwrap();
    }
    end.tx.len()
}

#[test]
fn a_ping_flood_against_a_full_output_stops_being_read() {
    let mut b = End::new(Role::Responder, Config { max_tx: 1000, max_replies: 1000, ..quiet() });
    let most = flood(&mut b, &ping(SYN, 1), 10_000);
    assert!((2000..2012).contains(&most), "{most}");
    b.said();
    b.hear(&ping(SYN, 2)).unwrap();
    assert_eq!(b.frames().len(), 1, "and is read again once it was sent");
}

#[test]
fn a_flood_of_streams_over_the_limit_stops_being_read() {
    let config = Config { max_inbound_streams: 1, max_tx: 1000, max_replies: 1000, ..quiet() };
    let mut b = End::new(Role::Responder, config);
    let mut rx = BytesMut::new();
    for n in 0..100_000 {
        rx.extend_from_slice(&update(SYN, n * 2 + 1, 0));
        if rx.len() > 4096 {
            b.hear_some(&mut rx).unwrap();
            assert!(b.tx.len() < 2012);
            rx.truncate(12 * 8);
        }
        if b.tx.len() >= 2000 {
            return;
        }
    }
    panic!("all of it was read");
}

#[test]
fn two_full_outputs_do_not_block_each_other() {
    // Both write all they can, and take nothing in before they have sent: a ping in between must not stop either.
    let config = Config { max_tx: 1000, ..quiet() };
    let (mut a, mut b) = (End::new(Role::Initiator, config.clone()), End::new(Role::Responder, config));
    let one = a.open();
    a.yamux.ping(a.now, &mut a.tx);
    let two = b.open();
    b.yamux.ping(b.now, &mut b.tx);
    while a.yamux.write(one, &[0; 100], usize::MAX, &mut a.tx).is_ok() {}
    while b.yamux.write(two, &[0; 100], usize::MAX, &mut b.tx).is_ok() {}
    let said = a.tx.clone();
    b.hear(&said).unwrap();
    let said = b.tx.clone();
    a.hear(&said).unwrap();
    assert_eq!(b.read_all(one).0.len() + a.read_all(two).0.len(), 2 * (1000 - 24));
}

#[test]
fn a_full_output_blocks_writing_and_opening_until_it_was_sent() {
    let mut a = End::new(Role::Initiator, Config { max_tx: 100, ..quiet() });
    let id = a.open();
    assert_eq!(a.write(id, &[0; 1000]), 88);
    assert_eq!(a.yamux.write(id, &[0; 1000], usize::MAX, &mut a.tx), Err(WriteError::Blocked));
    assert_eq!(a.yamux.open(&mut a.tx), Err(crate::muxer::OpenError::Full));
    assert_eq!(a.hear(b""), Ok(Vec::new()));
    assert_eq!(a.yamux.deadline(), Time::NEVER, "only sending helps");
    a.said();
    assert_eq!(a.hear(b""), Ok([Event::Writable(id), Event::Openable].into()));
}

#[test]
fn waiting_for_room_is_bounded_by_the_streams() {
    let mut b = End::new(Role::Responder, Config { max_tx: 64, ..quiet() });
    b.tx.extend_from_slice(&[0; 64]);
    for n in 0..10_000 {
        let number = n * 2 + 1;
        b.hear(&update(SYN, number, 0)).unwrap();
        let id = id(number.into());
        assert_eq!(b.yamux.write(id, b"x", usize::MAX, &mut b.tx), Err(WriteError::Blocked));
        b.hear(&update(RST, number, 0)).unwrap();
        b.reset(id, 0);
    }
    assert_eq!(b.tx.len(), 64);
    assert!(b.yamux.memory_used() < 4096, "{}", b.yamux.memory_used());
}

#[test]
fn credit_overflow_is_a_fault() {
    for (credit, fault_expected) in
        [(u32::MAX - 256 * 1024, false), (u32::MAX - 256 * 1024 + 1, true), (u32::MAX, true)]
    {
        let mut b = End::listener();
        b.hear(&update(SYN, 1, 0)).unwrap();
        if fault_expected {
            let expected = Error::CreditOverflow { stream: 1, window: 256 * 1024, credit };
            assert_eq!(fault(&mut b, &update(0, 1, credit)), expected);
        } else {
            assert_eq!(b.hear(&update(0, 1, credit)), Ok(Vec::new()));
        }
    }
    let mut b = End::listener();
    let expected = Error::CreditOverflow { stream: 1, window: 256 * 1024, credit: 0xFFFF_0000 };
    assert_eq!(fault(&mut b, &update(SYN, 1, 0xFFFF_0000)), expected);
}

#[test]
fn a_first_frame_larger_than_the_window_is_refused_on_its_header() {
    let mut b = End::listener();
    let header = frame(Kind::Data, SYN, 1, 262_145);
    assert_eq!(fault(&mut b, &header), Error::OverWindow { stream: 1, len: 262_145, window: 262_144 });
    let mut b = End::listener();
    assert!(b.hear(&frame(Kind::Data, SYN, 1, 262_144)).is_ok());
}

#[test]
fn a_body_of_four_gigabytes_is_refused_on_its_header() {
    let mut b = End::listener();
    b.hear(&update(SYN, 1, 0)).unwrap();
    let header = frame(Kind::Data, 0, 1, u32::MAX);
    assert_eq!(fault(&mut b, &header), Error::OverWindow { stream: 1, len: u32::MAX, window: 262_144 });
}

#[test]
fn data_over_what_is_left_of_the_window_is_refused() {
    let mut b = End::listener();
    b.hear(&data(SYN, 1, &[0; 262_000])).unwrap();
    assert_eq!(fault(&mut b, &data(0, 1, &[0; 145])), Error::OverWindow { stream: 1, len: 145, window: 144 });
}

#[test]
fn data_after_fin_is_refused_and_an_empty_frame_is_not() {
    let mut b = End::listener();
    b.hear(&data(SYN | FIN, 1, b"all")).unwrap();
    assert_eq!(b.hear(&data(0, 1, b"")), Ok(Vec::new()));
    assert_eq!(b.hear(&data(FIN, 1, b"")), Ok(Vec::new()));
    assert_eq!(fault(&mut b, &data(0, 1, b"more")), Error::DataAfterFinish { stream: 1, len: 4 });
}

#[test]
fn data_for_a_stream_that_never_was_is_refused() {
    for stream in [1, 2, 3, 4] {
        let mut b = End::listener();
        let expected = Error::UnknownStream { stream, len: 1, allowed: 0 };
        assert_eq!(fault(&mut b, &data(0, stream, b"x")), expected);
    }
}

#[test]
fn data_for_a_stream_that_we_opened_but_never_mentioned_is_refused() {
    let mut a = End::dialer();
    a.open();
    let expected = Error::UnknownStream { stream: 1, len: 1, allowed: 0 };
    assert_eq!(fault(&mut a, &data(ACK, 1, b"x")), expected);
}

#[test]
fn late_data_is_dropped_as_far_as_the_window_had_allowed_it() {
    let mut b = End::listener();
    b.hear(&data(SYN, 1, &[0; 262_000])).unwrap();
    b.reset(id(1), 0);
    b.said();
    assert_eq!(b.hear(&data(0, 1, &[0; 100])), Ok(Vec::new()));
    assert_eq!(fault(&mut b, &data(0, 1, &[0; 45])), Error::UnknownStream { stream: 1, len: 45, allowed: 44 });
}

#[test]
fn data_behind_a_refused_opening_is_dropped() {
    let mut b = End::new(Role::Responder, Config { max_inbound_streams: 0, ..quiet() });
    b.hear(&data(SYN, 1, &[0; 262_000])).unwrap();
    b.hear(&data(0, 1, &[0; 144])).unwrap();
    b.said();
    assert_eq!(fault(&mut b, &data(0, 1, b"x")), Error::UnknownStream { stream: 1, len: 1, allowed: 0 });
}

#[test]
fn opening_with_our_numbers_is_refused() {
    assert_eq!(fault(&mut End::listener(), &update(SYN, 2, 0)), Error::WrongParity { stream: 2, odd: true });
    assert_eq!(fault(&mut End::dialer(), &update(SYN, 1, 0)), Error::WrongParity { stream: 1, odd: false });
}

#[test]
fn opening_twice_is_refused() {
    let mut b = End::listener();
    b.hear(&update(SYN, 1, 0)).unwrap();
    assert_eq!(fault(&mut b, &update(SYN, 1, 0)), Error::OpenedTwice { stream: 1 });
}

#[test]
fn a_number_is_not_used_again() {
    for number in [1, 3, 7] {
        let mut b = End::listener();
        for number in [1, 7, 3] {
            b.hear(&update(SYN, number, 0)).unwrap();
            b.reset(id(number.into()), 0);
        }
        b.said();
        assert_eq!(b.hear(&update(SYN, 5, 0)).unwrap().len(), 1, "5 was left out");
        assert_eq!(fault(&mut b, &update(SYN, number, 0)), Error::Reused { stream: number });
    }
}

#[test]
fn streams_opened_and_reset_at_once_stay_under_the_limit() {
    // "Rapid reset": until the application has let go of a stream, it counts.
    let config = Config { max_inbound_streams: 10, ..quiet() };
    let mut b = End::new(Role::Responder, config);
    for n in 0..1000 {
        b.hear(&update(SYN, n * 2 + 1, 0)).unwrap();
        b.hear(&update(RST, n * 2 + 1, 0)).unwrap();
        b.said();
    }
    assert_eq!(b.yamux.streams(), 10);
}

#[test]
fn what_an_adversary_can_make_us_keep_is_bounded() {
    let config = Config { max_inbound_streams: 20, max_connection_window: 16 * 262_144, ..quiet() };
    let mut b = End::new(Role::Responder, config);
    let payload = [0; 1024];
    for n in 0..30 {
        let number = n * 2 + 1;
        b.hear(&update(SYN, number, 0)).unwrap();
        for _ in 0..256 {
            if b.hear(&data(0, number, &payload)).is_err() {
                panic!("inside the window");
            }
        }
        b.said();
    }
    assert_eq!(b.yamux.streams(), 16);
    let used = b.yamux.memory_used();
    assert!((16 * 262_144..16 * 262_144 + 64 * 1024).contains(&used), "{used}");
}

#[test]
fn reading_a_stream_in_tiny_frames_costs_little_more_than_its_bytes() {
    let mut b = End::listener();
    b.hear(&update(SYN, 1, 0)).unwrap();
    let mut all = BytesMut::new();
    for _ in 0..10_000 {
        all.extend_from_slice(&data(0, 1, b"x"));
    }
    b.hear(&all).unwrap();
    assert!(b.yamux.memory_used() < 40_000, "{}", b.yamux.memory_used());
    assert_eq!(b.read_all(id(1)).0.len(), 10_000);
}
