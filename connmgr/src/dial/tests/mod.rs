//! The dialer as a whole: whom it dials when, and what the callers are told.

mod addresses;
mod caps;
mod jobs;
mod laws;
mod times;

use super::*;
use crate::{ConnectionId, DialId, RequestId};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{EventMachine, Multiaddr, PeerId, Seed, Time};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Three public addresses over TCP, dialed 250 ms after one another but for the last two, and one over QUIC that goes first.
const TCP: &str = "/ip4/11.0.0.1/tcp/4001";
const TCP_2: &str = "/ip4/11.0.0.1/tcp/4002";
const TCP_3: &str = "/ip4/11.0.0.1/tcp/4003";
const QUIC: &str = "/ip4/11.0.0.1/udp/4001/quic-v1";
/// On this site: steps of 30 ms, and 5 s for an answer.
const LAN: &str = "/ip4/192.168.1.7/tcp/4001";

/// The peer of this number. We are number 0.
fn peer(n: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, n]).unwrap()
}

fn at(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn relayed() -> Multiaddr {
    format!("/ip4/11.0.0.9/tcp/4001/p2p/{}/p2p-circuit", peer(9)).parse().unwrap()
}

fn plain() -> DialOptions {
    DialOptions::default()
}

fn direct_only() -> DialOptions {
    DialOptions { direct_only: true, ..plain() }
}

fn forced() -> DialOptions {
    DialOptions { forced: true, ..plain() }
}

fn refused() -> DialFault {
    DialFault::Transport("connection refused".into())
}

/// Without jitter, so that a test can tell the time.
fn config() -> DialConfig {
    DialConfig { backoff_jitter: 0, ..DialConfig::default() }
}

struct World {
    dialer: Dialer,
    now: Time,
}

impl World {
    fn new(config: DialConfig) -> World {
        World { dialer: Dialer::new(config, peer(0), &Seed::new([5; 32])), now: Time::ZERO }
    }

    /// Tells it, and gives what it says.
    fn tell(&mut self, input: DialInput<'_>) -> Vec<DialAction> {
        self.dialer.handle(self.now, input).unwrap();
        self.actions()
    }

    fn misuse(&mut self, input: DialInput<'_>) -> DialMisuse {
        let (counts, deadline) = (self.dialer.counts(), self.dialer.deadline());
        let misuse = self.dialer.handle(self.now, input).unwrap_err();
        assert_eq!(self.actions(), [], "a misuse says nothing");
        assert_eq!((self.dialer.counts(), self.dialer.deadline()), (counts, deadline), "a misuse changes nothing");
        misuse
    }

    fn actions(&mut self) -> Vec<DialAction> {
        core::iter::from_fn(|| self.dialer.poll()).collect()
    }

    /// A wish; gives what is said.
    fn wish(&mut self, request: u64, to: u8, addresses: &[&str], options: DialOptions) -> Vec<DialAction> {
        let addresses: Vec<_> = addresses.iter().map(|text| at(text)).collect();
        self.tell(DialInput::Dial { request: RequestId(request), peer: peer(to), addresses: &addresses, options })
    }

    fn established(&mut self, dial: DialId, connection: u64, direct: bool) -> Vec<DialAction> {
        self.tell(DialInput::Established { dial, connection: ConnectionId(connection), direct })
    }

    fn connected(&mut self, to: u8, connection: u64, direct: bool) -> Vec<DialAction> {
        self.tell(DialInput::Connected { peer: peer(to), connection: ConnectionId(connection), direct })
    }

    fn fail(&mut self, dial: DialId) -> Vec<DialAction> {
        self.tell(DialInput::Failed { dial, fault: refused() })
    }

    fn cancel(&mut self, request: u64) -> Vec<DialAction> {
        self.tell(DialInput::Cancel { request: RequestId(request) })
    }

    /// Time passes, from deadline to deadline; each action with the milliseconds at which it came.
    fn wait(&mut self, time: Duration) -> Vec<(u128, DialAction)> {
        let end = self.now + time;
        let mut all = Vec::new();
        while self.dialer.deadline() <= end {
            assert!(self.dialer.deadline() >= self.now, "a deadline in the past");
            self.now = self.dialer.deadline();
            all.extend(self.timeout().into_iter().map(|action| (self.millis(), action)));
        }
        self.now = end;
        all
    }

    /// Time passes, and nobody calls before its end.
    fn oversleep(&mut self, time: Duration) -> Vec<DialAction> {
        self.now = self.now + time;
        self.timeout()
    }

    fn timeout(&mut self) -> Vec<DialAction> {
        self.dialer.on_timeout(self.now);
        assert!(self.dialer.deadline() > self.now, "the deadline stands still");
        self.actions()
    }

    fn millis(&self) -> u128 {
        self.now.since(Time::ZERO).as_millis()
    }

    /// Nothing is in hand, and nothing is held but what was learnt.
    fn idle(&self) {
        assert_eq!(self.dialer.counts(), DialCounts::default());
        assert!(self.dialer.deadline().is_never());
    }
}

/// An action in short: `d0 /ip4/...`, `abort d0`, `r1 -> c5`, `r1 failed`.
fn short(action: &DialAction) -> String {
    match action {
        DialAction::Dial { dial, address, .. } => format!("{dial} {address}"),
        DialAction::Abort { dial, .. } => format!("abort {dial}"),
        DialAction::Answered { request, connection, .. } => format!("{request} -> {connection}"),
        DialAction::Failed { request, .. } => format!("{request} failed"),
    }
}

fn shorts(actions: &[DialAction]) -> Vec<String> {
    actions.iter().map(short).collect()
}

/// The same with its moment in milliseconds before it.
fn timed(actions: &[(u128, DialAction)]) -> Vec<String> {
    actions.iter().map(|(millis, action)| format!("{millis} {}", short(action))).collect()
}

/// The only report among the actions.
fn report(actions: &[DialAction]) -> &DialReport {
    let mut reports = actions.iter().filter_map(|action| match action {
        DialAction::Failed { report, .. } => Some(&**report),
        _ => None,
    });
    let (Some(report), None) = (reports.next(), reports.next()) else { panic!("{actions:?}") };
    report
}

/// What came of each address of the only report, in the order of the report.
fn outcomes(actions: &[DialAction]) -> Vec<(String, Outcome)> {
    report(actions).addresses.iter().map(|row| (row.address.to_string(), row.outcome.clone())).collect()
}

fn outcome(address: &str, outcome: Outcome) -> (String, Outcome) {
    (at(address).to_string(), outcome)
}
