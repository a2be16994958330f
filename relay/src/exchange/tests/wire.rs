//! The messages a second time, from the spec and with everything nested decoded: what our own bytes are compared with.

use crate::Status;
use alloc::vec::Vec;
use bytes::BytesMut;
use prost::Message;
use tidewire_core::{Multiaddr, PeerId, encode_frame};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Hop {
    #[prost(enumeration = "HopType", optional, tag = "1")]
    pub(super) kind: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub(super) peer: Option<Peer>,
    #[prost(message, optional, tag = "3")]
    pub(super) reservation: Option<Slot>,
    #[prost(message, optional, tag = "4")]
    pub(super) limit: Option<Limits>,
    #[prost(enumeration = "Code", optional, tag = "5")]
    pub(super) status: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Stop {
    #[prost(enumeration = "StopType", optional, tag = "1")]
    pub(super) kind: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub(super) peer: Option<Peer>,
    #[prost(message, optional, tag = "3")]
    pub(super) limit: Option<Limits>,
    #[prost(enumeration = "Code", optional, tag = "4")]
    pub(super) status: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Peer {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub(super) id: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) addrs: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Slot {
    #[prost(uint64, optional, tag = "1")]
    pub(super) expire: Option<u64>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) addrs: Vec<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "3")]
    pub(super) voucher: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Limits {
    #[prost(uint32, optional, tag = "1")]
    pub(super) duration: Option<u32>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) data: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum HopType {
    Reserve = 0,
    Connect = 1,
    Status = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum StopType {
    Connect = 0,
    Status = 1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Code {
    Unused = 0,
    Ok = 100,
    ReservationRefused = 200,
    ResourceLimitExceeded = 201,
    PermissionDenied = 202,
    ConnectionFailed = 203,
    NoReservation = 204,
    MalformedMessage = 400,
    UnexpectedMessage = 401,
}

impl Hop {
    pub(super) fn of(kind: HopType) -> Hop {
        Hop { kind: Some(kind as i32), ..Hop::default() }
    }

    pub(super) fn saying(status: Status) -> Hop {
        Hop { status: Some(status.code()), ..Hop::of(HopType::Status) }
    }

    pub(super) fn connect(peer: PeerId) -> Hop {
        Hop { peer: Some(Peer::of(peer)), ..Hop::of(HopType::Connect) }
    }

    /// The yes to `RESERVE`.
    pub(super) fn reserved(expire: u64, addresses: &[Multiaddr]) -> Hop {
        let addrs = addresses.iter().map(|address| address.as_bytes().to_vec()).collect();
        let reservation = Slot { expire: Some(expire), addrs, voucher: None };
        Hop { reservation: Some(reservation), ..Hop::saying(Status::OK) }
    }
}

impl Stop {
    pub(super) fn of(kind: StopType) -> Stop {
        Stop { kind: Some(kind as i32), ..Stop::default() }
    }

    pub(super) fn saying(status: Status) -> Stop {
        Stop { status: Some(status.code()), ..Stop::of(StopType::Status) }
    }

    pub(super) fn connect(peer: PeerId) -> Stop {
        Stop { peer: Some(Peer::of(peer)), ..Stop::of(StopType::Connect) }
    }
}

impl Peer {
    pub(super) fn of(peer: PeerId) -> Peer {
        Peer { id: Some(peer.to_bytes()), addrs: Vec::new() }
    }
}

/// A message as a frame.
pub(super) fn framed<M: Message>(message: &M) -> BytesMut {
    let mut wire = BytesMut::new();
    encode_frame(&message.encode_to_vec(), &mut wire);
    wire
}
