//! The command line of `interop/README.md`.

use libp2p::{Multiaddr, core::upgrade::Version};

pub enum Command {
    Listen(Multiaddr),
    Dial(Multiaddr),
}

pub struct Options {
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

pub fn parse(mut args: impl Iterator<Item = String>) -> Result<(Command, Options), String> {
    let listens = match args.next().as_deref() {
        Some("listen") => true,
        Some("dial") => false,
        other => return Err(format!("expected listen or dial, got {}", other.unwrap_or("nothing"))),
    };
    let mut options = Options {
        security: Security::Noise,
        muxer: Muxer::Yamux,
        psk: None,
        seed: None,
        size: 1 << 20,
        version: Version::V1,
        hold: 0,
        later: false,
    };
    let mut address = listens.then(|| "/ip4/127.0.0.1/tcp/0".to_owned());
    while let Some(arg) = args.next() {
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
            "--listen" if listens => address = Some(value()?),
            "--size" if !listens => options.size = number(&arg, &value()?)?,
            "--hold" if !listens => options.hold = number(&arg, &value()?)?,
            "--later" if listens => options.later = true,
            "--lazy" if !listens => options.version = Version::V1Lazy,
            "--plain" if !listens => options.version = Version::V1,
            other if !other.starts_with('-') && address.is_none() => address = Some(arg),
            other => return Err(format!("unexpected argument {other}")),
        }
    }
    let address = address.ok_or("dial takes one multiaddr")?;
    let address = address.parse().map_err(|error| format!("{address}: {error}"))?;
    Ok((if listens { Command::Listen(address) } else { Command::Dial(address) }, options))
}

fn number<N: std::str::FromStr>(option: &str, text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{option} expects a whole number, got {text}"))
}
