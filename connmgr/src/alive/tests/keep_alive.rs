//! Pings and idleness: tables, then random sequences beside a model that looks at every connection at every step.

use crate::alive::{AliveAction, KeepAlive, KeepAliveConfig};
use crate::table::ConnIx;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use proptest::prelude::*;
use tidewire_core::Time;

const A: ConnIx = ConnIx(0);
const B: ConnIx = ConnIx(5);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// Pings each 30 s, an answer within 5 to 60 s.
fn alive() -> KeepAlive {
    KeepAlive::new(KeepAliveConfig::default())
}

fn idle_after(millis: u64) -> KeepAlive {
    KeepAlive::new(KeepAliveConfig { ping_interval: None, idle: Some(ms(millis)), ..KeepAliveConfig::default() })
}

fn drain(alive: &mut KeepAlive) -> Vec<AliveAction> {
    core::iter::from_fn(|| alive.poll()).collect()
}

fn pass(alive: &mut KeepAlive, millis: u64) -> Vec<AliveAction> {
    alive.on_timeout(at(millis));
    drain(alive)
}

fn ping(conn: ConnIx, timeout: u64) -> AliveAction {
    AliveAction::Ping { conn, timeout: ms(timeout) }
}

#[test]
fn the_first_ping_comes_one_interval_after_the_opening_and_may_take_the_most() {
    let mut alive = alive();
    alive.opened(at(1_000), A);
    assert_eq!(alive.deadline(), at(31_000));
    assert_eq!(pass(&mut alive, 30_999), []);
    assert_eq!(pass(&mut alive, 31_000), [ping(A, 60_000)]);
    assert_eq!(pass(&mut alive, 31_000), []);
    assert_eq!(alive.deadline(), at(91_000));
}

#[test]
fn the_next_ping_comes_one_interval_after_the_answer() {
    let mut alive = alive();
    alive.opened(at(0), A);
    assert_eq!(pass(&mut alive, 30_000), [ping(A, 60_000)]);
    assert_eq!(alive.pong(at(32_000), A, ms(2_000)), Some(at(30_000)));
    assert_eq!(pass(&mut alive, 61_999), []);
    assert_eq!(pass(&mut alive, 62_000), [ping(A, 5_000)]);
}

#[test]
fn the_time_for_an_answer_follows_the_round_trip_time_within_its_bounds() {
    // js-libp2p: 1.2 times the round-trip time, 5 s at least, 60 s at most.
    for (rtt, timeout) in [(0, 5_000), (20, 5_000), (4_166, 5_000), (5_000, 6_000), (10_000, 12_000), (55_000, 60_000)]
    {
        let mut alive = alive();
        alive.opened(at(0), A);
        alive.ask(at(0), A);
        assert_eq!(drain(&mut alive), [ping(A, 60_000)]);
        alive.pong(at(rtt), A, ms(rtt));
        alive.ask(at(rtt), A);
        assert_eq!(drain(&mut alive), [ping(A, timeout)], "after {rtt} ms");
    }
}

#[test]
fn bounds_in_the_wrong_order_or_of_nothing_are_no_loop_and_no_panic() {
    for (min, max) in [(10, 5), (0, 0)] {
        let mut alive = KeepAlive::new(KeepAliveConfig {
            ping_interval: Some(Duration::ZERO),
            ping_timeout_min: ms(min),
            ping_timeout_max: ms(max),
            idle: Some(Duration::ZERO),
            ..KeepAliveConfig::default()
        });
        alive.opened(at(0), A);
        for _ in 0..20 {
            let now = alive.deadline();
            if now.is_never() {
                break;
            }
            alive.on_timeout(now);
            assert!(alive.deadline() > now);
            drain(&mut alive);
        }
    }
}

#[test]
fn the_round_trip_time_is_smoothed_as_rfc_6298_does() {
    let mut alive = alive();
    alive.opened(at(0), A);
    assert_eq!(alive.rtt(A), None);
    let mut expected = None;
    for millis in [100, 200, 50, 50, 1_000, 0u32] {
        let rtt = f64::from(millis);
        alive.ask(at(0), A);
        drain(&mut alive);
        alive.pong(at(0), A, ms(u64::from(millis)));
        expected = Some(expected.map_or(rtt, |old: f64| old * 7.0 / 8.0 + rtt / 8.0));
        let got = alive.rtt(A).unwrap().as_secs_f64() * 1e3;
        assert!((got - expected.unwrap()).abs() < 0.01, "{got} instead of {expected:?}");
    }
    alive.ask(at(0), A);
    drain(&mut alive);
    alive.pong(at(0), A, Duration::MAX);
    assert!(alive.rtt(A).unwrap() > Duration::from_secs(500), "it saturates");
}

#[test]
fn without_an_answer_in_time_it_is_dead_once_and_nothing_more_is_said() {
    let mut alive = KeepAlive::new(KeepAliveConfig { idle: Some(ms(300_000)), ..KeepAliveConfig::default() });
    alive.opened(at(0), A);
    pass(&mut alive, 30_000);
    assert_eq!(pass(&mut alive, 89_999), []);
    assert_eq!(pass(&mut alive, 90_000), [AliveAction::Dead { conn: A, waited: ms(60_000) }]);
    assert_eq!(alive.pong(at(90_001), A, ms(1)), None);
    alive.ask(at(90_002), A);
    assert_eq!(pass(&mut alive, 1_000_000), []);
    assert_eq!(alive.deadline(), Time::NEVER);
}

#[test]
fn a_late_timeout_says_how_long_it_really_waited() {
    let mut alive = alive();
    alive.opened(at(0), A);
    pass(&mut alive, 30_000);
    assert_eq!(pass(&mut alive, 100_000), [AliveAction::Dead { conn: A, waited: ms(70_000) }]);
}

#[test]
fn one_ping_is_under_way_at_a_time() {
    let mut alive = alive();
    alive.opened(at(0), A);
    alive.ask(at(10), A);
    alive.ask(at(10), A);
    assert_eq!(drain(&mut alive), [ping(A, 60_000)]);
    alive.ask(at(20), A);
    assert_eq!(pass(&mut alive, 30_000), []);
    assert_eq!(alive.pong(at(30_010), A, ms(30_000)), Some(at(10)));
    assert_eq!(alive.pong(at(30_011), A, ms(1)), None, "that was answered");
    alive.ask(at(30_020), A);
    assert_eq!(drain(&mut alive), [ping(A, 36_000)]);
}

#[test]
fn an_answer_to_nothing_is_none() {
    let mut alive = alive();
    assert_eq!(alive.pong(at(0), A, ms(1)), None);
    assert!(!alive.unsupported(at(0), A));
    alive.opened(at(0), A);
    assert_eq!(alive.pong(at(0), A, ms(1)), None);
    assert!(!alive.unsupported(at(0), A));
    assert_eq!(alive.rtt(A), None);
    alive.closed(A);
    alive.ask(at(1), A);
    assert_eq!(pass(&mut alive, 100_000), []);
}

#[test]
fn who_does_not_speak_ping_counts_as_alive_and_is_not_asked_again() {
    let mut alive = alive();
    alive.opened(at(0), A);
    pass(&mut alive, 30_000);
    assert!(alive.unsupported(at(30_100), A));
    assert!(!alive.unsupported(at(30_100), A));
    alive.ask(at(40_000), A);
    assert_eq!(pass(&mut alive, 10_000_000), []);
    assert_eq!(alive.deadline(), Time::NEVER);
}

#[test]
fn a_closed_connection_is_silent_even_if_something_was_due() {
    let mut alive = alive();
    alive.opened(at(0), A);
    alive.opened(at(0), B);
    alive.on_timeout(at(30_000));
    alive.closed(A);
    assert_eq!(drain(&mut alive), [ping(B, 60_000)]);
    alive.closed(B);
    assert_eq!(alive.deadline(), Time::NEVER);
    // The number is used again: nothing of the one before is left.
    alive.opened(at(40_000), B);
    assert_eq!(alive.deadline(), at(70_000));
    assert_eq!(pass(&mut alive, 69_999), []);
}

#[test]
fn a_ping_that_nobody_took_was_not_sent_and_kills_nobody() {
    let mut alive = alive();
    alive.opened(at(0), A);
    alive.on_timeout(at(30_000));
    alive.on_timeout(at(90_000));
    assert_eq!(alive.pong(at(90_000), A, ms(1)), None);
    assert_eq!(drain(&mut alive), [ping(A, 60_000)]);
    assert_eq!(pass(&mut alive, 149_999), []);
    assert_eq!(pass(&mut alive, 150_000), [AliveAction::Dead { conn: A, waited: ms(60_000) }]);
}

#[test]
fn without_an_interval_there_are_only_the_pings_asked_for() {
    let mut alive = KeepAlive::new(KeepAliveConfig { ping_interval: None, ..KeepAliveConfig::default() });
    alive.opened(at(0), A);
    assert_eq!(alive.deadline(), Time::NEVER);
    alive.ask(at(5), A);
    assert_eq!(drain(&mut alive), [ping(A, 60_000)]);
    alive.pong(at(6), A, ms(1));
    assert_eq!(pass(&mut alive, 10_000_000), []);
    assert_eq!(alive.deadline(), Time::NEVER);
}

#[test]
fn without_streams_and_data_for_the_idle_time_it_is_idle_once() {
    let mut alive = idle_after(1_000);
    alive.opened(at(0), A);
    alive.used(at(600), A);
    assert_eq!(pass(&mut alive, 1_599), []);
    assert_eq!(pass(&mut alive, 1_600), [AliveAction::Idle { conn: A, idle: ms(1_000) }]);
    assert_eq!(pass(&mut alive, 10_000), [], "once");
    alive.used(at(10_500), A);
    assert_eq!(pass(&mut alive, 11_499), []);
    assert_eq!(pass(&mut alive, 11_500), [AliveAction::Idle { conn: A, idle: ms(1_000) }], "it was used in between");
}

#[test]
fn with_a_stream_it_is_not_idle_and_its_time_begins_when_the_last_stream_ends() {
    let mut alive = idle_after(1_000);
    alive.opened(at(0), A);
    alive.streams(at(100), A, 1);
    alive.streams(at(200), A, 2);
    assert_eq!(pass(&mut alive, 50_000), []);
    alive.streams(at(50_100), A, 1);
    assert_eq!(pass(&mut alive, 60_000), []);
    alive.streams(at(60_100), A, 0);
    assert_eq!(pass(&mut alive, 61_099), []);
    assert_eq!(pass(&mut alive, 61_100), [AliveAction::Idle { conn: A, idle: ms(1_000) }]);
}

#[test]
fn an_idleness_that_ended_before_it_was_told_is_not_told() {
    let mut alive = idle_after(1_000);
    alive.opened(at(0), A);
    alive.on_timeout(at(1_000));
    alive.used(at(1_200), A);
    assert_eq!(drain(&mut alive), []);
    assert!(alive.deadline() <= at(2_200));
    assert_eq!(pass(&mut alive, 2_199), []);
    assert_eq!(pass(&mut alive, 2_200), [AliveAction::Idle { conn: A, idle: ms(1_000) }]);
}

#[test]
fn what_is_kept_is_small_also_after_all_were_due_at_once() {
    let mut alive = KeepAlive::new(KeepAliveConfig { idle: Some(ms(60_000)), ..KeepAliveConfig::default() });
    let many = 100_000;
    for conn in 0..many {
        alive.opened(at(0), ConnIx(conn));
    }
    alive.on_timeout(at(30_000));
    let in_burst = alive.memory_used();
    assert_eq!(drain(&mut alive).len(), many as usize);
    assert!(alive.memory_used() < in_burst);
    // A row of 24 bytes, a timer of 12 and its place of 4, and a quarter of room to grow.
    assert!(alive.memory_used() / many as usize <= 40 * 5 / 4, "{} bytes", alive.memory_used() / many as usize);
}

#[test]
fn the_memory_counted_is_the_memory_allocated() {
    let mut alive = alive();
    let allocated = allocation_counter::measure(|| {
        for conn in 0..3000 {
            alive.opened(at(0), ConnIx(conn));
        }
        alive.on_timeout(at(30_000));
    });
    assert_eq!(i64::try_from(alive.memory_used()).unwrap(), allocated.bytes_current);
}

#[derive(Clone, Debug)]
enum Op {
    Opened(u32),
    Closed(u32),
    Streams(u32, u32),
    Used(u32),
    Ask(u32),
    Pong(u32, u64),
    Unsupported(u32),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let conn = 0..4u32;
    prop_oneof![
        2 => conn.clone().prop_map(Op::Opened),
        1 => conn.clone().prop_map(Op::Closed),
        2 => (conn.clone(), 0..3u32).prop_map(|(conn, open)| Op::Streams(conn, open)),
        2 => conn.clone().prop_map(Op::Used),
        2 => conn.clone().prop_map(Op::Ask),
        4 => (conn.clone(), 0..80_000u64).prop_map(|(conn, rtt)| Op::Pong(conn, rtt)),
        1 => conn.prop_map(Op::Unsupported),
        6 => (0..40_000u64).prop_map(Op::Wait),
    ]
}

/// What a person would write down about one connection.
#[derive(Clone, Debug)]
struct Noted {
    next_ping: Option<Time>,
    sent: Option<Time>,
    mute: bool,
    dead: bool,
    rtt: Option<u64>,
    used: Time,
    open: u32,
    idle_told: bool,
}

struct Model {
    config: KeepAliveConfig,
    conns: BTreeMap<u32, Noted>,
}

impl Model {
    fn timeout(&self, noted: &Noted) -> Duration {
        let max = self.config.ping_timeout_max;
        noted
            .rtt
            .map_or(max, |micros| (Duration::from_micros(micros * 12 / 10)).clamp(self.config.ping_timeout_min, max))
    }

    /// When the next thing is due on it, and what.
    fn due(&self, conn: u32) -> Vec<(Time, &'static str)> {
        let noted = &self.conns[&conn];
        if noted.dead {
            return vec![];
        }
        let mut due = vec![];
        due.extend(noted.sent.map(|sent| (sent + self.timeout(noted), "dead")));
        due.extend(noted.next_ping.map(|next| (next, "ping")));
        if let Some(idle) = self.config.idle
            && noted.open == 0
            && !noted.idle_told
        {
            due.push((noted.used + idle, "idle"));
        }
        due
    }

    fn deadline(&self) -> Time {
        self.conns.keys().flat_map(|conn| self.due(*conn)).map(|(at, _)| at).min().unwrap_or(Time::NEVER)
    }

    fn pass(&mut self, now: Time) -> Vec<AliveAction> {
        let mut actions = vec![];
        for slot in self.conns.keys().copied().collect::<Vec<_>>() {
            let conn = ConnIx(slot);
            let due = self.due(slot);
            let timeout = self.timeout(&self.conns[&slot]);
            let noted = self.conns.get_mut(&slot).unwrap();
            let is_due = |what| due.iter().any(|(at, which)| *which == what && *at <= now);
            if is_due("dead") {
                noted.dead = true;
                actions.push(AliveAction::Dead { conn, waited: now.since(noted.sent.unwrap()) });
                continue;
            }
            if is_due("ping") {
                noted.next_ping = None;
                noted.sent = Some(now);
                actions.push(AliveAction::Ping { conn, timeout });
            }
            if is_due("idle") {
                noted.idle_told = true;
                actions.push(AliveAction::Idle { conn, idle: now.since(noted.used) });
            }
        }
        actions
    }
}

fn sorted(mut actions: Vec<AliveAction>) -> Vec<AliveAction> {
    actions.sort_by_key(|action| format!("{action:?}"));
    actions
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_model_does(
        ops in prop::collection::vec(op(), 1..80),
        interval in prop::option::of(1..40_000u64),
        idle in prop::option::of(1..60_000u64),
    ) {
        let config = KeepAliveConfig {
            ping_interval: interval.map(ms),
            idle: idle.map(ms),
            ..KeepAliveConfig::default()
        };
        let mut alive = KeepAlive::new(config.clone());
        let mut model = Model { config, conns: BTreeMap::new() };
        let mut now = Time::ZERO;
        for op in ops {
            let next_ping = model.config.ping_interval.map(|interval| now + interval);
            match op {
                Op::Opened(conn) => {
                    alive.opened(now, ConnIx(conn));
                    let noted = Noted {
                        next_ping, sent: None, mute: false, dead: false, rtt: None, used: now, open: 0, idle_told: false,
                    };
                    model.conns.insert(conn, noted);
                }
                Op::Closed(conn) => {
                    alive.closed(ConnIx(conn));
                    model.conns.remove(&conn);
                }
                Op::Streams(conn, open) => {
                    alive.streams(now, ConnIx(conn), open);
                    if let Some(noted) = model.conns.get_mut(&conn) {
                        (noted.open, noted.used, noted.idle_told) = (open, now, false);
                    }
                }
                Op::Used(conn) => {
                    alive.used(now, ConnIx(conn));
                    if let Some(noted) = model.conns.get_mut(&conn) {
                        (noted.used, noted.idle_told) = (now, false);
                    }
                }
                Op::Ask(conn) => {
                    alive.ask(now, ConnIx(conn));
                    if let Some(noted) = model.conns.get_mut(&conn)
                        && noted.sent.is_none() && !noted.mute && !noted.dead
                    {
                        noted.next_ping = Some(now);
                    }
                    prop_assert_eq!(drain(&mut alive), model.pass(now));
                }
                Op::Pong(conn, rtt) => {
                    let sent = alive.pong(now, ConnIx(conn), ms(rtt));
                    let noted = model.conns.get_mut(&conn).filter(|noted| !noted.dead);
                    prop_assert_eq!(sent, noted.as_ref().and_then(|noted| noted.sent));
                    if let Some(noted) = noted
                        && noted.sent.take().is_some()
                    {
                        noted.next_ping = next_ping;
                        let new = rtt * 1000;
                        noted.rtt = Some(noted.rtt.map_or(new, |old| (old * 7 + new + 4) / 8));
                    }
                }
                Op::Unsupported(conn) => {
                    let was = alive.unsupported(now, ConnIx(conn));
                    let noted = model.conns.get_mut(&conn).filter(|noted| !noted.dead && noted.sent.is_some());
                    prop_assert_eq!(was, noted.is_some());
                    if let Some(noted) = noted {
                        (noted.sent, noted.mute) = (None, true);
                    }
                }
                Op::Wait(wait) => {
                    let until = now + ms(wait);
                    while alive.deadline() <= until {
                        let deadline = alive.deadline();
                        prop_assert!(deadline <= model.deadline());
                        now = now.max(deadline);
                        alive.on_timeout(now);
                        prop_assert!(alive.deadline() > now);
                        prop_assert_eq!(sorted(drain(&mut alive)), sorted(model.pass(now)));
                    }
                    now = until;
                }
            }
            prop_assert!(alive.deadline() <= model.deadline());
            for (conn, noted) in &model.conns {
                prop_assert_eq!(alive.rtt(ConnIx(*conn)), noted.rtt.map(Duration::from_micros));
            }
        }
    }
}
