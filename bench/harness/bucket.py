"""What the runs have written, as S3 shows it to anybody. Through MinIO's client, to be independent of both sides."""

import dataclasses
import datetime
import json
import pathlib

from . import process

NAME = "bench"


def url(prefix):
    """The name under which both sides know a prefix of the bucket."""
    return f"s3://{NAME}/{prefix}"


@dataclasses.dataclass(frozen=True)
class File:
    size: int
    # Seconds since 1970, to the millisecond: the moment at which the file became visible. (MinIO's is that at which
    # an upload in parts was completed, not that at which it was begun.)
    modified: float


class Bucket:
    """A bucket of its own, made anew."""

    def __init__(self, servers):
        scheme, address = servers.s3.split("://")
        self.mc = [
            servers.variables["LINEAGE_TEST_MC"],
            *("--config-dir", pathlib.Path(servers.variables["LINEAGE_TEST_SERVERS"]) / "mc"),
        ]
        self.env = {"MC_HOST_minio": f"{scheme}://{servers.access_key}:{servers.secret_key}@{address}"}
        process.run([*self.mc, "mb", f"minio/{NAME}"], env=self.env)

    def files(self, prefix, ending):
        """The visible files under a prefix whose names end so."""
        listed = process.run([*self.mc, "ls", "--recursive", "--json", f"minio/{NAME}/{prefix}/"], env=self.env)
        entries = (json.loads(line) for line in listed.splitlines())
        return [
            File(size=entry["size"], modified=seconds(entry["lastModified"]))
            for entry in entries
            if entry["key"].endswith(ending)
        ]

    def copy(self, prefix, folder):
        """Copies all files under a prefix into a folder."""
        process.run([*self.mc, "cp", "--quiet", "--recursive", f"minio/{NAME}/{prefix}/", f"{folder}/"], env=self.env)

    def remove(self, prefix):
        """Removes all files under a prefix."""
        process.run([*self.mc, "rm", "--quiet", "--recursive", "--force", f"minio/{NAME}/{prefix}/"], env=self.env)


def seconds(time):
    return datetime.datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()
