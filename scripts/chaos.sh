#!/usr/bin/env bash
# Kills lineage again and again at random moments while it archives from a real Kafka to a real MinIO, starts it
# again, and proves at the end that every record is there once.
#
#   scripts/chaos.sh [--kills N] [--seed S]       500 kills, seed 42 unless given
#
# The same seed gives the same moments; what the process is doing then depends on the machine.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
KILLS=500
SEED=42
usage() {
    sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p' >&2
    exit 2
}
while (($# > 0)); do
    [[ $# -ge 2 && $2 =~ ^[1-9][0-9]*$ ]] || usage
    case $1 in
        --kills) KILLS=$2 ;;
        --seed) SEED=$2 ;;
        *) usage ;;
    esac
    shift 2
done

export LINEAGE_CHAOS_KILLS=$KILLS LINEAGE_TEST_SEED=$SEED
exec scripts/test.sh -- --test it hundreds_of_kills -- --ignored --nocapture
