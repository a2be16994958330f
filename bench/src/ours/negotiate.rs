//! `tidewire-multistream`.

use crate::harness::Contender;
use bytes::BytesMut;
use tidewire_core::{Machine, Time};
use tidewire_multistream::{Config, Dialer, Listener, Protocols};

/// Both ends negotiate; the listener has only the last of the `proposals`. What one end appends, the other consumes.
pub fn contender(proposals: Protocols, served: Protocols) -> Contender {
    let (mut there, mut back) = (BytesMut::with_capacity(4096), BytesMut::with_capacity(4096));
    Contender::new("ours", move |n| {
        for _ in 0..n {
            let mut dialer = Dialer::new(proposals.clone(), Config::default());
            let mut listener = Listener::new(served.clone(), Config::default());
            let (mut agreed, mut accepted) = (None, None);
            while agreed.is_none() {
                agreed = dialer.advance(Time::ZERO, &mut back, &mut there).expect("agreed");
                if accepted.is_none() {
                    accepted = listener.advance(Time::ZERO, &mut there, &mut back).expect("agreed");
                }
            }
            assert!(accepted.is_some() && there.is_empty() && back.is_empty());
        }
    })
}
