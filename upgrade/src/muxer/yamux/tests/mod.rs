//! What a yamux connection does, told by its tests. This file: two ends, a wire, and frames made by hand.

mod adversary;
mod frames;
mod laws;
mod liveness;
mod memory;
mod model;
mod oracle;
mod streams;
mod windows;

use super::frame::{Header, Kind};
use super::{Config, Error, Yamux};
use crate::muxer::{By, Event, Muxer, ReadError, StreamId};
use alloc::vec::Vec;
use bytes::{Buf, BytesMut};
use core::time::Duration;
use tidewire_core::{Role, Time};

/// One end and what it has to say.
struct End {
    yamux: Yamux,
    tx: BytesMut,
    now: Time,
}

impl End {
    fn new(role: Role, config: Config) -> Self {
        End { yamux: Yamux::new(role, config), tx: BytesMut::new(), now: Time::ZERO }
    }

    fn dialer() -> Self {
        End::new(Role::Initiator, quiet())
    }

    fn listener() -> Self {
        End::new(Role::Responder, quiet())
    }

    /// Takes these bytes in, and says what came of it.
    fn hear(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Error> {
        let mut rx = BytesMut::from(bytes);
        let events = self.hear_some(&mut rx);
        assert!(events.is_err() || rx.len() < 12, "{} bytes were not taken", rx.len());
        events
    }

    fn hear_some(&mut self, rx: &mut BytesMut) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        while let Some(event) = self.yamux.advance(self.now, rx, &mut self.tx)? {
            events.push(event);
        }
        Ok(events)
    }

    /// What it has to say.
    fn said(&mut self) -> BytesMut {
        self.yamux.boundary();
        self.tx.split()
    }

    /// The frames that it has to say.
    fn frames(&mut self) -> Vec<Seen> {
        frames(&self.said())
    }

    fn open(&mut self) -> StreamId {
        self.yamux.open(&mut self.tx).unwrap()
    }

    fn write(&mut self, id: StreamId, data: &[u8]) -> usize {
        self.yamux.write(id, data, usize::MAX, &mut self.tx).unwrap()
    }

    fn finish(&mut self, id: StreamId) {
        self.yamux.finish(id, &mut self.tx).unwrap();
    }

    fn reset(&mut self, id: StreamId, code: u32) {
        self.yamux.reset(id, code, &mut self.tx).unwrap();
    }

    fn read(&mut self, id: StreamId) -> Result<Option<BytesMut>, ReadError> {
        self.yamux.read(id, &mut self.tx)
    }

    /// All that can be read, and how it ended.
    fn read_all(&mut self, id: StreamId) -> (Vec<u8>, Result<(), ReadError>) {
        let mut all = Vec::new();
        loop {
            match self.read(id) {
                Ok(Some(bytes)) => all.extend_from_slice(&bytes),
                Ok(None) => return (all, Ok(())),
                Err(error) => return (all, Err(error)),
            }
        }
    }

    /// Reads all that can be read.
    fn drain(&mut self, id: StreamId) {
        drop(self.read_all(id));
    }

    fn wait(&mut self, duration: Duration) {
        self.now = self.now + duration;
    }
}

/// A configuration without pings of its own.
fn quiet() -> Config {
    Config { keep_alive: None, ..Config::default() }
}

/// Both ends hear what the other has said, until both are silent.
fn settle(a: &mut End, b: &mut End) -> (Vec<Event>, Vec<Event>) {
    let (mut seen_a, mut seen_b) = (Vec::new(), Vec::new());
    while !a.tx.is_empty() || !b.tx.is_empty() {
        let said = a.said();
        seen_b.extend(b.hear(&said).unwrap());
        let said = b.said();
        seen_a.extend(a.hear(&said).unwrap());
    }
    (seen_a, seen_b)
}

const SYN: u16 = 1;
const ACK: u16 = 2;
const FIN: u16 = 4;
const RST: u16 = 8;

fn frame(kind: Kind, flags: u16, stream: u32, length: u32) -> Vec<u8> {
    Header { kind, flags, stream, length }.encode().to_vec()
}

fn data(flags: u16, stream: u32, bytes: &[u8]) -> Vec<u8> {
    let mut all = frame(Kind::Data, flags, stream, u32::try_from(bytes.len()).unwrap());
    all.extend_from_slice(bytes);
    all
}

fn update(flags: u16, stream: u32, credit: u32) -> Vec<u8> {
    frame(Kind::WindowUpdate, flags, stream, credit)
}

fn ping(flags: u16, value: u32) -> Vec<u8> {
    frame(Kind::Ping, flags, 0, value)
}

fn go_away(code: u32) -> Vec<u8> {
    frame(Kind::GoAway, 0, 0, code)
}

fn id(number: u64) -> StreamId {
    StreamId::new(number)
}

/// A frame on the wire: type, flags, stream, length, payload.
type Seen = (Kind, u16, u32, u32, Vec<u8>);

fn frames(mut bytes: &[u8]) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Some(header) = bytes.first_chunk() {
        let Header { kind, flags, stream, length } = Header::decode(header).unwrap();
        bytes.advance(12);
        let body = if kind == Kind::Data { bytes.copy_to_bytes(length as usize).to_vec() } else { Vec::new() };
        all.push((kind, flags, stream, length, body));
    }
    assert!(bytes.is_empty(), "half a header at the end: {bytes:?}");
    all
}
