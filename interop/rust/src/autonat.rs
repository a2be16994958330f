//! `autonat-server` and `autonat-client`: AutoNAT v1 and v2, both parts.

use std::time::Duration;

use futures::StreamExt as _;
use libp2p::{
    Multiaddr,
    autonat::v1::{Config, Event, InboundProbeEvent, OutboundProbeError, OutboundProbeEvent, ResponseError},
    multiaddr::Protocol,
    ping,
    swarm::SwarmEvent,
};
use serde_json::{Value, json};

use crate::{
    BehaviourEvent, Failure, Options, Stop, closed, explain, listening, say_listening, serve_echo,
    swarm::{Extras, swarm},
};

const NEVER: Duration = Duration::from_secs(24 * 3600);

pub async fn server(options: &Options) -> Result<(), Failure> {
    // One behaviour is client and server of version 1: the client's half is put off for good.
    let v1 = Config { only_global_ips: false, boot_delay: NEVER, use_connected: false, ..Config::default() };
    let extras = Extras { autonat_v1: Some(v1), autonat_server: true, ..Extras::default() };
    let mut swarm = swarm(options, ping::Config::new(), extras)?;
    let _echoes = serve_echo(&swarm)?;
    let mut stop = Stop::new()?;
    let address = listening(&mut swarm, options).await?;
    say_listening(&swarm, address);
    loop {
        tokio::select! {
            () = stop.asked() => return Ok(()),
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(BehaviourEvent::AutonatV1(Event::InboundProbe(event))) => {
                    if let InboundProbeEvent::Request { peer, addresses, .. } = &event {
                        say_asked(1, &peer.to_string(), addresses);
                    }
                    eprintln!("v1: {event:?}");
                }
                SwarmEvent::Behaviour(BehaviourEvent::AutonatServer(event)) => {
                    say_asked(2, &event.client.to_string(), &event.all_addrs);
                    eprintln!("v2: {event:?}");
                }
                SwarmEvent::IncomingConnectionError { error, .. } => eprintln!("inbound: {}", explain(&error)),
                SwarmEvent::OutgoingConnectionError { error, .. } => eprintln!("dial: {}", explain(&error)),
                _ => {}
            },
        }
    }
}

fn say_asked(version: u8, peer: &str, addresses: &[Multiaddr]) {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    println!("{}", json!({"asked": {"version": version, "peer": peer, "addresses": addresses}}));
}

/// Asks about its own listening address, or about the announced one, which then nobody listens on.
pub async fn client(options: &Options, server: Multiaddr) -> Result<Value, Failure> {
    let Some(Protocol::P2p(remote)) = server.iter().last() else {
        return Err(format!("expected an address that ends in /p2p/, got {server}").into());
    };
    let v1 = Config {
        only_global_ips: false,
        boot_delay: Duration::from_secs(1),
        retry_interval: Duration::from_secs(10),
        throttle_server_period: Duration::ZERO,
        ..Config::default()
    };
    let extras = Extras { autonat_v1: Some(v1), autonat_client: true, ..Extras::default() };
    let mut swarm = swarm(options, ping::Config::new(), extras)?;
    let asked = match &options.announce {
        Some(address) => address.clone(),
        None => listening(&mut swarm, options).await?,
    };
    if options.announce.is_some()
        && let Some(v1) = swarm.behaviour_mut().autonat_v1.as_mut()
    {
        v1.probe_address(asked.clone());
    }
    swarm.behaviour_mut().candidates.suggest(asked.clone());
    swarm.dial(server)?;
    let (mut first, mut second) = (None, None);
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(BehaviourEvent::AutonatV1(Event::OutboundProbe(event))) => {
                eprintln!("v1: {event:?}");
                first = first.or(v1_answer(event));
            }
            SwarmEvent::Behaviour(BehaviourEvent::AutonatClient(event)) => {
                eprintln!("v2: {event:?}");
                if event.tested_addr == asked {
                    let reachability = if event.result.is_ok() { "public" } else { "private" };
                    let error = event.result.err().map(|error| error.to_string());
                    let answer = json!({
                        "reachability": reachability,
                        "address": event.tested_addr.to_string(),
                        "data_sent": event.bytes_sent,
                        "error": error,
                    });
                    second = second.or(Some(answer));
                }
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
            // The dial-back's connection may close at once.
            SwarmEvent::ConnectionClosed { peer_id, cause, num_established: 0, .. } if peer_id == remote => {
                return Err(closed(cause).into());
            }
            _ => {}
        }
        if let (Some(v1), Some(v2)) = (&first, &second) {
            return Ok(json!({"ok": true, "peer": remote.to_string(), "v1": v1, "v2": v2}));
        }
    }
}

/// None while there was no server to ask.
fn v1_answer(event: OutboundProbeEvent) -> Option<Value> {
    match event {
        OutboundProbeEvent::Request { .. } => None,
        OutboundProbeEvent::Response { address, .. } => {
            Some(json!({"reachability": "public", "address": address.to_string()}))
        }
        OutboundProbeEvent::Error { peer: None, .. } => None,
        OutboundProbeEvent::Error { error: OutboundProbeError::Response(ResponseError::DialError), .. } => {
            Some(json!({"reachability": "private"}))
        }
        OutboundProbeEvent::Error { error, .. } => {
            Some(json!({"reachability": "unknown", "error": format!("{error:?}")}))
        }
    }
}
