//! What a node offers on its connections, in order of preference, and what it shares between all of them.

use crate::connection::{self, Selection};
use crate::crypto::Crypto;
use crate::muxer::{MuxerConfig, MuxerKind, SharedConfig};
use crate::security::Security;
use crate::security::noise::{self, Noise};
use crate::security::plaintext::{self, Plaintext};
use crate::security::psk::PreSharedKey;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::{Keypair, PeerId, Seed};
use tidewire_multistream::{self as multistream, Protocol, Protocols};

/// A security protocol that can be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecurityKind {
    /// `/noise`.
    Noise,
    /// `/plaintext/2.0.0`: nothing is secret, nobody is authenticated. For tests, and for networks that are safe without.
    Plaintext,
}

impl SecurityKind {
    /// Its name in negotiations.
    pub const fn protocol(self) -> &'static str {
        match self {
            SecurityKind::Noise => noise::PROTOCOL,
            SecurityKind::Plaintext => plaintext::PROTOCOL,
        }
    }
}

/// What a node offers, and how patient it is.
///
/// ```
/// use tidewire_upgrade::muxer::MuxerKind;
/// use tidewire_upgrade::pipeline::Config;
///
/// let mut config = Config::default();
/// config.muxers = vec![MuxerKind::Yamux, MuxerKind::Mplex];
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Security protocols, the preferred one first. Default: Noise.
    pub securities: Vec<SecurityKind>,
    /// Stream multiplexers, the preferred one first. Default: yamux.
    pub muxers: Vec<MuxerKind>,
    /// The key of a private network: who has another key, or none, can't connect. Default: none.
    pub psk: Option<PreSharedKey>,
    /// Whether to go ahead where only one protocol comes into question. Default [`Selection::Lazy`].
    ///
    /// Applies to the security protocol and to the multiplexer. With a peer that has the same lists, a connection then takes
    /// 3 round trips from TCP's first packet to the first answered byte.
    pub selection: Selection,
    /// Whether to announce the multiplexers inside the security handshake, which saves a round trip. Default true.
    /// libp2p/specs connections/inlined-muxer-negotiation.md.
    pub early_muxer: bool,
    /// From the first call until the upgrade must be over. Default 10 s, as rust-libp2p and js-libp2p have it.
    pub timeout: Duration,
    /// Limits of the negotiations.
    pub multistream: multistream::Config,
    /// Limits of the multiplexers.
    pub muxer: MuxerConfig,
    /// What the connection may do afterwards.
    pub connection: connection::Config,
    /// Who computes. Default: the fastest that is compiled in.
    pub crypto: Crypto,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            securities: vec![SecurityKind::Noise],
            muxers: vec![MuxerKind::Yamux],
            psk: None,
            selection: Selection::Lazy,
            early_muxer: true,
            timeout: Duration::from_secs(10),
            multistream: multistream::Config::default(),
            muxer: MuxerConfig::default(),
            connection: connection::Config::default(),
            crypto: Crypto::default(),
        }
    }
}

/// Why a node can't be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No security protocol is offered.
    #[error("no security protocol is offered: name one at least")]
    NoSecurity,
    /// No multiplexer is offered.
    #[error("no stream multiplexer is offered: name one at least")]
    NoMuxer,
    /// A name stands twice.
    #[error("{0} is offered twice")]
    Twice(&'static str),
    /// Noise can't be set up.
    #[error(transparent)]
    Noise(#[from] noise::ConfigError),
}

/// What all upgrades of a node share. Made once: a clone is another handle to the same.
#[derive(Clone, Debug)]
pub struct Upgrader(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) peer: PeerId,
    pub(super) securities: Vec<Security>,
    pub(super) security_names: Protocols,
    pub(super) muxer_names: Protocols,
    pub(super) connection: Arc<connection::Config>,
    pub(super) muxer: SharedConfig,
}

impl Upgrader {
    /// For the node with this identity. `seed` is the node's own: Noise's static key is drawn from it.
    ///
    /// # Errors
    /// A list is empty, or names something twice.
    pub fn new(identity: &Keypair, seed: &Seed, config: Config) -> Result<Self, ConfigError> {
        if config.securities.is_empty() {
            return Err(ConfigError::NoSecurity);
        }
        if config.muxers.is_empty() {
            return Err(ConfigError::NoMuxer);
        }
        for (i, kind) in config.securities.iter().enumerate() {
            if config.securities.iter().take(i).any(|earlier| earlier == kind) {
                return Err(ConfigError::Twice(kind.protocol()));
            }
        }
        for (i, kind) in config.muxers.iter().enumerate() {
            if config.muxers.iter().take(i).any(|earlier| earlier == kind) {
                return Err(ConfigError::Twice(kind.name()));
            }
        }
        let mut noise = noise::Config::default();
        if config.early_muxer {
            noise.muxers = config.muxers.iter().map(|kind| SmolStr::new_static(kind.name())).collect();
        }
        let mut securities = Vec::with_capacity(config.securities.len());
        for kind in &config.securities {
            securities.push(match kind {
                SecurityKind::Noise => {
                    Security::Noise(Noise::new(identity, &seed.derive("noise", 0), config.crypto, noise.clone())?)
                }
                SecurityKind::Plaintext => Security::Plaintext(Plaintext::new(&identity.public())),
            });
        }
        let security_names = config.securities.iter().map(|kind| Protocol::from_static(kind.protocol())).collect();
        let muxer_names = config.muxers.iter().map(|kind| kind.protocol()).collect();
        let connection = Arc::new(config.connection.clone());
        let muxer = SharedConfig::new(&config.muxer);
        let peer = identity.peer_id();
        Ok(Upgrader(Arc::new(Shared { config, peer, securities, security_names, muxer_names, connection, muxer })))
    }

    /// Who we are.
    pub fn peer(&self) -> PeerId {
        self.0.peer
    }

    /// What it was made with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }
}
