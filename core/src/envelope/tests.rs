use super::*;
use crate::{PeerRecord, PeerRecordError, Seed};
use alloc::vec;
use proptest::prelude::*;

const DOMAIN: &str = "libp2p-testing";
const TYPE: &[u8] = &[0x03, 0x01];

fn keypair(n: u8) -> Keypair {
    Keypair::from_secret(&[n; 32])
}

fn sealed() -> Bytes {
    SignedEnvelope::seal(&keypair(1), DOMAIN, TYPE, b"payload").unwrap().as_bytes().clone()
}

/// The sealed envelope, changed before it is encoded again.
fn changed(change: impl FnOnce(&mut EnvelopeMessage)) -> Bytes {
    let mut message = EnvelopeMessage::decode(sealed()).unwrap();
    change(&mut message);
    message.encode_to_vec().into()
}

fn bad_signature() -> EnvelopeError {
    EnvelopeError::Signature(VerifyError::BadSignature { key_type: crate::KeyType::Ed25519 })
}

#[test]
fn what_was_sealed_opens() {
    let opened = SignedEnvelope::open(sealed(), DOMAIN, TYPE).unwrap();
    assert_eq!(opened.signer(), &keypair(1).public());
    assert_eq!(&opened.payload()[..], b"payload");
    assert_eq!(&opened.payload_type()[..], TYPE);
    assert_eq!(opened.as_bytes(), &sealed());
    assert_eq!(opened.into_parts(), (keypair(1).public(), Bytes::from_static(b"payload")));
}

#[test]
fn the_signed_bytes_are_those_of_the_rfc() {
    let long = vec![b'x'; 200];
    let mut expected = b"\x03dom\x02\x03\x01\xc8\x01".to_vec();
    expected.extend_from_slice(&long);
    assert_eq!(signed_bytes("dom", &[3, 1], &long), expected);
    // ... and a signature over exactly those is accepted.
    let signature = keypair(1).sign(b"\x0elibp2p-testing\x02\x03\x01\x07payload");
    let bytes = changed(|message| message.signature = Some(Bytes::copy_from_slice(&signature)));
    assert!(SignedEnvelope::open(bytes, DOMAIN, TYPE).is_ok());
}

#[test]
fn the_encoding_has_the_fields_of_the_rfc() {
    let mut expected = b"\x0a\x24\x08\x01\x12\x20".to_vec();
    let PublicKey::Ed25519(key) = keypair(1).public() else { panic!("not Ed25519") };
    expected.extend_from_slice(key.as_bytes());
    expected.extend_from_slice(b"\x12\x02\x03\x01\x1a\x07payload\x2a\x40");
    expected.extend_from_slice(&keypair(1).sign(b"\x0elibp2p-testing\x02\x03\x01\x07payload"));
    assert_eq!(sealed(), expected);
}

#[test]
fn a_signature_for_another_domain_is_refused() {
    assert_eq!(SignedEnvelope::open(sealed(), "libp2p-testinG", TYPE), Err(bad_signature()));
    assert_eq!(SignedEnvelope::open(sealed(), "", TYPE), Err(bad_signature()));
}

#[test]
fn lengths_keep_the_parts_apart() {
    // Without lengths "ab" + "c" would be signed as "a" + "bc" is.
    let bytes = SignedEnvelope::seal(&keypair(1), "ab", b"c", b"").unwrap().as_bytes().clone();
    let mut message = EnvelopeMessage::decode(bytes).unwrap();
    message.payload_type = Some(Bytes::from_static(b"bc"));
    assert_eq!(SignedEnvelope::open(message.encode_to_vec().into(), "a", b"bc"), Err(bad_signature()));
}

#[test]
fn another_payload_type_is_refused_with_both_types() {
    let error = EnvelopeError::PayloadType { expected: Bytes::from_static(&[3, 2]), got: Bytes::from_static(&[3, 1]) };
    assert_eq!(SignedEnvelope::open(sealed(), DOMAIN, &[3, 2]), Err(error));
}

#[test]
fn an_empty_payload_and_type_are_fine() {
    let sealed = SignedEnvelope::seal(&keypair(1), DOMAIN, b"", b"").unwrap();
    let opened = SignedEnvelope::open(sealed.as_bytes().clone(), DOMAIN, b"").unwrap();
    assert_eq!(opened, sealed);
    assert!(opened.payload().is_empty());
}

#[test]
fn a_missing_key_or_signature_is_refused() {
    let without_key = changed(|message| message.public_key = None);
    let error = Err(EnvelopeError::MissingField { field: "public_key" });
    assert_eq!(SignedEnvelope::open(without_key, DOMAIN, TYPE), error);
    let unsigned = changed(|message| message.signature = None);
    let error = Err(EnvelopeError::MissingField { field: "signature" });
    assert_eq!(SignedEnvelope::open(unsigned, DOMAIN, TYPE), error);
    let empty = changed(|message| message.signature = Some(Bytes::new()));
    assert_eq!(SignedEnvelope::open(empty, DOMAIN, TYPE), Err(bad_signature()));
}

#[test]
fn the_key_of_another_peer_does_not_verify() {
    let bytes = changed(|message| message.public_key = Some(keypair(2).public().to_protobuf().into()));
    assert_eq!(SignedEnvelope::open(bytes, DOMAIN, TYPE), Err(bad_signature()));
}

#[test]
fn a_bad_key_is_named() {
    let bytes = changed(|message| message.public_key = Some(Bytes::from_static(&[0x08, 0x07, 0x12, 0x00])));
    let error = EnvelopeError::Key(KeyError::UnknownKeyType { got: 7 });
    assert_eq!(SignedEnvelope::open(bytes, DOMAIN, TYPE), Err(error));
}

#[test]
fn every_flipped_bit_of_the_signed_fields_is_noticed() {
    let sealed = sealed();
    for bit in 0..sealed.len() * 8 {
        let mut bytes = sealed.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let opened = SignedEnvelope::open(bytes.into(), DOMAIN, TYPE);
        assert!(opened.is_err(), "bit {bit} flipped, and {opened:?}");
    }
}

#[test]
fn a_long_envelope_is_refused_before_it_is_decoded() {
    let bytes = Bytes::from(vec![0xff; SignedEnvelope::MAX_LEN + 1]);
    let error = EnvelopeError::TooLong { max: SignedEnvelope::MAX_LEN, got: SignedEnvelope::MAX_LEN + 1 };
    assert_eq!(SignedEnvelope::open(bytes, DOMAIN, TYPE), Err(error));
    let payload = vec![0; SignedEnvelope::MAX_LEN - 50];
    let sealed = SignedEnvelope::seal(&keypair(1), DOMAIN, TYPE, &payload);
    assert!(matches!(sealed, Err(EnvelopeError::TooLong { .. })), "what can't be opened can't be sealed");
}

// RUSTSEC-2022-0009
#[test]
fn an_envelope_signed_by_another_peer_is_told_apart() {
    let opened = SignedEnvelope::open(sealed(), DOMAIN, TYPE).unwrap();
    assert_eq!(opened.check_signer(&keypair(1).peer_id()), Ok(()));
    let error = EnvelopeError::Signer { expected: keypair(2).peer_id(), got: keypair(1).peer_id() };
    assert_eq!(opened.check_signer(&keypair(2).peer_id()), Err(error));
}

fn record(n: u8) -> PeerRecord {
    PeerRecord::new(keypair(n).peer_id(), 1_570_215_229, vec![Bytes::from_static(&[4, 192, 0, 2, 0, 6, 0, 42])])
}

/// A record's payload, written by hand.
fn record_payload(peer: &[u8], addresses: usize) -> Vec<u8> {
    let mut payload = vec![0x0a, u8::try_from(peer.len()).unwrap()];
    payload.extend_from_slice(peer);
    payload.extend_from_slice(&[0x10, 0x05]);
    payload.extend(core::iter::repeat_n([0x1a, 0x03, 0x0a, 0x01, 0x00], addresses).flatten());
    payload
}

#[test]
fn a_peer_record_survives_its_envelope() {
    let envelope = record(1).seal(&keypair(1)).unwrap();
    assert_eq!(PeerRecord::open(envelope.as_bytes().clone()), Ok((envelope, record(1))));
}

#[test]
fn a_peer_record_in_the_form_of_the_rfc_is_read_too() {
    let payload = record_payload(keypair(1).peer_id().as_bytes(), 2);
    let seal = |domain, payload_type: &[u8]| {
        SignedEnvelope::seal(&keypair(1), domain, payload_type, &payload).unwrap().as_bytes().clone()
    };
    let (_, opened) = PeerRecord::open(seal("libp2p-routing-state", b"/libp2p/routing-state-record")).unwrap();
    assert_eq!((opened.peer_id, opened.seq, opened.addresses.len()), (keypair(1).peer_id(), 5, 2));

    // Each type in its own domain only.
    let crossed = [seal("libp2p-peer-record", b"/libp2p/routing-state-record"), seal("libp2p-routing-state", &[3, 1])];
    for bytes in crossed {
        assert_eq!(PeerRecord::open(bytes), Err(PeerRecordError::Envelope(bad_signature())));
    }
    let other = PeerRecord::open(seal("libp2p-relay-rsvp", &[3, 2]));
    assert!(matches!(other, Err(PeerRecordError::Envelope(EnvelopeError::PayloadType { .. }))));
}

// RUSTSEC-2022-0009
#[test]
fn a_peer_record_about_another_peer_is_refused() {
    let payload = record_payload(keypair(2).peer_id().as_bytes(), 1);
    let bytes = SignedEnvelope::seal(&keypair(1), "libp2p-peer-record", &[3, 1], &payload).unwrap().as_bytes().clone();
    let error = EnvelopeError::Signer { expected: keypair(2).peer_id(), got: keypair(1).peer_id() };
    assert_eq!(PeerRecord::open(bytes), Err(PeerRecordError::Envelope(error.clone())));
    assert_eq!(record(2).seal(&keypair(1)), Err(PeerRecordError::Envelope(error)));
}

#[test]
fn the_record_is_not_read_before_the_signature_holds() {
    let seal = |domain| SignedEnvelope::seal(&keypair(1), domain, &[3, 1], b"\xff").unwrap().as_bytes().clone();
    assert_eq!(PeerRecord::open(seal("another domain")), Err(PeerRecordError::Envelope(bad_signature())));
    assert_eq!(PeerRecord::open(seal("libp2p-peer-record")), Err(PeerRecordError::Protobuf));
}

// CVE-2023-40583
#[test]
fn a_peer_record_with_too_many_addresses_is_refused() {
    let open = |count| {
        let payload = record_payload(keypair(1).peer_id().as_bytes(), count);
        let envelope = SignedEnvelope::seal(&keypair(1), "libp2p-peer-record", &[3, 1], &payload).unwrap();
        PeerRecord::open(envelope.as_bytes().clone())
    };
    assert!(open(PeerRecord::MAX_ADDRESSES).is_ok());
    let (max, got) = (PeerRecord::MAX_ADDRESSES, PeerRecord::MAX_ADDRESSES + 1);
    assert_eq!(open(got), Err(PeerRecordError::TooManyAddresses { max, got }));
}

#[test]
fn a_record_without_a_peer_or_with_a_bad_one_is_refused() {
    let open = |payload: &[u8]| {
        let envelope = SignedEnvelope::seal(&keypair(1), "libp2p-peer-record", &[3, 1], payload).unwrap();
        PeerRecord::open(envelope.as_bytes().clone()).map(|_| ())
    };
    assert_eq!(open(&[0x10, 0x05]), Err(PeerRecordError::MissingField { field: "peer_id" }));
    assert!(matches!(open(&record_payload(&[0x13, 0x01, 0x01], 0)), Err(PeerRecordError::PeerId(_))));
}

proptest! {
    #[test]
    fn any_payload_survives(
        seed in any::<[u8; 32]>(), domain in ".{0,40}",
        payload_type in prop::collection::vec(any::<u8>(), 0..20), payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let keypair = Keypair::from_seed(&Seed::new(seed));
        let sealed = SignedEnvelope::seal(&keypair, &domain, &payload_type, &payload).unwrap();
        prop_assert_eq!(SignedEnvelope::open(sealed.as_bytes().clone(), &domain, &payload_type), Ok(sealed));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(SignedEnvelope::open(bytes.clone().into(), DOMAIN, TYPE).is_err());
        prop_assert!(PeerRecord::open(bytes.into()).is_err());
    }
}
