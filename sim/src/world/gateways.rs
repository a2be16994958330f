//! NATs and firewalls in a world, and the hosts behind them.

use super::World;
use crate::gateway::Gateway;
use crate::host::Host;
use crate::link::{Link, Pipe};
use crate::nat::{Firewall, ForwardError, Nat, Translator};
use crate::network::{Place, Realm};
use crate::node::{GatewayId, HostId, Node};
use crate::packet::Protocol;
use crate::trace::Header;
use std::net::{IpAddr, SocketAddr};

/// Gateways: see [`nat`](crate::nat). Methods that take a [`GatewayId`] panic if it is of another world.
impl World {
    /// Adds a NAT to the internet, with these outer addresses.
    ///
    /// ```
    /// # use tidewire_sim::{Input, Node, Os, World, ipv4};
    /// # use tidewire_core::Time;
    /// # struct Idle;
    /// # impl Node for Idle { fn handle(&mut self, _: Time, _: Input, _: &mut Os<'_>) {} }
    /// use tidewire_sim::nat::Nat;
    ///
    /// let mut world = World::new(1);
    /// for n in 1..=2 {
    ///     let home = world.nat(Nat::home_router(), [ipv4(n)]);
    ///     // The same address in both homes: they are networks of their own.
    ///     world.add_behind(home, Idle, ["192.168.1.2".parse().unwrap()]);
    /// }
    /// ```
    ///
    /// # Panics
    /// An address is taken, or no IPv4 address.
    pub fn nat(&mut self, nat: Nat, outer: impl IntoIterator<Item = IpAddr>) -> GatewayId {
        self.add_nat(None, nat, outer)
    }

    /// Adds a NAT that is itself behind a gateway: a router at home behind the provider's NAT.
    ///
    /// # Panics
    /// An address is taken inside that gateway, or no IPv4 address.
    pub fn nat_behind(&mut self, gateway: GatewayId, nat: Nat, outer: impl IntoIterator<Item = IpAddr>) -> GatewayId {
        self.add_nat(Some(gateway), nat, outer)
    }

    /// Adds a firewall without a NAT to the internet. The addresses of the hosts behind it are known outside.
    pub fn firewall(&mut self, firewall: Firewall) -> GatewayId {
        self.add_gateway(None, Translator::firewall(firewall))
    }

    /// Adds a firewall without a NAT behind another gateway.
    pub fn firewall_behind(&mut self, gateway: GatewayId, firewall: Firewall) -> GatewayId {
        self.add_gateway(Some(gateway), Translator::firewall(firewall))
    }

    /// Adds a host behind a gateway, with addresses that are its own there: those that a NAT translates may be in use elsewhere.
    /// Hosts behind the same gateway reach each other without it.
    ///
    /// # Panics
    /// Another host has one of the addresses.
    pub fn add_behind(
        &mut self,
        gateway: GatewayId,
        node: impl Node,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> HostId {
        self.translator(gateway);
        self.add_in(Some(gateway), node, addresses)
    }

    /// The gateway that a host is behind; the innermost, if there are several. `None`: it is on the internet.
    pub fn gateway_of(&self, id: HostId) -> Option<GatewayId> {
        self.network.home(id)
    }

    /// The links on the outside of a gateway, that all packets to and from those behind it share: its line to the provider.
    /// Default: none, only the link of the pair.
    pub fn line(&mut self, gateway: GatewayId, up: Link, down: Link) {
        let door = self.network.door(Place::Outside(gateway));
        (door.up, door.down) = (Some(Pipe::new(up)), Some(Pipe::new(down)));
    }

    /// The link on the inside of a gateway: between it and each host there, and between those hosts, where none was set.
    /// Default: 1 ms, and no fault.
    pub fn lan(&mut self, gateway: GatewayId, link: Link) {
        self.gateway_mut(gateway).lan = link;
    }

    /// Forwards a port of a NAT to an inside endpoint, from now on: [`Translator::forward`].
    ///
    /// # Errors
    /// The port can't be had.
    pub fn forward(
        &mut self,
        gateway: GatewayId,
        protocol: Protocol,
        inside: SocketAddr,
        port: u16,
    ) -> Result<SocketAddr, ForwardError> {
        let now = self.now;
        self.gateway_mut(gateway).translator.forward(now, protocol, inside, port)
    }

    /// Ends a forward. Says whether there was one.
    pub fn unforward(&mut self, gateway: GatewayId, protocol: Protocol, port: u16) -> bool {
        self.gateway_mut(gateway).translator.unforward(protocol, port)
    }

    /// A gateway at work: its mappings, its outer addresses.
    pub fn translator(&self, gateway: GatewayId) -> &Translator {
        &self.network.gateways[gateway.0 as usize].translator
    }

    /// Switches a gateway off and on: it forgets all but its forwards.
    pub fn reboot(&mut self, gateway: GatewayId) {
        self.gateway_mut(gateway).translator.reboot();
    }

    /// Gives a NAT other outer addresses, as providers do over night. All its mappings end.
    ///
    /// # Panics
    /// An address is taken.
    pub fn renumber(&mut self, gateway: GatewayId, outer: impl IntoIterator<Item = IpAddr>) {
        let outside = self.gateway_mut(gateway).outside;
        for address in self.translator(gateway).outer().to_vec() {
            self.network.withdraw(outside, address);
        }
        self.gateway_mut(gateway).translator.renumber(outer);
        self.announce_outer(gateway);
    }

    /// What a file with the trace says of the world.
    pub(crate) fn header(&self, why: Option<&str>) -> Header {
        let behind = |realm: Realm| realm.map(|gateway| gateway.to_string());
        let texts = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect();
        let host =
            |host: &Host| (host.id.to_string(), texts(&host.stack.addresses), behind(self.network.home(host.id)));
        let gateways =
            self.network.gateways.iter().zip(0..).map(|(gateway, n)| {
                (GatewayId(n).to_string(), texts(gateway.translator.outer()), behind(gateway.outside))
            });
        Header {
            seed: self.seed,
            now_ns: self.now.as_nanos(),
            why: why.map(ToOwned::to_owned),
            hosts: self.hosts.iter().map(host).collect(),
            gateways: gateways.collect(),
        }
    }

    /// Keeps the last `least` records from now on, whatever the test asks for.
    pub(crate) const fn trace_fully(&mut self, least: usize) {
        self.trace.start_fully(least);
    }

    fn add_nat(&mut self, outside: Realm, nat: Nat, outer: impl IntoIterator<Item = IpAddr>) -> GatewayId {
        let outer: Vec<IpAddr> = outer.into_iter().collect();
        assert!(outer.iter().all(IpAddr::is_ipv4), "a NAT has IPv4 addresses outside, not {outer:?}");
        // Its own chance: what it draws changes nothing for others.
        let seed = self.seed ^ (self.network.gateways.len() as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let id = self.add_gateway(outside, Translator::nat(nat, outer, seed));
        self.announce_outer(id);
        id
    }

    fn add_gateway(&mut self, outside: Realm, translator: Translator) -> GatewayId {
        if let Some(outside) = outside {
            self.translator(outside);
        }
        let id = GatewayId(u32::try_from(self.network.gateways.len()).unwrap_or(u32::MAX));
        self.network.gateways.push(Gateway::new(translator, outside));
        id
    }

    fn announce_outer(&mut self, id: GatewayId) {
        let outside = self.gateway_mut(id).outside;
        for address in self.translator(id).outer().to_vec() {
            let owner = self.network.announce(outside, address, Place::Outside(id));
            assert!(owner.is_none(), "{id} can't have the address {address}: {owner:?} has it");
        }
    }

    fn gateway_mut(&mut self, id: GatewayId) -> &mut Gateway {
        &mut self.network.gateways[id.0 as usize]
    }
}
