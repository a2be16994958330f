//! The presets are what their names say.

use tidewire_sim::nat::{Filtering, Firewall, Mapping, Nat, Ports, Unsolicited};

#[test]
fn the_kinds_of_rfc_3489_are_what_it_calls_so() {
    let table = [
        (Nat::full_cone(), "EIM/EIF/preserving/drop"),
        (Nat::restricted_cone(), "EIM/ADF/preserving/drop"),
        (Nat::port_restricted_cone(), "EIM/APDF/preserving/drop"),
        (Nat::symmetric(), "APDM/APDF/random/drop"),
    ];
    for (nat, label) in table {
        assert_eq!(nat.label(), label);
    }
}

#[test]
fn the_default_keeps_what_the_rfcs_ask_for() {
    let nat = Nat::default();
    assert_eq!((nat.mapping, nat.hairpin, nat.parity), (Mapping::EndpointIndependent, true, true));
    assert_eq!((nat.unsolicited, nat.ports), (Unsolicited::LATER, Ports::Preserving));
}

#[test]
fn devices_are_as_they_are_found() {
    let table = [
        (Nat::home_router(), "EIM/APDF/preserving/drop"),
        (Nat::linux_masquerade(), "APDM/APDF/overloading/drop"),
        (Nat::linux_fully_random(), "APDM/APDF/random/drop"),
        (Nat::carrier_grade(), "EIM/EIF/random/icmp-later"),
        (Nat::mobile(), "EIM/APDF/+1/drop"),
        (Nat::corporate(), "APDM/APDF/random/icmp"),
    ];
    for (nat, label) in table {
        assert_eq!(nat.label(), label);
    }
    assert!(Nat::carrier_grade().hairpin, "RFC 6888 REQ-1 asks for what RFC 4787 does");
    assert_eq!(Firewall::default().filtering, Filtering::AddressAndPortDependent);
    assert_eq!(Firewall::corporate().unsolicited, Unsolicited::PROHIBITED);
}
