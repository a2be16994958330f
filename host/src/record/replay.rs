//! Runs a recorded host again, and compares.
//!
//! ```text
//!  Replay::new --header--> step --> step --> ... --> Ending
//!                           |  Identical | Differs | Unknown
//! ```

use super::digest::{Outcome, State};
use super::format::{Bad, Frame, HeaderBody, MAGIC, Reader, VERSION};
use super::recorder::Stop;
use crate::{Action, Config, Host, Input, Misuse};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::{EventMachine, PeerId, Seed, Time, UnixTime};

/// A recording that can't even be begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It begins with something else.
    #[error("this is no recording: it does not begin with \"tidewire-rec\"")]
    Magic,
    /// Another version of the format.
    #[error("the recording has version {got} of the format, this program reads version {expected}")]
    Version {
        /// The version that is read here.
        expected: u8,
        /// The version found.
        got: u8,
    },
    /// The header is not complete.
    #[error("the recording ends within its header: nothing of it can be replayed")]
    Cut,
    /// The header's check is wrong.
    #[error("the recording's header is damaged: its check is wrong")]
    Damaged,
    /// The header is whole, and can't be understood.
    #[error(
        "the recording's header can't be understood: it is by another version of tidewire-host than this one, {}",
        env!("CARGO_PKG_VERSION")
    )]
    Header,
}

/// What a recording says of the recorded host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The version of this crate that recorded it.
    pub version: SmolStr,
    /// Who it was.
    pub local: PeerId,
    /// What the wall clock said at [`Time::ZERO`].
    pub epoch: UnixTime,
    /// How it behaved.
    pub config: Config,
}

/// A call of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// It was told something.
    Input(Input),
    /// Time passed.
    Timeout,
}

/// Whether the host did what it did when it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It did.
    Identical,
    /// It did something else. From here on nothing is certain.
    Actions {
        /// How many actions there were then.
        then: u64,
        /// How many there are now.
        now: u64,
    },
    /// It did the same, and its state is another one: the cause lies before this step.
    State,
    /// The recording does not say: it ends here. If the process died within this step, this is what it was told.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Identical => f.write_str("identical"),
            Verdict::Actions { then, now } if then == now => write!(f, "other actions than then, {now} as then"),
            Verdict::Actions { then, now } => write!(f, "{now} actions, then {then}"),
            Verdict::State => f.write_str("the same actions, but another state than then"),
            Verdict::Unknown => f.write_str("not known: the recording ends here"),
        }
    }
}

/// A step, run again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Which, from 0.
    pub number: u64,
    /// When.
    pub at: Time,
    /// What the host was told.
    pub what: What,
    /// The misuse that it answered with.
    pub misuse: Option<Misuse>,
    /// What it did now.
    pub actions: Vec<Action>,
    /// Its state behind this step.
    pub state: State,
    /// Whether it did the same then.
    pub verdict: Verdict,
}

impl Step {
    /// It did the same then.
    pub fn identical(&self) -> bool {
        self.verdict == Verdict::Identical
    }
}

/// How a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It was finished.
    Finished,
    /// The recording ended before its host, for this reason.
    Stopped(Stop),
    /// Nothing follows byte `at`, and no end was written: the process was killed, the disk was full, or it still runs.
    Cut {
        /// Bytes up to which it is whole.
        at: u64,
        /// Bytes behind them, of a frame that is not complete.
        rest: u64,
    },
    /// What stands at byte `at` was changed after it was written.
    Damaged {
        /// Bytes up to which it is whole.
        at: u64,
    },
    /// What stands at byte `at` is whole and can't be understood: it was recorded by another version.
    NotUnderstood {
        /// Bytes up to which it is whole.
        at: u64,
    },
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Finished => f.write_str("the recording was finished"),
            Ending::Stopped(why) => write!(f, "the recording ended before its host: {why}"),
            Ending::Cut { at, rest: 0 } => {
                write!(f, "the recording stops after {at} bytes without an end: its process was killed, or still runs")
            }
            Ending::Cut { at, rest } => {
                write!(f, "the recording is cut: {rest} bytes behind byte {at} are the beginning of a frame")
            }
            Ending::Damaged { at } => write!(f, "the recording is damaged behind byte {at}: a check is wrong"),
            Ending::NotUnderstood { at } => write!(
                f,
                "the recording can't be understood behind byte {at}: it is by another version of tidewire-host than this \
                 one, {}",
                env!("CARGO_PKG_VERSION")
            ),
        }
    }
}

/// A recorded host that runs again: an iterator of its steps. It ends where the recording does; [`Replay::ending`] says how.
pub struct Replay {
    file: Bytes,
    reader: Reader,
    header: Header,
    host: Host,
    now: Time,
    number: u64,
    ending: Option<Ending>,
}

impl Replay {
    /// Reads the header, and sets the host up.
    ///
    /// # Errors
    /// This is no recording, or not one that this version can read.
    pub fn new(file: &[u8]) -> Result<Replay, ReplayError> {
        let body = file
            .strip_prefix(MAGIC)
            .ok_or_else(|| if MAGIC.starts_with(file) { ReplayError::Cut } else { ReplayError::Magic })?;
        let got = *body.first().ok_or(ReplayError::Cut)?;
        if got != VERSION {
            return Err(ReplayError::Version { expected: VERSION, got });
        }
        let mut reader = Reader::new();
        let header = match reader.peek(file) {
            None | Some(Err(Bad::Cut)) => return Err(ReplayError::Cut),
            Some(Err(Bad::Damaged)) => return Err(ReplayError::Damaged),
            Some(Ok(Frame::Header(header))) => header,
            Some(_) => return Err(ReplayError::Header),
        };
        reader.take(file);
        let HeaderBody { version, seed, local, epoch, config } = *header;
        let epoch = UnixTime::from_secs(epoch);
        Ok(Replay {
            file: Bytes::copy_from_slice(file),
            reader,
            host: Host::new(config.clone(), local, &Seed::new(seed), epoch),
            header: Header { version, local, epoch, config },
            now: Time::ZERO,
            number: 0,
            ending: None,
        })
    }

    /// What the recording says of the recorded host.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The host as it is now.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// How the recording ends. `None`: there are more steps.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    fn run(&mut self, delta: u64, what: What) -> Step {
        // Counted from the host's own clock, which a misuse does not move.
        let at = self.now + Duration::from_nanos(delta);
        let misuse = match &what {
            What::Input(input) => self.host.handle(at, input.clone()).err(),
            What::Timeout => {
                self.host.on_timeout(at);
                None
            }
        };
        if misuse.is_none() {
            self.now = at;
        }
        let actions: Vec<Action> = core::iter::from_fn(|| self.host.poll()).collect();
        let state = State::of(&self.host);
        let verdict = self.compare(Outcome::of(actions.iter(), misuse.as_ref()), &state);
        let number = self.number;
        self.number += 1;
        Step { number, at, what, misuse, actions, state, verdict }
    }

    /// Reads what the recording says of the step that was just run.
    fn compare(&mut self, now: Option<Outcome>, state: &State) -> Verdict {
        let then = match self.reader.peek(&self.file) {
            Some(Ok(Frame::Outcome(outcome))) => {
                self.reader.take(&self.file);
                Some(outcome)
            }
            Some(Ok(Frame::End(code))) if Stop::of_code(code).is_some() => return Verdict::Unknown,
            Some(Ok(_)) => None,
            Some(Err(_)) | None => return Verdict::Unknown,
        };
        let mut same = true;
        if let Some(Ok(Frame::State(hash))) = self.reader.peek(&self.file) {
            self.reader.take(&self.file);
            same = hash == state.hash();
        }
        if then != now {
            let count = |outcome: Option<Outcome>| outcome.map_or(0, |outcome| outcome.actions);
            return Verdict::Actions { then: count(then), now: count(now) };
        }
        if same { Verdict::Identical } else { Verdict::State }
    }

    fn end(&mut self, ending: Ending) -> Option<Step> {
        self.ending = Some(ending);
        None
    }
}

impl Iterator for Replay {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.ending.is_some() {
            return None;
        }
        let at = self.reader.at as u64;
        match self.reader.peek(&self.file) {
            None => self.end(Ending::Cut { at, rest: 0 }),
            Some(Err(Bad::Cut)) => self.end(Ending::Cut { at, rest: (self.file.len() as u64).saturating_sub(at) }),
            Some(Err(Bad::Damaged)) => self.end(Ending::Damaged { at }),
            Some(Err(Bad::Unknown) | Ok(Frame::Header(_) | Frame::Outcome(_) | Frame::State(_))) => {
                self.end(Ending::NotUnderstood { at })
            }
            Some(Ok(Frame::End(0))) => self.end(Ending::Finished),
            Some(Ok(Frame::End(code))) => {
                self.end(Stop::of_code(code).map_or(Ending::NotUnderstood { at }, Ending::Stopped))
            }
            Some(Ok(Frame::Input { delta, input })) => {
                self.reader.take(&self.file);
                Some(self.run(delta, What::Input(input)))
            }
            Some(Ok(Frame::Timeout { delta })) => {
                self.reader.take(&self.file);
                Some(self.run(delta, What::Timeout))
            }
        }
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("header", &self.header)
            .field("number", &self.number)
            .field("now", &self.now)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}
