//! Random operations on two connections over a lossless pipe that cuts anywhere: what was written arrives, and nothing
//! gets stuck.

use crate::support::{CHAT, ECHO, End, Pair, router};
use bytes::Buf;
use proptest::prelude::*;
use std::collections::BTreeMap;
use tidewire_core::Time;
use tidewire_multistream::Protocols;
use tidewire_upgrade::connection::{Event, Selection};
use tidewire_upgrade::muxer::{MuxerKind, StreamId};
use tidewire_upgrade::pipeline::SecurityKind;
use tidewire_upgrade::security::psk::PreSharedKey;

#[derive(Clone, Debug)]
enum Op {
    Open { lazy: bool, several: bool },
    Write { stream: usize, len: usize },
    Finish { stream: usize },
    Read { stream: usize },
    Deliver { len: usize },
    Turn,
    Ping,
}

/// What a remote might do to itself.
#[derive(Clone, Debug)]
enum Rough {
    Op(Op),
    Reset { stream: usize },
    GoAway,
    Close,
    Garbage(Vec<u8>),
    End,
    Later(u16),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (any::<bool>(), any::<bool>()).prop_map(|(lazy, several)| Op::Open { lazy, several }),
        6 => (0..8usize, prop_oneof![1..40usize, 1..30_000usize]).prop_map(|(stream, len)| Op::Write { stream, len }),
        1 => (0..8usize).prop_map(|stream| Op::Finish { stream }),
        4 => (0..8usize).prop_map(|stream| Op::Read { stream }),
        8 => prop_oneof![1..30usize, 1..100_000usize].prop_map(|len| Op::Deliver { len }),
        4 => Just(Op::Turn),
        1 => Just(Op::Ping),
    ]
}

fn rough() -> impl Strategy<Value = Rough> {
    prop_oneof![
        30 => op().prop_map(Rough::Op),
        3 => (0..8usize).prop_map(|stream| Rough::Reset { stream }),
        1 => Just(Rough::GoAway),
        1 => Just(Rough::Close),
        1 => proptest::collection::vec(any::<u8>(), 1..40).prop_map(Rough::Garbage),
        1 => Just(Rough::End),
        2 => any::<u16>().prop_map(Rough::Later),
    ]
}

/// The stream's id on the other end: the same in yamux; in mplex the lowest bit says whose it is.
fn same_stream(way: u8, id: StreamId) -> StreamId {
    if way & 2 == 0 { id } else { StreamId::new(id.get() ^ 1) }
}

/// What one end knows of its streams.
#[derive(Default)]
struct Known {
    streams: Vec<StreamId>,
    written: BTreeMap<StreamId, Vec<u8>>,
    read: BTreeMap<StreamId, Vec<u8>>,
    ended: Vec<StreamId>,
    told: usize,
}

impl Known {
    fn pick(&self, stream: usize) -> Option<StreamId> {
        self.streams.get(stream % self.streams.len().max(1)).copied()
    }

    fn listen(&mut self, end: &End) {
        for event in &end.events[self.told..] {
            if let Event::Negotiated { id, route: Some(_), .. } = event {
                self.streams.push(*id);
            }
        }
        self.told = end.events.len();
    }

    fn read(&mut self, end: &mut End, id: StreamId) {
        let (data, result) = end.read_all(id);
        self.read.entry(id).or_default().extend(data);
        if result.is_ok() && !self.ended.contains(&id) {
            self.ended.push(id);
        }
    }
}

fn act(op: &Op, now: Time, end: &mut End, other: &mut End, known: &mut Known) {
    match *op {
        Op::Open { lazy, several } => {
            let selection = if lazy { Selection::Lazy } else { Selection::Plain };
            let protocols = [CHAT, ECHO].into_iter().skip(usize::from(!several)).collect::<Protocols>();
            if let Ok(id) = end.connection.open(now, &protocols, selection, &mut end.tx) {
                known.streams.push(id);
            }
        }
        Op::Write { stream, len } => {
            let Some(id) = known.pick(stream) else { return };
            let written = known.written.entry(id).or_default();
            let data: Vec<u8> = (written.len()..written.len() + len).map(|i| (i % 251) as u8).collect();
            if let Ok(count) = end.connection.write(id, &data, &mut end.tx) {
                assert!(count > 0);
                written.extend_from_slice(&data[..count]);
            }
        }
        Op::Finish { stream } => {
            if let Some(id) = known.pick(stream) {
                let _ = end.connection.finish(id, &mut end.tx);
            }
        }
        Op::Read { stream } => {
            if let Some(id) = known.pick(stream) {
                known.read(end, id);
            }
        }
        Op::Deliver { len } => {
            let count = len.min(end.tx.len());
            other.rx.extend_from_slice(&end.tx[..count]);
            end.tx.advance(count);
        }
        Op::Turn => end.turn(now),
        Op::Ping => {
            end.connection.ping(now, &mut end.tx);
        }
    }
    known.listen(end);
}

fn pair(way: u8) -> Pair {
    Pair::new(|config| {
        config.securities = vec![if way & 1 == 0 { SecurityKind::Noise } else { SecurityKind::Plaintext }];
        config.muxers = vec![if way & 2 == 0 { MuxerKind::Yamux } else { MuxerKind::Mplex }];
        config.psk = (way & 4 != 0).then(|| PreSharedKey::new([8; 32]));
        // mplex has no back-pressure: here its readers may be late.
        config.muxer.mplex.max_stream_buffer = 1 << 24;
        config.muxer.mplex.max_connection_buffer = 1 << 26;
        config.connection.router = Some(router());
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_byte_arrives_whatever_the_order_of_calls(way in 0..8u8, ops in proptest::collection::vec((any::<bool>(), op()), 1..120)) {
        let mut pair = pair(way);
        let (mut at_a, mut at_b) = (Known::default(), Known::default());
        for (first, op) in &ops {
            if *first {
                act(op, Time::ZERO, &mut pair.a, &mut pair.b, &mut at_a);
            } else {
                act(op, Time::ZERO, &mut pair.b, &mut pair.a, &mut at_b);
            }
        }
        // Then both read all, finish all, and read to the end.
        for round in 0..30 {
            pair.settle();
            for (end, known) in [(&mut pair.a, &mut at_a), (&mut pair.b, &mut at_b)] {
                known.listen(end);
                for id in known.streams.clone() {
                    known.read(end, id);
                    if round > 2 {
                        let _ = end.connection.finish(id, &mut end.tx);
                    }
                }
            }
        }
        prop_assert_eq!((&pair.a.error, &pair.b.error), (&None, &None));
        for (from, to) in [(&at_a, &at_b), (&at_b, &at_a)] {
            prop_assert_eq!(from.streams.len(), to.streams.len());
            for id in &from.streams {
                let (there, none) = (same_stream(way, *id), Vec::new());
                let (written, read) = (from.written.get(id).unwrap_or(&none), to.read.get(&there).unwrap_or(&none));
                prop_assert!(written == read, "{:?}: {} of {} bytes came", id, read.len(), written.len());
                prop_assert!(to.ended.contains(&there));
            }
        }
        prop_assert_eq!((pair.a.connection.streams(), pair.b.connection.streams()), (0, 0));
    }

    #[test]
    fn no_order_of_calls_and_no_input_panics(way in 0..8u8, ops in proptest::collection::vec((any::<bool>(), rough()), 1..100)) {
        let mut pair = pair(way);
        let (mut at_a, mut at_b) = (Known::default(), Known::default());
        let mut now = Time::ZERO;
        for (first, op) in &ops {
            let (end, other, known) = if *first {
                (&mut pair.a, &mut pair.b, &mut at_a)
            } else {
                (&mut pair.b, &mut pair.a, &mut at_b)
            };
            match op {
                Rough::Op(op) => act(op, now, end, other, known),
                Rough::Reset { stream } => {
                    if let Some(id) = known.pick(*stream) {
                        let _ = end.connection.reset(id, 3, &mut end.tx);
                    }
                }
                Rough::GoAway => end.connection.go_away(2, &mut end.tx),
                Rough::Close => end.connection.close(1, &mut end.tx),
                Rough::Garbage(bytes) => end.rx.extend_from_slice(bytes),
                Rough::End => end.end(now),
                Rough::Later(ms) => now = now + core::time::Duration::from_millis((*ms).into()),
            }
        }
        pair.now = now;
        pair.settle();
        for (end, known) in [(&mut pair.a, &mut at_a), (&mut pair.b, &mut at_b)] {
            let over = end.connection.is_closed();
            for id in known.streams.clone() {
                known.read(end, id);
                let write = end.connection.write(id, b"x", &mut end.tx);
                prop_assert!(!over || write.is_err());
            }
        }
    }
}
