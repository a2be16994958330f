//! What happened on a connection, put together from what both of its ends reported, and drawn as two columns.
//!
//! ```text
//!  dialer's observer ---\
//!                        Recorder --> entries in order of time --> Timeline: rows, flights, round trips
//!  listener's observer -/
//! ```
//! A flight is what one end sends because of what it has received; bytes that don't wait for each other are in the same one.
//! So flights are counted by cause, not by clock: each has the number of the last flight that its sender had received,
//! plus one. TCP's SYN is the first, SYN and ACK the second; two flights are a round trip.

use crate::output::{Output, Style, millis, size};
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// TCP's handshake, before our first byte: one round trip.
const TCP_FLIGHTS: u32 = 2;
const LEFT: usize = 32;
const ARROW: usize = 22;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Dialer,
    Listener,
}

/// What an end reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Says(String),
    Sent(u64),
    Received(u64),
    /// The application has its first answer.
    Answered(String),
}

/// Collects what both ends report. A clone is another handle.
#[derive(Clone)]
pub(crate) struct Recorder {
    began: Instant,
    entries: Arc<Mutex<Vec<(Duration, Side, What)>>>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Recorder { began: Instant::now(), entries: Arc::default() }
    }

    pub(crate) fn add(&self, side: Side, what: What) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // The time is taken under the lock, so that it never runs backwards in the list.
        entries.push((self.began.elapsed(), side, what));
    }

    pub(crate) fn timeline(&self) -> Timeline {
        Timeline::of(&self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A line of the picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) at_ms: f64,
    pub(crate) side: Side,
    #[serde(flatten)]
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Kind {
    Says { says: String },
    Flight { flight: u32, bytes: u64 },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Timeline {
    pub(crate) rows: Vec<Row>,
    /// From TCP's SYN to the first answer; `None` if there was none.
    pub(crate) round_trips: Option<u32>,
}

/// What one end knows, and what it has sent.
#[derive(Default)]
struct End {
    /// The last flight that it received.
    flight: u32,
    received: u64,
    sent: u64,
    /// Up to which byte which flight went.
    log: Vec<(u64, u32)>,
}

impl Timeline {
    fn of(entries: &[(Duration, Side, What)]) -> Timeline {
        let mut dialer = End { flight: TCP_FLIGHTS, ..End::default() };
        let mut listener = End { flight: TCP_FLIGHTS - 1, ..End::default() };
        let mut timeline = Timeline { rows: Vec::new(), round_trips: None };
        for (at, side, what) in entries {
            let (end, other) = match side {
                Side::Dialer => (&mut dialer, &listener),
                Side::Listener => (&mut listener, &dialer),
            };
            let kind = match what {
                What::Says(text) => Kind::Says { says: text.clone() },
                What::Sent(bytes) => {
                    end.sent += bytes;
                    let flight = end.flight + 1;
                    end.log.push((end.sent, flight));
                    if timeline.lengthened(*side, flight, *bytes) {
                        continue;
                    }
                    Kind::Flight { flight, bytes: *bytes }
                }
                What::Received(bytes) => {
                    let before = end.received;
                    end.received += bytes;
                    end.flight = end.flight.max(other.last_flight(before, end.received));
                    continue;
                }
                What::Answered(text) => {
                    timeline.round_trips.get_or_insert(end.flight.div_ceil(2));
                    Kind::Says { says: text.clone() }
                }
            };
            timeline.rows.push(Row { at_ms: millis(*at), side: *side, kind });
        }
        timeline
    }

    /// Writes that follow one another are one arrow.
    fn lengthened(&mut self, side: Side, flight: u32, more: u64) -> bool {
        match self.rows.last_mut() {
            Some(Row { side: last, kind: Kind::Flight { flight: same, bytes }, .. })
                if (*last, *same) == (side, flight) =>
            {
                *bytes += more;
                true
            }
            _ => false,
        }
    }

    /// Two columns, and arrows between them.
    pub(crate) fn draw(&self, output: &Output) {
        let head = format!("{:>9}  {:<LEFT$}{:^ARROW$}  {}", "", "dialer", "", "listener");
        output.line(output.paint(Style::Bold, head.trim_end()));
        let mut flights = 0;
        for row in &self.rows {
            let time = output.paint(Style::Dim, &format!("{:>6.2} ms", row.at_ms));
            output.line(match (&row.kind, row.side) {
                (Kind::Says { says }, Side::Dialer) => format!("{time}  {says}"),
                (Kind::Says { says }, Side::Listener) => format!("{time}  {:LEFT$}{:ARROW$}  {says}", "", ""),
                (Kind::Flight { flight, bytes }, side) => {
                    let first = *flight > flights;
                    flights = flights.max(*flight);
                    let label = if first { format!("flight {flight}") } else { String::new() };
                    let arrow = arrow(&size(*bytes), side);
                    format!("{time}  {:>width$}  {}", label, output.paint(Style::Cyan, &arrow), width = LEFT - 2)
                }
            });
        }
    }
}

impl End {
    /// The last flight to which some of these bytes belong.
    fn last_flight(&self, from: u64, to: u64) -> u32 {
        let first = self.log.partition_point(|(end, _)| *end <= from);
        let last = self.log.partition_point(|(end, _)| *end < to);
        self.log.iter().take(last + 1).skip(first).map(|(_, flight)| *flight).max().unwrap_or(0)
    }
}

fn arrow(label: &str, from: Side) -> String {
    let line = format!("{:─^width$}", format!(" {label} "), width = ARROW - 1);
    match from {
        Side::Dialer => format!("{line}▶"),
        Side::Listener => format!("◀{line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Side::{Dialer, Listener};
    use What::{Answered, Received, Sent};

    fn round_trips(entries: &[(Side, What)]) -> (Option<u32>, usize) {
        let entries: Vec<_> = entries.iter().map(|(side, what)| (Duration::ZERO, *side, what.clone())).collect();
        let timeline = Timeline::of(&entries);
        (timeline.round_trips, timeline.rows.iter().filter(|row| matches!(row.kind, Kind::Flight { .. })).count())
    }

    fn answer() -> What {
        Answered("pong".into())
    }

    #[test]
    fn a_question_and_its_answer_are_a_round_trip_on_top_of_tcp_s() {
        let entries = [
            (Dialer, Sent(9)),
            (Listener, Received(9)),
            (Listener, Sent(5)),
            (Dialer, Received(5)),
            (Dialer, answer()),
        ];
        assert_eq!(round_trips(&entries), (Some(2), 2));
    }

    #[test]
    fn what_does_not_wait_for_the_other_end_costs_no_round_trip() {
        let entries = [
            (Listener, Sent(5)), // its header, unasked
            (Dialer, Sent(9)),
            (Dialer, Received(5)),
            (Dialer, Sent(1)), // because of the header, which is as early as TCP's answer
            (Listener, Received(9)),
            (Listener, Sent(7)),
            (Dialer, Received(7)),
            (Dialer, answer()),
        ];
        assert_eq!(round_trips(&entries).0, Some(2));
    }

    #[test]
    fn an_answer_in_pieces_is_one_flight() {
        let entries = [
            (Dialer, Sent(4)),
            (Dialer, Sent(5)),
            (Listener, Received(9)),
            (Listener, Sent(5)),
            (Listener, Sent(5)),
            (Dialer, Received(3)),
            (Dialer, Received(7)),
            (Dialer, answer()),
        ];
        assert_eq!(round_trips(&entries), (Some(2), 2));
    }

    #[test]
    fn arrows_are_equally_long_whatever_is_on_them() {
        for label in ["1 B", "1023 B", "64.5 MiB"] {
            assert_eq!(arrow(label, Dialer).chars().count(), ARROW);
            assert_eq!(arrow(label, Listener).chars().count(), ARROW);
        }
    }
}
