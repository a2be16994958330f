//! The machine of one pair of peers.
//!
//! ```text
//!            keepers proven            grace over, and no streams if the remote's     keepers proven again
//!  Stays ------------------> Draining ---------------------------------------> Due ----------------------> Closing
//!    ^                          |  ^--------------- streams again ---------------|                            ^
//!    |-- keeper gone, or budget |                                                |    somebody else closes it |
//!    |-------- spent -----------|------------------------------------------------|    (from any stage) -------|
//! ```
//!
//! Connections stand in one list, best first: by class, then by age. Nothing is queued: `poll` decides on what is true at
//! that moment, so an action never names what is gone, and a keeper that died before the poll closes nobody.

use super::{Action, DuplicatesConfig, DuplicatesMisuse, Initiator, Input, Tolerated};
use crate::ConnectionId;
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{EventMachine, Time};

/// One remote peer's connections, and which of them stay. An event machine.
///
/// Needed only while a peer has two connections or more; report those that it has already, oldest first, then go on until
/// [`is_quiet`](Pair::is_quiet). The rule is in the [module's documentation](crate::duplicates).
///
/// Both peers dialed at once. Ours is the worse of the two connections, for our id is the larger one:
///
/// ```
/// use core::time::Duration;
/// use tidewire_connmgr::ConnectionId;
/// use tidewire_connmgr::duplicates::{Action, DuplicatesConfig, Initiator, Input, Pair};
/// use tidewire_core::{EventMachine, Time};
///
/// let (ours, theirs) = (ConnectionId(1), ConnectionId(2));
/// let opened = |connection, initiator| Input::Opened {
///     connection, relayed: false, initiator, larger: initiator == Initiator::We, streams: 0,
/// };
/// let mut pair = Pair::new(DuplicatesConfig::default());
/// pair.handle(Time::ZERO, opened(ours, Initiator::We))?;
/// pair.handle(Time::ZERO, opened(theirs, Initiator::They))?;
///
/// // The remote has ours too, if it answers on it. Then theirs has to prove that it works.
/// assert_eq!(pair.poll(), Some(Action::Ping { connection: ours }));
/// pair.handle(Time::from_millis(20), Input::Pong { connection: ours, sent: Time::ZERO })?;
/// assert_eq!(pair.poll(), Some(Action::Ping { connection: theirs }));
/// pair.handle(Time::from_millis(40), Input::Pong { connection: theirs, sent: Time::from_millis(20) })?;
/// assert_eq!(pair.poll(), Some(Action::Drain { connection: ours, onto: theirs }));
/// assert_eq!(pair.preferred(false), Some(theirs));
///
/// // After the grace it has to prove it again, and ours is closed.
/// let due = pair.deadline();
/// assert_eq!(due, Time::from_millis(5040));
/// pair.on_timeout(due);
/// assert_eq!(pair.poll(), Some(Action::Ping { connection: theirs }));
/// pair.handle(due + Duration::from_millis(20), Input::Pong { connection: theirs, sent: due })?;
/// assert_eq!(pair.poll(), Some(Action::Close { connection: ours, kept: theirs }));
/// # assert_eq!(pair.poll(), None);
/// # Ok::<(), tidewire_connmgr::duplicates::DuplicatesMisuse>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    config: DuplicatesConfig,
    /// The latest moment that we were told.
    now: Time,
    /// Best first: by class, then by age.
    connections: Vec<Connection>,
    /// When we closed one that came after the close before, within the window; at most `budget`.
    closes: Vec<Time>,
    /// When we said that duplicates are tolerated, within the window.
    told: Option<Time>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Connection {
    id: ConnectionId,
    class: Class,
    /// We initiated its security handshake.
    ours: bool,
    streams: u32,
    /// When its first answer came: since then we know that the remote has it too.
    answered: Option<Time>,
    /// When the latest of those pings was sent that were answered.
    proof: Option<Time>,
    /// We asked for a ping, and no answer has come since.
    asked: bool,
    /// It was there when we closed one, which paid for both.
    paid: bool,
    stage: Stage,
}

/// Lower is better, and both sides see the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Class {
    relayed: bool,
    /// Its security initiator is the peer with the larger id.
    larger: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Stays,
    /// New streams go on `onto`.
    Draining {
        onto: ConnectionId,
        until: Time,
    },
    /// May be closed when the keepers answer a ping that was sent since.
    Due {
        onto: ConnectionId,
        since: Time,
    },
    Closing,
}

impl Connection {
    /// Neither closed by us nor by anybody else, as far as we know.
    fn is_open(&self) -> bool {
        self.stage != Stage::Closing
    }

    /// Whose place it leaves to whom.
    fn onto(&self) -> Option<ConnectionId> {
        match self.stage {
            Stage::Draining { onto, .. } | Stage::Due { onto, .. } => Some(onto),
            Stage::Stays | Stage::Closing => None,
        }
    }

    /// What the remote initiated is its own to close, as long as anybody uses it.
    fn may_go(&self) -> bool {
        self.ours || self.streams == 0
    }
}

impl Pair {
    /// No connection yet.
    pub fn new(config: DuplicatesConfig) -> Pair {
        Pair { config, now: Time::ZERO, connections: Vec::new(), closes: Vec::new(), told: None }
    }

    /// On which connection new streams go: the best to which another one leaves its place, being proven; else the best.
    /// With `direct_only`, relayed ones are passed over. `None`: there is no such connection that is not being closed.
    pub fn preferred(&self, direct_only: bool) -> Option<ConnectionId> {
        let fit = |c: &&Connection| c.stage == Stage::Stays && !(direct_only && c.class.relayed);
        let proven = |c: &&Connection| self.connections.iter().any(|other| other.onto() == Some(c.id));
        let best = self.connections.iter().filter(fit).find(proven).or_else(|| self.connections.iter().find(fit));
        best.map(|c| c.id)
    }

    /// Whether nothing is left to decide or to remember: at most one connection, and no close within the window. Such a
    /// pair may be dropped. Becomes true without an input at [`deadline`](EventMachine::deadline) only.
    pub fn is_quiet(&self, now: Time) -> bool {
        let now = self.now.max(now);
        let over = |at: &Time| now.since(*at) >= self.window();
        self.connections.len() <= 1 && self.closes.iter().all(over) && self.told.iter().all(over)
    }

    fn opened(&mut self, new: Connection) -> Result<(), DuplicatesMisuse> {
        let max = self.config.max_connections.max(2);
        if self.connections.iter().any(|c| c.id == new.id) {
            return Err(DuplicatesMisuse::Exists(new.id));
        }
        if self.connections.len() >= usize::try_from(max).unwrap_or(usize::MAX) {
            return Err(DuplicatesMisuse::Full { connection: new.id, max });
        }
        let at = self.connections.partition_point(|c| c.class <= new.class);
        self.connections.insert(at, new);
        Ok(())
    }

    fn find(&mut self, id: ConnectionId) -> Result<&mut Connection, DuplicatesMisuse> {
        self.connections.iter_mut().find(|c| c.id == id).ok_or(DuplicatesMisuse::Unknown(id))
    }

    /// Those for which the connection at `at` is to go: the best `per_peer` of the open ones that are better. `None`: it stays.
    fn keepers(&self, at: usize) -> Option<impl Iterator<Item = &Connection>> {
        let wanted = usize::try_from(self.config.per_peer.max(1)).unwrap_or(usize::MAX);
        let candidate = self.connections.get(at).filter(|c| c.is_open())?;
        // Within a class only the initiator knows which one is older; the other side would choose by its own order.
        let better = |k: &&Connection| k.is_open() && (candidate.ours || k.class < candidate.class);
        let better = self.connections.iter().take(at).filter(better).take(wanted);
        (better.clone().count() == wanted).then_some(better)
    }

    /// Whether each keeper of the connection at `at` answered a ping that was sent at `since` or later.
    fn proven(&self, at: usize, since: Time) -> bool {
        self.keepers(at).is_some_and(|mut keepers| keepers.all(|k| k.proof >= Some(since)))
    }

    fn window(&self) -> Duration {
        self.config.window.max(Duration::from_secs(1))
    }

    fn tolerates(&self) -> bool {
        self.closes.len() >= usize::try_from(self.config.budget).unwrap_or(usize::MAX)
    }

    /// Lets those take part no more whose reason is gone, and finds those whose grace is over.
    fn settle(&mut self) {
        let (now, window) = (self.now, self.window());
        self.closes.retain(|at| now.since(*at) < window);
        self.told = self.told.filter(|at| now.since(*at) < window);
        for at in 0..self.connections.len() {
            let stage = self.stage_now(at);
            if let Some(connection) = self.connections.get_mut(at) {
                connection.stage = stage;
            }
        }
    }

    fn stage_now(&self, at: usize) -> Stage {
        let Some(c) = self.connections.get(at) else { return Stage::Closing };
        let Some(onto) = c.onto() else { return c.stage };
        let keeper_is_open = self.connections.iter().any(|k| k.id == onto && k.is_open());
        if !keeper_is_open || self.tolerates() || self.keepers(at).is_none() {
            return Stage::Stays;
        }
        match c.stage {
            Stage::Draining { until, .. } if until <= self.now && c.may_go() => Stage::Due { onto, since: self.now },
            Stage::Due { since, .. } if !c.may_go() => Stage::Draining { onto, until: since },
            stage => stage,
        }
    }

    /// Rows 4 and 5: a candidate whose keepers are proven over it drains.
    fn drain(&mut self) -> Option<Action> {
        let ready = |(at, c): (usize, &Connection)| {
            c.stage == Stage::Stays && c.answered.is_some_and(|answered| self.proven(at, answered))
        };
        let at = self.connections.iter().enumerate().position(ready)?;
        let onto = self.keepers(at)?.next()?.id;
        let (now, config) = (self.now, &self.config);
        let c = self.connections.get_mut(at)?;
        let grace = if c.ours { Some(config.grace) } else { config.long_grace };
        c.stage = Stage::Draining { onto, until: grace.map_or(Time::NEVER, |grace| now + grace) };
        let action = Action::Drain { connection: c.id, onto };
        // A grace of nothing is over already, and no deadline would say so.
        self.settle();
        Some(action)
    }

    /// Row 5: one whose grace is over, and whose keepers are proven again, is closed.
    fn close(&mut self) -> Option<Action> {
        let ready = |(at, c): (usize, &Connection)| match c.stage {
            Stage::Due { since, .. } => self.proven(at, since),
            _ => false,
        };
        let at = self.connections.iter().enumerate().position(ready)?;
        let kept = self.keepers(at)?.next()?.id;
        let c = self.connections.get_mut(at)?;
        c.stage = Stage::Closing;
        let (action, paid) = (Action::Close { connection: c.id, kept }, c.paid);
        if self.config.budget != u32::MAX {
            self.connections.iter_mut().for_each(|c| c.paid = true);
            if !paid {
                self.closes.push(self.now);
            }
        }
        self.settle();
        Some(action)
    }

    /// Rows 2, 3 and 5: a ping that is lacking.
    fn ping(&mut self) -> Option<Action> {
        let id = (0..self.connections.len()).find_map(|at| self.lacking(at))?;
        let connection = self.connections.iter_mut().find(|c| c.id == id)?;
        connection.asked = true;
        Some(Action::Ping { connection: id })
    }

    /// Whom to ask next, so that something may become of the connection at `at`.
    fn lacking(&self, at: usize) -> Option<ConnectionId> {
        let c = self.connections.get(at)?;
        let mut keepers = self.keepers(at)?;
        let since = match (c.stage, c.answered) {
            (Stage::Stays, None) => return (!c.asked).then_some(c.id),
            (Stage::Stays, Some(answered)) => answered,
            (Stage::Due { since, .. }, _) => since,
            (Stage::Draining { .. } | Stage::Closing, _) => return None,
        };
        keepers.find(|k| k.proof < Some(since) && !k.asked).map(|k| k.id)
    }

    /// One went, so the best are others now. What they answered while that one was waited for is old: it proves that they
    /// worked then.
    fn doubt(&mut self, now: Time) {
        for c in &mut self.connections {
            if let Stage::Due { since, .. } = &mut c.stage {
                *since = now;
            }
        }
    }

    /// Row 6.
    fn tolerate(&mut self) -> Option<Action> {
        if self.told.is_some() || !(0..self.connections.len()).any(|at| self.keepers(at).is_some()) {
            return None;
        }
        self.told = Some(self.now);
        let why = Tolerated::BudgetSpent { closes: self.config.budget, window: self.window() };
        Some(Action::Tolerate { why })
    }
}

/// What a moment that is stored says, for the model check.
#[cfg(any(test, feature = "model"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A ping was sent.
    Sent,
    /// Only what was sent at this moment or later is a proof.
    Mark,
    /// A grace ends.
    Grace,
    /// A window began.
    Window,
}

#[cfg(any(test, feature = "model"))]
impl Pair {
    /// Gives every moment that is stored another name. `map` must keep what the comparisons say.
    pub(crate) fn rebase(&mut self, now: Time, map: &mut dyn FnMut(Moment, Time) -> Time) {
        self.now = now;
        for c in &mut self.connections {
            c.answered = c.answered.map(|at| map(Moment::Mark, at));
            c.proof = c.proof.map(|at| map(Moment::Sent, at));
            match &mut c.stage {
                Stage::Draining { until, .. } => *until = map(Moment::Grace, *until),
                Stage::Due { since, .. } => *since = map(Moment::Mark, *since),
                Stage::Stays | Stage::Closing => {}
            }
        }
        for at in self.closes.iter_mut().chain(&mut self.told) {
            *at = map(Moment::Window, *at);
        }
    }
}

impl EventMachine for Pair {
    type Input<'a> = Input;
    type Action = Action;
    type Misuse = DuplicatesMisuse;

    fn handle(&mut self, now: Time, input: Input) -> Result<(), DuplicatesMisuse> {
        let now = self.now.max(now);
        match input {
            Input::Opened { connection, relayed, initiator, larger, streams } => self.opened(Connection {
                id: connection,
                class: Class { relayed, larger },
                ours: initiator == Initiator::We,
                streams,
                answered: None,
                proof: None,
                asked: false,
                paid: false,
                stage: Stage::Stays,
            })?,
            Input::Streams { connection, open } => self.find(connection)?.streams = open,
            Input::Pong { connection, sent } => {
                let c = self.find(connection)?;
                c.asked = false;
                c.answered = c.answered.or(Some(now));
                c.proof = c.proof.max(Some(sent.min(now)));
            }
            Input::Closing { connection } => {
                self.find(connection)?.stage = Stage::Closing;
                self.doubt(now);
            }
            Input::Closed { connection } => {
                self.find(connection)?;
                self.connections.retain(|c| c.id != connection);
                self.doubt(now);
            }
        }
        self.now = now;
        self.settle();
        Ok(())
    }

    fn on_timeout(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.settle();
    }

    fn poll(&mut self) -> Option<Action> {
        if self.tolerates() {
            return self.tolerate();
        }
        self.drain().or_else(|| self.close()).or_else(|| self.ping())
    }

    /// The end of a grace, or of the window of a close. A pair has few connections: a walk over them is O(1).
    fn deadline(&self) -> Time {
        let graces = self.connections.iter().filter_map(|c| match c.stage {
            Stage::Draining { until, .. } if until > self.now => Some(until),
            _ => None,
        });
        let windows = self.closes.iter().chain(&self.told).map(|at| *at + self.window());
        graces.chain(windows).min().unwrap_or(Time::NEVER)
    }

    fn memory_used(&self) -> usize {
        self.connections.capacity() * size_of::<Connection>() + self.closes.capacity() * size_of::<Time>()
    }
}
