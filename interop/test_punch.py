#!/usr/bin/env python3
"""Tests of `punch`, as far as they need no root: its cases, its cells, what it asks of a run, with fake peers that misbehave as
told and no network between them. Run with: python3 interop/test_punch.py"""

import argparse
import contextlib
import io
import os
import pathlib
import stat
import struct
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from driver import network, punch_tables, punches  # noqa: E402
from driver.network import KINDS, OUTER, hardware, rules  # noqa: E402
from driver.party import Party, Tidewire, peer  # noqa: E402
from driver.process import Failure, Unusable  # noqa: E402
from driver.punches import CASES, Punch, Run  # noqa: E402
from driver.switch import Capture  # noqa: E402

ADDRESS = "/ip4/11.0.0.3/tcp/4001"

# Says what a peer would; FAULT is role=what is wrong.
FAKE_PEER = f"#!{sys.executable}" + r'''
import json, os, pathlib, signal, sys, time

command, args = sys.argv[1], sys.argv[2:]
role, _, fault = os.environ["FAULT"].partition("=")
fault = fault if role == command else None
with open(os.environ["FAKE_LOG"], "a") as log:
    print(*sys.argv[1:], file=log)

def say(**line):
    print(json.dumps(line), flush=True)

def serve():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3 if fault == "dirty" else 0))
    time.sleep(60)

if command == "relay":
    say(listening="/ip4/11.0.0.10/tcp/4001/p2p/R")
    serve()
if command == "reserve":
    say(reserved=True, circuit=f"{args[0]}/p2p-circuit/p2p/B", peer="B", renewed=False)
    if fault != "silent":
        say(direct=True, peer="A", addr="/ip4/11.0.0.2/tcp/4001")
    serve()
echo = {"bytes": int(args[args.index("--size") + 1]), "ms": 1.0}
report = dict(ok=True, peer="B", security="noise", muxer="yamux", connect_ms=5.0, ping_ms=[1.0] * 3, echo=echo, upgraded=True,
              upgrade_ms=7.0, direct_addr="/ip4/11.0.0.3/tcp/4001", direct_echo=echo)
if fault == "circuit":
    report |= {"upgraded": False}
elif fault == "deaf":
    report |= {"upgraded": False, "echo": None}
elif fault:
    report.pop(fault)
say(**report)
'''


def case(name):
    return next(case for case in CASES if case.name == name)


class Fake:
    """Of a party only what a cell looks at."""

    def __init__(self, name, defects=()):
        self.name, self.punch_defects, self.problem = name, list(defects), None


def report(upgraded=True, took=7.0):
    return {"upgraded": upgraded, "upgrade_ms": took, "connect_ms": 5.0, "direct_addr": ADDRESS}


def cell(name, *runs, defects=()):
    us = Fake("tidewire")
    made = Punch(case(name), us, us, Fake("rust", defects), len(runs))
    made.runs = list(runs)
    return made


DIRECT, CIRCUIT, BROKEN = Run(report()), Run(report(False, None)), Run(error="the dialer broke")
DEFECT = {"listener": "rust", "cases": ["pres*"], "reason": "it can't", "reference": "its source, line 1"}


class Outcomes(unittest.TestCase):
    def test_each_expectation_asks_for_its_own_runs_and_never_for_a_broken_one(self):
        for name, fits in {"preserving": [DIRECT], "random": [CIRCUIT], "rejecting": [DIRECT, CIRCUIT]}.items():
            for run in [DIRECT, CIRCUIT, BROKEN]:
                self.assertEqual(run.fits(case(name).expects), run in fits, (name, run.report))

    def test_one_run_that_does_not_fit_fails_the_cell_and_says_why(self):
        failed = cell("preserving", DIRECT, CIRCUIT, DIRECT)
        self.assertEqual((failed.outcome, failed.expected, failed.upgrades), ("failed", False, 2))
        self.assertEqual(failed.error, "no direct connection")
        self.assertEqual(cell("random", DIRECT).error, "upgraded to a direct connection")
        self.assertEqual(cell("random", BROKEN).error, "the dialer broke")

    def test_a_cell_without_runs_is_not_ok(self):
        self.assertEqual(cell("preserving").outcome, "failed")

    def test_a_declared_defect_has_to_show_itself(self):
        self.assertEqual(cell("preserving", CIRCUIT, defects=[DEFECT]).outcome, "impossible")
        self.assertEqual(cell("preserving", DIRECT, defects=[DEFECT]).outcome, "unexpected")
        self.assertTrue(cell("preserving", DIRECT, defects=[DEFECT | {"sometimes": True}]).expected)

    def test_a_defect_counts_in_its_cases_and_roles_alone(self):
        self.assertEqual(cell("cone", CIRCUIT, defects=[DEFECT]).outcome, "failed")
        self.assertEqual(cell("preserving", CIRCUIT, defects=[{**DEFECT, "listener": "go"}]).outcome, "failed")

    def test_a_peer_that_is_not_there_is_never_expected(self):
        missing = cell("preserving", defects=[DEFECT])
        missing.roles["listener"].problem = "install ended with code 1"
        self.assertEqual((missing.outcome, missing.error), ("failed", "install ended with code 1"))

    def test_the_medians_are_of_the_direct_ones(self):
        some = cell("rejecting", Run(report(took=1.0)), CIRCUIT, Run(report(took=2.0)), Run(report(took=30.0)))
        self.assertEqual((some.median, some.whole), (2.0, 7.0))
        self.assertIsNone(cell("rejecting", CIRCUIT).median)


class Plan(unittest.TestCase):
    us, peers = Fake("tidewire"), [Fake("rust"), Fake("go")]

    def plan(self):
        return punches.plan(self.us, self.peers, [self.peers[0]], 10, 3, [self.peers[0]])

    def test_tidewire_meets_itself_and_each_peer_both_ways_in_every_case(self):
        pairs = {(c.row[:2], c.case.name) for c in self.plan()}
        for pair in [("tidewire", "tidewire"), ("tidewire", "rust"), ("rust", "tidewire"), ("tidewire", "go"), ("go", "tidewire"), ("rust", "rust")]:
            for one in CASES:
                self.assertIn((pair, one.name), pairs)
        self.assertEqual(len(self.plan()), 6 * len(CASES) + 1)

    def test_tidewire_with_itself_is_tried_most(self):
        self.assertEqual({c.count for c in self.plan() if c.row == ("tidewire",) * 3}, {10})
        self.assertEqual({c.count for c in self.plan() if c.row != ("tidewire",) * 3}, {3})

    def test_another_relay_is_named_in_its_row(self):
        self.assertEqual([c.title for c in self.plan() if c.row[2] == "rust"], ["tidewire -> tidewire by rust"])

    def test_only_takes_cases_and_pairs_with_patterns(self):
        chosen = punches.chosen(self.plan(), ["*-delay", "tidewire/*"])
        self.assertEqual({c.case.name for c in chosen}, {"preserving-delay", "rejecting-delay"})
        self.assertEqual({c.row[0] for c in chosen}, {"tidewire"})
        with self.assertRaises(Unusable):
            punches.chosen(self.plan(), ["juggling"])


class Capabilities(unittest.TestCase):
    def party(self, punch):
        with tempfile.TemporaryDirectory(dir=HERE) as folder:
            path = pathlib.Path(folder) / "capabilities.json"
            path.write_text(f'{{"cells": {{}}, "punch": {punch}}}')
            return Party("some", "peer", pathlib.Path(folder))

    def test_js_says_why_it_takes_no_part(self):
        js = peer("js")
        self.assertIsNone(js.problem)
        self.assertTrue(js.punch["reason"] and js.punch["reference"])

    def test_the_others_declare_nothing_unusable(self):
        for name in ["go", "py", "rust"]:
            self.assertIsNone(peer(name).problem, name)

    def test_an_excuse_without_a_reference_is_refused(self):
        self.assertIn("reference", self.party('{"not": {"reason": "because"}}').problem)
        self.assertIn("cases", self.party('{"defects": [{"reason": "because", "reference": "there"}]}').problem)
        self.assertIn("excuses", self.party('{"excuses": []}').problem)


class Network(unittest.TestCase):
    def test_the_routers_do_what_their_names_say(self):
        text = {kind: rules(*how, "10.1.0.2") for kind, how in KINDS.items() if how}
        self.assertEqual([kind for kind in text if "fully-random" in text[kind]], ["random"])
        self.assertEqual([kind for kind in text if "dnat to 10.1.0.2" in text[kind]], ["cone"])
        self.assertEqual([kind for kind in text if 'iifname "wan" accept' in text[kind]], ["rejecting"])
        self.assertTrue(all("established,related accept" in each for each in text.values()))

    def test_every_case_has_routers_that_can_be_built(self):
        for one in CASES:
            self.assertLessEqual({one.dialer, one.listener}, set(KINDS))

    def test_hardware_addresses_are_local_and_differ(self):
        made = {hardware(address) for address in OUTER.values()}
        self.assertEqual(made, {"02:00:0b:00:00:02", "02:00:0b:00:00:03"})

    def test_a_capture_is_a_pcap_file_of_ethernet_frames(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "some.pcap"
            capture = Capture(path)
            capture.write(b"\x01" * 60)
            capture.close()
            data = path.read_bytes()
        self.assertEqual(struct.unpack("<IHH", data[:8]), (0xA1B2C3D4, 2, 4))
        self.assertEqual(struct.unpack("<I", data[20:24]), (1,))
        self.assertEqual(struct.unpack("<II", data[32:40]), (60, 60))
        self.assertEqual(data[40:], b"\x01" * 60)


class NoNetwork:
    """Everyone on this machine, as they are."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def inside(self, who):
        return ["env", f"WHO={who}"]

    def address(self, who):
        return {"relay": "11.0.0.10", "a": "10.1.0.2", "b": "10.2.0.2"}[who]


class Plays(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        program = self.folder / "fake"
        program.write_text(FAKE_PEER)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.us, self.other = Tidewire("tidewire", program), Party("rust", program)
        self.enterContext(mock.patch.object(punches, "Network", NoNetwork))
        self.enterContext(mock.patch.object(punches, "BOTH", 0.5))
        self.log = self.folder / "log"

    def enterContext(self, context):  # unittest has it from 3.11 on
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def run_one(self, fault="", name="preserving"):
        options = argparse.Namespace(timeout=10.0, wait=2, wait_none=1, logs=None)
        with mock.patch.dict(os.environ, {"FAULT": fault, "FAKE_LOG": str(self.log)}):
            one = Punch(case(name), self.us, self.us, self.other, 1)
            return punches.attempt(one, options, self.folder / "logs")

    def test_a_good_run_upgrades(self):
        run = self.run_one()
        self.assertIsNone(run.error)
        self.assertEqual((run.upgraded, run.took, run.whole), (True, 7.0, 12.0))

    def test_everyone_listens_where_their_host_is_and_only_peers_are_told_to_punch(self):
        self.run_one()
        lines = {line.split()[0]: line for line in self.log.read_text().splitlines()}
        self.assertIn("--listen /ip4/11.0.0.10/tcp/4001 --data-limit 0 --duration 0", lines["relay"])
        self.assertIn("--listen /ip4/10.2.0.2/tcp/4001 --dcutr", lines["reserve"])
        self.assertIn("--listen /ip4/10.1.0.2/tcp/4001 --wait 2", lines["dial-circuit"])
        self.assertIn("--json", lines["dial-circuit"])
        self.assertNotIn("--json", lines["reserve"])

    def test_where_no_direct_connection_can_come_it_waits_less(self):
        run = self.run_one("dial-circuit=circuit", "random")
        self.assertIsNone(run.error)
        self.assertIn("--wait 1", self.log.read_text())

    def test_a_circuit_that_does_not_echo_is_no_good_run(self):
        self.assertIn("echo is None", self.run_one("dial-circuit=deaf", "random").error)

    def test_an_upgrade_without_time_address_or_echo_is_no_good_run(self):
        for key in ["upgrade_ms", "direct_addr", "direct_echo"]:
            self.assertIn(f"{key} is None", self.run_one(f"dial-circuit={key}").error)

    def test_the_listener_has_to_see_it_too(self):
        self.assertIn("the listener (rust) did not tell", self.run_one("reserve=silent").error)

    def test_a_failed_run_keeps_the_last_words_of_everyone(self):
        tails = self.run_one("reserve=silent").tails
        self.assertTrue(any("reserved" in line for lines in tails.values() for line in lines))

    def test_how_they_end_counts(self):
        self.assertIn("exit code 3", self.run_one("relay=dirty").error)

    def test_a_bug_of_the_program_itself_is_a_failed_run(self):
        with mock.patch.object(punches, "play", side_effect=KeyError("x")):
            self.assertIn("interop/punch itself: KeyError", self.run_one().error)


class Program(unittest.TestCase):
    def test_where_the_network_may_not_be_built_it_says_so_and_ends_with_0(self):
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run([sys.executable, HERE / "punch"], env={"PATH": empty}, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(len(done.stdout.splitlines()), 1)
        self.assertTrue(done.stdout.startswith("interop/punch: skipped: it takes root" if os.geteuid() else "interop/punch: skipped: `ip`"))

    def test_an_unusable_command_line_ends_with_2(self):
        for args in (["--runs", "0"], ["--peers", "js"], ["--only", "a/b/c"], ["--relays", "perl"]):
            done = subprocess.run([sys.executable, HERE / "punch", *args], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 2, args)

    def test_without_root_it_says_that_it_takes_root(self):
        with mock.patch.object(os, "geteuid", return_value=1000):
            self.assertIn("takes root", network.why_not())

    def test_the_table_has_each_pair_each_case_and_each_remark_once(self):
        cells = [cell("preserving-delay", DIRECT), cell("cone", CIRCUIT, DIRECT), cell("random", CIRCUIT)]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            punch_tables.print_tables(cells, [], punches.DELAYS)
        row = next(line for line in out.getvalue().splitlines() if line.startswith("tidewire -> rust"))
        self.assertEqual(row.split("  ")[0], "tidewire -> rust")
        for text in ["1/1 7 ms (12 ms)", "1/2 7 ms [1]", "0/1"]:
            self.assertIn(text, row)
        self.assertIn("[1] tidewire -> rust, cone: no direct connection", out.getvalue())


if __name__ == "__main__":
    unittest.main()
