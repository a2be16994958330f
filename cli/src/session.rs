//! A node with one connection that it dialed: what `dial` and `ping` begin with.

use crate::keys;
use crate::listen::Identity;
use crate::node::{self, Setup};
use crate::output::span;
use crate::probe;
use crate::protocols::{self, ECHO, PING, ProtocolError};
use crate::record::Running;
use crate::upgrade::{self, Upgraded};
use crate::watch::{Told, Watcher};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidewire_connmgr::dial::DialOptions;
use tidewire_connmgr::{self as connmgr, Direction};
use tidewire_core::{Multiaddr, PeerId, Seed, Time};
use tidewire_dcutr::Report;
use tidewire_dcutr::coordinator::Waits;
use tidewire_tokio::{ConnectionId, Event, Events, MuxerKind, Node, Notice, Selection, Stream};
use tokio::time::timeout;

/// How long who the peer is may be waited for behind everything else.
const IDENTIFY: Duration = Duration::from_secs(5);
/// How long the end of a connection may be behind what broke because of it.
const CONNECTION_END: Duration = Duration::from_millis(500);
/// How long a direct connection is kept, at least, before all is closed.
const SETTLE: Duration = Duration::from_millis(300);
/// From one look to the next, whether an attempt is still under way.
const LOOK: Duration = Duration::from_millis(50);
/// Behind the upgrade's own limit, whose error knows more than that it took too long.
const GRACE: Duration = Duration::from_millis(500);

/// Why nothing is waited for any more.
pub(crate) const LOST: &str = "no connection to the peer is left";

/// A connection, and the node that has it.
pub(crate) struct Session {
    node: Node,
    running: Running,
    pub(crate) peer: PeerId,
    pub(crate) security: String,
    pub(crate) muxer: MuxerKind,
    /// How long it took until the connection was there.
    pub(crate) took: Duration,
    connection: ConnectionId,
    events: Events,
    patience: Duration,
    selection: Selection,
    identified: Option<Result<Identity, String>>,
    pushes: u32,
    /// What was opened in the moment that there was a connection, until it is taken.
    opened: BTreeMap<&'static str, Result<Stream, String>>,
    /// A relay is on the way.
    relayed: bool,
    upgraded: Upgraded,
    began: Instant,
    /// The same moment by the node's clock, if the connection was still there to tell it.
    since: Option<Time>,
    /// Why the connection ended, if it did.
    over: Option<String>,
}

impl Session {
    /// Dials, through a relay if the address says so. The peer may ask who we are, and ping back, as with any node.
    pub(crate) async fn dial(address: &Multiaddr, setup: Setup) -> Result<Session, String> {
        Session::shown(address, setup, false, |_| {}).await
    }

    /// The same, and `show` sees what happens to the node. `at_once`: streams for echo and ping are opened on the connection in the
    /// moment that it is there, so that they are on it whatever comes beside it later.
    pub(crate) async fn shown(
        address: &Multiaddr,
        setup: Setup,
        at_once: bool,
        show: impl Fn(&Told<'_>) + Send + Sync + 'static,
    ) -> Result<Session, String> {
        let (patience, selection, private) = (setup.patience(), setup.selection(), setup.private());
        let peer = probe::who(address, &setup).await?;
        let (listen, announce) = (setup.listen.clone(), setup.announce.clone());
        let (teller, upgraded) = upgrade::of(peer);
        let watcher = Arc::new(Watcher::new(move |told| {
            teller.tell(told);
            show(told);
        }));
        let (node, running) = setup.start(watcher.clone())?;
        node::announce(&node, &announce)?;
        for address in &listen {
            node.listen(address).await.map_err(|error| error.to_string())?;
        }
        let events = node.events();
        let began = Instant::now();
        let connecting = async {
            let options = DialOptions::default();
            let connected =
                timeout(patience + GRACE, node.connect_to(peer, std::slice::from_ref(address), options)).await;
            (connected, began.elapsed())
        };
        let opening = async |protocol: &'static str| {
            let mut options = node::on_connection(selection, patience, true);
            // It waits for the same dial.
            options.dial = true;
            if !at_once {
                return None;
            }
            let opened = node.open(peer, &protocols::proposal(protocol), options).await;
            Some((protocol, opened.map_err(|error| format!("{protocol}: {error}"))))
        };
        let ((connected, took), echo, ping) = tokio::join!(connecting, opening(ECHO), opening(PING));
        let connected = connected
            .map_err(|_| format!("{address} did not answer within {}", span(patience)))
            .and_then(|result| result.map_err(|error| node::why_not(address, &error, watcher.agreed(), private)));
        let connected = match connected {
            Ok(connected) => connected,
            Err(error) => {
                running.close().await;
                return Err(error);
            }
        };
        let connection = connected.connection;
        let (security, muxer) = watcher.upgraded(connection.0).ok_or("the connection is over already")?;
        let since = node.host(|host| host.manager().connection(connection).map(|one| one.since));
        Ok(Session {
            node,
            running,
            peer,
            security,
            muxer,
            took,
            connection,
            events,
            patience,
            selection,
            identified: None,
            pushes: 0,
            opened: [echo, ping].into_iter().flatten().collect(),
            relayed: address.is_relayed(),
            upgraded,
            began: began + took,
            since,
            over: None,
        })
    }

    /// Closes everything. With the report of the last attempt: one that was under way ends with this.
    pub(crate) async fn close(mut self) -> Option<Box<Report>> {
        self.running.close().await;
        self.upgraded.report(Instant::now()).await
    }

    /// Whether the connection is still there.
    pub(crate) fn is_there(&self) -> bool {
        self.node.host(|host| host.manager().connection(self.connection).is_some())
    }

    /// Whether no connection to the peer is left, nor a dial under way that may become one.
    pub(crate) fn is_lost(&self) -> bool {
        is_lost(&self.node, &self.peer)
    }

    /// Whether there is a connection to the peer without a relay on the way.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct().is_some()
    }

    fn direct(&self) -> Option<ConnectionId> {
        self.node.host(|host| host.manager().connections_of(&self.peer).find(|one| !one.relayed).map(|one| one.id))
    }

    /// Leaves the peer a moment to hear that both have the direct connection, so that its report says so too.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(SETTLE).await;
    }

    /// Where a direct connection leads to.
    pub(crate) fn direct_address(&self) -> Option<Multiaddr> {
        let direct = self.direct()?;
        self.node.host(|host| host.manager().connection(direct).map(|one| one.remote.clone()))
    }

    /// How long ago the connection came to be.
    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether an attempt at a direct connection is under way.
    pub(crate) fn is_punching(&self) -> bool {
        self.node.explain_punch(&self.peer).is_some_and(|view| matches!(view.waits, Waits::Attempt(..)))
    }

    /// Without a report: how the direct connection came to be, or what is done about one, in a sentence.
    pub(crate) fn explain_upgrade(&self) -> String {
        let direct = self.direct().and_then(|direct| {
            self.node.host(|host| host.manager().connection(direct).map(|one| (one.direction, one.remote.clone())))
        });
        match direct.filter(|_| !self.is_punching()) {
            Some((Direction::Inbound, at)) => {
                format!("the peer reached us as we are, from {at}: no hole had to be punched")
            }
            Some((Direction::Outbound, at)) => {
                format!("we reached the peer at {at} as it is: no hole had to be punched")
            }
            None => self.explain_punch(),
        }
    }

    /// What is done about a direct connection, in words.
    pub(crate) fn explain_punch(&self) -> String {
        if self.is_lost() {
            return LOST.into();
        }
        let Some(view) = self.node.explain_punch(&self.peer) else {
            let off = self.node.host(|host| host.punching().is_none());
            let why =
                if off { "nothing is done about a direct connection" } else { "there is no circuit to begin with" };
            return why.into();
        };
        let protocols = self.node.host(|host| {
            let identity = host.identity(&self.peer)?;
            Some(identity.protocols.iter().any(|name| name.as_ref() == tidewire_dcutr::PROTOCOL))
        });
        let words = view.to_string();
        let words = words.strip_prefix(&format!("{}: ", self.peer)).unwrap_or(&words);
        match view.waits {
            Waits::Attempt(..) => format!("the attempt is still under way: {words}"),
            Waits::TheirMove if protocols == Some(false) => {
                format!("the peer does not speak {}: the circuit stays", tidewire_dcutr::PROTOCOL)
            }
            Waits::TheirMove => "the peer is to open a stream for it, and did not; its own report says why".into(),
            _ => words.to_owned(),
        }
    }

    /// Begins an attempt at a direct connection, if there is none under way.
    ///
    /// # Errors
    /// There is no circuit any more.
    pub(crate) fn punch(&self) -> Result<(), String> {
        self.node.punch(self.peer).map_err(|error| error.to_string())
    }

    /// How long after the circuit stood there was a direct connection: waits for it, until so long after the circuit stood, and
    /// not longer than there is any connection.
    pub(crate) async fn upgraded(&mut self, wait: Duration) -> Option<Duration> {
        let (node, peer) = (&self.node, &self.peer);
        let lost = async {
            while !is_lost(node, peer) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            direct = self.upgraded.direct(self.began + wait) => return direct,
            () = lost => {}
        }
        self.upgraded.direct(Instant::now()).await
    }

    /// Whether either end did anything about a direct connection: waits for it likewise.
    pub(crate) async fn has_begun(&mut self, wait: Duration) -> bool {
        loop {
            let report = self.upgraded.report(Instant::now()).await;
            let dialed = report.is_some_and(|report| report.direct.is_some() || !report.tries.is_empty());
            let begun = dialed || self.is_punching() || self.is_direct();
            let left = wait.saturating_sub(self.age());
            if begun || left.is_zero() || self.is_lost() {
                return begun;
            }
            tokio::time::sleep(LOOK.min(left)).await;
        }
    }

    /// Whether the peer said where it listens, and none of that is public.
    pub(crate) fn is_private(&self) -> bool {
        self.node.host(|host| {
            let identity = host.identity(&self.peer);
            identity.is_some_and(|identity| !identity.listen_addresses().iter().any(Multiaddr::is_public))
        })
    }

    /// The report of the attempt, waited for likewise, as long as there is one under way.
    pub(crate) async fn report(&mut self, wait: Duration) -> Option<Box<Report>> {
        loop {
            let going = self.is_punching() && self.age() < wait;
            // The report of one that just ended may be on its way.
            let report = self.upgraded.report(Instant::now() + LOOK).await;
            if report.is_some() || !going {
                return report;
            }
        }
    }

    /// A stream on a direct connection, which is waited for so long at most, with where that leads to, and how long after the
    /// circuit it stood: of several that connection alone counts which has the stream.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn open_directly(
        &self,
        protocol: &'static str,
        wait: Duration,
    ) -> Result<(Stream, Multiaddr, Duration), String> {
        let patience =
            if self.is_direct() { self.patience } else { wait.clamp(GRACE.min(self.patience), self.patience) };
        let options = node::on_connection(self.selection, patience, false);
        let opened = self.node.open(self.peer, &protocols::proposal(protocol), options).await;
        let stream = opened.map_err(|error| format!("{protocol}, directly: {error}"))?;
        let used = self.node.host(|host| {
            let connection = host.manager().connection(stream.connection())?;
            Some((connection.remote.clone(), connection.since))
        });
        match used {
            Some((remote, since)) if !remote.is_relayed() => {
                let took = self.since.map_or_else(|| self.age(), |circuit| since.since(circuit));
                Ok((stream, remote, took))
            }
            Some(_) => {
                Err(format!("{protocol}: its stream went through the relay, though there was a direct connection"))
            }
            None => Err(format!("{protocol}: the direct connection is over already")),
        }
    }

    /// Why something failed: with the words of how the connection ended, where that is a circuit. Those of the relay's limits are
    /// among them.
    pub(crate) async fn why(&mut self, error: String) -> String {
        if !self.relayed {
            return error;
        }
        let over = async {
            while self.over.is_none() {
                let Some(notice) = self.events.next().await else { break };
                self.note(notice);
            }
        };
        // One that goes on was not the reason.
        let _ = timeout(CONNECTION_END, over).await;
        match &self.over {
            Some(why) => format!("{error}; the circuit was {why}"),
            None => error,
        }
    }

    /// A stream on the connection: the one that was opened at once, if there is one, or a new one, on the best that there is by now.
    pub(crate) async fn open(&mut self, protocol: &'static str) -> Result<Stream, String> {
        match self.opened.remove(protocol) {
            Some(opened) => opened,
            None => self.open_anew(protocol).await,
        }
    }

    async fn open_anew(&self, protocol: &'static str) -> Result<Stream, String> {
        let options = node::on_connection(self.selection, self.patience, self.relayed);
        self.node
            .open(self.peer, &protocols::proposal(protocol), options)
            .await
            .map_err(|error| format!("{protocol}: {error}"))
    }

    /// So many pings.
    pub(crate) async fn pings(&mut self, count: u64) -> Result<Vec<Duration>, String> {
        let opened = self.opened.remove(PING).transpose()?;
        let mut pings = Pings::new(self, keys::entropy().map_err(|error| error.to_string())?);
        pings.stream = opened;
        let mut took = Vec::new();
        for _ in 0..count {
            took.push(pings.next().await?);
        }
        pings.finish().await;
        Ok(took)
    }

    /// Waits, as long as the connection lives. Who stays serves the echo too, and the peer is told of that change.
    ///
    /// # Errors
    /// It ended before.
    pub(crate) async fn hold(&mut self, time: Duration) -> Result<(), String> {
        node::serve_echo(&self.node, |_| {})?;
        let began = Instant::now();
        loop {
            let Ok(why) = timeout(time.saturating_sub(began.elapsed()), self.ended()).await else { return Ok(()) };
            // A circuit goes when there is a direct connection.
            match self.direct() {
                Some(direct) => self.connection = direct,
                None => return Err(format!("idle for {}, then the connection was over: {why}", span(began.elapsed()))),
            }
        }
    }

    /// Who the peer says that it is, and how often it has told of a change since.
    pub(crate) async fn identity(&mut self) -> (Result<Identity, String>, u32) {
        let limit = IDENTIFY.min(self.patience);
        let began = Instant::now();
        while self.identified.is_none() {
            match timeout(limit.saturating_sub(began.elapsed()), self.events.next()).await {
                Ok(Some(notice)) => drop(self.note(notice)),
                Ok(None) => break,
                Err(_) => return (Err(format!("it did not say so within {}", span(limit))), self.pushes),
            }
        }
        // What came meanwhile is taken too.
        while let Ok(Some(notice)) = timeout(Duration::ZERO, self.events.next()).await {
            self.note(notice);
        }
        (self.identified.clone().unwrap_or_else(|| Err("the node is over".into())), self.pushes)
    }

    async fn ended(&mut self) -> String {
        loop {
            match self.events.next().await {
                None => return "the node is over".into(),
                Some(notice) => {
                    if let Some(why) = self.note(notice) {
                        return why;
                    }
                }
            }
        }
    }

    /// Takes note of what happened; why the connection ended, if it did.
    fn note(&mut self, notice: Notice) -> Option<String> {
        let Notice::Event(event) = notice else { return None };
        match event {
            // Relays say who they are too.
            Event::Identified { peer, identity, pushed, .. } if peer == self.peer => {
                self.pushes += u32::from(pushed);
                self.identified = Some(Ok(Identity::of(&identity)));
            }
            Event::IdentifyFailed { peer, why, .. } if peer == self.peer => {
                self.identified = Some(Err(why.to_string()));
            }
            Event::Manager(connmgr::Event::ConnectionClosed { connection, by, reason, .. })
                if connection == self.connection =>
            {
                let why = format!("closed by {by}: {reason}");
                self.over = Some(why.clone());
                return Some(why);
            }
            _ => {}
        }
        None
    }
}

fn is_lost(node: &Node, peer: &PeerId) -> bool {
    let punching = node.explain_punch(peer).is_some_and(|view| matches!(view.waits, Waits::Attempt(..)));
    !punching && node.host(|host| host.manager().connections_of(peer).next().is_none())
}

/// Streams in a row that may be reset before one answers.
const MAX_FRUITLESS: u32 = 2;

/// Pings one after the other on one stream; on one stream each, with a peer that wants it so.
pub(crate) struct Pings<'a> {
    session: &'a Session,
    seed: Seed,
    stream: Option<Stream>,
    /// Streams in a row that answered nothing.
    fruitless: u32,
    count: u64,
}

impl<'a> Pings<'a> {
    pub(crate) fn new(session: &'a Session, seed: Seed) -> Self {
        Pings { session, seed, stream: None, fruitless: 0, count: 0 }
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Result<Duration, String> {
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                none => none.insert(self.session.open_anew(PING).await?),
            };
            let seed = self.seed.derive("ping", self.count);
            match protocols::ping(stream, &seed, self.session.patience).await {
                Ok(took) => {
                    (self.fruitless, self.count) = (0, self.count + 1);
                    return Ok(took);
                }
                // rust-libp2p answers on the latest stream alone: the node's own ping may have come between.
                Err(error) if self.fruitless < MAX_FRUITLESS && protocols::wants_new_stream(&error) => {
                    (self.fruitless, self.stream) = (self.fruitless + 1, None);
                }
                Err(error @ ProtocolError::Silence(_)) => {
                    // Its answer may come yet, and would be taken for that of the next ping.
                    self.stream = None;
                    return Err(format!("{PING}: {error}"));
                }
                Err(error) => return Err(format!("{PING}: {error}")),
            }
        }
    }

    /// Closes our side; what the peer does with its own is its affair.
    pub(crate) async fn finish(mut self) {
        if let Some(stream) = &mut self.stream {
            let _ = timeout(self.session.patience, tokio::io::AsyncWriteExt::shutdown(stream)).await;
        }
    }
}
