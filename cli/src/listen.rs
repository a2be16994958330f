//! `tidewire listen`: wait for connections, serve on them, tell what happens.
//!
//! ```text
//!  Node --Watcher--> a line for each thing that happens --> stdout
//!    |--- metrics  GET /metrics              --metrics
//!    '--- control  who is there, and why     --control
//!  SIGTERM, SIGINT --> every connection is closed --> exit code 0
//! ```

use crate::args::{self, Unusable, muxer_name, security_name};
use crate::control::Control;
use crate::metrics::Metrics;
use crate::node::{self, Served, Setup, Signals};
use crate::output::{Output, Style, millis, note, one_line, rate, size, span};
use crate::protocols::ECHO;
use crate::watch::{Told, Watcher};
use serde::Serialize;
use std::sync::Arc;
use tidewire_core::PeerId;
use tidewire_tokio::Listener;

#[derive(Debug, Serialize)]
struct Listening<'a> {
    listening: &'a str,
    all: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<&'a str>,
}

/// A line of `--json`, after the first.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Connected {
        peer: &'a str,
        address: &'a str,
        direction: &'a str,
        security: &'a str,
        muxer: &'a str,
    },
    Identified {
        peer: &'a str,
        pushed: bool,
        #[serde(flatten)]
        identity: Identity,
    },
    Unidentified {
        peer: &'a str,
        reason: &'a str,
    },
    Ping {
        peer: &'a str,
        ms: f64,
    },
    Stream {
        peer: &'a str,
        protocol: &'a str,
        bytes: Option<u64>,
        ms: f64,
        error: Option<String>,
    },
    Closed {
        peer: &'a str,
        ms: f64,
        sent: u64,
        received: u64,
        by: &'a str,
        reason: &'a str,
    },
    Failed {
        address: Option<String>,
        error: &'a str,
    },
    Refused {
        address: &'a str,
        peer: Option<String>,
        reason: &'a str,
        count: u64,
    },
    StreamsRefused {
        peer: &'a str,
        protocol: &'a str,
        reason: &'a str,
        count: u64,
    },
    Announced {
        addresses: Vec<String>,
    },
}

/// What a peer said of itself.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Identity {
    pub(crate) agent: Option<String>,
    pub(crate) protocol_version: Option<String>,
    pub(crate) protocols: Vec<String>,
    pub(crate) addresses: Vec<String>,
    /// Where it sees us.
    pub(crate) observed: Option<String>,
    /// It signed its addresses.
    pub(crate) signed: bool,
}

impl Identity {
    pub(crate) fn of(identity: &tidewire_host::identify::Identity) -> Self {
        Identity {
            agent: identity.agent.as_deref().map(one_line),
            protocol_version: identity.protocol_version.as_deref().map(one_line),
            protocols: identity.protocols.iter().map(|name| one_line(name.as_ref())).collect(),
            addresses: identity.listen_addresses().iter().map(ToString::to_string).collect(),
            observed: identity.observed.as_ref().map(ToString::to_string),
            signed: identity.record.is_some(),
        }
    }
}

/// Whether all went well.
pub(crate) async fn run(args: args::Listen, output: &Output) -> Result<bool, Unusable> {
    let mut setup = Setup::new(&args.node)?;
    if let Some(most) = args.max_connections {
        setup.config.host.manager.limits.established = most;
    }
    match serve(&args, setup, output).await {
        Ok(()) => Ok(true),
        Err(error) => {
            note(&error);
            Ok(false)
        }
    }
}

async fn serve(args: &args::Listen, setup: Setup, output: &Output) -> Result<(), String> {
    let mut signals = Signals::install()?;
    let shown = output.clone();
    let (node, running) = setup.start(Arc::new(Watcher::new(move |told| show(&shown, told))))?;
    let shown = output.clone();
    node::serve_echo(&node, move |served| stream(served, &shown))?;

    let metrics = match args.metrics {
        Some(address) => Some(Metrics::serve(address, node.clone()).await?),
        None => None,
    };
    let _control = args.control.as_deref().map(|path| Control::serve(path, node.clone())).transpose()?;
    let mut listeners = Vec::new();
    for address in &args.addresses {
        listeners.push(node.listen(address).await.map_err(|error| error.to_string())?);
    }
    announce(&listeners, metrics.as_ref(), output);

    let signal = signals.next().await;
    if !output.json {
        note(&format!("{signal}: closing"));
    }
    running.close().await;
    Ok(())
}

fn announce(listeners: &[Listener], metrics: Option<&Metrics>, output: &Output) {
    let all: Vec<String> = listeners.iter().flat_map(Listener::addresses).map(ToString::to_string).collect();
    let metrics = metrics.map(|metrics| format!("http://{}/metrics", metrics.address()));
    if output.json {
        let listening = all.first().map_or("", String::as_str);
        output.object(&Listening { listening, all: &all, metrics: metrics.as_deref() });
        return;
    }
    for address in &all {
        output.line(format!("listening on {}", output.paint(Style::Bold, address)));
    }
    if let Some(metrics) = metrics {
        output.line(format!("metrics at {metrics}"));
    }
    if let Some(address) = all.first() {
        output.line(output.paint(Style::Dim, &format!("try: tidewire dial {address}")));
    }
}

fn show(output: &Output, told: &Told<'_>) {
    if output.json {
        for_programs(output, told);
    } else if let Some(line) = for_people(output, told) {
        output.event(line);
    }
}

fn for_programs(output: &Output, told: &Told<'_>) {
    let name = |peer: &PeerId| peer.to_string();
    match told {
        Told::Connected { peer, address, direction, security, muxer } => output.event_object(&Event::Connected {
            peer: &name(peer),
            address: &address.to_string(),
            direction: &direction.to_string(),
            security: security_name(security),
            muxer: muxer.map_or("", muxer_name),
        }),
        Told::Identified { peer, identity, pushed } => output.event_object(&Event::Identified {
            peer: &name(peer),
            pushed: *pushed,
            identity: Identity::of(identity),
        }),
        Told::Unidentified { peer, why } => {
            output.event_object(&Event::Unidentified { peer: &name(peer), reason: &one_line(why) });
        }
        Told::Pong { peer, rtt } => output.event_object(&Event::Ping { peer: &name(peer), ms: millis(*rtt) }),
        Told::Stream { protocol, .. } if **protocol == *ECHO => {}
        Told::Stream { peer, protocol, took } => output.event_object(&Event::Stream {
            peer: &name(peer),
            protocol: protocol.as_ref(),
            bytes: None,
            ms: millis(*took),
            error: None,
        }),
        Told::Closed { peer, by, reason, lived, sent, received } => output.event_object(&Event::Closed {
            peer: &name(peer),
            ms: millis(*lived),
            sent: *sent,
            received: *received,
            by: &by.to_string(),
            reason: &one_line(&reason.to_string()),
        }),
        Told::Failed { address, why } => {
            let address = address.map(ToString::to_string);
            output.event_object(&Event::Failed { address, error: &one_line(why) });
        }
        Told::Refused { address, peer, reason, count } => output.event_object(&Event::Refused {
            address: &address.to_string(),
            peer: peer.as_ref().map(name),
            reason: &one_line(&reason.to_string()),
            count: *count,
        }),
        Told::StreamsRefused { peer, protocol, reason, count } => output.event_object(&Event::StreamsRefused {
            peer: &name(peer),
            protocol: &one_line(protocol.as_ref()),
            reason: &one_line(&reason.to_string()),
            count: *count,
        }),
        Told::Announced { addresses } => {
            let addresses = addresses.iter().map(ToString::to_string).collect();
            output.event_object(&Event::Announced { addresses });
        }
    }
}

fn for_people(output: &Output, told: &Told<'_>) -> Option<String> {
    Some(match told {
        Told::Connected { peer, address, security, muxer, .. } => {
            let who = output.paint(Style::Cyan, &peer.to_string());
            let (security, muxer) = (security_name(security), muxer.map_or("", muxer_name));
            format!("{who} connected from {address}: {security}, {muxer}")
        }
        Told::Identified { peer, identity, pushed } => {
            let agent = one_line(identity.agent.as_deref().unwrap_or("a program that has no name"));
            let count = identity.protocols.len();
            let what = if *pushed { "now is" } else { "is" };
            format!("{} {what} {agent}, and speaks {count} protocols", short(output, *peer))
        }
        Told::Unidentified { peer, why } => {
            format!("{} does not say who it is: {}", short(output, *peer), one_line(why))
        }
        // Every half a minute, of each peer.
        Told::Pong { .. } => return None,
        Told::Stream { protocol, .. } if **protocol == *ECHO => return None,
        Told::Stream { peer, protocol, took } => {
            format!("{} {}: for {}", short(output, *peer), one_line(protocol.as_ref()), span(*took))
        }
        Told::Closed { peer, by, reason, lived, sent, received } => format!(
            "{} gone after {}, closed by {by}: {}; {} sent, {} received",
            short(output, *peer),
            span(*lived),
            one_line(&reason.to_string()),
            size(*sent),
            size(*received)
        ),
        Told::Failed { address, why } => {
            let from = address.map_or(String::new(), |address| format!("{address}: "));
            format!("{} {from}{}", output.paint(Style::Yellow, "failed:"), one_line(why))
        }
        Told::Refused { address, peer, reason, count } => {
            let who = peer.map_or_else(|| address.to_string(), |peer| short(output, peer));
            let all = if *count == 1 { String::new() } else { format!(", the last of {count}") };
            let refused = output.paint(Style::Yellow, "refused:");
            format!("{refused} {who}{all}: {}", one_line(&reason.to_string()))
        }
        Told::StreamsRefused { peer, protocol, reason, count } => {
            let all = if *count == 1 { String::new() } else { format!(", the last of {count} streams") };
            format!(
                "{} {} {}{all}: {}",
                output.paint(Style::Yellow, "refused:"),
                short(output, *peer),
                one_line(protocol.as_ref()),
                one_line(&reason.to_string())
            )
        }
        Told::Announced { addresses } => {
            let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            output.paint(Style::Dim, &format!("others are told: {}", all.join(", ")))
        }
    })
}

fn stream(served: Served, output: &Output) {
    let Served { peer, bytes, took, error } = served;
    if output.json {
        let error = error.map(|error| one_line(&error.to_string()));
        let (peer, ms) = (peer.to_string(), millis(took));
        output.event_object(&Event::Stream { peer: &peer, protocol: ECHO, bytes: Some(bytes), ms, error });
        return;
    }
    let what = match error {
        None => format!("{} in {}, {}", size(bytes), span(took), rate(bytes, took)),
        Some(error) => format!("after {}: {}", size(bytes), one_line(&error.to_string())),
    };
    output.event(format!("{} {ECHO}: {what}", short(output, peer)));
}

/// The end of a peer id is what differs.
pub(crate) fn short(output: &Output, peer: PeerId) -> String {
    output.paint(Style::Cyan, &last(peer))
}

/// The same without a colour.
pub(crate) fn last(peer: PeerId) -> String {
    let name = peer.to_string();
    let from = name.len().saturating_sub(8);
    format!("..{}", name.get(from..).unwrap_or(&name))
}
