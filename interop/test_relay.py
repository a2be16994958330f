#!/usr/bin/env python3
"""Tests of the circuits of `run`: it and what it needs, copied beside fake peers that misbehave as told. Run with: python3
interop/test_relay.py"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from driver.scenarios import plan  # noqa: E402

PEERS = ["go", "js", "py", "rust"]

# FAKE is {party: {command: fault}}. No byte passes between these: each knows what the others would say.
FAKE_PEER = f"#!{sys.executable}" + r'''
import json, os, pathlib, signal, subprocess, sys, threading, time

command, args = sys.argv[1], sys.argv[2:]
path = pathlib.Path(sys.argv[0])
name = "tidewire" if path.name == "fake-tidewire" else path.parent.name
fault = json.loads(os.environ["FAKE"]).get(name, {}).get(command)
log = pathlib.Path(os.environ["FAKE_LOG"])
with open(log, "a") as lines:
    print(name, *sys.argv[1:], file=lines)

def option(key, default=None):
    return args[args.index(key) + 1] if key in args else default

def say(**line):
    print(json.dumps(line), flush=True)

def serve(seconds=60):
    code = 3 if fault == "dirty" else 0
    signal.signal(signal.SIGTERM, signal.SIG_IGN if fault == "stays" else lambda *_: sys.exit(code))
    time.sleep(seconds)
    sys.exit(9)

if command in ("relay", "autonat-server"):
    if fault == "refuses":
        sys.exit("no such command")
    say(listening=option("--listen", "/ip4/127.0.0.1/tcp/1") + ("/p2p/id-R" if fault != "forgets" else f"/p2p/{os.getpid()}"))
    serve(0.4 if fault == "dies" else 60)

if command == "reserve":
    relay = args[0]
    if option("--seed") == "4" and fault != "two":
        say(reserved=False, error="no room")
        sys.exit(1)
    if fault == "refuses":
        say(reserved=False, error="not for you")
        sys.exit(1)
    reserved = {"reserved": True, "circuit": f"{relay}/p2p-circuit/p2p/id-{option('--seed')}", "peer": "x"}
    say(event="noise", about="nothing")
    say(**reserved, renewed=False)
    if fault != "once":
        threading.Timer(0.2, say, kwargs={**reserved, "renewed": True}).start()
        threading.Timer(0.3, say, kwargs={**reserved, "renewed": False}).start()
    serve()

if command == "dial-circuit":
    size, to = int(option("--size")), args[0].rsplit("/p2p/", 1)[1]
    if fault == "hangs" or fault == "deaf" and size > 65536:
        child = subprocess.Popen(["sleep", "60"])
        (log.parent / "pids").write_text(f"{os.getpid()} {child.pid}")
        time.sleep(60)
    if fault == "silent":
        print("Traceback: all is lost", file=sys.stderr)
        sys.exit(1)
    error = None
    if fault == "refuses":
        error = "no route"
    elif (size > 65536 or "--hold" in args) and fault != "greedy":
        error = "reset" if fault == "mute" else "the relay's limit was reached"
    elif not to.startswith("id-") and fault != "lucky":
        error = "NO_RESERVATION"
    if error:
        say(ok=False, error=error)
        sys.exit(1)
    say(
        ok=True,
        peer="id-9" if fault == "stranger" else to,
        security="noise",
        muxer="yamux",
        connect_ms=1.0,
        ping_ms=[1.0] * (2 if fault == "two pings" else 3),
        echo={"bytes": size - 1 if fault == "short" else size, "ms": 1.0},
        upgraded=fault == "upgraded",
    )
    sys.exit(4 if fault == "dirty" else 0)

if command == "autonat-client":
    told = "private" if "--announce" in args else "public"
    if fault == "refuses":
        say(ok=False, error="who are you")
        sys.exit(1)
    wrong = {"reachability": "unknown", "error": "rate limited"}
    say(ok=True, v1={"reachability": told}, v2=wrong if fault == "unsure" else {"reachability": told})
    sys.exit(0)
sys.exit(f"unknown command {command}")
'''


class Relay(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="relay-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        for name in ("run", "relay"):
            shutil.copy(HERE / name, self.folder / name)
        shutil.copytree(HERE / "driver", self.folder / "driver", ignore=shutil.ignore_patterns("__pycache__"))
        self.program(self.folder / "fake-tidewire", FAKE_PEER)
        for name in PEERS:
            (self.folder / name).mkdir()
            self.program(self.folder / name / "peer", FAKE_PEER)
            self.program(self.folder / name / "install", "#!/bin/sh\nexit 0\n")
            self.capabilities(name)

    def program(self, path, text):
        path.write_text(text)
        path.chmod(0o755)

    def capabilities(self, name, *defects, **more):
        facts = {"version": "1", "cells": {}, "relay": list(defects), **more}
        (self.folder / name / "capabilities.json").write_text(json.dumps(facts))

    def drive(self, only, *args, **faults):
        """Runs the driver; gives how it ended, and its cells by scenario and names."""
        log = self.folder / "log"
        env = dict(os.environ, FAKE=json.dumps(faults), FAKE_LOG=str(log))
        argv = [sys.executable, "run", "--only", only, "--us", "./fake-tidewire", "--json", "out.json", *args]
        done = subprocess.run(argv, cwd=self.folder, env=env, capture_output=True, text=True, timeout=120)
        self.log = log.read_text() if log.exists() else ""
        out = self.folder / "out.json"
        cells = json.loads(out.read_text())["circuits"] if out.exists() else []
        roles = ("relay", "listener", "dialer", "server", "client")
        return done, {(c["scenario"], "/".join(c[role] for role in roles if role in c)): c for c in cells}

    def fails(self, only, error, *args, **faults):
        """Its one cell fails with this error, and the run ends with 1."""
        done, cells = self.drive(only, *args, **faults)
        self.assertEqual([cell["outcome"] for cell in cells.values()], ["failed"], done.stdout + done.stderr)
        (cell,) = cells.values()
        self.assertIn(error, cell["error"])
        self.assertIn(error, done.stdout)
        self.assertEqual(done.returncode, 1)
        return cell

    def test_everything_working_ends_with_0(self):
        done, cells = self.drive("circuit,limits,refused,restart,autonat,renewal", "--ttl", "1")
        outcomes = {cell["outcome"] for cell in cells.values()}
        self.assertEqual(outcomes, {"ok"}, done.stdout + done.stderr)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len([1 for scenario, _ in cells if scenario == "circuit"]), 61)

    def test_each_part_gets_its_own_options(self):
        self.drive("circuit,go/js/tidewire")
        common = "--security noise --muxer yamux --seed"
        self.assertEqual(self.log.splitlines(), [
            f"go relay --data-limit 0 --duration 0 {common} 1",
            f"js reserve /ip4/127.0.0.1/tcp/1/p2p/id-R {common} 2",
            f"tidewire dial-circuit /ip4/127.0.0.1/tcp/1/p2p/id-R/p2p-circuit/p2p/id-2 --size 16384 {common} 3 --json",
        ])  # fmt: skip

    def test_the_parts_are_summed_up_in_a_table(self):
        done, _ = self.drive("circuit,limits,go/tidewire/*", js={"dial-circuit": "refuses"})
        table = done.stdout.split("All of it by part")[1].splitlines()
        rows = [" ".join(line.split()) for line in table[1:]]
        self.assertIn("tidewire go js py rust", rows[0])
        self.assertIn("circuit relay - 4 of 5 ok - - -", rows)
        self.assertIn("dialer ok (1) ok (1) 0 of 1 ok ok (1) ok (1)", rows)
        self.assertIn("limits data relay - ok (1) - - -", rows)

    def test_the_matrix_is_a_table(self):
        done, _ = self.drive("circuit,go/*/*")
        self.assertRegex(done.stdout, r"relay +listener +<- tidewire +<- go +<- js +<- py +<- rust")
        self.assertRegex(done.stdout, r"go +tidewire +ok +ok +ok +ok +ok\n")
        self.assertRegex(done.stdout, r"go +go +ok +- +- +- +-\n")

    def test_only_the_named_peers_take_part(self):
        done, cells = self.drive("circuit", "--peers", "go,rust")
        self.assertEqual(len(cells), 3**3 - 2**3, done.stdout + done.stderr)
        self.assertEqual({line.split()[0] for line in self.log.splitlines()}, {"tidewire", "go", "rust"})

    def test_no_keep_going_begins_nothing_more_after_a_failure(self):
        done, cells = self.drive("circuit", "--no-keep-going", "--jobs", "1", tidewire={"relay": "refuses"})
        self.assertLess(len(cells), 61)
        self.assertIn(f"{len(cells)} of 61 cells", done.stdout)
        self.assertEqual(done.returncode, 1)

    def test_the_short_name_runs_circuits_alone(self):
        env = dict(os.environ, FAKE="{}", FAKE_LOG=str(self.folder / "log"))
        argv = ["./relay", "--only", "circuit,go/js/tidewire", "--us", "./fake-tidewire", "--json", "out.json"]
        done = subprocess.run(argv, cwd=self.folder, env=env, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("1 of 1 cells", done.stdout)

    def test_the_baseline_is_without_tidewire(self):
        done, cells = self.drive("circuit,*/go/*", "--baseline")
        self.assertEqual(len(cells), 16, done.stdout + done.stderr)
        self.assertNotIn("tidewire", self.log)

    def test_a_refusal_is_a_failure_with_its_words(self):
        self.fails("circuit,go/js/tidewire", "the dialer (tidewire): no route", tidewire={"dial-circuit": "refuses"})
        self.fails("circuit,go/js/tidewire", "the listener (js): not for you", js={"reserve": "refuses"})
        self.fails("circuit,go/js/tidewire", "the relay (go) ended with exit code 1", go={"relay": "refuses"})

    def test_a_report_that_does_not_fit_fails(self):
        for fault, error in {
            "stranger": "peer is 'id-9'",
            "two pings": "ping_ms is",
            "short": "echo is",
            "upgraded": "upgraded is True",
            "dirty": "exit code 4",
        }.items():
            with self.subTest(fault):
                self.fails("circuit,tidewire/tidewire/go", error, go={"dial-circuit": fault})

    def test_a_dialer_without_a_report_shows_its_stderr(self):
        cell = self.fails("circuit,tidewire/tidewire/go", "without a report", go={"dial-circuit": "silent"})
        self.assertEqual(cell["tails"]["3-dialer-go.stderr"], ["Traceback: all is lost"])

    def test_a_hanging_dialer_is_ended_with_its_children(self):
        self.fails("circuit,tidewire/tidewire/go", "not done within 2 s", "--timeout", "2", go={"dial-circuit": "hangs"})
        self.assert_gone()

    def assert_gone(self):
        for pid in (self.folder / "pids").read_text().split():
            state = pathlib.Path(f"/proc/{pid}/stat")
            self.assertTrue(not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z", pid)

    def test_an_interrupted_run_leaves_nobody(self):
        env = dict(os.environ, FAKE=json.dumps({"go": {"dial-circuit": "hangs"}}), FAKE_LOG=str(self.folder / "log"))
        argv = [sys.executable, "run", "--only", "circuit,*/go", "--us", "./fake-tidewire"]
        run = subprocess.Popen(
            argv, cwd=self.folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            # A shell's background jobs, CI's among them, begin deaf to it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        until = time.monotonic() + 20
        while not (self.folder / "pids").exists() and time.monotonic() < until:
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        _, stderr = run.communicate(timeout=20)
        self.assertEqual((run.returncode, "Traceback" in stderr), (130, False), stderr)
        self.assert_gone()

    def test_a_part_that_does_not_end_cleanly_fails(self):
        self.fails("circuit,go/js/tidewire", "the relay (go) answered SIGTERM with exit code 3", go={"relay": "dirty"})
        self.fails("circuit,go/js/tidewire", "the listener (js) was still there", js={"reserve": "stays"})

    def test_a_failure_leaves_the_other_dialers_alone(self):
        done, cells = self.drive("circuit,go/tidewire/*", js={"dial-circuit": "refuses"})
        outcomes = {names.split("/")[2]: cell["outcome"] for (_, names), cell in cells.items()}
        self.assertEqual(outcomes, {"tidewire": "ok", "go": "ok", "js": "failed", "py": "ok", "rust": "ok"})
        self.assertEqual(self.log.count("go relay"), 2)

    def test_a_relay_that_died_is_started_anew(self):
        self.capabilities("go", relay_pause={"seconds": 0.6, "reason": "slow"})
        done, cells = self.drive("circuit,go/tidewire/*", go={"relay": "dies"})
        self.assertGreaterEqual(self.log.count("go relay"), 4)
        # The last one's relay dies too, or is ended in time: only those before must all have worked.
        outcomes = [cell["outcome"] for (_, names), cell in cells.items() if not names.endswith("/rust")]
        self.assertEqual(outcomes, ["ok"] * 4, done.stdout)

    def test_a_limit_must_hold_and_be_noticed_and_named(self):
        data = "limits data,go/tidewire/tidewire"
        self.fails(data, "did more than it may: 524288 bytes", tidewire={"dial-circuit": "greedy"})
        self.fails(data, "not done within 1 s", "--timeout", "2", tidewire={"dial-circuit": "deaf"})
        self.fails(data, "did not say that it was the limit: reset", tidewire={"dial-circuit": "mute"})
        duration = "limits duration,go/tidewire/tidewire"
        self.fails(duration, "after 6 s one of 2 s was still there", tidewire={"dial-circuit": "greedy"})
        done, cells = self.drive("limits data,tidewire/tidewire/go", go={"dial-circuit": "mute"})
        self.assertEqual([(cell["outcome"], cell["saw"]) for cell in cells.values()], [("ok", "reset")], done.stdout)

    def test_what_must_be_refused_must_be_refused(self):
        self.fails("refused,go/tidewire/tidewire", "without a reservation came up", tidewire={"dial-circuit": "lucky"})
        self.fails("refused,go/tidewire/tidewire", "room for one reservation gave two", tidewire={"reserve": "two"})

    def test_a_listener_that_does_not_renew_fails(self):
        error = "the listener (go) did not renew its reservation within 1 s"
        self.fails("renewal,tidewire/go/tidewire", error, "--ttl", "1", go={"reserve": "once"})

    def test_a_relay_that_restarts_must_be_the_same_and_be_found(self):
        error = "the listener (go) did not reserve again within 3 s"
        self.fails("restart,tidewire/go/tidewire", error, "--timeout", "2", go={"reserve": "once"})
        self.fails("restart,go/tidewire/tidewire", "restarted at", go={"relay": "forgets"})

    def test_autonat_has_a_cell_for_each_version(self):
        done, cells = self.drive("autonat,tidewire/go", go={"autonat-client": "unsure"})
        outcomes = {scenario: cell["outcome"] for (scenario, _), cell in cells.items()}
        self.assertEqual(outcomes, {
            "autonat v1 reachable": "ok", "autonat v2 reachable": "failed",
            "autonat v1 unreachable": "ok", "autonat v2 unreachable": "failed",
        })  # fmt: skip
        self.assertIn("was told 'unknown', not 'public': rate limited", done.stdout)
        done, cells = self.drive("autonat,tidewire/go", go={"autonat-client": "refuses"})
        self.assertEqual([cell["outcome"] for cell in cells.values()], ["failed"] * 4)

    def defect(self, **more):
        return {"relay": "go", "dialer": "tidewire", "reason": "it drops them", "reference": "issue 7", **more}

    def test_a_declared_defect_is_expected_with_its_reference(self):
        self.capabilities("go", self.defect(scenario="circuit"))
        done, cells = self.drive("circuit,go/*/tidewire", tidewire={"dial-circuit": "refuses"})
        self.assertEqual({cell["outcome"] for cell in cells.values()}, {"impossible"}, done.stdout)
        self.assertIn("[1] go: it drops them (issue 7)", done.stdout)
        self.assertEqual(done.returncode, 0)

    def test_a_declared_defect_that_does_not_show_is_unexpected(self):
        self.capabilities("go", self.defect())
        done, cells = self.drive("circuit,go/go/*,go/js/tidewire")
        outcomes = {names: cell["outcome"] for (_, names), cell in cells.items()}
        self.assertEqual(outcomes, {"go/go/tidewire": "unexpected", "go/js/tidewire": "unexpected"})
        self.assertEqual(done.returncode, 1)

    def test_a_defect_that_shows_sometimes_is_expected_either_way(self):
        self.capabilities("go", self.defect(sometimes=True))
        for faults in ({}, {"tidewire": {"dial-circuit": "refuses"}}):
            self.assertEqual(self.drive("circuit,go/js/tidewire", **faults)[0].returncode, 0)

    def test_a_defect_is_only_for_the_parts_that_it_names(self):
        self.capabilities("go", self.defect(scenario="limits*"), self.defect(listener="rust"), {**self.defect(), "dialer": "py"})
        self.fails("circuit,go/js/tidewire", "no route", tidewire={"dial-circuit": "refuses"})

    def test_a_defect_without_a_reference_fails(self):
        self.capabilities("go", {"relay": "go", "reason": "because"})
        self.fails("circuit,go/js/tidewire", "capabilities.json")

    def test_a_peer_that_does_not_install_fails_even_where_a_defect_is_declared(self):
        self.capabilities("go", self.defect())
        self.program(self.folder / "go" / "install", "#!/bin/sh\nexit 1\n")
        self.fails("circuit,go/js/tidewire", "install ended with code 1")

    def test_an_unusable_command_line_ends_with_2(self):
        for args in (["juggling"], ["circuit,perl/js/go"], ["circuit", "--timeout", "0"], ["circuit", "--us", "nothing-there"]):
            with self.subTest(args):
                done, _ = self.drive(*args)
                self.assertEqual(done.returncode, 2, done.stdout)
                self.assertNotIn("Traceback", done.stderr)


class Party:
    def __init__(self, name):
        self.name, self.defects, self.problem = name, [], None


class Plan(unittest.TestCase):
    us, peers = Party("tidewire"), [Party(name) for name in PEERS]

    def cells(self, baseline):
        return [cell for job in plan(self.us, self.peers, baseline) for cell in job.cells]

    def test_tidewire_has_a_part_in_each_cell_and_each_combination_with_it_is_there(self):
        cells = self.cells(False)
        self.assertTrue(all("tidewire" in cell.triple.split("/") for cell in cells))
        self.assertEqual(len({cell.triple for cell in cells if cell.scenario == "circuit"}), 5**3 - 4**3)

    def test_each_peer_has_each_part_that_a_scenario_is_about(self):
        for scenario, parts in {
            "limits": ("relay", "listener", "dialer"),
            "refused": ("relay", "dialer"),
            "renewal": ("relay", "listener"),
            "restart": ("relay", "listener"),
        }.items():
            cells = [cell for cell in self.cells(False) if cell.scenario.split()[0] == scenario]
            for part in parts:
                names = {cell.roles[part].name for cell in cells}
                self.assertEqual(names, {"tidewire", *PEERS}, (scenario, part))

    def test_autonat_is_tried_both_ways_with_go_and_rust(self):
        pairs = {cell.triple for cell in self.cells(False) if cell.scenario == "autonat v2 unreachable"}
        self.assertEqual(pairs, {"tidewire/tidewire", "tidewire/go", "tidewire/rust", "go/tidewire", "rust/tidewire"})

    def test_the_baseline_has_each_combination_without_tidewire(self):
        triples = {cell.triple for cell in self.cells(True) if cell.scenario == "circuit"}
        self.assertEqual(len(triples), 4**3)
        self.assertFalse(any("tidewire" in cell.triple for cell in self.cells(True)))


if __name__ == "__main__":
    unittest.main()
