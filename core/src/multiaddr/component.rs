//! One component of an address: a protocol's code and its value, borrowed from the address's bytes.
//!
//! ```text
//! code: uvarint   [length: uvarint]   value         of a code in the table; the length only where the size isn't fixed
//! code: uvarint   everything to the end             of any other code
//! ```

use super::error::MultiaddrFault;
use super::table::{self, Kind, ONION, ONION3, Row};
use crate::PeerId;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One component of a [`Multiaddr`](crate::Multiaddr): a protocol and its value.
///
/// Every row of the multiaddr table (multiformats/multiaddr `protocols.csv`) has a variant. `Display` gives the component's
/// part of the text, with its leading slash. Names hold no `/` and no control character, and aren't empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Component<'a> {
    /// `/ip4/192.0.2.1`
    Ip4(Ipv4Addr),
    /// `/ip6/2001:db8::1`
    Ip6(Ipv6Addr),
    /// `/ip6zone/eth0`: the zone of the `ip6` beside it (RFC 4007).
    Ip6Zone(&'a str),
    /// `/ipcidr/24`
    IpCidr(u8),
    /// `/dns/example.com`: both IPv4 and IPv6.
    Dns(&'a str),
    /// `/dns4/example.com`
    Dns4(&'a str),
    /// `/dns6/example.com`
    Dns6(&'a str),
    /// `/dnsaddr/example.com`: addresses in TXT records.
    DnsAddr(&'a str),
    /// `/tcp/4001`
    Tcp(u16),
    /// `/udp/4001`
    Udp(u16),
    /// `/dccp/4001`
    Dccp(u16),
    /// `/sctp/4001`
    Sctp(u16),
    /// `/udt`
    Udt,
    /// `/utp`
    Utp,
    /// `/quic`: draft 29.
    Quic,
    /// `/quic-v1`: RFC 9000.
    QuicV1,
    /// `/webtransport`
    WebTransport,
    /// `/certhash/u...`: the hash of a certificate.
    CertHash(Multihash<'a>),
    /// `/webrtc`: between browsers.
    WebRtc,
    /// `/webrtc-direct`: from a browser to a server.
    WebRtcDirect,
    /// `/tls`
    Tls,
    /// `/sni/example.com`: the name in TLS's client hello.
    Sni(&'a str),
    /// `/noise`
    Noise,
    /// `/ws`
    Ws,
    /// `/wss`: the same as `/tls/ws`.
    Wss,
    /// `/http`
    Http,
    /// `/https`: the same as `/tls/http`.
    Https,
    /// `/http-path/a%2Fb`: a path, decoded, without its leading slash (multiaddr, `protocols/http-path.md`). Never empty.
    HttpPath(&'a [u8]),
    /// `/p2p/12D3...`: a peer.
    P2p(PeerId),
    /// `/p2p-circuit`: what stands before it is the relay, what follows is the destination.
    P2pCircuit,
    /// `/unix/run/x.sock`: an absolute path, here with its leading slash. In text it runs to the end; before another
    /// component it is written as one segment, `/unix/%2Frun%2Fx.sock`.
    Unix(&'a str),
    /// `/memory/7`: within one process.
    Memory(u64),
    /// `/onion/aaimaq4ygg2iegci:80`: a Tor service, version 2; the port is not 0.
    Onion(&'a [u8; 10], u16),
    /// `/onion3/...:80`: a Tor service, version 3; the port is not 0.
    Onion3(&'a [u8; 35], u16),
    /// `/garlic64/...`: an I2P destination.
    Garlic64(&'a [u8]),
    /// `/garlic32/...`: the hash of an I2P destination.
    Garlic32(&'a [u8]),
    /// `/p2p-webrtc-star`, deprecated.
    P2pWebRtcStar,
    /// `/p2p-webrtc-direct`, deprecated.
    P2pWebRtcDirect,
    /// `/p2p-stardust`, deprecated.
    P2pStardust,
    /// `/p2p-websocket-star`, deprecated.
    P2pWebSocketStar,
    /// `/unknown/9999:0a0b`: a code that the table doesn't have. Its value can't be measured, so it takes all that follows.
    Unknown {
        /// The code.
        code: u64,
        /// All bytes after the code.
        rest: &'a [u8],
    },
}

/// A multihash: the code of a hash function, the digest's length, the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multihash<'a> {
    code: u64,
    digest: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Multihash<'a> {
    /// Reads exactly one multihash.
    ///
    /// # Errors
    /// The bytes are not a code, a length and that many bytes.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, MultiaddrFault> {
        let wrong = || MultiaddrFault::ValueBytes { name: "certhash", expected: "a multihash" };
        let (code, rest) = varint(bytes).map_err(|_| wrong())?;
        let (len, digest) = varint(rest).map_err(|_| wrong())?;
        if u64::try_from(digest.len()) == Ok(len) { Ok(Multihash { code, digest, bytes }) } else { Err(wrong()) }
    }

    /// The hash function, in the multicodec table; 0x12 is SHA-256.
    pub fn code(&self) -> u64 {
        self.code
    }

    /// The digest.
    pub fn digest(&self) -> &'a [u8] {
        self.digest
    }

    /// Code, length and digest.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> Component<'a> {
    /// The code in the multiaddr table.
    pub fn code(&self) -> u64 {
        match self {
            Component::Ip4(_) => 4,
            Component::Tcp(_) => 6,
            Component::Dccp(_) => 33,
            Component::Ip6(_) => 41,
            Component::Ip6Zone(_) => 42,
            Component::IpCidr(_) => 43,
            Component::Dns(_) => 53,
            Component::Dns4(_) => 54,
            Component::Dns6(_) => 55,
            Component::DnsAddr(_) => 56,
            Component::Sctp(_) => 132,
            Component::Udp(_) => 273,
            Component::P2pWebRtcStar => 275,
            Component::P2pWebRtcDirect => 276,
            Component::P2pStardust => 277,
            Component::WebRtcDirect => 280,
            Component::WebRtc => 281,
            Component::P2pCircuit => 290,
            Component::Udt => 301,
            Component::Utp => 302,
            Component::Unix(_) => 400,
            Component::P2p(_) => 421,
            Component::Https => 443,
            Component::Onion(..) => 444,
            Component::Onion3(..) => 445,
            Component::Garlic64(_) => 446,
            Component::Garlic32(_) => 447,
            Component::Tls => 448,
            Component::Sni(_) => 449,
            Component::Noise => 454,
            Component::Quic => 460,
            Component::QuicV1 => 461,
            Component::WebTransport => 465,
            Component::CertHash(_) => 466,
            Component::Ws => 477,
            Component::Wss => 478,
            Component::P2pWebSocketStar => 479,
            Component::Http => 480,
            Component::HttpPath(_) => 481,
            Component::Memory(_) => 777,
            Component::Unknown { code, .. } => *code,
        }
    }

    /// The name in the multiaddr table; `unknown` if the table doesn't have the code.
    pub fn name(&self) -> &'static str {
        match self {
            Component::Unknown { .. } => table::UNKNOWN,
            known => table::by_code(known.code()).map_or(table::UNKNOWN, |row| row.name),
        }
    }

    /// The IP address, if this is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Component::Ip4(ip) => Some(IpAddr::V4(*ip)),
            Component::Ip6(ip) => Some(IpAddr::V6(*ip)),
            _ => None,
        }
    }

    /// Takes the first component off. The bytes are not empty.
    pub(super) fn split(bytes: &'a [u8]) -> Result<(Component<'a>, &'a [u8]), MultiaddrFault> {
        let (code, rest) = varint(bytes)?;
        let Some(row) = table::by_code(code) else { return Ok((Component::Unknown { code, rest }, &[])) };
        let (needed, rest) = match row.kind.size() {
            Some(size) => (size as u64, rest),
            None => varint(rest)?,
        };
        let short = || MultiaddrFault::Truncated { name: row.name, needed, left: rest.len() };
        let size = usize::try_from(needed).map_err(|_| short())?;
        let (value, rest) = rest.split_at_checked(size).ok_or_else(short)?;
        Ok((Component::of_value(row, value)?, rest))
    }

    /// Appends the binary form.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        put_varint(self.code(), out);
        match self {
            Component::Ip4(ip) => out.extend_from_slice(&ip.octets()),
            Component::Ip6(ip) => out.extend_from_slice(&ip.octets()),
            Component::IpCidr(mask) => out.push(*mask),
            Component::Tcp(port) | Component::Udp(port) | Component::Dccp(port) | Component::Sctp(port) => {
                out.extend_from_slice(&port.to_be_bytes());
            }
            Component::Memory(number) => out.extend_from_slice(&number.to_be_bytes()),
            Component::Ip6Zone(name)
            | Component::Dns(name)
            | Component::Dns4(name)
            | Component::Dns6(name)
            | Component::DnsAddr(name)
            | Component::Sni(name)
            | Component::Unix(name) => put_prefixed(name.as_bytes(), out),
            Component::HttpPath(bytes) | Component::Garlic64(bytes) | Component::Garlic32(bytes) => {
                put_prefixed(bytes, out);
            }
            Component::CertHash(hash) => put_prefixed(hash.bytes, out),
            Component::P2p(peer) => put_prefixed(peer.as_bytes(), out),
            Component::Onion(host, port) => {
                out.extend_from_slice(&host[..]);
                out.extend_from_slice(&port.to_be_bytes());
            }
            Component::Onion3(host, port) => {
                out.extend_from_slice(&host[..]);
                out.extend_from_slice(&port.to_be_bytes());
            }
            Component::Unknown { rest, .. } => out.extend_from_slice(rest),
            Component::Udt
            | Component::Utp
            | Component::Quic
            | Component::QuicV1
            | Component::WebTransport
            | Component::WebRtc
            | Component::WebRtcDirect
            | Component::Tls
            | Component::Noise
            | Component::Ws
            | Component::Wss
            | Component::Http
            | Component::Https
            | Component::P2pCircuit
            | Component::P2pWebRtcStar
            | Component::P2pWebRtcDirect
            | Component::P2pStardust
            | Component::P2pWebSocketStar => {}
        }
    }

    fn of_value(row: &'static Row, value: &'a [u8]) -> Result<Self, MultiaddrFault> {
        let wrong = || MultiaddrFault::ValueBytes { name: row.name, expected: row.kind.expected() };
        let component = match row.kind {
            Kind::Flag => Component::of_flag(row.code),
            Kind::Ip4 => <[u8; 4]>::try_from(value).ok().map(|ip| Component::Ip4(ip.into())),
            Kind::Ip6 => <[u8; 16]>::try_from(value).ok().map(|ip| Component::Ip6(ip.into())),
            Kind::Mask => value.first().map(|mask| Component::IpCidr(*mask)),
            Kind::Number => <[u8; 8]>::try_from(value).ok().map(|number| Component::Memory(u64::from_be_bytes(number))),
            Kind::Port => <[u8; 2]>::try_from(value).ok().and_then(|port| {
                let port = u16::from_be_bytes(port);
                match row.code {
                    6 => Some(Component::Tcp(port)),
                    33 => Some(Component::Dccp(port)),
                    132 => Some(Component::Sctp(port)),
                    273 => Some(Component::Udp(port)),
                    _ => None,
                }
            }),
            Kind::Name => name(value).and_then(|name| match row.code {
                42 => Some(Component::Ip6Zone(name)),
                53 => Some(Component::Dns(name)),
                54 => Some(Component::Dns4(name)),
                55 => Some(Component::Dns6(name)),
                56 => Some(Component::DnsAddr(name)),
                449 => Some(Component::Sni(name)),
                _ => None,
            }),
            Kind::Path => path(value).map(Component::Unix),
            Kind::HttpPath => (!value.is_empty()).then_some(Component::HttpPath(value)),
            Kind::Peer => return PeerId::from_bytes(value).map(Component::P2p).map_err(MultiaddrFault::PeerBytes),
            Kind::Hash => Multihash::from_bytes(value).ok().map(Component::CertHash),
            Kind::Onion(ONION) => onion(value).map(|(host, port)| Component::Onion(host, port)),
            Kind::Onion(_) => onion::<ONION3>(value).map(|(host, port)| Component::Onion3(host, port)),
            Kind::Garlic32 => (value.len() == 32 || value.len() >= 35).then_some(Component::Garlic32(value)),
            Kind::Garlic64 => (387..=462).contains(&value.len()).then_some(Component::Garlic64(value)),
        };
        component.ok_or_else(wrong)
    }

    fn of_flag(code: u64) -> Option<Self> {
        Some(match code {
            275 => Component::P2pWebRtcStar,
            276 => Component::P2pWebRtcDirect,
            277 => Component::P2pStardust,
            280 => Component::WebRtcDirect,
            281 => Component::WebRtc,
            290 => Component::P2pCircuit,
            301 => Component::Udt,
            302 => Component::Utp,
            443 => Component::Https,
            448 => Component::Tls,
            454 => Component::Noise,
            460 => Component::Quic,
            461 => Component::QuicV1,
            465 => Component::WebTransport,
            477 => Component::Ws,
            478 => Component::Wss,
            479 => Component::P2pWebSocketStar,
            480 => Component::Http,
            _ => return None,
        })
    }
}

/// Bytes of the longest varint (multiformats/unsigned-varint, "Practical maximum of 9 bytes").
const MAX_VARINT: usize = 9;

/// Takes a minimal varint of at most 9 bytes off.
pub(super) fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), MultiaddrFault> {
    let (value, rest) = unsigned_varint::decode::u64(bytes).map_err(|_| MultiaddrFault::Varint)?;
    if bytes.len() - rest.len() > MAX_VARINT { Err(MultiaddrFault::Varint) } else { Ok((value, rest)) }
}

pub(super) fn put_varint(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(unsigned_varint::encode::u64(value, &mut unsigned_varint::encode::u64_buffer()));
}

pub(super) fn put_prefixed(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Text that can stand between two slashes, and in a log line.
fn name(value: &[u8]) -> Option<&str> {
    let name = core::str::from_utf8(value).ok()?;
    (!name.is_empty() && !name.contains(|c: char| c == '/' || c.is_control())).then_some(name)
}

fn path(value: &[u8]) -> Option<&str> {
    let path = core::str::from_utf8(value).ok()?;
    (path.starts_with('/') && !path.contains(char::is_control)).then_some(path)
}

fn onion<const HOST: usize>(value: &[u8]) -> Option<(&[u8; HOST], u16)> {
    let (host, port) = value.split_first_chunk::<HOST>()?;
    let port = u16::from_be_bytes(port.try_into().ok()?);
    (port != 0).then_some((host, port))
}
