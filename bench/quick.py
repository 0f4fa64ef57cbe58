"""lineage against bare limits: what librdkafka, and what its own reader, need for the same topic when every record is
let go; and what Confluent's wire format costs more. See README.md beside this file."""

import argparse
import os
import pathlib
import statistics
import sys

from harness import exactness, machine, ours, process, registry, servers, topic, work
from harness.bucket import Bucket
from harness.run import PARALLELISM
from harness.table import markdown, spread

TOPIC = "lineage-input"
# CPU seconds of lineage for each of librdkafka's, which is about 1.0 (docs/results.md). Above this a change has made
# lineage slower, on every machine.
MOST = 1.3
CONFLUENT = "confluent"
# The same records with their schema's id in front, for each CPU second without, which is about 1.1.
MOST_FOR_CONFLUENT = 1.3
SCHEMA = pathlib.Path(__file__).parent.parent / "avro" / "input_event.avsc"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    # Single runs of a busy machine differ by more than what is looked for.
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help="folder of the release binaries")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="where the logs go")
    return parser.parse_args()


def fetch(settings, started, reader, log):
    """CPU seconds of a bare limit, which must have seen every record."""
    binary = settings.binaries / "examples" / "bare-fetch"
    used = process.measured([binary, started.brokers, TOPIC, str(PARALLELISM), reader], log)
    seen = int(log.read_text().splitlines()[-1])
    if seen != settings.records:
        sys.exit(f"{binary} saw {seen} of {settings.records} records")
    return used.cpu_seconds


def main():
    process.end_on_signals()
    settings = arguments()
    with (
        work.folder(settings.folder) as folder,
        servers.kafka_and_minio(folder / "servers") as started,
        registry.of(SCHEMA) as url,
    ):
        bucket = Bucket(started)
        lineage = settings.binaries / "lineage"
        topic.fill(settings.binaries, started, TOPIC, settings.records)
        topic.fill(settings.binaries, started, CONFLUENT, settings.records, schema_id=registry.ID)
        as_confluent = {"AVRO_FORMAT": "confluent", "SCHEMA_REGISTRY_URL": url}

        def archive(name, prefix, more):
            os.sync()
            run = ours.measure(
                lineage=lineage,
                servers=started,
                bucket=bucket,
                topic=name,
                records=settings.records,
                prefix=prefix,
                codec="zstd",
                log=folder / "lineage.log",
                more=more,
            )
            exactness.check(servers=started, bucket=bucket, records=settings.records, folder=folder, prefix=prefix)
            return run

        bare, direct, runs, confluent = [], [], [], []
        for number in range(settings.pairs):
            os.sync()
            bare.append(fetch(settings, started, "librdkafka", folder / "fetch.log"))
            direct.append(fetch(settings, started, "direct", folder / "fetch.log"))
            runs.append(archive(TOPIC, f"run-{number}", {}))
            confluent.append(archive(CONFLUENT, f"confluent-{number}", as_confluent))
        about = machine.describe(lineage, started)
    print("\n".join(f"- {name}: {value}" for name, value in about.items()))
    ratios = [run.cpu_seconds / limit for run, limit in zip(runs, bare, strict=True)]
    more = [theirs.cpu_seconds / raw.cpu_seconds for theirs, raw in zip(confluent, runs, strict=True)]
    millions = settings.records / 1e6
    rows = [
        ["librdkafka's batch call alone, CPU s per million", spread([limit / millions for limit in bare])],
        ["lineage's reader alone, CPU s per million", spread([limit / millions for limit in direct])],
        ["lineage, CPU s per million", spread([run.cpu_per_million for run in runs])],
        ["lineage / librdkafka", spread(ratios)],
        ["Confluent's wire format, CPU s per million", spread([run.cpu_per_million for run in confluent])],
        ["Confluent's wire format / the datum alone", spread(more)],
        ["lineage, records/s", spread([run.records_per_second for run in runs], 0)],
        ["lineage, peak RSS, MiB", spread([run.peak_rss_bytes for run in runs], 0, 2**20)],
    ]
    print(f"\n{markdown(['', f'{settings.pairs} pairs'], rows)}")
    ratio = statistics.median(ratios)
    if ratio > MOST:
        sys.exit(f"lineage needs {ratio:.2f} times the CPU of librdkafka alone; {MOST} is the most")
    ratio = statistics.median(more)
    if ratio > MOST_FOR_CONFLUENT:
        sys.exit(f"Confluent's wire format needs {ratio:.2f} times the CPU of the datum alone; {MOST_FOR_CONFLUENT} is the most")


if __name__ == "__main__":
    main()
