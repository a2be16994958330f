"""What the commands share: the lines they print, their times, their end."""

import json
import os
import signal
import threading
import time

import trio
from libp2p.exceptions import MultiError
from libp2p.host.ping import PingService

PINGS = 3
STOP_TIMEOUT_S = 3


def stop_event() -> trio.Event:
    """Set by SIGTERM or SIGINT. From then on both are ignored: a second one must not cut the closing short."""
    stop = trio.Event()
    token = trio.lowlevel.current_trio_token()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def on_signal(_number: int, _frame: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        token.run_sync_soon(stop.set)

    for number in numbers:
        signal.signal(number, on_signal)
    return stop


async def ping(host, peer) -> list[float]:
    """Whole milliseconds are all that the ping service tells, so the round trips are timed here."""
    pings = []
    start = time.perf_counter()
    async for _ in PingService(host).ping_iter(peer, PINGS):
        pings.append(since(start))
        start = time.perf_counter()
    return pings


def since(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 3)


def short_name(protocol: str) -> str:
    """`/yamux/1.0.0` -> `yamux`"""
    return protocol.split("/")[1]


def describe(error: BaseException) -> str:
    """The error, and what it was raised from: py-libp2p keeps the reason there."""
    if isinstance(error, (BaseExceptionGroup, MultiError)):
        inner = error.exceptions if isinstance(error, BaseExceptionGroup) else error.errors
        return "; ".join(describe(each) for each in inner)
    own = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return own if error.__cause__ is None else f"{own} ({describe(error.__cause__)})"


def show(value: dict) -> None:
    print(json.dumps(value), flush=True)


def leave_after(seconds: float, code: int) -> None:
    """Ends the program with `code` should the host not have closed by then."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()
