//! We are a relay.

use super::{Holder, Part, connection_of, stream_of};
use crate::link::AskFault;
use crate::machine::refusals::Refused;
use crate::machine::{Host, Misuse};
use crate::{Action, Event, RelayCommand, Splice};
use alloc::boxed::Box;
use alloc::string::ToString;
use smol_str::ToSmolStr;
use tidewire_connmgr as connmgr;
use tidewire_core::{EventMachine, Multiaddr, UnixTime};
use tidewire_relay::autorelay;
use tidewire_relay::client;
use tidewire_relay::exchange::{Answer, Ask, Service};
use tidewire_relay::server::{self, CircuitEnd, Input, Server, StopAnswer};
use tidewire_relay::{AskId, CircuitId, StreamKey};

/// Why the connection manager keeps a peer that has a reservation.
const KEPT: &str = "has a relay reservation";

impl Host {
    /// The relay server, if we are one: its reservations, its circuits.
    pub fn relay_server(&self) -> Option<&Server> {
        self.relaying.server.as_deref()
    }

    /// News that crossed on the way are of no matter to it. Whether it took it in.
    pub(super) fn tell_server(&mut self, input: Input<'_>) -> bool {
        let now = self.now;
        self.relaying.server.as_mut().is_some_and(|server| server.handle(now, input).is_ok())
    }

    pub(super) fn on_server(&mut self, action: server::Action) {
        match action {
            server::Action::Reply { stream, reply } => self.reply_to(stream, reply),
            server::Action::OpenStop { ask, connection, source, limit } => {
                self.ask(Part::Server, ask, connection_of(connection), Ask::Stop { source, limit });
            }
            server::Action::CancelAsk { ask } => self.unask(Part::Server, ask),
            server::Action::Splice { circuit, source, destination, limit } => {
                let (source, destination) = (stream_of(source), stream_of(destination));
                self.act(Action::Splice(Splice { circuit, source, destination, limit }));
            }
            server::Action::CloseCircuit { circuit, why } => self.act(Action::Unsplice { circuit, why }),
            server::Action::Keep { peer } => self.manage(connmgr::Input::Protect { peer, reason: KEPT }),
            server::Action::Release { peer } => self.manage(connmgr::Input::Unprotect { peer, reason: KEPT }),
            server::Action::Serve(on) => {
                self.serve(Service::Hop, on);
                self.tell_auto(autorelay::Input::Serving(on));
            }
            server::Action::AskAcl { stream, peer, asked } => {
                self.tell(Event::RelayAsks { stream, peer, asked });
            }
            server::Action::Event(server::Event::Refused { connection, peer, asked, why, .. }) => {
                self.refused(connection_of(connection), Refused::Relay(peer, asked, why));
            }
            server::Action::Event(event) => self.tell(Event::Relay(event)),
            _ => {}
        }
    }

    pub(super) fn stop_answered(
        &mut self,
        ask: AskId,
        stream: Option<StreamKey>,
        answer: Result<Box<Answer>, Box<AskFault>>,
    ) {
        let why;
        let answer = match (answer.map(|answer| *answer), stream) {
            (Ok(Answer::Accepted), Some(stream)) => StopAnswer::Accepted(stream),
            (Ok(Answer::Refused { status }), _) => StopAnswer::Refused(status),
            (Ok(_), _) => StopAnswer::Failed("it is no answer to what was asked"),
            (Err(fault), _) => {
                why = fault.to_string();
                StopAnswer::Failed(&why)
            }
        };
        let taken = self.tell_server(Input::StopAnswered { ask, answer });
        if let (false, StopAnswer::Accepted(stream)) = (taken, answer) {
            self.reset_stream(stream);
        }
    }

    /// What a driver says of a circuit that it pumps.
    pub(in crate::machine) fn spliced(
        &mut self,
        circuit: CircuitId,
        end: Option<CircuitEnd>,
        forward: u64,
        backward: u64,
    ) {
        self.tell_server(match end {
            Some(end) => Input::CircuitEnded { circuit, end, forward, backward },
            None => Input::CircuitProgress { circuit, forward, backward },
        });
    }

    /// The wall clock was set.
    pub(in crate::machine) fn wall_clock(&mut self, unix: UnixTime) {
        self.tell_server(Input::Clock { unix });
        self.tell_client(client::Input::Clock { unix });
    }

    /// The addresses that we announce changed.
    pub(in crate::machine) fn relay_addresses(&mut self, addresses: &[Multiaddr]) {
        self.tell_server(Input::Addresses { addresses });
    }

    /// Whether anybody can reach us changed.
    pub(in crate::machine) fn relay_reachable(&mut self, public: bool) {
        self.tell_server(Input::Reachable { public });
    }

    /// What the application says to the relay.
    pub(in crate::machine) fn relay_command(&mut self, command: &RelayCommand) -> Result<(), Misuse> {
        let now = self.now;
        match command {
            RelayCommand::Reserve { relay, addresses } => return self.hold(*relay, addresses, Holder::Application),
            RelayCommand::Release { relay } => return self.unhold(*relay, Holder::Application),
            RelayCommand::Accept { stream, allow } => {
                let input = client::Input::Decide { stream: *stream, allow: *allow };
                let done = self.relaying.client.handle(now, input);
                return done.map_err(|misuse| Misuse::Relay(misuse.to_smolstr()));
            }
            RelayCommand::Candidates(candidates) => {
                return self.auto_command(autorelay::Input::Candidates(candidates));
            }
            RelayCommand::Advertised { ttl } => {
                return self.auto_command(autorelay::Input::Advertised { ttl: *ttl });
            }
            RelayCommand::AdvertiseFailed => return self.auto_command(autorelay::Input::AdvertiseFailed),
            _ => {}
        }
        let server = self.relaying.server.as_mut().ok_or(Misuse::NoRelay)?;
        let input = match command {
            RelayCommand::Decide { stream, allow } => Input::Decide { stream: *stream, allow: *allow },
            RelayCommand::Acl(acl) => Input::Acl { acl },
            RelayCommand::Drain { grace } => Input::Drain { grace: *grace },
            _ => return Ok(()),
        };
        server.handle(now, input).map_err(|misuse| Misuse::Relay(misuse.to_smolstr()))
    }
}
