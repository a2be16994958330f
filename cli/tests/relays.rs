//! Relays, each part a process of its own over loopback: `relay`, `reserve`, `dial-circuit`, `listen --auto-relay`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    unreachable_pub,
    dead_code
)]

mod common;

use common::{Folder, Listening, run, stderr, stdout, tidewire};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Nobody's.
const STRANGER: &str = "12D3KooWETJFK6QvpZyZe6xT47VCyau57ucKL36dCCovkzLjNuSY";

fn relay(words: &[&str]) -> Listening {
    Listening::of(&[&["relay"], words].concat())
}

/// The report of a command that prints one object, and its exit code.
fn report(words: &[&str]) -> (Value, i32) {
    let output = run(&[words, &["--json"]].concat());
    let text = stdout(&output);
    let line = text.lines().last().unwrap_or_default();
    let report = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}, {}", stderr(&output)));
    (report, output.status.code().unwrap())
}

#[test]
fn a_holder_is_reached_through_its_relay() {
    let mut relay = relay(&[]);
    let mut holder = Listening::reserve(&[&relay.address]);
    assert_eq!(holder.address, format!("{}/p2p-circuit/p2p/{}", relay.address, holder.peer()));
    let reservation = relay.event("reservation");
    assert_eq!((&reservation["peer"], &reservation["renewed"]), (&holder.peer().into(), &false.into()));

    let (report, code) = report(&["dial-circuit", &holder.address]);
    assert_eq!((code, &report["ok"], &report["upgraded"]), (0, &true.into(), &false.into()), "{report}");
    assert_eq!((&report["peer"], &report["echo"]["bytes"]), (&holder.peer().into(), &16_384.into()));
    assert_eq!((report["security"].as_str(), report["muxer"].as_str()), (Some("noise"), Some("yamux")));
    assert_eq!(report["ping_ms"].as_array().unwrap().len(), 3);
    let protocols = report["identify"]["protocols"].as_array().unwrap();
    assert!(protocols.contains(&"/libp2p/circuit/relay/0.2.0/stop".into()), "{report}");

    let opened = relay.event("circuit_opened");
    assert_eq!(opened["to"], holder.peer());
    let closed = relay.event("circuit_closed");
    assert_eq!((&closed["circuit"], &closed["from"]), (&opened["circuit"], &opened["from"]));
    assert!(closed["forward"].as_u64() > Some(16_384) && closed["backward"].as_u64() > Some(16_384), "{closed}");
    let connected = holder.line("connected through the relay", |line| {
        line["event"] == "connected" && line["address"].as_str().is_some_and(|address| address.contains("/p2p-circuit"))
    });
    assert_eq!(connected["peer"], opened["from"]);
    #[cfg(unix)]
    for part in [&mut holder, &mut relay] {
        part.signal("TERM");
        assert_eq!(part.end(), Some(0));
    }
}

#[test]
fn without_a_reservation_nobody_is_reached_and_the_reason_is_said() {
    let relay = relay(&[]);
    let circuit = format!("{}/p2p-circuit/p2p/{STRANGER}", relay.address);
    let (report, code) = report(&["dial-circuit", &circuit]);
    assert_eq!((code, &report["ok"]), (1, &false.into()), "{report}");
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("the relay refuses: NO_RESERVATION (204)"), "{error}");
    let refused = relay.event("relay_refused");
    assert_eq!((&refused["asked"], &refused["status"]), (&"circuit".into(), &"NO_RESERVATION (204)".into()));
    assert_eq!(refused["to"], STRANGER);
    // For people on one line.
    let output = run(&["dial-circuit", &circuit]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""));
    assert!(stderr(&output).lines().count() == 1 && stderr(&output).contains("NO_RESERVATION"), "{}", stderr(&output));
}

#[test]
fn a_limit_in_bytes_ends_the_circuit_in_words_and_the_next_one_works() {
    let relay = relay(&["--data-limit", "64KiB", "--duration", "60"]);
    let holder = Listening::reserve(&[&relay.address]);
    let (told, code) = report(&["dial-circuit", &holder.address, "--size", "512KiB"]);
    assert_eq!((code, &told["ok"]), (1, &false.into()), "{told}");
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("the relay's limit of 65536 bytes was reached"), "{error}");
    let closed = relay.event("circuit_closed");
    assert!(closed["reason"].as_str().unwrap().contains("65536 bytes"), "{closed}");
    assert!(holder.event("circuit_ended")["reason"].as_str().unwrap().contains("the relay's limit of 65536 bytes"));
    let (told, code) = report(&["dial-circuit", &holder.address, "--size", "16KiB"]);
    assert_eq!((code, &told["ok"]), (0, &true.into()), "{told}");
}

#[test]
fn a_limit_in_time_ends_the_circuit_in_words() {
    let relay = relay(&["--data-limit", "0", "--duration", "1"]);
    let holder = Listening::reserve(&[&relay.address]);
    let began = Instant::now();
    let (told, code) = report(&["dial-circuit", &holder.address, "--size", "1KiB", "--hold", "20"]);
    assert_eq!((code, &told["ok"]), (1, &false.into()), "{told}");
    assert!(told["error"].as_str().unwrap().contains("the relay's limit of 1 s"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_configuration_gives_a_relay_its_numbers_and_makes_nobody_else_one() {
    let folder = Folder::new();
    let file = folder.write(
        "relay.toml",
        "[host.relay.server]\nacl = [\"deny connect anybody\"]\n[host.relay.server.limit]\ndata = \"64KiB\"\n",
    );
    let relay = relay(&["--config", &file]);
    let holder = Listening::reserve(&[&relay.address]);
    let (told, code) = report(&["dial-circuit", &holder.address, "--size", "1"]);
    assert_eq!(code, 1, "{told}");
    assert!(told["error"].as_str().unwrap().contains("PERMISSION_DENIED (202)"), "{told}");
    let listener = Listening::start(&["--config", &file]);
    let (told, code) = report(&["dial", &listener.address, "--size", "1"]);
    assert_eq!(code, 0, "{told}");
    assert!(!told["identify"]["protocols"].to_string().contains("/hop"), "{told}");
}

#[test]
fn limits_that_are_lifted_end_nothing() {
    let relay = relay(&["--data-limit", "0", "--duration", "0"]);
    let holder = Listening::reserve(&[&relay.address]);
    let (told, code) = report(&["dial-circuit", &holder.address, "--size", "4MiB"]);
    assert_eq!((code, &told["echo"]["bytes"]), (0, &(4 << 20).into()), "{told}");
}

#[test]
fn a_full_relay_refuses_and_is_asked_again_later() {
    let relay = relay(&["--reservations", "1"]);
    let _holder = Listening::reserve(&[&relay.address]);
    let mut second = tidewire(&["reserve", &relay.address, "--json"]).spawn().unwrap();
    let refused = relay.event("relay_refused");
    assert_eq!((&refused["asked"], &refused["status"]), (&"reservation".into(), &"RESERVATION_REFUSED (200)".into()));
    std::thread::sleep(Duration::from_millis(300));
    assert!(second.try_wait().unwrap().is_none(), "it waits for a place");
    second.kill().unwrap();
    let said = String::from_utf8(second.wait_with_output().unwrap().stdout).unwrap();
    let line =
        said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|line| !line["reserved"].is_null());
    let line = line.unwrap_or_else(|| panic!("{said}"));
    assert_eq!(line["reserved"], false, "{line}");
    assert!(line["error"].as_str().unwrap().contains("RESERVATION_REFUSED"), "{line}");
    assert!(line["retry_seconds"].as_f64() > Some(1.0), "{line}");
}

#[test]
fn who_is_no_relay_is_not_asked_again() {
    let listener = Listening::start(&[]);
    let (told, code) = report(&["reserve", &listener.address]);
    assert_eq!((code, &told["reserved"]), (1, &false.into()), "{told}");
    let error = told["error"].as_str().unwrap();
    assert!(error.contains("does not speak the hop protocol") && error.contains("use another one"), "{error}");
    assert!(told["retry_seconds"].is_null(), "{told}");
}

#[test]
fn a_relay_that_can_not_be_reached_is_told_once_a_try_in_the_same_words() {
    let other = Listening::start(&[]);
    let wrong = format!("{}/p2p/{STRANGER}", other.address.split("/p2p/").next().unwrap());
    let nobody = format!("/ip4/127.0.0.1/tcp/1/p2p/{STRANGER}");
    for (address, why) in [(wrong, "another peer answered"), (nobody, "refused")] {
        let mut child = tidewire(&["reserve", &address, "--json", "--no-dcutr"]).spawn().unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let failed: Vec<Value> = lines.filter(|line| line["event"] != "announced").take(3).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        for line in &failed {
            assert_eq!((&line["event"], &line["relay"]), (&"relay_failed".into(), &STRANGER.into()), "{failed:?}");
            assert!(line["error"].as_str().unwrap().contains(why), "{failed:?}");
            assert_eq!(line["error"], failed[0]["error"], "{failed:?}");
            assert!(line["retry_seconds"].as_f64() > Some(0.5), "{failed:?}");
        }
    }
}

#[test]
fn a_reservation_is_renewed_and_told() {
    let relay = relay(&["--ttl", "8"]);
    let holder = Listening::reserve(&[&relay.address]);
    let renewed = holder.line("renewed", |line| line["reserved"] == true);
    assert_eq!((&renewed["renewed"], &renewed["circuit"]), (&true.into(), &holder.address.clone().into()), "{renewed}");
}

#[test]
fn after_the_relays_restart_the_reservation_is_made_again() {
    let mut first = relay(&["--seed", "1"]);
    let holder = Listening::reserve(&[&first.address]);
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    holder.event("relay_lost");
    let at = first.address.split("/p2p/").next().unwrap().to_owned();
    let second = relay(&["--seed", "1", "--listen", &at]);
    assert_eq!(second.address, first.address);
    let again = holder.line("reserved again", |line| line["reserved"] == true);
    assert_eq!((&again["renewed"], &again["circuit"]), (&false.into(), &holder.address.clone().into()), "{again}");
    let (told, code) = report(&["dial-circuit", &holder.address, "--size", "1KiB"]);
    assert_eq!(code, 0, "{told}");
}

#[test]
fn a_listener_is_reached_through_the_relays_it_was_told() {
    let relays = [relay(&[]), relay(&[])];
    let listener = Listening::start(&["--auto-relay", &relays[0].address, &relays[1].address]);
    for relay in &relays {
        assert_eq!(relay.event("reservation")["peer"], listener.peer());
        let circuit = format!("{}/p2p-circuit/p2p/{}", relay.address, listener.peer());
        let (told, code) = report(&["dial-circuit", &circuit, "--size", "1KiB"]);
        assert_eq!(code, 0, "{told}");
    }
}

/// The first lines of `listen --json`, to the one that is wanted.
fn lines_until(words: &[&str], last: impl Fn(&Value) -> bool) -> Vec<Value> {
    use std::io::{BufRead, BufReader};
    let mut child = tidewire(&[&["listen", "--json"], words].concat()).spawn().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        lines.push(serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        if lines.last().is_some_and(&last) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines
}

#[test]
fn auto_relay_tells_whom_it_tries_what_it_holds_what_it_waits_for_and_what_is_announced() {
    let relay = relay(&[]);
    let lost = format!("/ip4/127.0.0.1/tcp/1/p2p/{STRANGER}");
    let complete = |line: &Value| line["event"] == "announced" && line["addresses"].to_string().contains("p2p-circuit");
    // The same one twice is one.
    let lines = lines_until(&["--auto-relay", &relay.address, &relay.address, &lost], complete);
    assert!(lines[0]["listening"].is_string(), "{}", lines[0]);
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).cloned().collect::<Vec<Value>>();
    let tried = of("relay_candidate");
    assert_eq!(tried.len(), 2, "{tried:?}");
    assert_eq!((&tried[0]["relay"], &tried[1]["relay"]), (&relay.peer().into(), &STRANGER.into()));
    let dropped = &of("relay_dropped")[0];
    assert_eq!((&dropped["relay"], &dropped["reason"]), (&STRANGER.into(), &"there is no connection to it".into()));
    assert!(dropped["retry_seconds"].as_f64() > Some(1.0), "{dropped}");
    assert_eq!(of("relay_held")[0]["relay"], relay.peer());
    let told = of("auto_relay");
    assert_eq!((&told[0]["held"], &told[0]["wanted"]), (&Value::Array(vec![]), &2.into()), "{}", told[0]);
    let now = told.last().unwrap();
    assert_eq!((&now["held"], &now["reachability"]), (&vec![relay.peer()].into(), &"unknown".into()), "{now}");
    assert_eq!(now["waiting"], "backoff", "{now}");
    let explanation = now["explanation"].as_str().unwrap();
    assert!(
        explanation.starts_with("1 of 2 relays held") && explanation.contains("until a candidate that failed"),
        "{now}"
    );
}

#[test]
fn auto_relay_tells_why_a_relay_was_lost_and_that_it_is_none() {
    let mut first = relay(&[]);
    let listener = Listening::start(&["--auto-relay", &first.address]);
    let complete = listener.line("complete", |line| line["waiting"] == "complete");
    assert_eq!(complete["held"][0], first.peer());
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert_eq!(listener.event("relay_lost")["relay"], first.peer());
    assert_eq!(listener.event("relay_dropped")["reason"], "its reservation is lost");
    let waits = listener.event("auto_relay");
    assert_eq!((&waits["held"], &waits["waiting"]), (&Value::Array(vec![]), &"backoff".into()), "{waits}");

    let no_relay = Listening::start(&[]);
    let listener = Listening::start(&["--auto-relay", &no_relay.address]);
    assert_eq!(listener.event("relay_dropped")["reason"], "it does not speak the hop protocol");
}

#[cfg(unix)]
#[test]
fn auto_relay_speaks_to_people_too() {
    let relay = relay(&[]);
    let lost = format!("/ip4/127.0.0.1/tcp/1/p2p/{STRANGER}");
    let mut child = tidewire(&["listen", "--auto-relay", &relay.address, &lost, "--no-dcutr"]).spawn().unwrap();
    relay.event("reservation");
    std::thread::sleep(Duration::from_secs(1));
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(said.starts_with("listening on /ip4/"), "{said}");
    for words in [
        "a relay to try: ..",
        "connected to 12D3KooW",
        "as a relay: there is no connection to it; left alone for",
        "a reservation at ..",
        "auto relay: 1 of 2 relays held",
        "others are told: /ip4/",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
}

#[test]
fn to_listen_at_a_relay_is_to_have_a_reservation() {
    let relay = relay(&[]);
    let at = format!("{}/p2p-circuit", relay.address);
    let listener = Listening::start(&["--listen", &at]);
    assert_eq!(listener.address, format!("{at}/p2p/{}", listener.peer()));
    let (told, code) = report(&["dial-circuit", &listener.address, "--size", "1KiB"]);
    assert_eq!(code, 0, "{told}");
}

#[test]
fn without_the_relays_id_whoever_answers_is_taken() {
    let relay = relay(&[]);
    let bare = relay.address.split("/p2p/").next().unwrap();
    assert!(Listening::reserve(&[bare]).address.starts_with(&relay.address));
}

#[test]
fn a_dialer_may_listen_and_announce_meanwhile() {
    let relay = relay(&[]);
    let holder = Listening::reserve(&[&relay.address]);
    let more = ["--listen", "/ip4/127.0.0.1/tcp/0", "--announce", "/ip4/127.0.0.1/tcp/4998", "--hold", "0.2"];
    let (told, code) = report(&[&["dial-circuit", &holder.address, "--size", "1KiB"][..], &more].concat());
    assert_eq!(code, 0, "{told}");
    let identified = relay.line("the dialer's addresses", |line| {
        line["event"] == "identified" && line["addresses"].to_string().contains("/tcp/4998")
    });
    assert_eq!(identified["addresses"].as_array().unwrap().len(), 2, "{identified}");
}

#[test]
fn bytes_of_a_circuit_that_goes_on_are_counted() {
    let (mut child, first) = started(&["relay", "--json", "--metrics", "127.0.0.1:0"]);
    let (address, url) = (first["listening"].as_str().unwrap(), first["metrics"].as_str().unwrap());
    let holder = Listening::reserve(&[address]);
    let mut dialer = tidewire(&["dial-circuit", &holder.address, "--size", "16KiB", "--hold", "20"]).spawn().unwrap();
    let began = Instant::now();
    let counted = loop {
        let page = get(url);
        let bytes =
            page.lines().find_map(|line| line.strip_prefix("tidewire_relay_bytes_total{direction=\"forward\"} "));
        let bytes: u64 = bytes.unwrap().parse().unwrap();
        if (bytes > 16_384 && page.contains("tidewire_relay_circuits 1")) || began.elapsed() > Duration::from_secs(10) {
            break bytes;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    for child in [&mut child, &mut dialer] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(counted > 16_384, "{counted} bytes while it is open");
}

#[test]
fn what_is_announced_is_told_to_peers_and_holders() {
    let relay = relay(&["--announce", "/ip4/127.0.0.1/tcp/4999"]);
    let announced = relay.event("announced");
    let expected = Value::from("/ip4/127.0.0.1/tcp/4999");
    assert!(announced["addresses"].as_array().unwrap().contains(&expected), "{announced}");
}

#[cfg(unix)]
#[test]
fn a_relay_drains_at_the_first_interrupt_and_ends_at_the_second() {
    let mut relay = relay(&["--duration", "60"]);
    let holder = Listening::reserve(&[&relay.address]);
    let mut dialer = tidewire(&["dial-circuit", &holder.address, "--size", "1", "--hold", "20"]).spawn().unwrap();
    relay.event("circuit_opened");
    relay.signal("INT");
    // Nothing new is taken.
    let circuit = format!("{}/p2p-circuit/p2p/{}", relay.address, holder.peer());
    let refused = |(told, code): (Value, i32)| code == 1 && !told["ok"].as_bool().unwrap();
    assert!(refused(report(&["dial-circuit", &circuit, "--size", "1"])));
    assert!(relay.child.try_wait().unwrap().is_none() && dialer.try_wait().unwrap().is_none(), "the circuit goes on");
    relay.signal("INT");
    assert_eq!(relay.end(), Some(0));
    dialer.kill().unwrap();
    dialer.wait().unwrap();
}

#[cfg(unix)]
#[test]
fn a_relay_without_circuits_ends_at_the_first_interrupt() {
    let mut relay = relay(&[]);
    let holder = Listening::reserve(&[&relay.address]);
    relay.signal("INT");
    assert_eq!(relay.end(), Some(0));
    holder.event("relay_lost");
}

#[test]
fn metrics_count_reservations_circuits_bytes_and_refusals() {
    let (mut child, first) = started(&["relay", "--json", "--metrics", "127.0.0.1:0"]);
    let (address, url) = (first["listening"].as_str().unwrap(), first["metrics"].as_str().unwrap());
    let holder = Listening::reserve(&[address]);
    assert_eq!(report(&["dial-circuit", &holder.address, "--size", "16KiB"]).1, 0);
    assert_eq!(report(&["dial-circuit", &format!("{address}/p2p-circuit/p2p/{STRANGER}")]).1, 1);
    let began = Instant::now();
    let page = loop {
        let page = get(url);
        if page.contains("tidewire_relay_circuits 0") || began.elapsed() > Duration::from_secs(10) {
            break page;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    for line in [
        "tidewire_relay_reservations 1",
        "tidewire_relay_circuits 0",
        "tidewire_relay_circuits_total 1",
        "tidewire_relay_reservations_total{kind=\"new\"} 1",
        "tidewire_relay_refused_total{status=\"NO_RESERVATION\"} 1",
    ] {
        assert!(page.lines().any(|one| one == line), "{line} is not in:\n{page}");
    }
    for way in ["forward", "backward"] {
        let head = format!("tidewire_relay_bytes_total{{direction=\"{way}\"}} ");
        let bytes: u64 = page.lines().find_map(|line| line.strip_prefix(&head)).unwrap().parse().unwrap();
        assert!(bytes > 16_384, "{bytes} {way}");
    }
}

#[test]
fn what_a_holder_a_relay_and_a_dialer_record_replays_identically() {
    let folder = Folder::new();
    let files: Vec<String> = ["relay.rec", "holder.rec", "dialer.rec"].iter().map(|name| folder.file(name)).collect();
    let mut relay = relay(&["--record", &files[0]]);
    let mut holder = Listening::reserve(&[&relay.address, "--record", &files[1]]);
    let (told, code) = report(&["dial-circuit", &holder.address, "--size", "1KiB", "--record", &files[2]]);
    assert_eq!(code, 0, "{told}");
    relay.event("circuit_closed");
    #[cfg(unix)]
    for part in [&mut holder, &mut relay] {
        part.signal("TERM");
        assert_eq!(part.end(), Some(0));
    }
    #[cfg(unix)]
    for (file, words) in files.iter().zip(["driver, pump k0", "reply: accepted", "goes through a relay"]) {
        let replay = run(&["replay", file]);
        assert_eq!(replay.status.code(), Some(0), "{}{}", stdout(&replay), stderr(&replay));
        assert!(stdout(&replay).contains(words), "{words} is not in {}", stdout(&replay));
        assert_eq!(run(&["trace", file]).status.code(), Some(0));
    }
}

/// A process, and its first line.
fn started(words: &[&str]) -> (std::process::Child, Value) {
    use std::io::{BufRead, BufReader};
    let mut child = tidewire(words).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    std::thread::spawn(move || stdout.lines().for_each(drop));
    (child, serde_json::from_str(&first).unwrap())
}

fn get(url: &str) -> String {
    let place = url.strip_prefix("http://").unwrap();
    let (host, path) = place.split_at(place.find('/').unwrap());
    let mut socket = TcpStream::connect(host).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut page = String::new();
    socket.read_to_string(&mut page).unwrap();
    page
}
