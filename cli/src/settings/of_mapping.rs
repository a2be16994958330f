//! What can be set of ports mapped at the router. The words are those of the fields' own docs, shortened.

use super::{Entry, Section, Value, section};

#[rustfmt::skip]
pub(super) fn sections(all: &mut Vec<Section>) {
    section!(all, "port_mapping", "How the router is asked to lead ports to us: --port-mapping; without the option it is not.",
        |c| Some(c.port_mapping), {
        gateway:
            "The router, such as \"192.168.1.1\": --gateway. Default \"off\": that of the default route, which is known \
            on Linux and Android; elsewhere name it, or have it found by UPnP.",
        announced_at:
            "Where the router's words to all hosts are heard. Default \"224.0.0.1:5350\" (RFC 6886 section 3.2.1, RFC \
            6887 section 14.1). \"off\": nowhere; that a router restarted is noticed at the next renewal.",
        look: "How often the default route is looked at. Default 10 s.",
        give_back:
            "How long giving everything back may take at the end. Default 1 s. What the router did not hear of by then \
            it forgets when the lifetime is over.",
    });
    section!(all, "port_mapping.mapper", "PCP and NAT-PMP.",
        |c| c.port_mapping.clone().unwrap_or_default().mapper, c.port_mapping.get_or_insert_default().mapper, {
        router_port: "The router's port. Default 5351. Another one is for tests.",
        lifetime: "How long a mapping is asked for. Default 2 h (RFC 6886 section 3.3).",
        max_lifetime:
            "Whatever a router gives, it is renewed at least once in this time. Default 24 h (RFC 6887 section 15).",
        nat_pmp_wait:
            "The first wait for an answer of NAT-PMP; doubles each time. Default 250 ms (RFC 6886 section 3.1).",
        pcp_wait: "The first wait for an answer of PCP; doubles each time. Default 3 s (RFC 6887 section 8.1.1).",
        nat_pmp_tries:
            "How often NAT-PMP asks before it is said that nobody answers. Default 9 (RFC 6886 section 3.1), which takes \
            128 s.",
        pcp_tries:
            "The same of PCP, and as long as it isn't known what the router speaks. Default 5, in 93 s.",
        first_pause:
            "How long nothing is asked after nobody answered, or after an error without a time of its own; doubles each \
            time. Default 1 min.",
        max_pause:
            "The longest such pause, and the longest that an error's own time is heeded. Default 30 min (RFC 6887 section \
            7.4).",
        min_pause: "The shortest such pause. Default 30 s (RFC 6887 section 7.4).",
        min_renewal: "The least time between two tries to renew. Default 4 s (RFC 6887 section 11.2.1).",
        announced_wait:
            "After the router said to all that it restarted, the longest wait before it is asked again, so that not all \
            hosts ask at once. Default 5 s (RFC 6887 section 14.1.3).",
        max_mappings: "Ports that are mapped at one time. Default 32.",
        max_unpolled: "Actions that may wait to be polled before nothing more is taken in. Default 256.",
    });
    #[cfg(feature = "upnp")]
    section!(all, "port_mapping.upnp", "UPnP, for routers that speak neither PCP nor NAT-PMP.",
        |c| c.port_mapping.clone().unwrap_or_default().upnp.unwrap_or_default(),
        c.port_mapping.get_or_insert_default().upnp.get_or_insert_default(), {
        after:
            "How long nobody answers in PCP or NAT-PMP before UPnP is tried. Default 5 s: enough for three questions. \
            \"never\": without UPnP.",
        search: "How long a router is searched for. Default 5 s.",
        lease: "How long a mapping is asked for; it is renewed at half of that. Default 1 h.",
        first_pause: "The pause after a search or a mapping that failed; doubles each time. Default 1 min.",
        max_pause: "The longest such pause. Default 30 min.",
        search_at: "Where routers are searched. Default \"239.255.255.250:1900\". Another one is for tests.",
        trusted:
            "Where a router's description may be, beside the address from which it answered: whoever answers a search \
            could name any server. Default: nowhere else.",
    });
}
