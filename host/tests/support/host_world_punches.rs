//! The part of the world that is about hole punches: what links and remotes do, and say, of them.

use super::*;
use bytes::BytesMut;
use tidewire_core::Machine;
use tidewire_dcutr::PROTOCOL;
use tidewire_dcutr::exchange::{Fault as PunchFault, Heard};
use tidewire_host::PunchCommand;
use tidewire_host::identify::{Card, Config as IdentifyConfig, Identity, Profile, Reader};

const DCUTR: Protocol = Protocol::from_static(PROTOCOL);

/// What a link knows of punches.
#[derive(Default)]
pub(super) struct Punches {
    /// Our host's: where it said `CONNECT`.
    ours: BTreeMap<AskNumber, StreamId>,
    /// The remote's, and whether our host answered.
    theirs: BTreeMap<StreamId, bool>,
}

/// What the `n`-th peer says of itself.
fn said(n: usize) -> Box<Identity> {
    let keypair = Keypair::from_seed(&Seed::new([u8::try_from(n).unwrap(); 32]));
    // Every other one listens where it can be dialed.
    let addresses = if n.is_multiple_of(2) { vec![address(n)] } else { Vec::new() };
    let mut profile = Profile::default();
    (profile.agent, profile.seq) = ("them/1".into(), 1);
    (profile.protocols, profile.addresses) = (vec![DCUTR], addresses);
    let mut wire = BytesMut::new();
    Card::new(&keypair, &profile).unwrap().write(None, &mut wire);
    let mut reader = Reader::new(&IdentifyConfig::default(), keypair.peer_id(), Time::ZERO);
    reader.end(Time::ZERO, &mut wire, &mut BytesMut::new()).unwrap().unwrap()
}

fn connect(how: u8) -> Heard {
    let addresses = (0..usize::from(how % 4)).map(address).collect();
    let rtt = (how & 64 == 0).then(|| Duration::from_millis(u64::from(how)));
    Heard::Connect { addresses, skipped: usize::from(how & 1), dropped: 0, rtt }
}

impl World {
    /// Circuits came from all others, who speak the protocol; we know where others see us.
    pub(super) fn acquaint_circuits(&mut self) {
        self.tell(Input::AddExternal { address: address(8) });
        for n in 1..self.peers.len() {
            self.incoming(relayed(n, self.peers[4]));
            let connection = ConnectionId(self.next);
            let Some(link) = self.links.get_mut(&connection) else { continue };
            link.peer = Some(self.peers[n]);
            let (role, security, muxer) = (Role::Responder, "/noise".into(), MuxerKind::Yamux);
            link.outbox.push_back(Report::Established { peer: self.peers[n], role, security, muxer });
            link.outbox.push_back(Report::Identified(said(n)));
            self.exchange(Some(connection));
        }
    }

    /// Somebody does something about a punch.
    pub(super) fn punch(&mut self, connection: Option<ConnectionId>, n: usize, how: u8) {
        if how.is_multiple_of(16) {
            let peer = self.peers[n];
            let command = if how & 16 == 0 { PunchCommand::Punch { peer } } else { PunchCommand::Cancel { peer } };
            // There may be no circuit.
            if self.host.handle(self.now, Input::Punch(command)).is_ok() {
                self.carry_out();
            }
            return;
        }
        let known = connection.and_then(|it| self.links.get(&it)).and_then(|link| link.peer);
        let which = self.peers.iter().position(|peer| Some(*peer) == known);
        let Some(link) = connection.and_then(|it| self.links.get_mut(&it)) else { return };
        if link.over || link.peer.is_none() {
            return;
        }
        match how % 4 {
            0 => {
                let tell = if how & 32 == 0 { Report::Identified } else { Report::Pushed };
                link.outbox.extend(which.map(|n| tell(said(n))));
            }
            1 => {
                let (stream, protocol) = (link.number(), DCUTR);
                link.reported.insert(stream, None);
                link.punches.theirs.insert(stream, false);
                let direction = Direction::Inbound;
                link.outbox.push_back(Report::StreamOpened { stream, direction, protocol, open: None });
            }
            2 => {
                if let Some((ask, stream)) = link.punches.ours.first_key_value().map(|(ask, stream)| (*ask, *stream)) {
                    let fault = how.is_multiple_of(3);
                    let heard = if fault { Err(Box::new(PunchFault::Reset)) } else { Ok(connect(how)) };
                    link.outbox.push_back(Report::Heard { ask: Some(ask), stream, heard });
                    if fault {
                        link.punches.ours.remove(&ask);
                        link.close_stream(stream);
                    }
                }
            }
            _ => {
                let answered = link.punches.theirs.iter().find(|(_, answered)| **answered).map(|(stream, _)| *stream);
                if let Some(stream) = answered {
                    let rtt = Duration::from_millis(u64::from(how));
                    let fault = how.is_multiple_of(5);
                    let heard = if fault { Err(Box::new(PunchFault::Reset)) } else { Ok(Heard::Sync { rtt }) };
                    link.outbox.push_back(Report::Heard { ask: None, stream, heard });
                    link.punches.theirs.remove(&stream);
                    link.close_stream(stream);
                }
            }
        }
    }

    /// Nothing is under way or known any more.
    pub(super) fn assert_no_punches(&self) {
        let counts = self.host.punching().unwrap().counts();
        assert_eq!((counts.connections, counts.attempts, counts.dials, counts.asks), (0, 0, 0, 0), "{counts:?}");
        assert_eq!(counts.queued, 0);
    }
}

impl Link {
    /// An order that is about a punch is taken; any other is given back.
    pub(super) fn take_punch(&mut self, order: Order, how: u8) -> Option<Order> {
        match order {
            Order::Punch { ask, .. } if self.over || how.is_multiple_of(5) => {
                let answer = Err(Box::new(AskFault::Open(OpenFault::ConnectionEnded)));
                self.outbox.push_back(Report::Answered { ask, stream: None, answer });
            }
            Order::Punch { ask, addresses } => {
                assert!(!addresses.is_empty(), "nothing to tell");
                let stream = self.number();
                self.reported.insert(stream, None);
                assert!(self.punches.ours.insert(ask, stream).is_none(), "{ask} was asked twice");
                let (direction, protocol) = (Direction::Outbound, DCUTR);
                self.outbox.push_back(Report::StreamOpened { stream, direction, protocol, open: None });
            }
            Order::Sync { ask } | Order::Unask { ask } if self.punches.ours.contains_key(&ask) => {
                let stream = self.punches.ours.remove(&ask)?;
                self.close_stream(stream);
            }
            // It crossed the end of its stream.
            Order::Sync { .. } => {}
            Order::Connect { stream, .. } => {
                if let Some(answered) = self.punches.theirs.get_mut(&stream) {
                    assert!(!core::mem::replace(answered, true), "{stream} was answered twice");
                }
            }
            Order::Admit { stream } if self.punches.theirs.contains_key(&stream) => {
                self.reported.remove(&stream);
                self.outbox.push_back(Report::Heard { ask: None, stream, heard: Ok(connect(how & 63)) });
            }
            Order::Admit { stream } if self.punches.ours.values().any(|it| *it == stream) => {
                self.reported.remove(&stream);
            }
            Order::Reset { stream } if self.punches.theirs.remove(&stream).is_some() => self.close_stream(stream),
            Order::Refuse { stream, .. } => {
                self.punches.theirs.remove(&stream);
                if let Some(ask) = self.punches.ours.iter().find(|(_, on)| **on == stream).map(|(ask, _)| *ask) {
                    self.punches.ours.remove(&ask);
                    let answer = Err(Box::new(AskFault::Open(OpenFault::Unsupported)));
                    self.outbox.push_back(Report::Answered { ask, stream: Some(stream), answer });
                }
                return Some(Order::Refuse { stream, reason: connmgr::StreamRefusal::Closing });
            }
            order => return Some(order),
        }
        None
    }

    /// The connection ends.
    pub(super) fn end_punches(&mut self) {
        let answer = || Err(Box::new(AskFault::Open(OpenFault::ConnectionEnded)));
        let asks = core::mem::take(&mut self.punches).ours.into_keys();
        self.outbox.extend(asks.map(|ask| Report::Answered { ask, stream: None, answer: answer() }));
    }
}
