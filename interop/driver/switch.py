"""An Ethernet switch between TAP devices that holds each frame for a while: the kernel's own delays (netem) are not everywhere.

    port a --in: delay of a--> [ switch ] --out: delay of b--> port b
"""

import fcntl
import heapq
import os
import selectors
import struct
import threading
import time

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
FRAME = 65536
BROADCAST = b"\xff" * 6


class Switch:
    """Made with its ports, by name and with a delay in seconds each; the devices can be moved to other namespaces then.

    `capture` is a file for what goes through it, as a packet capture: each frame once, when it came in.
    """

    def __init__(self, ports, capture=None):
        self.capture = capture and Capture(capture)
        self.selector = selectors.DefaultSelector()
        self.ports = []
        for name, delay in ports.items():
            self.ports.append((_tap(name), delay))
        for number, (device, _) in enumerate(self.ports):
            self.selector.register(device, selectors.EVENT_READ, number)
        self.wake, self.woken = os.pipe()
        self.selector.register(self.wake, selectors.EVENT_READ, None)
        self.seen = {}  # hardware address -> port
        self.held = []  # (when, order, frame, ports)
        self.order = 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self.thread.start()

    def close(self):
        """Ends it; the devices are gone with it."""
        os.write(self.woken, b"x")
        if self.thread.is_alive():
            self.thread.join()
        for device, _ in self.ports:
            os.close(device)
        os.close(self.wake)
        os.close(self.woken)
        self.selector.close()
        if self.capture:
            self.capture.close()

    def _run(self):
        while True:
            wait = max(0.0, self.held[0][0] - time.monotonic()) if self.held else None
            for key, _ in self.selector.select(wait):
                if key.data is None:
                    return
                self._take(key.data)
            now = time.monotonic()
            while self.held and self.held[0][0] <= now:
                _, _, frame, port = heapq.heappop(self.held)
                _give(self.ports[port][0], frame)

    def _take(self, number):
        device, delay = self.ports[number]
        now = time.monotonic()
        while True:
            try:
                frame = os.read(device, FRAME)
            except (BlockingIOError, OSError):
                return
            if self.capture:
                self.capture.write(frame)
            to, source = frame[:6], frame[6:12]
            self.seen[source] = number
            known = None if to == BROADCAST or to[0] & 1 else self.seen.get(to)
            for port in [known] if known is not None else range(len(self.ports)):
                if port == number:
                    continue
                self.order += 1
                heapq.heappush(self.held, (now + delay + self.ports[port][1], self.order, frame, port))


class Capture:
    """A file in the classic pcap format, with microseconds, of Ethernet frames."""

    def __init__(self, path):
        self.file = open(path, "wb")
        self.file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, FRAME, 1))

    def write(self, frame):
        seconds, rest = divmod(time.time_ns(), 1_000_000_000)
        self.file.write(struct.pack("<IIII", seconds, rest // 1000, len(frame), len(frame)) + frame)

    def close(self):
        self.file.close()


def _tap(name):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return device


def _give(device, frame):
    try:
        os.write(device, frame)
    except OSError:
        pass  # its end is down: the frame is lost, as on a cable
