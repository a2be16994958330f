//! A report in words: one sentence that says what happened, why, and what to do about it.
//!
//! Of several reasons the first of these is given: the upgrade that failed, a NAT with a new port per destination (ours, then
//! theirs), local ports, then what most dials came to.

use super::{Dial, End, Failure, How, Outcome, Report, Side};
use crate::DialFault;
use crate::candidate::{Path, Unfit, Wire};
use crate::nat::{Guess, Sight, TheirNat};
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use tidewire_core::Multiaddr;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            End::Upgraded { address, how, after, .. } => upgraded(f, address, *how, *after),
            End::Failed(failure) => self.failed(f, failure),
        }
    }
}

fn upgraded(f: &mut fmt::Formatter<'_>, address: &Multiaddr, how: How, after: Duration) -> fmt::Result {
    let (at, after) = (At(address), after.as_millis());
    match how {
        How::Direct => write!(f, "connected without a punch {after} ms after the start: {at} answers as it is"),
        How::Dialed { number } => {
            write!(f, "punched through on try {number}, {after} ms after the start: our dial reached {at}")
        }
        How::Accepted { number: 0 } => write!(f, "connected {after} ms after the start: the peer reached us from {at}"),
        How::Accepted { number } => {
            write!(
                f,
                "punched through on try {number}, {after} ms after the start: the peer's dial reached us from {at}"
            )
        }
        How::Elsewhere => write!(f, "there is a direct connection to {at} that the punch did not make"),
    }
}

impl Report {
    fn failed(&self, f: &mut fmt::Formatter<'_>, failure: &Failure) -> fmt::Result {
        match failure {
            Failure::NothingOfOurs => f.write_str(
                "nobody sees this node at a public address yet, so it has none to tell; connect to more peers, or map a port",
            ),
            Failure::NothingOfTheirs => self.nothing_of_theirs(f),
            Failure::NotSpoken => {
                f.write_str("the peer does not speak /libp2p/dcutr; use the relay, or a node that is public")
            }
            Failure::Exchange(fault) => write!(f, "agreeing over the relay failed: {fault}"),
            Failure::NoAnswer => self.no_answer(f),
            Failure::NoFurtherTry => {
                self.no_answer(f)?;
                f.write_str("; the peer made no further try")
            }
            Failure::Lost => {
                f.write_str("a direct connection came up, and was lost before both ends knew of it; it may work next time")
            }
            Failure::RelayLost => {
                f.write_str("the relayed connection ended before both ends could agree; connect through the relay again")
            }
            Failure::TheirTurn => f.write_str("the peer began a punch at the same time, and carries it on"),
            Failure::NetworkChanged => f.write_str("the network of this machine changed; the next attempt starts afresh"),
            Failure::Cancelled => f.write_str("it was cancelled"),
            Failure::Shutdown => f.write_str("the node shut down"),
        }
    }

    fn nothing_of_theirs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = || self.tries.iter().flat_map(|one| &one.theirs_dropped);
        let Some(first) = all().next() else {
            return f.write_str("the peer named no address of its own; it may not know that others see it at one");
        };
        if all().all(|dropped| dropped.why == Unfit::NotPublic) {
            return write!(f, "the peer named only addresses that are not public, such as {}", first.address);
        }
        write!(f, "the peer named no address that can be dialed: {} is not, {}", first.address, first.why)
    }

    fn no_answer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = || self.dials().filter_map(fault);
        let failed_upgrade = faults().find_map(|fault| match fault {
            DialFault::Upgrade(why) => Some(why),
            _ => None,
        });
        if let Some(why) = failed_upgrade {
            return write!(f, "a connection came up, but its upgrade failed: {why}");
        }
        if let Some((first, second)) = self.our_nat.iter().find_map(|guess| self.changed(guess)) {
            return write!(
                f,
                "your NAT gives a new port per destination: {}; use a relay or map a port",
                Became(&first.seen, &second.seen)
            );
        }
        if let TheirNat::SeveralPorts { ip, ports } = &self.their_nat
            && let [first, .., last] = ports.as_slice()
        {
            let first = SocketAddr::new(*ip, *first);
            return write!(
                f,
                "the peer's NAT seems to give a new port per destination: {first} is also :{last}; use a relay, or map a port there"
            );
        }
        let tries = Tries(self.tries.len());
        let Some(last) = self.dials().last() else {
            return write!(f, "nothing could be dialed in {tries}; use a relay or map a port");
        };
        let (tried, last) = (self.dials().count(), At(&last.address));
        let count = |wanted: &DialFault| faults().filter(|fault| *fault == wanted).count();
        let most = |wanted: DialFault| 2 * count(&wanted) > tried;
        if most(DialFault::LocalPort) {
            f.write_str("the port that others see could not be dialed from: something else holds it and doesn't share")
        } else if most(DialFault::Refused) {
            write!(
                f,
                "the peer's addresses refused in {tries}, such as {last}: a NAT or firewall there answers what it does not \
                 expect; use a relay or map a port"
            )
        } else if most(DialFault::Unreachable) {
            write!(f, "there is no way from this network to the peer's addresses, such as {last}")
        } else if count(&DialFault::AddressNotAvailable) > 0 {
            write!(
                f,
                "the peer's own dial came first in {tries}, but no connection came of it, such as from {last}; it may work next time"
            )
        } else if let Some(sight) =
            self.our_nat.iter().find(|guess| guess.changes_ports()).and_then(|it| it.evidence.last())
        {
            write!(
                f,
                "no address answered in {tries}, such as {last}; your NAT changes ports, maybe for each destination: {}; use a relay \
                 or map a port",
                Became(&sight.local, &sight.seen)
            )
        } else {
            write!(
                f,
                "no address answered in {tries}, such as {last}: a NAT or firewall drops what it does not expect; use a relay or \
                 map a port"
            )
        }
    }

    /// The two observations that show a new port per destination, on a path that was dialed, or if none was.
    fn changed<'a>(&self, guess: &'a Guess) -> Option<(&'a Sight, &'a Sight)> {
        let dialed = |path| self.dials().any(|dial| Path::of(&dial.address) == Some(path));
        if !guess.mapping.depends_on_destination() || (self.dials().next().is_some() && !dialed(guess.path)) {
            return None;
        }
        let mut pairs = guess.evidence.windows(2).filter_map(|pair| match pair {
            [first, second] if first.seen != second.seen => Some((first, second)),
            _ => None,
        });
        pairs.next_back()
    }
}

fn fault(dial: &Dial) -> Option<&DialFault> {
    if let Outcome::Failed(fault) = &dial.outcome { Some(fault) } else { None }
}

/// An address for people: `8.8.8.8:4001 over TCP`.
struct At<'a>(&'a Multiaddr);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.socket_addr(), Wire::of(self.0)) {
            (Some(socket), Some(wire)) => write!(f, "{socket} over {wire}"),
            _ => write!(f, "{}", self.0),
        }
    }
}

/// What one address became for another observer: `8.8.8.8:1 became :2`.
struct Became<'a>(&'a Multiaddr, &'a Multiaddr);

impl fmt::Display for Became<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.socket_addr(), self.1.socket_addr()) {
            (Some(first), Some(second)) if first.ip() == second.ip() => write!(f, "{first} became :{}", second.port()),
            (Some(first), Some(second)) => write!(f, "{first} became {second}"),
            _ => write!(f, "{} became {}", self.0, self.1),
        }
    }
}

/// `1 try`, `3 tries`.
struct Tries(usize);

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, if self.0 == 1 { "try" } else { "tries" })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::A => "A",
            Side::B => "B",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Running => f.write_str("under way"),
            Outcome::Connected(connection) => write!(f, "connected as {connection}"),
            Outcome::Failed(fault) => write!(f, "failed: {fault}"),
            Outcome::Cancelled => f.write_str("given up"),
            Outcome::Datagrams { sent: 1 } => f.write_str("1 datagram sent"),
            Outcome::Datagrams { sent } => write!(f, "{sent} datagrams sent"),
        }
    }
}
