//! Sockets: where a name leads, connecting to one of several addresses, listening; local ports are shared between listeners
//! and dials, so that a remote sees the port on which we listen.

use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tidewire_adapter::{DnsAddr, Target, dial_fault, interleave};
use tidewire_connmgr::dial::DialFault;
use tidewire_core::{Multiaddr, PeerId};

/// Time between one address of a name and the next (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// How long an address is waited for before others are looked at; longer waits are pauses of an eighth of the time that has
/// gone by, of this length at most.
const LOOK: Duration = Duration::from_millis(10);

/// Connections that the operating system keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// Asks the domain name system for TXT records.
pub trait TxtResolver: fmt::Debug + Send + Sync {
    /// The records of a name, which ends in a dot. Called from the thread of a dial, which waits.
    ///
    /// # Errors
    /// There is no answer.
    fn txt(&self, name: &str) -> io::Result<Vec<String>>;
}

/// Connects to an address, to any of what its name stands for, from the port of `from` if that can be. `None`: aborted.
pub(crate) fn dial(
    (peer, address): (PeerId, &Multiaddr),
    from: Option<&Multiaddr>,
    txt: Option<&dyn TxtResolver>,
    aborted: &AtomicBool,
) -> Result<Option<(TcpStream, SocketAddr)>, DialFault> {
    let mut sockets = Vec::new();
    let mut fault = DialFault::NoTransport;
    for address in &targets(address, peer, txt) {
        // What is no address for TCP another driver may dial.
        let Ok(target) = Target::parse(address) else { continue };
        match target.question().to_socket_addrs().and_then(|found| target.pick(found)) {
            Ok(found) => sockets.extend(found),
            Err(error) => fault = DialFault::Transport(format!("{address} can't be resolved: {error}").into()),
        }
    }
    if sockets.is_empty() {
        return Err(fault);
    }
    race(interleave(sockets), from.and_then(Multiaddr::port), aborted).map_err(|error| dial_fault(&error))
}

/// What an address stands for: without a resolver, itself.
fn targets(address: &Multiaddr, peer: PeerId, txt: Option<&dyn TxtResolver>) -> Vec<Multiaddr> {
    let Some(txt) = txt else { return vec![address.clone()] };
    let mut resolving = DnsAddr::new(address.clone(), Some(peer));
    while let Some(name) = resolving.question() {
        // Of several names, one that leads nowhere is of no matter.
        let Ok(records) = txt.txt(&name) else { continue };
        resolving.answer(records.iter().map(String::as_str));
    }
    resolving.found()
}

/// Connects to the first that answers: one after the other begins, a while apart or when the one before failed.
fn race(
    sockets: Vec<SocketAddr>,
    from: Option<u16>,
    aborted: &AtomicBool,
) -> io::Result<Option<(TcpStream, SocketAddr)>> {
    let mut rest = sockets.into_iter();
    let mut running: Vec<(Socket, SocketAddr)> = Vec::new();
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    let began = Instant::now();
    let mut next = began;
    while !aborted.load(Ordering::Relaxed) {
        if Instant::now() >= next
            && let Some(to) = rest.next()
        {
            match connect(to, from) {
                Ok((socket, true)) => return Ok(Some((socket.into(), to))),
                Ok((socket, false)) => running.push((socket, to)),
                Err(error) => failed = error,
            }
            next = if running.is_empty() { next } else { Instant::now() + STAGGER };
        }
        let mut i = 0;
        while let Some((socket, _)) = running.get(i) {
            // It has a remote end once it is connected, and an error once it is not going to be.
            match (socket.peer_addr(), socket.take_error().unwrap_or_else(Some)) {
                (_, Some(error)) => {
                    failed = error;
                    next = Instant::now();
                    running.remove(i);
                }
                (Ok(_), None) => return Ok(Some(running.remove(i)).map(|(socket, to)| (socket.into(), to))),
                (Err(_), None) => i += 1,
            }
        }
        match running.is_empty() {
            true if rest.len() == 0 => return Err(failed),
            true => {}
            false => thread::sleep((began.elapsed() / 8).min(LOOK)),
        }
    }
    Ok(None)
}

/// A socket that connects, or is connected already: true.
fn connect(to: SocketAddr, from: Option<u16>) -> io::Result<(Socket, bool)> {
    if let Some(port) = from {
        match connect_from(to, port) {
            // Somebody else has the port, or there is a connection between these two ports already.
            Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) => {}
            done => return done,
        }
    }
    connect_from(to, 0)
}

fn connect_from(to: SocketAddr, port: u16) -> io::Result<(Socket, bool)> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    if port != 0 {
        share(&socket)?;
        // The way there chooses the address: that of the listener may not lead out.
        socket.bind(&SocketAddr::new(any(to, Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED), port).into())?;
    }
    match socket.connect_timeout(&to.into(), LOOK) {
        Ok(()) => Ok((socket, true)),
        // Of ours, not of the operating system: it goes on.
        Err(error) if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() => Ok((socket, false)),
        Err(error) => Err(error),
    }
}

/// Listens on this socket address.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // So that a second listener may have the same port of IPv4.
        socket.set_only_v6(true)?;
    }
    share(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Only a connection wakes a thread that waits for one.
pub(crate) fn poke(bound: SocketAddr, limit: Duration) {
    let to =
        if bound.ip().is_unspecified() { any(bound, Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST) } else { bound.ip() };
    // It is asked again if this one was lost.
    let _ = TcpStream::connect_timeout(&SocketAddr::new(to, bound.port()), limit);
}

fn any(of: SocketAddr, four: Ipv4Addr, six: Ipv6Addr) -> IpAddr {
    if of.is_ipv4() { four.into() } else { six.into() }
}

/// The port may be used by other sockets of ours.
fn share(socket: &Socket) -> io::Result<()> {
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_reuse_address(cfg!(unix))
}
