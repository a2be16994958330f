//! What travels: TCP segments, UDP datagrams, and the one kind of ICMP message that matters to both.

use bytes::Bytes;
use core::fmt;
use std::net::SocketAddr;

/// A packet between two hosts. A [`Middlebox`](crate::Middlebox) sees and may change every field.
///
/// An ICMP message has no ports: both are 0 then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Whom it says it comes from.
    pub from: SocketAddr,
    /// Whom it is for.
    pub to: SocketAddr,
    /// What it carries.
    pub body: Body,
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A piece of a TCP connection.
    Tcp(Segment),
    /// A UDP datagram.
    Udp(Bytes),
    /// Word that a packet did not reach its destination.
    Icmp(Icmp),
}

/// The two protocols with ports, which a NAT keeps apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// "Destination unreachable": ICMP type 3 (RFC 792), or ICMPv6 type 1 (RFC 4443), by whoever could not deliver a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Why, as its code says.
    pub code: Unreachable,
    /// Whom the packet that it speaks of said to come from, as the reporter saw it.
    pub from: SocketAddr,
    /// Whom that packet was for.
    pub to: SocketAddr,
    /// What that packet was.
    pub protocol: Protocol,
    /// The sequence number of a segment; 0 for a datagram.
    pub seq: u64,
}

/// Why a destination can't be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Unreachable {
    /// No route to the network: code 0.
    Network,
    /// No route to the host: code 1.
    Host,
    /// Nobody has this port: code 3.
    Port,
    /// A firewall forbids it: code 13.
    Prohibited,
}

/// A TCP segment (RFC 9293 section 3.1), with sequence numbers so wide that they never wrap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Its control bits.
    pub flags: Flags,
    /// The sequence number of its first byte, or of its SYN.
    pub seq: u64,
    /// The next sequence number that the sender expects, where [`Flags::ack`] is set.
    pub ack: u64,
    /// Bytes from `ack` on that the sender has room for.
    pub window: u64,
    /// The bytes.
    pub data: Bytes,
}

/// The control bits of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// Opens a connection.
    pub syn: bool,
    /// `ack` means something.
    pub ack: bool,
    /// No more bytes will come.
    pub fin: bool,
    /// There is no such connection, or none any more.
    pub rst: bool,
}

impl Packet {
    /// The word to its sender that it did not get through. `None` for an ICMP message, about which nobody is told
    /// (RFC 1122 section 3.2.2).
    pub fn unreachable(&self, code: Unreachable) -> Option<Packet> {
        let seq = match &self.body {
            Body::Tcp(segment) => segment.seq,
            Body::Udp(_) | Body::Icmp(_) => 0,
        };
        let icmp = Icmp { code, from: self.from, to: self.to, protocol: self.protocol()?, seq };
        let bare = |address: SocketAddr| SocketAddr::new(address.ip(), 0);
        Some(Packet { from: bare(self.to), to: bare(self.from), body: Body::Icmp(icmp) })
    }

    /// The reset that a system without such a connection answers it with. `None` if it is no segment, or itself a reset.
    pub fn refusal(&self) -> Option<Packet> {
        let Body::Tcp(segment) = &self.body else { return None };
        Some(Packet { from: self.to, to: self.from, body: Body::Tcp(segment.refusal()?) })
    }

    /// Whose ports it has. `None` for an ICMP message.
    pub const fn protocol(&self) -> Option<Protocol> {
        match self.body {
            Body::Tcp(_) => Some(Protocol::Tcp),
            Body::Udp(_) => Some(Protocol::Udp),
            Body::Icmp(_) => None,
        }
    }

    /// Bytes on the wire, from the IP header on: 20 for IPv4 or 40 for IPv6, 20 for TCP or 8 for UDP, and the payload. An ICMP
    /// message has 8, and 28 of what it speaks of.
    pub fn size(&self) -> usize {
        let ip = if self.to.is_ipv4() { 20 } else { 40 };
        match &self.body {
            Body::Tcp(segment) => ip + 20 + segment.data.len(),
            Body::Udp(data) => ip + 8 + data.len(),
            Body::Icmp(_) => ip + 36,
        }
    }

    /// The bytes that it brings from one application to the other.
    pub fn payload(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        match &self.body {
            Body::Tcp(segment) => &segment.data,
            Body::Udp(data) => data,
            Body::Icmp(_) => &NONE,
        }
    }
}

impl Segment {
    /// What a system without such a connection answers (RFC 9293 section 3.10.7.1). `None`: it is a reset.
    pub fn refusal(&self) -> Option<Segment> {
        if self.flags.rst {
            return None;
        }
        if self.flags.ack {
            return Some(Segment {
                flags: Flags { rst: true, ..Flags::default() },
                seq: self.ack,
                ..Segment::default()
            });
        }
        let flags = Flags { rst: true, ack: true, ..Flags::default() };
        Some(Segment { flags, ack: self.seq.saturating_add(self.len()), ..Segment::default() })
    }

    /// Whether it is the first of a connection: a SYN without an acknowledgement.
    pub const fn is_first_syn(&self) -> bool {
        self.flags.syn && !self.flags.ack && !self.flags.rst
    }

    /// Room that it takes in the sequence: its bytes, and one each for SYN and FIN.
    pub fn len(&self) -> u64 {
        self.data.len() as u64 + u64::from(self.flags.syn) + u64::from(self.flags.fin)
    }

    /// Whether it takes no room in the sequence: a mere acknowledgement, or a reset.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Unreachable {
    /// The code of ICMP for IPv4.
    pub const fn code(self) -> u8 {
        match self {
            Unreachable::Network => 0,
            Unreachable::Host => 1,
            Unreachable::Port => 3,
            Unreachable::Prohibited => 13,
        }
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unreachable::Network => "network unreachable",
            Unreachable::Host => "host unreachable",
            Unreachable::Port => "port unreachable",
            Unreachable::Prohibited => "administratively prohibited",
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
        })
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(self.syn, "SYN"), (self.fin, "FIN"), (self.rst, "RST"), (self.ack, "ACK")];
        let mut first = true;
        for (_, name) in names.iter().filter(|(set, _)| *set) {
            if !core::mem::take(&mut first) {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}
