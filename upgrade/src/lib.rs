//! The libp2p connection upgrade as pure state machines.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod channel;
pub mod connection;
pub mod crypto;
pub mod muxer;
pub mod pipeline;
pub mod security;

pub use channel::ChannelError;
