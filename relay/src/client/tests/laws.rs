//! The laws that every machine keeps.

use super::*;
use tidewire_core::laws::{EventSubject, Limits, Step, Transcript, check_events};

#[derive(Clone, Debug)]
enum Op {
    Hold(u8),
    Release(u8),
    Connect(u64, u8),
    Circuit(u64, u8),
    Disconnect(u64),
    Failed(u8),
    Dial(u64, u8, u8),
    Cancel(u64),
    Stop(u64, u64, u8),
    Decide(u64, u64, bool),
    Ended(u64, u64),
    Clock(u64),
    Network,
}

/// With a busy world around it, questions and wishes are answered when they are polled, by their number; with an idle one
/// nothing follows, and polling late may change nothing at all.
struct Subject {
    busy: bool,
}

impl EventSubject for Subject {
    type Machine = Client;
    type Input = Op;

    fn machine(&self) -> Client {
        let config = ClientConfig { tries: 4, ask_application: true, ..ClientConfig::default() };
        Client::new(config, peer(0), &Seed::new([5; 32]))
    }

    fn apply(&self, machine: &mut Client, now: Time, op: &Op) -> Result<(), Misuse> {
        let c = ConnectionId;
        let input = match *op {
            Op::Hold(n) => return machine.handle(now, Input::Hold { relay: peer(n), addresses: &[address(n)] }),
            Op::Release(n) => Input::Release { relay: peer(n) },
            Op::Connect(id, n) => {
                let (connection, remote) = (c(id), &address(n));
                let input = Input::Connected { connection, peer: peer(n), remote, relayed: false, dialed: true };
                return machine.handle(now, input);
            }
            Op::Circuit(id, n) => {
                let (connection, remote) = (c(id), &circuit_of(9, n));
                let input = Input::Connected { connection, peer: peer(n), remote, relayed: true, dialed: true };
                return machine.handle(now, input);
            }
            Op::Disconnect(id) => Input::Disconnected { connection: c(id) },
            Op::Failed(n) => Input::ConnectFailed { relay: peer(n), why: "refused" },
            Op::Dial(id, relay, to) => {
                let (dial, addresses) = (CircuitDialId(id), &[address(relay)]);
                let input = Input::Dial { dial, relay: peer(relay), addresses, destination: peer(to) };
                return machine.handle(now, input);
            }
            Op::Cancel(id) => Input::CancelDial { dial: CircuitDialId(id) },
            Op::Stop(id, stream, n) => {
                Input::StopRequested { stream: over(id, stream), source: peer(n), limit: Limit::UNLIMITED }
            }
            Op::Decide(id, stream, allow) => Input::Decide { stream: over(id, stream), allow },
            Op::Ended(id, stream) => {
                Input::CircuitEnded { over: over(id, stream), ending: Ending::Reset, sent: 9, received: 9 }
            }
            Op::Clock(unix) => Input::Clock { unix: UnixTime::from_secs(unix) },
            Op::Network => Input::NetworkChanged,
        };
        machine.handle(now, input)
    }

    fn on_action(&self, machine: &mut Client, now: Time, action: Action, seen: &mut Transcript) {
        seen.note(&action);
        if !self.busy {
            return;
        }
        let done = match action {
            Action::Ask { ask, .. } if ask.0 % 4 == 1 => {
                machine.handle(now, Input::AskFailed { ask, fault: AskFault::Failed("reset") })
            }
            Action::Ask { ask, connection, what } => {
                let relay = if connection.0 % 2 == 1 { peer(1) } else { peer(2) };
                let answer = match (ask.0 % 4, what) {
                    (2, _) => Answer::Refused { status: Status::RESOURCE_LIMIT_EXCEEDED },
                    (_, Ask::Reserve) => Answer::Reserved(Box::new(reservation(relay, UNIX + 600))),
                    _ => Answer::Connected { limit: Limit::UNLIMITED },
                };
                let stream = StreamKey { connection, stream: 100 + ask.0 };
                machine.handle(now, Input::Answered { ask, stream, answer: &answer })
            }
            _ => Ok(()),
        };
        if let Err(misuse) = done {
            seen.note(misuse);
        }
    }
}

fn check(script: &[Op], pause: Duration) {
    let steps: Vec<Step<Op>> = script.iter().flat_map(|op| [Step::Input(op.clone()), Step::Wait(pause)]).collect();
    for busy in [false, true] {
        let limits = Limits { places: 64, may_merge: busy, ..Limits::default() };
        check_events(&Subject { busy }, &steps, limits).unwrap();
    }
}

#[test]
fn the_laws_hold_whatever_happens() {
    let script = [
        Op::Clock(UNIX),
        Op::Hold(1),
        Op::Dial(1, 2, 3),
        Op::Connect(1, 1),
        Op::Circuit(7, 2),
        Op::Connect(2, 2),
        Op::Stop(1, 1, 5),
        Op::Decide(1, 1, true),
        Op::Dial(2, 1, 3),
        Op::Stop(1, 2, 5),
        Op::Clock(0),
        Op::Hold(2),
        Op::Connect(3, 1),
        Op::Disconnect(1),
        Op::Ended(1, 1),
        Op::Cancel(2),
        Op::Network,
        Op::Disconnect(3),
        Op::Failed(1),
        Op::Release(2),
        Op::Disconnect(2),
        Op::Release(1),
    ];
    for pause in [0, 1, 70, 400] {
        check(&script, secs(pause));
    }
}
