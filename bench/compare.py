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
LINEAGE = "lineage, zstd"
# With zstd as well: written for speed, and of the pieces that Flink's documentation names.
TUNED, DOCUMENTED = "Flink, tuned", "Flink, documented"
ROUND = (LINEAGE, TUNED, DOCUMENTED)
# Further rows: Flink with nothing set, and what another codec is worth to us.
DEFAULT = "Flink, default"
FURTHER = (DEFAULT, "lineage, snappy", "lineage, none")
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
    parser.add_argument("--pairs", type=int, default=5, help="runs of each side with zstd, by turns")
    parser.add_argument("--further", type=int, default=2, help="runs of each further row")
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help="folder of the release binaries")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="where results.json and the logs go")
    return parser.parse_args()


class Bench:
    """Runs either side by its name, each run with paths of its own, and keeps what was measured."""

    def __init__(self, settings, folder, servers, clusters):
        bucket = Bucket(servers)
        lineage = settings.binaries / "lineage"
        common = {"servers": servers, "bucket": bucket, "topic": TOPIC, "records": settings.records}
        log = settings.folder / "lineage.log"
        self.lineage = functools.partial(ours.measure, lineage=lineage, log=log, **common)
        self.flink = functools.partial(flink.measure, **common)
        self.clusters = clusters
        self.check = functools.partial(
            exactness.check, servers=servers, bucket=bucket, records=settings.records, folder=folder
        )
        self.results = settings.folder / "results.json"
        self.results.unlink(missing_ok=True)
        self.about = machine.describe(lineage, servers) | {"Flink": clusters[TUNED].version, "records": settings.records}
        self.started = 0
        self.runs = []

    def warm_up(self, side, times):
        for _ in range(times):
            self.run(side, "warming up, not counted")

    def measure(self, side):
        run = self.run(side, "counted")
        self.runs.append(run)
        self.results.write_text(json.dumps({"about": self.about, "runs": list(map(as_json, self.runs))}, indent=2))
        return run

    def run(self, side, purpose):
        """One run, and the proof that it was exact."""
        self.started += 1
        prefix = f"run-{self.started}"
        # What an earlier run has left to be written to disk is not this one's burden.
        os.sync()
        who, how = side.split(", ")
        if who == "lineage":
            run = self.lineage(prefix=prefix, codec=how)
        else:
            run = self.flink(flink=self.clusters[side], prefix=prefix, style=how)
        self.check(prefix=prefix)
        say(
            f"{side}: {run.seconds:.1f} s, {run.cpu_per_million:.2f} CPU s per million,"
            f" {run.peak_rss_bytes / MIB:.0f} MiB ({purpose})"
        )
        return run

    def round(self, number):
        """One run of each side. They take turns at being first."""
        first = number % len(ROUND)
        return {side: self.measure(side) for side in (*ROUND[first:], *ROUND[:first])}


def as_json(run):
    derived = ("records_per_second", "cpu_per_million", "all_cpu_per_million", "bytes_per_record")
    return dataclasses.asdict(run) | {name: getattr(run, name) for name in derived}


def rows(runs):
    """A row for each side."""
    for side in (*ROUND, *FURTHER):
        group = [run for run in runs if run.side == side]
        columns = (spread([getattr(run, name) for run in group], digits, unit) for _, name, digits, unit in COLUMNS)
        yield [side, str(len(group)), *columns]


def ratios(rounds):
    """How much better lineage is than either job of Flink, round by round."""

    def row(title, of):
        return [title, *(spread([of(each[LINEAGE], each[flink]) for each in rounds]) for flink in (TUNED, DOCUMENTED))]

    yield row("records/s, lineage / Flink", lambda ours, theirs: ours.records_per_second / theirs.records_per_second)
    for title, name in (
        ("CPU, TaskManager / lineage", "cpu_seconds"),
        ("CPU, TaskManager and JobManager / lineage", "all_cpu_seconds"),
        ("peak RSS, TaskManager / lineage", "peak_rss_bytes"),
        ("peak RSS, TaskManager and JobManager / lineage", "all_peak_rss_bytes"),
        ("bytes, Flink / lineage", "bytes"),
    ):
        yield row(title, lambda ours, theirs, name=name: getattr(theirs, name) / getattr(ours, name))


def report(about, runs, rounds):
    print("\n".join(f"- {name}: {value}" for name, value in about.items()))
    print("\nMedian (least–most).\n")
    print(markdown(["", "runs", *(title for title, *_ in COLUMNS)], rows(runs)))
    print(f"\nRatios of the {len(rounds)} rounds with zstd:\n")
    print(markdown(["", TUNED, DOCUMENTED], ratios(rounds)))


def say(text):
    print(f"bench: {text}", flush=True)


def main():
    process.end_on_signals()
    settings = arguments()
    with (
        work.folder(settings.folder) as folder,
        servers.kafka_and_minio(folder / "servers") as started,
        # A JVM compiles for what it has run: each style has its own, but the last.
        servers.flink(folder / "flink-tuned", started) as tuned,
        servers.flink(folder / "flink-documented", started) as documented,
    ):
        clusters = {TUNED: tuned, DOCUMENTED: documented, DEFAULT: documented}
        bench = Bench(settings, folder, started, clusters)
        topic.fill(settings.binaries, started, TOPIC, settings.records)
        bench.warm_up(TUNED, WARM_UPS)
        bench.warm_up(DOCUMENTED, WARM_UPS)
        rounds = [bench.round(number) for number in range(settings.pairs)]
        bench.warm_up(DEFAULT, 1)
        for side in FURTHER:
            for _ in range(settings.further):
                bench.measure(side)
    report(bench.about, bench.runs, rounds)


if __name__ == "__main__":
    main()
