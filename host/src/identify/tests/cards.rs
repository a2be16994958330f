//! What we say: complete, in order, and never too long.

use super::*;
use alloc::format;
use proptest::prelude::*;
use tidewire_core::{Component, FrameHeader, SignedEnvelope, decode_frame_header, encode_varint};

/// The lengths of the messages on a stream.
fn lengths(mut bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let Some(FrameHeader { header_len, body_len }) = decode_frame_header(bytes, usize::MAX).unwrap() {
        lengths.push(body_len);
        bytes = &bytes[header_len + body_len..];
    }
    lengths
}

#[test]
fn all_that_a_profile_says_is_read() {
    let seen = address("/ip4/198.51.100.7/tcp/51234");
    let card = Card::new(&keypair(1), &profile()).unwrap();
    let identity = read(&written(&card, Some(&seen))).unwrap();

    assert_eq!(identity.public_key, Some(keypair(1).public()));
    assert_eq!(identity.protocol_version.as_deref(), Some("/my-network/0.1.0"));
    assert_eq!(identity.agent.as_deref(), Some("example/1.2.3 with more than 23 bytes"));
    assert_eq!(identity.protocols, [protocol("/ipfs/id/1.0.0"), protocol("/ipfs/ping/1.0.0")]);
    assert_eq!(identity.addresses, profile().addresses);
    assert_eq!(identity.observed, Some(seen));
    let record = identity.record.as_ref().unwrap();
    assert_eq!((record.seq, &record.addresses), (17, &profile().addresses));
    assert_eq!(record.envelope, card.envelope().as_bytes());
    assert!(identity.is_signed() && identity.refused.is_none() && identity.dropped.is_none());
}

/// The fields' numbers and types of the spec's schema, byte by byte.
#[test]
fn the_message_is_that_of_the_spec() {
    let small = Profile {
        protocol_version: "v".into(),
        agent: "a".into(),
        protocols: vec![protocol("/p")],
        addresses: vec![Multiaddr::from_bytes(&[4, 1, 2, 3, 4]).unwrap()],
        seq: 0,
    };
    let card = Card::new(&keypair(1), &small).unwrap();
    let seen = Multiaddr::from_bytes(&[4, 5, 6, 7, 8]).unwrap();
    let record = card.envelope().as_bytes();

    let mut body = vec![0x0a, 36];
    body.extend(keypair(1).public().to_protobuf());
    body.extend([0x12, 5, 4, 1, 2, 3, 4]); // listenAddrs = 2
    body.extend([0x1a, 2, b'/', b'p']); // protocols = 3
    body.extend([0x2a, 1, b'v']); // protocolVersion = 5
    body.extend([0x32, 1, b'a']); // agentVersion = 6
    body.extend([0x22, 5, 4, 5, 6, 7, 8]); // observedAddr = 4
    body.push(0x42); // signedPeerRecord = 8, of a length that its own varint shows
    let mut length = BytesMut::new();
    encode_varint(record.len() as u64, &mut length).unwrap();
    body.extend(&length);
    body.extend(record);
    let mut expected = BytesMut::new();
    encode_frame(&body, &mut expected);
    assert_eq!(written(&card, Some(&seen)), expected);
}

#[test]
fn what_is_empty_is_not_said() {
    let card = Card::new(&keypair(1), &Profile::default()).unwrap();
    let identity = read(&written(&card, None)).unwrap();
    assert_eq!((&identity.agent, &identity.protocol_version, &identity.observed), (&None, &None, &None));
    assert!(identity.public_key.is_some() && identity.record.is_some(), "but who we are is always said, and signed");
}

#[test]
fn a_small_card_is_one_message_and_a_large_one_has_its_record_in_a_second() {
    assert_eq!(Card::new(&keypair(1), &large(20)).unwrap().messages(), 1);
    let profile = Profile { addresses: large(64).addresses, ..large(100) };
    let card = Card::new(&keypair(1), &profile).unwrap();
    let bytes = written(&card, None);
    assert!(card.messages() == 2 && card.left_out().is_none());
    assert_eq!(lengths(&bytes).len(), 2);

    let identity = read(&bytes).unwrap();
    assert_eq!(identity.record.unwrap().addresses, profile.addresses);
    assert_eq!(identity.addresses, profile.addresses);
}

/// rust-libp2p reads only the first message, of at most 4096 bytes.
#[test]
fn no_message_has_more_than_4096_bytes_however_large_the_profile_is() {
    let seen = address(&format!("/dns4/{}/tcp/1", "x".repeat(200)));
    for count in (0..120).chain([500, 1000]) {
        let card = Card::new(&keypair(1), &large(count)).unwrap();
        let bytes = written(&card, Some(&seen));
        assert!(lengths(&bytes).iter().all(|len| *len <= Card::MAX_MESSAGE), "{count}: {:?}", lengths(&bytes));
        assert!(bytes.len() <= Card::MAX_LEN);
        assert!(read(&bytes).unwrap().observed.is_some(), "and our own reader takes it");
    }
}

#[test]
fn the_last_addresses_and_protocols_are_left_out_where_there_is_no_room() {
    let profile = large(500);
    let card = Card::new(&keypair(1), &profile).unwrap();
    let left_out = card.left_out();
    assert!(left_out.protocols > 0 && left_out.addresses > 0 && left_out.signed_addresses > 0);

    let mut config = Config::default();
    (config.max_protocols, config.max_addresses) = (1000, 1000);
    let identity = read_with(&config, &written(&card, None)).unwrap();
    let mut protocols = profile.protocols[..500 - left_out.protocols].to_vec();
    protocols.sort();
    assert_eq!(identity.protocols, protocols);
    assert_eq!(identity.addresses, profile.addresses[..500 - left_out.addresses]);
    assert_eq!(identity.record.unwrap().addresses, profile.addresses[..500 - left_out.signed_addresses]);
}

#[test]
fn addresses_have_the_room_that_protocols_leave_and_the_other_way_round() {
    let few_protocols = Profile { protocols: profile().protocols, ..large(250) };
    assert_eq!(Card::new(&keypair(1), &few_protocols).unwrap().left_out().addresses, 0);
    let few_addresses = Profile { addresses: profile().addresses, ..large(100) };
    assert_eq!(Card::new(&keypair(1), &few_addresses).unwrap().left_out().protocols, 0);

    let both = Card::new(&keypair(1), &large(1000)).unwrap().left_out();
    assert!(both.protocols < 950 && both.addresses < 900, "neither pushes the other out: {both:?}");
}

#[test]
fn a_text_that_is_too_long_is_our_own_mistake() {
    let agent = "x".repeat(Card::MAX_TEXT + 1);
    let error = CardError::TooLong { what: "agent", len: 257, max: 256 };
    assert_eq!(Card::new(&keypair(1), &Profile { agent: agent.into(), ..profile() }), Err(error));
}

#[test]
fn an_observed_address_that_is_too_long_is_left_out() {
    let long = address(&format!("/dns4/{}", "x".repeat(Card::MAX_OBSERVED)));
    let fits = address(&format!("/dns4/{}", "x".repeat(Card::MAX_OBSERVED - 3)));
    assert_eq!(fits.as_bytes().len(), Card::MAX_OBSERVED);
    let card = Card::new(&keypair(1), &profile()).unwrap();
    assert_eq!(read(&written(&card, Some(&long))).unwrap().observed, None);
    assert_eq!(read(&written(&card, Some(&Multiaddr::empty()))).unwrap().observed, None);
    assert_eq!(read(&written(&card, Some(&fits))).unwrap().observed, Some(fits));
}

#[test]
fn the_same_profile_gives_the_same_bytes() {
    let card = || Card::new(&keypair(1), &large(40)).unwrap();
    assert_eq!(card(), card());
    assert_ne!(card(), Card::new(&keypair(2), &large(40)).unwrap());
}

#[test]
fn a_card_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Card>();
    shared::<Identity>();
}

#[test]
fn the_record_can_be_passed_on() {
    let card = Card::new(&keypair(1), &profile()).unwrap();
    let (envelope, record) = PeerRecord::open(card.envelope().as_bytes().clone()).unwrap();
    assert_eq!(record.peer_id, card.peer());
    assert_eq!((record.seq, card.seq()), (17, 17));
    assert!(envelope.as_bytes().len() <= SignedEnvelope::MAX_LEN);
}

prop_compose! {
    fn any_address()(port in any::<u16>(), dns in "[a-z]{1,180}", dns_too in any::<bool>()) -> Multiaddr {
        let place = Multiaddr::tcp(([192, 0, 2, 1], port).into());
        if dns_too { place.with(Component::Sni(&dns)).unwrap() } else { place }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a profile holds, its card is read, by the limits of the strictest reader, and gives the beginning of each list.
    #[test]
    fn any_profile_becomes_a_card_that_says_its_most_important_part(
        agent in "[ -~]{0,256}",
        names in prop::collection::vec("/[a-z]{1,250}", 0..80),
        addresses in prop::collection::vec(any_address(), 0..150),
        seen in prop::option::of(any_address()),
    ) {
        let mut profile = Profile { agent: agent.into(), addresses, ..Profile::default() };
        profile.protocols = names.iter().map(|name| protocol(name)).collect();
        let card = Card::new(&keypair(1), &profile).unwrap();
        let bytes = written(&card, seen.as_ref());
        prop_assert!(lengths(&bytes).iter().all(|len| *len <= Card::MAX_MESSAGE));
        prop_assert_eq!(lengths(&bytes).len(), card.messages());

        let mut config = Config::default();
        (config.max_text, config.max_addresses, config.max_protocols) = (256, 1000, 1000);
        let identity = read_with(&config, &bytes).unwrap();
        let first = |left_out: usize| {
            let mut kept: Vec<Multiaddr> = Vec::new();
            for address in &profile.addresses[..profile.addresses.len() - left_out] {
                if !kept.contains(address) {
                    kept.push(address.clone());
                }
            }
            kept
        };
        prop_assert_eq!(&identity.addresses, &first(card.left_out().addresses));
        prop_assert_eq!(&identity.record.as_ref().unwrap().addresses, &first(card.left_out().signed_addresses));
        let mut names = profile.protocols[..profile.protocols.len() - card.left_out().protocols].to_vec();
        names.sort();
        names.dedup();
        prop_assert_eq!(&identity.protocols, &names);
        prop_assert_eq!(&identity.observed, &seen);
    }
}
