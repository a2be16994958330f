//! Both ends of ping with a stream between them that cuts, and may flip, what it carries: an answer is the same bytes or an
//! error, and the echo never says more than it heard.
#![no_main]

use arbitrary::Arbitrary;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;
use tidewire_core::{Machine, Time};
use tidewire_host::ping::{Config, Echo, PingError, Pinger, SIZE, StartError};

#[derive(Arbitrary, Debug)]
enum Op {
    Start([u8; 4]),
    /// Up to this many bytes arrive there, or here.
    There(u8),
    Back(u8),
    /// The byte with this number on its way back is changed.
    Flip(u8),
    Wait(u16),
    Garbage(Vec<u8>),
    EndThere,
    EndHere,
}

fuzz_target!(|ops: Vec<Op>| {
    let config = Config::default();
    let (mut pinger, mut echo, mut now) = (Pinger::new(&config), Echo::new(&config, Time::ZERO), Time::ZERO);
    // On their way, and arrived.
    let (mut there, mut there_rx, mut back, mut back_rx) =
        (BytesMut::new(), BytesMut::new(), BytesMut::new(), BytesMut::new());
    let (mut heard, mut said, mut sent_at, mut flipped) = (0, 0, Time::ZERO, false);
    let mut none = BytesMut::new();
    for op in ops.into_iter().take(400) {
        match op {
            Op::Start(bytes) => {
                let mut payload = [7; SIZE];
                payload[..4].copy_from_slice(&bytes);
                let (waiting, before) = (pinger.is_waiting(), there.len());
                match pinger.start(now, payload, &mut there) {
                    Ok(()) => (sent_at, flipped) = (now, !back.is_empty() || !back_rx.is_empty()),
                    Err(StartError::UnderWay) => assert!(waiting && there.len() == before),
                    Err(_) => assert!(!waiting && there.len() == before),
                }
            }
            Op::There(count) => {
                let count = there.len().min(count.into());
                there_rx.extend_from_slice(&there.split_to(count));
                heard += count;
                let before = back.len();
                if echo.advance(now, &mut there_rx, &mut back).is_err() {
                    assert!(echo.deadline() == Time::NEVER);
                }
                said += back.len() - before;
                assert!(said <= heard && (said + there_rx.len() == heard) && said % SIZE == 0);
            }
            Op::Back(count) => {
                let count = back.len().min(count.into());
                back_rx.extend_from_slice(&back.split_to(count));
                let _ = answer(&mut pinger, now, &mut back_rx, sent_at, flipped);
            }
            Op::Flip(at) => {
                if let Some(byte) = back.get_mut(usize::from(at)) {
                    *byte ^= 1;
                    flipped = true;
                }
            }
            Op::Wait(millis) => {
                now = now + Duration::from_millis(millis.into());
                let (pinger_due, echo_due) = (pinger.deadline(), echo.deadline());
                let before = back.len();
                let silent = echo.advance(now, &mut there_rx, &mut back);
                said += back.len() - before;
                assert!(silent.is_ok() || echo_due <= now || echo_due.is_never(), "before its time");
                if answer(&mut pinger, now, &mut back_rx, sent_at, flipped)
                    == Err(PingError::Timeout { after: config.timeout })
                {
                    assert!(pinger_due <= now || pinger_due.is_never());
                }
            }
            Op::Garbage(bytes) => {
                back.extend_from_slice(&bytes);
                flipped |= !bytes.is_empty();
            }
            Op::EndThere => {
                let left = there_rx.len();
                let before = back.len();
                let end = echo.end(now, &mut there_rx, &mut back);
                said += back.len() - before;
                assert!(end.is_err() || left % SIZE == 0 || there_rx.len() >= SIZE, "the end within a ping");
            }
            Op::EndHere => {
                let waiting = pinger.is_waiting();
                let end = pinger.end(now, &mut back_rx, &mut none);
                assert!(end.is_err() || !waiting || matches!(end, Ok(Some(_))));
            }
        }
    }
});

/// One step of the pinger: what comes back unchanged is an answer.
fn answer(pinger: &mut Pinger, now: Time, rx: &mut BytesMut, sent_at: Time, flipped: bool) -> Result<(), PingError> {
    let waiting = pinger.is_waiting();
    let before = rx.len();
    match pinger.advance(now, rx, &mut BytesMut::new()) {
        Ok(Some(pong)) => {
            assert!(waiting && before - rx.len() == SIZE);
            assert_eq!(pong.rtt, now.since(sent_at));
            Ok(())
        }
        Ok(None) => {
            assert!(rx.len() == before && (!waiting || before < SIZE));
            Ok(())
        }
        Err(error) => {
            assert!(!matches!(error, PingError::WrongEcho { .. }) || flipped, "a right answer was refused");
            Err(error)
        }
    }
}
