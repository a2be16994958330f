//! A node with one connection that it dialed: what `dial` and `ping` begin with.

use crate::listen::Identity;
use crate::node::{self, Setup};
use crate::output::span;
use crate::probe;
use crate::protocols::{self, PING, ProtocolError};
use crate::record::Running;
use crate::watch::Watcher;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidewire_connmgr as connmgr;
use tidewire_connmgr::dial::DialOptions;
use tidewire_core::{Multiaddr, PeerId, Seed};
use tidewire_tokio::{ConnectionId, Event, Events, MuxerKind, Node, Notice, Selection, Stream};
use tokio::time::timeout;

/// How long who the peer is may be waited for behind everything else.
const IDENTIFY: Duration = Duration::from_secs(5);
/// How long the end of a connection may be behind what broke because of it.
const CONNECTION_END: Duration = Duration::from_millis(500);
/// Behind the upgrade's own limit, whose error knows more than that it took too long.
const GRACE: Duration = Duration::from_millis(500);

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
    /// A relay is on the way.
    relayed: bool,
    /// Why the connection ended, if it did.
    over: Option<String>,
}

impl Session {
    /// Dials, through a relay if the address says so. The peer may ask who we are, and ping back, as with any node.
    pub(crate) async fn dial(address: &Multiaddr, setup: Setup) -> Result<Session, String> {
        let (patience, selection, private) = (setup.patience(), setup.selection(), setup.private());
        let peer = probe::who(address, &setup).await?;
        let (listen, announce) = (setup.listen.clone(), setup.announce.clone());
        let watcher = Arc::new(Watcher::quiet());
        let (node, running) = setup.start(watcher.clone())?;
        node::announce(&node, &announce)?;
        for address in &listen {
            node.listen(address).await.map_err(|error| error.to_string())?;
        }
        let events = node.events();
        let began = Instant::now();
        let options = DialOptions::default();
        let connected = timeout(patience + GRACE, node.connect_to(peer, std::slice::from_ref(address), options))
            .await
            .map_err(|_| format!("{address} did not answer within {}", span(patience)))
            .and_then(|result| result.map_err(|error| node::why_not(address, &error, watcher.agreed(), private)));
        let took = began.elapsed();
        let connected = match connected {
            Ok(connected) => connected,
            Err(error) => {
                running.close().await;
                return Err(error);
            }
        };
        let connection = connected.connection;
        let (security, muxer) = watcher.upgraded(connection.0).ok_or("the connection is over already")?;
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
            relayed: address.is_relayed(),
            over: None,
        })
    }

    /// Closes everything.
    pub(crate) async fn close(self) {
        self.running.close().await;
    }

    /// Whether the connection is still there.
    pub(crate) fn is_there(&self) -> bool {
        self.node.host(|host| host.manager().connection(self.connection).is_some())
    }

    /// Whether there is a connection to the peer without a relay on the way.
    pub(crate) fn is_direct(&self) -> bool {
        self.node.host(|host| host.manager().connections_of(&self.peer).any(|connection| !connection.relayed))
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

    /// A stream on the connection.
    pub(crate) async fn open(&self, protocol: &'static str) -> Result<Stream, String> {
        let options = node::on_connection(self.selection, self.patience, self.relayed);
        self.node
            .open(self.peer, &protocols::proposal(protocol), options)
            .await
            .map_err(|error| format!("{protocol}: {error}"))
    }

    /// Waits, as long as the connection lives. Who stays serves the echo too, and the peer is told of that change.
    ///
    /// # Errors
    /// It ended before.
    pub(crate) async fn hold(&mut self, time: Duration) -> Result<(), String> {
        node::serve_echo(&self.node, |_| {})?;
        let began = Instant::now();
        let ended = timeout(time, self.ended()).await;
        match ended {
            Err(_) => Ok(()),
            Ok(why) => Err(format!("idle for {}, then the connection was over: {why}", span(began.elapsed()))),
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
            Event::Identified { identity, pushed, .. } => {
                self.pushes += u32::from(pushed);
                self.identified = Some(Ok(Identity::of(&identity)));
            }
            Event::IdentifyFailed { why, .. } => self.identified = Some(Err(why.to_string())),
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

/// Pings one after the other on one stream; on one stream each, with a peer that wants it so.
pub(crate) struct Pings<'a> {
    session: &'a Session,
    seed: Seed,
    stream: Option<Stream>,
    /// The stream has answered nothing yet.
    fresh: bool,
    count: u64,
}

impl<'a> Pings<'a> {
    pub(crate) fn new(session: &'a Session, seed: Seed) -> Self {
        Pings { session, seed, stream: None, fresh: true, count: 0 }
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Result<Duration, String> {
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                none => {
                    self.fresh = true;
                    none.insert(self.session.open(PING).await?)
                }
            };
            let seed = self.seed.derive("ping", self.count);
            match protocols::ping(stream, &seed, self.session.patience).await {
                Ok(took) => {
                    (self.fresh, self.count) = (false, self.count + 1);
                    return Ok(took);
                }
                Err(error) if !self.fresh && protocols::wants_new_stream(&error) => self.stream = None,
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
