//! Wrong messages in every slot of the exchange, said to whole nodes: the circuit goes on, the report says what came, and
//! nothing is left running.
//!
//! ```text
//!   the other is B:  [first] --> us   us --CONNECT-->   [second] --> us        us: A
//!   the other is A:  us --CONNECT-->  [first] --> us    us --SYNC-->  [second] --> us        us: B
//! ```

use crate::foreign::{meet, other, seen_at, with_other};
use crate::puncher::{CONNECT, SYNC, Script, message};
use crate::scene::{directs, echo, limited, reports};
use crate::town::{assert_lifecycle, of, peer, secs};
use std::time::Duration;
use tidewire_dcutr::exchange::{Fault, MessageType};
use tidewire_dcutr::report::{End, Failure, Report};
use tidewire_sim::{HostId, World, check};
use tidewire_upgrade::pipeline::Plan;

/// `CONNECT` with the address of the `n`-th.
fn connect(n: u32) -> Vec<u8> {
    message(u32::from(CONNECT), &[seen_at(n)])
}

fn sync() -> Vec<u8> {
    message(SYNC, &[])
}

fn twice(one: &[u8]) -> Vec<u8> {
    [one, one].concat()
}

/// A message of 5 KiB, as its length says.
fn too_long() -> Vec<u8> {
    let mut bytes = vec![0x80, 0x28];
    bytes.resize(2 + 5120, 8);
    bytes
}

fn too_long_fault() -> Fault {
    Fault::TooLong { len: 5120, max: 4096 }
}

fn unexpected(expected: MessageType, got: i32) -> Fault {
    Fault::UnexpectedType { expected, got }
}

/// What the other says, and what the report has of it.
struct Case {
    name: &'static str,
    first: Vec<u8>,
    second: Vec<u8>,
    ends_early: bool,
    fault: Option<Fault>,
}

impl Case {
    fn first(name: &'static str, first: Vec<u8>, fault: Fault) -> Case {
        Case { name, first, second: Vec::new(), ends_early: false, fault: Some(fault) }
    }

    fn ended(self) -> Case {
        Case { ends_early: true, ..self }
    }

    fn script(&self) -> Script {
        let (first, second) = (self.first.clone(), self.second.clone());
        Script {
            first,
            second,
            ends_early: self.ends_early,
            roles: None,
            timeout: secs(5),
            tries: 1,
            answers_after: Duration::ZERO,
        }
    }
}

/// What came of it at us.
fn hold(world: &mut World, n: u32, script: Script) -> ([HostId; 3], Vec<Report>) {
    let hosts @ [_, us, _] = with_other(world, n, script, false);
    meet(world, hosts, n);
    world.run_for(secs(5)).unwrap();
    (hosts, reports(world, us))
}

/// The circuit is all there is, it carries, and nothing of the exchange is left.
#[track_caller]
fn assert_intact(world: &mut World, [_, us, them]: [HostId; 3], n: u32, name: &str) {
    let node = of(world, us);
    assert_eq!((node.connections_to(&peer(n)).len(), directs(node, n)), (1, 0), "{name}");
    let counts = node.solo.host().punching().unwrap().counts();
    assert_eq!((counts.attempts, counts.asks, counts.dials), (0, 0, 0), "{name}");
    assert!(other(world, them).is_done(), "{name}: a stream of ours is open still");
    assert_lifecycle(world, us);
    echo(world, us, n, limited());
}

#[test]
fn a_first_message_that_is_no_connect_begins_nothing_at_a() {
    let (cut, unknown) = (connect(2)[..9].to_vec(), message(77, &[seen_at(2)]));
    let firsts = [
        ("SYNC", sync(), false),
        ("SYNC twice", twice(&sync()), false),
        ("an unknown type", unknown, false),
        ("an empty message", vec![0], false),
        ("5 KiB", too_long(), false),
        ("no length", vec![0xff; 10], false),
        ("a part of CONNECT, and the end", cut, true),
        ("the end", vec![], true),
    ];
    for (name, first, ends_early) in firsts {
        check(0..1, |world| {
            let script = Script { ends_early, ..Case::first(name, first.clone(), Fault::Reset).script() };
            let (hosts, reports) = hold(world, 2, script);
            assert_eq!(reports, [], "{name}");
            assert_eq!(other(world, hosts[2]).heard, [0, 0], "{name}");
            assert_intact(world, hosts, 2, name);
            Ok(())
        });
    }
}

#[test]
fn what_comes_with_the_question_is_out_of_turn_at_a() {
    for (name, first) in [("CONNECT twice", twice(&connect(2))), ("SYNC at once", [connect(2), sync()].concat())] {
        check(0..1, |world| {
            let case = Case::first(name, first.clone(), Fault::OutOfTurn { turn: MessageType::Connect });
            let (hosts, reports) = hold(world, 2, case.script());
            let [report] = &reports[..] else { panic!("{name}: {reports:?}") };
            assert_eq!(report.tries[0].fault, case.fault, "{name}");
            assert_eq!(report.dials().count(), 0, "{name}");
            assert_intact(world, hosts, 2, name);
            Ok(())
        });
    }
}

#[test]
fn another_message_than_sync_ends_the_try_at_a_and_the_report_says_which() {
    let case = |name, second: Vec<u8>, fault| Case { second, ..Case::first(name, connect(2), fault) };
    let expected = MessageType::Sync;
    let cases = [
        case("CONNECT", connect(2), unexpected(expected, 100)),
        case("an unknown type", message(77, &[]), unexpected(expected, 77)),
        case("an empty message", vec![0], Fault::MissingType { expected }),
        case("5 KiB", too_long(), too_long_fault()),
        case("a part of SYNC, and the end", sync()[..2].to_vec(), Fault::Truncated { expected, got: 2 }),
        case("the end", vec![], Fault::Ended { expected }),
    ];
    for case in cases {
        check(0..1, |world| {
            let (hosts, reports) = hold(world, 2, case.script());
            let [report] = &reports[..] else { panic!("{}: {reports:?}", case.name) };
            assert_eq!(report.tries[0].fault, case.fault, "{}", case.name);
            assert_eq!(report.dials().count(), 0, "{}: nothing is dialed without SYNC", case.name);
            assert_eq!(report.end, End::Failed(Failure::NoFurtherTry), "{}", case.name);
            assert!(report.details().to_string().contains(&case.fault.as_ref().unwrap().to_string()));
            assert_intact(world, hosts, 2, case.name);
            Ok(())
        });
    }
}

#[test]
fn another_message_than_the_answer_ends_each_try_at_b_and_the_report_says_which() {
    let expected = MessageType::Connect;
    let cut = connect(3)[..9].to_vec();
    let cases = [
        Case::first("SYNC", sync(), unexpected(expected, 300)),
        Case::first("SYNC twice", twice(&sync()), unexpected(expected, 300)),
        Case::first("an unknown type", message(77, &[seen_at(3)]), unexpected(expected, 77)),
        Case::first("an empty message", vec![0], Fault::MissingType { expected }),
        Case::first("5 KiB", too_long(), too_long_fault()),
        Case::first("a part of CONNECT, and the end", cut, Fault::Truncated { expected, got: 9 }).ended(),
        Case::first("the end", vec![], Fault::Ended { expected }).ended(),
    ];
    for case in cases {
        check(0..1, |world| {
            let (hosts, reports) = hold(world, 3, case.script());
            let [report] = &reports[..] else { panic!("{}: {reports:?}", case.name) };
            let fault = case.fault.clone().unwrap();
            let faults: Vec<_> = report.tries.iter().map(|one| one.fault.as_ref()).collect();
            assert_eq!(faults, [Some(&fault); 3], "{}", case.name);
            assert_eq!(report.end, End::Failed(Failure::Exchange(fault.clone())), "{}", case.name);
            assert_eq!(report.dials().count(), 0, "{}", case.name);
            assert!(report.to_string().contains(&fault.to_string()), "{}: {report}", case.name);
            assert_eq!(other(world, hosts[2]).heard, [3, 0], "{}", case.name);
            assert_intact(world, hosts, 3, case.name);
            Ok(())
        });
    }
}

#[test]
fn a_second_answer_spoils_the_tries_at_b_and_nothing_else() {
    check(0..2, |world| {
        let case = Case::first("CONNECT twice", twice(&connect(3)), Fault::OutOfTurn { turn: MessageType::Sync });
        let (hosts, reports) = hold(world, 3, case.script());
        let [report] = &reports[..] else { panic!("{reports:?}") };
        assert_eq!((report.is_upgraded(), report.tries.len()), (false, 3), "{report}");
        assert_eq!(other(world, hosts[2]).heard[0], 3);
        assert_intact(world, hosts, 3, case.name);
        Ok(())
    });
}

#[test]
fn what_comes_after_sync_spoils_nothing() {
    let after = [
        ("nothing", vec![]),
        ("CONNECT", connect(2)),
        ("SYNC", sync()),
        ("5 KiB", too_long()),
        ("half a message", vec![9, 8]),
    ];
    for n in [2, 3] {
        for (name, after) in &after {
            check(0..1, |world| {
                let (second, role) = match n {
                    // SYNC, and more.
                    2 => ([&sync()[..], after].concat(), Plan::Respond),
                    _ => (after.clone(), Plan::Initiate),
                };
                let (first, ends_early, roles) = (connect(n), false, Some([role; 3]));
                let script = Script {
                    first,
                    second,
                    ends_early,
                    roles,
                    timeout: secs(5),
                    tries: 1,
                    answers_after: Duration::ZERO,
                };
                let ([_, us, them], reports) = hold(world, n, script);
                assert!(other(world, them).is_through(), "{name}");
                assert_eq!(directs(of(world, us), n), 1, "{name}: {reports:?}");
                let [report] = &reports[..] else { panic!("{name}: {reports:?}") };
                assert_eq!((report.is_upgraded(), report.tries.len()), (true, 1), "{name}: {report}");
                assert_eq!(report.tries[0].fault, None, "{name}");
                Ok(())
            });
        }
    }
}
