//! Both ends of ping, alone and together.

use super::*;
use alloc::vec;
use alloc::vec::Vec;
use bytes::BytesMut;
use core::ops::ControlFlow;
use proptest::prelude::*;
use tidewire_core::laws::{App, ByteSubject, Limits, Step, check_bytes};
use tidewire_core::{Machine, Time};

fn pinger() -> Pinger {
    Pinger::new(&Config::default())
}

fn echo() -> Echo {
    Echo::new(&Config::default(), Time::ZERO)
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// What an echo says to these bytes at time 0, and what it leaves.
fn echoed(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut rx, mut tx) = (BytesMut::from(bytes), BytesMut::new());
    assert_eq!(echo().advance(Time::ZERO, &mut rx, &mut tx), Ok(None));
    (tx.to_vec(), rx.to_vec())
}

/// A pinger that sent 32 bytes of 7 at time 0.
fn waiting() -> Pinger {
    let mut pinger = pinger();
    let mut tx = BytesMut::new();
    pinger.start(Time::ZERO, [7; 32], &mut tx).unwrap();
    assert_eq!(tx, &[7; 32][..], "32 bytes, and nothing else");
    pinger
}

fn answer(pinger: &mut Pinger, now: Time, bytes: &[u8]) -> Result<Option<Pong>, PingError> {
    pinger.advance(now, &mut BytesMut::from(bytes), &mut BytesMut::new())
}

#[test]
fn the_same_bytes_come_back_and_the_time_is_measured() {
    let mut pinger = waiting();
    assert_eq!(answer(&mut pinger, at(30), &[7; 32]), Ok(Some(Pong { rtt: Duration::from_millis(30) })));
    assert_eq!(pinger.deadline(), Time::NEVER);
}

#[test]
fn several_pings_go_over_one_stream() {
    let (mut pinger, mut echo) = (pinger(), echo());
    let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
    for round in 0..20u8 {
        let (start, millis) = (at(u64::from(round) * 1000), u64::from(round));
        pinger.start(start, [round; 32], &mut there).unwrap();
        echo.advance(start, &mut there, &mut back).unwrap();
        let pong = pinger.advance(start + Duration::from_millis(millis), &mut back, &mut there);
        assert_eq!(pong, Ok(Some(Pong { rtt: Duration::from_millis(millis) })));
    }
    assert!(there.is_empty() && back.is_empty());
    assert_eq!(echo.end(at(19_000), &mut there, &mut back), Ok(None));
    assert_eq!(pinger.end(at(19_000), &mut back, &mut there), Ok(None));
}

#[test]
fn a_second_ping_waits_for_the_first_answer() {
    let mut pinger = waiting();
    let mut tx = BytesMut::new();
    assert_eq!(pinger.start(at(1), [8; 32], &mut tx), Err(StartError::UnderWay));
    assert!(tx.is_empty(), "nothing was written");
    assert!(answer(&mut pinger, at(2), &[7; 32]).unwrap().is_some(), "and the first is not disturbed");
}

#[test]
fn a_wrong_answer_is_refused_at_its_first_wrong_byte() {
    let mut bytes = [7; 20];
    bytes[19] = 8;
    let mut pinger = waiting();
    assert_eq!(answer(&mut pinger, at(1), &bytes), Err(PingError::WrongEcho { at: 19 }));
    assert_eq!(answer(&mut pinger, at(1), &[7; 32]), Err(PingError::WrongEcho { at: 19 }), "for good");
    let error = StartError::Failed(PingError::WrongEcho { at: 19 });
    assert_eq!(pinger.start(at(1), [1; 32], &mut BytesMut::new()), Err(error));
}

#[test]
fn an_answer_to_nothing_is_refused() {
    assert_eq!(answer(&mut pinger(), at(1), &[0]), Err(PingError::Unasked));
    let mut pinger = waiting();
    let mut rx = BytesMut::from(&[7; 33][..]);
    assert!(pinger.advance(at(1), &mut rx, &mut BytesMut::new()).unwrap().is_some());
    assert_eq!(pinger.advance(at(1), &mut rx, &mut BytesMut::new()), Err(PingError::Unasked));
}

#[test]
fn a_ping_without_an_answer_times_out() {
    let mut pinger = waiting();
    assert_eq!(pinger.deadline(), at(60_000));
    assert_eq!(answer(&mut pinger, at(59_999), &[7; 31]), Ok(None));
    let error = PingError::Timeout { after: Duration::from_secs(60) };
    assert_eq!(answer(&mut pinger, at(60_000), &[7; 31]), Err(error));
}

#[test]
fn an_answer_that_is_there_counts_however_late_we_look() {
    assert_eq!(answer(&mut waiting(), at(90_000), &[7; 32]), Ok(Some(Pong { rtt: Duration::from_secs(90) })));
}

#[test]
fn the_end_before_the_answer_is_a_fault() {
    for got in 0..32 {
        let mut pinger = waiting();
        let mut rx = BytesMut::from(&[7; 32][..got]);
        assert_eq!(pinger.end(at(1), &mut rx, &mut BytesMut::new()), Err(PingError::Ended), "{got}");
    }
    let mut rx = BytesMut::from(&[7; 32][..]);
    assert!(waiting().end(at(1), &mut rx, &mut BytesMut::new()).unwrap().is_some());
    assert_eq!(pinger().end(at(1), &mut BytesMut::new(), &mut BytesMut::new()), Ok(None));
}

#[test]
fn an_echo_sends_back_each_ping_that_is_complete_and_never_more() {
    let bytes: Vec<u8> = (0..100).collect();
    for len in 0..=100 {
        let whole = len / SIZE * SIZE;
        assert_eq!(echoed(&bytes[..len]), (bytes[..whole].to_vec(), bytes[whole..len].to_vec()), "{len}");
    }
}

#[test]
fn an_echo_ends_between_two_pings_and_not_within_one() {
    let mut tx = BytesMut::new();
    for got in 0..64 {
        let mut rx = BytesMut::from(&[1; 64][..got]);
        let expected = if got % SIZE == 0 { Ok(None) } else { Err(PingError::Truncated { got: got % SIZE }) };
        assert_eq!(echo().end(at(1), &mut rx, &mut tx), expected, "{got}");
    }
}

#[test]
fn a_silent_stream_is_given_up() {
    let mut echo = echo();
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    assert_eq!(echo.deadline(), at(30_000));
    rx.extend_from_slice(&[1; 40]);
    assert_eq!(echo.advance(at(29_999), &mut rx, &mut tx), Ok(None));
    assert_eq!(echo.deadline(), at(59_999), "a ping begins the time anew, a part of one does not");
    assert_eq!(echo.advance(at(59_998), &mut rx, &mut tx), Ok(None));
    let error = PingError::Idle { after: Duration::from_secs(30) };
    assert_eq!(echo.advance(at(59_999), &mut rx, &mut tx), Err(error.clone()));
    assert_eq!(echo.end(at(60_000), &mut rx, &mut tx), Err(error), "for good");
}

/// CVE-2024-32984 was output without bound under a flood of pings.
#[test]
fn a_flood_of_pings_that_nobody_reads_is_not_read_on() {
    let mut echo = echo();
    let (mut rx, mut tx) = (BytesMut::from(&vec![1; 1 << 20][..]), BytesMut::new());
    assert_eq!(echo.advance(Time::ZERO, &mut rx, &mut tx), Ok(None));
    assert_eq!((tx.len(), rx.len()), (1024, (1 << 20) - 1024));
    tx.clear();
    assert_eq!(echo.advance(Time::ZERO, &mut rx, &mut tx), Ok(None));
    assert_eq!((tx.len(), rx.len()), (1024, (1 << 20) - 2048), "when that was sent it goes on");
}

#[test]
fn an_echo_keeps_nothing() {
    assert_eq!((echo().memory_used(), pinger().memory_used()), (0, 0));
    assert!(size_of::<Echo>() <= 64 && size_of::<Pinger>() <= 80);
}

#[test]
fn the_names_are_those_of_the_spec() {
    assert_eq!(PING, "/ipfs/ping/1.0.0");
    assert_eq!((SIZE, MAX_INBOUND), (32, 2));
}

struct Echoing;

impl ByteSubject for Echoing {
    type Machine = Echo;

    fn machine(&self) -> Echo {
        echo()
    }
}

#[test]
fn the_echo_keeps_the_laws() {
    let bytes: Vec<u8> = (0..80).collect();
    let limits = Limits { memory: 0, tx: 1024 + 31, places: 64, may_merge: false };
    let (five, forty) = (Step::Wait(Duration::from_secs(5)), Step::Wait(Duration::from_secs(40)));
    let flood = [Step::bytes(&bytes), five.clone(), Step::bytes(&bytes[..16]), five, Step::bytes(vec![9; 2000])];
    check_bytes(&Echoing, &flood, limits).unwrap();
    let silence = [Step::bytes(&bytes), forty, Step::bytes(&bytes)];
    check_bytes(&Echoing, &silence, limits).unwrap();
}

/// Pings three times, each when the one before was answered.
struct Pinging;

impl ByteSubject for Pinging {
    type Machine = Pinger;

    fn machine(&self) -> Pinger {
        pinger()
    }

    fn start(&self, app: App<'_, Pinger>) {
        app.machine.start(app.now, [1; 32], app.tx).unwrap();
    }

    fn on_output(&self, app: App<'_, Pinger>, pong: Pong) -> ControlFlow<()> {
        app.seen.note(pong);
        app.machine.start(app.now, [2; 32], app.tx).unwrap();
        ControlFlow::Continue(())
    }
}

#[test]
fn the_pinger_keeps_the_laws() {
    let answers = [[1; 32], [2; 32], [2; 32]].concat();
    let script = [
        Step::Wait(Duration::from_millis(20)),
        Step::bytes(&answers[..50]),
        Step::Wait(Duration::from_millis(20)),
        Step::bytes(&answers[50..]),
        Step::Wait(Duration::from_secs(90)),
        Step::bytes(b"late"),
    ];
    check_bytes(&Pinging, &script, Limits { memory: 0, tx: 128, ..Limits::default() }).unwrap();
}

proptest! {
    /// The echo beside its model: the whole pings of all that came, in order.
    #[test]
    fn whatever_the_cuts_the_answer_is_the_whole_pings(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..20),
        send in any::<bool>(),
    ) {
        let (mut echo, mut rx, mut tx, mut sent) = (echo(), BytesMut::new(), BytesMut::new(), Vec::new());
        for piece in &pieces {
            rx.extend_from_slice(piece);
            prop_assert_eq!(echo.advance(Time::ZERO, &mut rx, &mut tx), Ok(None));
            if send {
                sent.extend_from_slice(&tx);
                tx.clear();
            }
        }
        loop {
            prop_assert_eq!(echo.advance(Time::ZERO, &mut rx, &mut tx), Ok(None));
            if tx.is_empty() {
                break;
            }
            sent.extend_from_slice(&tx);
            tx.clear();
        }
        let all = pieces.concat();
        prop_assert_eq!(&sent[..], &all[..all.len() / SIZE * SIZE]);
    }

    /// Only the bytes that were sent are an answer.
    #[test]
    fn only_the_same_bytes_are_an_answer(payload in any::<[u8; 32]>(), flip in any::<[u8; 32]>(), cut in 0usize..=32) {
        let mut pinger = pinger();
        pinger.start(Time::ZERO, payload, &mut BytesMut::new()).unwrap();
        let back: Vec<u8> = payload.iter().zip(flip).map(|(byte, flip)| byte ^ (flip & 1)).collect();
        let expected = match flip[..cut].iter().position(|flip| flip & 1 == 1) {
            Some(at) => Err(PingError::WrongEcho { at }),
            None if cut == 32 => Ok(Some(Pong { rtt: Duration::ZERO })),
            None => Ok(None),
        };
        prop_assert_eq!(answer(&mut pinger, Time::ZERO, &back[..cut]), expected);
    }
}
