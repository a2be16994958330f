//! Who gets a message: by protocol, and inside a protocol by opcode. Sorted tables, searched by halving.

use super::types::{ComponentId, ComponentsConfig, Misuse, Opcodes, Route, Unrouted};
use crate::text::heap_bytes;
use alloc::vec::Vec;
use core::mem::size_of;
use smol_str::SmolStr;

/// The registered routes.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes {
    /// Sorted by name; none without a route.
    protocols: Vec<Protocol>,
    /// Opcodes listed in all of them.
    opcodes: usize,
    /// Bytes that the protocols' names and opcodes hold on the heap.
    heap: usize,
}

#[derive(Clone, Debug)]
struct Protocol {
    name: SmolStr,
    /// Who gets what is not listed.
    rest: Option<ComponentId>,
    /// Sorted by opcode.
    listed: Vec<(u64, ComponentId)>,
}

impl Routes {
    /// Adds all of these, or nothing. The component must have no routes yet.
    pub(super) fn add(
        &mut self,
        component: ComponentId,
        routes: &[Route<'_>],
        config: &ComponentsConfig,
    ) -> Result<(), Misuse> {
        let added = routes.iter().try_for_each(|route| self.add_one(component, route, config));
        if added.is_err() {
            self.remove(component);
        }
        self.count_heap();
        added
    }

    /// Takes all routes of a component away.
    pub(super) fn remove(&mut self, component: ComponentId) {
        for protocol in &mut self.protocols {
            if protocol.rest == Some(component) {
                protocol.rest = None;
            }
            let before = protocol.listed.len();
            protocol.listed.retain(|(_, owner)| *owner != component);
            if protocol.listed.len() < before {
                self.opcodes -= before - protocol.listed.len();
                protocol.listed.shrink_to_fit();
            }
        }
        self.protocols.retain(|protocol| protocol.rest.is_some() || !protocol.listed.is_empty());
        self.count_heap();
    }

    /// Who gets a message, and the protocol's name as it is kept here.
    pub(super) fn find(&self, protocol: &str, opcode: Option<u64>) -> Result<(ComponentId, &SmolStr), Unrouted> {
        let place = self.place(protocol).map_err(|_| Unrouted::NoProtocol)?;
        let protocol = self.protocols.get(place).ok_or(Unrouted::NoProtocol)?;
        let listed = opcode.and_then(|opcode| protocol.owner(opcode));
        listed.or(protocol.rest).map(|owner| (owner, &protocol.name)).ok_or(Unrouted::NoOpcode)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &SmolStr> {
        self.protocols.iter().map(|protocol| &protocol.name)
    }

    pub(super) fn memory_used(&self) -> usize {
        self.protocols.capacity() * size_of::<Protocol>() + self.heap
    }

    fn add_one(&mut self, component: ComponentId, route: &Route<'_>, config: &ComponentsConfig) -> Result<(), Misuse> {
        let (len, max) = (route.protocol.len(), config.max_name);
        if len == 0 || len > max {
            return Err(Misuse::NameLength { len, max });
        }
        if let Opcodes::Listed([]) = route.opcodes {
            return Err(Misuse::NoOpcodes { protocol: route.protocol.into() });
        }
        let place = match self.place(route.protocol) {
            Ok(place) => place,
            Err(_) if self.protocols.len() >= config.max_protocols => {
                return Err(Misuse::TooManyProtocols { max: config.max_protocols });
            }
            Err(place) => {
                let new = Protocol { name: route.protocol.into(), rest: None, listed: Vec::new() };
                self.protocols.insert(place, new);
                place
            }
        };
        let Some(protocol) = self.protocols.get_mut(place) else { return Ok(()) };
        let taken =
            |protocol: &Protocol, opcode, owner| Misuse::Taken { protocol: protocol.name.clone(), opcode, owner };
        match route.opcodes {
            Opcodes::All => match protocol.rest {
                Some(owner) => return Err(taken(protocol, None, owner)),
                None => protocol.rest = Some(component),
            },
            Opcodes::Listed(opcodes) => {
                for &opcode in opcodes {
                    match protocol.listed.binary_search_by_key(&opcode, |(listed, _)| *listed) {
                        Ok(at) => {
                            let owner = protocol.listed.get(at).map_or(component, |(_, owner)| *owner);
                            return Err(taken(protocol, Some(opcode), owner));
                        }
                        Err(_) if self.opcodes >= config.max_opcodes => {
                            return Err(Misuse::TooManyOpcodes { max: config.max_opcodes });
                        }
                        Err(at) => {
                            protocol.listed.insert(at, (opcode, component));
                            self.opcodes += 1;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn place(&self, protocol: &str) -> Result<usize, usize> {
        self.protocols.binary_search_by(|known| known.name.as_str().cmp(protocol))
    }

    fn count_heap(&mut self) {
        let of = |protocol: &Protocol| {
            heap_bytes(&protocol.name) + protocol.listed.capacity() * size_of::<(u64, ComponentId)>()
        };
        self.heap = self.protocols.iter().map(of).sum();
    }
}

impl Protocol {
    fn owner(&self, opcode: u64) -> Option<ComponentId> {
        let at = self.listed.binary_search_by_key(&opcode, |(listed, _)| *listed).ok()?;
        self.listed.get(at).map(|(_, owner)| *owner)
    }
}
