//! Agreeing on a protocol, stream by stream.

use crate::support::{CHAT, ECHO, ECHO_ROUTE, Pair, router};
use core::time::Duration;
use std::sync::Arc;
use tidewire_core::{Machine, Time};
use tidewire_multistream::{Awaited, Error, Protocols};
use tidewire_upgrade::connection::{
    self, By, ConnectionError, Event, NEGOTIATION_FAILED, OpenStreamError, ReadStreamError, Selection,
};
use tidewire_upgrade::muxer::{MuxerKind, StreamError, WriteError};
use tidewire_upgrade::pipeline::{Config, Plan};

const OPENING: &[u8] = b"\x13/multistream/1.0.0\n\x0c/echo/1.0.0\n";

/// Both multiplexers, one after the other.
fn muxers(test: impl Fn(&dyn Fn(&mut Config))) {
    for kind in [MuxerKind::Yamux, MuxerKind::Mplex] {
        test(&|config: &mut Config| config.muxers = vec![kind]);
    }
}

#[test]
fn a_lazy_refusal_is_a_typed_error_at_the_first_read() {
    muxers(|muxer| {
        let mut pair = Pair::new(muxer);
        let id = pair.a.open(CHAT, Selection::Lazy);
        pair.a.write(id, b"into the void");
        assert_eq!(pair.a.read(id), Err(ReadStreamError::Blocked));
        pair.settle();
        let error = Error::Refused { proposals: CHAT.into() };
        for _ in 0..2 {
            assert_eq!(pair.a.read(id), Err(ReadStreamError::Negotiation(error.clone())));
        }
        assert_eq!(pair.a.connection.write(id, b"x", &mut pair.a.tx), Err(WriteError::Refused));
        assert_eq!(pair.a.connection.finish(id, &mut pair.a.tx), Err(StreamError::Refused));
        assert!(pair.a.events.contains(&Event::NegotiationFailed { id, by: By::Us, error }));
        // It counts until it is forgotten.
        pair.a.connection.reset(id, 0, &mut pair.a.tx).unwrap();
        assert_eq!(pair.a.read(id), Err(ReadStreamError::Unknown));
        pair.settle();
        assert_eq!((pair.a.connection.streams(), pair.b.connection.streams()), (0, 0));
    });
}

#[test]
fn write_then_close_keeps_the_data() {
    muxers(|muxer| {
        let mut pair = Pair::new(muxer);
        let id = pair.a.open(ECHO, Selection::Lazy);
        pair.a.write(id, b"and goodbye");
        pair.a.finish(id);
        pair.settle();
        let remote = pair.b.accepted()[0];
        assert_eq!(pair.b.read_all(remote), (b"and goodbye".to_vec(), Ok(())));
        pair.b.finish(remote);
        pair.settle();
        assert_eq!(pair.a.read(id), Ok(None));
    });
}

#[test]
fn streams_without_a_byte_end_well_on_both_ends() {
    for selection in [Selection::Lazy, Selection::Plain] {
        muxers(|muxer| {
            let mut pair = Pair::new(muxer);
            let id = pair.a.open(ECHO, selection);
            // Before there is an answer: it takes effect with the answer, or at once.
            pair.a.finish(id);
            pair.a.finish(id);
            assert_eq!(pair.a.connection.write(id, b"late", &mut pair.a.tx), Err(WriteError::Finished));
            pair.settle();
            let remote = pair.b.accepted()[0];
            assert_eq!(pair.b.read_all(remote), (vec![], Ok(())));
            pair.b.finish(remote);
            pair.settle();
            assert_eq!(pair.a.read_all(id), (vec![], Ok(())));
            pair.settle();
            assert_eq!((pair.a.connection.streams(), pair.b.connection.streams()), (0, 0));
        });
    }
}

#[test]
fn both_ends_open_lazily_at_once() {
    muxers(|muxer| {
        let mut pair = Pair::new(muxer);
        let from_a = pair.a.open(ECHO, Selection::Lazy);
        let from_b = pair.b.open(ECHO, Selection::Lazy);
        pair.a.write(from_a, b"from a");
        pair.b.write(from_b, b"from b");
        pair.settle();
        let (at_a, at_b) = (pair.a.accepted()[0], pair.b.accepted()[0]);
        assert_eq!(pair.a.read_all(at_a).0, b"from b");
        assert_eq!(pair.b.read_all(at_b).0, b"from a");
    });
}

#[test]
fn events_name_protocol_route_and_opener() {
    let mut pair = Pair::new(|_| {});
    let id = pair.a.open(ECHO, Selection::Plain);
    assert_eq!(pair.a.connection.write(id, b"x", &mut pair.a.tx), Err(WriteError::Blocked));
    pair.settle();
    let negotiated = |by, route| Event::Negotiated { id, protocol: ECHO, route, by };
    assert_eq!(pair.a.events, [negotiated(By::Us, None)]);
    assert_eq!(pair.b.events, [negotiated(By::Remote, Some(ECHO_ROUTE))]);
    // Who has found nothing to read is told when there is.
    assert_eq!(pair.b.read(id), Err(ReadStreamError::Blocked));
    pair.a.write(id, b"x");
    pair.a.finish(id);
    pair.settle();
    assert_eq!(pair.b.events[1..], [Event::Readable(id), Event::Finished(id)][..]);
}

#[test]
fn data_behind_a_proposal_in_the_same_frame_is_kept_and_pins_no_buffer() {
    let mut pair = Pair::new(|_| {});
    let id = pair.a.connection.open_raw(&mut pair.a.tx).unwrap();
    pair.a.write(id, &[OPENING, b"hello"].concat());
    pair.settle();
    assert!(pair.b.connection.memory_used() < 1024);
    pair.a.write(id, b" again");
    pair.settle();
    assert_eq!(pair.b.read_all(id).0, b"hello again");
    assert_eq!(pair.a.read_all(id).0, OPENING);
}

#[test]
fn an_unknown_protocol_is_answered_with_na_at_once() {
    let mut pair = Pair::new(|_| {});
    let id = pair.a.connection.open_raw(&mut pair.a.tx).unwrap();
    pair.a.write(id, b"\x13/multistream/1.0.0\n\x06/none\n");
    pair.settle();
    assert_eq!(pair.a.read_all(id).0, b"\x13/multistream/1.0.0\n\x03na\n");
    // And the stream may try another.
    pair.a.write(id, b"\x0c/echo/1.0.0\n");
    pair.settle();
    assert_eq!(pair.b.accepted(), [id]);
}

#[test]
fn our_proposal_times_out_when_no_answer_comes() {
    for selection in [Selection::Lazy, Selection::Plain] {
        let mut pair = Pair::new(|config| config.connection.router = None);
        let id = pair.a.open(ECHO, selection);
        pair.settle();
        assert_eq!(pair.b.events, [Event::Opened(id), Event::Readable(id)]);
        let deadline = pair.a.connection.deadline();
        assert_eq!(deadline, Time::from_millis(10_000));
        pair.now = deadline;
        pair.settle();
        let error = Error::TimedOut { timeout: Duration::from_secs(10), awaited: Awaited::Header };
        assert_eq!(pair.a.events, [Event::NegotiationFailed { id, by: By::Us, error: error.clone() }]);
        assert_eq!(pair.a.read(id), Err(ReadStreamError::Negotiation(error)));
        assert_eq!(pair.b.events.last(), Some(&Event::Reset { id, by: By::Remote, code: NEGOTIATION_FAILED }));
        assert!(pair.a.connection.deadline() > deadline);
    }
}

#[test]
fn a_remote_that_never_proposes_is_reset_and_forgotten() {
    let mut pair = Pair::new(|_| {});
    let id = pair.a.connection.open_raw(&mut pair.a.tx).unwrap();
    pair.a.write(id, &OPENING[..30]);
    pair.settle();
    pair.now = pair.b.connection.deadline();
    pair.settle();
    assert!(matches!(
        &pair.b.events[..],
        [Event::NegotiationFailed { by: By::Remote, error: Error::TimedOut { .. }, .. }]
    ));
    assert_eq!(pair.a.events.last(), Some(&Event::Reset { id, by: By::Remote, code: NEGOTIATION_FAILED }));
    assert_eq!(pair.b.connection.streams(), 0);
}

#[test]
fn streams_that_never_negotiate_are_bounded() {
    muxers(|muxer| {
        let mut pair = Pair::new(|config| {
            muxer(config);
            config.connection.max_negotiations = 8;
        });
        for _ in 0..50 {
            let id = pair.a.connection.open_raw(&mut pair.a.tx).unwrap();
            pair.a.write(id, b"\x13");
            pair.settle();
        }
        assert_eq!(pair.b.connection.streams(), 8);
        assert_eq!(pair.a.events.iter().filter(|event| matches!(event, Event::Reset { .. })).count(), 42);
        assert!(pair.b.connection.memory_used() < 16 * 1024, "{}", pair.b.connection.memory_used());
        // Our own are bounded too.
        for _ in 0..8 {
            pair.b.open(CHAT, Selection::Lazy);
        }
        let more = pair.b.connection.open(Time::ZERO, &Protocols::from(CHAT), Selection::Lazy, &mut pair.b.tx);
        assert_eq!(more, Err(OpenStreamError::TooManyNegotiations { limit: 8 }));
    });
}

#[test]
fn other_protocols_are_served_from_the_next_stream_on() {
    let mut pair = Pair::new(|config| config.connection.router = None);
    let (first, _) = (pair.a.open(ECHO, Selection::Plain), pair.settle());
    assert_eq!(pair.b.events, [Event::Opened(first), Event::Readable(first)]);
    let mut config = connection::Config::default();
    config.router = Some(router());
    pair.b.connection.set_config(Arc::new(config));
    let second = pair.a.open(ECHO, Selection::Plain);
    pair.settle();
    assert_eq!(pair.b.accepted(), [first, second]);
    assert!(matches!(pair.b.events[2], Event::Negotiated { .. }));
}

#[test]
fn a_list_that_cant_be_proposed_opens_no_stream() {
    let mut pair = Pair::new(|_| {});
    let none = Protocols::parse(&[]).unwrap();
    let opened = pair.a.connection.open(Time::ZERO, &none, Selection::Lazy, &mut pair.a.tx);
    assert_eq!(opened, Err(OpenStreamError::Proposals(Error::NothingToPropose)));
    assert!(pair.a.tx.is_empty() && pair.a.connection.streams() == 0);
}

#[test]
fn a_reset_before_the_answer_is_told() {
    let mut pair = Pair::new(|config| config.connection.router = None);
    let id = pair.a.open(ECHO, Selection::Plain);
    pair.settle();
    pair.b.connection.reset(id, 5, &mut pair.b.tx).unwrap();
    pair.settle();
    assert_eq!(pair.a.events, [Event::Reset { id, by: By::Remote, code: 5 }]);
    assert_eq!(pair.a.read(id), Err(ReadStreamError::Reset { by: By::Remote, code: 5 }));
}

/// Nothing of the multiplexer's is read before the answer, but its clock runs, and so does the answer's.
#[test]
fn an_assumed_muxer_that_is_never_confirmed_times_out_and_meanwhile_waits_in_peace() {
    let node = |n| crate::support::node(n, |config| config.early_muxer = false);
    let (alice, bob) = (node(1), node(2));
    let a = crate::support::start(&alice, Plan::Initiate, None, 3);
    let (a, _) = crate::support::upgrade(a, crate::support::start(&bob, Plan::Respond, None, 4));
    let mut a = a.into_end();
    a.rx.clear();
    let id = a.open(ECHO, Selection::Lazy);
    while a.connection.write(id, &[0; 8192], &mut a.tx).is_ok() {}
    a.turn(Time::ZERO);
    assert_eq!(a.connection.deadline(), Time::from_millis(10_000));
    // Room in `tx` is told before the answer comes.
    a.tx.clear();
    let other = a.open(ECHO, Selection::Lazy);
    while a.connection.write(other, &[0; 8192], &mut a.tx).is_ok() {}
    a.tx.clear();
    a.turn(Time::ZERO);
    assert_eq!(a.events, [Event::Writable(id), Event::Writable(other)]);
    a.turn(Time::from_millis(10_000));
    assert!(matches!(
        a.error,
        Some(ConnectionError::MuxerRefused { muxer: MuxerKind::Yamux, error: Error::TimedOut { .. } })
    ));
}
