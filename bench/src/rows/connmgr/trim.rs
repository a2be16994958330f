//! One in a hundred goes, beside go's algorithm: the same crowd, the same victims in the same order.
//!
//! `ours` decides, and hands out all `Close` actions; `sorted` only makes the list of victims. `sorted by keys` is
//! a better `sorted`, which looks up once for each peer what decides. Half of the peers are tagged, a quarter was dialed, a third
//! has streams.

use super::Entry;
use crate::baseline::Sorting;
use crate::budget::Budget;
use crate::harness::{Clock, Effort, Row, Unit, Watch};
use crate::ours::crowd::{self, Crowd, Newcomer};
use std::collections::HashMap;
use std::time::Duration;
use tidewire_connmgr::worth::TagChange;
use tidewire_connmgr::{Action, CloseReason, ConnectionId, Direction, Input, Origin, StreamId};
use tidewire_core::EventMachine;

pub(super) fn rows() -> Vec<Entry> {
    vec![
        Entry { name: "connmgr, trim of 1 %", measure: |name, effort| trims(name, effort, false) },
        Entry {
            name: "connmgr, trim of 1 %, all just out of grace",
            measure: |name, effort| trims(name, effort, true),
        },
    ]
}

/// Part of the time that a crowd takes to come, so that grace is over for all but the last when all are there.
const GRACE: Duration = Duration::from_millis(1);

/// `fresh`: the graces of all have ended since the manager was told anything.
fn trims(name: &'static str, effort: &Effort, fresh: bool) -> Row {
    let rounds = if fresh { effort.rounds.min(3) } else { effort.rounds.min(9) };
    let mut both = (!fresh).then(|| Both::new(effort));
    let mut watches = [(); 3].map(|()| Watch::new(Clock::Thread));
    for round in 0..=rounds {
        if round == rounds {
            watches.iter_mut().for_each(Watch::count_now);
        }
        match &mut both {
            Some(both) => both.trim(&mut watches),
            None => Both::new(effort).trim(&mut watches),
        }
    }
    let figures = ["ours", "sorted", "sorted by keys"].into_iter().zip(watches).map(|(name, watch)| watch.figure(name));
    let budgets = vec![Budget::Time(0.05, "sorted")];
    Row { name: name.into(), unit: Unit::Time, figures: figures.collect(), budgets, note: None }
}

/// The manager and the baseline, told the same.
struct Both {
    crowd: Crowd,
    sorting: Sorting,
    peers: HashMap<u64, Newcomer>,
}

impl Both {
    fn new(effort: &Effort) -> Self {
        let low = effort.crowd - effort.crowd / 100;
        let mut config = crowd::config(effort.crowd);
        config.worth.low = low as u32;
        config.worth.grace = GRACE;
        let crowd = Crowd::new(config, effort.crowd);
        let mut both = Both { crowd, sorting: Sorting::new(low, GRACE), peers: HashMap::new() };
        both.come(effort.crowd);
        both
    }

    /// So many come, no two at the same moment.
    fn come(&mut self, count: usize) {
        for newcomer in self.crowd.newcomers(count) {
            self.crowd.now = self.crowd.now + Duration::from_nanos(1);
            self.enter(&newcomer);
        }
        self.crowd.pass(GRACE);
    }

    fn enter(&mut self, newcomer: &Newcomer) {
        let Newcomer { connection, peer, ref remote } = *newcomer;
        let (crowd, sorting) = (&mut self.crowd, &mut self.sorting);
        let outbound = crowd.chance().below(4) == 0;
        let direction = if outbound { Direction::Outbound } else { Direction::Inbound };
        crowd.upgrade(newcomer, Origin::Other { direction, remote });
        sorting.connected(crowd.now, peer, connection, outbound, remote.clone());
        if crowd.chance().below(2) == 0 {
            let value = crowd.chance().below(1_000) as i32;
            crowd.tell(Input::Tag { peer, tag: "kad", change: TagChange::Set(value) });
            sorting.tag(crowd.now, peer, "kad", value);
        }
        if crowd.chance().below(3) == 0 {
            let streams = crowd.chance().below(4) as u32;
            for n in 0..streams {
                let stream = StreamId(n.into());
                crowd.tell(Input::StreamOpened { connection, stream, direction: Direction::Inbound, protocol: None });
            }
            sorting.streams(&peer, connection, streams);
        }
        while crowd.manager.poll().is_some() {}
        self.peers.insert(connection.0, newcomer.clone());
    }

    /// One trim by each; then the victims are gone, and as many others come.
    fn trim(&mut self, [ours, sorted, by_keys]: &mut [Watch; 3]) {
        let count = self.peers.len() / 100;
        let mut victims: Vec<ConnectionId> = Vec::with_capacity(count);
        let crowd = &mut self.crowd;
        ours.time(1, || {
            crowd.tell(Input::TrimNow);
            while let Some(action) = crowd.manager.poll() {
                if let Action::Close { connection, reason: CloseReason::Trimmed { .. } } = action {
                    victims.push(connection);
                }
            }
        });
        let list = sorted.time(1, || self.sorting.trim(crowd.now));
        assert_eq!((victims.len(), &victims), (count, &list), "the same go, in the same order");
        assert_eq!(by_keys.time(1, || self.sorting.trim_by_keys(crowd.now)), list);
        [ours, sorted, by_keys].into_iter().for_each(Watch::end_round);

        let numbers: Vec<u64> = victims.iter().map(|victim| victim.0).collect();
        self.crowd.take_these(&numbers);
        for number in numbers {
            let gone = self.peers.remove(&number).expect("it was there");
            let by = tidewire_connmgr::By::Local;
            self.crowd.tell(Input::Closed { connection: gone.connection, by, why: "" });
            while self.crowd.manager.poll().is_some() {}
            self.sorting.disconnected(&gone.peer, gone.connection);
        }
        self.come(count);
    }
}
