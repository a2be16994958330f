//! Seeds of a relay client. Behind each operation: what its three bytes are.

use super::Seed;

const CONNECTED: u8 = 0; // relay, 0: over a circuit
const DISCONNECTED: u8 = 1; // which
const HOLD: u8 = 2; // relay, 0: with an address
const RELEASE: u8 = 4; // relay
const DIAL: u8 = 5; // relay, destination, 0: with an address
const CANCEL: u8 = 7; // which dial
const CONNECT_FAILED: u8 = 8; // relay
const ANSWER: u8 = 9; // which, FINE or another word, a status or how long
const STOP: u8 = 12; // connection, source, 1: a new stream
const END: u8 = 13; // which, what
const MISC: u8 = 14; // NETWORK, ..
const WAIT: u8 = 15;

const UNSUPPORTED: u8 = 0;
const FAILED: u8 = 1;
const REFUSED: u8 = 2;
const FINE: u8 = 5;
const OVER: u8 = 0;
const ASKER_GONE: u8 = 1;
const ALLOW: u8 = 3;
const DENY: u8 = 5;
const NETWORK: u8 = 0;
const CLOCK_FAR: u8 = 1;
const CLOCK_RIGHT: u8 = 2;
const NEXT: u8 = 7;

const PLAIN: [u8; 8] = [1, 0, 0, 1, 1, 0, 0, 7];
/// The application is asked; little room, few tries, no delays.
const ASKED: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 9];

pub const SEEDS: &[Seed] = &[
    Seed {
        name: "held_and_renewed",
        config: PLAIN,
        steps: &[
            [CONNECTED, 0, 1, 0],
            [HOLD, 0, 0, 0],
            [ANSWER, 0, FINE, 9],
            [MISC, 0, NEXT, 0],
            [ANSWER, 0, FINE, 9],
            [MISC, 0, NEXT, 0],
            [ANSWER, 0, FINE, 9],
            [RELEASE, 0, 0, 0],
        ],
        seen: &["Reserved", "Renewed", "Keep", "Release"],
    },
    Seed {
        name: "restart",
        config: PLAIN,
        steps: &[
            [HOLD, 0, 0, 0],
            [CONNECTED, 0, 1, 0],
            [ANSWER, 0, FINE, 9],
            [DISCONNECTED, 0, 0, 0],
            [MISC, 0, NEXT, 0],
            [CONNECT_FAILED, 0, 0, 0],
            [MISC, 0, NEXT, 0],
            [CONNECTED, 0, 1, 0],
            [ANSWER, 0, FINE, 9],
        ],
        seen: &["Connect", "Reserved", "Lost", "Failed"],
    },
    Seed {
        name: "refused_until_it_gives_up",
        config: ASKED,
        steps: &[
            [HOLD, 0, 0, 0],
            [CONNECTED, 0, 1, 0],
            [ANSWER, 0, REFUSED, 99],
            [MISC, 0, NEXT, 0],
            [ANSWER, 0, FAILED, 0],
            [MISC, 0, NEXT, 0],
            [ANSWER, 0, UNSUPPORTED, 0],
            [MISC, 0, NETWORK, 0],
            [ANSWER, 0, REFUSED, 99],
        ],
        seen: &["Refused", "Failed"],
    },
    Seed {
        name: "moved_and_not_given_there",
        config: PLAIN,
        steps: &[
            [CONNECTED, 0, 1, 0],
            [HOLD, 0, 0, 0],
            [ANSWER, 0, FINE, 9],
            [CONNECTED, 0, 1, 0],
            [DISCONNECTED, 0, 0, 0],
            [ANSWER, 0, REFUSED, 99],
            [RELEASE, 0, 0, 0],
        ],
        seen: &["Reserved", "Refused", "Lost"],
    },
    Seed {
        name: "clocks_are_wrong",
        config: PLAIN,
        steps: &[
            [HOLD, 0, 0, 0],
            [MISC, 0, CLOCK_FAR, 7],
            [CONNECTED, 0, 1, 0],
            [ANSWER, 0, FINE, 0],
            [WAIT, 0, 255, 255],
            [MISC, 0, CLOCK_RIGHT, 0],
            [ANSWER, 0, FINE, 1],
            [WAIT, 0, 255, 255],
            [RELEASE, 0, 0, 0],
        ],
        seen: &["Ask", "Reserved"],
    },
    Seed {
        name: "dials_joined_and_cancelled",
        config: PLAIN,
        steps: &[
            [DIAL, 0, 2, 0],
            [DIAL, 0, 2, 0],
            [CONNECTED, 0, 1, 0],
            [DIAL, 0, 2, 0],
            [CANCEL, 0, 0, 0],
            [ANSWER, 0, FINE, 9],
            [DIAL, 0, 2, 0],
            [ANSWER, 0, REFUSED, 99],
            [DIAL, 1, 2, 0],
            [CONNECT_FAILED, 1, 0, 0],
            [END, 0, OVER, 1],
        ],
        seen: &["Connect", "Circuit", "DialFailed", "CircuitEnded"],
    },
    Seed {
        name: "circuits_accepted_and_ended",
        config: PLAIN,
        steps: &[
            [CONNECTED, 0, 1, 0],
            [STOP, 0, 3, 1],
            [HOLD, 0, 0, 0],
            [ANSWER, 0, FINE, 9],
            [STOP, 0, 3, 1],
            [STOP, 0, 3, 0],
            [CONNECTED, 1, 0, 0],
            [STOP, 1, 2, 1],
            [END, 0, OVER, 2],
            [DISCONNECTED, 0, 0, 0],
        ],
        seen: &["CircuitIn", "CircuitRefused", "CircuitEnded"],
    },
    Seed {
        name: "the_application_decides",
        config: ASKED,
        steps: &[
            [CONNECTED, 0, 1, 0],
            [HOLD, 0, 0, 0],
            [ANSWER, 0, FINE, 9],
            [STOP, 0, 3, 1],
            [STOP, 0, 2, 1],
            [STOP, 0, 1, 1],
            [STOP, 0, 3, 1],
            [END, 0, ALLOW, 0],
            [END, 0, ASKER_GONE, 0],
            [END, 0, DENY, 0],
            [STOP, 0, 1, 1],
            [MISC, 0, NEXT, 0],
            [END, 0, OVER, 2],
        ],
        seen: &["AskAccept", "CircuitIn", "CircuitRefused", "CircuitEnded"],
    },
];
