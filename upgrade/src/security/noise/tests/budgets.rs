//! What a handshake and a record may cost, and the laws.

use super::*;
use allocation_counter::measure;
use tidewire_core::laws::{Limits, Once, Step, check_bytes};

#[test]
fn a_handshake_allocates_little() {
    for &crypto in Crypto::ALL {
        let [a, b] = [1, 2].map(|number| peer_with(number, crypto, Config::default()));
        let mut buffers = [(); 2].map(|()| BytesMut::with_capacity(1024));
        let cost = measure(|| {
            let [to_b, to_a] = &mut buffers;
            let (mut a, mut b) = (initiator(&a, None), responder(&b, None));
            assert!(a.advance(Time::ZERO, to_a, to_b).unwrap().is_none());
            assert!(b.advance(Time::ZERO, to_b, to_a).unwrap().is_none());
            assert!(a.advance(Time::ZERO, to_a, to_b).unwrap().is_some());
            assert!(b.advance(Time::ZERO, to_b, to_a).unwrap().is_some());
        });
        // aws-lc-rs allocates twice in each of the six agreements.
        #[cfg(feature = "aws-lc-rs")]
        let budget = if crypto.has_aws_lc() { 22 + 12 } else { 22 };
        #[cfg(not(feature = "aws-lc-rs"))]
        let budget = 22;
        assert!(cost.count_total <= budget, "{} allocations on both sides with {crypto:?}", cost.count_total);
        assert_eq!(cost.count_current, 0, "nothing stays");
    }
}

#[test]
fn memory_used_is_what_a_handshake_holds() {
    let (_, noise) = peer(1, &[]);
    let mut handshake = None;
    let cost = measure(|| handshake = Some(initiator(&noise, None)));
    let used = handshake.unwrap().memory_used() as i64;
    assert!(used >= cost.bytes_current && used <= cost.bytes_current + 512, "{used}, {}", cost.bytes_current);
}

#[test]
fn records_are_sealed_and_opened_without_an_allocation() {
    let (a, b) = talk(initiator(&peer(1, &[]).1, None), responder(&peer(2, &[]).1, None));
    let (mut a, mut b) = (a.secured().session, b.secured().session);
    let mut wire = BytesMut::with_capacity(4096);
    let mut round = || {
        wire.reserve(1024);
        for _ in 0..3 {
            let at = a.begin(&mut wire);
            wire.extend_from_slice(&[7; 200]);
            a.finish(&mut wire, at).unwrap();
        }
        while let Some(plain) = b.open(&mut wire).unwrap() {
            assert_eq!(plain.len(), 200);
        }
    };
    (0..10).for_each(|_| round()); // the buffer becomes a shared one once
    let cost = measure(|| (0..1000).for_each(|_| round()));
    assert_eq!(cost.count_total, 0);
}

#[test]
fn a_session_is_small() {
    assert!(size_of::<NoiseSession>() <= 128, "{}", size_of::<NoiseSession>());
}

#[test]
fn an_initiator_keeps_the_laws() {
    let ((_, a), (_, b)) = (peer(1, &[YAMUX]), peer(2, &[YAMUX]));
    let [_, second, _] = messages(&a, &b);
    let limits = Limits { places: 64, ..Limits::default() };
    let script = [Step::bytes(second), Step::bytes(b"what follows")];
    check_bytes(&Once(|| initiator(&a, None)), &script, limits).unwrap();
}

#[test]
fn a_responder_keeps_the_laws() {
    let ((_, a), (_, b)) = (peer(1, &[YAMUX]), peer(2, &[YAMUX]));
    let [first, _, third] = messages(&a, &b);
    let limits = Limits { places: 64, ..Limits::default() };
    let script = [Step::bytes(first), Step::bytes(third), Step::bytes(b"what follows")];
    check_bytes(&Once(|| responder(&b, None)), &script, limits).unwrap();
}
