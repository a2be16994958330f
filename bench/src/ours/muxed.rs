//! `tidewire-upgrade`'s yamux by itself, or over its Noise session, without the connection around them.

use super::upgrade::handshake;
use crate::harness::Contender;
use bytes::BytesMut;
use std::collections::VecDeque;
use tidewire_core::{Role, Time};
use tidewire_upgrade::crypto::Crypto;
use tidewire_upgrade::muxer::yamux::{Config, Yamux};
use tidewire_upgrade::muxer::{Event, Muxer, ReadError, StreamId, WriteError};
use tidewire_upgrade::security::Session;

/// Plaintext in records as they are: what bare yamux runs over.
struct Nothing;

impl Session for Nothing {
    fn max_plaintext(&self) -> usize {
        usize::MAX
    }

    fn open(&mut self, rx: &mut BytesMut) -> Result<Option<BytesMut>, tidewire_upgrade::security::SessionError> {
        Ok((!rx.is_empty()).then(|| rx.split()))
    }

    fn begin(&mut self, tx: &mut BytesMut) -> usize {
        tx.len()
    }

    fn finish(&mut self, _: &mut BytesMut, _: usize) -> Result<(), tidewire_upgrade::security::SessionError> {
        Ok(())
    }
}

/// One end. What it says goes to `tx`, which is the other end's receive buffer.
struct End<S> {
    session: S,
    yamux: Yamux,
    plain: BytesMut,
    tx: BytesMut,
}

/// Two ends that talk.
pub struct Pair<S> {
    client: End<S>,
    server: End<S>,
    events: VecDeque<Event>,
}

/// How much a writer puts into its streams before the other end reads. One core plays both ends, so with more its first
/// cache overflows, which costs 2 % to 3 % against `bare`.
const BURST: usize = 16 * 1024;

impl<S: Session> End<S> {
    fn new(session: S, role: Role) -> Self {
        let yamux = Yamux::new(role, Config::default());
        End { session, yamux, plain: BytesMut::new(), tx: BytesMut::with_capacity(2 * BURST) }
    }

    /// Something that may say something, as one record.
    fn record<T>(&mut self, what: impl FnOnce(&mut Yamux, usize, &mut BytesMut) -> T) -> T {
        let at = self.session.begin(&mut self.tx);
        let room = self.session.max_plaintext();
        let result = what(&mut self.yamux, room, &mut self.tx);
        self.yamux.boundary();
        self.session.finish(&mut self.tx, at).expect("a fresh cipher");
        result
    }

    /// Takes all of `rx`. `each` is told of events, and may act on them.
    fn advance(&mut self, rx: &mut BytesMut, mut each: impl FnMut(Event, &mut Yamux, &mut BytesMut)) {
        loop {
            let plain = &mut self.plain;
            let at = self.session.begin(&mut self.tx);
            while let Some(event) = self.yamux.advance(Time::ZERO, plain, &mut self.tx).expect("an honest remote") {
                each(event, &mut self.yamux, &mut self.tx);
            }
            self.yamux.boundary();
            self.session.finish(&mut self.tx, at).expect("a fresh cipher");
            match self.session.open(rx).expect("an honest remote") {
                Some(opened) if self.plain.is_empty() => self.plain = opened,
                Some(opened) => self.plain.extend_from_slice(&opened),
                None => break,
            }
        }
        // An empty handle still pins its buffer.
        if self.plain.is_empty() {
            self.plain = BytesMut::new();
        }
    }
}

impl<S: Session> Pair<S> {
    fn new((client, server): (S, S)) -> Self {
        Pair {
            client: End::new(client, Role::Initiator),
            server: End::new(server, Role::Responder),
            events: VecDeque::new(),
        }
    }

    /// Streams from the client; one byte has been sent on each, so that the other end knows them.
    fn open(&mut self, count: usize) -> Vec<StreamId> {
        (0..count)
            .map(|_| {
                let id = self.client.record(|yamux, room, tx| {
                    let id = yamux.open(tx).expect("a stream");
                    yamux.write(id, &[1], room, tx).expect("an open window");
                    id
                });
                assert_eq!(self.exchange(), 1);
                id
            })
            .collect()
    }

    /// Sends `count` messages over the streams by turns, each in a record of its own, and reads them.
    fn transfer(&mut self, streams: &[StreamId], message: &[u8], count: u64) {
        let (mut left, mut to_read) = (count, count * message.len() as u64);
        let (mut at, mut offset) = (0, 0);
        while to_read > 0 {
            let mut blocked = false;
            while left > 0 && !blocked && self.client.tx.len() < BURST {
                self.client.record(|yamux, room, tx| match yamux.write(streams[at], &message[offset..], room, tx) {
                    Ok(len) => offset += len,
                    Err(WriteError::Blocked) => blocked = true,
                    Err(error) => panic!("{error}"),
                });
                if offset == message.len() {
                    (offset, left, at) = (0, left - 1, (at + 1) % streams.len());
                }
            }
            to_read -= self.exchange() as u64;
        }
    }

    /// Lets the server read all that was sent, and the client hear what that says. Returns the bytes that were read.
    fn exchange(&mut self) -> usize {
        let Pair { client, server, events } = self;
        let mut read = 0;
        server.advance(&mut client.tx, |event, yamux, tx| match event {
            Event::Readable(id) => read += read_all(yamux, id, tx),
            other => events.push_back(other),
        });
        client.advance(&mut server.tx, |event, _, _| events.push_back(event));
        server.advance(&mut client.tx, |event, _, _| events.push_back(event));
        events.clear();
        read
    }
}

/// Reads until nothing is there.
fn read_all(yamux: &mut Yamux, id: StreamId, tx: &mut BytesMut) -> usize {
    let mut all = 0;
    loop {
        match yamux.read(id, tx) {
            Ok(Some(piece)) => all += piece.len(),
            Ok(None) | Err(ReadError::Blocked) => return all,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Messages of `size` bytes over `streams` streams of bare yamux.
pub fn plain_transfers(streams: usize, size: usize) -> Contender {
    transfers("ours", Pair::new((Nothing, Nothing)), streams, size)
}

/// Noise and yamux driven by hand: what a [`Connection`](tidewire_upgrade::connection::Connection) has to come close to.
pub fn noise_transfers(streams: usize, size: usize) -> Contender {
    transfers("by hand", Pair::new(handshake(Crypto::default())), streams, size)
}

fn transfers<S>(name: &'static str, mut pair: Pair<S>, streams: usize, size: usize) -> Contender
where
    S: Session + 'static,
{
    let streams = pair.open(streams);
    let message = vec![7; size];
    Contender::new(name, move |n| pair.transfer(&streams, &message, n))
}
