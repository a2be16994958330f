//! Published vectors, and snow with its own cryptography as the other end.

use super::*;
use crate::crypto::Key;
use crate::security::noise::handshake::build;
use proptest::prelude::*;

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

/// The vector for this protocol from the Cacophony set, which the Noise community shares.
const PROLOGUE: &str = "4a6f686e2047616c74";
const INITIATOR: [&str; 2] = [
    "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
    "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
];
const RESPONDER: [&str; 2] = [
    "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
    "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
];
const HASH: &str = "c8e5f64e846193be2a834104c2a009868d6c9f3bd3c186299888b488b2f1f58e";
const MESSAGES: [[&str; 2]; 6] = [
    [
        "4c756477696720766f6e204d69736573",
        "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444c756477696720766f6e204d69736573",
    ],
    [
        "4d757272617920526f746862617264",
        "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f14480884381cbad1f276e038c48378ffce2b65285
         e08d6b68aaa3629a5a8639392490e5b9bd5269c2f1e4f488ed8831161f19b7815528f8982ffe09be9b5c412f8a0db50f
         8814c7194e83f23dbd8d162c9326ad",
    ],
    [
        "462e20412e20486179656b",
        "c7195ffacac1307ff99046f219750fc47693e23c3cb08b89c2af808b444850a80ae475b9df0f169ae80a89be0865b57f
         58c9fea0d4ec82a286427402f113e4b6ae769a1d95941d49b25030",
    ],
    ["4361726c204d656e676572", "96763ed773f8e47bb3712f0e29b3060ffc956ffc146cee53d5e1df"],
    ["4a65616e2d426170746973746520536179", "3e40f15f6f3a46ae446b253bf8b1d9ffb6ed9b174d272328ff91a7e2e5c79c07f5"],
    [
        "457567656e2042f6686d20766f6e2042617765726b",
        "eb3f3515110702e047a6c9da4478b6ead94873c11c0f2d710ddb3f09fce024b3a58502ae3f",
    ],
];

#[test]
fn handshake_and_records_agree_with_the_published_vector() {
    for &crypto in Crypto::ALL {
        let make = |role, [fixed, ephemeral]: [&str; 2]| {
            let fixed = SecretKey::new(hex(fixed).try_into().unwrap(), crypto);
            let ephemeral = hex(ephemeral).try_into().unwrap();
            build(crypto, Arc::new(fixed), ephemeral, role, &hex(PROLOGUE)).unwrap()
        };
        let (mut a, mut b) = (make(Role::Initiator, INITIATOR), make(Role::Responder, RESPONDER));
        let (mut message, mut payload) = (vec![0; 1000], vec![0; 1000]);
        for [text, expected] in &MESSAGES[..3] {
            let len = a.write_message(&hex(text), &mut message).unwrap();
            assert_eq!(message[..len], hex(expected), "{crypto:?}");
            let len = b.read_message(&message[..len], &mut payload).unwrap();
            assert_eq!(payload[..len], hex(text), "{crypto:?}");
            core::mem::swap(&mut a, &mut b);
        }
        // The swaps have made `b` the initiator.
        let (mut initiator, mut responder) = (b, a);
        assert!(initiator.is_handshake_finished() && responder.is_handshake_finished());
        assert_eq!(initiator.get_handshake_hash(), hex(HASH));
        let (from_initiator, from_responder) = initiator.dangerously_get_raw_split();
        assert_eq!(responder.dangerously_get_raw_split(), (from_initiator, from_responder));
        let key = |bytes| Key::new(bytes, crypto);
        let mut a = NoiseSession::new(key(from_initiator), key(from_responder));
        let mut b = NoiseSession::new(key(from_responder), key(from_initiator));
        for (index, [text, expected]) in MESSAGES.iter().enumerate().skip(3) {
            // In the vector both sides take turns, from the first message on.
            let (sender, receiver) = if index % 2 == 0 { (&mut a, &mut b) } else { (&mut b, &mut a) };
            let mut record = seal(sender, &hex(text));
            assert_eq!(record, framed(&hex(expected)), "{crypto:?}, message {index}");
            assert_eq!(receiver.open(&mut record).unwrap().unwrap(), hex(text));
        }
    }
}

/// A whole conversation with snow: its transport and our session, each in its role.
fn with_snow(ours: Role) -> (NoiseSession, snow::TransportState) {
    let (_, noise) = peer(1, &[]);
    let mut side = Side::new(Handshake::with_prologue(&noise, ours, None, &Seed::new([5; 32]), b"prologue"));
    let mut foreign = Foreign::new(ours.opposite(), b"prologue");
    let payload = honest_payload(&identity(2), &Foreign::public());
    match ours {
        Role::Initiator => {
            assert!(foreign.read(&side.feed(&[])).is_empty(), "nothing is said in message 1");
            let third = side.feed(&foreign.write(&payload));
            assert_eq!(foreign.read(&third), honest_payload(&identity(1), noise.static_key()));
        }
        Role::Responder => {
            let second = side.feed(&foreign.write(b""));
            assert_eq!(foreign.read(&second), honest_payload(&identity(1), noise.static_key()));
            side.feed(&foreign.write(&payload));
        }
    }
    let secured = side.secured();
    assert_eq!(secured.peer, identity(2).peer_id());
    (secured.session, foreign.noise.into_transport_mode().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn our_records_are_those_of_snow_in_both_roles(
        initiator: bool, texts in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 1..3000)), 1..20)
    ) {
        let (mut ours, mut snow) = with_snow(if initiator { Role::Initiator } else { Role::Responder });
        let mut buffer = vec![0; 65535];
        for (send, text) in texts {
            if send {
                let record = seal(&mut ours, &text);
                let len = snow.read_message(&record[2..], &mut buffer).unwrap();
                prop_assert_eq!(&buffer[..len], &text);
            } else {
                let len = snow.write_message(&text, &mut buffer).unwrap();
                let mut rx = BytesMut::from(&framed(&buffer[..len])[..]);
                prop_assert_eq!(ours.open(&mut rx).unwrap().unwrap(), &text[..]);
            }
        }
    }
}
