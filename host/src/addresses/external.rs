//! Addresses beyond our interfaces: where each is from, and how far it is believed.

use alloc::vec::Vec;
use tidewire_core::Multiaddr;

/// Whether peers on the internet can dial us at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum NatStatus {
    /// Nobody could tell yet.
    #[default]
    Unknown,
    /// They can.
    Public,
    /// They can't.
    Private,
}

/// Who says that an address is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// Peers that see us there.
    Observed {
        /// Different networks of these.
        by: u32,
    },
    /// A router that forwards it to us (UPnP, NAT-PMP, PCP).
    Mapped,
    /// The application, or its configuration.
    Manual,
}

/// What came of having others dial an address (AutoNAT).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reachability {
    /// Nobody tried, or they don't agree.
    #[default]
    Unknown,
    /// They got through.
    Reachable,
    /// They didn't.
    Unreachable,
}

/// How far an address is believed. Later ones more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Confidence {
    /// Others tried, and it doesn't lead to us.
    Refuted,
    /// Nobody says that it is ours; it is only known what came of dialing it.
    Unclaimed,
    /// Others see us there.
    Observed {
        /// Different networks of these.
        by: u32,
    },
    /// A router says so.
    Mapped,
    /// The application says so.
    Manual,
    /// Others dialed it, and got through.
    Verified,
}

/// An address, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct External {
    /// Without our peer id.
    pub address: Multiaddr,
    /// The application says that it is ours.
    pub manual: bool,
    /// A router does.
    pub mapped: bool,
    /// Networks that see us there; 0 if none do.
    pub observers: u32,
    /// What came of having others dial it.
    pub reachability: Reachability,
}

/// Why an address isn't taken as external.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalError {
    /// Relayed addresses are kept apart: they end with a reservation.
    #[error("{address} goes through a relay: it is a relayed address, not an external one")]
    Relayed {
        /// The address.
        address: Multiaddr,
    },
    /// Nobody could dial it.
    #[error("nobody could dial {address}: expected an address with an IP address or a name, and no port 0")]
    Undialable {
        /// The address.
        address: Multiaddr,
    },
    /// The table is full.
    #[error("there are {max} external addresses already")]
    Full {
        /// The cap.
        max: usize,
    },
}

/// The table of external addresses. An entry lives as long as somebody says that it is ours, or something came of dialing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Externals {
    max: usize,
    /// Sorted by address.
    rows: Vec<External>,
}

impl Externals {
    /// The cap by default.
    pub const MAX: usize = 256;

    /// An empty table for at most `max` addresses.
    pub const fn new(max: usize) -> Self {
        Externals { max, rows: Vec::new() }
    }

    /// Somebody says that an address is ours. Whether that changed anything.
    ///
    /// # Errors
    /// It can't be external, or there is no room.
    pub fn add(&mut self, address: &Multiaddr, source: Source) -> Result<bool, ExternalError> {
        self.change(address, |row| match source {
            Source::Manual => row.manual = true,
            Source::Mapped => row.mapped = true,
            Source::Observed { by } => row.observers = by.max(1),
        })
    }

    /// They no longer say so; of [`Source::Observed`] the number doesn't matter. Whether that changed anything.
    pub fn remove(&mut self, address: &Multiaddr, source: Source) -> bool {
        self.change_known(address, |row| match source {
            Source::Manual => row.manual = false,
            Source::Mapped => row.mapped = false,
            Source::Observed { .. } => row.observers = 0,
        })
    }

    /// What came of having others dial an address, which may be one of a listener too. Whether that changed anything.
    ///
    /// # Errors
    /// It can't be external, or there is no room.
    pub fn dialed(&mut self, address: &Multiaddr, reachability: Reachability) -> Result<bool, ExternalError> {
        if reachability == Reachability::Unknown {
            return Ok(self.change_known(address, |row| row.reachability = reachability));
        }
        self.change(address, |row| row.reachability = reachability)
    }

    /// The network changed: what came of dialing says nothing any more.
    pub fn forget_dials(&mut self) {
        self.rows.iter_mut().for_each(|row| row.reachability = Reachability::Unknown);
        self.rows.retain(External::is_of_use);
    }

    /// All of them, sorted by address.
    pub fn as_slice(&self) -> &[External] {
        &self.rows
    }

    /// What is known of an address.
    pub fn get(&self, address: &Multiaddr) -> Option<&External> {
        let at = self.find(&address.without_peer_id()).ok()?;
        self.rows.get(at)
    }

    /// Bytes on the heap. Addresses are counted though they may be shared.
    pub fn memory_used(&self) -> usize {
        let addresses = self.rows.iter().map(|row| row.address.memory_used()).sum::<usize>();
        self.rows.capacity() * size_of::<External>() + addresses
    }

    fn find(&self, address: &Multiaddr) -> Result<usize, usize> {
        self.rows.binary_search_by(|row| row.address.cmp(address))
    }

    fn change(&mut self, address: &Multiaddr, with: impl FnOnce(&mut External)) -> Result<bool, ExternalError> {
        let address = address.without_peer_id();
        if let Err(at) = self.find(&address) {
            check(&address)?;
            if self.rows.len() >= self.max {
                return Err(ExternalError::Full { max: self.max });
            }
            self.rows.insert(at, External::unclaimed(address.clone()));
        }
        Ok(self.change_known(&address, with))
    }

    fn change_known(&mut self, address: &Multiaddr, with: impl FnOnce(&mut External)) -> bool {
        let Ok(at) = self.find(&address.without_peer_id()) else { return false };
        let Some(row) = self.rows.get_mut(at) else { return false };
        let before = row.clone();
        with(row);
        let changed = *row != before;
        if !row.is_of_use() {
            self.rows.remove(at);
        }
        changed
    }
}

impl Default for Externals {
    fn default() -> Self {
        Externals::new(Self::MAX)
    }
}

impl External {
    /// An address of which nothing is known.
    pub const fn unclaimed(address: Multiaddr) -> Self {
        External { address, manual: false, mapped: false, observers: 0, reachability: Reachability::Unknown }
    }

    /// How far it is believed. What came of dialing it outweighs what anybody says, but for the application: a tunnel may
    /// lead to us though nobody in reach got through.
    pub const fn confidence(&self) -> Confidence {
        match self.reachability {
            Reachability::Reachable => Confidence::Verified,
            _ if self.manual => Confidence::Manual,
            Reachability::Unreachable => Confidence::Refuted,
            Reachability::Unknown if self.mapped => Confidence::Mapped,
            Reachability::Unknown if self.observers > 0 => Confidence::Observed { by: self.observers },
            Reachability::Unknown => Confidence::Unclaimed,
        }
    }

    /// Whether somebody says that it is ours.
    pub const fn is_claimed(&self) -> bool {
        self.manual || self.mapped || self.observers > 0
    }

    fn is_of_use(&self) -> bool {
        self.is_claimed() || self.reachability != Reachability::Unknown
    }
}

fn check(address: &Multiaddr) -> Result<(), ExternalError> {
    if address.is_relayed() {
        return Err(ExternalError::Relayed { address: address.clone() });
    }
    if address.is_empty() || address.is_unspecified() || address.port() == Some(0) {
        return Err(ExternalError::Undialable { address: address.clone() });
    }
    Ok(())
}
