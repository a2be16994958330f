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
