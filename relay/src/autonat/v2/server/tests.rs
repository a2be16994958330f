//! Who is let in, what is dialed, and for what.

mod properties;

use super::*;
use crate::RateConfig;
use crate::autonat::testing::{addr, peer, stream};
use alloc::format;
use alloc::vec::Vec;
use tidewire_core::laws::{EventSubject, Limits, Step as Script, Transcript, check_events};

const SECOND: Duration = Duration::from_secs(1);
const REMOTE: &str = "/ip4/8.8.4.4/tcp/50123";
const OWN: &str = "/ip4/8.8.4.4/tcp/4001";
const VICTIM: &str = "/ip4/1.1.1.1/tcp/80";

fn server(config: ServerConfig) -> Server {
    Server::new(config, &Seed::new([1; 32]))
}

fn fresh() -> Server {
    server(ServerConfig::default())
}

fn open(server: &mut Server, now: Time, n: u64, from: u8, remote: &str) -> bool {
    let remote = addr(remote);
    server.handle(now, ServerInput::Opened { stream: stream(n), peer: peer(from), remote: &remote }).unwrap();
    match server.poll() {
        Some(ServerAction::Admit { .. }) => true,
        Some(ServerAction::Reply { reply: Reply::Probed(response), .. }) => {
            assert_eq!(response, Response::refused(Status::REQUEST_REJECTED));
            false
        }
        other => panic!("{other:?}"),
    }
}

fn ask(server: &mut Server, now: Time, n: u64, addresses: &[&str]) -> Option<ServerAction> {
    let request = Request::Probe { nonce: 1000 + n, addresses: addresses.iter().map(addr).collect() };
    server.handle(now, ServerInput::Requested { stream: stream(n), request: &request }).unwrap();
    server.poll()
}

fn paid(server: &mut Server, now: Time, n: u64, bytes: u64) -> Result<(), ServerMisuse> {
    let request = Request::Paid { bytes };
    server.handle(now, ServerInput::Requested { stream: stream(n), request: &request })
}

fn dialed(action: Option<ServerAction>) -> (DialBackId, Multiaddr) {
    match action {
        Some(ServerAction::DialBack { attempt, address, dial_timeout, dial_back_timeout, .. }) => {
            assert_eq!((dial_timeout, dial_back_timeout), (10 * SECOND, 5 * SECOND));
            (attempt, address)
        }
        other => panic!("{other:?}"),
    }
}

fn charged(action: Option<ServerAction>) -> (u32, u64) {
    match action {
        Some(ServerAction::Reply { reply: Reply::AskData { index, bytes }, .. }) => (index, bytes),
        other => panic!("{other:?}"),
    }
}

fn reply(stream: StreamKey, response: Response) -> Option<ServerAction> {
    Some(ServerAction::Reply { stream, reply: Reply::Probed(response) })
}

/// What is done with a first request for these addresses, in short: the index and whether it is charged.
fn chosen(config: ServerConfig, addresses: &[&str]) -> Option<(usize, bool)> {
    let mut server = server(config);
    assert!(open(&mut server, Time::ZERO, 1, 1, REMOTE));
    match ask(&mut server, Time::ZERO, 1, addresses) {
        Some(ServerAction::DialBack { address, nonce: 1001, .. }) => {
            let at = addresses.iter().position(|asked| addr(asked).without_peer_id() == address).unwrap();
            Some((at, false))
        }
        Some(ServerAction::Reply { reply: Reply::AskData { index, .. }, .. }) => {
            Some((usize::try_from(index).unwrap(), true))
        }
        Some(ServerAction::Reply { reply: Reply::Probed(response), .. }) => {
            assert_eq!(response, Response::refused(Status::DIAL_REFUSED));
            None
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_comes_from_nowhere_that_can_be_seen_is_refused_unread() {
    let relayed = format!("/ip4/8.8.4.4/tcp/1/p2p/{}/p2p-circuit", peer(9));
    for remote in [&relayed[..], "/unix/x", "/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1"] {
        let mut server = fresh();
        assert!(!open(&mut server, Time::ZERO, 1, 1, remote), "{remote}");
        assert_eq!((server.requests.len(), server.all.len()), (0, 0), "it costs nothing");
    }
    let mut private = server(ServerConfig { allow_private: true, ..ServerConfig::default() });
    assert!(open(&mut private, Time::ZERO, 1, 1, "/ip4/127.0.0.1/tcp/1"));
    assert!(!open(&mut private, Time::ZERO, 2, 1, &relayed));
}

#[test]
fn sixty_a_minute_twelve_of_a_peer_and_two_at_once_are_let_in() {
    let mut server = fresh();
    let gone = |server: &mut Server, n| server.handle(Time::ZERO, ServerInput::Gone { stream: stream(n) }).unwrap();
    assert!(open(&mut server, Time::ZERO, 1, 1, REMOTE) && open(&mut server, Time::ZERO, 2, 1, REMOTE));
    assert!(!open(&mut server, Time::ZERO, 3, 1, REMOTE), "two at once");
    gone(&mut server, 1);
    gone(&mut server, 2);
    for n in 3..13 {
        assert!(open(&mut server, Time::ZERO, n, 1, REMOTE), "{n}");
        gone(&mut server, n);
    }
    assert!(!open(&mut server, Time::ZERO, 13, 1, REMOTE), "twelve a minute");
    for n in 13..61 {
        assert!(open(&mut server, Time::ZERO, n, u8::try_from(n).unwrap(), REMOTE), "{n}");
        gone(&mut server, n);
    }
    assert!(!open(&mut server, Time::ZERO, 61, 200, REMOTE), "sixty of all");
    assert!(open(&mut server, Time::ZERO + SECOND, 62, 200, REMOTE), "one more each second");
    let counters = server.counters();
    assert_eq!((counters.admitted, counters.rejected), (61, 3));
}

#[test]
fn requests_at_one_time_have_a_cap() {
    let mut server = server(ServerConfig { max_requests: 2, ..ServerConfig::default() });
    assert!(open(&mut server, Time::ZERO, 1, 1, REMOTE) && open(&mut server, Time::ZERO, 2, 2, REMOTE));
    assert!(!open(&mut server, Time::ZERO, 3, 3, REMOTE));
}

/// What is asked for; the number of what is chosen, and whether it is charged.
type Row<'a> = (&'a [&'a str], Option<(usize, bool)>);

#[test]
fn the_first_address_that_can_be_dialed_is_chosen_and_other_ips_are_charged() {
    let relayed = format!("/ip4/8.8.4.4/tcp/9/p2p/{}/p2p-circuit", peer(3));
    let foreign = format!("/ip4/8.8.4.4/tcp/4007/p2p/{}", peer(2));
    let named = format!("{OWN}/p2p/{}", peer(1));
    let table: [Row<'_>; 15] = [
        (&[OWN], Some((0, false))),
        (&[&named], Some((0, false))),
        (&["/ip6/::ffff:8.8.4.4/tcp/1"], Some((0, false))),
        (&[VICTIM], Some((0, true))),
        // Names are passed over before anything is charged.
        (&["/dns4/libp2p.io/tcp/1"], None),
        (&["/dns4/libp2p.io/tcp/1", OWN], Some((1, false))),
        (&[VICTIM, OWN], Some((0, true))),
        (&[OWN, VICTIM], Some((0, false))),
        (&["/ip4/192.168.1.1/tcp/1", "/ip4/127.0.0.1/tcp/1", OWN], Some((2, false))),
        (&["/ip4/8.8.4.4/udp/1/quic-v1", "/ip4/8.8.4.4/tcp/0", OWN], Some((2, false))),
        (&["/ip6/2606:4700::1/tcp/1", "/dns6/libp2p.io/tcp/1", VICTIM], Some((2, true))),
        (&[&relayed, &foreign, OWN], Some((2, false))),
        (&["/dns4/localhost/tcp/1", "/dnsaddr/libp2p.io"], None),
        (&["/ip4/192.168.1.1/tcp/1"], None),
        (&[], None),
    ];
    for (addresses, expected) in table {
        assert_eq!(chosen(ServerConfig::default(), addresses), expected, "{addresses:?}");
    }
}

#[test]
fn names_are_dialed_and_charged_only_if_the_caller_resolves_them() {
    let names = || ServerConfig { names: true, ..ServerConfig::default() };
    assert_eq!(chosen(names(), &["/dns4/libp2p.io/tcp/1", OWN]), Some((0, true)));
    assert_eq!(chosen(names(), &["/dns4/localhost/tcp/1", "/dnsaddr/libp2p.io"]), None);
}

#[test]
fn only_versions_of_ip_that_we_have_are_dialed() {
    let addresses = ["/ip6/2606:4700::1/tcp/1", "/ip4/8.8.4.4/tcp/1", "/dns/libp2p.io/tcp/1"];
    let table = [((true, true), Some(0)), ((true, false), Some(1)), ((false, true), Some(0)), ((false, false), None)];
    for ((ipv4, ipv6), expected) in table {
        let mut server = server(ServerConfig { names: true, ..ServerConfig::default() });
        server.handle(Time::ZERO, ServerInput::Connectivity { ipv4, ipv6 }).unwrap();
        open(&mut server, Time::ZERO, 1, 1, REMOTE);
        let action = ask(&mut server, Time::ZERO, 1, &addresses);
        let got = match action {
            Some(ServerAction::DialBack { .. }) => Some(1),
            Some(ServerAction::Reply { reply: Reply::AskData { index, .. }, .. }) => Some(index),
            _ => None,
        };
        assert_eq!(got, expected, "IPv4 {ipv4}, IPv6 {ipv6}");
    }
}

#[test]
fn private_addresses_are_dialed_only_if_they_are_allowed() {
    let config = ServerConfig { allow_private: true, ..ServerConfig::default() };
    assert_eq!(chosen(config, &["/ip4/192.168.1.1/tcp/1", OWN]), Some((0, true)));
}

#[test]
fn what_is_asked_for_is_30_000_to_100_000_bytes_by_the_seed() {
    let mut prices = Vec::new();
    let config = || ServerConfig { rate: RateConfig::OFF, peer_rate: RateConfig::OFF, ..ServerConfig::default() };
    let price = |server: &mut Server, n: u64| {
        open(server, Time::ZERO, n, 1, REMOTE);
        let (index, bytes) = charged(ask(server, Time::ZERO, n, &["/ip4/10.0.0.1/tcp/1", VICTIM]));
        assert_eq!(index, 1);
        server.handle(Time::ZERO, ServerInput::Gone { stream: stream(n) }).unwrap();
        bytes
    };
    let mut first = server(config());
    for n in 0..200 {
        prices.push(price(&mut first, n));
    }
    assert!(prices.iter().all(|bytes| (30_000..=100_000).contains(bytes)));
    assert!(prices.iter().any(|bytes| *bytes < 40_000) && prices.iter().any(|bytes| *bytes > 90_000));
    let mut again = server(config());
    assert_eq!(price(&mut again, 0), prices[0]);
    let mut other = Server::new(config(), &Seed::new([2; 32]));
    assert_ne!(price(&mut other, 0), prices[0]);
}

#[test]
fn who_paid_is_dialed_after_up_to_three_seconds_and_nobody_before() {
    let mut waits = Vec::new();
    for seed in 0..20 {
        let mut server = Server::new(ServerConfig::default(), &Seed::new([seed; 32]));
        open(&mut server, Time::ZERO, 1, 1, REMOTE);
        let (_, bytes) = charged(ask(&mut server, Time::ZERO, 1, &[VICTIM]));
        let too_little = paid(&mut server, Time::ZERO, 1, bytes - 1);
        assert_eq!(too_little, Err(ServerMisuse::OtherRequest { stream: stream(1) }));
        paid(&mut server, Time::ZERO, 1, bytes).unwrap();
        assert_eq!(server.poll(), None, "not at once");
        let at = server.deadline();
        assert!(at <= Time::ZERO + 3 * SECOND);
        waits.push(at.as_nanos());
        server.on_timeout(at);
        assert_eq!(dialed(server.poll()).1, addr(VICTIM));
        assert_eq!(server.counters().paid, bytes);
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 15 && waits.iter().any(|nanos| *nanos > 2_000_000_000), "{waits:?}");
}

#[test]
fn each_outcome_has_its_answer_about_exactly_the_address_that_was_dialed() {
    let table = [
        (DialBackOutcome::Heard, Response::dialed(1, DialStatus::OK)),
        (DialBackOutcome::NotHeard, Response::dialed(1, DialStatus::DIAL_BACK_ERROR)),
        (DialBackOutcome::NotReached, Response::dialed(1, DialStatus::DIAL_ERROR)),
        (DialBackOutcome::NotTried, Response::refused(Status::INTERNAL_ERROR)),
    ];
    for (outcome, response) in table {
        let mut server = fresh();
        open(&mut server, Time::ZERO, 1, 1, REMOTE);
        let asked = ["/ip4/10.0.0.1/tcp/1", OWN, VICTIM];
        let (attempt, address) = dialed(ask(&mut server, Time::ZERO, 1, &asked));
        assert_eq!(address, addr(OWN));
        server.handle(Time::ZERO, ServerInput::DialedBack { attempt, outcome }).unwrap();
        assert_eq!(server.poll(), reply(stream(1), response));
        assert_eq!(server.poll(), None, "one answer");
        assert!(server.requests.is_empty());
        let twice = server.handle(Time::ZERO, ServerInput::DialedBack { attempt, outcome });
        assert_eq!(twice, Err(ServerMisuse::UnknownAttempt { attempt }));
    }
}

#[test]
fn a_dial_that_is_never_reported_is_given_up() {
    let mut server = fresh();
    open(&mut server, Time::ZERO, 1, 1, REMOTE);
    let (attempt, _) = dialed(ask(&mut server, Time::ZERO, 1, &[OWN]));
    assert_eq!(server.deadline(), Time::ZERO + 16 * SECOND);
    server.on_timeout(Time::ZERO + 16 * SECOND);
    assert_eq!(server.poll(), Some(ServerAction::CancelDialBack { attempt }));
    assert_eq!(server.poll(), reply(stream(1), Response::refused(Status::INTERNAL_ERROR)));
}

#[test]
fn who_is_slow_to_ask_or_to_pay_is_reset() {
    let mut server = fresh();
    open(&mut server, Time::ZERO, 1, 1, REMOTE);
    open(&mut server, Time::ZERO, 2, 2, REMOTE);
    let asked = Time::from_millis(14_000);
    charged(ask(&mut server, asked, 2, &[VICTIM]));
    server.on_timeout(Time::ZERO + 15 * SECOND);
    assert_eq!(server.poll(), Some(ServerAction::Reset { stream: stream(1) }));
    assert_eq!(server.poll(), None);
    server.on_timeout(asked + 15 * SECOND);
    assert_eq!(server.poll(), Some(ServerAction::Reset { stream: stream(2) }));
    assert!(server.requests.is_empty());
}

#[test]
fn who_goes_is_forgotten_at_every_step() {
    let gone = |server: &mut Server| server.handle(Time::ZERO, ServerInput::Gone { stream: stream(1) }).unwrap();
    for step in 0..4 {
        let mut server = fresh();
        open(&mut server, Time::ZERO, 1, 1, REMOTE);
        let mut attempt = None;
        match step {
            0 => {}
            1 => attempt = Some(dialed(ask(&mut server, Time::ZERO, 1, &[OWN])).0),
            _ => {
                let (_, bytes) = charged(ask(&mut server, Time::ZERO, 1, &[VICTIM]));
                if step == 3 {
                    paid(&mut server, Time::ZERO, 1, bytes).unwrap();
                }
            }
        }
        gone(&mut server);
        assert_eq!(server.poll(), attempt.map(|attempt| ServerAction::CancelDialBack { attempt }));
        assert!(server.requests.is_empty());
        assert!(server.deadline().is_never());
    }
}

#[test]
fn misuse_changes_nothing() {
    let mut server = fresh();
    let request = Request::Probe { nonce: 1, addresses: Vec::new() };
    let unknown = ServerInput::Requested { stream: stream(1), request: &request };
    assert_eq!(server.handle(Time::ZERO, unknown), Err(ServerMisuse::UnknownStream { stream: stream(1) }));
    let gone = ServerInput::Gone { stream: stream(1) };
    assert_eq!(server.handle(Time::ZERO, gone), Err(ServerMisuse::UnknownStream { stream: stream(1) }));
    open(&mut server, Time::ZERO, 1, 1, REMOTE);
    let remote = addr(REMOTE);
    let twice = ServerInput::Opened { stream: stream(1), peer: peer(1), remote: &remote };
    assert_eq!(server.handle(Time::ZERO, twice), Err(ServerMisuse::Twice { stream: stream(1) }));
    let early = paid(&mut server, Time::ZERO, 1, u64::MAX);
    assert_eq!(early, Err(ServerMisuse::OtherRequest { stream: stream(1) }));
    dialed(ask(&mut server, Time::ZERO, 1, &[OWN]));
    let again = ServerInput::Requested { stream: stream(1), request: &request };
    assert_eq!(server.handle(Time::ZERO, again), Err(ServerMisuse::OtherRequest { stream: stream(1) }));
    assert_eq!(server.poll(), None);
}

#[test]
fn the_explanation_is_for_a_person() {
    let mut server = fresh();
    open(&mut server, Time::ZERO, 1, 1, REMOTE);
    dialed(ask(&mut server, Time::ZERO, 1, &[OWN]));
    let text = alloc::string::ToString::to_string(&server.explain(Time::ZERO));
    let expected = format!(
        "1 let in, 0 refused unread, 0 without an address to dial, 0 asked to pay (0 bytes), 1 dials, 0 nonces brought\n\
         c1/s0 of {}: is being dialed at {OWN}",
        peer(1)
    );
    assert_eq!(text, expected);
}

struct Subject;

#[derive(Clone)]
enum Told {
    Opened(u64, u8),
    Requested(u64, &'static [&'static str]),
    Gone(u64),
    Connectivity(bool),
}

impl EventSubject for Subject {
    type Machine = Server;
    type Input = Told;

    fn machine(&self) -> Server {
        server(ServerConfig { rate: RateConfig::per(5, 20 * SECOND), ..ServerConfig::default() })
    }

    fn apply(&self, server: &mut Server, now: Time, told: &Told) -> Result<(), ServerMisuse> {
        let remote = addr(REMOTE);
        match told {
            Told::Opened(n, from) => {
                let (stream, peer) = (stream(*n), peer(*from));
                server.handle(now, ServerInput::Opened { stream, peer, remote: &remote })
            }
            Told::Requested(n, texts) => {
                let request = Request::Probe { nonce: *n, addresses: texts.iter().map(addr).collect() };
                server.handle(now, ServerInput::Requested { stream: stream(*n), request: &request })
            }
            Told::Gone(n) => server.handle(now, ServerInput::Gone { stream: stream(*n) }),
            Told::Connectivity(ipv6) => server.handle(now, ServerInput::Connectivity { ipv4: true, ipv6: *ipv6 }),
        }
    }

    fn on_action(&self, server: &mut Server, now: Time, action: ServerAction, seen: &mut Transcript) {
        seen.note(&action);
        match action {
            ServerAction::Reply { stream, reply: Reply::AskData { bytes, .. } } if stream.connection.0 != 3 => {
                let request = Request::Paid { bytes };
                server.handle(now, ServerInput::Requested { stream, request: &request }).unwrap();
            }
            ServerAction::DialBack { attempt, .. } if attempt.0 % 3 != 2 => {
                let outcome = [DialBackOutcome::Heard, DialBackOutcome::NotReached][usize::from(attempt.0 % 3 == 1)];
                server.handle(now, ServerInput::DialedBack { attempt, outcome }).unwrap();
            }
            _ => {}
        }
    }
}

#[test]
fn it_keeps_the_laws() {
    let script = [
        Script::Input(Told::Opened(1, 1)),
        Script::Input(Told::Opened(2, 2)),
        Script::Input(Told::Requested(1, &[OWN])),
        Script::Wait(3 * SECOND),
        Script::Input(Told::Requested(2, &[VICTIM])),
        Script::Input(Told::Connectivity(true)),
        Script::Input(Told::Opened(3, 1)),
        Script::Input(Told::Opened(4, 4)),
        Script::Input(Told::Opened(5, 5)),
        Script::Wait(4 * SECOND),
        Script::Input(Told::Requested(3, &["/ip6/2606::1/tcp/1"])),
        Script::Input(Told::Requested(4, &[OWN])),
        Script::Input(Told::Gone(4)),
        Script::Wait(120 * SECOND),
    ];
    check_events(&Subject, &script, Limits { memory: 32 * 1024, ..Limits::default() }).unwrap();
}
