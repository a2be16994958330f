//! Ports mapped for a program that has its host itself, without a [`Node`](crate::Node).

use super::PortMapConfig;
use super::driver::{Driver, Whose};
use crate::buffer::lock;
use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use tidewire_core::{Multiaddr, Seed};
use tidewire_host::addresses::PortMapping;

/// Has ports mapped, in a thread of its own: for a program that drives a host itself, over `tidewire-mio`, say. Tell it where the
/// host listens, and tell the host what it says ([`Input::PortMapping`](tidewire_host::Input::PortMapping)). A
/// [`Node`](crate::Node) has one in it: [`NodeConfig::port_mapping`](crate::NodeConfig::port_mapping).
///
/// Dropped, it gives everything back, and nobody waits for that.
///
/// ```no_run
/// use tidewire_adapter::{PortMapConfig, PortMapper, random_seed};
///
/// # fn main() -> std::io::Result<()> {
/// let mut mapper = PortMapper::start(PortMapConfig::default(), &random_seed()?, || ())?;
/// mapper.follow(vec![tidewire_core::Multiaddr::tcp(([192, 168, 1, 7], 4001).into())]);
/// while let Some(word) = mapper.poll() {
///     println!("{word}");
/// }
/// mapper.stop();
/// # Ok(())
/// # }
/// ```
pub struct PortMapper {
    shared: Arc<Shared>,
    words: Receiver<PortMapping>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    listening: Vec<Multiaddr>,
    stopping: bool,
    waker: Option<Waker>,
}

/// The thread's end.
struct Ours<F> {
    shared: Arc<Shared>,
    words: Sender<PortMapping>,
    wake: F,
}

impl PortMapper {
    /// Begins. `wake` is called from its thread whenever there is something to [`poll`](PortMapper::poll). The seed feeds nonces and
    /// waits: never use one twice.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(config: PortMapConfig, seed: &Seed, wake: impl Fn() + Send + 'static) -> io::Result<PortMapper> {
        let (shared, (sender, words)) = (Arc::new(Shared::default()), channel());
        let ours = Ours { shared: shared.clone(), words: sender, wake };
        let driver = Driver::new(Box::new(ours), seed, config);
        let thread = thread::Builder::new().name("tidewire-portmap".into()).spawn(move || driver.run())?;
        Ok(PortMapper { shared, words, thread: Some(thread) })
    }

    /// Where the host listens now: all of its addresses
    /// ([`advertise_inputs`](tidewire_host::Host::advertise_inputs)`().listening`).
    pub fn follow(&self, listening: Vec<Multiaddr>) {
        let mut inner = lock(&self.shared.0);
        if inner.listening != listening {
            inner.listening = listening;
            inner.wake();
        }
    }

    /// What came of it, for the host.
    pub fn poll(&mut self) -> Option<PortMapping> {
        self.words.try_recv().ok()
    }

    /// Gives everything back, and waits for it: [`PortMapConfig::give_back`] at most. What is said in the end.
    pub fn stop(mut self) -> Vec<PortMapping> {
        self.shared.stop();
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
        self.words.try_iter().collect()
    }
}

impl Drop for PortMapper {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl fmt::Debug for PortMapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortMapper").finish_non_exhaustive()
    }
}

impl Shared {
    fn stop(&self) {
        let mut inner = lock(&self.0);
        inner.stopping = true;
        inner.wake();
    }
}

impl Inner {
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

impl<F: Fn() + Send> Whose for Ours<F> {
    fn watch(&self, waker: Waker) {
        lock(&self.shared.0).waker = Some(waker);
    }

    fn is_stopping(&self) -> bool {
        lock(&self.shared.0).stopping
    }

    fn listening(&self) -> Vec<Multiaddr> {
        lock(&self.shared.0).listening.clone()
    }

    fn tell(&self, word: PortMapping) {
        // Nobody polls any more: it was dropped.
        let _ = self.words.send(word);
        (self.wake)();
    }
}
