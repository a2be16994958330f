//! `tidewire dial` and `dial-circuit`: connect, directly or through a relay, ask who is there, ping, echo, and perhaps hold the connection idle and ping again.

use crate::args::{self, Unusable, muxer_name, security_name};
use crate::keys;
use crate::listen::{Identity, last};
use crate::node::{Setup, Signals};
use crate::output::{Output, Progress, Style, millis, note, rate, size, span};
use crate::protocols::{self, ECHO, Echoed};
use crate::punching;
use crate::session::{LOST, Session};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    held_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ping_after_ms: Option<Vec<f64>>,
    identify: Identified,
    pushes: u32,
    #[serde(flatten)]
    found: Found,
}

/// What is there whether all went well or not. Of a circuit every key is.
#[derive(Debug, Default, Serialize)]
struct Found {
    /// Of a circuit: through the relay.
    echo: Option<Echo>,
    #[serde(flatten)]
    circuit: Option<Circuit>,
}

/// What became of a circuit.
#[derive(Debug, Default, Serialize)]
struct Circuit {
    /// Whether there is a direct connection by now.
    upgraded: bool,
    upgrade_ms: Option<f64>,
    direct_addr: Option<String>,
    direct_echo: Option<Echo>,
    /// The whole attempt, if it is over, and was ours too.
    report: Option<punching::Told>,
    /// What came of it, or is being done about it, in one sentence; `None`: nobody waited for it.
    explanation: Option<String>,
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
    /// Of a circuit.
    #[serde(flatten)]
    found: Option<Found>,
}

/// Whether all went well.
pub(crate) async fn run(args: args::Dial, output: &Output) -> Result<bool, Unusable> {
    let mut setup = Setup::new(&args.node)?;
    (setup.listen, setup.announce) = (args.listen.clone(), args.announce.clone());
    args.punching.apply(&mut setup.config.host.punching);
    if setup.listen.is_empty() && args.wait.is_some() && !args.punching.off {
        setup.listen.extend(args::EVERYWHERE.parse());
    }
    let relayed = args.address.is_relayed();
    let mut found = Found { echo: None, circuit: relayed.then(Circuit::default) };
    let result = async {
        let mut signals = Signals::install()?;
        session(&args, setup, &mut signals, &mut found, output).await
    };
    match result.await {
        Ok(all) => {
            if output.json {
                output.object(&Report { found, ..all });
            }
            Ok(true)
        }
        Err(error) => {
            if output.json {
                output.object(&Failure { ok: false, error: &error, found: relayed.then_some(found) });
            } else {
                note(&error);
            }
            Ok(false)
        }
    }
}

async fn session(
    args: &args::Dial,
    setup: Setup,
    signals: &mut Signals,
    found: &mut Found,
    output: &Output,
) -> Result<Report, String> {
    let patience = setup.patience();
    // Of a circuit the streams are there from its first moment, before anything direct can be: so they go through the relay.
    let mut session = tokio::select! {
        session = Session::shown(&args.address, setup, args.address.is_relayed(), |_| {}) => session?,
        name = signals.next() => return Err(format!("ended by {name}")),
    };
    people(output, || {
        let who = output.paint(Style::Bold, &session.peer.to_string());
        let (security, muxer) = (security_name(&session.security), muxer_name(session.muxer));
        let through = args.address.relay_peer_id().map_or(String::new(), |relay| format!(" through {}", last(relay)));
        format!("connected to {who}{through} in {}: {security}, {muxer}", span(session.took))
    });
    let result = tokio::select! {
        result = exchange(args, &mut session, patience, found, output) => match result {
            Err(error) => Err(session.why(error).await),
            fine => fine,
        },
        name = signals.next() => {
            if let Some(circuit) = found.circuit.as_mut().filter(|_| args.wait.is_some()) {
                let explanation = session.explain_upgrade();
                people(output, || explanation.clone());
                circuit.explanation = Some(explanation);
            }
            Err(format!("ended by {name}"))
        }
    };
    if let Some(circuit) = &mut found.circuit {
        circuit.upgraded = circuit.upgrade_ms.is_some() || session.is_direct();
    }
    let report = session.close().await;
    // Who waited, and not for long enough, gets what there is.
    if let Some(circuit) =
        found.circuit.as_mut().filter(|it| args.wait.is_some() && !it.upgraded && it.report.is_none())
    {
        circuit.report = report.map(punching::Told::new);
    }
    result
}

async fn exchange(
    args: &args::Dial,
    session: &mut Session,
    patience: Duration,
    found: &mut Found,
    output: &Output,
) -> Result<Report, String> {
    let seed = keys::entropy().map_err(|error| error.to_string())?;
    let echo = async |session: &mut Session| -> Result<Echo, String> {
        let stream = session.open(ECHO).await?;
        let way = if args.address.is_relayed() { " through the relay" } else { "" };
        Ok(Echo::of(&echo(args, stream, way, &seed, patience, output).await?))
    };
    let pings = if args.wait.is_some() {
        found.echo = Some(echo(session).await?);
        ping(session, output).await?
    } else {
        let pings = ping(session, output).await?;
        found.echo = Some(echo(session).await?);
        pings
    };
    if let (Some(wait), Some(circuit)) = (args.wait, &mut found.circuit) {
        direct(args, session, wait, &seed, patience, circuit, output).await?;
    }

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
        held_ms,
        ping_after_ms,
        identify: identified.map_or_else(|error| Identified::Not { error }, Identified::As),
        pushes,
        found: Found::default(),
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
    circuit: &mut Circuit,
    output: &Output,
) -> Result<(), String> {
    let mut upgraded = session.upgraded(wait).await.is_some();
    while upgraded {
        upgraded = false;
        let left = wait.saturating_sub(session.age());
        match over_it(args, session, left, seed, patience, output).await {
            Ok((at, took, echoed)) => {
                circuit.upgrade_ms = Some(millis(took));
                (circuit.direct_addr, circuit.direct_echo) = (Some(at.to_string()), Some(Echo::of(&echoed)));
            }
            // One that did not last until both ends knew of it: there may be another.
            Err(_) if session.age() < wait && !session.is_lost() => {
                tokio::time::sleep(AGAIN).await;
                upgraded = true;
            }
            Err(error) if session.is_direct() => return Err(error),
            // There was none that lasted: the circuit goes on.
            Err(_) => {}
        }
    }
    if circuit.direct_addr.is_none() {
        people(output, || format!("no direct connection after {}", span(session.age())));
    } else {
        session.settle().await;
    }
    circuit.report = session.report(wait).await.map(punching::Told::new);
    let explanation = match &circuit.report {
        Some(report) => report.sentence().to_owned(),
        None => session.explain_upgrade(),
    };
    people(output, || explanation.clone());
    circuit.explanation = Some(explanation);
    if session.is_lost() { Err(LOST.into()) } else { Ok(()) }
}

/// The echo over a direct connection, where that leads to, and how long after the circuit it stood. `left`: how long another one may
/// be waited for, if it was lost again.
async fn over_it(
    args: &args::Dial,
    session: &Session,
    left: Duration,
    seed: &Seed,
    patience: Duration,
    output: &Output,
) -> Result<(Multiaddr, Duration, Echoed), String> {
    let (stream, at, took) = session.open_directly(ECHO, left).await?;
    people(output, || format!("direct after {}: {}", span(took), output.paint(Style::Bold, &at.to_string())));
    let echoed = echo(args, stream, " directly", &seed.derive("direct", 0), patience, output).await?;
    Ok((at, took, echoed))
}

async fn echo(
    args: &args::Dial,
    stream: Stream,
    way: &str,
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
        let (bytes, took) = (echoed.bytes, echoed.took);
        format!("echo {}{way} in {}, {}{end}", size(bytes), span(took), rate(bytes, took))
    });
    Ok(echoed)
}

/// Three pings.
async fn ping(session: &mut Session, output: &Output) -> Result<Vec<Duration>, String> {
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
