//! The laws that every machine keeps.

use super::*;
use tidewire_core::laws::{EventSubject, Limits, Step, Transcript, check_events};

/// What happens in the script, owned.
#[derive(Clone, Debug)]
enum Op {
    Dial(u64, u8, &'static [&'static str], DialOptions),
    Cancel(u64),
    Progress(u64),
    Established(u64),
    Failed(u64),
    Connected(u8),
    EndPeer(u8),
    Network,
    Shutdown,
}

/// With a busy world around it, every third dial is established and every third one fails when it is polled.
struct Subject {
    busy: bool,
}

impl EventSubject for Subject {
    type Machine = Dialer;
    type Input = Op;

    fn machine(&self) -> Dialer {
        let config = DialConfig { at_once: 4, file_descriptors: 3, per_peer: 2, ..DialConfig::default() };
        Dialer::new(config, peer(0), &Seed::new([4; 32]))
    }

    fn apply(&self, machine: &mut Dialer, now: Time, op: &Op) -> Result<(), DialMisuse> {
        let connection = ConnectionId(77);
        let input = match *op {
            Op::Dial(request, to, addresses, options) => {
                let addresses: Vec<_> = addresses.iter().map(|text| at(text)).collect();
                let (request, peer, addresses) = (RequestId(request), peer(to), &addresses[..]);
                return machine.handle(now, DialInput::Dial { request, peer, addresses, options });
            }
            Op::Cancel(request) => DialInput::Cancel { request: RequestId(request) },
            Op::Progress(dial) => DialInput::Progress { dial: DialId(dial) },
            Op::Established(dial) => DialInput::Established { dial: DialId(dial), connection, direct: true },
            Op::Failed(dial) => DialInput::Failed { dial: DialId(dial), fault: refused() },
            Op::Connected(to) => DialInput::Connected { peer: peer(to), connection, direct: false },
            Op::EndPeer(to) => {
                DialInput::EndPeer { peer: peer(to), failure: DialFailure::Disconnected("asked".into()) }
            }
            Op::Network => DialInput::NetworkChanged,
            Op::Shutdown => DialInput::Shutdown,
        };
        machine.handle(now, input)
    }

    fn on_action(&self, machine: &mut Dialer, now: Time, action: DialAction, seen: &mut Transcript) {
        seen.note(&action);
        let DialAction::Dial { dial, .. } = action else { return };
        let done = match dial.0 % 3 {
            0 if self.busy => {
                let connection = ConnectionId(1000 + dial.0);
                machine.handle(now, DialInput::Established { dial, connection, direct: true })
            }
            1 if self.busy => machine.handle(now, DialInput::Failed { dial, fault: refused() }),
            _ => Ok(()),
        };
        if let Err(misuse) = done {
            seen.note(misuse);
        }
    }
}

fn check(script: &[Step<Op>]) {
    for busy in [false, true] {
        let limits = Limits { memory: 128 * 1024, may_merge: busy, ..Limits::default() };
        check_events(&Subject { busy }, script, limits).unwrap();
    }
}

#[test]
fn the_laws_hold_through_a_busy_day() {
    let script = [
        Step::Input(Op::Dial(1, 1, &[TCP, TCP_2, QUIC], plain())),
        Step::Input(Op::Dial(2, 2, &[LAN, TCP, TCP_3], plain())),
        Step::Wait(300 * MILLI),
        Step::Input(Op::Dial(3, 1, &[LAN], forced())),
        Step::Input(Op::Progress(0)),
        Step::Input(Op::Dial(4, 3, &[QUIC, TCP], direct_only())),
        Step::Wait(SECOND),
        Step::Input(Op::Failed(1)),
        Step::Input(Op::Connected(1)),
        Step::Input(Op::Dial(5, 1, &[TCP_3], DialOptions { new: true, ..plain() })),
        Step::Input(Op::Cancel(2)),
        Step::Wait(6 * SECOND),
        Step::Input(Op::Established(0)),
        Step::Input(Op::Network),
        Step::Input(Op::Dial(6, 2, &[LAN, TCP], plain())),
        Step::Wait(100 * SECOND),
    ];
    check(&script);
}

#[test]
fn the_laws_hold_when_everything_ends() {
    let script = [
        Step::Input(Op::Dial(1, 1, &[TCP, QUIC], plain())),
        Step::Input(Op::Dial(2, 0, &[TCP], plain())),
        Step::Input(Op::Dial(3, 2, &[], plain())),
        Step::Wait(SECOND),
        Step::Input(Op::Dial(4, 2, &[TCP, QUIC, LAN], plain())),
        Step::Input(Op::EndPeer(1)),
        Step::Input(Op::Dial(5, 3, &[TCP, TCP_2, TCP_3], plain())),
        Step::Input(Op::Shutdown),
        Step::Wait(SECOND),
        Step::Input(Op::Dial(6, 3, &[TCP], plain())),
    ];
    check(&script);
}
