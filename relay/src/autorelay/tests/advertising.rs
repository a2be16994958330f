//! Advertising ourselves as a relay.

use super::*;

fn advertised(said: &[Action]) -> bool {
    let expected = Action::Advertise { key: "/libp2p/relay".into(), ttl: secs(1800) };
    let found: Vec<_> = said.iter().filter(|action| matches!(action, Action::Advertise { .. })).collect();
    assert!(found.len() < 2 && found.iter().all(|action| **action == expected));
    !found.is_empty()
}

fn public_relay() -> Desk {
    let mut desk = Desk::new(AutoRelayConfig::classic());
    desk.tell(Input::Reachability(Reachability::Public));
    desk.tell(Input::Serving(true));
    desk.said();
    desk
}

#[test]
fn a_public_relay_advertises_itself_after_its_boot_delay() {
    let mut desk = public_relay();
    desk.wait(secs(29));
    assert!(!advertised(&desk.said()));
    desk.wait(secs(1));
    assert!(advertised(&desk.said()));
}

#[test]
fn it_does_so_again_at_seven_eighths_of_what_it_lasts() {
    // What the service grants, and after how long it is renewed.
    for (ttl, after) in
        [(None, 1575), (Some(secs(1800)), 1575), (Some(secs(800)), 700), (Some(secs(1)), 120), (Some(secs(0)), 120)]
    {
        let mut desk = public_relay();
        desk.wait(secs(30));
        desk.tell(Input::Advertised { ttl });
        desk.said();
        desk.wait(secs(after - 1));
        assert!(!advertised(&desk.said()), "{ttl:?}");
        desk.wait(secs(1));
        assert!(advertised(&desk.said()), "{ttl:?}");
    }
}

#[test]
fn other_addresses_are_advertised_soon() {
    let mut desk = public_relay();
    let own = |desk: &mut Desk, port: u16| {
        let own = [Multiaddr::tcp(([11, 0, 0, 1], port).into())];
        desk.tell(Input::Addresses { own: &own, verified: &[] });
    };
    own(&mut desk, 4001);
    desk.wait(secs(29));
    assert!(!advertised(&desk.said()), "the first time is that of the boot delay");
    desk.wait(secs(1));
    assert!(advertised(&desk.said()));
    // A change before the answer to that.
    own(&mut desk, 4002);
    desk.tell(Input::Advertised { ttl: None });
    desk.wait(secs(20));
    own(&mut desk, 4003);
    desk.wait(secs(9));
    assert!(!advertised(&desk.said()));
    desk.wait(secs(1));
    assert!(advertised(&desk.said()), "for both changes, 30 s after the first of them");
    desk.tell(Input::Advertised { ttl: None });
    // The same ones are none.
    own(&mut desk, 4003);
    desk.wait(secs(1574));
    assert!(!advertised(&desk.said()));
    desk.wait(secs(1));
    assert!(advertised(&desk.said()));
    // Who is no relay any more advertises nothing.
    own(&mut desk, 4004);
    desk.tell(Input::Serving(false));
    own(&mut desk, 4005);
    desk.wait(secs(7200));
    assert!(!advertised(&desk.said()));
}

#[test]
fn after_an_error_or_silence_it_tries_again_in_two_minutes() {
    for told in [true, false] {
        let mut desk = public_relay();
        desk.wait(secs(30));
        if told {
            desk.tell(Input::AdvertiseFailed);
        }
        desk.said();
        desk.wait(secs(119));
        assert!(!advertised(&desk.said()));
        desk.wait(secs(1));
        assert!(advertised(&desk.said()));
    }
}

#[test]
fn it_takes_that_back_when_it_is_none_any_more() {
    let ends = [Input::Reachability(Reachability::Private), Input::Serving(false)];
    for end in ends {
        let mut desk = public_relay();
        desk.wait(secs(30));
        desk.tell(Input::Advertised { ttl: None });
        desk.said();
        desk.tell(end);
        assert!(desk.said().contains(&Action::Withdraw { key: "/libp2p/relay".into() }));
        desk.tell(Input::Advertised { ttl: None });
        desk.wait(secs(7200));
        assert!(!desk.said().iter().any(|action| matches!(action, Action::Advertise { .. } | Action::Withdraw { .. })));
    }
}

#[test]
fn nobody_who_is_no_public_relay_advertises() {
    for (public, serving, config) in [
        (Reachability::Private, true, AutoRelayConfig::classic()),
        (Reachability::Unknown, true, AutoRelayConfig::classic()),
        (Reachability::Public, false, AutoRelayConfig::classic()),
        (Reachability::Public, true, AutoRelayConfig::go()),
    ] {
        let mut desk = Desk::new(config);
        desk.tell(Input::Serving(serving));
        desk.tell(Input::Reachability(public));
        desk.wait(secs(600));
        assert!(!desk.said().iter().any(|action| matches!(action, Action::Advertise { .. })), "{public:?} {serving}");
    }
}
