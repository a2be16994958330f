//! mplex by the byte: what is sent, what is tolerated, what is refused, and that hostile remotes stay within the caps.

use super::*;
use alloc::vec;
use alloc::vec::Vec;

/// One end, and the test as its remote.
struct End {
    mplex: Mplex,
    rx: BytesMut,
    tx: BytesMut,
}

fn end(change: impl FnOnce(&mut Config)) -> End {
    let mut config = Config::default();
    change(&mut config);
    End { mplex: Mplex::new(Role::Responder, config), rx: BytesMut::new(), tx: BytesMut::new() }
}

impl End {
    /// Hands `bytes` in and returns all events.
    fn takes(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Error> {
        self.rx.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(event) = self.mplex.advance(Time::ZERO, &mut self.rx, &mut self.tx)? {
            events.push(event);
        }
        Ok(events)
    }

    fn read(&mut self, id: StreamId) -> Result<Option<BytesMut>, ReadError> {
        self.mplex.read(id, &mut self.tx)
    }

    fn write(&mut self, id: StreamId, data: &[u8]) -> Result<usize, WriteError> {
        self.mplex.write(id, data, usize::MAX, &mut self.tx)
    }

    fn open(&mut self) -> StreamId {
        self.mplex.open(&mut self.tx).unwrap()
    }

    fn says(&mut self) -> Vec<u8> {
        let said = self.tx.to_vec();
        self.tx.clear();
        said
    }
}

fn message(id: u64, flag: u64, data: &[u8]) -> Vec<u8> {
    let mut header = unsigned_varint::encode::u64_buffer();
    let mut len = unsigned_varint::encode::usize_buffer();
    let header = unsigned_varint::encode::u64((id << 3) | flag, &mut header);
    [header, unsigned_varint::encode::usize(data.len(), &mut len), data].concat()
}

const OPEN: u64 = 0;
const DATA_BY_RECEIVER: u64 = 1;
const DATA_BY_INITIATOR: u64 = 2;
const CLOSE_BY_RECEIVER: u64 = 3;
const CLOSE_BY_INITIATOR: u64 = 4;
const RESET_BY_RECEIVER: u64 = 5;
const RESET_BY_INITIATOR: u64 = 6;

#[test]
fn a_stream_of_ours_is_opened_with_its_id_as_name_and_spoken_on_as_initiator() {
    let mut a = end(|_| {});
    for _ in 0..12 {
        a.open();
    }
    a.says();
    let id = a.open();
    assert_eq!(a.write(id, b"hi"), Ok(2));
    a.mplex.finish(id, &mut a.tx).unwrap();
    let expected =
        [message(12, OPEN, b"12"), message(12, DATA_BY_INITIATOR, b"hi"), message(12, CLOSE_BY_INITIATOR, b"")];
    assert_eq!(a.says(), expected.concat());
}

#[test]
fn a_stream_of_the_remote_is_answered_as_receiver() {
    let mut a = end(|_| {});
    let events = a.takes(&message(300, OPEN, b"any name")).unwrap();
    let [Event::Opened(id)] = events[..] else { panic!("{events:?}") };
    assert_eq!(a.write(id, b"hi"), Ok(2));
    a.mplex.reset(id, 7, &mut a.tx).unwrap();
    assert_eq!(a.says(), [message(300, DATA_BY_RECEIVER, b"hi"), message(300, RESET_BY_RECEIVER, b"")].concat());
}

#[test]
fn both_ends_may_open_the_same_wire_id() {
    let mut a = end(|_| {});
    let ours = a.open();
    let events = a.takes(&message(0, OPEN, b"")).unwrap();
    let [Event::Opened(theirs)] = events[..] else { panic!("{events:?}") };
    assert_ne!(ours, theirs);
    a.takes(&[message(0, DATA_BY_RECEIVER, b"on yours"), message(0, DATA_BY_INITIATOR, b"on mine")].concat()).unwrap();
    assert_eq!(a.read(ours).unwrap().unwrap(), b"on yours"[..]);
    assert_eq!(a.read(theirs).unwrap().unwrap(), b"on mine"[..]);
}

#[test]
fn data_is_handed_out_before_its_message_is_complete() {
    let mut a = end(|_| {});
    let id = a.open();
    let message = message(0, DATA_BY_RECEIVER, &[9; 1000]);
    assert_eq!(a.takes(&message[..10]), Ok(vec![Event::Readable(id)]));
    assert_eq!(a.read(id).unwrap().unwrap().len(), 10 - 3);
    assert_eq!(a.read(id), Err(ReadError::Blocked));
    assert_eq!(a.takes(&message[10..]), Ok(vec![Event::Readable(id)]));
    assert_eq!(a.read(id).unwrap().unwrap().len(), 1000 - 7);
}

#[test]
fn received_data_is_the_memory_it_arrived_in() {
    let mut a = end(|_| {});
    let id = a.open();
    a.rx.extend_from_slice(&message(0, DATA_BY_RECEIVER, &[9; 100]));
    let at = a.rx[2..].as_ptr();
    assert_eq!(a.mplex.advance(Time::ZERO, &mut a.rx, &mut a.tx), Ok(Some(Event::Readable(id))));
    assert_eq!(a.read(id).unwrap().unwrap().as_ptr(), at);
}

#[test]
fn readable_is_said_once_until_a_read_found_nothing() {
    let mut a = end(|_| {});
    let id = a.open();
    let data = message(0, DATA_BY_RECEIVER, b"x");
    assert_eq!(a.takes(&data), Ok(vec![Event::Readable(id)]));
    assert_eq!(a.takes(&data), Ok(vec![]));
    a.read(id).unwrap();
    assert_eq!(a.read(id), Err(ReadError::Blocked));
    assert_eq!(a.takes(&data), Ok(vec![Event::Readable(id)]));
}

#[test]
fn after_the_remote_closed_we_may_still_write() {
    let mut a = end(|_| {});
    let id = a.open();
    let closed = [message(0, DATA_BY_RECEIVER, b"bye"), message(0, CLOSE_BY_RECEIVER, b"")].concat();
    assert_eq!(a.takes(&closed), Ok(vec![Event::Readable(id), Event::Finished(id)]));
    assert_eq!(a.read(id).unwrap().unwrap(), b"bye"[..]);
    assert_eq!(a.read(id), Ok(None));
    assert_eq!(a.write(id, b"more"), Ok(4));
    assert_eq!(a.mplex.streams(), 1);
    a.mplex.finish(id, &mut a.tx).unwrap();
    assert_eq!(a.mplex.streams(), 0);
    assert_eq!(a.read(id), Err(ReadError::Unknown));
}

#[test]
fn after_we_closed_we_may_still_read() {
    let mut a = end(|_| {});
    let id = a.open();
    a.mplex.finish(id, &mut a.tx).unwrap();
    a.mplex.finish(id, &mut a.tx).unwrap();
    assert_eq!(a.write(id, b"x"), Err(WriteError::Finished));
    a.takes(&[message(0, DATA_BY_RECEIVER, b"late"), message(0, CLOSE_BY_RECEIVER, b"")].concat()).unwrap();
    assert_eq!(a.read(id).unwrap().unwrap(), b"late"[..]);
    assert_eq!(a.read(id), Ok(None));
    assert_eq!(a.mplex.streams(), 0);
    // One close, not two.
    assert_eq!(a.says(), [message(0, OPEN, b"0"), message(0, CLOSE_BY_INITIATOR, b"")].concat());
}

#[test]
fn what_came_before_a_reset_stays_readable_and_then_comes_an_error_not_the_end() {
    let mut a = end(|_| {});
    let id = a.open();
    let reset = [message(0, DATA_BY_RECEIVER, b"last"), message(0, RESET_BY_RECEIVER, b"")].concat();
    assert_eq!(a.takes(&reset), Ok(vec![Event::Readable(id), Event::Reset { id, by: By::Remote, code: 0 }]));
    assert_eq!(a.write(id, b"x"), Err(WriteError::Reset { by: By::Remote, code: 0 }));
    assert_eq!(a.mplex.finish(id, &mut a.tx), Err(StreamError::Reset { by: By::Remote, code: 0 }));
    assert_eq!(a.read(id).unwrap().unwrap(), b"last"[..]);
    assert_eq!(a.read(id), Err(ReadError::Reset { by: By::Remote, code: 0 }));
    a.says();
    a.mplex.reset(id, 0, &mut a.tx).unwrap();
    assert_eq!(a.mplex.streams(), 0);
    assert!(a.says().is_empty(), "a reset is not answered with a reset");
}

#[test]
fn a_reset_after_both_ends_closed_takes_nothing_away() {
    let mut a = end(|_| {});
    let id = a.open();
    a.mplex.finish(id, &mut a.tx).unwrap();
    a.takes(&[message(0, DATA_BY_RECEIVER, b"all"), message(0, CLOSE_BY_RECEIVER, b"")].concat()).unwrap();
    assert_eq!(a.takes(&message(0, RESET_BY_RECEIVER, b"")), Ok(vec![]));
    assert_eq!(a.read(id).unwrap().unwrap(), b"all"[..]);
    assert_eq!(a.read(id), Ok(None));
}

#[test]
fn messages_for_streams_that_do_not_exist_are_skipped() {
    let mut a = end(|_| {});
    let id = a.open();
    a.mplex.reset(id, 0, &mut a.tx).unwrap();
    a.says();
    for flag in DATA_BY_RECEIVER..=RESET_BY_INITIATOR {
        for id in [0, 1, MAX_ID] {
            assert_eq!(a.takes(&message(id, flag, b"crossing our reset")), Ok(vec![]), "flag {flag}, stream {id}");
        }
    }
    assert!(a.says().is_empty());
    assert!(a.rx.is_empty());
}

#[test]
fn data_in_a_close_or_a_reset_is_skipped() {
    let mut a = end(|_| {});
    let id = a.open();
    assert_eq!(a.takes(&message(0, CLOSE_BY_RECEIVER, b"junk")), Ok(vec![Event::Finished(id)]));
    assert_eq!(
        a.takes(&message(0, RESET_BY_RECEIVER, b"junk")),
        Ok(vec![Event::Reset { id, by: By::Remote, code: 0 }])
    );
    assert_eq!(a.read(id), Err(ReadError::Reset { by: By::Remote, code: 0 }));
}

#[test]
fn a_repeated_close_is_no_news() {
    let mut a = end(|_| {});
    let id = a.open();
    let close = message(0, CLOSE_BY_RECEIVER, b"");
    assert_eq!(a.takes(&[&close[..], &close].concat()), Ok(vec![Event::Finished(id)]));
}

#[test]
fn data_after_the_remotes_close_resets_the_stream() {
    let mut a = end(|_| {});
    let id = a.open();
    a.says();
    a.takes(&message(0, CLOSE_BY_RECEIVER, b"")).unwrap();
    assert_eq!(
        a.takes(&message(0, DATA_BY_RECEIVER, b"late")),
        Ok(vec![Event::Reset { id, by: By::Us, code: DATA_AFTER_CLOSE }])
    );
    assert_eq!(a.says(), message(0, RESET_BY_INITIATOR, b""));
    assert_eq!(a.read(id), Err(ReadError::Reset { by: By::Us, code: DATA_AFTER_CLOSE }));
}

#[test]
fn empty_data_is_no_news() {
    let mut a = end(|_| {});
    let id = a.open();
    assert_eq!(a.takes(&message(0, DATA_BY_RECEIVER, b"")), Ok(vec![]));
    assert_eq!(a.read(id), Err(ReadError::Blocked));
}

#[test]
fn broken_messages_end_the_connection_with_the_rule_that_they_broke() {
    let open_twice = [message(5, OPEN, b""), message(5, OPEN, b"")].concat();
    let table: [(&[u8], Error); 7] = [
        (&[7, 0], Error::UnknownFlag { id: 0 }),
        (&[0x80, 0], Error::VarintNotMinimal { field: Field::Header }),
        (&[0, 0x80, 0], Error::VarintNotMinimal { field: Field::Length }),
        (&[0xff; 10], Error::VarintTooLong { field: Field::Header }),
        (&[2, 0x81, 0x80, 0x40], Error::FrameTooLong { id: 0, len: (1 << 20) + 1, limit: 1 << 20 }),
        (&[8, 0x81, 0x08], Error::NameTooLong { id: 1, len: 1025, limit: 1024 }),
        (&open_twice, Error::IdInUse { id: 5 }),
    ];
    for (bytes, error) in table {
        let mut a = end(|_| {});
        let id = a.open();
        a.takes(&message(0, DATA_BY_RECEIVER, b"before")).unwrap();
        assert_eq!(a.takes(bytes), Err(error), "{bytes:x?}");
        assert_eq!(a.takes(b"more"), Err(error), "sticky: {bytes:x?}");
        assert_eq!(a.read(id).unwrap().unwrap(), b"before"[..], "{bytes:x?}");
        assert_eq!(a.read(id), Err(ReadError::Failed));
        assert_eq!(a.write(id, b"x"), Err(WriteError::Failed));
        assert_eq!(a.mplex.finish(id, &mut a.tx), Err(StreamError::Failed));
        assert_eq!(a.mplex.open(&mut a.tx), Err(OpenError::Failed));
        assert_eq!(a.mplex.reset(id, 0, &mut a.tx), Ok(()));
        assert_eq!(a.mplex.streams(), usize::from(bytes == open_twice));
    }
}

#[test]
fn a_body_of_four_gigabytes_is_refused_on_its_header() {
    for kind in [OPEN, DATA_BY_INITIATOR, DATA_BY_RECEIVER, CLOSE_BY_INITIATOR, RESET_BY_RECEIVER] {
        let mut a = end(|_| {});
        let header = [u8::try_from(kind).unwrap(), 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(matches!(a.takes(&header), Err(Error::FrameTooLong { .. } | Error::NameTooLong { .. })));
    }
}

#[test]
fn an_id_that_was_closed_may_not_come_back_and_does_not_end_the_connection() {
    let mut a = end(|_| {});
    let events = a.takes(&message(3, OPEN, b"")).unwrap();
    let [Event::Opened(id)] = events[..] else { panic!("{events:?}") };
    a.mplex.reset(id, 0, &mut a.tx).unwrap();
    a.says();
    assert_eq!(a.takes(&message(3, OPEN, b"again")), Ok(vec![]));
    assert_eq!(a.says(), message(3, RESET_BY_RECEIVER, b""));
    // Out of order is fine.
    assert_eq!(a.takes(&message(2, OPEN, b"")).unwrap().len(), 1);
}

#[test]
fn after_go_away_newcomers_are_reset_and_old_streams_go_on() {
    let mut a = end(|_| {});
    let id = a.open();
    a.says();
    a.mplex.go_away(0, &mut a.tx);
    assert!(a.says().is_empty());
    assert_eq!(a.takes(&message(0, OPEN, b"")), Ok(vec![]));
    assert_eq!(a.says(), message(0, RESET_BY_RECEIVER, b""));
    assert_eq!(a.mplex.open(&mut a.tx), Err(OpenError::GoingAway));
    assert_eq!(a.write(id, b"still"), Ok(5));
}

#[test]
fn there_is_no_ping() {
    let mut a = end(|_| {});
    assert!(!a.mplex.ping(Time::ZERO, &mut a.tx));
    assert!(a.says().is_empty());
    assert_eq!(a.mplex.deadline(), Time::NEVER);
}

#[test]
fn long_writes_are_split_and_fit_the_room() {
    let mut a = end(|c| c.split = 1000);
    let id = a.open();
    a.says();
    assert_eq!(a.write(id, &[1; 5000]), Ok(1000));
    assert_eq!(a.says().len(), 1000 + 3);
    for room in 0..300 {
        match a.mplex.write(id, &[1; 5000], room, &mut a.tx) {
            Ok(len) => assert!(len > 0),
            Err(error) => assert!(error == WriteError::Blocked && room <= 3, "{room}"),
        }
        assert!(a.says().len() <= room);
    }
}

#[test]
fn a_blocked_writer_and_a_blocked_opener_are_told_when_tx_has_room() {
    let mut a = end(|c| c.max_tx = 1000);
    let id = a.open();
    while a.write(id, &[1; 300]).is_ok() {}
    assert_eq!(a.write(id, &[1; 300]), Err(WriteError::Blocked));
    assert_eq!(a.mplex.open(&mut a.tx), Err(OpenError::Full));
    assert!(a.tx.len() <= 1000);
    assert_eq!(a.takes(b""), Ok(vec![]));
    a.says();
    assert_eq!(a.takes(b""), Ok(vec![Event::Writable(id), Event::Openable]));
    assert_eq!(a.takes(b""), Ok(vec![]));
    assert_eq!(a.write(id, &[1; 300]), Ok(300));
}

#[test]
fn a_stream_that_overruns_its_buffer_is_reset_and_no_other() {
    let mut a = end(|c| c.max_stream_buffer = 100);
    let slow = a.open();
    let other = a.open();
    a.says();
    let flood = message(0, DATA_BY_RECEIVER, &[1; 250]);
    assert_eq!(a.takes(&flood), Ok(vec![Event::Readable(slow), Event::Reset { id: slow, by: By::Us, code: OVERRUN }]));
    assert_eq!(a.says(), message(0, RESET_BY_INITIATOR, b""));
    assert_eq!(a.takes(&message(1, DATA_BY_RECEIVER, b"fine")), Ok(vec![Event::Readable(other)]));
    assert_eq!(a.read(other).unwrap().unwrap(), b"fine"[..]);
    assert_eq!(a.read(slow).unwrap().unwrap(), [1; 100][..]);
    assert_eq!(a.read(slow), Err(ReadError::Reset { by: By::Us, code: OVERRUN }));
}

#[test]
fn a_frame_longer_than_the_streams_buffer_passes_if_it_is_read_as_it_comes() {
    let mut a = end(|c| c.max_stream_buffer = 100);
    let id = a.open();
    let mut read = 0;
    for piece in message(0, DATA_BY_RECEIVER, &[1; 5000]).chunks(90) {
        a.takes(piece).unwrap();
        while let Ok(Some(piece)) = a.read(id) {
            read += piece.len();
        }
    }
    assert_eq!(read, 5000);
}

#[test]
fn all_streams_together_stay_under_the_connections_buffer() {
    let mut a = end(|c| (c.max_stream_buffer, c.max_connection_buffer) = (1000, 2500));
    let ids: Vec<_> = (0..5).map(|_| a.open()).collect();
    a.says();
    for wire in 0..5 {
        a.takes(&message(wire, DATA_BY_RECEIVER, &[1; 800])).unwrap();
    }
    assert_eq!(a.mplex.unread, 2500);
    // The fourth found 100 bytes of room, the fifth none.
    assert_eq!(a.says(), [message(3, RESET_BY_INITIATOR, b""), message(4, RESET_BY_INITIATOR, b"")].concat());
    for id in ids {
        while let Ok(Some(_)) = a.read(id) {}
        a.mplex.reset(id, 0, &mut a.tx).unwrap();
    }
    assert_eq!(a.mplex.unread, 0);
}

#[test]
fn a_flood_of_streams_is_reset_and_answers_stop_at_the_cap_of_tx() {
    let mut a = end(|c| (c.max_streams, c.max_tx) = (10, 500));
    let mut flood = Vec::new();
    for id in 0..10_000 {
        flood.extend(message(id, OPEN, b"x"));
    }
    assert_eq!(a.takes(&flood).unwrap().len(), 10);
    assert_eq!(a.mplex.streams(), 10);
    assert!(a.tx.len() <= 500 + 10);
    let left = a.rx.len();
    assert!(left > 0, "what can't be answered stays in rx");
    a.takes(b"").unwrap();
    assert_eq!(a.rx.len(), left);
    while !a.rx.is_empty() {
        a.says();
        a.takes(b"").unwrap();
    }
    assert!(a.mplex.memory_used() < 10_000);
}

#[test]
fn congestion_keeps_data_flowing() {
    let mut a = end(|c| c.max_tx = 100);
    let id = a.open();
    while a.write(id, &[1; 50]).is_ok() {}
    assert_eq!(a.takes(&message(0, DATA_BY_RECEIVER, b"in")), Ok(vec![Event::Readable(id)]));
}

#[test]
fn unread_crumbs_do_not_pin_the_buffers_they_came_in() {
    let mut a = end(|_| {});
    let id = a.open();
    for _ in 0..100 {
        a.rx = BytesMut::with_capacity(64 * 1024);
        a.takes(&message(0, DATA_BY_RECEIVER, &[1; 64])).unwrap();
        // Nothing else holds the buffer, so all of it can be had back.
        assert!(a.rx.try_reclaim(64 * 1024));
    }
    assert!(a.mplex.memory_used() < 14_000, "{}", a.mplex.memory_used());
    assert_eq!(a.read(id).unwrap().unwrap().len(), 6400);
}

#[test]
fn an_idle_stream_is_small() {
    assert!(size_of::<Stream>() <= 136, "{}", size_of::<Stream>());
}

#[test]
fn the_remote_may_end_between_messages_only() {
    let bytes = [message(0, OPEN, b"name"), message(0, DATA_BY_INITIATOR, b"data")].concat();
    let boundaries = [0, 6, bytes.len()];
    for cut in 0..=bytes.len() {
        let mut a = end(|_| {});
        a.takes(&bytes[..cut]).unwrap();
        let ended = a.mplex.end(Time::ZERO, &mut a.rx, &mut a.tx);
        if boundaries.contains(&cut) {
            assert_eq!(ended, Ok(None), "cut at {cut}");
        } else {
            assert_eq!(ended, Err(Error::CutShort), "cut at {cut}");
        }
    }
}

#[test]
fn after_the_remotes_end_an_open_stream_reads_as_failed() {
    let mut a = end(|_| {});
    let id = a.open();
    a.takes(&message(0, DATA_BY_RECEIVER, b"x")).unwrap();
    assert_eq!(a.mplex.end(Time::ZERO, &mut a.rx, &mut a.tx), Ok(None));
    assert_eq!(a.read(id).unwrap().unwrap(), b"x"[..]);
    assert_eq!(a.read(id), Err(ReadError::Failed));
}

#[test]
fn ids_run_out_with_an_error() {
    let mut a = end(|_| {});
    a.mplex.next_id = MAX_ID;
    let id = a.open();
    assert_eq!(wire_id(id), (MAX_ID, true));
    assert_eq!(a.mplex.open(&mut a.tx), Err(OpenError::IdsUsedUp));
    assert_eq!(&a.says()[..9], [0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
}

#[test]
fn no_more_streams_than_allowed_are_opened() {
    let mut a = end(|c| c.max_streams = 2);
    let id = a.open();
    a.open();
    assert_eq!(a.mplex.open(&mut a.tx), Err(OpenError::TooManyStreams { limit: 2 }));
    a.mplex.reset(id, 0, &mut a.tx).unwrap();
    a.open();
}
