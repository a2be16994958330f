//! Runs one end of a hole punch's exchange against a remote that says anything, at any time: no panic, no cut makes a difference, the
//! caps hold, a fault is final.
//!
//! The first byte says how many operations follow; each is a byte: its two low bits say what (bytes come, time passes, we act, the
//! stream ends), the others how many. What is left is the stream.

use bytes::BytesMut;
use core::time::Duration;
use tidewire_core::{Machine, Multiaddr, Time};
use tidewire_dcutr::exchange::{Config, Fault, Heard, MAX_MESSAGE, TurnError};

/// One of both ends.
pub(crate) trait End: Machine<Output = Heard, Error = Fault> + Sized {
    fn begin(tx: &mut BytesMut) -> Self;
    /// What the application says in its turn.
    fn act(&mut self, now: Time, tx: &mut BytesMut) -> Result<usize, TurnError>;
    fn is_over(&self) -> bool;
}

/// All that one run shows.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    told: Vec<String>,
    wrote: Vec<u8>,
    left: Vec<u8>,
}

pub(crate) fn addresses() -> Vec<Multiaddr> {
    ["/ip4/8.8.8.8/tcp/4001", "/ip6/2606::1/udp/4001/quic-v1"].map(|text| text.parse().unwrap()).into()
}

/// Bytes come in pieces of so many.
fn run<E: End>(ops: &[u8], mut wire: &[u8], piece: usize) -> Seen {
    let (mut now, mut rx, mut tx, mut seen) = (Time::ZERO, BytesMut::new(), BytesMut::new(), Seen::default());
    let mut machine = E::begin(&mut tx);
    let (mut ended, mut failed) = (false, None);
    for op in ops {
        let amount = usize::from(op >> 2);
        let mut feed: &[u8] = &[];
        match op & 3 {
            0 if !ended => (feed, wire) = wire.split_at((amount * amount + 1).min(wire.len())),
            1 => now = now + Duration::from_millis(300) * u32::from(op >> 2),
            2 => {
                let before = tx.len();
                let acted = machine.act(now, &mut tx);
                assert_eq!(acted.is_ok(), tx.len() > before, "what is refused is not written");
                assert!(acted.is_err() || failed.is_none(), "nothing is said after a fault");
                seen.told.push(format!("{acted:?}"));
            }
            _ => ended = true,
        }
        let mut pieces = feed.chunks(piece);
        loop {
            let more = pieces.next();
            rx.extend_from_slice(more.unwrap_or_default());
            let before = (rx.len(), tx.len());
            match machine.advance_or_end(now, &mut rx, &mut tx, ended) {
                Ok(Some(heard)) => {
                    assert!(rx.len() < before.0, "what is told was read");
                    if let Heard::Connect { addresses, skipped, dropped, .. } = &heard {
                        assert!(addresses.len() <= Config::default().max_addresses);
                        assert!(addresses.len() + skipped + dropped <= MAX_MESSAGE / 2);
                    }
                    seen.told.push(format!("{heard:?}"));
                    continue;
                }
                Ok(None) => assert_eq!(failed, None, "a fault is final"),
                Err(fault) => {
                    if let Some(first) = &failed {
                        assert_eq!((first, rx.len()), (&fault, before.0), "a fault is final");
                    }
                    assert!(machine.is_over() && machine.deadline() == Time::NEVER);
                    failed = Some(fault);
                }
            }
            assert_eq!(tx.len(), before.1, "hearing writes nothing");
            assert!(machine.memory_used() <= 128);
            if more.is_none() {
                break;
            }
        }
        assert!(ended || failed.is_some() || machine.is_over() || machine.deadline() > now, "the deadline is true");
    }
    assert!(tx.len() <= 2 * (MAX_MESSAGE + 2));
    seen.told.push(format!("{failed:?}"));
    seen.wrote = tx.to_vec();
    seen.left = [&rx[..], wire].concat();
    seen
}

/// Runs it whole and byte by byte.
pub(crate) fn fuzz<E: End>(data: &[u8]) {
    let [count, rest @ ..] = data else { return };
    let (ops, wire) = rest.split_at(usize::from(*count).min(rest.len()));
    assert_eq!(run::<E>(ops, wire, usize::MAX), run::<E>(ops, wire, 1), "a cut made a difference");
}
