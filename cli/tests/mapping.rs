//! Ports mapped at a router, each command a process of its own, the router a scripted one on loopback: `--port-mapping`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    unreachable_pub,
    dead_code
)]

mod common;
#[cfg(feature = "upnp")]
#[path = "../../adapters/common/tests/shared/igd.rs"]
mod igd;
#[path = "../../adapters/common/tests/shared/router.rs"]
mod router;

use common::{Folder, Listening, run, stderr, stdout, tidewire};
use router::{Router, Speaks};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";
const ON_LOOPBACK: [&str; 5] = ["--port-mapping", "--gateway", "127.0.0.1", "--listen", LOOPBACK];

/// A configuration in which the router is this one.
fn config(folder: &Folder, router: &Router, more: &str) -> String {
    let port = router.port;
    let text = format!("[port_mapping]\nannounced_at = \"off\"\nmapper.router_port = {port}\n{more}");
    folder.write("router.toml", &text)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}"))
}

/// Where the router is reached for this listener.
fn outside(listening: &str) -> String {
    let port = listening.split('/').nth(4).unwrap().parse::<u16>().unwrap();
    format!("/ip4/{}/tcp/{}", router::OUTSIDE, port ^ 1)
}

fn is_soon(what: &str, is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_listener_and_a_relay_are_mapped_announced_and_given_back() {
    for (command, speaks, name) in [("listen", Speaks::Pcp, "PCP"), ("relay", Speaks::NatPmp, "NAT-PMP")] {
        let (router, folder) = (Router::new(speaks), Folder::new());
        let config = config(&folder, &router, "");
        let words = [&[command, "--config", &config], &ON_LOOPBACK[..]].concat();
        let mut node = Listening::of(&words);
        let external = outside(&node.address);
        let mapped = node.event("port_mapping");
        assert_eq!((text(&mapped["port_mapping"]), text(&mapped["by"])), ("mapped", name), "{mapped}");
        assert!(node.address.starts_with(text(&mapped["listen"])), "{mapped}");
        assert_eq!((text(&mapped["external"]), &mapped["public"]), (external.as_str(), &false.into()), "{mapped}");
        assert_eq!(router.mapped(), 1);
        let announced = node.event("announced");
        assert!(announced["addresses"].as_array().unwrap().contains(&external.clone().into()), "{announced}");
        #[cfg(unix)]
        {
            node.signal("TERM");
            let lost = node.event("port_mapping");
            assert_eq!((text(&lost["port_mapping"]), text(&lost["external"])), ("lost", external.as_str()), "{lost}");
            assert_eq!((node.end(), router.mapped()), (Some(0), 0));
        }
        node.child.kill().ok();
    }
}

#[test]
fn the_port_of_who_holds_a_reservation_is_mapped_too() {
    let (router, folder) = (Router::new(Speaks::Pcp), Folder::new());
    let relay = Listening::of(&["relay"]);
    let config = config(&folder, &router, "gateway = \"127.0.0.1\"\n");
    // The router is the configuration's here.
    let holder = Listening::reserve(&[&relay.address, "--config", &config, "--listen", LOOPBACK, "--port-mapping"]);
    is_soon("it is not mapped", || router.mapped() == 1);
    let circuit = holder.address.clone();
    assert!(circuit.contains("/p2p-circuit/"), "{circuit}");
}

#[test]
fn what_the_router_refuses_is_said_with_when_it_is_tried_again_and_what_to_do() {
    let (router, folder) = (Router::new(Speaks::Pcp), Folder::new());
    router.refuse(true);
    let config = config(&folder, &router, "");
    let node = Listening::of(&[&["listen", "--config", &config], &ON_LOOPBACK[..]].concat());
    let failed = node.event("port_mapping");
    assert_eq!(text(&failed["port_mapping"]), "failed", "{failed}");
    assert!(node.address.starts_with(text(&failed["listen"])), "{failed}");
    let error = text(&failed["error"]);
    assert!(error.starts_with("the router says by PCP: ") && error.ends_with("tried again in 1800 s"), "{failed}");
    assert!(
        text(&failed["advice"]).contains("at the router") && text(&failed["advice"]).contains("--announce"),
        "{failed}"
    );

    let mut child = tidewire(&[&["listen", "--config", &config], &ON_LOOPBACK[..]].concat()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<String> = lines.take(4).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said[0].starts_with("listening on ") && said[1].starts_with("try: tidewire dial "), "{said:?}");
    assert!(said[2].starts_with("port mapping: asks the router, by PCP and NAT-PMP"), "{said:?}");
    assert!(said[3].starts_with("not mapped: /ip4/") && said[3].contains("; what may help: "), "{said:?}");
}

/// What it says to people up to the line about the router.
fn words_about_the_router(config: &str) -> String {
    let mut child = tidewire(&[&["listen", "--config", config], &ON_LOOPBACK[..]].concat()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.find(|line| line.starts_with("port mapping: "));
    child.kill().unwrap();
    child.wait().unwrap();
    said.unwrap()
}

#[test]
fn how_the_router_is_asked_is_said_as_it_is_configured() {
    let (router, folder) = (Router::new(Speaks::Pcp), Folder::new());
    let asks = "port mapping: asks the router, by PCP and NAT-PMP";
    #[cfg(feature = "upnp")]
    for (after, said) in [("90s", ", and UPnP after 90.0 s"), ("250ms", ", and UPnP after 250 ms"), ("never", "")] {
        let config = config(&folder, &router, &format!("[port_mapping.upnp]\nafter = \"{after}\"\n"));
        assert_eq!(words_about_the_router(&config), format!("{asks}{said}"));
    }
    let said = if cfg!(feature = "upnp") { ", and UPnP after 5.0 s" } else { "" };
    assert_eq!(words_about_the_router(&config(&folder, &router, "")), format!("{asks}{said}"));
}

#[test]
fn where_listening_elsewhere_is_what_helps_nothing_else_is_advised() {
    // A machine that is on no network has no other place to listen.
    let all = tidewire_adapter::interfaces().unwrap();
    let Some(ip) = all.iter().find(|ip| ip.is_ipv4() && !ip.is_loopback()) else { return };
    let (router, folder) = (Router::new(Speaks::Pcp), Folder::new());
    let config = config(&folder, &router, "gateway = \"127.0.0.1\"\n");
    let at = format!("/ip4/{ip}/tcp/0");
    let node = Listening::of(&["listen", "--config", &config, "--port-mapping", "--listen", &at]);
    let failed = node.event("port_mapping");
    assert_eq!(text(&failed["port_mapping"]), "failed", "{failed}");
    let remedy = "on the way to the router this machine is 127.0.0.1: listen there, or on all addresses";
    assert_eq!(text(&failed["error"]), remedy, "{failed}");
    assert!(failed.get("advice").is_none(), "{failed}");
}

#[cfg(feature = "upnp")]
#[test]
fn a_router_that_speaks_upnp_alone_is_found() {
    let (router, folder, igd) = (Router::new(Speaks::Nothing), Folder::new(), igd::Igd::new());
    let more = format!(
        "[port_mapping.upnp]\nafter = \"100ms\"\nsearch_at = \"{}\"\ntrusted = [\"127.0.0.1\"]\n",
        igd.search_at
    );
    let config = config(&folder, &router, &more);
    let words = [&["listen", "--config", &config], &ON_LOOPBACK[..]].concat();
    let node = Listening::of(&words);
    let mapped = node.event("port_mapping");
    assert_eq!((text(&mapped["port_mapping"]), text(&mapped["by"])), ("mapped", "UPnP"), "{mapped}");
    assert!(text(&mapped["external"]).starts_with("/ip4/11.0.0.9/tcp/") && mapped["public"] == true, "{mapped}");
}

#[test]
fn without_the_option_no_router_is_asked_whatever_the_configuration_says() {
    let (router, folder) = (Router::new(Speaks::Pcp), Folder::new());
    let config = config(&folder, &router, "gateway = \"127.0.0.1\"\n");
    let node = Listening::of(&["listen", "--config", &config]);
    let told = run(&["dial", &node.address, "--config", &config, "--size", "1KiB"]);
    assert_eq!(told.status.code(), Some(0), "{}", stderr(&told));
    assert!(router.asked().is_empty());
}

#[test]
fn who_has_ports_mapped_listens_where_a_router_reaches_it() {
    let mut child = tidewire(&["listen", "--port-mapping", "--json"]).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    let at: Vec<&str> = first["all"].as_array().unwrap().iter().map(text).collect();
    let wildcard = "0.0.0.0:0".parse().unwrap();
    let all = tidewire_adapter::expand(wildcard, &tidewire_adapter::interfaces().unwrap());
    assert_eq!(at.len(), all.len(), "all of the machine's addresses: {at:?}, {all:?}");
}

#[test]
fn what_can_not_be_meant_is_said_on_one_line() {
    let relay =
        format!("{LOOPBACK}/p2p/12D3KooWETJFK6QvpZyZe6xT47VCyau57ucKL36dCCovkzLjNuSY").replace("/tcp/0", "/tcp/1");
    let circuit = format!("{relay}/p2p-circuit");
    for (words, part) in [
        (vec!["listen", "--gateway", "192.168.1.1"], "--gateway says which router is asked for ports"),
        (vec!["listen", "--port-mapping", "--gateway", "router"], "--gateway: expected the router's IP address"),
        (vec!["relay", "--port-mapping", "--gateway", "0.0.0.0"], "--gateway: expected the router's IP address"),
        (vec!["relay", "--port-mapping", "--gateway"], "--gateway: a value is missing"),
        (vec!["listen", "--port-mapping=yes"], "--port-mapping takes no value"),
        (vec!["listen", "--port-mapping", "--listen", LOOPBACK], "no router can lead anything to /ip4/127.0.0.1/tcp/0"),
        (vec!["listen", "--port-mapping", "--listen", &circuit], "no router can lead anything to"),
        (
            vec!["reserve", &relay, "--port-mapping", "--listen", "/ip6/::/tcp/0"],
            "no router can lead anything to /ip6/::",
        ),
        (vec!["dial", &relay, "--port-mapping"], "--port-mapping is not an option"),
        (vec!["punch", &relay, "--port-mapping"], "--port-mapping is not an option"),
    ] {
        let output = run(&words);
        let said = stderr(&output);
        assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{words:?}: {said}");
        assert!(said.contains(part), "{words:?}: {said}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_recorded_of_it_replays_and_is_drawn() {
    let (router, folder) = (Router::new(Speaks::Pcp), Folder::new());
    let (file, config) = (folder.file("node.rec"), config(&folder, &router, ""));
    let mut node = Listening::of(&[&["listen", "--config", &config, "--record", &file], &ON_LOOPBACK[..]].concat());
    node.event("port_mapping");
    node.signal("TERM");
    assert_eq!(node.end(), Some(0));
    let replay = run(&["replay", &file]);
    assert_eq!(replay.status.code(), Some(0), "{}{}", stdout(&replay), stderr(&replay));
    let drawn = stdout(&run(&["trace", &file]));
    for words in ["port mapping", "the router leads /ip4/127.0.0.2/tcp/", "does not lead to us any more"] {
        assert!(drawn.contains(words), "{words} is not in {drawn}");
    }
}
