"""The processes of one circuit: a relay, a listener that reserved there, dialers that come through it."""

import contextlib
import queue
import threading
import time

from driver.process import GRACE, Failure, Process

# Each part has an identity of its own, the same in all cells.
SEEDS = {"relay": 1, "listener": 2, "dialer": 3, "server": 1, "client": 3, "stranger": 4}
PINGS = 3


class Stage:
    """Starts the parts, hears what they say, and ends them. Each step has `timeout` seconds of its own.

    `busy` bounds how many steps run at once over all stages, so that waiting costs nobody anything.
    """

    def __init__(self, logs, timeout, busy=None):
        self.logs, self.timeout, self.busy = logs, timeout, busy or contextlib.nullcontext()
        self.parts = {}
        self.started, self.free = 0, 0.0
        self.lock = threading.Lock()
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for process, _ in self.parts.values():
            process.kill()

    def listen(self, role, party, command, *options):
        """Starts a relay or a server; gives its address."""
        with self.busy:
            return self._address(self.start(role, party, command, *options), role, party)

    def reserve(self, party, address, role="listener"):
        """Starts a listener at the relay; gives its circuit address."""
        with self.busy:
            self.start(role, party, "reserve", address)
            return self.reserved(role, self.timeout)["circuit"]

    def reserved(self, role, seconds, renewed=None):
        """The listener's next word of a reservation: a renewal, or a new one."""
        process, party = self.parts[role]
        who = f"the {role} ({party.name})"
        until = time.monotonic() + seconds
        while True:
            try:
                value = process.said("reserved", until)
            except queue.Empty:
                what = {None: "reserve", True: "renew its reservation", False: "reserve again"}[renewed]
                raise Failure(f"{who} did not {what} within {seconds:.0f} s") from None
            if value is None:
                raise Failure(f"{who} {self._end(process)}, without a reservation")
            if value["reserved"] is not True:
                raise Failure(f"{who}: {value.get('error', 'no error given')}")
            if renewed is not None and bool(value.get("renewed")) != renewed:
                continue
            circuit = value.get("circuit")
            if not isinstance(circuit, str) or "/p2p-circuit/p2p/" not in circuit:
                raise Failure(f"{who} said {value!r}; expected a circuit address that ends in /p2p-circuit/p2p/..")
            return value

    def dial(self, party, circuit, size, seconds=None, *options):
        """Dials through the relay, once; gives the report that says ok, or raises with the error that it says."""
        self.rest()
        try:
            with self.busy:
                report = self.report("dialer", party, seconds, "dial-circuit", circuit, "--size", size, *options)
        finally:
            self.free = time.monotonic() + self.parts["relay"][1].pause
        check_report(report, circuit, size)
        return report

    def rest(self):
        """Leaves the relay alone for as long as it needs after a circuit."""
        time.sleep(max(0.0, self.free - time.monotonic()))

    def report(self, role, party, seconds, command, *arguments):
        process = self.start(role, party, command, *arguments)
        who = f"the {role} ({party.name})"
        seconds = seconds or self.timeout
        until = time.monotonic() + seconds
        try:
            report = process.said("ok", until)
            if report is not None and not process.wait(until):
                raise Failure(f"{who} reported, but did not end within {seconds:.0f} s")
        except queue.Empty:
            raise Failure(f"{who} was not done within {seconds:.0f} s") from None
        finally:
            process.kill()
        if report is None:
            raise Failure(f"{who} {self._end(process)}, without a report")
        if report["ok"] is not True:
            raise Refusal(f"{who}: {report.get('error', 'no error given')}", report)
        if process.child.returncode:
            raise Failure(f"{who} reported success, but ended with exit code {process.child.returncode}")
        return report

    def start(self, role, party, command, *arguments):
        with self.lock:
            self.started += 1
            label = f"{self.started}-{role}-{party.name}"
        process = Process(party.command(command, *arguments, seed=SEEDS[role]), self.logs, label)
        self.parts[role] = (process, party)
        return process

    def alive(self, *roles):
        return all(role in self.parts and not self.parts[role][0].wait(0) for role in roles)

    def end(self, *roles):
        """Tells these to end, in this order, and insists on how."""
        with self.busy:
            for role in roles:
                process, party = self.parts.pop(role)
                gone = process.wait(0)
                code = process.terminate()
                who = f"the {role} ({party.name})"
                if code is None:
                    raise Failure(f"{who} was still there {GRACE:.0f} s after SIGTERM")
                if gone or code != 0:
                    raise Failure(f"{who} " + ("ended by itself" if gone else "answered SIGTERM") + f" with exit code {code}")

    def _address(self, process, role, party):
        who = f"the {role} ({party.name})"
        try:
            value = process.said("listening", time.monotonic() + self.timeout)
        except queue.Empty:
            raise Failure(f"{who} did not say within {self.timeout:.0f} s where it listens") from None
        if value is None:
            raise Failure(f"{who} {self._end(process)}, before listening")
        address = value["listening"]
        if not isinstance(address, str) or "/p2p/" not in address:
            raise Failure(f"{who} said {value!r}; expected an address that ends in /p2p/..")
        return address

    def _end(self, process):
        process.wait(time.monotonic() + 1)
        process.kill()
        last = f"; its last line: {process.last!r}" if process.last else ""
        return f"ended with exit code {process.child.returncode}{last}"


class Refusal(Failure):
    """The report of a dialer that says no."""

    def __init__(self, words, report):
        super().__init__(words)
        self.report = report


def check_report(report, circuit, size):
    wanted = {"peer": circuit.rsplit("/p2p/", 1)[1], "security": "noise", "muxer": "yamux", "upgraded": False}
    for key, value in wanted.items():
        if report.get(key) != value:
            raise Failure(f"{key} is {report.get(key)!r} in the dialer's report; expected {value!r}")
    pings = report.get("ping_ms")
    if not isinstance(pings, list) or len(pings) != PINGS or not all(is_duration(ms) for ms in pings):
        raise Failure(f"ping_ms is {pings!r} in the dialer's report; expected {PINGS} numbers")
    check_echo("echo", report.get("echo"), size)
    if not is_duration(report.get("connect_ms")):
        raise Failure(f"connect_ms is {report.get('connect_ms')!r} in the dialer's report; expected a number")


def check_echo(key, echo, size):
    if not isinstance(echo, dict) or echo.get("bytes") != size or not is_duration(echo.get("ms")):
        raise Failure(f"{key} is {echo!r} in the dialer's report; expected {size} bytes and a time")


def is_duration(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
