//! Guesses, by what was seen.

use super::*;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use proptest::collection::vec as many;
use proptest::prelude::*;

const TCP4: Path = Path { wire: Wire::Tcp, family: Family::V4 };

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn tcp(at: &str) -> Multiaddr {
    Multiaddr::tcp(at.parse().unwrap())
}

fn sight(local: &str, seen: &str, observer: &str) -> Sight {
    Sight { local: tcp(local), seen: tcp(seen), observer: tcp(observer) }
}

/// What it is guessed from sights of port 4001 of 10.0.0.2, each `(seen, observer)`.
fn guessed(sights: &[(&str, &str)]) -> (Mapping, Ports) {
    let sights: Vec<_> = sights.iter().map(|(seen, observer)| sight("10.0.0.2:4001", seen, observer)).collect();
    let guess = guess(&sights, TCP4);
    assert!(guess.evidence.len() <= MAX_EVIDENCE && guess.evidence.is_empty() == sights.is_empty());
    (guess.mapping, guess.ports)
}

#[test]
fn each_behaviour_is_guessed_from_what_it_shows() {
    let (a, a2, b, c) = ("1.1.1.1:1", "1.1.1.1:2", "1.1.1.2:1", "1.1.1.3:1");
    use Mapping::*;
    type Row<'a> = (&'a [(&'a str, &'a str)], Mapping, Ports);
    let table: [Row<'_>; 14] = [
        (&[], Unknown, Ports::Unknown),
        (&[("10.0.0.2:4001", a)], None, Ports::Preserved),
        (&[("10.0.0.2:4001", a), ("10.0.0.2:4001", b)], None, Ports::Preserved),
        (&[("8.8.4.4:4001", a)], Unknown, Ports::Preserved),
        (&[("8.8.4.4:555", a)], Unknown, Ports::Unknown),
        (&[("8.8.4.4:4001", a), ("8.8.4.4:4001", b)], EndpointIndependent, Ports::Preserved),
        (&[("8.8.4.4:555", a), ("8.8.4.4:555", b)], EndpointIndependent, Ports::Assigned),
        // The same address twice shows nothing of other addresses.
        (&[("8.8.4.4:555", a), ("8.8.4.4:555", a2)], Unknown, Ports::Unknown),
        (&[("8.8.4.4:555", a), ("8.8.4.4:600", b)], PortDependent, Ports::Unknown),
        (&[("8.8.4.4:555", a), ("8.8.4.4:600", a2)], PortDependent, Ports::Unknown),
        (&[("8.8.4.4:555", a), ("8.8.4.4:555", a2), ("8.8.4.4:600", b)], AddressDependent, Ports::Unknown),
        (&[("8.8.4.4:5000", a), ("8.8.4.4:5002", b), ("8.8.4.4:5004", c)], PortDependent, Ports::Step { delta: 2 }),
        (&[("8.8.4.4:5004", a), ("8.8.4.4:5003", b), ("8.8.4.4:5002", c)], PortDependent, Ports::Step { delta: -1 }),
        (&[("8.8.4.4:5000", a), ("8.8.4.4:9002", b), ("8.8.4.4:5004", c)], PortDependent, Ports::Random),
    ];
    for (sights, mapping, ports) in table {
        assert_eq!(guessed(sights), (mapping, ports), "{sights:?}");
    }
}

#[test]
fn who_is_on_our_side_of_the_nat_says_nothing_of_it() {
    let sights = [("10.0.0.2:4001", "10.0.0.9:1"), ("8.8.4.4:7", "1.1.1.1:1"), ("8.8.4.4:7", "1.1.1.2:1")];
    assert_eq!(guessed(&sights), (Mapping::EndpointIndependent, Ports::Assigned));
}

#[test]
fn of_one_observer_the_latest_word_counts() {
    let sights = [("8.8.4.4:7", "1.1.1.1:1"), ("8.8.4.4:9", "1.1.1.1:1"), ("8.8.4.4:9", "1.1.1.2:1")];
    assert_eq!(guessed(&sights), (Mapping::EndpointIndependent, Ports::Assigned));
}

#[test]
fn two_who_agree_outweigh_one_who_does_not() {
    let sights = [("8.8.4.4:7", "1.1.1.1:1"), ("8.8.4.4:666", "1.1.1.9:1"), ("8.8.4.4:7", "1.1.1.2:1")];
    assert_eq!(guessed(&sights), (Mapping::EndpointIndependent, Ports::Assigned));
}

#[test]
fn ports_of_ours_are_not_mixed_up() {
    let sights =
        [sight("10.0.0.2:4001", "8.8.4.4:4001", "1.1.1.1:1"), sight("10.0.0.2:4002", "8.8.4.4:4002", "1.1.1.2:1")];
    let guess = guess(&sights, TCP4);
    assert_eq!((guess.mapping, guess.ports), (Mapping::Unknown, Ports::Preserved));
}

#[test]
fn other_transports_families_and_relays_are_passed_over() {
    let quic = |at: &str| Multiaddr::quic_v1(at.parse().unwrap());
    let sights = [
        Sight { local: quic("10.0.0.2:1"), seen: quic("8.8.4.4:5"), observer: quic("1.1.1.1:1") },
        sight("[fd00::2]:1", "[2606::1]:5", "[2606::2]:1"),
        Sight { seen: address("/ip4/8.8.4.4/tcp/5/ws"), ..sight("10.0.0.2:1", "8.8.4.4:5", "1.1.1.1:1") },
        Sight { observer: address("/ip4/1.1.1.1/tcp/5/p2p-circuit"), ..sight("10.0.0.2:1", "8.8.4.4:5", "1.1.1.1:1") },
        Sight { seen: Multiaddr::empty(), ..sight("10.0.0.2:1", "8.8.4.4:5", "1.1.1.1:1") },
    ];
    assert_eq!(guess(&sights, TCP4).mapping, Mapping::Unknown);
    assert_eq!(guess(&sights, TCP4).evidence, []);
    let quic4 = Path { wire: Wire::Quic, family: Family::V4 };
    assert_eq!(guess(&sights, quic4).evidence, sights[..1]);
    let tcp6 = Path { wire: Wire::Tcp, family: Family::V6 };
    assert_eq!(guess(&sights, tcp6).evidence, sights[1..2]);
    assert_eq!(guesses(&sights), [guess(&sights, quic4), guess(&sights, tcp6)]);
}

fn predicted(sights: &[(&str, &str)]) -> Vec<String> {
    let sights: Vec<_> = sights.iter().map(|(seen, observer)| sight("10.0.0.2:4001", seen, observer)).collect();
    let predicted = predict(&guess(&sights, TCP4));
    assert!(predicted.iter().all(|candidate| candidate.source == Source::Predicted));
    assert!(predicted.iter().all(|candidate| candidate.local == Some(tcp("10.0.0.2:4001"))));
    predicted.iter().map(|candidate| candidate.address.to_string()).collect()
}

#[test]
fn ports_that_follow_each_other_are_predicted() {
    let sights = |ports: [u16; 3]| {
        let seen = ports.map(|port| format!("8.8.4.4:{port}"));
        let sights: Vec<_> =
            seen.iter().zip(["1.1.1.1:1", "1.1.1.2:1", "1.1.1.3:1"]).map(|(seen, by)| (seen.as_str(), by)).collect();
        predicted(&sights)
    };
    let at = |port: u16| format!("/ip4/8.8.4.4/tcp/{port}");
    assert_eq!(sights([5000, 5002, 5004]), [at(5006), at(5008), at(5010)]);
    assert_eq!(sights([5004, 5003, 5002]), [at(5001), at(5000), at(4999)]);
    assert_eq!(sights([65530, 65532, 65534]), [""; 0], "no port is above 65535");
    assert_eq!(sights([65529, 65531, 65533]), [at(65535)]);
    assert_eq!(sights([1030, 1028, 1026]), [at(1024)], "no well-known port");
    assert_eq!(sights([5000, 9002, 5004]), [""; 0], "no order, no prediction");
}

#[test]
fn nothing_is_predicted_where_the_port_stays() {
    assert_eq!(predicted(&[]), [""; 0]);
    assert_eq!(predicted(&[("8.8.4.4:4001", "1.1.1.1:1"), ("8.8.4.4:4001", "1.1.1.2:1")]), [""; 0]);
}

#[test]
fn the_remotes_nat_is_guessed_from_what_it_tells() {
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    let several = |ports: &[u16]| TheirNat::SeveralPorts { ip: ip("8.8.8.8"), ports: ports.to_vec() };
    let one = TheirNat::OnePort { ip: ip("8.8.8.8") };
    let table: [(&[&str], TheirNat); 9] = [
        (&[], TheirNat::Unknown),
        (&["/dns4/x.io/tcp/1", "/ip4/8.8.8.8/tcp/1/ws", "/ip4/8.8.8.8/tcp/0"], TheirNat::Unknown),
        (&["/ip4/10.0.0.1/tcp/1"], TheirNat::PrivateOnly),
        (&["/ip4/10.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/1"], one.clone()),
        (&["/ip4/8.8.8.8/tcp/1", "/ip4/8.8.8.8/udp/2/quic-v1"], one.clone()),
        (&["/ip4/8.8.8.8/tcp/1", "/ip4/8.8.8.8/tcp/1"], one.clone()),
        (&["/ip4/8.8.8.8/tcp/1", "/ip4/9.9.9.9/tcp/2"], one),
        (&["/ip4/9.9.9.9/tcp/3", "/ip4/8.8.8.8/tcp/1", "/ip4/8.8.8.8/tcp/2"], several(&[1, 2])),
        (&["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/2"], TheirNat::PrivateOnly),
    ];
    for (told, expected) in table {
        let told: Vec<_> = told.iter().map(|text| address(text)).collect();
        assert_eq!(TheirNat::of(&told), expected, "{told:?}");
    }
    let flood: Vec<_> = (1..2000).map(|port| tcp(&format!("8.8.8.8:{port}"))).collect();
    assert_eq!(TheirNat::of(&flood), several(&[1, 2, 3, 4, 5, 6, 7, 8]));
}

#[test]
fn a_relayed_address_says_nothing_of_the_remote() {
    assert_eq!(TheirNat::of(&[address("/ip4/8.8.8.8/tcp/1/p2p-circuit")]), TheirNat::Unknown);
}

/// A NAT as RFC 4787 describes it, to be guessed.
#[derive(Clone, Copy, Debug)]
enum Model {
    Endpoint,
    Address,
    Port,
}

/// What `observers` see, one after the other, of port 4001; each new mapping takes the next port.
fn seen_through(model: Model, delta: u16, observers: &[(u8, u16)]) -> Vec<Sight> {
    let mut mappings: Vec<((u8, u16), u16)> = vec![];
    let mut next = 20_000u16;
    let mut see = |(host, port): (u8, u16)| {
        let key = match model {
            Model::Endpoint => (0, 0),
            Model::Address => (host, 0),
            Model::Port => (host, port),
        };
        let known = mappings.iter().find(|(mapped, _)| *mapped == key).map(|(_, outside)| *outside);
        let outside = known.unwrap_or_else(|| {
            next += delta;
            mappings.push((key, next));
            next
        });
        sight("10.0.0.2:4001", &format!("8.8.4.4:{outside}"), &format!("1.1.1.{host}:{port}"))
    };
    observers.iter().map(|observer| see(*observer)).collect()
}

proptest! {
    #[test]
    fn no_nat_is_taken_for_one_that_it_cannot_be(
        model in prop_oneof![Just(Model::Endpoint), Just(Model::Address), Just(Model::Port)],
        delta in 1..50u16,
        observers in many((1..5u8, 1..4u16), 0..12),
    ) {
        let guess = guess(&seen_through(model, delta, &observers), TCP4);
        let mut hosts: Vec<_> = observers.iter().map(|(host, _)| host).collect();
        hosts.sort_unstable();
        hosts.dedup();
        match guess.mapping {
            Mapping::Unknown => prop_assert!(hosts.len() < 2, "two addresses suffice"),
            Mapping::EndpointIndependent => prop_assert!(matches!(model, Model::Endpoint)),
            Mapping::AddressDependent => prop_assert!(matches!(model, Model::Address)),
            Mapping::PortDependent => prop_assert!(matches!(model, Model::Address | Model::Port)),
            Mapping::None => prop_assert!(false, "it is there"),
        }
    }

    /// The next destination gets the first predicted port, if the NAT counts.
    #[test]
    fn what_is_predicted_comes_true_of_a_nat_that_counts(
        model in prop_oneof![Just(Model::Address), Just(Model::Port)],
        delta in 1..500u16,
        hosts in 3..9u8,
        ports in 1..3u16,
    ) {
        let observers: Vec<_> = (1..=hosts).flat_map(|host| (1..=ports).map(move |port| (host, port))).collect();
        let next = (hosts + 1, 1);
        let sights = seen_through(model, delta, &[&observers[..], &[next]].concat());
        let (past, next) = sights.split_at(observers.len());
        let guess = guess(past, TCP4);
        prop_assert_eq!(guess.ports, Ports::Step { delta: delta.into() });
        prop_assert_eq!(&predict(&guess)[0].address, &next[0].seen);
    }

    /// Whatever is seen: caps hold, and predictions are on the path, above the well-known ports, and new.
    #[test]
    fn any_sights_are_taken(ports in many((0..3u16, any::<u16>(), 0..6u8, 0..3u16), 0..100)) {
        let sights: Vec<_> = ports
            .iter()
            .map(|(local, seen, host, port)| {
                sight(&format!("10.0.0.2:{local}"), &format!("8.8.4.4:{seen}"), &format!("1.1.1.{host}:{port}"))
            })
            .collect();
        let guess = guess(&sights, TCP4);
        prop_assert!(guess.evidence.len() <= MAX_EVIDENCE);
        prop_assert!(guess.evidence.iter().all(|sight| sights.contains(sight)));
        let predicted = predict(&guess);
        prop_assert!(predicted.len() <= MAX_PREDICTED);
        prop_assert!(predicted.iter().all(|candidate| candidate.address.port().is_some_and(|port| port >= 1024)));
    }
}
