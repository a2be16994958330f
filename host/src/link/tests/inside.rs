//! identify, push and ping on a link.

use super::*;
use crate::identify::{IDENTIFY, Identity, PUSH, Reader};
use crate::ping::PING;
use alloc::boxed::Box;

fn write_all(world: &mut World, id: muxer::StreamId, data: &[u8]) {
    let mut left = data;
    while !left.is_empty() {
        match world.remote.write(id, left, &mut world.rx) {
            Ok(count) => left = &left[count..],
            Err(_) => world.turn(),
        }
    }
}

/// What the remote says of itself.
pub(super) fn card(agent: &str) -> BytesMut {
    let addresses = alloc::vec!["/ip4/192.0.2.9/tcp/9".parse().unwrap()];
    let profile = Profile { agent: agent.into(), seq: 5, addresses, ..Profile::default() };
    let mut out = BytesMut::new();
    Card::new(&keypair(2), &profile).unwrap().write(None, &mut out);
    out
}

/// The remote serves what is inside a link too, as raw streams.
fn open_to() -> Setup {
    Setup { serves: alloc::vec![ECHO, IDENTIFY, PUSH, PING], ..Setup::default() }
}

/// The stream that we opened to the remote with this protocol.
fn asked(world: &World, wanted: &Protocol) -> Option<muxer::StreamId> {
    world.seen.iter().rev().find_map(|event| match event {
        Event::Negotiated { id, protocol, by: muxer::By::Remote, .. } if protocol == wanted => Some(*id),
        _ => None,
    })
}

fn identified(world: &World) -> Vec<&Identity> {
    let reports = world.reports().into_iter();
    reports
        .filter_map(|report| match report {
            Report::Identified(identity) | Report::Pushed(identity) => Some(&**identity),
            _ => None,
        })
        .collect()
}

#[test]
fn a_remote_that_asks_learns_who_we_are_and_where_we_see_it() {
    let mut world = World::new();
    let id = world.call(IDENTIFY, b"");
    world.turn();
    let mut said = BytesMut::from(&read_all(&mut world, id)[..]);
    let mut reader = Reader::new(&crate::identify::Config::default(), peer(1), Time::ZERO);
    let identity: Box<Identity> = reader.end(Time::ZERO, &mut said, &mut BytesMut::new()).unwrap().unwrap();
    assert_eq!(identity.agent.as_deref(), Some("us/1"));
    assert_eq!(identity.observed, Some("/ip4/192.0.2.2/tcp/4001".parse().unwrap()));
    world.remote.finish(id, &mut world.rx).unwrap();
    world.turn();
    assert_eq!(world.counted(), (1, 1));
}

#[test]
fn a_remote_that_ends_its_side_first_learns_it_too_and_the_stream_is_over() {
    let mut setup = Setup::default();
    // Less than an answer: it goes out piece by piece.
    setup.ours.muxer.yamux.max_tx = 200;
    let mut world = setup.start();
    let id = world.call(IDENTIFY, b"");
    world.remote.finish(id, &mut world.rx).unwrap();
    world.turn();
    assert!(!read_all(&mut world, id).is_empty());
    world.turn();
    assert_eq!(world.counted(), (1, 1));
    world.pass(Duration::from_secs(20));
}

#[test]
fn a_remote_that_never_takes_the_answer_is_given_up() {
    let mut setup = Setup::default();
    setup.ours.muxer.yamux.max_tx = 200;
    let mut world = setup.start();
    world.call(IDENTIFY, b"");
    // Nobody sends what we write.
    world.drain();
    world.now = world.now + LinkConfig::default().write_timeout;
    world.drain();
    assert_eq!(world.counted(), (1, 1));
}

#[test]
fn a_remote_says_who_it_is() {
    let mut world = open_to().start();
    world.order(Order::Identify);
    world.turn();
    let id = asked(&world, &IDENTIFY).unwrap();
    write_all(&mut world, id, &card("them/1"));
    world.remote.finish(id, &mut world.rx).unwrap();
    world.turn();
    read_all(&mut world, id);
    assert_eq!(identified(&world)[0].agent.as_deref(), Some("them/1"));
    assert_eq!(world.counted(), (0, 0), "our own streams are not the host's to count");
    assert_eq!(world.remote.streams(), 0);
}

#[test]
fn a_remote_that_resets_after_the_last_message_has_said_who_it_is() {
    let mut world = open_to().start();
    world.order(Order::Identify);
    world.turn();
    let id = asked(&world, &IDENTIFY).unwrap();
    write_all(&mut world, id, &card("them/1"));
    world.remote.reset(id, 0, &mut world.rx).unwrap();
    world.turn();
    assert_eq!(identified(&world).len(), 1);
}

#[test]
fn a_remote_that_does_not_say_who_it_is_is_reported_in_time() {
    // Refuses the protocol, says nothing, says half of it, resets.
    for case in 0..4 {
        let setup = if case == 0 { Setup::default() } else { open_to() };
        let mut world = setup.start();
        world.order(Order::Identify);
        world.order(Order::Identify);
        world.turn();
        match (asked(&world, &IDENTIFY), case) {
            (Some(id), 2) => write_all(&mut world, id, &card("them/1")[..20]),
            (Some(id), 3) => world.remote.reset(id, 0, &mut world.rx).unwrap(),
            _ => {}
        }
        world.pass(crate::identify::Config::default().timeout);
        let failed = world.reports().into_iter().filter(|it| matches!(it, Report::IdentifyFailed { .. })).count();
        assert_eq!(failed, 1, "case {case}");
        assert_eq!(world.remote.streams(), 0, "case {case}");
    }
}

#[test]
fn an_identify_of_a_megabyte_is_refused_at_its_length() {
    let mut world = open_to().start();
    world.order(Order::Identify);
    world.turn();
    let id = asked(&world, &IDENTIFY).unwrap();
    let before = world.memory();
    let mut message = BytesMut::new();
    tidewire_core::encode_frame(&alloc::vec![0; 1 << 20], &mut message);
    write_all(&mut world, id, &message[..60_000]);
    world.turn();
    let why = world.reports().into_iter().find_map(|report| match report {
        Report::IdentifyFailed { why } => Some(why.clone()),
        _ => None,
    });
    assert!(why.unwrap().contains("at most 8192 are read"));
    assert!(world.memory() < before + 1024, "{} after {before}", world.memory());
    assert!(!world.link.is_over());
}

#[test]
fn of_a_thousand_pushes_a_second_a_few_are_read() {
    let mut world = World::new();
    for n in 0..1000 {
        let id = world.call(PUSH, b"");
        write_all(&mut world, id, &card(&alloc::format!("them/{n}")));
        world.remote.finish(id, &mut world.rx).unwrap();
        world.pass(Duration::from_millis(1));
    }
    let read = identified(&world).len();
    assert_eq!(read, LinkConfig::default().push_burst as usize);
    let (opened, closed) = world.counted();
    assert_eq!((opened, closed), (read, read), "what is reset at once is not even reported");
    assert!(world.memory() < 2048, "{}", world.memory());
    world.pass(Duration::from_secs(4));
    for _ in 0..3 {
        let id = world.call(PUSH, b"");
        write_all(&mut world, id, &card("them/again"));
        world.remote.finish(id, &mut world.rx).unwrap();
        world.turn();
    }
    assert!((read + 1..=read + 2).contains(&identified(&world).len()), "a new one each interval");
}

#[test]
fn our_push_says_who_we_are_now() {
    let mut world = open_to().start();
    let profile = Profile { agent: "us/2".into(), seq: 9, ..Profile::default() };
    world.link.set_card(Arc::new(Card::new(&keypair(1), &profile).unwrap()));
    world.order(Order::Push);
    world.turn();
    let id = asked(&world, &PUSH).unwrap();
    let mut said = BytesMut::from(&read_all(&mut world, id)[..]);
    let mut reader = Reader::new(&crate::identify::Config::default(), peer(1), Time::ZERO);
    let identity = reader.end(Time::ZERO, &mut said, &mut BytesMut::new()).unwrap().unwrap();
    assert_eq!(identity.agent.as_deref(), Some("us/2"));
    world.remote.finish(id, &mut world.rx).unwrap();
    world.turn();
    assert_eq!(world.remote.streams(), 0);
}

#[test]
fn a_ping_is_answered_and_its_stream_ended_from_our_side_first() {
    let mut world = open_to().start();
    world.order(Order::Ping);
    world.order(Order::Ping);
    world.turn();
    let id = asked(&world, &PING).unwrap();
    assert_eq!(world.remote.streams(), 1, "one stream at a time");
    let ping = read_all(&mut world, id);
    assert_eq!(ping.len(), 32);
    world.pass(Duration::from_millis(30));
    write_all(&mut world, id, &ping);
    world.turn();
    assert!(world.has(&Report::Pong { rtt: Duration::from_millis(30) }));
    assert!(world.seen.contains(&Event::Finished(id)), "{:?}", world.seen);
    assert!(!world.seen.iter().any(|event| matches!(event, Event::Reset { .. })));
    assert_eq!(world.remote.read(id, &mut world.rx), Ok(None));
    world.remote.finish(id, &mut world.rx).unwrap();
    world.turn();
    assert_eq!(world.remote.streams(), 0);
}

#[test]
fn a_remote_that_keeps_a_pings_stream_open_loses_it() {
    let mut world = open_to().start();
    world.order(Order::Ping);
    world.turn();
    let id = asked(&world, &PING).unwrap();
    let ping = read_all(&mut world, id);
    write_all(&mut world, id, &ping);
    world.pass(LinkConfig::default().write_timeout);
    assert!(world.seen.iter().any(|event| matches!(event, Event::Reset { id: it, .. } if *it == id)));
}

#[test]
fn a_wrong_or_missing_pong_is_no_pong() {
    for wrong in [true, false] {
        let mut world = open_to().start();
        world.order(Order::Ping);
        world.turn();
        let id = asked(&world, &PING).unwrap();
        if wrong {
            write_all(&mut world, id, &[0; 32]);
        }
        world.pass(crate::ping::Config::default().timeout + Duration::from_secs(1));
        assert!(!world.reports().into_iter().any(|report| matches!(report, Report::Pong { .. })));
        assert_eq!(world.remote.streams(), 0);
    }
}

#[test]
fn a_remote_without_ping_is_pinged_by_the_multiplexer() {
    let mut world = World::new();
    for n in 1..=3 {
        world.order(Order::Ping);
        world.turn();
        let pongs = world.reports().into_iter().filter(|report| matches!(report, Report::Pong { .. })).count();
        assert_eq!(pongs, n);
    }
    assert!(!world.has(&Report::PingUnsupported));
    let proposed = |event: &&Event| matches!(event, Event::NegotiationFailed { .. });
    assert_eq!(world.seen.iter().filter(proposed).count(), 1, "it is not proposed again");
}

#[test]
fn a_remote_without_any_ping_is_reported() {
    let mut world = Setup { muxer: MuxerKind::Mplex, ..Setup::default() }.start();
    for n in 1..=2 {
        world.order(Order::Ping);
        world.turn();
        let told = world.reports().into_iter().filter(|report| **report == Report::PingUnsupported).count();
        assert_eq!(told, n);
    }
}

#[test]
fn yamux_asks_for_nothing_by_itself_and_answers_what_it_is_asked() {
    let mut setup = Setup::default();
    setup.theirs.muxer.yamux.keep_alive = Some(Duration::from_secs(20));
    let mut world = setup.start();
    for _ in 0..30 {
        // The remote fails if it gets no answer, and would be asked if the link pinged.
        world.pass(Duration::from_secs(20));
    }
    assert!(!world.remote.is_closed() && !world.link.is_over());
    let mut setup = Setup::default();
    setup.theirs.muxer.yamux.keep_alive = None;
    let mut world = setup.start();
    world.pass(Duration::from_secs(1));
    assert_eq!(world.link.deadline(), Time::NEVER, "nobody asks");
}

#[test]
fn who_asks_who_we_are_hears_what_holds_when_the_host_lets_it() {
    let mut world = Setup { admit: false, ..Setup::default() }.start();
    let id = world.call(IDENTIFY, b"");
    world.remote.finish(id, &mut world.rx).unwrap();
    world.turn();
    assert_eq!(read_all(&mut world, id), b"", "not yet");
    let profile = Profile { agent: "us/2".into(), ..Profile::default() };
    world.link.set_card(Arc::new(Card::new(&keypair(1), &profile).unwrap()));
    world.order(Order::Admit { stream: StreamId(id.get()) });
    world.turn();
    let said = read_all(&mut world, id);
    assert!(said.windows(4).any(|part| part == b"us/2"), "{said:?}");
    assert_eq!(world.counted(), (1, 1));
}

#[test]
fn who_asks_who_we_are_and_is_never_let_in_waits_no_longer_than_for_an_answer() {
    let mut world = Setup { admit: false, ..Setup::default() }.start();
    world.call(IDENTIFY, b"");
    world.pass(LinkConfig::default().write_timeout);
    assert_eq!(world.counted(), (1, 1));
}

#[test]
fn where_no_stream_is_to_be_had_the_multiplexer_pings() {
    // Our own limit, the remote's farewell, the remote's reset.
    for case in 0..3 {
        let mut setup = open_to();
        setup.ours.muxer.yamux.max_outbound_streams = 1;
        let mut world = setup.start();
        match case {
            0 => drop(world.opened()),
            1 => world.remote.go_away(0, &mut world.rx),
            _ => {}
        }
        world.turn();
        world.order(Order::Ping);
        world.turn();
        if case == 2 {
            let id = asked(&world, &PING).unwrap();
            world.remote.reset(id, 0, &mut world.rx).unwrap();
            world.turn();
        }
        let pongs = world.reports().into_iter().filter(|report| matches!(report, Report::Pong { .. })).count();
        assert_eq!(pongs, 1, "case {case}");
    }
}

#[test]
fn a_remotes_pings_are_answered_on_two_streams_and_no_more() {
    let mut world = World::new();
    let ids: Vec<_> = (0..3).map(|n| world.call(PING, &[n; 32])).collect();
    world.turn();
    let answers: Vec<Vec<u8>> = ids.iter().map(|id| read_all(&mut world, *id)).collect();
    assert_eq!(answers, [alloc::vec![0; 32], alloc::vec![1; 32], Vec::new()]);
    assert_eq!(world.counted(), (2, 0));
    world.remote.finish(ids[0], &mut world.rx).unwrap();
    world.turn();
    assert_eq!(world.counted(), (2, 1));
    world.pass(crate::ping::Config::default().idle);
    assert_eq!(world.counted(), (2, 2), "silence ends the other");
}

#[test]
fn streams_inside_have_a_cap_of_their_own() {
    let mut world = World::new();
    for _ in 0..50 {
        world.call(IDENTIFY, b"");
    }
    world.turn();
    assert_eq!(world.counted().0, LinkConfig::default().max_inside);
    world.pass(LinkConfig::default().write_timeout);
    assert_eq!(world.counted().1, LinkConfig::default().max_inside);
}

#[test]
fn a_stream_inside_that_the_host_refuses_is_reset() {
    let mut world = Setup { admit: false, ..Setup::default() }.start();
    let id = world.call(PING, b"");
    world.turn();
    let stream = StreamId(id.get());
    world.order(Order::Refuse { stream, reason: tidewire_connmgr::StreamRefusal::Closing });
    world.turn();
    assert!(world.seen.iter().any(|event| matches!(event, Event::Reset { id: it, .. } if *it == id)));
    assert_eq!(world.counted(), (1, 0));
    world.pass(Duration::from_secs(60));
}
