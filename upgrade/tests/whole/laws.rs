//! The laws of every machine, for the upgrade and for the connection.

use crate::hostile::Case;
use crate::support::{CHAT, ECHO, End, Pair, deliver, node, router, start, upgrade};
use bytes::BytesMut;
use core::ops::ControlFlow;
use core::time::Duration;
use tidewire_core::laws::{App, ByteSubject, Limits, Step, Transcript, check_bytes};
use tidewire_core::{Machine, Time};
use tidewire_multistream::Protocols;
use tidewire_upgrade::connection::{Connection, Event, Selection};
use tidewire_upgrade::muxer::{MuxerKind, StreamId};
use tidewire_upgrade::pipeline::{Config, Plan, Progress, SecurityKind, Upgrade};
use tidewire_upgrade::security::psk::PreSharedKey;

struct Upgrades<F>(F);

impl<F: Fn() -> Upgrade> ByteSubject for Upgrades<F> {
    type Machine = Upgrade;

    fn machine(&self) -> Upgrade {
        (self.0)()
    }

    fn on_output(&self, app: App<'_, Upgrade>, output: Progress) -> ControlFlow<()> {
        let ready = output == Progress::Ready;
        app.seen.note(output);
        if ready { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[test]
fn an_upgrade_keeps_the_laws_in_both_roles_and_every_way() {
    for case in Case::all() {
        let script = [Step::bytes(case.recorded()), Step::Wait(Duration::from_secs(20))];
        let limits = Limits { memory: 8 * 1024, tx: 4 * 1024, places: 24, ..Limits::default() };
        if let Err(violation) = check_bytes(&Upgrades(case.subject()), &script, limits) {
            panic!("{case:?}: {violation}");
        }
    }
}

#[test]
fn an_upgrade_that_times_out_keeps_the_laws() {
    for case in Case::all() {
        let recorded = case.recorded();
        let script = [Step::bytes(&recorded[..recorded.len() / 2]), Step::Wait(Duration::from_secs(20))];
        let limits = Limits { memory: 8 * 1024, tx: 4 * 1024, places: 8, ..Limits::default() };
        if let Err(violation) = check_bytes(&Upgrades(case.subject()), &script, limits) {
            panic!("{case:?}: {violation}");
        }
    }
}

/// A connection's responder, whose application opens a stream, reads all that comes, and answers each stream that ends.
///
/// In the clear there are no records, so a cut may fall between a header and a proposal that came in one frame, and then
/// the answers to both come in one frame or in two: there the initiator waits for the answer to its header.
struct Responder {
    security: SecurityKind,
    muxer: MuxerKind,
    psk: bool,
}

impl Responder {
    fn pair(&self) -> Pair {
        Pair::new(|config: &mut Config| {
            config.securities = vec![self.security];
            config.muxers = vec![self.muxer];
            config.psk = self.psk.then(|| PreSharedKey::new([8; 32]));
            config.muxer.yamux.pong_timeout = Duration::from_secs(3600);
            config.connection.router = Some(router());
        })
    }

    fn begin(connection: &mut Connection, tx: &mut BytesMut) {
        let id = connection.open(Time::ZERO, &Protocols::from(ECHO), Selection::Lazy, tx).unwrap();
        connection.write(id, b"from us", tx).unwrap();
        connection.open(Time::ZERO, &Protocols::from(CHAT), Selection::Plain, tx).unwrap();
    }

    fn react(connection: &mut Connection, event: &Event, tx: &mut BytesMut, seen: &mut Transcript) {
        // "Readable" comes as often as the input was cut.
        if !matches!(event, Event::Readable(_)) {
            seen.note(event);
        }
        let (Event::Negotiated { id, .. } | Event::Readable(id) | Event::Finished(id)) = event else { return };
        Responder::serve(connection, *id, tx, seen);
    }

    fn serve(connection: &mut Connection, id: StreamId, tx: &mut BytesMut, seen: &mut Transcript) {
        loop {
            match connection.read(id, tx) {
                Ok(Some(piece)) => seen.data(id.get(), &piece),
                Ok(None) => {
                    seen.note(("end", id));
                    let _ = connection.write(id, b"so long", tx);
                    let _ = connection.finish(id, tx);
                    return;
                }
                Err(_) => return,
            }
        }
    }

    /// Opens a stream as lazily as the cipher lets us.
    fn open(&self, a: &mut End, data: &[u8]) -> StreamId {
        if self.security == SecurityKind::Noise {
            let id = a.open(ECHO, Selection::Lazy);
            a.write(id, data);
            return id;
        }
        let id = a.connection.open_raw(&mut a.tx).unwrap();
        a.write(id, b"\x13/multistream/1.0.0\n");
        id
    }

    /// What the initiator sends in a conversation with it.
    fn script(&self) -> Vec<Step> {
        let mut pair = self.pair();
        let mut script = Vec::new();
        Responder::begin(&mut pair.b.connection, &mut pair.b.tx);
        let mut told = 0;
        let noise = self.security == SecurityKind::Noise;
        let mut open = None;
        for act in 0..6 {
            let a = &mut pair.a;
            match act {
                0 => open = Some(self.open(a, b"hello")),
                1 => {
                    let id = open.unwrap();
                    if !noise {
                        a.write(id, b"\x0c/echo/1.0.0\nhello");
                    }
                    a.finish(id);
                    if noise {
                        let protocols = Protocols::parse(&["/none/1", "/echo/1.0.0"]).unwrap();
                        let id = a.open_any(&protocols, Selection::Plain);
                        a.finish(id);
                    }
                    let slow = a.connection.open_raw(&mut a.tx).unwrap();
                    a.write(slow, b"\x13/multistream");
                }
                2 => {
                    let id = self.open(a, b"cut off");
                    a.connection.reset(id, 9, &mut a.tx).unwrap();
                    a.connection.ping(pair.now, &mut a.tx);
                }
                3 if noise => {
                    let id = a.open(CHAT, Selection::Lazy);
                    a.write(id, b"nobody listens");
                }
                3 => open = Some(self.open(a, b"")),
                4 if !noise => a.write(open.unwrap(), b"\x06/none\n"),
                4 => {}
                _ => a.connection.go_away(5, &mut a.tx),
            }
            loop {
                pair.a.turn(pair.now);
                pair.b.turn(pair.now);
                let End { connection, events, tx, .. } = &mut pair.b;
                for event in events.get(told..).unwrap_or_default() {
                    Responder::react(connection, event, tx, &mut Transcript::default());
                }
                told = events.len();
                if pair.a.tx.is_empty() && pair.b.tx.is_empty() {
                    break;
                }
                script.push(Step::bytes(&pair.a.tx));
                deliver(&mut pair.a.tx, &mut pair.b.rx);
                deliver(&mut pair.b.tx, &mut pair.a.rx);
            }
            let pause = Duration::from_secs(4);
            script.push(Step::Wait(pause));
            pair.now = pair.now + pause;
        }
        script.retain(|step| *step != Step::bytes(b""));
        script
    }
}

impl ByteSubject for Responder {
    type Machine = Connection;

    fn machine(&self) -> Connection {
        self.pair().b.connection
    }

    fn start(&self, app: App<'_, Connection>) {
        Responder::begin(app.machine, app.tx);
    }

    fn on_output(&self, app: App<'_, Connection>, output: Event) -> ControlFlow<()> {
        Responder::react(app.machine, &output, app.tx, app.seen);
        ControlFlow::Continue(())
    }
}

#[test]
fn a_connection_keeps_the_laws() {
    for (security, psk) in [(SecurityKind::Noise, false), (SecurityKind::Plaintext, false), (SecurityKind::Noise, true)]
    {
        for muxer in [MuxerKind::Yamux, MuxerKind::Mplex] {
            let subject = Responder { security, muxer, psk };
            let limits = Limits { places: 40, ..Limits::default() };
            match check_bytes(&subject, &subject.script(), limits) {
                Ok(report) => assert!(report.runs > 100),
                Err(violation) => panic!("{security:?} {muxer:?} psk {psk}: {violation}"),
            }
            let memory = subject.machine().memory_used();
            assert!(memory < 1024, "{memory}");
        }
    }
}

/// An initiator that went ahead with its multiplexer, and has yet to hear the answer.
struct Assuming;

impl Assuming {
    /// The connection, what the remote has answered, and the remote.
    fn ends() -> (Connection, BytesMut, End) {
        let [alice, bob] = [1, 2].map(|n| node(n, |config| config.early_muxer = false));
        let (a, b) = upgrade(start(&alice, Plan::Initiate, None, 3), start(&bob, Plan::Respond, None, 4));
        let End { connection, rx, .. } = a.into_end();
        assert!(!rx.is_empty());
        (connection, rx, b.into_end())
    }
}

impl ByteSubject for Assuming {
    type Machine = Connection;

    fn machine(&self) -> Connection {
        Assuming::ends().0
    }

    fn start(&self, app: App<'_, Connection>) {
        let id = app.machine.open_raw(app.tx).unwrap();
        app.machine.write(id, b"ahead of the answer", app.tx).unwrap();
    }
}

#[test]
fn an_assumed_muxer_keeps_the_laws_with_and_without_an_answer() {
    let (mut connection, mut answer, mut b) = Assuming::ends();
    b.turn(Time::ZERO);
    b.connection.ping(Time::ZERO, &mut b.tx);
    b.connection.go_away(4, &mut b.tx);
    answer.extend_from_slice(&b.tx);
    let wait = Step::Wait(Duration::from_secs(5));
    let script = Step::bytes(&answer);
    let confirmed = connection.advance(Time::ZERO, &mut answer, &mut BytesMut::new());
    assert_eq!(confirmed, Ok(Some(Event::MuxerConfirmed(MuxerKind::Yamux))));
    for script in [vec![wait.clone(), script, wait.clone()], vec![wait.clone(), wait.clone(), wait]] {
        check_bytes(&Assuming, &script, Limits { places: 64, ..Limits::default() }).unwrap();
    }
}
