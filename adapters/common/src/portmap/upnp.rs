//! UPnP, the Internet Gateway Device protocol: for routers that speak neither PCP nor NAT-PMP. The protocol is `igd-next`'s; it
//! blocks, so it has a thread of its own, which is begun when nobody answered in the other two for a while.
//!
//! ```text
//!  Client (the driver's) --- Ask: which ports, whether to renew ---> Worker: search, add, renew, remove
//!                        <-- Said: mapped, lost, failed -----------
//! ```
//! When the router is found to speak the other protocols after all, leases are not renewed and run out: giving one back might take
//! the new mapping with it, since routers keep one table for all three.

use super::gateway::Asked;
use super::wake::Wake;
use igd_next::{AddPortError, Gateway, PortMappingProtocol, SearchError, SearchOptions, search_gateway};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::task::Waker;
use std::time::{Duration, Instant};
use tidewire_core::Time;

/// How UPnP is used: [`PortMapConfig::upnp`](super::PortMapConfig::upnp).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpnpConfig {
    /// How long nobody answers in PCP or NAT-PMP before UPnP is tried. Default 5 s: enough for three questions.
    pub after: Duration,
    /// How long a router is searched for. Default 5 s (UPnP Device Architecture 2.0 section 1.3.3: answers come within the `MX` that is
    /// asked for, which is 3 s, and a little more).
    pub search: Duration,
    /// How long a mapping is asked for; it is renewed at half of that. Default 1 h, which is what WANIPConnection:2 section 2.5.16
    /// takes when it is left to the router. A router that gives no leases gives it for ever.
    pub lease: Duration,
    /// The pause after a search or a mapping that failed; doubled each time. Default 1 min.
    pub first_pause: Duration,
    /// The longest such pause. Default 30 min.
    pub max_pause: Duration,
    /// Where routers are searched. Default `239.255.255.250:1900` (UPnP Device Architecture 2.0 section 1.1.1): another one is for
    /// tests.
    pub search_at: SocketAddr,
    /// Where a router's description may be, beside the address from which it answered. Whoever answers a search could name any
    /// server, so others are not believed, and loopback is not at all unless it is here. Default: none.
    pub trusted: Vec<IpAddr>,
}

impl Default for UpnpConfig {
    fn default() -> Self {
        UpnpConfig {
            after: Duration::from_secs(5),
            search: Duration::from_secs(5),
            lease: Duration::from_secs(3_600),
            first_pause: Duration::from_secs(60),
            max_pause: Duration::from_secs(1_800),
            search_at: SocketAddr::from(([239, 255, 255, 250], 1900)),
            trusted: Vec::new(),
        }
    }
}

/// What the worker is asked.
enum Ask {
    /// Have these mapped, and no others.
    Want { ports: BTreeSet<u16>, renew: bool },
    /// Give all back, and end.
    Stop,
}

/// What became of a port.
pub(super) enum Said {
    Mapped { port: u16, external: SocketAddr },
    Lost { port: u16, why: String },
    Failed { port: u16, why: String },
}

/// The driver's end.
pub(super) struct Client {
    config: Option<UpnpConfig>,
    wake: Arc<Wake>,
    /// Since when nobody answers.
    silent: Option<Time>,
    due: Time,
    worker: Option<(Sender<Ask>, Receiver<Said>)>,
    /// What it was asked last.
    asked: (BTreeSet<u16>, bool),
    held: BTreeSet<u16>,
    over: bool,
}

impl Client {
    pub(super) fn new(config: Option<UpnpConfig>, wake: Arc<Wake>) -> Client {
        let (asked, held) = (Default::default(), BTreeSet::new());
        Client { config, wake, silent: None, due: Time::NEVER, worker: None, asked, held, over: false }
    }

    /// These ports are wanted at this address. `asked`: by the other protocols. `nobody`: it is not known to speak one of them.
    pub(super) fn want(&mut self, now: Time, local: Option<IpAddr>, asked: Asked, ports: &BTreeSet<u16>, nobody: bool) {
        let (Some(config), Some(local @ IpAddr::V4(_))) = (&self.config, local) else { return };
        if self.worker.is_none() {
            self.due = Time::NEVER;
            if !nobody || ports.is_empty() {
                self.silent = None;
                return;
            }
            let begin = *self.silent.get_or_insert(now) + config.after;
            if now < begin {
                self.due = begin;
                return;
            }
            match Worker::start(config.clone(), local, asked, self.wake.clone()) {
                Ok(worker) => self.worker = Some(worker),
                Err(_) => {
                    // Without a thread for it: later, perhaps.
                    self.silent = Some(now);
                    self.due = now + config.after;
                    return;
                }
            }
            self.asked = Default::default();
        }
        let wish = (ports.clone(), nobody);
        if wish != self.asked {
            self.asked = wish;
            self.ask(Ask::Want { ports: ports.clone(), renew: nobody });
        }
    }

    pub(super) fn poll(&mut self) -> Option<Said> {
        let (_, said) = self.worker.as_ref()?;
        match said.try_recv() {
            Ok(word) => {
                match &word {
                    Said::Mapped { port, .. } => drop(self.held.insert(*port)),
                    Said::Lost { port, .. } => drop(self.held.remove(port)),
                    Said::Failed { .. } => {}
                }
                Some(word)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                self.worker = None;
                None
            }
        }
    }

    /// When [`want`](Client::want) is to be called again.
    pub(super) const fn deadline(&self) -> Time {
        self.due
    }

    /// The network is another one: the router is searched anew. The ports that were mapped at the old one.
    pub(super) fn restart(&mut self) -> BTreeSet<u16> {
        (self.worker, self.silent, self.due) = (None, None, Time::NEVER);
        std::mem::take(&mut self.held)
    }

    /// Gives everything back.
    pub(super) fn stop(&mut self) {
        self.ask(Ask::Stop);
        self.due = Time::NEVER;
    }

    /// Whether everything was given back.
    pub(super) fn is_over(&mut self) -> bool {
        while self.poll().is_some() {}
        self.over |= self.worker.is_none();
        self.over
    }

    fn ask(&self, ask: Ask) {
        if let Some((to, _)) = &self.worker {
            // One that is gone shows when it is polled.
            let _ = to.send(ask);
        }
    }
}

/// A port that is mapped, or was tried.
struct Lease {
    external: Option<SocketAddr>,
    /// When it is over, if it ever is.
    until: Option<Instant>,
    /// When it is asked for again.
    next: Instant,
    failures: u32,
}

struct Worker {
    config: UpnpConfig,
    local: IpAddr,
    asked: Asked,
    said: Sender<Said>,
    wake: Arc<Wake>,
    wanted: BTreeSet<u16>,
    renew: bool,
    gateway: Option<Gateway>,
    leases: BTreeMap<u16, Lease>,
}

impl Worker {
    fn start(
        config: UpnpConfig,
        local: IpAddr,
        asked: Asked,
        wake: Arc<Wake>,
    ) -> io::Result<(Sender<Ask>, Receiver<Said>)> {
        let ((ask, asks), (said, answers)) = (channel(), channel());
        let (wanted, leases) = (BTreeSet::new(), BTreeMap::new());
        let worker = Worker { config, local, asked, said, wake, wanted, renew: true, gateway: None, leases };
        std::thread::Builder::new().name("tidewire-upnp".into()).spawn(move || worker.run(&asks))?;
        Ok((ask, answers))
    }

    fn run(mut self, asks: &Receiver<Ask>) {
        loop {
            let next =
                self.leases.values().map(|lease| lease.until.map_or(lease.next, |until| until.min(lease.next))).min();
            let wait = next.map_or(Duration::from_secs(3_600), |next| next.saturating_duration_since(Instant::now()));
            match asks.recv_timeout(wait) {
                Ok(Ask::Want { ports, renew }) => {
                    let now = Instant::now();
                    if renew && !self.renew {
                        self.leases.values_mut().for_each(|lease| lease.next = now);
                    }
                    (self.wanted, self.renew) = (ports, renew);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Ask::Stop) => break self.remove_all_but(&BTreeSet::new()),
                // The network is another one: nobody there to give it back to.
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let wanted = self.wanted.clone();
            self.remove_all_but(&wanted);
            for port in wanted {
                self.keep(port);
            }
        }
        let Worker { said, wake, .. } = self;
        drop(said);
        Waker::from(wake).wake();
    }

    fn remove_all_but(&mut self, wanted: &BTreeSet<u16>) {
        let gone: Vec<u16> = self.leases.keys().copied().filter(|port| !wanted.contains(port)).collect();
        for port in gone {
            let Some(Lease { external: Some(external), .. }) = self.leases.remove(&port) else { continue };
            if let Some(gateway) = &self.gateway {
                // What the router does not take back runs out.
                let _ = gateway.remove_port(PortMappingProtocol::TCP, external.port());
            }
            self.say(Said::Lost { port, why: "it was given back".into() });
        }
    }

    /// Asks for a port if it is time to.
    fn keep(&mut self, port: u16) {
        let now = Instant::now();
        let (before, failures) = match self.leases.get_mut(&port) {
            Some(lease) => {
                if lease.until.is_some_and(|until| until <= now) && lease.external.take().is_some() {
                    lease.until = None;
                    self.say(Said::Lost { port, why: "the lease of UPnP is over".into() });
                }
                let Some(lease) = self.leases.get_mut(&port) else { return };
                if !self.renew {
                    // Until that changes, or the lease is over.
                    lease.next = now + self.config.max_pause;
                }
                if lease.next > now {
                    return;
                }
                (lease.external, lease.failures)
            }
            None if !self.renew => return,
            None => (None, 0),
        };
        match self.map(port, before) {
            Ok((external, lease)) => {
                let (until, next) = match lease {
                    Some(lease) => (Some(Instant::now() + lease), Instant::now() + lease / 2),
                    // For ever; but the router may have restarted.
                    None => (None, Instant::now() + self.config.lease / 2),
                };
                self.leases.insert(port, Lease { external: Some(external), until, next, failures: 0 });
                self.say(Said::Mapped { port, external });
            }
            Err(why) => {
                // The next try searches anew.
                self.gateway = None;
                let most = self.config.max_pause;
                let pause = self.config.first_pause.saturating_mul(1 << failures.min(16)).min(most);
                let next = Instant::now() + pause;
                // What was given for ever is believed for one lease more: the router may be another one.
                let known = self.leases.get(&port).and_then(|lease| lease.until);
                let until = before.map(|_| known.unwrap_or_else(|| Instant::now() + self.config.lease));
                self.leases.insert(port, Lease { external: before, until, next, failures: failures + 1 });
                self.say(Said::Failed { port, why: format!("{why}; tried again in {} s", pause.as_secs()) });
            }
        }
    }

    /// Has it mapped: to the port that it had, to the same port, or to any. Where, and for how long if not for ever.
    fn map(&mut self, port: u16, before: Option<SocketAddr>) -> Result<(SocketAddr, Option<Duration>), String> {
        let gateway = self.gateway()?;
        let ip = gateway
            .get_external_ip()
            .map_err(|error| format!("the router does not tell its address by UPnP: {error}"))?;
        if ip.is_unspecified() {
            return Err("the router has no address outside, it says by UPnP".into());
        }
        let suggested = before.map_or(port, |before| before.port());
        let lease = u32::try_from(self.config.lease.as_secs()).unwrap_or(u32::MAX);
        let inside = SocketAddr::new(self.local, port);
        let add = |lease| gateway.add_port(PortMappingProtocol::TCP, suggested, inside, lease, "libp2p");
        let (got, lease) = match add(lease) {
            Ok(()) => (suggested, Some(self.config.lease)),
            Err(AddPortError::OnlyPermanentLeasesSupported) => {
                add(0).map_err(|error| no(&error))?;
                (suggested, None)
            }
            Err(AddPortError::PortInUse) => {
                let any = gateway.add_any_port(PortMappingProtocol::TCP, inside, lease, "libp2p");
                (any.map_err(|error| no(&error))?, Some(self.config.lease))
            }
            Err(error) => return Err(no(&error)),
        };
        Ok((SocketAddr::new(ip, got), lease))
    }

    fn gateway(&mut self) -> Result<Gateway, String> {
        if let Some(known) = &self.gateway {
            return Ok(known.clone());
        }
        let mut options = SearchOptions::default();
        // The address that is to be reached: the search goes out on its interface.
        options.bind_addr = SocketAddr::new(self.local, 0);
        options.broadcast_address = self.config.search_at;
        options.allowed_gateway_ips.clone_from(&self.config.trusted);
        (options.timeout, options.single_search_timeout) = (Some(self.config.search), Some(self.config.search));
        let found = search_gateway(options).map_err(|error| match error {
            SearchError::NoResponseWithinTimeout => self.asked.not_found(None),
            error => self.asked.not_found(Some(&error.to_string())),
        })?;
        Ok(self.gateway.insert(found).clone())
    }

    fn say(&self, word: Said) {
        let _ = self.said.send(word);
        Waker::from(self.wake.clone()).wake();
    }
}

fn no(error: &dyn std::fmt::Display) -> String {
    format!("the router says by UPnP: {error}")
}
