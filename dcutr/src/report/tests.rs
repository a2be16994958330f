//! Every ending in words, and reports as data.

use super::*;
use crate::candidate::{Family, Path, Unfit, Wire};
use crate::exchange::MessageType;
use crate::nat::{Mapping, Ports, Sight};
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use core::time::Duration;
use tidewire_core::{Keypair, Seed};

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn theirs() -> Multiaddr {
    address("/ip4/8.8.8.8/tcp/4001")
}

fn report(end: End) -> Report {
    Report {
        peer: Keypair::from_seed(&Seed::new([1; 32])).peer_id(),
        relay: None,
        side: Side::B,
        started: Time::ZERO,
        ended: Time::from_millis(9_000),
        direct: None,
        tries: vec![],
        our_nat: vec![],
        their_nat: TheirNat::Unknown,
        end,
    }
}

fn dial(outcome: Outcome) -> Dial {
    Dial {
        address: theirs(),
        source: Source::Told,
        local: Local::Any,
        bound: None,
        plan: Plan::ListenFirst { wait: Duration::from_millis(600) },
        started: Time::ZERO,
        ended: None,
        outcome,
    }
}

/// A try in which these dials were made.
fn tried(number: u32, dials: Vec<Dial>) -> Try {
    Try {
        number,
        started: Time::ZERO,
        ours: vec![],
        theirs: vec![],
        ours_dropped: vec![],
        theirs_dropped: vec![],
        further: 0,
        rtt: None,
        synced: None,
        dialed: None,
        dialed_by_them: None,
        dials,
        fault: None,
    }
}

/// Three tries, each with one dial that failed so.
fn failed(fault: &DialFault) -> Report {
    let tries = (1..4).map(|number| tried(number, vec![dial(Outcome::Failed(fault.clone()))])).collect();
    Report { tries, ..report(End::Failed(Failure::NoAnswer)) }
}

fn symmetric(path: Path, seen: [&str; 2]) -> Guess {
    let [first, second] = seen.map(|at| Multiaddr::tcp(at.parse().unwrap()));
    let sight = |seen, observer| Sight { local: address("/ip4/10.1.0.2/tcp/4001"), seen, observer: address(observer) };
    let evidence = vec![sight(first, "/ip4/1.1.1.1/tcp/1"), sight(second, "/ip4/1.1.1.2/tcp/1")];
    Guess { path, mapping: Mapping::PortDependent, ports: Ports::Unknown, evidence }
}

const TCP4: Path = Path { wire: Wire::Tcp, family: Family::V4 };
const TCP6: Path = Path { wire: Wire::Tcp, family: Family::V6 };

#[test]
fn each_way_to_a_direct_connection_has_its_sentence() {
    let table = [
        (How::Direct, "connected without a punch 340 ms after the start: 8.8.8.8:4001 over TCP answers as it is"),
        (
            How::Dialed { number: 1 },
            "punched through on try 1, 340 ms after the start: our dial reached 8.8.8.8:4001 over TCP",
        ),
        (
            How::Accepted { number: 2 },
            "punched through on try 2, 340 ms after the start: the peer's dial reached us from 8.8.8.8:4001 over TCP",
        ),
        (
            How::Accepted { number: 0 },
            "connected 340 ms after the start: the peer reached us from 8.8.8.8:4001 over TCP",
        ),
        (How::Elsewhere, "there is a direct connection to 8.8.8.8:4001 over TCP that the punch did not make"),
    ];
    for (how, words) in table {
        let after = Duration::from_millis(340);
        let report = report(End::Upgraded { connection: ConnectionId(1), address: theirs(), how, after });
        assert_eq!((report.to_string().as_str(), report.is_upgraded()), (words, true));
    }
}

#[test]
fn each_failure_has_its_sentence() {
    let fault = Fault::Timeout { expected: MessageType::Connect, after: Duration::from_secs(20) };
    let table = [
        (
            Failure::NothingOfOurs,
            "nobody sees this node at a public address yet, so it has none to tell; connect to more peers, or map a port",
        ),
        (Failure::NothingOfTheirs, "the peer named no address of its own; it may not know that others see it at one"),
        (Failure::NotSpoken, "the peer does not speak /libp2p/dcutr; use the relay, or a node that is public"),
        (Failure::Exchange(fault), "agreeing over the relay failed: the peer's CONNECT did not come within 20 s"),
        (Failure::NoAnswer, "nothing could be dialed in 0 tries; use a relay or map a port"),
        (
            Failure::NoFurtherTry,
            "nothing could be dialed in 0 tries; use a relay or map a port; the peer made no further try",
        ),
        (Failure::Lost, "a direct connection came up, and was lost before both ends knew of it; it may work next time"),
        (
            Failure::RelayLost,
            "the relayed connection ended before both ends could agree; connect through the relay again",
        ),
        (Failure::TheirTurn, "the peer began a punch at the same time, and carries it on"),
        (Failure::NetworkChanged, "the network of this machine changed; the next attempt starts afresh"),
        (Failure::Cancelled, "it was cancelled"),
        (Failure::Shutdown, "the node shut down"),
    ];
    for (failure, words) in table {
        let report = report(End::Failed(failure));
        assert_eq!((report.to_string().as_str(), report.is_upgraded()), (words, false));
    }
}

#[test]
fn no_answer_is_explained_by_what_the_dials_came_to() {
    let table = [
        (
            DialFault::TimedOut,
            "no address answered in 3 tries, such as 8.8.8.8:4001 over TCP: a NAT or firewall drops what it does not expect; use a \
             relay or map a port",
        ),
        (
            DialFault::Refused,
            "the peer's addresses refused in 3 tries, such as 8.8.8.8:4001 over TCP: a NAT or firewall there answers what it does \
             not expect; use a relay or map a port",
        ),
        (
            DialFault::Unreachable,
            "there is no way from this network to the peer's addresses, such as 8.8.8.8:4001 over TCP",
        ),
        (
            DialFault::AddressNotAvailable,
            "the peer's own dial came first in 3 tries, but no connection came of it, such as from 8.8.8.8:4001 over TCP; it may \
             work next time",
        ),
        (
            DialFault::LocalPort,
            "the port that others see could not be dialed from: something else holds it and doesn't share",
        ),
        (DialFault::upgrade("no common muxer"), "a connection came up, but its upgrade failed: no common muxer"),
    ];
    for (fault, words) in table {
        assert_eq!(failed(&fault).to_string(), words);
    }
    let one =
        Report { tries: vec![tried(1, vec![dial(Outcome::Datagrams { sent: 40 })])], ..failed(&DialFault::TimedOut) };
    assert!(one.to_string().starts_with("no address answered in 1 try, such as"), "{one}");
}

#[test]
fn our_nat_is_named_with_what_it_did() {
    let symmetric_v4 = symmetric(TCP4, ["11.0.0.2:51234", "11.0.0.2:40022"]);
    let report = Report { our_nat: vec![symmetric_v4.clone()], ..failed(&DialFault::TimedOut) };
    let words = "your NAT gives a new port per destination: 11.0.0.2:51234 became :40022; use a relay or map a port";
    assert_eq!(report.to_string(), words);

    let pool = symmetric(TCP4, ["11.0.0.2:51234", "11.0.0.3:40022"]);
    let report = Report { our_nat: vec![pool], ..failed(&DialFault::TimedOut) };
    assert!(report.to_string().contains("11.0.0.2:51234 became 11.0.0.3:40022"), "{report}");

    let further = Report { end: End::Failed(Failure::NoFurtherTry), our_nat: vec![symmetric_v4], ..report };
    assert_eq!(further.to_string(), format!("{words}; the peer made no further try"));
}

/// The relay alone has seen us, as the most have it.
#[test]
fn a_nat_that_one_node_saw_change_our_port_is_named_as_what_it_may_be() {
    let at = |socket: &str| Multiaddr::tcp(socket.parse().unwrap());
    let one = |inside: &str| Guess {
        mapping: Mapping::Unknown,
        evidence: vec![Sight { local: at(inside), seen: at("11.0.0.2:39277"), observer: at("11.0.0.9:4001") }],
        ..symmetric(TCP4, ["11.0.0.2:1", "11.0.0.2:2"])
    };
    let report = Report { our_nat: vec![one("10.1.0.2:36831")], ..failed(&DialFault::TimedOut) };
    assert_eq!(
        report.to_string(),
        "no address answered in 3 tries, such as 8.8.8.8:4001 over TCP; your NAT changes ports, maybe for each destination: \
         10.1.0.2:36831 became 11.0.0.2:39277; use a relay or map a port"
    );
    let kept = Report { our_nat: vec![one("10.1.0.2:39277")], ..report };
    assert!(kept.to_string().contains("drops what it does not expect"), "{kept}");
}

#[test]
fn a_nat_on_a_path_that_was_not_dialed_is_not_to_blame() {
    let elsewhere = symmetric(TCP6, ["[2606::1]:1", "[2606::1]:2"]);
    let report = Report { our_nat: vec![elsewhere], ..failed(&DialFault::TimedOut) };
    assert!(report.to_string().starts_with("no address answered"), "{report}");
}

#[test]
fn a_nat_that_keeps_its_mapping_is_not_to_blame() {
    let kept = Guess { mapping: Mapping::EndpointIndependent, ..symmetric(TCP4, ["11.0.0.2:1", "11.0.0.2:2"]) };
    let report = Report { our_nat: vec![kept], ..failed(&DialFault::TimedOut) };
    assert!(report.to_string().starts_with("no address answered"), "{report}");
}

#[test]
fn the_remotes_nat_is_named_if_ours_is_none() {
    let their_nat = TheirNat::SeveralPorts { ip: "8.8.8.8".parse().unwrap(), ports: vec![1, 2, 3] };
    let report = Report { their_nat, ..failed(&DialFault::TimedOut) };
    assert_eq!(
        report.to_string(),
        "the peer's NAT seems to give a new port per destination: 8.8.8.8:1 is also :3; use a relay, or map a port there"
    );
}

#[test]
fn what_the_remote_named_in_vain_is_named() {
    let dropped = |text: &str, why| Dropped { address: address(text), source: Source::Told, why };
    let with = |theirs_dropped| Report {
        tries: vec![Try { theirs_dropped, ..tried(1, vec![]) }],
        ..report(End::Failed(Failure::NothingOfTheirs))
    };
    let private = dropped("/ip4/10.0.0.1/tcp/1", Unfit::NotPublic);
    assert_eq!(
        with(vec![private.clone()]).to_string(),
        "the peer named only addresses that are not public, such as /ip4/10.0.0.1/tcp/1"
    );
    assert_eq!(
        with(vec![dropped("/ip4/8.8.8.8/tcp/0", Unfit::NoPort), private]).to_string(),
        "the peer named no address that can be dialed: /ip4/8.8.8.8/tcp/0 is not, its port is 0"
    );
}

#[test]
fn each_outcome_of_an_address_has_its_words() {
    let table = [
        (Outcome::Running, "under way"),
        (Outcome::Connected(ConnectionId(3)), "connected as c3"),
        (Outcome::Failed(DialFault::TimedOut), "failed: no answer"),
        (Outcome::Failed(DialFault::AddressNotAvailable), "failed: the other side's connection came first"),
        (Outcome::Cancelled, "given up"),
        (Outcome::Datagrams { sent: 1 }, "1 datagram sent"),
        (Outcome::Datagrams { sent: 9 }, "9 datagrams sent"),
    ];
    for (outcome, words) in table {
        assert_eq!(outcome.to_string(), words);
    }
}

#[test]
fn the_skew_is_how_far_apart_both_dialed() {
    let at = |ours: Option<u64>, theirs: Option<u64>| Try {
        dialed: ours.map(Time::from_millis),
        dialed_by_them: theirs.map(Time::from_millis),
        ..tried(1, vec![])
    };
    assert_eq!(at(Some(100), Some(103)).skew(), Some(Duration::from_millis(3)));
    assert_eq!(at(Some(103), Some(100)).skew(), Some(Duration::from_millis(3)));
    assert_eq!(at(Some(103), None).skew(), None);
}

#[test]
fn the_details_are_all_that_is_in_it() {
    let ms = Time::from_millis;
    let listener = address("/ip4/10.1.0.2/tcp/4001");
    let seen = address("/ip4/11.0.0.2/tcp/4001");
    let dropped = |text: &str, source, why| Dropped { address: address(text), source, why };
    let plain = Dial { plan: Plan::Initiate, ended: Some(ms(1_900)), ..dial(Outcome::Failed(DialFault::TimedOut)) };
    let punched = Dial {
        local: Local::Reuse(listener.clone()),
        ended: Some(ms(2_071)),
        ..dial(Outcome::Connected(ConnectionId(7)))
    };
    let one = Try {
        started: ms(2_000),
        rtt: Some(Duration::from_millis(41)),
        dialed: Some(ms(2_061)),
        dialed_by_them: Some(ms(2_062)),
        ours: vec![Candidate { address: seen, source: Source::Observed, local: Some(listener) }],
        theirs: vec![Candidate::new(theirs(), Source::Told)],
        ours_dropped: vec![dropped("/ip4/10.1.0.2/tcp/4001", Source::Listened, Unfit::NotPublic)],
        theirs_dropped: vec![dropped("/ip4/8.8.8.8/tcp/0", Source::Told, Unfit::NoPort)],
        further: 3,
        ..tried(1, vec![punched])
    };
    assert_eq!(one.half_rtt(), Some(Duration::from_micros(20_500)));
    let late = Try { started: ms(3_000), fault: Some(Fault::Reset), ..tried(2, vec![]) };
    let direct = Direct { started: ms(1_000), dials: vec![plain], dropped: vec![], further: 0 };
    let nat = Guess { ports: Ports::Step { delta: 2 }, ..symmetric(TCP4, ["11.0.0.2:1", "11.0.0.2:3"]) };
    let after = Duration::from_millis(1_071);
    let report = Report {
        started: ms(1_000),
        direct: Some(direct),
        tries: vec![one, late],
        our_nat: vec![nat],
        their_nat: TheirNat::OnePort { ip: "8.8.8.8".parse().unwrap() },
        ..report(End::Upgraded {
            connection: ConnectionId(7),
            address: theirs(),
            how: How::Dialed { number: 1 },
            after,
        })
    };
    let expected = format!(
        "{} as side B: punched through on try 1, 1071 ms after the start: our dial reached 8.8.8.8:4001 over TCP
plain dials 0 ms after the start
  dialed: /ip4/8.8.8.8/tcp/4001 from any port, we propose: failed: no answer at 900 ms
try 1 1000 ms after the start, round trip 41 ms, we dialed at 1061 ms, the peer probably at 1062 ms
  ours: /ip4/11.0.0.2/tcp/4001, observed, leads to /ip4/10.1.0.2/tcp/4001
  theirs: /ip4/8.8.8.8/tcp/4001, told
  dropped: /ip4/10.1.0.2/tcp/4001, listened: it is not public
  dropped: /ip4/8.8.8.8/tcp/0, told: its port is 0
  dropped: 3 more
  dialed: /ip4/8.8.8.8/tcp/4001 from /ip4/10.1.0.2/tcp/4001, we listen for 600 ms, then propose: connected as c7 at 1071 ms
try 2 2000 ms after the start, the exchange failed: the stream was reset
our NAT, TCP over IPv4: a new port per destination, +2 each time
  /ip4/1.1.1.1/tcp/1 saw /ip4/10.1.0.2/tcp/4001 as /ip4/11.0.0.2/tcp/1
  /ip4/1.1.1.2/tcp/1 saw /ip4/10.1.0.2/tcp/4001 as /ip4/11.0.0.2/tcp/3
the peer's NAT: none, one port for all destinations, or few have seen it: it told one port at 8.8.8.8",
        report.peer
    );
    assert_eq!(report.details().to_string(), expected);
}

#[test]
fn texts_of_others_are_cut() {
    let long = "x".repeat(1000);
    for fault in [DialFault::upgrade(&long), DialFault::other(&long)] {
        assert!(fault.to_string().len() < 160 && fault.memory_used() <= 128);
    }
}

#[test]
fn memory_counts_what_is_in_it() {
    let empty = report(End::Failed(Failure::Cancelled));
    assert_eq!(empty.memory_used(), 0);
    let mut full = failed(&DialFault::TimedOut);
    let before = full.memory_used();
    let candidate = Candidate { address: theirs(), source: Source::Told, local: Some(theirs()) };
    full.tries[0].theirs = vec![candidate.clone()];
    assert_eq!(full.memory_used(), before + size_of::<Candidate>() + candidate.memory_used());
}

#[cfg(feature = "serde")]
#[test]
fn a_report_survives_json_in_words_that_can_be_read() {
    let mut report = failed(&DialFault::other("no"));
    report.our_nat = vec![symmetric(TCP4, ["11.0.0.2:1", "11.0.0.2:2"])];
    report.their_nat = TheirNat::SeveralPorts { ip: "8.8.8.8".parse().unwrap(), ports: vec![1, 2] };
    report.direct = Some(Direct {
        started: Time::ZERO,
        dials: vec![dial(Outcome::Cancelled)],
        dropped: vec![Dropped { address: theirs(), source: Source::Identified, why: Unfit::OverCap }],
        further: 3,
    });
    report.tries[0].fault = Some(Fault::UnexpectedType { expected: MessageType::Sync, got: 1 });
    report.tries[0].ours = vec![Candidate { address: theirs(), source: Source::Mapped, local: Some(theirs()) }];
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    for word in ["\"/ip4/8.8.8.8/tcp/4001\"", "\"Mapped\"", "\"NoAnswer\"", "\"PortDependent\""] {
        assert!(text.contains(word), "{word} in {text}");
    }
}
