//! Circuit relay v2, AutoNAT and AutoRelay as sans-IO machines.
//!
//! ```text
//!   a stream's bytes          who decides                                    what for
//!   exchange::Asker    -----  server::Server                                 we relay for others: reservations, circuits
//!   exchange::Responder       client::Client                                 others relay for us; we dial through them
//!   splice::Splice            autonat::{v1, v2}::{Client, Server}            can we be reached, and at which addresses
//!                             autorelay::AutoRelay                           finds relays, and says what to announce
//! ```
//! Byte machines ([`exchange`]) read and write one stream each: they decode, check and encode. Event machines decide, by plain
//! data; none of them sees a byte. [`splice`] counts what goes over a circuit. No machine keeps a key or asks for the time: vouchers
//! are sealed where they are written, the wall clock is an input.
//!
//! `tidewire-host` plugs all of them into a node. Each stands alone: who has a swarm of their own and wants only the relay's
//! book-keeping takes [`server::Server`].
//!
//! Specs: libp2p/specs relay/circuit-v2.md, autonat/autonat-v1.md, autonat/autonat-v2.md.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod ids;
mod limit;
mod rate;
mod reservation;
mod status;
mod voucher;

pub mod autonat;
pub mod autorelay;
pub mod client;
pub mod exchange;
pub mod server;
pub mod splice;

pub use ids::{AskId, CircuitDialId, CircuitId, ConnectionId, DialBackId, StreamKey};
pub use limit::Limit;
pub use rate::RateConfig;
pub use reservation::{DroppedAddresses, Reservation, circuit_address};
pub use status::Status;
pub use voucher::{SignedVoucher, Voucher, VoucherError, VoucherField};
