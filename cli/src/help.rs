//! What `--help` prints. One text for each command; width 110 at most.

pub(crate) const ALL: &str = "\
tidewire: a libp2p node on the command line

usage: tidewire listen [--listen ADDRESS]... [options]
       tidewire dial ADDRESS [options]
       tidewire relay [--listen ADDRESS]... [options]
       tidewire reserve RELAY [options]
       tidewire dial-circuit ADDRESS [options]
       tidewire punch RELAY PEER [options]
       tidewire autonat-server [--listen ADDRESS]... [options]
       tidewire autonat-client ADDRESS [options]
       tidewire ping ADDRESS [--count N] [options]
       tidewire demo [--json] [--size BYTES]
       tidewire id [--key FILE]
       tidewire peers --control PATH
       tidewire replay FILE
       tidewire trace FILE [--html OUT]
       tidewire config [--config FILE]

commands:
  listen        wait for connections, and serve identify, ping and echo on them
  dial          connect, ask who is there, ping three times, and have some bytes echoed
  relay         be a relay: reservations and circuits for those who can't be reached otherwise
  reserve       hold a reservation at a relay, and serve those who come through it
  dial-circuit  the same as dial, through a relay
  punch         connect through a relay, and show how that becomes a direct connection, or why not
  autonat-server, autonat-client
                tell others whether they can be reached, and ask whether we can be
  ping          connect, and measure how long an answer takes
  demo          nodes in this process, and a picture of what they say to each other
  id            who we are: the peer id that belongs to a key
  peers         what a running listen knows of its peers, and why each would stay or go
  replay        run a recording again, and see whether the node decides the same
  trace         draw a recording: who said what when, and why
  config        every limit with its default and its meaning, as a file for --config

`tidewire COMMAND --help` has the options of each. `tidewire --version` prints the version.
Exit codes: 0 all went well, 1 it did not, 2 the command line or the configuration can't be used.
";

/// The options of all commands that run a node.
macro_rules! node {
    () => {
        "  --security LIST         noise, plaintext or both, the preferred one first. Default: noise
  --muxer LIST            yamux, mplex or both, the preferred one first. Default: yamux
  --select lazy|plain     lazy goes ahead where only one protocol comes into question; plain waits for
                          every answer. Default: lazy
  --psk FILE              the key file of a private network, often called swarm.key
  --key FILE              our identity: an Ed25519 key in libp2p's protobuf. Made if it isn't there, and
                          readable for its owner alone. Without it, a new identity each time
  --seed N                an identity made from a number, the same each time. For tests: anyone can make it
  --config FILE           limits and times: see tidewire config. Options given here count more
  --log FILTER            what to log to stderr: error, warn, info, debug or trace, or for parts of the
                          program as in RUST_LOG, which is read without this. Default: warn
  --record FILE           write what the node is told and decides, for tidewire replay and trace. It has
                          peer ids, addresses and protocols in it, no keys and no data
"
    };
}

/// The options of all commands whose node others come to.
macro_rules! serving {
    () => {
        "  --announce ADDRESS      where others reach us, though we don't listen there, as behind a forwarded port.
                          May be repeated
  --max-connections N     refuse more than N connections at once. Default: the configuration's
                          host.manager.limits.established, 512
  --metrics IP:PORT       serve counters for Prometheus at http://IP:PORT/metrics
  --control PATH          a Unix socket at which tidewire peers may ask; for our user alone
  --timeout SECONDS       an upgrade may take this long. Default: 10

"
    };
}

/// The options of those that may have ports mapped.
macro_rules! mapping {
    () => {
        "  --port-mapping          have the router lead a port to us, by PCP, NAT-PMP or UPnP. What it gives is
                          announced, renewed in time, and given back at the end
  --gateway IP            which router that is. Default: that of the default route
"
    };
}

pub(crate) const LISTEN: &str = concat!(
    "\
tidewire listen: wait for connections, and serve identify, /ipfs/ping/1.0.0 and /echo/1.0.0 on them

usage: tidewire listen [--listen ADDRESS]... [options]

  --listen ADDRESS        where to listen; may be repeated. Default: /ip4/127.0.0.1/tcp/0, which is this
                          machine alone, on a port of the system's choice. For all of the machine's
                          addresses: /ip4/0.0.0.0/tcp/4001, which with --port-mapping or --auto-relay is the
                          default, on any port. At a relay: /ip4/../tcp/../p2p/RELAY/p2p-circuit
  --auto-relay RELAY...   hold a reservation at each of these relays, and be reached through them, as long
                          as nobody says that we can be dialed. A RELAY is an address as for tidewire reserve
  --no-dcutr              make no direct connections of circuits
  --private               make them over addresses that are not public too, as in laboratories
",
    mapping!(),
    serving!(),
    node!(),
    "  --json                  one JSON object a line on stdout; anything else goes to stderr
  -h, --help              this text

With --json the first line is {\"listening\": \"<address>\", \"all\": [\"<address>\", ...]}, but at a relay it comes
when there is a reservation. All other lines have a field \"event\": connected, identified, unidentified, ping,
stream, closed, failed, refused, streams_refused or announced; of relays relay_held, relay_failed, relay_lost,
circuit_refused and circuit_ended; of circuits that become direct connections punch_started, punch_stage,
punch_dialing, punch_outcome and punch_report; with --auto-relay also relay_candidate, relay_dropped, and,
whenever that has changed, auto_relay: which relays are held, and what is waited for; with --port-mapping also
port_mapping. If nobody reads them, further events are dropped.

SIGTERM or SIGINT (Ctrl-C) closes all connections and ends with exit code 0.
"
);

pub(crate) const DIAL: &str = concat!(
    "\
tidewire dial: connect, ask who is there, ping three times, and have some bytes echoed

usage: tidewire dial ADDRESS [options]

  ADDRESS                 /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW..., or with ip6, dns, dns4 or dns6 in front.
                          Without /p2p/... whoever answers is taken: a first connection asks for its name
  --size BYTES            how much to have echoed, such as 65536, 64KiB or 16MiB. Default: 1MiB
  --hold SECONDS          then stay idle for so long, serve /echo/1.0.0 meanwhile, which the peer is told,
                          and ping three times again
  --timeout SECONDS       give up when connecting, a ping, or the next bytes of the echo take longer.
                          Default: 10

",
    node!(),
    "  --json                  one JSON object on stdout; anything else goes to stderr
  -h, --help              this text

With --json it prints {\"ok\": true, \"peer\", \"security\", \"muxer\", \"connect_ms\", \"ping_ms\": [..], \"echo\":
{\"bytes\", \"ms\", \"ended\"}, \"identify\": {\"agent\", \"protocol_version\", \"protocols\", \"addresses\", \"observed\"},
\"pushes\"}, and with --hold also \"held_ms\" and \"ping_after_ms\"; or {\"ok\": false, \"error\"} and exit code 1.
\"ended\" is false if all bytes came back, but the peer never closed the stream. Of a peer that does not say
who it is, \"identify\" is {\"error\"}. \"pushes\" counts how often the peer told of a change.
"
);

pub(crate) const RELAY: &str = concat!(
    "\
tidewire relay: be a relay, with reservations and circuits for those who can't be reached otherwise

usage: tidewire relay [--listen ADDRESS]... [options]

  --listen ADDRESS        as for tidewire listen
  --data-limit BYTES      a circuit may carry so much each way, such as 65536 or 1GiB. 0: no limit.
                          Default: the configuration's host.relay.server.limit.data, 128KiB
  --duration SECONDS      a circuit may be open for so long. 0: no limit. Default: 120
  --reservations N        reservations at one time, 1 at least. Default: 128
  --ttl SECONDS           a reservation lasts so long if it is not renewed. Default: 3600
",
    mapping!(),
    serving!(),
    node!(),
    "  --json                  one JSON object a line on stdout; anything else goes to stderr
  -h, --help              this text

All other limits are in the configuration, at [host.relay.server]. Those who reserve are told our public
addresses; if there are none, and none is announced, the others.
On a terminal it shows reservations, circuits and bytes, once a second. Elsewhere it prints what listen does,
and with --json the events reservation, reservation_ended, relay_refused, circuit_opened, circuit_closed and
drained.

SIGINT (Ctrl-C) takes nothing new, and ends when the last circuit is over; a second one, or SIGTERM, ends at
once. Exit code 0.
"
);

pub(crate) const RESERVE: &str = concat!(
    "\
tidewire reserve: hold a reservation at a relay, and serve those who come through it

usage: tidewire reserve RELAY [options]

  RELAY                   /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW..., or with ip6, dns, dns4 or dns6 in front.
                          Without /p2p/... whoever answers is taken: a first connection asks for its name
  --listen ADDRESS        listen there too; may be repeated. Default: /ip4/0.0.0.0/tcp/0, all of the machine's
                          addresses on a port of the system's choice: a hole is punched from a port that
                          listens. With --no-dcutr: nowhere
  --no-dcutr              make no direct connections of circuits
  --private               make them over addresses that are not public too, as in laboratories
",
    mapping!(),
    serving!(),
    node!(),
    "  --json                  one JSON object a line on stdout; anything else goes to stderr
  -h, --help              this text

With --json it prints {\"listening\", \"all\": [..]} first, if it listens; {\"reserved\": true, \"circuit\", \"peer\",
\"renewed\", \"all\": [..], \"seconds\"} when it has a reservation, each time it was renewed, and again when it has
a new one after one was lost. A refusal is {\"reserved\": false, \"error\", \"retry_seconds\"}, and is tried again;
where that can't help, or nothing did, \"retry_seconds\" is missing, and the exit code 1. When who came through
the relay is connected directly, it prints {\"direct\": true, \"peer\", \"addr\"}. The other lines are those of
tidewire listen. A relay that can't be reached is a relay_failed there, and is tried for ever.

SIGTERM or SIGINT (Ctrl-C) closes all connections and ends with exit code 0.
"
);

pub(crate) const DIAL_CIRCUIT: &str = concat!(
    "\
tidewire dial-circuit: connect through a relay, ask who is there, ping three times, have some bytes echoed

usage: tidewire dial-circuit ADDRESS [options]

  ADDRESS                 /ip4/192.0.2.1/tcp/4001/p2p/RELAY/p2p-circuit/p2p/PEER
  --size BYTES            how much to have echoed, such as 65536, 64KiB or 16MiB. Default: 16KiB, since
                          most relays let a circuit carry no more than 128KiB
  --hold SECONDS          then stay idle for so long, and ping three times again
  --wait SECONDS          have the bytes echoed through the relay first, then wait so long for a direct
                          connection, and have them echoed over that too. 60 is enough for three tries
  --no-dcutr              do nothing towards a direct connection
  --private               use addresses that are not public for it too, as in laboratories
  --listen ADDRESS        listen there meanwhile. Default: nowhere; with --wait, unless --no-dcutr is there
                          too, /ip4/0.0.0.0/tcp/0, for a hole is punched from a port that listens
  --announce ADDRESS      where others reach us, though we don't listen there. May be repeated
  --timeout SECONDS       give up when connecting, a ping, or the next bytes of the echo take longer.
                          Default: 10

",
    node!(),
    "  --json                  one JSON object on stdout; anything else goes to stderr
  -h, --help              this text

With --json it prints what tidewire dial does, \"echo\" and \"ping_ms\" through the relay in any case, and these,
always there, and null where there is nothing: \"upgraded\", whether there is a direct connection by now; with
--wait \"upgrade_ms\", from when the circuit stood to the direct connection, \"direct_addr\", \"direct_echo\";
\"report\", all that was tried, if we had a part in it; and \"explanation\", one sentence: what
came of it, or how far it is, or that the peer reached us as we are. No direct connection is no failure: the
circuit goes on. Where it ended, and no connection is left, \"error\" says why. Exit code 1 if anything failed.
"
);

pub(crate) const PUNCH: &str = concat!(
    "\
tidewire punch: connect through a relay, and show how that becomes a direct connection, or why it does not

usage: tidewire punch RELAY PEER [options]
       tidewire punch CIRCUIT [options]

  RELAY                   /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW..., as for tidewire reserve
  PEER                    who has a reservation there: 12D3KooW...
  CIRCUIT                 both in one, as tidewire reserve prints it: RELAY/p2p-circuit/p2p/PEER
  --wait SECONDS          give up after so long. Default: 90
  --listen ADDRESS        where to listen, which is where holes are punched from. Default: /ip4/0.0.0.0/tcp/0
  --announce ADDRESS      where others reach us, though we don't listen there. May be repeated
  --private               use addresses that are not public too, as in laboratories
  --timeout SECONDS       give up when connecting takes longer. Default: 10

",
    node!(),
    "  --json                  one JSON object a line on stdout; anything else goes to stderr
  -h, --help              this text

It shows each step as it happens: where the attempt is, each address that is dialed, from which port and in
which role, and what came of it; then the whole report: the addresses of both sides and where each came from,
what was dropped and why, how long a round trip over the relay took, what the NATs probably do; and at last
one sentence. With --json the steps are events, punch_started, punch_stage, punch_dialing, punch_outcome and
punch_report, and the last line is {\"ok\", \"upgraded\", \"error\", \"upgrade_ms\", \"direct_addr\", \"report\",
\"explanation\"}, each null where there is nothing: the peer may have reached us before we did anything.
\"ok\" is what \"upgraded\" is. \"error\" says why there is no direct connection, or which signal ended it;
where there is one, that the pings over it failed.

Exit code 0 if there is a direct connection, 1 if not.
"
);

pub(crate) const AUTONAT_SERVER: &str = concat!(
    "\
tidewire autonat-server: tell others whether they can be reached, with AutoNAT v1 and v2

usage: tidewire autonat-server [--listen ADDRESS]... [options]

  --listen ADDRESS        as for tidewire listen
",
    serving!(),
    node!(),
    "  --json                  one JSON object a line on stdout; anything else goes to stderr
  -h, --help              this text

It dials those who ask back, at public addresses; at any, if it has no public one itself. A peer may ask three
times a minute with v1, twelve times with v2. With --json it prints what tidewire listen does.

SIGTERM or SIGINT (Ctrl-C) closes all connections and ends with exit code 0.
"
);

pub(crate) const AUTONAT_CLIENT: &str = concat!(
    "\
tidewire autonat-client: ask a server whether we can be reached, with AutoNAT v1 and v2

usage: tidewire autonat-client ADDRESS [options]

  ADDRESS                 the server's, as for tidewire dial
  --listen ADDRESS        where to listen, and to be dialed back. Default: /ip4/127.0.0.1/tcp/0, and with
                          --announce nowhere
",
    serving!(),
    node!(),
    "  --json                  one JSON object on stdout; anything else goes to stderr
  -h, --help              this text

It asks about the addresses that are listened on and announced; about those that are not public only a server
that is dialed at such a one. With --json it prints {\"ok\": true, \"peer\", \"v1\": {\"reachability\"}, \"v2\":
{\"reachability\", \"addresses\": [{\"address\", \"reachability\"}]}}: public, private, or unknown with \"error\". If
both are unknown, or the server can't be asked, \"ok\" is false, with \"error\", and the exit code 1. It takes up
to 40 seconds: servers of version 1 keep it to themselves for a while that a dial failed.
"
);

pub(crate) const PING: &str = concat!(
    "\
tidewire ping: connect, and measure how long an answer takes

usage: tidewire ping ADDRESS [options]

  ADDRESS                 as for tidewire dial
  -c, --count N           how many pings. Default: 5
  -i, --interval SECONDS  from one ping to the next. Default: 1
  --timeout SECONDS       give up when connecting, or an answer, takes longer. Default: 10

",
    node!(),
    "  --json                  one JSON object on stdout; anything else goes to stderr
  -h, --help              this text

Exit code 0 if every ping was answered, 1 if one was not. Ctrl-C ends it early, and still counts.
With --json it prints {\"ok\", \"peer\", \"agent\", \"sent\", \"answered\", \"rtt_ms\": [..], \"min_ms\", \"avg_ms\",
\"max_ms\", \"mdev_ms\"}, with \"error\" where something failed. These are round trips of /ipfs/ping/1.0.0, all on
one stream if the peer allows it.
"
);

pub(crate) const DEMO: &str = "\
tidewire demo: nodes in one process, and a picture of what they say to each other

usage: tidewire demo [--json] [--size BYTES] [--config FILE] [--record FILE]

  --size BYTES            how much to have echoed at the end, such as 64KiB or 1GiB. Default: 64MiB
  --config FILE           limits and times of both nodes: see tidewire config
  --record FILE           write what the dialing node was told and decided in the first chapter, for
                          tidewire replay and tidewire trace
  --json                  one JSON object a line on stdout, the last one with \"ok\"
  -h, --help              this text

It uses TCP on 127.0.0.1 and nothing else. What it shows is what both nodes reported while it happened.
";

pub(crate) const ID: &str = "\
tidewire id: who we are, the peer id that belongs to a key

usage: tidewire id [--key FILE | --seed N] [--json]

  --key FILE              an Ed25519 key in libp2p's protobuf. Made if it isn't there, and readable for its
                          owner alone. Without it, a new key that is thrown away
  --seed N                the identity that belongs to a number. For tests: anyone can make it
  --json                  {\"peer\", \"type\", \"public_key\"}, the key in its protobuf as hexadecimal digits
  -h, --help              this text
";

pub(crate) const PEERS: &str = "\
tidewire peers: what a running tidewire listen knows of its peers

usage: tidewire peers --control PATH [--json]

  --control PATH          the socket that tidewire listen --control PATH has made
  --json                  one JSON object a line: first the node, then each peer
  -h, --help              this text

Shows each connected peer: its program, its connections with direction, transport, round trip and streams, its
value and tags, and why it would be closed, or would not, when there are too many. And of the node itself:
each address that it might announce, and why it does, or does not.
";

pub(crate) const CONFIG: &str = "\
tidewire config: every limit, its default and its meaning

usage: tidewire config [--config FILE]

  --config FILE           show what comes of this file, rather than the defaults
  -h, --help              this text

Prints a TOML file. Change what you like in it, leave out what you don't, and give it to any command with
--config.
Times are written \"10s\", \"1m30s\" or \"250ms\"; \"never\" and \"off\" switch off what can be switched off.
";

pub(crate) const REPLAY: &str = "\
tidewire replay: run a recorded node again, step by step, and see whether it decides the same

usage: tidewire replay FILE [--from STEP] [--json]

  FILE                    what --record of another command has written
  --from STEP             show the steps from this one on; those before it are run all the same. Default: 0
  --json                  one JSON object a line, the last one with the verdict
  -h, --help              this text

Exit code 0 if every decision was the same and the recording is whole, 1 if not.
";

pub(crate) const TRACE: &str = "\
tidewire trace: draw a recording, who said what when, and why; or a simulated world, packet by packet

usage: tidewire trace FILE [--html OUT]

  FILE                    what --record of another command has written, or the file that tidewire-sim leaves
                          of a world in which a test failed
  --html OUT              write a page that needs nothing else, rather than to the terminal; of a recording
  -h, --help              this text

Peers are columns, messages are arrows; decisions stand there with their reasons. Of a simulated world hosts
and gateways are columns, packets are arrows. COLUMNS says how wide the terminal is, 110 without it.
";
