//! The twelve bytes that stand before everything: yamux spec, "Framing".
//!
//! ```text
//!  0        1        2                 4                                   8                                  12
//!  +--------+--------+-----------------+-----------------------------------+-----------------------------------+
//!  | version| type   | flags           | stream id                         | length                            |
//!  | 0      | 0..=3  | SYN ACK FIN RST | 0: the connection itself          | bytes, credit, value or code      |
//!  +--------+--------+-----------------+-----------------------------------+-----------------------------------+
//! ```
//!
//! All in network order. Decoding is strict: what no peer sends is a sign that the two ends no longer agree on where
//! frames begin, and guessing on would deliver garbage as data.

use super::error::Error;

/// Length of a header.
pub(super) const HEADER: usize = 12;
/// A new stream; on a ping: a question.
pub(super) const SYN: u16 = 0x1;
/// The stream is accepted; on a ping: an answer.
pub(super) const ACK: u16 = 0x2;
/// The sender sends no more on this stream.
pub(super) const FIN: u16 = 0x4;
/// The stream ends at once.
pub(super) const RST: u16 = 0x8;

/// Go-away: nothing is wrong.
pub(super) const GO_AWAY_PROTOCOL_ERROR: u32 = 1;
/// Go-away: something is wrong on this side.
pub(super) const GO_AWAY_INTERNAL_ERROR: u32 = 2;
/// A stream is refused for want of room: go-yamux v5 carries libp2p's stream error codes in the length of a reset, and
/// 0x1002 is "resource limit exceeded".
pub(super) const REFUSED_NO_ROOM: u32 = 0x1002;
/// A stream is refused because the connection is going away: libp2p's "shutdown".
pub(super) const REFUSED_SHUTDOWN: u32 = 0x1007;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Bytes of a stream follow.
    Data,
    /// Credit for a stream: so many more bytes may be sent.
    WindowUpdate,
    /// A question about liveness, or the answer.
    Ping,
    /// No more streams.
    GoAway,
}

impl core::fmt::Display for Kind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Kind::Data => "DATA",
            Kind::WindowUpdate => "WINDOW_UPDATE",
            Kind::Ping => "PING",
            Kind::GoAway => "GO_AWAY",
        })
    }
}

/// A frame without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) flags: u16,
    /// 0 for the connection itself.
    pub(super) stream: u32,
    /// Bytes, credit, value or code, as `kind` says.
    pub(super) length: u32,
}

impl Header {
    /// Reads a header and checks what can be checked without knowing the streams.
    #[inline]
    pub(super) fn decode(bytes: &[u8; HEADER]) -> Result<Self, Error> {
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = *bytes;
        if version != 0 {
            return Err(Error::Version { version });
        }
        let flags = u16::from_be_bytes([f0, f1]);
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let (kind, known) = match kind {
            0 => (Kind::Data, SYN | ACK | FIN | RST),
            1 => (Kind::WindowUpdate, SYN | ACK | FIN | RST),
            2 => (Kind::Ping, SYN | ACK),
            3 => (Kind::GoAway, 0),
            kind => return Err(Error::UnknownType { kind, stream }),
        };
        if flags & !known != 0 {
            return Err(Error::Flags { kind, flags, stream });
        }
        match kind {
            Kind::Data | Kind::WindowUpdate if stream == 0 => Err(Error::StreamFrameOnConnection { kind }),
            Kind::Ping | Kind::GoAway if stream != 0 => Err(Error::ConnectionFrameOnStream { kind, stream }),
            Kind::Ping if flags != SYN && flags != ACK => Err(Error::Flags { kind, flags, stream }),
            _ => Ok(Header { kind, flags, stream, length }),
        }
    }

    #[inline]
    pub(super) fn encode(self) -> [u8; HEADER] {
        let kind = match self.kind {
            Kind::Data => 0,
            Kind::WindowUpdate => 1,
            Kind::Ping => 2,
            Kind::GoAway => 3,
        };
        let [f0, f1] = self.flags.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [0, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3]
    }
}
