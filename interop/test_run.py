#!/usr/bin/env python3
"""Tests of `run`: it and what it needs, copied beside fake peers that misbehave as told. Run with: python3 interop/test_run.py"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent

# Takes the command line of a peer, or of tidewire where --select is there.
# FAKE is {"us" or "peer": {"listen" or "dial": fault}}.
FAKE_PEER = f"#!{sys.executable}" + r'''
import json, os, signal, socket, subprocess, sys, threading, time

command, args = sys.argv[1], sys.argv[2:]
side = "us" if "--select" in args else "peer"
fault = json.loads(os.environ["FAKE"]).get(side, {}).get(command)
with open(os.environ["FAKE_LOG"], "a") as log:
    print(side, *sys.argv[1:], file=log)

def option(name):
    return args[args.index(name) + 1]

def say(**line):
    print(json.dumps(line), flush=True)

if command == "listen":
    if fault == "refuses":
        sys.exit("no such muxer")
    if fault == "junk":
        print("hello", flush=True)
    seed = option("--seed") if fault != "forgets" else os.getpid()
    code = 3 if fault == "dirty" else 0
    signal.signal(signal.SIGTERM, signal.SIG_IGN if fault == "stays" else lambda *_: sys.exit(code))
    say(listening=f"/ip4/127.0.0.1/tcp/1/p2p/id-{seed}")
    if "--control" in args:
        control = socket.socket(socket.AF_UNIX)
        control.bind(option("--control"))
        control.listen()
        def answer():
            asking = control.accept()[0]
            assert asking.makefile().readline().startswith("listen /")
            asking.sendall(b'{"listening": ["/ip4/127.0.0.1/tcp/2/p2p/id"]}\n')
            asking.close()
        threading.Thread(target=answer, daemon=True).start()
    if "--control" in args or "--later" in args:
        before, after = ["/a"], ["/a", "/echo/1.0.0", "/interop/later/1.0.0"]
        for protocols in [before] if fault == "deaf" else [before, after]:
            told = {"agent": "fake", "protocols": protocols}
            say(event="identified", **told) if side == "us" else say(identified=told)
    while True:
        time.sleep(1)

if fault == "hangs":
    child = subprocess.Popen(["sleep", "60"])
    with open(os.environ["FAKE_LOG"] + ".pids", "w") as pids:
        print(os.getpid(), child.pid, file=pids)
    time.sleep(60)
if fault == "refuses":
    say(ok=False, error="no route")
    sys.exit(1)
if fault == "silent":
    print("Traceback: all is lost", file=sys.stderr)
    sys.exit(1)
size = int(option("--size"))
held = {}
if "--hold" in args:
    time.sleep(0.2 if fault == "leaves" else int(option("--hold")))
    held = {"held_ms": 200 if fault == "leaves" else 1000.0 * int(option("--hold")), "ping_after_ms": [1.0] * 3}
    held["identify"] = {
        "agent": None if fault == "nameless" else "fake",
        "protocols": ["/a"] if fault == "deaf" else ["/a", "/interop/later/1.0.0"],
        "addresses": ["/ip4/127.0.0.1/tcp/3" if fault == "deaf" else "/ip4/127.0.0.1/tcp/2"],
    }
say(
    ok=True,
    peer="id-9" if fault == "stranger" else args[0].rsplit("/p2p/", 1)[1],
    security="plaintext" if fault == "insecure" else option("--security"),
    muxer=option("--muxer"),
    connect_ms=1.0,
    ping_ms=[1.0] * (2 if fault == "two pings" else 3),
    echo={"bytes": size - 1 if fault == "short" else size, "ms": 1.0},
    **held,
)
sys.exit(4 if fault == "dirty" else 0)
'''


class Driver(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="interop-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        shutil.copy(HERE / "run", self.folder / "run")
        shutil.copytree(HERE / "driver", self.folder / "driver", ignore=shutil.ignore_patterns("__pycache__"))
        self.program(self.folder / "fake-tidewire", FAKE_PEER)
        (self.folder / "go").mkdir()
        self.program(self.folder / "go" / "peer", FAKE_PEER)
        self.program(self.folder / "go" / "install", "#!/bin/sh\nexit 0\n")
        self.capabilities({})

    def program(self, path, text):
        path.write_text(text)
        path.chmod(0o755)

    def capabilities(self, cells, **more):
        facts = {"version": "1", "cells": cells, **more}
        (self.folder / "go" / "capabilities.json").write_text(json.dumps(facts))

    def drive(self, *args, us=None, peer=None, cells="noise+yamux:lazy"):
        """Runs the driver; gives its exit code, its stdout, and the cells as out, in, by direction."""
        log = self.folder / "log"
        env = dict(os.environ, FAKE=json.dumps({"us": us or {}, "peer": peer or {}}), FAKE_LOG=str(log))
        argv = [sys.executable, "run", "--us", "./fake-tidewire", "--peers", "go", "--cells", cells, "--hold", "0"]
        done = subprocess.run([*argv, "--json", "out.json", *args], cwd=self.folder, env=env, capture_output=True, text=True, timeout=60)
        self.log = log.read_text() if log.exists() else ""
        out = self.folder / "out.json"
        result = json.loads(out.read_text()) if out.exists() else {"cells": []}
        return done, result["cells"]

    def talk(self, *args, **faults):
        """The same with the cells of identify; gives only these, by direction."""
        done, cells = self.drive("--hold", "1", *args, **faults)
        return done, {cell["direction"]: cell for cell in cells if cell["cell"] == "identify"}

    def assert_fails(self, direction, error, *args, **faults):
        """One direction fails with this error, the other works, and the run ends with 1."""
        done, cells = self.drive(*args, **faults)
        by_direction = {cell["direction"]: cell for cell in cells}
        failed = by_direction.pop(direction)
        self.assertEqual(failed["outcome"], "failed", done.stdout)
        self.assertIn(error, failed["error"])
        self.assertIn(error, done.stdout)
        for other in by_direction.values():
            self.assertEqual(other["outcome"], "ok", done.stdout)
        self.assertEqual(done.returncode, 1)
        return done, failed

    def test_everything_working_ends_with_0(self):
        done, cells = self.drive(cells="noise+yamux,psk+noise+yamux")
        self.assertEqual([cell["outcome"] for cell in cells], ["ok"] * 8, done.stdout)
        self.assertEqual(done.returncode, 0)

    def test_each_side_gets_its_own_options(self):
        self.drive("--size", "77")
        listen, dial, *_ = self.log.splitlines()
        common = "--security noise --muxer yamux --seed"
        self.assertEqual(listen, f"peer listen --listen /ip4/127.0.0.1/tcp/0 {common} 2")
        address = "/ip4/127.0.0.1/tcp/1/p2p/id-2"
        self.assertEqual(dial, f"us dial {address} --size 77 {common} 1 --select lazy --json")
        self.assertIn(f"peer dial /ip4/127.0.0.1/tcp/1/p2p/id-1 --size 77 --lazy {common} 2\n", self.log)

    def test_a_refusal_is_a_failure_with_its_words(self):
        self.assert_fails("out", "no route", us={"dial": "refuses"})

    def test_a_dialer_without_a_report_shows_its_stderr(self):
        done, failed = self.assert_fails("in", "no report", peer={"dial": "silent"})
        self.assertEqual(failed["tails"]["dialer-go.stderr"], ["Traceback: all is lost"])
        self.assertIn("Traceback: all is lost", done.stdout)

    def test_a_hanging_dialer_is_ended_with_its_children(self):
        self.assert_fails("out", "not done in time", "--timeout", "1.5", us={"dial": "hangs"})
        for pid in (self.folder / "log.pids").read_text().split():
            state = pathlib.Path(f"/proc/{pid}/stat")
            self.assertTrue(not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z", pid)

    def test_a_report_that_does_not_fit_the_cell_fails(self):
        for fault, error in {
            "stranger": "peer is 'id-9'",
            "insecure": "security is 'plaintext'",
            "two pings": "ping_ms is",
            "short": "echo is",
            "dirty": "exit code 4",
        }.items():
            with self.subTest(fault):
                self.assert_fails("in", error, peer={"dial": fault})

    def test_a_listener_that_misbehaves_fails(self):
        for fault, error in {
            "refuses": "exit code 1, before listening",
            "junk": "began with 'hello'",
            "dirty": "answered SIGTERM with exit code 3",
            "stays": "still there 5 s after SIGTERM",
        }.items():
            with self.subTest(fault):
                self.assert_fails("out", error, peer={"listen": fault})

    def test_another_identity_from_one_seed_fails(self):
        done, cells = self.drive(peer={"listen": "forgets"}, cells="noise+yamux")
        self.assertEqual([cell["outcome"] for cell in cells], ["ok", "ok", "failed", "ok"], done.stdout)
        self.assertIn("another identity", cells[2]["error"])

    def test_what_is_declared_impossible_and_fails_is_expected(self):
        self.capabilities({"noise+yamux": {"can": False, "reason": "never learnt it"}})
        done, cells = self.drive(peer={"listen": "refuses", "dial": "refuses"})
        self.assertEqual([cell["outcome"] for cell in cells], ["impossible"] * 2)
        self.assertIn("[1] go can't: never learnt it", done.stdout)
        self.assertEqual(done.returncode, 0)

    def test_what_is_declared_impossible_and_works_is_unexpected(self):
        self.capabilities({"dial:lazy": {"can": False, "reason": "always waits"}})
        done, cells = self.drive()
        self.assertEqual([cell["outcome"] for cell in cells], ["ok", "unexpected"])
        self.assertIn("go worked, though declared impossible: always waits", done.stdout)
        self.assertEqual(done.returncode, 1)

    def test_a_peer_that_does_not_install_fails_each_of_its_cells(self):
        self.program(self.folder / "go" / "install", "#!/bin/sh\necho no compiler >&2\nexit 1\n")
        done, cells = self.drive()
        self.assertEqual([cell["error"] for cell in cells], ["install ended with code 1"] * 2)
        self.assertEqual(done.returncode, 1)

    def test_impossible_does_not_excuse_a_peer_that_does_not_install(self):
        self.capabilities({"noise+yamux": {"can": False, "reason": "never learnt it"}})
        self.program(self.folder / "go" / "install", "#!/bin/sh\nexit 1\n")
        self.assertEqual(self.drive()[0].returncode, 1)

    def test_capabilities_that_make_no_sense_fail(self):
        for cells in ({"noise+qux": True}, {"lazy": False}, {"lazy": {"can": False}}):
            with self.subTest(cells):
                self.capabilities(cells)
                done, _ = self.drive()
                self.assertEqual(done.returncode, 1)
                self.assertIn("capabilities.json", done.stdout)

    def test_identify_and_pushes_are_seen_in_both_directions(self):
        done, talks = self.talk()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for direction in ("out", "in"):
            facts = talks[direction]["identify"]
            self.assertEqual((facts["agent"], facts["their_push"], facts["our_push"]), ("fake", True, True), direction)
        self.assertIn("idle 1 s, ping", done.stdout)

    def test_a_push_that_is_not_understood_fails(self):
        done, talks = self.talk(us={"dial": "deaf"}, peer={"dial": "deaf"})
        self.assertIn("a push of go was not understood by us", talks["out"]["error"])
        self.assertIn("our push was not understood by go", talks["in"]["error"])
        self.assertEqual(done.returncode, 1)

    def test_a_listener_that_misses_our_push_fails(self):
        done, talks = self.talk(peer={"listen": "deaf"})
        self.assertIn("our push was not understood by go", talks["out"]["error"])

    def test_a_known_limit_of_a_peer_is_a_footnote(self):
        self.capabilities({}, identify={"their_push": "it never pushes"})
        done, talks = self.talk(us={"dial": "deaf"})
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("no [1]", done.stdout)
        self.assertIn("[1] go: it never pushes", done.stdout)

    def test_a_nameless_peer_and_a_short_minute_fail(self):
        done, talks = self.talk(us={"dial": "nameless"}, peer={"dial": "leaves"})
        self.assertIn("go did not say who it is", talks["out"]["error"])
        self.assertIn("expected 1 s and 3", talks["in"]["error"])
        self.assertEqual(done.returncode, 1)

    def everything(self, *args, **faults):
        """Both parts with one peer that has no answer to the commands of circuits: those fail."""
        return self.drive("--only", "direct,circuit", "--timeout", "2", *args, **faults)

    def test_circuits_come_after_the_table_with_one_summary_and_one_exit_code(self):
        done, cells = self.everything()
        self.assertEqual([cell["outcome"] for cell in cells], ["ok"] * 2, done.stdout + done.stderr)
        circuits = json.loads((self.folder / "out.json").read_text())["circuits"]
        self.assertEqual(len(circuits), 2**3 - 1)
        self.assertEqual({cell["outcome"] for cell in circuits}, {"failed"})
        self.assertEqual(done.stdout.count("go: install\n"), 1)
        self.assertIn("9 of 9 cells", done.stdout)
        self.assertIn("2 ok, 7 failed", done.stdout)
        self.assertEqual(done.returncode, 1)

    def test_circuits_are_in_a_run_that_was_not_narrowed(self):
        env = dict(os.environ, FAKE="{}", FAKE_LOG=str(self.folder / "log"))
        argv = [sys.executable, "run", "--us", "./fake-tidewire", "--peers", "go", "--hold", "0", "--timeout", "2", "--ttl", "1"]
        subprocess.run([*argv, "--json", "out.json"], cwd=self.folder, env=env, capture_output=True, text=True, timeout=120)
        result = json.loads((self.folder / "out.json").read_text())
        self.assertEqual(len(result["cells"]), 16)
        kinds = {cell["scenario"].split()[0] for cell in result["circuits"]}
        self.assertEqual(kinds, {"circuit", "limits", "refused", "renewal", "restart", "autonat"})

    def test_no_keep_going_begins_no_circuits_after_a_failure(self):
        done, cells = self.everything("--no-keep-going", us={"dial": "refuses"})
        self.assertEqual(len(cells), 1)
        self.assertNotIn("circuits", json.loads((self.folder / "out.json").read_text()))

    def test_no_keep_going_stops_at_the_first_failure(self):
        done, cells = self.drive("--no-keep-going", us={"dial": "refuses"})
        self.assertEqual(len(cells), 1)
        self.assertEqual(done.returncode, 1)

    def test_an_unusable_command_line_ends_with_2(self):
        for args in (["--peers", "perl"], ["--cells", "tls"], ["--timeout", "0"], ["--us", "nothing-there"], ["--only", "tls"], ["--baseline"]):
            with self.subTest(args):
                done, _ = self.drive(*args)
                self.assertEqual(done.returncode, 2)
                self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    unittest.main()
