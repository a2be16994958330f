//! B's end of the exchange: the peer that was dialed through the relay opens the stream.
//!
//! ```text
//! new: CONNECT is in tx --> waits --CONNECT--> our turn --sync: SYNC is in tx--> over
//!                           waits --a fault, the end, or the deadline--> failed, for good
//! ```
//! relay/DCUtR.md, "The Protocol", steps 1 to 4.

use super::error::{Fault, MessageType, TurnError};
use super::turns::{Input, Turns, heard};
use super::{Config, Heard};
use crate::message;
use bytes::BytesMut;
use tidewire_core::{Machine, Multiaddr, Time};

/// Asks for a punch, and measures the way: a [`Machine`] that tells one [`Heard::Connect`].
///
/// After [`sync`](Opener::sync) send what is in `tx`, close the stream, and dial half of the measured round trip later.
#[derive(Clone, Debug)]
pub struct Opener {
    turns: Turns,
    written: Time,
    told: usize,
    synced: bool,
}

impl Opener {
    /// Writes `CONNECT` to `tx`, at once, with as many of the addresses as a message of 4 KiB holds, in their order. Pass the
    /// moment when the bytes go out: the round trip is counted from `now`.
    pub fn new(now: Time, addresses: &[Multiaddr], config: &Config, tx: &mut BytesMut) -> Opener {
        let told = message::write_connect(addresses, tx);
        Opener { turns: Turns::new(now, MessageType::Connect, config), written: now, told, synced: false }
    }

    /// Writes `SYNC` to `tx`. Nothing may follow on the stream, from either side.
    ///
    /// # Errors
    /// The caller's mistake: the remote has not sent its `CONNECT`, this was called before, or the exchange failed. Nothing was
    /// written.
    pub fn sync(&mut self, _now: Time, tx: &mut BytesMut) -> Result<(), TurnError> {
        self.turns.check_ours(self.synced)?;
        message::write_sync(tx);
        self.synced = true;
        self.turns.over();
        Ok(())
    }

    /// How many of the addresses were written.
    pub const fn told(&self) -> usize {
        self.told
    }

    /// Whether nothing more is said on this stream, by either side.
    pub const fn is_over(&self) -> bool {
        self.turns.is_over()
    }

    fn step(&mut self, now: Time, rx: &mut BytesMut, input: Input) -> Result<Option<Heard>, Fault> {
        let Some((_, addresses)) = self.turns.step(now, rx, input)? else { return Ok(None) };
        self.turns.ours(MessageType::Sync);
        Ok(Some(heard(addresses, Some(now.since(self.written)))))
    }
}

impl Machine for Opener {
    type Output = Heard;
    type Error = Fault;

    fn advance(&mut self, now: Time, rx: &mut BytesMut, _: &mut BytesMut) -> Result<Option<Heard>, Fault> {
        self.step(now, rx, Input::Open)
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, _: &mut BytesMut) -> Result<Option<Heard>, Fault> {
        self.step(now, rx, Input::Ended)
    }

    fn deadline(&self) -> Time {
        self.turns.deadline()
    }

    fn memory_used(&self) -> usize {
        self.turns.memory_used()
    }
}
