//! Protocol buffers as the handshakes use them: fields are read where they lie, nothing is copied or allocated.
//!
//! <https://protobuf.dev/programming-guides/encoding/>. Unknown fields are skipped, as the language asks; groups, which
//! no libp2p message has, are refused.

use alloc::vec::Vec;

/// The bytes are not a protocol buffer, or not the one that stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The bytes end inside a field.
    #[error("it ends inside a field")]
    Truncated,
    /// A variable-length integer is longer than ten bytes, or more than 64 bits.
    #[error("it has an integer of more than 64 bits")]
    Varint,
    /// A field has number 0, a number that is too large, or a type that does not exist any more.
    #[error("it has a field with the impossible key {key:#x}")]
    Key {
        /// Field number and wire type.
        key: u64,
    },
    /// A known field has another type than it should.
    #[error("field {field} has wire type {wire_type}, not 2 (length-delimited)")]
    WireType {
        /// The field's number.
        field: u32,
        /// What came.
        wire_type: u8,
    },
    /// Text is not UTF-8.
    #[error("field {field} is not UTF-8")]
    NotUtf8 {
        /// The field's number.
        field: u32,
    },
}

/// A field of a message.
pub(super) struct Field<'a> {
    pub(super) number: u32,
    value: Value<'a>,
}

enum Value<'a> {
    Bytes(&'a [u8]),
    Other(u8),
}

impl<'a> Field<'a> {
    /// The value of a field that holds bytes, text or a message.
    pub(super) fn bytes(&self) -> Result<&'a [u8], Malformed> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Other(wire_type) => Err(Malformed::WireType { field: self.number, wire_type }),
        }
    }

    /// The value of a field that holds text.
    pub(super) fn text(&self) -> Result<&'a str, Malformed> {
        core::str::from_utf8(self.bytes()?).map_err(|_| Malformed::NotUtf8 { field: self.number })
    }
}

/// The fields of a message, in their order. Stops after an error.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<Field<'a>, Malformed> {
        let key = self.varint()?;
        let bad_key = Malformed::Key { key };
        let number = u32::try_from(key >> 3).map_err(|_| bad_key)?;
        if number == 0 || number >= 1 << 29 {
            return Err(bad_key);
        }
        let value = match key & 7 {
            0 => {
                self.varint()?;
                Value::Other(0)
            }
            1 => {
                self.take(8)?;
                Value::Other(1)
            }
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
                Value::Bytes(self.take(len)?)
            }
            5 => {
                self.take(4)?;
                Value::Other(5)
            }
            _ => return Err(bad_key),
        };
        Ok(Field { number, value })
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let &[byte] = self.take(1)? else { return Err(Malformed::Truncated) };
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed::Varint);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Varint)
    }
}

/// Appends a field that holds bytes, text or a message.
pub(super) fn put(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}
