//! Values that fade.

use super::*;
use crate::worth::decay::{Due, decayed};
use proptest::prelude::*;

const PEER: PeerIx = PeerIx(0);

fn defined(decay: Decay) -> Worth {
    let mut worth = crowd(&quiet(), 1);
    worth.define(at(0), "d", DecayingTag { interval: MINUTE, decay }).unwrap();
    worth
}

fn bump(worth: &mut Worth, now: Time, bump: Bump) -> i32 {
    worth.bump(now, PEER, "d", bump).unwrap();
    worth.value(PEER)
}

/// The values after each of these minutes, called in time, and in another run called only once for each.
fn values(decay: Decay, first: i32, minutes: &[u64]) -> Vec<Option<i32>> {
    let value = |worth: &Worth| tags(worth, 0).first().map(|tag| tag.1);
    let mut timely = defined(decay);
    bump(&mut timely, at(0), Bump::Overwrite(first));
    let mut all = Vec::new();
    for minute in minutes {
        while timely.deadline() <= at(60 * minute) {
            let now = timely.deadline();
            timely.on_timeout(now);
            assert!(timely.deadline() > now);
        }
        all.push(value(&timely));

        let mut late = defined(decay);
        bump(&mut late, at(0), Bump::Overwrite(first));
        late.on_timeout(at(60 * minute + 59));
        assert_eq!(value(&late), value(&timely), "{decay:?} of {first} after {minute} minutes");
        assert_eq!(late.deadline(), timely.deadline(), "{decay:?} of {first} after {minute} minutes");
    }
    all
}

#[test]
fn none_keeps_the_value() {
    assert_eq!(values(Decay::None, 100, &[1, 60]), [Some(100), Some(100)]);
    assert_eq!(values(Decay::None, -100, &[1, 60]), [Some(-100), Some(-100)]);
    let mut worth = defined(Decay::None);
    bump(&mut worth, at(0), Bump::Unbounded(1));
    assert_eq!(worth.deadline(), Time::NEVER);
}

#[test]
fn fixed_takes_as_much_at_each_step_and_is_gone_at_0() {
    assert_eq!(values(Decay::Fixed(30), 100, &[0, 1, 2, 3, 4]), [Some(100), Some(70), Some(40), Some(10), None]);
    assert_eq!(values(Decay::Fixed(50), 100, &[1, 2]), [Some(50), None]);
    assert_eq!(values(Decay::Fixed(0), 100, &[1, 60]), [Some(100), Some(100)]);
    assert_eq!(values(Decay::Fixed(i32::MAX), i32::MAX, &[1]), [None]);
    assert_eq!(values(Decay::Fixed(1), -5, &[0, 1]), [Some(-5), None]);
}

#[test]
fn linear_multiplies_at_each_step_and_rounds_down() {
    let half = Decay::Linear { numerator: 1, denominator: 2 };
    assert_eq!(values(half, 100, &[1, 2, 3, 4, 6, 7]), [Some(50), Some(25), Some(12), Some(6), Some(1), None]);
    let slow = Decay::Linear { numerator: 9, denominator: 10 };
    assert_eq!(values(slow, 10, &[1, 2, 3, 9, 10]), [Some(9), Some(8), Some(7), Some(1), None]);
    assert_eq!(values(Decay::Linear { numerator: 0, denominator: 7 }, 100, &[1]), [None]);
    assert_eq!(values(Decay::Linear { numerator: 7, denominator: 7 }, 100, &[60]), [Some(100)]);
    assert_eq!(values(half, 0, &[0, 1]), [Some(0), None]);
    assert_eq!(values(half, -8, &[1]), [None]);
}

#[test]
fn a_tag_expires_at_the_first_step_at_which_it_was_inactive_for_so_long_and_is_whole_until_then() {
    let decay = Decay::ExpireWhenInactive(Duration::from_secs(150));
    assert_eq!(values(decay, 100, &[1, 2, 3]), [Some(100), Some(100), None]);
    assert_eq!(values(decay, -100, &[2, 3]), [Some(-100), None]);
    assert_eq!(values(Decay::ExpireWhenInactive(2 * MINUTE), 100, &[1, 2]), [Some(100), None]);

    let mut worth = defined(decay);
    bump(&mut worth, at(0), Bump::Unbounded(100));
    bump(&mut worth, at(100), Bump::Unbounded(1));
    worth.on_timeout(at(240));
    assert_eq!(worth.value(PEER), 101);
    worth.on_timeout(at(300));
    assert!(tags(&worth, 0).is_empty());
}

#[test]
fn bumps() {
    let mut worth = defined(Decay::None);
    let bounded = |add| Bump::Bounded { add, min: 10, max: 20 };
    let table = [
        (Bump::Unbounded(5), 5),
        (Bump::Unbounded(-12), -7),
        (Bump::Overwrite(3), 3),
        (Bump::Overwrite(i32::MAX), i32::MAX),
        (Bump::Unbounded(1), i32::MAX),
        (bounded(1), 20),
        (bounded(-3), 17),
        (bounded(-100), 10),
        (bounded(i32::MAX), 20),
        (Bump::Bounded { add: 1, min: -5, max: -5 }, -5),
        (Bump::Overwrite(i32::MIN), i32::MIN),
        (Bump::Unbounded(-1), i32::MIN),
    ];
    for (step, value) in table {
        assert_eq!(bump(&mut worth, at(1), step), value, "{step:?}");
    }
    assert_eq!(tags(&worth, 0).len(), 1);
}

/// peers.md: SumBounded(10, 20): +5 -> 10, +100 -> 20.
#[test]
fn a_bounded_sum_is_10_after_5_and_20_after_100_more() {
    let mut worth = defined(Decay::None);
    assert_eq!(bump(&mut worth, at(0), Bump::Bounded { add: 5, min: 10, max: 20 }), 10);
    assert_eq!(bump(&mut worth, at(0), Bump::Bounded { add: 100, min: 10, max: 20 }), 20);
}

/// Each bump meets the value as it is by then, however late the call.
#[test]
fn each_bump_after_each_decay_when_the_call_is_an_hour_late() {
    let bumps = [
        (Bump::Unbounded(7), [1007, 947, 7, 7]),
        (Bump::Bounded { add: 7, min: 0, max: 500 }, [500, 500, 7, 7]),
        (Bump::Overwrite(7), [7, 7, 7, 7]),
    ];
    let decays = [
        Decay::None,
        Decay::Fixed(1),
        Decay::Linear { numerator: 1, denominator: 2 },
        Decay::ExpireWhenInactive(MINUTE),
    ];
    for (step, expected) in bumps {
        for (decay, expected) in decays.into_iter().zip(expected) {
            let mut worth = defined(decay);
            bump(&mut worth, at(0), Bump::Overwrite(1000));
            assert_eq!(bump(&mut worth, at(3600), step), expected, "{step:?} after {decay:?}");
        }
    }
}

#[test]
fn intervals_are_rounded_up_to_the_resolution() {
    for (interval, first) in [(1, 60), (60, 60), (61, 120), (120, 120)] {
        let mut worth = crowd(&quiet(), 1);
        let tag = DecayingTag { interval: Duration::from_secs(interval), decay: Decay::Fixed(1) };
        worth.define(at(7), "d", tag).unwrap();
        bump(&mut worth, at(8), Bump::Unbounded(9));
        assert_eq!(worth.deadline(), at(7 + first), "{interval} s");
    }
    let mut worth = crowd(&WorthConfig { resolution: Duration::ZERO, ..quiet() }, 1);
    let tag = DecayingTag { interval: Duration::from_nanos(1), decay: Decay::Fixed(1) };
    worth.define(at(0), "d", tag).unwrap();
    bump(&mut worth, at(0), Bump::Unbounded(9));
    worth.on_timeout(Time::from_nanos(4));
    assert_eq!(worth.value(PEER), 5);
}

#[test]
fn an_interval_without_end_never_steps() {
    let mut worth = crowd(&quiet(), 1);
    worth.define(at(0), "d", DecayingTag { interval: Duration::MAX, decay: Decay::Fixed(1) }).unwrap();
    bump(&mut worth, at(0), Bump::Unbounded(9));
    worth.on_timeout(Time::NEVER);
    assert_eq!((worth.value(PEER), worth.deadline()), (9, Time::NEVER));
}

#[test]
fn all_peers_step_together_at_multiples_of_the_interval_since_the_definition() {
    let mut worth = crowd(&quiet(), 2);
    worth.define(at(5), "d", DecayingTag { interval: MINUTE, decay: Decay::Fixed(1) }).unwrap();
    assert_eq!(worth.deadline(), Time::NEVER);
    for (peer, now) in [(0, 10), (1, 64)] {
        worth.bump(at(now), PeerIx(peer), "d", Bump::Unbounded(1)).unwrap();
        assert_eq!(worth.deadline(), at(65));
    }
    worth.on_timeout(at(65));
    assert_eq!((tags(&worth, 0), tags(&worth, 1)), (Vec::new(), Vec::new()));
    assert_eq!(worth.deadline(), Time::NEVER);
}

#[test]
fn a_redefinition_keeps_values_and_steps_from_now_on() {
    let mut worth = defined(Decay::Fixed(1));
    bump(&mut worth, at(0), Bump::Unbounded(100));
    let half = Decay::Linear { numerator: 1, denominator: 2 };
    // The step at 60 is done as it was defined, though nobody called in time.
    worth.define(at(90), "d", DecayingTag { interval: 2 * MINUTE, decay: half }).unwrap();
    assert_eq!((worth.value(PEER), worth.deadline()), (99, at(210)));
    worth.on_timeout(at(210));
    assert_eq!(worth.value(PEER), 49);
    worth.define(at(211), "d", DecayingTag { interval: MINUTE, decay: Decay::None }).unwrap();
    assert_eq!(worth.deadline(), Time::NEVER);
    worth.define(at(212), "d", DecayingTag { interval: MINUTE, decay: Decay::Fixed(9) }).unwrap();
    worth.on_timeout(at(272));
    assert_eq!(worth.value(PEER), 40);
}

#[test]
fn an_undefinition_takes_the_tag_from_all_peers() {
    let mut worth = crowd(&quiet(), 3);
    let fixed = DecayingTag { interval: MINUTE, decay: Decay::Fixed(1) };
    worth.define(at(0), "d", fixed).unwrap();
    worth.define(at(0), "e", fixed).unwrap();
    for peer in 0..5 {
        worth.bump(at(0), PeerIx(peer), "d", Bump::Unbounded(10)).unwrap();
    }
    worth.bump(at(0), PeerIx(1), "e", Bump::Unbounded(3)).unwrap();
    set(&mut worth, at(0), 4, 5);
    worth.undefine(at(1), "d").unwrap();
    let values: Vec<i32> = (0..5).map(|peer| worth.value(PeerIx(peer))).collect();
    assert_eq!(values, [0, 3, 0, 0, 5]);
    // Of those without a connection one has another tag left.
    assert_eq!(blank(&mut worth), [3]);
    let undefined = TagError::Undefined("d".into());
    assert_eq!(worth.bump(at(1), PEER, "d", Bump::Unbounded(1)), Err(undefined.clone()));
    assert_eq!(worth.unbump(at(1), PEER, "d"), Err(undefined.clone()));
    assert_eq!(worth.undefine(at(1), "d"), Err(undefined.clone()));
    assert_eq!(undefined.to_string(), "no decaying tag \"d\" was defined");
    // Its number is used again, and nobody has the new one.
    worth.define(at(1), "f", fixed).unwrap();
    assert_eq!(worth.value(PEER), 0);
    worth.bump(at(1), PEER, "f", Bump::Unbounded(2)).unwrap();
    assert_eq!(tags(&worth, 0), [("f".into(), 2, true)]);
}

#[test]
fn a_decaying_tag_can_be_taken_from_one_peer() {
    let mut worth = crowd(&quiet(), 3);
    worth.define(at(0), "d", DecayingTag { interval: MINUTE, decay: Decay::Fixed(1) }).unwrap();
    for peer in 0..3 {
        worth.bump(at(0), PeerIx(peer), "d", Bump::Unbounded(10)).unwrap();
    }
    worth.unbump(at(0), PeerIx(0), "d").unwrap();
    worth.unbump(at(0), PeerIx(0), "d").unwrap();
    worth.on_timeout(at(60));
    let values: Vec<i32> = (0..3).map(|peer| worth.value(PeerIx(peer))).collect();
    assert_eq!(values, [0, 9, 9]);
}

#[test]
fn there_are_at_most_so_many_definitions() {
    let mut worth = Worth::new(&WorthConfig { max_decaying: 2, ..quiet() });
    let tag = DecayingTag { interval: MINUTE, decay: Decay::None };
    worth.define(at(0), "a", tag).unwrap();
    worth.define(at(0), "b", tag).unwrap();
    let full = TagError::Full { what: "definitions of decaying tags", cap: 2 };
    assert_eq!(worth.define(at(0), "c", tag), Err(full));
    worth.define(at(0), "b", tag).unwrap();
    worth.undefine(at(0), "a").unwrap();
    worth.define(at(0), "c", tag).unwrap();
}

#[test]
fn nonsense_is_an_error_and_changes_nothing() {
    let mut worth = defined(Decay::Fixed(1));
    bump(&mut worth, at(0), Bump::Unbounded(15));
    let linear = |numerator, denominator| Decay::Linear { numerator, denominator };
    let table = [
        (Duration::ZERO, Decay::None, "a decaying tag needs an interval above 0"),
        (MINUTE, linear(0, 0), "the denominator of a linear decay is 0"),
        (MINUTE, linear(3, 2), "a linear decay whose numerator is above its denominator would grow"),
        (MINUTE, Decay::Fixed(-1), "a fixed decay by less than 0 would grow"),
    ];
    for (interval, decay, says) in table {
        let error = worth.define(at(0), "d", DecayingTag { interval, decay }).unwrap_err();
        assert_eq!(error.to_string(), says);
    }
    let error = worth.bump(at(0), PEER, "d", Bump::Bounded { add: 1, min: 2, max: 1 }).unwrap_err();
    assert_eq!(error.to_string(), "the least sum of a bounded bump is above its greatest");
    worth.on_timeout(at(60));
    assert_eq!(worth.value(PEER), 14);
}

/// A peer's early tags end in the very call in which its decaying tag steps. When the two got in each other's way, the peer
/// stayed a member, and later decayed twice a step.
#[test]
fn a_tag_that_ends_while_it_steps_leaves_nothing_behind() {
    let mut worth = Worth::new(&WorthConfig { early_tags_ttl: MINUTE, ..quiet() });
    worth.define(at(0), "d", DecayingTag { interval: MINUTE, decay: Decay::Fixed(1) }).unwrap();
    bump(&mut worth, at(0), Bump::Unbounded(100));
    worth.on_timeout(at(60));
    assert_eq!((blank(&mut worth), worth.deadline()), (vec![0], Time::NEVER));
    connect(&mut worth, at(61), 0);
    assert_eq!(bump(&mut worth, at(61), Bump::Unbounded(100)), 100);
    worth.on_timeout(at(120));
    assert_eq!(worth.value(PEER), 99);
}

proptest! {
    /// All steps at once give what one after the other gives.
    #[test]
    fn many_steps_at_once_are_as_many_single_ones(
        value in prop_oneof![1..200, 1..=i32::MAX],
        (numerator, denominator) in prop_oneof![(0..20u32, 1..20u32), (any::<u32>(), 1..=u32::MAX), (u32::MAX - 3.., u32::MAX - 3..)],
        fixed in prop_oneof![0..9, 0..=i32::MAX],
        steps in prop_oneof![0..50u64, 0..3000u64],
    ) {
        let numerator = numerator.min(denominator);
        for decay in [Decay::Linear { numerator, denominator }, Decay::Fixed(fixed)] {
            let mut expected = i64::from(value);
            for _ in 0..steps {
                expected = match decay {
                    Decay::Fixed(_) => expected - i64::from(fixed),
                    _ => i64::try_from(i128::from(expected) * i128::from(numerator) / i128::from(denominator)).unwrap(),
                }
                .max(0);
            }
            let due = Due { definition: 0, decay, steps, last: Time::ZERO };
            let got = decayed(value, Time::ZERO, &due).map_or(0, i64::from);
            prop_assert_eq!(got, expected, "{:?}", decay);
        }
    }
}

/// An age of slow steps is no work to speak of.
#[test]
fn a_thousand_years_of_steps_are_done_at_once() {
    for decay in [
        Decay::Linear { numerator: u32::MAX - 1, denominator: u32::MAX },
        Decay::Linear { numerator: 999_999, denominator: 1_000_000 },
        Decay::Fixed(1),
    ] {
        let due = Due { definition: 0, decay, steps: u64::MAX, last: Time::NEVER };
        for _ in 0..100 {
            assert_eq!(decayed(i32::MAX, Time::ZERO, &due), None);
        }
    }
}
