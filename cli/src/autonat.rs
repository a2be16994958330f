//! `tidewire autonat-server` and `autonat-client`: tell others whether they can be reached, and ask another whether we can be.
//!
//! ```text
//!  client --dials--> server --dials back--> the client's addresses
//!         <-- "OK" or "can't" ------------'
//! ```
//! One server's word is enough for the report. A node that lives on asks several: see the configuration.
//!
//! Addresses that are not public are dialed, or asked about, only where the other end is not on the internet either: where the
//! server listens on no public address, or is dialed at none.

use crate::args::{self, Unusable};
use crate::listen::show;
use crate::node::{Setup, Signals, why_not};
use crate::output::{Output, Style, note, one_line, span};
use crate::probe;
use crate::relay::is_public;
use crate::serving::Service as Serving;
use serde::Serialize;
use std::time::{Duration, Instant};
use tidewire_connmgr as connmgr;
use tidewire_connmgr::dial::DialOptions;
use tidewire_core::{PeerId, Time};
use tidewire_host::Host;
use tidewire_relay::autonat::{Reachability, v1, v2};
use tidewire_relay::exchange::Service;
use tidewire_tokio::{Connected, ConnectionId, Event, Events, Node, NodeConfig, Notice};
use tokio::time::{sleep, timeout};

/// How long both answers may take: a server of version 1 may tell after 15 s that a dial failed, and be asked once more.
const PATIENCE: Duration = Duration::from_secs(40);
/// From a question that brought nothing to the next.
const RETRY: Duration = Duration::from_secs(5);
/// From one look at the answers to the next.
const LOOK: Duration = Duration::from_millis(25);

/// What `autonat-client --json` prints.
#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v1: Option<Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v2: Option<Answer>,
}

/// What came of one version.
#[derive(Debug, Serialize)]
struct Answer {
    /// `public`, `private` or `unknown`.
    reachability: &'static str,
    /// Of version 2, which asks about each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<Address>,
    /// Why it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Address {
    address: String,
    reachability: &'static str,
}

/// Whether all went well.
pub(crate) async fn serve(args: args::AutonatServer, output: &Output) -> Result<bool, Unusable> {
    let private = !is_public(&args.serving);
    let setup = Setup::with(&args.serving.node, |given, now| {
        now.autonat_v1_server.insert(given.autonat_v1_server.unwrap_or_default()).allow_private |= private;
        now.autonat_v2_server.insert(given.autonat_v2_server.unwrap_or_default()).allow_private |= private;
    })?;
    let result = async {
        let mut signals = Signals::install()?;
        let shown = output.clone();
        let starting = Serving::start(&args.serving, setup, output, move |told| show(&shown, told));
        let service = tokio::select! {
            service = starting => service?,
            _ = signals.next() => return Ok(()),
        };
        service.announce(output, Some("autonat-client"));
        let signal = signals.next().await;
        if !output.json {
            note(&format!("{signal}: closing; {}", served(&service.node)));
        }
        service.close().await;
        Ok(())
    };
    Ok(went_well(result.await))
}

fn went_well(result: Result<(), String>) -> bool {
    result.inspect_err(|error| note(error)).is_ok()
}

fn served(node: &Node) -> String {
    let (first, second) = node.host(|host| {
        let first = host.autonat_v1_server().map(v1::Server::counters).unwrap_or_default();
        (first, host.autonat_v2_server().map(v2::Server::counters).unwrap_or_default())
    });
    let (v1::ServerCounters { dials, reached, .. }, v2::ServerCounters { dials: more, heard, .. }) = (first, second);
    format!("{} dials for others, {} reached them", dials.saturating_add(more), reached.saturating_add(heard))
}

/// Whether the server could say something.
pub(crate) async fn ask(args: args::AutonatClient, output: &Output) -> Result<bool, Unusable> {
    let mut setup = Setup::new(&args.serving.node)?;
    at_once(&mut setup.config, !args.server.is_public());
    let result = async {
        let mut signals = Signals::install()?;
        tokio::select! {
            result = session(&args, setup, output) => result,
            name = signals.next() => Err(format!("ended by {name}")),
        }
    };
    let report = result.await.unwrap_or_else(Report::failed);
    if output.json {
        output.object(&report);
    } else {
        people(output, &report);
    }
    Ok(report.ok)
}

/// One server is asked, at once, and believed.
fn at_once(config: &mut NodeConfig, private: bool) {
    let relay = &mut config.host.relay;
    let first = relay.autonat_v1.get_or_insert_default();
    first.boot_delay = Duration::ZERO;
    (first.retry, first.server_pause) = (RETRY, RETRY);
    let second = relay.autonat_v2.get_or_insert_default();
    (second.agreeing, second.target) = (1, 1);
    (second.backoff_first, second.refused_pause, second.server_pause) = (RETRY, RETRY, RETRY);
    second.allow_private |= private;
}

async fn session(args: &args::AutonatClient, setup: Setup, output: &Output) -> Result<Report, String> {
    let (patience, private) = (setup.patience(), setup.private());
    let server = probe::who(&args.server, &setup).await?;
    // The node's clock begins with it.
    let began = Instant::now();
    let service = Serving::start(&args.serving, setup, output, |_| {}).await?;
    let mut events = service.node.events();
    let connecting = service.node.connect_to(server, std::slice::from_ref(&args.server), DialOptions::default());
    let connected = timeout(patience, connecting).await;
    let result = match connected {
        Err(_) => Err(format!("{} did not answer within {}", args.server, span(patience))),
        Ok(Err(error)) => Err(why_not(&args.server, &error, true, private)),
        Ok(Ok(connected)) => answers(&service.node, &mut events, &connected, server, began).await,
    };
    service.close().await;
    result
}

/// Waits until both versions have said something, as far as the server speaks them.
async fn answers(
    node: &Node,
    events: &mut Events,
    connected: &Connected,
    server: PeerId,
    began: Instant,
) -> Result<Report, String> {
    let mut speaks = Speaks { v1: true, v2: true };
    let asking = async {
        loop {
            tokio::select! {
                notice = events.next() => match notice {
                    None => return Err("the node is over".to_owned()),
                    Some(Notice::Event(event)) => speaks.hear(&event, server, connected.connection)?,
                    Some(_) => {}
                },
                // An answer that leaves the whole as it is, is no event.
                () = sleep(LOOK) => {
                    let (v1, v2) = node.host(|host| (of_v1(host), of_v2(host)));
                    let open = |speaks: bool, answer: Reachability| speaks && answer == Reachability::Unknown;
                    if !open(speaks.v1, v1) && !open(speaks.v2, v2) {
                        return Ok(());
                    }
                }
            }
        }
    };
    if let Ok(over) = timeout(PATIENCE, asking).await {
        over?;
    }
    Ok(node.host(|host| speaks.report(host, server, Time::ZERO + began.elapsed())))
}

fn of_v1(host: &Host) -> Reachability {
    host.autonat_v1().map_or(Reachability::Unknown, v1::Client::reachability)
}

fn of_v2(host: &Host) -> Reachability {
    host.autonat_v2().map_or(Reachability::Unknown, v2::Client::overall)
}

/// What the server speaks: all of it, as long as it has not said who it is.
#[derive(Clone, Copy)]
struct Speaks {
    v1: bool,
    v2: bool,
}

impl Speaks {
    /// # Errors
    /// It can't be asked.
    fn hear(&mut self, event: &Event, server: PeerId, on: ConnectionId) -> Result<(), String> {
        match event {
            Event::Identified { peer, identity, .. } if *peer == server => {
                let speaks =
                    |service: Service| identity.protocols.iter().any(|protocol| protocol.as_str() == service.name());
                (self.v1, self.v2) = (speaks(Service::AutonatV1), speaks(Service::AutonatV2Request));
                if !self.v1 && !self.v2 {
                    return Err("the server speaks neither version of AutoNAT".into());
                }
            }
            Event::IdentifyFailed { peer, connection, why } if *peer == server && *connection == on => {
                return Err(format!("the server does not say what it speaks: {}", one_line(why)));
            }
            Event::Manager(connmgr::Event::ConnectionClosed { connection, by, reason, .. }) if *connection == on => {
                return Err(one_line(&format!("the connection to the server was closed by {by}: {reason}")));
            }
            _ => {}
        }
        Ok(())
    }

    fn report(self, host: &Host, server: PeerId, now: Time) -> Report {
        let (v1, v2) = (of_v1(host), of_v2(host));
        let waiting = |speaks: bool, explained: Option<String>| match speaks {
            false => "the server does not speak it".into(),
            true => explained.map_or_else(|| "not asked".into(), |text| one_line(&text)),
        };
        let first = Answer {
            reachability: word(v1),
            addresses: Vec::new(),
            error: (v1 == Reachability::Unknown)
                .then(|| waiting(self.v1, host.autonat_v1().map(|it| it.explain(now).to_string()))),
        };
        let explained = host.autonat_v2().map(|it| it.explain(now));
        let addresses = explained.iter().flat_map(|it| &it.addresses);
        let second = Answer {
            reachability: word(v2),
            addresses: addresses
                .map(|one| Address { address: one.address.to_string(), reachability: word(one.reachability) })
                .collect(),
            error: (v2 == Reachability::Unknown).then(|| waiting(self.v2, explained.map(|it| it.to_string()))),
        };
        let ok = v1 != Reachability::Unknown || v2 != Reachability::Unknown;
        let error = (!ok).then(|| format!("no answer within {}", span(PATIENCE)));
        Report { ok, error, peer: Some(server.to_string()), v1: Some(first), v2: Some(second) }
    }
}

impl Report {
    fn failed(error: String) -> Report {
        Report { ok: false, error: Some(error), peer: None, v1: None, v2: None }
    }
}

fn word(reachability: Reachability) -> &'static str {
    match reachability {
        Reachability::Unknown => "unknown",
        Reachability::Private => "private",
        Reachability::Public => "public",
    }
}

fn people(output: &Output, report: &Report) {
    for (version, answer) in [("v1", &report.v1), ("v2", &report.v2)] {
        let Some(answer) = answer else { continue };
        let why = answer.error.as_ref().map_or(String::new(), |error| format!(": {error}"));
        output.line(format!("AutoNAT {version}: {}{why}", output.paint(Style::Bold, answer.reachability)));
        for Address { address, reachability } in &answer.addresses {
            output.line(format!("  {address} {reachability}"));
        }
    }
    if let Some(error) = &report.error {
        note(error);
    }
}
