use super::*;
use crate::autonat::testing::{addr, peer};
use crate::autonat::v1::Response;
use Reachability::{Private, Public, Unknown};
use proptest::prelude::*;
use tidewire_core::laws::{EventSubject, Limits, Step, Transcript, check_events};

const SECOND: Duration = Duration::from_secs(1);

fn fresh() -> Client {
    Client::new(ClientConfig::default(), &Seed::new([1; 32]), Time::ZERO)
}

fn server(client: &mut Client, now: Time, n: u8) {
    client.handle(now, ClientInput::Server { connection: ConnectionId(n.into()), peer: peer(n) }).unwrap();
}

fn own(client: &mut Client, now: Time) {
    client.handle(now, ClientInput::Addresses(&[addr("/ip4/8.8.8.8/tcp/4001")])).unwrap();
}

/// With one address and this many servers, past the boot delay.
fn booted(servers: u8) -> (Client, Time) {
    let mut client = fresh();
    own(&mut client, Time::ZERO);
    for n in 1..=servers {
        server(&mut client, Time::ZERO, n);
    }
    let now = Time::ZERO + 15 * SECOND;
    client.on_timeout(now);
    (client, now)
}

fn asked(client: &mut Client) -> Option<(AskId, ConnectionId)> {
    match client.poll()? {
        ClientAction::Ask { ask, connection, .. } => Some((ask, connection)),
        other => panic!("{other:?}"),
    }
}

fn answer(client: &mut Client, now: Time, ask: AskId, status: Status) {
    let answer = Answer::Dialed(Response { status, text: "".into(), address: None });
    client.handle(now, ClientInput::Answered { ask, answer: &answer }).unwrap();
}

/// Waits for the next question, gives this answer, and says what was told.
fn round(client: &mut Client, now: &mut Time, status: Option<Status>) -> Option<Reachability> {
    let mut question = asked(client);
    while question.is_none() {
        assert!(!client.deadline().is_never(), "no question will come");
        *now = client.deadline();
        client.on_timeout(*now);
        question = asked(client);
    }
    let (ask, _) = question.unwrap();
    match status {
        Some(status) => answer(client, *now, ask, status),
        None => client.handle(*now, ClientInput::Failed { ask }).unwrap(),
    }
    match client.poll() {
        None => None,
        Some(ClientAction::Reachability(told)) => Some(told),
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_asked_before_the_boot_delay_without_addresses_or_servers() {
    let mut client = fresh();
    assert!(client.deadline().is_never());
    assert_eq!(client.explain(Time::ZERO).waiting, ClientWaiting::Addresses);
    own(&mut client, Time::ZERO);
    assert_eq!(client.explain(Time::ZERO).waiting, ClientWaiting::Servers);
    assert!(client.deadline().is_never());
    server(&mut client, Time::ZERO, 1);
    assert_eq!(client.explain(Time::ZERO).waiting, ClientWaiting::Time(15 * SECOND));
    client.on_timeout(Time::from_millis(14_999));
    assert_eq!(client.poll(), None);
    client.on_timeout(Time::from_millis(15_000));
    assert!(asked(&mut client).is_some());
    assert_eq!(client.explain(Time::ZERO).waiting, ClientWaiting::Answer(peer(1)));
    assert_eq!(asked(&mut client), None, "one at a time");
}

#[test]
fn each_answer_counts_as_the_table_says() {
    let table = [
        (Some(Status::OK), Some(Public)),
        (Some(Status::DIAL_ERROR), Some(Private)),
        (Some(Status::DIAL_REFUSED), None),
        (Some(Status::BAD_REQUEST), None),
        (Some(Status::INTERNAL_ERROR), None),
        (Some(Status::from_code(7)), None),
        (None, None),
    ];
    for (status, told) in table {
        let (mut client, mut now) = booted(1);
        assert_eq!(round(&mut client, &mut now, status), told, "{status:?}");
    }
}

#[test]
fn a_decision_is_lost_only_when_confidence_is_used_up_but_public_comes_sooner() {
    /// What is answered, what is told, the confidence after it.
    type Round = (Option<Status>, Option<Reachability>, u32);
    let (ok, bad, refused) = (Some(Status::OK), Some(Status::DIAL_ERROR), Some(Status::DIAL_REFUSED));
    let table: [&[Round]; 7] = [
        // Up to three, and down again before it changes.
        &[
            (ok, Some(Public), 1),
            (ok, None, 2),
            (ok, None, 3),
            (ok, None, 3),
            (bad, None, 2),
            (bad, None, 1),
            (bad, None, 0),
            (bad, Some(Private), 1),
        ],
        // A single vote never turns it back.
        &[(ok, Some(Public), 1), (bad, None, 0), (ok, None, 1), (bad, None, 0), (ok, None, 1)],
        &[(bad, Some(Private), 1), (refused, None, 0), (bad, None, 1), (refused, None, 0), (refused, Some(Unknown), 0)],
        // Public at once, where one server alone said the contrary.
        &[(bad, Some(Private), 1), (ok, Some(Public), 1)],
        // What several agree on, one server's word does not turn.
        &[(bad, Some(Private), 1), (bad, None, 2), (bad, None, 3), (ok, None, 1), (ok, Some(Public), 1)],
        &[(bad, Some(Private), 1), (bad, None, 2), (ok, None, 1), (bad, None, 2), (ok, None, 1), (bad, None, 2)],
        &[(refused, None, 0), (None, None, 0), (ok, Some(Public), 1), (None, None, 0), (None, Some(Unknown), 0)],
    ];
    for steps in table {
        let (mut client, mut now) = booted(20);
        for (status, told, confidence) in steps {
            assert_eq!(round(&mut client, &mut now, *status), *told, "{status:?} of {steps:?}");
            assert_eq!(client.explain(now).confidence, *confidence, "{status:?} of {steps:?}");
        }
    }
}

#[test]
fn it_asks_each_90_seconds_until_it_is_sure_and_then_each_15_minutes() {
    let (mut client, mut now) = booted(20);
    let mut moments = Vec::new();
    for _ in 0..5 {
        round(&mut client, &mut now, Some(Status::OK));
        moments.push(now.since(Time::ZERO).as_secs());
    }
    assert_eq!(moments, [15, 105, 195, 195 + 900, 195 + 1800]);
}

#[test]
fn new_addresses_or_another_network_are_asked_about_sooner() {
    let (mut client, mut now) = booted(20);
    for _ in 0..3 {
        round(&mut client, &mut now, Some(Status::OK));
    }
    assert_eq!(client.deadline(), now + 900 * SECOND);
    client.handle(now, ClientInput::Addresses(&[addr("/ip4/8.8.8.8/tcp/4001")])).unwrap();
    assert_eq!(client.deadline(), now + 900 * SECOND, "the same ones are nothing new");
    client.handle(now, ClientInput::Addresses(&[addr("/ip4/8.8.8.8/tcp/4002")])).unwrap();
    assert_eq!(client.deadline(), now + 90 * SECOND);
    client.handle(now, ClientInput::NetworkChanged).unwrap();
    assert_eq!(client.deadline(), now + 15 * SECOND);
    assert_eq!(client.reachability(), Public, "that alone changes no answer");
}

#[test]
fn a_server_is_left_alone_after_it_was_asked_even_if_it_comes_again() {
    let (mut client, now) = booted(1);
    let (ask, connection) = asked(&mut client).unwrap();
    client.handle(now, ClientInput::ServerGone { connection }).unwrap();
    let config = ClientConfig { retry: SECOND, ..ClientConfig::default() };
    client.config = config;
    client.handle(now, ClientInput::Failed { ask }).unwrap();
    assert!(client.deadline().is_never());
    server(&mut client, now, 1);
    assert_eq!(client.deadline(), now + 90 * SECOND);
    server(&mut client, now, 2);
    assert_eq!(client.deadline(), now + SECOND, "another one may be asked");
}

#[test]
fn servers_are_drawn_by_the_seed_and_all_get_their_turn() {
    let order = |seed: u8| {
        let mut client = Client::new(ClientConfig::default(), &Seed::new([seed; 32]), Time::ZERO);
        own(&mut client, Time::ZERO);
        for n in 1..=6 {
            server(&mut client, Time::ZERO, n);
        }
        let mut connections = Vec::new();
        while connections.len() < 60 {
            let now = client.deadline();
            client.on_timeout(now);
            if let Some((ask, connection)) = asked(&mut client) {
                connections.push(connection.0);
                client.handle(now, ClientInput::Failed { ask }).unwrap();
            }
        }
        connections
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    for n in 1..=6 {
        assert!(order(3).contains(&n));
    }
}

#[test]
fn no_answer_in_time_is_cancelled_and_counts_as_unknown() {
    let (mut client, now) = booted(1);
    let (ask, _) = asked(&mut client).unwrap();
    let end = now + 30 * SECOND;
    assert_eq!(client.deadline(), end);
    client.on_timeout(end);
    assert_eq!(client.poll(), Some(ClientAction::CancelAsk { ask }));
    assert_eq!(client.handle(end, ClientInput::Failed { ask }), Err(ClientMisuse::UnknownAsk { ask }));
    assert_eq!(client.deadline(), end + 90 * SECOND);
}

#[test]
fn an_answer_to_something_else_changes_nothing() {
    let (mut client, now) = booted(1);
    let (ask, _) = asked(&mut client).unwrap();
    let other = ClientInput::Answered { ask, answer: &Answer::BackHeard };
    assert_eq!(client.handle(now, other), Err(ClientMisuse::OtherAnswer { ask }));
    answer(&mut client, now, ask, Status::OK);
    assert_eq!(client.poll(), Some(ClientAction::Reachability(Public)));
}

#[test]
fn what_is_asked_has_no_relayed_address_no_id_and_a_cap() {
    let mut client = fresh();
    let relay = peer(9);
    let mut addresses: Vec<Multiaddr> = (1..40).map(|port| Multiaddr::tcp(([8, 8, 8, 8], port).into())).collect();
    addresses.insert(0, addr(alloc::format!("/ip4/8.8.4.4/tcp/1/p2p/{relay}/p2p-circuit")));
    addresses.insert(1, addr(alloc::format!("/ip4/8.8.8.8/tcp/1/p2p/{}", peer(7))));
    client.handle(Time::ZERO, ClientInput::Addresses(&addresses)).unwrap();
    server(&mut client, Time::ZERO, 1);
    client.on_timeout(Time::ZERO + 15 * SECOND);
    let Some(ClientAction::Ask { what: Ask::DialMe { addresses }, .. }) = client.poll() else { panic!("nothing") };
    let expected: Vec<Multiaddr> = (1..17).map(|port| Multiaddr::tcp(([8, 8, 8, 8], port).into())).collect();
    assert_eq!(addresses, expected);
}

#[test]
fn the_explanation_is_for_a_person() {
    let (mut client, mut now) = booted(2);
    round(&mut client, &mut now, Some(Status::OK));
    let text = alloc::string::ToString::to_string(&client.explain(now));
    assert_eq!(text, "public (confidence 1, 2 servers); the next question is due in 90 s");
}

struct Subject;

#[derive(Clone)]
enum Told {
    Server(u8),
    Gone(u8),
    Addresses(&'static [&'static str]),
    Network,
    Failed(u64),
}

impl EventSubject for Subject {
    type Machine = Client;
    type Input = Told;

    fn machine(&self) -> Client {
        fresh()
    }

    fn apply(&self, client: &mut Client, now: Time, told: &Told) -> Result<(), ClientMisuse> {
        match told {
            Told::Server(n) => {
                client.handle(now, ClientInput::Server { connection: ConnectionId((*n).into()), peer: peer(*n) })
            }
            Told::Gone(n) => client.handle(now, ClientInput::ServerGone { connection: ConnectionId((*n).into()) }),
            Told::Addresses(texts) => {
                let addresses: Vec<Multiaddr> = texts.iter().map(addr).collect();
                client.handle(now, ClientInput::Addresses(&addresses))
            }
            Told::Network => client.handle(now, ClientInput::NetworkChanged),
            Told::Failed(ask) => client.handle(now, ClientInput::Failed { ask: AskId(*ask) }),
        }
    }

    fn on_action(&self, client: &mut Client, now: Time, action: ClientAction, seen: &mut Transcript) {
        seen.note(&action);
        if let ClientAction::Ask { ask, .. } = action {
            let status = [Status::OK, Status::DIAL_ERROR, Status::DIAL_REFUSED][usize::try_from(ask.0 % 3).unwrap()];
            if ask.0 % 4 != 3 {
                answer(client, now, ask, status);
            }
        }
    }
}

#[test]
fn it_keeps_the_laws() {
    let script = [
        Step::Input(Told::Addresses(&["/ip4/8.8.8.8/tcp/4001"])),
        Step::Input(Told::Server(1)),
        Step::Input(Told::Server(2)),
        Step::Wait(400 * SECOND),
        Step::Input(Told::Gone(1)),
        Step::Input(Told::Failed(0)),
        Step::Input(Told::Server(3)),
        Step::Wait(4000 * SECOND),
        Step::Input(Told::Network),
        Step::Input(Told::Addresses(&[])),
        Step::Wait(400 * SECOND),
        Step::Input(Told::Addresses(&["/ip4/8.8.8.8/tcp/4002"])),
        Step::Wait(1000 * SECOND),
    ];
    check_events(&Subject, &script, Limits { memory: 16 * 1024, ..Limits::default() }).unwrap();
}

proptest! {
    /// Beside the rule itself, written as a table of five lines.
    #[test]
    fn any_votes_count_as_the_rule_says(votes in prop::collection::vec(0u8..3, 0..60)) {
        let (mut client, mut now) = booted(30);
        let (mut state, mut confidence) = (Unknown, 0u32);
        for vote in votes {
            let (status, vote) = [
                (Some(Status::OK), Public),
                (Some(Status::DIAL_ERROR), Private),
                (Some(Status::DIAL_REFUSED), Unknown),
            ][usize::from(vote)];
            let told = round(&mut client, &mut now, status);
            let changed = match (vote == state, vote == Public, confidence) {
                (true, ..) => { confidence = if state == Unknown { 0 } else { (confidence + 1).min(3) }; false }
                (false, true, 2..) if state == Private => { confidence = 1; false }
                (false, true, _) | (false, false, 0) => true,
                _ => { confidence -= 1; false }
            };
            if changed {
                (state, confidence) = (vote, u32::from(vote != Unknown));
            }
            prop_assert_eq!(told, changed.then_some(state));
            prop_assert_eq!((client.reachability(), client.explain(now).confidence), (state, confidence));
        }
    }
}
