"""`relay`, `reserve` and `dial-circuit`: circuit relay v2, all three parts."""

import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import trio
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.relay.circuit_v2.config import RelayConfig, RelayRole
from libp2p.relay.circuit_v2.protocol import PROTOCOL_ID, CircuitV2Protocol
from libp2p.relay.circuit_v2.resources import RelayLimits
from libp2p.relay.circuit_v2.transport import CircuitV2Transport
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from common import STOP_TIMEOUT_S, leave_after, ping, short_name, show, since, stop_event
from echo import ECHO, run_echo, serve_echo
from node import build_host
from options import Options
from punch import be_seen, dial_upgraded, punching, tell_direct

MANY = 4096
# The library takes 0, unlimited in the spec, for no bytes at all: once a circuit has no budget of its own, it counts against
# that of the reservation.
UNLIMITED_BYTES = 1 << 50
# How often a lost relay is tried again, and how often a reservation is looked at: the library has no event for either.
AGAIN_S = 0.5
# How long a reservation may take before it is tried anew.
PATIENCE_S = 5
LOOK_S = 0.2


async def relay(options: Options) -> int:
    stop = stop_event()
    host = build_host(options)
    host.set_stream_handler(ECHO, serve_echo)
    limits = RelayLimits(
        duration=options.duration,
        data=options.data_limit or UNLIMITED_BYTES,
        max_circuit_conns=MANY,
        max_reservations=options.reservations,
        reservation_ttl=options.ttl,
    )
    async with host.run([Multiaddr(options.listen)]), circuits(host, RelayRole.HOP, limits):
        addresses = [f"{address}/p2p/{host.get_id()}" for address in host.get_transport_addrs()]
        if not addresses:
            raise OSError(f"nothing listens on {options.listen}")
        show({"listening": addresses[0], "all": addresses})
        await stop.wait()
        leave_after(STOP_TIMEOUT_S, 0)
    return 0


async def reserve(options: Options) -> int:
    """Renewals are the library's, half a minute before the end; after a lost connection this reserves again."""
    stop = stop_event()
    host = build_host(options)
    host.set_stream_handler(ECHO, serve_echo)
    through = info_from_p2p_addr(Multiaddr(options.target))
    said = {"reserved": True, "circuit": f"{options.target}/p2p-circuit/p2p/{host.get_id()}", "peer": str(host.get_id())}
    listens = [Multiaddr(options.listen)] if options.dcutr else []
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(host.run(listens))
        transport = await stack.enter_async_context(circuits(host, RelayRole.STOP))
        if options.dcutr:
            await stack.enter_async_context(punching(host))
            await be_seen(host, Multiaddr(options.target))
        nursery = await stack.enter_async_context(trio.open_nursery())
        if options.dcutr:
            nursery.start_soon(tell_direct, host, Multiaddr(options.target))
        if not await reserve_once(host, transport, through, nursery):
            show({"reserved": False, "error": "the relay refused, or did not answer; the library says it in its log"})
            leave_after(STOP_TIMEOUT_S, 1)
            return 1
        show({**said, "renewed": False})
        nursery.start_soon(keep, host, transport, through, said, nursery)
        await stop.wait()
        nursery.cancel_scope.cancel()
        leave_after(STOP_TIMEOUT_S, 0)
    return 0


async def reserve_once(host, transport, through, nursery) -> bool:
    await host.connect(through)
    stream = await host.new_stream(through.peer_id, [PROTOCOL_ID])
    reserved = await transport.reserve(stream, through.peer_id, nursery)
    await stream.close()
    return reserved


def connections_to(host, through) -> set[int]:
    """Those that are there now: a reservation is over with the one that it was made on."""
    return {id(connection) for connection in host.get_network().get_connections(through.peer_id)}


async def keep(host, transport, through, said: dict, nursery) -> None:
    until, over = transport._reservations.get(through.peer_id), connections_to(host, through)
    while True:
        await trio.sleep(LOOK_S)
        # The library connects anew by itself, and with a relay that is back at once nobody sees that it was gone.
        if over & connections_to(host, through):
            now = transport._reservations.get(through.peer_id, until)
            if now != until:
                until = now
                show({**said, "renewed": True})
            continue
        # It would not dial a peer again within a minute of a failure.
        host.get_network().unblock_peer(through.peer_id)
        try:
            with trio.fail_after(PATIENCE_S):
                held = await reserve_once(host, transport, through, nursery)
        except Exception as error:
            print(f"reserve: {type(error).__name__}: {error}", flush=True, file=sys.stderr)
            held = False
        if held:
            until, over = transport._reservations.get(through.peer_id), connections_to(host, through)
            show({**said, "renewed": False})
        else:
            over = set()
            await trio.sleep(AGAIN_S)


async def dial_circuit(options: Options) -> dict:
    if options.wait:
        return await dial_upgraded(options, circuits)
    target = Multiaddr(options.target)
    host = build_host(options)
    # Without the client's role, which would reserve at the relay before each dial.
    async with host.run([]), circuits(host, RelayRole.STOP) as transport:
        start = time.perf_counter()
        connection = await transport.dial(target)
        connect_ms = since(start)
        muxed = connection.muxed_conn
        peer = muxed.peer_id
        pings = await ping(host, peer)
        start = time.perf_counter()
        stream = await host.new_stream(peer, [ECHO])
        received = await run_echo(stream, options.size, duplex=True)
        result = {
            "ok": True,
            "peer": str(peer),
            "security": short_name(muxed.negotiated_security_protocol),
            "muxer": short_name(muxed.negotiated_muxer_protocol),
            "connect_ms": connect_ms,
            "ping_ms": pings,
            "echo": {"bytes": received, "ms": since(start)},
            "upgraded": False,
        }
        if options.hold:
            start = time.perf_counter()
            while (held := since(start)) < options.hold * 1000:
                await trio.sleep(LOOK_S)
                if muxed.is_closed:
                    raise ConnectionError(f"the circuit was closed after {held / 1000:.1f} s of idleness")
            result["held_ms"] = since(start)
            result["ping_after_ms"] = await ping(host, peer)
        return result


@asynccontextmanager
async def circuits(host, role: RelayRole, limits: RelayLimits | None = None) -> AsyncIterator[CircuitV2Transport]:
    protocol = CircuitV2Protocol(host, limits, allow_hop=role == RelayRole.HOP)
    async with background_trio_service(protocol):
        await protocol.event_started.wait()
        yield CircuitV2Transport(host, protocol, RelayConfig(roles=role, limits=limits))
