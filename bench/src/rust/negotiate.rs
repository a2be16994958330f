//! `multistream-select` 0.14.

use super::pipe::{drive, pipe};
use crate::harness::Contender;
use multistream_select::{Version, dialer_select_proto, listener_select_proto};

/// Both ends negotiate; the listener has only the last of the `proposals`.
pub fn contender(proposals: Vec<&'static str>) -> Contender {
    let (dialer, listener) = pipe();
    let served = [*proposals.last().expect("one at least")];
    Contender::new("rust", move |n| {
        for _ in 0..n {
            dialer.clear();
            let (dialed, listened) = drive(
                dialer_select_proto(dialer.clone(), proposals.iter().copied(), Version::V1),
                listener_select_proto(listener.clone(), served),
            );
            assert_eq!(dialed.expect("agreed").0, listened.expect("agreed").0);
        }
    })
}
