//! Any order of calls on two connections, over a pipe that cuts anywhere and into which strange bytes may fall. Nothing may
//! panic, grow without bound or loop; and as long as nobody forged, reset or closed anything, what is read is the beginning
//! of what was written.
#![no_main]

use arbitrary::Arbitrary;
use bytes::{Buf, BytesMut};
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use tidewire_core::{Keypair, Machine, Seed, Time};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId, Router};
use tidewire_upgrade::connection::{Connection, Event, Selection};
use tidewire_upgrade::muxer::{MuxerKind, StreamId};
use tidewire_upgrade::pipeline::{Config, Plan, SecurityKind, Upgrade, Upgrader};

const ECHO: Protocol = Protocol::from_static("/echo/1.0.0");
const CHAT: Protocol = Protocol::from_static("/chat/1.0.0");

#[derive(Arbitrary, Debug)]
enum Op {
    Open { lazy: bool, served: bool },
    OpenRaw,
    Write { stream: u8, len: u16 },
    Batch { streams: [u8; 3], len: u8 },
    Read { stream: u8 },
    Finish { stream: u8 },
    Reset { stream: u8, code: u32 },
    Deliver { len: u16 },
    Advance,
    Ping,
    GoAway { code: u32 },
    Close { code: u32 },
    End,
    Later { millis: u16 },
    Inject { bytes: Vec<u8> },
}

#[derive(Arbitrary, Debug)]
struct Input {
    plaintext: bool,
    mplex: bool,
    small: bool,
    ops: Vec<(bool, Op)>,
}

struct End {
    connection: Connection,
    rx: BytesMut,
    tx: BytesMut,
    streams: Vec<StreamId>,
    written: BTreeMap<StreamId, Vec<u8>>,
    read: BTreeMap<StreamId, Vec<u8>>,
}

fn node(n: u8, plaintext: bool, mplex: bool, small: bool) -> Upgrader {
    let seed = Seed::new([n; 32]);
    let mut router = Router::new();
    router.add(ECHO, Matcher::Exact, RouteId::new(1)).unwrap();
    let mut config = Config::default();
    config.securities = vec![if plaintext { SecurityKind::Plaintext } else { SecurityKind::Noise }];
    config.muxers = vec![if mplex { MuxerKind::Mplex } else { MuxerKind::Yamux }];
    config.connection.router = Some(Arc::new(router));
    if small {
        config.connection.max_negotiations = 3;
        config.muxer.yamux.max_tx = 300;
        config.muxer.yamux.max_replies = 64;
        config.muxer.mplex.max_tx = 300;
    }
    Upgrader::new(&Keypair::from_seed(&seed), &seed, config).unwrap()
}

static NODES: LazyLock<Vec<[Upgrader; 2]>> =
    LazyLock::new(|| (0..8u8).map(|way| [1, 2].map(|n| node(n, way & 1 != 0, way & 2 != 0, way & 4 != 0))).collect());

fn pair(input: &Input) -> [End; 2] {
    let way = usize::from(input.plaintext) | usize::from(input.mplex) << 1 | usize::from(input.small) << 2;
    let [alice, bob] = &NODES[way];
    let mut a = Upgrade::new(alice, Plan::Initiate, Some(bob.peer()), &Seed::new([3; 32]));
    let mut b = Upgrade::new(bob, Plan::Respond, None, &Seed::new([4; 32]));
    let (mut to_a, mut to_b) = (BytesMut::new(), BytesMut::new());
    for _ in 0..3 {
        while a.advance(Time::ZERO, &mut to_a, &mut to_b).unwrap().is_some() {}
        while b.advance(Time::ZERO, &mut to_b, &mut to_a).unwrap().is_some() {}
    }
    let end = |upgrade: Upgrade, rx, tx| End {
        connection: upgrade.into_connection().unwrap(),
        rx,
        tx,
        streams: Vec::new(),
        written: BTreeMap::new(),
        read: BTreeMap::new(),
    };
    [end(a, to_a, BytesMut::new()), end(b, to_b, BytesMut::new())]
}

impl End {
    fn pick(&self, stream: u8) -> StreamId {
        // Sometimes one that does not exist.
        self.streams.get(usize::from(stream)).copied().unwrap_or(StreamId::new(stream.into()))
    }

    fn advance(&mut self, now: Time, ended: bool) {
        let mut budget = 1000 + 4 * self.rx.len();
        loop {
            let step = self.connection.advance_or_end(now, &mut self.rx, &mut self.tx, ended);
            match step {
                Ok(Some(Event::Negotiated { id, route: Some(_), .. })) => self.streams.push(id),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
            budget -= 1;
            assert!(budget > 0, "events without end");
        }
    }

    fn write(&mut self, id: StreamId, len: usize) {
        let start = self.written.get(&id).map_or(0, Vec::len);
        let data: Vec<u8> = (start..start + len).map(|i| (i % 251) as u8).collect();
        if let Ok(count) = self.connection.write(id, &data, &mut self.tx) {
            assert!(count > 0 || len == 0);
            self.written.entry(id).or_default().extend_from_slice(&data[..count]);
        }
    }
}

fuzz_target!(|input: Input| {
    let mut ends = pair(&input);
    let (mut now, mut honest) = (Time::ZERO, true);
    for (first, op) in &input.ops {
        let [a, b] = &mut ends;
        let (end, other) = if *first { (a, b) } else { (b, a) };
        match op {
            Op::Open { lazy, served } => {
                let selection = if *lazy { Selection::Lazy } else { Selection::Plain };
                let protocols = Protocols::from(if *served { ECHO } else { CHAT });
                if let Ok(id) = end.connection.open(now, &protocols, selection, &mut end.tx)
                    && *served
                {
                    end.streams.push(id);
                }
            }
            Op::OpenRaw => {
                // Its first bytes are taken for proposals.
                if let Ok(id) = end.connection.open_raw(&mut end.tx) {
                    honest = false;
                    end.streams.push(id);
                }
            }
            Op::Write { stream, len } => end.write(end.pick(*stream), usize::from(*len)),
            Op::Batch { streams, len } => {
                let ids = streams.map(|stream| end.pick(stream));
                let mut batch = end.connection.batch(&mut end.tx);
                for id in ids {
                    let start = end.written.get(&id).map_or(0, Vec::len);
                    let data: Vec<u8> = (start..start + usize::from(*len)).map(|i| (i % 251) as u8).collect();
                    if let Ok(count) = batch.write(id, &data) {
                        end.written.entry(id).or_default().extend_from_slice(&data[..count]);
                    }
                }
            }
            Op::Read { stream } => {
                let id = end.pick(*stream);
                if let Ok(Some(piece)) = end.connection.read(id, &mut end.tx) {
                    assert!(!piece.is_empty());
                    end.read.entry(id).or_default().extend_from_slice(&piece);
                }
            }
            Op::Finish { stream } => {
                let _ = end.connection.finish(end.pick(*stream), &mut end.tx);
            }
            Op::Reset { stream, code } => {
                let _ = end.connection.reset(end.pick(*stream), *code, &mut end.tx);
            }
            Op::Deliver { len } => {
                let count = usize::from(*len).min(end.tx.len());
                other.rx.extend_from_slice(&end.tx[..count]);
                end.tx.advance(count);
            }
            Op::Advance => end.advance(now, false),
            Op::Ping => {
                end.connection.ping(now, &mut end.tx);
            }
            Op::GoAway { code } => end.connection.go_away(*code, &mut end.tx),
            Op::Close { code } => end.connection.close(*code, &mut end.tx),
            Op::End => end.advance(now, true),
            Op::Later { millis } => now = now + Duration::from_millis((*millis).into()),
            Op::Inject { bytes } => {
                honest = false;
                end.rx.extend_from_slice(bytes);
            }
        }
        let _ = end.connection.deadline();
        assert!(end.connection.memory_used() < 64 << 20);
        if end.connection.is_closed() {
            let opened = end.connection.open_raw(&mut end.tx);
            assert!(opened.is_err());
        }
    }
    if !honest {
        return;
    }
    for (from, to) in [(&ends[0], &ends[1]), (&ends[1], &ends[0])] {
        for (id, read) in &to.read {
            let there = if input.mplex { StreamId::new(id.get() ^ 1) } else { *id };
            let written = from.written.get(&there).map_or(&[][..], |written| written);
            assert!(written.starts_with(read), "{id:?}: what came is not what was written");
        }
    }
});
