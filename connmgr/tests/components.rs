//! The table of components under any order of calls: beside a naive model, through the laws, and with its memory counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::std_instead_of_alloc)]

#[path = "support/components_world.rs"]
mod world;

use core::time::Duration;
use proptest::prelude::*;
use tidewire_connmgr as manager;
use tidewire_connmgr::components::{
    Action, ComponentId, Components, ComponentsConfig, Input, MessageId, Misuse, Opcodes, Route,
};
use tidewire_connmgr::{By, Config, ConnectionId, ConnectionManager, Direction, Event, Origin};
use tidewire_core::laws::{EventSubject, Limits, Step, check_events};
use tidewire_core::{EventMachine, PeerId, Role, Seed, Time};
use world::{Op, World, peer, tight};

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = (any::<u8>(), any::<u8>(), any::<u16>()).prop_map(|(what, pick, bits)| Op { what, pick, bits });
    proptest::collection::vec(op, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn it_does_as_the_model_and_each_component_is_told_in_order(ops in ops(), tightly in any::<bool>()) {
        let mut world = World::new(if tightly { tight() } else { ComponentsConfig::default() });
        for op in ops {
            world.run(op);
        }
        world.poll(usize::MAX);
    }
}

/// An input that owns what it names.
#[derive(Clone)]
enum Owned {
    Register(u64, &'static [Route<'static>]),
    Plain(Input<'static>),
}

struct Subject(ComponentsConfig);

impl EventSubject for Subject {
    type Machine = Components;
    type Input = Owned;

    fn machine(&self) -> Components {
        Components::new(self.0)
    }

    fn apply(&self, machine: &mut Components, now: Time, input: &Owned) -> Result<(), Misuse> {
        let input = match input {
            Owned::Register(component, protocols) => Input::Register { component: ComponentId(*component), protocols },
            Owned::Plain(input) => *input,
        };
        machine.handle(now, input)
    }
}

#[test]
fn it_keeps_the_laws() {
    const CHAT: &[Route<'_>] = &[
        Route { protocol: "/chat", opcodes: Opcodes::Listed(&[1, 2]) },
        Route { protocol: "/a-name-that-does-not-stand-inline", opcodes: Opcodes::All },
    ];
    const REST: &[Route<'_>] = &[Route { protocol: "/chat", opcodes: Opcodes::All }];
    let message = |n, from, protocol, opcode| {
        Step::Input(Owned::Plain(Input::Message { message: MessageId(n), peer: peer(from), protocol, opcode }))
    };
    let plain = |input| Step::Input(Owned::Plain(input));
    let script = [
        Step::Input(Owned::Register(1, CHAT)),
        plain(Input::Connected { peer: peer(1) }),
        plain(Input::Start),
        message(1, 1, "/chat", Some(2)),
        Step::Wait(Duration::from_secs(1)),
        Step::Input(Owned::Register(2, REST)),
        plain(Input::Connected { peer: peer(2) }),
        message(2, 2, "/chat", Some(7)),
        message(3, 2, "/a-name-that-does-not-stand-inline", None),
        message(4, 3, "/chat", None),
        plain(Input::Disconnected { peer: peer(1) }),
        plain(Input::Unregister { component: ComponentId(1) }),
        message(5, 2, "/chat", Some(1)),
        plain(Input::Stop),
        Step::Wait(Duration::from_secs(1)),
        plain(Input::Start),
        plain(Input::Stop),
    ];
    check_events(&Subject(ComponentsConfig::default()), &script, Limits::default()).unwrap();
}

/// Carries out what the manager says about peers, and gives back what the components are told.
fn relay(manager: &mut ConnectionManager, components: &mut Components, now: Time) -> Vec<String> {
    while let Some(action) = manager.poll() {
        let input = match action {
            manager::Action::Event(Event::Connected { peer }) => Input::Connected { peer },
            manager::Action::Event(Event::Disconnected { peer }) => Input::Disconnected { peer },
            _ => continue,
        };
        components.handle(now, input).unwrap();
    }
    let told = core::iter::from_fn(|| components.poll());
    told.filter_map(|action| match action {
        Action::Connected { component, .. } => Some(format!("{component}: connected")),
        Action::Disconnected { component, .. } => Some(format!("{component}: disconnected")),
        _ => None,
    })
    .collect()
}

#[test]
fn components_are_told_what_a_connection_manager_tells() {
    let (us, them) = (peer(1), peer(2));
    let mut manager = ConnectionManager::new(Config::default(), us, &Seed::new([1; 32]));
    let mut components = Components::new(ComponentsConfig::default());
    for component in [1, 2] {
        components.handle(Time::ZERO, Input::Register { component: ComponentId(component), protocols: &[] }).unwrap();
    }
    components.handle(Time::ZERO, Input::Start).unwrap();
    let remote = &"/ip4/192.0.2.1/tcp/1".parse().unwrap();
    let origin = Origin::Other { direction: Direction::Inbound, remote };
    let (role, now) = (Role::Responder, Time::from_millis(5));
    let mut tell = |input| {
        manager.handle(now, input).unwrap();
        relay(&mut manager, &mut components, now)
    };
    let open =
        |n| manager::Input::Established { connection: ConnectionId(n), peer: them, origin, role, limited: false };
    let gone = |n| manager::Input::Closed { connection: ConnectionId(n), by: By::Remote, why: "" };
    assert_eq!(tell(open(1)), ["component 1: connected", "component 2: connected"]);
    assert_eq!(tell(open(2)), [""; 0], "a second connection is no news");
    assert_eq!(tell(gone(1)), [""; 0], "nor is its loss");
    assert_eq!(tell(gone(2)), ["component 2: disconnected", "component 1: disconnected"]);
    assert_eq!(tell(open(1)), ["component 1: connected", "component 2: connected"]);
}

#[test]
fn memory_used_is_what_the_allocator_gave() {
    let name = "/a-name-that-does-not-stand-inline";
    let mut machine = Components::new(ComponentsConfig::default());
    let mut held = 0;
    let mut give = |input: Input<'_>| {
        let counted = allocation_counter::measure(|| machine.handle(Time::ZERO, input).unwrap());
        held += counted.bytes_current;
        assert_eq!(machine.memory_used() as i64, held, "after {input:?}");
    };
    let opcodes: Vec<u64> = (0..100).collect();
    let routes =
        [Route { protocol: name, opcodes: Opcodes::Listed(&opcodes) }, Route { protocol: "/b", opcodes: Opcodes::All }];
    let component = ComponentId(1);
    give(Input::Register { component, protocols: &routes });
    let peers: Vec<PeerId> = (0_u16..1000)
        .map(|n| {
            let [high, low] = n.wrapping_mul(25_173).to_be_bytes();
            PeerId::from_bytes(&[0, 2, high, low]).unwrap()
        })
        .collect();
    for &peer in &peers {
        give(Input::Connected { peer });
    }
    // Nobody polls: these wait, the names of the reported ones with them.
    give(Input::Message { message: MessageId(1), peer: peers[0], protocol: name, opcode: None });
    give(Input::Message { message: MessageId(2), peer: peers[0], protocol: name, opcode: None });
    give(Input::Start);
    for &peer in &peers {
        give(Input::Disconnected { peer });
    }
    give(Input::Unregister { component });
    let counted = allocation_counter::measure(|| while machine.poll().is_some() {});
    held += counted.bytes_current;
    assert_eq!(machine.memory_used() as i64, held, "after all was polled");
}
