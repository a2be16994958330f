//! mplex against a model, and through the laws.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::std_instead_of_alloc)]

#[path = "support/mplex_world.rs"]
mod world;

use bytes::BytesMut;
use core::ops::ControlFlow;
use proptest::prelude::*;
use tidewire_core::laws::{App, ByteSubject, Limits, Step, check_bytes};
use tidewire_core::{Machine, Role, Time};
use tidewire_upgrade::muxer::mplex::{Config, Error, Mplex};
use tidewire_upgrade::muxer::{Event, Muxer, StreamId};
use world::{Op, World};

fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = (0..36u8, any::<u8>(), any::<u16>()).prop_map(|(what, pick, size)| Op { what, pick, size });
    proptest::collection::vec(op, 1..300)
}

proptest! {
    #[test]
    fn two_ends_agree_with_the_model(ops in ops()) {
        let mut world = World::new(config(|c| (c.max_tx, c.max_streams) = (8000, 16)));
        ops.into_iter().for_each(|op| world.run(op));
        world.drain();
    }

    #[test]
    fn two_ends_agree_with_the_model_where_every_cap_is_tight(ops in ops()) {
        let mut world = World::new(config(|c| {
            (c.max_tx, c.max_streams, c.split) = (100, 3, 50);
            (c.max_stream_buffer, c.max_connection_buffer) = (300, 500);
        }));
        ops.into_iter().for_each(|op| world.run(op));
        world.drain();
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_outgrow_the_caps(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut mplex = Mplex::new(Role::Responder, config(|c| {
            (c.max_streams, c.max_stream_buffer, c.max_connection_buffer, c.max_tx) = (4, 100, 200, 100);
        }));
        let (mut rx, mut tx) = (BytesMut::from(&bytes[..]), BytesMut::new());
        while let Ok(Some(_)) = mplex.advance(Time::ZERO, &mut rx, &mut tx) {}
        prop_assert!(mplex.memory_used() < 8000);
        prop_assert!(tx.len() <= 100 + 10);
    }
}

/// An mplex end as the plain byte machine that the checker takes.
#[derive(Debug)]
struct AsMachine(Mplex);

impl Machine for AsMachine {
    type Output = Event;
    type Error = Error;

    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Event>, Error> {
        self.0.advance(now, rx, tx)
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Event>, Error> {
        self.0.end(now, rx, tx)
    }

    fn deadline(&self) -> Time {
        self.0.deadline()
    }

    fn memory_used(&self) -> usize {
        self.0.memory_used()
    }
}

/// An application that echoes each stream's end, and reads at once or only when all is over.
struct Subject {
    config: Config,
    prompt: bool,
}

impl Subject {
    fn read_all(app: &mut App<'_, AsMachine>, id: StreamId) {
        while let Ok(Some(piece)) = app.machine.0.read(id, app.tx) {
            app.seen.data(id.get(), &piece);
        }
    }
}

impl ByteSubject for Subject {
    type Machine = AsMachine;

    fn machine(&self) -> AsMachine {
        AsMachine(Mplex::new(Role::Responder, self.config.clone()))
    }

    fn start(&self, app: App<'_, AsMachine>) {
        let id = app.machine.0.open(app.tx).unwrap();
        app.machine.0.write(id, b"first", usize::MAX, app.tx).unwrap();
    }

    fn on_output(&self, mut app: App<'_, AsMachine>, event: Event) -> ControlFlow<()> {
        match event {
            // How often depends on how the bytes were cut.
            Event::Readable(id) if self.prompt => Self::read_all(&mut app, id),
            Event::Readable(_) => {}
            Event::Finished(id) => {
                app.seen.note(event);
                if self.prompt {
                    Self::read_all(&mut app, id);
                }
                let _ = app.machine.0.finish(id, app.tx);
            }
            _ => app.seen.note(event),
        }
        ControlFlow::Continue(())
    }

    fn settle(&self, mut app: App<'_, AsMachine>) {
        for number in 0..64 {
            Self::read_all(&mut app, StreamId::new(number));
        }
    }
}

fn script() -> Vec<Step> {
    vec![
        // Stream 0 opened as "0"; "hello" on it; "answer" on ours.
        Step::bytes(b"\x00\x010\x02\x05hello\x01\x06answer"),
        // Streams 1 and 300; data by turns; a close; a reset; messages for streams that are unknown.
        Step::bytes(b"\x08\x011\xe0\x12\x03300\x0a\x03one\xe2\x12\x05three\x0c\x00\xe6\x12\x00\x2a\x04none\x2d\x00"),
        // More than the small buffers take, and more streams than the small configuration lets in.
        Step::bytes([&b"\x02\x64"[..], &[b'z'; 100], b"\x10\x012\x18\x013\x20\x014"].concat()),
        // Ours is closed by the remote.
        Step::bytes(b"\x01\x03end\x03\x00"),
    ]
}

#[test]
fn the_laws_hold_for_a_prompt_application() {
    let subject = Subject { config: Config::default(), prompt: true };
    check_bytes(&subject, &script(), Limits { memory: 8192, ..Limits::default() }).unwrap();
}

#[test]
fn the_laws_hold_where_nobody_reads_and_streams_overrun() {
    let small = config(|c| (c.max_streams, c.max_stream_buffer, c.max_connection_buffer) = (3, 40, 60));
    let subject = Subject { config: small, prompt: false };
    check_bytes(&subject, &script(), Limits { memory: 8192, ..Limits::default() }).unwrap();
}

#[test]
fn the_laws_hold_where_tx_is_nearly_always_full() {
    let tight = config(|c| (c.max_streams, c.max_tx) = (1, 30));
    let subject = Subject { config: tight, prompt: true };
    check_bytes(&subject, &script(), Limits { memory: 8192, tx: 60, ..Limits::default() }).unwrap();
}
