//! Any sequence, against a circuit that is written down as simply as can be: bytes moved one at a time.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Offer(Way, usize),
    Moved(Way, usize),
    Finished(Way),
    Reset,
    Wait(u64),
}

/// Keeps a list of what holds instead of numbers that imply it.
struct Model {
    data: Option<u64>,
    seconds: Option<u64>,
    now: u64,
    moved: [u64; 2],
    finished: [bool; 2],
    end: Option<CircuitEnd>,
}

fn index(way: Way) -> usize {
    match way {
        Way::Forward => 0,
        Way::Backward => 1,
    }
}

impl Model {
    fn end(&mut self, end: CircuitEnd) {
        self.end.get_or_insert(end);
    }

    /// One byte wants to go: whether it may. If the limit forbids it, that is the end.
    fn byte(&mut self, way: Way, goes: bool) -> bool {
        let at = index(way);
        if self.end.is_some() || self.finished[at] {
            return false;
        }
        if self.data.is_some_and(|limit| limit != 0 && self.moved[at] == limit) {
            self.end(CircuitEnd::DataLimit { way, bytes: self.moved[at] });
            return false;
        }
        self.moved[at] += u64::from(goes);
        true
    }

    fn apply(&mut self, op: &Op) {
        match op {
            // Only the first byte of what is offered can be one too many.
            Op::Offer(way, bytes) if *bytes > 0 => {
                self.byte(*way, false);
            }
            Op::Offer(..) => {}
            Op::Moved(way, bytes) => {
                for _ in 0..*bytes {
                    if !self.byte(*way, true) {
                        break;
                    }
                }
            }
            Op::Finished(way) => {
                self.finished[index(*way)] = true;
                if self.finished == [true, true] {
                    self.end(CircuitEnd::Closed);
                }
            }
            Op::Reset => self.end(CircuitEnd::SourceReset),
            Op::Wait(seconds) => {
                self.now += seconds;
                if let Some(limit) = self.seconds.filter(|limit| *limit != 0 && self.now >= *limit) {
                    self.end(CircuitEnd::TimeLimit { duration: Duration::from_secs(limit) });
                }
            }
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    let way = || prop_oneof![Just(Way::Forward), Just(Way::Backward)];
    prop_oneof![
        4 => (way(), 0..40usize).prop_map(|(way, bytes)| Op::Offer(way, bytes)),
        8 => (way(), 0..40usize).prop_map(|(way, bytes)| Op::Moved(way, bytes)),
        1 => way().prop_map(Op::Finished),
        1 => Just(Op::Reset),
        2 => (0..20u64).prop_map(Op::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn a_splice_is_its_model(
        seconds in prop::option::of(0..60u64),
        data in prop::option::of(0..120u64),
        ops in vec(op(), 0..30),
    ) {
        let mut splice = limited(seconds, data);
        let mut model = Model { data, seconds, now: 0, moved: [0; 2], finished: [false; 2], end: None };
        let mut now = Time::ZERO;
        for op in &ops {
            model.apply(op);
            match op {
                Op::Offer(way, bytes) => {
                    let room = splice.room(*way);
                    prop_assert_eq!(splice.offer(*way, *bytes), room.min(*bytes));
                }
                Op::Moved(way, bytes) => splice.moved(*way, *bytes),
                Op::Finished(way) => splice.finished(*way),
                Op::Reset => splice.close(CircuitEnd::SourceReset),
                Op::Wait(seconds) => {
                    now = now + Duration::from_secs(*seconds);
                    let due = splice.deadline() <= now;
                    splice.tick(now);
                    prop_assert!(!due || splice.ended().is_some(), "its deadline passed");
                }
            }
            let [forward, backward] = model.moved;
            let ended = model.end.clone().map(|end| Ended { end, forward, backward });
            prop_assert_eq!(splice.ended(), ended, "after {:?}", op);
            prop_assert_eq!(WAYS.map(|way| splice.bytes(way)), model.moved);
            for way in WAYS {
                let open = model.end.is_none() && !model.finished[index(way)];
                let left = data.filter(|limit| *limit != 0).map_or(u64::MAX, |limit| limit - model.moved[index(way)]);
                prop_assert_eq!(splice.room(way) as u64, if open { left } else { 0 });
            }
        }
        let told = splice.poll();
        prop_assert_eq!(told, splice.ended());
        prop_assert_eq!(splice.poll(), None, "the end is told once");
    }
}
