//! Peer ids: the examples of peer-ids.md, every way to be wrong, and the `libp2p-identity` crate as oracle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::std_instead_of_alloc)]

use libp2p_identity as oracle;
use proptest::prelude::*;
use std::collections::{BTreeSet, HashSet};
use tidewire_core::{BaseError, KeyError, Keypair, ParsePeerIdError, PeerId, PeerIdError, PublicKey};

const SHA256_TEXT: &str = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N";
const SHA256_CID: &str = "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe";
const ED25519_TEXT: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";

fn parse(text: &str) -> Result<PeerId, ParsePeerIdError> {
    text.parse()
}

fn hashed() -> PeerId {
    SHA256_TEXT.parse().unwrap()
}

fn inlined() -> PeerId {
    ED25519_TEXT.parse().unwrap()
}

/// A CID's text in base16, the base that a test can write by hand.
fn base16(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("f"), |text, byte| text + &format!("{byte:02x}"))
}

mod text {
    use super::*;

    #[test]
    fn the_examples_of_the_spec_are_read_and_written() {
        for text in [SHA256_TEXT, ED25519_TEXT] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(parse(SHA256_CID), Ok(hashed()));
        assert_eq!(hashed().to_cid_string(), SHA256_CID);
        assert_eq!(parse(&inlined().to_cid_string()), Ok(inlined()));
    }

    #[test]
    fn a_cid_is_read_in_every_base() {
        let cid = [&[0x01, 0x72], hashed().as_bytes()].concat();
        let upper = format!("B{}", SHA256_CID[1..].to_uppercase());
        let base36 = in_radix(&cid, "0123456789abcdefghijklmnopqrstuvwxyz");
        let base58 = in_radix(&cid, "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz");
        let flickr = in_radix(&cid, "123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ");
        for text in [
            base16(&cid),
            base16(&cid).to_uppercase(),
            upper,
            format!("k{base36}"),
            format!("K{}", base36.to_uppercase()),
            format!("z{base58}"),
            format!("Z{flickr}"),
        ] {
            assert_eq!(parse(&text), Ok(hashed()), "{text}");
        }
    }

    /// A number without leading zero bytes in any base, by schoolbook division, to compare with.
    fn in_radix(bytes: &[u8], alphabet: &str) -> String {
        let (mut number, mut text) = (bytes.to_vec(), vec![]);
        while number.iter().any(|&digit| digit != 0) {
            let mut rest = 0;
            for digit in &mut number {
                let part = rest * 256 + usize::from(*digit);
                *digit = u8::try_from(part / alphabet.len()).unwrap();
                rest = part % alphabet.len();
            }
            text.push(alphabet.as_bytes()[rest]);
        }
        text.reverse();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_cid_that_lost_its_case_is_still_read() {
        let mixed: String = SHA256_CID
            .chars()
            .enumerate()
            .map(|(at, c)| if at % 3 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        assert_eq!(parse(&mixed), Ok(hashed()));
    }

    #[test]
    fn a_cid_of_another_version_or_codec_is_refused() {
        let multihash = hashed().to_bytes();
        let read = |head: &[u8]| parse(&base16(&[head, &multihash].concat()));
        assert_eq!(read(&[0x02, 0x72]), Err(ParsePeerIdError::CidVersion { got: 2 }));
        assert_eq!(read(&[0x01, 0x55]), Err(ParsePeerIdError::CidCodec { got: 0x55 }));
        assert_eq!(read(&[0x01, 0x70]), Err(ParsePeerIdError::CidCodec { got: 0x70 }));
        // A bare multihash, or CIDv0, behind a prefix.
        assert_eq!(read(&[]), Err(ParsePeerIdError::CidVersion { got: 0x12 }));
        assert_eq!(parse(&format!("z{SHA256_TEXT}")), Err(ParsePeerIdError::CidVersion { got: 0x12 }));
        assert_eq!(parse("f"), Err(ParsePeerIdError::CidTruncated { got: 0 }));
        assert_eq!(parse("f01"), Err(ParsePeerIdError::CidTruncated { got: 1 }));
        assert_eq!(parse("f0172"), Err(PeerIdError::Truncated { expected: 2, got: 0 }.into()));
    }

    #[test]
    fn text_that_is_neither_form_is_refused() {
        assert_eq!(parse(""), Err(ParsePeerIdError::Empty));
        for found in ['Q', '!', 'ü', ' ', '2', '/'] {
            assert_eq!(parse(&format!("{found}{SHA256_CID}")), Err(ParsePeerIdError::UnknownPrefix { found }));
        }
    }

    #[test]
    fn a_wrong_digit_is_named_with_its_place() {
        let at = 3;
        let base = BaseError::Digit { base: "base58btc", found: '0', at };
        assert_eq!(parse("Qm10"), Err(base.into()));
        let base = BaseError::Digit { base: "base32", found: '1', at: 2 };
        assert_eq!(parse("baf1"), Err(base.into()));
        let base = BaseError::Digit { base: "base32", found: '=', at: SHA256_CID.len() - 1 };
        assert_eq!(parse(&format!("{SHA256_CID}=")), Err(base.into()), "no padding");
    }

    #[test]
    fn endless_text_is_refused_early() {
        let long = "1".repeat(10_000_000);
        assert_eq!(parse(&long), Err(BaseError::TooLong { max: 44 }.into()));
        let long = format!("z{}", "z".repeat(10_000_000));
        assert_eq!(parse(&long), Err(BaseError::TooLong { max: 46 }.into()));
    }

    #[test]
    fn a_cut_or_lengthened_text_is_another_or_none() {
        // A few starts of an inlined id happen to be short inlined ids of their own.
        for (text, peer) in [(SHA256_TEXT, hashed()), (ED25519_TEXT, inlined()), (SHA256_CID, hashed())] {
            for len in 0..text.len() {
                assert_ne!(parse(&text[..len]), Ok(peer), "{}", &text[..len]);
            }
            for more in ["1", "a", "2"] {
                assert!(parse(&format!("{text}{more}")).is_err());
            }
        }
    }

    #[test]
    fn printing_respects_width() {
        let text = format!("{:>60}|{:<60}|", inlined(), inlined());
        assert_eq!(text, format!("{ED25519_TEXT:>60}|{ED25519_TEXT:<60}|"));
        assert_eq!(format!("{:?}", inlined()), format!("PeerId({ED25519_TEXT})"));
    }
}

mod bytes {
    use super::*;

    #[test]
    fn a_multihash_of_another_kind_is_refused_by_its_code() {
        for code in [0x01, 0x11, 0x13, 0x16, 0x1b, 0x7f, 0x80, 0xff] {
            let bytes = [&[code, 32][..], &[7; 32]].concat();
            assert_eq!(PeerId::from_bytes(&bytes), Err(PeerIdError::UnknownMultihash { code }));
            assert_eq!(PeerId::from_bytes(&[code]), Err(PeerIdError::UnknownMultihash { code }));
        }
    }

    #[test]
    fn a_hash_of_another_length_is_refused() {
        for got in [0, 20, 31, 33, 64, 255] {
            let bytes = [&[0x12, got][..], &vec![7; usize::from(got)]].concat();
            assert_eq!(PeerId::from_bytes(&bytes), Err(PeerIdError::HashLength { got }));
        }
    }

    #[test]
    fn an_inlined_key_has_1_to_42_bytes() {
        for got in [0, 43, 64, 128, 255] {
            let bytes = [&[0x00, got][..], &vec![7; usize::from(got)]].concat();
            assert_eq!(PeerId::from_bytes(&bytes), Err(PeerIdError::InlineLength { got }));
        }
        for len in 1..=42 {
            let bytes = [&[0x00, len][..], &vec![7; usize::from(len)]].concat();
            assert_eq!(PeerId::from_bytes(&bytes).unwrap().as_bytes(), bytes);
        }
    }

    #[test]
    fn bytes_missing_or_left_over_are_counted() {
        for peer in [hashed(), inlined()] {
            let bytes = peer.to_bytes();
            let expected = bytes.len();
            for got in 2..expected {
                assert_eq!(PeerId::from_bytes(&bytes[..got]), Err(PeerIdError::Truncated { expected, got }));
            }
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(PeerId::from_bytes(&longer), Err(PeerIdError::Trailing { expected, got: expected + 1 }));
        }
        assert_eq!(PeerId::from_bytes(&[]), Err(PeerIdError::Truncated { expected: 2, got: 0 }));
        assert_eq!(PeerId::from_bytes(&[0]), Err(PeerIdError::Truncated { expected: 2, got: 1 }));
    }

    #[test]
    fn it_is_small_and_inline() {
        assert_eq!(size_of::<PeerId>(), 45);
        let copy = hashed();
        assert_eq!(copy, hashed());
    }

    #[test]
    fn order_and_hash_are_those_of_the_bytes() {
        let mut peers: Vec<PeerId> = (0..50).map(|n| Keypair::from_secret(&[n; 32]).peer_id()).collect();
        peers.push(hashed());
        peers.push(PeerId::from_bytes(&[0, 1, 9]).unwrap());
        let sorted: Vec<Vec<u8>> =
            peers.iter().copied().collect::<BTreeSet<_>>().iter().map(PeerId::to_bytes).collect();
        let mut bytes: Vec<Vec<u8>> = peers.iter().map(PeerId::to_bytes).collect();
        bytes.sort();
        assert_eq!(sorted, bytes);
        assert_eq!(peers.iter().collect::<HashSet<_>>().len(), peers.len());
    }
}

mod keys {
    use super::*;

    #[test]
    fn a_short_key_is_inlined_and_a_long_one_hashed() {
        let ed25519 = Keypair::from_secret(&[7; 32]).public();
        assert_eq!(ed25519.to_protobuf().len(), 36);
        assert_eq!(ed25519.peer_id().as_bytes(), [&[0x00, 36][..], &ed25519.to_protobuf()].concat());
        assert!(ed25519.peer_id().to_string().starts_with("12D3KooW"));

        let theirs = oracle::Keypair::generate_ecdsa().public();
        let ecdsa = PublicKey::from_protobuf(&theirs.encode_protobuf()).unwrap();
        assert!(ecdsa.to_protobuf().len() > 42);
        assert!(ecdsa.peer_id().as_bytes().starts_with(&[0x12, 0x20]));
        assert!(ecdsa.peer_id().to_string().starts_with("Qm"));
    }

    #[test]
    fn an_inlined_key_can_be_read_back() {
        let ed25519 = Keypair::from_secret(&[7; 32]).public();
        assert_eq!(ed25519.peer_id().public_key(), Ok(ed25519));
        let theirs = oracle::Keypair::generate_secp256k1().public();
        let secp256k1 = PublicKey::from_protobuf(&theirs.encode_protobuf()).unwrap();
        assert_eq!(secp256k1.peer_id().public_key(), Ok(secp256k1));
        assert_eq!(inlined().public_key().unwrap().peer_id(), inlined());
    }

    #[test]
    fn a_hashed_key_can_not() {
        assert_eq!(hashed().public_key(), Err(KeyError::Hashed));
    }

    #[test]
    fn an_id_that_inlines_another_encoding_of_a_key_does_not_pass_for_it() {
        let key = Keypair::from_secret(&[7; 32]).public().to_protobuf();
        let swapped = [&[0x00, 36, 0x12, 0x20][..], &key[4..], &[0x08, 0x01]].concat();
        assert_eq!(PeerId::from_bytes(&swapped).unwrap().public_key(), Err(KeyError::OtherPeerId));
        let padded = [&[0x00, 38][..], &key, &[0x18, 0x00]].concat();
        assert_eq!(PeerId::from_bytes(&padded).unwrap().public_key(), Err(KeyError::OtherPeerId));
        let rubbish = PeerId::from_bytes(&[0x00, 2, 0xff, 0xff]).unwrap();
        assert_eq!(rubbish.public_key(), Err(KeyError::Protobuf));
    }
}

fn any_peer() -> impl Strategy<Value = PeerId> {
    let inlined = prop::collection::vec(any::<u8>(), 1..=42);
    let inlined = inlined.prop_map(|key| [&[0x00, u8::try_from(key.len()).unwrap()][..], &key].concat());
    let hashed = any::<[u8; 32]>().prop_map(|hash| [&[0x12, 0x20][..], &hash].concat());
    prop_oneof![inlined, hashed].prop_map(|bytes| PeerId::from_bytes(&bytes).unwrap())
}

proptest! {
    #[test]
    fn any_id_survives_both_texts(peer in any_peer()) {
        prop_assert_eq!(parse(&peer.to_string()), Ok(peer));
        prop_assert_eq!(parse(&peer.to_cid_string()), Ok(peer));
        let cid = [&[0x01, 0x72], peer.as_bytes()].concat();
        prop_assert_eq!(parse(&base16(&cid)), Ok(peer));
    }

    #[test]
    fn any_id_is_the_same_to_the_oracle(peer in any_peer()) {
        let theirs = oracle::PeerId::from_bytes(peer.as_bytes()).unwrap();
        prop_assert_eq!(theirs.to_bytes(), peer.to_bytes());
        prop_assert_eq!(theirs.to_base58(), peer.to_string());
        prop_assert_eq!(peer.to_string().parse::<oracle::PeerId>().unwrap(), theirs);
    }

    /// The oracle also takes identity ids without a byte and SHA-256 ids of another length than 32.
    #[test]
    fn what_we_read_the_oracle_reads(mut bytes in prop::collection::vec(any::<u8>(), 0..50), code in prop::sample::select(vec![0x00, 0x12, 0x13]), fit in any::<bool>()) {
        if bytes.len() >= 2 {
            bytes[0] = code;
            if fit {
                bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
            }
        }
        let theirs = oracle::PeerId::from_bytes(&bytes);
        match PeerId::from_bytes(&bytes) {
            Ok(peer) => prop_assert_eq!(peer.to_string(), theirs.unwrap().to_base58()),
            Err(PeerIdError::InlineLength { got: 0 } | PeerIdError::HashLength { .. }) => {}
            Err(error) => prop_assert!(theirs.is_err(), "{}", error),
        }
    }

    #[test]
    fn no_text_panics(text in "[1Qmbz]?.{0,80}") {
        if let Ok(peer) = parse(&text) {
            prop_assert_eq!(parse(&peer.to_string()), Ok(peer));
        }
    }
}
