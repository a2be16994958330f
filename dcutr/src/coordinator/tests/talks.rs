//! Whole conversations with peers as others wrote them, on a network without faults: who leads on the connection that comes up,
//! and on which try.
//!
//! Both are behind NATs that keep the port and drop what nobody asked for. So a connection comes up when both have dialed; or
//! into the listener of one who dialed before and gave up.

use super::*;

/// What another implementation does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Peer {
    /// A initiates, B responds; what is accepted is answered (relay/DCUtR.md).
    Spec,
    /// The other way round (go-libp2p before 0.41).
    Inverted,
    /// As the spec, but B initiates on its third try (go-libp2p of 2026).
    Flips,
    /// As the spec, and its `CONNECT` is empty: it has a confirmed address (rust-libp2p).
    Empty,
    /// It sends `SYNC` at once, whatever we have answered.
    Hasty,
}

impl Peer {
    /// How it makes its socket when it dials on this try; `None`: it answers.
    fn initiates(self, as_a: bool, number: u32) -> Option<Duration> {
        let at_once = match self {
            Peer::Inverted => !as_a,
            Peer::Flips => as_a || number >= 3,
            _ => as_a,
        };
        at_once.then_some(Duration::ZERO)
    }
}

fn patience(plan: Plan) -> Option<Duration> {
    match plan {
        Plan::Initiate => Some(Duration::ZERO),
        Plan::ListenFirst { wait } => Some(wait),
        Plan::Respond => None,
    }
}

/// Whether exactly one of two ends leads: the one with the shorter wait, if the other hears it in time.
fn fits(one: Option<Duration>, other: Option<Duration>) -> bool {
    match (one, other) {
        (None, None) => false,
        (Some(one), Some(other)) => one.abs_diff(other) > RTT / 2,
        _ => true,
    }
}

/// We are B. On which try it succeeds.
fn as_b_against(remote: Peer) -> Option<u32> {
    let mut lab = Lab::on_circuit(true);
    let listens = if remote == Peer::Empty { Vec::from([theirs()]) } else { Vec::new() };
    let mut actions = lab.identify(&listens);
    if remote == Peer::Empty {
        assert_eq!(actions, [plain(0)]);
        actions = lab.failed(0, DialFault::TimedOut);
    }
    for number in 1..=3 {
        let Some(Action::Open { ask, .. }) = actions.first() else { panic!("{actions:?}") };
        let told = if remote == Peer::Empty { Vec::new() } else { Vec::from([theirs()]) };
        lab.wait(RTT);
        lab.tell(Input::Connects { ask: *ask, addresses: &told, skipped: 0, rtt: RTT });
        let dials = lab.wait(RTT / 2);
        let [Action::Dial { dial, plan, local: Local::Reuse(_), .. }] = dials[..] else { panic!("{dials:?}") };
        // It dialed when SYNC came: just now. The SYNs cross.
        lab.tell(Input::Upgrading { dial });
        if fits(patience(plan), remote.initiates(true, number)) {
            assert_eq!(lab.dialed(dial.0), []);
            lab.tell(Input::Proven { connection: DIRECT });
            lab.upgraded();
            return Some(number);
        }
        actions = lab.failed(dial.0, DialFault::upgrade("nobody leads"));
    }
    None
}

/// We are A. On which try it succeeds. `late`: its SYN comes when our dial is over, into our listener.
fn as_a_against(remote: Peer, late: bool) -> Option<u32> {
    let mut lab = Lab::on_circuit(false);
    if remote == Peer::Empty {
        lab.identify(&[theirs()]);
    }
    for number in 1..=3 {
        let told = if remote == Peer::Empty { Vec::new() } else { Vec::from([theirs()]) };
        let stream = on(u64::from(number));
        let answered = lab.tell(Input::Asked { stream, addresses: &told, skipped: 0 });
        assert!(answered.contains(&answer(u64::from(number))));
        lab.wait(if remote == Peer::Hasty { Duration::ZERO } else { RTT });
        let dials = lab.synced(u64::from(number));
        let [Action::Dial { dial, plan, .. }] = dials[..] else { panic!("{dials:?}") };
        let accepted = lab.machine.accepts(theirs().ip().unwrap()).unwrap();
        let ours = if late {
            lab.failed(dial.0, DialFault::Refused);
            accepted
        } else {
            lab.tell(Input::Upgrading { dial });
            plan
        };
        if fits(patience(ours), remote.initiates(false, number)) {
            let came = if late { lab.connect(DIRECT, false, true) } else { lab.dialed(dial.0) };
            assert_eq!(came, []);
            lab.tell(Input::Proven { connection: DIRECT });
            lab.upgraded();
            return Some(number);
        }
        if !late {
            assert_eq!(lab.failed(dial.0, DialFault::upgrade("both propose")), []);
        }
    }
    None
}

#[test]
fn as_b_we_get_through_on_the_first_try_whatever_roles_a_takes() {
    for remote in [Peer::Spec, Peer::Inverted, Peer::Flips, Peer::Empty] {
        assert_eq!(as_b_against(remote), Some(1), "{remote:?}");
    }
}

#[test]
fn as_a_we_get_through_on_the_first_try_with_those_that_keep_the_spec() {
    for remote in [Peer::Spec, Peer::Flips, Peer::Empty, Peer::Hasty] {
        assert_eq!(as_a_against(remote, false), Some(1), "{remote:?}");
    }
}

#[test]
fn as_a_we_get_through_on_the_second_try_with_inverted_roles() {
    assert_eq!(as_a_against(Peer::Inverted, false), Some(2));
}

#[test]
fn a_syn_that_finds_our_listener_finds_one_that_listens_first() {
    for remote in [Peer::Spec, Peer::Inverted, Peer::Flips] {
        assert_eq!(as_a_against(remote, true), Some(1), "{remote:?}");
    }
}

#[test]
fn gos_flip_on_the_third_try_meets_a_dial_that_listens() {
    let mut lab = Lab::punching_as_a();
    for number in 2..4 {
        lab.failed(number - 2, DialFault::Refused);
        lab.asked(number);
        let dials = lab.synced(number);
        let [Action::Dial { plan, .. }] = dials[..] else { panic!("{dials:?}") };
        let number = u32::try_from(number).unwrap();
        assert!(fits(patience(plan), Peer::Flips.initiates(false, number)), "try {number}");
    }
}

/// Two of ours, with a clock for both, and messages that take half a round trip.
struct Two {
    labs: [Lab; 2],
    /// What arrives where, and when.
    mail: Vec<(Time, usize, Mail)>,
    dials: [Option<(DialId, Plan, Time)>; 2],
}

#[derive(Clone, Debug)]
enum Mail {
    Connect(u64, usize),
    Sync(u64, usize),
    Reset(u64, usize),
}

impl Two {
    /// Each has dialed a circuit to the other, if `both`; else the first one has.
    fn new(both: bool) -> Two {
        let [one, mut other] = [Lab::new(|_| ()), Lab::new(|_| ())];
        other.machine = Coordinator::new(Config::default(), peer(THEM), &Seed::new([8; 32]));
        let own = Candidate { address: theirs(), source: Source::Observed, local: Some(inside()) };
        other.tell(Input::Own(&[own]));
        other.with = US;
        let mut two = Two { labs: [one, other], mail: Vec::new(), dials: [None, None] };
        for side in [0, 1] {
            two.labs[side].connect(circuit_of(0), true, side == 1);
            if both {
                two.labs[side].connect(circuit_of(1), true, side == 0);
            }
        }
        for side in [0, 1] {
            let actions = two.labs[side].identify(&[]);
            two.act(side, actions);
        }
        two
    }

    fn act(&mut self, side: usize, actions: Vec<Action>) {
        let now = self.labs[side].now;
        let other = 1 - side;
        for action in actions {
            let mail = match action {
                Action::Open { ask, .. } => Mail::Connect(ask.0, side),
                Action::Sync { ask } => Mail::Sync(ask.0, side),
                Action::ResetAsk { ask } => Mail::Reset(ask.0, side),
                Action::Answer { stream, .. } => Mail::Connect(stream.stream, other),
                Action::ResetStream { stream, .. } => Mail::Reset(stream.stream, other),
                Action::Dial { dial, plan, .. } => {
                    self.dials[side] = Some((dial, plan, now));
                    continue;
                }
                Action::Abort { .. } => {
                    self.dials[side] = None;
                    continue;
                }
                _ => continue,
            };
            self.mail.push((now + RTT / 2, other, mail));
        }
    }

    fn deliver(&mut self, side: usize, mail: &Mail) {
        let lab = &mut self.labs[side];
        let from = if side == 0 { theirs() } else { ours() };
        let (Mail::Connect(ask, opener) | Mail::Sync(ask, opener) | Mail::Reset(ask, opener)) = *mail;
        let (mine, stream) = (opener == side, StreamKey { connection: circuit_of(1 - opener), stream: ask });
        let why = crate::exchange::Fault::Reset;
        let input = match (mail, mine) {
            (Mail::Connect(..), true) => {
                Input::Connects { ask: AskId(ask), addresses: core::slice::from_ref(&from), skipped: 0, rtt: RTT }
            }
            (Mail::Connect(..), false) => Input::Asked { stream, addresses: core::slice::from_ref(&from), skipped: 0 },
            (Mail::Sync(..), _) => Input::Synced { stream, rtt: RTT },
            (Mail::Reset(..), true) => Input::AskFailed { ask: AskId(ask), why },
            (Mail::Reset(..), false) => Input::StreamGone { stream, why },
        };
        let actions = lab.try_tell(input).unwrap_or_default();
        self.act(side, actions);
    }

    /// Until both have dialed: when each did, and in which role.
    fn run(mut self) -> [(DialId, Plan, Time); 2] {
        for _ in 0..1000 {
            if let [Some(one), Some(other)] = self.dials {
                return [one, other];
            }
            let next = self.mail.iter().map(|(at, ..)| *at).min().unwrap_or(Time::NEVER);
            let now = next.min(self.labs[0].machine.deadline()).min(self.labs[1].machine.deadline());
            for side in [0, 1] {
                let passed = now.since(self.labs[side].now);
                let actions = self.labs[side].wait(passed);
                self.act(side, actions);
            }
            let (due, later) = core::mem::take(&mut self.mail).into_iter().partition(|(at, ..)| *at <= now);
            self.mail = later;
            let due: Vec<_> = due;
            due.iter().for_each(|(_, side, mail)| self.deliver(*side, mail));
        }
        panic!("they never dial both");
    }
}

/// The circuit that this side dialed.
fn circuit_of(side: usize) -> ConnectionId {
    ConnectionId(side as u64 + 1)
}

#[test]
fn two_of_ours_dial_at_the_same_moment_in_roles_that_fit() {
    let [a, b] = Two::new(false).run();
    assert_eq!(a.2, b.2, "SYNC takes half a round trip, and so does the timer");
    assert_eq!((a.1, b.1), (Plan::Initiate, listen_first(6)));
}

#[test]
fn two_that_are_both_b_agree_on_one_exchange() {
    let [one, other] = Two::new(true).run();
    assert_eq!(one.2, other.2);
    assert_eq!((one.1, other.1), (listen_first(6), Plan::Initiate), "the smaller id stayed B");
}
