//! The node that the options ask for: one transport, and the behaviours that the command needs.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    Multiaddr, PeerId, Swarm, Transport as _, autonat,
    core::{Endpoint, transport::PortUse},
    dcutr, identify,
    identity::Keypair,
    noise, ping, plaintext,
    pnet::{PnetConfig, PreSharedKey},
    relay,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandlerInEvent, ToSwarm,
        behaviour::toggle::Toggle, dummy,
    },
    tcp, yamux,
};
use libp2p_mplex as mplex;
use libp2p_stream as stream;

use crate::{
    Failure,
    options::{Muxer, Options, Security},
};

#[derive(NetworkBehaviour)]
pub struct Behaviour {
    pub identify: identify::Behaviour,
    pub ping: ping::Behaviour,
    pub stream: stream::Behaviour,
    pub relay: Toggle<relay::Behaviour>,
    pub circuits: Toggle<relay::client::Behaviour>,
    pub dcutr: Toggle<dcutr::Behaviour>,
    pub autonat_v1: Toggle<autonat::v1::Behaviour>,
    pub autonat_client: Toggle<autonat::v2::client::Behaviour>,
    pub autonat_server: Toggle<autonat::v2::server::Behaviour>,
    pub candidates: Candidates,
}

/// What a node has beside identify, ping and streams.
#[derive(Default)]
pub struct Extras {
    /// Dials through relays, and reserves at them.
    pub circuits: bool,
    /// Makes circuits direct.
    pub dcutr: bool,
    pub relay: Option<relay::Config>,
    pub autonat_v1: Option<autonat::v1::Config>,
    pub autonat_client: bool,
    pub autonat_server: bool,
}

trait Socket: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> Socket for T {}
type BoxedSocket = Pin<Box<dyn Socket + Send>>;

pub fn swarm(options: &Options, ping: ping::Config, extras: Extras) -> Result<Swarm<Behaviour>, Failure> {
    let keypair = match options.seed {
        None => Keypair::generate_ed25519(),
        Some(seed) => {
            let mut secret = [0; 32];
            secret[..8].copy_from_slice(&seed.to_le_bytes());
            Keypair::ed25519_from_bytes(secret)?
        }
    };
    let local = keypair.public().to_peer_id();
    let psk = match &options.psk {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
            Some(text.parse::<PreSharedKey>().map_err(|error| format!("{path}: {error}"))?)
        }
    };
    let socket = tcp::tokio::Transport::new(tcp::Config::default());
    let socket = socket.and_then(move |tcp, _| async move {
        Ok::<BoxedSocket, io::Error>(match psk {
            None => Box::pin(tcp),
            Some(key) => Box::pin(PnetConfig::new(key).handshake(tcp).await.map_err(io::Error::other)?),
        })
    });
    let (socket, circuits) = if extras.circuits {
        let (transport, behaviour) = relay::client::new(local);
        let transport = transport.map(|circuit, _| Box::pin(circuit) as BoxedSocket);
        let either = transport.or_transport(socket).map(|either, _| either.into_inner());
        (either.boxed(), Some(behaviour))
    } else {
        (socket.boxed(), None)
    };
    let version = options.version;
    let builder = socket.upgrade(version);
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
        relay: extras.relay.map(|config| relay::Behaviour::new(local, config)).into(),
        circuits: circuits.into(),
        dcutr: extras.dcutr.then(|| dcutr::Behaviour::new(local)).into(),
        autonat_v1: extras.autonat_v1.map(|config| autonat::v1::Behaviour::new(local, config)).into(),
        autonat_client: extras.autonat_client.then(autonat::v2::client::Behaviour::default).into(),
        autonat_server: extras.autonat_server.then(autonat::v2::server::Behaviour::default).into(),
        candidates: Candidates::default(),
    };
    let config = libp2p::swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(Duration::from_secs(60))
        .with_substream_upgrade_protocol_override(version);
    Ok(Swarm::new(transport, behaviour, local, config))
}

/// Hands addresses to AutoNAT v2 to ask about: its client has no call for it, it only hears what behaviours suggest.
#[derive(Default)]
pub struct Candidates(VecDeque<Multiaddr>);

impl Candidates {
    pub fn suggest(&mut self, address: Multiaddr) {
        self.0.push_back(address);
    }
}

impl NetworkBehaviour for Candidates {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Self::ConnectionHandler, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Self::ConnectionHandler, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        match self.0.pop_front() {
            Some(address) => Poll::Ready(ToSwarm::NewExternalAddrCandidate(address)),
            None => Poll::Pending,
        }
    }
}
