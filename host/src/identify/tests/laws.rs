//! The reader keeps the laws.

use super::*;
use core::time::Duration;
use tidewire_core::laws::{ByteSubject, Limits, Once, Step, check_bytes};

fn script() -> Vec<Step> {
    let mut profile = profile();
    profile.addresses.push(address("/ip4/192.0.2.9/tcp/9"));
    let seen = address("/ip4/198.51.100.7/tcp/51234");
    let first = written(&Card::new(&keypair(1), &profile).unwrap(), Some(&seen));
    let second = wire(&[IdentifyMessage { agent_version: Some("later".into()), ..IdentifyMessage::default() }]);
    vec![
        Step::bytes(first),
        Step::Wait(Duration::from_secs(1)),
        Step::bytes(second),
        Step::Wait(Duration::from_secs(9)),
    ]
}

#[test]
fn the_reader_keeps_the_laws() {
    let limits = Limits { memory: 4096, tx: 0, places: 128, may_merge: false };
    check_bytes(&Once(reader), &script(), limits).unwrap();
}

/// A reader that is called on after it has said all.
struct CalledOn;

impl ByteSubject for CalledOn {
    type Machine = Reader;

    fn machine(&self) -> Reader {
        reader()
    }
}

#[test]
fn a_reader_that_is_done_keeps_the_laws() {
    let mut script = script();
    script.push(Step::bytes(b"more"));
    let limits = Limits { memory: 4096, tx: 0, places: 64, may_merge: false };
    check_bytes(&CalledOn, &script, limits).unwrap();
}
