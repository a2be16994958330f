//! Whatever comes through a NAT or a firewall: its books are right, and answers find who asked.

use crate::ops_world::{Op, Ops};
use proptest::prelude::{ProptestConfig, any, proptest};

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 8, ..ProptestConfig::default() })]

    #[test]
    fn answers_find_who_asked_and_no_cap_is_passed(
        config in any::<u16>(),
        ops in proptest::collection::vec(any::<(u8, u8, u16)>(), 1..100),
    ) {
        let mut world = Ops::new(config);
        for (what, pick, bits) in ops {
            world.run(Op { what, pick, bits });
        }
    }
}
