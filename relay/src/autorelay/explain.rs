//! What AutoRelay has, and what it waits for, for a person.

use super::AutoRelay;
use super::candidates::Stage;
use crate::autonat::Reachability;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use tidewire_core::{PeerId, Time};

/// What AutoRelay has, and what it waits for. `Display` gives a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether others can connect to us, as it was told.
    pub reachability: Reachability,
    /// How many relays are wanted.
    pub wanted: u32,
    /// Those that are held.
    pub held: Vec<PeerId>,
    /// Those that are asked.
    pub asked: Vec<PeerId>,
    /// Candidates that are known, those in use not counted.
    pub candidates: usize,
    /// Of them, those being connected and identified.
    pub probing: usize,
    /// Of them, those that will do.
    pub fit: usize,
    /// Of them, those left alone for what happened.
    pub backing_off: usize,
    /// What it waits for.
    pub waiting: Waiting,
    /// When we are advertised as a relay ourselves; `None`: we aren't.
    pub advertise: Option<Duration>,
}

/// What AutoRelay waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// Nothing: we are public, and need no relay.
    NotNeeded,
    /// Nothing: as many relays are held as are wanted.
    Complete,
    /// A relay's answer, for so long.
    Reservation(Duration),
    /// The boot delay's end.
    BootDelay(Duration),
    /// Candidates to be connected and identified, for so long.
    Probes(Duration),
    /// The source; asked again in so long. `None`: it isn't asked.
    Source(Option<Duration>),
    /// The moment when the first candidate that failed may be tried again.
    Backoff(Duration),
}

impl AutoRelay {
    /// What it has, and what it waits for.
    pub fn explain(&self, now: Time) -> Explanation {
        let of = |is: &dyn Fn(Stage) -> bool| -> Vec<PeerId> {
            self.candidates.all.iter().filter(|(_, known)| is(known.stage)).map(|(peer, _)| *peer).collect()
        };
        let count = |is: fn(Stage) -> bool| self.candidates.count(is);
        let due = self.advertiser.due();
        Explanation {
            reachability: self.reachability,
            wanted: self.config.relays,
            held: of(&|stage| matches!(stage, Stage::Held { .. })),
            asked: of(&|stage| matches!(stage, Stage::Asking { .. })),
            candidates: count(|stage| !stage.is_in_use()),
            probing: count(|stage| matches!(stage, Stage::Probing { .. })),
            fit: count(|stage| stage == Stage::Fit),
            backing_off: count(|stage| matches!(stage, Stage::Backoff { .. })),
            waiting: self.waiting(now),
            advertise: (!due.is_never()).then(|| due.since(now)),
        }
    }

    fn waiting(&self, now: Time) -> Waiting {
        if !self.running {
            return Waiting::NotNeeded;
        }
        let first = |is: fn(Stage) -> bool| {
            let stages = self.candidates.all.values().map(|known| known.stage).filter(|stage| is(*stage));
            stages.map(Stage::deadline).min().map(|at| at.since(now))
        };
        if self.candidates.count(|stage| matches!(stage, Stage::Held { .. })) >= self.wanted() {
            return Waiting::Complete;
        }
        if let Some(left) = first(|stage| matches!(stage, Stage::Asking { .. })) {
            return Waiting::Reservation(left);
        }
        let probes = first(|stage| matches!(stage, Stage::Probing { .. }));
        // Those that were named don't wait for it.
        let named = |stage: fn(Stage) -> bool| self.candidates.all.values().any(|it| it.is_static && stage(it.stage));
        if let Some(left) = probes.filter(|_| named(Stage::is_usable)) {
            return Waiting::Probes(left);
        }
        if self.boot_until > now && self.candidates.count(Stage::is_usable) > 0 {
            return Waiting::BootDelay(self.boot_until.since(now));
        }
        if let Some(left) = probes {
            return Waiting::Probes(left);
        }
        let find = self.find_due().map(|due| due.since(now));
        match first(|stage| matches!(stage, Stage::Backoff { .. })) {
            Some(left) if find.is_none_or(|find| left < find) => Waiting::Backoff(left),
            _ => Waiting::Source(find),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, asked, secs) = (self.held.len(), self.asked.len(), Duration::as_secs);
        write!(f, "{} of {} relays held", held, self.wanted)?;
        if asked > 0 {
            write!(f, ", {asked} asked")?;
        }
        write!(
            f,
            "; {} candidates ({} fit, {} being connected, {} left alone); reachability {}; ",
            self.candidates, self.fit, self.probing, self.backing_off, self.reachability
        )?;
        match &self.waiting {
            Waiting::NotNeeded => f.write_str("no relay is needed"),
            Waiting::Complete => f.write_str("nothing is missing"),
            Waiting::Reservation(left) => write!(f, "waits for a relay's answer, {} s at most", secs(left)),
            Waiting::BootDelay(left) => write!(f, "waits {} s for the boot delay", secs(left)),
            Waiting::Probes(left) => write!(f, "waits for candidates to identify themselves, {} s at most", secs(left)),
            Waiting::Source(Some(left)) => write!(f, "waits for the source, which is asked again in {} s", secs(left)),
            Waiting::Source(None) => f.write_str("waits for candidates; the source isn't asked"),
            Waiting::Backoff(left) => write!(f, "waits {} s until a candidate that failed is tried again", secs(left)),
        }?;
        match &self.advertise {
            Some(left) => write!(f, "; advertises itself in {} s", secs(left)),
            None => Ok(()),
        }
    }
}
