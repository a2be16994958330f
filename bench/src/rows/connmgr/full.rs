//! All places are taken: a more valuable newcomer takes the least valuable peer's place at once.

use super::{EVENT, Entry, by_hand, events, shared, turn};
use crate::harness::{Effort, Row, Watch};
use crate::ours::crowd::Crowd;
use std::time::Duration;
use tidewire_connmgr::worth::TagChange;
use tidewire_connmgr::{Action, CloseReason, Input, Origin};
use tidewire_core::EventMachine;

/// The default.
const GRACE: Duration = Duration::from_secs(60);

pub(super) fn rows() -> Vec<Entry> {
    vec![Entry { name: "connmgr, Established, evicting", measure: evicting }]
}

fn evicting(name: &'static str, effort: &Effort) -> Row {
    shared(effort, |crowd| {
        // Only those whose grace is over may go.
        crowd.pass(GRACE);
        by_hand(name, effort, effort.rounds, vec![EVENT], |watch| evictions(crowd, turn(effort), watch))
    })
}

fn evictions(crowd: &mut Crowd, count: usize, watch: &mut Watch) {
    let newcomers = crowd.newcomers(count);
    for newcomer in &newcomers {
        let change = TagChange::Set(10_000);
        crowd.tell(Input::Tag { peer: newcomer.peer, tag: "kad", change });
        crowd.incoming(newcomer);
    }
    let mut victims = Vec::with_capacity(count);
    watch.time(count, || {
        for newcomer in &newcomers {
            crowd.upgrade(newcomer, Origin::Incoming);
            match crowd.manager.poll() {
                Some(Action::Close { connection, reason: CloseReason::Evicted { .. } }) => victims.push(connection.0),
                other => panic!("somebody goes, not {other:?}"),
            }
            crowd.polled(2);
        }
    });
    victims.iter().for_each(|victim| crowd.closed(*victim));
    crowd.take_these(&victims);
    // Ordinary ones take the newcomers' places.
    let comers: Vec<u64> = newcomers.iter().map(|newcomer| newcomer.connection.0).collect();
    comers.iter().for_each(|comer| crowd.closed(*comer));
    crowd.take_these(&comers);
    for newcomer in crowd.newcomers(count) {
        crowd.incoming(&newcomer);
        crowd.established(&newcomer);
    }
    events::settle(crowd);
}
