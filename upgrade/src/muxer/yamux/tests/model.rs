//! Any order of calls on both ends, over a wire that is cut anywhere, against a model that is a queue of bytes.

use super::*;
use crate::muxer::{OpenError, StreamError, WriteError};
use alloc::collections::BTreeMap;
use alloc::vec;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Open,
    Write {
        stream: usize,
        len: usize,
        room: usize,
    },
    Read {
        stream: usize,
        times: usize,
    },
    Finish {
        stream: usize,
    },
    Reset {
        stream: usize,
    },
    Boundary,
    Ping,
    /// This many bytes arrive at the other end.
    Deliver {
        bytes: usize,
    },
    Wait {
        millis: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let stream = 0..8usize;
    prop_oneof![
        2 => Just(Op::Open),
        6 => (stream.clone(), prop_oneof![0..100usize, 0..200_000usize], prop_oneof![Just(usize::MAX), 0..70_000usize])
            .prop_map(|(stream, len, room)| Op::Write { stream, len, room }),
        5 => (stream.clone(), 1..5usize).prop_map(|(stream, times)| Op::Read { stream, times }),
        1 => stream.clone().prop_map(|stream| Op::Finish { stream }),
        1 => stream.prop_map(|stream| Op::Reset { stream }),
        1 => Just(Op::Boundary),
        1 => Just(Op::Ping),
        8 => prop_oneof![0..30usize, 0..1000usize, 0..400_000usize].prop_map(|bytes| Op::Deliver { bytes }),
        1 => (0..200u64).prop_map(|millis| Op::Wait { millis }),
    ]
}

/// What one end has put into a stream, and how much of it the other has read.
#[derive(Debug, Default)]
struct Flow {
    written: u64,
    read: u64,
    finished: bool,
    /// Either end has reset the stream: what was written may be lost.
    broken: bool,
}

/// Two ends and the wires between them.
struct World {
    ends: [End; 2],
    /// What each end has received and not looked at.
    rx: [BytesMut; 2],
    streams: Vec<StreamId>,
    /// By stream and writing end.
    flows: BTreeMap<(StreamId, usize), Flow>,
    now: Time,
    config: Config,
}

/// What a stream carries from this place on: a pattern that tells streams, directions and places apart.
fn pattern(id: StreamId, end: usize, at: u64, len: usize) -> Vec<u8> {
    let mut turn: Vec<u8> = (0..=250).collect();
    turn.rotate_left(((at + id.get() * 31 + end as u64 * 7) % 251) as usize);
    let mut all = turn.repeat(len / 251 + 1);
    all.truncate(len);
    all
}

impl World {
    fn new(mut config: Config) -> Self {
        // Operations wait, and deliver nothing, for as long as they like.
        config.pong_timeout = Duration::MAX;
        let ends = [End::new(Role::Initiator, config.clone()), End::new(Role::Responder, config.clone())];
        let rx = [BytesMut::new(), BytesMut::new()];
        World { ends, rx, streams: Vec::new(), flows: BTreeMap::new(), now: Time::ZERO, config }
    }

    fn stream(&self, n: usize) -> Option<StreamId> {
        self.streams.len().checked_sub(1).map(|last| self.streams[last - n.min(last)])
    }

    fn apply(&mut self, end: usize, op: Op) {
        match op {
            Op::Open => match self.ends[end].yamux.open(&mut self.ends[end].tx) {
                Ok(id) => self.streams.push(id),
                Err(OpenError::Failed | OpenError::IdsUsedUp) => panic!("nothing is wrong"),
                Err(_) => {}
            },
            Op::Write { stream, len, room } => {
                if let Some(id) = self.stream(stream) {
                    self.write(end, id, len, room);
                }
            }
            Op::Read { stream, times } => {
                for _ in 0..times {
                    if let Some(id) = self.stream(stream) {
                        self.read(end, id);
                    }
                }
            }
            Op::Finish { stream } => {
                let Some(id) = self.stream(stream) else { return };
                match self.ends[end].yamux.finish(id, &mut self.ends[end].tx) {
                    Ok(()) => self.flows.entry((id, end)).or_default().finished = true,
                    Err(StreamError::Failed) => panic!("nothing is wrong"),
                    Err(_) => {}
                }
            }
            Op::Reset { stream } => {
                let Some(id) = self.stream(stream) else { return };
                if self.ends[end].yamux.reset(id, 5, &mut self.ends[end].tx).is_ok() {
                    self.break_off(id);
                }
            }
            Op::Boundary => self.ends[end].yamux.boundary(),
            Op::Ping => drop(self.ends[end].yamux.ping(self.now, &mut self.ends[end].tx)),
            Op::Deliver { bytes } => drop(self.deliver(end, bytes)),
            Op::Wait { millis } => self.now = self.now + Duration::from_millis(millis),
        }
        self.check();
    }

    fn write(&mut self, end: usize, id: StreamId, len: usize, room: usize) {
        let flow = self.flows.entry((id, end)).or_default();
        let bytes = pattern(id, end, flow.written, len);
        let this = &mut self.ends[end];
        let (before, credit) = (this.tx.len(), this.yamux.credit(id));
        match this.yamux.write(id, &bytes, room, &mut this.tx) {
            Ok(n) => {
                assert!(n > 0 || len == 0);
                assert!(this.tx.len() - before <= room);
                assert!(this.tx.len() <= self.config.max_tx || n == 0);
                assert_eq!(this.yamux.credit(id).map(|left| left as usize + n), credit.map(|credit| credit as usize));
                assert!(!flow.finished);
                flow.written += n as u64;
            }
            Err(error) => {
                assert_eq!(this.tx.len(), before);
                match error {
                    WriteError::Failed => panic!("nothing is wrong"),
                    WriteError::Finished => assert!(flow.finished),
                    WriteError::Reset { by: By::Remote, code } => assert!(flow.broken && [5, REFUSED].contains(&code)),
                    _ => {}
                }
            }
        }
    }

    /// Whether there was something.
    fn read(&mut self, end: usize, id: StreamId) -> bool {
        match self.ends[end].read(id) {
            Ok(Some(bytes)) => {
                assert!(!bytes.is_empty());
                let flow = self.flows.entry((id, 1 - end)).or_default();
                assert!(bytes == pattern(id, 1 - end, flow.read, bytes.len())[..], "{id:?} at {}", flow.read);
                flow.read += bytes.len() as u64;
                assert!(flow.read <= flow.written);
                true
            }
            Ok(None) => {
                let flow = &self.flows[&(id, 1 - end)];
                assert!(flow.finished);
                assert_eq!(flow.read, flow.written, "{id:?} ended early");
                false
            }
            Err(ReadError::Reset { by: By::Remote, code }) => {
                assert!(self.flows[&(id, end)].broken && [5, REFUSED].contains(&code));
                false
            }
            Err(ReadError::Failed) => panic!("nothing is wrong"),
            Err(_) => false,
        }
    }

    /// Moves bytes from what the other end has said, and lets `end` look at them.
    fn deliver(&mut self, end: usize, bytes: usize) -> Vec<Event> {
        let other = &mut self.ends[1 - end];
        other.yamux.boundary();
        let bytes = bytes.min(other.tx.len());
        self.rx[end].extend_from_slice(&other.tx.split_to(bytes));
        self.ends[end].now = self.now;
        let mut events = Vec::new();
        let this = &mut self.ends[end];
        while let Some(event) = this.yamux.advance(self.now, &mut self.rx[end], &mut this.tx).unwrap() {
            events.push(event);
        }
        for event in &events {
            match *event {
                Event::Opened(id) => assert!(self.streams.contains(&id)),
                // It may have been refused.
                Event::Reset { id, .. } => self.break_off(id),
                _ => {}
            }
        }
        events
    }

    fn break_off(&mut self, id: StreamId) {
        for end in 0..2 {
            self.flows.entry((id, end)).or_default().broken = true;
        }
    }

    fn check(&self) {
        for end in &self.ends {
            let windows = self.config.max_connection_window;
            // Memory for tiny pieces grows by doubling.
            assert!(end.yamux.memory_used() as u64 <= 2 * windows + 64 * 1024, "{}", end.yamux.memory_used());
            assert!(end.yamux.unaccepted <= end.yamux.streams());
            assert!(end.yamux.unacknowledged <= end.yamux.streams());
        }
    }

    /// Both ends go on until nothing moves: then every byte that was written is there, or its stream is broken.
    fn run_dry(&mut self) {
        loop {
            let mut moved = false;
            for end in 0..2 {
                moved |= !self.ends[1 - end].tx.is_empty();
                self.deliver(end, usize::MAX);
                for id in self.streams.clone() {
                    while self.read(end, id) {
                        moved = true;
                    }
                }
            }
            if !moved {
                break;
            }
        }
        assert!(self.rx.iter().all(BytesMut::is_empty), "nothing is left over");
        for ((id, end), flow) in &self.flows {
            assert!(flow.broken || flow.read == flow.written, "{id:?} from {end} is stuck: {flow:?}");
        }
    }

    /// Writes more than any window holds to a stream: as long as the other end reads, it moves.
    fn pour(&mut self) {
        if let Some(id) = self.streams.first().copied() {
            for end in 0..2 {
                let flow = self.flows.entry((id, end)).or_default();
                let goal = flow.written + 700_000;
                while self.flows[&(id, end)].written < goal {
                    let before = self.flows[&(id, end)].written;
                    self.write(end, id, 100_000, usize::MAX);
                    if self.flows[&(id, end)].written > before {
                        continue;
                    }
                    self.run_dry();
                    self.write(end, id, 100_000, usize::MAX);
                    let flow = &self.flows[&(id, end)];
                    if flow.broken || flow.finished || self.ends[end].yamux.credit(id).is_none() {
                        break;
                    }
                    assert!(flow.written > before, "{id:?} is stuck");
                }
            }
        }
        self.run_dry();
    }

    /// Finishes and reads everything: then no stream is left, and nothing is held for one.
    fn close(&mut self) {
        for id in self.streams.clone() {
            // The first finish may be what opens the stream for the other end.
            for end in [0, 1, 0, 1] {
                if self.ends[end].yamux.finish(id, &mut self.ends[end].tx).is_ok() {
                    self.flows.entry((id, end)).or_default().finished = true;
                }
                self.run_dry();
            }
            for end in &mut self.ends {
                if end.read(id).is_err_and(|error| matches!(error, ReadError::Reset { .. })) {
                    end.reset(id, 5);
                }
            }
        }
        self.run_dry();
        for end in &self.ends {
            assert_eq!((end.yamux.streams(), end.yamux.unaccepted, end.yamux.unacknowledged), (0, 0, 0));
            assert!(end.yamux.windows.is_unused());
        }
    }
}

/// The code with which a stream over a limit is refused.
const REFUSED: u32 = 0x1002;

fn small() -> Config {
    Config {
        max_inbound_streams: 4,
        max_outbound_streams: 8,
        max_unacknowledged: 4,
        accept_backlog: 3,
        max_stream_window: 1 << 20,
        max_connection_window: 4 << 20,
        max_frame: 20_000,
        max_tx: 50_000,
        max_replies: 100,
        ..quiet()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_byte_arrives_once_and_in_order(ops in prop::collection::vec((0..2usize, op()), 1..100)) {
        let mut world = World::new(quiet());
        for (end, op) in ops {
            world.apply(end, op);
        }
        world.run_dry();
        world.close();
    }

    #[test]
    fn every_byte_arrives_under_tight_limits(ops in prop::collection::vec((0..2usize, op()), 1..100)) {
        let mut world = World::new(small());
        for (end, op) in ops {
            world.apply(end, op);
        }
        world.run_dry();
        world.pour();
        world.close();
    }

    #[test]
    fn after_a_failure_no_order_of_calls_does_harm(
        ops in prop::collection::vec((0..2usize, op()), 1..60),
        rubbish in prop::collection::vec(any::<u8>(), 12..40),
        after in prop::collection::vec(op(), 1..60),
    ) {
        let mut world = World::new(quiet());
        for (end, op) in ops {
            world.apply(end, op);
        }
        let World { ends: [mut end, _], rx: [mut rx, _], streams, .. } = world;
        rx.extend_from_slice(&rubbish);
        let mut failed = end.hear_some(&mut rx).is_err();
        end.said();
        for op in after {
            let id = |n: usize| streams.get(n).copied().unwrap_or(StreamId::new(1));
            match op {
                Op::Open => drop(end.yamux.open(&mut end.tx)),
                Op::Write { stream, len, room } => {
                    let _ = end.yamux.write(id(stream), &vec![0; len], room, &mut end.tx);
                }
                Op::Read { stream, .. } => drop(end.read(id(stream))),
                Op::Finish { stream } => drop(end.yamux.finish(id(stream), &mut end.tx)),
                Op::Reset { stream } => drop(end.yamux.reset(id(stream), 1, &mut end.tx)),
                Op::Boundary => end.yamux.boundary(),
                Op::Ping => drop(end.yamux.ping(end.now, &mut end.tx)),
                Op::Wait { millis } => end.wait(Duration::from_millis(millis)),
                Op::Deliver { bytes } => {
                    let result = end.hear_some(&mut BytesMut::from(&rubbish[..bytes.min(rubbish.len())]));
                    assert!(!failed || result.is_err(), "a failure stays");
                    if !failed {
                        failed = result.is_err();
                        end.said();
                    }
                }
            }
            assert!(!failed || end.tx.is_empty(), "a failed connection is silent");
        }
    }

    #[test]
    fn no_sequence_of_frames_does_harm(
        frames in prop::collection::vec(
            (0..4u8, 0..16u16, 0..6u32, prop_oneof![0..20u32, any::<u32>(), Just(262_144), Just(0xFFFF_0000)]),
            1..50,
        ),
        initiator in any::<bool>(),
        opened in 0..3usize,
    ) {
        let role = if initiator { Role::Initiator } else { Role::Responder };
        let mut end = End::new(role, small());
        for _ in 0..opened {
            let id = end.open();
            end.write(id, b"x");
        }
        let mut result = Ok(Vec::new());
        for (kind, flags, stream, length) in frames {
            let mut bytes = vec![0, kind];
            bytes.extend_from_slice(&flags.to_be_bytes());
            bytes.extend_from_slice(&stream.to_be_bytes());
            bytes.extend_from_slice(&length.to_be_bytes());
            if kind == 0 && length <= 20 {
                bytes.extend(core::iter::repeat_n(7, length as usize));
            }
            let mut rx = BytesMut::from(&bytes[..]);
            let before = end.tx.len();
            let was = result.clone().err();
            result = end.hear_some(&mut rx);
            if let Some(error) = was {
                assert_eq!(result, Err(error), "a failure stays");
                assert_eq!(end.tx.len(), before, "and is silent");
            }
            for stream in 0..6 {
                end.drain(id(stream));
            }
            assert!(end.yamux.streams() <= 12);
            assert!(end.yamux.memory_used() < 300_000);
        }
    }
}
