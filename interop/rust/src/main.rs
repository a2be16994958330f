//! The rust-libp2p peer of the interop runs. Its command line is the contract of `interop/README.md`.

mod options;

use std::{
    error::Error,
    io,
    pin::Pin,
    process::ExitCode,
    time::{Duration, Instant},
};

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _, TryFutureExt as _};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, Swarm, Transport as _, identify,
    identity::Keypair,
    multiaddr::Protocol,
    noise, ping, plaintext,
    pnet::{PnetConfig, PreSharedKey},
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use libp2p_mplex as mplex;
use libp2p_stream as stream;
use options::{Command, Muxer, Options, Security};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

const ECHO: StreamProtocol = StreamProtocol::new("/echo/1.0.0");
/// Served from a while after the connection on, so that identify has something to push.
const LATER: StreamProtocol = StreamProtocol::new("/interop/later/1.0.0");
const LATER_DELAY: Duration = Duration::from_secs(2);
const PINGS: usize = 3;
const DIAL_TIMEOUT: Duration = Duration::from_secs(25);

type Failure = Box<dyn Error + Send + Sync>;

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    stream: stream::Behaviour,
}

#[tokio::main]
async fn main() -> ExitCode {
    let (command, options) = match options::parse(std::env::args().skip(1)) {
        Ok(parsed) => parsed,
        Err(problem) => {
            eprintln!("{problem}\nusage: peer listen [options] | peer dial MULTIADDR [options]");
            return ExitCode::from(2);
        }
    };
    match command {
        Command::Listen(addr) => match listen(&options, addr).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("listen: {}", explain(error.as_ref()));
                ExitCode::FAILURE
            }
        },
        Command::Dial(addr) => {
            let outcome =
                tokio::time::timeout(DIAL_TIMEOUT + Duration::from_secs(options.hold), dial(&options, addr)).await;
            match outcome.unwrap_or_else(|_| Err("timed out".into())) {
                Ok(report) => {
                    println!("{report}");
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    println!("{}", json!({"ok": false, "error": explain(error.as_ref())}));
                    ExitCode::FAILURE
                }
            }
        }
    }
}

async fn listen(options: &Options, addr: Multiaddr) -> Result<(), Failure> {
    let mut swarm = swarm(options, ping::Config::new())?;
    let local = *swarm.local_peer_id();
    let mut echoes = swarm.behaviour().stream.new_control().accept(ECHO)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    swarm.listen_on(addr)?;
    let mut announced = false;
    let (mut later, mut served) = (None, None);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            Some((_, stream)) = echoes.next() => {
                tokio::spawn(serve_echo(stream).unwrap_or_else(|error| eprintln!("echo: {error}")));
            }
            Some(()) = at(later) => {
                later = None;
                served = Some(serve_later(&mut swarm)?);
            }
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
                    println!("{}", json!({"identified": told(peer_id, &info)}));
                    if options.later && served.is_none() && later.is_none() {
                        later = Some(tokio::time::Instant::now() + LATER_DELAY);
                    }
                }
                SwarmEvent::NewListenAddr { address, .. } if !announced => {
                    announced = true;
                    println!("{}", json!({"listening": address.with(Protocol::P2p(local)).to_string()}));
                }
                SwarmEvent::ListenerClosed { reason: Err(error), .. } => return Err(error.into()),
                SwarmEvent::IncomingConnectionError { error, .. } => eprintln!("inbound: {}", explain(&error)),
                _ => {}
            },
        }
    }
}

/// At this time; never without one.
async fn at(time: Option<tokio::time::Instant>) -> Option<()> {
    tokio::time::sleep_until(time?).await;
    Some(())
}

/// One more protocol, and everyone is told. It is served as long as the result lives.
fn serve_later(swarm: &mut Swarm<Behaviour>) -> Result<stream::IncomingStreams, Failure> {
    let streams = swarm.behaviour().stream.new_control().accept(LATER)?;
    let peers: Vec<PeerId> = swarm.connected_peers().copied().collect();
    swarm.behaviour_mut().identify.push(peers);
    Ok(streams)
}

/// What an identify message, or a push, said.
fn told(peer: PeerId, info: &identify::Info) -> Value {
    json!({
        "peer": peer.to_string(),
        "agent": info.agent_version,
        "protocols": info.protocols.iter().map(|name| name.to_string()).collect::<Vec<_>>(),
        "addresses": info.listen_addrs.iter().map(|address| address.to_string()).collect::<Vec<_>>(),
    })
}

/// Flushes each piece: `futures::io::copy` would not, and a dialer that waits for one piece before it sends the next
/// would wait forever.
async fn serve_echo(mut stream: Stream) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = stream.read(&mut piece).await?;
        if length == 0 {
            return stream.close().await;
        }
        stream.write_all(&piece[..length]).await?;
        stream.flush().await?;
    }
}

async fn dial(options: &Options, addr: Multiaddr) -> Result<Value, Failure> {
    let Some(Protocol::P2p(remote)) = addr.iter().last() else {
        return Err(format!("expected an address that ends in /p2p/, got {addr}").into());
    };
    // The library's default is one ping in 15 s.
    let mut swarm = swarm(options, ping::Config::new().with_interval(Duration::from_millis(20)))?;
    let begin = Instant::now();
    swarm.dial(addr)?;
    let (mut connect_ms, mut identity) = (None, None);
    let mut ping_ms = Vec::new();
    while ping_ms.len() < PINGS {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } if peer_id == remote => {
                connect_ms = Some(millis(begin.elapsed()))
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => {
                ping_ms.push(millis(event.result.map_err(|error| format!("ping: {error}"))?));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
                identity = Some(told(peer_id, &info));
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
            SwarmEvent::ConnectionClosed { cause, .. } => return Err(closed(cause).into()),
            _ => {}
        }
    }

    let control = swarm.behaviour().stream.new_control();
    let echo = tokio::spawn(echo(control, remote, options.size));
    tokio::pin!(echo);
    let echo_ms = loop {
        tokio::select! {
            done = &mut echo => break done?.map_err(|error| format!("echo: {}", explain(error.as_ref())))?,
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
                    identity = Some(told(peer_id, &info));
                }
                SwarmEvent::ConnectionClosed { cause, .. } => return Err(closed(cause).into()),
                _ => {}
            },
        }
    };
    // Its pings go on meanwhile: the last ones count.
    let began = tokio::time::Instant::now();
    let (mut later, mut served, mut after) = (Some(began + LATER_DELAY), None, Vec::new());
    let until = began + Duration::from_secs(options.hold);
    while options.hold > 0 && tokio::time::Instant::now() < until {
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            Some(()) = at(later) => {
                later = None;
                served = Some(serve_later(&mut swarm)?);
            }
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. })) => {
                    identity = Some(told(peer_id, &info));
                }
                SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => {
                    after.push(millis(event.result.map_err(|error| format!("ping: {error}"))?));
                }
                SwarmEvent::ConnectionClosed { cause, .. } => return Err(closed(cause).into()),
                _ => {}
            },
        }
    }
    drop(served);
    let after = after.split_off(after.len().saturating_sub(PINGS));
    // Only one security and one muxer are offered, so what was agreed is what was asked for.
    Ok(json!({
        "ok": true,
        "peer": remote.to_string(),
        "security": options.security.name(),
        "muxer": options.muxer.name(),
        "connect_ms": connect_ms,
        "ping_ms": ping_ms,
        "echo": {"bytes": options.size, "ms": echo_ms},
        "held_ms": (options.hold > 0).then(|| millis(began.elapsed())),
        "ping_after_ms": after,
        "identify": identity,
    }))
}

/// Writes and reads at once: with flow control, a remote that echoes stops reading when nobody reads its echo.
async fn echo(mut control: stream::Control, remote: PeerId, size: usize) -> Result<f64, Failure> {
    let sent = random_bytes(size);
    let begin = Instant::now();
    let (mut reader, mut writer) = control.open_stream(remote, ECHO).await?.split();
    let write = async {
        writer.write_all(&sent).await?;
        writer.close().await
    };
    let mut received = Vec::with_capacity(size);
    let mut limited = (&mut reader).take(size as u64 + 1);
    let read = limited.read_to_end(&mut received);
    futures::try_join!(write, read)?;
    if sent != received {
        return Err(format!("sent {size} bytes, received {}, and they differ", received.len()).into());
    }
    Ok(millis(begin.elapsed()))
}

/// Bytes without a pattern that a lost or doubled frame could hide in (xorshift64).
fn random_bytes(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

trait Socket: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Socket for T {}

fn swarm(options: &Options, ping: ping::Config) -> Result<Swarm<Behaviour>, Failure> {
    let keypair = match options.seed {
        None => Keypair::generate_ed25519(),
        Some(seed) => {
            let mut secret = [0; 32];
            secret[..8].copy_from_slice(&seed.to_le_bytes());
            Keypair::ed25519_from_bytes(secret)?
        }
    };
    let psk = match &options.psk {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
            Some(text.parse::<PreSharedKey>().map_err(|error| format!("{path}: {error}"))?)
        }
    };
    let socket = tcp::tokio::Transport::new(tcp::Config::default());
    let socket = socket.and_then(move |tcp, _| async move {
        Ok::<Pin<Box<dyn Socket + Send>>, io::Error>(match psk {
            None => Box::pin(tcp),
            Some(key) => Box::pin(PnetConfig::new(key).handshake(tcp).await.map_err(io::Error::other)?),
        })
    });
    let version = options.version;
    let builder = socket.boxed().upgrade(version);
    let noise = noise::Config::new(&keypair)?;
    let plaintext = plaintext::Config::new(&keypair);
    let yamux = yamux::Config::default();
    let mplex = mplex::Config::default();
    let transport = match (options.security, options.muxer) {
        (Security::Noise, Muxer::Yamux) => builder.authenticate(noise).multiplex(yamux).boxed(),
        (Security::Noise, Muxer::Mplex) => builder.authenticate(noise).multiplex(mplex).boxed(),
        (Security::Plaintext, Muxer::Yamux) => builder.authenticate(plaintext).multiplex(yamux).boxed(),
        (Security::Plaintext, Muxer::Mplex) => builder.authenticate(plaintext).multiplex(mplex).boxed(),
    };
    let behaviour = Behaviour {
        identify: identify::Behaviour::new(identify::Config::new("/ipfs/0.1.0".into(), keypair.public())),
        ping: ping::Behaviour::new(ping),
        stream: stream::Behaviour::new(),
    };
    let config = libp2p::swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(Duration::from_secs(60))
        .with_substream_upgrade_protocol_override(version);
    Ok(Swarm::new(transport, behaviour, keypair.public().to_peer_id(), config))
}

fn closed(cause: Option<impl Error + 'static>) -> String {
    match cause {
        Some(cause) => format!("connection closed: {}", explain(&cause)),
        None => "connection closed".into(),
    }
}

/// The error with all its sources, in one line.
fn explain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string().trim().to_owned();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

/// In milliseconds, to the microsecond.
fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}
