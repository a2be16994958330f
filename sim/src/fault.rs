//! Why a run can't go on: a node that keeps the world from moving.

use crate::node::HostId;
use tidewire_core::Time;

/// A node keeps the world from moving. Final: every further run returns it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The node was told that its deadline has come, did nothing, and still has the same deadline.
    #[error(
        "the node on {host} spins: at {now:?} it was told that its deadline has come ({times} x), and its deadline is still \
         {deadline:?}. It must move, or go, when it is handled"
    )]
    Spin {
        /// Where.
        host: HostId,
        /// When.
        now: Time,
        /// Its deadline, then and before.
        deadline: Time,
        /// How often it was told at this instant.
        times: u32,
    },
    /// The node is called again and again, and time does not pass: two ends that answer each other over a link that takes no
    /// time, say.
    #[error("the node on {host} was called {calls} times at {now:?}, and no time passes")]
    Endless {
        /// Where.
        host: HostId,
        /// When.
        now: Time,
        /// How often.
        calls: u32,
    },
}
