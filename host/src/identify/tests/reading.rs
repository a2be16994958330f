//! What a remote says, and what is made of it.

use super::*;
use alloc::format;
use core::time::Duration;
use proptest::prelude::*;
use tidewire_core::{FrameError, KeyError, MessageError, VarintError};

fn empty() -> IdentifyMessage {
    IdentifyMessage::default()
}

fn listing(protocols: &[&str], addresses: &[Multiaddr]) -> IdentifyMessage {
    IdentifyMessage { protocols: list(protocols), listen_addrs: list(addresses), ..empty() }
}

#[test]
fn the_names_are_those_of_the_spec() {
    assert_eq!((IDENTIFY.as_str(), PUSH.as_str()), ("/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0"));
}

#[test]
fn every_field_is_optional() {
    let identity = told(empty()).unwrap();
    assert!(identity.is_empty() && identity.dropped.is_none());
}

#[test]
fn any_protocol_version_is_taken() {
    for version in ["ipfs/0.1.0", "/another-network/9", "x"] {
        let message = IdentifyMessage { protocol_version: Some(version.into()), ..empty() };
        assert_eq!(told(message).unwrap().protocol_version.as_deref(), Some(version));
    }
}

#[test]
fn of_several_messages_later_single_fields_replace_and_lists_grow() {
    let first = IdentifyMessage {
        agent_version: Some("old".into()),
        protocol_version: Some("stays".into()),
        ..listing(&["/b", "/c"], &[address("/ip4/192.0.2.1/tcp/1")])
    };
    let second = IdentifyMessage {
        agent_version: Some("new".into()),
        ..listing(&["/a", "/b"], &[address("/ip4/192.0.2.1/tcp/2"), address("/ip4/192.0.2.1/tcp/1")])
    };
    let identity = read(&wire(&[first, second])).unwrap();
    assert_eq!(identity.agent.as_deref(), Some("new"));
    assert_eq!(identity.protocol_version.as_deref(), Some("stays"));
    assert_eq!(identity.protocols, [protocol("/a"), protocol("/b"), protocol("/c")]);
    assert_eq!(identity.addresses, [address("/ip4/192.0.2.1/tcp/1"), address("/ip4/192.0.2.1/tcp/2")]);
}

#[test]
fn ten_messages_are_read_and_the_eleventh_is_refused_at_its_first_byte() {
    let messages = vec![empty(); 10];
    assert!(read(&wire(&messages)).is_ok());
    let mut bytes = wire(&messages);
    bytes.extend_from_slice(&[0x85]);
    assert_eq!(read(&bytes), Err(IdentifyError::TooManyMessages { max: 10 }));
}

#[test]
fn eight_kib_are_read_and_one_byte_more_is_refused_on_its_length() {
    // Tag and a length of two bytes before the padding.
    let padded = |len: usize| IdentifyMessage { agent_version: Some(vec![b'x'; len - 3].into()), ..empty() };
    assert_eq!(read(&wire(&[padded(8192)])).unwrap().agent.unwrap().len(), 128);

    let error = IdentifyError::TooLong { len: 8193, max: 8192 };
    assert_eq!(read(&wire(&[padded(8193)])[..2]), Err(error.clone()), "before any of it is waited for");
    // Two messages: 4002 and 2 bytes of the first, so that 4188 are left.
    assert!(read(&wire(&[padded(4002), padded(4188)])).is_ok());
    assert_eq!(read(&wire(&[padded(4002), padded(4189)])), Err(error));
}

/// CVE-2023-40583, CVE-2026-57497: a peer store that grows without bound.
#[test]
fn a_megabyte_of_protocols_is_refused_on_its_length_and_what_fits_is_capped() {
    let error = IdentifyError::TooLong { len: 1 << 20, max: 8192 };
    assert_eq!(read(&[0x80, 0x80, 0x40]), Err(error));

    let names: Vec<_> = (0..1000).map(|n| format!("/{n}")).collect();
    let names: Vec<_> = names.iter().map(alloc::string::String::as_str).collect();
    let identity = told(listing(&names, &[])).unwrap();
    assert_eq!((identity.protocols.len(), identity.dropped.surplus_protocols), (128, 872));
    assert!(identity.memory_used() < 8 * 1024);
}

#[test]
fn addresses_over_the_cap_are_dropped_and_counted() {
    let addresses: Vec<_> = (0..100).map(|port| address(&format!("/ip4/192.0.2.1/tcp/{port}"))).collect();
    let identity = told(listing(&[], &addresses)).unwrap();
    assert_eq!(identity.addresses, addresses[..64]);
    assert_eq!(identity.dropped.surplus_addresses, 36);
}

/// A list of thousands of empty items is short on the wire.
#[test]
fn what_is_kept_is_capped_whatever_the_wire_holds() {
    let message =
        IdentifyMessage { listen_addrs: vec![Bytes::new(); 2000], protocols: vec![Bytes::new(); 2000], ..empty() };
    let mut reader = reader();
    let mut rx = wire(&[message]);
    assert_eq!(reader.advance(Time::ZERO, &mut rx, &mut BytesMut::new()), Ok(None));
    assert_eq!(reader.memory_used(), 0, "nothing of it is kept");
    let identity = reader.end(Time::ZERO, &mut rx, &mut BytesMut::new()).unwrap().unwrap();
    assert_eq!((identity.dropped.unusable_addresses, identity.dropped.unusable_protocols), (2000, 2000));
}

#[test]
fn unusable_names_are_dropped_and_the_others_kept() {
    let long = format!("/{}", "x".repeat(256));
    let names: [&[u8]; 6] = [b"/good", b"", b"two\nlines", b"\xff\xfe", long.as_bytes(), b"na"];
    let identity = told(IdentifyMessage { protocols: list(&names), ..empty() }).unwrap();
    assert_eq!(identity.protocols, [protocol("/good")]);
    assert_eq!(identity.dropped.unusable_protocols, 5);
}

#[test]
fn unusable_addresses_are_dropped_and_the_others_kept() {
    let good = address("/ip4/192.0.2.1/tcp/1");
    let long = address(&format!("/ip4/192.0.2.1/tcp/1/http-path/{}", "x".repeat(600)));
    let addresses: [&[u8]; 5] = [b"", b"\x04\x01", b"\x06\x0f", long.as_bytes(), good.as_bytes()];
    let identity = told(IdentifyMessage { listen_addrs: list(&addresses), ..empty() }).unwrap();
    assert_eq!((&identity.addresses[..], identity.dropped.unusable_addresses), (&[good][..], 4));
}

#[test]
fn addresses_of_another_peer_are_dropped_and_our_peers_own_id_is_cut_off() {
    let (peer, other) = (keypair(1).peer_id(), keypair(2).peer_id());
    let here = address("/ip4/192.0.2.1/tcp/1");
    let relayed = address(&format!("/ip4/192.0.2.9/tcp/9/p2p/{other}/p2p-circuit"));
    let listed = [
        here.with_peer_id(other).unwrap(),
        here.with_peer_id(peer).unwrap(),
        here.clone(),
        relayed.with_peer_id(peer).unwrap(),
        relayed.with_peer_id(other).unwrap(),
        address(&format!("/p2p/{peer}")),
    ];
    let identity = told(listing(&[], &listed)).unwrap();
    assert_eq!(identity.addresses, [here, relayed]);
    assert_eq!((identity.dropped.foreign_addresses, identity.dropped.unusable_addresses), (2, 1));
}

/// interop.md: js ends it in our id, rust sends nothing but our id over a relay, py has both.
#[test]
fn the_address_where_we_are_seen_is_taken_without_our_id() {
    let (us, relay) = (keypair(3).peer_id(), keypair(2).peer_id());
    let cases = [
        ("/ip4/198.51.100.7/tcp/1".into(), Some("/ip4/198.51.100.7/tcp/1".into())),
        (format!("/ip4/198.51.100.7/tcp/1/p2p/{us}"), Some("/ip4/198.51.100.7/tcp/1".into())),
        (format!("/p2p/{us}"), None),
        (format!("/p2p/{relay}/p2p-circuit/p2p/{us}"), Some(format!("/p2p/{relay}/p2p-circuit"))),
    ];
    for (said, expected) in cases {
        let message = IdentifyMessage { observed_addr: Some(list(&[address(&said)])[0].clone()), ..empty() };
        let identity = told(message).unwrap();
        assert_eq!(identity.observed, expected.as_deref().map(address), "{said}");
        assert_eq!(identity.dropped.observed, expected.is_none(), "{said}");
    }
}

#[test]
fn long_texts_are_cut_where_a_character_ends() {
    let message = IdentifyMessage { agent_version: Some("\u{e9}".repeat(100).into()), ..empty() };
    let config = Config { max_text: 5, ..Config::default() };
    assert_eq!(read_with(&config, &wire(&[message])).unwrap().agent.as_deref(), Some("\u{e9}\u{e9}"));
}

/// An agent is printed in logs and terminals.
#[test]
fn control_characters_and_bytes_that_are_no_text_are_replaced() {
    let message = IdentifyMessage { agent_version: Some(Bytes::from_static(b"a\x1b[2J\n\xff")), ..empty() };
    assert_eq!(told(message).unwrap().agent.as_deref(), Some("a\u{fffd}[2J\u{fffd}\u{fffd}"));
}

#[test]
fn the_key_of_another_peer_is_refused() {
    let message = IdentifyMessage { public_key: Some(keypair(2).public().to_protobuf().into()), ..empty() };
    let error = IdentifyError::OtherKey { expected: keypair(1).peer_id(), got: keypair(2).peer_id() };
    assert_eq!(told(message), Err(error));
}

#[test]
fn a_key_that_is_none_is_refused() {
    let message = IdentifyMessage { public_key: Some(Bytes::from_static(b"\x08\x09\x12\x00")), ..empty() };
    assert_eq!(told(message), Err(IdentifyError::Key(KeyError::UnknownKeyType { got: 9 })));
}

#[test]
fn a_message_that_is_no_protobuf_is_refused() {
    assert!(matches!(read(b"\x02\x0a\x05"), Err(IdentifyError::Message(MessageError::Protobuf(_)))));
    let error = IdentifyError::Message(MessageError::Frame(FrameError::Length(VarintError::NotMinimal)));
    assert_eq!(read(&[0x80, 0x00]), Err(error));
}

#[test]
fn the_end_within_a_message_is_refused_at_every_byte() {
    let first = wire(&[listing(&["/a"], &[])]);
    let second = wire(&[listing(&["/b"], &[])]);
    let whole = [&first[..], &second[..]].concat();
    for cut in 0..whole.len() {
        let expected = match cut {
            0 => Some(IdentifyError::Nothing),
            _ if cut == first.len() => None,
            _ if cut < first.len() => Some(IdentifyError::Truncated { number: 1, left: cut }),
            _ => Some(IdentifyError::Truncated { number: 2, left: cut - first.len() }),
        };
        assert_eq!(read(&whole[..cut]).err(), expected, "{cut}");
    }
}

#[test]
fn at_the_deadline_what_is_complete_counts() {
    let mut bytes = wire(&[listing(&["/a"], &[])]);
    bytes.extend_from_slice(&[0x20, 0x0a]);
    let mut reader = reader();
    let five = Time::from_millis(5000);
    assert_eq!(reader.deadline(), five);
    assert_eq!(reader.advance(Time::from_millis(4999), &mut bytes, &mut BytesMut::new()), Ok(None));
    let identity = reader.advance(five, &mut bytes, &mut BytesMut::new()).unwrap().unwrap();
    assert_eq!(identity.protocols, [protocol("/a")]);
    assert_eq!(reader.deadline(), Time::NEVER);
    assert_eq!(reader.end(five, &mut bytes, &mut BytesMut::new()), Ok(None), "said once");
}

#[test]
fn at_the_deadline_without_a_whole_message_nothing_is_known() {
    let mut reader = reader();
    let mut rx = BytesMut::from(&[0x20, 0x0a][..]);
    let error = IdentifyError::Timeout { after: Duration::from_secs(5) };
    assert_eq!(reader.advance(Time::from_millis(5000), &mut rx, &mut BytesMut::new()), Err(error.clone()));
    assert_eq!(reader.settle(&mut rx), Err(error), "for good");
}

#[test]
fn after_a_fault_nothing_is_kept() {
    let mut bytes = wire(&[listing(&["/a"], &[address("/ip4/192.0.2.1/tcp/1")])]);
    let mut reader = reader();
    assert_eq!(reader.advance(Time::ZERO, &mut bytes, &mut BytesMut::new()), Ok(None));
    assert!(reader.memory_used() > 0);
    assert!(reader.advance(Time::ZERO, &mut BytesMut::from(&[0xff; 9][..]), &mut BytesMut::new()).is_err());
    assert_eq!((reader.memory_used(), reader.deadline()), (0, Time::NEVER));
}

/// interop.md: a peer may reset the stream once it has said all.
#[test]
fn after_a_reset_what_is_complete_counts() {
    let mut bytes = wire(&[listing(&["/a"], &[])]);
    bytes.extend_from_slice(&[0x20, 0x0a]);
    let mut first = reader();
    assert_eq!(first.settle(&mut bytes).unwrap().unwrap().protocols, [protocol("/a")]);
    assert_eq!(first.settle(&mut bytes), Ok(None), "said once");
    assert_eq!(reader().settle(&mut bytes), Err(IdentifyError::Nothing));
}

#[test]
fn a_reader_of_no_time_at_all_still_takes_what_is_there() {
    let config = Config { timeout: Duration::ZERO, ..Config::default() };
    let mut reader = Reader::new(&config, keypair(1).peer_id(), Time::ZERO);
    let mut rx = wire(&[listing(&["/a"], &[])]);
    assert!(reader.advance(Time::ZERO, &mut rx, &mut BytesMut::new()).unwrap().is_some());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_keep_too_much(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut framed = BytesMut::new();
        encode_frame(&bytes, &mut framed);
        for input in [&bytes[..], &framed[..]] {
            if let Ok(identity) = read(input) {
                prop_assert!(identity.protocols.len() <= 128 && identity.addresses.len() <= 64);
                prop_assert!(identity.protocols.is_sorted_by(|a, b| a < b));
            }
        }
    }

    /// Splitting one message into several, by field, makes no difference: protobuf merges them.
    #[test]
    fn the_pieces_of_a_message_say_what_the_message_says(
        names in prop::collection::vec("/[a-c]{1,3}", 0..8),
        ports in prop::collection::vec(0u16..6, 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let addresses: Vec<_> = ports.iter().map(|port| address(&format!("/ip4/192.0.2.1/tcp/{port}"))).collect();
        let names: Vec<&str> = names.iter().map(alloc::string::String::as_str).collect();
        let whole = told(listing(&names, &addresses));
        let (name, place) = (cut.index(names.len() + 1), cut.index(addresses.len() + 1));
        let pieces = [listing(&names[..name], &addresses[..place]), listing(&names[name..], &addresses[place..])];
        prop_assert_eq!(read(&wire(&pieces)), whole);
    }
}
