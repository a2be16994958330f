//! The trace of a simulated world as a picture: hosts and gateways are columns, packets go from one to the next.
//!
//! ```text
//!              h0         g0         h2         g1         h1
//!     2.000 s  ├─────────▶│          │          │          │  SYN seq 0 10.0.2.2:4001 > 11.0.0.103:4001
//!     2.001 s  │          ├────────────────────▶│          │  SYN seq 0 now from 11.0.0.102:4001
//!     2.021 s  │          │          │          ✕          │  lost, nobody inside has asked for it: SYN seq 0 ..
//! ```
//! The file is JSON lines; the first has the key `tidewire_sim_trace`. Its format is in the docs of `tidewire_sim::trace`; what
//! is not known here is left.

mod picture;

pub(super) use picture::lines;

use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};

/// The format that is read.
const VERSION: u64 = 1;
/// What makes a file one of these, in its first line.
const KEY: &str = "tidewire_sim_trace";
/// The key stands among the first of so many bytes.
const HEAD: usize = 64;

/// A whole file.
#[derive(Debug)]
pub(super) struct World {
    header: Header,
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
struct Header {
    tidewire_sim_trace: u64,
    seed: u64,
    #[serde(default)]
    now_ns: u64,
    why: Option<String>,
    #[serde(default)]
    left_out: u64,
    #[serde(default)]
    hosts: Vec<Place>,
    #[serde(default)]
    gateways: Vec<Place>,
}

/// A host or a gateway.
#[derive(Debug, Deserialize)]
struct Place {
    #[serde(alias = "host", alias = "gateway")]
    name: String,
    #[serde(default)]
    addresses: Vec<IpAddr>,
    /// The gateway that it is behind.
    behind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Record {
    at_ns: u64,
    what: String,
    from: Option<End>,
    to: Option<End>,
    was_from: Option<End>,
    was_to: Option<End>,
    protocol: Option<String>,
    flags: Option<String>,
    seq: Option<u64>,
    ack: Option<u64>,
    #[serde(default)]
    len: u64,
    says: Option<String>,
    about: Option<String>,
    about_from: Option<End>,
    about_to: Option<End>,
    why: Option<String>,
    gateway: Option<String>,
    host: Option<String>,
    change: Option<String>,
    address: Option<IpAddr>,
    text: Option<String>,
}

/// Where a packet comes from, or is for. ICMP has no ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum End {
    Socket(SocketAddr),
    Ip(IpAddr),
}

impl End {
    const fn ip(self) -> IpAddr {
        match self {
            End::Socket(socket) => socket.ip(),
            End::Ip(ip) => ip,
        }
    }
}

/// Whether the file is one of these.
pub(super) fn is_one(file: &[u8]) -> bool {
    let head = file.get(..HEAD.min(file.len())).unwrap_or_default();
    head.first() == Some(&b'{') && head.windows(KEY.len()).any(|part| part == KEY.as_bytes())
}

/// Reads it.
///
/// # Errors
/// The line, and what is wrong with it.
pub(super) fn read(file: &[u8]) -> Result<World, String> {
    let text = std::str::from_utf8(file).map_err(|error| format!("it is not UTF-8: {error}"))?;
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
    let at = |n: usize, error: serde_json::Error| format!("line {}: {error}", n + 1);
    let (n, first) = lines.next().ok_or("it is empty")?;
    let header: Header = serde_json::from_str(first).map_err(|error| at(n, error))?;
    if header.tidewire_sim_trace != VERSION {
        let (is, known) = (header.tidewire_sim_trace, VERSION);
        return Err(format!("it is a simulator's trace of format {is}; this program reads format {known}"));
    }
    let records =
        lines.map(|(n, line)| serde_json::from_str(line).map_err(|error| at(n, error))).collect::<Result<_, _>>()?;
    Ok(World { header, records })
}
