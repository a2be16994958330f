//! `tidewire dial`: connect, ping, echo, and perhaps hold the connection idle and ping again.

use crate::args::{self, Unusable};
use crate::keys;
use crate::node::{self, Signals};
use crate::output::{Output, Progress, Style, millis, note, rate, size, span};
use crate::protocols::{self, ECHO, PING};
use serde::Serialize;
use std::time::{Duration, Instant};
use tidewire_core::Seed;
use tidewire_multistream as multistream;
use tidewire_tokio::{Connection, DialError, Endpoint, Stream, UpgradeFailed};
use tidewire_upgrade::connection::Selection;
use tidewire_upgrade::pipeline::UpgradeError;
use tokio::time::timeout;

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
}

#[derive(Debug, Serialize)]
struct Echo {
    bytes: u64,
    ms: f64,
    ended: bool,
}

/// What `--json` prints when it did not.
#[derive(Debug, Serialize)]
struct Failure<'a> {
    ok: bool,
    error: &'a str,
}

/// Whether all went well.
pub(crate) async fn run(args: args::Dial, output: &Output) -> Result<bool, Unusable> {
    let upgrader = node::upgrader(&args.node)?;
    let result = async {
        let mut signals = Signals::install().map_err(|error| format!("signals can't be heard: {error}"))?;
        let endpoint = Endpoint::new(upgrader).map_err(|error| error.to_string())?;
        tokio::select! {
            result = session(&args, &endpoint, output) => result,
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

async fn session(args: &args::Dial, endpoint: &Endpoint, output: &Output) -> Result<Report, String> {
    let patience = args.node.timeout;
    let began = Instant::now();
    let connection = timeout(patience, endpoint.dial(&args.address))
        .await
        .map_err(|_| format!("{} did not answer within {}", args.address, span(patience)))?
        .map_err(|error| format!("{error}{}", hint(&error, args.node.psk.is_some())))?;
    let connected = began.elapsed();

    let (peer, security) = (connection.peer().to_string(), args::security_name(connection.security()).to_owned());
    let muxer = args::muxer_name(connection.muxer());
    people(output, || {
        let who = output.paint(Style::Bold, &peer);
        format!("connected to {who} in {}: {security}, {muxer}", span(connected))
    });

    // Peers ping back, or ask who we are; they must not wait for an answer in vain.
    let inbound = connection.clone();
    let serving = tokio::spawn(async move { node::serve(&inbound, |_| {}).await });
    let result = exchange(args, &connection, output).await;
    node::close(&connection).await;
    serving.abort();
    let (ping_ms, echo, held) = result?;

    let (held_ms, ping_after_ms) = held.map_or((None, None), |(held, pings)| (Some(held), Some(pings)));
    let connect_ms = millis(connected);
    Ok(Report { ok: true, peer, security, muxer, connect_ms, ping_ms, echo, held_ms, ping_after_ms })
}

/// What to look at, where bytes that make no sense leave only a guess.
fn hint(error: &DialError, private: bool) -> &'static str {
    let DialError::Upgrade { error, .. } = error else { return "" };
    let guess = match &**error {
        // Of a remote that says nothing, or hangs up, the error itself says so.
        UpgradeFailed::Upgrade(UpgradeError::SelectSecurity(
            multistream::Error::Refused { .. } | multistream::Error::EndedEarly { .. },
        )) => false,
        UpgradeFailed::Upgrade(UpgradeError::SelectSecurity(_)) | UpgradeFailed::Socket { .. } => true,
        _ => false,
    };
    match (guess, private) {
        (false, _) => "",
        (true, true) => " (does the other end have the same private network key?)",
        (true, false) => " (is this libp2p? is it in a private network?)",
    }
}

type Exchanged = (Vec<f64>, Echo, Option<(f64, Vec<f64>)>);

async fn exchange(args: &args::Dial, connection: &Connection, output: &Output) -> Result<Exchanged, String> {
    let (patience, selection) = (args.node.timeout, args.node.selection);
    let seed = keys::entropy().map_err(|error| error.to_string())?;

    let pings = ping(connection, selection, patience, &seed.derive("before", 0)).await?;
    people(output, || format!("ping {}", joined(&pings)));

    let stream = open(connection, ECHO, selection, patience).await?;
    let mut progress = Progress::new(output, "echo", args.size);
    let echoed = protocols::echo(stream, args.size, &seed, patience, |back| progress.update(back))
        .await
        .map_err(|error| format!("{ECHO}: {error}"))?;
    drop(progress);
    people(output, || {
        let end = if echoed.ended { "" } else { "; the peer did not close the stream" };
        format!("echo {} in {}, {}{end}", size(echoed.bytes), span(echoed.took), rate(echoed.bytes, echoed.took))
    });
    let echo = Echo { bytes: echoed.bytes, ms: millis(echoed.took), ended: echoed.ended };

    let mut held = None;
    if let Some(hold) = args.hold {
        let began = Instant::now();
        tokio::select! {
            () = tokio::time::sleep(hold) => {}
            closed = connection.closed() => {
                return Err(format!("idle for {}, then the connection was over: {closed}", span(began.elapsed())));
            }
        }
        let idle = began.elapsed();
        let pings = ping(connection, selection, patience, &seed.derive("after", 0)).await?;
        people(output, || format!("idle for {}, then ping {}", span(idle), joined(&pings)));
        held = Some((millis(idle), all_millis(&pings)));
    }
    Ok((all_millis(&pings), echo, held))
}

/// Three pings on one stream; on one stream each, with a peer that wants it so.
async fn ping(
    connection: &Connection,
    selection: Selection,
    patience: Duration,
    seed: &Seed,
) -> Result<Vec<Duration>, String> {
    let mut pings = Vec::new();
    let mut stream = open(connection, PING, selection, patience).await?;
    let mut fresh = true;
    while (pings.len() as u64) < PINGS {
        match protocols::ping(&mut stream, &seed.derive("ping", pings.len() as u64), patience).await {
            Ok(took) => {
                pings.push(took);
                fresh = false;
            }
            Err(error) if !fresh && protocols::wants_new_stream(&error) => {
                stream = open(connection, PING, selection, patience).await?;
                fresh = true;
            }
            Err(error) => return Err(format!("{PING}: {error}")),
        }
    }
    finish(stream, patience).await;
    Ok(pings)
}

/// Closes our side; what the peer does with its own is its affair.
async fn finish(mut stream: Stream, patience: Duration) {
    let _ = timeout(patience, tokio::io::AsyncWriteExt::shutdown(&mut stream)).await;
}

async fn open(
    connection: &Connection,
    protocol: &'static str,
    selection: Selection,
    patience: Duration,
) -> Result<Stream, String> {
    timeout(patience, connection.open(&protocols::proposal(protocol), selection))
        .await
        .map_err(|_| format!("{protocol}: no answer within {}", span(patience)))?
        .map_err(|error| format!("{protocol}: {error}"))
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
