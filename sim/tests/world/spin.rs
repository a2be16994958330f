//! Nodes that keep the world from moving are found, and named.

use crate::support::*;
use core::time::Duration;
use tidewire_core::Time;
use tidewire_sim::{Fault, Input, Link, Node, Os, World, ipv4};

/// Does nothing.
pub(crate) struct Quiet;

impl Node for Quiet {
    fn handle(&mut self, _: Time, _: Input, _: &mut Os<'_>) {}
}

/// Has a deadline, and does with it what the test says.
struct Timer {
    deadline: Time,
    told: Vec<Time>,
    handle: fn(&mut Timer, Time, &mut Os<'_>),
}

impl Node for Timer {
    fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
        if input == Input::Timeout {
            self.told.push(now);
            (self.handle)(self, now, os);
        }
    }

    fn deadline(&self) -> Time {
        self.deadline
    }
}

fn timer(deadline: u64, handle: fn(&mut Timer, Time, &mut Os<'_>)) -> Timer {
    Timer { deadline: ms(deadline), told: Vec::new(), handle }
}

#[test]
fn a_deadline_is_told_exactly_and_time_jumps_there() {
    let mut world = World::new(1);
    let id =
        world.add(timer(86_400_000, |timer, now, _| timer.deadline = now + Duration::from_secs(86_400)), [ipv4(1)]);
    world.run_until(ms(3 * 86_400_000)).unwrap();
    assert_eq!(world.node::<Timer>(id).told, [ms(86_400_000), ms(2 * 86_400_000), ms(3 * 86_400_000)]);
    assert_eq!(world.stats().events, 4, "the start and three deadlines: nothing in between");
}

#[test]
fn a_deadline_that_is_put_off_is_not_told_early_and_one_that_is_brought_forward_not_late() {
    let mut world = World::new(1);
    let id = world.add(timer(100, |timer, _, _| timer.deadline = Time::NEVER), [ipv4(1)]);
    world.run_until(ms(50)).unwrap();
    world.with(id, |timer: &mut Timer, _| timer.deadline = ms(200));
    world.run_until(ms(150)).unwrap();
    world.with(id, |timer: &mut Timer, _| timer.deadline = ms(160));
    assert!(world.run_to_rest(SECOND).unwrap());
    assert_eq!(world.node::<Timer>(id).told, [ms(160)]);
    assert_eq!(world.now(), ms(160), "no time passes for deadlines that were given up");
}

#[test]
fn a_node_that_ignores_its_deadline_is_a_fault_with_its_name() {
    let mut world = World::new(1);
    world.add(Quiet, [ipv4(1)]);
    let id = world.add(timer(70, |_, _, _| {}), [ipv4(2)]);
    let fault = world.run_for(SECOND).unwrap_err();
    assert_eq!(fault, Fault::Spin { host: id, now: ms(70), deadline: ms(70), times: 1 });
    assert_eq!(
        fault.to_string(),
        "the node on h1 spins: at 70ms it was told that its deadline has come (1 x), and its deadline is still 70ms. It \
         must move, or go, when it is handled"
    );
    assert_eq!(world.run_for(SECOND), Err(fault), "and stays one");
}

#[test]
fn a_node_that_acts_at_each_timeout_but_never_moves_its_deadline_is_a_fault_too() {
    let mut world = World::new(1);
    let id = world.add(
        timer(70, |_, _, os| {
            let _ = os.connect(at(9));
        }),
        [ipv4(1)],
    );
    let fault = world.run_for(SECOND).unwrap_err();
    assert_eq!(fault, Fault::Spin { host: id, now: ms(70), deadline: ms(70), times: 1_001 });
}

#[test]
fn a_node_may_have_several_deadlines_in_the_past_as_long_as_they_move() {
    let mut world = World::new(1);
    world.run_until(ms(500)).unwrap();
    let id = world.add(timer(1, |timer, _, _| timer.deadline = timer.deadline + 100 * MS), [ipv4(1)]);
    world.run_until(ms(500)).unwrap();
    assert_eq!(world.node::<Timer>(id).told.len(), 5);
    assert_eq!(world.node::<Timer>(id).deadline, ms(501));
}

#[test]
fn answers_without_end_over_a_link_without_latency_are_a_fault() {
    struct Echo(bool);
    impl Node for Echo {
        fn handle(&mut self, _: Time, input: Input, os: &mut Os<'_>) {
            match input {
                Input::Started => {
                    let (socket, _) = os.bind_udp(any(7)).unwrap();
                    if self.0 {
                        os.send_to(socket, (ipv4(1), 7).into(), pattern(1)).unwrap();
                    }
                }
                Input::Datagram { socket, from, bytes, .. } => os.send_to(socket, from, bytes).unwrap(),
                _ => {}
            }
        }
    }
    let mut world = World::new(1);
    world.default_link(Link::new(Duration::ZERO));
    let a = world.add(Echo(false), [ipv4(1)]);
    world.add(Echo(true), [ipv4(2)]);
    let fault = world.run_for(SECOND).unwrap_err();
    assert_eq!(fault, Fault::Endless { host: a, now: Time::ZERO, calls: 1_000_001 });
    assert_eq!(fault.to_string(), "the node on h0 was called 1000001 times at 0ns, and no time passes");
}
