//! A wire that takes its time, for the demo: on loopback an answer may overtake what was sent a moment later, and a
//! picture of that says nothing about networks.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// At once from a socket.
const PIECE: usize = 64 * 1024;
/// Pieces on their way.
const PIECES: usize = 64;

/// An address whose connections lead to `to`, each byte `hold` later, in both directions. It lives as long as the runtime.
pub(crate) async fn wire(to: SocketAddr, hold: Duration) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(to).await else { continue };
            // Else the operating system would wait for more to send with it.
            let _ = near.set_nodelay(true).and(far.set_nodelay(true));
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(carry(near_in, far_out, hold));
            tokio::spawn(carry(far_in, near_out, hold));
        }
    });
    Ok(address)
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, hold: Duration) {
    let (give, mut take) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    tokio::spawn(async move {
        while let Some((at, piece)) = take.recv().await {
            sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
    let mut piece = vec![0; PIECE];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        if give.send((Instant::now() + hold, piece[..count].to_vec())).await.is_err() {
            return;
        }
    }
    // The end takes as long as the bytes before it.
    let _ = give.send((Instant::now() + hold, Vec::new())).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_and_the_end_arrive_later_and_whole() {
        let hold = Duration::from_millis(30);
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = wire(echo.local_addr().unwrap(), hold).await.unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = echo.accept().await.unwrap();
            let mut all = Vec::new();
            socket.read_to_end(&mut all).await.unwrap();
            socket.write_all(&all).await.unwrap();
        });
        let mut socket = TcpStream::connect(address).await.unwrap();
        let sent: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let began = Instant::now();
        socket.write_all(&sent).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut back = Vec::new();
        socket.read_to_end(&mut back).await.unwrap();
        assert!(back == sent && began.elapsed() >= 2 * hold);
    }
}
