//! The contract: what a machine is, and the laws that it keeps.

use crate::Time;
use bytes::BytesMut;

/// A byte machine: consumes from `rx`, appends to `tx`, and says what it learnt.
///
/// # How to drive one
///
/// Append what the socket gave to `rx`. Call [`advance`](Machine::advance) until it returns `Ok(None)`, handling each
/// output; then send what is in `tx`. Call it again when `rx` grew, when `tx` shrank after having been above the
/// machine's `max_tx`, or at [`deadline`](Machine::deadline). When the socket says that no more will come, call
/// [`end`](Machine::end) instead, until it returns `Ok(None)`; [`advance_or_end`](Machine::advance_or_end) is either.
///
/// The laws are in the [crate's documentation](crate#the-laws).
pub trait Machine {
    /// What the machine tells: a result, or an event.
    type Output;
    /// A remote's fault, final and sticky. `tx` may hold last words for the remote.
    type Error;

    /// Goes as far as it can. `Ok(None)`: more bytes, or the deadline.
    ///
    /// Work is linear in `rx.len()`.
    ///
    /// # Errors
    /// The remote broke a rule. Every further call returns the same error and changes nothing.
    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut)
    -> Result<Option<Self::Output>, Self::Error>;

    /// As [`advance`](Machine::advance), when nothing will ever be added to `rx` again.
    ///
    /// `Ok(None)`: this was a place where ending is allowed.
    ///
    /// # Errors
    /// The input was cut short where the protocol asks for more.
    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Self::Output>, Self::Error>;

    /// [`end`](Machine::end) if `rx` has ended, else [`advance`](Machine::advance): for a driver that keeps a flag of it.
    ///
    /// Provided; no machine needs one of its own.
    ///
    /// # Errors
    /// Those of the call that it makes.
    #[inline]
    fn advance_or_end(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        ended: bool,
    ) -> Result<Option<Self::Output>, Self::Error> {
        if ended { self.end(now, rx, tx) } else { self.advance(now, rx, tx) }
    }

    /// When to call again though no byte came. O(1). Never later than the moment when the machine has something to do.
    fn deadline(&self) -> Time {
        Time::NEVER
    }

    /// Bytes that this machine holds on the heap, beside `size_of_val(self)`.
    fn memory_used(&self) -> usize;
}

/// An event machine: is told what happened, and says what to do. It never sees a byte of the wire.
///
/// # How to drive one
///
/// After each call drain [`poll`](EventMachine::poll) and carry the actions out; report what came of them as further
/// inputs. Call [`on_timeout`](EventMachine::on_timeout) at [`deadline`](EventMachine::deadline).
pub trait EventMachine {
    /// What happened.
    type Input<'a>;
    /// What to do.
    type Action;
    /// What the caller did wrong: an id that it never gave, an order that can't be. Recoverable; nothing changed.
    type Misuse;

    /// Tells the machine what happened.
    ///
    /// # Errors
    /// The caller's mistake; the machine is as it was before.
    fn handle(&mut self, now: Time, input: Self::Input<'_>) -> Result<(), Self::Misuse>;

    /// Lets time pass. Early, late or twice is harmless.
    fn on_timeout(&mut self, now: Time);

    /// The next thing to do.
    fn poll(&mut self) -> Option<Self::Action>;

    /// When to call [`on_timeout`](EventMachine::on_timeout). O(1).
    fn deadline(&self) -> Time;

    /// Bytes that this machine holds on the heap, beside `size_of_val(self)`.
    fn memory_used(&self) -> usize;
}
