//! Counting observers beside a plain model of it, and what always holds of what is announced.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::std_instead_of_alloc)]

#[path = "support/observed_world.rs"]
mod world;

use proptest::prelude::*;
use tidewire_core::{Keypair, Multiaddr, Seed};
use tidewire_host::addresses::{
    AdvertiseInputs, External, Filter, Loopback, NatStatus, Reachability, advertised, explain,
};
use world::{Op, World};

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn counting_observers_agrees_with_its_model(
        tight in any::<bool>(),
        ops in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 0..200),
    ) {
        let mut world = World::new(tight);
        for (what, a, b, c) in ops {
            world.run(Op { what, a, b, c });
        }
        world.settle();
    }

    #[test]
    fn each_announced_address_is_there_once_and_has_a_reason(
        listening in prop::collection::vec(any_address(), 0..12),
        external in prop::collection::vec((any_address(), 0u32..6, any::<[bool; 2]>(), 0u8..3), 0..6),
        relayed in 0u8..3,
        (nat, loopback, private, max) in (0u8..3, 0u8..3, any::<bool>(), 0usize..20),
        deny in prop::option::of(any_address()),
    ) {
        let relay = Keypair::from_seed(&Seed::new([9; 32])).peer_id();
        let mut inputs = AdvertiseInputs { listening, ..AdvertiseInputs::default() };
        inputs.interfaces = vec!["10.0.0.1".parse().unwrap(), "80.8.8.8".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        inputs.external = external
            .into_iter()
            .map(|(address, observers, [manual, mapped], reachability)| {
                let mut known = External::unclaimed(address);
                (known.observers, known.manual, known.mapped) = (observers, manual, mapped);
                let all = [Reachability::Unknown, Reachability::Reachable, Reachability::Unreachable];
                known.reachability = all[usize::from(reachability)];
                known
            })
            .collect();
        inputs.relayed = (0..relayed).map(|n| address(&format!("/ip4/90.0.0.1/tcp/{n}1/p2p/{relay}/p2p-circuit"))).collect();
        inputs.nat = [NatStatus::Unknown, NatStatus::Public, NatStatus::Private][usize::from(nat)];
        inputs.policy.loopback = [Loopback::Never, Loopback::Alone, Loopback::Always][usize::from(loopback)];
        (inputs.policy.private, inputs.policy.max) = (private, max);
        inputs.policy.deny = deny.map(Filter::Address).into_iter().collect();

        let decisions = explain(&inputs);
        let announced = advertised(&inputs);
        prop_assert!(announced.len() <= max);
        let mut sorted = announced.clone();
        sorted.sort();
        sorted.dedup();
        prop_assert_eq!(sorted.len(), announced.len(), "none twice");
        prop_assert!(decisions.is_sorted_by_key(|decision| !decision.is_announced()), "those announced first");

        // Each input is decided on, and nothing else is.
        let inside = |address: &Multiaddr| decisions.iter().any(|decision| decision.address == *address);
        prop_assert!(inputs.listening.iter().chain(&inputs.relayed).all(inside));
        prop_assert!(inputs.external.iter().filter(|known| known.is_claimed()).all(|known| inside(&known.address)));
        for address in &announced {
            prop_assert!(!address.is_unspecified() && address.port() != Some(0));
            prop_assert!(private || !address.is_private());
            prop_assert!(!inputs.policy.deny.iter().any(|filter| filter.matches(address)));
            prop_assert!(loopback != 0 || !address.is_loopback());
            prop_assert!(!address.is_relayed() || inputs.nat != NatStatus::Public);
        }
    }
}

fn any_address() -> impl Strategy<Value = Multiaddr> {
    let ips = prop::sample::select(vec!["80.1.2.3", "80.1.2.4", "192.168.1.7", "127.0.0.1", "0.0.0.0", "192.0.2.1"]);
    (ips, 0u16..3).prop_map(|(ip, port)| address(&format!("/ip4/{ip}/tcp/{port}")))
}
