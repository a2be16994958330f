//! `listen` and `dial`: two nodes, one connection.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, identify, multiaddr::Protocol, ping, swarm::SwarmEvent};
use libp2p_stream as stream;
use serde_json::{Value, json};

use crate::{
    Behaviour, BehaviourEvent, Failure, Options, PINGS, Stop, closed, echo, explain, listening, millis, say_listening,
    serve_echo, stream_control,
    swarm::{Extras, swarm},
};

/// Served from a while after the connection on, so that identify has something to push.
const LATER: StreamProtocol = StreamProtocol::new("/interop/later/1.0.0");
const LATER_DELAY: Duration = Duration::from_secs(2);

pub async fn listen(options: &Options) -> Result<(), Failure> {
    let mut swarm = swarm(options, ping::Config::new(), Extras::default())?;
    let _echoes = serve_echo(&swarm)?;
    let mut stop = Stop::new()?;
    let address = listening(&mut swarm, options).await?;
    say_listening(&swarm, address);
    let (mut later, mut served) = (None, None);
    loop {
        tokio::select! {
            () = stop.asked() => return Ok(()),
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
    let streams = stream_control(swarm).accept(LATER)?;
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

pub async fn dial(options: &Options, addr: Multiaddr) -> Result<Value, Failure> {
    let Some(Protocol::P2p(remote)) = addr.iter().last() else {
        return Err(format!("expected an address that ends in /p2p/, got {addr}").into());
    };
    // The library's default is one ping in 15 s.
    let mut swarm = swarm(options, ping::Config::new().with_interval(Duration::from_millis(20)), Extras::default())?;
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

    let echo = tokio::spawn(echo::run(stream_control(&swarm), remote, options.size));
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
