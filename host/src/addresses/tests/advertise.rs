//! What is announced: one table a rule.

use super::*;
use core::net::IpAddr;
use tidewire_core::{Reach, Transport};

const HOME: &str = "/ip4/192.168.1.7/tcp/4001";
const OUTSIDE: &str = "/ip4/80.1.2.3/tcp/4001";
const SERVER: &str = "/ip4/80.7.7.7/tcp/4001";

fn relayed() -> Multiaddr {
    address(&format!("/ip4/90.0.0.1/tcp/1/p2p/{}/p2p-circuit", peer(9)))
}

fn inputs(listening: &[&str]) -> AdvertiseInputs {
    AdvertiseInputs { listening: addresses(listening), ..AdvertiseInputs::default() }
}

fn observed(text: &str, observers: u32) -> External {
    External { observers, ..External::unclaimed(address(text)) }
}

fn shown(inputs: &AdvertiseInputs) -> Vec<alloc::string::String> {
    explain(inputs).iter().map(ToString::to_string).collect()
}

fn why(inputs: &AdvertiseInputs, text: &str) -> Option<Why> {
    explain(inputs).iter().find(|decision| decision.address == address(text)).map(|decision| decision.why)
}

#[test]
fn all_interfaces_are_named_one_by_one() {
    let mut inputs = inputs(&["/ip4/0.0.0.0/tcp/4001", "/ip6/::/udp/4001/quic-v1"]);
    inputs.interfaces = ["80.7.7.7", "192.168.1.7", "2001:470::7"].iter().map(|ip| ip.parse().unwrap()).collect();
    let expected = [SERVER, "/ip6/2001:470::7/udp/4001/quic-v1", HOME];
    assert_eq!(advertised(&inputs), addresses(&expected));
    assert_eq!(why(&inputs, "/ip4/0.0.0.0/tcp/4001"), Some(Why::AllInterfaces));
    assert_eq!(why(&inputs, "/ip6/::/udp/4001/quic-v1"), Some(Why::AllInterfaces));
}

#[test]
fn the_more_believable_comes_first() {
    let mut inputs = inputs(&[HOME, SERVER]);
    inputs.external = vec![
        observed("/ip4/80.1.2.3/tcp/1", 4),
        observed("/ip4/80.1.2.3/tcp/2", 7),
        External { mapped: true, ..observed("/ip4/80.1.2.3/tcp/3", 9) },
        External { manual: true, ..observed("/ip4/80.1.2.3/tcp/4", 0) },
        External { reachability: Reachability::Reachable, ..observed("/ip4/80.1.2.3/tcp/5", 4) },
    ];
    inputs.policy.extra = addresses(&["/dns4/z.example.com/tcp/1", "/dns4/a.example.com/tcp/1"]);
    let expected = [
        "+ /dns4/z.example.com/tcp/1: the policy adds it",
        "+ /dns4/a.example.com/tcp/1: the policy adds it",
        "+ /ip4/80.1.2.3/tcp/5: others dialed it and got through",
        "+ /ip4/80.1.2.3/tcp/4: the application says that it is ours",
        "+ /ip4/80.1.2.3/tcp/3: a router forwards it to us",
        "+ /ip4/80.1.2.3/tcp/2: 7 networks see us there",
        "+ /ip4/80.1.2.3/tcp/1: 4 networks see us there",
        "+ /ip4/80.7.7.7/tcp/4001: we listen there",
        "+ /ip4/192.168.1.7/tcp/4001: we listen there",
    ];
    assert_eq!(shown(&inputs), expected);
}

#[test]
fn what_the_nat_status_and_relays_make_of_an_address() {
    use NatStatus::{Private, Public, Unknown};
    // (status, is there a relay) -> (private, observed, public listener, relayed)
    let (here, seen, relay) = (Why::Listening, Why::Observed { by: 4 }, Why::Relayed);
    let rows = [
        (Unknown, false, here, seen, here, None),
        (Unknown, true, here, seen, here, Some(relay)),
        (Public, false, here, seen, here, None),
        (Public, true, here, seen, here, Some(Why::NoRelayNeeded)),
        (Private, false, here, seen, here, None),
        (Private, true, here, Why::BehindNat, Why::BehindNat, Some(relay)),
    ];
    for (nat, has_relay, home, outside, server, through) in rows {
        let mut inputs = inputs(&[HOME, SERVER]);
        inputs.external = vec![observed(OUTSIDE, 4)];
        inputs.nat = nat;
        inputs.relayed = if has_relay { vec![relayed()] } else { vec![] };
        let case = format!("{nat:?}, relay: {has_relay}");
        assert_eq!(why(&inputs, HOME), Some(home), "{case}");
        assert_eq!(why(&inputs, OUTSIDE), Some(outside), "{case}");
        assert_eq!(why(&inputs, SERVER), Some(server), "{case}");
        assert_eq!(why(&inputs, &relayed().to_string()), through, "{case}");
    }
}

#[test]
fn behind_a_nat_what_is_known_better_stays() {
    let mut inputs = inputs(&[HOME]);
    inputs.nat = NatStatus::Private;
    inputs.relayed = vec![relayed()];
    inputs.external = vec![External { manual: true, ..observed(OUTSIDE, 0) }];
    assert_eq!(advertised(&inputs), [address(OUTSIDE), relayed(), address(HOME)]);

    inputs.external = vec![External { reachability: Reachability::Reachable, ..observed(OUTSIDE, 4) }];
    assert_eq!(why(&inputs, OUTSIDE), Some(Why::Verified));
    assert_eq!(why(&inputs, &relayed().to_string()), Some(Why::NoRelayNeeded), "one that was dialed suffices");
}

#[test]
fn what_came_of_dialing_counts_for_listeners_too() {
    let mut inputs = inputs(&[SERVER]);
    inputs.external = vec![External { reachability: Reachability::Unreachable, ..observed(SERVER, 0) }];
    assert_eq!(explain(&inputs).len(), 1);
    assert_eq!(why(&inputs, SERVER), Some(Why::Unreachable));
    inputs.external[0].reachability = Reachability::Reachable;
    assert_eq!(why(&inputs, SERVER), Some(Why::Verified));
    inputs.listening.clear();
    assert_eq!(explain(&inputs), [], "nobody says any more that it is ours");
}

#[test]
fn the_policy_says_from_where_an_address_must_be_reached() {
    let rows = [
        ("/ip4/192.168.1.7/tcp/1", Reach::Private, true),
        ("/ip4/100.64.1.7/tcp/1", Reach::Shared, true),
        ("/ip6/fe80::1/tcp/1", Reach::LinkLocal, false),
        ("/ip4/192.0.2.1/tcp/1", Reach::Documentation, false),
        ("/ip4/240.0.0.1/tcp/1", Reach::Reserved, false),
        ("/ip4/80.1.2.3/tcp/1", Reach::Public, true),
        ("/dns4/example.com/tcp/1", Reach::Public, true),
    ];
    for (text, reach, by_default) in rows {
        let mut inputs = inputs(&[text]);
        let expected = if by_default { Why::Listening } else { Why::Reach(reach) };
        assert_eq!(why(&inputs, text), Some(expected), "{text}");
        let policy = &mut inputs.policy;
        (policy.private, policy.link_local, policy.unroutable) = (false, true, true);
        let expected = match reach {
            Reach::Private | Reach::Shared => Why::Reach(reach),
            _ => Why::Listening,
        };
        assert_eq!(why(&inputs, text), Some(expected), "{text}, the other way round");
    }
}

#[test]
fn loopback_is_announced_if_there_is_nothing_else() {
    let local = "/ip4/127.0.0.1/tcp/4001";
    let out = Some(Why::Reach(Reach::Loopback));
    let rows = [
        (Loopback::Never, out, out),
        (Loopback::Alone, Some(Why::Listening), out),
        (Loopback::Always, Some(Why::Listening), Some(Why::Listening)),
    ];
    for (loopback, alone, beside) in rows {
        let mut inputs = inputs(&[local]);
        inputs.policy.loopback = loopback;
        assert_eq!(why(&inputs, local), alone, "{loopback:?}");
        inputs.listening.push(address(HOME));
        assert_eq!(why(&inputs, local), beside, "{loopback:?}, with another");
    }
}

#[test]
fn nobody_can_dial_port_zero_or_no_address() {
    for text in ["/ip4/80.1.2.3/tcp/0", "/ip4/80.1.2.3/udp/0/quic-v1"] {
        assert_eq!(why(&inputs(&[text]), text), Some(Why::Undialable));
    }
    let mut extra = inputs(&[]);
    extra.policy.extra = addresses(&["/ip4/0.0.0.0/tcp/1"]);
    assert_eq!(why(&extra, "/ip4/0.0.0.0/tcp/1"), Some(Why::Undialable), "not even if the policy asks for it");
}

#[test]
fn filters_take_out_what_they_match() {
    let all = [HOME, SERVER, "/ip4/80.7.7.7/udp/4001/quic-v1", "/ip6/2001:470::7/tcp/4001"];
    let network = |ip: &str, prefix| Filter::Network { ip: ip.parse::<IpAddr>().unwrap(), prefix };
    let rows: [(Filter, &[usize]); 9] = [
        (Filter::Address(address(SERVER)), &[1]),
        (Filter::Address(address(SERVER).with_peer_id(peer(1)).unwrap()), &[1]),
        (network("192.168.255.255", 16), &[0]),
        (network("80.7.7.6", 32), &[]),
        (network("80.7.7.6", 31), &[1, 2]),
        (network("0.0.0.0", 0), &[0, 1, 2]),
        (network("2001:470::", 32), &[3]),
        (Filter::Transport(Transport::QuicV1), &[2]),
        (Filter::Transport(Transport::Tcp), &[0, 1, 3]),
    ];
    for (filter, denied) in rows {
        let mut inputs = inputs(&all);
        inputs.policy.deny = vec![Filter::Relayed, filter.clone()];
        for (at, text) in all.iter().enumerate() {
            let expected = if denied.contains(&at) { Why::Denied { filter: 1 } } else { Why::Listening };
            assert_eq!(why(&inputs, text), Some(expected), "{filter:?}, {text}");
        }
    }
    let mut inputs = inputs(&all);
    inputs.relayed = vec![relayed()];
    inputs.policy.deny = vec![Filter::Relayed];
    assert_eq!(why(&inputs, &relayed().to_string()), Some(Why::Denied { filter: 0 }));
}

#[test]
fn extra_addresses_pass_every_filter() {
    let mut inputs = inputs(&[]);
    inputs.policy.extra = addresses(&["/ip4/192.0.2.1/tcp/1"]);
    inputs.policy.deny = vec![Filter::Transport(Transport::Tcp)];
    assert_eq!(advertised(&inputs), inputs.policy.extra);
}

#[test]
fn an_address_is_announced_once_for_its_best_reason() {
    let mut inputs = inputs(&[SERVER, SERVER]);
    inputs.listening.push(address(SERVER).with_peer_id(peer(1)).unwrap());
    inputs.external = vec![observed(SERVER, 4)];
    assert_eq!(advertised(&inputs), [address(SERVER)]);
    let expected = [Why::Observed { by: 4 }, Why::Duplicate, Why::Duplicate, Why::Duplicate];
    assert_eq!(explain(&inputs).iter().map(|decision| decision.why).collect::<Vec<_>>(), expected);
}

#[test]
fn an_address_that_one_reason_keeps_out_may_have_another_to_be_in() {
    // A relay's address among the listeners: hidden as such, and announced as what it is.
    let mut inputs = inputs(&[]);
    inputs.nat = NatStatus::Private;
    inputs.listening = vec![relayed()];
    inputs.relayed = vec![relayed()];
    assert_eq!(shown(&inputs), [format!("+ {}: a relay listens there for us", relayed())]);
}

#[test]
fn the_least_important_addresses_are_over_the_cap() {
    let mut inputs = inputs(&[]);
    inputs.listening = (1..=200).map(|port| address(&format!("/ip4/192.168.1.7/tcp/{port}"))).collect();
    inputs.external = vec![observed(OUTSIDE, 4)];
    let announced = advertised(&inputs);
    assert_eq!((announced.len(), &announced[0]), (100, &address(OUTSIDE)));
    let surplus = explain(&inputs).iter().filter(|decision| decision.why == Why::Surplus { max: 100 }).count();
    assert_eq!(surplus, 101);
    inputs.policy.max = 0;
    assert_eq!(advertised(&inputs), []);
}

#[test]
fn the_order_of_the_inputs_does_not_matter() {
    let mut first = inputs(&[HOME, SERVER, "/ip4/127.0.0.1/tcp/1", "/ip4/0.0.0.0/tcp/5"]);
    first.interfaces = vec!["10.0.0.1".parse().unwrap(), "80.8.8.8".parse().unwrap()];
    first.external = vec![observed(OUTSIDE, 4), observed("/ip4/80.1.2.3/tcp/9", 4)];
    first.relayed = vec![relayed(), address(&format!("/ip4/90.0.0.2/tcp/1/p2p/{}/p2p-circuit", peer(8)))];
    let mut second = first.clone();
    second.listening.reverse();
    second.interfaces.reverse();
    second.external.reverse();
    second.relayed.reverse();
    assert_eq!(explain(&first), explain(&second));
}
