//! The header of an mplex message, and why one is refused.
//!
//! ```text
//! | header: uvarint      | length: uvarint | data           |      mplex spec, "Message format"
//! | id << 3 | flag (0-6) | at most 1 MiB   | `length` bytes |
//! ```
//!
//! Both varints are minimal and at most 9 bytes long (unsigned-varint spec).

use bytes::BytesMut;
use unsigned_varint::{decode, encode};

/// Bytes of one varint at most: unsigned-varint spec, "Practical maximum of 9 bytes".
const MAX_VARINT: usize = 9;
/// The largest stream id: 63 bits of varint, 3 of them flags (mplex spec, "Message format").
pub(super) const MAX_ID: u64 = (1 << 60) - 1;
/// Room that a header takes at most.
pub(super) const MAX_HEADER: usize = 2 * MAX_VARINT;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Open,
    Data,
    Close,
    Reset,
}

/// The header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The stream's id on the wire: unique together with who opened it.
    pub(super) id: u64,
    pub(super) kind: Kind,
    /// Whether the sender of the message opened the stream.
    pub(super) by_opener: bool,
    /// Length of the data that follows.
    pub(super) len: u64,
}

impl Header {
    /// The header at the start of `bytes`, and its length. `None`: it is not complete.
    ///
    /// Says what is wrong with the first varint before it looks for the second.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<(Header, usize)>, Error> {
        let Some((header, rest)) = varint(bytes, Field::Header)? else { return Ok(None) };
        let (id, flag) = (header >> 3, header & 7);
        let (kind, by_opener) = match flag {
            0 => (Kind::Open, true),
            1 => (Kind::Data, false),
            2 => (Kind::Data, true),
            3 => (Kind::Close, false),
            4 => (Kind::Close, true),
            5 => (Kind::Reset, false),
            6 => (Kind::Reset, true),
            _ => return Err(Error::UnknownFlag { id }),
        };
        let Some((len, rest)) = varint(rest, Field::Length)? else { return Ok(None) };
        Ok(Some((Header { id, kind, by_opener, len }, bytes.len() - rest.len())))
    }

    /// Appends the header to `tx`.
    pub(super) fn encode(self, tx: &mut BytesMut) {
        let flag = match (self.kind, self.by_opener) {
            (Kind::Open, _) => 0,
            (Kind::Data, false) => 1,
            (Kind::Data, true) => 2,
            (Kind::Close, false) => 3,
            (Kind::Close, true) => 4,
            (Kind::Reset, false) => 5,
            (Kind::Reset, true) => 6,
        };
        let mut buffer = encode::u64_buffer();
        tx.extend_from_slice(encode::u64((self.id << 3) | flag, &mut buffer));
        tx.extend_from_slice(encode::u64(self.len, &mut buffer));
    }
}

/// Bytes that `number` takes as a varint.
pub(super) const fn varint_len(number: u64) -> usize {
    let bits = u64::BITS - (number | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// The varint at the start of `bytes`, and what follows it. `None`: it is not complete.
fn varint(bytes: &[u8], field: Field) -> Result<Option<(u64, &[u8])>, Error> {
    let bounded = &bytes[..bytes.len().min(MAX_VARINT)];
    match decode::u64(bounded) {
        Ok((number, rest)) => Ok(Some((number, &bytes[bounded.len() - rest.len()..]))),
        Err(decode::Error::Insufficient) if bounded.len() < MAX_VARINT => Ok(None),
        Err(decode::Error::NotMinimal) => Err(Error::VarintNotMinimal { field }),
        Err(_) => Err(Error::VarintTooLong { field }),
    }
}

/// One of the two numbers before a message's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// Stream id and flag.
    Header,
    /// Length of the data.
    Length,
}

impl core::fmt::Display for Field {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Field::Header => "header",
            Field::Length => "length",
        })
    }
}

/// How the remote broke mplex. Final; mplex has no message that would tell the remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// unsigned-varint spec: at most 9 bytes.
    #[error("the remote's mplex {field} is a varint of more than 9 bytes")]
    VarintTooLong {
        /// Which number.
        field: Field,
    },
    /// unsigned-varint spec: the shortest form.
    #[error("the remote's mplex {field} is a varint that is longer than it must be")]
    VarintNotMinimal {
        /// Which number.
        field: Field,
    },
    /// mplex spec, "Flag Values": 0 to 6.
    #[error("the remote sent an mplex message with flag 7 for stream {id}; flags are 0 to 6")]
    UnknownFlag {
        /// The stream's id on the wire.
        id: u64,
    },
    /// mplex spec, "Writing to a stream": at most 1 MiB. See [`Config::max_frame`](super::Config::max_frame).
    #[error("the remote announced {len} bytes in one mplex message for stream {id}; at most {limit} are allowed")]
    FrameTooLong {
        /// The stream's id on the wire.
        id: u64,
        /// What the remote announced.
        len: u64,
        /// The limit.
        limit: usize,
    },
    /// See [`Config::max_name`](super::Config::max_name).
    #[error("the remote opened mplex stream {id} with a name of {len} bytes; at most {limit} are allowed")]
    NameTooLong {
        /// The stream's id on the wire.
        id: u64,
        /// What the remote announced.
        len: u64,
        /// The limit.
        limit: usize,
    },
    /// mplex spec, "Opening a new stream": a new id.
    #[error("the remote opened mplex stream {id}, which it has open already")]
    IdInUse {
        /// The stream's id on the wire.
        id: u64,
    },
    /// The remote stopped sending inside a message.
    #[error("the remote's bytes end inside an mplex message")]
    CutShort,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_every_kind_come_back_as_they_were_encoded() {
        for id in [0, 1, 15, 16, 127, 128, u64::from(u32::MAX), MAX_ID] {
            for (kind, by_opener) in [
                (Kind::Open, true),
                (Kind::Data, false),
                (Kind::Data, true),
                (Kind::Close, false),
                (Kind::Close, true),
                (Kind::Reset, false),
                (Kind::Reset, true),
            ] {
                for len in [0, 1, 127, 128, 1 << 20, (1 << 63) - 1] {
                    let header = Header { id, kind, by_opener, len };
                    let mut bytes = BytesMut::new();
                    header.encode(&mut bytes);
                    assert_eq!(bytes.len(), varint_len(id << 3 | 7) + varint_len(len));
                    assert!(bytes.len() <= MAX_HEADER);
                    assert_eq!(Header::decode(&bytes), Ok(Some((header, bytes.len()))));
                    for cut in 0..bytes.len() {
                        assert_eq!(Header::decode(&bytes[..cut]), Ok(None));
                    }
                }
            }
        }
    }

    #[test]
    fn the_header_is_read_as_the_spec_writes_it() {
        // Stream 17, MessageInitiator: 17 << 3 | 2 = 138 = 0x8a 0x01; 5 bytes follow.
        let header = Header { id: 17, kind: Kind::Data, by_opener: true, len: 5 };
        assert_eq!(Header::decode(&[0x8a, 0x01, 0x05, b'h']), Ok(Some((header, 3))));
    }

    #[test]
    fn bad_headers_are_refused_at_the_first_byte_that_shows_it() {
        let long = [0xff; 9];
        let table: [(&[u8], Error); 6] = [
            (&[7], Error::UnknownFlag { id: 0 }),
            (&[0x8f, 0x01], Error::UnknownFlag { id: 17 }),
            (&[0x80, 0x00], Error::VarintNotMinimal { field: Field::Header }),
            (&long, Error::VarintTooLong { field: Field::Header }),
            (&[2, 0x81, 0x00], Error::VarintNotMinimal { field: Field::Length }),
            (&[2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Error::VarintTooLong { field: Field::Length }),
        ];
        for (bytes, error) in table {
            assert_eq!(Header::decode(bytes), Err(error), "{bytes:x?}");
            assert_eq!(Header::decode(&bytes[..bytes.len() - 1]), Ok(None), "{bytes:x?}");
            let followed = [bytes, &[1, 2, 3]].concat();
            assert_eq!(Header::decode(&followed), Err(error), "{followed:x?}");
        }
    }
}
