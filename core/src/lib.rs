//! The ground that every tidewire state machine stands on.
//!
//! - [`Time`], [`UnixTime`], [`Role`], [`Seed`]: what a pure machine must be given, because it may not ask for it.
//! - [`PeerId`], [`Keypair`], [`PublicKey`], [`SignedEnvelope`], [`PeerRecord`]: who a peer is, and proof that it said something.
//! - [`decode_frame`], [`encode_frame`], [`decode_message`], [`encode_message`]: frames that begin with their length.
//! - [`cut`]: texts of others, to a cap.
//! - [`Machine`] and [`EventMachine`]: the two shapes of machine, and the laws that both keep.
//! - `laws` (feature `laws`): a checker that runs any machine through the laws, ours or yours.
//!
//! # The laws
//!
//! 1. **Nothing hidden.** No I/O, clock, entropy, thread, global or hash order inside. `now` and the seed are
//!    arguments. The same inputs give the same outputs, byte for byte, in any process.
//! 2. **The caller owns the buffers.** A byte machine consumes from `rx` and appends to `tx` within the call. After any
//!    call returns, everything in `tx` may be sent, also after an error. What it did not consume stays in `rx` for the
//!    next stage. It never reads past its last byte.
//! 3. **The deadline is true.** `deadline()` is O(1) and never later than the moment when the machine has something to
//!    do or to say. Calling early, late or twice is harmless.
//! 4. **Any order is legal.** Forgetting to poll delays, never corrupts. Local misuse is a typed error. Nothing that the
//!    remote sends, and no order of calls, can panic.
//! 5. **Remote faults are final and sticky.** The error says which rule was broken; bytes that tell the remote so are
//!    already in `tx`. Local errors are separate small enums, and recoverable.
//! 6. **Everything has a named cap.** Every queue, map, buffer and retry is a field of a config struct with a documented
//!    default. `memory_used()` tells the truth. The work of one call is linear in `rx.len()`. At `max_tx` bytes in
//!    `tx` writes return short. A machine that must answer what it reads may let the answers go a stated `max_replies`
//!    further before it stops consuming: two ends that both write until the same cap would wait for each other for ever.
//!    It goes on when `tx` was sent.
//! 7. **Splitting changes nothing.** Any way of cutting the same input gives the same output bytes and the same events,
//!    data taken as concatenated bytes.
//! 8. **Ids are small.** Connections, dials and streams at the edges are small `Copy` newtypes; nothing is boxed,
//!    generic over I/O, or tied to the lifetime of a socket.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

#[cfg(any(test, feature = "libp2p-identity"))]
mod convert;
mod draw;
mod envelope;
mod frame;
mod ids;
mod keys;
#[cfg(feature = "laws")]
pub mod laws;
mod machine;
mod multiaddr;
mod multibase;
mod peer_id;
mod peer_record;
mod protobuf;
mod role;
mod seed;
#[cfg(feature = "serde")]
mod serialize;
mod text;
mod time;

#[cfg(any(test, feature = "libp2p-identity"))]
pub use convert::ConvertKeypairError;
pub use draw::Draw;
pub use envelope::{EnvelopeError, SignedEnvelope};
pub use frame::{
    FrameError, FrameHeader, MAX_VARINT_LEN, VarintError, decode_frame, decode_frame_header, decode_varint,
    encode_frame, encode_varint,
};
pub use keys::{
    DerError, EcdsaPublicKey, Ed25519PublicKey, KeyError, KeyType, Keypair, PublicKey, RsaPublicKey,
    Secp256k1PublicKey, VerifyError,
};
pub use machine::{EventMachine, Machine};
pub use multiaddr::{Component, Components, Multiaddr, MultiaddrError, MultiaddrFault, Multihash, Reach, Transport};
pub use multibase::BaseError;
pub use peer_id::{ParsePeerIdError, PeerId, PeerIdError};
pub use peer_record::{PeerRecord, PeerRecordError};
pub use protobuf::{MessageError, decode_message, encode_message};
pub use role::Role;
pub use seed::Seed;
pub use text::cut;
pub use time::{Time, UnixTime};
