//! `tidewire peers`: asks a running node who is there, and shows it.

use crate::args;
use crate::control::{ConnectionLine, NodeLine, PeerLine};
use crate::output::{Output, Style, note, size};
use std::time::Duration;

/// Bytes of an answer: a thousand peers take one megabyte.
const MAX_ANSWER: u64 = 256 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether all went well.
pub(crate) fn run(args: &args::Peers, output: &Output) -> bool {
    match ask(args).and_then(|answer| show(&answer, output)) {
        Ok(()) => true,
        Err(error) => {
            note(&format!("--control {}: {error}", args.control.display()));
            false
        }
    }
}

#[cfg(not(unix))]
fn ask(_: &args::Peers) -> Result<String, String> {
    Err("there are no Unix sockets on this system".into())
}

#[cfg(unix)]
fn ask(args: &args::Peers) -> Result<String, String> {
    use std::io::{ErrorKind, Read, Write};
    let mut socket = std::os::unix::net::UnixStream::connect(&args.control).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            format!("nobody answers there ({error}); is tidewire listen --control running?")
        }
        _ => error.to_string(),
    })?;
    let mut answer = String::new();
    let mut talk = || {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.write_all(crate::control::QUESTION.as_bytes())?;
        (&socket).take(MAX_ANSWER).read_to_string(&mut answer)
    };
    talk().map_err(|error| format!("no answer: {error}"))?;
    Ok(answer)
}

fn show(answer: &str, output: &Output) -> Result<(), String> {
    let mut lines = answer.lines();
    let odd = |error: serde_json::Error| format!("this is no answer of a tidewire node: {error}");
    let node: NodeLine = serde_json::from_str(lines.next().unwrap_or_default()).map_err(odd)?;
    let peers: Vec<PeerLine> = lines.map(serde_json::from_str).collect::<Result<_, _>>().map_err(odd)?;
    if output.json {
        output.object(&node);
        peers.iter().for_each(|peer| output.object(peer));
        return Ok(());
    }
    of_node(&node, output);
    if peers.is_empty() {
        return Ok(());
    }
    output.line("");
    table(&peers, output);
    for peer in &peers {
        output.line("");
        of_peer(peer, output);
    }
    Ok(())
}

fn of_node(node: &NodeLine, output: &Output) {
    output.line(format!("{} ({})", output.paint(Style::Bold, &node.node), node.agent));
    let NodeLine { peers, connections, pending, known_peers, memory, .. } = node;
    let memory = size(*memory as u64);
    output.line(format!(
        "{peers} peers, {connections} connections, {pending} pending; {known_peers} peers known; the host takes {memory}"
    ));
    for address in &node.listening {
        output.line(format!("listening on {address}"));
    }
    for one in &node.addresses {
        output.line(output.paint(Style::Dim, &format!("  {}: {}", one.address, one.why)));
    }
}

fn table(peers: &[PeerLine], output: &Output) {
    const HEAD: [&str; 8] = ["peer", "agent", "dir", "via", "remote", "rtt", "streams", "value"];
    let mut rows = vec![HEAD.map(str::to_owned)];
    for peer in peers {
        let name = peer.peer.get(peer.peer.len().saturating_sub(8)..).unwrap_or(&peer.peer);
        for (i, connection) in peer.connections.iter().enumerate() {
            let first = |text: String| if i == 0 { text } else { String::new() };
            let ConnectionLine { direction, transport, remote, inbound_streams, outbound_streams, rtt_ms, .. } =
                connection;
            let via = if connection.relayed { format!("relay {transport}") } else { transport.clone() };
            rows.push([
                first(format!("..{name}")),
                first(cut(peer.agent.as_deref().unwrap_or("-"), 28)),
                direction.clone(),
                via,
                cut(remote, 44),
                rtt_ms.map_or("-".into(), |ms| format!("{ms:.2} ms")),
                format!("{inbound_streams} in {outbound_streams} out"),
                first(peer.value.to_string()),
            ]);
        }
    }
    let widths: Vec<usize> =
        (0..HEAD.len()).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
    for (i, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let line = cells.join("  ");
        output.line(if i == 0 { output.paint(Style::Bold, line.trim_end()) } else { line.trim_end().to_owned() });
    }
}

fn of_peer(peer: &PeerLine, output: &Output) {
    output.line(output.paint(Style::Cyan, &peer.peer));
    let list = |title: &str, all: &[String]| {
        if !all.is_empty() {
            output.line(format!("  {title}: {}", all.join(", ")));
        }
    };
    list("speaks", &peer.protocols);
    list("tags", &peer.tags.iter().map(|(tag, value)| format!("{tag} {value:+}")).collect::<Vec<_>>());
    list("protected", &peer.protections);
    if peer.kept_alive {
        output.line("  is redialed when it is lost");
    }
    // It begins with the peer's name, which stands above.
    let explain = peer.explain.strip_prefix(&peer.peer).unwrap_or(&peer.explain);
    output.line(format!("  {}", explain.trim_start_matches([':', ' '])));
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 2).chain("..".chars()).collect()
}
