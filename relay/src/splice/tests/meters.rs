//! What the ends of a circuit make of a reset.

use super::*;
use proptest::prelude::*;

const LIMIT: Limit = Limit { duration: Some(Duration::from_secs(120)), data: Some(128 << 10) };

fn meter(sent: u64, received: u64) -> Meter {
    let mut meter = Meter::new(Time::ZERO);
    meter.sent(usize::try_from(sent).unwrap());
    meter.received(usize::try_from(received).unwrap());
    meter
}

fn at(secs: u64) -> Time {
    Time::ZERO + Duration::from_secs(secs)
}

#[test]
fn a_reset_near_a_limit_is_explained_by_it() {
    let bytes = 128 << 10;
    let data = |counted| Some(LimitReached::Data { bytes, counted });
    let time = Some(LimitReached::Time { duration: Duration::from_secs(120) });
    // Sent, received, seconds.
    let table = [
        ((0, 0, 0), None),
        ((1000, 1000, 30), None),
        // What we sent, we know exactly; some of it is still on its way when the relay resets.
        ((bytes, 0, 5), data(Counted::Sent)),
        ((bytes + 200_000, 0, 5), data(Counted::Sent)),
        ((bytes - 20_000, 0, 5), None),
        // Of what we should have received, the last write may be lost.
        ((0, bytes, 5), data(Counted::Received)),
        ((0, bytes - 16 * 1024, 5), data(Counted::Received)),
        ((0, bytes - 16 * 1024 - 1, 5), None),
        // A relay that counts both directions together.
        ((bytes / 2, bytes / 2, 5), data(Counted::Both)),
        ((bytes / 2, bytes / 2 - 16 * 1024, 5), data(Counted::Both)),
        ((bytes / 2, bytes / 2 - 16 * 1024 - 1, 5), None),
        // Time.
        ((0, 0, 120), time),
        ((0, 0, 117), time),
        ((0, 0, 116), None),
        ((0, 0, 500), time),
        // One direction alone is the surer sign, both together the weaker.
        ((bytes, 0, 120), data(Counted::Sent)),
        ((bytes / 2, bytes / 2, 120), time),
    ];
    for ((sent, received, secs), expected) in table {
        assert_eq!(meter(sent, received).explain_reset(&LIMIT, at(secs)), expected, "{sent}, {received}, {secs} s");
    }
}

#[test]
fn without_a_limit_no_reset_is_explained() {
    for limit in [Limit::UNLIMITED, Limit { duration: Some(Duration::ZERO), data: Some(0) }] {
        assert_eq!(meter(1 << 40, 1 << 40).explain_reset(&limit, Time::NEVER), None);
    }
}

#[test]
fn of_a_small_limit_a_quarter_may_be_missing() {
    let limit = Limit { duration: Some(Duration::from_secs(4)), data: Some(1000) };
    assert_eq!(meter(0, 749).explain_reset(&limit, at(2)), None);
    assert!(meter(0, 750).explain_reset(&limit, at(2)).is_some());
    assert!(meter(0, 0).explain_reset(&limit, at(3)).is_some());
}

/// js announces two minutes as 120000 seconds, and means it.
#[test]
fn the_two_minutes_of_a_js_relay_are_recognised() {
    let wire = crate::limit::LimitMessage { duration: Some(120_000), data: None };
    let limit = Limit::of_message(Some(&wire));
    let reached = LimitReached::Time { duration: Duration::from_secs(120) };
    assert_eq!(meter(10, 10).explain_reset(&limit, at(120)), Some(reached));
}

/// Of less than a day nobody can say in which unit it was announced, until the circuit ends.
#[test]
fn the_two_seconds_of_a_js_relay_are_recognised_when_they_are_over() {
    let reached = |announced: u32, after: u64| {
        let wire = crate::limit::LimitMessage { duration: Some(announced), data: None };
        meter(10, 10).explain_reset(&Limit::of_message(Some(&wire)), Time::from_millis(after))
    };
    let time = |secs| Some(LimitReached::Time { duration: Duration::from_secs(secs) });
    // What is announced, when the reset came in milliseconds, what is made of it.
    let table = [
        (2000, 1499, None),
        (2000, 1500, time(2)),
        (2000, 2010, time(2)),
        (2000, 2500, time(2)),
        (2000, 2501, None),
        (60_000, 56_999, None),
        (60_000, 57_000, time(60)),
        (60_000, 63_000, time(60)),
        (60_000, 63_001, None),
        // It may have meant seconds.
        (2000, 1_999_000, time(2000)),
        // These can't be js-libp2p's.
        (120, 120, None),
        (3600, 3600, None),
    ];
    for (announced, after, expected) in table {
        assert_eq!(reached(announced, after), expected, "{announced} s, {after} ms");
    }
}

#[test]
fn an_orderly_close_is_explained_only_by_exactly_the_limit() {
    let bytes = 128 << 10;
    let data = |counted| Some(LimitReached::Data { bytes, counted });
    let table = [
        ((bytes, 0), data(Counted::Sent)),
        ((bytes + 5, 0), data(Counted::Sent)),
        ((bytes - 1, 0), None),
        ((0, bytes), data(Counted::Received)),
        ((0, bytes - 1), None),
        // A relay that lets more pass has not that limit.
        ((0, bytes + 1), None),
        ((bytes / 2, bytes / 2), None),
        ((60_000, 60_000), None),
    ];
    for ((sent, received), expected) in table {
        assert_eq!(meter(sent, received).explain_close(&LIMIT), expected, "{sent}, {received}");
    }
    assert_eq!(meter(0, 0).explain_close(&Limit::UNLIMITED), None);
}

#[test]
fn it_says_what_was_reached() {
    let said = |reached: LimitReached| alloc::string::ToString::to_string(&reached);
    let data = LimitReached::Data { bytes: 131_072, counted: Counted::Both };
    assert_eq!(said(data), "the relay's limit of 131072 bytes was reached by those in both directions together");
    assert_eq!(
        said(LimitReached::Time { duration: Duration::from_secs(120) }),
        "the relay's limit of 120 s was reached"
    );
}

proptest! {
    /// A relay of ours, with ends that are told of every byte that it passes on but for a last piece of up to 16 KiB: whatever
    /// is sent, both ends know that it was the limit.
    #[test]
    fn both_ends_of_a_limited_circuit_know_why_it_was_reset(
        data in 64_000..1_000_000u64,
        pieces in prop::collection::vec((any::<bool>(), 1..60_000usize), 1..200),
        lost in 0..16_384usize,
    ) {
        let limit = Limit { duration: None, data: Some(data) };
        let mut splice = Splice::new(&limit, Time::ZERO);
        let (mut source, mut destination) = (Meter::new(Time::ZERO), Meter::new(Time::ZERO));
        for (forward, piece) in pieces {
            let way = if forward { Way::Forward } else { Way::Backward };
            let went = pump(&mut splice, way, piece);
            let over = splice.ended().is_some();
            let arrived = if over { went.saturating_sub(lost) } else { went };
            let (from, to) = if forward { (&mut source, &mut destination) } else { (&mut destination, &mut source) };
            from.sent(piece);
            to.received(arrived);
            if over {
                break;
            }
        }
        if splice.ended().is_some() {
            for meter in [source, destination] {
                prop_assert!(meter.explain_reset(&limit, at(1)).is_some(), "{:?} of {}", meter, data);
            }
        }
    }
}
