//! Any bytes into an mplex end with small caps: no panic, caps hold, and cutting changes nothing.
//!
//! The first byte says how the rest is cut for the second run.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tidewire_core::{Role, Time};
use tidewire_upgrade::muxer::mplex::{Config, Error, Mplex};
use tidewire_upgrade::muxer::{Event, Muxer};

/// What a run showed: events but `Readable` (how often it comes depends on the cuts), what was said, how it ended.
type Seen = (Vec<Event>, Vec<u8>, Option<Error>, Vec<Vec<u8>>);

fn run(bytes: &[u8], size: usize, prompt: bool) -> Seen {
    let mut config = Config::default();
    (config.max_streams, config.max_tx) = (8, 1 << 20);
    if !prompt {
        (config.max_stream_buffer, config.max_connection_buffer) = (200, 500);
    }
    let mut mplex = Mplex::new(Role::Responder, config);
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    let mut ids = vec![mplex.open(&mut tx).unwrap()];
    let mut events = Vec::new();
    let mut read = vec![Vec::new()];
    let mut failed = None;
    'all: for piece in bytes.chunks(size) {
        rx.extend_from_slice(piece);
        loop {
            match mplex.advance(Time::ZERO, &mut rx, &mut tx) {
                Ok(None) => break,
                Ok(Some(Event::Readable(id))) => {
                    if prompt {
                        let at = ids.iter().position(|&other| other == id).unwrap();
                        while let Ok(Some(piece)) = mplex.read(id, &mut tx) {
                            read[at].extend_from_slice(&piece);
                        }
                    }
                }
                Ok(Some(event)) => {
                    if let Event::Opened(id) = event {
                        ids.push(id);
                        read.push(Vec::new());
                    }
                    events.push(event);
                }
                Err(error) => {
                    failed = Some(error);
                    break 'all;
                }
            }
        }
        assert!(mplex.streams() <= 8);
        assert!(mplex.memory_used() < 16 * 1024, "{}", mplex.memory_used());
    }
    for (id, read) in ids.into_iter().zip(&mut read) {
        while let Ok(Some(piece)) = mplex.read(id, &mut tx) {
            read.extend_from_slice(&piece);
        }
    }
    (events, tx.to_vec(), failed, read)
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, bytes)) = data.split_first() else { return };
    for prompt in [true, false] {
        assert_eq!(run(bytes, bytes.len().max(1), prompt), run(bytes, usize::from(size).max(1), prompt));
    }
});
