//! `relay`, `reserve` and `dial-circuit`: circuit relay v2, all three parts.

use std::{
    num::NonZeroU8,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use libp2p::{
    Multiaddr,
    multiaddr::Protocol,
    ping, relay,
    swarm::{SwarmEvent, dial_opts::DialOpts},
};
use serde_json::{Value, json};

use crate::{
    BehaviourEvent, Failure, Options, PINGS, Stop, closed, echo, explain, listening, millis, punch, say_listening,
    serve_echo, stream_control,
    swarm::{Extras, swarm},
};

/// Between two tries of a listener that lost its relay.
const AGAIN: Duration = Duration::from_millis(500);
/// The library knows no unlimited duration, and refuses more than 2^32 seconds.
const UNLIMITED: Duration = Duration::from_secs(24 * 3600);
const MANY: usize = 4096;

pub async fn relay(options: &Options) -> Result<(), Failure> {
    let limits = &options.relay;
    let config = relay::Config {
        max_reservations: limits.reservations,
        max_reservations_per_peer: MANY,
        reservation_duration: limits.ttl,
        reservation_rate_limiters: Vec::new(),
        max_circuits: MANY,
        max_circuits_per_peer: MANY,
        max_circuit_duration: match limits.duration {
            0 => UNLIMITED,
            seconds => Duration::from_secs(seconds),
        },
        max_circuit_bytes: limits.data,
        circuit_src_rate_limiters: Vec::new(),
    };
    let mut swarm = swarm(options, ping::Config::new(), Extras { relay: Some(config), ..Extras::default() })?;
    let _echoes = serve_echo(&swarm)?;
    let mut stop = Stop::new()?;
    let address = listening(&mut swarm, options).await?;
    // Without an external address it does not even offer the protocol.
    swarm.add_external_address(options.announce.clone().unwrap_or_else(|| address.clone()));
    say_listening(&swarm, address);
    loop {
        tokio::select! {
            () = stop.asked() => return Ok(()),
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(BehaviourEvent::Relay(event)) => eprintln!("relay: {event:?}"),
                SwarmEvent::IncomingConnectionError { error, .. } => eprintln!("inbound: {}", explain(&error)),
                SwarmEvent::ListenerClosed { reason: Err(error), .. } => return Err(error.into()),
                _ => {}
            },
        }
    }
}

/// Renewals are the library's; after a lost connection it gives the listener up, and this starts another.
pub async fn reserve(options: &Options, relay: Multiaddr) -> Result<(), Failure> {
    let extras = Extras { circuits: true, dcutr: options.dcutr, ..Extras::default() };
    let mut swarm = swarm(options, ping::Config::new(), extras)?;
    let _echoes = serve_echo(&swarm)?;
    let mut stop = Stop::new()?;
    let at = if options.dcutr { Some(punch::prepare(&mut swarm, options, relay.clone()).await?) } else { None };
    let through = relay.with(Protocol::P2pCircuit);
    let local = swarm.local_peer_id().to_string();
    swarm.listen_on(through.clone())?;
    let (mut circuit, mut renewal, mut held) = (None, None, false);
    loop {
        tokio::select! {
            () = stop.asked() => return Ok(()),
            event = swarm.select_next_some() => match event {
                SwarmEvent::NewListenAddr { address, .. } if is_relayed(&address) => {
                    circuit.get_or_insert_with(|| address.to_string());
                }
                SwarmEvent::Behaviour(BehaviourEvent::Circuits(relay::client::Event::ReservationReqAccepted {
                    renewal: renewed, ..
                })) => {
                    renewal = Some(renewed);
                }
                SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. }
                    if Some(peer_id) != at && at.is_some() && !endpoint.is_relayed() =>
                {
                    let address = endpoint.get_remote_address().to_string();
                    println!("{}", json!({"direct": true, "peer": peer_id.to_string(), "addr": address}));
                }
                SwarmEvent::Behaviour(BehaviourEvent::Dcutr(event)) => eprintln!("dcutr: {event:?}"),
                SwarmEvent::ListenerClosed { reason, .. } => {
                    if !held {
                        return Err(reason.err().map_or_else(|| "the relay closed the connection".into(), Into::into));
                    }
                    circuit = None;
                    eprintln!("the reservation is gone: {reason:?}");
                    tokio::time::sleep(AGAIN).await;
                    swarm.listen_on(through.clone())?;
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => eprintln!("dial: {}", explain(&error)),
                SwarmEvent::IncomingConnectionError { error, .. } => eprintln!("inbound: {}", explain(&error)),
                _ => {}
            },
        }
        if let (Some(circuit), Some(renewed)) = (&circuit, renewal) {
            println!("{}", json!({"reserved": true, "circuit": circuit, "peer": local, "renewed": renewed}));
            (renewal, held) = (None, true);
        }
    }
}

pub async fn dial(options: &Options, address: Multiaddr) -> Result<Value, Failure> {
    let Some(Protocol::P2p(remote)) = address.iter().last() else {
        return Err(format!("expected an address that ends in /p2p/, got {address}").into());
    };
    let ping = ping::Config::new().with_interval(Duration::from_millis(20));
    let mut swarm = swarm(options, ping, Extras { circuits: true, ..Extras::default() })?;
    let begin = Instant::now();
    let one = NonZeroU8::MIN;
    swarm.dial(DialOpts::peer_id(remote).addresses(vec![address]).override_dial_concurrency_factor(one).build())?;
    let mut connect_ms = None;
    let mut ping_ms = Vec::new();
    while ping_ms.len() < PINGS {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } if peer_id == remote => {
                if !endpoint.is_relayed() {
                    return Err("the connection is direct".into());
                }
                connect_ms = Some(millis(begin.elapsed()));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) if event.peer == remote => {
                ping_ms.push(millis(event.result.map_err(|error| format!("ping: {error}"))?));
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
            SwarmEvent::ConnectionClosed { cause, peer_id, .. } => {
                return Err(format!("{peer_id}: {}", closed(cause)).into());
            }
            _ => {}
        }
    }
    let echo = tokio::spawn(echo::run(stream_control(&swarm), remote, options.size));
    tokio::pin!(echo);
    let echo_ms = loop {
        tokio::select! {
            done = &mut echo => break done?.map_err(|error| format!("echo: {}", explain(error.as_ref())))?,
            event = swarm.select_next_some() => {
                if let SwarmEvent::ConnectionClosed { cause, peer_id, .. } = event {
                    return Err(format!("{peer_id}: {}", closed(cause)).into());
                }
            }
        }
    };
    // Its pings go on meanwhile: the last ones count.
    let began = tokio::time::Instant::now();
    let until = began + Duration::from_secs(options.hold);
    let mut after = Vec::new();
    while tokio::time::Instant::now() < until {
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) if event.peer == remote => {
                    after.push(millis(event.result.map_err(|error| format!("ping: {error}"))?));
                }
                SwarmEvent::ConnectionClosed { cause, peer_id, .. } => {
                    let seconds = began.elapsed().as_secs_f64();
                    return Err(format!("{peer_id}: after {seconds:.1} s of idleness: {}", closed(cause)).into());
                }
                _ => {}
            },
        }
    }
    let after = after.split_off(after.len().saturating_sub(PINGS));
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
        "upgraded": false,
    }))
}

pub fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}
