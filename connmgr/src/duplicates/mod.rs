//! One connection between two peers: both sides keep the same one.

use core::fmt;
use core::time::Duration;

/// How many connections a pair of peers may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DuplicatesConfig {
    /// Connections that a pair may keep. Default 1. 0 is taken as 1; `u32::MAX` switches the rule off.
    pub per_peer: u32,
    /// How long a superseded connection that we initiated drains before it is closed. Default 5 s.
    pub grace: Duration,
    /// How long one that the remote initiated, and that has no streams, waits until we close it in its place. `None`: for ever.
    /// Default 2 min.
    pub long_grace: Option<Duration>,
    /// Closes by this rule for one peer within the window, after which duplicates are tolerated. Default 3.
    pub budget: u32,
    /// The window. Default 10 min.
    pub window: Duration,
}

impl Default for DuplicatesConfig {
    fn default() -> Self {
        DuplicatesConfig {
            per_peer: 1,
            grace: Duration::from_secs(5),
            long_grace: Some(Duration::from_secs(120)),
            budget: 3,
            window: Duration::from_secs(600),
        }
    }
}

/// Why duplicates are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tolerated {
    /// This rule closed so many connections to the peer within the window that its dialers seem to follow another one.
    BudgetSpent {
        /// How many.
        closes: u32,
        /// Within which time.
        window: Duration,
    },
}

impl fmt::Display for Tolerated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tolerated::BudgetSpent { closes, window } => {
                write!(f, "{closes} duplicates were closed within {window:?}, and the peer makes new ones")
            }
        }
    }
}
