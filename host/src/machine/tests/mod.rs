//! The host's decisions, input by input.

mod introductions;
mod laws;
mod mapping;
mod misuse;
mod nat;
mod openings;
mod peers;
mod profile;
mod punching;
mod refusals;
mod relaying;

use super::*;
use crate::identify::{Card, Identity, PUSH, Profile, Reader};
use crate::link::{Fault, OpenFault, Order, Report};
use crate::{By, Direction, ListenerId, OpenFailure, OpenId, OpenOptions, RequestId, StreamId};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use bytes::BytesMut;
use core::time::Duration;
use tidewire_connmgr as connmgr;
use tidewire_connmgr::RefuseReason;
use tidewire_connmgr::dial::{DialFault, DialOptions};
use tidewire_core::{Keypair, Machine, Multiaddr, Role};
use tidewire_multistream::{Protocol, Protocols};
use tidewire_upgrade::muxer::MuxerKind;

const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");

fn keypair(n: u8) -> Keypair {
    Keypair::from_seed(&Seed::new([n; 32]))
}

fn peer(n: u8) -> PeerId {
    keypair(n).peer_id()
}

fn address(n: u8) -> Multiaddr {
    alloc::format!("/ip4/11.0.{n}.1/tcp/4001").parse().unwrap()
}

fn c(n: u64) -> ConnectionId {
    ConnectionId(n)
}

fn established(n: u8, role: Role) -> Report {
    Report::Established { peer: peer(n), role, security: "/noise".into(), muxer: MuxerKind::Yamux }
}

fn stream(n: u64, direction: Direction, open: Option<u64>) -> Report {
    Report::StreamOpened { stream: StreamId(n), direction, protocol: ECHO, open: open.map(OpenId) }
}

fn gone() -> Report {
    Report::Ended { by: By::Network, fault: Fault::Transport, why: "cut".into() }
}

/// What a peer says of itself.
fn said(n: u8, seq: u64, protocols: &[Protocol], addresses: &[Multiaddr]) -> Box<Identity> {
    let (protocols, addresses) = (protocols.to_vec(), addresses.to_vec());
    let profile = Profile { agent: "them/1".into(), seq, protocols, addresses, ..Profile::default() };
    let mut wire = BytesMut::new();
    Card::new(&keypair(n), &profile).unwrap().write(None, &mut wire);
    let mut reader = Reader::new(&crate::identify::Config::default(), peer(n), Time::ZERO);
    reader.end(Time::ZERO, &mut wire, &mut BytesMut::new()).unwrap().unwrap()
}

struct World {
    now: Time,
    host: Host,
}

impl World {
    fn new() -> Self {
        World::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let mut host = Host::new(config, peer(0), &Seed::new([9; 32]), UnixTime::from_secs(1_800_000_000));
        host.on_timeout(Time::ZERO);
        while host.poll().is_some() {}
        World { now: Time::ZERO, host }
    }

    fn tell(&mut self, input: Input) -> Vec<Action> {
        self.host.handle(self.now, input).unwrap();
        self.actions()
    }

    fn actions(&mut self) -> Vec<Action> {
        core::iter::from_fn(|| self.host.poll()).collect()
    }

    fn report(&mut self, connection: u64, report: Report) -> Vec<Action> {
        self.tell(Input::Report { connection: c(connection), report })
    }

    fn pass(&mut self, time: Duration) -> Vec<Action> {
        let end = self.now + time;
        let mut all = Vec::new();
        while self.host.deadline() <= end {
            self.now = self.now.max(self.host.deadline());
            self.host.on_timeout(self.now);
            all.extend(self.actions());
        }
        self.now = end;
        all
    }

    fn incoming(&mut self, connection: u64, n: u8) -> Vec<Action> {
        let (local, remote) = (address(0), address(n));
        self.tell(Input::Incoming { connection: c(connection), local, remote, over: None, asn: None })
    }

    /// A peer has connected to us.
    fn connected(&mut self, connection: u64, n: u8) -> Vec<Action> {
        assert_eq!(self.incoming(connection, n), [Action::Accept { connection: c(connection) }]);
        self.report(connection, established(n, Role::Responder))
    }

    fn open(&mut self, open: u64, n: u8, options: OpenOptions) -> Vec<Action> {
        self.tell(Input::Open { open: OpenId(open), peer: peer(n), protocols: Protocols::from(ECHO), options })
    }

    /// Wants a connection at this address, and says under which name it is dialed.
    fn dial(&mut self, request: u64, n: u8) -> DialId {
        let (request, options) = (RequestId(request), DialOptions::default());
        let actions = self.tell(Input::Connect { request, peer: peer(n), addresses: vec![address(n)], options });
        match actions[..] {
            [Action::Dial { dial, .. }] => dial,
            ref other => panic!("{other:?}"),
        }
    }

    fn dialed(&mut self, dial: DialId, connection: u64, n: u8) -> Vec<Action> {
        let (local, remote) = (address(0), address(n));
        self.tell(Input::Dialed { dial, connection: c(connection), local, remote })
    }
}

fn order(connection: u64, order: Order) -> Action {
    Action::Order { connection: c(connection), order }
}

fn failed(open: u64, n: u8, why: OpenFailure) -> Action {
    Action::Event(Event::OpenFailed { open: OpenId(open), peer: peer(n), why })
}
