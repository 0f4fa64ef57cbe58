#!/usr/bin/env bash
# Clients of the control plane that are not ours, for the tests: Flink's own command line, which
# bench/flink.sh installs; DataHub, which crawls Flink jobs for metadata; and Prometheus with its promtool.
#
#   scripts/clients.sh install               download them once, into the cache of scripts/servers.sh
#   scripts/clients.sh env                   print where they are; use as: eval "$(scripts/clients.sh env)"
#   scripts/clients.sh prometheus VERSION    install Prometheus alone, if VERSION is the one that is installed
#                                            from here, and print its folder
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

# As in docker-compose.yml. Its Go module counts 3.7.3 as 0.307.3; Go checks it and all that it needs against its
# checksum database.
readonly PROMETHEUS_VERSION=3.7.3
readonly PROMETHEUS_MODULE=github.com/prometheus/prometheus
module_version() {
    local major minor patch
    IFS=. read -r major minor patch <<<"$1"
    echo "v0.$((major * 100 + minor)).$patch"
}
PROMETHEUS_HOME=$CACHE/prometheus-$(module_version "$PROMETHEUS_VERSION")
readonly PROMETHEUS_HOME

# Programs in bin carry the name of the staging folder: DataHub is started as a module of bin/python.
make_datahub() {
    python3 -m venv "$1" &&
        "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$PINS" &&
        "$1/bin/python" -c 'import datahub.ingestion.source.flink.source'
}

# As parts of a module of its own: `go install` takes no module that leaves out versions of others. Its pages are
# not built in; they are made by npm.
make_prometheus() {
    local programs=("$PROMETHEUS_MODULE/cmd/prometheus" "$PROMETHEUS_MODULE/cmd/promtool")
    (
        cd "$1" &&
            go mod init lineage-prometheus &&
            go get "${programs[@]/%/@$(module_version "$PROMETHEUS_VERSION")}" &&
            CGO_ENABLED=0 go build -trimpath -o . \
                -ldflags="-s -w -X github.com/prometheus/common/version.Version=$PROMETHEUS_VERSION" "${programs[@]}" &&
            ./prometheus --version &&
            ./promtool --version
    )
}

install_prometheus() {
    command -v go >/dev/null || [[ -d $PROMETHEUS_HOME ]] || fail "missing, please install: Go, see scripts/servers.sh"
    [[ -d $PROMETHEUS_HOME ]] || say "building Prometheus: some minutes on two cores, the first time only"
    install_component Prometheus "$PROMETHEUS_HOME" make_prometheus
}

install() {
    "$HERE/../bench/flink.sh" install
    begin_install
    install_component DataHub "$DATAHUB_HOME" make_datahub
    install_prometheus
}

prometheus() {
    [[ $1 == "$PROMETHEUS_VERSION" ]] ||
        fail "Prometheus $1 is asked for, and scripts/clients.sh installs $PROMETHEUS_VERSION"
    begin_install
    install_prometheus
    echo "$PROMETHEUS_HOME"
}

print_env() {
    check_installed "$DATAHUB_HOME" "$PROMETHEUS_HOME"
    printf 'export LINEAGE_TEST_FLINK=%q\n' "$(cd "$HERE/../bench" && pwd)/flink.sh"
    printf 'export LINEAGE_TEST_DATAHUB=%q\n' "$DATAHUB_HOME/bin/python"
    printf 'export LINEAGE_TEST_PROMTOOL=%q\n' "$PROMETHEUS_HOME/promtool"
}

case "${1:-} $#" in
    'install 1') install ;;
    'env 1') print_env ;;
    'prometheus 2') prometheus "$2" ;;
    *) usage ;;
esac
