//! The order in which peers go.

use tidewire_core::Time;

/// Who goes first: the lesser key; among equals the lower slot, which the heap sees to. The order that the
/// [module](super) documents, without temporary entries:
///
/// ```text
/// worth  63 ........ 32   lower value first
///                    31   without streams first
///                    30   all connections inbound first
///        29 .........  0   fewer streams first
/// youth  63 .........  0   younger first
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OrderKey {
    worth: u64,
    youth: u64,
}

const STREAM_BITS: u32 = 30;
const MOST_STREAMS: u32 = (1 << STREAM_BITS) - 1;

impl OrderKey {
    pub(super) fn new(value: i32, streams: u32, outbound: bool, newest: Time) -> Self {
        // The sign bit turned over orders signed numbers as unsigned ones.
        let value = value.cast_unsigned() ^ (1 << 31);
        let worth = (u64::from(value) << 32)
            | (u64::from(streams > 0) << 31)
            | (u64::from(outbound) << STREAM_BITS)
            | u64::from(streams.min(MOST_STREAMS));
        OrderKey { worth, youth: !newest.as_nanos() }
    }

    /// What a newcomer must be better in to take another's place: value, streams or none, outbound or not. The rest would
    /// let equals push each other out for ever.
    pub(super) fn class(self) -> u64 {
        self.worth >> STREAM_BITS
    }
}
