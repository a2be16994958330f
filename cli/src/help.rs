//! What `--help` prints. One text for each command; width 110 at most.

pub(crate) const ALL: &str = "\
tidewire: a libp2p node on the command line

usage: tidewire listen [--listen ADDRESS]... [options]
       tidewire dial ADDRESS [options]
       tidewire ping ADDRESS [--count N] [options]
       tidewire demo [--json] [--size BYTES]
       tidewire id [--key FILE]
       tidewire peers --control PATH
       tidewire replay FILE
       tidewire trace FILE [--html OUT]
       tidewire config [--config FILE]

commands:
  listen   wait for connections, and serve identify, ping and echo on them
  dial     connect, ask who is there, ping three times, and have some bytes echoed
  ping     connect, and measure how long an answer takes
  demo     two nodes in this process, and a picture of what they say to each other
  id       who we are: the peer id that belongs to a key
  peers    what a running listen knows of its peers, and why each would stay or go
  replay   run a recording again, and see whether the node decides the same
  trace    draw a recording: who said what when, and why
  config   every limit with its default and its meaning, as a file for --config

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

pub(crate) const LISTEN: &str = concat!(
    "\
tidewire listen: wait for connections, and serve identify, /ipfs/ping/1.0.0 and /echo/1.0.0 on them

usage: tidewire listen [--listen ADDRESS]... [options]

  --listen ADDRESS        where to listen; may be repeated. Default: /ip4/127.0.0.1/tcp/0, which is this
                          machine alone, on a port of the system's choice. For all of the machine's
                          addresses: /ip4/0.0.0.0/tcp/4001
  --max-connections N     refuse more than N connections at once. Default: the configuration's
                          host.manager.limits.established, 512
  --metrics IP:PORT       serve counters for Prometheus at http://IP:PORT/metrics
  --control PATH          a Unix socket at which tidewire peers may ask; for our user alone
  --timeout SECONDS       an upgrade may take this long. Default: 10

",
    node!(),
    "  --json                  one JSON object a line on stdout; anything else goes to stderr
  -h, --help              this text

With --json the first line is {\"listening\": \"<address>\", \"all\": [\"<address>\", ...]}. Each line after it has
a field \"event\": connected, identified, unidentified, ping, stream, closed, failed, refused, streams_refused
or announced. If nobody reads them, further events are dropped.

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
tidewire demo: two nodes in one process, and a picture of what they say to each other

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
tidewire trace: draw a recording, who said what when, and why

usage: tidewire trace FILE [--html OUT]

  FILE                    what --record of another command has written
  --html OUT              write a page that needs nothing else, rather than to the terminal
  -h, --help              this text

Peers are columns, messages are arrows; decisions stand there with their reasons. COLUMNS says how wide the
terminal is, 110 without it.
";
