//! Keys from bytes: nothing panics or burns time, nothing verifies by chance, and one key has one encoding and one id.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidewire_core::{KeyType, Keypair, PublicKey};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// Wraps the bytes into a key message of this type; 4 and above: they are the message.
    key_type: u8,
    /// Bytes of signature at the end of the rest.
    signature: u8,
    bytes: &'a [u8],
}

fn message(key_type: u8, data: &[u8]) -> Vec<u8> {
    let (low, high) = ((data.len() & 0x7f) as u8, (data.len() >> 7) as u8);
    let len = if high == 0 { vec![low] } else { vec![low | 0x80, high] };
    [&[0x08, key_type, 0x12][..], &len, data].concat()
}

fuzz_target!(|input: Input<'_>| {
    let Input { key_type, signature, bytes } = input;
    let (data, signature) = bytes.split_at(bytes.len().saturating_sub(usize::from(signature)));
    let wrapped = if key_type < 4 && data.len() < 1 << 14 { message(key_type, data) } else { data.to_vec() };

    if let Ok(key) = PublicKey::from_protobuf(&wrapped) {
        let encoded = key.to_protobuf();
        assert_eq!(PublicKey::from_protobuf(&encoded).as_ref(), Ok(&key));
        assert_eq!(PublicKey::from_protobuf(&encoded).map(|key| key.to_protobuf()), Ok(encoded.clone()));
        if key.key_type() != KeyType::Rsa && key.key_type() != KeyType::Ecdsa {
            assert_eq!(key.peer_id().public_key(), Ok(key.clone()));
        }
        // A short message that is fixed: signing it takes the secret.
        assert!(key.verify(b"no one signed this", signature).is_err());
    }
    if let Ok(keypair) = Keypair::from_protobuf(&wrapped) {
        let signature = keypair.sign(b"hello");
        assert_eq!(keypair.public().verify(b"hello", &signature), Ok(()));
        let stored = keypair.to_protobuf();
        assert_eq!(Keypair::from_protobuf(&stored).expect("what was written").secret(), keypair.secret());
    }
});
