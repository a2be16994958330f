//! What votes, refusals and failures lead to.

use super::*;

#[test]
fn two_servers_that_agree_decide_and_three_are_enough() {
    for good in [true, false] {
        let decided = if good { Public } else { Private };
        let mut world = World::new(one_by_one(), &[PUBLIC], 9);
        for votes in 1..=3 {
            let question = world.next();
            world.vote(&question, good);
            let known = world.client.reachability(&addr(PUBLIC));
            assert_eq!(known, Some(if votes < 2 { Unknown } else { decided }));
        }
        assert_eq!(world.waiting(), ClientWaiting::Recheck(3600 * SECOND));
        let before = world.now;
        world.next();
        assert_eq!(world.now, before + 3600 * SECOND);
        assert_eq!((world.told, world.overall), (alloc::vec![(addr(PUBLIC), decided)], decided));
    }
}

#[test]
fn a_single_vote_changes_nothing_that_is_decided() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 30);
    for good in [true, true, false, true, true, false, true, true, false, true] {
        let question = world.next();
        world.vote(&question, good);
    }
    let _ = world.poll();
    assert_eq!(world.told, [(addr(PUBLIC), Public)]);
}

#[test]
fn servers_that_disagree_are_asked_again_after_five_minutes() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 30);
    for good in [true, false, true, false, true] {
        let question = world.next();
        world.vote(&question, good);
    }
    assert_eq!(world.waiting(), ClientWaiting::Contested(300 * SECOND));
}

#[test]
fn a_single_server_can_prove_an_address_but_not_deny_it() {
    for (good, expected) in [(true, Public), (false, Unknown)] {
        let mut world = World::new(one_by_one(), &[PUBLIC], 1);
        for _ in 0..6 {
            let question = world.next();
            world.vote(&question, good);
        }
        assert_eq!(world.client.reachability(&addr(PUBLIC)), Some(expected));
    }
}

#[test]
fn servers_without_a_vote_are_asked_first() {
    let config = ClientConfig { target: 5, server_pause: Duration::ZERO, ..one_by_one() };
    let mut world = World::new(config, &[PUBLIC], 5);
    let mut asked = Vec::new();
    for _ in 0..5 {
        let question = world.next();
        asked.push(question.server);
        world.vote(&question, true);
    }
    asked.sort_unstable();
    assert_eq!(asked, [1, 2, 3, 4, 5]);
}

#[test]
fn five_servers_that_refuse_in_a_row_pause_an_address() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 30);
    for _ in 0..4 {
        let question = world.next();
        world.refused(&question, Status::DIAL_REFUSED);
    }
    assert_eq!(world.now, Time::ZERO, "until then the next one is asked at once");
    let question = world.next();
    world.refused(&question, Status::DIAL_REFUSED);
    assert_eq!(world.waiting(), ClientWaiting::Refused(600 * SECOND));
    world.next();
    assert_eq!(world.now, Time::ZERO + 600 * SECOND);
}

#[test]
fn an_answer_about_a_later_address_is_a_refusal_of_those_before() {
    let mut world = World::new(ClientConfig { target: 9, ..one_by_one() }, &[PUBLIC, OTHER], 30);
    for refusals in 1..=5 {
        assert!(!matches!(world.waiting(), ClientWaiting::Refused(_)), "before refusal number {refusals}");
        let question = world.next();
        world.hear(question.nonce, OTHER);
        world.probed(&question, 1, DialStatus::OK);
    }
    assert_eq!(world.waiting(), ClientWaiting::Refused(600 * SECOND));
}

#[test]
fn a_vote_between_refusals_begins_their_count_anew() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 30);
    for refused in [true, true, true, true, false, true, true, true, true] {
        let question = world.next();
        if refused {
            world.refused(&question, Status::DIAL_REFUSED);
        } else {
            world.vote(&question, true);
        }
    }
    assert!(matches!(world.waiting(), ClientWaiting::Answers(1)), "{:?}", world.waiting());
}

#[test]
fn questions_without_a_vote_back_off_from_5_seconds_to_5_minutes() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 30);
    let mut waits = Vec::new();
    for _ in 0..9 {
        let question = world.next();
        world.tell(ClientInput::Failed { ask: question.ask });
        let ClientWaiting::Backoff(wait) = world.waiting() else { panic!("{:?}", world.waiting()) };
        waits.push(wait.as_secs());
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    let question = world.next();
    world.vote(&question, true);
    let question = world.next();
    world.tell(ClientInput::Failed { ask: question.ask });
    assert_eq!(world.waiting(), ClientWaiting::Backoff(5 * SECOND), "a vote ends it");
}

#[test]
fn a_server_rests_for_two_minutes() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 1);
    let mut moments = Vec::new();
    for _ in 0..3 {
        let question = world.next();
        moments.push(world.now.since(Time::ZERO).as_secs());
        world.vote(&question, true);
    }
    assert_eq!(moments, [0, 120, 240]);
}

#[test]
fn another_network_asks_about_all_again_and_decides_nothing_by_itself() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 30);
    for _ in 0..3 {
        let question = world.next();
        world.vote(&question, true);
    }
    assert!(world.questions().is_empty());
    world.tell(ClientInput::NetworkChanged);
    assert_eq!(world.questions().len(), 1);
    assert_eq!(world.client.overall(), Public);
}

#[test]
fn addresses_that_stay_keep_their_votes_and_others_are_forgotten() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 30);
    for _ in 0..3 {
        let question = world.next();
        world.vote(&question, true);
    }
    world.tell(ClientInput::Addresses(&[addr(OTHER), addr(PUBLIC)]));
    assert_eq!(world.client.reachability(&addr(PUBLIC)), Some(Public));
    world.tell(ClientInput::Addresses(&[addr(OTHER)]));
    let _ = world.questions();
    assert_eq!((world.client.reachability(&addr(PUBLIC)), world.overall), (None, Unknown));
}

#[test]
fn a_vote_on_an_address_that_is_gone_counts_for_nothing() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 30);
    let question = world.next();
    world.tell(ClientInput::Addresses(&[addr(OTHER)]));
    world.vote(&question, true);
    assert_eq!(world.votes(), 0);
}

#[test]
fn the_overall_word_is_public_by_one_address_and_private_only_by_all() {
    let mut world = World::new(one_by_one(), &[PUBLIC, OTHER], 60);
    let decide = |world: &mut World, which: &str, good: bool| {
        while world.client.reachability(&addr(which)) != Some(if good { Public } else { Private }) {
            let question = world.next();
            let at = question.addresses.iter().position(|asked| *asked == addr(which));
            // A server that does not serve the purpose says so.
            let Some(at) = at else {
                world.refused(&question, Status::REQUEST_REJECTED);
                continue;
            };
            if good {
                world.hear(question.nonce, BEHIND_NAT);
            }
            let dial = if good { DialStatus::OK } else { DialStatus::DIAL_ERROR };
            world.probed(&question, u32::try_from(at).unwrap(), dial);
        }
    };
    decide(&mut world, PUBLIC, false);
    assert_eq!(world.client.overall(), Unknown, "one of two");
    decide(&mut world, OTHER, false);
    assert_eq!(world.client.overall(), Private);
    world.tell(ClientInput::NetworkChanged);
    decide(&mut world, OTHER, true);
    assert_eq!(world.client.overall(), Public);
    assert_eq!(world.client.reachability(&addr(PUBLIC)), Some(Private));
}

#[test]
fn votes_grow_old_when_no_server_is_left() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 3);
    for _ in 0..3 {
        let question = world.next();
        world.vote(&question, true);
    }
    for n in 1..=3 {
        world.tell(ClientInput::ServerGone { connection: ConnectionId(n) });
    }
    let end = Time::ZERO + 5 * 3600 * SECOND;
    assert_eq!(world.client.deadline(), end);
    world.now = end;
    world.client.on_timeout(end);
    assert_eq!(world.questions().len(), 0);
    assert_eq!((world.client.reachability(&addr(PUBLIC)), world.overall), (Some(Unknown), Unknown));
    assert!(world.client.deadline().is_never());
}
