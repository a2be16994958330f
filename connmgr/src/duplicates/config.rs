//! How many connections a pair of peers may have, and why more are left alone.

use core::fmt;
use core::time::Duration;

/// How many connections a pair of peers may have.
///
/// The durations are design values: the model check of the rule holds for any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct DuplicatesConfig {
    /// Connections that a pair may keep. Default 1. 0 is taken as 1; `u32::MAX` switches the rule off.
    pub per_peer: u32,
    /// How long a superseded connection that we initiated drains before it is closed, streams or not. Default 5 s.
    pub grace: Duration,
    /// How long one that the remote initiated, and that has no streams, waits until we close it in its place. `None`: for ever.
    /// Default 2 min: the remote, if it follows the rule, closed it long before.
    pub long_grace: Option<Duration>,
    /// Closes by this rule for one peer within the window, after which duplicates are tolerated. Counted are those of connections
    /// that came after the close before. Default 3. 0: never close; `u32::MAX`: never tolerate.
    pub budget: u32,
    /// The window. Default 10 min. Below 1 s it is taken as 1 s.
    pub window: Duration,
    /// Most connections of one pair that are ranked; further ones are left alone. Default 16. Below 2 it is taken as 2.
    pub max_connections: u32,
}

impl Default for DuplicatesConfig {
    fn default() -> Self {
        DuplicatesConfig {
            per_peer: 1,
            grace: Duration::from_secs(5),
            long_grace: Some(Duration::from_secs(120)),
            budget: 3,
            window: Duration::from_secs(600),
            max_connections: 16,
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
