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
