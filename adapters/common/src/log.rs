//! What is logged, through `tracing` (feature `tracing`): one line for each event, with its peer, connection and reason as
//! fields. Without the feature nothing is.

use tidewire_core::{Multiaddr, PeerId};
use tidewire_host::{Action, ConnectionId, Event};

/// A node begins.
#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(crate) fn start(peer: PeerId) {
    #[cfg(feature = "tracing")]
    tracing::info!(%peer, "node started");
}

/// A listener can't accept, and waits.
#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub fn listener_waits(error: &std::io::Error, pause: std::time::Duration) {
    #[cfg(feature = "tracing")]
    tracing::warn!(%error, ?pause, "can't accept connections: trying again after a pause");
}

/// The application panicked when it was told of a connection, which is closed.
#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(crate) fn hook_panicked(connection: ConnectionId, peer: Option<PeerId>, remote: &Multiaddr) {
    #[cfg(feature = "tracing")]
    tracing::error!(
        %connection,
        peer = peer.map(tracing::field::display),
        %remote,
        "a hook of the application panicked: connection closed"
    );
}

/// The application panicked when it was told what happened.
#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(crate) fn host_hook_panicked(event: &Event) {
    #[cfg(feature = "tracing")]
    tracing::error!(?event, "a hook of the application panicked: the node goes on");
}

/// A router leads an address to us that the host does not take.
#[cfg(feature = "portmap")]
#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
pub(crate) fn not_mapped(misuse: &tidewire_host::Misuse) {
    #[cfg(feature = "tracing")]
    tracing::warn!(%misuse, "port mapping: an address is not announced");
}

/// What the host does.
#[cfg(not(feature = "tracing"))]
pub(crate) fn action(_: &Action) {}

/// What the host does.
#[cfg(feature = "tracing")]
pub(crate) fn action(action: &Action) {
    use tidewire_connmgr::Event as Manager;
    use tidewire_dcutr::coordinator::Event as Punch;
    use tracing::{debug, info, trace, warn};
    match action {
        Action::Refuse { connection, reason } => debug!(%connection, %reason, "connection refused"),
        Action::Dial { dial, peer, address, from, .. } => {
            trace!(%dial, %peer, %address, from = from.as_ref().map(|from| tracing::field::display(&from.address)), "dialing");
        }
        Action::Event(event) => match event {
            Event::Manager(Manager::Connected { peer }) => debug!(%peer, "peer connected"),
            Event::Manager(Manager::Disconnected { peer }) => debug!(%peer, "peer disconnected"),
            Event::Manager(Manager::ConnectionOpened { connection, peer, direction, remote, .. }) => {
                debug!(%connection, %peer, %direction, %remote, "connection opened");
            }
            Event::Manager(Manager::ConnectionClosed { connection, peer, by, reason, lived }) => {
                debug!(%connection, %peer, %by, %reason, ?lived, "connection closed");
            }
            Event::Manager(Manager::DialFailed { peer, report, .. }) => debug!(%peer, reason = %report, "dial failed"),
            Event::Manager(Manager::Trimmed { closed, of, protected, in_grace }) => {
                info!(closed, of, protected, in_grace, "connections trimmed");
            }
            Event::Manager(Manager::ReconnectFailed { peer, tries, why }) => {
                warn!(%peer, tries, reason = %why, "peer could not be reached again");
            }
            Event::Listening { listener, address } => info!(%listener, %address, "listening"),
            Event::NotListening { listener, address } => info!(%listener, %address, "no longer listening"),
            Event::ListenerClosed { listener, why } => info!(%listener, reason = %why, "listener closed"),
            Event::Identified { connection, peer, identity, pushed } => {
                debug!(%connection, %peer, agent = identity.agent.as_deref(), pushed, "peer identified");
            }
            Event::IdentifyFailed { connection, peer, why } => {
                debug!(%connection, %peer, reason = %why, "peer not identified");
            }
            Event::Upgraded { connection, peer, security, muxer, took, .. } => {
                debug!(%connection, %peer, %security, ?muxer, ?took, "connection upgraded");
            }
            Event::StreamsRefused { connection, peer, protocol, reason, count } => {
                debug!(%connection, %peer, %protocol, %reason, count, "streams refused");
            }
            Event::OpenFailed { open, peer, why } => debug!(%open, %peer, reason = %why, "stream not opened"),
            Event::Punch(Punch::Started { peer, side }) => debug!(%peer, %side, "hole punch begins"),
            Event::Punch(Punch::Stage { peer, stage }) => trace!(%peer, %stage, "hole punch"),
            Event::Punch(Punch::Dialing { peer, dial, address, .. }) => {
                trace!(%peer, %dial, %address, "hole punch dials");
            }
            Event::Punch(Punch::Outcome { peer, dial, outcome }) => trace!(%peer, %dial, %outcome, "hole punch dialed"),
            Event::Punch(Punch::Report(report)) => {
                info!(peer = %report.peer, side = %report.side, upgraded = report.is_upgraded(), "hole punch: {report}");
            }
            Event::Announced { addresses } => info!(?addresses, "announced addresses changed"),
            _ => {}
        },
        _ => {}
    }
}
