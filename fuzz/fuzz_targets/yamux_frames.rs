//! Any bytes into a yamux end of either role, with small caps: no panic, caps hold, and cutting changes nothing.
//!
//! The first byte is the role and how the rest is cut for the second run.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tidewire_core::{Role, Time};
use tidewire_upgrade::muxer::yamux::{Config, Error, Yamux};
use tidewire_upgrade::muxer::{Event, Muxer, StreamId};

/// What a run showed: events but `Readable` (how often it comes depends on the cuts), what was said, what was read, how
/// it ended.
type Seen = (Vec<Event>, Vec<u8>, Vec<(StreamId, Vec<u8>)>, Option<Error>);

fn run(role: Role, bytes: &[u8], size: usize) -> Seen {
    let mut config = Config::default();
    config.max_inbound_streams = 8;
    config.accept_backlog = 8;
    config.max_connection_window = 10 * 256 * 1024;
    config.keep_alive = None;
    config.max_tx = 1 << 20;
    let mut yamux = Yamux::new(role, config);
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    let id = yamux.open(&mut tx).unwrap();
    yamux.write(id, b"hello", usize::MAX, &mut tx).unwrap();
    yamux.boundary();
    let mut read = vec![(id, Vec::new())];
    let mut events = Vec::new();
    let mut failed = None;
    'all: for piece in bytes.chunks(size) {
        rx.extend_from_slice(piece);
        loop {
            match yamux.advance(Time::ZERO, &mut rx, &mut tx) {
                Ok(None) => break,
                Ok(Some(Event::Readable(id))) => {
                    let at = read.iter().position(|(other, _)| *other == id).unwrap();
                    while let Ok(Some(piece)) = yamux.read(id, &mut tx) {
                        read[at].1.extend_from_slice(&piece);
                    }
                }
                Ok(Some(event)) => {
                    if let Event::Opened(id) = event {
                        read.push((id, Vec::new()));
                    }
                    events.push(event);
                }
                Err(error) => {
                    failed = Some(error);
                    break 'all;
                }
            }
        }
        assert!(yamux.streams() <= 9);
        assert!(yamux.memory_used() < 16 * 1024, "{}", yamux.memory_used());
    }
    if let Some(error) = failed {
        let said = tx.len();
        assert_eq!(yamux.advance(Time::ZERO, &mut rx, &mut tx), Err(error));
        assert_eq!(tx.len(), said);
    }
    for (id, read) in &mut read {
        while let Ok(Some(piece)) = yamux.read(*id, &mut tx) {
            read.extend_from_slice(&piece);
        }
    }
    (events, tx.to_vec(), read, failed)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let role = if first & 1 == 0 { Role::Initiator } else { Role::Responder };
    let whole = run(role, rest, usize::MAX);
    let pieces = run(role, rest, usize::from(first >> 1) + 1);
    assert_eq!(whole, pieces);
});
