//! A table of components beside a model that is as plain as can be, and a watcher of what each component is told.
//!
//! The property test and the fuzz target both drive it with [`Op`]s.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tidewire_connmgr::components::{
    Action, ComponentId, Components, ComponentsConfig, Input, MessageId, Misuse, Opcodes, Route, Unrouted,
};
use tidewire_core::{EventMachine, PeerId, Time};

/// One thing to do: what, with which component or peer, and the routes or the message as bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) what: u8,
    pub(crate) pick: u8,
    pub(crate) bits: u16,
}

/// The last is too long for the tight caps, and for a name that stands inline.
const PROTOCOLS: [&str; 4] = ["/a", "/b", "/c", "/a-name-of-more-than-twenty-three-bytes"];

pub(crate) fn peer(n: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, n]).unwrap()
}

/// Caps that are reached soon.
pub(crate) fn tight() -> ComponentsConfig {
    ComponentsConfig {
        max_components: 3,
        max_protocols: 2,
        max_opcodes: 4,
        max_name: 10,
        max_peers: 4,
        max_actions: 12,
    }
}

/// Everything at once.
pub(crate) struct World {
    machine: Components,
    model: Model,
    /// What must still be polled.
    expected: VecDeque<Action>,
    /// How many of these belong to the last input.
    last: usize,
    watch: Watch,
    messages: u64,
}

impl World {
    pub(crate) fn new(config: ComponentsConfig) -> Self {
        World {
            machine: Components::new(config),
            model: Model { config, running: false, order: Vec::new(), routes: Vec::new(), peers: BTreeSet::new() },
            expected: VecDeque::new(),
            last: 0,
            watch: Watch::default(),
            messages: 0,
        }
    }

    pub(crate) fn run(&mut self, op: Op) {
        let component = ComponentId((op.pick % 5).into());
        let who = peer(op.pick % 6);
        match op.what % 16 {
            0 | 1 => {
                let opcodes = opcodes(op.bits);
                let protocols = routes_of(op.bits, &opcodes);
                self.give(Input::Register { component, protocols: &protocols });
            }
            2 => self.give(Input::Unregister { component }),
            3 => self.give(Input::Start),
            4 => self.give(Input::Stop),
            5 | 6 => self.give(Input::Connected { peer: who }),
            7 => self.give(Input::Disconnected { peer: who }),
            8..=11 => {
                self.messages += 1;
                let [low, high] = op.bits.to_le_bytes();
                let opcode = (high % 6 > 0).then(|| (high % 6).into());
                let protocol = PROTOCOLS[usize::from(low) % PROTOCOLS.len()];
                self.give(Input::Message { message: MessageId(self.messages), peer: who, protocol, opcode });
            }
            12 | 13 => self.poll(op.pick.into()),
            _ => self.poll(usize::MAX),
        }
    }

    fn give(&mut self, input: Input<'_>) {
        let (waiting, max) = (self.expected.len(), self.model.config.max_actions);
        let result = if self.last > 0 && waiting > max {
            Err(Misuse::NotPolled { waiting, max })
        } else {
            let before = self.model.clone();
            let answer = self.model.apply(input);
            if answer.is_err() {
                self.model = before;
            }
            answer
        };
        assert_eq!(
            self.machine.handle(Time::ZERO, input),
            result.as_ref().map(|_| ()).map_err(Clone::clone),
            "{input:?}"
        );
        if let Ok(actions) = result {
            self.last = actions.len();
            self.expected.extend(actions);
        } else if self.last > 0 && waiting <= max {
            // A mistake, too, puts what waits into the queue.
            self.last = 0;
        }
        self.compare();
    }

    /// Polls at most `count` actions.
    pub(crate) fn poll(&mut self, count: usize) {
        for _ in 0..count {
            let action = self.machine.poll();
            assert_eq!(action, self.expected.pop_front());
            self.last = self.last.min(self.expected.len());
            match action {
                Some(action) => self.watch.see(&action),
                None => break,
            }
        }
        self.compare();
    }

    fn compare(&self) {
        let (machine, model) = (&self.machine, &self.model);
        assert_eq!(machine.is_running(), model.running);
        assert_eq!(machine.registered(), model.order);
        assert_eq!(machine.connected(), model.peers.len());
        assert!(machine.protocols().map(String::from).eq(model.names()));
        for n in 0..6 {
            assert_eq!(machine.is_connected(&peer(n)), model.peers.contains(&peer(n)));
        }
        for protocol in PROTOCOLS {
            for opcode in [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(5)] {
                assert_eq!(machine.route(protocol, opcode), model.route(protocol, opcode).ok());
            }
        }
        assert_eq!(machine.deadline(), Time::NEVER);
    }
}

/// Up to three opcodes, not always different ones.
fn opcodes(bits: u16) -> Vec<u64> {
    let digits = [bits >> 6 & 7, bits >> 9 & 7, bits >> 12 & 7];
    digits.into_iter().filter(|digit| *digit < 6).map(u64::from).collect()
}

/// Up to two routes.
fn routes_of(bits: u16, opcodes: &[u64]) -> Vec<Route<'_>> {
    let protocol = |n: u16| PROTOCOLS[usize::from(n) % PROTOCOLS.len()];
    let first = Route { protocol: protocol(bits), opcodes: Opcodes::Listed(opcodes) };
    let second = Route { protocol: if bits >> 15 > 0 { "" } else { protocol(bits >> 2) }, opcodes: Opcodes::All };
    match bits >> 4 & 3 {
        0 => vec![],
        1 => vec![first],
        2 => vec![second],
        _ => vec![first, second],
    }
}

/// What is true, with every search a walk and every list made at once.
#[derive(Clone)]
struct Model {
    config: ComponentsConfig,
    running: bool,
    order: Vec<ComponentId>,
    /// Protocol, opcode or `None` for all others, owner.
    routes: Vec<(String, Option<u64>, ComponentId)>,
    peers: BTreeSet<PeerId>,
}

impl Model {
    /// On an error the model is spoilt.
    fn apply(&mut self, input: Input<'_>) -> Result<Vec<Action>, Misuse> {
        let told = |running: bool, actions: Vec<Action>| if running { Ok(actions) } else { Ok(Vec::new()) };
        match input {
            Input::Register { component, protocols } => {
                self.register(component, protocols)?;
                told(self.running, self.up(component))
            }
            Input::Unregister { component } => {
                if !self.order.contains(&component) {
                    return Err(Misuse::UnknownComponent(component));
                }
                self.order.retain(|known| *known != component);
                self.routes.retain(|(_, _, owner)| *owner != component);
                told(self.running, self.down(component))
            }
            Input::Start if self.running => Err(Misuse::AlreadyRunning),
            Input::Start => {
                self.running = true;
                Ok(self.order.iter().flat_map(|component| self.up(*component)).collect())
            }
            Input::Stop if !self.running => Err(Misuse::NotRunning),
            Input::Stop => {
                self.running = false;
                Ok(self.order.iter().rev().flat_map(|component| self.down(*component)).collect())
            }
            Input::Connected { peer } if self.peers.contains(&peer) => Err(Misuse::AlreadyConnected(peer)),
            Input::Connected { .. } if self.peers.len() == self.config.max_peers => {
                Err(Misuse::TooManyPeers { max: self.config.max_peers })
            }
            Input::Connected { peer } => {
                self.peers.insert(peer);
                told(self.running, self.order.iter().map(|&component| Action::Connected { component, peer }).collect())
            }
            Input::Disconnected { peer } => {
                if !self.peers.remove(&peer) {
                    return Err(Misuse::NotConnected(peer));
                }
                let leave = |&component| Action::Disconnected { component, peer };
                told(self.running, self.order.iter().rev().map(leave).collect())
            }
            Input::Message { message, peer, protocol, opcode } => {
                let route = match self.route(protocol, opcode) {
                    _ if !self.running => Err(Unrouted::NotRunning),
                    _ if !self.peers.contains(&peer) => Err(Unrouted::NotConnected),
                    route => route,
                };
                Ok(vec![match route {
                    Ok(component) => Action::Deliver { component, message, peer, protocol: protocol.into(), opcode },
                    Err(why) => {
                        // All names here are ASCII.
                        let protocol = protocol[..protocol.len().min(self.config.max_name)].into();
                        Action::Unrouted { message, peer, protocol, opcode, why }
                    }
                }])
            }
            input => panic!("{input:?} is unknown to the model"),
        }
    }

    fn up(&self, component: ComponentId) -> Vec<Action> {
        let peers = self.peers.iter().map(|&peer| Action::Connected { component, peer });
        [Action::Start { component }].into_iter().chain(peers).collect()
    }

    fn down(&self, component: ComponentId) -> Vec<Action> {
        let peers = self.peers.iter().map(|&peer| Action::Disconnected { component, peer });
        peers.chain([Action::Stop { component }]).collect()
    }

    fn register(&mut self, component: ComponentId, routes: &[Route<'_>]) -> Result<(), Misuse> {
        if self.order.contains(&component) {
            return Err(Misuse::ComponentExists(component));
        }
        if self.order.len() == self.config.max_components {
            return Err(Misuse::TooManyComponents { max: self.config.max_components });
        }
        for route in routes {
            let (len, max) = (route.protocol.len(), self.config.max_name);
            if len == 0 || len > max {
                return Err(Misuse::NameLength { len, max });
            }
            let opcodes: Vec<Option<u64>> = match route.opcodes {
                Opcodes::All => vec![None],
                Opcodes::Listed([]) => return Err(Misuse::NoOpcodes { protocol: route.protocol.into() }),
                Opcodes::Listed(listed) => listed.iter().copied().map(Some).collect(),
            };
            if !self.names().contains(route.protocol) && self.names().len() == self.config.max_protocols {
                return Err(Misuse::TooManyProtocols { max: self.config.max_protocols });
            }
            for opcode in opcodes {
                if let Some((.., owner)) = self.routes.iter().find(|(p, o, _)| p == route.protocol && *o == opcode) {
                    return Err(Misuse::Taken { protocol: route.protocol.into(), opcode, owner: *owner });
                }
                let listed = self.routes.iter().filter(|(_, opcode, _)| opcode.is_some()).count();
                if opcode.is_some() && listed == self.config.max_opcodes {
                    return Err(Misuse::TooManyOpcodes { max: self.config.max_opcodes });
                }
                self.routes.push((route.protocol.into(), opcode, component));
            }
        }
        self.order.push(component);
        Ok(())
    }

    fn names(&self) -> BTreeSet<String> {
        self.routes.iter().map(|(protocol, ..)| protocol.clone()).collect()
    }

    fn route(&self, protocol: &str, opcode: Option<u64>) -> Result<ComponentId, Unrouted> {
        let known: Vec<_> = self.routes.iter().filter(|(known, ..)| known == protocol).collect();
        if known.is_empty() {
            return Err(Unrouted::NoProtocol);
        }
        let exact = known.iter().find(|(_, listed, _)| opcode.is_some() && *listed == opcode);
        let rest = known.iter().find(|(_, listed, _)| listed.is_none());
        exact.or(rest).map(|(.., owner)| *owner).ok_or(Unrouted::NoOpcode)
    }
}

/// Sees what each component is told, knows nothing of why, and holds it to the promised order.
#[derive(Default)]
struct Watch {
    /// Those that were started, and whom each knows to be connected.
    running: BTreeMap<ComponentId, BTreeSet<PeerId>>,
    /// The last message that was answered.
    answered: u64,
}

impl Watch {
    fn see(&mut self, action: &Action) {
        match action {
            Action::Start { component } => {
                assert!(self.running.insert(*component, BTreeSet::new()).is_none(), "{component} started twice");
            }
            Action::Stop { component } => {
                let peers = self.running.remove(component).unwrap();
                assert!(peers.is_empty(), "{component} stopped before its peers were gone");
            }
            Action::Connected { component, peer } => assert!(self.peers(component).insert(*peer)),
            Action::Disconnected { component, peer } => assert!(self.peers(component).remove(peer)),
            Action::Deliver { component, message, peer, .. } => {
                assert!(self.peers(component).contains(peer), "{component} got a message of a stranger");
                self.answer(*message);
            }
            Action::Unrouted { message, .. } => self.answer(*message),
            action => panic!("{action:?} is unknown to the watcher"),
        }
    }

    fn peers(&mut self, component: &ComponentId) -> &mut BTreeSet<PeerId> {
        self.running.get_mut(component).unwrap_or_else(|| panic!("{component} was told something while stopped"))
    }

    fn answer(&mut self, message: MessageId) {
        assert!(message.0 > self.answered, "{message} out of order");
        self.answered = message.0;
    }
}
