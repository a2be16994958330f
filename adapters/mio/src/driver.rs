//! The driver: carries out what a node asks for, tells it what the sockets say, and calls it when its time has come.
//!
//! ```text
//!   turn:  work --> wait for sockets, timers, wakers; at most `max_wait` --> work --> events
//!   work:  timers --> .--> all actions of the node --> one socket that is due --.
//!                     '---------------------------------------------------------'
//! ```
//! A socket that has more to say than it may in one turn is due again in the next one, which then doesn't wait. The system tells
//! once that a socket got ready (edges): so each is tried until it would block. What a connection's socket is for, its node knows:
//! without an [`rx`](Solo::rx) it was closed, sends what is left, and waits for the remote to close too.

use crate::net;
use bytes::Buf;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker, event::Source};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tidewire_adapter::{
    Clock, ListenError, LocalPort, connect, connected, dial_fault, expand, interfaces, is_exhausted, listen,
    listener_waits,
};
use tidewire_connmgr::dial::DialFault;
use tidewire_core::{Multiaddr, Time};
use tidewire_host::solo::{Solo, SoloAction, SoloEvent};
use tidewire_host::{ConnectionId, DialId, ListenerId, LocalEnd};

/// Time that a closed connection has to send what is left, and to hear that the remote closed too.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a listener waits that could not accept.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Connections that one listener accepts in a turn.
pub const MAX_ACCEPTS: usize = 64;
/// Reads from one socket in a turn.
pub const MAX_READS: usize = 4;
/// Bytes of one read; all sockets share one buffer of this size.
pub const READ_SIZE: usize = 64 * 1024;
/// No more is read from a socket while this many bytes wait for its connection: two records of Noise.
pub const MAX_RX: usize = 128 * 1024;
/// Sockets about which the operating system tells at once.
const MAX_READY: usize = 1024;
/// The waker's token. Sockets have the others, each used once.
const WAKER: Token = Token(0);

/// Whose socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Listener(ListenerId),
    Dial(DialId),
    Connection(ConnectionId),
}

/// Moves the bytes of a [`Solo`] through sockets that never wait, in the thread that calls [`turn`](Driver::turn).
pub struct Driver {
    solo: Solo,
    clock: Clock,
    poll: Poll,
    waker: Arc<Waker>,
    ready: Events,
    scratch: Vec<u8>,
    names: BTreeMap<Token, Name>,
    last_token: usize,
    listeners: BTreeMap<ListenerId, (TcpListener, Token)>,
    /// Of dials and connections.
    streams: BTreeMap<Name, (TcpStream, Token)>,
    /// Who has something to do in the next round of work.
    due: BTreeSet<Name>,
    /// When a closed connection is given up, and a listener that could not accept tries again.
    timers: BTreeSet<(Time, Name)>,
    exhausted: u64,
    events: Vec<SoloEvent>,
}

impl Driver {
    /// Drives this node. Its [`Time::ZERO`] is now: the epoch that it was made with is what the wall clock says now.
    ///
    /// # Errors
    /// The operating system has no descriptors left.
    pub fn new(solo: Solo) -> io::Result<Driver> {
        let poll = Poll::new()?;
        Ok(Driver {
            solo,
            clock: Clock::start().0,
            waker: Arc::new(Waker::new(poll.registry(), WAKER)?),
            poll,
            ready: Events::with_capacity(MAX_READY),
            scratch: vec![0; READ_SIZE],
            names: BTreeMap::new(),
            last_token: WAKER.0,
            listeners: BTreeMap::new(),
            streams: BTreeMap::new(),
            due: BTreeSet::new(),
            timers: BTreeSet::new(),
            exhausted: 0,
            events: Vec::new(),
        })
    }

    /// The node.
    pub fn solo(&self) -> &Solo {
        &self.solo
    }

    /// The node, to be told something, with [`now`](Driver::now) as the time. What follows from it is done in the next turn. Its
    /// sockets are the driver's: leave what Solo has for drivers alone (`accepted` to `forget`, `on_timeout`, `poll`).
    pub fn solo_mut(&mut self) -> &mut Solo {
        &mut self.solo
    }

    /// The time since the driver was made, as every call on the node takes it. Ask for each call: time must not go back.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// For other threads that have something for this one: [`Waker::wake`] ends the turn that waits, or keeps the next one from
    /// waiting.
    pub fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// Sockets that are open: of listeners, dials, connections, and of closed connections that still say goodbye. After
    /// [`Solo::shutdown`], once there is none, all is done.
    pub fn sockets(&self) -> usize {
        self.listeners.len() + self.streams.len()
    }

    /// How often a listener could not accept because descriptors or memory ran out. It tries again after a pause.
    pub fn exhausted(&self) -> u64 {
        self.exhausted
    }

    /// Does what there is to do, and says what happened. If nothing is to be done or told, waits for sockets, timers and wakers: at
    /// most for `max_wait`, `None` without a limit. It may return with nothing to tell.
    ///
    /// # Errors
    /// The operating system's poll failed. Nothing is lost; the next turn tries again.
    pub fn turn(&mut self, max_wait: Option<Duration>) -> io::Result<Vec<SoloEvent>> {
        self.work();
        let timer = self.timers.first().map_or(Time::NEVER, |(time, _)| *time);
        let idle = self.events.is_empty() && self.due.is_empty();
        let wait = if idle { self.solo.deadline().min(timer).since(self.now()) } else { Duration::ZERO };
        let polled = self.poll.poll(&mut self.ready, Some(wait.min(max_wait.unwrap_or(wait))));
        polled.or_else(|error| if error.kind() == ErrorKind::Interrupted { Ok(()) } else { Err(error) })?;
        self.due.extend(self.ready.iter().filter_map(|event| self.names.get(&event.token())));
        self.work();
        Ok(std::mem::take(&mut self.events))
    }

    fn work(&mut self) {
        let now = self.now();
        if self.solo.deadline() <= now {
            self.solo.on_timeout(now);
        }
        while let Some(&(_, name)) = self.timers.first().filter(|(time, _)| *time <= now) {
            self.timers.pop_first();
            match name {
                Name::Listener(_) => drop(self.due.insert(name)),
                _ => self.close(name),
            }
        }
        self.act();
        for name in std::mem::take(&mut self.due) {
            match name {
                Name::Listener(listener) => self.accept(listener),
                Name::Dial(dial) => self.connected(dial),
                Name::Connection(connection) => self.pump(connection),
            }
            self.act();
        }
    }

    /// Carries out what the node asks for. What it refuses to hear crossed something on the way, and is of no matter.
    fn act(&mut self) {
        while let Some(action) = self.solo.poll() {
            match action {
                SoloAction::Listen { listener, address } => {
                    if let Err(error) = self.listen(listener, &address) {
                        let _ = self.solo.listener_closed(self.now(), listener, &error.to_string());
                    }
                }
                SoloAction::Unlisten { listener } => {
                    self.listeners.remove(&listener).map(|(_, token)| self.names.remove(&token));
                    let _ = self.solo.listener_closed(self.now(), listener, "it was asked for");
                }
                SoloAction::Dial { dial, address, from, .. } => {
                    let begun = self.dial(dial, &address, from.as_ref());
                    let _ = begun.or_else(|fault| self.solo.dial_failed(self.clock.now(), dial, fault));
                }
                SoloAction::Abort { dial } => self.close(Name::Dial(dial)),
                SoloAction::Send { connection } => self.write(connection),
                SoloAction::Close { connection, .. } => {
                    self.due.insert(Name::Connection(connection));
                    self.timers.insert((self.now() + CLOSE_TIMEOUT, Name::Connection(connection)));
                }
                SoloAction::Event(event) => self.events.push(event),
                _ => {}
            }
        }
    }

    fn listen(&mut self, listener: ListenerId, address: &Multiaddr) -> Result<(), ListenError> {
        let mut socket = TcpListener::from_std(listen(address)?);
        let failed = |error| ListenError::Bind { address: address.clone(), error };
        let bound = socket.local_addr().map_err(failed)?;
        let token = self.register(Name::Listener(listener), &mut socket).map_err(failed)?;
        let addresses = expand(bound, &interfaces().unwrap_or_default());
        self.listeners.insert(listener, (socket, token));
        // One that is too many is not announced, and works all the same.
        addresses.iter().for_each(|address| drop(self.solo.listening(self.clock.now(), listener, address)));
        Ok(())
    }

    fn accept(&mut self, id: ListenerId) {
        for _ in 0..MAX_ACCEPTS {
            let Some((listener, token)) = self.listeners.get(&id) else { return };
            self.names.insert(*token, Name::Listener(id));
            match listener.accept() {
                Ok((socket, remote)) => self.accepted(socket, remote),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    // Until then it is deaf: whoever knocks meanwhile waits.
                    self.names.remove(token);
                    self.timers.insert((self.now() + ACCEPT_PAUSE, Name::Listener(id)));
                    self.exhausted += u64::from(is_exhausted(&error));
                    return listener_waits(&error, ACCEPT_PAUSE);
                }
            }
        }
        self.due.insert(Name::Listener(id));
    }

    fn accepted(&mut self, mut socket: TcpStream, remote: SocketAddr) {
        // One that is broken already ends with its first use.
        let _ = socket.set_nodelay(true);
        let Ok(local) = socket.local_addr() else { return };
        let now = self.now();
        let Ok(connection) = self.solo.accepted(now, &Multiaddr::tcp(local), &Multiaddr::tcp(remote)) else { return };
        // Who is not welcome has no link any more.
        if self.solo.link(connection).is_some() {
            match self.register(Name::Connection(connection), &mut socket) {
                Ok(token) => drop(self.streams.insert(Name::Connection(connection), (socket, token))),
                Err(error) => self.solo.broken(now, connection, &error.to_string()),
            }
        }
    }

    fn dial(&mut self, dial: DialId, address: &Multiaddr, from: Option<&LocalEnd>) -> Result<(), DialFault> {
        let remote = net::socket_addr(address).map_err(|why| DialFault::Local(why.into()))?;
        let socket = connect(remote, from.and_then(LocalPort::of)).map_err(|error| dial_fault(&error))?;
        let mut socket = TcpStream::from_std(socket);
        let token = self.register(Name::Dial(dial), &mut socket).map_err(|error| dial_fault(&error))?;
        self.streams.insert(Name::Dial(dial), (socket, token));
        Ok(())
    }

    /// A dial is connected, or failed, or the operating system told nothing new.
    fn connected(&mut self, id: DialId) {
        let Some((socket, _)) = self.streams.get(&Name::Dial(id)) else { return };
        let dialed = match connected(socket) {
            Ok(None) => return,
            Ok(Some((local, remote))) => {
                self.solo.dialed(self.now(), id, &Multiaddr::tcp(local), &Multiaddr::tcp(remote)).ok()
            }
            Err(error) => self.solo.dial_failed(self.now(), id, dial_fault(&error)).err().and(None),
        };
        let Some((socket, token)) = self.streams.remove(&Name::Dial(id)) else { return };
        self.names.remove(&token);
        if let Some(name) = dialed.map(Name::Connection) {
            self.names.insert(token, name);
            self.streams.insert(name, (socket, token));
            // What told of the dial told of the remote's first words too.
            self.due.insert(name);
        }
    }

    fn write(&mut self, connection: ConnectionId) {
        let full = self.solo.rx(connection).is_some_and(|rx| rx.len() >= MAX_RX);
        let stream = self.streams.get_mut(&Name::Connection(connection));
        let (Some((socket, _)), Some(tx)) = (stream, self.solo.tx(connection)) else { return };
        let before = tx.len();
        while !tx.is_empty() {
            match socket.write(tx) {
                Ok(count @ 1..) => tx.advance(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The next read says it too, behind the remote's last words.
                _ => tx.clear(),
            }
        }
        if tx.len() < before {
            self.solo.sent(self.clock.now(), connection);
            // What was received had waited for room in `tx`; now more may be read.
            self.due.extend(full.then_some(Name::Connection(connection)));
        }
    }

    /// Moves what can be moved.
    fn pump(&mut self, connection: ConnectionId) {
        self.write(connection);
        for _ in 0..MAX_READS {
            let Some(rx) = self.solo.rx(connection) else { return self.finish(connection) };
            // If there is no room, the next write makes some.
            let stream = self.streams.get_mut(&Name::Connection(connection)).filter(|_| rx.len() < MAX_RX);
            let Some((socket, _)) = stream else { return };
            match socket.read(&mut self.scratch) {
                Ok(0) => return self.solo.ended(self.clock.now(), connection),
                Ok(count) => rx.extend_from_slice(self.scratch.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.solo.broken(self.clock.now(), connection, &error.to_string()),
            }
            self.solo.received(self.clock.now(), connection);
        }
        self.due.insert(Name::Connection(connection));
    }

    /// Of a closed connection: once all is sent, says that no more comes, and throws away what the remote still says. Closing a
    /// socket with unread bytes in it would make the system throw away what the remote has not read.
    fn finish(&mut self, connection: ConnectionId) {
        let name = Name::Connection(connection);
        let sent = self.solo.tx(connection).is_none_or(|tx| tx.is_empty());
        let Some((socket, _)) = self.streams.get_mut(&name).filter(|_| sent) else { return };
        match socket.shutdown(Shutdown::Write).and_then(|()| socket.read(&mut self.scratch)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => self.close(name),
            Ok(_) => drop(self.due.insert(name)),
        }
    }

    fn close(&mut self, name: Name) {
        self.streams.remove(&name).map(|(_, token)| self.names.remove(&token));
        if let Name::Connection(connection) = name {
            self.solo.forget(connection);
        }
    }

    fn register(&mut self, name: Name, socket: &mut impl Source) -> io::Result<Token> {
        self.last_token += 1;
        let token = Token(self.last_token);
        self.poll.registry().register(socket, token, Interest::READABLE | Interest::WRITABLE)?;
        self.names.insert(token, name);
        Ok(token)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("solo", &self.solo).field("sockets", &self.names).finish_non_exhaustive()
    }
}
