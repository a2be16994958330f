//! A recording of any bytes: an error or an end, never a panic; and what it gives, it gives again.
//!
//! ```text
//!  first byte, bit 0   the rest is the file as it is
//!             else     the rest is frames (length u16, body), to which the right checks are added
//!             bit 1    behind the header of a real recording
//! ```
#![no_main]

use core::hash::Hasher;
use libfuzzer_sys::fuzz_target;
use siphasher::sip::SipHasher13;
use tidewire_core::{Keypair, Seed, UnixTime, encode_varint};
use tidewire_host::record::{RecordConfig, Replay};
use tidewire_host::{Config, Host};

/// Steps of one run.
const MAX_STEPS: usize = 2000;

fuzz_target!(|data: &[u8]| {
    let Some((how, rest)) = data.split_first() else { return };
    let file = match how & 1 {
        1 => rest.to_vec(),
        _ => sealed(rest, how & 2 != 0),
    };
    let Ok(replay) = Replay::new(&file) else { return };
    let again = Replay::new(&file).expect("the same bytes");
    let mut last = 0;
    let mut count = 0;
    for (step, other) in replay.zip(again).take(MAX_STEPS) {
        assert_eq!(format!("{step:?}"), format!("{other:?}"));
        assert_eq!(step.number, last);
        last += 1;
        count += 1;
    }
    if count < MAX_STEPS {
        let mut replay = Replay::new(&file).expect("the same bytes");
        assert_eq!(replay.by_ref().count(), count);
        assert!(!replay.ending().expect("at its end").to_string().is_empty());
    }
});

/// A file of these frames, with the checks that they need.
fn sealed(mut rest: &[u8], real_header: bool) -> Vec<u8> {
    let mut file = if real_header { header() } else { b"tidewire-rec\x01".to_vec() };
    let mut check = SipHasher13::new();
    if real_header {
        // All but the header's own check.
        check.write(&file[..file.len() - 4]);
    } else {
        check.write(&file);
    }
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_le_bytes(*len)).min(after.len());
        let (body, behind) = after.split_at(len);
        rest = behind;
        let mut frame = bytes::BytesMut::new();
        encode_varint(body.len() as u64, &mut frame).expect("short");
        frame.extend_from_slice(body);
        check.write(&frame);
        file.extend_from_slice(&frame);
        file.extend_from_slice(&check.finish().to_le_bytes()[..4]);
    }
    file
}

fn header() -> Vec<u8> {
    let (local, seed) = (Keypair::from_seed(&Seed::new([1; 32])).peer_id(), Seed::new([2; 32]));
    let record = RecordConfig::default();
    let mut host = Host::recorded(Config::default(), local, &seed, UnixTime::from_secs(1_800_000_000), record);
    host.recorder().expect("recorded").bytes().to_vec()
}
