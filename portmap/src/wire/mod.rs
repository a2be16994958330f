//! The datagrams between a host and its router, of both protocols, and of both ends: a test may play the router.
//!
//! ```text
//!  first byte  0  NAT-PMP      2  PCP
//!  second      operation code; its highest bit is set in what the router sends
//! ```
//! All numbers are big-endian. Sources: RFC 6886 section 3, RFC 6887 sections 7 and 11.

mod code;
mod nat_pmp;
mod pcp;
#[cfg(test)]
mod tests;

pub use code::{NatPmpCode, PcpCode};

use crate::Transport;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use thiserror::Error;

/// The router's port (RFC 6886 section 3.1, RFC 6887 section 19.1).
pub const ROUTER_PORT: u16 = 5351;
/// The port on which hosts hear what the router announces to all (RFC 6886 section 3.2.1, RFC 6887 section 14.1).
pub const ANNOUNCE_PORT: u16 = 5350;
/// The longest datagram of PCP (RFC 6887 section 7). NAT-PMP's are 16 bytes at most.
pub const MAX_DATAGRAM: usize = 1100;

/// Of a datagram that the router sends.
const FROM_ROUTER: u8 = 0x80;

/// What a host asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// PCP, MAP: a port, please; or with a lifetime of 0, take it back.
    PcpMap {
        /// The host's address on the way to the router.
        client: IpAddr,
        /// Drawn once for each mapping, so that no one else can change it.
        nonce: [u8; 12],
        /// Of what.
        transport: Transport,
        /// The host's port.
        internal: u16,
        /// What it would like best. An unspecified address and port 0: anything.
        suggested: SocketAddr,
        /// In seconds.
        lifetime: u32,
    },
    /// NAT-PMP: which address do you have outside?
    NatPmpExternal,
    /// NAT-PMP: a port, please; or with a lifetime of 0, take it back.
    NatPmpMap {
        /// Of what.
        transport: Transport,
        /// The host's port.
        internal: u16,
        /// What it would like best; 0: anything.
        suggested: u16,
        /// In seconds.
        lifetime: u32,
    },
}

/// What a router answers, or announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// PCP, to MAP.
    PcpMap {
        /// What came of it.
        code: PcpCode,
        /// In seconds: of the mapping, or of the error.
        lifetime: u32,
        /// Seconds since the router lost its memory.
        epoch: u32,
        /// As asked.
        nonce: [u8; 12],
        /// As asked.
        transport: Transport,
        /// As asked.
        internal: u16,
        /// What it gave; or with an error, what was suggested.
        external: SocketAddr,
    },
    /// PCP, without more than the header: ANNOUNCE, or an error to what was not understood.
    Pcp {
        /// The version that it speaks.
        version: u8,
        /// What it is about.
        opcode: u8,
        /// What came of it.
        code: PcpCode,
        /// In seconds: of the error.
        lifetime: u32,
        /// Seconds since the router lost its memory.
        epoch: u32,
    },
    /// NAT-PMP: the address outside, asked for or announced.
    NatPmpExternal {
        /// What came of it.
        code: NatPmpCode,
        /// Seconds since the router lost its memory.
        epoch: u32,
        /// The address; unspecified if there is none.
        external: Ipv4Addr,
    },
    /// NAT-PMP: a mapping.
    NatPmpMap {
        /// Of what.
        transport: Transport,
        /// What came of it.
        code: NatPmpCode,
        /// Seconds since the router lost its memory.
        epoch: u32,
        /// As asked.
        internal: u16,
        /// What it gave.
        external: u16,
        /// In seconds.
        lifetime: u32,
    },
    /// NAT-PMP: an error to what was not understood, PCP above all.
    NatPmpError {
        /// What it is about.
        opcode: u8,
        /// What is wrong.
        code: NatPmpCode,
        /// Seconds since the router lost its memory.
        epoch: u32,
    },
}

/// A datagram that is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// Too short, too long, or of an odd length.
    #[error("{got} bytes long; expected {expected}")]
    Length {
        /// So long it is.
        got: usize,
        /// So long it should be.
        expected: &'static str,
    },
    /// Neither protocol has this version.
    #[error("version {0}; expected 0 (NAT-PMP) or 2 (PCP)")]
    Version(u8),
    /// An operation that isn't known.
    #[error("operation code {0:#04x}, which is none of these")]
    Opcode(u8),
    /// A request where an answer was expected, or the other way round.
    #[error("it goes the wrong way: from {from}", from = if *from_router { "a router" } else { "a host" })]
    Direction {
        /// Whether it says that a router sent it.
        from_router: bool,
    },
    /// A transport protocol that isn't known.
    #[error("IP protocol {0}; expected 6 (TCP) or 17 (UDP)")]
    Transport(u8),
}

impl Request {
    /// As it goes over the wire.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Request::PcpMap { .. } => pcp::encode_request(self),
            Request::NatPmpExternal | Request::NatPmpMap { .. } => nat_pmp::encode_request(self),
        }
    }

    /// The router's part. What follows a complete NAT-PMP request, and options of PCP, are not looked at.
    ///
    /// # Errors
    /// It is no request of either protocol.
    pub fn decode(datagram: &[u8]) -> Result<Request, WireError> {
        match head(datagram)? {
            (_, opcode) if opcode & FROM_ROUTER != 0 => Err(WireError::Direction { from_router: true }),
            (nat_pmp::VERSION, opcode) => nat_pmp::decode_request(opcode, datagram),
            (pcp::VERSION, opcode) => pcp::decode_request(opcode, datagram),
            (version, _) => Err(WireError::Version(version)),
        }
    }
}

impl Response {
    /// As it goes over the wire.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Response::PcpMap { .. } | Response::Pcp { .. } => pcp::encode_response(self),
            Response::NatPmpExternal { .. } | Response::NatPmpMap { .. } | Response::NatPmpError { .. } => {
                nat_pmp::encode_response(self)
            }
        }
    }

    /// The host's part. Options of PCP are not looked at.
    ///
    /// # Errors
    /// It is no answer of either protocol.
    pub fn decode(datagram: &[u8]) -> Result<Response, WireError> {
        match head(datagram)? {
            (_, opcode) if opcode & FROM_ROUTER == 0 => Err(WireError::Direction { from_router: false }),
            (nat_pmp::VERSION, opcode) => nat_pmp::decode_response(opcode & !FROM_ROUTER, datagram),
            (version, opcode) => pcp::decode_response(version, opcode & !FROM_ROUTER, datagram),
        }
    }

    /// Seconds since the router lost its memory.
    pub const fn epoch(&self) -> u32 {
        match self {
            Response::PcpMap { epoch, .. }
            | Response::Pcp { epoch, .. }
            | Response::NatPmpExternal { epoch, .. }
            | Response::NatPmpMap { epoch, .. }
            | Response::NatPmpError { epoch, .. } => *epoch,
        }
    }
}

/// Version and operation code.
fn head(datagram: &[u8]) -> Result<(u8, u8), WireError> {
    match datagram {
        [version, opcode, ..] => Ok((*version, *opcode)),
        short => Err(WireError::Length { got: short.len(), expected: "2 at least" }),
    }
}

/// Reads numbers from the front of a datagram whose length was looked at.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// The next bytes; zeros where there are none.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((taken, left)) = self.0.split_first_chunk::<N>() else {
            self.0 = &[];
            return [0; N];
        };
        self.0 = left;
        *taken
    }

    fn u8(&mut self) -> u8 {
        let [byte] = self.take();
        byte
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }
}
