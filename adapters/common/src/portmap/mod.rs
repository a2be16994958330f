//! Ports mapped at the router, for as long as there are listeners: a thread of its own drives a
//! [`Mapper`](tidewire_portmap::Mapper) over a UDP socket, whatever the rest of the node runs on.
//!
//! ```text
//!  listeners come and go, the node ends --> Wake --.
//!  the default route, looked at now and then -------+--> Driver: Mapper --> the router, port 5351
//!  datagrams of the router, to us and to all ------'       |
//!  UPnP, if nobody answers (feature `upnp`) <------------->+--> Hub: Input::PortMapping --> externals, events
//! ```
//! Every TCP listener that has our address towards the router is mapped. At the end of the node everything is given back, in
//! bounded time.

mod announce;
mod driver;
mod gateway;
mod held;
mod mapper;
#[cfg(feature = "upnp")]
mod upnp;
mod wake;

pub use mapper::PortMapper;
pub use tidewire_portmap::MapperConfig;
#[cfg(feature = "upnp")]
pub use upnp::UpnpConfig;

use crate::audience::Alive;
use crate::hub::Hub;
use driver::{Driver, Whose};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;
use std::thread;
use std::time::Duration;
use tidewire_core::{Multiaddr, Seed};
use tidewire_host::Input;
use tidewire_host::addresses::PortMapping;
use tidewire_portmap::wire::ANNOUNCE_PORT;

/// How ports are mapped: [`NodeConfig::port_mapping`](crate::NodeConfig::port_mapping).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortMapConfig {
    /// How the router is asked: lifetimes, waits, how many ports at most.
    pub mapper: MapperConfig,
    /// The router. Default `None`: the gateway of the default route, which is known on Linux and Android. On other systems say it here,
    /// or have it found by UPnP (feature `upnp`).
    pub gateway: Option<IpAddr>,
    /// Where the router's announcements to all hosts are heard. Default `224.0.0.1:5350` (RFC 6886 section 3.2.1, RFC 6887 section
    /// 14.1); `None`: nowhere, and that a router restarted is noticed at the next renewal.
    pub announced_at: Option<SocketAddr>,
    /// How often the default route is looked at. Default 10 s.
    pub look: Duration,
    /// How long giving everything back may take at the end of the node. Default 1 s. What the router did not hear of by then it
    /// forgets when the lifetime is over.
    pub give_back: Duration,
    /// UPnP, for routers that speak neither PCP nor NAT-PMP; `None`: without it. Default: with it.
    #[cfg(feature = "upnp")]
    pub upnp: Option<UpnpConfig>,
}

impl Default for PortMapConfig {
    fn default() -> Self {
        PortMapConfig {
            mapper: MapperConfig::default(),
            gateway: None,
            announced_at: Some(SocketAddr::from(([224, 0, 0, 1], ANNOUNCE_PORT))),
            look: Duration::from_secs(10),
            give_back: Duration::from_secs(1),
            #[cfg(feature = "upnp")]
            upnp: Some(UpnpConfig::default()),
        }
    }
}

/// Begins to map the ports of a node, until it is shut down.
///
/// # Errors
/// There is no thread for it.
pub(crate) fn start(hub: &Arc<Hub>, alive: &Alive, seed: &Seed, config: PortMapConfig) -> io::Result<()> {
    let driver = Driver::new(Box::new(hub.clone()), seed, config);
    let alive = alive.clone();
    let run = move || {
        driver.run();
        // The node is not over before everything is given back.
        drop(alive);
    };
    thread::Builder::new().name("tidewire-portmap".into()).spawn(run).map(drop)
}

impl Whose for Arc<Hub> {
    fn watch(&self, waker: Waker) {
        self.audience.watch(waker);
    }

    fn is_stopping(&self) -> bool {
        self.audience.is_stopping()
    }

    fn listening(&self) -> Vec<Multiaddr> {
        self.host(|host| host.advertise_inputs().listening)
    }

    fn tell(&self, word: PortMapping) {
        // An address that the host can't take, or one too many, is not announced.
        if let Err(misuse) = Hub::tell(self, Input::PortMapping(word)) {
            crate::log::not_mapped(&misuse);
        }
    }
}
