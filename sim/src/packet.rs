//! What travels: TCP segments and UDP datagrams.

use bytes::Bytes;
use core::fmt;
use std::net::SocketAddr;

/// A packet between two hosts. A [`Middlebox`](crate::Middlebox) sees and may change every field.
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
    /// Bytes on the wire, from the IP header on: 20 for IPv4 or 40 for IPv6, 20 for TCP or 8 for UDP, and the payload.
    pub fn size(&self) -> usize {
        let ip = if self.to.is_ipv4() { 20 } else { 40 };
        match &self.body {
            Body::Tcp(segment) => ip + 20 + segment.data.len(),
            Body::Udp(data) => ip + 8 + data.len(),
        }
    }

    /// The bytes that it brings from one application to the other.
    pub fn payload(&self) -> &Bytes {
        match &self.body {
            Body::Tcp(segment) => &segment.data,
            Body::Udp(data) => data,
        }
    }
}

impl Segment {
    /// Room that it takes in the sequence: its bytes, and one each for SYN and FIN.
    pub fn len(&self) -> u64 {
        self.data.len() as u64 + u64::from(self.flags.syn) + u64::from(self.flags.fin)
    }

    /// Whether it takes no room in the sequence: a mere acknowledgement, or a reset.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
