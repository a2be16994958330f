//! The laws of every byte machine, checked by `tidewire_core::laws`.

use super::*;
use core::ops::ControlFlow;
use tidewire_core::Machine;
use tidewire_core::laws::{App, ByteSubject, Limits, Step, check_bytes};

/// A yamux end as a plain machine.
#[derive(Debug)]
struct Bare(Yamux);

impl Machine for Bare {
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

/// Reads whatever arrives, echoes it, and finishes when the remote has.
struct Echo(Config);

impl Echo {
    fn serve(app: &mut App<'_, Bare>, id: StreamId) {
        loop {
            match app.machine.0.read(id, app.tx) {
                Ok(Some(bytes)) => {
                    app.seen.data(id.get(), &bytes);
                    // One frame a byte: how the input was cut does not show.
                    for byte in bytes {
                        app.machine.0.boundary();
                        let _ = app.machine.0.write(id, &[byte], usize::MAX, app.tx);
                    }
                }
                Ok(None) => {
                    app.seen.note(("end", id));
                    let _ = app.machine.0.finish(id, app.tx);
                    return;
                }
                Err(_) => return,
            }
        }
    }
}

impl ByteSubject for Echo {
    type Machine = Bare;

    fn machine(&self) -> Bare {
        Bare(Yamux::new(Role::Responder, self.0.clone()))
    }

    fn start(&self, mut app: App<'_, Bare>) {
        let id = app.machine.0.open(app.tx).unwrap();
        app.machine.0.write(id, b"from us", usize::MAX, app.tx).unwrap();
        Echo::serve(&mut app, id);
    }

    fn on_output(&self, mut app: App<'_, Bare>, output: Event) -> ControlFlow<()> {
        // "Readable" comes once for each time that the application had read everything: as often as the input was cut.
        if !matches!(output, Event::Readable(_)) {
            app.seen.note(output);
        }
        match output {
            Event::Readable(id) | Event::Finished(id) => Echo::serve(&mut app, id),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn script() -> Vec<Step> {
    let mut first = Vec::new();
    first.extend(data(SYN, 1, b"hello"));
    first.extend(update(SYN, 3, 100));
    first.extend(ping(SYN, 7));
    first.extend(data(ACK, 2, b"an answer"));
    first.extend(data(0, 3, b""));
    first.extend(data(0, 1, b" and more"));
    let mut second = Vec::new();
    second.extend(data(FIN, 1, b"."));
    second.extend(update(RST, 3, 0x1001));
    second.extend(update(FIN, 2, 0));
    second.extend(data(SYN | FIN, 5, b"all at once"));
    second.extend(go_away(0));
    let wait = Step::Wait(Duration::from_secs(5));
    [Step::bytes(first), wait, Step::bytes(second)].into()
}

#[test]
fn a_conversation_keeps_the_laws() {
    for keep_alive in [None, Some(Duration::from_secs(2))] {
        let config = Config { keep_alive, pong_timeout: Duration::from_secs(60), ..Config::default() };
        let limits = Limits { tx: config.max_tx + config.max_replies + 100, ..Limits::default() };
        check_bytes(&Echo(config), &script(), limits).unwrap();
    }
}

#[test]
fn a_silent_remote_is_found_out_within_the_laws() {
    let config = Config { keep_alive: Some(Duration::from_secs(2)), ..Config::default() };
    let script = [Step::bytes(data(SYN, 1, b"x")), Step::Wait(Duration::from_secs(20)), Step::bytes(ping(SYN, 1))];
    check_bytes(&Echo(config), &script, Limits { tx: 400_000, ..Limits::default() }).unwrap();
}

#[test]
fn a_flood_against_a_small_output_keeps_the_laws() {
    let mut flood = Vec::new();
    for n in 0..60 {
        flood.extend(ping(SYN, n));
        flood.extend(update(SYN, n * 2 + 1, 0));
    }
    let config = Config { max_inbound_streams: 4, max_tx: 64, max_replies: 64, ..quiet() };
    let limits = Limits { tx: config.max_tx + config.max_replies + 100, places: 40, ..Limits::default() };
    check_bytes(&Echo(config), &[Step::bytes(flood)], limits).unwrap();
}
