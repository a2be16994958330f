//! Addresses beside the `multiaddr` crate: what both accept must be the same, and each difference is named in [`differs`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

extern crate alloc;

use alloc::borrow::Cow;
use multiaddr::{Multiaddr as Theirs, Protocol};
use proptest::prelude::*;
use tidewire_core::{Component, Multiaddr, PeerId};

/// Why we refuse bytes that the other crate accepts; `None` if we should not.
///
/// - empty address: the grammar asks for a component
/// - over our caps
/// - empty names, names with `/` or control characters, relative unix paths: their text would be read as something else, or
///   write over a terminal
/// - an empty http-path: `segment-nz`
/// - onion port 0, and garlic of a length that the text form refuses
/// - peer ids that are no identity multihash of 1 to 42 bytes and no SHA-256
fn differs(theirs: &Theirs) -> bool {
    let bad_name = |name: &str| name.is_empty() || name.contains(|c: char| c == '/' || c.is_control());
    theirs.is_empty()
        || theirs.len() > Multiaddr::MAX_LEN
        || theirs.iter().count() > Multiaddr::MAX_COMPONENTS
        || theirs.iter().any(|protocol| match protocol {
            Protocol::Dns(name)
            | Protocol::Dns4(name)
            | Protocol::Dns6(name)
            | Protocol::Dnsaddr(name)
            | Protocol::Sni(name)
            | Protocol::Ip6zone(name) => bad_name(&name),
            Protocol::Unix(path) => !path.starts_with('/') || path.contains(char::is_control),
            Protocol::HttpPath(path) => path.is_empty(),
            Protocol::Onion(_, port) => port == 0,
            Protocol::Onion3(addr) => addr.port() == 0,
            Protocol::Garlic64(bytes) => !(387..=462).contains(&bytes.len()),
            Protocol::Garlic32(bytes) => bytes.len() != 32 && bytes.len() < 35,
            Protocol::P2p(peer) => PeerId::from_bytes(&peer.to_bytes()).is_err(),
            _ => false,
        })
}

/// Why the other crate refuses bytes that we accept: a code that it doesn't know, an http-path that isn't UTF-8, or a digest
/// of more than 64 bytes.
fn only_ours(ours: &Multiaddr) -> bool {
    ours.iter().any(|component| match component {
        Component::Unknown { .. } => true,
        Component::HttpPath(path) => core::str::from_utf8(path).is_err(),
        Component::CertHash(hash) => hash.digest().len() > 64,
        _ => false,
    })
}

/// Whether the two write the same text: unix paths begin with a slash that the other crate doubles; http-path escapes all that
/// RFC 3986 asks for; an address of nothing.
fn same_text(ours: &Multiaddr) -> bool {
    ours.iter().all(|component| !matches!(component, Component::Unix(_) | Component::HttpPath(_)))
}

fn agree_on_bytes(bytes: &[u8]) -> Result<(), TestCaseError> {
    match (Multiaddr::from_bytes(bytes), Theirs::try_from(bytes.to_vec())) {
        (Ok(ours), Ok(theirs)) => {
            prop_assert_eq!(ours.iter().count(), theirs.iter().count());
            let names: Vec<_> = ours.iter().map(|component| component.name()).collect();
            prop_assert_eq!(names, theirs.protocol_stack().collect::<Vec<_>>());
            if same_text(&ours) {
                prop_assert_eq!(ours.to_string(), theirs.to_string());
            }
            prop_assert_eq!(Multiaddr::try_from(ours.as_bytes()).unwrap(), ours);
        }
        (Ok(ours), Err(error)) => prop_assert!(only_ours(&ours), "only ours: {ours:?}, {error}"),
        // x-parity-ws is an unknown code to us: it takes the rest, so no component of it is refused.
        (Err(error), Ok(theirs)) => prop_assert!(differs(&theirs), "only theirs: {theirs:?}, {error}"),
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

/// Components that both write and read the same way.
fn common() -> impl Strategy<Value = Protocol<'static>> {
    let name = || "[a-z0-9_.-]{1,20}".prop_map(Into::into);
    prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| Protocol::Ip4(ip.into())),
        any::<[u8; 16]>().prop_map(|ip| Protocol::Ip6(ip.into())),
        any::<u16>().prop_map(Protocol::Tcp),
        any::<u16>().prop_map(Protocol::Udp),
        any::<u16>().prop_map(Protocol::Dccp),
        any::<u16>().prop_map(Protocol::Sctp),
        any::<u8>().prop_map(Protocol::Ipcidr),
        any::<u64>().prop_map(Protocol::Memory),
        name().prop_map(Protocol::Dns),
        name().prop_map(Protocol::Dns4),
        name().prop_map(Protocol::Dns6),
        name().prop_map(Protocol::Dnsaddr),
        name().prop_map(Protocol::Sni),
        name().prop_map(Protocol::Ip6zone),
        (any::<[u8; 35]>(), 1..=u16::MAX).prop_map(|(host, port)| Protocol::Onion3((host, port).into())),
        (any::<[u8; 10]>(), 1..=u16::MAX).prop_map(|(host, port)| Protocol::Onion(Cow::Owned(host), port)),
        prop::collection::vec(any::<u8>(), 35..80).prop_map(|bytes| Protocol::Garlic32(bytes.into())),
        prop::collection::vec(any::<u8>(), 387..=462).prop_map(|bytes| Protocol::Garlic64(bytes.into())),
        any::<[u8; 32]>()
            .prop_map(|digest| Protocol::Certhash(multiaddr::multihash::Multihash::wrap(0x12, &digest).unwrap())),
        prop::collection::vec(any::<u8>(), 1..=42).prop_map(|key| {
            let multihash = multiaddr::multihash::Multihash::wrap(0, &key).unwrap();
            Protocol::P2p(multiaddr::PeerId::from_multihash(multihash).unwrap())
        }),
        prop::sample::select(vec![
            Protocol::Tls,
            Protocol::Noise,
            Protocol::Quic,
            Protocol::QuicV1,
            Protocol::WebTransport,
            Protocol::WebRTC,
            Protocol::WebRTCDirect,
            Protocol::P2pCircuit,
            Protocol::Ws("/".into()),
            Protocol::Wss("/".into()),
            Protocol::Http,
            Protocol::Https,
            Protocol::Udt,
            Protocol::Utp,
            Protocol::P2pStardust,
            Protocol::P2pWebRtcStar,
            Protocol::P2pWebRtcDirect,
            Protocol::P2pWebSocketStar,
        ]),
    ]
}

/// Bytes near to an address: real codes, real and wrong lengths.
fn near_bytes() -> impl Strategy<Value = Vec<u8>> {
    let codes: Vec<u64> = vec![
        4, 6, 33, 41, 42, 43, 53, 54, 55, 56, 132, 273, 275, 276, 277, 280, 281, 290, 301, 302, 400, 421, 443, 444,
        445, 446, 447, 448, 449, 454, 460, 461, 465, 466, 477, 478, 479, 480, 481, 777, 9999,
    ];
    let part = (prop::sample::select(codes), prop::collection::vec(any::<u8>(), 0..20), any::<bool>()).prop_map(
        |(code, value, prefixed)| {
            let mut bytes = bytes::BytesMut::new();
            tidewire_core::encode_varint(code, &mut bytes).unwrap();
            let prefix = [u8::try_from(value.len()).unwrap()];
            bytes.extend_from_slice(if prefixed { &prefix } else { &[] });
            bytes.extend_from_slice(&value);
            bytes.to_vec()
        },
    );
    prop::collection::vec(part, 1..4).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn valid_addresses_have_the_same_text_and_bytes(protocols in prop::collection::vec(common(), 1..8)) {
        let theirs: Theirs = protocols.into_iter().collect();
        prop_assume!(!differs(&theirs));
        let ours = Multiaddr::from_bytes(theirs.as_ref()).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(ours.to_string(), theirs.to_string());
        let read = ours.to_string().parse::<Multiaddr>();
        prop_assert_eq!(read.as_ref(), Ok(&ours));
        prop_assert_eq!(ours.as_bytes(), theirs.as_ref());
        prop_assert_eq!(Theirs::try_from(ours.as_bytes().to_vec()).unwrap(), theirs);
    }

    #[test]
    fn random_bytes_are_judged_alike(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        agree_on_bytes(&bytes)?;
    }

    #[test]
    fn bytes_near_to_an_address_are_judged_alike(bytes in near_bytes()) {
        agree_on_bytes(&bytes)?;
    }

    #[test]
    fn what_is_accepted_survives_text_and_taking_apart(bytes in near_bytes()) {
        let Ok(ours) = Multiaddr::from_bytes(&bytes) else { return Ok(()) };
        prop_assert_eq!(&ours.to_string().parse::<Multiaddr>().unwrap(), &ours);
        let components: Vec<_> = ours.iter().collect();
        prop_assert_eq!(&Multiaddr::from_components(&components).unwrap(), &ours);
        let (mut head, mut tail) = (ours.clone(), Multiaddr::empty());
        while let Some(last) = head.pop() {
            tail = last.encapsulate(&tail).unwrap();
        }
        prop_assert_eq!(tail, ours);
    }

    #[test]
    fn random_text_is_judged_alike(text in "(/(ip4|ip6|tcp|udp|dns|memory|ipcidr|sni|tls|ws|quic-v1|p2p|x)(/[a-z0-9.:]{0,4})?){0,3}/?") {
        match (text.parse::<Multiaddr>(), text.parse::<Theirs>()) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours.as_bytes(), theirs.as_ref()),
            // One slash at the end is forgiven.
            (Ok(_), Err(_)) => prop_assert!(text.ends_with('/')),
            (Err(error), Ok(theirs)) => prop_assert!(differs(&theirs), "{theirs:?}: {error}"),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,80}", tail in "(/[a-z0-9-]{1,9}/\\PC{0,20}){0,4}") {
        for text in [text, tail] {
            if let Ok(address) = text.parse::<Multiaddr>() {
                prop_assert_eq!(address.to_string().parse::<Multiaddr>(), Ok(address));
            }
        }
    }
}

#[cfg(feature = "multiaddr")]
#[test]
fn addresses_convert_both_ways() {
    let ours: Multiaddr = "/ip4/192.0.2.1/tcp/4001".parse().unwrap();
    let theirs = Theirs::try_from(&ours).unwrap();
    assert_eq!(theirs.to_string(), ours.to_string());
    assert_eq!(Multiaddr::try_from(&theirs), Ok(ours));
    assert!(Theirs::try_from(&"/unknown/9999".parse::<Multiaddr>().unwrap()).is_err());
    assert!(Multiaddr::try_from(&Theirs::empty()).is_err());
}
