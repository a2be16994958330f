//! The coordinator: decides, over all peers, when to open a stream, when to dial what, in which role, and when to give up.
//! An event machine.
//!
//! ```text
//!   connections, identify, our addresses  --->  side_b   the circuit came to us: Direct, then up to three tries
//!   what the streams said                 --->  side_a   we made the circuit: answer, dial on SYNC
//!   what became of the dials              --->  windows  accepted sockets of the peer listen before they propose
//!                                               datagrams  QUIC at B
//!                                               record     becomes the report
//! ```
//! The tables of both sides stand at the top of their files. They, and the rule of roles below, were explored exhaustively before
//! they were written down, and are explored again, as they run beside the real connection manager, by this crate's tests; in larger
//! worlds by `cargo test --release -p tidewire-dcutr coordinator::model -- --ignored --nocapture --test-threads 1`.
//!
//! # Roles
//!
//! On a simultaneous open both ends dialed, and peers differ in who of them leads. So sockets of a punch listen first: they send
//! the multistream header at once, then wait before they propose, and who hears a proposal is the responder.
//! T1 < T2 < T3, apart by more than the path's delay: 1, 3 and 6 round trips over the relay, which is longer.
//!
//! | socket | role |
//! |---|---|
//! | A's dial after its first `CONNECT` | initiator at once (relay/DCUtR.md, step 5) |
//! | A's dial after a second `CONNECT` | listens T1, then proposes |
//! | accepted from this peer inside the window | listens T2, then proposes |
//! | B's punch dial | listens T3, then proposes |
//! | B's direct dial; an unsolicited dial | initiator |
//! | accepted outside the window | responder |
//!
//! A second `CONNECT` is one that comes after another on circuits that stand, however late. What no rule can help: a remote that
//! takes A's role on its third try, when its first two `CONNECT`s never reached us.
//!
//! The plan of a socket is fixed when it is made. The relayed connection closes by the connection manager's rule alone, when a
//! direct one is proven.
//!
//! # Ports
//!
//! | dial | from |
//! |---|---|
//! | of a punch | the port of the listener behind what we told: the NAT maps it as others saw it |
//! | of a punch over TCP, odd tries, if our NAT seems to give a new port per destination | any: the mapping would be new all the same, and the other's SYN finds the listener undisturbed |
//! | plain | any: an old socket on the pair of ports that the punch will use would spoil it |
//!
//! With the second row there is a connection wherever one of both could be dialed, whatever its NAT maps to; without it, our SYN and
//! the other's meet in one socket, whose answer leaves by the wrong mapping.
//!
//! ```
//! use core::time::Duration;
//! use tidewire_core::{EventMachine, Keypair, Multiaddr, Seed, Time};
//! use tidewire_dcutr::coordinator::{Action, Config, Coordinator, Input};
//! use tidewire_dcutr::{Candidate, ConnectionId, Local, Plan, Source};
//!
//! let [us, peer, relay] = [1, 2, 3].map(|seed| Keypair::from_seed(&Seed::new([seed; 32])).peer_id());
//! let mut b = Coordinator::new(Config::default(), us, &Seed::new([4; 32]));
//! let mut now = Time::ZERO;
//! let mut next = |b: &mut Coordinator| loop {
//!     match b.poll() {
//!         Some(Action::Event(_)) => continue,
//!         action => break action,
//!     }
//! };
//!
//! // Others see us at a public address, behind which one of our sockets listens. A circuit came to us; its peer tells of itself.
//! let (seen, listener) = ("/ip4/11.0.0.2/tcp/4001".parse::<Multiaddr>()?, "/ip4/10.0.0.2/tcp/4001".parse::<Multiaddr>()?);
//! b.handle(now, Input::Own(&[Candidate { address: seen.clone(), source: Source::Observed, local: Some(listener.clone()) }]))?;
//! let circuit = format!("/ip4/11.0.0.9/tcp/4001/p2p/{relay}/p2p-circuit/p2p/{peer}").parse::<Multiaddr>()?;
//! let connection = ConnectionId(1);
//! b.handle(now, Input::Connected { connection, peer, relayed: true, inbound: true, remote: &circuit })?;
//! b.handle(now, Input::Identified { peer, speaks_dcutr: true, listens: &[] })?;
//! let Some(Action::Open { ask, addresses, .. }) = next(&mut b) else { panic!() };
//! assert_eq!(addresses, [seen]);
//!
//! // Its CONNECT took 80 ms: SYNC goes out, and half of that later we dial, from the port that others saw.
//! now = now + Duration::from_millis(80);
//! let theirs = "/ip4/11.0.0.3/tcp/4001".parse::<Multiaddr>()?;
//! b.handle(now, Input::Connects { ask, addresses: &[theirs.clone()], skipped: 0, rtt: Duration::from_millis(80) })?;
//! assert_eq!(next(&mut b), Some(Action::Sync { ask }));
//! assert!(matches!(next(&mut b), Some(Action::Window { .. })));
//! assert_eq!(b.deadline(), now + Duration::from_millis(40));
//! assert_eq!(b.explain(now, &peer).ok_or("nothing")?.to_string(), format!("{peer}: try 1: sent SYNC, dials in 40ms"));
//! now = b.deadline();
//! b.on_timeout(now);
//! let Some(Action::Dial { address, local, plan, .. }) = next(&mut b) else { panic!() };
//! assert_eq!((address, local), (theirs, Local::Reuse(listener)));
//! assert_eq!(plan, Plan::ListenFirst { wait: Duration::from_millis(600) });
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! Specs: libp2p/specs relay/DCUtR.md, connections/hole-punching.md. Every number, and its source: [`Config`].

mod action;
mod config;
mod datagrams;
mod draw;
mod input;
#[cfg(test)]
mod model;
mod peer;
mod record;
mod side_a;
mod side_b;
#[cfg(test)]
mod tests;
mod view;
mod windows;

pub use action::{Action, DATAGRAM, Event, Refusal, Stage};
pub use config::Config;
pub use input::{Input, Misuse};
pub use view::{Counts, View, Waits};

use crate::candidate::Candidate;
use crate::report::{Failure, How};
use crate::{AskId, ConnectionId, DialId, Plan};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use config::length;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use draw::Draw;
use peer::{Identified, Link, Peer, Punch, Shared, State, Turn};
use tidewire_core::{EventMachine, Multiaddr, PeerId, Seed, Time};
use windows::Windows;

/// Decides about hole punches, over all peers. An [`EventMachine`]; see the [module](self).
#[cfg_attr(test, derive(Clone, Hash))]
pub struct Coordinator {
    shared: Shared,
    peers: BTreeMap<PeerId, Peer>,
    /// Peers that have something to punch, or to remember of it.
    punches: u32,
    connections: BTreeMap<ConnectionId, PeerId>,
    /// Who must be looked at, and when.
    timers: BTreeSet<(Time, PeerId)>,
    /// The first of them, kept so that asking for it costs nothing.
    wake: Time,
}

/// Room for actions that is kept when none waits.
const KEPT_ACTIONS: usize = 64;
/// Steps that time alone may make at one moment: with times of nothing, each try takes two.
const MAX_STEPS: u32 = 64;

impl Coordinator {
    /// Nothing to do yet. The seed feeds the datagrams and the pauses between them.
    pub fn new(config: Config, local: PeerId, seed: &Seed) -> Self {
        Coordinator {
            shared: Shared {
                local,
                config,
                now: Time::ZERO,
                draw: Draw::new(seed),
                own: Vec::new(),
                nat: Vec::new(),
                asks: BTreeMap::new(),
                dials: BTreeMap::new(),
                windows: Windows::default(),
                next_ask: 0,
                next_dial: 0,
                active: 0,
                queue: VecDeque::new(),
                stopped: false,
                actions: VecDeque::new(),
            },
            peers: BTreeMap::new(),
            punches: 0,
            connections: BTreeMap::new(),
            timers: BTreeSet::new(),
            wake: Time::NEVER,
        }
    }

    /// The plan of a socket that is accepted from this address: `None` outside all windows, where it responds as any listener does.
    pub fn accepts(&self, ip: IpAddr) -> Option<Plan> {
        let windows = self.shared.windows.of(ip).iter();
        windows.filter_map(|peer| Some(self.peers.get(peer)?.punch.as_ref()?.window.as_ref()?.plan)).max()
    }

    /// Does something with a peer, and what follows from it. `None`: nothing is known of it, or nothing to punch.
    fn turn<T>(&mut self, id: PeerId, does: impl FnOnce(&mut Turn<'_>) -> T) -> Option<T> {
        let peer = self.peers.get_mut(&id)?;
        let punch = peer.punch.as_mut()?;
        let mut turn = Turn { shared: &mut self.shared, links: &mut peer.links, punch, id };
        let done = does(&mut turn);
        for _ in 0..MAX_STEPS {
            if turn.deadline() > turn.shared.now {
                break;
            }
            turn.timeout();
        }
        let (wake, forget) = (turn.deadline(), turn.is_forgettable());
        if forget {
            peer.punch = None;
            self.punches = self.punches.saturating_sub(1);
        }
        self.set_wake(id, if forget { Time::NEVER } else { wake });
        Some(done)
    }

    fn set_wake(&mut self, id: PeerId, wake: Time) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.wake != wake {
            self.timers.remove(&(peer.wake, id));
            if !wake.is_never() {
                self.timers.insert((wake, id));
            }
            peer.wake = wake;
        }
        if peer.links.is_empty() && peer.punch.is_none() {
            self.timers.remove(&(peer.wake, id));
            self.peers.remove(&id);
        }
        self.wake = self.first_timer();
    }

    fn first_timer(&self) -> Time {
        self.timers.first().map_or(Time::NEVER, |(wake, _)| *wake)
    }

    /// With all peers that have something to punch.
    fn each(&mut self, does: impl Fn(&mut Turn<'_>)) {
        let all: Vec<PeerId> = self.peers.iter().filter(|(_, peer)| peer.punch.is_some()).map(|(id, _)| *id).collect();
        for id in all {
            self.turn(id, &does);
        }
    }

    /// Those who waited until there are fewer attempts.
    fn serve_queue(&mut self) {
        while self.shared.active < self.shared.config.max_attempts.max(1) {
            let Some(id) = self.shared.queue.pop_front() else { break };
            self.turn(id, |turn| {
                turn.punch.queued = false;
                turn.maybe_start();
            });
        }
        if self.shared.queue.is_empty() {
            self.shared.queue.shrink_to(KEPT_ACTIONS);
        }
    }

    fn is_unpolled(&self) -> bool {
        self.shared.actions.len() >= length(self.shared.config.max_unpolled.max(1))
    }

    fn add_link(&mut self, peer: PeerId, link: Link) -> Result<(), Misuse> {
        let max = self.shared.config.max_connections;
        if self.connections.contains_key(&link.id) {
            return Err(Misuse::ConnectionExists(link.id));
        }
        if self.connections.len() >= length(max) {
            return Err(Misuse::TooManyConnections(max));
        }
        self.connections.insert(link.id, peer);
        let known = self.peers.entry(peer).or_insert_with(|| Peer { wake: Time::NEVER, ..Peer::default() });
        if link.relayed && known.punch.is_none() && self.punches < self.shared.config.max_peers {
            known.punch = Some(Box::new(Punch::new()));
            self.punches = self.punches.saturating_add(1);
        }
        known.links.push(link);
        Ok(())
    }

    fn connected(&mut self, peer: PeerId, link: Link) -> Result<(), Misuse> {
        let (id, relayed, inbound, ip) = (link.id, link.relayed, link.inbound, link.remote.ip());
        self.add_link(peer, link)?;
        if let Some(ip) = ip.filter(|_| inbound && !relayed) {
            self.arrives(ip, false);
        }
        self.turn(peer, |turn| match (relayed, inbound) {
            (true, true) => {
                (turn.punch.wanted, turn.punch.used) = (true, 0);
                turn.maybe_start();
            }
            (true, false) => {}
            (false, inbound) => {
                let how = if inbound { How::Accepted { number: turn.number() } } else { How::Elsewhere };
                turn.established(id, how);
            }
        });
        Ok(())
    }

    fn disconnected(&mut self, connection: ConnectionId) -> Result<(), Misuse> {
        let peer = self.connections.remove(&connection).ok_or(Misuse::UnknownConnection(connection))?;
        let Some(known) = self.peers.get_mut(&peer) else { return Ok(()) };
        let Some(at) = known.links.iter().position(|link| link.id == connection) else { return Ok(()) };
        let gone = known.links.remove(at);
        if known.punch.is_none() {
            self.set_wake(peer, Time::NEVER);
        }
        self.turn(peer, |turn| {
            let idle = turn.punch.attempt.is_none();
            turn.disconnected(&gone);
            if idle && !gone.relayed && !turn.is_direct() {
                turn.lost();
            }
            turn.gave_in();
            if turn.links.is_empty() {
                (turn.punch.was_a, turn.punch.wanted) = (false, false);
            }
            turn.maybe_start();
        });
        Ok(())
    }

    fn identified(&mut self, peer: PeerId, speaks: bool, listens: &[Multiaddr]) {
        let max = length(self.shared.config.max_listens);
        let direct = listens.iter().filter(|address| !address.is_relayed());
        let listens: Vec<Multiaddr> = direct.take(max).cloned().collect();
        self.turn(peer, |turn| {
            turn.punch.identified = Some(Identified { speaks, listens });
            turn.maybe_start();
        });
    }

    fn own(&mut self, candidates: &[Candidate]) {
        let max = length(self.shared.config.max_own);
        self.shared.own = candidates.iter().take(max).cloned().collect();
        let offer = crate::candidate::offer(&self.shared.own, &self.shared.config.addresses);
        if offer.kept.is_empty() {
            return;
        }
        // Those who failed for want of an address of ours.
        self.each(|turn| {
            if core::mem::take(&mut turn.punch.poor) {
                (turn.punch.wanted, turn.punch.not_before) = (true, turn.shared.now);
                turn.maybe_start();
            }
        });
    }

    fn rtt(&mut self, connection: ConnectionId, rtt: Duration) -> Result<(), Misuse> {
        let peer = self.connections.get(&connection).ok_or(Misuse::UnknownConnection(connection))?;
        let links = self.peers.get_mut(peer).map(|known| known.links.iter_mut()).into_iter().flatten();
        for link in links.filter(|link| link.id == connection) {
            link.rtt = Some(rtt);
        }
        Ok(())
    }

    fn asker(&self, ask: AskId) -> Result<PeerId, Misuse> {
        self.shared.asks.get(&ask).copied().ok_or(Misuse::UnknownAsk(ask))
    }

    fn dialer(&self, dial: DialId) -> Result<PeerId, Misuse> {
        self.shared.dials.get(&dial).copied().ok_or(Misuse::UnknownDial(dial))
    }

    fn asked(&mut self, stream: crate::StreamKey, told: &[Multiaddr], skipped: usize) -> Result<(), Misuse> {
        let Some(peer) = self.connections.get(&stream.connection).copied() else {
            return Err(Misuse::UnknownConnection(stream.connection));
        };
        let known = self.peers.get(&peer).and_then(|known| known.punch.as_ref());
        let current = known.and_then(|punch| punch.attempt.as_ref()).map(|attempt| &attempt.state);
        if matches!(current, Some(State::AwaitSync { stream: current, .. }) if *current == stream) {
            return Err(Misuse::StreamExists(stream));
        }
        if self.turn(peer, |turn| turn.asked(stream, told, skipped)).is_none() {
            // There is no relayed connection, or there are too many peers with one.
            self.shared.act(Action::ResetStream { stream, why: Refusal::NotRelayed });
        }
        Ok(())
    }

    fn arrives(&mut self, ip: IpAddr, comes: bool) {
        for peer in self.shared.windows.of(ip).to_vec() {
            self.turn(peer, |turn| turn.arrives(comes));
        }
    }

    fn punch(&mut self, peer: PeerId) -> Result<(), Misuse> {
        let known = self.peers.get(&peer).filter(|known| known.links.iter().any(|link| link.relayed));
        known.and_then(|known| known.punch.as_ref()).ok_or(Misuse::NotRelayed)?;
        self.turn(peer, |turn| {
            turn.punch_now();
        });
        Ok(())
    }

    fn dispatch(&mut self, input: Input<'_>) -> Result<(), Misuse> {
        match input {
            Input::Connected { connection, peer, relayed, inbound, remote } => {
                let remote = remote.clone();
                self.connected(peer, Link { id: connection, relayed, inbound, proven: false, remote, rtt: None })?;
            }
            Input::Disconnected { connection } => self.disconnected(connection)?,
            Input::Identified { peer, speaks_dcutr, listens } => self.identified(peer, speaks_dcutr, listens),
            Input::Own(candidates) => self.own(candidates),
            Input::Nat(guesses) => self.shared.nat = guesses.iter().take(view::MAX_GUESSES).cloned().collect(),
            Input::Rtt { connection, rtt } => self.rtt(connection, rtt)?,
            Input::Connects { ask, addresses, skipped, rtt } => {
                let peer = self.asker(ask)?;
                self.turn(peer, |turn| turn.connects(ask, addresses, skipped, rtt));
            }
            Input::AskFailed { ask, why } => {
                let peer = self.asker(ask)?;
                self.turn(peer, |turn| turn.ask_failed(ask, why));
            }
            Input::Asked { stream, addresses, skipped } => self.asked(stream, addresses, skipped)?,
            Input::Synced { stream, rtt } => {
                if let Some(peer) = self.connections.get(&stream.connection).copied() {
                    self.turn(peer, |turn| turn.synced(stream, rtt));
                }
            }
            Input::StreamGone { stream, why } => {
                if let Some(peer) = self.connections.get(&stream.connection).copied() {
                    self.turn(peer, |turn| turn.stream_gone(stream, why));
                }
            }
            Input::Upgrading { dial } => {
                let peer = self.dialer(dial)?;
                self.turn(peer, |turn| turn.upgrading(dial));
            }
            Input::Dialed { dial, connection, local, remote, role: _ } => {
                let peer = self.dialer(dial)?;
                let remote = remote.clone();
                let link = Link { id: connection, relayed: false, inbound: false, proven: false, remote, rtt: None };
                self.add_link(peer, link)?;
                self.turn(peer, |turn| turn.dialed(dial, connection, local));
            }
            Input::DialFailed { dial, why } => {
                let peer = self.dialer(dial)?;
                self.turn(peer, |turn| turn.dial_failed(dial, why));
            }
            Input::Arriving { ip } => self.arrives(ip, true),
            Input::ArrivalFailed { ip } => self.arrives(ip, false),
            Input::Proven { connection } => {
                let unknown = Misuse::UnknownConnection(connection);
                let peer = self.connections.get(&connection).copied().ok_or(unknown)?;
                let links = self.peers.get_mut(&peer).map(|known| known.links.iter_mut()).into_iter().flatten();
                for link in links.filter(|link| link.id == connection) {
                    link.proven = true;
                }
                self.turn(peer, |turn| turn.upgraded(Some(connection)));
            }
            Input::Punch { peer } => self.punch(peer)?,
            Input::Cancel { peer } => {
                self.turn(peer, |turn| turn.stop(Failure::Cancelled));
            }
            Input::NetworkChanged => self.each(|turn| {
                turn.network_changed();
            }),
            Input::Shutdown => {
                self.shared.stopped = true;
                self.each(|turn| turn.stop(Failure::Shutdown));
                self.shared.queue = VecDeque::new();
            }
        }
        Ok(())
    }
}

impl Turn<'_> {
    /// The application wants it now.
    fn punch_now(&mut self) {
        if self.punch.attempt.is_some() || self.is_direct() || self.shared.stopped {
            return;
        }
        (self.punch.was_a, self.punch.failures, self.punch.used) = (false, 0, 0);
        self.punch.not_before = self.shared.now;
        if self.circuit(true).is_some() {
            self.punch.wanted = true;
            self.maybe_start();
        } else if self.shared.config.dial_as_a && self.shared.active < self.shared.config.max_attempts.max(1) {
            self.dial_directly(crate::report::Side::A);
        }
    }

    /// The last direct connection ended after its attempt did. The circuit may stand still: there may have been nobody to prove
    /// that the other end had it too, and whoever took it for done has to go on with the tries that are left.
    fn lost(&mut self) {
        if self.circuit(true).is_some() && self.punch.used < self.shared.config.tries.max(1) {
            self.punch.wanted = true;
            self.punch.not_before = self.shared.now + self.shared.config.pause(1);
        }
    }

    /// The other one was B on circuits of ours, and none of them is left: it can't go on. So we do, on a circuit that came to us.
    /// (Of two circuits, one each way, the rule of duplicates closes one.)
    fn gave_in(&mut self) {
        if self.punch.was_a && self.circuit(false).is_none() {
            self.punch.was_a = false;
            self.punch.wanted |= self.circuit(true).is_some() && self.punch.used < self.shared.config.tries.max(1);
        }
    }

    /// Nobody wants it any more.
    fn stop(&mut self, why: Failure) {
        self.abort_all();
        self.fail(why);
        self.close_window();
        self.punch.used = u32::MAX;
        (self.punch.wanted, self.punch.queued) = (false, self.punch.queued && !self.shared.stopped);
    }

    /// What failed may work now; what runs was begun from addresses that are gone.
    fn network_changed(&mut self) {
        if !self.is_direct() {
            self.abort_all();
            self.fail(Failure::NetworkChanged);
            self.close_window();
        }
        (self.punch.was_a, self.punch.failures, self.punch.used) = (false, 0, 0);
        self.punch.not_before = self.shared.now;
        self.punch.wanted = self.circuit(true).is_some();
        self.maybe_start();
    }
}

impl EventMachine for Coordinator {
    type Input<'a> = Input<'a>;
    type Action = Action;
    type Misuse = Misuse;

    fn handle(&mut self, now: Time, input: Input<'_>) -> Result<(), Misuse> {
        if self.is_unpolled() {
            return Err(Misuse::Unpolled(self.shared.config.max_unpolled));
        }
        let before = self.shared.now;
        self.shared.now = now.max(before);
        let done = self.dispatch(input);
        match done {
            Ok(()) => self.serve_queue(),
            Err(_) => self.shared.now = before,
        }
        done
    }

    fn on_timeout(&mut self, now: Time) {
        if now < self.deadline() {
            return;
        }
        self.shared.now = now.max(self.shared.now);
        while let Some((wake, id)) = self.timers.first().copied() {
            if wake > self.shared.now || self.is_unpolled() {
                break;
            }
            self.turn(id, |_| ());
        }
        self.serve_queue();
    }

    fn poll(&mut self) -> Option<Action> {
        let action = self.shared.actions.pop_front();
        if self.shared.actions.is_empty() && self.shared.actions.capacity() > KEPT_ACTIONS {
            self.shared.actions.shrink_to(KEPT_ACTIONS);
        }
        action
    }

    fn deadline(&self) -> Time {
        self.wake
    }

    fn memory_used(&self) -> usize {
        view::memory_used(self)
    }
}

/// How much there is; many addresses are no use in a log.
impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Coordinator");
        out.field("counts", &self.counts()).field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}
