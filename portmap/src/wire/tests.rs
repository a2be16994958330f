//! The datagrams, byte for byte, and whatever else may come.

use super::*;
use alloc::vec;
use core::net::Ipv6Addr;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| u8::try_from(c.to_digit(16)?).ok()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

const NONCE: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

#[test]
fn requests_are_what_the_specifications_draw() {
    let cases = [
        (Request::NatPmpExternal, "0000"),
        (
            Request::NatPmpMap { transport: Transport::Tcp, internal: 4001, suggested: 4002, lifetime: 7200 },
            "0002 0000 0fa1 0fa2 00001c20",
        ),
        (
            Request::NatPmpMap { transport: Transport::Udp, internal: 4001, suggested: 0, lifetime: 0 },
            "0001 0000 0fa1 0000 00000000",
        ),
        (
            Request::PcpMap {
                client: "192.168.1.7".parse().unwrap(),
                nonce: NONCE,
                transport: Transport::Tcp,
                internal: 4001,
                suggested: "0.0.0.0:4001".parse().unwrap(),
                lifetime: 7200,
            },
            "02 01 0000 00001c20 00000000000000000000ffffc0a80107 \
             0102030405060708090a0b0c 06 000000 0fa1 0fa1 00000000000000000000ffff00000000",
        ),
        (
            Request::PcpMap {
                client: "2001:db8::7".parse().unwrap(),
                nonce: NONCE,
                transport: Transport::Udp,
                internal: 4001,
                suggested: (Ipv6Addr::UNSPECIFIED, 0).into(),
                lifetime: 0,
            },
            "02 01 0000 00000000 20010db8000000000000000000000007 \
             0102030405060708090a0b0c 11 000000 0fa1 0000 00000000000000000000000000000000",
        ),
    ];
    for (request, bytes) in cases {
        assert_eq!(request.encode(), hex(bytes), "{request:?}");
        assert_eq!(Request::decode(&hex(bytes)), Ok(request));
    }
}

#[test]
fn answers_are_what_the_specifications_draw() {
    let cases = [
        (
            Response::NatPmpExternal { code: NatPmpCode::SUCCESS, epoch: 258, external: Ipv4Addr::new(192, 0, 2, 33) },
            "0080 0000 00000102 c0000221",
        ),
        (
            Response::NatPmpMap {
                transport: Transport::Udp,
                code: NatPmpCode::SUCCESS,
                epoch: 1,
                internal: 4001,
                external: 4002,
                lifetime: 3600,
            },
            "0081 0000 00000001 0fa1 0fa2 00000e10",
        ),
        (Response::NatPmpError { opcode: 1, code: NatPmpCode::UNSUPPORTED_VERSION, epoch: 9 }, "0081 0001 00000009"),
        (
            Response::PcpMap {
                code: PcpCode::SUCCESS,
                lifetime: 3600,
                epoch: 7,
                nonce: NONCE,
                transport: Transport::Tcp,
                internal: 4001,
                external: "192.0.2.33:4002".parse().unwrap(),
            },
            "02 81 00 00 00000e10 00000007 000000000000000000000000 \
             0102030405060708090a0b0c 06 000000 0fa1 0fa2 00000000000000000000ffffc0000221",
        ),
        (
            Response::Pcp { version: 2, opcode: 0, code: PcpCode::SUCCESS, lifetime: 0, epoch: 3 },
            "02 80 00 00 00000000 00000003 000000000000000000000000",
        ),
        (
            Response::Pcp { version: 1, opcode: 1, code: PcpCode::UNSUPPORTED_VERSION, lifetime: 1800, epoch: 3 },
            "01 81 00 01 00000708 00000003 000000000000000000000000",
        ),
    ];
    for (response, bytes) in cases {
        assert_eq!(response.encode(), hex(bytes), "{response:?}");
        assert_eq!(Response::decode(&hex(bytes)), Ok(response));
    }
}

#[test]
fn what_is_no_answer_says_why() {
    let long = vec![2, 0x81].into_iter().chain(core::iter::repeat_n(0, 1102)).collect::<Vec<u8>>();
    let cases: [(Vec<u8>, &str); 10] = [
        (vec![], "0 bytes long; expected 2 at least"),
        (hex("00"), "1 bytes long; expected 2 at least"),
        (hex("0000 0000"), "it goes the wrong way: from a host"),
        (hex("0080 0000"), "4 bytes long; expected 8 at least for an answer of NAT-PMP"),
        (hex("0080 0000 00000001"), "8 bytes long; expected 12 for an external address"),
        (hex("0082 0000 00000001 0fa1"), "10 bytes long; expected 16 for a mapping"),
        (hex("0085 0000 00000001"), "operation code 0x05, which is none of these"),
        (hex("0381 0000 00000000 00000000 00000000 00000000 00000000"), "version 3; expected 0 (NAT-PMP) or 2 (PCP)"),
        (
            hex("0281 0000 00000000 00000000 00000000 00000000 00000000"),
            "24 bytes long; expected 60 at least for MAP, 1,100 at most, a multiple of 4",
        ),
        (long, "1104 bytes long; expected 24 at least for an answer of PCP, 1,100 at most, a multiple of 4"),
    ];
    for (datagram, words) in cases {
        let error = Response::decode(&datagram).unwrap_err();
        assert_eq!(alloc::string::ToString::to_string(&error), words);
    }
    assert_eq!(Request::decode(&hex("0080")), Err(WireError::Direction { from_router: true }));
    assert_eq!(Request::decode(&hex("0009")), Err(WireError::Opcode(9)));
    assert_eq!(Request::decode(&hex("0100")), Err(WireError::Version(1)));
    assert_eq!(
        Request::decode(&hex("0001 0000 0fa1")),
        Err(WireError::Length { got: 6, expected: "12 for a NAT-PMP mapping" })
    );
}

#[test]
fn an_error_needs_no_body() {
    let pcp = hex("02 81 00 02 00000708 00000003 000000000000000000000000");
    assert!(matches!(Response::decode(&pcp), Ok(Response::Pcp { opcode: 1, code: PcpCode::NOT_AUTHORIZED, .. })));
    for opcode in ["80", "81", "82", "87"] {
        let nat_pmp = hex(&alloc::format!("00{opcode} 0005 00000003"));
        assert!(matches!(
            Response::decode(&nat_pmp),
            Ok(Response::NatPmpError { code: NatPmpCode::UNSUPPORTED_OPCODE, .. })
        ));
    }
}

#[test]
fn options_behind_a_map_are_not_looked_at() {
    let request = Request::PcpMap {
        client: "192.168.1.7".parse().unwrap(),
        nonce: NONCE,
        transport: Transport::Tcp,
        internal: 4001,
        suggested: "0.0.0.0:4001".parse().unwrap(),
        lifetime: 7200,
    };
    let mut with_option = request.encode();
    with_option.extend(hex("02 00 0000"));
    assert_eq!(Request::decode(&with_option), Ok(request));
}

prop_compose! {
    fn address()(octets in any::<[u8; 16]>(), four in any::<bool>(), port in any::<u16>()) -> SocketAddr {
        let ip = if four { IpAddr::from([octets[0], octets[1], octets[2], octets[3]]) } else { IpAddr::from(octets) };
        SocketAddr::new(ip.to_canonical(), port)
    }
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![Just(Transport::Tcp), Just(Transport::Udp)]
}

prop_compose! {
    fn map_request()(
        client in address(), nonce in any::<[u8; 12]>(), transport in transport(), internal in any::<u16>(),
        suggested in address(), lifetime in any::<u32>(), pcp in any::<bool>(),
    ) -> Request {
        match pcp {
            true => Request::PcpMap { client: client.ip(), nonce, transport, internal, suggested, lifetime },
            false => Request::NatPmpMap { transport, internal, suggested: suggested.port(), lifetime },
        }
    }
}

prop_compose! {
    fn response()(
        which in 0..5, code in any::<u8>(), lifetime in any::<u32>(), epoch in any::<u32>(), nonce in any::<[u8; 12]>(),
        transport in transport(), internal in any::<u16>(), external in address(), four in any::<[u8; 4]>(),
    ) -> Response {
        let (pcp, nat_pmp) = (PcpCode(code), NatPmpCode(u16::from(code)));
        match which {
            0 => Response::PcpMap { code: pcp, lifetime, epoch, nonce, transport, internal, external },
            1 => Response::Pcp { version: 2, opcode: 0, code: pcp, lifetime, epoch },
            2 => Response::NatPmpExternal { code: nat_pmp, epoch, external: four.into() },
            3 => Response::NatPmpMap {
                transport, code: nat_pmp, epoch, internal, external: external.port(), lifetime,
            },
            _ => Response::NatPmpError { opcode: 9, code: NatPmpCode(u16::from(code).max(1)), epoch },
        }
    }
}

proptest! {
    #[test]
    fn what_is_said_is_understood(request in map_request(), response in response()) {
        prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        prop_assert_eq!(Response::decode(&response.encode()), Ok(response));
    }

    #[test]
    fn whatever_is_understood_says_the_same_again(mut datagram in proptest::collection::vec(any::<u8>(), 0..80), version in 0_u8..3) {
        if let Some(first) = datagram.first_mut() {
            *first = version;
        }
        if let Ok(request) = Request::decode(&datagram) {
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        if let Ok(response) = Response::decode(&datagram) {
            prop_assert_eq!(Response::decode(&response.encode()), Ok(response));
        }
    }
}
