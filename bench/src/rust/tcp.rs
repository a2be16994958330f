//! libp2p's TCP transport with Noise and yamux, over loopback, under tokio with two workers.

use super::upgrade::Identity;
use crate::flow::{Flows, Tally};
use crate::harness::Contender;
use futures::future::poll_fn;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p_core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p_core::transport::{DialOpts, ListenerId, PortUse};
use libp2p_core::upgrade::Version;
use libp2p_core::{Endpoint, Transport, transport::Boxed};
use libp2p_identity::PeerId;
use std::sync::Arc;
use tokio::runtime::Builder;

type Tcp = Boxed<(PeerId, StreamMuxerBox)>;

/// Sends pieces of `size` bytes over one stream; an operation is a piece. The far end answers when it has all of them.
pub fn contender(size: usize) -> Contender {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut stream = runtime.block_on(connect(serve));
    let piece = vec![7; size];
    Contender::new("rust", move |n| {
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

/// The same bytes over several connections at once, and the runtime with a worker for each of these cores.
pub fn flows(name: &'static str, cores: usize, connections: u8, size: usize) -> Contender {
    Flows::new(cores).into_contender(name, size, async |tally: &Arc<Tally>| {
        let mut streams = Vec::new();
        for _ in 0..connections {
            let tally = tally.clone();
            streams.push(connect(move |stream| tally.clone().receive(stream)).await);
        }
        (streams, ())
    })
}

/// A stream to a far end that does this with it.
async fn connect<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(SubstreamBox) -> F + Send + 'static,
) -> SubstreamBox {
    let mut listener = transport();
    listener.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("a port");
    let address = listener.next().await.and_then(|event| event.into_new_address()).expect("an address");
    tokio::spawn(async move {
        loop {
            let event = listener.next().await.expect("transports don't end");
            if let Some((upgrade, _)) = event.into_incoming() {
                let (_, mut muxer) = upgrade.await.expect("an upgrade");
                let stream = poll_fn(|cx| muxer.poll_inbound_unpin(cx)).await.expect("a stream");
                tokio::spawn(serve(stream));
                tokio::spawn(async move { while poll_fn(|cx| muxer.poll_unpin(cx)).await.is_ok() {} });
            }
        }
    });
    let how = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
    let (_, mut muxer) = transport().dial(address, how).expect("an address").await.expect("an upgrade");
    let stream = poll_fn(|cx| muxer.poll_outbound_unpin(cx)).await.expect("a stream");
    tokio::spawn(async move { while poll_fn(|cx| muxer.poll_unpin(cx)).await.is_ok() {} });
    stream
}

fn transport() -> Tcp {
    libp2p_tcp::tokio::Transport::new(libp2p_tcp::Config::default().nodelay(true))
        .upgrade(Version::V1)
        .authenticate(Identity::new().into_noise())
        .multiplex(libp2p_yamux::Config::default())
        .boxed()
}

/// Reads what was announced, answers with a byte, for ever.
async fn serve(mut stream: SubstreamBox) {
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
