//! What can be set of relays, on both sides of them. The words are those of the fields' own docs, shortened.

use super::{Entry, Section, Value, rate, section};

#[rustfmt::skip]
pub(super) fn sections(all: &mut Vec<Section>) {
    section!(all, "host.relay.client", "Relays that serve us: reservations, and circuits through them.", |c| c.host.relay.client, {
        voucher:
            "What to do about a reservation's voucher: \"ignore\" takes the reservation whatever its voucher is, \
            \"refuse-wrong\" refuses it for a wrong one, but not for a missing one, \"require\" wants a right one. \
            Default \"refuse-wrong\": rust-libp2p's relays give none.",
        accept:
            "From which relays circuits are accepted: \"held\" are those that we have a reservation with, or are \
            asking for one just now, \"anyone\", \"nobody\". Default \"held\".",
        ask_application: "Whether the application is asked before a circuit is accepted. Default false.",
        accept_timeout: "How long it has to decide. Default 10 s (go-libp2p).",
        reserve_timeout:
            "Time for a relay to answer RESERVE, the opening of the stream included. Default 60 s (go-libp2p).",
        connect_timeout: "Time for a relay to answer CONNECT, likewise. Default 60 s (go-libp2p).",
        relay_dial_timeout: "Time to get a connection to the relay of a dial. Default 5 s (go-libp2p).",
        hold_dial_timeout:
            "Time to get a connection to a relay for a reservation. Default 60 s, what the connection manager gives a \
            peer.",
        renew_before:
            "A reservation is renewed so long before its end, but not before two thirds of its time; and by up to a \
            quarter of this earlier, by chance. Default 5 min (js-libp2p).",
        renew_min: "Least time from a reservation to its renewal. Default 4 s: rust-libp2p's relays take 30 requests within 2 min.",
        assumed_ttl:
            "How long a reservation is taken to last if its end is over by our clock: it was given just now, so one \
            of the two clocks is wrong. Default 5 min.",
        max_ttl:
            "How long it lasts at most, whatever the relay says; one that is said to last longer by more than an eighth \
            is taken to last for assumed_ttl. Default 2 h.",
        first_delay:
            "Delay before the first new try after a failure of transport; doubles with each. Up to a quarter is \
            added to every one. Default 1 s.",
        max_delay: "Greatest such delay. Default 5 min. A relay that can't be reached is tried again for ever.",
        first_refused_delay: "Delay after the first refusal; doubles with each. Default 1 min.",
        max_refused_delay:
            "Greatest such delay, and the one after a refusal that asking again does not change. Default 1 h \
            (go-libp2p).",
        tries: "Refusals before giving up, failures of transport between them not counted. Default 12.",
        settled:
            "A reservation that was held for this long ends the row of failures when it is lost. Default 60 s.",
        holds: "Relays at which a reservation is wanted. Default 16.",
        relay_addresses: "Addresses that are kept of a relay; further ones are dropped. Default 16.",
        dials: "Dials that wait for their circuit. Default 256.",
        circuits_out: "Circuits that we dialed, those being dialed included. Default 256.",
        circuits_in: "Circuits that came to us, those the application is asked about included. Default 256.",
        circuits_per_source: "Of them, from one source. Default 8.",
        circuit_addresses: "Addresses of ours through relays. Default 256.",
        connections:
            "Connections that may be known. Default 4,194,304, the most that the connection manager allows by its \
            own formula.",
        max_unpolled:
            "Actions that may wait to be polled before a further input is misuse, and time stands still. Default \
            65,536.",
    });
    section!(all, "host.relay.server", "What tidewire relay gives, and how much it may hold; no other command is a relay. \"off\" switches a count \
        off.", |c| Some(c.host.relay.server), {
        offer:
            "When the service is offered: \"while-public\", while we can be reached from anywhere, \"always\" or \
            \"never\". Default \"while-public\"; tidewire relay itself is always one.",
        reservation_ttl: "How long a reservation lasts. Default 1 h (go-libp2p).",
        reservations: "Reservations. A peer has one, however often it asks. Default 128 (go-libp2p, rust-libp2p).",
        reservations_per_network:
            "Reservations per IPv4 address and per IPv6 /56. Default 8 (go-libp2p). Loopback is exempt, here and \
            from the rates.",
        reservations_per_asn: "Reservations per autonomous system. Default 32 (go-libp2p).",
        count_asn_of_ip4:
            "Whether IPv4 addresses count for their autonomous system too. Default false (go-libp2p: only IPv6 is \
            counted so, because there one customer may have as many /56 as it likes).",
        circuits: "Circuits, those included that are being opened. Default 1,024.",
        circuits_per_peer:
            "Circuits per peer, those that it began and those that lead to it counted together. Default 16 \
            (go-libp2p).",
        stop_timeout:
            "How long the destination has to answer, the opening of the stream included. Default 30 s (go-libp2p).",
        close_timeout: "How long a circuit that is being closed may count. Default 30 s.",
        acl:
            "Who may do what: the first rule that fits decides, if none does anybody may. A rule is \"allow\" or \
            \"deny\", then \"any\", \"reserve\" or \"connect\", then who asks: \"anybody\", a peer id, a network \
            (\"10.0.0.0/8\") or an autonomous system (\"AS64500\"), and for circuits perhaps \"to\" and the peer id \
            of the destination. Default none.",
        acl_timeout: "How long the application has to decide, when a rule says so. Default 10 s.",
        acl_questions: "Questions to the application that may be open. Default 256.",
        acl_questions_per_peer: "Of them, about one peer. Default 4.",
        acl_rules: "Rules that there may be. Default 1,024. All are looked at for each request.",
        announce_private:
            "Whether addresses that are not public are told to holders too: for private networks, and for tests. \
            Default false; tidewire relay does it where no public one is listened at or announced.",
        addresses: "Addresses told to holders. Default 16.",
        address_bytes:
            "Bytes of them, so that the reply with its voucher stays under the 4,096 that peers read. Default 3,072.",
        connections:
            "Connections that may be known. Default 4,194,304, the most that the connection manager allows by its \
            own formula.",
        memory:
            "Bytes at which no new reservation is given, and beyond which no new circuit is: the tables, and \
            circuit_memory for each circuit, or what its limit lets through if that is less. Default 320 MiB.",
        circuit_memory:
            "Bytes that one circuit may hold, both directions together; at least what link.circuit_window makes of it. \
            Default 640 KiB.",
        max_unpolled:
            "Actions that may wait to be polled before a further input is misuse, and time stands still. Default \
            65,536.",
    });
    section!(all, "host.relay.server.limit", "What a circuit may use.",
        |c| c.host.relay.server.clone().unwrap_or_default().limit, c.host.relay.server.get_or_insert_default().limit, {
        duration: "How long it may be open. Default 2 min (go-libp2p). \"never\": no limit.",
        data: "Bytes that may go in each direction. Default 128 KiB (go-libp2p). \"off\": no limit.",
    });
    rate!(all, server.reserve_per_peer, "host.relay.server.reserve_per_peer",
        "How often a peer may ask for reservations: 30 at once, then one every 4 s (rust-libp2p).");
    rate!(all, server.reserve_per_network, "host.relay.server.reserve_per_network",
        "How often peers of one network may: 60 at once, then one a second (rust-libp2p).");
    rate!(all, server.connect_per_peer, "host.relay.server.connect_per_peer",
        "How often a peer may ask for circuits: 30 at once, then one every 4 s (rust-libp2p).");
    rate!(all, server.connect_per_network, "host.relay.server.connect_per_network",
        "How often peers of one network may: 60 at once, then one a second (rust-libp2p).");
    section!(all, "link.relay", "The streams of relays and of AutoNAT.", |c| c.link.relay, {
        reserve: "Time for a relay to answer RESERVE. Default 60 s (go-libp2p).",
        connect: "Time for a relay to answer CONNECT; it asks the destination meanwhile. Default 60 s (go-libp2p).",
        stop:
            "Time for a destination to answer a relay. Default 30 s: half of what the source waits, so that it hears \
            why.",
        request:
            "Time for a remote that opened a stream of hop, stop or AutoNAT v1 to say what it wants. Default 60 s \
            (go-libp2p).",
        dial_me: "AutoNAT v1: time for a server to answer. Default 30 s (go-libp2p).",
        probe: "AutoNAT v2: time for a server to answer; begins anew when data is paid. Default 20 s.",
        probe_request:
            "AutoNAT v2: time for a remote to say what it wants, and again to send the data that is asked for. \
            Default 15 s (go-libp2p).",
        dial_back: "AutoNAT v2: time for a nonce, and for the word that it came. Default 5 s (go-libp2p).",
        max_tx: "AutoNAT v2: data that is paid waits while there are as many bytes to be sent. Default 16 KiB.",
        max_addresses:
            "Addresses that are kept of a reservation, or of a request of AutoNAT v1; further ones are dropped and \
            counted. Default 64.",
    });
}
