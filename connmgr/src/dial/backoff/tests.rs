use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

fn config() -> DialConfig {
    DialConfig { backoff_jitter: 0, ..DialConfig::default() }
}

fn backoffs(config: &DialConfig) -> Backoffs {
    Backoffs::new(config, &Seed::new([7; 32]))
}

fn peer(number: u8) -> PeerId {
    // A SHA-256 multihash.
    let mut bytes = [number; 34];
    bytes[..2].copy_from_slice(&[0x12, 32]);
    PeerId::from_bytes(&bytes).unwrap()
}

fn at(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn backoff_grows_with_the_square_of_the_failures_up_to_the_greatest() {
    let mut backoffs = backoffs(&config());
    let (peer, address) = (peer(1), at("/ip4/1.2.3.4/tcp/1"));
    let mut now = Time::from_millis(1000);
    for expected in [5, 6, 9, 14, 21, 30, 41, 54, 69, 86, 105, 126, 149, 174, 201, 230, 261, 294, 300, 300] {
        backoffs.failed(now, peer, &address);
        assert_eq!(backoffs.check(now, peer, &address), Some(secs(expected)));
        let nearly = now + (secs(expected) - Duration::from_nanos(1));
        assert_eq!(backoffs.check(nearly, peer, &address), Some(Duration::from_nanos(1)));
        now = now + secs(expected);
        assert_eq!(backoffs.check(now, peer, &address), None);
    }
}

#[test]
fn only_the_address_that_failed_is_in_backoff_and_only_for_its_peer() {
    let mut backoffs = backoffs(&config());
    backoffs.failed(Time::ZERO, peer(1), &at("/ip4/1.2.3.4/tcp/1"));
    assert!(backoffs.check(Time::ZERO, peer(1), &at("/ip4/1.2.3.4/tcp/1")).is_some());
    assert_eq!(backoffs.check(Time::ZERO, peer(1), &at("/ip4/1.2.3.4/tcp/2")), None);
    assert_eq!(backoffs.check(Time::ZERO, peer(2), &at("/ip4/1.2.3.4/tcp/1")), None);
}

#[test]
fn the_same_address_with_the_peer_at_its_end_is_the_same() {
    let mut backoffs = backoffs(&config());
    let (bare, named) = (at("/ip4/1.2.3.4/tcp/1"), at("/ip4/1.2.3.4/tcp/1").with_peer_id(peer(1)).unwrap());
    backoffs.failed(Time::ZERO, peer(1), &bare);
    backoffs.failed(Time::ZERO, peer(1), &named);
    assert_eq!(backoffs.check(Time::ZERO, peer(1), &bare), Some(secs(6)));
    assert_eq!(backoffs.check(Time::ZERO, peer(1), &named), Some(secs(6)));
}

#[test]
fn success_clears_the_peer_and_no_other() {
    let mut backoffs = backoffs(&config());
    let addresses = [at("/ip4/1.2.3.4/tcp/1"), at("/ip6/1::2/udp/1/quic-v1")];
    for (number, address) in [(1, &addresses[0]), (1, &addresses[1]), (2, &addresses[0]), (0, &addresses[1])] {
        backoffs.failed(Time::ZERO, peer(number), address);
    }
    backoffs.succeeded(peer(1));
    assert_eq!(backoffs.check(Time::ZERO, peer(1), &addresses[0]), None);
    assert_eq!(backoffs.check(Time::ZERO, peer(1), &addresses[1]), None);
    assert!(backoffs.check(Time::ZERO, peer(2), &addresses[0]).is_some());
    assert!(backoffs.check(Time::ZERO, peer(0), &addresses[1]).is_some());
    backoffs.failed(Time::ZERO, peer(1), &addresses[0]);
    assert_eq!(backoffs.check(Time::ZERO, peer(1), &addresses[0]), Some(secs(5)), "as the first failure");
}

#[test]
fn another_network_clears_all() {
    let mut backoffs = backoffs(&config());
    let address = at("/ip4/1.2.3.4/tcp/1");
    backoffs.failed(Time::ZERO, peer(1), &address);
    backoffs.failed(Time::ZERO, peer(2), &address);
    assert!(backoffs.memory_used() > 0);
    backoffs.network_changed();
    assert_eq!(backoffs.check(Time::ZERO, peer(1), &address), None);
    assert_eq!(backoffs.check(Time::ZERO, peer(2), &address), None);
    assert_eq!(backoffs.memory_used(), 0);
}

#[test]
fn what_was_over_for_the_greatest_backoff_is_forgotten() {
    let mut backoffs = backoffs(&config());
    let address = at("/ip4/1.2.3.4/tcp/1");
    backoffs.failed(Time::ZERO, peer(1), &address);
    // Over at 5 s; at 304 s it is still remembered, and counts.
    backoffs.failed(Time::from_millis(304_000), peer(1), &address);
    assert_eq!(backoffs.check(Time::from_millis(304_000), peer(1), &address), Some(secs(6)));
    // Over at 310 s; at 610 s another failure finds nothing.
    backoffs.failed(Time::from_millis(610_000), peer(1), &address);
    assert_eq!(backoffs.check(Time::from_millis(610_000), peer(1), &address), Some(secs(5)));
    // A failure elsewhere forgets, too.
    backoffs.failed(Time::from_millis(915_000), peer(2), &address);
    assert_eq!(backoffs.entries.len(), 1);
}

#[test]
fn a_full_table_drops_the_one_that_ends_first() {
    let mut backoffs = backoffs(&DialConfig { max_backoffs: 2, ..config() });
    let address = at("/ip4/1.2.3.4/tcp/1");
    backoffs.failed(Time::from_millis(2000), peer(1), &address);
    backoffs.failed(Time::from_millis(1000), peer(2), &address);
    backoffs.failed(Time::from_millis(3000), peer(3), &address);
    let now = Time::from_millis(3000);
    let left = [1, 2, 3].map(|number| backoffs.check(now, peer(number), &address));
    assert_eq!(left, [Some(secs(4)), None, Some(secs(5))]);
}

#[test]
fn a_table_for_none_remembers_none() {
    let mut backoffs = backoffs(&DialConfig { max_backoffs: 0, ..config() });
    let address = at("/ip4/1.2.3.4/tcp/1");
    backoffs.failed(Time::ZERO, peer(1), &address);
    assert_eq!(backoffs.check(Time::ZERO, peer(1), &address), None);
    assert_eq!(backoffs.memory_used(), 0);
}

#[test]
fn jitter_makes_it_longer_within_its_share_and_differs_by_seed_peer_address_and_try() {
    let config = DialConfig { backoff_jitter: 25, backoff_coefficient: Duration::ZERO, ..config() };
    let addresses = [at("/ip4/1.2.3.4/tcp/1"), at("/ip4/1.2.3.4/tcp/2")];
    let mut found = Vec::new();
    for seed in 0..4 {
        let mut backoffs = Backoffs::new(&config, &Seed::new([seed; 32]));
        for number in 0..4 {
            for address in &addresses {
                for _ in 0..4 {
                    backoffs.failed(Time::ZERO, peer(number), address);
                    found.push(backoffs.check(Time::ZERO, peer(number), address).unwrap());
                }
            }
        }
    }
    let within = secs(5)..secs(5) + Duration::from_millis(1250);
    assert!(found.iter().all(|backoff| within.contains(backoff)), "{found:?}");
    assert!(found.iter().any(|backoff| *backoff < Duration::from_millis(5125)), "spread over the share");
    assert!(found.iter().any(|backoff| *backoff > Duration::from_millis(6125)), "spread over the share");
    let all = found.len();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), all, "no two alike");
}

#[test]
fn the_same_seed_gives_the_same_jitter() {
    let run = |seed| {
        let mut backoffs = Backoffs::new(&DialConfig::default(), &Seed::new([seed; 32]));
        backoffs.failed(Time::ZERO, peer(1), &at("/ip4/1.2.3.4/tcp/1"));
        backoffs.check(Time::ZERO, peer(1), &at("/ip4/1.2.3.4/tcp/1"))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn the_greatest_numbers_do_not_overflow() {
    let config = DialConfig {
        backoff_base: Duration::MAX,
        backoff_coefficient: Duration::MAX,
        backoff_max: Duration::MAX,
        backoff_jitter: u32::MAX,
        ..DialConfig::default()
    };
    let mut backoffs = backoffs(&config);
    let address = at("/ip4/1.2.3.4/tcp/1");
    for now in [Time::ZERO, Time::from_nanos(u64::MAX - 1), Time::NEVER, Time::ZERO] {
        backoffs.failed(now, peer(1), &address);
    }
    assert_eq!(backoffs.check(Time::ZERO, peer(1), &address), Some(Time::NEVER.since(Time::ZERO)));
}

/// The same with a list that is searched from end to end.
#[derive(Default)]
struct Model(Vec<(u8, u8, Time, u32)>);

impl Model {
    fn failed(&mut self, now: Time, peer: u8, port: u8, cap: usize) {
        self.0.retain(|entry| now < entry.2 || now.since(entry.2) < secs(300));
        let failures = self.0.iter().find(|entry| (entry.0, entry.1) == (peer, port)).map_or(0, |entry| entry.3);
        self.0.retain(|entry| (entry.0, entry.1) != (peer, port));
        let backoff = secs(u64::from(5 + failures * failures).min(300));
        self.0.push((peer, port, now + backoff, failures + 1));
        self.0.sort_by_key(|entry| (entry.2, entry.0, entry.1));
        let over = self.0.len().saturating_sub(cap);
        self.0.drain(..over);
    }

    fn check(&self, now: Time, peer: u8, port: u8) -> Option<Duration> {
        let entry = self.0.iter().find(|entry| (entry.0, entry.1) == (peer, port))?;
        (entry.2 > now).then(|| entry.2.since(now))
    }
}

proptest! {
    #[test]
    fn it_does_what_a_plain_list_does(
        cap in 0u32..8,
        steps in proptest::collection::vec((0u8..10, 0u8..3, 1u8..4, 0u64..60_000), 0..200),
    ) {
        let mut backoffs = backoffs(&DialConfig { max_backoffs: cap, ..config() });
        let mut model = Model::default();
        let address = |port: u8| Multiaddr::tcp(([1, 2, 3, 4], u16::from(port)).into());
        let mut now = Time::ZERO;
        for (what, number, port, wait) in steps {
            now = now + Duration::from_millis(wait);
            match what {
                0 => {
                    backoffs.network_changed();
                    model.0.clear();
                }
                1 => {
                    backoffs.succeeded(peer(number));
                    model.0.retain(|entry| entry.0 != number);
                }
                _ => {
                    backoffs.failed(now, peer(number), &address(port));
                    model.failed(now, number, port, cap as usize);
                }
            }
            for number in 0..3 {
                for port in 1..4 {
                    let found = backoffs.check(now, peer(number), &address(port));
                    prop_assert_eq!(found, model.check(now, number, port));
                }
            }
            prop_assert_eq!(backoffs.entries.len(), model.0.len());
            prop_assert_eq!(backoffs.by_end.len(), model.0.len());
            let bytes: usize = backoffs.entries.keys().map(|key| key.1.memory_used()).sum();
            prop_assert_eq!(backoffs.address_bytes, bytes);
        }
    }
}
