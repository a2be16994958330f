//! Port mapping as a sans-IO machine: asks the router for a port on its outer address, and keeps it.
//!
//! ```text
//!   mapper::Mapper    who decides: which port is asked for, when again, what is held        an event machine
//!   wire              the datagrams of both protocols, and both ends of them                plain data
//! ```
//! Two protocols do the same thing: PCP (RFC 6887), and NAT-PMP (RFC 6886) before it, on the same port of the router. The
//! [`Mapper`] finds out which one the router speaks. UPnP, the third, is SOAP over HTTP and no matter of this crate.
//!
//! ```
//! use core::net::{IpAddr, Ipv4Addr, SocketAddr};
//! use tidewire_core::{EventMachine, Seed, Time};
//! use tidewire_portmap::wire::{PcpCode, Request, Response};
//! use tidewire_portmap::{Action, Event, Gateway, Input, Mapper, MapperConfig, MappingId, Transport};
//!
//! let [router, us] = [[192, 168, 1, 1], [192, 168, 1, 7]].map(|ip| IpAddr::from(Ipv4Addr::from(ip)));
//! let mut mapper = Mapper::new(MapperConfig::default(), &Seed::new([7; 32]));
//! mapper.handle(Time::ZERO, Input::Gateway(Some(Gateway { address: router, local: us })))?;
//! mapper.handle(Time::ZERO, Input::Map { mapping: MappingId(1), transport: Transport::Tcp, port: 4001, suggested: None })?;
//!
//! // It asks in PCP first...
//! let Some(Action::Send { to, datagram }) = mapper.poll() else { panic!("nothing to send") };
//! assert_eq!(to, SocketAddr::new(router, 5351));
//! let Ok(Request::PcpMap { nonce, lifetime, .. }) = Request::decode(&datagram) else { panic!("not PCP") };
//!
//! // ...and the router answers.
//! let external: SocketAddr = "192.0.2.33:4001".parse()?;
//! let answer = Response::PcpMap {
//!     code: PcpCode::SUCCESS, lifetime, epoch: 100, nonce, transport: Transport::Tcp, internal: 4001, external,
//! };
//! mapper.handle(Time::from_millis(3), Input::Datagram { from: to, datagram: &answer.encode() })?;
//! let Some(Action::Event(Event::Mapped { external: got, .. })) = mapper.poll() else { panic!("not mapped") };
//! assert_eq!(got, external);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod mapper;
pub mod wire;

pub use mapper::{
    Action, Event, Gateway, Input, Lost, Mapper, MapperConfig, MappingId, MappingState, MappingView, Misuse, Refusal,
};

use core::fmt;

/// What a port is a port of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP, and QUIC over it.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
        })
    }
}

/// What the router speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Protocol {
    /// Port Control Protocol, RFC 6887.
    Pcp,
    /// NAT Port Mapping Protocol, RFC 6886.
    NatPmp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Pcp => "PCP",
            Protocol::NatPmp => "NAT-PMP",
        })
    }
}
