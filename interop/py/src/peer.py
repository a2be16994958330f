"""
A py-libp2p peer: `listen` serves ping and echo, `dial` runs both against an address; circuits are in circuit.py. JSON lines
on stdout, everything else on stderr. The command line is described in ../README.md.
"""

import logging
import sys
import time
from functools import partial

import trio
from libp2p.identity.identify_push.identify_push import push_identify_to_peers
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

import circuit
from common import STOP_TIMEOUT_S, describe, leave_after, ping, short_name, show, since, stop_event
from echo import ECHO, run_echo, serve_echo
from node import build_host
from options import Options, parse

DIAL_TIMEOUT_S = 20
# Served from a while after the connection on, so that identify has something to push.
LATER = "/interop/later/1.0.0"
LATER_S = 2


async def listen(options: Options) -> int:
    stop = stop_event()
    host = build_host(options)
    host.set_stream_handler(ECHO, serve_echo)
    async with host.run([Multiaddr(options.listen)]):
        addresses = host.get_addrs()
        if not addresses:
            raise OSError(f"nothing listens on {options.listen}")
        show({"listening": str(addresses[0]), "all": [str(address) for address in addresses]})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell_identified, host, options.later)
            await stop.wait()
            nursery.cancel_scope.cancel()
        leave_after(STOP_TIMEOUT_S, 0)
    return 0


async def tell_identified(host, later: bool) -> None:
    """A line for each peer that said who it is, and for each that told of a change: the library has no event for it."""
    told: dict = {}
    began = None
    while True:
        await trio.sleep(0.1)
        for peer in host.get_connected_peers():
            began = began or trio.current_time()
            identity = known(host, peer)
            if identity["protocols"] and told.get(peer) != identity:
                told[peer] = identity
                show({"identified": identity})
        if later and began and trio.current_time() >= began + LATER_S:
            later = False
            await serve_later(host)


async def serve_later(host) -> None:
    """py-libp2p pushes new addresses by itself, new protocols not."""
    host.set_stream_handler(LATER, serve_echo)
    await push_identify_to_peers(host)


def known(host, peer) -> dict:
    """What identify has told of a peer so far."""
    store = host.get_peerstore()

    def ask(question):
        try:
            return question()
        except Exception:  # it knows nothing yet
            return None

    return {
        "peer": str(peer),
        "agent": ask(lambda: store.get(peer, "agent_version")),
        "protocols": sorted(ask(lambda: store.get_protocols(peer)) or []),
        "addresses": sorted(str(address) for address in ask(lambda: store.addrs(peer)) or []),
    }


async def dial(options: Options) -> int:
    if options.lazy:
        show({"ok": False, "error": "py-libp2p can not select lazily: its dialer always waits for the answer"})
        return 1
    return await report(run_dial, options)


async def report(work, options: Options) -> int:
    try:
        with trio.fail_after(DIAL_TIMEOUT_S + options.hold + options.wait):
            result = await work(options)
    except Exception as error:
        show({"ok": False, "error": describe(error)})
        leave_after(STOP_TIMEOUT_S, 1)
        return 1
    show(result)
    leave_after(STOP_TIMEOUT_S, 0)
    return 0


async def run_dial(options: Options) -> dict:
    target = info_from_p2p_addr(Multiaddr(options.target))
    host = build_host(options)
    async with host.run([]):
        start = time.perf_counter()
        await host.connect(target)
        connect_ms = since(start)
        muxed = host.get_network().get_connections(target.peer_id)[0].muxed_conn
        muxer = short_name(muxed.negotiated_muxer_protocol)

        pings = await ping(host, target.peer_id)

        start = time.perf_counter()
        stream = await host.new_stream(target.peer_id, [ECHO])
        received = await run_echo(stream, options.size, duplex=muxer != "mplex")
        result = {
            "ok": True,
            "peer": str(target.peer_id),
            "security": short_name(muxed.negotiated_security_protocol),
            "muxer": muxer,
            "connect_ms": connect_ms,
            "ping_ms": pings,
            "echo": {"bytes": received, "ms": since(start)},
        }
        if options.hold:
            start = time.perf_counter()
            await trio.sleep(min(LATER_S, options.hold))
            await serve_later(host)
            await trio.sleep(max(0, options.hold - LATER_S))
            result["held_ms"] = since(start)
            result["ping_after_ms"] = await ping(host, target.peer_id)
        return {**result, "identify": known(host, target.peer_id)}


COMMANDS = {
    "listen": listen,
    "dial": dial,
    "relay": circuit.relay,
    "reserve": circuit.reserve,
    "dial-circuit": partial(report, circuit.dial_circuit),
}


def main() -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    options = parse(sys.argv[1:])
    try:
        return trio.run(COMMANDS[options.command], options)
    except Exception as error:
        print(describe(error), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
