//! `tidewire dial` and `dial-circuit`: connect, directly or through a relay, ask who is there, ping, echo, and perhaps hold the connection idle and ping again.

use crate::args::{self, Unusable, muxer_name, security_name};
use crate::keys;
use crate::listen::{Identity, last};
use crate::node::{Setup, Signals};
use crate::output::{Output, Progress, Style, millis, note, rate, size, span};
use crate::protocols::{self, ECHO, Echoed};
use crate::punching;
use crate::session::Session;
use serde::Serialize;
use std::time::{Duration, Instant};
use tidewire_core::{Multiaddr, Seed};
use tidewire_tokio::Stream;

const PINGS: u64 = 3;
/// Before an echo over a direct connection is tried again.
const AGAIN: Duration = Duration::from_millis(200);

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
    #[serde(flatten)]
    direct: Direct,
}

/// What came of waiting for a direct connection.
#[derive(Debug, Default, Serialize)]
struct Direct {
    #[serde(skip_serializing_if = "Option::is_none")]
    upgrade_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direct_addr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direct_echo: Option<Echo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<punching::Told>,
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
    args.punching.apply(&mut setup.config.host.punching);
    if setup.listen.is_empty() && args.wait.is_some() && !args.punching.off {
        setup.listen.extend(args::EVERYWHERE.parse());
    }
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
    let echo = async |session: &Session| echo(args, session.open(ECHO).await?, &seed, patience, output).await;
    let (pings, echoed) = if args.wait.is_some() {
        // Before there is anything but the circuit.
        let echoed = echo(session).await?;
        (ping(session, output).await?, echoed)
    } else {
        (ping(session, output).await?, echo(session).await?)
    };
    let direct = match args.wait {
        Some(wait) => direct(args, session, wait, &seed, patience, output).await?,
        None => Direct::default(),
    };

    let (mut held_ms, mut ping_after_ms) = (None, None);
    if let Some(hold) = args.hold {
        let began = Instant::now();
        session.hold(hold).await?;
        let idle = began.elapsed();
        people(output, || format!("idle for {}", span(idle)));
        let pings = ping(session, output).await?;
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
        echo: Echo::of(&echoed),
        held_ms,
        ping_after_ms,
        identify: identified.map_or_else(|error| Identified::Not { error }, Identified::As),
        pushes,
        upgraded: args.address.is_relayed().then(|| direct.upgrade_ms.is_some() || session.is_direct()),
        direct,
    })
}

impl Echo {
    fn of(echoed: &Echoed) -> Echo {
        Echo { bytes: echoed.bytes, ms: millis(echoed.took), ended: echoed.ended }
    }
}

/// Waits for the direct connection, and has the same echoed on it.
async fn direct(
    args: &args::Dial,
    session: &mut Session,
    wait: Duration,
    seed: &Seed,
    patience: Duration,
    output: &Output,
) -> Result<Direct, String> {
    let mut direct = Direct::default();
    let mut upgraded = session.upgraded(wait).await;
    while let Some(took) = upgraded.take() {
        match over_it(args, session, seed, patience, output).await {
            Ok((at, echoed)) => {
                people(output, || {
                    format!("direct since {}: {}", span(took), output.paint(Style::Bold, &at.to_string()))
                });
                direct.upgrade_ms = Some(millis(took));
                (direct.direct_addr, direct.direct_echo) = (Some(at.to_string()), Some(Echo::of(&echoed)));
            }
            // One that did not last until both ends knew of it: there may be another.
            Err(_) if session.age() < wait => {
                tokio::time::sleep(AGAIN).await;
                upgraded = Some(session.age());
            }
            Err(error) => return Err(error),
        }
    }
    if direct.direct_addr.is_none() {
        people(output, || format!("no direct connection after {}", span(session.age())));
    }
    if direct.direct_addr.is_some() {
        session.settle().await;
    }
    if let Some(report) = session.report(wait).await {
        people(output, || punching::sentence(&report));
        direct.report = Some(punching::Told::new(report));
    }
    Ok(direct)
}

/// The echo over a direct connection, and where that leads to.
async fn over_it(
    args: &args::Dial,
    session: &Session,
    seed: &Seed,
    patience: Duration,
    output: &Output,
) -> Result<(Multiaddr, Echoed), String> {
    let (stream, at) = session.open_directly(ECHO).await?;
    let echoed = echo(args, stream, &seed.derive("direct", 0), patience, output).await?;
    Ok((at, echoed))
}

async fn echo(
    args: &args::Dial,
    stream: Stream,
    seed: &Seed,
    patience: Duration,
    output: &Output,
) -> Result<Echoed, String> {
    let mut progress = Progress::new(output, "echo", args.size);
    let echoed = protocols::echo(stream, args.size, seed, patience, |back| progress.update(back))
        .await
        .map_err(|error| format!("{ECHO}: {error}"))?;
    drop(progress);
    people(output, || {
        let end = if echoed.ended { "" } else { "; the peer did not close the stream" };
        format!("echo {} in {}, {}{end}", size(echoed.bytes), span(echoed.took), rate(echoed.bytes, echoed.took))
    });
    Ok(echoed)
}

/// Three pings.
async fn ping(session: &Session, output: &Output) -> Result<Vec<Duration>, String> {
    let took = session.pings(PINGS).await?;
    people(output, || format!("ping {}", joined(&took)));
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
