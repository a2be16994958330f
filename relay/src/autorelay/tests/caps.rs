//! Caps, misuse, and what an AutoRelay holds.

use super::*;

#[test]
fn actions_that_nobody_polls_have_a_cap() {
    let config = AutoRelayConfig { max_unpolled: 2, ..AutoRelayConfig::classic() };
    let mut auto = AutoRelay::new(config, peer(0), &Seed::new([1; 32]), Time::ZERO);
    assert_eq!(auto.handle(Time::ZERO, Input::NetworkChanged), Err(Misuse::Unpolled(2)));
    let deadline = auto.deadline();
    auto.on_timeout(deadline);
    assert_eq!(auto.deadline(), deadline, "time stands still");
    assert!(auto.poll().is_some());
    assert_eq!(auto.handle(Time::ZERO, Input::NetworkChanged), Ok(()));
}

#[test]
fn connections_have_a_cap_and_a_name_each() {
    let mut desk = Desk::new(AutoRelayConfig { connections: 1, ..AutoRelayConfig::classic() });
    desk.connect(1, 1);
    let remote = &address(2);
    let mut add = |n: u64| {
        let connection = ConnectionId(n);
        desk.auto.handle(desk.now, Input::Connected { connection, peer: peer(2), remote, relayed: false })
    };
    assert_eq!(add(1), Err(Misuse::ConnectionExists(ConnectionId(1))));
    assert_eq!(add(2), Err(Misuse::TooManyConnections(1)));
}

#[test]
fn with_several_connections_a_peer_is_gone_with_the_last_one() {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    desk.fit(&[1]);
    desk.connect(11, 1);
    let disconnect = |desk: &mut Desk, n: u64| desk.tell(Input::Disconnected { connection: ConnectionId(n) });
    disconnect(&mut desk, 1);
    assert_eq!(desk.auto.explain(desk.now).fit, 1);
    disconnect(&mut desk, 11);
    assert_eq!(desk.auto.explain(desk.now).fit, 0);
}

#[test]
fn who_is_gone_holds_no_memory() {
    let mut desk = Desk::new(AutoRelayConfig { discover: false, ..AutoRelayConfig::classic() });
    let used = |desk: &Desk| desk.auto.memory_used() - desk.auto.actions.capacity() * size_of::<Action>();
    let idle = used(&desk);
    desk.fit(&[1, 2, 3, 4, 5]);
    desk.wait(secs(20));
    let relays = desk.holds();
    desk.reserved(&relays);
    assert!(used(&desk) > idle + 1000);
    for relay in relays {
        desk.tell(Input::Lost { relay });
    }
    for n in 1..=5 {
        desk.tell(Input::Disconnected { connection: ConnectionId(n) });
    }
    desk.wait(secs(24 * 3600));
    assert_eq!(used(&desk), idle);
}

#[test]
fn a_configuration_is_read_as_it_was_written_and_may_be_partial() {
    let mut config = AutoRelayConfig::go();
    config.static_relays = vec![candidate(1)];
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<AutoRelayConfig>(&text).unwrap(), config);
    let partial: AutoRelayConfig = serde_json::from_str(r#"{"relays": 5}"#).unwrap();
    assert_eq!(partial, AutoRelayConfig { relays: 5, ..AutoRelayConfig::classic() });
}
