//! Random worlds: ten nodes, any command at any time, any fault. Whatever happens, what is told is in order, both ends agree
//! once there is peace, and nothing is left after the end.

use crate::solo_node::{ECHO, Outcome, SoloNode};
use crate::town::{assert_empty, assert_lifecycle, at, millis, node, of, peer, secs, tell, town};
use std::error::Error;
use std::time::Duration;
use tidewire_connmgr::dial::GateRule;
use tidewire_core::{Multiaddr, Time};
use tidewire_host::{Command, Input, ListenerId};
use tidewire_multistream::{Matcher, RouteId};
use tidewire_sim::{HostId, Link, Rng, World, check, ipv4};

const NODES: u32 = 10;

/// One random thing.
fn something(world: &mut World, hosts: &[HostId], step: u64) {
    let mut rng = Rng::new(world.rng().next_u64());
    let even = step.is_multiple_of(2);
    let (n, m) = (rng.below(u64::from(NODES)) as u32 + 1, rng.below(u64::from(NODES)) as u32 + 1);
    let (id, other) = (hosts[n as usize - 1], hosts[m as usize - 1]);
    let mut on = |act: &mut dyn FnMut(&mut SoloNode, Time)| tell(world, id, |node, now| act(node, now));
    match rng.below(21) {
        0..=4 => on(&mut |node, now| {
            node.call(now, peer(m), &vec![n as u8; step as usize * 97]);
        }),
        5 => on(&mut |node, now| {
            node.hold(now, peer(m));
        }),
        6..=7 => on(&mut |node, now| {
            let held = node.calls.iter().find(|(_, call)| !call.complete).map(|(open, _)| *open);
            if let Some(open) = held {
                node.say(now, open, b"more");
                if even {
                    node.hang_up(now, open);
                }
            }
        }),
        8 => on(&mut |node, now| {
            // One that was answered is not to be cancelled.
            let waits = node.solo.host().openings().next().map(|view| view.open);
            if let Some(open) = waits {
                node.solo.tell_host(now, Input::CancelOpen { open }).unwrap();
                node.calls.remove(&open);
            }
        }),
        9 => on(&mut |node, now| node.connect(now, step, peer(m), &[at(m), at(m + 100)])),
        10 => on(&mut |node, now| {
            node.solo.command(now, Command::KeepAlive { peer: peer(m), on: even }).unwrap();
        }),
        11 => on(&mut |node, now| {
            node.solo.command(now, Command::Disconnect { peer: peer(m), why: "random".into() }).unwrap();
        }),
        12 => on(&mut |node, now| {
            let command = if even { Command::TrimNow } else { Command::Emergency };
            node.solo.command(now, command).unwrap();
        }),
        13 => on(&mut |node, now| {
            let rule = GateRule::Peer(peer(m));
            node.solo.command(now, Command::Deny { rule: rule.clone(), why: "random".into() }).unwrap();
            node.solo.command(now, Command::Allow { rule }).unwrap();
        }),
        14 => on(&mut |node, now| {
            if even {
                node.solo.unserve(now, &ECHO);
            }
            node.solo.serve(now, ECHO, Matcher::Exact, RouteId::new(1)).unwrap();
        }),
        15 => on(&mut |node, now| {
            let listen = Multiaddr::tcp((ipv4(n), 5000 + step as u16).into());
            node.solo.listen(now, ListenerId(1000 + step), &listen).unwrap();
            if even {
                node.solo.unlisten(now, ListenerId(1000 + step)).unwrap();
            }
        }),
        16 => on(&mut |node, now| node.solo.tell_host(now, Input::NetworkChanged).unwrap()),
        17 if id != other => {
            let until = world.now() + rng.up_to(secs(60));
            if even { world.cut(id, other, until) } else { world.cut_one_way(id, other, until) }
        }
        18 => {
            let until = world.now() + rng.up_to(secs(15));
            world.isolate(id, until);
        }
        19 => {
            let limit = if even { 4 } else { usize::MAX };
            world.file_limit(id, limit);
        }
        20 => {
            match step % 3 {
                0 => world.exit(id),
                1 => world.power_off(id),
                _ => world.kill(id),
            }
            let fresh = node(world, n, |_| {});
            world.start(id, fresh);
            world.run_for(Duration::ZERO).unwrap();
            introduce(world, id);
        }
        _ => {}
    }
}

/// Tells a node where all of them are.
fn introduce(world: &mut World, id: HostId) {
    tell(world, id, |node, now| (1..=NODES).for_each(|n| node.know(now, peer(n), &[at(n)])));
}

fn live(world: &mut World, steps: u64) -> Result<(), Box<dyn Error>> {
    let (latency, loss) = (world.rng().up_to(millis(100)), world.rng().below(4) as f64 / 100.0);
    world.default_link(Link::new(latency + millis(1)).jitter(millis(20)).loss(loss));
    let hosts = town(world, NODES);
    for id in &hosts {
        introduce(world, *id);
    }
    for step in 0..steps {
        something(world, &hosts, step);
        let pause = if world.rng().chance(0.4) { Duration::ZERO } else { world.rng().up_to(secs(2)) };
        world.run_for(pause)?;
    }
    for id in &hosts {
        world.file_limit(*id, usize::MAX);
    }
    world.default_link(Link::new(latency + millis(1)));
    world.run_for(secs(300))?;
    let mut echoed = 0;
    for (id, n) in hosts.iter().zip(1..) {
        assert_lifecycle(world, *id);
        for m in n + 1..=NODES {
            let (here, there) = (ends(world, *id, m, false), ends(world, hosts[m as usize - 1], n, true));
            assert_eq!(here, there, "nodes {n} and {m}");
        }
        echoed += of(world, *id)
            .calls
            .values()
            .filter(|call| call.done.as_ref().is_some_and(|(_, came)| *came == Outcome::Echoed))
            .count();
        for (open, call) in &of(world, *id).calls {
            assert!(call.done.is_some() || call.connection.is_some(), "node {n}: {open} was never answered");
        }
        assert_eq!(of(world, *id).solo.host().openings().count(), 0);
    }
    assert!(echoed > 0, "nothing came through");
    for id in &hosts {
        tell(world, *id, |node, now| node.solo.shutdown(now));
    }
    world.run_for(secs(60))?;
    for id in hosts {
        assert_empty(world, id);
        assert_lifecycle(world, id);
        assert_eq!(world.open_files(id), 0);
        let undone = of(world, id).calls.values().filter(|call| call.done.is_none()).count();
        assert_eq!(undone, 0, "{id}: streams whose end was not told");
    }
    Ok(())
}

/// The two ends of each connection to a peer, ours first or, `turned`, the peer's.
fn ends(world: &World, id: HostId, n: u32, turned: bool) -> Vec<(Multiaddr, Multiaddr)> {
    let host = of(world, id).solo.host();
    let to_peer = host.connections().filter(|view| view.peer == Some(peer(n)));
    let ends = to_peer.map(|view| (view.local.clone(), view.remote.clone()));
    let mut ends: Vec<_> = ends.map(|(local, remote)| if turned { (remote, local) } else { (local, remote) }).collect();
    ends.sort();
    ends
}

#[test]
fn whatever_happens_it_is_told_in_order_and_nothing_is_left() {
    check(0..12, |world| live(world, 60));
}

/// `cargo test --release -p tidewire-host --test conversations whatever_happens_for_long -- --ignored`
#[test]
#[ignore = "two hundred worlds of a thousand steps take minutes with --release"]
fn whatever_happens_for_long_it_is_told_in_order_and_nothing_is_left() {
    check(0..200, |world| live(world, 1_000));
}
