//! Pings, keep-alive, going away, and the end.

use super::*;
use crate::muxer::{OpenError, StreamError, WriteError};

const SECOND: Duration = Duration::from_secs(1);

fn with_keep_alive() -> End {
    let mut end = End::new(Role::Initiator, Config::default());
    assert_eq!(end.yamux.deadline(), Time::ZERO, "it has to learn the time");
    end.hear(b"").unwrap();
    end
}

#[test]
fn a_ping_is_answered_at_once_with_its_value() {
    let mut b = End::listener();
    b.hear(&ping(SYN, 0xdead_beef)).unwrap();
    assert_eq!(b.frames(), [(Kind::Ping, ACK, 0, 0xdead_beef, Vec::new())]);
}

#[test]
fn a_ping_of_the_application_measures_the_round_trip() {
    let mut a = End::dialer();
    assert!(a.yamux.ping(a.now, &mut a.tx));
    a.yamux.ping(a.now, &mut a.tx);
    assert_eq!(a.frames(), [(Kind::Ping, SYN, 0, 0, Vec::new())], "one at a time");
    a.wait(SECOND);
    assert_eq!(a.hear(&ping(ACK, 0)), Ok([Event::Pong { rtt: SECOND }].into()));
    assert_eq!(a.yamux.rtt(), Some(SECOND));
}

#[test]
fn an_answer_that_nobody_asked_for_means_nothing() {
    let mut a = End::dialer();
    assert_eq!(a.hear(&ping(ACK, 0)), Ok(Vec::new()));
    a.yamux.ping(a.now, &mut a.tx);
    assert_eq!(a.hear(&ping(ACK, 5)), Ok(Vec::new()));
    assert_eq!(a.hear(&ping(ACK, 0)).unwrap().len(), 1);
    assert_eq!(a.hear(&ping(ACK, 0)), Ok(Vec::new()));
}

#[test]
fn a_silent_remote_is_pinged_and_then_given_up() {
    let mut a = with_keep_alive();
    assert_eq!(a.yamux.deadline(), Time::ZERO + 30 * SECOND);
    a.wait(30 * SECOND);
    a.hear(b"").unwrap();
    assert_eq!(a.frames(), [(Kind::Ping, SYN, 0, 0, Vec::new())]);
    assert_eq!(a.yamux.deadline(), Time::ZERO + 40 * SECOND);
    a.wait(10 * SECOND);
    assert_eq!(a.hear(b""), Err(Error::NoPong { waited: 10 * SECOND }));
    assert_eq!(a.frames(), [(Kind::GoAway, 0, 0, 2, Vec::new())]);
    assert_eq!(a.yamux.deadline(), Time::NEVER);
}

#[test]
fn a_remote_that_answers_is_kept() {
    let mut a = with_keep_alive();
    for value in 0..5 {
        a.wait(30 * SECOND);
        a.hear(b"").unwrap();
        assert_eq!(a.frames(), [(Kind::Ping, SYN, 0, value, Vec::new())]);
        a.wait(SECOND);
        assert_eq!(a.hear(&ping(ACK, value)), Ok(Vec::new()));
    }
}

#[test]
fn a_busy_connection_is_not_pinged() {
    let mut a = with_keep_alive();
    for _ in 0..10 {
        a.wait(29 * SECOND);
        a.hear(&update(RST, 2, 0)).unwrap();
    }
    assert!(a.tx.is_empty());
}

#[test]
fn anything_that_arrives_is_a_sign_of_life() {
    let mut a = with_keep_alive();
    a.wait(30 * SECOND);
    a.hear(b"").unwrap();
    for _ in 0..10 {
        a.wait(9 * SECOND);
        a.hear(&update(RST, 2, 0)).unwrap();
    }
    a.wait(10 * SECOND);
    assert_eq!(a.hear(b""), Err(Error::NoPong { waited: 10 * SECOND }));
}

#[test]
fn an_answer_that_came_with_a_late_call_counts() {
    let mut a = with_keep_alive();
    a.wait(30 * SECOND);
    a.hear(b"").unwrap();
    a.wait(300 * SECOND);
    assert_eq!(a.hear(&ping(ACK, 0)), Ok(Vec::new()));
}

#[test]
fn without_keep_alive_there_is_no_deadline() {
    let mut a = End::dialer();
    a.hear(b"").unwrap();
    assert_eq!(a.yamux.deadline(), Time::NEVER);
}

#[test]
fn time_that_runs_backwards_does_nothing() {
    let mut a = with_keep_alive();
    a.wait(29 * SECOND);
    a.hear(&update(RST, 2, 0)).unwrap();
    a.now = Time::ZERO;
    a.hear(b"").unwrap();
    assert_eq!(a.yamux.deadline(), Time::ZERO + 59 * SECOND);
}

#[test]
fn the_remotes_go_away_is_told_and_ends_opening_but_not_streams() {
    let (mut a, mut b) = (End::dialer(), End::listener());
    let id = a.open();
    a.write(id, b"x");
    settle(&mut a, &mut b);
    b.yamux.go_away(0x1003, &mut b.tx);
    b.write(id, b"still here");
    assert_eq!(settle(&mut a, &mut b).0, [Event::GoAway { code: 0x1003 }, Event::Readable(id)]);
    assert_eq!(a.yamux.open(&mut a.tx), Err(OpenError::GoingAway));
    a.write(id, b"me too");
    settle(&mut a, &mut b);
    assert_eq!(b.read_all(id).0, b"xme too");
}

#[test]
fn after_our_go_away_newcomers_are_reset() {
    let mut b = End::listener();
    b.yamux.go_away(0, &mut b.tx);
    assert_eq!(b.frames(), [(Kind::GoAway, 0, 0, 0, Vec::new())]);
    assert_eq!(b.hear(&data(SYN, 1, b"too late")), Ok(Vec::new()));
    assert_eq!(b.frames(), [(Kind::WindowUpdate, RST, 1, 0x1007, Vec::new())]);
    assert_eq!(b.yamux.open(&mut b.tx), Err(OpenError::GoingAway));
}

#[test]
fn what_came_before_a_failure_stays_readable() {
    let mut b = End::listener();
    let mut all = data(SYN, 1, b"keep me");
    all.extend([9; 12]);
    b.hear(&all[..19]).unwrap();
    let error = b.hear(&all[19..]).unwrap_err();
    assert_eq!(error, Error::Version { version: 9 });
    b.said();
    assert_eq!(b.read_all(id(1)), (b"keep me".to_vec(), Err(ReadError::Failed)));
    assert_eq!(b.yamux.write(id(1), b"x", usize::MAX, &mut b.tx), Err(WriteError::Failed));
    assert_eq!(b.yamux.finish(id(1), &mut b.tx), Err(StreamError::Failed));
    assert_eq!(b.yamux.open(&mut b.tx), Err(OpenError::Failed));
    b.yamux.ping(b.now, &mut b.tx);
    b.yamux.go_away(0, &mut b.tx);
    b.reset(id(1), 0);
    assert_eq!(b.yamux.streams(), 0);
    assert!(b.tx.is_empty(), "a failed connection says nothing more");
}

#[test]
fn the_end_between_frames_is_allowed_and_inside_one_it_is_not() {
    let whole = data(SYN, 1, b"12345");
    for cut in 0..=whole.len() {
        let mut b = End::listener();
        let mut rx = BytesMut::from(&whole[..cut]);
        let result = loop {
            match b.yamux.end(b.now, &mut rx, &mut b.tx) {
                Ok(Some(_)) => {}
                result => break result,
            }
        };
        let missing = if cut < 12 { 12 - cut } else { whole.len() - cut };
        if cut == 0 || missing == 0 {
            assert_eq!(result, Ok(None));
            assert_eq!(b.read_all(id(1)).1, Err(if cut == 0 { ReadError::Unknown } else { ReadError::Failed }));
        } else {
            assert_eq!(result, Err(Error::EndedInsideFrame { missing: u32::try_from(missing).unwrap() }));
        }
        assert!(b.frames().iter().all(|frame| frame.0 != Kind::GoAway), "nobody listens");
    }
}

#[test]
fn after_the_end_nobody_is_pinged_and_writing_goes_on() {
    let mut a = with_keep_alive();
    let id = a.open();
    let mut rx = BytesMut::new();
    assert_eq!(a.yamux.end(a.now, &mut rx, &mut a.tx), Ok(None));
    assert_eq!(a.yamux.deadline(), Time::NEVER);
    a.write(id, b"a last word");
    assert_eq!(a.frames(), [(Kind::Data, SYN, 1, 11, b"a last word".to_vec())]);
}
