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
use tidewire_host::link::OpenFault;
use tidewire_tokio::{
    By, DialOptions, Matcher, MuxerKind, NodeConfig, OpenFailure, OpenOptions, Protocol, Protocols, ReadStreamError,
    RequestError, WriteError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

#[tokio::test]
async fn a_mebibyte_comes_back_over_a_lazy_stream() {
    let (a, _b, _) = pair().await;
    round_trip(open(&a, ECHO).await, 1 << 20, 1).await;
}

#[tokio::test]
async fn a_mebibyte_comes_back_over_a_plainly_negotiated_stream() {
    let (a, _b, _) = pair().await;
    let stream = a.open(id(2), &ECHO.into(), plain()).await.unwrap();
    assert_eq!(stream.protocol(), &ECHO);
    round_trip(stream, 1 << 20, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_mebibytes_come_back() {
    let (a, _b, _) = pair().await;
    round_trip(open(&a, ECHO).await, 20 << 20, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_at_once_do_not_disturb_each_other() {
    let (a, _b, _) = pair().await;
    let mut all = tokio::task::JoinSet::new();
    for i in 0..200 {
        let a = a.clone();
        let options = if i % 2 == 0 { OpenOptions::default() } else { plain() };
        all.spawn(async move {
            let stream = a.open(id(2), &ECHO.into(), options).await.unwrap();
            round_trip(stream, 1000 * (i % 40), i).await;
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
    assert!(a.counters().streams >= 200);
    until(|| a.counters().streams_outbound == 0).await;
}

#[tokio::test]
async fn a_handler_learns_who_speaks_and_what() {
    let (a, b, _) = pair().await;
    let mut any = b.handle(Protocol::from_static("/any/"), Matcher::Prefix).unwrap();
    let mut stream = a.open(id(2), &Protocols::parse(&["/any/7"]).unwrap(), OpenOptions::default()).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    let inbound = any.next().await.unwrap();
    assert_eq!((inbound.peer, inbound.protocol.as_str()), (id(1), "/any/7"));
}

#[tokio::test]
async fn a_later_handler_takes_the_place_of_the_earlier_and_ends_it() {
    let (a, b, mut old) = pair().await;
    let mut new = b.handle(TALK, Matcher::Exact).unwrap();
    assert!(old.next().await.is_none());
    drop(old);
    open(&a, TALK).await.write_all(b"x").await.unwrap();
    new.next().await.unwrap();
    drop(new);
    let gone = a.open(id(2), &TALK.into(), plain()).await.unwrap_err();
    assert_eq!(gone, OpenFailure::Link(OpenFault::Unsupported), "a dropped handler serves no more");
}

#[tokio::test]
async fn streams_that_no_handler_takes_in_time_are_reset() {
    let mut config = NodeConfig::default();
    config.max_incoming = 2;
    let (a, _b, _talks) = pair_of(node(1), node_with(2, config)).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(a.open(id(2), &TALK.into(), plain()).await.unwrap());
    }
    let error = streams.pop().unwrap().read(&mut [0]).await.unwrap_err();
    assert_eq!(inner::<ReadStreamError>(&error), ReadStreamError::Reset { by: By::Remote, code: 0x1002 });
}

#[tokio::test]
async fn a_request_is_one_call() {
    let (a, _b, mut talks) = pair().await;
    tokio::spawn(async move {
        while let Some(mut inbound) = talks.next().await {
            let question = inbound.stream.read_all(100).await?;
            inbound.stream.write_all(&question.repeat(2)).await?;
            inbound.stream.shutdown().await?;
        }
        std::io::Result::Ok(())
    });
    assert_eq!(a.request(id(2), TALK, b"ab", 4).await.unwrap(), "abab");
    let error = a.request(id(2), TALK, b"abc", 5).await.unwrap_err();
    assert!(matches!(error, RequestError::TooLong { max: 5 }), "{error}");
    let error = a.request(id(2), Protocol::from_static("/nope"), b"", 5).await.unwrap_err();
    assert!(matches!(error, RequestError::Stream(_)) && error.to_string().contains("/nope"), "{error}");
}

#[tokio::test]
async fn a_request_that_nobody_answers_times_out() {
    let mut config = NodeConfig::default();
    config.request_timeout = Duration::from_millis(100);
    let (a, _b, mut talks) = pair_of(node_with(1, config), node(2)).await;
    let (asked, _held) = tokio::join!(a.request(id(2), TALK, b"?", 5), talks.next());
    let error = asked.unwrap_err();
    assert!(matches!(error, RequestError::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn a_message_is_one_call() {
    let (a, _b, mut talks) = pair().await;
    let sent = data(300_000, 5);
    let receiving = async { talks.next().await.unwrap().stream.read_all(1 << 20).await.unwrap() };
    let (told, received) = tokio::join!(a.send(id(2), TALK, &sent), receiving);
    told.unwrap();
    assert!(received == sent);
    let error = a.send(id(2), Protocol::from_static("/nope"), b"x").await.unwrap_err();
    assert!(matches!(error, RequestError::Open(OpenFailure::Link(OpenFault::Unsupported))), "{error}");
}

#[tokio::test]
async fn the_first_of_our_protocols_that_the_remote_speaks_is_taken() {
    let (a, _b, _) = pair().await;
    let ours = Protocols::parse(&["/echo/9.0.0", "/echo/1.0.0"]).unwrap();
    let stream = a.open(id(2), &ours, OpenOptions::default()).await.unwrap();
    assert_eq!(stream.protocol(), &ECHO);
}

#[tokio::test]
async fn a_refused_lazy_protocol_is_a_typed_error_at_the_first_read() {
    let (a, _b, _) = pair().await;
    let mut stream = open(&a, Protocol::from_static("/nope")).await;
    stream.write_all(b"too early").await.unwrap();
    let error = stream.read(&mut [0; 8]).await.unwrap_err();
    assert!(matches!(inner::<ReadStreamError>(&error), ReadStreamError::Negotiation(_)), "{error}");
    assert!(error.to_string().contains("/nope"), "{error}");
    assert!(stream.write_all(b"too late").await.is_err());
    assert!(stream.shutdown().await.is_err());
}

#[tokio::test]
async fn a_plainly_refused_protocol_fails_the_open() {
    let (a, _b, _) = pair().await;
    let refused = a.open(id(2), &Protocols::parse(&["/nope"]).unwrap(), plain()).await.unwrap_err();
    assert_eq!(refused, OpenFailure::Link(OpenFault::Unsupported));
    // The connection is as good as before.
    round_trip(open(&a, ECHO).await, 100, 0).await;
    assert_eq!(a.counters().opened_outbound, 1);
}

#[tokio::test]
async fn whether_the_remote_speaks_a_lazy_protocol_can_be_waited_for() {
    let (a, _b, mut talks) = pair().await;
    let mut agreed = open(&a, TALK).await;
    agreed.negotiated().await.unwrap();
    agreed.negotiated().await.unwrap();
    agreed.write_all(b"x").await.unwrap();
    // What both ends knew from the beginning is known at once.
    let inbound = &mut talks.next().await.unwrap().stream;
    inbound.negotiated().await.unwrap();
    a.open(id(2), &ECHO.into(), plain()).await.unwrap().negotiated().await.unwrap();
    // Nothing of what follows is taken away.
    assert_eq!(inbound.read_chunk().await.unwrap().unwrap(), "x");
}

#[tokio::test]
async fn who_waits_for_a_protocol_that_is_refused_learns_why() {
    let (a, _b, _talks) = pair().await;
    let error = open(&a, NOPE).await.negotiated().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(matches!(inner::<ReadStreamError>(&error), ReadStreamError::Negotiation(_)), "{error}");
    assert!(error.to_string().contains("/nope"), "{error}");
}

#[tokio::test]
async fn who_waits_for_a_protocol_hears_of_the_connections_end() {
    let (a, b) = (node(1), node(2));
    let (slow, flights) = proxy(&listen(&b).await, Duration::from_millis(30), usize::MAX).await;
    a.connect(&slow).await.unwrap();
    let mut stream = open(&a, ECHO).await;
    assert!(timeout(Duration::from_millis(1), stream.negotiated()).await.is_err(), "it is not known yet");
    flights.abort();
    let error = timeout(Duration::from_secs(5), stream.negotiated()).await.unwrap().unwrap_err();
    assert_eq!(inner::<ReadStreamError>(&error), ReadStreamError::Closed);
}

#[tokio::test]
async fn each_open_is_answered_once_also_when_its_connection_ends_meanwhile() {
    // Who is not told of another address dials through the proxy only.
    let mut quiet = NodeConfig::default();
    quiet.host.identify = false;
    let (a, log) = watched(1, quiet.clone());
    let b = node_with(2, quiet);
    let (address, mut failed) = (listen(&b).await, 0);
    for round in 0..12_u32 {
        let (proxied, flights) = proxy(&address, Duration::ZERO, usize::MAX).await;
        let mut new = DialOptions::default();
        new.forced = true;
        a.connect_to(id(2), &[proxied], new).await.unwrap();
        let mut all = tokio::task::JoinSet::new();
        for i in 0..40 {
            let (a, protocol) = (a.clone(), if i % 4 == 0 { NOPE } else { ECHO });
            let mut options = if i % 2 == 0 { plain() } else { OpenOptions::default() };
            options.dial = false;
            all.spawn(async move { a.open(id(2), &protocol.into(), options).await.is_err() });
        }
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        flights.abort();
        let answers = timeout(Duration::from_secs(5), all.join_all()).await.expect("an open was not answered");
        failed += answers.into_iter().filter(|failed| *failed).count();
        until(|| a.counters().peers == 0).await;
    }
    let mut told = log.failed_opens();
    assert_eq!(told.len(), failed, "who failed was told, and nobody else");
    told.sort();
    told.dedup();
    assert_eq!(told.len(), failed, "and nobody twice");
    assert!(failed > 100, "{failed}");
    assert_eq!(a.host(|host| host.openings().count()), 0);
}

#[tokio::test]
async fn dropped_futures_lose_no_data() {
    let (a, _b, _) = pair().await;
    let (mut reader, mut writer) = tokio::io::split(open(&a, ECHO).await);
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
async fn opens_that_are_dropped_leave_a_good_connection_and_no_stream() {
    let (a, b, mut talks) = pair().await;
    for polls in 0..20 {
        brief(1, talks.next()).await;
        brief(polls % 4, a.open(id(2), &TALK.into(), plain())).await;
        tokio::task::yield_now().await;
    }
    timeout(Duration::from_secs(5), round_trip(open(&a, ECHO).await, 10_000, 1)).await.unwrap();
    until(|| a.counters().streams_outbound == 0).await;
    assert_eq!(a.host(|host| host.openings().count()), 0);
    drop(b);
}

#[tokio::test]
async fn a_reader_that_never_reads_stops_the_writer_and_holds_bounded_memory() {
    let (a, _b, mut talks) = pair().await;
    let mut stream = open(&a, TALK).await;
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
    let mut inbound = talks.next().await.unwrap();
    round_trip(open(&a, ECHO).await, 300_000, 4).await;
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
    let (a, _b, mut talks) = pair().await;
    let mut stream = open(&a, TALK).await;
    stream.write_all(b"question").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut inbound = talks.next().await.unwrap().stream;
    assert_eq!(inbound.read_all(100).await.unwrap(), "question");
    let late = stream.write(b"x").await.unwrap_err();
    inbound.write_all(b"answer").await.unwrap();
    inbound.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
    assert_eq!(inner::<WriteError>(&late), WriteError::Finished);
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "the end is read as often as one asks");
    assert!(stream.shutdown().await.is_ok(), "and so is the end said");
}

#[tokio::test]
async fn a_stream_that_is_dropped_unfinished_is_reset() {
    let (a, _b, mut talks) = pair().await;
    let mut stream = open(&a, TALK).await;
    stream.write_all(b"half a").await.unwrap();
    let mut inbound = talks.next().await.unwrap().stream;
    drop(stream);
    let mut received = Vec::new();
    let error = inbound.read_to_end(&mut received).await.unwrap_err();
    assert!(matches!(inner::<ReadStreamError>(&error), ReadStreamError::Reset { .. }));
    assert_eq!(received, b"half a");
}

#[tokio::test]
async fn a_stream_that_is_finished_and_dropped_still_delivers() {
    let (a, _b, mut talks) = pair().await;
    let mut stream = open(&a, TALK).await;
    stream.write_all(&data(100_000, 1)).await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    let mut inbound = talks.next().await.unwrap().stream;
    assert!(inbound.read_all(1 << 20).await.unwrap() == data(100_000, 1));
    inbound.shutdown().await.unwrap();
    until(|| a.counters().streams_outbound == 0).await;
}

#[tokio::test]
async fn a_reset_arrives_with_its_code() {
    let (a, _b, mut talks) = pair().await;
    let mut stream = open(&a, TALK).await;
    stream.write_all(b"x").await.unwrap();
    talks.next().await.unwrap().stream.reset(7);
    let error = stream.read(&mut [0]).await.unwrap_err();
    assert_eq!(inner::<ReadStreamError>(&error), ReadStreamError::Reset { by: By::Remote, code: 7 });
}

#[tokio::test]
async fn what_arrived_before_a_connection_ended_is_still_read() {
    let (a, b, mut talks) = pair().await;
    let mut stream = open(&a, TALK).await;
    stream.write_all(&data(200_000, 3)).await.unwrap();
    let mut inbound = talks.next().await.unwrap().stream;
    // Closing sends what was written first.
    a.shutdown().await;
    let mut received = Vec::new();
    let error = inbound.read_to_end(&mut received).await.unwrap_err();
    assert_eq!(inner::<ReadStreamError>(&error), ReadStreamError::Closed);
    assert!(received == data(200_000, 3), "{}", received.len());
    assert!(stream.read(&mut [0]).await.is_err() && stream.write(b"x").await.is_err());
    drop(b);
}

#[tokio::test]
async fn mplex_carries_streams_too() {
    let mut config = NodeConfig::default();
    config.upgrade.muxers = vec![MuxerKind::Mplex];
    let (a, _b, _) = pair_of(node_with(1, config.clone()), node_with(2, config)).await;
    round_trip(open(&a, ECHO).await, 1 << 20, 5).await;
}

#[cfg(feature = "futures-io")]
#[tokio::test]
async fn streams_have_the_traits_of_futures_too() {
    let (a, _b, _) = pair().await;
    let mut stream = std::pin::pin!(open(&a, ECHO).await);
    let put = |stream: std::pin::Pin<&mut tidewire_tokio::Stream>, cx: &mut std::task::Context<'_>| {
        futures_io::AsyncWrite::poll_write(stream, cx, b"abc")
    };
    assert_eq!(std::future::poll_fn(|cx| put(stream.as_mut(), cx)).await.unwrap(), 3);
    std::future::poll_fn(|cx| futures_io::AsyncWrite::poll_close(stream.as_mut(), cx)).await.unwrap();
    let mut buffer = [0; 8];
    let count = std::future::poll_fn(|cx| futures_io::AsyncRead::poll_read(stream.as_mut(), cx, &mut buffer)).await;
    assert_eq!(&buffer[..count.unwrap()], b"abc");
}
