//! The file: frames with a check, written and read.

use super::digest::Outcome;
use crate::{Config, Input};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::{BufMut, BytesMut};
use core::hash::Hasher;
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use smol_str::SmolStr;
use tidewire_core::{PeerId, decode_varint};

pub(super) const MAGIC: &[u8; 12] = b"tidewire-rec";
pub(super) const VERSION: u8 = 1;
/// Bytes of a frame's body. No input is near it: what peers say is capped at 8 KiB.
pub(super) const MAX_FRAME: usize = 1 << 22;
/// Room that is always left for the end.
pub(super) const END_LEN: usize = 16;

const CHECK_LEN: usize = 4;

const HEADER: u8 = 0;
const INPUT: u8 = 1;
const TIMEOUT: u8 = 2;
const OUTCOME: u8 = 3;
const STATE: u8 = 4;
const END: u8 = 5;

/// What the header holds.
#[derive(Serialize, Deserialize)]
pub(super) struct HeaderBody {
    pub(super) version: SmolStr,
    pub(super) seed: [u8; 32],
    pub(super) local: PeerId,
    pub(super) epoch: u64,
    pub(super) config: Config,
}

/// A frame.
pub(super) enum Frame {
    Header(Box<HeaderBody>),
    Input { delta: u64, input: Input },
    Timeout { delta: u64 },
    Outcome(Outcome),
    State(u64),
    End(u8),
}

/// Why a frame can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// The file ends within it.
    Cut,
    /// Its check is wrong.
    Damaged,
    /// Its check is right, and it can't be understood.
    Unknown,
}

/// The running check of a file.
#[derive(Clone, Debug)]
struct Check(SipHasher13);

impl Check {
    fn take(&mut self, bytes: &[u8]) -> u32 {
        self.0.write(bytes);
        // The lower half.
        (self.0.finish() & u64::from(u32::MAX)).try_into().unwrap_or_default()
    }
}

/// Writes frames.
pub(super) struct Writer {
    check: Check,
    /// The frame that is being written.
    body: Vec<u8>,
}

impl Writer {
    pub(super) fn new() -> Self {
        let mut check = Check(SipHasher13::new());
        check.take(MAGIC);
        check.take(&[VERSION]);
        Writer { check, body: Vec::new() }
    }

    pub(super) fn header(&mut self, header: &HeaderBody) -> bool {
        self.begin(HEADER);
        self.value(header)
    }

    /// Whether it could be written.
    pub(super) fn input(&mut self, delta: u64, input: &Input) -> bool {
        self.begin(INPUT);
        self.number(delta);
        self.value(input)
    }

    pub(super) fn timeout(&mut self, delta: u64) {
        self.begin(TIMEOUT);
        self.number(delta);
    }

    pub(super) fn outcome(&mut self, outcome: Outcome) {
        self.begin(OUTCOME);
        self.number(outcome.actions);
        self.body.extend_from_slice(&outcome.hash.to_le_bytes());
    }

    pub(super) fn state(&mut self, hash: u64) {
        self.begin(STATE);
        self.body.extend_from_slice(&hash.to_le_bytes());
    }

    pub(super) fn end(&mut self, code: u8) {
        self.begin(END);
        self.body.push(code);
    }

    /// Bytes that the frame has in the file.
    pub(super) fn len(&self) -> usize {
        varint_len(self.body.len() as u64) + self.body.len() + CHECK_LEN
    }

    /// The frame is good: out with it.
    pub(super) fn commit(&mut self, out: &mut BytesMut) {
        let start = out.len();
        out.reserve(self.len());
        put_varint(out, self.body.len() as u64);
        out.extend_from_slice(&self.body);
        let check = self.check.take(out.get(start..).unwrap_or_default());
        out.put_u32_le(check);
        if self.body.capacity() > 1 << 16 {
            self.body = Vec::new();
        }
    }

    pub(super) fn memory_used(&self) -> usize {
        self.body.capacity()
    }

    fn begin(&mut self, kind: u8) {
        self.body.clear();
        self.body.push(kind);
    }

    fn number(&mut self, number: u64) {
        put_varint(&mut self.body, number);
    }

    fn value(&mut self, value: &impl Serialize) -> bool {
        postcard::serialize_with_flavor(value, Append(&mut self.body)).is_ok() && self.body.len() <= MAX_FRAME
    }
}

/// Lets postcard write behind what is there.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Reads frames.
#[derive(Debug)]
pub(super) struct Reader {
    check: Check,
    pub(super) at: usize,
}

impl Reader {
    /// Behind the magic and the version.
    pub(super) fn new() -> Self {
        let Writer { check, .. } = Writer::new();
        Reader { check, at: MAGIC.len() + 1 }
    }

    /// The next frame, which stays next if it is not taken: see [`Reader::take`]. `None`: the file ends here.
    pub(super) fn peek(&self, file: &[u8]) -> Option<Result<Frame, Bad>> {
        let rest = file.get(self.at..).unwrap_or_default();
        if rest.is_empty() { None } else { Some(self.frame(rest)) }
    }

    /// Goes behind the frame that was just peeked at.
    pub(super) fn take(&mut self, file: &[u8]) {
        let rest = file.get(self.at..).unwrap_or_default();
        if let Some((header, body)) = lengths(rest) {
            let whole = header + body;
            self.check.take(rest.get(..whole).unwrap_or_default());
            self.at += whole + CHECK_LEN;
        }
    }

    fn frame(&self, rest: &[u8]) -> Result<Frame, Bad> {
        match decode_varint(rest) {
            Ok(Some((len, _))) if len <= MAX_FRAME as u64 => {}
            Ok(None) => return Err(Bad::Cut),
            _ => return Err(Bad::Damaged),
        }
        let (header, body) = lengths(rest).ok_or(Bad::Damaged)?;
        let whole = header + body;
        let [a, b, c, d] = rest.get(whole..whole + CHECK_LEN).ok_or(Bad::Cut)? else { return Err(Bad::Cut) };
        let said = u32::from_le_bytes([*a, *b, *c, *d]);
        if self.check.clone().take(rest.get(..whole).ok_or(Bad::Cut)?) != said {
            return Err(Bad::Damaged);
        }
        let (kind, body) = rest.get(header..whole).and_then(<[u8]>::split_first).ok_or(Bad::Unknown)?;
        parse(*kind, body).ok_or(Bad::Unknown)
    }
}

fn parse(kind: u8, body: &[u8]) -> Option<Frame> {
    match kind {
        HEADER => exact(postcard::take_from_bytes(body).ok()?).map(|header| Frame::Header(Box::new(header))),
        INPUT => {
            let (delta, rest) = number(body)?;
            let input = exact(postcard::take_from_bytes(rest).ok()?)?;
            Some(Frame::Input { delta, input })
        }
        TIMEOUT => exact(number(body)?).map(|delta| Frame::Timeout { delta }),
        OUTCOME => {
            let (actions, rest) = number(body)?;
            let hash = u64::from_le_bytes(rest.try_into().ok()?);
            Some(Frame::Outcome(Outcome { actions, hash }))
        }
        STATE => Some(Frame::State(u64::from_le_bytes(body.try_into().ok()?))),
        END => match body {
            [code] => Some(Frame::End(*code)),
            _ => None,
        },
        _ => None,
    }
}

/// Nothing may follow.
fn exact<T>((value, rest): (T, &[u8])) -> Option<T> {
    rest.is_empty().then_some(value)
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    postcard::take_from_bytes(bytes).ok()
}

/// Bytes of a frame's length, and of its body.
fn lengths(rest: &[u8]) -> Option<(usize, usize)> {
    let (len, header) = decode_varint(rest).ok()??;
    let body = usize::try_from(len).ok().filter(|len| *len <= MAX_FRAME)?;
    Some((header, body))
}

fn put_varint(out: &mut impl BufMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8((number & 0x7f) as u8);
}

fn varint_len(number: u64) -> usize {
    let bits = u64::BITS - (number | 1).leading_zeros();
    bits.div_ceil(7) as usize
}
