#!/usr/bin/env bash
# Holds the crates that the project is made of against deny.toml: their licences, where they come from, and
# which of them are banned.
#
#   scripts/supply-chain.sh                what needs nothing but Cargo.lock and the crates
#   scripts/supply-chain.sh advisories     known vulnerabilities and crates without a maintainer: needs the
#                                          database of rustsec.org from GitHub
#
# It installs cargo-deny once into the cache of scripts/servers.sh, which takes some minutes.
set -euo pipefail

readonly PROGRAM=supply-chain
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
# shellcheck source=scripts/servers/common.sh
source "$HERE/servers/common.sh"

readonly DENY_VERSION=0.20.2
readonly DENY_HOME=$CACHE/cargo-deny-$DENY_VERSION

make_deny() {
    # Not optimized: it is used once on a new machine.
    cargo install --debug --config profile.dev.debug=false --locked --quiet --root "$1" \
        --target-dir "$1/target" "cargo-deny@$DENY_VERSION" &&
        rm -rf "$1/target"
}

case "${1:-} $#" in
    ' 0') CHECKS=(bans licenses sources) ;;
    'advisories 1') CHECKS=(advisories) ;;
    *) usage ;;
esac
begin_install
install_component cargo-deny "$DENY_HOME" make_deny
cd "$HERE/.."
"$DENY_HOME/bin/cargo-deny" --locked check "${CHECKS[@]}"
