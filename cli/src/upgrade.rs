//! What becomes of a circuit: whether there is a direct connection beside it, since when, and what the attempt reports.
//!
//! ```text
//!  Watcher --> Teller --> Upgrade: direct since, report --> Upgraded, who waits for it
//! ```
//! Moments are taken when a thing happens, not when somebody asks.

use crate::watch::Told;
use std::time::{Duration, Instant};
use tidewire_core::PeerId;
use tidewire_dcutr::coordinator::Event;
use tidewire_dcutr::report::{End, Failure, Report, Side};
use tokio::sync::watch;
use tokio::time::timeout_at;

/// What is known by now.
#[derive(Debug, Default)]
struct Upgrade {
    circuit: Option<Instant>,
    direct: Option<Instant>,
    report: Option<Box<Report>>,
}

impl Upgrade {
    fn is_decided(&self) -> bool {
        self.direct.is_some() || self.report.as_deref().is_some_and(is_last)
    }
}

/// Who is told. A clone is another handle.
#[derive(Clone)]
pub(crate) struct Teller(PeerId, watch::Sender<Upgrade>);

/// Who waits.
pub(crate) struct Upgraded(watch::Receiver<Upgrade>);

/// Of a circuit to this peer.
pub(crate) fn of(peer: PeerId) -> (Teller, Upgraded) {
    let (sender, receiver) = watch::channel(Upgrade::default());
    (Teller(peer, sender), Upgraded(receiver))
}

impl Teller {
    /// Something happened.
    pub(crate) fn tell(&self, told: &Told<'_>) {
        match told {
            Told::Connected { peer, address, .. } if *peer == self.0 && address.is_relayed() => {
                let now = Instant::now();
                self.1.send_modify(|known| known.circuit = known.circuit.or(Some(now)));
            }
            Told::Connected { peer, .. } if *peer == self.0 => {
                let now = Instant::now();
                self.1.send_modify(|known| known.direct = known.direct.or(Some(now)));
            }
            Told::Punch(Event::Report(report)) if report.peer == self.0 => {
                self.1.send_modify(|known| known.report = Some(report.clone()));
            }
            _ => {}
        }
    }
}

impl Upgraded {
    /// How long after the circuit the direct connection stood: waits until there is one, or it is known that there will be none.
    pub(crate) async fn direct(&mut self, until: Instant) -> Option<Duration> {
        let _ = timeout_at(until.into(), self.0.wait_for(Upgrade::is_decided)).await;
        let known = self.0.borrow();
        let direct = known.direct?;
        Some(known.circuit.map_or(Duration::ZERO, |circuit| direct.saturating_duration_since(circuit)))
    }

    /// The report: waits until there is one.
    pub(crate) async fn report(&mut self, until: Instant) -> Option<Box<Report>> {
        let _ = timeout_at(until.into(), self.0.wait_for(|known| known.report.is_some())).await;
        self.0.borrow().report.clone()
    }
}

/// Whether nothing comes after it, as far as is known.
fn is_last(report: &Report) -> bool {
    match &report.end {
        End::Failed(Failure::TheirTurn | Failure::NetworkChanged) => false,
        // What A dials of its own accord is not all: the stream is B's to open.
        End::Failed(_) => report.side == Side::B || !report.tries.is_empty(),
        _ => true,
    }
}
