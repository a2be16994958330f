//! Ping and echo over any stream. Pings are answered by the node itself; here is only who asks.
//!
//! ```text
//!  /ipfs/ping/1.0.0    32 bytes --> the same 32 bytes <--   again and again, until the dialer sends no more
//!  /echo/1.0.0         bytes --> the same bytes <--         at once, piece by piece; the end is answered with the end
//! ```
//! Ping: libp2p/specs ping/ping.md. Echo is not in the specs: it is what libp2p's examples have under this name.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};
use tidewire_core::Seed;
use tidewire_multistream::{Protocol, Protocols};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

pub(crate) const PING: &str = "/ipfs/ping/1.0.0";
pub(crate) const ECHO: &str = "/echo/1.0.0";
/// libp2p/specs ping/ping.md, "Protocol".
const PING_LEN: usize = 32;
/// At once in memory, on each side of an echo.
const PIECE: usize = 64 * 1024;
/// Length of the echo's pattern: prime, so that no lost or doubled frame leaves the rest in step.
const PATTERN_LEN: usize = 65_521;
/// How long the end of an echo is waited for when every byte is back: some peers never send it.
const END: Duration = Duration::from_secs(2);

/// Why a ping or an echo failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no answer within {}", crate::output::span(*.0))]
    Silence(Duration),
    #[error("the answer to a ping is not what was sent")]
    WrongPong,
    #[error("byte {at} came back as {got:#04x}, sent was {sent:#04x}")]
    WrongByte { at: u64, sent: u8, got: u8 },
    #[error("the stream ended when {got} of {sent} bytes were back")]
    TooShort { got: u64, sent: u64 },
    #[error("more came back than the {sent} bytes that were sent")]
    TooLong { sent: u64 },
}

/// How an echo went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Echoed {
    pub(crate) bytes: u64,
    /// From the first byte sent to the last one received.
    pub(crate) took: Duration,
    /// Whether the peer closed its side behind the last byte.
    pub(crate) ended: bool,
}

/// The one protocol to propose.
pub(crate) const fn only(name: &'static str) -> Protocol {
    Protocol::from_static(name)
}

/// What a list of it looks like.
pub(crate) fn proposal(name: &'static str) -> Protocols {
    Protocols::from(only(name))
}

/// Sends back what comes, piece by piece, until the remote sends no more. `served`: the bytes that went back, also if it
/// fails.
pub(crate) async fn serve_echo(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), served: &mut u64) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let got = stream.read(&mut piece).await?;
        if got == 0 {
            break;
        }
        stream.write_all(&piece[..got]).await?;
        stream.flush().await?;
        *served += got as u64;
    }
    stream.shutdown().await
}

/// One ping. The stream can be used for the next one.
pub(crate) async fn ping(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    seed: &Seed,
    patience: Duration,
) -> Result<Duration, ProtocolError> {
    let mut answer = [0; PING_LEN];
    let began = Instant::now();
    let exchange = async {
        stream.write_all(seed.as_bytes()).await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await?;
        io::Result::Ok(())
    };
    timeout(patience, exchange).await.map_err(|_| ProtocolError::Silence(patience))??;
    let took = began.elapsed();
    if answer == *seed.as_bytes() { Ok(took) } else { Err(ProtocolError::WrongPong) }
}

/// Whether a ping failed because the remote takes only one on a stream.
pub(crate) fn wants_new_stream(error: &ProtocolError) -> bool {
    let kinds = [ErrorKind::UnexpectedEof, ErrorKind::BrokenPipe, ErrorKind::ConnectionReset, ErrorKind::WriteZero];
    matches!(error, ProtocolError::Io(error) if kinds.contains(&error.kind()))
}

/// Sends `size` bytes and closes the writing side, while it compares what comes back. `progress` hears how much did.
/// `patience`: for the next bytes to come back.
pub(crate) async fn echo(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    size: u64,
    seed: &Seed,
    patience: Duration,
    mut progress: impl FnMut(u64),
) -> Result<Echoed, ProtocolError> {
    let pattern = Pattern::new(seed);
    let (mut reader, mut writer) = tokio::io::split(stream);
    let began = Instant::now();

    let write = async {
        let mut sent = 0;
        while sent < size {
            let left = usize::try_from(size - sent).unwrap_or(usize::MAX);
            let piece = pattern.at(sent);
            sent += writer.write(&piece[..piece.len().min(left)]).await? as u64;
        }
        writer.shutdown().await?;
        Ok(())
    };
    let read = async {
        let mut piece = vec![0; PIECE];
        let (mut back, mut took) = (0, began.elapsed());
        loop {
            let complete = back == size;
            // Of an echo of nothing the end is all that there is.
            let wait = if complete && size > 0 { patience.min(END) } else { patience };
            let got = match timeout(wait, reader.read(&mut piece)).await {
                Err(_) if complete => return Ok(Echoed { bytes: back, took, ended: false }),
                Err(_) => return Err(ProtocolError::Silence(wait)),
                Ok(got) => got?,
            };
            if got == 0 && complete {
                let took = if size == 0 { began.elapsed() } else { took };
                return Ok(Echoed { bytes: back, took, ended: true });
            }
            if got == 0 {
                return Err(ProtocolError::TooShort { got: back, sent: size });
            }
            if got as u64 > size - back {
                return Err(ProtocolError::TooLong { sent: size });
            }
            pattern.compare(back, &piece[..got])?;
            back += got as u64;
            took = began.elapsed();
            progress(back);
        }
    };
    let ((), echoed) = tokio::try_join!(write, read)?;
    Ok(echoed)
}

/// Bytes to send, the same for the same seed.
struct Pattern(Vec<u8>);

impl Pattern {
    fn new(seed: &Seed) -> Self {
        let mut bytes: Vec<u8> = Vec::with_capacity(PATTERN_LEN + PING_LEN);
        for index in 0.. {
            if bytes.len() >= PATTERN_LEN {
                break;
            }
            bytes.extend_from_slice(seed.derive("echo", index).as_bytes());
        }
        bytes.truncate(PATTERN_LEN);
        Pattern(bytes)
    }

    /// What is to be sent from there on: some of it, never nothing.
    #[allow(clippy::cast_possible_truncation)] // below PATTERN_LEN
    fn at(&self, offset: u64) -> &[u8] {
        &self.0[(offset % PATTERN_LEN as u64) as usize..]
    }

    fn compare(&self, from: u64, got: &[u8]) -> Result<(), ProtocolError> {
        let mut done = 0;
        while done < got.len() {
            let expected = self.at(from + done as u64);
            let len = expected.len().min(got.len() - done);
            let (expected, piece) = (&expected[..len], &got[done..done + len]);
            if expected != piece {
                let wrong = expected.iter().zip(piece).position(|(sent, got)| sent != got).unwrap_or(0);
                let at = from + (done + wrong) as u64;
                return Err(ProtocolError::WrongByte { at, sent: expected[wrong], got: piece[wrong] });
            }
            done += len;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn seed() -> Seed {
        Seed::new([7; 32])
    }

    #[tokio::test]
    async fn an_echo_comes_back_whatever_its_size() {
        for size in [0, 1, 65_520, 65_521, 65_522, 1 << 20] {
            let (near, mut far) = duplex(1000);
            let server = tokio::spawn(async move {
                let mut served = 0;
                serve_echo(&mut far, &mut served).await.map(|()| served)
            });
            let echoed = echo(near, size, &seed(), PATIENCE, |_| {}).await.unwrap();
            assert_eq!((echoed.bytes, echoed.ended), (size, true));
            assert_eq!(server.await.unwrap().unwrap(), size);
        }
    }

    #[tokio::test]
    async fn a_flipped_bit_is_found_where_it_is() {
        let (near, mut far) = duplex(1 << 20);
        tokio::spawn(async move {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.unwrap();
            all[70_000] ^= 1;
            far.write_all(&all).await.unwrap();
        });
        let error = echo(near, 100_000, &seed(), PATIENCE, |_| {}).await.unwrap_err();
        assert!(matches!(error, ProtocolError::WrongByte { at: 70_000, .. }), "{error}");
    }

    #[tokio::test]
    async fn too_little_and_too_much_are_told_apart() {
        for (extra, claim) in [(false, "ended when 99 of 100"), (true, "more came back than the 100")] {
            let (near, mut far) = duplex(1 << 20);
            tokio::spawn(async move {
                let mut all = Vec::new();
                far.read_to_end(&mut all).await.unwrap();
                if extra {
                    all.push(0);
                } else {
                    all.truncate(99);
                }
                far.write_all(&all).await.unwrap();
            });
            let error = echo(near, 100, &seed(), PATIENCE, |_| {}).await.unwrap_err();
            assert!(error.to_string().contains(claim), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_never_comes_is_not_waited_for() {
        let (near, mut far) = duplex(1 << 20);
        let server = tokio::spawn(async move {
            let mut all = vec![0; 100];
            far.read_exact(&mut all).await.unwrap();
            far.write_all(&all).await.unwrap();
            far
        });
        let echoed = echo(near, 100, &seed(), PATIENCE, |_| {}).await.unwrap();
        assert_eq!((echoed.bytes, echoed.ended), (100, false));
        drop(server);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_an_error_after_the_patience_given() {
        let (mut near, _far) = duplex(1 << 20);
        let error = ping(&mut near, &seed(), PATIENCE).await.unwrap_err();
        assert!(matches!(error, ProtocolError::Silence(PATIENCE)), "{error}");
    }

    #[tokio::test]
    async fn many_pings_fit_on_one_stream() {
        let (mut near, mut far) = duplex(1000);
        let server = tokio::spawn(async move {
            let mut served = 0;
            serve_echo(&mut far, &mut served).await.map(|()| served)
        });
        for index in 0..5 {
            ping(&mut near, &seed().derive("ping", index), PATIENCE).await.unwrap();
        }
        near.shutdown().await.unwrap();
        assert_eq!(server.await.unwrap().unwrap(), 5 * PING_LEN as u64);
    }
}
