//! Sockets that never wait: connecting, listening; local ports are shared between listeners and dials, so that a remote sees the
//! port on which we listen.

use mio::net::{TcpListener, TcpStream};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tidewire_adapter::Target;
use tidewire_core::Multiaddr;

/// Connections that the operating system keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// `EINPROGRESS` (Linux; BSD and macOS) and `WSAEWOULDBLOCK`: std has no stable name for it.
const IN_PROGRESS: [i32; 3] = [115, 36, 10035];

/// Which socket address a multiaddr stands for.
pub(crate) fn socket_addr(address: &Multiaddr) -> Result<SocketAddr, &'static str> {
    Target::parse(address)?;
    address.socket_addr().ok_or("this driver asks no resolver: give it the address that the name stands for")
}

/// Begins to connect, from the port `from` if that can be. Once it is writable, it is connected, or has failed.
pub(crate) fn connect(to: SocketAddr, from: Option<u16>) -> io::Result<TcpStream> {
    // Somebody else may have the port, or there is a connection between these two ports already.
    connect_from(to, from).or_else(|_| connect_from(to, None))
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
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// Listens there.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = unbound(address, true)?;
    if address.is_ipv6() {
        // So that a second listener may have the same port of IPv4.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener as Blocking;

    #[test]
    fn a_port_that_somebody_has_for_himself_is_replaced_by_any() {
        let server = Blocking::bind("127.0.0.1:0").unwrap();
        let taken = Blocking::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        let holder = Blocking::bind(("0.0.0.0", taken)).unwrap();
        let _socket = connect(server.local_addr().unwrap(), Some(taken)).unwrap();
        let (_, remote) = server.accept().unwrap();
        assert_ne!(remote.port(), taken);
        drop(holder);
        let _socket = connect(server.local_addr().unwrap(), Some(taken)).unwrap();
        assert_eq!(server.accept().unwrap().1.port(), taken, "and is taken when it can be had");
    }

    #[test]
    fn names_and_what_is_not_tcp_are_no_socket_addresses() {
        let fault = |text: &str| socket_addr(&text.parse().unwrap()).unwrap_err();
        assert!(fault("/ip4/127.0.0.1/udp/1/quic-v1").contains("only TCP"));
        assert!(fault("/dnsaddr/example.org").contains("must be resolved first"));
        assert!(fault("/dns4/localhost/tcp/1").contains("no resolver"));
        let six: Multiaddr = "/ip6/::1/tcp/7".parse().unwrap();
        assert_eq!(socket_addr(&six), Ok((Ipv6Addr::LOCALHOST, 7).into()));
    }
}
