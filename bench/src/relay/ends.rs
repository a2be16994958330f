//! Both ends of the circuits: nodes of `tidewire-tokio`, the same for every relay.

use crate::child::{questions, say};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use tidewire_tokio::{
    Keypair, Listener, Matcher, Multiaddr, Node, NodeConfig, OpenOptions, PeerId, Protocol, Seed, Stream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const PROTOCOL: Protocol = Protocol::from_static("/count/1.0.0");
/// Bytes in one write of the application.
pub const PIECE: usize = 64 * 1024;
/// Who does something at the same time.
const AT_ONCE: usize = 64;

/// One node, and what it has.
struct End {
    node: Node,
    number: u64,
    reservation: Option<Listener>,
    stream: Option<Stream>,
}

/// So many `holders`, or `sources`. Answers the bench until it is gone.
pub fn run(which: &str, relay: &str, count: u64) -> Result<(), String> {
    let relay: Multiaddr = relay.parse().map_err(|error| format!("{relay}: {error}"))?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let mut questions = questions();
        let mut ends: Vec<End> = (0..count).map(|number| End::new(which, number)).collect::<Result<_, _>>()?;
        say(&json!({}));
        while let Some(question) = questions.recv().await {
            let start = Instant::now();
            ends = all(ends, question, &relay).await?;
            say(&json!({ "seconds": start.elapsed().as_secs_f64() }));
        }
        Ok(())
    })
}

/// All of them do it.
async fn all(ends: Vec<End>, what: String, relay: &Multiaddr) -> Result<Vec<End>, String> {
    let (turns, what) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new((what, relay.clone(), ends.len() as u64)));
    let mut doing = JoinSet::new();
    for mut end in ends {
        let (turns, what) = (turns.clone(), what.clone());
        doing.spawn(async move {
            let (what, relay, all) = &*what;
            // Who sends, sends with the others.
            let _turn = if what.starts_with("send") { None } else { turns.acquire_owned().await.ok() };
            end.act(what, relay, *all).await.map(|()| end)
        });
    }
    doing.join_all().await.into_iter().collect()
}

fn keypair(which: &str, number: u64) -> Keypair {
    Keypair::from_seed(&Seed::new([5; 32]).derive(which, number))
}

impl End {
    fn new(which: &str, number: u64) -> Result<End, String> {
        let mut config = NodeConfig::default();
        config.host.manager.keep_alive.ping_interval = None;
        let node = Node::new(config, keypair(which, number)).map_err(|error| error.to_string())?;
        let mut streams = node.handle(PROTOCOL, Matcher::Exact).map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            while let Some(inbound) = streams.next().await {
                tokio::spawn(serve(inbound.stream));
            }
        });
        Ok(End { node, number, reservation: None, stream: None })
    }

    async fn act(&mut self, what: &str, relay: &Multiaddr, all: u64) -> Result<(), String> {
        let circuit = format!("{relay}/p2p-circuit");
        match what.split_once(' ').unwrap_or((what, "")) {
            ("connect", _) => drop(self.node.connect(relay).await.map_err(|error| error.to_string())?),
            ("reserve", _) => {
                let circuit = circuit.parse().map_err(|error| format!("{circuit}: {error}"))?;
                self.reservation = Some(self.node.listen(&circuit).await.map_err(|error| error.to_string())?);
            }
            ("dial", _) => {
                let circuit = format!("{circuit}/p2p/{}", self.holder());
                let circuit = circuit.parse().map_err(|error| format!("{circuit}: {error}"))?;
                self.node.connect(&circuit).await.map_err(|error| error.to_string())?;
            }
            ("send", bytes) => {
                let bytes: u64 = bytes.parse().map_err(|_| format!("{bytes} is no number"))?;
                self.send(bytes / all).await?;
            }
            _ => return Err(format!("{what} is not understood")),
        }
        Ok(())
    }

    fn holder(&self) -> PeerId {
        keypair("holders", self.number).peer_id()
    }

    /// Announces how many, sends them in pieces, and waits for the holder's answer.
    async fn send(&mut self, bytes: u64) -> Result<(), String> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let mut options = OpenOptions::default();
                options.limited = true;
                let opened = self.node.open(self.holder(), &PROTOCOL.into(), options).await;
                opened.map_err(|error| error.to_string())?
            }
        };
        let sent = async {
            stream.write_all(&bytes.to_be_bytes()).await?;
            let (piece, mut left) = (vec![7; PIECE], bytes as usize);
            while left > 0 {
                let count = left.min(PIECE);
                stream.write_all(&piece[..count]).await?;
                left -= count;
            }
            stream.flush().await?;
            stream.read_exact(&mut [0]).await.map(drop)
        };
        sent.await.map_err(|error| error.to_string())?;
        self.stream = Some(stream);
        Ok(())
    }
}

/// Reads what was announced, answers with a byte, for ever.
async fn serve(mut stream: Stream) {
    let mut buffer = vec![0; 256 * 1024];
    let mut head = [0; 8];
    while stream.read_exact(&mut head).await.is_ok() {
        let mut left = u64::from_be_bytes(head);
        while left > 0 {
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match stream.read(&mut buffer[..wanted]).await {
                Ok(read @ 1..) => left -= read as u64,
                _ => return,
            }
        }
        if stream.write_all(&[1]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}
