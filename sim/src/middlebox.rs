//! What stands between one host and the network: the seam for boxes of your own. NATs and firewalls in front of many hosts are
//! in [`nat`](crate::nat).

use crate::packet::Packet;
use tidewire_core::Time;

/// A box through which all packets of a host go, both ways, but those that it sends to itself.
///
/// ```text
///  host --outbound--> [ Middlebox ] --> access link --> the network
///  host <--inbound--- [ Middlebox ] <-- access link <-- the network
/// ```
///
/// It may change addresses and ports, keep packets, and remember what it saw. The network routes by what comes out of it.
/// It has no timers of its own: whatever it remembers, it forgets by comparing with `now`.
pub trait Middlebox: 'static {
    /// A packet leaves the host. `None`: it goes no further.
    fn outbound(&mut self, now: Time, packet: Packet) -> Option<Packet>;

    /// A packet comes from the network. `None`: the host never sees it.
    fn inbound(&mut self, now: Time, packet: Packet) -> Option<Packet>;

    /// What the box itself sends: asked after each packet that it saw, until there is no more. Whom it is for says the packet:
    /// the host, or anybody in the network. See [`Packet::refusal`] and [`Packet::unreachable`]. Default: nothing.
    fn answer(&mut self, _now: Time) -> Option<Packet> {
        None
    }
}
