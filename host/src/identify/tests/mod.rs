//! Identities as they are written and read, good and bad.

mod cards;
mod laws;
mod merging;
mod reading;
mod records;

use super::message::IdentifyMessage;
use super::*;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use prost::Message;
use tidewire_core::{Keypair, Machine, Multiaddr, PeerRecord, Seed, Time, encode_frame};
use tidewire_multistream::Protocol;

fn keypair(number: u8) -> Keypair {
    Keypair::from_seed(&Seed::new([number; 32]))
}

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn protocol(name: &str) -> Protocol {
    Protocol::new(name).unwrap()
}

/// A profile with something in each field.
fn profile() -> Profile {
    Profile {
        protocol_version: "/my-network/0.1.0".into(),
        agent: "example/1.2.3 with more than 23 bytes".into(),
        protocols: vec![protocol("/ipfs/ping/1.0.0"), protocol("/ipfs/id/1.0.0")],
        addresses: vec![address("/ip4/192.0.2.1/tcp/4001"), address("/ip6/2001:db8::1/udp/4001/quic-v1")],
        seq: 17,
    }
}

/// Profiles with `count` addresses and as many protocols.
fn large(count: u16) -> Profile {
    let mut profile = profile();
    profile.addresses = (0..count).map(|port| address(&alloc::format!("/ip4/192.0.2.1/tcp/{port}"))).collect();
    profile.protocols = (0..count).map(|n| protocol(&alloc::format!("/example/protocol/{n}/1.0.0"))).collect();
    profile
}

/// The bytes of these messages on a stream.
fn wire(messages: &[IdentifyMessage]) -> BytesMut {
    let mut wire = BytesMut::new();
    for message in messages {
        encode_frame(&message.encode_to_vec(), &mut wire);
    }
    wire
}

/// The bytes of a card on a stream.
fn written(card: &Card, observed: Option<&Multiaddr>) -> BytesMut {
    let mut wire = BytesMut::new();
    card.write(observed, &mut wire);
    wire
}

fn reader() -> Reader {
    Reader::new(&Config::default(), keypair(1).peer_id(), Time::ZERO)
}

/// What a stream with these bytes, and then the end, tells about peer 1.
fn read(bytes: &[u8]) -> Result<Box<Identity>, IdentifyError> {
    read_with(&Config::default(), bytes)
}

fn read_with(config: &Config, bytes: &[u8]) -> Result<Box<Identity>, IdentifyError> {
    let mut reader = Reader::new(config, keypair(1).peer_id(), Time::ZERO);
    let identity = reader.end(Time::ZERO, &mut BytesMut::from(bytes), &mut BytesMut::new())?;
    Ok(identity.expect("the first end gives an identity"))
}

fn told(message: IdentifyMessage) -> Result<Box<Identity>, IdentifyError> {
    read(&wire(&[message]))
}

fn list<T: AsRef<[u8]>>(items: &[T]) -> Vec<Bytes> {
    items.iter().map(|item| Bytes::copy_from_slice(item.as_ref())).collect()
}

/// The signed record of a peer.
fn envelope(number: u8, seq: u64, addresses: &[Multiaddr]) -> Bytes {
    let keypair = keypair(number);
    PeerRecord::new(keypair.peer_id(), seq, list(addresses)).seal(&keypair).unwrap().as_bytes().clone()
}
