//! Which autonomous system an IP address belongs to: a table that the caller fills, for the caller to ask.
//!
//! The server takes a number with each connection and looks nothing up itself. Who has no better source parses one of the
//! public lists of ranges into an [`AsnTable`].

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use core::str::FromStr;

/// Ranges of IP addresses with the autonomous system of each, sorted: a lookup takes O(log n) and allocates nothing.
///
/// ```
/// use tidewire_relay::server::AsnTable;
///
/// let table: AsnTable = "# from, to, number\n11.0.0.0 11.0.255.255 64500\n2a00:1::/32\t64501".parse()?;
/// assert_eq!(table.lookup("11.0.7.1".parse()?), Some(64500));
/// assert_eq!(table.lookup("2a00:1:5::1".parse()?), Some(64501));
/// assert_eq!(table.lookup("12.0.0.1".parse()?), None);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AsnTable {
    /// By their first address, none touching another.
    ranges: Vec<Range>,
}

/// IPv4 addresses stand at ::ffff:0:0/96.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    first: Ipv6Addr,
    last: Ipv6Addr,
    asn: u32,
}

/// Text that is no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AsnTableError {
    /// A line is not `FIRST LAST NUMBER` or `ADDRESS/PREFIX NUMBER`.
    #[error(
        "line {line}: expected `FIRST LAST NUMBER` or `ADDRESS/PREFIX NUMBER`, with addresses of one family in order"
    )]
    Line {
        /// Which, from 1.
        line: usize,
    },
    /// Two lines speak of one address.
    #[error("{address} is in two ranges, of AS{one} and AS{other}")]
    Overlap {
        /// The first address that both hold.
        address: Ipv6Addr,
        /// The one.
        one: u32,
        /// The other.
        other: u32,
    },
    /// There are more ranges than [`AsnTable::MAX_RANGES`].
    #[error("there are more than {} ranges", AsnTable::MAX_RANGES)]
    TooMany,
}

impl AsnTable {
    /// The most ranges of a table: 36 bytes each. The whole internet has about half a million.
    pub const MAX_RANGES: usize = 1 << 21;

    /// The system of an address; `None` if no range holds it.
    pub fn lookup(&self, ip: IpAddr) -> Option<u32> {
        let ip = wide(ip);
        let at = self.ranges.partition_point(|range| range.first <= ip);
        let range = self.ranges.get(at.checked_sub(1)?)?;
        (ip <= range.last).then_some(range.asn)
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

/// One range a line: `FIRST LAST NUMBER` or `ADDRESS/PREFIX NUMBER`, and more columns, which are passed over. Columns stand apart
/// by blanks, tabs or commas; a number may have `AS` before it; number 0 (not routed), empty lines and those that begin with `#`
/// are passed over. In any order.
impl FromStr for AsnTable {
    type Err = AsnTableError;

    fn from_str(text: &str) -> Result<Self, AsnTableError> {
        let mut ranges = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let range = parse(line).ok_or(AsnTableError::Line { line: at + 1 })?;
            if range.asn == 0 {
                continue;
            }
            if ranges.len() == Self::MAX_RANGES {
                return Err(AsnTableError::TooMany);
            }
            ranges.push(range);
        }
        ranges.sort_unstable();
        for (one, other) in ranges.iter().zip(ranges.iter().skip(1)) {
            if other.first <= one.last {
                return Err(AsnTableError::Overlap { address: other.first, one: one.asn, other: other.asn });
            }
        }
        ranges.shrink_to_fit();
        Ok(AsnTable { ranges })
    }
}

fn parse(line: &str) -> Option<Range> {
    let mut columns = line.split([' ', '\t', ',']).map(|column| column.trim_matches('"')).filter(|c| !c.is_empty());
    let first = columns.next()?;
    let (first, last) = match first.split_once('/') {
        Some((address, prefix)) => block(address.parse().ok()?, prefix.parse().ok()?)?,
        None => {
            let (first, last): (IpAddr, IpAddr) = (first.parse().ok()?, columns.next()?.parse().ok()?);
            if first.is_ipv4() != last.is_ipv4() {
                return None;
            }
            (wide(first), wide(last))
        }
    };
    let number = columns.next()?;
    let asn = number.strip_prefix("AS").unwrap_or(number).parse().ok()?;
    (first <= last).then_some(Range { first, last, asn })
}

fn block(address: IpAddr, prefix: u32) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let free = if address.is_ipv4() { 32u32.checked_sub(prefix)? } else { 128u32.checked_sub(prefix)? };
    let mask = u128::MAX.checked_shl(free).unwrap_or(0);
    let bits = wide(address).to_bits();
    Some((Ipv6Addr::from_bits(bits & mask), Ipv6Addr::from_bits(bits | !mask)))
}

fn wide(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn table(text: &str) -> Result<AsnTable, AsnTableError> {
        text.parse()
    }

    #[test]
    fn both_ends_of_a_range_belong_to_it() {
        let table = table("11.0.0.5 11.0.0.7 1\n11.0.0.9,11.0.0.9,AS2,\"a name\"\n0.0.0.0/8 0 not routed").unwrap();
        let rows = [(4, None), (5, Some(1)), (7, Some(1)), (8, None), (9, Some(2)), (10, None)];
        for (last, expected) in rows {
            assert_eq!(table.lookup(IpAddr::from([11, 0, 0, last])), expected, "11.0.0.{last}");
        }
        assert_eq!((table.len(), table.is_empty()), (2, false));
    }

    #[test]
    fn an_ip4_address_is_the_same_in_ip6_clothes() {
        let table = table("11.0.0.0/8 7\n::/1 8").unwrap_err();
        assert_eq!(table.to_string(), "::ffff:11.0.0.0 is in two ranges, of AS8 and AS7");
        let table = self::table("11.0.0.0/8 7").unwrap();
        assert_eq!(table.lookup("::ffff:11.1.1.1".parse().unwrap()), Some(7));
        assert_eq!(table.lookup("::1".parse().unwrap()), None);
    }

    #[test]
    fn the_widest_prefixes_are_ranges() {
        assert_eq!(table("0.0.0.0/0 3").unwrap().lookup("255.255.255.255".parse().unwrap()), Some(3));
        let all = table("::/0 4").unwrap();
        assert_eq!(all.lookup("ffff::".parse().unwrap()), Some(4));
        assert_eq!(all.lookup("1.2.3.4".parse().unwrap()), Some(4));
    }

    #[test]
    fn what_is_no_table_says_which_line() {
        let bad = [
            "11.0.0.1",
            "11.0.0.1 5",
            "11.0.0.9 11.0.0.1 5",
            "11.0.0.1 ::2 5",
            "11.0.0.0/33 5",
            "::/129 5",
            "a b c",
            "11.0.0.0/8 x",
            "11.0.0.0/8 4294967296",
        ];
        for line in bad {
            let text = ["# a table", "", line].join("\n");
            assert_eq!(table(&text), Err(AsnTableError::Line { line: 3 }), "{line}");
        }
        assert!(table("11.0.0.0/8 1\n11.0.0.1/32 2").is_err());
        assert_eq!(table(""), Ok(AsnTable::default()));
    }
}
