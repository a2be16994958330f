//! NAT-PMP's datagrams (RFC 6886 section 3).

use super::{FROM_ROUTER, Fields, NatPmpCode, Request, Response, WireError};
use crate::Transport;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

pub(super) const VERSION: u8 = 0;
const EXTERNAL: u8 = 0;
const MAP_UDP: u8 = 1;
const MAP_TCP: u8 = 2;

pub(super) fn encode_request(request: &Request) -> Vec<u8> {
    let mut to = Vec::with_capacity(12);
    match request {
        Request::NatPmpMap { transport, internal, suggested, lifetime } => {
            to.extend([VERSION, opcode_of(*transport), 0, 0]);
            to.extend(internal.to_be_bytes());
            to.extend(suggested.to_be_bytes());
            to.extend(lifetime.to_be_bytes());
        }
        Request::NatPmpExternal | Request::PcpMap { .. } => to.extend([VERSION, EXTERNAL]),
    }
    to
}

pub(super) fn decode_request(opcode: u8, datagram: &[u8]) -> Result<Request, WireError> {
    let transport = match opcode {
        EXTERNAL => return Ok(Request::NatPmpExternal),
        MAP_UDP => Transport::Udp,
        MAP_TCP => Transport::Tcp,
        other => return Err(WireError::Opcode(other)),
    };
    at_least(datagram, 12, "12 for a NAT-PMP mapping")?;
    let mut fields = Fields(datagram);
    let _: [u8; 4] = fields.take();
    Ok(Request::NatPmpMap { transport, internal: fields.u16(), suggested: fields.u16(), lifetime: fields.u32() })
}

pub(super) fn encode_response(response: &Response) -> Vec<u8> {
    let mut to = Vec::with_capacity(16);
    let mut head = |opcode: u8, code: NatPmpCode, epoch: u32| {
        to.extend([VERSION, opcode | FROM_ROUTER]);
        to.extend(code.0.to_be_bytes());
        to.extend(epoch.to_be_bytes());
    };
    match response {
        Response::NatPmpExternal { code, epoch, external } => {
            head(EXTERNAL, *code, *epoch);
            to.extend(external.octets());
        }
        Response::NatPmpMap { transport, code, epoch, internal, external, lifetime } => {
            head(opcode_of(*transport), *code, *epoch);
            to.extend(internal.to_be_bytes());
            to.extend(external.to_be_bytes());
            to.extend(lifetime.to_be_bytes());
        }
        Response::NatPmpError { opcode, code, epoch } => head(*opcode, *code, *epoch),
        Response::PcpMap { .. } | Response::Pcp { .. } => {}
    }
    to
}

pub(super) fn decode_response(opcode: u8, datagram: &[u8]) -> Result<Response, WireError> {
    at_least(datagram, 8, "8 at least for an answer of NAT-PMP")?;
    let mut fields = Fields(datagram);
    let _: [u8; 2] = fields.take();
    let (code, epoch) = (NatPmpCode(fields.u16()), fields.u32());
    let transport = match opcode {
        EXTERNAL if datagram.len() >= 12 => {
            let external = Ipv4Addr::from(fields.take::<4>());
            return Ok(Response::NatPmpExternal { code, epoch, external });
        }
        MAP_UDP if datagram.len() >= 16 => Transport::Udp,
        MAP_TCP if datagram.len() >= 16 => Transport::Tcp,
        // With an error nothing need follow, and to what isn't known nothing can.
        _ if code != NatPmpCode::SUCCESS => return Ok(Response::NatPmpError { opcode, code, epoch }),
        EXTERNAL => return Err(WireError::Length { got: datagram.len(), expected: "12 for an external address" }),
        MAP_UDP | MAP_TCP => return Err(WireError::Length { got: datagram.len(), expected: "16 for a mapping" }),
        other => return Err(WireError::Opcode(other)),
    };
    Ok(Response::NatPmpMap {
        transport,
        code,
        epoch,
        internal: fields.u16(),
        external: fields.u16(),
        lifetime: fields.u32(),
    })
}

const fn opcode_of(transport: Transport) -> u8 {
    match transport {
        Transport::Udp => MAP_UDP,
        Transport::Tcp => MAP_TCP,
    }
}

const fn at_least(datagram: &[u8], length: usize, expected: &'static str) -> Result<(), WireError> {
    if datagram.len() < length {
        return Err(WireError::Length { got: datagram.len(), expected });
    }
    Ok(())
}
