//! What the caller does wrong: a typed error, and nothing changes.

use super::*;
use alloc::format;

/// A host with a little of everything.
fn world() -> World {
    let mut world = World::with(|config| {
        config.max_listeners = 1;
        config.max_listen_addresses = 1;
    });
    world.connected(1, 1);
    world.open(5, 1, OpenOptions::default());
    world.tell(Input::Listen { listener: ListenerId(1), address: address(0) });
    world.tell(Input::Listening { listener: ListenerId(1), address: address(0) });
    let dial = world.dial(1, 2);
    world.dialed(dial, 2, 2);
    world.now = world.now + Duration::from_millis(5);
    world
}

fn state(world: &World) -> alloc::string::String {
    let host = &world.host;
    let connections: Vec<_> = host.connections().collect();
    let openings: Vec<_> = host.openings().collect();
    let counts = host.manager().counts();
    format!("{connections:?} {openings:?} {counts:?} {:?} {:?}", host.advertise_inputs(), host.deadline())
}

#[test]
fn misuse_is_told_and_nothing_changes() {
    let dialed = |dial| Input::Dialed { dial: DialId(dial), connection: c(9), local: address(0), remote: address(2) };
    let (unknown, request) = (ListenerId(9), RequestId(1 << 62));
    let options = DialOptions::default();
    let fault = DialFault::Transport("refused".into());
    let cases: Vec<(Input, Misuse)> = vec![
        (
            Input::Incoming { connection: c(1), local: address(0), remote: address(3), over: None, asn: None },
            Misuse::ConnectionExists(c(1)),
        ),
        (dialed(77), Misuse::UnknownDial(DialId(77))),
        (dialed(0), Misuse::UnknownDial(DialId(0))),
        (Input::DialFailed { dial: DialId(0), fault }, Misuse::UnknownDial(DialId(0))),
        (Input::Listen { listener: ListenerId(1), address: address(0) }, Misuse::ListenerExists(ListenerId(1))),
        (Input::Listen { listener: unknown, address: address(0) }, Misuse::TooMany { what: "listeners", limit: 1 }),
        (Input::Unlisten { listener: unknown }, Misuse::UnknownListener(unknown)),
        (Input::ListenerClosed { listener: unknown, why: "?".into() }, Misuse::UnknownListener(unknown)),
        (
            Input::Listening { listener: ListenerId(1), address: address(0) },
            Misuse::AddressExists(ListenerId(1), address(0)),
        ),
        (
            Input::Listening { listener: ListenerId(1), address: address(8) },
            Misuse::TooMany { what: "addresses of listeners", limit: 1 },
        ),
        (
            Input::NotListening { listener: ListenerId(1), address: address(8) },
            Misuse::UnknownAddress(ListenerId(1), address(8)),
        ),
        (
            Input::Open {
                open: OpenId(5),
                peer: peer(1),
                protocols: Protocols::from(ECHO),
                options: OpenOptions::default(),
            },
            Misuse::OpenExists(OpenId(5)),
        ),
        (Input::CancelOpen { open: OpenId(6) }, Misuse::UnknownOpen(OpenId(6))),
        (Input::Connect { request, peer: peer(3), addresses: Vec::new(), options }, Misuse::ReservedRequest(request)),
        (Input::CancelConnect { request }, Misuse::ReservedRequest(request)),
        (
            Input::Manage(crate::Command::Close { connection: c(9), why: "?".into() }),
            Misuse::Manager(connmgr::Misuse::UnknownConnection(c(9))),
        ),
    ];
    let mut world = world();
    let before = state(&world);
    for (input, expected) in cases {
        assert_eq!(world.host.handle(world.now, input.clone()), Err(expected), "{input:?}");
        assert_eq!(world.actions(), [], "{input:?}");
        assert_eq!(state(&world), before, "{input:?}");
    }
    let last = Time::ZERO;
    world.host.handle(world.now, Input::NetworkChanged).unwrap();
    let now = world.now;
    assert_eq!(world.host.handle(last, Input::Shutdown), Err(Misuse::TimeWentBack { now: last, last: now }));
}

#[test]
fn a_misuse_does_not_move_the_clock() {
    let mut world = world();
    let late = world.now + Duration::from_secs(9);
    assert!(world.host.handle(late, Input::CancelOpen { open: OpenId(6) }).is_err());
    assert_eq!(world.host.handle(world.now, Input::CancelOpen { open: OpenId(5) }), Ok(()));
}

#[test]
fn whoever_never_polls_is_told_so() {
    let mut world = World::with(|config| config.manager.max_unpolled = 2);
    world.tell(Input::Listen { listener: ListenerId(1), address: address(0) });
    let now = world.now;
    let listening = |n| Input::Listening { listener: ListenerId(1), address: address(n) };
    world.host.handle(now, listening(1)).unwrap();
    world.host.handle(now, listening(2)).unwrap();
    assert_eq!(world.host.handle(now, listening(3)), Err(Misuse::Unpolled(2)));
    assert_eq!(world.actions().len(), 2);
    world.host.handle(now, listening(3)).unwrap();
}
