//! The binary as people and programs use it: listen and dial against each other, keys, signals, the demo.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    unreachable_pub,
    dead_code
)]

mod common;

use common::{Folder, Listening, dial, run, stderr, stdout, tidewire};
use serde_json::Value;
use std::time::{Duration, Instant};

const PSK: &str = "/key/swarm/psk/1.0.0/\n/base16/\n6189c5cf0b87fb800c1a9feeda73c6ab5e998db48fb9e6a978575c770ceef683\n";

#[test]
fn every_security_muxer_and_selection_connects_pings_and_echoes() {
    for (security, muxer, select) in [
        ("noise", "yamux", "lazy"),
        ("noise", "yamux", "plain"),
        ("noise", "mplex", "lazy"),
        ("plaintext", "yamux", "lazy"),
        ("plaintext", "mplex", "plain"),
    ] {
        let options = ["--security", security, "--muxer", muxer, "--select", select];
        let listener = Listening::start(&options);
        let (report, code) = dial(&[&[listener.address.as_str(), "--size", "100000"][..], &options].concat());
        assert_eq!(code, 0, "{report}");
        assert_eq!(report["ok"], true);
        assert_eq!(report["peer"], listener.peer());
        assert_eq!((report["security"].as_str(), report["muxer"].as_str()), (Some(security), Some(muxer)));
        assert_eq!(report["echo"]["bytes"], 100_000);
        assert_eq!(report["echo"]["ended"], true);
        assert!(report["connect_ms"].as_f64().unwrap() > 0.0);
        assert_eq!(report["ping_ms"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn the_first_choice_that_both_have_is_taken() {
    let listener = Listening::start(&["--security", "noise,plaintext", "--muxer", "yamux,mplex"]);
    let dialer = ["--security", "plaintext,noise", "--muxer", "mplex,yamux", "--size", "1"];
    let (report, _) = dial(&[&[listener.address.as_str()][..], &dialer].concat());
    assert_eq!((report["security"].as_str(), report["muxer"].as_str()), (Some("plaintext"), Some("mplex")), "{report}");
}

#[test]
fn an_echo_of_nothing_ends() {
    let listener = Listening::start(&[]);
    let (report, code) = dial(&[&listener.address, "--size", "0"]);
    assert_eq!((code, &report["echo"]["bytes"], &report["echo"]["ended"]), (0, &Value::from(0), &Value::from(true)));
}

#[test]
fn an_idle_connection_can_be_pinged_again() {
    let listener = Listening::start(&[]);
    let (report, code) = dial(&[&listener.address, "--size", "1KiB", "--hold", "0.3"]);
    assert_eq!(code, 0, "{report}");
    assert!(report["held_ms"].as_f64().unwrap() >= 300.0);
    assert_eq!(report["ping_after_ms"].as_array().unwrap().len(), 3);
}

#[test]
fn the_listener_tells_what_happens_one_object_a_line() {
    let listener = Listening::start(&[]);
    let (_, code) = dial(&[&listener.address, "--size", "5000", "--seed", "7"]);
    assert_eq!(code, 0);
    let connected = listener.event("connected");
    assert_eq!((connected["security"].as_str(), connected["muxer"].as_str()), (Some("noise"), Some("yamux")));
    let streams = [listener.event("stream"), listener.event("stream")];
    let of = |name: &str| streams.iter().find(|stream| stream["protocol"] == name).unwrap();
    // The node answers pings itself, and does not count their bytes.
    assert!(of("/ipfs/ping/1.0.0")["bytes"].is_null(), "{streams:?}");
    assert_eq!(of("/echo/1.0.0")["bytes"], 5000);
    let closed = listener.event("closed");
    assert_eq!((&closed["peer"], closed["by"].as_str()), (&connected["peer"], Some("the remote")));
    assert!(closed["received"].as_u64() > Some(5000), "{closed}");
}

#[test]
fn both_ends_learn_who_the_other_is() {
    let listener = Listening::start(&[]);
    let (report, code) = dial(&[&listener.address, "--size", "1", "--seed", "7"]);
    let agent = concat!("tidewire/", env!("CARGO_PKG_VERSION"));
    assert_eq!((code, report["identify"]["agent"].as_str()), (0, Some(agent)), "{report}");
    assert_eq!(report["identify"]["signed"], true);
    let protocols = report["identify"]["protocols"].as_array().unwrap();
    assert!(protocols.contains(&"/ipfs/ping/1.0.0".into()) && protocols.contains(&"/ipfs/id/push/1.0.0".into()));
    assert!(report["identify"]["observed"].as_str().unwrap().starts_with("/ip4/127.0.0.1/tcp/"));
    let identified = listener.event("identified");
    assert_eq!((identified["agent"].as_str(), identified["pushed"].as_bool()), (Some(agent), Some(false)));
}

#[test]
fn members_of_a_private_network_find_each_other_and_no_one_else_does() {
    let folder = Folder::new();
    let key = folder.write("swarm.key", PSK);
    let other = folder.write("other.key", &PSK.replace("6189c5", "000000"));
    let listener = Listening::start(&["--psk", &key]);
    let (report, code) = dial(&[&listener.address, "--psk", &key, "--size", "1000"]);
    assert_eq!(code, 0, "{report}");
    for strangers in [&["--psk", &other][..], &[]] {
        let began = Instant::now();
        let (report, code) = dial(&[&[listener.address.as_str(), "--timeout", "2"], strangers].concat());
        assert_eq!((code, &report["ok"]), (1, &Value::from(false)));
        assert!(report["error"].as_str().unwrap().contains("private network"), "{report}");
        assert!(began.elapsed() < Duration::from_secs(10), "{report}");
    }
}

#[test]
fn a_listener_with_another_identity_is_refused() {
    let listener = Listening::start(&["--seed", "1"]);
    let expected = Listening::start(&["--seed", "2"]).peer().to_owned();
    let (report, code) = dial(&[&listener.address.replace(listener.peer(), &expected)]);
    let error = report["error"].as_str().unwrap();
    assert_eq!(code, 1);
    assert!(error.contains(&expected) && error.contains(listener.peer()), "{error}");
}

#[test]
fn without_a_peer_id_whoever_answers_is_taken() {
    let listener = Listening::start(&[]);
    let bare = listener.address.split("/p2p/").next().unwrap();
    let (report, code) = dial(&[bare, "--size", "1"]);
    assert_eq!((code, &report["peer"]), (0, &Value::from(listener.peer())));
}

#[test]
fn who_stays_serves_the_echo_and_tells_the_peer() {
    let listener = Listening::start(&[]);
    let (report, code) = dial(&[&listener.address, "--size", "1", "--hold", "2"]);
    assert_eq!(code, 0, "{report}");
    let serves_echo = |event: &Value| event["protocols"].as_array().unwrap().contains(&Value::from("/echo/1.0.0"));
    let first = listener.event("identified");
    assert!(first["pushed"] == false && !serves_echo(&first), "{first}");
    let then = listener.event("identified");
    assert!(then["pushed"] == true && serves_echo(&then), "{then}");
}

#[test]
fn a_port_on_which_another_node_listens_is_an_error_that_names_it() {
    let listener = Listening::start(&[]);
    let address = listener.address.split("/p2p/").next().unwrap();
    let output = run(&["listen", "--listen", address]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    let said = stderr(&output);
    assert!(said.contains(address) && said.contains("in use"), "{said}");
}

#[test]
fn nobody_at_the_address_is_an_error_that_names_it() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("/ip4/127.0.0.1/tcp/{port}");
    let (report, code) = dial(&[&address]);
    assert_eq!(code, 1);
    assert!(report["error"].as_str().unwrap().contains(&address), "{report}");
}

#[test]
fn somebody_who_says_nothing_is_given_up_on() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr().unwrap().port());
    let began = Instant::now();
    let (report, code) = dial(&[&address, "--timeout", "0.3"]);
    assert_eq!((code, &report["ok"]), (1, &Value::from(false)));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn people_are_told_in_words_and_errors_go_to_stderr() {
    let listener = Listening::start(&[]);
    let output = run(&["dial", &listener.address, "--size", "1000"]);
    let text = stdout(&output);
    assert!(text.contains(&format!("connected to {}", listener.peer())) && text.contains("echo 1000 B"), "{text}");
    assert!(!text.contains('\x1b'), "colours are for terminals");
    let output = run(&["dial", "/ip4/127.0.0.1/tcp/1"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
    assert_eq!(stderr(&output).lines().count(), 1);
}

#[test]
fn a_key_file_is_made_once_for_its_owner_alone() {
    let folder = Folder::new();
    let key = folder.file("node.key");
    let first = Listening::start(&["--key", &key]).peer().to_owned();
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(std::fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::read(&key).unwrap().len(), 68, "the protobuf of an Ed25519 key");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
    assert_eq!(Listening::start(&["--key", &key]).peer(), first);
}

#[test]
fn at_most_max_connections_are_open() {
    let listener = Listening::start(&["--max-connections", "1"]);
    let mut first = tidewire(&["dial", "--json", &listener.address, "--size", "1", "--hold", "20"]).spawn().unwrap();
    listener.event("connected");
    let (report, code) = dial(&[&listener.address, "--timeout", "5"]);
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(code, 1, "{report}");
    listener.event("closed");
    let (report, code) = dial(&[&listener.address, "--size", "1"]);
    assert_eq!(code, 0, "{report}");
}

#[cfg(unix)]
#[test]
fn sigterm_ends_listening_cleanly_also_with_a_connection_and_twice() {
    let mut listener = Listening::start(&[]);
    let dialer = tidewire(&["dial", "--json", &listener.address, "--size", "1", "--hold", "20"]).spawn().unwrap();
    listener.event("connected");
    let began = Instant::now();
    listener.signal("TERM");
    listener.signal("TERM");
    assert_eq!(listener.end(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5));
    let report: Value = serde_json::from_slice(&dialer.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(report["ok"], false, "{report}");
}

#[cfg(unix)]
#[test]
fn sigint_ends_listening_cleanly() {
    let mut listener = Listening::start(&[]);
    listener.signal("INT");
    assert_eq!(listener.end(), Some(0));
}

#[test]
fn a_stdout_that_nobody_reads_stops_nothing() {
    use std::io::{BufRead, BufReader};
    let mut child = tidewire(&["listen", "--json"]).spawn().unwrap();
    let mut first = String::new();
    // Closes the pipe behind the first line.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    let address = first["listening"].as_str().unwrap();
    for _ in 0..2 {
        let (report, code) = dial(&[address, "--size", "1"]);
        assert_eq!(code, 0, "{report}");
    }
    assert!(child.try_wait().unwrap().is_none(), "it still listens");
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

#[test]
fn a_demo_into_a_closed_pipe_does_not_panic() {
    let mut child = tidewire(&["demo", "--size", "1KiB"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
}

#[test]
fn the_demo_shows_both_ends_and_three_round_trips() {
    let output = run(&["demo", "--size", "1MiB"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    for part in [
        "dialer",
        "listener",
        "/noise",
        "flight 6",
        "3 round trips to the first answer",
        "connected to ..",
        "upgraded: noise, yamux, in ",
        "opens /ipfs/ping/1.0.0",
        "identified: tidewire/",
        "closed by us: the demo is over",
        "closed by the remote",
        "1 MiB there and back",
        "wants a reservation at ..",
        "is asked for a reservation",
        "is asked for a circuit to ..",
        "has a circuit",
        ", end to end",
        "there and back through the relay",
        "5. And without it",
        "sends CONNECT",
        "answers with its own CONNECT",
        "sends SYNC, dials in ",
        "dials 127.0.0.1:",
        "has its 16 KiB back directly",
        "The holder's report: punched through on try ",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(text.trim_end().lines().last().unwrap().contains("All went well"), "{text}");
}

#[test]
fn the_demo_for_programs_is_one_object_a_line() {
    let output = run(&["demo", "--json", "--size", "64KiB"]);
    let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!((&last["ok"], &last["round_trips"]), (&Value::from(true), &Value::from(3)), "{last}");
    assert!(last["patient_round_trips"].as_u64() > Some(3), "{last}");
    assert_eq!(last["echo"]["bytes"], 65_536);
    let flights = lines.iter().filter(|line| line["chapter"] == "connection" && line["flight"].is_u64());
    assert!(flights.clone().all(|line| line["bytes"].as_u64() > Some(0)));
    assert!(flights.count() >= 4, "ours after TCP's two: {lines:?}");
    assert_eq!(last["relay"]["echo"]["bytes"], 32_768);
    assert!(last["relay"]["circuit"].as_str().unwrap().contains("/p2p-circuit/p2p/"), "{last}");
    let direct = &last["direct"];
    assert_eq!((&direct["upgraded"], &direct["direct_echo"]["bytes"]), (&true.into(), &16_384.into()), "{last}");
    assert!(direct["direct_addr"].as_str().unwrap().starts_with("/ip4/127.0.0.1/tcp/"), "{last}");
    assert_eq!(direct["report"]["side"], "B", "{last}");
    assert!(direct["report"]["tries"].as_array().is_some_and(|tries| !tries.is_empty()), "{last}");
    let said = lines.iter().filter(|line| line["chapter"] == "relay");
    for side in ["dialer", "relay", "holder"] {
        assert!(said.clone().any(|line| line["side"] == side && line["says"].is_string()), "{side}");
    }
}
