//! What a router says to all hosts: that it restarted, or has another address (RFC 6886 section 3.2.1, RFC 6887 section 14.1). Without
//! it that shows at the next answer, which may be an hour away.

use super::wake::Wake;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::task::Waker;
use std::thread;
use std::time::Duration;
use tidewire_portmap::Gateway;
use tidewire_portmap::wire::MAX_DATAGRAM;

/// Announcements that wait to be looked at; each says the same as the next, so further ones are dropped.
const MAX_WAITING: usize = 16;
/// How often the thread looks whether it is over.
const LOOK: Duration = Duration::from_secs(2);

/// A datagram, and from where it came.
pub(super) type Announcement = (SocketAddr, Vec<u8>);

/// A thread that listens for one router's announcements, until it is dropped.
pub(super) struct Announcements {
    heard: Receiver<Announcement>,
    over: Arc<AtomicBool>,
}

impl Announcements {
    /// Listens at this group, or address, and port.
    ///
    /// # Errors
    /// The port can't be had, or there is no thread.
    pub(super) fn start(at: SocketAddr, gateway: Gateway, wake: Arc<Wake>) -> io::Result<Announcements> {
        let socket = bind(at, gateway.local)?;
        socket.set_read_timeout(Some(LOOK))?;
        let ((said, heard), over) = (sync_channel(MAX_WAITING), Arc::new(AtomicBool::new(false)));
        let of_thread = over.clone();
        let run = move || listen(&socket, gateway.address, &said, &wake, &of_thread);
        thread::Builder::new().name("tidewire-announce".into()).spawn(run)?;
        Ok(Announcements { heard, over })
    }

    pub(super) fn poll(&self) -> Option<Announcement> {
        self.heard.try_recv().ok()
    }
}

impl Drop for Announcements {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// All programs of the machine that map ports share this port.
fn bind(at: SocketAddr, local: IpAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    socket.set_reuse_port(true)?;
    match (at.ip(), local) {
        (IpAddr::V4(group), IpAddr::V4(local)) if group.is_multicast() => {
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, at.port())).into())?;
            socket.join_multicast_v4(&group, &local)?;
        }
        _ => socket.bind(&at.into())?,
    }
    Ok(socket.into())
}

fn listen(socket: &UdpSocket, router: IpAddr, said: &SyncSender<Announcement>, wake: &Arc<Wake>, over: &AtomicBool) {
    let mut buffer = [0; MAX_DATAGRAM + 1];
    while !over.load(Ordering::Relaxed) {
        match socket.recv_from(&mut buffer) {
            // Whoever else speaks there is no matter of ours.
            Ok((length, from)) if from.ip() == router => {
                let datagram = buffer.get(..length).unwrap_or_default().to_vec();
                if let Err(TrySendError::Disconnected(_)) = said.try_send((from, datagram)) {
                    return;
                }
                Waker::from(wake.clone()).wake();
            }
            Ok(_) => {}
            Err(error) if crate::error::is_pause(&error) => {}
            Err(_) => thread::sleep(LOOK),
        }
    }
}
