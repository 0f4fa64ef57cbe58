"""The servers of a benchmark. Whatever happens, none of them is left behind."""

import contextlib
import dataclasses
import pathlib
import shlex

from . import process

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVERS = ROOT / "scripts" / "servers.sh"
FLINK = ROOT / "bench" / "flink.sh"


@dataclasses.dataclass(frozen=True)
class Servers:
    """A Kafka and a MinIO. `variables` are those of scripts/servers.sh."""

    variables: dict
    brokers: str
    s3: str
    access_key: str
    secret_key: str


@dataclasses.dataclass(frozen=True)
class Flink:
    """A session cluster: one JobManager and one TaskManager with two slots."""

    folder: pathlib.Path
    rest: str
    version: str
    jobmanager: int
    taskmanager: int


@contextlib.contextmanager
def kafka_and_minio(folder):
    """Both, with their data under `folder`, for as long as the block lasts."""
    try:
        process.run([SERVERS, "start", folder], echo=True)
        variables = read_exports(folder / "env")
        yield Servers(
            variables=variables,
            brokers=variables["LINEAGE_TEST_KAFKA"],
            s3=variables["LINEAGE_TEST_S3"],
            access_key=variables["LINEAGE_TEST_S3_ACCESS_KEY"],
            secret_key=variables["LINEAGE_TEST_S3_SECRET_KEY"],
        )
    finally:
        process.run([SERVERS, "stop", folder], echo=True)


@contextlib.contextmanager
def flink(folder, servers):
    """A cluster that writes to the MinIO of `servers`, for as long as the block lasts."""
    try:
        process.run([FLINK, "start", folder], env=servers.variables, echo=True)
        variables = read_exports(folder / "env")
        yield Flink(
            folder=folder,
            rest=variables["FLINK_REST"],
            version=variables["FLINK_VERSION"],
            jobmanager=int(variables["FLINK_JOBMANAGER_PID"]),
            taskmanager=int(variables["FLINK_TASKMANAGER_PID"]),
        )
    finally:
        process.run([FLINK, "stop", folder], echo=True)


def read_exports(path):
    """The variables of a file of lines `export NAME=VALUE`, quoted as a shell wants it."""
    exports = (shlex.split(line)[1] for line in path.read_text().splitlines())
    return dict(export.split("=", 1) for export in exports)
