//! What can be set of AutoNAT and AutoRelay. The words are those of the fields' own docs, shortened.

use super::{Entry, Section, Value, rate, section};

#[rustfmt::skip]
pub(super) fn sections(all: &mut Vec<Section>) {
    section!(all, "host.relay", "Relays and reachability.", |c| c.host.relay, {
        max_probes: "Dials for AutoNAT servers at once. Default 32.",
        goodbye:
            "How long a shutdown waits for the last words of connections through relays, before it closes those to the \
            relays. Default 1 s.",
    });
    section!(all, "host.relay.auto_relay", "How the relays of tidewire listen --auto-relay are held; without the option none is.",
        |c| Some(c.host.relay.auto_relay), {
        relays: "Relays at which a reservation is held; at least those that are named. Default 3.",
        min_candidates: "Candidates kept at hand beyond those in use. Default 3.",
        max_candidates: "Candidates from a source that are remembered, those in use included. Default 20 (go-libp2p).",
        max_left_alone: "Peers that are left alone, and forgotten otherwise because others took their places. Default 256.",
        boot_delay:
            "From the start to the first choice, so that there is one, and that we may yet turn out to be public. \
            Named relays don't wait for it. Default 20 s.",
        whole_boot_delay:
            "Whether the whole of it is waited for, or only until there are min_candidates that will do. Default true.",
        candidate_age:
            "A candidate that the source has not named again for so long is forgotten, unless it is in use. Default \
            30 min (go-libp2p).",
        backoff:
            "A relay that refused, or is none, is left alone for so long; one that fails again and again, at most so \
            long. Default 1 h (go-libp2p).",
        first_backoff:
            "A relay that was lost, or can't be reached, is left alone for so long; doubles with each time in a row. \
            Default 10 s.",
        settled: "A relay that was held for so long, and is lost, begins a new row of failures. Default 60 s.",
        static_backoff: "Greatest such time of a named relay, refusals included. Default 5 min.",
        probe_timeout: "Time for a candidate to be connected and identified. Default 20 s (go-libp2p).",
        reserve_timeout: "Time for a relay to give a reservation. Default 10 s (go-libp2p).",
        probes: "Candidates that are being connected at one time. Default 4.",
        find_interval: "Least time between two questions to the source while relays are missing. Default 30 s (go-libp2p).",
        find_spare_interval: "The same while only candidates are missing. Default 10 min.",
        discover: "Whether the source is asked at all: this program has none. Default true.",
        candidate_addresses: "Addresses that are kept of a candidate. Default 16.",
        advertise: "Whether we advertise ourselves while we are a public relay. Default true.",
        rendezvous: "Under which key. Default /libp2p/relay.",
        advertise_boot_delay: "From becoming a public relay to the first advertisement. Default 30 s.",
        advertise_ttl: "How long an advertisement shall last; it is renewed after 7/8 of that. Default 30 min.",
        advertise_retry: "After an advertisement that failed the next is tried after so long. Default 2 min.",
        advertise_changed: "After a change of our addresses we advertise ourselves anew after so long. Default 30 s.",
        announce_public:
            "Which public addresses of our own are announced while relays are held: \"always\" all, \
            \"unless-private\" all as long as nobody said that we are private, \"verified\" those that were verified \
            one by one. Default \"unless-private\".",
        announce_private:
            "Whether the other ones are, so that peers in the same network come directly. Default true (go-libp2p).",
        max_addresses: "Addresses that are announced. Default 100 (go-libp2p).",
        max_told_addresses: "Addresses of each list (ours, verified, circuits) that are looked at. Default 1,024.",
        connections: "Connections that may be known. Default 4,194,304.",
        max_unpolled:
            "Actions that may wait to be polled before a further input is misuse, and time stands still. Default 4,096.",
    });
    section!(all, "host.relay.autonat_v1", "Asking others whether we can be reached: AutoNAT v1.", |c| Some(c.host.relay.autonat_v1), {
        boot_delay:
            "From the start to the first question: first there must be peers and addresses. Default 15 s (go-libp2p). \
            \"never\" asks nobody.",
        retry: "Between questions as long as the answer isn't sure. Default 90 s (go-libp2p).",
        refresh: "Between questions once it is. Default 15 min (go-libp2p).",
        request_timeout: "Time for a server to answer. Default 30 s (go-libp2p).",
        server_pause: "A server that was asked is left alone for so long. Default 90 s (go-libp2p).",
        confidence:
            "How many answers beyond the first make it sure; as many against it are needed to lose that again. \
            Default 3 (go-libp2p).",
        max_addresses: "Addresses in one question; a message has at most 4 KiB. Default 16.",
        max_servers: "Connections to servers that are remembered. Default 256.",
        max_unpolled: "Actions that may wait to be polled before another input is misuse. Default 1,024.",
    });
    section!(all, "host.relay.autonat_v2", "The same of each address: AutoNAT v2.", |c| Some(c.host.relay.autonat_v2), {
        window: "Votes on an address that count, the newest. Default 5 (go-libp2p).",
        agreeing:
            "By how many votes one side must lead for an answer; as many are needed to take one back. Default 2 \
            (go-libp2p). At 1 a single server decides.",
        target: "By how many votes one side must lead to be left alone until the recheck. Default 3 (go-libp2p).",
        failures_per_server:
            "How often one server's word that an address can't be reached counts in a window. Default 1.",
        vote_lifetime: "A vote counts for so long. Default 5 h (go-libp2p).",
        recheck: "An address that is sure is asked about again after so long. Default 1 h (go-libp2p).",
        backoff_first: "After a question that brought no vote, its first address waits so long... Default 5 s (go-libp2p).",
        backoff_max: "...twice as long each time, at most so long. Default 5 min (go-libp2p).",
        max_refusals: "After so many servers in a row that would not dial an address... Default 5 (go-libp2p).",
        refused_pause: "...it isn't asked about for so long. Default 10 min (go-libp2p).",
        server_pause: "A server that was asked is left alone for so long. Default 2 min (go-libp2p).",
        at_once: "Questions at one time, one to a server. Default 5 (go-libp2p). 0 asks nobody.",
        answer_timeout: "Time for a server to answer; begins anew when it wants data. Default 20 s.",
        dial_back_timeout:
            "How long a dial-back may come after the answer that claims it: they travel on two connections. Default \
            5 s (go-libp2p).",
        max_cost:
            "The most bytes that are sent for a dial at another IP address than the one we are seen with. Default \
            100,000, the most that the spec lets servers ask for. 0: nothing is ever sent.",
        max_addresses: "Addresses that are followed; further ones are passed over. Default 50 (go-libp2p).",
        max_asked: "Addresses in one question. Default 10 (go-libp2p). At most 50: servers read no more.",
        max_servers: "Connections to servers that are remembered. Default 256.",
        allow_private:
            "Whether addresses in private networks and on this machine are asked about. Default false.",
        max_unpolled: "Actions that may wait to be polled before another input is misuse. Default 1,024.",
    });
    section!(all, "host.relay.autonat_v1_server", "What tidewire autonat-server gives with version 1; no other command is one.",
        |c| Some(c.host.relay.autonat_v1_server), {
        max_requests: "Requests at one time. Default 64.",
        request_timeout: "Time for a peer to say what it wants, once it is let in. Default 60 s (go-libp2p).",
        dial_timeout:
            "Time for the dial. A failure is told only when it is over, so that the answer doesn't show a closed \
            port from a silent one. Default 15 s (go-libp2p).",
        max_addresses: "Addresses that are dialed for one request. Default 16 (go-libp2p).",
        dial_observed:
            "Whether the address that the request comes from is dialed too, before the others. Default true \
            (go-libp2p).",
        transports: "What can be dialed. Default \"tcp\".",
        allow_private:
            "Whether peers in private networks and on this machine are served. Default false; tidewire \
            autonat-server does it where it listens on no public address.",
        max_unpolled: "Actions that may wait to be polled before another input is misuse. Default 1,024.",
    });
    rate!(all, autonat_v1_server.rate, "host.relay.autonat_v1_server.rate",
        "Requests of all together: 30 at once, then one every 2 s (go-libp2p: 30 a minute).");
    rate!(all, autonat_v1_server.peer_rate, "host.relay.autonat_v1_server.peer_rate",
        "Requests of one peer: 3 at once, then one every 20 s (go-libp2p: 3 a minute).");
    section!(all, "host.relay.autonat_v2_server", "The same with version 2.", |c| Some(c.host.relay.autonat_v2_server), {
        per_peer: "Requests of one peer at one time. Default 2 (go-libp2p).",
        max_requests: "Requests at one time. Default 64.",
        stream_timeout:
            "Time for a peer to say what it wants once it is let in, and again to send the data that is asked for. \
            Default 15 s (go-libp2p).",
        dial_timeout: "Time for the dial and its handshake. Default 10 s (go-libp2p).",
        dial_back_timeout: "Time to bring the nonce once connected. Default 5 s (go-libp2p).",
        min_data: "The least that is asked for before another IP is dialed. Default 30,000 bytes.",
        max_data: "The most that is asked for. Default 100,000 bytes.",
        max_wait:
            "After the data, the dial waits for up to so long, so that many servers can't be made to dial a victim \
            at one moment. Default 3 s (go-libp2p).",
        transports: "What can be dialed. Default \"tcp\".",
        names: "Whether addresses that are names are dialed: this program resolves none. Default false.",
        allow_private:
            "Whether addresses in private networks and on this machine are dialed, and peers from there served. \
            Default false; tidewire autonat-server does it where it listens on no public address.",
        ipv4: "Whether IPv4 addresses can be dialed. Default true.",
        ipv6: "The same of IPv6. Default false.",
        max_unpolled: "Actions that may wait to be polled before another input is misuse. Default 1,024.",
    });
    rate!(all, autonat_v2_server.rate, "host.relay.autonat_v2_server.rate",
        "Requests of all together: 60 at once, then one a second (go-libp2p: 60 a minute).");
    rate!(all, autonat_v2_server.peer_rate, "host.relay.autonat_v2_server.peer_rate",
        "Requests of one peer: 12 at once, then one every 5 s (go-libp2p: 12 a minute).");
}
