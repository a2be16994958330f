//! Finding the roles: by lot, and by listening; every timing of a small world.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::std_instead_of_alloc, clippy::std_instead_of_core, clippy::cast_possible_truncation)]

mod common;

use bytes::BytesMut;
use common::*;
use tidewire_core::{Machine, Role, Seed, Time};
use tidewire_multistream::{
    Awaited, Config, Dialer, Error, Excerpt, ListenFirst, Listener, RoleEvent, SimultaneousOpen,
};

const BOTH: &str = "/libp2p/simultaneous-connect";

enum Machines {
    Dialer(Dialer),
    Listener(Listener),
    First(ListenFirst),
    Lot(SimultaneousOpen),
}

/// One end of a connection in virtual time. It is called only when bytes came or its deadline says so.
struct End {
    machine: Machines,
    start: u64,
    rx: BytesMut,
    told: Option<Role>,
    agreed: Option<(Role, String)>,
    error: Option<Error>,
    when: u64,
}

impl End {
    fn new(machine: Machines, start: u64) -> End {
        End { machine, start, rx: BytesMut::new(), told: None, agreed: None, error: None, when: 0 }
    }

    fn call(&mut self, ms: u64) -> Vec<u8> {
        let (now, mut tx) = (Time::from_millis(ms), BytesMut::new());
        while self.error.is_none() {
            let event = match &mut self.machine {
                Machines::Dialer(machine) => machine
                    .advance(now, &mut self.rx, &mut tx)
                    .map(|agreed| agreed.map(|agreed| (Role::Initiator, Some(agreed.protocol.to_string())))),
                Machines::Listener(machine) => machine
                    .advance(now, &mut self.rx, &mut tx)
                    .map(|accepted| accepted.map(|accepted| (Role::Responder, Some(accepted.protocol.to_string())))),
                Machines::First(machine) => machine.advance(now, &mut self.rx, &mut tx).map(|event| event.map(split)),
                Machines::Lot(machine) => machine.advance(now, &mut self.rx, &mut tx).map(|event| event.map(split)),
            };
            match event {
                Ok(Some((role, None))) => assert_eq!(self.told.replace(role), None, "a role is told once"),
                Ok(Some((role, Some(name)))) => {
                    assert!(self.told.is_none_or(|told| told == role));
                    assert_eq!(self.agreed.replace((role, name)), None);
                    self.when = ms;
                }
                Ok(None) => break,
                Err(error) => self.error = Some(error),
            }
        }
        tx.to_vec()
    }

    fn due(&self, ms: u64) -> bool {
        let deadline = match &self.machine {
            Machines::Dialer(machine) => machine.deadline(),
            Machines::Listener(machine) => machine.deadline(),
            Machines::First(machine) => machine.deadline(),
            Machines::Lot(machine) => machine.deadline(),
        };
        deadline <= Time::from_millis(ms)
    }

    fn role(&self) -> Option<Role> {
        self.agreed.as_ref().map(|(role, _)| *role)
    }
}

fn split(event: RoleEvent) -> (Role, Option<String>) {
    match event {
        RoleEvent::Role(role) => (role, None),
        RoleEvent::Agreed { role, protocol, .. } => (role, Some(protocol.to_string())),
        _ => panic!("an event that this test doesn't know"),
    }
}

/// Both ends over a path with this delay, until 100 ms passed.
fn meet(mut a: End, mut b: End, delay: u64) -> (End, End) {
    assert!(delay > 0);
    let mut under_way: Vec<(u64, bool, Vec<u8>)> = Vec::new();
    for ms in 0..100 {
        for (end, is_a) in [(&mut a, true), (&mut b, false)] {
            if ms < end.start {
                continue;
            }
            let mut came = false;
            under_way.retain(|(at, to_a, bytes)| {
                let here = *at <= ms && *to_a == is_a;
                if here {
                    end.rx.extend_from_slice(bytes);
                    came = true;
                }
                !here
            });
            if came || end.due(ms) {
                let sent = end.call(ms);
                if !sent.is_empty() {
                    under_way.push((ms + delay, !is_a, sent));
                }
            }
        }
    }
    (a, b)
}

fn first(list: &[&str], until: u64, tie: Option<u8>, start: u64) -> End {
    let (list, until) = (names(list), Time::from_millis(until));
    let machine = match tie {
        Some(byte) => ListenFirst::with_tie_break(list, until, &Seed::new([byte; 32]), Config::default()),
        None => ListenFirst::new(list, until, Config::default()),
    };
    End::new(Machines::First(machine), start)
}

fn lot(list: &[&str], byte: u8, start: u64) -> End {
    let machine = SimultaneousOpen::new(names(list), &Seed::new([byte; 32]), Config::default());
    End::new(Machines::Lot(machine), start)
}

fn complementary(a: &End, b: &End) -> bool {
    match (&a.agreed, &b.agreed) {
        (Some((role_a, name_a)), Some((role_b, name_b))) => *role_a == role_b.opposite() && name_a == name_b,
        _ => false,
    }
}

/// Every wait, start and delay of a small world: (until of a, until of b, start of b, delay).
fn worlds() -> impl Iterator<Item = (u64, u64, u64, u64)> {
    (0..9).flat_map(|a| (0..9).flat_map(move |b| (0..9).flat_map(move |s| (1..5).map(move |d| (a, b, s, d)))))
}

#[test]
fn with_waits_further_apart_than_the_delay_the_roles_are_complementary() {
    for (until_a, until_b, start, delay) in worlds() {
        let proposes_b = until_b.max(start);
        if until_a.abs_diff(proposes_b) < delay {
            continue;
        }
        for lists in [[&["/a", "/b"], &["/a", "/b"]], [&["/a", "/b"], &["/b", "/a"]]] {
            let (a, b) = meet(first(lists[0], until_a, None, 0), first(lists[1], until_b, None, start), delay);
            assert!(complementary(&a, &b), "{until_a} {until_b} {start} {delay}: {:?} {:?}", a.error, b.error);
            let sooner = if until_a < proposes_b { &a } else { &b };
            assert_eq!(sooner.role(), Some(Role::Initiator));
        }
    }
}

#[test]
fn a_crossing_with_different_names_is_a_typed_error_on_both_ends() {
    let mut crossings = 0;
    for (until_a, until_b, start, delay) in worlds() {
        if until_a.abs_diff(until_b.max(start)) >= delay {
            continue;
        }
        crossings += 1;
        let (a, b) = meet(first(&["/a", "/b"], until_a, None, 0), first(&["/b", "/a"], until_b, None, start), delay);
        let crossed =
            |ours: &str, theirs: &str| Error::Crossed { ours: Excerpt::new(ours), theirs: Excerpt::new(theirs) };
        assert_eq!(a.error, Some(crossed("/a", "/b")));
        assert_eq!(b.error, Some(crossed("/b", "/a")));
        assert_eq!((a.role(), b.role()), (None, None));
    }
    assert!(crossings > 100);
}

#[test]
fn a_crossing_with_equal_names_makes_two_initiators_for_the_handshake_to_find_out() {
    let (a, b) = meet(first(&["/a"], 5, None, 0), first(&["/a"], 6, None, 0), 4);
    assert_eq!((a.role(), b.role()), (Some(Role::Initiator), Some(Role::Initiator)));
}

#[test]
fn with_a_tie_break_on_both_ends_every_timing_gives_complementary_roles() {
    for (until_a, until_b, start, delay) in worlds() {
        for lists in [[&["/a", "/b"], &["/a", "/b"]], [&["/a", "/b"], &["/b", "/a"]]] {
            let (a, b) = meet(first(lists[0], until_a, Some(1), 0), first(lists[1], until_b, Some(2), start), delay);
            assert!(complementary(&a, &b), "{until_a} {until_b} {start} {delay}: {:?} {:?}", a.error, b.error);
        }
    }
}

#[test]
fn a_tie_break_on_one_end_alone_never_gives_two_equal_roles() {
    for (until_a, until_b, start, delay) in worlds() {
        let (a, b) = meet(first(&["/a"], until_a, Some(1), 0), first(&["/a"], until_b, None, start), delay);
        if until_a.abs_diff(until_b.max(start)) >= delay {
            assert!(complementary(&a, &b), "{until_a} {until_b} {start} {delay}: {:?} {:?}", a.error, b.error);
        } else {
            assert!(matches!(a.error, Some(Error::Crossed { .. })), "{:?}", a.error);
            assert!(matches!(b.error, Some(Error::Crossed { .. })), "{:?}", b.error);
        }
    }
}

#[test]
fn a_dialer_that_proposes_at_once_makes_a_listening_end_the_responder() {
    for tie in [None, Some(1)] {
        for (until, _, start, delay) in worlds() {
            let dialer = End::new(Machines::Dialer(dialer(&["/b", "/a"])), start);
            let (a, b) = meet(first(&["/a"], until, tie, 0), dialer, delay);
            if until >= start + delay {
                assert!(complementary(&a, &b));
                assert_eq!(a.role(), Some(Role::Responder));
            } else {
                // The dialer never listens: nothing can save this one, and both ends see it.
                assert!(a.error.is_some() && b.error.is_some());
            }
        }
    }
}

#[test]
fn a_plain_listener_makes_a_listening_end_the_initiator_and_a_tie_break_costs_no_round_trip() {
    for (until, _, _, delay) in worlds() {
        let mut when = [0; 2];
        for (slot, tie) in when.iter_mut().zip([None, Some(1)]) {
            let listener = End::new(Machines::Listener(listener(&["/a"])), 0);
            let (a, b) = meet(first(&["/a"], until, tie, 0), listener, delay);
            assert!(complementary(&a, &b));
            assert_eq!(a.role(), Some(Role::Initiator));
            *slot = a.when;
        }
        assert_eq!(when, [until + 2 * delay; 2]);
    }
}

#[test]
fn the_header_leaves_at_once_and_the_proposal_when_the_wait_is_over() {
    let mut end = first(&["/a"], 5, None, 0);
    assert_eq!(end.call(0), HEADER);
    assert!(!end.due(4));
    assert!(end.call(4).is_empty());
    assert!(end.due(5));
    assert_eq!(end.call(5), frame(b"/a"));
    assert!(end.call(5).is_empty());
}

#[test]
fn a_wait_that_is_over_before_it_begins_proposes_in_the_first_flight() {
    assert_eq!(first(&["/a"], 0, None, 0).call(0), flight(&["/a"]));
    assert_eq!(first(&["/a"], 0, Some(1), 0).call(0), flight(&[BOTH, "/a"]));
}

#[test]
fn a_proposal_that_has_begun_to_arrive_is_waited_for() {
    let mut end = first(&["/a"], 5, None, 0);
    end.call(0);
    end.rx.extend_from_slice(&flight(&["/a"])[..22]);
    assert!(end.call(4).is_empty());
    assert!(!end.due(5), "nothing is to be done at the end of the wait");
    assert!(end.call(50).is_empty());
    end.rx.extend_from_slice(&flight(&["/a"])[22..]);
    assert_eq!(end.call(60), frame(b"/a"));
    assert_eq!(end.role(), Some(Role::Responder));

    let mut end = first(&["/a"], 5, None, 0);
    end.call(0);
    end.rx.extend_from_slice(&flight(&["/a"])[..22]);
    end.call(4);
    assert!(end.due(10_000));
    end.call(10_000);
    let timeout = Config::default().timeout;
    assert_eq!(end.error, Some(Error::TimedOut { timeout, awaited: Awaited::Proposal }));
}

#[test]
fn a_simultaneous_open_is_told_by_the_higher_number() {
    for (start, delay) in (0..9).flat_map(|start| (1..5).map(move |delay| (start, delay))) {
        let mut roles = Vec::new();
        for (x, y) in [(1, 2), (2, 1)] {
            let (a, b) = meet(lot(&["/a", "/b"], x, 0), lot(&["/b", "/a"], y, start), delay);
            assert!(complementary(&a, &b), "{:?} {:?}", a.error, b.error);
            assert_eq!((a.told, b.told), (a.role(), b.role()));
            roles.push(a.role());
            // The initiator's order of preference counts.
            let name = if a.role() == Some(Role::Initiator) { "/a" } else { "/b" };
            assert_eq!(a.agreed.map(|agreed| agreed.1), Some(name.to_owned()));
        }
        assert_ne!(roles[0], roles[1], "the number decides, not who came first");
    }
}

#[test]
fn equal_numbers_fail_on_both_ends() {
    let (a, b) = meet(lot(&["/a"], 1, 0), lot(&["/a"], 1, 0), 1);
    assert!(matches!(a.error, Some(Error::Tie { .. })));
    assert_eq!(a.error, b.error);
}

#[test]
fn a_plain_listener_costs_a_simultaneous_open_no_round_trip() {
    for (list, expected) in [(&["/a"], 2), (&["/x"], 0)] {
        let listener = End::new(Machines::Listener(listener(&["/a", "/b"])), 0);
        let (a, b) = meet(lot(list, 1, 0), listener, 1);
        if expected > 0 {
            assert!(complementary(&a, &b));
            assert_eq!((a.role(), a.when), (Some(Role::Initiator), expected));
        } else {
            assert_eq!(a.error, Some(Error::Refused { proposals: names(list) }));
        }
    }
    let listener = End::new(Machines::Listener(listener(&["/b"])), 0);
    let (a, b) = meet(lot(&["/a", "/b"], 1, 0), listener, 1);
    assert!(complementary(&a, &b));
    assert_eq!(a.when, 4);
}

#[test]
fn the_words_of_a_simultaneous_open_are_those_of_the_spec() {
    let mut end = lot(&["/a"], 1, 0);
    assert_eq!(end.call(0), flight(&[BOTH, "/a"]));
    end.rx.extend_from_slice(&flight(&[BOTH, "/tls/1.0.0"]));
    let said = end.call(0);
    let text = core::str::from_utf8(&said[1..said.len() - 1]).unwrap();
    let ours: u64 = text.strip_prefix("select:").unwrap().parse().unwrap();
    assert_eq!(said, frame(format!("select:{ours}").as_bytes()));

    end.rx.extend_from_slice(&frame(format!("select:{}", ours + 1).as_bytes()));
    assert_eq!(end.call(0), frame(b"responder"));
    assert_eq!(end.told, None, "not before the other end sees it the same way");
    end.rx.extend_from_slice(&frame(b"initiator"));
    assert!(end.call(0).is_empty());
    assert_eq!(end.told, Some(Role::Responder));
    end.rx.extend_from_slice(&[frame(b"/x"), frame(b"/a")].concat());
    assert_eq!(end.call(0), [frame(b"na"), frame(b"/a")].concat());

    let mut end = lot(&["/a"], 1, 0);
    end.call(0);
    end.rx.extend_from_slice(&[flight(&[BOTH, "/a"]), frame(format!("select:{}", ours - 1).as_bytes())].concat());
    assert_eq!(end.call(0)[said.len()..], frame(b"initiator"));
    end.rx.extend_from_slice(&frame(b"responder"));
    assert_eq!(end.call(0), frame(b"/a"), "the pipelined proposal counts for nothing: it is made afresh");
}

#[test]
fn exactly_one_pipelined_proposal_is_passed_over() {
    let unexpected = |expected: &str, actual: &str| {
        Some(Error::Unexpected { expected: Excerpt::new(expected), actual: Excerpt::new(actual) })
    };
    let cases: [(&[&str], Option<Error>); 8] = [
        (&[BOTH, "/x", "select:0"], None),
        (&[BOTH, "select:0"], None),
        (&[BOTH, "/x", "/y", "select:0"], unexpected("select:<number>", "/y")),
        (&[BOTH, "/x", "select:"], unexpected("select:<number>", "select:")),
        (&[BOTH, "/x", "select:-1"], unexpected("select:<number>", "select:-1")),
        (&[BOTH, "/x", "select:18446744073709551616"], unexpected("select:<number>", "select:18446744073709551616")),
        (&[BOTH, "/x", "select:0", "initiator"], unexpected("responder", "initiator")),
        (&["/x"], unexpected(BOTH, "/x")),
    ];
    for (said, expected) in cases {
        let mut end = lot(&["/a"], 1, 0);
        end.call(0);
        end.rx.extend_from_slice(&flight(said));
        end.call(0);
        assert_eq!(end.error, expected, "{said:?}");
    }
}

#[test]
fn a_plain_dialer_at_the_other_end_of_a_simultaneous_open_is_a_crossing() {
    let dialer = End::new(Machines::Dialer(dialer(&["/a"])), 0);
    let (a, b) = meet(lot(&["/a"], 1, 0), dialer, 1);
    assert_eq!(a.error, Some(Error::Crossed { ours: Excerpt::new(BOTH), theirs: Excerpt::new("/a") }));
    assert_eq!(b.error, Some(Error::Unexpected { expected: Excerpt::new("/a"), actual: Excerpt::new(BOTH) }));
}

#[test]
fn simultaneous_open_is_off_unless_asked_for() {
    let mut end = End::new(Machines::Listener(listener(&["/a"])), 0);
    end.rx.extend_from_slice(&flight(&[BOTH, "/a"]));
    assert_eq!(end.call(0), flight(&["na", "/a"]));
    let said = End::new(Machines::Dialer(dialer(&["/a"])), 0).call(0);
    assert!(!said.windows(BOTH.len()).any(|window| window == BOTH.as_bytes()));
}

#[test]
fn the_same_seed_draws_the_same_number() {
    let said = |byte: u8| {
        let mut end = lot(&["/a"], byte, 0);
        end.call(0);
        end.rx.extend_from_slice(&flight(&[BOTH]));
        end.call(0)
    };
    assert_eq!(said(1), said(1));
    assert_ne!(said(1), said(2));
}
