//! The protocol table: which code has which name, and what its value looks like.
//!
//! Source: multiformats/multiaddr `protocols.csv`, all of it. `memory` is listed there with a value of any length; every
//! implementation writes eight bytes, and so do we.

/// What the value of a component looks like, in bytes and in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No value.
    Flag,
    /// Four bytes; dotted decimal.
    Ip4,
    /// Sixteen bytes; RFC 5952.
    Ip6,
    /// Two bytes, big endian; decimal.
    Port,
    /// One byte; decimal.
    Mask,
    /// Eight bytes, big endian; decimal.
    Number,
    /// UTF-8, as it is.
    Name,
    /// UTF-8 that begins with `/`; in text it runs to the end.
    Path,
    /// Any bytes; percent-encoded.
    HttpPath,
    /// A peer id; base58btc.
    Peer,
    /// A multihash; multibase.
    Hash,
    /// This many bytes in base32, `:`, two bytes of port.
    Onion(usize),
    /// Base32.
    Garlic32,
    /// Base64 with `-` and `~`.
    Garlic64,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) code: u64,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// Bytes of an onion (version 2) host.
pub(super) const ONION: usize = 10;
/// Bytes of an onion version 3 host.
pub(super) const ONION3: usize = 35;

/// The name that stands for a code without a name.
pub(super) const UNKNOWN: &str = "unknown";

/// Sorted by code.
static TABLE: [Row; 40] = [
    row(4, "ip4", Kind::Ip4),
    row(6, "tcp", Kind::Port),
    row(33, "dccp", Kind::Port),
    row(41, "ip6", Kind::Ip6),
    row(42, "ip6zone", Kind::Name),
    row(43, "ipcidr", Kind::Mask),
    row(53, "dns", Kind::Name),
    row(54, "dns4", Kind::Name),
    row(55, "dns6", Kind::Name),
    row(56, "dnsaddr", Kind::Name),
    row(132, "sctp", Kind::Port),
    row(273, "udp", Kind::Port),
    row(275, "p2p-webrtc-star", Kind::Flag),
    row(276, "p2p-webrtc-direct", Kind::Flag),
    row(277, "p2p-stardust", Kind::Flag),
    row(280, "webrtc-direct", Kind::Flag),
    row(281, "webrtc", Kind::Flag),
    row(290, "p2p-circuit", Kind::Flag),
    row(301, "udt", Kind::Flag),
    row(302, "utp", Kind::Flag),
    row(400, "unix", Kind::Path),
    row(421, "p2p", Kind::Peer),
    row(443, "https", Kind::Flag),
    row(444, "onion", Kind::Onion(ONION)),
    row(445, "onion3", Kind::Onion(ONION3)),
    row(446, "garlic64", Kind::Garlic64),
    row(447, "garlic32", Kind::Garlic32),
    row(448, "tls", Kind::Flag),
    row(449, "sni", Kind::Name),
    row(454, "noise", Kind::Flag),
    row(460, "quic", Kind::Flag),
    row(461, "quic-v1", Kind::Flag),
    row(465, "webtransport", Kind::Flag),
    row(466, "certhash", Kind::Hash),
    row(477, "ws", Kind::Flag),
    row(478, "wss", Kind::Flag),
    row(479, "p2p-websocket-star", Kind::Flag),
    row(480, "http", Kind::Flag),
    row(481, "http-path", Kind::HttpPath),
    row(777, "memory", Kind::Number),
];

const fn row(code: u64, name: &'static str, kind: Kind) -> Row {
    Row { code, name, kind }
}

/// Where the rows of the codes below 512 lie, which are most of them, and beyond the table where there is none. Addresses
/// are walked often: a search would be half of what a component costs.
#[expect(clippy::cast_possible_truncation, reason = "codes below 512, and 40 rows")]
static PLACES: [u8; 512] = {
    let mut places = [u8::MAX; 512];
    let mut at = 0;
    while at < TABLE.len() {
        let code = TABLE[at].code as usize;
        if code < places.len() {
            places[code] = at as u8;
        }
        at += 1;
    }
    places
};

/// The row of this code.
pub(super) fn by_code(code: u64) -> Option<&'static Row> {
    match usize::try_from(code).ok().and_then(|code| PLACES.get(code)) {
        Some(at) => TABLE.get(usize::from(*at)),
        None => TABLE.binary_search_by_key(&code, |row| row.code).ok().and_then(|at| TABLE.get(at)),
    }
}

/// The row of this name. `ipfs` is the old name of `p2p` (addressing/README.md, "Historical Note").
pub(super) fn by_name(name: &str) -> Option<&'static Row> {
    let name = if name == "ipfs" { "p2p" } else { name };
    TABLE.iter().find(|row| row.name == name)
}

impl Kind {
    /// Bytes of the value, if they don't depend on a length prefix.
    pub(super) const fn size(self) -> Option<usize> {
        match self {
            Kind::Flag => Some(0),
            Kind::Mask => Some(1),
            Kind::Port => Some(2),
            Kind::Ip4 => Some(4),
            Kind::Number => Some(8),
            Kind::Ip6 => Some(16),
            Kind::Onion(host) => Some(host + 2),
            Kind::Name | Kind::Path | Kind::HttpPath | Kind::Peer | Kind::Hash | Kind::Garlic32 | Kind::Garlic64 => {
                None
            }
        }
    }

    /// What a person should have written.
    pub(super) const fn expected(self) -> &'static str {
        match self {
            Kind::Flag => "nothing",
            Kind::Ip4 => "an IPv4 address",
            Kind::Ip6 => "an IPv6 address",
            Kind::Port => "a port from 0 to 65535",
            Kind::Mask => "a number from 0 to 255",
            Kind::Number => "a number from 0 to 18446744073709551615",
            Kind::Name => "a name without `/` and control characters",
            Kind::Path => "an absolute path without control characters",
            Kind::HttpPath => "a path in one percent-encoded segment (RFC 3986, `segment-nz`)",
            Kind::Peer => "a peer id",
            Kind::Hash => "a multihash in multibase",
            Kind::Onion(ONION) => "16 base32 characters, `:` and a port from 1 to 65535",
            Kind::Onion(_) => "56 base32 characters, `:` and a port from 1 to 65535",
            Kind::Garlic32 => "32 bytes, or 35 and more, in base32",
            Kind::Garlic64 => "387 to 462 bytes in I2P's base64",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_names_are_unique() {
        for (i, row) in TABLE.iter().enumerate() {
            assert!(TABLE[..i].iter().all(|before| before.code < row.code && before.name != row.name), "{}", row.name);
            assert_ne!(row.name, UNKNOWN);
        }
    }

    #[test]
    fn ipfs_is_another_name_of_p2p() {
        assert_eq!(by_name("ipfs").map(|row| row.code), Some(421));
    }
}
