//! Observed addresses: who counts, when enough agree, and when no longer.

use super::*;
use core::time::Duration;
use tidewire_connmgr::ConnectionId;
use tidewire_core::laws::{EventSubject, Limits, Step, check_events};
use tidewire_core::{Reach, Time};

const LISTEN: &str = "/ip4/192.168.1.7/tcp/4001";
const SEEN: &str = "/ip4/80.1.2.3/tcp/4001";

/// A node that listens at these addresses.
fn listening_at(texts: &[&str]) -> Observed {
    listening_with(ObservedConfig::default(), texts)
}

fn listening_with(config: ObservedConfig, texts: &[&str]) -> Observed {
    let mut observed = Observed::new(config);
    texts.iter().for_each(|text| observed.listening(Time::ZERO, &address(text)).unwrap());
    observed
}

/// Observer `number` has an address of its own, in a network of its own.
fn observer(number: u8) -> Multiaddr {
    address(&format!("/ip4/90.0.{number}.1/tcp/5{number}"))
}

fn see(observed: &mut Observed, connection: u64, from: &Multiaddr, local: &str, seen: &str) -> Result<(), Ignored> {
    observed.observed(Time::ZERO, ConnectionId(connection), from, &address(local), &address(seen))
}

/// Observers `numbers`, each on the connection of that number, see us at `seen`.
fn agree(observed: &mut Observed, numbers: core::ops::Range<u8>, seen: &str) {
    for number in numbers {
        see(observed, number.into(), &observer(number), LISTEN, seen).unwrap();
    }
}

fn changes(observed: &mut Observed) -> Vec<Change> {
    core::iter::from_fn(|| observed.poll()).collect()
}

fn confirmed(listen: &str, external: &str, observers: u32) -> Change {
    Change::Confirmed { listen: address(listen), external: address(external), observers }
}

fn expired(listen: &str, external: &str) -> Change {
    Change::Expired { listen: address(listen), external: address(external) }
}

#[test]
fn an_address_is_ours_when_four_networks_agree() {
    let mut observed = listening_at(&[LISTEN]);
    agree(&mut observed, 0..3, SEEN);
    assert_eq!(changes(&mut observed), []);
    agree(&mut observed, 3..4, SEEN);
    assert_eq!(changes(&mut observed), [confirmed(LISTEN, SEEN, 4)]);
    agree(&mut observed, 4..8, SEEN);
    assert_eq!(changes(&mut observed), [], "it is said once");
}

#[test]
fn many_peers_behind_one_address_are_one_observer() {
    let mut observed = listening_at(&[LISTEN]);
    for connection in 0..8 {
        let from = address(&format!("/ip4/90.0.0.1/tcp/{}", 6000 + connection));
        see(&mut observed, connection, &from, LISTEN, SEEN).unwrap();
    }
    agree(&mut observed, 10..12, SEEN);
    assert_eq!(changes(&mut observed), []);
    assert_eq!(observed.candidates()[0].observers, 3);
}

#[test]
fn an_ipv6_network_of_56_bits_is_one_observer() {
    let (listen, seen) = ("/ip6/2001:470::7/tcp/4001", "/ip6/2001:470::8/tcp/4001");
    let mut observed = listening_at(&[listen]);
    for (connection, from) in
        ["2a00:1:2:300::1", "2a00:1:2:3ff::2", "2a00:1:2:400::1", "2a00:1:3::1"].iter().enumerate()
    {
        see(&mut observed, connection as u64, &address(&format!("/ip6/{from}/tcp/1")), listen, seen).unwrap();
    }
    assert_eq!(observed.candidates()[0].observers, 3, "the first two are one");
    see(&mut observed, 9, &address("/ip6/2a00:1:4::1/tcp/1"), listen, seen).unwrap();
    assert_eq!(changes(&mut observed), [confirmed(listen, seen, 4)]);
}

#[test]
fn a_symmetric_nat_confirms_nothing() {
    let mut observed = listening_at(&[LISTEN]);
    for number in 0..20 {
        agree(&mut observed, number..number + 1, &format!("/ip4/80.1.2.3/tcp/{}", 30_000 + u16::from(number)));
    }
    assert_eq!(changes(&mut observed), []);
}

#[test]
fn a_listener_on_all_interfaces_is_meant_by_any_of_them() {
    let mut observed = listening_at(&["/ip4/0.0.0.0/tcp/4001"]);
    agree(&mut observed, 0..4, SEEN);
    assert_eq!(changes(&mut observed), [confirmed("/ip4/0.0.0.0/tcp/4001", SEEN, 4)]);
}

#[test]
fn all_listeners_of_a_port_share_what_is_seen_of_it() {
    let ws = "/ip4/192.168.1.7/tcp/4001/ws";
    let mut observed = listening_at(&[LISTEN, ws]);
    agree(&mut observed, 0..4, SEEN);
    let both = [confirmed(LISTEN, SEEN, 4), confirmed(ws, "/ip4/80.1.2.3/tcp/4001/ws", 4)];
    assert_eq!(changes(&mut observed), both);

    // One that comes later has it at once.
    let tls = "/ip4/192.168.1.7/tcp/4001/tls/ws";
    observed.listening(Time::ZERO, &address(tls)).unwrap();
    assert_eq!(changes(&mut observed), [confirmed(tls, "/ip4/80.1.2.3/tcp/4001/tls/ws", 4)]);
    observed.not_listening(Time::ZERO, &address(ws));
    assert_eq!(changes(&mut observed), [expired(ws, "/ip4/80.1.2.3/tcp/4001/ws")]);
}

#[test]
fn what_does_not_count_is_told_apart() {
    let relayed = format!("/ip4/90.0.0.1/tcp/1/p2p/{}/p2p-circuit", peer(1));
    let from = observer(1);
    let cases = [
        (from.clone(), LISTEN, "/ip4/127.0.0.1/tcp/4001", Some(Reach::Loopback)),
        (from.clone(), LISTEN, "/ip4/0.0.0.0/tcp/4001", Some(Reach::Unspecified)),
        (from.clone(), LISTEN, "/ip4/169.254.1.1/tcp/4001", Some(Reach::LinkLocal)),
        (from.clone(), LISTEN, "/ip4/224.0.0.1/tcp/4001", Some(Reach::Multicast)),
        // NAT64 (RFC 6052).
        (from.clone(), LISTEN, "/ip6/64:ff9b::5001:203/tcp/4001", Some(Reach::Public)),
    ];
    let mut observed = listening_at(&[LISTEN]);
    for (from, local, seen, reach) in cases {
        let expected = Ignored::Reach { seen: address(seen), reach: reach.unwrap() };
        assert_eq!(see(&mut observed, 1, &from, local, seen), Err(expected), "{seen}");
    }
    let local = || address(LISTEN);
    let cases = [
        (address(&relayed), SEEN, Ignored::Relayed),
        (from.clone(), &relayed[..], Ignored::Relayed),
        (from.clone(), "/dns4/example.com/tcp/1", Ignored::NoSocket { address: address("/dns4/example.com/tcp/1") }),
        (from.clone(), "/ip4/80.1.2.3", Ignored::NoSocket { address: address("/ip4/80.1.2.3") }),
        (from.clone(), "/ip4/80.1.2.3/tcp/0", Ignored::NoSocket { address: address("/ip4/80.1.2.3/tcp/0") }),
        (
            from.clone(),
            "/ip4/80.1.2.3/udp/4001/quic-v1",
            Ignored::OtherKind { local: local(), seen: address("/ip4/80.1.2.3/udp/4001/quic-v1") },
        ),
        (
            from.clone(),
            "/ip6/2001:470::1/tcp/4001",
            Ignored::OtherKind { local: local(), seen: address("/ip6/2001:470::1/tcp/4001") },
        ),
        (
            from.clone(),
            "/ip4/10.0.0.1/tcp/4001",
            Ignored::Impossible { observer: from.clone(), seen: address("/ip4/10.0.0.1/tcp/4001") },
        ),
    ];
    for (from, seen, expected) in cases {
        assert_eq!(see(&mut observed, 1, &from, LISTEN, seen), Err(expected), "{seen}");
    }
    assert_eq!(observed.candidates(), []);
}

#[test]
fn a_connection_from_another_port_than_the_listening_one_does_not_count() {
    for listen in [LISTEN, "/ip4/0.0.0.0/tcp/4001"] {
        let mut observed = listening_at(&[listen]);
        let local = "/ip4/192.168.1.7/tcp/51234";
        let ignored = Ignored::NotListening { local: address(local) };
        assert_eq!(see(&mut observed, 1, &observer(1), local, SEEN), Err(ignored));
    }
}

#[test]
fn a_private_address_that_a_neighbour_sees_counts() {
    let mut observed = listening_at(&[LISTEN]);
    for number in 0..4u8 {
        let from = address(&format!("/ip4/192.168.{number}.1/tcp/1"));
        see(&mut observed, number.into(), &from, LISTEN, "/ip4/10.0.0.1/tcp/4001").unwrap();
    }
    assert_eq!(changes(&mut observed), [confirmed(LISTEN, "/ip4/10.0.0.1/tcp/4001", 4)]);
}

#[test]
fn a_later_word_on_a_connection_replaces_the_earlier_one() {
    let mut observed = listening_at(&[LISTEN]);
    agree(&mut observed, 0..4, SEEN);
    changes(&mut observed);
    let moved = "/ip4/80.9.9.9/tcp/4001";
    agree(&mut observed, 0..4, moved);
    assert_eq!(changes(&mut observed), [confirmed(LISTEN, moved, 4)], "the old one lingers");
    let counts: Vec<_> = observed.candidates().iter().map(|candidate| candidate.observers).collect();
    assert_eq!(counts, [0, 4]);
}

#[test]
fn an_address_that_too_few_see_lingers_before_it_expires() {
    let mut observed = listening_at(&[LISTEN]);
    agree(&mut observed, 0..4, SEEN);
    changes(&mut observed);
    assert_eq!(observed.deadline(), Time::NEVER);

    let second = Time::from_millis(1000);
    observed.closed(second, ConnectionId(0));
    assert_eq!((changes(&mut observed), observed.deadline()), (vec![], second + Duration::from_secs(600)));
    // Another one agrees in time.
    let ago = Time::from_millis(500_000);
    observed.observed(ago, ConnectionId(9), &observer(9), &address(LISTEN), &address(SEEN)).unwrap();
    assert_eq!((changes(&mut observed), observed.deadline()), (vec![], Time::NEVER));

    observed.closed(ago, ConnectionId(9));
    let end = ago + Duration::from_secs(600);
    observed.on_timeout(Time::from_nanos(end.as_nanos() - 1));
    assert_eq!(changes(&mut observed), []);
    observed.on_timeout(end);
    assert_eq!(changes(&mut observed), [expired(LISTEN, SEEN)]);
    assert_eq!((observed.deadline(), observed.candidates()[0].observers), (Time::NEVER, 3));
}

#[test]
fn without_lingering_an_address_expires_at_once() {
    let config = ObservedConfig { linger: Duration::ZERO, ..ObservedConfig::default() };
    let mut observed = listening_with(config, &[LISTEN]);
    agree(&mut observed, 0..4, SEEN);
    changes(&mut observed);
    observed.closed(Time::ZERO, ConnectionId(0));
    assert_eq!(changes(&mut observed), [expired(LISTEN, SEEN)]);
}

#[test]
fn one_of_several_connections_of_an_observer_may_close() {
    let mut observed = listening_at(&[LISTEN]);
    agree(&mut observed, 0..4, SEEN);
    see(&mut observed, 100, &observer(0), LISTEN, SEEN).unwrap();
    changes(&mut observed);
    observed.closed(Time::ZERO, ConnectionId(0));
    assert_eq!((observed.candidates()[0].observers, observed.deadline()), (4, Time::NEVER));
    observed.closed(Time::ZERO, ConnectionId(100));
    assert_eq!(observed.candidates()[0].observers, 3);
}

#[test]
fn the_three_addresses_with_most_observers_are_ours() {
    let mut observed = listening_at(&[LISTEN]);
    let seen = |port: u8| format!("/ip4/80.1.2.3/tcp/{port}");
    for (port, observers) in [(1, 0..4), (2, 10..15), (3, 20..26), (4, 30..37)] {
        agree(&mut observed, observers, &seen(port));
    }
    // 4, 5, 6, 7 observers: the first goes when the fourth has more.
    let all = changes(&mut observed);
    let expected = [confirmed(LISTEN, &seen(2), 5), confirmed(LISTEN, &seen(3), 6), confirmed(LISTEN, &seen(4), 7)];
    assert_eq!(all, expected, "what came and went between two calls is not told");
}

#[test]
fn of_equals_those_that_are_ours_stay() {
    let config = ObservedConfig { max_externals: 1, ..ObservedConfig::default() };
    let mut observed = listening_with(config, &[LISTEN]);
    let (first, second) = ("/ip4/80.1.2.3/tcp/9", "/ip4/80.1.2.3/tcp/1");
    agree(&mut observed, 0..4, first);
    agree(&mut observed, 10..14, second);
    assert_eq!(changes(&mut observed), [confirmed(LISTEN, first, 4)]);
    agree(&mut observed, 14..15, second);
    assert_eq!(changes(&mut observed), [expired(LISTEN, first), confirmed(LISTEN, second, 5)]);
}

#[test]
fn an_address_that_was_displaced_does_not_come_back_without_support() {
    let config = ObservedConfig { max_externals: 1, ..ObservedConfig::default() };
    let mut observed = listening_with(config, &[LISTEN]);
    let (first, second) = ("/ip4/80.1.2.3/tcp/9", "/ip4/80.1.2.3/tcp/1");
    agree(&mut observed, 0..4, first);
    observed.closed(Time::ZERO, ConnectionId(0));
    agree(&mut observed, 10..14, second);
    assert_eq!(changes(&mut observed), [confirmed(LISTEN, second, 4)]);
    for connection in 10..14 {
        observed.closed(Time::ZERO, ConnectionId(connection));
    }
    assert_eq!(changes(&mut observed), [], "three observers are not enough, though the other now has none");
}

#[test]
fn with_the_listener_goes_what_was_seen_of_it() {
    let mut observed = listening_at(&[LISTEN]);
    agree(&mut observed, 0..4, SEEN);
    changes(&mut observed);
    observed.not_listening(Time::ZERO, &address(LISTEN));
    assert_eq!(changes(&mut observed), [expired(LISTEN, SEEN)]);
    observed.listening(Time::ZERO, &address(LISTEN)).unwrap();
    assert_eq!((changes(&mut observed), observed.candidates()), (vec![], vec![]));
    observed.closed(Time::ZERO, ConnectionId(0));
    assert_eq!(changes(&mut observed), [], "and its connections mean nothing more");
}

#[test]
fn the_caps_hold() {
    let config =
        ObservedConfig { max_observations: 3, max_per_observer: 2, max_listening: 1, ..ObservedConfig::default() };
    let mut observed = listening_with(config, &[LISTEN]);
    let other = address("/ip4/192.168.1.7/tcp/4002");
    assert_eq!(observed.listening(Time::ZERO, &other), Err(Ignored::Full { max: 1 }));
    assert_eq!(observed.listening(Time::ZERO, &address(LISTEN)), Ok(()), "twice is once");

    for connection in 0..2 {
        see(&mut observed, connection, &observer(0), LISTEN, SEEN).unwrap();
    }
    assert_eq!(see(&mut observed, 2, &observer(0), LISTEN, SEEN), Err(Ignored::Full { max: 2 }));
    see(&mut observed, 3, &observer(1), LISTEN, SEEN).unwrap();
    assert_eq!(see(&mut observed, 4, &observer(2), LISTEN, SEEN), Err(Ignored::Full { max: 3 }));
    observed.closed(Time::ZERO, ConnectionId(0));
    assert_eq!(see(&mut observed, 4, &observer(2), LISTEN, SEEN), Ok(()));
}

/// Peers behind one address, each with another story, take no place from the others.
#[test]
fn one_network_can_hold_only_its_share() {
    let mut observed = listening_at(&[LISTEN]);
    for connection in 1000..3000 {
        let from = address(&format!("/ip4/90.9.9.9/tcp/{connection}"));
        let _ = see(&mut observed, connection, &from, LISTEN, &format!("/ip4/80.1.2.3/tcp/{connection}"));
    }
    assert_eq!(observed.candidates().len(), 8);
    agree(&mut observed, 0..4, SEEN);
    assert_eq!(changes(&mut observed), [confirmed(LISTEN, SEEN, 4)]);
}

#[test]
fn a_full_table_takes_a_stated_amount_of_memory() {
    let mut observed = listening_at(&[LISTEN]);
    for connection in 0..2000u64 {
        let from = address(&format!("/ip4/90.0.{}.{}/tcp/1", connection / 250, connection % 250));
        let _ = see(&mut observed, connection, &from, LISTEN, &format!("/ip4/80.1.2.3/tcp/{}", 1 + connection));
    }
    assert_eq!(observed.candidates().len(), 1024);
    assert!(observed.memory_used() < 512 * 1024, "{}", observed.memory_used());
}

#[test]
fn a_relayed_address_is_no_listener_to_be_seen() {
    let relayed = address(&format!("/ip4/90.0.0.1/tcp/1/p2p/{}/p2p-circuit", peer(1)));
    let mut observed = Observed::new(ObservedConfig::default());
    assert_eq!(observed.listening(Time::ZERO, &relayed), Err(Ignored::Relayed));
    let name = address("/dns4/example.com/tcp/1");
    assert_eq!(observed.listening(Time::ZERO, &name), Err(Ignored::NoSocket { address: name.clone() }));
}

/// An input that owns its addresses.
#[derive(Clone)]
enum Happens {
    Listening(&'static str),
    NotListening(&'static str),
    Seen(u8, &'static str),
    Closed(u64),
}

struct Node;

impl EventSubject for Node {
    type Machine = Observed;
    type Input = Happens;

    fn machine(&self) -> Observed {
        Observed::new(ObservedConfig::default())
    }

    fn apply(&self, machine: &mut Observed, now: Time, input: &Happens) -> Result<(), Ignored> {
        use tidewire_core::EventMachine;
        match input {
            Happens::Listening(text) => machine.handle(now, Input::Listening { address: &address(text) }),
            Happens::NotListening(text) => machine.handle(now, Input::NotListening { address: &address(text) }),
            Happens::Seen(number, seen) => {
                let (observer, local, seen) = (observer(*number), address(LISTEN), address(seen));
                let connection = ConnectionId((*number).into());
                machine.handle(now, Input::Observed { connection, observer: &observer, local: &local, seen: &seen })
            }
            Happens::Closed(number) => machine.handle(now, Input::Closed { connection: ConnectionId(*number) }),
        }
    }
}

#[test]
fn counting_observers_keeps_the_laws() {
    let mut script = vec![Step::Input(Happens::Listening(LISTEN))];
    script.extend((0..4).map(|number| Step::Input(Happens::Seen(number, SEEN))));
    script.push(Step::Wait(Duration::from_secs(5)));
    script.extend((4..9).map(|number| Step::Input(Happens::Seen(number, "/ip4/80.1.2.3/tcp/7"))));
    script.push(Step::Input(Happens::Closed(1)));
    script.push(Step::Input(Happens::Listening("/ip4/192.168.1.7/tcp/4001/ws")));
    script.push(Step::Wait(Duration::from_secs(300)));
    script.push(Step::Input(Happens::Seen(1, SEEN)));
    script.push(Step::Input(Happens::Closed(2)));
    script.push(Step::Input(Happens::Seen(3, "/ip4/127.0.0.1/tcp/1")));
    script.push(Step::Wait(Duration::from_secs(2000)));
    script.push(Step::Input(Happens::NotListening(LISTEN)));
    check_events(&Node, &script, Limits { may_merge: true, ..Limits::default() }).unwrap();
}
