"""Hole punches: what is tried in which network and with whom, what is expected, and how each run went."""

import dataclasses
import fnmatch
import queue
import statistics
import threading
import time

from driver.network import Network
from driver.party import Tidewire
from driver.process import Failure, Process, Unusable, tail
from driver.stage import Stage, check_echo, check_report

SIZE = 16 * 1024
PORT = 4001
# Seconds one way: 40 ms between the clients, 50 ms from each to the relay.
DELAYS = {"a": 0.020, "b": 0.020, "relay": 0.030}
# Seconds: the listener tells of the direct connection as the dialer does, so long after it at most.
BOTH = 5.0
ALL, NONE, EITHER = "all", "none", "either"


@dataclasses.dataclass(frozen=True)
class Case:
    """Two routers, that of the dialer and that of the listener, and what must come of it."""

    name: str
    dialer: str
    listener: str
    delayed: bool
    expects: str
    what: str

    @property
    def delays(self):
        return DELAYS if self.delayed else None


CASES = [
    Case("preserving", "preserving", "preserving", False, ALL, "both keep ports, and drop what comes unasked for"),
    Case("preserving-delay", "preserving", "preserving", True, ALL, "the same, over 20 + 20 ms, and 30 ms to the relay"),
    Case("rejecting-delay", "rejecting", "rejecting", True, ALL, "both answer what comes unasked for with a reset, over the same delays"),
    Case("rejecting", "rejecting", "rejecting", False, EITHER, "the same without delay: the first SYN mostly is refused before the other goes out"),
    Case("public-dialer", "public", "preserving", False, ALL, "the dialer has no router"),
    Case("public-listener", "preserving", "public", False, ALL, "the listener has none"),
    Case("cone", "cone", "preserving", False, ALL, "the dialer's router leads everything to it"),
    Case("random", "random", "preserving", False, NONE, "the dialer's takes another port for each destination: only the circuit is left"),
]  # fmt: skip
NAMES = [case.name for case in CASES]


class Run:
    """One try."""

    def __init__(self, report=None, error=None, seconds=0.0, tails=None):
        self.report, self.error, self.seconds, self.tails = report, error, seconds, tails or {}

    @property
    def upgraded(self):
        return bool(self.report and self.report["upgraded"])

    @property
    def took(self):
        return self.report["upgrade_ms"] if self.upgraded else None

    @property
    def whole(self):
        """From when the dialer began to dial to the direct connection."""
        return self.report["connect_ms"] + self.took if self.upgraded else None

    def fits(self, expects):
        """Whether this is what the case asks for: in any case some connection that carries an echo."""
        return self.report is not None and (expects == EITHER or self.upgraded == (expects == ALL))


class Punch:
    """A cell: a case, a relay, a dialer (A) and a listener (B), and how often it is tried."""

    def __init__(self, case, relay, dialer, listener, count):
        self.case, self.count, self.runs = case, count, []
        self.other_relay = False
        self.roles = {"relay": relay, "dialer": dialer, "listener": listener}
        self.defect, self.culprit = None, None
        for party in self.roles.values():
            for defect in party.punch_defects:
                if self.defect is None and self._concerns(defect):
                    self.defect, self.culprit = defect, party

    def _concerns(self, defect):
        names = {role: party.name for role, party in self.roles.items()}
        return any(fnmatch.fnmatch(self.case.name, case) for case in defect["cases"]) and all(
            fnmatch.fnmatch(names[role], defect[role]) for role in names if role in defect
        )

    @property
    def row(self):
        names = {role: party.name for role, party in self.roles.items()}
        return (names["dialer"], names["listener"], names["relay"])

    @property
    def title(self):
        dialer, listener, relay = self.row
        return f"{dialer} -> {listener}" + (f" by {relay}" if self.other_relay else "")

    @property
    def problem(self):
        return next((party.problem for party in self.roles.values() if party.problem), None)

    @property
    def upgrades(self):
        return sum(run.upgraded for run in self.runs)

    @property
    def works(self):
        return bool(self.runs) and all(run.fits(self.case.expects) for run in self.runs)

    @property
    def expected(self):
        if self.problem:
            return False
        if self.defect:
            return bool(self.defect.get("sometimes")) or not self.works
        return self.works

    @property
    def outcome(self):
        if self.works:
            return "ok" if self.expected else "unexpected"
        return "impossible" if self.expected else "failed"

    @property
    def median(self):
        return middle([run.took for run in self.runs if run.upgraded])

    @property
    def whole(self):
        return middle([run.whole for run in self.runs if run.upgraded])

    @property
    def error(self):
        """What was wrong with the first run that was not as it should be."""
        if self.problem:
            return self.problem
        for run in self.runs:
            if not run.fits(self.case.expects):
                if run.error:
                    return run.error
                return "upgraded to a direct connection" if run.upgraded else "no direct connection"
        return None

    def as_json(self):
        return {
            "case": self.case.name,
            "expects": self.case.expects,
            **{role: party.name for role, party in self.roles.items()},
            "outcome": self.outcome,
            "as_expected": self.expected,
            "upgrades": self.upgrades,
            "runs": [
                {"upgraded": run.upgraded, "upgrade_ms": run.took, "error": run.error, "seconds": round(run.seconds, 3),
                 "report": run.report, "tails": run.tails}
                for run in self.runs
            ],
            "median_ms": self.median,
            "median_with_connect_ms": self.whole,
            "defect": self.defect and {**self.defect, "of": self.culprit.name},
        }  # fmt: skip


def middle(numbers):
    return statistics.median(numbers) if numbers else None


def plan(us, peers, relays, runs, peer_runs, beside):
    """Us with ourselves, in both parts with each peer, and each of `beside` with itself, to compare with."""
    pairs = [(us, us, runs)]
    for peer in peers:
        pairs += [(us, peer, peer_runs), (peer, us, peer_runs)]
    pairs += [(peer, peer, peer_runs) for peer in beside]
    cells = [Punch(case, us, *pair) for pair in pairs for case in CASES]
    # That we get along with another relay, where the timing matters.
    strict = next(case for case in CASES if case.name == "rejecting-delay")
    others = [Punch(strict, relay, us, us, peer_runs) for relay in relays]
    for cell in others:
        cell.other_relay = True
    return cells + others


def chosen(cells, only):
    """Cases by name or pattern, and pairs as `dialer/listener`."""
    cases = [word for word in only if "/" not in word]
    pairs = [word for word in only if "/" in word]
    left = [
        cell
        for cell in cells
        if (not cases or any(fnmatch.fnmatch(cell.case.name, word) for word in cases))
        and (not pairs or any(fnmatch.fnmatch("/".join(cell.row[:2]), word) for word in pairs))
    ]
    if not left:
        raise Unusable(f"--only {','.join(only)}: no such cell")
    return left


def run(cells, options, scratch, done):
    """Every run has a network of its own: routers remember connections. `done` hears of each run."""
    tries = queue.SimpleQueue()
    count = 0
    for cell in cells:
        for number in range(0 if cell.problem else cell.count):
            tries.put((cell, number))
            count += 1
    lock, enough = threading.Lock(), threading.Event()

    def work():
        while not enough.is_set() and not Process.over:
            try:
                cell, number = tries.get_nowait()
            except queue.Empty:
                return
            name = f"{cell.case.name}-{'-'.join(cell.row)}-{number + 1}"
            one = attempt(cell, options, scratch / name)
            if Process.over:
                return
            with lock:
                cell.runs.append(one)
                done(cell, one, count)
            if not one.fits(cell.case.expects) and not cell.defect and not options.keep_going:
                enough.set()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(options.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def attempt(cell, options, logs):
    began = time.monotonic()
    report, error, tails = None, None, {}
    try:
        report = play(cell, options, logs)
    except (Failure, Unusable) as failure:
        error = str(failure)
    except OSError as problem:
        error = f"could not start: {problem}"
    except Exception as bug:  # of this program: it must not pass for a run that was not tried
        error = f"interop/punch itself: {type(bug).__name__}: {bug}"
    one = Run(report, error, time.monotonic() - began)
    if not one.fits(cell.case.expects) and not cell.defect:
        for path in sorted(logs.glob("*.std*") if logs.exists() else []):
            if lines := tail(path):
                tails[path.name] = lines
        one.tails = tails
    return one


def play(cell, options, logs):
    relay, dialer, listener = cell.roles.values()
    logs.mkdir(parents=True, exist_ok=True)
    capture = logs / "outside.pcap" if options.logs else None
    with Network(cell.case.dialer, cell.case.listener, cell.case.delays, capture) as network, Stage(logs, options.timeout) as stage:
        inside = {who: Inside(party, network, who) for who, party in [("relay", relay), ("a", dialer), ("b", listener)]}
        address = stage.listen("relay", inside["relay"], "relay", "--listen", at(network, "relay"), "--data-limit", 0, "--duration", 0)
        stage.start("listener", inside["b"], "reserve", address, "--listen", at(network, "b"), *inside["b"].punches)
        circuit = stage.reserved("listener", options.timeout)["circuit"]
        wait = options.wait if cell.case.expects == ALL else options.wait_none
        dial = ["dial-circuit", circuit, "--listen", at(network, "a"), "--wait", wait, "--size", SIZE]
        report = stage.report("dialer", inside["a"], wait + options.timeout, *dial)
        check_upgrade(report, circuit)
        if report["upgraded"]:
            heard_too(stage, report)
        stage.end("listener", "relay")
        return report


def at(network, who):
    return f"/ip4/{network.address(who)}/tcp/{PORT}"


def check_upgrade(report, circuit):
    upgraded = report.get("upgraded")
    check_report({**report, "upgraded": False}, circuit, SIZE)
    if not isinstance(upgraded, bool):
        raise Failure(f"upgraded is {upgraded!r} in the dialer's report; expected true or false")
    if not upgraded:
        return
    if not isinstance(report.get("upgrade_ms"), (int, float)):
        raise Failure(f"upgrade_ms is {report.get('upgrade_ms')!r} in the dialer's report; expected a number")
    address = report.get("direct_addr")
    if not isinstance(address, str) or "/p2p-circuit" in address or "/tcp/" not in address:
        raise Failure(f"direct_addr is {address!r} in the dialer's report; expected an address without a relay")
    check_echo("direct_echo", report.get("direct_echo"), SIZE)


def heard_too(stage, report):
    """The listener sees the direct connection too, and with who dialed."""
    process, party = stage.parts["listener"]
    try:
        value = process.said("direct", time.monotonic() + BOTH)
    except queue.Empty:
        raise Failure(f"the listener ({party.name}) did not tell of a direct connection; the dialer did: {report['direct_addr']}") from None
    if value is None:
        raise Failure(f"the listener ({party.name}) ended without a word of the direct connection")


class Inside:
    """A party on a host of the network."""

    def __init__(self, party, network, who):
        self.party, self.before = party, network.inside(who)
        self.name, self.pause = party.name, 0.0

    @property
    def punches(self):
        """The option with which a listener punches. We do without."""
        return [] if isinstance(self.party, Tidewire) else ["--dcutr"]

    def command(self, name, *arguments, seed):
        return [*self.before, *self.party.command(name, *arguments, seed=seed)]
