//! Seeds of a relay server. Behind each operation: what its three bytes are.

use super::Seed;

const CONNECTED: u8 = 0; // connection, peer - 1, address
const DISCONNECTED: u8 = 4; // connection
const RESERVE: u8 = 5; // connection, stream
const CONNECT: u8 = 10; // connection, stream, destination
const GONE: u8 = 16; // circuit
const STOP: u8 = 17; // which, stream, answer: 0 refused, 1 failed, 2 accepted
const PROGRESS: u8 = 20; // circuit, forward, backward
const ENDED: u8 = 21; // circuit and end, forward, backward
const REACHABLE: u8 = 22; // 0: not
const CLOCK: u8 = 23; // which
const DECIDE: u8 = 24; // connection, stream, 0: yes
const ACL: u8 = 26; // which
const DRAIN: u8 = 27; // 0, seconds
const ADDRESSES: u8 = 28; // how many
const WAIT: u8 = 31; // a * (b + 1) * 20 ms, 1: in time

/// Always a relay, 41 s, no rates, no ACL, as many of everything as there may be.
const PLAIN: [u8; 8] = [0x51, 0x05, 0x1f, 0x29, 0x14, 0x03, 0x00, 0x00];
/// The same with one place.
const ONE: [u8; 8] = [0x51, 0x01, 0x00, 0x29, 0x14, 0x03, 0x00, 0x00];

pub const SEEDS: &[Seed] = &[
    Seed {
        name: "reserve_and_circuit",
        config: PLAIN,
        steps: &[
            [ADDRESSES, 4, 0, 0],
            [CONNECTED, 1, 0, 2],
            [CONNECTED, 2, 1, 3],
            [RESERVE, 1, 0, 0],
            [CONNECT, 2, 1, 1],
            [STOP, 0, 1, 2],
            [PROGRESS, 0, 9, 3],
            [WAIT, 50, 1, 1],
            [ENDED, 0, 9, 4],
        ],
        seen: &["Reserved", "OpenStop", "CircuitOpened", "Closed"],
    },
    Seed {
        name: "renew_and_expire",
        config: PLAIN,
        steps: &[
            [CONNECTED, 1, 0, 2],
            [RESERVE, 1, 0, 0],
            [WAIT, 200, 3, 1],
            [RESERVE, 1, 1, 0],
            [CLOCK, 1, 0, 0],
            [RESERVE, 1, 2, 0],
            [WAIT, 255, 7, 1],
            [WAIT, 255, 7, 1],
        ],
        seen: &["Reserved", "Expired"],
    },
    Seed {
        name: "holder_vanishes",
        config: PLAIN,
        steps: &[
            [CONNECTED, 1, 0, 2],
            [CONNECTED, 2, 1, 3],
            [RESERVE, 1, 0, 0],
            [CONNECT, 2, 1, 1],
            [DISCONNECTED, 1, 0, 0],
            [CONNECTED, 1, 0, 2],
            [RESERVE, 1, 0, 0],
            [CONNECT, 2, 2, 1],
            [STOP, 0, 1, 2],
            [DISCONNECTED, 1, 0, 0],
            [ENDED, 0, 1, 1],
        ],
        seen: &["Disconnected", "DestinationDisconnected", "DestinationLost", "CloseCircuit"],
    },
    Seed {
        name: "stop_fails",
        config: PLAIN,
        steps: &[
            [CONNECTED, 1, 0, 2],
            [CONNECTED, 2, 1, 3],
            [RESERVE, 1, 0, 0],
            [CONNECT, 2, 1, 1],
            [STOP, 0, 1, 0],
            [CONNECT, 2, 1, 1],
            [STOP, 0, 1, 1],
            [CONNECT, 2, 1, 1],
            [STOP, 0, 16, 2],
            [WAIT, 255, 7, 1],
        ],
        seen: &["StopRefused", "StopFailed", "StopTimeout"],
    },
    Seed {
        name: "source_leaves",
        config: PLAIN,
        steps: &[
            [CONNECTED, 1, 0, 2],
            [CONNECTED, 2, 1, 3],
            [RESERVE, 1, 0, 0],
            [CONNECT, 2, 1, 1],
            [GONE, 0, 0, 1],
            [CONNECT, 2, 2, 1],
            [DISCONNECTED, 2, 0, 0],
        ],
        seen: &["OpenStop", "CancelAsk"],
    },
    Seed {
        name: "application_asked",
        config: [0x51, 0x05, 0x1f, 0x29, 0x14, 0x23, 0x00, 0x00],
        steps: &[
            [CONNECTED, 1, 0, 2],
            [RESERVE, 1, 0, 0],
            [DECIDE, 1, 0, 0],
            [CONNECTED, 2, 1, 3],
            [CONNECT, 2, 1, 1],
            [DECIDE, 2, 1, 0],
            [STOP, 0, 1, 2],
            [CONNECT, 2, 2, 1],
            [DECIDE, 2, 2, 1],
            [CONNECT, 2, 3, 1],
            [WAIT, 255, 7, 1],
        ],
        seen: &["AskAcl", "Reserved", "CircuitOpened", "Denied"],
    },
    Seed {
        name: "rates_and_full",
        config: [0x51, 0x05, 0x1f, 0x29, 0x14, 0x03, 0x15, 0x13],
        steps: &[
            [CONNECTED, 1, 0, 0],
            [CONNECTED, 2, 1, 2],
            [CONNECTED, 3, 2, 7],
            [RESERVE, 1, 0, 0],
            [RESERVE, 2, 0, 0],
            [RESERVE, 1, 1, 0],
            [RESERVE, 1, 2, 0],
            [RESERVE, 3, 0, 0],
            [CONNECT, 2, 1, 3],
            [CONNECT, 2, 2, 1],
            [CONNECT, 2, 3, 1],
            [WAIT, 200, 7, 1],
            [RESERVE, 1, 3, 0],
        ],
        seen: &["Reservations", "PeerRate", "Relayed", "NoReservation"],
    },
    Seed {
        name: "drained",
        config: PLAIN,
        steps: &[
            [CONNECTED, 1, 0, 2],
            [CONNECTED, 2, 1, 3],
            [RESERVE, 1, 0, 0],
            [CONNECT, 2, 1, 1],
            [STOP, 0, 1, 2],
            [DRAIN, 0, 8, 0],
            [CONNECT, 2, 2, 1],
            [RESERVE, 2, 3, 0],
            [WAIT, 255, 7, 1],
            [ENDED, 0, 9, 4],
        ],
        seen: &["CircuitOpened", "Draining", "CloseCircuit"],
    },
    Seed {
        name: "while_public_and_acl",
        config: [0x56, 0x05, 0x1f, 0x29, 0x14, 0x03, 0x00, 0x00],
        steps: &[
            [CONNECTED, 1, 0, 2],
            [RESERVE, 1, 0, 0],
            [REACHABLE, 0, 0, 0],
            [RESERVE, 1, 1, 0],
            [REACHABLE, 1, 0, 0],
            [ACL, 5, 0, 0],
            [ACL, 3, 0, 0],
            [RESERVE, 1, 2, 0],
        ],
        seen: &["Reserved", "NotServing", "Denied"],
    },
];
