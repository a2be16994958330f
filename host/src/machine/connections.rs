//! Transports, links and the connection manager: who is told what of a connection.
//!
//! ```text
//!   Incoming --> manager: Accept --> link --+
//!   manager: Dial --> Dialed -------> link --+--> Established --> manager --> Connected, ConnectionOpened, ..
//!                                            |
//!   Ended  <---------------------------------+    manager: Close --> Order::Close
//! ```

use super::refusals::Refused;
use super::{Host, Misuse};
use crate::identify::IDENTIFY;
use crate::ids::{is_probe, is_punch};
use crate::link::{Fault, OpenFault, Order, Report};
use crate::{Action, By, ConnectionId, DialId, Direction, Event, LocalEnd, StreamId};
use smol_str::{SmolStr, ToSmolStr};
use tidewire_connmgr as connmgr;
use tidewire_connmgr::dial::{DialFault, DialMisuse};
use tidewire_connmgr::{Origin, RefuseReason, StreamRefusal};
use tidewire_core::{EventMachine, Multiaddr, PeerId, Role, Time};
use tidewire_upgrade::muxer::MuxerKind;

/// What the host knows of a connection beside what its manager does.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    /// The dial whose transport it is.
    pub(super) dial: Option<DialId>,
    pub(super) local: Multiaddr,
    pub(super) remote: Multiaddr,
    /// The autonomous system that it is from, if that is known.
    pub(super) asn: Option<u32>,
    /// Who is at the other end, once that is proven.
    pub(super) peer: Option<PeerId>,
    pub(super) direction: Direction,
    /// When its transport was there.
    pub(super) since: Time,
    /// What came of the upgrade.
    pub(super) upgraded: Option<Upgraded>,
    /// The number of the profile that its link had when it was let in, or that was pushed on it.
    pub(super) told: u64,
}

/// What was agreed on.
#[derive(Clone, Debug)]
pub(super) struct Upgraded {
    pub(super) role: Role,
    pub(super) security: SmolStr,
    pub(super) muxer: MuxerKind,
}

impl Connection {
    fn new(now: Time, dial: Option<DialId>, local: Multiaddr, remote: Multiaddr) -> Self {
        let direction = if dial.is_some() { Direction::Outbound } else { Direction::Inbound };
        Connection { dial, local, remote, peer: None, direction, since: now, upgraded: None, told: 0, asn: None }
    }

    pub(super) fn memory_used(&self) -> usize {
        size_of::<(ConnectionId, Connection)>() + self.local.memory_used() + self.remote.memory_used()
    }
}

/// A dial from a port on which we listen: what is needed to dial once more from another one.
#[derive(Clone, Debug)]
pub(super) struct Reusing {
    peer: PeerId,
    address: Multiaddr,
    until: Time,
}

impl Host {
    pub(super) fn incoming(
        &mut self,
        connection: ConnectionId,
        local: Multiaddr,
        remote: Multiaddr,
    ) -> Result<(), Misuse> {
        if self.connections.contains_key(&connection) || self.relaying.probes(connection) {
            return Err(Misuse::ConnectionExists(connection));
        }
        self.manager.handle(self.now, connmgr::Input::Incoming { connection, remote: &remote })?;
        self.connections.insert(connection, Connection::new(self.now, None, local, remote));
        Ok(())
    }

    pub(super) fn dialed(
        &mut self,
        dial: DialId,
        connection: ConnectionId,
        local: Multiaddr,
        remote: Multiaddr,
    ) -> Result<(), Misuse> {
        if self.connections.contains_key(&connection) || self.relaying.probes(connection) {
            return Err(Misuse::ConnectionExists(connection));
        }
        if is_probe(dial) {
            return self.probe_dialed(dial, connection);
        }
        if is_punch(dial) {
            if self.punch_dialed(dial, connection)? {
                self.connections.insert(connection, Connection::new(self.now, Some(dial), local, remote));
            } else {
                self.act(Action::Refuse { connection, reason: RefuseReason::DialOver });
            }
            return Ok(());
        }
        if self.dialed.contains_key(&dial) || dial.0 >= self.next_dial {
            return Err(Misuse::UnknownDial(dial));
        }
        match self.manager.handle(self.now, connmgr::Input::DialProgress { dial }) {
            // Said before: it is dialed from another port.
            Ok(()) | Err(connmgr::Misuse::Dial(DialMisuse::AlreadyConnected(_))) => {}
            Err(_) => {
                // It was aborted meanwhile.
                self.act(Action::Refuse { connection, reason: RefuseReason::DialOver });
                return Ok(());
            }
        }
        self.dialed.insert(dial, connection);
        self.connections.insert(connection, Connection::new(self.now, Some(dial), local, remote));
        self.carried_dial(connection, dial);
        Ok(())
    }

    pub(super) fn dial_failed(&mut self, dial: DialId, fault: DialFault) -> Result<(), Misuse> {
        if is_probe(dial) {
            return self.probe_failed(dial);
        }
        if is_punch(dial) {
            return self.punch_failed(dial, &fault);
        }
        if self.dialed.contains_key(&dial) || dial.0 >= self.next_dial {
            return Err(Misuse::UnknownDial(dial));
        }
        self.reusing.remove(&dial);
        // If it was aborted meanwhile, that is of no matter.
        self.manage(connmgr::Input::DialFailed { dial, fault });
        Ok(())
    }

    pub(super) fn report(&mut self, connection: ConnectionId, report: Report) {
        let Some(entry) = self.connections.get(&connection) else {
            return self.of_a_probe(connection, report);
        };
        let peer = entry.peer;
        match (report, peer) {
            (Report::Established { peer, role, security, muxer }, None) => {
                let (dial, remote) = (entry.dial, entry.remote.clone());
                let origin = match dial {
                    // The manager hears of it now.
                    Some(dial) if is_punch(dial) => Origin::Other { direction: Direction::Outbound, remote: &remote },
                    Some(dial) => Origin::Dial(dial),
                    None => Origin::Incoming,
                };
                if let Some(dial) = dial {
                    self.dialed.remove(&dial);
                    self.reusing.remove(&dial);
                }
                if let Some(entry) = self.connections.get_mut(&connection) {
                    entry.peer = Some(peer);
                    entry.dial = None;
                    entry.upgraded = Some(Upgraded { role, security, muxer });
                }
                let limited = remote.is_relayed() && self.is_limited(connection);
                self.manage(connmgr::Input::Established { connection, peer, origin, role, limited });
            }
            (Report::Ended { by, fault, why }, _) if self.awaits_reason(connection, by, fault, &why) => {}
            (Report::Ended { by, fault, why }, _) => self.ended(connection, by, fault, &why),
            (report, Some(peer)) => self.report_of(connection, peer, report),
            (_, None) => {}
        }
    }

    /// What the link of a connection reports that the manager doesn't know.
    fn of_a_probe(&mut self, connection: ConnectionId, report: Report) {
        if !self.relaying.probes(connection) {
            return;
        }
        match report {
            Report::Answered { ask, stream, answer } => self.answered(connection, ask, stream, answer),
            report => self.probe_report(connection, &report),
        }
    }

    /// What the link of an established connection reports.
    fn report_of(&mut self, connection: ConnectionId, peer: PeerId, report: Report) {
        match report {
            Report::StreamOpened { stream, direction, protocol, open } => {
                if let Some(open) = open {
                    self.openings.opened(open, connection, stream);
                }
                let inbound = direction == Direction::Inbound;
                if inbound && protocol == IDENTIFY {
                    self.asked_who(connection);
                }
                let name = Some(protocol.as_str());
                self.manage(connmgr::Input::StreamOpened { connection, stream, direction, protocol: name });
                self.reported = inbound.then_some((connection, stream, protocol));
            }
            Report::StreamClosed { stream } => {
                self.openings.closed(connection, stream);
                self.manage(connmgr::Input::StreamClosed { connection, stream });
                self.relaying_stream_closed(connection, stream);
                self.punch_stream_closed(connection, stream);
            }
            Report::Asked { stream, request } => self.asked(connection, stream, *request),
            Report::Answered { ask, stream, answer } => self.answered(connection, ask, stream, answer),
            Report::Heard { ask, stream, heard } => self.punch_heard(connection, ask, stream, heard),
            Report::CircuitEnded { stream, sent, received, ending } => {
                self.circuit_ended(connection, stream, (sent, received), ending);
            }
            Report::OpenFailed { open, why } => self.open_failed(open, connection, why),
            Report::Identified(identity) => self.identified(connection, peer, identity, false),
            Report::Pushed(identity) => self.identified(connection, peer, identity, true),
            Report::IdentifyFailed { why } => self.tell(Event::IdentifyFailed { connection, peer, why }),
            Report::Pong { rtt } => {
                self.manage(connmgr::Input::Pong { connection, rtt });
                self.auto_rtt(peer, rtt);
                self.punching_rtt(connection, rtt);
            }
            Report::PingUnsupported => self.manage(connmgr::Input::PingUnsupported { connection }),
            Report::Used => self.manage(connmgr::Input::Used { connection }),
            Report::Holds { bytes } => self.manage(connmgr::Input::Holds { connection, bytes }),
            Report::Established { .. } | Report::Ended { .. } => {}
        }
    }

    /// A link is over.
    pub(super) fn ended(&mut self, connection: ConnectionId, by: By, fault: Fault, why: &str) {
        let of_circuit = self.reason_of_circuit(connection).filter(|_| may_be_its_circuit(fault));
        let (by, fault, why) = match &of_circuit {
            Some(words) => (By::Network, Fault::Transport, words.as_str()),
            None => (by, fault, why),
        };
        let Some(entry) = self.forget(connection, why) else { return };
        match (entry.dial, entry.peer) {
            (Some(dial), None) if is_punch(dial) => {}
            (Some(dial), None) => {
                let reusing = self.reusing.remove(&dial);
                if let (Fault::Crossed, Some(Reusing { peer, address, until })) = (fault, reusing) {
                    let timeout = until.since(self.now);
                    return self.act(Action::Dial { dial, peer, address, from: None, timeout });
                }
                let fault = match fault {
                    Fault::WrongPeer(peer) => DialFault::WrongPeer(peer),
                    Fault::Transport => DialFault::Transport(why.into()),
                    _ => DialFault::Upgrade(why.into()),
                };
                self.manage(connmgr::Input::DialFailed { dial, fault });
            }
            _ => self.manage(connmgr::Input::Closed { connection, by, why }),
        }
    }

    /// A connection is no more, and whatever hung on it.
    pub(super) fn forget(&mut self, connection: ConnectionId, why: &str) -> Option<Connection> {
        let entry = self.connections.remove(&connection)?;
        if let Some(dial) = entry.dial {
            self.dialed.remove(&dial);
        }
        self.reach.closed(self.now, connection);
        self.relaying_closed(connection);
        self.punching_closed(connection, why);
        self.forget_refusals(connection);
        for open in self.openings.of_connection(connection) {
            self.open_failed(open, connection, OpenFault::ConnectionEnded);
        }
        self.openings.ended(connection);
        Some(entry)
    }

    pub(super) fn drain_manager(&mut self) {
        while let Some(action) = self.manager.poll() {
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: connmgr::Action) {
        match action {
            connmgr::Action::Accept { connection } => {
                self.act(Action::Accept { connection });
                self.punching_arrives(connection);
            }
            connmgr::Action::Refuse { connection, reason } => {
                let entry = self.forget(connection, &reason.to_smolstr());
                self.act(Action::Refuse { connection, reason: reason.clone() });
                if let Some(Connection { direction: Direction::Inbound, remote, peer, .. }) = entry {
                    self.refused_connection((connection, remote, peer, reason));
                }
            }
            connmgr::Action::RefuseStream { connection, stream, reason } => {
                self.opening_refused(connection, stream, &reason);
                self.on_refused_stream(connection, stream, &reason);
                self.act(Action::Order { connection, order: Order::Refuse { stream, reason } });
            }
            connmgr::Action::Close { connection, reason } => {
                if let Some(reason) = self.goodbyes_first(connection, reason) {
                    self.act(Action::Order { connection, order: Order::Close { reason } });
                }
            }
            connmgr::Action::Ping { connection, .. } => self.act(Action::Order { connection, order: Order::Ping }),
            connmgr::Action::Dial { dial, peer, address, timeout } => {
                self.next_dial = self.next_dial.max(dial.0.saturating_add(1));
                if address.is_relayed() {
                    return self.dial_circuit(dial, peer, &address);
                }
                let from = if self.config.reuse_port { self.reach.dial_from(&address) } else { None };
                let from = from.map(|address| LocalEnd { address, exact: false });
                if from.is_some() {
                    let until = self.now + timeout;
                    self.reusing.insert(dial, Reusing { peer, address: address.clone(), until });
                }
                self.act(Action::Dial { dial, peer, address, from, timeout });
            }
            connmgr::Action::Abort { dial } => {
                self.reusing.remove(&dial);
                match self.dialed.remove(&dial) {
                    None if self.abort_circuit(dial) => {}
                    None => self.act(Action::Abort { dial }),
                    Some(connection) => {
                        self.forget(connection, "the dial is over");
                        self.act(Action::Refuse { connection, reason: RefuseReason::DialOver });
                    }
                }
            }
            // New streams ask the manager for the best connection, which is no longer this one.
            connmgr::Action::Drain { onto, .. } => self.punching_proven(onto),
            connmgr::Action::Event(event) => self.on_event(event),
            _ => {}
        }
    }

    fn on_event(&mut self, event: connmgr::Event) {
        match &event {
            connmgr::Event::StreamOpened { connection, stream, .. } => return self.admit(*connection, *stream),
            connmgr::Event::StreamClosed { .. } => return,
            connmgr::Event::ConnectionOpened { connection, peer, .. } => {
                let (connection, peer) = (*connection, *peer);
                self.tell(Event::Manager(event));
                self.tell_upgraded(connection, peer);
                return self.opened(connection, peer);
            }
            connmgr::Event::Disconnected { peer } => {
                let peer = *peer;
                self.forget_identity(&peer);
                self.tell(Event::Manager(event));
                return self.fail_undialed(peer);
            }
            connmgr::Event::Dialed { request, .. }
                if self.relay_connected(*request) || self.opening_dialed(*request) =>
            {
                return;
            }
            connmgr::Event::DialFailed { request, report, .. }
                if self.relay_unreachable(*request, report) || self.opening_dial_failed(*request, report) =>
            {
                return;
            }
            _ => {}
        }
        self.tell(Event::Manager(event));
    }

    /// A stream is within the limits.
    fn admit(&mut self, connection: ConnectionId, stream: StreamId) {
        if let Some((on, it, protocol)) = &self.reported
            && (*on, *it) == (connection, stream)
        {
            let protocol = protocol.clone();
            if self.nat_opened(connection, stream, &protocol) {
                return;
            }
        }
        self.opening_admitted(connection, stream);
        self.act(Action::Order { connection, order: Order::Admit { stream } });
    }

    /// The remote's stream was not let in.
    fn on_refused_stream(&mut self, connection: ConnectionId, stream: StreamId, reason: &StreamRefusal) {
        let Some(entry) = self.connections.get_mut(&connection) else { return };
        if let Some(peer) = entry.peer
            && let Some((_, _, protocol)) = self.reported.take_if(|(on, it, _)| (*on, *it) == (connection, stream))
        {
            if protocol == IDENTIFY {
                // It was not told after all.
                entry.told = 0;
            }
            self.refused(connection, Refused::Stream((peer, protocol, reason.clone())));
        }
    }

    fn tell_upgraded(&mut self, connection: ConnectionId, peer: PeerId) {
        let Some(entry) = self.connections.get(&connection) else { return };
        if let Some(Upgraded { role, security, muxer }) = entry.upgraded.clone() {
            let took = self.now.since(entry.since);
            self.tell(Event::Upgraded { connection, peer, role, security, muxer, took });
        }
    }

    /// A connection is established, and was let in.
    fn opened(&mut self, connection: ConnectionId, peer: PeerId) {
        let told = self.profile().map_or(0, |profile| profile.seq);
        if let Some(entry) = self.connections.get_mut(&connection) {
            entry.told = told;
        }
        self.introduce(connection, &peer);
        if self.config.identify {
            self.act(Action::Order { connection, order: Order::Identify });
        }
        self.serve_openings(peer);
        self.relaying_connected(connection, peer);
        self.punching_connected(connection, peer);
    }
}

/// Whether a connection that is made of a circuit may have ended so because its circuit did: that was cut, in the middle of a
/// record, or of the upgrade.
pub(super) fn may_be_its_circuit(fault: Fault) -> bool {
    matches!(fault, Fault::Transport | Fault::Upgrade | Fault::Protocol)
}
