#!/usr/bin/env bash
# Measures lineage against a real Apache Flink cluster, both on a real Kafka and a real MinIO. It installs all of
# them when needed, starts them in a temporary folder, and stops them again, whatever happens.
#
#   scripts/bench.sh [--no-build] [--pairs 5] [--further 2] [--records 10000000]
#
# Prints tables and leaves every single run in target/bench/results.json. bench/README.md says what is measured.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly TARGET=${CARGO_TARGET_DIR:-target}

usage() {
    sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p' >&2
    exit 2
}
BUILD=yes
ARGUMENTS=()
while (($# > 0)); do
    case $1 in
        --no-build) BUILD= ;;
        --pairs | --further | --records)
            [[ $# -ge 2 && $2 =~ ^[1-9][0-9]*$ ]] || usage
            ARGUMENTS+=("$1" "$2")
            shift
            ;;
        *) usage ;;
    esac
    shift
done

[[ -z $BUILD ]] || cargo build --release --locked --workspace
scripts/servers.sh install
bench/flink.sh install
export PYTHONDONTWRITEBYTECODE=1
exec python3 bench/compare.py --binaries "$TARGET/release" --folder "$TARGET/bench" "${ARGUMENTS[@]}"
