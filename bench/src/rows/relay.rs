//! A relay in a process of its own, beside rust-libp2p's: what it forwards for a second of its processor, what reservations and
//! idle circuits take, and how long it takes to get them.
