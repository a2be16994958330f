//! The commands about relays, and what all have in common that serve others.

use super::address::{Purpose, address};
use super::words::{Word, bytes, fail, is_help, next, number, seconds, text, value};
use super::{Command, Mapping, Node, Punching, Unusable, given, only_one, socket};
use crate::help;
use lexopt::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tidewire_core::Multiaddr;

/// Of a node that others come to.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    pub(crate) addresses: Vec<Multiaddr>,
    /// Where others reach us, though we don't listen there.
    pub(crate) announce: Vec<Multiaddr>,
    pub(crate) max_connections: Option<u32>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) control: Option<PathBuf>,
    pub(crate) mapping: Mapping,
    pub(crate) node: Node,
}

#[derive(Debug)]
pub(crate) struct Listen {
    pub(crate) serving: Serving,
    /// At which reservations are held.
    pub(crate) relays: Vec<Multiaddr>,
    pub(crate) punching: Punching,
}

/// `None`: what the configuration says.
#[derive(Debug, Default)]
pub(crate) struct Relay {
    pub(crate) serving: Serving,
    pub(crate) data_limit: Option<u64>,
    pub(crate) duration: Option<Duration>,
    pub(crate) reservations: Option<u32>,
    pub(crate) ttl: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Reserve {
    pub(crate) relay: Multiaddr,
    pub(crate) punching: Punching,
    pub(crate) serving: Serving,
}

pub(super) fn listen(parser: &mut Parser) -> Result<Command, Unusable> {
    let (mut serving, mut relays, mut punching) = (Serving::default(), Vec::new(), Punching::default());
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::LISTEN)),
            Word::Option(o) if o == "--auto-relay" => relays.extend(some_relays(parser)?),
            Word::Option(o) if punching.option(&o) || serving.mapping.option(&o, parser)? => {}
            Word::Value(word) => {
                return fail(format!("{word:?} is in the way; addresses to listen on come behind --listen"));
            }
            Word::Option(option) => serving.option(&option, parser, "tidewire listen --help")?,
        }
    }
    if relays.is_empty() && !serving.addresses.iter().any(Multiaddr::is_relayed) {
        punching.check()?;
    }
    // Who is reached through relays punches holes too.
    let usual = if relays.is_empty() { serving.usual() } else { super::EVERYWHERE };
    serving.check(Some(usual))?;
    Ok(Command::Listen(Listen { serving, relays, punching }))
}

pub(super) fn relay(parser: &mut Parser) -> Result<Command, Unusable> {
    let mut relay = Relay::default();
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::RELAY)),
            Word::Option(o) if o == "--data-limit" => relay.data_limit = Some(bytes(parser, "--data-limit")?),
            Word::Option(o) if o == "--duration" => relay.duration = Some(seconds(parser, "--duration")?),
            Word::Option(o) if o == "--reservations" => {
                let room = number(parser, "--reservations")?;
                if room == 0 {
                    return fail("--reservations: expected 1 at least");
                }
                relay.reservations = Some(room);
            }
            Word::Option(o) if o == "--ttl" => {
                let ttl = seconds(parser, "--ttl")?;
                if ttl < Duration::from_secs(1) {
                    return fail("--ttl: expected 1 second at least");
                }
                relay.ttl = Some(ttl);
            }
            Word::Option(o) if relay.serving.mapping.option(&o, parser)? => {}
            Word::Value(word) => {
                return fail(format!("{word:?} is in the way; addresses to listen on come behind --listen"));
            }
            Word::Option(option) => relay.serving.option(&option, parser, "tidewire relay --help")?,
        }
    }
    relay.serving.check(Some(relay.serving.usual()))?;
    Ok(Command::Relay(relay))
}

pub(super) fn reserve(parser: &mut Parser) -> Result<Command, Unusable> {
    let (mut serving, mut to, mut punching) = (Serving::default(), None, Punching::default());
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::RESERVE)),
            Word::Option(o) if punching.option(&o) || serving.mapping.option(&o, parser)? => {}
            Word::Value(word) => only_one(&mut to, word, "reserve", Purpose::Relay)?,
            Word::Option(option) => serving.option(&option, parser, "tidewire reserve --help")?,
        }
    }
    let listen = (!punching.off || serving.mapping.on).then_some(super::EVERYWHERE);
    serving.check(listen)?;
    Ok(Command::Reserve(Reserve { relay: given(to, RELAY)?, punching, serving }))
}

const RELAY: &str = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW...";

/// One, or several behind one another.
fn some_relays(parser: &mut Parser) -> Result<Vec<Multiaddr>, Unusable> {
    let option = "--auto-relay";
    let Ok(words) = parser.values() else { return fail(format!("{option}: a value is missing behind it")) };
    words
        .map(|word| {
            let word = super::utf8(option, word)?;
            address(option, &word, Purpose::Relay)
        })
        .collect()
}

impl Serving {
    pub(super) fn option(&mut self, option: &str, parser: &mut Parser, hint: &str) -> Result<(), Unusable> {
        match option {
            "--listen" => self.addresses.push(address(option, &text(parser, option)?, Purpose::Listen)?),
            "--announce" => self.announce.push(address(option, &text(parser, option)?, Purpose::Announce)?),
            "--max-connections" => {
                let most = number(parser, option)?;
                if most == 0 {
                    return fail("--max-connections: expected 1 at least");
                }
                self.max_connections = Some(most);
            }
            "--metrics" => self.metrics = Some(socket(parser, option)?),
            "--control" => self.control = Some(value(parser, option)?.into()),
            _ => self.node.option(option, parser, hint)?,
        }
        Ok(())
    }

    /// Where it listens if that isn't said.
    pub(super) const fn usual(&self) -> &'static str {
        if self.mapping.on { super::EVERYWHERE } else { super::LISTEN_ADDRESS }
    }

    /// `listen`: where it listens if that isn't said.
    pub(super) fn check(&mut self, listen: Option<&str>) -> Result<(), Unusable> {
        self.mapping.check(&self.addresses, self.node.config.is_some())?;
        if let Some(usual) = listen.filter(|_| self.addresses.is_empty()) {
            self.addresses.push(address("--listen", usual, Purpose::Listen)?);
        }
        self.node.check()
    }
}
