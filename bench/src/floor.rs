//! The bare cost of the cryptography: what no implementation can go under.

use crate::harness::Contender;
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair};
use std::hint::black_box;

/// A Noise XX handshake, both ends: 2 base multiplications for the ephemeral keys, 6 for the agreements, 2 signatures
/// verified. (The static keys and their signatures are made once for all connections.)
pub fn handshake() -> Contender {
    let ours = PrivateKey::from_private_key(&X25519, &[7; 32]).expect("32 bytes");
    let theirs = PrivateKey::from_private_key(&X25519, &[9; 32]).expect("32 bytes");
    let theirs = theirs.compute_public_key().expect("X25519");
    let signer = Ed25519KeyPair::from_seed_unchecked(&[5; 32]).expect("32 bytes");
    let message = [b"noise-libp2p-static-key:".as_slice(), &[1; 32]].concat();
    let signed = signer.sign(&message);
    let verifier = signer.public_key().as_ref().to_vec();
    Contender::new("bare", move |n| {
        for _ in 0..n {
            for _ in 0..2 {
                black_box(base());
                let peer = UnparsedPublicKey::new(&X25519, theirs.as_ref());
                for _ in 0..3 {
                    agreement::agree(&ours, peer, (), |secret| {
                        black_box(secret);
                        Ok(())
                    })
                    .expect("X25519");
                }
                signature::UnparsedPublicKey::new(&signature::ED25519, &verifier)
                    .verify(&message, signed.as_ref())
                    .expect("our own signature");
            }
        }
    })
}

/// A base multiplication. It happens at the import of the secret key; afterwards the public key is only read.
fn base() -> agreement::PublicKey {
    let ephemeral = PrivateKey::from_private_key(&X25519, black_box(&[7; 32])).expect("32 bytes");
    ephemeral.compute_public_key().expect("X25519")
}

/// Base multiplications alone.
pub fn base_multiplications() -> Contender {
    Contender::new("bare", |n| {
        for _ in 0..n {
            black_box(base());
        }
    })
}

/// Agreements alone.
pub fn agreements() -> Contender {
    let ours = PrivateKey::from_private_key(&X25519, &[7; 32]).expect("32 bytes");
    let theirs = base();
    Contender::new("bare", move |n| {
        for _ in 0..n {
            let peer = UnparsedPublicKey::new(&X25519, theirs.as_ref());
            agreement::agree(&ours, peer, (), |secret| {
                black_box(secret);
                Ok(())
            })
            .expect("X25519");
        }
    })
}

/// Verifications alone.
pub fn verifications() -> Contender {
    let signer = Ed25519KeyPair::from_seed_unchecked(&[5; 32]).expect("32 bytes");
    let message = [b"noise-libp2p-static-key:".as_slice(), &[1; 32]].concat();
    let signed = signer.sign(&message);
    let verifier = signer.public_key().as_ref().to_vec();
    Contender::new("bare", move |n| {
        for _ in 0..n {
            signature::UnparsedPublicKey::new(&signature::ED25519, &verifier)
                .verify(&message, signed.as_ref())
                .expect("our own signature");
        }
    })
}

/// Seals and opens `len` bytes in place with ring's ChaCha20-Poly1305.
pub fn seal_open_ring(name: &'static str, len: usize) -> Contender {
    use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[3; 32]).expect("32 bytes"));
    let mut buffer = vec![0; len + 16];
    let mut counter = 0u64;
    Contender::new(name, move |n| {
        for _ in 0..n {
            counter += 1;
            let nonce = nonce(counter);
            let (text, place) = buffer.split_at_mut(len);
            let tag = key
                .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), text)
                .expect("under the limit");
            place.copy_from_slice(tag.as_ref());
            key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut buffer).expect("sealed by us");
        }
        black_box(&buffer);
    })
}

/// Seals and opens `len` bytes in place with aws-lc's ChaCha20-Poly1305.
pub fn seal_open_aws_lc(name: &'static str, len: usize) -> Contender {
    use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[3; 32]).expect("32 bytes"));
    let mut buffer = vec![0; len + 16];
    let mut counter = 0u64;
    Contender::new(name, move |n| {
        for _ in 0..n {
            counter += 1;
            let nonce = nonce(counter);
            let (text, place) = buffer.split_at_mut(len);
            let tag = key
                .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), text)
                .expect("under the limit");
            place.copy_from_slice(tag.as_ref());
            key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut buffer).expect("sealed by us");
        }
        black_box(&buffer);
    })
}

/// As Noise forms it.
fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}
