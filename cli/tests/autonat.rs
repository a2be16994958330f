//! AutoNAT, each part a process of its own over loopback: `autonat-server`, `autonat-client`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    unreachable_pub,
    dead_code
)]

mod common;

use common::{Listening, run, stderr, stdout};
use serde_json::Value;

fn ask(words: &[&str]) -> (Value, i32) {
    let output = run(&[&["autonat-client", "--json"], words].concat());
    let text = stdout(&output);
    let report =
        serde_json::from_str(text.trim_end()).unwrap_or_else(|error| panic!("{error}: {text}, {}", stderr(&output)));
    (report, output.status.code().unwrap())
}

#[test]
fn who_can_be_dialed_back_is_public_by_both_versions() {
    let mut server = Listening::of(&["autonat-server"]);
    let (report, code) = ask(&[&server.address]);
    assert_eq!((code, &report["ok"], &report["peer"]), (0, &true.into(), &server.peer().into()), "{report}");
    assert_eq!((&report["v1"]["reachability"], &report["v2"]["reachability"]), (&"public".into(), &"public".into()));
    let addresses = report["v2"]["addresses"].as_array().unwrap();
    assert_eq!((addresses.len(), &addresses[0]["reachability"]), (1, &"public".into()), "{report}");
    #[cfg(unix)]
    {
        server.signal("TERM");
        assert_eq!(server.end(), Some(0));
    }
}

#[test]
fn an_address_on_which_nobody_listens_is_private_by_both_versions() {
    let server = Listening::of(&["autonat-server"]);
    let (report, code) = ask(&[&server.address, "--announce", "/ip4/127.0.0.1/tcp/1"]);
    assert_eq!((code, &report["ok"]), (0, &true.into()), "{report}");
    assert_eq!((&report["v1"]["reachability"], &report["v2"]["reachability"]), (&"private".into(), &"private".into()));
    assert_eq!(report["v2"]["addresses"][0]["address"], "/ip4/127.0.0.1/tcp/1");
}

#[test]
fn a_node_that_is_no_server_says_so_at_once() {
    let listener = Listening::start(&[]);
    let (report, code) = ask(&[&listener.address]);
    assert_eq!((code, &report["ok"]), (1, &false.into()), "{report}");
    assert!(report["error"].as_str().unwrap().contains("neither version of AutoNAT"), "{report}");
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let server = "/ip4/127.0.0.1/tcp/4001";
    for (words, why) in [
        (&["autonat-client"][..], "expected an address"),
        (&["autonat-client", server, server], "one address too many"),
        (
            &[
                "autonat-client",
                server,
                "--listen",
                "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWETJFK6QvpZyZe6xT47VCyau57ucKL36dCCovkzLjNuSY/p2p-circuit",
            ],
            "at a relay",
        ),
        (&["autonat-server", server], "is in the way"),
    ] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(stderr(&output).contains(why), "{words:?}: {}", stderr(&output));
    }
}
