//! How an upgrade fails.

use crate::channel::ChannelError;
use crate::security::psk::PskError;
use crate::security::{SecurityError, noise, plaintext};
use core::fmt;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::PeerId;
use tidewire_multistream as multistream;

/// A part of the upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The private network's nonces.
    PrivateNetwork,
    /// Agreeing on a security protocol.
    Security,
    /// The security protocol's handshake.
    Handshake,
    /// Agreeing on a multiplexer.
    Muxer,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::PrivateNetwork => "the private network's opening",
            Stage::Security => "selecting a security protocol",
            Stage::Handshake => "the security handshake",
            Stage::Muxer => "selecting a multiplexer",
        })
    }
}

/// Why an upgrade failed. Final: send what is in `tx`, then close the socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The ends did not agree on a security protocol.
    #[error("no security protocol was agreed on: {error}{hint}", error = .0, hint = ended(.0))]
    SelectSecurity(multistream::Error),
    /// The handshake failed: the remote is not who it should be, or did not prove who it is, or broke a rule.
    #[error("the security handshake failed: {0}")]
    Handshake(#[from] SecurityError),
    /// The ends did not agree on a multiplexer.
    #[error("no multiplexer was agreed on: {0}")]
    SelectMuxer(multistream::Error),
    /// The handshake named a multiplexer that we did not offer.
    #[error("the handshake agreed on the multiplexer {name}, which we did not offer")]
    UnknownMuxer {
        /// Its name.
        name: SmolStr,
    },
    /// A record, after the handshake.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The private network's layer failed.
    #[error(transparent)]
    Psk(#[from] PskError),
    /// It took too long.
    #[error("the upgrade took longer than {timeout:?}; it was still at {stage}{}", hint(*stage))]
    TimedOut {
        /// The limit.
        timeout: Duration,
        /// Where it was.
        stage: Stage,
    },
    /// The remote closed the connection.
    #[error("the remote closed the connection during {stage}{}", hint(*stage))]
    EndedEarly {
        /// Where it was.
        stage: Stage,
    },
    /// We refused.
    #[error("refused by us: {reason}")]
    Refused {
        /// Why.
        reason: SmolStr,
    },
}

impl UpgradeError {
    /// Who is at the other end, if someone else was expected there.
    pub fn wrong_peer(&self) -> Option<PeerId> {
        match self {
            UpgradeError::Handshake(
                SecurityError::Noise(noise::Error::PeerMismatch { got, .. })
                | SecurityError::Plaintext(plaintext::Error::PeerMismatch { got, .. }),
            ) => Some(*got),
            _ => None,
        }
    }

    /// Whether the remote initiates as we do: both dialed from the ports on which they listen, and TCP made one connection of
    /// the two SYNs that crossed (RFC 9293, 3.5). Then Noise's first message, a key of 32 bytes, stands in the place of the
    /// second. A dial from another port helps.
    pub const fn is_crossed(&self) -> bool {
        matches!(
            self,
            UpgradeError::Handshake(SecurityError::Noise(noise::Error::MessageTooShort { message: 2, len: 32, .. }))
        )
    }
}

/// A remote that hangs up while the first protocol is selected, as seen by multistream-select.
fn ended(error: &multistream::Error) -> &'static str {
    match error {
        multistream::Error::EndedEarly { .. } => hint(Stage::Security),
        _ => "",
    }
}

/// A remote that is silent, or hangs up, at the first bytes may well be one that can't read them.
fn hint(stage: Stage) -> &'static str {
    match stage {
        Stage::PrivateNetwork | Stage::Security => " (is one end in a private network, or is this another protocol?)",
        Stage::Handshake | Stage::Muxer => "",
    }
}
