//! A table of application components: each is told of its start, of peers that come and go, of messages, and of its stop,
//! in this order. No libp2p specification covers this; the promises are Tidewire's own, see `conformance/components.toml`.
//!
//! ```text
//! the table       stopped --- Start ---> running --- Stop ---> stopped
//!                 Register, Unregister, Connected, Disconnected in both; messages are delivered while running
//!
//! one component   Start -> ( Connected(p) -> Deliver(p)* -> Disconnected(p) )* -> Stop -> Start -> ...
//!                          for each peer p, those of different peers interleaved
//! ```
//!
//! **Order.** For each component: `Start`, then for each peer `Connected`, its messages, `Disconnected`, then `Stop`; then
//! perhaps `Start` again. A message from a peer that is not connected, or while the table is stopped, is reported as
//! [`Action::Unrouted`] and never delivered. Messages keep the order in which they came.
//!
//! Among components the order is that of registration: the first registered is started first, told of a new peer first,
//! told last that a peer is gone, and stopped last. So a component may lean on those that were registered before it.
//!
//! - At [`Input::Start`] one component after the other is brought up: `Start`, then `Connected` for every peer that is
//!   connected, in the order of their ids.
//! - A component that is registered while running is brought up at once, in the same way.
//! - At [`Input::Stop`] one component after the other is brought down: `Disconnected` for every connected peer, then `Stop`.
//! - A component that is unregistered while running is brought down at once.
//!
//! A [`ConnectionManager`](crate::ConnectionManager) tells in an order that is legal here: [`Event::Connected`] becomes
//! [`Input::Connected`], and [`Event::Disconnected`] becomes [`Input::Disconnected`].
//!
//! [`Event::Connected`]: crate::Event::Connected
//! [`Event::Disconnected`]: crate::Event::Disconnected
//!
//! **Routes.** A message goes to the component that listed its opcode; else to the one that took all others of its protocol
//! ([`Opcodes::All`]); else it is reported. No two components can have the same route.
//!
//! **Queue.** Actions are made when they are polled: bringing 64 components down over 100,000 peers holds no list of them.
//! Only when an input comes before the actions of the last one were polled are these kept in a queue, of at most
//! [`ComponentsConfig::max_actions`].
//!
//! ```
//! use tidewire_connmgr::components::{Action, ComponentId, Components, ComponentsConfig, Input, MessageId, Opcodes, Route};
//! use tidewire_core::{EventMachine, PeerId, Time};
//!
//! let (now, chat) = (Time::ZERO, ComponentId(1));
//! let peer: PeerId = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".parse()?;
//!
//! let mut components = Components::new(ComponentsConfig::default());
//! let says = Route { protocol: "/chat/1.0.0", opcodes: Opcodes::Listed(&[1, 2]) };
//! components.handle(now, Input::Register { component: chat, protocols: &[says] })?;
//! components.handle(now, Input::Start)?;
//! components.handle(now, Input::Connected { peer })?;
//! for opcode in [2, 9] {
//!     let message = MessageId(opcode);
//!     components.handle(now, Input::Message { message, peer, protocol: "/chat/1.0.0", opcode: Some(opcode) })?;
//! }
//! components.handle(now, Input::Stop)?;
//!
//! let mut log = Vec::new();
//! while let Some(action) = components.poll() {
//!     log.push(match action {
//!         Action::Start { .. } => "start".to_string(),
//!         Action::Connected { .. } => "connected".to_string(),
//!         Action::Deliver { message, .. } => format!("message {message}"),
//!         Action::Unrouted { message, why, .. } => format!("dropped {message}: {why}"),
//!         Action::Disconnected { .. } => "disconnected".to_string(),
//!         Action::Stop { .. } => "stop".to_string(),
//!         _ => continue,
//!     });
//! }
//! let dropped = "dropped m9: no component is registered for its opcode, nor for all others of its protocol";
//! assert_eq!(log, ["start", "connected", "message m2", dropped, "disconnected", "stop"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod peers;
mod routes;
#[cfg(test)]
mod tests;
mod types;

pub use types::{Action, ComponentId, ComponentsConfig, Input, MessageId, Misuse, Opcodes, Route, Unrouted};

use crate::text::heap_bytes;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem::{self, size_of};
use peers::{Cursor, Peers};
use routes::Routes;
use smol_str::SmolStr;
use tidewire_core::{EventMachine, PeerId, Time, cut};

/// The table of components. See the [module's documentation](self).
///
/// Time plays no part in it: `now` is not looked at, and there is never a deadline. Routing a message and telling of a peer
/// cost a search by halving; registering costs a walk over the table.
#[derive(Clone, Debug)]
pub struct Components {
    config: ComponentsConfig,
    running: bool,
    /// In the order of registration.
    order: Vec<ComponentId>,
    routes: Routes,
    peers: Peers,
    /// What is left to say about the last input; it goes with the tables as they stand, so it is settled before they change.
    work: Work,
    /// What is left to say about earlier inputs.
    queue: VecDeque<Action>,
    /// Bytes on the heap that names in `queue` hold.
    queue_heap: usize,
}

/// Actions still to be made.
#[derive(Clone, Debug, Default)]
enum Work {
    #[default]
    Done,
    One(Action),
    /// Bring up the components at these places, the first of them up to this place in its walk.
    Up {
        at: usize,
        walk: Walk,
    },
    /// Bring down this component from this place in its walk on, then those at the places below `left`, the last first.
    Down {
        component: ComponentId,
        left: usize,
        walk: Walk,
    },
    /// Tell the components from place `at` on that a peer came.
    Came {
        peer: PeerId,
        at: usize,
    },
    /// Tell the components at places below `left`, the last first, that a peer went.
    Went {
        peer: PeerId,
        left: usize,
    },
}

/// A place in bringing one component up or down.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    /// Actions made for this component.
    made: usize,
    cursor: Cursor,
}

impl Components {
    /// An empty table, stopped, with no peer connected.
    pub fn new(config: ComponentsConfig) -> Self {
        Components {
            config,
            running: false,
            order: Vec::new(),
            routes: Routes::default(),
            peers: Peers::default(),
            work: Work::Done,
            queue: VecDeque::new(),
            queue_heap: 0,
        }
    }

    /// Whether the last of `Start` and `Stop` was `Start`.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Whether this peer is connected, as the inputs have it.
    pub fn is_connected(&self, peer: &PeerId) -> bool {
        self.peers.contains(peer)
    }

    /// How many peers are connected.
    pub fn connected(&self) -> usize {
        self.peers.len()
    }

    /// The registered components, in the order of registration.
    pub fn registered(&self) -> &[ComponentId] {
        &self.order
    }

    /// The protocols that some component is registered for, sorted by name: those to offer to remotes.
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.routes.names().map(SmolStr::as_str)
    }

    /// Who would get a message from a connected peer while running, if anybody.
    pub fn route(&self, protocol: &str, opcode: Option<u64>) -> Option<ComponentId> {
        self.routes.find(protocol, opcode).ok().map(|(component, _)| component)
    }

    fn register(&mut self, component: ComponentId, routes: &[Route<'_>]) -> Result<Work, Misuse> {
        if self.order.contains(&component) {
            return Err(Misuse::ComponentExists(component));
        }
        let max = self.config.max_components;
        if self.order.len() >= max {
            return Err(Misuse::TooManyComponents { max });
        }
        self.routes.add(component, routes, &self.config)?;
        self.order.push(component);
        let up = Work::Up { at: self.order.len() - 1, walk: Walk::default() };
        Ok(if self.running { up } else { Work::Done })
    }

    fn unregister(&mut self, component: ComponentId) -> Result<Work, Misuse> {
        let Some(place) = self.order.iter().position(|known| *known == component) else {
            return Err(Misuse::UnknownComponent(component));
        };
        self.order.remove(place);
        self.routes.remove(component);
        let down = Work::Down { component, left: 0, walk: Walk::default() };
        Ok(if self.running { down } else { Work::Done })
    }

    fn start(&mut self) -> Result<Work, Misuse> {
        if mem::replace(&mut self.running, true) {
            return Err(Misuse::AlreadyRunning);
        }
        Ok(Work::Up { at: 0, walk: Walk::default() })
    }

    fn stop(&mut self) -> Result<Work, Misuse> {
        if !mem::replace(&mut self.running, false) {
            return Err(Misuse::NotRunning);
        }
        Ok(match self.order.split_last() {
            Some((&component, rest)) => Work::Down { component, left: rest.len(), walk: Walk::default() },
            None => Work::Done,
        })
    }

    fn peer_connected(&mut self, peer: PeerId) -> Result<Work, Misuse> {
        let max = self.config.max_peers;
        if self.peers.contains(&peer) {
            return Err(Misuse::AlreadyConnected(peer));
        }
        if self.peers.len() >= max {
            return Err(Misuse::TooManyPeers { max });
        }
        self.peers.insert(peer);
        Ok(if self.running { Work::Came { peer, at: 0 } } else { Work::Done })
    }

    fn peer_disconnected(&mut self, peer: PeerId) -> Result<Work, Misuse> {
        if !self.peers.remove(&peer) {
            return Err(Misuse::NotConnected(peer));
        }
        Ok(if self.running { Work::Went { peer, left: self.order.len() } } else { Work::Done })
    }

    fn message(&self, message: MessageId, peer: PeerId, protocol: &str, opcode: Option<u64>) -> Action {
        let found = if !self.running {
            Err(Unrouted::NotRunning)
        } else if !self.peers.contains(&peer) {
            Err(Unrouted::NotConnected)
        } else {
            self.routes.find(protocol, opcode)
        };
        match found {
            Ok((component, protocol)) => {
                Action::Deliver { component, message, peer, protocol: protocol.clone(), opcode }
            }
            Err(why) => {
                Action::Unrouted { message, peer, protocol: cut(protocol, self.config.max_name).into(), opcode, why }
            }
        }
    }

    /// Puts what is left to say about the last input into the queue, before an input changes what it is about.
    fn settle(&mut self) -> Result<(), Misuse> {
        let waiting = self.left().saturating_add(self.queue.len());
        if waiting == self.queue.len() {
            return Ok(());
        }
        if waiting > self.config.max_actions {
            return Err(Misuse::NotPolled { waiting, max: self.config.max_actions });
        }
        while let Some(action) = self.make() {
            self.queue_heap += action_heap(&action);
            self.queue.push_back(action);
        }
        Ok(())
    }

    /// How many actions `make` has still to make.
    fn left(&self) -> usize {
        let each = self.peers.len().saturating_add(1);
        match &self.work {
            Work::Done => 0,
            Work::One(_) => 1,
            Work::Up { at, walk } => {
                self.order.len().saturating_sub(*at).saturating_mul(each).saturating_sub(walk.made)
            }
            Work::Down { left, walk, .. } => left.saturating_add(1).saturating_mul(each).saturating_sub(walk.made),
            Work::Came { at, .. } => self.order.len().saturating_sub(*at),
            Work::Went { left, .. } => *left,
        }
    }

    /// The next action about the last input.
    fn make(&mut self) -> Option<Action> {
        match &mut self.work {
            Work::Done => None,
            Work::One(_) => match mem::take(&mut self.work) {
                Work::One(action) => Some(action),
                _ => None,
            },
            Work::Up { at, walk } => {
                let component = *self.order.get(*at)?;
                let action = if walk.made == 0 {
                    Action::Start { component }
                } else {
                    Action::Connected { component, peer: self.peers.next(&mut walk.cursor)? }
                };
                walk.made += 1;
                if walk.made > self.peers.len() {
                    (*at, *walk) = (*at + 1, Walk::default());
                }
                Some(action)
            }
            Work::Down { component, left, walk } => {
                let of = *component;
                if let Some(peer) = self.peers.next(&mut walk.cursor) {
                    walk.made += 1;
                    return Some(Action::Disconnected { component: of, peer });
                }
                let next = left.checked_sub(1).and_then(|place| Some((place, *self.order.get(place)?)));
                match next {
                    Some((place, next)) => (*component, *left, *walk) = (next, place, Walk::default()),
                    None => self.work = Work::Done,
                }
                Some(Action::Stop { component: of })
            }
            Work::Came { peer, at } => {
                let component = *self.order.get(*at)?;
                *at += 1;
                Some(Action::Connected { component, peer: *peer })
            }
            Work::Went { peer, left } => {
                *left = left.checked_sub(1)?;
                let component = *self.order.get(*left)?;
                Some(Action::Disconnected { component, peer: *peer })
            }
        }
    }
}

impl EventMachine for Components {
    type Input<'a> = Input<'a>;
    type Action = Action;
    type Misuse = Misuse;

    /// # Errors
    /// The caller's mistake; the table is as it was before.
    fn handle(&mut self, _: Time, input: Input<'_>) -> Result<(), Misuse> {
        self.settle()?;
        self.work = match input {
            Input::Register { component, protocols } => self.register(component, protocols)?,
            Input::Unregister { component } => self.unregister(component)?,
            Input::Start => self.start()?,
            Input::Connected { peer } => self.peer_connected(peer)?,
            Input::Disconnected { peer } => self.peer_disconnected(peer)?,
            Input::Message { message, peer, protocol, opcode } => {
                Work::One(self.message(message, peer, protocol, opcode))
            }
            Input::Stop => self.stop()?,
        };
        Ok(())
    }

    /// Does nothing: nothing here depends on time.
    fn on_timeout(&mut self, _: Time) {}

    fn poll(&mut self) -> Option<Action> {
        let Some(action) = self.queue.pop_front() else { return self.make() };
        self.queue_heap = self.queue_heap.saturating_sub(action_heap(&action));
        if self.queue.is_empty() {
            // It fills only when somebody forgot to poll: its room is not kept for the next time.
            self.queue = VecDeque::new();
        }
        Some(action)
    }

    /// Never.
    fn deadline(&self) -> Time {
        Time::NEVER
    }

    /// Exact, but for names of waiting messages: one that is shared with the table is counted twice.
    fn memory_used(&self) -> usize {
        let work = if let Work::One(action) = &self.work { action_heap(action) } else { 0 };
        self.order.capacity() * size_of::<ComponentId>()
            + self.routes.memory_used()
            + self.peers.memory_used()
            + self.queue.capacity() * size_of::<Action>()
            + self.queue_heap
            + work
    }
}

fn action_heap(action: &Action) -> usize {
    match action {
        Action::Deliver { protocol, .. } | Action::Unrouted { protocol, .. } => heap_bytes(protocol),
        _ => 0,
    }
}
