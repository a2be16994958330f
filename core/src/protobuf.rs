//! Protobuf messages in length-delimited frames, as identify, the relay and dcutr send them.
//!
//! Messages are hand-written structs with `prost::Message` derived, every field `optional`: prost takes a missing required
//! field for its default, so presence is for the protocol to check. Enums are read as integers for the same reason.

use crate::frame::{FrameError, decode_frame};
use bytes::{BufMut, BytesMut};
use prost::Message;
use thiserror::Error;
use unsigned_varint::encode;

/// A word of the specs in an error. An alias, because derives of serde take a plain `&'static str` for borrowed input.
pub(crate) type Word = &'static str;

/// A frame that holds no message of the expected type.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The frame is malformed or too long.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The body is no protobuf, or a field has another type than expected.
    #[error("the frame's body is no valid protobuf message: {0}")]
    Protobuf(prost::DecodeError),
}

/// Takes the next message off `rx`: a frame of at most `max` bytes. `None`: it is not complete, and nothing was consumed.
///
/// The size is checked before anything is decoded, so `max` bounds the work and memory. Fields of type `Bytes` are slices of
/// the buffer of `rx`, not copies: copy what is kept for long, or it pins the buffer.
///
/// # Errors
/// The frame is malformed or over the limit (nothing was consumed), or its body is no such message (it was consumed).
pub fn decode_message<M: Message + Default>(rx: &mut BytesMut, max: usize) -> Result<Option<M>, MessageError> {
    let Some(body) = decode_frame(rx, max)? else { return Ok(None) };
    M::decode(body.freeze()).map(Some).map_err(MessageError::Protobuf)
}

/// Appends `message` to `tx` as one frame.
pub fn encode_message<M: Message>(message: &M, tx: &mut BytesMut) {
    let len = message.encoded_len();
    let mut buffer = encode::usize_buffer();
    let header = encode::usize(len, &mut buffer);
    tx.reserve(header.len() + len);
    tx.put_slice(header);
    message.encode_raw(tx);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[derive(Clone, PartialEq, Eq, Message)]
    struct Greeting {
        #[prost(string, optional, tag = "1")]
        word: Option<String>,
    }

    #[test]
    fn a_message_survives_its_frame() {
        let sent = Greeting { word: Some("hello".into()) };
        let mut wire = BytesMut::new();
        encode_message(&sent, &mut wire);
        assert_eq!(&wire[..], b"\x07\x0a\x05hello");
        wire.extend_from_slice(b"\x00");
        assert_eq!(decode_message(&mut wire, 7), Ok(Some(sent)));
        assert_eq!(decode_message(&mut wire, 7), Ok(Some(Greeting::default())));
        assert_eq!(decode_message::<Greeting>(&mut wire, 7), Ok(None));
    }

    #[test]
    fn a_message_over_the_limit_is_refused_before_it_is_decoded() {
        let mut wire = BytesMut::from(&b"\x08"[..]);
        let error = MessageError::Frame(FrameError::TooLong { len: 8, max: 7 });
        assert_eq!(decode_message::<Greeting>(&mut wire, 7), Err(error));
    }

    #[test]
    fn a_body_that_is_no_protobuf_is_an_error() {
        let mut wire = BytesMut::from(&b"\x02\x0a\x05rest"[..]);
        assert!(matches!(decode_message::<Greeting>(&mut wire, 7), Err(MessageError::Protobuf(_))));
        assert_eq!(&wire[..], b"rest");
    }
}
