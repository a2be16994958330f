"""Cells of two: tidewire and a peer, one of them dials. Security and muxer are tried, and identify with an idle minute."""

import json
import queue
import secrets
import threading
import time

from driver.direct_tables import print_cell
from driver.party import CELLS, Tidewire
from driver.process import GRACE, Failure, Process, tail
from driver.stage import PINGS, is_duration

LATER = "/interop/later/1.0.0"
# What is declared impossible often shows itself by silence.
IMPOSSIBLE_TIMEOUT = 8.0


def plan(us, peers, options):
    """The cells of the table, and those of identify."""
    both = (True, False)
    cells = [Cell(us, p, outbound, name, select) for p in peers for name, select in options.cells for outbound in both]
    talks = []
    if options.hold and isinstance(us, Tidewire):
        talks = [Talk(us, p, outbound, options.hold) for p in peers for outbound in both]
    return cells, talks


def run(cells, talks, options, scratch):
    psk = scratch / "swarm.key"
    psk.write_text(f"/key/swarm/psk/1.0.0/\n/base16/\n{secrets.token_hex(32)}\n")
    # They are idle for most of their time: all of them beside the others.
    beside = []
    for number, talk in enumerate(talks, 1):
        logs = scratch / f"talk-{number}"
        logs.mkdir()
        beside.append(threading.Thread(target=talk.run, args=(options, psk, logs)))
        beside[-1].start()
    try:
        run_table(cells, options, psk, scratch)
    finally:
        for thread in beside:
            thread.join()


def run_table(cells, options, psk, scratch):
    for number, cell in enumerate(cells, 1):
        logs = scratch / f"cell-{number}"
        logs.mkdir()
        cell.run(options, psk, logs)
        print_cell(number, len(cells), cell)
        if not cell.expected and not options.keep_going:
            return


class Cell:
    """What is tried, what is expected of it, and how it went."""

    def __init__(self, us, peer, outbound, name, select):
        self.us, self.peer, self.outbound, self.name, self.select = us, peer, outbound, name, select
        self.dialer, self.listener = (us, peer) if outbound else (peer, us)
        self.reason, self.unable = None, None
        for party, role in ((peer, "listen" if outbound else "dial"), (us, "dial" if outbound else "listen")):
            if self.reason is None and (reason := party.why_not(role, name, select)):
                self.reason, self.unable = reason, party
        self.report, self.error, self.tails, self.seconds = None, None, {}, 0.0

    @property
    def works(self):
        return self.report is not None

    @property
    def expected(self):
        """Whether it went as expected. A peer that isn't there is never expected."""
        return not self.peer.problem and not self.us.problem and self.works == (self.reason is None)

    @property
    def outcome(self):
        if self.works:
            return "ok" if self.expected else "unexpected"
        return "impossible" if self.expected else "failed"

    def run(self, options, psk, logs):
        began = time.monotonic()
        problem = self.peer.problem or self.us.problem
        if problem:
            self.error = problem
            return
        try:
            timeout = options.timeout if self.reason is None else min(options.timeout, IMPOSSIBLE_TIMEOUT)
            self.report = self._run(options.size, psk, logs, began + timeout)
        except Failure as failure:
            self.error = str(failure)
        except OSError as error:
            self.error = f"could not start: {error}"
        self.seconds = time.monotonic() - began
        if not self.expected:
            for path in sorted(logs.iterdir()):
                if lines := tail(path):
                    self.tails[path.name] = lines

    def _run(self, size, psk, logs, until):
        # Tidewire's identity is seed 1, the peer's seed 2, in every cell.
        seeds = {id(self.us): 1, id(self.peer): 2}
        listener = dialer = None
        try:
            argv = self.listener.listen(self.name, self.select, psk, seeds[id(self.listener)])
            listener = Process(argv, logs, f"listener-{self.listener.name}")
            address = self._address(listener, until)
            argv = self.dialer.dial(address, size, self.name, self.select, psk, seeds[id(self.dialer)])
            dialer = Process(argv, logs, f"dialer-{self.dialer.name}")
            report = self._report(dialer, until)
            self._check(report, address, size)
            code = listener.terminate()
            if code is None:
                raise Failure(f"the listener ({self.listener.name}) was still there {GRACE:.0f} s after SIGTERM")
            if code != 0:
                raise Failure(f"the listener ({self.listener.name}) answered SIGTERM with exit code {code}, not 0")
            return report
        finally:
            if dialer:
                dialer.kill()
            if listener:
                listener.terminate()

    def _address(self, listener, until):
        who = f"the listener ({self.listener.name})"
        try:
            line = listener.line(until)
        except queue.Empty:
            raise Failure(f"{who} did not say in time where it listens") from None
        if line is None:
            listener.wait(until)
            listener.kill()
            raise Failure(f"{who} ended with exit code {listener.child.returncode}, before listening")
        try:
            address = json.loads(line)["listening"]
            identity = address.rsplit("/p2p/", 1)[1]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise Failure(f"{who} began with {line!r}; expected {{\"listening\": \"... /p2p/...\"}}") from None
        if self.listener.identity not in (None, identity):
            before = self.listener.identity
            raise Failure(f"{who} has another identity ({identity}) than before ({before}), from one seed")
        self.listener.identity = identity
        return address

    def _report(self, dialer, until):
        who = f"the dialer ({self.dialer.name})"
        report, last = None, None
        try:
            while (line := dialer.line(until)) is not None:
                last = line or last
                try:
                    value = json.loads(line)
                except ValueError:
                    continue
                if isinstance(value, dict) and "ok" in value:
                    report = value
        except queue.Empty:
            raise Failure(f"{who} was not done in time") from None
        if not dialer.wait(until):
            raise Failure(f"{who} closed stdout, but did not end")
        dialer.kill()
        code = dialer.child.returncode
        if report is None:
            said = f"; last line: {last!r}" if last else ""
            raise Failure(f"{who} ended with exit code {code} and no report{said}")
        if report["ok"] is not True:
            raise Failure(f"{who}: {report.get('error', 'no error given')}")
        if code != 0:
            raise Failure(f"{who} reported success, but ended with exit code {code}")
        return report

    def _check(self, report, address, size):
        security, muxer, _ = CELLS[self.name]
        wanted = {"peer": address.rsplit("/p2p/", 1)[1], "security": security, "muxer": muxer}
        for key, value in wanted.items():
            if report.get(key) != value:
                raise Failure(f"{key} is {report.get(key)!r} in the dialer's report; expected {value!r}")
        pings = report.get("ping_ms")
        if not isinstance(pings, list) or len(pings) != PINGS or not all(is_duration(ms) for ms in pings):
            raise Failure(f"ping_ms is {pings!r} in the dialer's report; expected {PINGS} numbers")
        echo = report.get("echo")
        if not isinstance(echo, dict) or echo.get("bytes") != size or not is_duration(echo.get("ms")):
            raise Failure(f"echo is {echo!r} in the dialer's report; expected {size} bytes and a time")
        if not is_duration(report.get("connect_ms")):
            raise Failure(f"connect_ms is {report.get('connect_ms')!r} in the dialer's report; expected a number")

    def as_json(self):
        return {
            "peer": self.peer.name,
            "direction": "out" if self.outbound else "in",
            "dialer": self.dialer.name,
            "listener": self.listener.name,
            "cell": self.name,
            "select": self.select,
            "expected": "works" if self.reason is None else "impossible",
            "reason": self.reason,
            "unable": self.unable and self.unable.name,
            "outcome": self.outcome,
            "as_expected": self.expected,
            "seconds": round(self.seconds, 3),
            "report": self.report,
            "identify": getattr(self, "facts", None),
            "error": self.error,
            "tails": self.tails,
        }


class Talk(Cell):
    """Identify, ping, and an idle minute: noise and yamux, once in each direction."""

    def __init__(self, us, peer, outbound, hold):
        super().__init__(us, peer, outbound, "noise+yamux", "plain")
        self.hold, self.facts = hold, {}
        self.name = "identify"

    def _run(self, size, psk, logs, until):
        cell, until = "noise+yamux", until + self.hold
        control = logs / "control"
        seeds = {id(self.us): 1, id(self.peer): 2}
        listener = dialer = None
        try:
            argv = self.listener.listen(cell, self.select, psk, seeds[id(self.listener)]) + self.listener.later(control)
            listener = Process(argv, logs, f"listener-{self.listener.name}")
            address = self._address(listener, until)
            argv = self.dialer.dial(address, 1000, cell, self.select, psk, seeds[id(self.dialer)])
            dialer = Process(argv + ["--hold", str(self.hold)], logs, f"dialer-{self.dialer.name}")
            time.sleep(min(5.0, self.hold / 2))
            changed = self.listener.change(control)
            report = self._report(dialer, until)
            self.name = cell
            self._check(report, address, 1000)
            self.name = "identify"
            if listener.terminate() != 0:
                raise Failure(f"the listener ({self.listener.name}) did not end cleanly at SIGTERM")
            self._facts(report, self._told(listener), changed)
            return report
        finally:
            self.name = "identify"
            if dialer:
                dialer.kill()
            if listener:
                listener.terminate()

    def _told(self, listener):
        """What the listener said that it was told, in order. Tidewire says it as an event, the peers as an object."""
        told = []
        while (line := listener.line(time.monotonic() + GRACE)) is not None:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if value.get("event") == "identified":
                told.append(value)
            elif isinstance(value.get("identified"), dict):
                told.append(value["identified"])
        return told

    def _facts(self, report, told, changed):
        """What came of it; a failure says which part of it did not."""
        dialers, listeners = report.get("identify") or {}, told[-1] if told else {}
        ours, theirs = (dialers, listeners) if self.outbound else (listeners, dialers)
        after = report.get("ping_after_ms") or []
        held = report.get("held_ms") or 0
        names = lambda known: known.get("protocols") or []
        # Our listener tells its further address; our dialer its echo, which it serves before it dials, but tells later.
        if self.outbound:
            grew = [names(each) for each in told]
            heard = bool(grew) and "/echo/1.0.0" not in grew[0] and "/echo/1.0.0" in grew[-1]
        else:
            heard = changed is not None and any(each.startswith(changed) for each in theirs.get("addresses") or [])
        self.facts = {
            "agent": ours.get("agent"),
            "us": theirs.get("agent"),
            "ping_ms": sorted(report["ping_ms"])[PINGS // 2],
            "ping_after_ms": sorted(after)[len(after) // 2] if after else None,
            "held_ms": held,
            "their_push": LATER in names(ours),
            "our_push": heard,
        }
        missing = []
        if not ours.get("agent"):
            missing.append(f"{self.peer.name} did not say who it is")
        if not names(theirs):
            missing.append(f"{self.peer.name} did not learn who we are")
        if held < self.hold * 1000 - 50 or len(after) != PINGS:
            missing.append(f"idle for {held / 1000:.0f} s and then {len(after)} pings; expected {self.hold} s and {PINGS}")
        for key, who in (("their_push", f"a push of {self.peer.name} was not understood by us, or not sent"),
                         ("our_push", f"our push was not understood by {self.peer.name}, or not sent")):  # fmt: skip
            if not self.facts[key] and not self.peer.limits.get(key):
                missing.append(who)
        if missing:
            raise Failure("; ".join(missing))
