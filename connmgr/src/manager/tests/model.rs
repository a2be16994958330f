//! The manager as a state of a model: with its clock set back after each step it decides as it would have, and looks as it would.

use super::*;
use core::hash::{Hash, Hasher};
use proptest::prelude::*;
use siphasher::sip::SipHasher13;

#[derive(Clone, Copy, Debug)]
enum Op {
    Open { id: u64, who: u32, relayed: bool, role: Role },
    Incoming { id: u64 },
    Accepted { id: u64, who: u32, role: Role },
    Pong { id: u64 },
    Stream { id: u64, stream: u64, open: bool },
    Close { id: u64 },
    Closed { id: u64 },
    Timer,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let role = || prop_oneof![Just(Role::Initiator), Just(Role::Responder)];
    let one = prop_oneof![
        4 => (0..5_u64, 1..3_u32, any::<bool>(), role()).prop_map(|(id, who, relayed, role)| Op::Open { id, who, relayed, role }),
        1 => (0..5_u64).prop_map(|id| Op::Incoming { id }),
        1 => (0..5_u64, 1..3_u32, role()).prop_map(|(id, who, role)| Op::Accepted { id, who, role }),
        8 => (0..5_u64).prop_map(|id| Op::Pong { id }),
        1 => (0..5_u64, 0..2_u64, any::<bool>()).prop_map(|(id, stream, open)| Op::Stream { id, stream, open }),
        1 => (0..5_u64).prop_map(|id| Op::Close { id }),
        2 => (0..5_u64).prop_map(|id| Op::Closed { id }),
        3 => Just(Op::Timer),
    ];
    proptest::collection::vec(one, 0..120)
}

/// All off that a model has off. Graces are long beside the moments between two steps.
fn config(grace: bool, budget: u32) -> Config {
    let mut config = quiet();
    let unit = if grace { Duration::from_micros(1) } else { Duration::ZERO };
    (config.duplicates.grace, config.duplicates.long_grace) = (unit, Some(unit * 1000));
    config.duplicates.budget = budget;
    (config.worth.low, config.worth.high) = (0, 0);
    let hour = Duration::from_secs(3600);
    (config.keep_alive.ping_timeout_min, config.keep_alive.ping_timeout_max) = (hour, hour);
    config
}

/// What it wants. How long a connection lived is of no matter to it.
fn wishes(manager: &mut ConnectionManager) -> Vec<Action> {
    let polled = core::iter::from_fn(|| manager.poll());
    polled.filter(|action| !matches!(action, Action::Event(Event::ConnectionClosed { .. }))).collect()
}

fn apply(manager: &mut ConnectionManager, now: Time, op: Op) -> Result<Vec<Action>, Misuse> {
    let (c, direct, by) = (ConnectionId, address(7), By::Remote);
    let circuit = text("/ip4/11.0.0.9/tcp/4001/p2p-circuit");
    let input = match op {
        Op::Open { id, who, relayed, role } => {
            let (direction, remote) = (Direction::Outbound, if relayed { &circuit } else { &direct });
            let origin = Origin::Other { direction, remote };
            Input::Established { connection: c(id), peer: peer(who), origin, role, limited: relayed }
        }
        Op::Incoming { id } => Input::Incoming { connection: c(id), remote: &direct },
        Op::Accepted { id, who, role } => {
            let (peer, origin) = (peer(who), Origin::Incoming);
            Input::Established { connection: c(id), peer, origin, role, limited: false }
        }
        Op::Pong { id } => Input::Pong { connection: c(id), rtt: Duration::from_millis(1) },
        Op::Stream { id, stream, open: true } => {
            let (stream, direction) = (StreamId(stream), Direction::Inbound);
            Input::StreamOpened { connection: c(id), stream, direction, protocol: Some("/a") }
        }
        Op::Stream { id, stream, .. } => Input::StreamClosed { connection: c(id), stream: StreamId(stream) },
        Op::Close { id } => Input::Close { connection: c(id), why: "enough" },
        Op::Closed { id } => Input::Closed { connection: c(id), by, why: "bye" },
        Op::Timer => {
            // An answer takes its time, and comes.
            if manager.deadline().since(now) < Duration::from_secs(1800) {
                manager.on_timeout(manager.deadline().max(now));
            }
            return Ok(wishes(manager));
        }
    };
    manager.handle(now, input)?;
    Ok(wishes(manager))
}

fn hash(manager: &ConnectionManager) -> u64 {
    let mut hasher = SipHasher13::new();
    manager.hash(&mut hasher);
    hasher.finish()
}

proptest! {
    #[test]
    fn a_manager_whose_clock_is_set_back_decides_as_it_would_have(
        ops in ops(),
        grace: bool,
        budget in prop_oneof![Just(u32::MAX), Just(2)],
    ) {
        let mut whole = ConnectionManager::new(config(grace, budget), peer(0), &Seed::new([9; 32]));
        let mut set_back = whole.clone();
        set_back.rebase();
        let instant = Duration::from_nanos(1);
        let steps = |op, whole: &mut ConnectionManager, set_back: &mut ConnectionManager| {
            let done = apply(whole, whole.now + instant, op);
            assert_eq!(done, apply(set_back, ConnectionManager::PRESENT + instant, op), "{op:?}");
            set_back.rebase();
            let mut copy = whole.clone();
            copy.rebase();
            assert_eq!(hash(&copy), hash(set_back), "{op:?}");
        };
        for op in ops {
            // What would be over by the way is over now.
            while whole.deadline() <= whole.now + instant {
                steps(Op::Timer, &mut whole, &mut set_back);
            }
            steps(op, &mut whole, &mut set_back);
        }
    }
}

#[test]
fn what_differs_looks_different() {
    let mut manager = ConnectionManager::new(config(true, u32::MAX), peer(0), &Seed::new([9; 32]));
    let mut seen = alloc::collections::BTreeSet::new();
    let role = Role::Initiator;
    let steps = [
        Op::Incoming { id: 1 },
        Op::Accepted { id: 1, who: 1, role },
        Op::Open { id: 2, who: 1, relayed: true, role },
        Op::Pong { id: 2 },
        Op::Stream { id: 1, stream: 0, open: true },
        Op::Pong { id: 1 },
        Op::Timer,
        Op::Pong { id: 1 },
        Op::Closed { id: 2 },
    ];
    for op in steps {
        apply(&mut manager, ConnectionManager::PRESENT + Duration::from_nanos(1), op).unwrap();
        manager.rebase();
        assert!(seen.insert(hash(&manager)), "{op:?} changes nothing");
    }
}

#[test]
#[should_panic(expected = "no part of its state")]
fn a_manager_of_which_other_parts_are_in_use_is_no_state() {
    let mut manager = ConnectionManager::new(config(true, u32::MAX), peer(0), &Seed::new([9; 32]));
    manager.handle(Time::ZERO, Input::Protect { peer: peer(1), reason: "ours" }).unwrap();
    hash(&manager);
}
