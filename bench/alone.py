"""lineage alone: how its cost grows with records and partitions, how long a barrier holds up the rows, how soon it
starts, what it needs when there is next to nothing to do. See README.md beside this file."""

import argparse
import os
import pathlib
import statistics
import time

from harness import exactness, machine, ours, process, running, servers, topic, work
from harness.bucket import Bucket
from harness.table import markdown, spread

MIB = 2**20
FEW, MANY = 1_000_000, 30_000_000
# What a run costs that reads next to nothing: its start and its end.
NEXT_TO_NOTHING = 100
MANY_PARTITIONS = 1_000
IDLE_RECORDS_A_SECOND = 10
# Of each pair: a 99th percentile wants some hundreds of barriers.
BARRIER_RUNS = 3
# Between the start of the service and the first look at its CPU time.
SETTLE_SECONDS = 15


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="runs of each kind")
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--idle-seconds", type=int, default=60)
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help="folder of the release binaries")
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="where the logs go")
    return parser.parse_args()


class Alone:
    """Runs of lineage, each with paths of its own."""

    def __init__(self, settings, folder, started):
        self.settings, self.folder, self.servers = settings, folder, started
        self.lineage = settings.binaries / "lineage"
        self.bucket = Bucket(started)
        self.started = 0

    def prefix(self):
        self.started += 1
        os.sync()
        return f"run-{self.started}"

    def catch_up(self, name, records):
        """A bounded run over the whole topic, and the proof that it was exact."""
        prefix = self.prefix()
        run = ours.measure(
            lineage=self.lineage,
            servers=self.servers,
            bucket=self.bucket,
            topic=name,
            records=records,
            prefix=prefix,
            codec="zstd",
            log=self.folder / "lineage.log",
        )
        exactness.check(
            servers=self.servers, bucket=self.bucket, records=records, folder=self.folder, prefix=prefix
        )
        return run

    def service(self, name, interval):
        log = self.folder / "service.log"
        return running.service(self.lineage, self.servers, name, self.prefix(), log, interval)

    def barriers(self, name, records):
        """Seconds until the first record, and milliseconds without rows at each barrier of each subtask while it
        catches up with a checkpoint every second."""
        with self.service(name, "1s") as service:
            first = running.first_record_seconds(service)
            service.wait(lambda view: running.records_in(view) >= records, 300, 0.2)
            history = service.view()["checkpoints"]["history"]
        acks = [ack for checkpoint in history for ack in checkpoint["acks"]]
        return first, [ack["sync_ms"] for ack in acks if ack["rows"] > 0]

    def idle(self):
        """Share of a core, and peak RSS, at a few records a second."""
        generator = self.settings.binaries / "data-generator"
        with (self.folder / "generator.log").open("w") as lines:
            feed = process.start(
                [
                    generator,
                    *("--bootstrap-servers", self.servers.brokers),
                    *("--topic", "idle"),
                    *("--rate-per-sec", str(IDLE_RECORDS_A_SECOND)),
                ],
                stdout=lines,
                stderr=lines,
            )
        try:
            with self.service("idle", "10s") as service:
                running.first_record_seconds(service)
                time.sleep(SETTLE_SECONDS)
                before, begin = service.cpu_seconds(), time.monotonic()
                time.sleep(self.settings.idle_seconds)
                share = (service.cpu_seconds() - before) / (time.monotonic() - begin)
                return share, service.peak_rss_bytes()
        finally:
            process.end(feed)


def percentile(values, share):
    """The least value that at least `share` of all are not above."""
    return sorted(values)[max(0, -(-len(values) * share // 100) - 1)]


def main():
    process.end_on_signals()
    settings = arguments()
    with (
        work.folder(settings.folder) as folder,
        servers.kafka_and_minio(folder / "servers") as started,
    ):
        alone = Alone(settings, folder, started)
        idle_share, idle_rss = alone.idle()
        topics = {
            f"{FEW:,} records in 10 partitions": ("few", FEW, 10),
            f"{settings.records:,} records in 10 partitions": ("some", settings.records, 10),
            f"{MANY:,} records in 10 partitions": ("many", MANY, 10),
            f"{settings.records:,} records in {MANY_PARTITIONS:,} partitions": ("wide", settings.records, MANY_PARTITIONS),
        }
        filled = [
            topic.fill(settings.binaries, started, name, records, partitions)
            for name, records, partitions in topics.values()
        ]
        topic.fill(settings.binaries, started, "nothing", NEXT_TO_NOTHING, 10)
        runs, bare = {title: [] for title in topics}, []
        firsts, pauses = [], []
        for _ in range(settings.pairs):
            # By turns, so that a machine that grows slower does so for all of them.
            bare.append(alone.catch_up("nothing", NEXT_TO_NOTHING).cpu_seconds)
            for title, (name, records, _) in topics.items():
                runs[title].append(alone.catch_up(name, records))
            for _ in range(BARRIER_RUNS):
                first, waits = alone.barriers("many", MANY)
                firsts.append(first)
                pauses += waits
        about = machine.describe(alone.lineage, started)
    print("\n".join(f"- {name}: {value}" for name, value in about.items()))
    print(f"\nMedian (least–most) of {settings.pairs} runs, by turns.\n")
    start = statistics.median(bare)
    rows = [
        [
            title,
            spread([run.cpu_per_million for run in group]),
            spread([(run.cpu_seconds - start) / run.records * 1e6 for run in group], 3),
            spread([run.records_per_second for run in group], 0),
            spread([run.peak_rss_bytes for run in group], 0, MIB),
            spread([run.bytes_per_record for run in group], 1),
        ]
        for title, group in runs.items()
    ]
    head = [
        "catching up",
        "CPU s per million",
        "the same beside start and end",
        "records/s",
        "peak RSS, MiB",
        "bytes per record",
    ]
    print(markdown(head, rows))
    rows = [
        [f"without rows at a barrier, median of {len(pauses)}, ms", f"{percentile(pauses, 50)}"],
        ["the same, 99th percentile, ms", f"{percentile(pauses, 99)}"],
        ["the same, longest, ms", f"{max(pauses)}"],
        ["start of the process to first record read, s", spread(firsts)],
        [f"start and end, with {NEXT_TO_NOTHING} records between them, CPU s", spread(bare, 3)],
        [f"idle at {IDLE_RECORDS_A_SECOND} records/s, % of a core", f"{idle_share * 100:.2f}"],
        [f"idle at {IDLE_RECORDS_A_SECOND} records/s, peak RSS, MiB", f"{idle_rss / MIB:.0f}"],
        ["data-generator, its start and end included, records/s", spread(filled, 0)],
    ]
    print(f"\n{markdown(['', ''], rows)}")


if __name__ == "__main__":
    main()
