"""The two sides of a cell, tidewire and the peers: how to start each, and what each is able to do."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

from driver.process import GRACE, Failure, Unusable
from driver.terminal import progress

HERE = pathlib.Path(__file__).resolve().parent.parent
ROOT = HERE.parent
PEERS = ["go", "js", "py", "rust"]
SELECTS = ["lazy", "plain"]
# name -> security, muxer, private network
CELLS = {
    "noise+yamux": ("noise", "yamux", False),
    "noise+mplex": ("noise", "mplex", False),
    "plaintext+yamux": ("plaintext", "yamux", False),
    "psk+noise+yamux": ("noise", "yamux", True),
}
# The parts that a party can play in a circuit.
ROLES = ["relay", "listener", "dialer", "server", "client"]
INSTALL_TIMEOUT = 20 * 60


class Party:
    """One side of a cell: how to start it, and what it is able to do."""

    def __init__(self, name, program, folder=None):
        self.name, self.program, self.folder = name, program, folder
        self.identity = None
        self.problem, self.installed = None, False
        self.pause = 0.0
        self.title, self.version, self.notes, self.cells, self.limits, self.defects = name, None, [], {}, {}, []
        self.punch, self.punch_defects = None, []
        if folder:
            self._read_capabilities(folder / "capabilities.json")

    def _read_capabilities(self, path):
        try:
            facts = json.loads(path.read_text())
            self.title, self.version = facts.get("name", self.name), facts.get("version")
            self.notes = facts.get("notes", [])
            self.limits = facts.get("identify", {})
            self.defects = facts.get("relay", [])
            for defect in self.defects:
                self._check_defect(defect)
            # Why it takes no part in hole punches; or in which of them it fails.
            self.punch = facts.get("punch", {}).get("not")
            self.punch_defects = facts.get("punch", {}).get("defects", [])
            self._check_punch(facts.get("punch", {}))
            # A relay that the next circuit to the same listener must leave alone for so long.
            self.pause = float(facts.get("relay_pause", {}).get("seconds", 0))
            for key, value in facts["cells"].items():
                self._check_capability(key, value)
            self.cells = facts["cells"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.problem = f"{path.relative_to(HERE)}: {type(error).__name__}: {error}"

    @staticmethod
    def _check_capability(key, value):
        bare = key.split(":", 1)[1] if key.startswith(("dial:", "listen:")) else key
        cell, _, select = bare.partition(":")
        known = cell in CELLS and (not select or select in SELECTS) or bare in ["psk", *SELECTS]
        if not known:
            raise ValueError(f"unknown cell {key!r}")
        if value is not True and not (isinstance(value, dict) and isinstance(value.get("can"), bool)):
            raise ValueError(f"{key}: expected true or {{can, reason}}")
        if value is not True and not value["can"] and not value.get("reason"):
            raise ValueError(f"{key}: what can't be done needs a reason")

    @staticmethod
    def _check_defect(defect):
        unknown = set(defect) - {*ROLES, "scenario", "reason", "reference", "sometimes"}
        if unknown or not defect.get("reason") or not defect.get("reference") or not set(defect) & set(ROLES):
            raise ValueError(f"a defect needs reason, reference and a role, and no other key: {defect}")

    @staticmethod
    def _check_punch(punch):
        """`not`: {reason, reference}, or `defects`: a list of those with `cases`, and perhaps roles and `sometimes`."""
        if set(punch) - {"not", "defects"}:
            raise ValueError(f"punch: expected not or defects, got {', '.join(punch)}")
        excuses = punch.get("defects", []) + ([punch["not"]] if "not" in punch else [])
        for excuse in excuses:
            if not excuse.get("reason") or not excuse.get("reference"):
                raise ValueError(f"punch: an excuse needs reason and reference: {excuse}")
        for defect in punch.get("defects", []):
            unknown = set(defect) - {"relay", "dialer", "listener", "cases", "reason", "reference", "sometimes"}
            if unknown or not isinstance(defect.get("cases"), list):
                raise ValueError(f"punch: a defect needs cases, and no other key than roles and sometimes: {defect}")

    def why_not(self, role, cell, select):
        """The reason why this party can't take this part in the cell, or None if it can."""
        keys = [cell, f"{role}:{cell}", f"{role}:{cell}:{select}", f"{role}:{select}"]
        if CELLS[cell][2]:
            keys += ["psk", f"{role}:psk"]
        if role == "dial":  # who dials selects
            keys += [select, f"{cell}:{select}"]
        for key in keys:
            value = self.cells.get(key, True)
            if value is not True and not value["can"]:
                return value["reason"]
        return None

    def install(self):
        if not self.folder or self.problem or self.installed:
            return
        self.installed = True
        began = time.monotonic()
        progress(f"{self.name}: install")
        try:
            child = subprocess.Popen(
                [self.folder / "install"], stdin=subprocess.DEVNULL, stdout=sys.stderr, start_new_session=True
            )
        except OSError as error:
            self.problem = f"install: {error}"
            return
        try:
            code = child.wait(timeout=INSTALL_TIMEOUT)
            if code:
                self.problem = f"install ended with code {code}"
        except subprocess.TimeoutExpired:
            self.problem = f"install took longer than {INSTALL_TIMEOUT} s"
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        progress(f"{self.name}: {self.problem or 'ready'} ({time.monotonic() - began:.1f} s)")

    def options(self, cell, psk, seed):
        security, muxer, private = CELLS[cell]
        options = ["--security", security, "--muxer", muxer, "--seed", str(seed)]
        return options + (["--psk", str(psk)] if private else [])

    def listen(self, cell, select, psk, seed):
        return [str(self.program), "listen", "--listen", "/ip4/127.0.0.1/tcp/0", *self.options(cell, psk, seed)]

    def later(self, control):
        """The options of a listener that has something to push after a while."""
        return ["--later"]

    def change(self, control):
        """Gives a running listener something to push, if it has not by itself."""

    def dial(self, address, size, cell, select, psk, seed):
        return [
            str(self.program), "dial", address, "--size", str(size), f"--{select}", *self.options(cell, psk, seed)
        ]  # fmt: skip

    def command(self, name, *arguments, seed):
        """Any other command: noise and yamux."""
        return [str(self.program), name, *map(str, arguments), *self.options("noise+yamux", None, seed)]


class Tidewire(Party):
    """Speaks to people unless told otherwise, and has one option for the way of selecting."""

    def listen(self, cell, select, psk, seed):
        return super().listen(cell, select, psk, seed) + ["--select", select, "--json"]

    def command(self, name, *arguments, seed):
        return super().command(name, *arguments, seed=seed) + ["--json"]

    def later(self, control):
        return ["--control", str(control)]

    def change(self, control):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(GRACE)
            asking.connect(str(control))
            asking.sendall(b"listen /ip4/127.0.0.1/tcp/0\n")
            answer = asking.makefile().readline()
        try:
            return json.loads(answer)["listening"][0].split("/p2p/")[0]
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise Failure(f"the listener ({self.name}) does not listen on one more address: {answer!r}") from None

    def dial(self, address, size, cell, select, psk, seed):
        argv = super().dial(address, size, cell, select, psk, seed)
        argv.remove(f"--{select}")
        return argv + ["--select", select, "--json"]


def find_us(name):
    if name == "tidewire":
        return Tidewire("tidewire", build_tidewire())
    if name in PEERS:
        return peer(name)
    path = pathlib.Path(name)
    if path.is_file() and os.access(path, os.X_OK):
        return Tidewire("tidewire", path.resolve())
    raise Unusable(f"--us {name}: neither tidewire, nor a peer ({', '.join(PEERS)}), nor a program")


def peer(name):
    return Party(name, HERE / name / "peer", HERE / name)


def build_tidewire():
    if not shutil.which("cargo"):
        raise Unusable("cargo is not there: install Rust (https://rustup.rs)")
    progress("tidewire: cargo build --release --bin tidewire")
    build = subprocess.run(
        ["cargo", "build", "--release", "--bin", "tidewire", "--message-format=json-render-diagnostics"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    if build.returncode:
        raise Unusable("tidewire does not build")
    for line in build.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message.get("target", {}).get("name") == "tidewire":
            return pathlib.Path(message["executable"])
    raise Unusable("cargo built no executable named tidewire")
