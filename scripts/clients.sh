#!/usr/bin/env bash
# Clients that were made for a Flink JobManager, for the tests: Flink's own command line, which
# bench/flink.sh installs, and DataHub, which crawls Flink jobs for metadata.
#
#   scripts/clients.sh install    download them once, into the cache of scripts/servers.sh
#   scripts/clients.sh env        print where they are; use as: eval "$(scripts/clients.sh env)"
# shellcheck disable=SC2317 # functions that are called by a name in a variable look unreachable to it
set -euo pipefail

readonly PROGRAM=clients

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
# shellcheck source=scripts/servers/common.sh
source "$HERE/servers/common.sh"

readonly PINS=$HERE/servers/datahub-requirements.txt
DATAHUB_HOME=$CACHE/datahub-$(sha256sum <"$PINS" | cut -c1-12)
readonly DATAHUB_HOME

# Programs in bin carry the name of the staging folder: DataHub is started as a module of bin/python.
make_datahub() {
    python3 -m venv "$1" &&
        "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$PINS" &&
        "$1/bin/python" -c 'import datahub.ingestion.source.flink.source'
}

install() {
    "$HERE/../bench/flink.sh" install
    begin_install
    install_component DataHub "$DATAHUB_HOME" make_datahub
}

print_env() {
    check_installed "$DATAHUB_HOME"
    printf 'export LINEAGE_TEST_FLINK=%q\n' "$(cd "$HERE/../bench" && pwd)/flink.sh"
    printf 'export LINEAGE_TEST_DATAHUB=%q\n' "$DATAHUB_HOME/bin/python"
}

case "${1:-} $#" in
    'install 1') install ;;
    'env 1') print_env ;;
    *) usage ;;
esac
