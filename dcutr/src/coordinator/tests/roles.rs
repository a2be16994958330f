//! Roles, their waits, and windows.

use super::*;
use core::net::IpAddr;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The wait of B's dial over a relay with this round trip.
fn wait_of_b(rtt: Duration) -> Duration {
    let mut lab = Lab::waiting();
    let mut actions = lab.tell(Input::Connects { ask: AskId(0), addresses: &[theirs()], skipped: 0, rtt });
    actions.extend(lab.wait(rtt / 2));
    let Some(Action::Dial { plan: Plan::ListenFirst { wait }, .. }) = actions.last() else { panic!("{actions:?}") };
    *wait
}

#[test]
fn waits_follow_the_round_trip_between_their_bounds() {
    let table = [(0, 600), (50, 600), (200, 1200), (500, 3000), (1000, 6000), (4000, 6000)];
    for (rtt, wait) in table {
        assert_eq!(wait_of_b(millis(rtt)), millis(wait), "{rtt} ms");
    }
}

#[test]
fn the_three_waits_are_one_three_and_six_units() {
    let mut lab = Lab::punching_as_a();
    lab.asked(2);
    assert_eq!(lab.synced(2), [dial(1, listen_first(1))]);
    let b = Lab::armed();
    assert_eq!(b.machine.accepts(ip("11.0.0.3")), Some(listen_first(3)));
    assert_eq!(Lab::punching().machine.counts().dials, 1);
}

#[test]
fn who_is_accepted_from_elsewhere_is_answered_as_by_any_listener() {
    let lab = Lab::armed();
    assert_eq!(lab.machine.accepts(ip("11.0.0.4")), None);
    assert_eq!(lab.machine.accepts(ip("::ffff:11.0.0.3")), Some(listen_first(3)), "an IPv4 address in an IPv6 one");
}

#[test]
fn a_measured_round_trip_over_the_circuit_is_used_before_sync() {
    let mut lab = Lab::on_circuit(false);
    lab.tell(Input::Rtt { connection: CIRCUIT, rtt: millis(150) });
    lab.asked(1);
    assert_eq!(lab.machine.accepts(ip("11.0.0.3")), Some(Plan::ListenFirst { wait: millis(450) }));
}

#[test]
fn as_soon_as_the_round_trip_is_known_the_window_waits_by_it() {
    let mut lab = Lab::new(|_| ());
    lab.connect(CIRCUIT, true, false);
    lab.asked(1);
    assert_eq!(lab.machine.accepts(ip("11.0.0.3")), Some(listen_first(9)), "as long as it isn't");
    lab.wait(millis(100));
    let window = Action::Window {
        peer: peer(THEM),
        ips: [ip("11.0.0.3")].into(),
        plan: listen_first(3),
        until: Time::ZERO + secs(30),
    };
    assert_eq!(lab.synced(1), [window, dial(0, Plan::Initiate)]);
    assert_eq!(lab.machine.accepts(ip("11.0.0.3")), Some(listen_first(3)));
}

#[test]
fn a_window_outlives_its_attempt() {
    let mut lab = Lab::armed();
    lab.tell(Input::Disconnected { connection: CIRCUIT });
    lab.wait(RTT / 2);
    lab.failed(0, DialFault::Refused);
    lab.wait(RTT);
    assert_eq!(lab.reports().len(), 1);
    assert!(lab.machine.accepts(ip("11.0.0.3")).is_some());
    let actions = lab.wait(secs(30));
    assert_eq!(actions, [Action::CloseWindow { peer: peer(THEM) }]);
    assert_eq!(lab.machine.accepts(ip("11.0.0.3")), None);
}

#[test]
fn two_peers_behind_one_address_have_a_window_each() {
    let mut lab = Lab::awaiting();
    lab.with = 7;
    lab.connect(ConnectionId(2), true, false);
    let stream = StreamKey { connection: ConnectionId(2), stream: 1 };
    lab.tell(Input::Asked { stream, addresses: &[theirs()], skipped: 0 });
    lab.tell(Input::Cancel { peer: peer(THEM) });
    assert!(lab.machine.accepts(ip("11.0.0.3")).is_some(), "the other one's is open still");
    lab.tell(Input::Cancel { peer: peer(7) });
    assert_eq!(lab.machine.accepts(ip("11.0.0.3")), None);
}

#[test]
fn the_port_of_a_dial_is_that_of_the_listener_behind_what_we_told() {
    let mut lab = Lab::on_circuit(true);
    let own = [
        Candidate {
            address: at("/ip6/2600::1/tcp/4001"),
            source: Source::Observed,
            local: Some(at("/ip6/2600::1/tcp/6")),
        },
        Candidate { address: ours(), source: Source::Observed, local: Some(inside()) },
    ];
    lab.tell(Input::Own(&own));
    lab.identify(&[]);
    let told = [theirs(), at("/ip6/2600::2/tcp/4001")];
    lab.tell(Input::Connects { ask: AskId(0), addresses: &told, skipped: 0, rtt: RTT });
    let actions = lab.wait(RTT / 2);
    let locals: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Dial { address, local, .. } => Some((address.clone(), local.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(locals.len(), 2);
    assert!(locals.contains(&(theirs(), Local::Reuse(inside()))));
    assert!(locals.contains(&(at("/ip6/2600::2/tcp/4001"), Local::Reuse(at("/ip6/2600::1/tcp/6")))));
}

/// What others saw, of our port 4001, each of them at another port.
fn new_port_each_time() -> Vec<crate::nat::Guess> {
    let sight = |n: u16| crate::nat::Sight {
        local: inside(),
        seen: at(&alloc::format!("/ip4/11.0.0.2/tcp/{}", 40_000 + n * n)),
        observer: at(&alloc::format!("/ip4/1.1.1.{n}/tcp/4001")),
    };
    crate::nat::guesses(&[sight(1), sight(2), sight(3)])
}

#[test]
fn behind_a_nat_with_a_new_port_per_destination_the_listeners_port_is_left_to_the_others_dial() {
    let any = |number, plan| {
        let Action::Dial { dial, peer, address, plan, timeout, .. } = dial(number, plan) else { panic!() };
        Action::Dial { dial, peer, address, local: Local::Any, plan, timeout }
    };
    let mut b = Lab::armed();
    b.tell(Input::Nat(&new_port_each_time()));
    assert_eq!(b.wait(RTT / 2), [any(0, listen_first(6))]);
    let mut a = Lab::awaiting();
    a.tell(Input::Nat(&new_port_each_time()));
    assert_eq!(a.synced(1), [any(0, Plan::Initiate)]);
}

/// One who lies is enough for a wrong guess.
#[test]
fn every_other_try_goes_from_the_listeners_port_whatever_the_nat_seems_to_do() {
    let mut lab = Lab::awaiting();
    lab.tell(Input::Nat(&new_port_each_time()));
    let mut from = Vec::new();
    for stream in 1..=3 {
        if stream > 1 {
            lab.asked(stream);
        }
        let actions = lab.synced(stream);
        from.extend(actions.into_iter().filter_map(|action| match action {
            Action::Dial { local, .. } => Some(local),
            _ => None,
        }));
    }
    assert_eq!(from, [Local::Any, Local::Reuse(inside()), Local::Any]);
}

#[test]
fn what_one_nat_does_says_nothing_of_the_other_paths() {
    let mut lab = Lab::armed();
    let mut guesses = new_port_each_time();
    guesses[0].path.family = crate::candidate::Family::V6;
    lab.tell(Input::Nat(&guesses));
    assert_eq!(lab.wait(RTT / 2), [dial(0, listen_first(6))]);
}
