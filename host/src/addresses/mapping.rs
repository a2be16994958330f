//! What came of having a port mapped at the router: whoever asks routers says it, the table of externals follows, and the
//! application hears of it.

use core::fmt;
use smol_str::SmolStr;
use tidewire_core::Multiaddr;

/// A word about a listener's port at the router. Its [`Display`](fmt::Display) is a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum PortMapping {
    /// The router leads an address to us. Said again, it changes nothing.
    Mapped {
        /// Where we listen.
        listen: Multiaddr,
        /// Where the router is reached for it.
        external: Multiaddr,
        /// How the router was asked: `PCP`, `NAT-PMP`, `UPnP`.
        by: SmolStr,
    },
    /// It does no more.
    Lost {
        /// Where it was reached.
        external: Multiaddr,
        /// Why, in words.
        why: SmolStr,
    },
    /// It could not be had. It is tried again, as long as we listen there.
    Failed {
        /// Where we listen.
        listen: Multiaddr,
        /// Why, in words.
        why: SmolStr,
    },
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortMapping::Mapped { listen, external, by } => {
                write!(f, "the router leads {external} to {listen} ({by})")?;
                match external.ip() {
                    Some(ip) if external.is_private() => {
                        write!(f, ", but {ip} is not on the internet: there is another NAT behind that router")
                    }
                    _ => Ok(()),
                }
            }
            PortMapping::Lost { external, why } => write!(f, "{external} does not lead to us any more: {why}"),
            PortMapping::Failed { listen, why } => write!(f, "the port of {listen} could not be mapped: {why}"),
        }
    }
}
