//! The laws of every event machine.

use super::*;
use crate::exchange::Fault;
use tidewire_core::laws::{EventSubject, Limits, Step, Transcript, check_events};

#[derive(Clone, Debug)]
enum Op {
    Circuit(u64, u8, bool),
    Direct(u64, u8),
    Gone(u64),
    Identified(u8, bool),
    Asked(u64, u64),
    Synced(u64, u64),
    StreamGone(u64, u64),
    Proven(u64),
    Punch(u8),
    Cancel(u8),
    Own(bool),
    Network,
    Shutdown,
}

/// With a busy world around it, streams and dials come to something, by their number; with an idle one nothing follows, and
/// polling late may change nothing at all.
struct Subject {
    busy: bool,
}

impl EventSubject for Subject {
    type Machine = Coordinator;
    type Input = Op;

    fn machine(&self) -> Coordinator {
        let mut config = Config::default();
        (config.max_attempts, config.connects) = (2, 2);
        let mut machine = Coordinator::new(config, peer(US), &Seed::new([7; 32]));
        machine.handle(Time::ZERO, Input::Own(&own(true))).unwrap();
        machine
    }

    fn apply(&self, machine: &mut Coordinator, now: Time, op: &Op) -> Result<(), Misuse> {
        let c = ConnectionId;
        let key = |connection, stream| StreamKey { connection: c(connection), stream };
        let told = [theirs(), at("/ip4/11.0.0.3/udp/4001/quic-v1")];
        let input = match *op {
            Op::Circuit(id, n, inbound) => {
                let (connection, remote) = (c(id), &circuit(n));
                return machine
                    .handle(now, Input::Connected { connection, peer: peer(n), relayed: true, inbound, remote });
            }
            Op::Direct(id, n) => {
                let (connection, remote) = (c(id), &theirs());
                return machine.handle(
                    now,
                    Input::Connected { connection, peer: peer(n), relayed: false, inbound: true, remote },
                );
            }
            Op::Gone(id) => Input::Disconnected { connection: c(id) },
            Op::Identified(n, named) => {
                let listens: &[Multiaddr] = if named { &[theirs()] } else { &[] };
                return machine.handle(now, Input::Identified { peer: peer(n), speaks_dcutr: true, listens });
            }
            Op::Asked(id, stream) => {
                return machine.handle(now, Input::Asked { stream: key(id, stream), addresses: &told, skipped: 1 });
            }
            Op::Synced(id, stream) => Input::Synced { stream: key(id, stream), rtt: RTT },
            Op::StreamGone(id, stream) => Input::StreamGone { stream: key(id, stream), why: Fault::Reset },
            Op::Proven(id) => Input::Proven { connection: c(id) },
            Op::Punch(n) => Input::Punch { peer: peer(n) },
            Op::Cancel(n) => Input::Cancel { peer: peer(n) },
            Op::Own(some) => return machine.handle(now, Input::Own(&own(some))),
            Op::Network => Input::NetworkChanged,
            Op::Shutdown => Input::Shutdown,
        };
        machine.handle(now, input)
    }

    fn on_action(&self, machine: &mut Coordinator, now: Time, action: Action, seen: &mut Transcript) {
        seen.note(&action);
        if !self.busy {
            return;
        }
        let told = [theirs(), at("/ip4/11.0.0.3/udp/4001/quic-v1")];
        let done = match action {
            Action::Open { ask, .. } if ask.0 % 3 == 0 => {
                machine.handle(now, Input::AskFailed { ask, why: Fault::Reset })
            }
            Action::Open { ask, .. } => {
                machine.handle(now, Input::Connects { ask, addresses: &told, skipped: 0, rtt: RTT })
            }
            Action::Dial { dial, .. } if dial.0 % 4 == 0 => {
                machine.handle(now, Input::DialFailed { dial, why: DialFault::AddressNotAvailable })
            }
            Action::Dial { dial, .. } if dial.0 % 4 == 1 => {
                machine.handle(now, Input::DialFailed { dial, why: DialFault::Refused })
            }
            Action::Dial { dial, .. } if dial.0 % 4 == 2 => machine.handle(now, Input::Upgrading { dial }),
            Action::Dial { dial, .. } => {
                let (local, remote, role) = (&inside(), &theirs(), Role::Initiator);
                let connection = ConnectionId(1000 + dial.0);
                machine.handle(now, Input::Dialed { dial, connection, local, remote, role })
            }
            _ => Ok(()),
        };
        if let Err(misuse) = done {
            seen.note(misuse);
        }
    }
}

fn own(some: bool) -> Vec<Candidate> {
    let quic = at("/ip4/11.0.0.2/udp/4001/quic-v1");
    if some {
        Vec::from([Candidate::new(ours(), Source::Observed), Candidate::new(quic, Source::Mapped)])
    } else {
        Vec::new()
    }
}

#[test]
fn the_laws_hold_whatever_happens() {
    let script = [
        Op::Circuit(1, 10, true),
        Op::Circuit(2, 11, false),
        Op::Identified(10, true),
        Op::Asked(2, 1),
        Op::Circuit(3, 12, true),
        Op::Identified(12, false),
        Op::Synced(2, 1),
        Op::Asked(2, 2),
        Op::Own(false),
        Op::Direct(4, 11),
        Op::Proven(4),
        Op::Gone(1),
        Op::Circuit(1, 10, true),
        Op::Own(true),
        Op::Punch(10),
        Op::StreamGone(2, 2),
        Op::Network,
        Op::Gone(4),
        Op::Asked(2, 3),
        Op::Cancel(10),
        Op::Gone(3),
        Op::Gone(2),
        Op::Shutdown,
        Op::Punch(10),
    ];
    for pause in [400, 20_000] {
        let steps: Vec<Step<Op>> =
            script.iter().flat_map(|op| [Step::Input(op.clone()), Step::Wait(millis(pause))]).collect();
        for busy in [false, true] {
            let limits = Limits { places: 64, may_merge: busy, ..Limits::default() };
            check_events(&Subject { busy }, &steps, limits).unwrap();
        }
    }
}
