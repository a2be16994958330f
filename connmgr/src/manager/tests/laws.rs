//! The laws that every machine keeps.

use super::*;
use crate::dial::{DialFault, DialOptions, GateRule};
use crate::metadata::Source;
use crate::worth::{Bump, Decay, DecayingTag, TagChange};
use crate::{DialId, RequestId};
use tidewire_core::laws::{EventSubject, Limits, Step, Transcript, check_events};

/// What happens in the script, owned.
#[derive(Clone, Debug)]
enum Op {
    Incoming(u64, u32),
    Upgraded(u64, u32),
    Open(u64, u32, Direction),
    Closed(u64),
    Stream(u64, u64),
    StreamClosed(u64, u64),
    Dial(u64, u32),
    Cancel(u64),
    Network,
    Tag(u32, i32),
    Define,
    Bump(u32),
    Protect(u32, bool),
    Keep(u32),
    Remember(u32),
    Deny(u32),
    Close(u64),
    Emergency,
    TrimNow,
    Shutdown,
}

/// With a busy world around it, actions are carried out when they are polled; so what follows from them comes later when they
/// are polled later. With an idle one nothing follows, and polling late may change nothing at all.
struct Subject {
    busy: bool,
}

impl EventSubject for Subject {
    type Machine = ConnectionManager;
    type Input = Op;

    fn machine(&self) -> ConnectionManager {
        let mut config = Config::default();
        config.worth.low = 1;
        config.worth.high = 3;
        config.limits.established = 5;
        config.limits.streams_per_connection = 2;
        config.keep_alive.idle = Some(Duration::from_secs(90));
        ConnectionManager::new(config, peer(0), &Seed::new([4; 32]))
    }

    fn apply(&self, machine: &mut ConnectionManager, now: Time, op: &Op) -> Result<(), Misuse> {
        let c = ConnectionId;
        let origin = Origin::Incoming;
        let rules = |who: u32| GateRule::Peer(peer(who));
        match *op {
            Op::Incoming(connection, who) => {
                machine.handle(now, Input::Incoming { connection: c(connection), remote: &address(who) })
            }
            Op::Upgraded(connection, who) => {
                let (connection, peer, role) = (c(connection), peer(who), Role::Responder);
                machine.handle(now, Input::Established { connection, peer, origin, role, limited: false })
            }
            Op::Open(connection, who, direction) => {
                let remote = &address(who);
                let role = if direction == Direction::Inbound { Role::Responder } else { Role::Initiator };
                let origin = Origin::Other { direction, remote };
                let (connection, peer) = (c(connection), peer(who));
                machine.handle(now, Input::Established { connection, peer, origin, role, limited: false })
            }
            Op::Closed(connection) => {
                machine.handle(now, Input::Closed { connection: c(connection), by: By::Remote, why: "bye" })
            }
            Op::Stream(connection, stream) => {
                let (connection, stream, direction) = (c(connection), StreamId(stream), Direction::Inbound);
                machine.handle(now, Input::StreamOpened { connection, stream, direction, protocol: Some("/a") })
            }
            Op::StreamClosed(connection, stream) => {
                machine.handle(now, Input::StreamClosed { connection: c(connection), stream: StreamId(stream) })
            }
            Op::Dial(request, who) => {
                let addresses = [address(who), text("/ip6/2a00::1/udp/4001/quic-v1"), text("/ip4/10.0.0.1/tcp/1")];
                let (request, peer, options) = (RequestId(request), peer(who), DialOptions::default());
                machine.handle(now, Input::Dial { request, peer, addresses: &addresses, options })
            }
            Op::Cancel(request) => machine.handle(now, Input::Cancel { request: RequestId(request) }),
            Op::Network => machine.handle(now, Input::NetworkChanged),
            Op::Tag(who, value) => {
                machine.handle(now, Input::Tag { peer: peer(who), tag: "a", change: TagChange::Add(value) })
            }
            Op::Define => {
                let decay = DecayingTag { interval: Duration::from_secs(60), decay: Decay::Fixed(1) };
                machine.handle(now, Input::DefineDecaying { tag: "d", decay })
            }
            Op::Bump(who) => machine.handle(now, Input::Bump { peer: peer(who), tag: "d", bump: Bump::Unbounded(2) }),
            Op::Protect(who, true) => machine.handle(now, Input::Protect { peer: peer(who), reason: "p" }),
            Op::Protect(who, false) => machine.handle(now, Input::Unprotect { peer: peer(who), reason: "p" }),
            Op::Keep(who) => machine.handle(now, Input::KeepAlive { peer: peer(who), on: true }),
            Op::Remember(who) => {
                let (addresses, ttl) = ([address(who)], Duration::from_secs(100));
                let source = Source::Identify;
                machine.handle(now, Input::Addresses { peer: peer(who), addresses: &addresses, source, ttl })
            }
            Op::Deny(who) => machine.handle(now, Input::Deny { rule: rules(who), why: "no" }),
            Op::Close(connection) => machine.handle(now, Input::Close { connection: c(connection), why: "done" }),
            Op::Emergency => machine.handle(now, Input::Emergency),
            Op::TrimNow => machine.handle(now, Input::TrimNow),
            Op::Shutdown => machine.handle(now, Input::Shutdown),
        }
    }

    /// Every second dial is established, every second one fails; every second ping is answered; closes are carried out.
    fn on_action(&self, machine: &mut ConnectionManager, now: Time, action: Action, seen: &mut Transcript) {
        seen.note(&action);
        if !self.busy {
            return;
        }
        let done = match action {
            Action::Dial { dial: DialId(n), peer, .. } if n % 2 == 0 => {
                let (connection, origin) = (ConnectionId(1000 + n), Origin::Dial(DialId(n)));
                let role = Role::Initiator;
                machine.handle(now, Input::Established { connection, peer, origin, role, limited: false })
            }
            Action::Dial { dial, .. } => {
                machine.handle(now, Input::DialFailed { dial, fault: DialFault::Transport("refused".into()) })
            }
            Action::Ping { connection, .. } if connection.0 % 2 == 0 => {
                machine.handle(now, Input::Pong { connection, rtt: Duration::from_millis(30) })
            }
            Action::Close { connection, .. } => {
                machine.handle(now, Input::Closed { connection, by: By::Local, why: "asked" })
            }
            _ => Ok(()),
        };
        if let Err(misuse) = done {
            seen.note(misuse);
        }
    }
}

fn check(script: &[Step<Op>]) {
    for busy in [false, true] {
        let limits = Limits { memory: 256 * 1024, places: 64, may_merge: busy, ..Limits::default() };
        check_events(&Subject { busy }, script, limits).unwrap();
    }
}

#[test]
fn the_laws_hold_through_a_busy_day() {
    let (inbound, outbound) = (Direction::Inbound, Direction::Outbound);
    let second = Duration::from_secs(1);
    let script = [
        Step::Input(Op::Incoming(1, 1)),
        Step::Input(Op::Upgraded(1, 1)),
        Step::Input(Op::Stream(1, 1)),
        Step::Input(Op::Remember(2)),
        Step::Input(Op::Dial(1, 2)),
        Step::Wait(second),
        Step::Input(Op::Open(2, 1, outbound)),
        Step::Input(Op::Define),
        Step::Input(Op::Bump(1)),
        Step::Wait(10 * second),
        Step::Input(Op::Open(4, 4, inbound)),
        Step::Input(Op::Tag(4, -3)),
        Step::Input(Op::Protect(1, true)),
        Step::Input(Op::Keep(2)),
        Step::Wait(65 * second),
        Step::Input(Op::Open(6, 6, inbound)),
        Step::Input(Op::StreamClosed(1, 1)),
        Step::Input(Op::Closed(1)),
        Step::Input(Op::Dial(2, 5)),
        Step::Wait(3 * second),
        Step::Input(Op::Dial(3, 7)),
        Step::Input(Op::Cancel(3)),
        Step::Input(Op::Network),
        Step::Input(Op::Protect(1, false)),
        Step::Wait(100 * second),
    ];
    check(&script);
}

#[test]
fn the_laws_hold_when_everything_ends() {
    let inbound = Direction::Inbound;
    let second = Duration::from_secs(1);
    let script = [
        Step::Input(Op::Open(1, 1, inbound)),
        Step::Input(Op::Open(2, 2, inbound)),
        Step::Input(Op::Open(3, 3, inbound)),
        Step::Input(Op::Tag(9, 3)),
        Step::Wait(61 * second),
        Step::Input(Op::TrimNow),
        Step::Input(Op::Open(4, 4, inbound)),
        Step::Input(Op::Close(3)),
        Step::Input(Op::Emergency),
        Step::Input(Op::Deny(4)),
        Step::Input(Op::Incoming(8, 8)),
        Step::Input(Op::Dial(1, 6)),
        Step::Input(Op::Shutdown),
        Step::Wait(61 * second),
        Step::Input(Op::Dial(2, 6)),
    ];
    check(&script);
}
