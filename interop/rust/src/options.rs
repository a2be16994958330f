//! The command line of `interop/README.md`.

use std::time::Duration;

use libp2p::{Multiaddr, core::upgrade::Version};

pub const USAGE: &str = "\
usage: peer listen | dial MULTIADDR
       peer relay | reserve RELAY | dial-circuit MULTIADDR
       peer autonat-server | autonat-client SERVER    [options]";

pub enum Command {
    Listen,
    Dial(Multiaddr),
    Relay,
    Reserve(Multiaddr),
    DialCircuit(Multiaddr),
    AutonatServer,
    AutonatClient(Multiaddr),
}

pub struct Options {
    pub listen: Multiaddr,
    pub security: Security,
    pub muxer: Muxer,
    pub psk: Option<String>,
    pub seed: Option<u64>,
    pub size: usize,
    /// How a dialer selects protocols; listeners take both.
    pub version: Version,
    /// A dialer stays idle for so many seconds afterwards, and pings again.
    pub hold: u64,
    /// A listener serves one more protocol a while after the first connection.
    pub later: bool,
    /// A listener punches holes.
    pub dcutr: bool,
    /// A dialer of circuits waits so many seconds for a direct connection, and punches holes itself.
    pub wait: Option<u64>,
    pub relay: RelayLimits,
    /// What a relay says in place of its listening address, and what an AutoNAT client asks about.
    pub announce: Option<Multiaddr>,
}

/// 0 lifts a limit, as on the wire.
pub struct RelayLimits {
    pub data: u64,
    pub duration: u64,
    pub reservations: usize,
    pub ttl: Duration,
}

#[derive(Clone, Copy)]
pub enum Security {
    Noise,
    Plaintext,
}

#[derive(Clone, Copy)]
pub enum Muxer {
    Yamux,
    Mplex,
}

impl Security {
    pub fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Plaintext => "plaintext",
        }
    }
}

impl Muxer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Yamux => "yamux",
            Self::Mplex => "mplex",
        }
    }
}

impl Command {
    /// Each option is taken only where it means something: one that is ignored would be worse than one that is refused.
    fn takes(name: &str, option: &str) -> bool {
        let on: &[&str] = match option {
            "--security" | "--muxer" | "--psk" | "--seed" => return true,
            "--listen" => &["listen", "relay", "reserve", "dial-circuit", "autonat-server", "autonat-client"],
            "--dcutr" => &["reserve"],
            "--wait" => &["dial-circuit"],
            "--later" => &["listen"],
            "--lazy" | "--plain" => &["dial"],
            "--size" | "--hold" => &["dial", "dial-circuit"],
            "--data-limit" | "--duration" | "--reservations" | "--ttl" => &["relay"],
            "--announce" => &["relay", "autonat-client"],
            _ => &[],
        };
        on.contains(&name)
    }
}

pub fn parse(mut args: impl Iterator<Item = String>) -> Result<(Command, Options), String> {
    let name = args.next().ok_or("expected a command")?;
    let mut options = Options {
        listen: "/ip4/127.0.0.1/tcp/0".parse().map_err(|error| format!("{error}"))?,
        security: Security::Noise,
        muxer: Muxer::Yamux,
        psk: None,
        seed: None,
        size: 1 << 20,
        version: Version::V1,
        hold: 0,
        later: false,
        dcutr: false,
        wait: None,
        relay: RelayLimits { data: 0, duration: 0, reservations: 1024, ttl: Duration::from_secs(3600) },
        announce: None,
    };
    let mut target = None;
    while let Some(arg) = args.next() {
        if !arg.starts_with('-') && target.is_none() {
            target = Some(address(&arg)?);
            continue;
        }
        if !Command::takes(&name, &arg) {
            return Err(format!("{name}: unexpected argument {arg}"));
        }
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--security" => {
                options.security = match value()?.as_str() {
                    "noise" => Security::Noise,
                    "plaintext" => Security::Plaintext,
                    other => return Err(format!("unknown security {other}: expected noise or plaintext")),
                }
            }
            "--muxer" => {
                options.muxer = match value()?.as_str() {
                    "yamux" => Muxer::Yamux,
                    "mplex" => Muxer::Mplex,
                    other => return Err(format!("unknown muxer {other}: expected yamux or mplex")),
                }
            }
            "--psk" => options.psk = Some(value()?),
            "--seed" => options.seed = Some(number(&arg, &value()?)?),
            "--listen" => options.listen = address(&value()?)?,
            "--size" => options.size = number(&arg, &value()?)?,
            "--hold" => options.hold = number(&arg, &value()?)?,
            "--later" => options.later = true,
            "--dcutr" => options.dcutr = true,
            "--wait" => options.wait = Some(number(&arg, &value()?)?),
            "--lazy" => options.version = Version::V1Lazy,
            "--plain" => options.version = Version::V1,
            "--data-limit" => options.relay.data = number(&arg, &value()?)?,
            "--duration" => options.relay.duration = number(&arg, &value()?)?,
            "--reservations" => options.relay.reservations = number(&arg, &value()?)?,
            "--ttl" => options.relay.ttl = Duration::from_secs(number(&arg, &value()?)?),
            "--announce" => options.announce = Some(address(&value()?)?),
            other => return Err(format!("unexpected argument {other}")),
        }
    }
    let needed = || target.clone().ok_or_else(|| format!("{name} takes one multiaddr"));
    let command = match name.as_str() {
        "dial" => Command::Dial(needed()?),
        "reserve" => Command::Reserve(needed()?),
        "dial-circuit" => Command::DialCircuit(needed()?),
        "autonat-client" => Command::AutonatClient(needed()?),
        _ if target.is_some() => return Err(format!("{name} takes no address; use --listen")),
        "listen" => Command::Listen,
        "relay" => Command::Relay,
        "autonat-server" => Command::AutonatServer,
        other => return Err(format!("unknown command {other}")),
    };
    Ok((command, options))
}

fn address(text: &str) -> Result<Multiaddr, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

fn number<N: std::str::FromStr>(option: &str, text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{option} expects a whole number, got {text}"))
}
