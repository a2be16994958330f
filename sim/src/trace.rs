//! What happened, packet by packet, to be read by people and compared by tests.
//!
//! # As a file
//!
//! [`World::write_trace`](crate::World::write_trace) writes it as JSON lines, and [`check`](crate::check) leaves such a file for
//! a world in which a test failed. Times are nanoseconds since the world began; sequence numbers count from 0 at each SYN.
//! A reader should leave what it doesn't know.
//!
//! The first line is the header:
//!
//! | field | |
//! |---|---|
//! | `tidewire_sim_trace` | the format: 1. What makes a file one of these |
//! | `seed`, `now_ns` | of the world; its time at the end |
//! | `why` | how the run failed, if it did |
//! | `left_out` | earlier records that were not kept |
//! | `hosts` | `host` ("h0"), `addresses`, `behind` (a gateway; absent: on the internet) |
//! | `gateways` | `gateway` ("g0"), `addresses` (its outer ones), `behind` |
//!
//! All others are records, `at_ns` and `what`:
//!
//! | `what` | fields |
//! |---|---|
//! | `sent`, `arrived` | a packet |
//! | `lost` | a packet, and `why` |
//! | `translated` | `gateway`, the packet as it went on, and `was_from`, `was_to` |
//! | `answered` | `gateway`, and the packet by which it answered |
//! | `host` | `host`, `change`: `started`, `exited`, `killed`, `powered-off`, `address-up`, `address-down`; and `address` for these |
//! | `note` | `host`, `text` |
//!
//! A packet is `from`, `to`, `protocol` and `len`; for `tcp` also `flags` ("SYN ACK"), `seq`, and with an acknowledgement `ack`
//! and `window`; for `icmp`, instead of `len`, `says`, `code`, and the packet that it is about: `about` ("TCP", "UDP"),
//! `about_from`, `about_to`.

mod json;

pub(crate) use json::{Header, write};

use crate::node::{GatewayId, HostId};
use crate::packet::{Body, Flags, Icmp, Packet};
use core::fmt::{self, Write};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use tidewire_core::Time;

/// The sequence numbers of a connection begin at a multiple of this, so that the rest counts from 0 for a reader.
pub(crate) const SEQUENCE_SPACE: u64 = 1 << 40;

/// The record of a run. Off until [`World::trace_on`](crate::World::trace_on).
///
/// Its `Display` is one line for each record.
#[derive(Debug, Default)]
pub struct Trace {
    on: bool,
    keep: usize,
    /// It keeps no fewer, whatever is asked for.
    least: usize,
    records: VecDeque<Record>,
    count: u64,
    hash: Fnv,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Time,
    /// What.
    pub what: What,
}

/// What a [`Record`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A host sent a packet.
    Sent(Summary),
    /// A packet reached the host that it was for.
    Arrived(Summary),
    /// A packet got lost on the way.
    Dropped(Summary, DropReason),
    /// A packet went through a gateway, which changed it: as it came, and as it went on.
    Translated(GatewayId, Summary, Summary),
    /// A gateway answered a packet itself.
    Answered(GatewayId, Summary),
    /// Something became of a host.
    Host(HostId, Change),
    /// A node said so, through [`Os::note`](crate::Os::note).
    Note(HostId, String),
}

/// What became of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A node was started on it.
    Started,
    /// Its node ended, and the operating system closed what it had open.
    Exited,
    /// Its node and all its sockets vanished.
    Killed,
    /// It has no power.
    PoweredOff,
    /// It got an address.
    AddressUp(IpAddr),
    /// It lost an address.
    AddressDown(IpAddr),
}

/// A packet without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Whom it says it comes from.
    pub from: SocketAddr,
    /// Whom it is for.
    pub to: SocketAddr,
    /// The control bits and numbers of a segment: flags, `seq`, `ack`, `window`. `None` for a datagram.
    pub segment: Option<(Flags, u64, u64, u64)>,
    /// What an ICMP message says; `None` for all others.
    pub icmp: Option<Icmp>,
    /// Bytes of payload.
    pub len: usize,
    /// FNV-1a over the payload, so that the trace's hash knows of every byte.
    pub digest: u64,
}

/// Why a packet did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// The link lost it, as its `loss` says.
    Lost,
    /// The link's queue was full.
    QueueFull,
    /// The link was cut.
    Cut,
    /// The datagram was larger than the link's `mtu`.
    TooLarge,
    /// Nobody has the address that it is for.
    NoRoute,
    /// The host that it is for has no power.
    NoPower,
    /// The host does not have the address that the packet says it comes from: it was taken away.
    WrongSource,
    /// A middlebox kept it.
    Filtered,
    /// From outside, for an outer address and port of a NAT that stand for nobody inside.
    NoMapping,
    /// From outside, and those inside have not sent to its sender: a NAT or a firewall keeps it.
    Unsolicited,
    /// From inside a NAT for its own outer address, and it does not hairpin.
    NoHairpin,
    /// A NAT or a firewall has no room for another mapping or session.
    NatFull,
    /// A NAT has no port left.
    NoPortLeft,
    /// A datagram for a port that nobody has bound.
    NoPort,
}

impl Trace {
    /// Keeps the last `keep` records from now on, and hashes all.
    pub(crate) const fn start(&mut self, keep: usize) {
        self.on = true;
        self.keep = if keep > self.least { keep } else { self.least };
    }

    /// As [`start`](Trace::start), and no later call makes it keep fewer.
    pub(crate) const fn start_fully(&mut self, least: usize) {
        self.least = least;
        self.start(least);
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.on
    }

    /// Calls `what` only if anyone wants to know.
    pub(crate) fn record(&mut self, at: Time, what: impl FnOnce() -> What) {
        if !self.on {
            return;
        }
        let record = Record { at, what: what() };
        // Writing into a hash can't fail.
        let _ = write!(self.hash, "{} ", at.as_nanos());
        let _ = writeln!(self.hash, "{record}");
        if let What::Sent(packet) = &record.what {
            self.hash.fold(&packet.digest.to_be_bytes());
        }
        self.count += 1;
        self.records.push_back(record);
        while self.records.len() > self.keep {
            self.records.pop_front();
        }
    }

    /// The records that were kept, the oldest first.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &Record> + ExactSizeIterator {
        self.records.iter()
    }

    /// How many records there were, kept or not.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// FNV-1a over all records, kept or not, and all payload. Two runs that have the same did the same.
    pub const fn hash(&self) -> u64 {
        self.hash.0
    }
}

impl Summary {
    pub(crate) fn new(packet: &Packet) -> Self {
        let segment = match &packet.body {
            Body::Tcp(segment) => Some((segment.flags, segment.seq, segment.ack, segment.window)),
            Body::Udp(_) | Body::Icmp(_) => None,
        };
        let icmp = match &packet.body {
            Body::Icmp(icmp) => Some(icmp.clone()),
            Body::Tcp(_) | Body::Udp(_) => None,
        };
        let mut digest = Fnv::default();
        digest.fold(packet.payload());
        Summary { from: packet.from, to: packet.to, segment, icmp, len: packet.payload().len(), digest: digest.0 }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left_out = self.count.saturating_sub(self.records.len() as u64);
        if left_out > 0 {
            writeln!(f, "({left_out} earlier records left out)")?;
        }
        self.records.iter().try_for_each(|record| writeln!(f, "{record}"))
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>14}  {}", format_args!("{:?}", self.at).to_string(), self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Sent(packet) => write!(f, "{packet}"),
            What::Arrived(packet) => write!(f, "{packet}  arrived"),
            What::Dropped(packet, why) => write!(f, "{packet}  LOST: {why}"),
            What::Translated(gateway, before, after) => {
                write!(f, "{gateway} {} > {} becomes {} > {}", before.from, before.to, after.from, after.to)
            }
            What::Answered(gateway, packet) => write!(f, "{packet}  by {gateway}"),
            What::Host(host, change) => write!(f, "{host} {change}"),
            What::Note(host, text) => write!(f, "{host} says: {text}"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Started => f.write_str("started"),
            Change::Exited => f.write_str("ended"),
            Change::Killed => f.write_str("was killed"),
            Change::PoweredOff => f.write_str("lost power"),
            Change::AddressUp(address) => write!(f, "has the address {address}"),
            Change::AddressDown(address) => write!(f, "lost the address {address}"),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(icmp) = &self.icmp {
            let Icmp { code, from, to, protocol, .. } = icmp;
            return write!(f, "{} > {}  ICMP {code}: {protocol} {from} > {to}", self.from.ip(), self.to.ip());
        }
        write!(f, "{} > {}  ", self.from, self.to)?;
        match self.segment {
            None => write!(f, "UDP {} bytes", self.len),
            Some((flags, seq, ack, window)) => {
                write!(f, "{flags} seq {}", seq % SEQUENCE_SPACE)?;
                if flags.ack {
                    write!(f, " ack {} window {window}", ack % SEQUENCE_SPACE)?;
                }
                if self.len > 0 {
                    write!(f, " {} bytes", self.len)?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DropReason::Lost => "bad luck",
            DropReason::QueueFull => "the link's queue is full",
            DropReason::Cut => "the link is cut",
            DropReason::TooLarge => "larger than the link's MTU",
            DropReason::NoRoute => "nobody has this address",
            DropReason::NoPower => "the host has no power",
            DropReason::WrongSource => "the sender has this address no more",
            DropReason::Filtered => "a middlebox kept it",
            DropReason::NoMapping => "the NAT has no mapping for it",
            DropReason::Unsolicited => "nobody inside has asked for it",
            DropReason::NoHairpin => "the NAT does not hairpin",
            DropReason::NatFull => "the NAT has no room for it",
            DropReason::NoPortLeft => "the NAT has no port left",
            DropReason::NoPort => "nobody has bound this port",
        })
    }
}

/// FNV-1a, 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>): the same on every machine.
#[derive(Clone, Copy, Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn fold(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.fold(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Segment;
    use bytes::Bytes;

    fn packet(data: &'static [u8]) -> Packet {
        let flags = Flags { ack: true, ..Flags::default() };
        let segment = Segment {
            flags,
            seq: SEQUENCE_SPACE + 1,
            ack: SEQUENCE_SPACE * 2 + 7,
            window: 100,
            data: Bytes::from_static(data),
        };
        Packet { from: "10.0.0.1:1".parse().unwrap(), to: "[fc00::2]:80".parse().unwrap(), body: Body::Tcp(segment) }
    }

    #[test]
    fn a_record_reads_like_a_line_of_a_packet_dump() {
        let what = What::Dropped(Summary::new(&packet(b"abc")), DropReason::Lost);
        let line = Record { at: Time::from_nanos(12_500_000), what }.to_string();
        assert_eq!(
            line,
            "        12.5ms  10.0.0.1:1 > [fc00::2]:80  ACK seq 1 ack 7 window 100 3 bytes  LOST: bad luck"
        );
    }

    #[test]
    fn the_hash_sees_every_byte_of_payload_and_every_nanosecond() {
        let hash = |at, data| {
            let mut trace = Trace::default();
            trace.start(1);
            trace.record(Time::from_nanos(at), || What::Sent(Summary::new(&packet(data))));
            trace.hash()
        };
        assert_eq!(hash(1, b"abc"), hash(1, b"abc"));
        assert_ne!(hash(1, b"abc"), hash(1, b"abd"));
        assert_ne!(hash(1, b"abc"), hash(2, b"abc"));
    }

    #[test]
    fn old_records_go_first_and_are_counted() {
        let mut trace = Trace::default();
        trace.start(2);
        for text in ["one", "two", "three"] {
            trace.record(Time::ZERO, || What::Note(HostId(4), text.into()));
        }
        assert_eq!((trace.count(), trace.records().len()), (3, 2));
        let text = trace.to_string();
        assert!(text.starts_with("(1 earlier records left out)\n"), "{text}");
        assert!(text.ends_with("h4 says: three\n"), "{text}");
    }

    #[test]
    fn a_trace_that_is_off_costs_nothing() {
        let mut trace = Trace::default();
        trace.record(Time::ZERO, || unreachable!("nobody asked"));
        assert_eq!(trace.count(), 0);
    }
}
