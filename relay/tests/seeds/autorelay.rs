//! Seeds of AutoRelay. Behind each operation: what its three bytes are.

use super::Seed;

const REACHABLE: u8 = 0; // -, 0: private, 1: unknown, 2: public
const CANDIDATES: u8 = 1; // first, how many, each three further
const CONNECTED: u8 = 3; // who, 0: over a circuit
const DISCONNECTED: u8 = 5; // which
const IDENTIFIED: u8 = 6; // who, 0: no relay
const CONNECT_FAILED: u8 = 8; // who
const RESERVED: u8 = 9; // which
const REFUSED: u8 = 11; // which, 1: no answer
const LOST: u8 = 12; // which
const ADDRESSES: u8 = 13; // 0: circuits, 1: our own; which; how many
const MISC: u8 = 14; // who, NETWORK ..
const WAIT: u8 = 15; // -, a * b * 20 ms

const NETWORK: u8 = 0;
const SERVING: u8 = 1;
const ADVERTISED: u8 = 3;
const NOT_ADVERTISED: u8 = 4;
const RTT: u8 = 5;

/// The old defaults; three relays, four probes at once, two static ones.
const CLASSIC: [u8; 8] = [0, 3, 9, 3, 15, 1, 1, 4];
/// go's present ones; two relays, none static.
const GO: [u8; 8] = [1, 2, 9, 3, 15, 1, 0, 5];

pub const SEEDS: &[Seed] = &[
    Seed {
        name: "three_held_one_lost",
        config: CLASSIC,
        steps: &[
            [CANDIDATES, 0, 3, 0],
            [CONNECTED, 0, 1, 0],
            [IDENTIFIED, 0, 1, 0],
            [CONNECTED, 3, 1, 0],
            [IDENTIFIED, 3, 1, 0],
            [CONNECTED, 6, 1, 0],
            [IDENTIFIED, 6, 1, 0],
            [CONNECTED, 4, 1, 0],
            [IDENTIFIED, 4, 1, 0],
            [MISC, 3, RTT, 9],
            [WAIT, 0, 10, 100],
            [RESERVED, 0, 0, 0],
            [RESERVED, 1, 0, 0],
            [RESERVED, 2, 0, 0],
            [LOST, 0, 0, 0],
            [DISCONNECTED, 1, 0, 0],
            [WAIT, 0, 10, 100],
        ],
        seen: &["Held", "Dropped:Lost", "Protect", "Unprotect"],
    },
    Seed {
        name: "go_without_the_whole_delay",
        config: GO,
        steps: &[
            [CANDIDATES, 0, 3, 0],
            [CANDIDATES, 9, 3, 0],
            [CONNECTED, 0, 1, 0],
            [IDENTIFIED, 0, 1, 0],
            [CONNECTED, 3, 1, 0],
            [IDENTIFIED, 3, 1, 0],
            [CONNECTED, 6, 1, 0],
            [IDENTIFIED, 6, 1, 0],
            [CONNECTED, 9, 1, 0],
            [IDENTIFIED, 9, 1, 0],
            [RESERVED, 0, 0, 0],
            [RESERVED, 1, 0, 0],
            [LOST, 0, 0, 0],
            [LOST, 0, 0, 0],
        ],
        seen: &["Held", "Dropped:Lost"],
    },
    Seed {
        name: "no_relays_among_them",
        config: CLASSIC,
        steps: &[
            [CANDIDATES, 0, 3, 0],
            [CONNECTED, 0, 1, 0],
            [IDENTIFIED, 0, 0, 0],
            [CONNECTED, 3, 1, 0],
            [CONNECT_FAILED, 6, 0, 0],
            [WAIT, 0, 255, 255],
            [CANDIDATES, 0, 3, 0],
            [MISC, 0, NETWORK, 0],
        ],
        seen: &["Connect", "Dropped:NoRelay", "Dropped:Unreachable", "Dropped:NotIdentified"],
    },
    Seed {
        name: "refused_and_unanswered",
        config: CLASSIC,
        steps: &[
            [CANDIDATES, 0, 3, 0],
            [CONNECTED, 0, 1, 0],
            [IDENTIFIED, 0, 1, 0],
            [CONNECTED, 3, 1, 0],
            [IDENTIFIED, 3, 1, 0],
            [WAIT, 0, 10, 100],
            [REFUSED, 0, 0, 0],
            [WAIT, 0, 10, 100],
            [WAIT, 0, 255, 255],
        ],
        seen: &["Hold", "Release", "Dropped:Refused", "Dropped:NoAnswer"],
    },
    Seed {
        name: "addresses_and_circuits",
        config: CLASSIC,
        steps: &[
            [ADDRESSES, 1, 1, 19],
            [CANDIDATES, 0, 1, 0],
            [CONNECTED, 0, 1, 0],
            [IDENTIFIED, 0, 1, 0],
            [WAIT, 0, 10, 100],
            [RESERVED, 0, 0, 0],
            [ADDRESSES, 0, 1, 0],
            [ADDRESSES, 1, 2, 9],
            [REACHABLE, 0, 2, 0],
            [REACHABLE, 0, 0, 0],
        ],
        seen: &["Announce", "Held", "Stopped", "Started"],
    },
    Seed {
        name: "public_and_back",
        config: CLASSIC,
        steps: &[
            [CANDIDATES, 0, 1, 0],
            [CONNECTED, 0, 1, 0],
            [IDENTIFIED, 0, 1, 0],
            [WAIT, 0, 10, 100],
            [RESERVED, 0, 0, 0],
            [REACHABLE, 0, 2, 0],
            [MISC, 0, SERVING, 0],
            [WAIT, 0, 20, 100],
            [MISC, 0, ADVERTISED, 60],
            [MISC, 0, NOT_ADVERTISED, 0],
            [WAIT, 0, 255, 255],
            [REACHABLE, 0, 0, 0],
        ],
        seen: &["Held", "Stopped", "Advertise", "Withdraw"],
    },
];
