//! Writes what a host is told, and what came of it, into a buffer that the driver empties.

use super::digest::{Outcome, State};
use super::format::{END_LEN, HeaderBody, MAGIC, VERSION, Writer};
use crate::{Action, Config, Input, Misuse};
use bytes::{BufMut, BytesMut};
use core::fmt;
use smol_str::SmolStr;
use tidewire_core::{PeerId, Seed, Time, UnixTime};

/// How a recording is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct RecordConfig {
    /// Bytes that wait for the driver. A driver that leaves more behind ends the recording; the host goes on. Default 1 MiB.
    pub max_buffer: usize,
    /// Bytes of the whole recording. Default 1 GiB.
    pub max_bytes: u64,
    /// After how many steps the host's state is noted down, to be compared. 0: never. Default 64.
    pub state_every: u32,
}

impl Default for RecordConfig {
    fn default() -> Self {
        RecordConfig { max_buffer: 1 << 20, max_bytes: 1 << 30, state_every: 64 }
    }
}

/// Why a recording ended before its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stop {
    /// The driver did not take what was recorded.
    #[error("what was recorded was not written in time: more bytes waited than `max_buffer` allows")]
    Buffer,
    /// The recording is as long as it may be.
    #[error("it is as long as `max_bytes` allows")]
    Length,
    /// The driver gave it up: it can't write, the disk is full, say.
    #[error("it was given up by whoever wrote it")]
    GivenUp,
    /// An input can't be written.
    #[error("an input was too large to be written")]
    Input,
}

impl Stop {
    pub(super) fn code(self) -> u8 {
        match self {
            Stop::Buffer => 1,
            Stop::Length => 2,
            Stop::GivenUp => 3,
            Stop::Input => 4,
        }
    }

    pub(super) fn of_code(code: u8) -> Option<Stop> {
        [Stop::Buffer, Stop::Length, Stop::GivenUp, Stop::Input].into_iter().find(|stop| stop.code() == code)
    }
}

/// What is recorded of a host: see [`Host::recorded`](crate::Host::recorded).
///
/// ```text
///  Recording --finish--> Finished
///      '--max_buffer, max_bytes, stop--> Stopped       the host goes on
/// ```
pub struct Recorder {
    config: RecordConfig,
    writer: Writer,
    out: BytesMut,
    stage: Stage,
    bytes: u64,
    steps: u64,
    /// Steps since the state was noted down.
    since_state: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Recording,
    Finished,
    Stopped(Stop),
}

impl Recorder {
    pub(crate) fn new(record: RecordConfig, config: &Config, local: PeerId, seed: &Seed, epoch: UnixTime) -> Self {
        let mut recorder = Recorder {
            config: record,
            writer: Writer::new(),
            out: BytesMut::new(),
            stage: Stage::Recording,
            bytes: MAGIC.len() as u64 + 1,
            steps: 0,
            since_state: 0,
        };
        recorder.out.put_slice(MAGIC);
        recorder.out.put_u8(VERSION);
        let header = HeaderBody {
            version: SmolStr::new_static(env!("CARGO_PKG_VERSION")),
            seed: *seed.as_bytes(),
            local,
            epoch: epoch.as_secs(),
            config: config.clone(),
        };
        let written = recorder.writer.header(&header);
        recorder.commit(written);
        recorder
    }

    /// What is to be written to the file: take the beginning away, as much as was written.
    pub fn bytes(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// The end: nothing is recorded from here on. A recording without it is one of a process that was killed.
    pub fn finish(&mut self) {
        if self.stage == Stage::Recording {
            self.end(Stage::Finished, 0);
        }
    }

    /// Gives the recording up, because it can't be written. What waited is dropped. The host goes on.
    pub fn stop(&mut self) {
        if self.stage == Stage::Recording {
            self.stage = Stage::Stopped(Stop::GivenUp);
        }
        self.out = BytesMut::new();
    }

    /// Why the recording ended before its host. Not an event of the host: a host that is recorded does nothing else than
    /// one that is not. Look here after emptying the buffer.
    pub fn stopped(&self) -> Option<Stop> {
        match self.stage {
            Stage::Stopped(stop) => Some(stop),
            _ => None,
        }
    }

    /// Steps that were recorded.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Bytes of the recording so far, those in the buffer among them.
    pub fn size(&self) -> u64 {
        self.bytes
    }

    /// Bytes on the heap.
    pub fn memory_used(&self) -> usize {
        self.out.capacity() + self.writer.memory_used()
    }

    pub(crate) fn input(&mut self, last: Time, now: Time, input: &Input) {
        if self.stage == Stage::Recording {
            let written = self.writer.input(delta(last, now), input);
            self.step(written);
        }
    }

    pub(crate) fn timeout(&mut self, last: Time, now: Time) {
        if self.stage == Stage::Recording {
            self.writer.timeout(delta(last, now));
            self.step(true);
        }
    }

    pub(crate) fn outcome<'a>(&mut self, actions: impl Iterator<Item = &'a Action>, misuse: Option<&Misuse>) {
        if self.stage == Stage::Recording
            && let Some(outcome) = Outcome::of(actions, misuse)
        {
            self.writer.outcome(outcome);
            self.commit(true);
        }
    }

    /// Whether the state is to be noted down now.
    pub(crate) fn wants_state(&self) -> bool {
        let every = self.config.state_every;
        self.stage == Stage::Recording && every > 0 && self.since_state >= every
    }

    pub(crate) fn state(&mut self, state: &State) {
        self.since_state = 0;
        self.writer.state(state.hash());
        self.commit(true);
    }

    fn step(&mut self, written: bool) {
        self.commit(written);
        if self.stage == Stage::Recording {
            self.steps += 1;
            self.since_state = self.since_state.saturating_add(1);
        }
    }

    /// Puts the frame into the buffer if there is room for it and for the end.
    fn commit(&mut self, written: bool) {
        let len = self.writer.len();
        let stop = if !written {
            Some(Stop::Input)
        } else if self.out.len().saturating_add(len + END_LEN) > self.config.max_buffer {
            Some(Stop::Buffer)
        } else if self.bytes.saturating_add((len + END_LEN) as u64) > self.config.max_bytes {
            Some(Stop::Length)
        } else {
            None
        };
        match stop {
            None => {
                self.writer.commit(&mut self.out);
                self.bytes = self.bytes.saturating_add(len as u64);
            }
            Some(stop) => self.end(Stage::Stopped(stop), stop.code()),
        }
    }

    fn end(&mut self, stage: Stage, code: u8) {
        self.stage = stage;
        self.writer.end(code);
        self.bytes = self.bytes.saturating_add(self.writer.len() as u64);
        self.writer.commit(&mut self.out);
    }
}

impl fmt::Debug for Recorder {
    // The seed stands in the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("config", &self.config)
            .field("stage", &self.stage)
            .field("steps", &self.steps)
            .field("size", &self.bytes)
            .finish_non_exhaustive()
    }
}

fn delta(last: Time, now: Time) -> u64 {
    now.as_nanos().saturating_sub(last.as_nanos())
}
