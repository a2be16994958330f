//! Byte machines that talk to each other.

use crate::support::*;
use bytes::{BufMut, BytesMut};
use core::ops::ControlFlow;
use core::time::Duration;
use tidewire_core::{Machine, Time};
use tidewire_sim::packet::Segment;
use tidewire_sim::{BrokenBy, ConnectFailure, Fault, Link, Speaker, Tcp, World, ipv4, talk};

/// Says its words, and counts how often it was greeted. May give up if that takes too long.
#[derive(Debug)]
struct Greeter {
    words: &'static [u8],
    heard: usize,
    deadline: Time,
    moves: bool,
}

const HELLO: &[u8] = b"hello";

fn greeter(words: &'static [u8]) -> Greeter {
    Greeter { words, heard: 0, deadline: Time::NEVER, moves: true }
}

impl Machine for Greeter {
    type Output = usize;
    type Error = String;

    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<usize>, String> {
        tx.put_slice(core::mem::take(&mut self.words));
        if now >= self.deadline && self.moves {
            self.deadline = Time::NEVER;
            return Err("nobody greets".into());
        }
        if rx.len() < HELLO.len() {
            return Ok(None);
        }
        let word = rx.split_to(HELLO.len());
        if word != HELLO {
            tx.put_slice(b"rude!");
            return Err(format!("not a greeting: {word:?}"));
        }
        self.heard += 1;
        Ok(Some(self.heard))
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<usize>, String> {
        match self.advance(now, rx, tx)? {
            Some(heard) => Ok(Some(heard)),
            None if rx.is_empty() => Ok(None),
            None => Err("cut short".into()),
        }
    }

    fn deadline(&self) -> Time {
        self.deadline
    }

    fn memory_used(&self) -> usize {
        0
    }
}

#[test]
fn two_machines_hear_what_the_other_says_after_the_latency() {
    let (a, b) = talk(greeter(b"hellohello"), greeter(HELLO), Link::new(10 * MS), 1).unwrap();
    assert_eq!(a.outputs, [(ms(40), 1)], "the listener speaks when it has accepted, at 30 ms");
    assert_eq!(
        b.outputs,
        [(ms(30), 1), (ms(30), 2)],
        "the dialer when it is connected, with the last of the handshake"
    );
    assert!(a.error.is_none() && b.error.is_none() && !a.ended && !b.ended);
}

#[test]
fn a_machine_that_is_done_leaves_the_rest_for_the_next_stage() {
    let (_, b) = talk(greeter(b"hello and more"), Speaker::new(greeter(b"")).once(), Link::new(10 * MS), 1).unwrap();
    assert_eq!(b.outputs.len(), 1);
    assert_eq!(&b.rx[..], b" and more");
}

#[test]
fn a_failure_says_its_last_words_and_ends_the_connection() {
    let (a, b) = talk(greeter(b"hellono!!!"), greeter(b""), Link::new(10 * MS), 1).unwrap();
    assert_eq!(b.outputs.len(), 1);
    assert_eq!(b.error, Some((ms(30), "not a greeting: b\"no!!!\"".into())));
    assert_eq!(a.error, Some((ms(40), "not a greeting: b\"rude!\"".into())), "so it fails by that");
}

#[test]
fn an_end_in_the_middle_is_an_error_and_at_the_boundary_it_is_not() {
    let timed = Greeter { deadline: ms(1_000), ..greeter(b"hel") };
    let (a, b) = talk(timed, greeter(b""), Link::new(10 * MS), 1).unwrap();
    assert_eq!(a.error, Some((ms(1_000), "nobody greets".into())));
    assert_eq!(b.error, Some((ms(1_010), "cut short".into())));
    let timed = Greeter { deadline: ms(1_000), ..greeter(HELLO) };
    let (_, b) = talk(timed, greeter(b""), Link::new(10 * MS), 1).unwrap();
    assert!(b.ended && b.error.is_none());
}

#[test]
fn an_output_may_be_acted_upon() {
    let answers = Speaker::new(greeter(b"")).on_output(|_, machine: &mut Greeter, heard, tx| {
        assert_eq!(machine.heard, *heard);
        tx.put_slice(HELLO);
        if *heard == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let (a, b) = talk(greeter(b"hellohellohello"), answers, Link::new(10 * MS).loss(0.1), 5).unwrap();
    assert_eq!((a.outputs.len(), b.outputs.len(), &b.rx[..]), (2, 2, HELLO));
}

/// Says a million bytes, 10,000 at a time, and hears as many.
#[derive(Debug)]
struct Pump {
    to_say: usize,
    heard: usize,
}

impl Machine for Pump {
    type Output = ();
    type Error = ();

    fn advance(&mut self, _: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<()>, ()> {
        self.heard += rx.len();
        rx.clear();
        let count = self.to_say.min(10_000_usize.saturating_sub(tx.len()));
        tx.put_bytes(7, count);
        self.to_say -= count;
        Ok(None)
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<()>, ()> {
        self.advance(now, rx, tx)
    }

    fn memory_used(&self) -> usize {
        0
    }
}

#[test]
fn a_machine_that_says_little_at_a_time_is_asked_again_as_long_as_the_socket_takes_it() {
    for seed in 0..20 {
        let pump = || Pump { to_say: 1_000_000, heard: 0 };
        let (a, b) = talk(pump(), pump(), Link::new(10 * MS).loss(0.01), seed).unwrap();
        assert_eq!((a.machine.heard, b.machine.heard), (1_000_000, 1_000_000), "seed {seed}");
    }
}

#[test]
fn more_than_a_buffer_that_arrives_at_once_is_heard_to_the_end() {
    let mut world = World::new(1);
    world.default_tcp(Tcp { initial_window: 1_000, ..Tcp::default() });
    let a = world.add(App::default(), [ipv4(1)]);
    let b = world.add(Speaker::new(Pump { to_say: 0, heard: 0 }).listening(at(2)), [ipv4(2)]);
    // All else waits behind the first segment, which comes last.
    world.middlebox(a, Tamper(|n, segment: &mut Segment| segment.data.is_empty() || n != 1, 0));
    world.run_for(MS).unwrap();
    let socket = dial(&mut world, a, 2);
    world.run_for(SECOND).unwrap();
    act(&mut world, a, |app, os| app.send(socket, &pattern(250_000), os));
    world.run_for(SECOND).unwrap();
    assert_eq!(world.node::<Speaker<Pump>>(b).said().machine.heard, 250_000);
}

#[test]
fn a_machine_that_spins_is_a_fault() {
    let stuck = Greeter { deadline: ms(1_000), moves: false, ..greeter(b"") };
    let fault = talk(stuck, greeter(b""), Link::new(10 * MS), 1).unwrap_err();
    assert!(matches!(fault, Fault::Spin { now, deadline, .. } if now == ms(1_000) && deadline == now), "{fault}");
}

#[test]
fn a_connection_that_broke_is_an_end_that_says_why() {
    let mut world = World::new(1);
    world.default_link(Link::new(10 * MS));
    let a = world.add(App::default(), [ipv4(1)]);
    let b = world.add(Speaker::new(greeter(b"")).listening(at(2)), [ipv4(2)]);
    world.run_for(MS).unwrap();
    let socket = dial(&mut world, a, 2);
    world.run_for(SECOND).unwrap();
    act(&mut world, a, |_, os| os.abort(socket));
    world.run_for(SECOND).unwrap();
    let said = world.take::<Speaker<Greeter>>(b).into_said();
    assert_eq!(said.broken, Some((ms(1_011), BrokenBy::Reset)));
    assert!(said.ended && !world.is_running(b));
}

#[test]
fn a_speaker_in_a_world_says_why_it_never_spoke() {
    let mut world = World::new(1);
    let id = world.add(Speaker::new(greeter(HELLO)).dialing(at(2)), [ipv4(1)]);
    world.add(crate::spin::Quiet, [ipv4(2)]);
    assert!(world.run_to_rest(Duration::from_secs(200)).unwrap());
    assert_eq!(world.node::<Speaker<Greeter>>(id).failed(), Some(ConnectFailure::Refused));
    assert!(world.node::<Speaker<Greeter>>(id).said().outputs.is_empty());
}
