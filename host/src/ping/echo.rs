//! The end that answers.

use super::{Config, PingError, SIZE};
use bytes::{Buf, BytesMut};
use core::convert::Infallible;
use core::time::Duration;
use tidewire_core::{Machine, Time};

/// Answers pings, each as soon as its 32 bytes are there: a [`Machine`] with nothing to tell.
///
/// An answer costs what the ping cost its sender, and is written only when it is complete, so nothing is amplified and nothing
/// is kept. `Ok(None)` of [`end`](Machine::end): end our side too (ping.md: "and then exit the loop and close the stream").
#[derive(Debug)]
pub struct Echo {
    idle: Duration,
    max_tx: usize,
    /// When the stream began, or the last ping was answered.
    since: Time,
    failed: Option<PingError>,
}

impl Echo {
    /// For a stream that was opened at `now`.
    pub fn new(config: &Config, now: Time) -> Self {
        Echo { idle: config.idle, max_tx: config.max_tx, since: now, failed: None }
    }

    fn run(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<(), PingError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        while rx.len() >= SIZE && tx.len() < self.max_tx {
            if let Some(ping) = rx.get(..SIZE) {
                tx.extend_from_slice(ping);
            }
            rx.advance(SIZE);
            self.since = self.since.max(now);
        }
        // A remote that pings but doesn't read the answers is silent too.
        if now >= self.since + self.idle { Err(PingError::Idle { after: self.idle }) } else { Ok(()) }
    }
}

impl Machine for Echo {
    type Output = Infallible;
    type Error = PingError;

    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Infallible>, PingError> {
        let result = self.run(now, rx, tx);
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result.map(|()| None)
    }

    /// While `tx` is too full for all answers, they stay in `rx`, and this is to be called again.
    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Infallible>, PingError> {
        self.advance(now, rx, tx)?;
        if !rx.is_empty() && rx.len() < SIZE {
            let error = PingError::Truncated { got: rx.len() };
            self.failed = Some(error.clone());
            return Err(error);
        }
        Ok(None)
    }

    fn deadline(&self) -> Time {
        if self.failed.is_some() { Time::NEVER } else { self.since + self.idle }
    }

    fn memory_used(&self) -> usize {
        0
    }
}
