"""A measured run of the Flink job."""

import json
import os
import pathlib
import sys
import time
import urllib.request

from . import bucket as s3
from . import process
from .run import CHECKPOINT_SECONDS, PARALLELISM, Run, checkpoints, commit_log, output
from .servers import FLINK

POLL_SECONDS = 0.5


def measure(flink, servers, bucket, topic, records, prefix, style):
    """Submits the job and waits until it has finished, which it does after the commit of its last files."""
    pids = (flink.taskmanager, flink.jobmanager)
    for pid in pids:
        reset_peak_rss(pid)
    cpu_before = [cpu_seconds(pid) for pid in pids]
    job = submit(flink, servers, topic, prefix, style)
    begin = wait_until_finished(flink, job)
    cpu = [cpu_seconds(pid) - before for pid, before in zip(pids, cpu_before)]
    peak = [peak_rss_bytes(pid) for pid in pids]

    files = bucket.files(output(prefix), ".parquet")
    return Run(
        side=f"Flink, {style}",
        records=records,
        seconds=max(file.modified for file in files) - begin,
        cpu_seconds=cpu[0],
        peak_rss_bytes=peak[0],
        all_cpu_seconds=sum(cpu),
        all_peak_rss_bytes=sum(peak),
        files=len(files),
        bytes=sum(file.size for file in files),
    )


def submit(flink, servers, topic, prefix, style):
    """Hands the job to the cluster and returns its id."""
    return process.run(
        [
            *(FLINK, "run", flink.folder),
            *("--brokers", servers.brokers),
            *("--topic", topic),
            *("--group", prefix),
            *("--output", s3.url(output(prefix))),
            *("--commit-log", s3.url(commit_log(prefix))),
            *("--checkpoints", s3.url(checkpoints(prefix))),
            *("--style", style),
            *("--checkpoint-interval-ms", str(CHECKPOINT_SECONDS * 1000)),
            *("--parallelism", str(PARALLELISM)),
        ]
    ).strip()


def wait_until_finished(flink, job):
    """Returns the moment at which the JobManager says that the job has begun. A job that has failed, even if it was
    begun again, ends the benchmark: it would be no measure of Flink."""
    while True:
        seen = ask(flink, f"jobs/{job}")
        if seen["state"] in ("FAILED", "CANCELED", "FINISHED"):
            break
        time.sleep(POLL_SECONDS)
    failure = ask(flink, f"jobs/{job}/exceptions")["root-exception"]
    if seen["state"] != "FINISHED" or failure:
        sys.exit(f"the Flink job {job} has failed; it is {seen['state']} now\n{failure}")
    return seen["start-time"] / 1000


def ask(flink, path):
    with urllib.request.urlopen(f"{flink.rest}/{path}", timeout=30) as answer:
        return json.load(answer)


def cpu_seconds(pid):
    """User and system time of a process, of all its threads, also those that have ended."""
    # After the name, which is in parentheses and may hold anything.
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def reset_peak_rss(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_rss_bytes(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
