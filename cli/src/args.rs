//! The command line: from words to a [`Command`], or to one line that says why not.

use crate::help;
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use tidewire_core::{Component, Multiaddr};
use tidewire_upgrade::connection::Selection;
use tidewire_upgrade::muxer::MuxerKind;
use tidewire_upgrade::pipeline::SecurityKind;

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Listen(Listen),
    Dial(Dial),
    Demo(Demo),
    /// Print this.
    Print(&'static str),
}

#[derive(Debug)]
pub(crate) struct Listen {
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) max_connections: usize,
    pub(crate) node: Node,
}

#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) address: Multiaddr,
    pub(crate) size: u64,
    pub(crate) hold: Option<Duration>,
    pub(crate) node: Node,
}

#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) size: u64,
    pub(crate) json: bool,
}

/// Who we are and what we offer: the options that `listen` and `dial` share.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) securities: Vec<SecurityKind>,
    pub(crate) muxers: Vec<MuxerKind>,
    pub(crate) selection: Selection,
    pub(crate) psk: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) seed: Option<u64>,
    pub(crate) timeout: Duration,
    pub(crate) json: bool,
}

/// Why the command line can't be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unusable(pub(crate) String);

pub(crate) const LISTEN_ADDRESS: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const MAX_CONNECTIONS: usize = 1024;
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const DIAL_SIZE: u64 = 1 << 20;
pub(crate) const DEMO_SIZE: u64 = 64 << 20;

const VERSION: &str = concat!("tidewire ", env!("CARGO_PKG_VERSION"), "\n");
const SECURITIES: &[(&str, SecurityKind)] = &[("noise", SecurityKind::Noise), ("plaintext", SecurityKind::Plaintext)];
const MUXERS: &[(&str, MuxerKind)] = &[("yamux", MuxerKind::Yamux), ("mplex", MuxerKind::Mplex)];
const SELECTIONS: &[(&str, Selection)] = &[("lazy", Selection::Lazy), ("plain", Selection::Plain)];
/// Longest waits that are taken: more is a mistake. About a year.
const MAX_SECONDS: f64 = 31_536_000.0;

/// Reads the words behind the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, Unusable> {
    let mut parser = Parser::from_args(words);
    let command = match next(&mut parser)? {
        None => return fail("expected a command: listen, dial or demo; try tidewire --help"),
        Some(Word::Option(o)) if is_help(&o) => return Ok(Command::Print(help::ALL)),
        Some(Word::Option(o)) if o == "--version" || o == "-V" => return Ok(Command::Print(VERSION)),
        Some(Word::Value(word)) => word,
        Some(Word::Option(option)) => return unknown(&option, "tidewire --help"),
    };
    let (name, result) = match command.to_str() {
        Some("listen") => ("listen: ", listen(&mut parser)),
        Some("dial") => ("dial: ", dial(&mut parser)),
        Some("demo") => ("demo: ", demo(&mut parser)),
        Some("help") => ("", about(&mut parser)),
        _ => ("", fail(format!("{command:?} is not a command; expected listen, dial or demo"))),
    };
    result.map_err(|Unusable(why)| Unusable(format!("{name}{why}")))
}

/// As people write it: the inverse of `--security`.
pub(crate) fn security_name(protocol: &str) -> &str {
    SECURITIES.iter().find(|(_, kind)| kind.protocol() == protocol).map_or(protocol, |(name, _)| name)
}

/// As people write it: the inverse of `--muxer`.
pub(crate) fn muxer_name(kind: MuxerKind) -> &'static str {
    MUXERS.iter().find(|(_, known)| *known == kind).map_or(kind.name(), |(name, _)| name)
}

fn about(parser: &mut Parser) -> Result<Command, Unusable> {
    let Some(Word::Value(topic)) = next(parser)? else { return Ok(Command::Print(help::ALL)) };
    match topic.to_str() {
        Some("listen") => Ok(Command::Print(help::LISTEN)),
        Some("dial") => Ok(Command::Print(help::DIAL)),
        Some("demo") => Ok(Command::Print(help::DEMO)),
        _ => fail(format!("there is no help on {topic:?}; expected listen, dial or demo")),
    }
}

fn listen(parser: &mut Parser) -> Result<Command, Unusable> {
    let (mut node, mut addresses, mut max_connections) = (Node::default(), Vec::new(), MAX_CONNECTIONS);
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::LISTEN)),
            Word::Option(o) if o == "--listen" => {
                let text = text(parser, "--listen")?;
                addresses.push(address("--listen", &text, true)?);
            }
            Word::Option(o) if o == "--max-connections" => {
                max_connections = number(parser, "--max-connections")?;
                if max_connections == 0 {
                    return fail("--max-connections: expected 1 at least");
                }
            }
            Word::Value(word) => {
                return fail(format!("{word:?} is in the way; addresses to listen on come behind --listen"));
            }
            Word::Option(option) => node.option(&option, parser, "tidewire listen --help")?,
        }
    }
    if addresses.is_empty() {
        addresses.push(address("--listen", LISTEN_ADDRESS, true)?);
    }
    node.check()?;
    Ok(Command::Listen(Listen { addresses, max_connections, node }))
}

fn dial(parser: &mut Parser) -> Result<Command, Unusable> {
    let (mut node, mut to, mut size, mut hold) = (Node::default(), None, DIAL_SIZE, None);
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::DIAL)),
            Word::Option(o) if o == "--size" => size = bytes(parser, "--size")?,
            Word::Option(o) if o == "--hold" => hold = Some(seconds(parser, "--hold")?),
            Word::Value(word) if to.is_none() => {
                let word = utf8("the address", word)?;
                to = Some(address("the address", &word, false)?);
            }
            Word::Value(word) => return fail(format!("{word:?} is one address too many; dial takes one")),
            Word::Option(option) => node.option(&option, parser, "tidewire dial --help")?,
        }
    }
    let Some(address) = to else {
        return fail("expected an address, such as /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW...");
    };
    node.check()?;
    Ok(Command::Dial(Dial { address, size, hold, node }))
}

fn demo(parser: &mut Parser) -> Result<Command, Unusable> {
    let mut demo = Demo { size: DEMO_SIZE, json: false };
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::DEMO)),
            Word::Option(o) if o == "--size" => demo.size = bytes(parser, "--size")?,
            Word::Option(o) if o == "--json" => demo.json = true,
            Word::Value(word) => return fail(format!("{word:?} is in the way; demo takes only options")),
            Word::Option(option) => return unknown(&option, "tidewire demo --help"),
        }
    }
    Ok(Command::Demo(demo))
}

impl Default for Node {
    fn default() -> Self {
        Node {
            securities: vec![SecurityKind::Noise],
            muxers: vec![MuxerKind::Yamux],
            selection: Selection::Lazy,
            psk: None,
            key: None,
            seed: None,
            timeout: TIMEOUT,
            json: false,
        }
    }
}

impl Node {
    fn option(&mut self, option: &str, parser: &mut Parser, hint: &str) -> Result<(), Unusable> {
        match option {
            "--security" => self.securities = list(option, &text(parser, option)?, SECURITIES)?,
            "--muxer" => self.muxers = list(option, &text(parser, option)?, MUXERS)?,
            "--select" => self.selection = one_of(option, &text(parser, option)?, SELECTIONS)?,
            "--psk" => self.psk = Some(value(parser, option)?.into()),
            "--key" => self.key = Some(value(parser, option)?.into()),
            "--seed" => self.seed = Some(number(parser, option)?),
            "--timeout" => {
                self.timeout = seconds(parser, option)?;
                if self.timeout.is_zero() {
                    return fail("--timeout: expected more than 0 seconds");
                }
            }
            "--json" => self.json = true,
            _ => return unknown(option, hint),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Unusable> {
        match (&self.key, self.seed) {
            (Some(_), Some(_)) => fail("--key and --seed both say who we are; give one of them"),
            _ => Ok(()),
        }
    }
}

/// An address of TCP, with nothing on top that we don't speak.
fn address(what: &str, text: &str, to_listen: bool) -> Result<Multiaddr, Unusable> {
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

fn list<T: Copy + PartialEq>(option: &str, words: &str, known: &[(&str, T)]) -> Result<Vec<T>, Unusable> {
    let mut chosen = Vec::new();
    for word in words.split(',') {
        let kind = one_of(option, word, known)?;
        if chosen.contains(&kind) {
            return fail(format!("{option}: {word} is there twice"));
        }
        chosen.push(kind);
    }
    Ok(chosen)
}

fn one_of<T: Copy>(option: &str, word: &str, known: &[(&str, T)]) -> Result<T, Unusable> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    known
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, kind)| *kind)
        .ok_or_else(|| Unusable(format!("{option}: expected {}, got {word:?}", names.join(" or "))))
}

/// A number of bytes, perhaps with a unit.
fn bytes(parser: &mut Parser, option: &str) -> Result<u64, Unusable> {
    let word = text(parser, option)?;
    let split = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(split);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return fail(format!("{option}: expected bytes, such as 65536, 64KiB, 16MiB or 1GiB, got {word:?}")),
    };
    let number: u64 = digits.parse().map_err(|_| Unusable(format!("{option}: expected bytes, got {word:?}")))?;
    number.checked_mul(1 << shift).ok_or_else(|| Unusable(format!("{option}: {word} is too much")))
}

fn seconds(parser: &mut Parser, option: &str) -> Result<Duration, Unusable> {
    let word = text(parser, option)?;
    match word.parse::<f64>() {
        Ok(seconds) if (0.0..=MAX_SECONDS).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => fail(format!("{option}: expected seconds, such as 10 or 0.5, got {word:?}")),
    }
}

fn number<T: core::str::FromStr>(parser: &mut Parser, option: &str) -> Result<T, Unusable> {
    let word = text(parser, option)?;
    word.parse().map_err(|_| Unusable(format!("{option}: expected a whole number from 0 up, got {word:?}")))
}

fn text(parser: &mut Parser, option: &str) -> Result<String, Unusable> {
    utf8(option, value(parser, option)?)
}

fn utf8(what: &str, word: OsString) -> Result<String, Unusable> {
    word.into_string().map_err(|word| Unusable(format!("{what}: {word:?} is not UTF-8")))
}

/// The word behind an option. Empty ones are mistakes, mostly of a shell variable that isn't set.
fn value(parser: &mut Parser, option: &str) -> Result<OsString, Unusable> {
    match parser.value() {
        Ok(word) if !word.is_empty() => Ok(word),
        _ => fail(format!("{option}: a value is missing behind it")),
    }
}

/// A word of the command line.
enum Word {
    /// With its dashes.
    Option(String),
    Value(OsString),
}

fn next(parser: &mut Parser) -> Result<Option<Word>, Unusable> {
    let word = match parser.next() {
        Ok(None) => return Ok(None),
        Ok(Some(Arg::Long(name))) => Word::Option(format!("--{name}")),
        Ok(Some(Arg::Short(letter))) => Word::Option(format!("-{letter}")),
        Ok(Some(Arg::Value(word))) => Word::Value(word),
        Err(lexopt::Error::UnexpectedValue { option, value }) => {
            return fail(format!("{option} takes no value, got {value:?}"));
        }
        Err(other) => return fail(other.to_string()),
    };
    Ok(Some(word))
}

fn is_help(option: &str) -> bool {
    matches!(option, "-h" | "--help")
}

fn unknown<T>(option: &str, hint: &str) -> Result<T, Unusable> {
    fail(format!("{option} is not an option; see {hint}"))
}

fn fail<T>(why: impl Into<String>) -> Result<T, Unusable> {
    Err(Unusable(why.into()))
}
