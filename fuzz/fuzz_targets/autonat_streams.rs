//! Any bytes, cut anywhere, at both ends of the three protocols of AutoNAT, with whatever reply. Nothing may panic, loop or
//! write more than it may, and how the bytes were cut changes nothing.
#![no_main]

use arbitrary::Arbitrary;
use bytes::BytesMut;
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tidewire_core::{Keypair, Machine, Multiaddr, PeerId, Seed, Time};
use tidewire_relay::autonat::{v1, v2};
use tidewire_relay::exchange::{Answer, Ask, Asker, Config, Context, Reply, Request, Responder, Service};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// Which of the six ends.
    end: u8,
    /// What is asked for before the dial, if anything.
    charge: Option<u16>,
    refuse_unread: bool,
    pay: bool,
    late: bool,
    cuts: [u8; 4],
    wire: &'a [u8],
}

static PEERS: LazyLock<[PeerId; 2]> =
    LazyLock::new(|| [1, 2].map(|n| Keypair::from_seed(&Seed::new([n; 32])).peer_id()));

/// All that one run shows.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    told: Vec<String>,
    wrote: Vec<u8>,
    left: Vec<u8>,
}

fn addresses() -> Vec<Multiaddr> {
    ["/ip4/8.8.8.8/tcp/4001", "/ip6/2606::1/tcp/4001"].map(|text| text.parse().unwrap()).into()
}

fn run(input: &Input<'_>, pieces: &[&[u8]]) -> Seen {
    let context = Context { local: PEERS[0], remote: PEERS[1], relayed: false };
    let (config, mut now) = (Config::default(), Time::ZERO);
    let (mut rx, mut tx, mut seen) = (BytesMut::new(), BytesMut::new(), Seen::default());
    let service =
        [Service::AutonatV1, Service::AutonatV2Request, Service::AutonatV2Back][usize::from(input.end / 2 % 3)];
    let mut asker = (input.end % 2 == 0).then(|| {
        let ask = match service {
            Service::AutonatV1 => Ask::DialMe { addresses: addresses() },
            Service::AutonatV2Request => Ask::Probe { nonce: 7, addresses: addresses() },
            _ => Ask::DialBack { nonce: 7 },
        };
        Asker::new(&ask, &context, &config, now, &mut tx)
    });
    let mut responder = Responder::new(service, &context, &config, now);
    if input.refuse_unread {
        for reply in [
            Reply::Dialed(v1::Response::failed(v1::Status::DIAL_REFUSED, "no")),
            Reply::Probed(v2::Response::refused(v2::Status::REQUEST_REJECTED)),
            Reply::BackHeard,
        ] {
            let _ = responder.reply(now, &reply, None, &mut tx);
        }
    }
    let mut faults = 0;
    for (i, piece) in pieces.iter().chain([&&[][..]]).enumerate() {
        let ended = i == pieces.len();
        rx.extend_from_slice(piece);
        if ended && input.late {
            now = now + Duration::from_secs(100);
        }
        for _ in 0..100 + rx.len() {
            seen.wrote.extend_from_slice(&tx.split());
            let told = match &mut asker {
                Some(asker) => asker
                    .advance_or_end(now, &mut rx, &mut tx, ended)
                    .map(|answer| {
                        if input.pay && matches!(answer, Some(Answer::CostAsked { bytes, .. }) if bytes < 200_000) {
                            asker.pay(now, &mut tx).unwrap();
                        }
                        answer.map(|answer| format!("{answer:?}"))
                    })
                    .map_err(|error| error.to_string()),
                None => responder
                    .advance_or_end(now, &mut rx, &mut tx, ended)
                    .map(|request| {
                        if let Some(request) = &request {
                            reply(&mut responder, input, request, now, &mut tx);
                        }
                        request.map(|request| format!("{request:?}"))
                    })
                    .map_err(|error| error.to_string()),
            };
            assert!(tx.len() <= config.max_tx + 4200);
            match told {
                Ok(Some(told)) => seen.told.push(told),
                Ok(None) if tx.is_empty() => break,
                Ok(None) => {}
                Err(fault) => {
                    if faults == 0 {
                        seen.told.push(fault);
                    }
                    faults += 1;
                    break;
                }
            }
        }
        let memory = asker.as_ref().map_or(responder.memory_used(), Machine::memory_used);
        assert!(memory < 1024, "{memory} bytes kept");
    }
    seen.wrote.extend_from_slice(&tx);
    seen.left.extend_from_slice(&rx);
    seen
}

fn reply(responder: &mut Responder, input: &Input<'_>, request: &Request, now: Time, tx: &mut BytesMut) {
    let reply = match request {
        Request::DialMe { addresses } => Reply::Dialed(v1::Response::ok(addresses.first().cloned())),
        Request::Probe { .. } => match input.charge {
            Some(bytes) => Reply::AskData { index: 0, bytes: bytes.into() },
            None => Reply::Probed(v2::Response::dialed(0, v2::DialStatus::DIAL_ERROR)),
        },
        Request::Paid { bytes } => {
            assert!(*bytes >= u64::from(input.charge.unwrap_or(0)));
            Reply::Probed(v2::Response::dialed(0, v2::DialStatus::OK))
        }
        _ => Reply::BackHeard,
    };
    // A request without an address can't be charged.
    if responder.reply(now, &reply, None, tx).is_err() {
        let refused = Reply::Probed(v2::Response::refused(v2::Status::DIAL_REFUSED));
        responder.reply(now, &refused, None, tx).unwrap();
    }
}

fuzz_target!(|input: Input<'_>| {
    let whole = run(&input, &[input.wire]);
    let mut pieces = Vec::new();
    let mut rest = input.wire;
    for cut in input.cuts {
        let (piece, next) = rest.split_at(usize::from(cut).min(rest.len()));
        pieces.push(piece);
        rest = next;
    }
    pieces.push(rest);
    assert_eq!(run(&input, &pieces), whole);
});
