//! A NAT or a firewall in a world: what it does, between which networks it stands, and the link on its inside.

use crate::link::Link;
use crate::nat::Translator;
use crate::network::Realm;
use core::time::Duration;
use std::net::IpAddr;
use tidewire_core::Time;

/// Between places inside a gateway, unless set: a wire or a radio in a house.
const LAN: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) translator: Translator,
    /// The network that it belongs to with its outer side.
    pub(crate) outside: Realm,
    /// Between all places of its inside network for which none was set.
    pub(crate) lan: Link,
    /// When the world looks after it.
    pub(crate) wake: Time,
}

impl Gateway {
    pub(crate) const fn new(translator: Translator, outside: Realm) -> Self {
        Gateway { translator, outside, lan: Link::new(LAN), wake: Time::NEVER }
    }

    /// The network in which an inside address means the same as inside. `None`: it is translated.
    pub(crate) const fn outside_of(&self, address: IpAddr) -> Option<Realm> {
        if self.translator.translates(address) { None } else { Some(self.outside) }
    }
}
