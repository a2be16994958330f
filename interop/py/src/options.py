"""The command line that every interop peer shares; see ../README.md."""

import argparse
from dataclasses import dataclass
from pathlib import Path

SECURITY = ("noise", "plaintext")
MUXERS = ("yamux", "mplex")


@dataclass
class Options:
    command: str
    target: str | None
    listen: str
    security: list[str]
    muxers: list[str]
    psk: Path | None
    seed: int | None
    size: int
    lazy: bool
    hold: int
    later: bool
    data_limit: int
    duration: int
    reservations: int
    ttl: int
    announce: str | None
    dcutr: bool
    wait: int


def parse(argv: list[str]) -> Options:
    """Reads the arguments; an unusable one ends the program with exit code 2."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--security", type=_names(SECURITY), default=["noise"],
                        help="noise or plaintext, or both by preference, separated by a comma")
    shared.add_argument("--muxer", type=_names(MUXERS), default=["yamux"], help="yamux or mplex, likewise")
    shared.add_argument("--psk", type=Path, help="private network key, in the swarm.key format")
    shared.add_argument("--seed", type=_whole, help="a fixed identity for tests")

    parser = argparse.ArgumentParser(prog="peer")
    commands = parser.add_subparsers(dest="command", required=True)
    listen = commands.add_parser("listen", parents=[shared], help="serve ping and echo")
    listen.add_argument("--listen", default="/ip4/127.0.0.1/tcp/0", metavar="MULTIADDR")
    listen.add_argument("--later", action="store_true", help="serve one more protocol a while after the first connection")
    dial = commands.add_parser("dial", parents=[shared], help="ping and echo against an address")
    dial.add_argument("target", metavar="MULTIADDR")
    dial.add_argument("--size", type=_whole, default=1024 * 1024, metavar="BYTES")
    dial.add_argument("--hold", type=_whole, default=0, metavar="SECONDS", help="stay idle afterwards, then ping again")
    way = dial.add_mutually_exclusive_group()
    way.add_argument("--lazy", action="store_true", help="refused: py-libp2p always waits for the answer")
    way.add_argument("--plain", action="store_true", help="the only way py-libp2p dials")

    relay = commands.add_parser("relay", parents=[shared], help="serve circuit relay v2")
    relay.add_argument("--listen", default="/ip4/127.0.0.1/tcp/0", metavar="MULTIADDR")
    relay.add_argument("--data-limit", type=_whole, default=0, metavar="BYTES", help="of a circuit; 0: no limit")
    relay.add_argument("--duration", type=_whole, default=0, metavar="SECONDS", help="of a circuit; 0: no limit")
    relay.add_argument("--reservations", type=_whole, default=1024, metavar="N")
    relay.add_argument("--ttl", type=_whole, default=3600, metavar="SECONDS", help="of a reservation")
    relay.add_argument("--announce", metavar="MULTIADDR", help="say this instead of the listening address")
    reserve = commands.add_parser("reserve", parents=[shared], help="reserve at a relay, then serve over it")
    reserve.add_argument("target", metavar="RELAY")
    reserve.add_argument("--listen", default="/ip4/127.0.0.1/tcp/0", metavar="MULTIADDR", help="with --dcutr")
    reserve.add_argument("--dcutr", action="store_true", help="listen, and make circuits direct")
    circuit = commands.add_parser("dial-circuit", parents=[shared], help="dial through a relay, ping and echo")
    circuit.add_argument("target", metavar="MULTIADDR")
    circuit.add_argument("--size", type=_whole, default=1024 * 1024, metavar="BYTES")
    circuit.add_argument("--hold", type=_whole, default=0, metavar="SECONDS", help="stay idle afterwards, then ping again")
    circuit.add_argument("--listen", default="/ip4/127.0.0.1/tcp/0", metavar="MULTIADDR", help="with --wait")
    circuit.add_argument("--wait", type=_whole, default=0, metavar="SECONDS", help="listen, and wait for a direct connection")

    args = parser.parse_args(argv)
    return Options(
        command=args.command,
        target=getattr(args, "target", None),
        listen=getattr(args, "listen", ""),
        security=args.security,
        muxers=args.muxer,
        psk=args.psk,
        seed=args.seed,
        size=getattr(args, "size", 0),
        lazy=getattr(args, "lazy", False),
        hold=getattr(args, "hold", 0),
        later=getattr(args, "later", False),
        data_limit=getattr(args, "data_limit", 0),
        duration=getattr(args, "duration", 0),
        reservations=getattr(args, "reservations", 0),
        ttl=getattr(args, "ttl", 0),
        announce=getattr(args, "announce", None),
        dcutr=getattr(args, "dcutr", False),
        wait=getattr(args, "wait", 0),
    )


def _names(known: tuple[str, ...]):
    def read(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{' or '.join(known)}, not \"{name}\"")
        return names

    return read


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a whole number, not \"{text}\"")
    return int(text)
