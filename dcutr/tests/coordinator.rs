//! Any order of inputs on a coordinator; and the seeds of the fuzz target that drives the same world.
//!
//! The first byte of a step is the number of an operation, as the `step` of the world has it. Whoever changes those numbers finds
//! out here, corrects the seeds below, and writes the corpus anew:
//!
//! ```text
//! TIDEWIRE_SEEDS=1 cargo test -p tidewire-dcutr --test coordinator
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::field_reassign_with_default,
    clippy::manual_is_multiple_of,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

#[path = "coordinator_model/world.rs"]
mod world;

use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;
use world::World;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_ends_and_leaves_nothing_running(
        config in any::<[u8; 8]>(),
        steps in prop::collection::vec(any::<[u8; 4]>(), 1..150),
    ) {
        let mut world = World::new(config);
        steps.into_iter().for_each(|step| world.step(step));
        world.finish();
    }

    /// The same, along a way that gets somewhere: a circuit, identify, our address; then anything.
    #[test]
    fn whatever_happens_to_a_series_it_ends_and_leaves_nothing_running(
        timeout in any::<u8>(),
        inbound in any::<bool>(),
        steps in prop::collection::vec((6u8..20, any::<u8>(), any::<u8>(), any::<u8>()), 1..80),
    ) {
        let mut world = World::new([3, 3, 4, 7, 9, timeout, 100, 1]);
        world.step([5, 3, 0, 0]);
        world.step([0, 0, u8::from(!inbound), 0]);
        world.step([4, 0, 1, 0]);
        steps.into_iter().for_each(|(op, a, b, c)| world.step([op, a, b, c]));
        world.finish();
    }
}

/// A sequence that a fuzzer begins with.
struct Seed {
    name: &'static str,
    config: [u8; 8],
    steps: &'static [[u8; 4]],
    /// What must come up in it, at least.
    seen: &'static [&'static str],
}

/// Three tries, four attempts at a time, four peers, seven `CONNECT`s at once, 3 s for a punch.
const PLAIN: [u8; 8] = [3, 3, 4, 7, 9, 30, 100, 1];
/// Our addresses are known; a circuit came to us, or was made by us; its peer told who it is, without an address.
const OWN: [u8; 4] = [5, 3, 0, 0];
const CAME: [u8; 4] = [0, 0, 0, 0];
const MADE: [u8; 4] = [0, 0, 1, 0];
const WHO: [u8; 4] = [4, 0, 1, 0];
/// The remote's `CONNECT` on our stream, 80 ms later; time for a timer; the proof.
const CONNECTS: [u8; 4] = [6, 0, 8, 1];
const TIMER: [u8; 4] = [19, 10, 1, 0];
const PROVEN: [u8; 4] = [17, 0, 0, 0];

const SEEDS: [Seed; 6] = [
    Seed {
        name: "b_punches",
        config: PLAIN,
        steps: &[OWN, CAME, WHO, CONNECTS, TIMER, [13, 0, 0, 0], [14, 0, 0, 0], PROVEN],
        seen: &["Open", "Sync", "Window", "Dial", "Dialed"],
    },
    Seed {
        name: "a_punches_on_the_second_try",
        config: PLAIN,
        steps: &[
            OWN,
            MADE,
            [9, 0, 0, 1],
            [11, 0, 8, 0],
            [15, 0, 2, 0],
            [9, 0, 0, 1],
            [11, 1, 8, 0],
            [14, 0, 0, 0],
            PROVEN,
        ],
        seen: &["Answer", "Window", "Dial", "Dialed"],
    },
    Seed {
        name: "the_direct_dial_reaches",
        config: PLAIN,
        steps: &[OWN, CAME, [4, 0, 1, 1], [14, 0, 0, 0], PROVEN],
        seen: &["Dial", "Direct"],
    },
    Seed {
        name: "quic_datagrams",
        config: PLAIN,
        steps: &[OWN, CAME, WHO, [6, 0, 8, 2], TIMER, [19, 100, 1, 0]],
        seen: &["Datagram"],
    },
    Seed {
        name: "the_relay_is_lost_on_the_second_try",
        config: PLAIN,
        steps: &[OWN, CAME, WHO, [8, 0, 1, 0], CONNECTS, [3, 0, 0, 0], TIMER, [15, 0, 2, 0]],
        seen: &["Open", "Dial", "RelayLost"],
    },
    Seed {
        name: "asked_too_often_and_cancelled",
        config: [3, 3, 4, 1, 9, 30, 100, 1],
        steps: &[OWN, MADE, [9, 0, 0, 1], [9, 0, 0, 1], [9, 0, 0, 1], [18, 0, 4, 0], [18, 0, 0, 0]],
        seen: &["Answer", "TooOften", "Cancelled"],
    },
];

#[test]
fn each_seed_does_what_its_name_says_and_is_what_is_committed() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/dcutr_ops");
    for seed in SEEDS {
        let mut world = World::new(seed.config);
        seed.steps.iter().for_each(|step| world.step(*step));
        world.finish();
        for seen in seed.seen {
            assert!(world.seen.iter().any(|one| one.starts_with(seen)), "{}: no {seen} in {:?}", seed.name, world.seen);
        }
        let bytes = [&seed.config[..], seed.steps.as_flattened()].concat();
        let file = corpus.join(seed.name);
        if std::env::var_os("TIDEWIRE_SEEDS").is_some() {
            fs::create_dir_all(&corpus).unwrap();
            fs::write(&file, &bytes).unwrap();
        }
        assert_eq!(fs::read(&file).ok(), Some(bytes), "{}: write the corpus anew", seed.name);
    }
}
