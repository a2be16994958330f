//! Tables of what is taken, kept and dropped. Random sequences are in `model`.

mod model;

use super::record::{AddressOutcome, PeerMetadata};
use super::{AddressRecord, MetadataConfig, Source, Store};
use crate::table::PeerIx;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use tidewire_core::{Multiaddr, PeerId, Time};

const P: PeerIx = PeerIx(0);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(secs: u64) -> Time {
    Time::from_millis(secs * 1_000)
}

fn id(number: u8) -> PeerId {
    PeerId::from_bytes(&[0, 1, number]).unwrap()
}

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

/// The address number so and so.
fn place(number: u16) -> Multiaddr {
    address(&format!("/ip4/198.51.100.7/tcp/{number}"))
}

fn store(config: MetadataConfig) -> Store {
    Store::new(config)
}

fn tell(store: &mut Store, now: Time, peer: PeerIx, address: Multiaddr, source: Source, ttl: u64) {
    store.add_addresses(now, peer, &id(1), &[address], source, secs(ttl));
}

fn ports(store: &Store, peer: PeerIx) -> Vec<u16> {
    store.get(peer).map_or(vec![], |peer| peer.addresses().iter().filter_map(|record| record.address.port()).collect())
}

fn blanks(store: &mut Store) -> Vec<u32> {
    core::iter::from_fn(|| store.poll_blank()).map(|peer| peer.0).collect()
}

/// What `memory_used` counts by running sums, counted anew.
fn bytes_of_entries(store: &Store, peers: u32) -> usize {
    let entries = (0..peers).filter_map(|peer| store.get(PeerIx(peer)));
    entries.map(|peer| peer.heap() + size_of::<PeerMetadata>() + 16).sum()
}

#[test]
fn only_addresses_where_the_peer_could_be_are_taken_and_without_its_id() {
    let (me, other) = (id(1), id(2));
    let table = [
        ("/ip4/198.51.100.7/tcp/1".to_string(), Some("/ip4/198.51.100.7/tcp/1".to_string())),
        (format!("/ip4/198.51.100.7/tcp/1/p2p/{me}"), Some("/ip4/198.51.100.7/tcp/1".into())),
        (format!("/ip4/198.51.100.7/tcp/1/p2p/{other}"), None),
        ("/ip4/0.0.0.0/tcp/1".into(), None),
        ("/ip6/::/udp/1/quic-v1".into(), None),
        ("/ip4/224.0.0.1/udp/1".into(), None),
        (format!("/p2p/{me}"), None),
        (
            format!("/ip4/198.51.100.7/tcp/1/p2p/{other}/p2p-circuit/p2p/{me}"),
            Some(format!("/ip4/198.51.100.7/tcp/1/p2p/{other}/p2p-circuit")),
        ),
        (
            format!("/ip4/198.51.100.7/tcp/1/p2p/{other}/p2p-circuit"),
            Some(format!("/ip4/198.51.100.7/tcp/1/p2p/{other}/p2p-circuit")),
        ),
        (format!("/ip4/198.51.100.7/tcp/1/p2p/{me}/p2p-circuit/p2p/{other}"), None),
        (format!("/ip4/198.51.100.7/tcp/1/p2p/{me}/p2p-circuit"), None),
        (format!("/dns4/{}.example.com/tcp/1", "a".repeat(600)), None),
    ];
    for (told, kept) in table {
        let mut store = store(MetadataConfig::default());
        tell(&mut store, at(0), P, address(&told), Source::Identify, 60);
        let got = store.get(P).map(|peer| peer.addresses().iter().map(|record| record.address.to_string()).collect());
        assert_eq!(got, kept.map(|kept| vec![kept]), "{told}");
    }
    let mut store = store(MetadataConfig::default());
    tell(&mut store, at(0), P, Multiaddr::empty(), Source::Identify, 60);
    assert!(store.is_blank(P));
}

#[test]
fn an_address_keeps_its_strongest_source_its_first_moment_and_its_longest_time() {
    let mut store = store(MetadataConfig::default());
    let with_id = place(1).with_peer_id(id(1)).unwrap();
    tell(&mut store, at(0), P, place(1), Source::Identify, 60);
    tell(&mut store, at(10), P, with_id, Source::Hearsay, 100);
    tell(&mut store, at(20), P, place(1), Source::Signed, 5);
    let expected = AddressRecord {
        address: place(1),
        source: Source::Signed,
        since: at(0),
        until: at(110),
        last: None,
        failures: 0,
    };
    assert_eq!(store.get(P).unwrap().addresses(), [expected]);
}

#[test]
fn nothing_is_believed_for_longer_than_the_cap_or_for_no_time() {
    let mut store = store(MetadataConfig { max_ttl: secs(50), ..MetadataConfig::default() });
    store.add_addresses(at(0), P, &id(1), &[place(1)], Source::Application, Duration::MAX);
    tell(&mut store, at(0), P, place(2), Source::Application, 0);
    assert_eq!(store.get(P).unwrap().addresses()[0].until, at(50));
    assert_eq!(ports(&store, P), [1]);
    assert_eq!(store.addresses(at(49), P).count(), 1);
    assert_eq!(store.addresses(at(50), P).count(), 0);
}

#[test]
fn of_too_many_addresses_the_least_valuable_goes() {
    // The order: expired, weakest source, failed when dialed last, oldest.
    let fill = |store: &mut Store| {
        tell(store, at(0), P, place(1), Source::Application, 20); // expired at 50
        tell(store, at(1), P, place(2), Source::Hearsay, 1_000);
        tell(store, at(2), P, place(3), Source::Identify, 1_000);
        tell(store, at(3), P, place(4), Source::Identify, 1_000); // fails
        tell(store, at(4), P, place(5), Source::Identify, 1_000);
        store.outcome(at(5), P, &place(4), false);
    };
    let mut store = store(MetadataConfig { max_addresses: 5, ..MetadataConfig::default() });
    fill(&mut store);
    for (newcomer, left) in [
        (6, vec![2, 3, 4, 5, 6]),
        (7, vec![3, 4, 5, 6, 7]),
        (8, vec![3, 5, 6, 7, 8]),
        (9, vec![5, 6, 7, 8, 9]),
        (10, vec![6, 7, 8, 9, 10]),
    ] {
        tell(&mut store, at(50), P, place(newcomer), Source::Signed, 1_000);
        assert_eq!(ports(&store, P), left);
    }
    // One that is worth less than all of them is not taken, nor one that is worth the same.
    tell(&mut store, at(51), P, place(11), Source::Identify, 1_000);
    tell(&mut store, at(50), P, place(12), Source::Signed, 1_000);
    assert_eq!(ports(&store, P), [6, 7, 8, 9, 10]);
    // But one is at which we were connected.
    store.outcome(at(52), P, &place(13), true);
    assert_eq!(ports(&store, P), [7, 8, 9, 10, 13]);
}

#[test]
fn what_came_of_dials_is_remembered() {
    let mut store = store(MetadataConfig::default());
    tell(&mut store, at(0), P, place(1), Source::Hearsay, 60);
    store.outcome(at(1), P, &place(1), false);
    store.outcome(at(2), P, &place(1).with_peer_id(id(1)).unwrap(), false);
    let record = store.get(P).unwrap().addresses()[0].clone();
    assert_eq!((record.last, record.failures), (Some((at(2), AddressOutcome::Failed)), 2));
    assert_eq!((record.source, record.until), (Source::Hearsay, at(60)));

    store.outcome(at(3), P, &place(1), true);
    let record = store.get(P).unwrap().addresses()[0].clone();
    assert_eq!((record.last, record.failures), (Some((at(3), AddressOutcome::Connected)), 0));
    assert_eq!((record.source, record.until), (Source::Connected, at(3 + 1_800)));
}

#[test]
fn a_failure_teaches_no_address_and_a_success_does() {
    let mut store = store(MetadataConfig::default());
    store.outcome(at(1), P, &place(1), false);
    assert!(store.is_blank(P));
    store.outcome(at(1), P, &place(2), true);
    assert_eq!(ports(&store, P), [2]);
}

#[test]
fn what_a_peer_says_of_itself_replaces_what_it_said_before_and_is_capped() {
    let config = MetadataConfig { max_protocols: 3, max_protocol_name: 8, max_agent: 7, ..MetadataConfig::default() };
    let mut store = store(config);
    store.identified(at(0), P, &["/b", "/a", "", "/too-long-a-name", "/b", "/c", "/d"], Some("agent \u{20ac}"));
    let peer = store.get(P).unwrap();
    assert_eq!(peer.protocols(), ["/a", "/b", "/c"]);
    assert_eq!(peer.agent(), Some("agent "), "cut where a character ends");
    store.identified(at(0), P, &["/z"], None);
    let peer = store.get(P).unwrap();
    assert_eq!((peer.protocols(), peer.agent()), (&["/z".into()][..], None));
    store.identified(at(0), P, &[], Some(""));
    assert!(store.is_blank(P));
}

#[test]
fn the_round_trip_time_is_taken_of_connected_and_of_known_peers() {
    let mut store = store(MetadataConfig::default());
    store.rtt(P, secs(1));
    assert!(store.is_blank(P));
    store.set_connected(at(0), P, true);
    for (given, kept) in
        [(Duration::from_millis(30), Duration::from_millis(30)), (Duration::ZERO, Duration::from_micros(1))]
    {
        store.rtt(P, given);
        assert_eq!(store.get(P).unwrap().rtt(), Some(kept));
    }
    store.rtt(P, Duration::MAX);
    assert!(store.get(P).unwrap().rtt() > Some(secs(4_000)));
}

#[test]
fn a_peer_is_forgotten_when_its_last_address_expires() {
    let mut store = store(MetadataConfig::default());
    tell(&mut store, at(0), P, place(1), Source::Hearsay, 60);
    tell(&mut store, at(0), P, place(2), Source::Hearsay, 100);
    tell(&mut store, at(50), P, place(1), Source::Hearsay, 70);
    while store.deadline() < at(120) {
        let now = store.deadline();
        store.on_timeout(now);
        assert!(store.deadline() > now);
        assert_eq!(blanks(&mut store), []);
    }
    assert_eq!(store.deadline(), at(120));
    store.on_timeout(at(120));
    assert!(store.is_blank(P));
    assert_eq!(blanks(&mut store), [0]);
    assert_eq!(store.deadline(), Time::NEVER);
}

#[test]
fn a_connected_peer_is_not_forgotten_and_afterwards_its_address_is_believed_for_a_while() {
    let mut store = store(MetadataConfig { max_peers: 1, ..MetadataConfig::default() });
    store.set_connected(at(0), P, true);
    store.outcome(at(0), P, &place(1), true);
    store.identified(at(1), P, &["/a"], None);
    assert_eq!(store.deadline(), Time::NEVER);
    for stranger in 1..4 {
        tell(&mut store, at(2), PeerIx(stranger), place(1), Source::Hearsay, 60);
    }
    store.on_timeout(at(100_000));
    assert_eq!(blanks(&mut store), [1, 2, 3]);
    assert_eq!(store.addresses(at(100_000), P).count(), 0, "a day later nobody knows");
    assert_eq!(ports(&store, P), [1]);
    store.set_connected(at(100_000), P, false);
    assert_eq!(store.addresses(at(101_799), P).count(), 1);
    assert_eq!(store.deadline(), at(101_800));
    store.on_timeout(at(101_800));
    assert_eq!(blanks(&mut store), [0]);
}

#[test]
fn what_an_inbound_peer_said_is_remembered_for_a_while_without_an_address() {
    let mut store = store(MetadataConfig::default());
    store.set_connected(at(0), P, true);
    store.identified(at(0), P, &["/a"], Some("agent"));
    store.set_connected(at(500), P, false);
    store.on_timeout(at(2_299));
    assert_eq!(store.get(P).unwrap().agent(), Some("agent"));
    store.on_timeout(at(2_300));
    assert!(store.is_blank(P));
}

#[test]
fn the_peer_touched_longest_ago_goes_first() {
    let mut store = store(MetadataConfig { max_peers: 3, ..MetadataConfig::default() });
    for peer in 0..3 {
        tell(&mut store, at(0), PeerIx(peer), place(1), Source::Hearsay, 60);
    }
    store.outcome(at(1), PeerIx(0), &place(1), false);
    store.set_connected(at(1), PeerIx(1), true); // leaves the count
    tell(&mut store, at(2), PeerIx(3), place(1), Source::Hearsay, 60);
    assert_eq!(blanks(&mut store), []);
    tell(&mut store, at(2), PeerIx(4), place(1), Source::Hearsay, 60);
    assert_eq!(blanks(&mut store), [2]);
    store.set_connected(at(3), PeerIx(1), false); // comes back, as the last
    assert_eq!(blanks(&mut store), [0]);
    let known: Vec<u32> = (0..5).filter(|peer| !store.is_blank(PeerIx(*peer))).collect();
    assert_eq!(known, [1, 3, 4]);
}

#[test]
fn a_slot_that_is_known_again_is_not_reported_blank() {
    let mut store = store(MetadataConfig::default());
    for _ in 0..3 {
        tell(&mut store, at(0), P, place(1), Source::Hearsay, 60);
        store.on_timeout(at(60));
    }
    tell(&mut store, at(0), PeerIx(1), place(1), Source::Hearsay, 60);
    store.on_timeout(at(60));
    tell(&mut store, at(60), P, place(1), Source::Hearsay, 60);
    store.set_connected(at(60), PeerIx(1), true);
    assert_eq!(blanks(&mut store), []);
    // What was told and not taken leaves the slot blank, and that is said.
    tell(&mut store, at(60), PeerIx(2), address("/ip4/0.0.0.0/tcp/1"), Source::Hearsay, 60);
    assert_eq!(blanks(&mut store), [2]);
}

#[test]
fn a_blank_slot_is_reported_once() {
    let mut store = store(MetadataConfig::default());
    for _ in 0..3 {
        tell(&mut store, at(0), P, place(1), Source::Hearsay, 60);
        store.on_timeout(at(60));
        tell(&mut store, at(60), P, address("/ip4/0.0.0.0/tcp/1"), Source::Hearsay, 60);
    }
    assert_eq!(blanks(&mut store), [0]);
    assert_eq!(blanks(&mut store), []);
}

#[test]
fn that_many_peers_expired_at_one_moment_takes_no_room_afterwards() {
    let mut store = store(MetadataConfig { max_peers: 10_000, ..MetadataConfig::default() });
    for peer in 0..10_000 {
        tell(&mut store, at(0), PeerIx(peer), place(1), Source::Hearsay, 60);
    }
    store.on_timeout(at(60));
    let before = store.memory_used();
    assert_eq!(blanks(&mut store).len(), 10_000);
    assert!(store.memory_used() + 10_000 * size_of::<PeerIx>() <= before);
}

/// CVE-2023-40583: go-libp2p kept the addresses of every signed record it was ever sent.
#[test]
fn records_of_a_hundred_thousand_strangers_stay_within_the_caps() {
    let mut store = store(MetadataConfig { max_peers: 1_000, ..MetadataConfig::default() });
    let mut most = 0;
    let mut forgotten = 0;
    for peer in 0..100_000 {
        // The manager uses the slots of forgotten peers again.
        let slot = PeerIx(peer % 1_500);
        store.add_addresses(at(0), slot, &id(1), &[place(1), place(2)], Source::Signed, Duration::MAX);
        store.identified(at(0), slot, &["/a"], Some("agent"));
        forgotten += blanks(&mut store).len();
        most = most.max(store.memory_used());
    }
    assert_eq!((0..1_500).filter(|slot| !store.is_blank(PeerIx(*slot))).count(), 1_000);
    assert_eq!(forgotten, 99_000);
    assert!(most < 1_001 * 400 + 1_500 * 40, "{most} bytes");
}

/// CVE-2026-57497: the same with one peer, which says more and more.
#[test]
fn a_peer_that_says_ever_more_stays_within_the_caps() {
    let config = MetadataConfig::default();
    let mut store = store(config.clone());
    store.set_connected(at(0), P, true);
    let names: Vec<String> = (0..10_000).map(|number| format!("/{number:0>255}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let long = "x".repeat(200);
    let mut most = 0;
    for port in 0..5_000u16 {
        let told = address(&format!("/ip4/198.51.100.7/tcp/{port}/http-path/{}", "x".repeat(400)));
        store.add_addresses(at(u64::from(port)), P, &id(1), &[told], Source::Signed, Duration::MAX);
        if port % 1_000 == 0 {
            store.identified(at(u64::from(port)), P, &names, Some(&long));
        }
        most = most.max(store.memory_used());
    }
    let peer = store.get(P).unwrap();
    assert_eq!((peer.addresses().len(), peer.protocols().len(), peer.agent().unwrap().len()), (64, 128, 128));
    let address = 16 + config.max_address as usize + size_of::<AddressRecord>();
    assert!(most < 64 * address + 128 * (16 + 24 + 256) + 1_000, "{most} bytes");
}

#[test]
fn peers_that_say_much_push_out_the_oldest_before_there_are_too_many() {
    let config = MetadataConfig { max_bytes: 100_000, ..MetadataConfig::default() };
    let mut store = store(config);
    let names: Vec<String> = (0..128).map(|number| format!("/{number:0>255}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for peer in 0..100 {
        store.identified(at(0), PeerIx(peer), &names, None);
        assert!(bytes_of_entries(&store, 100) <= 100_000);
    }
    let known: Vec<u32> = (0..100).filter(|peer| !store.is_blank(PeerIx(*peer))).collect();
    assert_eq!(known, [98, 99]);
}

#[test]
fn a_peer_with_one_address_is_small_and_one_without_anything_is_nine_bytes() {
    assert!(size_of::<AddressRecord>() <= 56);
    let mut store = store(MetadataConfig::default());
    store.set_connected(at(0), PeerIx(99_999), true);
    let empty = store.memory_used();
    assert!(empty <= 100_000 * 9, "{empty} bytes");
    tell(&mut store, at(0), PeerIx(99_999), place(1), Source::Hearsay, 60);
    let one = store.memory_used() - empty;
    assert!(one <= 144, "{one} bytes");
}

#[test]
fn the_memory_counted_is_the_memory_allocated() {
    let mut store = store(MetadataConfig::default());
    let before = store.memory_used();
    let names = ["/ipfs/id/1.0.0", "/a/name/that/is/longer/than/what/fits/inline/1.0.0"];
    let allocated = allocation_counter::measure(|| {
        store.set_connected(at(0), P, true);
        for port in 0..5 {
            tell(&mut store, at(0), P, place(port), Source::Hearsay, 60);
        }
        store.identified(at(0), P, &names, Some("an agent that is longer than what fits inline"));
    });
    let counted = store.memory_used() - before;
    let real = usize::try_from(allocated.bytes_current).unwrap();
    assert!(counted.abs_diff(real) <= 16, "{counted} counted, {real} allocated");
}
