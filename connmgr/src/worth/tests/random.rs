//! Random calls, compared with the model after each.

use super::model::{Model, Peer};
use super::*;
use crate::worth::trimmer::Full;
use proptest::prelude::*;

const PEERS: u32 = 7;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Op {
    Update { peer: u32, connections: u32, streams: u32, outbound: bool, fresh: bool },
    Tag { peer: u32, name: usize, change: TagChange },
    Define { name: usize, decay: DecayingTag },
    Undefine { name: usize },
    Bump { peer: u32, name: usize, bump: Bump },
    Unbump { peer: u32, name: usize },
    Protect { peer: u32, name: usize },
    Unprotect { peer: u32, name: usize },
    Trim,
    TrimNow,
    Emergency,
    Evict { peer: u32, outbound: bool },
    Nothing,
}

/// What a call gave back.
#[derive(Debug, PartialEq)]
enum Got {
    Done(Result<(), TagError>),
    Left(bool),
    Trim(Option<Trim>),
    Evicted(Result<PeerIx, Full>),
}

/// What the book would say after such a change. A new connection is the newest.
fn standing(before: &Peer, now: Time, op: &Op) -> Standing {
    let Op::Update { connections, streams, outbound, fresh, .. } = *op else { return GONE };
    match connections {
        0 => GONE,
        _ if fresh || before.connections == 0 => Standing { connections, streams, outbound, newest: now },
        _ => Standing { connections, streams, outbound, newest: before.newest },
    }
}

fn call_model(model: &mut Model, now: Time, op: &Op) -> Got {
    model.pass(now);
    match *op {
        Op::Update { peer, .. } => {
            model.update(now, peer as usize, standing(&model.peers[peer as usize], now, op));
            Got::Done(Ok(()))
        }
        Op::Tag { peer, name, change } => Got::Done(model.tag(now, peer as usize, NAMES[name], change)),
        Op::Define { name, decay } => Got::Done(model.define(now, NAMES[name], decay)),
        Op::Undefine { name } => Got::Done(model.undefine(now, NAMES[name])),
        Op::Bump { peer, name, bump } => Got::Done(model.bump(now, peer as usize, NAMES[name], bump)),
        Op::Unbump { peer, name } => Got::Done(model.unbump(now, peer as usize, NAMES[name])),
        Op::Protect { peer, name } => Got::Done(model.protect(now, peer as usize, NAMES[name])),
        Op::Unprotect { peer, name } => Got::Left(model.unprotect(peer as usize, NAMES[name])),
        Op::Trim => {
            let due = model.next_trim() <= now;
            Got::Trim(due.then(|| model.trim_now(now)))
        }
        Op::TrimNow => Got::Trim(Some(model.trim_now(now))),
        Op::Emergency => Got::Trim(Some(model.emergency(now))),
        Op::Evict { peer, outbound } => Got::Evicted(model.evict(now, peer as usize, outbound)),
        Op::Nothing => Got::Done(Ok(())),
    }
}

fn call(worth: &mut Worth, now: Time, op: &Op, standing: Standing) -> Got {
    match *op {
        Op::Update { peer, .. } => {
            worth.update(now, PeerIx(peer), standing);
            Got::Done(Ok(()))
        }
        Op::Tag { peer, name, change } => Got::Done(worth.tag(now, PeerIx(peer), NAMES[name], change)),
        Op::Define { name, decay } => Got::Done(worth.define(now, NAMES[name], decay)),
        Op::Undefine { name } => Got::Done(worth.undefine(now, NAMES[name])),
        Op::Bump { peer, name, bump } => Got::Done(worth.bump(now, PeerIx(peer), NAMES[name], bump)),
        Op::Unbump { peer, name } => Got::Done(worth.unbump(now, PeerIx(peer), NAMES[name])),
        Op::Protect { peer, name } => Got::Done(worth.protect(now, PeerIx(peer), NAMES[name])),
        Op::Unprotect { peer, name } => Got::Left(worth.unprotect(now, PeerIx(peer), NAMES[name])),
        Op::Trim => Got::Trim(worth.trim(now)),
        Op::TrimNow => Got::Trim(Some(worth.trim_now(now))),
        Op::Emergency => Got::Trim(Some(worth.emergency(now))),
        Op::Evict { peer, outbound } => Got::Evicted(worth.evict_for(now, PeerIx(peer), outbound)),
        Op::Nothing => Got::Done(Ok(())),
    }
}

/// All that can be seen of a peer, and what is said about it.
fn compare_peer(worth: &Worth, model: &Model, now: Time, peer: u32) {
    let (ix, one) = (PeerIx(peer), &model.peers[peer as usize]);
    assert_eq!(worth.value(ix), one.value(), "value of {peer}");
    assert_eq!(worth.is_blank(ix), one.is_blank(), "whether {peer} is blank");
    assert_eq!(worth.protections(ix).collect::<Vec<_>>(), one.reasons, "reasons of {peer}");
    let plain = one.plain.iter().map(|(name, value)| (name.to_string(), *value, false));
    let all = plain.chain(one.fading.iter().map(|tag| (tag.name.to_string(), tag.value, true)));
    assert_eq!(tags(worth, peer), all.collect::<Vec<_>>(), "tags of {peer}");

    let verdict = worth.explain(now, ix);
    let order = model.order(|peer| model.may_go(now, peer));
    let may_be_closed = model.connections(|peer| model.may_go(now, peer));
    let must_go = if model.is_off() { 0 } else { may_be_closed.saturating_sub(model.config.low) };
    let place = order.iter().position(|at| *at == peer as usize);
    let before: u32 = order.iter().take(place.unwrap_or(0)).map(|at| model.peers[*at].connections).sum();
    let number = |count: usize| u32::try_from(count).unwrap();
    let rank = place.map(|place| Rank {
        value: one.value(),
        tags: number(one.tags()),
        streams: one.streams,
        place: number(place) + 1,
        of: number(order.len()),
        before,
        must_go,
    });
    let reasons = one.reasons.iter().map(SmolStr::new).collect();
    let fate = match rank {
        _ if one.connections == 0 => Fate::NotConnected { tags: number(one.tags()), reasons },
        _ if one.chosen => Fate::Closing,
        _ if !reasons.is_empty() => Fate::Protected { reasons },
        None => Fate::InGrace { left: (one.newest + model.config.grace).since(now), value: one.value() },
        Some(rank) if before < must_go => Fate::WouldClose { rank },
        Some(rank) => Fate::Kept { rank },
    };
    let (connections, next) = (model.connections(|_| true), model.next_trim());
    let next_trim = (!next.is_never()).then(|| next.since(now));
    let WorthConfig { low, high, .. } = model.config;
    assert_eq!(verdict, Verdict { fate, connections, may_be_closed, low, high, next_trim }, "verdict on {peer}");
}

/// What can't be seen from outside, and would show only later: members of definitions, and bytes.
fn check_inside(worth: &Worth) {
    let mut bytes = 0;
    let mut memberships = 0;
    for (peer, entry) in (0..).zip(&worth.entries) {
        let Some(details) = &entry.details else { continue };
        bytes += details.memory_used();
        for tag in &details.decaying {
            memberships += 1;
            let members = &worth.definitions.get(tag.definition).unwrap().members;
            assert_eq!(members.get(tag.member as usize), Some(&peer), "{members:?}");
        }
    }
    let members: usize = (0..8).filter_map(|at| worth.definitions.get(at)).map(|known| known.members.len()).sum();
    assert_eq!((worth.details_bytes, members), (bytes, memberships));
}

fn run(config: &WorthConfig, ops: &[(u64, Op)]) {
    let mut worth = Worth::new(config);
    let mut model = Model::new(config, PEERS as usize);
    let mut now = Time::ZERO;
    for (wait, op) in ops {
        now = now + Duration::from_nanos(*wait);
        // Nobody calls `on_timeout` before the call: however late it is, it must make no difference.
        let told = match op {
            Op::Update { peer, .. } => standing(&model.peers[*peer as usize], now, op),
            _ => GONE,
        };
        let blank_before: Vec<bool> = model.peers.iter().map(Peer::is_blank).collect();
        let expected = call_model(&mut model, now, op);
        assert_eq!(call(&mut worth, now, op, told), expected, "{op:?} at {now:?}");
        worth.on_timeout(now);
        for peer in 0..PEERS {
            compare_peer(&worth, &model, now, peer);
        }
        check_inside(&worth);
        assert_eq!(worth.deadline(), model.deadline(), "deadline");
        assert!(worth.deadline() > now || model.next_trim() <= now, "the deadline stands still");

        // Who became blank is told; of the peer that the call was about its caller knows.
        let told = blank(&mut worth);
        let subject = match *op {
            Op::Update { peer, .. } | Op::Tag { peer, .. } | Op::Bump { peer, .. } | Op::Unbump { peer, .. } => {
                Some(peer)
            }
            Op::Protect { peer, .. } | Op::Unprotect { peer, .. } => Some(peer),
            _ => None,
        };
        let became = (0..PEERS).filter(|peer| !blank_before[*peer as usize] && model.peers[*peer as usize].is_blank());
        for peer in became.filter(|peer| Some(*peer) != subject) {
            assert!(told.contains(&peer), "{peer} became blank");
        }
        assert!(told.iter().all(|peer| model.peers[*peer as usize].is_blank()) && told.is_sorted_by(|a, b| a < b));
    }
}

fn numbers() -> impl Strategy<Value = i32> {
    prop_oneof![8 => -3..9i32, 2 => -200..200i32, 1 => prop_oneof![Just(i32::MIN), Just(i32::MAX)]]
}

fn ops() -> impl Strategy<Value = Op> {
    let (peer, name) = (0..PEERS, 0..NAMES.len());
    let update = (peer.clone(), 0..4u32, 0..4u32, any::<bool>(), any::<bool>());
    let change = prop_oneof![
        numbers().prop_map(TagChange::Set),
        numbers().prop_map(TagChange::Add),
        (numbers(), numbers()).prop_map(|(absent, add)| TagChange::Upsert { absent, add }),
        Just(TagChange::Remove),
    ];
    let decay = prop_oneof![
        Just(Decay::None),
        (0..4i32).prop_map(Decay::Fixed),
        (0..4u32, 3..6u32).prop_map(|(numerator, denominator)| Decay::Linear { numerator, denominator }),
        (1..200u64).prop_map(|seconds| Decay::ExpireWhenInactive(Duration::from_secs(seconds))),
    ];
    let intervals = proptest::sample::select(vec![10, 30, 60]);
    let bump = prop_oneof![
        numbers().prop_map(Bump::Unbounded),
        (numbers(), numbers(), numbers()).prop_map(|(add, one, other)| Bump::Bounded {
            add,
            min: one.min(other),
            max: one.max(other)
        }),
        numbers().prop_map(Bump::Overwrite),
    ];
    prop_oneof![
        10 => update.prop_map(|(peer, connections, streams, outbound, fresh)| {
            Op::Update { peer, connections, streams, outbound, fresh }
        }),
        6 => (peer.clone(), name.clone(), change).prop_map(|(peer, name, change)| Op::Tag { peer, name, change }),
        3 => (name.clone(), intervals, decay).prop_map(|(name, interval, decay)| {
            Op::Define { name, decay: DecayingTag { interval: Duration::from_secs(interval), decay } }
        }),
        1 => name.clone().prop_map(|name| Op::Undefine { name }),
        8 => (peer.clone(), name.clone(), bump).prop_map(|(peer, name, bump)| Op::Bump { peer, name, bump }),
        1 => (peer.clone(), name.clone()).prop_map(|(peer, name)| Op::Unbump { peer, name }),
        4 => (peer.clone(), name.clone()).prop_map(|(peer, name)| Op::Protect { peer, name }),
        3 => (peer.clone(), name).prop_map(|(peer, name)| Op::Unprotect { peer, name }),
        3 => Just(Op::Trim),
        1 => Just(Op::TrimNow),
        1 => Just(Op::Emergency),
        3 => (peer, any::<bool>()).prop_map(|(peer, outbound)| Op::Evict { peer, outbound }),
        2 => Just(Op::Nothing),
    ]
}

/// Nanoseconds until the next call.
fn waits() -> impl Strategy<Value = u64> {
    let seconds = |range: core::ops::Range<u64>| range.prop_map(|seconds| seconds * 1_000_000_000);
    prop_oneof![5 => Just(0), 1 => 1..3u64, 4 => seconds(1..35), 2 => seconds(60..61), 1 => seconds(3600..3601)]
}

fn configs() -> impl Strategy<Value = WorthConfig> {
    let seconds = |all: &[u64]| proptest::sample::select(all.to_vec()).prop_map(Duration::from_secs);
    let watermarks = (0..4u32, 0..7u32, seconds(&[0, 30, 60]), seconds(&[1, 10]));
    let caps = (seconds(&[0, 30, 60, u64::MAX]), 0..4u32, 0..4u32, 0..4u32, 0..4u32, 0..4u32);
    (watermarks, caps).prop_map(|((low, high, grace, silence), (ttl, early, tags, reasons, absent, decaying))| {
        WorthConfig {
            low,
            high,
            grace,
            silence,
            early_tags_ttl: ttl,
            max_early: early,
            max_tags: tags,
            max_protections: reasons,
            max_protected_absent: absent,
            max_decaying: decaying,
            max_name: 1,
            resolution: Duration::from_secs(10),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn it_does_as_the_model_does(config in configs(), ops in proptest::collection::vec((waits(), ops()), 1..80)) {
        run(&config, &ops);
    }
}
