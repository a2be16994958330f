//! Unusable command lines: exit code 2, nothing on stdout, one line on stderr that says what to do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::std_instead_of_core,
    unreachable_pub,
    dead_code
)]

mod common;

use common::{Folder, run, stderr, stdout};

const ADDRESS: &str = "/ip4/127.0.0.1/tcp/1";
const CIRCUIT: &str = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWETJFK6QvpZyZe6xT47VCyau57ucKL36dCCovkzLjNuSY/p2p-circuit/p2p/12D3KooWDx8jkVVkCth4uAika5fCkRMo2shX8kDidtwoayFu4hkd";
const TO_ITSELF: &str = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWETJFK6QvpZyZe6xT47VCyau57ucKL36dCCovkzLjNuSY/p2p-circuit/p2p/12D3KooWETJFK6QvpZyZe6xT47VCyau57ucKL36dCCovkzLjNuSY";

fn refused(words: &[&str]) -> String {
    let output = run(words);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
    assert_eq!(stdout(&output), "", "{words:?}");
    assert!(said.lines().count() == 1 && said.starts_with("tidewire: ") && said.ends_with('\n'), "{words:?}: {said}");
    said
}

#[test]
fn each_unusable_command_line_gets_one_clear_line() {
    let table: &[(&[&str], &str)] = &[
        (&[], "expected a command: listen, dial, relay, reserve, dial-circuit, "),
        (&["serve"], "\"serve\" is not a command"),
        (&["two\nlines"], "is not a command"),
        (&["--frob"], "--frob is not an option"),
        (&["help", "bridge"], "there is no help on \"bridge\""),
        (&["dial"], "expected an address"),
        (&["dial", ADDRESS, ADDRESS], "one address too many"),
        (&["dial", "127.0.0.1:4001"], "begins with `/`"),
        (&["dial", "/ip4/1.2.3/tcp/1"], "is not an IPv4 address"),
        (&["dial", "/ip4/127.0.0.1"], "/tcp/PORT is missing"),
        (&["dial", "/ip4/127.0.0.1/udp/4001/quic-v1"], "expected /tcp/PORT, got /udp"),
        (&["dial", "/ip4/127.0.0.1/tcp/0"], "port 0 can't be dialed"),
        (&["dial", "/ip4/127.0.0.1/tcp/4001/ws"], "/ws can't be spoken"),
        (&["dial", "/tcp/4001"], "expected /ip4"),
        (&["dial", "/dnsaddr/example.org/tcp/1"], "expected /ip4"),
        (&["dial", "/ip4/127.0.0.1/tcp/4001/p2p/nonsense"], "nonsense"),
        (&["dial", ADDRESS, "--size"], "--size: a value is missing"),
        (&["dial", ADDRESS, "--size", "-1"], "--size: expected bytes"),
        (&["dial", ADDRESS, "--size", "1MB"], "--size: expected bytes"),
        (&["dial", ADDRESS, "--size", "99999999999GiB"], "--size: 99999999999GiB is too much"),
        (&["dial", ADDRESS, "--hold", "soon"], "--hold: expected seconds"),
        (&["dial", ADDRESS, "--timeout", "0"], "--timeout: expected more than 0"),
        (&["dial", ADDRESS, "--timeout", "nan"], "--timeout: expected seconds"),
        (&["dial", ADDRESS, "--json=yes"], "--json takes no value"),
        (&["dial", ADDRESS, "--security", "tls"], "--security: expected noise or plaintext"),
        (&["dial", ADDRESS, "--security", ""], "--security: a value is missing"),
        (&["dial", ADDRESS, "--muxer", "yamux,yamux"], "--muxer: yamux is there twice"),
        (&["dial", ADDRESS, "--select", "eager"], "--select: expected lazy or plain"),
        (&["dial", ADDRESS, "--seed", "x"], "--seed: expected a whole number"),
        (&["dial", ADDRESS, "--seed", "1", "--key", "k"], "--key and --seed"),
        (&["dial", ADDRESS, "--listen", ADDRESS], "--listen is not an option"),
        (&["listen", ADDRESS], "come behind --listen"),
        (&["listen", "--listen", "/dns/localhost/tcp/1"], "expected /ip4/... or /ip6/..."),
        (&["listen", "--max-connections", "0"], "expected 1 at least"),
        (&["listen", "-x"], "-x is not an option"),
        (&["listen", "--auto-relay"], "--auto-relay: a value is missing"),
        (&["listen", "--auto-relay", "/ip4/127.0.0.1"], "/tcp/PORT is missing"),
        (
            &["listen", "--private"],
            "--private is about circuits, which come through relays; give --auto-relay RELAY too",
        ),
        (&["listen", "--no-dcutr", "--listen", ADDRESS], "--no-dcutr is about circuits"),
        (&["listen", "--announce", "/ip4/127.0.0.1/tcp/0"], "nobody can dial port 0"),
        (&["listen", "--listen", "/ip4/127.0.0.1/tcp/1/p2p-circuit"], "which relay?"),
        (&["dial", CIRCUIT], "tidewire dial-circuit does that"),
        (&["dial-circuit"], "expected an address, such as /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW.../p2p-circuit/p2p/"),
        (&["dial-circuit", ADDRESS], "no relay is on the way"),
        (&["dial-circuit", "/ip4/127.0.0.1/tcp/1/p2p-circuit"], "which relay?"),
        (
            &["dial-circuit", "/p2p-circuit/p2p/12D3KooWETJFK6QvpZyZe6xT47VCyau57ucKL36dCCovkzLjNuSY"],
            "where is the relay?",
        ),
        (&["dial-circuit", TO_ITSELF], "the relay and the peer are one"),
        (&["dial-circuit", CIRCUIT, CIRCUIT], "dial-circuit takes one"),
        (&["relay", ADDRESS], "come behind --listen"),
        (&["relay", "--ttl", "0"], "--ttl: expected 1 second"),
        (&["relay", "--data-limit", "much"], "--data-limit: expected bytes"),
        (&["relay", "--reservations", "0"], "--reservations: expected 1 at least"),
        (&["relay", "--reservations", "x"], "--reservations: expected a whole number"),
        (&["reserve"], "expected an address"),
        (&["reserve", ADDRESS, ADDRESS], "reserve takes one"),
        (&["reserve", "--size", "1"], "--size is not an option"),
        (&["demo", "now"], "demo takes only options"),
        (&["ping"], "expected an address"),
        (&["ping", ADDRESS, ADDRESS], "ping takes one"),
        (&["ping", ADDRESS, "--count", "0"], "--count: expected 1 at least"),
        (&["ping", ADDRESS, "-i", "-1"], "-i: expected seconds"),
        (&["id", "key"], "comes behind --key"),
        (&["id", "--key", "k", "--seed", "1"], "--key and --seed"),
        (&["peers"], "expected --control PATH"),
        (&["peers", ADDRESS], "comes behind --control"),
        (&["replay"], "expected a file that --record has written"),
        (&["replay", "a", "b"], "replay takes one"),
        (&["trace", "a", "--json"], "--json is not an option"),
        (&["config", "all"], "config takes only options"),
        (&["listen", "--metrics", "9090"], "--metrics: expected an IP address and a port"),
        (&["dial", ADDRESS, "--log", "tidewire=lots"], "--log: expected error, warn, info, debug or trace"),
    ];
    for (words, part) in table {
        let said = refused(words);
        assert!(said.contains(part), "{words:?}: {said}");
    }
}

#[test]
fn files_that_can_not_be_used_are_named_with_the_reason() {
    let folder = Folder::new();
    let cases = [
        ("--psk", folder.file("missing"), "No such file"),
        ("--psk", folder.path().to_str().unwrap().to_owned(), "directory"),
        ("--psk", folder.write("empty", ""), "line 1"),
        ("--psk", folder.write("base", "/key/swarm/psk/1.0.0/\n/base58/\n"), "line 2"),
        ("--psk", folder.write("short", "/key/swarm/psk/1.0.0/\n/base16/\nabcd\n"), "line 3"),
        ("--key", folder.write("text", "not a key"), "expected an Ed25519 key"),
        ("--key", folder.file("no/such/folder/key"), "does not exist"),
        ("--config", folder.file("missing"), "No such file"),
        ("--config", folder.write("toml", "host = ["), "line 1: this is not TOML"),
        (
            "--config",
            folder.write("key", "# mine\n[host]\nidentfy = true\n"),
            "line 3: there is no host.identfy; did you mean host.identify?",
        ),
        (
            "--config",
            folder.write("value", "\n[link]\npush_interval = 2\n"),
            "line 3: link.push_interval: expected a time",
        ),
    ];
    for (option, file, part) in &cases {
        let said = refused(&["dial", ADDRESS, option, file]);
        assert!(said.contains(file.as_str()) && said.contains(part), "{said}");
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    for words in [
        &["--help"][..],
        &["help"],
        &["listen", "--help"],
        &["dial", "-h"],
        &["help", "demo"],
        &["ping", "-h"],
        &["relay", "--help"],
        &["help", "reserve"],
        &["dial-circuit", "-h"],
        &["punch", "-h"],
        &["help", "autonat-client"],
        &["id", "-h"],
        &["help", "peers"],
        &["config", "--help"],
        &["replay", "-h"],
        &["trace", "-h"],
        &["-V"],
    ] {
        let output = run(words);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{words:?}");
        let text = stdout(&output);
        assert!(text.starts_with("tidewire"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    }
}
