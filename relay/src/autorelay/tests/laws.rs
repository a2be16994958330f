//! The laws that every machine keeps.

use super::*;
use tidewire_core::laws::{EventSubject, Limits, Step, Transcript, check_events};

#[derive(Clone, Debug)]
enum Op {
    Reach(Reachability),
    Found(Vec<u8>),
    Connect(u64, u8),
    Disconnect(u64),
    Identified(u8, bool),
    ConnectFailed(u8),
    Reserved(u8),
    Failed(u8, bool),
    Lost(u8),
    Circuits(Vec<u8>),
    Own(Vec<u8>),
    Serving(bool),
    Advertised(bool),
    Network,
}

/// With a busy world around it, relays answer when they are asked; with an idle one nothing follows, and polling late may
/// change nothing at all.
struct Subject {
    busy: bool,
}

impl EventSubject for Subject {
    type Machine = AutoRelay;
    type Input = Op;

    fn machine(&self) -> AutoRelay {
        let mut config = AutoRelayConfig::classic();
        config.relays = 2;
        config.min_candidates = 2;
        config.max_candidates = 5;
        config.static_relays = vec![candidate(9)];
        AutoRelay::new(config, peer(0), &Seed::new([5; 32]), Time::ZERO)
    }

    fn apply(&self, machine: &mut AutoRelay, now: Time, op: &Op) -> Result<(), Misuse> {
        let addresses = |list: &[u8]| list.iter().copied().map(address).collect::<Vec<_>>();
        match op {
            Op::Reach(reach) => machine.handle(now, Input::Reachability(*reach)),
            Op::Found(peers) => {
                let list: Vec<_> = peers.iter().copied().map(candidate).collect();
                machine.handle(now, Input::Candidates(&list))
            }
            Op::Connect(id, n) => {
                let (connection, remote) = (ConnectionId(*id), &address(*n));
                machine.handle(now, Input::Connected { connection, peer: peer(*n), remote, relayed: false })
            }
            Op::Disconnect(id) => machine.handle(now, Input::Disconnected { connection: ConnectionId(*id) }),
            Op::Identified(n, speaks_hop) => {
                machine.handle(now, Input::Identified { peer: peer(*n), speaks_hop: *speaks_hop })
            }
            Op::ConnectFailed(n) => machine.handle(now, Input::ConnectFailed { peer: peer(*n) }),
            Op::Reserved(n) => machine.handle(now, Input::Reserved { relay: peer(*n) }),
            Op::Failed(n, refused) => machine.handle(now, Input::ReserveFailed { relay: peer(*n), refused: *refused }),
            Op::Lost(n) => machine.handle(now, Input::Lost { relay: peer(*n) }),
            Op::Circuits(relays) => {
                let circuit = |n: &u8| crate::circuit_address(&address(*n), peer(*n), peer(0)).unwrap();
                let list: Vec<_> = relays.iter().map(circuit).collect();
                machine.handle(now, Input::Circuits(&list))
            }
            Op::Own(list) => machine.handle(now, Input::Addresses { own: &addresses(list), verified: &[] }),
            Op::Serving(on) => machine.handle(now, Input::Serving(*on)),
            Op::Advertised(true) => machine.handle(now, Input::Advertised { ttl: None }),
            Op::Advertised(false) => machine.handle(now, Input::AdvertiseFailed),
            Op::Network => machine.handle(now, Input::NetworkChanged),
        }
    }

    fn on_action(&self, machine: &mut AutoRelay, now: Time, action: Action, seen: &mut Transcript) {
        seen.note(&action);
        if !self.busy {
            return;
        }
        let done = match action {
            Action::Find { .. } => {
                let list = [1, 2, 3].map(candidate);
                machine.handle(now, Input::Candidates(&list))
            }
            Action::Connect { peer: to, .. } if to == peer(2) => machine.handle(now, Input::ConnectFailed { peer: to }),
            Action::Hold { relay, .. } if relay == peer(3) => {
                machine.handle(now, Input::ReserveFailed { relay, refused: false })
            }
            Action::Hold { relay, .. } => machine.handle(now, Input::Reserved { relay }),
            _ => Ok(()),
        };
        if let Err(misuse) = done {
            seen.note(misuse);
        }
    }
}

#[test]
fn the_laws_hold_whatever_happens() {
    let script = [
        Op::Own(vec![7, 8]),
        Op::Found(vec![1, 2, 3, 4, 5, 6, 7]),
        Op::Connect(1, 1),
        Op::Identified(1, true),
        Op::Connect(9, 9),
        Op::Identified(9, true),
        Op::Reserved(9),
        Op::Circuits(vec![9]),
        Op::ConnectFailed(2),
        Op::Connect(3, 3),
        Op::Identified(3, false),
        Op::Connect(4, 4),
        Op::Identified(4, true),
        Op::Failed(4, true),
        Op::Lost(9),
        Op::Circuits(vec![]),
        Op::Disconnect(9),
        Op::Network,
        Op::Serving(true),
        Op::Reach(Reachability::Public),
        Op::Advertised(true),
        Op::Advertised(false),
        Op::Reach(Reachability::Private),
        Op::Disconnect(1),
    ];
    for pause in [0, 25, 130] {
        let pause = secs(pause);
        let steps: Vec<Step<Op>> = script.iter().flat_map(|op| [Step::Input(op.clone()), Step::Wait(pause)]).collect();
        for busy in [false, true] {
            let limits = Limits { places: 64, may_merge: busy, ..Limits::default() };
            check_events(&Subject { busy }, &steps, limits).unwrap();
        }
    }
}
