//! `yamux` 0.14, bare or over `libp2p-noise` 0.47.

use super::pipe::{Pipe, context, pipe};
use super::upgrade::{Identity, handshake};
use crate::harness::Contender;
use futures::io::{AsyncRead, AsyncWrite};
use std::pin::Pin;
use std::task::Poll;
use yamux::{Config, Connection, Mode, Stream};

/// Two ends that talk.
pub struct Pair<T> {
    client: Connection<T>,
    server: Connection<T>,
    buffer: Vec<u8>,
}

/// How much a writer puts into its streams before the connections are polled: what a task that runs until it is
/// stopped would do. rust is faster with this than with ours, 16 KiB.
const BURST: usize = 64 * 1024;

impl<T: AsyncRead + AsyncWrite + Unpin> Pair<T> {
    /// Two ends over `io`.
    pub fn new((client, server): (T, T)) -> Self {
        Pair {
            client: Connection::new(client, Config::default(), Mode::Client),
            server: Connection::new(server, Config::default(), Mode::Server),
            buffer: vec![0; BURST],
        }
    }

    /// Streams from the client, each with its other end; one byte has been sent on each, so that it exists.
    pub fn open(&mut self, count: usize) -> Vec<(Stream, Stream)> {
        let mut streams = Vec::new();
        for _ in 0..count {
            let mut client = self.start();
            let server = loop {
                if let Some(stream) = self.pump() {
                    break stream;
                }
            };
            let server = self.read(server, 1);
            let _ = Pin::new(&mut client).poll_flush(&mut context());
            streams.push((client, server));
        }
        streams
    }

    /// Sends `count` messages of `size` bytes over the streams by turns, and reads them.
    pub fn transfer(&mut self, streams: &mut [(Stream, Stream)], size: usize, count: u64) {
        let cx = &mut context();
        let message = vec![7; size];
        let (mut left, mut to_read) = (count, count * size as u64);
        let (mut at, mut offset) = (0, 0);
        while to_read > 0 {
            let mut burst = 0;
            while left > 0 && burst < BURST {
                match Pin::new(&mut streams[at].0).poll_write(cx, &message[offset..]) {
                    Poll::Ready(written) => {
                        let written = written.expect("an open stream");
                        burst += written;
                        offset += written;
                        if offset == size {
                            (offset, left, at) = (0, left - 1, (at + 1) % streams.len());
                        }
                    }
                    Poll::Pending => break,
                }
            }
            self.pump();
            for (_, server) in &mut *streams {
                while let Poll::Ready(read) = Pin::new(&mut *server).poll_read(cx, &mut self.buffer) {
                    to_read -= read.expect("an open stream") as u64;
                }
            }
            self.pump();
        }
    }

    /// Opens a stream, sends a byte, closes both sides, forgets it; `count` times.
    pub fn open_and_close(&mut self, count: u64) {
        let cx = &mut context();
        let mut opened = std::collections::VecDeque::new();
        for _ in 0..count {
            let mut client = self.start();
            let _ = Pin::new(&mut client).poll_close(cx);
            opened.push_back(client);
            let mut server = loop {
                if let Some(stream) = self.pump() {
                    break stream;
                }
            };
            let _ = Pin::new(&mut server).poll_close(cx);
            server = self.read(server, 1);
            self.pump();
            drop(server);
            drop(opened.pop_front());
        }
        self.pump();
    }

    /// A stream of the client, with one byte under way.
    fn start(&mut self) -> Stream {
        let cx = &mut context();
        loop {
            if let Poll::Ready(stream) = self.client.poll_new_outbound(cx) {
                let mut stream = stream.expect("a connection");
                assert!(matches!(Pin::new(&mut stream).poll_write(cx, &[1]), Poll::Ready(Ok(1))));
                return stream;
            }
            self.pump();
        }
    }

    fn read(&mut self, mut stream: Stream, mut len: usize) -> Stream {
        while len > 0 {
            match Pin::new(&mut stream).poll_read(&mut context(), &mut self.buffer[..len]) {
                Poll::Ready(read) => len -= read.expect("an open stream"),
                Poll::Pending => {
                    self.pump();
                }
            }
        }
        stream
    }

    /// Lets both ends do what they can.
    fn pump(&mut self) -> Option<Stream> {
        let cx = &mut context();
        if let Poll::Ready(stream) = self.client.poll_next_inbound(cx) {
            panic!("the server opened or failed: {stream:?}");
        }
        match self.server.poll_next_inbound(cx) {
            Poll::Ready(stream) => Some(stream.expect("a connection").expect("a connection")),
            Poll::Pending => None,
        }
    }
}

/// Bare yamux.
pub fn plain() -> Pair<Pipe> {
    Pair::new(pipe())
}

/// yamux over Noise.
pub fn noise() -> Pair<libp2p_noise::Output<Pipe>> {
    Pair::new(handshake(&Identity::new(), &Identity::new()))
}

/// Messages of `size` bytes over `streams` streams.
pub fn transfers<T>(mut pair: Pair<T>, streams: usize, size: usize) -> Contender
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut streams = pair.open(streams);
    Contender::new("rust", move |n| pair.transfer(&mut streams, size, n))
}

/// Streams opened, used for a byte, and closed.
pub fn opens<T>(mut pair: Pair<T>) -> Contender
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    Contender::new("rust", move |n| pair.open_and_close(n))
}
