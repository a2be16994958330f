//! `tidewire ping`: how long an answer takes, again and again, and what it comes to: as ping(8).

use crate::args::{self, Unusable};
use crate::keys;
use crate::node::{Setup, Signals};
use crate::output::{Output, Style, millis, note, span};
use crate::session::{Pings, Session};
use serde::Serialize;
use std::time::Duration;
use tokio::time::sleep;

/// What `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Report {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    sent: u32,
    answered: u32,
    /// The last one is on its way.
    #[serde(skip)]
    waiting: bool,
    rtt_ms: Vec<f64>,
    #[serde(flatten)]
    statistics: Option<Statistics>,
}

/// Of all round trips, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Statistics {
    min_ms: f64,
    avg_ms: f64,
    max_ms: f64,
    /// The standard deviation, as ping(8) has it.
    mdev_ms: f64,
}

impl Statistics {
    #[allow(clippy::cast_precision_loss)]
    fn of(rtts: &[f64]) -> Option<Statistics> {
        let (min_ms, max_ms) = (rtts.iter().copied().reduce(f64::min)?, rtts.iter().copied().reduce(f64::max)?);
        let count = rtts.len() as f64;
        let avg_ms = rtts.iter().sum::<f64>() / count;
        let variance = rtts.iter().map(|rtt| (rtt - avg_ms).powi(2)).sum::<f64>() / count;
        // To the microsecond, as they were measured.
        let round = |ms: f64| (ms * 1000.0).round() / 1000.0;
        Some(Statistics { min_ms, avg_ms: round(avg_ms), max_ms, mdev_ms: round(variance.sqrt()) })
    }
}

/// Whether every ping was answered.
pub(crate) async fn run(args: args::Ping, output: &Output) -> Result<bool, Unusable> {
    let setup = Setup::new(&args.node)?;
    let mut report = Report::default();
    let result = session(&args, setup, output, &mut report).await;
    report.statistics = Statistics::of(&report.rtt_ms);
    report.ok = result.is_ok() && report.answered == report.sent && report.sent > 0;
    if output.json {
        report.error = result.err();
        output.object(&report);
    } else {
        summary(&args, &report, output);
        if let Err(error) = result {
            note(&error);
        }
    }
    Ok(report.ok)
}

async fn session(args: &args::Ping, setup: Setup, output: &Output, report: &mut Report) -> Result<(), String> {
    let mut signals = Signals::install()?;
    let mut session = tokio::select! {
        session = Session::dial(&args.address, setup) => session?,
        name = signals.next() => return Err(format!("ended by {name}")),
    };
    report.peer = Some(session.peer.to_string());
    let (identified, _) = session.identity().await;
    report.agent = identified.ok().and_then(|identity| identity.agent);
    if !output.json {
        let who = output.paint(Style::Bold, &session.peer.to_string());
        let agent = report.agent.as_deref().unwrap_or("a program that has no name");
        output.line(format!("PING {who} ({agent}), connected in {}", span(session.took)));
    }
    let result = tokio::select! {
        result = pings(args, &session, output, report) => result,
        _ = signals.next() => {
            // What was measured counts; the one that is on its way neither as answered nor as lost.
            report.sent -= u32::from(report.waiting);
            Ok(())
        }
    };
    session.close().await;
    result
}

async fn pings(args: &args::Ping, session: &Session, output: &Output, report: &mut Report) -> Result<(), String> {
    let mut pings = Pings::new(session, keys::entropy().map_err(|error| error.to_string())?);
    for number in 1..=args.count {
        if number > 1 {
            sleep(args.interval).await;
        }
        report.sent += 1;
        report.waiting = true;
        let answer = pings.next().await;
        report.waiting = false;
        match answer {
            Ok(rtt) => {
                report.answered += 1;
                report.rtt_ms.push(millis(rtt));
                people(output, || format!("32 bytes back: seq={number} time={}", exact(rtt)));
            }
            // Without a connection there is nothing to wait for.
            Err(error) if !session.is_there() => return Err(error),
            Err(error) => people(output, || format!("seq={number} {error}")),
        }
    }
    pings.finish().await;
    Ok(())
}

#[allow(clippy::cast_precision_loss)]
fn summary(args: &args::Ping, report: &Report, output: &Output) {
    let Report { sent, answered, .. } = *report;
    if sent == 0 {
        return;
    }
    let loss = 100.0 * f64::from(sent - answered) / f64::from(sent);
    output.line(format!("--- {} ping statistics ---", args.address));
    output.line(format!("{sent} sent, {answered} answered, {loss:.0} % lost"));
    if let Some(Statistics { min_ms, avg_ms, max_ms, mdev_ms }) = report.statistics {
        output.line(format!("rtt min/avg/max/mdev = {min_ms:.3}/{avg_ms:.3}/{max_ms:.3}/{mdev_ms:.3} ms"));
    }
}

fn exact(rtt: Duration) -> String {
    format!("{:.3} ms", millis(rtt))
}

fn people(output: &Output, line: impl FnOnce() -> String) {
    if !output.json {
        output.line(line());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_those_of_ping_8() {
        let all = Statistics::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!(all, Statistics { min_ms: 2.0, avg_ms: 5.0, max_ms: 9.0, mdev_ms: 2.0 });
        assert_eq!(Statistics::of(&[]), None);
    }
}
