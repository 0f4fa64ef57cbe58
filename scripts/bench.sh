#!/usr/bin/env bash
# Measures lineage against a real Apache Flink cluster, both on a real Kafka and a real MinIO. It installs all of
# them when needed, starts them in a temporary folder, and stops them again, whatever happens.
#
#   scripts/bench.sh [--no-build] [--pairs 5] [--further 2] [--records 10000000]
#   scripts/bench.sh --quick [--no-build] [--pairs 7] [--records 5000000]
#   scripts/bench.sh --alone [--no-build] [--pairs 3] [--records 10000000]
#
# Prints tables and leaves every single run in target/bench/results.json. --quick and --alone need no Flink. --quick
# holds lineage against what reading the same topic needs alone, and fails when it needs too much more than that;
# --alone shows how cost and memory grow with records and partitions, and what a barrier, a start and idling cost.
# bench/README.md says what is measured.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly TARGET=${CARGO_TARGET_DIR:-target}

usage() {
    sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p' >&2
    exit 2
}
BUILD=yes
PLAN=compare
ARGUMENTS=()
while (($# > 0)); do
    case $1 in
        --no-build) BUILD= ;;
        --quick | --alone) PLAN=${1#--} ;;
        --pairs | --further | --records)
            [[ $# -ge 2 && $2 =~ ^[1-9][0-9]*$ ]] || usage
            ARGUMENTS+=("$1" "$2")
            shift
            ;;
        *) usage ;;
    esac
    shift
done

TARGETS=(--bins)
[[ $PLAN != quick ]] || TARGETS+=(--example bare-fetch)
[[ -z $BUILD ]] || cargo build --release --locked --workspace "${TARGETS[@]}"
if grep -aq LINEAGE_DIE_AT "$TARGET/release/lineage"; then
    echo "bench: $TARGET/release/lineage has the failure points of the tests in it, which a release must not" >&2
    exit 1
fi
scripts/servers.sh install
[[ $PLAN != compare ]] || bench/flink.sh install
export PYTHONDONTWRITEBYTECODE=1
exec python3 "bench/$PLAN.py" --binaries "$TARGET/release" --folder "$TARGET/bench" "${ARGUMENTS[@]}"
