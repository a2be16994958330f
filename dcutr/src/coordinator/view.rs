//! What the coordinator knows, for a person.

use super::Coordinator;
use super::action::{Action, Event, Stage};
use super::peer::{Attempt, Peer, Shared, State};
use crate::candidate::Candidate;
use crate::nat::Guess;
use crate::report::{Report, Side};
use crate::{AskId, ConnectionId, DialId};
use core::fmt;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Time};

/// How much there is. All but the first two are 0 when nothing is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections, relayed or not.
    pub connections: usize,
    /// Peers that have something to punch, or with whom that failed lately.
    pub peers: usize,
    /// Attempts.
    pub attempts: usize,
    /// Series that wait until there are fewer.
    pub queued: usize,
    /// Dials, those of ended attempts whose upgrade runs included.
    pub dials: usize,
    /// Streams of ours.
    pub asks: usize,
    /// Windows that are open.
    pub windows: usize,
}

/// One peer, and what is done about a direct connection to it. `Display` gives a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct View {
    /// Who.
    pub peer: PeerId,
    /// What is done, or waited for.
    pub waits: Waits,
    /// How long that takes at most; `None`: until something happens.
    pub left: Option<Duration>,
    /// Series that failed in a row.
    pub failures: u32,
}

/// What is done about a direct connection, or waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waits {
    /// An attempt is at this stage.
    Attempt(Side, Stage),
    /// The peer has to say who it is.
    Identify,
    /// Too many attempts are under way.
    Room,
    /// The last series failed; the next one may start then.
    Backoff,
    /// There is a direct connection.
    Direct,
    /// The peer has to open the stream: we dialed through the relay.
    TheirMove,
    /// A circuit has to come to us anew, the network to change, or the application to ask.
    Trigger,
}

/// Guesses that are kept: TCP and QUIC, over IPv4 and IPv6.
pub(super) const MAX_GUESSES: usize = 4;

impl Coordinator {
    /// How much there is.
    pub fn counts(&self) -> Counts {
        let punches = || self.peers.values().filter_map(|peer| peer.punch.as_ref());
        Counts {
            connections: self.connections.len(),
            peers: punches().count(),
            attempts: punches().filter(|punch| punch.attempt.is_some()).count(),
            queued: self.shared.queue.len(),
            dials: self.shared.dials.len(),
            asks: self.shared.asks.len(),
            windows: punches().filter(|punch| punch.window.is_some()).count(),
        }
    }

    /// What is done about a direct connection to this peer; `None` if nothing is known that could be.
    pub fn explain(&self, now: Time, peer: &PeerId) -> Option<View> {
        self.peers.get(peer).and_then(|known| view_of(now, *peer, known))
    }

    /// All peers of whom there is something to say.
    pub fn views(&self, now: Time) -> impl Iterator<Item = View> + '_ {
        self.peers.iter().filter_map(move |(id, peer)| view_of(now, *id, peer))
    }
}

fn view_of(now: Time, id: PeerId, peer: &Peer) -> Option<View> {
    let punch = peer.punch.as_ref()?;
    let circuit = |inbound: bool| peer.links.iter().any(|link| link.relayed && link.inbound == inbound);
    let (waits, until) = match &punch.attempt {
        Some(attempt) => {
            let (stage, until) = stage_of(now, attempt, punch.dials.len());
            (Waits::Attempt(attempt.side, stage), Some(until))
        }
        None if peer.links.iter().any(|link| !link.relayed) => (Waits::Direct, None),
        None if punch.queued => (Waits::Room, None),
        None if punch.not_before > now => (Waits::Backoff, Some(punch.not_before)),
        None if circuit(true) && punch.identified.is_none() => (Waits::Identify, None),
        None if circuit(false) => (Waits::TheirMove, None),
        None => (Waits::Trigger, None),
    };
    Some(View { peer: id, waits, left: until.map(|until| until.since(now)), failures: punch.failures })
}

fn stage_of(now: Time, attempt: &Attempt, dials: usize) -> (Stage, Time) {
    let (number, dials) = (attempt.number, u32::try_from(dials).unwrap_or(u32::MAX));
    match &attempt.state {
        State::Direct { until } => (Stage::Direct { dials }, *until),
        State::WaitConnect { until, .. } => (Stage::WaitConnect { number }, *until),
        State::Armed { at, .. } => (Stage::Armed { number, wait: at.since(now) }, *at),
        State::AwaitSync { until, .. } => (Stage::AwaitSync { number }, *until),
        State::Punching { until, .. } => (Stage::Punching { number, dials }, *until),
        State::Settling { until, connection } => (Stage::Settling { connection: *connection }, *until),
        State::Between { until } => (Stage::Between { number }, *until),
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, left) = (self.peer, self.left.unwrap_or_default());
        match self.waits {
            Waits::Attempt(_, stage @ Stage::Armed { .. }) => write!(f, "{peer}: {stage}")?,
            Waits::Attempt(_, stage) => write!(f, "{peer}: {stage}, {} s at most", left.as_secs())?,
            Waits::Identify => write!(f, "{peer}: waits until the peer identifies itself")?,
            Waits::Room => write!(f, "{peer}: waits until fewer attempts are under way")?,
            Waits::Backoff => write!(f, "{peer}: pauses for {} s", left.as_secs())?,
            Waits::Direct => write!(f, "{peer}: there is a direct connection")?,
            Waits::TheirMove => write!(f, "{peer}: waits for the peer, which opens the stream")?,
            Waits::Trigger => {
                write!(f, "{peer}: waits for a new circuit from the peer, another network, or to be asked")?;
            }
        }
        if self.failures > 0 { write!(f, "; {} series failed in a row", self.failures) } else { Ok(()) }
    }
}

/// Heap bytes, the bookkeeping of the maps not counted.
pub(super) fn memory_used(of: &Coordinator) -> usize {
    let peers = of.peers.values().map(|peer| {
        let links = peer.links.iter().map(|link| link.remote.memory_used()).sum::<usize>();
        let punch = peer.punch.as_ref().map_or(0, |punch| punch.memory_used());
        size_of::<(PeerId, Peer)>() + peer.links.capacity() * size_of::<super::peer::Link>() + links + punch
    });
    peers.sum::<usize>()
        + of.connections.len() * size_of::<(ConnectionId, PeerId)>()
        + of.timers.len() * size_of::<(Time, PeerId)>()
        + shared_memory(&of.shared)
}

fn shared_memory(shared: &Shared) -> usize {
    let own = shared.own.iter().map(Candidate::memory_used).sum::<usize>();
    let actions = shared.actions.iter().map(action_memory).sum::<usize>();
    own + shared.own.capacity() * size_of::<Candidate>()
        + shared.nat.capacity() * size_of::<Guess>()
        + shared.nat.iter().map(Guess::memory_used).sum::<usize>()
        + shared.asks.len() * size_of::<(AskId, PeerId)>()
        + shared.dials.len() * size_of::<(DialId, PeerId)>()
        + shared.windows.memory_used()
        + shared.queue.capacity() * size_of::<PeerId>()
        + shared.actions.capacity() * size_of::<Action>()
        + actions
}

fn action_memory(action: &Action) -> usize {
    match action {
        Action::Open { addresses, .. } | Action::Answer { addresses, .. } => Multiaddr::list_memory_used(addresses),
        Action::Dial { address, .. } => address.memory_used(),
        Action::Window { ips, .. } => ips.capacity() * size_of::<core::net::IpAddr>(),
        Action::Datagram { .. } => super::DATAGRAM,
        Action::Event(Event::Report(report)) => size_of::<Report>() + report.memory_used(),
        _ => 0,
    }
}
