//! The laws of every event machine.

use super::*;
use tidewire_core::laws::{EventSubject, Limits, Step, Transcript, check_events};

/// Around the host either nothing happens, or a world that dials, ends and answers.
struct Subject {
    busy: bool,
}

impl EventSubject for Subject {
    type Machine = Host;
    type Input = Input;

    fn machine(&self) -> Host {
        let mut config = Config::default();
        config.manager.limits.streams_per_peer = 2;
        Host::new(config, peer(0), &Seed::new([9; 32]), UnixTime::from_secs(5))
    }

    fn apply(&self, host: &mut Host, now: Time, input: &Input) -> Result<(), Misuse> {
        host.handle(now, input.clone())
    }

    fn on_action(&self, host: &mut Host, now: Time, action: Action, seen: &mut Transcript) {
        seen.note(&action);
        if !self.busy {
            return;
        }
        let report = |connection, report| Input::Report { connection, report };
        let answer = match action {
            Action::Dial { dial, .. } if dial.0 % 2 == 0 => {
                let (connection, local, remote) = (c(100 + dial.0), address(0), address(2));
                Input::Dialed { dial, connection, local, remote }
            }
            Action::Dial { dial, .. } => Input::DialFailed { dial, fault: DialFault::Transport("refused".into()) },
            Action::Order { connection, order: Order::Ping } => {
                report(connection, Report::Pong { rtt: Duration::from_millis(9) })
            }
            Action::Order { connection, order: Order::Close { .. } } => report(connection, gone()),
            Action::Order { connection, order: Order::Open { open, .. } } => {
                report(connection, stream(open.0, Direction::Outbound, Some(open.0)))
            }
            Action::Unlisten { listener } => Input::ListenerClosed { listener, why: "as asked".into() },
            _ => return,
        };
        if let Err(misuse) = host.handle(now, answer) {
            seen.note(misuse);
        }
    }
}

#[test]
fn the_host_keeps_the_laws() {
    let second = Duration::from_secs(1);
    let report = |connection, report| Step::Input(Input::Report { connection: c(connection), report });
    let script = [
        Step::Input(Input::Protocols(vec![ECHO])),
        Step::Input(Input::Listen { listener: ListenerId(1), address: address(0) }),
        Step::Input(Input::Listening { listener: ListenerId(1), address: address(0) }),
        Step::Wait(second),
        Step::Input(Input::Incoming { connection: c(1), local: address(0), remote: address(1), over: None, asn: None }),
        report(1, established(1, Role::Responder)),
        report(1, Report::Identified(said(1, 1, &[PUSH], &[address(1)]))),
        report(1, stream(1, Direction::Inbound, None)),
        Step::Input(Input::Open {
            open: OpenId(5),
            peer: peer(1),
            protocols: Protocols::from(ECHO),
            options: OpenOptions::default(),
        }),
        Step::Input(Input::CancelOpen { open: OpenId(5) }),
        Step::Input(Input::Connect {
            request: RequestId(1),
            peer: peer(2),
            addresses: vec![address(2), address(3)],
            options: DialOptions::default(),
        }),
        Step::Wait(second),
        Step::Input(Input::AddExternal { address: address(7) }),
        report(1, Report::StreamClosed { stream: StreamId(1) }),
        Step::Wait(65 * second),
        Step::Input(Input::Open {
            open: OpenId(6),
            peer: peer(4),
            protocols: Protocols::from(ECHO),
            options: OpenOptions::default(),
        }),
        report(1, gone()),
        Step::Wait(second),
        Step::Input(Input::Shutdown),
        Step::Wait(90 * second),
    ];
    for busy in [false, true] {
        let limits = Limits { memory: 256 * 1024, may_merge: busy, ..Limits::default() };
        check_events(&Subject { busy }, &script, limits).unwrap();
    }
}
