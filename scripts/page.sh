#!/usr/bin/env bash
# Tests the page in headless Chromium: with views that are made up, or, if a URL is given, against
# the service that runs there.
#
#   scripts/page.sh [URL [FOLDER FOR SCREENSHOTS]]
#
# Needs Node 20 or newer, and Chromium: that which CHROMIUM names, or else one on the PATH; as root on
# Debian it is installed. Without one it fails.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../tests/page"

fail() {
    printf 'page: error: %s\n' "$*" >&2
    exit 1
}

find_chromium() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" && return
    done
    return 1
}

if [[ -z ${CHROMIUM:-} ]] && ! CHROMIUM=$(find_chromium); then
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        fail "no Chromium: install it, or name it in CHROMIUM"
    fi
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium; } >&2
    CHROMIUM=$(find_chromium) || fail "Chromium was installed and is not on the PATH"
fi
export CHROMIUM

command -v node >/dev/null || fail "no Node: install version 20 or newer"
[[ node_modules/.package-lock.json -nt package-lock.json ]] || npm ci --no-audit --no-fund >&2

if (($# > 0)); then
    export LINEAGE_PAGE_URL=$1 LINEAGE_PAGE_SHOTS=${2:-}
    node --test pipeline.test.mjs
else
    node --test page.test.mjs
fi
