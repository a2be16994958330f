//! What a running node tells: pings, peers, metrics, logs, its configuration and its identity.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    unreachable_pub,
    dead_code
)]

mod common;

use common::{Folder, Listening, PATIENCE, dial, run, stderr, stdout, tidewire};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn json(words: &[&str]) -> (Value, i32) {
    let output = run(words);
    let text = stdout(&output);
    let value =
        serde_json::from_str(text.trim_end()).unwrap_or_else(|error| panic!("{error}: {text}{}", stderr(&output)));
    (value, output.status.code().unwrap())
}

#[test]
fn ping_counts_and_measures_and_its_exit_code_tells() {
    let listener = Listening::start(&[]);
    let output = run(&["ping", &listener.address, "--count", "3", "--interval", "0.05"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    for part in ["PING ", "seq=1 ", "seq=3 ", "3 sent, 3 answered, 0 % lost", "rtt min/avg/max/mdev = "] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(!text.contains("seq=4"), "{text}");

    let (report, code) = json(&["ping", &listener.address, "-c", "4", "-i", "0", "--json"]);
    assert_eq!((code, &report["ok"], &report["peer"]), (0, &Value::from(true), &Value::from(listener.peer())));
    assert_eq!((&report["sent"], &report["answered"]), (&Value::from(4), &Value::from(4)));
    let rtts: Vec<f64> = report["rtt_ms"].as_array().unwrap().iter().map(|rtt| rtt.as_f64().unwrap()).collect();
    assert_eq!(rtts.len(), 4);
    assert_eq!(report["max_ms"].as_f64(), rtts.iter().copied().reduce(f64::max));
    assert_eq!(report["min_ms"].as_f64(), rtts.iter().copied().reduce(f64::min));
}

#[test]
fn a_ping_to_nobody_fails_with_the_reason() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let peer = Listening::start(&["--seed", "1"]).peer().to_owned();
    let address = format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}");
    let (report, code) = json(&["ping", &address, "--json"]);
    assert_eq!((code, &report["ok"], &report["sent"]), (1, &Value::from(false), &Value::from(0)), "{report}");
    assert!(report["error"].as_str().unwrap().contains("refused"), "{report}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_ping_still_sums_up() {
    let listener = Listening::start(&[]);
    let mut child = tidewire(&["ping", &listener.address, "-c", "1000", "-i", "0.01"]).spawn().unwrap();
    listener.event("identified");
    std::thread::sleep(Duration::from_millis(300));
    let killed = std::process::Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text}");
    assert!(text.contains("rtt min/avg/max/mdev"), "{text}");
}

#[test]
fn a_key_has_one_id_and_it_is_the_one_that_others_see() {
    let folder = Folder::new();
    let key = folder.file("node.key");
    let (first, code) = json(&["id", "--key", &key, "--json"]);
    assert_eq!((code, first["type"].as_str()), (0, Some("Ed25519")), "{first}");
    assert_eq!(first["public_key"].as_str().unwrap().len(), 72, "36 bytes of protobuf");
    assert_eq!(json(&["id", "--key", &key, "--json"]).0, first);
    assert_eq!(Listening::start(&["--key", &key]).peer(), first["peer"].as_str().unwrap());
    let text = stdout(&run(&["id", "--key", &key]));
    assert!(text.contains(first["peer"].as_str().unwrap()) && text.contains("Ed25519"), "{text}");
}

#[cfg(unix)]
#[test]
fn peers_shows_who_is_there_and_why_they_stay() {
    let folder = Folder::new();
    let socket = folder.file("control");
    let mut listener = Listening::start(&["--control", &socket]);
    let mut dialer =
        tidewire(&["dial", &listener.address, "--size", "1", "--seed", "7", "--hold", "20"]).spawn().unwrap();
    let peer = listener.event("identified")["peer"].as_str().unwrap().to_owned();
    let output = run(&["peers", "--control", &socket, "--json"]);
    let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!((&lines[0]["node"], &lines[0]["peers"]), (&Value::from(listener.peer()), &Value::from(1)));
    assert_eq!(lines[0]["listening"][0], listener.address.as_str());
    assert!(lines[0]["addresses"][0]["why"].as_str().unwrap().contains("listen"), "{}", lines[0]);
    assert_eq!(lines[1]["peer"], peer.as_str());
    assert!(lines[1]["agent"].as_str().unwrap().starts_with("tidewire/"), "{}", lines[1]);
    let connection = &lines[1]["connections"][0];
    assert_eq!((connection["direction"].as_str(), connection["transport"].as_str()), (Some("inbound"), Some("tcp")));
    assert!(lines[1]["explain"].as_str().unwrap().contains("would not be closed"), "{}", lines[1]);

    let text = stdout(&run(&["peers", "--control", &socket]));
    for part in ["1 peers, 1 connections", "inbound", "value", "would not be closed", &peer] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    dialer.kill().unwrap();
    dialer.wait().unwrap();

    let second = run(&["listen", "--control", &socket]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("another process answers there"), "{}", stderr(&second));
    listener.signal("TERM");
    assert_eq!(listener.end(), Some(0));
    assert!(!std::path::Path::new(&socket).exists(), "it is left behind");
    let nobody = run(&["peers", "--control", &socket]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(stderr(&nobody).contains("nobody answers there"), "{}", stderr(&nobody));
}

#[cfg(unix)]
fn ask_socket(path: &str, question: &str) -> Value {
    let mut socket = std::os::unix::net::UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(question.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[cfg(unix)]
#[test]
fn a_running_node_can_be_told_to_listen_elsewhere_too() {
    let folder = Folder::new();
    let socket = folder.file("control");
    let listener = Listening::start(&["--control", &socket]);
    let answer = ask_socket(&socket, "listen /ip4/127.0.0.1/tcp/0\n");
    let address = answer["listening"][0].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    assert!(address.ends_with(listener.peer()) && address != listener.address);
    let (report, code) = dial(&[&address, "--size", "1"]);
    assert_eq!(code, 0, "{report}");
    for wrong in ["dance\n", "listen here\n", "listen /dns/localhost/tcp/1\n"] {
        assert!(ask_socket(&socket, wrong)["error"].is_string(), "{wrong}");
    }
}

/// Status line, headers, body.
fn get(url: &str, request: &str) -> (String, String) {
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    (head.to_owned(), body.to_owned())
}

/// A listener with metrics, and where they are.
fn with_metrics() -> (std::process::Child, String, String) {
    use std::io::{BufRead, BufReader};
    let mut child = tidewire(&["listen", "--json", "--metrics", "127.0.0.1:0"]).spawn().unwrap();
    let mut first = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut first).unwrap();
    // Somebody has to read what follows.
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let first: Value = serde_json::from_str(&first).unwrap();
    (child, first["listening"].as_str().unwrap().to_owned(), first["metrics"].as_str().unwrap().to_owned())
}

#[test]
fn prometheus_can_scrape_what_happened() {
    let (mut child, address, url) = with_metrics();
    let (report, code) = dial(&[&address, "--size", "100000"]);
    assert_eq!(code, 0, "{report}");
    let value = |body: &str, name: &str| -> Option<f64> {
        body.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    let began = Instant::now();
    let body = loop {
        let (head, body) = get(&url, "GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("version=0.0.4"), "{head}");
        if value(&body, "tidewire_connections_closed_total{reason=\"ended\"}") == Some(1.0) {
            break body;
        }
        assert!(began.elapsed() < PATIENCE, "{body}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(value(&body, "tidewire_connections_opened_total{direction=\"inbound\"}"), Some(1.0), "{body}");
    assert!(value(&body, "tidewire_bytes_total{direction=\"received\"}") > Some(100_000.0), "{body}");
    assert!(value(&body, "tidewire_identified_total") >= Some(1.0), "{body}");
    assert!(value(&body, "tidewire_host_memory_bytes") > Some(0.0), "{body}");

    for (request, status) in [
        ("POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405"),
        ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404"),
        ("nonsense\r\n\r\n", "HTTP/1.1 404"),
        (&"x".repeat(9000), "HTTP/1.1 431"),
    ] {
        let (head, _) = get(&url, request);
        assert!(head.starts_with(status), "{head}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn logs_go_to_stderr_as_far_as_they_are_asked_for() {
    let listener = Listening::start(&[]);
    let quiet = tidewire(&["dial", &listener.address, "--size", "1"]).env_remove("RUST_LOG").output().unwrap();
    assert_eq!(stderr(&quiet), "");
    let asked = run(&["dial", &listener.address, "--size", "1", "--log", "debug"]);
    let said = stderr(&asked);
    assert!(said.contains("connection opened") && said.contains(listener.peer()), "{said}");
    assert!(!said.contains('\x1b'), "colours are for terminals");
    let by_environment =
        tidewire(&["dial", &listener.address, "--size", "1"]).env("RUST_LOG", "debug").output().unwrap();
    assert!(stderr(&by_environment).contains("connection opened"));
}

#[test]
fn the_printed_configuration_is_taken_by_every_command() {
    let folder = Folder::new();
    let printed = run(&["config"]);
    assert_eq!(printed.status.code(), Some(0));
    let file = folder.write("tidewire.toml", &stdout(&printed));
    assert_eq!(stdout(&run(&["config", "--config", &file])), stdout(&printed));
    let listener = Listening::start(&["--config", &file]);
    let (report, code) = dial(&[&listener.address, "--size", "1", "--config", &file]);
    assert_eq!(code, 0, "{report}");
    let (report, code) = json(&["ping", &listener.address, "-c", "1", "--json", "--config", &file]);
    assert_eq!(code, 0, "{report}");
}

#[test]
fn what_a_configuration_says_is_done_and_options_count_more() {
    let folder = Folder::new();
    let file = folder.write("mine.toml", "[host]\nagent = \"my node\"\n[upgrade]\nmuxers = [\"mplex\", \"yamux\"]\n");
    let listener = Listening::start(&["--config", &file]);
    let (report, _) = dial(&[&listener.address, "--size", "1", "--muxer", "yamux,mplex"]);
    assert_eq!((report["identify"]["agent"].as_str(), report["muxer"].as_str()), (Some("my node"), Some("yamux")));
    let (report, _) = dial(&[&listener.address, "--size", "1", "--config", &file]);
    assert_eq!(report["muxer"], "mplex", "{report}");
    let (report, _) = dial(&[&listener.address, "--size", "1", "--config", &file, "--muxer", "yamux"]);
    assert_eq!(report["muxer"], "yamux", "{report}");
    let shown = stdout(&run(&["config", "--config", &file]));
    assert!(shown.contains("agent = \"my node\"") && shown.contains("muxers = [\"mplex\", \"yamux\"]"), "{shown}");
}

#[test]
fn connections_that_are_not_let_in_are_told_with_the_reason() {
    let listener = Listening::start(&["--max-connections", "1"]);
    let mut first =
        tidewire(&["dial", &listener.address, "--size", "1", "--seed", "7", "--hold", "20"]).spawn().unwrap();
    listener.event("identified");
    let (report, code) = dial(&[&listener.address, "--size", "1", "--seed", "8"]);
    assert_eq!(code, 1, "{report}");
    let refused = listener.event("refused");
    assert!(refused["address"].as_str().unwrap().starts_with("/ip4/127.0.0.1/tcp/"), "{refused}");
    assert!(refused["reason"].as_str().unwrap().contains("1 place"), "{refused}");
    assert_eq!(refused["count"], 1, "{refused}");
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn streams_that_are_not_let_in_are_told_with_the_reason() {
    let folder = Folder::new();
    let file = folder.write("strict.toml", "[host.manager.limits]\nstreams_per_protocol_peer = 0\n");
    let listener = Listening::start(&["--config", &file]);
    let (report, code) = dial(&[&listener.address, "--size", "1"]);
    assert_eq!(code, 1, "{report}");
    let refused = listener.event("streams_refused");
    assert!(refused["protocol"].as_str().unwrap().starts_with('/'), "{refused}");
    assert!(refused["reason"].as_str().unwrap().contains("limits.streams_per_protocol_peer"), "{refused}");
    assert_eq!(refused["count"], 1, "{refused}");
}

#[test]
fn a_recorded_demo_replays_identically_in_another_process() {
    let folder = Folder::new();
    let file = folder.file("demo.rec");
    let demo = run(&["demo", "--size", "1KiB", "--record", &file]);
    assert_eq!(demo.status.code(), Some(0), "{}", stderr(&demo));
    let replay = run(&["replay", &file, "--json"]);
    assert_eq!(replay.status.code(), Some(0), "{}{}", stdout(&replay), stderr(&replay));
    let trace = run(&["trace", &file]);
    assert_eq!(trace.status.code(), Some(0), "{}{}", stdout(&trace), stderr(&trace));
    let page = folder.file("demo.html");
    assert_eq!(run(&["trace", &file, "--html", &page]).status.code(), Some(0));
    assert!(std::fs::read_to_string(&page).unwrap().contains("</html>"));
}

#[test]
fn what_listen_and_dial_record_replays_identically() {
    let folder = Folder::new();
    let (listened, dialed) = (folder.file("listen.rec"), folder.file("dial.rec"));
    let mut listener = Listening::start(&["--record", &listened]);
    let (report, code) = dial(&[&listener.address, "--size", "1KiB", "--record", &dialed]);
    assert_eq!(code, 0, "{report}");
    listener.event("closed");
    listener.signal("TERM");
    assert_eq!(listener.end(), Some(0));
    for file in [&listened, &dialed] {
        let replay = run(&["replay", file]);
        assert_eq!(replay.status.code(), Some(0), "{}{}", stdout(&replay), stderr(&replay));
    }
}

#[test]
fn a_recording_that_can_not_be_written_is_an_unusable_command_line() {
    let folder = Folder::new();
    let output = run(&["dial", "/ip4/127.0.0.1/tcp/1", "--record", &folder.file("no/such/folder")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--record"), "{}", stderr(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_recording_and_nothing_else() {
    let listener = Listening::start(&[]);
    let output = run(&["dial", "--json", &listener.address, "--size", "1KiB", "--record", "/dev/full"]);
    let report: Value = serde_json::from_str(stdout(&output).trim_end()).unwrap();
    assert_eq!((output.status.code(), &report["ok"]), (Some(0), &Value::from(true)));
    let said = stderr(&output);
    assert!(said.contains("--record /dev/full") && said.contains("the recording ends here"), "{said}");
}
