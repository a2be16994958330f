//! A slot at a relay, as its holder knows it (circuit-v2.md, "Reservation").

use crate::{Limit, SignedVoucher, VoucherError};
use alloc::vec::Vec;
use tidewire_core::{Component, Multiaddr, PeerId, UnixTime};

/// What a relay gave us.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Reservation {
    /// The relay.
    pub relay: PeerId,
    /// Until when it holds, as the relay says. Any number: compare with [`UnixTime::until`], which doesn't wrap.
    pub expire: UnixTime,
    /// Where the relay says that it is reached, each once: with `/p2p/<relay>` at the end, without `/p2p-circuit`. May be empty:
    /// a rust relay that knows no external address sends none.
    pub addresses: Vec<Multiaddr>,
    /// What came beside these, and is not kept.
    pub dropped: DroppedAddresses,
    /// The voucher, if there was one: checked for the relay, for us, and against [`expire`](Self::expire); or what is wrong
    /// with it.
    pub voucher: Option<Result<SignedVoucher, VoucherError>>,
    /// What the relay gives a circuit to us.
    pub limit: Limit,
}

/// Addresses of a reservation that are not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct DroppedAddresses {
    /// No address, nothing but a peer id, or one that lies behind a relay itself.
    pub unusable: u32,
    /// At their end stands another peer than the relay.
    pub foreign: u32,
    /// Beyond the cap.
    pub surplus: u32,
}

impl Reservation {
    /// A reservation without addresses, voucher and limit.
    pub const fn new(relay: PeerId, expire: UnixTime) -> Self {
        let dropped = DroppedAddresses { unusable: 0, foreign: 0, surplus: 0 };
        Reservation { relay, expire, addresses: Vec::new(), dropped, voucher: None, limit: Limit::UNLIMITED }
    }

    /// The addresses at which we can be reached through the relay: those to announce.
    pub fn circuit_addresses(&self, us: PeerId) -> Vec<Multiaddr> {
        self.addresses.iter().filter_map(|address| circuit_address(address, self.relay, us)).collect()
    }

    /// Bytes on the heap.
    pub fn memory_used(&self) -> usize {
        let voucher = match &self.voucher {
            Some(Ok(voucher)) => voucher.memory_used(),
            _ => 0,
        };
        Multiaddr::list_memory_used(&self.addresses) + voucher
    }

    /// Makes a list of the addresses on the wire: good ones in one form, at most `max`.
    pub(crate) fn take_addresses<'a>(&mut self, wire: impl Iterator<Item = &'a [u8]>, max: usize) {
        for bytes in wire {
            let counter = match Multiaddr::from_bytes(bytes).ok().map(|address| relay_address(&address, self.relay)) {
                Some(Ok(address)) if self.addresses.contains(&address) => continue,
                Some(Ok(address)) if self.addresses.len() < max => {
                    self.addresses.push(address);
                    continue;
                }
                Some(Ok(_)) => &mut self.dropped.surplus,
                Some(Err(Unfit::Foreign)) => &mut self.dropped.foreign,
                Some(Err(Unfit::Unusable)) | None => &mut self.dropped.unusable,
            };
            *counter = counter.saturating_add(1);
        }
        self.addresses.shrink_to_fit();
    }
}

impl DroppedAddresses {
    /// How many in all.
    pub const fn count(&self) -> u32 {
        self.unusable.saturating_add(self.foreign).saturating_add(self.surplus)
    }
}

/// The address of `peer` through `relay`, which is reached at `address`: `address/p2p/relay/p2p-circuit/p2p/peer`.
///
/// `address` may have its `/p2p/relay` already, and a `/p2p-circuit` behind it. `None`: it names another peer, lies behind a
/// relay itself, holds nothing but a peer id, or is too long to hold all of it.
///
/// ```
/// use tidewire_core::{Keypair, Seed};
/// use tidewire_relay::circuit_address;
///
/// let [relay, us] = [1, 2].map(|seed| Keypair::from_seed(&Seed::new([seed; 32])).peer_id());
/// let address = "/ip4/192.0.2.1/tcp/4001".parse()?;
/// let circuit = circuit_address(&address, relay, us).ok_or("too long")?;
/// assert_eq!(circuit.to_string(), format!("/ip4/192.0.2.1/tcp/4001/p2p/{relay}/p2p-circuit/p2p/{us}"));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub fn circuit_address(address: &Multiaddr, relay: PeerId, peer: PeerId) -> Option<Multiaddr> {
    let address = relay_address(address, relay).ok()?;
    address.with(Component::P2pCircuit).ok()?.with_peer_id(peer).ok()
}

enum Unfit {
    Unusable,
    Foreign,
}

/// The form of the spec: with `/p2p/relay`, without `/p2p-circuit` and what follows.
fn relay_address(address: &Multiaddr, relay: PeerId) -> Result<Multiaddr, Unfit> {
    let front = match address.split_circuit() {
        Some((front, _)) => front,
        None => address.clone(),
    };
    if front.is_relayed() {
        return Err(Unfit::Unusable);
    }
    if front.peer_id().is_some_and(|named| named != relay) {
        return Err(Unfit::Foreign);
    }
    if front.without_peer_id().is_empty() {
        return Err(Unfit::Unusable);
    }
    front.with_peer_id(relay).map_err(|_| Unfit::Unusable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};
    use tidewire_core::{Keypair, Seed};

    fn peer(number: u8) -> PeerId {
        Keypair::from_seed(&Seed::new([number; 32])).peer_id()
    }

    /// Relay 1, its address and nothing else.
    fn told(addresses: &[String], max: usize) -> Reservation {
        let mut reservation = Reservation::new(peer(1), UnixTime::from_secs(300));
        let wire: Vec<_> = addresses.iter().map(|text| text.parse::<Multiaddr>().unwrap()).collect();
        reservation.take_addresses(wire.iter().map(Multiaddr::as_bytes), max);
        reservation
    }

    const HERE: &str = "/ip4/192.0.2.1/tcp/4001";

    #[test]
    fn an_address_is_kept_in_the_form_of_the_spec_however_it_comes() {
        let (relay, us) = (peer(1), peer(2));
        let forms = [
            format!("{HERE}/p2p/{relay}"),
            HERE.to_string(),
            format!("{HERE}/p2p/{relay}/p2p-circuit"),
            format!("{HERE}/p2p-circuit"),
            format!("{HERE}/p2p/{relay}/p2p-circuit/p2p/{us}"),
        ];
        for form in &forms {
            assert_eq!(told(core::slice::from_ref(form), 8).addresses[0].to_string(), forms[0], "{form}");
        }
        let all = told(&forms, 8);
        assert_eq!((all.addresses.len(), all.dropped.count()), (1, 0), "each once");
    }

    #[test]
    fn an_address_that_leads_elsewhere_or_nowhere_is_dropped_and_counted() {
        let (relay, other) = (peer(1), peer(3));
        let there = [
            format!("{HERE}/p2p/{other}"),
            format!("{HERE}/p2p/{other}/p2p-circuit/p2p/{relay}"),
            format!("{HERE}/p2p/{relay}/p2p-circuit/p2p/{relay}/p2p-circuit"),
            format!("/p2p/{relay}"),
            "/p2p-circuit".to_string(),
            format!("{HERE}/p2p/{relay}"),
        ];
        let reservation = told(&there, 8);
        assert_eq!(reservation.addresses.len(), 1);
        let dropped = reservation.dropped;
        assert_eq!((dropped.foreign, dropped.unusable, dropped.surplus, dropped.count()), (2, 3, 0, 5));
    }

    #[test]
    fn bytes_that_are_no_address_hide_no_other() {
        let mut reservation = told(&[], 8);
        let good: Multiaddr = HERE.parse().unwrap();
        let wire = [&b""[..], b"\x04\x01", good.as_bytes(), b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"];
        reservation.take_addresses(wire.into_iter(), 8);
        assert_eq!((reservation.addresses.len(), reservation.dropped.unusable), (1, 3));
    }

    #[test]
    fn further_ones_than_the_cap_are_counted() {
        let many: Vec<_> = (0..20).map(|port| format!("/ip4/192.0.2.1/tcp/{port}")).collect();
        let reservation = told(&many, 8);
        assert_eq!((reservation.addresses.len(), reservation.dropped.surplus), (8, 12));
    }

    #[test]
    fn our_circuit_addresses_lead_through_the_relay_to_us() {
        let (relay, us) = (peer(1), peer(2));
        let reservation = told(&[HERE.to_string(), "/dns4/relay.example/tcp/443/wss".to_string()], 8);
        let circuits: Vec<_> = reservation.circuit_addresses(us).iter().map(Multiaddr::to_string).collect();
        let expected = [
            format!("{HERE}/p2p/{relay}/p2p-circuit/p2p/{us}"),
            format!("/dns4/relay.example/tcp/443/wss/p2p/{relay}/p2p-circuit/p2p/{us}"),
        ];
        assert_eq!(circuits, expected);
    }

    /// CVE-2026-40094: an empty list.
    #[test]
    fn a_relay_without_an_address_gives_us_none() {
        let reservation = told(&[], 8);
        assert!(reservation.circuit_addresses(peer(2)).is_empty());
        assert_eq!(reservation.memory_used(), 0);
    }

    #[test]
    fn a_circuit_address_that_would_be_too_long_is_none() {
        let long: Multiaddr = format!("/dns4/{}/tcp/1", "x".repeat(1000)).parse().unwrap();
        assert_eq!(circuit_address(&long, peer(1), peer(2)), None);
    }
}
