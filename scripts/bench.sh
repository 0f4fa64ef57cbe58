#!/usr/bin/env bash
# Measures lineage against a real Apache Flink cluster, both on a real Kafka and a real MinIO. It installs all of
# them when needed, starts them in a temporary folder, and stops them again, whatever happens.
#
#   scripts/bench.sh [--no-build] [--pairs 5] [--further 2] [--records 10000000]
#   scripts/bench.sh --quick [--no-build] [--pairs 3] [--records 5000000]
#
# Prints tables and leaves every single run in target/bench/results.json. --quick needs no Flink: it holds lineage
# against what librdkafka needs alone for the same topic, and fails when it needs too many times that.
# bench/README.md says what is measured.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly TARGET=${CARGO_TARGET_DIR:-target}

usage() {
    sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p' >&2
    exit 2
}
BUILD=yes
QUICK=
ARGUMENTS=()
while (($# > 0)); do
    case $1 in
        --no-build) BUILD= ;;
        --quick) QUICK=yes ;;
        --pairs | --further | --records)
            [[ $# -ge 2 && $2 =~ ^[1-9][0-9]*$ ]] || usage
            ARGUMENTS+=("$1" "$2")
            shift
            ;;
        *) usage ;;
    esac
    shift
done

PLAN=bench/compare.py
TARGETS=(--bins)
if [[ -n $QUICK ]]; then
    PLAN=bench/quick.py
    TARGETS+=(--example bare-fetch)
fi
[[ -z $BUILD ]] || cargo build --release --locked --workspace "${TARGETS[@]}"
scripts/servers.sh install
[[ -n $QUICK ]] || bench/flink.sh install
export PYTHONDONTWRITEBYTECODE=1
exec python3 "$PLAN" --binaries "$TARGET/release" --folder "$TARGET/bench" "${ARGUMENTS[@]}"
