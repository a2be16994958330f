//! Which addresses are announced.

use super::*;

const PUBLIC: &str = "/ip4/8.8.8.8/tcp/4001";
const OTHER: &str = "/ip4/8.8.4.4/tcp/4001";
const PRIVATE: &str = "/ip4/192.168.1.7/tcp/4001";

fn circuit(relay: u8, at: &str) -> Multiaddr {
    crate::circuit_address(&text(at), peer(relay), peer(0)).unwrap()
}

fn texts(addresses: &[&str]) -> Vec<Multiaddr> {
    addresses.iter().copied().map(text).collect()
}

fn sorted(mut addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    addresses.sort();
    addresses
}

fn announced(desk: &mut Desk) -> Option<Vec<Multiaddr>> {
    let announce = |action| if let Action::Announce(set) = action { Some(set) } else { None };
    desk.said().into_iter().filter_map(announce).last()
}

/// What is announced with these.
fn set_of(
    config: AutoRelayConfig,
    reachability: Reachability,
    own: &[&str],
    verified: &[&str],
    circuits: &[Multiaddr],
) -> Vec<Multiaddr> {
    let mut desk = Desk::new(config);
    desk.tell(Input::Reachability(reachability));
    desk.tell(Input::Addresses { own: &texts(own), verified: &texts(verified) });
    desk.tell(Input::Circuits(circuits));
    desk.auto.announced().to_vec()
}

#[test]
fn what_is_announced_depends_on_who_can_reach_us() {
    let own = [PUBLIC, PRIVATE];
    let through = circuit(1, "/ip4/9.9.9.9/tcp/1");
    let relayed = core::slice::from_ref(&through);
    let (public, private) = (text(PUBLIC), text(PRIVATE));
    let classic = AutoRelayConfig::classic;
    let table = [
        (Reachability::Public, &[][..], relayed, vec![public.clone(), private.clone()]),
        (Reachability::Unknown, &[], &[], vec![public.clone(), private.clone()]),
        (Reachability::Private, &[], &[], vec![public.clone(), private.clone()]),
        (Reachability::Unknown, &[], relayed, vec![public.clone(), private.clone(), through.clone()]),
        (Reachability::Private, &[], relayed, vec![private.clone(), through.clone()]),
        (Reachability::Private, &[PUBLIC], relayed, vec![public, private, through.clone()]),
    ];
    for (reachability, verified, circuits, expected) in table {
        let set = set_of(classic(), reachability, &own, verified, circuits);
        assert_eq!(set, sorted(expected), "{reachability:?}, verified {verified:?}, {} circuits", circuits.len());
    }
}

#[test]
fn the_policy_may_say_otherwise() {
    let through = circuit(1, "/ip4/9.9.9.9/tcp/1");
    let circuits = core::slice::from_ref(&through);
    let with = |announce_public, announce_private, reachability| {
        let config = AutoRelayConfig { announce_public, announce_private, ..AutoRelayConfig::classic() };
        set_of(config, reachability, &[PUBLIC, PRIVATE], &[], circuits)
    };
    let (public, private) = (text(PUBLIC), text(PRIVATE));
    let always = with(AnnouncePublic::Always, false, Reachability::Private);
    assert_eq!(always, sorted(vec![public, through.clone()]));
    let verified = with(AnnouncePublic::Verified, true, Reachability::Unknown);
    assert_eq!(verified, sorted(vec![private, through]));
}

#[test]
fn circuits_among_our_own_addresses_are_filtered() {
    let stray = circuit(3, "/ip4/9.9.9.9/tcp/1").to_string();
    let set = set_of(AutoRelayConfig::classic(), Reachability::Unknown, &[PUBLIC, &stray], &[&stray], &[]);
    assert_eq!(set, texts(&[PUBLIC]));
}

#[test]
fn a_set_is_said_only_when_it_differs() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    let (one, two) = (texts(&[PUBLIC, OTHER]), texts(&[OTHER, PUBLIC, PUBLIC]));
    desk.tell(Input::Addresses { own: &one, verified: &[] });
    assert_eq!(announced(&mut desk), Some(sorted(one)));
    desk.tell(Input::Addresses { own: &two, verified: &[] });
    assert_eq!(announced(&mut desk), None, "in another order it is the same");
    desk.tell(Input::Circuits(&[]));
    assert_eq!(announced(&mut desk), None);
    desk.tell(Input::Circuits(&[circuit(1, "/ip4/9.9.9.9/tcp/1")]));
    assert_eq!(announced(&mut desk).map(|set| set.len()), Some(3));
}

#[test]
fn of_many_ports_those_bound_privately_are_kept_then_the_usual_ones_then_all() {
    let table: [(&[&str], &[&str]); 5] = [
        (
            &["/ip4/8.8.8.8/tcp/5001", "/ip4/8.8.8.8/tcp/5002", "/ip4/8.8.8.8/tcp/4001", "/ip4/10.0.0.1/tcp/5002"],
            &["/ip4/8.8.8.8/tcp/5002", "/ip4/10.0.0.1/tcp/5002"],
        ),
        (
            &["/ip4/8.8.8.8/tcp/5001", "/ip4/8.8.8.8/tcp/4002", "/ip4/8.8.8.8/tcp/4001", "/ip4/10.0.0.1/tcp/7"],
            &["/ip4/8.8.8.8/tcp/4001", "/ip4/8.8.8.8/tcp/4002", "/ip4/10.0.0.1/tcp/7"],
        ),
        (&["/ip4/8.8.8.8/tcp/5001", "/ip4/8.8.8.8/tcp/5002"], &["/ip4/8.8.8.8/tcp/5001", "/ip4/8.8.8.8/tcp/5002"]),
        // One port is no explosion, whatever its number; neither are two IP addresses or transports.
        (&["/ip4/8.8.8.8/tcp/5001", "/ip4/10.0.0.1/tcp/4001"], &["/ip4/8.8.8.8/tcp/5001", "/ip4/10.0.0.1/tcp/4001"]),
        (
            &["/ip4/8.8.8.8/tcp/5001", "/ip4/8.8.4.4/tcp/4001", "/ip4/8.8.8.8/udp/4001/quic-v1"],
            &["/ip4/8.8.8.8/tcp/5001", "/ip4/8.8.4.4/tcp/4001", "/ip4/8.8.8.8/udp/4001/quic-v1"],
        ),
    ];
    for (own, expected) in table {
        let set = set_of(AutoRelayConfig::classic(), Reachability::Public, own, &[], &[]);
        assert_eq!(set, sorted(texts(expected)), "of {own:?}");
    }
}

#[test]
fn an_explosion_at_a_relay_is_tamed_for_each_relay() {
    let at = |relay: u8, addresses: &[&str]| addresses.iter().map(|at| circuit(relay, at)).collect::<Vec<_>>();
    let ports: Vec<_> = (5000..5300).map(|port| alloc::format!("/ip4/9.9.9.9/tcp/{port}")).collect();
    let mut circuits: Vec<_> = ports.iter().map(|at| circuit(1, at)).collect();
    circuits.extend(at(1, &["/ip4/10.0.0.1/tcp/5007"]));
    circuits.extend(at(2, &["/ip4/9.9.9.9/tcp/5001"]));
    let set = set_of(AutoRelayConfig::classic(), Reachability::Private, &[], &[], &circuits);
    assert_eq!(set, sorted([at(1, &["/ip4/9.9.9.9/tcp/5007"]), at(2, &["/ip4/9.9.9.9/tcp/5001"])].concat()));
}

#[test]
fn a_relay_in_a_private_network_is_announced_as_it_is() {
    let circuits = [circuit(1, "/ip4/127.0.0.1/tcp/1"), circuit(1, "/ip4/10.0.0.1/tcp/2")];
    let set = set_of(AutoRelayConfig::classic(), Reachability::Unknown, &[], &[], &circuits);
    assert_eq!(set, sorted(circuits.to_vec()));
}

#[test]
fn at_most_a_hundred_are_announced_and_no_relay_crowds_another_out() {
    let many = |relay: u8| (0_u8..=255).map(move |n| circuit(relay, &alloc::format!("/ip4/9.9.{relay}.{n}/tcp/1")));
    let circuits: Vec<_> = many(1).chain(many(2)).chain([circuit(3, "/ip4/9.9.3.1/tcp/1")]).collect();
    let own: Vec<_> = (0..=255).map(|n| alloc::format!("/ip4/10.0.0.{n}/tcp/1")).chain([PUBLIC.into()]).collect();
    let own: Vec<&str> = own.iter().map(alloc::string::String::as_str).collect();
    let set = set_of(AutoRelayConfig::classic(), Reachability::Private, &own, &[PUBLIC], &circuits);
    assert_eq!(set.len(), 100);
    assert!(set.is_sorted());
    let of = |relay: u8| set.iter().filter(|address| address.relay_peer_id() == Some(peer(relay))).count();
    assert!(set.contains(&text(PUBLIC)), "what was verified goes first");
    assert_eq!((of(1), of(2), of(3)), (49, 49, 1));
}

#[test]
fn lists_are_looked_at_as_far_as_may_be() {
    let own: Vec<_> = (1..=2000).map(|port| text(&alloc::format!("/ip4/10.0.0.1/tcp/{port}"))).collect();
    let mut desk = Desk::new(AutoRelayConfig { max_addresses: u32::MAX, ..AutoRelayConfig::classic() });
    desk.tell(Input::Addresses { own: &own, verified: &[] });
    assert_eq!(announced(&mut desk).map(|set| set.len()), Some(1024));
}
