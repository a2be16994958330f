//! A mapper, a router that says anything at any time, and what must be true then. The property test and the fuzzer drive it.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use tidewire_core::{EventMachine, Seed, Time};
use tidewire_portmap::wire::{NatPmpCode, PcpCode, ROUTER_PORT, Request, Response};
use tidewire_portmap::{
    Action, Event, Gateway, Input, Mapper, MapperConfig, MappingId, MappingState, Misuse, Transport,
};

pub(crate) struct World {
    mapper: Mapper,
    now: Time,
    gateway: Option<IpAddr>,
    /// What was asked last, and all that was ever asked in PCP.
    asked: Option<Request>,
    nonces: BTreeSet<[u8; 12]>,
    /// What it said that it holds, and until when.
    held: BTreeMap<MappingId, (SocketAddr, Time)>,
    wanted: BTreeSet<MappingId>,
    max_mappings: usize,
    shut_down: bool,
    /// Datagrams since the last word from outside or timeout: a mapper says one thing at a time.
    burst: u32,
}

/// Gateways: two of IPv4, one of IPv6.
const ROUTERS: [&str; 3] = ["192.168.1.1", "10.0.0.1", "fe80::1"];
const LIFETIMES: [u32; 6] = [0, 1, 30, 600, 7200, u32::MAX];

impl World {
    pub(crate) fn new(config: [u8; 4]) -> Self {
        let mut numbers = MapperConfig::default();
        numbers.max_mappings = usize::from(config[0] % 4) + 1;
        numbers.pcp_tries = u32::from(config[1] % 5);
        numbers.nat_pmp_tries = u32::from(config[2] % 10);
        let max_mappings = numbers.max_mappings;
        World {
            mapper: Mapper::new(numbers, &Seed::new([config[3]; 32])),
            now: Time::ZERO,
            gateway: None,
            asked: None,
            nonces: BTreeSet::new(),
            held: BTreeMap::new(),
            wanted: BTreeSet::new(),
            max_mappings,
            shut_down: false,
            burst: 0,
        }
    }

    pub(crate) fn step(&mut self, [what, a, b, c]: [u8; 4]) {
        let mapping = MappingId(u64::from(a % 6));
        match what % 12 {
            0 => {
                let address: Option<IpAddr> = ROUTERS.get(usize::from(a % 4)).map(|ip| ip.parse().unwrap());
                let local: IpAddr =
                    if a % 4 == 2 { "fe80::7".parse().unwrap() } else { "192.168.1.7".parse().unwrap() };
                self.gateway = address;
                self.tell(Input::Gateway(address.map(|address| Gateway { address, local }))).unwrap();
            }
            1 | 2 => {
                let transport = if b % 2 == 0 { Transport::Tcp } else { Transport::Udp };
                let (port, suggested) = (4000 + u16::from(b % 8), (c % 2 == 0).then(|| u16::from(c)));
                match self.tell(Input::Map { mapping, transport, port, suggested }) {
                    Ok(()) => assert!(self.wanted.insert(mapping) && self.wanted.len() <= self.max_mappings),
                    Err(Misuse::ShutDown) => assert!(self.shut_down),
                    Err(Misuse::MappingExists(id)) => assert!(self.wanted.contains(&id)),
                    Err(Misuse::TooMany { .. }) => assert_eq!(self.wanted.len(), self.max_mappings),
                    Err(Misuse::PortTaken { by, .. }) => assert!(self.wanted.contains(&by)),
                    Err(other) => panic!("{other}"),
                }
            }
            3 => self.tell(Input::Unmap { mapping }).unwrap(),
            4..=7 => self.answer(a, b, c),
            8 => self.hear(&Response::NatPmpExternal {
                code: NatPmpCode(u16::from(a % 7)),
                epoch: self.epoch(b),
                external: Ipv4Addr::new(192, 0, 2, c % 4),
            }),
            9 => self.hear(&Response::Pcp {
                version: 1 + a % 2,
                opcode: a / 2 % 2,
                code: PcpCode(c % 15),
                lifetime: 60,
                epoch: self.epoch(b),
            }),
            10 if what > 250 => {
                self.shut_down = true;
                self.tell(Input::Shutdown).unwrap();
            }
            10 => self.hear_bytes(&[a % 3, b | 0x80, c, 0, 0, 0, 0, 1, 192, 0, 2, 1]),
            _ => self.wait(Duration::from_millis(u64::from(a) * u64::from(a) * (1 + u64::from(b % 64)))),
        }
        self.check();
    }

    /// All is given back to a router that says nothing more.
    pub(crate) fn finish(&mut self) {
        self.tell(Input::Shutdown).unwrap();
        self.wait(Duration::from_secs(40_000));
        assert!(self.mapper.is_over(), "{:?}", self.mapper);
        assert!(self.held.is_empty() && self.wanted.is_empty());
        assert_eq!(self.mapper.deadline(), Time::NEVER);
    }

    /// An answer to what was asked last, right or wrong.
    fn answer(&mut self, a: u8, b: u8, c: u8) {
        let lifetime = LIFETIMES[usize::from(b % 6)];
        let code = if a < 200 { 0 } else { a % 15 };
        let epoch = self.epoch(c);
        let response = match self.asked.clone() {
            None => return,
            Some(Request::NatPmpExternal) => Response::NatPmpExternal {
                code: NatPmpCode(u16::from(code)),
                epoch,
                external: Ipv4Addr::new(192, 0, 2, b % 3),
            },
            Some(Request::NatPmpMap { transport, internal, .. }) => {
                let (code, external) = (NatPmpCode(u16::from(code)), u16::from(b));
                Response::NatPmpMap { transport, code, epoch, internal, external, lifetime }
            }
            Some(Request::PcpMap { nonce, transport, internal, .. }) => {
                let external = SocketAddr::new(IpAddr::from([192, 0, 2, c % 3]), u16::from(b));
                Response::PcpMap { code: PcpCode(code), lifetime, epoch, nonce, transport, internal, external }
            }
        };
        self.hear(&response);
    }

    /// A count that grows as the clock does, or one that doesn't.
    fn epoch(&self, c: u8) -> u32 {
        let seconds = u32::try_from(self.now.as_nanos() / 1_000_000_000).unwrap_or(u32::MAX);
        if c < 200 { seconds } else { u32::from(c) }
    }

    fn hear(&mut self, response: &Response) {
        self.hear_bytes(&response.encode());
    }

    fn hear_bytes(&mut self, datagram: &[u8]) {
        let Some(router) = self.gateway else { return };
        let from = SocketAddr::new(router, ROUTER_PORT);
        self.tell(Input::Datagram { from, datagram }).unwrap();
    }

    fn tell(&mut self, input: Input<'_>) -> Result<(), Misuse> {
        self.burst = 0;
        let done = self.mapper.handle(self.now, input);
        self.drain();
        done
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        let mut steps = 0_u64;
        while self.mapper.deadline() <= until {
            self.now = self.now.max(self.mapper.deadline());
            self.burst = 0;
            self.mapper.on_timeout(self.now);
            self.drain();
            steps += 1;
            assert!(steps < 100 + time.as_secs() * 8, "it spins: {:?}", self.mapper);
        }
        self.now = until;
        self.mapper.on_timeout(until);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.mapper.poll() {
            match action {
                Action::Send { to, datagram } => {
                    assert_eq!(Some(to.ip()), self.gateway);
                    self.burst += 1;
                    assert!(self.burst <= 1, "one question at a time");
                    let request = Request::decode(&datagram).unwrap();
                    if let Request::PcpMap { nonce, .. } = request {
                        self.nonces.insert(nonce);
                    }
                    self.asked = Some(request);
                }
                Action::Event(event) => self.hear_of(&event),
                _ => {}
            }
        }
    }

    fn hear_of(&mut self, event: &Event) {
        match *event {
            Event::Mapped { mapping, external, lifetime, .. } => {
                assert!(self.gateway.is_some() && external.port() != 0 && !external.ip().is_unspecified());
                assert!(!lifetime.is_zero() && lifetime <= Duration::from_secs(86_400));
                assert!(self.wanted.contains(&mapping));
                let before = self.held.insert(mapping, (external, self.now + lifetime));
                assert!(before.is_none_or(|(before, _)| before != external), "nothing new");
            }
            Event::Renewed { mapping, lifetime } => {
                let (_, until) = self.held.get_mut(&mapping).unwrap();
                *until = self.now + lifetime;
            }
            Event::Lost { mapping, external, .. } => {
                assert_eq!(self.held.remove(&mapping).map(|(external, _)| external), Some(external));
            }
            Event::Unmapped { mapping, .. } => {
                assert!(self.wanted.remove(&mapping));
                self.held.remove(&mapping);
            }
            Event::Failed { mapping, again, .. } => {
                assert!(self.wanted.contains(&mapping));
                assert!(again <= Duration::from_secs(86_400), "{again:?}");
            }
            _ => {}
        }
    }

    fn check(&self) {
        let views: Vec<_> = self.mapper.view(self.now).collect();
        assert_eq!(views.iter().map(|view| view.mapping).collect::<BTreeSet<_>>(), self.wanted);
        for view in views {
            match view.state {
                MappingState::Held { external, .. } => {
                    let (said, until) = self.held[&view.mapping];
                    assert_eq!(said, external);
                    assert!(until > self.now, "it is over");
                }
                MappingState::Leaving => {}
                _ => assert!(!self.held.contains_key(&view.mapping)),
            }
            assert!(!view.to_string().is_empty());
        }
        assert!(self.nonces.len() <= 1000, "a nonce for each mapping");
        assert!(self.mapper.memory_used() < 100_000);
    }
}
