//! Hole punches: what their coordinator wants is carried out, what came of it is told to it, and nothing is left behind.

use super::relaying::{carry_of, question, through};
use super::*;
use crate::ids::PUNCHES;
use crate::link::AskFault;
use crate::{AskNumber, LocalEnd};
use tidewire_connmgr::CloseReason;
use tidewire_connmgr::dial::GateRule;
use tidewire_dcutr::PROTOCOL;
use tidewire_dcutr::coordinator::Event as Punch;
use tidewire_dcutr::exchange::{Fault as PunchFault, Heard};
use tidewire_dcutr::report::{End, Failure, Outcome, Report as Punched};
use tidewire_relay::Limit;
use tidewire_relay::exchange::Answer;
use tidewire_upgrade::pipeline::Plan;

pub(super) const DCUTR: Protocol = Protocol::from_static(PROTOCOL);
const RTT: Duration = Duration::from_millis(80);
/// The relay, the remote that we punch with, and the circuit to it.
pub(super) const RELAY: u8 = 1;
pub(super) const REMOTE: u8 = 3;
pub(super) const CIRCUIT: u64 = 20;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The relay is connected, and we listen where all can see us.
pub(super) fn listening(change: impl FnOnce(&mut Config)) -> World {
    let mut world = World::with(change);
    world.tell(Input::Listen { listener: ListenerId(1), address: address(0) });
    world.tell(Input::Listening { listener: ListenerId(1), address: address(0) });
    world.pass(Duration::from_secs(2));
    world.connected(1, RELAY);
    world
}

/// A circuit came to us, and its peer said that it speaks the protocol: we are B.
fn asking(change: impl FnOnce(&mut Config)) -> (World, AskNumber) {
    let mut world = listening(change);
    world.circuit(CIRCUIT);
    let ask = asked(&world.identifies(&[]));
    (world, ask)
}

/// The remote answered, and we dial.
fn dialing() -> (World, DialId) {
    let (mut world, ask) = asking(|_| {});
    assert!(world.connects(ask, &[address(REMOTE)]).contains(&order(CIRCUIT, Order::Sync { ask })));
    let dial = dials(&world.pass(RTT / 2))[0].0;
    (world, dial)
}

/// We made a circuit: we are A, and the remote asks on this stream.
fn answering() -> World {
    let mut world = listening(|_| {});
    let (request, options) = (RequestId(1), DialOptions::default());
    let addresses = vec![through(RELAY, REMOTE)];
    let (_, ask, _) = question(&world.tell(Input::Connect { request, peer: peer(REMOTE), addresses, options }));
    let answer = Ok(Box::new(Answer::Connected { limit: Limit::UNLIMITED }));
    let carry = carry_of(&world.report(1, Report::Answered { ask, stream: Some(StreamId(9)), answer }));
    let (dial, _) = carry.dial.unwrap();
    world.tell(Input::Dialed { dial, connection: c(CIRCUIT), local: carry.local, remote: carry.remote });
    world.report(CIRCUIT, established(REMOTE, Role::Initiator));
    world.identifies(&[]);
    world
}

fn left() -> Report {
    Report::Ended { by: By::Remote, fault: Fault::None, why: "enough".into() }
}

#[track_caller]
pub(super) fn asked(actions: &[Action]) -> AskNumber {
    let asks = actions.iter().find_map(|action| match action {
        Action::Order { order: Order::Punch { ask, addresses }, .. } => Some((*ask, addresses.clone())),
        _ => None,
    });
    let (ask, addresses) = asks.unwrap_or_else(|| panic!("a CONNECT: {actions:?}"));
    assert_eq!(addresses, [address(0)]);
    ask
}

fn dials(actions: &[Action]) -> Vec<(DialId, Multiaddr, Option<LocalEnd>)> {
    let dial = |action: &Action| match action {
        Action::Dial { dial, address, from, .. } => Some((*dial, address.clone(), from.clone())),
        _ => None,
    };
    actions.iter().filter_map(dial).collect()
}

fn told(actions: &[Action]) -> Vec<Punch> {
    let event = |action: &Action| match action {
        Action::Event(Event::Punch(event)) => Some(event.clone()),
        _ => None,
    };
    actions.iter().filter_map(event).collect()
}

fn outcomes(actions: &[Action]) -> Vec<Outcome> {
    let outcome = |event| if let Punch::Outcome { outcome, .. } = event { Some(outcome) } else { None };
    told(actions).into_iter().filter_map(outcome).collect()
}

pub(super) fn reports(actions: &[Action]) -> Vec<Punched> {
    told(actions).into_iter().filter_map(|it| if let Punch::Report(it) = it { Some(*it) } else { None }).collect()
}

fn is_failure(actions: &[Action], failure: &Failure) -> bool {
    matches!(&reports(actions)[..], [one] if one.end == End::Failed(failure.clone()))
}

impl World {
    /// A circuit from the remote.
    pub(super) fn circuit(&mut self, connection: u64) -> Vec<Action> {
        let (local, remote) = (through(RELAY, 0), through(RELAY, REMOTE));
        let mut all = self.tell(Input::Incoming { connection: c(connection), local, remote, over: None, asn: None });
        all.extend(self.report(connection, established(REMOTE, Role::Responder)));
        all
    }

    /// The remote says on the circuit who it is, and where it listens.
    fn identifies(&mut self, listens: &[Multiaddr]) -> Vec<Action> {
        self.report(CIRCUIT, Report::Identified(said(REMOTE, 1, &[DCUTR], listens)))
    }

    /// The remote's `CONNECT`, on a stream of ours.
    fn connects(&mut self, ask: AskNumber, addresses: &[Multiaddr]) -> Vec<Action> {
        let heard = Heard::Connect { addresses: addresses.to_vec(), skipped: 0, dropped: 0, rtt: Some(RTT) };
        self.report(CIRCUIT, Report::Heard { ask: Some(ask), stream: StreamId(2), heard: Ok(heard) })
    }

    /// The same on one of its own, on this connection.
    fn asks(&mut self, connection: u64, stream: u64) -> Vec<Action> {
        let (id, direction) = (StreamId(stream), Direction::Inbound);
        let protocol = DCUTR;
        let opened = self.report(connection, Report::StreamOpened { stream: id, direction, protocol, open: None });
        assert_eq!(opened, [order(connection, Order::Admit { stream: id })]);
        let heard = Heard::Connect { addresses: vec![address(REMOTE)], skipped: 0, dropped: 0, rtt: None };
        self.report(connection, Report::Heard { ask: None, stream: id, heard: Ok(heard) })
    }

    fn syncs(&mut self, stream: u64) -> Vec<Action> {
        let heard = Ok(Heard::Sync { rtt: RTT });
        self.report(CIRCUIT, Report::Heard { ask: None, stream: StreamId(stream), heard })
    }

    fn punch_dialed(&mut self, dial: DialId, connection: u64) -> Vec<Action> {
        self.tell(Input::Dialed { dial, connection: c(connection), local: address(0), remote: address(REMOTE) })
    }

    /// What the coordinator of punches has under way: attempts, dials, asks, windows.
    fn under_way(&self) -> [usize; 4] {
        let counts = self.host.punching().unwrap().counts();
        [counts.attempts, counts.dials, counts.asks, counts.windows]
    }

    /// All connections end, and what was remembered is forgotten.
    #[track_caller]
    pub(super) fn assert_nothing_is_left(mut self) {
        let left: Vec<ConnectionId> = self.host.connections.keys().copied().collect();
        for connection in left {
            self.tell(Input::Report { connection, report: gone() });
        }
        self.pass(Duration::from_secs(7200));
        let counts = self.host.punching().unwrap().counts();
        assert_eq!((counts.connections, counts.peers, counts.queued), (0, 0, 0));
        assert_eq!(self.under_way(), [0; 4]);
        assert_eq!(self.host.punching.kept(), 0);
        assert_eq!(self.host.connections.len(), 0);
        let limits = self.host.manager().counts().limits;
        assert_eq!((limits.pending_inbound, limits.pending_outbound, limits.memory), (0, 0, 0));
    }
}

#[test]
fn b_asks_answers_with_sync_and_dials_half_a_round_trip_later_from_the_port_that_it_told() {
    let (mut world, ask) = asking(|_| {});
    let actions = world.connects(ask, &[address(REMOTE)]);
    assert!(actions.contains(&order(CIRCUIT, Order::Sync { ask })), "{actions:?}");
    assert!(dials(&world.pass(RTT / 2 - millis(1))).is_empty(), "too early");
    let dialed = dials(&world.pass(millis(1)));
    let from = Some(LocalEnd { address: address(0), exact: true });
    assert_eq!(dialed, [(DialId(PUNCHES | dialed[0].0.0), address(REMOTE), from)]);
    assert!(dialed[0].0.0 >= PUNCHES);
    // It listens first, from the moment on in which it is connected.
    world.now = world.now + millis(30);
    let plan = world.host.dial_plan(world.now, dialed[0].0);
    assert_eq!(plan, Plan::ListenFirst { until: world.now + 6 * millis(100) });
    assert_eq!(world.host.dial_plan(world.now, DialId(7)), Plan::Initiate, "a dial like any other");
    world.assert_nothing_is_left();
}

#[test]
fn a_answers_and_dials_on_sync_as_the_initiator() {
    let mut world = answering();
    let actions = world.asks(CIRCUIT, 5);
    let answer = order(CIRCUIT, Order::Connect { stream: StreamId(5), addresses: vec![address(0)] });
    assert!(actions.contains(&answer), "{actions:?}");
    assert_eq!(world.under_way(), [1, 0, 0, 1]);
    let dialed = dials(&world.syncs(5));
    assert!(
        matches!(&dialed[..], [(_, at, Some(LocalEnd { exact: true, .. }))] if *at == address(REMOTE)),
        "{dialed:?}"
    );
    assert_eq!(world.host.dial_plan(world.now, dialed[0].0), Plan::Initiate);
    world.assert_nothing_is_left();
}

#[test]
fn an_accepted_socket_listens_first_inside_a_window_and_responds_outside() {
    let mut world = answering();
    assert_eq!(world.host.accept_plan(world.now, &address(REMOTE)), Plan::Respond);
    world.asks(CIRCUIT, 5);
    let now = world.now;
    assert!(matches!(world.host.accept_plan(now, &address(REMOTE)), Plan::ListenFirst { until } if until > now));
    assert_eq!(world.host.accept_plan(now, &address(7)), Plan::Respond, "somebody else");
    assert_eq!(world.host.accept_plan(now, &through(REMOTE, 4)), Plan::Respond, "a circuit through it");
    world.pass(Duration::from_secs(31));
    assert_eq!(world.host.accept_plan(world.now, &address(REMOTE)), Plan::Respond, "the window is over");
    world.assert_nothing_is_left();
}

#[test]
fn a_direct_connection_ends_the_attempt_once_the_manager_proved_it_and_the_circuit_goes() {
    let (mut world, dial) = dialing();
    assert_eq!(world.punch_dialed(dial, 30), []);
    let up = world.report(30, established(REMOTE, Role::Initiator));
    assert!(matches!(outcomes(&up)[..], [Outcome::Connected(_)]), "{up:?}");
    assert!(reports(&up).is_empty(), "nobody proved it");
    let mut all = up;
    let mut closed = None;
    for _ in 0..700 {
        let pings: Vec<ConnectionId> = all
            .iter()
            .filter_map(|action| match action {
                Action::Order { connection, order: Order::Ping } => Some(*connection),
                _ => None,
            })
            .collect();
        closed = closed.or(all.iter().find_map(|action| match action {
            Action::Order { connection, order: Order::Close { reason } } => Some((*connection, reason.clone())),
            _ => None,
        }));
        let mut next: Vec<Action> = Vec::new();
        next.extend(world.pass(millis(200)));
        for connection in pings {
            let report = Report::Pong { rtt: millis(20) };
            next.extend(world.tell(Input::Report { connection, report }));
        }
        if let [report] = &reports(&next)[..] {
            assert!(report.is_upgraded(), "{report}");
        }
        all = next;
    }
    assert!(matches!(closed, Some((ConnectionId(CIRCUIT), CloseReason::Superseded { .. }))), "{closed:?}");
    assert_eq!(world.under_way()[..3], [0, 0, 0]);
    assert_eq!(world.host.manager().best_connection(&peer(REMOTE), true), Some(c(30)));
    world.assert_nothing_is_left();
}

#[test]
fn each_failure_of_a_dial_is_told_as_what_it_is() {
    use tidewire_dcutr::DialFault as Told;
    let text = || "the words of the system".into();
    for (fault, is) in [
        (DialFault::Refused(text()), Told::Refused),
        (DialFault::Unreachable(text()), Told::Unreachable),
        (DialFault::Timeout(RTT), Told::TimedOut),
        (DialFault::NoPort(text()), Told::AddressNotAvailable),
        (DialFault::Local(text()), Told::LocalPort),
        (DialFault::Upgrade(text()), Told::upgrade("the words of the system")),
    ] {
        let (mut world, dial) = dialing();
        let actions = world.tell(Input::DialFailed { dial, fault });
        assert_eq!(outcomes(&actions), [Outcome::Failed(is.clone())]);
        // The other's SYN won: it is waited for. Whatever else it was, another try follows a round trip later.
        let actions = world.pass(Duration::from_secs(1));
        let again = actions.iter().any(|action| matches!(action, Action::Order { order: Order::Punch { .. }, .. }));
        assert_eq!(again, is != Told::AddressNotAvailable, "{is:?} {actions:?}");
        world.assert_nothing_is_left();
    }
}

#[test]
fn a_connection_that_ends_before_it_is_established_is_a_dial_that_failed() {
    for fault in [Fault::WrongPeer(peer(7)), Fault::Crossed, Fault::Transport, Fault::Upgrade] {
        let (mut world, dial) = dialing();
        world.punch_dialed(dial, 30);
        let why = "that was no use".into();
        let actions = world.report(30, Report::Ended { by: By::Network, fault, why });
        assert!(matches!(outcomes(&actions)[..], [Outcome::Failed(_)]), "{fault:?}: {actions:?}");
        assert!(dials(&actions).is_empty(), "{fault:?}: it is not dialed once more");
        assert!(!world.host.connections.contains_key(&c(30)));
        world.assert_nothing_is_left();
    }
}

#[test]
fn a_socket_that_comes_after_its_dial_was_given_up_is_refused() {
    let (mut world, dial) = dialing();
    let over = world.pass(Duration::from_secs(10));
    assert!(over.contains(&Action::Abort { dial }), "{over:?}");
    let late = world.punch_dialed(dial, 30);
    assert_eq!(late, [Action::Refuse { connection: c(30), reason: RefuseReason::DialOver }]);
    assert_eq!(world.tell(Input::DialFailed { dial, fault: DialFault::Refused("late".into()) }), []);
    world.assert_nothing_is_left();
}

#[test]
fn a_dial_that_is_given_up_while_it_is_upgraded_is_dropped() {
    let (mut world, dial) = dialing();
    world.punch_dialed(dial, 30);
    let over = world.pass(Duration::from_secs(10));
    assert!(over.contains(&Action::Refuse { connection: c(30), reason: RefuseReason::DialOver }), "{over:?}");
    assert!(!world.host.connections.contains_key(&c(30)));
    world.assert_nothing_is_left();
}

#[test]
fn a_connection_that_the_manager_turns_away_is_a_dial_that_failed() {
    let (mut world, dial) = dialing();
    world.punch_dialed(dial, 30);
    let rule = GateRule::Subnet([11, 0, 3, 0].into(), 24);
    world.tell(Input::Manage(crate::Command::Deny { rule, why: "no".into() }));
    let actions = world.report(30, established(REMOTE, Role::Initiator));
    let reason = RefuseReason::Denied { why: "no".into() };
    assert!(actions.contains(&Action::Refuse { connection: c(30), reason }), "{actions:?}");
    assert!(matches!(outcomes(&actions)[..], [Outcome::Failed(_)]), "{actions:?}");
    let over = world.pass(Duration::from_secs(10));
    assert!(!over.iter().any(|action| matches!(action, Action::Refuse { .. })), "{over:?}");
    assert!(world.host.manager().connection(c(30)).is_none());
    world.assert_nothing_is_left();
}

#[test]
fn what_is_denied_is_not_dialed() {
    let (mut world, ask) = asking(|_| {});
    let rule = GateRule::Subnet([11, 0, 3, 0].into(), 24);
    world.tell(Input::Manage(crate::Command::Deny { rule, why: "a bad neighbourhood".into() }));
    world.connects(ask, &[address(REMOTE)]);
    let actions = world.pass(RTT / 2);
    assert!(dials(&actions).is_empty(), "{actions:?}");
    let why = alloc::format!("{:?}", outcomes(&actions));
    assert!(why.contains("a bad neighbourhood"), "{why}");
    world.assert_nothing_is_left();
}

#[test]
fn a_stream_on_a_direct_connection_is_reset() {
    let mut world = answering();
    world.connected(2, REMOTE);
    let actions = world.asks(2, 5);
    assert!(actions.contains(&order(2, Order::Reset { stream: StreamId(5) })), "{actions:?}");
    world.assert_nothing_is_left();
}

#[test]
fn a_stream_of_who_should_answer_is_reset() {
    let (mut world, _) = asking(|_| {});
    let actions = world.asks(CIRCUIT, 5);
    assert!(actions.contains(&order(CIRCUIT, Order::Reset { stream: StreamId(5) })), "{actions:?}");
    world.assert_nothing_is_left();
}

#[test]
fn a_flood_of_streams_is_answered_a_few_times_and_costs_nothing() {
    let mut world = answering();
    let mut memory = 0;
    let mut answered = 0;
    for n in 0..500 {
        let actions = world.asks(CIRCUIT, 100 + n);
        answered +=
            usize::from(actions.iter().any(|it| matches!(it, Action::Order { order: Order::Connect { .. }, .. })));
        world.report(CIRCUIT, Report::StreamClosed { stream: StreamId(100 + n) });
        if n == 50 {
            memory = world.host.memory_used();
        }
    }
    assert!(answered <= 6, "{answered}");
    assert!(world.host.memory_used() <= memory + 1024, "{} after {memory}", world.host.memory_used());
    world.assert_nothing_is_left();
}

#[test]
fn a_question_without_a_stream_is_a_try_that_failed() {
    for (fault, failed) in [(OpenFault::Unsupported, true), (OpenFault::Reset { code: 0 }, false)] {
        let (mut world, ask) = asking(|_| {});
        let answer = Err(Box::new(AskFault::Open(fault.clone())));
        let actions = world.report(CIRCUIT, Report::Answered { ask, stream: None, answer });
        assert_eq!(is_failure(&actions, &Failure::NotSpoken), failed, "{fault:?}: {actions:?}");
        if !failed {
            assert_ne!(asked(&actions), ask);
        }
        world.assert_nothing_is_left();
    }
}

#[test]
fn what_was_wrong_with_the_answer_is_told_and_the_next_try_begins() {
    let (mut world, ask) = asking(|_| {});
    let heard = Err(Box::new(PunchFault::Reset));
    let actions = world.report(CIRCUIT, Report::Heard { ask: Some(ask), stream: StreamId(2), heard });
    let next = asked(&actions);
    assert_ne!(next, ask);
    // A word about the first one that comes late is of no matter.
    assert_eq!(world.connects(ask, &[address(REMOTE)]), []);
    assert_eq!(world.under_way(), [1, 0, 1, 0]);
    world.assert_nothing_is_left();
}

#[test]
fn who_does_not_answer_in_time_has_the_stream_reset() {
    let (mut world, ask) = asking(|_| {});
    let actions = world.pass(Duration::from_secs(20));
    assert!(actions.contains(&order(CIRCUIT, Order::Unask { ask })), "{actions:?}");
    world.assert_nothing_is_left();
}

#[test]
fn a_remote_that_leaves_between_connect_and_sync_leaves_nothing() {
    let mut world = answering();
    world.asks(CIRCUIT, 5);
    let actions = world.report(CIRCUIT, left());
    assert!(is_failure(&actions, &Failure::RelayLost), "{actions:?}");
    assert!(!actions.iter().any(|it| matches!(it, Action::Order { connection, .. } if *connection == c(CIRCUIT))));
    world.assert_nothing_is_left();

    let (mut world, _) = asking(|_| {});
    let actions = world.report(CIRCUIT, left());
    assert!(is_failure(&actions, &Failure::RelayLost), "{actions:?}");
    world.assert_nothing_is_left();
}

#[test]
fn a_shutdown_gives_up_what_is_under_way_and_says_so() {
    let (mut world, dial) = dialing();
    let actions = world.tell(Input::Shutdown);
    assert!(is_failure(&actions, &Failure::Shutdown), "{actions:?}");
    assert!(actions.contains(&Action::Abort { dial }), "{actions:?}");
    assert_eq!(world.under_way(), [0; 4]);
    let late = world.punch_dialed(dial, 30);
    assert_eq!(late, [Action::Refuse { connection: c(30), reason: RefuseReason::DialOver }]);

    let (mut world, ask) = asking(|_| {});
    let actions = world.tell(Input::Shutdown);
    assert!(is_failure(&actions, &Failure::Shutdown), "{actions:?}");
    assert!(actions.contains(&order(CIRCUIT, Order::Unask { ask })), "{actions:?}");
    assert_eq!(world.under_way(), [0; 4]);
}

#[test]
fn another_network_is_punched_from_anew() {
    let (mut world, dial) = dialing();
    let actions = world.tell(Input::NetworkChanged);
    assert!(actions.contains(&Action::Abort { dial }), "{actions:?}");
    assert!(is_failure(&actions, &Failure::NetworkChanged), "{actions:?}");
    asked(&actions);
    world.assert_nothing_is_left();
}

#[test]
fn of_two_circuits_one_that_is_drained_proves_nothing_direct() {
    let mut world = answering();
    world.circuit(21);
    let mut all = Vec::new();
    for _ in 0..100 {
        all.extend(world.pass(millis(100)));
        for connection in [CIRCUIT, 21] {
            if world.host.connections.contains_key(&c(connection)) {
                all.extend(world.report(connection, Report::Pong { rtt: millis(20) }));
            }
        }
    }
    let lost = reports(&all).iter().any(|report| report.end == End::Failed(Failure::Lost));
    assert!(!lost, "{:?}", reports(&all));
    assert!(!world.host.punching().unwrap().views(world.now).any(|view| alloc::format!("{view}").contains("direct")));
    world.assert_nothing_is_left();
}

#[test]
fn a_circuit_is_in_use_as_long_as_a_punch_needs_it() {
    let idle = Duration::from_secs(3);
    let (mut world, _) = asking(|config| config.manager.keep_alive.idle = Some(idle));
    let closes = |actions: &[Action], which: u64| {
        actions.iter().any(|action| {
            matches!(action, Action::Order { connection, order: Order::Close { reason: CloseReason::Idle { .. } } }
                if *connection == c(which))
        })
    };
    let actions = world.pass(Duration::from_secs(55));
    assert!(closes(&actions, 1), "the relay's is not ours to keep: {actions:?}");
    assert!(!closes(&actions, CIRCUIT), "{actions:?}");
    assert!(reports(&actions).is_empty());
    let actions = world.pass(Duration::from_secs(30));
    assert_eq!(reports(&actions).len(), 1);
    assert!(closes(&actions, CIRCUIT), "{actions:?}");
    world.assert_nothing_is_left();
}

#[test]
fn an_address_that_is_learned_later_is_told_by_the_next_try() {
    let mut world = World::new();
    world.connected(1, RELAY);
    world.circuit(CIRCUIT);
    let actions = world.identifies(&[]);
    assert!(is_failure(&actions, &Failure::NothingOfOurs), "{actions:?}");
    let actions = world.tell(Input::AddExternal { address: address(0) });
    asked(&actions);
    world.assert_nothing_is_left();
}

#[test]
fn the_application_starts_and_cancels_a_punch() {
    let (mut world, ask) = asking(|_| {});
    let cancel = Input::Punch(PunchCommand::Cancel { peer: peer(REMOTE) });
    let actions = world.tell(cancel);
    assert!(is_failure(&actions, &Failure::Cancelled), "{actions:?}");
    assert!(actions.contains(&order(CIRCUIT, Order::Unask { ask })), "{actions:?}");
    let again = asked(&world.tell(Input::Punch(PunchCommand::Punch { peer: peer(REMOTE) })));
    assert_ne!(again, ask);
    world.assert_nothing_is_left();
}

#[test]
fn a_coordinator_that_keeps_few_actions_misses_nothing_of_what_happens_at_once() {
    let mut world = World::with(|config| config.punching.as_mut().unwrap().max_unpolled = 1);
    world.connected(1, RELAY);
    world.circuit(CIRCUIT);
    world.identifies(&[]);
    world.tell(Input::Listen { listener: ListenerId(1), address: address(0) });
    asked(&world.tell(Input::Listening { listener: ListenerId(1), address: address(0) }));
    assert!(is_failure(&world.tell(Input::NetworkChanged), &Failure::NetworkChanged));
    assert!(is_failure(&world.tell(Input::Shutdown), &Failure::Shutdown));
    world.assert_nothing_is_left();
}

#[test]
fn misuse_is_told_and_changes_nothing() {
    let (mut world, dial) = dialing();
    let never = DialId(dial.0 + 1);
    let fault = || DialFault::Refused("no".into());
    let unknown = world.host.handle(world.now, Input::DialFailed { dial: never, fault: fault() });
    assert_eq!(unknown, Err(Misuse::UnknownDial(never)));
    let (local, remote) = (address(0), address(REMOTE));
    let twice = Input::Dialed { dial, connection: c(CIRCUIT), local, remote };
    assert_eq!(world.host.handle(world.now, twice), Err(Misuse::ConnectionExists(c(CIRCUIT))));
    world.punch_dialed(dial, 30);
    let late = world.host.handle(world.now, Input::DialFailed { dial, fault: fault() });
    assert_eq!(late, Err(Misuse::UnknownDial(dial)));
    let nobody = Input::Punch(PunchCommand::Punch { peer: peer(8) });
    assert!(matches!(world.host.handle(world.now, nobody), Err(Misuse::Punch(_))));
    world.assert_nothing_is_left();

    let mut off = World::with(|config| config.punching = None);
    let nobody = Input::Punch(PunchCommand::Punch { peer: peer(8) });
    assert_eq!(off.host.handle(off.now, nobody), Err(Misuse::NoPunching));
}

#[test]
fn switched_off_nothing_is_served_asked_or_dialed() {
    let mut world = listening(|config| config.punching = None);
    assert!(!world.host.services().iter().any(|service| service.name() == PROTOCOL));
    world.circuit(CIRCUIT);
    let actions = world.identifies(&[address(REMOTE)]);
    assert!(dials(&actions).is_empty() && told(&actions).is_empty(), "{actions:?}");
    assert!(world.host.punching().is_none());
    assert!(world.host.explain_punch(&peer(REMOTE)).is_none());
}

#[test]
fn punches_that_end_in_each_way_leave_no_memory_behind() {
    let mut world = listening(|_| {});
    let mut memory = 0;
    for n in 0..60_u64 {
        let connection = CIRCUIT;
        world.circuit(connection);
        let actions = world.identifies(&[]);
        if n % 2 == 0 {
            let ask = asked(&actions);
            world.connects(ask, &[address(REMOTE)]);
            let dialed = dials(&world.pass(RTT / 2));
            if n % 4 == 0 {
                world.punch_dialed(dialed[0].0, 1000 + n);
            }
        }
        world.report(connection, gone());
        world.pass(Duration::from_secs(7200));
        assert_eq!(world.under_way(), [0; 4], "round {n}");
        if n == 20 {
            memory = world.host.memory_used();
        }
    }
    assert!(world.host.memory_used() <= memory + 256, "{} after {memory}", world.host.memory_used());
    world.assert_nothing_is_left();
}
