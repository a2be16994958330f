//! Over random requests: nobody is dialed whom it doesn't cost, and nothing costs us more than the one who asks.

use super::*;
use crate::exchange::{Ask, Asker, Config, Context, Responder, Service};
use bytes::BytesMut;
use proptest::prelude::*;
use tidewire_core::Machine;

/// What a handshake costs the one who is dialed, at most (autonat-v2.md, "Amplification Attack Prevention").
const HANDSHAKE: u64 = 10_000;

fn any_address() -> impl Strategy<Value = Multiaddr> {
    let ip4 = (prop::sample::select(Vec::from([[8, 8, 4, 4], [1, 1, 1, 1], [10, 0, 0, 1], [9, 9, 9, 9]])), 0u16..4)
        .prop_map(|(ip, port)| Multiaddr::tcp((ip, port).into()));
    let any4 = (any::<[u8; 4]>(), any::<u16>()).prop_map(|(ip, port)| Multiaddr::tcp((ip, port).into()));
    let ip6 = (any::<[u8; 16]>(), any::<u16>()).prop_map(|(ip, port)| Multiaddr::tcp((ip, port).into()));
    let quic = any::<u16>().prop_map(|port| Multiaddr::quic_v1(([8, 8, 4, 4], port).into()));
    let named = "[a-z]{1,5}".prop_map(|name| addr(format!("/dns/{name}.org/tcp/80")));
    let bytes = prop::collection::vec(any::<u8>(), 1..20)
        .prop_map(|bytes| Multiaddr::from_bytes(&bytes).unwrap_or_else(|_| Multiaddr::empty()));
    prop_oneof![ip4, any4, ip6, quic, named, bytes]
}

/// What a peer does once it is asked to pay.
#[derive(Clone, Copy, Debug)]
enum Honesty {
    Pays,
    PaysPart,
    Leaves,
}

fn any_honesty() -> impl Strategy<Value = Honesty> {
    prop::sample::select(Vec::from([Honesty::Pays, Honesty::Pays, Honesty::PaysPart, Honesty::Leaves]))
}

proptest! {
    /// With the streams' bytes: what is dialed is the observed IP's, or was paid for with three times what it costs; one dial for
    /// a request at most; an answer names the address that was dialed; on no stream is more written than was read; and no data
    /// stays anywhere.
    #[test]
    fn a_dial_costs_who_asks_more_than_who_is_dialed(
        requests in prop::collection::vec(
            (0u8..5, any_address(), prop::collection::vec(any_address(), 0..60), any_honesty()),
            1..10,
        ),
        allow_private: bool,
        ipv6: bool,
    ) {
        let mut server = server(ServerConfig { allow_private, ipv6, ..ServerConfig::default() });
        let (mut now, config) = (Time::ZERO, Config::default());
        for (n, (from, remote, addresses, honesty)) in requests.into_iter().enumerate() {
            now = now + 4 * SECOND;
            let (stream, observed) = (stream(n as u64), remote.ip().map(|ip| ip.to_canonical()));
            let at_server = Context { local: peer(100), remote: peer(from), relayed: false };
            let at_client = Context { local: peer(from), remote: peer(100), relayed: false };
            let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
            let mut responder = Responder::new(Service::AutonatV2Request, &at_server, &config, now);
            let asked = Ask::Probe { nonce: 7, addresses: addresses.clone() };
            let mut asker = Asker::new(&asked, &at_client, &config, now, &mut there);
            let (mut read, mut wrote, mut dials, mut data) = (0usize, 0usize, 0u32, 0u64);
            let mut dialed_address = None;
            let mut answer = None;
            server.handle(now, ServerInput::Opened { stream, peer: peer(from), remote: &remote }).unwrap();
            for _ in 0..200 {
                while let Some(action) = server.poll() {
                    match action {
                        ServerAction::Admit { .. } => {
                            read += there.len();
                            if let Ok(Some(request)) = responder.advance(now, &mut there, &mut back) {
                                server.handle(now, ServerInput::Requested { stream, request: &request }).unwrap();
                            }
                        }
                        ServerAction::Reply { reply, .. } => {
                            responder.reply(now, &reply, None, &mut back).unwrap();
                            if let Reply::Probed(response) = reply {
                                answer = Some(response);
                            }
                            prop_assert!(read == 0 || wrote + back.len() <= read);
                            prop_assert!(read > 0 || back.len() <= 8, "unread, only a few bytes");
                        }
                        ServerAction::DialBack { attempt, address, peer: who, nonce, .. } => {
                            dials += 1;
                            prop_assert_eq!((who, nonce), (peer(from), 7));
                            let own = address.ip().map(|ip| ip.to_canonical()) == observed;
                            prop_assert!(own || data >= 3 * HANDSHAKE, "{} for {} bytes", address, data);
                            prop_assert!(allow_private || address.is_public());
                            dialed_address = Some(address);
                            let outcome = DialBackOutcome::NotReached;
                            server.handle(now, ServerInput::DialedBack { attempt, outcome }).unwrap();
                        }
                        ServerAction::Reset { .. } => answer = None,
                        ServerAction::CancelDialBack { .. } => {}
                    }
                }
                wrote += back.len();
                if let Ok(Some(crate::exchange::Answer::CostAsked { bytes, .. })) = asker.advance(now, &mut back, &mut there) {
                    match honesty {
                        Honesty::Leaves => break,
                        Honesty::Pays => {}
                        Honesty::PaysPart => prop_assert!(bytes >= 30_000),
                    }
                    asker.pay(now, &mut there).unwrap();
                }
                if matches!(honesty, Honesty::PaysPart) && read > 20_000 {
                    break;
                }
                read += there.len();
                if !there.is_empty() && responder.wants_more() {
                    if let Ok(Some(request)) = responder.advance(now, &mut there, &mut back) {
                        if let Request::Paid { bytes } = request {
                            data = bytes;
                        }
                        server.handle(now, ServerInput::Requested { stream, request: &request }).unwrap();
                    }
                    prop_assert!(responder.memory_used() == 0 && there.len() < 8192);
                }
                now = now + Duration::from_millis(20);
                server.on_timeout(now);
            }
            prop_assert!(dials <= 1);
            if let Some(response) = answer.filter(|response| response.status == Status::OK) {
                let index = usize::try_from(response.index).unwrap();
                prop_assert_eq!(Some(addresses[index].without_peer_id()), dialed_address);
            } else {
                prop_assert_eq!(dials, 0);
            }
            let _ = server.handle(now, ServerInput::Gone { stream });
            while server.poll().is_some() {}
            prop_assert!(server.requests.is_empty());
            prop_assert!(server.memory_used() < 16 * 1024);
        }
    }
}
