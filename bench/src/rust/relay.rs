//! A relay of rust-libp2p without limits, as a process of its own; and its clients, to see how long they wait.

use crate::child::{Standing, answer};
use crate::harness::Watch;
use futures::StreamExt;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, identify, noise, relay, tcp, yamux};
use libp2p_identity::Keypair;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Connections that nobody uses are kept, as ours are.
const IDLE: Duration = Duration::from_secs(3600);

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
struct Server {
    relay: relay::Behaviour,
    identify: identify::Behaviour,
}

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
struct Client {
    relay: relay::client::Behaviour,
    identify: identify::Behaviour,
}

/// Relays, and answers the bench until it is gone.
pub fn run() {
    runtime().block_on(async {
        let mut swarm = server();
        swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("a port");
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        // Without one it gives no reservation.
        swarm.add_external_address(address.clone());
        let address = format!("{address}/p2p/{}", swarm.local_peer_id());
        let standing = Arc::new(Mutex::new(Standing::default()));
        let told = standing.clone();
        tokio::spawn(async move {
            loop {
                let event = swarm.select_next_some().await;
                let mut standing = told.lock().unwrap_or_else(PoisonError::into_inner);
                match event {
                    SwarmEvent::ConnectionEstablished { .. } => standing.connections += 1,
                    SwarmEvent::ConnectionClosed { .. } => standing.connections -= 1,
                    SwarmEvent::IncomingConnectionError { .. } | SwarmEvent::ListenerError { .. } => {
                        standing.errors += 1;
                        standing.why = format!("{event:?}");
                    }
                    _ => {}
                }
            }
        });
        answer(address, || standing.lock().unwrap_or_else(PoisonError::into_inner).clone()).await;
    });
}

fn server() -> Swarm<Server> {
    let config = relay::Config {
        max_reservations: usize::MAX,
        max_reservations_per_peer: usize::MAX,
        reservation_duration: IDLE,
        reservation_rate_limiters: Vec::new(),
        max_circuits: usize::MAX,
        max_circuits_per_peer: usize::MAX,
        max_circuit_duration: IDLE,
        // No limit.
        max_circuit_bytes: 0,
        circuit_src_rate_limiters: Vec::new(),
    };
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|key| Server {
            relay: relay::Behaviour::new(key.public().to_peer_id(), config),
            identify: identify::Behaviour::new(identify::Config::new("ipfs/0.1.0".into(), key.public())),
        })
        .expect("a behaviour")
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build()
}

/// Nodes that use a relay, and one that can be reached through it.
pub struct Clients {
    runtime: Runtime,
    relay: Multiaddr,
    relay_peer: PeerId,
    holder: PeerId,
}

impl Clients {
    /// The holder has its reservation.
    pub fn new(relay: &str) -> Clients {
        let runtime = runtime();
        let relay: Multiaddr = relay.parse().expect("an address");
        let relay_peer = relay
            .iter()
            .find_map(|part| match part {
                libp2p::multiaddr::Protocol::P2p(peer) => Some(peer),
                _ => None,
            })
            .expect("a peer");
        let holder = runtime.block_on(async {
            let mut holder = client(Keypair::generate_ed25519());
            let peer = *holder.local_peer_id();
            reserve(&mut holder, &relay).await;
            tokio::spawn(async move {
                loop {
                    holder.select_next_some().await;
                }
            });
            peer
        });
        Clients { runtime, relay, relay_peer, holder }
    }

    /// From nothing but a key to a reservation.
    pub fn reserve(&mut self, watch: &mut Watch) {
        let key = Keypair::generate_ed25519();
        let swarm = watch.time(1, || {
            self.runtime.block_on(async {
                let mut swarm = client(key);
                reserve(&mut swarm, &self.relay).await;
                swarm
            })
        });
        self.runtime.block_on(async { drop(swarm) });
    }

    /// From the dial to a connection with the holder. The relay may be connected before.
    pub fn dial(&mut self, watch: &mut Watch, connected: bool) {
        let to = format!("{}/p2p-circuit/p2p/{}", self.relay, self.holder).parse::<Multiaddr>().expect("an address");
        let mut swarm = self.runtime.block_on(async {
            let mut swarm = client(Keypair::generate_ed25519());
            if connected {
                swarm.dial(self.relay.clone()).expect("an address");
                established(&mut swarm, self.relay_peer).await;
            }
            swarm
        });
        watch.time(1, || {
            self.runtime.block_on(async {
                swarm.dial(to).expect("an address");
                established(&mut swarm, self.holder).await;
            });
        });
        self.runtime.block_on(async { drop(swarm) });
    }
}

async fn reserve(swarm: &mut Swarm<Client>, relay: &Multiaddr) {
    swarm.listen_on(relay.clone().with(libp2p::multiaddr::Protocol::P2pCircuit)).expect("an address");
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(ClientEvent::Relay(relay::client::Event::ReservationReqAccepted { .. })) => return,
            event @ (SwarmEvent::ListenerClosed { .. } | SwarmEvent::OutgoingConnectionError { .. }) => {
                panic!("no reservation: {event:?}")
            }
            _ => {}
        }
    }
}

async fn established(swarm: &mut Swarm<Client>, with: PeerId) {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } if peer_id == with => return,
            event @ SwarmEvent::OutgoingConnectionError { .. } => panic!("no connection: {event:?}"),
            _ => {}
        }
    }
}

fn client(key: Keypair) -> Swarm<Client> {
    SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_relay_client(noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|key, relay| Client {
            relay,
            identify: identify::Behaviour::new(identify::Config::new("ipfs/0.1.0".into(), key.public())),
        })
        .expect("a behaviour")
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build()
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}
