"""lineage against Apache Flink: the same topic, the same files, by turns. See README.md beside this file."""

import argparse
import dataclasses
import functools
import json
import os
import pathlib

from harness import exactness, flink, machine, ours, process, servers, topic, work
from harness.bucket import Bucket
from harness.table import markdown, spread

TOPIC = "lineage-input"
# The pairs are with zstd on both sides. Further rows: Flink with nothing set, and what another codec is worth to us.
PAIR = (("lineage", "zstd"), ("Flink", "zstd"))
FURTHER = (("Flink", "default"), ("lineage", "snappy"), ("lineage", "none"))
# Runs of Flink that are not counted. It takes so many until the JVM has compiled all that it ever will.
WARM_UPS = 4
MIB = 2**20
# Of the table: title, what is shown of a run, with how many digits, in which unit.
COLUMNS = (
    ("records/s", "records_per_second", 0, 1),
    ("CPU s per million", "cpu_per_million", 2, 1),
    ("the same with JobManager", "all_cpu_per_million", 2, 1),
    ("peak RSS, MiB", "peak_rss_bytes", 0, MIB),
    ("the same with JobManager", "all_peak_rss_bytes", 0, MIB),
    ("bytes per record", "bytes_per_record", 1, 1),
    ("files", "files", 0, 1),
)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="runs of each side with zstd")
    parser.add_argument("--further", type=int, default=2, help="runs of each further row")
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help="folder of the release binaries")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="where results.json and the logs go")
    return parser.parse_args()


class Bench:
    """Runs either side by its name, each run with paths of its own, and keeps what was measured."""

    def __init__(self, settings, folder, servers, cluster):
        bucket = Bucket(servers)
        lineage = settings.binaries / "lineage"
        common = {"servers": servers, "bucket": bucket, "topic": TOPIC, "records": settings.records}
        log = settings.folder / "lineage.log"
        self.sides = {
            "lineage": functools.partial(ours.measure, lineage=lineage, log=log, **common),
            "Flink": functools.partial(flink.measure, flink=cluster, **common),
        }
        self.check = functools.partial(
            exactness.check, servers=servers, bucket=bucket, records=settings.records, folder=folder
        )
        self.results = settings.folder / "results.json"
        self.results.unlink(missing_ok=True)
        self.about = machine.describe(lineage, servers) | {"Flink": cluster.version, "records": settings.records}
        self.started = 0
        self.runs = []

    def warm_up(self, side, codec, times):
        for _ in range(times):
            self.run(side, codec, "warming up, not counted")

    def measure(self, side, codec):
        run = self.run(side, codec, "counted")
        self.runs.append(run)
        self.results.write_text(json.dumps({"about": self.about, "runs": list(map(as_json, self.runs))}, indent=2))
        return run

    def run(self, side, codec, purpose):
        """One run, and the proof that it was exact."""
        self.started += 1
        prefix = f"run-{self.started}"
        # What an earlier run has left to be written to disk is not this one's burden.
        os.sync()
        run = self.sides[side](prefix=prefix, codec=codec)
        self.check(prefix=prefix)
        say(
            f"{side} {codec}: {run.seconds:.1f} s, {run.cpu_per_million:.2f} CPU s per million,"
            f" {run.peak_rss_bytes / MIB:.0f} MiB ({purpose})"
        )
        return run

    def pair(self, number):
        """One run of each side. They take turns at being first."""
        order = PAIR if number % 2 else reversed(PAIR)
        return {side: self.measure(side, codec) for side, codec in order}


def as_json(run):
    derived = ("records_per_second", "cpu_per_million", "all_cpu_per_million", "bytes_per_record")
    return dataclasses.asdict(run) | {name: getattr(run, name) for name in derived}


def rows(runs):
    """A row for each side and codec."""
    for side, codec in (*PAIR, *FURTHER):
        group = [run for run in runs if (run.side, run.codec) == (side, codec)]
        columns = (spread([getattr(run, name) for run in group], digits, unit) for _, name, digits, unit in COLUMNS)
        yield [f"{side}, {codec}", str(len(group)), *columns]


def ratios(pairs):
    """How much better lineage is, pair by pair."""

    def ratio(name):
        return [getattr(pair["Flink"], name) / getattr(pair["lineage"], name) for pair in pairs]

    yield ["records/s, lineage / Flink", spread([1 / value for value in ratio("records_per_second")])]
    yield ["CPU, TaskManager / lineage", spread(ratio("cpu_seconds"))]
    yield ["CPU, TaskManager and JobManager / lineage", spread(ratio("all_cpu_seconds"))]
    yield ["peak RSS, TaskManager / lineage", spread(ratio("peak_rss_bytes"))]
    yield ["peak RSS, TaskManager and JobManager / lineage", spread(ratio("all_peak_rss_bytes"))]
    yield ["bytes, Flink / lineage", spread(ratio("bytes"))]


def report(about, runs, pairs):
    print("\n".join(f"- {name}: {value}" for name, value in about.items()))
    print("\nMedian (least–most).\n")
    print(markdown(["", "runs", *(title for title, *_ in COLUMNS)], rows(runs)))
    print(f"\nRatios of the {len(pairs)} pairs with zstd:\n")
    print(markdown(["", "ratio"], ratios(pairs)))


def say(text):
    print(f"bench: {text}", flush=True)


def main():
    process.end_on_signals()
    settings = arguments()
    with (
        work.folder(settings.folder) as folder,
        servers.kafka_and_minio(folder / "servers") as started,
        servers.flink(folder / "flink", started) as cluster,
    ):
        bench = Bench(settings, folder, started, cluster)
        topic.fill(settings.binaries, started, TOPIC, settings.records)
        bench.warm_up("Flink", "zstd", WARM_UPS)
        pairs = [bench.pair(number) for number in range(settings.pairs)]
        bench.warm_up("Flink", "default", 1)
        for side, codec in FURTHER:
            for _ in range(settings.further):
                bench.measure(side, codec)
    report(bench.about, bench.runs, pairs)


if __name__ == "__main__":
    main()
