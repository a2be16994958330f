//! Whole connections of `tidewire-upgrade`: what an application uses.

use super::upgrade::{Node, upgrade};
use crate::alloc;
use crate::harness::Contender;
use bytes::BytesMut;
use tidewire_core::{Machine, Time};
use tidewire_upgrade::connection::{Connection, Event, OpenStreamError, ReadStreamError};
use tidewire_upgrade::crypto::Crypto;
use tidewire_upgrade::muxer::{StreamId, WriteError};

/// One end. What it says goes to `tx`, which is the other end's receive buffer.
struct End {
    connection: Connection,
    tx: BytesMut,
}

/// Two ends that talk.
struct Pair {
    client: End,
    server: End,
}

/// How much a writer puts into its streams before the other end reads. One core plays both ends, so with more its first
/// cache overflows, which costs 2 % to 3 % against `bare`.
const BURST: usize = 16 * 1024;

impl End {
    fn new(connection: Connection) -> Self {
        End { connection, tx: BytesMut::with_capacity(2 * BURST) }
    }

    /// Takes all of `rx`, and reads what there is to read.
    fn advance(&mut self, rx: &mut BytesMut) -> usize {
        let End { connection, tx } = self;
        let mut read = 0;
        while let Some(event) = connection.advance(Time::ZERO, rx, tx).expect("an honest remote") {
            if let Event::Readable(id) = event {
                read += read_all(connection, id, tx);
            }
        }
        read
    }

    /// Takes all of `rx`, and acts on the streams that the other end has finished.
    fn hear(&mut self, rx: &mut BytesMut, mut finished: impl FnMut(&mut Connection, StreamId, &mut BytesMut)) {
        let End { connection, tx } = self;
        while let Some(event) = connection.advance(Time::ZERO, rx, tx).expect("an honest remote") {
            if let Event::Finished(id) = event {
                finished(connection, id, tx);
            }
        }
    }
}

impl Pair {
    fn new(crypto: Crypto) -> Self {
        let (client, server) = connect(&Node::new(1, crypto), &Node::new(2, crypto), 0);
        Pair { client: End::new(client), server: End::new(server) }
    }

    /// Streams from the client; one byte has been sent on each, so that the other end knows them.
    fn open(&mut self, count: usize) -> Vec<StreamId> {
        (0..count)
            .map(|_| {
                let End { connection, tx } = &mut self.client;
                let id = connection.open_raw(tx).expect("a stream");
                connection.write(id, &[1], tx).expect("an open window");
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
            let End { connection, tx } = &mut self.client;
            while left > 0 && tx.len() < BURST {
                match connection.write(streams[at], &message[offset..], tx) {
                    Ok(len) => offset += len,
                    Err(WriteError::Blocked) => break,
                    Err(error) => panic!("{error}"),
                }
                if offset == message.len() {
                    (offset, left, at) = (0, left - 1, (at + 1) % streams.len());
                }
            }
            to_read -= self.exchange() as u64;
        }
    }

    /// The same, `batch` messages in a record.
    fn transfer_in_batches(&mut self, streams: &[StreamId], message: &[u8], batch: usize, count: u64) {
        let (mut left, mut to_read) = (count, count * message.len() as u64);
        let (mut at, mut offset) = (0, 0);
        while to_read > 0 {
            let End { connection, tx } = &mut self.client;
            let mut blocked = false;
            while left > 0 && !blocked && tx.len() < BURST {
                let mut record = connection.batch(tx);
                let mut whole = 0;
                while whole < batch && left > 0 {
                    match record.write(streams[at], &message[offset..]) {
                        Ok(len) => offset += len,
                        Err(WriteError::Blocked) => {
                            blocked = true;
                            break;
                        }
                        Err(error) => panic!("{error}"),
                    }
                    if offset == message.len() {
                        (offset, left, at, whole) = (0, left - 1, (at + 1) % streams.len(), whole + 1);
                    }
                }
            }
            to_read -= self.exchange() as u64;
        }
    }

    /// Opens a stream, sends a byte, closes both sides, forgets it; `count` times.
    fn open_and_close(&mut self, count: u64) {
        for _ in 0..count {
            let id = loop {
                match self.client.connection.open_raw(&mut self.client.tx) {
                    Ok(id) => break id,
                    Err(OpenStreamError::Muxer(_)) => drop(self.exchange()),
                    Err(error) => panic!("{error}"),
                }
            };
            let Pair { client, server } = self;
            let mut batch = client.connection.batch(&mut client.tx);
            batch.write(id, &[1]).expect("an open window");
            batch.finish(id).expect("an open stream");
            drop(batch);
            server.hear(&mut client.tx, |connection, id, tx| {
                let mut batch = connection.batch(tx);
                assert!(matches!(batch.read(id), Ok(Some(piece)) if piece.len() == 1));
                assert_eq!(batch.read(id), Ok(None));
                batch.finish(id).expect("an open stream");
            });
            client.hear(&mut server.tx, |connection, id, tx| assert_eq!(connection.read(id, tx), Ok(None)));
            assert_eq!((client.connection.streams(), server.connection.streams()), (0, 0));
        }
    }

    /// Lets the server read all that was sent, and the client hear what that says. Returns the bytes that were read.
    fn exchange(&mut self) -> usize {
        let Pair { client, server } = self;
        let read = server.advance(&mut client.tx);
        client.advance(&mut server.tx);
        server.advance(&mut client.tx);
        read
    }
}

/// Reads until nothing is there.
fn read_all(connection: &mut Connection, id: StreamId, tx: &mut BytesMut) -> usize {
    let mut all = 0;
    loop {
        match connection.read(id, tx) {
            Ok(Some(piece)) => all += piece.len(),
            Ok(None) | Err(ReadStreamError::Blocked) => return all,
            Err(error) => panic!("{error}"),
        }
    }
}

fn connect(a: &Node, b: &Node, number: u64) -> (Connection, Connection) {
    upgrade(a, b, number, &mut (BytesMut::new(), BytesMut::new()))
}

/// Messages of `size` bytes over `streams` streams, `batch` of them in a record.
pub fn transfers(streams: usize, size: usize, batch: usize) -> Contender {
    transfers_with("ours", Crypto::default(), streams, size, batch)
}

/// The same, with ring's ChaCha20-Poly1305.
pub fn transfers_ring(streams: usize, size: usize, batch: usize) -> Contender {
    transfers_with("ours (ring)", Crypto::Ring, streams, size, batch)
}

fn transfers_with(name: &'static str, crypto: Crypto, streams: usize, size: usize, batch: usize) -> Contender {
    let mut pair = Pair::new(crypto);
    let streams = pair.open(streams);
    let message = vec![7; size];
    Contender::new(name, move |n| match batch {
        1 => pair.transfer(&streams, &message, n),
        batch => pair.transfer_in_batches(&streams, &message, batch, n),
    })
}

/// Streams opened, used for a byte, and closed.
pub fn opens() -> Contender {
    let mut pair = Pair::new(Crypto::default());
    Contender::new("ours", move |n| pair.open_and_close(n))
}

/// Connections, both ends of each, on each of which a stream was used and closed. Without buffers: those are the
/// adapter's, and an idle connection has none.
pub fn idle_connections(a: &Node, b: &Node, count: u64) -> Vec<Connection> {
    (0..count)
        .flat_map(|number| {
            let (client, server) = connect(a, b, number);
            let mut pair = Pair { client: End::new(client), server: End::new(server) };
            pair.open_and_close(1);
            [pair.client.connection, pair.server.connection]
        })
        .collect()
}

/// Bytes that `count` idle streams hold at both ends together.
pub fn idle_streams(count: usize) -> i64 {
    let mut pair = Pair::new(Crypto::default());
    pair.open(1);
    alloc::count(|| pair.open(count)).1.live
}
