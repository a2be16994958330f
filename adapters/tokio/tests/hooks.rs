//! What a gate refuses, what an observer sees, and what becomes of a connection whose hook panics.
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
    By, Closed, DialError, Event, Gate, Info, Multiaddr, Observed, Observer, PeerId, Progress, Reason, UpgradeFailed,
};
use tidewire_upgrade::pipeline::UpgradeError;
use tokio::time::timeout;

/// Refuses at one of the hooks.
#[derive(Clone, Copy, PartialEq)]
enum Hook {
    Dial,
    Accept,
    Peer,
    Upgraded,
}

impl Hook {
    fn at(self, hook: Hook) -> Result<(), String> {
        if self == hook { Err("not today".into()) } else { Ok(()) }
    }
}

impl Gate for Hook {
    fn dial(&self, _: &Multiaddr) -> Result<(), String> {
        self.at(Hook::Dial)
    }
    fn accept(&self, _: &Multiaddr) -> Result<(), String> {
        self.at(Hook::Accept)
    }
    fn peer(&self, _: PeerId, _: &Multiaddr) -> Result<(), String> {
        self.at(Hook::Peer)
    }
    fn upgraded(&self, info: &Info) -> Result<(), String> {
        assert_eq!(info.security, "/noise");
        self.at(Hook::Upgraded)
    }
}

#[tokio::test]
async fn a_dialer_may_refuse_before_dialing_once_the_peer_is_known_and_once_upgraded() {
    let listener = listen(&node(2)).await;
    for hook in [Hook::Dial, Hook::Peer, Hook::Upgraded] {
        let error = node(1).gate(Arc::new(hook)).dial(listener.address()).await.unwrap_err();
        assert!(error.to_string().contains("refused by us: not today"), "{error}");
        match hook {
            Hook::Dial => assert!(matches!(error, DialError::Refused { .. }), "{error}"),
            _ => assert!(matches!(failed(&error), UpgradeFailed::Upgrade(UpgradeError::Refused { .. })), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_listener_may_refuse_on_accept_once_the_peer_is_known_and_once_upgraded() {
    for hook in [Hook::Accept, Hook::Peer, Hook::Upgraded] {
        let log = Arc::new(Log::default());
        let listener = listen(&node(2).gate(Arc::new(hook)).observe(log.clone())).await;
        let dialed = node(1).dial(listener.address()).await;
        if let Ok(connection) = dialed {
            // The dialer is done a flight earlier; it hears of the refusal at once.
            let closed = timeout(Duration::from_secs(5), connection.closed()).await.unwrap();
            assert_eq!(closed.by, By::Remote, "{closed}");
        }
        until(|| log.failure().is_some()).await;
        assert!(log.failure().unwrap().contains("refused by us: not today"));
        assert!(timeout(Duration::from_millis(20), listener.accept()).await.is_err(), "nothing was accepted");
    }
}

#[tokio::test]
async fn an_observer_sees_a_connection_from_its_dial_to_its_end() {
    let log = Arc::new(Log::default());
    let (near, far) = pair_of(&node(1).observe(log.clone()), &node(2)).await;
    serve(far);
    let stream = open(&near).await;
    round_trip(stream, 10, 0).await;
    near.close(0).await;
    let seen = |wanted: fn(&Observed) -> bool| log.find(|event| wanted(event).then_some(())).is_some();
    assert!(seen(|event| matches!(event, Observed::Connecting(_))));
    assert!(seen(|event| matches!(event, Observed::Connected(_))));
    assert!(seen(|event| matches!(event, Observed::Progress(Progress::Peer(_)))));
    assert!(seen(|event| matches!(event, Observed::Event(Event::Negotiated { .. }))));
    until(|| seen(|event| matches!(event, Observed::Closed(Closed { by: By::Us, .. })))).await;
}

/// Panics when a stream is agreed on.
struct Panics;

impl Observer for Panics {
    fn event(&self, _: u64, event: &Observed) {
        assert!(!matches!(event, Observed::Event(Event::Negotiated { .. })), "a mistake in the application");
    }
}

#[tokio::test]
async fn a_hook_that_panics_ends_its_connection_and_is_named_as_the_reason() {
    let (near, far) = pair_of(&node(1).observe(Arc::new(Panics)), &node(2)).await;
    serve(far);
    let _stream = open(&near).await;
    let closed = timeout(Duration::from_secs(5), near.closed()).await.unwrap();
    assert_eq!((closed.by, closed.reason), (By::Us, Reason::Panicked));
}
