//! How values look in the file, both ways.

use crate::args::{MUXERS, SECURITIES, SELECTIONS};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tidewire_core::{Multiaddr, Transport};
use tidewire_host::addresses::{Filter, Loopback};
use tidewire_relay::autorelay::AnnouncePublic;
use tidewire_relay::client::{AcceptFrom, VoucherPolicy};
use tidewire_relay::server::Offer;
use tidewire_upgrade::connection::Selection;
use tidewire_upgrade::crypto::Crypto;
use tidewire_upgrade::muxer::MuxerKind;
use tidewire_upgrade::pipeline::SecurityKind;
use toml::de::DeValue;

/// Something that stands behind a key.
pub(super) trait Value: Sized {
    /// As TOML.
    fn show(&self) -> String;

    /// From TOML.
    ///
    /// # Errors
    /// What was expected, and what came.
    fn read(value: &DeValue<'_>) -> Result<Self, String>;
}

macro_rules! whole {
    ($($name:ident),*) => {$(
        impl Value for $name {
            fn show(&self) -> String {
                match u64::try_from(*self) {
                    // TOML's numbers end at 2^63; nothing real comes near.
                    Ok(_) if *self == $name::MAX => "\"off\"".into(),
                    Ok(number) => digits(number),
                    Err(_) => self.to_string(),
                }
            }

            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                let expected = || format!(
                    "expected a whole number up to {}, with a unit such as \"64KiB\", or \"off\"; got {}", $name::MAX, got(value)
                );
                if word(value) == Some("off") {
                    return Ok($name::MAX);
                }
                number(value).and_then(|number| number.try_into().ok()).ok_or_else(expected)
            }
        }
    )*};
}
whole!(u32, u64, usize);

impl Value for bool {
    fn show(&self) -> String {
        self.to_string()
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Boolean(is) => Ok(*is),
            other => Err(format!("expected true or false, got {}", got(other))),
        }
    }
}

impl Value for smol_str::SmolStr {
    fn show(&self) -> String {
        quoted(self)
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        word(value).map(Into::into).ok_or_else(|| format!("expected a text in quotes, got {}", got(value)))
    }
}

impl Value for Duration {
    fn show(&self) -> String {
        if *self == Duration::MAX { "\"never\"".into() } else { quoted(&time(*self)) }
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let expected =
            || format!("expected a time such as \"10s\", \"1m30s\" or \"250ms\", or \"never\"; got {}", got(value));
        match word(value) {
            Some("never") => Ok(Duration::MAX),
            Some(text) => parse_time(text).ok_or_else(expected),
            None => Err(expected()),
        }
    }
}

/// A port: one more than the largest is no way to say that there is none.
impl Value for u16 {
    fn show(&self) -> String {
        self.to_string()
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let number = number(value).and_then(|number| number.try_into().ok());
        number.ok_or_else(|| format!("expected a whole number up to {}, got {}", u16::MAX, got(value)))
    }
}

/// What has a notation of its own: one of it, or perhaps none (`"off"`).
macro_rules! noted {
    ($($kind:ty: $example:literal),*) => {$(
        impl Value for $kind {
            fn show(&self) -> String {
                quoted(&self.to_string())
            }

            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                let read = word(value).and_then(|word| word.parse().ok());
                read.ok_or_else(|| format!("expected {}, got {}", $example, got(value)))
            }
        }

        impl Value for Option<$kind> {
            fn show(&self) -> String {
                self.map_or_else(|| "\"off\"".into(), |one| one.show())
            }

            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                if word(value) == Some("off") {
                    return Ok(None);
                }
                <$kind>::read(value).map(Some).map_err(|why| format!("{why}; or \"off\""))
            }
        }
    )*};
}
noted!(IpAddr: "an IP address such as \"192.168.1.1\"", SocketAddr: "an IP address and a port such as \"192.168.1.1:5351\"");

impl Value for Vec<IpAddr> {
    fn show(&self) -> String {
        show_list(self, ToString::to_string)
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let read = |word: &str| word.parse().map_err(|_| format!("expected an IP address, got {word:?}"));
        words(value)?.into_iter().map(read).collect()
    }
}

impl Value for Option<Duration> {
    fn show(&self) -> String {
        self.map_or_else(|| "\"never\"".into(), |time| time.show())
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        Duration::read(value).map(|time| (time != Duration::MAX).then_some(time))
    }
}

impl Value for Option<u64> {
    fn show(&self) -> String {
        self.map_or_else(|| "\"off\"".into(), |number| number.show())
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        u64::read(value).map(|number| (number != u64::MAX).then_some(number))
    }
}

impl Value for Vec<SecurityKind> {
    fn show(&self) -> String {
        show_list(self, |kind| name_of(SECURITIES, kind))
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        offered(value, SECURITIES)
    }
}

impl Value for Vec<MuxerKind> {
    fn show(&self) -> String {
        show_list(self, |kind| name_of(MUXERS, kind))
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        offered(value, MUXERS)
    }
}

impl Value for Selection {
    fn show(&self) -> String {
        quoted(&name_of(SELECTIONS, self))
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, SELECTIONS)
    }
}

const OFFERS: &[(&str, Offer)] =
    &[("while-public", Offer::WhilePublic), ("always", Offer::Always), ("never", Offer::Never)];
const VOUCHERS: &[(&str, VoucherPolicy)] = &[
    ("ignore", VoucherPolicy::Ignore),
    ("refuse-wrong", VoucherPolicy::RefuseWrong),
    ("require", VoucherPolicy::Require),
];
const ACCEPTED: &[(&str, AcceptFrom)] =
    &[("held", AcceptFrom::Held), ("anyone", AcceptFrom::Anyone), ("nobody", AcceptFrom::Nobody)];

const PUBLIC: &[(&str, AnnouncePublic)] = &[
    ("always", AnnouncePublic::Always),
    ("unless-private", AnnouncePublic::UnlessPrivate),
    ("verified", AnnouncePublic::Verified),
];

/// One of a few words.
macro_rules! named {
    ($($kind:ty: $table:ident),*) => {$(
        impl Value for $kind {
            fn show(&self) -> String {
                quoted(&name_of($table, self))
            }

            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                one_of(value, $table)
            }
        }
    )*};
}
named!(Offer: OFFERS, VoucherPolicy: VOUCHERS, AcceptFrom: ACCEPTED, AnnouncePublic: PUBLIC);

const LOOPBACK: &[(&str, Loopback)] =
    &[("never", Loopback::Never), ("alone", Loopback::Alone), ("always", Loopback::Always)];

impl Value for Loopback {
    fn show(&self) -> String {
        quoted(&name_of(LOOPBACK, self))
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, LOOPBACK)
    }
}

impl Value for Crypto {
    fn show(&self) -> String {
        quoted(&format!("{self:?}").to_lowercase())
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let names: Vec<String> = Crypto::ALL.iter().map(|one| format!("{one:?}").to_lowercase()).collect();
        let known: Vec<(&str, Crypto)> = names.iter().map(String::as_str).zip(Crypto::ALL.iter().copied()).collect();
        one_of(value, &known)
    }
}

impl Value for Vec<Multiaddr> {
    fn show(&self) -> String {
        show_list(self, ToString::to_string)
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        words(value)?.into_iter().map(|word| word.parse().map_err(|error| format!("{word:?}: {error}"))).collect()
    }
}

const TRANSPORTS: &[(&str, Transport)] = &[
    ("tcp", Transport::Tcp),
    ("ws", Transport::Ws),
    ("wss", Transport::Wss),
    ("http", Transport::Http),
    ("https", Transport::Https),
    ("udp", Transport::Udp),
    ("quic", Transport::Quic),
    ("quic-v1", Transport::QuicV1),
    ("webtransport", Transport::WebTransport),
    ("webrtc-direct", Transport::WebRtcDirect),
    ("webrtc", Transport::WebRtc),
    ("unix", Transport::Unix),
    ("memory", Transport::Memory),
];

impl Value for Vec<Transport> {
    fn show(&self) -> String {
        show_list(self, |one| name_of(TRANSPORTS, one))
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        offered(value, TRANSPORTS)
    }
}

impl Value for Vec<Filter> {
    fn show(&self) -> String {
        show_list(self, |filter| match filter {
            Filter::Address(address) => address.to_string(),
            Filter::Network { ip, prefix } => format!("{ip}/{prefix}"),
            Filter::Transport(transport) => name_of(TRANSPORTS, transport),
            _ => "relayed".into(),
        })
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        words(value)?.into_iter().map(filter).collect()
    }
}

fn filter(word: &str) -> Result<Filter, String> {
    if word == "relayed" {
        return Ok(Filter::Relayed);
    }
    if let Some((_, transport)) = TRANSPORTS.iter().find(|(name, _)| *name == word) {
        return Ok(Filter::Transport(*transport));
    }
    if word.starts_with('/') {
        return word.parse().map(Filter::Address).map_err(|error| format!("{word:?}: {error}"));
    }
    let network = word.split_once('/').and_then(|(ip, prefix)| {
        let (ip, prefix): (IpAddr, u8) = (ip.parse().ok()?, prefix.parse().ok()?);
        (prefix <= if ip.is_ipv4() { 32 } else { 128 }).then_some(Filter::Network { ip, prefix })
    });
    network.ok_or_else(|| {
        format!("expected an address, a network such as \"10.0.0.0/8\", a transport such as \"tcp\", or \"relayed\"; got {word:?}")
    })
}

fn offered<T: Copy + PartialEq>(value: &DeValue<'_>, known: &[(&str, T)]) -> Result<Vec<T>, String> {
    let mut chosen = Vec::new();
    for word in words(value)? {
        let kind = find(word, known)?;
        if chosen.contains(&kind) {
            return Err(format!("{word:?} is there twice"));
        }
        chosen.push(kind);
    }
    if chosen.is_empty() { Err(format!("expected {} at least", names(known))) } else { Ok(chosen) }
}

fn one_of<T: Copy>(value: &DeValue<'_>, known: &[(&str, T)]) -> Result<T, String> {
    let word = word(value).ok_or_else(|| format!("expected {}, got {}", names(known), got(value)))?;
    find(word, known)
}

fn find<T: Copy>(word: &str, known: &[(&str, T)]) -> Result<T, String> {
    let found = known.iter().find(|(name, _)| *name == word).map(|(_, one)| *one);
    found.ok_or_else(|| format!("expected {}, got {word:?}", names(known)))
}

fn names<T>(known: &[(&str, T)]) -> String {
    known.iter().map(|(name, _)| format!("{name:?}")).collect::<Vec<_>>().join(" or ")
}

fn name_of<T: PartialEq + std::fmt::Debug>(known: &[(&str, T)], one: &T) -> String {
    known.iter().find(|(_, other)| other == one).map_or_else(|| format!("{one:?}"), |(name, _)| (*name).to_owned())
}

pub(super) fn show_list<T>(list: &[T], show: impl Fn(&T) -> String) -> String {
    format!("[{}]", list.iter().map(|one| quoted(&show(one))).collect::<Vec<_>>().join(", "))
}

pub(super) fn words<'a>(value: &'a DeValue<'_>) -> Result<Vec<&'a str>, String> {
    let expected =
        |value: &DeValue<'_>| format!("expected a list of texts, such as [\"a\", \"b\"], got {}", got(value));
    let DeValue::Array(list) = value else { return Err(expected(value)) };
    list.iter().map(|one| word(one.get_ref()).ok_or_else(|| expected(one.get_ref()))).collect()
}

fn word<'a>(value: &'a DeValue<'_>) -> Option<&'a str> {
    match value {
        DeValue::String(text) => Some(text.as_ref()),
        _ => None,
    }
}

fn number(value: &DeValue<'_>) -> Option<u64> {
    match value {
        DeValue::Integer(number) => u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok(),
        DeValue::String(text) => {
            let split = text.find(|c: char| !c.is_ascii_digit())?;
            let shift = match text.get(split..)? {
                "B" => 0,
                "KiB" => 10,
                "MiB" => 20,
                "GiB" => 30,
                _ => return None,
            };
            text.get(..split)?.parse::<u64>().ok()?.checked_mul(1 << shift)
        }
        _ => None,
    }
}

/// In words, for an error.
fn got(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(is) => is.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

/// `1_048_576`.
fn digits(number: u64) -> String {
    let plain = number.to_string();
    let mut text = String::new();
    for (i, digit) in plain.chars().enumerate() {
        if i > 0 && (plain.len() - i).is_multiple_of(3) && plain.len() > 4 {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

const UNITS: [(&str, u128); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// In the largest units that say it exactly: `1m30s`.
fn time(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut text = String::new();
    for (unit, nanos) in UNITS {
        if rest >= nanos {
            text += &format!("{}{unit}", rest / nanos);
            rest %= nanos;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// `1m30s`, `250ms`, `0.5s`.
fn parse_time(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let nanos = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let mut part = whole.parse::<u128>().ok()?.checked_mul(nanos)?;
        if number.contains('.') {
            let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
            part = part.checked_add(fraction.parse::<u128>().ok()?.checked_mul(nanos)? / scale)?;
        }
        total = total.checked_add(part)?;
        rest = behind;
    }
    let nanos = u64::try_from(total).ok()?;
    (!text.is_empty()).then_some(Duration::from_nanos(nanos))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted += &format!("\\u{:04x}", c as u32),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        let table = [
            (Duration::ZERO, "0s"),
            (Duration::from_secs(90), "1m30s"),
            (Duration::from_millis(250), "250ms"),
            (Duration::from_secs(86_400), "24h"),
            (Duration::from_nanos(1), "1ns"),
        ];
        for (duration, text) in table {
            assert_eq!((time(duration).as_str(), parse_time(text)), (text, Some(duration)));
        }
        assert_eq!(parse_time("0.5s"), Some(Duration::from_millis(500)));
        for wrong in ["", "10", "s", "10 s", "1.s", "10d", "-1s", "99999999999999h"] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn networks_transports_and_addresses_are_told_apart() {
        for good in ["10.0.0.0/8", "fd00::/8", "tcp", "quic-v1", "relayed", "/ip4/192.0.2.1/tcp/4001"] {
            let read = filter(good).unwrap();
            assert_eq!(vec![read].show(), format!("[{good:?}]"));
        }
        for wrong in ["10.0.0.0", "10.0.0.0/33", "sctp", "/ip4/1"] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
    }
}
