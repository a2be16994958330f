//! The chapter with a direct connection: reserve, circuit, echo, and then both leave the relay.
//!
//! ```text
//!  dialer        relay        holder
//!    <=== one connection, through the relay ===>
//!    <- CONNECT, CONNECT ->, <- SYNC -----------
//!    ----- both dial, at the same moment ------>     a hole punch, if there were NATs
//!    <=== one connection, direct ==============>
//! ```

use super::relayed::{Story, Who, draw, party, until};
use super::{PATIENCE, Stage, one_thread, text};
use crate::args;
use crate::keys;
use crate::listen::last;
use crate::node;
use crate::output::{Style, millis, rate, size, span};
use crate::protocols::{self, ECHO};
use crate::punching;
use crate::relaying;
use serde::Serialize;
use std::time::Duration;
use tidewire_core::Multiaddr;
use tidewire_dcutr::Report;
use tidewire_dcutr::coordinator::Event as Punch;
use tidewire_dcutr::report::{End, How};
use tidewire_host::addresses::Loopback;
use tidewire_relay::client;
use tidewire_relay::server::Offer;
use tidewire_tokio::{DialOptions, Event, Events, Node, Notice};
use tokio::time::timeout;

/// At most so much is echoed over each of the two connections.
const ECHO_SIZE: u64 = 16 << 10;

/// What the chapter found out.
#[derive(Debug, Serialize)]
pub(super) struct Punched {
    upgraded: bool,
    /// From the beginning of the attempt.
    after_ms: f64,
    direct_addr: String,
    echo: super::Echo,
    direct_echo: super::Echo,
    report: punching::Told,
    #[serde(skip)]
    how: Option<How>,
}

/// A circuit that becomes a direct connection.
pub(super) fn punched(stage: &mut Stage<'_>) -> Result<(), String> {
    let (mut config, mut server) = (stage.config.clone(), stage.relay.clone());
    (server.offer, server.announce_private) = (Offer::Always, true);
    // There is nothing public on this machine's own interface.
    config.host.punching.get_or_insert_default().addresses.allow_private = true;
    let bytes = stage.size.min(ECHO_SIZE).min(server.limit.bytes().map_or(u64::MAX, |bytes| bytes / 4));
    let (rows, found) = one_thread(async {
        let story = Story::new("direct");
        let mut of_relay = config.clone();
        of_relay.host.relay.server = Some(server);
        let relay = party(of_relay, Who::Relay, &story)?;
        let holder = party(config.clone(), Who::Holder, &story)?;
        // Else the holder would simply dial it, which is tried first.
        let mut silent = config;
        silent.host.addresses.policy.loopback = Loopback::Never;
        let dialer = party(silent, Who::Dialer, &story)?;
        let found = play(&relay, &holder, &dialer, bytes, &story).await;
        let rows = story.rows();
        for node in [&dialer, &holder, &relay] {
            node::close(node).await;
        }
        Ok((rows, found?))
    })?;
    draw(stage.output, &rows);
    let echoed = |echo: &super::Echo| span(Duration::from_secs_f64(echo.ms / 1000.0));
    let direct = Duration::from_secs_f64(found.direct_echo.ms / 1000.0);
    stage.people(&format!(
        "\n{} {} after the attempt began. {} there and back in {}, {} each way; through the relay it took {}.",
        stage.output.paint(Style::Bold, "Direct"),
        span(Duration::from_secs_f64(found.after_ms / 1000.0)),
        size(found.direct_echo.bytes),
        echoed(&found.direct_echo),
        rate(found.direct_echo.bytes, direct),
        echoed(&found.echo)
    ));
    stage.people(match found.how {
        Some(How::Direct) => {
            "No hole was punched: the holder's plain dial reached the dialer, and that is tried first."
        }
        _ => {
            "Both dialed at about the same moment, the holder half a round trip after its SYNC: that opens a hole in both\n\
             NATs. On this machine there is none, and the first dial got through. The dialer told its address only in\n\
             the exchange; else a plain dial, which is tried first, had done. tidewire punch shows all of it."
        }
    });
    stage.people(&format!("The holder's report: {}.", found.report.sentence()));
    stage.summary.direct = Some(found);
    Ok(())
}

async fn play(relay: &Node, holder: &Node, dialer: &Node, bytes: u64, story: &Story) -> Result<Punched, String> {
    node::serve_echo(holder, |_| {})?;
    let address: Multiaddr = args::LISTEN_ADDRESS.parse().map_err(text)?;
    let listening = relay.listen(&address).await.map_err(text)?;
    let at = listening.addresses().first().ok_or("the relay has no address")?.without_peer_id();
    // From these ports they dial.
    for node in [dialer, holder] {
        node.listen(&address).await.map_err(text)?;
    }
    let mut of_holder = holder.events();
    relaying::hold(holder, relay.peer(), at)?;
    until(&mut of_holder, "no reservation", |event| {
        matches!(event, Event::RelayClient(client::Event::Reserved { .. }))
    })
    .await?;
    let circuit =
        relaying::circuits(holder, relay.peer()).into_iter().next().ok_or("the reservation has no address")?;

    story.add(Who::Dialer, format!("wants to reach {} through it", last(holder.peer())));
    let (peer, options) = (holder.peer(), DialOptions::default());
    let connected = timeout(PATIENCE, dialer.connect_to(peer, std::slice::from_ref(&circuit), options)).await;
    connected.map_err(|_| "the circuit takes too long")?.map_err(text)?;
    let echo = echo(dialer, holder, bytes, true, story).await?.0;

    let report = reported(&mut of_holder).await?;
    let (how, after) = match &report.end {
        End::Upgraded { how, after, .. } => (Some(*how), *after),
        _ => return Err(format!("no direct connection: {}", punching::sentence(&report))),
    };
    let (direct_echo, direct_addr) = self::echo(dialer, holder, bytes, false, story).await?;
    let direct_addr = direct_addr.to_string();
    let (after_ms, report) = (millis(after), punching::Told::new(report));
    Ok(Punched { upgraded: true, after_ms, direct_addr, echo, direct_echo, report, how })
}

/// Bytes there and back, and where the stream's connection leads to. `limited`: through a relay will do.
async fn echo(
    dialer: &Node,
    holder: &Node,
    bytes: u64,
    limited: bool,
    story: &Story,
) -> Result<(super::Echo, Multiaddr), String> {
    let options = node::on_connection(tidewire_tokio::Selection::Lazy, PATIENCE, limited);
    let stream = dialer.open(holder.peer(), &protocols::proposal(ECHO), options).await.map_err(text)?;
    let connection = stream.connection();
    let remote = dialer.host(|host| host.manager().connection(connection).map(|one| one.remote.clone()));
    let remote = remote.ok_or("the connection is over already")?;
    if remote.is_relayed() != limited {
        return Err(format!("the echo went over the wrong connection, {remote}"));
    }
    let seed = keys::entropy().map_err(text)?;
    let echoed = protocols::echo(stream, bytes, &seed, PATIENCE, |_| {}).await.map_err(text)?;
    let way = if limited { "through the relay" } else { "directly" };
    story.add(Who::Dialer, format!("has its {} back {way}", size(echoed.bytes)));
    Ok((super::Echo { bytes: echoed.bytes, ms: millis(echoed.took) }, remote))
}

/// The holder's report.
async fn reported(events: &mut Events) -> Result<Box<Report>, String> {
    let wait = async {
        while let Some(notice) = events.next().await {
            if let Notice::Event(Event::Punch(Punch::Report(report))) = notice {
                return Some(report);
            }
        }
        None
    };
    let report = timeout(PATIENCE, wait).await.map_err(|_| "the attempt at a direct connection takes too long")?;
    report.ok_or_else(|| "the holder is over".into())
}
