//! The host: it decides, its links carry bytes.
//!
//! ```text
//!                 ConnectionManager   who stays, who goes, whom to dial
//!   Input  --->   Openings            streams that wait for a connection    ---> Action
//!                 Reach               where we listen, what others see of us
//!                 identify            who the others are; our Profile
//! ```
//! It owns no connection, no key and no byte of the application, so the record of its inputs is all that is needed to run it
//! again, and holds nothing secret.

mod commands;
mod connections;
mod identity;
mod misuse;
mod openings;
mod punching;
mod reach;
#[cfg(feature = "record")]
mod record;
mod refusals;
mod relaying;
#[cfg(test)]
mod tests;
mod view;

pub use misuse::Misuse;
pub use view::{ConnectionView, OpeningView};

use crate::{Action, Config, ConnectionId, DialId, Event, Input, PunchCommand, StreamId};
use alloc::collections::{BTreeMap, VecDeque};
use connections::{Connection, Reusing};
use core::fmt;
use identity::Identities;
use openings::Openings;
use punching::Punching;
use reach::Reach;
use refusals::Refusals;
use relaying::Relaying;
use tidewire_connmgr::ConnectionManager;
use tidewire_core::{EventMachine, PeerId, Seed, Time, UnixTime};
use tidewire_multistream::Protocol;

/// Room for actions that is kept when none waits.
const KEPT_ACTIONS: usize = 64;

/// A libp2p node's decisions. An [`EventMachine`]; see the [crate](crate).
pub struct Host {
    local: PeerId,
    config: Config,
    now: Time,
    shut_down: bool,
    manager: ConnectionManager,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Dials whose transport is connected.
    dialed: BTreeMap<DialId, ConnectionId>,
    /// Dials from a port on which we listen.
    reusing: BTreeMap<DialId, Reusing>,
    /// No dial of this number or above was asked for yet.
    next_dial: u64,
    openings: Openings,
    reach: Reach,
    identities: Identities,
    refusals: Refusals,
    relaying: Relaying,
    punching: Punching,
    /// The stream that was reported last, until that is settled.
    reported: Option<(ConnectionId, StreamId, Protocol)>,
    actions: VecDeque<Action>,
    #[cfg(feature = "record")]
    recorder: Option<alloc::boxed::Box<crate::record::Recorder>>,
}

impl Host {
    /// A host for the peer `local`. The seed feeds jitter and the keys of hash tables. `epoch`: what the wall clock says at
    /// [`Time::ZERO`], for the numbers of our peer records, which must grow from one run to the next.
    pub fn new(config: Config, local: PeerId, seed: &Seed, epoch: UnixTime) -> Self {
        let manager = ConnectionManager::new(config.manager.clone(), local, &seed.derive("host manager", 0));
        Host {
            local,
            now: Time::ZERO,
            shut_down: false,
            manager,
            connections: BTreeMap::new(),
            dialed: BTreeMap::new(),
            reusing: BTreeMap::new(),
            next_dial: 0,
            openings: Openings::default(),
            reach: Reach::new(&config.addresses),
            identities: Identities::new(epoch),
            refusals: Refusals::default(),
            relaying: Relaying::new(&config, local, seed, epoch),
            punching: Punching::new(&config, local, seed),
            reported: None,
            actions: VecDeque::new(),
            #[cfg(feature = "record")]
            recorder: None,
            config,
        }
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn tell(&mut self, event: Event) {
        self.actions.push_back(Action::Event(event));
    }

    /// Whether as many actions wait as may: what the manager may have waiting, may wait here.
    fn is_unpolled(&self) -> bool {
        u32::try_from(self.actions.len()).unwrap_or(u32::MAX) >= self.config.manager.max_unpolled.max(1)
    }

    /// What was said to the manager is right: each id was checked before, or comes from the manager itself. What crossed on
    /// the way is of no matter.
    fn manage(&mut self, input: tidewire_connmgr::Input<'_>) {
        let _ = self.manager.handle(self.now, input);
    }

    /// Carries out what the parts want now.
    fn settle(&mut self) {
        self.drain_manager();
        self.drain_reach();
        // A relay's wish may be a dial, whose failure may be another wish; each is answered once.
        loop {
            self.drain_manager();
            if !self.drain_relaying() && !self.drain_punching() {
                break;
            }
        }
        self.reported = None;
    }
}

impl EventMachine for Host {
    type Input<'a> = Input;
    type Action = Action;
    type Misuse = Misuse;

    fn handle(&mut self, now: Time, input: Input) -> Result<(), Misuse> {
        if now < self.now {
            return Err(Misuse::TimeWentBack { now, last: self.now });
        }
        if self.is_unpolled() {
            return Err(Misuse::Unpolled(self.config.manager.max_unpolled));
        }
        #[cfg(feature = "record")]
        let waiting = self.actions.len();
        #[cfg(feature = "record")]
        self.record_input(now, &input);
        let before = core::mem::replace(&mut self.now, now);
        let done = self.dispatch(input);
        match done {
            Ok(()) => self.settle(),
            Err(_) => self.now = before,
        }
        #[cfg(feature = "record")]
        self.record_outcome(waiting, done.as_ref().err());
        done
    }

    fn on_timeout(&mut self, now: Time) {
        if now < self.deadline() || now < self.now || self.is_unpolled() {
            return;
        }
        #[cfg(feature = "record")]
        let waiting = self.actions.len();
        #[cfg(feature = "record")]
        self.record_timeout(now);
        self.now = now;
        self.punching_uses();
        self.manager.on_timeout(now);
        self.openings_timeout();
        self.refusals_timeout();
        self.relaying_timeout();
        self.punching_timeout();
        self.reach.on_timeout(now);
        self.settle();
        #[cfg(feature = "record")]
        self.record_outcome(waiting, None);
    }

    fn poll(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        // A shutdown says as much as there are connections; that isn't kept for the next one.
        if self.actions.is_empty() && self.actions.capacity() > KEPT_ACTIONS {
            self.actions.shrink_to(KEPT_ACTIONS);
        }
        action
    }

    fn deadline(&self) -> Time {
        let reach = self.reach.deadline().min(self.refusals.deadline()).min(self.relaying.deadline());
        let reach = reach.min(self.punching.deadline());
        self.manager.deadline().min(self.openings.deadline()).min(reach)
    }

    fn memory_used(&self) -> usize {
        #[cfg(feature = "record")]
        let recorder = self.recorder.as_ref().map_or(0, |recorder| size_of_val(&**recorder) + recorder.memory_used());
        #[cfg(not(feature = "record"))]
        let recorder = 0;
        recorder
            + self.manager.memory_used()
            + self.connections.values().map(Connection::memory_used).sum::<usize>()
            + self.dialed.len() * size_of::<(DialId, ConnectionId)>()
            + self.reusing.len() * (size_of::<(DialId, Reusing)>() + 64)
            + self.openings.memory_used()
            + self.reach.memory_used()
            + self.identities.memory_used()
            + self.relaying.memory_used()
            + self.punching.memory_used()
            + self.refusals.memory_used()
            + self.actions.capacity() * size_of::<Action>()
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("local", &self.local)
            .field("manager", &self.manager)
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}

impl Host {
    fn dispatch(&mut self, input: Input) -> Result<(), Misuse> {
        match input {
            Input::Listening { listener, address } => {
                self.listening(listener, address)?;
                self.refresh_own();
                Ok(())
            }
            Input::NotListening { listener, address } => self.not_listening(listener, address),
            Input::ListenerClosed { listener, why } => self.listener_closed(listener, why),
            Input::NetworkChanged => {
                self.relaying_network_changed();
                self.punching_network_changed();
                self.manage(tidewire_connmgr::Input::NetworkChanged);
                Ok(())
            }
            Input::Incoming { connection, local, remote, over, asn } => {
                self.incoming(connection, local, remote)?;
                self.arrived(connection, over, asn);
                Ok(())
            }
            Input::Dialed { dial, connection, local, remote } => self.dialed(dial, connection, local, remote),
            Input::DialFailed { dial, fault } => self.dial_failed(dial, fault),
            Input::Report { connection, report } => {
                self.report(connection, report);
                Ok(())
            }
            Input::Listen { listener, address } => self.listen(listener, address),
            Input::Unlisten { listener } => self.unlisten(listener),
            Input::Connect { request, peer, addresses, options } => self.connect(request, peer, &addresses, options),
            Input::CancelConnect { request } => self.cancel_connect(request),
            Input::Open { open, peer, protocols, options } => self.open(open, peer, protocols, options),
            Input::CancelOpen { open } => self.cancel_open(open),
            Input::Protocols(names) => {
                self.reach.set_protocols(self.now, names);
                Ok(())
            }
            Input::AddExternal { address } => {
                self.add_external(&address)?;
                self.refresh_own();
                Ok(())
            }
            Input::RemoveExternal { address } => {
                self.remove_external(&address);
                Ok(())
            }
            Input::PortMapping(mapping) => self.port_mapping(mapping),
            Input::NatStatus(status) => {
                self.set_nat_status(status);
                Ok(())
            }
            Input::Relayed(addresses) => {
                self.reach.set_relayed_said(self.now, addresses);
                Ok(())
            }
            Input::Manage(command) => self.command(&command),
            Input::Spliced { circuit, end, forward, backward } => {
                self.spliced(circuit, end, forward, backward);
                Ok(())
            }
            Input::Relay(command) => self.relay_command(&command),
            Input::Punch(PunchCommand::Punch { peer }) => self.punch_command(peer, true),
            Input::Punch(PunchCommand::Cancel { peer }) => self.punch_command(peer, false),
            Input::WallClock(unix) => {
                self.wall_clock(unix);
                Ok(())
            }
            Input::Shutdown => {
                self.shutdown();
                Ok(())
            }
        }
    }
}
