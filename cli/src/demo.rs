//! `tidewire demo`: nodes in one process, over loopback TCP, told in chapters.
//!
//! ```text
//!  Connection   from the dial to the end, with a ping; the picture of it  one thread, so that the order is the true one
//!  Patience     the same, waiting for every answer; only its round trips
//!  Echo         bytes through a connection, as fast as they go            all cores
//!  Relay        three nodes: reserve, circuit, echo (`relayed`)           one thread
//!  Direct       the same, and then without the relay (`punched`)          one thread
//! ```
//! A chapter is a function in [`CHAPTERS`]; what it found out goes to the [`Summary`], the last line.

mod punched;
mod relayed;

use crate::args::{self, Unusable};
use crate::delay;
use crate::keys;
use crate::listen::{last, short};
use crate::node;
use crate::output::{Output, Progress, Style, millis, note, rate, size, span};
use crate::protocols::{self, ECHO, PING};
use crate::record::{Recording, Running};
use crate::timeline::{Recorder, Row, Side, Timeline, What};
use crate::watch::Watcher;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tidewire_connmgr::{self as connmgr, Direction};
use tidewire_core::{Keypair, Multiaddr};
use tidewire_host::link::{Fault, Report};
use tidewire_relay::server::ServerConfig;
use tidewire_tokio::{
    Command, ConnectionId, Event, Events, Node, NodeConfig, Notice, Observed, Observer, OpenOptions, Selection, Stream,
};
use tidewire_upgrade::pipeline::{How, Progress as Upgrading, Stage as Part};
use tokio::runtime::Builder;
use tokio::time::timeout;

/// Nothing here takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(10);
const PINGS: u64 = 5;
/// How long each byte is on its way in the picture.
const HOLD: Duration = Duration::from_millis(5);

type Chapter = fn(&mut Stage<'_>) -> Result<(), String>;
const CHAPTERS: [(&str, Chapter); 5] = [
    ("A connection", connection),
    ("With patience", patience),
    ("An echo", echo),
    ("Through a relay", relayed::relayed),
    ("And without it", punched::punched),
];

/// What a chapter works with.
struct Stage<'a> {
    output: &'a Output,
    size: u64,
    config: NodeConfig,
    /// What the relay gives.
    relay: ServerConfig,
    /// Where the first chapter's recording goes.
    record: Option<PathBuf>,
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
    relay: Option<relayed::Relayed>,
    direct: Option<punched::Punched>,
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
pub(crate) fn run(args: &args::Demo, output: &Output) -> Result<bool, Unusable> {
    let mut config = node::configured(args.config.as_deref())?;
    let relay = node::plain(&mut config).server.unwrap_or_default();
    let (record, summary) = (args.record.clone(), Summary::default());
    let mut stage = Stage { output, size: args.size, config, relay, record, summary };
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
    Ok(stage.summary.ok)
}

/// One connection, its first ping, who each says that it is, and its end; and who did what.
fn connection(stage: &mut Stage<'_>) -> Result<(), String> {
    let (config, record) = (stage.config.clone(), stage.record.clone());
    let (timeline, facts) = one_thread(async {
        let (pair, recorder) = Pair::start(&config, true, record.as_deref()).await?;
        let mut events = (pair.dialer.events(), pair.listener.events());
        let connection = pair.first_ping(&recorder, Selection::Lazy).await?;
        let facts = pair.watcher.upgraded(connection.0).ok_or("the connection is over already")?;
        let identified = async { tokio::join!(identified(&mut events.0), identified(&mut events.1)) };
        timeout(PATIENCE, identified).await.map_err(|_| "a node does not say who it is")?;
        let (peer, why) = (pair.listener.peer(), "the demo is over".into());
        pair.dialer.command(Command::Disconnect { peer, why }).map_err(text)?;
        let closed = async { tokio::join!(closed(&mut events.0), closed(&mut events.1)) };
        timeout(PATIENCE, closed).await.map_err(|_| "a node does not see the end of the connection")?;
        let facts = (facts, (pair.dialer.peer(), pair.listener.peer()));
        pair.close().await;
        Ok((recorder.timeline(), facts))
    })?;
    let config = stage.config.clone();
    let pings = one_thread(async {
        let (pair, _) = Pair::start(&config, false, None).await?;
        let pings = pair.pings(PINGS).await;
        pair.close().await;
        pings
    })?;
    let ((security, muxer), (dialer, listener)) = facts;
    let round_trips = timeline.round_trips.ok_or("no answer was seen")?;
    let output = stage.output;
    stage.people(&format!(
        "The dialer is {}, the listener {}; TCP on 127.0.0.1, each byte held for {} ms.
What each said when, and what went over the wire:\n",
        short(output, dialer),
        short(output, listener),
        HOLD.as_millis()
    ));
    stage.picture("connection", &timeline);
    stage.people(&format!(
        "\n{}: TCP's, then {} of ours. Neither end waited for an answer that could only be yes.\nOn another connection, without the delay, {PINGS} pings: {}.",
        output.paint(Style::Bold, &format!("{round_trips} round trips to the first answer")),
        round_trips.saturating_sub(1),
        pings.iter().map(|took| span(*took)).collect::<Vec<_>>().join(", ")
    ));
    args::security_name(&security).clone_into(&mut stage.summary.security);
    args::muxer_name(muxer).clone_into(&mut stage.summary.muxer);
    stage.summary.round_trips = round_trips;
    stage.summary.ping_ms = pings.iter().map(|took| millis(*took)).collect();
    Ok(())
}

/// Who the other is, was said.
async fn identified(events: &mut Events) {
    while let Some(notice) = events.next().await {
        if matches!(notice, Notice::Event(Event::Identified { .. })) {
            break;
        }
    }
}

/// The connection is over.
async fn closed(events: &mut Events) {
    while let Some(notice) = events.next().await {
        if matches!(notice, Notice::Event(Event::Manager(connmgr::Event::ConnectionClosed { .. }))) {
            break;
        }
    }
}

/// The same without going ahead, and without the multiplexer in the handshake: what most stacks do.
fn patience(stage: &mut Stage<'_>) -> Result<(), String> {
    let mut config = stage.config.clone();
    config.upgrade.selection = Selection::Plain;
    config.upgrade.early_muxer = false;
    let timeline = one_thread(async {
        let (pair, recorder) = Pair::start(&config, true, None).await?;
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
    let (output, size_wanted, config) = (stage.output, stage.size, stage.config.clone());
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    let echoed = runtime.block_on(async {
        let (pair, _) = Pair::start(&config, false, None).await?;
        let stream = pair.open(ECHO, Selection::Lazy).await?;
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

/// Two nodes, one of which knows where the other listens.
struct Pair {
    dialer: Node,
    running: Running,
    listener: Node,
    /// What was seen of the dialer's connections.
    watcher: Arc<Watcher>,
}

impl Pair {
    async fn start(config: &NodeConfig, watch: bool, record: Option<&Path>) -> Result<(Pair, Recorder), String> {
        let recorder = Recorder::new();
        let watcher = Arc::new(Watcher::quiet());
        let node = |side| {
            let identity = Keypair::from_seed(&keys::entropy().map_err(text)?);
            let seed = keys::entropy().map_err(text)?;
            let recorder = watch.then(|| recorder.clone());
            let teller = Arc::new(Teller { side, recorder, watcher: watcher.clone() });
            let mut config = config.clone();
            let recording = Recording::begin(record.filter(|_| side == Side::Dialer), &mut config)?;
            let node = Node::observed(config, identity, &seed, Some(teller)).map_err(text)?;
            let running = Recording::run(recording, &node)?;
            Ok::<_, String>((node, running))
        };
        let ((dialer, running), (listener, _)) = (node(Side::Dialer)?, node(Side::Listener)?);
        node::serve_echo(&listener, |_| {})?;
        let address: Multiaddr = args::LISTEN_ADDRESS.parse().map_err(text)?;
        let listening = listener.listen(&address).await.map_err(text)?;
        let mut addresses = listening.addresses().to_vec();
        if watch {
            let found = addresses.first().and_then(Multiaddr::socket_addr).ok_or("the listener has no address")?;
            let wire = delay::wire(found, HOLD).await.map_err(text)?;
            addresses = vec![Multiaddr::tcp(wire)];
        }
        let peer = listener.peer();
        dialer.command(Command::Addresses { peer, addresses, ttl: PATIENCE }).map_err(text)?;
        Ok((Pair { dialer, running, listener, watcher }, recorder))
    }

    /// A stream; the host dials for it.
    async fn open(&self, protocol: &'static str, selection: Selection) -> Result<Stream, String> {
        let mut options = OpenOptions::default();
        (options.selection, options.timeout) = (selection, PATIENCE);
        self.dialer.open(self.listener.peer(), &protocols::proposal(protocol), options).await.map_err(text)
    }

    /// Wants to ping, for the picture. On which connection it went.
    async fn first_ping(&self, recorder: &Recorder, selection: Selection) -> Result<ConnectionId, String> {
        recorder.add(Side::Dialer, What::Says("wants to ping: TCP, SYN".into()));
        let mut stream = self.open(PING, selection).await?;
        let seed = keys::entropy().map_err(text)?;
        let took = protocols::ping(&mut stream, &seed, PATIENCE).await.map_err(text)?;
        recorder.add(Side::Dialer, What::Answered(format!("the answer, after {}", span(took))));
        Ok(stream.connection())
    }

    async fn pings(&self, count: u64) -> Result<Vec<Duration>, String> {
        let mut stream = self.open(PING, Selection::Lazy).await?;
        let seed = keys::entropy().map_err(text)?;
        let mut pings = Vec::new();
        for index in 0..count {
            pings.push(protocols::ping(&mut stream, &seed.derive("ping", index), PATIENCE).await.map_err(text)?);
        }
        Ok(pings)
    }

    async fn close(self) {
        self.running.close().await;
        node::close(&self.listener).await;
    }
}

/// Puts what a node reports into the words of the picture.
struct Teller {
    side: Side,
    /// `None`: nobody looks.
    recorder: Option<Recorder>,
    watcher: Arc<Watcher>,
}

impl Observer for Teller {
    fn event(&self, connection: u64, event: &Observed) {
        if self.side == Side::Dialer {
            self.watcher.event(connection, event);
        }
        if let (Some(recorder), Some(what)) = (&self.recorder, self.words(event)) {
            recorder.add(self.side, what);
        }
    }

    fn host(&self, event: &Event) {
        if self.side == Side::Dialer {
            self.watcher.host(event);
        }
        if let (Some(recorder), Some(says)) = (&self.recorder, of_host(event)) {
            recorder.add(self.side, What::Says(says));
        }
    }
}

impl Teller {
    fn words(&self, event: &Observed) -> Option<What> {
        let says = match event {
            Observed::Sent(bytes) => return Some(What::Sent(*bytes as u64)),
            Observed::Received(bytes) => return Some(What::Received(*bytes as u64)),
            Observed::Connected(_) if self.side == Side::Dialer => "TCP: connected".to_owned(),
            Observed::Connected(_) => "TCP: accepted".to_owned(),
            Observed::Progress(progress) => self.upgrading(progress)?,
            Observed::Report(Report::StreamOpened { direction: Direction::Inbound, protocol, .. }) => {
                format!("agrees to {protocol}")
            }
            Observed::Report(Report::StreamOpened { protocol, .. }) => format!("opens {protocol}"),
            Observed::Report(Report::Ended { fault: Fault::Upgrade, why, .. }) => format!("fails: {why}"),
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
            Upgrading::Peer(peer) => format!("knows the other: {}", last(*peer)),
            _ => return None,
        })
    }
}

/// What a host decided, or came to know.
fn of_host(event: &Event) -> Option<String> {
    Some(match event {
        Event::Manager(connmgr::Event::ConnectionOpened { peer, .. }) => format!("connected to {}", last(*peer)),
        Event::Manager(connmgr::Event::ConnectionClosed { by, reason, .. }) => match reason {
            connmgr::CloseReason::Asked { why } => format!("closed by {by}: {why}"),
            reason => format!("closed by {by}: {reason}"),
        },
        Event::Upgraded { security, muxer, took, .. } => {
            let (security, muxer) = (args::security_name(security), args::muxer_name(*muxer));
            format!("upgraded: {security}, {muxer}, in {}", span(*took))
        }
        Event::StreamsRefused { protocol, reason, .. } => format!("refuses {protocol}: {reason}"),
        Event::ConnectionsRefused { reason, .. } => format!("lets nobody in: {reason}"),
        Event::Identified { identity, pushed, .. } => {
            let agent = identity.agent.as_deref().unwrap_or("a program that has no name");
            let how = if *pushed { "hears from" } else { "identified:" };
            format!("{how} {agent}, {} protocols", identity.protocols.len())
        }
        _ => return None,
    })
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
