//! Connections and streams between two nodes over loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_possible_truncation)]
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc)]

mod common;

use common::{ECHO, echo, exchange, listen, node, node_with, pair, serve_echo};
use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};
use tidewire_core::Role;
use tidewire_multistream::Protocols;
use tidewire_std::{OpenError, PingError, Reason};
use tidewire_upgrade::connection::{By, Selection};
use tidewire_upgrade::muxer::MuxerKind;

/// Bytes that differ from place to place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 31) ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

#[test]
fn a_mebibyte_comes_back_as_it_was_sent() {
    let (client, server) = pair(&node(1), &node(2));
    serve_echo(server);
    let data = pattern(1 << 20);
    let stream = client.open(&echo(), Selection::Lazy).unwrap();
    assert!(exchange(&stream, &data) == data);
}

#[test]
fn both_ends_know_each_other_and_what_was_agreed() {
    let (a, b) = (node(1), node(2));
    let (client, server) = pair(&a, &b);
    assert_eq!((client.peer(), server.peer()), (b.peer(), a.peer()));
    assert_eq!((client.role(), server.role()), (Role::Initiator, Role::Responder));
    assert_eq!((client.security(), client.muxer()), ("/noise", MuxerKind::Yamux));
    assert!(client.remote_address().is_loopback());
}

#[test]
fn many_threads_use_many_streams_of_one_connection() {
    let (client, server) = pair(&node(1), &node(2));
    serve_echo(server);
    thread::scope(|scope| {
        for n in 0..16 {
            let client = &client;
            scope.spawn(move || {
                for round in 0..4 {
                    let data = pattern(10_000 * (n + 1) + round);
                    let selection = if round % 2 == 0 { Selection::Lazy } else { Selection::Plain };
                    let stream = client.open(&echo(), selection).unwrap();
                    assert!(exchange(&stream, &data) == data, "stream {n}.{round}");
                }
            });
        }
    });
}

#[test]
fn plain_selection_knows_the_protocol_when_it_returns() {
    let (client, server) = pair(&node(1), &node(2));
    serve_echo(server);
    let wanted = Protocols::parse(&["/echo/2.0.0", "/echo/1.0.0"]).unwrap();
    let stream = client.open(&wanted, Selection::Plain).unwrap();
    assert_eq!(stream.protocol(), Some(ECHO));
}

#[test]
fn a_lazy_stream_learns_its_protocol_later() {
    let (client, server) = pair(&node(1), &node(2));
    let stream = client.open(&echo(), Selection::Lazy).unwrap();
    serve_echo(server);
    (&stream).write_all(b"x").unwrap();
    assert_eq!(stream.negotiated().unwrap(), ECHO);
}

#[test]
fn a_lazy_refusal_shows_at_the_first_read() {
    let (client, _server) = pair(&node(1), &node(2));
    let unknown = Protocols::parse(&["/unknown/1"]).unwrap();
    let mut stream = client.open(&unknown, Selection::Lazy).unwrap();
    // It may come before this, which then fails.
    stream.write_all(b"hello?").ok();
    assert_eq!(stream.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(matches!(stream.negotiated(), Err(OpenError::Negotiation(_))));
    for late in [stream.write_all(b"hello?"), stream.shutdown()] {
        let error = late.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("reading says why"), "{error}");
    }
}

#[test]
fn a_plain_refusal_fails_the_open() {
    let (client, _server) = pair(&node(1), &node(2));
    let unknown = Protocols::parse(&["/unknown/1", "/unknown/2"]).unwrap();
    assert!(matches!(client.open(&unknown, Selection::Plain), Err(OpenError::Negotiation(_))));
}

#[test]
fn an_inbound_stream_says_its_route() {
    let (client, server) = pair(&node(1), &node(2));
    let mut stream = client.open(&echo(), Selection::Lazy).unwrap();
    stream.write_all(b"x").unwrap();
    let inbound = server.accept().unwrap();
    assert_eq!((inbound.protocol, inbound.route.get()), (ECHO, 7));
}

#[test]
fn each_direction_of_a_stream_ends_by_itself() {
    let (client, server) = pair(&node(1), &node(2));
    let mut ours = client.open(&echo(), Selection::Lazy).unwrap();
    ours.write_all(b"question").unwrap();
    ours.shutdown().unwrap();
    ours.shutdown().unwrap();
    assert_eq!(ours.write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
    let mut theirs = server.accept().unwrap().stream;
    let mut question = String::new();
    theirs.read_to_string(&mut question).unwrap();
    assert_eq!(question, "question");
    assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0, "the end stays the end");
    theirs.write_all(b"answer").unwrap();
    theirs.shutdown().unwrap();
    let mut answer = String::new();
    ours.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
    assert_eq!(ours.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn chunks_hold_all_the_bytes() {
    let (client, server) = pair(&node(1), &node(2));
    serve_echo(server);
    let data = pattern(300_000);
    let stream = client.open(&echo(), Selection::Lazy).unwrap();
    let mut to = stream.try_clone();
    let sent = data.clone();
    let writing = thread::spawn(move || to.write_all(&sent).and_then(|()| to.shutdown()).unwrap());
    let mut received = Vec::new();
    while let Some(chunk) = stream.read_chunk().unwrap() {
        received.extend_from_slice(&chunk);
    }
    writing.join().unwrap();
    assert!(received == data);
}

#[test]
fn a_short_buffer_loses_nothing_of_a_long_piece() {
    let (client, server) = pair(&node(1), &node(2));
    let mut ours = client.open(&echo(), Selection::Lazy).unwrap();
    ours.write_all(b"abcdef").unwrap();
    ours.shutdown().unwrap();
    let mut theirs = server.accept().unwrap().stream;
    let (mut two, mut rest) = ([0; 2], Vec::new());
    theirs.read_exact(&mut two).unwrap();
    theirs.read_to_end(&mut rest).unwrap();
    assert_eq!((&two, &rest[..]), (b"ab", &b"cdef"[..]));
}

#[test]
fn dropping_an_unfinished_stream_resets_it() {
    let (client, server) = pair(&node(1), &node(2));
    let mut ours = client.open(&echo(), Selection::Lazy).unwrap();
    ours.write_all(b"x").unwrap();
    let mut theirs = server.accept().unwrap().stream;
    drop(ours);
    let mut all = Vec::new();
    assert_eq!(theirs.read_to_end(&mut all).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn dropping_a_finished_stream_still_delivers_it() {
    let (client, server) = pair(&node(1), &node(2));
    let mut ours = client.open(&echo(), Selection::Lazy).unwrap();
    ours.write_all(b"fire and forget").unwrap();
    ours.shutdown().unwrap();
    drop(ours);
    let mut all = String::new();
    server.accept().unwrap().stream.read_to_string(&mut all).unwrap();
    assert_eq!(all, "fire and forget");
}

#[test]
fn a_reset_is_seen_by_the_remote_and_by_our_own_readers() {
    let (client, server) = pair(&node(1), &node(2));
    let mut ours = client.open(&echo(), Selection::Lazy).unwrap();
    ours.write_all(b"x").unwrap();
    let mut theirs = server.accept().unwrap().stream;
    theirs.read_exact(&mut [0]).unwrap();
    let mut blocked = ours.try_clone();
    let reading = thread::spawn(move || blocked.read(&mut [0]).unwrap_err().kind());
    thread::sleep(Duration::from_millis(20));
    ours.reset(5);
    assert_eq!(reading.join().unwrap(), ErrorKind::ConnectionReset);
    assert_eq!(theirs.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn the_muxers_ping_measures_a_round_trip() {
    let (client, _server) = pair(&node(1), &node(2));
    let began = Instant::now();
    let rtt = client.ping().unwrap();
    assert!(rtt > Duration::ZERO && rtt <= began.elapsed());
}

#[test]
fn mplex_carries_streams_and_has_no_ping() {
    let old = |config: &mut tidewire_upgrade::pipeline::Config| config.muxers = vec![MuxerKind::Mplex];
    let (client, server) = pair(&node_with(1, old), &node_with(2, old));
    serve_echo(server);
    assert_eq!(client.muxer(), MuxerKind::Mplex);
    assert_eq!(client.ping(), Err(PingError::Unsupported(MuxerKind::Mplex)));
    let mut stream = client.open(&echo(), Selection::Lazy).unwrap();
    stream.write_all(b"old friend").unwrap();
    stream.shutdown().unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "old friend");
}

#[test]
fn a_graceful_close_delivers_everything() {
    let (client, server) = pair(&node(1), &node(2));
    let data = pattern(200_000);
    let mut ours = client.open(&echo(), Selection::Lazy).unwrap();
    ours.write_all(&data).unwrap();
    ours.shutdown().unwrap();
    client.close(9);
    let closed = server.closed();
    assert_eq!((closed.by, closed.reason), (By::Remote, Reason::Closed(Some(9))));
    assert!(closed.received > 200_000);
    // Not even accepted yet: the stream and its bytes are still there.
    let mut received = Vec::new();
    server.accept().unwrap().stream.read_to_end(&mut received).unwrap();
    assert!(received == data);
    assert!(server.accept().is_none());
}

#[test]
fn a_closed_connection_says_so_everywhere() {
    let (client, server) = pair(&node(1), &node(2));
    let mut stream = client.open(&echo(), Selection::Lazy).unwrap();
    stream.write_all(b"x").unwrap();
    let _theirs = server.accept().unwrap();
    let waiting = {
        let client = client.clone();
        thread::spawn(move || client.accept().is_none())
    };
    client.close(0);
    assert!(waiting.join().unwrap());
    assert_eq!(client.closed().by, By::Us);
    assert!(matches!(client.open(&echo(), Selection::Lazy), Err(OpenError::Closed)));
    assert!(matches!(client.ping(), Err(PingError::Closed)));
    assert_eq!(stream.write(b"x").unwrap_err().kind(), ErrorKind::ConnectionAborted);
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionAborted);
}

#[test]
fn the_last_handle_closes_the_connection_and_a_stream_is_a_handle() {
    let (client, server) = pair(&node(1), &node(2));
    serve_echo(server.clone());
    let stream = client.open(&echo(), Selection::Lazy).unwrap();
    drop(client);
    assert_eq!(exchange(&stream, b"still here"), b"still here");
    drop(stream);
    assert_eq!(server.closed().by, By::Remote);
}

#[test]
fn after_a_go_away_streams_go_on_and_new_ones_are_refused() {
    let (client, server) = pair(&node(1), &node(2));
    serve_echo(server.clone());
    let stream = client.open(&echo(), Selection::Plain).unwrap();
    server.go_away(0);
    server.ping().unwrap(); // the answer comes behind it
    assert!(matches!(client.open(&echo(), Selection::Lazy), Err(OpenError::Open(_))));
    assert_eq!(exchange(&stream, b"goes on"), b"goes on");
}

#[test]
fn a_reader_that_waits_too_long_times_out_and_can_go_on() {
    let (client, server) = pair(&node(1), &node(2));
    let mut ours = client.open(&echo(), Selection::Lazy).unwrap();
    ours.write_all(b"x").unwrap();
    ours.set_read_timeout(Some(Duration::from_millis(30)));
    let began = Instant::now();
    assert_eq!(ours.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(began.elapsed() >= Duration::from_millis(30));
    ours.set_read_timeout(None);
    server.accept().unwrap().stream.write_all(b"y").unwrap();
    let mut answer = [0];
    assert_eq!(ours.read(&mut answer).unwrap(), 1);
    assert_eq!(&answer, b"y");
}

#[test]
fn a_writer_stops_when_nobody_reads_and_goes_on_when_somebody_does() {
    let (client, server) = pair(&node(1), &node(2));
    let mut ours = client.open(&echo(), Selection::Lazy).unwrap();
    ours.set_write_timeout(Some(Duration::from_millis(100)));
    let piece = vec![7; 64 * 1024];
    let mut sent = 0;
    let error = loop {
        match ours.write(&piece) {
            Ok(count) => sent += count,
            Err(error) => break error,
        }
        assert!(sent < 16 << 20, "nothing stops this writer");
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // The stream's window, of which the negotiation took a little.
    assert!((255 * 1024..=256 * 1024).contains(&sent), "{sent}");
    ours.set_write_timeout(None);
    let inbound = server.accept().unwrap();
    let reading = thread::spawn(move || {
        let (mut all, mut stream) = (Vec::new(), inbound.stream);
        stream.read_to_end(&mut all).unwrap();
        all.len()
    });
    ours.write_all(&piece).unwrap();
    ours.shutdown().unwrap();
    assert_eq!(reading.join().unwrap(), sent + piece.len());
}

#[test]
fn two_ends_that_both_write_without_pause_do_not_deadlock() {
    let (client, server) = pair(&node(1), &node(2));
    let ours = client.open(&echo(), Selection::Plain).unwrap();
    let theirs = server.accept().unwrap().stream;
    let data = pattern(4 << 20);
    thread::scope(|scope| {
        let other = scope.spawn(|| exchange(&theirs, &data));
        assert!(exchange(&ours, &data) == data);
        assert!(other.join().unwrap() == data);
    });
}

#[test]
fn an_idle_listener_and_its_port_are_gone_after_shutdown() {
    let server = node(2);
    let listener = listen(&server);
    let address = listener.address().clone();
    let listener = std::sync::Arc::new(listener);
    let waiting = {
        let listener = listener.clone();
        thread::spawn(move || listener.accept().unwrap_err().kind())
    };
    listener.shutdown();
    assert_eq!(waiting.join().unwrap(), ErrorKind::NotConnected);
    assert!(node(1).dial(&address).is_err());
    server.listen(&address).unwrap();
}
