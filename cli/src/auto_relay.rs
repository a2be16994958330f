//! `listen --auto-relay`: which relays are tried, which of them are none for us and why, and what is waited for.
//!
//! ```text
//!  the command line  ------------------------> relay_candidate
//!  Event::AutoRelay  --Watcher, Told---------> relay_dropped
//!  AutoRelay::explain, when it changed ------> auto_relay
//! ```
//! That a reservation is held, renewed or lost is told by the [client](crate::relaying), and what is announced by the
//! [listener](crate::listen).

use crate::listen::short;
use crate::output::{Output, Style, span};
use serde::Serialize;
use std::time::{Duration, Instant};
use tidewire_core::Time;
use tidewire_relay::autorelay::{Candidate, Event, Explanation, Waiting};
use tidewire_tokio::{Host, Node};

/// Between two looks, where nothing is told that would be a reason for one.
const LOOK: Duration = Duration::from_millis(250);

/// A line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    RelayCandidate { relay: String, addresses: Vec<String> },
    RelayDropped { relay: String, reason: String, retry_seconds: f64 },
    AutoRelay { reachability: String, held: Vec<String>, wanted: u32, waiting: &'a str, explanation: String },
}

/// A relay that was named, and is going to be tried.
pub(crate) fn candidate(output: &Output, candidate: &Candidate) {
    let addresses: Vec<String> = candidate.addresses.iter().map(ToString::to_string).collect();
    if output.json {
        output.event_object(&Line::RelayCandidate { relay: candidate.peer.to_string(), addresses });
    } else {
        let who = short(output, candidate.peer);
        output.event(format!("a relay to try: {who} at {}", addresses.join(", ")));
    }
}

pub(crate) fn object(output: &Output, event: &Event) {
    if let Event::Dropped { relay, why, pause } = event {
        let (relay, reason) = (relay.to_string(), why.to_string());
        output.event_object(&Line::RelayDropped { relay, reason, retry_seconds: pause.as_secs_f64() });
    }
}

pub(crate) fn line(output: &Output, event: &Event) -> Option<String> {
    let Event::Dropped { relay, why, pause } = event else { return None };
    Some(format!(
        "{} {} as a relay: {why}; left alone for {}",
        output.paint(Style::Yellow, "dropped:"),
        short(output, *relay),
        span(*pause)
    ))
}

/// Tells what is held and waited for, each time that it changed, until it is dropped. `began`: when the node did.
pub(crate) async fn explain(node: &Node, began: Instant, output: &Output) {
    let mut events = node.events();
    let mut told: Option<Explanation> = None;
    loop {
        let look = |host: &Host| host.autorelay().map(|auto| auto.explain(Time::ZERO + began.elapsed()));
        if let Some(now) = node.host(look)
            && told.as_ref().is_none_or(|before| !is_same(before, &now))
        {
            tell(output, &now);
            told = Some(now);
        }
        tokio::select! {
            notice = events.next() => if notice.is_none() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// But for the time that is left, and for who is tried just now.
fn is_same(a: &Explanation, b: &Explanation) -> bool {
    let of = |it: &Explanation| (it.reachability, it.wanted, core::mem::discriminant(&it.waiting));
    of(a) == of(b) && a.held == b.held
}

fn tell(output: &Output, now: &Explanation) {
    if !output.json {
        output.event(output.paint(Style::Dim, &format!("auto relay: {now}")));
        return;
    }
    output.event_object(&Line::AutoRelay {
        reachability: now.reachability.to_string(),
        held: now.held.iter().map(ToString::to_string).collect(),
        wanted: now.wanted,
        waiting: word(&now.waiting),
        explanation: now.to_string(),
    });
}

fn word(waiting: &Waiting) -> &'static str {
    match waiting {
        Waiting::NotNeeded => "not_needed",
        Waiting::Complete => "complete",
        Waiting::Reservation(_) => "reservation",
        Waiting::BootDelay(_) => "boot_delay",
        Waiting::Probes(_) => "probes",
        Waiting::Source(_) => "source",
        Waiting::Backoff(_) => "backoff",
        _ => "other",
    }
}
