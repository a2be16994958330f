//! `/echo/1.0.0`: everything that is read is written back; after the reader's end, the writing side is closed.

use std::{io, time::Instant};

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream as stream;

use crate::{Failure, millis};

pub const ECHO: StreamProtocol = StreamProtocol::new("/echo/1.0.0");

/// Flushes each piece: `futures::io::copy` would not, and a dialer that waits for one piece before it sends the next
/// would wait forever.
pub async fn serve(mut stream: Stream) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = stream.read(&mut piece).await?;
        if length == 0 {
            return stream.close().await;
        }
        stream.write_all(&piece[..length]).await?;
        stream.flush().await?;
    }
}

/// Writes and reads at once: with flow control, a remote that echoes stops reading when nobody reads its echo.
pub async fn run(mut control: stream::Control, remote: PeerId, size: usize) -> Result<f64, Failure> {
    let sent = random_bytes(size);
    let begin = Instant::now();
    let (mut reader, mut writer) = control.open_stream(remote, ECHO).await?.split();
    let write = async {
        writer.write_all(&sent).await?;
        writer.close().await
    };
    let mut received = Vec::with_capacity(size);
    let mut limited = (&mut reader).take(size as u64 + 1);
    let read = limited.read_to_end(&mut received);
    futures::try_join!(write, read)?;
    if sent != received {
        return Err(format!("sent {size} bytes, received {}, and they differ", received.len()).into());
    }
    Ok(millis(begin.elapsed()))
}

/// Bytes without a pattern that a lost or doubled frame could hide in (xorshift64).
fn random_bytes(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}
