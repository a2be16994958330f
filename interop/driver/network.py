"""Hosts behind routers, in network namespaces of this machine's kernel.

    a 10.1.0.2 -- router of a 11.0.0.2 --.
                                          [ switch ] -- relay 11.0.0.10
    b 10.2.0.2 -- router of b 11.0.0.3 --'

A host without a router has the outer address itself. Nothing of it can be reached from outside the namespaces.
"""

import contextlib
import itertools
import os
import pathlib
import shutil
import subprocess
import threading

from driver.process import Unusable
from driver.switch import Switch

RELAY = "11.0.0.10"
OUTER = {"a": "11.0.0.2", "b": "11.0.0.3"}
INNER = {"a": "10.1.0", "b": "10.2.0"}

# What a router does, by name. `masquerade` keeps the port if it can; `fully-random` takes another one for each flow.
KINDS = {
    "public": None,
    # Keeps the port for each destination, and lets nothing in that it did not see go out.
    "preserving": ("masquerade", "drop", "drop"),
    # The same, but what comes unasked for is answered by the router's own kernel: a reset.
    "rejecting": ("masquerade", "accept", "drop"),
    # Another port for each destination.
    "random": ("masquerade fully-random", "drop", "drop"),
    # Everything that comes is led to the host.
    "cone": ("masquerade", "drop", "accept"),
}


def why_not():
    """Why no such network can be built here, or None."""
    if os.geteuid() != 0:
        return "it takes root, for network namespaces"
    for program in ["ip", "nft"]:
        if not shutil.which(program):
            return f"`{program}` is not there: install " + {"ip": "iproute2", "nft": "nftables"}[program]
    if not pathlib.Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun, for the switch with its delays"
    name = f"tw{os.getpid()}-try"
    tried = _run(["ip", "netns", "add", name], check=False)
    if tried.returncode:
        return f"no network namespace can be made: {tried.stderr.strip()}"
    try:
        ruled = _run(["ip", "netns", "exec", name, "nft", "-f", "-"], rules("masquerade", "drop", "drop", "x"), check=False)
        if ruled.returncode:
            return f"the kernel takes no NAT rules: {ruled.stderr.strip()}"
    finally:
        _run(["ip", "netns", "del", name], check=False)
    return None


class Network:
    """Two hosts, `a` and `b`, each behind a router of some kind, and a relay. Delays are seconds one way, of each one's leg."""

    numbers = itertools.count(1)
    standing, lock = set(), threading.Lock()

    def __init__(self, a, b, delays=None, capture=None):
        self.kinds = {"a": a, "b": b}
        self.delays = {"a": 0.0, "b": 0.0, "relay": 0.0} | (delays or {})
        self.capture = capture
        self.prefix = f"tw{os.getpid()}n{next(Network.numbers)}"
        self.cleanup = contextlib.ExitStack()

    def __enter__(self):
        with Network.lock:
            Network.standing.add(self)
        try:
            self._build()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind, value, trace):
        self._end()

    @staticmethod
    def end_all():
        """Takes down what an interrupted run has left standing."""
        for network in list(Network.standing):
            network._end()

    def _end(self):
        with Network.lock:
            mine = self in Network.standing
            Network.standing.discard(self)
        if mine:
            self.cleanup.close()

    def inside(self, who):
        """What to put before a command so that it runs on this host: `a`, `b` or `relay`."""
        return ["ip", "netns", "exec", f"{self.prefix}{who}"]

    def address(self, who):
        """The address that this host's own sockets have."""
        if who == "relay":
            return RELAY
        return f"{INNER[who]}.2" if KINDS[self.kinds[who]] else OUTER[who]

    def _build(self):
        ports = {who: f"{self.prefix}w{who[0]}" for who in ["a", "b", "relay"]}
        switch = Switch({port: self.delays[who] for who, port in ports.items()}, self.capture)
        self.cleanup.callback(switch.close)
        for who in ["a", "b", "relay"]:
            self._namespace(who)
        self._outer("relay", ports["relay"], RELAY)
        for who in ["a", "b"]:
            if KINDS[self.kinds[who]] is None:
                self._outer(who, ports[who], OUTER[who])
            else:
                self._behind_router(who, ports[who], *KINDS[self.kinds[who]])
        self._neighbours()
        switch.start()

    def _neighbours(self):
        """Who is at the switch knows the others: else the first packet of each run would wait for an ARP answer."""
        addresses = {"relay": RELAY, **OUTER}
        for who in ["a", "b", "relay"]:
            holder = f"{self.prefix}{who}" + ("r" if KINDS[self.kinds.get(who, "public")] else "")
            for other in sorted(set(addresses) - {who}):
                _run(["ip", "-n", holder, "neigh", "replace", addresses[other], "lladdr", hardware(addresses[other]),
                      "dev", "wan", "nud", "permanent"])  # fmt: skip

    def _namespace(self, who):
        name = f"{self.prefix}{who}"
        _run(["ip", "netns", "add", name])
        self.cleanup.callback(_run, ["ip", "netns", "del", name], check=False)
        _run(["ip", "-n", name, "link", "set", "lo", "up"])
        return name

    def _outer(self, who, port, address):
        name = f"{self.prefix}{who}"
        _run(["ip", "link", "set", port, "netns", name])
        _run(["ip", "-n", name, "link", "set", port, "name", "wan", "address", hardware(address)])
        _run(["ip", "-n", name, "addr", "add", f"{address}/24", "dev", "wan"])
        _run(["ip", "-n", name, "link", "set", "wan", "up"])

    def _behind_router(self, who, port, masquerade, arriving, forwarded):
        host, net = f"{self.prefix}{who}", INNER[who]
        router = self._namespace(f"{who}r")
        self._outer(f"{who}r", port, OUTER[who])
        _run(["ip", "-n", host, "link", "add", "eth", "type", "veth", "peer", "name", "lan", "netns", router])
        for name, device, address in [(host, "eth", f"{net}.2/24"), (router, "lan", f"{net}.1/24")]:
            _run(["ip", "-n", name, "addr", "add", address, "dev", device])
            _run(["ip", "-n", name, "link", "set", device, "up"])
        _run(["ip", "-n", host, "route", "add", "default", "via", f"{net}.1"])
        _run(["ip", "netns", "exec", router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
        _run(["ip", "netns", "exec", router, "nft", "-f", "-"], rules(masquerade, arriving, forwarded, f"{net}.2"))


def hardware(address):
    """A locally administered one, made of the outer address."""
    return "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def rules(masquerade, arriving, forwarded, host):
    """A router: how it translates, and what becomes of what comes unasked for, to itself and to the hosts behind it."""
    lead = f'iifname "wan" meta l4proto {{ tcp, udp }} dnat to {host};' if forwarded == "accept" else ""
    return f"""
table ip nat {{
  chain pre {{ type nat hook prerouting priority dstnat; {lead} }}
  chain post {{ type nat hook postrouting priority srcnat; oifname "wan" {masquerade}; }}
}}
table ip filter {{
  chain input {{ type filter hook input priority filter; iifname "wan" ct state established,related accept; iifname "wan" {arriving}; }}
  chain forward {{ type filter hook forward priority filter; iifname "wan" ct state new {forwarded}; }}
}}
"""


def _run(argv, text=None, check=True):
    done = subprocess.run(argv, input=text, capture_output=True, text=True)
    if check and done.returncode:
        raise Unusable(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done
