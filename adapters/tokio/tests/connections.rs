//! Connections over real sockets: dialing, ends, time, memory, flights.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc
)]

mod support;

use std::sync::Arc;
use std::time::Duration;
use support::*;
use tidewire_tokio::{
    By, DialError, Endpoint, ListenError, Multiaddr, Observed, OpenError, Plan, Protocols, ReadStreamError, Reason,
    Role, SecurityKind, Selection, UpgradeFailed,
};
use tidewire_upgrade::pipeline::UpgradeError;
use tidewire_upgrade::security::psk::PreSharedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

#[tokio::test]
async fn both_ends_know_each_other() {
    let (near, far) = pair().await;
    assert_eq!(near.peer(), node(2).peer());
    assert_eq!(far.peer(), node(1).peer());
    assert_eq!((near.security(), near.role(), far.role()), ("/noise", Role::Initiator, Role::Responder));
    assert!(near.remote_address().is_loopback() && far.remote_address().is_loopback());
}

#[tokio::test]
async fn a_name_is_resolved() {
    let listener = listen(&node(2)).await;
    let port = listener.address().port().unwrap();
    let address: Multiaddr = format!("/dns4/localhost/tcp/{port}").parse().unwrap();
    let connection = node(1).dial(&address).await.unwrap();
    assert_eq!(connection.peer(), node(2).peer());
}

#[tokio::test]
async fn the_wrong_peer_is_refused() {
    let listener = listen(&node(2)).await;
    let wrong = listener.address().without_peer_id().with_peer_id(node(3).peer()).unwrap();
    let error = node(1).dial(&wrong).await.unwrap_err();
    assert!(matches!(failed(&error), UpgradeFailed::Upgrade(UpgradeError::Handshake(_))), "{error}");
    assert!(error.to_string().contains(&node(2).peer().to_string()), "says who it is: {error}");
}

#[tokio::test]
async fn a_failed_dial_says_what_was_tried_and_why() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = node(1).dial(&Multiaddr::tcp(closed)).await.unwrap_err().to_string();
    assert!(error.contains(&Multiaddr::tcp(closed).to_string()) && error.contains("refused"), "{error}");
    for (address, why) in [
        ("/ip4/127.0.0.1/udp/1/quic-v1", "only TCP"),
        ("/ip4/127.0.0.1/tcp/1/p2p-circuit", "relay"),
        ("/dnsaddr/example.com/tcp/1", "dnsaddr"),
    ] {
        let error = node(1).dial(&address.parse().unwrap()).await.unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(address), "{error}");
    }
    let error = node(1).listen(&"/dns4/localhost/tcp/0".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, ListenError::Unsupported { .. }));
}

#[tokio::test]
async fn a_remote_that_says_nothing_times_the_upgrade_out() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = config();
    config.timeout = Duration::from_millis(100);
    let address = Multiaddr::tcp(silent.local_addr().unwrap());
    let error = node_with(1, config).dial(&address).await.unwrap_err();
    assert!(matches!(failed(&error), UpgradeFailed::Upgrade(UpgradeError::TimedOut { .. })), "{error}");
}

#[tokio::test]
async fn a_graceful_close_delivers_everything() {
    let (near, far) = pair().await;
    let mut stream = open(&near).await;
    stream.write_all(&data(200_000, 3)).await.unwrap();
    let closing = tokio::spawn(async move { near.close(5).await });
    let mut inbound = far.accept().await.unwrap().stream;
    let mut received = Vec::new();
    let error = inbound.read_to_end(&mut received).await.unwrap_err();
    assert_eq!(inner::<ReadStreamError>(&error), ReadStreamError::Closed);
    assert!(received == data(200_000, 3));
    closing.await.unwrap();
    let closed = far.closed().await;
    assert_eq!((closed.by, &closed.reason), (By::Remote, &Reason::Closed(Some(5))), "{closed}");
    assert!(closed.received > 200_000);
    assert!(far.accept().await.is_none());
}

#[tokio::test]
async fn dropping_the_last_handle_closes_and_delivers() {
    let (near, far) = pair().await;
    let mut stream = open(&near).await;
    drop(near);
    stream.write_all(b"last words").await.unwrap();
    stream.shutdown().await.unwrap();
    drop(stream);
    let mut received = Vec::new();
    far.accept().await.unwrap().stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"last words");
    assert_eq!(far.closed().await.by, By::Remote);
}

#[tokio::test]
async fn everyone_who_waits_hears_of_the_end() {
    let (near, far) = pair().await;
    let mut stream = open(&near).await;
    stream.write_all(b"x").await.unwrap();
    let (accepting, pinging) = (near.clone(), near.clone());
    let waiting = async {
        let mut piece = [0; 1];
        tokio::join!(accepting.accept(), stream.read(&mut piece), near.closed())
    };
    let (_, (inbound, read, closed)) = tokio::join!(far.close(0), waiting);
    assert!(inbound.is_none());
    assert_eq!(inner::<ReadStreamError>(&read.unwrap_err()), ReadStreamError::Closed);
    assert_eq!(closed.by, By::Remote);
    assert!(pinging.ping().await.is_err());
    assert_eq!(near.open(&Protocols::from(ECHO), Selection::Lazy).await.unwrap_err(), OpenError::Closed);
    assert!(stream.write(b"y").await.is_err());
}

#[tokio::test]
async fn a_killed_remote_is_named() {
    // A proxy between the two, so that the socket can be cut as by a crash.
    let listener = listen(&node(2)).await;
    let (proxy, flights) = proxy(listener.address().socket_addr().unwrap()).await;
    let connection = node(1).dial(&proxy).await.unwrap();
    let _held = listener.accept().await.unwrap();
    flights.abort();
    let closed = timeout(Duration::from_secs(5), connection.closed()).await.unwrap();
    assert_eq!(closed.by, By::Remote, "{closed}");
}

#[tokio::test]
async fn the_runtime_of_a_connection_may_end_first() {
    let (near, _far) = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(pair())
    })
    .join()
    .unwrap();
    assert_eq!(near.closed().await.reason, Reason::Runtime);
    assert!(near.accept().await.is_none());
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffer() {
    let (a, b) = (node(1), node(2));
    let (near, far) = pair_of(&a, &b).await;
    serve(far);
    let mut stream = open(&near).await;
    let mut piece = vec![0; 100_000];
    stream.write_all(&piece).await.unwrap();
    stream.read_exact(&mut piece).await.unwrap();
    assert!(near.ping().await.unwrap() < Duration::from_secs(1));
    until(|| a.buffers_in_use() == 0 && b.buffers_in_use() == 0).await;
    // And it works as before.
    stream.write_all(&piece).await.unwrap();
    stream.read_exact(&mut piece).await.unwrap();
}

#[tokio::test]
async fn a_quiet_connection_is_kept_alive() {
    let log = Arc::new(Log::default());
    let mut lively = config();
    lively.muxer.yamux.keep_alive = Some(Duration::from_millis(30));
    lively.muxer.yamux.pong_timeout = Duration::from_secs(5);
    let (near, far) = pair_of(&node_with(1, lively).observe(log.clone()), &node(2)).await;
    let sent = || log.0.lock().unwrap().iter().filter(|event| matches!(event, Observed::Sent(_))).count();
    let before = sent();
    until(|| sent() >= before + 3).await;
    serve(far);
    let stream = open(&near).await;
    round_trip(stream, 10, 0).await;
}

#[tokio::test]
async fn a_remote_that_answers_no_ping_is_given_up() {
    let listener = listen(&node(2)).await;
    let (proxy, _flights) = proxy_that_stalls(listener.address().socket_addr().unwrap()).await;
    let mut lively = config();
    lively.muxer.yamux.keep_alive = Some(Duration::from_millis(200));
    lively.muxer.yamux.pong_timeout = Duration::from_millis(100);
    let endpoint = node_with(1, lively).close_timeout(Duration::from_millis(50));
    let connection = endpoint.dial(&proxy).await.unwrap();
    let closed = timeout(Duration::from_secs(5), connection.closed()).await.unwrap();
    assert!(matches!(closed.reason, Reason::Protocol(_)), "{closed}");
}

#[tokio::test]
async fn going_away_ends_new_streams_and_keeps_the_old() {
    let (near, far) = pair().await;
    let stream = open(&near).await;
    stream.negotiated_by(&far).await;
    far.go_away(0).await;
    near.ping().await.unwrap();
    let refused = near.open(&Protocols::from(ECHO), Selection::Lazy).await.unwrap_err();
    assert!(refused.to_string().contains("going away"), "{refused}");
    round_trip(stream, 50_000, 8).await;
}

/// A stream that the far end has taken.
trait NegotiatedBy {
    async fn negotiated_by(&self, far: &tidewire_tokio::Connection);
}

impl NegotiatedBy for tidewire_tokio::Stream {
    async fn negotiated_by(&self, far: &tidewire_tokio::Connection) {
        serve(far.clone());
        self.negotiated().await.unwrap();
    }
}

#[tokio::test]
async fn a_listener_that_is_shut_down_frees_its_port_and_keeps_its_connections() {
    let (a, b) = (node(1), node(2));
    let listener = listen(&b).await;
    let address = listener.address().clone();
    let (near, far) = tokio::join!(a.dial(&address), listener.accept());
    listener.shutdown().await;
    assert!(matches!(a.dial(&address).await, Err(DialError::Connect { .. })));
    let again = b.listen(&address.without_peer_id()).await;
    assert!(again.is_ok(), "{again:?}");
    serve(far.unwrap());
    let near = near.unwrap();
    let stream = open(&near).await;
    round_trip(stream, 1000, 0).await;
}

#[tokio::test]
async fn an_unspecified_address_is_told_as_reachable_ones() {
    let listener = node(1).listen(&"/ip4/0.0.0.0/tcp/0".parse().unwrap()).await.unwrap();
    let all = listener.addresses();
    assert!(all.iter().any(Multiaddr::is_loopback), "{all:?}");
    assert!(all.iter().all(|address| !address.is_unspecified() && address.peer_id() == Some(node(1).peer())));
    node(2).dial(&all[0]).await.unwrap();
}

#[tokio::test]
async fn a_private_network_lets_in_who_has_its_key() {
    let private = |n, key: u8| {
        let mut config = config();
        config.psk = Some(PreSharedKey::new([key; 32]));
        config.timeout = Duration::from_millis(500);
        node_with(n, config)
    };
    let (near, far) = pair_of(&private(1, 7), &private(2, 7)).await;
    serve(far);
    let stream = open(&near).await;
    round_trip(stream, 300_000, 2).await;
    let listener = listen(&private(2, 7)).await;
    assert!(private(1, 8).dial(listener.address()).await.is_err());
    assert!(node(1).dial(listener.address()).await.is_err());
}

#[tokio::test]
async fn plaintext_works_where_both_ask_for_it() {
    let mut plain = config();
    plain.securities = vec![SecurityKind::Plaintext];
    let (near, far) = pair_of(&node_with(1, plain.clone()), &node_with(2, plain)).await;
    serve(far);
    assert_eq!(near.security(), "/plaintext/2.0.0");
    let stream = open(&near).await;
    round_trip(stream, 300_000, 2).await;
}

#[tokio::test]
async fn two_ends_that_both_listen_first_find_their_roles() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dialed, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (a, b) = (node(1), node(2));
    let plan = |node: &Endpoint, wait: u64| Plan::ListenFirst { until: node.now() + Duration::from_millis(wait) };
    let (near, far) = tokio::join!(
        a.upgrade(dialed.unwrap(), plan(&a, 20), Some(b.peer())),
        b.upgrade(accepted.unwrap().0, plan(&b, 2000), Some(a.peer())),
    );
    let (near, far) = (near.unwrap(), far.unwrap());
    assert_eq!((near.role(), far.role()), (Role::Initiator, Role::Responder));
    serve(far);
    let stream = open(&near).await;
    round_trip(stream, 1000, 0).await;
}

#[tokio::test]
async fn a_dialer_may_be_the_responder() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Multiaddr::tcp(listener.local_addr().unwrap());
    let (a, b) = (node(1), node(2));
    let accepting = async {
        let (socket, _) = listener.accept().await.unwrap();
        b.upgrade(socket, Plan::Initiate, None).await
    };
    let (near, far) = tokio::join!(a.dial_as(&address, Plan::Respond), accepting);
    assert_eq!((near.unwrap().role(), far.unwrap().role()), (Role::Responder, Role::Initiator));
}

#[tokio::test]
async fn three_round_trips_from_the_first_packet_to_the_first_answered_byte() {
    let log = Arc::new(Log::default());
    let listener = listen(&node(2)).await;
    let address = listener.address().clone();
    tokio::spawn(async move {
        let connection = listener.accept().await.unwrap();
        serve(connection);
        std::future::pending::<()>().await;
    });
    let (proxy, _flights) = slow_proxy(address.socket_addr().unwrap(), Duration::from_millis(15)).await;
    let connection = node(1).observe(log.clone()).dial(&proxy).await.unwrap();
    let mut stream = open(&connection).await;
    stream.write_all(b"?").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    // TCP's own round trip, and then each turn from sending to receiving.
    let (mut trips, mut sending, mut sends) = (1, false, 0);
    for event in log.0.lock().unwrap().iter() {
        match event {
            Observed::Sent(_) => (sending, sends) = (true, sends + 1),
            Observed::Received(_) if std::mem::take(&mut sending) => trips += 1,
            _ => {}
        }
    }
    assert_eq!(trips, 3);
    assert_eq!(sends, 2, "the end of the handshake and the first stream's bytes share a packet");
}

#[tokio::test]
async fn garbage_instead_of_an_upgrade_does_not_stop_the_listener() {
    let log = Arc::new(Log::default());
    let listener = listen(&node(2).observe(log.clone())).await;
    let socket = listener.address().socket_addr().unwrap();
    TcpStream::connect(socket).await.unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    until(|| log.failure().is_some()).await;
    let (dialed, accepted) = tokio::join!(async { node(1).dial(listener.address()).await }, listener.accept());
    assert!(dialed.is_ok() && accepted.is_ok());
}

/// Passes bytes on until it is aborted.
async fn proxy(to: std::net::SocketAddr) -> (Multiaddr, tokio::task::JoinHandle<()>) {
    slow_proxy(to, Duration::ZERO).await
}

/// Passes bytes on, each piece after a while.
async fn slow_proxy(to: std::net::SocketAddr, wait: Duration) -> (Multiaddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Multiaddr::tcp(listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(to).await.unwrap();
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::join!(pass(near_in, far_out, wait, usize::MAX), pass(far_in, near_out, wait, usize::MAX));
    });
    (address, task)
}

/// Passes the upgrade on, and nothing that the listener says afterwards.
async fn proxy_that_stalls(to: std::net::SocketAddr) -> (Multiaddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Multiaddr::tcp(listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(to).await.unwrap();
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        let forth = pass(near_in, far_out, Duration::ZERO, usize::MAX);
        tokio::join!(forth, pass(far_in, near_out, Duration::ZERO, 1));
    });
    (address, task)
}

/// So many pieces; what follows is taken and thrown away.
async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    wait: Duration,
    mut pieces: usize,
) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        tokio::time::sleep(wait).await;
        if pieces > 0 && to.write_all(&piece[..count]).await.is_err() {
            return;
        }
        pieces = pieces.saturating_sub(1);
    }
    if pieces > 0 {
        to.shutdown().await.ok();
    }
}
