//! Signed envelopes and peer records: from bytes, nothing opens that was not signed; from operations, what was sealed
//! opens for its own purpose only, and no change to it goes unnoticed.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tidewire_core::{Keypair, PeerRecord, SignedEnvelope};

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Bytes {
        domain: &'a str,
        payload_type: &'a [u8],
        bytes: &'a [u8],
    },
    Seal {
        secret: u8,
        domain: &'a str,
        other: &'a str,
        payload_type: &'a [u8],
        payload: &'a [u8],
        change: Change,
    },
    Record {
        seq: u64,
        addresses: Vec<&'a [u8]>,
        signer: u8,
        subject: u8,
    },
    /// A well-signed payload that is no well-formed record.
    RawRecord {
        payload: &'a [u8],
    },
}

#[derive(Arbitrary, Debug)]
enum Change {
    None,
    Flip { at: u16, mask: u8 },
    Cut { len: u16 },
    Append { byte: u8 },
}

fn keypair(n: u8) -> Keypair {
    Keypair::from_secret(&[n; 32])
}

fn bytes(domain: &str, payload_type: &[u8], bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(opened) = SignedEnvelope::open(bytes.clone(), domain, payload_type) {
        assert_eq!(*opened.as_bytes(), bytes);
        assert_eq!(*opened.payload_type(), payload_type);
    }
    if let Ok((envelope, record)) = PeerRecord::open(bytes) {
        assert_eq!(envelope.check_signer(&record.peer_id), Ok(()));
    }
}

fn change(sealed: &SignedEnvelope, change: &Change) -> Vec<u8> {
    let mut bytes = sealed.as_bytes().to_vec();
    match *change {
        Change::None => {}
        Change::Flip { at, mask } => {
            let at = usize::from(at) % bytes.len();
            bytes[at] ^= mask;
        }
        Change::Cut { len } => bytes.truncate(usize::from(len)),
        Change::Append { byte } => bytes.push(byte),
    }
    bytes
}

fuzz_target!(|input: Input<'_>| {
    match input {
        Input::Bytes { domain, payload_type, bytes: envelope } => bytes(domain, payload_type, envelope),
        Input::Seal { secret, domain, other, payload_type, payload, change: how } => {
            let Ok(sealed) = SignedEnvelope::seal(&keypair(secret), domain, payload_type, payload) else {
                assert!(payload.len() + payload_type.len() > SignedEnvelope::MAX_LEN - 200);
                return;
            };
            let whole = sealed.as_bytes().clone();
            assert_eq!(SignedEnvelope::open(whole.clone(), domain, payload_type).as_ref(), Ok(&sealed));
            if other != domain {
                assert!(SignedEnvelope::open(whole, other, payload_type).is_err());
            }
            // A change may leave the message the same to protobuf, never what was signed or by whom.
            if let Ok(opened) = SignedEnvelope::open(change(&sealed, &how).into(), domain, payload_type) {
                assert_eq!(opened.into_parts(), sealed.into_parts());
            }
        }
        Input::Record { seq, addresses, signer, subject } => {
            let addresses = addresses.into_iter().map(Bytes::copy_from_slice).collect();
            let record = PeerRecord::new(keypair(subject).peer_id(), seq, addresses);
            if let Ok(envelope) = record.seal(&keypair(signer)) {
                assert_eq!(signer, subject);
                assert_eq!(PeerRecord::open(envelope.as_bytes().clone()), Ok((envelope, record)));
            }
        }
        Input::RawRecord { payload } => {
            if let Ok(envelope) = SignedEnvelope::seal(&keypair(1), "libp2p-peer-record", &[3, 1], payload)
                && let Ok((_, record)) = PeerRecord::open(envelope.as_bytes().clone())
            {
                assert_eq!(record.peer_id, keypair(1).peer_id());
                assert!(record.addresses.len() <= PeerRecord::MAX_ADDRESSES);
            }
        }
    }
});
