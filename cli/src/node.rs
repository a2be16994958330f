//! What every command needs: an endpoint made from the options, streams of the remote served, signals heard.

use crate::args::{self, Unusable};
use crate::keys;
use crate::protocols::{self, ECHO, PING};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tidewire_core::Keypair;
use tidewire_multistream::{Matcher, RouteId, Router};
use tidewire_tokio::{Connection, Inbound};
use tidewire_upgrade::pipeline::{Config, Upgrader};

const PING_ROUTE: RouteId = RouteId::new(1);
const ECHO_ROUTE: RouteId = RouteId::new(2);
/// How long closing a connection may take.
const CLOSE: Duration = Duration::from_secs(1);

/// What was served on one stream, once it is over.
pub(crate) struct Served {
    pub(crate) protocol: &'static str,
    /// Bytes that came and went back.
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
    pub(crate) error: Option<io::Error>,
}

/// Reads the files that the options name.
pub(crate) fn upgrader(node: &args::Node) -> Result<Upgrader, Unusable> {
    let unusable = |error: keys::KeysError| Unusable(error.to_string());
    let mut config = Config::default();
    config.securities.clone_from(&node.securities);
    config.muxers.clone_from(&node.muxers);
    config.selection = node.selection;
    config.early_muxer = true;
    config.timeout = node.timeout;
    config.psk = node.psk.as_deref().map(keys::psk).transpose().map_err(unusable)?;
    let identity = keys::identity(node.key.as_deref(), node.seed).map_err(unusable)?;
    build(&identity, config).map_err(Unusable)
}

/// An upgrader whose connections serve ping and echo.
pub(crate) fn build(identity: &Keypair, mut config: Config) -> Result<Upgrader, String> {
    let seed = keys::entropy().map_err(|error| error.to_string())?;
    config.connection.router = Some(Arc::new(router()?));
    Upgrader::new(identity, &seed, config).map_err(|error| error.to_string())
}

fn router() -> Result<Router, String> {
    let mut router = Router::new();
    for (name, route) in [(PING, PING_ROUTE), (ECHO, ECHO_ROUTE)] {
        router.add(protocols::only(name), Matcher::Exact, route).map_err(|error| error.to_string())?;
    }
    Ok(router)
}

/// Serves the remote's streams until the connection is over. `served` hears of each one that is done.
pub(crate) async fn serve(connection: &Connection, served: impl Fn(Served) + Clone + Send + Sync + 'static) {
    while let Some(inbound) = connection.accept().await {
        let served = served.clone();
        tokio::spawn(async move { served(serve_stream(inbound).await) });
    }
}

async fn serve_stream(inbound: Inbound) -> Served {
    let Inbound { route, mut stream, .. } = inbound;
    let began = std::time::Instant::now();
    let mut bytes = 0;
    let (protocol, result) = if route == PING_ROUTE {
        (PING, protocols::serve_ping(&mut stream, &mut bytes).await)
    } else {
        (ECHO, protocols::serve_echo(&mut stream, &mut bytes).await)
    };
    let error = result.err();
    Served { protocol, bytes, took: began.elapsed(), error }
}

/// Closes with code 0, and does not wait for long.
pub(crate) async fn close(connection: &Connection) {
    let _ = tokio::time::timeout(CLOSE, connection.close(0)).await;
}

/// SIGTERM and SIGINT. From here on neither ends the process by itself, also when it comes twice.
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(crate) fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next one.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Signals {})
    }

    /// The name of the next one.
    pub(crate) async fn next(&mut self) -> &'static str {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}
