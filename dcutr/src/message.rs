//! The message on the wire (relay/DCUtR.md, "RPC messages").
//!
//! `uvarint(length) HolePunch`, in proto2: `type` = 1 is required, `ObsAddrs` = 2 a list of addresses in their binary form.
//! Unknown fields are passed over.

use crate::exchange::{Fault, MAX_MESSAGE, MessageType};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use prost::Message;
use tidewire_core::{Multiaddr, decode_message, encode_message};

#[derive(Clone, PartialEq, Eq, Message)]
struct HolePunch {
    #[prost(int32, optional, tag = "1")]
    r#type: Option<i32>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    addresses: Vec<Bytes>,
}

/// The addresses of a `CONNECT`.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) usable: Vec<Multiaddr>,
    /// Entries that are no address.
    pub(crate) skipped: usize,
    /// Beyond the cap.
    pub(crate) dropped: usize,
}

/// Writes a `CONNECT` with as many of the addresses as a message holds, in their order. How many those are.
pub(crate) fn write_connect(addresses: &[Multiaddr], tx: &mut BytesMut) -> usize {
    let mut message = HolePunch { r#type: Some(MessageType::Connect.code()), addresses: Vec::new() };
    let mut len = message.encoded_len();
    for address in addresses.iter().filter(|address| !address.is_empty()) {
        let bytes = address.as_bytes();
        len = len.saturating_add(1 + prost::length_delimiter_len(bytes.len()) + bytes.len());
        if len > MAX_MESSAGE {
            break;
        }
        message.addresses.push(Bytes::copy_from_slice(bytes));
    }
    encode_message(&message, tx);
    message.addresses.len()
}

/// Writes a `SYNC`.
pub(crate) fn write_sync(tx: &mut BytesMut) {
    encode_message(&HolePunch { r#type: Some(MessageType::Sync.code()), addresses: Vec::new() }, tx);
}

/// Takes the next message off `rx`, which must be of this type. `None`: it is not complete.
///
/// The addresses of a `SYNC` are for nobody, and are not looked at.
pub(crate) fn read(expected: MessageType, max: usize, rx: &mut BytesMut) -> Result<Option<Addresses>, Fault> {
    let Some(message) = decode_message::<HolePunch>(rx, MAX_MESSAGE)? else { return Ok(None) };
    match message.r#type {
        None => return Err(Fault::MissingType { expected }),
        Some(got) if got != expected.code() => return Err(Fault::UnexpectedType { expected, got }),
        Some(_) => {}
    }
    let mut addresses = Addresses::default();
    if expected == MessageType::Connect {
        for bytes in &message.addresses {
            match Multiaddr::from_bytes(bytes) {
                Ok(address) if address.is_empty() => addresses.skipped += 1,
                Ok(_) if addresses.usable.len() >= max => addresses.dropped += 1,
                Ok(address) => addresses.usable.push(address),
                Err(_) => addresses.skipped += 1,
            }
        }
    }
    Ok(Some(addresses))
}
