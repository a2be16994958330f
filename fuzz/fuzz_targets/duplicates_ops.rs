//! Any order of inputs to the machine of one pair of peers. A naive reader notes what was told, and judges what it does: it
//! closes nothing without as many better ones as are wanted, each of which answered a ping that was sent after the grace; it
//! asks for no ping twice; it closes no more than the budget; its deadline is always to come.
#![no_main]

use arbitrary::Arbitrary;
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use tidewire_connmgr::ConnectionId;
use tidewire_connmgr::duplicates::{Action, DuplicatesConfig, Initiator, Input, Pair};
use tidewire_core::{EventMachine, Time};

#[derive(Arbitrary, Debug)]
enum Op {
    Open { id: u8, relayed: bool, ours: bool, streams: bool },
    Streams { id: u8, open: u8 },
    Pong { id: u8 },
    PongOf { id: u8, sent: u16 },
    Closing { id: u8 },
    Closed { id: u8 },
    Later { millis: u16 },
    ToDeadline,
    Back { millis: u16 },
}

#[derive(Arbitrary, Debug)]
struct Run {
    per_peer: u8,
    budget: u8,
    grace: u8,
    long_grace: Option<u8>,
    ops: Vec<Op>,
}

struct Seen {
    id: u64,
    /// Relayed, initiated by the larger id, how many came before.
    rank: (bool, bool, usize),
    ours: bool,
    streams: u32,
    closing: bool,
    /// It was there when another one was closed, which paid for both.
    paid: bool,
    answered: bool,
    proof: Option<Time>,
    asked: Option<Time>,
    drained: Option<Time>,
}

struct World {
    pair: Pair,
    config: DuplicatesConfig,
    now: Time,
    came: usize,
    seen: Vec<Seen>,
    closes: Vec<Time>,
}

impl World {
    fn find(&mut self, id: impl Into<u64>) -> Option<&mut Seen> {
        let id = id.into();
        self.seen.iter_mut().find(|seen| seen.id == id)
    }

    fn tell(&mut self, input: Input, is_known: bool) -> bool {
        let before = self.pair.clone();
        let told = self.pair.handle(self.now, input).is_ok();
        assert_eq!(told, is_known, "{input:?}");
        if !told {
            assert_eq!(self.pair, before, "a misuse changed something");
        }
        told
    }

    fn run(&mut self, op: Op) {
        let now = self.now;
        match op {
            Op::Open { id, relayed, ours, streams } => {
                let id = u64::from(id % 8);
                let initiator = if ours { Initiator::We } else { Initiator::They };
                let streams = u32::from(streams);
                let connection = ConnectionId(id);
                let fits = self.seen.len() < 5 && self.find(id).is_none();
                if self.tell(Input::Opened { connection, relayed, initiator, larger: ours, streams }, fits) {
                    self.came += 1;
                    let rank = (relayed, ours, self.came);
                    let (answered, closing, paid, proof, asked, drained) = (false, false, false, None, None, None);
                    self.seen.push(Seen { id, rank, ours, streams, closing, paid, answered, proof, asked, drained });
                }
            }
            Op::Streams { id, open } => {
                let (id, open) = (u64::from(id % 8), u32::from(open % 3));
                let known = self.find(id).is_some();
                self.tell(Input::Streams { connection: ConnectionId(id), open }, known);
                self.find(id).into_iter().for_each(|seen| seen.streams = open);
            }
            Op::Pong { id } => {
                let id = u64::from(id % 8);
                if let Some(sent) = self.find(id).and_then(|seen| seen.asked) {
                    self.pong(id, sent);
                }
            }
            Op::PongOf { id, sent } => self.pong(u64::from(id % 8), Time::from_millis(u64::from(sent) * 16)),
            Op::Closing { id } => {
                let id = u64::from(id % 8);
                let known = self.find(id).is_some();
                self.tell(Input::Closing { connection: ConnectionId(id) }, known);
                self.find(id).into_iter().for_each(|seen| seen.closing = true);
            }
            Op::Closed { id } => {
                let id = u64::from(id % 8);
                let known = self.find(id).is_some();
                self.tell(Input::Closed { connection: ConnectionId(id) }, known);
                self.seen.retain(|seen| seen.id != id);
            }
            Op::Later { millis } => {
                self.now = now + Duration::from_millis(millis.into());
                self.pair.on_timeout(self.now);
            }
            Op::ToDeadline if self.pair.deadline().is_never() => {}
            Op::ToDeadline => {
                self.now = self.pair.deadline();
                self.pair.on_timeout(Time::from_nanos(self.now.as_nanos() - 1));
                assert_eq!(self.pair.poll(), None, "something to do before the deadline");
                self.pair.on_timeout(self.now);
            }
            // Time never goes back.
            Op::Back { millis } => self.pair.on_timeout(now.min(Time::from_millis(millis.into()))),
        }
    }

    fn pong(&mut self, id: u64, sent: Time) {
        let (now, known) = (self.now, self.find(id).is_some());
        self.tell(Input::Pong { connection: ConnectionId(id), sent }, known);
        if let Some(seen) = self.find(id) {
            (seen.asked, seen.answered) = (None, true);
            seen.proof = seen.proof.max(Some(sent.min(now)));
        }
    }

    /// The better ones for which it may go, if there are as many as are wanted.
    fn keepers(&self, id: u64) -> Option<Vec<&Seen>> {
        let of = self.seen.iter().find(|seen| seen.id == id && !seen.closing)?;
        let (class, ours) = ((of.rank.0, of.rank.1), of.ours);
        let is_better = |k: &&Seen| !k.closing && ((k.rank.0, k.rank.1) < class || (ours && k.rank < of.rank));
        let mut better: Vec<&Seen> = self.seen.iter().filter(is_better).collect();
        better.sort_by_key(|k| k.rank);
        better.truncate(self.config.per_peer as usize);
        (better.len() == self.config.per_peer as usize).then_some(better)
    }

    fn judge(&mut self, action: Action) {
        let (now, window, budget) = (self.now, self.config.window, self.config.budget as usize);
        self.closes.retain(|at| now.since(*at) < window);
        let may_act = self.closes.len() < budget;
        match action {
            Action::Ping { connection } => {
                let seen = self.find(connection.0).unwrap();
                assert!(may_act && !seen.closing && seen.asked.is_none());
                seen.asked = Some(now);
            }
            Action::Drain { connection, onto } => {
                let keepers = self.keepers(connection.0).unwrap();
                assert!(may_act && keepers[0].id == onto.0 && keepers.iter().all(|k| k.answered));
                let seen = self.find(connection.0).unwrap();
                assert!(seen.answered);
                seen.drained = Some(now);
            }
            Action::Close { connection, kept } => {
                let keepers = self.keepers(connection.0).unwrap();
                let seen = self.seen.iter().find(|seen| seen.id == connection.0).unwrap();
                let grace = if seen.ours { Some(self.config.grace) } else { self.config.long_grace };
                let due = seen.drained.unwrap() + grace.unwrap();
                assert!(may_act && due <= now && (seen.ours || seen.streams == 0));
                assert!(keepers[0].id == kept.0 && keepers.iter().all(|k| k.proof.is_some_and(|proof| proof >= due)));
                let counts = !seen.paid;
                self.find(connection.0).unwrap().closing = true;
                self.seen.iter_mut().for_each(|seen| seen.paid = true);
                if counts {
                    self.closes.push(now);
                }
            }
            Action::Tolerate { .. } => assert!(!may_act),
            other => panic!("{other:?} is unknown here"),
        }
    }

    fn settle(&mut self) {
        let mut most = 100;
        while let Some(action) = self.pair.poll() {
            self.judge(action);
            most -= 1;
            assert!(most > 0, "actions without end");
        }
        assert!(self.pair.deadline() > self.now);
        let preferred = self.pair.preferred(false);
        let open = |id: ConnectionId| self.seen.iter().any(|seen| seen.id == id.0 && !seen.closing);
        assert_eq!(preferred.is_some(), self.seen.iter().any(|seen| !seen.closing));
        assert!(preferred.is_none_or(open));
        assert!(!self.pair.is_quiet(self.now) || self.seen.len() <= 1);
    }
}

fuzz_target!(|run: Run| {
    let mut config = DuplicatesConfig::default();
    config.per_peer = u32::from(run.per_peer % 3) + 1;
    config.budget = u32::from(run.budget % 5);
    config.grace = Duration::from_secs(u64::from(run.grace % 8));
    config.long_grace = run.long_grace.map(|grace| Duration::from_secs(grace.into()));
    config.max_connections = 5;
    let (pair, seen, closes) = (Pair::new(config.clone()), Vec::new(), Vec::new());
    let mut world = World { pair, config, now: Time::ZERO, came: 0, seen, closes };
    for op in run.ops {
        world.run(op);
        world.settle();
    }
});
