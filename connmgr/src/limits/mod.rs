//! Hard caps: how many connections and streams, how much memory, how fast.
//!
//! [`Limits`] only counts and compares. It knows no connection and no stream by name, so whoever asks says what ends:
//! ```text
//!                 incoming                           closing
//!   (nothing) --- dialing ---> pending --- establish ---> established ---> closing
//!       |                         |                        ^   |             |
//!       |                     end_pending                  |   +-------------+-- end_established
//!       +------------------ establish_new -----------------+
//! ```
//! Every call that gives an error has changed nothing, and ending what was never counted does nothing: the counters equal
//! the truth whatever happens. A connection counts with its network from its first state to its last; in the total cap it
//! counts only while it is established and not closing.
//!
//! Sources: which things are limited, and per which networks: go-libp2p's resource manager (docs of `p2p/host/resource-manager`);
//! the rate: js-libp2p's `inboundConnectionThreshold`. The numbers stand at the fields of [`LimitsConfig`].

mod config;
mod exceeded;
mod protocols;
mod rate;
mod subnets;
#[cfg(test)]
mod tests;

pub use config::LimitsConfig;
pub use exceeded::{Limit, LimitExceeded};
pub use protocols::ProtocolIx;

use crate::Direction;
use core::fmt;
use core::net::IpAddr;
use exceeded::room;
use hashbrown::HashTable;
use protocols::Protocols;
use rate::Rates;
use siphasher::sip::SipHasher13;
use subnets::Subnets;
use tidewire_core::{Seed, Time};

/// Counts connections, streams and memory against the caps of a [`LimitsConfig`].
///
/// ```
/// use core::net::IpAddr;
/// use tidewire_connmgr::Direction;
/// use tidewire_connmgr::limits::{Limit, Limits, LimitsConfig};
/// use tidewire_core::{Seed, Time};
///
/// let mut config = LimitsConfig::default();
/// config.per_ip4 = 1;
/// let mut limits = Limits::new(config, &Seed::new([7; 32]));
/// let ip: IpAddr = "192.0.2.1".parse()?;
///
/// limits.incoming(Time::ZERO, Some(ip))?;
/// let refused = limits.incoming(Time::ZERO, Some(ip)).unwrap_err();
/// assert_eq!(refused.limit, Limit::Subnet { network: ip, prefix: 32 });
///
/// limits.end_pending(Direction::Inbound, Some(ip));
/// limits.incoming(Time::ZERO, Some(ip))?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[cfg_attr(any(test, feature = "model"), derive(Clone))]
pub struct Limits {
    config: LimitsConfig,
    pending: Pair,
    established: Pair,
    closing: Pair,
    streams: Pair,
    /// Bytes reserved in all.
    memory: u64,
    /// Those of them that were reserved for no connection and no peer.
    memory_of_system: u64,
    subnets: Subnets,
    rates: Rates,
    protocols: Protocols,
}

/// What is counted for one connection, or for one peer. The caller keeps one for each, and gives it to [`Limits`] when
/// something about it changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Streams that the remote opened.
    pub inbound_streams: u32,
    /// Streams that we opened.
    pub outbound_streams: u32,
    /// Bytes reserved. A peer's include those of its connections.
    pub memory: u64,
}

/// What is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Incoming connections that are not upgraded yet.
    pub pending_inbound: u32,
    /// Dials under way.
    pub pending_outbound: u32,
    /// Established connections that the remote opened, and that are not being closed.
    pub established_inbound: u32,
    /// Established connections that we opened, and that are not being closed.
    pub established_outbound: u32,
    /// Connections that the remote opened, and that are being closed.
    pub closing_inbound: u32,
    /// Connections that we opened, and that are being closed.
    pub closing_outbound: u32,
    /// Streams that remotes opened.
    pub streams_inbound: u32,
    /// Streams that we opened.
    pub streams_outbound: u32,
    /// Bytes reserved.
    pub memory: u64,
    /// Networks (/32, /56, /48) with a connection. Those whose cap is off are not counted.
    pub subnets: usize,
    /// Networks (/32, /56) whose rate is remembered.
    pub rates: usize,
    /// Names of protocols that have streams, those counted as [`ProtocolIx::OTHERS`] left out.
    pub protocols: usize,
}

impl Limits {
    /// Nothing in use. The seed keys the tables, so that remotes can't choose what collides.
    pub fn new(config: LimitsConfig, seed: &Seed) -> Self {
        let key = |table| {
            let seed = seed.derive("connmgr limits", table);
            let mut key = [0; 16];
            key.copy_from_slice(&seed.as_bytes()[..16]);
            SipHasher13::new_with_key(&key)
        };
        Limits {
            pending: Pair::default(),
            established: Pair::default(),
            closing: Pair::default(),
            streams: Pair::default(),
            memory: 0,
            memory_of_system: 0,
            subnets: Subnets::new(&config, key(0)),
            rates: Rates::new(&config, key(1)),
            protocols: Protocols::new(&config, key(2)),
            config,
        }
    }

    /// The caps.
    pub fn config(&self) -> &LimitsConfig {
        &self.config
    }

    /// What is in use.
    pub fn counts(&self) -> Counts {
        Counts {
            pending_inbound: self.pending.inbound,
            pending_outbound: self.pending.outbound,
            established_inbound: self.established.inbound,
            established_outbound: self.established.outbound,
            closing_inbound: self.closing.inbound,
            closing_outbound: self.closing.outbound,
            streams_inbound: self.streams.inbound,
            streams_outbound: self.streams.outbound,
            memory: self.memory,
            subnets: self.subnets.len(),
            rates: self.rates.len(),
            protocols: self.protocols.len(),
        }
    }

    /// An incoming connection. It is pending from here on. Checks the rate of its IP, pending ones, and networks.
    ///
    /// `ip`, here and below: of the remote; `None` for a relayed connection, and wherever else no IP is known. Then there is no
    /// network and no rate to count. It must be the same from here to the connection's end.
    pub fn incoming(&mut self, now: Time, ip: Option<IpAddr>) -> Result<(), LimitExceeded> {
        self.rates.room(now, ip)?;
        self.begin_pending(Direction::Inbound, ip)?;
        self.rates.take(now, ip);
        Ok(())
    }

    /// A dial begins. It is pending from here on. Checks pending ones, and networks.
    pub fn dialing(&mut self, ip: Option<IpAddr>) -> Result<(), LimitExceeded> {
        self.begin_pending(Direction::Outbound, ip)
    }

    /// A pending connection is gone: failed, aborted, or refused.
    pub fn end_pending(&mut self, direction: Direction, ip: Option<IpAddr>) {
        if self.pending.sub(direction) {
            self.subnets.remove(ip);
        }
    }

    /// What [`Limits::establish`] (`pending`) or [`Limits::establish_new`] (not `pending`) would say. So a caller can look for
    /// somebody to evict only when nothing else is in the way.
    pub fn may_establish(
        &self,
        direction: Direction,
        ip: Option<IpAddr>,
        peer_connections: u32,
        pending: bool,
    ) -> Result<(), LimitExceeded> {
        let cap = match direction {
            Direction::Inbound => self.config.established_inbound,
            Direction::Outbound => self.config.established_outbound,
        };
        room(Limit::EstablishedIn(direction), cap, self.established.of(direction))?;
        room(Limit::EstablishedPerPeer, self.config.established_per_peer, peer_connections)?;
        if pending { Ok(()) } else { self.subnets.room(ip) }
    }

    /// A pending connection is established. Checks its direction and `peer_connections`, those established with the same
    /// peer and not being closed. The total is asked apart ([`Limits::room`]), because there somebody may be evicted. On an
    /// error it is still pending.
    pub fn establish(
        &mut self,
        direction: Direction,
        ip: Option<IpAddr>,
        peer_connections: u32,
    ) -> Result<(), LimitExceeded> {
        self.may_establish(direction, ip, peer_connections, true)?;
        if self.pending.sub(direction) {
            self.established.add(direction);
        }
        Ok(())
    }

    /// A connection is established that was never pending. Checks what [`Limits::establish`] does, and networks.
    pub fn establish_new(
        &mut self,
        direction: Direction,
        ip: Option<IpAddr>,
        peer_connections: u32,
    ) -> Result<(), LimitExceeded> {
        self.may_establish(direction, ip, peer_connections, false)?;
        self.subnets.add(ip);
        self.established.add(direction);
        Ok(())
    }

    /// Whether there is room for one more established connection in all, those being closed not counted.
    pub fn room(&self) -> Result<(), LimitExceeded> {
        room(Limit::Established, self.config.established, self.established.total())
    }

    /// An established connection is being closed: it gives its place to another, but counts with its networks until it is gone.
    pub fn closing(&mut self, direction: Direction) {
        if self.established.sub(direction) {
            self.closing.add(direction);
        }
    }

    /// An established connection is gone. `was_closing`: [`Limits::closing`] was called for it.
    pub fn end_established(&mut self, direction: Direction, ip: Option<IpAddr>, was_closing: bool) {
        let counted = if was_closing { &mut self.closing } else { &mut self.established };
        if counted.sub(direction) {
            self.subnets.remove(ip);
        }
    }

    /// A stream is opened. Checks the totals, its protocol, its connection, its peer, and its protocol with its peer.
    ///
    /// `peer` is the caller's number of the peer, that nobody else has while the peer has streams. Gives the protocol's number,
    /// which goes back with [`Limits::close_stream`].
    pub fn open_stream(
        &mut self,
        direction: Direction,
        protocol: Option<&str>,
        peer: u32,
        of_connection: &mut Scope,
        of_peer: &mut Scope,
    ) -> Result<Option<ProtocolIx>, LimitExceeded> {
        let config = &self.config;
        let cap = match direction {
            Direction::Inbound => config.streams_inbound,
            Direction::Outbound => config.streams_outbound,
        };
        room(Limit::Streams, config.streams, self.streams.total())?;
        room(Limit::StreamsIn(direction), cap, self.streams.of(direction))?;
        if let Some(name) = protocol {
            self.protocols.room(direction, name)?;
        }
        let (connection, with_peer) = (of_connection.streams(direction), of_peer.streams(direction));
        room(Limit::StreamsPerConnection(direction), config.streams_per_connection, *connection)?;
        room(Limit::StreamsPerPeer(direction), config.streams_per_peer, *with_peer)?;
        if let Some(name) = protocol {
            self.protocols.room_with(direction, name, peer)?;
        }

        self.streams.add(direction);
        *connection = connection.saturating_add(1);
        *with_peer = with_peer.saturating_add(1);
        Ok(protocol.map(|name| self.protocols.add(direction, name, peer)))
    }

    /// A stream that was opened without a protocol has one now; once a stream. Checks its protocol, and that with its peer. On an error the
    /// stream still counts, without one.
    pub fn set_protocol(
        &mut self,
        direction: Direction,
        protocol: &str,
        peer: u32,
    ) -> Result<ProtocolIx, LimitExceeded> {
        self.protocols.room(direction, protocol)?;
        self.protocols.room_with(direction, protocol, peer)?;
        Ok(self.protocols.add(direction, protocol, peer))
    }

    /// A stream is gone. `protocol`: the number it got, if it got one.
    pub fn close_stream(
        &mut self,
        direction: Direction,
        protocol: Option<ProtocolIx>,
        peer: u32,
        of_connection: &mut Scope,
        of_peer: &mut Scope,
    ) {
        let (connection, with_peer) = (of_connection.streams(direction), of_peer.streams(direction));
        if *connection == 0 || *with_peer == 0 || !self.streams.sub(direction) {
            return;
        }
        *connection -= 1;
        *with_peer -= 1;
        if let Some(protocol) = protocol {
            self.protocols.remove(direction, protocol, peer);
        }
    }

    /// The name behind a number that a stream has; `None` for [`ProtocolIx::OTHERS`], whose names are not kept.
    pub fn protocol_name(&self, protocol: ProtocolIx) -> Option<&str> {
        self.protocols.name(protocol)
    }

    /// Reserves `bytes` of memory: for a connection (give its peer too), for a peer, or for neither. All or nothing.
    pub fn reserve(
        &mut self,
        bytes: u64,
        of_connection: Option<&mut Scope>,
        of_peer: Option<&mut Scope>,
    ) -> Result<(), LimitExceeded> {
        let LimitsConfig { memory, memory_per_peer, memory_per_connection, .. } = self.config;
        let system = room_for(Limit::Memory, memory, self.memory, bytes)?;
        let peer = match &of_peer {
            Some(scope) => room_for(Limit::MemoryPerPeer, memory_per_peer, scope.memory, bytes)?,
            None => 0,
        };
        let connection = match &of_connection {
            Some(scope) => room_for(Limit::MemoryPerConnection, memory_per_connection, scope.memory, bytes)?,
            None => 0,
        };

        self.memory = system;
        if of_peer.is_none() && of_connection.is_none() {
            self.memory_of_system = self.memory_of_system.saturating_add(bytes);
        }
        if let Some(scope) = of_peer {
            scope.memory = peer;
        }
        if let Some(scope) = of_connection {
            scope.memory = connection;
        }
        Ok(())
    }

    /// Counts `bytes` of a connection that are in use already, whatever the caps say.
    pub fn hold(&mut self, bytes: u64, of_connection: &mut Scope, of_peer: &mut Scope) {
        self.memory = self.memory.saturating_add(bytes);
        of_connection.memory = of_connection.memory.saturating_add(bytes);
        of_peer.memory = of_peer.memory.saturating_add(bytes);
    }

    /// The narrowest cap of memory that is passed, as [`Limits::hold`] may do.
    pub fn memory_room(&self, of_connection: &Scope, of_peer: &Scope) -> Result<(), LimitExceeded> {
        let LimitsConfig { memory, memory_per_peer, memory_per_connection, .. } = self.config;
        room_for(Limit::MemoryPerConnection, memory_per_connection, of_connection.memory, 0)?;
        room_for(Limit::MemoryPerPeer, memory_per_peer, of_peer.memory, 0)?;
        room_for(Limit::Memory, memory, self.memory, 0).map(drop)
    }

    /// Gives memory back where it was reserved. Gives how much that was: never more than is reserved there, so that
    /// `u64::MAX` gives back all that a connection has.
    pub fn release(&mut self, bytes: u64, of_connection: Option<&mut Scope>, of_peer: Option<&mut Scope>) -> u64 {
        let of_system = of_connection.is_none() && of_peer.is_none();
        let most = if of_system { self.memory_of_system } else { self.memory.saturating_sub(self.memory_of_system) };
        let scopes = [of_connection, of_peer];
        let released = scopes.iter().flatten().fold(bytes.min(most), |bytes, scope| bytes.min(scope.memory));

        self.memory = self.memory.saturating_sub(released);
        if of_system {
            self.memory_of_system = self.memory_of_system.saturating_sub(released);
        }
        for scope in scopes.into_iter().flatten() {
            scope.memory = scope.memory.saturating_sub(released);
        }
        released
    }

    /// Heap bytes of the tables.
    pub fn memory_used(&self) -> usize {
        self.subnets.memory_used() + self.rates.memory_used() + self.protocols.memory_used()
    }

    fn begin_pending(&mut self, direction: Direction, ip: Option<IpAddr>) -> Result<(), LimitExceeded> {
        let cap = match direction {
            Direction::Inbound => self.config.pending_inbound,
            Direction::Outbound => self.config.pending_outbound,
        };
        room(Limit::Pending(direction), cap, self.pending.of(direction))?;
        self.subnets.room(ip)?;
        self.subnets.add(ip);
        self.pending.add(direction);
        Ok(())
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").field("config", &self.config).field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Scope {
    fn streams(&mut self, direction: Direction) -> &mut u32 {
        match direction {
            Direction::Inbound => &mut self.inbound_streams,
            Direction::Outbound => &mut self.outbound_streams,
        }
    }
}

/// A count for each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pair {
    inbound: u32,
    outbound: u32,
}

impl Pair {
    fn of(self, direction: Direction) -> u32 {
        match direction {
            Direction::Inbound => self.inbound,
            Direction::Outbound => self.outbound,
        }
    }

    fn total(self) -> u32 {
        self.inbound.saturating_add(self.outbound)
    }

    fn is_zero(self) -> bool {
        self == Pair::default()
    }

    fn add(&mut self, direction: Direction) {
        let count = self.count(direction);
        *count = count.saturating_add(1);
    }

    /// `false` if there was nothing to take away.
    fn sub(&mut self, direction: Direction) -> bool {
        let count = self.count(direction);
        let counted = *count > 0;
        *count = count.saturating_sub(1);
        counted
    }

    fn count(&mut self, direction: Direction) -> &mut u32 {
        match direction {
            Direction::Inbound => &mut self.inbound,
            Direction::Outbound => &mut self.outbound,
        }
    }
}

/// What is used with `bytes` more, if they fit. `u64::MAX`: off.
fn room_for(limit: Limit, cap: u64, used: u64, bytes: u64) -> Result<u64, LimitExceeded> {
    let sum = used.checked_add(bytes).filter(|sum| *sum <= cap);
    sum.ok_or(LimitExceeded { limit, cap, used })
}

/// Gives memory back when a table is mostly empty. What it costs is paid for by those who left.
fn shrink<T>(table: &mut HashTable<T>, hash: impl Fn(&T) -> u64) {
    if table.capacity() > 64 && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2, hash);
    }
}
