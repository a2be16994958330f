//! Which side of a handshake we are. Always said, never inferred from who dialed.

/// The side of a handshake.
///
/// Negotiation, Noise, TLS and yamux ids all follow this, not the direction of the dial: after a hole punch both ends
/// dialed, and exactly one of them is the responder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Role {
    /// Speaks first: the multistream dialer, Noise initiator, TLS client, odd yamux ids.
    Initiator,
    /// Answers: the multistream listener, Noise responder, TLS server, even yamux ids.
    Responder,
}

impl Role {
    /// The role of the other end.
    pub const fn opposite(self) -> Role {
        match self {
            Role::Initiator => Role::Responder,
            Role::Responder => Role::Initiator,
        }
    }

    /// Whether this is [`Role::Initiator`].
    pub const fn is_initiator(self) -> bool {
        matches!(self, Role::Initiator)
    }
}
