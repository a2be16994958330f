//! `tidewire reserve`: hold a reservation at a relay, and serve those who come through it.
//!
//! ```text
//!  listen --> {"listening": MA, ..}   where holes are punched from, unless circuits stay what they are
//!  hold --> {"reserved": true, ..}    again with each renewal, and after a relay that was lost
//!      '--> {"reserved": false, ..}   refused: tried again, unless trying again can't help: exit code 1
//! ```

use crate::args::{self, Unusable};
use crate::listen::{short, show};
use crate::node::{Setup, Signals};
use crate::output::{Output, Style, note, span};
use crate::probe;
use crate::relaying;
use crate::serving::Service;
use crate::watch::Told;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tidewire_connmgr as connmgr;
use tidewire_core::{Multiaddr, PeerId};
use tidewire_dcutr::coordinator::Event as Punch;
use tidewire_dcutr::report::End;
use tidewire_relay::circuit_address;
use tidewire_relay::client::Event as E;
use tidewire_tokio::{ConnectionId, Event, Notice};

/// A line of `--json`.
#[derive(Debug, Serialize)]
struct Reserved<'a> {
    reserved: bool,
    circuit: &'a str,
    peer: String,
    renewed: bool,
    all: &'a [String],
    seconds: u64,
}

/// The same when there is none.
#[derive(Debug, Serialize)]
struct Refused<'a> {
    reserved: bool,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_seconds: Option<f64>,
}

/// A peer that came through the relay has a direct connection.
#[derive(Debug, Serialize)]
struct Direct {
    direct: bool,
    peer: String,
    addr: String,
}

/// Whether all went well.
pub(crate) async fn run(args: args::Reserve, output: &Output) -> Result<bool, Unusable> {
    let mut setup = Setup::new(&args.serving.node)?;
    args.punching.apply(&mut setup.config.host.punching);
    let error = match serve(&args, setup, output).await {
        Ok(()) => return Ok(true),
        Err(error) => error,
    };
    if output.json {
        output.object(&Refused { reserved: false, error: &error, retry_seconds: None });
    } else {
        note(&error);
    }
    Ok(false)
}

async fn serve(args: &args::Reserve, setup: Setup, output: &Output) -> Result<(), String> {
    let mut signals = Signals::install()?;
    let starting = async {
        let relay = probe::who(&args.relay, &setup).await?;
        let shown = output.clone();
        let at = args.relay.without_peer_id();
        let show = move |told: &Told<'_>| {
            if !is_ours(told, relay, &at) {
                show(&shown, told);
            }
        };
        Ok::<_, String>((relay, Service::start(&args.serving, setup, output, show).await?))
    };
    let (relay, service) = tokio::select! {
        started = starting => started?,
        _ = signals.next() => return Ok(()),
    };
    service.announce(output, None);
    let mut events = service.node.events();
    relaying::hold(&service.node, relay, args.relay.without_peer_id())?;
    let holding = async {
        let mut upgrades = Upgrades::default();
        while let Some(notice) = events.next().await {
            if let Notice::Event(event) = &notice
                && let Some((peer, at)) = upgrades.hear(event)
            {
                direct(peer, &at, output);
            }
            if let Notice::Event(Event::RelayClient(event)) = notice
                && relay_of(&event) == Some(relay)
            {
                told(&event, &Holding { args, relay, service: &service, output })?;
            }
        }
        Err("the node is over".to_owned())
    };
    let result = tokio::select! {
        ended = holding => ended,
        signal = signals.next() => {
            if !output.json {
                note(&format!("{signal}: closing"));
            }
            Ok(())
        }
    };
    service.close().await;
    result
}

/// Says that a peer is connected directly now.
fn direct(peer: PeerId, at: &Multiaddr, output: &Output) {
    if output.json {
        output.object(&Direct { direct: true, peer: peer.to_string(), addr: at.to_string() });
    } else {
        let at = output.paint(Style::Bold, &at.to_string());
        output.line(format!("{} is connected directly now: {at}", short(output, peer)));
    }
}

/// Who came through a relay, and has a direct connection.
#[derive(Default)]
struct Upgrades {
    relayed: BTreeMap<ConnectionId, PeerId>,
    direct: BTreeMap<ConnectionId, PeerId>,
    /// Of whom it was told.
    told: BTreeSet<PeerId>,
}

impl Upgrades {
    /// Of a peer that was reached through a relay alone until now, where it is reached directly.
    fn hear(&mut self, event: &Event) -> Option<(PeerId, Multiaddr)> {
        match event {
            Event::Manager(connmgr::Event::ConnectionOpened { connection, peer, remote, .. }) => {
                if remote.is_relayed() {
                    self.relayed.insert(*connection, *peer);
                    return None;
                }
                let has = |all: &BTreeMap<_, PeerId>| all.values().any(|one| one == peer);
                let upgraded = has(&self.relayed) && !has(&self.direct);
                self.direct.insert(*connection, *peer);
                (upgraded && self.told.insert(*peer)).then(|| (*peer, remote.clone()))
            }
            Event::Manager(connmgr::Event::ConnectionClosed { connection, .. }) => {
                self.relayed.remove(connection);
                if let Some(peer) = self.direct.remove(connection)
                    && !self.direct.values().any(|one| *one == peer)
                {
                    self.told.remove(&peer);
                }
                None
            }
            // The circuit may have been over first.
            Event::Punch(Punch::Report(report)) => match &report.end {
                End::Upgraded { address, .. } if self.told.insert(report.peer) => Some((report.peer, address.clone())),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What becomes of the reservation is told here, where the addresses are known too; and so is why the relay was not reached, once,
/// with when it is tried again.
fn is_ours(told: &Told<'_>, relay: PeerId, at: &Multiaddr) -> bool {
    match told {
        Told::RelayClient(event) => relay_of(event) == Some(relay),
        Told::Failed { address: Some(address), .. } => address.without_peer_id() == *at,
        _ => false,
    }
}

/// At which relay something happened to a reservation.
fn relay_of(event: &E) -> Option<PeerId> {
    match event {
        E::Reserved { relay, .. }
        | E::Renewed { relay, .. }
        | E::Refused { relay, .. }
        | E::Failed { relay, .. }
        | E::Lost { relay, .. } => Some(*relay),
        _ => None,
    }
}

struct Holding<'a> {
    args: &'a args::Reserve,
    relay: PeerId,
    service: &'a Service,
    output: &'a Output,
}

/// Tells what became of the reservation.
///
/// # Errors
/// There will be none.
fn told(event: &E, holding: &Holding<'_>) -> Result<(), String> {
    let output = holding.output;
    match event {
        E::Reserved { ttl, .. } => holding.has(*ttl, false),
        E::Renewed { ttl, .. } => holding.has(*ttl, true),
        E::Refused { why, retry, .. } => {
            let error = relaying::refusal(why);
            // Who has one keeps it to its end, and goes on asking.
            let held = !relaying::circuits(&holding.service.node, holding.relay).is_empty();
            let Some(retry) = retry.filter(|_| held || !why.is_lasting()) else { return Err(error) };
            if output.json {
                output.object(&Refused { reserved: false, error: &error, retry_seconds: Some(retry.as_secs_f64()) });
            } else if let Some(line) = relaying::client_line(output, event) {
                output.line(line);
            }
        }
        event if output.json => relaying::client_object(output, event),
        event => relaying::client_line(output, event).into_iter().for_each(|line| output.line(line)),
    }
    Ok(())
}

impl Holding<'_> {
    fn has(&self, ttl: Duration, renewed: bool) {
        let Holding { args, relay, service, output } = *self;
        let peer = service.node.peer();
        let mut all = relaying::circuits(&service.node, relay);
        // First the one by which we found the relay ourselves.
        let ours = circuit_address(&args.relay, relay, peer);
        all.sort_by_key(|address| Some(address) != ours.as_ref());
        if all.is_empty() {
            all.extend(ours);
        }
        let all: Vec<String> = all.iter().map(Multiaddr::to_string).collect();
        let circuit = all.first().map_or("", String::as_str);
        if output.json {
            let (peer, seconds) = (peer.to_string(), ttl.as_secs());
            output.object(&Reserved { reserved: true, circuit, peer, renewed, all: &all, seconds });
            return;
        }
        let (verb, time) = (if renewed { "renewed" } else { "reserved" }, span(ttl));
        output.line(format!("{verb} at {} for {time}", short(output, relay)));
        if !renewed {
            for address in &all {
                output.line(format!("reached at {}", output.paint(Style::Bold, address)));
            }
            output.line(output.paint(Style::Dim, &format!("try: tidewire dial-circuit {circuit}")));
            if !args.punching.off {
                let private = if args.punching.private { " --private" } else { "" };
                output.line(output.paint(Style::Dim, &format!("or:  tidewire punch {circuit}{private}")));
            }
        }
    }
}
