//! Sockets that never wait, and that share their local port between listeners and dials: so that a remote sees the port on which
//! we listen.

use crate::address::Target;
use crate::error::ListenError;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use std::io::{self, ErrorKind};
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};
use std::vec;
use tidewire_core::Multiaddr;
use tidewire_host::LocalEnd;

/// Connections that the operating system keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// `EINPROGRESS` (Linux; BSD and macOS) and `WSAEWOULDBLOCK`: std has no stable name for it.
const IN_PROGRESS: [i32; 3] = [115, 36, 10_035];

/// Listens on `/ip4/../tcp/PORT` or `/ip6/../tcp/PORT`, with a socket that doesn't wait.
///
/// # Errors
/// The address is not of this kind, or the operating system refuses.
pub fn listen(address: &Multiaddr) -> Result<TcpListener, ListenError> {
    let target =
        Target::to_listen(address).map_err(|reason| ListenError::Unsupported { address: address.clone(), reason })?;
    let bind = || {
        // It is no name: nobody is asked.
        let to = target.question().to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
        not_taken(to)?;
        let socket = unbound(to, true)?;
        bind_alone(&socket, to)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bind().map_err(|error| ListenError::Bind { address: address.clone(), error })
}

/// The port to dial from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPort {
    /// Which.
    pub port: u16,
    /// From this one, or not at all.
    pub exact: bool,
}

impl LocalPort {
    /// The port of a local end, if it has one.
    pub fn of(end: &LocalEnd) -> Option<LocalPort> {
        Some(LocalPort { port: end.address.port()?, exact: end.exact })
    }
}

/// Begins to connect with a socket that doesn't wait, from the port `from` if that can be had. Once it is writable, it is
/// connected, or it has an error: [`connected`] tells. It sends small pieces at once (`TCP_NODELAY`).
///
/// # Errors
/// The operating system refuses at once.
pub fn connect(to: SocketAddr, from: Option<LocalPort>) -> io::Result<TcpStream> {
    match connect_from(to, from.map(|from| from.port)) {
        // Somebody else has the port, or there is a connection between these two ports already.
        Err(error)
            if from.is_some_and(|from| !from.exact)
                && matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) =>
        {
            connect_from(to, None)
        }
        done => done,
    }
}

/// What became of a socket that connects, whatever it is dressed in: its ends, local and remote. `None`: it still does.
///
/// # Errors
/// It could not.
pub fn connected<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
    let socket = socket.into();
    let address = |end: SockAddr| end.as_socket().ok_or(ErrorKind::Unsupported);
    match (socket.take_error()?, socket.peer_addr()) {
        (Some(error), _) => Err(error),
        (None, Ok(remote)) => Ok(Some((address(socket.local_addr()?)?, address(remote)?))),
        (None, Err(error)) if error.kind() == ErrorKind::NotConnected => Ok(None),
        (None, Err(error)) => Err(error),
    }
}

/// Time between one address of a name and the next (RFC 8305, section 5).
pub const STAGGER: Duration = Duration::from_millis(250);

/// A socket that is connected, with its ends, local and remote.
pub type ConnectedSocket = (TcpStream, SocketAddr, SocketAddr);

/// Connects to the first of several addresses that answers: one after the other begins, a while apart or when the one before
/// failed. For who can't be told when a socket gets ready: it is to be looked at again and again.
///
/// ```text
///   look: begin the next one, if its time has come --> connected? --> pause --> look
/// ```
#[derive(Debug)]
pub struct Race {
    rest: vec::IntoIter<SocketAddr>,
    from: Option<LocalPort>,
    running: Vec<TcpStream>,
    began: Instant,
    /// When the next one begins.
    next: Instant,
    failed: io::Error,
}

impl Race {
    /// How long a pause may be at most.
    const MAX_PAUSE: Duration = Duration::from_millis(10);

    /// Connects from the port `from` if that can be had.
    pub fn new(sockets: Vec<SocketAddr>, from: Option<LocalPort>) -> Race {
        let (began, failed) = (Instant::now(), ErrorKind::NotFound.into());
        Race { rest: sockets.into_iter(), from, running: Vec::new(), began, next: began, failed }
    }

    /// What is connected now, as a socket that doesn't wait.
    ///
    /// # Errors
    /// Nothing is left: how the last one failed.
    pub fn look(&mut self) -> io::Result<Option<ConnectedSocket>> {
        let now = Instant::now();
        while now >= self.next
            && let Some(to) = self.rest.next()
        {
            match connect(to, self.from) {
                Ok(socket) => {
                    self.running.push(socket);
                    self.next = now + STAGGER;
                }
                Err(error) => self.failed = error,
            }
        }
        for socket in mem::take(&mut self.running) {
            match connected(&socket) {
                Ok(Some((local, remote))) => return Ok(Some((socket, local, remote))),
                Ok(None) => self.running.push(socket),
                Err(error) => (self.failed, self.next) = (error, now),
            }
        }
        if self.running.is_empty() && self.rest.len() == 0 {
            return Err(mem::replace(&mut self.failed, ErrorKind::NotFound.into()));
        }
        Ok(None)
    }

    /// How long to wait before the next look: an eighth of the time that has gone by, 10 ms at most.
    pub fn pause(&self) -> Duration {
        if self.running.is_empty() { Duration::ZERO } else { (self.began.elapsed() / 8).min(Self::MAX_PAUSE) }
    }
}

/// Makes a thread look up that waits for a connection on a listener's socket: only a connection does. It is to be asked again if
/// this one was lost.
pub fn poke(bound: SocketAddr) {
    let ip: IpAddr = match bound.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let _ = TcpStream::connect_timeout(&SocketAddr::new(ip, bound.port()), Duration::from_millis(50));
}

fn connect_from(to: SocketAddr, port: Option<u16>) -> io::Result<TcpStream> {
    let socket = unbound(to, port.is_some())?;
    if let Some(port) = port {
        // The way there chooses the address: that of the listener may not lead out.
        let any = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        socket.bind(&SocketAddr::new(any, port).into())?;
    }
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&to.into()) {
        Err(error) if !error.raw_os_error().is_some_and(|code| IN_PROGRESS.contains(&code)) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Sockets that share their ports share them with all listeners of the same user: another node would go unnoticed, and take half
/// of the connections. One that doesn't share is told; dials and connections from this port, and what is left of them, don't count.
fn not_taken(by: SocketAddr) -> io::Result<()> {
    if by.port() == 0 || !cfg!(unix) {
        return Ok(());
    }
    let probe = unbound(by, false)?;
    probe.set_reuse_address(true)?;
    bind_alone(&probe, by)
}

fn bind_alone(socket: &Socket, to: SocketAddr) -> io::Result<()> {
    if to.is_ipv6() {
        // So that a second listener may have the same port of IPv4.
        socket.set_only_v6(true)?;
    }
    socket.bind(&to.into())
}

/// A socket that is not bound yet; `shared`: its port may be used by other sockets of ours.
fn unbound(of: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(of), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(shared)?;
    // On Windows it would let others take the port away.
    socket.set_reuse_address(shared && cfg!(unix))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_port_that_somebody_has_for_himself_is_replaced_by_any() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = TcpListener::bind("0.0.0.0:0").unwrap();
        let taken = holder.local_addr().unwrap().port();
        let _socket = connect(server.local_addr().unwrap(), Some(LocalPort { port: taken, exact: false })).unwrap();
        let (_, remote) = server.accept().unwrap();
        assert_ne!(remote.port(), taken);
        drop(holder);
        let _socket = connect(server.local_addr().unwrap(), Some(LocalPort { port: taken, exact: false })).unwrap();
        assert_eq!(server.accept().unwrap().1.port(), taken, "and is taken when it can be had");
    }

    #[test]
    fn what_becomes_of_a_connect_is_known_by_its_socket() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        let socket = connect(to, None).unwrap();
        let remote = server.accept().unwrap().1;
        assert_eq!(connected(&socket).unwrap(), Some((remote, to)));
        drop(server);
        let refused = connect(to, None).and_then(|socket| {
            loop {
                if let Some(ends) = connected(&socket)? {
                    return Ok(ends);
                }
            }
        });
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_listener_and_a_dial_share_a_port() {
        let address = "/ip4/127.0.0.1/tcp/0".parse().unwrap();
        let (ours, theirs) = (listen(&address).unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (port, to) = (ours.local_addr().unwrap().port(), theirs.local_addr().unwrap());
        let _socket = connect(to, Some(LocalPort { port, exact: false })).unwrap();
        assert_eq!(theirs.accept().unwrap().1.port(), port);
        // The two ports are connected already: another one will do, unless it is to be this one.
        let exact = connect(to, Some(LocalPort { port, exact: true })).map(drop).map_err(|error| error.kind());
        assert_eq!(exact, Err(ErrorKind::AddrNotAvailable));
        connect(to, Some(LocalPort { port, exact: false })).unwrap();
        assert_ne!(theirs.accept().unwrap().1.port(), port);
    }

    #[test]
    fn a_port_on_which_somebody_listens_already_is_taken_and_one_from_which_we_dialed_is_not() {
        let (ours, theirs) =
            (listen(&"/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let address = Multiaddr::tcp(ours.local_addr().unwrap());
        let error = listen(&address).unwrap_err().to_string();
        assert!(error.contains("in use") && error.contains(&address.to_string()), "{error}");
        let _dialed = connect(
            theirs.local_addr().unwrap(),
            Some(LocalPort { port: ours.local_addr().unwrap().port(), exact: false }),
        )
        .unwrap();
        let _accepted = theirs.accept().unwrap();
        drop(ours);
        listen(&address).unwrap();
    }

    fn won(mut race: Race) -> io::Result<ConnectedSocket> {
        loop {
            if let Some(connected) = race.look()? {
                return Ok(connected);
            }
            std::thread::sleep(race.pause());
        }
    }

    #[test]
    fn an_address_that_refuses_does_not_hold_the_next_one_up() {
        let (good, gone) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let (good_at, gone_at) = (good.local_addr().unwrap(), gone.local_addr().unwrap());
        drop(gone);
        let began = Instant::now();
        assert_eq!(won(Race::new(vec![gone_at, good_at], None)).unwrap().2, good_at);
        assert!(began.elapsed() < STAGGER, "{:?}", began.elapsed());
        assert_eq!(won(Race::new(vec![gone_at], None)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn an_address_that_does_not_answer_holds_the_next_one_up_for_a_moment_only() {
        // Its queue is full: packets are lost.
        let deaf = unbound(([127, 0, 0, 1], 0).into(), false).unwrap();
        deaf.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        deaf.listen(0).unwrap();
        let deaf_at = deaf.local_addr().unwrap().as_socket().unwrap();
        let mut filling = Vec::new();
        while let Ok(socket) = TcpStream::connect_timeout(&deaf_at, Duration::from_millis(100)) {
            filling.push(socket);
            assert!(filling.len() < 100, "the queue has no end");
        }
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        let good_at = good.local_addr().unwrap();
        let began = Instant::now();
        assert_eq!(won(Race::new(vec![deaf_at, good_at], None)).unwrap().2, good_at);
        assert!(began.elapsed() >= STAGGER && began.elapsed() < STAGGER * 6, "{:?}", began.elapsed());
    }
}
