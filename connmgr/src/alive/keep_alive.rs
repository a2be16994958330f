//! Pings, and connections that carry nothing: one row of 24 bytes a connection, and one timer.
//!
//! ```text
//!                     interval over, ask                no answer in time
//!   opened ---> Quiet -----------------> UnderWay -------------------------> Dead
//!                 ^          pong           |
//!                 +-------------------------+ unsupported
//!                                           +-------------> Mute
//! ```
//! There is no spec for when to ping; libp2p/specs ping/ping.md has only the wire. The schedule and the times for an answer
//! are those of js-libp2p's connection monitor, the smoothing of the round-trip time is that of RFC 6298 section 2.
//!
//! What happens often, data and streams, only writes the row. The timer of a connection is never later than what is due
//! there; it may be earlier, and is set anew when it fires.

use super::KeepAliveConfig;
use crate::table::{ConnIx, Heap, NO_SLOT, reserve};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::Time;

/// What is due on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AliveAction {
    /// Ping it; without an answer within `timeout` it is dead.
    Ping { conn: ConnIx, timeout: Duration },
    /// No answer came. Nothing more is said of this connection.
    Dead { conn: ConnIx, waited: Duration },
    /// It has no streams, and carried nothing for this long. Said again only after it was used and is idle once more.
    Idle { conn: ConnIx, idle: Duration },
}

/// Pings and idle connections. Connections that were never opened, or are closed, are passed over in every call.
#[derive(Clone)]
pub(crate) struct KeepAlive {
    config: KeepAliveConfig,
    rows: Vec<Row>,
    timers: Heap<Time>,
    /// Slots whose row may have something to say. Each at most once, so there are never more than rows.
    due: VecDeque<u32>,
    /// The latest moment that time was let pass to.
    now: Time,
}

/// What is known of one connection.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// `Quiet`: when the interval to the next ping began. `UnderWay`: when the ping was sent.
    since: Time,
    /// The last time that it had a stream or carried data.
    used: Time,
    /// The smoothed round-trip time in microseconds, or [`NO_RTT`].
    rtt: u32,
    state: State,
    flags: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Quiet,
    UnderWay,
    Mute,
    Dead,
}

const NO_RTT: u32 = u32::MAX;

/// Flags of a row. The slot stands in `due`: this belongs to the slot, and outlives the connection.
const IN_DUE: u8 = 1;
/// A stream is open.
const STREAMS: u8 = 1 << 1;
/// The ping under way was not handed out yet.
const SAY_PING: u8 = 1 << 2;
/// The death was not handed out yet.
const SAY_DEAD: u8 = 1 << 3;
/// The idleness was not handed out yet.
const SAY_IDLE: u8 = 1 << 4;
/// The idleness was handed out, and the connection was not used since.
const SAID_IDLE: u8 = 1 << 5;

/// Time for an answer, and idleness, are at least this, so that every timer that fires is set to a later moment.
const LEAST: Duration = Duration::from_millis(1);

const ABSENT: Row = Row { since: Time::ZERO, used: Time::ZERO, rtt: NO_RTT, state: State::Absent, flags: 0 };

impl KeepAlive {
    pub(crate) fn new(mut config: KeepAliveConfig) -> Self {
        config.idle = config.idle.map(|idle| idle.max(LEAST));
        KeepAlive { config, rows: Vec::new(), timers: Heap::new(), due: VecDeque::new(), now: Time::ZERO }
    }

    /// A connection is there. One that was there under this number is gone.
    pub(crate) fn opened(&mut self, now: Time, conn: ConnIx) {
        self.closed(conn);
        let len = conn.0 as usize + 1;
        if self.rows.len() < len && conn.0 != NO_SLOT {
            reserve(&mut self.rows, len);
            self.rows.resize(len, ABSENT);
        }
        let Some(row) = self.rows.get_mut(conn.0 as usize) else { return };
        *row = Row { since: now, used: now, state: State::Quiet, ..*row };
        self.arm(now, conn);
    }

    /// A connection is gone, or is being closed: nothing more is said of it.
    pub(crate) fn closed(&mut self, conn: ConnIx) {
        if let Some(row) = self.rows.get_mut(conn.0 as usize) {
            *row = Row { flags: row.flags & IN_DUE, ..ABSENT };
            self.timers.remove(conn.0);
        }
    }

    /// So many streams are open on it now.
    pub(crate) fn streams(&mut self, now: Time, conn: ConnIx, open: u32) {
        if let Some(row) = self.rows.get_mut(conn.0 as usize) {
            row.used = now;
            row.flags &= !(STREAMS | SAY_IDLE | SAID_IDLE);
            if open > 0 {
                row.flags |= STREAMS;
            }
        }
    }

    /// It carried application data.
    pub(crate) fn used(&mut self, now: Time, conn: ConnIx) {
        if let Some(row) = self.rows.get_mut(conn.0 as usize) {
            row.used = now;
            row.flags &= !(SAY_IDLE | SAID_IDLE);
        }
    }

    /// Somebody wants to know whether it lives: pings at once, unless a ping is under way or the peer doesn't speak ping.
    pub(crate) fn ask(&mut self, now: Time, conn: ConnIx) {
        if let Some(row) = self.row(conn)
            && row.state == State::Quiet
        {
            row.since = now;
            row.state = State::UnderWay;
            row.flags |= SAY_PING;
            self.list(conn);
            self.arm(now, conn);
        }
    }

    /// The answer came. Says when its ping was sent; `None` if no ping is under way.
    pub(crate) fn pong(&mut self, now: Time, conn: ConnIx, rtt: Duration) -> Option<Time> {
        let row = self.under_way(conn)?;
        let sent = row.since;
        row.rtt = smoothed(row.rtt, rtt);
        row.since = now;
        row.state = State::Quiet;
        self.arm(now, conn);
        Some(sent)
    }

    /// The ping can't be answered: the peer doesn't speak ping. It counts as alive, and is not pinged again. False if no ping
    /// is under way.
    pub(crate) fn unsupported(&mut self, now: Time, conn: ConnIx) -> bool {
        let Some(row) = self.under_way(conn) else { return false };
        row.state = State::Mute;
        self.arm(now, conn);
        true
    }

    /// The smoothed round-trip time, in microseconds; the longest that is kept is 71 minutes.
    pub(crate) fn rtt(&self, conn: ConnIx) -> Option<Duration> {
        let row = self.rows.get(conn.0 as usize)?;
        (row.rtt != NO_RTT).then(|| Duration::from_micros(u64::from(row.rtt)))
    }

    pub(crate) fn on_timeout(&mut self, now: Time) {
        self.now = self.now.max(now);
        while let Some((at, slot)) = self.timers.peek() {
            if at > now || at.is_never() {
                return;
            }
            self.fire(now, ConnIx(slot));
        }
    }

    pub(crate) fn poll(&mut self) -> Option<AliveAction> {
        while let Some(slot) = self.due.front().copied() {
            if let Some(action) = self.say(ConnIx(slot)) {
                return Some(action);
            }
            self.due.pop_front();
            if let Some(row) = self.rows.get_mut(slot as usize) {
                row.flags &= !IN_DUE;
            }
        }
        // A million connections may have been due at one moment; that isn't kept for the next such moment.
        if self.due.capacity() > 1024 {
            self.due = VecDeque::new();
        }
        None
    }

    /// When to call [`on_timeout`](KeepAlive::on_timeout). O(1).
    pub(crate) fn deadline(&self) -> Time {
        self.timers.peek().map_or(Time::NEVER, |(at, _)| at)
    }

    pub(crate) fn memory_used(&self) -> usize {
        self.rows.capacity() * size_of::<Row>() + self.timers.memory_used() + self.due.capacity() * size_of::<u32>()
    }

    fn row(&mut self, conn: ConnIx) -> Option<&mut Row> {
        self.rows.get_mut(conn.0 as usize).filter(|row| row.state != State::Absent)
    }

    /// The row, if its ping is under way and was handed out.
    fn under_way(&mut self, conn: ConnIx) -> Option<&mut Row> {
        self.row(conn).filter(|row| row.state == State::UnderWay && row.flags & SAY_PING == 0)
    }

    fn list(&mut self, conn: ConnIx) {
        if let Some(row) = self.rows.get_mut(conn.0 as usize)
            && row.flags & IN_DUE == 0
        {
            row.flags |= IN_DUE;
            self.due.push_back(conn.0);
        }
    }

    /// Brings the timer forward if something is due before it. It is never put back: it does that itself when it fires.
    fn arm(&mut self, now: Time, conn: ConnIx) {
        let Some(row) = self.rows.get(conn.0 as usize) else { return };
        let due = due(&self.config, row, now);
        if self.timers.key(conn.0).unwrap_or(Time::NEVER) > due {
            self.timers.set(conn.0, due);
        }
    }

    /// The timer of a connection fired: notes what is really due, and sets it to a later moment.
    fn fire(&mut self, now: Time, conn: ConnIx) {
        let Some(row) = self.rows.get_mut(conn.0 as usize) else { return };
        let before = row.flags;
        if ping_due(&self.config, row) <= now {
            match row.state {
                State::Quiet => {
                    row.state = State::UnderWay;
                    row.since = now;
                    row.flags |= SAY_PING;
                }
                // Nobody took the ping, so nobody sent it: the time for its answer has not begun.
                State::UnderWay if row.flags & SAY_PING != 0 => row.since = now,
                State::UnderWay => {
                    row.state = State::Dead;
                    row.flags = (row.flags | SAY_DEAD) & !SAY_IDLE;
                }
                State::Absent | State::Mute | State::Dead => {}
            }
        }
        if idle_due(&self.config, row, now) <= now {
            row.flags |= SAY_IDLE;
        }
        let next = due(&self.config, row, now);
        if row.flags != before {
            self.list(conn);
        }
        if next.is_never() {
            self.timers.remove(conn.0);
        } else {
            self.timers.set(conn.0, next);
        }
    }

    /// One thing that is due on this connection.
    fn say(&mut self, conn: ConnIx) -> Option<AliveAction> {
        let now = self.now;
        let row = self.rows.get_mut(conn.0 as usize)?;
        if row.flags & SAY_DEAD != 0 {
            row.flags &= !SAY_DEAD;
            Some(AliveAction::Dead { conn, waited: now.since(row.since) })
        } else if row.flags & SAY_PING != 0 {
            row.flags &= !SAY_PING;
            Some(AliveAction::Ping { conn, timeout: timeout(&self.config, row.rtt) })
        } else if row.flags & SAY_IDLE != 0 {
            row.flags = row.flags & !SAY_IDLE | SAID_IDLE;
            Some(AliveAction::Idle { conn, idle: now.since(row.used) })
        } else {
            None
        }
    }
}

/// For the manager as a state of a model.
#[cfg(any(test, feature = "model"))]
impl KeepAlive {
    /// Gives the moments at which pings were sent, that are under way, other names. What else began, begins now.
    pub(crate) fn rebase(&mut self, now: Time, map: &mut dyn FnMut(Time) -> Time) {
        self.now = now;
        self.timers = Heap::new();
        for (slot, row) in (0..).zip(&mut self.rows).filter(|(_, row)| row.state != State::Absent) {
            row.used = now;
            row.since = if row.state == State::UnderWay { map(row.since) } else { now };
            let due = due(&self.config, row, now);
            if !due.is_never() {
                self.timers.set(slot, due);
            }
        }
    }

    /// Whether a connection can be pinged, and when the ping was sent that is under way.
    pub(crate) fn ping(&self, conn: ConnIx) -> (bool, Option<Time>) {
        let row = self.rows.get(conn.0 as usize).unwrap_or(&ABSENT);
        (row.state == State::Quiet, (row.state == State::UnderWay).then_some(row.since))
    }
}

/// The next moment when something may be due: never later than when it is.
fn due(config: &KeepAliveConfig, row: &Row, now: Time) -> Time {
    ping_due(config, row).min(idle_due(config, row, now))
}

fn ping_due(config: &KeepAliveConfig, row: &Row) -> Time {
    match row.state {
        State::Quiet => config.ping_interval.map_or(Time::NEVER, |interval| row.since + interval),
        State::UnderWay => row.since + timeout(config, row.rtt),
        State::Absent | State::Mute | State::Dead => Time::NEVER,
    }
}

fn idle_due(config: &KeepAliveConfig, row: &Row, now: Time) -> Time {
    match (config.idle, row.state) {
        (None, _) | (_, State::Absent | State::Dead) => Time::NEVER,
        // Its idleness has not begun, and so can't be over before this.
        (Some(idle), _) if row.flags & (STREAMS | SAY_IDLE | SAID_IDLE) != 0 => now + idle,
        (Some(idle), _) => row.used + idle,
    }
}

fn timeout(config: &KeepAliveConfig, rtt: u32) -> Duration {
    let wanted = match rtt {
        NO_RTT => config.ping_timeout_max,
        rtt => Duration::from_micros(u64::from(rtt) * u64::from(config.ping_timeout_tenths) / 10),
    };
    wanted.min(config.ping_timeout_max).max(config.ping_timeout_min).max(LEAST)
}

/// The first measurement is taken as it is; each later one counts for an eighth (RFC 6298 sections 2.2 and 2.3).
fn smoothed(old: u32, rtt: Duration) -> u32 {
    let new = u32::try_from(rtt.as_micros()).unwrap_or(NO_RTT).min(NO_RTT - 1);
    match old {
        NO_RTT => new,
        old => u32::try_from((u64::from(old) * 7 + u64::from(new) + 4) / 8).unwrap_or(NO_RTT - 1),
    }
}
