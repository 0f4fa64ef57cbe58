#!/usr/bin/env python3
"""Reads an archive back with readers that are not the writer's, and reports what it holds.

DuckDB counts offsets and pyarrow reads the values; both must see the same rows. Needs the wheels
of duckdb, pyarrow and pyroaring.

    read_back.py < request.json     the whole report
    read_back.py PATH...            of these folders and files alone, without a commit log

The request; all paths are local folders, null or absent where there is none:

    {"output": "...", "dropped": "...", "commit_log": "...",
     "output_url": "s3://bucket/x/output", "dropped_url": "s3://bucket/x/dropped",
     "first": {"0": 100}}           first offset to expect of a partition; 0 if not named. With several
                                   topics "topic/0"

The report, one JSON object; every list is empty when all is well:

    files, dropped_files            how many Parquet files
    rows, output_rows, dropped_rows in both together, and in each
    partitions                      {"0": {rows, dropped, min, max, distinct,
                                     duplicates: [offset], duplicate_count,
                                     missing: [[first, last]], missing_count}}
                                    of both together; lists hold at most ten. A partition is
                                    named "topic/0" instead when there are several topics
    values                          order-independent fingerprint of the output as a string: the sum
                                    over all rows, modulo 2^64, of the first 8 bytes (big endian) of
                                    sha256("partition|offset|uuid|timestamp in milliseconds")
    schema, dropped_schema          [{name, type, physical, logical, nullable}]
    schema_differences              files with another schema than the first one
    unreadable_files                [{file, why}]
    other_files                     what lies there and is no visible Parquet file
    checkpoint_id_mismatches        [{file, rows, in_rows, in_line}]: how many rows say another
                                    checkpoint than the commit log line that names their file
    files_without_line              visible files that no line names
    lines_without_file              lines whose file is not there
    duplicate_lines                 files that are named more than once
    misplaced_lines                 [{csv, s3_key, why}]: in the folder of another checkpoint, in the
                                    CSV of the other output, or under neither URL
    bad_csvs                        [{file, why}]: torn, empty, or with another header
    footer_mismatches               [{file, why}]: rows other than the footer says

Files are named relative to their folder, those of the dropped output as "dropped:NAME".
It exits with 0 whenever it could report, whatever it found.
"""

import base64
import csv
import hashlib
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyroaring import BitMap64

MOST = 10
CSV_HEADER = ["checkpoint_id", "s3_key", "commit_timestamp"]
ORIGIN = ["kafka_topic", "kafka_partition", "kafka_offset"]


class File:
    """One visible Parquet file."""

    def __init__(self, root, path, prefix):
        self.path = path
        self.key = path.relative_to(root).as_posix()
        self.name = prefix + self.key
        self.dropped = bool(prefix)


class Report(dict):
    LISTS = [
        "schema_differences",
        "unreadable_files",
        "other_files",
        "checkpoint_id_mismatches",
        "files_without_line",
        "lines_without_file",
        "duplicate_lines",
        "misplaced_lines",
        "bad_csvs",
        "footer_mismatches",
    ]

    def __init__(self):
        super().__init__({name: [] for name in self.LISTS})


def find_files(root, prefix, report):
    """The Parquet files below a folder (or the one file), in the order of their names."""
    root = Path(root)
    if root.is_file():
        return [File(root.parent, root, prefix)]
    found = []
    # A folder that was never written to may be absent.
    for path in sorted(root.rglob("*")) if root.exists() else []:
        if not path.is_file():
            continue
        file = File(root, path, prefix)
        if path.suffix == ".parquet" and not path.name.startswith("."):
            found.append(file)
        elif path.name != "_SUCCESS":
            report["other_files"].append(file.name)
    return found


# The commit log


def read_commit_log(root, report):
    """All lines as (csv, is of the dropped output, checkpoint id, URL)."""
    lines = []
    for path in sorted(Path(root).rglob("*")) if Path(root).exists() else []:
        if not path.is_file():
            continue
        name = path.relative_to(root).as_posix()
        match = re.fullmatch(r"chk-(\d+)/(subtask|dropped)-\d+\.csv", name)
        text = path.read_bytes().decode()
        rows = list(csv.reader(text.splitlines()))
        if not match:
            bad = "not named chk-N/subtask-K.csv or chk-N/dropped-K.csv"
        elif not text.endswith("\n"):
            bad = "empty or torn"
        elif rows[0] != CSV_HEADER:
            bad = f"its header is {','.join(rows[0])}"
        elif len(rows) == 1:
            bad = "no lines"
        elif any(len(row) != 3 or not (row[0] + row[2]).isdigit() for row in rows[1:]):
            bad = "a line is not number,URL,number"
        else:
            for checkpoint, url, _ in rows[1:]:
                lines.append((name, match[2] == "dropped", int(checkpoint), url))
                if checkpoint != match[1]:
                    why = f"its checkpoint_id is {checkpoint}"
                    report["misplaced_lines"].append({"csv": name, "s3_key": url, "why": why})
            continue
        report["bad_csvs"].append({"file": name, "why": bad})
    return lines


def below(url, root_url):
    """The key of a URL below a root's, or None."""
    if not root_url:
        return None
    start = root_url.rstrip("/") + "/"
    if not url.startswith(start):
        return None
    key = url[len(start) :]
    return unquote(key) if url.startswith("file:") else key


def check_commit_log(request, files, report):
    """Compares the files with the lines; returns the checkpoint ids that lines give each file."""
    ids = defaultdict(list)
    by_place = {(file.dropped, file.key): file for file in files}
    named = Counter()
    for name, is_dropped, checkpoint, url in read_commit_log(request["commit_log"], report):
        roots = [(False, "output_url"), (True, "dropped_url")]
        places = [(root, below(url, request.get(key))) for root, key in roots]
        places = [place for place in places if place[1] is not None]
        named[url] += 1
        if not places:
            why = "under neither output_url nor dropped_url"
            report["misplaced_lines"].append({"csv": name, "s3_key": url, "why": why})
            continue
        # Where one root lies below the other, the nearer one is meant.
        place = min(places, key=lambda place: len(place[1]))
        if place[0] != is_dropped:
            why = "its file is in the other output"
            report["misplaced_lines"].append({"csv": name, "s3_key": url, "why": why})
        if place in by_place:
            ids[by_place[place].name].append(checkpoint)
        else:
            report["lines_without_file"].append(url)
    report["duplicate_lines"] = sorted(url for url, times in named.items() if times > 1)
    report["files_without_line"] = [file.name for file in files if file.name not in ids]
    return ids


# One file


def describe(parquet):
    """The columns as the file itself and as Arrow sees them."""
    columns = []
    for place, field in enumerate(parquet.schema_arrow):
        column = {"name": field.name, "type": str(field.type), "nullable": field.nullable}
        if not pa.types.is_nested(field.type) and parquet.schema_arrow.names == parquet.schema.names:
            stored = parquet.schema.column(place)
            column["physical"] = stored.physical_type
            column["logical"] = str(stored.logical_type)
        columns.append(column)
    return columns


def offsets_of(table):
    """The offsets in rows: {(topic, partition): sorted list, as often as they occur}."""
    table = table.select(ORIGIN).cast(
        pa.schema(zip(ORIGIN, [pa.string(), pa.int32(), pa.int64()], strict=True))
    )
    found = {}
    groups = table.group_by(ORIGIN[:2]).aggregate([(ORIGIN[2], "list")])
    for group in groups.to_pylist():
        found[group[ORIGIN[0]], group[ORIGIN[1]]] = sorted(group[ORIGIN[2] + "_list"])
    return found


def footer_mismatch(parquet, table):
    """How the footer disagrees with the rows, or None."""
    metadata = parquet.metadata.metadata or {}
    value = metadata.get(b"lineage.offsets")
    if value is None:
        return "no lineage.offsets in the footer"
    try:
        claimed = {}
        for entry in json.loads(value):
            offsets = BitMap64.deserialize(base64.b64decode(entry["offsets"], validate=True))
            claimed[entry["topic"], entry["partition"]] = offsets
    except Exception as error:  # Whatever is wrong with it, it is the finding.
        return f"lineage.offsets cannot be read: {error!r}"
    found = offsets_of(table)
    if claimed.keys() != found.keys():
        return f"the footer has {sorted(claimed)} and the rows have {sorted(found)}"
    for split, offsets in found.items():
        if len(offsets) != len(claimed[split]) or BitMap64(offsets) != claimed[split]:
            only_rows = list(BitMap64(offsets) - claimed[split])[:MOST]
            only_footer = list(claimed[split] - BitMap64(offsets))[:MOST]
            return (
                f"{split[0]}/{split[1]}: {len(offsets)} rows and {len(claimed[split])} offsets in"
                f" the footer; only in rows {only_rows}, only in the footer {only_footer}"
            )
    checkpoint = metadata.get(b"lineage.checkpoint_id")
    ids = {str(value) for value in pc.unique(table["checkpoint_id"]).to_pylist()}
    if checkpoint is not None and ids != {checkpoint.decode()}:
        return f"the footer says checkpoint {checkpoint.decode()} and the rows {sorted(ids)}"
    return None


def fingerprint(table):
    """The sum over the rows of their hashes, as the module's text defines it."""
    sha256, number = hashlib.sha256, int.from_bytes
    total = 0
    for batch in table.to_batches():
        columns = (
            batch["kafka_partition"].to_pylist(),
            batch["kafka_offset"].to_pylist(),
            batch["uuid"].cast(pa.string()).to_pylist(),
            batch["timestamp"].cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_pylist(),
        )
        total += sum(
            number(sha256(f"{p}|{o}|{u}|{t}".encode()).digest()[:8])
            for p, o, u, t in zip(*columns, strict=True)
        )
    return total


def read_files(files, ids, request, report):
    """Looks into each file with pyarrow. Returns those that could be read and the fingerprint."""
    readable, values = [], 0
    rows = Counter()
    schemas = {}
    for file in files:
        try:
            # Without memory mapping and partition folders: this file as it is.
            parquet = pq.ParquetFile(file.path)
            table = parquet.read()
            mine = describe(parquet)
            first = schemas.setdefault(file.dropped, mine)
            missing = [name for name in [*ORIGIN, "checkpoint_id"] if name not in table.column_names]
            if missing:
                raise ValueError(f"it lacks the columns {missing}")
            if not file.dropped and {"uuid", "timestamp"} <= set(table.column_names):
                values += fingerprint(table)
        except Exception as error:  # A file that readers refuse is what this looks for.
            report["unreadable_files"].append({"file": file.name, "why": str(error)})
            continue
        readable.append(file)
        rows[file.dropped] += table.num_rows
        if mine != first:
            report["schema_differences"].append(file.name)
        for expected in ids.get(file.name, []):
            for entry in pc.value_counts(table["checkpoint_id"]).to_pylist():
                if entry["values"] != expected:
                    report["checkpoint_id_mismatches"].append(
                        {
                            "file": file.name,
                            "rows": entry["counts"],
                            "in_rows": entry["values"],
                            "in_line": expected,
                        }
                    )
        if request["commit_log"] is not None or b"lineage.offsets" in (parquet.metadata.metadata or {}):
            why = footer_mismatch(parquet, table)
            if why:
                report["footer_mismatches"].append({"file": file.name, "why": why})
    report["output_rows"], report["dropped_rows"] = rows[False], rows[True]
    report["rows"] = rows.total()
    report["schema"], report["dropped_schema"] = schemas.get(False, []), schemas.get(True, [])
    report["values"] = str(values % 2**64)
    return readable


# All files together

PARTITIONS = """
SELECT topic, partition, count(*), count(*) FILTER (dropped), min(o), max(o), count(DISTINCT o)
FROM records GROUP BY ALL ORDER BY ALL
"""
DUPLICATES = """
SELECT topic, partition, o FROM records GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL
"""
# The row before the first one of a partition is the first offset to expect, less one.
GAPS = """
SELECT topic, partition, before + 1, o - 1 FROM (
    SELECT seen.topic, seen.partition, o,
        lag(o, 1, coalesce(begin, 0) - 1) OVER (PARTITION BY seen.topic, seen.partition ORDER BY o) AS before
    FROM (SELECT DISTINCT topic, partition, o FROM records) AS seen
    LEFT JOIN begins ON begins.partition = seen.partition AND coalesce(begins.topic, seen.topic) = seen.topic
) WHERE o > before + 1 ORDER BY ALL
"""


def count_offsets(files, first, report):
    """What DuckDB finds in all files together, partition by partition."""
    report["partitions"] = {}
    if not files:
        return
    db = duckdb.connect()
    db.execute(
        "CREATE TABLE records (topic VARCHAR, partition INTEGER, o BIGINT, dropped BOOLEAN)"
    )
    for dropped in (False, True):
        paths = [str(file.path) for file in files if file.dropped == dropped]
        if paths:
            db.execute(
                f"INSERT INTO records SELECT {', '.join(ORIGIN)}, ?"
                " FROM read_parquet(?, hive_partitioning = false, union_by_name = true)",
                [dropped, paths],
            )
    db.execute("CREATE TABLE begins (topic VARCHAR, partition INTEGER, begin BIGINT)")
    for name, offset in first.items():
        topic, _, partition = name.rpartition("/")
        db.execute("INSERT INTO begins VALUES (?, ?, ?)", [topic or None, int(partition), offset])
    counted = db.execute(PARTITIONS).fetchall()
    seen = sum(row[2] for row in counted)
    if seen != report["rows"]:
        sys.exit(f"read_back.py: DuckDB sees {seen} rows and pyarrow {report['rows']}")
    several = len({row[0] for row in counted}) > 1

    def entry(topic, partition):
        name = f"{topic}/{partition}" if several else str(partition)
        return report["partitions"].setdefault(name, {})

    for topic, partition, rows, dropped, least, most, distinct in counted:
        entry(topic, partition).update(
            rows=rows,
            dropped=dropped,
            min=least,
            max=most,
            distinct=distinct,
            duplicates=[],
            duplicate_count=rows - distinct,
            missing=[],
            missing_count=0,
        )
    for topic, partition, offset in db.execute(DUPLICATES).fetchall():
        duplicates = entry(topic, partition)["duplicates"]
        if len(duplicates) < MOST:
            duplicates.append(offset)
    for topic, partition, begin, end in db.execute(GAPS).fetchall():
        found = entry(topic, partition)
        found["missing_count"] += end - begin + 1
        if len(found["missing"]) < MOST:
            found["missing"].append([begin, end])


def read_back(request):
    """The report for a request."""
    report = Report()
    request = {"output": None, "dropped": None, "commit_log": None, **request}
    files = []
    for key, prefix in (("output", ""), ("dropped", "dropped:")):
        roots = request[key] or []
        found = []
        for root in [roots] if isinstance(roots, str) else roots:
            found += find_files(root, prefix, report)
        report["files" if key == "output" else "dropped_files"] = len(found)
        files += found
    ids = {}
    if request["commit_log"] is not None:
        ids = check_commit_log(request, files, report)
    readable = read_files(files, ids, request, report)
    count_offsets(readable, request.get("first") or {}, report)
    return report


def main():
    paths = sys.argv[1:]
    if any(path.startswith("-") for path in paths):
        sys.exit(__doc__)
    absent = [path for path in paths if not Path(path).exists()]
    if absent:
        sys.exit(f"read_back.py: {absent[0]} does not exist")
    request = {"output": paths} if paths else json.load(sys.stdin)
    json.dump(read_back(request), sys.stdout, default=str)
    print()


if __name__ == "__main__":
    main()
