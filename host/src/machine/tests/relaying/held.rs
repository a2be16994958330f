//! Reservations of ours: where we say that we are reached, and when a relay is dialed again.

use super::*;

fn announced(world: &World) -> Vec<Multiaddr> {
    world.host.advertise_inputs().relayed
}

#[test]
fn what_the_application_says_of_relays_and_our_own_reservations_are_announced_both() {
    let mut world = World::new();
    world.connected(1, 1);
    world.tell(Input::Relayed(vec![at_relay(5)]));
    world.held(1, 1);
    assert_eq!(announced(&world), [at_relay(1), at_relay(5)]);
    // Said in other words it replaces what was said, and no reservation.
    world.tell(Input::Relayed(vec![at_relay(6), at_relay(1)]));
    assert_eq!(announced(&world), [at_relay(1), at_relay(6)], "each once");
    // A reservation that is lost takes nothing along that the application says.
    world.report(1, gone());
    assert_eq!(announced(&world), [at_relay(6), at_relay(1)]);
    world.tell(Input::Relayed(vec![]));
    assert_eq!(announced(&world), []);
}

#[test]
fn each_try_for_a_reservation_dials_its_relay_whatever_failed_there_before() {
    let mut world = World::new();
    let fault = || DialFault::Transport("refused".into());
    let mut dial = dial_of(&world.reserve(1, &[address(1)]));
    // The dialer would let an address alone for 5 s after its first failure, and for longer after each.
    for wait in [2, 3, 6] {
        let told = client_events(&world.tell(Input::DialFailed { dial, fault: fault() }));
        assert!(matches!(&told[..], [ClientEvent::Failed { why, .. }] if why.contains("refused")), "{told:?}");
        dial = dial_of(&world.pass(Duration::from_secs(wait)));
    }
    // A dial through it has no pace of its own: it keeps to the dialer's.
    let mut world = World::new();
    let dial = wanted(&mut world);
    world.tell(Input::DialFailed { dial, fault: fault() });
    let (request, options) = (RequestId(2), DialOptions::default());
    let addresses = vec![through(2, 4)];
    let actions = world.tell(Input::Connect { request, peer: peer(4), addresses, options });
    assert!(!actions.iter().any(|action| matches!(action, Action::Dial { .. })), "{actions:?}");
}
