//! What a link does about the streams of a hole punch. They share their fate with the others on which one end asks and the other
//! answers.

use super::{Link, Service};
use crate::{AskNumber, Direction, StreamId};
use bytes::BytesMut;
use tidewire_core::{Multiaddr, Time};
use tidewire_upgrade::muxer;

impl Link {
    /// Says `CONNECT` on a stream of our own.
    pub(super) fn punch(&mut self, now: Time, ask: AskNumber, addresses: &[Multiaddr], tx: &mut BytesMut) {
        let shared = self.shared.clone();
        let Some(id) = self.ask_by(now, ask, Service::Dcutr, tx) else { return };
        let Some(state) = self.opened() else { return };
        state.exchanges.punch(now, id, (ask, addresses), shared.config());
        self.opened_own(id, Service::Dcutr, Direction::Outbound);
        self.advance_exchange(now, id, tx);
    }

    /// Says `SYNC` on it.
    pub(super) fn sync(&mut self, now: Time, ask: AskNumber, tx: &mut BytesMut) {
        let Some(state) = self.opened() else { return };
        if let Some(id) = state.exchanges.of_ask(ask) {
            state.exchanges.sync(now, id);
            self.advance_exchange(now, id, tx);
        }
    }

    /// Answers the remote's `CONNECT`.
    pub(super) fn connect(&mut self, now: Time, stream: StreamId, addresses: &[Multiaddr], tx: &mut BytesMut) {
        let id = muxer::StreamId::new(stream.0);
        let Some(state) = self.opened() else { return };
        state.exchanges.connect(now, id, addresses);
        self.advance_exchange(now, id, tx);
    }
}
