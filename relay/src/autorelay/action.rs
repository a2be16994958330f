//! What AutoRelay wants done, and what it tells.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_core::{Multiaddr, PeerId};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Ask the source for peers that may be relays. Answered by [`Input::Candidates`](super::Input::Candidates), or not at all.
    Find {
        /// How many there is room for.
        count: u32,
    },
    /// Connect to a candidate, directly, so that it can be identified. Answered by
    /// [`Input::Connected`](super::Input::Connected) and [`Input::Identified`](super::Input::Identified), or
    /// [`Input::ConnectFailed`](super::Input::ConnectFailed).
    Connect {
        /// Who.
        peer: PeerId,
        /// Where. May be empty: where else it is known to be.
        addresses: Vec<Multiaddr>,
    },
    /// Hold a reservation there: [`client::Input::Hold`](crate::client::Input::Hold).
    Hold {
        /// Where.
        relay: PeerId,
        /// At these addresses.
        addresses: Vec<Multiaddr>,
    },
    /// Give it back: [`client::Input::Release`](crate::client::Input::Release).
    Release {
        /// Where.
        relay: PeerId,
    },
    /// Its connections are to stay.
    Protect {
        /// Whose.
        peer: PeerId,
    },
    /// They are as any others again. As often as `Protect`, which go-libp2p forgets.
    Unprotect {
        /// Whose.
        peer: PeerId,
    },
    /// Announce these addresses, and no others: to connected peers by identify/push, and wherever else. Said when they are others
    /// than before; sorted.
    Announce(
        /// All of them.
        Vec<Multiaddr>,
    ),
    /// Let others find us as a relay. Answered by [`Input::Advertised`](super::Input::Advertised) or
    /// [`Input::AdvertiseFailed`](super::Input::AdvertiseFailed).
    Advertise {
        /// Under this key.
        key: SmolStr,
        /// For so long.
        ttl: Duration,
    },
    /// Don't any more, as far as that can be taken back.
    Withdraw {
        /// Under this key.
        key: SmolStr,
    },
    /// Tell the application.
    Event(Event),
}

/// What the application may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// We may not be reachable: relays are looked for.
    Started,
    /// We are public: no relays are needed, and those that were held are given back.
    Stopped,
    /// A relay is held.
    Held {
        /// Which.
        relay: PeerId,
    },
    /// A relay is none for us, or not any more; another one is looked for.
    Dropped {
        /// Which.
        relay: PeerId,
        /// Why.
        why: Dropped,
        /// How long it is left alone.
        pause: Duration,
    },
}

/// Why a relay is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dropped {
    /// There is no connection to it.
    Unreachable,
    /// It did not say in time which protocols it speaks.
    NotIdentified,
    /// It does not speak the hop protocol.
    NoRelay,
    /// It gives no reservation.
    Refused,
    /// It did not answer, or not in time.
    NoAnswer,
    /// The reservation is lost.
    Lost,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dropped::Unreachable => "there is no connection to it",
            Dropped::NotIdentified => "it did not identify itself in time",
            Dropped::NoRelay => "it does not speak the hop protocol",
            Dropped::Refused => "it gives no reservation",
            Dropped::NoAnswer => "it did not answer in time",
            Dropped::Lost => "its reservation is lost",
        })
    }
}
