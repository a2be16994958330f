//! What is told of hole punches: how a relayed connection becomes a direct one, or why it does not.

use crate::listen::short;
use crate::output::{Output, Style, millis, one_line, span};
use serde::Serialize;
use tidewire_core::{Multiaddr, PeerId};
use tidewire_dcutr::coordinator::{Event as E, Stage};
use tidewire_dcutr::report::{Outcome, Report, Side, Try};
use tidewire_dcutr::{Local, Plan};

/// A line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "event")]
enum Event {
    #[serde(rename = "punch_started")]
    Started { peer: String, side: String },
    #[serde(rename = "punch_stage")]
    Stage {
        peer: String,
        stage: &'static str,
        #[serde(rename = "try", skip_serializing_if = "Option::is_none")]
        number: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        dials: Option<u32>,
        /// Half of the round trip, at B.
        #[serde(skip_serializing_if = "Option::is_none")]
        half_rtt_ms: Option<f64>,
    },
    #[serde(rename = "punch_dialing")]
    Dialing {
        peer: String,
        dial: u64,
        address: String,
        /// The port that it goes out from; absent: any.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        plan: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        listen_ms: Option<f64>,
    },
    #[serde(rename = "punch_outcome")]
    Outcome { peer: String, dial: u64, outcome: &'static str, reason: String },
    #[serde(rename = "punch_report")]
    Report { peer: String, upgraded: bool, report: Told },
    #[serde(rename = "punch_other")]
    Other { says: String },
}

/// A report for programs, with the sentence for people.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    sentence: String,
    #[serde(flatten)]
    report: Box<Report>,
}

impl Told {
    pub(crate) fn new(report: Box<Report>) -> Self {
        Told { sentence: sentence(&report), report }
    }

    /// What came of it, and why.
    pub(crate) fn sentence(&self) -> &str {
        &self.sentence
    }
}

/// The report in one sentence, which may hold words of the peer's.
pub(crate) fn sentence(report: &Report) -> String {
    one_line(&report.to_string())
}

/// With whom.
pub(crate) fn peer_of(event: &E) -> Option<PeerId> {
    match event {
        E::Started { peer, .. } | E::Stage { peer, .. } | E::Dialing { peer, .. } | E::Outcome { peer, .. } => {
            Some(*peer)
        }
        E::Report(report) => Some(report.peer),
        _ => None,
    }
}

/// A line for programs.
pub(crate) fn object(output: &Output, event: &E) {
    output.event_object(&of(event));
}

fn of(event: &E) -> Event {
    match event {
        E::Started { peer, side } => Event::Started { peer: peer.to_string(), side: side.to_string() },
        E::Stage { peer, stage } => of_stage(peer, stage),
        E::Dialing { peer, dial, address, local, plan } => {
            let (plan, listen) = of_plan(*plan);
            Event::Dialing {
                peer: peer.to_string(),
                dial: dial.0,
                address: address.to_string(),
                from: from(local).map(ToString::to_string),
                plan,
                listen_ms: listen.map(millis),
            }
        }
        E::Outcome { peer, dial, outcome } => Event::Outcome {
            peer: peer.to_string(),
            dial: dial.0,
            outcome: of_outcome(outcome),
            reason: one_line(&outcome.to_string()),
        },
        E::Report(report) => Event::Report {
            peer: report.peer.to_string(),
            upgraded: report.is_upgraded(),
            report: Told::new(report.clone()),
        },
        other => Event::Other { says: one_line(&format!("{other:?}")) },
    }
}

fn of_stage(peer: &PeerId, stage: &Stage) -> Event {
    let (mut number, mut dials, mut half_rtt_ms) = (None, None, None);
    let stage = match stage {
        Stage::Direct { dials: count } => {
            dials = Some(*count);
            "direct"
        }
        Stage::WaitConnect { number: n } => {
            number = Some(*n);
            "wait_connect"
        }
        Stage::Armed { number: n, wait } => {
            (number, half_rtt_ms) = (Some(*n), Some(millis(*wait)));
            "armed"
        }
        Stage::AwaitSync { number: n } => {
            number = Some(*n);
            "await_sync"
        }
        Stage::Punching { number: n, dials: count } => {
            (number, dials) = (Some(*n), Some(*count));
            "punching"
        }
        Stage::Settling { .. } => "settling",
        Stage::Between { number: n } => {
            number = Some(*n);
            "between"
        }
        _ => "other",
    };
    Event::Stage { peer: peer.to_string(), stage, number, dials, half_rtt_ms }
}

fn of_plan(plan: Plan) -> (&'static str, Option<core::time::Duration>) {
    match plan {
        Plan::Initiate => ("initiate", None),
        Plan::Respond => ("respond", None),
        Plan::ListenFirst { wait } => ("listen_first", Some(wait)),
        _ => ("other", None),
    }
}

fn of_outcome(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Running => "running",
        Outcome::Connected(_) => "connected",
        Outcome::Failed(_) => "failed",
        Outcome::Cancelled => "cancelled",
        Outcome::Datagrams { .. } => "datagrams",
        _ => "other",
    }
}

fn from(local: &Local) -> Option<&Multiaddr> {
    if let Local::Reuse(from) = local { Some(from) } else { None }
}

/// In which role a socket is made, in words.
pub(crate) fn role(plan: Plan) -> String {
    match plan {
        Plan::Initiate => "we propose".into(),
        Plan::Respond => "we answer".into(),
        Plan::ListenFirst { wait } => format!("we listen for {}, then propose", span(wait)),
        other => format!("{other:?}"),
    }
}

/// What happens, without who the peer is.
pub(crate) fn words(event: &E) -> String {
    match event {
        E::Started { side, .. } => format!("begins, we are side {side}"),
        E::Stage { stage: Stage::Armed { number, wait }, .. } => {
            format!(
                "try {number}: sent SYNC, dials in {}, half of the round trip of {}",
                span(*wait),
                span(wait.saturating_mul(2))
            )
        }
        E::Stage { stage, .. } => stage.to_string(),
        E::Dialing { dial, address, local, plan, .. } => {
            let from = from(local).map_or(String::new(), |from| format!(" from {from}"));
            format!("{dial}: dials {address}{from}, {}", role(*plan))
        }
        E::Outcome { dial, outcome, .. } => one_line(&format!("{dial}: {outcome}")),
        E::Report(report) => sentence(report),
        other => one_line(&format!("{other:?}")),
    }
}

/// A line for people, of a node that has other things to tell too.
pub(crate) fn line(output: &Output, event: &E) -> Option<String> {
    let who = short(output, peer_of(event)?);
    Some(match event {
        E::Report(report) if !report.is_upgraded() => {
            let head = output.paint(Style::Yellow, "not direct:");
            format!("{head} {who} {}", sentence(report))
        }
        E::Report(_) => format!("{who} {}", words(event)),
        event => output.paint(Style::Dim, &format!("{who} punch: {}", words(event))),
    })
}

/// The times of a try that say how well both sides met.
pub(crate) fn times(side: Side, one: &Try) -> Option<String> {
    let (rtt, half) = (one.rtt?, one.half_rtt()?);
    // A has no moment of the peer's to compare with, but what it reckons from its own.
    let skew = one.skew().filter(|_| side == Side::B);
    let apart =
        skew.map_or(String::new(), |skew| format!("; both sides dialed {} apart, as far as we know", span(skew)));
    Some(format!(
        "try {}: a round trip over the relay takes {}, half of it {}{apart}",
        one.number,
        span(rtt),
        span(half)
    ))
}
