//! What the application asks of a [`Hub`], and who waits for the answers.

use crate::answer::{Answer, Asked};
use crate::audience::Inbound;
use crate::error::{ConnectError, ListenError};
use crate::hub::{Hub, Job};
use crate::queue::Queue;
use crate::stream::Stream;
use std::collections::BTreeMap;
use std::sync::Arc;
use tidewire_connmgr::{self as connmgr, dial::DialOptions};
use tidewire_core::{Multiaddr, PeerId};
use tidewire_host::{ConnectionId, Event, Input, ListenerId, Misuse, OpenFailure, OpenId, OpenOptions, RequestId};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteError, RouteId};

/// What a listener's addresses are, once it has some.
pub(crate) type Listening = Result<Vec<Multiaddr>, ListenError>;

/// Who waits.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) connects: BTreeMap<RequestId, Asked<Result<ConnectionId, ConnectError>>>,
    pub(crate) opens: BTreeMap<OpenId, Asked<Result<Stream, OpenFailure>>>,
    pub(crate) listens: BTreeMap<ListenerId, Asked<Listening>>,
    pub(crate) closes: BTreeMap<ListenerId, Asked<()>>,
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
    ) -> Result<(RequestId, Answer<Result<ConnectionId, ConnectError>>), Misuse> {
        self.act(|hub, inner| {
            let (request, (asked, answer)) = (RequestId(inner.fresh()), Answer::new());
            inner.calls.connects.insert(request, asked);
            let input = Input::Connect { request, peer, addresses: addresses.to_vec(), options };
            let told = hub.handle(inner, input);
            told.inspect_err(|_| drop(inner.calls.connects.remove(&request))).map(|()| (request, answer))
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
    ) -> (OpenId, Answer<Result<Stream, OpenFailure>>) {
        self.act(|hub, inner| {
            let (open, (asked, answer)) = (OpenId(inner.fresh()), Answer::new());
            inner.calls.opens.insert(open, asked);
            // A fresh id is no misuse.
            let _ = hub.handle(inner, Input::Open { open, peer, protocols: protocols.clone(), options });
            (open, answer)
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

    /// Wants to listen; the answer is the addresses.
    ///
    /// # Errors
    /// There are as many listeners as may be.
    pub fn listen(&self, address: &Multiaddr) -> Result<(ListenerId, Answer<Listening>), Misuse> {
        self.act(|hub, inner| {
            let (listener, (asked, answer)) = (ListenerId(inner.fresh()), Answer::new());
            inner.calls.listens.insert(listener, asked);
            let told = hub.handle(inner, Input::Listen { listener, address: address.clone() });
            told.inspect_err(|_| drop(inner.calls.listens.remove(&listener))).map(|()| (listener, answer))
        })
    }

    /// Listens there no more; answered once the port is free.
    pub fn unlisten(&self, listener: ListenerId) -> Answer<()> {
        self.act(|hub, inner| {
            let (asked, answer) = Answer::new();
            inner.calls.closes.insert(listener, asked);
            if hub.handle(inner, Input::Unlisten { listener }).is_err() {
                inner.calls.closed(listener);
            }
            answer
        })
    }

    /// Of the driver: a listener has these addresses.
    pub fn listening(&self, listener: ListenerId, addresses: Vec<Multiaddr>) {
        self.act(|hub, inner| {
            for address in &addresses {
                // One that is too many is not announced, and works all the same.
                let _ = hub.handle(inner, Input::Listening { listener, address: address.clone() });
            }
            if let Some(asked) = inner.calls.listens.remove(&listener) {
                inner.calls.answers.push(Box::new(move || asked.answer(Ok(addresses))));
            }
        });
    }

    /// Of the driver: a listener that was to be closed is.
    pub fn unlistened(&self, listener: ListenerId) {
        // What the host knows no more is of no matter.
        let _ = self.tell(Input::ListenerClosed { listener, why: "it was asked for".into() });
    }

    /// Of the driver: a listener never came to be.
    pub fn not_listening(&self, listener: ListenerId, error: ListenError) {
        self.act(|hub, inner| {
            let why = error.to_string().into();
            if let Some(asked) = inner.calls.listens.remove(&listener) {
                inner.calls.answers.push(Box::new(move || asked.answer(Err(error))));
            }
            let _ = hub.handle(inner, Input::ListenerClosed { listener, why });
        });
    }

    /// Serves a protocol: so many of its streams wait in the queue, further ones are reset. Who served this name before gets no
    /// more.
    pub(crate) fn serve(
        &self,
        name: Protocol,
        matcher: Matcher,
        max: usize,
    ) -> Result<(RouteId, Arc<Queue<Inbound>>), RouteError> {
        self.act(|hub, inner| {
            let route = RouteId::new(inner.fresh());
            let before = inner.router.add(name.clone(), matcher, route)?;
            inner.served.insert(name, route);
            // Before anyone can ask for the route, its handler is there.
            let streams = hub.audience.handle(route, max);
            before.into_iter().for_each(|before| hub.audience.unhandle(before));
            hub.served(inner);
            Ok((route, streams))
        })
    }

    /// Serves this protocol no more, if it is still this route's.
    pub(crate) fn unserve(&self, name: &Protocol, route: RouteId) {
        self.act(|hub, inner| {
            hub.audience.unhandle(route);
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
            (hub.jobs)(Job::Stop);
            #[cfg(feature = "portmap")]
            hub.audience.stop();
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
            Event::OpenFailed { open, why, .. } => {
                if let Some(asked) = self.opens.remove(&open) {
                    self.answers.push(Box::new(move || asked.answer(Err(why))));
                }
            }
            // Of other listeners the driver says where they are, all addresses at once.
            Event::Listening { listener, address } if address.is_relayed() => {
                if let Some(asked) = self.listens.remove(&listener) {
                    self.answers.push(Box::new(move || asked.answer(Ok(vec![address]))));
                }
            }
            Event::ListenerClosed { listener, why } => {
                if let Some(asked) = self.listens.remove(&listener) {
                    let error = ListenError::Closed { why: why.to_string() };
                    self.answers.push(Box::new(move || asked.answer(Err(error))));
                }
                self.closed(listener);
            }
            _ => {}
        }
    }

    fn connected(&mut self, request: RequestId, result: Result<ConnectionId, ConnectError>) {
        if let Some(asked) = self.connects.remove(&request) {
            self.answers.push(Box::new(move || asked.answer(result)));
        }
    }

    fn closed(&mut self, listener: ListenerId) {
        if let Some(asked) = self.closes.remove(&listener) {
            self.answers.push(Box::new(move || asked.answer(())));
        }
    }
}
