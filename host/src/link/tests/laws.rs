//! The laws of every byte machine.

use super::*;
use crate::identify::IDENTIFY;
use crate::ping::PING;
use core::ops::ControlFlow;
use tidewire_core::laws::{App, ByteSubject, Limits, Step, Transcript, check_bytes};

/// A link that responds; its host admits every stream and asks who the remote is, its application answers each stream that
/// ends.
struct Responder;

impl Responder {
    fn react(link: &mut Link, now: Time, event: LinkEvent, tx: &mut BytesMut, seen: &mut Transcript) {
        match event {
            LinkEvent::Report(Report::Established { .. }) => {
                seen.note(&event);
                link.order(now, Order::Identify, tx);
                link.order(now, Order::Ping, tx);
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

    /// All that a remote sends in a conversation with it.
    fn script() -> Vec<Step> {
        let setup = Setup { serves: alloc::vec![IDENTIFY, PING], ..Setup::default() };
        let (mut link, mut upgrade) = (setup.link(Plan::Respond), setup.upgrade(Plan::Initiate));
        let (mut rx, mut tx, mut script) = (BytesMut::new(), BytesMut::new(), Vec::new());
        let mut ready = false;
        while !ready {
            while let Some(progress) = upgrade.advance(Time::ZERO, &mut tx, &mut rx).unwrap() {
                ready |= progress == tidewire_upgrade::pipeline::Progress::Ready;
            }
            script.push(Step::bytes(&rx));
            Responder::drain(&mut link, Time::ZERO, &mut rx, &mut tx);
        }
        let mut remote = upgrade.into_connection().unwrap();
        let mut now = Time::ZERO;
        for act in 0..5 {
            let open = |remote: &mut Connection, name, rx: &mut BytesMut| {
                remote.open(now, &Protocols::from(name), Selection::Lazy, rx).unwrap()
            };
            match act {
                0 => {
                    let id = open(&mut remote, ECHO, &mut rx);
                    remote.write(id, b"hello", &mut rx).unwrap();
                    remote.finish(id, &mut rx).unwrap();
                }
                1 => {
                    let _ = open(&mut remote, IDENTIFY, &mut rx);
                }
                2 => {
                    let id = open(&mut remote, PING, &mut rx);
                    remote.write(id, &[5; 32], &mut rx).unwrap();
                }
                3 => {
                    let id = open(&mut remote, ECHO, &mut rx);
                    remote.write(id, b"cut off", &mut rx).unwrap();
                    remote.reset(id, 9, &mut rx).unwrap();
                    let _ = open(&mut remote, CHAT, &mut rx);
                }
                _ => remote.close(0, &mut rx),
            }
            loop {
                while let Ok(Some(event)) = remote.advance(now, &mut tx, &mut rx) {
                    // Nobody says who it is; the stream is just ended.
                    if let Event::Negotiated { id, by: muxer::By::Remote, .. } = event {
                        remote.finish(id, &mut rx).unwrap();
                    }
                }
                if rx.is_empty() {
                    break;
                }
                script.push(Step::bytes(&rx));
                Responder::drain(&mut link, now, &mut rx, &mut tx);
            }
            let pause = Duration::from_secs(2);
            script.push(Step::Wait(pause));
            now = now + pause;
        }
        script.retain(|step| *step != Step::bytes(b""));
        script
    }

    fn drain(link: &mut Link, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) {
        while let Ok(Some(event)) = link.advance(now, rx, tx) {
            Responder::react(link, now, event, tx, &mut Transcript::default());
        }
    }
}

impl ByteSubject for Responder {
    type Machine = Link;

    fn machine(&self) -> Link {
        Setup { serves: alloc::vec![IDENTIFY, PING], ..Setup::default() }.link(Plan::Respond)
    }

    fn on_output(&self, app: App<'_, Link>, output: LinkEvent) -> ControlFlow<()> {
        Responder::react(app.machine, app.now, output, app.tx, app.seen);
        ControlFlow::Continue(())
    }
}

#[test]
fn a_link_keeps_the_laws() {
    let limits = Limits { places: 40, ..Limits::default() };
    let report = check_bytes(&Responder, &Responder::script(), limits).unwrap();
    assert!(report.runs > 100);
}
