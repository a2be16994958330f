//! `tidewire listen`: wait for connections, serve on them, tell what happens.
//!
//! ```text
//!  Service --Watcher--> a line for each thing that happens --> stdout
//!  SIGTERM, SIGINT --> every connection is closed --> exit code 0
//! ```

use crate::args::{self, Unusable, muxer_name, security_name};
use crate::auto_relay;
use crate::mapping;
use crate::node::{Served, Setup, Signals};
use crate::output::{Output, Style, millis, note, one_line, rate, size, span};
use crate::probe;
use crate::protocols::ECHO;
use crate::punching;
use crate::relaying;
use crate::serving::Service;
use crate::watch::Told;
use serde::Serialize;
use std::time::{Duration, Instant};
use tidewire_connmgr::Direction;
use tidewire_core::{Multiaddr, PeerId};
use tidewire_relay::autorelay::Candidate;

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
    // There is nobody to ask for others than those that are named.
    let relays = !args.relays.is_empty();
    let mut setup = Setup::with(&args.serving.node, |given, now| {
        now.auto_relay = relays.then(|| given.auto_relay.unwrap_or_default());
    })?;
    args.punching.apply(&mut setup.config.host.punching);
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
    let began = Instant::now();
    let signal = tokio::select! {
        result = start(args, setup, output) => {
            let (service, relays) = result?;
            service.announce(output, Some("dial"));
            relays.iter().for_each(|relay| auto_relay::candidate(output, relay));
            output.release();
            let explaining = async {
                if !relays.is_empty() {
                    auto_relay::explain(&service.node, began, output).await;
                }
                core::future::pending::<()>().await;
            };
            let signal = tokio::select! {
                signal = signals.next() => signal,
                () = explaining => "the end",
            };
            goodbye(output, signal);
            service.close().await;
            return Ok(());
        }
        signal = signals.next() => signal,
    };
    // Whatever it was waiting for.
    goodbye(output, signal);
    Ok(())
}

/// The node, and the relays that it is to hold reservations at.
async fn start(args: &args::Listen, mut setup: Setup, output: &Output) -> Result<(Service, Vec<Candidate>), String> {
    let mut relays: Vec<Candidate> = Vec::new();
    for address in &args.relays {
        let (peer, address) = (probe::who(address, &setup).await?, address.without_peer_id());
        match relays.iter_mut().find(|known| known.peer == peer) {
            Some(known) => known.addresses.push(address),
            None => relays.push(Candidate { peer, addresses: vec![address] }),
        }
    }
    if let Some(config) = &mut setup.config.host.relay.auto_relay {
        // Each of them: nobody is asked for others.
        config.relays = u32::try_from(relays.len()).unwrap_or(u32::MAX);
        (config.static_relays, config.discover) = (relays.clone(), false);
        // It is for those that are found.
        config.boot_delay = Duration::ZERO;
    }
    // That it listens is told first; unless it takes a relay to do so, which may be long in coming.
    if !args.serving.addresses.iter().any(Multiaddr::is_relayed) {
        output.hold();
    }
    let shown = output.clone();
    let service = Service::start(&args.serving, setup, output, move |told| show(&shown, told)).await?;
    Ok((service, relays))
}

fn goodbye(output: &Output, signal: &str) {
    if !output.json {
        note(&format!("{signal}: closing"));
    }
}

/// A line of what happened.
pub(crate) fn show(output: &Output, told: &Told<'_>) {
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
        Told::Relay(event) => relaying::server_object(output, event),
        Told::RelayClient(event) => relaying::client_object(output, event),
        Told::AutoRelay(event) => auto_relay::object(output, event),
        Told::Punch(event) => punching::object(output, event),
        Told::Announced { addresses } => {
            let addresses = addresses.iter().map(ToString::to_string).collect();
            output.event_object(&Event::Announced { addresses });
        }
        Told::PortMapping(word) => mapping::object(output, word),
    }
}

/// What happened, for people, where it is worth a line.
pub(crate) fn for_people(output: &Output, told: &Told<'_>) -> Option<String> {
    Some(match told {
        Told::Connected { peer, address, direction, security, muxer } => {
            let who = output.paint(Style::Cyan, &peer.to_string());
            let (security, muxer) = (security_name(security), muxer.map_or("", muxer_name));
            match direction {
                Direction::Inbound => format!("{who} connected from {address}: {security}, {muxer}"),
                Direction::Outbound => format!("connected to {who} at {address}: {security}, {muxer}"),
            }
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
        Told::Relay(event) => relaying::server_line(output, event)?,
        Told::RelayClient(event) => relaying::client_line(output, event)?,
        Told::AutoRelay(event) => auto_relay::line(output, event)?,
        Told::Punch(event) => punching::line(output, event)?,
        Told::Announced { addresses } => {
            let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let all = if all.is_empty() { "no address any more".into() } else { all.join(", ") };
            output.paint(Style::Dim, &format!("others are told: {all}"))
        }
        Told::PortMapping(word) => mapping::line(output, word),
    })
}

/// A line of an echo that was served.
pub(crate) fn stream(served: Served, output: &Output) {
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
