//! Caps, misuse, and what a client holds.

use super::*;

#[test]
fn actions_that_nobody_polls_have_a_cap() {
    let mut client =
        Client::new(ClientConfig { max_unpolled: 2, ..ClientConfig::default() }, peer(0), &Seed::new([1; 32]));
    for n in [1, 2] {
        client.handle(Time::ZERO, Input::Hold { relay: peer(n), addresses: &[address(n)] }).unwrap();
    }
    let third = Input::Hold { relay: peer(3), addresses: &[] };
    assert_eq!(client.handle(Time::ZERO, third), Err(Misuse::Unpolled(2)));
    let deadline = client.deadline();
    client.on_timeout(deadline);
    assert_eq!(client.deadline(), deadline, "time stands still");
    assert!(client.poll().is_some());
    assert_eq!(client.handle(Time::ZERO, third), Ok(()));
}

#[test]
fn connections_have_a_cap_and_a_name_each() {
    let mut desk = Desk::new(ClientConfig { connections: 1, ..ClientConfig::default() });
    desk.connect(1, 1);
    let remote = &address(2);
    let mut add = |n: u64| {
        let connection = ConnectionId(n);
        desk.give(Input::Connected { connection, peer: peer(2), remote, relayed: false, dialed: false })
    };
    assert_eq!(add(1), Err(Misuse::ConnectionExists(ConnectionId(1))));
    assert_eq!(add(2), Err(Misuse::TooManyConnections(1)));
    let connection = ConnectionId(2);
    assert_eq!(desk.give(Input::Disconnected { connection }), Err(Misuse::UnknownConnection(connection)));
}

#[test]
fn addresses_of_relays_and_of_ours_have_caps() {
    let config = ClientConfig { relay_addresses: 2, circuit_addresses: 1, ..ClientConfig::default() };
    let mut desk = Desk::new(config);
    let many: Vec<Multiaddr> = (1..9).map(address).collect();
    desk.tell(Input::Hold { relay: peer(1), addresses: &many });
    assert_eq!(desk.said(), [Action::Connect { relay: peer(1), addresses: many[..2].to_vec() }]);
    desk.connect(5, 1);
    let ask = desk.asked();
    let mut given = reservation(peer(1), UNIX + HOUR);
    given.addresses = many;
    desk.answer(ask, 5, &Answer::Reserved(Box::new(given))).unwrap();
    assert!(matches!(desk.said.back(), Some(Action::Circuits(circuits)) if circuits.len() == 1));
}

#[test]
fn words_of_others_are_cut() {
    let mut desk = Desk::new(ClientConfig::default());
    desk.hold(1);
    desk.tell(Input::ConnectFailed { relay: peer(1), why: &"x".repeat(100_000) });
    assert!(matches!(&desk.events()[..], [Event::Failed { why, .. }] if why.len() == 256));
}

#[test]
fn what_is_over_holds_no_memory() {
    let mut desk = Desk::new(ClientConfig::default());
    let used = |desk: &Desk| desk.client.memory_used() - desk.client.actions.capacity() * size_of::<Action>();
    let idle = used(&desk);
    for round in 0..20 {
        let connection = round * 2 + 1;
        desk.connect(connection, 1);
        desk.hold(1);
        desk.grant(connection, 1, UNIX + HOUR);
        desk.dial(round, 1, 2);
        desk.dial(100 + round, 3, 2);
        assert!(used(&desk) > idle);
        desk.tell(Input::CancelDial { dial: CircuitDialId(round) });
        desk.tell(Input::CancelDial { dial: CircuitDialId(100 + round) });
        desk.tell(Input::Release { relay: peer(1) });
        desk.disconnect(connection);
    }
    assert_eq!(used(&desk), idle);
    assert_eq!(desk.client.counts(), Counts::default());
}

#[test]
fn an_earlier_moment_is_no_time_passed() {
    let mut desk = Desk::new(ClientConfig::default()).held(5, 1);
    desk.wait(secs(100));
    desk.dial(1, 2, 3);
    let deadline = desk.client.deadline();
    desk.now = Time::ZERO;
    desk.dial(2, 2, 4);
    assert_eq!(desk.client.deadline(), deadline);
}

#[test]
fn a_configuration_is_read_as_it_was_written_and_may_be_partial() {
    let config = ClientConfig { tries: 3, accept: AcceptFrom::Anyone, ..ClientConfig::default() };
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ClientConfig>(&text).unwrap(), config);
    let partial: ClientConfig = serde_json::from_str(r#"{"voucher": "Require"}"#).unwrap();
    assert_eq!(partial, ClientConfig { voucher: VoucherPolicy::Require, ..ClientConfig::default() });
}
