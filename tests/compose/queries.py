"""The queries of README.md, for scripts/compose-test.sh: what stands there is what is tried.

    queries.py extract README FOLDER    writes FOLDER/N.title, N.sh and N.out for each query
    queries.py shape SHOWN ACTUAL       each line of ACTUAL has the shape of a line in SHOWN

Shape is what is left when numbers and the ids of jobs are taken away.
"""

import pathlib
import re
import sys

SECTION = "### Asking it with Unix tools"
# A title in bold, the commands, and what they print if that is shown.
QUERY = re.compile(
    r"^\*\*(?P<title>[^*]+)\*\*[^\n]*\n(?:[^\n]+\n)*\n```sh\n(?P<sh>.*?)^```\n(?:\n```\n(?P<out>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


def extract(readme, folder):
    section = pathlib.Path(readme).read_text().split(SECTION)[1]
    section = re.split(r"^##+ ", section, maxsplit=1, flags=re.MULTILINE)[0]
    queries = list(QUERY.finditer(section))
    if len(queries) != section.count("```sh"):
        sys.exit(f"{readme}: a block of commands in '{SECTION}' has no title in bold before it")
    for number, query in enumerate(queries, 1):
        for part in ("title", "sh", "out"):
            pathlib.Path(folder, f"{number}.{part}").write_text(query[part] or "")


def shape(line):
    line = re.sub(r"part-[0-9a-f…]+-", "part-JOB-", line)
    return re.sub(r"[0-9]+", "N", line).split()


def compare(shown, actual):
    shapes = [shape(line) for line in pathlib.Path(shown).read_text().splitlines()]
    for line in pathlib.Path(actual).read_text().splitlines():
        if shape(line) not in shapes:
            sys.exit(f"README.md shows no line like this one: {line}")


{"extract": extract, "shape": compare}[sys.argv[1]](*sys.argv[2:])
