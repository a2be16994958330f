//! NATs and firewalls by the names that people have for them, and all combinations for matrices.

use super::config::{Caps, Filtering, Firewall, Lifetimes, Mapping, Nat, Pooling, Ports, Unsolicited};
use core::time::Duration;

impl Default for Nat {
    /// What RFC 4787 and RFC 5382 ask for where they ask, and with address and port-dependent filtering, which they allow and
    /// most devices have.
    fn default() -> Self {
        Nat {
            mapping: Mapping::EndpointIndependent,
            filtering: Filtering::AddressAndPortDependent,
            ports: Ports::Preserving,
            parity: true,
            pooling: Pooling::Paired,
            hairpin: true,
            unsolicited: Unsolicited::LATER,
            lifetimes: Lifetimes::default(),
            exposed: None,
            ipv6: Firewall::default(),
            caps: Caps::default(),
        }
    }
}

/// The four ways to choose ports that [`Nat::all`] goes through.
const PORTS: [Ports; 4] = [Ports::Preserving, Ports::Overloading, Ports::Sequential { delta: 1 }, Ports::Random];

impl Nat {
    /// A router at home: preserves ports, same outer endpoint for all remotes, lets in who was sent to. Drops the rest.
    pub fn home_router() -> Self {
        Nat { unsolicited: Unsolicited::Drop, hairpin: false, ..Nat::default() }
    }

    /// Linux with `masquerade`: a mapping for each remote, at the same port as inside wherever that is possible, so that others
    /// can mostly predict it. A reset that is the only answer ends it at once.
    pub fn linux_masquerade() -> Self {
        Nat {
            mapping: Mapping::AddressAndPortDependent,
            ports: Ports::Overloading,
            parity: false,
            lifetimes: Lifetimes { tcp_reset: Duration::ZERO, udp: Duration::from_secs(120), ..Lifetimes::default() },
            ..Nat::home_router()
        }
    }

    /// Linux with `masquerade fully-random`: another port for each remote, by chance. Punching must fail.
    pub fn linux_fully_random() -> Self {
        Nat { ports: Ports::Random, ..Nat::linux_masquerade() }
    }

    /// "Full cone" of RFC 3489: who knows the outer endpoint reaches the inside one.
    pub fn full_cone() -> Self {
        Nat { filtering: Filtering::EndpointIndependent, ..Nat::home_router() }
    }

    /// "Restricted cone" of RFC 3489: from addresses that were sent to.
    pub fn restricted_cone() -> Self {
        Nat { filtering: Filtering::AddressDependent, ..Nat::home_router() }
    }

    /// "Port restricted cone" of RFC 3489: from addresses and ports that were sent to.
    pub fn port_restricted_cone() -> Self {
        Nat { filtering: Filtering::AddressAndPortDependent, ..Nat::home_router() }
    }

    /// "Symmetric" of RFC 3489: another outer port for each remote endpoint, by chance.
    pub fn symmetric() -> Self {
        Nat { mapping: Mapping::AddressAndPortDependent, ports: Ports::Random, ..Nat::home_router() }
    }

    /// A carrier's NAT as RFC 6888 asks for: same outer endpoint for all remotes and open to all, random ports, hairpins,
    /// 1,000 mappings a customer.
    pub fn carrier_grade() -> Self {
        Nat {
            filtering: Filtering::EndpointIndependent,
            ports: Ports::Random,
            parity: false,
            caps: Caps { max_mappings_per_host: 1_000, ..Caps::default() },
            ..Nat::default()
        }
    }

    /// A mobile network: same outer endpoint for all remotes, ports in sequence, lets in who was sent to, and forgets early:
    /// 2 min for UDP and, against RFC 5382, 30 min for TCP.
    pub fn mobile() -> Self {
        Nat {
            ports: Ports::Sequential { delta: 1 },
            parity: false,
            lifetimes: Lifetimes {
                udp: Duration::from_secs(120),
                tcp_established: Duration::from_secs(30 * 60),
                ..Lifetimes::default()
            },
            ..Nat::home_router()
        }
    }

    /// A company's: symmetric, and what nobody asked for gets ICMP "prohibited".
    pub fn corporate() -> Self {
        Nat { unsolicited: Unsolicited::PROHIBITED, ..Nat::symmetric() }
    }

    /// All combinations of mapping, filtering, ports, and what an unsolicited SYN gets: 3 x 3 x 4 x 4. The rest as in
    /// [`home_router`](Nat::home_router).
    pub fn all() -> impl Iterator<Item = Nat> {
        let of = |mapping, filtering, ports, unsolicited| Nat {
            mapping,
            filtering,
            ports,
            unsolicited,
            ..Nat::home_router()
        };
        Mapping::ALL.into_iter().flat_map(move |mapping| {
            Filtering::ALL.into_iter().flat_map(move |filtering| {
                PORTS.into_iter().flat_map(move |ports| {
                    Unsolicited::ALL.into_iter().map(move |unsolicited| of(mapping, filtering, ports, unsolicited))
                })
            })
        })
    }

    /// What it does in a few letters, for tables: mapping, filtering, ports, answer to the unsolicited, as in
    /// `EIM/APDF/preserving/drop`.
    pub fn label(&self) -> String {
        let ports = match self.ports {
            Ports::Preserving => "preserving".to_owned(),
            Ports::Overloading => "overloading".to_owned(),
            Ports::Sequential { delta } => format!("+{delta}"),
            Ports::Random => "random".to_owned(),
        };
        format!("{}/{}/{ports}/{}", self.mapping.label(), self.filtering.label(), self.unsolicited.label())
    }
}

impl Firewall {
    /// A company's: what nobody asked for gets ICMP "prohibited".
    pub fn corporate() -> Self {
        Firewall { unsolicited: Unsolicited::PROHIBITED, ..Firewall::default() }
    }
}

impl Mapping {
    /// All three.
    pub const ALL: [Mapping; 3] =
        [Mapping::EndpointIndependent, Mapping::AddressDependent, Mapping::AddressAndPortDependent];

    /// As in the literature: `EIM`, `ADM`, `APDM`.
    pub const fn label(self) -> &'static str {
        match self {
            Mapping::EndpointIndependent => "EIM",
            Mapping::AddressDependent => "ADM",
            Mapping::AddressAndPortDependent => "APDM",
        }
    }
}

impl Filtering {
    /// All three.
    pub const ALL: [Filtering; 3] =
        [Filtering::EndpointIndependent, Filtering::AddressDependent, Filtering::AddressAndPortDependent];

    /// As in the literature: `EIF`, `ADF`, `APDF`.
    pub const fn label(self) -> &'static str {
        match self {
            Filtering::EndpointIndependent => "EIF",
            Filtering::AddressDependent => "ADF",
            Filtering::AddressAndPortDependent => "APDF",
        }
    }
}

impl Unsolicited {
    /// Nothing, a reset, ICMP at once, ICMP after 6 s.
    pub const ALL: [Unsolicited; 4] =
        [Unsolicited::Drop, Unsolicited::Reset, Unsolicited::PROHIBITED, Unsolicited::LATER];

    /// In a word: `drop`, `reset`, `icmp`, `icmp-later`.
    pub const fn label(self) -> &'static str {
        match self {
            Unsolicited::Drop => "drop",
            Unsolicited::Reset => "reset",
            Unsolicited::Unreachable { after: Duration::ZERO, .. } => "icmp",
            Unsolicited::Unreachable { .. } => "icmp-later",
        }
    }
}
