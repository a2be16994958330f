//! The laws of every byte machine.

use super::*;
use crate::AskNumber;
use crate::identify::IDENTIFY;
use crate::ping::PING;
use alloc::collections::BTreeMap;
use core::ops::ControlFlow;
use tidewire_core::Multiaddr;
use tidewire_core::laws::{App, ByteSubject, Limits, Step, Transcript, check_bytes};
use tidewire_dcutr::PROTOCOL;
use tidewire_dcutr::exchange::{Answerer, Heard, Opener};
use tidewire_relay::autonat::{v1, v2};
use tidewire_relay::exchange::{self, Answer, Ask, Asker, Context, Reply, Request};
use tidewire_relay::{Limit, Status};

/// A link that responds; its host admits every stream, asks who the remote is and all that can be asked, pays, and answers what
/// it is asked; its application answers each stream that ends.
struct Responder;

/// The remote's view of it.
fn context() -> Context {
    Context { local: peer(2), remote: peer(1), relayed: false }
}

const DCUTR: Protocol = Protocol::from_static(PROTOCOL);
const PUNCH: AskNumber = AskNumber(50);

/// What both ends tell for a hole punch.
fn addresses() -> Vec<Multiaddr> {
    alloc::vec!["/ip4/192.0.2.9/tcp/1".parse().unwrap()]
}

/// What is asked, by both ends.
fn questions() -> [Ask; 6] {
    let limit = Limit::UNLIMITED;
    [
        Ask::Reserve,
        Ask::Connect { destination: peer(3) },
        Ask::Stop { source: peer(3), limit },
        Ask::DialMe { addresses: addresses() },
        Ask::Probe { nonce: 7, addresses: addresses() },
        Ask::DialBack { nonce: 7 },
    ]
}

/// What either end answers. `None`: the stream is reset.
fn reply(request: &Request) -> Option<Reply> {
    Some(match request {
        Request::Reserve => Reply::Refused { status: Status::RESOURCE_LIMIT_EXCEEDED },
        Request::Stop { .. } => Reply::Accepted,
        Request::DialMe { .. } => Reply::Dialed(v1::Response::failed(v1::Status::DIAL_ERROR, "no")),
        Request::Probe { .. } => Reply::AskData { index: 0, bytes: 5_000 },
        Request::Paid { .. } => Reply::Probed(v2::Response::dialed(0, v2::DialStatus::OK)),
        Request::DialBack { .. } => Reply::BackHeard,
        _ => return None,
    })
}

impl Responder {
    fn react(link: &mut Link, now: Time, event: LinkEvent, tx: &mut BytesMut, seen: &mut Transcript) {
        match event {
            LinkEvent::Report(Report::Established { .. }) => {
                seen.note(&event);
                link.order(now, Order::Identify, tx);
                link.order(now, Order::Ping, tx);
                for (ask, what) in (0..).map(AskNumber).zip(questions()) {
                    link.order(now, Order::Ask { ask, what }, tx);
                }
                // Nobody wants to know, and this was never asked.
                link.order(now, Order::Ask { ask: AskNumber(99), what: Ask::Reserve }, tx);
                link.order(now, Order::Unask { ask: AskNumber(99) }, tx);
                link.order(now, Order::Pay { ask: AskNumber(100) }, tx);
                link.order(now, Order::Sync { ask: AskNumber(101) }, tx);
                link.order(now, Order::Connect { stream: StreamId(999), addresses: addresses() }, tx);
                link.order(now, Order::Punch { ask: PUNCH, addresses: addresses() }, tx);
            }
            LinkEvent::Report(Report::Heard { ask, stream, ref heard }) => {
                seen.note(&event);
                match (ask, heard) {
                    (Some(ask), Ok(Heard::Connect { .. })) => link.order(now, Order::Sync { ask }, tx),
                    (None, Ok(Heard::Connect { .. })) => {
                        link.order(now, Order::Connect { stream, addresses: addresses() }, tx);
                    }
                    _ => {}
                }
            }
            LinkEvent::Report(Report::Answered { ask, answer: Ok(ref answer), stream }) => {
                seen.note(&event);
                match (&**answer, stream) {
                    (Answer::CostAsked { .. }, _) => link.order(now, Order::Pay { ask }, tx),
                    (Answer::Accepted, Some(stream)) => Responder::serve(link, stream, tx, seen),
                    _ => {}
                }
            }
            LinkEvent::Report(Report::Asked { stream, ref request }) => {
                seen.note(&event);
                link.order(
                    now,
                    reply(request).map_or(Order::Reset { stream }, |reply| Order::Reply { stream, reply }),
                    tx,
                );
                if let Request::Stop { .. } = **request {
                    Responder::serve(link, stream, tx, seen);
                }
            }
            LinkEvent::Report(Report::StreamOpened { stream, .. }) => {
                seen.note(&event);
                link.order(now, Order::Admit { stream }, tx);
            }
            // These come as often as the input was cut, or the machine called.
            LinkEvent::Stream(StreamEvent::Readable(stream)) => Responder::serve(link, stream, tx, seen),
            LinkEvent::Stream(StreamEvent::Incoming { stream, .. }) => {
                seen.note(&event);
                Responder::serve(link, stream, tx, seen);
            }
            LinkEvent::Stream(StreamEvent::Writable(_)) | LinkEvent::Report(Report::Holds { .. }) => {}
            event => seen.note(event),
        }
    }

    fn serve(link: &mut Link, stream: StreamId, tx: &mut BytesMut, seen: &mut Transcript) {
        loop {
            match link.read(stream, tx) {
                Ok(Some(piece)) => seen.data(stream.0, &piece),
                Ok(None) => {
                    seen.note(("end", stream));
                    let _ = link.write(stream, b"so long", tx);
                    let _ = link.finish(stream, tx);
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn setup() -> Setup {
        let services = Service::ALL.to_vec();
        let names = services.iter().map(|service| Protocol::from_static(service.name()));
        let serves = [IDENTIFY, PING, DCUTR].into_iter().chain(names).collect();
        Setup { serves, services, punches: true, ..Setup::default() }
    }

    /// All that a remote sends in a conversation with it, and what is reported in it.
    fn script() -> (Vec<Step>, Vec<Report>) {
        let setup = Responder::setup();
        let (mut link, mut upgrade) = (setup.link(Plan::Respond), setup.upgrade(Plan::Initiate));
        let (mut rx, mut tx, mut script) = (BytesMut::new(), BytesMut::new(), Vec::new());
        let (mut ready, mut told) = (false, Vec::new());
        while !ready {
            while let Some(progress) = upgrade.advance(Time::ZERO, &mut tx, &mut rx).unwrap() {
                ready |= progress == tidewire_upgrade::pipeline::Progress::Ready;
            }
            script.push(Step::bytes(&rx));
            Responder::drain(&mut link, Time::ZERO, &mut rx, &mut tx, &mut told);
        }
        let mut remote = Remote { connection: upgrade.into_connection().unwrap(), talks: BTreeMap::new() };
        let mut now = Time::ZERO;
        let asked = questions();
        for act in 0..asked.len() + 6 {
            let open = |remote: &mut Remote, name, rx: &mut BytesMut| {
                remote.connection.open(now, &Protocols::from(name), Selection::Lazy, rx).unwrap()
            };
            match act {
                0 => {
                    let id = open(&mut remote, ECHO, &mut rx);
                    remote.connection.write(id, b"hello", &mut rx).unwrap();
                    remote.connection.finish(id, &mut rx).unwrap();
                }
                1 => {
                    let _ = open(&mut remote, IDENTIFY, &mut rx);
                }
                2 => {
                    let id = open(&mut remote, PING, &mut rx);
                    remote.connection.write(id, &[5; 32], &mut rx).unwrap();
                }
                3 => {
                    let id = open(&mut remote, ECHO, &mut rx);
                    remote.connection.write(id, b"cut off", &mut rx).unwrap();
                    remote.connection.reset(id, 9, &mut rx).unwrap();
                    let _ = open(&mut remote, CHAT, &mut rx);
                }
                _ => match asked.get(act - 4) {
                    Some(what) => {
                        let id = open(&mut remote, Protocol::from_static(what.service().name()), &mut rx);
                        remote.ask(id, what, &mut rx);
                    }
                    None if act == asked.len() + 4 => {
                        let id = open(&mut remote, DCUTR, &mut rx);
                        let mut said = BytesMut::new();
                        let opener = Opener::new(now, &addresses(), &LinkConfig::default().dcutr, &mut said);
                        remote.connection.write(id, &said, &mut rx).unwrap();
                        remote.talks.insert(id, (Talk::Punches(opener), BytesMut::new()));
                    }
                    None => remote.connection.close(0, &mut rx),
                },
            }
            loop {
                while let Ok(Some(event)) = remote.connection.advance(now, &mut tx, &mut rx) {
                    remote.hear(event, &mut rx);
                }
                if rx.is_empty() {
                    break;
                }
                script.push(Step::bytes(&rx));
                Responder::drain(&mut link, now, &mut rx, &mut tx, &mut told);
            }
            let pause = Duration::from_secs(2);
            script.push(Step::Wait(pause));
            now = now + pause;
        }
        script.retain(|step| *step != Step::bytes(b""));
        (script, told)
    }

    fn drain(link: &mut Link, now: Time, rx: &mut BytesMut, tx: &mut BytesMut, told: &mut Vec<Report>) {
        while let Ok(Some(event)) = link.advance(now, rx, tx) {
            if let LinkEvent::Report(report) = &event {
                told.push(report.clone());
            }
            Responder::react(link, now, event, tx, &mut Transcript::default());
        }
    }
}

/// The other end of the script: asks, and answers as the link's host does.
struct Remote {
    connection: Connection,
    talks: BTreeMap<muxer::StreamId, (Talk, BytesMut)>,
}

enum Talk {
    Asks(Asker),
    Answers(exchange::Responder),
    Punches(Opener),
    Punched(Answerer),
}

impl Remote {
    fn ask(&mut self, id: muxer::StreamId, what: &Ask, tx: &mut BytesMut) {
        let mut said = BytesMut::new();
        let config = LinkConfig::default().relay;
        let asker = Asker::new(what, &context(), &config, Time::ZERO, &mut said);
        self.connection.write(id, &said, tx).unwrap();
        self.talks.insert(id, (Talk::Asks(asker), BytesMut::new()));
    }

    fn hear(&mut self, event: Event, tx: &mut BytesMut) {
        match event {
            Event::Negotiated { id, by: muxer::By::Remote, protocol, .. } => {
                match Service::of_name(protocol.as_str()) {
                    Some(service) => {
                        let config = LinkConfig::default().relay;
                        let responder = exchange::Responder::new(service, &context(), &config, Time::ZERO);
                        self.talks.insert(id, (Talk::Answers(responder), BytesMut::new()));
                        self.talk(id, tx);
                    }
                    None if protocol == DCUTR => {
                        let answerer = Answerer::new(Time::ZERO, &LinkConfig::default().dcutr);
                        self.talks.insert(id, (Talk::Punched(answerer), BytesMut::new()));
                        self.talk(id, tx);
                    }
                    // Nobody says who it is; the stream is just ended.
                    None => self.connection.finish(id, tx).unwrap(),
                }
            }
            Event::Negotiated { id, .. } | Event::Readable(id) | Event::Finished(id) => self.talk(id, tx),
            Event::Reset { id, .. } => {
                self.talks.remove(&id);
                self.connection.reset(id, 0, tx).unwrap();
            }
            _ => {}
        }
    }

    /// Goes on with a stream, as far as what came lets it.
    fn talk(&mut self, id: muxer::StreamId, tx: &mut BytesMut) {
        let Some((talk, rx)) = self.talks.get_mut(&id) else { return };
        while let Ok(Some(piece)) = self.connection.read(id, tx) {
            rx.extend_from_slice(&piece);
        }
        let mut out = BytesMut::new();
        match talk {
            Talk::Asks(asker) => {
                if let Ok(Some(Answer::CostAsked { .. })) = asker.advance(Time::ZERO, rx, &mut out) {
                    asker.pay(Time::ZERO, &mut out).unwrap();
                    let _ = asker.advance(Time::ZERO, rx, &mut out);
                }
            }
            Talk::Punches(opener) => {
                if let Ok(Some(Heard::Connect { .. })) = opener.advance(Time::ZERO, rx, &mut out) {
                    opener.sync(Time::ZERO, &mut out).unwrap();
                }
            }
            Talk::Punched(answerer) => {
                if let Ok(Some(Heard::Connect { .. })) = answerer.advance(Time::ZERO, rx, &mut out) {
                    answerer.connect(Time::ZERO, &addresses(), &mut out).unwrap();
                }
            }
            Talk::Answers(responder) => {
                while let Ok(Some(request)) = responder.advance(Time::ZERO, rx, &mut out) {
                    match reply(&request) {
                        Some(reply) => responder.reply(Time::ZERO, &reply, None, &mut out).unwrap(),
                        None => self.connection.reset(id, 0, tx).unwrap(),
                    }
                }
            }
        }
        if !out.is_empty() {
            assert_eq!(self.connection.write(id, &out, tx), Ok(out.len()));
        }
    }
}

impl ByteSubject for Responder {
    type Machine = Link;

    fn machine(&self) -> Link {
        Responder::setup().link(Plan::Respond)
    }

    fn on_output(&self, app: App<'_, Link>, output: LinkEvent) -> ControlFlow<()> {
        Responder::react(app.machine, app.now, output, app.tx, app.seen);
        ControlFlow::Continue(())
    }
}

#[test]
fn a_link_keeps_the_laws() {
    let (script, told) = Responder::script();
    let count = |is: fn(&Report) -> bool| told.iter().filter(|report| is(report)).count();
    // What costs is answered twice, and asked of us twice.
    assert_eq!(count(|report| matches!(report, Report::Asked { .. })), questions().len() + 1);
    // What can be answered is; of one circuit the stream is reset.
    assert_eq!(count(|report| matches!(report, Report::Answered { answer: Ok(_), .. })), questions().len());
    // Each end punches once; of ours, the answer is heard, of theirs CONNECT and SYNC.
    assert_eq!(count(|report| matches!(report, Report::Heard { heard: Ok(_), .. })), 3);
    let limits = Limits { places: 12, ..Limits::default() };
    let report = check_bytes(&Responder, &script, limits).unwrap();
    assert!(report.runs > 100);
}
