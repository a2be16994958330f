//! What is known of one peer, and what both sides of a punch share.
//!
//! ```text
//!   Peer -- links     its connections
//!        -- punch     only while there is, or lately was, something to punch
//!            -- attempt   one series as B, or the answers to one as A; its record becomes the report
//!            -- dials     of the attempt; after it, those whose upgrade runs
//!            -- window    which sockets may be its own
//! ```

use super::action::{Action, Event, Refusal, Stage};
use super::config::{Config, length};
use super::datagrams::Datagrams;
use super::draw::Draw;
use super::record::{Place, Record};
use super::windows::{Window, Windows};
use crate::candidate::{self, Candidate, Path, Selection, Source, Wire};
use crate::nat::Guess;
use crate::report::{Direct, End, Failure, How, Outcome, Side};
use crate::{AskId, ConnectionId, DialFault, DialId, Local, Plan, StreamKey};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Time};

/// What all peers share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) local: PeerId,
    pub(super) config: Config,
    pub(super) now: Time,
    pub(super) draw: Draw,
    pub(super) own: Vec<Candidate>,
    pub(super) nat: Vec<Guess>,
    pub(super) asks: BTreeMap<AskId, PeerId>,
    pub(super) dials: BTreeMap<DialId, PeerId>,
    pub(super) windows: Windows,
    pub(super) next_ask: u64,
    pub(super) next_dial: u64,
    /// Attempts under way.
    pub(super) active: u32,
    /// Those who wait until there are fewer, in their order.
    pub(super) queue: VecDeque<PeerId>,
    pub(super) stopped: bool,
    pub(super) actions: VecDeque<Action>,
}

impl Shared {
    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.act(Action::Event(event));
    }
}

#[derive(Clone, Debug, Default)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct Peer {
    pub(super) links: Vec<Link>,
    pub(super) punch: Option<Box<Punch>>,
    /// When it must be looked at.
    pub(super) wake: Time,
}

#[derive(Clone, Debug)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct Link {
    pub(super) id: ConnectionId,
    pub(super) relayed: bool,
    pub(super) inbound: bool,
    pub(super) proven: bool,
    /// The other end; of a relayed one the relay is in it.
    pub(super) remote: Multiaddr,
    pub(super) rtt: Option<Duration>,
}

#[derive(Clone, Debug)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct Punch {
    pub(super) identified: Option<Identified>,
    /// A series is due: a circuit came to us, and nothing became of it yet.
    pub(super) wanted: bool,
    /// We have answered a `CONNECT`: the other one is B, and we are not any more.
    pub(super) was_a: bool,
    /// A series ended because we knew no address of ours.
    pub(super) poor: bool,
    /// It is in the queue.
    pub(super) queued: bool,
    /// Series that failed in a row.
    pub(super) failures: u32,
    /// Tries that were made on this circuit: what is left is for when a connection is lost that was taken for proven.
    pub(super) used: u32,
    /// No series before.
    pub(super) not_before: Time,
    /// When the peer may ask as often as at first (GCRA: ITU-T I.371 annex A).
    pub(super) calm: Time,
    pub(super) attempt: Option<Box<Attempt>>,
    pub(super) dials: Vec<PunchDial>,
    pub(super) window: Option<Box<Window>>,
}

#[derive(Clone, Debug)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct Identified {
    pub(super) speaks: bool,
    pub(super) listens: Vec<Multiaddr>,
}

#[derive(Clone, Debug)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct Attempt {
    pub(super) side: Side,
    pub(super) state: State,
    /// Which try; 0: none yet.
    pub(super) number: u32,
    pub(super) datagrams: Option<Datagrams>,
    /// Nothing in it is looked at by a decision.
    pub(super) record: Record,
}

/// The states of both tables; which of them a side has, its file says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub(super) enum State {
    Direct {
        until: Time,
    },
    WaitConnect {
        ask: AskId,
        connection: ConnectionId,
        until: Time,
    },
    Armed {
        at: Time,
        targets: Vec<Candidate>,
        rtt: Duration,
    },
    AwaitSync {
        stream: StreamKey,
        until: Time,
        targets: Vec<Candidate>,
    },
    Punching {
        until: Time,
        /// The round trip over the relay.
        rtt: Duration,
        /// A connection seems to be coming up, though our dials failed.
        excused: bool,
    },
    Settling {
        until: Time,
        connection: ConnectionId,
    },
    Between {
        until: Time,
    },
}

/// A dial of ours that runs.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct PunchDial {
    pub(super) id: DialId,
    /// The transport is there. Such a one is not given up because another one was faster (rule A, row 8).
    pub(super) upgrading: bool,
    pub(super) until: Time,
    pub(super) place: Place,
}

impl Punch {
    pub(super) fn new() -> Punch {
        Punch {
            identified: None,
            wanted: false,
            was_a: false,
            poor: false,
            queued: false,
            failures: 0,
            used: 0,
            not_before: Time::ZERO,
            calm: Time::ZERO,
            attempt: None,
            dials: Vec::new(),
            window: None,
        }
    }

    pub(super) fn memory_used(&self) -> usize {
        let listens = self.identified.as_ref().map_or(0, |known| Multiaddr::list_memory_used(&known.listens));
        let attempt = self.attempt.as_ref().map_or(0, |attempt| size_of::<Attempt>() + attempt.memory_used());
        let window = self.window.as_ref().map_or(0, |window| size_of::<Window>() + window.memory_used());
        size_of::<Punch>() + listens + attempt + window + self.dials.capacity() * size_of::<PunchDial>()
    }
}

impl Attempt {
    fn memory_used(&self) -> usize {
        let targets = match &self.state {
            State::Armed { targets, .. } | State::AwaitSync { targets, .. } => {
                targets.iter().map(Candidate::memory_used).sum::<usize>() + targets.capacity() * size_of::<Candidate>()
            }
            _ => 0,
        };
        targets + self.record.memory_used() + self.datagrams.as_ref().map_or(0, Datagrams::memory_used)
    }

    fn deadline(&self) -> Time {
        match &self.state {
            State::Direct { until } | State::WaitConnect { until, .. } | State::AwaitSync { until, .. } => *until,
            State::Punching { until, .. } | State::Settling { until, .. } | State::Between { until } => *until,
            State::Armed { at, .. } => *at,
        }
    }
}

/// One peer, while something happens to it.
pub(super) struct Turn<'a> {
    pub(super) shared: &'a mut Shared,
    pub(super) links: &'a mut Vec<Link>,
    pub(super) punch: &'a mut Punch,
    pub(super) id: PeerId,
}

impl Turn<'_> {
    /// When it must be looked at again. `NEVER`: not before something happens.
    pub(super) fn deadline(&self) -> Time {
        let attempt = self.punch.attempt.as_ref();
        let stage = attempt.map_or(Time::NEVER, |attempt| attempt.deadline());
        let datagrams = attempt.and_then(|attempt| attempt.datagrams.as_ref()).map_or(Time::NEVER, Datagrams::deadline);
        let window = self.punch.window.as_ref().map_or(Time::NEVER, |window| window.until);
        let dials = self.punch.dials.iter().map(|dial| dial.until).min().unwrap_or(Time::NEVER);
        let start = if self.would_start() && !self.punch.queued { self.punch.not_before } else { Time::NEVER };
        let relayed = self.links.iter().any(|link| link.relayed);
        let forget = if !relayed { self.punch.not_before.max(self.punch.calm) } else { Time::NEVER };
        let forget = if forget > self.shared.now { forget } else { Time::NEVER };
        stage.min(datagrams).min(window).min(dials).min(start).min(forget)
    }

    /// Whether nothing is left to remember.
    pub(super) fn is_forgettable(&self) -> bool {
        let (punch, now) = (&*self.punch, self.shared.now);
        let idle = punch.attempt.is_none() && punch.window.is_none() && punch.dials.is_empty();
        let relayed = self.links.iter().any(|link| link.relayed);
        idle && !relayed && !punch.queued && punch.not_before <= now && punch.calm <= now
    }

    /// Time has passed.
    pub(super) fn timeout(&mut self) {
        let now = self.shared.now;
        self.dials_timeout();
        self.window_timeout();
        self.datagrams_timeout();
        let Some(attempt) = self.punch.attempt.as_ref().filter(|attempt| attempt.deadline() <= now) else {
            return self.maybe_start();
        };
        match (attempt.side, &attempt.state) {
            (Side::B, _) => self.b_timeout(),
            (Side::A, _) => self.a_timeout(),
        }
    }

    pub(super) fn state(&self) -> Option<(Side, &State)> {
        self.punch.attempt.as_ref().map(|attempt| (attempt.side, &attempt.state))
    }

    pub(super) fn is_direct(&self) -> bool {
        self.links.iter().any(|link| !link.relayed)
    }

    pub(super) fn is_proven(&self) -> bool {
        self.links.iter().any(|link| link.proven)
    }

    /// The youngest relayed connection: one that came to us, or one that we made.
    pub(super) fn circuit(&self, inbound: bool) -> Option<ConnectionId> {
        self.links.iter().rev().find(|link| link.relayed && link.inbound == inbound).map(|link| link.id)
    }

    /// What we tell, fresh.
    pub(super) fn offer(&self) -> Selection {
        candidate::offer(&self.shared.own, &self.shared.config.addresses)
    }

    /// What of theirs is dialed: what they told; if that is nothing, what identify named.
    pub(super) fn targets(&self, told: &[Multiaddr]) -> Selection {
        let told = told.get(..told.len().min(length(self.shared.config.max_told))).unwrap_or_default();
        let mut selection = self.select(told, Source::Told);
        if selection.kept.is_empty() {
            let other = self.listened();
            selection.kept = other.kept;
            selection.further = selection.further.saturating_add(other.further);
            let room = self.shared.config.addresses.max_dropped.saturating_sub(selection.dropped.len());
            selection.further = selection.further.saturating_add(other.dropped.len().saturating_sub(room));
            selection.dropped.extend(other.dropped.into_iter().take(room));
        }
        selection
    }

    /// What can be dialed of what identify named.
    pub(super) fn listened(&self) -> Selection {
        let listens = self.punch.identified.as_ref().map(|known| known.listens.as_slice()).unwrap_or_default();
        self.select(listens, Source::Identified)
    }

    /// From which port of ours a punch dials this. A NAT that gives a new port per destination does so whatever port we dial from:
    /// then the listener's is left alone. What the other one dials leads there, and its SYN would meet ours in one socket, which
    /// answers by the wrong mapping. That it is such a NAT is a guess, which one who lies may spoil, or a sight from before the
    /// router's restart: so every other try goes from the listener's port all the same.
    pub(super) fn local_for(&self, target: &Multiaddr) -> Local {
        let path = Path::of(target).filter(|path| path.wire == Wire::Tcp);
        let here = |guess: &&Guess| Some(guess.path) == path && guess.mapping.depends_on_destination();
        match self.shared.nat.iter().find(here) {
            Some(_) if self.number() % 2 == 1 => Local::Any,
            _ => candidate::local_for(target, &self.shared.own),
        }
    }

    fn select(&self, addresses: &[Multiaddr], source: Source) -> Selection {
        candidate::targets(addresses, source, &self.id, &self.shared.own, &self.shared.config.addresses)
    }

    /// Begins an attempt. There is none.
    pub(super) fn begin(&mut self, side: Side, state: State) {
        let relay = self.links.iter().rev().find_map(|link| link.remote.relay_peer_id());
        let record = Record::new(self.id, relay, side, self.shared.now);
        let number = if side == Side::B { self.punch.used } else { 0 };
        self.punch.attempt = Some(Box::new(Attempt { side, state, number, datagrams: None, record }));
        self.shared.active = self.shared.active.saturating_add(1);
        self.shared.tell(Event::Started { peer: self.id, side });
    }

    pub(super) fn enter(&mut self, state: State, stage: Stage) {
        if let Some(attempt) = &mut self.punch.attempt {
            attempt.state = state;
            self.shared.tell(Event::Stage { peer: self.id, stage });
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.punch.attempt.as_ref().map_or(0, |attempt| attempt.number)
    }

    pub(super) fn record(&mut self) -> Option<&mut Record> {
        self.punch.attempt.as_mut().map(|attempt| &mut attempt.record)
    }

    /// The first step of an attempt: dials what identify named, if that is anything. Whether it did.
    pub(super) fn dial_directly(&mut self, side: Side) -> bool {
        let selection = self.listened();
        if selection.kept.is_empty() {
            return false;
        }
        let (now, until) = (self.shared.now, self.shared.now + self.shared.config.direct_timeout);
        self.begin(side, State::Direct { until });
        let dials = u32::try_from(selection.kept.len()).unwrap_or(u32::MAX);
        self.shared.tell(Event::Stage { peer: self.id, stage: Stage::Direct { dials } });
        let Selection { kept, dropped, further } = selection;
        if let Some(record) = self.record() {
            record.direct(Direct { started: now, dials: Vec::new(), dropped, further });
        }
        let timeout = self.shared.config.direct_timeout;
        for target in kept {
            // From a port of its own: an old socket on the pair of ports that the punch will use would spoil it.
            self.dial(&target, Local::Any, Plan::Initiate, timeout);
        }
        true
    }

    pub(super) fn dial(&mut self, target: &Candidate, local: Local, plan: Plan, timeout: Duration) {
        let id = DialId(self.shared.next_dial);
        self.shared.next_dial = self.shared.next_dial.wrapping_add(1);
        let (now, peer, address) = (self.shared.now, self.id, target.address.clone());
        let Some(record) = self.record() else { return };
        let place = record.dial(now, target, local.clone(), plan);
        self.punch.dials.push(PunchDial { id, upgrading: false, until: now + timeout, place });
        self.shared.dials.insert(id, peer);
        let event = Event::Dialing { peer, dial: id, address: address.clone(), local: local.clone(), plan };
        self.shared.act(Action::Dial { dial: id, peer, address, local, plan, timeout });
        self.shared.tell(event);
    }

    /// Ends the dials that `which` says.
    pub(super) fn abort(&mut self, which: impl Fn(&PunchDial) -> bool) {
        let (gone, left): (Vec<_>, Vec<_>) = core::mem::take(&mut self.punch.dials).into_iter().partition(which);
        self.punch.dials = left;
        for dial in gone {
            self.shared.dials.remove(&dial.id);
            self.shared.act(Action::Abort { dial: dial.id });
            self.outcome(&dial, None, Outcome::Cancelled);
        }
    }

    pub(super) fn abort_all(&mut self) {
        self.abort(|_| true);
        self.stop_datagrams();
    }

    fn dials_timeout(&mut self) {
        let now = self.shared.now;
        if !self.punch.dials.iter().any(|dial| dial.until <= now) {
            return;
        }
        let late: Vec<DialId> = self.punch.dials.iter().filter(|dial| dial.until <= now).map(|dial| dial.id).collect();
        for id in late {
            self.shared.act(Action::Abort { dial: id });
            self.dial_failed(id, DialFault::TimedOut);
        }
    }

    fn outcome(&mut self, dial: &PunchDial, bound: Option<&Multiaddr>, outcome: Outcome) {
        let (now, peer) = (self.shared.now, self.id);
        if let Some(record) = self.record() {
            record.outcome(dial.place, now, bound, outcome.clone());
        }
        self.shared.tell(Event::Outcome { peer, dial: dial.id, outcome });
    }

    fn take_dial(&mut self, id: DialId) -> Option<PunchDial> {
        let at = self.punch.dials.iter().position(|dial| dial.id == id)?;
        self.shared.dials.remove(&id);
        Some(self.punch.dials.remove(at))
    }

    pub(super) fn upgrading(&mut self, id: DialId) {
        for dial in self.punch.dials.iter_mut().filter(|dial| dial.id == id) {
            dial.upgrading = true;
        }
    }

    pub(super) fn dial_failed(&mut self, id: DialId, why: DialFault) {
        let Some(dial) = self.take_dial(id) else { return };
        let (now, timeout) = (self.shared.now, self.shared.config.punch_timeout);
        let other_won = why == DialFault::AddressNotAvailable;
        self.outcome(&dial, None, Outcome::Failed(why));
        let arriving = self.punch.window.as_ref().is_some_and(|window| window.arriving > 0);
        let none_left = self.punch.dials.is_empty();
        let Some(attempt) = &mut self.punch.attempt else { return };
        let sending = attempt.datagrams.is_some();
        match (&mut attempt.state, attempt.side) {
            (State::Direct { .. }, side) if none_left => self.direct_failed(side),
            (State::Punching { until, rtt, excused }, _) => {
                *excused |= other_won || arriving;
                if none_left && !*excused && !sending {
                    // Their NAT refused our SYN; theirs may be on its way all the same, to our listener. Its handshake takes half as
                    // long again as the refusal did, and they dialed within a round trip of us.
                    let took = timeout.saturating_sub(dial.until.since(now));
                    *until = (*until).min(now + took.saturating_add(*rtt));
                }
            }
            _ => {}
        }
    }

    pub(super) fn dialed(&mut self, id: DialId, connection: ConnectionId, local: &Multiaddr) {
        let Some(dial) = self.take_dial(id) else { return };
        self.outcome(&dial, Some(local), Outcome::Connected(connection));
        let how = match dial.place {
            Place::Direct { .. } => How::Direct,
            Place::Try { number, .. } => How::Dialed { number },
            Place::Over => How::Elsewhere,
        };
        self.established(connection, how);
    }

    /// There is a direct connection.
    pub(super) fn established(&mut self, connection: ConnectionId, how: How) {
        let now = self.shared.now;
        let Some(attempt) = &mut self.punch.attempt else { return };
        attempt.record.up(now, connection, how);
        let state = attempt.state.clone();
        self.abort(|dial| !dial.upgrading);
        self.stop_datagrams();
        match state {
            State::Settling { .. } => return,
            State::WaitConnect { ask, .. } => self.reset_ask(ask),
            State::AwaitSync { stream, .. } => {
                self.shared.act(Action::ResetStream { stream, why: Refusal::Over });
            }
            _ => {}
        }
        let until = now + self.shared.config.settle_timeout;
        self.enter(State::Settling { until, connection }, Stage::Settling { connection });
    }

    /// The attempt ends well: both ends know this connection, or else the oldest that stands is taken for it.
    pub(super) fn upgraded(&mut self, connection: Option<ConnectionId>) {
        let Some(attempt) = &self.punch.attempt else { return };
        let mut direct = self.links.iter().filter(|link| !link.relayed);
        let Some(link) = direct.find(|link| connection.is_none_or(|proven| proven == link.id)) else {
            return self.fail(Failure::Lost);
        };
        let (how, after) = attempt.record.how(link.id);
        let end = End::Upgraded { connection: link.id, address: link.remote.clone(), how, after };
        self.punch.failures = 0;
        // A plain dial that succeeded counts as one, so that it ends.
        self.punch.used = self.punch.used.saturating_add(u32::from(attempt.side == Side::B));
        self.end(end);
    }

    pub(super) fn fail(&mut self, why: Failure) {
        self.end(End::Failed(why));
    }

    /// Ends the attempt, and tells of it. What runs of it ends too, but for upgrades.
    fn end(&mut self, end: End) {
        let now = self.shared.now;
        self.abort(|dial| !dial.upgrading);
        self.stop_datagrams();
        let Some(attempt) = self.punch.attempt.take() else { return };
        match attempt.state {
            State::WaitConnect { ask, .. } => self.reset_ask(ask),
            State::AwaitSync { stream, .. } => {
                self.shared.act(Action::ResetStream { stream, why: Refusal::Over });
            }
            _ => {}
        }
        self.shared.active = self.shared.active.saturating_sub(1);
        if attempt.side == Side::B {
            self.punch.used = self.punch.used.max(attempt.number);
        }
        if let (Side::B, End::Failed(why)) = (attempt.side, &end)
            && !matches!(why, Failure::Cancelled | Failure::NetworkChanged | Failure::TheirTurn)
        {
            self.punch.failures = self.punch.failures.saturating_add(1);
            self.punch.not_before = now + self.shared.config.pause(self.punch.failures);
            self.punch.poor = *why == Failure::NothingOfOurs;
        }
        // What becomes of a handshake that runs is not told in this report any more, and not in that of the next attempt.
        self.punch.dials.iter_mut().for_each(|dial| dial.place = Place::Over);
        let report = attempt.record.finish(now, end, &self.shared.nat);
        self.shared.tell(Event::Report(report));
    }

    pub(super) fn reset_ask(&mut self, ask: AskId) {
        if self.shared.asks.remove(&ask).is_some() {
            self.shared.act(Action::ResetAsk { ask });
        }
    }

    /// A connection is gone.
    pub(super) fn disconnected(&mut self, gone: &Link) {
        let direct = self.is_direct();
        let Some((side, state)) = self.state() else { return };
        match (side, state.clone()) {
            (_, State::Settling { .. }) => {
                let relayed = self.links.iter().any(|link| link.relayed);
                match (direct, side) {
                    // The other end, which follows rule A too, closes the circuit when it has the proof. If the circuit was lost
                    // otherwise, there is nothing more to be done.
                    (true, _) if gone.relayed && !relayed => self.upgraded(None),
                    (true, _) => {}
                    (false, Side::B) => self.next_try(Failure::Lost),
                    (false, Side::A) => self.try_failed(Failure::Lost),
                }
            }
            (_, State::WaitConnect { ask, connection, .. }) if connection == gone.id => {
                self.shared.asks.remove(&ask);
                self.next_try(Failure::RelayLost);
            }
            (_, State::AwaitSync { stream, .. }) if stream.connection == gone.id => self.try_failed(Failure::RelayLost),
            (_, State::Between { .. }) if self.circuit(false).is_none() => self.fail(Failure::RelayLost),
            _ => {}
        }
    }
}
