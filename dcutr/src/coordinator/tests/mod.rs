//! Rule B, row by row, on both sides; roles and windows; caps; whole conversations with peers that others wrote; the laws.

mod caps;
mod datagrams;
mod laws;
mod roles;
mod rows_a;
mod rows_b;
mod talks;

use super::{Action, Config, Coordinator, Event, Input, Misuse};
use crate::candidate::{Candidate, Source};
use crate::report::{End, Failure, Report};
use crate::{AskId, ConnectionId, DialFault, DialId, Local, Plan, StreamKey};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{EventMachine, Multiaddr, PeerId, Role, Seed, Time};

/// The round trip over the relay, where nothing else is said.
const RTT: Duration = Duration::from_millis(80);
/// The circuit, and a direct connection.
const CIRCUIT: ConnectionId = ConnectionId(1);
const DIRECT: ConnectionId = ConnectionId(9);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(address: &str) -> Multiaddr {
    address.parse().unwrap()
}

/// Peers of small numbers have small ids.
fn peer(n: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, n]).unwrap()
}

/// We, the other one, and where others see both.
const US: u8 = 5;
const THEM: u8 = 6;

fn ours() -> Multiaddr {
    at("/ip4/11.0.0.2/tcp/4001")
}

fn inside() -> Multiaddr {
    at("/ip4/10.0.0.2/tcp/4001")
}

fn theirs() -> Multiaddr {
    at("/ip4/11.0.0.3/tcp/4001")
}

fn circuit(with: u8) -> Multiaddr {
    at("/ip4/11.0.0.9/tcp/4001")
        .with_peer_id(peer(99))
        .unwrap()
        .encapsulate(&at("/p2p-circuit"))
        .unwrap()
        .with_peer_id(peer(with))
        .unwrap()
}

/// A coordinator and its clock.
struct Lab {
    machine: Coordinator,
    now: Time,
    events: Vec<Event>,
    with: u8,
}

impl Lab {
    /// One that knows its own address, and no peer.
    fn new(change: impl FnOnce(&mut Config)) -> Lab {
        let mut config = Config::default();
        change(&mut config);
        let machine = Coordinator::new(config, peer(US), &Seed::new([7; 32]));
        let mut lab = Lab { machine, now: Time::ZERO, events: Vec::new(), with: THEM };
        let own = Candidate { address: ours(), source: Source::Observed, local: Some(inside()) };
        assert_eq!(lab.tell(Input::Own(&[own])), []);
        lab
    }

    /// With a circuit that came to us (B), or that we made. Its round trip was measured.
    fn on_circuit(inbound: bool) -> Lab {
        let mut lab = Lab::new(|_| ());
        assert_eq!(lab.connect(CIRCUIT, true, inbound), []);
        assert_eq!(lab.tell(Input::Rtt { connection: CIRCUIT, rtt: RTT }), []);
        lab
    }

    fn try_tell(&mut self, input: Input<'_>) -> Result<Vec<Action>, Misuse> {
        self.machine.handle(self.now, input)?;
        Ok(self.poll())
    }

    fn tell(&mut self, input: Input<'_>) -> Vec<Action> {
        self.try_tell(input).unwrap()
    }

    fn poll(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(action) = self.machine.poll() {
            match action {
                Action::Event(event) => self.events.push(event),
                action => actions.push(action),
            }
            assert!(actions.len() < 1000, "actions without end");
        }
        actions
    }

    /// Time passes; what comes at each deadline on the way.
    fn wait(&mut self, time: Duration) -> Vec<Action> {
        let (end, mut actions) = (self.now + time, Vec::new());
        while self.machine.deadline() <= end {
            self.now = self.now.max(self.machine.deadline());
            self.machine.on_timeout(self.now);
            actions.extend(self.poll());
            assert!(self.machine.deadline() > self.now, "the deadline is over");
        }
        self.now = end;
        actions
    }

    fn connect(&mut self, connection: ConnectionId, relayed: bool, inbound: bool) -> Vec<Action> {
        let remote = if relayed { circuit(self.with) } else { theirs() };
        self.tell(Input::Connected { connection, peer: peer(self.with), relayed, inbound, remote: &remote })
    }

    fn disconnect(&mut self, connection: ConnectionId) -> Vec<Action> {
        self.tell(Input::Disconnected { connection })
    }

    fn identify(&mut self, listens: &[Multiaddr]) -> Vec<Action> {
        self.tell(Input::Identified { peer: peer(self.with), speaks_dcutr: true, listens })
    }

    fn connects(&mut self, ask: u64) -> Vec<Action> {
        self.tell(Input::Connects { ask: AskId(ask), addresses: &[theirs()], skipped: 0, rtt: RTT })
    }

    fn ask_failed(&mut self, ask: u64) -> Vec<Action> {
        self.tell(Input::AskFailed { ask: AskId(ask), why: crate::exchange::Fault::Reset })
    }

    fn asked(&mut self, stream: u64) -> Vec<Action> {
        self.tell(Input::Asked { stream: on(stream), addresses: &[theirs()], skipped: 0 })
    }

    fn synced(&mut self, stream: u64) -> Vec<Action> {
        self.tell(Input::Synced { stream: on(stream), rtt: RTT })
    }

    fn failed(&mut self, dial: u64, why: DialFault) -> Vec<Action> {
        self.tell(Input::DialFailed { dial: DialId(dial), why })
    }

    fn dialed(&mut self, dial: u64) -> Vec<Action> {
        self.try_dialed(dial).unwrap()
    }

    fn try_dialed(&mut self, dial: u64) -> Result<Vec<Action>, Misuse> {
        let (local, remote) = (&inside(), &theirs());
        let role = Role::Initiator;
        self.try_tell(Input::Dialed { dial: DialId(dial), connection: DIRECT, local, remote, role })
    }

    /// B, which has sent `CONNECT`.
    fn waiting() -> Lab {
        let mut lab = Lab::on_circuit(true);
        assert_eq!(lab.identify(&[]), [open(0)]);
        lab
    }

    /// B, whose timer runs.
    fn armed() -> Lab {
        let mut lab = Lab::waiting();
        assert_eq!(lab.connects(0)[..1], [Action::Sync { ask: AskId(0) }]);
        lab
    }

    /// B, which dials.
    fn punching() -> Lab {
        let mut lab = Lab::armed();
        assert_eq!(lab.wait(RTT / 2), [dial(0, listen_first(6))]);
        lab
    }

    /// B, with a direct connection.
    fn settling() -> Lab {
        let mut lab = Lab::punching();
        assert_eq!(lab.dialed(0), []);
        lab
    }

    /// A, which has answered.
    fn awaiting() -> Lab {
        let mut lab = Lab::on_circuit(false);
        assert_eq!(lab.asked(1)[..1], [answer(1)]);
        lab
    }

    /// A, which dials.
    fn punching_as_a() -> Lab {
        let mut lab = Lab::awaiting();
        assert_eq!(lab.synced(1), [dial(0, Plan::Initiate)]);
        lab
    }

    /// Where it is, in words.
    fn stage(&self) -> alloc::string::String {
        use alloc::string::ToString;
        self.machine.explain(self.now, &peer(self.with)).map(|view| view.to_string()).unwrap_or_default()
    }

    #[track_caller]
    fn is_at(&self, words: &str) {
        let stage = self.stage();
        assert!(stage.contains(words), "{stage}");
    }

    fn reports(&self) -> Vec<&Report> {
        let reports = self.events.iter().filter_map(|event| match event {
            Event::Report(report) => Some(&**report),
            _ => None,
        });
        reports.collect()
    }

    /// The only attempt that ended.
    #[track_caller]
    fn report(&self) -> &Report {
        let reports = self.reports();
        assert_eq!(reports.len(), 1, "{reports:?}");
        reports[0]
    }

    #[track_caller]
    fn failed_for(&self, why: &Failure) {
        assert_eq!(self.report().end, End::Failed(why.clone()));
    }

    #[track_caller]
    fn upgraded(&self) {
        assert!(matches!(self.report().end, End::Upgraded { .. }), "{:?}", self.report().end);
    }

    /// Nothing is left but what was learned.
    #[track_caller]
    fn is_over(&mut self) {
        self.wait(secs(120));
        let counts = self.machine.counts();
        let left = (counts.attempts, counts.queued, counts.dials, counts.asks, counts.windows);
        assert_eq!(left, (0, 0, 0, 0, 0), "{counts:?}");
    }
}

fn on(stream: u64) -> StreamKey {
    StreamKey { connection: CIRCUIT, stream }
}

fn open(ask: u64) -> Action {
    Action::Open { ask: AskId(ask), connection: CIRCUIT, addresses: Vec::from([ours()]) }
}

fn answer(stream: u64) -> Action {
    Action::Answer { stream: on(stream), addresses: Vec::from([ours()]) }
}

fn abort(dial: u64) -> Action {
    Action::Abort { dial: DialId(dial) }
}

fn reset(stream: u64, why: super::Refusal) -> Action {
    Action::ResetStream { stream: on(stream), why }
}

/// So many round trips.
fn listen_first(units: u32) -> Plan {
    // The round trip is shorter than the floor of the waits.
    Plan::ListenFirst { wait: millis(100) * units }
}

/// A dial of the punch, to their address, from our port.
fn dial(dial: u64, plan: Plan) -> Action {
    let (peer, address, local, timeout) = (peer(THEM), theirs(), Local::Reuse(inside()), secs(10));
    Action::Dial { dial: DialId(dial), peer, address, local, plan, timeout }
}

/// A plain dial.
fn plain(dial: u64) -> Action {
    let (peer, address, local, timeout) = (peer(THEM), theirs(), Local::Any, secs(10));
    Action::Dial { dial: DialId(dial), peer, address, local, plan: Plan::Initiate, timeout }
}

/// The boxed report of an event, for those who take it apart.
fn into_report(event: Event) -> Option<Box<Report>> {
    if let Event::Report(report) = event { Some(report) } else { None }
}
