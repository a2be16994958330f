use super::*;
use alloc::string::ToString;
use alloc::vec;

const PEER: &str = "12D3KooWGQmdpzHXCqLno4mMxWXKNFQHASBeF99gTm2JR8Vu5Bdc";

fn report(addresses: Vec<(&str, Outcome, u64)>) -> DialReport {
    let line = |(address, outcome, millis): (&str, Outcome, u64)| AddressReport {
        address: address.parse().unwrap(),
        outcome,
        took: Duration::from_millis(millis),
    };
    let addresses: Vec<_> = addresses.into_iter().map(line).collect();
    DialReport {
        peer: PEER.parse().unwrap(),
        why: DialFailure::AllFailed(addresses.len()),
        addresses,
        unlisted: 0,
        took: Duration::from_millis(15_250),
    }
}

#[test]
fn a_report_is_a_line_for_the_whole_and_one_for_each_address() {
    let report = report(vec![
        ("/ip4/1.2.3.4/udp/1/quic-v1", Outcome::Failed(DialFault::Timeout(Duration::from_secs(15))), 15_000),
        ("/ip4/1.2.3.4/tcp/1", Outcome::Failed(DialFault::Transport("connection refused".into())), 12),
        ("/ip4/1.2.3.4/tcp/2", Outcome::Aborted, 7),
        ("/ip4/1.2.3.4/tcp/3", Outcome::Backoff { remaining: Duration::from_millis(4_321) }, 0),
        ("/ip4/1.2.3.4/tcp/4", Outcome::BlackHole { kind: "IPv6" }, 0),
        ("/ip4/1.2.3.4/tcp/5", Outcome::Denied { why: "spam".into() }, 0),
        ("/ip4/1.2.3.4/tcp/6", Outcome::OtherPeer(PEER.parse().unwrap()), 0),
    ]);
    let expected = [
        "not connected to PEER: all 7 addresses that were dialed failed (after 15.2 s)",
        "  /ip4/1.2.3.4/udp/1/quic-v1: no answer within 15 s (after 15 s)",
        "  /ip4/1.2.3.4/tcp/1: the transport failed: connection refused (after 12 ms)",
        "  /ip4/1.2.3.4/tcp/2: aborted before it was done (after 7 ms)",
        "  /ip4/1.2.3.4/tcp/3: not tried: it failed a short time ago, and is left alone for another 4.3 s",
        "  /ip4/1.2.3.4/tcp/4: not tried: dials over IPv6 fail on this network",
        "  /ip4/1.2.3.4/tcp/5: forbidden: spam",
        "  /ip4/1.2.3.4/tcp/6: not tried: it names another peer, PEER",
    ];
    assert_eq!(report.to_string().replace(PEER, "PEER").lines().collect::<Vec<_>>(), expected);
}

#[test]
fn words_of_others_break_neither_the_line_nor_the_terminal() {
    let fault = DialFault::Upgrade("bad\n  /ip4/6.6.6.6/tcp/6: fine\u{1b}[2J\r\u{9b}".into());
    let report = report(vec![("/ip4/1.2.3.4/tcp/1", Outcome::Failed(fault), 1)]);
    let text = report.to_string();
    assert_eq!(text.lines().count(), 2);
    assert!(!text.replace('\n', "").contains(char::is_control), "{text:?}");
    assert!(text.ends_with("the upgrade failed: bad   /ip4/6.6.6.6/tcp/6: fine [2J   (after 1 ms)"), "{text:?}");
}

#[test]
fn only_what_was_dialed_has_a_time() {
    let connected = Outcome::Connected(crate::ConnectionId(1));
    let dialed = [Outcome::Failed(DialFault::NoTransport), Outcome::Aborted, Outcome::Unfinished, connected];
    let not = [Outcome::NotTried, Outcome::Relayed, Outcome::Undialable, Outcome::TooMany];
    for (outcome, was_dialed) in dialed.map(|one| (one, true)).into_iter().chain(not.map(|one| (one, false))) {
        assert_eq!(outcome.was_dialed(), was_dialed, "{outcome}");
        let line = report(vec![("/memory/1", outcome, 5)]).addresses[0].to_string();
        assert_eq!(line.ends_with("(after 5 ms)"), was_dialed, "{line}");
    }
}

#[test]
fn times_are_for_people() {
    let (ms, s) = (Duration::from_millis, Duration::from_secs);
    let table = [
        (Duration::ZERO, "at once"),
        (Duration::from_nanos(1), "after less than 1 ms"),
        (Duration::from_micros(999), "after less than 1 ms"),
        (ms(1), "after 1 ms"),
        (ms(250), "after 250 ms"),
        (Duration::from_nanos(999_999_999), "after 999 ms"),
        (s(1), "after 1 s"),
        (ms(1_099), "after 1 s"),
        (ms(1_100), "after 1.1 s"),
        (s(15), "after 15 s"),
        (ms(59_999), "after 59.9 s"),
        (s(60), "after 1 min"),
        (ms(90_900), "after 1 min 30 s"),
        (ms(3_599_999), "after 59 min 59 s"),
        (s(3_600), "after 1 h"),
        (s(3_659), "after 1 h"),
        (s(3_660), "after 1 h 1 min"),
        (s(100 * 3_600), "after 100 h"),
    ];
    for (took, text) in table {
        let report = DialReport { took, ..report(vec![]) };
        assert!(report.to_string().ends_with(&alloc::format!("({text})")), "{report}");
    }
    assert_eq!(DialFault::Timeout(Duration::ZERO).to_string(), "no answer within 0 s");
}

#[test]
fn why_it_failed_is_one_clause() {
    let table = [
        (DialFailure::NoAddresses, "no address of this peer is known"),
        (DialFailure::NoneDialable(1), "its only address may not be dialed"),
        (DialFailure::NoneDialable(3), "none of its 3 addresses may be dialed"),
        (DialFailure::NoneDirect(1), "its only address leads to no direct connection"),
        (DialFailure::NoneDirect(2), "none of its 2 addresses leads to a direct connection"),
        (DialFailure::AllFailed(1), "the address that was dialed failed"),
        (DialFailure::AllFailed(2), "both addresses that were dialed failed"),
        (DialFailure::AllFailed(3), "all 3 addresses that were dialed failed"),
        (DialFailure::Timeout(Duration::from_secs(60)), "not connected within 1 min"),
        (DialFailure::Denied("spam".into()), "the peer is forbidden: spam"),
        (DialFailure::Ourselves, "the peer is ourselves"),
        (
            DialFailure::Full { what: "peers being dialed", cap: 9 },
            "there are 9 peers being dialed already, which is the most",
        ),
        (DialFailure::Disconnected("bye".into()), "the application disconnected from it: bye"),
        (DialFailure::Shutdown, "we are shutting down"),
    ];
    for (why, text) in table {
        assert_eq!(why.to_string(), text);
    }
}

#[test]
fn what_is_not_listed_is_counted() {
    let report = DialReport { unlisted: 12, ..report(vec![("/memory/1", Outcome::Unfinished, 0)]) };
    let text = report.to_string();
    let expected = ["  /memory/1: no answer so far (at once)", "  and 12 more that are not listed"];
    assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), expected);
}
