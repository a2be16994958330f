//! The closed set of multiplexers: one type for whichever was agreed on.

use super::mplex::{self, Mplex};
use super::yamux::{self, Yamux};
use super::{Event, Muxer, OpenError, ReadError, StreamError, StreamId, WriteError};
use alloc::boxed::Box;
use alloc::sync::Arc;
use bytes::BytesMut;
use core::fmt;
use tidewire_core::{Role, Time};
use tidewire_multistream::Protocol;

/// A multiplexer that can be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum MuxerKind {
    /// `/yamux/1.0.0`: windows, half-close, ping. What every peer has.
    Yamux,
    /// `/mplex/6.7.0`: no back-pressure; deprecated, for old peers.
    Mplex,
}

impl MuxerKind {
    /// Its name in negotiations.
    pub const fn protocol(self) -> Protocol {
        Protocol::from_static(self.name())
    }

    /// The same as text. libp2p/specs yamux/README.md, "Specification"; mplex/README.md, "Protocol".
    pub const fn name(self) -> &'static str {
        match self {
            MuxerKind::Yamux => "/yamux/1.0.0",
            MuxerKind::Mplex => mplex::PROTOCOL,
        }
    }

    /// The multiplexer with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [MuxerKind::Yamux, MuxerKind::Mplex].into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for MuxerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Limits of the multiplexers.
#[derive(Clone, Debug, Default)]
pub struct MuxerConfig {
    /// Of yamux.
    pub yamux: yamux::Config,
    /// Of mplex.
    pub mplex: mplex::Config,
}

/// The same as all connections of a node share it.
#[derive(Debug)]
pub(crate) struct SharedConfig {
    yamux: Arc<yamux::Config>,
    mplex: mplex::Config,
}

impl SharedConfig {
    pub(crate) fn new(config: &MuxerConfig) -> Self {
        SharedConfig { yamux: Yamux::share(config.yamux.clone()), mplex: config.mplex.clone() }
    }
}

/// The remote broke a rule of the multiplexer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MuxerError {
    /// Of yamux.
    #[error("yamux: {0}")]
    Yamux(#[from] yamux::Error),
    /// Of mplex.
    #[error("mplex: {0}")]
    Mplex(#[from] mplex::Error),
}

/// The multiplexer of a connection.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every connection has the large one, and saves an allocation")]
pub(crate) enum AnyMuxer {
    Yamux(Yamux),
    /// Rare and large: behind a pointer, so that yamux connections don't pay for it.
    Mplex(Box<Mplex>),
}

impl AnyMuxer {
    pub(crate) fn new(kind: MuxerKind, role: Role, config: &SharedConfig) -> Self {
        match kind {
            MuxerKind::Yamux => AnyMuxer::Yamux(Yamux::shared(role, &config.yamux)),
            MuxerKind::Mplex => AnyMuxer::Mplex(Box::new(Mplex::new(role, config.mplex.clone()))),
        }
    }

    pub(crate) fn kind(&self) -> MuxerKind {
        match self {
            AnyMuxer::Yamux(_) => MuxerKind::Yamux,
            AnyMuxer::Mplex(_) => MuxerKind::Mplex,
        }
    }

    /// Keeps a stream's window from growing, where there are windows.
    pub(crate) fn narrow(&mut self, id: StreamId) {
        if let AnyMuxer::Yamux(yamux) = self {
            yamux.narrow(id);
        }
    }
}

macro_rules! each {
    ($self:ident, $muxer:ident => $call:expr) => {
        match $self {
            AnyMuxer::Yamux($muxer) => $call,
            AnyMuxer::Mplex($muxer) => $call,
        }
    };
}

impl Muxer for AnyMuxer {
    type Error = MuxerError;

    #[inline]
    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Event>, MuxerError> {
        each!(self, muxer => Ok(muxer.advance(now, rx, tx)?))
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Event>, MuxerError> {
        each!(self, muxer => Ok(muxer.end(now, rx, tx)?))
    }

    fn deadline(&self) -> Time {
        each!(self, muxer => muxer.deadline())
    }

    fn open(&mut self, tx: &mut BytesMut) -> Result<StreamId, OpenError> {
        each!(self, muxer => muxer.open(tx))
    }

    #[inline]
    fn write(&mut self, id: StreamId, data: &[u8], room: usize, tx: &mut BytesMut) -> Result<usize, WriteError> {
        each!(self, muxer => muxer.write(id, data, room, tx))
    }

    #[inline]
    fn boundary(&mut self) {
        each!(self, muxer => muxer.boundary());
    }

    #[inline]
    fn read(&mut self, id: StreamId, tx: &mut BytesMut) -> Result<Option<BytesMut>, ReadError> {
        each!(self, muxer => muxer.read(id, tx))
    }

    fn finish(&mut self, id: StreamId, tx: &mut BytesMut) -> Result<(), StreamError> {
        each!(self, muxer => muxer.finish(id, tx))
    }

    fn reset(&mut self, id: StreamId, code: u32, tx: &mut BytesMut) -> Result<(), StreamError> {
        each!(self, muxer => muxer.reset(id, code, tx))
    }

    fn ping(&mut self, now: Time, tx: &mut BytesMut) -> bool {
        each!(self, muxer => muxer.ping(now, tx))
    }

    fn go_away(&mut self, code: u32, tx: &mut BytesMut) {
        each!(self, muxer => muxer.go_away(code, tx));
    }

    fn streams(&self) -> usize {
        each!(self, muxer => muxer.streams())
    }

    fn memory_used(&self) -> usize {
        each!(self, muxer => muxer.memory_used()) + if let AnyMuxer::Mplex(_) = self { size_of::<Mplex>() } else { 0 }
    }
}
