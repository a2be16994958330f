//! Bad weather: loss, jitter, cuts. Every wish is answered, and in the end every count is right.

use crate::solo_node::Outcome;
use crate::town::{assert_empty, assert_lifecycle, at, millis, of, peer, secs, tell, town};
use std::time::Duration;
use tidewire_sim::{Link, check};

#[test]
fn through_loss_jitter_and_cuts_every_wish_is_answered_and_the_counts_are_true() {
    check(0..4, |world| {
        world.default_link(Link::new(millis(30)).jitter(millis(40)).loss(0.05));
        let hosts = town(world, 4);
        for id in &hosts {
            for n in 1..=4 {
                if id.index() + 1 != n {
                    tell(world, *id, |node, now| node.know(now, peer(n), &[at(n)]));
                }
            }
        }
        for _ in 0..60 {
            let (from, to) = (world.rng().below(4) as usize, world.rng().below(4) as u32 + 1);
            let size = world.rng().below(30_000) as usize;
            if from as u32 + 1 != to {
                tell(world, hosts[from], |node, now| node.call(now, peer(to), &vec![7; size]));
            }
            if world.rng().chance(0.15) {
                let until = world.now() + world.rng().up_to(secs(20));
                let (one, other) = (hosts[from], hosts[world.rng().below(4) as usize]);
                if one != other {
                    world.cut(one, other, until);
                }
            }
            let pause = world.rng().up_to(millis(1500));
            world.run_for(pause)?;
        }
        world.run_for(secs(300))?;
        let mut echoed = 0;
        for id in &hosts {
            for (open, call) in &of(world, *id).calls {
                let (_, outcome) = call.done.as_ref().ok_or_else(|| format!("{id}: {open} was never answered"))?;
                echoed += usize::from(*outcome == Outcome::Echoed);
            }
            let limits = of(world, *id).solo.host().manager().counts().limits;
            assert_eq!((limits.streams_inbound, limits.streams_outbound), (0, 0), "{id}: all streams are over");
            assert_eq!(of(world, *id).solo.host().openings().count(), 0);
        }
        assert!(echoed >= 20, "{echoed} of some 45 came through");
        for id in &hosts {
            for n in 1..=4 {
                let here = of(world, *id).connections_to(&peer(n)).len();
                let there = if n == id.index() + 1 {
                    0
                } else {
                    of(world, hosts[n as usize - 1]).connections_to(&peer(id.index() + 1)).len()
                };
                assert_eq!(here, there, "{id} and node {n} agree");
            }
        }
        for id in &hosts {
            tell(world, *id, |node, now| node.solo.shutdown(now));
        }
        world.run_for(secs(60))?;
        for id in hosts {
            assert_empty(world, id);
            assert_lifecycle(world, id);
            assert_eq!(world.open_files(id), 0);
        }
        Ok(())
    });
}

#[test]
fn over_a_line_of_128_kilobit_and_with_loss_all_comes_through() {
    check(0..3, |world| {
        world.default_link(Link::new(millis(150)).jitter(millis(50)).loss(0.02).bandwidth(16_000).queue(64 * 1024));
        let hosts = town(world, 2);
        let opens: Vec<_> = tell(world, hosts[0], |node, now| {
            node.know(now, peer(2), &[at(2)]);
            (0..8_u8).map(|n| node.call(now, peer(2), &[n; 8_000])).collect()
        });
        world.run_for(Duration::from_secs(200))?;
        for open in opens {
            assert_eq!(of(world, hosts[0]).outcome(open), Some(&Outcome::Echoed));
        }
        Ok(())
    });
}
