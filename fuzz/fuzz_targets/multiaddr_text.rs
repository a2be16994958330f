//! Multiaddr from text, then built further by a sequence of operations: always valid, or a typed error and no change.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tidewire_core::{Component, Multiaddr};

#[derive(Arbitrary, Debug)]
enum Op<'a> {
    Dns(&'a str),
    Unix(&'a str),
    HttpPath(&'a [u8]),
    Unknown(u64, &'a [u8]),
    Tcp(u16),
    Circuit,
    Pop,
    Encapsulate(&'a str),
    Decapsulate(&'a str),
    WithoutPeer,
}

fuzz_target!(|input: (&str, Vec<Op<'_>>)| {
    let (text, ops) = input;
    let mut address = match text.parse::<Multiaddr>() {
        Ok(address) => address,
        Err(error) => {
            assert!(!error.to_string().contains(char::is_control));
            Multiaddr::empty()
        }
    };
    for op in ops.into_iter().take(64) {
        let before = address.clone();
        let pushed = match op {
            Op::Dns(name) => address.push(Component::Dns(name)),
            Op::Unix(path) => address.push(Component::Unix(path)),
            Op::HttpPath(path) => address.push(Component::HttpPath(path)),
            Op::Unknown(code, rest) => address.push(Component::Unknown { code, rest }),
            Op::Tcp(port) => address.push(Component::Tcp(port)),
            Op::Circuit => address.push(Component::P2pCircuit),
            Op::Pop => {
                address.pop();
                continue;
            }
            Op::Encapsulate(text) => match text.parse::<Multiaddr>() {
                Ok(inner) => address.encapsulate(&inner).map(|outer| address = outer),
                Err(_) => continue,
            },
            Op::Decapsulate(text) => {
                if let Some(head) = text.parse::<Multiaddr>().ok().and_then(|inner| address.decapsulate(&inner)) {
                    address = head;
                }
                continue;
            }
            Op::WithoutPeer => {
                address = address.without_peer_id();
                continue;
            }
        };
        if pushed.is_err() {
            assert_eq!(address, before);
        }
    }
    if !address.is_empty() {
        assert_eq!(Multiaddr::from_bytes(address.as_bytes()).as_ref(), Ok(&address));
        assert_eq!(address.to_string().parse::<Multiaddr>().as_ref(), Ok(&address));
    }
});
