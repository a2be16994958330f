//! Serialization: what is written is read back, and bytes that break a rule are an error.
#![cfg(feature = "serde")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::std_instead_of_core)]

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidewire_core::{Keypair, Multiaddr, PeerId, PeerRecord, PeerRecordError, PublicKey, Role, Seed, Time};

fn both_ways<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> (String, Vec<u8>) {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
    let bytes = postcard::to_allocvec(value).unwrap();
    assert_eq!(&postcard::from_bytes::<T>(&bytes).unwrap(), value);
    (text, bytes)
}

#[test]
fn peer_ids_addresses_and_keys_are_text_for_people_and_bytes_for_machines() {
    let key = Keypair::from_seed(&Seed::new([1; 32])).public();
    let (text, bytes) = both_ways(&key.peer_id());
    assert_eq!(text, format!("\"{}\"", key.peer_id()));
    assert_eq!(bytes[1..], *key.peer_id().as_bytes());
    let address: Multiaddr = "/ip4/11.0.0.1/tcp/1".parse().unwrap();
    let (text, bytes) = both_ways(&address);
    assert_eq!(text, "\"/ip4/11.0.0.1/tcp/1\"");
    assert_eq!(bytes[1..], *address.as_bytes());
    let (text, bytes) = both_ways(&key);
    assert!(text.starts_with("\"08011220") && text.len() == 2 + 72, "{text}");
    assert_eq!(bytes[1..], *key.to_protobuf());
    both_ways(&(Time::NEVER, Role::Initiator));
}

#[test]
fn an_error_with_words_is_read_back() {
    for bytes in [&b""[..], b"\x0a\x00", b"\xff"] {
        let error = PeerRecord::open(bytes.to_vec().into()).unwrap_err();
        both_ways(&error);
    }
    let text = r#"{"MissingField":{"field":"what nobody says"}}"#;
    let error = serde_json::from_str::<PeerRecordError>(text).unwrap_err();
    assert!(error.to_string().starts_with("no error has this word"), "{error}");
}

#[test]
fn what_breaks_a_rule_is_an_error() {
    let error = serde_json::from_str::<PeerId>("\"12D3\"").unwrap_err();
    assert!(!error.to_string().is_empty());
    assert!(serde_json::from_str::<PeerId>("7").unwrap_err().to_string().contains("expected a peer id"));
    assert!(postcard::from_bytes::<PeerId>(&[2, 0x12, 0x20]).is_err());
    assert!(serde_json::from_str::<Multiaddr>("\"ip4\"").is_err());
    assert!(postcard::from_bytes::<Multiaddr>(&[2, 4, 11]).is_err());
    assert!(postcard::from_bytes::<Multiaddr>(&[0]).is_err());
    for text in ["\"0\"", "\"0g\"", "\"é\"", "\"\"", "\"0801\""] {
        assert!(serde_json::from_str::<PublicKey>(text).is_err(), "{text}");
    }
}
