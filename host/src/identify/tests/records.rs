//! Signed peer records: taken only from the peer itself, and never for someone else.

use super::*;
use alloc::format;
use core::slice::from_ref;
use tidewire_core::{EnvelopeError, PeerRecordError};

fn signed(record: Bytes) -> IdentifyMessage {
    IdentifyMessage {
        listen_addrs: list(&[address("/ip4/192.0.2.1/tcp/1")]),
        signed_peer_record: Some(record),
        ..IdentifyMessage::default()
    }
}

#[test]
fn the_peers_own_record_stands_before_its_unsigned_addresses() {
    let there = address("/ip4/192.0.2.2/tcp/2");
    let envelope = envelope(1, 5, from_ref(&there));
    let identity = told(signed(envelope.clone())).unwrap();
    assert_eq!(identity.listen_addresses(), [there]);
    let record = identity.record.as_ref().unwrap();
    assert_eq!((record.seq, &record.envelope), (5, &envelope));
    assert_eq!(identity.addresses, [address("/ip4/192.0.2.1/tcp/1")], "which are kept beside it");
}

#[test]
fn without_a_record_the_unsigned_addresses_stand() {
    let message = IdentifyMessage { signed_peer_record: None, ..signed(Bytes::new()) };
    let identity = told(message).unwrap();
    assert!(!identity.is_signed() && identity.refused.is_none());
    assert_eq!(identity.listen_addresses(), [address("/ip4/192.0.2.1/tcp/1")]);
}

#[test]
fn a_foreign_record_is_refused_and_the_rest_is_kept() {
    let identity = told(signed(envelope(2, 5, &[address("/ip4/192.0.2.2/tcp/2")]))).unwrap();
    let refused = RecordRefused::OtherPeer { expected: keypair(1).peer_id(), got: keypair(2).peer_id() };
    assert_eq!((&identity.record, &identity.refused), (&None, &Some(refused)));
    assert_eq!(identity.listen_addresses(), [address("/ip4/192.0.2.1/tcp/1")]);
}

/// RUSTSEC-2022-0009: a record about one peer, signed by another.
#[test]
fn a_record_that_another_peer_signed_is_refused() {
    // The payload of peer 1's record, in an envelope that peer 2 signed.
    let card = Card::new(&keypair(1), &profile()).unwrap();
    let forged = tidewire_core::SignedEnvelope::seal(
        &keypair(2),
        "libp2p-peer-record",
        &[0x03, 0x01],
        card.envelope().payload(),
    );
    let identity = told(signed(forged.unwrap().as_bytes().clone())).unwrap();
    let (expected, got) = (keypair(1).peer_id(), keypair(2).peer_id());
    let refused = PeerRecordError::Envelope(EnvelopeError::Signer { expected, got });
    assert_eq!(identity.refused, Some(RecordRefused::Invalid(refused)));
}

#[test]
fn a_record_without_a_right_signature_is_refused() {
    let good = envelope(1, 5, &[address("/ip4/192.0.2.2/tcp/2")]);
    let mut unsigned = good.to_vec();
    *unsigned.last_mut().unwrap() ^= 1;
    for (bytes, what) in
        [(unsigned.into(), "signature"), (good.slice(..good.len() - 66), "without"), (Bytes::new(), "empty")]
    {
        let identity = told(signed(bytes)).unwrap();
        assert!(matches!(identity.refused, Some(RecordRefused::Invalid(_))), "{what}: {:?}", identity.refused);
        assert_eq!(identity.record, None, "{what}");
    }
}

#[test]
fn the_addresses_of_a_record_have_the_same_caps() {
    let other = keypair(2).peer_id();
    let mut addresses: Vec<_> = (0..100).map(|port| address(&format!("/ip4/192.0.2.1/tcp/{port}"))).collect();
    addresses.insert(0, address(&format!("/ip4/192.0.2.1/tcp/1/p2p/{other}")));
    let identity = told(signed(envelope(1, 5, &addresses))).unwrap();
    assert_eq!(identity.listen_addresses(), &addresses[1..65]);
    assert_eq!((identity.dropped.foreign_addresses, identity.dropped.surplus_addresses), (1, 36));
}

#[test]
fn of_two_records_on_a_stream_the_last_one_is_looked_at() {
    let (old, new) = (address("/ip4/192.0.2.2/tcp/2"), address("/ip4/192.0.2.3/tcp/3"));
    let messages = [signed(envelope(1, 5, &[old])), signed(envelope(1, 6, from_ref(&new)))];
    assert_eq!(read(&wire(&messages)).unwrap().listen_addresses(), [new]);
}
