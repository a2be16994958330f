//! Multiaddr from bytes: what is accepted survives text, taking apart and every question.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidewire_core::Multiaddr;

fuzz_target!(|data: &[u8]| {
    let Ok(address) = Multiaddr::from_bytes(data) else { return };
    assert_eq!(address.as_bytes(), data);

    let text = address.to_string();
    assert!(text.len() <= Multiaddr::MAX_TEXT_LEN);
    assert!(!text.contains(char::is_control));
    assert_eq!(text.parse::<Multiaddr>().as_ref(), Ok(&address));

    let components: Vec<_> = address.iter().collect();
    assert_eq!(Multiaddr::from_components(&components).as_ref(), Ok(&address));
    assert_eq!(address.is_relayed(), address.split_circuit().is_some());
    assert!(address.relay_peer_id().is_none() || address.is_relayed());
    assert_eq!(address.socket_addr().map(|addr| addr.ip()), address.port().and(address.ip()));
    let _ = (address.reach(), address.transport(), address.peer_id(), address.dns_name(), address.zone());

    let (mut head, mut tail) = (address.clone(), Multiaddr::empty());
    while let Some(last) = head.pop() {
        assert!(address.ends_with(&last) || !tail.is_empty());
        tail = last.encapsulate(&tail).expect("the parts fitted before");
    }
    assert_eq!(tail, address);
});
