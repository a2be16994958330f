//! One punch: a relay, two whole hosts behind their fronts, and the paths between them, all drawn from a seed.
//!
//! ```text
//!    relay 11.0.0.1, another 11.0.0.4
//!         /              \            each path 20 to 200 ms one way; on every other seed the
//!   [front A]          [front B]      ways there and back differ, by half at most
//!     |     `----------'   |
//!     A                    B          A dials B through the relay; B, who listens there, punches
//! ```
//! Both know another node on the internet, too, as all nodes do that are part of a network: two who see a host tell it whether its
//! NAT gives a new port per destination. Three would tell whether ports follow each other, so that the next one can be guessed; of
//! that theory says nothing.
//!
//! The punch waits half of the round trip where it would have to wait for one way alone. So how much the two ways may differ decides
//! how far apart both dial at best: by half at most is a tenth of the round trip.

use crate::front::Front;
use crate::solo_node::{Outcome, SoloNode, keypair};
use std::error::Error;
use std::sync::OnceLock;
use std::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Seed, Time};
use tidewire_dcutr::coordinator::Event as Punch;
use tidewire_dcutr::report::{Report, Side};
use tidewire_host::solo::{SoloConfig, SoloEvent};
use tidewire_host::{ConnectionId, Event, ListenerId, OpenId, OpenOptions};
use tidewire_relay::server::{Offer, ServerConfig};
use tidewire_sim::nat::theory::{Verdict, punchable};
use tidewire_sim::{HostId, Link, Rng, World, ipv4};

/// The port that everybody listens on.
pub(crate) const PORT: u16 = 4001;
/// The numbers of the nodes: the relay, who dials through it (A in the spec), who listens there (B).
pub(crate) const RELAY: u8 = 1;
const A: u8 = 2;
const B: u8 = 3;
/// The other node that both know.
const OTHER: u8 = 4;
/// What one way takes.
const ONE_WAY: (u64, u64) = (20, 200);
/// How long an attempt may take: 3 tries, each with its stream, its dials, and the settling.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(200);
/// How long an echo may take.
const ECHO_TIME: Duration = Duration::from_secs(20);

/// Why a world can't go on.
pub(crate) type Trouble = Box<dyn Error>;

/// What came of one punch.
#[derive(Clone, Debug)]
pub(crate) struct Punched {
    /// A direct connection, at both ends.
    pub(crate) upgraded: bool,
    /// How many tries B made; 0: its plain dial was enough.
    pub(crate) tries: usize,
    /// From B's start until the direct connection stood.
    pub(crate) after: Option<Duration>,
    /// How far apart both dialed, in round trips over the relay: of each try.
    pub(crate) skews: Vec<f64>,
    /// An echo came back, over the direct connection or over the circuit.
    pub(crate) echoed: bool,
    /// What both reports say, in a sentence each.
    pub(crate) words: String,
    /// The reports, line by line.
    pub(crate) details: String,
}

/// What theory says of A and B.
pub(crate) fn theory(a: &Front, b: &Front) -> Verdict {
    punchable(&a.behaviour(), &b.behaviour())
}

/// The number of the world for a pair, by its names, so that it doesn't depend on the list in which it stands.
pub(crate) fn world_seed(a: &str, b: &str, seed: u64) -> u64 {
    // FNV-1a.
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let bytes = a.bytes().chain([0]).chain(b.bytes()).chain([0]).chain(seed.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, hash)
}

/// A node, as it is by default but for what is changed here.
pub(crate) fn node(world: &mut World, n: u8, listen: Multiaddr, change: impl FnOnce(&mut SoloConfig)) -> SoloNode {
    let mut config = SoloConfig::default();
    change(&mut config);
    let seed = Seed::new([7; 32]).derive("solo", world.rng().next_u64());
    SoloNode::new(u32::from(n), &seed, config, &[listen])
}

/// The relay; `change` sets what it gives.
pub(crate) fn add_relay(world: &mut World, change: impl FnOnce(&mut ServerConfig)) -> HostId {
    let mut server = ServerConfig::default();
    server.offer = Offer::Always;
    change(&mut server);
    let relay = node(world, RELAY, relay_address(), |config| config.host.relay.server = Some(server));
    world.add(relay, [ipv4(u32::from(RELAY))])
}

/// A host behind something.
pub(crate) fn add_host(world: &mut World, n: u8, front: &Front) -> HostId {
    let host = node(world, n, Multiaddr::tcp((front.address(n), PORT).into()), |_| {});
    front.place(world, n, host)
}

fn relay_address() -> Multiaddr {
    public_address(RELAY)
}

/// Where the `n`-th node listens, if nothing is in front of it.
fn public_address(n: u8) -> Multiaddr {
    Multiaddr::tcp((ipv4(u32::from(n)), PORT).into())
}

/// Who the `n`-th node is.
pub(crate) fn peer(n: u8) -> PeerId {
    static KNOWN: [OnceLock<PeerId>; 256] = [const { OnceLock::new() }; 256];
    *KNOWN[usize::from(n)].get_or_init(|| keypair(u32::from(n)).peer_id())
}

/// Where the `n`-th host is reached through the relay.
pub(crate) fn circuit(n: u8) -> Multiaddr {
    parse(&format!("{}/p2p/{}/p2p-circuit/p2p/{}", relay_address(), peer(RELAY), peer(n)))
}

#[expect(clippy::expect_used, reason = "made of addresses just above")]
fn parse(text: &str) -> Multiaddr {
    text.parse().expect("an address made of addresses")
}

/// Acts as the application of a node.
pub(crate) fn tell<R>(world: &mut World, id: HostId, act: impl FnOnce(&mut SoloNode, Time) -> R) -> R {
    world.with(id, |node: &mut SoloNode, os| {
        let result = act(node, os.now());
        node.drive(os.now(), os);
        result
    })
}

/// Runs until it is so, looking at it now and then. Says whether it was in time.
pub(crate) fn wait(world: &mut World, limit: Duration, mut done: impl FnMut(&World) -> bool) -> Result<bool, Trouble> {
    let until = world.now() + limit;
    while world.now() < until {
        world.run_for(LOOK)?;
        if done(world) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Has a host listen at the relay.
pub(crate) fn reserve(world: &mut World, id: HostId) -> Result<bool, Trouble> {
    let address = parse(&format!("{}/p2p/{}/p2p-circuit", relay_address(), peer(RELAY)));
    tell(world, id, |node, now| node.solo.listen(now, ListenerId(9), &address))?;
    wait(world, Duration::from_secs(20), |world| {
        let listening = |event: &Event| matches!(event, Event::Listening { listener: ListenerId(9), .. });
        world.node::<SoloNode>(id).told().any(|(_, event)| listening(event))
    })
}

/// The first report of a node of an attempt as this side.
pub(crate) fn report(world: &World, id: HostId, as_side: Side) -> Option<&Report> {
    let node: &SoloNode = world.node(id);
    node.events.iter().find_map(|(_, event)| match event {
        SoloEvent::Host(Event::Punch(Punch::Report(report))) if report.side == as_side => Some(&**report),
        _ => None,
    })
}

/// The connections to a peer that no relay carries.
pub(crate) fn directs(world: &World, id: HostId, other: u8) -> Vec<ConnectionId> {
    let manager = world.node::<SoloNode>(id).solo.host().manager();
    manager.connections_of(&peer(other)).filter(|view| !view.remote.is_relayed()).map(|view| view.id).collect()
}

/// Says something on a new stream, and whether it came back. `limited`: a circuit may carry it.
pub(crate) fn echoes(world: &mut World, id: HostId, other: u8, limited: bool) -> Result<bool, Trouble> {
    let mut options = OpenOptions::default();
    (options.limited, options.dial, options.timeout) = (limited, false, ECHO_TIME);
    let open: OpenId = tell(world, id, |node, now| node.call_with(now, peer(other), &[7; 1024], true, options));
    wait(world, ECHO_TIME, |world| world.node::<SoloNode>(id).outcome(open).is_some())?;
    Ok(world.node::<SoloNode>(id).outcome(open) == Some(&Outcome::Echoed))
}

/// How far apart both dialed in each try, in round trips as B measured them.
pub(crate) fn skews(a: &Report, b: &Report) -> Vec<f64> {
    let skew = |(a, b): (&tidewire_dcutr::report::Try, &tidewire_dcutr::report::Try)| {
        let (ours, theirs, rtt) = (a.dialed?, b.dialed?, b.rtt?);
        Some(ours.since(theirs).max(theirs.since(ours)).as_secs_f64() / rtt.as_secs_f64())
    };
    a.tries.iter().zip(&b.tries).filter_map(skew).collect()
}

/// Draws the paths between them.
fn paths(world: &mut World, rng: &mut Rng, hosts: [HostId; 4], symmetric: bool) {
    let (least, most) = ONE_WAY;
    let [relay, a, b, other] = hosts;
    for (from, to) in [(relay, a), (relay, b), (a, b), (other, a), (other, b)] {
        let there = least + rng.below(most - least + 1);
        let back = match symmetric {
            true => there,
            false => {
                let (low, high) = ((there * 2).div_ceil(3).max(least), (there * 3 / 2).min(most));
                low + rng.below(high - low + 1)
            }
        };
        world.link_one_way(from, to, Link::new(Duration::from_millis(there)));
        world.link_one_way(to, from, Link::new(Duration::from_millis(back)));
    }
}

/// Lets A dial B through the relay, and waits until both have said what came of it.
pub(crate) fn punch(a_name: &str, a: &Front, b_name: &str, b: &Front, seed: u64) -> Result<Punched, Trouble> {
    let mut world = World::new(world_seed(a_name, b_name, seed));
    punch_in(&mut world, a, b, seed.is_multiple_of(2))
}

/// The same in a world of the caller's, which may have its trace on.
pub(crate) fn punch_in(world: &mut World, a: &Front, b: &Front, symmetric: bool) -> Result<Punched, Trouble> {
    let relay = add_relay(world, |_| {});
    let [a, b] = [(A, a), (B, b)].map(|(n, front)| add_host(world, n, front));
    let mut rng = Rng::new(world.rng().next_u64());
    let known = node(world, OTHER, public_address(OTHER), |_| {});
    let known = world.add(known, [ipv4(u32::from(OTHER))]);
    paths(world, &mut rng, [relay, a, b, known], symmetric);
    // From the port that they listen on, by then.
    world.run_for(LOOK)?;
    for id in [a, b] {
        tell(world, id, |node, now| node.connect(now, 6, peer(OTHER), &[public_address(OTHER)]));
    }
    world.run_for(Duration::from_secs(2))?;
    if !reserve(world, b)? {
        return Err("B got no reservation".into());
    }
    tell(world, a, |node, now| node.connect(now, 7, peer(B), &[circuit(B)]));
    let is_direct = |world: &World| !directs(world, a, B).is_empty() && !directs(world, b, A).is_empty();
    // If B's plain dial is enough, there is nothing for A to report.
    let told = |world: &World| {
        report(world, b, Side::B).is_some() && (report(world, a, Side::A).is_some() || is_direct(world))
    };
    let told = wait(world, PATIENCE, told)?;
    let direct = is_direct(world);
    let echoed = echoes(world, a, B, !direct)?;
    let (of_a, of_b) = (report(world, a, Side::A), report(world, b, Side::B));
    let after = of_b.and_then(|report| match report.end {
        tidewire_dcutr::report::End::Upgraded { after, .. } => Some(after),
        _ => None,
    });
    let text = |report: Option<&Report>| report.map_or("no report".to_owned(), ToString::to_string);
    let lines = |report: Option<&Report>| report.map_or(String::new(), |report| report.details().to_string());
    let both_say = of_a.is_none_or(Report::is_upgraded) && of_b.is_some_and(Report::is_upgraded);
    Ok(Punched {
        upgraded: direct && both_say,
        tries: of_b.map_or(0, |report| report.tries.len()),
        after,
        skews: of_a.zip(of_b).map(|(a, b)| skews(a, b)).unwrap_or_default(),
        echoed,
        words: format!("A: {}; B: {}{}", text(of_a), text(of_b), if told { "" } else { "; not all was told in time" }),
        details: format!("{}\n{}", lines(of_a), lines(of_b)),
    })
}
