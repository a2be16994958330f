//! A frame loop, 60 times a second, with a node in it: the game is a chat between two or more windows.
//!
//! ```text
//! game --listen /ip4/127.0.0.1/tcp/0        prints the address to be used in the other window
//! game /ip4/127.0.0.1/tcp/4001/p2p/12D3...  a line is sent to everyone who is connected; the end of input, or /quit, ends it
//! ```
#![allow(clippy::std_instead_of_core, clippy::std_instead_of_alloc)]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};
use tidewire_mio::{
    ConnectionId, DialOptions, Driver, Event, Keypair, ListenerId, ManagerEvent, Matcher, Multiaddr, OpenId,
    OpenOptions, PeerId, Protocol, Protocols, RequestId, RouteId, Solo, SoloConfig, SoloEvent, StreamEvent, StreamId,
    epoch, random_seed,
};

const CHAT: Protocol = Protocol::from_static("/tidewire-example/chat/1.0.0");
const FRAME: Duration = Duration::from_nanos(1_000_000_000 / 60);
/// The longest line that is taken from a peer.
const MAX_LINE: usize = 4096;

/// A friend: the stream on which we speak to it, once it is there.
#[derive(Default)]
struct Friend {
    stream: Option<(ConnectionId, StreamId)>,
}

struct Game {
    driver: Driver,
    friends: BTreeMap<PeerId, Friend>,
    /// Streams on which others speak to us: who it is, and the line that is not complete yet.
    heard: BTreeMap<(ConnectionId, StreamId), (PeerId, Vec<u8>)>,
    opens: BTreeMap<OpenId, PeerId>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut listen, mut dial) = (None, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--listen" => listen = Some(arguments.next().ok_or("--listen needs an address")?.parse::<Multiaddr>()?),
            address => dial.push(address.parse::<Multiaddr>()?),
        }
    }
    if listen.is_none() && dial.is_empty() {
        return Err("usage: game [--listen /ip4/../tcp/PORT] [/ip4/../tcp/PORT/p2p/ID]..".into());
    }
    let solo = Solo::new(SoloConfig::default(), Keypair::from_seed(&random_seed()?), &random_seed()?, epoch())?;
    let (friends, heard, opens) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut game = Game { driver: Driver::new(solo)?, friends, heard, opens };
    game.begin(listen.as_ref(), &dial)?;
    game.play(&keyboard())
}

/// Reading a terminal waits; so it has a thread of its own.
fn keyboard() -> Receiver<String> {
    let (send, lines) = channel();
    thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    lines
}

impl Game {
    fn begin(&mut self, listen: Option<&Multiaddr>, dial: &[Multiaddr]) -> Result<(), Box<dyn Error>> {
        let now = self.driver.now();
        let solo = self.driver.solo_mut();
        solo.serve(now, CHAT, Matcher::Exact, RouteId::new(0))?;
        if let Some(address) = listen {
            solo.listen(now, ListenerId(0), address)?;
        }
        for (request, address) in (0..).map(RequestId).zip(dial) {
            let peer = address.peer_id().ok_or("the address must end in /p2p/ID: whom to expect there?")?;
            solo.connect(now, request, peer, std::slice::from_ref(address), DialOptions::default())?;
        }
        Ok(())
    }

    fn play(&mut self, keyboard: &Receiver<String>) -> Result<(), Box<dyn Error>> {
        let (mut frames, mut slowest) = (0u64, Duration::ZERO);
        let mut next = Instant::now();
        loop {
            let begun = Instant::now();
            for event in self.driver.turn(Some(Duration::ZERO))? {
                self.happened(event);
            }
            slowest = slowest.max(begun.elapsed());
            match keyboard.try_recv() {
                Ok(line) if line == "/quit" => break,
                Ok(line) => self.say(&line),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => break,
            }
            // Here a game would move its figures and draw them.
            frames += 1;
            next += FRAME;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let now = self.driver.now();
        self.driver.solo_mut().shutdown(now);
        while self.driver.sockets() > 0 {
            self.driver.turn(Some(Duration::from_millis(100)))?;
        }
        println!("-- {frames} frames; in the slowest one the node took {slowest:?}");
        Ok(())
    }

    fn happened(&mut self, event: SoloEvent) {
        match event {
            SoloEvent::Host(Event::Listening { address, .. }) => {
                println!("-- in another window: game {address}/p2p/{}", self.driver.solo().local_peer());
            }
            SoloEvent::Host(Event::ListenerClosed { why, .. }) => println!("-- {why}"),
            SoloEvent::Host(Event::Manager(event)) => self.peers(event),
            SoloEvent::Host(Event::OpenFailed { peer, why, .. }) => println!("-- {} does not chat: {why}", short(peer)),
            SoloEvent::Stream { connection, event } => self.streams(connection, &event),
            _ => {}
        }
    }

    fn peers(&mut self, event: ManagerEvent) {
        match event {
            ManagerEvent::Connected { peer } => {
                self.friends.insert(peer, Friend::default());
                println!("-- {} is here; peers: {}", short(peer), self.friends.len());
                let (now, open) = (self.driver.now(), OpenId(self.driver.now().as_nanos()));
                let solo = self.driver.solo_mut();
                if solo.open(now, open, peer, &Protocols::from(CHAT), OpenOptions::default()).is_ok() {
                    self.opens.insert(open, peer);
                }
            }
            // A connection that is over is kept as long as the application may read from it: let go of its streams.
            ManagerEvent::ConnectionClosed { connection, .. } => {
                let heard: Vec<_> = self.heard.keys().copied().filter(|(at, _)| *at == connection).collect();
                for at in heard {
                    self.hear(connection, at.1);
                    self.heard.remove(&at);
                }
                let now = self.driver.now();
                self.driver.solo_mut().leave_all(now, connection);
            }
            ManagerEvent::Disconnected { peer } => {
                self.friends.remove(&peer);
                println!("-- {} is gone; peers: {}", short(peer), self.friends.len());
            }
            ManagerEvent::DialFailed { report, .. } => println!("-- {report}"),
            _ => {}
        }
    }

    fn streams(&mut self, connection: ConnectionId, event: &StreamEvent) {
        match *event {
            StreamEvent::Opened { open, stream, .. } => {
                if let Some(friend) = self.opens.remove(&open).and_then(|peer| self.friends.get_mut(&peer)) {
                    friend.stream = Some((connection, stream));
                }
            }
            StreamEvent::Incoming { stream, .. } => {
                let view = self.driver.solo().host().manager().connection(connection);
                if let Some(peer) = view.and_then(|view| view.peer) {
                    self.heard.insert((connection, stream), (peer, Vec::new()));
                    self.hear(connection, stream);
                }
            }
            StreamEvent::Readable(stream) => self.hear(connection, stream),
            StreamEvent::Reset { stream, .. } => drop(self.heard.remove(&(connection, stream))),
            _ => {}
        }
    }

    /// A line to everyone. Who takes no more just now misses it.
    fn say(&mut self, line: &str) {
        let now = self.driver.now();
        let solo = self.driver.solo_mut();
        for (peer, (connection, stream)) in self.friends.iter().filter_map(|(peer, one)| Some((peer, one.stream?))) {
            if let Err(error) = solo.write(now, connection, stream, format!("{line}\n").as_bytes()) {
                println!("-- {} did not get it: {error}", short(*peer));
            }
        }
    }

    fn hear(&mut self, connection: ConnectionId, stream: StreamId) {
        let Some((peer, line)) = self.heard.get_mut(&(connection, stream)) else { return };
        let now = self.driver.now();
        let over = loop {
            match self.driver.solo_mut().read(now, connection, stream) {
                Ok(Some(piece)) => line.extend_from_slice(&piece),
                Ok(None) => break true,
                Err(error) => break error != tidewire_mio::ReadStreamError::Blocked,
            }
            while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                let rest = line.split_off(end + 1);
                println!("{}: {}", short(*peer), String::from_utf8_lossy(line).trim_end());
                *line = rest;
            }
            line.truncate(MAX_LINE);
        };
        if over {
            self.heard.remove(&(connection, stream));
            let now = self.driver.now();
            self.driver.solo_mut().leave(now, connection, stream);
        }
    }
}

fn short(peer: PeerId) -> String {
    let text = peer.to_string();
    text.get(text.len().saturating_sub(6)..).unwrap_or_default().to_owned()
}
