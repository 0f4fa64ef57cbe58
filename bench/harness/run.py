"""One measured run: what is the same for both sides."""

import dataclasses

CHECKPOINT_SECONDS = 10
PARALLELISM = 2


@dataclasses.dataclass(frozen=True)
class Run:
    # Who, and with what.
    side: str
    records: int
    # From the start to the moment at which the last record was visible.
    seconds: float
    # User and system, of the process that moves the records: lineage, or the TaskManager.
    cpu_seconds: float
    peak_rss_bytes: int
    # Together with the process that only steers: the JobManager. For lineage the same as above.
    all_cpu_seconds: float
    all_peak_rss_bytes: int
    files: int
    bytes: int

    @property
    def records_per_second(self):
        return self.records / self.seconds

    @property
    def cpu_per_million(self):
        return self.cpu_seconds / self.records * 1e6

    @property
    def all_cpu_per_million(self):
        return self.all_cpu_seconds / self.records * 1e6

    @property
    def bytes_per_record(self):
        return self.bytes / self.records


def output(prefix):
    """Where a run under this prefix of the bucket puts its Parquet files."""
    return f"{prefix}/output"


def commit_log(prefix):
    """Where it puts its commit log."""
    return f"{prefix}/commit-log"


def checkpoints(prefix):
    """Where it keeps its checkpoints."""
    return f"{prefix}/checkpoints"
