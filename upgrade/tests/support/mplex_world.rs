//! Two mplex ends, the bytes between them, and a model that knows what each call must say.
//!
//! The property test and the fuzz target both drive it with [`Op`]s.

use bytes::BytesMut;
use std::collections::BTreeMap;
use tidewire_core::{Role, Time};
use tidewire_upgrade::muxer::mplex::{Config, Mplex, OVERRUN};
use tidewire_upgrade::muxer::{By, Event, Muxer, OpenError, ReadError, StreamError, StreamId, WriteError};

/// One thing to do: what, which stream of those that the end has had, how much. The lowest bit of `what` is the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    pub(crate) what: u8,
    pub(crate) pick: u8,
    pub(crate) size: u16,
}

/// Both ends.
pub(crate) struct World {
    config: Config,
    ends: [End; 2],
    /// By who opened it, and its number there.
    streams: BTreeMap<(usize, u64), Model>,
}

struct End {
    mplex: Mplex,
    rx: BytesMut,
    tx: BytesMut,
    /// Streams that this end has had, gone ones too.
    known: Vec<StreamId>,
    going_away: bool,
}

/// What is true of a stream.
#[derive(Default)]
struct Model {
    halves: [Half; 2],
}

/// One end's view of a stream.
#[derive(Default)]
struct Half {
    written: usize,
    read: usize,
    finished: bool,
    read_to_end: bool,
    /// It ended the stream, by call or by overrun.
    reset: bool,
    /// It was told that the stream was reset.
    saw_reset: Option<(By, u32)>,
    saw_opened: bool,
    saw_finished: bool,
    forgotten: bool,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let end = |role| End {
            mplex: Mplex::new(role, config.clone()),
            rx: BytesMut::new(),
            tx: BytesMut::new(),
            known: Vec::new(),
            going_away: false,
        };
        World { ends: [end(Role::Initiator), end(Role::Responder)], streams: BTreeMap::new(), config }
    }

    /// Does it, and checks what came of it.
    pub(crate) fn run(&mut self, op: Op) {
        let at = usize::from(op.what & 1);
        let picked = self.ends[at].known.get(usize::from(op.pick) % self.ends[at].known.len().max(1)).copied();
        let size = usize::from(op.size);
        match (op.what >> 1, picked) {
            (0, _) => self.open(at),
            (1..=5, Some(id)) => self.write(at, id, size % 3000, usize::MAX),
            (6, Some(id)) => self.write(at, id, size % 100, size % 20),
            (7..=10, Some(id)) => self.read(at, id),
            (11, Some(id)) => self.finish(at, id),
            (12, Some(id)) if op.size.is_multiple_of(3) => self.reset(at, id),
            (13, _) if op.size.is_multiple_of(50) => {
                self.ends[at].going_away = true;
                let end = &mut self.ends[at];
                end.mplex.go_away(0, &mut end.tx);
            }
            _ => self.deliver(at, size),
        }
        for end in &self.ends {
            assert!(end.tx.len() <= self.config.max_tx + 64 * (end.known.len() + 1), "tx grew to {}", end.tx.len());
            let cap = self.config.max_connection_buffer * 3 + (end.known.len() + 8) * 1024;
            assert!(end.mplex.memory_used() <= cap, "memory grew to {}", end.mplex.memory_used());
        }
    }

    /// Delivers and reads everything, and checks that nothing is missing.
    pub(crate) fn drain(&mut self) {
        loop {
            let mut moved = false;
            for at in 0..2 {
                moved |= !self.ends[1 - at].tx.is_empty();
                self.deliver(at, usize::MAX);
                for id in self.ends[at].known.clone() {
                    let before = self.half(at, id).read;
                    self.read(at, id);
                    moved |= self.half(at, id).read != before;
                }
            }
            if !moved {
                break;
            }
        }
        for ((opener, _), model) in &self.streams {
            if model.halves.iter().any(|half| half.reset) || self.ends[1 - opener].going_away {
                continue;
            }
            for (half, other) in [(0, 1), (1, 0)] {
                let (half, other) = (&model.halves[half], &model.halves[other]);
                assert_eq!(half.read, other.written);
                assert_eq!(half.saw_finished, other.finished);
            }
        }
        for at in 0..2 {
            let here = self.ends[at].known.iter().filter(|&&id| !self.peek(at, id).forgotten).count();
            assert_eq!(self.ends[at].mplex.streams(), here);
        }
    }

    fn open(&mut self, at: usize) {
        let end = &mut self.ends[at];
        match end.mplex.open(&mut end.tx) {
            Ok(id) => {
                assert!(!end.known.contains(&id));
                end.known.push(id);
                self.half(at, id).saw_opened = true;
            }
            Err(OpenError::GoingAway) => assert!(end.going_away),
            Err(OpenError::TooManyStreams { limit }) => assert_eq!(end.mplex.streams(), limit),
            Err(OpenError::Full) => assert!(end.tx.len() + 32 > self.config.max_tx),
            Err(error) => panic!("open: {error}"),
        }
    }

    fn write(&mut self, at: usize, id: StreamId, len: usize, room: usize) {
        let from = self.half(at, id).written;
        let data: Vec<u8> = (from..from + len).map(|i| byte(at, id, i)).collect();
        let end = &mut self.ends[at];
        let before = end.tx.len();
        let written = end.mplex.write(id, &data, room, &mut end.tx);
        let (grown, full) = (end.tx.len() - before, before + 32 > self.config.max_tx);
        assert!(grown <= room);
        let half = self.half(at, id);
        match written {
            Ok(0) => assert_eq!((len, grown), (0, 0)),
            Ok(n) => {
                assert!(n <= len && n < grown && !half.finished && half.saw_reset.is_none() && !half.reset);
                half.written += n;
            }
            Err(WriteError::Blocked) => assert!(full || room < 20),
            Err(WriteError::Finished) => assert!(half.finished),
            Err(WriteError::Reset { by, code }) => assert_eq!(half.saw_reset, Some((by, code))),
            Err(WriteError::Unknown) => assert!(half.forgotten),
            Err(error) => panic!("write: {error}"),
        }
    }

    fn read(&mut self, at: usize, id: StreamId) {
        let end = &mut self.ends[at];
        let result = end.mplex.read(id, &mut end.tx);
        let (written, other_finished) = (self.other(at, id).written, self.other(at, id).finished);
        let half = self.half(at, id);
        match result {
            Ok(Some(piece)) => {
                assert!(!piece.is_empty() && !half.forgotten);
                for (i, &got) in piece.iter().enumerate() {
                    assert_eq!(got, byte(1 - at, id, half.read + i));
                }
                half.read += piece.len();
                assert!(half.read <= written);
            }
            Ok(None) => {
                assert!(other_finished && half.read == written && half.saw_finished);
                half.read_to_end = true;
                half.forgotten |= half.finished;
            }
            Err(ReadError::Blocked) => assert!(!half.forgotten),
            Err(ReadError::Reset { by, code }) => assert_eq!(half.saw_reset, Some((by, code))),
            Err(ReadError::Unknown) => assert!(half.forgotten),
            Err(error) => panic!("read: {error}"),
        }
    }

    fn finish(&mut self, at: usize, id: StreamId) {
        let end = &mut self.ends[at];
        let result = end.mplex.finish(id, &mut end.tx);
        let half = self.half(at, id);
        match result {
            Ok(()) => {
                assert!(!half.forgotten);
                half.finished = true;
                half.forgotten |= half.read_to_end;
            }
            Err(StreamError::Reset { by, code }) => assert_eq!(half.saw_reset, Some((by, code))),
            Err(StreamError::Unknown) => assert!(half.forgotten),
            Err(error) => panic!("finish: {error}"),
        }
    }

    fn reset(&mut self, at: usize, id: StreamId) {
        let end = &mut self.ends[at];
        let result = end.mplex.reset(id, 0, &mut end.tx);
        let half = self.half(at, id);
        assert_eq!(result.is_ok(), !half.forgotten);
        half.reset = true;
        half.forgotten = true;
    }

    /// Moves up to `len` bytes to the end `at`, and lets it go as far as it can.
    fn deliver(&mut self, at: usize, len: usize) {
        let len = len.min(self.ends[1 - at].tx.len());
        let bytes = self.ends[1 - at].tx.split_to(len);
        self.ends[at].rx.extend_from_slice(&bytes);
        loop {
            let end = &mut self.ends[at];
            let Some(event) = end.mplex.advance(Time::ZERO, &mut end.rx, &mut end.tx).unwrap() else { break };
            self.note(at, event);
        }
    }

    fn note(&mut self, at: usize, event: Event) {
        match event {
            Event::Opened(id) => {
                assert!(!self.ends[at].going_away && !self.ends[at].known.contains(&id));
                self.ends[at].known.push(id);
                self.half(at, id).saw_opened = true;
            }
            Event::Readable(id) | Event::Writable(id) => {
                let half = self.half(at, id);
                assert!(half.saw_opened && !half.forgotten);
            }
            Event::Finished(id) => {
                assert!(self.other(at, id).finished);
                let half = self.half(at, id);
                assert!(!half.saw_finished);
                half.saw_finished = true;
            }
            Event::Reset { id, by, code } => {
                assert_eq!(code, if by == By::Us { OVERRUN } else { 0 });
                let by_other = by == By::Remote;
                if by_other {
                    // A stream that was refused was never the other application's to reset.
                    let other = self.other(at, id);
                    assert!(other.reset || !other.saw_opened);
                    other.reset = true;
                }
                let half = self.half(at, id);
                assert!(half.saw_reset.is_none() && !half.forgotten);
                half.saw_reset = Some((by, code));
                half.reset |= !by_other;
            }
            Event::Openable => {}
            other => panic!("mplex never says {other:?}"),
        }
    }

    fn half(&mut self, at: usize, id: StreamId) -> &mut Half {
        &mut self.streams.entry(key(at, id)).or_default().halves[at]
    }

    /// The other end's view of the stream that the end `at` calls `id`.
    fn other(&mut self, at: usize, id: StreamId) -> &mut Half {
        &mut self.streams.entry(key(at, id)).or_default().halves[1 - at]
    }

    fn peek(&self, at: usize, id: StreamId) -> &Half {
        &self.streams[&key(at, id)].halves[at]
    }
}

/// Who opened the stream that the end `at` calls `id`, and its number there.
fn key(at: usize, id: StreamId) -> (usize, u64) {
    let ours = id.get() & 1 == 1;
    (if ours { at } else { 1 - at }, id.get() >> 1)
}

/// What the end `from` writes to a stream in place `at`, as `id` is called at either end.
fn byte(from: usize, id: StreamId, at: usize) -> u8 {
    let mixed = (from as u64 * 7919 + (id.get() >> 1) * 104_729 + at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}
