//! Over loopback TCP through `tidewire-tokio`, under a runtime with two workers.

use crate::flow::{Flows, Tally};
use crate::harness::Contender;
use std::sync::Arc;
use tidewire_tokio::{Keypair, Matcher, Node, NodeConfig, OpenOptions, Protocol, Seed, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;

const PROTOCOL: Protocol = Protocol::from_static("/count/1.0.0");

/// Sends pieces of `size` bytes over one stream; an operation is a piece. The far end answers when it has all of them.
pub fn contender(size: usize) -> Contender {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (mut stream, nodes) = runtime.block_on(connect());
    let piece = vec![7; size];
    Contender::new("ours", move |n| {
        // Dropped, they would close the connection.
        let _held = &nodes;
        runtime.block_on(async {
            let total = n * size as u64;
            stream.write_all(&total.to_be_bytes()).await.expect("a stream");
            for _ in 0..n {
                stream.write_all(&piece).await.expect("a stream");
            }
            stream.flush().await.expect("a stream");
            stream.read_exact(&mut [0]).await.expect("an answer");
        });
    })
}

/// The same bytes over several connections at once, from as many nodes to one, and the runtime with a worker for each of these
/// cores.
pub fn flows(name: &'static str, cores: usize, connections: u8, size: usize) -> Contender {
    Flows::new(cores).into_contender(name, size, async |tally: &Arc<Tally>| {
        let (server, tally) = (node(0), tally.clone());
        let mut incoming = server.handle(PROTOCOL, Matcher::Exact).expect("an exact name");
        tokio::spawn(async move {
            while let Some(inbound) = incoming.next().await {
                tokio::spawn(tally.clone().receive(inbound.stream));
            }
        });
        let listener = server.listen(&"/ip4/127.0.0.1/tcp/0".parse().expect("an address")).await.expect("a port");
        let (mut streams, mut nodes) = (Vec::new(), vec![server]);
        for number in 1..=connections {
            let client = node(number);
            let peer = client.connect(&listener.addresses()[0]).await.expect("a connection").peer;
            streams.push(client.open(peer, &PROTOCOL.into(), OpenOptions::default()).await.expect("a stream"));
            nodes.push(client);
        }
        (streams, nodes)
    })
}

/// A stream to a far end that counts, and the nodes at both ends.
async fn connect() -> (Stream, [Node; 2]) {
    let (server, client) = (node(1), node(2));
    let mut streams = server.handle(PROTOCOL, Matcher::Exact).expect("an exact name");
    tokio::spawn(async move {
        while let Some(inbound) = streams.next().await {
            tokio::spawn(serve(inbound.stream));
        }
    });
    let listener = server.listen(&"/ip4/127.0.0.1/tcp/0".parse().expect("an address")).await.expect("a port");
    let peer = client.connect(&listener.addresses()[0]).await.expect("a connection").peer;
    let stream = client.open(peer, &PROTOCOL.into(), OpenOptions::default()).await.expect("a stream");
    (stream, [server, client])
}

fn node(number: u8) -> Node {
    Node::new(NodeConfig::default(), Keypair::from_seed(&Seed::new([number; 32]))).expect("the defaults")
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
