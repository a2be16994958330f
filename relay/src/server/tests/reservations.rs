//! Reservations: given, renewed, full, ended.

use super::*;
use crate::Limit;
use crate::server::ReservationEnd;

/// What a granted RESERVE is told.
fn told(actions: &[Action]) -> (UnixTime, Vec<Multiaddr>, Limit) {
    let reply = |action: &Action| match action {
        Action::Reply { reply: Reply::Reserved { expire, addresses, limit }, .. } => {
            Some((*expire, addresses.clone(), *limit))
        }
        _ => None,
    };
    actions.iter().find_map(reply).unwrap()
}

#[test]
fn a_holder_is_told_when_it_ends_where_we_are_and_what_a_circuit_may_use() {
    let mut world = World::new(quiet());
    world.wait(1500 * SECOND / 1000);
    world.connect(1);
    let actions = world.tell(Input::Reserve { stream: on(1, 3) });
    let expire = UnixTime::from_secs(UNIX + 1 + 3600);
    let addresses = [text(&format!("/ip4/11.255.0.1/tcp/4001/p2p/{}", peer(0)))].to_vec();
    let limit = Limit { duration: Some(2 * MINUTE), data: Some(128 * 1024) };
    let reply = Reply::Reserved { expire, addresses, limit };
    assert_eq!(
        actions,
        [
            Action::Keep { peer: peer(1) },
            Action::Reply { stream: on(1, 3), reply },
            Action::Event(Event::Reserved { peer: peer(1), expire, renewed: false }),
        ]
    );
}

#[test]
fn only_public_addresses_are_told_each_once_with_our_id() {
    let us = peer(0);
    let mut world = World::new(quiet());
    let addresses = [
        text("/ip4/11.0.0.1/tcp/1"),
        text(&format!("/ip4/11.0.0.1/tcp/1/p2p/{us}")),
        text("/ip4/10.0.0.1/tcp/1"),
        text("/ip4/127.0.0.1/tcp/1"),
        text("/ip4/0.0.0.0/tcp/1"),
        text(&format!("/ip4/11.0.0.9/tcp/1/p2p/{}/p2p-circuit/p2p/{us}", peer(8))),
        text(&format!("/ip4/11.0.0.1/tcp/2/p2p/{}", peer(8))),
        text(&format!("/p2p/{us}")),
        text("/dns4/relay.net/tcp/3"),
    ];
    world.tell(Input::Addresses { addresses: &addresses });
    world.connect(1);
    let (_, told, _) = told(&world.tell(Input::Reserve { stream: on(1, 1) }));
    let expected = ["/ip4/11.0.0.1/tcp/1", "/dns4/relay.net/tcp/3"];
    assert_eq!(told, expected.map(|at| text(&format!("{at}/p2p/{us}"))));
}

#[test]
fn addresses_stay_under_their_caps() {
    let many: Vec<_> = (0..100).map(address).collect();
    for (count, bytes, expected) in [(3, 3072, 3), (100, 150, 3), (0, 3072, 0), (100, 3072, 62)] {
        let mut world = World::new(ServerConfig { addresses: count, address_bytes: bytes, ..quiet() });
        world.tell(Input::Addresses { addresses: &many });
        assert_eq!(world.server.explain().addresses, expected, "{count} addresses, {bytes} bytes");
    }
}

#[test]
fn private_addresses_are_told_where_that_is_wanted() {
    let mut world = World::new(ServerConfig { announce_private: true, ..quiet() });
    let addresses = [text("/ip4/127.0.0.1/tcp/1"), text("/ip4/10.0.0.1/tcp/1"), text("/ip4/0.0.0.0/tcp/1")];
    world.tell(Input::Addresses { addresses: &addresses });
    assert_eq!(world.server.explain().addresses, 2);
}

#[test]
fn a_reservation_ends_when_nobody_renews_it() {
    let mut world = World::new(quiet());
    world.holder(1);
    assert_eq!(world.server.deadline(), world.now + 60 * MINUTE);
    assert_eq!(world.wait(60 * MINUTE - SECOND), []);
    let ended = Event::ReservationEnded { peer: peer(1), why: ReservationEnd::Expired };
    assert_eq!(world.wait(SECOND), [Action::Release { peer: peer(1) }, Action::Event(ended)]);
    assert_eq!((world.server.counts().reservations, world.server.deadline()), (0, Time::NEVER));
}

#[test]
fn a_request_that_comes_late_finds_what_was_due_done() {
    let mut world = World::new(quiet());
    world.holder(1);
    world.connect(2);
    world.now = world.now + 61 * MINUTE;
    assert_eq!(world.ask(on(2, 1), 1), Err(Refusal::NoReservation { destination: peer(1) }));
}

#[test]
fn a_renewal_starts_a_new_term_and_is_kept_once() {
    let mut world = World::new(quiet());
    world.holder(1);
    world.wait(50 * MINUTE);
    let actions = world.tell(Input::Reserve { stream: on(1, 2) });
    assert_eq!(told(&actions).0, UnixTime::from_secs(UNIX + 110 * 60));
    assert!(!actions.contains(&Action::Keep { peer: peer(1) }));
    assert!(actions.iter().any(|at| matches!(at, Action::Event(Event::Reserved { renewed: true, .. }))));
    assert_eq!(world.wait(60 * MINUTE - SECOND), []);
    assert_eq!(world.wait(SECOND).len(), 2);
}

#[test]
fn two_renewals_that_cross_leave_one_reservation() {
    let mut world = World::new(quiet());
    world.connect(1);
    world.connect_as(101, 1, &address(1), false, None);
    for stream in [on(1, 1), on(1, 2), on(101, 1)] {
        assert_eq!(statuses(&world.tell(Input::Reserve { stream })), [Status::OK]);
    }
    let view = world.server.view();
    assert_eq!((view.reservations.len(), view.reservations[0].renewals), (1, 2));
    assert_eq!(view.reservations[0].connection, ConnectionId(101));
    assert_eq!((view.counters.reservations, view.counters.renewals), (1, 2));
}

#[test]
fn a_full_table_refuses_newcomers_and_never_a_renewal() {
    let mut config = quiet();
    config.reservations = 3;
    let mut world = World::new(config);
    for n in 1..=3 {
        world.holder(n);
    }
    world.connect(4);
    assert_eq!(world.reserve(4), Err(Refusal::Reservations { cap: 3 }));
    for n in 1..=3 {
        assert_eq!(world.reserve(n), Ok(()));
    }
    world.disconnect(2);
    assert_eq!(world.reserve(4), Ok(()));
}

#[test]
fn a_refused_renewal_leaves_the_old_slot() {
    let rate = RateConfig::per(2, MINUTE);
    let mut world = World::new(ServerConfig { reserve_per_peer: rate, ..quiet() });
    world.holder(1);
    world.wait(SECOND);
    assert_eq!(world.reserve(1), Ok(()));
    assert!(matches!(world.reserve(1), Err(Refusal::PeerRate { .. })));
    world.tell(Input::Reachable { public: false });
    assert_eq!(world.reserve(1), Err(Refusal::NotServing));
    let view = world.server.view();
    assert_eq!((view.reservations.len(), view.reservations[0].until), (1, world.now + 60 * MINUTE));
}

#[test]
fn ip6_counts_by_56_bits_and_loopback_not_at_all() {
    let mut config = quiet();
    config.reservations_per_network = 1;
    let mut world = World::new(config);
    let rows = [
        ("/ip6/2a00:1::1/tcp/1", true),
        ("/ip6/2a00:1:0:ff:7::2/tcp/1", false),
        ("/ip6/2a00:1:0:100::1/tcp/1", true),
        ("/ip4/11.0.0.1/tcp/1", true),
        ("/ip6/::ffff:11.0.0.1/tcp/1", false),
        ("/ip4/127.0.0.1/tcp/1", true),
        ("/ip4/127.0.0.1/tcp/2", true),
        ("/ip6/::1/tcp/2", true),
    ];
    for (n, (remote, fits)) in (1..).zip(rows) {
        world.connect_as(n.into(), n, &text(remote), false, None);
        assert_eq!(world.reserve(n.into()).is_ok(), fits, "{remote}");
    }
}

#[test]
fn autonomous_systems_count_for_ip6_alone_unless_wanted() {
    let (v4, v6) = ([address(1), address(2)], [text("/ip6/2a00:1::1/tcp/1"), text("/ip6/2a00:2::1/tcp/1")]);
    for (remotes, count_asn_of_ip4, fits) in [(&v6, false, false), (&v4, false, true), (&v4, true, false)] {
        let mut world = World::new(ServerConfig { count_asn_of_ip4, reservations_per_asn: 1, ..quiet() });
        for (n, remote) in (1..).zip(remotes) {
            world.connect_as(n.into(), n, remote, false, Some(64500));
        }
        assert_eq!(world.reserve(1), Ok(()));
        let expected = if fits { Ok(()) } else { Err(Refusal::AsnReservations { asn: 64500, cap: 1 }) };
        assert_eq!(world.reserve(2), expected);
    }
}

#[test]
fn who_renews_from_elsewhere_counts_there_if_there_is_room() {
    let mut config = quiet();
    config.reservations_per_network = 1;
    let mut world = World::new(config);
    let (here, there) = (address(50), address(51));
    world.connect_as(1, 1, &here, false, None);
    world.reserve(1).unwrap();
    world.connect_as(11, 1, &there, false, None);
    world.reserve(11).unwrap();
    // The first place is free again, the second is taken.
    world.connect_as(2, 2, &there, false, None);
    assert!(world.reserve(2).is_err());
    world.connect_as(12, 2, &here, false, None);
    assert_eq!(world.reserve(12), Ok(()));
    // There is no room where it renews from: it goes on counting where it did.
    world.connect_as(21, 1, &here, false, None);
    assert_eq!(world.reserve(21), Ok(()));
    assert_eq!(world.server.counts().networks, 2);
}

#[test]
fn a_reservation_ends_with_the_last_direct_connection() {
    let mut world = World::new(quiet());
    world.holder(1);
    world.connect_as(101, 1, &address(1), false, None);
    world.connect_as(201, 1, &address(1), true, None);
    assert_eq!(world.disconnect(1), []);
    let ended = Event::ReservationEnded { peer: peer(1), why: ReservationEnd::Disconnected };
    assert_eq!(world.disconnect(101), [Action::Release { peer: peer(1) }, Action::Event(ended)]);
    assert_eq!(world.server.deadline(), Time::NEVER);
}

#[test]
fn setting_the_wall_clock_moves_no_end() {
    for unix in [0, UNIX - 100_000, UNIX + 100_000] {
        let mut world = World::new(quiet());
        world.holder(1);
        world.wait(10 * MINUTE);
        world.tell(Input::Clock { unix: UnixTime::from_secs(unix) });
        assert_eq!(world.wait(49 * MINUTE), []);
        world.connect(2);
        let (expire, ..) = told(&world.tell(Input::Reserve { stream: on(2, 1) }));
        assert_eq!(expire, UnixTime::from_secs(unix + 49 * 60 + 3600), "what is told from then on follows the clock");
        assert_eq!(world.wait(MINUTE).len(), 2, "the old one ends after its hour");
    }
}

#[test]
fn an_end_near_the_end_of_time_does_not_wrap() {
    let mut world = World::new(ServerConfig { reservation_ttl: Duration::MAX, ..quiet() });
    world.tell(Input::Clock { unix: UnixTime::from_secs(u64::MAX - 1) });
    world.wait(10 * SECOND);
    world.connect(1);
    let (expire, ..) = told(&world.tell(Input::Reserve { stream: on(1, 1) }));
    assert_eq!((expire, world.server.deadline()), (UnixTime::from_secs(u64::MAX), Time::NEVER));
    assert_eq!(world.server.counts().reservations, 1);
}

#[test]
fn a_peer_that_asks_too_often_is_told_when_to_come_again() {
    let rate = RateConfig::per(30, 2 * MINUTE);
    assert_eq!(ServerConfig::default().reserve_per_peer, rate);
    let mut world = World::new(ServerConfig { reserve_per_network: RateConfig::OFF, ..ServerConfig::default() });
    world.connect(1);
    for _ in 0..30 {
        assert_eq!(world.reserve(1), Ok(()));
    }
    assert_eq!(world.reserve(1), Err(Refusal::PeerRate { again_in: 4 * SECOND }));
    // Another connection of the same peer changes nothing.
    world.disconnect(1);
    world.connect(1);
    assert_eq!(world.reserve(1), Err(Refusal::PeerRate { again_in: 4 * SECOND }));
    world.wait(4 * SECOND);
    assert_eq!(world.reserve(1), Ok(()));
}

#[test]
fn a_network_that_asks_too_often_waits_as_one() {
    let mut world = World::new(ServerConfig::default());
    for n in 1..=3 {
        world.connect_as(n.into(), n, &address(50), false, None);
    }
    for _ in 0..30 {
        assert_eq!((world.reserve(1), world.reserve(2)), (Ok(()), Ok(())));
    }
    let network = crate::server::Network::of(&address(50)).unwrap();
    assert_eq!(world.reserve(3), Err(Refusal::NetworkRate { network, again_in: SECOND }));
    world.connect(4);
    assert_eq!(world.reserve(4), Ok(()));
}

#[test]
fn a_restarted_relay_knows_nobody() {
    let mut world = World::new(quiet());
    world.holder(1);
    let mut world = World::new(quiet());
    world.connect(1);
    world.connect(2);
    assert_eq!(world.ask(on(2, 1), 1), Err(Refusal::NoReservation { destination: peer(1) }));
    assert_eq!(world.reserve(1), Ok(()));
}
