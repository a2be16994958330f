//! Circuit relay v2, AutoNAT and AutoRelay as sans-IO machines.
//!
//! Byte machines ([`exchange`]) read and write one stream each; event machines ([`server`], [`client`], [`autonat`],
//! [`autorelay`]) decide. None of them sees a socket, a clock or a key that it could keep.
//!
//! Specs: libp2p/specs relay/circuit-v2.md, autonat/autonat-v1.md, autonat/autonat-v2.md.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod ids;
mod limit;
mod reservation;
mod status;
mod voucher;
mod rate;

pub mod autonat;
pub mod autorelay;
pub mod client;
pub mod exchange;
pub mod server;
pub mod splice;

pub use rate::RateConfig;
pub use ids::{AskId, CircuitDialId, CircuitId, ConnectionId, DialBackId, StreamKey};
pub use limit::Limit;
pub use reservation::{DroppedAddresses, Reservation, circuit_address};
pub use status::Status;
pub use voucher::{SignedVoucher, Voucher, VoucherError, VoucherField};
