//! The header: what is taken, and what is refused.

use super::*;
use alloc::string::ToString;

fn refused(bytes: [u8; 12]) -> Error {
    let mut end = End::listener();
    let error = end.hear(&bytes).unwrap_err();
    assert_eq!(frames(&end.said()), [(Kind::GoAway, 0, 0, 1, Vec::new())]);
    assert_eq!(end.hear(&ping(SYN, 1)), Err(error), "the error must stay");
    assert!(end.said().is_empty(), "a failed connection must be silent");
    error
}

#[test]
fn a_header_is_twelve_bytes_in_network_order() {
    let header = Header { kind: Kind::WindowUpdate, flags: SYN | FIN, stream: 0x0102_0304, length: 0x0506_0708 };
    let bytes = [0, 1, 0, 5, 1, 2, 3, 4, 5, 6, 7, 8];
    assert_eq!(header.encode(), bytes);
    assert_eq!(Header::decode(&bytes), Ok(header));
}

#[test]
fn any_other_version_is_refused() {
    assert_eq!(refused([1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]), Error::Version { version: 1 });
    assert_eq!(refused(*b"GET / HTTP/1"), Error::Version { version: b'G' });
}

#[test]
fn an_unknown_type_is_refused() {
    assert_eq!(refused([0, 4, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0]), Error::UnknownType { kind: 4, stream: 7 });
}

#[test]
fn flags_that_a_type_does_not_have_are_refused() {
    for (kind, flags) in [
        (Kind::Data, 0x10),
        (Kind::WindowUpdate, 0x8000),
        (Kind::Ping, FIN | SYN),
        (Kind::Ping, 0),
        (Kind::Ping, SYN | ACK),
        (Kind::GoAway, SYN),
    ] {
        let stream = u32::from(matches!(kind, Kind::Data | Kind::WindowUpdate));
        let header = Header { kind, flags, stream, length: 0 };
        assert_eq!(refused(header.encode()), Error::Flags { kind, flags, stream });
    }
}

#[test]
fn frames_of_streams_need_a_stream_and_frames_of_the_connection_none() {
    for kind in [Kind::Data, Kind::WindowUpdate] {
        let header = Header { kind, flags: SYN, stream: 0, length: 0 };
        assert_eq!(refused(header.encode()), Error::StreamFrameOnConnection { kind });
    }
    for (kind, flags) in [(Kind::Ping, SYN), (Kind::GoAway, 0)] {
        let header = Header { kind, flags, stream: 3, length: 0 };
        assert_eq!(refused(header.encode()), Error::ConnectionFrameOnStream { kind, stream: 3 });
    }
}

#[test]
fn every_valid_header_survives_a_round_trip() {
    for kind in [Kind::Data, Kind::WindowUpdate] {
        for flags in 0..16 {
            let header = Header { kind, flags, stream: u32::MAX, length: u32::MAX };
            assert_eq!(Header::decode(&header.encode()), Ok(header));
        }
    }
}

#[test]
fn an_error_says_what_came_and_what_was_expected() {
    let error = Error::WrongParity { stream: 4, odd: true };
    assert_eq!(
        error.to_string(),
        "the remote opened stream 4, but its streams have odd numbers: do both ends have the same role?"
    );
}
