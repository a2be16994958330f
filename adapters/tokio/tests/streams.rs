//! Streams over real sockets: data both ways, protocols, cancellation, back-pressure.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

mod support;

use std::io::ErrorKind;
use std::task::Poll;
use std::time::Duration;
use support::*;
use tidewire_tokio::{By, MuxerKind, OpenError, Protocols, ReadStreamError, Selection, WriteError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

#[tokio::test]
async fn a_mebibyte_comes_back_over_a_lazy_stream() {
    let connection = echoing().await;
    let stream = open(&connection).await;
    round_trip(stream, 1 << 20, 1).await;
}

#[tokio::test]
async fn a_mebibyte_comes_back_over_a_plainly_negotiated_stream() {
    let connection = echoing().await;
    let stream = connection.open(&Protocols::from(ECHO), Selection::Plain).await.unwrap();
    assert_eq!(stream.protocol(), Some(ECHO));
    round_trip(stream, 1 << 20, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_mebibytes_come_back() {
    let connection = echoing().await;
    let stream = open(&connection).await;
    round_trip(stream, 20 << 20, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_at_once_do_not_disturb_each_other() {
    let connection = echoing().await;
    let mut all = tokio::task::JoinSet::new();
    for i in 0..200 {
        let connection = connection.clone();
        let selection = if i % 2 == 0 { Selection::Lazy } else { Selection::Plain };
        all.spawn(async move {
            let stream = connection.open(&Protocols::from(ECHO), selection).await.unwrap();
            round_trip(stream, 1000 * (i % 40), i).await;
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn the_first_of_our_protocols_that_the_remote_speaks_is_taken() {
    let connection = echoing().await;
    let ours = Protocols::parse(&["/echo/9.0.0", "/echo/1.0.0"]).unwrap();
    let stream = connection.open(&ours, Selection::Lazy).await.unwrap();
    assert_eq!(stream.negotiated().await, Ok(ECHO));
}

#[tokio::test]
async fn a_refused_lazy_protocol_is_a_typed_error_at_the_first_read() {
    let connection = echoing().await;
    let mut stream = connection.open(&Protocols::parse(&["/nope"]).unwrap(), Selection::Lazy).await.unwrap();
    stream.write_all(b"too early").await.unwrap();
    let error = stream.read(&mut [0; 8]).await.unwrap_err();
    assert!(matches!(inner::<ReadStreamError>(&error), ReadStreamError::Negotiation(_)), "{error}");
    assert!(error.to_string().contains("/nope"), "{error}");
    for late in [stream.write_all(b"too late").await, stream.shutdown().await] {
        let error = late.unwrap_err();
        assert_eq!((error.kind(), inner::<WriteError>(&error)), (ErrorKind::Unsupported, WriteError::Refused));
    }
}

#[tokio::test]
async fn a_plainly_refused_protocol_fails_the_open() {
    let connection = echoing().await;
    let refused = connection.open(&Protocols::parse(&["/nope"]).unwrap(), Selection::Plain).await;
    assert!(matches!(refused, Err(OpenError::Negotiation(_))), "{refused:?}");
    // The connection is as good as before.
    let stream = open(&connection).await;
    round_trip(stream, 100, 0).await;
}

#[tokio::test]
async fn dropped_futures_lose_no_data() {
    let connection = echoing().await;
    let (mut reader, mut writer) = tokio::io::split(open(&connection).await);
    let sent = data(600_000, 9);
    let writing = async {
        let mut left = &sent[..];
        let mut turns = 0_u32;
        while !left.is_empty() {
            turns = turns.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            let piece = &left[..left.len().min(1 + turns as usize % 9000)];
            // Polled a few times at most, then dropped.
            if let Some(count) = brief(turns % 3, writer.write(piece)).await {
                left = &left[count.unwrap()..];
            }
            tokio::task::yield_now().await;
        }
        writer.shutdown().await.unwrap();
    };
    let reading = async {
        let (mut received, mut piece, mut turns) = (Vec::new(), [0; 7000], 7_u32);
        loop {
            turns = turns.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            match brief(turns % 3, reader.read(&mut piece)).await {
                Some(count) if count.as_ref().unwrap() == &0 => return received,
                Some(count) => received.extend_from_slice(&piece[..count.unwrap()]),
                None => tokio::task::yield_now().await,
            }
        }
    };
    let (_, received) = timeout(Duration::from_secs(10), async { tokio::join!(writing, reading) }).await.unwrap();
    assert!(received == sent);
}

/// Polls `what` at most so many times and once more, then drops it.
async fn brief<T>(more: u32, what: impl Future<Output = T>) -> Option<T> {
    let mut what = std::pin::pin!(what);
    let mut polls = 0;
    std::future::poll_fn(|cx| match what.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if polls >= more => Poll::Ready(None),
        Poll::Pending => {
            polls += 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn opens_and_accepts_that_are_dropped_leave_a_good_connection() {
    let (near, far) = pair().await;
    for _ in 0..20 {
        brief(1, far.accept()).await;
        brief(0, near.open(&Protocols::from(ECHO), Selection::Plain)).await;
    }
    serve(far);
    let stream = open(&near).await;
    timeout(Duration::from_secs(5), round_trip(stream, 10_000, 1)).await.unwrap();
}

#[tokio::test]
async fn a_reader_that_never_reads_stops_the_writer_and_holds_bounded_memory() {
    let (near, far) = pair().await;
    let mut stream = near.open(&Protocols::from(DEAF), Selection::Lazy).await.unwrap();
    let piece = vec![0; 64 * 1024];
    let mut written = 0;
    while let Ok(count) = timeout(Duration::from_millis(200), stream.write(&piece)).await {
        written += count.unwrap();
        assert!(written <= 2 << 20, "a writer that nobody reads from went on");
    }
    // What the window allows, and not more: yamux's initial 256 KiB, some of it used to propose the protocol.
    let window = 256 * 1024;
    assert!(written <= window && written > window - 100, "{written}");
    // Another stream is not held up, and the first goes on once it is read.
    let mut inbound = far.accept().await.unwrap();
    serve(far);
    let other = open(&near).await;
    round_trip(other, 300_000, 4).await;
    let reading = async {
        let mut received = 0;
        while received < 1 << 20 {
            received += inbound.stream.read_chunk().await.unwrap().unwrap().len();
        }
    };
    let rest = vec![0; (1 << 20) - written];
    let (_, sent) = tokio::join!(reading, stream.write_all(&rest));
    sent.unwrap();
}

#[tokio::test]
async fn half_close_keeps_the_other_direction_open() {
    let (near, far) = pair().await;
    let mut stream = open(&near).await;
    stream.write_all(b"question").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut inbound = far.accept().await.unwrap().stream;
    let mut question = Vec::new();
    inbound.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, b"question");
    let late = stream.write(b"x").await.unwrap_err();
    inbound.write_all(b"answer").await.unwrap();
    inbound.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
    assert_eq!(inner::<WriteError>(&late), WriteError::Finished);
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "the end is read as often as one asks");
}

#[tokio::test]
async fn a_stream_that_is_dropped_unfinished_is_reset() {
    let (near, far) = pair().await;
    let mut stream = open(&near).await;
    stream.write_all(b"half a").await.unwrap();
    let mut inbound = far.accept().await.unwrap().stream;
    drop(stream);
    let mut received = Vec::new();
    let error = inbound.read_to_end(&mut received).await.unwrap_err();
    assert!(matches!(inner::<ReadStreamError>(&error), ReadStreamError::Reset { .. }));
    assert_eq!(received, b"half a");
}

#[tokio::test]
async fn a_stream_that_is_finished_and_dropped_still_delivers() {
    let (near, far) = pair().await;
    let mut stream = open(&near).await;
    stream.write_all(&data(100_000, 1)).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    let mut received = Vec::new();
    let mut inbound = far.accept().await.unwrap().stream;
    inbound.read_to_end(&mut received).await.unwrap();
    assert!(received == data(100_000, 1));
    inbound.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_reset_arrives_with_its_code() {
    let (near, far) = pair().await;
    let mut stream = open(&near).await;
    stream.write_all(b"x").await.unwrap();
    let inbound = far.accept().await.unwrap();
    inbound.stream.reset(7);
    let error = stream.read(&mut [0]).await.unwrap_err();
    assert_eq!(inner::<ReadStreamError>(&error), ReadStreamError::Reset { by: By::Remote, code: 7 });
}

#[tokio::test]
async fn mplex_carries_streams_too() {
    let mut config = config();
    config.muxers = vec![MuxerKind::Mplex];
    let (near, far) = pair_of(&node_with(1, config.clone()), &node_with(2, config)).await;
    assert_eq!((near.muxer(), far.muxer()), (MuxerKind::Mplex, MuxerKind::Mplex));
    serve(far);
    let stream = open(&near).await;
    round_trip(stream, 1 << 20, 5).await;
    assert!(near.ping().await.is_err(), "mplex has no ping");
}

#[cfg(feature = "futures-io")]
#[tokio::test]
async fn streams_have_the_traits_of_futures_too() {
    let connection = echoing().await;
    let mut stream = std::pin::pin!(open(&connection).await);
    let put = |stream: std::pin::Pin<&mut tidewire_tokio::Stream>, cx: &mut std::task::Context<'_>| {
        futures_io::AsyncWrite::poll_write(stream, cx, b"abc")
    };
    assert_eq!(std::future::poll_fn(|cx| put(stream.as_mut(), cx)).await.unwrap(), 3);
    std::future::poll_fn(|cx| futures_io::AsyncWrite::poll_close(stream.as_mut(), cx)).await.unwrap();
    let mut buffer = [0; 8];
    let count = std::future::poll_fn(|cx| futures_io::AsyncRead::poll_read(stream.as_mut(), cx, &mut buffer)).await;
    assert_eq!(&buffer[..count.unwrap()], b"abc");
}
