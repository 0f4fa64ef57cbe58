#!/usr/bin/env bash
# Clients of the control plane that are not ours, for the tests: Flink's own command line, which
# bench/flink.sh installs; DataHub, which crawls Flink jobs for metadata; and Prometheus' promtool.
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

# Prometheus 3.7.3, as in docker-compose.yml. Go checks it and all that it needs against its checksum database.
readonly PROMTOOL_VERSION=v0.307.3
readonly PROMTOOL_HOME=$CACHE/promtool-$PROMTOOL_VERSION

# Programs in bin carry the name of the staging folder: DataHub is started as a module of bin/python.
make_datahub() {
    python3 -m venv "$1" &&
        "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$PINS" &&
        "$1/bin/python" -c 'import datahub.ingestion.source.flink.source'
}

# As part of a module of its own: `go install` takes no module that leaves out versions of others.
make_promtool() {
    (
        cd "$1" &&
            go mod init promtool &&
            go get "github.com/prometheus/prometheus/cmd/promtool@$PROMTOOL_VERSION" &&
            CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o promtool github.com/prometheus/prometheus/cmd/promtool &&
            ./promtool --version
    )
}

install() {
    "$HERE/../bench/flink.sh" install
    begin_install
    install_component DataHub "$DATAHUB_HOME" make_datahub
    command -v go >/dev/null || [[ -d $PROMTOOL_HOME ]] || fail "missing, please install: Go, see scripts/servers.sh"
    install_component promtool "$PROMTOOL_HOME" make_promtool
}

print_env() {
    check_installed "$DATAHUB_HOME" "$PROMTOOL_HOME"
    printf 'export LINEAGE_TEST_FLINK=%q\n' "$(cd "$HERE/../bench" && pwd)/flink.sh"
    printf 'export LINEAGE_TEST_DATAHUB=%q\n' "$DATAHUB_HOME/bin/python"
    printf 'export LINEAGE_TEST_PROMTOOL=%q\n' "$PROMTOOL_HOME/promtool"
}

case "${1:-} $#" in
    'install 1') install ;;
    'env 1') print_env ;;
    *) usage ;;
esac
