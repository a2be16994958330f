//! Reading who a remote says that it is: the answer to our question, or a push.
//!
//! ```text
//! Reading --message, up to 10, merged--> Reading
//! Reading --the remote's end, or the deadline with at least one message--> Done: Identity
//! Reading --a fault, or the deadline with none--> Failed, for good
//! ```
//! Spec: libp2p/specs identify/README.md. That there may be several messages is go-libp2p's way, since a signed record may
//! not fit into the first.

use super::Config;
use super::identity::{Dropped, Identity, RecordRefused, SignedRecord};
use super::message::IdentifyMessage;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::{
    FrameError, KeyError, Machine, MessageError, Multiaddr, PeerId, PeerRecord, PublicKey, Time, decode_message,
};
use tidewire_multistream::Protocol;

/// Reads what a remote says about itself: a [`Machine`] that ends with an [`Identity`].
///
/// It says nothing. Call [`end`](Machine::end) when the remote has ended the stream, or [`settle`](Reader::settle) when it
/// was reset. After its output it does nothing more.
#[derive(Debug)]
pub struct Reader {
    config: Config,
    peer: PeerId,
    until: Time,
    step: Step,
    messages: u32,
    /// Bytes of the messages so far.
    read: usize,
    gathered: Gathered,
}

#[derive(Debug)]
enum Step {
    Reading,
    Done,
    Failed(IdentifyError),
}

/// What the messages so far said. Lists are capped as they grow; what costs cryptography is looked at once, at the end.
#[derive(Debug, Default)]
struct Gathered {
    identity: Identity,
    public_key: Option<Bytes>,
    record: Option<Bytes>,
}

/// Why it is not known who a remote is. Final; the connection may well go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifyError {
    /// A message can't be read.
    #[error("the peer's identify message can't be read: {0}")]
    Message(MessageError),
    /// All messages together are longer than allowed. The last one was not waited for.
    #[error("the peer's identify messages have {len} bytes or more, at most {max} are read")]
    TooLong {
        /// Bytes so far, with those that the last length announces.
        len: u64,
        /// [`Config::max_bytes`].
        max: usize,
    },
    /// There are more messages than allowed.
    #[error("the peer sends more than {max} identify messages on one stream")]
    TooManyMessages {
        /// [`Config::max_messages`].
        max: u32,
    },
    /// The public key is none.
    #[error("the public key in the peer's identify message: {0}")]
    Key(KeyError),
    /// The public key is another peer's.
    #[error("the connection proved that the peer is {expected}, but it identifies with the key of {got}")]
    OtherKey {
        /// The connection's peer.
        expected: PeerId,
        /// Whose key it is.
        got: PeerId,
    },
    /// The stream ended within a message.
    #[error("the peer's identify stream ended {left} bytes into message number {number}")]
    Truncated {
        /// Which message, from 1.
        number: u32,
        /// Bytes of it that came, its length included.
        left: usize,
    },
    /// The stream ended, and there was no message.
    #[error("the peer ended the identify stream without a message")]
    Nothing,
    /// No message was complete in time.
    #[error("no identify message of the peer was complete after {} ms", after.as_millis())]
    Timeout {
        /// [`Config::timeout`].
        after: Duration,
    },
}

impl Reader {
    /// A reader of what `peer`, as proven on the connection, says.
    pub fn new(config: &Config, peer: PeerId, now: Time) -> Self {
        Reader {
            config: config.clone(),
            peer,
            until: now + config.timeout,
            step: Step::Reading,
            messages: 0,
            read: 0,
            gathered: Gathered::default(),
        }
    }

    /// What came to be known though the stream was reset: messages that are complete count, a part of one doesn't.
    /// `Ok(None)`: it was told before.
    ///
    /// # Errors
    /// A fault of the remote, or no message was complete.
    pub fn settle(&mut self, rx: &mut BytesMut) -> Result<Option<Box<Identity>>, IdentifyError> {
        self.guarded(|reader| {
            reader.take_messages(rx)?;
            if reader.messages == 0 { Err(IdentifyError::Nothing) } else { reader.finish().map(Some) }
        })
    }

    /// Runs `step` while reading, and keeps its fault.
    fn guarded(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<Option<Box<Identity>>, IdentifyError>,
    ) -> Result<Option<Box<Identity>>, IdentifyError> {
        match &self.step {
            Step::Reading => {}
            Step::Done => return Ok(None),
            Step::Failed(error) => return Err(error.clone()),
        }
        let result = step(self);
        match &result {
            Ok(None) => {}
            Ok(Some(_)) => self.step = Step::Done,
            Err(error) => {
                self.step = Step::Failed(error.clone());
                self.gathered = Gathered::default();
            }
        }
        result
    }

    fn take_messages(&mut self, rx: &mut BytesMut) -> Result<(), IdentifyError> {
        while !rx.is_empty() {
            if self.messages >= self.config.max_messages {
                return Err(IdentifyError::TooManyMessages { max: self.config.max_messages });
            }
            let (before, room) = (rx.len(), self.config.max_bytes.saturating_sub(self.read));
            let Some(message) = decode_message(rx, room).map_err(|error| self.too_long(error))? else { break };
            self.read = self.read.saturating_add(before.saturating_sub(rx.len()));
            self.messages = self.messages.saturating_add(1);
            self.gathered.add(&self.config, &self.peer, message);
        }
        Ok(())
    }

    /// The limit that a frame broke is what was left of ours.
    fn too_long(&self, error: MessageError) -> IdentifyError {
        match error {
            MessageError::Frame(FrameError::TooLong { len, .. }) => {
                IdentifyError::TooLong { len: len.saturating_add(self.read as u64), max: self.config.max_bytes }
            }
            other => IdentifyError::Message(other),
        }
    }

    fn finish(&mut self) -> Result<Box<Identity>, IdentifyError> {
        let Gathered { mut identity, public_key, record } = core::mem::take(&mut self.gathered);
        if let Some(bytes) = public_key {
            let key = PublicKey::from_protobuf(&bytes).map_err(IdentifyError::Key)?;
            let got = key.peer_id();
            if got != self.peer {
                return Err(IdentifyError::OtherKey { expected: self.peer, got });
            }
            identity.public_key = Some(key);
        }
        match record.map(|bytes| self.open_record(bytes, &mut identity.dropped)) {
            Some(Ok(mut record)) => {
                share(&mut record.addresses, &identity.addresses);
                record.addresses.shrink_to_fit();
                identity.record = Some(record);
            }
            Some(Err(refused)) => identity.refused = Some(refused),
            None => {}
        }
        // It may be kept as long as the peer is connected.
        identity.protocols.shrink_to_fit();
        identity.addresses.shrink_to_fit();
        Ok(Box::new(identity))
    }

    fn open_record(&self, bytes: Bytes, dropped: &mut Dropped) -> Result<SignedRecord, RecordRefused> {
        let (envelope, record) = PeerRecord::open(bytes)?;
        if record.peer_id != self.peer {
            return Err(RecordRefused::OtherPeer { expected: self.peer, got: record.peer_id });
        }
        let mut addresses = Vec::new();
        for bytes in &record.addresses {
            add_address(&mut addresses, &self.config, &self.peer, bytes, dropped);
        }
        Ok(SignedRecord { seq: record.seq, addresses, envelope: envelope.as_bytes().clone() })
    }
}

impl Machine for Reader {
    type Output = Box<Identity>;
    type Error = IdentifyError;

    fn advance(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        _: &mut BytesMut,
    ) -> Result<Option<Box<Identity>>, IdentifyError> {
        self.guarded(|reader| {
            reader.take_messages(rx)?;
            if now < reader.until {
                return Ok(None);
            }
            if reader.messages == 0 {
                return Err(IdentifyError::Timeout { after: reader.config.timeout });
            }
            reader.finish().map(Some)
        })
    }

    fn end(&mut self, _: Time, rx: &mut BytesMut, _: &mut BytesMut) -> Result<Option<Box<Identity>>, IdentifyError> {
        self.guarded(|reader| {
            reader.take_messages(rx)?;
            if !rx.is_empty() {
                return Err(IdentifyError::Truncated { number: reader.messages.saturating_add(1), left: rx.len() });
            }
            if reader.messages == 0 { Err(IdentifyError::Nothing) } else { reader.finish().map(Some) }
        })
    }

    fn deadline(&self) -> Time {
        if matches!(self.step, Step::Reading) { self.until } else { Time::NEVER }
    }

    fn memory_used(&self) -> usize {
        let Gathered { identity, public_key, record } = &self.gathered;
        let bytes = public_key.iter().chain(record).map(Bytes::len).sum::<usize>();
        identity.memory_used() + bytes
    }
}

impl Gathered {
    /// Adds one message. Nothing of it stays but what is kept: its fields are slices of a buffer of the connection.
    fn add(&mut self, config: &Config, peer: &PeerId, message: IdentifyMessage) {
        let Gathered { identity, public_key, record } = self;
        if let Some(bytes) = message.public_key {
            *public_key = Some(Bytes::copy_from_slice(&bytes));
        }
        if let Some(bytes) = message.signed_peer_record {
            *record = Some(Bytes::copy_from_slice(&bytes));
        }
        if let Some(bytes) = message.protocol_version {
            identity.protocol_version = text(&bytes, config.max_text);
        }
        if let Some(bytes) = message.agent_version {
            identity.agent = text(&bytes, config.max_text);
        }
        if let Some(bytes) = message.observed_addr {
            identity.observed = observed(&bytes, config.max_address);
            identity.dropped.observed = identity.observed.is_none();
        }
        for name in &message.protocols {
            add_protocol(&mut identity.protocols, config, name, &mut identity.dropped);
        }
        for bytes in &message.listen_addrs {
            add_address(&mut identity.addresses, config, peer, bytes, &mut identity.dropped);
        }
    }
}

fn add_protocol(protocols: &mut Vec<Protocol>, config: &Config, name: &[u8], dropped: &mut Dropped) {
    if protocols.len() >= config.max_protocols {
        return count(&mut dropped.surplus_protocols);
    }
    let fits = name.len() <= config.max_protocol_name;
    let name = core::str::from_utf8(name).ok().filter(|_| fits).and_then(|name| Protocol::new(name).ok());
    let Some(name) = name else { return count(&mut dropped.unusable_protocols) };
    if let Err(at) = protocols.binary_search(&name) {
        protocols.insert(at, name);
    }
}

fn add_address(addresses: &mut Vec<Multiaddr>, config: &Config, peer: &PeerId, bytes: &[u8], dropped: &mut Dropped) {
    if addresses.len() >= config.max_addresses {
        return count(&mut dropped.surplus_addresses);
    }
    let parsed = if bytes.len() <= config.max_address { Multiaddr::from_bytes(bytes).ok() } else { None };
    let Some(address) = parsed else { return count(&mut dropped.unusable_addresses) };
    if address.peer_id().is_some_and(|named| named != *peer) {
        return count(&mut dropped.foreign_addresses);
    }
    let address = if address.peer_id().is_some() { address.without_peer_id() } else { address };
    if address.is_empty() {
        return count(&mut dropped.unusable_addresses);
    }
    if !addresses.contains(&address) {
        addresses.push(address);
    }
}

/// Lets equal addresses share their bytes: nearly always the signed ones are the listed ones.
fn share(addresses: &mut [Multiaddr], with: &[Multiaddr]) {
    for address in addresses {
        if let Some(same) = with.iter().find(|listed| *listed == address) {
            *address = same.clone();
        }
    }
}

/// js puts our id behind it, and rust sends nothing else for a connection through a relay.
fn observed(bytes: &[u8], max: usize) -> Option<Multiaddr> {
    let address = if bytes.len() <= max { Multiaddr::from_bytes(bytes).ok()? } else { return None };
    let address = address.without_peer_id();
    (!address.is_empty()).then_some(address)
}

/// At most `max` bytes, whole characters. A control character would let a peer write into our logs and terminals as it likes.
fn text(bytes: &[u8], max: usize) -> Option<SmolStr> {
    let text = String::from_utf8_lossy(bytes.get(..max).unwrap_or(bytes));
    let mut clean = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let c = if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        if clean.len() + c.len_utf8() > max {
            break;
        }
        clean.push(c);
    }
    (!clean.is_empty()).then(|| SmolStr::new(clean))
}

fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}
