//! The laws that every machine keeps.

use super::*;
use tidewire_core::laws::{EventSubject, Limits, Step, Transcript, check_events};

/// With an answering world, pings are answered and closes carried out as they are polled.
struct Subject {
    answers: bool,
}

impl EventSubject for Subject {
    type Machine = Pair;
    type Input = Input;

    fn machine(&self) -> Pair {
        Pair::new(DuplicatesConfig { budget: 2, max_connections: 4, ..DuplicatesConfig::default() })
    }

    fn apply(&self, pair: &mut Pair, now: Time, input: &Input) -> Result<(), DuplicatesMisuse> {
        pair.handle(now, *input)
    }

    fn on_action(&self, pair: &mut Pair, now: Time, action: Action, seen: &mut Transcript) {
        seen.note(action);
        let input = match action {
            Action::Ping { connection } => Input::Pong { connection, sent: now },
            Action::Close { connection, .. } => Input::Closed { connection },
            _ => return,
        };
        if self.answers
            && let Err(misuse) = pair.handle(now, input)
        {
            seen.note(misuse);
        }
    }
}

#[test]
fn the_laws_hold() {
    let opened = |id, relayed, initiator: Initiator| {
        let larger = initiator == Initiator::We;
        Step::Input(Input::Opened { connection: c(id), relayed, initiator, larger, streams: 0 })
    };
    let streams = |id, open| Step::Input(Input::Streams { connection: c(id), open });
    let pong = |id, sent| Step::Input(Input::Pong { connection: c(id), sent: Time::ZERO + sent });
    let closed = |id| Step::Input(Input::Closed { connection: c(id) });
    let script = [
        opened(1, true, Initiator::They),
        streams(1, 1),
        opened(2, false, Initiator::We),
        Step::Wait(SECOND),
        pong(1, SECOND / 2),
        pong(2, SECOND),
        Step::Wait(130 * SECOND),
        opened(3, false, Initiator::They),
        streams(1, 0),
        Step::Wait(SECOND),
        pong(3, 131 * SECOND),
        pong(2, 131 * SECOND),
        Step::Wait(10 * SECOND),
        pong(3, 140 * SECOND),
        streams(2, 1),
        opened(4, false, Initiator::We),
        opened(5, false, Initiator::We),
        opened(4, false, Initiator::We),
        Step::Wait(10 * SECOND),
        pong(3, 150 * SECOND),
        Step::Input(Input::Closing { connection: c(2) }),
        closed(2),
        Step::Wait(700 * SECOND),
        closed(3),
        closed(4),
        Step::Wait(700 * SECOND),
    ];
    for answers in [false, true] {
        let limits = Limits { memory: 1024, places: 64, may_merge: true, ..Limits::default() };
        check_events(&Subject { answers }, &script, limits).unwrap();
    }
}
