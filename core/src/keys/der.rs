//! As much DER as two kinds of public key need: SEQUENCE, OBJECT IDENTIFIER, NULL, INTEGER, BIT STRING.
//!
//! Strict (ITU-T X.690, section 10): one encoding per value, so that one key has one peer id. Each step moves forward by
//! at least two bytes or fails, and a length is compared with what is there before anything else is done with it, so work
//! is linear in the input whatever the lengths claim.

use thiserror::Error;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// DER that breaks its rules, or holds something else than expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DerError {
    /// An element ends after the bytes do.
    #[error("an element needs {expected} bytes, only {got} are there")]
    Truncated {
        /// Bytes that the element announces, or those of its tag and length if even they are cut.
        expected: usize,
        /// Bytes left.
        got: usize,
    },
    /// Another type of element.
    #[error("expected an element with tag 0x{expected:02x}, found 0x{got:02x}")]
    Tag {
        /// The tag that the structure asks for.
        expected: u8,
        /// The tag found.
        got: u8,
    },
    /// A length that is indefinite, not the shortest form, or above 65535.
    #[error("a length that starts with 0x{first:02x} is indefinite, not minimal or above 65535")]
    Length {
        /// The first byte of the length.
        first: u8,
    },
    /// Bytes after the last element.
    #[error("{got} bytes follow the last element")]
    Trailing {
        /// How many.
        got: usize,
    },
    /// An integer that is empty, negative or not the shortest form.
    #[error("an integer is empty, negative or not minimal")]
    Integer,
    /// A bit string whose length is no whole number of bytes.
    #[error("a bit string must hold whole bytes")]
    BitString,
}

/// Reads one element after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    pub(super) fn sequence(&mut self) -> Result<Reader<'a>, DerError> {
        self.element(SEQUENCE).map(Reader)
    }

    /// The encoded value, undecoded.
    pub(super) fn object_identifier(&mut self) -> Result<&'a [u8], DerError> {
        self.element(OBJECT_IDENTIFIER)
    }

    pub(super) fn null(&mut self) -> Result<(), DerError> {
        match self.element(NULL)? {
            [] => Ok(()),
            rest => Err(DerError::Trailing { got: rest.len() }),
        }
    }

    /// A non-negative integer, big-endian, without its sign byte. Zero is one zero byte.
    pub(super) fn unsigned(&mut self) -> Result<&'a [u8], DerError> {
        match self.element(INTEGER)? {
            [] | [0x80..=0xff, ..] | [0, 0..=0x7f, ..] => Err(DerError::Integer),
            [0, magnitude @ ..] if !magnitude.is_empty() => Ok(magnitude),
            magnitude => Ok(magnitude),
        }
    }

    /// A bit string of whole bytes.
    pub(super) fn bit_string(&mut self) -> Result<&'a [u8], DerError> {
        match self.element(BIT_STRING)? {
            [0, bytes @ ..] => Ok(bytes),
            _ => Err(DerError::BitString),
        }
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), DerError> {
        if self.0.is_empty() { Ok(()) } else { Err(DerError::Trailing { got: self.0.len() }) }
    }

    fn element(&mut self, expected: u8) -> Result<&'a [u8], DerError> {
        let truncated = |expected| DerError::Truncated { expected, got: self.0.len() };
        let (&tag, rest) = self.0.split_first().ok_or(truncated(2))?;
        if tag != expected {
            return Err(DerError::Tag { expected, got: tag });
        }
        let (&first, rest) = rest.split_first().ok_or(truncated(2))?;
        let (header, len, rest) = match (first, rest) {
            (0..=0x7f, rest) => (2, usize::from(first), rest),
            (0x81, [len @ 0x80..=0xff, rest @ ..]) => (3, usize::from(*len), rest),
            (0x82, [high @ 1..=0xff, low, rest @ ..]) => (4, usize::from(u16::from_be_bytes([*high, *low])), rest),
            (0x81, []) => return Err(truncated(3)),
            (0x82, [] | [_]) => return Err(truncated(4)),
            _ => return Err(DerError::Length { first }),
        };
        let (value, rest) = rest.split_at_checked(len).ok_or(truncated(header + len))?;
        self.0 = rest;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_have_one_form() {
        let table: [(&[u8], DerError); 9] = [
            (&[0x30, 0x80, 0, 0], DerError::Length { first: 0x80 }),
            (&[0x30, 0x81, 0x7f], DerError::Length { first: 0x81 }),
            (&[0x30, 0x82, 0x00, 0xff], DerError::Length { first: 0x82 }),
            (&[0x30, 0x83, 1, 0, 0], DerError::Length { first: 0x83 }),
            (&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], DerError::Length { first: 0x84 }),
            (&[0x30, 0xff], DerError::Length { first: 0xff }),
            (&[0x30, 0x81, 0x80], DerError::Truncated { expected: 131, got: 3 }),
            (&[0x30, 0x82, 0xff, 0xff], DerError::Truncated { expected: 65539, got: 4 }),
            (&[0x30, 0x82, 0xff], DerError::Truncated { expected: 4, got: 3 }),
        ];
        for (bytes, error) in table {
            assert_eq!(Reader::new(bytes).sequence().err(), Some(error), "{bytes:02x?}");
        }
    }

    #[test]
    fn integers_are_minimal_and_not_negative() {
        let read = |bytes: &'static [u8]| Reader::new(bytes).unsigned();
        assert_eq!(read(&[2, 1, 0]), Ok(&[0][..]));
        assert_eq!(read(&[2, 2, 0, 0x80]), Ok(&[0x80][..]));
        assert_eq!(read(&[2, 0]), Err(DerError::Integer));
        assert_eq!(read(&[2, 1, 0x80]), Err(DerError::Integer));
        assert_eq!(read(&[2, 2, 0, 0x7f]), Err(DerError::Integer));
    }

    proptest! {
        // CVE-2026-110789: a length decides how much work is done before anything is authenticated.
        #[test]
        fn any_bytes_are_read_in_as_many_steps_as_there_are_bytes(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80u8..=0x85, Just(0x30), Just(0x02)], 0..200),
        ) {
            let mut reader = Reader::new(&bytes);
            let mut steps = 0;
            loop {
                let left = reader.0.len();
                let tag = reader.0.first().copied().unwrap_or(SEQUENCE);
                if reader.element(tag).is_err() {
                    prop_assert_eq!(reader.0.len(), left, "an error consumes nothing");
                    break;
                }
                steps += 1;
                prop_assert!(reader.0.len() + 2 <= left);
            }
            prop_assert!(steps <= bytes.len() / 2);
        }
    }
}
