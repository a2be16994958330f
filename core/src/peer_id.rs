//! Who a peer is: the multihash of its public key (libp2p/specs peer-ids/peer-ids.md, "Peer Ids").
//!
//! ```text
//! key's protobuf <= 42 bytes   identity   00 <length> <the protobuf itself>    "1...", Ed25519 "12D3KooW..."
//!                 > 42 bytes   SHA-256    12 20 <hash of the protobuf>         "Qm..."
//! as a CID                     01 72 <one of the above>                        "b..." and other multibase prefixes
//! ```

use crate::multibase::{BASE32, BASE58BTC, Base, BaseError};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The longest key protobuf that a peer id holds verbatim, in bytes (peer-ids.md, "Peer Ids").
const MAX_INLINE: usize = 42;
/// Bytes of a SHA-256 hash.
const SHA256_LEN: usize = 32;
/// Multihash codes (multiformats/multicodec table).
const IDENTITY: u8 = 0x00;
const SHA256: u8 = 0x12;
/// CID version 1, then multicodec `libp2p-key` (peer-ids.md, "String representation").
const CID_VERSION: u8 = 0x01;
const LIBP2P_KEY: u8 = 0x72;

/// The id of a peer. Inline and `Copy`: 45 bytes, no heap.
///
/// `Display` gives base58btc, [`to_cid_string`](PeerId::to_cid_string) the CID; [`FromStr`] reads both. Order and equality
/// are those of the bytes.
///
/// ```
/// use tidewire_core::PeerId;
///
/// let text = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
/// let peer: PeerId = text.parse()?;
/// assert_eq!(peer.to_string(), text);
/// assert_eq!(peer.to_cid_string(), "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe");
/// assert_eq!(peer.to_cid_string().parse(), Ok(peer));
/// # Ok::<(), tidewire_core::ParsePeerIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PeerId {
    /// How much of `bytes` is used; the rest is zero.
    len: u8,
    bytes: [u8; PeerId::MAX_LEN],
}

/// Bytes that are no peer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum PeerIdError {
    /// The bytes stop before the multihash is complete.
    #[error("a peer id needs {expected} bytes, only {got} are there")]
    Truncated {
        /// Bytes that the multihash announces, its two-byte header included.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// There are bytes after the multihash.
    #[error("a peer id of {expected} bytes is followed by {} more", got - expected)]
    Trailing {
        /// Bytes that the multihash announces, its two-byte header included.
        expected: usize,
        /// Bytes that came.
        got: usize,
    },
    /// The multihash code is neither identity nor SHA-256.
    #[error("multihash code 0x{code:02x} is unknown: a peer id is an identity (0x00) or a SHA-256 (0x12) multihash")]
    UnknownMultihash {
        /// The first byte; 0x80 and above is the first byte of a longer code.
        code: u8,
    },
    /// A SHA-256 multihash that doesn't announce 32 bytes.
    #[error("a SHA-256 peer id holds 32 bytes of hash, this one announces {got}")]
    HashLength {
        /// The length byte found.
        got: u8,
    },
    /// An identity multihash that can't hold a key: empty, or longer than the spec inlines.
    #[error("an identity peer id holds a key of 1 to 42 bytes, this one announces {got}: longer keys are hashed")]
    InlineLength {
        /// The length byte found.
        got: u8,
    },
}

/// Text that is no peer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParsePeerIdError {
    /// Nothing at all.
    #[error("expected a peer id, found empty text")]
    Empty,
    /// It starts like neither form.
    #[error("expected a peer id, which starts with \"1\", \"Qm\" or a multibase prefix such as \"b\"; found {found:?}")]
    UnknownPrefix {
        /// The first character.
        found: char,
    },
    /// The digits are not in the base that the prefix names.
    #[error("peer id: {0}")]
    Base(#[from] BaseError),
    /// The CID stops before its multihash.
    #[error("the CID stops after {got} bytes, before its multihash")]
    CidTruncated {
        /// Bytes that the text stands for.
        got: usize,
    },
    /// A CID of another version.
    #[error("a peer id as a CID has version 1, this one has version {got}")]
    CidVersion {
        /// The version found.
        got: u8,
    },
    /// A CID of something else than a key.
    #[error("a peer id as a CID has the codec libp2p-key (0x72), this one has 0x{got:02x}")]
    CidCodec {
        /// The codec's first byte.
        got: u8,
    },
    /// The text is well-formed, its bytes are not.
    #[error(transparent)]
    Bytes(#[from] PeerIdError),
}

impl PeerId {
    /// The longest peer id in bytes: two of header and an inlined key of 42.
    pub const MAX_LEN: usize = 2 + MAX_INLINE;

    /// Reads the binary form, which must be exactly one multihash.
    ///
    /// # Errors
    /// The bytes are no identity or SHA-256 multihash of a fitting length.
    pub fn from_bytes(bytes: &[u8]) -> Result<PeerId, PeerIdError> {
        let got = bytes.len();
        let &[code, digest_len, ..] = bytes else {
            // A lone first byte may already be wrong: say so rather than "too short".
            return match bytes.first() {
                Some(&code) if code != IDENTITY && code != SHA256 => Err(PeerIdError::UnknownMultihash { code }),
                _ => Err(PeerIdError::Truncated { expected: 2, got }),
            };
        };
        match code {
            IDENTITY if digest_len == 0 || usize::from(digest_len) > MAX_INLINE => {
                return Err(PeerIdError::InlineLength { got: digest_len });
            }
            SHA256 if usize::from(digest_len) != SHA256_LEN => return Err(PeerIdError::HashLength { got: digest_len }),
            IDENTITY | SHA256 => {}
            code => return Err(PeerIdError::UnknownMultihash { code }),
        }
        let expected = 2 + usize::from(digest_len);
        if got < expected {
            return Err(PeerIdError::Truncated { expected, got });
        }
        if got > expected {
            return Err(PeerIdError::Trailing { expected, got });
        }
        Ok(PeerId::of_multihash(code, &bytes[2..]))
    }

    /// The id of the key with this protobuf encoding, which the caller guarantees to be the deterministic one.
    pub(crate) fn of_key_protobuf(protobuf: &[u8]) -> PeerId {
        if protobuf.len() <= MAX_INLINE {
            PeerId::of_multihash(IDENTITY, protobuf)
        } else {
            PeerId::of_multihash(SHA256, &Sha256::digest(protobuf))
        }
    }

    /// The binary form: the multihash.
    pub fn as_bytes(&self) -> &[u8] {
        // `len` is at most MAX_LEN by construction.
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }

    /// The binary form, owned.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    /// The id as CIDv1 with codec `libp2p-key`, in lower-case base32: fit for domain names and file names.
    pub fn to_cid_string(&self) -> String {
        let mut cid = [0; 2 + PeerId::MAX_LEN];
        cid[0] = CID_VERSION;
        cid[1] = LIBP2P_KEY;
        let end = 2 + self.as_bytes().len();
        cid[2..end].copy_from_slice(self.as_bytes());

        // 46 bytes are 74 digits.
        let mut digits = [0; 80];
        let len = BASE32.encode(&cid[..end], &mut digits).unwrap_or(0);
        let mut text = String::with_capacity(1 + len);
        text.push('b');
        text.extend(digits.iter().take(len).copied().map(char::from));
        text
    }

    /// The key's protobuf, if the id holds it verbatim.
    pub(crate) fn inlined(&self) -> Option<&[u8]> {
        match self.as_bytes() {
            [IDENTITY, _, key @ ..] => Some(key),
            _ => None,
        }
    }

    /// `digest` is at most `MAX_INLINE` long.
    #[allow(clippy::cast_possible_truncation, reason = "at most 42")]
    fn of_multihash(code: u8, digest: &[u8]) -> PeerId {
        let mut bytes = [0; PeerId::MAX_LEN];
        let len = digest.len().min(MAX_INLINE);
        bytes[0] = code;
        bytes[1] = len as u8;
        bytes[2..2 + len].copy_from_slice(&digest[..len]);
        PeerId { len: 2 + len as u8, bytes }
    }
}

impl FromStr for PeerId {
    type Err = ParsePeerIdError;

    /// Base58btc if it starts with `1` or `Qm`; else a CIDv1 in the base that the multibase prefix names: base16, base32,
    /// base32hex, base32z, base36, base58btc, base58flickr, base64 or base64url, without padding.
    fn from_str(text: &str) -> Result<PeerId, ParsePeerIdError> {
        let Some(found) = text.chars().next() else { return Err(ParsePeerIdError::Empty) };
        let mut bytes = [0; 2 + PeerId::MAX_LEN];
        if found == '1' || text.starts_with("Qm") {
            let len = BASE58BTC.decode(text, &mut bytes[..PeerId::MAX_LEN])?;
            return Ok(PeerId::from_bytes(&bytes[..len])?);
        }

        let base = Base::of_prefix(found).ok_or(ParsePeerIdError::UnknownPrefix { found })?;
        let len = base.decode(&text[found.len_utf8()..], &mut bytes)?;
        match &bytes[..len] {
            &[version, ..] if version != CID_VERSION => Err(ParsePeerIdError::CidVersion { got: version }),
            &[_, codec, ..] if codec != LIBP2P_KEY => Err(ParsePeerIdError::CidCodec { got: codec }),
            [_, _, multihash @ ..] => Ok(PeerId::from_bytes(multihash)?),
            _ => Err(ParsePeerIdError::CidTruncated { got: len }),
        }
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 44 bytes are at most 61 digits.
        let mut digits = [0; 64];
        let len = BASE58BTC.encode(self.as_bytes(), &mut digits).ok_or(fmt::Error)?;
        let text = digits.get(..len).and_then(|digits| core::str::from_utf8(digits).ok()).ok_or(fmt::Error)?;
        f.pad(text)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

impl Hash for PeerId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Ord for PeerId {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for PeerId {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl AsRef<[u8]> for PeerId {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl TryFrom<&[u8]> for PeerId {
    type Error = PeerIdError;

    fn try_from(bytes: &[u8]) -> Result<PeerId, PeerIdError> {
        PeerId::from_bytes(bytes)
    }
}
