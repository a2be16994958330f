//! Where we are seen, what is known of it, and what is announced.

mod advertise;
mod external;
mod observed;

use super::*;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use tidewire_core::{Keypair, Multiaddr, PeerId, Seed};

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
    texts.iter().map(|text| address(text)).collect()
}

fn peer(number: u8) -> PeerId {
    Keypair::from_seed(&Seed::new([number; 32])).peer_id()
}
