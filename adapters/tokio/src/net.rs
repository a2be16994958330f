//! Where a name leads, and connecting to one of several addresses.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tidewire_adapter::{Found, LocalPort, STAGGER, Target, connected, dial_fault};
use tidewire_connmgr::dial::DialFault;
use tidewire_core::{Multiaddr, PeerId};
use tidewire_host::LocalEnd;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A socket that is connected, with its ends, local and remote.
type Connected = (TcpStream, SocketAddr, SocketAddr);

/// Connects to an address, to any of what its name stands for, from the port of `from` if that can be.
pub(crate) async fn dial(address: &Multiaddr, peer: PeerId, from: Option<&LocalEnd>) -> Result<Connected, DialFault> {
    let mut found = Found::default();
    for address in &targets(address, peer).await? {
        // What is no address for TCP another driver may dial.
        if let Ok(target) = Target::parse(address) {
            found.add(&target, lookup_host(target.question()).await);
        }
    }
    race(found.sockets()?, from.and_then(LocalPort::of)).await.map_err(|error| dial_fault(&error))
}

/// What an address stands for.
#[cfg(feature = "dnsaddr")]
async fn targets(address: &Multiaddr, peer: PeerId) -> Result<Vec<Multiaddr>, DialFault> {
    use hickory_resolver::proto::rr::RData;
    use tidewire_adapter::DnsAddr;
    let failed = |error: hickory_resolver::net::NetError| DialFault::Transport(format!("{address}: {error}").into());
    let mut resolving = DnsAddr::new(address.clone(), Some(peer));
    let mut resolver = None;
    while let Some(name) = resolving.question() {
        let resolver = match &mut resolver {
            Some(resolver) => resolver,
            none => none.insert(
                hickory_resolver::Resolver::builder_tokio()
                    .and_then(hickory_resolver::ResolverBuilder::build)
                    .map_err(failed)?,
            ),
        };
        // Of several names, one that leads nowhere is of no matter.
        let Ok(found) = resolver.txt_lookup(name).await else { continue };
        let texts = found.answers().iter().filter(|record| matches!(record.data, RData::TXT(_)));
        let records: Vec<String> = texts.map(|record| record.data.to_string()).collect();
        resolving.answer(records.iter().map(String::as_str));
    }
    Ok(resolving.found())
}

/// What an address stands for: without the feature `dnsaddr`, itself.
#[cfg(not(feature = "dnsaddr"))]
async fn targets(address: &Multiaddr, _: PeerId) -> Result<[Multiaddr; 1], DialFault> {
    Ok([address.clone()])
}

/// Connects to the first that answers: one after the other begins, a while apart or when the one before failed.
async fn race(sockets: Vec<SocketAddr>, from: Option<LocalPort>) -> io::Result<Connected> {
    let mut rest = sockets.into_iter().peekable();
    let mut running = JoinSet::new();
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if let Some(to) = rest.next() {
            running.spawn(connect(to, from));
        }
        let wait = if rest.peek().is_some() { STAGGER } else { Duration::MAX };
        match timeout(wait, running.join_next()).await {
            Ok(Some(Ok(Ok(connected)))) => return Ok(connected),
            Ok(Some(Ok(Err(error)))) => failed = error,
            Ok(Some(Err(_))) | Err(_) => {}
            Ok(None) => return Err(failed),
        }
    }
}

async fn connect(to: SocketAddr, from: Option<LocalPort>) -> io::Result<Connected> {
    let socket = TcpStream::from_std(tidewire_adapter::connect(to, from)?)?;
    socket.writable().await?;
    let (local, remote) = connected(&socket)?.ok_or(io::ErrorKind::NotConnected)?;
    Ok((socket, local, remote))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::Instant;

    fn listen(address: SocketAddr) -> std::net::TcpListener {
        tidewire_adapter::listen(&Multiaddr::tcp(address)).unwrap()
    }

    fn local(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// A socket that answers nobody: its queue is full.
    async fn silent() -> (TcpListener, JoinSet<()>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(local(0)).unwrap();
        let silent = socket.listen(1).unwrap();
        let to = silent.local_addr().unwrap();
        let mut filling = JoinSet::new();
        for _ in 0..8 {
            filling.spawn(async move {
                let _held = TcpStream::connect(to).await;
                std::future::pending::<()>().await;
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        (silent, filling)
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_holds_the_next_one_up_for_a_moment_only() {
        let ((silent, _filling), good) = (silent().await, listen(local(0)));
        let (first, second) = (silent.local_addr().unwrap(), good.local_addr().unwrap());
        let start = Instant::now();
        let (_, _, connected) = race(vec![first, second], None).await.unwrap();
        assert_eq!(connected, second);
        assert!(start.elapsed() >= STAGGER && start.elapsed() < STAGGER * 6, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn an_address_that_refuses_does_not_hold_the_next_one_up() {
        let good = listen(local(0));
        let (refuses, second) =
            (TcpListener::bind(local(0)).await.unwrap().local_addr().unwrap(), good.local_addr().unwrap());
        let start = Instant::now();
        assert_eq!(race(vec![refuses, second], None).await.unwrap().2, second);
        assert!(start.elapsed() < STAGGER, "{:?}", start.elapsed());
        assert_eq!(race(vec![refuses], None).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_port_that_somebody_else_has_is_not_dialed_from() {
        let (taken, good) = (TcpListener::bind(local(0)).await.unwrap(), listen(local(0)));
        let port = taken.local_addr().unwrap().port();
        let from = Some(LocalPort { port, exact: false });
        let (_, local, _) = connect(good.local_addr().unwrap(), from).await.unwrap();
        assert_ne!(local.port(), port);
    }
}
