"""What is tried with circuits: relay x listener x dialer, limits, renewal, restart, refusals; and AutoNAT."""

import fnmatch
import time

from driver.party import Tidewire
from driver.process import Failure, tail
from driver.stage import Refusal, Stage

SIZE = 16 * 1024
# Bytes: what a circuit may carry in the scenario of limits, and what its dialer tries to echo.
DATA_LIMIT, TOO_MUCH = 64 * 1024, 512 * 1024
# Seconds, likewise.
DURATION, TOO_LONG = 2, 6
# Of the time that a step may take: for a dialer to notice that its circuit is over, and for a listener to find its relay again
# after a restart.
NOTICED, AGAIN = 0.6, 1.5
# Seconds. js-libp2p renews no sooner than 30 s after it reserved; py-libp2p 30 s before the end, and all the time when that
# is past. A circuit is tried AFTER the first reservation would have been over.
TTL, AFTER = 40, 3
# A go-libp2p server of version 1 answers a failed dial-back after 15 s.
AUTONAT = 45.0
# The id of no one who takes part.
STRANGER = "12D3KooWETJFK6QvpZyZe6xT47VCyau57ucKL36dCCovkzLjNuSY"
# Nobody listens there.
NOWHERE = "/ip4/127.0.0.1/tcp/1"

SCENARIOS = {
    "circuit": "connect through the relay, three pings, an echo of 16 KiB",
    "limits": "an echo of 512 KiB over a circuit that may carry 64 KiB; a circuit of 2 s held for 6 s; after each, one of 16 KiB",
    "refused": "a circuit to someone without a reservation, then one more reservation than the relay has room for",
    "renewal": "a short reservation is renewed, and good for a circuit when it would have been over",
    "restart": "the relay restarts at its address, the listener reserves again, a circuit",
    "autonat": "a client that is reachable, and one that is not, asks a server with AutoNAT v1 and v2",
}


class Cell:
    """What is tried and with whom, what is expected, and how it went."""

    def __init__(self, scenario, **roles):
        self.scenario, self.roles = scenario, roles
        self.defect, self.culprit = None, None
        for party in roles.values():
            for defect in party.defects:
                if self.defect is None and self._fits(defect):
                    self.defect, self.culprit = defect, party
        self.report, self.error, self.saw, self.tails, self.seconds = None, None, None, {}, 0.0

    def _fits(self, defect):
        wanted = {role: defect[role] for role in self.roles if role in defect}
        named = [key for key in defect if key not in ("scenario", "reason", "reference", "sometimes")]
        return (
            fnmatch.fnmatch(self.scenario, defect.get("scenario", "*"))
            and set(named) == set(wanted)
            and all(fnmatch.fnmatch(self.roles[role].name.rstrip("'"), pattern) for role, pattern in wanted.items())
        )

    @property
    def triple(self):
        return "/".join(party.name for party in self.roles.values())

    @property
    def ran(self):
        return self.report is not None or self.error is not None

    @property
    def works(self):
        return self.report is not None

    @property
    def problem(self):
        """A party that isn't there is never expected."""
        return next((party.problem for party in self.roles.values() if party.problem), None)

    @property
    def expected(self):
        if self.problem:
            return False
        if self.defect and self.defect.get("sometimes"):
            return True
        return self.works == (self.defect is None)

    @property
    def outcome(self):
        if self.works:
            return "ok" if self.expected else "unexpected"
        return "impossible" if self.expected else "failed"

    def as_json(self):
        return {
            "scenario": self.scenario,
            **{role: party.name for role, party in self.roles.items()},
            "outcome": self.outcome,
            "as_expected": self.expected,
            "defect": self.defect and {**self.defect, "of": self.culprit.name},
            "saw": self.saw,
            "seconds": round(self.seconds, 3),
            "report": self.report,
            "error": self.error,
            "tails": self.tails,
        }


class Job:
    """Cells that share processes, in order. Subclasses say how a cell is tried."""

    # Whether most of its time is waiting: such jobs run all at once, beside the others.
    waits = False

    def __init__(self, cells):
        self.cells = cells

    def run(self, options, logs, busy, done):
        raise NotImplementedError

    def attempt(self, cell, logs, work, began=None):
        began = began or time.monotonic()
        if cell.problem:
            cell.error = cell.problem
            return
        try:
            cell.report = work()
        except Failure as failure:
            cell.error = str(failure)
        except OSError as error:
            cell.error = f"could not start: {error}"
        cell.seconds = time.monotonic() - began
        if not cell.expected:
            for path in sorted(logs.iterdir() if logs.exists() else []):
                if lines := tail(path):
                    cell.tails[path.name] = lines


class Circuits(Job):
    """One relay and one listener, and each dialer in turn."""

    def run(self, options, logs, busy, done):
        stage, rounds = None, 0
        try:
            for number, cell in enumerate(self.cells):
                began = time.monotonic()

                def work():
                    nonlocal stage, rounds
                    if stage:
                        stage.rest()
                    if stage is None or not stage.alive("relay", "listener"):
                        rounds += 1
                        stage = self._close(stage) or Stage(logs / str(rounds), options.timeout, busy)
                        address = stage.listen("relay", cell.roles["relay"], "relay", *LIFTED)
                        stage.circuit = stage.reserve(cell.roles["listener"], address)
                    report = stage.dial(cell.roles["dialer"], stage.circuit, SIZE)
                    if number == len(self.cells) - 1:
                        stage.end("listener", "relay")
                    return report

                self.attempt(cell, logs / str(max(rounds, 1)), work, began)
                if not cell.works:
                    stage = self._close(stage)  # the next one shall not suffer from it
                done(cell)
        finally:
            self._close(stage)

    @staticmethod
    def _close(stage):
        if stage:
            stage.__exit__(None, None, None)


# No limits, and room for everyone.
LIFTED = ["--data-limit", 0, "--duration", 0]


class Single(Job):
    """One cell with processes of its own."""

    def run(self, options, logs, busy, done):
        (cell,) = self.cells

        def work():
            with Stage(logs, options.timeout, busy) as stage:
                return self.play(cell, stage, options)

        self.attempt(cell, logs, work)
        done(cell)


class Limits(Single):
    """A circuit that comes to its limit; the dialer must notice, and the next circuit must work."""

    relay_options, size, hold = [], SIZE, None

    def play(self, cell, stage, options):
        relay, listener, dialer = cell.roles.values()
        address = stage.listen("relay", relay, "relay", *self.relay_options)
        circuit = stage.reserve(listener, address)
        began = time.monotonic()
        try:
            held = ["--hold", self.hold] if self.hold else []
            stage.dial(dialer, circuit, self.size, NOTICED * stage.timeout, *held)
        except Refusal as refusal:
            cell.saw = refusal.report.get("error")
            noticed = time.monotonic() - began
            if isinstance(dialer, Tidewire) and "limit" not in str(cell.saw).lower():
                raise Failure(f"the dialer ({dialer.name}) did not say that it was the limit: {cell.saw}") from None
        else:
            raise Failure(f"a circuit did more than it may: {self.what}")
        report = stage.dial(dialer, circuit, SIZE)
        stage.end("listener", "relay")
        return {**report, "noticed_ms": round(noticed * 1000)}


class DataLimit(Limits):
    relay_options, size = ["--data-limit", DATA_LIMIT, "--duration", 60], TOO_MUCH
    what = f"{TOO_MUCH} bytes came back through one of {DATA_LIMIT}"


class DurationLimit(Limits):
    relay_options, hold = ["--data-limit", 0, "--duration", DURATION], TOO_LONG
    what = f"after {TOO_LONG} s one of {DURATION} s was still there"


class Refused(Single):
    def play(self, cell, stage, options):
        relay, listener, dialer = cell.roles.values()
        address = stage.listen("relay", relay, "relay", *LIFTED, "--reservations", 1)
        circuit = stage.reserve(listener, address)
        nobody = circuit.rsplit("/p2p/", 1)[0] + f"/p2p/{STRANGER}"
        try:
            stage.dial(dialer, nobody, SIZE, NOTICED * stage.timeout)
        except Refusal as refusal:
            cell.saw = refusal.report.get("error")
        else:
            raise Failure("a circuit to someone without a reservation came up")
        try:
            stage.reserve(dialer, address, "stranger")
        except Failure as failure:
            if "did not reserve within" in str(failure):
                raise
            cell.saw = f"{cell.saw}; {failure}"
        else:
            raise Failure("a relay with room for one reservation gave two")
        report = stage.dial(dialer, circuit, SIZE)
        stage.end("listener", "relay")
        return report


class Renewal(Single):
    waits = True

    def play(self, cell, stage, options):
        relay, listener, dialer = cell.roles.values()
        address = stage.listen("relay", relay, "relay", *LIFTED, "--ttl", options.ttl)
        circuit = stage.reserve(listener, address)
        began = time.monotonic()
        stage.reserved("listener", options.ttl, renewed=True)
        renewed = time.monotonic() - began
        cell.saw = f"renewed after {renewed:.0f} s of {options.ttl}"
        time.sleep(max(0.0, options.ttl + AFTER - renewed))
        report = stage.dial(dialer, circuit, SIZE)
        stage.end("listener", "relay")
        return {**report, "renewed_ms": round(renewed * 1000)}


class Restart(Single):
    def play(self, cell, stage, options):
        relay, listener, dialer = cell.roles.values()
        address = stage.listen("relay", relay, "relay", *LIFTED)
        stage.dial(dialer, stage.reserve(listener, address), SIZE)
        stage.end("relay")
        began = time.monotonic()
        again = stage.listen("relay", relay, "relay", *LIFTED, "--listen", address.rsplit("/p2p/", 1)[0])
        if again != address:
            raise Failure(f"the relay ({relay.name}) restarted at {again}, not at {address}")
        circuit = stage.reserved("listener", AGAIN * stage.timeout, renewed=False)["circuit"]
        found = time.monotonic() - began
        cell.saw = f"reserved again after {found:.1f} s"
        report = stage.dial(dialer, circuit, SIZE)
        stage.end("listener", "relay")
        return {**report, "again_ms": round(found * 1000)}


class Autonat(Job):
    """A server and a client, reachable or not: one cell for each version."""

    waits = True

    def __init__(self, cells, reachable):
        super().__init__(cells)
        self.reachable = reachable

    def run(self, options, logs, busy, done):
        server, client = self.cells[0].roles.values()
        wanted = "public" if self.reachable else "private"
        answers, failure = {}, None
        began = time.monotonic()
        if not self.cells[0].problem:
            try:
                with Stage(logs, options.timeout, None) as stage:
                    address = stage.listen("server", server, "autonat-server")
                    announced = [] if self.reachable else ["--announce", NOWHERE]
                    answers = stage.report("client", client, AUTONAT, "autonat-client", address, *announced)
                    stage.end("server")
            except (Failure, OSError) as problem:
                failure = Failure(str(problem))
        for version, cell in zip(("v1", "v2"), self.cells):

            def work():
                if failure:
                    raise failure
                answer = answers.get(version) or {}
                cell.saw = answer.get("reachability")
                if cell.saw != wanted:
                    why = f": {answer['error']}" if answer.get("error") else ""
                    raise Failure(f"the client ({client.name}) was told {cell.saw!r}, not {wanted!r}{why}")
                return answer

            self.attempt(cell, logs, work, began)
            done(cell)


SINGLES = {
    "limits data": DataLimit,
    "limits duration": DurationLimit,
    "refused": Refused,
    "renewal": Renewal,
    "restart": Restart,
}


def plan(us, peers, baseline):
    """All jobs: with `us` in at least one part of each cell, or, for the baseline, without."""
    everyone = peers if baseline else [us, *peers]
    jobs = []
    for relay in everyone:
        for listener in everyone:
            dialers = everyone if baseline or us in (relay, listener) else [us]
            roles = [{"relay": relay, "listener": listener, "dialer": dialer} for dialer in dialers]
            jobs.append(Circuits([Cell("circuit", **each) for each in roles]))
    for name, kind in SINGLES.items():
        for relay, listener, dialer in scenario_triples(name.split()[0], us, peers, baseline):
            jobs.append(kind([Cell(name, relay=relay, listener=listener, dialer=dialer)]))
    for server, client in autonat_pairs(us, peers, baseline):
        for reachable in (True, False):
            word = "reachable" if reachable else "unreachable"
            cells = [Cell(f"autonat {version} {word}", server=server, client=client) for version in ("v1", "v2")]
            jobs.append(Autonat(cells, reachable))
    return jobs


def scenario_triples(name, us, peers, baseline):
    """Each peer once in each part that matters, with tidewire in the others."""
    if baseline:
        return [(relay, other, other) for relay in peers for other in peers]
    triples = [(us, us, us), *((peer, us, us) for peer in peers)]
    # Who renews and who comes back is the listener; who is refused and who sees a limit is the dialer.
    if name in ("renewal", "restart", "limits"):
        triples += [(us, peer, us) for peer in peers]
    if name in ("limits", "refused"):
        triples += [(us, us, peer) for peer in peers]
    return triples


def autonat_pairs(us, peers, baseline):
    able = [peer for peer in peers if peer.name.rstrip("'") in ("go", "rust")]
    if baseline:
        return [(server, client) for server in able for client in able]
    return [(us, us), *((peer, us) for peer in able), *((us, peer) for peer in able)]
