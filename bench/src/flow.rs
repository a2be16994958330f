//! Bytes over several connections at once, both ends in one process, on so many cores.

use crate::harness::Contender;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// What all ends of a contender share.
#[derive(Debug, Default)]
pub struct Tally {
    /// Pieces that nobody sends yet.
    left: AtomicI64,
    /// Bytes that have not arrived yet.
    missing: AtomicU64,
    /// They have.
    done: Notify,
}

/// A runtime on so many cores: a worker for each.
pub struct Flows {
    runtime: Runtime,
}

impl Flows {
    /// Its workers keep to a core each, the first ones that this process may use.
    pub fn new(cores: usize) -> Self {
        let next = AtomicUsize::new(0);
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores)
            .on_thread_start(move || keep_to_core(next.fetch_add(1, Relaxed) % cores))
            .enable_all()
            .build()
            .expect("a runtime");
        Flows { runtime }
    }

    /// Sends pieces of `size` bytes; an operation is a piece. Who has sent one takes the next, so that no stream is the last one
    /// for long. `connect` gives the senders' streams, and what is to be kept; it hands the others to [`Tally::receive`].
    pub fn into_contender<S, K>(
        self,
        name: &'static str,
        size: usize,
        connect: impl AsyncFnOnce(&Arc<Tally>) -> (Vec<S>, K),
    ) -> Contender
    where
        S: AsyncWrite + Unpin + Send + 'static,
        K: 'static,
    {
        let Flows { runtime } = self;
        let tally = Arc::new(Tally::default());
        let (mut streams, kept) = runtime.block_on(connect(&tally));
        Contender::new(name, move |n| {
            let _kept = &kept;
            tally.missing.store(n * size as u64, Relaxed);
            tally.left.store(n as i64, Relaxed);
            runtime.block_on(async {
                let mut senders = JoinSet::new();
                for stream in streams.drain(..) {
                    senders.spawn(tally.clone().send(stream, size));
                }
                while let Some(sent) = senders.join_next().await {
                    streams.push(sent.expect("a sender"));
                }
                tally.done.notified().await;
            });
        })
    }
}

impl Tally {
    async fn send<S: AsyncWrite + Unpin>(self: Arc<Self>, mut stream: S, size: usize) -> S {
        let piece = vec![7; size];
        while self.left.fetch_sub(1, Relaxed) > 0 {
            stream.write_all(&piece).await.expect("a stream");
        }
        stream.flush().await.expect("a stream");
        stream
    }

    /// Reads whatever comes, and counts it, for ever.
    pub async fn receive(self: Arc<Self>, mut stream: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            if self.missing.fetch_sub(read as u64, Relaxed) == read as u64 {
                self.done.notify_one();
            }
        }
    }
}

/// This thread keeps to one of the cores that it may use, from here on: else it takes the system a while to spread threads that
/// were asleep, and longer when others are busy.
#[cfg(target_os = "linux")]
pub fn keep_to_core(which: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let all = sched_getaffinity(None).expect("a thread may ask");
    let mut one = CpuSet::new();
    if let Some(core) = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).nth(which) {
        one.set(core);
        sched_setaffinity(None, &one).expect("one of its own cores");
    }
}

/// Elsewhere the number of threads must do.
#[cfg(not(target_os = "linux"))]
pub fn keep_to_core(_: usize) {}
