//! Streams on a connection: writing, reading, ending; and how a connection itself ends.

use crate::support::{ECHO, End, Pair, deliver};
use bytes::Buf;
use core::time::Duration;
use tidewire_core::{Machine, Time};
use tidewire_multistream::Protocols;
use tidewire_upgrade::ChannelError;
use tidewire_upgrade::connection::{By, ConnectionError, Event, OpenStreamError, ReadStreamError, Selection};
use tidewire_upgrade::muxer::mplex::OVERRUN;
use tidewire_upgrade::muxer::{MuxerError, MuxerKind, OpenError, StreamError, StreamId, WriteError, yamux};
use tidewire_upgrade::pipeline::SecurityKind;
use tidewire_upgrade::security::SessionError;
use tidewire_upgrade::security::psk::PreSharedKey;

/// Length, header, tag: what a write of its own costs over Noise and yamux.
const OVERHEAD: usize = 2 + 12 + 16;

#[test]
fn writes_of_a_batch_share_a_record_and_a_frame() {
    let mut pair = Pair::new(|_| {});
    let (id, remote) = pair.stream();
    let mut batch = pair.a.connection.batch(&mut pair.a.tx);
    for _ in 0..16 {
        assert_eq!(batch.write(id, &[1; 10]), Ok(10));
    }
    drop(batch);
    assert_eq!(pair.a.tx.len(), OVERHEAD + 160);
    for _ in 0..2 {
        pair.a.write(id, &[2; 10]);
    }
    assert_eq!(pair.a.tx.len(), OVERHEAD + 160 + 2 * (OVERHEAD + 10));
    pair.settle();
    assert_eq!(pair.b.read_all(remote).0.len(), 180);
}

#[test]
fn a_batch_without_a_write_says_nothing() {
    let mut pair = Pair::new(|_| {});
    let (id, _) = pair.stream();
    drop(pair.a.connection.batch(&mut pair.a.tx));
    assert_eq!(pair.a.connection.write(id, &[], &mut pair.a.tx), Ok(0));
    assert!(pair.a.connection.write(StreamId::new(99), b"x", &mut pair.a.tx).is_err());
    assert!(pair.a.tx.is_empty());
}

#[test]
fn a_write_longer_than_a_record_becomes_several() {
    for muxer in [MuxerKind::Yamux, MuxerKind::Mplex] {
        let mut pair = Pair::new(|config| {
            config.muxers = vec![muxer];
            config.muxer.mplex.max_stream_buffer = 1 << 20;
            config.muxer.mplex.max_connection_buffer = 1 << 20;
        });
        let (id, remote) = pair.stream();
        let data: Vec<u8> = (0..200_000u32).map(|i| i.to_le_bytes()[1]).collect();
        pair.a.write(id, &data);
        assert!(pair.a.tx.len() > data.len() + 4 * 18);
        pair.settle();
        assert_eq!(pair.b.read_all(remote).0, data);
    }
}

#[test]
fn a_full_tx_blocks_writers_and_wakes_them_once_it_is_sent() {
    let mut pair = Pair::new(|config| config.muxer.yamux.max_tx = 10_000);
    let (id, _) = pair.stream();
    let written = pair.a.connection.write(id, &[0; 50_000], &mut pair.a.tx).unwrap();
    assert!((9_000..10_000).contains(&written) && pair.a.tx.len() <= 10_100);
    assert_eq!(pair.a.connection.write(id, b"x", &mut pair.a.tx), Err(WriteError::Blocked));
    let opened = pair.a.connection.open(Time::ZERO, &Protocols::from(ECHO), Selection::Lazy, &mut pair.a.tx);
    assert_eq!(opened, Err(OpenStreamError::Muxer(OpenError::Full)));
    pair.a.events.clear();
    pair.settle();
    pair.a.turn(Time::ZERO);
    assert!(pair.a.events.contains(&Event::Writable(id)) && pair.a.events.contains(&Event::Openable));
}

#[test]
fn streams_end_from_both_ends_and_by_reset() {
    let mut pair = Pair::new(|_| {});
    let (id, remote) = pair.stream();
    pair.a.write(id, b"question");
    pair.a.finish(id);
    pair.settle();
    assert_eq!(pair.b.read_all(remote), (b"question".to_vec(), Ok(())));
    pair.b.write(remote, b"answer");
    pair.b.finish(remote);
    pair.settle();
    assert_eq!(pair.a.read_all(id), (b"answer".to_vec(), Ok(())));
    assert_eq!((pair.a.connection.streams(), pair.b.connection.streams()), (0, 0));

    let (id, remote) = pair.stream();
    pair.a.write(id, b"half a");
    pair.a.connection.reset(id, 77, &mut pair.a.tx).unwrap();
    pair.settle();
    assert_eq!(pair.b.events.last(), Some(&Event::Reset { id: remote, by: By::Remote, code: 77 }));
    assert_eq!(pair.b.read_all(remote), (b"half a".to_vec(), Err(ReadStreamError::Reset { by: By::Remote, code: 77 })));
    let reset = StreamError::Reset { by: By::Remote, code: 77 };
    assert_eq!(pair.b.connection.finish(remote, &mut pair.b.tx), Err(reset));
    assert_eq!(pair.a.connection.reset(id, 0, &mut pair.a.tx), Err(StreamError::Unknown));
}

#[test]
fn a_stream_that_mplex_resets_for_overrunning_its_buffer_was_reset_by_us() {
    let mut pair = Pair::new(|config| {
        config.muxers = vec![MuxerKind::Mplex];
        config.muxer.mplex.max_stream_buffer = 1000;
    });
    let (id, remote) = pair.stream();
    pair.a.write(id, &[7; 2000]);
    pair.settle();
    // mplex carries neither who nor why: what each end says, it knows by itself.
    assert_eq!(pair.b.events.last(), Some(&Event::Reset { id: remote, by: By::Us, code: OVERRUN }));
    assert_eq!(pair.a.events.last(), Some(&Event::Reset { id, by: By::Remote, code: 0 }));
    let (by, code) = (By::Us, OVERRUN);
    assert_eq!(pair.b.read_all(remote), (vec![7; 1000], Err(ReadStreamError::Reset { by, code })));
    assert_eq!(pair.b.connection.write(remote, b"x", &mut pair.b.tx), Err(WriteError::Reset { by, code }));
    assert_eq!(pair.b.connection.finish(remote, &mut pair.b.tx), Err(StreamError::Reset { by, code }));
    assert_eq!(pair.a.read(id), Err(ReadStreamError::Reset { by: By::Remote, code: 0 }));
}

#[test]
fn after_a_go_away_old_streams_go_on_and_new_ones_are_refused() {
    let mut pair = Pair::new(|_| {});
    let (id, remote) = pair.stream();
    pair.a.connection.go_away(3, &mut pair.a.tx);
    pair.settle();
    assert_eq!(pair.b.events.last(), Some(&Event::GoAway { code: 3 }));
    for end in [&mut pair.a, &mut pair.b] {
        let opened = end.connection.open(Time::ZERO, &Protocols::from(ECHO), Selection::Lazy, &mut end.tx);
        assert_eq!(opened, Err(OpenStreamError::Muxer(OpenError::GoingAway)));
    }
    pair.a.write(id, b"still here");
    pair.settle();
    assert_eq!(pair.b.read_all(remote).0, b"still here");
    // The other end may say so as well.
    pair.b.connection.go_away(0, &mut pair.b.tx);
    pair.settle();
    assert_eq!(pair.a.events.last(), Some(&Event::GoAway { code: 0 }));
}

#[test]
fn both_ends_learn_who_closed_and_why() {
    let mut pair = Pair::new(|_| {});
    let (id, remote) = pair.stream();
    pair.a.write(id, b"last words");
    pair.b.write(remote, b"unread");
    pair.settle();
    pair.a.events.clear();
    pair.a.connection.close(0x1234, &mut pair.a.tx);
    assert!(pair.a.connection.is_closed() && !pair.a.tx.is_empty());
    assert_eq!(pair.a.connection.deadline(), Time::ZERO, "there is something to tell");
    pair.a.turn(Time::ZERO);
    assert_eq!(pair.a.events, [Event::Closed { by: By::Us, code: Some(0x1234) }]);
    assert_eq!(pair.a.connection.deadline(), Time::NEVER);

    deliver(&mut pair.a.tx, &mut pair.b.rx);
    pair.b.end(Time::ZERO);
    let ended = Event::Closed { by: By::Remote, code: Some(0x1234) };
    assert_eq!(pair.b.events[pair.b.events.len() - 2..], [Event::GoAway { code: 0x1234 }, ended][..]);
    assert_eq!(pair.b.read_all(remote), (b"last words".to_vec(), Err(ReadStreamError::Closed)));
    assert_eq!(pair.a.read_all(id), (b"unread".to_vec(), Err(ReadStreamError::Closed)));
}

#[test]
fn an_end_of_input_without_a_reason_is_the_remotes_close() {
    let mut pair = Pair::new(|_| {});
    pair.b.end(Time::ZERO);
    assert_eq!(pair.b.events, [Event::Closed { by: By::Remote, code: None }]);
    pair.b.end(Time::ZERO);
    assert_eq!(pair.b.events.len(), 1);
}

#[test]
fn an_end_inside_a_record_is_a_typed_error_and_what_came_before_stays_readable() {
    let mut pair = Pair::new(|_| {});
    let (id, remote) = pair.stream();
    pair.a.write(id, b"whole");
    let whole = pair.a.tx.len();
    pair.a.write(id, b"cut");
    deliver(&mut pair.a.tx, &mut pair.b.rx);
    pair.b.rx.truncate(whole + 5);
    pair.b.end(Time::ZERO);
    let error = ConnectionError::Channel(ChannelError::Truncated { len: 5 });
    assert_eq!(pair.b.error, Some(error));
    assert_eq!(pair.b.read_all(remote), (b"whole".to_vec(), Err(ReadStreamError::Closed)));
}

#[test]
fn a_forged_record_ends_the_connection_and_what_came_before_stays_readable() {
    let mut pair = Pair::new(|_| {});
    let (id, remote) = pair.stream();
    pair.a.write(id, b"good");
    pair.settle();
    pair.a.write(id, b"bad");
    deliver(&mut pair.a.tx, &mut pair.b.rx);
    *pair.b.rx.last_mut().unwrap() ^= 1;
    pair.b.turn(Time::ZERO);
    let forged = |error: &Option<ConnectionError>| {
        matches!(error, Some(ConnectionError::Channel(ChannelError::Session(SessionError::NotAuthentic { .. }))))
    };
    assert!(forged(&pair.b.error), "{:?}", pair.b.error);
    let again = pair.b.connection.advance(Time::ZERO, &mut pair.b.rx, &mut pair.b.tx);
    assert_eq!(again.err(), pair.b.error);
    assert_eq!(pair.b.read_all(remote), (b"good".to_vec(), Err(ReadStreamError::Closed)));
    assert_eq!(pair.b.connection.write(remote, b"x", &mut pair.b.tx), Err(WriteError::Failed));
    assert!(pair.b.tx.is_empty() && pair.b.connection.is_closed());
}

#[test]
fn a_broken_rule_of_the_muxer_is_told_to_the_remote() {
    let mut pair = Pair::new(|config| config.securities = vec![SecurityKind::Plaintext]);
    pair.b.rx.extend_from_slice(&[9; 12]);
    pair.b.turn(Time::ZERO);
    assert!(matches!(pair.b.error, Some(ConnectionError::Muxer(MuxerError::Yamux(yamux::Error::Version { .. })))));
    pair.settle();
    assert_eq!(pair.a.events, [Event::GoAway { code: 1 }]);
}

#[test]
fn a_silent_remote_is_found_out() {
    let mut pair = Pair::new(|_| {});
    pair.now = pair.a.connection.deadline();
    pair.a.turn(pair.now); // pings
    assert!(!pair.a.tx.is_empty());
    let late = pair.a.connection.deadline();
    pair.a.turn(late);
    assert!(matches!(pair.a.error, Some(ConnectionError::Muxer(MuxerError::Yamux(yamux::Error::NoPong { .. })))));
}

#[test]
fn a_ping_brings_the_round_trip() {
    let mut pair = Pair::new(|_| {});
    assert!(pair.a.connection.ping(Time::ZERO, &mut pair.a.tx));
    pair.now = Time::from_millis(40);
    pair.settle();
    assert_eq!(pair.a.events, [Event::Pong { rtt: Duration::from_millis(40) }]);
    let mut pair = Pair::new(|config| config.muxers = vec![MuxerKind::Mplex]);
    assert!(!pair.a.connection.ping(Time::ZERO, &mut pair.a.tx));
}

#[test]
fn every_call_on_a_closed_connection_is_harmless() {
    for failed in [false, true] {
        let mut pair = Pair::new(|_| {});
        let (id, _) = pair.stream();
        let lazy = pair.a.open(ECHO, Selection::Plain);
        if failed {
            pair.a.rx.extend_from_slice(&[0; 64]);
            pair.a.turn(Time::ZERO);
            assert!(pair.a.error.is_some());
        } else {
            pair.a.connection.close(0, &mut pair.a.tx);
        }
        pair.a.tx.clear();
        let End { connection, rx, tx, .. } = &mut pair.a;
        for id in [id, lazy, StreamId::new(12), StreamId::new(u64::MAX)] {
            assert_eq!(connection.write(id, b"x", tx), Err(WriteError::Failed));
            assert_eq!(connection.finish(id, tx), Err(StreamError::Failed));
            assert!(connection.read(id, tx).is_err());
            let _ = connection.reset(id, 0, tx);
            assert!(connection.read(id, tx).is_err());
        }
        let opened = connection.open(Time::ZERO, &Protocols::from(ECHO), Selection::Lazy, tx);
        assert_eq!(opened, Err(OpenStreamError::Closed));
        assert_eq!(connection.open_raw(tx), Err(OpenStreamError::Closed));
        assert!(!connection.ping(Time::ZERO, tx));
        connection.go_away(1, tx);
        connection.close(2, tx);
        drop(connection.batch(tx));
        assert!(tx.is_empty());
        rx.extend_from_slice(b"more");
        let _ = connection.advance(Time::NEVER, rx, tx);
        assert_eq!(connection.end(Time::NEVER, rx, tx).is_err(), failed);
        assert!(tx.is_empty());
    }
}

/// Both ends write all they can on many streams, and nobody reads, over a pipe that holds little.
#[test]
fn two_ends_that_only_write_do_not_deadlock() {
    const PIPE: usize = 8 * 1024;
    for (muxer, security) in [(MuxerKind::Yamux, SecurityKind::Noise), (MuxerKind::Yamux, SecurityKind::Plaintext)] {
        let mut pair = Pair::new(|config| {
            config.muxers = vec![muxer];
            config.securities = vec![security];
            config.muxer.yamux.max_tx = 32 * 1024;
            config.muxer.yamux.max_replies = 1024;
        });
        let streams: Vec<_> = (0..4).map(|_| pair.stream()).collect();
        let mut sent = [[0; 4]; 2];
        let mut idle = 0;
        while idle < 3 {
            let mut moved = false;
            for (i, (ours, theirs)) in streams.iter().enumerate() {
                let [sent_a, sent_b] = &mut sent;
                for (end, id, sent) in [(&mut pair.a, ours, &mut sent_a[i]), (&mut pair.b, theirs, &mut sent_b[i])] {
                    if let Ok(count) = end.connection.write(*id, &[i as u8; 5000], &mut end.tx) {
                        *sent += count;
                        moved = true;
                    }
                    assert!(end.tx.len() < 40 * 1024);
                }
            }
            for (from, to) in [(&mut pair.a.tx, &mut pair.b.rx), (&mut pair.b.tx, &mut pair.a.rx)] {
                // A record may be longer than the pipe: what is delivered waits in the receiver's buffer.
                let count = from.len().min(PIPE);
                if to.len() <= 66 * 1024 && count > 0 {
                    to.extend_from_slice(&from[..count]);
                    from.advance(count);
                    moved = true;
                }
            }
            pair.a.turn(Time::ZERO);
            pair.b.turn(Time::ZERO);
            idle = if moved { 0 } else { idle + 1 };
        }
        for (i, (ours, theirs)) in streams.iter().enumerate() {
            // The proposal and its answer took their part.
            let window = 256 * 1024 - "\x13/multistream/1.0.0\n\x0c/echo/1.0.0\n".len();
            assert_eq!((sent[0][i], sent[1][i]), (window, window), "the whole window of each");
            assert_eq!(pair.b.read_all(*theirs).0.len(), sent[0][i]);
            assert_eq!(pair.a.read_all(*ours).0.len(), sent[1][i]);
        }
    }
}

#[test]
fn a_flood_that_asks_for_answers_grows_nothing_while_nobody_sends() {
    for psk in [None, Some(PreSharedKey::new([5; 32]))] {
        let plain = psk.is_none();
        let mut pair = Pair::new(|config| {
            config.securities = vec![if plain { SecurityKind::Plaintext } else { SecurityKind::Noise }];
            config.psk = psk.clone();
        });
        let mut b_tx = 0;
        for _ in 0..30_000 {
            if plain {
                pair.b.rx.extend_from_slice(b"\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01");
            } else {
                let id = pair.a.connection.open_raw(&mut pair.a.tx);
                if let Ok(id) = id {
                    pair.a.connection.write(id, b"?", &mut pair.a.tx).unwrap();
                    pair.a.connection.reset(id, 0, &mut pair.a.tx).unwrap();
                }
                deliver(&mut pair.a.tx, &mut pair.b.rx);
            }
            pair.b.turn(Time::ZERO);
            b_tx = b_tx.max(pair.b.tx.len());
        }
        assert!(b_tx <= 330_000, "{b_tx}");
        assert!(pair.b.connection.memory_used() <= 150_000, "{}", pair.b.connection.memory_used());
        assert_eq!(pair.b.error, None);
    }
}
