//! One connection where its bytes are: its upgrade, its streams, and the protocols inside it.
//!
//! ```text
//!            Order                                   LinkEvent
//!  host  ------------>  .---------- Link ---------.  -- Report -------> host
//!                       | Upgrade -> Connection   |
//!  rx    ------------>  |   identify, push, ping  |  -- StreamEvent --> application
//!  tx    <------------  |   application's streams |
//!                       '-------------------------'
//!           write, read, finish, reset: the application
//! ```
//! A link decides nothing that concerns others: it reports, and does what it is told. So it can live in a task of its own,
//! and the cryptography of many connections uses every core. A stream is reported before the application has it, and the
//! host's [`Order::Admit`] hands it out; so the application never sees a stream of a peer that it does not know of.

mod asks;
mod code;
mod config;
mod events;
mod exchanges;
mod few;
mod inside;
mod message;
mod orders;
mod punches;
mod service;
mod streams;
#[cfg(test)]
mod tests;

pub(crate) use config::cut;
pub use config::{LinkConfig, LinkError, LinkShared, OWN_ROUTES, Routes};
pub use message::{AskFault, Fault, LinkEvent, OpenFault, Order, Report, StreamEvent};
pub use service::Service;

use crate::identify::Card;
use crate::ids::is_probe;
use crate::{By, ConnectionId, DialId, OpenId};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use bytes::BytesMut;
use core::convert::Infallible;
use core::time::Duration;
use exchanges::Exchanges;
use inside::Inside;
use smol_str::SmolStr;
use streams::Streams;
use tidewire_core::{Machine, Multiaddr, PeerId, Seed, Time};
use tidewire_multistream::Protocols;
use tidewire_upgrade::connection::{Connection, Selection};
use tidewire_upgrade::pipeline::{Plan, Upgrade};

/// Room for events that is kept when none waits.
const KEPT_EVENTS: usize = 4;
/// [`Report::Used`] is said once in this time.
const USED: Duration = Duration::from_secs(1);

/// One connection, from the moment when its transport is there. A [`Machine`] that never fails: its end is the last
/// [`Report`].
#[derive(Debug)]
pub struct Link {
    shared: LinkShared,
    routes: Routes,
    card: Arc<Card>,
    /// It is only to find out whether somebody can be reached: as another peer than we are.
    probe: bool,
    remote: Multiaddr,
    seed: Seed,
    pings: u64,
    state: State,
    /// The latest moment that was ever said.
    now: Time,
    /// The last report was made. What streams received before stays readable.
    over: bool,
    events: VecDeque<LinkEvent>,
}

#[derive(Debug)]
enum State {
    Upgrading(Box<Upgrade>),
    Open(Box<Open>),
    /// The upgrade came to nothing.
    Failed,
}

/// What an upgraded link has.
#[derive(Debug)]
struct Open {
    connection: Connection,
    inside: Inside,
    exchanges: Exchanges,
    streams: Streams,
    /// Streams that the multiplexer can't open yet.
    waiting: VecDeque<Waiting>,
    /// Something ended since the first of them was told to wait.
    retry: bool,
    /// The multiplexer pings for us.
    pinging: bool,
    /// The remote doesn't speak ping.
    no_ping: bool,
    /// What the host knows of our memory.
    held: u64,
    /// Application data passed, and when that was told last.
    used: bool,
    told: Option<Time>,
    /// Why we closed it.
    closing: Option<SmolStr>,
}

#[derive(Debug)]
struct Waiting {
    open: OpenId,
    protocols: Protocols,
    selection: Selection,
}

/// What a link is made of beside what all share.
#[derive(Clone, Debug)]
pub struct LinkSetup {
    /// Its number, never used twice with the same [`LinkShared`]: its entropy is drawn from it.
    pub connection: ConnectionId,
    /// The dial that it fulfils, if it does. One that is only to find out whether somebody can be reached is upgraded under a key
    /// of its own, drawn from the node's seed, and neither `routes` nor `card` are shown there.
    pub dial: Option<DialId>,
    /// Who speaks first.
    pub plan: Plan,
    /// Anyone else is refused.
    pub expected: Option<PeerId>,
    /// The remote's end of the transport, as we see it.
    pub remote: Multiaddr,
    /// What is served.
    pub routes: Routes,
    /// What we say of ourselves.
    pub card: Arc<Card>,
}

impl Link {
    /// A link whose transport is connected.
    pub fn new(shared: &LinkShared, setup: LinkSetup) -> Self {
        let LinkSetup { connection, dial, plan, expected, remote, routes, card } = setup;
        let seed = shared.seed(connection.0);
        let probe = dial.is_some_and(is_probe);
        let (upgrader, routes, card) = match shared.prober() {
            prober if probe => (&prober.upgrader, prober.routes.clone(), prober.card.clone()),
            _ => (shared.upgrader(), routes, card),
        };
        let upgrade = Upgrade::new(upgrader, plan, expected, &seed.derive("upgrade", 0));
        Link {
            shared: shared.clone(),
            routes,
            card,
            probe,
            remote,
            seed,
            pings: 0,
            state: State::Upgrading(Box::new(upgrade)),
            now: Time::ZERO,
            over: false,
            events: VecDeque::new(),
        }
    }

    /// What we say of ourselves from here on, but on a probe. [`Order::Push`] says it.
    pub fn set_card(&mut self, card: Arc<Card>) {
        if !self.probe {
            self.card = card;
        }
    }

    /// What is served from here on, but on a probe; streams that are being negotiated keep what was.
    pub fn set_routes(&mut self, routes: Routes) {
        if self.probe {
            return;
        }
        if let State::Open(open) = &mut self.state {
            open.connection.set_config(routes.config());
        }
        self.routes = routes;
    }

    /// Whether the last report was made, but perhaps not polled yet.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the application has a stream: after the end, whether something may be left to read.
    pub fn has_streams(&self) -> bool {
        matches!(&self.state, State::Open(open) if open.streams.any_admitted())
    }

    /// The connection, once it is upgraded.
    pub fn connection(&self) -> Option<&Connection> {
        match &self.state {
            State::Open(open) => Some(&open.connection),
            _ => None,
        }
    }

    /// Does what the host says. What was asked of a link that is over, or of a stream that is gone, is answered where an
    /// answer is promised, and else of no matter.
    ///
    /// A link that is over is still to be given the orders that the host gave before it heard of that: an [`Order::Admit`] among
    /// them hands out what its stream had received.
    pub fn order(&mut self, now: Time, order: Order, tx: &mut BytesMut) {
        self.now = self.now.max(now);
        match order {
            Order::Close { reason } => self.close(&reason, tx),
            Order::Open { open, protocols, selection } => self.open(now, open, protocols, selection, tx),
            Order::Forget { open } => self.forget(open, tx),
            Order::Admit { stream } => self.admit(now, stream, tx),
            Order::Refuse { stream, reason } => self.refuse(stream, reason, tx),
            Order::Identify => self.identify(now, tx),
            Order::Push => self.push(now, tx),
            Order::Ping => self.ping(now, tx),
            Order::Reset { stream } => self.drop_stream(stream, tx),
            Order::Pay { ask } => self.pay(now, ask, tx),
            Order::Ask { ask, what } => self.ask(now, ask, &what, tx),
            Order::Unask { ask } => self.unask(ask, tx),
            Order::Punch { ask, addresses } => self.punch(now, ask, &addresses, tx),
            Order::Sync { ask } => self.sync(now, ask, tx),
            Order::Connect { stream, addresses } => self.connect(now, stream, &addresses, tx),
            Order::Reply { stream, reply } => self.reply(now, stream, &reply, tx),
        }
    }

    /// The transport broke.
    pub fn broken(&mut self, why: &str) {
        if let State::Open(open) = &mut self.state {
            // Nobody sends it any more; streams end behind what they had received.
            open.connection.close(code::NORMAL, &mut BytesMut::new());
        }
        self.end_link(By::Network, Fault::Transport, cut(why));
    }

    /// Who we are to the remote.
    fn local(&self) -> PeerId {
        if self.probe { self.shared.prober().upgrader.peer() } else { self.shared.peer() }
    }

    /// What is open, as long as it is.
    fn opened(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(open) if !self.over => Some(open),
            _ => None,
        }
    }

    fn report(&mut self, report: Report) {
        self.events.push_back(LinkEvent::Report(report));
    }

    fn tell(&mut self, event: StreamEvent) {
        self.events.push_back(LinkEvent::Stream(event));
    }

    /// Tells the host what is kept for the remote, if that changed by a step. Downwards half of one will do, so that nothing
    /// counts for ever that is gone; and a little to and fro isn't told.
    fn weigh(&mut self) {
        let step = u64::from(self.shared.config().memory_step.max(1));
        let Some(open) = self.opened() else { return };
        let bytes = u64::try_from(open.memory_used()).unwrap_or(u64::MAX);
        let rounded = bytes - bytes % step;
        if rounded <= open.held && (rounded == open.held || bytes.saturating_add(step / 2) >= open.held) {
            return;
        }
        open.held = rounded;
        // Only the latest counts.
        match self.events.back_mut() {
            Some(LinkEvent::Report(Report::Holds { bytes })) => *bytes = rounded,
            _ => self.report(Report::Holds { bytes: rounded }),
        }
    }

    fn run(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut, ended: bool) -> Option<LinkEvent> {
        self.now = self.now.max(now);
        self.let_time_pass(now, tx);
        loop {
            self.retry_waiting(now, tx);
            if !self.events.is_empty() || !self.step(now, rx, tx, ended) {
                break;
            }
        }
        if self.events.is_empty() {
            self.weigh();
        }
        let event = self.events.pop_front();
        if event.is_none() && self.events.capacity() > KEPT_EVENTS {
            self.events = VecDeque::new();
        }
        event
    }
}

impl Machine for Link {
    type Output = LinkEvent;
    type Error = Infallible;

    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<LinkEvent>, Infallible> {
        Ok(self.run(now, rx, tx, false))
    }

    /// The remote closed its side of the transport: [`Report::Ended`] comes last.
    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<LinkEvent>, Infallible> {
        Ok(self.run(now, rx, tx, true))
    }

    fn deadline(&self) -> Time {
        if !self.events.is_empty() {
            return Time::ZERO;
        }
        match &self.state {
            _ if self.over => Time::NEVER,
            State::Upgrading(upgrade) => upgrade.deadline(),
            State::Open(open) => open.deadline(),
            State::Failed => Time::NEVER,
        }
    }

    fn memory_used(&self) -> usize {
        let events = self.events.capacity() * size_of::<LinkEvent>();
        events
            + match &self.state {
                State::Upgrading(upgrade) => size_of::<Upgrade>() + upgrade.memory_used(),
                State::Open(open) => size_of::<Open>() + open.memory_used(),
                State::Failed => 0,
            }
    }
}
