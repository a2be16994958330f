//! The listeners of a driver, and the addresses that they have: those on all interfaces follow the machine's.

use crate::hub::Hub;
use crate::interfaces::{expand, interfaces};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use tidewire_core::Multiaddr;
use tidewire_host::{Input, ListenerId};

/// The listeners of a driver. `T` is what it has of each: a socket, a task.
#[derive(Debug)]
pub struct Listeners<T> {
    all: BTreeMap<ListenerId, Listener<T>>,
    /// The machine's addresses when they were looked at last.
    interfaces: Vec<IpAddr>,
}

#[derive(Debug)]
struct Listener<T> {
    bound: SocketAddr,
    addresses: Vec<Multiaddr>,
    of_driver: T,
}

impl<T> Default for Listeners<T> {
    fn default() -> Self {
        Listeners { all: BTreeMap::new(), interfaces: interfaces().unwrap_or_default() }
    }
}

impl<T> Listeners<T> {
    /// A listener's socket is bound: the hub is told its addresses.
    pub fn add(&mut self, hub: &Hub, listener: ListenerId, bound: SocketAddr, of_driver: T) {
        let addresses = expand(bound, &self.interfaces);
        hub.listening(listener, addresses.clone());
        self.all.insert(listener, Listener { bound, addresses, of_driver });
    }

    /// Takes a listener away. The hub is not told.
    pub fn remove(&mut self, listener: ListenerId) -> Option<T> {
        self.all.remove(&listener).map(|entry| entry.of_driver)
    }

    /// What the driver has of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.all.values().map(|entry| &entry.of_driver)
    }

    /// Looks whether the machine got or lost an address, and tells the hub.
    pub fn look(&mut self, hub: &Hub) {
        if let Ok(found) = interfaces() {
            self.found(hub, found);
        }
    }

    fn found(&mut self, hub: &Hub, found: Vec<IpAddr>) {
        if found == self.interfaces {
            return;
        }
        self.interfaces = found;
        for (&listener, entry) in &mut self.all {
            let now = expand(entry.bound, &self.interfaces);
            let before = std::mem::replace(&mut entry.addresses, now.clone());
            let gone = before.iter().filter(|address| !now.contains(address)).cloned();
            let new = now.iter().filter(|address| !before.contains(address)).cloned();
            // A listener that was closed meanwhile is known no more.
            gone.for_each(|address| drop(hub.tell(Input::NotListening { listener, address })));
            new.for_each(|address| drop(hub.tell(Input::Listening { listener, address })));
        }
        // The clock is the hub's: nothing can be wrong.
        let _ = hub.tell(Input::NetworkChanged);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::hub::HubConfig;
    use std::task::{Poll, Waker};
    use tidewire_core::{Keypair, Seed};
    use tidewire_host::Event;

    #[test]
    fn a_listener_on_all_interfaces_follows_them() {
        let (keypair, seed) = (Keypair::from_seed(&Seed::new([1; 32])), Seed::new([2; 32]));
        let hub = Hub::new(HubConfig::default(), keypair, &seed, None, Box::new(drop)).unwrap();
        let events = hub.audience.subscribe(100);
        let ip = |last| IpAddr::from([192, 0, 2, last]);
        let mut listeners = Listeners { all: BTreeMap::new(), interfaces: vec![ip(1), ip(2), "::1".parse().unwrap()] };
        for bound in ["0.0.0.0:7", "127.0.0.1:8"] {
            let address = Multiaddr::tcp(bound.parse().unwrap());
            let (listener, _) = hub.listen(&address).unwrap();
            listeners.add(&hub, listener, bound.parse().unwrap(), ());
        }
        let told = || -> Vec<String> {
            let next = || match events.poll_next(Waker::noop()) {
                Poll::Ready(Some((_, Event::Listening { address, .. }))) => Some(format!("+{address}")),
                Poll::Ready(Some((_, Event::NotListening { address, .. }))) => Some(format!("-{address}")),
                Poll::Ready(Some((_, other))) => Some(format!("{other:?}")),
                _ => None,
            };
            std::iter::from_fn(next).filter(|word| word.starts_with(['+', '-'])).collect()
        };
        assert_eq!(told(), ["+/ip4/192.0.2.1/tcp/7", "+/ip4/192.0.2.2/tcp/7", "+/ip4/127.0.0.1/tcp/8"]);
        listeners.found(&hub, vec![ip(2), ip(3)]);
        assert_eq!(told(), ["-/ip4/192.0.2.1/tcp/7", "+/ip4/192.0.2.3/tcp/7"]);
        listeners.found(&hub, vec![ip(2), ip(3)]);
        assert!(told().is_empty(), "nothing changed");
    }
}
