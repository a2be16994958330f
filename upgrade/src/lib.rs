//! The libp2p connection upgrade as pure state machines.
#![no_std]

extern crate alloc;

pub mod muxer;
pub mod security;
