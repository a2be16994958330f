//! What it costs.

use super::*;

const PEERS: u32 = 100_000;

/// Many peers with one connection each, past their grace: the heap of those in their grace is empty.
fn many() -> Worth {
    let mut worth = Worth::new(&WorthConfig { low: PEERS, high: PEERS, ..WorthConfig::default() });
    for peer in 0..PEERS {
        connect(&mut worth, at(0), peer);
    }
    assert_eq!(worth.trim(at(60)).map(|trim| (trim.of, trim.closed)), Some((PEERS, 0)));
    worth
}

/// All parts together may take 400 bytes a connection.
#[test]
fn a_peer_with_one_connection_and_no_tags_costs_less_than_100_bytes() {
    assert_eq!(size_of::<Entry>(), 32);
    let worth = many();
    let each = worth.memory_used() as f64 / f64::from(PEERS);
    std::println!("{each:.1} bytes a peer");
    assert!(each < 100.0, "{each} bytes a peer");
}

#[test]
fn memory_used_is_what_was_allocated() {
    let mut built = None;
    let allocated = allocation_counter::measure(|| {
        let mut worth = many();
        for peer in 0..100 {
            set(&mut worth, at(60), peer, 7);
            let long = format!("a name that does not fit in place {peer}");
            worth.tag(at(60), PeerIx(peer), &long, TagChange::Add(1)).unwrap();
            worth.protect(at(60), PeerIx(peer), &long).unwrap();
        }
        worth
            .define(at(60), "a decaying tag of a long name", DecayingTag { interval: MINUTE, decay: Decay::Fixed(1) })
            .unwrap();
        for peer in 50..150 {
            worth.bump(at(60), PeerIx(peer), "a decaying tag of a long name", Bump::Unbounded(5)).unwrap();
        }
        for peer in 0..20 {
            worth.update(at(61), PeerIx(peer), GONE);
        }
        built = Some(worth);
    });
    let told = built.unwrap().memory_used();
    assert_eq!(told, usize::try_from(allocated.bytes_current).unwrap());
}
