"""/echo/1.0.0: everything that is read is written back; after the reader's end, the writing side is closed."""

import logging
import os
from collections.abc import Iterator

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamEOF

ECHO = TProtocol("/echo/1.0.0")
CHUNK = 64 * 1024
TURN_S = 0.02

log = logging.getLogger("peer.echo")


async def serve_echo(stream: INetStream) -> None:
    """The listener's side."""
    try:
        while chunk := await _read(stream):
            await stream.write(chunk)
        await stream.close()
    except Exception as error:  # the stream's end is the end of this handler only
        log.warning("echo stream: %s: %s", type(error).__name__, error)
        await stream.reset()


async def run_echo(stream: INetStream, size: int, duplex: bool) -> int:
    """
    The dialer's side: writes and reads, closes its writing side, and reads to the end.

    With `duplex`, it writes and reads at the same time. py-libp2p's mplex streams can't: a read that waits holds the lock
    that a write needs. There each piece is written, then what has come back is read, before the next.

    Returns the number of bytes that came back; raises ValueError at the first piece that differs.
    """
    echo = _Echo(stream, os.urandom(size))
    try:
        if duplex:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(echo.write_all)
                await echo.read_to_end()
        else:
            await echo.write_and_read_in_turn()
            await echo.read_to_end()
    except BaseException:
        with trio.move_on_after(1, shield=True):
            await stream.reset()
        raise
    if echo.received != size:
        raise ValueError(f"echo ended after {echo.received} of {size} bytes")
    await stream.close()
    return echo.received


class _Echo:
    def __init__(self, stream: INetStream, sent: bytes) -> None:
        self.stream = stream
        self.sent = sent
        self.received = 0

    async def write_all(self) -> None:
        for piece in self._pieces():
            await self.stream.write(piece)
        await self.stream.close_write()

    async def read_to_end(self) -> None:
        while await self._read_some():
            pass

    async def write_and_read_in_turn(self) -> None:
        written = 0
        for piece in self._pieces():
            await self.stream.write(piece)
            written += len(piece)
            # An echo may keep some bytes back until more come, or the end: so no wait is long.
            while self.received < written:
                with trio.move_on_after(TURN_S) as wait:
                    await self._read_some()
                if wait.cancelled_caught:
                    break
        await self.stream.close_write()

    def _pieces(self) -> Iterator[bytes]:
        return (self.sent[at : at + CHUNK] for at in range(0, len(self.sent), CHUNK))

    async def _read_some(self) -> bool:
        """Waits for some bytes and compares them; False at the end of the stream."""
        chunk = await _read(self.stream)
        end = self.received + len(chunk)
        if chunk != self.sent[self.received : end]:
            raise ValueError(f"echo differs within bytes {self.received} to {end}")
        self.received = end
        return bool(chunk)


async def _read(stream: INetStream) -> bytes:
    """Some bytes, or none at the end of the stream."""
    try:
        return await stream.read(CHUNK)
    except StreamEOF:
        return b""
