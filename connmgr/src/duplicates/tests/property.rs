//! Any order of calls, against a reader of the rule who writes down all that was said, and knows nothing of stages.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Open {
        relayed: bool,
        ours: bool,
    },
    Streams {
        which: usize,
        open: u32,
    },
    /// An answer to the ping that was asked for, or to one that was sent by somebody else a while ago.
    Pong {
        which: usize,
        ago: Option<u16>,
    },
    Closing {
        which: usize,
    },
    Closed {
        which: usize,
    },
    Wait {
        millis: u16,
    },
    ToDeadline,
}

fn op() -> impl Strategy<Value = Op> {
    let which = 0..5_usize;
    prop_oneof![
        3 => any::<(bool, bool)>().prop_map(|(relayed, ours)| Op::Open { relayed, ours }),
        2 => (which.clone(), 0..2_u32).prop_map(|(which, open)| Op::Streams { which, open }),
        10 => (which.clone(), prop_oneof![4 => Just(None), 1 => (0..9000_u16).prop_map(Some)])
            .prop_map(|(which, ago)| Op::Pong { which, ago }),
        1 => which.clone().prop_map(|which| Op::Closing { which }),
        2 => which.prop_map(|which| Op::Closed { which }),
        2 => any::<u16>().prop_map(|millis| Op::Wait { millis }),
        3 => Just(Op::ToDeadline),
    ]
}

/// What is known of a connection by what was told and asked.
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: u64,
    /// Relayed, and initiated by the larger id; then how many came before it.
    rank: (bool, bool, u64),
    ours: bool,
    streams: u32,
    answered: Option<Time>,
    proof: Option<Time>,
    asked: Option<Time>,
    closing: bool,
    /// It was there when another one was closed.
    paid: bool,
    /// When it was said to drain, and whether the same keepers are still there.
    drained: Option<Time>,
}

struct Reader {
    pair: Pair,
    config: DuplicatesConfig,
    now: Time,
    seen: Vec<Seen>,
    next: u64,
    closes: Vec<Time>,
    told: Option<Time>,
}

impl Reader {
    fn new(per_peer: u32, long: bool) -> Reader {
        let (budget, window, max_connections) = (2, 60 * SECOND, 4);
        let (grace, long_grace) = (5 * SECOND, long.then_some(20 * SECOND));
        let config = DuplicatesConfig { per_peer, budget, window, max_connections, grace, long_grace };
        let pair = Pair::new(config.clone());
        let (seen, closes) = (Vec::new(), Vec::new());
        Reader { pair, config, now: Time::ZERO, seen, next: 0, closes, told: None }
    }

    fn keepers(&self, of: &Seen) -> Option<Vec<Seen>> {
        let mut better: Vec<Seen> = self.seen.iter().copied().filter(|k| !k.closing && k.rank < of.rank).collect();
        better.retain(|k| of.ours || (k.rank.0, k.rank.1) < (of.rank.0, of.rank.1));
        better.sort_by_key(|k| k.rank);
        better.truncate(self.config.per_peer as usize);
        (better.len() == self.config.per_peer as usize).then_some(better)
    }

    fn within(&self, at: Time) -> bool {
        self.now.since(at) < self.config.window
    }

    fn tell(&mut self, input: Input) -> Result<(), DuplicatesMisuse> {
        let told = self.pair.handle(self.now, input);
        self.check();
        told
    }

    /// Whoever it is, or one that there is not.
    fn pick(&self, which: usize) -> ConnectionId {
        c(self.seen.get(which).map_or(1000, |seen| seen.id))
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Open { relayed, ours } => {
                let (id, initiator) = (self.next, if ours { Initiator::We } else { Initiator::They });
                self.next += 1;
                let told = self.tell(Input::Opened { connection: c(id), relayed, initiator, larger: ours, streams: 0 });
                assert_eq!(told.is_ok(), self.seen.len() < 4);
                if told.is_ok() {
                    let (answered, proof, asked, drained) = (None, None, None, None);
                    let (rank, streams, closing, paid) = ((relayed, ours, id), 0, false, false);
                    self.seen.push(Seen { id, rank, ours, streams, answered, proof, asked, closing, paid, drained });
                }
            }
            Op::Streams { which, open } => {
                let told = self.tell(Input::Streams { connection: self.pick(which), open });
                assert_eq!(told.is_ok(), which < self.seen.len());
                if let Some(seen) = self.seen.get_mut(which) {
                    seen.streams = open;
                }
            }
            Op::Pong { which, ago } => {
                let asked = self.seen.get(which).and_then(|seen| seen.asked);
                let back = |ago: u16| Time::from_millis((self.now.as_nanos() / 1_000_000).saturating_sub(ago.into()));
                let Some(sent) = ago.map(back).or(asked) else { return };
                let told = self.tell(Input::Pong { connection: self.pick(which), sent });
                assert_eq!(told.is_ok(), which < self.seen.len());
                let now = self.now;
                if let Some(seen) = self.seen.get_mut(which) {
                    seen.asked = None;
                    seen.answered = seen.answered.or(Some(now));
                    seen.proof = seen.proof.max(Some(sent));
                }
            }
            Op::Closing { which } => {
                let _ = self.tell(Input::Closing { connection: self.pick(which) });
                if let Some(seen) = self.seen.get_mut(which) {
                    seen.closing = true;
                }
            }
            Op::Closed { which } => {
                let _ = self.tell(Input::Closed { connection: self.pick(which) });
                if which < self.seen.len() {
                    self.seen.remove(which);
                }
            }
            Op::Wait { millis } => {
                // Late, if there is a deadline on the way.
                self.now = self.now + Duration::from_millis(millis.into());
                self.pair.on_timeout(self.now);
                self.check();
            }
            Op::ToDeadline => {
                let deadline = self.pair.deadline();
                if deadline.is_never() {
                    return;
                }
                // Just before it there is nothing to do.
                self.pair.on_timeout(Time::from_nanos(deadline.as_nanos() - 1));
                assert_eq!(self.pair.poll(), None);
                assert_eq!(self.pair.deadline(), deadline);
                self.now = deadline;
                self.pair.on_timeout(deadline);
                self.check();
            }
        }
        self.poll();
        // Time passed by a millisecond, so that no two things are at once by chance.
        self.now = self.now + Duration::from_millis(1);
        self.pair.on_timeout(self.now);
        self.poll();
    }

    fn check(&self) {
        let deadline = self.pair.deadline();
        assert!(deadline > self.now, "the deadline {deadline:?} is over at {:?}", self.now);
        // Windows are known by what was said.
        let ends = self.closes.iter().chain(&self.told).map(|at| *at + self.config.window);
        let ends: Vec<Time> = ends.filter(|end| *end > self.now).collect();
        assert!(ends.iter().all(|end| deadline <= *end));
        if self.pair.is_quiet(self.now) {
            assert!(ends.is_empty());
        }
    }

    fn poll(&mut self) {
        let mut most = 100;
        while let Some(action) = self.pair.poll() {
            most -= 1;
            assert!(most > 0, "actions without end");
            self.judge(action);
            self.check();
        }
        let open: Vec<u64> = self.seen.iter().filter(|seen| !seen.closing).map(|seen| seen.id).collect();
        let preferred = self.pair.preferred(false).map(|c| c.0);
        assert_eq!(preferred.is_none(), open.is_empty());
        assert!(preferred.is_none_or(|id| open.contains(&id)));
        let direct = self.pair.preferred(true).map(|c| c.0);
        let is_direct = |seen: &Seen| !seen.closing && !seen.rank.0;
        assert_eq!(direct.is_none(), !self.seen.iter().any(is_direct));
        assert!(self.seen.iter().all(|seen| direct != Some(seen.id) || is_direct(seen)));
    }

    /// One that is not being closed.
    fn find(&self, id: ConnectionId) -> usize {
        self.seen.iter().position(|seen| seen.id == id.0 && !seen.closing).unwrap()
    }

    fn judge(&mut self, action: Action) {
        let now = self.now;
        let spent = self.closes.iter().filter(|at| self.within(**at)).count() >= self.config.budget as usize;
        match action {
            Action::Ping { connection } => {
                let at = self.find(connection);
                let seen = &mut self.seen[at];
                assert!(!spent && seen.asked.is_none());
                seen.asked = Some(now);
            }
            Action::Drain { connection, onto } => {
                let at = self.find(connection);
                let keepers = self.keepers(&self.seen[at]).unwrap();
                let answered = self.seen[at].answered.unwrap();
                assert!(!spent && keepers.iter().all(|k| k.proof.unwrap() >= answered));
                assert_eq!(keepers[0].id, onto.0);
                self.seen[at].drained = Some(now);
            }
            Action::Close { connection, kept } => {
                let at = self.find(connection);
                let seen = self.seen[at];
                let keepers = self.keepers(&seen).unwrap();
                assert!(!spent, "{:?} at {now:?}", self.closes);
                assert!(keepers.len() >= self.config.per_peer as usize && keepers[0].id == kept.0);
                let grace = if seen.ours { self.config.grace } else { self.config.long_grace.unwrap() };
                let due = seen.drained.unwrap() + grace;
                assert!(due <= now && (seen.ours || seen.streams == 0));
                assert!(keepers.iter().all(|k| k.proof.unwrap() >= due), "{keepers:?} due {due:?}");
                self.seen[at].closing = true;
                if self.config.budget != u32::MAX && !seen.paid {
                    self.closes.push(now);
                }
                self.seen.iter_mut().for_each(|seen| seen.paid = true);
            }
            Action::Tolerate { .. } => {
                assert!(spent && !self.told.is_some_and(|at| self.within(at)));
                assert!(self.seen.iter().any(|seen| !seen.closing && self.keepers(seen).is_some()));
                self.told = Some(now);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_done_is_what_the_rule_says(
        per_peer in 1..3_u32,
        long in any::<bool>(),
        ops in prop::collection::vec(op(), 1..80),
    ) {
        let mut reader = Reader::new(per_peer, long);
        for op in ops {
            reader.run(op);
        }
    }

    /// Whatever happened: once everything answers and nothing else happens, as many as are wanted remain of what we may close.
    #[test]
    fn when_all_answer_it_ends_with_as_many_as_are_wanted(
        per_peer in 1..3_u32,
        ops in prop::collection::vec(op(), 1..40),
    ) {
        let mut reader = Reader::new(per_peer, true);
        reader.config.budget = u32::MAX;
        reader.pair = Pair::new(reader.config.clone());
        for op in ops {
            reader.run(op);
        }
        for _ in 0..60 {
            while let Some(which) = reader.seen.iter().position(|seen| seen.closing) {
                reader.run(Op::Closed { which });
            }
            for which in 0..reader.seen.len() {
                reader.run(Op::Streams { which, open: 0 });
            }
            for which in 0..reader.seen.len() {
                reader.run(Op::Pong { which, ago: None });
            }
            reader.run(Op::ToDeadline);
        }
        prop_assert!(reader.seen.iter().all(|seen| reader.keepers(seen).is_none()), "{:?}", reader.seen);
        prop_assert!(reader.pair.is_quiet(reader.now) || reader.seen.len() > 1);
    }
}
