//! The clients of a node under test: each is a peer of its own, with a link of `tidewire-host` and a socket, and no host.
//!
//! It upgrades, asks who the node is, pings it once over `/ipfs/ping/1.0.0`, and stays; it answers every identify and every
//! ping of the node.

use crate::child;
use bytes::{Buf, BytesMut};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tidewire_connmgr::Direction;
use tidewire_core::{Keypair, Machine, Multiaddr, PeerId, Seed, Time};
use tidewire_host::ConnectionId;
use tidewire_host::identify::{Card, IDENTIFY, PUSH, Profile};
use tidewire_host::link::{Link, LinkConfig, LinkEvent, LinkSetup, LinkShared, Order, Report, Routes};
use tidewire_host::ping::PING;
use tidewire_multistream::Router;
use tidewire_upgrade::pipeline::{Config, Plan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep_until;

/// Clients that are between their socket and their pong at one time.
const AT_ONCE: usize = 128;
/// Bytes of a read.
const READ: usize = 8 * 1024;

/// What happened to all of them.
#[derive(Debug, Default)]
struct Tally {
    /// Who has the node's answer to a ping.
    ponged: AtomicU64,
    /// Whom the node asked who it is.
    identified: AtomicU64,
    /// Whom the node pinged.
    pinged: AtomicU64,
    /// Whose connection ended, or never was.
    ended: AtomicU64,
    why: Mutex<String>,
}

/// One who is about to connect.
struct Client {
    link: Link,
    to: SocketAddr,
    start: Instant,
    tally: Arc<Tally>,
    /// Held until the pong is there.
    turn: Option<OwnedSemaphorePermit>,
    identified: bool,
    pinged: bool,
}

/// Connects so many to this address, and answers the bench until it is gone.
pub fn run(address: &str, count: usize) -> Result<(), String> {
    let address: Multiaddr = address.parse().map_err(|error| format!("{address}: {error}"))?;
    let (Some(to), Some(peer)) = (address.socket_addr(), address.peer_id()) else {
        return Err(format!("{address} names no socket, or no peer"));
    };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let mut questions = child::questions();
        let tally = Arc::new(Tally::default());
        let routes = Routes::new(&Router::new(), &[], &Config::default().connection);
        let links: Vec<Link> = (0..count).map(|number| link(number, peer, &address, &routes)).collect();
        child::say(&json!({}));
        let mut links = Some(links);
        while let Some(question) = questions.recv().await {
            if question == "go" {
                let start = Instant::now();
                connect(links.take().unwrap_or_default(), to, start, &tally).await;
                let why = tally.why();
                child::say(&json!({ "seconds": start.elapsed().as_secs_f64(), "ponged": tally.ponged.load(Relaxed), "why": why }));
            } else {
                let [identified, pinged, ended] =
                    [&tally.identified, &tally.pinged, &tally.ended].map(|count| count.load(Relaxed));
                child::say(&json!({ "identified": identified, "pinged": pinged, "ended": ended, "why": tally.why() }));
            }
        }
    });
    Ok(())
}

/// Returns when each of them has its pong, or has failed.
async fn connect(links: Vec<Link>, to: SocketAddr, start: Instant, tally: &Arc<Tally>) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    for link in links {
        let turn = turns.clone().acquire_owned().await.ok();
        let tally = tally.clone();
        let client = Client { link, to, start, tally, turn, identified: false, pinged: false };
        tokio::spawn(client.run());
    }
    // The last ones.
    let _all = turns.acquire_many(AT_ONCE as u32).await;
}

/// A peer that listens at an address of its own, or says so.
fn link(number: usize, node: PeerId, address: &Multiaddr, routes: &Routes) -> Link {
    let seed = Seed::new([9; 32]).derive("client", number as u64);
    let keypair = Keypair::from_seed(&seed);
    let shared = LinkShared::new(&keypair, &seed, Config::default(), LinkConfig::default()).expect("the defaults");
    let mut profile = Profile::default();
    profile.protocol_version = "ipfs/0.1.0".into();
    profile.agent = "tidewire-bench".into();
    profile.protocols = vec![IDENTIFY, PUSH, PING];
    profile.addresses = vec![Multiaddr::tcp(SocketAddr::from(([127, 0, 0, 1], 20_000 + number as u16)))];
    profile.seq = 1;
    let card = Arc::new(Card::new(&keypair, &profile).expect("short texts"));
    let (connection, plan, expected) = (ConnectionId(0), Plan::Initiate, Some(node));
    let (remote, routes) = (address.clone(), routes.clone());
    Link::new(&shared, LinkSetup { connection, dial: None, plan, expected, remote, routes, card })
}

impl Client {
    async fn run(mut self) {
        let ended = self.drive().await;
        self.tally.ended.fetch_add(1, Relaxed);
        let why = ended.unwrap_or_else(|error| error.to_string());
        self.tally.why.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&why);
    }

    /// Returns why the connection ended.
    async fn drive(&mut self) -> std::io::Result<String> {
        let mut socket = TcpStream::connect(self.to).await?;
        socket.set_nodelay(true)?;
        let (mut rx, mut tx, mut over) = (BytesMut::new(), BytesMut::new(), false);
        loop {
            let now = Time::ZERO + self.start.elapsed();
            loop {
                let Ok(event) =
                    if over { self.link.end(now, &mut rx, &mut tx) } else { self.link.advance(now, &mut rx, &mut tx) };
                match event {
                    Some(LinkEvent::Report(Report::Ended { why, .. })) => return Ok(why.to_string()),
                    Some(LinkEvent::Report(report)) => self.on_report(now, report, &mut tx),
                    Some(_) => {}
                    None => break,
                }
            }
            if !tx.is_empty() {
                socket.write_all(&tx).await?;
                tx.advance(tx.len());
                continue;
            }
            // Who is idle holds nothing.
            if rx.is_empty() {
                (rx, tx) = (BytesMut::new(), BytesMut::new());
            }
            let deadline = self.link.deadline();
            let alarm = async {
                match deadline.is_never() {
                    true => std::future::pending().await,
                    false => sleep_until((self.start + deadline.since(Time::ZERO)).into()).await,
                }
            };
            tokio::select! {
                ready = socket.readable() => {
                    ready?;
                    rx.reserve(READ);
                    over = match socket.read_buf(&mut rx).await {
                        Ok(read) => read == 0,
                        Err(error) => return Err(error),
                    };
                }
                () = alarm => {}
            }
        }
    }

    fn on_report(&mut self, now: Time, report: Report, tx: &mut BytesMut) {
        let tally = &self.tally;
        match report {
            Report::Established { .. } => {
                self.link.order(now, Order::Identify, tx);
                self.link.order(now, Order::Ping, tx);
            }
            Report::StreamOpened { stream, direction, protocol, .. } => {
                if direction == Direction::Inbound {
                    let (known, count) = if protocol == IDENTIFY {
                        (&mut self.identified, &tally.identified)
                    } else {
                        (&mut self.pinged, &tally.pinged)
                    };
                    if !std::mem::replace(known, true) {
                        count.fetch_add(1, Relaxed);
                    }
                }
                self.link.order(now, Order::Admit { stream }, tx);
            }
            Report::Pong { .. } => {
                // Counted before the next one may begin: who has all turns back has counted all.
                if let Some(turn) = self.turn.take() {
                    tally.ponged.fetch_add(1, Relaxed);
                    drop(turn);
                }
            }
            _ => {}
        }
    }
}

impl Tally {
    fn why(&self) -> String {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
