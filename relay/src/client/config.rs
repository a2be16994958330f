//! Every number of the relay client, and what it is by default.

use core::time::Duration;

/// What to do about a reservation's voucher (circuit-v2.md, "Reservation Vouchers": they are only advisory as yet).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum VoucherPolicy {
    /// Take the reservation whatever its voucher is.
    Ignore,
    /// A wrong voucher refuses the reservation, a missing one doesn't: rust-libp2p's relays give none.
    #[default]
    RefuseWrong,
    /// Without a right voucher there is no reservation.
    Require,
}

/// From which relays circuits are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum AcceptFrom {
    /// From those that we hold a reservation with, or are asking for one just now: its circuit may overtake its answer. By the spec
    /// nobody else has a reason to bring one ("Connection Initiation").
    #[default]
    Held,
    /// From any peer (go-libp2p doesn't look).
    Anyone,
    /// From nobody.
    Nobody,
}

/// The numbers of a [`Client`](super::Client). Times are at least a millisecond. `u32::MAX` switches a count off.
///
/// Where no source is named, the number is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct ClientConfig {
    /// What to do about vouchers. [`VoucherPolicy::RefuseWrong`].
    pub voucher: VoucherPolicy,
    /// From which relays circuits are accepted. [`AcceptFrom::Held`].
    pub accept: AcceptFrom,
    /// Whether the application is asked before a circuit is accepted. No.
    pub ask_application: bool,
    /// How long it has to decide. 10 s (go-libp2p's time for accepting).
    pub accept_timeout: Duration,
    /// Time for a relay to answer RESERVE, the opening of the stream included. 60 s (go-libp2p).
    pub reserve_timeout: Duration,
    /// Time for a relay to answer CONNECT, likewise. 60 s (go-libp2p).
    pub connect_timeout: Duration,
    /// Time to get a connection to the relay of a dial. 5 s (go-libp2p).
    pub relay_dial_timeout: Duration,
    /// Time to get a connection to a relay for a reservation. 60 s, what the connection manager gives a peer.
    pub hold_dial_timeout: Duration,
    /// A reservation is renewed so long before its end (js-libp2p: 5 min; go-libp2p when less than 2 min are left), but not before
    /// two thirds of its time; and by up to a quarter of this earlier, by chance. 5 min.
    pub renew_before: Duration,
    /// Least time from a reservation to its renewal. 4 s: rust-libp2p's relays take 30 requests within 2 min.
    pub renew_min: Duration,
    /// How long a reservation is taken to last if its end is over by our clock, or far beyond `max_ttl`, or we have no clock:
    /// it was given just now, so one of the two clocks is wrong, and nobody can say when it ends. Short, so that it is renewed
    /// before it does. 5 min.
    pub assumed_ttl: Duration,
    /// How long it lasts at most, whatever the relay says. One that is said to last longer by more than an eighth of this may
    /// be over at any time, and is taken to last for `assumed_ttl`. 2 h (js-libp2p gives as much; go-libp2p and rust-libp2p 1 h).
    pub max_ttl: Duration,
    /// Delay before the first new try after a failure of transport; doubles with each. Up to a quarter is added to every one. 1 s.
    pub first_delay: Duration,
    /// Greatest such delay. 5 min. A relay that can't be reached is tried again for ever.
    pub max_delay: Duration,
    /// Delay after the first refusal; doubles with each. 1 min.
    pub first_refused_delay: Duration,
    /// Greatest such delay, and the one after a refusal that asking again does not change:
    /// [`Refusal::is_lasting`](super::Refusal::is_lasting). 1 h (go-libp2p).
    pub max_refused_delay: Duration,
    /// Refusals before giving up, failures of transport between them not counted. 12.
    pub tries: u32,
    /// A reservation that was held for this long ends the row of failures when it is lost. One lost sooner counts as a failure, so
    /// that a relay that hangs up at once is asked ever more slowly. 60 s.
    pub settled: Duration,
    /// Relays at which a reservation is wanted. 16.
    pub holds: u32,
    /// Addresses that are kept of a relay; further ones are dropped. 16.
    pub relay_addresses: u32,
    /// Dials that wait for their circuit. 256.
    pub dials: u32,
    /// Circuits that we dialed, those being dialed included. 256.
    pub circuits_out: u32,
    /// Circuits that came to us, those the application is asked about included. 256.
    pub circuits_in: u32,
    /// Of them, from one source. 8.
    pub circuits_per_source: u32,
    /// Addresses of ours through relays. 256.
    pub circuit_addresses: u32,
    /// Connections that may be known. 4,194,304, the most that the connection manager allows by its own formula.
    pub connections: u32,
    /// Actions that may wait to be polled before a further input is misuse, and time stands still. One input may go beyond it: the
    /// end of a connection says as much as it had circuits. 65,536.
    pub max_unpolled: u32,
}

impl Default for ClientConfig {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        ClientConfig {
            voucher: VoucherPolicy::default(),
            accept: AcceptFrom::default(),
            ask_application: false,
            accept_timeout: seconds(10),
            reserve_timeout: seconds(60),
            connect_timeout: seconds(60),
            relay_dial_timeout: seconds(5),
            hold_dial_timeout: seconds(60),
            renew_before: seconds(300),
            renew_min: seconds(4),
            assumed_ttl: seconds(300),
            max_ttl: seconds(7200),
            first_delay: seconds(1),
            max_delay: seconds(300),
            first_refused_delay: seconds(60),
            max_refused_delay: seconds(3600),
            tries: 12,
            settled: seconds(60),
            holds: 16,
            relay_addresses: 16,
            dials: 256,
            circuits_out: 256,
            circuits_in: 256,
            circuits_per_source: 8,
            circuit_addresses: 256,
            connections: 1 << 22,
            max_unpolled: 65_536,
        }
    }
}

/// What is never over at the moment when it begins.
pub(crate) fn at_least_a_millisecond(time: Duration) -> Duration {
    time.max(Duration::from_millis(1))
}
