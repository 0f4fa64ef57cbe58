"""A service that goes on until it is stopped, and what it says of itself meanwhile."""

import contextlib
import dataclasses
import json
import os
import pathlib
import socket
import sys
import time
import urllib.error
import urllib.request

from . import ours, process

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
START_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Running:
    pid: int
    begin: float
    rest: str

    def view(self):
        """What the page is drawn from."""
        with urllib.request.urlopen(f"{self.rest}/lineage/view", timeout=10) as answer:
            return json.load(answer)

    def wait(self, until, seconds, pause):
        """Looks every `pause` seconds until `until(view)` holds, and returns that view."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                view = self.view()
                if until(view):
                    return view
            time.sleep(pause)
        sys.exit(f"lineage (pid {self.pid}) did not get there within {seconds} s")

    def cpu_seconds(self):
        """User and system, so far."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND

    def peak_rss_bytes(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        sys.exit(f"/proc/{self.pid}/status has no VmHWM")


@contextlib.contextmanager
def service(lineage, servers, topic, prefix, log, interval):
    """`lineage run` on `topic`, with a checkpoint every `interval`, for as long as the block lasts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = ours.settings(servers, topic, prefix, "zstd") | {
        "CHECKPOINT_INTERVAL": interval,
        "REST_PORT": str(port),
    }
    with log.open("w") as lines:
        begin = time.monotonic()
        child = process.start(
            [lineage, "run"], env={**os.environ, **env}, stdout=lines, stderr=lines
        )
        try:
            yield Running(child.pid, begin, f"http://127.0.0.1:{port}")
        finally:
            process.end(child)


def records_in(view):
    return sum(subtask["records_in"] for subtask in view["subtasks"])


def first_record_seconds(running):
    """From the exec of the process until it has read its first record, as it says itself."""
    running.wait(lambda view: records_in(view) > 0, START_SECONDS, 0.002)
    return time.monotonic() - running.begin
