//! What a host is behind: nothing, a firewall, a NAT, or a NAT at home behind the provider's.

use std::net::{IpAddr, Ipv4Addr};
use tidewire_sim::nat::theory::Behaviour;
use tidewire_sim::nat::{Filtering, Firewall, Mapping, Nat, Ports, Unsolicited};
use tidewire_sim::{HostId, Node, World, ipv4};

/// What stands between a host and the internet.
#[derive(Clone, Debug)]
pub(crate) enum Front {
    /// Nothing.
    Open,
    /// A firewall that translates nothing.
    Wall(Firewall),
    /// A NAT.
    Home(Box<Nat>),
    /// A NAT at home, and the provider's.
    Carrier(Box<(Nat, Nat)>),
}

/// A front with the name that it has in tables, and the group of which it is.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) front: Front,
}

/// Where the `n`-th host is inside of its NAT.
pub(crate) const fn private(n: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, n, 2))
}

impl Front {
    /// What theory takes it for.
    pub(crate) fn behaviour(&self) -> Behaviour {
        match self {
            Front::Open => Behaviour::OPEN,
            Front::Wall(firewall) => firewall.into(),
            Front::Home(nat) => Behaviour::from(&**nat),
            Front::Carrier(both) => Behaviour::from(&both.0).behind(&Behaviour::from(&both.1)),
        }
    }

    /// The address that the `n`-th host has by itself, behind this.
    pub(crate) const fn address(&self, n: u8) -> IpAddr {
        match self {
            Front::Open | Front::Wall(_) => IpAddr::V4(Ipv4Addr::new(11, 0, 0, n)),
            Front::Home(_) | Front::Carrier(_) => private(n),
        }
    }

    /// Puts it into a world, and the `n`-th host behind it.
    pub(crate) fn place(&self, world: &mut World, n: u8, node: impl Node) -> HostId {
        let (address, outer) = (self.address(n), ipv4(100 + u32::from(n)));
        let gateway = match self {
            Front::Open => return world.add(node, [address]),
            Front::Wall(firewall) => world.firewall(firewall.clone()),
            Front::Home(nat) if nat.exposed.is_some() => {
                world.nat(Nat { exposed: Some(address), ..Nat::clone(nat) }, [outer])
            }
            Front::Home(nat) => world.nat(Nat::clone(nat), [outer]),
            Front::Carrier(both) => {
                let carrier = world.nat(both.1.clone(), [outer]);
                world.nat_behind(carrier, both.0.clone(), [IpAddr::V4(Ipv4Addr::new(100, 64, 0, n))])
            }
        };
        world.add_behind(gateway, node, [address])
    }
}

impl Named {
    fn nat(nat: Nat) -> Named {
        let (mapping, filtering) = (nat.mapping.label(), nat.filtering.label());
        // With one mapping for all remotes it doesn't matter which port that has.
        let group = match (nat.mapping, nat.ports) {
            (Mapping::EndpointIndependent, _) => format!("{mapping} {filtering}"),
            (_, Ports::Overloading) => format!("{mapping} {filtering} over"),
            _ => format!("{mapping} {filtering}"),
        };
        Named { name: nat.label(), group, front: Front::Home(Box::new(nat)) }
    }

    fn other(name: &str, front: Front) -> Named {
        Named { name: name.to_owned(), group: name.to_owned(), front }
    }
}

/// The order of the groups in a table: what is stable first.
fn rank(named: &Named) -> (bool, bool, usize) {
    let Front::Home(nat) = &named.front else { return (false, false, 0) };
    let mapping = Mapping::ALL.iter().position(|one| *one == nat.mapping).unwrap_or_default();
    let filtering = Filtering::ALL.iter().position(|one| *one == nat.filtering).unwrap_or_default();
    let stable = named.front.behaviour().stable;
    (!stable, nat.mapping != Mapping::EndpointIndependent, mapping * Filtering::ALL.len() + filtering)
}

/// Every combination of mapping, filtering, ports and SYN policy: 144.
pub(crate) fn nats() -> Vec<Named> {
    let mut all: Vec<Named> = Nat::all().map(Named::nat).collect();
    all.sort_by_key(rank);
    all
}

/// One NAT of each group, with SYN policies and ways to choose ports that differ: 15.
pub(crate) fn few() -> Vec<Named> {
    let mut few: Vec<Named> = Vec::new();
    for named in nats() {
        if few.last().is_none_or(|last| last.group != named.group) {
            few.push(named);
        }
    }
    for (n, named) in few.iter_mut().enumerate() {
        let Front::Home(nat) = &named.front else { continue };
        let mut nat = Nat::clone(nat);
        nat.unsolicited = Unsolicited::ALL[n % Unsolicited::ALL.len()];
        if nat.ports != Ports::Overloading {
            nat.ports = [Ports::Random, Ports::Preserving, Ports::Sequential { delta: 1 }][n % 3];
        }
        *named = Named::nat(nat);
    }
    few
}

/// What is no single NAT of those: hosts on the internet, firewalls, exposed hosts, two NATs in a row.
pub(crate) fn others() -> Vec<Named> {
    let carrier = |home, carrier| Front::Carrier(Box::new((home, carrier)));
    let wall = |unsolicited| Front::Wall(Firewall { unsolicited, ..Firewall::default() });
    let exposed = Nat { exposed: Some(private(0)), ..Nat::home_router() };
    vec![
        Named::other("public", Front::Open),
        Named::other("exposed", Front::Home(Box::new(exposed))),
        Named::other("fw drop", wall(Unsolicited::Drop)),
        Named::other("fw reset", wall(Unsolicited::Reset)),
        Named::other("fw icmp", wall(Unsolicited::PROHIBITED)),
        Named::other("linux", Front::Home(Box::new(Nat::linux_masquerade()))),
        Named::other("linux random", Front::Home(Box::new(Nat::linux_fully_random()))),
        Named::other("home+carrier", carrier(Nat::home_router(), Nat::carrier_grade())),
        Named::other("cone+mobile", carrier(Nat::full_cone(), Nat::mobile())),
        Named::other("home+symm.", carrier(Nat::home_router(), Nat::symmetric())),
    ]
}

/// What a list on the command line means: `all`, `few`, `others`, or parts of names, separated by commas.
pub(crate) fn by_list(list: &str) -> Result<Vec<Named>, String> {
    let whole = || nats().into_iter().chain(others());
    let mut found: Vec<Named> = Vec::new();
    for word in list.split(',').filter(|word| !word.is_empty()) {
        let more: Vec<Named> = match word {
            "all" => whole().collect(),
            "nats" => nats(),
            "few" => few(),
            "others" => others(),
            part => whole().filter(|named| named.name.contains(part)).collect(),
        };
        if more.is_empty() {
            return Err(format!("no NAT has {word:?} in its name; names are like {}", nats()[0].name));
        }
        for named in more {
            if found.iter().all(|one| one.name != named.name) {
                found.push(named);
            }
        }
    }
    if found.is_empty() { Err("an empty list of NATs".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidewire_sim::nat::theory::punchable;

    #[test]
    fn nats_of_one_group_can_be_punched_alike() {
        let all = nats();
        for a in &all {
            for b in all.iter().filter(|b| b.group == a.group) {
                for c in &all {
                    let possible = |it: &Named| punchable(&it.front.behaviour(), &c.front.behaviour()).possible();
                    assert_eq!(possible(a), possible(b), "{} and {} with {}", a.name, b.name, c.name);
                }
            }
        }
    }

    #[test]
    fn groups_stand_together() {
        let (all, few) = (nats(), few());
        assert_eq!((all.len(), few.len()), (144, 15));
        let mut groups: Vec<&str> = all.iter().map(|named| named.group.as_str()).collect();
        groups.dedup();
        assert_eq!(groups, few.iter().map(|named| named.group.as_str()).collect::<Vec<_>>());
    }

    #[test]
    fn a_list_is_made_of_names() {
        assert_eq!(by_list("all").unwrap().len(), 154);
        assert_eq!(by_list("fw,public,public").unwrap().len(), 4);
        assert!(by_list("EIM/APDF/preserving/drop").is_ok_and(|found| found.len() == 1));
        assert!(by_list("nonsense").is_err() && by_list(",").is_err());
    }
}
