//! One in a hundred goes, beside go's algorithm: the same crowd, the same victims in the same order.
//!
//! `ours` decides, and hands out all `Close` actions; `sorted` only makes the list of victims. `sorted by keys` is
//! a better `sorted`, which looks up once for each peer what decides. Half of the peers are tagged, a quarter was dialed, a third
//! has streams. Every second one left, and others came, so that neighbours in memory are no neighbours in age.

use super::Entry;
use crate::baseline::Sorting;
use crate::budget::Budget;
use crate::harness::{Clock, Effort, Row, Unit, Watch};
use crate::ours::crowd::{self, Crowd, Newcomer};
use std::collections::HashMap;
use std::time::Duration;
use tidewire_connmgr::worth::TagChange;
use tidewire_connmgr::{Action, By, CloseReason, ConnectionId, Direction, Input, Origin, StreamId};
use tidewire_core::EventMachine;

pub(super) fn rows() -> Vec<Entry> {
    vec![
        Entry { name: "connmgr, trim of 1 %", measure: |name, effort| trims(name, effort, false) },
        Entry { name: "connmgr, first trim, of 1 %", measure: |name, effort| trims(name, effort, true) },
    ]
}

/// So short that grace is over for those who came between two trims.
const SHORT: Duration = Duration::from_millis(1);
/// The default.
const LONG: Duration = Duration::from_secs(60);

/// `first`: nobody was looked at since everybody came, a minute ago; they were only pinged.
fn trims(name: &'static str, effort: &Effort, first: bool) -> Row {
    let rounds = effort.rounds.min(if first { 2 } else { 9 });
    let grace = if first { LONG } else { SHORT };
    let mut both = (!first).then(|| Both::new(effort, grace));
    let mut watches = [(); 3].map(|()| Watch::new(Clock::Thread));
    for round in 0..=rounds {
        if round == rounds {
            watches.iter_mut().for_each(Watch::count_now);
        }
        match &mut both {
            Some(both) => both.trim(&mut watches),
            None => Both::new(effort, grace).trim(&mut watches),
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
    grace: Duration,
}

impl Both {
    fn new(effort: &Effort, grace: Duration) -> Self {
        let low = effort.crowd - effort.crowd / 100;
        let mut config = crowd::config(effort.crowd);
        config.worth.low = low as u32;
        config.worth.grace = grace;
        let crowd = Crowd::new(config, effort.crowd);
        let mut both = Both { crowd, sorting: Sorting::new(low, grace), peers: HashMap::new(), grace };
        both.come(effort.crowd);
        let leaving = both.crowd.take(effort.crowd / 2);
        leaving.into_iter().for_each(|number| both.leave(number));
        both.come(effort.crowd / 2);
        both.crowd.pass(grace);
        both
    }

    /// So many come, no two at the same moment.
    fn come(&mut self, count: usize) {
        for newcomer in self.crowd.newcomers(count) {
            self.crowd.now = self.crowd.now + Duration::from_nanos(1);
            self.enter(&newcomer);
        }
    }

    fn leave(&mut self, number: u64) {
        let Newcomer { connection, peer, .. } = self.peers.remove(&number).expect("it was there");
        self.crowd.tell(Input::Closed { connection, by: By::Remote, why: "" });
        while self.crowd.manager.poll().is_some() {}
        self.sorting.disconnected(&peer, connection);
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
        numbers.into_iter().for_each(|number| self.leave(number));
        self.come(count);
        self.crowd.pass(self.grace);
    }
}
