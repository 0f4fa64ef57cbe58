"""Topics to read from."""

import pathlib

from . import process

PARTITIONS = 10


def fill(binaries: pathlib.Path, servers, topic, records, partitions=PARTITIONS):
    """A new topic that holds exactly `records` records, as fast as the generator makes them."""
    process.run(
        [
            binaries / "data-generator",
            *("--bootstrap-servers", servers.brokers),
            *("--topic", topic),
            *("--partitions", str(partitions)),
            *("--count", str(records)),
            *("--rate-per-sec", "0"),
        ],
        echo=True,
    )
