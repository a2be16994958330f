use super::*;
use crate::RateConfig;
use crate::autonat::testing::{addr, peer, stream};
use alloc::format;
use alloc::vec;
use proptest::prelude::*;
use tidewire_core::laws::{EventSubject, Limits, Step as Script, Transcript, check_events};

const SECOND: Duration = Duration::from_secs(1);
const REMOTE: &str = "/ip4/8.8.4.4/tcp/50123";

fn fresh() -> Server {
    Server::new(ServerConfig::default(), &Seed::new([1; 32]))
}

fn open(server: &mut Server, now: Time, n: u64, from: u8, remote: &str) -> Option<ServerAction> {
    let remote = addr(remote);
    server.handle(now, ServerInput::Opened { stream: stream(n), peer: peer(from), remote: &remote }).unwrap();
    server.poll()
}

fn ask(server: &mut Server, now: Time, n: u64, addresses: &[&str]) -> Option<ServerAction> {
    let request = Request::DialMe { addresses: addresses.iter().map(addr).collect() };
    server.handle(now, ServerInput::Requested { stream: stream(n), request: &request }).unwrap();
    server.poll()
}

fn dialed(action: Option<ServerAction>) -> (DialBackId, Vec<Multiaddr>) {
    match action {
        Some(ServerAction::DialBack { attempt, addresses, timeout, .. }) => {
            assert_eq!(timeout, 15 * SECOND);
            (attempt, addresses)
        }
        other => panic!("{other:?}"),
    }
}

fn status(action: Option<ServerAction>) -> (Status, Option<Multiaddr>) {
    match action {
        Some(ServerAction::Reply { reply: Reply::Dialed(response), .. }) => (response.status, response.address),
        other => panic!("{other:?}"),
    }
}

fn refusal(action: Option<ServerAction>) -> alloc::string::String {
    match action {
        Some(ServerAction::Reply {
            reply: Reply::Dialed(Response { status: Status::DIAL_REFUSED, text, .. }), ..
        }) => text.into(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_is_refused_unread_hears_the_first_reason_that_matches() {
    let relayed = format!("/ip4/8.8.4.4/tcp/1/p2p/{}/p2p-circuit", peer(9));
    let table: [(&str, &str); 5] = [
        (&relayed, "your IP address is not known here: ask over a direct connection"),
        ("/unix/x", "your IP address is not known here: ask over a direct connection"),
        ("/ip4/192.168.1.2/tcp/1", "you come from a private address"),
        ("/ip4/127.0.0.1/tcp/1", "you come from a private address"),
        ("/ip6/fe80::1/tcp/1", "you come from a private address"),
    ];
    for (remote, why) in table {
        let mut server = fresh();
        assert_eq!(refusal(open(&mut server, Time::ZERO, 1, 1, remote)), why);
        assert_eq!((server.requests.len(), server.all.len()), (0, 0), "it costs nothing");
    }
    let mut server = Server::new(ServerConfig { max_requests: 1, ..ServerConfig::default() }, &Seed::new([1; 32]));
    assert_eq!(open(&mut server, Time::ZERO, 1, 1, REMOTE), Some(ServerAction::Admit { stream: stream(1) }));
    assert_eq!(refusal(open(&mut server, Time::ZERO, 2, 2, REMOTE)), "too many requests at one time");
}

#[test]
fn thirty_a_minute_and_three_of_one_peer_are_let_in() {
    let mut server = fresh();
    for n in 0..3 {
        assert!(matches!(open(&mut server, Time::ZERO, n, 1, REMOTE), Some(ServerAction::Admit { .. })));
    }
    assert_eq!(refusal(open(&mut server, Time::ZERO, 3, 1, REMOTE)), "too many requests from you");
    for n in 4..31 {
        let from = u8::try_from(n).unwrap();
        assert!(matches!(open(&mut server, Time::ZERO, n, from, REMOTE), Some(ServerAction::Admit { .. })));
    }
    assert_eq!(refusal(open(&mut server, Time::ZERO, 31, 99, REMOTE)), "too many requests");
    let again = open(&mut server, Time::ZERO + 20 * SECOND, 32, 1, REMOTE);
    assert!(matches!(again, Some(ServerAction::Admit { .. })), "one more of a peer each 20 s");
    assert_eq!((server.counters().admitted, server.counters().refused), (31, 2));
}

#[test]
fn only_the_observed_ip_is_dialed_whatever_is_asked() {
    let mut server = fresh();
    open(&mut server, Time::ZERO, 1, 1, REMOTE);
    let other = format!("/ip4/8.8.4.4/tcp/7/p2p/{}", peer(2));
    let own = format!("/ip4/1.1.1.1/tcp/8/p2p/{}", peer(1));
    let relayed = format!("/ip4/8.8.4.4/tcp/9/p2p/{}/p2p-circuit", peer(3));
    let asked = [
        "/ip4/8.8.4.4/tcp/4001",
        "/ip4/1.1.1.1/tcp/4002",
        "/ip4/192.168.1.1/tcp/4003",
        "/ip6/2606:4700::1/tcp/4004",
        "/dns4/victim.org/tcp/4005",
        "/ip4/8.8.4.4/udp/4006/quic-v1",
        "/ip4/8.8.4.4/tcp/4001",
        "/ip4/8.8.4.4/tcp/0",
        &other,
        &own,
        &relayed,
    ];
    let (_, addresses) = dialed(ask(&mut server, Time::ZERO, 1, &asked));
    let expected = [50123, 4001, 4002, 4003, 4004, 8].map(|port| addr(format!("/ip4/8.8.4.4/tcp/{port}")));
    assert_eq!(addresses, expected);
}

#[test]
fn at_most_sixteen_addresses_are_dialed_and_none_is_a_refusal() {
    let many: Vec<_> = (1..60).map(|port| format!("/ip4/8.8.4.4/tcp/{port}")).collect();
    let many: Vec<&str> = many.iter().map(|text| &text[..]).collect();
    let config = ServerConfig { dial_observed: false, ..ServerConfig::default() };
    let mut server = Server::new(config, &Seed::new([1; 32]));
    open(&mut server, Time::ZERO, 1, 1, REMOTE);
    assert_eq!(dialed(ask(&mut server, Time::ZERO, 1, &many)).1.len(), 16);
    for asked in [&[][..], &["/dns4/victim.org/tcp/1", "/ip4/8.8.4.4/udp/1/quic-v1"]] {
        open(&mut server, Time::ZERO, 2, 2, REMOTE);
        assert_eq!(refusal(ask(&mut server, Time::ZERO, 2, asked)), "no address of yours can be dialed from here");
        assert!(server.requests.get(stream(2)).is_err());
    }
}

#[test]
fn a_success_is_told_at_once_with_its_address() {
    let mut server = fresh();
    open(&mut server, Time::ZERO, 1, 1, REMOTE);
    let (attempt, addresses) = dialed(ask(&mut server, Time::ZERO, 1, &["/ip4/8.8.4.4/tcp/4001"]));
    let now = Time::from_millis(80);
    server.handle(now, ServerInput::DialedBack { attempt, reached: addresses.get(1) }).unwrap();
    assert_eq!(status(server.poll()), (Status::OK, Some(addr("/ip4/8.8.4.4/tcp/4001"))));
    assert!(server.deadline().is_never() && server.requests.is_empty());
}

#[test]
fn a_failure_is_told_only_after_the_full_time() {
    let mut server = fresh();
    open(&mut server, Time::ZERO, 1, 1, REMOTE);
    let asked_at = Time::from_millis(300);
    let (attempt, _) = dialed(ask(&mut server, asked_at, 1, &["/ip4/8.8.4.4/tcp/4001"]));
    let early = Time::from_millis(301);
    server.handle(early, ServerInput::DialedBack { attempt, reached: None }).unwrap();
    assert_eq!(server.poll(), None, "a port scan learns nothing from a quick no");
    let end = asked_at + 15 * SECOND;
    assert_eq!(server.deadline(), end);
    assert_eq!(server.explain(end).requests, vec![(stream(1), peer(1), ServerStep::Failed(Duration::ZERO))]);
    server.on_timeout(end);
    assert_eq!(status(server.poll()), (Status::DIAL_ERROR, None));
}

#[test]
fn what_was_not_tried_is_told_at_once_and_says_nothing_of_being_reached() {
    let mut server = fresh();
    open(&mut server, Time::ZERO, 1, 1, REMOTE);
    let (attempt, _) = dialed(ask(&mut server, Time::ZERO, 1, &["/ip4/8.8.4.4/tcp/4001"]));
    server.handle(Time::ZERO, ServerInput::NotDialed { attempt }).unwrap();
    assert_eq!(status(server.poll()), (Status::INTERNAL_ERROR, None));
    let again = server.handle(Time::ZERO, ServerInput::NotDialed { attempt });
    assert_eq!(again, Err(ServerMisuse::UnknownAttempt { attempt }));
    assert!(server.deadline().is_never() && server.requests.is_empty());
}

#[test]
fn a_dial_without_a_result_is_cancelled_and_told_as_failed() {
    let mut server = fresh();
    open(&mut server, Time::ZERO, 1, 1, REMOTE);
    let (attempt, _) = dialed(ask(&mut server, Time::ZERO, 1, &[]));
    server.on_timeout(Time::ZERO + 15 * SECOND);
    assert_eq!(server.poll(), Some(ServerAction::CancelDialBack { attempt }));
    assert_eq!(status(server.poll()), (Status::DIAL_ERROR, None));
    let late = server.handle(Time::ZERO + 16 * SECOND, ServerInput::DialedBack { attempt, reached: None });
    assert_eq!(late, Err(ServerMisuse::UnknownAttempt { attempt }));
}

#[test]
fn who_asks_nothing_is_reset_and_who_goes_is_forgotten() {
    let mut server = fresh();
    open(&mut server, Time::ZERO, 1, 1, REMOTE);
    open(&mut server, Time::ZERO, 2, 2, REMOTE);
    let (attempt, _) = dialed(ask(&mut server, Time::ZERO, 2, &[]));
    server.handle(Time::ZERO, ServerInput::Gone { stream: stream(2) }).unwrap();
    assert_eq!(server.poll(), Some(ServerAction::CancelDialBack { attempt }));
    server.on_timeout(Time::ZERO + 60 * SECOND);
    assert_eq!(server.poll(), Some(ServerAction::Reset { stream: stream(1) }));
    assert!(server.requests.is_empty());
}

#[test]
fn misuse_changes_nothing() {
    let mut server = fresh();
    let request = Request::DialMe { addresses: vec![] };
    let unknown = ServerInput::Requested { stream: stream(1), request: &request };
    assert_eq!(server.handle(Time::ZERO, unknown), Err(ServerMisuse::UnknownStream { stream: stream(1) }));
    open(&mut server, Time::ZERO, 1, 1, REMOTE);
    let remote = addr(REMOTE);
    let twice = ServerInput::Opened { stream: stream(1), peer: peer(1), remote: &remote };
    assert_eq!(server.handle(Time::ZERO, twice), Err(ServerMisuse::Twice { stream: stream(1) }));
    let other = ServerInput::Requested { stream: stream(1), request: &Request::Reserve };
    assert_eq!(server.handle(Time::ZERO, other), Err(ServerMisuse::OtherRequest { stream: stream(1) }));
    dialed(ask(&mut server, Time::ZERO, 1, &[]));
    let again = ServerInput::Requested { stream: stream(1), request: &request };
    assert_eq!(server.handle(Time::ZERO, again), Err(ServerMisuse::OtherRequest { stream: stream(1) }));
    assert_eq!(server.poll(), None);
}

#[test]
fn the_explanation_is_for_a_person() {
    let mut server = fresh();
    open(&mut server, Time::ZERO, 1, 1, REMOTE);
    let text = alloc::string::ToString::to_string(&server.explain(Time::ZERO));
    let expected =
        format!("1 let in, 0 refused unread, 0 dials, 0 reached\nc1/s0 of {}: waits for the request", peer(1));
    assert_eq!(text, expected);
}

struct Subject;

#[derive(Clone)]
enum Told {
    Opened(u64, u8),
    Requested(u64),
    Gone(u64),
}

impl EventSubject for Subject {
    type Machine = Server;
    type Input = Told;

    fn machine(&self) -> Server {
        let config = ServerConfig { rate: RateConfig::per(4, 20 * SECOND), ..ServerConfig::default() };
        Server::new(config, &Seed::new([3; 32]))
    }

    fn apply(&self, server: &mut Server, now: Time, told: &Told) -> Result<(), ServerMisuse> {
        let request = Request::DialMe { addresses: vec![addr("/ip4/8.8.4.4/tcp/4001")] };
        let remote = addr(REMOTE);
        server.handle(
            now,
            match told {
                Told::Opened(n, from) => ServerInput::Opened { stream: stream(*n), peer: peer(*from), remote: &remote },
                Told::Requested(n) => ServerInput::Requested { stream: stream(*n), request: &request },
                Told::Gone(n) => ServerInput::Gone { stream: stream(*n) },
            },
        )
    }

    fn on_action(&self, server: &mut Server, now: Time, action: ServerAction, seen: &mut Transcript) {
        seen.note(&action);
        if let ServerAction::DialBack { attempt, addresses, .. } = action
            && attempt.0 % 3 != 2
        {
            let reached = addresses.first().filter(|_| attempt.0 % 3 == 0);
            server.handle(now, ServerInput::DialedBack { attempt, reached }).unwrap();
        }
    }
}

#[test]
fn it_keeps_the_laws() {
    let script = [
        Script::Input(Told::Opened(1, 1)),
        Script::Input(Told::Opened(2, 2)),
        Script::Input(Told::Requested(1)),
        Script::Wait(3 * SECOND),
        Script::Input(Told::Requested(2)),
        Script::Input(Told::Opened(3, 1)),
        Script::Input(Told::Opened(4, 4)),
        Script::Input(Told::Opened(5, 5)),
        Script::Wait(14 * SECOND),
        Script::Input(Told::Requested(3)),
        Script::Input(Told::Gone(4)),
        Script::Wait(120 * SECOND),
    ];
    check_events(&Subject, &script, Limits { memory: 32 * 1024, ..Limits::default() }).unwrap();
}

fn any_address() -> impl Strategy<Value = Multiaddr> {
    let ip4 = (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| Multiaddr::tcp((ip, port).into()));
    let ip6 = (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| Multiaddr::tcp((ip, port).into()));
    let named = "[a-z]{1,5}".prop_map(|name| addr(format!("/dns/{name}.org/tcp/80")));
    let bytes = prop::collection::vec(any::<u8>(), 1..20)
        .prop_map(|bytes| Multiaddr::from_bytes(&bytes).unwrap_or_else(|_| Multiaddr::empty()));
    prop_oneof![ip4, ip6, named, bytes]
}

proptest! {
    /// The server can't be made to dial a third party: over any requests, all that is dialed is the IP that is observed, at most
    /// 16 addresses for a request, and each request is dialed once at most.
    #[test]
    fn no_third_party_is_ever_dialed(
        requests in prop::collection::vec((0u8..4, any_address(), prop::collection::vec(any_address(), 0..40)), 1..12),
    ) {
        let config = ServerConfig { allow_private: true, ..ServerConfig::default() };
        let mut server = Server::new(config, &Seed::new([1; 32]));
        let mut now = Time::ZERO;
        for (n, (from, remote, addresses)) in requests.into_iter().enumerate() {
            now = now + 5 * SECOND;
            let stream = stream(n as u64);
            server.handle(now, ServerInput::Opened { stream, peer: peer(from), remote: &remote }).unwrap();
            let admitted = matches!(server.poll(), Some(ServerAction::Admit { .. }));
            let request = Request::DialMe { addresses };
            let result = server.handle(now, ServerInput::Requested { stream, request: &request });
            prop_assert_eq!(result.is_ok(), admitted);
            let mut dials = 0;
            while let Some(action) = server.poll() {
                if let ServerAction::DialBack { addresses, .. } = action {
                    dials += 1;
                    prop_assert!(addresses.len() <= 16);
                    for address in addresses {
                        prop_assert_eq!(address.ip().map(|ip| ip.to_canonical()), remote.ip().map(|ip| ip.to_canonical()));
                        prop_assert!(!address.is_relayed());
                    }
                }
            }
            prop_assert!(dials <= 1);
        }
    }
}
