//! `/noise`: Noise_XX_25519_ChaChaPoly_SHA256 (libp2p/specs noise/README.md).
//!
//! ```text
//! initiator                                                       responder
//!     | -- 1: e ------------------------------------------------->   |
//!     |   <-- 2: e, ee, s, es, {identity key, signature, extensions} |
//!     | -- 3: s, se, {identity key, signature, extensions} -------->  |
//!     | <=== records, see NoiseSession ===========================>  |
//! ```
//!
//! The initiator may seal records at once behind message 3: they travel in the same flight.
//!
//! The two [extensions](Extensions) travel in messages 2 and 3, never in 1, which anyone could read. If both sides announce
//! their stream multiplexers, the multiplexer is agreed on with that, and costs no round trip of its own
//! (connections/inlined-muxer-negotiation.md).

mod error;
mod handshake;
mod payload;
mod resolver;
mod session;

pub use error::{ConfigError, Error};
pub use handshake::{Handshake, Secured};
pub use session::{MAX_PLAINTEXT, NoiseSession};

use crate::crypto::{Crypto, SecretKey};
use alloc::{sync::Arc, vec::Vec};
use smol_str::SmolStr;
use tidewire_core::{Keypair, Seed};

/// The name under which multistream-select offers it.
pub const PROTOCOL: &str = "/noise";

/// What the peers say to each other inside the handshake, beside who they are (noise/README.md, "Noise Extensions").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extensions {
    /// `stream_muxers`: protocol names of the stream multiplexers, the preferred one first.
    pub muxers: Vec<SmolStr>,
    /// `webtransport_certhashes`: multihashes of the certificates of a WebTransport server.
    pub certhashes: Vec<Vec<u8>>,
}

/// What a node says in its handshakes, and how much it listens to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The stream multiplexers to announce, the preferred one first. Empty, the default: none are announced, and
    /// the multiplexer is selected afterwards.
    pub muxers: Vec<SmolStr>,
    /// The certificate hashes to announce. Empty by default.
    pub certhashes: Vec<Vec<u8>>,
    /// The longest handshake message that is read, in bytes. Default 16384: the largest keys and signatures that
    /// libp2p has, and both lists, with plenty to spare. The wire format allows 65535.
    pub max_message: usize,
    /// A longer list of multiplexers counts as not sent. Default 100, as in go-libp2p.
    pub max_muxers: usize,
    /// A longer list of certificate hashes counts as not sent. Default 100.
    pub max_certhashes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { muxers: Vec::new(), certhashes: Vec::new(), max_message: 16384, max_muxers: 100, max_certhashes: 100 }
    }
}

/// All that the Noise handshakes of one node share. Made once: a clone is another handle to the same.
///
/// It holds the node's static X25519 key, the identity's signature over it, and the payload that is sent in each
/// handshake. So a handshake costs each side one base multiplication, three agreements and one verification.
///
/// The static key is never stored anywhere; the next start of the node may have another one.
///
/// ```
/// use tidewire_core::{Keypair, Seed};
/// use tidewire_upgrade::crypto::Crypto;
/// use tidewire_upgrade::security::noise::{Config, Noise};
///
/// let root = Seed::new([7; 32]); // drawn from the operating system
/// let identity = Keypair::from_seed(&root.derive("identity", 0));
/// let mut config = Config::default();
/// config.muxers = vec!["/yamux/1.0.0".into()];
/// let noise = Noise::new(&identity, &root.derive("noise", 0), Crypto::default(), config)?;
/// # Ok::<(), tidewire_upgrade::security::noise::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Noise(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    crypto: Crypto,
    static_key: Arc<SecretKey>,
    payload: Vec<u8>,
    config: Config,
}

impl Noise {
    /// Draws a static key from `seed` and signs it with `identity`.
    ///
    /// # Errors
    /// The configuration announces more than fits.
    pub fn new(identity: &Keypair, seed: &Seed, crypto: Crypto, config: Config) -> Result<Self, ConfigError> {
        if config.muxers.len() > config.max_muxers {
            return Err(ConfigError::TooManyMuxers { len: config.muxers.len(), max: config.max_muxers });
        }
        let static_key = SecretKey::new(*seed.derive("noise-static-key", 0).as_bytes(), crypto);
        let signature = identity.sign(&signed(static_key.public()));
        let extensions = Extensions { muxers: config.muxers.clone(), certhashes: config.certhashes.clone() };
        let payload = payload::encode(&identity.public().to_protobuf(), &signature, &extensions);
        if payload.len() > handshake::MAX_PAYLOAD {
            return Err(ConfigError::PayloadTooLong { len: payload.len(), max: handshake::MAX_PAYLOAD });
        }
        Ok(Noise(Arc::new(Shared { crypto, static_key: Arc::new(static_key), payload, config })))
    }

    /// The public half of the static key.
    pub fn static_key(&self) -> &[u8; 32] {
        self.0.static_key.public()
    }

    /// What it was made with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }
}

/// What the identity key signs.
fn signed(static_key: &[u8; 32]) -> [u8; 56] {
    let mut text = [0; 56];
    let (prefix, key) = text.split_at_mut(payload::SIGNATURE_PREFIX.len());
    prefix.copy_from_slice(payload::SIGNATURE_PREFIX);
    key.copy_from_slice(static_key);
    text
}

#[cfg(test)]
mod tests;
