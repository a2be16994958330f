//! Rule A, row by row; the laws; and any order of calls against what a reader of the rule would say.

mod laws;
mod property;
mod rows;

use super::{Action, DuplicatesConfig, DuplicatesMisuse, Initiator, Input, Pair};
use crate::ConnectionId;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{EventMachine, Time};

const SECOND: Duration = Duration::from_secs(1);

fn c(id: u64) -> ConnectionId {
    ConnectionId(id)
}

fn ping(connection: u64) -> Action {
    Action::Ping { connection: c(connection) }
}

fn drain(connection: u64, onto: u64) -> Action {
    Action::Drain { connection: c(connection), onto: c(onto) }
}

fn close(connection: u64, kept: u64) -> Action {
    Action::Close { connection: c(connection), kept: c(kept) }
}

/// A pair, its clock, and the pings that are under way. Our id is the larger one, so what we initiate has the worse class.
struct World {
    pair: Pair,
    now: Time,
    asked: BTreeMap<u64, Time>,
}

impl World {
    fn new(change: impl FnOnce(&mut DuplicatesConfig)) -> World {
        let mut config = DuplicatesConfig::default();
        change(&mut config);
        World { pair: Pair::new(config), now: Time::ZERO, asked: BTreeMap::new() }
    }

    fn try_tell(&mut self, input: Input) -> Result<Vec<Action>, DuplicatesMisuse> {
        self.pair.handle(self.now, input)?;
        Ok(self.poll())
    }

    fn tell(&mut self, input: Input) -> Vec<Action> {
        self.try_tell(input).unwrap()
    }

    fn poll(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(action) = self.pair.poll() {
            if let Action::Ping { connection } = action {
                self.asked.entry(connection.0).or_insert(self.now);
            }
            actions.push(action);
            assert!(actions.len() < 100, "actions without end");
        }
        actions
    }

    fn open(&mut self, id: u64, relayed: bool, initiator: Initiator) -> Vec<Action> {
        let larger = initiator == Initiator::We;
        self.tell(Input::Opened { connection: c(id), relayed, initiator, larger, streams: 0 })
    }

    fn ours(&mut self, id: u64) -> Vec<Action> {
        self.open(id, false, Initiator::We)
    }

    fn theirs(&mut self, id: u64) -> Vec<Action> {
        self.open(id, false, Initiator::They)
    }

    /// The ping that was asked for is answered, 10 ms from now.
    fn pong(&mut self, id: u64) -> Vec<Action> {
        let sent = self.asked.remove(&id).unwrap();
        self.now = self.now + Duration::from_millis(10);
        self.tell(Input::Pong { connection: c(id), sent })
    }

    fn streams(&mut self, id: u64, open: u32) -> Vec<Action> {
        self.tell(Input::Streams { connection: c(id), open })
    }

    fn closed(&mut self, id: u64) -> Vec<Action> {
        self.asked.remove(&id);
        self.tell(Input::Closed { connection: c(id) })
    }

    /// Time passes; what comes at each deadline on the way.
    fn wait(&mut self, time: Duration) -> Vec<Action> {
        let (end, mut actions) = (self.now + time, Vec::new());
        while self.pair.deadline() <= end {
            self.now = self.now.max(self.pair.deadline());
            self.pair.on_timeout(self.now);
            actions.extend(self.poll());
            assert!(self.pair.deadline() > self.now, "the deadline is over");
        }
        self.now = end;
        self.pair.on_timeout(end);
        assert_eq!(self.poll(), [], "something to do before the deadline");
        actions
    }

    /// Opens the superseded connection 1 and its keeper 2, and brings 1 as far as draining.
    fn draining(&mut self) {
        self.ours(1);
        assert_eq!(self.theirs(2), [ping(1)]);
        assert_eq!(self.pong(1), [ping(2)]);
        assert_eq!(self.pong(2), [drain(1, 2)]);
    }

    /// A whole round: `id` is opened by us, superseded by 2, and closed.
    fn one_is_closed(&mut self, id: u64) {
        assert_eq!(self.ours(id), [ping(id)]);
        assert_eq!(self.pong(id), [ping(2)]);
        assert_eq!(self.pong(2), [drain(id, 2)]);
        assert_eq!(self.wait(5 * SECOND), [ping(2)]);
        assert_eq!(self.pong(2), [close(id, 2)]);
        assert_eq!(self.closed(id), []);
    }
}
