//! Every number of the relay server, and what it is by default.

use super::Acl;
use crate::{Limit, RateConfig};
use core::time::Duration;

/// When the relay service is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Offer {
    /// While we can be reached from anywhere (circuit-v2.md, "Rationale": mounted after reachability was determined).
    #[default]
    WhilePublic,
    /// Whether or not anybody outside can reach us.
    Always,
    /// Not at all.
    Never,
}

/// What a relay gives, and how much it may hold. `u32::MAX` switches a count off.
///
/// Where no source is named, the number is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct ServerConfig {
    /// When the service is offered. [`Offer::WhilePublic`].
    pub offer: Offer,
    /// How long a reservation lasts. 1 h (go-libp2p).
    pub reservation_ttl: Duration,
    /// Reservations. 128 (go-libp2p, rust-libp2p). A peer has one, however often and over however many connections it asks (go).
    pub reservations: u32,
    /// Reservations per IPv4 address and per IPv6 /56. 8 (go-libp2p). Loopback is exempt, here and from the rates.
    pub reservations_per_network: u32,
    /// Reservations per autonomous system. 32 (go-libp2p).
    pub reservations_per_asn: u32,
    /// Whether IPv4 addresses count for their autonomous system too. No (go-libp2p: only IPv6 is counted so, because
    /// there one customer may have as many /56 as it likes).
    pub count_asn_of_ip4: bool,
    /// Circuits, those included that are being opened. 1,024.
    pub circuits: u32,
    /// Circuits per peer, those that it began and those that lead to it counted together (go-libp2p). 16.
    pub circuits_per_peer: u32,
    /// What a circuit may use: time, and bytes each way. 2 minutes and 128 KiB (go-libp2p).
    pub limit: Limit,
    /// How long the destination has to answer, the opening of the stream included. 30 s (go-libp2p).
    pub stop_timeout: Duration,
    /// How long the caller has to report [`Input::CircuitEnded`](super::Input::CircuitEnded) of a circuit that it was told to close.
    /// Then it is taken to be gone, so that a report that got lost doesn't count for ever. 30 s.
    pub close_timeout: Duration,
    /// How often a peer may ask for reservations. 30 within 2 minutes (rust-libp2p).
    pub reserve_per_peer: RateConfig,
    /// How often peers of one network may ask for reservations. 60 within a minute (rust-libp2p).
    pub reserve_per_network: RateConfig,
    /// How often a peer may ask for circuits. 30 within 2 minutes (rust-libp2p).
    pub connect_per_peer: RateConfig,
    /// How often peers of one network may ask for circuits. 60 within a minute (rust-libp2p).
    pub connect_per_network: RateConfig,
    /// Who may do what. Everybody everything.
    pub acl: Acl,
    /// How long the application has to decide, when a rule says so. 10 s.
    pub acl_timeout: Duration,
    /// Questions to the application that may be open. 256.
    pub acl_questions: u32,
    /// Of them, about one peer. 4.
    pub acl_questions_per_peer: u32,
    /// Rules that an [`Acl`] may have. 1,024. All are looked at for each request.
    pub acl_rules: u32,
    /// Whether addresses that are not public are told to holders too: for private networks, and for tests. No.
    pub announce_private: bool,
    /// Addresses told to holders. 16.
    pub addresses: u32,
    /// Bytes of them, so that the reply with its voucher stays under the 4,096 that peers read. 3,072.
    pub address_bytes: u32,
    /// Connections that may be known. 4,194,304, the most that the connection manager allows by its own formula.
    pub connections: u32,
    /// Bytes at which no new reservation is given, and beyond which no new circuit is. Counted are the heap of the tables of
    /// reservations, circuits, questions and rates, and [`circuit_memory`](Self::circuit_memory) for each circuit, those that are
    /// being opened or closed included, whether or not it holds so much now. Not counted are the book of connections, and what a
    /// connection takes by itself, its buffer of what waits to be sent above all: those are the connection manager's to limit. A
    /// table grows in steps: the step that reaches this may lead beyond it by what the largest table takes. 320 MiB: room for
    /// [`circuits`](Self::circuits) of the default [`limit`](Self::limit).
    pub memory: u64,
    /// Bytes that the caller may hold for one circuit, both directions together: what came and can't go on yet. A link of
    /// `tidewire-host` keeps it to two receive windows of its `circuit_window`, 256 KiB each, and two pieces of 64 KiB; its drivers
    /// raise this to what their links are set to. Bytes as they came: the buffers in which they lie may have room for as much again.
    /// A circuit never holds more than its limit lets through, and counts for no more. 640 KiB.
    pub circuit_memory: u32,
    /// Actions that may wait to be polled before a further input is misuse, and time stands still. One input may go beyond it: the
    /// end of a connection says as much as it had circuits. 65,536.
    pub max_unpolled: u32,
}

impl ServerConfig {
    /// What one circuit counts for in [`memory`](Self::memory).
    pub(super) fn memory_of_circuit(&self) -> u32 {
        let both_ways = self.limit.data.map_or(u64::MAX, |each| each.saturating_mul(2));
        u32::try_from(both_ways).unwrap_or(u32::MAX).min(self.circuit_memory)
    }

    /// A relay that limits nothing but its memory and what its tables may hold: no count, no rate, no bytes, no time.
    ///
    /// For a relay that serves friends, and for measuring. Its `memory` is 16 GiB, room for 26,000 circuits that all hold as much
    /// as they may: give it what the machine has.
    pub fn unlimited() -> Self {
        ServerConfig {
            reservations: u32::MAX,
            reservations_per_network: u32::MAX,
            reservations_per_asn: u32::MAX,
            circuits: u32::MAX,
            circuits_per_peer: u32::MAX,
            limit: Limit::UNLIMITED,
            reserve_per_peer: RateConfig::OFF,
            reserve_per_network: RateConfig::OFF,
            connect_per_peer: RateConfig::OFF,
            connect_per_network: RateConfig::OFF,
            memory: 16 << 30,
            ..ServerConfig::default()
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        let (minute, seconds) = (Duration::from_secs(60), Duration::from_secs);
        ServerConfig {
            offer: Offer::default(),
            reservation_ttl: seconds(3600),
            reservations: 128,
            reservations_per_network: 8,
            reservations_per_asn: 32,
            count_asn_of_ip4: false,
            circuits: 1024,
            circuits_per_peer: 16,
            limit: Limit { duration: Some(2 * minute), data: Some(128 * 1024) },
            stop_timeout: seconds(30),
            close_timeout: seconds(30),
            reserve_per_peer: RateConfig::per(30, 2 * minute),
            reserve_per_network: RateConfig::per(60, minute),
            connect_per_peer: RateConfig::per(30, 2 * minute),
            connect_per_network: RateConfig::per(60, minute),
            acl: Acl::default(),
            acl_timeout: seconds(10),
            acl_questions: 256,
            acl_questions_per_peer: 4,
            acl_rules: 1024,
            announce_private: false,
            addresses: 16,
            address_bytes: 3072,
            connections: 1 << 22,
            memory: 320 << 20,
            circuit_memory: 640 << 10,
            max_unpolled: 65_536,
        }
    }
}
