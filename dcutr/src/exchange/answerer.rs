//! A's end of the exchange: the peer that dialed through the relay answers on the stream.
//!
//! ```text
//! waits --CONNECT--> our turn --connect: CONNECT is in tx--> waits --SYNC--> over
//! waits --a fault, the end, or the deadline--> failed, for good
//! our turn --bytes, the end, or the deadline--> failed, for good
//! ```
//! relay/DCUtR.md, "The Protocol", steps 2 to 5.

use super::error::{Fault, MessageType, TurnError};
use super::turns::{Input, Turns, heard};
use super::{Config, Heard};
use crate::message;
use bytes::BytesMut;
use tidewire_core::{Machine, Multiaddr, Time};

/// Is asked for a punch: a [`Machine`] that tells a [`Heard::Connect`] and, once that was answered, a [`Heard::Sync`].
///
/// On [`Heard::Sync`] dial at once, and close the stream. Who doesn't want to answer resets it.
#[derive(Clone, Debug)]
pub struct Answerer {
    turns: Turns,
    written: Option<Time>,
}

impl Answerer {
    /// For a stream that the remote opened.
    pub fn new(now: Time, config: &Config) -> Answerer {
        Answerer { turns: Turns::new(now, MessageType::Connect, config), written: None }
    }

    /// Writes our `CONNECT` to `tx`, with as many of the addresses as a message of 4 KiB holds, in their order. How many those
    /// are.
    ///
    /// # Errors
    /// The caller's mistake: the remote has not sent its `CONNECT`, it was answered before, or the exchange failed. Nothing was
    /// written.
    pub fn connect(&mut self, now: Time, addresses: &[Multiaddr], tx: &mut BytesMut) -> Result<usize, TurnError> {
        self.turns.check_ours(self.written.is_some())?;
        let told = message::write_connect(addresses, tx);
        self.written = Some(now);
        self.turns.theirs(now, MessageType::Sync);
        Ok(told)
    }

    /// Whether nothing more is said on this stream, by either side.
    pub const fn is_over(&self) -> bool {
        self.turns.is_over()
    }

    fn step(&mut self, now: Time, rx: &mut BytesMut, input: Input) -> Result<Option<Heard>, Fault> {
        let Some((kind, addresses)) = self.turns.step(now, rx, input)? else { return Ok(None) };
        Ok(Some(match kind {
            MessageType::Connect => {
                self.turns.ours(MessageType::Connect);
                heard(addresses, None)
            }
            MessageType::Sync => {
                self.turns.over();
                Heard::Sync { rtt: now.since(self.written.unwrap_or(now)) }
            }
        }))
    }
}

impl Machine for Answerer {
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
