//! Streams over real sockets: data both ways, protocols, time, back-pressure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};
use support::*;
use tidewire_host::link::OpenFault;
use tidewire_std::{
    By, DialOptions, Matcher, MuxerKind, NodeConfig, OpenFailure, OpenOptions, Protocol, Protocols, ReadStreamError,
    RequestError, WriteError,
};

#[test]
fn a_mebibyte_comes_back_over_a_lazy_stream() {
    let (a, _b, _talks) = pair();
    round_trip(&open(&a, ECHO), 1 << 20, 1);
}

#[test]
fn a_mebibyte_comes_back_over_a_plainly_negotiated_stream() {
    let (a, _b, _talks) = pair();
    let wanted = Protocols::parse(&["/echo/2.0.0", "/echo/1.0.0"]).unwrap();
    let stream = a.open(id(2), &wanted, plain()).unwrap();
    assert_eq!(stream.protocol(), &ECHO);
    round_trip(&stream, 1 << 20, 2);
}

#[test]
fn twenty_mebibytes_come_back() {
    let (a, _b, _talks) = pair();
    round_trip(&open(&a, ECHO), 20 << 20, 3);
}

#[test]
fn mplex_carries_streams_too() {
    let mut config = NodeConfig::default();
    config.upgrade.muxers = vec![MuxerKind::Mplex];
    let (a, _b, _talks) = pair_of(node_with(1, config.clone()), node_with(2, config));
    round_trip(&open(&a, ECHO), 1 << 20, 5);
}

#[test]
fn many_threads_use_many_streams_of_one_connection() {
    let (a, _b, _talks) = pair();
    thread::scope(|scope| {
        for n in 0..16 {
            let a = &a;
            scope.spawn(move || {
                for round in 0..4 {
                    let options = if round % 2 == 0 { OpenOptions::default() } else { plain() };
                    let stream = a.open(id(2), &ECHO.into(), options).unwrap();
                    round_trip(&stream, 10_000 * (n + 1) + round, n);
                }
            });
        }
    });
    assert_eq!((a.counters().streams >= 64, a.counters().opened_outbound), (true, 1));
    until(|| a.counters().streams_outbound == 0);
}

#[test]
fn two_ends_that_both_write_without_pause_do_not_deadlock() {
    let (a, _b, mut talks) = pair();
    let ours = a.open(id(2), &TALK.into(), plain()).unwrap();
    let theirs = talks.next().unwrap().stream;
    let sent = data(4 << 20, 1);
    let exchange = |stream: &tidewire_std::Stream| {
        thread::scope(|scope| {
            scope.spawn(|| {
                { stream }.write_all(&sent).unwrap();
                stream.shutdown().unwrap();
            });
            stream.read_all(sent.len()).unwrap() == sent
        })
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| exchange(&theirs));
        assert!(exchange(&ours));
        assert!(other.join().unwrap());
    });
}

#[test]
fn a_handler_learns_who_speaks_and_what() {
    let (a, b, _talks) = pair();
    let mut any = b.handle(Protocol::from_static("/any/"), Matcher::Prefix).unwrap();
    let mut stream = a.open(id(2), &Protocols::parse(&["/any/7"]).unwrap(), OpenOptions::default()).unwrap();
    stream.write_all(b"x").unwrap();
    let inbound = any.next().unwrap();
    assert_eq!((inbound.peer, inbound.protocol.as_str()), (id(1), "/any/7"));
}

#[test]
fn a_later_handler_takes_the_place_of_the_earlier_and_ends_it() {
    let (a, b, mut old) = pair();
    let mut new = b.handle(TALK, Matcher::Exact).unwrap();
    assert!(old.next().is_none());
    drop(old);
    open(&a, TALK).write_all(b"x").unwrap();
    new.next().unwrap();
    drop(new);
    until(|| b.host(|host| host.profile().is_some_and(|profile| !profile.protocols.contains(&TALK))));
    let error = a.open(id(2), &TALK.into(), plain()).unwrap_err();
    assert_eq!(error, OpenFailure::Link(OpenFault::Unsupported));
}

#[test]
fn streams_that_nobody_takes_are_reset() {
    let mut config = NodeConfig::default();
    config.max_incoming = 2;
    let (a, _b, mut talks) = pair_of(node(1), node_with(2, config));
    let mut streams: Vec<_> = (0..3).map(|_| a.open(id(2), &TALK.into(), plain()).unwrap()).collect();
    let error = streams[2].read(&mut [0]).unwrap_err();
    assert_eq!(inner::<ReadStreamError>(&error), ReadStreamError::Reset { by: By::Remote, code: 0x1002 });
    assert_eq!((talks.next().is_some(), talks.next().is_some()), (true, true));
    assert!(talks.next_within(Duration::from_millis(20)).is_none());
}

#[test]
fn a_request_is_answered_in_one_call() {
    let (a, _b, talks) = pair();
    assert_eq!(a.request(id(2), ECHO, b"what?", 100).unwrap(), "what?");
    let error = a.request(id(2), ECHO, &[0; 101], 100).unwrap_err();
    assert!(matches!(error, RequestError::TooLong { max: 100 }), "{error}");
    a.send(id(2), TALK, b"know this").unwrap();
    let inbound = talks.into_iter().next().unwrap();
    assert_eq!(inbound.stream.read_all(100).unwrap(), "know this");
}

#[test]
fn a_request_without_an_answer_ends_in_time() {
    let mut config = NodeConfig::default();
    config.request_timeout = Duration::from_millis(100);
    let (a, _b, _talks) = pair_of(node_with(1, config), node(2));
    let began = Instant::now();
    let error = a.request(id(2), TALK, b"anyone?", 100).unwrap_err();
    assert!(matches!(error, RequestError::TimedOut { .. }), "{error}");
    assert!((100..2000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    // Nor does it wait longer for a stream.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = vec![tidewire_std::Multiaddr::tcp(silent.local_addr().unwrap())];
    let ttl = Duration::from_secs(60);
    a.command(tidewire_std::Command::Addresses { peer: id(3), addresses, ttl }).unwrap();
    let error = a.request(id(3), TALK, b"anyone?", 100).unwrap_err();
    assert!(matches!(error, RequestError::TimedOut { .. }), "{error}");
}

#[test]
fn a_lazy_refusal_shows_at_the_first_read() {
    let (a, _b, _talks) = pair();
    let unknown = Protocols::parse(&["/unknown/1"]).unwrap();
    let mut stream = a.open(id(2), &unknown, OpenOptions::default()).unwrap();
    // It may come before this, which then fails.
    stream.write_all(b"hello?").ok();
    let error = stream.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(matches!(inner::<ReadStreamError>(&error), ReadStreamError::Negotiation(_)));
    assert!(stream.write_all(b"too late").is_err() && stream.shutdown().is_err());
}

#[test]
fn whether_the_remote_speaks_a_lazy_protocol_can_be_waited_for() {
    let (a, _b, mut talks) = pair();
    let mut agreed = open(&a, TALK);
    agreed.negotiated().unwrap();
    agreed.negotiated().unwrap();
    agreed.write_all(b"x").unwrap();
    // What both ends knew from the beginning is known at once.
    let inbound = talks.next().unwrap().stream;
    inbound.negotiated().unwrap();
    a.open(id(2), &ECHO.into(), plain()).unwrap().negotiated().unwrap();
    // Nothing of what follows is taken away.
    assert_eq!(inbound.read_chunk().unwrap().unwrap(), "x");
}

#[test]
fn who_waits_for_a_protocol_that_is_refused_learns_why() {
    let (a, _b, _talks) = pair();
    let error = open(&a, NOPE).negotiated().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(matches!(inner::<ReadStreamError>(&error), ReadStreamError::Negotiation(_)), "{error}");
    assert!(error.to_string().contains("/nope"), "{error}");
}

#[test]
fn who_waits_for_a_protocol_hears_of_the_connections_end() {
    let (a, b) = (node(1), node(2));
    let proxy = Proxy::new(&listen(&b));
    a.connect(&proxy.address).unwrap();
    proxy.silence();
    let stream = open(&a, ECHO);
    stream.set_read_timeout(Some(Duration::from_millis(20)));
    assert_eq!(stream.negotiated().unwrap_err().kind(), ErrorKind::TimedOut, "it is not known yet");
    stream.set_read_timeout(None);
    let waiting = thread::spawn(move || stream.negotiated().unwrap_err());
    proxy.cut();
    let error = soon(move || waiting.join().unwrap());
    assert_eq!(inner::<ReadStreamError>(&error), ReadStreamError::Closed);
}

#[test]
fn each_open_is_answered_once_also_when_its_connection_ends_meanwhile() {
    // Who is not told of another address dials through the proxy only.
    let mut quiet = NodeConfig::default();
    quiet.host.identify = false;
    let (a, log) = watched(1, quiet.clone());
    let b = node_with(2, quiet);
    let (proxy, mut failed) = (Proxy::new(&listen(&b)), 0);
    for round in 0..12_u64 {
        let mut new = DialOptions::default();
        new.forced = true;
        a.connect_to(id(2), std::slice::from_ref(&proxy.address), new).unwrap();
        let opening: Vec<_> = (0..40)
            .map(|i| {
                let (a, protocol) = (a.clone(), if i % 4 == 0 { NOPE } else { ECHO });
                let mut options = if i % 2 == 0 { plain() } else { OpenOptions::default() };
                options.dial = false;
                thread::spawn(move || a.open(id(2), &protocol.into(), options).is_err())
            })
            .collect();
        thread::sleep(Duration::from_micros(round * 200));
        proxy.cut();
        failed += opening.into_iter().filter_map(|one| soon(move || one.join().unwrap()).then_some(())).count();
        until(|| a.counters().peers == 0);
    }
    let mut told = log.failed_opens();
    assert_eq!(told.len(), failed, "who failed was told, and nobody else");
    told.sort();
    told.dedup();
    assert_eq!(told.len(), failed, "and nobody twice");
    assert!(failed > 0, "{failed}");
    assert_eq!(a.host(|host| host.openings().count()), 0);
}

#[test]
fn a_plain_refusal_fails_the_open() {
    let (a, _b, _talks) = pair();
    let unknown = Protocols::parse(&["/unknown/1", "/unknown/2"]).unwrap();
    assert_eq!(a.open(id(2), &unknown, plain()).unwrap_err(), OpenFailure::Link(OpenFault::Unsupported));
    // The connection is as good as before.
    round_trip(&open(&a, ECHO), 100, 0);
    assert_eq!(a.counters().opened_outbound, 1);
}

#[test]
fn each_direction_of_a_stream_ends_by_itself() {
    let (a, _b, mut talks) = pair();
    let mut ours = open(&a, TALK);
    ours.write_all(b"question").unwrap();
    ours.shutdown().unwrap();
    ours.shutdown().unwrap();
    assert_eq!(inner::<WriteError>(&ours.write(b"more").unwrap_err()), WriteError::Finished);
    let mut theirs = talks.next().unwrap().stream;
    assert_eq!(theirs.read_all(100).unwrap(), "question");
    assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0, "the end stays the end");
    theirs.write_all(b"answer").unwrap();
    theirs.shutdown().unwrap();
    let mut answer = String::new();
    ours.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    assert_eq!(ours.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_short_buffer_loses_nothing_of_a_long_piece() {
    let (a, _b, mut talks) = pair();
    let mut ours = open(&a, TALK);
    ours.write_all(b"abcdef").unwrap();
    ours.shutdown().unwrap();
    let mut theirs = talks.next().unwrap().stream;
    let (mut two, mut rest) = ([0; 2], Vec::new());
    theirs.read_exact(&mut two).unwrap();
    theirs.read_to_end(&mut rest).unwrap();
    assert_eq!((&two, &rest[..]), (b"ab", &b"cdef"[..]));
}

#[test]
fn more_than_was_wanted_is_an_error() {
    let (a, _b, mut talks) = pair();
    let mut ours = open(&a, TALK);
    ours.write_all(b"abcdef").unwrap();
    assert_eq!(talks.next().unwrap().stream.read_all(5).unwrap_err().kind(), ErrorKind::FileTooLarge);
}

#[test]
fn a_stream_that_is_dropped_unfinished_is_reset() {
    let (a, _b, mut talks) = pair();
    let mut stream = open(&a, TALK);
    stream.write_all(b"half a").unwrap();
    let mut inbound = talks.next().unwrap().stream;
    drop(stream);
    let mut received = Vec::new();
    let error = inbound.read_to_end(&mut received).unwrap_err();
    assert!(matches!(inner::<ReadStreamError>(&error), ReadStreamError::Reset { .. }));
    assert_eq!(received, b"half a");
}

#[test]
fn a_stream_lives_as_long_as_one_of_its_handles() {
    let (a, _b, mut talks) = pair();
    let stream = open(&a, TALK);
    let mut other = stream.clone();
    drop(stream);
    other.write_all(b"still here").unwrap();
    other.shutdown().unwrap();
    assert_eq!(talks.next().unwrap().stream.read_all(100).unwrap(), "still here");
}

#[test]
fn a_stream_that_is_finished_and_dropped_still_delivers() {
    let (a, _b, mut talks) = pair();
    let mut stream = open(&a, TALK);
    stream.write_all(&data(100_000, 1)).unwrap();
    stream.shutdown().unwrap();
    drop(stream);
    let inbound = talks.next().unwrap().stream;
    assert!(inbound.read_all(1 << 20).unwrap() == data(100_000, 1));
    inbound.shutdown().unwrap();
    until(|| a.counters().streams_outbound == 0);
}

#[test]
fn a_reset_is_seen_by_the_remote_with_its_code_and_by_our_own_readers() {
    let (a, _b, mut talks) = pair();
    let mut ours = open(&a, TALK);
    ours.write_all(b"x").unwrap();
    let mut theirs = talks.next().unwrap().stream;
    theirs.read_exact(&mut [0]).unwrap();
    let mut blocked = ours.clone();
    let reading = thread::spawn(move || blocked.read(&mut [0]).unwrap_err().kind());
    thread::sleep(Duration::from_millis(20));
    ours.reset(5);
    assert_eq!(soon(move || reading.join().unwrap()), ErrorKind::ConnectionReset);
    let error = theirs.read(&mut [0]).unwrap_err();
    assert_eq!(inner::<ReadStreamError>(&error), ReadStreamError::Reset { by: By::Remote, code: 5 });
    assert_eq!(ours.write(b"x").unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(ours.shutdown().unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn two_readers_of_one_stream_take_turns_and_neither_is_forgotten() {
    let (a, _b, mut talks) = pair();
    let mut stream = open(&a, TALK);
    stream.write_all(b"x").unwrap();
    let mut theirs = talks.next().unwrap().stream;
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = stream.clone();
            thread::spawn(move || {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                byte[0]
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(20));
    for byte in [1, 2] {
        theirs.write_all(&[byte]).unwrap();
        thread::sleep(Duration::from_millis(5));
    }
    let mut read: Vec<u8> = soon(move || readers.into_iter().map(|reader| reader.join().unwrap()).collect());
    read.sort_unstable();
    assert_eq!(read, [1, 2]);
}

#[test]
fn a_reader_that_waits_too_long_times_out_and_can_go_on() {
    let (a, _b, mut talks) = pair();
    let mut ours = open(&a, TALK);
    ours.write_all(b"x").unwrap();
    ours.set_read_timeout(Some(Duration::from_millis(30)));
    let began = Instant::now();
    assert_eq!(ours.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(began.elapsed() >= Duration::from_millis(30));
    ours.set_read_timeout(None);
    talks.next().unwrap().stream.write_all(b"y").unwrap();
    let mut answer = [0];
    assert_eq!(ours.read(&mut answer).unwrap(), 1);
    assert_eq!(&answer, b"y");
}

#[test]
fn a_writer_stops_when_nobody_reads_and_goes_on_when_somebody_does() {
    let (a, _b, mut talks) = pair();
    let mut ours = open(&a, TALK);
    ours.set_write_timeout(Some(Duration::from_millis(200)));
    let piece = vec![7; 64 * 1024];
    let mut sent = 0;
    let error = loop {
        match ours.write(&piece) {
            Ok(count) => sent += count,
            Err(error) => break error,
        }
        assert!(sent < 2 << 20, "a writer that nobody reads from went on");
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // What the window allows, and not more: yamux's initial 256 KiB, some of it used to propose the protocol.
    let window = 256 * 1024;
    assert!(sent <= window && sent > window - 100, "{sent}");
    // Another stream is not held up, and the first goes on once it is read.
    round_trip(&open(&a, ECHO), 300_000, 4);
    ours.set_write_timeout(None);
    let theirs = talks.next().unwrap().stream;
    let reading = thread::spawn(move || theirs.read_all(1 << 20).unwrap().len());
    ours.write_all(&piece).unwrap();
    ours.shutdown().unwrap();
    assert_eq!(reading.join().unwrap(), sent + piece.len());
}

#[test]
fn what_arrived_before_a_connection_ended_is_still_read() {
    let (a, b, mut talks) = pair();
    let mut stream = open(&a, TALK);
    stream.write_all(&data(200_000, 3)).unwrap();
    let mut inbound = talks.next().unwrap().stream;
    // Closing sends what was written first.
    a.shutdown();
    let mut received = Vec::new();
    let error = inbound.read_to_end(&mut received).unwrap_err();
    assert_eq!(inner::<ReadStreamError>(&error), ReadStreamError::Closed);
    assert!(received == data(200_000, 3), "{}", received.len());
    assert!(stream.read(&mut [0]).is_err() && stream.write(b"x").is_err());
    drop(b);
}

#[test]
fn who_waits_for_a_stream_hears_of_the_connections_end() {
    let (a, b, mut talks) = pair();
    let mut stream = open(&a, TALK);
    stream.write_all(b"x").unwrap();
    let _theirs = talks.next().unwrap();
    let reading = thread::spawn(move || stream.read(&mut [0]).unwrap_err().kind());
    thread::sleep(Duration::from_millis(20));
    b.shutdown();
    assert_eq!(soon(move || reading.join().unwrap()), ErrorKind::ConnectionAborted);
}
