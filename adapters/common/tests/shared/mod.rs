//! What the tests of all drivers have in common: who the nodes are, what they say, and who watches them.
#![allow(dead_code, unreachable_pub)] // not every test file uses all of it

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tidewire_adapter::{NodeConfig, Observed, Observer};
use tidewire_connmgr::{self as connmgr, By, CloseReason};
use tidewire_core::{Keypair, Multiaddr, PeerId, Seed};
use tidewire_dcutr::DialFault;
use tidewire_dcutr::coordinator::Event as Punch;
use tidewire_dcutr::report::{Outcome, Report};
use tidewire_host::addresses::Loopback;
use tidewire_host::{Event, Host, OpenId, OpenOptions};
use tidewire_multistream::Protocol;
use tidewire_relay::server::{Offer, ServerConfig};
use tidewire_relay::{Limit, client, server};
use tidewire_upgrade::connection::Selection;

pub const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");
/// Served by `pair` for the test to take.
pub const TALK: Protocol = Protocol::from_static("/talk/1.0.0");
/// Served by nobody.
pub const NOPE: Protocol = Protocol::from_static("/nope");

pub fn key(n: u8) -> Keypair {
    Keypair::from_seed(&Seed::new([n; 32]))
}

pub fn id(n: u8) -> PeerId {
    key(n).peer_id()
}

pub fn loopback() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/0".parse().unwrap()
}

pub fn plain() -> OpenOptions {
    let mut options = OpenOptions::default();
    options.selection = Selection::Plain;
    options
}

/// A relay for nodes of this machine, whose circuits are limited so.
pub fn relay_of(limit: Limit) -> NodeConfig {
    let mut server = ServerConfig::unlimited();
    (server.offer, server.announce_private, server.limit) = (Offer::Always, true, limit);
    let mut config = NodeConfig::default();
    config.host.relay.server = Some(server);
    config
}

pub fn limit(duration: Option<Duration>, data: Option<u64>) -> Limit {
    Limit { duration, data }
}

/// Where a peer is reached through a relay; the relay's address names it.
pub fn circuit(relay: &Multiaddr, peer: PeerId) -> Multiaddr {
    format!("{relay}/p2p-circuit/p2p/{peer}").parse().unwrap()
}

/// A stream may go over a circuit with limits.
pub fn limited() -> OpenOptions {
    let mut options = OpenOptions::default();
    options.limited = true;
    options
}

/// Of events: why a circuit ended, at one of its ends.
#[allow(clippy::needless_pass_by_value)]
pub fn of_circuit(event: Event) -> Option<client::CircuitEnd> {
    match event {
        Event::RelayClient(client::Event::CircuitEnded { why, .. }) => Some(why),
        _ => None,
    }
}

/// Of events: why a circuit ended, at the relay, and how many bytes went forward.
pub fn of_relayed(event: Event) -> Option<(server::CircuitEnd, u64)> {
    match event {
        Event::Relay(server::Event::CircuitClosed { why, forward, .. }) => Some((why, forward)),
        _ => None,
    }
}

pub fn data(len: usize, salt: usize) -> Vec<u8> {
    (0..len).map(|i| ((i / 251) ^ (i % 251) ^ salt).to_le_bytes()[0]).collect()
}

/// The error inside an [`std::io::Error`].
pub fn inner<T: std::error::Error + Clone + 'static>(error: &std::io::Error) -> T {
    error.get_ref().and_then(|inner| inner.downcast_ref::<T>()).cloned().unwrap()
}

/// Of events: to whom we are connected now.
#[allow(clippy::needless_pass_by_value)] // as the others take it
pub fn of_connected(event: Event) -> Option<PeerId> {
    match event {
        Event::Manager(connmgr::Event::Connected { peer }) => Some(peer),
        _ => None,
    }
}

/// Of events: where a connection comes from.
pub fn of_remote(event: Event) -> Option<Multiaddr> {
    match event {
        Event::Manager(connmgr::Event::ConnectionOpened { remote, .. }) => Some(remote),
        _ => None,
    }
}

/// Of events: how a connection ended, by whom and why.
pub fn of_closed(event: Event) -> Option<(By, CloseReason)> {
    match event {
        Event::Manager(connmgr::Event::ConnectionClosed { by, reason, .. }) => Some((by, reason)),
        _ => None,
    }
}

/// Of events: a peer said that it serves ECHO, when it was asked, or a second later when it told.
pub fn of_echo(who: PeerId) -> impl Fn(Event) -> Option<()> {
    move |event| match event {
        Event::Identified { peer, identity, .. } => (peer == who && identity.protocols.contains(&ECHO)).then_some(()),
        _ => None,
    }
}

/// Keeps what it sees.
#[derive(Default)]
pub struct Log(pub Mutex<Vec<Observed>>, pub Mutex<Vec<Event>>);

impl Observer for Log {
    fn event(&self, _: u64, event: &Observed) {
        self.0.lock().unwrap().push(event.clone());
    }
    fn host(&self, event: &Event) {
        self.1.lock().unwrap().push(event.clone());
    }
}

impl Log {
    pub fn has(&self, wanted: impl Fn(&Observed) -> bool) -> bool {
        self.0.lock().unwrap().iter().any(wanted)
    }

    /// The opens that the host said have failed, in its order.
    pub fn failed_opens(&self) -> Vec<OpenId> {
        let events = self.1.lock().unwrap();
        let of = |event: &Event| match event {
            Event::OpenFailed { open, .. } => Some(*open),
            _ => None,
        };
        events.iter().filter_map(of).collect()
    }
}

/// A hook with a mistake: it panics, once, at what it can't bear.
pub struct Panics {
    at: fn(&Observed) -> bool,
    at_host: fn(&Event) -> bool,
    done: AtomicBool,
}

impl Panics {
    pub fn at(at: fn(&Observed) -> bool) -> Option<Arc<dyn Observer>> {
        Some(Arc::new(Panics { at, at_host: |_| false, done: AtomicBool::new(false) }))
    }

    pub fn at_host(at_host: fn(&Event) -> bool) -> Option<Arc<dyn Observer>> {
        Some(Arc::new(Panics { at: |_| false, at_host, done: AtomicBool::new(false) }))
    }

    fn look(&self, hit: bool) {
        assert!(!hit || self.done.swap(true, Ordering::SeqCst), "a mistake in the application");
    }
}

impl Observer for Panics {
    fn event(&self, _: u64, event: &Observed) {
        self.look((self.at)(event));
    }
    fn host(&self, event: &Event) {
        self.look((self.at_host)(event));
    }
}

/// A node of this machine whose circuits become direct connections by hole punches alone: it tells nobody where it listens.
pub fn punching() -> NodeConfig {
    let mut config = NodeConfig::default();
    if let Some(punching) = &mut config.host.punching {
        punching.addresses.allow_private = true;
    }
    let policy = &mut config.host.addresses.policy;
    (policy.private, policy.loopback) = (false, Loopback::Never);
    config
}

/// Where the direct connections to a peer end.
pub fn direct_remotes(host: &Host, peer: PeerId) -> Vec<Multiaddr> {
    let direct = host.manager().connections_of(&peer).filter(|view| !view.relayed);
    direct.map(|view| view.remote.without_peer_id()).collect()
}

/// Of events: the report of a hole punch.
pub fn of_punch(event: Event) -> Option<Report> {
    match event {
        Event::Punch(Punch::Report(report)) => Some(*report),
        _ => None,
    }
}

/// Every dial of it came to a connection, or to the news that the other's was first.
#[track_caller]
pub fn assert_punched(report: &Report) {
    assert!(report.is_upgraded() && report.tries.len() == 1, "{report}");
    for dial in report.dials() {
        let outcome = &dial.outcome;
        let fine = matches!(
            outcome,
            Outcome::Connected(_) | Outcome::Cancelled | Outcome::Failed(DialFault::AddressNotAvailable)
        );
        assert!(fine, "{outcome:?}: {report}");
    }
}
