//! One test or more for each row.

use super::*;
use crate::duplicates::Tolerated;

#[test]
fn one_connection_is_left_in_peace() {
    let mut world = World::new(|_| ());
    assert_eq!(world.ours(1), []);
    assert_eq!(world.pair.preferred(false), Some(c(1)));
    assert!(world.pair.deadline().is_never());
    assert!(world.pair.is_quiet(world.now));
}

#[test]
fn the_worse_class_is_the_candidate_whatever_came_first() {
    use Initiator::{They, We};
    // The first and the second to be established, and which of them is pinged as the candidate.
    let table = [
        ((false, We), (false, They), 1),
        ((false, They), (false, We), 2),
        ((true, They), (false, We), 1),
        ((false, We), (true, They), 2),
        ((true, They), (false, They), 1),
        ((true, We), (true, They), 1),
        ((true, They), (true, We), 2),
    ];
    for (first, second, candidate) in table {
        let mut world = World::new(|_| ());
        assert_eq!(world.open(1, first.0, first.1), []);
        assert_eq!(world.open(2, second.0, second.1), [ping(candidate)], "{first:?} {second:?}");
        assert_eq!(world.pong(candidate), [ping(3 - candidate)], "{first:?} {second:?}");
        assert_eq!(world.pong(3 - candidate), [drain(candidate, 3 - candidate)], "{first:?} {second:?}");
    }
}

#[test]
fn with_the_smaller_id_what_we_initiated_is_kept() {
    let mut world = World::new(|_| ());
    let opened = |id, initiator: Initiator| Input::Opened {
        connection: c(id),
        relayed: false,
        initiator,
        larger: initiator == Initiator::They,
        streams: 0,
    };
    world.tell(opened(1, Initiator::They));
    assert_eq!(world.tell(opened(2, Initiator::We)), [ping(1)]);
}

#[test]
fn of_two_that_we_initiated_the_newer_is_the_candidate() {
    let mut world = World::new(|_| ());
    world.ours(1);
    assert_eq!(world.ours(2), [ping(2)]);
    assert_eq!(world.pong(2), [ping(1)]);
    assert_eq!(world.pong(1), [drain(2, 1)]);
}

#[test]
fn of_two_that_the_remote_initiated_the_remote_chooses() {
    let mut world = World::new(|_| ());
    world.theirs(1);
    assert_eq!(world.theirs(2), []);
    for id in [1, 2] {
        world.asked.insert(id, world.now);
        assert_eq!(world.pong(id), []);
    }
    assert!(world.pair.deadline().is_never());
}

#[test]
fn one_that_never_answers_is_never_closed() {
    let mut world = World::new(|_| ());
    world.ours(1);
    assert_eq!(world.theirs(2), [ping(1)]);
    world.asked.insert(2, world.now);
    assert_eq!(world.pong(2), []);
    assert_eq!(world.wait(3600 * SECOND), []);
    // Keep-alive ends it.
    assert_eq!(world.closed(1), []);
    assert!(world.pair.is_quiet(world.now));
}

#[test]
fn the_keeper_is_asked_once_the_candidate_has_answered() {
    let mut world = World::new(|_| ());
    world.ours(1);
    assert_eq!(world.theirs(2), [ping(1)]);
    assert_eq!(world.pong(1), [ping(2)]);
}

#[test]
fn a_ping_that_was_sent_before_the_candidate_answered_proves_nothing() {
    let mut world = World::new(|_| ());
    world.ours(1);
    assert_eq!(world.theirs(2), [ping(1)]);
    // Keep-alive pings the keeper by itself, before and while the candidate is asked.
    let early = world.now;
    assert_eq!(world.pong(1), [ping(2)]);
    world.asked.insert(2, early);
    assert_eq!(world.pong(2), [ping(2)], "the ping has to be sent again");
    assert_eq!(world.pong(2), [drain(1, 2)]);
}

#[test]
fn a_ping_that_was_sent_when_the_candidate_answered_is_a_proof() {
    let mut world = World::new(|_| ());
    world.ours(1);
    world.theirs(2);
    assert_eq!(world.pong(1), [ping(2)]);
    assert_eq!(world.tell(Input::Pong { connection: c(2), sent: world.now }), [drain(1, 2)]);
}

#[test]
fn it_is_the_first_answer_of_the_candidate_that_counts() {
    let mut world = World::new(|_| ());
    world.ours(1);
    world.theirs(2);
    assert_eq!(world.pong(1), [ping(2)]);
    world.now = world.now + SECOND;
    world.asked.insert(1, world.now);
    assert_eq!(world.pong(1), []);
    assert_eq!(world.pong(2), [drain(1, 2)]);
}

#[test]
fn an_answer_to_an_earlier_ping_takes_no_proof_away() {
    let mut world = World::new(|config| config.per_peer = 2);
    world.theirs(2);
    world.theirs(3);
    assert_eq!(world.ours(1), [ping(1)]);
    assert_eq!(world.pong(1), [ping(2), ping(3)]);
    assert_eq!(world.pong(2), []);
    assert_eq!(world.tell(Input::Pong { connection: c(2), sent: Time::ZERO }), []);
    assert_eq!(world.pong(3), [drain(1, 2)]);
}

#[test]
fn a_ping_from_the_future_is_one_from_now() {
    let mut world = World::new(|_| ());
    world.draining();
    world.tell(Input::Pong { connection: c(2), sent: Time::NEVER });
    assert_eq!(world.wait(5 * SECOND), [ping(2)]);
}

#[test]
fn new_streams_go_on_the_proven_keeper() {
    let mut world = World::new(|_| ());
    world.ours(1);
    world.theirs(2);
    world.pong(1);
    world.pong(2);
    assert_eq!(world.pair.preferred(false), Some(c(2)));
    // A relay's connection comes, and then a better one that has proven nothing yet.
    world.open(3, true, Initiator::We);
    assert_eq!(world.pair.preferred(false), Some(c(2)));
    assert_eq!(world.pair.preferred(true), Some(c(2)));
}

#[test]
fn a_better_one_that_is_unproven_takes_no_streams_from_a_proven_one() {
    let mut world = World::new(|_| ());
    world.open(1, true, Initiator::We);
    world.ours(2);
    assert_eq!(world.pong(1), [ping(2)]);
    assert_eq!(world.pong(2), [drain(1, 2)]);
    // It has answered before, so the newcomer can prove itself at once.
    assert_eq!(world.theirs(3), [ping(3)]);
    assert_eq!(world.pair.preferred(false), Some(c(2)));
    assert_eq!(world.pong(3), [drain(2, 3)]);
    assert_eq!(world.pair.preferred(false), Some(c(3)));
}

#[test]
fn a_relayed_one_is_not_preferred_where_a_direct_one_is_asked_for() {
    let mut world = World::new(|_| ());
    world.open(1, true, Initiator::We);
    assert_eq!((world.pair.preferred(false), world.pair.preferred(true)), (Some(c(1)), None));
    world.ours(2);
    assert_eq!((world.pair.preferred(false), world.pair.preferred(true)), (Some(c(2)), Some(c(2))));
    world.tell(Input::Closing { connection: c(2) });
    assert_eq!((world.pair.preferred(false), world.pair.preferred(true)), (Some(c(1)), None));
}

#[test]
fn ours_is_closed_after_the_short_grace_streams_or_not() {
    let mut world = World::new(|_| ());
    world.draining();
    world.streams(1, 7);
    assert_eq!(world.pair.deadline(), world.now + 5 * SECOND);
    assert_eq!(world.wait(5 * SECOND), [ping(2)]);
    assert_eq!(world.pong(2), [close(1, 2)]);
}

#[test]
fn theirs_is_closed_after_the_long_grace() {
    let mut world = World::new(|_| ());
    world.open(1, true, Initiator::They);
    assert_eq!(world.ours(2), [ping(1)]);
    assert_eq!(world.pong(1), [ping(2)]);
    assert_eq!(world.pong(2), [drain(1, 2)]);
    assert_eq!(world.pair.deadline(), world.now + 120 * SECOND);
    assert_eq!(world.wait(119 * SECOND), []);
    assert_eq!(world.wait(SECOND), [ping(2)]);
    assert_eq!(world.pong(2), [close(1, 2)]);
}

#[test]
fn theirs_is_not_closed_while_it_has_streams() {
    let mut world = World::new(|_| ());
    world.open(1, true, Initiator::They);
    world.streams(1, 1);
    world.ours(2);
    world.pong(1);
    assert_eq!(world.pong(2), [drain(1, 2)]);
    assert_eq!(world.wait(3600 * SECOND), []);
    // The last stream ends: the grace is over long ago, but the proof is old.
    assert_eq!(world.streams(1, 0), [ping(2)]);
    // Another stream, before the answer comes.
    assert_eq!(world.streams(1, 1), []);
    assert_eq!(world.pong(2), []);
    assert_eq!(world.wait(3600 * SECOND), []);
    assert_eq!(world.streams(1, 0), [ping(2)]);
    assert_eq!(world.pong(2), [close(1, 2)]);
}

#[test]
fn theirs_is_never_closed_without_a_long_grace() {
    let mut world = World::new(|config| config.long_grace = None);
    world.open(1, true, Initiator::They);
    world.ours(2);
    world.pong(1);
    assert_eq!(world.pong(2), [drain(1, 2)]);
    assert!(world.pair.deadline().is_never());
    assert_eq!(world.wait(36_000 * SECOND), []);
}

#[test]
fn an_old_proof_closes_nothing() {
    let mut world = World::new(|_| ());
    world.draining();
    // An answer during the grace is none to a ping of after it.
    world.asked.insert(2, world.now);
    assert_eq!(world.pong(2), []);
    assert_eq!(world.wait(5 * SECOND), [ping(2)]);
    assert_eq!(world.wait(3600 * SECOND), []);
    assert_eq!(world.closed(2), []);
    assert_eq!(world.pair.preferred(false), Some(c(1)));
}

#[test]
fn a_ping_that_was_under_way_when_the_grace_ended_is_no_proof() {
    let mut world = World::new(|_| ());
    world.draining();
    world.wait(4 * SECOND);
    let sent = world.now;
    assert_eq!(world.wait(SECOND), [ping(2)]);
    assert_eq!(world.tell(Input::Pong { connection: c(2), sent }), [ping(2)]);
    world.asked.insert(2, world.now);
    assert_eq!(world.pong(2), [close(1, 2)]);
}

#[test]
fn a_proof_of_before_another_one_went_is_old() {
    for gone in [Input::Closing { connection: c(3) }, Input::Closed { connection: c(3) }] {
        let mut world = World::new(|_| ());
        world.open(1, true, Initiator::We);
        assert_eq!(world.open(2, true, Initiator::They), [ping(1)]);
        world.pong(1);
        assert_eq!(world.pong(2), [drain(1, 2)]);
        // A better one comes, is now the keeper of both, and never answers.
        assert_eq!(world.theirs(3), [ping(3)]);
        assert_eq!(world.wait(5 * SECOND), []);
        // The old keeper answers a ping of keep-alive's; how it is when 3 is gone at last, nobody knows.
        world.asked.insert(2, world.now);
        assert_eq!(world.pong(2), []);
        world.wait(60 * SECOND);
        assert_eq!(world.tell(gone), [ping(2)]);
        assert_eq!(world.pong(2), [close(1, 2)]);
    }
}

#[test]
fn a_grace_of_nothing_ends_at_once() {
    let mut world = World::new(|config| config.grace = Duration::ZERO);
    world.ours(1);
    world.theirs(2);
    world.pong(1);
    assert_eq!(world.pong(2), [drain(1, 2), ping(2)]);
    assert_eq!(world.pong(2), [close(1, 2)]);
}

#[test]
fn a_keeper_that_goes_closes_nobody() {
    // At each stage: somebody closes it, or it is gone.
    for stage in 0..3 {
        for gone in [Input::Closing { connection: c(2) }, Input::Closed { connection: c(2) }] {
            let mut world = World::new(|_| ());
            match stage {
                0 => {
                    world.ours(1);
                    world.theirs(2);
                    world.pong(1);
                }
                1 => world.draining(),
                _ => {
                    world.draining();
                    world.wait(5 * SECOND);
                }
            }
            assert_eq!(world.tell(gone), [], "stage {stage}");
            assert_eq!(world.pair.preferred(false), Some(c(1)));
            assert_eq!(world.wait(3600 * SECOND), []);
        }
    }
}

#[test]
fn a_keeper_that_goes_is_replaced_by_the_next_one() {
    let mut world = World::new(|_| ());
    world.draining();
    world.theirs(3);
    assert_eq!(world.closed(2), [ping(3)]);
    assert_eq!(world.pair.preferred(false), Some(c(3)));
    assert_eq!(world.pong(3), [drain(1, 3)]);
}

#[test]
fn one_that_somebody_else_closes_takes_no_part() {
    let mut world = World::new(|_| ());
    world.draining();
    assert_eq!(world.tell(Input::Closing { connection: c(1) }), []);
    assert_eq!(world.tell(Input::Closing { connection: c(1) }), []);
    assert!(world.pair.deadline().is_never());
    assert_eq!(world.closed(1), []);
    assert!(world.pair.is_quiet(world.now));
}

#[test]
fn a_relayed_one_is_superseded_by_a_direct_one() {
    let mut world = World::new(|_| ());
    world.open(1, true, Initiator::They);
    world.streams(1, 3);
    // A punched hole: both dialed, we initiate.
    assert_eq!(world.ours(2), [ping(1)]);
    world.pong(1);
    assert_eq!(world.pong(2), [drain(1, 2)]);
    // It is the remote's to close.
    assert_eq!(world.closed(1), []);
    assert_eq!(world.pair.preferred(true), Some(c(2)));
}

#[test]
fn a_crowd_goes_one_after_the_other_and_the_best_stays() {
    let mut world = World::new(|config| config.budget = 10);
    for id in 1..=4 {
        world.ours(id);
    }
    for id in 2..=4 {
        world.pong(id);
    }
    // 3 and 4 answered after the ping had left.
    assert_eq!(world.pong(1), [drain(2, 1), ping(1)]);
    assert_eq!(world.pong(1), [drain(3, 1), drain(4, 1)]);
    // So does the grace of 2 end before theirs.
    assert_eq!(world.wait(5 * SECOND), [ping(1)]);
    assert_eq!(world.pong(1), [close(2, 1), ping(1)]);
    assert_eq!(world.pong(1), [close(3, 1), close(4, 1)]);
    assert_eq!(world.pair.preferred(false), Some(c(1)));
}

#[test]
fn as_many_as_are_wanted_remain_and_each_of_them_is_proven() {
    for wanted in 2..=4_u64 {
        let mut world = World::new(|config| config.per_peer = u32::try_from(wanted).unwrap());
        for id in 1..=wanted {
            assert_eq!(world.theirs(id), []);
        }
        let candidate = wanted + 1;
        assert_eq!(world.ours(candidate), [ping(candidate)]);
        let pings: Vec<Action> = (1..=wanted).map(ping).collect();
        assert_eq!(world.pong(candidate), pings);
        for id in 1..wanted {
            assert_eq!(world.pong(id), [], "{id} of {wanted}");
        }
        assert_eq!(world.pong(wanted), [drain(candidate, 1)]);
        assert_eq!(world.wait(5 * SECOND), pings);
        for id in 2..=wanted {
            assert_eq!(world.pong(id), [], "{id} of {wanted}");
        }
        assert_eq!(world.pong(1), [close(candidate, 1)]);
        assert_eq!(world.closed(candidate), []);
    }
}

#[test]
fn nothing_is_closed_where_any_number_is_wanted() {
    let mut world = World::new(|config| config.per_peer = u32::MAX);
    for id in 1..=16 {
        assert_eq!(world.ours(id), []);
    }
}

#[test]
fn none_wanted_is_one_wanted() {
    let mut world = World::new(|config| config.per_peer = 0);
    assert_eq!(world.ours(1), []);
    world.asked.insert(1, world.now);
    assert_eq!(world.pong(1), []);
    assert!(world.pair.deadline().is_never());
}

#[test]
fn after_three_closes_duplicates_are_tolerated_until_the_window_is_over() {
    let mut world = World::new(|_| ());
    world.theirs(2);
    for id in 10..13 {
        world.one_is_closed(id);
    }
    let first = world.pair.deadline();
    let why = Tolerated::BudgetSpent { closes: 3, window: 600 * SECOND };
    assert_eq!(world.ours(13), [Action::Tolerate { why }]);
    assert_eq!(world.ours(14), [], "said once");
    assert!(!world.pair.is_quiet(world.now));
    // The window of the first close ends: there is a place in the budget again.
    assert_eq!(world.wait(first.since(world.now)), [ping(13), ping(14)]);
    assert_eq!(world.pong(13), [ping(2)]);
    assert_eq!(world.pong(14), []);
    assert_eq!(world.pong(2), [drain(13, 2), ping(2)]);
}

#[test]
fn those_that_were_there_at_a_close_are_paid_for_by_it() {
    let mut world = World::new(|_| ());
    world.theirs(2);
    for id in 10..15 {
        world.ours(id);
    }
    let mut closed = 0;
    for _ in 0..40 {
        let mut actions = Vec::new();
        for id in 2..15 {
            if world.asked.contains_key(&id) {
                actions.extend(world.pong(id));
            }
        }
        actions.extend(world.wait(5 * SECOND));
        for action in actions {
            if let Action::Close { connection, .. } = action {
                closed += 1;
                world.closed(connection.0);
            }
            assert!(!matches!(action, Action::Tolerate { .. }));
        }
    }
    assert_eq!(closed, 5);
}

#[test]
fn what_was_draining_stays_once_the_budget_is_spent() {
    let mut world = World::new(|config| config.budget = 1);
    world.theirs(2);
    world.ours(3);
    world.ours(4);
    world.pong(3);
    world.pong(4);
    assert_eq!(world.pong(2), [drain(3, 2), ping(2)]);
    assert_eq!(world.pong(2), [drain(4, 2)]);
    assert_eq!(world.wait(5 * SECOND), [ping(2)]);
    let why = Tolerated::BudgetSpent { closes: 1, window: 600 * SECOND };
    assert_eq!(world.pong(2), [close(3, 2), Action::Tolerate { why }]);
    assert_eq!(world.pair.preferred(false), Some(c(2)));
    // With the next window it begins anew, grace and all.
    assert_eq!(world.closed(3), []);
    let end = world.pair.deadline();
    assert_eq!(world.wait(end.since(world.now)), [drain(4, 2)]);
    assert_eq!(world.pair.deadline(), world.now + 5 * SECOND);
}

#[test]
fn a_budget_of_none_closes_nothing_and_says_so_once_a_window() {
    let mut world = World::new(|config| config.budget = 0);
    assert_eq!(world.ours(1), []);
    let why = Tolerated::BudgetSpent { closes: 0, window: 600 * SECOND };
    assert_eq!(world.ours(2), [Action::Tolerate { why }]);
    assert_eq!(world.wait(1500 * SECOND), [Action::Tolerate { why }; 2]);
}

#[test]
fn a_budget_without_end_remembers_no_closes() {
    let mut world = World::new(|config| config.budget = u32::MAX);
    world.theirs(2);
    for id in 10..30 {
        world.one_is_closed(id);
    }
    assert!(world.pair.is_quiet(world.now));
    assert!(world.pair.deadline().is_never());
}

#[test]
fn a_misuse_changes_nothing() {
    let mut world = World::new(|config| config.max_connections = 3);
    world.draining();
    world.theirs(3);
    let before = world.pair.clone();
    let opened =
        |id| Input::Opened { connection: c(id), relayed: false, initiator: Initiator::We, larger: true, streams: 0 };
    let table = [
        (opened(4), DuplicatesMisuse::Full { connection: c(4), max: 3 }),
        (opened(1), DuplicatesMisuse::Exists(c(1))),
        (Input::Streams { connection: c(9), open: 1 }, DuplicatesMisuse::Unknown(c(9))),
        (Input::Pong { connection: c(9), sent: world.now }, DuplicatesMisuse::Unknown(c(9))),
        (Input::Closing { connection: c(9) }, DuplicatesMisuse::Unknown(c(9))),
        (Input::Closed { connection: c(9) }, DuplicatesMisuse::Unknown(c(9))),
    ];
    for (input, misuse) in table {
        world.now = world.now + SECOND;
        assert_eq!(world.try_tell(input), Err(misuse));
        assert_eq!(world.pair, before);
    }
}

#[test]
fn fewer_than_two_places_are_two() {
    let mut world = World::new(|config| config.max_connections = 0);
    world.ours(1);
    assert_eq!(world.theirs(2), [ping(1)]);
    let third = Input::Opened { connection: c(3), relayed: false, initiator: Initiator::We, larger: true, streams: 0 };
    assert_eq!(world.try_tell(third), Err(DuplicatesMisuse::Full { connection: c(3), max: 2 }));
}

#[test]
fn a_timeout_that_comes_late_or_early_does_no_harm() {
    let mut world = World::new(|_| ());
    world.draining();
    let deadline = world.pair.deadline();
    world.pair.on_timeout(Time::ZERO);
    world.pair.on_timeout(Time::from_nanos(deadline.as_nanos() - 1));
    assert_eq!(world.poll(), []);
    assert_eq!(world.pair.deadline(), deadline);
    // An hour late: the proof is asked for then, and counts from then.
    world.now = deadline + 3600 * SECOND;
    world.pair.on_timeout(world.now);
    assert_eq!(world.poll(), [ping(2)]);
    assert_eq!(world.tell(Input::Pong { connection: c(2), sent: deadline }), [ping(2)]);
    assert_eq!(world.tell(Input::Pong { connection: c(2), sent: world.now }), [close(1, 2)]);
}

#[test]
fn a_pair_is_quiet_once_the_last_close_is_forgotten() {
    let mut world = World::new(|_| ());
    world.theirs(2);
    world.one_is_closed(1);
    assert!(!world.pair.is_quiet(world.now));
    let end = world.pair.deadline();
    assert!(!world.pair.is_quiet(Time::from_nanos(end.as_nanos() - 1)));
    assert!(world.pair.is_quiet(end));
    world.pair.on_timeout(end);
    assert!(world.pair.deadline().is_never());
}

#[test]
fn a_pair_is_small() {
    let mut world = World::new(|_| ());
    world.draining();
    assert!(size_of::<Pair>() <= 192, "{}", size_of::<Pair>());
    let used = world.pair.memory_used();
    assert!((2 * 64..=4 * 96).contains(&used), "{used}");
}
