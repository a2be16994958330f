//! Addresses on the command line.

use super::{Unusable, fail};
use tidewire_core::{Component, Multiaddr};

/// An address of TCP, with nothing on top that we don't speak.
pub(super) fn address(what: &str, text: &str, to_listen: bool) -> Result<Multiaddr, Unusable> {
    let address: Multiaddr = text.parse().map_err(|error| Unusable(format!("{what}: {error}")))?;
    let mut parts = address.iter().peekable();
    match parts.next() {
        Some(Component::Ip6Zone(_)) if matches!(parts.peek(), Some(Component::Ip6(_))) => {
            parts.next();
        }
        Some(Component::Ip4(_) | Component::Ip6(_)) => {}
        Some(Component::Dns(_) | Component::Dns4(_) | Component::Dns6(_)) if !to_listen => {}
        _ if to_listen => return fail(format!("{what}: {address}: expected /ip4/... or /ip6/... first")),
        _ => return fail(format!("{what}: {address}: expected /ip4, /ip6, /dns, /dns4 or /dns6 first")),
    }
    match parts.next() {
        Some(Component::Tcp(0)) if !to_listen => return fail(format!("{what}: {address}: port 0 can't be dialed")),
        Some(Component::Tcp(_)) => {}
        None => return fail(format!("{what}: {address}: /tcp/PORT is missing at the end")),
        Some(other) => return fail(format!("{what}: {address}: expected /tcp/PORT, got /{}", other.name())),
    }
    match parts.next() {
        None => Ok(address),
        Some(Component::P2p(_)) if parts.peek().is_none() && !to_listen => Ok(address),
        Some(Component::P2p(_)) if to_listen => {
            fail(format!("{what}: {address}: who we are is not part of where to listen; leave /p2p/... out"))
        }
        Some(other) => {
            let after = if matches!(other, Component::P2p(_)) { parts.next().unwrap_or(other) } else { other };
            fail(format!("{what}: {address}: this is plain TCP, /{} can't be spoken on it", after.name()))
        }
    }
}
