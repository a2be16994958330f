//! What is compared: the actions of a step, and what the host counts, as hashes of their text.
//!
//! Text, because every action prints itself completely, and because the hash is then the same on every machine. Memory is left
//! out: it depends on the width of pointers and on how the standard library grows its buffers.

use crate::{Action, Host, Misuse};
use core::fmt::{self, Write};
use core::hash::Hasher;
use siphasher::sip::SipHasher13;
use tidewire_core::{EventMachine, Time};

/// What a host counts, and when it wants to be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct State {
    /// Connections, those in their upgrade among them.
    pub connections: u64,
    /// Wishes for streams that were not answered yet.
    pub openings: u64,
    /// What the connection manager counts.
    pub manager: tidewire_connmgr::Counts,
    /// When it wants to be called again.
    pub deadline: Time,
}

impl State {
    /// Of this host, now.
    pub fn of(host: &Host) -> State {
        State {
            connections: host.connections().fold(0, |count, _| count + 1),
            openings: host.openings().fold(0, |count, _| count + 1),
            manager: host.manager().counts(),
            deadline: host.deadline(),
        }
    }

    pub(super) fn hash(&self) -> u64 {
        let mut text = Text::new();
        text.put(self);
        text.0.finish()
    }
}

/// What came of a step: how many actions, and the hash of all their text and of the misuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) actions: u64,
    pub(super) hash: u64,
}

impl Outcome {
    /// `None`: nothing came of it.
    pub(super) fn of<'a>(actions: impl Iterator<Item = &'a Action>, misuse: Option<&Misuse>) -> Option<Outcome> {
        let mut text = Text::new();
        let mut count = 0;
        for action in actions {
            count += 1;
            text.put(action);
        }
        if let Some(misuse) = misuse {
            text.put(misuse);
        }
        (count > 0 || misuse.is_some()).then(|| Outcome { actions: count, hash: text.0.finish() })
    }
}

/// Hashes what is printed, without keeping it.
struct Text(SipHasher13);

impl Text {
    fn new() -> Self {
        Text(SipHasher13::new())
    }

    fn put(&mut self, value: &impl fmt::Debug) {
        // A hasher takes everything.
        let _ = writeln!(self, "{value:?}");
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
