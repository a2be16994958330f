//! What a push changes.

use super::*;

fn known() -> Identity {
    *read(&written(&Card::new(&keypair(1), &profile()).unwrap(), Some(&address("/ip4/198.51.100.7/tcp/7")))).unwrap()
}

fn pushed(message: IdentifyMessage) -> Identity {
    *told(message).unwrap()
}

fn record(seq: u64, text: &str) -> IdentifyMessage {
    let signed_peer_record = Some(envelope(1, seq, &[address(text)]));
    IdentifyMessage { signed_peer_record, ..IdentifyMessage::default() }
}

#[test]
fn an_empty_push_changes_nothing() {
    let mut identity = known();
    assert_eq!(identity.merge_push(pushed(IdentifyMessage::default())), None);
    assert_eq!(identity, known());
}

#[test]
fn a_push_changes_only_what_it_mentions() {
    let mut identity = known();
    let push = IdentifyMessage { protocols: list(&["/new"]), ..IdentifyMessage::default() };
    assert_eq!(identity.merge_push(pushed(push)), None);
    assert_eq!(identity.protocols, [protocol("/new")], "a list replaces the list");
    identity.protocols = known().protocols;
    assert_eq!(identity, known());

    let mut identity = known();
    let push = IdentifyMessage { agent_version: Some("new".into()), ..IdentifyMessage::default() };
    identity.merge_push(pushed(push));
    assert_eq!(identity.agent.as_deref(), Some("new"));
    identity.agent = known().agent;
    assert_eq!(identity, known());
}

#[test]
fn a_newer_record_replaces_the_one_that_is_known() {
    let mut identity = known();
    assert_eq!(identity.merge_push(pushed(record(18, "/ip4/192.0.2.8/tcp/8"))), None);
    assert_eq!(identity.listen_addresses(), [address("/ip4/192.0.2.8/tcp/8")]);
    assert!(identity.is_signed());
}

#[test]
fn a_replayed_record_is_refused() {
    for seq in [0, 16, 17] {
        let mut identity = known();
        let refused = RecordRefused::Stale { known: 17, got: seq };
        assert_eq!(identity.merge_push(pushed(record(seq, "/ip4/192.0.2.8/tcp/8"))), Some(&refused));
        assert_eq!(identity.listen_addresses(), profile().addresses);
        assert_eq!(identity.record, known().record);
    }
}

#[test]
fn unsigned_addresses_beside_a_replayed_record_count() {
    let mut identity = known();
    let new = [address("/ip4/192.0.2.8/tcp/8")];
    let push = IdentifyMessage { listen_addrs: list(&new), ..record(3, "/ip4/192.0.2.9/tcp/9") };
    assert_eq!(identity.merge_push(pushed(push)), Some(&RecordRefused::Stale { known: 17, got: 3 }));
    assert_eq!(identity.listen_addresses(), new);
}

#[test]
fn the_same_record_once_more_is_fine() {
    let mut identity = known();
    assert_eq!(identity.merge_push(known()), None);
    assert_eq!(identity, known());
}

#[test]
fn unsigned_addresses_of_a_push_are_newer_than_the_record_that_is_known() {
    let mut identity = known();
    let new = [address("/ip4/192.0.2.8/tcp/8")];
    identity.merge_push(pushed(IdentifyMessage { listen_addrs: list(&new), ..IdentifyMessage::default() }));
    assert_eq!(identity.listen_addresses(), new);
    assert!(!identity.is_signed() && identity.record.is_some(), "its number still guards against replays");

    // Until the same record is sent again, or a newer one.
    let mut again = identity.clone();
    again.merge_push(known());
    assert_eq!(again.listen_addresses(), profile().addresses);
    identity.merge_push(pushed(record(18, "/ip4/192.0.2.9/tcp/9")));
    assert_eq!(identity.listen_addresses(), [address("/ip4/192.0.2.9/tcp/9")]);
}

#[test]
fn unsigned_addresses_beside_a_foreign_record_count() {
    let mut identity = known();
    let new = [address("/ip4/192.0.2.8/tcp/8")];
    let push = IdentifyMessage {
        listen_addrs: list(&new),
        signed_peer_record: Some(envelope(2, 99, &[])),
        ..IdentifyMessage::default()
    };
    assert!(matches!(identity.merge_push(pushed(push)), Some(RecordRefused::OtherPeer { .. })));
    assert_eq!(identity.listen_addresses(), new);
}

#[test]
fn what_is_kept_is_counted() {
    assert_eq!(Identity::default().memory_used(), 0);
    let identity = known();
    let envelope = identity.record.as_ref().unwrap().envelope.len();
    // Two lists of two addresses, whose bytes of 8 and 22 stand behind two counts; two protocols; two texts, the longer of 37
    // bytes behind two counts.
    let addresses = 2 * 2 * size_of::<Multiaddr>() + (16 + 8) + (16 + 24);
    let least = envelope + addresses + 2 * size_of::<Protocol>() + (16 + 40);
    assert_eq!(identity.memory_used(), least);
    assert!(least + size_of::<Identity>() < 1024, "{least} + {}", size_of::<Identity>());
}
