//! Our cryptography, as snow asks for it.
//!
//! Two things are unlike snow's own resolvers. The static key is the node's shared, precomputed one: importing it again
//! would cost a base multiplication for each handshake. And nothing here draws entropy: the ephemeral secret comes from
//! the caller's seed, so that there is no random generator at all.

use crate::crypto::{Crypto, Key, SecretKey, TAG_LEN};
use alloc::{boxed::Box, sync::Arc};
use core::cell::Cell;
use sha2::{Digest, Sha256};
use snow::{
    Error,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::CryptoResolver,
    types::{Cipher, Dh, Hash, Random},
};
use zeroize::{Zeroize, Zeroizing};

/// What one handshake computes with.
pub(super) struct Resolver {
    crypto: Crypto,
    static_key: Arc<SecretKey>,
    ephemeral: Zeroizing<[u8; 32]>,
    ciphers: Cell<u8>,
}

impl Resolver {
    pub(super) fn new(crypto: Crypto, static_key: Arc<SecretKey>, ephemeral: [u8; 32]) -> Self {
        Resolver { crypto, static_key, ephemeral: Zeroizing::new(ephemeral), ciphers: Cell::new(0) }
    }
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(NoEntropy)) // holds nothing, so the box allocates nothing
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(X25519::Unset {
                crypto: self.crypto,
                static_key: Arc::clone(&self.static_key),
                ephemeral: self.ephemeral.clone(),
            })),
            DHChoice::Curve448 => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::new(Sha(Sha256::new())) as Box<dyn Hash>)
    }

    /// snow asks for the handshake's cipher first, and then for the two of its transport, which we never use.
    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        if !matches!(choice, CipherChoice::ChaChaPoly) {
            return None;
        }
        if self.ciphers.replace(1) == 0 {
            Some(Box::new(ChaChaPoly { crypto: self.crypto, key: None }))
        } else {
            Some(Box::new(Unused)) // holds nothing, so the box allocates nothing
        }
    }
}

struct NoEntropy;

impl Random for NoEntropy {
    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Error> {
        Err(Error::Rng)
    }
}

/// A key pair that becomes the static one when it is set, and the ephemeral one when it is to be generated.
enum X25519 {
    Unset { crypto: Crypto, static_key: Arc<SecretKey>, ephemeral: Zeroizing<[u8; 32]> },
    Static(Arc<SecretKey>),
    Ephemeral(SecretKey),
}

impl X25519 {
    fn key(&self) -> Option<&SecretKey> {
        match self {
            X25519::Unset { .. } => None,
            X25519::Static(key) => Some(key),
            X25519::Ephemeral(key) => Some(key),
        }
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    /// The bytes that come are a placeholder: see [`super::handshake`].
    fn set(&mut self, _: &[u8]) {
        if let X25519::Unset { static_key, .. } = self {
            *self = X25519::Static(Arc::clone(static_key));
        }
    }

    fn generate(&mut self, _: &mut dyn Random) -> Result<(), Error> {
        let X25519::Unset { crypto, ephemeral, .. } = self else { return Err(Error::Rng) };
        *self = X25519::Ephemeral(SecretKey::new(**ephemeral, *crypto));
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.key().map_or(&[0; 32], |key| key.public())
    }

    /// Only snow's key generator asks for it, which we don't use.
    fn privkey(&self) -> &[u8] {
        &[0; 32]
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let public = public.first_chunk().ok_or(Error::Dh)?; // snow's buffer is as long as the longest curve's key
        let shared = self.key().ok_or(Error::Dh)?.agree(public).map_err(|_| Error::Dh)?;
        *out.first_chunk_mut().ok_or(Error::Dh)? = *shared;
        Ok(())
    }
}

struct ChaChaPoly {
    crypto: Crypto,
    key: Option<Key>,
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.key = Some(Key::new(*key, self.crypto));
    }

    fn encrypt(&self, nonce: u64, associated: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let len = plaintext.len();
        let (Some(key), Some((text, rest))) = (&self.key, out.split_at_mut_checked(len)) else { return 0 };
        let Some(tag) = rest.first_chunk_mut::<TAG_LEN>() else { return 0 };
        text.copy_from_slice(plaintext);
        *tag = key.seal(nonce, associated, text);
        len.saturating_add(TAG_LEN)
    }

    fn decrypt(&self, nonce: u64, associated: &[u8], ciphertext: &[u8], out: &mut [u8]) -> Result<usize, Error> {
        let key = self.key.as_ref().ok_or(Error::Decrypt)?;
        let (ciphertext, tag) = ciphertext.split_last_chunk::<TAG_LEN>().ok_or(Error::Decrypt)?;
        // Mind that `out` has no room for the tag where snow reads the remote's static key.
        let text = out.get_mut(..ciphertext.len()).ok_or(Error::Decrypt)?;
        text.copy_from_slice(ciphertext);
        key.open(nonce, associated, text, tag).map_err(|_| Error::Decrypt)?;
        Ok(text.len())
    }
}

/// Stands where snow wants the ciphers of its own transport. Were it ever used, nothing readable could leave, and nothing
/// that comes would be authentic.
struct Unused;

impl Cipher for Unused {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, _: &[u8; 32]) {}

    fn encrypt(&self, _: u64, _: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        out.zeroize();
        plaintext.len().saturating_add(TAG_LEN).min(out.len())
    }

    fn decrypt(&self, _: u64, _: &[u8], _: &[u8], _: &mut [u8]) -> Result<usize, Error> {
        Err(Error::Decrypt)
    }
}

struct Sha(Sha256);

impl Hash for Sha {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        if let Some(out) = out.first_chunk_mut::<32>() {
            *out = self.0.finalize_reset().into();
        }
    }
}
