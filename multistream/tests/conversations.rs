//! Tables of whole conversations, each with every cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::std_instead_of_alloc, clippy::std_instead_of_core, clippy::cast_possible_truncation)]

mod common;

use common::*;
use core::time::Duration;
use std::sync::Arc;
use tidewire_core::{Machine, Time};
use tidewire_multistream::{
    Awaited, Config, Dialer, Error, Excerpt, List, Listener, Matcher, Protocol, Protocols, RouteId, Router,
};

/// Feeds `bytes` whole and in pieces of every small size, and lets `check` look at the result.
fn in_any_pieces<M: Machine>(make: impl Fn() -> M, bytes: &[u8], check: impl Fn(&Side<M>)) {
    for piece in (1..24).chain([usize::MAX >> 1]) {
        let mut side = Side::new(make());
        side.turn(Time::ZERO);
        side.sent.extend_from_slice(&side.tx);
        side.tx.clear();
        side.feed(bytes, piece);
        check(&side);
    }
}

#[test]
fn the_example_of_the_spec_is_spoken_byte_for_byte() {
    // "na" is 0x036e610a: multistream-select, "Protocol".
    let made = [flight(&["/ipfs/kad/1.0.0"]), frame(b"/ipfs/kad/0.2.3")].concat();
    let answers = [flight(&["na"]), frame(b"/ipfs/kad/0.2.3"), b"kad traffic".to_vec()].concat();
    assert_eq!(&answers[20..24], [0x03, 0x6e, 0x61, 0x0a]);
    in_any_pieces(
        || dialer(&["/ipfs/kad/1.0.0", "/ipfs/kad/0.2.3"]),
        &answers,
        |side| {
            assert_eq!(side.outputs.len(), 1);
            assert_eq!((side.outputs[0].protocol.as_str(), side.outputs[0].index), ("/ipfs/kad/0.2.3", 1));
            assert_eq!(side.sent, made);
            assert_eq!(&side.rx[..], b"kad traffic");
        },
    );
    let asked = [made, b"kad traffic".to_vec()].concat();
    in_any_pieces(
        || listener(&["/ipfs/kad/0.2.3"]),
        &asked,
        |side| {
            assert_eq!(side.outputs[0].protocol, "/ipfs/kad/0.2.3");
            assert_eq!(side.sent, [flight(&["na"]), frame(b"/ipfs/kad/0.2.3")].concat());
            assert_eq!(&side.rx[..], b"kad traffic");
        },
    );
}

#[test]
fn header_and_first_proposal_leave_in_one_flight() {
    let mut side = Side::new(dialer(&["/noise"]));
    side.turn(Time::ZERO);
    assert_eq!(&side.tx[..], flight(&["/noise"]));
}

#[test]
fn a_listener_answers_header_and_proposal_in_one_flight() {
    let mut side = Side::new(listener(&["/noise"]));
    side.turn(Time::ZERO);
    assert!(side.tx.is_empty());
    side.rx.extend_from_slice(&flight(&["/noise"]));
    side.turn(Time::ZERO);
    assert_eq!(&side.tx[..], flight(&["/noise"]));
}

#[test]
fn a_dialer_that_reads_before_it_proposes_is_served() {
    // py-libp2p sends its header alone, and waits for ours.
    let mut side = Side::new(listener(&["/noise"]));
    side.rx.extend_from_slice(HEADER);
    side.turn(Time::ZERO);
    assert_eq!(&side.tx[..], HEADER);
    let mut eager = Side::new(Listener::new(names(&["/noise"]), Config { eager_header: true, ..Config::default() }));
    eager.turn(Time::ZERO);
    assert_eq!(&eager.tx[..], HEADER);
    eager.feed(&flight(&["/noise"]), 1);
    assert_eq!(eager.sent, flight(&["/noise"]));
}

#[test]
fn each_refusal_brings_one_more_proposal() {
    let mut side = Side::new(dialer(&["/a", "/b", "/c"]));
    side.turn(Time::ZERO);
    side.tx.clear();
    side.feed(&flight(&["na"]), 100);
    assert_eq!(side.sent, frame(b"/b"));
    side.feed(&frame(b"na"), 100);
    assert_eq!(side.sent, [frame(b"/b"), frame(b"/c")].concat());
    assert_eq!(side.error, None);
}

#[test]
fn names_of_any_length_survive() {
    for len in [1, 22, 23, 24, 126, 127, 128, 129, 1022, 1023] {
        let long = "n".repeat(len);
        let (mut a, mut b) = (Side::new(dialer(&["/other", &long])), Side::new(listener(&[&long])));
        converse(&mut a, &mut App::new(b"", false), &mut b, &mut App::new(b"", false), 7);
        assert_eq!(a.outputs[0].protocol, long.as_str());
        assert_eq!(b.outputs[0].protocol, long.as_str());
    }
}

#[test]
fn a_dialer_names_what_came_instead() {
    let text = |text: &str| Error::Unexpected { expected: excerpt("/noise"), actual: excerpt(text) };
    let header = HEADER;
    let mut cases: Vec<(Vec<u8>, Error)> = vec![
        (flight(&["na"]), Error::Refused { proposals: names(&["/noise"]) }),
        (flight(&["/tls/1.0.0"]), text("/tls/1.0.0")),
        (flight(&["/noise/2"]), text("/noise/2")),
        (flight(&["/multistream/1.0.0"]), text("/multistream/1.0.0")),
        (flight(&["ls"]), text("ls")),
        (flight(&[&"x".repeat(60)]), text(&format!("{}...", "x".repeat(48)))),
        (frame(b"/multistream/2.0.0"), Error::BadHeader { actual: excerpt("/multistream/2.0.0") }),
        (frame(b"/noise"), Error::BadHeader { actual: excerpt("/noise") }),
        (b"\x06/noise\n".to_vec(), Error::MissingNewline { frame: excerpt("/noise") }),
        ([header, b"\x02/a"].concat(), Error::MissingNewline { frame: excerpt("/a") }),
        ([header, b"\x00"].concat(), Error::EmptyFrame),
        ([header, b"\x01\n"].concat(), Error::EmptyFrame),
        ([header, b"\x03\xff\xfe\n"].concat(), Error::NotUtf8 { frame: excerpt("\\xff\\xfe") }),
        ([header, b"\x81\x08"].concat(), Error::FrameTooLong { len: 1025, max: 1024 }),
        ([header, b"\x80\x00"].concat(), Error::BadLength),
        ([header, b"\x83\x80\x00"].concat(), Error::BadLength),
        ([header, &[0xff; 9]].concat(), Error::BadLength),
        ([header, &[0xff; 8], &[0x7f]].concat(), Error::FrameTooLong { len: (1 << 63) - 1, max: 1024 }),
    ];
    // What a listener of another kind says first.
    cases
        .push((b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html, application/json; q=0.9\r\n\r\n".to_vec(), {
            Error::MissingNewline { frame: excerpt("ET / HTTP/1.1\\r\\nHost: localhost\\r\\nAccept: text/htm...") }
        }));
    for (bytes, expected) in cases {
        in_any_pieces(
            || dialer(&["/noise"]),
            &bytes,
            |side| {
                assert_eq!(side.error.as_ref(), Some(&expected), "{:?}", bytes.escape_ascii().to_string());
                assert!(side.outputs.is_empty());
            },
        );
    }
}

#[test]
fn a_listener_names_what_came_instead() {
    let header = HEADER;
    let cases: Vec<(Vec<u8>, Error)> = vec![
        (frame(b"/noise"), Error::BadHeader { actual: excerpt("/noise") }),
        (flight(&["/multistream/1.0.0"]), Error::RepeatedHeader),
        ([header, b"\x00"].concat(), Error::EmptyFrame),
        ([header, b"\x01\n"].concat(), Error::EmptyFrame),
        ([header, b"\x02/a"].concat(), Error::MissingNewline { frame: excerpt("/a") }),
        ([header, b"\x02\x80\n"].concat(), Error::NotUtf8 { frame: excerpt("\\x80") }),
        ([header, b"\xff\x7f"].concat(), Error::FrameTooLong { len: 16383, max: 1024 }),
        ([header, b"\x8a\x00"].concat(), Error::BadLength),
    ];
    for (bytes, expected) in cases {
        in_any_pieces(
            || listener(&["/noise"]),
            &bytes,
            |side| assert_eq!(side.error.as_ref(), Some(&expected), "{:?}", bytes.escape_ascii().to_string()),
        );
    }
}

#[test]
fn the_end_of_the_input_is_an_error_wherever_something_is_still_to_come() {
    let answers = flight(&["na", "/b"]);
    for cut in 0..answers.len() {
        let mut side = Side::new(dialer(&["/a", "/b"]));
        side.feed(&answers[..cut], 1000);
        side.turn(Time::ZERO);
        side.heard_end = true;
        side.turn(Time::ZERO);
        let awaited = if cut < HEADER.len() { Awaited::Header } else { Awaited::Answer };
        assert_eq!(side.error, Some(Error::EndedEarly { awaited }), "cut at {cut}");
    }
    let asked = flight(&["/x", "/b"]);
    for cut in 0..asked.len() {
        let mut side = Side::new(listener(&["/b"]));
        side.feed(&asked[..cut], 1000);
        side.heard_end = true;
        side.turn(Time::ZERO);
        let awaited = if cut < HEADER.len() { Awaited::Header } else { Awaited::Proposal };
        assert_eq!(side.error, Some(Error::EndedEarly { awaited }), "cut at {cut}");
    }
}

#[test]
fn the_end_after_an_agreement_is_no_error() {
    let mut side = Side::new(dialer(&["/a"]));
    side.heard_end = true;
    side.rx.extend_from_slice(&flight(&["/a"]));
    side.turn(Time::ZERO);
    assert_eq!((side.outputs.len(), side.error), (1, None));
}

#[test]
fn silence_ends_in_a_timeout_that_says_what_was_awaited() {
    let config = Config { timeout: Duration::from_secs(3), ..Config::default() };
    let start = Time::from_millis(500);
    let due = start + config.timeout;

    let mut side = Side::new(Dialer::new(names(&["/a"]), config));
    assert_eq!(side.machine.deadline(), Time::ZERO, "it has something to say at once");
    side.turn(start);
    assert_eq!(side.machine.deadline(), due);
    side.turn(Time::from_millis(3499));
    assert_eq!(side.error, None);
    side.turn(due);
    assert_eq!(side.error, Some(Error::TimedOut { timeout: config.timeout, awaited: Awaited::Header }));
    assert_eq!(side.machine.deadline(), Time::NEVER);

    let mut side = Side::new(Listener::new(names(&["/a"]), config));
    side.turn(start);
    side.rx.extend_from_slice(HEADER);
    side.turn(start);
    side.turn(due);
    assert_eq!(side.error, Some(Error::TimedOut { timeout: config.timeout, awaited: Awaited::Proposal }));
}

#[test]
fn what_arrived_by_the_deadline_counts() {
    let mut side = Side::new(dialer(&["/a"]));
    side.turn(Time::ZERO);
    side.rx.extend_from_slice(&flight(&["/a"]));
    side.turn(Time::from_millis(60_000));
    assert_eq!((side.outputs.len(), side.error), (1, None));
}

#[test]
fn a_caller_with_a_deadline_of_its_own_can_turn_ours_off() {
    let mut side = Side::new(Dialer::new(names(&["/a"]), Config { timeout: Duration::MAX, ..Config::default() }));
    side.turn(Time::from_millis(1));
    assert_eq!(side.machine.deadline(), Time::NEVER);
    side.turn(Time::NEVER);
    assert_eq!(side.error, None);
}

#[test]
fn lists_that_no_dialer_may_propose_are_refused_before_anything_is_sent() {
    let mut side = Side::new(Dialer::new(Protocols::default(), Config::default()));
    side.turn(Time::ZERO);
    assert_eq!(side.error, Some(Error::NothingToPropose));
    assert!(side.tx.is_empty());
    let many: Protocols = (0..65).map(|i| name(&format!("/{i}"))).collect();
    let mut side = Side::new(Dialer::new(many, Config::default()));
    side.turn(Time::ZERO);
    assert_eq!(side.error, Some(Error::TooManyProposals { count: 65, limit: 64 }));
    assert!(side.tx.is_empty());
}

#[test]
fn the_longest_list_of_a_dialer_fits_into_the_rounds_of_a_listener() {
    let many: Protocols = (0..64).map(|i| name(&format!("/{i}"))).collect();
    let mut a = Side::new(Dialer::new(many, Config::default()));
    let mut b = Side::new(listener(&["/63"]));
    converse(&mut a, &mut App::new(b"", false), &mut b, &mut App::new(b"", false), 100);
    assert_eq!(a.outputs[0].index, 63);
    assert_eq!(b.outputs[0].protocol, "/63");
}

#[test]
fn a_router_tells_the_name_as_proposed_and_the_route() {
    let mut router = Router::new();
    router.add(name("/chat/1.2.0"), Matcher::Semver, RouteId::new(10)).unwrap();
    router.add(name("/files/"), Matcher::Prefix, RouteId::new(11)).unwrap();
    router.add(name("odd"), Matcher::Function(|name| name.len() % 2 == 1), RouteId::new(12)).unwrap();
    let router = Arc::new(router);
    let cases = [
        ("/chat/1.1.7", Some(10)),
        ("/chat/1.3.0", Some(12)),
        ("/chat/1.30.0", None),
        ("/files/a/rather/long/name/of/a/file", Some(11)),
        ("/libp2p/simultaneous-connect", None),
    ];
    for (asked, route) in cases {
        in_any_pieces(
            || Listener::routed(router.clone(), Config::default()),
            &flight(&[asked]),
            |side| {
                let got = side.outputs.first().map(|accepted| (accepted.protocol.as_str(), accepted.route.get()));
                assert_eq!(got, route.map(|route| (asked, route)));
                assert_eq!(side.sent, flight(&[if route.is_some() { asked } else { "na" }]));
            },
        );
    }
}

#[test]
fn a_name_that_no_protocol_can_have_is_not_available_even_to_a_predicate_that_takes_all() {
    let mut router = Router::new();
    router.add(name("all"), Matcher::Closure(Arc::new(|_| true)), RouteId::new(1)).unwrap();
    let router = Arc::new(router);
    in_any_pieces(
        || Listener::routed(router.clone(), Config::default()),
        &flight(&["two\nlines"]),
        |side| assert_eq!(side.sent, flight(&["na"])),
    );
}

#[test]
fn a_list_is_one_frame_of_frames_and_a_newline() {
    let expected = [HEADER, b"\x0a\x03/a\n\x04/bc\n\n"].concat();
    in_any_pieces(
        || listener(&["/a", "/bc"]),
        &flight(&["ls"]),
        |side| {
            assert_eq!(side.sent, expected);
            assert_eq!(side.error, None);
        },
    );
    in_any_pieces(
        || List::new(Config::default()),
        &expected,
        |side| {
            assert_eq!(side.outputs, [names(&["/a", "/bc"])]);
            assert_eq!(side.sent, flight(&["ls"]));
        },
    );
}

#[test]
fn an_empty_list_is_a_newline() {
    let expected = [HEADER, b"\x01\n"].concat();
    in_any_pieces(|| listener(&[]), &flight(&["ls"]), |side| assert_eq!(side.sent, expected));
    in_any_pieces(|| List::new(Config::default()), &expected, |side| assert_eq!(side.outputs, [Protocols::default()]));
}

#[test]
fn after_a_list_the_stream_goes_on() {
    let mut b = Side::new(listener(&["/a", "/b"]));
    let mut a = Side::new(List::new(Config::default()));
    while a.outputs.is_empty() {
        a.turn(Time::ZERO);
        a.deliver(&mut b, 3);
        b.turn(Time::ZERO);
        b.deliver(&mut a, 3);
    }
    let mut c = Side::new(Dialer::resume(a.outputs.remove(0), Config::default()));
    converse(&mut c, &mut App::new(b"", false), &mut b, &mut App::new(b"", false), 3);
    assert_eq!(c.outputs[0].protocol, "/a");
    assert_eq!(c.sent, frame(b"/a"));
    assert_eq!(b.outputs[0].protocol, "/a");
}

#[test]
fn a_list_of_ours_ends_before_the_first_name_that_does_not_fit() {
    let config = Config { max_list: 8, ..Config::default() };
    let mut side = Side::new(Listener::new(names(&["/a", "/bc", "/d"]), config));
    side.feed(&flight(&["ls"]), 100);
    assert_eq!(side.sent, [HEADER, b"\x05\x03/a\n\n"].concat());
}

#[test]
fn bad_lists_are_told_apart() {
    let config = Config { max_list: 64, max_listed: 2, ..Config::default() };
    let cases: [(&[u8], Error); 8] = [
        (b"\x03na\n", Error::ListRefused),
        (b"\x05\x03/a\nx", Error::MissingNewline { frame: excerpt("\\u{3}/a\\nx") }),
        (b"\x05\x09/a\n\n", Error::BadList { at: 0 }),
        (b"\x08\x03/a\n\x02\xff\n\n", Error::BadList { at: 4 }),
        (b"\x06\x03/a\n\x00\n", Error::BadList { at: 4 }),
        (b"\x0d\x03/a\n\x03/b\n\x03/c\n\n", Error::ListTooLong { limit: 2 }),
        (b"\x41", Error::FrameTooLong { len: 65, max: 64 }),
        (b"\x00", Error::EmptyFrame),
    ];
    for (bytes, expected) in cases {
        in_any_pieces(
            || List::new(config),
            &[HEADER, bytes].concat(),
            |side| assert_eq!(side.error.as_ref(), Some(&expected), "{:?}", bytes.escape_ascii().to_string()),
        );
    }
}

#[test]
fn a_list_leaves_out_the_words_of_multistream_itself() {
    let body = [frame(b"/multistream/1.0.0"), frame(b"/a"), b"\n".to_vec()].concat();
    let answer = [HEADER, &[body.len() as u8], &body].concat();
    in_any_pieces(|| List::new(Config::default()), &answer, |side| assert_eq!(side.outputs, [names(&["/a"])]));
}

#[test]
fn nothing_is_done_after_the_agreement() {
    let mut side = Side::new(dialer(&["/a"]));
    side.feed(&flight(&["/a"]), 100);
    side.sent.clear();
    side.feed(&flight(&["/a", "ls", "na"]), 5);
    assert_eq!((side.outputs.len(), side.sent.len(), side.rx.len()), (1, 0, 32));
    assert_eq!(side.machine.deadline(), Time::NEVER);
    assert_eq!(side.machine.memory_used(), 0);
}

fn excerpt(text: &str) -> Excerpt {
    Excerpt::new(text)
}

#[test]
fn protocols_are_small_and_shared() {
    assert!(size_of::<Protocol>() <= 24);
    assert!(size_of::<Dialer>() <= 256);
    assert!(size_of::<Listener>() <= 256);
}
