//! Is the remote there, and how far away?
//!
//! ```text
//! quiet --keep-alive interval without a byte, or ping()--> asked --the answer--> quiet
//!                                                            '-----nothing at all for pong_timeout---> failed
//! ```
//!
//! Anything that arrives proves that the remote lives: on a slow link an answer may wait behind megabytes of data, and
//! go-yamux drops answers when it is busy. An answer that nobody asked for means nothing.

use super::config::Config;
use super::error::Error;
use core::time::Duration;
use tidewire_core::Time;

#[derive(Debug)]
pub(super) struct Pings {
    interval: Option<Duration>,
    timeout: Duration,
    /// When the last byte came; `None`: the clock has not been seen yet.
    heard: Option<Time>,
    /// The ping on its way: its value, and when it was sent.
    sent: Option<(u32, Time)>,
    /// Whether the application wants to hear of it.
    wanted: bool,
    /// The value of the next ping.
    next: u32,
    /// Round trip, smoothed.
    rtt: Option<Duration>,
}

impl Pings {
    pub(super) const fn new(config: &Config) -> Self {
        Pings {
            interval: config.keep_alive,
            timeout: config.pong_timeout,
            heard: None,
            sent: None,
            wanted: false,
            next: 0,
            rtt: None,
        }
    }

    /// Something arrived, or the clock is seen for the first time.
    pub(super) const fn heard(&mut self, now: Time) {
        self.heard = Some(now);
    }

    pub(super) const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// The value of the ping to send now; `None`: one is on its way.
    pub(super) fn ask(&mut self, now: Time, wanted: bool) -> Option<u32> {
        self.wanted |= wanted;
        if self.sent.is_some() {
            return None;
        }
        let value = self.next;
        self.next = value.wrapping_add(1);
        self.sent = Some((value, now));
        Some(value)
    }

    /// An answer came. The round trip, if the application waits for it.
    pub(super) fn answered(&mut self, value: u32, now: Time) -> Option<Duration> {
        let (_, at) = self.sent.take_if(|sent| sent.0 == value)?;
        let rtt = now.since(at);
        self.rtt = Some(self.rtt.map_or(rtt, |old| (old * 7 + rtt) / 8));
        core::mem::take(&mut self.wanted).then_some(rtt)
    }

    /// No more pings from us: the remote's bytes have ended.
    pub(super) const fn stop(&mut self) {
        self.interval = None;
        self.timeout = Duration::MAX;
    }

    pub(super) fn deadline(&self) -> Time {
        let Some(heard) = self.heard else {
            return if self.interval.is_some() { Time::ZERO } else { Time::NEVER };
        };
        match (self.sent, self.interval) {
            (Some((_, at)), _) => at.max(heard) + self.timeout,
            (None, Some(interval)) => heard + interval,
            (None, None) => Time::NEVER,
        }
    }

    /// Lets time pass. The value of a ping to send, if it is time for one.
    pub(super) fn on_timeout(&mut self, now: Time) -> Result<Option<u32>, Error> {
        let heard = *self.heard.get_or_insert(now);
        if now < self.deadline() {
            return Ok(None);
        }
        match self.sent {
            Some((_, at)) => Err(Error::NoPong { waited: now.since(at.max(heard)) }),
            None => Ok(self.ask(now, false)),
        }
    }
}
