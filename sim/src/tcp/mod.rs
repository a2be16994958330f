//! One end of a TCP connection, as a pure state machine: segments in, segments and events out.
//!
//! ```text
//!                 SYN ACK                     both FINs acknowledged
//!  dial: SynSent ---------------> Open ------------------------------> Over --> forgotten, after TIME-WAIT if we closed first
//!           | SYN (simultaneous)   ^  \-- RST, or nobody acknowledges --> Over: broken
//!           v                      |
//!  accept: SynReceived ------------'
//!                 ACK
//! ```
//! The half-closed states of RFC 9293 aren't states here: whether our FIN was sent and acknowledged, and whether the
//! remote's has come, are told by the two halves.
//!
//! Differences from a real one: sequence numbers don't wrap; the connections of a host have numbers far apart, so that an
//! old segment is never taken for a new one; no urgent data, no options, no delayed acknowledgements, no selective ones.

mod clock;
mod config;
mod receive;
mod send;

pub use config::Tcp;

use crate::node::{BrokenBy, ConnectFailure, ListenerId};
use crate::packet::{Flags, Icmp, Segment};
use bytes::{Buf, Bytes};
use receive::Receiver;
use send::{Acked, Sender};
use std::net::SocketAddr;
use std::rc::Rc;
use tidewire_core::Time;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// Who accepts it. `None`: it was dialed.
    pub(crate) listener: Option<ListenerId>,
    pub(crate) owner: Owner,
    /// Its local address may be shared with others that say so too.
    pub(crate) reuse: bool,
    /// For when the stack has set its alarm.
    pub(crate) armed: Time,
    config: Rc<Tcp>,
    phase: Phase,
    tx: Sender,
    rx: Receiver,
    timer: Timer,
    deadline: Time,
    /// Progress was made: the timer starts anew.
    restart: bool,
    ack_due: bool,
    /// Probes of a closed window that weren't answered.
    probes: u32,
    wants_room: bool,
    told_end: bool,
    closed_first: bool,
}

/// Who hears of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody yet: it was not accepted.
    Nobody,
    Program,
    /// Nobody any more: the program has closed it.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    SynSent,
    SynReceived,
    Open,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    Off,
    /// What was sent is sent again.
    Resend,
    /// The remote is asked whether it has room now.
    Probe,
    /// Waits for the FIN of a remote that nobody listens to any more.
    Linger,
}

/// What a connection tells the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Connected,
    Failed(ConnectFailure),
    Received,
    Ended,
    Writable,
    Broken(BrokenBy),
    /// Both ends have closed. The two addresses are to be remembered for a while, or not.
    Done {
        time_wait: bool,
    },
    /// It ended without a word to the program.
    Gone,
}

impl Connection {
    /// We dial.
    pub(crate) fn dial(
        now: Time,
        local: SocketAddr,
        remote: SocketAddr,
        initial: u64,
        config: &Rc<Tcp>,
        out: &mut Vec<Segment>,
    ) -> Self {
        let mut connection = Connection::new(local, remote, initial, config);
        connection.send_syn(now, out);
        connection
    }

    /// The remote's SYN has come to a listener of ours.
    pub(crate) fn accept(
        now: Time,
        (local, remote): (SocketAddr, SocketAddr),
        listener: ListenerId,
        initial: u64,
        syn: u64,
        config: &Rc<Tcp>,
        out: &mut Vec<Segment>,
    ) -> Self {
        let mut connection = Connection::new(local, remote, initial, config);
        connection.listener = Some(listener);
        connection.phase = Phase::SynReceived;
        connection.rx.start(syn);
        connection.send_syn(now, out);
        connection
    }

    fn new(local: SocketAddr, remote: SocketAddr, initial: u64, config: &Rc<Tcp>) -> Self {
        Connection {
            local,
            remote,
            listener: None,
            owner: Owner::Nobody,
            reuse: false,
            armed: Time::NEVER,
            config: config.clone(),
            phase: Phase::SynSent,
            tx: Sender::new(initial, config),
            rx: Receiver::new(config.receive_buffer),
            timer: Timer::Off,
            deadline: Time::NEVER,
            restart: false,
            ack_due: false,
            probes: 0,
            wants_room: false,
            told_end: false,
            closed_first: false,
        }
    }

    pub(crate) const fn deadline(&self) -> Time {
        self.deadline
    }

    /// Bytes that [`send`](Connection::send) would take now.
    pub(crate) fn room(&self) -> usize {
        let open = self.phase == Phase::Open && !self.tx.finishing;
        if open { self.config.send_buffer.saturating_sub(self.tx.waiting()) } else { 0 }
    }

    /// The program was, or would have been, told that the remote has ended.
    pub(crate) const fn has_ended(&self) -> bool {
        self.told_end
    }

    pub(crate) const fn unread(&self) -> usize {
        self.rx.unread()
    }

    /// What TIME-WAIT has to remember: our next sequence number and the remote's.
    pub(crate) const fn numbers(&self) -> (u64, u64) {
        (self.tx.highest(), self.rx.next)
    }

    pub(crate) fn send(&mut self, bytes: &mut impl Buf) -> usize {
        if self.phase != Phase::Open || self.tx.finishing {
            return 0;
        }
        let taken = self.tx.push(bytes, &self.config);
        self.wants_room |= bytes.has_remaining();
        taken
    }

    pub(crate) fn read(&mut self, most: usize, events: &mut Vec<Event>) -> Option<Bytes> {
        let bytes = self.rx.read(most)?;
        if self.phase == Phase::Open {
            self.ack_due |= self.rx.should_tell(self.config.segment);
        }
        self.tell_end(events);
        Some(bytes)
    }

    /// No more bytes from us.
    pub(crate) const fn finish(&mut self) {
        self.tx.finishing = true;
        self.wants_room = false;
    }

    /// The program closes it: what was taken is still delivered, but nobody listens to the remote any more.
    pub(crate) fn close(&mut self, out: &mut Vec<Segment>, events: &mut Vec<Event>) {
        self.owner = Owner::Closed;
        match self.phase {
            Phase::Open if self.rx.unread() == 0 => self.tx.finishing = true,
            _ => self.abort(out, events),
        }
    }

    /// The remote is told that this is no more, if it knows of it.
    pub(crate) fn abort(&mut self, out: &mut Vec<Segment>, events: &mut Vec<Event>) {
        self.owner = Owner::Closed;
        if matches!(self.phase, Phase::Open | Phase::SynReceived) {
            out.push(self.bare(Flags { rst: true, ack: true, ..Flags::default() }));
        }
        self.over(Event::Gone, events);
    }

    pub(crate) fn on_segment(&mut self, now: Time, segment: Segment, out: &mut Vec<Segment>, events: &mut Vec<Event>) {
        match self.phase {
            Phase::Over => {}
            Phase::SynSent => self.in_syn_sent(now, &segment, out, events),
            Phase::SynReceived => self.in_syn_received(now, segment, out, events),
            Phase::Open => self.in_open(now, segment, out, events),
        }
    }

    /// An ICMP message says that one of our segments can't get there. It ends an attempt to connect, and nothing else: what
    /// the two have said to each other proves more (RFC 1122 section 4.2.3.9 and RFC 5461; Linux, `tcp_v4_err`).
    pub(crate) fn on_unreachable(&mut self, icmp: &Icmp, events: &mut Vec<Event>) {
        let current = icmp.seq >= self.tx.first && icmp.seq <= self.tx.next;
        match (self.phase, self.listener) {
            (Phase::SynSent | Phase::SynReceived, None) if current => {
                self.over(Event::Failed(ConnectFailure::Unreachable(icmp.code)), events);
            }
            (Phase::SynReceived, Some(_)) if current => self.over(Event::Gone, events),
            _ => {}
        }
    }

    pub(crate) fn on_timeout(&mut self, now: Time, out: &mut Vec<Segment>, events: &mut Vec<Event>) {
        if now < self.deadline {
            return;
        }
        let doubled = self.tx.clock.doubled();
        // It is set again when all is sent that is to be sent.
        self.deadline = Time::NEVER;
        match (self.phase, core::mem::replace(&mut self.timer, Timer::Off)) {
            (Phase::SynSent, _) if doubled >= self.config.syn_retries => {
                self.over(Event::Failed(ConnectFailure::TimedOut), events);
            }
            (Phase::SynReceived, _) if doubled >= self.config.syn_ack_retries => match self.listener {
                Some(_) => self.over(Event::Gone, events),
                None => self.over(Event::Failed(ConnectFailure::TimedOut), events),
            },
            (Phase::SynSent | Phase::SynReceived, _) => {
                self.tx.clock.double();
                self.send_syn(now, out);
            }
            (Phase::Open, Timer::Resend) if doubled >= self.config.retries => {
                self.over(Event::Broken(BrokenBy::TimedOut), events);
            }
            (Phase::Open, Timer::Resend) => {
                self.tx.timed_out(&self.config);
                self.restart = true;
            }
            (Phase::Open, Timer::Probe) if self.probes >= self.config.retries => {
                self.over(Event::Broken(BrokenBy::TimedOut), events);
            }
            (Phase::Open, Timer::Probe) => {
                self.probes += 1;
                self.tx.clock.double();
                self.restart = true;
                let mut probe = self.bare(ACK);
                probe.seq = self.tx.first - 1;
                out.push(probe);
            }
            (Phase::Open, Timer::Linger) => self.over(Event::Gone, events),
            (Phase::Over, _) | (_, Timer::Off) => {}
        }
    }

    /// Sends what may be sent now, and sets the timer. To be called after all else.
    pub(crate) fn transmit(&mut self, now: Time, out: &mut Vec<Segment>) {
        if self.phase != Phase::Open {
            return;
        }
        while let Some(piece) = self.tx.next_piece(now, &self.config) {
            let segment = self.with_piece(piece);
            out.push(segment);
        }
        if self.ack_due {
            let segment = self.bare(ACK);
            out.push(segment);
        }
        let timer = if self.tx.in_flight() {
            Timer::Resend
        } else if self.tx.blocked() {
            Timer::Probe
        } else if self.owner == Owner::Closed && self.tx.finish_acknowledged() {
            Timer::Linger
        } else {
            Timer::Off
        };
        if timer != self.timer || self.restart {
            self.timer = timer;
            self.deadline = match timer {
                Timer::Off => Time::NEVER,
                Timer::Resend | Timer::Probe => now + self.tx.clock.timeout(&self.config),
                Timer::Linger => now + self.config.fin_timeout,
            };
        }
        self.restart = false;
    }

    fn in_syn_sent(&mut self, now: Time, segment: &Segment, out: &mut Vec<Segment>, events: &mut Vec<Event>) {
        let Flags { syn, ack, rst, .. } = segment.flags;
        if ack && segment.ack != self.tx.next {
            // The remote speaks of a connection that we have forgotten: RFC 9293 section 3.10.7.3.
            if !rst {
                out.push(reset_at(segment.ack));
            }
            return;
        }
        if rst {
            if ack {
                self.over(Event::Failed(ConnectFailure::Refused), events);
            }
            return;
        }
        if !syn {
            return;
        }
        self.rx.start(segment.seq);
        if ack {
            self.open(now, segment, events);
            self.ack_due = true;
        } else {
            self.phase = Phase::SynReceived;
            let answer = self.syn();
            out.push(answer);
        }
    }

    fn in_syn_received(&mut self, now: Time, segment: Segment, out: &mut Vec<Segment>, events: &mut Vec<Event>) {
        let Flags { syn, ack, rst, .. } = segment.flags;
        if rst {
            if self.rx.admits(segment.seq) {
                match self.listener {
                    Some(_) => self.over(Event::Gone, events),
                    None => self.over(Event::Failed(ConnectFailure::Refused), events),
                }
            }
            return;
        }
        if !ack {
            if syn && segment.seq.saturating_add(1) == self.rx.next {
                let answer = self.syn();
                out.push(answer);
            }
            return;
        }
        if syn && segment.seq.saturating_add(1) != self.rx.next {
            // The answer of another connection to our SYN: the remote's listener has got it as well. Outside of the window,
            // so it is acknowledged with what we know (RFC 9293 section 3.10.7.4).
            out.push(self.bare(ACK));
            return;
        }
        if segment.ack != self.tx.next {
            out.push(reset_at(segment.ack));
            return;
        }
        self.open(now, &segment, events);
        if syn {
            self.ack_due = true;
        } else {
            self.in_open(now, segment, out, events);
        }
    }

    fn in_open(&mut self, now: Time, segment: Segment, out: &mut Vec<Segment>, events: &mut Vec<Event>) {
        let Flags { syn, ack, rst, fin } = segment.flags;
        if rst {
            if self.rx.admits(segment.seq) {
                self.over(Event::Broken(BrokenBy::Reset), events);
            }
            return;
        }
        if syn || !ack {
            // A SYN on an open connection gets an acknowledgement, which shows the remote what it has forgotten: RFC 5961.
            self.ack_due |= syn;
            return;
        }
        let bare = segment.is_empty();
        match self.tx.acknowledged(now, segment.ack, segment.window, bare, &self.config) {
            Acked::Impossible => {
                self.ack_due = true;
                return;
            }
            Acked::Nothing => {}
            Acked::New => self.restart = true,
            Acked::Loss => {
                self.restart = true;
                let piece = self.tx.first_piece(&self.config);
                let again = self.with_piece(piece);
                out.push(again);
            }
        }
        self.probes = 0;
        if self.timer == Timer::Probe && !self.tx.blocked() {
            self.tx.clock.settle();
        }
        if self.wants_room && self.tx.waiting() <= self.config.send_buffer / 3 * 2 {
            self.wants_room = false;
            events.push(Event::Writable);
        }
        if bare {
            // Below the window: a question whether we have room.
            self.ack_due |= segment.seq < self.rx.next;
        } else {
            self.take(segment.seq, segment.data, fin, out, events);
        }
        if self.phase == Phase::Open && self.tx.finish_acknowledged() && self.rx.complete {
            if self.ack_due {
                let last = self.bare(ACK);
                out.push(last);
            }
            self.over(Event::Done { time_wait: self.closed_first }, events);
        }
    }

    fn take(&mut self, seq: u64, data: Bytes, fin: bool, out: &mut Vec<Segment>, events: &mut Vec<Event>) {
        self.ack_due = true;
        let was_complete = self.rx.complete;
        let unread = self.rx.unread();
        self.rx.take(seq, data, fin);
        if self.rx.unread() > unread {
            if self.owner == Owner::Closed {
                // Bytes for a program that has closed: they would be lost, so the remote is told (RFC 2525 section 2.17).
                self.abort(out, events);
                return;
            }
            events.push(Event::Received);
        }
        if self.rx.complete && !was_complete {
            self.closed_first = self.tx.finished();
        }
        self.tell_end(events);
    }

    fn tell_end(&mut self, events: &mut Vec<Event>) {
        if self.rx.complete && self.rx.unread() == 0 && !self.told_end {
            self.told_end = true;
            events.push(Event::Ended);
        }
    }

    fn open(&mut self, now: Time, segment: &Segment, events: &mut Vec<Event>) {
        self.tx.acknowledged(now, segment.ack, segment.window, false, &self.config);
        self.phase = Phase::Open;
        self.restart = true;
        events.push(Event::Connected);
    }

    fn over(&mut self, event: Event, events: &mut Vec<Event>) {
        self.phase = Phase::Over;
        self.timer = Timer::Off;
        self.deadline = Time::NEVER;
        self.ack_due = false;
        events.push(event);
    }

    fn send_syn(&mut self, now: Time, out: &mut Vec<Segment>) {
        if !self.tx.in_flight() {
            self.tx.syn_sent(now);
        }
        self.timer = Timer::Resend;
        self.deadline = now + self.tx.clock.timeout(&self.config);
        let syn = self.syn();
        out.push(syn);
    }

    fn syn(&mut self) -> Segment {
        let ack = self.phase == Phase::SynReceived;
        let mut segment = self.bare(Flags { syn: true, ack, ..Flags::default() });
        segment.seq = self.tx.initial;
        segment
    }

    fn with_piece(&mut self, (seq, data, fin): (u64, Bytes, bool)) -> Segment {
        let mut segment = self.bare(Flags { ack: true, fin, ..Flags::default() });
        segment.seq = seq;
        segment.data = data;
        segment
    }

    /// A segment that takes no room in the sequence, with all that the remote should know.
    fn bare(&mut self, flags: Flags) -> Segment {
        if flags.ack {
            self.ack_due = false;
        }
        let window = self.rx.grant();
        let ack = if flags.ack { self.rx.next } else { 0 };
        Segment { flags, seq: self.tx.highest(), ack, window, data: Bytes::new() }
    }
}

const ACK: Flags = Flags { syn: false, ack: true, fin: false, rst: false };

/// A reset that the remote will believe, since it has the number that it acknowledged.
fn reset_at(seq: u64) -> Segment {
    Segment { flags: Flags { rst: true, ..Flags::default() }, seq, ..Segment::default() }
}
