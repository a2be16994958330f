//! The table of external addresses.

use super::*;

const HERE: &str = "/ip4/80.1.2.3/tcp/4001";

fn confidence(table: &Externals, text: &str) -> Option<Confidence> {
    table.get(&address(text)).map(External::confidence)
}

#[test]
fn an_address_lives_as_long_as_somebody_says_that_it_is_ours() {
    let mut table = Externals::default();
    let here = address(HERE);
    assert_eq!(table.add(&here, Source::Observed { by: 4 }), Ok(true));
    assert_eq!(table.add(&here, Source::Mapped), Ok(true));
    assert_eq!(table.add(&here, Source::Mapped), Ok(false), "twice is once");
    assert!(table.remove(&here, Source::Observed { by: 0 }), "of however many");
    assert_eq!(confidence(&table, HERE), Some(Confidence::Mapped));
    assert!(table.remove(&here, Source::Mapped));
    assert!(!table.remove(&here, Source::Mapped));
    assert_eq!(table.as_slice(), []);
}

#[test]
fn confidence_follows_from_who_says_it_and_what_came_of_dialing() {
    use Confidence as C;
    use Reachability::{Reachable, Unknown, Unreachable};
    let rows = [
        (0, false, false, Unknown, C::Unclaimed),
        (5, false, false, Unknown, C::Observed { by: 5 }),
        (5, true, false, Unknown, C::Mapped),
        (5, true, true, Unknown, C::Manual),
        (5, true, false, Unreachable, C::Refuted),
        (0, false, true, Unreachable, C::Manual),
        (5, true, true, Reachable, C::Verified),
        (0, false, false, Reachable, C::Verified),
    ];
    for (observers, mapped, manual, reachability, expected) in rows {
        let row = External { observers, mapped, manual, reachability, ..External::unclaimed(address(HERE)) };
        assert_eq!(row.confidence(), expected, "{row:?}");
    }
    assert!(
        C::Refuted < C::Observed { by: 4 } && C::Observed { by: 4 } < C::Observed { by: 5 } && C::Manual < C::Verified
    );
}

#[test]
fn what_came_of_dialing_is_forgotten_when_the_network_changes() {
    let mut table = Externals::default();
    table.add(&address(HERE), Source::Manual).unwrap();
    assert_eq!(table.dialed(&address(HERE), Reachability::Reachable), Ok(true));
    assert_eq!(table.dialed(&address("/ip4/80.1.2.3/tcp/1"), Reachability::Unreachable), Ok(true));
    assert_eq!(table.dialed(&address("/ip4/80.1.2.3/tcp/2"), Reachability::Unknown), Ok(false), "that says nothing");
    assert_eq!(table.as_slice().len(), 2);
    table.forget_dials();
    assert_eq!(table.as_slice().len(), 1);
    assert_eq!(confidence(&table, HERE), Some(Confidence::Manual));
}

#[test]
fn whoever_sees_us_counts_as_one_at_least() {
    let mut table = Externals::default();
    table.add(&address(HERE), Source::Observed { by: 0 }).unwrap();
    assert_eq!(confidence(&table, HERE), Some(Confidence::Observed { by: 1 }));
}

#[test]
fn our_id_at_the_end_makes_no_difference() {
    let mut table = Externals::default();
    let named = address(HERE).with_peer_id(peer(1)).unwrap();
    assert_eq!(table.add(&named, Source::Manual), Ok(true));
    assert_eq!(table.add(&address(HERE), Source::Manual), Ok(false));
    assert_eq!(table.as_slice()[0].address, address(HERE));
    assert!(table.remove(&named, Source::Manual));
}

#[test]
fn what_can_not_be_dialed_from_outside_is_refused() {
    let mut table = Externals::default();
    let relayed = address(&format!("/ip4/90.0.0.1/tcp/1/p2p/{}/p2p-circuit", peer(1)));
    assert_eq!(table.add(&relayed, Source::Manual), Err(ExternalError::Relayed { address: relayed }));
    for text in ["/ip4/0.0.0.0/tcp/1", "/ip4/80.1.2.3/tcp/0"] {
        let undialable = ExternalError::Undialable { address: address(text) };
        assert_eq!(table.add(&address(text), Source::Manual), Err(undialable));
    }
    let nothing = address(&format!("/p2p/{}", peer(1)));
    assert_eq!(table.add(&nothing, Source::Manual), Err(ExternalError::Undialable { address: Multiaddr::empty() }));
}

#[test]
fn a_full_table_takes_no_more_but_changes() {
    let mut table = Externals::new(2);
    for port in 1..3 {
        table.add(&address(&format!("/ip4/80.1.2.3/tcp/{port}")), Source::Mapped).unwrap();
    }
    let third = address("/ip4/80.1.2.3/tcp/3");
    assert_eq!(table.add(&third, Source::Manual), Err(ExternalError::Full { max: 2 }));
    assert_eq!(table.add(&address("/ip4/80.1.2.3/tcp/1"), Source::Manual), Ok(true));
    assert!(table.memory_used() > 0);
}
