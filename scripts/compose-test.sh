#!/usr/bin/env bash
# Tests docker-compose.yml, Dockerfile, scripts/build-and-run.sh and the README's queries with a real Docker
# engine, as a person would use them, and leaves nothing running.
#
#   scripts/compose-test.sh            all of it; an image from nothing takes a quarter of an hour on two cores
#   scripts/compose-test.sh --config   holds docker-compose.yml, with each of its profiles, against what compose
#                                      knows, which needs no engine
#
# It uses the engine that runs, or as root starts one, and the official images, or else stand-ins
# (scripts/stand-ins.sh). There is none for Grafana: where its image cannot be pulled, Grafana is left out, and
# the test says so. The ports of docker-compose.yml must be free.
# shellcheck disable=SC2317 # functions that are called by their names look unreachable to it
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
readonly ROOT PROGRAM=compose-test
# shellcheck source=scripts/servers/common.sh
source scripts/servers/common.sh
# shellcheck source=scripts/servers/engine.sh
source scripts/servers/engine.sh

readonly PORTS=(3000 8081 9000 9001 9090 29092)
readonly REST=http://localhost:8081
readonly GRAFANA=http://localhost:3000
# How long anything may take that is waited for.
readonly PATIENCE=180

# A project of its own: the volumes of one that the user has are not touched.
export COMPOSE_PROJECT_NAME=lineage-compose-test COMPOSE_FILE=$ROOT/docker-compose.yml
# Long enough that the generator is there before checkpoint 5.
export CHECKPOINT_INTERVAL=5s
unset REST_TOKEN GRAFANA_PASSWORD MINIO_ROOT_USER MINIO_ROOT_PASSWORD PARALLELISM COMPOSE_PROFILES

compose() { "${COMPOSE[@]}" "$@"; }
# with_monitoring COMMAND...: as with `--profile monitoring`.
with_monitoring() { COMPOSE_PROFILES=monitoring "$@"; }

# ---------------------------------------------------------------- without an engine

profiles() { sed -n 's/^ *profiles: *\[\(.*\)\]/\1/p' docker-compose.yml | tr -d '" ' | tr ',' '\n' | sort -u; }

check_config() {
    local profile line
    find_compose
    compose config -q || fail "docker-compose.yml is not valid"
    for profile in $(profiles); do
        COMPOSE_PROFILES=$profile compose config -q || fail "docker-compose.yml is not valid with the profile $profile"
    done
    # `latest`, or no tag, is another program tomorrow.
    while read -r line; do
        [[ $line == *:local || $line =~ :[^:/]*[0-9] ]] || fail "docker-compose.yml: $line is not pinned"
    done < <(sed -n 's/^ *image: *//p' docker-compose.yml)
    say "docker-compose.yml is valid${profile:+, also with its profiles}"
}

# ---------------------------------------------------------------- before and after

DIR=
IMAGES=()
finish() {
    local status=$?
    trap '' INT TERM
    if ((status != 0)) && [[ -n $DIR && ${#IMAGES[@]} -gt 0 ]]; then
        with_monitoring compose ps >&2 || true
        with_monitoring compose logs --tail=30 >&2 || true
    fi
    if ((${#IMAGES[@]} > 0)); then
        # Who was interrupted does not wait for orderly stops.
        with_monitoring compose kill >/dev/null 2>&1 || true
        with_monitoring compose down --volumes --remove-orphans >/dev/null 2>&1 || true
        scripts/stand-ins.sh remove "${IMAGES[@]}" || true
    fi
    stop_engine
    [[ -z $DIR ]] || rm -rf "$DIR"
    ((status == 0)) || say "failed"
    exit "$status"
}

images_by() { sed -n 's/^ *image: *//p' docker-compose.yml | grep -E "^($1)/"; }

# What the services, but for Grafana, and the image are made of.
needed_images() {
    {
        sed -n 's/^FROM \([^ ]*\).*/\1/p' Dockerfile
        images_by 'apache|minio|prom'
    } | sort -u
}

prepare() {
    local port
    DIR=$(mktemp -d "${TMPDIR:-/tmp}/lineage-compose-test.XXXXXX")
    command -v curl >/dev/null || apt_install curl
    start_engine "$DIR/dockerd.log"
    find_compose
    choose_builder
    # Left by a test that was killed.
    with_monitoring compose down --volumes --remove-orphans >/dev/null 2>&1 || true
    for port in "${PORTS[@]}"; do
        ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || fail "port $port is taken; docker-compose.yml publishes it"
    done
    docker volume ls -q | sort >"$DIR/volumes"
    mapfile -t IMAGES < <(needed_images)
    scripts/stand-ins.sh make "${IMAGES[@]}"
}

# Volumes that have no name have no label of the project either.
nothing_is_left() {
    local label=label=com.docker.compose.project=$COMPOSE_PROJECT_NAME
    [[ -z $(docker ps -aq --filter "$label")$(docker volume ls -q --filter "$label")$(docker network ls -q --filter "$label") ]] &&
        diff "$DIR/volumes" <(docker volume ls -q | sort) >&2
}

# ---------------------------------------------------------------- looking

that() { printf '%s: %4d s  %s\n' "$PROGRAM" "$SECONDS" "$*" >&2; }

# wait_until_it WHAT COMMAND...
wait_until_it() {
    local what=$1 begin=$SECONDS
    shift
    until "$@" >"$DIR/said" 2>&1; do
        if ((SECONDS - begin > PATIENCE)); then
            cat "$DIR/said" >&2
            fail "after $PATIENCE s it is not so: $what"
        fi
        sleep 0.5
    done
}

inspect() { docker inspect --format "$2" "$(compose ps -q "$1")"; }
is_healthy() { [[ $(inspect "$1" '{{.State.Health.Status}}') == healthy ]]; }
is_ready() { curl -fsS "$REST/readyz"; }
commit_logs() { compose exec -T minio mc find local/flink-data/write-ahead-commit-log --name 'subtask-*.csv'; }
newest_checkpoint() { commit_logs | sed -n 's#.*/chk-\([0-9]*\)/.*#\1#p' | sort -n | tail -n 1; }
oldest_checkpoint() { commit_logs | sed -n 's#.*/chk-\([0-9]*\)/.*#\1#p' | sort -n | head -n 1; }
has_passed() { (($(newest_checkpoint) > $1)); }
names_of_files() { compose exec -T minio mc find local/flink-data/output --name '*.parquet' | sed -n 's#.*/part-\(.*\)\.parquet$#\1#p'; }

# Two checkpoints more than there were: the second has nothing in it that was on its way before.
goes_on() {
    local now
    now=$(newest_checkpoint)
    wait_until_it "checkpoints follow after $now" has_passed $((now + 1))
    wait_until_it "/readyz says yes" is_ready
}

ROWS=0
# Every offset is there once, also by what Kafka says, and there are more than when this was asked last.
is_exact() {
    local rows
    compose exec -T lineage lineage verify --deep --check-kafka --json >"$DIR/verify.json" || {
        cat "$DIR/verify.json" >&2
        fail "lineage verify does not say that all is there once"
    }
    rows=$(python3 -c '
import json, sys
partitions = json.load(open(sys.argv[1]))["partitions"]
assert len(partitions) == 10, f"{len(partitions)} partitions"
print(sum(p["rows"] + p["dropped"] + p["pending"] for p in partitions))' "$DIR/verify.json")
    ((rows > ROWS)) || fail "there are $rows records in the archive, and there were $ROWS before"
    ROWS=$rows
}

# The newest start has files of these subtasks and no others.
subtasks_of_the_newest_start() { names_of_files | awk -F- '$2 > g { g = $2; delete s } $2 == g { s[$3] } END { for (k in s) print k }' | sort | xargs; }
has_subtasks() { [[ $(subtasks_of_the_newest_start) == "$1" ]]; }

# ---------------------------------------------------------------- the tests

starts_with_one_command() {
    scripts/build-and-run.sh >"$DIR/build-and-run" || fail "scripts/build-and-run.sh failed"
    grep -q "^Dashboard  *$REST$" "$DIR/build-and-run" || fail "scripts/build-and-run.sh does not say where the dashboard is"
    that "scripts/build-and-run.sh built the image and waited for data"
}

answers() {
    local path
    for path in / /healthz /readyz; do
        wait_until_it "$path answers" curl -fsS -o "$DIR/answer" "$REST$path"
    done
    curl -fsS -o "$DIR/answer" "$REST/"
    grep -q '<html' "$DIR/answer" || fail "$REST is no page"
    for path in kafka minio lineage data-generator; do
        wait_until_it "$path is healthy" is_healthy "$path"
    done
    that "the dashboard, /healthz and /readyz answer; all services are healthy"
}

is_confined() {
    local service
    for service in lineage data-generator; do
        [[ $(compose exec -T "$service" id -u) != 0 ]] || fail "$service runs as root"
        ! compose exec -T "$service" sh -c 'touch ~/x || touch /tmp/x' 2>/dev/null || fail "$service can write"
    done
    that "lineage and the generator are not root, and write to no file system"
}

# As a person would type it: in a terminal. Its commands run in DIR, and `docker compose` is what there is.
run_query() {
    local number=$1
    {
        echo 'set -euo pipefail'
        # shellcheck disable=SC2016
        [[ ${COMPOSE[*]} == 'docker compose' ]] ||
            echo 'docker() { if [[ $1 == compose ]]; then shift; docker-compose "$@"; else command docker "$@"; fi; }'
        cat "$DIR/readme/$number.sh"
    } >"$DIR/query.sh"
    (cd "$DIR" && script -qefc "bash query.sh" query.out </dev/null >/dev/null) || {
        cat "$DIR/query.out" >&2
        fail "README.md, '$(cat "$DIR/readme/$number.title")': the commands fail"
    }
    # The lines of `script` itself go, and what the terminal shows for the end of its input.
    sed -e '/^Script \(started\|done\) on /d' -e 's/^^[@D]\x08*//' -e 's/\r$//' -e '/^$/d' "$DIR/query.out" >"$DIR/$number.actual"
    [[ ! -s $DIR/readme/$number.out ]] ||
        python3 tests/compose/queries.py shape "$DIR/readme/$number.out" "$DIR/$number.actual"
}

lines_of() { wc -l <"$1"; }

# What the commands gave against the commit log itself, counted here in another way.
check_query() {
    local title=$1 number=$2 actual=$DIR/$2.actual hour
    case $title in
        'A copy of the commit log')
            (($(lines_of "$DIR/wal.csv") > 5)) || fail "$title: $(lines_of "$DIR/wal.csv") lines"
            ! grep -Evq '^[0-9]+,s3://flink-data/output/year=[0-9]{4}/month=[0-9]{2}/day=[0-9]{2}/hour=[0-9]{2}/part-[0-9a-f]{32}(-[0-9]+){3}\.parquet,[0-9]{13}$' "$DIR/wal.csv" ||
                fail "$title: not every line is one of the commit log"
            ;;
        'The files of checkpoint 5')
            diff <(grep -v '^checkpoint_id,' "$actual" | sort) <(grep '^5,' "$DIR/wal.csv" | sort) >&2 ||
                fail "$title: other lines than those of checkpoint 5"
            ;;
        'All files of an hour')
            hour=$(sed -n 's#^.*/\(year=.*\)/part.*#\1#p' "$actual" | sort -u)
            diff "$actual" <(awk -F'[,]' -v hour="/$hour/" 'index($2, hour) { print $2 }' "$DIR/wal.csv" | sort) >&2 ||
                fail "$title: other files than those of $hour"
            ;;
        'Checkpoints whose files do not exist')
            # The newest checkpoint may have been on its way to be complete.
            awk -F, -v newest="$(cut -d, -f1 "$DIR/wal.csv" | sort -n | tail -n 1)" '$1 != newest { exit 1 }' "$actual" ||
                fail "$title: files of complete checkpoints are missing: $(cat "$actual")"
            ;;
        'The number of files of each checkpoint')
            awk 'NR == FNR { lines++; next } { sum += $(NF - 1) } END { exit sum != lines }' "$DIR/wal.csv" "$actual" ||
                fail "$title: they are not as many as the lines of the commit log"
            (($(lines_of "$actual") == $(cut -d, -f1 "$DIR/wal.csv" | sort -u | wc -l))) || fail "$title: not each"
            ;;
        'The newest file of each subtask')
            [[ $(cut -d' ' -f2 "$actual" | xargs) == '0: 1:' ]] || fail "$title: not one line for each of two subtasks"
            python3 - "$DIR/wal.csv" "$actual" <<'PYTHON' || fail "$title: not the newest"
import sys
newest = {}
for line in open(sys.argv[1]):
    _, key, timestamp = line.strip().split(",")
    *_, subtask, sequence = key.removesuffix(".parquet").split("-")
    newest[subtask] = max(newest.get(subtask, (0, 0, "")), (int(timestamp), int(sequence), key))
sys.exit({key for _, _, key in newest.values()} != {line.split()[-1] for line in open(sys.argv[2])})
PYTHON
            ;;
        *) fail "README.md has a query that no test knows: $title" ;;
    esac
    [[ $title == 'Checkpoints whose'* || $title == 'A copy'* || -s $actual ]] || fail "$title: nothing"
}

# A line of a file that does not exist, in the copy only, is what the query is for.
finds_a_missing_file() {
    local number=$1
    echo '4711,s3://flink-data/output/year=2026/month=01/day=01/hour=00/part-0-1-0-0.parquet,1' >>"$DIR/wal.csv"
    run_query "$number"
    grep -q '^4711,s3://flink-data/output/.*/part-0-1-0-0.parquet$' "$DIR/$number.actual" ||
        fail "a file that does not exist is not found by the query of README.md"
    sed -i '/^4711,/d' "$DIR/wal.csv"
}

# One query asks for the files of this hour.
is_within_the_hour() {
    local second=$(($(date +%s) % 3600))
    ((second > 20 && second < 3540))
}

answers_the_queries_of_the_readme() {
    local number=1 title
    mkdir "$DIR/readme"
    python3 tests/compose/queries.py extract README.md "$DIR/readme"
    wait_until_it "checkpoint 6 is there" has_passed 5
    wait_until_it "this hour has files, and some time left" is_within_the_hour
    while [[ -f $DIR/readme/$number.sh ]]; do
        title=$(cat "$DIR/readme/$number.title")
        run_query "$number"
        check_query "$title" "$number"
        [[ $title != 'Checkpoints whose'* ]] || finds_a_missing_file "$number"
        number=$((number + 1))
    done
    ((number > 6)) || fail "README.md has $((number - 1)) queries"
    that "the $((number - 1)) queries of the README give what it shows"
}

was_started_more_often_than() { (($(inspect lineage '{{.RestartCount}}') > $1)); }

# The engine takes `docker kill` for a wish to stop. A crash comes from elsewhere: here from a container that sees
# the machine's processes.
comes_back_when_it_dies() {
    local restarts
    restarts=$(inspect lineage '{{.RestartCount}}')
    docker run --rm --pid=host --user=0 --entrypoint=bash lineage:local -c "kill -KILL $(inspect lineage '{{.State.Pid}}')"
    wait_until_it "the engine has started lineage anew" was_started_more_often_than "$restarts"
    goes_on
    is_exact
    that "killed in the machine, lineage came back by itself: $ROWS records, each once"

    docker kill --signal=KILL "$(compose ps -q lineage)" >/dev/null
    compose up -d 2>/dev/null
    goes_on
    is_exact
    that "after 'docker kill' and 'up' it went on: $ROWS records, each once"
}

stops_in_order() {
    local begin=$SECONDS service
    for service in data-generator lineage; do
        compose stop "$service" 2>/dev/null
        [[ $(inspect "$service" '{{.State.ExitCode}} {{.State.OOMKilled}}') == '0 false' ]] ||
            fail "$service ended with $(inspect "$service" '{{.State.ExitCode}}') when it was told to stop"
    done
    that "SIGTERM stopped the generator and lineage with exit code 0, in $((SECONDS - begin)) s"
}

moves_to_another_parallelism() {
    export PARALLELISM=$1
    compose up -d 2>/dev/null
    wait_until_it "there are files of the subtasks $2" has_subtasks "$2"
    goes_on
    is_exact
    that "with parallelism $1 it went on: $ROWS records, each once"
}

goes_on_after_down() {
    local before
    before=$(newest_checkpoint)
    compose down 2>/dev/null
    compose up -d 2>/dev/null
    wait_until_it "checkpoint $before and all after it are there" has_passed "$before"
    (($(oldest_checkpoint) < before)) || fail "'down' lost the commit log"
    goes_on
    is_exact
    that "after 'down' and 'up' it went on behind checkpoint $before: $ROWS records, each once"
}

begins_anew_without_volumes() {
    local job
    job=$(names_of_files | cut -d- -f1 | sort -u)
    compose down --volumes 2>/dev/null
    nothing_is_left || fail "'down -v' left something behind"
    ROWS=0
    # And with other credentials.
    export MINIO_ROOT_USER=somebody MINIO_ROOT_PASSWORD=something-else PARALLELISM=2
    compose up -d 2>/dev/null
    wait_until_it "data arrives" has_passed 0
    goes_on
    [[ $(names_of_files | cut -d- -f1 | sort -u) != *"$job"* ]] || fail "after 'down -v' it is the same job"
    [[ $(names_of_files | cut -d- -f2 | sort -u) == 1 ]] || fail "after 'down -v' it is not the first start"
    is_exact
    that "after 'down -v' it began anew, with other credentials: $ROWS records, each once"
}

prometheus() { python3 tests/compose/prometheus.py "$@"; }
refuses_without_a_token() { [[ $(curl -sS -o "$DIR/answer" -w '%{http_code}' "$REST/metrics") == 401 ]]; }

is_watched() {
    local dashboard=monitoring/grafana/dashboards/lineage.json
    with_monitoring compose up -d prometheus 2>/dev/null
    wait_until_it "prometheus is healthy" with_monitoring is_healthy prometheus
    wait_until_it "Prometheus reads the metrics of lineage" prometheus scrapes
    wait_until_it "Prometheus has the alerts of monitoring/alerts.yml" prometheus alerts monitoring/alerts.yml
    wait_until_it "Prometheus has ten partitions" prometheus gives 10 'lineage_partition_durable_next_offset > 0'
    wait_until_it "each query of the dashboard gives something" prometheus dashboard "$dashboard"
    that "Prometheus reads the metrics and all $(grep -c 'alert:' monitoring/alerts.yml) alerts; the dashboard's queries give something"

    export REST_TOKEN=a-token-of-the-test
    with_monitoring compose up -d lineage prometheus 2>/dev/null
    wait_until_it "/metrics wants a token" refuses_without_a_token
    wait_until_it "Prometheus reads the metrics with a token" prometheus scrapes
    that "with a token it reads them, too"
}

asks_prometheus() {
    curl -fsS -u admin:admin "$GRAFANA/api/datasources/proxy/uid/prometheus/api/v1/query?query=lineage_job_info" | grep lineage-input
}

# There is no stand-in for it.
is_drawn() {
    local image
    image=$(images_by grafana)
    scripts/stand-ins.sh pull "$image" || {
        that "$image cannot be pulled: Grafana was not started"
        return
    }
    with_monitoring compose up -d grafana 2>/dev/null
    wait_until_it "grafana is healthy" with_monitoring is_healthy grafana
    wait_until_it "Grafana has the dashboard" curl -fsS "$GRAFANA/api/dashboards/uid/lineage"
    wait_until_it "Grafana asks Prometheus" asks_prometheus
    that "Grafana has the dashboard, and asks Prometheus"
}

tells_when_lineage_is_gone() {
    compose stop lineage 2>/dev/null
    wait_until_it "LineageDown is pending" prometheus gives 1 'ALERTS{alertname="LineageDown", alertstate="pending"}'
    that "without lineage there is an alert"
}

leaves_nothing() {
    with_monitoring compose down --volumes 2>/dev/null
    nothing_is_left || fail "'down -v' left something behind"
    that "nothing is left: no container, no volume, no network"
}

main() {
    case "${1:-}" in
        '') ;;
        --config)
            check_config
            exit
            ;;
        *) usage ;;
    esac
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    check_config
    prepare
    starts_with_one_command
    answers
    is_confined
    answers_the_queries_of_the_readme
    is_exact
    comes_back_when_it_dies
    stops_in_order
    moves_to_another_parallelism 3 '0 1 2'
    moves_to_another_parallelism 1 '0'
    goes_on_after_down
    begins_anew_without_volumes
    is_watched
    is_drawn
    tells_when_lineage_is_gone
    leaves_nothing
    that "all passed"
    # Bash reads a script as it goes, and this file may change while the test runs.
    exit
}

main "$@"
