//! What comes out of the connection, and what it means to the host and to the application.

use super::config::{IDENTIFY_ROUTE, PING_ROUTE, PUSH_ROUTE, service_of};
use super::exchanges::Exchanges;
use super::inside::{Inside, Opener};
use super::message::{AskFault, Fault, LinkEvent, OpenFault, Report, StreamEvent};
use super::streams::{Stage, Streams, Who};
use super::{Link, Open, State, USED, code, cut};
use crate::{By, Direction, OpenId, StreamId};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::BytesMut;
use smol_str::SmolStr;
use tidewire_core::{Machine, Time};
use tidewire_multistream::{self as multistream, Protocol, RouteId};
use tidewire_relay::client::Ending;
use tidewire_upgrade::connection::{Event, NEGOTIATION_FAILED};
use tidewire_upgrade::muxer;
use tidewire_upgrade::pipeline::{Progress, UpgradeError};

impl Link {
    /// Lets the upgrade or the connection go on by one event. False: there is none now.
    pub(super) fn step(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut, ended: bool) -> bool {
        if self.over {
            return false;
        }
        match &mut self.state {
            State::Failed => false,
            State::Upgrading(upgrade) => {
                let result = upgrade.advance_or_end(now, rx, tx, ended);
                match result {
                    Ok(None) => return false,
                    Ok(Some(Progress::Ready)) => self.upgraded(now),
                    Ok(Some(progress)) => self.events.push_back(LinkEvent::Progress(progress)),
                    Err(error) => {
                        let by = match error {
                            _ if ended => By::Remote,
                            UpgradeError::EndedEarly { .. } => By::Remote,
                            _ => By::Local,
                        };
                        self.end_link(by, upgrade_fault(&error), cut(&error.to_string()));
                    }
                }
                true
            }
            State::Open(open) => {
                let result = open.connection.advance_or_end(now, rx, tx, ended);
                match result {
                    Ok(None) => return false,
                    Ok(Some(event)) => self.on_event(now, event, tx),
                    Err(error) => self.end_link(By::Local, Fault::Protocol, cut(&error.to_string())),
                }
                true
            }
        }
    }

    fn upgraded(&mut self, now: Time) {
        let State::Upgrading(upgrade) = core::mem::replace(&mut self.state, State::Failed) else { return };
        let Some(mut connection) = upgrade.into_connection() else {
            return self.end_link(By::Local, Fault::Upgrade, SmolStr::new_static("the upgrade came to nothing"));
        };
        connection.set_config(self.routes.config());
        self.report(Report::Established {
            peer: connection.peer(),
            role: connection.role(),
            security: SmolStr::new_static(connection.security()),
            muxer: connection.muxer(),
        });
        self.state = State::Open(Box::new(Open {
            connection,
            inside: Inside::new(now, self.shared.config()),
            exchanges: Exchanges::default(),
            streams: Streams::default(),
            waiting: VecDeque::new(),
            retry: false,
            pinging: false,
            no_ping: false,
            held: 0,
            used: false,
            told: None,
            closing: None,
        }));
    }

    fn on_event(&mut self, now: Time, event: Event, tx: &mut BytesMut) {
        let Some(open) = self.opened() else { return };
        // Each of these may make room for a stream that waits.
        open.retry |= matches!(
            event,
            Event::Negotiated { .. } | Event::NegotiationFailed { .. } | Event::Reset { .. } | Event::Openable
        );
        match event {
            Event::Negotiated { id, protocol, route: Some(route), by: muxer::By::Remote } => {
                self.incoming(now, id, protocol, route, tx);
            }
            Event::Negotiated { id, protocol, .. } => match open.streams.get(id).map(|known| &known.stage) {
                Some(Stage::Proposed(wish)) => {
                    let who = Who::Asked(*wish, protocol);
                    let report = open.streams.reported(id, who);
                    self.report(report);
                }
                // What came with the answer was held back until now.
                _ => self.on_readable(now, id, tx),
            },
            Event::NegotiationFailed { id, by: muxer::By::Us, error } => self.negotiation_failed(now, id, &error, tx),
            Event::Readable(id) | Event::Finished(id) => self.on_readable(now, id, tx),
            Event::Writable(id) => {
                if open.inside.has(id) {
                    self.advance_inside(now, id, tx);
                } else if open.exchanges.has(id) {
                    self.advance_exchange(now, id, tx);
                } else if open.streams.is_admitted(id) {
                    self.tell(StreamEvent::Writable(StreamId(id.get())));
                }
            }
            Event::Reset { id, by, code } => self.on_reset(now, id, by, code, tx),
            Event::Opened(id) => {
                // Without a route nobody waits for the remote's streams.
                open.connection.reset(id, NEGOTIATION_FAILED, tx).ok();
            }
            Event::Pong { rtt } if core::mem::take(&mut open.pinging) => self.report(Report::Pong { rtt }),
            Event::GoAway { .. } => self.no_more(),
            Event::Closed { by, code } => {
                let (by, fault, why) = match (by, open.closing.take()) {
                    (muxer::By::Us, Some(why)) => (By::Local, Fault::None, why),
                    (muxer::By::Us, None) => (By::Local, Fault::None, SmolStr::new_static("closed")),
                    // Without a goodbye: a circuit may have reached its limit.
                    (muxer::By::Remote, _) if code.is_none() => (By::Remote, Fault::Transport, remote_reason(code)),
                    (muxer::By::Remote, _) => (By::Remote, Fault::None, remote_reason(code)),
                };
                self.end_link(by, fault, why);
            }
            _ => {}
        }
    }

    fn incoming(&mut self, now: Time, id: muxer::StreamId, protocol: Protocol, route: RouteId, tx: &mut BytesMut) {
        let config = self.shared.config();
        let until = now + config.write_timeout;
        let State::Open(open) = &mut self.state else { return };
        if let Some(service) = service_of(route) {
            return self.asked(now, id, service, tx);
        }
        let own = [IDENTIFY_ROUTE, PUSH_ROUTE, PING_ROUTE].contains(&route);
        if !own {
            let report = open.streams.reported(id, Who::Served(route, protocol));
            return self.report(report);
        }
        let peer = open.connection.peer();
        let taken = open.inside.has_room(config)
            && match route {
                IDENTIFY_ROUTE => {
                    open.inside.asked(id, until);
                    true
                }
                PUSH_ROUTE => open.inside.receive_push(now, id, peer, config),
                _ => open.inside.echo(now, id, config),
            };
        if !taken {
            open.connection.reset(id, code::STREAM_RATE_LIMITED, tx).ok();
            return;
        }
        let stream = StreamId(id.get());
        self.report(Report::StreamOpened { stream, direction: Direction::Inbound, protocol, open: None });
        self.advance_inside(now, id, tx);
    }

    /// Lets a stream of the protocols inside go on.
    pub(super) fn advance_inside(&mut self, now: Time, id: muxer::StreamId, tx: &mut BytesMut) {
        let Some(open) = self.opened() else { return };
        let (report, over) = open.inside.advance(now, id, &mut open.connection, tx);
        open.retry |= over.is_some();
        if let Some(report) = report {
            self.report(report);
        }
        self.inside_over(id, over);
    }

    /// The host hears of the end of those of which it heard that they began.
    fn inside_over(&mut self, id: muxer::StreamId, over: Option<Opener>) {
        if over == Some(Opener::Remote) {
            self.report(Report::StreamClosed { stream: StreamId(id.get()) });
        }
    }

    fn on_readable(&mut self, now: Time, id: muxer::StreamId, tx: &mut BytesMut) {
        let Some(open) = self.opened() else { return };
        if open.inside.has(id) {
            self.advance_inside(now, id, tx);
        } else if open.exchanges.has(id) {
            self.advance_exchange(now, id, tx);
        } else if let Some(known) = open.streams.get(id) {
            if known.left.is_some() {
                self.see_off(id, tx);
            } else if open.streams.is_admitted(id) {
                self.tell(StreamEvent::Readable(StreamId(id.get())));
            }
        }
    }

    fn negotiation_failed(&mut self, now: Time, id: muxer::StreamId, error: &multistream::Error, tx: &mut BytesMut) {
        let Some(open) = self.opened() else { return };
        if open.inside.has(id) {
            open.connection.reset(id, code::NORMAL, tx).ok();
            if open.inside.was_pinging(id) {
                open.no_ping = true;
                open.inside.forget(id);
                return self.ping(now, tx);
            }
            if let Some(report) = open.inside.refused(id, error) {
                self.report(report);
            }
            return;
        }
        if open.exchanges.has(id) {
            return self.exchange_refused(id, error, tx);
        }
        match open.streams.get(id).map(|known| &known.stage) {
            Some(Stage::Proposed(wish)) => {
                let wish = *wish;
                open.connection.reset(id, code::NORMAL, tx).ok();
                open.streams.remove(id);
                self.report(Report::OpenFailed { open: wish, why: open_fault(error) });
            }
            // It was assumed; whoever has it, or will have it, learns it at the first read.
            Some(Stage::Reported(_) | Stage::Admitted) => self.over_for_the_host(id, tx),
            None => {}
        }
    }

    fn on_reset(&mut self, now: Time, id: muxer::StreamId, by: muxer::By, code: u32, tx: &mut BytesMut) {
        let Some(open) = self.opened() else { return };
        if open.inside.has(id) {
            open.connection.reset(id, code, tx).ok();
            let over = open.inside.opener(id);
            if open.inside.was_pinging(id) {
                // Whoever resets a stream lives; how far away it is, the multiplexer finds out, if it can.
                open.pinging |= open.connection.ping(now, tx);
            }
            if let Some(report) = open.inside.reset(id) {
                self.report(report);
            }
            return self.inside_over(id, over);
        }
        if open.exchanges.has(id) {
            open.connection.reset(id, code, tx).ok();
            return self.exchange_reset(id, OpenFault::Reset { code }, true);
        }
        let Some(known) = open.streams.get_mut(id) else { return };
        if let (Some(circuit), muxer::By::Remote) = (&mut known.circuit, by) {
            circuit.ending = Ending::Reset;
        }
        if let Stage::Proposed(wish) = known.stage {
            open.connection.reset(id, code, tx).ok();
            open.streams.remove(id);
            return self.report(Report::OpenFailed { open: wish, why: OpenFault::Reset { code } });
        }
        let admitted = matches!(known.stage, Stage::Admitted) && known.left.is_none();
        self.over_for_the_host(id, tx);
        if admitted {
            self.tell(StreamEvent::Reset { stream: StreamId(id.get()), by, code });
        }
    }

    /// A stream ended, but the application has yet to read what is left of it.
    fn over_for_the_host(&mut self, id: muxer::StreamId, tx: &mut BytesMut) {
        let Some(open) = self.opened() else { return };
        let Some(known) = open.streams.get_mut(id) else { return };
        if known.left.is_some() {
            return self.see_off(id, tx);
        }
        if !matches!(known.stage, Stage::Admitted) {
            known.early = true;
        } else if known.circuit.is_some() {
            // Its driver reads to the end: what came counts.
            self.tell(StreamEvent::Readable(StreamId(id.get())));
        } else if !core::mem::replace(&mut known.told, true) {
            let stream = StreamId(id.get());
            self.report(Report::StreamClosed { stream });
            self.tell(StreamEvent::Readable(stream));
        }
    }

    /// The remote takes no more streams.
    fn no_more(&mut self) {
        let Some(open) = self.opened() else { return };
        let waiting = core::mem::take(&mut open.waiting);
        for wish in waiting {
            let why = OpenFault::NoMore { why: SmolStr::new_static("the remote accepts no more streams") };
            self.report(Report::OpenFailed { open: wish.open, why });
        }
    }

    /// What time brings: protocols inside that take too long, and the news that the connection is used.
    pub(super) fn let_time_pass(&mut self, now: Time, tx: &mut BytesMut) {
        let Some(open) = self.opened() else { return };
        let expired = if open.inside.deadline() <= now { open.inside.expired(now) } else { Vec::new() };
        if open.use_due() <= now {
            open.used = false;
            open.told = Some(now);
            self.report(Report::Used);
        }
        for id in expired {
            self.advance_inside(now, id, tx);
        }
        let Some(open) = self.opened() else { return };
        let expired = if open.exchanges.deadline() <= now { open.exchanges.expired(now) } else { Vec::new() };
        for id in expired {
            self.advance_exchange(now, id, tx);
        }
        while let Some(open) = self.opened()
            && let Some(id) = open.streams.overdue(now)
        {
            open.connection.reset(id, code::NORMAL, tx).ok();
            self.gone(id);
        }
    }

    /// The last report. What the application asked for and did not get is answered before, and whoever waits for a stream is
    /// woken. Streams that the remote opened may still be handed out.
    pub(super) fn end_link(&mut self, by: By, fault: Fault, why: SmolStr) {
        if core::mem::replace(&mut self.over, true) {
            return;
        }
        match &mut self.state {
            State::Open(open) => {
                let wishes = open.end();
                let asks = open.exchanges.end();
                let streams: Vec<muxer::StreamId> = open.streams.admitted().collect();
                for open in wishes {
                    self.report(Report::OpenFailed { open, why: OpenFault::ConnectionEnded });
                }
                for ask in asks {
                    self.unanswered(ask, None, AskFault::Open(OpenFault::ConnectionEnded));
                }
                for id in streams {
                    let stream = StreamId(id.get());
                    self.tell(StreamEvent::Readable(stream));
                    self.tell(StreamEvent::Writable(stream));
                }
            }
            _ => self.state = State::Failed,
        }
        self.report(Report::Ended { by, fault, why });
    }
}

impl Open {
    /// When the news that the connection is used is to be told.
    pub(super) fn use_due(&self) -> Time {
        if self.used { self.told.map_or(Time::ZERO, |told| told + USED) } else { Time::NEVER }
    }

    pub(super) fn deadline(&self) -> Time {
        if self.retry && !self.waiting.is_empty() {
            return Time::ZERO;
        }
        let own = self.inside.deadline().min(self.exchanges.deadline());
        self.connection.deadline().min(own).min(self.streams.deadline()).min(self.use_due())
    }

    /// The wishes that will not come true any more.
    fn end(&mut self) -> Vec<OpenId> {
        let mut wishes = self.streams.unanswered();
        wishes.extend(core::mem::take(&mut self.waiting).into_iter().map(|wish| wish.open));
        wishes
    }

    pub(super) fn memory_used(&self) -> usize {
        self.connection.memory_used()
            + self.inside.memory_used()
            + self.exchanges.memory_used()
            + self.streams.memory_used()
            + self.waiting.capacity() * size_of::<super::Waiting>()
    }
}

fn upgrade_fault(error: &UpgradeError) -> Fault {
    match error.wrong_peer() {
        Some(peer) => Fault::WrongPeer(peer),
        None if error.is_crossed() => Fault::Crossed,
        None => Fault::Upgrade,
    }
}

pub(super) fn open_fault(error: &multistream::Error) -> OpenFault {
    match error {
        multistream::Error::Refused { .. } => OpenFault::Unsupported,
        error => OpenFault::Negotiation { why: cut(&error.to_string()) },
    }
}

/// Codes that go-libp2p sends when it closes a connection.
fn remote_reason(code: Option<u32>) -> SmolStr {
    match code {
        None => SmolStr::new_static("the remote ended the connection"),
        Some(0) => SmolStr::new_static("the remote closed the connection"),
        Some(code) => {
            let meaning = code::meaning(code);
            if meaning.is_empty() {
                alloc::format!("the remote closed the connection (code {code:#x})").into()
            } else {
                alloc::format!("the remote closed the connection: {meaning} (code {code:#x})").into()
            }
        }
    }
}
