"""What a result was measured on."""

import datetime
import os
import pathlib
import platform
import re
import subprocess

from . import process
from .servers import ROOT, SERVERS


def describe(lineage, servers):
    """Pairs of a name and what to print for it."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "CPU": f"{os.cpu_count()} x {first_field('/proc/cpuinfo', 'model name')}",
        "memory": f"{int(first_field('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.1f} GiB",
        "system": platform.platform(),
        "lineage": process.run([lineage, "--version"]).split()[-1],
        "Java": java_version(),
        "Kafka": kafka_version(servers),
        "MinIO": re.search(r"^readonly MINIO_VERSION=(\S+)", SERVERS.read_text(), re.MULTILINE)[1],
    }


def commit():
    head = process.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]).strip()
    changed = process.run(["git", "-C", ROOT, "status", "--porcelain"])
    return f"{head}, with changes" if changed else head


def first_field(path, name):
    lines = pathlib.Path(path).read_text().splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(name))


def java_version():
    # java writes it to standard error.
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    return re.search(r'version "([^"]+)"', said)[1]


def kafka_version(servers):
    libs = pathlib.Path(servers.variables["LINEAGE_TEST_KAFKA_LIBS"])
    return next(libs.glob("kafka_2.13-*.jar")).stem.removeprefix("kafka_2.13-")
