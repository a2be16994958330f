//! Wakes the thread that maps ports, whatever it waits for: a datagram, or nothing but time.

use crate::buffer::lock;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};
use std::time::Duration;

/// Shared by the thread and all who wake it.
#[derive(Debug, Default)]
pub(super) struct Wake {
    woken: AtomicBool,
    /// Who waits; and the socket at which it does, if it has one.
    waiting: Mutex<(Option<Thread>, Option<UdpSocket>)>,
}

impl Wake {
    /// From now on this thread is woken.
    pub(super) fn own(&self) {
        lock(&self.waiting).0 = Some(thread::current());
    }

    /// The thread waits at this socket from now on.
    pub(super) fn at(&self, socket: Option<&UdpSocket>) {
        // Without a second handle it is not woken there: it looks now and then in any case.
        lock(&self.waiting).1 = socket.and_then(|socket| socket.try_clone().ok());
    }

    /// Waits so long at most, for a datagram or until it is woken: the number of its bytes, and from where.
    pub(super) fn wait(
        &self,
        socket: Option<&UdpSocket>,
        most: Duration,
        buffer: &mut [u8],
    ) -> Option<(usize, std::net::SocketAddr)> {
        if self.woken.swap(false, Ordering::AcqRel) || most.is_zero() {
            return None;
        }
        let Some(socket) = socket else {
            thread::park_timeout(most);
            self.woken.store(false, Ordering::Release);
            return None;
        };
        // Zero would be for ever, and less than a millisecond is rounded to it somewhere.
        let _ = socket.set_read_timeout(Some(most.max(Duration::from_millis(1))));
        match socket.recv_from(buffer) {
            Ok(came) => Some(came),
            Err(error) if crate::error::is_pause(&error) => None,
            Err(_) => {
                // A router that refuses (ICMP) shows here, and nothing else that lasts: but never spin.
                thread::park_timeout(most.min(Duration::from_millis(10)));
                None
            }
        }
    }
}

impl std::task::Wake for Wake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        let waiting = lock(&self.waiting);
        if let Some(thread) = &waiting.0 {
            thread.unpark();
        }
        if let Some(socket) = &waiting.1
            && let Ok(here) = socket.local_addr()
        {
            // Nobody but the router is listened to: an empty datagram says nothing, and ends the wait.
            let _ = socket.send_to(&[], here);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(20);

    fn woken_at(socket: Option<&UdpSocket>) {
        let wake = Arc::new(Wake::default());
        wake.own();
        wake.at(socket);
        let begin = Instant::now();
        let other = wake.clone();
        let waker = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            std::task::Waker::from(other).wake();
        });
        wake.wait(socket, LONG, &mut [0; 8]);
        assert!(begin.elapsed() < LONG / 2);
        waker.join().unwrap();
    }

    #[test]
    fn a_thread_without_a_socket_is_woken() {
        woken_at(None);
    }

    #[test]
    fn a_thread_that_waits_for_a_datagram_is_woken() {
        woken_at(Some(&UdpSocket::bind("127.0.0.1:0").unwrap()));
    }

    #[test]
    fn who_was_woken_before_does_not_wait() {
        let wake = Arc::new(Wake::default());
        wake.own();
        std::task::Waker::from(wake.clone()).wake();
        let begin = Instant::now();
        wake.wait(None, LONG, &mut [0; 8]);
        assert!(begin.elapsed() < LONG / 2);
    }
}
