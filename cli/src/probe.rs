//! Who is there? One connection that goes only as far as the proof of it, for addresses without `/p2p/..`.

use crate::keys;
use crate::node::{Setup, hint};
use bytes::BytesMut;
use std::time::Instant;
use tidewire_adapter::Target;
use tidewire_core::{Machine, Multiaddr, PeerId, Time};
use tidewire_upgrade::pipeline::{Plan, Progress, Upgrade, Upgrader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};

/// The peer that the address names, or whoever answers there.
pub(crate) async fn who(address: &Multiaddr, setup: &Setup) -> Result<PeerId, String> {
    if let Some(peer) = address.peer_id() {
        return Ok(peer);
    }
    let patience = setup.patience();
    let asked = timeout(patience, ask(address, setup)).await;
    let asked = asked.unwrap_or_else(|_| Err(format!("no answer within {}", crate::output::span(patience))));
    asked.map_err(|why| format!("{address}: {why}"))
}

async fn ask(address: &Multiaddr, setup: &Setup) -> Result<PeerId, String> {
    let mut socket = connect(address).await?;
    let seed = keys::entropy().map_err(|error| error.to_string())?;
    let upgrader = Upgrader::new(&setup.identity, &seed.derive("probe", 0), setup.config.upgrade.clone())
        .map_err(|error| error.to_string())?;
    let mut upgrade = Upgrade::new(&upgrader, Plan::Initiate, None, &seed.derive("probe", 1));
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    let (began, mut ended, mut agreed) = (Instant::now(), false, false);
    loop {
        let now = Time::ZERO + began.elapsed();
        let result = upgrade.advance_or_end(now, &mut rx, &mut tx, ended);
        let guess = |text: String| if agreed { text } else { format!("{text}{}", hint(&text, setup.private())) };
        match result.map_err(|error| guess(error.to_string()))? {
            Some(Progress::Peer(peer)) => return Ok(peer),
            Some(progress) => agreed |= matches!(progress, Progress::Agreed { .. }),
            None => {
                socket.write_all(&tx).await.map_err(|error| guess(format!("the socket failed: {error}")))?;
                tx.clear();
                let wait = std::time::Duration::from_nanos(
                    upgrade.deadline().as_nanos().saturating_sub(now.as_nanos()).max(1),
                );
                tokio::select! {
                    read = socket.read_buf(&mut rx) => {
                        ended |= read.map_err(|error| guess(format!("the socket failed: {error}")))? == 0;
                    }
                    () = sleep(wait) => {}
                }
            }
        }
    }
}

async fn connect(address: &Multiaddr) -> Result<TcpStream, String> {
    let target = Target::parse(address)?;
    let found = lookup_host(target.question()).await.and_then(|found| target.pick(found));
    let sockets = found.map_err(|error| format!("the name can't be resolved: {error}"))?;
    TcpStream::connect(sockets.as_slice()).await.map_err(|error| format!("can't connect: {error}"))
}
