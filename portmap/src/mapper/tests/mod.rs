//! A mapper and a router to ask: what is asked, and what becomes of it.

mod laws;
mod router;
mod trouble;

use super::*;
use crate::wire::{NatPmpCode, PcpCode, ROUTER_PORT, Request, Response};
use alloc::string::ToString;
use alloc::vec;
use core::net::{IpAddr, SocketAddr};
use router::{Router, Speaks};

const TCP: MappingId = MappingId(1);
const UDP: MappingId = MappingId(2);

fn gateway() -> Gateway {
    Gateway { address: IpAddr::from([192, 168, 1, 1]), local: IpAddr::from([192, 168, 1, 7]) }
}

fn router_address() -> SocketAddr {
    SocketAddr::new(gateway().address, ROUTER_PORT)
}

/// A mapper and its router, and the time that passes for both.
struct World {
    mapper: Mapper,
    router: Router,
    now: Time,
    asked: Vec<(Time, Request)>,
    events: Vec<(Time, Event)>,
}

impl World {
    fn new(speaks: Speaks) -> Self {
        Self::with(MapperConfig::default(), speaks)
    }

    fn with(config: MapperConfig, speaks: Speaks) -> Self {
        let mut world = World {
            mapper: Mapper::new(config, &Seed::new([3; 32])),
            router: Router::new(speaks),
            now: Time::ZERO,
            asked: vec![],
            events: vec![],
        };
        world.tell(Input::Gateway(Some(gateway())));
        world
    }

    fn map(&mut self, mapping: MappingId) {
        let transport = if mapping == UDP { Transport::Udp } else { Transport::Tcp };
        self.tell(Input::Map { mapping, transport, port: 4001, suggested: None });
    }

    fn tell(&mut self, input: Input<'_>) {
        self.mapper.handle(self.now, input).unwrap();
        self.drain();
    }

    fn hear(&mut self, response: &Response) {
        self.tell(Input::Datagram { from: router_address(), datagram: &response.encode() });
    }

    /// Carries out what there is, and lets the router answer at once.
    fn drain(&mut self) {
        while let Some(action) = self.mapper.poll() {
            match action {
                Action::Send { to, datagram } => {
                    assert_eq!(to, router_address());
                    let request = Request::decode(&datagram).unwrap();
                    self.asked.push((self.now, request));
                    for answer in self.router.answer(self.now, &datagram) {
                        self.mapper.handle(self.now, Input::Datagram { from: to, datagram: &answer }).unwrap();
                    }
                }
                Action::Event(event) => self.events.push((self.now, event)),
            }
        }
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        let mut steps = 0;
        while self.mapper.deadline() <= until {
            steps += 1;
            assert!(steps < 100_000, "it spins: {:?}", self.mapper);
            self.now = self.now.max(self.mapper.deadline());
            self.mapper.on_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    fn events(&mut self) -> Vec<Event> {
        self.events.drain(..).map(|(_, event)| event).collect()
    }

    fn external(&self, mapping: MappingId) -> Option<SocketAddr> {
        match self.mapper.explain(self.now, mapping)?.state {
            MappingState::Held { external, .. } => Some(external),
            _ => None,
        }
    }

    fn says(&self, mapping: MappingId) -> alloc::string::String {
        self.mapper.explain(self.now, mapping).unwrap().to_string()
    }
}

#[test]
fn a_port_is_mapped_by_whichever_protocol_the_router_speaks() {
    for (speaks, by) in [
        (Speaks::Pcp, Protocol::Pcp),
        (Speaks::Both, Protocol::Pcp),
        (Speaks::NatPmp, Protocol::NatPmp),
        (Speaks::SilentNatPmp, Protocol::NatPmp),
    ] {
        let mut world = World::new(speaks);
        world.map(TCP);
        world.run_for(Duration::from_secs(2));
        let external: SocketAddr = "192.0.2.33:4001".parse().unwrap();
        let lifetime = Duration::from_secs(7200);
        let mapped = Event::Mapped { mapping: TCP, transport: Transport::Tcp, port: 4001, external, lifetime, by };
        assert_eq!(world.events(), [mapped], "{speaks:?}");
        assert_eq!(world.mapper.protocol(), Some(by));
        assert!(world.says(TCP).starts_with("TCP port 4001 is 192.0.2.33:4001 outside, to be renewed in "));
        let waited = world.asked.last().unwrap().0;
        assert!(waited <= Time::from_millis(250), "{speaks:?}: {waited:?}");
    }
}

#[test]
fn a_mapping_is_renewed_between_a_half_and_five_eighths_of_its_time_for_ever() {
    for speaks in [Speaks::Pcp, Speaks::NatPmp] {
        let mut world = World::new(speaks);
        world.map(TCP);
        world.run_for(Duration::from_secs(7 * 86_400));
        let mut before = None;
        let mut renewals = 0;
        for (at, event) in core::mem::take(&mut world.events) {
            match event {
                Event::Mapped { .. } => assert_eq!(before, None),
                Event::Renewed { .. } => {
                    let waited = at.since(before.unwrap()).as_secs();
                    assert!((3600..=4501).contains(&waited), "{waited}");
                    renewals += 1;
                }
                other => panic!("{other:?}"),
            }
            before = Some(at);
        }
        assert!((134..=168).contains(&renewals), "{renewals}");
    }
}

#[test]
fn what_is_no_longer_wanted_is_given_back_with_a_lifetime_of_0() {
    for speaks in [Speaks::Pcp, Speaks::NatPmp] {
        let mut world = World::new(speaks);
        world.map(TCP);
        world.map(UDP);
        world.run_for(Duration::from_secs(10));
        assert_eq!(world.router.len(), 2);
        world.events.clear();
        world.tell(Input::Unmap { mapping: TCP });
        assert_eq!(world.events(), [Event::Unmapped { mapping: TCP, told: true }]);
        assert_eq!(world.router.len(), 1);
        match world.asked.last().unwrap().1 {
            Request::PcpMap { lifetime, .. } => assert_eq!(lifetime, 0),
            Request::NatPmpMap { lifetime, suggested, .. } => assert_eq!((lifetime, suggested), (0, 0)),
            Request::NatPmpExternal => panic!("not a mapping"),
        }
        world.tell(Input::Unmap { mapping: TCP });
        assert_eq!(world.events(), [], "idempotent");
        world.map(TCP);
        world.tell(Input::Shutdown);
        assert_eq!(world.router.len(), 0);
        assert!(world.mapper.is_over());
        assert_eq!(world.mapper.deadline(), Time::NEVER);
    }
}

#[test]
fn one_question_is_under_way_at_a_time() {
    let mut world = World::new(Speaks::Nothing);
    for (n, port) in (1..).zip(4001..4006) {
        world.tell(Input::Map { mapping: MappingId(n), transport: Transport::Tcp, port, suggested: None });
    }
    world.run_for(Duration::from_secs(60));
    let ports = world.asked.iter().filter_map(|(_, request)| match request {
        Request::PcpMap { internal, .. } => Some(*internal),
        _ => None,
    });
    assert!(ports.clone().count() > 3);
    assert!(ports.clone().all(|port| port == 4001), "{:?}", ports.collect::<Vec<_>>());
}

#[test]
fn misuse_changes_nothing_and_says_what_is_wrong() {
    let config = MapperConfig { max_mappings: 2, max_unpolled: 3, ..MapperConfig::default() };
    let mut world = World::with(config, Speaks::Pcp);
    world.now = Time::from_millis(10);
    world.map(TCP);
    let map = |mapping, port| Input::Map { mapping, transport: Transport::Tcp, port, suggested: None };
    let now = world.now;
    let mut refused = |input, misuse: Misuse, words: &str| {
        let before = alloc::format!("{:?}", world.mapper);
        assert_eq!(world.mapper.handle(now, input), Err(misuse));
        assert_eq!(alloc::format!("{:?}", world.mapper), before);
        assert_eq!(misuse.to_string(), words);
    };
    refused(map(TCP, 5), Misuse::MappingExists(TCP), "m1 is mapped already");
    let taken = Misuse::PortTaken { transport: Transport::Tcp, port: 4001, by: TCP };
    refused(map(UDP, 4001), taken, "TCP port 4001 is mapped already, as m1");
    refused(map(UDP, 0), Misuse::NoPort, "port 0 can't be mapped");
    world.map(UDP);
    let too_many = Misuse::TooMany { limit: 2 };
    assert_eq!(world.mapper.handle(now, map(MappingId(3), 9)), Err(too_many));
    let back = world.mapper.handle(Time::ZERO, Input::Shutdown);
    assert_eq!(back, Err(Misuse::TimeWentBack { now: Time::ZERO, last: now }));
    world.tell(Input::Shutdown);
    assert_eq!(world.mapper.handle(now, map(MappingId(3), 9)), Err(Misuse::ShutDown));
}

#[test]
fn each_end_is_told_in_words() {
    let gateway = gateway().address;
    let words = [
        (
            Refusal::NoAnswer { gateway }.to_string(),
            "the router 192.168.1.1 does not answer: port mapping (PCP, NAT-PMP) may be switched off there",
        ),
        (Refusal::Pcp(PcpCode::NOT_AUTHORIZED).to_string(), "the router says by PCP: it is not allowed (2)"),
        (Refusal::Pcp(PcpCode(77)).to_string(), "the router says by PCP: an unknown error (77)"),
        (
            Refusal::NatPmp(NatPmpCode::NETWORK_FAILURE).to_string(),
            "the router says by NAT-PMP: its own network is down (3)",
        ),
        (Lost::Expired.to_string(), "it was not renewed in time"),
    ];
    for (said, expected) in words {
        assert_eq!(said, expected);
    }
}

#[test]
fn a_renewal_suggests_what_was_given() {
    for speaks in [Speaks::Pcp, Speaks::NatPmp] {
        let mut world = World::new(speaks);
        world.tell(Input::Map { mapping: TCP, transport: Transport::Tcp, port: 4001, suggested: Some(443) });
        world.run_for(Duration::from_secs(5000));
        world.tell(Input::Unmap { mapping: TCP });
        let mut nonces = alloc::collections::BTreeSet::new();
        let suggested: Vec<u16> = world
            .asked
            .iter()
            .filter_map(|(_, request)| match request {
                Request::PcpMap { nonce, suggested, .. } if speaks == Speaks::Pcp => {
                    nonces.insert(*nonce);
                    Some(suggested.port())
                }
                Request::NatPmpMap { suggested, .. } => Some(*suggested),
                _ => None,
            })
            .collect();
        assert_eq!(suggested, [443, 443, 0], "{speaks:?}");
        assert!(nonces.len() <= 1);
    }
}
