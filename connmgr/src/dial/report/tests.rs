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
        "not connected to PEER: all 7 addresses failed (after 15.2s)",
        "  /ip4/1.2.3.4/udp/1/quic-v1: no answer within 15s (15.0s)",
        "  /ip4/1.2.3.4/tcp/1: the transport failed: connection refused (12.0ms)",
        "  /ip4/1.2.3.4/tcp/2: aborted: another was faster, nobody waited any longer, or the time was over (7.0ms)",
        "  /ip4/1.2.3.4/tcp/3: not tried: it failed a short time ago, and is left alone for 4.3s more",
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
    assert!(text.ends_with("the upgrade failed: bad   /ip4/6.6.6.6/tcp/6: fine [2J   (1.0ms)"), "{text:?}");
}

#[test]
fn only_what_was_dialed_has_a_time() {
    let dialed = [Outcome::Failed(DialFault::NoTransport), Outcome::Aborted];
    let not = [Outcome::NotTried, Outcome::Relayed, Outcome::Undialable, Outcome::TooMany];
    for (outcome, was_dialed) in dialed.map(|one| (one, true)).into_iter().chain(not.map(|one| (one, false))) {
        assert_eq!(outcome.was_dialed(), was_dialed, "{outcome}");
        let line = report(vec![("/memory/1", outcome, 5)]).addresses[0].to_string();
        assert_eq!(line.ends_with("(5.0ms)"), was_dialed, "{line}");
    }
}
