//! Ranking of addresses from bytes: each address once or a duplicate, delays in order, the order of the input of no matter.
//!
//! The input is a list of addresses, each as its length in one byte and its bytes. What is no address is left out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::time::Duration;
use tidewire_connmgr::dial::{Delays, Outcome, rank, usable};
use tidewire_core::{Component, Multiaddr};

fuzz_target!(|data: &[u8]| {
    let mut addresses = Vec::new();
    let mut rest = data;
    while let Some((len, tail)) = rest.split_first() {
        let (bytes, tail) = tail.split_at(tail.len().min(usize::from(*len)));
        addresses.extend(Multiaddr::from_bytes(bytes));
        rest = tail;
    }
    let delays = Delays::default();
    let ranked = rank(&addresses, &delays);

    assert!(ranked.is_sorted_by_key(|next| next.delay));
    let longest = delays.relayed + 5 * delays.public_quic + delays.other;
    assert!(ranked.iter().all(|next| next.delay <= longest));
    assert!(ranked.first().is_none_or(|first| first.delay.is_zero()));

    // Each input is there once, or the same with its peer is.
    let mut found: Vec<_> = ranked.iter().map(|next| next.address.clone()).collect();
    found.sort();
    assert!(found.is_sorted_by(|left, right| left < right), "none twice");
    for address in &addresses {
        let named = |other: &Multiaddr| other != address && other.without_peer_id() == *address;
        assert_ne!(found.binary_search(address).is_ok(), found.iter().any(named));
    }
    for address in &found {
        assert!(addresses.contains(address));
    }

    addresses.reverse();
    assert_eq!(rank(&addresses, &delays), ranked);
    let mut at_once = delays.clone();
    at_once.public_tcp = Duration::MAX;
    at_once.other = Duration::MAX;
    assert_eq!(rank(&addresses, &at_once).len(), ranked.len(), "no overflow");

    for address in &found {
        let peers = address.iter().filter_map(|part| if let Component::P2p(peer) = part { Some(peer) } else { None });
        for peer in peers {
            let any = usable(address, peer, false);
            let direct = usable(address, peer, true);
            assert!(any == direct || (any.is_ok() && direct == Err(Outcome::Relayed) && address.is_relayed()));
            if any.is_ok() {
                assert!(address.port() != Some(0) && !address.is_unspecified());
            }
        }
    }
});
