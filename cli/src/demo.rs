//! `tidewire demo`: both ends in one process, over loopback TCP, told in chapters.
//!
//! ```text
//!  Connection   one dial, one stream, one ping; the picture of it       one thread, so that the order is the true one
//!  Patience     the same, waiting for every answer; only its round trips
//!  Echo         bytes through a connection, as fast as they go          all cores
//! ```
//! A chapter is a function in [`CHAPTERS`]; what it found out goes to the [`Summary`], the last line.

use crate::args;
use crate::keys;
use crate::listen::short;
use crate::node;
use crate::output::{Output, Progress, Style, millis, note, rate, size, span};
use crate::protocols::{self, ECHO, PING};
use crate::timeline::{Recorder, Row, Side, Timeline, What};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tidewire_core::{Keypair, Multiaddr, PeerId};
use tidewire_tokio::{Connection, Endpoint, Listener, Observed, Observer};
use tidewire_upgrade::connection::{By, Event, Selection};
use tidewire_upgrade::pipeline::{Config, How, Progress as Upgrading, Stage as Part};
use tokio::runtime::Builder;
use tokio::time::timeout;

/// Nothing here takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(10);
const PINGS: u64 = 5;

type Chapter = fn(&mut Stage<'_>) -> Result<(), String>;
const CHAPTERS: [(&str, Chapter); 3] = [("A connection", connection), ("With patience", patience), ("An echo", echo)];

/// What a chapter works with.
struct Stage<'a> {
    output: &'a Output,
    size: u64,
    summary: Summary,
}

/// The last line of `--json`.
#[derive(Debug, Default, Serialize)]
struct Summary {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    security: String,
    muxer: String,
    round_trips: u32,
    patient_round_trips: u32,
    ping_ms: Vec<f64>,
    echo: Option<Echo>,
}

#[derive(Debug, Serialize)]
struct Echo {
    bytes: u64,
    ms: f64,
}

/// A line of `--json`: a row of a picture.
#[derive(Debug, Serialize)]
struct Told<'a> {
    chapter: &'a str,
    #[serde(flatten)]
    row: &'a Row,
}

/// Whether all went well.
pub(crate) fn run(args: &args::Demo, output: &Output) -> bool {
    let mut stage = Stage { output, size: args.size, summary: Summary::default() };
    let mut result = Ok(());
    for (number, (title, chapter)) in CHAPTERS.iter().enumerate() {
        stage.people(&output.paint(Style::Bold, &format!("{}. {title}", number + 1)));
        result = chapter(&mut stage).map_err(|error| format!("{title}: {error}"));
        if result.is_err() {
            break;
        }
        stage.people("");
    }
    stage.summary.ok = result.is_ok();
    stage.summary.error = result.err();
    if output.json {
        output.object(&stage.summary);
    } else if let Some(error) = &stage.summary.error {
        note(error);
    } else {
        let Summary { security, muxer, round_trips, patient_round_trips, echo, .. } = &stage.summary;
        let echo = echo.as_ref().map_or(String::new(), |echo| {
            let took = Duration::from_secs_f64(echo.ms / 1000.0);
            format!(", {} echoed at {}", size(echo.bytes), rate(echo.bytes, took))
        });
        let ok = output.paint(Style::Green, "All went well:");
        output.line(format!(
            "{ok} {security}, {muxer}, {round_trips} round trips instead of {patient_round_trips}{echo}."
        ));
    }
    stage.summary.ok
}

/// One connection and its first ping, and who did what.
fn connection(stage: &mut Stage<'_>) -> Result<(), String> {
    let (timeline, pings, facts) = one_thread(async {
        let (pair, recorder) = Pair::open(Config::default(), true).await?;
        pair.first_ping(&recorder, Selection::Lazy).await?;
        let timeline = recorder.timeline();
        let pings = pair.pings(PINGS).await?;
        let facts = (pair.security().to_owned(), pair.muxer(), pair.peers());
        pair.close().await;
        Ok((timeline, pings, facts))
    })?;
    let (security, muxer, (dialer, listener)) = facts;
    let round_trips = timeline.round_trips.ok_or("no answer was seen")?;
    let output = stage.output;
    stage.people(&format!(
        "The dialer is {}, the listener {}; TCP on 127.0.0.1. What each said when, and what went over the wire:\n",
        short(output, dialer),
        short(output, listener)
    ));
    stage.picture("connection", &timeline);
    stage.people(&format!(
        "\n{}: TCP's, then {} of ours. Neither end waited for an answer that could only be yes.\nThen {PINGS} more pings: {}.",
        output.paint(Style::Bold, &format!("{round_trips} round trips to the first answer")),
        round_trips.saturating_sub(1),
        pings.iter().map(|took| span(*took)).collect::<Vec<_>>().join(", ")
    ));
    stage.summary.security = security;
    stage.summary.muxer = muxer.to_owned();
    stage.summary.round_trips = round_trips;
    stage.summary.ping_ms = pings.iter().map(|took| millis(*took)).collect();
    Ok(())
}

/// The same without going ahead, and without the multiplexer in the handshake: what most stacks do.
fn patience(stage: &mut Stage<'_>) -> Result<(), String> {
    let timeline = one_thread(async {
        let mut config = Config::default();
        config.selection = Selection::Plain;
        config.early_muxer = false;
        let (pair, recorder) = Pair::open(config, true).await?;
        pair.first_ping(&recorder, Selection::Plain).await?;
        pair.close().await;
        Ok(recorder.timeline())
    })?;
    let round_trips = timeline.round_trips.ok_or("no answer was seen")?;
    stage.summary.patient_round_trips = round_trips;
    if stage.output.json {
        stage.picture("patience", &timeline);
    }
    let lazy = stage.summary.round_trips;
    stage.people(&format!(
        "Had each end waited for every answer, it had been {round_trips}. Over 50 ms: {} ms instead of {} ms.",
        50 * lazy,
        50 * round_trips
    ));
    Ok(())
}

/// Bytes there and back.
fn echo(stage: &mut Stage<'_>) -> Result<(), String> {
    let (output, size_wanted) = (stage.output, stage.size);
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    let echoed = runtime.block_on(async {
        let (pair, _) = Pair::open(Config::default(), false).await?;
        let stream = pair.dialed.open(&protocols::proposal(ECHO), Selection::Lazy).await.map_err(text)?;
        let seed = keys::entropy().map_err(text)?;
        let mut progress = Progress::new(output, "echo", size_wanted);
        let echoed = protocols::echo(stream, size_wanted, &seed, PATIENCE, |back| progress.update(back)).await;
        drop(progress);
        pair.close().await;
        echoed.map_err(text)
    })?;
    if !echoed.ended {
        return Err("the listener did not close the stream".into());
    }
    stage.people(&format!(
        "{} there and back in {}, every byte compared: {} each way, encrypted and decrypted twice.",
        size(echoed.bytes),
        span(echoed.took),
        rate(echoed.bytes, echoed.took)
    ));
    stage.summary.echo = Some(Echo { bytes: echoed.bytes, ms: millis(echoed.took) });
    Ok(())
}

impl Stage<'_> {
    fn people(&self, line: &str) {
        if !self.output.json {
            self.output.line(line);
        }
    }

    fn picture(&self, chapter: &str, timeline: &Timeline) {
        if self.output.json {
            timeline.rows.iter().for_each(|row| self.output.object(&Told { chapter, row }));
        } else {
            timeline.draw(self.output);
        }
    }
}

/// A connection, and both of its ends.
struct Pair {
    dialed: Connection,
    accepted: Connection,
    listener: Listener,
}

impl Pair {
    async fn open(config: Config, watch: bool) -> Result<(Pair, Recorder), String> {
        let recorder = Recorder::new();
        let endpoint = |side| {
            let identity = Keypair::from_seed(&keys::entropy().map_err(text)?);
            let endpoint = Endpoint::new(node::build(&identity, config.clone())?).map_err(text)?;
            let watcher = Watcher { side, recorder: recorder.clone() };
            Ok::<_, String>(if watch { endpoint.observe(Arc::new(watcher)) } else { endpoint })
        };
        let (dialer, listener) = (endpoint(Side::Dialer)?, endpoint(Side::Listener)?);
        let address: Multiaddr = args::LISTEN_ADDRESS.parse().map_err(text)?;
        let listener = listener.listen(&address).await.map_err(text)?;
        let both = async {
            let (dialed, accepted) = tokio::join!(dialer.dial(listener.address()), listener.accept());
            Ok::<_, String>((dialed.map_err(text)?, accepted.map_err(text)?))
        };
        let (dialed, accepted) = timeout(PATIENCE, both).await.map_err(|_| "the upgrade hangs")??;
        let serving = accepted.clone();
        tokio::spawn(async move { node::serve(&serving, |_| {}).await });
        Ok((Pair { dialed, accepted, listener }, recorder))
    }

    /// Opens a stream and pings on it, for the picture.
    async fn first_ping(&self, recorder: &Recorder, selection: Selection) -> Result<(), String> {
        recorder.add(Side::Dialer, What::Says("opens a stream, and pings".into()));
        let mut stream = self.dialed.open(&protocols::proposal(PING), selection).await.map_err(text)?;
        let seed = keys::entropy().map_err(text)?;
        let took = protocols::ping(&mut stream, &seed, PATIENCE).await.map_err(text)?;
        recorder.add(Side::Dialer, What::Answered(format!("the answer, after {}", span(took))));
        Ok(())
    }

    async fn pings(&self, count: u64) -> Result<Vec<Duration>, String> {
        let mut stream = self.dialed.open(&protocols::proposal(PING), Selection::Lazy).await.map_err(text)?;
        let seed = keys::entropy().map_err(text)?;
        let mut pings = Vec::new();
        for index in 0..count {
            pings.push(protocols::ping(&mut stream, &seed.derive("ping", index), PATIENCE).await.map_err(text)?);
        }
        Ok(pings)
    }

    fn security(&self) -> &str {
        args::security_name(self.dialed.security())
    }

    fn muxer(&self) -> &'static str {
        args::muxer_name(self.dialed.muxer())
    }

    fn peers(&self) -> (PeerId, PeerId) {
        (self.accepted.peer(), self.dialed.peer())
    }

    async fn close(self) {
        node::close(&self.dialed).await;
        node::close(&self.accepted).await;
        self.listener.shutdown().await;
    }
}

/// Puts what an endpoint reports into the words of the picture.
struct Watcher {
    side: Side,
    recorder: Recorder,
}

impl Observer for Watcher {
    fn event(&self, _: u64, event: &Observed) {
        if let Some(what) = self.words(event) {
            self.recorder.add(self.side, what);
        }
    }
}

impl Watcher {
    fn words(&self, event: &Observed) -> Option<What> {
        let says = match event {
            Observed::Sent(bytes) => return Some(What::Sent(*bytes as u64)),
            Observed::Received(bytes) => return Some(What::Received(*bytes as u64)),
            Observed::Connecting(_) => "TCP: SYN".to_owned(),
            Observed::Connected(_) if self.side == Side::Dialer => "TCP: connected".to_owned(),
            Observed::Connected(_) => "TCP: accepted".to_owned(),
            Observed::Progress(progress) => self.upgrading(progress)?,
            Observed::Event(Event::Negotiated { protocol, by: By::Us, .. }) => format!("agreed: {protocol}"),
            Observed::Event(Event::Negotiated { protocol, .. }) => format!("agrees to {protocol}"),
            Observed::Event(Event::MuxerConfirmed(kind)) => format!("agreed: {kind}, as assumed"),
            Observed::Failed(error) => format!("fails: {error}"),
            _ => return None,
        };
        Some(What::Says(says))
    }

    fn upgrading(&self, progress: &Upgrading) -> Option<String> {
        Some(match progress {
            Upgrading::Proposed { protocol, .. } => format!("proposes {protocol}"),
            Upgrading::Agreed { protocol, how: How::Selected, .. } if self.side == Side::Listener => {
                format!("agrees to {protocol}")
            }
            Upgrading::Agreed { protocol, how: How::Selected, .. } => format!("agreed: {protocol}"),
            // The answer to this one came together with the handshake's.
            Upgrading::Agreed { protocol, how: How::Assumed, stage: Part::Security } => {
                format!("agreed: {protocol}, as assumed")
            }
            Upgrading::Agreed { protocol, how: How::Assumed, .. } => format!("goes ahead with {protocol}"),
            Upgrading::Agreed { protocol, how: How::Early, .. } => format!("agreed: {protocol}, in noise"),
            Upgrading::Peer(peer) => {
                let name = peer.to_string();
                format!("knows the other: ..{}", name.get(name.len().saturating_sub(8)..).unwrap_or(&name))
            }
            Upgrading::Ready => "is ready".to_owned(),
            _ => return None,
        })
    }
}

/// Both ends in one thread: nothing happens between what is done and what is reported.
fn one_thread<T>(story: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(text)?;
    runtime.block_on(story)
}

#[allow(clippy::needless_pass_by_value)] // for map_err
fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
