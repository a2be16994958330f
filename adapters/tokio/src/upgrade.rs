//! The upgrade of a socket: the machine, the gate, and what is told.

use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::wire::{Driven, Turn, Wire};
use std::io;
use std::sync::Arc;
use std::task::Context;
use tidewire_adapter::{Gate, Info, Observed, UpgradeFailed};
use tidewire_core::{Machine, Multiaddr, Time};
use tidewire_upgrade::pipeline::{Progress, Upgrade, UpgradeError};

/// Runs an upgrade to its end. What the last flight has still to carry goes on into the connection, so that the first stream
/// can share it.
pub(crate) async fn run(
    endpoint: &Endpoint,
    upgrade: Upgrade,
    mut wire: Wire,
    remote: Multiaddr,
) -> Result<Connection, UpgradeFailed> {
    let mut upgrading = Upgrading { upgrade, gate: endpoint.gate.clone(), remote };
    let limit = endpoint.close_timeout;
    if let Err(error) = wire.drive(&mut upgrading).await {
        if matches!(error, UpgradeFailed::Upgrade(_)) {
            // Last words, while the caller hears of it already.
            tokio::spawn(async move { wire.finish(limit).await });
        }
        return Err(error);
    }
    let Upgrading { upgrade, gate, remote } = upgrading;
    let Some(machine) = upgrade.into_connection() else {
        return Err(io::Error::other("an upgrade was ready without a connection").into());
    };
    let info = Info::new(&machine, remote);
    let refused = gate.upgraded(&info);
    let connection = Connection::start(machine, wire, info, limit);
    match refused {
        Ok(()) => Ok(connection),
        Err(reason) => {
            connection.refuse();
            Err(UpgradeFailed::refused(&reason))
        }
    }
}

struct Upgrading {
    upgrade: Upgrade,
    gate: Arc<dyn Gate>,
    remote: Multiaddr,
}

impl Driven for Upgrading {
    type Done = Result<(), UpgradeFailed>;

    fn turn(&mut self, _: &Context<'_>, now: Time, wire: &mut Wire) -> Turn<Self::Done> {
        wire.tx.fill(&wire.pool);
        loop {
            let (rx, tx) = (&mut wire.rx.bytes, &mut wire.tx.bytes);
            let told = if wire.ended { self.upgrade.end(now, rx, tx) } else { self.upgrade.advance(now, rx, tx) };
            let progress = match told {
                Ok(Some(progress)) => progress,
                Ok(None) => return Turn::Wait(self.upgrade.deadline()),
                Err(error) => {
                    if matches!(error, UpgradeError::Refused { .. }) {
                        tx.clear();
                    }
                    return Turn::Done(Err(error.into()));
                }
            };
            if let Progress::Peer(peer) = &progress
                && let Err(reason) = self.gate.peer(*peer, &self.remote)
            {
                self.upgrade.refuse(&reason);
            }
            let ready = matches!(progress, Progress::Ready);
            wire.watch.tell(|| Observed::Progress(progress));
            if ready {
                return Turn::Done(Ok(()));
            }
        }
    }

    fn broken(&mut self, error: io::Error) -> Self::Done {
        Err(error.into())
    }
}
