//! What all links of a node share, and their limits.

use super::service::Service;
use crate::identify::{self, Card, CardError, IDENTIFY, PUSH, Profile};
use crate::ping::{self, PING};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::{Keypair, PeerId, Seed};
use tidewire_multistream::{Matcher, Protocol, RouteId, Router};
use tidewire_relay::exchange;
use tidewire_upgrade::connection;
use tidewire_upgrade::muxer::MuxerConfig;
use tidewire_upgrade::muxer::yamux::INITIAL_WINDOW;
use tidewire_upgrade::pipeline::{self, ConfigError, Upgrader};

/// Limits of a link's own doings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct LinkConfig {
    /// identify.
    pub identify: identify::Config,
    /// ping.
    pub ping: ping::Config,
    /// Streams of the protocols inside (identify, push, ping) that the remote may have open; further ones are reset.
    /// Default 16.
    pub max_inside: usize,
    /// Pings of the remote at once. Default 2 (libp2p/specs ping/ping.md).
    pub max_pings: usize,
    /// Pushes that the remote may send in quick succession. Default 10.
    pub push_burst: u32,
    /// Beyond the burst, one push in this time; others are reset. Default 2 s.
    pub push_interval: Duration,
    /// The streams of relays and of AutoNAT.
    pub relay: exchange::Config,
    /// The streams of hole punching.
    pub dcutr: tidewire_dcutr::exchange::Config,
    /// Such streams that the remote may have open: those on which it is not answered yet, and those on which it is but that it
    /// has not ended, which it may take [`write_timeout`](Self::write_timeout) for. Further ones are reset. Those that became
    /// circuits are counted by the relay. Default 32: twice the circuits that go-libp2p gives a peer.
    pub max_exchanges: usize,
    /// Streams that were asked for and wait until the multiplexer can open them. Default 64.
    pub max_waiting: usize,
    /// Time for writing an identify message, and for the remote to end its side of such a stream, or of a ping's. Default
    /// 5 s (go-libp2p).
    pub write_timeout: Duration,
    /// Time for the remote to end its side of a stream that the application left; then it is reset. Default 60 s.
    pub leave_timeout: Duration,
    /// The host hears of what a link keeps for its remote, unread data above all, each time that it changed by about so many
    /// bytes ([`Report::Holds`](super::Report::Holds)): the limits of memory are kept to within as much a connection.
    /// Default 64 KiB.
    pub memory_step: u32,
    /// Largest receive window of a yamux stream, in bytes, where the multiplexer's own setting is not smaller. What is not
    /// read fills it, and counts against `limits.memory_per_connection`; a quarter of that, as it is by default, lets no
    /// single stream use it up. Default 4 MiB.
    pub max_stream_window: u32,
    /// Largest receive window of a yamux stream that is a circuit, in bytes: what one direction of it may make us keep when who
    /// is to have it is slow. It bounds the rate too: one window in a round trip to whoever sends. Default 256 KiB, with which
    /// yamux windows begin; less is not possible. (mplex has no windows: there a stream that is not read is reset, at its
    /// `max_stream_buffer`.)
    pub circuit_window: u32,
    /// Whether yamux too pings when nothing comes (its `keep_alive` and `pong_timeout`). Default false: the connection
    /// manager pings, by libp2p's protocol or, with a peer that doesn't speak it, by yamux; with two who ask, the one that
    /// knows no reason would be the one who closes. The remote's pings are answered in any case.
    pub muxer_keep_alive: bool,
}

impl Default for LinkConfig {
    fn default() -> Self {
        LinkConfig {
            identify: identify::Config::default(),
            ping: ping::Config::default(),
            max_inside: 16,
            max_pings: 2,
            push_burst: 10,
            push_interval: Duration::from_secs(2),
            relay: exchange::Config::default(),
            dcutr: tidewire_dcutr::exchange::Config::default(),
            max_exchanges: 32,
            max_waiting: 64,
            write_timeout: Duration::from_secs(5),
            leave_timeout: Duration::from_secs(60),
            memory_step: 64 * 1024,
            max_stream_window: 4 * 1024 * 1024,
            circuit_window: INITIAL_WINDOW,
            muxer_keep_alive: false,
        }
    }
}

/// A piece of a stream in a relay's hands, at most: what one record carries.
const PIECE: u32 = 64 * 1024;

impl LinkConfig {
    /// Bytes that a circuit which we relay may hold, both directions together: a receive window each, and the piece that was
    /// taken out of it and waits to be written. For
    /// [`ServerConfig::circuit_memory`](tidewire_relay::server::ServerConfig::circuit_memory).
    pub fn circuit_memory(&self) -> u32 {
        let window = self.circuit_window.clamp(INITIAL_WINDOW, self.max_stream_window.max(INITIAL_WINDOW));
        window.saturating_add(PIECE).saturating_mul(2)
    }

    /// The multiplexers' limits, as links have them.
    fn muxer(&self, mut muxer: MuxerConfig) -> MuxerConfig {
        let yamux = &mut muxer.yamux;
        yamux.max_stream_window = yamux.max_stream_window.min(self.max_stream_window);
        yamux.max_narrow_window = self.circuit_window;
        if !self.muxer_keep_alive {
            yamux.keep_alive = None;
            // It may still ask, to learn the round trip, or for the manager, who knows for how long to wait.
            yamux.pong_timeout = Duration::MAX;
        }
        muxer
    }
}

/// Numbers of routes from here on are the node's own.
pub const OWN_ROUTES: u64 = u64::MAX - 15;
pub(super) const IDENTIFY_ROUTE: RouteId = RouteId::new(OWN_ROUTES);
pub(super) const PUSH_ROUTE: RouteId = RouteId::new(OWN_ROUTES + 1);
pub(super) const PING_ROUTE: RouteId = RouteId::new(OWN_ROUTES + 2);
/// Those of the services follow.
const SERVICES: u64 = OWN_ROUTES + 3;

/// The service with this route.
pub(super) fn service_of(route: RouteId) -> Option<Service> {
    Service::of_route(route, SERVICES)
}

/// Which protocols a node serves: the application's and its own.
#[derive(Clone, Debug)]
pub struct Routes {
    config: Arc<connection::Config>,
}

impl Routes {
    /// The application's protocols, and identify, push, ping and these services where it has no route of its own under their
    /// names. `base` gives the other settings of connections.
    pub fn new(router: &Router, services: &[Service], base: &connection::Config) -> Self {
        let mut all = router.clone();
        let inside = [(IDENTIFY, IDENTIFY_ROUTE), (PUSH, PUSH_ROUTE), (PING, PING_ROUTE)];
        let services =
            services.iter().filter_map(|service| Some((Protocol::new(service.name()).ok()?, service.route(SERVICES)?)));
        for (name, id) in inside.into_iter().chain(services) {
            if !all.listed().any(|known| *known == name) {
                // An exact route is never refused.
                let _ = all.add(name, Matcher::Exact, id);
            }
        }
        let mut config = base.clone();
        config.router = Some(Arc::new(all));
        Routes { config: Arc::new(config) }
    }

    /// Nobody is served, but told who we are.
    fn identify(base: &connection::Config) -> Self {
        let mut router = Router::new();
        // An exact route is never refused.
        let _ = router.add(IDENTIFY, Matcher::Exact, IDENTIFY_ROUTE);
        let mut config = base.clone();
        config.router = Some(Arc::new(router));
        Routes { config: Arc::new(config) }
    }

    /// The names that identify announces, in alphabetical order.
    pub fn names(&self) -> Vec<Protocol> {
        let mut names: Vec<Protocol> = self.config.router.iter().flat_map(|router| router.listed()).cloned().collect();
        names.sort();
        names.dedup();
        names
    }

    pub(super) fn config(&self) -> Arc<connection::Config> {
        self.config.clone()
    }
}

/// What all links of a node share. A clone is another handle to the same.
#[derive(Clone, Debug)]
pub struct LinkShared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    upgrader: Upgrader,
    keypair: Keypair,
    prober: Prober,
    seed: Seed,
    config: LinkConfig,
}

/// As whom we find out whether somebody can be reached: a peer of its own that serves nothing and is nowhere, so that nobody
/// takes such a connection for one more to us. libp2p/specs autonat/autonat-v1.md, "AutoNAT Protocol" (another peer id);
/// autonat-v2.md, "Implementation Suggestions" (a separate one); go-libp2p has one too.
#[derive(Debug)]
pub(super) struct Prober {
    pub(super) upgrader: Upgrader,
    pub(super) routes: Routes,
    pub(super) card: Arc<Card>,
}

impl Prober {
    fn new(seed: &Seed, upgrade: pipeline::Config) -> Result<Self, LinkError> {
        let keypair = Keypair::from_seed(seed);
        let (routes, card) =
            (Routes::identify(&upgrade.connection), Arc::new(Card::new(&keypair, &Profile::default())?));
        Ok(Prober { upgrader: Upgrader::new(&keypair, &seed.derive("upgrader", 0), upgrade)?, routes, card })
    }
}

/// Why links can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// What upgrades are made with contradicts itself.
    #[error(transparent)]
    Upgrade(#[from] ConfigError),
    /// What we would say of ourselves can't be said.
    #[error(transparent)]
    Card(#[from] CardError),
}

impl LinkShared {
    /// For the node with this key. `seed` is the node's own: Noise's static key, each connection's seed, and the key of AutoNAT's
    /// dials are drawn from it. Where [`LinkConfig`] has a word on the multiplexer, it goes before that of `upgrade`.
    ///
    /// # Errors
    /// What upgrades are to be made with contradicts itself.
    pub fn new(
        keypair: &Keypair,
        seed: &Seed,
        mut upgrade: pipeline::Config,
        config: LinkConfig,
    ) -> Result<Self, LinkError> {
        upgrade.muxer = config.muxer(upgrade.muxer);
        let prober = Prober::new(&seed.derive("probes", 0), upgrade.clone())?;
        let upgrader = Upgrader::new(keypair, &seed.derive("upgrader", 0), upgrade)?;
        let (keypair, seed) = (keypair.clone(), seed.derive("links", 0));
        Ok(LinkShared(Arc::new(Inner { upgrader, keypair, prober, seed, config })))
    }

    /// Who we are, but to those whom we dial only to find out whether they can be reached.
    pub fn peer(&self) -> PeerId {
        self.0.upgrader.peer()
    }

    /// What connections are upgraded with.
    pub fn upgrader(&self) -> &Upgrader {
        &self.0.upgrader
    }

    pub(super) fn prober(&self) -> &Prober {
        &self.0.prober
    }

    pub(super) fn keypair(&self) -> &Keypair {
        &self.0.keypair
    }

    pub(super) fn config(&self) -> &LinkConfig {
        &self.0.config
    }

    pub(super) fn seed(&self, connection: u64) -> Seed {
        self.0.seed.derive("connection", connection)
    }
}

/// At most 256 bytes of a text, whole characters.
pub(crate) fn cut(text: &str) -> SmolStr {
    SmolStr::new(tidewire_core::cut(text, 256))
}
