//! Exchanges as they are held, good and bad.

mod answerer;
mod laws;
mod opener;
mod properties;
mod wire;

use super::*;
use alloc::format;
use alloc::vec;
use bytes::BytesMut;
use tidewire_core::{Machine, Time};
use wire::{Kind, Punch, framed};

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

/// `/ip4/8.8.8.8/tcp/port`
fn at_port(port: u16) -> Multiaddr {
    address(&format!("/ip4/8.8.8.8/tcp/{port}"))
}

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// What a machine says to these bytes, what it writes, and what it leaves.
struct Said {
    result: Result<Option<Heard>, Fault>,
    written: BytesMut,
    left: BytesMut,
}

fn hear(machine: &mut impl Machine<Output = Heard, Error = Fault>, now: Time, bytes: &[u8]) -> Said {
    let (mut left, mut written) = (BytesMut::from(bytes), BytesMut::new());
    let result = machine.advance(now, &mut left, &mut written);
    Said { result, written, left }
}

fn hear_last(machine: &mut impl Machine<Output = Heard, Error = Fault>, now: Time, bytes: &[u8]) -> Said {
    let (mut left, mut written) = (BytesMut::from(bytes), BytesMut::new());
    let result = machine.end(now, &mut left, &mut written);
    Said { result, written, left }
}

/// What all slots refuse alike, with the fault that `expected` asks for. `true`: the stream ends with it.
fn refused(expected: MessageType) -> Vec<(&'static str, Vec<u8>, bool, Fault)> {
    let other = match expected {
        MessageType::Connect => Kind::Sync,
        MessageType::Sync => Kind::Connect,
    };
    let got = other as i32;
    let good = framed(&Punch::of(if other == Kind::Sync { Kind::Connect } else { Kind::Sync })).to_vec();
    let unknown = framed(&Punch { kind: Some(200), addrs: vec![] }).to_vec();
    let negative = framed(&Punch { kind: Some(-1), addrs: vec![] }).to_vec();
    let missing = Fault::MissingType { expected };
    let mut too_long = vec![0x81, 0x20];
    too_long.extend_from_slice(&[0; 4097]);
    vec![
        ("the other message", framed(&Punch::of(other)).to_vec(), false, Fault::UnexpectedType { expected, got }),
        ("an unknown type", unknown, false, Fault::UnexpectedType { expected, got: 200 }),
        ("a negative type", negative, false, Fault::UnexpectedType { expected, got: -1 }),
        ("an empty message", vec![0], false, missing.clone()),
        ("addresses without a type", framed(&Punch { kind: None, addrs: vec![vec![1]] }).to_vec(), false, missing),
        ("4097 bytes", too_long, false, Fault::TooLong { len: 4097, max: 4096 }),
        ("4097 bytes, announced", vec![0x81, 0x20], false, Fault::TooLong { len: 4097, max: 4096 }),
        ("nothing, and the end", vec![], true, Fault::Ended { expected }),
        ("a byte, and the end", vec![3], true, Fault::Truncated { expected, got: 1 }),
        ("all but a byte, and the end", good[..2].to_vec(), true, Fault::Truncated { expected, got: 2 }),
    ]
}

/// Bytes that are no message, in any slot.
const MALFORMED: [(&str, &[u8]); 5] = [
    ("a type that is text", &[3, 0x0a, 1, b'x']),
    ("addresses that are a number", &[4, 0x08, 100, 0x10, 1]),
    ("an address longer than the message", &[4, 0x08, 100, 0x12, 9]),
    ("a length that is not minimal", &[0x81, 0x00]),
    ("a length of ten bytes", &[0xff; 10]),
];

/// The slot refuses, says why, for good, and writes nothing.
fn refuses(machine: &impl AnyEnd, slot: &str) {
    for (name, bytes, ended, fault) in refused(machine.expects()) {
        let mut machine = machine.clone();
        let call = if ended { hear_last } else { hear };
        let said = call(&mut machine, ms(100), &bytes);
        assert_eq!(said.result, Err(fault.clone()), "{slot}: {name}");
        assert!(said.written.is_empty(), "{slot}: {name}");
        let good = framed(&Punch::of(Kind::Connect));
        let again = hear(&mut machine, ms(200), &good);
        assert_eq!((again.result, again.left), (Err(fault), good), "{slot}: {name}, and then a good one");
        assert_eq!(machine.deadline(), Time::NEVER, "{slot}: {name}");
    }
    for (name, bytes) in MALFORMED {
        let said = hear(&mut machine.clone(), ms(100), bytes);
        assert!(matches!(said.result, Err(Fault::Malformed { .. })), "{slot}: {name}: {:?}", said.result);
    }
}

/// An end that waits for this message.
trait AnyEnd: Machine<Output = Heard, Error = Fault> + Clone {
    fn expects(&self) -> MessageType;
}

impl AnyEnd for Opener {
    fn expects(&self) -> MessageType {
        MessageType::Connect
    }
}

impl AnyEnd for Answerer {
    fn expects(&self) -> MessageType {
        if self.clone().connect(Time::ZERO, &[], &mut BytesMut::new()) == Err(TurnError::Written) {
            MessageType::Sync
        } else {
            MessageType::Connect
        }
    }
}

#[test]
fn each_fault_says_what_was_expected_and_what_came() {
    let after = Duration::from_secs(10);
    let (connect, sync) = (MessageType::Connect, MessageType::Sync);
    let table = [
        (
            Fault::TooLong { len: 5000, max: 4096 },
            "expected a message of at most 4096 bytes, the peer announced one of 5000",
        ),
        (Fault::MissingType { expected: connect }, "expected CONNECT, the peer sent a message without a type"),
        (
            Fault::UnexpectedType { expected: connect, got: 300 },
            "expected CONNECT, the peer sent a message of type 300 (SYNC)",
        ),
        (Fault::UnexpectedType { expected: sync, got: 7 }, "expected SYNC, the peer sent a message of type 7"),
        (Fault::OutOfTurn { turn: connect }, "the peer sent more before our CONNECT"),
        (Fault::Trailing, "the peer sent more after SYNC, which ends the exchange"),
        (Fault::Truncated { expected: sync, got: 2 }, "the stream ended 2 bytes into the peer's SYNC"),
        (Fault::Ended { expected: sync }, "the stream ended without the peer's SYNC"),
        (Fault::Timeout { expected: sync, after }, "the peer's SYNC did not come within 10 s"),
        (Fault::Undecided { turn: connect, after }, "our CONNECT was not sent within 10 s of the start"),
        (Fault::Reset, "the stream was reset"),
        (Fault::NotSpoken, "the peer does not speak /libp2p/dcutr"),
    ];
    for (fault, words) in table {
        assert_eq!(format!("{fault}"), words);
    }
}

#[cfg(feature = "serde")]
#[test]
fn what_is_told_survives_json() {
    fn same<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + core::fmt::Debug>(value: &T) {
        let text = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
    }
    let rtt = Duration::from_millis(40);
    same(&Heard::Connect { addresses: vec![at_port(1)], skipped: 1, dropped: 2, rtt: Some(rtt) });
    same(&Heard::Sync { rtt });
    same(&Fault::Malformed { why: "no".into() });
    same(&Fault::Timeout { expected: MessageType::Sync, after: rtt });
    same(&Config::default());
    assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
}

#[test]
fn the_name_is_that_of_the_spec() {
    assert_eq!((PROTOCOL, MAX_MESSAGE), ("/libp2p/dcutr", 4096));
    assert_eq!((MessageType::Connect.code(), MessageType::Sync.code()), (100, 300));
}
