//! The relay server beside a reference that walks lists: the same answers, deadlines and counts after any sequence.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_possible_truncation)]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::field_reassign_with_default,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

#[path = "server_model/reference.rs"]
mod reference;
#[path = "server_model/world.rs"]
mod world;

use proptest::prelude::*;
use tidewire_relay::server::{Offer, ServerConfig};
use world::World;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn it_is_what_the_reference_says(
        config in any::<[u8; 8]>(),
        steps in prop::collection::vec(any::<[u8; 4]>(), 1..150),
    ) {
        let mut world = World::new(config);
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}

/// Random days that never reach a rule would say nothing about it.
#[test]
fn random_days_reach_every_rule() {
    let mut random = 1u64;
    let mut byte = || {
        // Splitmix64.
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (random ^ (random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 56) as u8
    };
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..150 {
        let mut world = World::new(std::array::from_fn(|_| byte()));
        for _ in 0..150 {
            world.step(std::array::from_fn(|_| byte()));
        }
        world.finish();
        seen.append(&mut world.seen);
    }
    let expected = [
        "AskAcl",
        "AsnReservations",
        "CancelAsk",
        "CircuitOpened",
        "Circuits",
        "CloseCircuit",
        "Closed",
        "Denied",
        "DestinationCircuits",
        "DestinationDisconnected",
        "DestinationLost",
        "DestinationReset",
        "Disconnected",
        "Drained",
        "Draining",
        "Expired",
        "Itself",
        "Keep",
        "NetworkRate",
        "NetworkReservations",
        "NoReservation",
        "NotServing",
        "OpenStop",
        "PeerRate",
        "Questions",
        "Relayed",
        "Release",
        "Reply",
        "RequesterGone",
        "Reservations",
        "Reserved",
        "Serve",
        "SourceCircuits",
        "SourceDisconnected",
        "SourceReset",
        "Splice",
        "StopFailed",
        "StopRefused",
        "StopTimeout",
        "TimeLimit",
        "Undecided",
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn a_configuration_names_what_differs() {
    let config: ServerConfig = serde_json::from_str(r#"{"reservations": 5, "offer": "Always"}"#).unwrap();
    assert_eq!((config.reservations, config.offer), (5, Offer::Always));
    assert_eq!(config.circuits, ServerConfig::default().circuits);
    let whole = serde_json::to_string(&ServerConfig::unlimited()).unwrap();
    assert_eq!(serde_json::from_str::<ServerConfig>(&whole).unwrap(), ServerConfig::unlimited());
}
