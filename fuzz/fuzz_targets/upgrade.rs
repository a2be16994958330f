//! Any bytes against either end of an upgrade: first byte, how both ends are set up; second, how the input is cut; the rest
//! is what the remote sends. The way of cutting must not show, and the end must be a connection or an error.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tidewire_core::{Keypair, Machine, Seed, Time};
use tidewire_upgrade::connection::Selection;
use tidewire_upgrade::pipeline::{Config, Plan, Progress, SecurityKind, Upgrade, UpgradeError, Upgrader};
use tidewire_upgrade::security::psk::PreSharedKey;

/// Bits: plaintext, early muxer, plain selection, private network; the initiator or the responder is fuzzed.
static NODES: LazyLock<Vec<Upgrader>> = LazyLock::new(|| {
    let node = |way: u8| {
        let bit = |n: u32| way >> n & 1 == 1;
        let seed = Seed::new([1; 32]);
        let mut config = Config::default();
        config.securities = vec![if bit(0) { SecurityKind::Plaintext } else { SecurityKind::Noise }];
        config.early_muxer = bit(1);
        config.selection = if bit(2) { Selection::Plain } else { Selection::Lazy };
        config.psk = bit(3).then(|| PreSharedKey::new([8; 32]));
        Upgrader::new(&Keypair::from_seed(&seed), &seed, config).unwrap()
    };
    (0..16).map(node).collect()
});

#[derive(Debug, PartialEq)]
struct Outcome {
    told: Vec<Progress>,
    sent: Vec<u8>,
    result: Option<Result<(), UpgradeError>>,
}

fn run<'a>(way: u8, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let plan = match way >> 4 & 3 {
        0 => Plan::Respond,
        1 => Plan::Initiate,
        2 => Plan::ListenFirst { until: Time::from_millis(100) },
        _ => Plan::SimultaneousOpen,
    };
    let mut upgrade = Upgrade::new(&NODES[usize::from(way & 15)], plan, None, &Seed::new([3; 32]));
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());
    let mut outcome = Outcome { told: Vec::new(), sent: Vec::new(), result: None };
    let pieces = pieces.map(|piece| (piece, false)).chain([(&[][..], true)]);
    for (piece, end) in pieces {
        rx.extend_from_slice(piece);
        while outcome.result.is_none() {
            let step = upgrade.advance_or_end(Time::ZERO, &mut rx, &mut tx, end);
            match step {
                Ok(Some(progress)) => {
                    if progress == Progress::Ready {
                        outcome.result = Some(Ok(()));
                    }
                    outcome.told.push(progress);
                }
                Ok(None) if end => panic!("an upgrade ended without a connection and without an error"),
                Ok(None) => break,
                Err(error) => outcome.result = Some(Err(error)),
            }
        }
        assert!(upgrade.memory_used() <= 8192 + rx.len());
        outcome.sent.extend_from_slice(&tx);
        tx.clear();
    }
    if let Some(Err(error)) = &outcome.result {
        assert_eq!(upgrade.advance(Time::ZERO, &mut rx, &mut tx).as_ref(), Err(error));
        assert!(tx.is_empty());
    }
    outcome
}

fuzz_target!(|data: &[u8]| {
    let [way, cut, bytes @ ..] = data else { return };
    let whole = run(*way, [bytes].into_iter());
    let cut = run(*way, bytes.chunks(usize::from(*cut).max(1)));
    assert_eq!(whole, cut);
});
