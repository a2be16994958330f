//! One kind of event after the other, among a full crowd.

use super::{EVENT, Entry, by_hand, shared, turn};
use crate::harness::{Effort, Row, Watch};
use crate::ours::crowd::{Crowd, Newcomer, address, peer};
use std::hint::black_box;
use std::time::Duration;
use tidewire_connmgr::dial::DialOptions;
use tidewire_connmgr::metadata::Source;
use tidewire_connmgr::worth::{Bump, Decay, DecayingTag, TagChange};
use tidewire_connmgr::{Action, ConnectionId, Direction, Input, Origin, RequestId, StreamId};
use tidewire_core::EventMachine;
use tidewire_core::Time;

pub(super) fn rows() -> Vec<Entry> {
    macro_rules! row {
        ($name:literal, $turn:expr) => {
            Entry { name: $name, measure: |name, effort| among_all(name, effort, $turn) }
        };
    }
    vec![
        row!("connmgr, Incoming, Accept", |crowd, k, watch| turnover(crowd, k, watch, Part::Incoming)),
        row!("connmgr, Established", |crowd, k, watch| turnover(crowd, k, watch, Part::Established)),
        row!("connmgr, Closed", |crowd, k, watch| turnover(crowd, k, watch, Part::Closed)),
        row!("connmgr, Dial, Established, an event", dials),
        row!("connmgr, StreamOpened, StreamClosed, an event", streams),
        row!("connmgr, Used", used),
        row!("connmgr, timers, a ping", |crowd, k, watch| pings(crowd, k, watch, Part::Timers)),
        row!("connmgr, Pong", |crowd, k, watch| pings(crowd, k, watch, Part::Pong)),
        row!("connmgr, Tag", tags),
        Entry { name: "connmgr, a step of decay, a peer", measure: decay },
        row!("connmgr, Addresses", addresses),
        row!("connmgr, peer()", peers),
        Entry { name: "connmgr, explain()", measure: explain },
    ]
}

/// Every second peer gets a tag, with a value by chance.
pub(super) fn tag_half(crowd: &mut Crowd) {
    let half: Vec<u64> = crowd.members().iter().copied().filter(|member| member % 2 == 0).collect();
    for member in half {
        let value = crowd.chance().below(1_000) as i32;
        tag(crowd, member, value);
    }
}

fn tag(crowd: &mut Crowd, member: u64, value: i32) {
    crowd.tell(Input::Tag { peer: peer(member), tag: "kad", change: TagChange::Set(value) });
    crowd.polled(0);
}

/// What is measured of a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Incoming,
    Established,
    Closed,
    Timers,
    Pong,
}

fn among_all(name: &'static str, effort: &Effort, mut measure: impl FnMut(&mut Crowd, usize, &mut Watch)) -> Row {
    shared(effort, |crowd| {
        by_hand(name, effort, effort.rounds, vec![EVENT], |watch| measure(crowd, turn(effort), watch))
    })
}

/// Measures only the part that is asked for.
fn part<T>(watch: &mut Watch, wanted: bool, operations: usize, what: impl FnOnce() -> T) -> T {
    if wanted { watch.time(operations, what) } else { what() }
}

/// Some leave, as many come.
fn turnover(crowd: &mut Crowd, count: usize, watch: &mut Watch, wanted: Part) {
    let leaving = crowd.take(count);
    part(watch, wanted == Part::Closed, count, || leaving.iter().for_each(|member| crowd.closed(*member)));
    let newcomers = crowd.newcomers(count);
    part(watch, wanted == Part::Incoming, count, || {
        for newcomer in &newcomers {
            crowd.incoming(newcomer);
        }
    });
    part(watch, wanted == Part::Established, count, || {
        for newcomer in &newcomers {
            crowd.established(newcomer);
        }
    });
    settle(crowd);
}

/// Some leave, as many are dialed, each at one address. `Dial` gives an action; `Established` two events and an answer.
fn dials(crowd: &mut Crowd, count: usize, watch: &mut Watch) {
    crowd.take(count).into_iter().for_each(|member| crowd.closed(member));
    let newcomers = crowd.newcomers(count);
    watch.time(2 * count, || {
        for newcomer in &newcomers {
            let Newcomer { connection, peer, ref remote } = *newcomer;
            let (request, options) = (RequestId(connection.0), DialOptions::default());
            let addresses = std::slice::from_ref(remote);
            crowd.tell(Input::Dial { request, peer, addresses, options });
            let Some(Action::Dial { dial, .. }) = crowd.manager.poll() else { panic!("it is dialed") };
            crowd.upgrade(newcomer, Origin::Dial(dial));
            crowd.polled(3);
        }
    });
    settle(crowd);
}

/// As many streams are opened by as many remotes, and closed again.
fn streams(crowd: &mut Crowd, count: usize, watch: &mut Watch) {
    let members = crowd.pick(count);
    let (direction, protocol) = (Direction::Inbound, Some("/ipfs/kad/1.0.0"));
    let streams = || members.iter().zip(0..).map(|(member, n)| (ConnectionId(*member), StreamId(n)));
    watch.time(2 * count, || {
        for (connection, stream) in streams() {
            crowd.tell(Input::StreamOpened { connection, stream, direction, protocol });
            crowd.polled(1);
        }
        for (connection, stream) in streams() {
            crowd.tell(Input::StreamClosed { connection, stream });
            crowd.polled(1);
        }
    });
}

fn used(crowd: &mut Crowd, count: usize, watch: &mut Watch) {
    let members = crowd.pick(count);
    watch.time(count, || {
        for member in members {
            crowd.tell(Input::Used { connection: ConnectionId(member) });
            crowd.polled(0);
        }
    });
}

/// Time passes until so many pings became due, one after the other, and all are answered.
fn pings(crowd: &mut Crowd, count: usize, watch: &mut Watch, wanted: Part) {
    let (mut due, mut all) = (Vec::new(), 0);
    while all < count {
        let until = crowd.now + crowd.spacing() * 64;
        // All that time does is for the sake of pings: timers that only wait for an answer count too.
        part(watch, wanted == Part::Timers, 0, || {
            while crowd.next_timer(until) {
                crowd.pings(&mut due);
            }
        });
        crowd.now = crowd.now.max(until);
        all += due.len();
        part(watch, wanted == Part::Pong, due.len(), || due.drain(..).for_each(|connection| crowd.pong(connection)));
    }
    if wanted == Part::Timers {
        watch.time(all, || ());
    }
}

fn tags(crowd: &mut Crowd, count: usize, watch: &mut Watch) {
    let members = crowd.pick(count);
    let changes: Vec<_> =
        members.into_iter().map(|member| (peer(member), TagChange::Set(crowd.chance().below(1_000) as i32))).collect();
    watch.time(count, || {
        for (peer, change) in changes {
            crowd.tell(Input::Tag { peer, tag: "kad", change });
            crowd.polled(0);
        }
    });
}

/// A tenth of all peers has a tag that decays; `on_timeout` takes a step for all of them at once.
fn decay(name: &'static str, effort: &Effort) -> Row {
    const INTERVAL: Duration = Duration::from_secs(1);
    const TAG: &str = "gossip";
    shared(effort, |crowd| {
        let peers = effort.crowd / 10;
        let decay = DecayingTag { interval: INTERVAL, decay: Decay::Fixed(1) };
        crowd.tell(Input::DefineDecaying { tag: TAG, decay });
        let members: Vec<u64> = crowd.members().iter().copied().take(peers).collect();
        for member in members {
            crowd.tell(Input::Bump { peer: peer(member), tag: TAG, bump: Bump::Unbounded(1_000) });
        }
        let start = crowd.now;
        let mut steps = 0;
        let row = by_hand(name, effort, effort.rounds.min(9), vec![EVENT], |watch| {
            steps += 1;
            let due = next_multiple(start, INTERVAL, steps);
            crowd.pass(Time::from_nanos(due.as_nanos() - 1).since(crowd.now));
            let mut pings = Vec::new();
            watch.time(peers, || {
                assert!(crowd.next_timer(due), "a step is due");
                crowd.pings(&mut pings);
            });
            pings.into_iter().for_each(|connection| crowd.pong(connection));
        });
        crowd.tell(Input::RemoveDecaying { tag: TAG });
        row
    })
}

/// Steps are counted from the definition on.
fn next_multiple(start: Time, interval: Duration, steps: u32) -> Time {
    start + interval * steps
}

/// Somebody tells of an address of a connected peer, mostly of one about whom none was known.
fn addresses(crowd: &mut Crowd, count: usize, watch: &mut Watch) {
    let members = crowd.pick(count);
    let told: Vec<_> = members.into_iter().map(|member| (peer(member), [address(member)])).collect();
    let (source, ttl) = (Source::Identify, Duration::from_secs(3_600));
    watch.time(count, || {
        for (peer, addresses) in &told {
            crowd.tell(Input::Addresses { peer: *peer, addresses, source, ttl });
            crowd.polled(0);
        }
    });
}

fn peers(crowd: &mut Crowd, count: usize, watch: &mut Watch) {
    let asked: Vec<_> = crowd.pick(count).into_iter().map(peer).collect();
    watch.time(count, || {
        for peer in &asked {
            assert!(black_box(crowd.manager.peer(peer)).is_some());
        }
    });
}

/// Not an event but a question of a person's, and so without a budget: it looks at every peer.
fn explain(name: &'static str, effort: &Effort) -> Row {
    const ASKED: usize = 3;
    shared(effort, |crowd| {
        by_hand(name, effort, effort.rounds, Vec::new(), |watch| {
            let asked: Vec<_> = crowd.pick(ASKED).into_iter().map(peer).collect();
            watch.time(ASKED, || {
                for peer in &asked {
                    black_box(crowd.manager.explain(peer));
                }
            });
        })
    })
}

/// As much time passes as so many newcomers take; what becomes due is done.
pub(super) fn settle(crowd: &mut Crowd) {
    crowd.pass(Duration::from_millis(10));
}
