//! `--control`: a Unix socket at which this node may be asked who is there, for our user alone.
//!
//! ```text
//!  tidewire peers --control PATH  --connect-->  tidewire listen --control PATH
//!       "peers\n"                 ----------->
//!       {"node": ..}\n {"peer": ..}\n ..  <---  a line each, then the end
//! ```
//! Programs may also say `listen ADDRESS`: the node listens there too, tells its peers, and answers with its first line.

use crate::listen::Identity;
use crate::output::one_line;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tidewire_connmgr::ConnectionManager;
use tidewire_core::PeerId;
use tidewire_tokio::{Host, Node};

/// The first line of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeLine {
    /// Who it is.
    pub(crate) node: String,
    pub(crate) agent: String,
    pub(crate) listening: Vec<String>,
    pub(crate) addresses: Vec<AddressLine>,
    pub(crate) peers: u32,
    pub(crate) connections: u32,
    pub(crate) pending: u32,
    pub(crate) known_peers: u32,
    pub(crate) memory: usize,
}

/// An address that might be announced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AddressLine {
    pub(crate) address: String,
    /// Whether it is announced, and why.
    pub(crate) why: String,
}

/// A line for each peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PeerLine {
    pub(crate) peer: String,
    pub(crate) agent: Option<String>,
    pub(crate) protocols: Vec<String>,
    pub(crate) value: i32,
    pub(crate) tags: Vec<(String, i32)>,
    pub(crate) protections: Vec<String>,
    pub(crate) kept_alive: bool,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) connections: Vec<ConnectionLine>,
    /// Why it would be closed, or would not.
    pub(crate) explain: String,
}

/// One of its connections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ConnectionLine {
    pub(crate) id: u64,
    pub(crate) direction: String,
    pub(crate) transport: String,
    pub(crate) remote: String,
    pub(crate) relayed: bool,
    pub(crate) limited: bool,
    pub(crate) inbound_streams: u32,
    pub(crate) outbound_streams: u32,
    pub(crate) rtt_ms: Option<f64>,
    /// Why it is being closed.
    pub(crate) closing: Option<String>,
}

/// What `tidewire peers` asks.
#[cfg(unix)]
pub(crate) const QUESTION: &str = "peers\n";

/// Bytes of a question.
#[cfg(unix)]
const MAX_QUESTION: u64 = 1024;

#[derive(Debug, Serialize)]
struct Refusal {
    error: String,
}

/// The answer to a question: lines of JSON.
async fn answer(node: &Node, question: &str) -> String {
    match question.trim_end().split_once(' ') {
        None if question.trim_end() == "peers" => all(node),
        Some(("listen", address)) => match listen(node, address).await {
            Ok(addresses) => encode(&serde_json::json!({ "listening": addresses })),
            Err(error) => encode(&Refusal { error }),
        },
        _ => encode(&Refusal { error: format!("expected peers, or listen ADDRESS; got {question:?}") }),
    }
}

async fn listen(node: &Node, address: &str) -> Result<Vec<String>, String> {
    let address = address.parse().map_err(|error| format!("{address:?}: {error}"))?;
    let listener = node.listen(&address).await.map_err(|error| error.to_string())?;
    Ok(listener.addresses().iter().map(ToString::to_string).collect())
}

/// A line for the node itself, and one for each peer.
fn all(node: &Node) -> String {
    // Taken while the host is locked, so that nothing changes between two lines.
    let (mut line, peers) = node.host(|host| (node_line(host), peer_lines(host)));
    line.listening = node.addresses().iter().map(ToString::to_string).collect();
    let mut text = encode(&line);
    peers.iter().for_each(|peer| text += &encode(peer));
    text
}

fn encode(line: &impl Serialize) -> String {
    // String keys, and no maps: this can't fail.
    serde_json::to_string(line).unwrap_or_default() + "\n"
}

fn node_line(host: &Host) -> NodeLine {
    let (counts, profile) = (host.manager().counts(), host.profile());
    let limits = counts.limits;
    NodeLine {
        node: host.local_peer().to_string(),
        agent: profile.map(|profile| profile.agent.to_string()).unwrap_or_default(),
        listening: Vec::new(),
        addresses: host
            .explain_addresses()
            .iter()
            .map(|one| AddressLine { address: one.address.to_string(), why: one.why.to_string() })
            .collect(),
        peers: counts.connected_peers,
        connections: limits.established_inbound
            + limits.established_outbound
            + limits.closing_inbound
            + limits.closing_outbound,
        pending: limits.pending_inbound + limits.pending_outbound,
        known_peers: counts.known_peers,
        memory: tidewire_core::EventMachine::memory_used(host),
    }
}

fn peer_lines(host: &Host) -> Vec<PeerLine> {
    let manager = host.manager();
    let mut lines: Vec<PeerLine> =
        manager.connected_peers().filter_map(|peer| peer_line(host, manager, &peer)).collect();
    // The most valuable first.
    lines.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.peer.cmp(&b.peer)));
    lines
}

fn peer_line(host: &Host, manager: &ConnectionManager, peer: &PeerId) -> Option<PeerLine> {
    let view = manager.peer(peer)?;
    let said = host.identity(peer).map(Identity::of);
    let ms = |rtt: Option<std::time::Duration>| rtt.map(crate::output::millis);
    let connections = manager.connections_of(peer).map(|connection| ConnectionLine {
        id: connection.id.0,
        direction: connection.direction.to_string(),
        transport: format!("{:?}", connection.transport).to_lowercase(),
        remote: connection.remote.to_string(),
        relayed: connection.relayed,
        limited: connection.limited,
        inbound_streams: connection.inbound_streams,
        outbound_streams: connection.outbound_streams,
        rtt_ms: ms(connection.rtt),
        closing: connection.closing.map(|reason| one_line(&reason.to_string())),
    });
    Some(PeerLine {
        peer: peer.to_string(),
        agent: said.as_ref().and_then(|said| said.agent.clone()),
        protocols: said.map(|said| said.protocols).unwrap_or_default(),
        value: view.value,
        tags: view.tags.iter().map(|(tag, value)| (one_line(tag), *value)).collect(),
        protections: view.protections.iter().map(|reason| one_line(reason)).collect(),
        kept_alive: view.kept_alive,
        rtt_ms: ms(view.rtt),
        connections: connections.collect(),
        explain: one_line(&manager.explain(peer).to_string()),
    })
}

/// The socket. Dropped, its file is removed.
pub(crate) struct Control {
    path: PathBuf,
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(not(unix))]
impl Control {
    pub(crate) fn serve(path: &Path, _: Node) -> Result<Control, String> {
        let _ = answer;
        Err(format!("--control {}: there are no Unix sockets on this system", path.display()))
    }
}

#[cfg(unix)]
impl Control {
    /// Answers at this path. A socket that a dead process left there is replaced; that of a living one is not.
    pub(crate) fn serve(path: &Path, node: Node) -> Result<Control, String> {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt};
        let failed = |error: std::io::Error| format!("--control {}: {error}", path.display());
        if let Ok(there) = std::fs::symlink_metadata(path) {
            if !there.file_type().is_socket() {
                return Err(format!("--control {}: there is a file that is not a socket", path.display()));
            }
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(format!("--control {}: another process answers there", path.display()));
            }
            std::fs::remove_file(path).map_err(failed)?;
        }
        let listener = tokio::net::UnixListener::bind(path).map_err(failed)?;
        let control = Control { path: path.to_owned() };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        tokio::spawn(accept(listener, node));
        Ok(control)
    }
}

#[cfg(unix)]
async fn accept(listener: tokio::net::UnixListener, node: Node) {
    use std::time::Duration;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    const PATIENCE: Duration = Duration::from_secs(5);
    const PAUSE: Duration = Duration::from_millis(200);
    loop {
        let Ok((mut socket, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let node = node.clone();
        tokio::spawn(async move {
            let talk = async {
                let mut question = String::new();
                BufReader::new((&mut socket).take(MAX_QUESTION)).read_line(&mut question).await?;
                let reply = answer(&node, &question).await;
                socket.write_all(reply.as_bytes()).await?;
                socket.shutdown().await
            };
            // Who hangs up, or is too slow, asked in vain.
            let _ = tokio::time::timeout(PATIENCE, talk).await;
        });
    }
}
