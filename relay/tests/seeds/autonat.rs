//! Seeds of AutoNAT's four machines. Behind each operation: what its three bytes are.

use super::Seed;

const SERVER: u8 = 0; // connection, peer
const GONE: u8 = 1; // connection
const OWN: u8 = 2; // bits of addresses, low and high
const ANSWER: u8 = 3; // ask, kind and four times the index, status
const FAIL: u8 = 4; // ask
const HEAR: u8 = 5; // ask, 1: inbound, 2: on an old connection; address
const NETWORK: u8 = 6;
const OPEN: u8 = 7; // stream, peer, address
const REQUEST: u8 = 8; // stream, bits of addresses, low and high
const PAY: u8 = 9; // stream, 8: all of it
const LEAVE: u8 = 10; // stream
const DIALED_BACK: u8 = 11; // attempt, outcome
const CONNECTIVITY: u8 = 12; // IPv4, IPv6
const WAIT: u8 = 13; // seconds, low and high
const LATE: u8 = 15; // likewise

const COST: u8 = 0;
const REFUSED: u8 = 1;
const DIALED: u8 = 3;
const OK: u8 = 0; // of version 1
const V2_OK: u8 = 3;

const PLAIN: [u8; 8] = [1, 0, 0, 0, 0, 0, 0, 0];
const PRIVATE: [u8; 8] = [1, 1, 0, 0, 0, 0, 0, 0];
const TIGHT: [u8; 8] = [1, 0, 1, 0, 0, 0, 0, 0];

pub const SEEDS: &[Seed] = &[
    Seed {
        name: "v1_client",
        config: PLAIN,
        steps: &[
            [SERVER, 1, 1, 0],
            [SERVER, 2, 2, 0],
            [SERVER, 3, 3, 0],
            [SERVER, 4, 4, 0],
            [OWN, 1, 0, 0],
            [WAIT, 60, 0, 0],
            [ANSWER, 0, REFUSED, OK],
            [WAIT, 100, 0, 0],
            [ANSWER, 1, REFUSED, OK],
            [WAIT, 100, 0, 0],
            [ANSWER, 2, REFUSED, OK],
            [WAIT, 100, 0, 0],
            [ANSWER, 3, REFUSED, OK],
            [WAIT, 100, 0, 0],
            [ANSWER, 4, REFUSED, OK],
            [WAIT, 100, 0, 0],
            [ANSWER, 5, REFUSED, OK],
            [WAIT, 100, 0, 0],
            [ANSWER, 6, REFUSED, OK],
            [WAIT, 100, 0, 0],
            [ANSWER, 7, REFUSED, OK],
            [WAIT, 100, 0, 0],
            [GONE, 1, 0, 0],
            [FAIL, 9, 0, 0],
            [NETWORK, 0, 0, 0],
        ],
        seen: &["v1 client Ask", "v1 client Reachability Public"],
    },
    Seed {
        name: "v2_client_heard",
        config: PLAIN,
        steps: &[
            [SERVER, 1, 1, 0],
            [SERVER, 2, 2, 0],
            [SERVER, 3, 3, 0],
            [OWN, 1, 0, 0],
            [WAIT, 10, 0, 0],
            [HEAR, 0, 1, 0],
            [ANSWER, 0, DIALED, V2_OK],
            [WAIT, 100, 0, 0],
            [HEAR, 1, 1, 0],
            [ANSWER, 1, DIALED, V2_OK],
            [WAIT, 100, 0, 0],
            [HEAR, 2, 1, 0],
            [ANSWER, 2, DIALED, V2_OK],
            [WAIT, 100, 0, 0],
            [HEAR, 3, 1, 0],
            [ANSWER, 3, DIALED, V2_OK],
            [WAIT, 100, 0, 0],
            [HEAR, 4, 1, 0],
            [ANSWER, 4, DIALED, V2_OK],
            [WAIT, 100, 0, 0],
            [HEAR, 5, 1, 0],
            [ANSWER, 5, DIALED, V2_OK],
            [WAIT, 100, 0, 0],
        ],
        seen: &["v2 client Ask", "v2 client Reply"],
    },
    Seed {
        name: "v2_client_lied_to",
        config: PLAIN,
        steps: &[
            [SERVER, 1, 1, 0],
            [SERVER, 2, 2, 0],
            [OWN, 3, 0, 0],
            [WAIT, 10, 0, 0],
            [HEAR, 0, 2, 3],
            [HEAR, 50, 0, 3],
            [ANSWER, 0, DIALED, V2_OK],
            [WAIT, 100, 0, 0],
            [HEAR, 1, 2, 3],
            [HEAR, 51, 0, 3],
            [ANSWER, 1, DIALED, V2_OK],
            [WAIT, 100, 0, 0],
            [HEAR, 2, 2, 3],
            [HEAR, 52, 0, 3],
            [ANSWER, 2, DIALED, V2_OK],
            [WAIT, 100, 0, 0],
            [HEAR, 3, 2, 3],
            [HEAR, 53, 0, 3],
            [ANSWER, 3, DIALED, V2_OK],
            [WAIT, 100, 0, 0],
        ],
        seen: &["v2 client Ask"],
    },
    Seed {
        name: "v2_client_refused",
        config: TIGHT,
        steps: &[
            [SERVER, 1, 1, 0],
            [SERVER, 2, 2, 0],
            [OWN, 15, 0, 0],
            [WAIT, 10, 0, 0],
            [ANSWER, 0, COST, 40],
            [ANSWER, 0, REFUSED, 1],
            [WAIT, 100, 0, 0],
            [ANSWER, 1, COST, 40],
            [ANSWER, 1, REFUSED, 1],
            [WAIT, 100, 0, 0],
            [ANSWER, 2, COST, 40],
            [ANSWER, 2, REFUSED, 1],
            [WAIT, 100, 0, 0],
            [ANSWER, 3, COST, 40],
            [ANSWER, 3, REFUSED, 1],
            [WAIT, 100, 0, 0],
            [FAIL, 4, 0, 0],
            [GONE, 2, 0, 0],
        ],
        seen: &["v2 client Ask", "v2 client Pay"],
    },
    Seed {
        name: "servers_own_address",
        config: PLAIN,
        steps: &[
            [OPEN, 1, 1, 0],
            [REQUEST, 1, 1, 0],
            [DIALED_BACK, 0, 0, 0],
            [DIALED_BACK, 1, 0, 0],
            [OPEN, 2, 2, 0],
            [REQUEST, 2, 1, 0],
            [DIALED_BACK, 1, 2, 0],
            [DIALED_BACK, 2, 2, 0],
        ],
        seen: &["v1 server DialBack", "v2 server DialBack"],
    },
    Seed {
        name: "servers_other_address",
        config: PLAIN,
        steps: &[
            [OPEN, 1, 1, 0],
            [REQUEST, 1, 8, 0],
            [PAY, 1, 0, 0],
            [OPEN, 2, 2, 0],
            [REQUEST, 2, 8, 0],
            [PAY, 2, 8, 0],
            [WAIT, 10, 0, 0],
            [DIALED_BACK, 0, 0, 0],
            [DIALED_BACK, 1, 0, 0],
            [OPEN, 3, 3, 0],
            [REQUEST, 3, 8, 0],
            [LEAVE, 3, 0, 0],
        ],
        seen: &["v2 server Reply AskData", "v2 server DialBack"],
    },
    Seed {
        name: "servers_names_private_and_versions",
        config: PRIVATE,
        steps: &[
            [CONNECTIVITY, 1, 0, 0],
            [OPEN, 1, 1, 4],
            [REQUEST, 1, 240, 3],
            [OPEN, 2, 2, 8],
            [REQUEST, 2, 0, 255],
            [OPEN, 19, 3, 6],
            [REQUEST, 19, 64, 0],
            [CONNECTIVITY, 1, 1, 0],
            [OPEN, 4, 4, 6],
            [REQUEST, 4, 64, 0],
            [DIALED_BACK, 0, 1, 0],
            [DIALED_BACK, 1, 1, 0],
        ],
        seen: &["v1 server DialBack", "v2 server DialBack"],
    },
    Seed {
        name: "servers_full_and_late",
        config: TIGHT,
        steps: &[
            [OPEN, 1, 1, 0],
            [REQUEST, 1, 1, 0],
            [OPEN, 2, 2, 0],
            [REQUEST, 2, 1, 0],
            [OPEN, 3, 3, 0],
            [REQUEST, 3, 1, 0],
            [OPEN, 4, 4, 0],
            [REQUEST, 4, 1, 0],
            [OPEN, 5, 5, 0],
            [REQUEST, 5, 1, 0],
            [LATE, 200, 0, 0],
            [DIALED_BACK, 0, 0, 0],
            [WAIT, 200, 0, 0],
        ],
        seen: &["v1 server CancelDialBack", "v2 server CancelDialBack"],
    },
];
