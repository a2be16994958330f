//! The present is always 0: after a timer, the moments that are stored come nearer by as much as has passed.

use super::super::Coordinator;
use super::super::peer::{Attempt, Punch, Shared, State};
use super::super::record::Record;
use crate::report::Side;
use core::hash::{Hash, Hasher};
use core::time::Duration;
use tidewire_core::{PeerId, Time};

impl Coordinator {
    /// Lets what is stored come nearer by `passed`, and forgets the history, which nothing depends on.
    pub(super) fn rebase(&mut self, passed: Duration) {
        let near = |at: &mut Time| {
            if !at.is_never() {
                *at = Time::from_nanos(at.since(Time::ZERO + passed).as_nanos().try_into().unwrap());
            }
        };
        self.shared.now = Time::ZERO;
        self.timers = core::mem::take(&mut self.timers)
            .into_iter()
            .map(|(mut at, id)| {
                near(&mut at);
                (at, id)
            })
            .collect();
        self.wake = self.first_timer();
        for (id, peer) in &mut self.peers {
            near(&mut peer.wake);
            if let Some(punch) = &mut peer.punch {
                rebase_punch(punch, *id, near);
            }
        }
    }
}

fn rebase_punch(punch: &mut Punch, id: PeerId, near: impl Fn(&mut Time)) {
    let Punch { not_before, calm, attempt, dials, window, .. } = punch;
    [not_before, calm].into_iter().for_each(&near);
    dials.iter_mut().for_each(|dial| near(&mut dial.until));
    window.iter_mut().for_each(|window| near(&mut window.until));
    let Some(Attempt { state, record, datagrams, .. }) = attempt.as_deref_mut() else { return };
    assert!(datagrams.is_none(), "nothing here is dialed over QUIC");
    *record = Record::new(id, None, Side::A, Time::ZERO);
    match state {
        State::Direct { until } | State::WaitConnect { until, .. } | State::AwaitSync { until, .. } => near(until),
        State::Punching { until, .. } | State::Settling { until, .. } | State::Between { until } => near(until),
        State::Armed { at, .. } => near(at),
    }
}

/// What differs between two states of one world. Actions were polled.
impl Hash for Shared {
    fn hash<H: Hasher>(&self, state: &mut H) {
        assert!(self.actions.is_empty(), "actions are left");
        (&self.own, &self.asks, &self.dials, &self.windows).hash(state);
        (self.next_ask, self.next_dial, self.active, &self.queue, self.stopped).hash(state);
    }
}
