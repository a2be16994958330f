//! What can be configured about the worth of peers, and what can be said about it. Sources: go-libp2p's connection manager,
//! its defaults and its decaying tags.

use core::time::Duration;
use smol_str::SmolStr;

/// Watermarks, grace and tags.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct WorthConfig {
    /// A trim leaves this many connections that may be closed: of peers that are neither protected nor in their grace, which
    /// are not counted here. The order in which the others go stands in the [module](super). 0 switches trimming off.
    /// Default 160 (go-libp2p).
    pub low: u32,
    /// A trim begins at this many connections, protected ones and those in their grace included. 0 switches trimming off.
    /// Default 192 (go-libp2p).
    pub high: u32,
    /// A connection this young is not closed by a trim, nor are others to the same peer. Default 60 s (go-libp2p).
    pub grace: Duration,
    /// Time between two trims, those that found nobody to close included; at least a millisecond. Default 10 s (go-libp2p).
    pub silence: Duration,
    /// How long tags of a peer without a connection are kept, from the first one on. Default 60 s.
    pub early_tags_ttl: Duration,
    /// Peers without a connection whose tags are kept; with more, the least valuable one's are dropped, the oldest among
    /// equals. Default 1,024.
    pub max_early: u32,
    /// Tags of one peer, decaying ones included. Default 32.
    pub max_tags: u32,
    /// Reasons for protection of one peer. Default 32.
    pub max_protections: u32,
    /// Peers without a connection whose protection is remembered. When one more loses its last connection, the one that
    /// has been without for the longest is forgotten; protecting one more that has none is an error. Default 4,096.
    pub max_protected_absent: u32,
    /// Definitions of decaying tags. Default 64.
    pub max_decaying: u32,
    /// Bytes of a tag's or a protection's name. Default 64.
    pub max_name: u32,
    /// Values decay at multiples of this: a tag's interval is rounded up to one. Default 60 s (go-libp2p).
    pub resolution: Duration,
}

impl Default for WorthConfig {
    fn default() -> Self {
        WorthConfig {
            low: 160,
            high: 192,
            grace: Duration::from_secs(60),
            silence: Duration::from_secs(10),
            early_tags_ttl: Duration::from_secs(60),
            max_early: 1024,
            max_tags: 32,
            max_protections: 32,
            max_protected_absent: 4096,
            max_decaying: 64,
            max_name: 64,
            resolution: Duration::from_secs(60),
        }
    }
}

/// How a tag changes. Values saturate; negative ones are welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum TagChange {
    /// To this.
    Set(i32),
    /// By this, from 0 if it isn't there.
    Add(i32),
    /// To `absent` if it isn't there, else by `add`.
    Upsert {
        /// What it becomes if it isn't there.
        absent: i32,
        /// What is added if it is.
        add: i32,
    },
    /// Away.
    Remove,
}

/// How a value decays, once an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Decay {
    /// Not at all.
    None,
    /// Less by this much; gone at 0 and below. A negative one is an error.
    Fixed(i32),
    /// To `numerator / denominator` of it, rounded down; gone at 0 and below. A denominator of 0 is an error, and so is a
    /// numerator above it.
    Linear {
        /// Above the line.
        numerator: u32,
        /// Below the line.
        denominator: u32,
    },
    /// Gone at the first step at which it was not bumped for this long; whole until then.
    ExpireWhenInactive(Duration),
}

/// A tag that decays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DecayingTag {
    /// Time between two steps of decay, rounded up to a multiple of the resolution. All peers step together, at multiples of
    /// this since the definition, so that the first step after a bump may come sooner.
    pub interval: Duration,
    /// What a step does.
    pub decay: Decay,
}

/// How a bump changes a decaying tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Bump {
    /// Adds.
    Unbounded(i32),
    /// Adds, and keeps the sum within these.
    Bounded {
        /// What is added.
        add: i32,
        /// Least sum.
        min: i32,
        /// Greatest sum.
        max: i32,
    },
    /// Replaces.
    Overwrite(i32),
}

/// What the caller did wrong with a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TagError {
    /// No decaying tag of this name was defined.
    #[error("no decaying tag {0:?} was defined")]
    Undefined(SmolStr),
    /// The name is too long or empty.
    #[error("a name has 1 to {max} bytes, this one has {got}")]
    Name {
        /// Most bytes.
        max: u32,
        /// Bytes of this one.
        got: usize,
    },
    /// A cap is reached.
    #[error("there are {cap} {what} already, which is the most")]
    Full {
        /// Of what.
        what: &'static str,
        /// The cap.
        cap: u32,
    },
    /// A decaying tag whose interval or denominator is 0, or that would grow, or a bound whose least is above its greatest.
    #[error("{0}")]
    Nonsense(&'static str),
}
