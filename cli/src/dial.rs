//! `tidewire dial` and `dial-circuit`: connect, directly or through a relay, ask who is there, ping, echo, and perhaps hold the connection idle and ping again.

use crate::args::{self, Unusable, muxer_name, security_name};
use crate::keys;
use crate::listen::{Identity, last};
use crate::node::{Setup, Signals};
use crate::output::{Output, Progress, Style, millis, note, rate, size, span};
use crate::protocols::{self, ECHO};
use crate::session::{Pings, Session};
use serde::Serialize;
use std::time::{Duration, Instant};
use tidewire_core::Seed;

const PINGS: u64 = 3;

/// What `--json` prints when all went well.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    peer: String,
    security: String,
    muxer: &'static str,
    connect_ms: f64,
    ping_ms: Vec<f64>,
    echo: Echo,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ping_after_ms: Option<Vec<f64>>,
    identify: Identified,
    pushes: u32,
    /// Of a circuit: whether there is a direct connection by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    upgraded: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Echo {
    bytes: u64,
    ms: f64,
    ended: bool,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Identified {
    As(Identity),
    Not { error: String },
}

/// What `--json` prints when it did not.
#[derive(Debug, Serialize)]
struct Failure<'a> {
    ok: bool,
    error: &'a str,
}

/// Whether all went well.
pub(crate) async fn run(args: args::Dial, output: &Output) -> Result<bool, Unusable> {
    let mut setup = Setup::new(&args.node)?;
    (setup.listen, setup.announce) = (args.listen.clone(), args.announce.clone());
    let result = async {
        let mut signals = Signals::install()?;
        tokio::select! {
            result = session(&args, setup, output) => result,
            name = signals.next() => Err(format!("ended by {name}")),
        }
    };
    match result.await {
        Ok(report) => {
            if output.json {
                output.object(&report);
            }
            Ok(true)
        }
        Err(error) => {
            if output.json {
                output.object(&Failure { ok: false, error: &error });
            } else {
                note(&error);
            }
            Ok(false)
        }
    }
}

async fn session(args: &args::Dial, setup: Setup, output: &Output) -> Result<Report, String> {
    let patience = setup.patience();
    let mut session = Session::dial(&args.address, setup).await?;
    people(output, || {
        let who = output.paint(Style::Bold, &session.peer.to_string());
        let (security, muxer) = (security_name(&session.security), muxer_name(session.muxer));
        let through = args.address.relay_peer_id().map_or(String::new(), |relay| format!(" through {}", last(relay)));
        format!("connected to {who}{through} in {}: {security}, {muxer}", span(session.took))
    });
    let mut result = exchange(args, &mut session, patience, output).await;
    if let Err(error) = result {
        result = Err(session.why(error).await);
    }
    session.close().await;
    result
}

async fn exchange(
    args: &args::Dial,
    session: &mut Session,
    patience: Duration,
    output: &Output,
) -> Result<Report, String> {
    let seed = keys::entropy().map_err(|error| error.to_string())?;
    let pings = ping(session, &seed.derive("before", 0)).await?;
    people(output, || format!("ping {}", joined(&pings)));

    let stream = session.open(ECHO).await?;
    let mut progress = Progress::new(output, "echo", args.size);
    let echoed = protocols::echo(stream, args.size, &seed, patience, |back| progress.update(back))
        .await
        .map_err(|error| format!("{ECHO}: {error}"))?;
    drop(progress);
    people(output, || {
        let end = if echoed.ended { "" } else { "; the peer did not close the stream" };
        format!("echo {} in {}, {}{end}", size(echoed.bytes), span(echoed.took), rate(echoed.bytes, echoed.took))
    });

    let (mut held_ms, mut ping_after_ms) = (None, None);
    if let Some(hold) = args.hold {
        let began = Instant::now();
        session.hold(hold).await?;
        let idle = began.elapsed();
        let pings = ping(session, &seed.derive("after", 0)).await?;
        people(output, || format!("idle for {}, then ping {}", span(idle), joined(&pings)));
        (held_ms, ping_after_ms) = (Some(millis(idle)), Some(all_millis(&pings)));
    }

    let (identified, pushes) = session.identity().await;
    people(output, || match &identified {
        Ok(Identity { agent, protocols, .. }) => {
            let agent = agent.as_deref().unwrap_or("a program that has no name");
            format!("it is {agent}, and speaks {} protocols", protocols.len())
        }
        Err(why) => format!("it does not say who it is: {why}"),
    });
    Ok(Report {
        ok: true,
        peer: session.peer.to_string(),
        security: security_name(&session.security).to_owned(),
        muxer: muxer_name(session.muxer),
        connect_ms: millis(session.took),
        ping_ms: all_millis(&pings),
        echo: Echo { bytes: echoed.bytes, ms: millis(echoed.took), ended: echoed.ended },
        held_ms,
        ping_after_ms,
        identify: identified.map_or_else(|error| Identified::Not { error }, Identified::As),
        pushes,
        upgraded: args.address.is_relayed().then(|| session.is_direct()),
    })
}

/// Three pings.
async fn ping(session: &Session, seed: &Seed) -> Result<Vec<Duration>, String> {
    let mut pings = Pings::new(session, seed.derive("pings", 0));
    let mut took = Vec::new();
    for _ in 0..PINGS {
        took.push(pings.next().await?);
    }
    pings.finish().await;
    Ok(took)
}

fn people(output: &Output, line: impl FnOnce() -> String) {
    if !output.json {
        output.line(line());
    }
}

fn all_millis(pings: &[Duration]) -> Vec<f64> {
    pings.iter().map(|took| millis(*took)).collect()
}

fn joined(pings: &[Duration]) -> String {
    pings.iter().map(|took| span(*took)).collect::<Vec<_>>().join(", ")
}
