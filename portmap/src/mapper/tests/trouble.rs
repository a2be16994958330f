//! Routers that say no, restart, change, or say nothing.

use super::*;
use core::net::Ipv4Addr;

#[test]
fn nobody_answers_is_said_after_a_minute_and_a_half_and_tried_again_ever_more_rarely() {
    let mut world = World::new(Speaks::Nothing);
    world.map(TCP);
    world.run_for(Duration::from_secs(110));
    let [(at, Event::Failed { mapping: TCP, why, again })] = world.events[..] else { panic!("{:?}", world.events) };
    assert_eq!(why, Refusal::NoAnswer { gateway: gateway().address });
    assert!((80..110).contains(&at.since(Time::ZERO).as_secs()), "{at:?}");
    assert!((60..=75).contains(&again.as_secs()), "{again:?}");
    assert_eq!(world.asked.len(), 10, "by turns");
    assert!(world.says(TCP).contains("after 1 tries that came to nothing"), "{}", world.says(TCP));
    world.run_for(Duration::from_secs(86_400));
    let pauses: Vec<u64> = world
        .events()
        .iter()
        .map(|event| match event {
            Event::Failed { again, .. } => again.as_secs(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(pauses.windows(2).all(|pair| pair[1] + 450 >= pair[0]), "{pauses:?}");
    assert_eq!(pauses.last(), Some(&1800));
    // And once there is somebody, it is there.
    world.router.speaks = Speaks::NatPmp;
    world.run_for(Duration::from_secs(1900));
    assert!(world.external(TCP).is_some());
}

#[test]
fn a_router_that_speaks_neither_is_told_from_one_that_is_silent() {
    let mut world = World::new(Speaks::Neither);
    world.map(TCP);
    world.run_for(Duration::from_secs(5));
    assert!(matches!(world.events()[..], [Event::Failed { why: Refusal::NoProtocol, .. }]));
    assert_eq!(world.asked.len(), 2);
}

#[test]
fn an_error_is_told_and_heeded_as_long_as_the_router_says() {
    let mut world = World::new(Speaks::Pcp);
    world.router.refuses = Some(8);
    world.map(TCP);
    let again = Duration::from_secs(120);
    let full = Refusal::Pcp(PcpCode::NO_RESOURCES);
    assert_eq!(world.events(), [Event::Failed { mapping: TCP, why: full, again }]);
    world.run_for(Duration::from_secs(119));
    assert_eq!(world.asked.len(), 1);
    world.router.refuses = None;
    world.run_for(Duration::from_secs(2));
    assert!(world.external(TCP).is_some());

    let mut world = World::new(Speaks::NatPmp);
    world.router.refuses = Some(2);
    world.map(TCP);
    let refused = Refusal::NatPmp(NatPmpCode::NOT_AUTHORIZED);
    assert!(matches!(world.events()[..], [Event::Failed { why, .. }] if why == refused));
}

#[test]
fn a_renewal_that_is_refused_or_unanswered_keeps_the_mapping_until_its_time_is_over() {
    for trouble in [Speaks::Nothing, Speaks::Pcp] {
        let mut world = World::new(Speaks::Pcp);
        world.map(TCP);
        world.events.clear();
        world.router.speaks = trouble;
        world.router.refuses = Some(7);
        world.run_for(Duration::from_secs(7199));
        assert!(world.external(TCP).is_some());
        let failed = world.events();
        assert!(failed.len() >= 3, "{failed:?}");
        assert!(failed.iter().all(|event| matches!(event, Event::Failed { .. })), "{failed:?}");
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.external(TCP), None);
        assert!(matches!(world.events()[..], [Event::Lost { why: Lost::Expired, .. }, ..]));
        world.router.speaks = Speaks::Pcp;
        world.router.refuses = None;
        world.run_for(Duration::from_secs(1900));
        assert!(world.external(TCP).is_some(), "{}", world.says(TCP));
    }
}

#[test]
fn tries_to_renew_come_ever_closer_and_never_within_4_seconds() {
    let mut world = World::new(Speaks::Pcp);
    world.map(TCP);
    world.router.refuses = Some(7);
    world.run_for(Duration::from_secs(7190));
    let at: Vec<u64> = world.asked.iter().map(|(at, _)| at.since(Time::ZERO).as_secs()).collect();
    assert!((3600..=4501).contains(&at[1]) && (5400..=6300).contains(&at[2]), "{at:?}");
    assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= 4), "{at:?}");
}

#[test]
fn a_router_that_lost_its_memory_is_asked_again_as_soon_as_that_shows() {
    for speaks in [Speaks::Pcp, Speaks::NatPmp] {
        let mut world = World::new(speaks);
        world.map(TCP);
        world.run_for(Duration::from_secs(1000));
        world.events.clear();
        world.router.restart(world.now);
        assert_eq!(world.router.len(), 0);
        // Another port is asked for: its answer shows it.
        world.map(UDP);
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.router.len(), 2, "{speaks:?}");
        let events = world.events();
        assert!(events.contains(&Event::Restarted { gateway: gateway().address }), "{events:?}");
        assert!(events.iter().any(|event| matches!(event, Event::Renewed { mapping: TCP, .. })), "{events:?}");
    }
}

#[test]
fn a_restart_that_is_announced_is_answered_within_5_seconds() {
    for speaks in [Speaks::Pcp, Speaks::NatPmp] {
        let mut world = World::new(speaks);
        world.map(TCP);
        world.run_for(Duration::from_secs(1000));
        world.router.restart(world.now);
        let external = world.router.external;
        world.hear(&match speaks {
            Speaks::Pcp => Response::Pcp { version: 2, opcode: 0, code: PcpCode::SUCCESS, lifetime: 0, epoch: 0 },
            _ => Response::NatPmpExternal { code: NatPmpCode::SUCCESS, epoch: 0, external },
        });
        world.run_for(Duration::from_secs(5));
        assert_eq!(world.router.len(), 1, "{speaks:?}");
    }
}

#[test]
fn another_address_outside_is_told() {
    for speaks in [Speaks::Pcp, Speaks::NatPmp] {
        let mut world = World::new(speaks);
        world.map(TCP);
        world.events.clear();
        world.router.external = Ipv4Addr::new(198, 51, 100, 9);
        world.run_for(Duration::from_secs(4600));
        let events = world.events();
        let moved =
            |event: &Event| matches!(event, Event::Mapped { external, .. } if external.ip() == world.router.external);
        assert_eq!(events.iter().filter(|event| moved(event)).count(), 1, "{speaks:?} {events:?}");
    }
}

#[test]
fn an_address_that_is_announced_is_taken_over_within_5_seconds() {
    let mut world = World::new(Speaks::NatPmp);
    world.map(TCP);
    world.events.clear();
    let external = Ipv4Addr::new(198, 51, 100, 9);
    world.router.external = external;
    world.hear(&Response::NatPmpExternal { code: NatPmpCode::SUCCESS, epoch: 0, external });
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.external(TCP), Some((external, 4001).into()));
}

#[test]
fn with_another_router_everything_begins_anew() {
    let mut world = World::new(Speaks::Pcp);
    world.map(TCP);
    let before = world.external(TCP).unwrap();
    world.events.clear();
    world.tell(Input::Gateway(None));
    let lost = Event::Lost { mapping: TCP, external: before, why: Lost::GatewayChanged };
    assert_eq!(world.events(), [lost]);
    assert_eq!(world.mapper.deadline(), Time::NEVER);
    assert_eq!(world.says(TCP), "TCP port 4001 waits for a router");
    world.router = Router::new(Speaks::NatPmp);
    world.tell(Input::Gateway(Some(gateway())));
    assert!(world.external(TCP).is_some());
    assert_eq!(world.mapper.protocol(), Some(Protocol::NatPmp));
    world.tell(Input::Gateway(Some(gateway())));
    assert_eq!(world.events().len(), 1, "the same one again changes nothing");
}

#[test]
fn only_the_router_is_listened_to() {
    let mut world = World::new(Speaks::Nothing);
    world.map(TCP);
    let Request::PcpMap { nonce, .. } = world.asked[0].1 else { panic!() };
    let external = "192.0.2.66:4001".parse().unwrap();
    let answer = |nonce, internal| Response::PcpMap {
        code: PcpCode::SUCCESS,
        lifetime: 60,
        epoch: 0,
        nonce,
        transport: Transport::Tcp,
        internal,
        external,
    };
    let right = answer(nonce, 4001).encode();
    for from in ["192.168.1.2:5351", "192.168.1.1:5350", "[::1]:5351"] {
        world.tell(Input::Datagram { from: from.parse().unwrap(), datagram: &right });
    }
    world.hear(&answer([9; 12], 4001));
    world.hear(&answer(nonce, 4002));
    for cut in 0..right.len() {
        world.tell(Input::Datagram { from: router_address(), datagram: &right[..cut] });
    }
    assert_eq!(world.external(TCP), None);
    world.hear(&answer(nonce, 4001));
    assert_eq!(world.external(TCP), Some(external));
}

#[test]
fn a_yes_to_nothing_is_no_yes() {
    for (external, lifetime) in [("0.0.0.0:4001", 60), ("192.0.2.1:0", 60), ("192.0.2.1:4001", 0)] {
        let mut world = World::new(Speaks::Nothing);
        world.map(TCP);
        let Request::PcpMap { nonce, .. } = world.asked[0].1 else { panic!() };
        let external = external.parse().unwrap();
        world.hear(&Response::PcpMap {
            code: PcpCode::SUCCESS,
            lifetime,
            epoch: 0,
            nonce,
            transport: Transport::Tcp,
            internal: 4001,
            external,
        });
        assert!(matches!(world.events()[..], [Event::Failed { why: Refusal::Nothing, .. }]));
    }
}

#[test]
fn a_lifetime_of_136_years_is_renewed_within_a_day_and_one_of_a_second_does_not_spin() {
    let mut world = World::new(Speaks::Pcp);
    world.router.max_lifetime = u32::MAX;
    world.mapper.config.lifetime = Duration::from_secs(u64::from(u32::MAX));
    world.map(TCP);
    assert!(world.mapper.deadline() <= Time::ZERO + Duration::from_secs(86_400));
    let mut world = World::new(Speaks::Pcp);
    world.router.max_lifetime = 1;
    world.map(TCP);
    world.run_for(Duration::from_secs(60));
    assert!(world.asked.len() < 130, "{}", world.asked.len());
}

#[test]
fn what_is_given_back_while_it_is_asked_for_is_given_back_though_the_answer_is_late() {
    let mut world = World::new(Speaks::Nothing);
    world.map(TCP);
    let Request::PcpMap { nonce, .. } = world.asked[0].1 else { panic!() };
    world.tell(Input::Unmap { mapping: TCP });
    assert_eq!(world.events(), []);
    let answer = |lifetime| Response::PcpMap {
        code: PcpCode::SUCCESS,
        lifetime,
        epoch: 0,
        nonce,
        transport: Transport::Tcp,
        internal: 4001,
        external: "192.0.2.1:4001".parse().unwrap(),
    };
    let asked = world.asked.len();
    world.hear(&answer(7200));
    assert_eq!((world.events(), world.asked.len()), (vec![], asked));
    world.hear(&answer(0));
    assert_eq!(world.events(), [Event::Unmapped { mapping: TCP, told: true }]);
}

#[test]
fn to_a_router_that_is_gone_nothing_can_be_given_back() {
    let mut world = World::new(Speaks::Pcp);
    world.map(TCP);
    world.router.speaks = Speaks::Nothing;
    world.events.clear();
    world.tell(Input::Shutdown);
    assert!(!world.mapper.is_over());
    world.run_for(Duration::from_secs(120));
    assert_eq!(world.events(), [Event::Unmapped { mapping: TCP, told: false }]);
    assert!(world.mapper.is_over());
}

/// Seconds at which a router that fell silent was asked.
fn asked_of_a_silent_router(speaks: Speaks) -> Vec<f64> {
    let mut world = World::new(speaks);
    world.map(TCP);
    world.run_for(Duration::from_secs(1));
    world.router.speaks = Speaks::Nothing;
    world.asked.clear();
    world.map(UDP);
    let start = world.now;
    world.run_for(Duration::from_secs(140));
    let at = world.asked.iter().map(|(at, _)| at.since(start).as_secs_f64()).collect();
    assert!(matches!(world.events.last(), Some((_, Event::Failed { why: Refusal::NoAnswer { .. }, .. }))));
    at
}

#[test]
fn nat_pmp_asks_nine_times_in_128_seconds() {
    let at = asked_of_a_silent_router(Speaks::NatPmp);
    assert_eq!(at, [0.0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75, 31.75, 63.75]);
}

#[test]
fn pcp_asks_after_3_seconds_and_twice_as_long_each_time() {
    let at = asked_of_a_silent_router(Speaks::Pcp);
    assert_eq!(at.len(), 5);
    for (pair, wait) in at.windows(2).zip([3.0, 6.0, 12.0, 24.0]) {
        let waited = pair[1] - pair[0];
        assert!((0.9 * wait..=1.1 * wait).contains(&waited), "{waited} for {wait}");
    }
    assert!(at.windows(3).any(|three| (three[2] - three[1] - 2.0 * (three[1] - three[0])).abs() > 0.01), "drawn");
}

#[test]
fn each_router_sees_a_nonce_of_its_own_and_one_that_is_back_the_same_as_before() {
    let mut world = World::new(Speaks::Nothing);
    world.map(TCP);
    let there = gateway();
    let elsewhere = Gateway { address: IpAddr::from([10, 0, 0, 1]), local: IpAddr::from([10, 0, 0, 9]) };
    let mut nonces = vec![];
    for gateway in [there, elsewhere, there] {
        world.mapper.handle(world.now, Input::Gateway(Some(gateway))).unwrap();
        while world.mapper.poll().is_some() {}
        nonces.push(world.mapper.mappings[&TCP].nonce);
    }
    assert_ne!(nonces[0], nonces[1]);
    assert_eq!(nonces[0], nonces[2]);
}

#[test]
fn what_is_said_of_another_operation_fails_nothing() {
    let mut world = World::new(Speaks::Nothing);
    world.map(TCP);
    let cases = [(0, PcpCode::NOT_AUTHORIZED), (2, PcpCode::NOT_AUTHORIZED), (2, PcpCode::SUCCESS)];
    for (opcode, code) in cases {
        world.hear(&Response::Pcp { version: 2, opcode, code, lifetime: 60, epoch: 5 });
        assert_eq!(world.events(), [], "operation {opcode}, {code}");
    }
    world.hear(&Response::Pcp { version: 2, opcode: 1, code: PcpCode::NOT_AUTHORIZED, lifetime: 60, epoch: 5 });
    assert!(matches!(world.events()[..], [Event::Failed { why: Refusal::Pcp(PcpCode::NOT_AUTHORIZED), .. }]));
}

#[test]
fn an_error_that_comes_twice_is_one_failure() {
    let mut world = World::new(Speaks::Nothing);
    world.map(TCP);
    let code = PcpCode::NO_RESOURCES;
    let nonce = world.mapper.mappings[&TCP].nonce;
    let external = "0.0.0.0:4001".parse().unwrap();
    let transport = Transport::Tcp;
    let no = Response::PcpMap { code, lifetime: 60, epoch: 5, nonce, transport, internal: 4001, external };
    world.hear(&no);
    world.hear(&no);
    assert_eq!(world.events().len(), 1);
}

#[test]
fn the_router_is_asked_and_heard_on_the_port_that_is_configured() {
    let mut mapper = Mapper::new(MapperConfig { router_port: 7351, ..MapperConfig::default() }, &Seed::new([3; 32]));
    mapper.handle(Time::ZERO, Input::Gateway(Some(gateway()))).unwrap();
    let (transport, port) = (Transport::Tcp, 4001);
    mapper.handle(Time::ZERO, Input::Map { mapping: TCP, transport, port, suggested: None }).unwrap();
    let Some(Action::Send { to, .. }) = mapper.poll() else { panic!("nothing is asked") };
    assert_eq!(to.port(), 7351);
    let no = Response::NatPmpError { opcode: 1, code: NatPmpCode::UNSUPPORTED_VERSION, epoch: 1 }.encode();
    mapper.handle(Time::ZERO, Input::Datagram { from: router_address(), datagram: &no }).unwrap();
    assert_eq!(mapper.protocol(), None);
    mapper.handle(Time::ZERO, Input::Datagram { from: to, datagram: &no }).unwrap();
    assert_eq!(mapper.protocol(), Some(Protocol::NatPmp));
}
