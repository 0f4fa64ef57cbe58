#!/usr/bin/env bash
# Builds the image, starts Kafka, MinIO, lineage and the generator of events, waits until the first checkpoint
# is in the commit log, and says how to look at it.
#
#   scripts/build-and-run.sh                          a checkpoint every 60 s
#   CHECKPOINT_INTERVAL=10s scripts/build-and-run.sh  the same, sooner
#
# WAIT_SECONDS is how long to wait for the first checkpoint, 300 unless given.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly WAIT_SECONDS=${WAIT_SECONDS:-300}
readonly COMMIT_LOG=local/flink-data/write-ahead-commit-log

say() { printf '==> %s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Sets COMPOSE to the one that is there.
find_compose() {
    command -v docker >/dev/null || fail "docker is not installed"
    if docker compose version >/dev/null 2>&1; then
        COMPOSE=(docker compose)
    elif command -v docker-compose >/dev/null; then
        COMPOSE=(docker-compose)
    else
        fail "neither 'docker compose' nor 'docker-compose' is installed"
    fi
    docker info >/dev/null 2>&1 || fail "the Docker engine does not answer; is it running, and may this user use it?"
    # A client of Docker 23 or newer without its plug-in buildx builds in the old way only.
    docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=0
}

compose() { "${COMPOSE[@]}" "$@"; }

commit_log_entries() {
    compose exec -T minio mc find "$COMMIT_LOG" --name 'subtask-*.csv' 2>/dev/null || true
}

# How often the engine had to start lineage anew: it restarts a process that fails.
restarts() {
    local id
    id=$(compose ps -q lineage 2>/dev/null)
    [[ -n $id ]] && docker inspect --format '{{.RestartCount}}' "$id" || echo 0
}

wait_for_data() {
    local begin=$SECONDS said=0
    say "waiting for the first checkpoint in the commit log (a checkpoint every ${CHECKPOINT_INTERVAL:-60s})"
    while [[ -z $(commit_log_entries) ]]; do
        if (($(restarts) >= 3)); then
            compose logs --tail=30 lineage >&2
            fail "lineage does not stay up; the end of its log is above"
        fi
        if ((SECONDS - begin >= WAIT_SECONDS)); then
            compose ps >&2
            compose logs --tail=30 lineage data-generator >&2
            fail "no commit log after $WAIT_SECONDS s; the services and the ends of their logs are above"
        fi
        if ((SECONDS - begin >= said + 10)); then
            said=$((SECONDS - begin))
            say "still waiting: $said s of at most $WAIT_SECONDS s"
        fi
        sleep 2
    done
    say "the commit log has entries after $((SECONDS - begin)) s:"
    commit_log_entries | sort | head -n 10 | sed 's/^local/    s3:\//'
}

print_next_steps() {
    cat <<TEXT

Dashboard       http://localhost:8081
MinIO console   http://localhost:9001 (${MINIO_ROOT_USER:-minioadmin} / ${MINIO_ROOT_PASSWORD:-minioadmin})
S3              http://localhost:9000, bucket flink-data
Kafka           localhost:29092, topic lineage-input

Read the commit log (README.md has more to ask it):
    ${COMPOSE[*]} exec minio mc cp --recursive $COMMIT_LOG/ /tmp/wal/
    ${COMPOSE[*]} exec minio sh -c 'cat /tmp/wal/chk-*/subtask-*.csv'
See the files of the output:
    ${COMPOSE[*]} exec minio mc ls --recursive local/flink-data/output/
Follow what lineage does:
    ${COMPOSE[*]} logs -f lineage
Prove that every record is there once:
    ${COMPOSE[*]} exec lineage lineage verify
Stop (with -v also all data is removed):
    ${COMPOSE[*]} down
TEXT
}

COMPOSE=()
find_compose
say "building the image (a quarter of an hour on two cores, the first time only)"
compose build
say "starting the services"
compose up -d
wait_for_data
print_next_steps
