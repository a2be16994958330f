//! Both ends keep the laws.

use super::*;
use core::ops::ControlFlow;
use tidewire_core::laws::{App, ByteSubject, Limits, Step, check_bytes};

const CAPS: Limits = Limits { memory: 256, tx: 4200, places: 256, may_merge: false };

/// B, which says `SYNC` as soon as it may, or never.
struct Opens {
    syncs: bool,
}

impl ByteSubject for Opens {
    type Machine = Opener;

    fn machine(&self) -> Opener {
        Opener::new(Time::ZERO, &[at_port(1)], &Config::default(), &mut BytesMut::new())
    }

    fn on_output(&self, app: App<'_, Opener>, output: Heard) -> ControlFlow<()> {
        app.seen.note(output);
        if self.syncs {
            app.seen.note(app.machine.sync(app.now, app.tx));
        }
        app.seen.note(app.machine.is_over());
        ControlFlow::Continue(())
    }
}

/// A, which answers as soon as it may, or never.
struct Answers {
    answers: bool,
}

impl ByteSubject for Answers {
    type Machine = Answerer;

    fn machine(&self) -> Answerer {
        Answerer::new(Time::ZERO, &Config::default())
    }

    fn on_output(&self, app: App<'_, Answerer>, output: Heard) -> ControlFlow<()> {
        app.seen.note(&output);
        if self.answers && matches!(output, Heard::Connect { .. }) {
            app.seen.note(app.machine.connect(app.now, &[at_port(2)], app.tx));
        }
        app.seen.note(app.machine.is_over());
        ControlFlow::Continue(())
    }
}

fn wait(millis: u64) -> Step {
    Step::Wait(Duration::from_millis(millis))
}

#[test]
fn an_opener_keeps_the_laws() {
    let connect = framed(&Punch::connect(&[at_port(2), at_port(3)]));
    let whole = [wait(40), Step::bytes(&connect), wait(100_000)];
    let trailing = [wait(40), Step::bytes(&connect), Step::bytes(b"x"), wait(100_000)];
    for syncs in [true, false] {
        check_bytes(&Opens { syncs }, &whole, CAPS).unwrap();
        check_bytes(&Opens { syncs }, &trailing, CAPS).unwrap();
        check_bytes(&Opens { syncs }, &[wait(100_000)], CAPS).unwrap();
    }
}

#[test]
fn an_answerer_keeps_the_laws() {
    let connect = framed(&Punch::connect(&[at_port(2), at_port(3)]));
    let sync = framed(&Punch::of(Kind::Sync));
    let whole = [wait(40), Step::bytes(&connect), wait(40), Step::bytes(&sync), wait(100_000)];
    let trailing = [Step::bytes(&connect), Step::bytes(&sync), Step::bytes(b"x"), wait(100_000)];
    for answers in [true, false] {
        check_bytes(&Answers { answers }, &whole, CAPS).unwrap();
        check_bytes(&Answers { answers }, &trailing, CAPS).unwrap();
        check_bytes(&Answers { answers }, &[wait(100_000)], CAPS).unwrap();
    }
}
