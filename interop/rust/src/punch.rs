//! `reserve --dcutr` and `dial-circuit --wait`: circuits that become direct connections.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    multiaddr::Protocol,
    ping,
    swarm::{ConnectionId, SwarmEvent, dial_opts::DialOpts},
};
use serde_json::{Value, json};

use crate::{
    BehaviourEvent, Failure, Options, PINGS,
    circuit::is_relayed,
    closed, echo, explain, listening, millis, stream_control,
    swarm::{Behaviour, Extras, swarm},
};

/// A relay says by then how it sees us.
const SEEN: Duration = Duration::from_secs(10);

/// Listens, and learns from the relay which address it has: what a circuit's handler offers is fixed when that is made.
pub async fn prepare(swarm: &mut Swarm<Behaviour>, options: &Options, relay: Multiaddr) -> Result<PeerId, Failure> {
    let Some(Protocol::P2p(peer)) = relay.iter().last() else {
        return Err(format!("expected an address that ends in /p2p/, got {relay}").into());
    };
    listening(swarm, options).await?;
    swarm.dial(relay)?;
    let seen = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewExternalAddrCandidate { address } => {
                    eprintln!("seen as {address}");
                    return Ok(peer);
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
                _ => {}
            }
        }
    };
    tokio::time::timeout(SEEN, seen).await.map_err(|_| "the relay did not say how it sees us")?
}

/// What happened to the connections with the remote.
struct Course {
    remote: PeerId,
    began: Instant,
    circuit: Option<(ConnectionId, Instant)>,
    direct: Option<(Multiaddr, Instant)>,
    pings: Vec<f64>,
    events: Vec<String>,
}

pub async fn dial(options: &Options, address: Multiaddr, wait: Duration) -> Result<Value, Failure> {
    let Some(Protocol::P2p(remote)) = address.iter().last() else {
        return Err(format!("expected an address that ends in /p2p/, got {address}").into());
    };
    let ping = ping::Config::new().with_interval(Duration::from_millis(20));
    let mut swarm = swarm(options, ping, Extras { circuits: true, dcutr: true, ..Extras::default() })?;
    let relay = address.iter().take_while(|part| *part != Protocol::P2pCircuit).collect();
    prepare(&mut swarm, options, relay).await?;
    let mut course =
        Course { remote, began: Instant::now(), circuit: None, direct: None, pings: Vec::new(), events: Vec::new() };
    swarm.dial(DialOpts::peer_id(remote).addresses(vec![address]).build())?;
    while course.pings.len() < PINGS {
        course.take(swarm.select_next_some().await)?;
    }
    let Some((circuit, established)) = course.circuit else { return Err("the connection is direct".into()) };
    let mut through = course.echo(&mut swarm, options.size).await?;
    let until = tokio::time::Instant::from_std(established) + wait;
    while course.direct.is_none() && tokio::time::Instant::now() < until {
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            event = swarm.select_next_some() => course.take(event)?,
        }
    }
    let mut direct_echo = None;
    match course.direct {
        None => through = course.echo(&mut swarm, options.size).await?,
        Some(_) => {
            // A stream goes over any of the connections, so only the direct one may be left.
            swarm.close_connection(circuit);
            while course.circuit.is_some() {
                course.take(swarm.select_next_some().await)?;
            }
            let ms = course.echo(&mut swarm, options.size).await?;
            direct_echo = Some(json!({"bytes": options.size, "ms": ms}));
        }
    }
    Ok(json!({
        "ok": true,
        "peer": remote.to_string(),
        "security": options.security.name(),
        "muxer": options.muxer.name(),
        "connect_ms": millis(established - course.began),
        "ping_ms": course.pings[..PINGS],
        "echo": {"bytes": options.size, "ms": through},
        "upgraded": course.direct.is_some(),
        "upgrade_ms": course.direct.as_ref().map(|(_, at)| millis(*at - established)),
        "direct_addr": course.direct.as_ref().map(|(address, _)| address.to_string()),
        "direct_echo": direct_echo,
        "report": course.events,
    }))
}

impl Course {
    fn take(&mut self, event: SwarmEvent<BehaviourEvent>) -> Result<(), Failure> {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } if peer_id == self.remote => {
                let (address, now) = (endpoint.get_remote_address().clone(), Instant::now());
                if is_relayed(&address) {
                    self.circuit.get_or_insert((connection_id, now));
                } else {
                    self.direct.get_or_insert((address, now));
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) if event.peer == self.remote => {
                self.pings.extend(event.result.ok().map(millis));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Dcutr(event)) => self.events.push(format!("{event:?}")),
            SwarmEvent::OutgoingConnectionError { error, .. } if self.circuit.is_none() && self.direct.is_none() => {
                return Err(error.into());
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => self.events.push(explain(&error)),
            SwarmEvent::ConnectionClosed { connection_id, cause, num_established, peer_id, .. }
                if peer_id == self.remote =>
            {
                if self.circuit.is_some_and(|(circuit, _)| circuit == connection_id) {
                    self.circuit = None;
                }
                if num_established == 0 {
                    return Err(format!("{peer_id}: {}", closed(cause)).into());
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn echo(&mut self, swarm: &mut Swarm<Behaviour>, size: usize) -> Result<f64, Failure> {
        let echo = tokio::spawn(echo::run(stream_control(swarm), self.remote, size));
        tokio::pin!(echo);
        loop {
            tokio::select! {
                done = &mut echo => return done?.map_err(|error| format!("echo: {}", explain(error.as_ref())).into()),
                event = swarm.select_next_some() => self.take(event)?,
            }
        }
    }
}
