//! Many nodes in one thread.

use crate::town::{at, of, peer, secs, tell, town};
use std::time::{Duration, Instant};
use tidewire_sim::{HostId, Link, World};

/// So many nodes, each connected with 20 others: it dials the next ten, and the ten before it dial it.
fn crowd(world: &mut World, nodes: u32) -> Vec<HostId> {
    world.default_link(Link::new(Duration::from_millis(40)).jitter(Duration::from_millis(20)));
    let hosts = town(world, nodes);
    for (id, n) in hosts.iter().zip(1..) {
        tell(world, *id, |node, now| {
            for step in 1..=10 {
                let other = (n - 1 + step) % nodes + 1;
                node.connect(now, u64::from(step), peer(other), &[at(other)]);
            }
        });
    }
    world.run_for(secs(10)).unwrap();
    hosts
}

fn assert_all_there(world: &World, hosts: &[HostId]) {
    for (id, n) in hosts.iter().zip(1..) {
        let host = of(world, *id).solo.host();
        assert_eq!(host.manager().counts().connected_peers, 20, "{id}");
        assert_eq!(host.connections().count(), 20, "{id}");
        for step in 1..=10 {
            let other = (n - 1 + step) % hosts.len() as u32 + 1;
            assert!(host.identity(&peer(other)).is_some(), "{id} knows who node {other} is");
        }
    }
}

#[test]
fn a_hundred_nodes_with_twenty_connections_each_know_each_other_and_stay() {
    let mut world = World::new(1);
    let hosts = crowd(&mut world, 100);
    assert_all_there(&world, &hosts);
    world.run_for(secs(40)).unwrap();
    assert_all_there(&world, &hosts);
}

/// `cargo test --release -p tidewire-host --test conversations a_thousand_nodes -- --ignored --nocapture`
#[test]
#[ignore = "takes long without --release, and prints what it took"]
fn a_thousand_nodes_with_twenty_connections_each_in_one_thread() {
    let (start, nodes) = (Instant::now(), 1_000);
    let mut world = World::new(1);
    let hosts = crowd(&mut world, nodes);
    println!("{nodes} nodes, 10 s of their time: {:.1?}, {:?}", start.elapsed(), world.stats());
    assert_all_there(&world, &hosts);
    let (idle, before) = (Instant::now(), world.stats());
    world.run_for(secs(60)).unwrap();
    let after = world.stats();
    println!("a minute of pings: {:.1?}, {} packets", idle.elapsed(), after.packets - before.packets);
    assert_all_there(&world, &hosts);
    let used: Vec<usize> = hosts.iter().map(|id| of(&world, *id).solo.memory_used()).collect();
    let (sum, most) = (used.iter().sum::<usize>(), used.iter().max().copied().unwrap_or_default());
    println!(
        "memory_used: {} KiB a node (at most {}), {} bytes an end of a connection",
        sum / 1024 / used.len(),
        most / 1024,
        sum / used.len() / 20
    );
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let resident = status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
        resident.for_each(|line| println!("{line}"));
    }
}
