//! What the caps are when nobody turned them.

use super::*;
use crate::Resources;

const MIB: u64 = 1 << 20;

#[test]
fn defaults_fit_the_machine_from_tiny_to_huge() {
    // memory, file descriptors | pending in, out, established, rate entries, streams, per connection, memory, per peer, per connection
    type Row = (u64, u32, [u32; 6], [u64; 3]);
    let table: [Row; 6] = [
        (0, 0, [8, 8, 16, 256, 256, 64], [2 * MIB, 256 << 10, 256 << 10]),
        (16 * MIB, 64, [8, 10, 32, 256, 256, 64], [2 * MIB, 256 << 10, 256 << 10]),
        (1 << 30, 1024, [64, 160, 512, 8192, 16_384, 1024], [128 * MIB, 16 * MIB, 16 * MIB]),
        (16 << 30, 65_536, [4096, 4096, 32_768, 131_072, 262_144, 1024], [2048 * MIB, 256 * MIB, 64 * MIB]),
        (1 << 40, 10_000_000, [4096, 4096, 2 << 20, 1 << 20, 1 << 24, 1024], [131_072 * MIB, 256 * MIB, 64 * MIB]),
        (u64::MAX, u32::MAX, [4096, 4096, 4 << 20, 1 << 20, 1 << 24, 1024], [u64::MAX / 8, 256 * MIB, 64 * MIB]),
    ];
    for (memory, file_descriptors, counts, bytes) in table {
        let config = LimitsConfig::for_resources(Resources { memory, file_descriptors });
        let found = [
            config.pending_inbound,
            config.pending_outbound,
            config.established,
            config.inbound_rate_entries,
            config.streams,
            config.streams_per_connection,
        ];
        assert_eq!(found, counts, "{memory} bytes, {file_descriptors} descriptors");
        assert_eq!([config.memory, config.memory_per_peer, config.memory_per_connection], bytes, "{memory} bytes");
    }
    assert_eq!(
        LimitsConfig::default(),
        LimitsConfig::for_resources(Resources { memory: 1 << 30, file_descriptors: 1024 })
    );
}

#[test]
fn on_any_machine_the_defaults_leave_room_and_fit_into_each_other() {
    for memory in (24..48).map(|bits| 1_u64 << bits) {
        for file_descriptors in (6..31).map(|bits| 1_u32 << bits) {
            let config = LimitsConfig::for_resources(Resources { memory, file_descriptors });
            let connections = config.established + config.pending_inbound + config.pending_outbound;
            assert!(u64::from(connections) * 5 <= u64::from(file_descriptors) * 4, "{file_descriptors}: {connections}");
            assert!(u64::from(config.established) * 256 * 1024 <= memory / 2);
            assert!(config.memory <= memory / 8 && config.memory_per_peer <= config.memory / 8);
            assert!(config.memory_per_connection <= config.memory_per_peer);
            assert!(config.streams_inbound < config.streams && config.streams_outbound == config.streams);
            assert!(config.streams_per_connection <= config.streams_per_peer);
            assert!(config.streams_per_peer < config.streams_inbound);
            assert!(config.streams_per_protocol_peer < config.streams_per_protocol);
        }
    }
}

#[test]
fn defaults_with_a_source_are_the_numbers_of_that_source() {
    let config = LimitsConfig::default();
    // go-libp2p: per IPv4 /32, IPv6 /56 and /48, connections of a peer, dials at once, an eighth of the memory.
    assert_eq!((config.per_ip4, config.per_ip6_56, config.per_ip6_48), (8, 8, 64));
    assert_eq!((config.established_per_peer, config.pending_outbound), (8, 160));
    assert_eq!(config.memory, Resources::default().memory / 8);
    // js-libp2p: 5 a second from one host.
    assert_eq!(config.inbound_interval * 5, Duration::from_secs(1));
}

#[test]
fn every_cap_is_on_by_default_but_the_two_that_say_they_are_off() {
    for (memory, file_descriptors) in [(0, 0), (1 << 30, 1024), (u64::MAX, u32::MAX)] {
        let config = LimitsConfig::for_resources(Resources { memory, file_descriptors });
        let LimitsConfig {
            pending_inbound,
            pending_outbound,
            established,
            established_inbound,
            established_outbound,
            established_per_peer,
            per_ip4,
            per_ip6_56,
            per_ip6_48,
            inbound_interval,
            inbound_burst,
            inbound_rate_entries,
            streams,
            streams_inbound,
            streams_outbound,
            streams_per_connection,
            streams_per_peer,
            streams_per_protocol,
            streams_per_protocol_peer,
            protocols,
            protocol_name,
            memory,
            memory_per_peer,
            memory_per_connection,
        } = config;
        let counts = [
            pending_inbound,
            pending_outbound,
            established,
            established_per_peer,
            per_ip4,
            per_ip6_56,
            per_ip6_48,
            inbound_burst,
            inbound_rate_entries,
            streams,
            streams_inbound,
            streams_outbound,
            streams_per_connection,
            streams_per_peer,
            streams_per_protocol,
            streams_per_protocol_peer,
            protocols,
            protocol_name,
        ];
        assert!(counts.iter().all(|cap| (1..u32::MAX).contains(cap)), "{counts:?}");
        assert!([memory, memory_per_peer, memory_per_connection].iter().all(|cap| (1..u64::MAX).contains(cap)));
        assert!(inbound_interval > Duration::ZERO);
        assert_eq!((established_inbound, established_outbound), (u32::MAX, u32::MAX));
    }
}
