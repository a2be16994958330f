//! Where a name leads, and connecting to one of several addresses.

use std::fmt;
use std::io;
use std::net::ToSocketAddrs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tidewire_adapter::{ConnectedSocket, DnsAddr, Found, LocalPort, Race, Target, dial_fault};
use tidewire_connmgr::dial::DialFault;
use tidewire_core::{Multiaddr, PeerId};
use tidewire_host::LocalEnd;

/// Asks the domain name system for TXT records.
pub trait TxtResolver: fmt::Debug + Send + Sync {
    /// The records of a name, which ends in a dot. Called from the thread of a dial, which waits.
    ///
    /// # Errors
    /// There is no answer.
    fn txt(&self, name: &str) -> io::Result<Vec<String>>;
}

/// Connects to an address, to any of what its name stands for, from the port of `from` if that can be. `None`: aborted.
pub(crate) fn dial(
    (peer, address): (PeerId, &Multiaddr),
    from: Option<&LocalEnd>,
    txt: Option<&dyn TxtResolver>,
    aborted: &AtomicBool,
) -> Result<Option<ConnectedSocket>, DialFault> {
    let mut found = Found::default();
    for address in &targets(address, peer, txt) {
        // What is no address for TCP another driver may dial.
        if let Ok(target) = Target::parse(address) {
            found.add(&target, target.question().to_socket_addrs());
        }
    }
    let mut race = Race::new(found.sockets()?, from.and_then(LocalPort::of));
    while !aborted.load(Ordering::Relaxed) {
        if let Some(connected) = race.look().map_err(|error| dial_fault(&error))? {
            return Ok(Some(connected));
        }
        thread::sleep(race.pause());
    }
    Ok(None)
}

/// What an address stands for: without a resolver, itself.
fn targets(address: &Multiaddr, peer: PeerId, txt: Option<&dyn TxtResolver>) -> Vec<Multiaddr> {
    let Some(txt) = txt else { return vec![address.clone()] };
    let mut resolving = DnsAddr::new(address.clone(), Some(peer));
    while let Some(name) = resolving.question() {
        // Of several names, one that leads nowhere is of no matter.
        let Ok(records) = txt.txt(&name) else { continue };
        resolving.answer(records.iter().map(String::as_str));
    }
    resolving.found()
}
