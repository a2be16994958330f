//! One punch after the other in one world, with the same hosts living on: does anything stay behind?
//!
//! ```text
//!   relay          8 hosts behind NATs of all kinds that can be punched, each with a reservation
//!   a punch:       one dials another through the relay -> direct connection -> echo over it -> disconnected
//!   a batch:       as many punches as are asked for; then all is quiet, and what is held is looked at
//! ```
//! Two witnesses: the allocator, which counts the bytes of the whole world, and `memory_used` of each host. Both are looked at when
//! nobody is connected. What stays for hours, as the mappings of NATs do, goes up and down: so the lowest of the second quarter is
//! compared with the lowest of the last one.

use crate::front::Front;
use crate::matrix::progress;
use crate::scene::{self, Trouble, tell};
use crate::solo_node::SoloNode;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};
use tidewire_host::Command;
use tidewire_relay::Limit;
use tidewire_relay::server::{Offer, ServerConfig};
use tidewire_sim::nat::{Nat, Ports, Unsolicited};
use tidewire_sim::{HostId, Link, World};

/// The first host; the relay is before it.
const FIRST: u8 = 2;
/// How long a punch may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What may be more at the end: the step of one table that grows.
const SLACK: i64 = 64 * 1024;

/// What is run.
pub(crate) struct Order {
    pub(crate) count: usize,
    /// After how many punches it is looked.
    pub(crate) batch: usize,
    pub(crate) limit: Option<Duration>,
    pub(crate) progress: bool,
}

/// What was held at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) punches: usize,
    /// In the world.
    pub(crate) at: Duration,
    /// On the heap, more than at the first look.
    pub(crate) heap: i64,
    /// By the account of the hosts and the relay.
    pub(crate) hosts: i64,
}

/// All that was seen.
#[derive(Debug)]
pub(crate) struct Course {
    pub(crate) looks: Vec<Look>,
    pub(crate) punches: usize,
    pub(crate) upgraded: usize,
    pub(crate) first: usize,
    pub(crate) took: Duration,
}

impl Course {
    /// How much more is held at the end than early on: the heap, and the hosts' account.
    pub(crate) fn growth(&self) -> (i64, i64) {
        let quarter = self.looks.len() / 4;
        let lowest = |looks: &[Look], of: fn(&Look) -> i64| looks.iter().map(of).min().unwrap_or_default();
        let (early, late) = (&self.looks[quarter..quarter * 2], &self.looks[quarter * 3..]);
        let growth = |of| lowest(late, of) - lowest(early, of);
        (growth(|look| look.heap), growth(|look| look.hosts))
    }

    /// Whether every punch worked, and nothing stayed behind.
    pub(crate) fn holds(&self) -> bool {
        let (heap, hosts) = self.growth();
        self.upgraded == self.punches && heap <= SLACK && hosts <= SLACK
    }
}

/// Hosts behind NATs that can be punched, each with every other.
fn fronts() -> Vec<Front> {
    let nats = [
        Nat::home_router(),
        Nat::linux_masquerade(),
        Nat::full_cone(),
        Nat::restricted_cone(),
        Nat::mobile(),
        Nat { unsolicited: Unsolicited::Reset, ..Nat::home_router() },
        Nat { unsolicited: Unsolicited::PROHIBITED, ports: Ports::Random, ..Nat::home_router() },
    ];
    let carrier = Front::Carrier(Box::new((Nat::home_router(), Nat::carrier_grade())));
    nats.into_iter().map(|nat| Front::Home(Box::new(nat))).chain([carrier]).collect()
}

struct Town {
    world: World,
    relay: HostId,
    hosts: Vec<HostId>,
    next: usize,
    upgraded: usize,
    first: usize,
}

impl Town {
    fn new(seed: u64) -> Result<Town, Trouble> {
        let mut world = World::new(seed);
        world.default_link(Link::new(Duration::from_millis(30)));
        let relay = scene::add_relay(&mut world, |server| {
            *server = ServerConfig::unlimited();
            // Limited all the same: on a circuit without limits nobody would miss a direct connection.
            (server.offer, server.limit) = (Offer::Always, Limit { data: Some(1 << 20), ..Limit::default() });
        });
        let hosts = (FIRST..).zip(fronts()).map(|(n, front)| scene::add_host(&mut world, n, &front)).collect();
        let mut town = Town { world, relay, hosts, next: 0, upgraded: 0, first: 0 };
        town.world.run_for(Duration::from_secs(2))?;
        for id in town.hosts.clone() {
            if !scene::reserve(&mut town.world, id)? {
                return Err(format!("{id} got no reservation").into());
            }
        }
        Ok(town)
    }

    /// The next pair: each with every other, before one comes again.
    fn pair(&mut self) -> [usize; 2] {
        let count = self.hosts.len();
        let (a, step) = (self.next % count, self.next / count % (count - 1) + 1);
        self.next += 1;
        [a, (a + step) % count]
    }

    fn punch(&mut self) -> Result<(), Trouble> {
        let pair = self.pair();
        let [a, b] = pair.map(|at| self.hosts[at]);
        let [of_a, of_b] = pair.map(|at| FIRST + u8::try_from(at).unwrap_or(u8::MAX));
        let world = &mut self.world;
        tell(world, a, |node, now| node.connect(now, 7, scene::peer(of_b), &[scene::circuit(of_b)]));
        use tidewire_dcutr::report::Side;
        let told =
            |world: &World| scene::report(world, a, Side::A).is_some() && scene::report(world, b, Side::B).is_some();
        let told = scene::wait(world, PATIENCE, told)?;
        let direct = !scene::directs(world, a, of_b).is_empty() && !scene::directs(world, b, of_a).is_empty();
        let echoed = scene::echoes(world, a, of_b, false)?;
        let report = scene::report(world, b, Side::B);
        if told && direct && echoed {
            self.upgraded += 1;
            self.first += usize::from(report.is_some_and(|report| report.tries.len() <= 1));
        }
        let disconnect = Command::Disconnect { peer: scene::peer(of_b), why: "that was all".into() };
        tell(world, a, |node, now| node.solo.command(now, disconnect))?;
        let gone = |world: &World| {
            let alone = |id, other| {
                let node: &SoloNode = world.node(id);
                node.solo.host().manager().connections_of(&scene::peer(other)).next().is_none()
            };
            alone(a, of_b) && alone(b, of_a)
        };
        if !scene::wait(world, PATIENCE, gone)? {
            return Err(format!("{a} and {b} don't part").into());
        }
        // What an application would have read by now.
        for id in self.hosts.iter().chain([&self.relay]) {
            world.with(*id, |node: &mut SoloNode, _| forget(node));
        }
        Ok(())
    }

    fn hosts_memory(&self) -> i64 {
        let used = |id: &HostId| self.world.node::<SoloNode>(*id).solo.memory_used();
        let sum: usize = self.hosts.iter().chain([&self.relay]).map(used).sum();
        i64::try_from(sum).unwrap_or(i64::MAX)
    }
}

fn forget(node: &mut SoloNode) {
    node.events = Vec::new();
    node.calls.clear();
    node.whys = Vec::new();
}

/// Runs all of it.
pub(crate) fn run(order: &Order, mut say: impl FnMut(&Look)) -> Result<Course, Trouble> {
    let start = Instant::now();
    let mut town = Town::new(1)?;
    let mut course = Course { looks: Vec::new(), punches: 0, upgraded: 0, first: 0, took: Duration::ZERO };
    let mut heap = 0;
    let shown = order.progress && io::stderr().is_terminal();
    while course.punches < order.count && order.limit.is_none_or(|limit| start.elapsed() < limit) {
        let more = order.batch.max(1).min(order.count - course.punches);
        let mut result = Ok(());
        let counted = allocation_counter::measure(|| {
            result = (0..more).try_for_each(|_| town.punch());
            if result.is_ok() {
                // Lingering sockets, and what is remembered for a while.
                result = town.world.run_for(Duration::from_secs(90)).map_err(Trouble::from);
            }
            for id in town.hosts.iter().chain([&town.relay]) {
                town.world.with(*id, |node: &mut SoloNode, _| forget(node));
            }
        });
        result?;
        heap += counted.bytes_current;
        course.punches += more;
        let at = town.world.now().as_nanos();
        let look = Look { punches: course.punches, at: Duration::from_nanos(at), heap, hosts: town.hosts_memory() };
        say(&look);
        course.looks.push(look);
        if shown {
            progress(course.punches, order.count, start.elapsed());
        }
    }
    (course.upgraded, course.first, course.took) = (town.upgraded, town.first, start.elapsed());
    Ok(course)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punches_leave_nothing_behind() {
        let order = Order { count: 8 * 12, batch: 8, limit: None, progress: false };
        let course = run(&order, |_| ()).unwrap();
        assert!(course.holds(), "{course:#?} grew by {:?}", course.growth());
        assert_eq!(course.first, course.punches);
    }

    #[test]
    fn what_stays_behind_is_seen() {
        let look = |n: usize, each| Look { punches: n, at: Duration::ZERO, heap: n as i64 * each, hosts: 0 };
        let course = |each| Course {
            looks: (0..1_000).map(|n| look(n, each)).collect(),
            punches: 0,
            upgraded: 0,
            first: 0,
            took: Duration::ZERO,
        };
        assert!(course(0).holds());
        assert!(!course(200).holds());
    }
}
