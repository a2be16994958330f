//! The handshake's cryptography as the crates use it.

use crate::harness::Contender;
use std::hint::black_box;
use tidewire_core::{Keypair, Seed};
use tidewire_upgrade::crypto::{Crypto, SecretKey};

/// An ephemeral key made.
pub fn base_multiplications() -> Contender {
    Contender::new("ours", |n| {
        for _ in 0..n {
            black_box(SecretKey::new(black_box([7; 32]), Crypto::default()));
        }
    })
}

/// A secret agreed on.
pub fn agreements() -> Contender {
    let key = SecretKey::new([7; 32], Crypto::default());
    let public = *SecretKey::new([9; 32], Crypto::default()).public();
    Contender::new("ours", move |n| {
        for _ in 0..n {
            black_box(key.agree(&public).expect("not of small order"));
        }
    })
}

/// A signature verified.
pub fn verifications() -> Contender {
    let keypair = Keypair::from_seed(&Seed::new([5; 32]));
    let message = [b"noise-libp2p-static-key:".as_slice(), &[1; 32]].concat();
    let signature = keypair.sign(&message);
    let public = keypair.public();
    Contender::new("ours", move |n| {
        for _ in 0..n {
            public.verify(&message, &signature).expect("our own signature");
        }
    })
}
