//! What libp2p puts into the second and third handshake message (noise/README.md, "The libp2p Handshake Payload").

use super::Extensions;
use crate::security::proto::{Fields, Malformed, put};
use alloc::vec::Vec;

/// What the identity key signs stands before the static key: "Static Key Authentication".
pub(super) const SIGNATURE_PREFIX: &[u8; 24] = b"noise-libp2p-static-key:";

// NoiseHandshakePayload
const IDENTITY_KEY: u32 = 1;
const IDENTITY_SIG: u32 = 2;
const EXTENSIONS: u32 = 4;
// NoiseExtensions
const WEBTRANSPORT_CERTHASHES: u32 = 1;
const STREAM_MUXERS: u32 = 2;

/// A payload where it lies.
#[derive(Default)]
pub(super) struct Payload<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) signature: Option<&'a [u8]>,
    pub(super) extensions: Extensions,
}

impl<'a> Payload<'a> {
    /// Reads a payload. As protocol buffers have it, the last of several values counts, and repeated fields add up.
    ///
    /// A list that is longer than its limit counts as not sent.
    pub(super) fn read(bytes: &'a [u8], max_muxers: usize, max_certhashes: usize) -> Result<Self, Malformed> {
        let mut payload = Payload::default();
        let mut muxers = Capped::new(max_muxers);
        let mut certhashes = Capped::new(max_certhashes);
        for field in Fields(bytes) {
            let field = field?;
            match field.number {
                IDENTITY_KEY => payload.key = Some(field.bytes()?),
                IDENTITY_SIG => payload.signature = Some(field.bytes()?),
                EXTENSIONS => {
                    for field in Fields(field.bytes()?) {
                        let field = field?;
                        match field.number {
                            WEBTRANSPORT_CERTHASHES => certhashes.push(field.bytes()?.into()),
                            STREAM_MUXERS => muxers.push(field.text()?.into()),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        payload.extensions = Extensions { muxers: muxers.finish(), certhashes: certhashes.finish() };
        Ok(payload)
    }
}

/// Writes a payload. Extensions without content are left out.
pub(super) fn encode(key: &[u8], signature: &[u8], extensions: &Extensions) -> Vec<u8> {
    let mut inner = Vec::new();
    for hash in &extensions.certhashes {
        put(&mut inner, WEBTRANSPORT_CERTHASHES, hash);
    }
    for muxer in &extensions.muxers {
        put(&mut inner, STREAM_MUXERS, muxer.as_bytes());
    }
    let mut out = Vec::new();
    put(&mut out, IDENTITY_KEY, key);
    put(&mut out, IDENTITY_SIG, signature);
    if !inner.is_empty() {
        put(&mut out, EXTENSIONS, &inner);
    }
    out
}

/// A list that is given up once it is too long.
struct Capped<T> {
    items: Vec<T>,
    max: usize,
    over: bool,
}

impl<T> Capped<T> {
    const fn new(max: usize) -> Self {
        Capped { items: Vec::new(), max, over: false }
    }

    fn push(&mut self, item: T) {
        self.over |= self.items.len() >= self.max;
        if self.over {
            self.items = Vec::new();
        } else {
            self.items.push(item);
        }
    }

    fn finish(self) -> Vec<T> {
        self.items
    }
}
