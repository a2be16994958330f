//! Streams on which one end asks and the other answers, and the circuits they become.

use super::*;
use crate::AskNumber;
use crate::link::{AskFault, OpenFault};
use tidewire_core::UnixTime;
use tidewire_relay::autonat::{v1, v2};
use tidewire_relay::client::Ending;
use tidewire_relay::exchange::{Answer, Ask, Asker, Context, Reply, Request, Responder};
use tidewire_relay::{Limit, Status};
use tidewire_upgrade::connection::ReadStreamError;
use tidewire_upgrade::muxer::{StreamError, WriteError};

const ASK: AskNumber = AskNumber(9);

fn name(service: Service) -> Protocol {
    Protocol::from_static(service.name())
}

/// The remote's view of it.
fn context() -> Context {
    Context { local: peer(2), remote: peer(1), relayed: false }
}

/// The link lets the remote ask everything, and the remote the link.
fn world_of(link: LinkConfig) -> World {
    let services = Service::ALL.to_vec();
    let serves = services.iter().copied().map(name).collect();
    Setup { services, serves, link, ..Setup::default() }.start()
}

fn world() -> World {
    world_of(LinkConfig::default())
}

/// The bytes of a question.
fn question(ask: &Ask) -> BytesMut {
    let mut said = BytesMut::new();
    let _ = Asker::new(ask, &context(), &LinkConfig::default().relay, Time::ZERO, &mut said);
    said
}

/// The bytes of a reply to this question.
fn reply_to(service: Service, mut question: BytesMut, reply: &Reply) -> BytesMut {
    let mut responder = Responder::new(service, &context(), &LinkConfig::default().relay, Time::ZERO);
    let mut said = BytesMut::new();
    responder.advance(Time::ZERO, &mut question, &mut said).unwrap().unwrap();
    responder.reply(Time::ZERO, reply, Some(&keypair(2)), &mut said).unwrap();
    said
}

impl World {
    /// What the remote is heard to ask, and on which stream.
    fn asked(&self) -> Vec<(StreamId, &Request)> {
        let asked = |report: &&Report| matches!(report, Report::Asked { .. });
        let all = self.reports().into_iter().filter(asked);
        all.filter_map(
            |report| if let Report::Asked { stream, request } = report { Some((*stream, &**request)) } else { None },
        )
        .collect()
    }

    fn answers(&self) -> Vec<Result<Answer, AskFault>> {
        let answer = |report: &Report| match report {
            Report::Answered { ask: ASK, answer, .. } => Some(answer.clone().map(|it| *it).map_err(|it| *it)),
            _ => None,
        };
        self.reports().into_iter().filter_map(answer).collect()
    }

    fn circuits_ended(&self) -> Vec<(u64, u64, Ending)> {
        let ended = |report: &Report| match report {
            Report::CircuitEnded { sent, received, ending, .. } => Some((*sent, *received, *ending)),
            _ => None,
        };
        self.reports().into_iter().filter_map(ended).collect()
    }

    /// The remote asks, and it was told.
    fn hears(&mut self, ask: &Ask) -> (muxer::StreamId, StreamId) {
        let id = self.call(name(ask.service()), &question(ask));
        self.turn();
        let stream = self.asked().last().map(|(stream, _)| *stream);
        (id, stream.expect("nothing was asked"))
    }

    /// We ask; where the question arrives.
    fn asks(&mut self, what: Ask) -> muxer::StreamId {
        self.order(Order::Ask { ask: ASK, what });
        self.turn();
        let arrived = self.seen.iter().rev().find_map(|event| match event {
            Event::Negotiated { id, by: muxer::By::Remote, .. } => Some(*id),
            _ => None,
        });
        arrived.expect("no question came")
    }
}

fn probe() -> Ask {
    Ask::Probe { nonce: 7, addresses: alloc::vec!["/ip4/192.0.2.9/tcp/1".parse().unwrap()] }
}

/// Each question that a remote may ask, whether it makes a circuit, and a reply.
fn questions() -> Vec<(Ask, Reply, bool)> {
    let (limit, expire) = (Limit::UNLIMITED, UnixTime::from_secs(2_000_000_000));
    let at = alloc::vec!["/ip4/192.0.2.9/tcp/1".parse().unwrap()];
    let refused = Reply::Refused { status: Status::RESOURCE_LIMIT_EXCEEDED };
    alloc::vec![
        (Ask::Reserve, Reply::Reserved { expire, addresses: at.clone(), limit }, false),
        (Ask::Reserve, refused.clone(), false),
        (Ask::Connect { destination: peer(3) }, Reply::Connected { limit }, true),
        (Ask::Connect { destination: peer(3) }, refused.clone(), false),
        (Ask::Stop { source: peer(3), limit }, Reply::Accepted, true),
        (Ask::Stop { source: peer(3), limit }, refused, false),
        (Ask::DialMe { addresses: at.clone() }, Reply::Dialed(v1::Response::ok(Some(at[0].clone()))), false),
        (
            Ask::DialMe { addresses: at.clone() },
            Reply::Dialed(v1::Response::failed(v1::Status::DIAL_ERROR, "no")),
            false,
        ),
        (probe(), Reply::Probed(v2::Response::dialed(0, v2::DialStatus::OK)), false),
        (probe(), Reply::Probed(v2::Response::refused(v2::Status::DIAL_REFUSED)), false),
        (Ask::DialBack { nonce: 7 }, Reply::BackHeard, false),
    ]
}

#[test]
fn each_question_is_told_and_answered_by_the_host() {
    for (ask, reply, circuit) in questions() {
        let mut world = world();
        let (id, stream) = world.hears(&ask);
        assert_eq!(world.asked().len(), 1, "{ask:?}");
        assert!(read_all(&mut world, id).is_empty(), "{ask:?}: an answer before the host's");
        world.order(Order::Reply { stream, reply: reply.clone() });
        world.turn();
        let said = read_all(&mut world, id);
        let (mut rx, mut tx) = (BytesMut::from(&said[..]), BytesMut::new());
        let mut asker = Asker::new(&ask, &context(), &LinkConfig::default().relay, Time::ZERO, &mut tx);
        assert!(asker.advance(Time::ZERO, &mut rx, &mut tx).unwrap().is_some(), "{ask:?} {reply:?}");
        assert_eq!(asker.is_circuit(), circuit, "{ask:?} {reply:?}");
        if circuit {
            assert_eq!(world.counted(), (1, 0), "{ask:?}");
            continue;
        }
        // Said, and finished: over once the remote finishes too, without a reset.
        world.remote.finish(id, &mut world.rx).unwrap();
        world.turn();
        assert_eq!(world.counted(), (1, 1), "{ask:?} {reply:?}");
        assert!(!world.seen.iter().any(|event| matches!(event, Event::Reset { .. })), "{ask:?} {reply:?}");
    }
}

#[test]
fn each_answer_is_told_once() {
    for (ask, reply, circuit) in questions() {
        let mut world = world();
        let id = world.asks(ask.clone());
        let asked = BytesMut::from(&read_all(&mut world, id)[..]);
        let said = reply_to(ask.service(), asked, &reply);
        assert!(world.answers().is_empty());
        world.remote.write(id, &said, &mut world.rx).unwrap();
        world.remote.finish(id, &mut world.rx).unwrap();
        world.turn();
        let answers = world.answers();
        assert!(matches!(answers[..], [Ok(_)]), "{ask:?}: {answers:?}");
        assert_eq!(world.counted().1, usize::from(!circuit), "{ask:?}");
        world.end();
        assert_eq!(world.answers().len(), 1, "{ask:?}");
    }
}

#[test]
fn what_a_probe_costs_is_told_and_paid_when_the_host_says_so() {
    let mut world = world();
    let id = world.asks(probe());
    let mut responder = Responder::new(Service::AutonatV2Request, &context(), &LinkConfig::default().relay, Time::ZERO);
    let (mut rx, mut tx) = (BytesMut::from(&read_all(&mut world, id)[..]), BytesMut::new());
    assert!(matches!(responder.advance(Time::ZERO, &mut rx, &mut tx), Ok(Some(Request::Probe { nonce: 7, .. }))));
    responder.reply(Time::ZERO, &Reply::AskData { index: 0, bytes: 30_000 }, None, &mut tx).unwrap();
    // A word of the host's that comes too early pays nothing.
    world.order(Order::Pay { ask: ASK });
    world.turn();
    assert!(read_all(&mut world, id).is_empty());
    world.remote.write(id, &tx.split(), &mut world.rx).unwrap();
    world.turn();
    assert_eq!(world.answers(), [Ok(Answer::CostAsked { index: 0, bytes: 30_000 })]);
    assert!(read_all(&mut world, id).is_empty(), "paid unasked");
    world.order(Order::Pay { ask: ASK });
    world.turn();
    let mut paid = BytesMut::from(&read_all(&mut world, id)[..]);
    let heard = responder.advance(Time::ZERO, &mut paid, &mut tx).unwrap();
    assert!(matches!(heard, Some(Request::Paid { bytes }) if bytes >= 30_000), "{heard:?}");
    let response = v2::Response::dialed(0, v2::DialStatus::OK);
    responder.reply(Time::ZERO, &Reply::Probed(response), None, &mut tx).unwrap();
    world.remote.write(id, &tx.split(), &mut world.rx).unwrap();
    world.remote.finish(id, &mut world.rx).unwrap();
    world.turn();
    assert_eq!(world.answers()[1..], [Ok(Answer::Probed(response))]);
    assert_eq!(world.counted(), (1, 1));
}

#[test]
fn a_remote_that_is_to_pay_is_asked_and_told_what_it_did() {
    let mut world = world();
    let (ask, config) = (probe(), LinkConfig::default().relay);
    let mut said = BytesMut::new();
    let mut asker = Asker::new(&ask, &context(), &config, Time::ZERO, &mut said);
    let id = world.call(name(ask.service()), &said.split());
    world.turn();
    let stream = world.asked()[0].0;
    world.order(Order::Reply { stream, reply: Reply::AskData { index: 0, bytes: 30_000 } });
    world.turn();
    let mut rx = BytesMut::from(&read_all(&mut world, id)[..]);
    let answer = asker.advance(Time::ZERO, &mut rx, &mut said).unwrap();
    assert_eq!(answer, Some(Answer::CostAsked { index: 0, bytes: 30_000 }));
    assert_eq!(world.asked().len(), 1, "nothing was paid yet");
    asker.pay(Time::ZERO, &mut said).unwrap();
    while !said.is_empty() {
        assert_eq!(world.remote.write(id, &said, &mut world.rx), Ok(said.len()));
        said.clear();
        world.turn();
        assert_eq!(asker.advance(Time::ZERO, &mut rx, &mut said), Ok(None));
    }
    assert!(matches!(world.asked()[1..], [(it, Request::Paid { bytes })] if it == stream && *bytes >= 30_000));
    world.order(Order::Reply { stream, reply: Reply::Probed(v2::Response::dialed(0, v2::DialStatus::OK)) });
    world.turn();
    let mut rx = BytesMut::from(&read_all(&mut world, id)[..]);
    assert!(matches!(asker.advance(Time::ZERO, &mut rx, &mut said), Ok(Some(Answer::Probed(_)))));
}

#[test]
fn what_is_no_question_is_refused_and_not_told() {
    let long = [0xff, 0x7f];
    for (service, said) in
        [(Service::Hop, &b"\x02\xff\xff"[..]), (Service::Stop, &b"\x00"[..]), (Service::Hop, &long[..])]
    {
        let mut world = world();
        let id = world.call(name(service), said);
        world.turn();
        assert!(world.asked().is_empty(), "{service:?}");
        world.remote.finish(id, &mut world.rx).ok();
        world.turn();
        assert_eq!(world.counted(), (1, 1), "{service:?}");
    }
}

#[test]
fn a_remote_that_asks_for_nothing_is_given_up() {
    let mut world = world();
    world.call(name(Service::Hop), b"");
    world.turn();
    assert_eq!(world.counted(), (1, 0));
    let config = LinkConfig::default();
    world.pass(config.relay.request + config.write_timeout);
    assert_eq!(world.counted(), (1, 1));
    assert!(world.asked().is_empty());
}

#[test]
fn a_question_that_nobody_answers_fails_in_time() {
    for (ask, ..) in questions() {
        let mut world = world();
        world.asks(ask.clone());
        world.pass(Duration::from_secs(61));
        assert!(matches!(world.answers()[..], [Err(AskFault::Answer(_))]), "{ask:?}: {:?}", world.answers());
        assert_eq!(world.counted(), (1, 1), "{ask:?}");
    }
}

#[test]
fn a_question_whose_stream_is_reset_or_refused_or_whose_connection_ends_fails_once() {
    let reset = |world: &mut World| {
        let id = world.asks(Ask::Reserve);
        world.remote.reset(id, 5, &mut world.rx).unwrap();
        world.turn();
    };
    let end = |world: &mut World| {
        world.asks(Ask::Reserve);
        world.end();
    };
    let late = |world: &mut World| {
        world.end();
        world.order(Order::Ask { ask: ASK, what: Ask::Reserve });
        world.end();
    };
    let empty = |world: &mut World| {
        let id = world.asks(Ask::Reserve);
        world.remote.finish(id, &mut world.rx).unwrap();
        world.turn();
    };
    for (what, act) in [("reset", &reset as &dyn Fn(&mut World)), ("end", &end), ("late", &late), ("empty", &empty)] {
        let mut world = world();
        act(&mut world);
        assert!(matches!(world.answers()[..], [Err(_)]), "{what}: {:?}", world.answers());
    }
    // Not spoken.
    let mut world = World::new();
    world.order(Order::Ask { ask: ASK, what: Ask::Reserve });
    world.turn();
    assert_eq!(world.answers(), [Err(AskFault::Open(OpenFault::Unsupported))]);
}

#[test]
fn an_answer_that_nobody_waits_for_is_not_told() {
    let mut world = world();
    let id = world.asks(Ask::Reserve);
    world.order(Order::Unask { ask: ASK });
    world.turn();
    assert!(world.seen.iter().any(|event| matches!(event, Event::Reset { id: it, .. } if *it == id)));
    assert!(world.answers().is_empty());
    assert_eq!(world.counted(), (1, 1));
}

#[test]
fn a_remote_that_the_host_does_not_let_in_is_not_read() {
    let services = alloc::vec![Service::Hop];
    let mut world = Setup { services, admit: false, ..Setup::default() }.start();
    let id = world.call(name(Service::Hop), &question(&Ask::Reserve));
    world.turn();
    let stream = match world.reports()[..] {
        [Report::StreamOpened { stream, .. }] => *stream,
        ref other => panic!("{other:?}"),
    };
    world.order(Order::Refuse { stream, reason: tidewire_connmgr::StreamRefusal::Closing });
    world.turn();
    assert!(world.asked().is_empty());
    assert!(world.seen.iter().any(|event| matches!(event, Event::Reset { id: it, .. } if *it == id)));
}

#[test]
fn a_reply_that_does_not_fit_resets_the_stream() {
    let mut world = world();
    let (id, stream) = world.hears(&Ask::Reserve);
    world.order(Order::Reply { stream, reply: Reply::Accepted });
    world.turn();
    assert!(world.seen.iter().any(|event| matches!(event, Event::Reset { id: it, .. } if *it == id)));
    assert_eq!(world.counted(), (1, 1));
    // A second one, of what is over: nothing.
    world.order(Order::Reply { stream, reply: Reply::Accepted });
    world.turn();
    assert_eq!(world.counted(), (1, 1));
}

#[test]
fn only_so_many_ask_at_once() {
    let config = LinkConfig { max_exchanges: 3, ..LinkConfig::default() };
    let mut world = world_of(config);
    for _ in 0..5 {
        world.call(name(Service::Hop), &question(&Ask::Reserve));
        world.turn();
    }
    assert_eq!(world.asked().len(), 3);
    let resets = world.seen.iter().filter(|event| matches!(event, Event::Reset { .. })).count();
    assert_eq!(resets, 2);
    // Those that are answered make room once they are over.
    let first = world.asked()[0].0;
    world.order(Order::Reply { stream: first, reply: Reply::Refused { status: Status::PERMISSION_DENIED } });
    world.turn();
    world.call(name(Service::Hop), &question(&Ask::Reserve));
    world.turn();
    assert_eq!(world.asked().len(), 3);
    world.pass(LinkConfig::default().write_timeout);
    world.call(name(Service::Hop), &question(&Ask::Reserve));
    world.turn();
    assert_eq!(world.asked().len(), 4);
}

#[test]
fn what_came_with_the_question_belongs_to_the_circuit() {
    let mut world = world();
    let ask = Ask::Stop { source: peer(3), limit: Limit::UNLIMITED };
    let mut said = question(&ask);
    said.extend_from_slice(b"first");
    let id = world.call(name(Service::Stop), &said);
    world.turn();
    let stream = world.asked()[0].0;
    world.order(Order::Reply { stream, reply: Reply::Accepted });
    world.remote.write(id, b" second", &mut world.rx).unwrap();
    world.turn();
    let mut came = Vec::new();
    while let Ok(Some(piece)) = world.link.read(stream, &mut world.tx) {
        came.extend_from_slice(&piece);
    }
    assert_eq!(came, b"first second");
    assert_eq!(world.link.write(stream, b"back", &mut world.tx), Ok(4));
    world.remote.finish(id, &mut world.rx).unwrap();
    world.turn();
    assert_eq!(world.link.read(stream, &mut world.tx), Ok(None));
    world.link.finish(stream, &mut world.tx).unwrap();
    world.turn();
    assert!(read_all(&mut world, id).ends_with(b"back"));
    assert_eq!(world.circuits_ended(), [(4, 12, Ending::Closed)]);
    assert_eq!(world.counted(), (1, 1));
}

#[test]
fn a_circuit_that_the_remote_resets_says_so() {
    let mut world = world();
    let (id, stream) = world.hears(&Ask::Connect { destination: peer(3) });
    world.order(Order::Reply { stream, reply: Reply::Connected { limit: Limit::UNLIMITED } });
    world.turn();
    world.remote.reset(id, 0, &mut world.rx).unwrap();
    world.turn();
    assert!(matches!(world.link.read(stream, &mut world.tx), Err(ReadStreamError::Reset { .. })));
    world.turn();
    assert_eq!(world.circuits_ended(), [(0, 0, Ending::Reset)]);
    assert_eq!(world.counted(), (1, 1));
}

/// The host hands a circuit to its driver together with the order to answer: the driver may come first.
#[test]
fn a_stream_that_is_to_be_a_circuit_waits_for_its_last_message() {
    let mut world = world();
    let (_, stream) = world.hears(&Ask::Connect { destination: peer(3) });
    assert_eq!(world.link.read(stream, &mut world.tx), Err(ReadStreamError::Blocked));
    assert_eq!(world.link.write(stream, b"early", &mut world.tx), Err(WriteError::Blocked));
    assert!(world.link.awaits_circuit(stream));
    world.told.clear();
    world.order(Order::Reply { stream, reply: Reply::Connected { limit: Limit::UNLIMITED } });
    world.turn();
    assert!(world.streams().contains(&&StreamEvent::Readable(stream)), "whoever waits is not woken");
    assert!(!world.link.awaits_circuit(stream));
    assert_eq!(world.link.write(stream, b"now", &mut world.tx), Ok(3));
}

#[test]
fn a_circuit_that_never_comes_to_be_wakes_who_waits_for_it() {
    let mut world = world();
    let (id, stream) = world.hears(&Ask::Connect { destination: peer(3) });
    assert_eq!(world.link.read(stream, &mut world.tx), Err(ReadStreamError::Blocked));
    world.told.clear();
    world.remote.reset(id, 0, &mut world.rx).unwrap();
    world.turn();
    assert!(world.streams().contains(&&StreamEvent::Readable(stream)));
    assert_eq!(world.link.read(stream, &mut world.tx), Err(ReadStreamError::Unknown));
}

#[test]
fn a_circuit_that_is_given_up_before_it_began_is_reset() {
    let mut world = world();
    let (id, stream) = world.hears(&Ask::Connect { destination: peer(3) });
    world.link.reset(stream, 0, &mut world.tx).unwrap();
    world.order(Order::Reply { stream, reply: Reply::Connected { limit: Limit::UNLIMITED } });
    world.turn();
    assert!(world.seen.iter().any(|event| matches!(event, Event::Reset { id: it, .. } if *it == id)));
    assert_eq!(world.counted(), (1, 1));
    assert_eq!(world.link.reset(stream, 0, &mut world.tx), Err(StreamError::Unknown));
}

#[test]
fn asking_costs_nothing_once_it_is_over() {
    let mut world = world();
    world.pass(Duration::from_secs(1));
    let before = world.memory();
    for _ in 0..200 {
        let (id, stream) = world.hears(&Ask::Reserve);
        world.order(Order::Reply { stream, reply: Reply::Refused { status: Status::PERMISSION_DENIED } });
        world.turn();
        world.remote.finish(id, &mut world.rx).unwrap();
        world.turn();
        world.told.clear();
        world.seen.clear();
    }
    let grown = world.memory().saturating_sub(before);
    assert!(grown < 2048, "{grown} bytes more");
}
