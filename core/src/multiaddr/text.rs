//! Addresses as text, both ways.
//!
//! ```text
//! address   = 1*component ["/"]
//! component = "/" name                 tls, p2p-circuit, ...
//!           | "/" name "/" value       ip4, tcp, p2p, ...
//!           | "/unix" path             the path as it is, to the end (as go-multiaddr writes it)
//!           | "/unix/%2F..."           the path percent-encoded in one segment (as js-multiaddr writes it): more may follow
//!           | "/unknown/" code [":" hex]
//! ```
//! The text is first turned into bytes, then the bytes are read as any others, so one place decides what is valid.

use super::component::{Component, put_prefixed, put_varint};
use super::error::{MultiaddrError, MultiaddrFault, shown};
use super::table::{self, Kind, Row, UNKNOWN};
use super::{Multiaddr, check_len};
use crate::PeerId;
use crate::multibase::Base;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::net::{Ipv4Addr, Ipv6Addr};

/// Reads text into valid bytes.
pub(super) fn parse(text: &str) -> Result<Vec<u8>, MultiaddrError> {
    parse_components(text).map_err(|error| error.in_text(text))
}

fn parse_components(text: &str) -> Result<Vec<u8>, MultiaddrError> {
    let outside = |fault| Err(MultiaddrError::new(fault, 0, 0));
    if text.is_empty() || text == "/" {
        return outside(MultiaddrFault::Empty);
    }
    if !text.starts_with('/') {
        return outside(MultiaddrFault::NoSlash);
    }
    if text.len() > Multiaddr::MAX_TEXT_LEN {
        return outside(MultiaddrFault::TooLong { len: text.len(), max: Multiaddr::MAX_TEXT_LEN });
    }

    let mut out = Vec::with_capacity(text.len().min(Multiaddr::MAX_LEN));
    let mut left = Segments { text, at: 0 };
    let (mut count, mut unknown) = (0, false);
    while let Some(name) = left.next() {
        let at = left.at - name.len();
        let fail = |fault| MultiaddrError::new(fault, count, at);
        if name.is_empty() {
            // One slash at the very end, behind a component, is forgiven.
            if left.is_empty() && count > 0 {
                break;
            }
            return Err(fail(MultiaddrFault::EmptyName));
        }
        if count == Multiaddr::MAX_COMPONENTS {
            return Err(fail(MultiaddrFault::TooManyComponents { max: Multiaddr::MAX_COMPONENTS }));
        }
        if unknown {
            return Err(fail(MultiaddrFault::AfterUnknown));
        }
        if name == UNKNOWN {
            parse_unknown(left.next(), &mut out).map_err(fail)?;
            unknown = true;
        } else {
            let row = table::by_name(name).ok_or_else(|| fail(MultiaddrFault::UnknownName { name: shown(name) }))?;
            let value = match row.kind {
                Kind::Flag => "",
                Kind::Path => left.path(),
                _ => left.next().unwrap_or(""),
            };
            let at = left.at - value.len();
            parse_value(row, value, &mut out).map_err(|fault| MultiaddrError::new(fault, count, at))?;
        }
        count += 1;
    }
    check_len(out.len())?;
    Ok(out)
}

/// The parts between slashes. `at` is where the next slash is.
struct Segments<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Segments<'a> {
    fn is_empty(&self) -> bool {
        self.at >= self.text.len()
    }

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?.strip_prefix('/')?;
        let segment = rest.split('/').next().unwrap_or(rest);
        self.at += 1 + segment.len();
        Some(segment)
    }

    /// All that is left, with its leading slash; of an encoded path only its segment, without one.
    fn path(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or("");
        if is_encoded_path(rest) {
            return self.next().unwrap_or("");
        }
        self.at = self.text.len();
        rest
    }
}

/// Appends the component of this row with this value.
fn parse_value(row: &'static Row, text: &str, out: &mut Vec<u8>) -> Result<(), MultiaddrFault> {
    if text.is_empty() && row.kind != Kind::Flag {
        return Err(MultiaddrFault::MissingValue { name: row.name, expected: row.kind.expected() });
    }
    let wrong = || MultiaddrFault::Value { name: row.name, value: shown(text), expected: row.kind.expected() };
    let value = match row.kind {
        Kind::Peer => text
            .parse::<PeerId>()
            .map_err(|error| MultiaddrFault::Peer { value: shown(text), error })?
            .as_bytes()
            .to_vec(),
        kind => value_bytes(kind, text).ok_or_else(wrong)?,
    };

    let start = out.len();
    put_varint(row.code, out);
    match row.kind.size() {
        Some(_) => out.extend_from_slice(&value),
        None => put_prefixed(&value, out),
    }
    // What the bytes of a peer could not say, their text could not either.
    match Component::split(out.get(start..).unwrap_or_default()) {
        Ok((_, [])) => Ok(()),
        _ => Err(wrong()),
    }
}

fn value_bytes(kind: Kind, text: &str) -> Option<Vec<u8>> {
    Some(match kind {
        Kind::Flag => Vec::new(),
        Kind::Ip4 => text.parse::<Ipv4Addr>().ok()?.octets().to_vec(),
        Kind::Ip6 => text.parse::<Ipv6Addr>().ok()?.octets().to_vec(),
        Kind::Port => u16::try_from(decimal(text)?).ok()?.to_be_bytes().to_vec(),
        Kind::Mask => vec![u8::try_from(decimal(text)?).ok()?],
        Kind::Number => decimal(text)?.to_be_bytes().to_vec(),
        Kind::Name => text.as_bytes().to_vec(),
        Kind::Path if text.starts_with('/') => text.as_bytes().to_vec(),
        Kind::Path => percent_decode(text, |_| true)?,
        Kind::HttpPath => percent_decode(text, is_pchar)?,
        Kind::Peer => text.parse::<PeerId>().ok()?.as_bytes().to_vec(),
        Kind::Hash => {
            let prefix = text.chars().next()?;
            debase(prefix, text.get(prefix.len_utf8()..)?)?
        }
        Kind::Onion(host) => {
            let (digits, port) = text.split_once(':')?;
            let mut value = debase('b', digits)?;
            if value.len() != host {
                return None;
            }
            value.extend_from_slice(&u16::try_from(decimal(port)?).ok()?.to_be_bytes());
            value
        }
        Kind::Garlic32 => debase('b', text.trim_end_matches('='))?,
        Kind::Garlic64 => {
            let digits: alloc::string::String = text.trim_end_matches('=').chars().map(from_i2p).collect();
            debase('m', &digits)?
        }
    })
}

/// `9999`, or `9999:0a0b`. Appends code and rest.
fn parse_unknown(value: Option<&str>, out: &mut Vec<u8>) -> Result<(), MultiaddrFault> {
    const EXPECTED: &str = "the code of a protocol without a name, then `:` and hex digits if there is more";
    let text = match value {
        None | Some("") => return Err(MultiaddrFault::MissingValue { name: UNKNOWN, expected: EXPECTED }),
        Some(text) => text,
    };
    let wrong = || MultiaddrFault::Value { name: UNKNOWN, value: shown(text), expected: EXPECTED };
    let (code, rest) = match text.split_once(':') {
        None => (text, Vec::new()),
        Some((_, "")) => return Err(wrong()),
        Some((code, hex)) => (code, debase('f', hex).ok_or_else(wrong)?),
    };
    let code = decimal(code).ok_or_else(wrong)?;
    let start = out.len();
    put_varint(code, out);
    out.extend_from_slice(&rest);
    match Component::split(out.get(start..).unwrap_or_default()) {
        Ok((Component::Unknown { .. }, _)) => Ok(()),
        _ => Err(MultiaddrFault::NotUnknown { code }),
    }
}

/// Digits alone: no sign, as a port has none.
fn decimal(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Digits of the base with this multibase prefix.
fn debase(prefix: char, digits: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; Multiaddr::MAX_LEN];
    let len = Base::of_prefix(prefix)?.decode(digits, &mut value).ok()?;
    value.truncate(len);
    Some(value)
}

fn from_i2p(c: char) -> char {
    match c {
        '-' => '+',
        '~' => '/',
        '+' | '/' => ' ', // not in I2P's alphabet
        c => c,
    }
}

/// Resolves `%xx`; other bytes must be `allowed`.
fn percent_decode(text: &str, allowed: fn(u8) -> bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else if allowed(byte) {
            out.push(byte);
        } else {
            return None;
        }
    }
    Some(out)
}

/// RFC 3986, section 3.3: what stands unescaped in a segment of a path.
fn is_pchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

/// Writes all components. A unix path that isn't the last is encoded, or it would swallow the rest when it is read.
pub(super) fn write(address: &Multiaddr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut components = address.iter().peekable();
    while let Some(component) = components.next() {
        match component {
            Component::Unix(path) if components.peek().is_some() => {
                f.write_str("/unix/")?;
                write_percent(path.as_bytes(), f)?;
            }
            component => write!(f, "{component}")?,
        }
    }
    Ok(())
}

/// Whether the path, with its leading slash, has an escaped slash in its first place.
fn is_encoded_path(path: &str) -> bool {
    path.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("/%2f"))
}

impl fmt::Display for Component<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.name())?;
        match self {
            Component::Ip4(ip) => write!(f, "/{ip}"),
            Component::Ip6(ip) => write!(f, "/{ip}"),
            Component::IpCidr(mask) => write!(f, "/{mask}"),
            Component::Tcp(port) | Component::Udp(port) | Component::Dccp(port) | Component::Sctp(port) => {
                write!(f, "/{port}")
            }
            Component::Memory(number) => write!(f, "/{number}"),
            Component::Ip6Zone(name)
            | Component::Dns(name)
            | Component::Dns4(name)
            | Component::Dns6(name)
            | Component::DnsAddr(name)
            | Component::Sni(name) => write!(f, "/{name}"),
            // A path that looks encoded must be encoded, or it would be read as another one.
            Component::Unix(path) if is_encoded_path(path) => {
                f.write_char('/')?;
                write_percent(path.as_bytes(), f)
            }
            Component::Unix(path) => f.write_str(path),
            Component::HttpPath(path) => {
                f.write_char('/')?;
                write_percent(path, f)
            }
            Component::P2p(peer) => write!(f, "/{peer}"),
            Component::CertHash(hash) => {
                f.write_str("/u")?;
                write_base('u', hash.as_bytes(), f)
            }
            Component::Onion(host, port) => write_onion(&host[..], *port, f),
            Component::Onion3(host, port) => write_onion(&host[..], *port, f),
            Component::Garlic32(bytes) => {
                f.write_char('/')?;
                write_base('b', bytes, f)
            }
            Component::Garlic64(bytes) => {
                f.write_char('/')?;
                write_base('m', bytes, &mut I2p(f))
            }
            Component::Unknown { code, rest } => {
                write!(f, "/{code}")?;
                if !rest.is_empty() {
                    f.write_char(':')?;
                }
                write_base('f', rest, f)
            }
            _ => Ok(()), // no value
        }
    }
}

fn write_onion(host: &[u8], port: u16, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('/')?;
    write_base('b', host, f)?;
    write!(f, ":{port}")
}

fn write_percent(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for &byte in bytes {
        if is_pchar(byte) { f.write_char(char::from(byte))? } else { write!(f, "%{byte:02X}")? }
    }
    Ok(())
}

/// Digits without the prefix, in pieces, so that nothing is allocated. Pieces of 15 bytes are whole groups in bases 16, 32
/// and 64.
fn write_base(prefix: char, bytes: &[u8], f: &mut dyn Write) -> fmt::Result {
    const PIECE: usize = 15;
    let base = Base::of_prefix(prefix).ok_or(fmt::Error)?;
    for piece in bytes.chunks(PIECE) {
        let mut digits = [0; 2 * PIECE];
        let len = base.encode(piece, &mut digits).ok_or(fmt::Error)?;
        f.write_str(digits.get(..len).and_then(|digits| core::str::from_utf8(digits).ok()).ok_or(fmt::Error)?)?;
    }
    Ok(())
}

/// I2P's letters for 62 and 63.
struct I2p<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for I2p<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| {
            self.0.write_char(match c {
                '+' => '-',
                '/' => '~',
                c => c,
            })
        })
    }
}
