//! Asking a listener for its names, and answering.
//!
//! ```text
//!            header + ls              header              list
//!  Opening ---------------> Header ------------> Answer ---------> Done
//! ```
//! Spec: `multiformats/multistream-select`, "Listing" and "ls example in detail". Optional; js-libp2p's listeners answer,
//! go-libp2p and rust-libp2p dropped it.

use crate::config::Config;
use crate::dialer::starved;
use crate::error::{Awaited, Error, Fault};
use crate::machine::machine;
use crate::protocol::{NameError, Protocol, Protocols};
use crate::wire;
use alloc::vec::Vec;
use bytes::BytesMut;
use tidewire_core::{Machine, Time};

/// Asks the remote which names it serves.
///
/// The answer is one frame of at most [`Config::max_list`] bytes, so `rx` must have room for it. Afterwards the stream can
/// go on with [`Dialer::resume`](crate::Dialer::resume).
///
/// ```
/// use bytes::BytesMut;
/// use tidewire_core::{Machine, Time};
/// use tidewire_multistream::{Config, List, Protocols};
///
/// let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
/// let mut list = List::new(Config::default());
/// assert_eq!(list.advance(Time::ZERO, &mut rx, &mut tx), Ok(None));
/// assert_eq!(&tx[..], b"\x13/multistream/1.0.0\n\x03ls\n");
///
/// rx.extend_from_slice(b"\x13/multistream/1.0.0\n\x09\x03/a\n\x03/b\n\n");
/// assert_eq!(list.advance(Time::ZERO, &mut rx, &mut tx), Ok(Some(Protocols::parse(&["/a", "/b"])?)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct List {
    state: State,
    fault: Fault,
    deadline: Time,
    config: Config,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Opening,
    Header,
    Answer,
    Done,
    Failed,
}

impl List {
    /// Asks once.
    pub fn new(config: Config) -> List {
        List { state: State::Opening, fault: Fault::default(), deadline: Time::ZERO, config }
    }

    fn step(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        ended: bool,
    ) -> Result<Option<Protocols>, Error> {
        loop {
            match self.state {
                State::Opening => {
                    tx.extend_from_slice(wire::HEADER);
                    tx.extend_from_slice(wire::LS);
                    self.deadline = now + self.config.timeout;
                    self.state = State::Header;
                }
                State::Header => {
                    if !wire::take_header(rx, self.config.max_frame)? {
                        return self.starved(now, ended, Awaited::Header);
                    }
                    self.state = State::Answer;
                }
                State::Answer => {
                    if wire::is_na(rx) {
                        return Err(Error::ListRefused);
                    }
                    let Some(frame) = wire::frame(rx, self.config.max_list)? else {
                        return self.starved(now, ended, Awaited::List);
                    };
                    let len = frame.whole.len();
                    let names = parse(frame.name, self.config.max_listed)?;
                    wire::consume(rx, len);
                    self.state = State::Done;
                    self.deadline = Time::NEVER;
                    return Ok(Some(names.into()));
                }
                State::Done => return Ok(None),
                State::Failed => return Err(self.fault.get()),
            }
        }
    }
}

machine!(List => Protocols, deadline: |machine| machine.deadline);

/// Appends the answer to `ls`: as many whole names as `max` bytes hold, at least the empty list.
pub(crate) fn put<'a>(tx: &mut BytesMut, names: impl Iterator<Item = &'a Protocol> + Clone, max: usize) {
    let mut len: usize = 1; // the newline at the end
    let mut count: usize = 0;
    for name in names.clone() {
        let with = len.saturating_add(wire::framed_len(name.as_bytes()));
        if with > max {
            break;
        }
        len = with;
        count += 1;
    }
    tx.reserve(wire::length_len(len) + len);
    wire::put_length(tx, len);
    for name in names.take(count) {
        wire::put(tx, name.as_bytes());
    }
    tx.extend_from_slice(b"\n");
}

/// The names in the body of a list, without its last newline. Words of multistream-select itself are left out.
fn parse(body: &[u8], limit: usize) -> Result<Vec<Protocol>, Error> {
    let mut names = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let at = body.len() - rest.len();
        // A frame that would reach over the end of the list is as wrong as a malformed one.
        let Ok(Some(frame)) = wire::frame(rest, rest.len()) else { return Err(Error::BadList { at }) };
        match core::str::from_utf8(frame.name).map(Protocol::new) {
            Ok(Ok(name)) if names.len() < limit => names.push(name),
            Ok(Ok(_)) => return Err(Error::ListTooLong { limit }),
            Ok(Err(NameError::Reserved)) => {}
            Ok(Err(_)) | Err(_) => return Err(Error::BadList { at }),
        }
        rest = rest.get(frame.whole.len()..).unwrap_or_default();
    }
    Ok(names)
}
