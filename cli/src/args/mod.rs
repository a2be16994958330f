//! The command line: from words to a [`Command`], or to one line that says why not.

mod address;
mod autonat;
mod mapping;
mod punching;
mod relays;
mod words;

use crate::help;
use crate::{replay, trace};
use address::{Purpose, address};
pub(crate) use autonat::{AutonatClient, AutonatServer};
use lexopt::Parser;
pub(crate) use mapping::Mapping;
pub(crate) use punching::{Punch, Punching};
pub(crate) use relays::{Listen, Relay, Reserve, Serving};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tidewire_core::Multiaddr;
use tidewire_upgrade::connection::Selection;
use tidewire_upgrade::muxer::MuxerKind;
use tidewire_upgrade::pipeline::SecurityKind;
use words::{Word, bytes, fail, is_help, list, next, number, one_of, seconds, text, unknown, utf8, value};

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Listen(Listen),
    Dial(Dial),
    Relay(Relay),
    Reserve(Reserve),
    /// Dials through a relay.
    DialCircuit(Dial),
    /// Shows how a circuit becomes a direct connection.
    Punch(Punch),
    AutonatServer(AutonatServer),
    AutonatClient(AutonatClient),
    Ping(Ping),
    Demo(Demo),
    Id(Id),
    Peers(Peers),
    Replay {
        args: replay::Args,
        json: bool,
    },
    Trace(trace::Args),
    /// Print the configuration: the defaults, with what this file changes.
    Config(Option<PathBuf>),
    /// Print this.
    Print(&'static str),
}

#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) address: Multiaddr,
    pub(crate) size: u64,
    pub(crate) hold: Option<Duration>,
    /// Where we listen meanwhile.
    pub(crate) listen: Vec<Multiaddr>,
    /// Where others reach us, though we don't listen there.
    pub(crate) announce: Vec<Multiaddr>,
    /// Of a circuit: how long a direct connection is waited for.
    pub(crate) wait: Option<Duration>,
    pub(crate) punching: Punching,
    pub(crate) node: Node,
}

#[derive(Debug)]
pub(crate) struct Ping {
    pub(crate) address: Multiaddr,
    pub(crate) count: u32,
    pub(crate) interval: Duration,
    pub(crate) node: Node,
}

#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) size: u64,
    pub(crate) config: Option<PathBuf>,
    pub(crate) record: Option<PathBuf>,
    pub(crate) json: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Id {
    pub(crate) key: Option<PathBuf>,
    pub(crate) seed: Option<u64>,
    pub(crate) json: bool,
}

#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) control: PathBuf,
    pub(crate) json: bool,
}

/// Who we are and what we offer: the options of all commands that run a node. `None`: what the configuration says.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) securities: Option<Vec<SecurityKind>>,
    pub(crate) muxers: Option<Vec<MuxerKind>>,
    pub(crate) selection: Option<Selection>,
    pub(crate) psk: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) seed: Option<u64>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) log: Option<String>,
    pub(crate) record: Option<PathBuf>,
    pub(crate) json: bool,
}

/// Why the command line can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unusable(pub(crate) String);

pub(crate) const LISTEN_ADDRESS: &str = "/ip4/127.0.0.1/tcp/0";
/// Where who waits for a direct connection listens: holes are punched from a port that listens.
pub(crate) const EVERYWHERE: &str = "/ip4/0.0.0.0/tcp/0";
pub(crate) const DIAL_SIZE: u64 = 1 << 20;

/// Bytes that `dial-circuit` has echoed: relays let a circuit carry 128 KiB by default, our encryption and the echo included.
pub(crate) const CIRCUIT_SIZE: u64 = 16 << 10;
pub(crate) const DEMO_SIZE: u64 = 64 << 20;
pub(crate) const PINGS: u32 = 5;
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) const SECURITIES: &[(&str, SecurityKind)] =
    &[("noise", SecurityKind::Noise), ("plaintext", SecurityKind::Plaintext)];
pub(crate) const MUXERS: &[(&str, MuxerKind)] = &[("yamux", MuxerKind::Yamux), ("mplex", MuxerKind::Mplex)];
pub(crate) const SELECTIONS: &[(&str, Selection)] = &[("lazy", Selection::Lazy), ("plain", Selection::Plain)];
const VERSION: &str = concat!("tidewire ", env!("CARGO_PKG_VERSION"), "\n");

type Reader = fn(&mut Parser) -> Result<Command, Unusable>;
/// Each command's name, its help, and who reads its options.
const COMMANDS: &[(&str, &str, Reader)] = &[
    ("listen", help::LISTEN, relays::listen),
    ("dial", help::DIAL, dial),
    ("relay", help::RELAY, relays::relay),
    ("reserve", help::RESERVE, relays::reserve),
    ("dial-circuit", help::DIAL_CIRCUIT, dial_circuit),
    ("punch", help::PUNCH, punching::punch),
    ("autonat-server", help::AUTONAT_SERVER, autonat::server),
    ("autonat-client", help::AUTONAT_CLIENT, autonat::client),
    ("ping", help::PING, ping),
    ("demo", help::DEMO, demo),
    ("id", help::ID, id),
    ("peers", help::PEERS, peers),
    ("replay", help::REPLAY, replay),
    ("trace", help::TRACE, trace),
    ("config", help::CONFIG, config),
];

/// Reads the words behind the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, Unusable> {
    let mut parser = Parser::from_args(words);
    let command = match next(&mut parser)? {
        None => return fail(format!("expected a command: {}; try tidewire --help", commands())),
        Some(Word::Option(o)) if is_help(&o) => return Ok(Command::Print(help::ALL)),
        Some(Word::Option(o)) if o == "--version" || o == "-V" => return Ok(Command::Print(VERSION)),
        Some(Word::Value(word)) => word,
        Some(Word::Option(option)) => return unknown(&option, "tidewire --help"),
    };
    if command == "help" {
        return about(&mut parser);
    }
    let Some((name, _, read)) = COMMANDS.iter().find(|(name, ..)| command == *name) else {
        return fail(format!("{command:?} is not a command; expected {}", commands()));
    };
    read(&mut parser).map_err(|Unusable(why)| Unusable(format!("{name}: {why}")))
}

/// As people write it: the inverse of `--security`.
pub(crate) fn security_name(protocol: &str) -> &str {
    SECURITIES.iter().find(|(_, kind)| kind.protocol() == protocol).map_or(protocol, |(name, _)| name)
}

/// As people write it: the inverse of `--muxer`.
pub(crate) fn muxer_name(kind: MuxerKind) -> &'static str {
    MUXERS.iter().find(|(_, known)| *known == kind).map_or(kind.name(), |(name, _)| name)
}

/// `listen, dial or demo`.
fn commands() -> String {
    let names: Vec<&str> = COMMANDS.iter().map(|(name, ..)| *name).collect();
    match names.split_last() {
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn about(parser: &mut Parser) -> Result<Command, Unusable> {
    let Some(Word::Value(topic)) = next(parser)? else { return Ok(Command::Print(help::ALL)) };
    match COMMANDS.iter().find(|(name, ..)| topic == *name) {
        Some((_, text, _)) => Ok(Command::Print(text)),
        None => fail(format!("there is no help on {topic:?}; expected {}", commands())),
    }
}

fn dial(parser: &mut Parser) -> Result<Command, Unusable> {
    let mut dial = Dialing::new("dial", help::DIAL, Purpose::Dial);
    let help = dial.read(parser)?;
    help.map_or_else(|| Ok(Command::Dial(dial.finish(ADDRESS)?)), |text| Ok(Command::Print(text)))
}

fn dial_circuit(parser: &mut Parser) -> Result<Command, Unusable> {
    let mut dial = Dialing::new("dial-circuit", help::DIAL_CIRCUIT, Purpose::Circuit);
    let help = dial.read(parser)?;
    help.map_or_else(|| Ok(Command::DialCircuit(dial.finish(CIRCUIT)?)), |text| Ok(Command::Print(text)))
}

/// What `dial` and `dial-circuit` are told.
struct Dialing {
    command: &'static str,
    help: &'static str,
    purpose: Purpose,
    to: Option<Multiaddr>,
    size: u64,
    hold: Option<Duration>,
    listen: Vec<Multiaddr>,
    announce: Vec<Multiaddr>,
    wait: Option<Duration>,
    punching: Punching,
    node: Node,
}

impl Dialing {
    fn new(command: &'static str, help: &'static str, purpose: Purpose) -> Self {
        let (listen, announce, node) = (Vec::new(), Vec::new(), Node::default());
        let size = if purpose == Purpose::Circuit { CIRCUIT_SIZE } else { DIAL_SIZE };
        let punching = Punching::default();
        Dialing { command, help, purpose, to: None, size, hold: None, listen, announce, wait: None, punching, node }
    }

    /// The help, if it is asked for.
    fn read(&mut self, parser: &mut Parser) -> Result<Option<&'static str>, Unusable> {
        let circuit = self.purpose == Purpose::Circuit;
        while let Some(arg) = next(parser)? {
            match arg {
                Word::Option(o) if is_help(&o) => return Ok(Some(self.help)),
                Word::Option(o) if o == "--size" => self.size = bytes(parser, "--size")?,
                Word::Option(o) if o == "--hold" => self.hold = Some(seconds(parser, "--hold")?),
                Word::Option(o) if o == "--listen" && circuit => {
                    self.listen.push(address("--listen", &text(parser, "--listen")?, Purpose::Listen)?);
                }
                Word::Option(o) if o == "--announce" && circuit => {
                    self.announce.push(address("--announce", &text(parser, "--announce")?, Purpose::Announce)?);
                }
                Word::Option(o) if o == "--wait" && circuit => self.wait = Some(seconds(parser, "--wait")?),
                Word::Option(o) if circuit && self.punching.option(&o) => {}
                Word::Value(word) => only_one(&mut self.to, word, self.command, self.purpose)?,
                Word::Option(option) => {
                    self.node.option(&option, parser, &format!("tidewire {} --help", self.command))?;
                }
            }
        }
        Ok(None)
    }

    fn finish(self, example: &str) -> Result<Dial, Unusable> {
        let Dialing { to, size, hold, listen, announce, wait, punching, node, .. } = self;
        node.check()?;
        Ok(Dial { address: given(to, example)?, size, hold, listen, announce, wait, punching, node })
    }
}

fn ping(parser: &mut Parser) -> Result<Command, Unusable> {
    let (mut node, mut to, mut count, mut interval) = (Node::default(), None, PINGS, PING_INTERVAL);
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::PING)),
            Word::Option(o) if o == "--count" || o == "-c" => {
                count = number(parser, &o)?;
                if count == 0 {
                    return fail(format!("{o}: expected 1 at least"));
                }
            }
            Word::Option(o) if o == "--interval" || o == "-i" => interval = seconds(parser, &o)?,
            Word::Value(word) => only_one(&mut to, word, "ping", Purpose::Dial)?,
            Word::Option(option) => node.option(&option, parser, "tidewire ping --help")?,
        }
    }
    node.check()?;
    Ok(Command::Ping(Ping { address: given(to, ADDRESS)?, count, interval, node }))
}

fn demo(parser: &mut Parser) -> Result<Command, Unusable> {
    let mut demo = Demo { size: DEMO_SIZE, config: None, record: None, json: false };
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::DEMO)),
            Word::Option(o) if o == "--size" => demo.size = bytes(parser, "--size")?,
            Word::Option(o) if o == "--config" => demo.config = Some(value(parser, "--config")?.into()),
            Word::Option(o) if o == "--record" => demo.record = Some(value(parser, "--record")?.into()),
            Word::Option(o) if o == "--json" => demo.json = true,
            Word::Value(word) => return fail(format!("{word:?} is in the way; demo takes only options")),
            Word::Option(option) => return unknown(&option, "tidewire demo --help"),
        }
    }
    Ok(Command::Demo(demo))
}

fn id(parser: &mut Parser) -> Result<Command, Unusable> {
    let mut id = Id::default();
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::ID)),
            Word::Option(o) if o == "--key" => id.key = Some(value(parser, "--key")?.into()),
            Word::Option(o) if o == "--seed" => id.seed = Some(number(parser, "--seed")?),
            Word::Option(o) if o == "--json" => id.json = true,
            Word::Value(word) => return fail(format!("{word:?} is in the way; the key's file comes behind --key")),
            Word::Option(option) => return unknown(&option, "tidewire id --help"),
        }
    }
    one_identity(id.key.as_ref(), id.seed)?;
    Ok(Command::Id(id))
}

fn peers(parser: &mut Parser) -> Result<Command, Unusable> {
    let (mut control, mut json) = (None, false);
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::PEERS)),
            Word::Option(o) if o == "--control" => control = Some(value(parser, "--control")?.into()),
            Word::Option(o) if o == "--json" => json = true,
            Word::Value(word) => {
                return fail(format!("{word:?} is in the way; the node's socket comes behind --control"));
            }
            Word::Option(option) => return unknown(&option, "tidewire peers --help"),
        }
    }
    let Some(control) = control else {
        return fail("expected --control PATH, the same as that of the tidewire listen whose peers are wanted");
    };
    Ok(Command::Peers(Peers { control, json }))
}

fn replay(parser: &mut Parser) -> Result<Command, Unusable> {
    let (mut file, mut from, mut json) = (None, 0, false);
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::REPLAY)),
            Word::Option(o) if o == "--from" => from = number(parser, "--from")?,
            Word::Option(o) if o == "--json" => json = true,
            Word::Value(word) if file.is_none() => file = Some(word.into()),
            Word::Value(word) => return fail(format!("{word:?} is one file too many; replay takes one")),
            Word::Option(option) => return unknown(&option, "tidewire replay --help"),
        }
    }
    let Some(file) = file else { return fail("expected a file that --record has written") };
    Ok(Command::Replay { args: replay::Args { file, from }, json })
}

fn trace(parser: &mut Parser) -> Result<Command, Unusable> {
    let (mut file, mut html) = (None, None);
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::TRACE)),
            Word::Option(o) if o == "--html" => html = Some(value(parser, "--html")?.into()),
            Word::Value(word) if file.is_none() => file = Some(word.into()),
            Word::Value(word) => return fail(format!("{word:?} is one file too many; trace takes one")),
            Word::Option(option) => return unknown(&option, "tidewire trace --help"),
        }
    }
    let Some(file) = file else { return fail("expected a file that --record has written") };
    Ok(Command::Trace(trace::Args { file, html }))
}

fn config(parser: &mut Parser) -> Result<Command, Unusable> {
    let mut file = None;
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::CONFIG)),
            Word::Option(o) if o == "--config" => file = Some(value(parser, "--config")?.into()),
            Word::Value(word) => return fail(format!("{word:?} is in the way; config takes only options")),
            Word::Option(option) => return unknown(&option, "tidewire config --help"),
        }
    }
    Ok(Command::Config(file))
}

impl Node {
    fn option(&mut self, option: &str, parser: &mut Parser, hint: &str) -> Result<(), Unusable> {
        match option {
            "--security" => self.securities = Some(list(option, &text(parser, option)?, SECURITIES)?),
            "--muxer" => self.muxers = Some(list(option, &text(parser, option)?, MUXERS)?),
            "--select" => self.selection = Some(one_of(option, &text(parser, option)?, SELECTIONS)?),
            "--psk" => self.psk = Some(value(parser, option)?.into()),
            "--key" => self.key = Some(value(parser, option)?.into()),
            "--seed" => self.seed = Some(number(parser, option)?),
            "--timeout" => {
                let timeout = seconds(parser, option)?;
                if timeout.is_zero() {
                    return fail("--timeout: expected more than 0 seconds");
                }
                self.timeout = Some(timeout);
            }
            "--config" => self.config = Some(value(parser, option)?.into()),
            "--log" => {
                let filter = text(parser, option)?;
                crate::logs::check(&filter).map_err(|error| Unusable(format!("--log: {error}")))?;
                self.log = Some(filter);
            }
            "--record" => self.record = Some(value(parser, option)?.into()),
            "--json" => self.json = true,
            _ => return unknown(option, hint),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Unusable> {
        one_identity(self.key.as_ref(), self.seed)
    }
}

fn one_identity(key: Option<&PathBuf>, seed: Option<u64>) -> Result<(), Unusable> {
    match (key, seed) {
        (Some(_), Some(_)) => fail("--key and --seed both say who we are; give one of them"),
        _ => Ok(()),
    }
}

fn only_one(to: &mut Option<Multiaddr>, word: OsString, command: &str, purpose: Purpose) -> Result<(), Unusable> {
    if to.is_some() {
        return fail(format!("{word:?} is one address too many; {command} takes one"));
    }
    let word = utf8("the address", word)?;
    *to = Some(address("the address", &word, purpose)?);
    Ok(())
}

const ADDRESS: &str = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW...";
const CIRCUIT: &str = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW.../p2p-circuit/p2p/12D3KooW...";

fn given(address: Option<Multiaddr>, example: &str) -> Result<Multiaddr, Unusable> {
    address.map_or_else(|| fail(format!("expected an address, such as {example}")), Ok)
}

/// `127.0.0.1:9090`.
fn socket(parser: &mut Parser, option: &str) -> Result<SocketAddr, Unusable> {
    let word = text(parser, option)?;
    word.parse().map_err(|_| {
        Unusable(format!("{option}: expected an IP address and a port, such as 127.0.0.1:9090, got {word:?}"))
    })
}
