//! Hole punches in words: wishes, what goes over the streams, what is tried and what came of it.

use super::words::{Kind, Whom, Words, flat, list, short, span};
use tidewire_core::{Multiaddr, PeerId};
use tidewire_dcutr::coordinator::{Event, Stage};
use tidewire_dcutr::exchange::{Fault, Heard};
use tidewire_dcutr::{Local, Plan, Report};
use tidewire_host::{AskNumber, ConnectionId, DialId, PunchCommand, StreamId};

/// A dial's name. Those of punches are counted apart, with the highest bit set.
pub(super) fn dial_name(dial: DialId) -> String {
    const PUNCHES: u64 = 1 << 63;
    if dial.0 & PUNCHES == 0 { dial.to_string() } else { format!("punch d{}", dial.0 & !PUNCHES) }
}

pub(super) fn of_command(command: &PunchCommand) -> Words {
    match command {
        PunchCommand::Punch { peer } => {
            Words::new(Kind::Wish, Whom::Peer(*peer), format!("punch to {}", short(peer)), "a direct connection, now")
        }
        PunchCommand::Cancel { peer } => {
            Words::new(Kind::Wish, Whom::Peer(*peer), format!("punch no more to {}", short(peer)), "")
        }
        other => Words::new(Kind::Wish, Whom::Nobody, "punch", format!("{other:?}")),
    }
}

/// We open the stream.
pub(super) fn of_open(connection: ConnectionId, ask: AskNumber, ours: &[Multiaddr]) -> (String, String) {
    (format!("{ask}: CONNECT"), format!("we are at {}, on {connection}", list(ours)))
}

pub(super) fn of_sync(connection: ConnectionId, ask: AskNumber) -> (String, String) {
    (format!("{ask}: SYNC"), format!("dial when this comes, on {connection}"))
}

/// We answer.
pub(super) fn of_connect(connection: ConnectionId, stream: StreamId, ours: &[Multiaddr]) -> (String, String) {
    ("reply: CONNECT".into(), format!("we are at {}, stream {stream} on {connection}", list(ours)))
}

/// What came on such a stream.
pub(super) fn of_heard(
    connection: ConnectionId,
    ask: Option<AskNumber>,
    stream: StreamId,
    heard: &Result<Heard, Box<Fault>>,
) -> (String, String) {
    let on = format!("stream {stream} on {connection}");
    let (word, rest) = match heard {
        Ok(Heard::Connect { addresses, skipped, dropped, rtt }) => {
            let mut rest = format!("it is at {}, ", list(addresses));
            if skipped + dropped > 0 {
                rest.push_str(&format!("{} entries left out, ", skipped + dropped));
            }
            if let Some(rtt) = rtt {
                rest.push_str(&format!("round trip {}, ", span(*rtt)));
            }
            ("CONNECT", rest)
        }
        Ok(Heard::Sync { rtt }) => ("SYNC", format!("round trip {}, ", span(*rtt))),
        Ok(other) => ("punch", format!("{other:?}, ")),
        Err(fault) => ("punch stream failed", format!("{fault}, ")),
    };
    (ask.map_or_else(|| word.to_owned(), |ask| format!("{ask}: {word}")), format!("{rest}{on}"))
}

pub(super) fn of_event(event: &Event) -> Words {
    let about = |peer: &PeerId, label: &str, detail: String| Words::new(Kind::Event, Whom::Peer(*peer), label, detail);
    match event {
        Event::Started { peer, side } => about(peer, "punch begins", format!("to {}, we are side {side}", short(peer))),
        Event::Stage { peer, stage: Stage::Armed { number, wait } } => {
            about(peer, "punch", format!("try {number}: sent SYNC, dials in {}, half of the round trip", span(*wait)))
        }
        Event::Stage { peer, stage } => about(peer, "punch", stage.to_string()),
        Event::Dialing { peer, dial, address, local, plan } => {
            let from = if let Local::Reuse(from) = local { format!(" from {from}") } else { String::new() };
            about(peer, &format!("punch {dial} dials"), format!("{address}{from}, {}", role(*plan)))
        }
        Event::Outcome { peer, dial, outcome } => about(peer, &format!("punch {dial}"), outcome.to_string()),
        Event::Report(report) => about(&report.peer, &of_report(report), details(report)),
        other => Words::new(Kind::Event, Whom::Nobody, "punch", format!("{other:?}")),
    }
}

fn role(plan: Plan) -> String {
    match plan {
        Plan::Initiate => "we propose".into(),
        Plan::Respond => "we answer".into(),
        Plan::ListenFirst { wait } => format!("we listen for {}, then propose", span(wait)),
        other => format!("{other:?}"),
    }
}

fn of_report(report: &Report) -> String {
    if report.is_upgraded() { "punch: direct".into() } else { "punch: not direct".into() }
}

/// The sentence, and all that it rests on.
fn details(report: &Report) -> String {
    let all = report.details().to_string();
    // The first line has the sentence behind who it is about.
    let rest = all.split_once('\n').map_or("", |(_, rest)| rest);
    if rest.is_empty() { report.to_string() } else { format!("{report}; {}", flat(rest)) }
}
