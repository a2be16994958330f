//! libp2p's connection manager as pure event machines: who stays, who goes, whom to dial, and why.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod action;
pub mod alive;
mod book;
pub mod components;
mod config;
pub mod dial;
pub mod duplicates;
mod ids;
mod input;
pub mod limits;
mod manager;
pub mod metadata;
mod reason;
mod table;
pub mod worth;

pub use action::{Action, Event};
pub use config::{Config, Resources};
pub use ids::{By, ConnectionId, DialId, Direction, RequestId, StreamId};
pub use input::{Input, Origin};
pub use reason::{CloseReason, Misuse, RefuseReason, StreamRefusal};
