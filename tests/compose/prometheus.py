"""What Prometheus knows, for scripts/compose-test.sh: each command ends well if it is so, or says what is not.

    prometheus.py scrapes            its only target is the service, which has answered
    prometheus.py alerts FILE        it has the alerts of FILE, and each of them was evaluated
    prometheus.py gives NUMBER EXPR  the expression has as many series
    prometheus.py dashboard FILE     each query of Grafana's dashboard in FILE has series
"""

import json
import pathlib
import re
import sys
import urllib.parse
import urllib.request

API = "http://localhost:9090/api/v1/"
# A reason has a series of its own only from its first record on, and the generator makes no such records.
MAY_BE_EMPTY = "lineage_records_dropped_total"


def ask(path, **parameters):
    url = f"{API}{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)["data"]


def series(expression):
    return ask("query", query=expression)["result"]


def scrapes():
    targets = [(t["labels"]["job"], t["health"], t["lastError"]) for t in ask("targets")["activeTargets"]]
    if targets != [("lineage", "up", "")]:
        sys.exit(f"targets: {targets}")


def alerts(file):
    wanted = re.findall(r"^ *- alert: (\w+)$", pathlib.Path(file).read_text(), re.MULTILINE)
    rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
    if not wanted or [rule["name"] for rule in rules] != wanted:
        sys.exit(f"alerts: {[rule['name'] for rule in rules]}, and in {file}: {wanted}")
    for rule in rules:
        if rule["health"] != "ok":
            sys.exit(f"{rule['name']}: {rule['health']} {rule.get('lastError', '')}")


def gives(number, expression):
    if len(series(expression)) != int(number):
        sys.exit(f"{expression}: {series(expression)}")


def dashboard(file):
    text = pathlib.Path(file).read_text()
    queries = [json.loads(f'"{query}"') for query in re.findall(r'"expr": "(.*)"', text)]
    variables = re.findall(r'"query": "label_values\((.*), instance\)"', text)
    if not queries or not variables:
        sys.exit(f"{file}: no queries")
    for query in queries + variables:
        # What Grafana puts there: all instances, and four times the interval of the scrapes.
        expression = query.replace("$instance", ".*").replace("$__rate_interval", "40s")
        if not series(expression) and MAY_BE_EMPTY not in expression:
            sys.exit(f"nothing: {expression}")


{"scrapes": scrapes, "alerts": alerts, "gives": gives, "dashboard": dashboard}[sys.argv[1]](*sys.argv[2:])
