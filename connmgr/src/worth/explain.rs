//! Why a peer would be closed or not, for a person.

use super::peers::Place;
use super::{Entry, Worth};
use crate::table::PeerIx;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::Time;

/// What the watermarks say about a peer, as things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// What would become of it.
    pub fate: Fate,
    /// Connections of all peers, those that are closing left out.
    pub connections: u32,
    /// Those of them that may be closed: of peers that are neither protected nor in their grace.
    pub may_be_closed: u32,
    /// The low watermark.
    pub low: u32,
    /// The high watermark.
    pub high: u32,
    /// How long until a trim is tried; `None` while there are too few connections, or trimming is off.
    pub next_trim: Option<Duration>,
}

/// What would become of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// There is nothing to close.
    NotConnected {
        /// Tags that wait for a connection.
        tags: u32,
        /// Reasons for protection that wait for one.
        reasons: Vec<SmolStr>,
    },
    /// Its connections are closing already.
    Closing,
    /// It may not be closed.
    Protected {
        /// Why.
        reasons: Vec<SmolStr>,
    },
    /// It has a young connection, and is not closed yet.
    InGrace {
        /// For how long still.
        left: Duration,
        /// The sum of its tags.
        value: i32,
    },
    /// It may be closed, but others go before it.
    Kept {
        /// Where it stands.
        rank: Rank,
    },
    /// A trim would close it.
    WouldClose {
        /// Where it stands.
        rank: Rank,
    },
}

/// Where a peer stands among those that may be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rank {
    /// The sum of its tags.
    pub value: i32,
    /// How many tags that is.
    pub tags: u32,
    /// Its streams.
    pub streams: u32,
    /// Its place in the order: 1 goes first.
    pub place: u32,
    /// Peers that may be closed.
    pub of: u32,
    /// Connections of those that go before it.
    pub before: u32,
    /// Connections that a trim would close at least; 0 if trimming is off.
    pub must_go: u32,
}

impl Worth {
    /// What would become of a peer, and why. Linear in the number of peers.
    pub(crate) fn explain(&self, now: Time, peer: PeerIx) -> Verdict {
        let mut verdict = Verdict {
            fate: Fate::Closing,
            connections: self.sums.total(),
            may_be_closed: 0,
            low: self.config.low,
            high: self.config.high,
            next_trim: Some(self.next_trim()).filter(|next| !next.is_never()).map(|next| next.since(now)),
        };
        // Graces that ended are settled lazily, so that the heap of candidates may lack some.
        let candidates = (0u32..).zip(&self.entries).filter(|(_, entry)| match entry.place {
            Place::Candidate => true,
            Place::Grace => entry.newest + self.config.grace <= now,
            _ => false,
        });
        let mine = self.entry(peer.0).map(|entry| (entry.order(), peer.0));
        let mut rank = Rank { value: self.value(peer), tags: 0, streams: 0, place: 1, of: 0, before: 0, must_go: 0 };
        for (other, entry) in candidates {
            verdict.may_be_closed = verdict.may_be_closed.saturating_add(entry.connections);
            rank.of = rank.of.saturating_add(1);
            if mine.is_some_and(|mine| (entry.order(), other) < mine) {
                rank.place = rank.place.saturating_add(1);
                rank.before = rank.before.saturating_add(entry.connections);
            }
        }
        if !self.is_off() {
            rank.must_go = verdict.may_be_closed.saturating_sub(self.config.low);
        }
        verdict.fate = self.fate(now, peer, rank);
        verdict
    }

    fn fate(&self, now: Time, peer: PeerIx, rank: Rank) -> Fate {
        let tags = self.details(peer).map_or(0, |details| u32::try_from(details.count()).unwrap_or(u32::MAX));
        let reasons = || self.protections(peer).map(SmolStr::new).collect();
        let rank = Rank { tags, streams: self.entry(peer.0).map_or(0, |entry| entry.streams), ..rank };
        match self.entry(peer.0) {
            None | Some(Entry { place: Place::Absent, .. }) => Fate::NotConnected { tags, reasons: reasons() },
            Some(Entry { place: Place::Chosen, .. }) => Fate::Closing,
            Some(Entry { place: Place::Protected, .. }) => Fate::Protected { reasons: reasons() },
            Some(Entry { place: Place::Grace, newest, .. }) if *newest + self.config.grace > now => {
                Fate::InGrace { left: (*newest + self.config.grace).since(now), value: rank.value }
            }
            Some(_) if rank.before < rank.must_go => Fate::WouldClose { rank },
            Some(_) => Fate::Kept { rank },
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fate {
            Fate::NotConnected { tags, reasons } => {
                f.write_str("not connected")?;
                if *tags > 0 {
                    write!(
                        f,
                        "; {} {} for a connection",
                        Count(*tags, "tag"),
                        if *tags == 1 { "waits" } else { "wait" }
                    )?;
                }
                if !reasons.is_empty() {
                    write!(f, "; once it is, it is protected for {}", List(reasons))?;
                }
                Ok(())
            }
            Fate::Closing => f.write_str("being closed already"),
            Fate::Protected { reasons } => write!(f, "would not be closed: it is protected for {}", List(reasons)),
            Fate::InGrace { left, value } => {
                write!(f, "would not be closed for another {left:?}: it is in its grace, and its value is {value}; ")?;
                self.say_when(f)
            }
            Fate::Kept { rank } if self.is_off() => {
                f.write_str("would not be closed: trimming is off; ")?;
                rank.say_worth(f)
            }
            Fate::Kept { rank } => {
                write!(f, "would be kept by a trim: {}, and {rank}; ", MustGo(self, rank))?;
                self.say_when(f)
            }
            Fate::WouldClose { rank } => {
                let which = if self.next_trim.is_some() { "the next trim" } else { "a trim" };
                write!(f, "would be closed by {which}: {}, and {rank}; ", MustGo(self, rank))?;
                self.say_when(f)
            }
        }
    }
}

impl Verdict {
    fn is_off(&self) -> bool {
        self.low == 0 || self.high == 0
    }

    fn say_when(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { connections, high, .. } = self;
        let verb = if *connections == 1 { "is" } else { "are" };
        let there = format_args!("there {verb} {}", Count(*connections, "connection"));
        match self.next_trim {
            _ if self.is_off() => f.write_str("trimming is off"),
            Some(Duration::ZERO) => write!(f, "a trim is due now: {there}, and the high watermark is {high}"),
            Some(left) => write!(f, "a trim comes in {left:?}: {there}, and the high watermark is {high}"),
            None => write!(f, "no trim comes below the high watermark of {high}: {there}"),
        }
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.place, self.of) {
            (_, ..=1) => f.write_str("it is the only peer that may be closed")?,
            (..=1, of) => write!(f, "it is the first of {of} peers to go")?,
            (place, of) => {
                write!(f, "it is number {place} of {of} peers to go, after {}", Count(self.before, "connection"))?;
            }
        }
        f.write_str(": ")?;
        self.say_worth(f)
    }
}

impl Rank {
    fn say_worth(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its value is {} (", self.value)?;
        match self.tags {
            0 => f.write_str("no tags")?,
            tags => write!(f, "{}", Count(tags, "tag"))?,
        }
        match self.streams {
            0 => f.write_str("), and it has no streams"),
            streams => write!(f, "), and it has {}", Count(streams, "stream")),
        }
    }
}

/// How many of how many connections must go, and why.
struct MustGo<'a>(&'a Verdict, &'a Rank);

impl fmt::Display for MustGo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MustGo(Verdict { low, may_be_closed, .. }, Rank { must_go, .. }) = self;
        let of = Count(*may_be_closed, "connection");
        match must_go {
            0 => write!(f, "nothing must go ({of} may be closed, and the low watermark is {low})"),
            _ => write!(f, "{must_go} of the {of} that may be closed must go (the low watermark is {low})"),
        }
    }
}

/// A number of things.
struct Count(u32, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count(count, thing) = self;
        write!(f, "{count} {thing}{}", if *count == 1 { "" } else { "s" })
    }
}

/// Names in quotes, with "and" before the last one.
struct List<'a>(&'a [SmolStr]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.0.iter().enumerate() {
            let before = match place {
                0 => "",
                _ if place + 1 == self.0.len() => " and ",
                _ => ", ",
            };
            write!(f, "{before}{name:?}")?;
        }
        Ok(())
    }
}
