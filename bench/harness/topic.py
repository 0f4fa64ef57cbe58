"""Topics to read from."""

import pathlib
import time

from . import process

PARTITIONS = 10


def fill(binaries: pathlib.Path, servers, topic, records, partitions=PARTITIONS, schema_id=None):
    """A new topic that holds exactly `records` records, as fast as the generator makes them; in Confluent's wire
    format with a schema id. Returns records/s, the generator's start and end included."""
    confluent = [] if schema_id is None else ["--schema-id", str(schema_id)]
    begin = time.monotonic()
    process.run(
        [
            binaries / "data-generator",
            *("--bootstrap-servers", servers.brokers),
            *("--topic", topic),
            *("--partitions", str(partitions)),
            *("--count", str(records)),
            *("--rate-per-sec", "0"),
            *confluent,
        ],
        echo=True,
    )
    return records / (time.monotonic() - begin)
