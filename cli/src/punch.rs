//! `tidewire punch`: connect through a relay, and show live how that becomes a direct connection, or why it does not.
//!
//! ```text
//!  dial the circuit --> identified --> the peer begins, or after a while we dial it --> direct, report --> details, exit code
//! ```

use crate::args::{self, Unusable};
use crate::listen::last;
use crate::node::{Setup, Signals};
use crate::output::{Output, Style, millis, note, one_line, span};
use crate::probe;
use crate::punching;
use crate::session::Session;
use crate::watch::Told;
use serde::Serialize;
use std::time::{Duration, Instant};
use tidewire_core::Multiaddr;
use tidewire_dcutr::coordinator::Event as Punch;
use tidewire_dcutr::{PROTOCOL, Report};
use tidewire_relay::circuit_address;

/// How long the peer has to begin, once it said who it is, before we dial it ourselves.
const THEIR_TURN: Duration = Duration::from_secs(3);

/// How long it has for a stream, if nothing was dialed by then: others dial directly for 10 s before they open it (go-libp2p).
const THEIR_STREAM: Duration = Duration::from_secs(15);

/// Over the direct connection.
const PINGS: u64 = 3;

/// The last line of `--json`: each key is always there.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// As `upgraded`, and as the exit code.
    ok: bool,
    upgraded: bool,
    /// Why there is no direct connection, or what went wrong when there was one.
    error: Option<String>,
    upgrade_ms: Option<f64>,
    direct_addr: Option<String>,
    report: Option<punching::Told>,
    /// What came of it, in one sentence.
    explanation: Option<String>,
}

/// Whether there is a direct connection.
pub(crate) async fn run(args: args::Punch, output: &Output) -> Result<bool, Unusable> {
    let mut setup = Setup::new(&args.node)?;
    // Whatever the configuration says: it is what is asked for.
    let default = tidewire_tokio::Config::default().punching;
    setup.config.host.punching = setup.config.host.punching.take().or(default);
    args::Punching { off: false, private: args.private }.apply(&mut setup.config.host.punching);
    (setup.listen, setup.announce) = (args.listen.clone(), args.announce.clone());
    if setup.listen.is_empty() {
        setup.listen.extend(args::EVERYWHERE.parse());
    }
    let result = async {
        let mut signals = Signals::install()?;
        attempt(&args, setup, &mut signals, output).await
    };
    let summary = result.await.unwrap_or_else(|error| Summary { error: Some(error), ..Summary::default() });
    let upgraded = summary.upgraded;
    if output.json {
        output.object(&summary);
    } else if let Some(error) = summary.error.as_ref().filter(|_| summary.error != summary.explanation) {
        // Unless it was shown with the details.
        note(error);
    }
    Ok(upgraded)
}

async fn attempt(args: &args::Punch, setup: Setup, signals: &mut Signals, output: &Output) -> Result<Summary, String> {
    let live = Live { began: Instant::now(), output: output.clone() };
    let mut session = tokio::select! {
        session = through(args, setup, &live) => session?,
        name = signals.next() => return Err(format!("ended by {name}")),
    };
    let summary = tokio::select! {
        summary = watch(args, &mut session, &live) => summary,
        name = signals.next() => {
            let mut summary = so_far(&mut session, Duration::ZERO).await.0;
            let explanation = summary.explanation.as_deref().unwrap_or_default();
            summary.error = Some(format!("ended by {name}; {explanation}"));
            Ok(summary)
        }
    };
    let report = session.close().await;
    let mut summary = summary?;
    // What was still under way ends with this.
    if let Some(report) = report.filter(|_| !summary.upgraded && summary.report.is_none()) {
        live.details(&report);
        summary.report = Some(punching::Told::new(report));
    }
    Ok(summary)
}

/// A circuit to the peer.
async fn through(args: &args::Punch, setup: Setup, live: &Live) -> Result<Session, String> {
    let relay = probe::who(&args.relay, &setup).await?;
    if relay == args.peer {
        return Err("the relay and the peer are one: there is nothing to punch".into());
    }
    let circuit = circuit_address(&args.relay.without_peer_id(), relay, args.peer)
        .ok_or_else(|| format!("{}: no circuit can be made of it", args.relay))?;
    let shown = live.clone();
    let session = Session::shown(&circuit, setup, false, move |told| shown.show(told)).await?;
    live.say(&format!("a circuit to {} through {}, after {}", last(args.peer), last(relay), span(session.took)));
    Ok(session)
}

async fn watch(args: &args::Punch, session: &mut Session, live: &Live) -> Result<Summary, String> {
    let (identity, _) = session.identity().await;
    let speaks = match &identity {
        Err(_) => true,
        Ok(identity) => identity.protocols.iter().any(|name| name == PROTOCOL),
    };
    let until = args.wait.min(session.age() + THEIR_STREAM);
    match identity {
        Err(why) => live.say(&format!("the peer does not say who it is: {why}")),
        Ok(_) if !speaks => {
            live.say(&format!("the peer does not speak {PROTOCOL}: only a plain dial of its addresses can help"));
        }
        Ok(_) if session.has_begun(Duration::ZERO).await => {}
        Ok(_) => live.say("waits for the peer, which was dialed, to begin"),
    }
    let patience = if speaks { THEIR_TURN } else { Duration::ZERO };
    let mut wait = args.wait;
    let direct = session.upgraded(session.age() + patience).await.is_some();
    if !direct && !session.is_punching() && !session.is_lost() {
        live.say("nothing has begun yet: we dial its addresses ourselves");
        session.punch()?;
        if !session.is_punching() {
            let hint = if args.private { "" } else { "; with --private those that are not public too" };
            live.say(&format!("it has told none that can be dialed{hint}"));
            if speaks {
                let left = until.saturating_sub(session.age());
                if !left.is_zero() {
                    let left = span(left);
                    live.say(&format!("all that is left is that the peer begins, which is waited for {left} more"));
                }
                if !session.has_begun(until).await {
                    wait = Duration::ZERO;
                }
            } else {
                wait = Duration::ZERO;
            }
        }
    }
    let (mut summary, report, took) = so_far(session, wait).await;
    let explanation = summary.explanation.as_deref().unwrap_or_default();
    match &report {
        Some(report) => {
            live.details(report);
            summary.error = took.is_none().then(|| explanation.to_owned());
        }
        None if took.is_some() => live.say(explanation),
        None => {
            let mut error = format!("no direct connection after {}; {explanation}", span(session.age()));
            if session.is_lost() {
                error = session.why(error).await;
            } else if !args.private && session.is_private() {
                error.push_str(
                    "; no public address of it is known: in one network, as in a laboratory, both ends need --private",
                );
            }
            summary.error = Some(error);
        }
    }
    if took.is_some() {
        match session.pings(PINGS).await {
            Ok(pings) => {
                let pings: Vec<_> = pings.iter().map(|took| span(*took)).collect();
                live.say(&format!("then pings: {}", pings.join(", ")));
            }
            // It was there all the same.
            Err(error) => summary.error = Some(format!("no ping over the direct connection: {error}")),
        }
        session.settle().await;
    }
    if let (Some(took), Some(at)) = (took, &summary.direct_addr) {
        let output = &live.output;
        live.people(&format!("{} after {}: {at}", output.paint(Style::Green, "direct"), span(took)));
    }
    Ok(summary)
}

/// What came of it, with the report and when it was direct: waited for until so long after the circuit stood.
async fn so_far(session: &mut Session, wait: Duration) -> (Summary, Option<Box<Report>>, Option<Duration>) {
    let took = session.upgraded(wait).await;
    let report = session.report(wait).await;
    // One that both ends did not keep was none.
    let took = took.filter(|_| session.is_direct() || report.as_deref().is_some_and(Report::is_upgraded));
    let summary = Summary {
        ok: took.is_some(),
        upgraded: took.is_some(),
        error: None,
        upgrade_ms: took.map(millis),
        direct_addr: session.direct_address().as_ref().map(Multiaddr::to_string),
        report: report.clone().map(punching::Told::new),
        explanation: Some(report.as_deref().map_or_else(|| session.explain_upgrade(), punching::sentence)),
    };
    (summary, report, took)
}

/// Shows what happens, with the time since the beginning. A clone is another handle.
#[derive(Clone)]
struct Live {
    began: Instant,
    output: Output,
}

impl Live {
    fn show(&self, told: &Told<'_>) {
        let Told::Punch(event) = told else { return };
        if self.output.json {
            punching::object(&self.output, event);
        } else if !matches!(event, Punch::Report(_)) {
            // Of the report all is shown at the end.
            self.say(&punching::words(event));
        }
    }

    fn say(&self, what: &str) {
        let at = self.output.paint(Style::Dim, &format!("{:>8.1} ms", millis(self.began.elapsed())));
        self.people(&format!("{at}  {}", one_line(what)));
    }

    fn people(&self, line: &str) {
        if !self.output.json {
            self.output.line(line);
        }
    }

    fn details(&self, report: &Report) {
        self.people("");
        report.details().to_string().lines().for_each(|line| self.people(&one_line(line)));
        report.tries.iter().filter_map(|one| punching::times(report.side, one)).for_each(|line| self.people(&line));
        self.people("");
        self.people(&self.output.paint(Style::Bold, &punching::sentence(report)));
    }
}
