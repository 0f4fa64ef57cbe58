"""Commands that never outlive the benchmark."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time


def end_on_signals():
    """From now on the first Ctrl-C or SIGTERM ends the benchmark and lets it clean up; further ones are ignored."""

    def end(number, _frame):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(128 + number)

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)


def start(argv, **options):
    """A process that leads a group of its own, so that Ctrl-C in the terminal reaches the benchmark alone."""
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, **options)


def end(process):
    """Ends a process that `start` has started, with all its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
            return


@dataclasses.dataclass(frozen=True)
class Used:
    """What a process needed until it ended. CPU is user and system."""

    begin: float
    cpu_seconds: float
    peak_rss_bytes: int


def measured(argv, log, env=None):
    """Runs a command to its end, with all that it says in `log`. If it fails, so does the benchmark."""
    with log.open("w") as lines:
        begin = time.time()
        child = start(argv, env={**os.environ, **(env or {})}, stdout=lines, stderr=lines)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            end(child)
            raise
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(map(str, argv))} failed with code {child.returncode}\n{log.read_text()}")
    # Linux counts what the process was before the exec, a copy of this Python: some 20 MiB, as long as the harness
    # imports nothing large. That is less than lineage needs.
    return Used(begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def run(argv, env=None, echo=False):
    """Runs a command to its end and returns what it printed. If it fails, so does the benchmark, with its errors
    shown; if the benchmark is ended, so is the command. `echo` shows its errors while it runs."""
    errors = None if echo else subprocess.PIPE
    process = start(
        argv, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=errors, text=True
    )
    try:
        output, said = process.communicate()
    except BaseException:
        end(process)
        raise
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, argv))} failed with code {process.returncode}\n{said or ''}{output}")
    return output
