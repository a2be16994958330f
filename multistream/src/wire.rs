//! Frames of multistream-select, read in place: uvarint(length with the newline), name, newline.
//!
//! Spec: `multiformats/multistream-select`, "Protocol", notes 1 and 2; `multiformats/unsigned-varint`: minimal, 9 bytes at
//! most.

use crate::error::Excerpt;
use crate::{Error, Protocol};
use bytes::{Buf, BytesMut};

/// The header, framed.
pub(crate) const HEADER: &[u8; 20] = b"\x13/multistream/1.0.0\n";
/// "Not available", framed.
pub(crate) const NA: &[u8; 4] = b"\x03na\n";
/// The question for a list, framed.
pub(crate) const LS: &[u8; 4] = b"\x03ls\n";
/// Simultaneous open, framed.
pub(crate) const SIMULTANEOUS: &[u8; 30] = b"\x1d/libp2p/simultaneous-connect\n";

/// The name inside one of the framed words above.
const fn word(framed: &[u8]) -> &[u8] {
    match framed {
        [_, name @ .., b'\n'] => name,
        _ => &[],
    }
}

pub(crate) const SIMULTANEOUS_NAME: &[u8] = word(SIMULTANEOUS);
pub(crate) const LS_NAME: &[u8] = word(LS);
pub(crate) const NA_NAME: &[u8] = word(NA);
pub(crate) const HEADER_NAME: &[u8] = word(HEADER);

/// Whether this is a word of multistream-select itself, which no protocol can have for its name.
pub(crate) const fn is_reserved(name: &[u8]) -> bool {
    same(name, NA_NAME) || same(name, LS_NAME) || same(name, HEADER_NAME) || same(name, SIMULTANEOUS_NAME)
}

// `==` on slices is not const.
const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// A complete frame at the front of `rx`.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// The frame with its length, as it stands on the wire.
    pub(crate) whole: &'a [u8],
    /// The body without its newline. May be empty.
    pub(crate) name: &'a [u8],
}

/// The frame at the front of `rx`, if it is complete. Its newline is checked, its text is not.
///
/// The verdict depends on the frame's own bytes alone, never on how much of it had arrived before.
#[inline]
pub(crate) fn frame(rx: &[u8], max: usize) -> Result<Option<Frame<'_>>, Error> {
    let (head, len) = match *rx {
        [] => return Ok(None),
        [first, ..] if first < 0x80 => (1, usize::from(first)),
        _ => match long_length(rx)? {
            Some((head, len)) => (head, usize::try_from(len).unwrap_or(usize::MAX)),
            None => return Ok(None),
        },
    };
    if len == 0 {
        return Err(Error::EmptyFrame);
    }
    if len > max {
        return Err(Error::FrameTooLong { len: len as u64, max });
    }
    let Some(whole) = rx.get(..head.saturating_add(len)) else { return Ok(None) };
    match &whole[head..] {
        [name @ .., b'\n'] => Ok(Some(Frame { whole, name })),
        body => Err(Error::MissingNewline { frame: Excerpt::of(body) }),
    }
}

/// A length of more than one byte: its bytes and its value.
fn long_length(rx: &[u8]) -> Result<Option<(usize, u64)>, Error> {
    let mut len = 0;
    for (i, &byte) in rx.iter().take(9).enumerate() {
        len |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            // A last byte of 0 adds nothing: not minimal.
            return if byte == 0 { Err(Error::BadLength) } else { Ok(Some((i + 1, len))) };
        }
    }
    if rx.len() >= 9 { Err(Error::BadLength) } else { Ok(None) }
}

/// If `rx` begins with the frame of this name, the frame's length on the wire. The fast path: nothing is decoded.
#[inline]
pub(crate) fn starts_with(rx: &[u8], name: &[u8]) -> Option<usize> {
    let len = name.len() + 1;
    let body = match *rx {
        [first, ref body @ ..] if len < 0x80 && usize::from(first) == len => body,
        [first, second, ref body @ ..]
            if len >= 0x80 && usize::from(first) == (len & 0x7f | 0x80) && usize::from(second) == len >> 7 =>
        {
            body
        }
        _ => return None,
    };
    match body.get(..len) {
        Some([front @ .., b'\n']) if front == name => Some(rx.len() - body.len() + len),
        _ => None,
    }
}

/// Takes the remote's header from the front of `rx`. `false`: it is not complete.
#[inline]
pub(crate) fn take_header(rx: &mut BytesMut, max: usize) -> Result<bool, Error> {
    // As an array, this compares in registers.
    if rx.first_chunk() == Some(HEADER) {
        consume(rx, HEADER.len());
        return Ok(true);
    }
    if rx.is_empty() { Ok(false) } else { no_header(rx, max) }
}

#[cold]
fn no_header(rx: &[u8], max: usize) -> Result<bool, Error> {
    match frame(rx, max)? {
        None => Ok(false),
        Some(frame) => Err(Error::BadHeader { actual: Excerpt::of(frame.name) }),
    }
}

/// Whether `rx` begins with a refusal.
#[inline]
pub(crate) fn is_na(rx: &[u8]) -> bool {
    rx.first_chunk() == Some(NA)
}

/// Takes `len` bytes from the front of `rx`. All of them mostly: then the buffer is as good as new, and needs no reclaiming.
#[inline]
pub(crate) fn consume(rx: &mut BytesMut, len: usize) {
    if len == rx.len() { rx.clear() } else { rx.advance(len) }
}

/// Whether a frame that is none of the words we know is a text at all.
#[inline]
pub(crate) fn check_text(name: &[u8]) -> Result<(), Error> {
    if !name.is_empty() && name.is_ascii() { Ok(()) } else { text(name).map(|_| ()) }
}

/// The text of a frame that is none of the words we know.
pub(crate) fn text(name: &[u8]) -> Result<&str, Error> {
    if name.is_empty() {
        return Err(Error::EmptyFrame);
    }
    core::str::from_utf8(name).map_err(|_| Error::NotUtf8 { frame: Excerpt::of(name) })
}

/// Appends the frame of this name.
#[inline]
pub(crate) fn put(tx: &mut BytesMut, name: &[u8]) {
    put_length(tx, name.len() + 1);
    tx.extend_from_slice(name);
    tx.extend_from_slice(b"\n");
}

/// Appends the header and the first proposal: one flight.
#[inline]
pub(crate) fn put_opening(tx: &mut BytesMut, name: &Protocol) {
    tx.extend_from_slice(HEADER);
    put(tx, name.as_bytes());
}

/// Appends a length.
#[inline]
pub(crate) fn put_length(tx: &mut BytesMut, len: usize) {
    match u8::try_from(len) {
        Ok(short) if short < 0x80 => tx.extend_from_slice(&[short]),
        _ => {
            let mut buffer = unsigned_varint::encode::usize_buffer();
            tx.extend_from_slice(unsigned_varint::encode::usize(len, &mut buffer));
        }
    }
}

/// Bytes of the frame of this name on the wire.
pub(crate) fn framed_len(name: &[u8]) -> usize {
    let len = name.len() + 1;
    len + length_len(len)
}

/// Bytes of a length on the wire.
pub(crate) fn length_len(len: usize) -> usize {
    let mut buffer = unsigned_varint::encode::usize_buffer();
    unsigned_varint::encode::usize(len, &mut buffer).len()
}
