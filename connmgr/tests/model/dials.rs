//! Dials of the reference: one address for each peer, so one dial at a time; and the gate.

use crate::reference::Model;
use crate::world::{Op, PEERS, Rule, WHY, dial_limit, fault, home, ip_of, peer};
use core::time::Duration;
use tidewire_connmgr::dial::{AddressReport, DialFailure, DialFault, DialMisuse, DialReport, Outcome};
use tidewire_connmgr::limits::LimitExceeded;
use tidewire_connmgr::{Action, CloseReason, ConnectionId, DialId, Direction, Event, Misuse, RefuseReason, RequestId};
use tidewire_core::Time;

#[derive(Clone, Debug, Default)]
pub(crate) struct Dials {
    callers: Vec<Caller>,
    attempts: Vec<Attempt>,
    backoffs: Vec<Backoff>,
    remembered: Vec<Remembered>,
    rules: Vec<Rule>,
    /// What is being reported as established.
    ended: Option<Attempt>,
    /// Dials have numbers from here on.
    pub(crate) next_dial: u64,
}

/// Someone who waits for a peer. In the order in which they came.
#[derive(Clone, Copy, Debug)]
struct Caller {
    request: u64,
    peer: usize,
    since: Time,
    direct_only: bool,
    new: bool,
}

#[derive(Clone, Copy, Debug)]
struct Attempt {
    dial: u64,
    peer: usize,
    since: Time,
    /// The transport is connected.
    connected: bool,
}

#[derive(Clone, Copy, Debug)]
struct Backoff {
    peer: usize,
    until: Time,
    failures: u32,
}

/// The address of a peer, as long as it is remembered.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    peer: usize,
    until: Time,
    keep: Time,
    /// The last dial succeeded.
    connected: bool,
}

impl Dials {
    pub(crate) fn under_way(&self) -> Vec<(u64, usize)> {
        self.attempts.iter().map(|attempt| (attempt.dial, attempt.peer)).collect()
    }

    pub(crate) fn requests(&self) -> Vec<u64> {
        self.callers.iter().map(|caller| caller.request).collect()
    }

    pub(crate) fn remembers(&self, peer: usize) -> bool {
        self.remembered.iter().any(|known| known.peer == peer)
    }

    /// Peers that somebody waits for, in the order of their ids.
    pub(crate) fn wanted(&self) -> Vec<usize> {
        let mut peers: Vec<usize> = self.callers.iter().map(|caller| caller.peer).collect();
        peers.sort_unstable();
        peers.dedup();
        peers
    }
}

impl Model {
    /// Whether the peer's address may still be believed.
    pub(crate) fn believes(&self, n: usize) -> bool {
        self.dials.remembered.iter().any(|known| known.peer == n && known.until > self.now)
    }

    /// How many rules the gate has.
    pub(crate) fn rules(&self) -> usize {
        self.dials.rules.len()
    }

    pub(crate) fn denies_peer(&self, peer: usize) -> bool {
        self.dials.rules.contains(&Rule::Peer(peer))
    }

    /// By the IP address that it begins with; for a circuit that is the relay's.
    pub(crate) fn denies_ip_of(&self, at: usize) -> bool {
        let Some(ip) = ip_of(if at >= 6 { at - 6 } else { at }) else { return false };
        self.dials.rules.iter().any(|rule| match rule {
            Rule::Subnet(network, prefix) => {
                let network: core::net::IpAddr = network.parse().unwrap();
                let bits = |ip: core::net::IpAddr| match ip {
                    core::net::IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
                    core::net::IpAddr::V6(ip) => ip.to_bits(),
                };
                ip.is_ipv4() == network.is_ipv4() && (bits(ip) ^ bits(network)).leading_zeros() >= u32::from(*prefix)
            }
            _ => false,
        })
    }

    pub(crate) fn gate_input(&mut self, op: Op) -> Result<(), Misuse> {
        match op {
            Op::Deny { rule } => self.deny(rule),
            Op::Allow { rule } => {
                self.dials.rules.retain(|known| *known != rule);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn deny(&mut self, rule: Rule) -> Result<(), Misuse> {
        if let Rule::Subnet(ip, prefix @ 33..) = rule
            && !ip.contains(':')
        {
            return Err(DialMisuse::Prefix(ip.parse().unwrap(), prefix).into());
        }
        let max = self.config.dial.max_rules;
        if !self.dials.rules.contains(&rule) {
            if u32::try_from(self.dials.rules.len()).is_ok_and(|rules| rules >= max) {
                return Err(DialMisuse::TooManyRules(max).into());
            }
            self.dials.rules.push(rule);
        }
        let close = CloseReason::Denied { why: WHY.into() };
        if let Rule::Peer(peer) = rule {
            self.close_peer(peer, &close);
            self.end_dial_of(peer, &DialFailure::Denied(WHY.into()));
        }
        if let Rule::Subnet(..) = rule {
            for connection in self.connections.clone() {
                if self.denies_ip_of(connection.at) {
                    self.end_for(&connection, &close, RefuseReason::Denied { why: WHY.into() });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn disconnect(&mut self, peer: usize) {
        self.close_peer(peer, &CloseReason::Asked { why: WHY.into() });
        self.end_dial_of(peer, &DialFailure::Disconnected(WHY.into()));
    }

    pub(crate) fn dial_input(&mut self, op: Op) -> Result<(), Misuse> {
        match op {
            Op::Dial { r, peer, told, direct_only, forced, new } => {
                if r >= 1 << 63 {
                    return Err(Misuse::ReservedRequest(RequestId(r)));
                }
                if self.dials.requests().contains(&r) {
                    return Err(Misuse::RequestExists(RequestId(r)));
                }
                let caller = Caller { request: r, peer, since: self.now, direct_only, new };
                self.dial(caller, told, forced);
            }
            Op::Cancel { r } => {
                if r >= 1 << 63 {
                    return Err(Misuse::ReservedRequest(RequestId(r)));
                }
                let known = self.dials.callers.iter().find(|caller| caller.request == r);
                let peer = known.ok_or(Misuse::UnknownRequest(RequestId(r)))?.peer;
                self.dials.callers.retain(|caller| caller.request != r);
                if !self.dials.wanted().contains(&peer) {
                    self.abort(peer, true);
                }
            }
            Op::Progress { d } => {
                let known = self.dials.attempts.iter_mut().find(|attempt| attempt.dial == d);
                let attempt = known.ok_or(DialMisuse::UnknownDial(DialId(d)))?;
                if attempt.connected {
                    return Err(DialMisuse::AlreadyConnected(DialId(d)).into());
                }
                attempt.connected = true;
            }
            Op::DialFailed { d, fault: n } => {
                let known = self.dials.attempts.iter().find(|attempt| attempt.dial == d);
                let attempt = *known.ok_or(DialMisuse::UnknownDial(DialId(d)))?;
                self.dials.attempts.retain(|other| other.dial != d);
                self.attempt_failed(attempt, fault(n));
            }
            Op::NetworkChanged => self.dials.backoffs.clear(),
            Op::Addresses { peer, ttl } => {
                let until = self.now + ttl;
                match self.dials.remembered.iter_mut().find(|known| known.peer == peer) {
                    Some(known) => known.until = known.until.max(until),
                    None if until > self.now => {
                        self.dials.remembered.push(Remembered { peer, until, keep: Time::ZERO, connected: false });
                    }
                    None => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The best is not closing; unlimited, direct, with the most streams, the newest.
    pub(crate) fn best(&self, peer: usize, relayed: bool) -> Option<u64> {
        let open = self.open_of(peer).into_iter().filter(|connection| relayed || !connection.is_relayed());
        let best = open.max_by_key(|connection| {
            let streams = self.streams_on(connection.id).len();
            (!connection.limited, !connection.is_relayed(), streams, connection.since)
        });
        best.map(|connection| connection.id)
    }

    fn dial(&mut self, caller: Caller, told: bool, forced: bool) {
        let n = caller.peer;
        if !caller.new
            && let Some(c) = self.best(n, !caller.direct_only)
        {
            self.dialed(caller.request, n, c);
            return;
        }
        let address = told || self.believes(n);
        let none = Duration::ZERO;
        let refused = if self.shut_down {
            Some((DialFailure::Shutdown, Outcome::NotTried))
        } else if n == 0 {
            Some((DialFailure::Ourselves, Outcome::Undialable))
        } else if self.denies_peer(n) {
            Some((DialFailure::Denied(WHY.into()), Outcome::Denied { why: WHY.into() }))
        } else if self.dials.attempts.iter().any(|attempt| attempt.peer == n) {
            self.dials.callers.push(caller);
            return;
        } else if !address {
            Some((DialFailure::NoAddresses, Outcome::NotTried))
        } else {
            self.stands_against(n, forced).map(|outcome| (DialFailure::NoneDialable(1), outcome))
        };
        if let Some((why, outcome)) = refused {
            self.fail(caller, why, address.then_some((outcome, none)));
            return;
        }
        let dial = self.dials.next_dial;
        self.dials.next_dial += 1;
        if let Err(limit) = self.may_dial(n) {
            let outcome = Outcome::Failed(DialFault::Limit(limit));
            self.fail(caller, DialFailure::AllFailed(1), Some((outcome, none)));
            return;
        }
        self.dials.callers.push(caller);
        self.dials.attempts.push(Attempt { dial, peer: n, since: self.now, connected: false });
        let (address, timeout) = (home(n), dial_limit(n));
        self.actions.push(Action::Dial { dial: DialId(dial), peer: peer(n), address, timeout });
    }

    fn may_dial(&self, n: usize) -> Result<(), LimitExceeded> {
        self.pending_room(Direction::Outbound)?;
        self.network_room(n % 5)
    }

    /// The gate, then backoff.
    fn stands_against(&self, n: usize, forced: bool) -> Option<Outcome> {
        if self.dials.rules.contains(&Rule::Address(n % 5)) || self.denies_ip_of(n % 5) {
            return Some(Outcome::Denied { why: WHY.into() });
        }
        let backoff = self.dials.backoffs.iter().find(|backoff| backoff.peer == n && backoff.until > self.now);
        let remaining = backoff.filter(|_| !forced)?.until.since(self.now);
        Some(Outcome::Backoff { remaining })
    }

    fn dialed(&mut self, request: u64, n: usize, c: u64) {
        let (request, connection) = (RequestId(request), ConnectionId(c));
        self.tell(Event::Dialed { request, peer: peer(n), connection });
    }

    fn fail(&mut self, caller: Caller, why: DialFailure, outcome: Option<(Outcome, Duration)>) {
        let address = home(caller.peer);
        let addresses =
            outcome.into_iter().map(|(outcome, took)| AddressReport { address: address.clone(), outcome, took });
        let (peer, took) = (peer(caller.peer), self.now.since(caller.since));
        let report = Box::new(DialReport { peer, why, addresses: addresses.collect(), unlisted: 0, took });
        self.tell(Event::DialFailed { request: RequestId(caller.request), peer, report });
    }

    fn fail_all(&mut self, n: usize, why: &DialFailure, outcome: Option<&(Outcome, Duration)>) {
        for caller in self.dials.callers.clone().into_iter().filter(|caller| caller.peer == n) {
            self.dials.callers.retain(|other| other.request != caller.request);
            self.fail(caller, why.clone(), outcome.cloned());
        }
    }

    /// Aborts the dial to a peer, its handshake too or not. What it then is in a report.
    fn abort(&mut self, n: usize, handshakes: bool) -> Option<(Outcome, Duration)> {
        let attempt =
            *self.dials.attempts.iter().find(|attempt| attempt.peer == n && (handshakes || !attempt.connected))?;
        self.dials.attempts.retain(|other| other.dial != attempt.dial);
        self.actions.push(Action::Abort { dial: DialId(attempt.dial) });
        Some((Outcome::Aborted, self.now.since(attempt.since)))
    }

    fn end_dial_of(&mut self, n: usize, why: &DialFailure) {
        let outcome = self.abort(n, true);
        self.fail_all(n, why, outcome.as_ref());
    }

    pub(crate) fn end_all_dials(&mut self) {
        (0..PEERS).for_each(|n| self.end_dial_of(n, &DialFailure::Shutdown));
    }

    /// A dial is reported as established: it is no longer under way. To whom it was.
    pub(crate) fn take_dial(&mut self, d: u64) -> Option<usize> {
        let attempt = *self.dials.attempts.iter().find(|attempt| attempt.dial == d)?;
        self.dials.attempts.retain(|other| other.dial != d);
        self.dials.ended = Some(attempt);
        Some(attempt.peer)
    }

    /// What a dial became was refused.
    pub(crate) fn dial_is_over(&mut self, fault: DialFault) {
        if let Some(attempt) = self.dials.ended.take() {
            self.attempt_failed(attempt, fault);
        }
    }

    fn attempt_failed(&mut self, attempt: Attempt, fault: DialFault) {
        let n = attempt.peer;
        let free =
            matches!(fault, DialFault::Gated(_) | DialFault::NoTransport | DialFault::Limit(_) | DialFault::Local(_));
        if !free {
            self.back_off(n);
        }
        let at_address = matches!(
            fault,
            DialFault::Transport(_) | DialFault::Upgrade(_) | DialFault::WrongPeer(_) | DialFault::Timeout(_)
        );
        if at_address {
            self.dials.remembered.iter_mut().filter(|known| known.peer == n).for_each(|known| known.connected = false);
        }
        let took = self.now.since(attempt.since);
        self.fail_all(n, &DialFailure::AllFailed(1), Some(&(Outcome::Failed(fault), took)));
    }

    /// The base, and the coefficient times the square of the failures before. What has been over for as long as the
    /// greatest backoff is forgotten.
    fn back_off(&mut self, n: usize) {
        let config = &self.config.dial;
        let recent = |known: &&Backoff| known.peer == n && self.now.since(known.until) < config.backoff_max;
        let failures = self.dials.backoffs.iter().find(recent).map_or(0, |known| known.failures);
        let time = (config.backoff_base + config.backoff_coefficient * failures * failures).min(config.backoff_max);
        self.dials.backoffs.retain(|known| known.peer != n);
        self.dials.backoffs.push(Backoff { peer: n, until: self.now + time, failures: failures + 1 });
    }

    /// There is a connection: callers whom it suits are answered. If all are, a dial that is not connected yet is aborted.
    pub(crate) fn dial_answered(&mut self, n: usize, c: u64, direct: bool, by_dial: bool) {
        if by_dial {
            self.dials.ended = None;
            self.dials.backoffs.retain(|known| known.peer != n);
            let until = self.now + self.config.metadata.connected_ttl;
            match self.dials.remembered.iter_mut().find(|known| known.peer == n) {
                Some(known) => (known.until, known.connected) = (known.until.max(until), true),
                None => {
                    self.dials.remembered.push(Remembered { peer: n, until, keep: Time::ZERO, connected: true });
                }
            }
        }
        for caller in self.dials.callers.clone().into_iter().filter(|caller| caller.peer == n) {
            if (by_dial || !caller.new) && (direct || !caller.direct_only) {
                self.dials.callers.retain(|other| other.request != caller.request);
                self.dialed(caller.request, n, c);
            }
        }
        if !self.dials.wanted().contains(&n) {
            self.abort(n, false);
        }
    }

    /// The address at which we were connected is believed for a while more, and what is remembered is kept for as long.
    pub(crate) fn addresses_after_disconnect(&mut self, n: usize) {
        let until = self.now + self.config.metadata.connected_ttl;
        for known in self.dials.remembered.iter_mut().filter(|known| known.peer == n) {
            known.keep = known.keep.max(until);
            if known.connected {
                known.until = known.until.max(until);
            }
        }
    }

    /// When a dial runs out of time, or an address is forgotten.
    pub(crate) fn next_dialing(&self) -> Time {
        let dials = self.dials.attempts.iter().map(|attempt| attempt.since + dial_limit(attempt.peer));
        let idle = self.dials.remembered.iter().filter(|known| self.of(known.peer).is_empty());
        dials.chain(idle.map(|known| known.until.max(known.keep))).min().unwrap_or(Time::NEVER)
    }

    pub(crate) fn dialing_passes(&mut self) {
        let mut over: Vec<Attempt> = self.dials.attempts.clone();
        over.retain(|attempt| attempt.since + dial_limit(attempt.peer) <= self.now);
        over.sort_by_key(|attempt| (attempt.since + dial_limit(attempt.peer), attempt.peer));
        for attempt in over {
            let limit = dial_limit(attempt.peer);
            self.abort(attempt.peer, true);
            self.attempt_failed(attempt, DialFault::Timeout(limit));
        }
        let connected: Vec<bool> = (0..PEERS).map(|n| !self.of(n).is_empty()).collect();
        let now = self.now;
        self.dials.remembered.retain(|known| connected[known.peer] || known.until.max(known.keep) > now);
    }
}
