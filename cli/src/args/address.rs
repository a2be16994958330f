//! Addresses on the command line.
//!
//! ```text
//!  to listen      /ip4/../tcp/PORT                             or, at a relay, RELAY/p2p-circuit
//!  to announce    /ip4/../tcp/PORT    not 0; a name will do
//!  to dial        /ip4/../tcp/PORT[/p2p/PEER]                  a name will do
//!  a relay        the same, perhaps with /p2p-circuit at its end
//!  a circuit      /ip4/../tcp/PORT/p2p/RELAY/p2p-circuit/p2p/PEER
//! ```

use super::{Unusable, fail};
use tidewire_core::{Component, Multiaddr};

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Listen,
    Announce,
    Dial,
    Relay,
    Circuit,
}

/// An address of TCP with nothing on top that we don't speak, perhaps with a relay on the way. That of a relay is given without
/// `/p2p-circuit`.
pub(super) fn address(what: &str, text: &str, purpose: Purpose) -> Result<Multiaddr, Unusable> {
    let whole: Multiaddr = text.parse().map_err(|error| Unusable(format!("{what}: {error}")))?;
    let Some((relay, behind)) = whole.split_circuit() else {
        if purpose == Purpose::Circuit {
            return fail(format!(
                "{what}: {whole}: no relay is on the way; expected /ip4/../tcp/PORT/p2p/RELAY/p2p-circuit/p2p/PEER"
            ));
        }
        return tcp(what, &whole, purpose).map(|()| whole);
    };
    if relay.is_relayed() {
        return fail(format!("{what}: {whole}: a circuit inside a circuit is not possible"));
    }
    if relay.is_empty() {
        return fail(format!(
            "{what}: {whole}: where is the relay? expected /ip4/../tcp/PORT/p2p/RELAY before /p2p-circuit"
        ));
    }
    tcp(what, &relay, Purpose::Dial)?;
    let named = relay.peer_id().is_some();
    match purpose {
        Purpose::Dial => fail(format!("{what}: {whole} leads through a relay: tidewire dial-circuit does that")),
        Purpose::Announce => fail(format!("{what}: {whole}: what relays hold for us is announced by itself")),
        Purpose::Listen | Purpose::Circuit if !named => {
            fail(format!("{what}: {whole}: which relay? expected /p2p/RELAY before /p2p-circuit"))
        }
        Purpose::Listen | Purpose::Relay if !behind.is_empty() => {
            fail(format!("{what}: {whole}: nothing is expected behind /p2p-circuit, got {behind}"))
        }
        Purpose::Circuit if behind.peer_id().is_none() || behind.iter().count() != 1 => {
            fail(format!("{what}: {whole}: whom to reach? expected /p2p/PEER behind /p2p-circuit"))
        }
        Purpose::Circuit if behind.peer_id() == relay.peer_id() => {
            fail(format!("{what}: {whole}: the relay and the peer are one; tidewire dial goes there without a circuit"))
        }
        Purpose::Relay => Ok(relay),
        Purpose::Listen | Purpose::Circuit => Ok(whole),
    }
}

/// The part up to a relay, or all of it.
fn tcp(what: &str, address: &Multiaddr, purpose: Purpose) -> Result<(), Unusable> {
    let to_listen = purpose == Purpose::Listen;
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
        Some(Component::Tcp(0)) if purpose == Purpose::Announce => {
            return fail(format!("{what}: {address}: nobody can dial port 0"));
        }
        Some(Component::Tcp(0)) if !to_listen => return fail(format!("{what}: {address}: port 0 can't be dialed")),
        Some(Component::Tcp(_)) => {}
        None => return fail(format!("{what}: {address}: /tcp/PORT is missing at the end")),
        Some(other) => return fail(format!("{what}: {address}: expected /tcp/PORT, got /{}", other.name())),
    }
    let ours = matches!(purpose, Purpose::Listen | Purpose::Announce);
    match parts.next() {
        None => Ok(()),
        Some(Component::P2p(_)) if parts.peek().is_none() && !ours => Ok(()),
        Some(Component::P2p(_)) if ours => {
            fail(format!("{what}: {address}: who we are is not part of where we are; leave /p2p/... out"))
        }
        Some(other) => {
            let after = if matches!(other, Component::P2p(_)) { parts.next().unwrap_or(other) } else { other };
            fail(format!("{what}: {address}: this is plain TCP, /{} can't be spoken on it", after.name()))
        }
    }
}
