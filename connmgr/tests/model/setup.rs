//! Configurations out of bytes, with caps that are soon reached.

use crate::world::MAX_NAME;
use core::time::Duration;
use tidewire_connmgr::Config;

/// A configuration out of bytes; zeros are the defaults, but for pings, duplicates and jitter.
pub(crate) fn config(bytes: &[u8; 40]) -> Config {
    let mut bytes = bytes.iter().copied();
    let mut next = || bytes.next().unwrap_or(0);
    let mut config = Config::default();
    config.keep_alive.ping_interval = None;
    config.duplicates.per_peer = u32::MAX;
    config.dial.backoff_jitter = 0;

    let worth = &mut config.worth;
    worth.max_name = MAX_NAME;
    worth.resolution = Duration::from_secs([10, 3, 7, 60][usize::from(next()) % 4]);
    (worth.low, worth.high) = [(2, 4), (1, 3), (3, 6), (1, 1), (4, 2), (0, 3), (3, 0), (2, 4)][usize::from(next()) % 8];
    worth.grace = Duration::from_secs([20, 0, 5, 60][usize::from(next()) % 4]);
    worth.silence = Duration::from_secs([10, 2, 7, 30][usize::from(next()) % 4]);
    worth.early_tags_ttl = Duration::from_secs([60, 1, 15][usize::from(next()) % 3]);
    for cap in [
        &mut worth.max_early,
        &mut worth.max_tags,
        &mut worth.max_protections,
        &mut worth.max_protected_absent,
        &mut worth.max_decaying,
        &mut config.dial.max_rules,
    ] {
        let byte = next();
        if byte & 1 == 1 {
            *cap = u32::from(byte >> 1) % 4;
        }
    }
    config.keep_alive.idle = [None, None, Some(Duration::from_secs(40)), Some(Duration::ZERO)][usize::from(next()) % 4];
    if config.keep_alive.idle.is_some() {
        // Many connections end in the same moment, and with any operation: nothing says whose protection is forgotten.
        config.worth.max_protected_absent = 4096;
    }

    let limits = &mut config.limits;
    limits.protocol_name = MAX_NAME;
    for cap in [
        &mut limits.pending_inbound,
        &mut limits.pending_outbound,
        &mut limits.established,
        &mut limits.established_inbound,
        &mut limits.established_outbound,
        &mut limits.established_per_peer,
        &mut limits.per_ip4,
        &mut limits.per_ip6_56,
        &mut limits.per_ip6_48,
        &mut limits.streams,
        &mut limits.streams_inbound,
        &mut limits.streams_outbound,
        &mut limits.streams_per_connection,
        &mut limits.streams_per_peer,
        &mut limits.streams_per_protocol,
        &mut limits.streams_per_protocol_peer,
        &mut limits.protocols,
    ] {
        let byte = next();
        match byte % 8 {
            0..5 => {}
            5 => *cap = u32::MAX,
            _ => *cap = u32::from(byte >> 3) % 6,
        }
    }
    // The hard cap is what most depends on: small more often.
    if next() & 1 == 1 {
        limits.established = 5;
    }
    limits.inbound_interval = Duration::from_millis([200, 0, 1000, 30_000][usize::from(next()) % 4]);
    limits.inbound_burst = [16, 1, 3, 0][usize::from(next()) % 4];
    for cap in [&mut limits.memory, &mut limits.memory_per_peer, &mut limits.memory_per_connection] {
        let byte = next();
        if byte & 1 == 1 {
            *cap = u64::from(byte);
        }
    }
    config
}
