"""A measured run of lineage."""

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
        # Whatever else listens on its usual port.
        "REST_PORT": "0",
        "AWS_ENDPOINT_URL": servers.s3,
        "AWS_ACCESS_KEY_ID": servers.access_key,
        "AWS_SECRET_ACCESS_KEY": servers.secret_key,
    }


def measure(lineage, servers, bucket, topic, records, prefix, codec, log, more=None):
    """Archives the topic once, with `more` settings, and lets `lineage verify` say that all of it is there."""
    env = settings(servers, topic, prefix, codec)
    used = process.measured([lineage, "run", "--bounded"], log, env | (more or {}))
    process.run([lineage, "verify"], env=env)

    files = bucket.files(output(prefix), ".parquet")
    return Run(
        side=f"lineage, {codec}",
        records=records,
        seconds=max(file.modified for file in files) - used.begin,
        cpu_seconds=used.cpu_seconds,
        peak_rss_bytes=used.peak_rss_bytes,
        all_cpu_seconds=used.cpu_seconds,
        all_peak_rss_bytes=used.peak_rss_bytes,
        files=len(files),
        bytes=sum(file.size for file in files),
    )
