//! Unsigned varints (multiformats/unsigned-varint) and frames that begin with their length, the way of nearly every
//! libp2p protocol: `uvarint(length) body`.
//!
//! ```text
//! rx: incomplete header         -> None, nothing consumed
//! rx: header over the limit     -> error, before a byte of the body is waited for
//! rx: header, part of the body  -> None, nothing consumed
//! rx: header, body, more        -> the body; more stays in rx
//! ```
//!
//! No state between calls: whoever cuts the input, and where, changes nothing.

use bytes::{Buf, BufMut, BytesMut};
use thiserror::Error;
use unsigned_varint::{decode, encode};

/// The longest varint in bytes: 63 bits of value (unsigned-varint, "Practical maximum of 9 bytes").
pub const MAX_VARINT_LEN: usize = 9;

/// Bytes that are no unsigned varint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VarintError {
    /// The number is written with more bytes than it needs.
    #[error("a varint must be minimal, this one ends in a zero byte")]
    NotMinimal,
    /// The number needs more than nine bytes: it is 2^63 or more.
    #[error("a varint has at most 9 bytes, this one is longer")]
    TooLong,
}

/// A frame that can't be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length is no varint.
    #[error("the frame's length is malformed: {0}")]
    Length(#[from] VarintError),
    /// The body would be longer than allowed. None of it was waited for.
    #[error("the frame announces {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Bytes of body that the header announces.
        len: u64,
        /// The limit that the caller gave.
        max: usize,
    },
}

/// The header of a frame: how long it is itself, and how long the body behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of the header.
    pub header_len: usize,
    /// Bytes of the body. Not above the limit.
    pub body_len: usize,
}

/// Reads a varint from the start of `bytes`: its value and its length in bytes. `None`: it is not complete.
///
/// # Errors
/// It is not minimal, or longer than [`MAX_VARINT_LEN`]; said as soon as the bytes show it.
pub fn decode_varint(bytes: &[u8]) -> Result<Option<(u64, usize)>, VarintError> {
    match bytes {
        [] => return Ok(None),
        [value @ 0..=0x7f, ..] => return Ok(Some((u64::from(*value), 1))),
        _ => {}
    }
    let head = bytes.get(..MAX_VARINT_LEN).unwrap_or(bytes);
    match decode::u64(head) {
        Ok((value, rest)) => Ok(Some((value, head.len() - rest.len()))),
        Err(decode::Error::Insufficient) if head.len() < MAX_VARINT_LEN => Ok(None),
        Err(decode::Error::NotMinimal) => Err(VarintError::NotMinimal),
        Err(_) => Err(VarintError::TooLong),
    }
}

/// Appends a varint to `tx`.
///
/// # Errors
/// [`VarintError::TooLong`]: `value` is 2^63 or more; nothing was appended.
pub fn encode_varint(value: u64, tx: &mut BytesMut) -> Result<(), VarintError> {
    if value >> 63 != 0 {
        return Err(VarintError::TooLong);
    }
    tx.put_slice(encode::u64(value, &mut encode::u64_buffer()));
    Ok(())
}

/// Reads the header of the frame at the start of `bytes`. `None`: it is not complete.
///
/// # Errors
/// The length is malformed, or above `max`.
pub fn decode_frame_header(bytes: &[u8], max: usize) -> Result<Option<FrameHeader>, FrameError> {
    let Some((len, header_len)) = decode_varint(bytes)? else { return Ok(None) };
    match usize::try_from(len) {
        Ok(body_len) if body_len <= max => Ok(Some(FrameHeader { header_len, body_len })),
        _ => Err(FrameError::TooLong { len, max }),
    }
}

/// Takes the next frame off `rx` and returns its body, of at most `max` bytes. `None`: it is not complete, and nothing was
/// consumed.
///
/// The body shares the buffer of `rx`; nothing is copied or reserved.
///
/// ```
/// use bytes::BytesMut;
/// use tidewire_core::{FrameError, decode_frame, encode_frame};
///
/// let mut wire = BytesMut::new();
/// encode_frame(b"hello", &mut wire);
/// wire.extend_from_slice(&[0xff, 0xff, 0x03]); // a frame of 65535 bytes is coming
///
/// assert_eq!(decode_frame(&mut wire, 1024)?.as_deref(), Some(&b"hello"[..]));
/// assert_eq!(decode_frame(&mut wire, 1024), Err(FrameError::TooLong { len: 65535, max: 1024 }));
/// # Ok::<(), FrameError>(())
/// ```
///
/// # Errors
/// The length is malformed, or above `max`: said on the header, before any of the body is there. Nothing was consumed.
pub fn decode_frame(rx: &mut BytesMut, max: usize) -> Result<Option<BytesMut>, FrameError> {
    let Some(FrameHeader { header_len, body_len }) = decode_frame_header(rx, max)? else { return Ok(None) };
    if rx.len() - header_len < body_len {
        return Ok(None);
    }
    rx.advance(header_len);
    // Splitting off nothing would still allocate.
    Ok(Some(if body_len == 0 { BytesMut::new() } else { rx.split_to(body_len) }))
}

/// Appends a frame with this body to `tx`.
pub fn encode_frame(body: &[u8], tx: &mut BytesMut) {
    let mut buffer = encode::usize_buffer();
    let header = encode::usize(body.len(), &mut buffer);
    tx.reserve(header.len() + body.len());
    tx.put_slice(header);
    tx.put_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    // unsigned-varint README, "Spec", and the edges of its maximum.
    const VARINTS: [(u64, &[u8]); 9] = [
        (0, &[0x00]),
        (1, &[0x01]),
        (127, &[0x7f]),
        (128, &[0x80, 0x01]),
        (255, &[0xff, 0x01]),
        (300, &[0xac, 0x02]),
        (16384, &[0x80, 0x80, 0x01]),
        (1 << 56, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]),
        ((1 << 63) - 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
    ];

    #[test]
    fn varints_of_the_spec_are_written_and_read() {
        for (value, bytes) in VARINTS {
            let mut tx = BytesMut::new();
            encode_varint(value, &mut tx).unwrap();
            assert_eq!(&tx[..], bytes);
            tx.extend_from_slice(b"more");
            assert_eq!(decode_varint(&tx), Ok(Some((value, bytes.len()))));
        }
    }

    #[test]
    fn a_varint_cut_anywhere_is_incomplete() {
        for (_, bytes) in VARINTS {
            for cut in 0..bytes.len() {
                assert_eq!(decode_varint(&bytes[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn a_varint_that_is_not_minimal_is_refused() {
        for bytes in [&[0x80, 0x00][..], &[0x81, 0x00], &[0xff, 0x80, 0x00], &[0x80, 0x80, 0x80, 0x80, 0x00]] {
            assert_eq!(decode_varint(bytes), Err(VarintError::NotMinimal), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_varint_of_more_than_nine_bytes_is_refused_at_the_ninth() {
        assert_eq!(decode_varint(&[0xff; 8]), Ok(None));
        assert_eq!(decode_varint(&[0xff; 9]), Err(VarintError::TooLong));
        assert_eq!(decode_varint(&[0x80; 100]), Err(VarintError::TooLong));
        // 2^63 in ten bytes.
        assert_eq!(
            decode_varint(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]),
            Err(VarintError::TooLong)
        );
    }

    #[test]
    fn a_value_of_more_than_63_bits_is_not_written() {
        let mut tx = BytesMut::new();
        assert_eq!(encode_varint(1 << 63, &mut tx), Err(VarintError::TooLong));
        assert!(tx.is_empty());
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_on_its_header() {
        let mut rx = BytesMut::from(&[0x81, 0x08][..]);
        let before = rx.capacity();
        assert_eq!(decode_frame(&mut rx, 1024), Err(FrameError::TooLong { len: 1025, max: 1024 }));
        assert_eq!(rx.capacity(), before, "nothing was reserved");
        assert_eq!(&rx[..], [0x81, 0x08], "nothing was consumed");

        let mut rx = BytesMut::from(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f][..]);
        let len = (1 << 63) - 1;
        assert_eq!(decode_frame(&mut rx, 1 << 20), Err(FrameError::TooLong { len, max: 1 << 20 }));
    }

    #[test]
    fn a_frame_of_exactly_the_limit_passes() {
        let mut rx = BytesMut::new();
        encode_frame(&[7; 1024], &mut rx);
        assert_eq!(decode_frame(&mut rx, 1024), Ok(Some(BytesMut::from(&[7; 1024][..]))));
        assert!(rx.is_empty());
    }

    #[test]
    fn malformed_lengths_are_refused() {
        let mut rx = BytesMut::from(&[0x85, 0x00, 1, 2, 3, 4, 5][..]);
        assert_eq!(decode_frame(&mut rx, 1024), Err(FrameError::Length(VarintError::NotMinimal)));
        let mut rx = BytesMut::from(&[0xff; 9][..]);
        assert_eq!(decode_frame(&mut rx, usize::MAX), Err(FrameError::Length(VarintError::TooLong)));
    }

    proptest! {
        #[test]
        fn any_value_survives(value in 0u64..1 << 63) {
            let mut tx = BytesMut::new();
            encode_varint(value, &mut tx).unwrap();
            prop_assert_eq!(decode_varint(&tx), Ok(Some((value, tx.len()))));
        }

        #[test]
        fn whatever_is_read_as_a_varint_is_written_the_same(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Ok(Some((value, len))) = decode_varint(&bytes) {
                let mut tx = BytesMut::new();
                encode_varint(value, &mut tx).unwrap();
                prop_assert_eq!(&tx[..], &bytes[..len]);
            }
        }

        #[test]
        fn any_cut_gives_the_same_frames(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut wire = BytesMut::new();
            for body in &bodies {
                encode_frame(body, &mut wire);
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
            cuts.push(wire.len());
            cuts.sort_unstable();

            let (mut rx, mut frames, mut from) = (BytesMut::new(), vec![], 0);
            for to in cuts {
                rx.extend_from_slice(&wire[from..to]);
                from = to;
                while let Some(body) = decode_frame(&mut rx, 300).unwrap() {
                    frames.push(body.to_vec());
                }
            }
            prop_assert!(rx.is_empty());
            prop_assert_eq!(frames, bodies);
        }

        #[test]
        fn an_incomplete_frame_consumes_nothing(body in prop::collection::vec(any::<u8>(), 1..300), cut in any::<prop::sample::Index>()) {
            let mut wire = BytesMut::new();
            encode_frame(&body, &mut wire);
            wire.truncate(cut.index(wire.len()));
            let before = wire.clone();
            prop_assert_eq!(decode_frame(&mut wire, 300), Ok(None));
            prop_assert_eq!(wire, before);
        }
    }
}
