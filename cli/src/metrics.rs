//! `--metrics`: the node's counters as Prometheus reads them, over HTTP.
//!
//! One request a connection, `GET /metrics` only; everything is capped in bytes, in time and in number, so that whoever
//! can reach the port can't do harm with it. Text format 0.0.4 of Prometheus.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tidewire_core::EventMachine;
use tidewire_relay::server;
use tidewire_tokio::{Counters, Host, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Bytes of a request.
const MAX_REQUEST: usize = 8 * 1024;
/// For a request and its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests at once; others wait.
const MAX_REQUESTS: usize = 8;
/// When the operating system has no socket to give.
const PAUSE: Duration = Duration::from_millis(200);

/// A server of metrics, as long as the runtime lives.
pub(crate) struct Metrics {
    address: SocketAddr,
}

impl Metrics {
    /// Serves the node's metrics at this address.
    pub(crate) async fn serve(address: SocketAddr, node: Node) -> Result<Metrics, String> {
        let failed = |error| format!("--metrics {address}: {error}");
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tokio::spawn(accept(listener, node));
        Ok(Metrics { address })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept(listener: TcpListener, node: Node) {
    let places = Arc::new(Semaphore::new(MAX_REQUESTS));
    loop {
        // It is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((socket, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let node = node.clone();
        tokio::spawn(async move {
            // Who is too slow is not worth a word.
            let _ = timeout(PATIENCE, answer(socket, &node)).await;
            drop(place);
        });
    }
}

async fn answer(mut socket: TcpStream, node: &Node) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() >= MAX_REQUEST {
            return respond(&mut socket, "431 Request Header Fields Too Large", "", "the request is too long\n").await;
        }
        if socket.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let line = String::from_utf8_lossy(&request);
    let mut words = line.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET", "/metrics") => respond(&mut socket, "200 OK", "", &text(node)).await,
        (_, "/metrics") => {
            respond(&mut socket, "405 Method Not Allowed", "Allow: GET\r\n", "only GET is served\n").await
        }
        _ => respond(&mut socket, "404 Not Found", "", "there is only /metrics\n").await,
    }
}

async fn respond(socket: &mut TcpStream, status: &str, header: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n{header}Connection: close\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body.as_bytes()).await?;
    socket.shutdown().await?;
    // Closing with unread bytes would make the operating system throw the answer away.
    let mut rest = [0; 1024];
    while socket.read(&mut rest).await? > 0 {}
    Ok(())
}

fn text(node: &Node) -> String {
    let counters = node.counters();
    let (memory, rtts, relays) = node.host(|host| (host.memory_used(), rtts(host), Relays::of(host)));
    page(&counters, memory, node.buffers_in_use(), &rtts, &relays)
}

/// What is counted about relays.
#[derive(Default)]
struct Relays {
    /// Reservations that we hold at others.
    held: usize,
    /// Circuits that end with us.
    ends: usize,
    /// Of the relay that we are.
    server: Option<(server::Counts, server::Counters)>,
}

impl Relays {
    fn of(host: &Host) -> Self {
        let counts = host.relay_client().counts();
        Relays {
            held: counts.reservations,
            ends: counts.circuits_in + counts.circuits_out,
            server: host.relay_server().map(|server| (server.counts(), server.counters())),
        }
    }
}

/// The smoothed round trips of all connections that have one, sorted.
fn rtts(host: &Host) -> Vec<Duration> {
    let mut rtts: Vec<Duration> = host.manager().connections().filter_map(|connection| connection.rtt).collect();
    rtts.sort_unstable();
    rtts
}

/// The whole answer. README.md has the names.
fn page(counters: &Counters, memory: usize, buffers: usize, rtts: &[Duration], relays: &Relays) -> String {
    let mut page = Page(String::new());
    let by_direction = |inbound: u64, outbound: u64| [("inbound", inbound), ("outbound", outbound)];
    page.gauge("peers", "Peers with a connection.", counters.peers);
    page.labelled(
        "connections",
        "gauge",
        "Established connections now.",
        "direction",
        by_direction(counters.connections_inbound.into(), counters.connections_outbound.into()),
    );
    page.gauge("connections_pending", "Sockets being upgraded, and dials under way.", counters.pending);
    page.labelled(
        "connections_opened_total",
        "counter",
        "Connections that were established.",
        "direction",
        by_direction(counters.opened_inbound, counters.opened_outbound),
    );
    page.reasons("connections_closed_total", "Connections that ended, by reason.", &counters.closed);
    page.reasons("connections_refused_total", "Connections that were not let in, by reason.", &counters.refused);
    page.labelled(
        "streams",
        "gauge",
        "Streams now, those of identify and ping among them.",
        "direction",
        by_direction(counters.streams_inbound.into(), counters.streams_outbound.into()),
    );
    page.counter("streams_admitted_total", "Streams that were handed out.", counters.streams);
    page.reasons("streams_refused_total", "Streams that were not let in, by reason.", &counters.streams_refused);
    page.labelled(
        "bytes_total",
        "counter",
        "Bytes of all sockets.",
        "direction",
        [("sent", counters.sent), ("received", counters.received)],
    );
    page.counter("addresses_dialed_total", "Addresses that were dialed.", counters.dials);
    page.labelled(
        "dials_total",
        "counter",
        "Dials of peers, by outcome.",
        "outcome",
        [("connected", counters.opened_outbound), ("failed", counters.dials_failed)],
    );
    page.labelled(
        "punches_total",
        "counter",
        "Attempts to make a direct connection of a relayed one: those that began, and of them those that ended, by outcome.",
        "outcome",
        [
            ("started", counters.punches),
            ("upgraded", counters.punches_upgraded),
            ("failed", counters.punches_failed),
        ],
    );
    page.counter("trims_total", "Trims that closed something.", counters.trims);
    page.counter("identified_total", "Identify messages and pushes that were taken.", counters.identified);
    page.counter(
        "accepts_exhausted_total",
        "Times a listener had to wait because no file descriptor or memory was left.",
        counters.exhausted,
    );
    page.summary("ping_rtt_seconds", "The smoothed round trip of each connection now.", rtts);
    page.gauge("host_memory_bytes", "Heap that the host's decisions take, connections' own buffers left out.", memory);
    page.gauge("buffers_in_use", "Buffers of 256 KiB that connections hold right now.", buffers);
    page.relays(relays, &counters.relay_refused);
    page.head("build_info", "gauge", "The program's version.");
    page.0 += concat!("tidewire_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1\n");
    page.0
}

/// A text that grows.
struct Page(String);

// Writing to a String can't fail.
impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP tidewire_{name} {help}\n# TYPE tidewire_{name} {kind}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        let _ = writeln!(self.0, "tidewire_{name} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        let _ = writeln!(self.0, "tidewire_{name} {value}");
    }

    fn labelled<const N: usize>(&mut self, name: &str, kind: &str, help: &str, label: &str, values: [(&str, u64); N]) {
        self.head(name, kind, help);
        for (value, number) in values {
            let _ = writeln!(self.0, "tidewire_{name}{{{label}=\"{value}\"}} {number}");
        }
    }

    /// What a relay counts is there only if we are one.
    fn relays(&mut self, relays: &Relays, refused: &BTreeMap<&'static str, u64>) {
        self.gauge("relays_held", "Relays that hold a reservation for us.", relays.held);
        self.gauge("circuits", "Connections of ours through relays.", relays.ends);
        let Some((counts, counters)) = &relays.server else { return };
        self.gauge("relay_reservations", "Reservations with us as a relay.", counts.reservations);
        self.gauge("relay_circuits", "Circuits through us, those being opened included.", counts.circuits);
        self.labelled(
            "relay_reservations_total",
            "counter",
            "Reservations that were given, and renewed.",
            "kind",
            [("new", counters.reservations), ("renewal", counters.renewals)],
        );
        self.counter("relay_circuits_total", "Circuits that carried bytes.", counters.circuits);
        self.labelled(
            "relay_bytes_total",
            "counter",
            "Bytes of circuits through us; forward is from who asked for it.",
            "direction",
            [("forward", counters.forward), ("backward", counters.backward)],
        );
        self.head("relay_refused_total", "counter", "Requests that were refused, by the status that was told.");
        for (status, number) in refused {
            let _ = writeln!(self.0, "tidewire_relay_refused_total{{status=\"{status}\"}} {number}");
        }
    }

    fn reasons(&mut self, name: &str, help: &str, values: &BTreeMap<&'static str, u64>) {
        self.head(name, "counter", help);
        for (reason, number) in values {
            let _ = writeln!(self.0, "tidewire_{name}{{reason=\"{}\"}} {number}", reason.replace(' ', "_"));
        }
    }

    /// Of sorted values.
    fn summary(&mut self, name: &str, help: &str, sorted: &[Duration]) {
        self.head(name, "summary", help);
        for percent in [50, 90, 99] {
            // The nearest rank.
            let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            if let Some(value) = sorted.get(at) {
                let _ = writeln!(self.0, "tidewire_{name}{{quantile=\"0.{percent}\"}} {}", value.as_secs_f64());
            }
        }
        let sum: Duration = sorted.iter().sum();
        let _ = writeln!(self.0, "tidewire_{name}_sum {}\ntidewire_{name}_count {}", sum.as_secs_f64(), sorted.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_nearest_ranks() {
        let rtts: Vec<Duration> = (1..=10).map(|n| Duration::from_millis(n * 10)).collect();
        let page = page(&Counters::default(), 1000, 2, &rtts, &Relays::default());
        for line in [
            "tidewire_ping_rtt_seconds{quantile=\"0.50\"} 0.05",
            "tidewire_ping_rtt_seconds{quantile=\"0.90\"} 0.09",
            "tidewire_ping_rtt_seconds{quantile=\"0.99\"} 0.1",
            "tidewire_ping_rtt_seconds_sum 0.55",
            "tidewire_ping_rtt_seconds_count 10",
            "tidewire_host_memory_bytes 1000",
        ] {
            assert!(page.lines().any(|one| one == line), "{line} is not in:\n{page}");
        }
    }

    #[test]
    fn each_metric_has_its_help_and_type_once_and_before_its_values() {
        let mut counters = Counters::default();
        counters.closed.insert("dial over", 3);
        counters.relay_refused.insert("NO_RESERVATION", 2);
        let relays = Relays { server: Some(Default::default()), ..Relays::default() };
        let page = page(&counters, 0, 0, &[], &relays);
        let mut known = std::collections::BTreeSet::new();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(known.insert(rest.split(' ').next().unwrap().to_owned()), "{line} is there twice");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                let base = name.trim_end_matches("_sum").trim_end_matches("_count");
                assert!(known.contains(base), "{line}");
            }
        }
        assert!(page.contains("tidewire_connections_closed_total{reason=\"dial_over\"} 3"), "{page}");
        assert!(page.contains("tidewire_relay_refused_total{status=\"NO_RESERVATION\"} 2"), "{page}");
    }
}
