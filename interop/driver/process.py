"""Children of a run: each in a process group of its own, its output in files, its end certain."""

import json
import os
import queue
import signal
import subprocess
import threading
import time

# Seconds. A peer that is told to end must be gone after GRACE.
GRACE = 5.0
TAIL_LINES = 20


class Failure(Exception):
    """A cell that did not work, in words."""


class Unusable(Exception):
    """Nothing can be run at all."""


class Process:
    """A child in a process group of its own, so that ending it can reach no one else's."""

    running = set()
    over = False

    def __init__(self, argv, logs, label):
        if Process.over:
            raise Failure("the run is over")
        self.stdout_path, self.stderr_path = logs / f"{label}.stdout", logs / f"{label}.stderr"
        with open(self.stderr_path, "wb") as stderr:
            self.child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
            )
        Process.running.add(self)
        self.lines, self.last = queue.Queue(), None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    @staticmethod
    def end_all():
        """Ends what still runs, and lets nothing begin any more."""
        Process.over = True
        for process in list(Process.running):
            process.kill()

    def _read(self):
        with open(self.stdout_path, "wb") as log:
            for line in self.child.stdout:
                log.write(line)
                log.flush()
                self.lines.put(line.decode(errors="replace").strip())
        self.lines.put(None)

    def line(self, until):
        """The next line of stdout; None at its end. Raises queue.Empty at the time `until`."""
        return self.lines.get(timeout=max(0.0, until - time.monotonic()))

    def said(self, key, until):
        """The next line that is an object with this key; None at the end. Raises queue.Empty at the time `until`."""
        while (line := self.line(until)) is not None:
            self.last = line or self.last
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict) and key in value:
                return value
        return None

    def wait(self, until):
        """Whether it has ended by the time `until`. Not reaped yet: its id, and so its group's, can't be reused."""
        while self in Process.running:
            if os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(0.01)
        return True

    def terminate(self):
        """Asks it to end; None if it had to be killed, else its exit code."""
        if self not in Process.running:
            return self.child.returncode
        self.child.send_signal(signal.SIGTERM)
        ended = self.wait(time.monotonic() + GRACE)
        self.kill()
        return self.child.returncode if ended else None

    def kill(self):
        """Ends what is left of its group, and reaps it."""
        if self not in Process.running:
            return
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self.child.wait()
        self.reader.join(timeout=1)
        if not self.reader.is_alive():
            self.child.stdout.close()
        Process.running.discard(self)


def tail(path):
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return []
    cut = [f"... {len(lines) - TAIL_LINES} lines before"] if len(lines) > TAIL_LINES else []
    return cut + [line[:500] for line in lines[-TAIL_LINES:]]
