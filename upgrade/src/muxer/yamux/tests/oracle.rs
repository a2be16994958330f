//! Against the `yamux` crate, which shares nothing with ours: both roles, many streams, every way to end one.

extern crate std;

use super::*;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use proptest::prelude::*;
use std::sync::Mutex;

/// A wire in memory, one direction.
#[derive(Default)]
struct Wire(VecDeque<u8>);

/// The oracle's end of two wires.
struct Socket {
    incoming: Arc<Mutex<Wire>>,
    outgoing: Arc<Mutex<Wire>>,
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<std::io::Result<usize>> {
        let mut wire = self.incoming.lock().unwrap();
        let n = buf.len().min(wire.0.len());
        if n == 0 {
            // Polled again in the next round, whatever happened: no waker is needed.
            return Poll::Pending;
        }
        for (slot, byte) in buf.iter_mut().zip(wire.0.drain(..n)) {
            *slot = byte;
        }
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        self.outgoing.lock().unwrap().0.extend(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The oracle, its streams' tasks, and our end.
struct Meeting {
    ours: End,
    oracle: yamux::Connection<Socket>,
    tasks: Vec<Task>,
    to_oracle: Arc<Mutex<Wire>>,
    from_oracle: Arc<Mutex<Wire>>,
    /// At most so many bytes arrive at us at once.
    cut: usize,
    rx: BytesMut,
}

impl Meeting {
    fn new(role: Role, cut: usize) -> Self {
        let mode = if role.is_initiator() { yamux::Mode::Server } else { yamux::Mode::Client };
        let (to_oracle, from_oracle) = (Arc::default(), Arc::default());
        let socket = Socket { incoming: Arc::clone(&to_oracle), outgoing: Arc::clone(&from_oracle) };
        let oracle = yamux::Connection::new(socket, yamux::Config::default(), mode);
        let ours = End::new(role, quiet());
        Meeting { ours, oracle, tasks: Vec::new(), to_oracle, from_oracle, cut, rx: BytesMut::new() }
    }

    /// One round: the oracle moves, then we do. What the oracle accepted is handed to `serve`.
    fn round(&mut self, serve: &mut dyn FnMut(yamux::Stream) -> Task) -> Vec<Event> {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            while let Poll::Ready(next) = self.oracle.poll_next_inbound(&mut cx) {
                match next {
                    Some(Ok(stream)) => self.tasks.push(serve(stream)),
                    Some(Err(error)) => panic!("the oracle found fault with us: {error}"),
                    None => panic!("the oracle has closed"),
                }
            }
            self.tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
        }
        let arrived: Vec<u8> = {
            let mut wire = self.from_oracle.lock().unwrap();
            let n = self.cut.min(wire.0.len());
            wire.0.drain(..n).collect()
        };
        self.rx.extend_from_slice(&arrived);
        self.ours.wait(Duration::from_millis(1));
        let events = self.ours.hear_some(&mut self.rx).unwrap();
        self.to_oracle.lock().unwrap().0.extend(self.ours.said().iter());
        events
    }

    fn open_from_oracle(&mut self) -> yamux::Stream {
        let mut cx = Context::from_waker(Waker::noop());
        match self.oracle.poll_new_outbound(&mut cx) {
            Poll::Ready(stream) => stream.unwrap(),
            Poll::Pending => panic!("the oracle opens no stream"),
        }
    }
}

/// Our side of an exchange on one stream.
struct Exchange {
    send: Vec<u8>,
    sent: usize,
    got: Vec<u8>,
    done: bool,
}

/// Writes what is left, and reads what is there. True when both directions have ended.
fn drive(end: &mut End, id: StreamId, exchange: &mut Exchange) -> bool {
    while exchange.sent < exchange.send.len() {
        match end.yamux.write(id, &exchange.send[exchange.sent..], usize::MAX, &mut end.tx) {
            Ok(n) => exchange.sent += n,
            Err(crate::muxer::WriteError::Blocked) => break,
            Err(error) => panic!("{error}"),
        }
    }
    if exchange.sent == exchange.send.len() && end.yamux.credit(id).is_some() {
        end.finish(id);
    }
    let (bytes, how) = end.read_all(id);
    exchange.got.extend(bytes);
    exchange.done |= how.is_ok();
    exchange.done && exchange.sent == exchange.send.len()
}

fn payload(seed: usize, len: usize) -> Vec<u8> {
    let mut turn: Vec<u8> = (0..=250).collect();
    turn.rotate_left(seed % 251);
    turn.repeat(len / 251 + 1)[..len].to_vec()
}

async fn echo(stream: yamux::Stream) {
    let (mut read, mut write) = stream.split();
    futures::io::copy(&mut read, &mut write).await.unwrap();
    write.close().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_oracle_echoes_what_we_send(
        initiator in any::<bool>(),
        cut in prop_oneof![1..50usize, 1000..100_000usize],
        sizes in prop::collection::vec(prop_oneof![0..100usize, 0..600_000usize], 1..6),
    ) {
        let role = if initiator { Role::Initiator } else { Role::Responder };
        // Short pieces take many rounds: then little is sent.
        let most = cut.saturating_mul(2000);
        let mut meeting = Meeting::new(role, cut);
        let mut exchanges = BTreeMap::new();
        for (i, size) in sizes.iter().enumerate() {
            let id = meeting.ours.open();
            let send = payload(i, (*size).min(most));
            exchanges.insert(id, Exchange { send, sent: 0, got: Vec::new(), done: false });
        }
        for round in 0.. {
            assert!(round < 50_000, "no progress");
            let mut done = true;
            for (id, exchange) in &mut exchanges {
                done &= drive(&mut meeting.ours, *id, exchange);
            }
            if done {
                break;
            }
            meeting.round(&mut |stream| Box::pin(echo(stream)));
        }
        for exchange in exchanges.values() {
            assert!(exchange.got == exchange.send, "the echo differs");
        }
        assert_eq!(meeting.ours.yamux.streams(), 0);
    }

    #[test]
    fn we_take_in_what_the_oracle_sends(
        initiator in any::<bool>(),
        cut in prop_oneof![10..50usize, 1000..100_000usize],
        sizes in prop::collection::vec(prop_oneof![1..100usize, 1..600_000usize], 1..6),
    ) {
        let role = if initiator { Role::Initiator } else { Role::Responder };
        let most = cut.saturating_mul(2000);
        let mut meeting = Meeting::new(role, cut);
        let answers = Arc::new(Mutex::new(Vec::new()));
        for (i, size) in sizes.iter().enumerate() {
            let mut stream = meeting.open_from_oracle();
            let send = payload(i, (*size).min(most));
            let answers = Arc::clone(&answers);
            meeting.tasks.push(Box::pin(async move {
                stream.write_all(&send).await.unwrap();
                stream.close().await.unwrap();
                let mut got = vec![];
                stream.read_to_end(&mut got).await.unwrap();
                answers.lock().unwrap().push((send, got));
            }));
        }
        let mut exchanges: BTreeMap<StreamId, Exchange> = BTreeMap::new();
        for round in 0.. {
            assert!(round < 50_000, "no progress");
            for event in meeting.round(&mut |_| panic!("we opened nothing")) {
                if let Event::Opened(id) = event {
                    exchanges.insert(id, Exchange { send: payload(7, 1000), sent: 0, got: Vec::new(), done: false });
                }
            }
            let mut done = exchanges.len() == sizes.len();
            for (id, exchange) in &mut exchanges {
                done &= drive(&mut meeting.ours, *id, exchange);
            }
            if done && answers.lock().unwrap().len() == sizes.len() {
                break;
            }
        }
        let mut sent: Vec<_> = answers.lock().unwrap().iter().map(|(send, _)| send.clone()).collect();
        let mut got: Vec<_> = exchanges.values().map(|exchange| exchange.got.clone()).collect();
        sent.sort();
        got.sort();
        assert!(sent == got, "what arrived differs");
        assert!(answers.lock().unwrap().iter().all(|(_, got)| *got == payload(7, 1000)));
        assert_eq!(meeting.ours.yamux.streams(), 0);
    }
}

#[test]
fn our_reset_reaches_the_oracle() {
    for role in [Role::Initiator, Role::Responder] {
        let mut meeting = Meeting::new(role, usize::MAX);
        let seen = Arc::new(Mutex::new(None));
        let id = meeting.ours.open();
        meeting.ours.write(id, b"hello");
        let told = Arc::clone(&seen);
        let mut serve = move |mut stream: yamux::Stream| -> Task {
            let told = Arc::clone(&told);
            Box::pin(async move {
                let mut buf = [0; 5];
                stream.read_exact(&mut buf).await.unwrap();
                *told.lock().unwrap() = Some(stream.read(&mut buf).await.map_err(|error| error.kind()));
            })
        };
        meeting.round(&mut serve);
        meeting.ours.reset(id, 0x1001);
        for _ in 0..5 {
            meeting.round(&mut serve);
        }
        let ended = *seen.lock().unwrap();
        // The oracle reports a reset as the end, or as an error; it must not wait on.
        assert!(matches!(ended, Some(Ok(0) | Err(_))), "{ended:?}");
    }
}

#[test]
fn the_oracles_reset_reaches_us() {
    for role in [Role::Initiator, Role::Responder] {
        let mut meeting = Meeting::new(role, usize::MAX);
        let id = meeting.ours.open();
        meeting.ours.write(id, b"hello");
        let mut events = Vec::new();
        for _ in 0..5 {
            // Dropping a stream that is open resets it.
            events.extend(meeting.round(&mut |stream| Box::pin(async move { drop(stream) })));
        }
        assert_eq!(events, [Event::Reset { id, by: By::Remote, code: 0 }]);
    }
}

#[test]
fn the_oracle_answers_our_ping() {
    let mut meeting = Meeting::new(Role::Initiator, usize::MAX);
    meeting.ours.yamux.ping(meeting.ours.now, &mut meeting.ours.tx);
    let mut events = Vec::new();
    for _ in 0..5 {
        events.extend(meeting.round(&mut |_| panic!("no streams")));
    }
    assert!(matches!(events[..], [Event::Pong { .. }]), "{events:?}");
}

#[test]
fn the_oracle_takes_a_stream_that_is_only_listened_to() {
    let mut meeting = Meeting::new(Role::Initiator, usize::MAX);
    let id = meeting.ours.open();
    meeting.ours.read(id).unwrap_err();
    let mut events = Vec::new();
    for _ in 0..5 {
        events.extend(meeting.round(&mut |mut stream| {
            Box::pin(async move {
                stream.write_all(b"welcome").await.unwrap();
                stream.close().await.unwrap();
            })
        }));
    }
    assert_eq!(events, [Event::Readable(id), Event::Finished(id)]);
    assert_eq!(meeting.ours.read_all(id), (b"welcome".to_vec(), Ok(())));
}
