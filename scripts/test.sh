#!/usr/bin/env bash
# Runs all tests against real servers: installs these when needed, starts them in a temporary folder, and
# stops them again, whatever happens.
#
#   scripts/test.sh [--all] [-- ARGUMENTS OF cargo test]
#
# docker-compose.yml is held against what compose knows; that is installed as root on Debian.
# --all runs the long tests too, those marked #[ignore], and those of the page in Chromium (scripts/page.sh),
# and without further arguments docker-compose.yml with a Docker engine (scripts/compose-test.sh), and
# scripts/bench.sh --quick.
# For example: scripts/test.sh -- --test it lost_files -- --nocapture
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly SERVERS=scripts/servers.sh
readonly KEPT_LOGS=${CARGO_TARGET_DIR:-target}/test-servers

# Tests wait for servers, disks and clocks: with two for each core the processor is busy meanwhile.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}

ALL=
ALONE=
usage() {
    sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p' >&2
    exit 2
}
while (($# > 0)); do
    case $1 in
        --all) ALL=yes ;;
        --) shift && break ;;
        *) usage ;;
    esac
    shift
done

# Each step is a process group in the background, and the script waits: so a signal is handled at once
# (bash defers it while a command runs in the foreground), and it ends what the step started in turn.
STEP=
step() {
    set -m
    "$@" </dev/null &
    STEP=$!
    set +m
    local status=0
    wait "$STEP" || status=$?
    STEP=
    return "$status"
}

end_step() {
    [[ -n $STEP ]] || return 0
    kill -TERM -- "-$STEP" 2>/dev/null || return 0
    for _ in {1..100}; do
        kill -0 -- "-$STEP" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL -- "-$STEP" 2>/dev/null || true
}

DIR=
finish() {
    local status=$?
    # Cleaning up is short, and not to be interrupted.
    trap '' INT TERM
    end_step
    if [[ -n $DIR ]]; then
        "$SERVERS" stop "$DIR"
        if ((status != 0)); then keep_logs; fi
        rm -rf "$DIR"
    fi
    exit "$status"
}

keep_logs() {
    rm -rf "$KEPT_LOGS"
    mkdir -p "$KEPT_LOGS"
    find "$DIR" -maxdepth 1 -type f \( -name '*.log' -o -name '*.properties' \) -exec cp {} "$KEPT_LOGS" \;
    echo "test.sh: failed; the servers' logs are in $KEPT_LOGS" >&2
}

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step scripts/compose-test.sh --config
step "$SERVERS" install
if [[ -n $ALL ]]; then step scripts/clients.sh install; fi
DIR=$(mktemp -d "${TMPDIR:-/tmp}/lineage-test.XXXXXX")
step "$SERVERS" start "$DIR"
# shellcheck source=/dev/null
source "$DIR/env"
if [[ -n $ALL ]]; then eval "$(scripts/clients.sh env)"; fi

# All programs of tests run, also behind one that fails.
step cargo test --workspace --locked --no-fail-fast "$@"
if [[ -n $ALL ]]; then
    if (($# == 0)); then ALONE=yes; fi
    [[ " $* " == *' -- '* ]] || set -- "$@" --
    step cargo test --workspace --locked --no-fail-fast "$@" --ignored
    step scripts/page.sh
fi
if [[ -n $ALONE ]]; then
    # They have servers of their own; nothing else is to run beside them.
    "$SERVERS" stop "$DIR"
    step scripts/compose-test.sh
    step env -u LINEAGE_TEST_KAFKA -u LINEAGE_TEST_S3 scripts/bench.sh --quick
fi
