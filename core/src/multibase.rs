//! Bytes as text and back: base58btc, and the multibase prefixes that a peer id may come with.
//!
//! Two families. Bases that are a power of two (16, 32, 64) cut the bytes into groups of bits, first bit first, without
//! padding (RFC 4648). The others (36, 58) read the bytes as one big-endian number; each leading zero byte is one leading
//! zero digit. Output goes to the caller's buffer, which also bounds the work: text that would overflow it is refused at
//! the first digit too many.
#![allow(clippy::cast_possible_truncation, reason = "the low byte of the pool or carry is what is meant")]

use thiserror::Error;

/// Text that is not in the base that it should be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BaseError {
    /// A character outside of the alphabet.
    #[error("character {found:?} at byte {at} is not in the alphabet of {base}")]
    Digit {
        /// The base's name in the multibase table.
        base: &'static str,
        /// The character found.
        found: char,
        /// Its byte offset in the digits, prefix not counted.
        at: usize,
    },
    /// The text stands for more bytes than can be right here.
    #[error("the text stands for more than {max} bytes")]
    TooLong {
        /// The most bytes that were allowed.
        max: usize,
    },
    /// The last digit carries bits that belong to no byte, or there is a digit too many.
    #[error("the last digit of the {base} text carries bits that belong to no byte")]
    TrailingBits {
        /// The base's name in the multibase table.
        base: &'static str,
    },
}

/// One row of the multibase table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    /// The name in the multibase table.
    pub(crate) name: &'static str,
    prefix: u8,
    alphabet: &'static [u8],
    /// Bits per digit; 0 for the bases that aren't a power of two.
    bits: u32,
    /// Whether letters of the other case are read too.
    any_case: bool,
}

const HEX: &[u8] = b"0123456789abcdef";
const RFC32: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
const HEX32: &[u8] = b"0123456789abcdefghijklmnopqrstuv";

/// The base of peer ids and of the `z` prefix.
pub(crate) const BASE58BTC: Base = positional("base58btc", b'z', B58, false);
/// The default base of CIDs.
pub(crate) const BASE32: Base = grouped("base32", b'b', RFC32, 5, true);

const B58: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// Every base that is read. Letters of one-case alphabets are read in both cases: domain names lose their case
/// (libp2p/specs RFC 0001, "Motivation").
const TABLE: [Base; 13] = [
    BASE32,
    BASE58BTC,
    grouped("base32upper", b'B', RFC32, 5, true),
    grouped("base16", b'f', HEX, 4, true),
    grouped("base16upper", b'F', HEX, 4, true),
    grouped("base32hex", b'v', HEX32, 5, true),
    grouped("base32hexupper", b'V', HEX32, 5, true),
    grouped("base32z", b'h', b"ybndrfg8ejkmcpqxot1uwisza345h769", 5, true),
    positional("base36", b'k', b"0123456789abcdefghijklmnopqrstuvwxyz", true),
    positional("base36upper", b'K', b"0123456789abcdefghijklmnopqrstuvwxyz", true),
    positional("base58flickr", b'Z', b"123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ", false),
    grouped("base64", b'm', b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 6, false),
    grouped("base64url", b'u', b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 6, false),
];

const fn grouped(name: &'static str, prefix: u8, alphabet: &'static [u8], bits: u32, any_case: bool) -> Base {
    Base { name, prefix, alphabet, bits, any_case }
}

const fn positional(name: &'static str, prefix: u8, alphabet: &'static [u8], any_case: bool) -> Base {
    Base { name, prefix, alphabet, bits: 0, any_case }
}

impl Base {
    /// The base that this multibase prefix names.
    pub(crate) fn of_prefix(prefix: char) -> Option<Base> {
        TABLE.into_iter().find(|base| char::from(base.prefix) == prefix)
    }

    /// Reads `digits` (no prefix) into `out`. Returns how many bytes they stand for.
    pub(crate) fn decode(&self, digits: &str, out: &mut [u8]) -> Result<usize, BaseError> {
        if self.bits == 0 { self.decode_positional(digits, out) } else { self.decode_grouped(digits, out) }
    }

    /// Writes `bytes` as digits (no prefix) into `out`. Returns how many digits there are; `None`: `out` is too short.
    pub(crate) fn encode(&self, bytes: &[u8], out: &mut [u8]) -> Option<usize> {
        if self.bits == 0 { self.encode_positional(bytes, out) } else { self.encode_grouped(bytes, out) }
    }

    fn digit(&self, found: char, at: usize) -> Result<u8, BaseError> {
        let place = |c: char| self.alphabet.iter().position(|&a| char::from(a) == c);
        place(found)
            .or_else(|| if self.any_case { place(found.to_ascii_lowercase()) } else { None })
            .and_then(|value| u8::try_from(value).ok())
            .ok_or(BaseError::Digit { base: self.name, found, at })
    }

    fn letter(&self, value: u32) -> Option<u8> {
        self.alphabet.get(usize::try_from(value).ok()?).copied()
    }

    fn decode_grouped(&self, digits: &str, out: &mut [u8]) -> Result<usize, BaseError> {
        let max = out.len();
        let (mut pool, mut held, mut len) = (0u32, 0u32, 0usize);
        for (at, found) in digits.char_indices() {
            pool = (pool << self.bits) | u32::from(self.digit(found, at)?);
            held += self.bits;
            if held >= 8 {
                held -= 8;
                *out.get_mut(len).ok_or(BaseError::TooLong { max })? = (pool >> held) as u8;
                pool &= (1 << held) - 1;
                len += 1;
            }
        }
        if held >= self.bits || pool != 0 {
            return Err(BaseError::TrailingBits { base: self.name });
        }
        Ok(len)
    }

    fn encode_grouped(&self, bytes: &[u8], out: &mut [u8]) -> Option<usize> {
        let (mut pool, mut held, mut len) = (0u32, 0u32, 0usize);
        let mask = (1u32 << self.bits) - 1;
        for &byte in bytes {
            pool = (pool << 8) | u32::from(byte);
            held += 8;
            while held >= self.bits {
                held -= self.bits;
                *out.get_mut(len)? = self.letter((pool >> held) & mask)?;
                len += 1;
            }
            pool &= (1 << held) - 1;
        }
        if held > 0 {
            *out.get_mut(len)? = self.letter((pool << (self.bits - held)) & mask)?;
            len += 1;
        }
        Some(len)
    }

    /// `out[..len]` holds the number so far, least significant byte first.
    fn decode_positional(&self, digits: &str, out: &mut [u8]) -> Result<usize, BaseError> {
        let max = out.len();
        let radix = self.radix();
        let (mut zeros, mut len) = (0usize, 0usize);
        for (at, found) in digits.char_indices() {
            let mut carry = u32::from(self.digit(found, at)?);
            if len == 0 && carry == 0 {
                zeros += 1;
            }
            for byte in out.iter_mut().take(len) {
                carry += u32::from(*byte) * radix;
                *byte = carry as u8;
                carry >>= 8;
            }
            if carry > 0 {
                *out.get_mut(len).ok_or(BaseError::TooLong { max })? = carry as u8;
                len += 1;
            }
            if zeros + len > max {
                return Err(BaseError::TooLong { max });
            }
        }
        let used = zeros + len;
        let number = out.get_mut(..used).ok_or(BaseError::TooLong { max })?;
        number[len..].fill(0);
        number.reverse();
        Ok(used)
    }

    /// `out[..len]` holds the digits of the number so far, least significant first.
    fn encode_positional(&self, bytes: &[u8], out: &mut [u8]) -> Option<usize> {
        let radix = self.radix();
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        let mut len = 0usize;
        for &byte in &bytes[zeros..] {
            let mut carry = u32::from(byte);
            for digit in out.iter_mut().take(len) {
                carry += u32::from(*digit) << 8;
                *digit = (carry % radix) as u8;
                carry /= radix;
            }
            while carry > 0 {
                *out.get_mut(len)? = (carry % radix) as u8;
                carry /= radix;
                len += 1;
            }
        }
        let text = out.get_mut(..zeros + len)?;
        text[len..].fill(0);
        for digit in text.iter_mut() {
            *digit = self.letter(u32::from(*digit))?;
        }
        text.reverse();
        Some(zeros + len)
    }

    const fn radix(&self) -> u32 {
        self.alphabet.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn encode(base: &Base, bytes: &[u8]) -> Vec<u8> {
        let mut out = [0; 512];
        let len = base.encode(bytes, &mut out).unwrap();
        out[..len].to_vec()
    }

    // The strings of multiformats/multibase, tests/{basic,leading_zero,two_leading_zeros}.csv.
    #[test]
    fn known_strings_are_written_and_read() {
        let table: [(&str, &[u8], &str); 12] = [
            ("f", b"yes mani !", "796573206d616e692021"),
            ("v", b"yes mani !", "f5in683dc5n6i811"),
            ("b", b"yes mani !", "pfsxgidnmfxgsibb"),
            ("h", b"yes mani !", "xf1zgedpcfzg1ebb"),
            ("k", b"yes mani !", "2lcpzo5yikidynfl"),
            ("z", b"yes mani !", "7paNL19xttacUY"),
            ("Z", b"yes mani !", "7Pznk19XTTzBtx"),
            ("m", b"yes mani !", "eWVzIG1hbmkgIQ"),
            ("u", b"yes mani !", "eWVzIG1hbmkgIQ"),
            ("z", b"\0yes mani !", "17paNL19xttacUY"),
            ("k", b"\0\0yes mani !", "002lcpzo5yikidynfl"),
            ("b", b"\0\0yes mani !", "aaahszltebwwc3tjeaqq"),
        ];
        for (prefix, bytes, text) in table {
            let base = Base::of_prefix(prefix.chars().next().unwrap()).unwrap();
            assert_eq!(encode(&base, bytes), text.as_bytes(), "{}", base.name);
            let mut out = [0; 64];
            assert_eq!(base.decode(text, &mut out).map(|len| out[..len].to_vec()), Ok(bytes.to_vec()), "{}", base.name);
        }
    }

    #[test]
    fn bits_that_belong_to_no_byte_are_refused() {
        let mut out = [0; 8];
        assert_eq!(BASE32.decode("ae", &mut out), Ok(1));
        assert_eq!(BASE32.decode("ab", &mut out), Err(BaseError::TrailingBits { base: "base32" }));
        assert_eq!(BASE32.decode("a", &mut out), Err(BaseError::TrailingBits { base: "base32" }));
    }

    #[test]
    fn text_for_too_many_bytes_is_refused_at_the_first_digit_too_many() {
        let mut out = [0; 4];
        assert_eq!(BASE58BTC.decode("11111", &mut out), Err(BaseError::TooLong { max: 4 }));
        assert_eq!(BASE58BTC.decode("zzzzzzz0", &mut out), Err(BaseError::TooLong { max: 4 }));
        assert_eq!(BASE32.decode("aaaaaaaa0", &mut out), Err(BaseError::TooLong { max: 4 }));
    }

    proptest! {
        #[test]
        fn bytes_survive_every_base(bytes in prop::collection::vec(any::<u8>(), 0..50), base in 0..TABLE.len()) {
            let base = TABLE[base];
            let text = encode(&base, &bytes);
            let mut out = [0; 50];
            let len = base.decode(core::str::from_utf8(&text).unwrap(), &mut out).unwrap();
            prop_assert_eq!(&out[..len], &bytes[..]);
        }

        #[test]
        fn no_text_panics(text in ".{0,80}", base in 0..TABLE.len(), room in 0usize..50) {
            let mut out = [0; 50];
            let _ = TABLE[base].decode(&text, &mut out[..room]);
        }
    }
}
