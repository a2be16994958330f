//! What the application asks of a [`Hub`], and who waits for the answers.

use crate::error::{ConnectError, ListenError};
use crate::hub::{Hub, Job};
use crate::stream::Stream;
use std::collections::BTreeMap;
use tidewire_connmgr::{self as connmgr, dial::DialOptions};
use tidewire_core::{Multiaddr, PeerId};
use tidewire_host::{ConnectionId, Event, Input, ListenerId, Misuse, OpenFailure, OpenId, OpenOptions, RequestId};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteError, RouteId};

/// Where the answer to a call goes: called once, outside of all locks.
pub type Done<T> = Box<dyn FnOnce(T) + Send>;

/// Who waits.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) connects: BTreeMap<RequestId, Done<Result<ConnectionId, ConnectError>>>,
    pub(crate) opens: BTreeMap<OpenId, Done<Result<Stream, OpenFailure>>>,
    pub(crate) listens: BTreeMap<ListenerId, Done<Result<Vec<Multiaddr>, ListenError>>>,
    pub(crate) closes: BTreeMap<ListenerId, Done<()>>,
    /// Answers to be given once the lock is released.
    pub(crate) answers: Vec<Box<dyn FnOnce() + Send>>,
}

impl Hub {
    /// Wants to be connected to a peer.
    ///
    /// # Errors
    /// There is too much to do already.
    pub fn connect(
        &self,
        peer: PeerId,
        addresses: &[Multiaddr],
        options: DialOptions,
        done: Done<Result<ConnectionId, ConnectError>>,
    ) -> Result<RequestId, Misuse> {
        self.act(|hub, inner| {
            let request = RequestId(inner.fresh());
            inner.calls.connects.insert(request, done);
            let input = Input::Connect { request, peer, addresses: addresses.to_vec(), options };
            let told = hub.handle(inner, input);
            told.inspect_err(|_| drop(inner.calls.connects.remove(&request))).map(|()| request)
        })
    }

    /// The caller of [`connect`](Hub::connect) no longer wants it.
    pub fn cancel_connect(&self, request: RequestId) {
        self.act(|hub, inner| {
            // Who was answered has nothing to take back. What crossed the answer is not known any more.
            if inner.calls.connects.remove(&request).is_some() {
                let _ = hub.handle(inner, Input::CancelConnect { request });
            }
        });
    }

    /// Wants a stream to a peer.
    pub fn open(
        &self,
        peer: PeerId,
        protocols: &Protocols,
        options: OpenOptions,
        done: Done<Result<Stream, OpenFailure>>,
    ) -> OpenId {
        self.act(|hub, inner| {
            let open = OpenId(inner.fresh());
            inner.calls.opens.insert(open, done);
            // A fresh id is no misuse.
            let _ = hub.handle(inner, Input::Open { open, peer, protocols: protocols.clone(), options });
            open
        })
    }

    /// The caller of [`open`](Hub::open) no longer wants it.
    pub fn cancel_open(&self, open: OpenId) {
        self.act(|hub, inner| {
            if inner.calls.opens.remove(&open).is_some() {
                let _ = hub.handle(inner, Input::CancelOpen { open });
            }
        });
    }

    /// Wants to listen; `done` gets the addresses.
    ///
    /// # Errors
    /// There are as many listeners as may be.
    pub fn listen(
        &self,
        address: &Multiaddr,
        done: Done<Result<Vec<Multiaddr>, ListenError>>,
    ) -> Result<ListenerId, Misuse> {
        self.act(|hub, inner| {
            let listener = ListenerId(inner.fresh());
            inner.calls.listens.insert(listener, done);
            let told = hub.handle(inner, Input::Listen { listener, address: address.clone() });
            told.inspect_err(|_| drop(inner.calls.listens.remove(&listener))).map(|()| listener)
        })
    }

    /// Listens there no more; `done` is told once the port is free.
    pub fn unlisten(&self, listener: ListenerId, done: Done<()>) {
        self.act(|hub, inner| {
            inner.calls.closes.insert(listener, done);
            if hub.handle(inner, Input::Unlisten { listener }).is_err() {
                inner.calls.closed(listener);
            }
        });
    }

    /// Of the driver: a listener has these addresses.
    pub fn listening(&self, listener: ListenerId, addresses: Vec<Multiaddr>) {
        self.act(|hub, inner| {
            for address in &addresses {
                // One that is too many is not announced, and works all the same.
                let _ = hub.handle(inner, Input::Listening { listener, address: address.clone() });
            }
            if let Some(done) = inner.calls.listens.remove(&listener) {
                inner.calls.answers.push(Box::new(move || done(Ok(addresses))));
            }
        });
    }

    /// Of the driver: a listener never came to be.
    pub fn not_listening(&self, listener: ListenerId, error: ListenError) {
        self.act(|hub, inner| {
            let why = error.to_string().into();
            if let Some(done) = inner.calls.listens.remove(&listener) {
                inner.calls.answers.push(Box::new(move || done(Err(error))));
            }
            let _ = hub.handle(inner, Input::ListenerClosed { listener, why });
        });
    }

    /// Serves a protocol: its streams come with the first route that is returned. The second one is that of who served this
    /// name before.
    ///
    /// # Errors
    /// The name doesn't fit the matcher.
    pub fn serve(&self, name: Protocol, matcher: Matcher) -> Result<(RouteId, Option<RouteId>), RouteError> {
        self.act(|hub, inner| {
            let route = RouteId::new(inner.fresh());
            let before = inner.router.add(name.clone(), matcher, route)?;
            inner.served.insert(name, route);
            hub.served(inner);
            Ok((route, before))
        })
    }

    /// Serves this protocol no more, if it is still this route's.
    pub fn unserve(&self, name: &Protocol, route: RouteId) {
        self.act(|hub, inner| {
            if inner.served.get(name) == Some(&route) {
                inner.served.remove(name);
                inner.router.remove(name);
                hub.served(inner);
            }
        });
    }

    /// Closes everything. No job comes after [`Job::Stop`].
    pub fn shutdown(&self) {
        self.act(|hub, inner| {
            // Said again, it changes nothing.
            let _ = hub.handle(inner, Input::Shutdown);
            hub.driver.job(Job::Stop);
        });
    }
}

impl Calls {
    /// Answers whoever waits for what happened.
    pub(crate) fn answer(&mut self, event: Event) {
        match event {
            Event::Manager(connmgr::Event::Dialed { request, connection, .. }) => {
                self.connected(request, Ok(connection));
            }
            Event::Manager(connmgr::Event::DialFailed { request, report, .. }) => {
                self.connected(request, Err(ConnectError::Failed(report)));
            }
            Event::OpenFailed { open, why, .. } => self.fail_open(open, why),
            Event::ListenerClosed { listener, why } => {
                if let Some(done) = self.listens.remove(&listener) {
                    let error = ListenError::Closed { why: why.to_string() };
                    self.answers.push(Box::new(move || done(Err(error))));
                }
                self.closed(listener);
            }
            _ => {}
        }
    }

    fn connected(&mut self, request: RequestId, result: Result<ConnectionId, ConnectError>) {
        if let Some(done) = self.connects.remove(&request) {
            self.answers.push(Box::new(move || done(result)));
        }
    }

    pub(crate) fn fail_open(&mut self, open: OpenId, why: OpenFailure) {
        if let Some(done) = self.opens.remove(&open) {
            self.answers.push(Box::new(move || done(Err(why))));
        }
    }

    fn closed(&mut self, listener: ListenerId) {
        if let Some(done) = self.closes.remove(&listener) {
            self.answers.push(Box::new(move || done(())));
        }
    }
}
