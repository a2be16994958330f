//! The seeds of four fuzz targets: each does what its name says, and is what is committed.
//!
//! The first byte of a step is the number of an operation, as the `step` of its world has it. Whoever changes those numbers finds
//! out here, corrects the names below, and writes the corpora anew:
//!
//! ```text
//! TIDEWIRE_SEEDS=1 cargo test -p tidewire-relay --test seeds
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_possible_truncation)]
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::field_reassign_with_default,
    clippy::manual_is_multiple_of,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

#[path = "autonat_model/world.rs"]
mod autonat;
#[path = "autorelay_model/world.rs"]
mod autorelay;
#[path = "client_model/world.rs"]
mod client;
#[path = "server_model/reference.rs"]
mod reference;
#[path = "server_model/world.rs"]
mod server;

#[path = "seeds/autonat.rs"]
mod of_autonat;
#[path = "seeds/autorelay.rs"]
mod of_autorelay;
#[path = "seeds/client.rs"]
mod of_client;
#[path = "seeds/server.rs"]
mod of_server;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// A sequence that a fuzzer begins with.
struct Seed {
    name: &'static str,
    config: [u8; 8],
    steps: &'static [[u8; 4]],
    /// What must come up in it, at least.
    seen: &'static [&'static str],
}

/// What comes up in a world with this configuration and these steps.
type Play = fn([u8; 8], &[[u8; 4]]) -> BTreeSet<String>;

macro_rules! play {
    ($world:ident) => {
        |config, steps| {
            let mut world = $world::World::new(config);
            steps.iter().for_each(|step| world.step(*step));
            let seen = world.seen.clone();
            world.finish();
            seen
        }
    };
}

const TARGETS: [(&str, &[Seed], Play); 4] = [
    ("relay_server_ops", of_server::SEEDS, play!(server)),
    ("relay_client_ops", of_client::SEEDS, play!(client)),
    ("autorelay_ops", of_autorelay::SEEDS, play!(autorelay)),
    ("autonat_ops", of_autonat::SEEDS, play!(autonat)),
];

#[test]
fn each_seed_does_what_its_name_says() {
    let mut missing = Vec::new();
    for (target, seeds, play) in TARGETS {
        for seed in seeds {
            let seen = play(seed.config, seed.steps);
            let absent = seed.seen.iter().filter(|what| !seen.contains(**what));
            missing.extend(absent.map(|what| format!("{target}/{}: no {what} in {seen:?}", seed.name)));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn what_is_committed_is_these() {
    let write = std::env::var_os("TIDEWIRE_SEEDS").is_some();
    for (target, seeds, _) in TARGETS {
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus")).join(target);
        if write {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
        }
        for seed in seeds {
            let (path, bytes) = (folder.join(seed.name), [&seed.config[..], seed.steps.as_flattened()].concat());
            if write {
                fs::write(&path, &bytes).unwrap();
            }
            let committed = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(committed == bytes, "{target}/{} is stale: write it anew with TIDEWIRE_SEEDS=1", seed.name);
        }
    }
}
