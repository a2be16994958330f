"""`reserve --dcutr` and `dial-circuit --wait`: circuits that become direct connections."""

import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.relay.circuit_v2.config import RelayRole
from libp2p.relay.circuit_v2.dcutr import DCUtRProtocol
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from common import describe, ping, short_name, show, since
from echo import ECHO, run_echo, serve_echo
from node import build_host
from options import Options

# How often the connections are looked at: the library has no event for a new one.
LOOK_S = 0.005
# By then the relay has said how it sees us.
SEEN_S = 10


@asynccontextmanager
async def punching(host) -> AsyncIterator[DCUtRProtocol]:
    protocol = DCUtRProtocol(host)
    async with background_trio_service(protocol):
        await protocol.event_started.wait()
        yield protocol


async def be_seen(host, relay: Multiaddr) -> None:
    """What it offers, it makes of the address that the relay sees: that has to be known before."""
    await host.connect(info_from_p2p_addr(relay))
    with trio.move_on_after(SEEN_S):
        while not host._observed_addr_manager.addrs(min_observers=1):
            await trio.sleep(LOOK_S)
        return
    raise ConnectionError("the relay did not say how it sees us")


def is_relayed(connection) -> bool:
    return any("/p2p-circuit" in str(address) for address in connection.get_transport_addresses())


def direct_connections(host, but) -> list:
    """With anyone but the relay, as (peer, connection)."""
    network = host.get_network()
    peers = [peer for peer in host.get_connected_peers() if peer != but]
    return [(peer, each) for peer in peers for each in network.get_connections(peer) if not is_relayed(each)]


def address_of(connection) -> str:
    return str(next(iter(connection.get_transport_addresses()), ""))


async def tell_direct(host, relay: Multiaddr) -> None:
    """A line for each direct connection."""
    through, told = info_from_p2p_addr(relay).peer_id, set()
    while True:
        await trio.sleep(LOOK_S)
        for peer, connection in direct_connections(host, through):
            if id(connection) not in told:
                told.add(id(connection))
                show({"direct": True, "peer": str(peer), "addr": address_of(connection)})


async def dial_upgraded(options: Options, circuits) -> dict:
    target = Multiaddr(options.target)
    relay = target.decapsulate(Multiaddr("/p2p-circuit"))
    host = build_host(options)
    host.set_stream_handler(ECHO, serve_echo)
    async with host.run([Multiaddr(options.listen)]), circuits(host, RelayRole.STOP) as transport, punching(host):
        await be_seen(host, relay)
        start = time.perf_counter()
        connection = await transport.dial(target)
        connect_ms, established = since(start), time.perf_counter()
        muxed = connection.muxed_conn
        peer, through = muxed.peer_id, info_from_p2p_addr(relay).peer_id
        seen: list = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, host, through, established, seen)
            pings = await ping(host, peer)
            echoed = await echo(host, peer, options.size)
            while not seen and since(established) < options.wait * 1000:
                await trio.sleep(LOOK_S)
            nursery.cancel_scope.cancel()
        result = {
            "ok": True,
            "peer": str(peer),
            "security": short_name(muxed.negotiated_security_protocol),
            "muxer": short_name(muxed.negotiated_muxer_protocol),
            "connect_ms": connect_ms,
            "ping_ms": pings,
            "upgraded": bool(seen),
        }
        if not seen:
            return {**result, "echo": await echo(host, peer, options.size)}
        direct, took = seen[0]
        return {
            **result,
            "echo": echoed,
            "upgrade_ms": took,
            "direct_addr": address_of(direct),
            "direct_echo": await echo_directly(host, peer, options.size),
        }


async def watch(host, through, established: float, seen: list) -> None:
    while not seen:
        seen.extend((connection, since(established)) for _, connection in direct_connections(host, through))
        await trio.sleep(LOOK_S)


async def echo(host, peer, size: int) -> dict:
    start = time.perf_counter()
    stream = await host.new_stream(peer, [ECHO])
    return {"bytes": await run_echo(stream, size, duplex=True), "ms": since(start)}


async def echo_directly(host, peer, size: int) -> dict:
    """A stream goes over any of the connections, so the circuits are closed first."""
    for connection in host.get_network().get_connections(peer):
        if is_relayed(connection):
            try:
                await connection.close()
            except Exception as error:
                print(f"closing the circuit: {describe(error)}", file=sys.stderr)
    return await echo(host, peer, size)
