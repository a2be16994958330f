//! The message a second time, from the spec's schema: what our own bytes are compared with.

use alloc::vec::Vec;
use bytes::BytesMut;
use prost::Message;
use tidewire_core::{Multiaddr, encode_frame};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Punch {
    #[prost(enumeration = "Kind", optional, tag = "1")]
    pub(super) kind: Option<i32>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) addrs: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Kind {
    Unused = 0,
    Connect = 100,
    Sync = 300,
}

impl Punch {
    pub(super) fn of(kind: Kind) -> Punch {
        Punch { kind: Some(kind as i32), addrs: Vec::new() }
    }

    pub(super) fn connect(addresses: &[Multiaddr]) -> Punch {
        let addrs = addresses.iter().map(|address| address.as_bytes().to_vec()).collect();
        Punch { addrs, ..Punch::of(Kind::Connect) }
    }
}

/// A message as a frame.
pub(super) fn framed(message: &Punch) -> BytesMut {
    let mut wire = BytesMut::new();
    encode_frame(&message.encode_to_vec(), &mut wire);
    wire
}

/// A decoder written by hand, a byte at a time: the message at the start of `bytes`, and what follows it. `Ok(None)`: more
/// bytes. `Err`: no message, or too long.
pub(super) fn by_hand(bytes: &[u8]) -> Result<Option<(Punch, &[u8])>, ()> {
    let (mut len, mut at) = (0usize, 0);
    loop {
        let Some(byte) = bytes.get(at) else { return if at >= 9 { Err(()) } else { Ok(None) } };
        if at >= 9 || (at > 0 && *byte == 0) {
            return Err(());
        }
        len |= usize::from(byte & 0x7f) << (7 * at);
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if len > 4096 {
        return Err(());
    }
    let Some(body) = bytes.get(at..at + len) else { return Ok(None) };
    let message = Punch::decode(body).map_err(|_| ())?;
    Ok(Some((message, &bytes[at + len..])))
}

/// The one message in these bytes.
pub(super) fn only(bytes: &[u8]) -> Punch {
    let (message, rest) = by_hand(bytes).unwrap().expect("a whole message");
    assert!(rest.is_empty(), "one message");
    message
}
