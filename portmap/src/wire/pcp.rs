//! PCP's datagrams: the header and MAP (RFC 6887 sections 7 and 11.1).

use super::{FROM_ROUTER, Fields, MAX_DATAGRAM, PcpCode, Request, Response, WireError};
use crate::Transport;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

pub(super) const VERSION: u8 = 2;
const MAP: u8 = 1;
const HEADER: usize = 24;
/// Header and MAP.
const WITH_MAP: usize = 60;
const TCP: u8 = 6;
const UDP: u8 = 17;

pub(super) fn encode_request(request: &Request) -> Vec<u8> {
    let mut to = Vec::with_capacity(WITH_MAP);
    if let Request::PcpMap { client, nonce, transport, internal, suggested, lifetime } = request {
        to.extend([VERSION, MAP, 0, 0]);
        to.extend(lifetime.to_be_bytes());
        to.extend(sixteen(*client));
        map(&mut to, nonce, *transport, *internal, *suggested);
    }
    to
}

pub(super) fn decode_request(opcode: u8, datagram: &[u8]) -> Result<Request, WireError> {
    if opcode != MAP {
        return Err(WireError::Opcode(opcode));
    }
    length(datagram, WITH_MAP, "60 at least for MAP, 1,100 at most, a multiple of 4")?;
    let mut fields = Fields(datagram);
    let _: [u8; 4] = fields.take();
    let (lifetime, client) = (fields.u32(), ip(fields.take()));
    let (nonce, transport, internal, suggested) = read_map(&mut fields)?;
    Ok(Request::PcpMap { client, nonce, transport, internal, suggested, lifetime })
}

pub(super) fn encode_response(response: &Response) -> Vec<u8> {
    let mut to = Vec::with_capacity(WITH_MAP);
    let mut head = |version: u8, opcode: u8, code: PcpCode, lifetime: u32, epoch: u32| {
        to.extend([version, opcode | FROM_ROUTER, 0, code.0]);
        to.extend(lifetime.to_be_bytes());
        to.extend(epoch.to_be_bytes());
        to.extend([0; 12]);
    };
    match response {
        Response::PcpMap { code, lifetime, epoch, nonce, transport, internal, external } => {
            head(VERSION, MAP, *code, *lifetime, *epoch);
            map(&mut to, nonce, *transport, *internal, *external);
        }
        Response::Pcp { version, opcode, code, lifetime, epoch } => head(*version, *opcode, *code, *lifetime, *epoch),
        _ => {}
    }
    to
}

pub(super) fn decode_response(version: u8, opcode: u8, datagram: &[u8]) -> Result<Response, WireError> {
    length(datagram, HEADER, "24 at least for an answer of PCP, 1,100 at most, a multiple of 4")?;
    let mut fields = Fields(datagram);
    let _: [u8; 3] = fields.take();
    let (code, lifetime, epoch) = (PcpCode(fields.u8()), fields.u32(), fields.u32());
    // Of another version nothing is known but that it says so (section 9).
    if version != VERSION && code != PcpCode::UNSUPPORTED_VERSION {
        return Err(WireError::Version(version));
    }
    if version != VERSION || opcode != MAP || (datagram.len() < WITH_MAP && code != PcpCode::SUCCESS) {
        return Ok(Response::Pcp { version, opcode, code, lifetime, epoch });
    }
    length(datagram, WITH_MAP, "60 at least for MAP, 1,100 at most, a multiple of 4")?;
    let _: [u8; 12] = fields.take();
    let (nonce, transport, internal, external) = read_map(&mut fields)?;
    Ok(Response::PcpMap { code, lifetime, epoch, nonce, transport, internal, external })
}

fn map(to: &mut Vec<u8>, nonce: &[u8; 12], transport: Transport, internal: u16, external: SocketAddr) {
    to.extend(nonce);
    to.extend([if transport == Transport::Tcp { TCP } else { UDP }, 0, 0, 0]);
    to.extend(internal.to_be_bytes());
    to.extend(external.port().to_be_bytes());
    to.extend(sixteen(external.ip()));
}

fn read_map(fields: &mut Fields<'_>) -> Result<([u8; 12], Transport, u16, SocketAddr), WireError> {
    let nonce = fields.take();
    let transport = match fields.u8() {
        TCP => Transport::Tcp,
        UDP => Transport::Udp,
        other => return Err(WireError::Transport(other)),
    };
    let _: [u8; 3] = fields.take();
    let (internal, external) = (fields.u16(), fields.u16());
    Ok((nonce, transport, internal, SocketAddr::new(ip(fields.take()), external)))
}

/// All addresses are 16 bytes: those of IPv4 as `::ffff:a.b.c.d` (section 5).
const fn sixteen(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn ip(octets: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(octets).to_canonical()
}

const fn length(datagram: &[u8], least: usize, expected: &'static str) -> Result<(), WireError> {
    let got = datagram.len();
    if got < least || got > MAX_DATAGRAM || !got.is_multiple_of(4) {
        return Err(WireError::Length { got, expected });
    }
    Ok(())
}
