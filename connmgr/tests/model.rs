//! The connection manager beside a reference that is as slow and obvious as can be, compared after every step of random
//! sequences: what it says, what it wants done, and everything that can be asked.
//!
//! The reference is written from the documentation, not from the machine. It knows peers with one address each, and neither
//! pings nor duplicates nor redials; with these only what must hold in any case is checked (`watch.rs`).
//!
//! The long run: `cargo test --release -p tidewire-connmgr --test model -- --ignored`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::std_instead_of_alloc)]

#[path = "model/dials.rs"]
mod dials;
#[path = "model/limits.rs"]
mod limits;
#[path = "model/reference.rs"]
mod reference;
#[path = "model/setup.rs"]
mod setup;
#[path = "model/watch.rs"]
mod watch;
#[path = "model/world.rs"]
mod world;
#[path = "model/worth.rs"]
mod worth;

use core::time::Duration;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use reference::{Connection, Model};
use tidewire_connmgr::{
    Action, By, CloseReason, ConnectionId, ConnectionManager, Counts, Direction, Misuse, RefuseReason,
};
use tidewire_core::{EventMachine, Seed, Time};
use world::{Answer, Op, PEERS, Scope, address, home, peer};

/// Builds the reference, and what happens to it.
struct Reference;

impl ReferenceStateMachine for Reference {
    type State = Model;
    type Transition = Op;

    fn init_state() -> BoxedStrategy<Model> {
        any::<[u8; 40]>().prop_map(|bytes| Model::new(setup::config(&bytes))).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Op> {
        let look = model.lookup();
        any::<[u8; 4]>().prop_map(move |bytes| Op::decode(bytes, &look, true)).boxed()
    }

    fn apply(mut model: Model, op: &Op) -> Model {
        model.apply(*op);
        model
    }

    /// Where several protected peers lost their connections in the same moment, and not all of them may be remembered, then
    /// or later, nothing says which one is forgotten.
    fn preconditions(model: &Model, op: &Op) -> bool {
        if !matches!(op, Op::Emergency | Op::Shutdown | Op::Deny { .. }) && !model.worth.has_absent() {
            return true;
        }
        let mut after = model.clone();
        after.apply(*op);
        !after.worth.ambiguous
    }
}

/// The real machine, and its clock.
struct Real {
    manager: ConnectionManager,
    now: Time,
    /// The moment of the last call that did something: what can be asked is as of then.
    heard: Time,
}

impl StateMachineTest for Real {
    type SystemUnderTest = Real;
    type Reference = Reference;

    fn init_test(model: &Model) -> Real {
        let manager = ConnectionManager::new(model.config.clone(), peer(0), &Seed::new([7; 32]));
        Real { manager, now: Time::ZERO, heard: Time::ZERO }
    }

    fn apply(mut real: Real, model: &Model, op: Op) -> Real {
        let mut actions = Vec::new();
        match op {
            Op::Sleep { .. } => {
                real.wait_until(real.now + Duration::from_nanos(1), &mut actions);
                real.pass(model.now, &mut actions);
            }
            _ => real.wait_until(model.now, &mut actions),
        }
        let answer = match op {
            Op::Back => {
                real.go_back(model.told);
                Answer::Waited
            }
            op => world::carry_out(&mut real.manager, model.now, op),
        };
        actions.extend(core::iter::from_fn(|| real.manager.poll()));
        assert_eq!(answer, model.answer, "the answer to {op:?}");
        if answer == Answer::Told(Ok(())) {
            real.heard = model.now;
        }
        let (said, expected) = (in_order(actions), in_order(model.actions.clone()));
        assert_eq!(said, expected, "what {op:?} brings about");
        real
    }

    fn check_invariants(real: &Real, model: &Model) {
        let manager = &real.manager;
        assert!(manager.deadline() <= model.next_due(), "{:?} is due", model.next_due());
        assert!(manager.deadline() > model.now, "the deadline stands still");
        assert_eq!(counts_of(manager, model), counts(model));
        let mut lines: Vec<(ConnectionId, String)> =
            manager.connections().map(|view| (view.id, format!("{view:?}"))).collect();
        lines.sort();
        let mut expected: Vec<&Connection> = model.connections.iter().collect();
        expected.sort_by_key(|connection| connection.id);
        assert_eq!(lines.len(), expected.len(), "connections: {lines:?}");
        for ((_, line), connection) in lines.iter().zip(expected) {
            assert_eq!(*line, connection_line(model, connection));
        }
        let mut connected: Vec<_> = manager.connected_peers().collect();
        connected.sort();
        let expected: Vec<_> = (0..PEERS).filter(|n| !model.of(*n).is_empty()).map(peer).collect();
        assert_eq!(connected, expected);
        assert_eq!(manager.gate().len(), model.rules());
        let mut then = model.clone();
        then.now = real.heard;
        for n in 0..PEERS {
            check_peer(manager, &then, n);
        }
    }
}

impl Real {
    /// Time passes, with a call at each deadline.
    fn wait_until(&mut self, end: Time, actions: &mut Vec<Action>) {
        while self.manager.deadline() <= end {
            self.pass(self.now.max(self.manager.deadline()), actions);
        }
        self.now = end;
    }

    fn pass(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.now = now;
        if self.manager.deadline() <= now {
            self.heard = now;
        }
        self.manager.on_timeout(now);
        actions.extend(core::iter::from_fn(|| self.manager.poll()));
        assert!(self.manager.deadline() > self.now, "the deadline stands still");
    }

    /// A moment before the last input is a misuse, whatever the input.
    fn go_back(&mut self, told: Time) {
        let Some(before) = told.as_nanos().checked_sub(1).map(Time::from_nanos) else { return };
        match world::carry_out(&mut self.manager, before, Op::TrimNow) {
            Answer::Told(Err(Misuse::TimeWentBack { now, last })) => assert!(now == before && last >= told),
            other => panic!("time went back, and the answer was {other:?}"),
        }
    }
}

/// Where many connections end at once for the same reason, the order is of no matter; nor is that of idle ones.
fn in_order(mut actions: Vec<Action>) -> Vec<Action> {
    let id = |action: &Action| match action {
        Action::Close {
            connection,
            reason: CloseReason::Idle { .. } | CloseReason::Shutdown | CloseReason::Denied { .. },
        }
        | Action::Refuse { connection, reason: RefuseReason::Shutdown | RefuseReason::Denied { .. } } => {
            Some(*connection)
        }
        _ => None,
    };
    actions.chunk_by_mut(|left, right| id(left).is_some() == id(right).is_some()).for_each(|run| run.sort_by_key(id));
    actions
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap()
}

/// The counts of the reference, as the machine prints them.
fn counts(model: &Model) -> String {
    let (inbound, outbound) = (Direction::Inbound, Direction::Outbound);
    let established = |direction| model.established_in(direction, false);
    let closing = |direction| model.established_in(direction, true);
    let streams = |direction| model.streams_that(|stream| stream.direction == direction);
    format!(
        "{} connected, {} known, {} dialed; pending {}/{}, established {}/{}, closing {}/{}, streams {}/{}, \
         {} bytes, {} networks, {} protocols",
        (0..PEERS).filter(|n| !model.of(*n).is_empty()).count(),
        (0..PEERS).filter(|n| model.is_known(*n)).count(),
        model.dials.wanted().len(),
        model.pending(inbound),
        model.pending(outbound),
        established(inbound),
        established(outbound),
        closing(inbound),
        closing(outbound),
        streams(inbound),
        streams(outbound),
        model.memory(),
        model.counted_networks(),
        model.names_in_use().len(),
    )
}

fn counts_of(manager: &ConnectionManager, model: &Model) -> String {
    let Counts { connected_peers, known_peers, dialed_peers, limits, .. } = manager.counts();
    // A full bucket may be forgotten or not.
    assert!(limits.rates >= model.buckets_in_use() && limits.rates <= 5, "{} rates", limits.rates);
    format!(
        "{connected_peers} connected, {known_peers} known, {dialed_peers} dialed; pending {}/{}, established {}/{}, \
         closing {}/{}, streams {}/{}, {} bytes, {} networks, {} protocols",
        limits.pending_inbound,
        limits.pending_outbound,
        limits.established_inbound,
        limits.established_outbound,
        limits.closing_inbound,
        limits.closing_outbound,
        limits.streams_inbound,
        limits.streams_outbound,
        limits.memory,
        limits.subnets,
        limits.protocols,
    )
}

/// A connection of the reference, as the machine prints its view.
fn connection_line(model: &Model, connection: &Connection) -> String {
    let streams =
        |direction| model.streams_on(connection.id).iter().filter(|stream| stream.direction == direction).count();
    let remote = address(connection.at);
    format!(
        "ConnectionView {{ id: {:?}, peer: {:?}, direction: {:?}, role: {:?}, remote: {remote:?}, transport: {:?}, \
         relayed: {:?}, limited: {:?}, since: {:?}, used: {:?}, inbound_streams: {}, outbound_streams: {}, memory: {}, \
         rtt: None, closing: {:?} }}",
        ConnectionId(connection.id),
        connection.peer.map(peer),
        connection.direction,
        connection.role,
        remote.transport(),
        connection.is_relayed(),
        connection.limited,
        connection.since,
        connection.used,
        streams(Direction::Inbound),
        streams(Direction::Outbound),
        connection.memory,
        connection.closing.as_ref(),
    )
}

fn check_peer(manager: &ConnectionManager, model: &Model, n: usize) {
    let id = peer(n);
    let who = worth::name_of(n);
    assert_eq!(manager.is_connected(&id), !model.of(n).is_empty(), "{who}");
    assert_eq!(manager.is_protected(&id, None), model.is_protected(n), "{who}");
    for relayed in [true, false] {
        let best = manager.best_connection(&id, relayed).map(|connection| connection.0);
        assert_eq!(best, model.best(n, relayed), "the best connection of {who}, relayed: {relayed}");
    }
    let of: Vec<u64> = manager.connections_of(&id).map(|view| view.id.0).collect();
    assert_eq!(of, model.of(n).iter().map(|connection| connection.id).collect::<Vec<_>>(), "{who}");

    let explanation = manager.explain(&id);
    assert_eq!(worth::told(&explanation.verdict), model.explanation(n), "{who}");
    assert_eq!(explanation.full, model.total_room().err(), "{who}");
    let closing: Vec<_> = model.of(n).iter().filter_map(|c| Some((ConnectionId(c.id), c.closing.clone()?))).collect();
    assert_eq!(explanation.closing, closing, "{who}");

    let addresses: Vec<_> = manager.addresses_of(&id).map(|record| record.address.clone()).collect();
    assert_eq!(addresses, if model.believes(n) { vec![home(n)] } else { Vec::new() }, "{who}");
    let Some(view) = manager.peer(&id) else {
        assert!(!model.is_known(n), "nothing is known of {who}");
        return;
    };
    assert!(model.is_known(n), "{who} is remembered for nothing: {view:?}");
    let streams: usize = model.of(n).iter().map(|connection| model.streams_on(connection.id).len()).sum();
    let figures = (view.id, view.connections, view.streams, view.memory, view.value, view.kept_alive, view.rtt);
    let expected = (id, count(model.of(n).len()), count(streams), model.memory_of(n), model.value(n), false, None);
    assert_eq!(figures, expected, "{who}");
    let sorted = |mut tags: Vec<(&str, i32)>| {
        tags.sort_unstable();
        tags.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Vec<_>>()
    };
    assert_eq!(sorted(view.tags), sorted(model.tags(n)), "{who}");
    let (mut reasons, mut expected) = (view.protections, model.protections(n));
    reasons.sort_unstable();
    expected.sort_unstable();
    assert_eq!(reasons, expected, "{who}");
}

fn cases(cases: u32) -> ProptestConfig {
    let seeds = FileFailurePersistence::Direct("tests/model/regressions.txt");
    ProptestConfig {
        max_shrink_iters: 4096,
        failure_persistence: Some(Box::new(seeds)),
        ..ProptestConfig::with_cases(cases)
    }
}

/// Sequences that once told the two apart, or that a change is likely to break; all with the defaults of this world.
fn replay(ops: &[Op]) {
    let mut model = Model::new(setup::config(&[0; 40]));
    let mut real = Real::init_test(&model);
    for op in ops.iter().copied() {
        model.apply(op);
        real = Real::apply(real, &model, op);
        Real::check_invariants(&real, &model);
    }
}

/// A release for a peer took what its connections had reserved, and the peer could reserve more than its cap.
#[test]
fn what_a_connection_reserved_is_not_released_through_its_peer() {
    let (bytes, peer) = (10, Scope::Peer(4));
    replay(&[
        Op::Incoming { c: 5, at: 0 },
        Op::Upgraded { c: 5, peer: 4 },
        Op::Reserve { scope: Scope::Connection(5), bytes },
        Op::Release { scope: peer, bytes: 1 },
        Op::Reserve { scope: peer, bytes },
        Op::Release { scope: peer, bytes: u64::MAX },
        Op::Closed { c: 5, by: By::Remote },
        Op::Release { scope: peer, bytes: u64::MAX },
    ]);
}

/// It told of connections that it had closed as passed over.
#[test]
fn an_emergency_tells_of_nobody_as_passed_over_whom_it_closed() {
    let inbound = Direction::Inbound;
    replay(&[
        Op::Opened { c: 5, peer: 1, direction: inbound, at: 0, limited: false },
        Op::Opened { c: 4, peer: 2, direction: inbound, at: 1, limited: false },
        Op::Opened { c: 3, peer: 3, direction: inbound, at: 1, limited: false },
        Op::Protect { peer: 2, name: 0 },
        Op::Emergency,
    ]);
}

/// Noticed after the time for the whole peer, it was told as that time's end.
#[test]
fn a_dial_s_timeout_that_is_noticed_late_is_told_as_in_time() {
    let (told, direct_only, forced, new) = (true, false, false, false);
    replay(&[
        Op::Dial { r: 0, peer: 4, told, direct_only, forced, new },
        Op::Sleep { time: Duration::from_secs(60) },
        Op::Dial { r: 0, peer: 4, told, direct_only, forced, new },
    ]);
}

/// Duplicates, pings, redials and jitter too.
fn watch(bytes: &[u8; 40], per_peer: u32, steps: &[[u8; 4]]) {
    let mut watch = watch::Watch::new(bytes, per_peer);
    steps.iter().for_each(|bytes| watch.run(*bytes));
    watch.finish();
}

fn steps() -> impl Strategy<Value = ([u8; 40], u32, Vec<[u8; 4]>)> {
    (any::<[u8; 40]>(), 1_u32..3, proptest::collection::vec(any::<[u8; 4]>(), 0..200))
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn it_does_as_the_reference_after_every_step(
        (model, ops, seen) in Reference::sequential_strategy(50..200)
    ) {
        Real::test_sequential(cases(48), model, ops, seen);
    }

    #[test]
    fn what_is_promised_holds_with_duplicates_pings_and_redials((config, per_peer, steps) in steps()) {
        watch(&config, per_peer, &steps);
    }
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    #[ignore = "takes minutes"]
    fn it_does_as_the_reference_through_a_long_run(
        (model, ops, seen) in Reference::sequential_strategy(50..400)
    ) {
        Real::test_sequential(cases(4_000), model, ops, seen);
    }

    #[test]
    #[ignore = "takes minutes"]
    fn what_is_promised_holds_through_a_long_run((config, per_peer, steps) in steps()) {
        watch(&config, per_peer, &steps);
    }
}
