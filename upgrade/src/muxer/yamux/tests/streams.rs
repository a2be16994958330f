//! The life of a stream: opening, finishing, resetting, and all the ways in which peers do it.

use super::*;
use crate::muxer::{OpenError, StreamError, WriteError};

#[test]
fn syn_rides_on_the_first_data_and_ack_on_the_answer() {
    let (mut a, mut b) = (End::dialer(), End::listener());
    let id = a.open();
    assert!(a.tx.is_empty(), "opening alone costs nothing");
    a.write(id, b"question");
    let said = a.said();
    assert_eq!(frames(&said), [(Kind::Data, SYN, 1, 8, b"question".to_vec())]);

    assert_eq!(b.hear(&said), Ok([Event::Opened(id), Event::Readable(id)].into()));
    assert_eq!(b.read_all(id), (b"question".to_vec(), Err(ReadError::Blocked)));
    b.write(id, b"answer");
    assert_eq!(b.frames(), [(Kind::Data, ACK, 1, 6, b"answer".to_vec())]);
}

#[test]
fn reading_first_opens_the_stream_for_the_remote() {
    let (mut a, mut b) = (End::dialer(), End::listener());
    let id = a.open();
    assert_eq!(a.read(id), Err(ReadError::Blocked));
    let said = a.said();
    assert_eq!(frames(&said), [(Kind::WindowUpdate, SYN, 1, 0, Vec::new())]);
    assert_eq!(b.hear(&said), Ok([Event::Opened(id)].into()));
    assert_eq!(b.read(id), Err(ReadError::Blocked));
    assert_eq!(b.frames(), [(Kind::WindowUpdate, ACK, 1, 0, Vec::new())]);
}

#[test]
fn the_acknowledgement_goes_out_once() {
    let (mut a, mut b) = (End::dialer(), End::listener());
    let id = a.open();
    a.write(id, b"x");
    settle(&mut a, &mut b);
    b.drain(id);
    b.said();
    b.drain(id);
    b.write(id, b"y");
    assert_eq!(b.frames(), [(Kind::Data, 0, 1, 1, b"y".to_vec())]);
}

#[test]
fn both_ways_to_open_are_taken() {
    for syn in [data(SYN, 1, b""), data(SYN, 1, b"abc"), update(SYN, 1, 0), update(SYN, 1, 1000)] {
        let mut end = End::listener();
        assert_eq!(end.hear(&syn).unwrap()[0], Event::Opened(id(1)));
        assert_eq!(end.yamux.streams(), 1);
    }
}

#[test]
fn credit_that_comes_with_syn_counts() {
    let mut end = End::listener();
    end.hear(&update(SYN, 1, 1000)).unwrap();
    assert_eq!(end.yamux.credit(id(1)), Some(256 * 1024 + 1000));
}

#[test]
fn both_ways_to_finish_are_taken() {
    for fin in [data(FIN, 1, b""), data(FIN, 1, b"more"), update(FIN, 1, 0)] {
        let mut end = End::listener();
        end.hear(&data(SYN, 1, b"some ")).unwrap();
        assert_eq!(end.hear(&fin), Ok([Event::Finished(id(1))].into()));
        let all = if fin.len() > 12 { &b"some more"[..] } else { b"some " };
        assert_eq!(end.read_all(id(1)), (all.to_vec(), Ok(())));
    }
}

#[test]
fn a_stream_that_opens_and_finishes_in_one_frame_is_read_to_its_end() {
    let mut end = End::listener();
    let events = end.hear(&data(SYN | FIN, 1, b"all of it")).unwrap();
    assert_eq!(events, [Event::Opened(id(1)), Event::Readable(id(1)), Event::Finished(id(1))]);
    assert_eq!(end.read_all(id(1)), (b"all of it".to_vec(), Ok(())));
    end.finish(id(1));
    assert_eq!(end.yamux.streams(), 0);
}

#[test]
fn fin_never_rides_on_data_but_joins_an_empty_frame() {
    // go-yamux looks at FIN before it takes the data in.
    let mut a = End::dialer();
    let id = a.open();
    a.write(id, b"last");
    a.finish(id);
    assert_eq!(a.frames(), [(Kind::Data, SYN, 1, 4, b"last".to_vec()), (Kind::WindowUpdate, FIN, 1, 0, Vec::new())]);

    let id = a.open();
    a.read(id).unwrap_err();
    a.finish(id);
    assert_eq!(a.frames(), [(Kind::WindowUpdate, SYN | FIN, 3, 0, Vec::new())]);
}

#[test]
fn a_write_behind_an_empty_opening_takes_its_place() {
    let mut a = End::dialer();
    let id = a.open();
    a.read(id).unwrap_err();
    a.write(id, b"data");
    assert_eq!(a.frames(), [(Kind::Data, SYN, 1, 4, b"data".to_vec())]);
}

#[test]
fn consecutive_writes_to_one_stream_lengthen_the_frame() {
    let mut a = End::dialer();
    let (one, two) = (a.open(), a.open());
    a.write(one, b"ab");
    a.write(one, b"cd");
    a.write(two, b"x");
    a.write(one, b"ef");
    a.yamux.boundary();
    a.write(one, b"gh");
    let expected = [
        (Kind::Data, SYN, 1, 4, b"abcd".to_vec()),
        (Kind::Data, SYN, 3, 1, b"x".to_vec()),
        (Kind::Data, 0, 1, 2, b"ef".to_vec()),
        (Kind::Data, 0, 1, 2, b"gh".to_vec()),
    ];
    assert_eq!(a.frames(), expected);
}

#[test]
fn a_frame_is_lengthened_only_if_it_is_the_last_thing_in_tx() {
    let mut a = End::dialer();
    let id = a.open();
    a.write(id, b"ab");
    a.tx.extend_from_slice(b"zz");
    a.write(id, b"cd");
    let said = a.said();
    assert_eq!(said[12..16], *b"abzz");
    assert_eq!(frames(&said[16..]), [(Kind::Data, 0, 1, 2, b"cd".to_vec())]);
}

#[test]
fn frames_are_cut_at_the_configured_length() {
    let mut a = End::new(Role::Initiator, Config { max_frame: 10, ..quiet() });
    let id = a.open();
    assert_eq!(a.write(id, &[1; 25]), 10);
    assert_eq!(a.write(id, &[1; 15]), 10);
    assert_eq!(a.write(id, &[1; 5]), 5);
    assert_eq!(a.write(id, &[1; 7]), 5);
    assert_eq!(a.frames().iter().map(|frame| frame.3).collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn a_write_stays_inside_the_room_it_is_given() {
    let mut a = End::dialer();
    let id = a.open();
    assert_eq!(a.yamux.write(id, b"abcdef", 12, &mut a.tx), Err(WriteError::Blocked));
    assert_eq!(a.yamux.deadline(), Time::ZERO, "it has something to say");
    assert_eq!(a.hear(b""), Ok([Event::Writable(id)].into()));
    assert_eq!(a.yamux.deadline(), Time::NEVER);
    assert_eq!(a.yamux.write(id, b"abcdef", 15, &mut a.tx), Ok(3));
    assert_eq!(a.tx.len(), 15);
    assert_eq!(a.yamux.write(id, b"def", 2, &mut a.tx), Ok(2), "no header is needed now");
}

#[test]
fn an_empty_write_says_nothing() {
    let mut a = End::dialer();
    let id = a.open();
    assert_eq!(a.write(id, b""), 0);
    assert!(a.tx.is_empty());
}

#[test]
fn half_closed_streams_go_on_in_the_other_direction() {
    let (mut a, mut b) = (End::dialer(), End::listener());
    let id = a.open();
    a.write(id, b"request");
    a.finish(id);
    settle(&mut a, &mut b);
    assert_eq!(b.read_all(id), (b"request".to_vec(), Ok(())));
    b.write(id, b"response");
    b.finish(id);
    let (seen, _) = settle(&mut a, &mut b);
    assert_eq!(seen, [Event::Readable(id), Event::Finished(id)]);
    assert_eq!(b.yamux.streams(), 0);
    assert_eq!(a.read_all(id), (b"response".to_vec(), Ok(())));
    assert_eq!(a.yamux.streams(), 0);
    assert_eq!(a.read(id), Err(ReadError::Unknown));
}

#[test]
fn a_stream_finished_on_both_sides_is_there_until_it_was_read() {
    let (mut a, mut b) = (End::dialer(), End::listener());
    let id = a.open();
    a.write(id, b"unread");
    a.finish(id);
    settle(&mut a, &mut b);
    b.finish(id);
    settle(&mut a, &mut b);
    assert_eq!(b.yamux.streams(), 1);
    assert_eq!(b.read_all(id), (b"unread".to_vec(), Ok(())));
    assert_eq!(b.yamux.streams(), 0);
}

#[test]
fn after_finishing_nothing_is_written_and_finishing_again_is_harmless() {
    let mut a = End::dialer();
    let id = a.open();
    a.finish(id);
    assert_eq!(a.frames(), [(Kind::WindowUpdate, SYN | FIN, 1, 0, Vec::new())]);
    assert_eq!(a.yamux.write(id, b"more", usize::MAX, &mut a.tx), Err(WriteError::Finished));
    a.finish(id);
    assert!(a.tx.is_empty());
}

#[test]
fn a_reset_is_told_with_its_code_and_forgets_the_stream() {
    let (mut a, mut b) = (End::dialer(), End::listener());
    let id = a.open();
    a.write(id, b"read me");
    settle(&mut a, &mut b);
    a.reset(id, 0x1001);
    assert_eq!(a.yamux.streams(), 0);
    let (_, seen) = settle(&mut a, &mut b);
    assert_eq!(seen, [Event::Reset { id, by: By::Remote, code: 0x1001 }]);

    let gone = ReadError::Reset { by: By::Remote, code: 0x1001 };
    assert_eq!(b.read_all(id), (b"read me".to_vec(), Err(gone)), "what came before stays readable");
    assert_eq!(b.yamux.write(id, b"x", usize::MAX, &mut b.tx), Err(WriteError::Reset { by: By::Remote, code: 0x1001 }));
    assert_eq!(b.yamux.finish(id, &mut b.tx), Err(StreamError::Reset { by: By::Remote, code: 0x1001 }));
    b.said();
    b.reset(id, 1);
    assert!(b.tx.is_empty(), "it knows already");
    assert_eq!(b.yamux.streams(), 0);
    assert_eq!(b.yamux.reset(id, 1, &mut b.tx), Err(StreamError::Unknown));
}

#[test]
fn a_reset_on_a_data_frame_is_taken_and_its_data_is_not() {
    let mut end = End::listener();
    end.hear(&data(SYN, 1, b"before")).unwrap();
    assert_eq!(end.hear(&data(RST, 1, b"ignored")), Ok([Event::Reset { id: id(1), by: By::Remote, code: 0 }].into()));
    assert_eq!(end.read_all(id(1)), (b"before".to_vec(), Err(ReadError::Reset { by: By::Remote, code: 0 })));
}

#[test]
fn resetting_a_stream_that_the_remote_never_saw_says_nothing() {
    let mut a = End::dialer();
    let id = a.open();
    a.reset(id, 7);
    assert!(a.tx.is_empty());
    let next = a.open();
    assert_eq!(next.get(), 3, "a number is not used again");
}

#[test]
fn data_under_way_when_a_stream_is_reset_is_dropped() {
    let (mut a, mut b) = (End::dialer(), End::listener());
    let id = a.open();
    a.write(id, b"x");
    settle(&mut a, &mut b);
    b.reset(id, 0);
    a.write(id, &[7; 1000]);
    a.finish(id);
    let said = a.said();
    assert_eq!(b.hear(&said), Ok(Vec::new()));
    assert_eq!(b.yamux.streams(), 0);
}

#[test]
fn a_stream_reset_inside_a_frame_drops_the_rest_of_it() {
    let mut b = End::listener();
    let all = data(SYN, 1, &[9; 100]);
    b.hear(&all[..50]).unwrap();
    b.reset(id(1), 0);
    assert_eq!(b.hear(&all[50..]), Ok(Vec::new()));
    assert_eq!(b.hear(&data(SYN, 3, b"next")).unwrap()[0], Event::Opened(id(3)));
}

#[test]
fn a_large_frame_is_handed_out_as_it_arrives() {
    let mut b = End::listener();
    let all = data(SYN, 1, &[9; 200_000]);
    assert_eq!(b.hear(&all[..1000]), Ok([Event::Opened(id(1)), Event::Readable(id(1))].into()));
    assert_eq!(b.read_all(id(1)).0.len(), 988);
    assert_eq!(b.hear(&all[1000..100_000]), Ok([Event::Readable(id(1))].into()));
    assert_eq!(b.hear(&all[100_000..]), Ok(Vec::new()), "told once, until it blocks again");
    assert_eq!(b.read_all(id(1)).0.len(), 199_012);
}

#[test]
fn late_frames_for_streams_that_are_gone_are_ignored() {
    let (mut a, mut b) = (End::dialer(), End::listener());
    let id = a.open();
    a.finish(id);
    settle(&mut a, &mut b);
    b.read_all(id).1.unwrap();
    b.finish(id);
    settle(&mut a, &mut b);
    assert_eq!(b.yamux.streams(), 0);
    for late in [update(0, 1, 1_000_000), update(FIN, 1, 0), data(FIN, 1, b""), update(RST, 1, 0), data(ACK, 1, b"")] {
        assert_eq!(b.hear(&late), Ok(Vec::new()));
    }
}

#[test]
fn credit_after_our_fin_is_ignored() {
    let mut a = End::dialer();
    let id = a.open();
    a.finish(id);
    assert_eq!(a.hear(&update(ACK, 1, u32::MAX)), Ok(Vec::new()));
    assert_eq!(a.hear(&update(0, 1, u32::MAX)), Ok(Vec::new()));
}

#[test]
fn streams_over_the_limit_are_reset_and_the_others_live() {
    let config = Config { max_inbound_streams: 2, ..quiet() };
    let (mut a, mut b) = (End::dialer(), End::new(Role::Responder, config));
    let ids: Vec<_> = (0..3).map(|_| a.open()).collect();
    for id in &ids {
        a.write(*id, b"x");
    }
    let (seen, _) = settle(&mut a, &mut b);
    assert_eq!(seen, [Event::Reset { id: ids[2], by: By::Remote, code: 0x1002 }]);
    assert_eq!(b.yamux.streams(), 2);
    b.reset(ids[0], 0);
    settle(&mut a, &mut b);
    let id = a.open();
    a.write(id, b"x");
    assert_eq!(settle(&mut a, &mut b).1, [Event::Opened(id), Event::Readable(id)]);
}

#[test]
fn streams_that_the_application_ignores_fill_the_accept_backlog() {
    let config = Config { accept_backlog: 1, ..quiet() };
    let mut b = End::new(Role::Responder, config);
    b.hear(&update(SYN, 1, 0)).unwrap();
    assert_eq!(b.hear(&update(SYN, 3, 0)), Ok(Vec::new()));
    assert_eq!(b.frames(), [(Kind::WindowUpdate, RST, 3, 0x1002, Vec::new())]);
    b.read(id(1)).unwrap_err();
    assert_eq!(b.hear(&update(SYN, 5, 0)), Ok([Event::Opened(id(5))].into()));
}

#[test]
fn our_own_limit_is_an_error_that_closing_a_stream_lifts() {
    let mut a = End::new(Role::Initiator, Config { max_outbound_streams: 1, ..quiet() });
    let id = a.open();
    assert_eq!(a.yamux.open(&mut a.tx), Err(OpenError::TooManyStreams { limit: 1 }));
    a.reset(id, 0);
    a.open();
}

#[test]
fn no_more_streams_than_the_backlog_wait_for_acknowledgement() {
    let (mut a, mut b) = (End::dialer(), End::listener());
    for _ in 0..256 {
        let id = a.open();
        a.write(id, b"x");
    }
    assert_eq!(a.yamux.open(&mut a.tx), Err(OpenError::Backlog { limit: 256 }));
    settle(&mut a, &mut b);
    assert_eq!(a.yamux.open(&mut a.tx), Err(OpenError::Backlog { limit: 256 }));
    b.drain(id(1));
    assert_eq!(settle(&mut a, &mut b).0, [Event::Openable]);
    a.open();
}

#[test]
fn a_reset_by_us_lifts_the_backlog_too() {
    let mut a = End::new(Role::Initiator, Config { max_unacknowledged: 1, ..quiet() });
    let id = a.open();
    a.yamux.open(&mut a.tx).unwrap_err();
    a.reset(id, 0);
    assert_eq!(a.yamux.deadline(), Time::ZERO);
    assert_eq!(a.hear(b""), Ok([Event::Openable].into()));
    a.open();
}

#[test]
fn when_all_numbers_are_used_no_stream_is_opened() {
    for (role, last) in [(Role::Initiator, u32::MAX), (Role::Responder, u32::MAX - 1)] {
        let mut end = End::new(role, quiet());
        end.yamux.next_id = Some(last);
        assert_eq!(end.open().get(), u64::from(last));
        assert_eq!(end.yamux.open(&mut end.tx), Err(OpenError::IdsUsedUp));
    }
}

#[test]
fn numbers_are_odd_for_the_initiator_and_even_for_the_responder() {
    let (mut a, mut b) = (End::dialer(), End::listener());
    assert_eq!([a.open(), a.open()].map(StreamId::get), [1, 3]);
    assert_eq!([b.open(), b.open()].map(StreamId::get), [2, 4]);
}

#[test]
fn streams_may_be_opened_out_of_order() {
    let mut b = End::listener();
    for number in [5, 1, 9, 7, 3] {
        assert_eq!(b.hear(&update(SYN, number, 0)), Ok([Event::Opened(id(number.into()))].into()));
    }
}

#[test]
fn a_number_that_nobody_remembers_is_refused_but_not_a_fault() {
    let mut b = End::listener();
    // Every second number is left out, until the first gaps are forgotten.
    for n in 0..300 {
        b.hear(&update(SYN, n * 4 + 1, 0)).unwrap();
        let id = id((n * 4 + 1).into());
        if b.read(id) == Err(ReadError::Blocked) {
            b.reset(id, 0);
        }
    }
    b.said();
    assert_eq!(b.hear(&update(SYN, 3, 0)), Ok(Vec::new()));
    assert_eq!(b.frames(), [(Kind::WindowUpdate, RST, 3, 0x1002, Vec::new())]);
    assert_eq!(b.hear(&update(SYN, 299 * 4 - 1, 0)).unwrap().len(), 1);
}

#[test]
fn calls_on_unknown_streams_are_errors() {
    let mut a = End::dialer();
    for number in [0, 1, 2, u64::from(u32::MAX) + 2, u64::MAX] {
        assert_eq!(a.read(id(number)), Err(ReadError::Unknown));
        assert_eq!(a.yamux.write(id(number), b"x", 100, &mut a.tx), Err(WriteError::Unknown));
        assert_eq!(a.yamux.finish(id(number), &mut a.tx), Err(StreamError::Unknown));
        assert_eq!(a.yamux.reset(id(number), 0, &mut a.tx), Err(StreamError::Unknown));
    }
    assert!(a.tx.is_empty());
}
