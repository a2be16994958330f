//! Bytes over one stream, Noise, yamux and loopback TCP, in a runtime with two workers: writes of 64 KiB, reads of whole pieces.
#![allow(clippy::std_instead_of_alloc)]

use std::sync::Arc;
use std::time::Instant;
use tidewire_tokio::{
    Config, Endpoint, Keypair, Matcher, Protocol, Protocols, RouteId, Router, Seed, Selection, Upgrader,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TOTAL: usize = 1 << 30;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn core::error::Error>> {
    let sink = Protocol::from_static("/sink/1.0.0");
    let mut router = Router::new();
    router.add(sink.clone(), Matcher::Exact, RouteId::new(0))?;
    let node = |n, router: Option<Arc<Router>>| -> Result<Endpoint, Box<dyn core::error::Error>> {
        let seed = Seed::new([n; 32]);
        let mut config = Config::default();
        config.connection.router = router;
        Ok(Endpoint::new(Upgrader::new(&Keypair::from_seed(&seed), &seed, config)?)?)
    };
    let listener = node(1, Some(Arc::new(router)))?.listen(&"/ip4/127.0.0.1/tcp/0".parse()?).await?;
    let address = listener.address().clone();
    tokio::spawn(async move {
        let connection = listener.accept().await?;
        while let Some(mut inbound) = connection.accept().await {
            let mut received = 0;
            while received < TOTAL {
                let Some(chunk) = inbound.stream.read_chunk().await? else { break };
                received += chunk.len();
            }
            inbound.stream.write_all(&[1]).await?;
            inbound.stream.shutdown().await?;
        }
        std::io::Result::Ok(())
    });

    let dialer = node(2, None)?;
    let connection = dialer.dial(&address).await?;
    let piece = vec![7; 64 * 1024];
    for _ in 0..5 {
        let start = Instant::now();
        let mut stream = connection.open(&Protocols::from(sink.clone()), Selection::Lazy).await?;
        for _ in 0..TOTAL / piece.len() {
            stream.write_all(&piece).await?;
        }
        stream.read_exact(&mut [0]).await?;
        println!("{:.2} GB/s", TOTAL as f64 / start.elapsed().as_secs_f64() / 1e9);
    }
    Ok(())
}
