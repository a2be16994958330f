//! The chapter with a relay: a holder that nobody can dial reserves, a dialer comes through, bytes go there and back.
//!
//! ```text
//!  dialer        relay        holder
//!               <---- reserve ----
//!    ---- connect ---->
//!                ---- stop ------->
//!    <=== one connection, encrypted from end to end ===>
//! ```

use super::{PATIENCE, Stage, one_thread, text};
use crate::args;
use crate::keys;
use crate::listen::last;
use crate::node;
use crate::output::{Output, Style, millis, rate, size, span};
use crate::protocols::{self, ECHO};
use crate::relaying;
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidewire_connmgr::{self as connmgr, Direction};
use tidewire_core::{Keypair, Multiaddr};
use tidewire_dcutr::coordinator::{Event as Punch, Stage as Punching};
use tidewire_dcutr::report::Side;
use tidewire_host::link::Report;
use tidewire_relay::exchange::{Answer, Request};
use tidewire_relay::server::{self, Offer};
use tidewire_relay::{Limit, client};
use tidewire_tokio::{Command, DialOptions, Event, Events, Node, NodeConfig, Notice, Observed, Observer};
use tokio::time::timeout;

/// At most so much is echoed: a quarter of what a circuit carries by default.
const ECHO_SIZE: u64 = 32 << 10;
/// Columns between the beginnings of what two of the three say.
const COLUMN: usize = 34;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Who {
    Dialer,
    Relay,
    Holder,
}

/// A line of the picture.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    chapter: &'static str,
    at_ms: f64,
    side: Who,
    says: String,
}

/// What the chapter found out.
#[derive(Debug, Serialize)]
pub(super) struct Relayed {
    circuit: String,
    reserve_ms: f64,
    connect_ms: f64,
    echo: super::Echo,
}

/// What the three reported, in order. A clone is another handle.
#[derive(Clone)]
pub(super) struct Story {
    chapter: &'static str,
    began: Instant,
    rows: Arc<Mutex<Vec<Row>>>,
}

impl Story {
    pub(super) fn new(chapter: &'static str) -> Self {
        Story { chapter, began: Instant::now(), rows: Arc::default() }
    }

    pub(super) fn add(&self, side: Who, says: impl Into<String>) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        // The time is taken under the lock, so that it never runs backwards in the list.
        let at_ms = millis(self.began.elapsed());
        rows.push(Row { chapter: self.chapter, at_ms, side, says: says.into() });
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A relay, a holder of a reservation, and who comes through.
pub(super) fn relayed(stage: &mut Stage<'_>) -> Result<(), String> {
    let (mut config, mut server) = (stage.config.clone(), stage.relay.clone());
    // That comes in the next chapter.
    config.host.punching = None;
    (server.offer, server.announce_private) = (Offer::Always, true);
    let limit = server.limit;
    let bytes = stage.size.min(ECHO_SIZE).min(limit.bytes().map_or(u64::MAX, |bytes| bytes / 4));
    let (rows, found, peers) = one_thread(async {
        let story = Story::new("relay");
        let mut of_relay = config.clone();
        of_relay.host.relay.server = Some(server);
        let relay = party(of_relay, Who::Relay, &story)?;
        let (holder, dialer) = (party(config.clone(), Who::Holder, &story)?, party(config, Who::Dialer, &story)?);
        let found = play(&relay, &holder, &dialer, bytes, &story).await;
        let peers = (dialer.peer(), relay.peer(), holder.peer());
        // How they shut down is no part of it.
        let rows = story.rows();
        for node in [&dialer, &holder, &relay] {
            node::close(node).await;
        }
        Ok((rows, found?, peers))
    })?;
    let output = stage.output;
    stage.people(&format!(
        "The dialer is {}, the relay {}, the holder {}, whom nobody can dial. A circuit has {limit}.\n",
        last(peers.0),
        last(peers.1),
        last(peers.2)
    ));
    draw(output, &rows);
    let echoed = Duration::from_secs_f64(found.echo.ms / 1000.0);
    stage.people(&format!(
        "\n{} there and back through the relay in {}, {} each way. It saw no plaintext: the connection is\nencrypted from end to end.",
        size(found.echo.bytes),
        span(echoed),
        rate(found.echo.bytes, echoed)
    ));
    stage.summary.relay = Some(found);
    Ok(())
}

pub(super) fn party(config: NodeConfig, who: Who, story: &Story) -> Result<Node, String> {
    let identity = Keypair::from_seed(&keys::entropy().map_err(text)?);
    let seed = keys::entropy().map_err(text)?;
    let teller = Arc::new(Teller { who, story: story.clone() });
    Node::observed(config, identity, &seed, Some(teller)).map_err(text)
}

async fn play(relay: &Node, holder: &Node, dialer: &Node, bytes: u64, story: &Story) -> Result<Relayed, String> {
    node::serve_echo(holder, |_| {})?;
    let address: Multiaddr = args::LISTEN_ADDRESS.parse().map_err(text)?;
    let listening = relay.listen(&address).await.map_err(text)?;
    let at = listening.addresses().first().ok_or("the relay has no address")?.without_peer_id();
    let (mut of_relay, mut of_holder) = (relay.events(), holder.events());

    let began = Instant::now();
    story.add(Who::Holder, format!("wants a reservation at {}", last(relay.peer())));
    relaying::hold(holder, relay.peer(), at)?;
    until(&mut of_holder, "no reservation", |event| {
        matches!(event, Event::RelayClient(client::Event::Reserved { .. }))
    })
    .await?;
    let reserve_ms = millis(began.elapsed());
    let circuit =
        relaying::circuits(holder, relay.peer()).into_iter().next().ok_or("the reservation has no address")?;

    story.add(Who::Dialer, format!("wants to reach {} through it", last(holder.peer())));
    let began = Instant::now();
    let (peer, options) = (holder.peer(), DialOptions::default());
    let connected = timeout(PATIENCE, dialer.connect_to(peer, std::slice::from_ref(&circuit), options)).await;
    let connected = connected.map_err(|_| "the circuit takes too long")?.map_err(text)?;
    let connect_ms = millis(began.elapsed());

    let options = node::on_connection(tidewire_tokio::Selection::Lazy, PATIENCE, true);
    let stream = dialer.open(connected.peer, &protocols::proposal(ECHO), options).await.map_err(text)?;
    let seed = keys::entropy().map_err(text)?;
    let echoed = protocols::echo(stream, bytes, &seed, PATIENCE, |_| {}).await.map_err(text)?;
    story.add(Who::Dialer, format!("has its {} back", size(echoed.bytes)));

    dialer.command(Command::Disconnect { peer, why: "the demo is over".into() }).map_err(text)?;
    until(&mut of_relay, "the circuit does not end", |event| {
        matches!(event, Event::Relay(server::Event::CircuitClosed { .. }))
    })
    .await?;
    let echo = super::Echo { bytes: echoed.bytes, ms: millis(echoed.took) };
    Ok(Relayed { circuit: circuit.to_string(), reserve_ms, connect_ms, echo })
}

/// Waits for what is to happen.
pub(super) async fn until(events: &mut Events, otherwise: &str, wanted: impl Fn(&Event) -> bool) -> Result<(), String> {
    let wait = async {
        while let Some(notice) = events.next().await {
            if matches!(&notice, Notice::Event(event) if wanted(event)) {
                return true;
            }
        }
        false
    };
    match timeout(PATIENCE, wait).await {
        Ok(true) => Ok(()),
        _ => Err(otherwise.into()),
    }
}

/// Puts what a node reports into the words of the picture.
struct Teller {
    who: Who,
    story: Story,
}

impl Observer for Teller {
    fn event(&self, _: u64, event: &Observed) {
        if let Observed::Report(report) = event
            && let Some(says) = of_report(report)
        {
            self.story.add(self.who, says);
        }
    }

    fn host(&self, event: &Event) {
        if let Some(says) = of_host(event) {
            self.story.add(self.who, says);
        }
    }
}

fn of_report(report: &Report) -> Option<String> {
    Some(match report {
        Report::Asked { request, .. } => match &**request {
            Request::Reserve => "is asked for a reservation".into(),
            Request::Connect { destination } => format!("is asked for a circuit to {}", last(*destination)),
            Request::Stop { source, .. } => format!("may {} come? yes", last(*source)),
            _ => return None,
        },
        Report::Answered { answer: Ok(answer), .. } => match &**answer {
            Answer::Connected { limit } => format!("has a circuit{}", within(limit)),
            Answer::Accepted => "hears: yes".into(),
            Answer::Refused { status } => format!("is refused: {status}"),
            _ => return None,
        },
        Report::StreamOpened { direction: Direction::Outbound, protocol, .. } if *protocol == *ECHO => {
            format!("opens {protocol}")
        }
        Report::StreamOpened { protocol, .. } if *protocol == *ECHO => format!("agrees to {protocol}"),
        _ => return None,
    })
}

fn of_host(event: &Event) -> Option<String> {
    Some(match event {
        Event::Manager(connmgr::Event::ConnectionOpened { peer, remote, .. }) => {
            let through = if remote.is_relayed() { ", end to end" } else { "" };
            format!("connected to {}{through}", last(*peer))
        }
        Event::Punch(Punch::Started { side: Side::B, .. }) => "looks for a way without the relay".into(),
        Event::Punch(Punch::Stage { stage, .. }) => match stage {
            Punching::WaitConnect { .. } => "sends CONNECT".into(),
            Punching::AwaitSync { .. } => "answers with its own CONNECT".into(),
            Punching::Armed { wait, .. } => format!("sends SYNC, dials in {}", span(*wait)),
            _ => return None,
        },
        Event::Punch(Punch::Dialing { address, .. }) => {
            format!("dials {}", address.socket_addr().map_or_else(|| address.to_string(), |at| at.to_string()))
        }
        Event::Punch(Punch::Report(report)) if report.is_upgraded() => "knows that both have it".into(),
        Event::Relay(server::Event::Reserved { peer, .. }) => format!("has a place for {}", last(*peer)),
        Event::Relay(server::Event::CircuitOpened { source, destination, .. }) => {
            format!("pumps: {}, {}", last(*source), last(*destination))
        }
        Event::Relay(server::Event::CircuitClosed { forward, backward, why, .. }) => {
            format!("over: {} there, {} back; {why}", size(*forward), size(*backward))
        }
        Event::RelayClient(client::Event::Reserved { ttl, .. }) => format!("has it, for {}", lasting(*ttl)),
        Event::RelayClient(client::Event::CircuitEnded { why, .. }) => format!("circuit over: {why}"),
        _ => return None,
    })
}

fn within(limit: &Limit) -> String {
    if limit.is_unlimited() { String::new() } else { ", with limits".into() }
}

fn lasting(time: Duration) -> String {
    format!("{} min", time.as_secs().div_ceil(60))
}

/// Three columns.
pub(super) fn draw(output: &Output, rows: &[Row]) {
    if output.json {
        rows.iter().for_each(|row| output.object(row));
        return;
    }
    let head = format!("{:>9}  {:COLUMN$}{:COLUMN$}{}", "", "dialer", "relay", "holder");
    output.line(output.paint(Style::Bold, head.trim_end()));
    for row in rows {
        let time = output.paint(Style::Dim, &format!("{:>6.2} ms", row.at_ms));
        let from = match row.side {
            Who::Dialer => 0,
            Who::Relay => COLUMN,
            Who::Holder => 2 * COLUMN,
        };
        output.line(format!("{time}  {:from$}{}", "", row.says));
    }
}
