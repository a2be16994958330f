//! Peer ids from bytes and from text: what is read is written the same, and survives both texts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidewire_core::PeerId;

fn check(peer: PeerId) {
    assert_eq!(PeerId::from_bytes(peer.as_bytes()), Ok(peer));
    assert_eq!(peer.to_string().parse(), Ok(peer));
    assert_eq!(peer.to_cid_string().parse(), Ok(peer));
    if let Ok(key) = peer.public_key() {
        assert_eq!(key.peer_id(), peer);
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(peer) = PeerId::from_bytes(bytes) {
        assert_eq!(peer.as_bytes(), bytes);
        check(peer);
    }
    if let Ok(text) = core::str::from_utf8(bytes)
        && let Ok(peer) = text.parse::<PeerId>()
    {
        // The raw form is unique.
        if text.starts_with('1') || text.starts_with("Qm") {
            assert_eq!(peer.to_string(), text);
        }
        check(peer);
    }
});
