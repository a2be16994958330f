//! Circuits at their limits, and what their ends conclude.

mod meters;
mod model;

use super::*;
use crate::Limit;
use crate::server::{CircuitEnd, Way};
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::laws::{EventSubject, Limits, Step, check_events};
use tidewire_core::{EventMachine, Time};

const WAYS: [Way; 2] = [Way::Forward, Way::Backward];

fn limited(duration: Option<u64>, data: Option<u64>) -> Splice {
    Splice::new(&Limit { duration: duration.map(Duration::from_secs), data }, Time::ZERO)
}

/// Sends a piece as a pump does: again what is left, until all went or nothing may. How much went.
fn pump(splice: &mut Splice, way: Way, piece: usize) -> usize {
    let mut went = 0;
    while went < piece {
        let n = splice.offer(way, piece - went);
        if n == 0 {
            break;
        }
        splice.moved(way, n);
        went += n;
    }
    went
}

#[test]
fn what_happens_at_the_limit() {
    // Limit, pieces that come, how much of them goes on, whether the circuit is over.
    let table: [(u64, &[usize], u64, bool); 12] = [
        (1000, &[], 0, false),
        (1000, &[999], 999, false),
        // At a record's boundary: as much as is allowed is no more than that.
        (1000, &[1000], 1000, false),
        (1000, &[400, 600], 1000, false),
        (1000, &[400, 600, 0], 1000, false),
        // One byte more, alone, or at the end of a record.
        (1000, &[400, 600, 1], 1000, true),
        (1000, &[1001], 1000, true),
        (1000, &[999, 2], 1000, true),
        // Much more; what the limit leaves room for still goes.
        (1000, &[100_000], 1000, true),
        (1, &[1], 1, false),
        (1, &[1, 1], 1, true),
        (u64::MAX, &[usize::MAX], u64::MAX, false),
    ];
    for (limit, pieces, went, over) in table {
        for way in WAYS {
            let mut splice = limited(None, Some(limit));
            for piece in pieces {
                pump(&mut splice, way, *piece);
            }
            let end = splice.ended().map(|ended| ended.end);
            let expected = over.then_some(CircuitEnd::DataLimit { way, bytes: limit });
            assert_eq!((splice.bytes(way), end), (went, expected), "{limit}, {pieces:?}, {way:?}");
        }
    }
}

#[test]
fn nothing_is_no_byte_too_many() {
    let mut splice = limited(None, Some(10));
    pump(&mut splice, Way::Forward, 10);
    assert_eq!(splice.offer(Way::Forward, 0), 0);
    splice.moved(Way::Forward, 0);
    assert!(!splice.is_over());
}

#[test]
fn each_direction_has_the_whole_limit() {
    let mut splice = limited(None, Some(1000));
    assert_eq!((pump(&mut splice, Way::Forward, 1000), pump(&mut splice, Way::Backward, 1000)), (1000, 1000));
    assert_eq!(splice.ended(), None);
    assert_eq!(pump(&mut splice, Way::Backward, 1), 0);
    let end = CircuitEnd::DataLimit { way: Way::Backward, bytes: 1000 };
    assert_eq!(splice.ended(), Some(Ended { end, forward: 1000, backward: 1000 }));
}

#[test]
fn at_the_limit_both_ends_are_reset_and_nothing_goes_any_more() {
    let mut splice = limited(None, Some(10));
    pump(&mut splice, Way::Forward, 10);
    assert!(!splice.is_over());
    pump(&mut splice, Way::Forward, 1);
    assert!(splice.is_over() && splice.ended().unwrap().resets());
    for way in WAYS {
        assert_eq!((splice.room(way), splice.offer(way, 5)), (0, 0));
        splice.moved(way, 5);
    }
    let ended = splice.ended().unwrap();
    assert_eq!((ended.forward, ended.backward), (10, 0));
}

#[test]
fn without_a_limit_everything_goes_and_nothing_ends() {
    for unlimited in [limited(None, None), limited(None, Some(0)), limited(Some(0), Some(0))] {
        let mut splice = unlimited;
        assert_eq!(splice.deadline(), Time::NEVER);
        for way in WAYS {
            splice.moved(way, usize::MAX);
            splice.moved(way, usize::MAX);
            assert_eq!((splice.bytes(way), splice.room(way)), (u64::MAX, usize::MAX));
        }
        splice.tick(Time::NEVER);
        assert_eq!(splice.ended(), None);
    }
}

#[test]
fn at_the_end_of_its_time_a_circuit_is_over() {
    let start = Time::from_millis(5_000);
    let mut splice = Splice::new(&Limit { duration: Some(Duration::from_secs(120)), data: None }, start);
    let until = start + Duration::from_secs(120);
    assert_eq!(splice.deadline(), until);
    splice.moved(Way::Forward, 7);
    splice.tick(Time::from_nanos(until.as_nanos() - 1));
    assert_eq!(splice.ended(), None);
    splice.tick(until);
    let end = CircuitEnd::TimeLimit { duration: Duration::from_secs(120) };
    assert_eq!(splice.ended(), Some(Ended { end, forward: 7, backward: 0 }));
    assert!(splice.ended().unwrap().resets());
    assert_eq!(splice.deadline(), Time::NEVER);
}

#[test]
fn a_circuit_that_both_sides_finish_is_closed_and_not_reset() {
    let mut splice = limited(Some(120), Some(1000));
    pump(&mut splice, Way::Forward, 1000);
    splice.finished(Way::Forward);
    assert_eq!((splice.ended(), splice.room(Way::Forward)), (None, 0));
    // The other direction goes on.
    assert_eq!(pump(&mut splice, Way::Backward, 300), 300);
    splice.finished(Way::Backward);
    let ended = splice.ended().unwrap();
    assert_eq!(ended, Ended { end: CircuitEnd::Closed, forward: 1000, backward: 300 });
    assert!(!ended.resets());
}

#[test]
fn what_comes_behind_a_directions_end_is_not_the_limits_affair() {
    let mut splice = limited(None, Some(10));
    splice.finished(Way::Forward);
    splice.finished(Way::Forward);
    assert_eq!(splice.offer(Way::Forward, 100), 0);
    splice.moved(Way::Forward, 100);
    assert_eq!((splice.ended(), splice.bytes(Way::Forward)), (None, 0));
}

#[test]
fn the_first_reason_stays() {
    let resets = [CircuitEnd::SourceReset, CircuitEnd::DestinationReset, CircuitEnd::Drained];
    for end in resets {
        let mut splice = limited(Some(1), Some(10));
        splice.close(end.clone());
        pump(&mut splice, Way::Forward, 100);
        splice.tick(Time::NEVER);
        for way in WAYS {
            splice.finished(way);
        }
        splice.close(CircuitEnd::Closed);
        assert_eq!(splice.ended().map(|ended| ended.end), Some(end));
    }
}

#[test]
fn it_is_small() {
    assert!(size_of::<Splice>() <= 160, "{} bytes", size_of::<Splice>());
    assert_eq!(limited(Some(1), Some(1)).memory_used(), 0);
}

/// Circuits with both limits.
struct Circuits;

impl EventSubject for Circuits {
    type Machine = Splice;
    type Input = Input;

    fn machine(&self) -> Splice {
        limited(Some(120), Some(10_000))
    }

    fn apply(&self, machine: &mut Splice, now: Time, input: &Input) -> Result<(), Misuse> {
        machine.handle(now, input.clone())
    }
}

#[test]
fn a_splice_keeps_the_laws() {
    let moved = |way, bytes| Step::Input(Input::Moved { way, bytes });
    let (forward, backward) = (Way::Forward, Way::Backward);
    let wait = |secs| Step::Wait(Duration::from_secs(secs));
    let close = Step::Input(Input::Close { end: CircuitEnd::Other { why: "x".repeat(100).into() } });
    let scripts: [Vec<Step<Input>>; 4] = [
        alloc::vec![moved(forward, 10_000), wait(5), Step::Input(Input::Offer { way: forward, bytes: 1 }), wait(200)],
        alloc::vec![moved(backward, 500), Step::Input(Input::Finished { way: forward }), wait(200)],
        alloc::vec![
            Step::Input(Input::Finished { way: forward }),
            Step::Input(Input::Finished { way: backward }),
            wait(200)
        ],
        alloc::vec![moved(forward, 5_000), wait(60), close, moved(backward, 20_000)],
    ];
    for script in scripts {
        check_events(&Circuits, &script, Limits { memory: 128, ..Limits::default() }).unwrap();
    }
}
