//! What a node counts, for whoever exports it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use tidewire_connmgr::{self as connmgr, CloseReason, Direction, RefuseReason, StreamRefusal};
use tidewire_dcutr::coordinator::Event as Punch;
use tidewire_host::link::Order;
use tidewire_host::{Action, Event, Host};
use tidewire_relay::server;

/// Numbers of a node: those that stand for now, and those that only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Now: peers with a connection.
    pub peers: u32,
    /// Now: established connections that remotes opened.
    pub connections_inbound: u32,
    /// Now: established connections that we opened.
    pub connections_outbound: u32,
    /// Now: sockets that are being upgraded, and dials.
    pub pending: u32,
    /// Now: streams that remotes opened, those of identify and ping among them.
    pub streams_inbound: u32,
    /// Now: streams that the application opened.
    pub streams_outbound: u32,
    /// Connections that remotes opened.
    pub opened_inbound: u64,
    /// Connections that we opened.
    pub opened_outbound: u64,
    /// Connections that ended, by reason.
    pub closed: BTreeMap<&'static str, u64>,
    /// Connections that were not let in, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Streams that were handed out.
    pub streams: u64,
    /// Streams that were not let in, by reason.
    pub streams_refused: BTreeMap<&'static str, u64>,
    /// Requests that we refused as a relay, by the status that was told. Those that the host tells of together count for the status of
    /// the last.
    pub relay_refused: BTreeMap<&'static str, u64>,
    /// Attempts to make a direct connection of a relayed one.
    pub punches: u64,
    /// Of them, those that ended with a direct connection.
    pub punches_upgraded: u64,
    /// Of them, those that ended without one.
    pub punches_failed: u64,
    /// Addresses that were dialed.
    pub dials: u64,
    /// Wishes to be connected that failed.
    pub dials_failed: u64,
    /// Trims that closed something.
    pub trims: u64,
    /// Peers that said who they are.
    pub identified: u64,
    /// Bytes that were given to sockets.
    pub sent: u64,
    /// Bytes that came from sockets.
    pub received: u64,
    /// How often a listener could not accept because resources of the machine had run out.
    pub exhausted: u64,
}

/// What all sockets together have moved.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes that were given to sockets.
    pub sent: AtomicU64,
    /// Bytes that came from sockets.
    pub received: AtomicU64,
    /// How often a listener could not accept because resources of the machine had run out.
    pub exhausted: AtomicU64,
}

impl Counters {
    /// What an action of the host adds.
    pub(crate) fn count(&mut self, action: &Action) {
        match action {
            Action::Dial { .. } => self.dials += 1,
            Action::Refuse { reason, .. } => add(&mut self.refused, refusal(reason)),
            Action::Order { order: Order::Admit { .. }, .. } => self.streams += 1,
            Action::Order { order: Order::Refuse { reason, .. }, .. } => {
                add(&mut self.streams_refused, stream_refusal(reason));
            }
            Action::Event(Event::Identified { .. }) => self.identified += 1,
            Action::Event(Event::Punch(Punch::Started { .. })) => self.punches += 1,
            Action::Event(Event::Punch(Punch::Report(report))) if report.is_upgraded() => self.punches_upgraded += 1,
            Action::Event(Event::Punch(Punch::Report(_))) => self.punches_failed += 1,
            Action::Event(Event::Relay(server::Event::Refused { asked, why, count, .. })) => {
                add_so_many(&mut self.relay_refused, why.status(*asked).name().unwrap_or("other"), *count);
            }
            Action::Event(Event::Manager(event)) => match event {
                connmgr::Event::ConnectionOpened { direction: Direction::Inbound, .. } => self.opened_inbound += 1,
                connmgr::Event::ConnectionOpened { .. } => self.opened_outbound += 1,
                connmgr::Event::ConnectionClosed { reason, .. } => add(&mut self.closed, close(reason)),
                connmgr::Event::DialFailed { .. } => self.dials_failed += 1,
                connmgr::Event::Trimmed { closed: 1.., .. } => self.trims += 1,
                _ => {}
            },
            _ => {}
        }
    }

    /// The same, with what stands for now.
    pub(crate) fn now(&self, host: &Host, traffic: &Traffic) -> Counters {
        let counts = host.manager().counts();
        let limits = counts.limits;
        Counters {
            peers: counts.connected_peers,
            connections_inbound: limits.established_inbound + limits.closing_inbound,
            connections_outbound: limits.established_outbound + limits.closing_outbound,
            pending: limits.pending_inbound + limits.pending_outbound,
            streams_inbound: limits.streams_inbound,
            streams_outbound: limits.streams_outbound,
            sent: traffic.sent.load(Ordering::Relaxed),
            received: traffic.received.load(Ordering::Relaxed),
            exhausted: traffic.exhausted.load(Ordering::Relaxed),
            ..self.clone()
        }
    }
}

fn add(table: &mut BTreeMap<&'static str, u64>, reason: &'static str) {
    add_so_many(table, reason, 1);
}

fn add_so_many(table: &mut BTreeMap<&'static str, u64>, reason: &'static str, count: u64) {
    *table.entry(reason).or_default() += count;
}

fn refusal(reason: &RefuseReason) -> &'static str {
    match reason {
        RefuseReason::Limit(_) => "limit",
        RefuseReason::Full { .. } => "full",
        RefuseReason::Denied { .. } => "denied",
        RefuseReason::DialOver => "dial_over",
        RefuseReason::WrongPeer { .. } => "wrong_peer",
        RefuseReason::Ourselves => "ourselves",
        RefuseReason::Shutdown => "shutdown",
        _ => "other",
    }
}

fn stream_refusal(reason: &StreamRefusal) -> &'static str {
    match reason {
        StreamRefusal::Limit(_) => "limit",
        StreamRefusal::Closing => "closing",
        _ => "other",
    }
}

fn close(reason: &CloseReason) -> &'static str {
    match reason {
        CloseReason::Asked { .. } => "asked",
        CloseReason::Trimmed { .. } => "trimmed",
        CloseReason::Emergency => "emergency",
        CloseReason::Evicted { .. } => "evicted",
        CloseReason::Superseded { .. } => "superseded",
        CloseReason::Unresponsive { .. } => "unresponsive",
        CloseReason::Idle { .. } => "idle",
        CloseReason::Denied { .. } => "denied",
        CloseReason::Limit(_) => "limit",
        CloseReason::Shutdown => "shutdown",
        CloseReason::Reported { .. } => "ended",
        _ => "other",
    }
}
