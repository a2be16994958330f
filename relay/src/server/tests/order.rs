//! The order of the checks, each row of the module's table: a request that fails several is told the first.

use super::*;
use crate::server::{Acl, AclRule, Offer, Scope, Verdict, Who};

/// A fault that a request can have.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Relayed,
    Denied,
    NotServing,
    Draining,
    PeerRate,
    NetworkRate,
    NoReservation,
    Full,
    NetworkFull,
    AsnFull,
    SourceFull,
    DestinationFull,
    CircuitsFull,
    Memory,
    Itself,
}

use Fault::*;

/// In the documented order, with what each is told.
const RESERVE: [(Fault, Status); 10] = [
    (Relayed, Status::PERMISSION_DENIED),
    (Denied, Status::PERMISSION_DENIED),
    (Draining, Status::RESERVATION_REFUSED),
    (NotServing, Status::RESERVATION_REFUSED),
    (PeerRate, Status::RESERVATION_REFUSED),
    (NetworkRate, Status::RESERVATION_REFUSED),
    (Full, Status::RESERVATION_REFUSED),
    (NetworkFull, Status::RESERVATION_REFUSED),
    (AsnFull, Status::RESERVATION_REFUSED),
    (Memory, Status::RESERVATION_REFUSED),
];

const CONNECT: [(Fault, Status); 12] = [
    (Relayed, Status::PERMISSION_DENIED),
    (Denied, Status::PERMISSION_DENIED),
    (Draining, Status::RESOURCE_LIMIT_EXCEEDED),
    (NotServing, Status::RESOURCE_LIMIT_EXCEEDED),
    (PeerRate, Status::RESOURCE_LIMIT_EXCEEDED),
    (NetworkRate, Status::RESOURCE_LIMIT_EXCEEDED),
    (NoReservation, Status::NO_RESERVATION),
    (SourceFull, Status::RESOURCE_LIMIT_EXCEEDED),
    (DestinationFull, Status::RESOURCE_LIMIT_EXCEEDED),
    (CircuitsFull, Status::RESOURCE_LIMIT_EXCEEDED),
    (Memory, Status::RESOURCE_LIMIT_EXCEEDED),
    (Itself, Status::CONNECTION_FAILED),
];

/// Who asks, who holds, and who else is there.
const ASKER: u32 = 1;
const HOLDER: u32 = 2;
const OTHER: u32 = 3;

/// A world in which the asker's next request has these faults.
fn world(faults: &[Fault], connect: bool) -> World {
    let has = |fault| faults.contains(&fault);
    let once = RateConfig::per(1, MINUTE);
    let mut config = quiet();
    config.offer = Offer::WhilePublic;
    if has(Full) {
        config.reservations = 2;
    }
    if has(NetworkFull) {
        config.reservations_per_network = 1;
    }
    if has(AsnFull) {
        config.count_asn_of_ip4 = true;
        config.reservations_per_asn = 1;
    }
    if has(SourceFull) || has(DestinationFull) {
        config.circuits_per_peer = 1;
    }
    if has(CircuitsFull) {
        config.circuits = 2;
    }
    let mut world = World::new(config);
    // All from one network and one system, so that these can be full.
    for n in [HOLDER, OTHER] {
        let remote = if n == OTHER { address(77) } else { address(50) };
        world.connect_as(n.into(), n, &remote, false, Some(if n == OTHER { 4 } else { 5 }));
    }
    let relayed = text("/ip4/11.0.0.51/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N/p2p-circuit");
    let remote = if has(Relayed) { relayed } else { address(50) };
    world.connect_as(ASKER.into(), ASKER, &remote, has(Relayed), Some(5));
    for n in [HOLDER, OTHER] {
        world.reserve(n.into()).unwrap();
    }
    if connect && has(Itself) {
        if has(Relayed) {
            world.connect_as(90, ASKER, &address(51), false, None);
            world.reserve(90).unwrap();
        } else {
            world.reserve(ASKER.into()).unwrap();
        }
    }
    if has(SourceFull) && !has(Relayed) {
        world.circuit(ASKER.into(), OTHER);
    }
    if has(DestinationFull) || has(CircuitsFull) {
        world.connect(60);
        let to = if has(DestinationFull) { HOLDER } else { OTHER };
        if !(has(Itself) && has(DestinationFull)) && world.server.counts().circuits < 2 {
            let _ = world.ask(on(60, 5), to);
        }
    }
    if has(CircuitsFull) {
        for n in 61..63 {
            world.connect(n);
            world.holder(n + 10);
            if world.server.counts().circuits < 2 {
                world.circuit(n.into(), n + 10);
            }
        }
    }
    // What is set only now leaves what was given before alone.
    let rates = if connect { &mut world.server.connect_rates } else { &mut world.server.reserve_rates };
    if has(PeerRate) {
        rates.peers = crate::rate::RateLimiter::new(&once, &Seed::new([1; 32]), "peers");
        rates.peers.take(world.now, &peer(ASKER));
    }
    if has(NetworkRate) {
        rates.networks = crate::rate::RateLimiter::new(&once, &Seed::new([1; 32]), "networks");
        rates.networks.take(world.now, &crate::server::Network::of(&address(50)).unwrap());
    }
    if has(Memory) {
        world.server.config.memory = 0;
    }
    if has(Denied) {
        let rule = AclRule { who: Who::Peer(peer(ASKER)), verdict: Verdict::Deny, ..AclRule::default() };
        let rules = [AclRule { scope: Scope::Any, ..rule }].to_vec();
        world.tell(Input::Acl { acl: &Acl { rules, otherwise: Verdict::Allow } });
    }
    if has(NotServing) {
        world.tell(Input::Reachable { public: false });
    }
    if has(Draining) {
        // A circuit keeps the shutdown from being done, and so the reservations.
        world.server.drain = crate::server::Drain::Until(Time::from_millis(1_000_000));
    }
    world
}

fn request(world: &mut World, faults: &[Fault], connect: bool) -> (Vec<Status>, Option<Refusal>) {
    let stream = on(ASKER.into(), 77);
    let destination = match faults {
        _ if faults.contains(&NoReservation) => peer(99),
        _ if faults.contains(&Itself) => peer(ASKER),
        _ => peer(HOLDER),
    };
    let input = if connect { Input::Connect { stream, destination } } else { Input::Reserve { stream } };
    world.server.handle(world.now, input).unwrap();
    let actions = world.actions();
    (statuses(&actions), outcome(&actions).err())
}

fn fault_of(refusal: &Refusal) -> Fault {
    match refusal {
        Refusal::Relayed => Relayed,
        Refusal::Denied => Denied,
        Refusal::NoReservation { .. } => NoReservation,
        Refusal::NotServing => NotServing,
        Refusal::Draining => Draining,
        Refusal::PeerRate { .. } => PeerRate,
        Refusal::NetworkRate { .. } => NetworkRate,
        Refusal::Reservations { .. } => Full,
        Refusal::NetworkReservations { .. } => NetworkFull,
        Refusal::AsnReservations { .. } => AsnFull,
        Refusal::SourceCircuits { .. } => SourceFull,
        Refusal::DestinationCircuits { .. } => DestinationFull,
        Refusal::Circuits { .. } => CircuitsFull,
        Refusal::Memory { .. } => Memory,
        Refusal::Itself => Itself,
        other => panic!("{other} is no check"),
    }
}

#[test]
fn each_fault_of_a_reserve_alone_has_its_status() {
    for (fault, status) in RESERVE {
        let (statuses, why) = request(&mut world(&[fault], false), &[fault], false);
        assert_eq!((statuses.as_slice(), why.as_ref().map(fault_of)), (&[status][..], Some(fault)));
    }
    assert_eq!(request(&mut world(&[], false), &[], false), ([Status::OK].to_vec(), None));
}

#[test]
fn of_two_faults_of_a_reserve_the_first_decides() {
    for (at, (first, status)) in RESERVE.iter().enumerate() {
        for (second, _) in &RESERVE[at + 1..] {
            // No network is counted behind a relay.
            let faults = [*first, *second];
            let (statuses, why) = request(&mut world(&faults, false), &faults, false);
            assert_eq!((statuses.as_slice(), why.as_ref().map(fault_of)), (&[*status][..], Some(*first)), "{faults:?}");
        }
    }
}

#[test]
fn each_fault_of_a_connect_alone_has_its_status() {
    for (fault, status) in CONNECT {
        let (statuses, why) = request(&mut world(&[fault], true), &[fault], true);
        assert_eq!((statuses.as_slice(), why.as_ref().map(fault_of)), (&[status][..], Some(fault)));
    }
    let asked = request(&mut world(&[], true), &[], true);
    assert_eq!(asked, (Vec::new(), None), "the destination is asked first");
}

#[test]
fn of_two_faults_of_a_connect_the_first_decides() {
    for (at, (first, status)) in CONNECT.iter().enumerate() {
        for (second, _) in &CONNECT[at + 1..] {
            let faults = [*first, *second];
            // Who connects to itself is its own destination, and no destination has two places.
            if faults == [DestinationFull, Itself] || faults == [NoReservation, Itself] {
                continue;
            }
            let (statuses, why) = request(&mut world(&faults, true), &faults, true);
            assert_eq!((statuses.as_slice(), why.as_ref().map(fault_of)), (&[*status][..], Some(*first)), "{faults:?}");
        }
    }
}

/// Else a peer could find out at no cost who holds here.
#[test]
fn asking_for_ids_without_a_reservation_counts_for_the_rate() {
    let mut world = World::new(ServerConfig { connect_per_peer: RateConfig::per(3, MINUTE), ..quiet() });
    world.holder(HOLDER);
    world.connect(ASKER);
    for n in 0..3u32 {
        let unknown = Err(Refusal::NoReservation { destination: peer(90 + n) });
        assert_eq!(world.ask(on(ASKER.into(), n.into()), 90 + n), unknown);
    }
    for (stream, destination) in [(7, 93), (8, HOLDER)] {
        let asked = world.ask(on(ASKER.into(), stream), destination);
        assert!(matches!(asked, Err(Refusal::PeerRate { .. })), "{asked:?}");
    }
}

#[test]
fn every_failure_of_the_stop_stream_is_203() {
    let answers = [
        StopAnswer::Refused(Status::CONNECTION_FAILED),
        StopAnswer::Refused(Status::PERMISSION_DENIED),
        StopAnswer::Refused(Status::from_code(777)),
        StopAnswer::Failed("the protocol is not spoken"),
    ];
    for answer in answers {
        let mut world = World::new(quiet());
        world.holder(HOLDER);
        world.connect(ASKER);
        let (ask, _) = world.ask(on(ASKER.into(), 1), HOLDER).unwrap();
        let actions = world.tell(Input::StopAnswered { ask, answer });
        assert_eq!(statuses(&actions), [Status::CONNECTION_FAILED], "{answer:?}");
    }
}
