//! What can be set of connections: upgrade, multiplexers, identify, ping. The words are those of the fields' own docs.

use super::{Entry, Section, Value, section};

/// The limits of a negotiation: one table for each place where protocols are agreed on.
#[rustfmt::skip]
macro_rules! negotiation {
    ($all:ident, $key:literal, $title:literal, |$c:ident| $place:expr) => {
        section!($all, $key, $title, |$c| $place, {
            max_frame:
                "Bytes of one frame that the remote sends, with its newline, without its length. Default 1024, as \
                go-libp2p and js-libp2p have it (rust-libp2p takes 16383).",
            max_proposals:
                "Names that a dialer may be asked to propose. Default 64: each costs a round trip, and real lists have \
                fewer than 10.",
            max_rounds:
                "How often a listener answers with na or a list before it gives up. Default 64, to serve every list \
                that max_proposals allows on the other side. (go-libp2p is bounded by its timeout alone, rust-libp2p \
                not at all.)",
            max_list:
                "Bytes of an answer to ls, sent or received. Default 16383: what a two-byte length holds, and the \
                longest frame that rust-libp2p reads. An answer of ours ends before the first name that doesn't fit.",
            max_listed: "Names that an answer to ls may bring. Default 256.",
            max_tx:
                "Above this many bytes that wait to be sent, a machine reads nothing that it would have to answer. \
                Default 16 KiB.",
            timeout:
                "From the first call until the negotiation must be over. Default 10 s, as rust-libp2p and js-libp2p \
                have it. \"never\" is for callers that have a deadline of their own.",
            eager_header:
                "Whether a listener sends its header at once, before anything came. Default false: it then goes out in \
                answer to the remote's header, in the same flight as the answer to a proposal that came along, as the \
                spec recommends. true is what go-libp2p and py-libp2p do; it helps a dialer that insists on reading \
                first.",
        });
    };
}

#[rustfmt::skip]
pub(super) fn sections(all: &mut Vec<Section>) {
    section!(all, "link", "Each connection: identify and ping on it.", |c| c.link, {
        max_inside:
            "Streams of the protocols inside (identify, push, ping) that the remote may have open; further ones are \
            reset. Default 16.",
        max_pings: "Pings of the remote at once. Default 2 (libp2p/specs ping/ping.md).",
        push_burst: "Pushes that the remote may send in quick succession. Default 10.",
        push_interval: "Beyond the burst, one push in this time; others are reset. Default 2 s.",
        max_exchanges:
            "Streams of relays and of AutoNAT that the remote may have open while it is not answered; further ones \
            are reset. Circuits are counted by the relay. Default 32: twice the circuits that go-libp2p gives a peer.",
        max_waiting: "Streams that were asked for and wait until the multiplexer can open them. Default 64.",
        write_timeout:
            "Time for writing an identify message, and for the remote to end its side of such a stream, or of a \
            ping's. Default 5 s (go-libp2p).",
        leave_timeout:
            "Time for the remote to end its side of a stream that the application left; then it is reset. Default \
            60 s.",
        memory_step:
            "The limits of memory hear of what a connection keeps for its remote, unread data above all, each time that \
            it changed by about so many bytes. Default 64 KiB.",
        max_stream_window:
            "Largest receive window of a yamux stream, where that of upgrade.muxer.yamux is not smaller: a quarter of \
            limits.memory_per_connection, as it is by default. Default 4 MiB.",
        circuit_window:
            "Largest receive window of a yamux stream that is a circuit; 256 KiB at least. It bounds the rate too: one \
            window in a round trip. Default 256 KiB.",
        muxer_keep_alive:
            "Whether yamux too pings when nothing comes, as upgrade.muxer.yamux says. Default false: the connection \
            manager pings.",
    });
    section!(all, "link.identify", "What a peer may say of itself.", |c| c.link.identify, {
        max_bytes:
            "Bytes of all messages of a stream together, with the lengths of all but the last. More is an error, \
            before they are waited for. Default 8 KiB.",
        max_messages: "Messages of one stream. One more is an error. Default 10.",
        timeout: "Time for all of it. What is complete by then counts. Default 5 s.",
        max_protocols: "Protocols that are kept; further ones are dropped. Default 128.",
        max_protocol_name: "Bytes of a protocol's name; longer ones are dropped. Default 256.",
        max_addresses:
            "Addresses that are kept, of the listed and of the signed ones each; further ones are dropped. Default \
            64.",
        max_address: "Bytes of an address; longer ones are dropped. Real ones stay below 300. Default 512.",
        max_text: "Bytes of the agent and of the protocol version; longer ones are cut. Default 128.",
    });
    section!(all, "link.ping", "Pings, both ends.", |c| c.link.ping, {
        timeout:
            "Time for an answer. Default 60 s, which is the most that the connection manager waits; it gives up \
            earlier where it knows the round-trip time.",
        idle:
            "Time that a remote may let pass between two pings, and before the first. Default 30 s: go-libp2p has \
            10 s, but rust-libp2p pings every 15 s over one stream, and would lose it each time.",
        max_tx:
            "Bytes that may wait to be sent before an echo stops reading: a remote that doesn't take its answers \
            isn't read on. Default 1 KiB.",
    });
    section!(all, "upgrade", "How connections are upgraded.", |c| c.upgrade, {
        securities: "Security protocols, the preferred one first. \"noise\", \"plaintext\". Default \"noise\".",
        muxers: "Stream multiplexers, the preferred one first. \"yamux\", \"mplex\". Default \"yamux\".",
        selection:
            "Whether to go ahead where only one protocol comes into question. \"lazy\" goes ahead, \"plain\" waits. \
            Default \"lazy\". Applies to the security protocol and to the multiplexer. With a peer that has the \
            same lists, a connection then takes 3 round trips from TCP's first packet to the first answered byte.",
        early_muxer:
            "Whether to announce the multiplexers inside the security handshake, which saves a round trip. Default \
            true. libp2p/specs connections/inlined-muxer-negotiation.md.",
        timeout:
            "From the first call until the upgrade must be over. Default 10 s, as rust-libp2p and js-libp2p have \
            it.",
        crypto:
            "Who computes: \"rustcrypto\", \"awslc\" and others, as far as they are compiled in. Default: the \
            fastest.",
    });
    negotiation!(all, "upgrade.multistream", "Agreeing on the security protocol and the multiplexer.", |c| c.upgrade.multistream);
    section!(all, "upgrade.muxer.yamux", "yamux.", |c| c.upgrade.muxer.yamux, {
        max_inbound_streams:
            "Streams that the remote may have open; further ones are reset. Default 512, as rust-yamux and \
            go-libp2p.",
        max_outbound_streams: "Streams that we may have open. Default 512.",
        max_unacknowledged:
            "Streams of ours that the remote has not acknowledged. Default 256: libp2p yamux spec, \"ACK backlog\".",
        accept_backlog:
            "Streams of the remote that the application has neither read from nor written to; further ones are \
            reset. Default 256: libp2p yamux spec, \"ACK backlog\".",
        max_stream_window:
            "Largest receive window of a stream, in bytes. Windows begin with 256 KiB and grow to this while the \
            application keeps up; no more than 256 KiB here turns growing off. Default 16 MiB, as go-yamux.",
        max_narrow_window: "The same for circuits; link.circuit_window goes before it. Default 256 KiB.",
        max_connection_window:
            "Receive windows of all streams together, in bytes: what the remote can make us keep if nobody reads. A \
            new stream takes 256 KiB of it, and is refused where that is not left. Default 256 MiB.",
        max_frame: "Longest frame that we send, in bytes of payload. Default 64 KiB.",
        max_tx:
            "Bytes that wait to be sent, above which nothing is written and no stream is opened. At least 64. \
            Default 256 KiB.",
        max_replies:
            "How far answers (pongs, refusals) may go beyond max_tx before the machine takes no more input. Two \
            ends that both write as much as they can must still hear each other, so this is not 0. At least 64. \
            Default 64 KiB.",
        keep_alive: "Ping when nothing came for this long. \"never\" switches it off. Default 30 s, as go-yamux.",
        pong_timeout:
            "The connection fails when neither the answer to a ping nor anything else comes for this long. Default \
            10 s, as go-yamux. \"never\" switches it off.",
    });
    section!(all, "upgrade.muxer.mplex", "mplex.", |c| c.upgrade.muxer.mplex, {
        max_streams:
            "Streams at a time, whoever opened them. Those that the remote opens beyond are reset. Default 512, as \
            rust-libp2p's yamux has it. (js-libp2p's mplex takes 1024 in each direction, rust-libp2p's 128.)",
        max_stream_buffer:
            "Unread bytes of one stream, before it is reset. Default 4 MiB, as js-libp2p's mplex has it: four \
            frames of the largest size.",
        max_connection_buffer:
            "Unread bytes of all streams, before the one for which more arrive is reset. Default 16 MiB: four \
            streams at their cap.",
        max_frame:
            "Payload of one frame that the remote may send. A longer one ends the connection, before any of it is \
            buffered. Default 1 MiB: mplex spec, \"Writing to a stream\".",
        split:
            "Payload of one frame that we send; longer writes are split, so that one stream does not hold up the \
            others. Default 16 KiB, as rust-libp2p's yamux splits. At least 1; more than 1 MiB is taken as 1 MiB \
            (spec).",
        max_tx:
            "Bytes that wait to be sent: writes fill at most, and above which nothing is answered either: what asks \
            for an answer then waits, and all behind it. One answer, of at most 10 bytes, may pass it. Default 256 \
            KiB: a few records of the largest size.",
        max_name:
            "Length of a stream's name. A longer one ends the connection. Names are for debugging (spec, \"Opening \
            a new stream\"); they are skipped, never buffered. Default 1024 bytes, as long as a protocol name may \
            be where peers negotiate one.",
    });
    section!(all, "upgrade.connection", "Connections, once they are upgraded.", |c| c.upgrade.connection, {
        max_negotiations:
            "Streams of each end that may be in negotiation at once; further ones of the remote are reset. Default \
            256.",
    });
    negotiation!(all, "upgrade.connection.negotiation", "Agreeing on each stream's protocol.", |c| c.upgrade.connection.negotiation);
}
