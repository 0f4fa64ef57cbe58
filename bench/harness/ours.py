"""A measured run of lineage."""

import os
import sys
import time

from . import bucket as s3
from . import process
from .run import CHECKPOINT_SECONDS, PARALLELISM, Run, checkpoints, commit_log, output


def settings(servers, topic, prefix, codec):
    """The environment of a job that archives `topic` to `prefix`, also for the commands that look at it."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers.brokers,
        "KAFKA_TOPIC": topic,
        "KAFKA_GROUP_ID": prefix,
        "OUTPUT_PATH": s3.url(output(prefix)),
        "WRITE_AHEAD_COMMIT_LOG_PATH": s3.url(commit_log(prefix)),
        "CHECKPOINTS_PATH": s3.url(checkpoints(prefix)),
        "DROPPED_PATH": s3.url(f"{prefix}/dropped"),
        "PARQUET_COMPRESSION": codec,
        "CHECKPOINT_INTERVAL": f"{CHECKPOINT_SECONDS}s",
        "PARALLELISM": str(PARALLELISM),
        "AWS_ENDPOINT_URL": servers.s3,
        "AWS_ACCESS_KEY_ID": servers.access_key,
        "AWS_SECRET_ACCESS_KEY": servers.secret_key,
    }


def measure(lineage, servers, bucket, topic, records, prefix, codec, log):
    """Archives the topic once, and lets `lineage verify` say that all of it is there."""
    env = settings(servers, topic, prefix, codec)
    with log.open("w") as lines:
        begin = time.time()
        child = process.start([lineage, "run", "--bounded"], env={**os.environ, **env}, stdout=lines, stderr=lines)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            process.end(child)
            raise
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"lineage failed with code {child.returncode}\n{log.read_text()}")
    process.run([lineage, "verify"], env=env)

    files = bucket.files(output(prefix), ".parquet")
    cpu = usage.ru_utime + usage.ru_stime
    # Linux counts what the process was before the exec, a copy of this Python: some 20 MiB, as long as the harness
    # imports nothing large. That is less than lineage needs.
    peak = usage.ru_maxrss * 1024
    return Run(
        side="lineage",
        codec=codec,
        records=records,
        seconds=max(file.modified for file in files) - begin,
        cpu_seconds=cpu,
        peak_rss_bytes=peak,
        all_cpu_seconds=cpu,
        all_peak_rss_bytes=peak,
        files=len(files),
        bytes=sum(file.size for file in files),
    )
