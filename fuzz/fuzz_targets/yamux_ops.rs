//! Any order of calls on two yamux ends, over a wire that is cut anywhere: every byte arrives once and in order.
#![no_main]

use arbitrary::Arbitrary;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::time::Duration;
use tidewire_core::{Role, Time};
use tidewire_upgrade::muxer::yamux::{Config, Yamux};
use tidewire_upgrade::muxer::{Event, Muxer, ReadError, StreamId};

#[derive(Arbitrary, Debug)]
enum Op {
    Open,
    Write { stream: u8, len: u16, room: u16 },
    Read { stream: u8 },
    Finish { stream: u8 },
    Reset { stream: u8 },
    Boundary,
    Ping,
    GoAway,
    Deliver { bytes: u16 },
    Wait { millis: u16 },
}

#[derive(Default)]
struct Flow {
    written: usize,
    read: usize,
    broken: bool,
}

struct World {
    ends: [(Yamux, BytesMut, BytesMut); 2],
    streams: Vec<StreamId>,
    /// By stream and writing end.
    flows: BTreeMap<(StreamId, usize), Flow>,
    now: Time,
}

impl World {
    fn read(&mut self, end: usize, id: StreamId) -> bool {
        let (yamux, _, tx) = &mut self.ends[end];
        let flow = self.flows.entry((id, 1 - end)).or_default();
        match yamux.read(id, tx) {
            Ok(Some(bytes)) => {
                for byte in bytes {
                    assert_eq!(byte, (flow.read % 251) as u8);
                    flow.read += 1;
                }
                assert!(flow.read <= flow.written);
                true
            }
            Ok(None) => {
                assert_eq!(flow.read, flow.written);
                false
            }
            Err(ReadError::Failed) => panic!("nothing is wrong"),
            Err(_) => false,
        }
    }

    /// Moves bytes to `end`; whether there were any.
    fn deliver(&mut self, end: usize, bytes: usize) -> bool {
        let (other, _, said) = &mut self.ends[1 - end];
        other.boundary();
        let said = said.split_to(bytes.min(said.len()));
        let (yamux, rx, tx) = &mut self.ends[end];
        rx.extend_from_slice(&said);
        let mut broken = Vec::new();
        while let Some(event) = yamux.advance(self.now, rx, tx).unwrap() {
            if let Event::Reset { id, .. } = event {
                broken.push(id);
            }
        }
        for id in broken {
            self.break_off(id);
        }
        !said.is_empty()
    }

    fn break_off(&mut self, id: StreamId) {
        for end in 0..2 {
            self.flows.entry((id, end)).or_default().broken = true;
        }
    }
}

fuzz_target!(|ops: Vec<(bool, Op)>| {
    let mut config = Config::default();
    (config.max_inbound_streams, config.accept_backlog, config.max_unacknowledged) = (6, 4, 5);
    (config.max_tx, config.max_replies, config.max_frame) = (20_000, 200, 5000);
    config.max_connection_window = 8 << 20;
    (config.keep_alive, config.pong_timeout) = (None, Duration::MAX);
    let end = |role| (Yamux::new(role, config.clone()), BytesMut::new(), BytesMut::new());
    let ends = [end(Role::Initiator), end(Role::Responder)];
    let mut world = World { ends, streams: Vec::new(), flows: BTreeMap::new(), now: Time::ZERO };
    for (which, op) in ops {
        let end = usize::from(which);
        let ids = &world.streams;
        let stream = |n: u8| ids.get(usize::from(n) % ids.len().max(1)).copied().unwrap_or(StreamId::new(u64::from(n)));
        let (yamux, _, tx) = &mut world.ends[end];
        match op {
            Op::Open => {
                if let Ok(id) = yamux.open(tx) {
                    world.streams.push(id);
                }
            }
            Op::Write { stream: n, len, room } => {
                let id = stream(n);
                let flow = world.flows.entry((id, end)).or_default();
                let bytes: Vec<u8> = (0..usize::from(len)).map(|i| ((flow.written + i) % 251) as u8).collect();
                let before = tx.len();
                if let Ok(n) = yamux.write(id, &bytes, room.into(), tx) {
                    flow.written += n;
                    assert!(tx.len() - before <= room.into());
                }
            }
            Op::Read { stream: n } => drop(world.read(end, stream(n))),
            Op::Finish { stream: n } => drop(yamux.finish(stream(n), tx)),
            Op::Reset { stream: n } => {
                let id = stream(n);
                if yamux.reset(id, n.into(), tx).is_ok() {
                    world.break_off(id);
                }
            }
            Op::Boundary => yamux.boundary(),
            Op::Ping => drop(yamux.ping(world.now, tx)),
            Op::GoAway => {
                if tx.len() < 20_000 {
                    yamux.go_away(0, tx);
                }
            }
            Op::Deliver { bytes } => drop(world.deliver(end, bytes.into())),
            Op::Wait { millis } => world.now = world.now + Duration::from_millis(millis.into()),
        }
    }
    loop {
        let mut moved = false;
        for end in 0..2 {
            moved |= world.deliver(end, usize::MAX);
            for id in world.streams.clone() {
                while world.read(end, id) {
                    moved = true;
                }
            }
        }
        if !moved && world.ends.iter().all(|(_, rx, tx)| rx.is_empty() && tx.is_empty()) {
            break;
        }
    }
    for ((id, end), flow) in &world.flows {
        assert!(flow.broken || flow.read == flow.written, "{id:?} from {end} is stuck");
    }
});
