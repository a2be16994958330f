//! Over loopback TCP through `tidewire-tokio`, under a runtime with two workers.

use crate::harness::Contender;
use std::sync::Arc;
use tidewire_tokio::{
    Config, Endpoint, Keypair, Matcher, Protocol, Protocols, RouteId, Router, Seed, Selection, Stream, Upgrader,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};

const PROTOCOL: Protocol = Protocol::from_static("/count/1.0.0");

/// Sends pieces of `size` bytes over one stream; an operation is a piece. The far end answers when it has all of them.
pub fn contender(size: usize) -> Contender {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut stream = runtime.block_on(connect(&runtime));
    let piece = vec![7; size];
    Contender::new("ours", move |n| {
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

/// A stream to a far end that counts.
async fn connect(runtime: &Runtime) -> Stream {
    let server = endpoint(1);
    let listener = server.listen(&"/ip4/127.0.0.1/tcp/0".parse().expect("an address")).await.expect("a port");
    let address = listener.address().clone();
    runtime.spawn(async move {
        let connection = listener.accept().await.expect("an upgrade");
        while let Some(inbound) = connection.accept().await {
            tokio::spawn(serve(inbound.stream));
        }
    });
    let connection = endpoint(2).dial(&address).await.expect("an upgrade");
    let protocols: Protocols = [PROTOCOL].into_iter().collect();
    connection.open(&protocols, Selection::Lazy).await.expect("a stream")
}

fn endpoint(number: u8) -> Endpoint {
    let seed = Seed::new([number; 32]);
    let mut router = Router::new();
    router.add(PROTOCOL, Matcher::Exact, RouteId::new(0)).expect("the first route");
    let mut config = Config::default();
    config.connection.router = Some(Arc::new(router));
    let upgrader = Upgrader::new(&Keypair::from_seed(&seed), &seed, config).expect("the defaults");
    Endpoint::with_seed(upgrader, seed.derive("endpoint", 0))
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
