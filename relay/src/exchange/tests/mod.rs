//! Streams as they are asked and answered, good and bad.

mod hop_client;
mod hop_relay;
mod laws;
mod properties;
mod stop;
mod wire;

use super::*;
use bytes::BytesMut;
use prost::Message;
use tidewire_core::{Keypair, Machine, Seed, Time};

fn keypair(number: u8) -> Keypair {
    Keypair::from_seed(&Seed::new([number; 32]))
}

fn peer(number: u8) -> PeerId {
    keypair(number).peer_id()
}

/// Peer 1 is the relay, 2 a client with a slot or one that wants one, 3 somebody else.
const RELAY: u8 = 1;
const CLIENT: u8 = 2;
const OTHER: u8 = 3;

fn at_client() -> Context {
    Context { local: peer(CLIENT), remote: peer(RELAY), relayed: false }
}

fn at_relay() -> Context {
    Context { local: peer(RELAY), remote: peer(CLIENT), relayed: false }
}

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn asker(ask: &Ask) -> Asker {
    Asker::new(ask, &at_client(), &Config::default(), Time::ZERO, &mut BytesMut::new())
}

fn responder(service: Service) -> Responder {
    Responder::new(service, &at_relay(), &Config::default(), Time::ZERO)
}

/// What a machine says to these bytes, what it writes, and what it leaves.
struct Said<M: Machine> {
    result: Result<Option<M::Output>, M::Error>,
    written: BytesMut,
    left: BytesMut,
}

fn hear<M: Machine>(machine: &mut M, bytes: &[u8]) -> Said<M> {
    let (mut left, mut written) = (BytesMut::from(bytes), BytesMut::new());
    let result = machine.advance(Time::ZERO, &mut left, &mut written);
    Said { result, written, left }
}

fn hear_all<M: Machine>(machine: &mut M, bytes: &[u8]) -> Said<M> {
    let (mut left, mut written) = (BytesMut::from(bytes), BytesMut::new());
    let result = machine.end(Time::ZERO, &mut left, &mut written);
    Said { result, written, left }
}

/// The one message in these bytes.
fn only<M: Message + Default>(bytes: &BytesMut) -> M {
    let mut rest = bytes.clone();
    let message = tidewire_core::decode_message(&mut rest, 4096).unwrap().expect("a whole message");
    assert!(rest.is_empty(), "one message");
    message
}

#[test]
fn the_names_are_those_of_the_spec() {
    let names =
        [(Service::Hop, "/libp2p/circuit/relay/0.2.0/hop"), (Service::Stop, "/libp2p/circuit/relay/0.2.0/stop")];
    for (service, name) in names {
        assert_eq!((service.name(), Service::of_name(name)), (name, Some(service)));
        assert_eq!(service.max_message(), 4096);
    }
    assert_eq!(Service::of_name("/libp2p/circuit/relay/0.1.0"), None);
    for service in Service::ALL {
        assert_eq!(Service::of_name(service.name()), Some(service));
    }
}

#[cfg(feature = "serde")]
#[test]
fn what_is_told_survives_json() {
    fn same<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + fmt::Debug>(value: &T) {
        let text = serde_json::to_string(value).unwrap();
        assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
    }
    let limit = Limit { duration: Some(core::time::Duration::from_secs(120)), data: Some(131_072) };
    same(&[Ask::Reserve, Ask::Connect { destination: peer(3) }, Ask::Stop { source: peer(3), limit }].to_vec());
    same(&[Request::Reserve, Request::Connect { destination: peer(3) }].to_vec());
    same(&Reply::Reserved {
        expire: UnixTime::from_secs(u64::MAX),
        addresses: alloc::vec![address("/ip4/192.0.2.1/tcp/1")],
        limit,
    });
    same(&Answer::Refused { status: Status::from_code(777) });
    let fault = Fault::PeerId { field: Field::PeerId, error: PeerId::from_bytes(b"").unwrap_err() };
    same(&AskError { remote: peer(1), service: Service::Hop, fault: fault.clone() });
    same(&RequestError { remote: peer(1), service: Service::Stop, fault });
    same(&Config::default());
    assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
}
