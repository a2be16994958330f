//! Questions, answers and nonces; [`voting`] is about what votes lead to.

mod laws;
mod model;
mod voting;

use super::*;
use crate::autonat::testing::{addr, peer, stream};
use Reachability::{Private, Public, Unknown};
use core::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const PUBLIC: &str = "/ip4/8.8.8.8/tcp/4001";
const OTHER: &str = "/ip4/8.8.4.4/tcp/4001";
const BEHIND_NAT: &str = "/ip4/192.168.1.2/tcp/4001";

/// A client with a host around it that answers.
struct World {
    client: Client,
    now: Time,
    told: Vec<(Multiaddr, Reachability)>,
    overall: Reachability,
}

/// A question that was asked.
#[derive(Clone, Debug)]
struct Question {
    ask: AskId,
    server: u64,
    nonce: u64,
    addresses: Vec<Multiaddr>,
}

impl World {
    fn new(config: ClientConfig, addresses: &[&str], servers: u8) -> World {
        let client = Client::new(config, &Seed::new([1; 32]));
        let mut world = World { client, now: Time::ZERO, told: Vec::new(), overall: Unknown };
        let addresses: Vec<Multiaddr> = addresses.iter().map(addr).collect();
        for n in 1..=servers {
            let connection = ConnectionId(n.into());
            world.tell(ClientInput::Server { connection, peer: peer(n) });
        }
        world.tell(ClientInput::Addresses(&addresses));
        world
    }

    fn tell(&mut self, input: ClientInput<'_>) {
        self.client.handle(self.now, input).unwrap();
    }

    fn poll(&mut self) -> Option<ClientAction> {
        loop {
            match self.client.poll()? {
                ClientAction::Address { address, reachability, .. } => self.told.push((address, reachability)),
                ClientAction::Overall(overall) => self.overall = overall,
                other => return Some(other),
            }
        }
    }

    /// All that is asked now.
    fn questions(&mut self) -> Vec<Question> {
        let mut questions = Vec::new();
        while let Some(action) = self.poll() {
            let ClientAction::Ask { ask, connection, what: Ask::Probe { nonce, addresses } } = action else {
                panic!("{action:?}")
            };
            questions.push(Question { ask, server: connection.0, nonce, addresses });
        }
        questions
    }

    /// The next question, however long it takes; there must be only one.
    fn next(&mut self) -> Question {
        let mut questions = self.questions();
        while questions.is_empty() {
            assert!(!self.client.deadline().is_never(), "no question will come");
            self.now = self.client.deadline();
            self.client.on_timeout(self.now);
            questions = self.questions();
        }
        assert_eq!(questions.len(), 1, "{questions:?}");
        questions.remove(0)
    }

    fn answer(&mut self, question: &Question, answer: &Answer) {
        self.tell(ClientInput::Answered { ask: question.ask, answer });
    }

    fn probed(&mut self, question: &Question, index: u32, dial: DialStatus) {
        self.answer(question, &Answer::Probed(Response::dialed(index, dial)));
    }

    fn refused(&mut self, question: &Question, status: Status) {
        self.answer(question, &Answer::Probed(Response::refused(status)));
    }

    /// The nonce comes on a new connection that ends here.
    fn hear(&mut self, nonce: u64, local: &str) -> ClientAction {
        let local = addr(local);
        let on = HeardOn { inbound: true, since: self.now, local: &local };
        self.hear_on(nonce, on)
    }

    fn hear_on(&mut self, nonce: u64, on: HeardOn<'_>) -> ClientAction {
        self.tell(ClientInput::DialBackHeard { stream: stream(77), on, nonce });
        self.poll().unwrap()
    }

    /// The server reaches the first address, or doesn't.
    fn vote(&mut self, question: &Question, good: bool) {
        if good {
            self.hear(question.nonce, BEHIND_NAT);
            self.probed(question, 0, DialStatus::OK);
        } else {
            self.probed(question, 0, DialStatus::DIAL_ERROR);
        }
    }

    fn votes(&self) -> u32 {
        self.client.explain(self.now).addresses[0].votes
    }

    fn waiting(&self) -> ClientWaiting {
        self.client.explain(self.now).addresses[0].waiting
    }
}

/// One question at a time.
fn one_by_one() -> ClientConfig {
    ClientConfig { at_once: 1, ..ClientConfig::default() }
}

fn heard() -> ClientAction {
    ClientAction::Reply { stream: stream(77), reply: Reply::BackHeard }
}

#[test]
fn each_answer_counts_as_the_table_says() {
    let (ok, back, error) = (DialStatus::OK, DialStatus::DIAL_BACK_ERROR, DialStatus::DIAL_ERROR);
    let table = [
        // what the server says, the nonce was heard, what the vote is
        (ok, true, Some(true)),
        (ok, false, None),
        (back, true, Some(true)),
        (back, false, None),
        (error, false, Some(false)),
        (error, true, None),
        (DialStatus::UNUSED, true, None),
        (DialStatus::UNUSED, false, None),
        (DialStatus::from_code(7), true, None),
        (DialStatus::from_code(7), false, None),
    ];
    for (dial, came, expected) in table {
        let mut world = World::new(one_by_one(), &[PUBLIC], 1);
        let question = world.next();
        if came {
            assert_eq!(world.hear(question.nonce, PUBLIC), heard());
        }
        world.probed(&question, 0, dial);
        world.now = world.now + 5 * SECOND;
        world.client.on_timeout(world.now);
        assert_eq!(world.questions().len(), 0);
        assert_eq!(world.votes(), u32::from(expected.is_some()), "{dial} heard {came}");
        if let Some(good) = expected {
            let config = ClientConfig::default();
            let tracked = &mut world.client.addresses[0];
            tracked.vote(&config, world.now, peer(9), good);
            assert_eq!(tracked.votes.reachability(), if good { Public } else { Private }, "{dial} heard {came}");
        }
    }
}

#[test]
fn answers_without_a_dial_are_no_votes() {
    for status in [Status::REQUEST_REJECTED, Status::DIAL_REFUSED, Status::INTERNAL_ERROR, Status::from_code(9)] {
        let mut world = World::new(one_by_one(), &[PUBLIC], 1);
        let question = world.next();
        world.hear(question.nonce, PUBLIC);
        world.refused(&question, status);
        assert_eq!(world.votes(), 0, "{status}");
    }
    let mut world = World::new(one_by_one(), &[PUBLIC], 1);
    let question = world.next();
    world.tell(ClientInput::Failed { ask: question.ask });
    assert_eq!((world.votes(), world.waiting()), (0, ClientWaiting::Backoff(5 * SECOND)));
}

#[test]
fn a_dial_back_may_come_shortly_after_the_answer_and_not_later() {
    for (after, votes) in [(4999, 1), (5000, 0)] {
        let mut world = World::new(one_by_one(), &[PUBLIC], 1);
        let question = world.next();
        world.probed(&question, 0, DialStatus::OK);
        assert_eq!(world.votes(), 0);
        let local = addr(PUBLIC);
        let on = HeardOn { inbound: true, since: world.now, local: &local };
        world.now = Time::from_millis(after);
        world.client.on_timeout(world.now);
        world.tell(ClientInput::DialBackHeard { stream: stream(77), on, nonce: question.nonce });
        assert_eq!(world.votes(), votes, "after {after} ms");
    }
}

#[test]
fn a_nonce_that_is_not_ours_is_reset_and_proves_nothing() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 1);
    let question = world.next();
    for nonce in [0, 1, question.nonce ^ 1] {
        assert_eq!(world.hear(nonce, PUBLIC), ClientAction::Reset { stream: stream(77) });
    }
    world.probed(&question, 0, DialStatus::OK);
    world.now = world.now + 5 * SECOND;
    world.client.on_timeout(world.now);
    assert_eq!(world.votes(), 0);
    let late = world.hear(question.nonce, PUBLIC);
    assert_eq!(late, ClientAction::Reset { stream: stream(77) }, "that question is over");
}

#[test]
fn a_nonce_proves_an_address_only_on_a_new_inbound_connection_to_it() {
    let table = [
        // inbound, made how long after the question, our end, whether it proves
        (true, 40, PUBLIC, true),
        (true, 0, PUBLIC, true),
        (true, 40, BEHIND_NAT, true),
        (false, 40, PUBLIC, false),
        (true, -1, PUBLIC, false),
        (true, 40, "/ip4/8.8.8.8/tcp/4002", false),
        (true, 40, OTHER, false),
        (true, 40, "/ip4/192.168.1.2/udp/4001/quic-v1", false),
        (true, 40, "/ip6/fd00::1/tcp/4001", false),
    ];
    for (inbound, after, local, proves) in table {
        let mut world = World::new(one_by_one(), &[], 1);
        world.now = Time::from_millis(1000);
        world.tell(ClientInput::Addresses(&[addr(PUBLIC)]));
        let question = world.next();
        let since = Time::from_millis(u64::try_from(1000 + after).unwrap());
        world.now = Time::from_millis(1100);
        let local_end = addr(local);
        let on = HeardOn { inbound, since, local: &local_end };
        assert_eq!(world.hear_on(question.nonce, on), heard(), "the server did what it was asked");
        world.probed(&question, 0, DialStatus::OK);
        world.now = world.now + 5 * SECOND;
        world.client.on_timeout(world.now);
        assert_eq!(world.votes(), u32::from(proves), "inbound {inbound}, after {after} ms, at {local}");
    }
}

#[test]
fn a_server_that_names_the_wrong_address_proves_nothing() {
    let mut world = World::new(one_by_one(), &[PUBLIC, OTHER], 1);
    let question = world.next();
    assert_eq!(question.addresses, [addr(PUBLIC), addr(OTHER)]);
    world.hear(question.nonce, OTHER);
    world.probed(&question, 0, DialStatus::OK);
    world.now = world.now + 5 * SECOND;
    world.client.on_timeout(world.now);
    assert_eq!(world.votes(), 0);
}

#[test]
fn an_answer_about_a_later_address_counts_for_it_and_refuses_those_before() {
    let mut world = World::new(one_by_one(), &[PUBLIC, OTHER], 9);
    for _ in 0..2 {
        let question = world.next();
        world.hear(question.nonce, OTHER);
        world.probed(&question, 1, DialStatus::OK);
    }
    let _ = world.poll();
    assert_eq!(world.client.reachability(&addr(OTHER)), Some(Public));
    assert_eq!(world.client.reachability(&addr(PUBLIC)), Some(Unknown));
    assert_eq!(world.client.reachability(&addr("/ip4/1.1.1.1/tcp/1")), None);
}

#[test]
fn what_costs_is_paid_only_if_the_address_wants_a_vote_and_the_price_is_fair() {
    for (price, paid) in [(0, true), (30_000, true), (100_000, true), (100_001, false), (u64::MAX, false)] {
        let mut world = World::new(one_by_one(), &[PUBLIC], 1);
        let question = world.next();
        world.answer(&question, &Answer::CostAsked { index: 0, bytes: price });
        let ask = question.ask;
        let expected = if paid { ClientAction::Pay { ask } } else { ClientAction::CancelAsk { ask } };
        assert_eq!(world.poll(), Some(expected), "{price} bytes");
        if paid {
            world.vote(&question, true);
            assert_eq!(world.votes(), 1);
        }
    }
    let mut world = World::new(ClientConfig { max_cost: 0, ..one_by_one() }, &[PUBLIC], 1);
    let question = world.next();
    world.answer(&question, &Answer::CostAsked { index: 0, bytes: 1 });
    assert_eq!(world.poll(), Some(ClientAction::CancelAsk { ask: question.ask }), "0 means never");
}

/// It took the data and does not dial, as for a name: what it would never dial must not keep the others from being asked about.
#[test]
fn an_internal_error_after_paying_is_a_refusal() {
    let config = ClientConfig { max_refusals: 1, ..one_by_one() };
    for pays in [false, true] {
        let mut world = World::new(config.clone(), &[PUBLIC, OTHER], 9);
        let question = world.next();
        assert_eq!(question.addresses, [addr(PUBLIC), addr(OTHER)]);
        if pays {
            world.answer(&question, &Answer::CostAsked { index: 0, bytes: 50_000 });
            assert_eq!(world.poll(), Some(ClientAction::Pay { ask: question.ask }));
        }
        world.refused(&question, Status::INTERNAL_ERROR);
        let waiting = world.client.explain(world.now).addresses[0].waiting;
        assert_eq!(matches!(waiting, ClientWaiting::Refused(_)), pays, "{waiting:?}");
        assert_eq!(world.next().addresses, [addr(OTHER)]);
    }
}

#[test]
fn nothing_is_paid_for_an_address_that_is_given_up_or_twice() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 1);
    let question = world.next();
    world.tell(ClientInput::Addresses(&[]));
    world.answer(&question, &Answer::CostAsked { index: 0, bytes: 30_000 });
    assert_eq!(world.poll(), Some(ClientAction::CancelAsk { ask: question.ask }));
    let mut world = World::new(one_by_one(), &[PUBLIC], 1);
    let question = world.next();
    let cost = Answer::CostAsked { index: 0, bytes: 30_000 };
    world.answer(&question, &cost);
    let twice = ClientInput::Answered { ask: question.ask, answer: &cost };
    let misuse = ClientMisuse::OtherAnswer { ask: question.ask };
    assert_eq!(world.client.handle(world.now, twice), Err(misuse));
}

#[test]
fn only_direct_public_addresses_are_asked_about() {
    let relayed = alloc::format!("{PUBLIC}/p2p/{}/p2p-circuit", peer(9));
    let own = alloc::format!("/ip4/8.8.4.4/tcp/1/p2p/{}", peer(8));
    let addresses = ["/ip4/10.0.0.1/tcp/1", &relayed, "/ip4/127.0.0.1/tcp/1", "/ip4/0.0.0.0/tcp/1", PUBLIC, &own];
    let mut world = World::new(one_by_one(), &addresses, 1);
    assert_eq!(world.next().addresses, [addr(PUBLIC), addr("/ip4/8.8.4.4/tcp/1")]);
    let config = ClientConfig { allow_private: true, ..one_by_one() };
    let mut world = World::new(config, &addresses, 1);
    assert_eq!(world.next().addresses.len(), 4);
}

#[test]
fn nothing_is_asked_without_an_address_or_a_server() {
    let mut world = World::new(one_by_one(), &[], 3);
    assert!(world.questions().is_empty() && world.client.deadline().is_never());
    let mut world = World::new(one_by_one(), &[PUBLIC], 0);
    assert!(world.questions().is_empty() && world.client.deadline().is_never());
    assert_eq!(world.waiting(), ClientWaiting::Server);
    world.tell(ClientInput::Server { connection: ConnectionId(1), peer: peer(1) });
    assert_eq!(world.questions().len(), 1);
    assert_eq!(world.waiting(), ClientWaiting::Answers(1));
}

#[test]
fn questions_go_to_different_servers_as_many_as_votes_are_lacking() {
    let mut world = World::new(ClientConfig::default(), &[PUBLIC], 9);
    let questions = world.questions();
    assert_eq!(questions.len(), 3);
    let mut servers: Vec<u64> = questions.iter().map(|question| question.server).collect();
    let mut nonces: Vec<u64> = questions.iter().map(|question| question.nonce).collect();
    servers.sort_unstable();
    servers.dedup();
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!((servers.len(), nonces.len()), (3, 3));
    for question in &questions {
        world.vote(question, true);
    }
    assert_eq!(world.questions().len(), 0);
    assert_eq!(world.waiting(), ClientWaiting::Recheck(3600 * SECOND));
    assert_eq!(world.told, [(addr(PUBLIC), Public)]);
}

#[test]
fn one_question_carries_at_most_ten_addresses_of_fifty_that_are_followed() {
    let many: Vec<_> = (1..80).map(|port| alloc::format!("/ip4/8.8.8.8/tcp/{port}")).collect();
    let many: Vec<&str> = many.iter().map(|text| &text[..]).collect();
    let mut world = World::new(ClientConfig::default(), &many, 9);
    assert_eq!(world.client.explain(world.now).addresses.len(), 50);
    let questions = world.questions();
    assert_eq!(questions.len(), 5, "at once");
    assert!(questions.iter().all(|question| question.addresses.len() <= 10));
    assert_eq!(questions[0].addresses[0], addr(many[0]), "best first");
}

#[test]
fn an_answer_in_time_or_the_question_is_cancelled() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 1);
    let question = world.next();
    assert_eq!(world.client.deadline(), world.now + 20 * SECOND);
    world.now = world.now + 20 * SECOND;
    world.client.on_timeout(world.now);
    assert_eq!(world.poll(), Some(ClientAction::CancelAsk { ask: question.ask }));
    let misuse = ClientMisuse::UnknownAsk { ask: question.ask };
    assert_eq!(world.client.handle(world.now, ClientInput::Failed { ask: question.ask }), Err(misuse));
}

#[test]
fn a_server_that_is_gone_is_not_asked_and_one_that_comes_again_still_rests() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 2);
    let question = world.next();
    let rest = if question.server == 1 { 2 } else { 1 };
    world.tell(ClientInput::ServerGone { connection: ConnectionId(rest) });
    world.vote(&question, true);
    assert_eq!(world.client.deadline(), Time::ZERO + 120 * SECOND, "the only one that is left rests");
    world.tell(ClientInput::ServerGone { connection: ConnectionId(question.server) });
    assert_eq!(world.client.deadline(), Time::ZERO + 5 * 3600 * SECOND, "only its vote grows old");
    let back = ClientInput::Server { connection: ConnectionId(9), peer: peer(u8::try_from(question.server).unwrap()) };
    world.tell(back);
    assert_eq!(world.client.deadline(), Time::ZERO + 120 * SECOND);
}

#[test]
fn the_explanation_is_for_a_person() {
    let mut world = World::new(one_by_one(), &[PUBLIC], 2);
    let question = world.next();
    world.vote(&question, true);
    let text = alloc::string::ToString::to_string(&world.client.explain(world.now));
    assert_eq!(text, "unknown, 2 servers\n/ip4/8.8.8.8/tcp/4001: unknown (1 votes, a lead of 1); 1 servers are asked");
}
