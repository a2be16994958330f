//! A swarm of rust-libp2p with a crowd of clients, as a process of its own: tokio, TCP, Noise, yamux, identify, ping.

use crate::child::{Standing, answer};
use futures::StreamExt;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Swarm, SwarmBuilder, identify, noise, ping, tcp, yamux};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Builder;

/// Connections that nobody uses are kept, as ours are.
const IDLE: Duration = Duration::from_secs(3600);

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
struct Behaviour {
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// Listens, and answers the bench until it is gone.
pub fn run(ping: Duration) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut swarm = swarm(ping);
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("a port");
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break format!("{address}/p2p/{}", swarm.local_peer_id());
            }
        };
        let standing = Arc::new(Mutex::new(Standing::default()));
        let told = standing.clone();
        tokio::spawn(async move {
            loop {
                let event = swarm.select_next_some().await;
                note(&event, &mut told.lock().unwrap_or_else(PoisonError::into_inner));
            }
        });
        answer(address, || standing.lock().unwrap_or_else(PoisonError::into_inner).clone()).await;
    });
}

fn swarm(ping: Duration) -> Swarm<Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new("ipfs/0.1.0".into(), key.public())),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(ping)),
        })
        .expect("a behaviour")
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build()
}

fn note(event: &SwarmEvent<BehaviourEvent>, standing: &mut Standing) {
    match event {
        SwarmEvent::ConnectionEstablished { .. } => {
            standing.connections += 1;
            return;
        }
        SwarmEvent::ConnectionClosed { .. } => standing.connections -= 1,
        SwarmEvent::IncomingConnectionError { .. }
        | SwarmEvent::ListenerError { .. }
        | SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { result: Err(_), .. }))
        | SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Error { .. })) => {}
        _ => return,
    }
    standing.errors += 1;
    standing.why = format!("{event:?}");
}
