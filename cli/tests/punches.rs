//! Circuits that become direct connections, each part a process of its own over loopback: `reserve`, `dial-circuit --wait`,
//! `punch`.
//!
//! There is no NAT here: the holder's plain dial reaches the dialer, once addresses that are not public are allowed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    unreachable_pub,
    dead_code
)]

mod common;

use common::{Folder, Listening, run, stderr, stdout};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Nobody's.
const STRANGER: &str = "12D3KooWETJFK6QvpZyZe6xT47VCyau57ucKL36dCCovkzLjNuSY";
const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";

fn relay() -> Listening {
    Listening::of(&["relay"])
}

fn holder(relay: &Listening, words: &[&str]) -> Listening {
    Listening::reserve(&[&[relay.address.as_str()], words].concat())
}

/// What a command prints, each line an object, and its exit code.
fn lines(words: &[&str]) -> (Vec<Value>, i32) {
    let output = run(&[words, &["--json"]].concat());
    let text = stdout(&output);
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    (lines.collect(), output.status.code().unwrap_or_else(|| panic!("{}", stderr(&output))))
}

fn report(words: &[&str]) -> (Value, i32) {
    let (mut all, code) = lines(words);
    assert_eq!(all.len(), 1, "{all:?}");
    (all.remove(0), code)
}

#[test]
fn a_circuit_becomes_direct_and_both_ends_say_so() {
    let relay = relay();
    let holder = holder(&relay, &["--private"]);
    let (told, code) = report(&["dial-circuit", &holder.address, "--wait", "20", "--private"]);
    assert_eq!((code, &told["ok"], &told["upgraded"]), (0, &true.into(), &true.into()), "{told}");
    assert!(told["upgrade_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{told}");
    for echo in ["echo", "direct_echo"] {
        assert_eq!((&told[echo]["bytes"], &told[echo]["ended"]), (&16_384.into(), &true.into()), "{told}");
    }
    let at = told["direct_addr"].as_str().unwrap();
    assert!(at.starts_with("/ip4/") && !at.contains("p2p-circuit"), "{told}");
    // The holder's plain dial is no attempt of the dialer's.
    assert!(told["report"].is_null(), "{told}");
    let said = told["explanation"].as_str().unwrap();
    assert!(said.starts_with("the peer reached us as we are, from /ip4/"), "{told}");

    let direct = holder.line("of the direct connection", |line| line["direct"] == true);
    let connected = direct["peer"].clone();
    assert!(direct["addr"].as_str().is_some_and(|at| !at.contains("p2p-circuit")), "{direct}");
    assert_eq!(direct.as_object().unwrap().len(), 3, "{direct}");
    let punch = holder.event("punch_report");
    assert_eq!((&punch["peer"], &punch["upgraded"]), (&connected, &true.into()), "{punch}");
    let report = &punch["report"];
    assert_eq!((&report["side"], &report["relay"]), (&"B".into(), &relay.peer().into()), "{punch}");
    assert!(report["sentence"].as_str().unwrap().contains("connected without a punch"), "{punch}");
    assert_eq!(report["end"]["Upgraded"]["how"], "Direct", "{punch}");
}

#[test]
fn the_echo_goes_through_the_relay_before_anything_is_direct() {
    let relay = relay();
    let holder = holder(&relay, &["--private"]);
    let (told, code) = report(&["dial-circuit", &holder.address, "--wait", "20", "--private"]);
    assert_eq!((code, &told["upgraded"]), (0, &true.into()), "{told}");
    let closed = relay.event("circuit_closed");
    assert!(closed["forward"].as_u64() > Some(16_384) && closed["backward"].as_u64() > Some(16_384), "{closed}");
    assert!(closed["forward"].as_u64() < Some(32_768), "the second echo does not: {closed}");
}

#[test]
fn events_of_an_attempt_are_told_in_order() {
    let relay = relay();
    let holder = holder(&relay, &["--private"]);
    let (told, _) = report(&["dial-circuit", &holder.address, "--wait", "20", "--private"]);
    assert_eq!(told["upgraded"], true, "{told}");
    let started = holder.event("punch_started");
    assert_eq!(started["side"], "B");
    let stage = holder.event("punch_stage");
    assert_eq!((&stage["stage"], &stage["dials"]), (&"direct".into(), &1.into()), "{stage}");
    let dialing = holder.event("punch_dialing");
    assert_eq!((&dialing["plan"], &dialing["peer"]), (&"initiate".into(), &started["peer"]), "{dialing}");
    let outcome = holder.event("punch_outcome");
    assert_eq!((&outcome["dial"], &outcome["outcome"]), (&dialing["dial"], &"connected".into()), "{outcome}");
}

#[test]
fn without_private_addresses_the_circuit_stays_and_the_reason_is_told() {
    let relay = relay();
    let holder = holder(&relay, &[]);
    let words = ["dial-circuit", &holder.address, "--wait", "1", "--listen", LOOPBACK, "--hold", "0.1"];
    let (told, code) = report(&words);
    assert_eq!((code, &told["ok"], &told["upgraded"]), (0, &true.into(), &false.into()), "{told}");
    assert_eq!(told["echo"]["bytes"], 16_384, "{told}");
    assert_eq!(told["ping_after_ms"].as_array().unwrap().len(), 3, "the circuit goes on: {told}");
    let told = told.as_object().unwrap();
    for absent in ["upgrade_ms", "direct_addr", "direct_echo", "report"] {
        assert_eq!(told.get(absent), Some(&Value::Null), "{absent}: {told:?}");
    }
    assert!(
        told["explanation"].as_str().unwrap().starts_with("the peer is to open a stream for it, and did not"),
        "{told:?}"
    );
    let punch = holder.event("punch_report");
    assert_eq!(punch["upgraded"], false, "{punch}");
    assert!(punch["report"]["sentence"].as_str().unwrap().contains("public address"), "{punch}");
}

#[test]
fn who_wants_no_direct_connection_gets_none() {
    let relay = relay();
    let holder = holder(&relay, &["--private", "--no-dcutr"]);
    let protocols = |told: &Value| told["identify"]["protocols"].to_string();
    let (told, code) = report(&["dial-circuit", &holder.address, "--wait", "0.5", "--private", "--listen", LOOPBACK]);
    assert_eq!((code, &told["upgraded"]), (0, &false.into()), "{told}");
    assert!(told["report"].is_null(), "{told}");
    assert!(!protocols(&told).contains("dcutr"), "{told}");
    assert_eq!(told["explanation"], "the peer does not speak /libp2p/dcutr: the circuit stays");
    let (told, _) = report(&["dial-circuit", &holder.address, "--wait", "0.5", "--no-dcutr"]);
    assert_eq!(told["explanation"], "nothing is done about a direct connection", "{told}");
}

/// All that a program finds in the line of `dial-circuit`.
const KEYS: [&str; 8] = ["ok", "echo", "upgraded", "upgrade_ms", "direct_addr", "direct_echo", "report", "explanation"];

fn has_all_keys(told: &Value) {
    let there = told.as_object().unwrap();
    assert!(KEYS.iter().all(|key| there.contains_key(*key)), "{told}");
}

#[test]
fn every_key_is_there_whatever_becomes_of_a_circuit() {
    let relay = relay();
    let holder = holder(&relay, &["--private"]);
    let (told, _) = report(&["dial-circuit", &holder.address]);
    has_all_keys(&told);
    assert_eq!((&told["upgraded"], &told["explanation"]), (&false.into(), &Value::Null), "nobody waited: {told}");
    has_all_keys(&report(&["dial-circuit", &holder.address, "--wait", "20", "--private"]).0);
    let (told, code) = report(&["dial-circuit", &format!("{}/p2p-circuit/p2p/{STRANGER}", relay.address)]);
    has_all_keys(&told);
    assert_eq!((code, &told["ok"], &told["echo"]), (1, &false.into(), &Value::Null), "{told}");
    // What was there when it failed stays in it.
    let short = Listening::of(&["relay", "--duration", "2"]);
    let holder = self::holder(&short, &[]);
    let words = ["dial-circuit", &holder.address, "--size", "4KiB", "--wait", "0", "--hold", "20", "--no-dcutr"];
    let (told, code) = report(&words);
    has_all_keys(&told);
    assert_eq!((code, &told["ok"], &told["echo"]["bytes"]), (1, &false.into(), &4096.into()), "{told}");
    assert!(told["error"].as_str().unwrap().starts_with("idle for "), "{told}");
    assert_eq!(told["explanation"], "nothing is done about a direct connection", "{told}");
    // Of one that was never one, none.
    let listener = Listening::start(&[]);
    let (told, _) = report(&["dial", &listener.address, "--size", "1"]);
    assert!(told.get("upgraded").is_none() && told.get("explanation").is_none(), "{told}");
}

#[test]
fn an_attempt_that_outlasts_the_wait_is_told_as_far_as_it_is() {
    let (relay, folder) = (relay(), Folder::new());
    let holder = holder(&relay, &with_one_try_and_no_room(&config_of_one_try(&folder, "20s")));
    let words = ["dial-circuit", &holder.address, "--wait", "3", "--private", "--listen", LOOPBACK];
    let (told, code) = report(&words);
    assert_eq!((code, &told["ok"], &told["upgraded"]), (0, &true.into(), &false.into()), "{told}");
    has_all_keys(&told);
    assert!(told["explanation"].as_str().unwrap().starts_with("the attempt is still under way: try "), "{told}");
    let report = &told["report"];
    assert_eq!((&report["side"], &report["tries"][0]["number"]), (&"A".into(), &1.into()), "{told}");
    assert_eq!(report["end"]["Failed"], "Shutdown", "{told}");
}

/// After one try it does nothing, and the dialer, who knows of three, waits for the next one up to half a minute: so the attempt
/// outlasts what is waited for here, whatever becomes of the one try. It has no room for a direct connection.
fn with_one_try_and_no_room(config: &str) -> [&str; 7] {
    ["--private", "--listen", LOOPBACK, "--max-connections", "2", "--config", config]
}

fn config_of_one_try(folder: &Folder, punch_timeout: &str) -> String {
    let text = format!("[host.punching]\ndirect_timeout = \"0s\"\ntries = 1\npunch_timeout = \"{punch_timeout}\"\n");
    folder.write("one-try.toml", &text)
}

#[test]
fn a_punch_that_is_not_over_at_its_end_is_told_as_far_as_it_is() {
    let (relay, folder) = (relay(), Folder::new());
    let holder = holder(&relay, &with_one_try_and_no_room(&config_of_one_try(&folder, "20s")));
    let words = ["punch", &holder.address, "--private", "--listen", LOOPBACK, "--wait"];
    let (told, code) = lines(&[&words[..], &["3"]].concat());
    let last = told.last().unwrap();
    assert_eq!((code, &last["ok"]), (1, &false.into()), "{told:?}");
    assert_eq!(last["report"]["end"]["Failed"], "Shutdown", "{last}");
    assert!(last["explanation"].as_str().unwrap().starts_with("the attempt is still under way: try "), "{last}");
    assert!(last["error"].as_str().unwrap().starts_with("no direct connection after"), "{last}");
    #[cfg(unix)]
    {
        // Another one, with whom the holder has not failed yet.
        let mut child = common::tidewire(&[&words[..], &["60", "--json"]].concat()).spawn().unwrap();
        let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("await_sync") {
            line.clear();
            assert_ne!(std::io::BufRead::read_line(&mut said, &mut line).unwrap(), 0, "it ended");
        }
        let pid = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        let last: Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
        assert!(last["error"].as_str().unwrap().starts_with("ended by SIGINT; "), "{last}");
        assert_eq!(last["report"]["end"]["Failed"], "Shutdown", "{last}");
    }
}

#[test]
fn a_punch_that_failed_has_its_sentence_as_the_error() {
    let (relay, folder) = (relay(), Folder::new());
    let config = config_of_one_try(&folder, "1s");
    let holder = holder(&relay, &with_one_try_and_no_room(&config));
    // One try for the dialer too: with it the attempt is over.
    let words = ["punch", &holder.address, "--private", "--listen", LOOPBACK, "--config", &config];
    let (told, code) = lines(&words);
    let last = told.last().unwrap();
    assert_eq!((code, &last["ok"], &last["upgraded"]), (1, &false.into(), &false.into()), "{told:?}");
    assert!(last["error"].as_str().is_some_and(|said| !said.is_empty()), "{last}");
    assert_eq!((&last["explanation"], &last["report"]["sentence"]), (&last["error"], &last["error"]), "{last}");
}

#[test]
fn whose_circuit_dies_waits_no_longer() {
    for (command, relay_dies) in [("dial-circuit", false), ("dial-circuit", true), ("punch", false), ("punch", true)] {
        let mut relay = relay();
        // It has no public address, and does nothing.
        let mut holder = holder(&relay, &[]);
        let child = common::tidewire(&[command, &holder.address, "--wait", "60", "--json"]).spawn().unwrap();
        relay.event("circuit_opened");
        holder.event("punch_report");
        std::thread::sleep(Duration::from_millis(500));
        let began = Instant::now();
        if relay_dies { &mut relay } else { &mut holder }.child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(began.elapsed() < Duration::from_secs(8), "{command}: after {:?}", began.elapsed());
        assert_eq!(output.status.code(), Some(1), "{command}");
        let told: Value = serde_json::from_str(stdout(&output).lines().last().unwrap()).unwrap();
        assert_eq!((&told["ok"], &told["upgraded"]), (&false.into(), &false.into()), "{told}");
        let error = told["error"].as_str().unwrap();
        assert!(error.contains("no connection to the peer is left; the circuit was closed by "), "{told}");
        assert_eq!(told["explanation"], "no connection to the peer is left", "{told}");
    }
}

#[test]
fn punch_gives_up_early_where_no_address_is_public_and_says_what_helps() {
    let relay = relay();
    let holder = holder(&relay, &[]);
    let began = Instant::now();
    let (told, code) = lines(&["punch", &holder.address, "--listen", LOOPBACK]);
    let last = told.last().unwrap();
    assert_eq!((code, &last["ok"]), (1, &false.into()), "{told:?}");
    assert!(last["error"].as_str().unwrap().ends_with("both ends need --private"), "{last}");
    assert!(began.elapsed() < Duration::from_secs(40), "it would wait for 90 s: {:?}", began.elapsed());
}

#[cfg(unix)]
#[test]
fn who_is_interrupted_while_waiting_says_how_far_it_was() {
    let relay = relay();
    let holder = holder(&relay, &["--no-dcutr"]);
    let waiting = ["dial-circuit", &holder.address, "--wait", "60", "--json"];
    let mut child = common::tidewire(&waiting).spawn().unwrap();
    relay.event("circuit_opened");
    holder.event("stream");
    std::thread::sleep(Duration::from_millis(300));
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&told["ok"], &told["error"]), (&false.into(), &"ended by SIGINT".into()), "{told}");
    assert_eq!(told["echo"]["bytes"], 16_384, "{told}");
    assert_eq!(told["explanation"], "the peer does not speak /libp2p/dcutr: the circuit stays", "{told}");
}

#[test]
fn a_dialer_that_stays_outlives_its_circuit() {
    let relay = Listening::of(&["relay", "--duration", "2"]);
    let holder = holder(&relay, &["--private"]);
    let words = ["dial-circuit", &holder.address, "--wait", "20", "--private", "--hold", "4"];
    let (told, code) = report(&words);
    assert_eq!((code, &told["upgraded"]), (0, &true.into()), "{told}");
    assert_eq!(told["ping_after_ms"].as_array().unwrap().len(), 3, "{told}");
    relay.event("circuit_closed");
}

#[test]
fn punch_shows_it_and_its_exit_code_says_how_it_went() {
    let relay = relay();
    let private = holder(&relay, &["--private"]);
    let (told, code) = lines(&["punch", &relay.address, private.peer(), "--private"]);
    let last = told.last().unwrap();
    assert_eq!((code, &last["ok"], &last["upgraded"]), (0, &true.into(), &true.into()), "{told:?}");
    assert!(last["error"].is_null() && last["explanation"].as_str().is_some_and(|said| !said.is_empty()), "{last}");
    assert!(last["direct_addr"].as_str().is_some_and(|at| at.starts_with("/ip4/")), "{last}");
    let punch = private.event("punch_report");
    assert_eq!(punch["upgraded"], true, "who shows it waits until both know: {punch}");

    let public = holder(&relay, &[]);
    // The address of the circuit is as good as the two.
    let output = run(&["punch", &public.address, "--wait", "0.5", "--listen", LOOPBACK]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("a circuit to ..") && said.contains("waits for the peer, which was dialed, to begin"),
        "{said}"
    );
    assert!(stderr(&output).lines().count() <= 1, "{}", stderr(&output));
}

#[test]
fn punch_shows_each_dial_of_ours_and_at_last_the_sentence() {
    // The holder does nothing, so that ours is the plain dial of its addresses.
    let (relay, folder) = (relay(), Folder::new());
    let announces = folder.write("announces.toml", "[host.addresses.policy]\nloopback = \"always\"\n");
    let holder = holder(&relay, &["--no-dcutr", "--listen", LOOPBACK, "--config", &announces]);
    let output = run(&["punch", &relay.address, holder.peer(), "--private"]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{said}{}", stderr(&output));
    for words in [
        "the peer does not speak /libp2p/dcutr",
        "nothing has begun yet",
        "we dial its addresses ourselves",
        "begins, we are side A",
        ": dials /ip4/127.0.0.1/tcp/",
        "we propose",
        "connected as c",
        "plain dials 0 ms after the start",
        "connected without a punch",
        "then pings: ",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
}

/// Of a holder whose plain dial has no time, so that both have to dial.
fn without_plain_dials(folder: &Folder) -> String {
    folder.write("no-plain-dials.toml", "[host.punching]\ndirect_timeout = \"0s\"\n")
}

#[test]
fn where_a_plain_dial_does_not_do_both_dial() {
    let (relay, folder) = (relay(), Folder::new());
    let holder = holder(&relay, &["--private", "--listen", LOOPBACK, "--config", &without_plain_dials(&folder)]);
    let (told, code) = report(&["dial-circuit", &holder.address, "--wait", "20", "--private", "--listen", LOOPBACK]);
    assert_eq!((code, &told["upgraded"]), (0, &true.into()), "{told}");
    let ours = &told["report"];
    assert_eq!((&ours["side"], &ours["tries"][0]["number"]), (&"A".into(), &1.into()), "{told}");
    assert_eq!(ours["tries"][0]["theirs"][0]["source"], "Told", "{told}");
    assert!(ours["sentence"].as_str().unwrap().starts_with("punched through on try "), "{told}");
    let armed = holder.line("of SYNC", |line| line["stage"] == "armed");
    assert!(armed["half_rtt_ms"].as_f64().is_some_and(|ms| ms > 0.0) && armed["try"] == 1, "{armed}");
    // Whose dial gets through first, and whether the other one is made at all then, is chance.
    assert!(ours["tries"][0]["rtt"].is_object() && ours["direct"].is_null(), "{told}");
    assert_eq!(holder.event("punch_report")["upgraded"], true);
}

#[test]
fn punch_shows_the_exchange_its_times_and_the_whole_report() {
    let (relay, folder) = (relay(), Folder::new());
    let recorded = folder.file("holder.rec");
    let mut holder = holder(
        &relay,
        &["--private", "--listen", LOOPBACK, "--config", &without_plain_dials(&folder), "--record", &recorded],
    );
    let output = run(&["punch", &relay.address, holder.peer(), "--private", "--listen", LOOPBACK]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{said}{}", stderr(&output));
    for words in [
        "begins, we are side A",
        "try 1: answered CONNECT, waits for SYNC",
        "ours: /ip4/127.0.0.1/tcp/",
        "theirs: /ip4/127.0.0.1/tcp/",
        "our NAT, TCP over IPv4: no NAT",
        "try 1: a round trip over the relay takes ",
        "half of it ",
        "punched through on try ",
        "direct after ",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    assert!(!said.contains(" apart"), "side A does not know when the peer dialed: {said}");
    assert_eq!(holder.event("punch_report")["upgraded"], true);
    #[cfg(unix)]
    {
        holder.signal("TERM");
        assert_eq!(holder.end(), Some(0));
        let drawn = stdout(&run(&["trace", &recorded]));
        for words in [": CONNECT", "it is at /ip4/127.0.0.1/tcp/", ": SYNC", "half of the round trip"] {
            assert!(drawn.contains(words), "{words} is not in {drawn}");
        }
    }
}

#[test]
fn punch_ends_at_once_where_nothing_can_be_done() {
    let relay = relay();
    let holder = holder(&relay, &["--no-dcutr"]);
    let began = Instant::now();
    let (told, code) = lines(&["punch", &relay.address, holder.peer(), "--listen", LOOPBACK]);
    let last = told.last().unwrap();
    assert_eq!((code, &last["ok"], &last["upgraded"]), (1, &false.into(), &false.into()), "{told:?}");
    assert!(last["error"].as_str().unwrap().starts_with("no direct connection after"), "{last}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn punch_says_why_there_is_not_even_a_circuit() {
    let relay = relay();
    let (told, code) = lines(&["punch", &relay.address, STRANGER]);
    let last = told.last().unwrap();
    assert_eq!((code, &last["ok"], &last["upgraded"]), (1, &false.into(), &false.into()), "{told:?}");
    let error = last["error"].as_str().unwrap();
    assert!(error.contains("NO_RESERVATION") && error.contains("the peer holds no reservation there"), "{last}");
    let (told, code) = lines(&["punch", relay.address.split("/p2p/").next().unwrap(), relay.peer()]);
    assert_eq!(code, 1, "{told:?}");
    assert!(told[0]["error"].as_str().unwrap().contains("the relay and the peer are one"), "{told:?}");
}

#[test]
fn what_can_not_be_meant_is_said_on_one_line() {
    let relay = format!("/ip4/127.0.0.1/tcp/1/p2p/{STRANGER}");
    let circuit = format!("{relay}/p2p-circuit/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X");
    for (words, part) in [
        (vec!["punch"], "punch: expected RELAY and PEER"),
        (vec!["punch", &relay], "whom to reach?"),
        (vec!["punch", &relay, "nobody"], "PEER: \"nobody\":"),
        (vec!["punch", &relay, STRANGER], "the relay and the peer are one"),
        (vec!["punch", "/ip4/127.0.0.1/udp/1", STRANGER], "RELAY: /ip4/127.0.0.1/udp/1: expected /tcp/PORT"),
        (vec!["punch", &relay, STRANGER, "more"], "one word too many"),
        (vec!["punch", &circuit, STRANGER], "one word too many"),
        (vec!["punch", &format!("{relay}/p2p-circuit/p2p/{STRANGER}")], "the relay and the peer are one"),
        (vec!["punch", &relay, STRANGER, "--wait", "soon"], "--wait: expected seconds"),
        (vec!["punch", &relay, STRANGER, "--no-dcutr"], "--no-dcutr is not an option"),
        (vec!["dial-circuit", &circuit, "--wait"], "--wait: a value is missing"),
        (vec!["dial-circuit", &circuit, "--wait", "-1"], "--wait: expected seconds"),
        (vec!["dial", &relay, "--wait", "1"], "--wait is not an option"),
        (vec!["dial", &relay, "--private"], "--private is not an option"),
        (vec!["reserve", &relay, "--wait", "1"], "--wait is not an option"),
        (vec!["reserve", &relay, "--private=yes"], "--private takes no value"),
    ] {
        let output = run(&words);
        let said = stderr(&output);
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{words:?}: {said}");
        assert!(said.contains(part), "{words:?}: {said}");
    }
}

#[test]
fn what_both_ends_record_replays_identically_and_is_drawn_in_words() {
    let folder = Folder::new();
    let files = ["holder.rec", "dialer.rec"].map(|name| folder.file(name));
    let relay = relay();
    let mut holder = holder(&relay, &["--private", "--record", &files[0]]);
    let words = ["dial-circuit", &holder.address, "--wait", "20", "--private", "--record", &files[1]];
    let (told, code) = report(&words);
    assert_eq!((code, &told["upgraded"]), (0, &true.into()), "{told}");
    holder.event("punch_report");
    #[cfg(unix)]
    {
        holder.signal("TERM");
        assert_eq!(holder.end(), Some(0));
        for file in &files {
            let replay = run(&["replay", file]);
            assert_eq!(replay.status.code(), Some(0), "{}{}", stdout(&replay), stderr(&replay));
        }
        let drawn = stdout(&run(&["trace", &files[0]]));
        for words in ["punch begins", "we are side B", "dial punch d0", "punch: direct"] {
            assert!(drawn.contains(words), "{words} is not in {drawn}");
        }
    }
    holder.child.kill().ok();
}

#[test]
fn a_holder_listens_where_holes_are_punched_from_unless_circuits_stay_circuits() {
    let relay = relay();
    let first = |words: &[&str]| lines_until_reserved(&[&["reserve", relay.address.as_str()], words].concat());
    let lines = first(&[]);
    assert!(lines[0]["listening"].as_str().is_some_and(|at| at.contains("/tcp/")), "{lines:?}");
    assert_eq!(lines[0]["all"][0], lines[0]["listening"], "{lines:?}");
    assert!(first(&["--no-dcutr"]).iter().all(|line| line["listening"].is_null()));
    let lines = first(&["--no-dcutr", "--listen", LOOPBACK]);
    assert!(lines[0]["listening"].as_str().is_some_and(|at| at.starts_with("/ip4/127.0.0.1/tcp/")), "{lines:?}");
    let lines = first(&["--listen", LOOPBACK]);
    assert_eq!(lines[0]["all"].as_array().unwrap().len(), 1, "only there: {lines:?}");
    // There is something to say first, and no address in it.
    let lines = first(&["--no-dcutr", "--metrics", "127.0.0.1:0"]);
    assert!(lines[0]["metrics"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{lines:?}");
    assert!(lines.iter().all(|line| line.get("listening").is_none()), "{lines:?}");
}

/// What a holder says up to its reservation.
fn lines_until_reserved(words: &[&str]) -> Vec<Value> {
    let mut child = common::tidewire(&[words, &["--json"]].concat()).spawn().unwrap();
    let mut lines = Vec::<Value>::new();
    for line in std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap())) {
        lines.push(serde_json::from_str(&line.unwrap()).unwrap());
        if lines.last().is_some_and(|line| line["reserved"] == true) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines
}

#[test]
fn attempts_are_counted() {
    let relay = relay();
    // Of the system's choice, and free again.
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let folder = Folder::new();
    let config = folder.write("short.toml", "[host.punching]\npunch_timeout = \"500ms\"\n");
    let holder = holder(&relay, &["--private", "--metrics", &at, "--config", &config]);
    let (told, _) = report(&["dial-circuit", &holder.address, "--wait", "20", "--private"]);
    assert_eq!(told["upgraded"], true, "{told}");
    let (told, _) = report(&["dial-circuit", &holder.address, "--hold", "0.5"]);
    assert_eq!(told["upgraded"], false, "{told}");
    for _ in 0..2 {
        holder.event("punch_report");
    }
    let mut socket = TcpStream::connect(&at).unwrap();
    write!(socket, "GET /metrics HTTP/1.1\r\nHost: {at}\r\n\r\n").unwrap();
    let mut page = String::new();
    socket.read_to_string(&mut page).unwrap();
    for (outcome, count) in [("started", 2), ("upgraded", 1), ("failed", 1)] {
        let line = format!("tidewire_punches_total{{outcome=\"{outcome}\"}} {count}");
        assert!(page.lines().any(|one| one == line), "{line} is not in:\n{page}");
    }
}
