//! The end that asks.

use super::{Config, PingError, SIZE};
use bytes::{Buf, BytesMut};
use core::time::Duration;
use tidewire_core::{Machine, Time};

/// Pings, one after the other on one stream: a [`Machine`] that gives a [`Pong`] for each.
#[derive(Debug)]
pub struct Pinger {
    timeout: Duration,
    state: State,
}

#[derive(Debug)]
enum State {
    Quiet,
    Waiting { since: Time, payload: [u8; SIZE] },
    Failed(PingError),
}

/// The answer to a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// From when the ping was written until its answer was read.
    pub rtt: Duration,
}

/// A ping that can't be sent now. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The answer to the one before is still to come.
    #[error("a ping is under way on this stream: wait for its answer")]
    UnderWay,
    /// The stream is of no more use.
    #[error("no ping can be sent: {0}")]
    Failed(PingError),
}

impl Pinger {
    /// Nothing is sent yet.
    pub fn new(config: &Config) -> Self {
        Pinger { timeout: config.timeout, state: State::Quiet }
    }

    /// Sends a ping: appends `payload`, which nobody must be able to guess, to `tx`.
    ///
    /// # Errors
    /// One is under way, or the stream failed.
    pub fn start(&mut self, now: Time, payload: [u8; SIZE], tx: &mut BytesMut) -> Result<(), StartError> {
        match &self.state {
            State::Quiet => {}
            State::Waiting { .. } => return Err(StartError::UnderWay),
            State::Failed(error) => return Err(StartError::Failed(error.clone())),
        }
        tx.extend_from_slice(&payload);
        self.state = State::Waiting { since: now, payload };
        Ok(())
    }

    /// Whether the answer to a ping is still to come.
    pub const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting { .. })
    }

    fn run(&mut self, now: Time, rx: &mut BytesMut) -> Result<Option<Pong>, PingError> {
        let (since, payload) = match &self.state {
            State::Failed(error) => return Err(error.clone()),
            State::Quiet if rx.is_empty() => return Ok(None),
            State::Quiet => return Err(PingError::Unasked),
            State::Waiting { since, payload } => (*since, payload),
        };
        if let Some(at) = rx.iter().zip(payload).position(|(got, sent)| got != sent) {
            return Err(PingError::WrongEcho { at });
        }
        if rx.len() >= SIZE {
            rx.advance(SIZE);
            self.state = State::Quiet;
            return Ok(Some(Pong { rtt: now.since(since) }));
        }
        // Last, so that an answer which was there in time counts however late we were called.
        if now >= since + self.timeout { Err(PingError::Timeout { after: self.timeout }) } else { Ok(None) }
    }
}

impl Machine for Pinger {
    type Output = Pong;
    type Error = PingError;

    fn advance(&mut self, now: Time, rx: &mut BytesMut, _: &mut BytesMut) -> Result<Option<Pong>, PingError> {
        let result = self.run(now, rx);
        if let Err(error) = &result {
            self.state = State::Failed(error.clone());
        }
        result
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Pong>, PingError> {
        let pong = self.advance(now, rx, tx)?;
        if pong.is_none() && self.is_waiting() {
            self.state = State::Failed(PingError::Ended);
            return Err(PingError::Ended);
        }
        Ok(pong)
    }

    fn deadline(&self) -> Time {
        match &self.state {
            State::Waiting { since, .. } => *since + self.timeout,
            State::Quiet | State::Failed(_) => Time::NEVER,
        }
    }

    fn memory_used(&self) -> usize {
        0
    }
}
