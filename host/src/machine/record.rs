//! A host that is recorded: see [`record`](crate::record).

use super::{Host, Misuse};
use crate::record::{RecordConfig, Recorder, State};
use crate::{Config, Input};
use alloc::boxed::Box;
use tidewire_core::{PeerId, Seed, Time, UnixTime};

impl Host {
    /// As [`Host::new`], and everything that the host is told is recorded. The seed is written into the recording: give one
    /// that was derived for this host alone.
    pub fn recorded(config: Config, local: PeerId, seed: &Seed, epoch: UnixTime, record: RecordConfig) -> Self {
        let recorder = Recorder::new(record, &config, local, seed, epoch);
        let mut host = Host::new(config, local, seed, epoch);
        host.recorder = Some(Box::new(recorder));
        host
    }

    /// The recording, if there is one: the driver writes its bytes to where they are kept, and finishes it.
    pub fn recorder(&mut self) -> Option<&mut Recorder> {
        self.recorder.as_deref_mut()
    }

    pub(super) fn record_input(&mut self, now: Time, input: &Input) {
        if let Some(recorder) = &mut self.recorder {
            recorder.input(self.now, now, input);
        }
    }

    pub(super) fn record_timeout(&mut self, now: Time) {
        if let Some(recorder) = &mut self.recorder {
            recorder.timeout(self.now, now);
        }
    }

    /// What came of the step: the actions behind the first `before`, which are of steps before it.
    pub(super) fn record_outcome(&mut self, before: usize, misuse: Option<&Misuse>) {
        let Some(mut recorder) = self.recorder.take() else { return };
        recorder.outcome(self.actions.iter().skip(before), misuse);
        if recorder.wants_state() {
            recorder.state(&State::of(self));
        }
        self.recorder = Some(recorder);
    }
}
