"""Runs the cells of three: relay, listener and dialer; and those of AutoNAT."""

import fnmatch
import queue
import threading

from driver.circuit_tables import print_cell
from driver.process import Process, Unusable


def chosen(jobs, only):
    """The jobs with the cells that were asked for: scenarios, and parties as `relay/listener/dialer`."""
    scenarios = [word for word in only if "/" not in word]
    triples = [word for word in only if "/" in word]

    def wanted(cell):
        names = (cell.scenario, cell.scenario.split()[0])
        return (not scenarios or any(name in scenarios for name in names)) and (
            not triples or any(fnmatch.fnmatch(cell.triple, triple) for triple in triples)
        )

    for job in jobs:
        job.cells = [cell for cell in job.cells if wanted(cell)]
    jobs = [job for job in jobs if job.cells]
    if not jobs:
        raise Unusable(f"--only {','.join(only)}: no such cell")
    return jobs


def run(jobs, options, scratch):
    """Where it shall not keep going, what runs already is finished, and nothing more begins."""
    count, finished, lock = sum(len(job.cells) for job in jobs), 0, threading.Lock()
    busy, enough = threading.BoundedSemaphore(options.jobs), threading.Event()

    def done(cell):
        nonlocal finished
        if Process.over:
            return
        with lock:
            finished += 1
            print_cell(finished, count, cell)
        if not cell.expected and not options.keep_going:
            enough.set()

    def start(number):
        job = jobs[number]
        try:
            job.run(options, scratch / f"job-{number}", busy, done)
        except Exception as error:  # of this program, not of a party: it must not pass for a cell that was not tried
            for cell in job.cells:
                if not cell.ran:
                    cell.error = f"interop/run itself: {type(error).__name__}: {error}"

    numbers = queue.SimpleQueue()

    def work():
        while (number := numbers.get()) is not None:
            if not enough.is_set():
                start(number)

    # Threads that an interrupted run need not wait for. Those jobs that mostly wait have one each.
    threads = []
    for number, job in enumerate(jobs):
        if job.waits:
            threads.append(threading.Thread(target=start, args=(number,), daemon=True))
        else:
            numbers.put(number)
    for _ in range(options.jobs):
        threads.append(threading.Thread(target=work, daemon=True))
        numbers.put(None)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
