//! One call for both ways to call a machine.

use bytes::BytesMut;
use tidewire_core::{Machine, Time};

/// [`Machine::end`] if `rx` has ended, else [`Machine::advance`].
#[inline]
pub(crate) fn step<M: Machine>(
    machine: &mut M,
    now: Time,
    rx: &mut BytesMut,
    tx: &mut BytesMut,
    ended: bool,
) -> Result<Option<M::Output>, M::Error> {
    if ended { machine.end(now, rx, tx) } else { machine.advance(now, rx, tx) }
}
