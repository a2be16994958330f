//! What `--help` prints. One text for each command; width 100 at most.

pub(crate) const ALL: &str = "\
tidewire: secured, multiplexed libp2p connections from the command line

usage: tidewire listen [--listen ADDRESS]... [options]
       tidewire dial ADDRESS [options]
       tidewire demo [--json] [--size BYTES]

commands:
  listen   wait for connections, and serve ping and echo on them
  dial     connect, ping three times, and have some bytes echoed
  demo     both in this process, and a picture of what they say to each other

`tidewire COMMAND --help` has the options of each. `tidewire --version` prints the version.
Exit codes: 0 all went well, 1 it did not, 2 the command line can't be used.
";

pub(crate) const LISTEN: &str = "\
tidewire listen: wait for connections, and serve /ipfs/ping/1.0.0 and /echo/1.0.0 on them

usage: tidewire listen [--listen ADDRESS]... [options]

  --listen ADDRESS        where to listen; may be repeated. Default: /ip4/127.0.0.1/tcp/0, which is this
                          machine alone, on a port of the system's choice. For all of the machine's
                          addresses: /ip4/0.0.0.0/tcp/4001
  --max-connections N     refuse more than N connections at once. Default: 1024
  --timeout SECONDS       an upgrade may take this long. Default: 10

  --security LIST         noise, plaintext or both, the preferred one first. Default: noise
  --muxer LIST            yamux, mplex or both, the preferred one first. Default: yamux
  --select lazy|plain     lazy goes ahead where only one protocol comes into question; plain waits for
                          every answer. Default: lazy
  --psk FILE              the key file of a private network, often called swarm.key
  --key FILE              our identity: an Ed25519 key in libp2p's protobuf. Made if it isn't there, and
                          readable for its owner alone. Without it, a new identity each time
  --seed N                an identity made from a number, the same each time. For tests: anyone can make it
  --json                  one JSON object a line on stdout; anything else goes to stderr
  -h, --help              this text

With --json the first line is {\"listening\": \"<address>\", \"all\": [\"<address>\", ...]}. Each line after it has
a field \"event\": connected, stream, closed or failed. If nobody reads them, further events are dropped.

SIGTERM or SIGINT (Ctrl-C) closes all connections and ends with exit code 0.
";

pub(crate) const DIAL: &str = "\
tidewire dial: connect, ping three times, and have some bytes echoed

usage: tidewire dial ADDRESS [options]

  ADDRESS                 /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW..., or with ip6, dns, dns4 or dns6 in front.
                          Without /p2p/... whoever answers is taken
  --size BYTES            how much to have echoed, such as 65536, 64KiB or 16MiB. Default: 1MiB
  --hold SECONDS          then stay idle for so long, and ping three times again
  --timeout SECONDS       give up when connecting, a ping, or the next bytes of the echo take longer.
                          Default: 10

  --security LIST         noise, plaintext or both, the preferred one first. Default: noise
  --muxer LIST            yamux, mplex or both, the preferred one first. Default: yamux
  --select lazy|plain     lazy goes ahead where only one protocol comes into question; plain waits for
                          every answer. Default: lazy
  --psk FILE              the key file of a private network, often called swarm.key
  --key FILE              our identity: an Ed25519 key in libp2p's protobuf. Made if it isn't there, and
                          readable for its owner alone. Without it, a new identity each time
  --seed N                an identity made from a number, the same each time. For tests: anyone can make it
  --json                  one JSON object on stdout; anything else goes to stderr
  -h, --help              this text

With --json it prints {\"ok\": true, \"peer\", \"security\", \"muxer\", \"connect_ms\", \"ping_ms\": [..], \"echo\":
{\"bytes\", \"ms\", \"ended\"}}, and with --hold also \"held_ms\" and \"ping_after_ms\"; or {\"ok\": false, \"error\"}
and exit code 1. \"ended\" is false if all bytes came back, but the peer never closed the stream.
";

pub(crate) const DEMO: &str = "\
tidewire demo: a listener and a dialer in one process, and a picture of what they say to each other

usage: tidewire demo [--json] [--size BYTES]

  --size BYTES            how much to have echoed at the end, such as 64KiB or 1GiB. Default: 64MiB
  --json                  one JSON object a line on stdout, the last one with \"ok\"
  -h, --help              this text

It uses TCP on 127.0.0.1 and nothing else. What it shows is what both ends reported while it happened.
";
