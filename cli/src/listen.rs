//! `tidewire listen`: wait for connections, serve ping and echo on them, tell what happens.
//!
//! ```text
//!  Endpoint --accept--> Gate: room for one more? --upgrade--> a task: serve streams until it is over --> closed
//!  SIGTERM, SIGINT --> listeners closed --> every task closes its connection --> exit code 0
//! ```

use crate::args::{self, Unusable, muxer_name, security_name};
use crate::node::{self, Served, Signals};
use crate::output::{Output, Style, millis, note, one_line, rate, size, span};
use crate::protocols::PING;
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tidewire_core::{Multiaddr, PeerId};
use tidewire_tokio::{Closed, Connection, Endpoint, Gate, Listener, Observed, Observer, Reason};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// After a signal: then what is still open is left to the operating system.
const SHUTDOWN: Duration = Duration::from_secs(3);

#[derive(Debug, Serialize)]
struct Listening<'a> {
    listening: &'a str,
    all: &'a [String],
}

/// A line of `--json`, after the first.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Connected { peer: &'a str, address: &'a str, security: &'a str, muxer: &'a str },
    Stream { peer: &'a str, protocol: &'a str, bytes: u64, ms: f64, error: Option<String> },
    Closed { peer: &'a str, ms: f64, sent: u64, received: u64, reason: &'a str },
    Failed { error: &'a str },
}

/// Whether all went well.
pub(crate) async fn run(args: args::Listen, output: &Output) -> Result<bool, Unusable> {
    let upgrader = node::upgrader(&args.node)?;
    match serve(&args, upgrader, output).await {
        Ok(()) => Ok(true),
        Err(error) => {
            note(&error);
            Ok(false)
        }
    }
}

async fn serve(
    args: &args::Listen,
    upgrader: tidewire_upgrade::pipeline::Upgrader,
    output: &Output,
) -> Result<(), String> {
    let mut signals = Signals::install().map_err(|error| format!("signals can't be heard: {error}"))?;
    let room = Arc::new(Room { open: AtomicUsize::new(0), max: args.max_connections });
    let endpoint = Endpoint::new(upgrader)
        .map_err(|error| error.to_string())?
        .gate(room.clone())
        .observe(Arc::new(Failures(output.clone())));

    let mut listeners = Vec::new();
    for address in &args.addresses {
        let listener = endpoint.listen(address).await.map_err(|error| format!("{address}: {error}"))?;
        listeners.push(listener);
    }
    announce(&listeners, output);

    let (closing, closes) = watch::channel(false);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, room.clone(), closes.clone(), output.clone()));
    }
    let signal = signals.next().await;
    if !output.json {
        note(&format!("{signal}: closing"));
    }
    closing.send_replace(true);
    let _ = tokio::time::timeout(SHUTDOWN, accepting.join_all()).await;
    Ok(())
}

fn announce(listeners: &[Listener], output: &Output) {
    let all: Vec<String> = listeners.iter().flat_map(Listener::addresses).map(|a: Multiaddr| a.to_string()).collect();
    if output.json {
        let first = listeners.first().map(|listener| listener.address().to_string()).unwrap_or_default();
        output.object(&Listening { listening: &first, all: &all });
        return;
    }
    for address in &all {
        output.line(format!("listening on {}", output.paint(Style::Bold, address)));
    }
    if let Some(address) = all.first() {
        output.line(output.paint(Style::Dim, &format!("try: tidewire dial {address}")));
    }
}

/// Accepts until it is told to stop, then waits until its connections are closed.
async fn accept(listener: Listener, room: Arc<Room>, mut closes: watch::Receiver<bool>, output: Output) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = told(&mut closes) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(connection) => {
                    let Some(place) = Room::take(&room) else {
                        connections.spawn(async move { node::close(&connection).await });
                        continue;
                    };
                    connections.spawn(connected(connection, place, closes.clone(), output.clone()));
                }
                Err(error) => {
                    note(&error.to_string());
                    break;
                }
            },
        }
    }
    listener.shutdown().await;
    connections.join_all().await;
}

/// Waits until everything is to be closed.
async fn told(closes: &mut watch::Receiver<bool>) {
    let _ = closes.wait_for(|closing| *closing).await;
}

/// The life of one connection.
async fn connected(connection: Connection, place: Place, mut closes: watch::Receiver<bool>, output: Output) {
    let peer = connection.peer();
    let (security, muxer) = (security_name(connection.security()), muxer_name(connection.muxer()));
    let (name, address) = (peer.to_string(), connection.remote_address().to_string());
    if output.json {
        output.event_object(&Event::Connected { peer: &name, address: &address, security, muxer });
    } else {
        output.event(format!("{} connected from {address}: {security}, {muxer}", output.paint(Style::Cyan, &name)));
    }

    let output_of_streams = output.clone();
    let told_to_close = tokio::select! {
        () = node::serve(&connection, move |served| stream(peer, served, &output_of_streams)) => false,
        () = told(&mut closes) => true,
    };
    if told_to_close {
        node::close(&connection).await;
    }

    let Closed { by, reason, lived, sent, received, .. } = connection.closed().await;
    let reason = one_line(&match reason {
        Reason::Closed(None | Some(0)) => format!("closed by {by}"),
        Reason::Closed(Some(code)) => format!("closed by {by} with code {code:#x}"),
        other => other.to_string(),
    });
    if output.json {
        output.event_object(&Event::Closed { peer: &name, ms: millis(lived), sent, received, reason: &reason });
    } else {
        let who = short(&output, peer);
        output.event(format!(
            "{who} gone after {}: {reason}; {} sent, {} received",
            span(lived),
            size(sent),
            size(received)
        ));
    }
    drop(place);
}

fn stream(peer: PeerId, served: Served, output: &Output) {
    let Served { protocol, bytes, took, error } = served;
    if output.json {
        let error = error.map(|error| error.to_string());
        output.event_object(&Event::Stream { peer: &peer.to_string(), protocol, bytes, ms: millis(took), error });
        return;
    }
    let what = match error {
        None if protocol == PING => format!("{} pings in {}", bytes / 32, span(took)),
        None => format!("{} in {}, {}", size(bytes), span(took), rate(bytes, took)),
        Some(error) => format!("after {}: {}", size(bytes), one_line(&error.to_string())),
    };
    output.event(format!("{} {protocol}: {what}", short(output, peer)));
}

/// The end of a peer id is what differs.
pub(crate) fn short(output: &Output, peer: PeerId) -> String {
    let name = peer.to_string();
    let from = name.len().saturating_sub(8);
    output.paint(Style::Cyan, &format!("..{}", name.get(from..).unwrap_or(&name)))
}

/// How many connections there may be.
struct Room {
    open: AtomicUsize,
    max: usize,
}

/// One of them, until it is dropped.
struct Place(Arc<Room>);

impl Room {
    fn take(room: &Arc<Room>) -> Option<Place> {
        let taken =
            room.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < room.max).then_some(open + 1));
        taken.ok().map(|_| Place(room.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate for Room {
    /// Before anything was spent on it. Upgrades that are under way are not counted yet; [`Room::take`] is what decides.
    fn accept(&self, _: &Multiaddr) -> Result<(), String> {
        match self.open.load(Ordering::Relaxed) {
            open if open >= self.max => {
                Err(format!("there are {open} connections, as many as --max-connections allows"))
            }
            _ => Ok(()),
        }
    }
}

/// Tells of connections that never came to be.
struct Failures(Output);

impl Observer for Failures {
    fn event(&self, _: u64, event: &Observed) {
        let Observed::Failed(error) = event else { return };
        let error = one_line(&error.to_string());
        if self.0.json {
            self.0.event_object(&Event::Failed { error: &error });
        } else {
            self.0.event(format!("{} {error}", self.0.paint(Style::Yellow, "failed:")));
        }
    }
}
