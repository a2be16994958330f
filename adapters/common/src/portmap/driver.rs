//! The thread that maps ports: one loop, which looks, asks, listens and tells.

use super::PortMapConfig;
use super::announce::Announcements;
use super::gateway::{Asked, Place};
use super::held::{By, Held};
use super::wake::Wake;
use crate::clock::Clock;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::Waker;
use tidewire_core::{EventMachine, Multiaddr, Seed, Time};
use tidewire_host::addresses::PortMapping;
use tidewire_portmap::wire::MAX_DATAGRAM;
use tidewire_portmap::{Action, Event, Gateway, Mapper, MappingId, Misuse, Refusal, Transport};

const CLOSED: &str = "nobody listens there any more";
const OVER: &str = "the node is shut down";

/// Whose ports are mapped.
pub(super) trait Whose: Send {
    /// To be woken from now on when it listens elsewhere, and when it ends.
    fn watch(&self, waker: Waker);
    /// Whether it ends.
    fn is_stopping(&self) -> bool;
    /// Where it listens.
    fn listening(&self) -> Vec<Multiaddr>;
    /// What came of it.
    fn tell(&self, word: PortMapping);
}

pub(super) struct Driver {
    node: Box<dyn Whose>,
    clock: Clock,
    config: PortMapConfig,
    mapper: Mapper,
    wake: Arc<Wake>,
    place: Place,
    /// Bound to our address towards the router, which is what PCP wants to see (RFC 6887 section 8.1).
    socket: Option<UdpSocket>,
    announcements: Option<Announcements>,
    /// Our ports, as the listeners have it.
    wanted: BTreeSet<u16>,
    /// Those that the mapper knows, also while they are given back.
    asked: BTreeSet<u16>,
    /// Those that it would not take.
    refused: BTreeSet<u16>,
    /// Of which listener it was said that no router reaches it, and where we were then.
    missed: Option<(Multiaddr, Option<IpAddr>)>,
    held: Held,
    /// When the default route is looked at again.
    look: Time,
    #[cfg(feature = "upnp")]
    upnp: super::upnp::Client,
}

impl Driver {
    pub(super) fn new(node: Box<dyn Whose>, seed: &Seed, config: PortMapConfig) -> Driver {
        let wake = Arc::new(Wake::default());
        Driver {
            mapper: Mapper::new(config.mapper.clone(), seed),
            place: Place::default(),
            socket: None,
            announcements: None,
            wanted: BTreeSet::new(),
            asked: BTreeSet::new(),
            refused: BTreeSet::new(),
            missed: None,
            held: Held::default(),
            look: Time::ZERO,
            #[cfg(feature = "upnp")]
            upnp: super::upnp::Client::new(config.upnp.clone(), wake.clone()),
            node,
            clock: Clock::start().0,
            config,
            wake,
        }
    }

    /// Until the node is shut down.
    pub(super) fn run(mut self) {
        self.wake.own();
        self.node.watch(Waker::from(self.wake.clone()));
        let mut came = false;
        while !self.node.is_stopping() {
            let now = self.clock.now();
            if self.look <= now {
                self.look = now + self.config.look;
                self.go_to(Place::look(self.config.gateway));
                came = false;
            }
            // Not for each datagram, of which anybody near can send many: the node's lock is taken for it.
            if !came {
                self.follow_listeners();
            }
            while let Some((from, datagram)) = self.announcements.as_ref().and_then(Announcements::poll) {
                self.hear(from, &datagram);
            }
            self.mapper.on_timeout(self.clock.now());
            self.drain();
            #[cfg(feature = "upnp")]
            self.ask_upnp();
            came = self.listen(self.look);
        }
        self.give_back();
    }

    /// The network is another one: another router, or another address of ours.
    fn go_to(&mut self, place: Place) {
        let changed = place != self.place;
        if !changed && (self.socket.is_some() || place.gateway.is_none()) {
            return;
        }
        let bind = |gateway: Gateway| UdpSocket::bind(SocketAddr::new(gateway.local, 0));
        // Without a socket the router can't be asked, and is looked for again.
        self.socket = place.gateway.and_then(|gateway| bind(gateway).inspect_err(no_socket).ok());
        self.wake.at(self.socket.as_ref());
        let gateway = place.gateway.filter(|_| self.socket.is_some());
        new_router(gateway);
        let listen = |(at, gateway)| Announcements::start(at, gateway, self.wake.clone());
        self.announcements =
            self.config.announced_at.zip(gateway).and_then(|it| listen(it).inspect_err(not_heard).ok());
        if changed {
            #[cfg(feature = "upnp")]
            {
                let why = "there is another router now, or none";
                let ports = self.upnp.restart();
                ports.into_iter().for_each(|port| self.lost(By::Upnp, port, why));
            }
        }
        self.place = place;
        self.refused.clear();
        let _ = self.mapper.handle(self.clock.now(), tidewire_portmap::Input::Gateway(gateway));
        self.drain();
    }

    /// What is to be mapped: the ports of TCP listeners that have our address towards the router.
    fn follow_listeners(&mut self) {
        let mut listening = self.node.listening();
        listening.retain(|it| !it.is_relayed() && it.transport() == tidewire_core::Transport::Tcp);
        let here = |address: &&Multiaddr| address.ip() == self.place.local;
        let wanted: BTreeSet<u16> = listening.iter().filter(here).filter_map(Multiaddr::port).collect();
        self.miss_listener(&listening, wanted.is_empty());
        let now = self.clock.now();
        for port in self.asked.difference(&wanted).copied().collect::<Vec<_>>() {
            self.lost(By::Mapper, port, CLOSED);
            // Said again while it is given back, it changes nothing.
            let _ = self.mapper.handle(now, tidewire_portmap::Input::Unmap { mapping: name(port) });
        }
        for port in wanted.difference(&self.asked).copied().collect::<Vec<_>>() {
            self.map(now, port);
        }
        self.refused.retain(|port| wanted.contains(port));
        self.wanted = wanted;
        self.miss_router();
        self.drain();
    }

    /// There are listeners, and none of them where a router reaches us: that is said once, as long as nothing changes. What is this
    /// machine alone is not expected to be reached.
    fn miss_listener(&mut self, listening: &[Multiaddr], none: bool) {
        let local = self.place.local;
        let outside = |it: &&Multiaddr| it.ip().is_some_and(|ip| !ip.is_loopback());
        let first = listening.iter().find(outside).or(listening.first().filter(|_| local.is_none())).filter(|_| none);
        let missed = first.map(|listen| (listen.clone(), local));
        if missed == self.missed {
            return;
        }
        if let Some((listen, _)) = missed.clone() {
            let why = match local {
                None => "this machine has no way to a router, or to the internet: there is no route".to_owned(),
                Some(ip) => format!("on the way to the router this machine is {ip}: listen there, or on all addresses"),
            };
            let word = PortMapping::Failed { listen, why: why.into() };
            self.tell(word);
        }
        self.missed = missed;
    }

    /// Nobody is there to be asked: that is said once of each port.
    fn miss_router(&mut self) {
        #[cfg(feature = "upnp")]
        let upnp = self.config.upnp.is_some();
        #[cfg(not(feature = "upnp"))]
        let upnp = false;
        // UPnP searches, and says itself what came of it.
        if self.place.gateway.is_some() || upnp {
            return;
        }
        for port in self.wanted.difference(&self.refused).copied().collect::<Vec<_>>() {
            self.refused.insert(port);
            self.failed(port, &Asked::Nobody.silent());
        }
    }

    fn map(&mut self, now: Time, port: u16) {
        let (mapping, transport) = (name(port), Transport::Tcp);
        match self.mapper.handle(now, tidewire_portmap::Input::Map { mapping, transport, port, suggested: None }) {
            Ok(()) => {
                self.refused.remove(&port);
                self.asked.insert(port);
            }
            Err(misuse @ Misuse::TooMany { .. }) if self.refused.insert(port) => {
                self.failed(port, &format!("{misuse}; see `mapper.max_mappings`"));
            }
            Err(_) => {}
        }
    }

    /// Carries out what the mapper wants.
    fn drain(&mut self) {
        while let Some(action) = self.mapper.poll() {
            match action {
                Action::Send { to, datagram } => {
                    if let Some(socket) = &self.socket
                        && let Err(error) = socket.send_to(&datagram, to)
                    {
                        not_sent(to, &error);
                    }
                }
                Action::Event(event) => self.on_event(&event),
                _ => {}
            }
        }
    }

    fn on_event(&mut self, event: &Event) {
        noted(event);
        match *event {
            Event::Mapped { port, external, by, .. } => self.mapped((By::Mapper, &by.to_string()), port, external),
            Event::Lost { mapping, why, .. } => self.lost(By::Mapper, port(mapping), &why.to_string()),
            Event::Failed { mapping, why, again } => {
                let why = match why {
                    Refusal::NoAnswer { gateway } => Asked::new(Some(gateway), self.config.gateway).silent(),
                    why => why.to_string(),
                };
                self.failed(port(mapping), &format!("{why}; tried again in {} s", again.as_secs()));
            }
            Event::Unmapped { mapping, .. } => {
                // If it is wanted again meanwhile, it is asked for in the next round.
                self.asked.remove(&port(mapping));
                if self.wanted.contains(&port(mapping)) {
                    Waker::from(self.wake.clone()).wake();
                }
            }
            _ => {}
        }
    }

    /// Waits for the router, for the next deadline, or until something else is to be done.
    /// Whether there was a datagram.
    fn listen(&mut self, until: Time) -> bool {
        let now = self.clock.now();
        let until = until.min(self.mapper.deadline());
        #[cfg(feature = "upnp")]
        let until = until.min(self.upnp.deadline());
        // One byte more than the longest, so that what is too long is seen to be so.
        let mut buffer = [0; MAX_DATAGRAM + 1];
        let came = self.wake.wait(self.socket.as_ref(), until.since(now), &mut buffer);
        if let Some((length, from)) = came {
            self.hear(from, buffer.get(..length).unwrap_or_default());
        }
        came.is_some()
    }

    fn hear(&mut self, from: SocketAddr, datagram: &[u8]) {
        let _ = self.mapper.handle(self.clock.now(), tidewire_portmap::Input::Datagram { from, datagram });
        self.drain();
    }

    /// The node ends: the router is told, if it answers in time.
    fn give_back(mut self) {
        let end = self.clock.now() + self.config.give_back;
        self.wanted.clear();
        #[cfg(feature = "upnp")]
        self.upnp.stop();
        let _ = self.mapper.handle(self.clock.now(), tidewire_portmap::Input::Shutdown);
        self.drain();
        while !self.is_given_back() && self.clock.now() < end {
            self.listen(end);
            self.mapper.on_timeout(self.clock.now());
            self.drain();
        }
        for word in self.held.all_lost(OVER) {
            self.tell(word);
        }
    }

    #[cfg(feature = "upnp")]
    fn is_given_back(&mut self) -> bool {
        self.mapper.is_over() && self.upnp.is_over()
    }

    #[cfg(not(feature = "upnp"))]
    fn is_given_back(&self) -> bool {
        self.mapper.is_over()
    }

    /// UPnP, while nobody answers in the other two protocols.
    #[cfg(feature = "upnp")]
    fn ask_upnp(&mut self) {
        use super::upnp::Said;
        let now = self.clock.now();
        let nobody = self.mapper.protocol().is_none();
        let asked = Asked::new(self.place.gateway.map(|gateway| gateway.address), self.config.gateway);
        self.upnp.want(now, self.place.local, asked, &self.wanted, nobody);
        while let Some(said) = self.upnp.poll() {
            match said {
                Said::Mapped { port, external } => self.mapped((By::Upnp, "UPnP"), port, external),
                Said::Lost { port, why } => self.lost(By::Upnp, port, &why),
                Said::Failed { port, why } => self.failed(port, &why),
            }
        }
    }

    fn mapped(&mut self, by: (By, &str), port: u16, external: SocketAddr) {
        // Nobody listens there any more: it is being given back.
        if !self.wanted.contains(&port) {
            return;
        }
        let Some(local) = self.place.local else { return };
        for word in self.held.mapped(by, local, port, external) {
            self.tell(word);
        }
    }

    fn lost(&mut self, by: By, port: u16, why: &str) {
        if let Some(word) = self.held.lost(by, port, why) {
            self.tell(word);
        }
    }

    fn failed(&self, port: u16, why: &str) {
        let local = self.place.local.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        self.tell(PortMapping::Failed { listen: Multiaddr::tcp(SocketAddr::new(local, port)), why: why.into() });
    }

    fn tell(&self, word: PortMapping) {
        said(&word);
        self.node.tell(word);
    }
}

/// The mapper's name for a port of ours.
fn name(port: u16) -> MappingId {
    MappingId(port.into())
}

fn port(name: MappingId) -> u16 {
    u16::try_from(name.0).unwrap_or_default()
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
fn said(word: &PortMapping) {
    #[cfg(feature = "tracing")]
    match word {
        PortMapping::Mapped { .. } => tracing::info!("port mapping: {word}"),
        // As it was wanted.
        PortMapping::Lost { why, .. } if why == CLOSED || why == OVER => tracing::info!("port mapping: {word}"),
        _ => tracing::warn!("port mapping: {word}"),
    }
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
fn noted(event: &Event) {
    #[cfg(feature = "tracing")]
    match event {
        Event::Restarted { gateway } => tracing::warn!(%gateway, "port mapping: the router forgot what it knew"),
        Event::Renewed { mapping, lifetime } => {
            tracing::debug!(port = port(*mapping), ?lifetime, "port mapping: renewed");
        }
        Event::Unmapped { mapping, told } => tracing::debug!(port = port(*mapping), told, "port mapping: given back"),
        _ => {}
    }
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
fn new_router(gateway: Option<Gateway>) {
    #[cfg(feature = "tracing")]
    match gateway {
        Some(Gateway { address, local }) => tracing::info!(%address, %local, "port mapping: the router to be asked"),
        None => tracing::info!("port mapping: no router is known, neither by a default route nor configured"),
    }
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
fn no_socket(error: &std::io::Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(%error, "port mapping: no socket towards the router");
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
fn not_sent(to: SocketAddr, error: &std::io::Error) {
    #[cfg(feature = "tracing")]
    tracing::debug!(%to, %error, "port mapping: the router could not be asked");
}

#[cfg_attr(not(feature = "tracing"), allow(unused_variables))]
fn not_heard(error: &std::io::Error) {
    #[cfg(feature = "tracing")]
    tracing::debug!(%error, "port mapping: what the router announces to all is not heard");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::buffer::lock;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<String>>>);

    impl Whose for Said {
        fn watch(&self, _: Waker) {}

        fn is_stopping(&self) -> bool {
            true
        }

        fn listening(&self) -> Vec<Multiaddr> {
            (1..=4).map(|port| Multiaddr::tcp(([192, 168, 1, 7], port).into())).collect()
        }

        fn tell(&self, word: PortMapping) {
            lock(&self.0).push(word.to_string());
        }
    }

    fn driver(change: impl FnOnce(&mut PortMapConfig)) -> (Driver, Said) {
        let (said, mut config) = (Said::default(), PortMapConfig::default());
        change(&mut config);
        let mut driver = Driver::new(Box::new(said.clone()), &Seed::new([1; 32]), config);
        driver.place = Place { gateway: None, local: Some([192, 168, 1, 7].into()) };
        (driver, said)
    }

    #[test]
    fn without_a_router_that_is_said_once_of_each_port() {
        let (mut driver, said) = driver(|config| {
            let _ = &config;
            #[cfg(feature = "upnp")]
            {
                config.upnp = None;
            }
        });
        driver.follow_listeners();
        driver.follow_listeners();
        let said = lock(&said.0);
        assert_eq!(said.len(), 4);
        let words = "the port of /ip4/192.168.1.7/tcp/1 could not be mapped: no router is known";
        assert!(said[0].starts_with(words), "{said:?}");
    }

    #[test]
    fn that_no_listener_is_where_the_router_reaches_us_is_said_once() {
        let (mut driver, said) = driver(|_| ());
        for local in [Some([10, 0, 0, 1].into()), None] {
            driver.place.local = local;
            driver.follow_listeners();
            driver.follow_listeners();
        }
        let words = "the port of /ip4/192.168.1.7/tcp/1 could not be mapped: ";
        assert_eq!(
            *lock(&said.0),
            [
                format!("{words}on the way to the router this machine is 10.0.0.1: listen there, or on all addresses"),
                format!("{words}this machine has no way to a router, or to the internet: there is no route")
            ]
        );
    }

    #[test]
    fn ports_beyond_the_cap_are_said_once() {
        let (mut driver, said) = driver(|config| config.mapper.max_mappings = 3);
        let (address, local) = ([192, 168, 1, 1].into(), [192, 168, 1, 7].into());
        driver.place.gateway = Some(Gateway { address, local });
        driver.follow_listeners();
        driver.follow_listeners();
        let words = "the port of /ip4/192.168.1.7/tcp/4 could not be mapped: 3 mappings are wanted already, as many as may be; \
                     see `mapper.max_mappings`";
        assert_eq!(*lock(&said.0), [words]);
    }
}
