//! Two parties and the wire between them, with pieces of any size and half-closes.
#![allow(dead_code, unreachable_pub)]

use bytes::{Buf, BytesMut};
use tidewire_core::{Machine, Time};
use tidewire_multistream::{Config, Dialer, Listener, Protocol, Protocols};

pub const HEADER: &[u8] = b"\x13/multistream/1.0.0\n";

/// The frame of a name.
pub fn frame(name: &[u8]) -> Vec<u8> {
    let len = name.len() + 1;
    let mut out = if len < 128 { vec![len as u8] } else { vec![len as u8 | 0x80, (len >> 7) as u8] };
    out.extend_from_slice(name);
    out.push(b'\n');
    out
}

/// The header, and the frames of these names.
pub fn flight(names: &[&str]) -> Vec<u8> {
    let mut out = HEADER.to_vec();
    for name in names {
        out.extend(frame(name.as_bytes()));
    }
    out
}

pub fn names(names: &[&str]) -> Protocols {
    Protocols::parse(names).unwrap()
}

pub fn name(name: &str) -> Protocol {
    Protocol::new(name).unwrap()
}

pub fn dialer(proposals: &[&str]) -> Dialer {
    Dialer::new(names(proposals), Config::default())
}

pub fn listener(served: &[&str]) -> Listener {
    Listener::new(names(served), Config::default())
}

/// One end: a machine, its buffers, and what became of it.
pub struct Side<M: Machine> {
    pub machine: M,
    pub rx: BytesMut,
    pub tx: BytesMut,
    pub outputs: Vec<M::Output>,
    pub error: Option<M::Error>,
    /// We will send no more once `tx` is empty.
    pub finish: bool,
    /// The remote sends no more.
    pub heard_end: bool,
    /// All that ever left.
    pub sent: Vec<u8>,
}

impl<M: Machine> Side<M> {
    pub fn new(machine: M) -> Side<M> {
        Side {
            machine,
            rx: BytesMut::new(),
            tx: BytesMut::new(),
            outputs: Vec::new(),
            error: None,
            finish: false,
            heard_end: false,
            sent: Vec::new(),
        }
    }

    /// Drives the machine until it wants more. Whether it told anything.
    pub fn turn(&mut self, now: Time) -> bool {
        let mut told = false;
        while self.error.is_none() {
            let (rx, tx) = (&mut self.rx, &mut self.tx);
            let result = self.machine.advance_or_end(now, rx, tx, self.heard_end);
            match result {
                Ok(Some(output)) => self.outputs.push(output),
                Ok(None) => break,
                Err(error) => self.error = Some(error),
            }
            told = true;
        }
        told
    }

    /// Gives these bytes in pieces of this size.
    pub fn feed(&mut self, bytes: &[u8], piece: usize) {
        for piece in bytes.chunks(piece) {
            self.rx.extend_from_slice(piece);
            self.turn(Time::ZERO);
            self.sent.extend_from_slice(&self.tx);
            self.tx.clear();
        }
    }

    /// Moves up to `piece` bytes, or the end, to the other side. Whether anything moved.
    pub fn deliver<N: Machine>(&mut self, to: &mut Side<N>, piece: usize) -> bool {
        if self.tx.is_empty() {
            return self.finish && !core::mem::replace(&mut to.heard_end, true);
        }
        let len = piece.min(self.tx.len());
        to.rx.extend_from_slice(&self.tx[..len]);
        self.sent.extend_from_slice(&self.tx[..len]);
        self.tx.advance(len);
        true
    }
}

/// What an application does around a negotiation that ends in `Output`.
pub struct App {
    /// What it sends, as soon as it may.
    pub data: Vec<u8>,
    /// When it finishes its side: as soon as it may write, or once the negotiation is over.
    pub finish_early: bool,
    pub wrote: bool,
}

impl App {
    pub fn new(data: &[u8], finish_early: bool) -> App {
        App { data: data.to_vec(), finish_early, wrote: false }
    }

    pub fn act<M: Machine>(&mut self, side: &mut Side<M>, may_write: bool) {
        if may_write && !self.wrote {
            side.tx.extend_from_slice(&self.data);
            self.wrote = true;
        }
        if self.wrote && (self.finish_early || !side.outputs.is_empty()) {
            side.finish = true;
        }
    }
}

/// Runs both ends until nothing moves any more.
pub fn converse(a: &mut Side<Dialer>, on_a: &mut App, b: &mut Side<Listener>, on_b: &mut App, piece: usize) {
    for _ in 0..100_000 {
        let mut moved = a.turn(Time::ZERO);
        let may_write = a.machine.may_write();
        on_a.act(a, may_write);
        moved |= b.turn(Time::ZERO);
        let may_write = !b.outputs.is_empty();
        on_b.act(b, may_write);
        moved |= a.deliver(b, piece);
        moved |= b.deliver(a, piece);
        if !moved {
            return;
        }
    }
    panic!("the conversation has no end");
}
