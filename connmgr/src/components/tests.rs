//! The table by hand: who is told what, in which order, and which mistakes are told. Properties are in `tests/components.rs`.

use super::*;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

const NOW: Time = Time::ZERO;

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, n]).unwrap()
}

/// `+c1` start, `-c1` stop, `c1+p2` connected, `c1-p2` disconnected, `c1<m3` delivered, `!m3 NoOpcode` unrouted.
fn short(action: &Action) -> String {
    let p = |peer: &PeerId| peer.as_bytes()[2];
    match action {
        Action::Start { component } => format!("+c{}", component.0),
        Action::Stop { component } => format!("-c{}", component.0),
        Action::Connected { component, peer } => format!("c{}+p{}", component.0, p(peer)),
        Action::Disconnected { component, peer } => format!("c{}-p{}", component.0, p(peer)),
        Action::Deliver { component, message, .. } => format!("c{}<{message}", component.0),
        Action::Unrouted { message, why, .. } => format!("!{message} {why:?}"),
    }
}

struct Table(Components);

impl Table {
    fn new() -> Self {
        Table(Components::new(ComponentsConfig::default()))
    }

    fn with(config: ComponentsConfig) -> Self {
        Table(Components::new(config))
    }

    fn give(&mut self, input: Input<'_>) -> Result<(), Misuse> {
        self.0.handle(NOW, input)
    }

    fn register(&mut self, component: u64, protocols: &[Route<'_>]) -> Result<(), Misuse> {
        self.give(Input::Register { component: ComponentId(component), protocols })
    }

    fn unregister(&mut self, component: u64) -> Result<(), Misuse> {
        self.give(Input::Unregister { component: ComponentId(component) })
    }

    fn connect(&mut self, n: u8) -> Result<(), Misuse> {
        self.give(Input::Connected { peer: peer(n) })
    }

    fn disconnect(&mut self, n: u8) -> Result<(), Misuse> {
        self.give(Input::Disconnected { peer: peer(n) })
    }

    fn message(&mut self, message: u64, from: u8, protocol: &str, opcode: Option<u64>) {
        let input = Input::Message { message: MessageId(message), peer: peer(from), protocol, opcode };
        self.give(input).unwrap();
    }

    fn said(&mut self) -> String {
        let all: Vec<String> = core::iter::from_fn(|| self.0.poll()).map(|action| short(&action)).collect();
        all.join(" ")
    }
}

fn all(protocol: &str) -> Route<'_> {
    Route { protocol, opcodes: Opcodes::All }
}

fn listed<'a>(protocol: &'a str, opcodes: &'a [u64]) -> Route<'a> {
    Route { protocol, opcodes: Opcodes::Listed(opcodes) }
}

/// Components 1, 2, 3, running, with peers 1 and 2.
fn three() -> Table {
    let mut table = Table::new();
    for component in 1..=3 {
        table.register(component, &[]).unwrap();
    }
    table.give(Input::Start).unwrap();
    table.connect(2).unwrap();
    table.connect(1).unwrap();
    table.said();
    table
}

#[test]
fn components_start_in_the_order_of_registration_and_stop_in_reverse() {
    let mut table = Table::new();
    for component in [7, 3, 5] {
        table.register(component, &[]).unwrap();
    }
    assert_eq!(table.said(), "");
    table.give(Input::Start).unwrap();
    assert_eq!(table.said(), "+c7 +c3 +c5");
    table.give(Input::Stop).unwrap();
    assert_eq!(table.said(), "-c5 -c3 -c7");
}

#[test]
fn a_peer_is_announced_in_the_order_of_registration_and_taken_leave_of_in_reverse() {
    let mut table = three();
    table.connect(9).unwrap();
    assert_eq!(table.said(), "c1+p9 c2+p9 c3+p9");
    table.disconnect(9).unwrap();
    assert_eq!(table.said(), "c3-p9 c2-p9 c1-p9");
}

#[test]
fn at_the_stop_each_component_takes_leave_of_its_peers_first() {
    let mut table = three();
    table.give(Input::Stop).unwrap();
    assert_eq!(table.said(), "c3-p1 c3-p2 -c3 c2-p1 c2-p2 -c2 c1-p1 c1-p2 -c1");
}

#[test]
fn a_start_after_a_stop_begins_anew_with_the_peers_of_now() {
    let mut table = three();
    table.give(Input::Stop).unwrap();
    table.said();
    table.disconnect(1).unwrap();
    table.connect(4).unwrap();
    table.unregister(2).unwrap();
    assert_eq!(table.said(), "");
    table.give(Input::Start).unwrap();
    assert_eq!(table.said(), "+c1 c1+p2 c1+p4 +c3 c3+p2 c3+p4");
}

#[test]
fn a_component_registered_while_running_catches_up() {
    let mut table = three();
    table.register(4, &[]).unwrap();
    assert_eq!(table.said(), "+c4 c4+p1 c4+p2");
    table.disconnect(2).unwrap();
    assert_eq!(table.said(), "c4-p2 c3-p2 c2-p2 c1-p2");
}

#[test]
fn a_component_unregistered_while_running_is_brought_down() {
    let mut table = three();
    table.unregister(2).unwrap();
    assert_eq!(table.said(), "c2-p1 c2-p2 -c2");
    table.connect(3).unwrap();
    assert_eq!(table.said(), "c1+p3 c3+p3");
    table.register(2, &[]).unwrap();
    assert_eq!(table.said(), "+c2 c2+p1 c2+p2 c2+p3");
}

#[test]
fn messages_go_by_protocol_and_then_by_opcode() {
    let mut table = Table::new();
    table.register(1, &[listed("/a", &[1, 2]), all("/b")]).unwrap();
    table.register(2, &[listed("/a", &[3]), listed("/b", &[3])]).unwrap();
    table.register(3, &[all("/a"), listed("/c", &[u64::MAX])]).unwrap();
    table.give(Input::Start).unwrap();
    table.connect(1).unwrap();
    table.said();
    let cases = [
        ("/a", Some(1), "c1<m0"),
        ("/a", Some(2), "c1<m0"),
        ("/a", Some(3), "c2<m0"),
        ("/a", Some(4), "c3<m0"),
        ("/a", None, "c3<m0"),
        ("/b", Some(3), "c2<m0"),
        ("/b", Some(1), "c1<m0"),
        ("/b", None, "c1<m0"),
        ("/c", Some(u64::MAX), "c3<m0"),
        ("/c", Some(0), "!m0 NoOpcode"),
        ("/c", None, "!m0 NoOpcode"),
        ("/d", Some(1), "!m0 NoProtocol"),
        ("/A", Some(1), "!m0 NoProtocol"),
        ("", None, "!m0 NoProtocol"),
    ];
    for (protocol, opcode, expected) in cases {
        table.message(0, 1, protocol, opcode);
        assert_eq!(table.said(), expected, "{protocol} {opcode:?}");
        let route = table.0.route(protocol, opcode).map(|c| format!("c{}<m0", c.0));
        assert_eq!(route.is_some_and(|route| route == expected), !expected.starts_with('!'), "{protocol} {opcode:?}");
    }
    assert_eq!(table.0.protocols().collect::<Vec<_>>(), ["/a", "/b", "/c"]);
}

#[test]
fn a_delivery_says_all_that_came_in() {
    let mut table = Table::new();
    table.register(1, &[all("/a")]).unwrap();
    table.give(Input::Start).unwrap();
    table.connect(1).unwrap();
    table.said();
    table.message(u64::MAX, 1, "/a", Some(7));
    let (component, message, protocol) = (ComponentId(1), MessageId(u64::MAX), "/a".into());
    let expected = Action::Deliver { component, message, peer: peer(1), protocol, opcode: Some(7) };
    assert_eq!(table.0.poll(), Some(expected));
}

#[test]
fn a_message_outside_its_peers_connection_is_reported_and_not_delivered() {
    let mut table = Table::new();
    table.register(1, &[all("/a")]).unwrap();
    table.message(1, 1, "/a", None);
    assert_eq!(table.said(), "!m1 NotRunning");
    table.give(Input::Start).unwrap();
    table.message(2, 1, "/a", None);
    table.connect(1).unwrap();
    table.message(3, 1, "/a", None);
    table.disconnect(1).unwrap();
    table.message(4, 1, "/a", None);
    assert_eq!(table.said(), "+c1 !m2 NotConnected c1+p1 c1<m3 c1-p1 !m4 NotConnected");
    table.connect(1).unwrap();
    table.give(Input::Stop).unwrap();
    table.message(5, 1, "/a", None);
    assert_eq!(table.said(), "c1+p1 c1-p1 -c1 !m5 NotRunning");
}

#[test]
fn routes_are_free_again_once_their_component_is_gone() {
    let mut table = Table::new();
    table.register(1, &[listed("/a", &[1]), all("/b")]).unwrap();
    table.unregister(1).unwrap();
    assert_eq!(table.0.protocols().count(), 0);
    table.register(2, &[listed("/a", &[1]), all("/b")]).unwrap();
    assert_eq!(table.0.route("/a", Some(1)), Some(ComponentId(2)));
}

#[test]
fn a_route_that_is_taken_names_its_owner_and_nothing_is_registered() {
    let mut table = Table::new();
    table.register(1, &[listed("/a", &[1, 2]), all("/b")]).unwrap();
    let owner = ComponentId(1);
    let cases: [(&[Route<'_>], _); 4] = [
        (&[all("/new"), listed("/a", &[3, 2])], Misuse::Taken { protocol: "/a".into(), opcode: Some(2), owner }),
        (&[listed("/new", &[1]), all("/b")], Misuse::Taken { protocol: "/b".into(), opcode: None, owner }),
        (&[listed("/c", &[5, 5])], Misuse::Taken { protocol: "/c".into(), opcode: Some(5), owner: ComponentId(2) }),
        (&[all("/c"), all("/c")], Misuse::Taken { protocol: "/c".into(), opcode: None, owner: ComponentId(2) }),
    ];
    for (routes, expected) in cases {
        assert_eq!(table.register(2, routes), Err(expected));
        assert_eq!(table.0.protocols().collect::<Vec<_>>(), ["/a", "/b"]);
        assert_eq!(table.0.route("/a", Some(3)), None);
        assert_eq!(table.0.registered(), [ComponentId(1)]);
    }
    table.register(2, &[listed("/a", &[3]), all("/a")]).unwrap();
}

#[test]
fn mistakes_are_told_and_change_nothing() {
    let mut table = three();
    let before = format!("{:?}", table.0);
    let cases = [
        (Input::Start, Misuse::AlreadyRunning),
        (Input::Connected { peer: peer(1) }, Misuse::AlreadyConnected(peer(1))),
        (Input::Disconnected { peer: peer(3) }, Misuse::NotConnected(peer(3))),
        (Input::Unregister { component: ComponentId(9) }, Misuse::UnknownComponent(ComponentId(9))),
        (
            Input::Register { component: ComponentId(2), protocols: &[all("/a")] },
            Misuse::ComponentExists(ComponentId(2)),
        ),
        (
            Input::Register { component: ComponentId(4), protocols: &[listed("/a", &[])] },
            Misuse::NoOpcodes { protocol: "/a".into() },
        ),
        (
            Input::Register { component: ComponentId(4), protocols: &[all("")] },
            Misuse::NameLength { len: 0, max: 1023 },
        ),
    ];
    for (input, expected) in cases {
        assert_eq!(table.give(input), Err(expected));
        assert_eq!(table.said(), "");
        assert_eq!(format!("{:?}", table.0), before);
    }
    table.give(Input::Stop).unwrap();
    table.said();
    assert_eq!(table.give(Input::Stop), Err(Misuse::NotRunning));
}

#[test]
fn mistakes_and_reports_are_sentences() {
    let (owner, who) = (ComponentId(1), peer(1));
    let taken = |opcode| Misuse::Taken { protocol: "/a".into(), opcode, owner };
    let table = [
        (Misuse::ComponentExists(owner), "component 1 is registered already".into()),
        (
            Misuse::UnknownComponent(owner),
            "there is no component 1: it was never registered, or was unregistered".into(),
        ),
        (taken(Some(2)), "messages of /a with opcode 2 go to component 1 already".into()),
        (taken(None), "all other messages of /a go to component 1 already".into()),
        (
            Misuse::NoOpcodes { protocol: "/a".into() },
            "the route for /a lists no opcode, so nothing would ever come by it".into(),
        ),
        (Misuse::NameLength { len: 9, max: 4 }, "a protocol's name has 1 to 4 bytes, this one has 9".into()),
        (Misuse::AlreadyConnected(who), format!("peer {who} is connected already: tell of its first connection alone")),
        (Misuse::NotConnected(who), format!("peer {who} is not connected: tell of its last connection alone")),
        (
            Misuse::NotPolled { waiting: 6, max: 4 },
            "6 actions wait to be polled, and at most 4 may: poll until there are none, then give the input again"
                .into(),
        ),
    ];
    for (misuse, words) in table {
        assert_eq!(misuse.to_string(), words);
    }
}

#[test]
fn each_cap_holds() {
    let caps = ComponentsConfig {
        max_components: 2,
        max_protocols: 2,
        max_opcodes: 3,
        max_name: 4,
        max_peers: 2,
        ..<_>::default()
    };
    let mut table = Table::with(caps);
    assert_eq!(table.register(1, &[all("/long")]), Err(Misuse::NameLength { len: 5, max: 4 }));
    let three = [all("/a"), all("/b"), all("/c")];
    assert_eq!(table.register(1, &three), Err(Misuse::TooManyProtocols { max: 2 }));
    let four = [listed("/a", &[1, 2]), listed("/b", &[1, 2])];
    assert_eq!(table.register(1, &four), Err(Misuse::TooManyOpcodes { max: 3 }));
    table.register(1, &[listed("/a", &[1, 2]), listed("/b", &[1])]).unwrap();
    table.register(2, &[]).unwrap();
    assert_eq!(table.register(3, &[]), Err(Misuse::TooManyComponents { max: 2 }));
    table.connect(1).unwrap();
    table.connect(2).unwrap();
    assert_eq!(table.connect(3), Err(Misuse::TooManyPeers { max: 2 }));
}

#[test]
fn forgetting_to_poll_delays_up_to_the_cap_and_is_then_told() {
    let mut table = Table::with(ComponentsConfig { max_actions: 4, ..<_>::default() });
    table.register(1, &[]).unwrap();
    table.register(2, &[]).unwrap();
    table.give(Input::Start).unwrap();
    table.connect(1).unwrap();
    table.connect(2).unwrap();
    let held = table.0.memory_used();
    assert_eq!(table.disconnect(1), Err(Misuse::NotPolled { waiting: 6, max: 4 }));
    assert_eq!(table.said(), "+c1 +c2 c1+p1 c2+p1 c1+p2 c2+p2");
    assert!(table.0.memory_used() < held);
    table.disconnect(1).unwrap();
    assert_eq!(table.said(), "c2-p1 c1-p1");
}

#[test]
fn one_input_may_have_more_actions_than_may_wait() {
    let mut table = Table::with(ComponentsConfig { max_actions: 1, ..<_>::default() });
    for component in 1..=3 {
        table.register(component, &[]).unwrap();
    }
    table.connect(1).unwrap();
    table.give(Input::Start).unwrap();
    let held = table.0.memory_used();
    assert_eq!(table.said(), "+c1 c1+p1 +c2 c2+p1 +c3 c3+p1");
    assert_eq!(table.0.memory_used(), held);
}

#[test]
fn a_reported_name_is_cut_at_a_character() {
    let cases = [("/abcd", 4, "/abc"), ("/aéé", 4, "/aé"), ("/aéé", 5, "/aé"), ("€€", 2, ""), ("/ab", 9, "/ab")];
    for (name, max_name, expected) in cases {
        let mut table = Table::with(ComponentsConfig { max_name, ..<_>::default() });
        table.message(1, 1, name, None);
        let Some(Action::Unrouted { protocol, .. }) = table.0.poll() else { panic!("expected a report") };
        assert_eq!(protocol, expected, "{name} at {max_name}");
    }
}

#[test]
fn a_component_that_is_gone_takes_no_room() {
    let mut table = Table::new();
    table.register(1, &[all("/a"), listed("/b", &[1])]).unwrap();
    let before = table.0.memory_used();
    for _ in 0..3 {
        let opcodes: Vec<u64> = (2..1000).collect();
        table.register(2, &[listed("/b", &opcodes)]).unwrap();
        assert!(table.0.memory_used() >= before + 998 * 16);
        table.unregister(2).unwrap();
        assert!(table.0.memory_used() <= before + 100, "{} after {before}", table.0.memory_used());
    }
}

#[test]
fn many_peers_are_told_in_the_order_of_their_ids() {
    let mut table = Table::new();
    table.register(1, &[]).unwrap();
    for n in (0..=255).rev() {
        table.connect(n).unwrap();
    }
    table.give(Input::Start).unwrap();
    let mut expected = vec!["+c1".to_string()];
    expected.extend((0..=255).map(|n| format!("c1+p{n}")));
    assert_eq!(table.said(), expected.join(" "));
    assert_eq!(table.0.connected(), 256);
}
