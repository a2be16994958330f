//! The same seed gives the same run, to the byte, in any process.

use crate::town::{at, millis, peer, secs, tell, town};
use std::env;
use std::process::Command;
use tidewire_sim::{Link, World};

/// The child's seed.
const SEED: &str = "TIDEWIRE_TEST_CHILD_SEED";

/// What happens in a world in which nearly everything happens.
fn story(seed: u64) -> u64 {
    let mut world = World::new(seed);
    world.trace_on(0);
    world.default_link(Link::new(millis(30)).jitter(millis(20)).loss(0.03));
    let hosts = town(&mut world, 5);
    for id in &hosts {
        tell(&mut world, *id, |node, now| (1..=5).for_each(|n| node.know(now, peer(n), &[at(n)])));
    }
    for _ in 0..30 {
        let (from, to) = (world.rng().below(5) as usize, world.rng().below(5) as u32 + 1);
        tell(&mut world, hosts[from], |node, now| node.call(now, peer(to), &[1; 3_000]));
        let pause = world.rng().up_to(millis(900));
        world.run_for(pause).unwrap();
    }
    let until = world.now() + secs(30);
    world.isolate(hosts[2], until);
    world.exit(hosts[3]);
    world.run_for(secs(100)).unwrap();
    tell(&mut world, hosts[0], |node, now| node.solo.shutdown(now));
    world.run_for(secs(5)).unwrap();
    assert!(world.trace().count() > 300);
    world.trace().hash()
}

fn in_another_process(seed: u64) -> u64 {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["determinism::tells_its_parent", "--exact", "--ignored", "--nocapture", "--test-threads", "1"]);
    let output = command.env(SEED, seed.to_string()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let hash = text.lines().find_map(|line| line.split("hash=").nth(1)).and_then(|hash| hash.trim().parse().ok());
    hash.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
#[ignore = "the child of the test below"]
fn tells_its_parent() {
    let Some(seed) = env::var(SEED).ok().and_then(|seed| seed.parse().ok()) else { return };
    println!("\nhash={}", story(seed));
}

#[test]
fn the_same_seed_gives_the_same_run_in_two_processes_and_another_seed_another() {
    let here = story(1);
    assert_eq!(here, in_another_process(1));
    assert_eq!(here, story(1), "and twice in one");
    assert_ne!(here, in_another_process(2));
}
