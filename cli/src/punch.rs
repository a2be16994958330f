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
use tidewire_dcutr::PROTOCOL;
use tidewire_dcutr::coordinator::Event as Punch;
use tidewire_relay::circuit_address;

/// How long the peer has to begin, once it said who it is, before we dial it ourselves.
const THEIR_TURN: Duration = Duration::from_secs(3);

/// Over the direct connection.
const PINGS: u64 = 3;

/// The last line of `--json`: each key is always there.
#[derive(Debug, Default, Serialize)]
struct Summary {
    ok: bool,
    upgraded: bool,
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
    } else if let Some(error) = &summary.error {
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
            let explanation = session.explain_upgrade();
            let error = Some(format!("ended by {name}; {explanation}"));
            Ok(Summary { error, explanation: Some(explanation), ..Summary::default() })
        }
    };
    session.close().await;
    summary
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
    live.say(&match identity {
        Err(why) => format!("the peer does not say who it is: {why}"),
        Ok(_) if speaks => "the peer punches: it opens the stream, being the one that was dialed".into(),
        Ok(_) => format!("the peer does not speak {PROTOCOL}: only a plain dial of its addresses can help"),
    });
    let patience = if speaks { THEIR_TURN } else { Duration::ZERO };
    let mut wait = args.wait;
    if session.upgraded(session.age() + patience).await.is_none() && !session.is_punching() {
        live.say("nothing has begun yet: we dial its addresses ourselves");
        session.punch()?;
        if !session.is_punching() {
            let hint = if args.private { "" } else { "; with --private those that are not public too" };
            live.say(&format!("it has told none that can be dialed{hint}"));
            if speaks {
                let left = span(wait.saturating_sub(session.age()));
                live.say(&format!("all that is left is that the peer begins, which is waited for {left} more"));
            } else {
                wait = Duration::ZERO;
            }
        }
    }
    let took = session.upgraded(wait).await;
    let report = session.report(wait).await;
    // One that both ends did not keep was none.
    let took =
        took.filter(|_| session.is_direct() || report.as_deref().is_some_and(tidewire_dcutr::Report::is_upgraded));
    let mut summary =
        Summary { ok: took.is_some(), upgraded: took.is_some(), upgrade_ms: took.map(millis), ..Summary::default() };
    summary.direct_addr = session.direct_address().as_ref().map(Multiaddr::to_string);
    let explanation = report.as_deref().map_or_else(|| session.explain_upgrade(), punching::sentence);
    match &report {
        Some(report) => live.details(report),
        None if took.is_some() => live.say(&explanation),
        None => summary.error = Some(format!("no direct connection after {}; {explanation}", span(session.age()))),
    }
    summary.explanation = Some(explanation);
    if took.is_some() {
        let pings = session.pings(PINGS).await?;
        session.settle().await;
        live.say(&format!("then pings: {}", pings.iter().map(|took| span(*took)).collect::<Vec<_>>().join(", ")));
    }
    if let (Some(took), Some(at)) = (took, &summary.direct_addr) {
        let output = &live.output;
        live.people(&format!("{} after {}: {at}", output.paint(Style::Green, "direct"), span(took)));
    }
    summary.report = report.map(punching::Told::new);
    Ok(summary)
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

    fn details(&self, report: &tidewire_dcutr::Report) {
        self.people("");
        report.details().to_string().lines().for_each(|line| self.people(&one_line(line)));
        report.tries.iter().filter_map(punching::times).for_each(|line| self.people(&line));
        self.people("");
        self.people(&self.output.paint(Style::Bold, &punching::sentence(report)));
    }
}
