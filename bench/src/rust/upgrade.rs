//! `libp2p-noise` 0.47 alone, and the whole upgrade with `multistream-select` and `libp2p-yamux`.

use super::pipe::{Pipe, drive, pipe};
use crate::harness::Contender;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p_core::Negotiated;
use libp2p_core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade};
use libp2p_identity::Keypair;
use libp2p_noise as noise;
use multistream_select::{Version, dialer_select_proto, listener_select_proto};

/// An upgraded connection.
pub type Upgraded = libp2p_yamux::Muxer<Negotiated<noise::Output<Negotiated<Pipe>>>>;

/// The identity and its Noise configuration, made once for all connections.
#[derive(Clone)]
pub struct Identity {
    noise: noise::Config,
}

impl Identity {
    /// A fresh one.
    pub fn new() -> Self {
        Identity { noise: noise::Config::new(&Keypair::generate_ed25519()).expect("an ed25519 key signs") }
    }

    /// For a transport.
    pub fn into_noise(self) -> noise::Config {
        self.noise
    }
}

/// The handshake, both ends.
pub fn handshake(a: &Identity, b: &Identity) -> (noise::Output<Pipe>, noise::Output<Pipe>) {
    let (dialer, listener) = pipe();
    let (dialed, listened) =
        drive(a.noise.clone().upgrade_outbound(dialer, "/noise"), b.noise.clone().upgrade_inbound(listener, "/noise"));
    (dialed.expect("a handshake").1, listened.expect("a handshake").1)
}

/// The whole upgrade, both ends: `/noise`, the handshake, `/yamux/1.0.0`, as a transport's `Version::V1` upgrade does it.
pub fn upgrade(a: &Identity, b: &Identity) -> (Upgraded, Upgraded) {
    let (dialer, listener) = pipe();
    drive(dial(a.noise.clone(), dialer), listen(b.noise.clone(), listener))
}

async fn dial(noise: noise::Config, io: Pipe) -> Upgraded {
    let (_, io) = dialer_select_proto(io, ["/noise"], Version::V1).await.expect("agreed");
    let (_, io) = noise.upgrade_outbound(io, "/noise").await.expect("a handshake");
    let (_, mut io) = dialer_select_proto(io, ["/yamux/1.0.0"], Version::V1).await.expect("agreed");
    io.flush().await.expect("a pipe");
    let yamux = libp2p_yamux::Config::default();
    yamux.upgrade_outbound(io, "/yamux/1.0.0").await.expect("can't fail")
}

async fn listen(noise: noise::Config, io: Pipe) -> Upgraded {
    let (_, io) = listener_select_proto(io, ["/noise"]).await.expect("agreed");
    let (_, io) = noise.upgrade_inbound(io, "/noise").await.expect("a handshake");
    let (_, io) = listener_select_proto(io, ["/yamux/1.0.0"]).await.expect("agreed");
    let yamux = libp2p_yamux::Config::default();
    yamux.upgrade_inbound(io, "/yamux/1.0.0").await.expect("can't fail")
}

/// Handshakes.
pub fn handshakes() -> Contender {
    let (a, b) = (Identity::new(), Identity::new());
    Contender::new("rust", move |n| {
        for _ in 0..n {
            handshake(&a, &b);
        }
    })
}

/// Whole upgrades.
pub fn upgrades() -> Contender {
    let (a, b) = (Identity::new(), Identity::new());
    Contender::new("rust", move |n| {
        for _ in 0..n {
            upgrade(&a, &b);
        }
    })
}

/// What the pipe itself costs: `len` bytes written and read.
pub fn pipe_copies(len: usize) -> Contender {
    let (mut a, mut b) = pipe();
    let data = vec![1; len];
    let mut buffer = vec![0; len];
    Contender::new("pipe", move |n| {
        for _ in 0..n {
            let (sent, read) = drive(a.write_all(&data), b.read_exact(&mut buffer));
            sent.and(read).expect("a pipe");
        }
    })
}

/// A pipe as an upgrade leaves it: what it holds is not the connection's.
pub fn used_pipe() -> (Pipe, Pipe) {
    let (mut a, mut b) = pipe();
    for size in [20, 32, 200, 200, 40, 40] {
        let (data, mut buffer) = (vec![0; size], vec![0; size]);
        let (sent, read) = drive(a.write_all(&data), b.read_exact(&mut buffer));
        sent.and(read).expect("a pipe");
        let (sent, read) = drive(b.write_all(&data), a.read_exact(&mut buffer));
        sent.and(read).expect("a pipe");
    }
    (a, b)
}
