//! The words about hole punches, and the command that shows one.

use super::address::{Purpose, address};
use super::words::{Word, fail, is_help, next, seconds, text};
use super::{Command, Node, Unusable, utf8};
use crate::help;
use lexopt::Parser;
use std::time::Duration;
use tidewire_core::{Multiaddr, PeerId};
use tidewire_dcutr::coordinator::Config;

/// How long `tidewire punch` waits: three tries take less.
const PATIENCE: Duration = Duration::from_secs(90);

/// What becomes of circuits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Punching {
    /// They stay as they are.
    pub(crate) off: bool,
    /// Addresses that are not public are told and dialed too.
    pub(crate) private: bool,
}

impl Punching {
    /// Whether the option was one of these.
    pub(super) fn option(&mut self, option: &str) -> bool {
        match option {
            "--no-dcutr" => self.off = true,
            "--private" => self.private = true,
            _ => return false,
        }
        true
    }

    /// Of who has no circuits.
    pub(super) fn check(self) -> Result<(), Unusable> {
        let option = match (self.off, self.private) {
            (true, _) => "--no-dcutr",
            (_, true) => "--private",
            _ => return Ok(()),
        };
        fail(format!("{option} is about circuits, which come through relays; give --auto-relay RELAY too"))
    }

    /// Changes what the configuration says.
    pub(crate) fn apply(self, config: &mut Option<Config>) {
        if self.off {
            *config = None;
        }
        if let Some(config) = config
            && self.private
        {
            config.addresses.allow_private = true;
        }
    }
}

#[derive(Debug)]
pub(crate) struct Punch {
    pub(crate) relay: Multiaddr,
    pub(crate) peer: PeerId,
    pub(crate) wait: Duration,
    pub(crate) private: bool,
    pub(crate) listen: Vec<Multiaddr>,
    pub(crate) announce: Vec<Multiaddr>,
    pub(crate) node: Node,
}

pub(super) fn punch(parser: &mut Parser) -> Result<Command, Unusable> {
    let (mut relay, mut peer, mut private) = (None, None, false);
    let (mut listen, mut announce, mut node, mut wait) = (Vec::new(), Vec::new(), Node::default(), PATIENCE);
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::PUNCH)),
            Word::Option(o) if o == "--wait" => wait = seconds(parser, "--wait")?,
            Word::Option(o) if o == "--private" => private = true,
            Word::Option(o) if o == "--listen" => listen.push(address(&o, &text(parser, &o)?, Purpose::Listen)?),
            Word::Option(o) if o == "--announce" => announce.push(address(&o, &text(parser, &o)?, Purpose::Announce)?),
            Word::Value(word) if relay.is_none() => {
                let word = utf8("RELAY", word)?;
                // The address of a circuit, as tidewire reserve prints it, is both.
                if word.contains("/p2p-circuit/p2p/") {
                    let circuit = address("the address", &word, Purpose::Circuit)?;
                    (relay, peer) = (circuit.split_circuit().map(|(relay, _)| relay), circuit.peer_id());
                } else {
                    relay = Some(address("RELAY", &word, Purpose::Relay)?);
                }
            }
            Word::Value(word) if peer.is_none() => {
                let word = utf8("PEER", word)?;
                peer = Some(word.parse::<PeerId>().map_err(|error| Unusable(format!("PEER: {word:?}: {error}")))?);
            }
            Word::Value(word) => {
                return fail(format!(
                    "{word:?} is one word too many; punch takes RELAY and PEER, or one address of a circuit"
                ));
            }
            Word::Option(option) => node.option(&option, parser, "tidewire punch --help")?,
        }
    }
    node.check()?;
    let Some(relay) = relay else { return fail(format!("expected RELAY and PEER, such as {RELAY} 12D3KooW...")) };
    let Some(peer) = peer else { return fail("whom to reach? expected a peer id behind the relay's address") };
    if relay.peer_id() == Some(peer) {
        return fail("the relay and the peer are one: there is nothing to punch");
    }
    Ok(Command::Punch(Punch { relay, peer, wait, private, listen, announce, node }))
}

const RELAY: &str = "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW...";
