//! The laws that every machine keeps.

use super::*;
use crate::Limit;
use crate::server::{Acl, AclRule, CircuitEnd, Verdict, Who};
use tidewire_core::laws::{EventSubject, Limits, Step, Transcript, check_events};

/// What happens in the script, owned.
#[derive(Clone, Debug)]
enum Op {
    Clock(u64),
    Public(bool),
    Address,
    Open(u64, u32),
    Relayed(u64, u32),
    Close(u64),
    Reserve(u64, u64),
    Connect(u64, u64, u32),
    Gone(u64, u64),
    Progress(u64),
    End(u64),
    Decide(u64, u64, bool),
    Rules,
    Drain,
}

/// With a busy world around it, destinations answer: every third refuses, every third never does. With an idle one nothing
/// follows from an action, and polling late may change nothing at all.
struct Subject {
    busy: bool,
}

impl EventSubject for Subject {
    type Machine = Server;
    type Input = Op;

    fn machine(&self) -> Server {
        let config = ServerConfig {
            reservations: 2,
            circuits_per_peer: 2,
            limit: Limit { duration: Some(20 * SECOND), data: None },
            reserve_per_peer: RateConfig::per(2, MINUTE),
            ..ServerConfig::default()
        };
        Server::new(config, peer(0), &Seed::new([4; 32]))
    }

    fn apply(&self, server: &mut Server, now: Time, op: &Op) -> Result<(), Misuse> {
        let rule = |verdict, n| AclRule { verdict, who: Who::Peer(peer(n)), ..AclRule::default() };
        let acl = Acl { rules: [rule(Verdict::Ask, 2), rule(Verdict::Deny, 3)].to_vec(), otherwise: Verdict::Allow };
        let addresses = [address(100)];
        let ConnectedTo { remote } = ConnectedTo::of(op);
        server.handle(
            now,
            match *op {
                Op::Clock(unix) => Input::Clock { unix: UnixTime::from_secs(unix) },
                Op::Public(public) => Input::Reachable { public },
                Op::Address => Input::Addresses { addresses: &addresses },
                Op::Open(connection, n) | Op::Relayed(connection, n) => Input::Connected {
                    connection: ConnectionId(connection),
                    peer: peer(n),
                    remote: &remote,
                    relayed: matches!(op, Op::Relayed(..)),
                    asn: None,
                },
                Op::Close(connection) => Input::Disconnected { connection: ConnectionId(connection) },
                Op::Reserve(connection, stream) => Input::Reserve { stream: on(connection, stream) },
                Op::Connect(connection, stream, n) => {
                    Input::Connect { stream: on(connection, stream), destination: peer(n) }
                }
                Op::Gone(connection, stream) => Input::RequesterGone { stream: on(connection, stream) },
                Op::Progress(n) => Input::CircuitProgress { circuit: CircuitId(n), forward: 3, backward: 4 },
                Op::End(n) => {
                    let (circuit, end) = (CircuitId(n), CircuitEnd::Closed);
                    Input::CircuitEnded { circuit, end, forward: 5, backward: 6 }
                }
                Op::Decide(connection, stream, allow) => Input::Decide { stream: on(connection, stream), allow },
                Op::Rules => Input::Acl { acl: &acl },
                Op::Drain => Input::Drain { grace: 5 * SECOND },
            },
        )
    }

    fn on_action(&self, server: &mut Server, now: Time, action: Action, seen: &mut Transcript) {
        seen.note(&action);
        if !self.busy {
            return;
        }
        let done = match action {
            Action::OpenStop { ask, connection, .. } if ask.0 % 3 == 0 => {
                let answer = StopAnswer::Accepted(on(connection.0, 500 + ask.0));
                server.handle(now, Input::StopAnswered { ask, answer })
            }
            Action::OpenStop { ask, .. } if ask.0 % 3 == 1 => {
                server.handle(now, Input::StopAnswered { ask, answer: StopAnswer::Failed("no") })
            }
            Action::CloseCircuit { circuit, .. } => {
                let end = CircuitEnd::Closed;
                server.handle(now, Input::CircuitEnded { circuit, end, forward: 1, backward: 2 })
            }
            _ => Ok(()),
        };
        if let Err(misuse) = done {
            seen.note(misuse);
        }
    }
}

struct ConnectedTo {
    remote: Multiaddr,
}

impl ConnectedTo {
    fn of(op: &Op) -> ConnectedTo {
        let n = if let Op::Open(_, n) | Op::Relayed(_, n) = op { *n } else { 0 };
        ConnectedTo { remote: address(n) }
    }
}

fn check(script: &[Step<Op>]) {
    for busy in [false, true] {
        let limits = Limits { memory: 64 * 1024, places: 64, may_merge: busy, ..Limits::default() };
        check_events(&Subject { busy }, script, limits).unwrap();
    }
}

#[test]
fn the_laws_hold_through_a_busy_day() {
    let script = [
        Op::Clock(UNIX),
        Op::Address,
        Op::Public(true),
        Op::Open(1, 1),
        Op::Open(2, 2),
        Op::Open(3, 3),
        Op::Relayed(4, 4),
        Op::Reserve(1, 1),
        Op::Reserve(3, 1),
        Op::Reserve(4, 1),
        Op::Reserve(2, 1),
        Op::Connect(2, 2, 1),
        Op::Connect(3, 2, 1),
        Op::Connect(2, 3, 3),
        Op::Connect(1, 4, 3),
    ];
    let mut script: Vec<_> = script.into_iter().map(Step::Input).collect();
    script.push(Step::Wait(10 * SECOND));
    // In an idle world there is no circuit: a misuse, with nothing before it that waits to be polled.
    let more =
        [Op::Progress(0), Op::Reserve(1, 2), Op::Reserve(1, 3), Op::Rules, Op::Connect(2, 8, 1), Op::Connect(3, 8, 1)];
    script.extend(more.into_iter().map(Step::Input));
    script.push(Step::Wait(5 * SECOND));
    script.push(Step::Input(Op::Decide(2, 8, true)));
    script.push(Step::Wait(40 * SECOND));
    script.extend([Op::Gone(2, 8), Op::End(0), Op::Close(2), Op::Clock(5)].map(Step::Input));
    script.push(Step::Wait(3700 * SECOND));
    check(&script);
}

#[test]
fn the_laws_hold_when_everything_ends() {
    let script = [
        Op::Clock(UNIX),
        Op::Public(true),
        Op::Open(1, 1),
        Op::Open(2, 2),
        Op::Open(11, 1),
        Op::Reserve(1, 1),
        Op::Connect(2, 1, 1),
        Op::Connect(2, 2, 1),
        Op::Rules,
        Op::Reserve(2, 3),
        Op::Close(11),
        Op::Drain,
        Op::Connect(2, 4, 1),
    ];
    let mut script: Vec<_> = script.into_iter().map(Step::Input).collect();
    script.push(Step::Wait(10 * SECOND));
    script.extend([Op::Close(1), Op::End(0), Op::Public(false), Op::Close(2)].map(Step::Input));
    script.push(Step::Wait(60 * SECOND));
    check(&script);
}
