//! What can be set of the node and its host. The words are those of the fields' own docs, shortened.

use super::{Entry, Section, Value, section};

#[rustfmt::skip]
pub(super) fn sections(all: &mut Vec<Section>) {
    section!(all, "", "The node.", |c| c, {
        close_timeout:
            "How long a closed connection may take to send what is left, and to hear that the remote closed too. \
            Default 2 s.",
        request_timeout:
            "Time for a whole request, from opening its stream to the last byte of the answer. Default 60 s.",
        max_incoming: "Streams of one protocol that wait for whoever serves it; further ones are reset. Default 256.",
        max_events: "Events that wait for one who listens to them; the oldest are missed. Default 1,024.",
        interfaces: "How often the machine's interfaces are looked at. Default 10 s.",
    });
    section!(all, "host", "The host: it decides.", |c| c.host, {
        protocol_version:
            "Which family of protocols we belong to, for identify. Default ipfs/0.1.0, as the peers have it.",
        agent: "Which program we are, for identify. Default tidewire/ and the version.",
        identify: "Ask each peer who it is. Default true.",
        push:
            "Tell peers when what we say of ourselves changed; and those that we reached through a relay at once and \
            unasked, if holes are punched. Default true.",
        identify_ttl:
            "How long addresses are believed that a peer said of itself, counted from its last word. Default 2 h.",
        reuse_port: "Dial from the ports on which we listen, so that others see them. Default true.",
        refusals_interval:
            "What is refused is told at once, and what is refused within so long after it is told together, with its \
            number. Default 1 s.",
        max_opening: "Streams that are to be opened and wait for a connection or for its link. Default 4,096.",
        max_listeners: "Listeners. Default 64.",
        max_listen_addresses: "Addresses of all listeners together. Default 256.",
    });
    section!(all, "host.manager", "The connection manager: who stays, who goes, whom to dial.", |c| c.host.manager, {
        max_unpolled:
            "Actions that may wait to be polled before a further input is misuse, and time stands still. One input \
            may go beyond it: a shutdown says as much as there are connections. Default 65,536.",
    });
    section!(all, "host.manager.worth", "Watermarks, grace, tags: who goes when there are too many.", |c| c.host.manager.worth, {
        low:
            "A trim leaves this many connections that may be closed: of peers that are neither protected nor in \
            their grace, which are not counted here. 0 switches trimming off. Default 160 (go-libp2p).",
        high:
            "A trim begins at this many connections, protected ones and those in their grace included. 0 switches \
            trimming off. Default 192 (go-libp2p).",
        grace:
            "A connection this young is not closed by a trim, nor are others to the same peer. Default 60 s \
            (go-libp2p).",
        silence:
            "Time between two trims, those that found nobody to close included; at least a millisecond. Default 10 \
            s (go-libp2p).",
        early_tags_ttl: "How long tags of a peer without a connection are kept, from the first one on. Default 60 s.",
        max_early:
            "Peers without a connection whose tags are kept; with more, the least valuable one's are dropped, the \
            oldest among equals. Default 1,024.",
        max_tags: "Tags of one peer, decaying ones included. Default 32.",
        max_protections: "Reasons for protection of one peer. Default 32.",
        max_protected_absent:
            "Peers without a connection whose protection is remembered. When one more loses its last connection, \
            the one that has been without for the longest is forgotten; protecting one more that has none is an \
            error. Default 4,096.",
        max_decaying: "Definitions of decaying tags. Default 64.",
        max_name: "Bytes of a tag's or a protection's name. Default 64.",
        resolution:
            "Values decay at multiples of this: a tag's interval is rounded up to one. Default 60 s (go-libp2p).",
    });
    section!(all, "host.manager.limits", "Hard caps on connections, streams, memory and rates; \"off\" switches one off. M is the memory, F the file \
        descriptors that a formula begins with: 1 GiB and 1,024.", |c| c.host.manager.limits, {
        pending_inbound: "Incoming connections that are not upgraded yet. established / 8, 8 to 4,096: 64.",
        pending_outbound:
            "Dials under way, their upgrades included. established x 5/16, 8 to 4,096: 160 (go-libp2p's dials at \
            once).",
        established:
            "Established connections, both directions. The hard cap: at it, a more valuable newcomer evicts. The \
            lesser of F / 2 and M / 512 KiB, 16 to 4,194,304: 512. So all connections together, pending ones \
            included, take at most 4/5 of the file descriptors, from 64 on; and half of the memory if each buffers \
            256 KiB.",
        established_inbound:
            "Established connections that the remote opened. Off: nobody is evicted at this one, so that at it \
            worthless peers would keep valuable ones out.",
        established_outbound: "Established connections that we opened. Off, likewise.",
        established_per_peer: "Established connections with one peer, those being closed not counted. 8 (go-libp2p).",
        per_ip4:
            "Connections, pending and established, per IPv4 address (/32). 8 (go-libp2p). Loopback is exempt from \
            all three.",
        per_ip6_56: "Connections, pending and established, per IPv6 /56. 8 (go-libp2p).",
        per_ip6_48: "Connections, pending and established, per IPv6 /48. 64 (go-libp2p).",
        inbound_interval:
            "Incoming connections per IP (/32 and /56), as a rate: one is let in each such interval, beyond the \
            burst. 200 ms: 5 a second (js-libp2p's per host). \"0s\" switches it off. Loopback is exempt.",
        inbound_burst: "Incoming connections per IP that may come at once, at least 1. 16.",
        inbound_rate_entries:
            "IPs whose rate is remembered, at most 110 bytes each. When full, the one that would be forgotten first \
            goes, so that a flood from many addresses frees those that use their rate least. M / 128 KiB, 256 to \
            1,048,576: 8,192. 0: off.",
        streams: "Streams, both directions, of all connections. M / 64 KiB, 256 to 16,777,216: 16,384.",
        streams_inbound:
            "Streams that remotes opened. 3/4 of streams, so that remotes can't take the places of our own: 12,288.",
        streams_outbound: "Streams that we opened. As streams: 16,384.",
        streams_per_connection: "Streams of one connection, per direction. streams / 16, 64 to 1,024: 1,024.",
        streams_per_peer: "Streams with one peer, per direction. streams / 16, 64 to 1,024: 1,024.",
        streams_per_protocol: "Streams of one protocol, per direction. streams / 2: 8,192.",
        streams_per_protocol_peer:
            "Streams of one protocol with one peer, per direction. streams / 64, 16 to 256: 256.",
        protocols:
            "Names of protocols that are counted apart at one time; streams of others count as one protocol \
            together. 256.",
        protocol_name: "Bytes of a protocol's name; streams of one with a longer name count with the others. 256.",
        memory: "Bytes that may be reserved in all. M / 8 (go-libp2p), at least 2 MiB: 128 MiB.",
        memory_per_peer:
            "Bytes that may be reserved for one peer, its connections included. memory / 8, at most 256 MiB: 16 \
            MiB.",
        memory_per_connection: "Bytes that may be reserved for one connection. memory / 8, at most 64 MiB: 16 MiB.",
    });
    section!(all, "host.manager.dial", "How peers are dialed.", |c| c.host.manager.dial, {
        address_timeout: "Time for one address. Default 15 s (go-libp2p).",
        local_timeout: "Time for one address that is private or on this machine. Default 5 s (go-libp2p).",
        peer_timeout: "Time for a peer, all addresses together, for each who wants it. Default 60 s (go-libp2p).",
        file_descriptors:
            "Dials at one time that take a file descriptor (all but QUIC and its kin). Default 160 (go-libp2p), at \
            most a quarter of what there are.",
        at_once: "Dials at one time, all together. Default 640.",
        per_peer: "Dials at one time to one peer. Default 8 (go-libp2p).",
        max_addresses: "Addresses of one peer that are considered; the best ranked stay. Default 64.",
        max_listed:
            "Addresses of one peer that a job remembers and reports, those that are not dialed among them. Default \
            256.",
        max_jobs: "Peers that are dialed or wait for it. Default 1,024.",
        max_requests: "Callers that wait for one peer. Default 256.",
        max_unpolled: "Actions that may wait to be polled before another request is misuse. Default 65,536.",
        backoff_base: "Backoff after the first failure at an address. Default 5 s (go-libp2p).",
        backoff_coefficient:
            "Backoff is the base plus this times the square of the failures before. Default 1 s (go-libp2p).",
        backoff_max: "Greatest backoff, before the jitter. Default 5 min (go-libp2p).",
        backoff_jitter:
            "Each backoff is longer by up to this many percent, from the seed, so that many peers don't return all \
            at once. Default 25.",
        max_backoffs: "Addresses in backoff that are remembered; the one that ends first goes. Default 8,192.",
        black_hole_window: "Black holes: of the last so many dials over UDP, or to IPv6... Default 100 (go-libp2p).",
        black_hole_successes: "...at least so many must succeed. Default 5 (go-libp2p).",
        black_hole_probe:
            "In a black hole, one dial in so many is made all the same, to notice its end. Default 100 (go-libp2p).",
        max_rules: "Rules of the gate. Default 4,096.",
    });
    section!(all, "host.manager.dial.delays", "The delays between addresses of one peer.", |c| c.host.manager.dial.delays, {
        public_tcp: "Between steps of public addresses over TCP. Default 250 ms.",
        public_quic: "Between steps of public addresses over QUIC. Default 250 ms.",
        private_tcp: "Between steps of private addresses over TCP. Default 30 ms.",
        private_quic: "Between steps of private addresses over QUIC. Default 30 ms.",
        relayed: "Before relayed addresses, if there are public ones. Default 500 ms.",
        other:
            "Before public and relayed addresses over transports that are neither TCP nor QUIC, and second choices. \
            Default 1 s.",
        private_other: "The same of private addresses. Default 100 ms.",
    });
    section!(all, "host.manager.duplicates", "How many connections a pair of peers may have.", |c| c.host.manager.duplicates, {
        per_peer: "Connections that a pair may keep. Default 1. 0 is taken as 1; \"off\" switches the rule off.",
        grace:
            "How long a superseded connection that we initiated drains before it is closed, streams or not. Default \
            5 s.",
        long_grace:
            "How long one that the remote initiated, and that has no streams, waits until we close it in its place. \
            \"never\": for ever. Default 2 min: the remote, if it follows the rule, closed it long before.",
        budget:
            "Closes by this rule for one peer within the window, after which duplicates are tolerated. Default 3. \
            0: never close; \"off\": never tolerate.",
        window: "The window. Default 10 min. Below 1 s it is taken as 1 s.",
        max_connections:
            "Most connections of one pair that are ranked; further ones are left alone. Default 16. Below 2 it is \
            taken as 2.",
    });
    section!(all, "host.manager.keep_alive", "Pings and idle connections.", |c| c.host.manager.keep_alive, {
        ping_interval:
            "Time from one answer to the next ping, and from the opening to the first. \"never\" switches pings of \
            our own off. Default 30 s.",
        ping_timeout_min:
            "Least time for an answer, at least 1 ms; it wins if it is above the greatest. Default 5 s (js-libp2p).",
        ping_timeout_max: "Greatest time for an answer, and that of the first ping. Default 60 s (js-libp2p).",
        ping_timeout_tenths:
            "The time for an answer is this many tenths of the smoothed RTT, within the two above. Default 12 \
            (js-libp2p: 1.2).",
        idle:
            "A connection without streams and data for this long is closed, unless its peer is marked keep-alive; \
            at least 1 ms. \"never\" switches it off. Default \"never\".",
    });
    section!(all, "host.manager.reconnect", "Redialing of peers that are marked keep-alive.", |c| c.host.manager.reconnect, {
        tries: "Tries before giving up. With 0 a lost peer is given up at once. Default 5 (js-libp2p).",
        first_delay: "Delay before the first try; doubles with each. Default 1 s (js-libp2p).",
        max_delay:
            "Greatest delay. Up to a quarter of the delay is added to every one, so that peers who lost each other \
            together don't all dial together. Default 60 s.",
        settled:
            "A connection that lasts this long ends the tries: once it is lost, they begin anew. One that is lost \
            sooner counts as a try that failed, so that a peer that lets us in and hangs up at once is not dialed \
            for ever. Default 10 s.",
        at_once: "Peers redialed at one time. With 0 none ever is. Default 5 (js-libp2p).",
        max_peers: "Peers marked keep-alive. Default 1,024.",
    });
    section!(all, "host.manager.metadata", "What is remembered about peers.", |c| c.host.manager.metadata, {
        max_peers:
            "Peers about whom anything is remembered, connected ones not counted. The one touched longest ago goes \
            first. Default 10,000.",
        max_bytes:
            "Bytes of all that is remembered about peers, connected ones not counted. Again the one touched longest \
            ago goes first. Default 32 MiB. Of a connected peer as much is remembered as the caps below allow: 76 \
            kB with the defaults.",
        max_addresses: "Addresses of one peer. Default 64.",
        max_address: "Bytes of an address. Longer ones are not taken. Real ones stay below 300. Default 512.",
        max_protocols: "Protocols of one peer. Default 128 (go-libp2p's peer store).",
        max_protocol_name: "Bytes of a protocol's name. Longer ones are left out. Default 256.",
        max_agent: "Bytes of the agent. Longer ones are cut. Default 128.",
        max_ttl: "Most that an address may be believed without being told again. Default 24 h.",
        connected_ttl:
            "How long an address that a connection was made to is believed after the connection, and how long at \
            least what a peer said of itself is remembered after it. Default 30 min (go-libp2p: recently \
            connected, 15 to 30 min).",
    });
    section!(all, "host.addresses", "At which addresses others reach us.", |c| c.host.addresses, {
        max_external: "Addresses beyond our interfaces that are known. Default 256.",
        delay: "Changes within this time are told together. Default 1 s.",
    });
    section!(all, "host.addresses.observed", "Where others see us.", |c| c.host.addresses.observed, {
        activation: "Observers that must agree. Default 4 (go-libp2p).",
        max_externals:
            "Addresses that are confirmed at one time for one listening port; those with most observers. Default 3 \
            (go-libp2p).",
        linger:
            "How long an address stays confirmed that too few see now. It spares the peers a push each time that a \
            connection closes. Default 10 min.",
        max_observations: "Connections whose observation is remembered; further ones are ignored. Default 1,024.",
        max_per_observer: "Of these, connections of one observer. Default 8, as many as one network may have.",
        max_listening: "Listening addresses; further ones are ignored. Default 64.",
    });
    section!(all, "host.addresses.policy", "What is announced.", |c| c.host.addresses.policy, {
        extra: "Addresses that are announced in any case, first and in this order. No filter applies.",
        deny:
            "Not announced: addresses, networks (\"10.0.0.0/8\"), transports (\"tcp\", \"quic-v1\", ..) or \
            \"relayed\".",
        private:
            "Whether private addresses are announced: peers in the same network can use them. Default true \
            (go-libp2p).",
        link_local:
            "Whether link-local addresses are. They need a zone, which means nothing elsewhere. Default false.",
        loopback:
            "Whether loopback addresses are. \"never\", \"alone\": if there is nothing else, or \"always\". Default \
            \"alone\".",
        unroutable:
            "Whether addresses that no router carries are: of documentation, reserved, multicast. For networks that \
            are simulated. Default false.",
        max: "Most addresses that are announced. Default 100.",
    });
    section!(all, "record", "What --record writes; without it nothing is recorded.", |c| Some(c.record), {
        max_buffer:
            "Bytes that wait to be written to the file. If more wait, the recording ends; the node goes on. Default 1 \
            MiB.",
        max_bytes: "Bytes of the whole recording. Default 1 GiB.",
        state_every:
            "After how many steps the host's state is noted down, to be compared by a replay. 0: never. Default 64.",
    });
}
