"""Is every record of the topic in the files once? The same independent check for both sides.

As a program, run by the Python that has DuckDB, it checks a folder that `check` has filled.
"""

import pathlib
import shutil
import sys

from . import process
from .bucket import url
from .run import commit_log, output


def check(servers, bucket, prefix, records, folder):
    """Copies a run's files to an empty `folder` and ends the benchmark unless they hold every record once, and the
    commit log names exactly them. Removes the copy, and what the run has put into the bucket."""
    copy = folder / "copy"
    try:
        for part, name in ((output(prefix), "output"), (commit_log(prefix), "commit-log")):
            bucket.copy(part, copy / name)
        process.run(
            [servers.variables["LINEAGE_TEST_PYTHON"], "-m", __name__, copy, url(output(prefix)), str(records)],
            env={"PYTHONPATH": str(pathlib.Path(__file__).parents[1])},
        )
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    bucket.remove(prefix)


def wrong_offsets(folder, records):
    """What is wrong with the rows: each of the topic's records must be there once, by its place in Kafka and by the
    uuid that the generator has given it."""
    import duckdb

    rows, places, uuids = duckdb.execute(
        "SELECT count(*), count(DISTINCT (kafka_partition, kafka_offset)), count(DISTINCT uuid) FROM read_parquet(?)",
        [f"{folder}/**/*.parquet"],
    ).fetchone()
    for name, count in (("rows", rows), ("places in Kafka", places), ("uuids", uuids)):
        if count != records:
            yield f"{count} {name}, {records} records"
    sparse = duckdb.execute(
        "SELECT kafka_partition, min(kafka_offset), max(kafka_offset), count(*) FROM read_parquet(?)"
        " GROUP BY ALL HAVING min(kafka_offset) != 0 OR max(kafka_offset) != count(*) - 1",
        [f"{folder}/**/*.parquet"],
    ).fetchall()
    for partition, first, last, count in sparse:
        yield f"partition {partition} holds {count} rows from offset {first} to {last}"


def wrong_commit_log(folder, files, prefix):
    """What is wrong with the commit log: it must name each file once and nothing else."""
    named = []
    for log in folder.glob("chk-*/subtask-*.csv"):
        head, *lines = log.read_text().splitlines()
        if head != "checkpoint_id,s3_key,commit_timestamp":
            yield f"{log} begins with {head}"
        named += [line.split(",")[1] for line in lines]
    visible = [f"{prefix}/{file.relative_to(files)}" for file in files.rglob("*.parquet")]
    if sorted(named) != sorted(visible):
        yield f"the commit log names {sorted(named)}, visible are {sorted(visible)}"


def main(folder, prefix, records):
    folder = pathlib.Path(folder)
    wrong = [
        *wrong_offsets(folder / "output", int(records)),
        *wrong_commit_log(folder / "commit-log", folder / "output", prefix),
    ]
    if wrong:
        sys.exit("\n".join(["this run was not exact:", *wrong]))


if __name__ == "__main__":
    main(*sys.argv[1:])
