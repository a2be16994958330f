//! What can be set of hole punches. The words are those of the fields' own docs, shortened.

use super::{Entry, Order, Section, Value, section};
use std::time::Duration;
use tidewire_dcutr::coordinator::Config;
use tidewire_tokio::NodeConfig;

/// Far more than anybody needs, each of them a series of dials: what is beyond is a mistake.
const MAX_TRIES: u32 = 100;
const MAX_UNITS: u32 = 100;
const MAX_ADDRESSES: usize = 256;
const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

pub(super) const ORDERS: &[Order] = &[
    order("wait_floor", "wait_cap", |c| fits(c, |c| c.wait_floor <= c.wait_cap)),
    order("datagram_min", "datagram_max", |c| fits(c, |c| c.datagram_min <= c.datagram_max)),
    order("backoff", "max_backoff", |c| fits(c, |c| c.backoff <= c.max_backoff)),
];

const fn order(least: &'static str, most: &'static str, fits: fn(&NodeConfig) -> bool) -> Order {
    Order { key: "host.punching", least, most, fits }
}

fn fits(config: &NodeConfig, ordered: fn(&Config) -> bool) -> bool {
    config.host.punching.as_ref().is_none_or(ordered)
}

#[rustfmt::skip]
pub(super) fn sections(all: &mut Vec<Section>) {
    section!(all, "host.punching", "How direct connections are made of relayed ones. --no-dcutr switches it off.",
        |c| Some(c.host.punching), {
        tries: "Tries of a series. Default 3 (the spec: two more after the first)." in 1..=MAX_TRIES,
        direct_timeout: "Time for plain dials of the peer's addresses before the first try. Default 10 s (go-libp2p)." in Duration::ZERO..=HOUR,
        stream_timeout:
            "Time for a stream: one side waits so long for the other's CONNECT, which waits so long for SYNC. Default \
            20 s: more than rust-libp2p's 10 s for the whole exchange, and than the 10 s for which py-libp2p dials \
            directly before it answers." in MILLISECOND..=HOUR,
        punch_timeout:
            "Time for the dials of a try, upgrade included. Default 10 s: go-libp2p's 5 s for the transport, and room \
            for the longest wait of a role and for a handshake." in MILLISECOND..=HOUR,
        settle_timeout:
            "Time for a direct connection to be proven to both ends, or lost, before the attempt is taken to have \
            succeeded for now. Default 30 s." in MILLISECOND..=HOUR,
        wait_floor:
            "The unit of the waits below is the relay's round trip, but at least this. Default 100 ms: what two dials \
            that cross may be apart." in MILLISECOND..=MINUTE,
        wait_cap: "And at most this. Default 1 s, so that the longest wait leaves time for a handshake." in MILLISECOND..=MINUTE,
        wait_unknown: "The unit as long as no round trip was measured. Default 300 ms." in MILLISECOND..=MINUTE,
        dial_a_waits:
            "How many units the dial of the side that came through the relay listens before it proposes, from its \
            second CONNECT on. Default 1." in 0..=MAX_UNITS,
        accepted_waits: "The same for a connection that is accepted while a punch is expected. Default 3." in 0..=MAX_UNITS,
        dial_b_waits: "The same for the dials of the side that was reached through the relay. Default 6." in 0..=MAX_UNITS,
        max_timer:
            "Half of the measured round trip is waited between SYNC and the dials (the spec), but at most this. \
            Default 5 s: a CONNECT that took longer says little." in MILLISECOND..=MINUTE,
        datagram_min: "Least time between two datagrams to one QUIC address. Default 10 ms (the spec)." in MILLISECOND..=MINUTE,
        datagram_max: "Greatest. Default 200 ms (the spec)." in MILLISECOND..=MINUTE,
        datagram_time: "For how long they are sent. Default 5 s (go-libp2p)." in Duration::ZERO..=HOUR,
        max_listens: "Addresses of the peer's identify message that are kept. Default 16.",
        max_own: "Candidates of ours that are kept. Default 32.",
        max_told: "Addresses of one CONNECT that are looked at. Default 32, as many as an exchange keeps.",
        max_window_ips: "IP addresses of one peer from which connections are expected during a punch. Default 8.",
        dial_as_a:
            "Whether a peer that we reached through a relay is dialed at its public addresses when the application \
            asks for a punch: only the other side may open the stream. Default true.",
        backoff:
            "After a series that failed, the next one with the peer starts no sooner than this; doubles with each in \
            a row. Default 1 min.",
        max_backoff: "And no later than this. Default 1 h.",
        connects: "CONNECTs of one peer that are answered at once. Default 6: two series.",
        connect_interval: "Beyond that, one each such interval. Default 10 s.",
        max_attempts: "Attempts at one time; further ones of ours wait, those of others are reset. Default 64.",
        max_peers:
            "Peers that are remembered: those with a relayed connection, and those with whom a series failed lately. \
            Default 4,096. Beyond it, peers are not punched.",
        max_connections:
            "Connections that may be known. Default 4,194,304, the most that the connection manager allows by its \
            own formula.",
        max_unpolled:
            "Actions that may wait to be polled before a further input is misuse, and time stands still. Default \
            4,096.",
    });
    section!(all, "host.punching.addresses", "Which addresses are told and dialed for a hole punch, and how many.",
        |c| c.host.punching.clone().unwrap_or_default().addresses,
        c.host.punching.get_or_insert_default().addresses, {
        allow_private:
            "Whether addresses that are not public are used as well, for peers in one network, and for laboratories: \
            --private. Never those that reach nobody. Default false: a remote could have us dial around in our own \
            network.",
        allow_names: "Whether names are used as well; whoever dials resolves them. Default false.",
        tcp: "Whether TCP is punched. Default true.",
        quic: "Whether QUIC is punched. Default false: this program has no QUIC.",
        max:
            "Most addresses that are kept. Default 8: each is a socket on a try, and go-libp2p dials 8 addresses of a \
            peer at once." in 1..=MAX_ADDRESSES,
        max_per_ip:
            "Most ports of one IP address and transport that are kept, so that nobody has us scan another's ports. \
            Default 4: an observed port, and three predicted ones." in 1..=MAX_ADDRESSES,
        max_dropped: "Most dropped addresses that are named in a report; the others are counted. Default 16.",
    });
    section!(all, "link.dcutr", "The streams of hole punches.", |c| c.link.dcutr, {
        message: "Time for each message of the remote. Default 20 s: py-libp2p dials for 10 s before it answers.",
        whole: "Time for the whole exchange, what we take to decide included. Default 60 s (go-libp2p's for the stream).",
        max_addresses: "Addresses that are kept of a CONNECT; further ones are dropped and counted. Default 32.",
    });
}
