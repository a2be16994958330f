//! Others relay for us: reservations, and circuits through relays.

use super::{Holder, Part, Relaying, connection_of, key, named, stream_of};
use crate::link::{AskFault, OpenFault};
use crate::machine::refusals::Refused;
use crate::machine::{Host, Misuse};
use crate::{Action, Carry, ConnectionId, DialId, Event, ListenerId, RequestId, StreamId};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use smol_str::{SmolStr, ToSmolStr};
use tidewire_connmgr as connmgr;
use tidewire_connmgr::dial::{DialFault, DialOptions, DialReport, Outcome};
use tidewire_core::{Component, EventMachine, Multiaddr, PeerId};
use tidewire_relay::autorelay;
use tidewire_relay::client::{self, Client, Doing, Ending, Input};
use tidewire_relay::exchange::Answer;
use tidewire_relay::{AskId, CircuitDialId, Limit, StreamKey, client as relayed};

/// Why the connection manager keeps a relay that we have a reservation with.
const KEPT: &str = "relays for us";

impl Host {
    /// Our reservations with relays, and the circuits through them.
    pub fn relay_client(&self) -> &Client {
        &self.relaying.client
    }

    /// News that crossed on the way are of no matter to it. Whether it took it in.
    pub(super) fn tell_client(&mut self, input: Input<'_>) -> bool {
        self.relaying.client.handle(self.now, input).is_ok()
    }

    pub(super) fn on_client(&mut self, action: client::Action) {
        if let Some(input) = autorelay::Input::of_client(&action) {
            self.tell_auto(input);
        }
        match action {
            client::Action::Connect { relay, addresses } => {
                // Who holds a reservation paces its own tries, from 1 s to 5 min. The dialer's pauses on top of these would let the
                // first of them fail undialed, and make the next ones rarer.
                let hold = self.relaying.client.explain(self.now, &relay);
                let paced = hold.is_some_and(|hold| hold.doing == Doing::Connecting);
                self.connect_directly(Part::Client, relay, &addresses, paced);
            }
            client::Action::CancelConnect { relay } => {
                if let Some(request) = self.relaying.unrequest(Part::Client, relay) {
                    self.manage(connmgr::Input::Cancel { request });
                }
            }
            client::Action::Ask { ask, connection, what } => {
                self.ask(Part::Client, ask, connection_of(connection), what);
            }
            client::Action::CancelAsk { ask } => self.unask(Part::Client, ask),
            client::Action::Reply { stream, reply } => self.reply_to(stream, reply),
            client::Action::Circuit { dials, over, relay, destination, limit } => {
                self.circuit_out(&dials, over, relay, destination, limit);
            }
            client::Action::CircuitIn { over, relay, source, limit } => self.circuit_in(over, relay, source, limit),
            client::Action::DialFailed { dial, why } => self.circuit_failed(dial, &why),
            client::Action::AskAccept { stream, relay, source, limit } => {
                self.tell(Event::CircuitAsks { stream, relay, source, limit });
            }
            client::Action::Circuits(addresses) => self.circuits_changed(addresses),
            client::Action::Keep { peer } => self.manage(connmgr::Input::Protect { peer, reason: KEPT }),
            client::Action::Release { peer } => self.manage(connmgr::Input::Unprotect { peer, reason: KEPT }),
            client::Action::Event(event) => self.on_client_event(event),
            _ => {}
        }
    }

    fn on_client_event(&mut self, event: client::Event) {
        match event {
            client::Event::CircuitRefused { connection, relay, source, why, .. } => {
                self.refused(connection_of(connection), Refused::Circuit(relay, source, why));
            }
            client::Event::CircuitEnded { over, relay, peer, why, lasted, .. } => {
                let connection = self.relaying.circuits.made_of(over).map(named);
                let event = client::Event::CircuitEnded { over, connection, relay, peer, why, lasted };
                self.tell(Event::RelayClient(event));
                self.circuit_explained(over, why);
            }
            event => self.tell(Event::RelayClient(event)),
        }
    }

    /// Wants a direct connection for one of these parts. `paced`: addresses that failed lately are dialed too.
    pub(super) fn connect_directly(&mut self, part: Part, peer: PeerId, addresses: &[Multiaddr], paced: bool) {
        let request = self.openings.own_request();
        self.relaying.requests.insert(request, (part, peer));
        let mut options = DialOptions::default();
        (options.direct_only, options.forced) = (true, paced);
        self.manage(connmgr::Input::Dial { request, peer, addresses, options });
    }

    /// A wish for a connection was fulfilled. True: it was one of these.
    pub(in crate::machine) fn relay_connected(&mut self, request: RequestId) -> bool {
        self.relaying.requests.remove(&request).is_some()
    }

    /// A wish for a connection failed. True: it was one of these.
    pub(in crate::machine) fn relay_unreachable(&mut self, request: RequestId, report: &DialReport) -> bool {
        let Some((part, peer)) = self.relaying.requests.remove(&request) else { return false };
        match part {
            Part::Auto => self.tell_auto(autorelay::Input::ConnectFailed { peer }),
            _ => drop(self.tell_client(Input::ConnectFailed { relay: peer, why: &reason(report) })),
        }
        true
    }

    /// The manager wants a peer dialed through a relay.
    pub(in crate::machine) fn dial_circuit(&mut self, dial: DialId, peer: PeerId, address: &Multiaddr) {
        let through = address.split_circuit().and_then(|(relay, _)| Some((relay.peer_id()?, relay)));
        let result = match &through {
            Some((relay, at)) => {
                let at = at.without_peer_id();
                let addresses: &[Multiaddr] = if at.is_empty() { &[] } else { core::slice::from_ref(&at) };
                let input = Input::Dial { dial: CircuitDialId(dial.0), relay: *relay, addresses, destination: peer };
                self.relaying.client.handle(self.now, input).map_err(|misuse| misuse.to_smolstr())
            }
            None => Err(SmolStr::new_static("the address does not say through which relay")),
        };
        match result {
            Ok(()) => self.relaying.circuits.dialing(dial, address.clone()),
            Err(why) => self.manage(connmgr::Input::DialFailed { dial, fault: DialFault::Transport(why) }),
        }
    }

    /// The manager doesn't want it any more, and nothing is made of it yet. False: this dial is of no circuit.
    pub(in crate::machine) fn abort_circuit(&mut self, dial: DialId) -> bool {
        if self.relaying.circuits.undial(dial).is_none() {
            return false;
        }
        self.tell_client(Input::CancelDial { dial: CircuitDialId(dial.0) });
        true
    }

    fn circuit_out(
        &mut self,
        dials: &[CircuitDialId],
        over: StreamKey,
        relay: PeerId,
        destination: PeerId,
        limit: Limit,
    ) {
        let mut wanted = dials.iter().filter_map(|dial| {
            let dial = DialId(dial.0);
            Some((dial, self.relaying.circuits.undial(dial)?))
        });
        let first = wanted.next();
        let others: Vec<DialId> = wanted.map(|(dial, _)| dial).collect();
        for dial in others {
            let why = SmolStr::new_static("another dial through the same relay got the circuit");
            self.manage(connmgr::Input::DialFailed { dial, fault: DialFault::Transport(why) });
        }
        let (connection, stream) = stream_of(over);
        let Some((dial, remote)) = first else { return self.reset_stream(over) };
        let local = self.circuit_end(connection, relay, None);
        self.relaying.circuits.insert(over, limit, Some(dial));
        let carry = Carry { over: (connection, stream), dial: Some((dial, destination)), local, remote };
        self.act(Action::Carry(Box::new(carry)));
    }

    fn circuit_in(&mut self, over: StreamKey, relay: PeerId, source: PeerId, limit: Limit) {
        let (connection, stream) = stream_of(over);
        let local = self.circuit_end(connection, relay, None);
        let remote = self.circuit_end(connection, relay, Some(source));
        self.relaying.circuits.insert(over, limit, None);
        self.act(Action::Carry(Box::new(Carry { over: (connection, stream), dial: None, local, remote })));
    }

    /// One end of a circuit: the relay's address, and who is there.
    fn circuit_end(&self, connection: ConnectionId, relay: PeerId, peer: Option<PeerId>) -> Multiaddr {
        let at = self.connections.get(&connection).map(|entry| entry.remote.without_peer_id()).unwrap_or_default();
        let through = at.with_peer_id(relay).and_then(|address| address.with(Component::P2pCircuit));
        let end = through.and_then(|address| peer.map_or(Ok(address.clone()), |peer| address.with_peer_id(peer)));
        // Too long an address is none; its connection goes on without one.
        end.unwrap_or_default()
    }

    fn circuit_failed(&mut self, dial: CircuitDialId, why: &relayed::DialError) {
        let dial = DialId(dial.0);
        if self.relaying.circuits.undial(dial).is_some() {
            let fault = DialFault::Transport(why.to_smolstr());
            self.manage(connmgr::Input::DialFailed { dial, fault });
        }
    }

    pub(super) fn client_answered(
        &mut self,
        ask: AskId,
        stream: Option<StreamKey>,
        answer: &Result<Box<Answer>, Box<AskFault>>,
    ) {
        let text;
        let input = match (answer, stream) {
            (Ok(answer), Some(stream)) => Input::Answered { ask, stream, answer },
            (Ok(_), None) => Input::AskFailed { ask, fault: client::AskFault::Failed("it came on no stream") },
            (Err(fault), _) => {
                let fault = match &**fault {
                    AskFault::Open(OpenFault::Unsupported) => client::AskFault::Unsupported,
                    fault => {
                        text = fault.to_string();
                        client::AskFault::Failed(&text)
                    }
                };
                Input::AskFailed { ask, fault }
            }
        };
        let taken = self.tell_client(input);
        if let (false, Ok(answer), Some(stream)) = (taken, answer, stream)
            && matches!(**answer, Answer::Connected { .. })
        {
            self.reset_stream(stream);
        }
    }

    /// A circuit's stream is over.
    pub(in crate::machine) fn circuit_ended(
        &mut self,
        connection: ConnectionId,
        stream: StreamId,
        (sent, received): (u64, u64),
        ending: Ending,
    ) {
        let over = key(connection, stream);
        // It says why, which takes the circuit away here too.
        self.tell_client(Input::CircuitEnded { over, ending, sent, received });
    }

    /// Our addresses through relays changed.
    fn circuits_changed(&mut self, addresses: Vec<Multiaddr>) {
        // Announced without our id, as listeners' addresses are.
        self.reach.set_relayed_held(self.now, addresses.iter().map(Multiaddr::without_peer_id).collect());
        self.relaying.reached_at = addresses;
        let listeners: Vec<ListenerId> = self.relaying.listens.keys().copied().collect();
        for listener in listeners {
            self.listen_at_relay(listener);
        }
    }

    /// Tells where a listener at a relay listens now.
    fn listen_at_relay(&mut self, listener: ListenerId) {
        let Relaying { listens, reached_at, .. } = &mut self.relaying;
        let Some(listen) = listens.get_mut(&listener) else { return };
        let through = |address: &&Multiaddr| address.relay_peer_id() == Some(listen.relay);
        let now: Vec<Multiaddr> = reached_at.iter().filter(through).cloned().collect();
        let before = core::mem::replace(&mut listen.addresses, now.clone());
        for address in before.iter().filter(|address| !now.contains(address)).cloned() {
            self.tell(Event::NotListening { listener, address });
        }
        for address in now.into_iter().filter(|address| !before.contains(address)) {
            self.tell(Event::Listening { listener, address });
        }
    }

    /// Wants a reservation, for one reason more.
    pub(super) fn hold(&mut self, relay: PeerId, addresses: &[Multiaddr], holder: Holder) -> Result<(), Misuse> {
        if self.shut_down {
            return Err(Misuse::Relay(SmolStr::new_static("we are shutting down: nothing is reserved any more")));
        }
        self.relaying
            .client
            .handle(self.now, Input::Hold { relay, addresses })
            .map_err(|misuse| Misuse::Relay(misuse.to_smolstr()))?;
        self.relaying.holders.insert((relay, holder));
        Ok(())
    }

    /// One reason for a reservation less.
    pub(super) fn unhold(&mut self, relay: PeerId, holder: Holder) -> Result<(), Misuse> {
        if !self.relaying.holders.remove(&(relay, holder)) {
            return Err(Misuse::Relay(alloc::format!("no reservation is wanted at {relay}").into()));
        }
        let range = (relay, Holder::FIRST)..=(relay, Holder::LAST);
        if self.relaying.holders.range(range).next().is_none() {
            self.tell_client(Input::Release { relay });
        }
        Ok(())
    }

    /// Listens at a relay: holds a reservation there.
    pub(in crate::machine) fn listen_circuit(&mut self, listener: ListenerId, address: &Multiaddr) {
        let through = address.split_circuit().and_then(|(relay, _)| Some((relay.peer_id()?, relay.without_peer_id())));
        let why = match through {
            None => SmolStr::new_static("the address does not say at which relay: /.../p2p/ID/p2p-circuit"),
            Some((relay, at)) => {
                let addresses: &[Multiaddr] = if at.is_empty() { &[] } else { core::slice::from_ref(&at) };
                self.relaying.listens.insert(listener, super::Listen { relay, addresses: Vec::new() });
                match self.hold(relay, addresses, Holder::Listener(listener)) {
                    // Others may have the reservation already.
                    Ok(()) => return self.listen_at_relay(listener),
                    Err(misuse) => misuse.to_smolstr(),
                }
            }
        };
        self.relaying.listens.remove(&listener);
        self.tell(Event::ListenerClosed { listener, why });
    }

    /// Whether a listener listens at a relay.
    pub(in crate::machine) fn is_circuit_listener(&self, listener: ListenerId) -> bool {
        self.relaying.listens.contains_key(&listener)
    }

    /// How many listeners listen at relays.
    pub(in crate::machine) fn circuit_listeners(&self) -> usize {
        self.relaying.listens.len()
    }

    /// Listens at a relay no more. False: this listener is none of these.
    pub(in crate::machine) fn unlisten_circuit(&mut self, listener: ListenerId) -> bool {
        let Some(listen) = self.relaying.listens.remove(&listener) else { return false };
        for address in listen.addresses {
            self.tell(Event::NotListening { listener, address });
        }
        // It was wanted for this listener.
        let _ = self.unhold(listen.relay, Holder::Listener(listener));
        self.tell(Event::ListenerClosed { listener, why: SmolStr::new_static("it was asked for") });
        true
    }

    pub(super) fn client_connected(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        dialed: bool,
    ) {
        let (connection, relayed) = (named(connection), remote.is_relayed());
        self.tell_client(Input::Connected { connection, peer, remote, relayed, dialed });
    }
}

/// Why a dial failed, in a line: of the first address that did, if any was dialed.
fn reason(report: &DialReport) -> String {
    let failed = report.addresses.iter().find(|address| matches!(address.outcome, Outcome::Failed(_)));
    failed
        .map_or_else(|| report.why.to_string(), |it| alloc::format!("{}: {}", it.address.without_peer_id(), it.outcome))
}
