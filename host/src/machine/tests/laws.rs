//! The laws of every event machine.

use super::*;
use crate::addresses::{NatStatus, PortMapping};
use crate::{PunchCommand, RelayCommand, Splice};
use tidewire_core::Component;
use tidewire_core::laws::{EventSubject, Limits, Step, Transcript, check_events};
use tidewire_dcutr::exchange::Heard;
use tidewire_relay::autonat::{v1, v2};
use tidewire_relay::autorelay::{AutoRelayConfig, Candidate};
use tidewire_relay::exchange::{Answer, Ask, Request, Service};
use tidewire_relay::server::{CircuitEnd, Offer, ServerConfig};
use tidewire_relay::{CircuitId, Limit, Reservation, Status};

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
        let mut server = ServerConfig::default();
        server.offer = Offer::Always;
        config.relay.server = Some(server);
        config.relay.autonat_v1_server = Some(v1::ServerConfig::default());
        config.relay.autonat_v2_server = Some(v2::ServerConfig::default());
        config.relay.auto_relay = Some(AutoRelayConfig::default());
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
            Action::Order { connection, order: Order::Ask { ask, what } } => {
                let answer = match what {
                    Ask::Reserve => Answer::Reserved(Box::new(Reservation::new(peer(1), UnixTime::from_secs(3605)))),
                    Ask::Connect { .. } => Answer::Connected { limit: Limit::UNLIMITED },
                    Ask::Stop { .. } => Answer::Accepted,
                    Ask::DialBack { .. } => Answer::BackHeard,
                    _ => Answer::Refused { status: Status::PERMISSION_DENIED },
                };
                let stream = Some(StreamId(1000 + ask.0));
                report(connection, Report::Answered { ask, stream, answer: Ok(Box::new(answer)) })
            }
            Action::Order { connection, order: Order::Punch { ask, .. } } => {
                let (addresses, rtt) = (vec![address(3)], Some(Duration::from_millis(80)));
                let heard = Ok(Heard::Connect { addresses, skipped: 0, dropped: 0, rtt });
                report(connection, Report::Heard { ask: Some(ask), stream: StreamId(2000 + ask.0), heard })
            }
            Action::Order { connection, order: Order::Connect { stream, .. } } => {
                let heard = Ok(Heard::Sync { rtt: Duration::from_millis(80) });
                report(connection, Report::Heard { ask: None, stream, heard })
            }
            Action::Order { connection, order: Order::Reset { stream } | Order::Reply { stream, .. } } => {
                report(connection, Report::StreamClosed { stream })
            }
            Action::Carry(carry) => {
                let (connection, over) = (c(200 + carry.over.1.0), carry.over);
                let (local, remote) = (carry.local, carry.remote);
                match carry.dial {
                    Some((dial, _)) => Input::Dialed { dial, connection, local, remote },
                    None => Input::Incoming { connection, local, remote, over: Some(over), asn: None },
                }
            }
            Action::Splice(Splice { circuit, .. }) => Input::Spliced { circuit, end: None, forward: 1, backward: 2 },
            Action::Unsplice { circuit, why } => Input::Spliced { circuit, end: Some(why), forward: 3, backward: 4 },
            Action::Unlisten { listener } => Input::ListenerClosed { listener, why: "as asked".into() },
            _ => return,
        };
        if let Err(misuse) = host.handle(now, answer) {
            seen.note(misuse);
        }
    }
}

#[test]
fn the_host_keeps_the_laws_as_a_relay_behind_one_and_with_autonat() {
    let second = Duration::from_secs(1);
    let report = |connection, report| Step::Input(Input::Report { connection: c(connection), report });
    let incoming = |n: u8| {
        let (connection, local, remote) = (c(n.into()), address(0), address(n));
        Step::Input(Input::Incoming { connection, local, remote, over: None, asn: Some(64_500) })
    };
    let opened = |connection, n, service: Service| {
        let (stream, protocol) = (StreamId(n), Protocol::new(service.name()).unwrap());
        report(connection, Report::StreamOpened { stream, direction: Direction::Inbound, protocol, open: None })
    };
    let asked =
        |connection, n, request| report(connection, Report::Asked { stream: StreamId(n), request: Box::new(request) });
    let relay = |command| Step::Input(Input::Relay(command));
    let through: Multiaddr =
        alloc::format!("{}/p2p/{}/p2p-circuit/p2p/{}", address(1), peer(1), peer(3)).parse().unwrap();
    let names = [Protocol::new(Service::Hop.name()).unwrap(), Protocol::new(Service::AutonatV1.name()).unwrap()];
    let script = [
        Step::Input(Input::AddExternal { address: address(7) }),
        Step::Input(Input::PortMapping(PortMapping::Mapped {
            listen: address(0),
            external: address(8),
            by: "PCP".into(),
        })),
        Step::Input(Input::PortMapping(PortMapping::Lost { external: address(8), why: "why".into() })),
        incoming(1),
        report(1, established(1, Role::Responder)),
        report(1, Report::Identified(said(1, 1, &names, &[address(1)]))),
        incoming(2),
        report(2, established(2, Role::Responder)),
        // We are held at, and connect.
        opened(1, 3, Service::Hop),
        asked(1, 3, Request::Reserve),
        opened(2, 5, Service::Hop),
        asked(2, 5, Request::Connect { destination: peer(1) }),
        Step::Wait(second),
        Step::Input(Input::Spliced { circuit: CircuitId(0), end: Some(CircuitEnd::Closed), forward: 5, backward: 6 }),
        // We hold, dial through, and are reached through.
        relay(RelayCommand::Reserve { relay: peer(1), addresses: vec![address(1)] }),
        Step::Input(Input::Listen {
            listener: ListenerId(9),
            address: through.split_circuit().map(|(relay, _)| relay.with(Component::P2pCircuit).unwrap()).unwrap(),
        }),
        Step::Input(Input::Connect {
            request: RequestId(1),
            peer: peer(3),
            addresses: vec![through],
            options: DialOptions::default(),
        }),
        Step::Wait(second),
        opened(1, 7, Service::Stop),
        asked(1, 7, Request::Stop { source: peer(4), limit: Limit::UNLIMITED }),
        // We dial back, in both versions.
        opened(2, 9, Service::AutonatV1),
        asked(2, 9, Request::DialMe { addresses: vec![address(2)] }),
        report(2, Report::StreamClosed { stream: StreamId(5) }),
        opened(2, 11, Service::AutonatV2Request),
        asked(2, 11, Request::Probe { nonce: 7, addresses: vec![address(2)] }),
        Step::Wait(30 * second),
        Step::Input(Input::NatStatus(NatStatus::Private)),
        relay(RelayCommand::Candidates(vec![Candidate { peer: peer(5), addresses: vec![address(5)] }])),
        Step::Wait(60 * second),
        Step::Input(Input::WallClock(UnixTime::from_secs(900))),
        Step::Input(Input::NetworkChanged),
        report(1, gone()),
        Step::Wait(120 * second),
        Step::Input(Input::Shutdown),
        Step::Wait(90 * second),
    ];
    for busy in [false, true] {
        let limits = Limits { memory: 256 * 1024, may_merge: busy, ..Limits::default() };
        check_events(&Subject { busy }, &script, limits).unwrap();
    }
}

#[test]
fn the_host_keeps_the_laws_as_it_punches() {
    let second = Duration::from_secs(1);
    let dcutr = || Protocol::from_static(tidewire_dcutr::PROTOCOL);
    let report = |connection, report| Step::Input(Input::Report { connection: c(connection), report });
    let through = |n| alloc::format!("{}/p2p/{}/p2p-circuit/p2p/{}", address(1), peer(1), peer(n)).parse().unwrap();
    let circuit = |connection, n| {
        let (connection, local, remote) = (c(connection), through(0), through(n));
        Step::Input(Input::Incoming { connection, local, remote, over: None, asn: None })
    };
    let (stream, direction) = (StreamId(7), Direction::Inbound);
    let connect = Heard::Connect { addresses: vec![address(4)], skipped: 0, dropped: 0, rtt: None };
    let punch = |command| Step::Input(Input::Punch(command));
    let script = [
        Step::Input(Input::AddExternal { address: address(7) }),
        // One that is asked, and one that can be dialed before.
        circuit(1, 3),
        report(1, established(3, Role::Responder)),
        report(1, Report::Identified(said(3, 1, &[dcutr()], &[]))),
        circuit(2, 4),
        report(2, established(4, Role::Responder)),
        report(2, Report::Identified(said(4, 1, &[dcutr()], &[address(4)]))),
        Step::Wait(second),
        // Out of turn.
        report(2, Report::StreamOpened { stream, direction, protocol: dcutr(), open: None }),
        report(2, Report::Heard { ask: None, stream, heard: Ok(connect) }),
        report(2, Report::StreamClosed { stream }),
        // We made this one.
        Step::Input(Input::Connect {
            request: RequestId(1),
            peer: peer(5),
            addresses: vec![through(5)],
            options: DialOptions::default(),
        }),
        Step::Wait(40 * second),
        punch(PunchCommand::Punch { peer: peer(3) }),
        Step::Wait(5 * second),
        punch(PunchCommand::Cancel { peer: peer(3) }),
        Step::Input(Input::NetworkChanged),
        report(1, gone()),
        Step::Wait(120 * second),
        Step::Input(Input::Shutdown),
        Step::Wait(90 * second),
    ];
    for busy in [false, true] {
        let limits = Limits { memory: 256 * 1024, may_merge: busy, ..Limits::default() };
        check_events(&Subject { busy }, &script, limits).unwrap();
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
