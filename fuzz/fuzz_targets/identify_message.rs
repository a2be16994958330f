//! What a remote says about itself, as any bytes: no panic, no cut makes a difference, the caps hold, and a push changes only
//! what it mentions.
//!
//! The first byte says how the input is cut; the rest is the stream. The corpus is what peer 1 sends.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tidewire_core::{Keypair, Machine, Multiaddr, PeerId, Seed, Time};
use tidewire_host::identify::{Card, Config, IdentifyError, Identity, Profile, Reader};

static PEER: LazyLock<PeerId> = LazyLock::new(|| Keypair::from_seed(&Seed::new([1; 32])).peer_id());

static KNOWN: LazyLock<Identity> = LazyLock::new(|| {
    let mut profile = Profile::default();
    profile.agent = "known".into();
    profile.addresses = vec![Multiaddr::tcp(([192, 0, 2, 1], 4001).into())];
    profile.seq = 17;
    let mut wire = BytesMut::new();
    let card = Card::new(&Keypair::from_seed(&Seed::new([1; 32])), &profile).expect("a card of the test");
    card.write(None, &mut wire);
    *read(&wire, wire.len()).expect("our own card is read")
});

fuzz_target!(|data: &[u8]| {
    let [piece, bytes @ ..] = data else { return };
    let whole = read(bytes, bytes.len().max(1));
    assert_eq!(whole, read(bytes, usize::from(*piece).max(1)), "a cut made a difference");
    let Ok(said) = whole else { return };

    let config = Config::default();
    assert!(said.protocols.len() <= config.max_protocols && said.protocols.is_sorted_by(|a, b| a < b));
    let signed = said.record.as_ref().map_or(&[][..], |record| &record.addresses);
    for addresses in [&said.addresses[..], signed] {
        assert!(addresses.len() <= config.max_addresses);
        assert!(addresses.iter().all(|address| !address.is_empty() && address.peer_id().is_none()));
    }
    assert!(said.agent.iter().chain(&said.protocol_version).all(|text| text.len() <= config.max_text));
    assert!(said.public_key.as_ref().is_none_or(|key| key.peer_id() == *PEER));
    assert!(said.memory_used() < 128 * 1024);

    let mut known = KNOWN.clone();
    known.merge_push((*said).clone());
    assert_eq!(known.protocols, said.protocols);
    assert_eq!(known.agent.as_deref(), said.agent.as_deref().or(Some("known")));
    assert!(known.record.as_ref().is_some_and(|record| record.seq >= 17), "a record is never replaced by an older one");
    if !said.addresses.is_empty() {
        assert_eq!(known.addresses, said.addresses);
    }
});

fn read(bytes: &[u8], piece: usize) -> Result<Box<Identity>, IdentifyError> {
    let mut reader = Reader::new(&Config::default(), *PEER, Time::ZERO);
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    for piece in bytes.chunks(piece) {
        rx.extend_from_slice(piece);
        let early = reader.advance(Time::ZERO, &mut rx, &mut tx)?;
        assert!(early.is_none(), "before the end");
        assert!(reader.memory_used() < 128 * 1024);
    }
    let identity = reader.end(Time::ZERO, &mut rx, &mut tx)?.expect("an end without an error is an identity");
    assert!(tx.is_empty() && rx.is_empty());
    Ok(identity)
}
