//! The relay's client: holds reservations, dials through relays, accepts circuits. An event machine.
//!
//! ```text
//!              holds      a reservation at each relay that the application, or AutoRelay, wants     --> Circuits(addresses)
//!  Input --->  dials      a circuit to a destination, one for all who want it                       --> Circuit
//!              circuits   what relays bring; why a circuit ended                                    --> CircuitIn
//! ```
//! They share the connections ([`Action::Connect`] is said once for all who wait for it) and the questions
//! ([`Action::Ask`]). A connection that goes over a relay itself counts for none of them (circuit-v2.md: reservations and
//! connections "over already relayed connections" are not accepted).
//!
//! ```
//! use tidewire_core::{EventMachine, Keypair, Multiaddr, Seed, Time};
//! use tidewire_relay::client::{Action, Client, ClientConfig, Input};
//! use tidewire_relay::exchange::Ask;
//! use tidewire_relay::ConnectionId;
//!
//! let [us, relay] = [1, 2].map(|seed| Keypair::from_seed(&Seed::new([seed; 32])).peer_id());
//! let (now, address) = (Time::ZERO, "/ip4/192.0.2.1/tcp/4001".parse::<Multiaddr>()?);
//! let mut client = Client::new(ClientConfig::default(), us, &Seed::new([3; 32]));
//!
//! // A reservation is wanted: it asks for a connection first...
//! client.handle(now, Input::Hold { relay, addresses: &[address.clone()] })?;
//! assert_eq!(client.poll(), Some(Action::Connect { relay, addresses: vec![address.clone()] }));
//!
//! // ...and when it is there, for the reservation.
//! let connection = ConnectionId(1);
//! client.handle(now, Input::Connected { connection, peer: relay, remote: &address, relayed: false, dialed: true })?;
//! assert!(matches!(client.poll(), Some(Action::Ask { what: Ask::Reserve, .. })));
//! assert!(client.explain(now, &relay).ok_or("not wanted")?.to_string().ends_with("waits for its answer, 60 s at most"));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! Spec: libp2p/specs relay/circuit-v2.md. The numbers that are not in it, and where they come from: [`ClientConfig`].

mod action;
mod circuits;
pub(crate) mod config;
mod dials;
mod expiry;
mod holds;
mod input;
pub(crate) mod links;
#[cfg(test)]
mod tests;
mod view;

pub use action::{Action, CircuitEnd, DialError, Event, Lost, Refusal, StopRefusal};
pub use config::{AcceptFrom, ClientConfig, VoucherPolicy};
pub use input::{AskFault, Ending, Input, Misuse};
pub use view::{Counts, Doing, HoldView};

use crate::exchange::{Answer, Ask};
use crate::{AskId, ConnectionId, StreamKey};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use circuits::Circuits;
use core::fmt;
use dials::{Dials, JobState};
use holds::{Failure, Hold, State};
use links::Links;
use smol_str::SmolStr;
use tidewire_core::{Draw, EventMachine, Multiaddr, PeerId, Seed, Time, UnixTime, cut};

/// Holds reservations, dials through relays and accepts circuits. An [`EventMachine`]; see the [module](self).
pub struct Client {
    local: PeerId,
    config: ClientConfig,
    jitter: Draw,
    /// The latest moment that was ever said.
    now: Time,
    /// What the wall clock said, and when.
    clock: Option<(UnixTime, Time)>,
    links: Links,
    /// Connections that were asked for, and at which addresses.
    connecting: BTreeMap<PeerId, Vec<Multiaddr>>,
    holds: BTreeMap<PeerId, Hold>,
    dials: Dials,
    circuits: Circuits,
    asks: BTreeMap<AskId, (ConnectionId, Question)>,
    next_ask: u64,
    /// What was said in the last [`Action::Circuits`].
    announced: Vec<Multiaddr>,
    /// The deadline, kept so that asking for it costs nothing.
    wake: Time,
    actions: VecDeque<Action>,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Reserve { relay: PeerId },
    Connect { relay: PeerId, destination: PeerId },
}

/// Room for actions that is kept when none waits.
const KEPT_ACTIONS: usize = 256;
/// Bytes of a caller's words that are kept: an address with a name in it, and what the system says of that name, have more than 128.
const MAX_WHY: usize = 256;

impl Client {
    /// A client of the peer `local`, with nothing to do. The seed feeds the jitter of renewals and new tries.
    pub fn new(config: ClientConfig, local: PeerId, seed: &Seed) -> Self {
        Client {
            local,
            config,
            jitter: Draw::new(seed, "relay client"),
            now: Time::ZERO,
            clock: None,
            links: Links::default(),
            connecting: BTreeMap::new(),
            holds: BTreeMap::new(),
            dials: Dials::default(),
            circuits: Circuits::default(),
            asks: BTreeMap::new(),
            next_ask: 0,
            announced: Vec::new(),
            wake: Time::NEVER,
            actions: VecDeque::new(),
        }
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn tell(&mut self, event: Event) {
        self.act(Action::Event(event));
    }

    fn is_unpolled(&self) -> bool {
        u32::try_from(self.actions.len()).unwrap_or(u32::MAX) >= self.config.max_unpolled.max(1)
    }

    /// The wall clock, if it was ever told.
    fn unix(&self) -> Option<UnixTime> {
        let (told, at) = self.clock?;
        Some(UnixTime::from_secs(told.as_secs().saturating_add(self.now.since(at).as_secs())))
    }

    fn ask(&mut self, connection: ConnectionId, question: Question, what: Ask) -> AskId {
        let ask = AskId(self.next_ask);
        self.next_ask = self.next_ask.wrapping_add(1);
        self.asks.insert(ask, (connection, question));
        self.act(Action::Ask { ask, connection, what });
        ask
    }

    fn cancel_ask(&mut self, ask: AskId) {
        if self.asks.remove(&ask).is_some() {
            self.act(Action::CancelAsk { ask });
        }
    }

    fn is_connecting(&self, relay: PeerId) -> bool {
        self.connecting.contains_key(&relay)
    }

    /// Somebody waits for a connection to this relay.
    fn want_connection(&mut self, relay: PeerId, addresses: Vec<Multiaddr>) {
        if !self.is_connecting(relay) {
            self.connecting.insert(relay, addresses.clone());
            self.act(Action::Connect { relay, addresses });
        }
    }

    /// Somebody doesn't any more. Perhaps others do.
    fn stop_connecting(&mut self, relay: PeerId) {
        if !self.is_awaited(relay) && self.connecting.remove(&relay).is_some() {
            self.act(Action::CancelConnect { relay });
        }
    }

    fn is_awaited(&self, relay: PeerId) -> bool {
        let by_hold = self.holds.get(&relay).is_some_and(|hold| matches!(hold.state, State::Connecting { .. }));
        by_hold || self.dials_waiting(relay).next().is_some()
    }

    /// The addresses of each dial that waits for a connection to this relay.
    fn dials_waiting(&self, relay: PeerId) -> impl Iterator<Item = &[Multiaddr]> {
        let waits = move |(way, job): &(&dials::Way, &dials::Job)| {
            way.0 == relay && matches!(job.state, JobState::Connecting { .. })
        };
        self.dials.jobs.iter().filter(waits).map(|(_, job)| job.addresses.as_slice())
    }

    fn connected(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        dialed: Option<&Multiaddr>,
        relayed: bool,
    ) -> Result<(), Misuse> {
        if self.links.get(connection).is_some() {
            return Err(Misuse::ConnectionExists(connection));
        }
        let cap = self.config.connections;
        if u32::try_from(self.links.len()).is_ok_and(|len| len >= cap) {
            return Err(Misuse::TooManyConnections(cap));
        }
        self.links.add(connection, peer, dialed, relayed);
        if !relayed {
            self.connecting.remove(&peer);
            self.hold_connected(peer, connection);
            self.dials_connected(peer, connection);
        }
        Ok(())
    }

    fn disconnected(&mut self, connection: ConnectionId) -> Result<(), Misuse> {
        let link = self.links.remove(connection).ok_or(Misuse::UnknownConnection(connection))?;
        self.circuits_disconnected(connection);
        if link.relayed {
            return Ok(());
        }
        self.hold_disconnected(link.peer, connection);
        let open = |(_, (on, _)): &(&AskId, &(ConnectionId, Question))| *on == connection;
        let asks: Vec<AskId> = self.asks.iter().filter(open).map(|(ask, _)| *ask).collect();
        for ask in asks {
            match self.asks.remove(&ask) {
                Some((_, Question::Reserve { relay })) => {
                    let why = SmolStr::new_static("the connection ended before the relay answered");
                    self.hold_failed(relay, Failure::Transport(why));
                }
                Some((_, Question::Connect { relay, destination })) => {
                    self.fail_job((relay, destination), &DialError::RelayLost);
                }
                None => {}
            }
        }
        Ok(())
    }

    fn connect_failed(&mut self, relay: PeerId, why: &str) -> Result<(), Misuse> {
        let tried = self.connecting.remove(&relay).ok_or(Misuse::NotConnecting(relay))?;
        // Who came later may know other addresses.
        let of_hold = self.holds.get(&relay).filter(|hold| matches!(hold.state, State::Connecting { .. }));
        let all = of_hold.map(|hold| hold.addresses.as_slice()).into_iter().chain(self.dials_waiting(relay));
        let mut more: Vec<Multiaddr> = all.flatten().filter(|address| !tried.contains(address)).cloned().collect();
        more.sort_unstable();
        more.dedup();
        if !more.is_empty() {
            let addresses = more.clone();
            more.extend(tried);
            self.connecting.insert(relay, more);
            self.act(Action::Connect { relay, addresses });
            return Ok(());
        }
        let why = SmolStr::new(cut(why, MAX_WHY));
        if self.holds.get(&relay).is_some_and(|hold| matches!(hold.state, State::Connecting { .. })) {
            self.hold_failed(relay, Failure::Transport(why.clone()));
        }
        self.dials_unconnected(relay, &DialError::RelayUnreachable(why));
        Ok(())
    }

    fn answered(&mut self, ask: AskId, stream: StreamKey, answer: &Answer) -> Result<(), Misuse> {
        let (connection, question) = *self.asks.get(&ask).ok_or(Misuse::UnknownAsk(ask))?;
        if stream.connection != connection {
            return Err(Misuse::OtherConnection { expected: connection, got: stream });
        }
        match (question, answer) {
            (Question::Reserve { relay }, Answer::Reserved(reservation)) if reservation.relay == relay => {
                self.asks.remove(&ask);
                self.hold_granted(relay, connection, reservation);
            }
            (Question::Connect { relay, destination }, Answer::Connected { limit }) => {
                if self.circuits.contains(stream) {
                    return Err(Misuse::StreamBusy(stream));
                }
                self.asks.remove(&ask);
                let dials = self.take_job((relay, destination));
                self.open_circuit(stream, relay, destination, *limit);
                self.act(Action::Circuit { dials, over: stream, relay, destination, limit: *limit });
            }
            (_, Answer::Refused { status }) => {
                self.asks.remove(&ask);
                match question {
                    Question::Reserve { relay } => {
                        self.hold_failed(relay, Failure::Refused(Refusal::Status(*status)));
                    }
                    Question::Connect { relay, destination } => {
                        self.fail_job((relay, destination), &DialError::Refused(*status));
                    }
                }
            }
            _ => return Err(Misuse::OtherAnswer(ask)),
        }
        Ok(())
    }

    fn ask_failed(&mut self, ask: AskId, fault: AskFault<'_>) -> Result<(), Misuse> {
        let (_, question) = self.asks.remove(&ask).ok_or(Misuse::UnknownAsk(ask))?;
        let words = |why: &str| SmolStr::new(cut(why, MAX_WHY));
        match (question, fault) {
            (Question::Reserve { relay }, AskFault::Unsupported) => {
                self.hold_failed(relay, Failure::Refused(Refusal::Unsupported));
            }
            (Question::Reserve { relay }, AskFault::Failed(why)) => {
                self.hold_failed(relay, Failure::Transport(words(why)));
            }
            (Question::Connect { relay, destination }, fault) => {
                let why = match fault {
                    AskFault::Unsupported => DialError::Unsupported,
                    AskFault::Failed(why) => DialError::NoAnswer(words(why)),
                };
                self.fail_job((relay, destination), &why);
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, input: Input<'_>) -> Result<(), Misuse> {
        match input {
            Input::Connected { connection, peer, remote, relayed, dialed } => {
                self.connected(connection, peer, dialed.then_some(remote), relayed)
            }
            Input::Disconnected { connection } => self.disconnected(connection),
            Input::Hold { relay, addresses } => self.hold(relay, addresses),
            Input::Release { relay } => self.release(relay),
            Input::Dial { dial, relay, addresses, destination } => self.dial(dial, relay, addresses, destination),
            Input::CancelDial { dial } => self.cancel_dial(dial),
            Input::ConnectFailed { relay, why } => self.connect_failed(relay, why),
            Input::Answered { ask, stream, answer } => self.answered(ask, stream, answer),
            Input::AskFailed { ask, fault } => self.ask_failed(ask, fault),
            Input::StopRequested { stream, source, limit } => self.stop_requested(stream, source, limit),
            Input::RequesterGone { stream } => self.requester_gone(stream),
            Input::Decide { stream, allow } => self.decide(stream, allow),
            Input::CircuitEnded { over, ending, sent, received } => self.circuit_ended(over, ending, sent, received),
            Input::Clock { unix } => {
                self.clock = Some((unix, self.now));
                Ok(())
            }
            Input::NetworkChanged => {
                self.holds_network_changed();
                Ok(())
            }
        }
    }

    fn set_wake(&mut self) {
        let holds = self.holds.values().map(Hold::deadline).min().unwrap_or(Time::NEVER);
        self.wake = holds.min(self.dials.deadline()).min(self.circuits.deadline());
    }
}

impl EventMachine for Client {
    type Input<'a> = Input<'a>;
    type Action = Action;
    type Misuse = Misuse;

    fn handle(&mut self, now: Time, input: Input<'_>) -> Result<(), Misuse> {
        if self.is_unpolled() {
            return Err(Misuse::Unpolled(self.config.max_unpolled));
        }
        let before = self.now;
        self.now = now.max(before);
        let done = self.dispatch(input);
        match done {
            Ok(()) => self.set_wake(),
            Err(_) => self.now = before,
        }
        done
    }

    fn on_timeout(&mut self, now: Time) {
        if now < self.wake || self.is_unpolled() {
            return;
        }
        self.now = now.max(self.now);
        self.holds_timeout();
        self.dials_timeout();
        self.circuits_timeout();
        self.set_wake();
    }

    fn poll(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        if self.actions.is_empty() && self.actions.capacity() > KEPT_ACTIONS {
            self.actions.shrink_to(KEPT_ACTIONS);
        }
        action
    }

    fn deadline(&self) -> Time {
        self.wake
    }

    fn memory_used(&self) -> usize {
        self.links.memory_used()
            + self
                .connecting
                .values()
                .map(|list| Multiaddr::list_memory_used(list) + size_of::<(PeerId, Vec<Multiaddr>)>())
                .sum::<usize>()
            + self.holds.values().map(|hold| hold.memory_used() + size_of::<(PeerId, Hold)>()).sum::<usize>()
            + self.dials.memory_used()
            + self.circuits.memory_used()
            + self.asks.len() * size_of::<(AskId, (ConnectionId, Question))>()
            + Multiaddr::list_memory_used(&self.announced)
            + self.actions.capacity() * size_of::<Action>()
    }
}

/// How much there is; many addresses are no use in a log.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("counts", &self.counts()).field("deadline", &self.wake).finish_non_exhaustive()
    }
}

/// Of these, those that need no relay themselves, each once, at most so many.
pub(crate) fn direct_addresses(addresses: &[Multiaddr], max: u32) -> Vec<Multiaddr> {
    let mut kept: Vec<Multiaddr> = Vec::new();
    for address in addresses.iter().filter(|address| !address.is_relayed() && !address.is_empty()) {
        if kept.len() >= usize::try_from(max).unwrap_or(usize::MAX) {
            break;
        }
        if !kept.contains(address) {
            kept.push(address.clone());
        }
    }
    kept
}
