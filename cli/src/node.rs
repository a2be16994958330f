//! What every command needs: a node made from the options, the echo protocol served, signals heard.

use crate::args::{self, Unusable};
use crate::keys::{self, KeysError};
use crate::listen::last;
use crate::protocols::{self, ECHO};
use crate::record::{Recording, Running};
use crate::settings;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tidewire_connmgr::dial::{DialReport, Outcome};
use tidewire_core::{Keypair, Multiaddr, PeerId};
use tidewire_host::Relaying;
use tidewire_relay::Status;
use tidewire_tokio::{
    ConnectError, Incoming, Input, Node, NodeConfig, Observer, OpenOptions, PortMapConfig, Selection,
};

/// How long closing all connections may take, when we end.
const SHUTDOWN: Duration = Duration::from_secs(3);

/// What a node is made of.
pub(crate) struct Setup {
    pub(crate) config: NodeConfig,
    pub(crate) identity: Keypair,
    /// Where we listen.
    pub(crate) listen: Vec<Multiaddr>,
    /// Where others reach us, though we don't listen there.
    pub(crate) announce: Vec<Multiaddr>,
    /// What the configuration has for a node whose ports are mapped.
    mapping: PortMapConfig,
    /// Where a recording goes.
    recording: Option<Recording>,
}

impl Setup {
    /// Reads the files that the options name. The node does nothing for others but to serve its protocols.
    pub(crate) fn new(args: &args::Node) -> Result<Setup, Unusable> {
        Setup::with(args, |_, _| {})
    }

    /// The same of a node that does more, such as to relay: `choose` is given the numbers that the configuration has for it.
    pub(crate) fn with(args: &args::Node, choose: impl FnOnce(Relaying, &mut Relaying)) -> Result<Setup, Unusable> {
        let mut setup = Setup::read(args)?;
        setup.mapping = setup.config.port_mapping.take().unwrap_or_default();
        let given = plain(&mut setup.config);
        choose(given, &mut setup.config.host.relay);
        Ok(setup)
    }

    fn read(args: &args::Node) -> Result<Setup, Unusable> {
        let mut config = configured(args.config.as_deref())?;
        let upgrade = &mut config.upgrade;
        if let Some(securities) = &args.securities {
            upgrade.securities.clone_from(securities);
        }
        if let Some(muxers) = &args.muxers {
            upgrade.muxers.clone_from(muxers);
        }
        upgrade.selection = args.selection.unwrap_or(upgrade.selection);
        upgrade.timeout = args.timeout.unwrap_or(upgrade.timeout);
        upgrade.psk = args.psk.as_deref().map(keys::psk).transpose().map_err(unusable)?;
        let identity = keys::identity(args.key.as_deref(), args.seed).map_err(unusable)?;
        let recording = Recording::begin(args.record.as_deref(), &mut config).map_err(Unusable)?;
        let (listen, announce, mapping) = (Vec::new(), Vec::new(), PortMapConfig::default());
        Ok(Setup { config, identity, listen, announce, mapping, recording })
    }

    /// Has the router lead ports to it, if that is wanted.
    pub(crate) fn map_ports(&mut self, args: args::Mapping) {
        if args.on {
            let mut config = self.mapping.clone();
            config.gateway = args.gateway.or(config.gateway);
            self.config.port_mapping = Some(config);
        }
    }

    /// How long the answer to anything may take.
    pub(crate) fn patience(&self) -> Duration {
        self.config.upgrade.timeout
    }

    /// Whether we are in a private network.
    pub(crate) fn private(&self) -> bool {
        self.config.upgrade.psk.is_some()
    }

    /// How the protocols of streams are selected.
    pub(crate) fn selection(&self) -> Selection {
        self.config.upgrade.selection
    }

    /// A node on the runtime. To be closed by its recording, whether there is one or not.
    pub(crate) fn start(self, observer: Arc<dyn Observer>) -> Result<(Node, Running), String> {
        let seed = keys::entropy().map_err(|error| error.to_string())?;
        let node =
            Node::observed(self.config, self.identity, &seed, Some(observer)).map_err(|error| error.to_string())?;
        let running = Recording::run(self.recording, &node)?;
        Ok((node, running))
    }
}

/// Says at which addresses others reach us, though we don't listen there.
pub(crate) fn announce(node: &Node, addresses: &[Multiaddr]) -> Result<(), String> {
    for address in addresses {
        let told = node.tell(Input::AddExternal { address: address.clone() });
        told.map_err(|error| format!("--announce {address}: {error}"))?;
    }
    Ok(())
}

/// A node that is no relay, holds none, tells nobody whether it can be reached, and asks no router for anything. What the
/// configuration had of relays: it gives the numbers, not whether it is done.
pub(crate) fn plain(config: &mut NodeConfig) -> Relaying {
    config.port_mapping = None;
    let relay = &mut config.host.relay;
    let given = relay.clone();
    (relay.server, relay.auto_relay) = (None, None);
    (relay.autonat_v1_server, relay.autonat_v2_server) = (None, None);
    given
}

/// The defaults, with what the file changes.
pub(crate) fn configured(file: Option<&Path>) -> Result<NodeConfig, Unusable> {
    let config = NodeConfig::default();
    match file {
        Some(path) => settings::read(path, config).map_err(Unusable),
        None => Ok(config),
    }
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn unusable(error: KeysError) -> Unusable {
    Unusable(error.to_string())
}

/// Serves echo. `served` hears of each stream that is done. Ends with the node.
pub(crate) fn serve_echo(node: &Node, served: impl Fn(Served) + Clone + Send + 'static) -> Result<(), String> {
    let incoming = node
        .handle(protocols::only(ECHO), tidewire_tokio::Matcher::Exact)
        .map_err(|error| format!("{ECHO} can't be served: {error}"))?;
    tokio::spawn(echoes(incoming, served));
    Ok(())
}

/// What was served on one stream, once it is over.
pub(crate) struct Served {
    pub(crate) peer: PeerId,
    /// Bytes that came and went back.
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
    pub(crate) error: Option<io::Error>,
}

async fn echoes(mut incoming: Incoming, served: impl Fn(Served) + Clone + Send + 'static) {
    while let Some(mut inbound) = incoming.next().await {
        let served = served.clone();
        tokio::spawn(async move {
            let (began, mut bytes) = (std::time::Instant::now(), 0);
            let error = protocols::serve_echo(&mut inbound.stream, &mut bytes).await.err();
            served(Served { peer: inbound.peer, bytes, took: began.elapsed(), error });
        });
    }
}

/// A stream on a connection that is there. `limited`: one that a relay limits will do.
pub(crate) fn on_connection(selection: Selection, patience: Duration, limited: bool) -> OpenOptions {
    let mut options = OpenOptions::default();
    options.limited = limited;
    options.dial = false;
    options.selection = selection;
    options.timeout = patience;
    options
}

/// Closes everything, and does not wait for long.
pub(crate) async fn close(node: &Node) {
    let _ = tokio::time::timeout(SHUTDOWN, node.shutdown()).await;
}

/// Why a connection did not come to be, on one line. `agreed`: the remote was heard to speak libp2p.
pub(crate) fn why_not(address: &Multiaddr, error: &ConnectError, agreed: bool, private: bool) -> String {
    let ConnectError::Failed(report) = error else { return error.to_string() };
    let text = reasons(address, report);
    if address.is_relayed() {
        return of_circuit(address, &text);
    }
    let upgrade = |outcome: &Outcome| matches!(outcome, Outcome::Failed(tidewire_connmgr::dial::DialFault::Upgrade(_)));
    let guess = !agreed && report.addresses.iter().any(|one| upgrade(&one.outcome));
    format!("{text}{}", if guess { hint(&text, private) } else { "" })
}

/// Why there is no circuit: an address of one is long, and all of it says less than what the relay said.
fn of_circuit(address: &Multiaddr, text: &str) -> String {
    let why = text.strip_prefix(&format!("{address}: ")).unwrap_or(text);
    let why = why.strip_prefix("the transport failed: ").unwrap_or(why);
    let (relay, peer) = (address.relay_peer_id().map(last), address.peer_id().map(last));
    let (relay, peer) = (relay.unwrap_or_default(), peer.unwrap_or_default());
    let advice = if why.contains(&Status::NO_RESERVATION.to_string()) {
        ": the peer holds no reservation there; is it running, and at this relay?"
    } else {
        ""
    };
    format!("no circuit to {peer} through {relay}: {why}{advice}")
}

/// What to look at, where bytes that make no sense leave only a guess.
pub(crate) fn hint(text: &str, private: bool) -> &'static str {
    match private {
        // Of a remote that says nothing, or hangs up, the error itself says so.
        _ if text.contains("private network") => "",
        true => " (does the other end have the same private network key?)",
        false => " (is this libp2p? is it in a private network?)",
    }
}

fn reasons(address: &Multiaddr, report: &DialReport) -> String {
    match report.addresses.as_slice() {
        [] => format!("{address}: {}", report.why),
        all => all.iter().map(|one| format!("{}: {}", one.address, one.outcome)).collect::<Vec<_>>().join("; "),
    }
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
    pub(crate) fn install() -> Result<Self, String> {
        use tokio::signal::unix::{SignalKind, signal};
        let install = |kind| signal(kind).map_err(|error| format!("signals can't be heard: {error}"));
        Ok(Signals { terminate: install(SignalKind::terminate())?, interrupt: install(SignalKind::interrupt())? })
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
    #[allow(clippy::unnecessary_wraps)] // as on Unix
    pub(crate) fn install() -> Result<Self, String> {
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
