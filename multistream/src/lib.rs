//! multistream-select as a pure state machine.
#![no_std]
extern crate alloc;
